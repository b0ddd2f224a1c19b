//! The architecture as tests: which way imports point, how long files are, what the build is made of, and that what is shipped
//! is sound. They read the repository, never the network.
//!
//! A test that fails here names the file and the rule. Change the table when the plan of the house changes, and
//! ARCHITECTURE.md with it.

mod dependencies;
mod licence;
mod pages;
mod scan;
mod shipped;

use std::path::{Path, PathBuf};

use self::scan::{Source, sources};

const GROUND: &[&str] = &["secret", "random", "mutant", "web", "files", "process", "marks", "egress"];
const ADAPTERS: &[&str] = &["providers", "stores", "services", "mail", "alerts", "notify", "usage", "audit"];

/// Each module of the library, from the ground up, and what it may import besides itself, the ground and the pure machine.
const FLOORS: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("random", &[]),
    ("mutant", &[]),
    ("egress", &[]),
    ("web", &[]),
    ("files", &[]),
    ("process", &[]),
    ("marks", &[]),
    ("explain", &[]),
    // Pure: when a schedule fires.
    ("schedule", &[]),
    ("config", &["schedule"]),
    // What kinds at AWS share: it reads their options.
    ("aws", &["config"]),
    // What kinds at Vault and OpenBao share, likewise.
    ("vault", &["config"]),
    // And at Kubernetes.
    ("kubernetes", &["config"]),
    // Tokens for a client and its secret: a provider signs in by one, mail logs in by one.
    ("oauth", &[]),
    // What kinds at clouds that give tokens share, likewise.
    ("tokens", &["config"]),
    ("journal", &[]),
    // What wraps the sealing key, outside of the state folder: the journal knows it as a trait.
    ("keys", &["config", "aws", "journal", "vault"]),
    ("providers", &["config", "aws", "oauth"]),
    ("stores", &["config", "aws", "vault", "kubernetes", "tokens"]),
    ("services", &["config", "kubernetes"]),
    ("mail", &["config", "oauth"]),
    ("alerts", &["config"]),
    ("notify", &["config"]),
    ("usage", &["config", "aws"]),
    ("audit", &["config"]),
    ("engine", &["config", "journal", "schedule", "providers", "stores", "services", "mail", "usage"]),
    ("sandbox", &["config", "providers", "stores", "services", "mail"]),
    (
        "registry",
        &["config", "providers", "stores", "services", "mail", "alerts", "notify", "usage", "audit", "engine", "sandbox"],
    ),
    ("rehearse", &[]),
    // A rotation in words and pictures, for whoever shows one.
    ("view", &["config", "schedule", "usage", "engine", "rehearse", "registry"]),
    (
        "daemon",
        &[
            "config",
            "schedule",
            "alerts",
            "usage",
            "notify",
            "audit",
            "journal",
            "explain",
            "engine",
            "registry",
            "providers",
            "view",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "journal",
            "keys",
            "explain",
            "rehearse",
            "schedule",
            "engine",
            "sandbox",
            "registry",
            "providers",
            "mail",
            "view",
            "alerts",
            "usage",
            "audit",
            "daemon",
        ],
    ),
    (
        "fuzzing",
        &["config", "journal", "explain", "schedule", "stores", "mail", "alerts", "usage", "engine", "registry", "view"],
    ),
];

/// A file this long has something in it that wants to leave.
const WALL: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn may_import(module: &str) -> &'static [&'static str] {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, list)| *list).unwrap_or_else(|| {
        panic!("src/{module} has no floor: say in src/floors/mod.rs what it may import, and draw it in ARCHITECTURE.md")
    })
}

/// Where a text becomes a secret: where one comes in from outside, and where one is made. Whoever adds a place says why it cannot
/// be a redacted value (S13).
const SECRETS_COME_IN: &[&str] = &[
    // From a store, a sealed blob, a file or variable that the inventory names, chance, and what the sandbox makes.
    "stores/env_file.rs",
    "stores/object.rs",
    "providers/ses/password.rs",
    "stores/conjur.rs",
    "stores/exec.rs",
    "stores/file.rs",
    "stores/gitlab_ci.rs",
    "stores/kubernetes.rs",
    "stores/swap.rs",
    "stores/texts.rs",
    "stores/vault.rs",
    "vault/session.rs",
    "tokens/mod.rs",
    "journal/seal.rs",
    "config/inventory.rs",
    "random.rs",
    "providers/sandbox/account.rs",
    // From a vendor's answer to "make a version", and a token.
    "providers/rest.rs",
    // From a leak alert, to be hashed and dropped, and a source's answer to "give a token".
    "alerts/candidates.rs",
    "alerts/hasmysecretleaked.rs",
    "oauth.rs",
    // What a person hands over.
    "cli/supply.rs",
    // From a stranger's login to the sandbox, and the sandbox's own file.
    "sandbox/sasl.rs",
    "sandbox/env.rs",
    // For tests and fuzzing.
    "fuzzing/sealed.rs",
    "mail/arrival/imap.rs",
    // The type itself.
    "secret.rs",
];

#[test]
fn s13_a_text_becomes_a_secret_only_where_one_comes_in() {
    let sources = sources(&root().join("src"));
    let makes: Vec<&str> = sources.iter().filter(|s| s.says("Secret::new")).map(|s| s.path.as_str()).collect();
    let unknown: Vec<_> = makes.iter().filter(|path| !SECRETS_COME_IN.contains(path)).collect();
    assert!(unknown.is_empty(), "a secret is made of a text in {unknown:?}: see SECRETS_COME_IN");
    assert!(makes.len() > 4, "only {makes:?} were seen");
}

/// The imports of one file that break the table.
fn upward(source: &Source) -> Vec<String> {
    let module = source.module();
    let may = may_import(module);
    let known = |to: &str| FLOORS.iter().any(|(name, _)| *name == to);
    let imports = source.imports();
    let above = imports
        .iter()
        .filter(|to| known(&to.module) && to.module != module)
        .filter(|to| !may.contains(&to.module.as_str()) && !GROUND.contains(&to.module.as_str()))
        .map(|to| format!("{}:{}: {module} must not import {}", source.path, to.line, to.module));
    // The engine sees adapters as traits and plain types only: never a kind.
    let kinds = imports
        .iter()
        .filter(|to| module == "engine" && ADAPTERS.contains(&to.module.as_str()) && to.reaches_inside)
        .map(|to| format!("{}:{}: the engine must not know a kind of {}", source.path, to.line, to.module));
    above.chain(kinds).collect()
}

#[test]
fn imports_point_down_only() {
    let sources = sources(&root().join("src"));
    assert!(sources.len() > 50, "only {} files were read", sources.len());
    let imports: usize = sources.iter().map(|s| s.imports().len()).sum();
    assert!(imports > 100, "only {imports} imports were seen");
    let broken: Vec<String> = sources.iter().flat_map(upward).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_table_itself_points_down_only() {
    for (floor, (module, may)) in FLOORS.iter().enumerate() {
        for to in *may {
            let below = FLOORS[..floor].iter().any(|(name, _)| name == to);
            assert!(below, "{module} may import {to}, which is not below it");
        }
        let adapter = ADAPTERS.contains(module);
        let shared = may.iter().all(|to| ["config", "aws", "vault", "kubernetes", "oauth", "tokens"].contains(to));
        assert!(
            !adapter || shared,
            "{module} is an adapter: it may know the configuration, what kinds share, and nothing else"
        );
    }
}

#[test]
fn an_import_that_points_up_is_found_however_it_is_written() {
    let table = [
        ("providers/ses.rs", "use crate::stores::Store;", 1),
        ("providers/ses.rs", "use crate::journal;", 1),
        ("providers/ses.rs", "fn f() { crate::engine::run() }", 1),
        ("providers/ses.rs", "use crate::{\n    config::Node,\n    mail::{Mail, tls},\n    engine,\n};", 2),
        ("providers/ses.rs", "use super::super::journal::Row;", 1),
        ("providers/ses/login.rs", "use super::super::super::journal::Row;", 1),
        ("journal/mod.rs", "use super::engine::Engine;", 1),
        ("engine/book.rs", "use crate::providers::sandbox::SandboxProvider;", 1),
        ("engine/book.rs", "use crate::mail::{Mail, smtp::Reply};", 1),
        ("mail/tls.rs", "/* crate::engine */ const X: &str = r#\"crate::engine\"#; // crate::engine", 0),
        ("mail/tls.rs", "const QUOTE: char = '\"'; use crate::engine::X;", 1),
        ("mail/tls.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::engine::X;\n}\n", 0),
        ("mail/tls.rs", "#[cfg(test)]\nuse crate::engine::X;\nuse crate::journal::Y;\n", 1),
        ("providers/ses.rs", "use super::Provider;\nuse crate::secret::Secret;\nuse crate::config::Node;", 0),
        ("engine/book.rs", "use crate::mail::{Mail, Verdict};\nuse crate::stores::Held;", 0),
    ];
    for (path, text, expected) in table {
        let found = upward(&Source::new(path, text));
        assert_eq!(found.len(), expected, "{path}: {text}\n{found:?}");
    }
}

#[test]
fn the_pure_machine_depends_on_nothing_that_could_act() {
    let manifest = read("src/rotation/Cargo.toml");
    let section = manifest.split("[dependencies]").nth(1).and_then(|s| s.split("\n[").next()).unwrap_or_default();
    let names: Vec<&str> = section.lines().filter_map(|l| l.split_once('=')).map(|(name, _)| name.trim()).collect();
    assert_eq!(names, ["serde", "thiserror"]);
}

#[test]
fn schedules_are_pure_too() {
    let all = sources(&root().join("src"));
    let schedule: Vec<&Source> = all.iter().filter(|source| source.module() == "schedule").collect();
    assert!(schedule.len() > 4, "only {} files were seen", schedule.len());
    for source in schedule {
        assert!(source.imports().is_empty(), "{} imports {:?}", source.path, source.imports());
        for impure in ["::now()", "SystemTime", "Instant", "Local::", "std::fs", "std::env", "HashMap", "HashSet", "Random"]
        {
            assert!(!source.says(impure), "{} has {impure}: `now` and all else comes in", source.path);
        }
    }
}

#[test]
fn no_file_stands_past_the_wall() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (path, text) in scan::files(&root().join(folder)) {
            let lines = text.lines().count();
            if lines > WALL {
                long.push(format!("{folder}/{path} has {lines} lines, of {WALL} at most: what wants to leave?"));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
