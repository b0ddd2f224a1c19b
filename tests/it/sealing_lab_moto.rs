//! The sealing key wrapped by AWS KMS, as moto emulates it: a rotation that is killed, rewrapped and resumed; and what is refused.

use std::path::Path;

use serde_json::json;

use crate::support::exit::{DONE, ERROR, REFUSED};
use crate::support::lab::aws::{AwsLab, REGION};
use crate::support::lab::free_port;
use crate::support::{Case, Run, World};

#[track_caller]
fn ends(run: &Run, code: i32, says: &[&str]) {
    assert_eq!(run.code(), code, "{run}");
    for words in says {
        assert!(run.said().contains(words), "{words} is not in {run}");
    }
}

fn source(world: &World, port: u16, key: &str) -> String {
    let path = world.dir().join(format!("kms-{port}-{}.yaml", key.len()));
    let secrets = "{access_key_id: {env: LAB_KEY_ID}, secret_access_key: {env: LAB_KEY}}";
    let options = format!("{{region: {REGION}, endpoint: 'http://127.0.0.1:{port}', key: '{key}', credentials: {secrets}}}");
    std::fs::write(&path, format!("version: 1\nseal: {{aws-kms: {options}}}\n")).expect("it is written");
    path.to_string_lossy().into_owned()
}

fn by<'a>(case: &Case<'a>, file: &str) -> Case<'a> {
    case.clone().env("LAB_KEY_ID", "lab").env("LAB_KEY", "lab-secret").env("HANDOVER_SEAL", file)
}

fn sealed(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("seal.json")).expect("it is there")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_sealed_by_kms_is_killed_rewrapped_and_resumed() {
    let (world, lab) = (World::start(), AwsLab::start());
    let made = lab.json("kms", "TrentService.CreateKey", json!({})).await;
    let key = made["KeyMetadata"]["KeyId"].as_str().expect("a key").to_owned();
    let plain = world.case("one").scale(4);
    let case = by(&plain, &source(&world, lab.moto(), &key));
    let mut going = case.rotating("drill");
    going.wait_for_step(9).expect("it comes to deactivate");
    going.signal(rustix::process::Signal::KILL);
    assert!(going.end().was_killed());
    assert!(!case.state.join("seal.key").exists());

    ends(&plain.resume(), ERROR, &["HO0391"]);
    ends(&by(&plain, &source(&world, free_port(), &key)).resume(), REFUSED, &["HO0392"]);
    let wrapped = sealed(&case.state);
    ends(&case.run(&["seal", "rotate"]), DONE, &[r#""changed":true"#]);
    let again = sealed(&case.state);
    assert_ne!(wrapped["wrapped"], again["wrapped"]);
    assert_eq!(wrapped["data_key"], again["data_key"]);
    ends(&case.run(&["seal", "show"]), DONE, &["aws-kms"]);
    ends(&case.resume(), DONE, &[]);

    // What was wrapped for this journal opens for no other, by KMS itself.
    let other = by(&world.case("other").scale(8), &source(&world, lab.moto(), &key));
    ends(&other.rotate("drill"), DONE, &[]);
    let mut foreign = again.clone();
    foreign["instance"] = sealed(&other.state)["instance"].clone();
    std::fs::write(other.state.join("seal.json"), foreign.to_string()).expect("it is written");
    ends(&other.run(&["seal", "show"]), REFUSED, &["HO0392", "InvalidCiphertext"]);

    // A key that is not there, and one that is disabled.
    let missing = by(&world.case("missing"), &source(&world, lab.moto(), "alias/missing"));
    ends(&missing.rotate("drill"), REFUSED, &["HO0392", "NotFound"]);
    assert!(!missing.state.join("seal.json").exists());
}
