//! What a daemon with 10,000 credentials costs: the built program, looked at from outside.
//!
//! * from its start until it is ready, for the first time and after a kill;
//! * its memory when it is ready and a minute later, and the time of the processor that it takes in 30 s with nothing to do;
//! * requests a second over TCP, on connections that are kept: health, a page of credentials, metrics;
//! * leak alerts a second, each signed: the first 300 are kept with a full sync before they are answered, the others turned away.
//!
//! `cargo bench --bench daemon` (`-- 200` for another number of credentials, `-- 200 quick` without the long looks;
//! `--profile dev` where a release build takes too long).

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Connections at once.
const CONNECTIONS: usize = 4;
const KEY: &[u8] = b"a-key-of-the-scanner-of-32-bytes";

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// An inventory whose schedules are far away, in files of 120 credentials.
fn furnish(folder: &Path, credentials: usize) -> Result<(), Failed> {
    let inventory = folder.join("inventory");
    std::fs::create_dir(&inventory)?;
    let secret = folder.join("scanner.secret");
    std::fs::write(&secret, format!("whsec_{}", STANDARD.encode(KEY)))?;
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let head = format!(
        "version: 1\nproviders:\n  relay: {{kind: sandbox, dir: {0}/nowhere}}\nstores:\n  hosts: {{kind: env-file}}\nalerts:\n  \
         scanner: {{kind: standard-webhooks, secret: {{file: {0}/scanner.secret}}}}\n",
        folder.display()
    );
    std::fs::write(inventory.join("a.yaml"), head)?;
    for (part, all) in (0..credentials).collect::<Vec<_>>().chunks(120).enumerate() {
        let (mut text, mut services) = ("version: 1\ncredentials:\n".to_owned(), "services:\n".to_owned());
        for n in all {
            let name = format!("mail-{n:05}");
            writeln!(text, "  {name}:\n    provider: relay\n    account: {name}")?;
            writeln!(text, "    smtp: {{host: mail.example.com, port: 587, tls: starttls}}")?;
            writeln!(text, "    probe: {{from: a@example.com, to: b@example.com, arrival: none}}\n    entries:")?;
            for environment in ["staging", "production"] {
                writeln!(
                    text,
                    "      {environment}: {{store: hosts, path: /srv/{name}-{environment}.env, fields: {{username: U, password: P}}, environment: {environment}}}"
                )?;
                writeln!(
                    services,
                    "  {name}-{environment}:\n    credential: {name}\n    entry: {environment}\n    environment: {environment}"
                )?;
                writeln!(services, "    reload: {{http: {{method: POST, url: \"http://127.0.0.1:9/{name}/reload\"}}}}")?;
                writeln!(services, "    attest: {{http: {{url: \"http://127.0.0.1:9/{name}/fingerprint\"}}}}")?;
            }
            let cron = format!("{} {} 1 {} *", n % 60, n / 60 % 24, far());
            writeln!(text, "    schedule: {{playbook: scheduled, cron: \"{cron}\", timezone: Europe/Berlin}}")?;
        }
        std::fs::write(inventory.join(format!("b{part:03}.yaml")), text + &services)?;
    }
    Ok(())
}

/// A month that is neither this one nor the next.
fn far() -> u64 {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
    (days * 12 / 365 + 5) % 12 + 1
}

/// The daemon as a process.
struct Daemon {
    child: Child,
    address: SocketAddr,
    ready: Duration,
}

impl Daemon {
    fn start(folder: &Path) -> Result<Self, Failed> {
        let began = Instant::now();
        let mut child = program(folder, &["serve", "--json", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let told: serde_json::Value = serde_json::from_str(&line)?;
        let tcp = told["listen"].as_array().and_then(|all| all.last()?.as_str()).ok_or("no address")?;
        let mut daemon = Self { child, address: tcp.parse()?, ready: Duration::ZERO };
        while Client::open(daemon.address)?.get("/readyz", "")? != 200 {
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon.ready = began.elapsed();
        Ok(daemon)
    }

    fn proc(&self, file: &str) -> Result<String, Failed> {
        Ok(std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?)
    }

    /// Resident memory in MiB.
    fn memory(&self) -> Result<u64, Failed> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    }

    /// The time of the processor that it has taken: ticks of a hundredth of a second.
    fn processor(&self) -> Result<Duration, Failed> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no fields")?.1.split(' ').collect();
        let ticks = fields.get(11).ok_or("no time")?.parse::<u64>()? + fields.get(12).ok_or("no time")?.parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    command.args(args).arg("--inventory").arg(folder.join("inventory")).arg("--state").arg(folder.join("state"));
    command.arg("--playbooks").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks"));
    command
}

/// A connection that is kept.
struct Client(BufReader<TcpStream>);

impl Client {
    fn open(address: SocketAddr) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn get(&mut self, path: &str, token: &str) -> Result<u16, Failed> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"))
    }

    fn ask(&mut self, request: &str) -> Result<u16, Failed> {
        self.0.get_mut().write_all(request.as_bytes())?;
        let (mut line, mut status, mut length, mut chunked) = (String::new(), 0, 0, false);
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the connection was closed".into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = text.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().unwrap_or_default().parse()?;
            } else if let Some(rest) = text.strip_prefix("content-length:") {
                length = rest.trim().parse()?;
            } else if text == "transfer-encoding: chunked" {
                chunked = true;
            } else if text.is_empty() {
                break;
            }
        }
        if chunked {
            return Err("an answer of unknown length".into());
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(status)
    }
}

/// How many requests a second are answered as they should.
fn rate(
    address: SocketAddr,
    want: &[u16],
    lasting: Duration,
    make: impl Fn(u64) -> String + Send + Sync,
) -> Result<f64, Failed> {
    let (stop, count, made) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    let failed = std::thread::scope(|scope| {
        let one = || -> Result<(), Failed> {
            let mut client = Client::open(address)?;
            while !stop.load(Ordering::Relaxed) {
                let status = client.ask(&make(made.fetch_add(1, Ordering::Relaxed)))?;
                if !want.contains(&status) {
                    return Err(format!("answered with {status}").into());
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let all: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        std::thread::sleep(lasting);
        stop.store(true, Ordering::Relaxed);
        all.into_iter().filter_map(|thread| thread.join().ok()?.err()).next()
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(count.into_inner() as f64 / began.elapsed().as_secs_f64()),
    }
}

/// A signed delivery about something that is nobody's.
fn delivery(number: u64) -> String {
    let body = format!(
        r#"{{"type": "leak.detected", "timestamp": "2026-03-01T12:00:00Z", "data": {{"reference": "finding {number}", "secrets": ["nobodys-secret-{number:020}"]}}}}"#
    );
    let (id, at) = (format!("bench-{number}"), SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), format!("{id}.{at}.{body}").as_bytes());
    format!(
        "POST /alerts/scanner HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nwebhook-id: {id}\r\nwebhook-timestamp: \
         {at}\r\nwebhook-signature: v1,{}\r\ncontent-length: {}\r\n\r\n{body}",
        STANDARD.encode(mac.as_ref()),
        body.len()
    )
}

fn main() -> Result<(), Failed> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let credentials = args.first().map_or(Ok(10_000), |text| text.parse())?;
    let quick = args.iter().any(|arg| arg == "quick");
    let (minute, idle, lasting) = match quick {
        true => (Duration::from_secs(2), Duration::from_secs(2), Duration::from_secs(1)),
        false => (Duration::from_secs(60), Duration::from_secs(30), Duration::from_secs(8)),
    };
    let folder = tempfile::tempdir()?;
    furnish(folder.path(), credentials)?;
    println!("{credentials} credentials, a {} build", if cfg!(debug_assertions) { "dev" } else { "release" });

    let daemon = Daemon::start(folder.path())?;
    println!("ready after the first start    {:>8.2} s", daemon.ready.as_secs_f64());
    println!("memory when ready              {:>8} MiB", daemon.memory()?);
    std::thread::sleep(minute);
    println!("memory after {:>3} s             {:>8} MiB", minute.as_secs(), daemon.memory()?);
    let before = daemon.processor()?;
    std::thread::sleep(idle);
    let taken = (daemon.processor()? - before).as_secs_f64() / idle.as_secs_f64() * 100.0;
    println!("processor with nothing to do   {taken:>8.2} % of one, over {} s", idle.as_secs());

    let told = program(folder.path(), &["token", "add", "bench", "--role", "viewer", "--json"]).output()?;
    let told: serde_json::Value = serde_json::from_slice(&told.stdout)?;
    let token: Arc<str> = told["token"].as_str().ok_or("no token")?.into();
    for path in ["/healthz", "/api/v1/credentials?limit=100", "/metrics"] {
        let ask = |_| format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        println!("requests a second {path:<30} {:>8.0}", rate(daemon.address, &[200], lasting, ask)?);
    }
    // Beyond the limit of the source they are proven, looked up and turned away.
    println!("alerts a second                {:>8.0}", rate(daemon.address, &[202, 429], lasting, delivery)?);
    println!("memory after all that          {:>8} MiB", daemon.memory()?);
    drop(daemon);
    println!("ready after a kill             {:>8.2} s", Daemon::start(folder.path())?.ready.as_secs_f64());
    Ok(())
}
