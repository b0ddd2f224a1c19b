//! Starts and stops a sandbox within this process. All state is on disk, so stopping, killing and starting again are the
//! same thing to whoever uses it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::deliver::Maildir;
use super::layout::{ENVIRONMENTS, HOST, Layout, Ports, credential_name, service_name};
use super::service::{Relay, Service, routes};
use super::smtp::{Port, Server, serve};
use super::{ca, env, inventory, own};
use crate::providers::sandbox::account::{Account, State, Terms};
use crate::providers::sandbox::files::{self, Lasting, file_fault, now_ms};
use crate::providers::sandbox::ledger::{DEFAULT_QUOTA, Ledger};
use crate::secret::Login;

/// The playbooks that come with Handover, for a sandbox far from the folder of the sources.
const PLAYBOOKS: [(&str, &str); 4] = [
    ("drill.yaml", include_str!("../../playbooks/drill.yaml")),
    ("scheduled.yaml", include_str!("../../playbooks/scheduled.yaml")),
    ("leak.yaml", include_str!("../../playbooks/leak.yaml")),
    ("emergency.yaml", include_str!("../../playbooks/emergency.yaml")),
];

/// What to start.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The folder of its state; made if it is not there.
    pub dir: PathBuf,
    /// The ports; `None` takes those it used last, or free ones.
    pub ports: Option<Ports>,
    /// How its provider keeps versions; `None` takes what the folder says, or reversible in a new one.
    pub shape: Option<Shape>,
    /// How many credentials it has; never fewer than it had.
    pub credentials: usize,
    /// How many services read each entry.
    pub services_per_entry: usize,
    /// How often each service sends a mail by itself.
    pub traffic: Option<Duration>,
}

impl SandboxOptions {
    /// One credential with two services, on free ports, in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ports: None, shape: None, credentials: 1, services_per_entry: 1, traffic: None }
    }
}

/// The way to start one.
#[derive(Debug)]
pub enum Sandbox {}

/// A sandbox that this process serves. It ends when this is dropped.
#[derive(Debug)]
pub struct RunningSandbox {
    layout: Layout,
    ports: Ports,
    notes: Vec<String>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    /// Held locked as long as it runs.
    _running: File,
}

impl Sandbox {
    /// Starts it: makes what is missing in the folder, then listens and serves in tasks of this runtime.
    ///
    /// # Errors
    /// The folder is in use, is somebody else's or cannot be used, or a port is taken.
    pub async fn start(options: SandboxOptions) -> Result<RunningSandbox, Fault> {
        let layout = Layout::new(&options.dir)?;
        own::check(&layout)?;
        let running = take_folder(&layout).await?;
        let (starttls, tls, http, ports) = listen(&layout, options.ports).await?;

        let prepared = {
            let (layout, options) = (layout.clone(), options.clone());
            tokio::task::spawn_blocking(move || prepare(&layout, &options, ports)).await
        };
        let gone = |_| Fault::new(FaultClass::Temporary, "HO0903", "the preparation of the sandbox was interrupted");
        let (server, services, notes) = prepared.map_err(gone)??;

        let (stop, stopped) = watch::channel(false);
        let mut tasks = vec![
            tokio::spawn(serve(Arc::clone(&server), starttls, Port::StartTls, stopped.clone())),
            tokio::spawn(serve(server, tls, Port::Implicit, stopped.clone())),
        ];
        if let Some(every) = options.traffic {
            for service in services.values() {
                tasks.push(tokio::spawn(until(stopped.clone(), Arc::clone(service).trickle(every))));
            }
        }
        let served = axum::serve(http, routes(Arc::new(services)));
        tasks.push(tokio::spawn(until(stopped, async {
            if let Err(error) = served.await {
                tracing::warn!(%error, "sandbox: the services have stopped");
            }
        })));
        Ok(RunningSandbox { layout, ports, notes, stop, tasks, _running: running })
    }
}

impl RunningSandbox {
    /// The folder, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// What is where in the folder.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The inventory that was written for it.
    #[must_use]
    pub fn inventory_path(&self) -> PathBuf {
        self.layout.inventory()
    }

    /// Where it listens.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// What a person should be told about its files: which of them were edited and left as they are.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Stops it and waits until nothing listens any more.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            drop(task.await);
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

async fn take_folder(layout: &Layout) -> Result<File, Fault> {
    files::private_dir(&layout.dir).map_err(|e| file_fault("HO0903", "make", &layout.dir, &e))?;
    let path = layout.running_lock();
    // More than once: somebody who only asks whether it runs holds the lock for an instant.
    for pause in [10, 50, 100] {
        match files::try_lock(&path).map_err(|e| file_fault("HO0903", "lock", &path, &e))? {
            Some(held) => return Ok(held),
            None => tokio::time::sleep(Duration::from_millis(pause)).await,
        }
    }
    let message = format!("another process runs the sandbox in {}", layout.dir.display());
    Err(Fault::new(FaultClass::Temporary, "HO0901", message).hint("stop it, or take another folder with --dir"))
}

/// Binds the ports asked for, or those used last as far as they are free, or free ones, and keeps them in mind.
async fn listen(layout: &Layout, asked: Option<Ports>) -> Result<(TcpListener, TcpListener, TcpListener, Ports), Fault> {
    let wished = match asked {
        Some(ports) => Some(ports),
        None => layout.last_ports()?,
    };
    let bind = async |port: Option<u16>| match port {
        Some(port) if asked.is_some() => TcpListener::bind(SocketAddr::new(HOST, port)).await,
        Some(port) => match TcpListener::bind(SocketAddr::new(HOST, port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => TcpListener::bind(SocketAddr::new(HOST, 0)).await,
            other => other,
        },
        None => TcpListener::bind(SocketAddr::new(HOST, 0)).await,
    };
    let trouble = |what: &str, port: Option<u16>, e: &io::Error| {
        let at = port.map_or_else(|| "a free port".to_owned(), |p| format!("port {p}"));
        Fault::new(FaultClass::Permanent, "HO0904", format!("cannot listen for {what} on {at}: {e}"))
            .hint("take other ports, or none: then free ones are chosen")
    };
    let mut listeners = Vec::new();
    let wishes =
        [("STARTTLS", wished.map(|p| p.starttls)), ("TLS", wished.map(|p| p.tls)), ("HTTP", wished.map(|p| p.http))];
    for (what, port) in wishes {
        let listener = bind(port).await.map_err(|e| trouble(what, port, &e))?;
        let port = listener.local_addr().map_err(|e| trouble(what, port, &e))?.port();
        listeners.push((listener, port));
    }
    let Ok([(starttls, a), (tls, b), (http, c)]) = <[_; 3]>::try_from(listeners) else {
        return Err(trouble("SMTP and HTTP", None, &io::ErrorKind::Other.into()));
    };
    let ports = Ports { starttls: a, tls: b, http: c };
    let path = layout.ports_file();
    let bytes = serde_json::to_vec(&ports).map_err(|e| file_fault("HO0903", "write", &path, &e.into()))?;
    files::replace(&path, &bytes, Lasting::Kill).map_err(|e| file_fault("HO0903", "write", &path, &e.into()))?;
    Ok((starttls, tls, http, ports))
}

type Prepared = (Arc<Server>, BTreeMap<String, Arc<Service>>, Vec<String>);

/// Makes everything that is missing in the folder. Each piece is made by itself and looked for first, so that a kill in the
/// middle is mended by the next start.
fn prepare(layout: &Layout, options: &SandboxOptions, ports: Ports) -> Result<Prepared, Fault> {
    let ledger = Ledger::make(&layout.dir, options.shape)?;
    let certificates = ca::load_or_make(layout)?;
    let services_dir = layout.services();
    files::private_dir(&services_dir).map_err(|e| file_fault("HO0903", "make", &services_dir, &e))?;

    for n in 0..options.credentials.max(1) {
        let name = credential_name(n);
        ledger.make_account(&name, |account| first_version(&ledger, account))?;
    }
    let credentials = ledger.accounts()?;
    let relay = Relay::new(layout, ports)?;
    let mut services = BTreeMap::new();
    for credential in &credentials {
        for entry in ENVIRONMENTS {
            let env_file = layout.env_file(credential, entry);
            write_env_file(&ledger, &env_file, credential, entry)?;
            for n in 0..options.services_per_entry {
                let name = service_name(credential, entry, n);
                let service = Service::start(layout, relay.clone(), &name, env_file.clone());
                services.insert(name, Arc::new(service));
            }
        }
    }
    let mut written = own::Written::load(layout)?;
    let by_hand = ledger.settings().shape == Shape::Manual;
    written.put(&layout.inventory(), &inventory::text(layout, ports, &credentials, options.services_per_entry, by_hand))?;
    let folder = layout.playbooks();
    std::fs::create_dir_all(&folder).map_err(|e| file_fault("HO0903", "make", &folder, &e))?;
    for (name, text) in PLAYBOOKS {
        written.put(&folder.join(name), text)?;
    }
    let notes = written.save()?;
    let mail = Maildir::open(layout.mail()).map_err(|e| file_fault("HO0903", "make", &layout.mail(), &e))?;
    Ok((Arc::new(Server { ledger: Arc::new(ledger), mail, certificates }), services, notes))
}

/// The version that an account begins with: made outside Handover, so it has no tag.
fn first_version(ledger: &Ledger, account: &mut Account) -> Result<(), Fault> {
    let shape = ledger.settings().shape;
    let terms = Terms { shape, quota: DEFAULT_QUOTA, now: now_ms(), delay: 0 };
    let secret = crate::providers::sandbox::account::new_password()?;
    account.create(&terms, None, Some(&secret)).map(drop)
}

fn write_env_file(ledger: &Ledger, path: &Path, credential: &str, entry: &str) -> Result<(), Fault> {
    if path.exists() {
        return Ok(());
    }
    let account = ledger.read(credential)?;
    let current = account.as_ref().and_then(|a| a.versions.iter().rev().find(|v| v.state == State::Active));
    let Some(current) = current else {
        let message = format!("account {credential} has no active version to write to {}", path.display());
        return Err(Fault::new(FaultClass::Permanent, "HO0908", message).hint("start over in an empty folder"));
    };
    let login = Login { username: current.username.clone(), password: current.password.duplicate() };
    let text = env::first_content(&service_name(credential, entry, 0), entry, &login);
    files::replace(path, text.as_bytes(), Lasting::PowerCut).map_err(|e| file_fault("HO0903", "write", path, &e.into()))
}
