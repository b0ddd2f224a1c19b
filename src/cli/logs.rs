//! What is logged: warnings in words, as people are told of everything else; or with `HANDOVER_LOG`, lines with time and place for
//! who looks for a fault.
//!
//! What is logged besides warnings comes from Handover only: libraries write requests and answers at their lower levels, with
//! what is in them (S21).

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;

use super::out;
use crate::view::style::visible;

/// From here on, what is logged goes to stderr.
pub(super) fn start() {
    let ours = filter_fn(|meta| meta.target().starts_with("handover") || *meta.level() <= LevelFilter::WARN);
    let _ = match EnvFilter::try_from_env("HANDOVER_LOG") {
        Ok(chosen) => {
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
            tracing_subscriber::registry().with(lines.with_filter(chosen).with_filter(ours)).try_init()
        }
        Err(_) => {
            let words = Words { sink: out::note };
            tracing_subscriber::registry().with(words.with_filter(LevelFilter::WARN)).try_init()
        }
    };
}

/// Each event as a sentence, without time and place.
struct Words<F> {
    sink: F,
}

impl<S: Subscriber, F: Fn(&str) + 'static> Layer<S> for Words<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        let kind = if *event.metadata().level() == Level::ERROR { "error" } else { "warning" };
        let about = if told.about.is_empty() { String::new() } else { format!(" ({})", told.about.join(", ")) };
        (self.sink)(&visible(&format!("{kind}: {}{about}", told.message)));
    }
}

#[derive(Default)]
struct Told {
    message: String,
    /// What else it tells, as `name value`.
    about: Vec<String>,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.about.push(format!("{name} {value:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn what_an_adapter_warns_of_is_told_as_all_other_warnings_are() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let words = Words { sink: move |line: &str| sink.lock().expect("a lock").push(line.to_owned()) };
        let layers = tracing_subscriber::registry().with(words.with_filter(LevelFilter::WARN));
        tracing::subscriber::with_default(layers, || {
            let (path, key) = ("/prod/mail", "AKIA1");
            tracing::warn!(%path, key, count = 3, "the value of {} was overwritten", "somebody");
            tracing::warn!("odd \u{1b}[31m");
            tracing::info!("nobody asked");
            tracing::error!("broken");
        });
        let told = told.lock().expect("a lock");
        assert_eq!(told[0], "warning: the value of somebody was overwritten (path /prod/mail, key AKIA1, count 3)");
        assert!(told[1].starts_with("warning: odd ") && !told[1].contains('\u{1b}'), "{}", told[1]);
        assert_eq!((told[2].as_str(), told.len()), ("error: broken", 3));
    }
}
