//! `serve`: the daemon, until it is told to stop.

use std::path::Path;
use std::sync::Arc;

use handover_rotation::outcome::{Fault, FaultClass};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use super::args::ServeArgs;
use super::context::Context;
use super::failure::{Exit, Failure};
use super::rotate::whoami;
#[cfg(feature = "otlp")]
use crate::daemon::Traces;
use crate::daemon::api::Listen;
use crate::daemon::{Daemon, Desk, Files};
use crate::journal::{Outbox, Register};

/// The name of the socket in the state folder.
pub(super) const SOCKET: &str = "daemon.sock";

pub(super) async fn run(context: &Context, args: ServeArgs) -> Result<Exit, Failure> {
    // First of all: what takes a while below must not end without a word.
    let caught = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = caught else {
        let fault = Fault::new(FaultClass::Permanent, "HO1016", "signals cannot be listened to".to_owned());
        return Err(Failure::new(Exit::Error, fault));
    };
    let files = Files::open(context.inventory_path(), context.playbooks_path())?;
    let (engine, register) = context.engine_and_register().await?;
    let tls = tls(args.tls_cert.as_deref(), args.tls_key.as_deref())?;
    let mut listen = vec![(Listen::Unix(context.state_path()?.join(SOCKET)), None)];
    for text in &args.listen {
        let bad = |why: String| {
            let fault = Fault::new(FaultClass::Permanent, "HO1017", format!("--listen: {why}"));
            Failure::new(Exit::BadInput, fault)
        };
        listen.push((Listen::parse(text).map_err(bad)?, tls.clone()));
    }
    #[cfg(feature = "otlp")]
    let traces = {
        let open = |address: &reqwest::Url| Traces::open(address).map_err(|fault| Failure::new(Exit::BadInput, fault));
        args.otlp.as_ref().map(open).transpose()?
    };
    let outbox: Arc<dyn Outbox> = Arc::clone(&register) as Arc<dyn Outbox>;
    let register: Arc<dyn Register> = register;
    let desk = Arc::new(Desk::new(engine, register, files, format!("daemon of {}", whoami())));
    let daemon =
        Daemon::start(Arc::clone(&desk), outbox, listen).await.map_err(|fault| Failure::new(Exit::Refused, fault))?;
    #[cfg(feature = "otlp")]
    if let Some(traces) = traces {
        tokio::spawn(traces.send_for_ever(Arc::clone(&desk)));
    }
    let credentials = desk.files.now().inventory.credentials.len();
    if context.global.json {
        let at: Vec<String> = daemon.serving.iter().map(|s| shown(&s.listen)).collect();
        context.text(&serde_json::json!({"event": "ready", "listen": at, "credentials": credentials}).to_string())?;
    } else {
        for serving in &daemon.serving {
            context.say(&format!("listening on {}", shown(&serving.listen)));
        }
        context.say(&format!("ready: {credentials} credentials; Ctrl-C stops at the next safe boundary"));
    }
    notify("READY=1");
    let mut watchdog = watchdog();
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hangup.recv() => {
                notify(&reloading());
                if let Err(why) = desk.reload().await {
                    context.say(&format!("the files are refused, those before stay in force:\n{why}"));
                }
                notify("READY=1");
            }
            () = tick(&mut watchdog) => notify("WATCHDOG=1"),
        }
    }
    notify("STOPPING=1");
    context.say("stopping: every rotation at its next safe boundary; once more to leave at once");
    let stop = daemon.stop();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = interrupt.recv() => return left(context),
            _ = terminate.recv() => return left(context),
            // Coming to a boundary may take longer than that.
            () = tick(&mut watchdog) => notify("WATCHDOG=1"),
        }
    }
    Ok(Exit::Done)
}

fn left(context: &Context) -> Result<Exit, Failure> {
    context.say("left at once; what was under way is looked up at the next start");
    Ok(Exit::Done)
}

fn shown(listen: &Listen) -> String {
    match listen {
        Listen::Unix(path) => format!("unix:{}", path.display()),
        Listen::Tcp(address) => address.to_string(),
    }
}

/// That the files are being read again. `Type=notify-reload` asks for the moment, by the clock that nobody sets.
fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
}

/// Tells systemd, if it started this (sd_notify(3)).
fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| {
        let text = path.to_string_lossy();
        match text.strip_prefix('@') {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(state.as_bytes(), &address)
            }
            None => socket.send_to(state.as_bytes(), Path::new(&path)),
        }
    });
    if let Err(error) = sent {
        tracing::warn!("systemd cannot be told {state}: {error}");
    }
}

/// Half the time within which systemd wants to hear of us, if it does.
fn watchdog() -> Option<tokio::time::Interval> {
    let within: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (within > 0).then(|| tokio::time::interval(std::time::Duration::from_micros((within / 2).max(1))))
}

async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// TLS with a certificate and its key.
fn tls(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<TlsAcceptor>, Failure> {
    let (Some(cert), Some(key)) = (cert, key) else { return Ok(None) };
    let bad = |path: &Path, why: String| {
        let fault = Fault::new(FaultClass::Permanent, "HO1018", format!("{}: {why}", path.display()));
        Failure::new(Exit::BadInput, fault.hint("give a PEM file with the certificate and its chain, and one with its key"))
    };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(cert).map_err(|e| bad(cert, e.to_string()))?.collect();
    let chain = chain.map_err(|e| bad(cert, e.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| bad(cert, e.to_string()))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
