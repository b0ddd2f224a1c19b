//! What people are told: plain data, made by `compose` or by the daemon, kept in the outbox as JSON with the version of its form.
//!
//! Each text is cut and cleaned when it comes in, and again when it is read back: a notice is shown in chats, mails and pages.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::NoticeKind;
use super::text::line;

/// The form of notices that this release writes, and the newest that it reads.
pub const FORMAT: u16 = 1;

/// The longest title in characters: a subject, and the summary of a page.
const TITLE_MOST: usize = 200;
const LINE_MOST: usize = 600;
/// The most lines, and the most names of one sort.
const LINES_MOST: usize = 40;
/// Ids are keys elsewhere: PagerDuty's may have 255 characters.
const ID_MOST: usize = 255;

/// How much it matters. The words are PagerDuty's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// Worth a look, or a person is waited for.
    Warning,
    /// Something failed and took care of itself.
    Error,
    /// A person is needed now.
    Critical,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// Something that people are told. Never a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is called for ever: a repetition is known by it.
    pub id: String,
    /// What it is about.
    pub kind: NoticeKind,
    /// How much it matters.
    pub severity: Severity,
    /// What it belongs to from the first word to the last, such as a rotation: pages are opened and closed by it, and later
    /// notices of it are told after earlier ones.
    pub incident: String,
    /// Whether this is the last word on the incident.
    pub ends: bool,
    /// What happened, in a sentence without a full stop.
    pub title: String,
    /// More of it, and what is safe next: a sentence each.
    pub lines: Vec<String>,
    /// What to type next, where there is something.
    pub command: Option<String>,
    /// The credential that it concerns.
    pub credential: Option<String>,
    /// The rotation that it concerns.
    pub rotation: Option<String>,
    /// The services that it concerns.
    pub services: Vec<String>,
    /// Who answers for these.
    pub owners: Vec<String>,
    /// The login names that are being rotated: no mail about it may go through them.
    pub logins: Vec<String>,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

#[derive(Serialize)]
struct Kept<'a> {
    format: u16,
    notice: &'a Notice,
}

/// Only the version, whatever the rest is.
#[derive(Deserialize)]
struct Form {
    format: u16,
}

#[derive(Deserialize)]
struct Read {
    notice: Notice,
}

impl Notice {
    /// A notice with its title, about `incident`. `what` tells it from others of the incident; with the incident it is the id.
    #[must_use]
    pub fn new(kind: NoticeKind, severity: Severity, incident: &str, what: &str, title: &str, at_ms: u64) -> Self {
        Self {
            id: line(&format!("{incident}:{what}"), ID_MOST),
            kind,
            severity,
            incident: line(incident, ID_MOST),
            ends: false,
            title: line(title, TITLE_MOST),
            lines: Vec::new(),
            command: None,
            credential: None,
            rotation: None,
            services: Vec::new(),
            owners: Vec::new(),
            logins: Vec::new(),
            at_ms,
        }
    }

    /// Adds a sentence.
    #[must_use]
    pub fn say(mut self, text: &str) -> Self {
        if self.lines.len() < LINES_MOST {
            self.lines.push(line(text, LINE_MOST));
        }
        self
    }

    /// Adds sentences.
    #[must_use]
    pub fn say_all<T: AsRef<str>>(self, texts: impl IntoIterator<Item = T>) -> Self {
        texts.into_iter().fold(self, |notice, text| notice.say(text.as_ref()))
    }

    /// What to type next.
    #[must_use]
    pub fn command(mut self, command: &str) -> Self {
        self.command = Some(line(command, LINE_MOST));
        self
    }

    /// It is the last word on its incident.
    #[must_use]
    pub fn last(mut self) -> Self {
        self.ends = true;
        self
    }

    /// As it is kept.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Plain data: there is nothing that could fail.
        serde_json::to_string(&Kept { format: FORMAT, notice: self }).unwrap_or_default()
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// It was written by a newer release, or is no notice; in words.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let form: Form = serde_json::from_str(text).map_err(|_| "it is no notice".to_owned())?;
        if form.format != FORMAT {
            return Err(format!("it has form {}, and this release knows {FORMAT}", form.format));
        }
        let read: Read = serde_json::from_str(text).map_err(|_| "it is no notice of its form".to_owned())?;
        Ok(read.notice.cleaned())
    }

    /// The same with every text cut and cleaned.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        let names = |names: Vec<String>| names.iter().take(LINES_MOST * 4).map(|n| line(n, ID_MOST)).collect();
        self.id = line(&self.id, ID_MOST);
        self.incident = line(&self.incident, ID_MOST);
        self.title = line(&self.title, TITLE_MOST);
        self.lines = self.lines.iter().take(LINES_MOST).map(|l| line(l, LINE_MOST)).collect();
        self.command = self.command.map(|c| line(&c, LINE_MOST));
        self.credential = self.credential.map(|c| line(&c, ID_MOST));
        self.rotation = self.rotation.map(|r| line(&r, ID_MOST));
        self.services = names(self.services);
        self.owners = names(self.owners);
        self.logins = names(self.logins);
        self
    }

    /// When it happened, as RFC 3339 in UTC.
    #[must_use]
    pub fn time(&self) -> String {
        let at = i64::try_from(self.at_ms).ok().and_then(DateTime::<Utc>::from_timestamp_millis).unwrap_or_default();
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// All of it as plain text, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{}\n\n", self.title);
        for line in &self.lines {
            out.push_str(line);
            out.push('\n');
        }
        if let Some(command) = &self.command {
            out.push_str(&format!("\nNext: {command}\n"));
        }
        out.push('\n');
        for (what, name) in [("Credential", &self.credential), ("Rotation", &self.rotation)] {
            if let Some(name) = name {
                out.push_str(&format!("{what}: {name}\n"));
            }
        }
        out.push_str(&format!("Time: {}\nNotice: {}\n", self.time(), self.id));
        out
    }
}
