use super::*;
use crate::config::load_inventory;

/// An inventory with one entry in a store of a kind.
fn inventory(store: &str, path: &str, fields: [&str; 2]) -> String {
    format!(
        "version: 1\nproviders:\n  relay: {{kind: manual}}\nstores:\n  cloud: {store}\ncredentials:\n  news:\n    provider: relay\n    \
         account: news\n    smtp: {{host: smtp.example.com, port: 587, tls: starttls}}\n    probe: {{from: p@example.com, to: \
         p@example.com, arrival: none}}\n    entries:\n      one:\n        store: cloud\n        path: \"{path}\"\n        fields: \
         {{username: \"{}\", password: \"{}\"}}\n        environment: production\nservices:\n  api:\n    credential: news\n    entry: \
         one\n    environment: production\n    reload: {{command: [/usr/bin/true]}}\n    attest: {{http: {{url: \"http://127.0.0.1/\"}}}}\n",
        fields[0], fields[1]
    )
}

fn checked(text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("inventory.yaml");
    std::fs::write(&file, text).expect("it is written");
    let told = |text: String| text.replace(&*folder.path().to_string_lossy(), "");
    load_inventory(&file, &Registry).map(drop).map_err(|problems| told(problems.to_string()))
}

const AZURE: &str = "{kind: azure-key-vault, vault: \"https://v.vault.azure.net\", auth: {managed_identity: {}}}";
const GCP: &str = "{kind: gcp-secret-manager, project: p, auth: {metadata: {}}}";
const GITHUB: &str = "{kind: github-actions, token: {env: TOKEN}}";

#[test]
fn names_that_a_store_cannot_have_are_told_before_it_is_asked() {
    for (store, path, fields) in [
        (AZURE, "news-smtp", ["a.b", "c d"]),
        (AZURE, "news-*", ["user", "pass"]),
        (AZURE, "*", ["smtp-user", "smtp-pass"]),
        (GCP, "news_smtp", ["user", "pass"]),
        (GCP, "news-*", ["SMTP_USER", "SMTP_PASS"]),
        (GITHUB, "acme/news", ["SMTP_USER", "SMTP_PASS"]),
        (GITHUB, "acme/news/environments/prod eu", ["SMTP_USER", "SMTP_PASS"]),
        (GITHUB, "orgs/acme", ["SMTP_USER", "SMTP_PASS"]),
    ] {
        assert_eq!(checked(&inventory(store, path, fields)), Ok(()), "{path} {fields:?}");
    }
    for (store, path, fields, says) in [
        (AZURE, "news_smtp", ["user", "pass"], "`news_smtp` is no name of a secret"),
        (AZURE, "secrets/news", ["user", "pass"], "letters, digits and `-`"),
        (AZURE, "news-*", ["user", "smtp_pass"], "`news-smtp_pass`"),
        (GCP, "news.smtp", ["user", "pass"], "`news.smtp` is no id of a secret"),
        (GITHUB, "acme", ["USER", "PASS"], "orgs/NAME"),
        (GITHUB, "acme/news", ["USER", "SMTP-PASS"], "`SMTP-PASS` is no name of a secret"),
        (GITHUB, "acme/news", ["User", "USER"], "one and the same secret"),
    ] {
        let problems = checked(&inventory(store, path, fields)).expect_err(path);
        assert!(problems.contains(says) && problems.contains("HO0113"), "{path}: {problems}");
    }
}

#[test]
fn what_a_person_reads_of_a_store_in_a_cloud_that_is_written_wrong() {
    let broken = [
        inventory(
            "{kind: azure-key-vault, vault: \"https://v.vault.azure.net/secrets\", auth: {token: {env: T}}}",
            "n",
            ["u", "p"],
        ),
        inventory(
            "{kind: azure-key-vault, vault: \"https://v\", auth: {client: {tenant: t, client_id: c}}}",
            "n",
            ["u", "p"],
        ),
        inventory(
            "{kind: azure-key-vault, vault: \"https://v\", auth: {token: {env: T}, managed_identity: {}}}",
            "n",
            ["u", "p"],
        ),
        inventory("{kind: gcp-secret-manager, project: Mail Prod, auth: {}}", "n", ["u", "p"]),
        inventory("{kind: gcp-secret-manager, project: p, auth: {service_acount: {file: key.json}}}", "n", ["u", "p"]),
        inventory("{kind: github-actions, token: {env: T}, repository: acme/news}", "acme", ["u", "p"]),
        inventory(AZURE, "news_smtp", ["u", "p"]),
    ];
    let told: Vec<String> = broken.iter().map(|text| checked(text).expect_err(text)).collect();
    insta::assert_snapshot!("stores_in_clouds", told.join("\n"));
}
