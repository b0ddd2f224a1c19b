//! Records in files of JSON, read one by one: SES's events as lines, CloudTrail's as one list a file. Of each only what is asked for is
//! taken; subjects, recipients and headers are passed over.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::net::IpAddr;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::network::address;

/// One record may be as long as this; CloudTrail's are 256 KB at most.
const MOST_RECORD: u64 = 1 << 20;

/// A mail, as SES tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SesRecord {
    /// When it was sent.
    pub at_ms: u64,
    /// Its id: several events tell of one mail.
    pub message: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// The name of the IAM user that sent it.
    pub caller: String,
    /// Whether it came by SMTP; `None` if it is not told.
    pub smtp: Option<bool>,
}

/// One line: an event of a configuration set by itself, in SNS's envelope, or in EventBridge's.
#[derive(Deserialize)]
struct Envelope<'e> {
    #[serde(borrow, default)]
    mail: Option<Mail<'e>>,
    #[serde(borrow, default)]
    detail: Option<Detail<'e>>,
    #[serde(rename = "Message", default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct Detail<'e> {
    #[serde(borrow, default)]
    mail: Option<Mail<'e>>,
}

#[derive(Deserialize)]
struct Mail<'e> {
    #[serde(borrow)]
    timestamp: std::borrow::Cow<'e, str>,
    #[serde(rename = "messageId", borrow)]
    message_id: std::borrow::Cow<'e, str>,
    #[serde(default)]
    tags: Tags,
}

/// Tags whose names have a colon are SES's own: nobody else may give one.
#[derive(Default, Deserialize)]
struct Tags {
    #[serde(rename = "ses:source-ip", default)]
    source_ip: Vec<String>,
    #[serde(rename = "ses:caller-identity", default)]
    caller: Vec<String>,
    #[serde(rename = "ses:operation", default)]
    operation: Vec<String>,
}

/// The records of one line: usually one; Firehose writes several without a line end between them, if it is told so.
///
/// # Errors
/// Something in it is no such record.
pub(crate) fn ses_record(line: &[u8]) -> Result<Vec<SesRecord>, ()> {
    let mut records = Vec::new();
    for envelope in serde_json::Deserializer::from_slice(line).into_iter::<Envelope<'_>>() {
        let envelope = envelope.map_err(drop)?;
        let inside;
        let mail = match (envelope.mail, envelope.detail.and_then(|d| d.mail), &envelope.message) {
            (Some(mail), ..) | (None, Some(mail), _) => mail,
            (None, None, Some(message)) => {
                inside = message.as_bytes();
                serde_json::from_slice::<Detail<'_>>(inside).ok().and_then(|d| d.mail).ok_or(())?
            }
            (None, None, None) => return Err(()),
        };
        let at = chrono::DateTime::parse_from_rfc3339(&mail.timestamp).map_err(drop)?.timestamp_millis();
        records.push(SesRecord {
            at_ms: u64::try_from(at).map_err(drop)?,
            message: mail.message_id.into_owned(),
            address: mail.tags.source_ip.first().and_then(|ip| address(ip)),
            smtp: mail.tags.operation.first().map(|operation| operation == "SendSmtpEmail"),
            caller: mail.tags.caller.into_iter().next().unwrap_or_default(),
        });
    }
    Ok(records)
}

/// An event of CloudTrail.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrailRecord {
    event_time: String,
    /// The call.
    pub event_name: String,
    #[serde(rename = "sourceIPAddress", default)]
    source: String,
    #[serde(default)]
    user_identity: Identity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    #[serde(default)]
    access_key_id: String,
}

impl TrailRecord {
    /// When.
    #[must_use]
    pub(crate) fn at_ms(&self) -> Option<u64> {
        let at = chrono::DateTime::parse_from_rfc3339(&self.event_time).ok()?;
        u64::try_from(at.timestamp_millis()).ok()
    }

    /// From where; `None` for a service of AWS.
    #[must_use]
    pub(crate) fn address(&self) -> Option<IpAddr> {
        address(&self.source)
    }

    /// By which key.
    #[must_use]
    pub(crate) fn key(&self) -> &str {
        &self.user_identity.access_key_id
    }
}

/// Reads a file of CloudTrail, `{"Records": […]}`, and gives each record to `each`, which says whether to go on. No more than one
/// record is in memory.
///
/// # Errors
/// It cannot be read, is no such file, or a record is longer than a record may be.
pub(crate) fn trail_records(stream: impl BufRead, each: &mut dyn FnMut(&TrailRecord) -> bool) -> io::Result<()> {
    let left = Cell::new(MOST_RECORD);
    let limited = Limited { inner: stream, left: &left };
    let mut deserializer = serde_json::Deserializer::from_reader(limited);
    let file = File { each, left: &left };
    file.deserialize(&mut deserializer).map_err(io::Error::from)
}

/// A reader that gives up where nothing has renewed what is left for too long.
struct Limited<'c, R> {
    inner: R,
    left: &'c Cell<u64>,
}

impl<R: BufRead> Read for Limited<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(to.len());
        if most == 0 && !to.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is too long"));
        }
        let read = self.inner.read(&mut to[..most])?;
        self.left.set(self.left.get().saturating_sub(u64::try_from(read).unwrap_or(u64::MAX)));
        Ok(read)
    }
}

struct File<'c> {
    each: &'c mut dyn FnMut(&TrailRecord) -> bool,
    left: &'c Cell<u64>,
}

impl<'de> DeserializeSeed<'de> for File<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for File<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map with Records")
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "Records" {
                map.next_value_seed(List(&mut self))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct List<'l, 'c>(&'l mut File<'c>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of records")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.left.set(MOST_RECORD);
        while let Some(record) = list.next_element::<TrailRecord>()? {
            if !(self.0.each)(&record) {
                return Err(serde::de::Error::custom("stopped"));
            }
            self.0.left.set(MOST_RECORD);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::at;
    use super::*;

    const MAIL: &str = r#"{"eventType":"EVENT","mail":{"timestamp":"2026-11-20T08:42:19.917Z","source":"a@example.com","messageId":"m1","destination":["b@example.org"],"headers":[{"name":"Subject","value":"x"}],"tags":{"ses:operation":["SendSmtpEmail"],"ses:configuration-set":["all"],"ses:source-ip":["192.0.2.7"],"ses:caller-identity":["smtp-newsletter"],"team":["x"]}},"open":{"ipAddress":"203.0.113.9","userAgent":"x"}}"#;

    #[test]
    fn an_event_is_read_in_every_envelope_and_the_recipients_address_is_not_the_senders() {
        let own = MAIL.replace("EVENT", "Open");
        let sns = serde_json::json!({"Type": "Notification", "MessageId": "s1", "Message": own}).to_string();
        let bridge = format!(r#"{{"version":"0","detail-type":"Email Sent","detail":{own}}}"#);
        for line in [&own, &sns, &bridge] {
            let records = ses_record(line.as_bytes()).expect("a record");
            let expected = SesRecord {
                at_ms: at("2026-11-20T08:42:19.917Z"),
                message: "m1".to_owned(),
                address: "192.0.2.7".parse().ok(),
                caller: "smtp-newsletter".to_owned(),
                smtp: Some(true),
            };
            assert_eq!(records, [expected], "{line}");
        }
        assert_eq!(ses_record(format!("{own}{own}\r").as_bytes()).map(|r| r.len()), Ok(2));
        assert_eq!(ses_record(b"").map(|r| r.len()), Ok(0));
        for broken in
            ["x", "{}", "[]", r#"{"mail":{}}"#, r#"{"Message":"x"}"#, r#"{"mail":{"timestamp":"x","messageId":"m"}}"#]
        {
            assert!(ses_record(broken.as_bytes()).is_err(), "{broken}");
        }
        let twice = MAIL.replace(r#""team":["x"]"#, r#""ses:source-ip":["203.0.113.9"]"#);
        assert!(ses_record(twice.as_bytes()).is_err(), "a tag that is there twice");
        let deep = format!(r#"{{"a":{}1{},"mail":null}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(ses_record(deep.as_bytes()).is_err());
    }

    fn record(n: usize) -> String {
        format!(
            r#"{{"eventVersion":"1.08","userIdentity":{{"type":"IAMUser","accessKeyId":"AKIA{n}","userName":"smtp"}},"eventTime":"2026-11-20T08:42:19Z","eventSource":"ses.amazonaws.com","eventName":"GetSendQuota","awsRegion":"eu-central-1","sourceIPAddress":"192.0.2.7","requestParameters":{{"a":[1,{{}}]}}}}"#
        )
    }

    fn read(text: &str) -> (Vec<String>, bool) {
        let mut seen = Vec::new();
        let whole = trail_records(text.as_bytes(), &mut |record| {
            assert_eq!((record.at_ms(), record.address()), (Some(at("2026-11-20T08:42:19Z")), "192.0.2.7".parse().ok()));
            seen.push(record.key().to_owned());
            true
        });
        (seen, whole.is_ok())
    }

    #[test]
    fn a_file_of_cloudtrail_is_read_record_by_record() {
        let two = format!(r#"{{"Records":[{},{}]}}"#, record(1), record(2));
        assert_eq!(read(&two), (vec!["AKIA1".to_owned(), "AKIA2".to_owned()], true));
        assert_eq!(read("{}"), (vec![], true));
        assert_eq!(read(r#"{"other":{"Records":[1]},"Records":[]}"#), (vec![], true));
        // What was whole before the end of a broken file counts.
        assert_eq!(read(&two[..two.len() - 60]), (vec!["AKIA1".to_owned()], false));
        assert!(!read("[]").1);
        let long = two.replace(r#""eventVersion":"1.08""#, &format!(r#""x":"{}""#, "y".repeat(2 << 20)));
        assert_eq!(read(&long), (vec![], false));
        let many: Vec<String> = (0..9000).map(record).collect();
        assert_eq!(read(&format!(r#"{{"Records":[{}]}}"#, many.join(","))).0.len(), 9000);
    }
}
