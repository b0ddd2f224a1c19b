//! What runs for months.
//!
//! `outbox` delivers what people are to be told. It is beside everything else: nothing waits for it.

pub mod outbox;
