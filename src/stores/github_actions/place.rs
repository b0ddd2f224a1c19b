//! Where secrets of GitHub Actions are: of a repository, of an environment of one, or of an organization.

/// A place. Its path in an inventory is `OWNER/REPOSITORY`, `OWNER/REPOSITORY/environments/NAME` or `orgs/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Of a repository.
    Repository { owner: String, name: String },
    /// Of an environment of a repository.
    Environment { owner: String, repository: String, name: String },
    /// Of an organization.
    Organization(String),
}

/// How a path is written.
const FORMS: &str = "write `OWNER/REPOSITORY`, `OWNER/REPOSITORY/environments/NAME` or `orgs/NAME`";

impl Place {
    /// Reads a path.
    ///
    /// # Errors
    /// In words, for a person.
    pub(super) fn read(path: &str) -> Result<Self, String> {
        let refuse = || Err(format!("`{path}` is no place of secrets: {FORMS}"));
        let parts: Vec<&str> = path.splitn(4, '/').collect();
        // An account cannot be called `orgs`.
        let place = match parts.as_slice() {
            ["orgs", name] if is_account(name) => Self::Organization((*name).to_owned()),
            ["orgs", ..] => return refuse(),
            [owner, name] if is_account(owner) && is_repository(name) => {
                Self::Repository { owner: (*owner).to_owned(), name: (*name).to_owned() }
            }
            // Names of environments may have slashes and blanks.
            [owner, repository, "environments", name] if is_account(owner) && is_repository(repository) && is_text(name) => {
                Self::Environment {
                    owner: (*owner).to_owned(),
                    repository: (*repository).to_owned(),
                    name: (*name).to_owned(),
                }
            }
            _ => return refuse(),
        };
        Ok(place)
    }

    /// The path of the API below which things of `what`, `secrets` or `variables`, are.
    pub(super) fn below<'p>(&'p self, what: &'p str) -> Vec<&'p str> {
        match self {
            Self::Repository { owner, name } => vec!["repos", owner, name, "actions", what],
            Self::Environment { owner, repository, name } => {
                vec!["repos", owner, repository, "environments", name, what]
            }
            Self::Organization(name) => vec!["orgs", name, "actions", what],
        }
    }

    /// The repository, if it is in one.
    pub(super) fn repository(&self) -> Option<[&str; 3]> {
        match self {
            Self::Repository { owner, name } => Some(["repos", owner, name]),
            Self::Environment { owner, repository, .. } => Some(["repos", owner, repository]),
            Self::Organization(_) => None,
        }
    }

    /// The scope that a token without fine-grained permissions must have.
    pub(super) fn scope(&self) -> &'static str {
        match self {
            Self::Organization(_) => "admin:org",
            _ => "repo",
        }
    }

    /// The permissions that a fine-grained token or an app must have.
    pub(super) fn permissions(&self) -> &'static str {
        match self {
            Self::Repository { .. } => "`Secrets` and `Variables`: read and write, of the repository",
            Self::Environment { .. } => "`Environments`: read and write, of the repository",
            Self::Organization(_) => "`Secrets` and `Variables`: read and write, of the organization",
        }
    }
}

/// Why these cannot be the names of two secrets; `None` if they can.
pub(super) fn misnamed(fields: [&str; 2]) -> Option<String> {
    if fields[0].eq_ignore_ascii_case(fields[1]) {
        return Some(format!("GitHub takes `{}` and `{}` for one and the same secret", fields[0], fields[1]));
    }
    let wrong = fields.into_iter().find(|name| {
        let sound = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let reserved = name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("GITHUB_"));
        !sound || reserved || !(1..=200).contains(&name.len()) || name.starts_with(|c: char| c.is_ascii_digit())
    });
    wrong.map(|name| {
        format!("`{name}` is no name of a secret: those are letters, digits and `_`, and begin with no digit and not with `GITHUB_`")
    })
}

fn is_account(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn is_repository(name: &str) -> bool {
    let sound = (1..=100).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    sound && !matches!(name, "." | "..")
}

fn is_text(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.chars().any(char::is_control) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_repository_an_environment_or_an_organization() {
        for (path, below) in [
            ("acme/news.letter", Some("repos/acme/news.letter/actions/secrets")),
            ("acme/news/environments/prod/eu 1", Some("repos/acme/news/environments/prod/eu 1/secrets")),
            ("orgs/acme", Some("orgs/acme/actions/secrets")),
            ("acme", None),
            ("orgs/", None),
            ("orgs/acme/news", None),
            ("acme/..", None),
            ("acme/news/", None),
            ("acme/news/environments/", None),
            ("acme/news/environments/..", None),
            ("acme/news/secrets/x", None),
            ("a b/news", None),
            ("", None),
        ] {
            let found = Place::read(path).map(|place| place.below("secrets").join("/"));
            assert_eq!(found.as_deref().ok(), below, "{path}");
        }
    }

    #[test]
    fn names_that_github_does_not_take_are_told() {
        assert_eq!(misnamed(["SMTP_USERNAME", "_pass1"]), None);
        for fields in [["A", "a"], ["1A", "B"], ["A-B", "C"], ["github_x", "C"], ["A", ""], ["A", "B C"]] {
            assert!(misnamed(fields).is_some(), "{fields:?}");
        }
    }
}
