//! The table of what was run against what, for `docs/conformance.md`. A kind's test calls `hold`, which compares what its suite ran
//! with the row here; `HANDOVER_RENEW=1` writes the document anew from the rows.

use super::Against::{self, Contract, Emulator, Local, Real};
use super::{Ran, providers, stores, usage};

/// A row: the kind, what it ran against, and the properties that cannot be asked of it, with why.
struct Row {
    kind: &'static str,
    against: Against,
    not: &'static [(&'static str, &'static str)],
}

/// Why some properties cannot be asked of files.
pub(crate) const LOCAL_PERMISSION: &str =
    "the tests run as root, who may write every file; `fault_tests` make each operation fail";
pub(crate) const READ_BY_ROOT: &str = "the tests run as root, who may read every file";
pub(crate) const LOCAL_NETWORK: &str = "there is no network between";
pub(crate) const LOCAL_ANSWER: &str = "there is no answer to lose; `fault_tests` make each operation fail";
/// What is said of a file that SOPS has encrypted.
pub(crate) const SOPS_KEYS: &str =
    "the entry is a file; a key that cannot be reached is one that `sops` cannot get, which is asked above";
/// What is said where a program works on what is not the entry yet.
pub(crate) const ON_A_COPY: &str =
    "there is none: the program works on a copy, and the entry is one rename; each end of it is tested apart";

const SOPS: &[(&str, &str)] = &[("unreachable is not done", SOPS_KEYS), ("a lost answer is unknown", ON_A_COPY)];
const CREDS: &[(&str, &str)] = &[("unreachable is not done", LOCAL_NETWORK), ("a lost answer is unknown", ON_A_COPY)];

/// What is said of entries that are two secrets and nothing else.
const NOTHING_BESIDE: (&str, &str) = ("siblings are kept", "nothing is kept beside the two secrets");

const STORES: &[Row] = &[
    Row { kind: "aws-secrets-manager", against: Emulator("moto 5.2.5"), not: &[] },
    Row { kind: "aws-ssm", against: Emulator("moto 5.2.5"), not: &[] },
    Row { kind: "azure-key-vault", against: Contract, not: &[] },
    Row { kind: "azure-key-vault (two secrets)", against: Contract, not: &[NOTHING_BESIDE] },
    Row { kind: "conjur", against: Contract, not: &[("siblings are kept", "nothing is kept beside the two variables")] },
    Row {
        kind: "env-file",
        against: Local,
        not: &[
            ("a missing permission is named", LOCAL_PERMISSION),
            ("unreachable is not done", LOCAL_NETWORK),
            ("a lost answer is unknown", LOCAL_ANSWER),
        ],
    },
    Row { kind: "exec", against: Local, not: &[] },
    Row {
        kind: "file",
        against: Local,
        not: &[
            ("siblings are kept", "each file holds one value"),
            ("a missing permission is named", LOCAL_PERMISSION),
            ("unreachable is not done", LOCAL_NETWORK),
            ("a lost answer is unknown", LOCAL_ANSWER),
        ],
    },
    Row { kind: "gcp-secret-manager", against: Contract, not: &[] },
    Row { kind: "gcp-secret-manager (two secrets)", against: Contract, not: &[NOTHING_BESIDE] },
    Row { kind: "github-actions", against: Contract, not: &[("reads what is there", stores::GIVES_NOTHING_BACK)] },
    Row {
        kind: "github-actions (environment)",
        against: Contract,
        not: &[("reads what is there", stores::GIVES_NOTHING_BACK)],
    },
    Row {
        kind: "github-actions (organization)",
        against: Contract,
        not: &[("reads what is there", stores::GIVES_NOTHING_BACK)],
    },
    Row { kind: "gitlab-ci", against: Contract, not: &[] },
    Row { kind: "kubernetes", against: Contract, not: &[] },
    Row { kind: "sops", against: Real("SOPS 3.11.0 with age keys, YAML"), not: SOPS },
    Row { kind: "sops (json)", against: Real("SOPS 3.11.0 with age keys"), not: SOPS },
    Row { kind: "sops (dotenv)", against: Real("SOPS 3.11.0 with age keys"), not: SOPS },
    Row { kind: "sops (ini)", against: Real("SOPS 3.11.0 with age keys"), not: SOPS },
    Row { kind: "systemd-credential", against: Real("systemd-creds 252 with a host key"), not: CREDS },
    Row { kind: "systemd-credential (env)", against: Real("systemd-creds 252 with a host key"), not: CREDS },
    Row { kind: "vault", against: Real("OpenBao 2.7.2, KV version 2"), not: &[] },
    Row { kind: "vault (kv: 1)", against: Real("OpenBao 2.7.2, KV version 1"), not: &[] },
];

/// What is said by kinds of shape B.
const ONLY_DELETES: (&str, &str) = ("disables and enables it", "it only deletes, and says so");
/// What is said where the vendor's limit is high or unknown.
const FAR: (&str, &str) = ("says when the account is full", "its limit is too far to be reached here");

/// Why a Dovecot cannot be unreachable to the suite.
const READ_HERE: &[(&str, &str)] = &[(
    "unreachable is not done",
    "its users are read on this machine, server or none; that changes need the server is tested apart",
)];
/// What is said of a program.
const NOBODY: (&str, &str) = (
    "unreachable is not done",
    "what the program talks to is its own business; one that is not there is a mistake of the inventory",
);

const PROVIDERS: &[Row] = &[
    Row { kind: "dovecot", against: Real("Postfix 3.7 and Dovecot 2.3"), not: READ_HERE },
    Row { kind: "dovecot (postgres)", against: Real("Postfix 3.7 and Dovecot 2.3 with PostgreSQL 15"), not: &[] },
    Row { kind: "dovecot (sql)", against: Real("Postfix 3.7 and Dovecot 2.3 with SQLite"), not: READ_HERE },
    Row { kind: "entra", against: Contract, not: &[ONLY_DELETES, FAR] },
    Row { kind: "exec", against: Local, not: &[NOBODY] },
    Row { kind: "exec delete-only", against: Local, not: &[ONLY_DELETES, NOBODY] },
    Row { kind: "mailcow", against: Contract, not: &[FAR] },
    Row { kind: "mailersend", against: Contract, not: &[FAR] },
    Row { kind: "mailgun", against: Contract, not: &[ONLY_DELETES, FAR] },
    Row { kind: "mailjet", against: Contract, not: &[FAR] },
    Row { kind: "resend", against: Contract, not: &[ONLY_DELETES, FAR] },
    Row { kind: "scaleway", against: Contract, not: &[ONLY_DELETES, FAR] },
    Row { kind: "smtp2go", against: Contract, not: &[FAR] },
    Row { kind: "stalwart", against: Contract, not: &[ONLY_DELETES] },
    Row { kind: "sendgrid", against: Contract, not: &[ONLY_DELETES, FAR] },
    Row { kind: "sendgrid soft_disable", against: Contract, not: &[FAR] },
    Row { kind: "ses", against: Emulator("moto 5.2.5 with an SMTP endpoint beside it"), not: &[] },
    Row { kind: "ldap", against: Real("OpenLDAP 2.5"), not: &[] },
    Row { kind: "ldap (two values)", against: Real("OpenLDAP 2.5"), not: &[] },
    Row { kind: "ldap (ppolicy)", against: Real("OpenLDAP 2.5 with a password policy"), not: &[] },
];

/// What is said of sources without refused logins.
const NO_REFUSALS: (&str, &str) = ("a refused login is no use", "refused logins are not in it");
/// And of those at moto.
const MOTO_TIME: (&str, &str) =
    ("what lies before the window is usual", "moto gives everything the time at which it happens");
const NO_ADDRESS: (&str, &str) = ("and with its network", "it tells no address");
const FILE_PERMISSION: (&str, &str) = ("a missing permission is named", READ_BY_ROOT);

const USAGE: &[Row] = &[
    Row { kind: "cloudtrail", against: Contract, not: &[NO_REFUSALS] },
    Row { kind: "cloudtrail (files)", against: Local, not: &[NO_REFUSALS, FILE_PERMISSION] },
    Row { kind: "dovecot-log", against: Local, not: &[FILE_PERMISSION] },
    Row { kind: "exim-log", against: Local, not: &[FILE_PERMISSION] },
    Row { kind: "iam-last-used", against: Emulator("moto 5.2.5"), not: &[NO_REFUSALS, NO_ADDRESS, MOTO_TIME] },
    Row {
        kind: "mailgun-events",
        against: Contract,
        not: &[("another's use is not ours", "it does not tell with which login of the domain"), NO_REFUSALS],
    },
    Row { kind: "postfix-log", against: Local, not: &[FILE_PERMISSION] },
    Row { kind: "sendgrid-activity", against: Contract, not: &[NO_REFUSALS] },
    Row { kind: "ses-events", against: Local, not: &[NO_REFUSALS, FILE_PERMISSION] },
    Row {
        kind: "ses-statistics",
        against: Emulator("moto 5.2.5"),
        not: &[("another's use is not ours", "it counts the mail of the whole account"), NO_REFUSALS, NO_ADDRESS, MOTO_TIME],
    },
];

/// Holds what a suite ran to the kind's row.
pub(crate) fn hold(kind: &str, ran: &Ran) {
    // A kind may be of both.
    let of = |first: &str| ran.iter().any(|(property, _)| first == *property);
    let rows = match (of(stores::PROPERTIES[0]), of(usage::PROPERTIES[0])) {
        (true, _) => STORES,
        (_, true) => USAGE,
        _ => PROVIDERS,
    };
    let row = rows.iter().find(|row| row.kind == kind);
    let row = row.unwrap_or_else(|| panic!("{kind} has no row in tests/it/conformance/table.rs"));
    let not: Vec<_> = ran.iter().filter_map(|(property, how)| Some((*property, how.err()?))).collect();
    assert_eq!(not, row.not, "what cannot be asked of {kind}");
}

fn document() -> String {
    let mut text = String::from(
        "# What each kind was proven to do, and against what\n\n\
         Made by the tests (`tests/it/conformance/`): each kind's suite is run, and this page is compared with what it ran.\n\
         ✓ held · – cannot be asked of it, see below.\n",
    );
    for (title, properties, rows) in [
        ("Stores", &stores::PROPERTIES[..], STORES),
        ("Providers", &providers::PROPERTIES[..], PROVIDERS),
        ("Sources of evidence", &usage::PROPERTIES[..], USAGE),
    ] {
        text.push_str(&format!("\n## {title}\n\n"));
        for (n, property) in properties.iter().enumerate() {
            text.push_str(&format!("{}. {property}\n", n + 1));
        }
        let numbers: Vec<String> = (1..=properties.len()).map(|n| n.to_string()).collect();
        text.push_str(&format!(
            "\n| kind | ran against | {} |\n|---|---|{}\n",
            numbers.join(" | "),
            "---|".repeat(numbers.len())
        ));
        for row in rows {
            let against = match row.against {
                Real(what) => format!("{what}, the real server"),
                Emulator(what) => format!("{what}, an emulator"),
                Contract => "a server written from the vendor's contract".to_owned(),
                Local => "this machine's files and programs".to_owned(),
            };
            let marks: Vec<&str> =
                properties.iter().map(|p| if row.not.iter().any(|(n, _)| n == p) { "–" } else { "✓" }).collect();
            text.push_str(&format!("| `{}` | {against} | {} |\n", row.kind, marks.join(" | ")));
        }
        for row in rows.iter().filter(|r| !r.not.is_empty()) {
            text.push_str(&format!("\n`{}`:\n", row.kind));
            for (property, why) in row.not {
                text.push_str(&format!("* {property}: {why}\n"));
            }
        }
    }
    text
}

#[test]
fn the_document_is_what_the_suites_run() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
    if std::env::var_os("HANDOVER_RENEW").is_some() {
        std::fs::write(&path, document()).expect("it is written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == document(), "docs/conformance.md is not what the suites run: HANDOVER_RENEW=1 renews it");
}
