//! What Handover leaves beside two secrets that nobody can read: a variable that says which login it wrote, and when GitHub says
//! that the secrets were changed. It says nothing of the login to anybody who has not the journal's key.

use handover_rotation::name::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::stores::Hidden;

/// What the name of the variable ends with: it begins with that of the password's secret.
pub(super) const SUFFIX: &str = "_HANDOVER";

const FORMAT: u8 = 1;

/// The times at which GitHub says that the two secrets were changed last, as it writes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Times {
    pub(super) username: String,
    pub(super) password: String,
}

/// The value of the variable.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Said {
    format: u8,
    /// The mark of the login; none while it is being written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<Times>,
}

/// What the variable says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// There is none.
    Missing,
    /// A write was begun, and nothing says that it ended.
    Begun,
    /// This login was written, and the secrets were changed then.
    Written(Fingerprint, Times),
    /// Something else.
    Odd,
}

impl Mark {
    /// Reads the value of the variable.
    pub(super) fn read(value: &str) -> Self {
        match serde_json::from_str(value) {
            Ok(Said { format: FORMAT, mark: None, changed: None }) => Self::Begun,
            Ok(Said { format: FORMAT, mark: Some(mark), changed: Some(times) }) => Self::Written(mark, times),
            _ => Self::Odd,
        }
    }

    /// The value of the variable; `None` where it has none to have.
    pub(super) fn value(&self) -> Option<String> {
        let (mark, changed) = match self {
            Self::Missing | Self::Odd => return None,
            Self::Begun => (None, None),
            Self::Written(mark, times) => (Some(mark.clone()), Some(times.clone())),
        };
        serde_json::to_string(&Said { format: FORMAT, mark, changed }).ok()
    }

    /// What is known of secrets that were changed last at these times, and why not more.
    pub(super) fn of(&self, now: &Times, fields: [&str; 2]) -> (Hidden, String) {
        let unknown = |why: &str| (Hidden::Unknown, why.to_owned());
        match self {
            Self::Missing => unknown("nobody can read it, and Handover has not written it before"),
            Self::Begun => unknown("nobody can read it, and a write of Handover was not carried to its end"),
            Self::Odd => unknown("nobody can read it, and its mark is not one of Handover's"),
            Self::Written(mark, then) if then == now => (Hidden::Marked(mark.clone()), String::new()),
            Self::Written(_, then) => {
                let (name, at) = match then.password == now.password {
                    true => (fields[0], &now.username),
                    false => (fields[1], &now.password),
                };
                let at = chrono::DateTime::parse_from_rfc3339(at).map_or_else(|_| String::new(), |at| format!(" at {at}"));
                let variable = format!("{}{SUFFIX}", fields[1]);
                (
                    Hidden::Changed,
                    format!("{name} was changed{at}, after Handover wrote it (its mark is the variable {variable})"),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(username: &str, password: &str) -> Times {
        Times { username: username.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_holds_until_somebody_writes() {
        let mark = Fingerprint::new("00112233445566ff").expect("a mark");
        let (then, later) = ("2026-11-26T10:00:00Z", "2026-11-26T10:00:01Z");
        let written = Mark::Written(mark.clone(), times(then, then));
        for known in [Mark::Begun, written.clone()] {
            assert_eq!(Mark::read(&known.value().expect("a value")), known);
        }
        for odd in ["", "{}", "x", r#"{"format":2}"#, r#"{"format":1,"mark":"ab"}"#, r#"{"format":1,"x":1}"#] {
            assert_eq!(Mark::read(odd), Mark::Odd, "{odd}");
        }
        let fields = ["USER", "PASS"];
        assert_eq!(written.of(&times(then, then), fields).0, Hidden::Marked(mark));
        for (now, name) in
            [(times(later, then), "USER was changed at 2026"), (times(then, later), "PASS was changed at 2026")]
        {
            let (hidden, why) = written.of(&now, fields);
            assert!(hidden == Hidden::Changed && why.starts_with(name) && why.contains("PASS_HANDOVER"), "{why}");
        }
        for unknown in [Mark::Missing, Mark::Begun, Mark::Odd] {
            assert_eq!(unknown.of(&times(then, then), fields).0, Hidden::Unknown);
        }
    }
}
