//! The lab's services: one Python process (`app.py`) that reads logins from stores by itself and sends mail with them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::ledger::Smtp;

/// The services' process.
pub(crate) struct App {
    process: Child,
    port: u16,
}

impl App {
    /// Starts services by name, each with where it reads from. They hold what is there now.
    pub(crate) fn start(smtp: &Smtp, services: &[(&str, Value)]) -> Self {
        let services: serde_json::Map<String, Value> =
            services.iter().map(|(name, source)| ((*name).to_owned(), source.clone())).collect();
        let config = json!({
            "smtp": {"host": smtp.host, "port": smtp.starttls_port, "ca": smtp.ca_file},
            "from": "probe@lab.test", "services": services,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/lab/app.py");
        let mut command = Command::new("python3");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("python3 starts");
        let mut stdin = process.stdin.take().expect("piped");
        writeln!(stdin, "{config}").expect("it reads");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the services said {line:?}"));
        let port = told["port"].as_u64().and_then(|p| u16::try_from(p).ok()).expect("a port");
        Self { process, port }
    }

    /// A service of the inventory.
    pub(crate) fn inventory(&self, name: &str, entry: &str, environment: &str) -> String {
        let url = format!("http://127.0.0.1:{}/{name}", self.port);
        format!(
            "  {name}:\n    credential: newsletter\n    entry: {entry}\n    environment: {environment}\n    \
             owner: {name}-oncall@lab.test\n    reload: {{http: {{url: \"{url}/reload\"}}}}\n    \
             test_send: {{http: {{url: \"{url}/test-send\"}}}}\n    attest: {{http: {{url: \"{url}/attest\"}}}}\n"
        )
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
