//! A run as it happens: a board on a terminal, plain lines with times elsewhere, or JSON lines on stdout. It shows what the
//! engine tells it and holds nothing up.

use std::collections::BTreeSet;
use std::time::Duration;

use handover_rotation::command::Command;
use handover_rotation::event::Event;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::args::Global;
use super::view::board::{self, Board};
use super::view::line::Doubts;
use super::view::style::visible;
use super::view::{Style, by_hand, line};
use super::{flags, out};

/// Shows a run to a person.
pub struct Live {
    style: Style,
    running: BTreeSet<Command>,
    rotation: Option<Rotation>,
    doubts: Doubts,
    global: Option<Global>,
    /// What a person was last told to do at the provider.
    asked: Option<(Command, Option<String>)>,
    show: Show,
}

enum Show {
    Board(Bars),
    Lines(Box<dyn FnMut(&str) + Send>),
}

struct Bars {
    all: MultiProgress,
    head: ProgressBar,
    targets: Vec<ProgressBar>,
    wait: Option<(Millis, handover_rotation::time::Span)>,
    /// The clock of the rotation, and when it was heard here.
    step_began: Option<Millis>,
}

impl Live {
    /// A board where a person looks at stderr, plain lines on stderr elsewhere.
    #[must_use]
    pub fn new() -> Self {
        if out::is_watched() {
            Self::board(out::stderr_style(), ProgressDrawTarget::stderr())
        } else {
            Self::lines(out::stderr_style(), Box::new(out::note))
        }
    }

    /// Plain lines, each given to `sink`.
    #[must_use]
    pub fn lines(style: Style, sink: Box<dyn FnMut(&str) + Send>) -> Self {
        Self::showing(style, Show::Lines(sink))
    }

    /// A board drawn on `target`.
    #[must_use]
    pub fn board(style: Style, target: ProgressDrawTarget) -> Self {
        let all = MultiProgress::with_draw_target(target);
        let head = all.add(ProgressBar::new_spinner());
        head.set_style(spinner(style, None));
        head.enable_steady_tick(Duration::from_millis(120));
        let bars = Bars { all, head, targets: Vec::new(), wait: None, step_began: None };
        Self::showing(style, Show::Board(bars))
    }

    fn showing(style: Style, show: Show) -> Self {
        Self { style, running: BTreeSet::new(), rotation: None, doubts: Doubts::default(), global: None, asked: None, show }
    }

    /// Puts the flags that were given into the commands that it tells a person to type.
    #[must_use]
    pub fn repeating(mut self, global: &Global) -> Self {
        self.global = Some(global.clone());
        self
    }

    /// Takes in what was recorded before anyone looked, and shows nothing of it.
    pub fn catch_up(&mut self, events: &[(Millis, Event)], r: &Rotation) {
        for (at, event) in events {
            self.step(*at, event, r);
        }
    }

    /// Goes on by one event; the lines of the doubts that it ended. A line is about the state that its own event left: those
    /// that were recorded with it may have forgotten what it says already.
    fn step(&mut self, at: Millis, event: &Event, last: &Rotation) -> Vec<String> {
        let before = self.rotation.take();
        let after = match before.clone() {
            None => Rotation::begin(at, event).ok(),
            Some(mut r) => r.apply(at, event).is_ok().then_some(r),
        };
        let after = after.unwrap_or_else(|| last.clone());
        let lines = before.map(|before| self.doubts.lines(&before, &after, event, self.style)).unwrap_or_default();
        self.rotation = Some(after);
        lines
    }

    /// These events were recorded; `r` is the state after the last of them.
    pub fn recorded(&mut self, events: &[(Millis, Event)], r: &Rotation) {
        for (at, event) in events {
            if let Event::Settled { command, .. } = event {
                self.running.remove(command);
            }
            let ended = self.step(*at, event, r);
            let state = self.rotation.as_ref().unwrap_or(r);
            let mut lines = line::lines(event, *at, state, self.style);
            lines.extend(ended);
            for text in lines {
                self.print(*at, text);
            }
        }
        self.rotation = Some(r.clone());
        let now = r.at;
        self.redraw(now);
    }

    /// A person is asked for this now. What was told before is not told again.
    pub fn asked(&mut self, command: Option<&Command>, r: &Rotation, now: Millis) {
        let again = command.and_then(|command| by_hand::again(r, command));
        let asked = command.map(|command| (command.clone(), again));
        if asked == self.asked {
            return;
        }
        for text in command.iter().flat_map(|command| by_hand::lines(r, command)) {
            self.print(now, visible(&text));
        }
        self.asked = asked;
        self.redraw(now);
    }

    fn print(&mut self, at: Millis, text: String) {
        let text = match &self.global {
            Some(global) => flags::repeat(global, &text),
            None => text,
        };
        let text = format!("{}  {text}", self.style.clock(at));
        match &mut self.show {
            Show::Lines(sink) => sink(&text),
            // A terminal that has gone away is no reason to stop.
            Show::Board(bars) => drop(bars.all.println(text)),
        }
    }

    /// These commands are on their way.
    pub fn started(&mut self, commands: &[Command], now: Millis) {
        self.running.extend(commands.iter().cloned());
        self.redraw(now);
    }

    /// Clears the board; what was printed stays.
    pub fn finish(&mut self) {
        if let Show::Board(bars) = &mut self.show {
            for bar in &bars.targets {
                bar.finish_and_clear();
            }
            bars.head.finish_and_clear();
            let _ = bars.all.clear();
        }
    }

    fn redraw(&mut self, now: Millis) {
        let (Show::Board(bars), Some(r)) = (&mut self.show, &self.rotation) else { return };
        let asked = self.asked.as_ref().map(|(command, _)| command);
        let board = board::board(r, &self.running, asked, self.style);
        bars.draw(&board, r.step_started, now, self.style);
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Bars {
    fn draw(&mut self, board: &Board, step_began: Option<Millis>, now: Millis, style: Style) {
        if step_began.is_some() && step_began != self.step_began {
            self.step_began = step_began;
            self.head.reset_elapsed();
        }
        if board.wait != self.wait {
            self.wait = board.wait;
            // From here on the bar counts by itself, from what is left at this moment.
            let left = board.wait.map(|(began, span)| began.after(span).since(now));
            let shown = self.head.elapsed();
            self.head.set_style(spinner(style, left.map(|l| shown + Duration::from_millis(l.0))));
        }
        self.head.set_message(board.head.clone());
        while self.targets.len() < board.targets.len() {
            let bar = self.all.add(ProgressBar::new_spinner());
            bar.set_style(plain());
            self.targets.push(bar);
        }
        for (bar, text) in self.targets.iter().zip(&board.targets) {
            bar.set_message(text.clone());
            bar.tick();
        }
    }
}

/// The line of the step: a spinner, what it does, how long it has taken, and what is left of its wait.
fn spinner(style: Style, until: Option<Duration>) -> ProgressStyle {
    let template = if style.colour { "{spinner:.cyan} {msg}  {elapsed}{left}" } else { "{spinner} {msg}  {elapsed}{left}" };
    let frames = style.pick("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ", "|/-\\ ");
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()).tick_chars(frames).with_key(
        "left",
        move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            if let Some(until) = until {
                let left = until.saturating_sub(state.elapsed());
                let _ = write!(to, ", {}s left", left.as_secs());
            }
        },
    )
}

fn plain() -> ProgressStyle {
    ProgressStyle::with_template("  {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Shows a run to a program: every event as one JSON object a line on stdout.
pub struct JsonLines {
    next: u64,
    asked: Option<serde_json::Value>,
    sink: Box<dyn FnMut(&str) + Send>,
}

impl JsonLines {
    /// On stdout; `next` is the number of the next event within its rotation, 1 for a new one.
    #[must_use]
    pub fn new(next: u64) -> Self {
        // A full disk behind a pipe must not stop a rotation half-way.
        Self::to(next, Box::new(|line| drop(out::data(line))))
    }

    /// Each line given to `sink`.
    #[must_use]
    pub fn to(next: u64, sink: Box<dyn FnMut(&str) + Send>) -> Self {
        Self { next, asked: None, sink }
    }

    /// These events were recorded; `r` is the state after the last of them.
    pub fn recorded(&mut self, events: &[(Millis, Event)], r: &Rotation) {
        for (at, event) in events {
            (self.sink)(&line::json_line(r, self.next, *at, event));
            self.next += 1;
        }
    }

    /// A person is asked for this now: one line each time that it changes. Not an event of the journal.
    pub fn asked(&mut self, command: Option<&Command>, r: &Rotation, now: Millis) {
        let asked = command.map(|_| by_hand::json(r, now)).filter(|asked| !asked.is_null());
        if let Some(asked) = &asked
            && self.asked.as_ref() != Some(asked)
        {
            (self.sink)(&serde_json::json!({"event": "asked", "rotation": r.id, "asked": asked}).to_string());
        }
        self.asked = asked;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;
    use crate::cli::view::tests::stories;

    /// A terminal that keeps what was written since it was last cleared.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn put(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().expect("a lock").push_str(text);
            Ok(())
        }
        fn take(&self) -> String {
            std::mem::take(&mut *self.0.lock().expect("a lock"))
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.put(text).and_then(|()| self.put("\n"))
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.put(text)
        }
        fn clear_line(&self) -> std::io::Result<()> {
            self.put("\n")
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn replay(events: &[(Millis, Event)], mut each: impl FnMut(&[(Millis, Event)], &Rotation)) {
        let mut r = Rotation::begin(events[0].0, &events[0].1).expect("started");
        each(&events[..1], &r);
        for i in 1..events.len() {
            r.apply(events[i].0, &events[i].1).expect("an event that follows");
            each(&events[i..=i], &r);
        }
    }

    #[test]
    fn without_a_terminal_a_line_says_what_changed_and_a_poll_says_nothing() {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let mut live = Live::lines(
            stories::STYLE,
            Box::new(move |line| {
                let mut text = sink.lock().expect("a lock");
                text.push_str(line);
                text.push('\n');
            }),
        );
        let events = stories::rolled_back();
        replay(&events, |events, r| live.recorded(events, r));
        let text = text.lock().expect("a lock");
        assert!(text.lines().count() < events.len() / 2, "{text}");
        insta::assert_snapshot!("live_lines_rolled_back", *text);
    }

    /// The lines of a story, its events told one by one or all in one piece.
    fn told(events: &[(Millis, Event)], one_by_one: bool) -> String {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let mut live =
            Live::lines(stories::STYLE, Box::new(move |line| *sink.lock().expect("a lock") += &format!("{line}\n")));
        if one_by_one {
            replay(events, |events, r| live.recorded(events, r));
        } else {
            live.recorded(events, &stories::fold(&events.to_vec()));
        }
        let text = text.lock().expect("a lock");
        text.clone()
    }

    #[test]
    fn what_a_person_is_asked_is_told_once() {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let put = move |line: &str| *sink.lock().expect("a lock") += &format!("{line}\n");
        let mut live = Live::lines(stories::STYLE, Box::new(put));
        let r = stories::fold(&stories::waits_for_person());
        let create = Command::Create(handover_rotation::name::Slot(1));
        for _ in 0..3 {
            live.asked(Some(&create), &r, r.at);
        }
        live.asked(None, &r, r.at);
        insta::assert_snapshot!("live_lines_asked", *text.lock().expect("a lock"));
    }

    #[test]
    fn what_failed_is_never_ticked_off_however_it_was_recorded() {
        let never = [
            (stories::refused_by_provider(), "ok create the new version"),
            (stories::refused_by_server(), "is refused by the server"),
        ];
        for (events, lie) in never {
            let text = told(&events, false);
            assert!(!text.contains(lie), "{lie}:\n{text}");
            assert_eq!(text, told(&events, true), "the same in one piece");
        }
    }

    #[test]
    fn the_end_of_a_doubt_is_told() {
        let text = told(&stories::lost_answers(), true);
        for line in [
            "! write the new version to production: no certain answer",
            "ok write the new version to production: reading it back showed that it had happened: it holds new AKIA4712",
            "ok disable the old version AKIA4711: a look showed that it had happened: disabled",
        ] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
        let killed = told(&stories::done_after_trouble(), true);
        let line = "! write the new version to production: reading it back showed that it had not happened";
        assert!(killed.contains(line), "{line}:\n{killed}");
    }

    #[test]
    fn on_a_terminal_each_entry_and_service_has_a_line() {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let mut live = Live::board(stories::STYLE, target);
        let events = stories::until_step(stories::drill(), 6);
        replay(&events, |events, r| live.recorded(events, r));
        let probe = Command::Probe(handover_rotation::name::EntryName::new("staging").expect("a name"));
        live.started(&[probe], events[events.len() - 1].0);
        // Drawn at once, whatever the rate of refreshing allows.
        if let Show::Board(bars) = &live.show {
            screen.take();
            bars.all.println("x").expect("a screen");
        }
        let shown = screen.take();
        for name in
            ["step 7 of 14", "entry   staging", "entry   production", "service api-staging", "service api-production"]
        {
            assert!(shown.contains(name), "{name} is missing:\n{shown}");
        }
        assert!(shown.contains("sending mail"), "{shown}");
        live.finish();
        screen.take();
        live.recorded(&events[..1], &stories::fold(&events));
        assert!(!screen.take().contains("api-staging"), "the board is gone");
    }

    #[test]
    fn every_event_is_one_json_object_with_its_number_time_and_rotation() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let mut json = JsonLines::to(1, Box::new(move |line| sink.lock().expect("a lock").push(line.to_owned())));
        let events = stories::rolled_back();
        replay(&events, |events, r| json.recorded(events, r));
        let lines = lines.lock().expect("a lock");
        assert_eq!(lines.len(), events.len());
        for (i, line) in lines.iter().enumerate() {
            assert!(!line.contains('\n'));
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(value["seq"], i + 1);
            assert_eq!(value["at"], events[i].0.0);
            assert_eq!(value["rotation"], "rot-7f3k");
            let event: Event = serde_json::from_value(value).expect("an event");
            assert_eq!(event, events[i].1);
        }
    }
}
