//! What the kinds at Kubernetes share: where the cluster is, who Handover is there, and calls made as that.
//!
//! The store `kubernetes` keeps logins in Secrets, the reload `kubernetes` restarts the workloads that read them. Neither knows the
//! other.

pub(crate) mod cluster;

pub use self::cluster::ClusterOptions;
