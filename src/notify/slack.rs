//! Slack, and what takes Slack's incoming webhooks: one POST of a text. Whoever has the address can write there, so it is a secret.
//!
//! Source: Slack's pages on incoming webhooks and on formatting text. `&`, `<` and `>` are escaped, since in angle brackets they
//! make links and call people; an `@` that begins a word is kept from calling people in chats that look for it in the text.

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::Url;
use serde_json::{Value, json};
use std::path::PathBuf;

use super::{CODES, DEFAULT_TIMEOUT, Notice, Notifier, Severity};
use crate::config::fields::Fields;
use crate::config::inventory::{MOST_TIMEOUT, SecretRef};
use crate::config::schema;
use crate::egress::Guard;
use crate::web::{Lost, Outward, outcome};

/// The longest text; Slack cuts at 40,000 characters, others earlier.
const TEXT_MOST: usize = 3_500;

/// The options of the kind.
pub struct Options {
    url: SecretRef,
    ca_file: Option<PathBuf>,
    timeout: Span,
}

/// One channel.
pub struct Slack {
    url: SecretRef,
    way: Outward,
}

impl Slack {
    /// Reads the options: `{url, ca_file, timeout}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Options> {
        let url = fields.required_secret("url");
        let ca_file = fields.optional_path("ca_file");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        Some(Options { url: url?, ca_file, timeout: timeout.unwrap_or(DEFAULT_TIMEOUT) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "required": ["url"],
            "properties": {
                "url": { "$ref": "#/$defs/secret" },
                "ca_file": { "$ref": "#/$defs/text" },
                "timeout": schema::duration(),
            },
        })
    }

    /// Makes it of its options. The secret is read at each call, so that a new one needs no restart.
    ///
    /// # Errors
    /// The CA file cannot be read.
    pub fn open(options: Options, guard: &Guard) -> Result<Self, Fault> {
        let way = Outward::new("Slack", options.ca_file.as_deref(), options.timeout, CODES, guard.clone())?;
        Ok(Self { url: options.url, way })
    }

    async fn post(&self, notice: &Notice) -> Result<(), Lost> {
        let url = self.url.read().map_err(Lost::Before)?;
        let url = Url::parse(url.expose()).map_err(|_| Lost::Before(no_address("Slack", "url")))?;
        let api = self.way.at(&url).map_err(Lost::Before)?;
        let answer = api.send_for_status(api.client.post(url).json(&body(notice))).await?;
        if answer.status.is_success() { Ok(()) } else { Err(api.refused(&answer, "post a message")) }
    }
}

#[async_trait]
impl Notifier for Slack {
    fn request_timeout(&self) -> Span {
        self.way.request_timeout()
    }

    async fn tell(&self, notice: &Notice, _: Option<&str>) -> Outcome<()> {
        outcome(self.post(notice).await)
    }
}

/// A secret that should be an address and is none.
pub(super) fn no_address(what: &str, key: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO1220", format!("{what}: the secret `{key}` is no address"))
        .hint("it holds https://host/path and nothing else")
}

/// What is posted.
#[must_use]
pub fn body(notice: &Notice) -> Value {
    let head = match notice.severity {
        Severity::Critical => ":rotating_light: ",
        Severity::Error | Severity::Warning => ":warning: ",
        Severity::Info => "",
    };
    let mut text = format!("{head}*{}*", escaped(&notice.title));
    for line in &notice.lines {
        text.push_str(&format!("\n{}", escaped(line)));
    }
    if let Some(command) = &notice.command {
        text.push_str(&format!("\nNext: `{}`", escaped(command).replace('`', "'")));
    }
    let mut tail = vec![notice.time()];
    tail.extend(notice.rotation.as_ref().map(|r| format!("rotation {}", escaped(r))));
    text = cut(text);
    text.push_str(&format!("\n_{}_", tail.join(" · ")));
    // Nothing is fetched because of an address that stands in a message.
    json!({ "text": text, "unfurl_links": false, "unfurl_media": false })
}

fn cut(text: String) -> String {
    if text.chars().count() <= TEXT_MOST {
        return text;
    }
    // Never in the middle of an escape, nor of a line.
    let most: String = text.chars().take(TEXT_MOST).collect();
    let whole = most.rfind('\n').map_or(most.as_str(), |at| &most[..at]);
    format!("{whole}\n…")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' if !before.is_some_and(char::is_alphanumeric) => out.push_str("@\u{200b}"),
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}
