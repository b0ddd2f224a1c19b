//! The kind `vault` against OpenBao.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::secret::{Login, Secret};
use handover::stores::vault::VaultStore;
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{EntryName, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde_json::{Value, json};

use super::{stores, table};
use crate::support::lab::bao::{Bao, ROOT};
use crate::support::lab::ca::Ca;
use crate::support::lab::free_port;
use crate::support::lab::proxy::Proxy;

fn store(options: &str) -> VaultStore {
    let node = Node::from_yaml("test.yaml", Path::new("/"), options).unwrap_or_else(|p| panic!("{p}"));
    let mut fields = Fields::new(&node, "store");
    let read = VaultStore::options(&mut fields);
    let problems = fields.finish();
    let options = read.unwrap_or_else(|| panic!("{problems}"));
    VaultStore::open(options).unwrap_or_else(|fault| panic!("{fault}"))
}

fn place(path: &str) -> EntryRef {
    EntryRef {
        name: EntryName::new("vault").expect("a name"),
        path: path.to_owned(),
        username_field: "SMTP_USERNAME".to_owned(),
        password_field: "SMTP_PASSWORD".to_owned(),
    }
}

fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
}

fn refused<T>(outcome: Outcome<T>) -> Fault {
    match outcome {
        Outcome::NotDone(fault) => fault,
        Outcome::Unknown(fault) => panic!("unknown: {fault}"),
        Outcome::Done(_) => panic!("it was done"),
    }
}

struct Bench {
    bao: Bao,
    kv: u8,
    mount: &'static str,
    cutter: Proxy,
}

impl Bench {
    async fn start(kv: u8) -> Self {
        let bao = Bao::start().await;
        let mount = if kv == 1 { "team/old" } else { "secret" };
        if kv == 1 {
            bao.must("POST", "sys/mounts/team/old", json!({"type": "kv", "options": {"version": "1"}})).await;
        }
        bao.keep("root", ROOT);
        let cutter = Proxy::before(bao.port()).await;
        cutter.cut_answers_to(&format!("POST /v1/{mount}"));
        Self { bao, kv, mount, cutter }
    }

    fn at(&self, address: &str, token: &str) -> VaultStore {
        let (kv, mount, folder) = (self.kv, self.mount, self.bao.folder.path().display());
        store(&format!("address: {address}\nmount: {mount}\nkv: {kv}\nauth: {{token: {{file: {folder}/{token}}}}}\n"))
    }

    fn spot(&self, path: &str) -> String {
        if self.kv == 1 { format!("{}/{path}", self.mount) } else { format!("{}/data/{path}", self.mount) }
    }

    async fn put(&self, path: &str, data: Value) {
        let body = if self.kv == 1 { data } else { json!({ "data": data }) };
        self.bao.must("POST", &self.spot(path), body).await;
    }

    async fn get(&self, path: &str) -> Value {
        let (_, answer) = self.bao.ask("GET", &self.spot(path), None).await;
        if self.kv == 1 { answer["data"].clone() } else { answer["data"]["data"].clone() }
    }
}

fn with_siblings(username: &str, password: &str) -> Value {
    json!({"SMTP_USERNAME": username, "SMTP_PASSWORD": password, "SMTP_HOST": "smtp.example.com", "port": 587, "on": true})
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.at(&self.bao.address(), "root"))
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(&format!("http://127.0.0.1:{}", free_port()), "root")))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        let policy = format!("path \"{}/*\" {{ capabilities = [\"read\"] }}", self.mount);
        self.bao.token("reader", &policy, json!({})).await;
        Ok(Arc::new(self.at(&self.bao.address(), "reader")))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(&format!("http://127.0.0.1:{}", self.cutter.port()), "root")))
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let path = format!("mail/{name} of ours");
        self.put(&path.replace(' ', "%20"), with_siblings(username, password)).await;
        place(&path)
    }

    fn missing(&self) -> EntryRef {
        place("mail/nobody/made/this")
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        let data = self.get(&entry.path.replace(' ', "%20")).await;
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        (text("SMTP_USERNAME"), text("SMTP_PASSWORD"))
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(&entry.path.replace(' ', "%20"), with_siblings(username, password)).await;
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        let data = self.get(&entry.path.replace(' ', "%20")).await;
        let (username, password) = self.held(entry).await;
        Ok(data == with_siblings(&username, &password))
    }
}

mod lab_bao {
    use super::*;

    #[tokio::test]
    async fn vault_kv_2_does_what_a_store_must() {
        let bench = Bench::start(2).await;
        let ran = stores::run(&bench).await;
        table::hold("vault", &ran);
        assert_eq!(bench.cutter.cut(), 1);
        // Done again, it makes no version more; and the mark of the owner is there.
        let (_, answer) = bench.bao.ask("GET", "secret/metadata/mail/lost%20of%20ours", None).await;
        assert_eq!(answer["data"]["current_version"], 2, "{answer}");
        let (_, answer) = bench.bao.ask("GET", "secret/metadata/mail/plain%20of%20ours", None).await;
        assert_eq!(answer["data"]["custom_metadata"], json!({"managed-by": "handover"}));
    }

    #[tokio::test]
    async fn vault_kv_1_does_what_a_store_must() {
        let bench = Bench::start(1).await;
        let ran = stores::run(&bench).await;
        table::hold("vault (kv: 1)", &ran);
        let entry = stores::StoreBench::entry(&bench, "warned", "user", "password").await;
        let warnings = bench.at(&bench.bao.address(), "root").warnings(&entry).await;
        assert!(warnings.iter().any(|w| w.contains("no check-and-set")), "{warnings:?}");
    }

    #[tokio::test]
    async fn vault_tells_deleted_from_absent_and_foreign_from_ours() {
        let bench = Bench::start(2).await;
        let store = bench.at(&bench.bao.address(), "root");
        let (entry, new) = (place("mail/x"), login("user-2", "new"));
        assert!(store.lacks(&entry).await.contains("no secret at its path"));
        bench.put("mail/x", json!({"SMTP_USERNAME": "user-1", "other": 1})).await;
        assert!(store.lacks(&entry).await.contains("no key `SMTP_PASSWORD`"));
        bench.put("mail/x", with_siblings("user-1", "old")).await;
        bench.bao.must("DELETE", "secret/data/mail/x", json!({})).await;
        let lacks = store.lacks(&entry).await;
        assert!(lacks.contains("version (2) was deleted at 20") && lacks.contains("undelete"), "{lacks}");
        assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Nothing)));
        assert_eq!(refused(store.write(&entry, &new, &[&Secret::new("old".to_owned())]).await).code, "HO0611");
        // Where a person has given up what is there, a deleted version counts in the check all the same.
        assert!(matches!(store.write(&entry, &new, &[]).await, Outcome::Done(())));
        assert_eq!(bench.get("mail/x").await, json!({"SMTP_USERNAME": "user-2", "SMTP_PASSWORD": "new"}));
        bench.bao.must("PUT", "secret/destroy/mail/x", json!({"versions": [3]})).await;
        assert!(store.lacks(&entry).await.contains("version (3) was destroyed"));

        // A mark of another manager is kept, and told of; so is an end that the server has in mind.
        let marks = json!({"custom_metadata": {"managed-by": "external-secrets", "team": "mail"}, "delete_version_after": "72h",
            "cas_required": true});
        bench.bao.must("POST", "secret/metadata/mail/foreign", marks).await;
        let body = json!({"options": {"cas": 0}, "data": with_siblings("user-1", "old")});
        bench.bao.must("POST", "secret/data/mail/foreign", body).await;
        let foreign = place("/mail/foreign/");
        assert!(matches!(store.check_writable(&foreign).await, Outcome::Done(())));
        assert!(matches!(store.write(&foreign, &new, &[&Secret::new("old".to_owned())]).await, Outcome::Done(())));
        let (_, answer) = bench.bao.ask("GET", "secret/metadata/mail/foreign", None).await;
        assert_eq!(answer["data"]["custom_metadata"], json!({"managed-by": "external-secrets", "team": "mail"}));
        let warnings = store.warnings(&foreign).await;
        assert!(warnings.iter().any(|w| w.contains("managed by external-secrets")), "{warnings:?}");
        assert!(warnings.iter().any(|w| w.contains("delete_version_after")), "{warnings:?}");
        assert_eq!(warnings.len(), 2);

        // What would not be kept to the last bit is refused before anything is written.
        bench.put("mail/ratio", json!({"SMTP_USERNAME": "user-1", "SMTP_PASSWORD": "old", "ratio": 0.1})).await;
        let ratio = place("mail/ratio");
        assert!(refused(store.check_writable(&ratio).await).message.contains("`ratio`"));
        assert_eq!(refused(store.write(&ratio, &new, &[&Secret::new("old".to_owned())]).await).code, "HO0634");
        bench.put("mail/number", json!({"SMTP_USERNAME": "user-1", "SMTP_PASSWORD": 5})).await;
        assert!(refused(store.read(&place("mail/number")).await).message.contains("`SMTP_PASSWORD` is not a text"));
        bench.put("mail/swapped", json!({"SMTP_USERNAME": "a b\n", "SMTP_PASSWORD": "x"})).await;
        assert_eq!(refused(store.read(&place("mail/swapped")).await).code, "HO0622");
        for path in ["mail//x", "mail/../x"] {
            assert_eq!(refused(store.read(&place(path)).await).code, "HO0634", "{path}");
        }
    }

    #[tokio::test]
    async fn vault_names_what_is_wrong_with_a_login_and_how_to_mend_it() {
        let bench = Bench::start(2).await;
        let bao = &bench.bao;
        bench.put("mail/x", with_siblings("user-1", "old")).await;
        let entry = place("mail/x");
        let address = bao.address();

        // Expired, foreign, and too weak.
        bao.token("brief", "path \"secret/*\" { capabilities = [\"read\", \"update\"] }", json!({"ttl": "1s"})).await;
        let brief = bench.at(&address, "brief");
        let warnings = brief.warnings(&entry).await;
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
        let fault = refused(brief.read(&entry).await);
        assert_eq!((fault.code.as_str(), fault.class), ("HO0632", FaultClass::Permanent));
        assert!(fault.message.contains("has expired") && fault.hint.is_some(), "{fault}; {warnings:?}");
        bao.keep("foreign", "s.thisisnoneofours");
        assert!(refused(bench.at(&address, "foreign").read(&entry).await).message.contains("has expired, was revoked"));
        bao.keep("odd", "a\u{1f511}b");
        assert!(refused(bench.at(&address, "odd").read(&entry).await).message.contains("no token has"));
        bao.token("none", "path \"other/*\" { capabilities = [\"read\"] }", json!({})).await;
        let fault = refused(bench.at(&address, "none").read(&entry).await);
        assert!(fault.message.contains("may not read secret/data/mail/x"), "{fault}");
        assert!(fault.hint.as_deref().is_some_and(|h| h.contains("path \"secret/data/mail/x\"")), "{fault:?}");
        bao.token("reads", "path \"secret/*\" { capabilities = [\"read\"] }", json!({})).await;
        let fault = refused(bench.at(&address, "reads").check_writable(&entry).await);
        assert!(fault.message.contains("may not update it"), "{fault}");
        // Only what docs/kinds/vault.md asks for is needed.
        let policy = "path \"secret/data/mail/x\" { capabilities = [\"read\", \"update\"] }";
        bao.token("least", policy, json!({})).await;
        let least = bench.at(&address, "least");
        assert!(matches!(least.check_writable(&entry).await, Outcome::Done(())));
        let old = Secret::new("old".to_owned());
        assert!(matches!(least.write(&entry, &login("user-2", "new"), &[&old]).await, Outcome::Done(())));

        // A token that another program puts anew is read anew.
        bao.token("agent", policy, json!({})).await;
        let agent = bench.at(&address, "agent");
        assert!(matches!(agent.read(&entry).await, Outcome::Done(Held::Login(_))));
        let first = std::fs::read_to_string(bao.folder.path().join("agent")).expect("a token");
        bao.token("agent", policy, json!({})).await;
        bao.must("POST", "auth/token/revoke", json!({ "token": first })).await;
        assert!(matches!(agent.read(&entry).await, Outcome::Done(Held::Login(_))));

        // One in the last third of its life is renewed.
        let file = bao.token("renewed", policy, json!({"ttl": "3s", "renewable": true, "explicit_max_ttl": "1h"})).await;
        let renewed = bench.at(&address, "renewed");
        for _ in 0..5 {
            assert!(matches!(renewed.read(&entry).await, Outcome::Done(Held::Login(_))), "after {file:?}");
            tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        }

        // The mount is not what the inventory says.
        let folder = bao.folder.path().display();
        let with = |more: &str| store(&format!("address: {address}\nauth: {{token: {{file: {folder}/root}}}}\n{more}"));
        bao.must("POST", "sys/mounts/old", json!({"type": "kv", "options": {"version": "1"}})).await;
        let fault = refused(with("mount: old\n").check_writable(&entry).await);
        assert!(fault.hint.as_deref().is_some_and(|h| h.contains("kv: 1")), "{fault:?}");
        let fault = refused(with("kv: 1\n").check_writable(&entry).await);
        assert!(fault.hint.as_deref().is_some_and(|h| h.contains("kv: 2")), "{fault:?}");
        assert!(refused(with("mount: cubbyhole\n").check_writable(&entry).await).message.contains("of type cubbyhole"));
        assert!(refused(with("mount: nothing\n").read(&entry).await).message.contains("no mount nothing"));

        // Sealed, it says so, and nothing is written.
        bao.must("PUT", "sys/seal", json!({})).await;
        let fault = refused(bench.at(&address, "root").read(&entry).await);
        assert!(fault.message.contains("it is sealed") && fault.code == "HO0632", "{fault}");
        assert_eq!(fault.class, FaultClass::Temporary);
        assert_eq!(refused(least.write(&entry, &login("user-1", "old"), &[]).await).code, "HO0632");
    }

    #[tokio::test]
    async fn vault_logs_in_by_approle_again_when_it_must() {
        let bench = Bench::start(2).await;
        let bao = &bench.bao;
        bench.put("mail/x", with_siblings("user-1", "old")).await;
        let entry = place("mail/x");
        bao.must("POST", "sys/auth/roles", json!({"type": "approle"})).await;
        let policy = "path \"secret/data/mail/*\" { capabilities = [\"read\", \"update\"] }";
        bao.must("POST", "sys/policies/acl/mail", json!({ "policy": policy })).await;
        bao.must("POST", "auth/roles/role/mail", json!({"token_policies": ["mail"], "token_ttl": "1h"})).await;
        let role_id = bao.ask("GET", "auth/roles/role/mail/role-id", None).await.1["data"]["role_id"].clone();
        let made = bao.must("POST", "auth/roles/role/mail/secret-id", json!({})).await;
        bao.keep("secret-id", made["data"]["secret_id"].as_str().expect("a secret id"));
        let (address, folder) = (bao.address(), bao.folder.path().display());
        let role = |mount: &str, file: &str| {
            let role = format!("role_id: {role_id}, secret_id: {{file: {folder}/{file}}}, mount: {mount}");
            store(&format!("address: {address}\nauth: {{approle: {{{role}}}}}\n"))
        };
        let store = role("roles", "secret-id");
        let log = bao.folder.path().join("trace");
        let written = std::fs::File::create(&log).expect("a log");
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(Arc::new(written)).finish();
        let tracing = tracing::subscriber::set_default(subscriber);
        assert!(matches!(store.check_writable(&entry).await, Outcome::Done(())));
        // All its tokens are taken away: it is refused once, logs in, and goes on.
        let accessors = bao.ask("LIST", "auth/token/accessors", None).await.1;
        for accessor in accessors["data"]["keys"].as_array().expect("accessors") {
            let look = bao.must("POST", "auth/token/lookup-accessor", json!({ "accessor": accessor })).await;
            if look["data"]["path"] == "auth/roles/login" {
                bao.must("POST", "auth/token/revoke-accessor", json!({ "accessor": accessor })).await;
            }
        }
        let old = Secret::new("old".to_owned());
        assert!(matches!(store.write(&entry, &login("user-2", "new+marked"), &[&old]).await, Outcome::Done(())));
        assert_eq!(bench.get("mail/x").await["SMTP_PASSWORD"], "new+marked");
        drop(tracing);
        let said = std::fs::read_to_string(&log).expect("the log");
        let secret_id = std::fs::read_to_string(bao.folder.path().join("secret-id")).expect("it");
        assert!(said.len() > 1000, "the log holds: {said}");
        for secret in ["new+marked", secret_id.as_str(), "hvs.", "s."] {
            let shown = said.lines().find(|line| line.split([' ', '"', '=']).any(|word| word.starts_with(secret)));
            assert_eq!(shown, None, "{secret} in the log");
        }

        bao.keep("wrong", "00000000-0000-0000-0000-000000000000");
        let fault = refused(role("roles", "wrong").read(&entry).await);
        assert!(fault.message.contains("refused the login at auth/roles") && fault.code == "HO0632", "{fault}");
        assert!(!format!("{fault:?}").contains("00000000"));
        assert!(refused(role("nowhere", "secret-id").read(&entry).await).message.contains("auth/nowhere"));
    }

    #[tokio::test]
    async fn vault_keeps_to_its_namespace_and_trusts_its_own_ca_only() {
        let bench = Bench::start(2).await;
        let bao = &bench.bao;
        bao.must("POST", "sys/namespaces/team", json!({})).await;
        let body = json!({"type": "kv", "options": {"version": "2"}});
        assert!(bao.ask_in("team", "POST", "sys/mounts/secret", Some(body)).await.0 < 300);
        let entry = place("mail/x");
        let folder = bao.folder.path().display();
        let within = |address: &str, more: &str| {
            store(&format!("address: {address}\nauth: {{token: {{file: {folder}/root}}}}\n{more}"))
        };
        bench.put("mail/x", with_siblings("outside", "old")).await;
        let inside = within(&bao.address(), "namespace: team\n");
        // The server is ready for the new mount a moment later.
        let body = json!({"data": with_siblings("inside", "old")});
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while bao.ask_in("team", "POST", "secret/data/mail/x", Some(body.clone())).await.0 != 200 {
            assert!(std::time::Instant::now() < end, "the mount is not ready");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let old = Secret::new("old".to_owned());
        assert!(matches!(inside.check_writable(&entry).await, Outcome::Done(())));
        assert!(matches!(inside.write(&entry, &login("inside", "new"), &[&old]).await, Outcome::Done(())));
        assert_eq!(bench.get("mail/x").await["SMTP_PASSWORD"], "old");
        let (_, seen) = bao.ask_in("team", "GET", "secret/data/mail/x", None).await;
        assert_eq!(seen["data"]["data"]["SMTP_PASSWORD"], "new");

        let good = within(&bao.tls_address(), &format!("ca_file: {}\n", bao.ca.ca.display()));
        assert!(matches!(good.read(&entry).await, Outcome::Done(Held::Login(_))));
        let other = Ca::make(&bao.folder.path().join("other"));
        let wrong = within(&bao.tls_address(), &format!("ca_file: {}\n", other.ca.display()));
        let fault = refused(wrong.write(&entry, &login("user-2", "new"), &[&old]).await);
        assert_eq!((fault.code.as_str(), fault.class), ("HO0630", FaultClass::Environment));
        assert!(fault.message.contains("TLS failed"), "{fault}");
    }

    /// A token that the key vouches for.
    fn signed(key: &rcgen::KeyPair, claims: &Value) -> String {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let head = URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "typ": "JWT"}).to_string());
        let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der()).expect("a key");
        let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), text.as_bytes()).expect("a signature");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn vault_logs_in_by_jwt_and_by_a_service_account_of_kubernetes() {
        let bench = Bench::start(2).await;
        let bao = &bench.bao;
        bench.put("mail/x", with_siblings("user-1", "old")).await;
        let policy = "path \"secret/data/mail/*\" { capabilities = [\"read\", \"update\"] }";
        bao.must("POST", "sys/policies/acl/mail", json!({ "policy": policy })).await;
        let key = rcgen::KeyPair::generate().expect("a key");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();

        bao.must("POST", "sys/auth/jwt", json!({"type": "jwt"})).await;
        bao.must("POST", "auth/jwt/config", json!({"jwt_validation_pubkeys": [key.public_key_pem()]})).await;
        let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["bao"], "token_policies": ["mail"]});
        bao.must("POST", "auth/jwt/role/mail", role).await;
        let jwt = signed(&key, &json!({"sub": "handover", "aud": "bao", "iat": now, "nbf": now - 60, "exp": now + 600}));
        bao.keep("jwt", &jwt);

        // The cluster says whose token it is.
        let review = || async {
            let user = json!({"username": "system:serviceaccount:mail:handover", "uid": "u-1"});
            axum::Json(
                json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": {"authenticated": true, "audiences": ["bao"], "user": user}}),
            )
        };
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let cluster = axum::Router::new().route(path, axum::routing::post(review));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, cluster).await });
        bao.must("POST", "sys/auth/clusters", json!({"type": "kubernetes"})).await;
        let ca = std::fs::read_to_string(&bao.ca.ca).expect("a certificate");
        let config = json!({"kubernetes_host": host, "token_reviewer_jwt": jwt, "kubernetes_ca_cert": ca});
        bao.must("POST", "auth/clusters/config", config).await;
        let role = json!({"bound_service_account_names": ["handover"], "bound_service_account_namespaces": ["mail"],
            "token_policies": ["mail"]});
        bao.must("POST", "auth/clusters/role/mail", role).await;
        let account = json!({"namespace": "mail", "serviceaccount": {"name": "handover", "uid": "u-1"}});
        let claims = json!({"iss": "x", "sub": "system:serviceaccount:mail:handover", "aud": ["bao"], "kubernetes.io": account,
            "iat": now, "nbf": now - 60, "exp": now + 600});
        bao.keep("account", &signed(&key, &claims));

        let (address, folder) = (bao.address(), bao.folder.path().display());
        let old = Secret::new("old".to_owned());
        for (auth, says) in [
            (format!("jwt: {{role: mail, jwt: {{file: {folder}/jwt}}}}"), "refused the login at auth/jwt"),
            (
                format!("kubernetes: {{role: mail, jwt: {{file: {folder}/account}}, mount: clusters}}"),
                "refused the login at auth/clusters",
            ),
        ] {
            let store = store(&format!("address: {address}\nauth: {{{auth}}}\n"));
            let check = store.check_writable(&place("mail/x")).await;
            assert!(matches!(check, Outcome::Done(())), "{auth}: {check:?}");
            let back = store.write(&place("mail/x"), &login("user-1", "old"), &[&old]).await;
            assert!(matches!(back, Outcome::Done(())), "{auth}: {back:?}");
            let stranger =
                super::store(&format!("address: {address}\nauth: {{{}}}\n", auth.replace("role: mail", "role: other")));
            let fault = refused(stranger.read(&place("mail/x")).await);
            assert!(fault.message.contains(says) && fault.code == "HO0632", "{fault}");
        }
    }
}
