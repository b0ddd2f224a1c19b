//! What an IAM user may do, as far as its policies' actions tell: a user that sends needs `ses:SendRawEmail` and nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

/// The one action that SMTP needs.
const NEEDED: &str = "ses:sendrawemail";

/// What policies allow.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Some statement allows sending, and none forbids it without a condition.
    pub(super) sends: bool,
    /// Actions that are allowed beside it, as they are written.
    pub(super) more: BTreeSet<String>,
}

/// Reads policy documents.
pub(super) fn read(documents: &[Value]) -> Findings {
    let mut findings = Findings::default();
    let mut denied = false;
    for statement in documents.iter().flat_map(|document| list(&document["Statement"])) {
        let allows = statement["Effect"] == "Allow";
        if let Some(not) = statement.get("NotAction") {
            let spared = texts(not);
            let sends = !spared.iter().any(|pattern| matches(pattern, NEEDED));
            if allows {
                findings.sends |= sends;
                findings.more.insert(format!("all but {}", spared.join(", ")));
            } else {
                denied |= sends && statement.get("Condition").is_none();
            }
            continue;
        }
        for pattern in texts(&statement["Action"]) {
            let sends = matches(&pattern, NEEDED);
            if !allows {
                denied |= sends && statement.get("Condition").is_none();
                continue;
            }
            findings.sends |= sends;
            if !pattern.eq_ignore_ascii_case(NEEDED) {
                findings.more.insert(pattern);
            }
        }
    }
    findings.sends &= !denied;
    findings
}

/// Whether a policy's name is one that AWS attaches to a user whose key has leaked. It stops much, but not sending.
pub(super) fn is_quarantine(name: &str) -> bool {
    name.starts_with("AWSCompromisedKeyQuarantine")
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn texts(value: &Value) -> Vec<String> {
    list(value).into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// IAM's wildcards: `*` and `?`, without regard to case.
fn matches(pattern: &str, action: &str) -> bool {
    fn go(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => go(rest, text) || text.split_first().is_some_and(|(_, more)| go(pattern, more)),
            Some((b'?', rest)) => text.split_first().is_some_and(|(_, more)| go(rest, more)),
            Some((c, rest)) => text.split_first().is_some_and(|(t, more)| c == t && go(rest, more)),
        }
    }
    // Neighbouring stars are one: more of them would only take longer.
    let mut short = pattern.to_ascii_lowercase();
    while short.contains("**") {
        short = short.replace("**", "*");
    }
    go(short.as_bytes(), action.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_user_may_beside_sending_is_named() {
        let allow = |action: Value| json!({"Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]});
        for (action, sends, more) in [
            (json!("ses:SendRawEmail"), true, vec![]),
            (json!(["SES:sendrawemail"]), true, vec![]),
            (json!(["ses:SendRawEmail", "ses:SendEmail"]), true, vec!["ses:SendEmail"]),
            (json!("ses:*"), true, vec!["ses:*"]),
            (json!("ses:Send?awEmail"), true, vec!["ses:Send?awEmail"]),
            (json!("*"), true, vec!["*"]),
            (json!("s3:GetObject"), false, vec!["s3:GetObject"]),
            (json!([]), false, vec![]),
            (json!(null), false, vec![]),
        ] {
            let found = read(&[allow(action.clone())]);
            let more: BTreeSet<String> = more.into_iter().map(str::to_owned).collect();
            assert_eq!(found, Findings { sends, more }, "{action}");
        }
    }

    #[test]
    fn a_refusal_without_a_condition_wins() {
        let allow = json!({"Statement": {"Effect": "Allow", "Action": "ses:SendRawEmail"}});
        let deny = json!({"Statement": {"Effect": "Deny", "Action": "ses:*"}});
        let sometimes = json!({"Statement": {"Effect": "Deny", "Action": "ses:*", "Condition": {"x": {}}}});
        let rest = json!({"Statement": {"Effect": "Deny", "NotAction": "s3:*"}});
        assert!(read(std::slice::from_ref(&allow)).sends);
        assert!(!read(&[allow.clone(), deny]).sends);
        assert!(read(&[allow.clone(), sometimes]).sends);
        assert!(!read(&[allow, rest]).sends);
        let all = read(&[json!({"Statement": {"Effect": "Allow", "NotAction": ["iam:*"]}})]);
        assert!(all.sends && all.more.contains("all but iam:*"));
        assert_eq!(read(&[json!("nonsense"), json!({"Statement": 7})]), Findings::default());
    }

    #[test]
    fn a_quarantine_is_known_in_every_version() {
        for name in ["AWSCompromisedKeyQuarantine", "AWSCompromisedKeyQuarantineV2", "AWSCompromisedKeyQuarantineV3"] {
            assert!(is_quarantine(name));
        }
        assert!(!is_quarantine("QuarantineOfOurs"));
    }
}
