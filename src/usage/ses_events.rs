//! The source `ses-events`: what a configuration set publishes of each mail, in files of JSON lines. It is the best that SES has: its
//! records name the address that a mail came from and the IAM user that sent it, over SMTP too.
//!
//! It shows a part all the same. Only mail that is sent with the configuration set is in it, and whoever has the key may name another,
//! or none. And it names the user, not the key: which of two keys of one user it was, nobody can tell.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use serde_json::{Value, json};

use super::lines::{JSON_LINE, Lines};
use super::log::{blocking, unreadable};
use super::names::Who;
use super::records::ses_record;
use super::rotated;
use super::tally::Sighting;
use super::{Evidence, Found, Question, Sight};
use crate::config::Fields;

/// Several events tell of one mail: so many mails are remembered, to count each once.
const MOST_RECENT: usize = 65_536;
/// Records so far apart belong to one stretch: nothing is published while nothing is sent.
const QUIET_MS: u64 = 86_400_000;

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SesEventsOptions {
    path: PathBuf,
}

/// Files of SES's events.
pub struct SesEvents {
    options: SesEventsOptions,
}

impl SesEvents {
    /// Reads the options: `{path}`, a file or a folder of any depth.
    pub fn options(fields: &mut Fields<'_>) -> Option<SesEventsOptions> {
        Some(SesEventsOptions { path: fields.required_path("path")? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object", "additionalProperties": false, "required": ["path"],
            "properties": {"path": {"type": "string", "minLength": 1}},
        })
    }

    /// A source with these options. Reads nothing yet.
    ///
    /// # Errors
    /// None.
    pub fn open(options: SesEventsOptions) -> Result<Self, Fault> {
        Ok(Self { options })
    }
}

#[async_trait]
impl Evidence for SesEvents {
    async fn look(&self, question: &Question) -> Outcome<Found> {
        let (path, question) = (self.options.path.clone(), question.clone());
        blocking(move |stop| read(&path, &question, stop)).await
    }
}

/// The last mails, so that each is counted once.
#[derive(Default)]
struct Recent {
    order: VecDeque<u64>,
    known: HashSet<u64>,
}

impl Recent {
    /// Whether a mail is new.
    fn is_new(&mut self, message: &str) -> bool {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > MOST_RECENT
            && let Some(old) = self.order.pop_front()
        {
            self.known.remove(&old);
        }
        true
    }
}

fn read(path: &std::path::Path, question: &Question, stop: &AtomicBool) -> Result<Found, Fault> {
    let shown = path.display();
    let part = "only mail with its configuration set is in it, and whoever has the key may name another or none";
    let mut found = Found::new(question, Sight::Part(part));
    let mut recent = Recent::default();
    let (mut broken, mut odd, mut api) = (0_u64, 0_u64, 0_u64);
    let walked = rotated::records(path, question.earliest_ms(), &mut |file| {
        let Ok(stream) = file.open() else {
            broken += 1;
            return true;
        };
        let mut lines = Lines::new(stream, JSON_LINE);
        loop {
            let line = match lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(_) => {
                    broken += 1;
                    break;
                }
            };
            if line.is_empty() {
                continue;
            }
            let Ok(records) = ses_record(line) else {
                odd += 1;
                continue;
            };
            for record in records {
                if (question.earliest_ms()..=question.until_ms).contains(&record.at_ms) {
                    found.covered.see(record.at_ms, QUIET_MS);
                }
                if record.caller != question.account || !recent.is_new(&record.message) {
                    continue;
                }
                api += u64::from(record.smtp == Some(false) && record.at_ms >= question.divide_ms());
                let (at_ms, address) = (record.at_ms, record.address);
                found.seen.see(Sighting { at_ms, address, who: Who::Credential, accepted: true, times: 1 });
            }
        }
        !stop.load(Ordering::Relaxed)
    });
    let walked = walked.map_err(|e| unreadable(format!("{shown}: {}", e.kind())))?;
    if stop.load(Ordering::Relaxed) {
        return Err(unreadable("nobody waits for it any more"));
    }
    if walked.files == 0 {
        return Err(unreadable(format!("there is none at {shown}")));
    }
    broken += walked.unread;
    // Files are found in no order.
    let seen = std::mem::take(&mut found.covered);
    found.covered.join(&seen, QUIET_MS);
    found.covered.ends_at(question.until_ms, QUIET_MS);
    if broken > 0 {
        found.notes.push(format!("{broken} of its files could not be read to their end"));
    }
    if odd > 0 {
        found.notes.push(format!("{odd} of its lines are no records of SES"));
    }
    if api > 0 {
        found.notes.push(format!("{api} of the mails came by SES's API and not by SMTP"));
    }
    found.notes.push("it names the IAM user, not the key: which of its keys it was, it cannot tell".to_owned());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, question};
    use super::*;

    fn line(event: &str, time: &str, message: &str, caller: &str, ip: &str) -> String {
        let operation = if ip.starts_with("198") { "SendRawEmail" } else { "SendSmtpEmail" };
        format!(
            "{{\"eventType\":\"{event}\",\"mail\":{{\"timestamp\":\"{time}\",\"messageId\":\"{message}\",\"tags\":{{\"ses:operation\":[\"{operation}\"],\
             \"ses:source-ip\":[\"{ip}\"],\"ses:caller-identity\":[\"{caller}\"]}}}}}}\n"
        )
    }

    #[test]
    fn each_mail_of_the_user_counts_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = [
            line("Send", "2026-11-20T08:00:00Z", "m1", "newsletter", "192.0.2.7"),
            line("Delivery", "2026-11-20T08:00:00Z", "m1", "newsletter", "192.0.2.7"),
            line("Send", "2026-11-20T09:00:00Z", "m2", "newsletter", "198.51.100.7"),
            line("Send", "2026-11-20T09:00:00Z", "m3", "newsletter-2", "203.0.113.7"),
            "no record\n".to_owned(),
        ];
        std::fs::write(folder.path().join("a.json"), text.concat()).expect("writes");
        std::fs::create_dir(folder.path().join("2026")).expect("a folder");
        std::fs::write(
            folder.path().join("2026/b.json"),
            line("Open", "2026-11-21T08:00:00Z", "m1", "newsletter", "192.0.2.7"),
        )
        .expect("writes");
        let found = read(folder.path(), &question(), &AtomicBool::new(false)).expect("reads");
        assert_eq!(found.seen.window.times, 2);
        assert_eq!(found.seen.networks.len(), 2);
        assert!(matches!(found.sight, Sight::Part(_)));
        assert_eq!(found.covered.stretches().len(), 1);
        assert_eq!(found.covered.stretches()[0].from_ms, at("2026-11-20T08:00:00Z"));
        assert_eq!(
            found.notes[..2],
            ["1 of its lines are no records of SES", "1 of the mails came by SES's API and not by SMTP"]
        );
        assert!(read(&folder.path().join("gone"), &question(), &AtomicBool::new(false)).is_err());
    }

    #[test]
    fn mails_without_number_are_not_remembered() {
        let mut recent = Recent::default();
        (0..3 * MOST_RECENT).for_each(|n| assert!(recent.is_new(&n.to_string())));
        assert_eq!((recent.order.len(), recent.known.len()), (MOST_RECENT, MOST_RECENT));
        assert!(!recent.is_new(&(3 * MOST_RECENT - 1).to_string()));
    }
}
