//! Where the sealing key may be kept besides the state folder: each source is one file, and wraps a key that it never sees used.
//!
//! ```text
//!   --seal FILE ──▶ Choice ──▶ trait KeySource (journal) ◀── transit      Vault and OpenBao
//!                                                        ◀── kms          AWS
//!                                                        ◀── credential   systemd
//!                                                        ◀── age          an identity elsewhere
//!                                                        ◀── pkcs11       a token
//! ```
//!
//! The journal knows a source as its trait only. What a source must not do: make or change its own key, or show one.

mod age;
mod credential;
#[cfg(feature = "aws")]
mod kms;
#[cfg(feature = "pkcs11")]
mod pkcs11;
#[cfg(feature = "vault")]
mod transit;

use std::path::Path;

use handover_rotation::outcome::Fault;

use crate::config::diagnostic::Problems;
use crate::config::fields::Fields;
use crate::config::seal::load_seal;
use crate::journal::{KeyFile, KeySource};

const KINDS: [&str; 6] = ["file", "credential", "vault-transit", "aws-kms", "age", "pkcs11"];
/// The codes of a source: whoever asks sees `HO0392`, with its words.
#[cfg(any(feature = "vault", feature = "aws"))]
const CODES: crate::web::Codes =
    crate::web::Codes { unreachable: "HO0395", lost: "HO0395", forbidden: "HO0395", busy: "HO0395", odd: "HO0395" };
const HINT: &str = "name one of `file`, `credential`, `vault-transit`, `aws-kms`, `age`, `pkcs11`";

/// A source as a file names it. No secret was read, and nothing was sent.
enum Choice {
    File,
    Credential(credential::Options),
    #[cfg(feature = "vault")]
    Transit(transit::Options),
    #[cfg(feature = "aws")]
    Kms(kms::Options),
    Age(age::Options),
    #[cfg(feature = "pkcs11")]
    Pkcs11(pkcs11::Options),
}

/// Why a source cannot be used at all.
#[derive(Debug)]
pub enum Unusable {
    /// The file that names it has problems.
    Problems(Problems),
    /// It cannot be set up.
    Fault(Fault),
}

/// The source that the file at `path` names, for the journal in `folder`. Nothing is sent yet.
///
/// # Errors
/// Every problem of the file; or the source cannot be set up.
pub fn load(path: &Path, folder: &Path) -> Result<Box<dyn KeySource>, Unusable> {
    match load_seal(path, read).map_err(Unusable::Problems)? {
        Choice::File => Ok(Box::new(KeyFile::new(folder))),
        Choice::Credential(options) => Ok(Box::new(credential::Credential::new(options))),
        #[cfg(feature = "vault")]
        Choice::Transit(options) => Ok(Box::new(transit::Transit::new(options).map_err(Unusable::Fault)?)),
        #[cfg(feature = "aws")]
        Choice::Kms(options) => Ok(Box::new(kms::Kms::new(options).map_err(Unusable::Fault)?)),
        Choice::Age(options) => Ok(Box::new(age::Age::new(options, folder))),
        #[cfg(feature = "pkcs11")]
        Choice::Pkcs11(options) => Ok(Box::new(pkcs11::Pkcs11::new(options))),
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Choice> {
    let many = KINDS.iter().filter(|kind| fields.has(kind)).count();
    let file = fields.optional_map("file", |_| Some(Choice::File));
    let credential = fields.optional_map("credential", |map| credential::read(map).map(Choice::Credential));
    #[cfg(feature = "vault")]
    let transit = fields.optional_map("vault-transit", |map| transit::read(map).map(Choice::Transit));
    #[cfg(not(feature = "vault"))]
    let transit = left_out(fields, "vault-transit", "vault");
    #[cfg(feature = "aws")]
    let kms = fields.optional_map("aws-kms", |map| kms::read(map).map(Choice::Kms));
    #[cfg(not(feature = "aws"))]
    let kms = left_out(fields, "aws-kms", "aws");
    let age = fields.optional_map("age", |map| age::read(map).map(Choice::Age));
    #[cfg(feature = "pkcs11")]
    let pkcs11 = fields.optional_map("pkcs11", |map| pkcs11::read(map).map(Choice::Pkcs11));
    #[cfg(not(feature = "pkcs11"))]
    let pkcs11 = left_out(fields, "pkcs11", "pkcs11");
    if many > 1 && fields.is_map() {
        let key = KINDS.iter().find(|kind| fields.has(kind)).copied().unwrap_or("seal");
        fields.problem("HO0113", key, "`seal` names several sources", HINT);
        return None;
    }
    if fields.is_map() && many == 0 {
        fields.problem("HO0113", "seal", "`seal` names no source", HINT);
    }
    file.or(credential).or(transit).or(kms).or(age).or(pkcs11)
}

/// A source that this build does not have.
#[cfg(not(all(feature = "vault", feature = "aws", feature = "pkcs11")))]
fn left_out(fields: &mut Fields<'_>, kind: &str, feature: &str) -> Option<Choice> {
    if fields.pair(kind).is_some() {
        let hint = format!("build it with `--features {feature}`");
        fields.problem("HO0113", kind, format!("this build has no `{kind}`"), hint);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPIENT: &str = "age1janemchdl66cr33mzc92dz558xzw7m2d6pac7fyfgyawkgvna90ssnqt2z";
    const TOKEN: &str = "module: /usr/lib/softhsm/libsofthsm2.so, token_label: handover, key_label: seal";

    fn load_text(text: &str) -> Result<Box<dyn KeySource>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("seal.yaml");
        std::fs::write(&path, text).expect("writes");
        load(&path, folder.path()).map_err(|e| match e {
            Unusable::Problems(problems) => problems.to_string(),
            Unusable::Fault(fault) => fault.to_string(),
        })
    }

    #[test]
    fn a_file_names_one_source_or_says_what_is_wrong() {
        let transit = "vault-transit: {address: 'https://v:8200', key: handover, auth: {token: {file: /t}}}";
        for (text, kind) in [
            ("version: 1\nseal: {file: {}}\n".to_owned(), "file"),
            ("version: 1\nseal: {credential: {name: handover-seal}}\n".to_owned(), "credential"),
            (format!("version: 1\nseal: {{{transit}}}\n"), "vault-transit"),
            ("version: 1\nseal: {aws-kms: {region: eu-central-1, key: alias/handover}}\n".to_owned(), "aws-kms"),
            (format!("version: 1\nseal: {{age: {{recipient: {RECIPIENT}, identity: /k}}}}\n"), "age"),
            (
                format!(
                    "version: 1\nseal: {{age: {{recipient: {RECIPIENT}, identity: k, also: [{RECIPIENT}], program: rage, timeout: 5s}}}}\n"
                ),
                "age",
            ),
            (format!("version: 1\nseal: {{pkcs11: {{{TOKEN}, pin: {{file: /pin}}}}}}\n"), "pkcs11"),
        ] {
            assert_eq!(load_text(&text).map(|s| s.kind()).expect(&text), kind);
        }
        for (text, says) in [
            ("version: 1\nseal: {}\n", "names no source"),
            ("version: 1\n", "lacks the key `seal`"),
            ("seal: {file: {}}\n", "version"),
            ("version: 1\nseal: {file: {}, credential: {name: x}}\n", "several sources"),
            (
                "version: 1\nseal: {vault-transit: {address: 'https://v', auth: {token: {file: /t}}}}\n",
                "lacks the key `key`",
            ),
            ("version: 1\nseal: {vault-transit: {address: 'https://v', key: a/b, auth: {token: {file: /t}}}}\n", "no name"),
            (
                "version: 1\nseal: {vault-transit: {address: 'http://v.example', key: k, auth: {token: {file: /t}}}}\n",
                "https",
            ),
            ("version: 1\nseal: {vault-transti: {}}\n", "vault-transti"),
            ("version: 1\nseal: {aws-kms: {region: eu}}\n", "no AWS region"),
            ("version: 1\nseal: {credential: {name: ../x}}\n", "no name"),
            ("version: 1\nseal: {age: {identity: /k}}\n", "lacks the key `recipient`"),
            ("version: 1\nseal: {age: {recipient: age1xxxxxxxxx}}\n", "lacks the key `identity`"),
            ("version: 1\nseal: {age: {recipient: ssh-ed25519, identity: /k}}\n", "no age recipient"),
            (
                "version: 1\nseal: {age: {recipient: age1xxxxxxxxx, identity: /k, also: [-x]}}\n",
                "`also` is no age recipient",
            ),
            ("version: 1\nseal: {age: {recipient: age1xxxxxxxxx, identity: /k, program: bin/age}}\n", "relative path"),
            ("version: 1\nseal: {pkcs11: {module: /m, token_label: t, key_label: k}}\n", "lacks the key `pin`"),
            (
                "version: 1\nseal: {pkcs11: {module: /m, token_label: t, key_label: k, pin: 1234}}\n",
                "must say where the secret is",
            ),
            (
                "version: 1\nseal: {pkcs11: {module: /m, token_label: a-label-of-more-than-32-bytes-is-none, key_label: k, pin: {env: P}}}\n",
                "longer than 32",
            ),
        ] {
            let problems = load_text(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(problems.contains(says), "{text}: {problems}");
        }
        let clear = load_text(
            "version: 1\nseal: {vault-transit: {address: 'https://v', key: k, auth: {token: hunter2-in-the-clear}}}\n",
        )
        .err()
        .expect("a token in the clear is refused");
        assert!(!clear.contains("hunter2"), "{clear}");
        // An identity that was put in the place of its recipient.
        let identity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        let text = format!("version: 1\nseal: {{age: {{recipient: {identity}, identity: /k}}}}\n");
        let told = load_text(&text).err().expect("an identity is refused");
        assert!(!told.contains("GFPYYSJZ"), "{told}");
    }
}
