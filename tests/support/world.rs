//! A world: one sandbox in a process of its own, in a folder that goes away with it; and cases, each with a state folder of
//! its own, so that many rotations can be tried in one world one after the other.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use handover::engine::replay;
use handover::journal::{Filter, Journal, Options, SqliteJournal};
use tempfile::TempDir;

use super::ledger::{Account, Status};
use super::run::{Going, Run};
use super::{HANDOVER, service};

pub(crate) const CREDENTIAL: &str = "newsletter";
const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

/// Memory where there is such a folder: what is tried here is the death of processes, not of disks.
pub(super) fn quick_folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// A running sandbox.
pub(crate) struct World {
    folder: TempDir,
    sandbox: Option<Child>,
    http_port: u16,
    /// What the env files had beside the login at first.
    rest: BTreeMap<PathBuf, Vec<u8>>,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a sandbox with more arguments.
    pub(crate) fn with(args: &[&str]) -> Self {
        Self::within(
            tempfile::Builder::new().prefix("handover-it-").tempdir_in(quick_folder()).expect("a temporary folder"),
            args,
        )
    }

    /// Starts a sandbox in a folder that it then has for itself.
    pub(crate) fn within(folder: TempDir, args: &[&str]) -> Self {
        let mut world = Self { folder, sandbox: None, http_port: 0, rest: BTreeMap::new() };
        world.serve(args);
        let read = |p: PathBuf| {
            let rest = service::rest(&std::fs::read(&p).expect("the env file is there"));
            (p, rest)
        };
        world.rest = ENVIRONMENTS.map(|e| read(world.env_file(e))).into();
        world
    }

    /// Starts the sandbox's process; it has said that it runs when this returns.
    pub(crate) fn serve(&mut self, args: &[&str]) {
        let mut command = Command::new(HANDOVER);
        command.args(["sandbox", "--json", "--dir"]).arg(self.dir()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the sandbox starts");
        let stdout = child.stdout.take().expect("piped");
        self.sandbox = Some(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the sandbox speaks");
        assert!(line.contains(r#""event":"sandbox""#), "the sandbox said {line:?}");
        let out = Command::new(HANDOVER).args(["sandbox", "--status", "--json", "--dir"]).arg(self.dir()).output();
        let out = out.expect("the program starts");
        let status: Status =
            serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
        assert!(status.running);
        let inventory = std::fs::read_to_string(self.dir().join("inventory.yaml")).expect("the inventory is there");
        let port = inventory.split("http://127.0.0.1:").nth(1).and_then(|t| t.split('/').next()).expect("a service's url");
        self.http_port = port.parse().expect("a port");
    }

    /// Ends the sandbox's process without a warning.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.sandbox.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn http_port(&self) -> u16 {
        self.http_port
    }

    pub(crate) fn env_file(&self, environment: &str) -> PathBuf {
        self.dir().join(format!("services/{CREDENTIAL}-{environment}.env"))
    }

    /// What `sandbox --status --json` says, without a process for it: the sweeps ask thousands of times.
    pub(crate) fn status(&self) -> Status {
        let status = handover::sandbox::status(self.dir()).expect("the books can be read");
        serde_json::from_value(serde_json::to_value(status).expect("JSON")).expect("the books are as they were")
    }

    pub(crate) fn account(&self) -> Account {
        self.status().account(CREDENTIAL).clone()
    }

    /// Switches a fault, as a person would.
    pub(crate) fn fault(&self, fault: &str) {
        let mut command = Command::new(HANDOVER);
        let out = command.args(["sandbox", "--fault", fault, "--dir"]).arg(self.dir()).output().expect("the program starts");
        assert!(out.status.success(), "--fault {fault}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// A case with a fresh state folder.
    pub(crate) fn case(&self, name: &str) -> Case<'_> {
        let inventory = self.dir().join("inventory.yaml");
        Case {
            world: self,
            state: self.dir().join(format!("state-{name}")),
            inventory,
            scale: 1,
            env: Vec::new(),
            words: false,
        }
    }

    /// The passwords that the provider has given out, by the version's id, from its own file.
    pub(crate) fn passwords(&self) -> BTreeMap<String, String> {
        let text = std::fs::read(self.dir().join(format!("accounts/{CREDENTIAL}.json"))).expect("the account is there");
        let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let versions = json["versions"].as_array().expect("versions").iter();
        versions.map(|v| (text_of(&v["id"]), text_of(&v["password"]))).collect()
    }

    /// What is wrong with the way things stand: exactly one version must be kept, `wanted` if it is given, every entry must
    /// hold it with all its other bytes untouched, and every service must prove that it presents it.
    pub(crate) fn unclean(&self, wanted: Option<&str>) -> Vec<String> {
        self.unclean_by(&self.status(), wanted)
    }

    /// The same, where the books were read already. `wanted` is the id of the version that must be live.
    pub(crate) fn unclean_by(&self, status: &Status, wanted: Option<&str>) -> Vec<String> {
        let account = status.account(CREDENTIAL);
        let mut wrong = Vec::new();
        let active = account.active();
        let (id, live) = match active.as_slice() {
            [one] => (one.id.clone(), one.username.clone()),
            several => {
                wrong.push(format!("{} versions are active: {several:?}", several.len()));
                return wrong;
            }
        };
        if let Some(wanted) = wanted.filter(|w| *w != id) {
            wrong.push(format!("{id} is live, not {wanted}"));
        }
        if account.most_at_once() > 2 {
            wrong.push(format!("{} versions were kept at one time: {:?}", account.most_at_once(), account.versions));
        }
        let passwords = self.passwords();
        for (path, rest) in &self.rest {
            let bytes = std::fs::read(path).unwrap_or_default();
            if service::rest(&bytes) != *rest {
                wrong.push(format!("{} has other bytes changed", path.display()));
            }
            let (username, password) = service::held(path);
            if username != live || passwords.get(&id) != Some(&password) {
                wrong.push(format!("{} holds {username}, not {live} with its password", path.display()));
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match service::presents(self.http_port, &name, &password) {
                Ok(presented) if presented == live => {}
                Ok(presented) => wrong.push(format!("{name} presents {presented}, not {live}")),
                Err(why) => wrong.push(why),
            }
        }
        wrong
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

fn text_of(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// One rotation to be tried in a world, with a journal of its own.
#[derive(Clone)]
pub(crate) struct Case<'a> {
    world: &'a World,
    pub(crate) state: PathBuf,
    inventory: PathBuf,
    scale: u32,
    env: Vec<(&'static str, String)>,
    words: bool,
}

impl Case<'_> {
    /// Divides the waits of the playbook.
    pub(crate) fn scale(mut self, scale: u32) -> Self {
        self.scale = scale;
        self
    }

    /// What a person reads, instead of JSON.
    pub(crate) fn in_words(mut self) -> Self {
        self.words = true;
        self
    }

    /// Takes another inventory than the sandbox's own.
    pub(crate) fn inventory(mut self, path: PathBuf) -> Self {
        self.inventory = path;
        self
    }

    /// Sets a variable for every run.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// A command with the sandbox's files and this case's journal.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let dir = self.world.dir();
        let mut command = Command::new(HANDOVER);
        command.args(args);
        command.arg("--inventory").arg(&self.inventory);
        command.arg("--playbooks").arg(dir.join("playbooks"));
        command.arg("--state").arg(&self.state);
        if !self.words {
            command.arg("--json");
        }
        command.envs(self.env.iter().map(|(k, v)| (*k, v.as_str())));
        command
    }

    pub(crate) fn rotation_command(&self, playbook: &str) -> Command {
        let scale = self.scale.to_string();
        self.command(&["rotate", CREDENTIAL, "--playbook", playbook, "--yes", "--time-scale", &scale])
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Going::start(self.command(args)).end()
    }

    pub(crate) fn rotate(&self, playbook: &str) -> Run {
        Going::start(self.rotation_command(playbook)).end()
    }

    pub(crate) fn rotating(&self, playbook: &str) -> Going {
        Going::start(self.rotation_command(playbook))
    }

    pub(crate) fn resume(&self) -> Run {
        self.run(&["resume", CREDENTIAL])
    }

    /// What is wrong with the journal: the chain, an end that is not clean, a secret that is still there. `ended` says whether
    /// every rotation in it must have ended.
    pub(crate) fn broken_journal(&self, ended: bool) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let state = self.state.clone();
        runtime.block_on(async move {
            let journal = match SqliteJournal::open(Options::new(state)) {
                Ok(journal) => journal,
                Err(error) => return vec![format!("the journal cannot be opened: {error}")],
            };
            let mut wrong = Vec::new();
            if let Err(error) = journal.verify().await {
                wrong.push(format!("the journal does not verify: {error}"));
            }
            for header in journal.list(Filter::default()).await.expect("the journal lists") {
                let rows = journal.load(&header.id).await.expect("the rows load");
                match replay(&header.id, &rows) {
                    Ok(rotation) => {
                        wrong.extend(handover_rotation::invariant::unclean_end(&rotation));
                        if ended && rotation.ended().is_none() {
                            wrong.push(format!("{} has not ended: {:?}", header.id, rotation.phase));
                        }
                    }
                    Err(error) => wrong.push(format!("{} does not fold: {error}", header.id)),
                }
                for slot in (0..4).map(|n| format!("slot-{n}")).filter(|_| header.finished) {
                    if journal.sealed(&header.id, &slot).await.expect("the journal reads").is_some() {
                        wrong.push(format!("{} has ended and still keeps the sealed secret {slot}", header.id));
                    }
                }
            }
            wrong
        })
    }
}
