//! SendGrid's Email Activity, from its specification (tsg_email_activity_v3) and its guide to queries: a search without pages, and one
//! mail by its id.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};
use crate::conformance::usage::MARK;

pub(crate) struct Activity {
    mails: Vec<Mail>,
    /// Whether its search understands a key's id, as the record of a mail has it.
    knows_ids: bool,
    pub(crate) requests: usize,
}

struct Mail {
    key: String,
    at_ms: u64,
    address: String,
}

impl Default for Activity {
    fn default() -> Self {
        Self { mails: Vec::new(), knows_ids: true, requests: 0 }
    }
}

impl Activity {
    /// One whose search understands the ids of keys, or does not.
    pub(crate) fn whose_search(knows_ids: bool) -> Self {
        Self { knows_ids, ..Self::default() }
    }

    pub(crate) fn sent(&mut self, key: &str, at_ms: u64, address: &str) {
        self.mails.push(Mail { key: key.to_owned(), at_ms, address: address.to_owned() });
    }

    /// The mails of a query: `[api_key_id="ID" AND ]last_event_time BETWEEN TIMESTAMP "FROM" AND TIMESTAMP "TO"`.
    fn search(&self, query: &str) -> Option<Vec<usize>> {
        let (key, rest) = match query.strip_prefix("api_key_id=\"") {
            Some(rest) => rest.split_once("\" AND ").map(|(key, rest)| (Some(key), rest))?,
            None => (None, query),
        };
        let rest = rest.strip_prefix("last_event_time BETWEEN TIMESTAMP \"")?.strip_suffix('"')?;
        let (from, to) = rest.split_once("\" AND TIMESTAMP \"")?;
        let (from, to) = (millis(from)?, millis(to)?);
        let fits =
            |mail: &Mail| (from..=to).contains(&mail.at_ms) && key.is_none_or(|key| self.knows_ids && mail.key == key);
        let mut found: Vec<usize> = (0..self.mails.len()).filter(|n| fits(&self.mails[*n])).collect();
        found.sort_by_key(|n| std::cmp::Reverse(self.mails[*n].at_ms));
        Some(found)
    }
}

fn millis(text: &str) -> Option<u64> {
    u64::try_from(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis()).ok()
}

fn written(at_ms: u64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(i64::try_from(at_ms).expect("a time")).expect("a time");
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn refusal(status: u16, message: &str) -> Reply {
    Reply(status, json!({"errors": [{"message": format!("{message} {MARK}")}]}))
}

impl Vendor for Activity {
    fn answer(&mut self, asked: &Asked) -> Reply {
        self.requests += 1;
        match asked.bearer() {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) => return refusal(403, "access forbidden"),
            _ => return refusal(401, "authorization required"),
        }
        match asked.call() {
            ("GET", path) if path == ["v3", "messages"] => {
                let limit = asked.query("limit").and_then(|l| l.parse::<usize>().ok()).filter(|l| (1..=1000).contains(l));
                let (Some(query), Some(limit)) = (asked.query("query"), limit) else { return refusal(400, "invalid limit") };
                let Some(found) = self.search(query) else { return refusal(400, "invalid syntax") };
                let messages: Vec<Value> = found
                    .into_iter()
                    .take(limit)
                    .map(|n| {
                        json!({
                            "from_email": MARK, "msg_id": format!("m{n}"), "subject": MARK, "to_email": MARK, "status": "delivered",
                            "opens_count": 0, "clicks_count": 0, "last_event_time": written(self.mails[n].at_ms),
                        })
                    })
                    .collect();
                Reply(200, json!({"messages": messages}))
            }
            ("GET", path) if path.len() == 3 && path[..2] == ["v3", "messages"] => {
                let mail = path[2].strip_prefix('m').and_then(|n| self.mails.get(n.parse::<usize>().ok()?));
                let Some(mail) = mail else { return refusal(404, "not found") };
                let events = json!([
                    {"event_name": "delivered", "processed": written(mail.at_ms + 2000)},
                    {"event_name": "processed", "processed": written(mail.at_ms)},
                ]);
                Reply(
                    200,
                    json!({
                        "from_email": MARK, "msg_id": path[2], "subject": MARK, "to_email": MARK, "status": "delivered", "teammate": "",
                        "api_key_id": mail.key, "events": events, "originating_ip": mail.address, "outbound_ip": "203.0.113.250",
                    }),
                )
            }
            _ => refusal(404, "not found"),
        }
    }

    fn foreign(&mut self, _name: &str) -> (String, String) {
        unreachable!("it issues nothing")
    }

    fn accepts(&self, _username: &str, _password: &str) -> bool {
        unreachable!("it issues nothing")
    }
}
