//! Logins of a mail server of one's own, kept in OpenBao and in Conjur, read from there by services, and proven by mail that arrives.

use std::path::Path;

use serde_json::{Value, json};

use super::ends;
use crate::support::exit::DONE;
use crate::support::lab::app::App;
use crate::support::lab::bao::{Bao, ROOT};
use crate::support::lab::conjur::Conjur;
use crate::support::lab::desk::{CREDENTIAL, Desk};
use crate::support::lab::mail::{INBOX, INBOX_PASSWORD, Mail, Users, hash};

pub(super) const FIRST: &str = "First-password-0123456789";
const HOST: &str = "host/newsletter";

/// An entry, with a service of its name that reads it.
pub(super) struct Kept {
    /// Its name, and that of its store and its service.
    name: &'static str,
    environment: &'static str,
    path: &'static str,
    /// The options of its store.
    store: String,
    /// Where the service reads.
    source: Value,
}

/// Writes the inventory of a provider, and starts the services.
pub(super) fn furnish(desk: &Desk, mail: &Mail, provider: &str, kept: &[Kept]) -> App {
    std::fs::write(desk.dir().join("imap.txt"), INBOX_PASSWORD).expect("it is written");
    let sources: Vec<(&str, Value)> = kept.iter().map(|k| (k.name, k.source.clone())).collect();
    let app = App::start(&mail.smtp, &sources);
    let (host, port, ca, imap) = (&mail.smtp.host, mail.smtp.starttls_port, &mail.smtp.ca_file, mail.imap_port);
    let mut text = format!("version: 1\nproviders:\n  mail: {provider}\nstores:\n");
    for Kept { name, store, .. } in kept {
        text += &format!("  {name}: {store}\n");
    }
    text += &format!(
        "credentials:\n  {CREDENTIAL}:\n    provider: mail\n    account: newsletter\n    \
         smtp: {{host: {host}, port: {port}, tls: starttls, ca_file: {ca}}}\n    probe:\n      from: {INBOX}\n      to: {INBOX}\n      \
         arrival:\n        imap: {{host: {host}, port: {imap}, ca_file: {ca}, username: {INBOX}, password: {{file: imap.txt}}}}\n    \
         entries:\n"
    );
    for Kept { name, environment, path, .. } in kept {
        text += &format!(
            "      {name}: {{store: {name}, path: {path}, environment: {environment}, \
             fields: {{username: SMTP_USERNAME, password: SMTP_PASSWORD}}}}\n"
        );
    }
    text += "services:\n";
    for Kept { name, environment, .. } in kept {
        text += &app.inventory(name, name, environment);
    }
    desk.inventory(&text);
    app
}

/// OpenBao with the first login: the options of the store, and where a service reads.
pub(super) async fn vault(bao: &Bao, name: &'static str, environment: &'static str) -> Kept {
    let path = name;
    let value = json!({"data": {"SMTP_USERNAME": "newsletter-a", "SMTP_PASSWORD": FIRST}});
    bao.must("POST", &format!("secret/data/{path}"), value).await;
    let policy = format!(
        "path \"secret/data/{path}\" {{ capabilities = [\"read\", \"update\"] }}
         path \"secret/metadata/{path}\" {{ capabilities = [\"read\"] }}"
    );
    let token = bao.token(name, &policy, json!({})).await;
    let store = format!(
        "{{kind: vault, address: \"{}\", ca_file: {}, auth: {{token: {{file: {}}}}}}}",
        bao.tls_address(),
        bao.ca.ca.display(),
        token.display()
    );
    let source = json!({"kind": "vault", "url": bao.address(), "token": ROOT, "mount": "secret", "path": path});
    Kept { name, environment, path, store, source }
}

/// Conjur with the first login, likewise.
fn conjur(conjur: &Conjur, dir: &Path) -> Kept {
    let url = format!("http://127.0.0.1:{}", conjur.port);
    for login in [HOST, "host/handover"] {
        conjur.world().keys.insert(login.to_owned(), format!("key-of-{login}"));
        for (field, value) in [("SMTP_USERNAME", "newsletter-a"), ("SMTP_PASSWORD", FIRST)] {
            conjur.permit(login, &format!("newsletter/{field}"), &["read", "execute", "update"]);
            conjur.world().variables.insert(format!("newsletter/{field}"), vec![value.as_bytes().to_vec()]);
        }
    }
    let key = dir.join("conjur.key");
    std::fs::write(&key, "key-of-host/handover").expect("it is written");
    let store = format!(
        "{{kind: conjur, address: \"{url}\", account: myorg, login: host/handover, api_key: {{file: {}}}}}",
        key.display()
    );
    let source = json!({"kind": "conjur", "url": url, "account": "myorg", "login": HOST, "key": format!("key-of-{HOST}"),
                        "path": "newsletter"});
    Kept { name: "conjur", environment: "production", path: "newsletter", store, source }
}

pub(super) async fn in_vault(bao: &Bao, path: &str) -> (String, String) {
    let (_, got) = bao.ask("GET", &format!("secret/data/{path}"), None).await;
    let of = |key: &str| got["data"]["data"][key].as_str().expect("a text").to_owned();
    (of("SMTP_USERNAME"), of("SMTP_PASSWORD"))
}

fn in_conjur(conjur: &Conjur) -> (String, String) {
    let of = |key: &str| {
        let values = &conjur.world().variables[&format!("newsletter/{key}")];
        String::from_utf8(values.last().expect("a value").clone()).expect("text")
    };
    (of("SMTP_USERNAME"), of("SMTP_PASSWORD"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_dovecot_is_replaced_in_openbao_and_conjur() {
    let mail = Mail::start(&Users::File);
    std::fs::write(mail.users_file(), format!("newsletter-a:{}\n", hash(FIRST))).expect("it is written");
    let (bao, server, desk) = (Bao::start().await, Conjur::start().await, Desk::new());
    let kept = [vault(&bao, "vault", "staging").await, conjur(&server, desk.dir())];
    let (users, socket) = (mail.users_file(), mail.auth_socket());
    let provider = format!("{{kind: dovecot, passwd_file: {}, auth_socket: {}}}", users.display(), socket.display());
    let _app = furnish(&desk, &mail, &provider, &kept);
    ends(&desk.rotate("drill"), DONE);
    let (username, password) = in_vault(&bao, "vault").await;
    assert_eq!(username, "newsletter-b");
    assert_eq!(in_conjur(&server), (username.clone(), password.clone()));
    assert!(mail.accepts(&username, &password), "the new login: {}", mail.said());
    assert!(!mail.accepts("newsletter-a", FIRST), "the old login");
}
