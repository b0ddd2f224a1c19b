//! The sealing key wrapped by OpenBao: whole rotations that are killed, resumed, and rewrapped meanwhile; and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::exit::{BAD_INPUT, DONE, ERROR, REFUSED};
use crate::support::lab::bao::{Bao, ROOT};
use crate::support::lab::free_port;
use crate::support::lab::proxy::Proxy;
use crate::support::secrets::{found, found_under, needles};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Going, Run, World};

const POLICY: &str = r#"
path "transit/datakey/plaintext/handover" { capabilities = ["update"] }
path "transit/decrypt/handover"           { capabilities = ["update"] }
path "transit/rewrap/handover"            { capabilities = ["update"] }
"#;

struct Lab {
    world: World,
    bao: Bao,
}

impl Lab {
    async fn start() -> Self {
        let bao = Bao::start().await;
        bao.must("POST", "sys/mounts/transit", json!({"type": "transit"})).await;
        bao.must("POST", "transit/keys/handover", json!({"type": "aes256-gcm96", "derived": true})).await;
        Self { world: World::start(), bao }
    }

    fn write(&self, name: &str, source: &str) -> PathBuf {
        let path = self.world.dir().join(name);
        std::fs::write(&path, format!("version: 1\nseal:\n  {source}\n")).expect("it is written");
        path
    }

    /// A file that names the key, with a token that may do what the page says and nothing else, over TLS.
    async fn by_token(&self) -> PathBuf {
        let token = self.bao.token("sealer", POLICY, json!({})).await;
        let (address, ca) = (self.bao.tls_address(), self.bao.ca.ca.display().to_string());
        let auth = format!("{{token: {{file: '{}'}}}}", token.display());
        self.write(
            "seal.yaml",
            &format!("vault-transit: {{address: '{address}', ca_file: '{ca}', key: handover, auth: {auth}}}"),
        )
    }

    async fn by_approle(&self) -> PathBuf {
        self.bao.must("POST", "sys/policies/acl/sealer", json!({ "policy": POLICY })).await;
        self.bao.must("POST", "sys/auth/approle", json!({"type": "approle"})).await;
        self.bao.must("POST", "auth/approle/role/handover", json!({"token_policies": ["sealer"], "token_ttl": "5m"})).await;
        let (_, role) = self.bao.ask("GET", "auth/approle/role/handover/role-id", None).await;
        let secret = self.bao.must("POST", "auth/approle/role/handover/secret-id", json!({})).await;
        let file = self.bao.keep("secret-id", secret["data"]["secret_id"].as_str().expect("an id"));
        let role = role["data"]["role_id"].as_str().expect("an id").to_owned();
        let auth = format!("{{approle: {{role_id: '{role}', secret_id: {{file: '{}'}}}}}}", file.display());
        self.write(
            "approle.yaml",
            &format!("vault-transit: {{address: '{}', key: handover, auth: {auth}}}", self.bao.address()),
        )
    }

    fn as_root(&self, port: u16, key: &str) -> PathBuf {
        let token = self.bao.keep("root", ROOT);
        let auth = format!("{{token: {{file: '{}'}}}}", token.display());
        let address = format!("http://127.0.0.1:{port}");
        self.write(
            &format!("{key}-{port}.yaml"),
            &format!("vault-transit: {{address: '{address}', key: {key}, auth: {auth}}}"),
        )
    }

    async fn newer_key(&self) -> Value {
        self.bao.must("POST", "transit/keys/handover/rotate", json!({})).await
    }

    /// Every form of every password that was given out, and of the tokens.
    fn nothing_leaks(&self, case: &Case<'_>, runs: &[&Run]) {
        let names: Vec<(String, String)> = self.world.account().versions.into_iter().map(|v| (v.id, v.username)).collect();
        let passwords = self.world.passwords();
        let mut all: Vec<_> = names.iter().filter_map(|(id, n)| Some(needles(n, passwords.get(id)?))).flatten().collect();
        for file in ["sealer", "root", "secret-id"] {
            if let Ok(secret) = std::fs::read_to_string(self.bao.folder.path().join(file))
                && secret.len() >= 32
            {
                all.extend(needles("token", &secret));
            }
        }
        let (seen, hits) = found_under(&case.state, &all, &|_| false);
        assert!(seen > 3 && hits.is_empty(), "{hits:?}");
        for run in runs {
            assert_eq!(found(run.said().as_bytes(), &all), Vec::<String>::new(), "{run}");
        }
    }
}

#[track_caller]
fn ends(run: &Run, code: i32, says: &[&str]) {
    assert_eq!(run.code(), code, "{run}");
    for words in says {
        assert!(run.said().contains(words), "{words} is not in {run}");
    }
}

/// A rotation that was killed while both versions are live and their passwords are sealed.
fn killed(case: &Case<'_>) -> Run {
    let mut going = case.rotating("drill");
    going.wait_for_step(9).expect("it comes to deactivate");
    going.signal(rustix::process::Signal::KILL);
    let run = going.end();
    assert!(run.was_killed(), "{run}");
    run
}

fn resumed(case: &Case<'_>) -> Run {
    let run = case.resume();
    assert_eq!(run.code(), DONE, "{run}");
    let broken = tokio::task::block_in_place(|| case.broken_journal(true));
    assert_eq!(broken, Vec::<String>::new());
    run
}

/// The same case with another source.
fn by<'a>(case: &Case<'a>, file: &Path) -> Case<'a> {
    case.clone().env("HANDOVER_SEAL", file.to_string_lossy())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_sealed_by_transit_is_killed_rewrapped_and_resumed() {
    let lab = Lab::start().await;
    let plain = lab.world.case("one").scale(4).env("HANDOVER_LOG", "trace");
    let case = by(&plain, &lab.by_token().await);
    let first = killed(&case);
    assert!(case.state.join("seal.json").exists() && !case.state.join("seal.key").exists());
    let wrapped = std::fs::read(case.state.join("seal.json")).expect("it is there");
    let before = lab.world.account();

    // Without the source, or with one that is down, cut off or another, nothing goes on and nothing changes.
    let without = plain.resume();
    ends(&without, ERROR, &["HO0391", "vault-transit"]);
    let cutter = Proxy::before(lab.bao.port()).await;
    cutter.cut_answers();
    let gone = by(&plain, &lab.as_root(free_port(), "handover"));
    let cut = by(&plain, &lab.as_root(cutter.port(), "handover"));
    for down in [&gone, &cut] {
        for args in [&["resume", CREDENTIAL][..], &["seal", "rotate"], &["seal", "show"]] {
            ends(&down.run(args), REFUSED, &["HO0392", "Vault Transit at 127.0.0.1"]);
        }
    }
    ends(&gone.rotate("drill"), REFUSED, &["HO0392"]);
    assert_eq!(lab.world.account().versions.len(), before.versions.len());
    assert_eq!(std::fs::read(case.state.join("seal.json")).expect("it is there"), wrapped);

    // Rewrapped while secrets are sealed; then the version before may go.
    let same = case.run(&["seal", "rotate"]);
    ends(&same, DONE, &[r#""changed":false"#]);
    lab.newer_key().await;
    let rotated = case.run(&["seal", "rotate"]);
    ends(&rotated, DONE, &[r#""changed":true"#, r#""version":2"#]);
    lab.bao.must("POST", "transit/keys/handover/config", json!({"min_decryption_version": 2})).await;
    let now = std::fs::read(case.state.join("seal.json")).expect("it is there");
    std::fs::write(case.state.join("seal.json"), &wrapped).expect("it is written");
    ends(&case.run(&["seal", "show"]), REFUSED, &["HO0392", "min_decryption_version"]);
    std::fs::write(case.state.join("seal.json"), &now).expect("it is written");

    let doctor = case.clone().in_words().run(&["doctor"]);
    ends(&doctor, DONE, &["vault-transit (transit/keys/handover, version 2), the journal's own"]);
    let last = resumed(&case);
    lab.nothing_leaks(&case, &[&first, &without, &same, &rotated, &doctor, &last]);
    // And the next one, from the beginning.
    assert_eq!(case.rotate("drill").code(), DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_is_rotated_or_migrated_and_killed_anywhere_still_opens() {
    let lab = Lab::start().await;
    let plain = lab.world.case("one").scale(4);
    let file = lab.write("file.yaml", "file: {}");
    let transit = lab.by_token().await;
    let sealed = killed(&plain);
    let (in_file, in_transit) = (file.to_string_lossy().into_owned(), transit.to_string_lossy().into_owned());
    let mut points = 0;
    for (from, args, to) in [
        (&file, vec!["seal", "rotate"], &file),
        (&file, vec!["seal", "rotate"], &file),
        (&file, vec!["seal", "migrate", "--to", &in_transit], &transit),
        (&transit, vec!["seal", "rotate"], &transit),
        (&transit, vec!["seal", "migrate", "--to", &in_file], &file),
    ] {
        let (before, after) = (by(&plain, from), by(&plain, to));
        let log = lab.world.dir().join("points");
        for point in ["opened", "wrapped", "checked", "written", "renamed", "replaced", "removed", "swept"] {
            let mut command = before.command(&args);
            command.env("HANDOVER_CRASH_AT", format!("seal-{point}#1")).env("HANDOVER_CRASH_LOG", &log);
            let run = Going::start(command).end();
            // Once it was moved, the source before is refused; a source that keeps no files has none to remove.
            points += usize::from(run.was_killed());
            let opens = [&after, &before].iter().any(|case| case.run(&["seal", "show"]).code() == DONE);
            assert!(opens, "{args:?} killed at {point}: {run}");
        }
        if after.run(&["seal", "show"]).code() != DONE {
            ends(&before.run(&args), DONE, &["rewrapped"]);
        }
    }
    assert!(points > 25, "only {points} were killed");
    ends(&by(&plain, &file).run(&["seal", "show"]), DONE, &[r#""source":"file""#]);
    let last = resumed(&by(&plain, &file));
    lab.nothing_leaks(&plain, &[&sealed, &last]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_with_a_key_file_is_handed_to_transit_while_a_rotation_is_open() {
    let lab = Lab::start().await;
    let plain = lab.world.case("one").scale(4);
    killed(&plain);
    let approle = lab.by_approle().await;
    let case = by(&plain, &approle);
    ends(&case.resume(), ERROR, &["HO0391", "seal migrate"]);
    ends(&case.run(&["doctor"]), ERROR, &["HO0391"]);
    let moved = plain.run(&["seal", "migrate", "--to", &approle.to_string_lossy()]);
    ends(&moved, DONE, &["vault-transit"]);
    assert!(!case.state.join("seal.key").exists());
    ends(&plain.resume(), ERROR, &["HO0391"]);
    let last = resumed(&case);
    lab.nothing_leaks(&case, &[&moved, &last]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_is_never_made_and_one_that_binds_nothing_is_refused() {
    let lab = Lab::start().await;
    lab.bao.must("POST", "transit/keys/loose", json!({"type": "aes256-gcm96"})).await;
    let before = lab.world.account().versions.len();
    for (key, says) in [("missing", "there is no key transit/keys/missing"), ("loose", "is not derived")] {
        let case = by(&lab.world.case(key).scale(4), &lab.as_root(lab.bao.port(), key));
        ends(&case.run(&["doctor"]), ERROR, &[says]);
        // The token of root may create, and nothing is created.
        ends(&case.rotate("drill"), REFUSED, &["HO0392", says]);
        assert!(!case.state.join("seal.json").exists() && !case.state.join("seal.key").exists());
    }
    assert_eq!(lab.bao.ask("GET", "transit/keys/missing", None).await.0, 404);
    // A token that may not, and a file that cannot be read.
    let poor = lab.bao.token("poor", r#"path "secret/*" { capabilities = ["read"] }"#, json!({})).await;
    let auth = format!("{{token: {{file: '{}'}}}}", poor.display());
    let file =
        lab.write("poor.yaml", &format!("vault-transit: {{address: '{}', key: handover, auth: {auth}}}", lab.bao.address()));
    let run = by(&lab.world.case("poor"), &file).rotate("drill");
    ends(&run, REFUSED, &["HO0392", "transit/datakey/plaintext/handover", "capabilities", "update"]);
    let file = lab.write("odd.yaml", "vault-transit: {address: 'https://v', keey: handover}");
    ends(&by(&lab.world.case("odd"), &file).rotate("drill"), BAD_INPUT, &["keey"]);
    assert_eq!(lab.world.account().versions.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_is_begun_as_soon_as_the_source_of_the_key_answers_again() {
    let lab = Lab::start().await;
    let proxy = Proxy::before(lab.bao.port()).await;
    let case = by(&lab.world.case("leak").scale(8), &lab.as_root(proxy.port(), "handover"));
    let old = lab.world.account().active()[0].id.clone();
    proxy.cut_answers();
    let mut going = case.rotating("emergency");
    let told = going.wait_for(|line| line["event"] == "retrying").expect("it says that it cannot yet");
    assert_eq!(told["fault"]["code"], "HO0392", "{told}");
    going.wait_for(|line| line["event"] == "retrying").expect("it says so again");
    assert!(lab.world.account().active().iter().any(|v| v.id == old), "nothing was begun");
    proxy.pass();
    let run = going.end();
    assert!(run.said().contains("containment-began"), "{run}");
    assert!(!lab.world.account().active().iter().any(|v| v.id == old), "{run}");
    // A routine rotation is refused at once.
    proxy.cut_answers();
    ends(&by(&lab.world.case("plain"), &lab.as_root(proxy.port(), "handover")).rotate("drill"), REFUSED, &["HO0392"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_wrapped_for_one_journal_opens_for_no_other() {
    let lab = Lab::start().await;
    let source = lab.by_token().await;
    let (one, two) = (by(&lab.world.case("one").scale(8), &source), by(&lab.world.case("two").scale(8), &source));
    assert_eq!(one.rotate("drill").code(), DONE);
    assert_eq!(two.rotate("drill").code(), DONE);
    let read = |case: &Case<'_>| -> Value {
        serde_json::from_slice(&std::fs::read(case.state.join("seal.json")).expect("it is there")).expect("JSON")
    };
    let (own, mut other) = (read(&one), read(&two));
    other["instance"] = own["instance"].clone();
    std::fs::write(one.state.join("seal.json"), other.to_string()).expect("it is written");
    // By Transit itself, not only by what is bound here.
    ends(&one.run(&["seal", "show"]), REFUSED, &["HO0392", "refused to decrypt"]);
}
