use std::io::{BufReader, Read, Write};
use std::path::Path;

use super::super::VersionTimes;
use super::super::dovecot_log::Dovecot;
use super::super::postfix_log::Postfix;
use super::super::tests::{at, question, version};
use super::*;

pub(in super::super) fn said<F: LogFormat>(line: &str) -> Said<'_> {
    super::super::doors::said_by::<F>(line).unwrap_or_else(|| panic!("no time: {line}")).1
}

/// What a line says, in a word or two.
pub(in super::super) fn shown(said: Said<'_>) -> String {
    match said {
        Said::Nothing => "nothing".to_owned(),
        Said::Nameless => "nameless".to_owned(),
        Said::Doubtful => "doubtful".to_owned(),
        Said::Unknown { name, address } => format!("?{name} {}", address.map_or("nowhere".to_owned(), |ip| ip.to_string())),
        Said::Login { name, address, accepted, times } => {
            let mark = if accepted { '+' } else { '-' };
            let from = address.map_or("nowhere".to_owned(), |ip| ip.to_string());
            let times = if times == 1 { String::new() } else { format!(" x{times}") };
            format!("{mark}{name} {from}{times}")
        }
    }
}

fn options(path: &Path) -> LogOptions {
    LogOptions { path: path.to_owned(), zone: LogZone::Named(Tz::UTC), usernames: Vec::new(), quiet: QUIET, only_way: false }
}

fn postfix(date: &str, name: &str, ip: &str) -> String {
    format!("{date} mx postfix/smtpd[1]: A1: client=x[{ip}], sasl_method=PLAIN, sasl_username={name}\n")
}

fn asked() -> Question {
    let mut question = question();
    question.versions = vec![version("k1", "newsletter")];
    (question.since_ms, question.until_ms) = (at("2026-11-20T00:00:00Z"), at("2026-11-26T12:00:00Z"));
    question
}

fn read(path: &Path) -> Result<Found, Fault> {
    read_log::<Postfix>(&options(path), &asked(), &AtomicBool::new(false))
}

/// A log with a line every twelve hours, over these days of November.
fn days(from: u32, to: u32) -> String {
    (from..=to)
        .flat_map(|day| ["00:00:00", "12:00:00"].map(|time| format!("Nov {day:2} {time} mx postfix/qmgr[1]: x\n")))
        .collect()
}

#[test]
fn rotated_and_packed_files_are_one_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("mail.log");
    std::fs::write(&log, days(25, 26) + &postfix("Nov 26 12:00:00", "newsletter", "192.0.2.7")).expect("writes");
    std::fs::write(folder.path().join("mail.log.1"), postfix("Nov 22 01:00:00", "NEWSLETTER", "192.0.2.7") + &days(22, 24))
        .expect("writes");
    let packed = std::fs::File::create(folder.path().join("mail.log.2.gz")).expect("a file");
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    packed.write_all((days(18, 21) + &postfix("Nov 21 12:00:00", "newsletter", "2001:db8::7")).as_bytes()).expect("writes");
    packed.finish().expect("writes");
    let found = read(&log).expect("reads");
    assert_eq!(found.seen.window.times, 3);
    assert_eq!(found.seen.networks.len(), 2);
    let asked = asked();
    assert_eq!(found.covered.gap(asked.since_ms, asked.until_ms), None);
    assert_eq!(found.covered.stretches().first().map(|s| s.from_ms), Some(at("2026-11-18T00:00:00Z")));
    // A part in the middle is missing.
    std::fs::remove_file(folder.path().join("mail.log.1")).expect("removes");
    let gap = read(&log).expect("reads").covered.gap(asked.since_ms, asked.until_ms).expect("a gap");
    assert_eq!((gap.from_ms, gap.to_ms), (at("2026-11-21T12:00:00Z"), at("2026-11-25T00:00:00Z")));
    // A packed file that is broken off.
    let bytes = std::fs::read(folder.path().join("mail.log.2.gz")).expect("reads");
    std::fs::write(folder.path().join("mail.log.2.gz"), &bytes[..bytes.len() / 2]).expect("writes");
    let found = read(&log).expect("reads");
    assert!(found.notes.iter().any(|n| n.starts_with("one file could not be read")), "{:?}", found.notes);
    assert!(found.covered.gap(asked.since_ms, asked.until_ms).is_some());
}

#[test]
fn files_that_were_copied_are_dated_by_those_that_follow_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("mail.log");
    let line = |date: &str| format!("{date} 12:00:00 mx postfix/qmgr[1]: x\n");
    std::fs::write(&log, line("Jan 10") + &line("Feb 10")).expect("writes");
    std::fs::write(folder.path().join("mail.log.1"), line("Nov 20") + &line("Dec 31")).expect("writes");
    let found = read(&log).expect("reads");
    let first = found.covered.stretches().first().map(|s| s.from_ms);
    assert_eq!(first, Some(at("2025-11-20T12:00:00Z")), "{:?}", found.covered);
}

#[test]
fn a_log_that_is_silent_or_gone_covers_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("mail.log");
    let Err(fault) = read(&log) else { panic!("there is none") };
    assert_eq!(fault.code, "HO0960");
    // It ends two days before now.
    std::fs::write(&log, days(18, 24)).expect("writes");
    let asked = asked();
    let gap = read(&log).expect("reads").covered.gap(asked.since_ms, asked.until_ms).expect("a gap");
    assert_eq!(gap.from_ms, at("2026-11-24T12:00:00Z"));
    // It begins after the window.
    std::fs::write(&log, days(21, 26)).expect("writes");
    let gap = read(&log).expect("reads").covered.gap(asked.since_ms, asked.until_ms).expect("a gap");
    assert_eq!(gap.to_ms, at("2026-11-21T00:00:00Z"));
    // No time is read from it at all.
    std::fs::write(&log, "hello\n".repeat(9)).expect("writes");
    assert!(read(&log).expect("reads").covered.stretches().is_empty());
}

#[test]
fn without_a_name_nothing_is_looked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("mail.log"), days(18, 26)).expect("writes");
    let mut question = asked();
    question.versions = vec![VersionTimes { username: None, ..version("k1", "x") }];
    let mut options = options(&folder.path().join("mail.log"));
    let Err(fault) = read_log::<Postfix>(&options, &question, &AtomicBool::new(false)) else { panic!("no name") };
    assert_eq!(fault.code, "HO0967");
    options.usernames = vec!["newsletter".to_owned()];
    assert!(read_log::<Postfix>(&options, &question, &AtomicBool::new(false)).is_ok());
}

#[test]
fn logins_at_ses_are_not_seen_by_a_server_of_ones_own_unless_it_is_the_only_way() {
    let mut question = asked();
    let mut options = options(Path::new("/var/log/mail.log"));
    assert_eq!(sight::<Dovecot>(&options, &question), Sight::Logins);
    question.kind = "ses".to_owned();
    assert!(matches!(sight::<Dovecot>(&options, &question), Sight::Part(_)));
    options.only_way = true;
    assert_eq!(sight::<Dovecot>(&options, &question), Sight::Logins);
}

/// A log that is made while it is read: as long as asked for, with a line of the credential now and then, from ever new networks,
/// lines without an end, and bytes that are no text.
struct Endless {
    left: u64,
    n: u32,
    now: Vec<u8>,
    at: usize,
}

impl Endless {
    fn of(size: u64) -> BufReader<Self> {
        BufReader::with_capacity(64 << 10, Self { left: size, n: 0, now: Vec::new(), at: 0 })
    }
}

impl Read for Endless {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.now.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.n += 1;
            let [_, a, b, c] = self.n.to_be_bytes();
            let second = self.n / 3 % 86_400;
            let date = format!(
                "Nov {:2} {:02}:{:02}:{:02}",
                1 + self.n / 3 / 86_400 % 26,
                second / 3600,
                second / 60 % 60,
                second % 60
            );
            let accepted = postfix(&date, "newsletter", &format!("{a}.{b}.{c}.1"));
            self.now = match self.n % 8 {
                0 => accepted.into_bytes(),
                1 => vec![b'x'; 100_000],
                2 => [b"\n\xff\xfe\n".to_vec(), vec![0xff; 3000], b"\n".to_vec()].concat(),
                _ => format!("{date} mx postfix/qmgr[1]: {}\n", "y".repeat(900)).into_bytes(),
            };
            self.at = 0;
        }
        let n = to.len().min(self.now.len() - self.at);
        to[..n].copy_from_slice(&self.now[self.at..self.at + n]);
        self.at += n;
        self.left = self.left.saturating_sub(u64::try_from(n).expect("small"));
        Ok(n)
    }
}

#[test]
fn memory_does_not_grow_with_the_log() {
    let question = asked();
    let kept = |size: u64| {
        let dates = Dates::new(LogZone::Named(Tz::UTC), i64::try_from(question.until_ms).expect("a time"));
        let names = Names::of(&question, &[]);
        let (of, ..) = read_stream::<Postfix, _>(
            Endless::of(size),
            dates,
            &options(Path::new("/x")),
            &question,
            &names,
            &AtomicBool::new(false),
        );
        assert!(of.broken.is_none() && of.tally.before.times + of.tally.window.times > 50);
        (of.tally.kept(), of.tally.beyond.before.times)
    };
    let (small, _) = kept(10 << 20);
    let (large, beyond) = kept(200 << 20);
    assert!(beyond > 0, "the large one has more networks than are kept");
    // What is kept is bounded by the window: hours, and networks of days.
    assert!(large < small + 4 * 1024, "{small} {large}");
    // And the line buffer by the longest line that is kept.
    let mut lines = Lines::new(Endless::of(10 << 20), LOG_LINE);
    while lines.next().expect("memory").is_some() {}
    assert!(lines.room() <= 2 * LOG_LINE, "{}", lines.room());
}
