//! Every line of an inventory: what it does to the plan that was approved, and to the rotation that is under way.

use handover::engine::binding::differences;
use handover::engine::plan_hash;

use super::{INVENTORY, edited, inventory, plan};

/// A change, whether it voids an approval, and what a rotation that is under way says of it.
struct Line {
    from: &'static str,
    to: &'static str,
    voids: bool,
    says: &'static [&'static str],
}

const fn line(from: &'static str, to: &'static str, says: &'static [&'static str]) -> Line {
    Line { from, to, voids: true, says }
}

const SHOP_STAGING: &str = "      staging: {store: hosts, path: /etc/shop-staging.env";

/// What a rotation depends on: refused by name.
const BINDING: &[Line] = &[
    line(
        "    provider: relay\n    account: shop",
        "    provider: other\n    account: shop",
        &["the account is other/shop and was relay/shop"],
    ),
    line("account: shop", "account: market", &["the account is relay/market and was relay/shop"]),
    line("dir: /srv/relay", "dir: /srv/moved", &["an option of provider relay is not what it was"]),
    line("dialect: systemd", "dialect: docker", &["an option of store hosts is not what it was"]),
    line(
        "{host: mail.example.com, port: 587, tls: starttls, ca_file",
        "{host: relay.example.com, port: 587, tls: starttls, ca_file",
        &["the server is relay.example.com:587 STARTTLS and was mail.example.com:587 STARTTLS"],
    ),
    line(
        "port: 587, tls: starttls, ca_file",
        "port: 2587, tls: starttls, ca_file",
        &["the server is mail.example.com:2587 STARTTLS and was mail.example.com:587 STARTTLS"],
    ),
    line(
        "port: 587, tls: starttls, ca_file",
        "port: 587, tls: implicit, ca_file",
        &["the server is mail.example.com:587 TLS and was mail.example.com:587 STARTTLS"],
    ),
    line("ca_file: /etc/ca.pem", "ca_file: /tmp/ca.pem", &["the certificate of the server is not what it was"]),
    line("      from: probe@example.com", "      from: root@example.com", &["the probe is not what it was"]),
    line("      to: inbox@example.com", "      to: void@example.com", &["the probe is not what it was"]),
    line("imap: {host: imap.example.com", "imap: {host: mail.example.com", &["the probe is not what it was"]),
    line(
        "arrival: {imap: {host: imap.example.com, username: inbox, password: {env: IMAP_PASSWORD}}}",
        "arrival: none",
        &["the probe is not what it was"],
    ),
    line(
        SHOP_STAGING,
        "      staging: {store: more, path: /etc/shop-staging.env",
        &["entry staging is more:/etc/shop-staging.env and was hosts:/etc/shop-staging.env"],
    ),
    line(
        "path: /etc/shop.env",
        "path: /etc/market.env",
        &["entry production is hosts:/etc/market.env and was hosts:/etc/shop.env"],
    ),
    line(
        "shop.env, fields: {username: USER",
        "shop.env, fields: {username: LOGIN",
        &["a field of entry production is not what it was"],
    ),
    line(
        "shop.env, fields: {username: USER, password: PASS",
        "shop.env, fields: {username: USER, password: WORD",
        &["a field of entry production is not what it was"],
    ),
    line(
        "environment: staging",
        "environment: production",
        &[
            "the environment of entry staging is production and was staging",
            "the environment of service shop-staging is production and was staging",
        ],
    ),
    line(
        "  shop-staging:\n",
        "  shop-canary:\n",
        &["service shop-staging is gone", "service shop-canary is new: this rotation would not move it"],
    ),
    line(
        "  shop-web:\n    credential: shop\n    entry: production",
        "  shop-web:\n    credential: bills\n    entry: only",
        &[
            "the credential of service shop-web is bills and was shop",
            "the entry of service shop-web is only and was production",
        ],
    ),
    line(
        "http://127.0.0.1:80/test-mail",
        "http://127.0.0.1:81/test-mail",
        &["the test_send of service shop-web is not what it was"],
    ),
    line(
        "http://127.0.0.1:80/fingerprint",
        "http://127.0.0.1:81/fingerprint",
        &["the attest of service shop-web is not what it was"],
    ),
    line("timeout: 10s", "timeout: 20s", &["the attest of service shop-web is not what it was"]),
    line(
        "    attest: {http: {url: \"http://127.0.0.1:80/fingerprint\", timeout: 10s}}\n",
        "",
        &["the attest of service shop-web is not what it was"],
    ),
    line(
        "  bills-web:\n    credential: bills\n    entry: only",
        "  bills-web:\n    credential: shop\n    entry: production",
        &["service bills-web is new: this rotation would not move it"],
    ),
];

/// What may change meanwhile.
const HARMLESS: &[Line] = &[
    // A plan shows who answers for a service, and what reloads it: who has approved it has approved that.
    line("owner: web@example.com", "owner: nights@example.com", &[]),
    line("restart, shop-web]", "reload, shop-web]", &[]),
    line(
        "reload: {command: [/bin/systemctl, restart, shop-web]}",
        "reload: {http: {url: \"http://127.0.0.1:80/reload\"}}",
        &[],
    ),
    Line { from: "criticality: high", to: "criticality: low", voids: false, says: &[] },
    Line { from: "password: {env: IMAP_PASSWORD}", to: "password: {file: /run/secrets/imap}", voids: false, says: &[] },
    Line { from: "cron: \"0 3 * * SUN\"", to: "cron: \"0 4 * * MON\"", voids: false, says: &[] },
    Line { from: "on_leak: {playbook: leak}", to: "on_leak: {playbook: emergency}", voids: false, says: &[] },
    Line { from: "account: bills", to: "account: invoices", voids: false, says: &[] },
    Line { from: "http://127.0.0.1:90/fingerprint", to: "http://127.0.0.1:99/fingerprint", voids: false, says: &[] },
    // The same in other words.
    Line {
        from: "{http: {method: POST, url: \"http://127.0.0.1:80/test-mail\"}}",
        to: "{http: {url: 'http://127.0.0.1:80/test-mail', method: POST}} # moved",
        voids: false,
        says: &[],
    },
];

#[test]
fn s31_s12_every_line_that_matters_voids_an_approval_and_stops_a_resume_by_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = plan(&inventory(folder.path(), INVENTORY), "scheduled");
    assert_eq!(differences(&base, &inventory(folder.path(), INVENTORY), false), Vec::<String>::new());
    for Line { from, to, voids, says } in BINDING.iter().chain(HARMLESS) {
        let changed = inventory(folder.path(), &edited(INVENTORY, from, to));
        assert_eq!(differences(&base, &changed, false), *says, "{to}");
        let sketched = std::panic::catch_unwind(|| plan(&changed, "scheduled"));
        // Without staging the playbook does not fit at all, which is a refusal too.
        let other = sketched.map_or(true, |plan| plan_hash(&plan) != plan_hash(&base));
        assert_eq!(other, *voids, "{to}");
    }
}

#[test]
fn s12_an_entry_that_was_added_is_told_with_its_readers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = plan(&inventory(folder.path(), INVENTORY), "scheduled");
    let entry =
        "      third: {store: more, path: /etc/third.env, fields: {username: U, password: P}, environment: staging}\n";
    let more = edited(INVENTORY, "    schedule:", &format!("{entry}    schedule:"));
    let reader = "  third:\n    credential: shop\n    entry: third\n    environment: staging\n    \
                  reload: {command: [/bin/true]}\n    attest: {http: {url: \"http://127.0.0.1:95/\"}}\n";
    let more = edited(&more, "  bills-web:\n", &format!("{reader}  bills-web:\n"));
    let more = inventory(folder.path(), &more);
    let new = |what: &str| format!("{what} third is new: this rotation would not move it");
    assert_eq!(differences(&base, &more, false), [new("entry"), new("service")]);
    assert_ne!(plan_hash(&plan(&more, "scheduled")), plan_hash(&base));
}

#[test]
fn s12_a_credential_that_is_gone_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = plan(&inventory(folder.path(), INVENTORY), "scheduled");
    let renamed = edited(&edited(INVENTORY, "  shop:\n", "  market:\n"), "credential: shop\n", "credential: market\n");
    assert_eq!(differences(&base, &inventory(folder.path(), &renamed), true), ["credential shop is gone"]);
}

#[test]
fn s12_a_leak_is_held_up_only_by_what_its_calls_go_to() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Planned so, or leaked on the way.
    let base = plan(&inventory(folder.path(), INVENTORY), "scheduled");
    let says = |from: &str, to: &str| differences(&base, &inventory(folder.path(), &edited(INVENTORY, from, to)), true);
    for (from, to) in [
        ("http://127.0.0.1:80/fingerprint", "http://127.0.0.1:81/fingerprint"),
        ("      to: inbox@example.com", "      to: void@example.com"),
        (
            "  bills-web:\n    credential: bills\n    entry: only",
            "  bills-web:\n    credential: shop\n    entry: production",
        ),
    ] {
        assert_eq!(says(from, to), Vec::<String>::new(), "{to}");
    }
    assert_eq!(says("dir: /srv/relay", "dir: /srv/moved"), ["an option of provider relay is not what it was"]);
    assert_eq!(says("account: shop", "account: market"), ["the account is relay/market and was relay/shop"]);
}

#[test]
fn a_plan_of_before_there_were_bindings_reads_and_is_asked_what_it_was_asked_then() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut base = plan(&inventory(folder.path(), INVENTORY), "scheduled");
    base.bindings = Default::default();
    let text = serde_json::to_string(&base).expect("JSON");
    assert!(!text.contains("bindings"), "its hash stays what it was: {text}");
    assert_eq!(serde_json::from_str::<handover_rotation::plan::Plan>(&text).expect("a plan"), base);
    let moved = inventory(folder.path(), &edited(INVENTORY, "dir: /srv/relay", "dir: /srv/moved"));
    assert_eq!(differences(&base, &moved, false), Vec::<String>::new());
    let moved = inventory(folder.path(), &edited(INVENTORY, "account: shop", "account: market"));
    assert_eq!(differences(&base, &moved, false).len(), 1);
}
