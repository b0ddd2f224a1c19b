//! Views: data in, text out. Nothing here reads a clock, a file, a terminal or the environment; whoever prints decides where.
//!
//! ```text
//! plan  impact  rehearsal   before a rotation
//! status  line  board   while it runs or rests     acts   what an act of a person would do
//! report  timeline      when it has ended
//! history  html         afterwards, for the record
//! schedule                  when the next ones begin by themselves
//! alerts                leak alerts, each with its clock
//! usage                 who used a credential, and what is unusual
//! spans                 a rotation as a trace
//! story                 what all of them read: the events of one rotation, told in order
//! by_hand                   what a person is asked to do where the provider has no API
//! words  page  style    how names, versions, steps and times are written
//! ```

pub mod acts;
pub mod alerts;
pub mod board;
pub mod by_hand;
pub mod history;
pub mod html;
pub mod impact;
pub mod line;
pub mod page;
pub mod plan;
pub mod rehearsal;
pub mod report;
pub mod schedule;
pub mod spans;
pub mod standing;
pub mod status;
pub mod story;
pub mod style;
pub mod timeline;
pub mod usage;
pub mod words;

mod evidence;
mod next;

pub use style::{Style, Zone};

#[cfg(test)]
pub(crate) mod tests;
