//! The command line: what people and scripts meet. Views turn data into text, `live` shows a run as it happens, and `out` is
//! the one place that writes.

pub mod live;
pub mod out;
pub mod view;
