//! Mailgun's events of a domain, from its reference and its own client (mailgun-go): pages of at most 300, each with the address of the
//! next; the last is empty.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};
use crate::conformance::usage::MARK;

const PAGE: usize = 300;

#[derive(Default)]
pub(crate) struct Events {
    events: Vec<Value>,
    window: (u64, u64),
    pub(crate) pages: usize,
    /// What the first page names as the next one, instead of what it is.
    next: Option<&'static str>,
}

impl Events {
    /// One whose first page names this as the next.
    pub(crate) fn naming(next: &'static str) -> Self {
        Self { next: Some(next), ..Self::default() }
    }

    pub(crate) fn accepted(&mut self, at_ms: u64, address: &str, method: &str) {
        let id = format!("{MARK}-{}@mg.example.com", self.events.len());
        self.event(&id, at_ms, address, method);
    }

    /// One more recipient of a mail.
    pub(crate) fn recipient(&mut self, id: &str, at_ms: u64, address: &str) {
        self.event(id, at_ms, address, "smtp");
    }

    fn event(&mut self, id: &str, at_ms: u64, address: &str, method: &str) {
        #[expect(clippy::cast_precision_loss, reason = "it is what the vendor gives")]
        let timestamp = at_ms as f64 / 1000.0;
        self.events.push(json!({
            "event": "accepted", "timestamp": timestamp, "id": "x", "method": method, "originating-ip": address, "recipient": MARK,
            "envelope": {"sender": MARK, "transport": method}, "flags": {"is-authenticated": true},
            "message": {"headers": {"message-id": id, "subject": MARK}, "size": 9}, "user-variables": {"x": MARK},
        }));
    }

    fn page(&mut self, from: usize, address: &str) -> Reply {
        self.pages += 1;
        let (begin, end) = self.window;
        let within = |event: &&Value| event["timestamp"].as_f64().is_some_and(|t| t >= begin as f64 && t <= end as f64);
        let items: Vec<&Value> = self.events.iter().filter(within).skip(from).take(PAGE).collect();
        let usual = format!("{address}/v3/mg.example.com/events/W3siYSI6{}", from + items.len());
        let next = if from == 0 { self.next.unwrap_or(&usual) } else { &usual };
        Reply(200, json!({"items": items, "paging": {"first": "x", "next": next, "previous": "x", "last": "x"}}))
    }
}

impl Vendor for Events {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.basic("api").as_deref() {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) => return Reply(403, json!({"message": MARK})),
            _ => return Reply(401, Value::Null),
        }
        let address = format!("http://{}", asked.header("host").unwrap_or_default());
        match asked.call() {
            ("GET", path) if path == ["v3", "mg.example.com", "events"] => {
                let number = |name: &str| asked.query(name).and_then(|n| n.parse::<u64>().ok());
                let (Some(begin), Some(end)) = (number("begin"), number("end")) else {
                    return Reply(400, json!({"message": "begin"}));
                };
                let known = ["event", "begin", "end", "ascending", "limit"];
                let sound = asked.query("event") == Some("accepted")
                    && asked.query("ascending") == Some("yes")
                    && number("limit").is_some_and(|l| l <= 300)
                    && asked.query.iter().all(|(name, _)| known.contains(&name.as_str()));
                if !sound {
                    return Reply(400, json!({"message": "a parameter is not known"}));
                }
                self.window = (begin, end);
                self.page(0, &address)
            }
            ("GET", path) if path.len() == 4 && path[..3] == ["v3", "mg.example.com", "events"] => {
                let from = path[3].strip_prefix("W3siYSI6").map(|n| n.parse::<usize>().unwrap_or(usize::MAX / 2));
                match from {
                    Some(from) => self.page(from, &address),
                    None => Reply(404, json!({"message": "no such page"})),
                }
            }
            _ => Reply(404, Value::Null),
        }
    }

    fn foreign(&mut self, _name: &str) -> (String, String) {
        unreachable!("it issues nothing")
    }

    fn accepts(&self, _username: &str, _password: &str) -> bool {
        unreachable!("it issues nothing")
    }
}
