//! A run as it happens: a board on a terminal, plain lines with times elsewhere, or JSON lines on stdout. It shows what the
//! engine tells it and holds nothing up.

use std::collections::BTreeMap;
use std::time::Duration;

use handover_rotation::command::Command;
use handover_rotation::event::Event;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::args::Global;
use super::{flags, out};
use crate::view::board::{self, Board};
use crate::view::line::Doubts;
use crate::view::style::visible;
use crate::view::{Style, by_hand, line};

/// Shows a run to a person.
pub struct Live {
    style: Style,
    /// The commands under way, and when each began.
    running: BTreeMap<Command, Millis>,
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
    targets: Vec<Line>,
    wait: Option<(Millis, handover_rotation::time::Span)>,
    /// The clock of the rotation, and when it was heard here.
    step_began: Option<Millis>,
}

/// The line of an entry or a service.
struct Line {
    bar: ProgressBar,
    /// The command that is under way for it, and when it began.
    doing: Option<(Command, Millis)>,
    /// How long that had taken when the bar had counted how much.
    taken: Option<(Duration, Duration)>,
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
        out::draws(Some(&all));
        let bars = Bars { all, head, targets: Vec::new(), wait: None, step_began: None };
        Self::showing(style, Show::Board(bars))
    }

    fn showing(style: Style, show: Show) -> Self {
        Self { style, running: BTreeMap::new(), rotation: None, doubts: Doubts::default(), global: None, asked: None, show }
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
        self.running.extend(commands.iter().map(|command| (command.clone(), now)));
        self.redraw(now);
    }

    /// Clears the board; what was printed stays.
    pub fn finish(&mut self) {
        if let Show::Board(bars) = &mut self.show {
            for line in &bars.targets {
                line.bar.disable_steady_tick();
                line.bar.finish_and_clear();
            }
            bars.head.finish_and_clear();
            let _ = bars.all.clear();
            out::draws(None);
        }
    }

    fn redraw(&mut self, now: Millis) {
        let (Show::Board(bars), Some(r)) = (&mut self.show, &self.rotation) else { return };
        let asked = self.asked.as_ref().map(|(command, _)| command);
        let board = board::board(r, &self.running.keys().cloned().collect(), asked, self.style);
        bars.draw(&board, &self.running, r.step_started, now, self.style);
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
    fn draw(
        &mut self,
        board: &Board,
        running: &BTreeMap<Command, Millis>,
        step_began: Option<Millis>,
        now: Millis,
        style: Style,
    ) {
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
            self.targets.push(Line { bar, doing: None, taken: None });
        }
        for (line, target) in self.targets.iter_mut().zip(&board.targets) {
            let began = target.doing.as_ref().and_then(|command| running.get_key_value(command));
            line.draw(&target.text, began.map(|(command, began)| (command.clone(), *began)), now, style);
        }
    }
}

impl Line {
    fn draw(&mut self, text: &str, doing: Option<(Command, Millis)>, now: Millis, style: Style) {
        let changed = doing != self.doing;
        if changed {
            // From here on the bar counts by itself, from what the command has taken at this moment.
            let taken = doing.as_ref().map(|(_, began)| Duration::from_millis(now.since(*began).0));
            self.taken = taken.map(|taken| (taken, self.bar.elapsed()));
            self.doing = doing;
            self.bar.disable_steady_tick();
        }
        self.bar.set_style(plain(text.to_owned(), self.taken, style.width.saturating_sub(2)));
        // While it ticks by itself, this does nothing.
        self.bar.tick();
        if changed && self.doing.is_some() {
            self.bar.enable_steady_tick(Duration::from_millis(250));
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

/// The line of an entry or a service, and how long its command has taken: a line that is too long gives way to that.
fn plain(text: String, taken: Option<(Duration, Duration)>, width: usize) -> ProgressStyle {
    ProgressStyle::with_template("  {line}").unwrap_or_else(|_| ProgressStyle::default_spinner()).with_key(
        "line",
        move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let took = taken.map(|(taken, then)| (taken + state.elapsed().saturating_sub(then)).as_secs());
            let took = took.map_or_else(String::new, |seconds| format!("  {seconds}s"));
            let text: String = text.chars().take(width.saturating_sub(took.len())).collect();
            let _ = write!(to, "{text}{took}");
        },
    )
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

    use handover_rotation::command::Fact;
    use handover_rotation::name::ServiceName;
    use handover_rotation::outcome::Outcome;
    use handover_rotation::time::Span;
    use indicatif::TermLike;

    use super::*;
    use crate::view::tests::stories;

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
        // What anyone else has to say is written above it.
        screen.take();
        out::note("warning: something");
        assert!(screen.take().contains("api-staging"), "the board is drawn anew");
        live.finish();
        screen.take();
        out::note("warning: something");
        assert_eq!(screen.take(), "");
        live.recorded(&events[..1], &stories::fold(&events));
        assert!(!screen.take().contains("api-staging"), "the board is gone");
    }

    #[test]
    fn the_line_of_a_target_tells_how_long_its_own_command_has_taken() {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let mut live = Live::board(stories::STYLE, target);
        let events = stories::until_step(stories::drill(), 6);
        replay(&events, |events, r| live.recorded(events, r));
        let name = ServiceName::new("api-production").expect("a name");
        let (ask, send) = (Command::Attest(name.clone()), Command::TestSend(name));
        let began = events[events.len() - 1].0;
        let after = |seconds| began.after(Span::seconds(seconds));
        // The end of its line, the screen drawn anew. Lines are as wide as the screen.
        let line = |live: &Live| {
            let Show::Board(bars) = &live.show else { panic!("a board") };
            bars.all.println("x").expect("a screen");
            let shown = screen.take();
            let (_, line) = shown.rsplit_once("service api-production").expect("its line");
            line.split("service").next().unwrap_or_default().chars().take(48).collect::<String>().trim().to_owned()
        };
        let end = |live: &mut Live, command: &Command, at: Millis| {
            let r = Rotation { at, ..live.rotation.clone().expect("a rotation") };
            let outcome = Outcome::Done(Fact::Done);
            live.recorded(&[(at, Event::Settled { effect: None, command: command.clone(), began, outcome })], &r);
        };
        assert_eq!(line(&live), "");
        live.started(std::slice::from_ref(&ask), began);
        live.started(std::slice::from_ref(&send), after(3));
        assert_eq!(line(&live), "asking what it presents  0s");
        end(&mut live, &ask, after(63));
        assert_eq!(line(&live), "sending mail  60s", "from when it began, not from when the other one ended");
        end(&mut live, &send, after(64));
        assert_eq!(line(&live), "", "nothing is under way");
    }

    #[test]
    fn a_line_that_is_too_long_gives_way_to_the_time() {
        let text = |taken: Option<Duration>| {
            let screen = Screen::default();
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term_like(Box::new(screen.clone())));
            bar.set_style(plain("0123456789".to_owned(), taken.map(|taken| (taken, Duration::ZERO)), 9));
            bar.tick();
            screen.take().trim().to_owned()
        };
        assert_eq!(text(None), "012345678");
        assert_eq!(text(Some(Duration::from_secs(12))), "0123  12s");
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
