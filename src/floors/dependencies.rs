//! What the build is made of, as `cargo tree` resolves it for this machine, every feature on.
//!
//! `cargo metadata` would not do: it lists optional dependencies that no feature turns on.

use std::collections::BTreeMap;
use std::process::Command;

use super::licence::is_allowed;
use super::{read, root};

struct Package {
    name: String,
    version: String,
    licence: String,
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--offline", "--locked", "--workspace", "--all-features", "--edges", "normal,build,dev"])
        .args(["--no-dedupe", "--prefix", "none", "--format", "{p}\t{l}"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("is text");
    let mut lines: Vec<&str> = text.lines().filter(|l| !l.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    let package = |line: &str| {
        let (package, licence) = line.split_once('\t').expect("a licence column");
        let mut words = package.split(' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        Package { name: next(), version: next(), licence: licence.to_owned() }
    };
    lines.into_iter().map(package).collect()
}

/// The quoted words of a list in `deny.toml`.
fn list(key: &str) -> Vec<String> {
    let text = read("deny.toml");
    let list = text.split(&format!("\n{key} = [")).nth(1).and_then(|rest| rest.split("\n]").next());
    list.unwrap_or_else(|| panic!("deny.toml has no {key}")).split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn one_tls_one_http_one_runtime_and_nothing_that_is_banned() {
    let packages = packages();
    assert!(packages.len() > 100, "only {} packages were seen", packages.len());
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    for name in ["rustls", "hyper", "reqwest", "tokio", "aws-lc-rs", "libsqlite3-sys", "serde"] {
        assert_eq!(versions.get(name).map_or(0, Vec::len), 1, "{name}: {:?}", versions.get(name));
    }
    for name in list("deny") {
        assert!(!versions.contains_key(name.as_str()), "{name} is banned: `cargo tree -i {name}` says who brings it in");
    }
}

#[test]
fn every_licence_is_on_the_list() {
    let allow = list("allow");
    assert!(allow.len() > 3, "{allow:?}");
    let packages = packages();
    let foreign: Vec<String> = packages
        .iter()
        .filter(|p| !is_allowed(&p.licence, &|name| allow.iter().any(|a| a == name)))
        .map(|p| format!("{} {}: {}", p.name, p.version, p.licence))
        .collect();
    assert!(foreign.is_empty(), "not on the list of deny.toml:\n{}", foreign.join("\n"));
    // No entry without a use: each is the only way for some package.
    for spare in &allow {
        let needed =
            packages.iter().any(|p| !is_allowed(&p.licence, &|name| name != spare && allow.iter().any(|a| a == name)));
        assert!(needed, "deny.toml allows {spare}, which no package needs");
    }
}
