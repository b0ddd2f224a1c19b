//! Whose name stands in a line: the login names of a credential's versions, compared as mail servers do, without regard to case.

use std::collections::BTreeMap;

use super::question::Question;

/// How much of a name Postfix writes where a login failed.
const POSTFIX_CUT: usize = 100;

/// Whose login a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// That of one version.
    Version(usize),
    /// That of the credential: several versions have the name, or the inventory gives it.
    Credential,
}

/// The names to look for.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeMap<String, Who>);

impl Names {
    /// The login names of the versions, and `more`.
    #[must_use]
    pub(super) fn of(question: &Question, more: &[String]) -> Self {
        let mut names = BTreeMap::new();
        for (n, version) in question.versions.iter().enumerate() {
            let Some(username) = &version.username else { continue };
            let entry = names.entry(username.as_str().to_ascii_lowercase());
            entry.and_modify(|who| *who = Who::Credential).or_insert(Who::Version(n));
        }
        for name in more {
            names.entry(name.to_ascii_lowercase()).or_insert(Who::Credential);
        }
        Self(names)
    }

    /// Whether there is no name to look for.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose name this is; `None` for anybody else's. A name that Postfix has cut is known by its beginning.
    #[must_use]
    pub(super) fn who(&self, name: &str) -> Option<Who> {
        // Most lines are of others: no copy for these.
        if !self.0.keys().any(|known| known.len() == name.len() || name.len() == POSTFIX_CUT) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        if let Some(who) = self.0.get(&name) {
            return Some(*who);
        }
        if name.len() != POSTFIX_CUT {
            return None;
        }
        let mut cut = self.0.iter().filter(|(known, _)| known.starts_with(&name)).map(|(_, who)| *who);
        let first = cut.next()?;
        Some(if cut.next().is_some() { Who::Credential } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{question, version};
    use super::*;

    #[test]
    fn a_name_is_that_of_one_version_or_of_the_credential() {
        let long = "x".repeat(120);
        let mut question = question();
        question.versions = vec![
            version("k1", "News-A"),
            version("k2", "news-b"),
            version("k3", "both"),
            version("k4", "BOTH"),
            version("k5", &long),
        ];
        let names = Names::of(&question, &["relay".to_owned(), "news-a".to_owned()]);
        for (name, expected) in [
            ("news-a", Some(Who::Version(0))),
            ("NEWS-B", Some(Who::Version(1))),
            ("both", Some(Who::Credential)),
            ("relay", Some(Who::Credential)),
            ("news", None),
            ("news-a ", None),
            ("news-a, sasl_username=x", None),
            ("", None),
            (&long[..100], Some(Who::Version(4))),
            (&long[..99], None),
        ] {
            assert_eq!(names.who(name), expected, "{name}");
        }
    }
}
