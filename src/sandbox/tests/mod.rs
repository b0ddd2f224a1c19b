//! The sandbox as a whole, over real sockets: dialogues, logins, faults, services, restarts.

mod foreign;
mod logins;
mod restarts;
mod services;
mod smtp;
mod world;
