//! E-mail through a submission server, with a login of its own. It is the one way of telling that can be broken by what it tells of:
//! a login that is being rotated carries no mail about that (checked here, and at `check` for every login of the inventory).
//!
//! The message is plain text. Its id is made of the notice's, so that a mail that was sent twice is known as one; it belongs to its
//! incident's thread; and it asks for no answer (RFC 3834).

use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use serde_json::{Value, json};

use super::{Notice, Notifier, Recipients};
use crate::config::fields::Fields;
use crate::config::inventory::{SecretRef, SmtpServer};
use crate::config::notify::MailLogin;
use crate::config::{mail_address, smtp_server};
use crate::secret::Login;

/// Carries a message to a submission server.
///
/// # Guarantees
/// One connection, over verified TLS, to an address that may be called. `NotDone` if the message was not taken, `Unknown` if its
/// last byte went out and no answer came.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// After this long a call has surely ended.
    fn request_timeout(&self) -> Span;

    /// Carries a message, headers and all, from one address to another.
    async fn carry(&self, login: &Login, from: &str, to: &str, message: &[u8]) -> Outcome<()>;
}

/// The options of the kind.
pub struct Options {
    /// The server that takes the mail.
    pub server: SmtpServer,
    username: Username,
    password: SecretRef,
    from: Address,
    recipients: Recipients,
}

/// Mail from one address.
pub struct Email {
    username: Username,
    password: SecretRef,
    from: Address,
    recipients: Recipients,
    carrier: Arc<dyn Carrier>,
}

impl Email {
    /// Reads the options: `{smtp, username, password, from, to, to_owners}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Options> {
        let server = fields.required_map("smtp", smtp_server);
        let username = fields.required_name("username");
        let password = fields.required_secret("password");
        let from = fields.required_str("from");
        let always = fields.optional_list("to").unwrap_or_default();
        let owners = fields.optional_bool("to_owners").unwrap_or_default();
        for address in &always {
            if plain(address).is_none() {
                no_address(fields, "to", address);
            }
        }
        let from = from.and_then(|text| {
            let address = plain(&text);
            if address.is_none() {
                no_address(fields, "from", &text);
            }
            address
        });
        if fields.is_map() && !owners && !fields.has("to") {
            let hint = "add `to: [oncall@example.com]`, or `to_owners: true` for the owners of the services concerned";
            fields.problem("HO0113", "to", "nobody would get this mail", hint);
        }
        let recipients = Recipients { always, owners };
        Some(Options { server: server?, username: username?, password: password?, from: from?, recipients })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "required": ["smtp", "username", "password", "from"],
            "properties": {
                "smtp": { "$ref": "#/$defs/smtp" },
                "username": { "$ref": "#/$defs/text" },
                "password": { "$ref": "#/$defs/secret" },
                "from": { "$ref": "#/$defs/email" },
                "to": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/email" } },
                "to_owners": { "type": "boolean" },
            },
        })
    }

    /// The login that it sends with, if the options are sound.
    pub fn login(fields: &mut Fields<'_>) -> Option<MailLogin> {
        let options = Self::options(fields)?;
        let username = options.username.as_str().to_owned();
        Some(MailLogin { host: options.server.host, username, password: options.password })
    }

    /// Makes it of its options.
    #[must_use]
    pub fn open(options: Options, carrier: Arc<dyn Carrier>) -> Self {
        let Options { username, password, from, recipients, .. } = options;
        Self { username, password, from, recipients, carrier }
    }

    fn refused(code: &str, what: String, hint: &str) -> Outcome<()> {
        Outcome::NotDone(Fault::new(FaultClass::Permanent, code, what).hint(hint))
    }
}

#[async_trait]
impl Notifier for Email {
    fn request_timeout(&self) -> Span {
        self.carrier.request_timeout()
    }

    fn recipients(&self) -> Option<&Recipients> {
        Some(&self.recipients)
    }

    async fn tell(&self, notice: &Notice, to: Option<&str>) -> Outcome<()> {
        // Whatever the host is called: the same server may have several names.
        if notice.logins.iter().any(|l| l.eq_ignore_ascii_case(self.username.as_str())) {
            let what = format!("the mail would go through {}, which is being rotated", self.username);
            return Self::refused("HO1222", what, "give the notifier a login of its own at the server");
        }
        let Some((to, address)) = to.and_then(|to| Some((to, plain(to)?))) else {
            return Self::refused("HO1223", "it is not known whom to mail".to_owned(), "see `to` and `to_owners`");
        };
        let message = match message(notice, &self.from, address) {
            Ok(message) => message,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let password = match self.password.read() {
            Ok(password) => password,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let login = Login { username: self.username.clone(), password };
        self.carrier.carry(&login, self.from.as_ref(), to, &message).await
    }
}

fn no_address(fields: &mut Fields<'_>, key: &str, text: &str) {
    let message = format!("`{key}`: `{text}` is not a mail address");
    fields.problem("HO0113", key, message, "write only the address: `oncall@example.com`");
}

/// An address that can be written into a command as it is.
fn plain(text: &str) -> Option<Address> {
    let ascii = text.bytes().all(|b| b.is_ascii_graphic());
    Address::from_str(text).ok().filter(|_| ascii && mail_address(text))
}

/// The message as it goes out.
fn message(notice: &Notice, from: &Address, to: Address) -> Result<Vec<u8>, Fault> {
    let header = |name, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
    let name = |what: &str| format!("<{}@{}>", key(what, to.as_ref()), from.domain());
    let message = Message::builder()
        .from(Mailbox::new(Some("Handover".to_owned()), from.clone()))
        .to(Mailbox::new(None, to.clone()))
        .subject(subject(notice))
        .message_id(Some(name(&notice.id)))
        .references(name(&notice.incident))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Handover-Notice", &key(&notice.id, "")))
        .header(ContentType::TEXT_PLAIN)
        .body(notice.text())
        .map_err(|_| Fault::new(FaultClass::Permanent, "HO1223", "the mail cannot be written"))?;
    Ok(message.formatted())
}

fn subject(notice: &Notice) -> String {
    match notice.severity {
        super::Severity::Critical => format!("[handover] URGENT: {}", notice.title),
        _ => format!("[handover] {}", notice.title),
    }
}

/// The same for the same notice and recipient, and for no other; nothing that could break a header.
fn key(what: &str, to: &str) -> String {
    let digest = digest::digest(&digest::SHA256, format!("{what}\n{to}").as_bytes());
    hex::encode(&digest.as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{NoticeKind, Severity};

    fn address(text: &str) -> Address {
        plain(text).unwrap()
    }

    fn notice(title: &str) -> Notice {
        Notice::new(NoticeKind::Stuck, Severity::Critical, "01JD", "7", title, 1_764_194_400_000)
            .say(title)
            .command("handover x")
    }

    fn written(notice: &Notice, to: &str) -> String {
        String::from_utf8(message(notice, &address("handover@example.com"), address(to)).unwrap()).unwrap()
    }

    #[test]
    fn a_mail_says_what_it_is_and_is_known_again() {
        let text = written(&notice("it is stuck"), "oncall@example.com");
        for line in [
            "From: Handover <handover@example.com>",
            "To: oncall@example.com",
            "Auto-Submitted: auto-generated",
            "Subject: [handover] URGENT: it is stuck",
            "Next: handover x",
            "Notice: 01JD:7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let id = |text: &str| text.lines().find(|l| l.starts_with("Message-ID: ")).map(str::to_owned).unwrap();
        assert_eq!(id(&text), id(&written(&notice("the same, worded anew"), "oncall@example.com")));
        assert_ne!(id(&text), id(&written(&notice("it is stuck"), "other@example.com")));
    }

    #[test]
    fn no_word_of_a_notice_becomes_a_header() {
        for title in [
            "x\r\nBcc: evil@example.com\r\n\r\nhello",
            "x\u{85}Bcc: evil@example.com",
            "\u{2028}Bcc: evil",
            "ü\r\n.\r\nQUIT",
        ] {
            let text = written(&notice(title).cleaned(), "oncall@example.com");
            let head = text.split("\r\n\r\n").next().unwrap();
            assert!(!head.lines().any(|l| l.to_ascii_lowercase().starts_with("bcc")), "{head}");
            assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
            assert!(text.lines().all(|l| l.len() <= 998), "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_address_is_none() {
        for text in
            ["", "x", "a b@example.com", "a@example.com>\r\nRCPT TO:<b@example.com", "ü@example.com", "a@[1.2.3.4]", "a@b@c"]
        {
            assert!(plain(text).is_none(), "{text}");
        }
    }
}
