//! A vendor's kind through whole rotations: SendGrid from its contract, an SMTP endpoint that takes the keys that its API has given
//! out, an env file and a Conjur, and services that read them by themselves.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::Run;
use crate::support::exit::{DONE, ROLLED_BACK};
use crate::support::lab::app::App;
use crate::support::lab::conjur::Conjur;
use crate::support::lab::desk::{CREDENTIAL, Desk};
use crate::support::lab::vendors::relay::Relay;
use crate::support::lab::vendors::sendgrid::SendGrid;
use crate::support::lab::vendors::{FULL_KEY, Served, Vendor};
use crate::support::{login, service};

const HOST: &str = "host/newsletter";
const PASSWORD: &str = "newsletter/SMTP_PASSWORD";

struct Shop {
    vendor: Served<SendGrid>,
    relay: Relay,
    conjur: Conjur,
    desk: Desk,
    _app: App,
    first: String,
}

impl Shop {
    async fn open() -> Self {
        let vendor = Served::start(SendGrid::new()).await;
        let first = vendor.state().make(CREDENTIAL, vec!["mail.send".to_owned()]).key.clone();
        let relay = Relay::of(&vendor).await;
        let (conjur, desk) = (Conjur::start().await, Desk::new());
        for login in [HOST, "host/handover"] {
            conjur.world().keys.insert(login.to_owned(), format!("key-of-{login}"));
            for (id, value) in [("newsletter/SMTP_USERNAME", "apikey"), (PASSWORD, first.as_str())] {
                conjur.permit(login, id, &["read", "execute", "update"]);
                conjur.world().variables.insert(id.to_owned(), vec![value.as_bytes().to_vec()]);
            }
        }
        let keep = |name: &str, text: &str| {
            let path = desk.dir().join(name);
            std::fs::write(&path, text).expect("it is written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        };
        keep("sendgrid.key", FULL_KEY);
        keep("conjur.key", "key-of-host/handover");
        keep("staging.env", &format!("SMTP_USERNAME=apikey\nSMTP_PASSWORD={first}\n"));
        let url = format!("http://127.0.0.1:{}", conjur.port);
        let app = App::start(
            &relay.smtp,
            &[
                ("tried", json!({"kind": "env", "path": desk.dir().join("staging.env")})),
                (
                    "used",
                    json!({"kind": "conjur", "url": url, "account": "myorg", "login": HOST,
                                "key": format!("key-of-{HOST}"), "path": CREDENTIAL}),
                ),
            ],
        );
        let fields = "fields: {username: SMTP_USERNAME, password: SMTP_PASSWORD}";
        desk.inventory(&format!(
            "version: 1\nproviders:\n  \
             sendgrid: {{kind: sendgrid, address: \"{}\", api_key: {{file: sendgrid.key}}, propagation: 500ms}}\nstores:\n  \
             hosts: {{kind: env-file}}\n  \
             conjur: {{kind: conjur, address: \"{url}\", account: myorg, login: host/handover, api_key: {{file: conjur.key}}}}\n\
             credentials:\n  {CREDENTIAL}:\n    provider: sendgrid\n    account: {CREDENTIAL}\n    \
             smtp: {{host: {}, port: {}, tls: starttls, ca_file: {}}}\n    \
             probe: {{from: probe@lab.test, to: inbox@lab.test, arrival: {{maildir: {}}}}}\n    entries:\n      \
             staging: {{store: hosts, path: staging.env, {fields}, environment: staging}}\n      \
             production: {{store: conjur, path: {CREDENTIAL}, {fields}, environment: production}}\nservices:\n{}{}",
            vendor.address(),
            relay.smtp.host,
            relay.smtp.starttls_port,
            relay.smtp.ca_file,
            relay.maildir().display(),
            app.inventory("tried", "staging", "staging"),
            app.inventory("used", "production", "production"),
        ));
        Self { vendor, relay, conjur, desk, _app: app, first }
    }

    /// One key is left, every entry holds it, and the endpoint takes it from a client that is not ours.
    fn holds(&self, key: &str, run: &Run) {
        let keys: Vec<String> = self.vendor.state().keys.iter().map(|k| k.key.clone()).collect();
        assert_eq!(keys, [key], "{run}");
        let staging = service::held(&self.desk.dir().join("staging.env"));
        assert_eq!(staging, ("apikey".to_owned(), key.to_owned()), "{run}");
        let production = self.conjur.world().variables[PASSWORD].last().cloned();
        assert_eq!(production.as_deref(), Some(key.as_bytes()), "{run}");
        assert_eq!(login::reply(&self.relay.smtp, "apikey", key), 235);
        assert!(!run.said().contains(key), "a secret was shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_sendgrid_is_replaced_everywhere_and_the_old_one_refused() {
    let shop = Shop::open().await;
    let run = tokio::task::block_in_place(|| shop.desk.rotate("drill"));
    assert_eq!(run.code(), DONE, "{run}");
    let new = shop.vendor.state().keys[0].key.clone();
    assert_ne!(new, shop.first);
    assert!(!shop.vendor.state().accepts("apikey", &shop.first));
    tokio::task::block_in_place(|| {
        shop.holds(&new, &run);
        assert_eq!(login::reply(&shop.relay.smtp, "apikey", &shop.first), 535);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_for_good_takes_all_back_to_the_old_key() {
    let shop = Shop::open().await;
    let run = tokio::task::block_in_place(|| {
        let mut going = shop.desk.rotating("drill");
        // Staging holds the new key by now.
        going.wait_for_step(4).expect("it comes to the proof of staging");
        shop.conjur.world().refuse = Some((PASSWORD.to_owned(), 403));
        going.end()
    });
    assert_eq!(run.code(), ROLLED_BACK, "{run}");
    tokio::task::block_in_place(|| shop.holds(&shop.first, &run));
    assert_eq!(shop.vendor.state().keys.len(), 1);
}
