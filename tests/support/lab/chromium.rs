//! A browser without a window, told what to do over a pipe: pages as people see them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Server;

const PATIENCE: Duration = Duration::from_secs(60);

/// The browser with one tab.
pub(crate) struct Chromium {
    _process: Server,
    _folder: TempDir,
    to: File,
    from: Receiver<Value>,
    next: u64,
    session: Option<String>,
    /// What it has told by itself.
    pub(crate) told: Vec<Value>,
}

impl Chromium {
    /// Starts it with a folder of its own, which reaches this machine only.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
            // For both ends, so that opening waits for nobody.
            let file = File::options().read(true).write(true).open(&path).expect("it opens");
            (path, file)
        };
        let ((to_path, to), (from_path, from)) = (pipe("to"), pipe("from"));
        let mut command = Command::new("sh");
        command.arg("-c").arg("exec chromium \"$@\" 3<\"$TO\" 4>\"$FROM\"").arg("sh");
        command.env("TO", &to_path).env("FROM", &from_path).env("HOME", folder.path());
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--no-proxy-server", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        let process = Server::start("chromium", &mut command, folder.path().join("log"));
        let (told, all) = channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut message = Vec::new();
            while matches!(from.read_until(0, &mut message), Ok(n) if n > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if told.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser =
            Self { _process: process, _folder: folder, to, from: all, next: 0, session: None, told: Vec::new() };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(ToOwned::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn hear(&mut self, until: Instant, what: &str) -> Value {
        let left = until.saturating_duration_since(Instant::now());
        self.from.recv_timeout(left).unwrap_or_else(|e| panic!("the browser gives no answer to {what}: {e}"))
    }

    /// Tells it something, and waits for its answer.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("it listens");
        let until = Instant::now() + PATIENCE;
        loop {
            let heard = self.hear(until, method);
            if heard["id"] == json!(self.next) {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.told.push(heard);
        }
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let told = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.value(expression) != json!(true) {
            assert!(Instant::now() < end, "{expression} is not true: {}", self.value("document.body.innerText"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn loaded(&mut self, what: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let heard = self.hear(until, what);
            let loaded = heard["method"] == "Page.loadEventFired";
            self.told.push(heard);
            if loaded {
                return;
            }
        }
    }

    /// Goes to an address.
    pub(crate) fn open(&mut self, address: &str) {
        let told = self.call("Page.navigate", json!({"url": address}));
        assert!(told["errorText"].is_null(), "{address}: {told}");
        self.until(&format!("document.readyState === 'complete' && location.href === {}", json!(address)));
    }

    /// Presses what a selector finds, which leads to another page.
    pub(crate) fn press(&mut self, selector: &str) {
        self.until(&format!("document.querySelector({}) !== null", json!(selector)));
        self.value(&format!("document.querySelector({}).click()", json!(selector)));
        self.loaded(selector);
    }

    /// Writes into a field.
    pub(crate) fn write(&mut self, selector: &str, text: &str) {
        self.value(&format!("document.querySelector({}).value = {}", json!(selector), json!(text)));
    }

    /// How wide the window is from now on, and whether the page is to be dark.
    pub(crate) fn shape(&mut self, width: u32, dark: bool) {
        let mobile = width < 500;
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// A picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let (width, height) = (self.value("innerWidth"), self.value("document.documentElement.scrollHeight"));
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let told =
            self.call("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true, "clip": clip}));
        let bytes = STANDARD.decode(told["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(file, bytes).expect("it writes");
    }
}
