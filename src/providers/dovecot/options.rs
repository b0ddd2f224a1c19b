//! What an inventory says about a Dovecot.

use std::collections::BTreeMap;
use std::path::PathBuf;

use handover_rotation::name::Username;
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;

use super::doveadm::Doveadm;
use super::logins::QUOTA;
use crate::config::inventory::SecretRef;
use crate::config::{Fields, schema};

/// How long a change may take to be known: the server looks at its file once a second, and its cache is flushed.
const PROPAGATION: Span = Span::seconds(5);
const MOST_PROPAGATION: Span = Span::minutes(24 * 60);

/// How passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Argon2Id,
    BlfCrypt,
    Sha512Crypt,
}

const SCHEMES: [(&str, Scheme); 3] =
    [("ARGON2ID", Scheme::Argon2Id), ("BLF-CRYPT", Scheme::BlfCrypt), ("SHA512-CRYPT", Scheme::Sha512Crypt)];

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        SCHEMES.iter().find(|(_, scheme)| *scheme == self).map_or("", |(name, _)| name)
    }
}

/// What of a table is read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) table: String,
    pub(super) username: String,
    pub(super) password: String,
}

/// A table in a file of SQLite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) database: PathBuf,
    pub(super) columns: Columns,
}

/// A database of PostgreSQL, and whom to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// A name or address, or the folder of a socket.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) database: String,
    /// None where the server knows who we are by the socket.
    pub(super) password: Option<SecretRef>,
    pub(super) ca_file: Option<PathBuf>,
}

impl Server {
    /// The folder of the socket, where it is one.
    pub(super) fn socket(&self) -> Option<&str> {
        self.host.starts_with('/').then_some(self.host.as_str())
    }

    /// The name for messages.
    #[cfg(feature = "postgres")]
    pub(super) fn who(&self) -> String {
        format!("database {} at {}:{}", self.database, self.host, self.port)
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let host = fields.required_str("host");
        let port = fields.optional_port("port");
        let user = fields.required_str("user");
        let database = fields.required_str("database");
        let password = fields.optional_secret("password");
        let ca_file = fields.optional_path("ca_file");
        if !cfg!(feature = "postgres") {
            let hint = "build it with the feature `postgres`";
            fields.problem("HO0113", "host", "this build of Handover does not speak to PostgreSQL", hint);
        }
        let host = host?;
        if !host.starts_with('/') && host.contains(['/', ',', '@', ' ']) {
            let hint = "one name or address, or the folder of a socket such as /run/postgresql";
            fields.problem("HO0113", "host", format!("`host` cannot be `{host}`"), hint);
        }
        Some(Self { host, port: port.unwrap_or(5432), user: user?, database: database?, password, ca_file })
    }
}

/// Where the server reads its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    PasswdFile(PathBuf),
    Sqlite(Table),
    #[cfg(feature = "postgres")]
    Postgres(super::postgres::PostgresTable),
}

impl Place {
    /// How long a change may still come after Handover died. What this process changes itself is not done when it dies.
    fn landing(&self) -> Span {
        match self {
            Self::PasswdFile(_) | Self::Sqlite(_) => Span(0),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Span::seconds(8),
        }
    }
}

/// What an inventory says about a Dovecot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DovecotOptions {
    pub(super) place: Place,
    pub(super) scheme: Scheme,
    pub(super) shape: Shape,
    /// Pairs of login names, for accounts whose names are not made by adding `-a` and `-b`.
    pub(super) users: BTreeMap<String, [String; 2]>,
    pub(super) doveadm: Doveadm,
    pub(super) propagation: Span,
}

impl DovecotOptions {
    /// Reads the options; see docs/kinds/dovecot.md.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let passwd_file = fields.optional_path("passwd_file");
        let sql = fields.optional_map("sql", |sql| {
            let sqlite = sql.optional_path("sqlite");
            let server = sql.optional_map("postgres", Server::read);
            let mut word = |key: &str, usual: &str| {
                let word = sql.optional_str(key).unwrap_or_else(|| usual.to_owned());
                if !is_word(&word) {
                    let hint = "a name of letters, digits and `_`, without quotes";
                    sql.problem("HO0113", key, format!("`{key}` cannot be `{word}`"), hint);
                }
                word
            };
            let (table, username, password) =
                (word("table", "users"), word("login_column", "username"), word("hash_column", "password"));
            let columns = Columns { table, username, password };
            match (sql.has("sqlite"), sql.has("postgres")) {
                (true, false) => Some(Place::Sqlite(Table { database: sqlite?, columns })),
                #[cfg(feature = "postgres")]
                (false, true) => Some(Place::Postgres(super::postgres::PostgresTable { server: server?, columns })),
                #[cfg(not(feature = "postgres"))]
                (false, true) => server.and(None),
                (both, _) => {
                    let message = "a table is in one database: `sqlite` or `postgres`";
                    sql.problem("HO0113", if both { "postgres" } else { "sqlite" }, message, "give one of the two");
                    None
                }
            }
        });
        let scheme = fields.optional_choice("scheme", &SCHEMES);
        let scheme_given = fields.has("scheme");
        let shape = fields.optional_choice("accounts", &[("alternating", Shape::Alternating), ("in-place", Shape::InPlace)]);
        let users = fields.optional_map("users", |users| {
            let pairs: Vec<String> = users.named().iter().map(|pair| pair.key.clone()).collect();
            let lists: Vec<_> = pairs.into_iter().map(|account| (users.optional_list(&account), account)).collect();
            let mut found = BTreeMap::new();
            for (list, account) in lists {
                let list = list?;
                match <[String; 2]>::try_from(list) {
                    Ok(pair) if pair[0] != pair[1] && pair.iter().all(|name| is_login(name)) => {
                        found.insert(account, pair);
                    }
                    _ => {
                        let message = format!("`{account}` needs two different login names that take turns");
                        users.problem("HO0113", &account, message, "write them as [FIRST, SECOND]");
                    }
                }
            }
            Some(found)
        });
        let program = fields.optional_path("doveadm");
        let socket = fields.optional_path("auth_socket");
        let propagation = fields.optional_duration("propagation", Span(0)..=MOST_PROPAGATION);
        let (file, table) = (fields.has("passwd_file"), fields.has("sql"));
        if file == table {
            let message = "a Dovecot has its users in one place: `passwd_file` or `sql`";
            fields.problem("HO0113", if table { "sql" } else { "passwd_file" }, message, "give one of the two");
            return None;
        }
        let place = if file { Place::PasswdFile(passwd_file?) } else { sql? };
        Some(Self {
            place,
            scheme: if scheme_given { scheme? } else { Scheme::Argon2Id },
            shape: shape.unwrap_or(Shape::Alternating),
            users: users.unwrap_or_default(),
            doveadm: Doveadm {
                program: program.unwrap_or_else(|| "/usr/bin/doveadm".into()),
                socket: socket.unwrap_or_else(|| "/run/dovecot/auth-master".into()),
            },
            propagation: propagation.unwrap_or(PROPAGATION),
        })
    }

    pub(super) fn schema() -> serde_json::Value {
        let schemes = SCHEMES.map(|(name, _)| name);
        let text = || serde_json::json!({"type": "string", "minLength": 1});
        let word = || serde_json::json!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"});
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "passwd_file": text(),
                "sql": {
                    "type": "object", "additionalProperties": false,
                    "properties": {
                        "sqlite": text(), "table": word(), "login_column": word(), "hash_column": word(),
                        "postgres": {
                            "type": "object", "additionalProperties": false, "required": ["host", "user", "database"],
                            "properties": {
                                "host": {"type": "string", "pattern": "^(/.*|[^/,@ ]+)$"},
                                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                                "user": text(), "database": text(), "ca_file": text(),
                                "password": {
                                    "type": "object", "minProperties": 1, "maxProperties": 1,
                                    "additionalProperties": false, "properties": {"env": text(), "file": text()},
                                },
                            },
                        },
                    },
                    "oneOf": [{"required": ["sqlite"]}, {"required": ["postgres"]}],
                },
                "scheme": {"enum": schemes},
                "accounts": {"enum": ["alternating", "in-place"]},
                "users": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "array", "minItems": 2, "maxItems": 2, "uniqueItems": true, "items": text(),
                    },
                },
                "doveadm": text(),
                "auth_socket": text(),
                "propagation": schema::duration(),
            },
            "oneOf": [{"required": ["passwd_file"]}, {"required": ["sql"]}],
        })
    }

    pub(super) fn facts(&self) -> ProviderFacts {
        ProviderFacts {
            kind: "dovecot".to_owned(),
            shape: self.shape,
            quota: QUOTA,
            propagation: self.propagation,
            // A hash, two flushes, and a second that has to pass.
            request_timeout: Span::seconds(25),
            landing: self.place.landing(),
            chooses_secret: true,
            tells_last_use: false,
        }
    }

    /// The login names of an account.
    pub(super) fn logins(&self, account: &str) -> Vec<String> {
        if self.shape == Shape::InPlace {
            return vec![account.to_owned()];
        }
        if let Some(pair) = self.users.get(account) {
            return pair.to_vec();
        }
        let named = |half: &str| match account.split_once('@') {
            Some((local, domain)) => format!("{local}-{half}@{domain}"),
            None => format!("{account}-{half}"),
        };
        vec![named("a"), named("b")]
    }
}

/// Whether it can stand in a line of the file and among the arguments of a program.
pub(super) fn is_login(name: &str) -> bool {
    Username::new(name).is_ok() && !name.starts_with(['-', '#']) && !name.contains(':')
}

fn is_word(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Node;

    fn read(text: &str) -> (Option<DovecotOptions>, bool) {
        let node = Node::from_yaml("test.yaml", Path::new("/"), text).expect("YAML");
        let mut fields = Fields::new(&node, "provider");
        let options = DovecotOptions::read(&mut fields);
        (options, fields.finish().has_errors())
    }

    #[test]
    fn its_options_are_read_and_others_refused_as_the_schema_does() {
        let schema = jsonschema::validator_for(&DovecotOptions::schema()).expect("a schema");
        for (text, sound) in [
            ("{passwd_file: /etc/dovecot/users}", true),
            ("{passwd_file: u, scheme: BLF-CRYPT, accounts: in-place, propagation: 1m}", true),
            ("{passwd_file: u, users: {news: [news, spare]}, doveadm: /opt/doveadm, auth_socket: /run/x}", true),
            ("{sql: {sqlite: /var/lib/users.db}}", true),
            ("{sql: {sqlite: u.db, table: mailbox, login_column: login, hash_column: hash}}", true),
            (
                "{sql: {postgres: {host: db.example.com, user: handover, database: mail, password: {file: p}, ca_file: c}}}",
                true,
            ),
            ("{sql: {postgres: {host: /run/postgresql, port: 5433, user: handover, database: mail}, table: users}}", true),
            ("{sql: {postgres: {host: db, user: handover}}}", false),
            ("{sql: {postgres: {host: \"a,b\", user: handover, database: mail}}}", false),
            ("{sql: {postgres: {host: db, user: handover, database: mail}, sqlite: u.db}}", false),
            ("{sql: {table: users}}", false),
            ("{}", false),
            ("{passwd_file: u, sql: {sqlite: u.db}}", false),
            ("{sql: {}}", false),
            ("{sql: {sqlite: u.db, table: \"users; drop\"}}", false),
            ("{passwd_file: u, scheme: PLAIN}", false),
            ("{passwd_file: u, accounts: both}", false),
            ("{passwd_file: u, users: {news: [x]}}", false),
            ("{passwd_file: u, users: {news: [x, x]}}", false),
            ("{passwd_file: u, users: [news, spare]}", false),
            ("{passwd_file: u, propagation: 5}", false),
            ("{passwd_file: u, socket: x}", false),
        ] {
            let (options, wrong) = read(text);
            assert_eq!(options.is_some() && !wrong, sound, "{text}");
            let json: serde_json::Value = serde_yaml::from_str(text).expect("YAML");
            assert_eq!(schema.is_valid(&json), sound, "the schema on {text}");
        }
        assert!(read("{passwd_file: u, users: {news: [\"a:b\", c]}}").1);
    }

    #[test]
    fn two_logins_take_turns_and_one_does_not() {
        let names = |text: &str, account: &str| read(text).0.expect("options").logins(account);
        assert_eq!(names("{passwd_file: u}", "news"), ["news-a", "news-b"]);
        assert_eq!(names("{passwd_file: u}", "news@example.com"), ["news-a@example.com", "news-b@example.com"]);
        assert_eq!(names("{passwd_file: u, users: {news: [news, spare]}}", "news"), ["news", "spare"]);
        assert_eq!(names("{passwd_file: u, accounts: in-place}", "news"), ["news"]);
        let facts = read("{passwd_file: u, propagation: 1m}").0.expect("options").facts();
        assert_eq!((facts.shape, facts.propagation, facts.chooses_secret), (Shape::Alternating, Span::minutes(1), true));
        assert_eq!(read("{passwd_file: u}").0.expect("options").scheme, Scheme::Argon2Id);
    }
}
