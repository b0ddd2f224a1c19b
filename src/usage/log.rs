//! What the logs of mail servers have in common: files with their rotated ones are read line by line, in a buffer of one size, and
//! what concerns the credential is counted. What a line says is the business of a format; a format keeps nothing of a line.

use std::io::BufRead;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono_tz::Tz;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use serde_json::{Value, json};

use super::lines::{LOG_LINE, Lines};
use super::names::Names;
use super::rotated::{self, LogFile};
use super::stamp::{self, Dates, LogZone, Stamp};
use super::tally::{Sighting, Tally};
use super::{Coverage, Evidence, Found, Question, Sight};
use crate::config::{Fields, schema};

/// So long may a log be silent without anything missing, if the inventory says nothing.
const QUIET: Span = Span::minutes(24 * 60);
/// How far the clock of a file system may be off.
const SLACK_MS: i64 = 86_400_000;
/// How often a reader looks whether it is still wanted.
const LOOK_UP: u64 = 4096;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'l> {
    /// Nothing of a login.
    Nothing,
    /// A login.
    Login {
        /// The name, as the server writes it.
        name: &'l str,
        /// From where.
        address: Option<IpAddr>,
        /// Whether it was accepted.
        accepted: bool,
        /// How often.
        times: u64,
    },
    /// A user database does not know the name; another one may.
    Unknown {
        /// The name.
        name: &'l str,
        /// From where.
        address: Option<IpAddr>,
    },
    /// A refused login whose name is not told.
    Nameless,
    /// It can be read in two ways: whoever logged in has chosen a name that looks like a part of the line.
    Doubtful,
}

/// A server's log.
pub trait LogFormat: Default + Send + Sync + 'static {
    /// What the source is called.
    const KIND: &'static str;
    /// What of a credential's use such a log shows.
    const SIGHT: Sight;
    /// What is to be said of it in every report.
    const LIMIT: Option<&'static str>;

    /// What a line says, its time left out.
    fn said<'l>(&mut self, rest: &'l str) -> Said<'l>;
}

/// What an inventory says about a log.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A file, with its rotated ones, or a folder of them.
    pub path: PathBuf,
    /// Whose clock wrote it, where its lines do not say.
    pub zone: LogZone,
    /// Further login names of the credential.
    pub usernames: Vec<String>,
    /// How long it may be silent.
    pub quiet: Span,
    /// Whether nobody reaches the provider but through the server that writes it.
    pub only_way: bool,
}

/// The log of a mail server as evidence.
pub struct LogSource<F> {
    options: LogOptions,
    format: PhantomData<F>,
}

impl<F: LogFormat> LogSource<F> {
    /// Reads the options: `{path, timezone, usernames, quiet, only_way}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<LogOptions> {
        let path = fields.required_path("path");
        let named = fields.optional_str("timezone");
        let usernames = fields.optional_list("usernames");
        let quiet = fields.optional_duration("quiet", Span::minutes(60)..=Span::minutes(31 * 24 * 60));
        let only_way = fields.optional_bool("only_way");
        let zone = match named.as_deref().map(str::parse::<Tz>) {
            None => LogZone::Here,
            Some(Ok(zone)) => LogZone::Named(zone),
            Some(Err(_)) => {
                let message = format!("`{}` is no time zone", named.unwrap_or_default());
                fields.problem("HO0113", "timezone", message, "write it as `Europe/Berlin` or `UTC`");
                return None;
            }
        };
        Some(LogOptions {
            path: path?,
            zone,
            usernames: usernames.unwrap_or_default(),
            quiet: quiet.unwrap_or(QUIET),
            only_way: only_way.unwrap_or(false),
        })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let text = json!({"type": "string", "minLength": 1});
        json!({
            "type": "object", "additionalProperties": false, "required": ["path"],
            "properties": {
                "path": text, "timezone": text, "usernames": {"type": "array", "minItems": 1, "items": text},
                "quiet": schema::duration(), "only_way": {"type": "boolean"},
            },
        })
    }

    /// A log with these options. Reads nothing yet.
    ///
    /// # Errors
    /// None.
    pub fn open(options: LogOptions) -> Result<Self, Fault> {
        Ok(Self { options, format: PhantomData })
    }
}

#[async_trait]
impl<F: LogFormat> Evidence for LogSource<F> {
    async fn look(&self, question: &Question) -> Outcome<Found> {
        let (options, question) = (self.options.clone(), question.clone());
        blocking(move |stop| read_log::<F>(&options, &question, stop)).await
    }
}

/// Reads files on a thread for that; it ends soon after whoever asked has gone.
pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce(&AtomicBool) -> Result<T, Fault> + Send + 'static,
) -> Outcome<T> {
    struct Stop(Arc<AtomicBool>);
    impl Drop for Stop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = Stop(Arc::default());
    let flag = Arc::clone(&stop.0);
    match tokio::task::spawn_blocking(move || read(&flag)).await {
        Ok(Ok(found)) => Outcome::Done(found),
        Ok(Err(fault)) => Outcome::NotDone(fault),
        Err(_) => Outcome::NotDone(unreadable("reading broke off")),
    }
}

/// The fault of a log that cannot be read.
pub(super) fn unreadable(what: impl std::fmt::Display) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0960", format!("cannot read the log: {what}"))
        .hint("is the path right, and may Handover read it? Mail logs are often readable by the group `adm` only")
}

/// What one file has brought.
struct OfFile {
    tally: Tally,
    seen: Coverage,
    first_ms: Option<i64>,
    doubtful: u64,
    nameless: u64,
    cut: u64,
    zoneless: bool,
    yearless: bool,
    /// Why it was not read to its end.
    broken: Option<std::io::Error>,
}

fn read_log<F: LogFormat>(options: &LogOptions, question: &Question, stop: &AtomicBool) -> Result<Found, Fault> {
    let names = Names::of(question, &options.usernames);
    if names.is_empty() {
        let fault =
            Fault::new(FaultClass::Permanent, "HO0967", format!("no login name of {} is known", question.credential));
        return Err(
            fault.hint("name them as `usernames` of the source, or give --state of the journal that has its rotations")
        );
    }
    let shown = options.path.display();
    let files = rotated::logs(&options.path).map_err(|e| unreadable(format!("{shown}: {}", e.kind())))?;
    if files.groups.iter().all(Vec::is_empty) {
        return Err(unreadable(format!("there is none at {shown}")));
    }
    let now = i64::try_from(question.until_ms).ok();
    let earliest_ms = i64::try_from(question.earliest_ms()).unwrap_or(0);
    let mut found = Found::new(question, sight::<F>(options, question));
    let (mut doubtful, mut nameless, mut cut, mut zoneless, mut yearless) = (0, 0, 0, false, false);
    let mut broken: Vec<std::io::Error> = Vec::new();
    let mut whole = 0;
    for group in &files.groups {
        // The newest first: each file ends before the one after it begins, which dates lines without a year.
        let mut next_ms = now;
        for file in group {
            if stop.load(Ordering::Relaxed) {
                return Err(unreadable("nobody waits for it any more"));
            }
            // What was last written before all that is asked about holds nothing of it.
            if file.written_ms.saturating_add(SLACK_MS) < earliest_ms {
                whole += 1;
                continue;
            }
            let anchor = next_ms.map_or(file.written_ms, |next| next.min(file.written_ms));
            let of = match read_file::<F>(file, options, anchor, question, &names, stop) {
                Ok(of) => of,
                Err(error) => {
                    broken.push(error);
                    continue;
                }
            };
            found.seen.merge(&of.tally);
            found.covered.join(&of.seen, options.quiet.0);
            (doubtful, nameless, cut) = (doubtful + of.doubtful, nameless + of.nameless, cut + of.cut);
            (zoneless, yearless) = (zoneless || of.zoneless, yearless || of.yearless);
            next_ms = of.first_ms.or(next_ms);
            whole += 1;
            broken.extend(of.broken);
        }
    }
    if let (0, Some(error)) = (whole, broken.first()) {
        return Err(unreadable(format!("{shown}: {}", error.kind())));
    }
    found.covered.ends_at(question.until_ms, options.quiet.0);
    let mut note = |times: u64, one: &str, many: &str| match times {
        0 => {}
        1 => found.notes.push(format!("one {one}")),
        n => found.notes.push(format!("{n} {many}")),
    };
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    note(count(broken.len()), "file could not be read to its end", "files could not be read to their end");
    note(
        count(files.unread),
        "file is packed otherwise than by gzip and was not read",
        "files are packed otherwise than by gzip and were not read",
    );
    note(u64::from(files.too_many), "folder has more files than are read", "");
    note(
        doubtful,
        "line can be read in two ways and counts for nobody",
        "lines can be read in two ways and count for nobody",
    );
    note(nameless, "refused login does not tell its name", "refused logins do not tell their names");
    note(cut, "line was longer than 16 KiB and was cut", "lines were longer than 16 KiB and were cut");
    if zoneless && options.zone == LogZone::Here {
        found.notes.push("its times have no zone and were taken as this machine's: `timezone` says otherwise".to_owned());
    }
    if yearless {
        found.notes.push("its times have no year: it was inferred".to_owned());
    }
    found.notes.extend(F::LIMIT.map(str::to_owned));
    Ok(found)
}

/// What the log shows of this credential. SES takes its logins itself: no server of one's own sees them, unless it is the only way
/// there.
fn sight<F: LogFormat>(options: &LogOptions, question: &Question) -> Sight {
    match question.kind == "ses" && !options.only_way {
        true => Sight::Part("SES takes logins from everywhere, and this server sees only those that come to it"),
        false => F::SIGHT,
    }
}

fn read_file<F: LogFormat>(
    file: &LogFile,
    options: &LogOptions,
    anchor_ms: i64,
    question: &Question,
    names: &Names,
    stop: &AtomicBool,
) -> std::io::Result<OfFile> {
    let dates = Dates::new(options.zone, anchor_ms);
    let (of, ahead, first) = read_stream::<F, _>(file.open()?, dates, options, question, names, stop);
    // The file is more than a year long: its first line was dated too late.
    match (ahead, first) {
        (1.., Some(first)) => {
            let dates = Dates::earlier(options.zone, anchor_ms, first, ahead);
            Ok(read_stream::<F, _>(file.open()?, dates, options, question, names, stop).0)
        }
        _ => Ok(of),
    }
}

/// Reads a stream: what it has brought, by how many years its dates run ahead of what dates the file, and its first stamp.
fn read_stream<F: LogFormat, R: BufRead>(
    stream: R,
    mut dates: Dates,
    options: &LogOptions,
    question: &Question,
    names: &Names,
    stop: &AtomicBool,
) -> (OfFile, i32, Option<Stamp>) {
    let mut lines = Lines::new(stream, LOG_LINE);
    let mut format = F::default();
    let mut of = OfFile {
        tally: Tally::new(question),
        seen: Coverage::default(),
        first_ms: None,
        doubtful: 0,
        nameless: 0,
        cut: 0,
        zoneless: false,
        yearless: false,
        broken: None,
    };
    let mut first_stamp = None;
    let mut last_ms = None;
    let mut read = 0_u64;
    loop {
        read += 1;
        if read.is_multiple_of(LOOK_UP) && stop.load(Ordering::Relaxed) {
            break;
        }
        let line = match lines.next() {
            Ok(Some(line)) => String::from_utf8_lossy(line),
            Ok(None) => break,
            Err(error) => {
                of.broken = Some(error);
                break;
            }
        };
        let Some((stamp, rest)) = stamp::split(&line) else { continue };
        let Some(ms) = dates.moment(stamp) else { continue };
        let Ok(at_ms) = u64::try_from(ms) else { continue };
        first_stamp = first_stamp.or(Some(stamp));
        of.first_ms = of.first_ms.or(Some(ms));
        last_ms = Some(ms);
        of.seen.see(at_ms, options.quiet.0);
        match format.said(rest) {
            Said::Nothing => {}
            Said::Nameless => of.nameless += u64::from(at_ms >= question.since_ms),
            Said::Doubtful => of.doubtful += u64::from(at_ms >= question.since_ms),
            Said::Login { name, address, accepted, times } => {
                if let Some(who) = names.who(name) {
                    of.tally.see(Sighting { at_ms, address, who, accepted, times });
                }
            }
            Said::Unknown { name, address } => {
                if let Some(who) = names.who(name) {
                    of.tally.see_unknown(Sighting { at_ms, address, who, accepted: false, times: 1 });
                }
            }
        }
    }
    of.cut = lines.cut;
    (of.zoneless, of.yearless) = (dates.zoneless, dates.yearless);
    let ahead = last_ms.map_or(0, |last| dates.ahead(last));
    (of, ahead, first_stamp)
}

/// The program that wrote a line, and what it says: of `host postfix/smtpd[12]: text`, `postfix/smtpd` and `text`.
pub(super) fn program(rest: &str) -> Option<(&str, &str)> {
    let (_host, rest) = rest.split_once(' ')?;
    let (tag, text) = rest.split_once(": ")?;
    let name = match tag.strip_suffix(']') {
        Some(tag) => {
            let (name, pid) = tag.rsplit_once('[')?;
            pid.bytes().all(|b| b.is_ascii_digit()).then_some(name)?
        }
        None => tag,
    };
    (!name.contains(' ')).then_some((name, text))
}

#[cfg(test)]
#[path = "log_tests.rs"]
pub(super) mod tests;
