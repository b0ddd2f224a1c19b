//! Goldens of every view, on the same stories. Each is read as the person who gets it at 3 a.m.

pub(crate) mod stories;

mod goldens;
mod honest;
mod rules;
mod schedules;
