//! GitGuardian's incidents of secrets, from its specification (version 1.1.0): listed, read, noted and resolved. It keeps when each
//! thing was done.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Asked, Reply, Vendor};

pub(crate) const API_KEY: &str = "api-key-of-a-service-account";

#[derive(Default)]
pub(crate) struct GitGuardian {
    pub(crate) incidents: BTreeMap<u64, Incident>,
    /// Requests that the specification does not know.
    pub(crate) odd: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Incident {
    pub(crate) hmsl_hash: String,
    /// The notes, with when they were made, in milliseconds since the Unix epoch.
    pub(crate) notes: Vec<(u64, String)>,
    /// When it was resolved, and whether as revoked.
    pub(crate) resolved: Option<(u64, bool)>,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

impl Incident {
    fn json(&self, id: u64) -> Value {
        json!({
            "id": id, "date": "2026-03-01T12:00:00Z", "detector": {"name": "smtp_credentials"}, "hmsl_hash": self.hmsl_hash,
            "status": if self.resolved.is_some() { "RESOLVED" } else { "TRIGGERED" },
            "secret_revoked": self.resolved.is_some_and(|(_, revoked)| revoked), "occurrences_count": 1,
            "gitguardian_url": format!("https://dashboard.gitguardian.com/workspace/1/incidents/{id}"),
        })
    }
}

impl Vendor for GitGuardian {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.header("authorization") != Some(&format!("Token {API_KEY}")) {
            return Reply(401, json!({"detail": "Invalid API key."}));
        }
        let missing = || Reply(404, json!({"detail": "Not found."}));
        let (method, path) = asked.call();
        match (method, path.as_slice()) {
            ("GET", ["v1", "incidents", "secrets"]) => {
                let wanted = asked.query("status").unwrap_or("TRIGGERED");
                let all = self.incidents.iter().map(|(id, incident)| incident.json(*id));
                Reply(200, all.filter(|incident| incident["status"] == wanted).collect())
            }
            ("GET", ["v1", "incidents", "secrets", id]) => {
                let found = id.parse().ok().and_then(|id: u64| Some(self.incidents.get(&id)?.json(id)));
                found.map_or_else(missing, |incident| Reply(200, incident))
            }
            ("POST", ["v1", "incidents", "secrets", id, "notes"]) => {
                let Some(incident) = id.parse().ok().and_then(|id: u64| self.incidents.get_mut(&id)) else {
                    return missing();
                };
                let body = asked.json(&["comment"]);
                let Some(comment) = body.as_ref().and_then(|body| body["comment"].as_str()).filter(|c| !c.is_empty()) else {
                    return Reply(400, json!({"comment": ["This field is required."]}));
                };
                incident.notes.push((now_ms(), comment.to_owned()));
                Reply(201, json!({"id": incident.notes.len(), "comment": comment}))
            }
            ("POST", ["v1", "incidents", "secrets", id, "resolve"]) => {
                let Some(number) = id.parse::<u64>().ok().filter(|id| self.incidents.contains_key(id)) else {
                    return missing();
                };
                let Some(revoked) = asked.json(&["secret_revoked"]).and_then(|body| body["secret_revoked"].as_bool()) else {
                    return Reply(400, json!({"secret_revoked": ["This field is required."]}));
                };
                let incident = self.incidents.entry(number).or_default();
                if incident.resolved.is_some() {
                    return Reply(409, json!({"detail": "Issue is already resolved."}));
                }
                incident.resolved = Some((now_ms(), revoked));
                Reply(200, incident.json(number))
            }
            _ => {
                self.odd.push(format!("{method} /{}", path.join("/")));
                missing()
            }
        }
    }

    fn foreign(&mut self, _: &str) -> (String, String) {
        unreachable!("it keeps no versions")
    }

    fn accepts(&self, _: &str, _: &str) -> bool {
        unreachable!("nobody logs in there")
    }
}
