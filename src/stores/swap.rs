//! Whether an entry that was read may be replaced: the one question of a write that compares by value.

use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass};

use super::Held;
use crate::secret::{Login, Secret};

/// The two fields of an entry as they stand there; one that is missing or empty is `None`.
pub(super) struct Kept {
    username: Option<String>,
    password: Option<Secret>,
}

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swap {
    /// It holds the login already.
    Same,
    /// It holds what was expected.
    Replace,
    /// Somebody else has changed it.
    Foreign,
}

impl Kept {
    /// Takes what stands in the two fields.
    pub(super) fn new(username: Option<&str>, password: Option<&str>) -> Self {
        let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self { username: some(username), password: some(password).map(Secret::new) }
    }

    /// What to do with the entry; an empty `expect` stands for "it holds no password yet".
    pub(super) fn swap(&self, login: &Login, expect: &[Secret]) -> Swap {
        let named = self.username.as_deref() == Some(login.username.as_str());
        match &self.password {
            Some(held) if named && held.matches(&login.password) => Swap::Same,
            Some(held) if expect.iter().any(|secret| secret.matches(held)) => Swap::Replace,
            None if expect.is_empty() => Swap::Replace,
            _ => Swap::Foreign,
        }
    }

    /// Whether this is exactly `login`.
    pub(super) fn is(&self, login: &Login) -> bool {
        self.swap(login, &[]) == Swap::Same
    }

    /// What the entry at `path` holds.
    pub(super) fn held(self, path: &str, field: &str) -> Result<Held, Fault> {
        let (Some(username), Some(password)) = (self.username, self.password) else { return Ok(Held::Nothing) };
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        let username = Username::new(username).map_err(|_| {
            let message = format!("{path}: `{field}` is not a login name");
            Fault::new(FaultClass::Permanent, "HO0622", message).hint("are the two fields of the entry swapped?")
        })?;
        Ok(Held::Login(Login { username, password }))
    }

    /// The fault of an entry that somebody else has changed.
    pub(super) fn foreign(&self, path: &str) -> Fault {
        let what = if self.password.is_some() { "another password than expected" } else { "no password any more" };
        let message = format!("{path}: the entry holds {what}; someone else changed it");
        let hint = "find out who wrote it; then run `handover status` for what is safe next";
        Fault::new(FaultClass::Permanent, "HO0611", message).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_expected_is_replaced() {
        let login = Login { username: Username::new("new").expect("a name"), password: Secret::new("n".to_owned()) };
        for (username, password, expect, expected) in [
            ("new", "n", vec![], Swap::Same),
            ("new", "n", vec!["o"], Swap::Same),
            ("old", "o", vec!["x", "o"], Swap::Replace),
            ("new", "o", vec!["o"], Swap::Replace),
            ("old", "n", vec!["n"], Swap::Replace),
            ("", "o", vec!["o"], Swap::Replace),
            ("old", "", vec![], Swap::Replace),
            ("old", "", vec!["o"], Swap::Foreign),
            ("old", "f", vec!["o"], Swap::Foreign),
            ("old", "n", vec!["o"], Swap::Foreign),
            ("", "o", vec![], Swap::Foreign),
        ] {
            let expect: Vec<Secret> = expect.into_iter().map(|text| Secret::new(text.to_owned())).collect();
            let kept = Kept::new(Some(username), Some(password));
            assert_eq!(kept.swap(&login, &expect), expected, "{username} {password}");
            assert_eq!(kept.is(&login), expected == Swap::Same);
        }
    }

    #[test]
    fn half_a_login_is_none_and_swapped_fields_are_told_without_a_value() {
        assert!(matches!(Kept::new(Some("a"), None).held("p", "f"), Ok(Held::Nothing)));
        assert!(matches!(Kept::new(Some(""), Some("b")).held("p", "f"), Ok(Held::Nothing)));
        let told = Kept::new(Some("hush hush\n"), Some("b")).held("p", "f").err().map(|f| f.to_string());
        assert!(told.is_some_and(|told| told.contains("HO0622") && !told.contains("hush")));
    }
}
