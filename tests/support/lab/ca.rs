//! A certificate authority of the lab's own, and one server certificate for this machine.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

/// Files of an authority and of a server that it vouches for.
pub(crate) struct Ca {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Makes them in a folder.
    pub(crate) fn make(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "the lab's authority");
        let ca_key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&ca_key).expect("a certificate");
        let [ca, certificate, key] = ["ca.pem", "server.pem", "server.key"].map(|name| folder.join(name));
        std::fs::write(&ca, own.pem()).expect("it is written");
        let made = Self { ca, certificate, key, issuer: Issuer::new(params, ca_key) };
        made.renew();
        made
    }

    /// Gives the server another certificate, which is good.
    pub(crate) fn renew(&self) {
        self.sign(|_| {});
    }

    /// Gives the server another certificate, which has expired.
    pub(crate) fn expire(&self) {
        self.sign(|params| {
            params.not_before = date_time_ymd(2015, 1, 1);
            params.not_after = date_time_ymd(2016, 1, 1);
        });
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("parameters");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(&self.certificate, certificate.pem()).expect("it is written");
        std::fs::write(&self.key, key.serialize_pem()).expect("it is written");
    }
}
