//! What preflight asks of this machine: room for the journal, a journal that can be written, a clock that can be right (P7, P8);
//! and of the provider: that it lets us (P2). Where one is missing nothing has changed.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use handover::cli::host::{Found, judge};
use handover::config::load::load_inventory;
use handover::config::playbooks::load_playbooks;
use handover::engine::clock::SystemClock;
use handover::engine::ports::Ports;
use handover::engine::prepare::{Options, Prepared, prepare};
use handover::engine::{Breakers, Engine, EngineError, Rest, Signal, Silent, Who};
use handover::journal::{self, Owner, SqliteJournal, open_sealer};
use handover::providers::{CreatedVersion, ListedVersion, Permitted, Provider};
use handover::registry::Registry;
use handover::secret::Secret;
use handover_rotation::event::Ending;
use handover_rotation::name::{CredentialName, Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::ProviderFacts;
use tokio::sync::watch;

use crate::support::exit::{DONE, ERROR};
use crate::support::world::CREDENTIAL;
use crate::support::{Going, World};

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn files(world: &World) -> [Vec<u8>; 2] {
    ["staging", "production"].map(|e| std::fs::read(world.env_file(e)).expect("the entry is there"))
}

type Host = dyn Fn() -> Result<(), Fault> + Send + Sync;

async fn engine(state: &Path, host: Arc<Host>) -> Engine {
    let journal = Arc::new(SqliteJournal::open(journal::Options::new(state)).expect("the journal opens"));
    let sealer = open_sealer(journal.as_ref(), &state.join("seal.key")).await.expect("it has a key");
    Engine {
        journal,
        sealer: Arc::new(sealer),
        clock: Arc::new(SystemClock),
        owner: Owner::current().expect("this process"),
        breakers: Breakers::default(),
        hashes: |_| Vec::new(),
        host,
    }
}

/// A plan of the drill; `change` may put other adapters in.
async fn planned(
    world: &World,
    engine: &Engine,
    playbook: &str,
    change: impl FnOnce(&mut Ports),
) -> (Result<Prepared, EngineError>, Arc<Ports>) {
    let inventory = load_inventory(&world.dir().join("inventory.yaml"), &Registry).expect("an inventory");
    let playbooks = load_playbooks(&world.dir().join("playbooks")).expect("playbooks");
    let name = CredentialName::new(CREDENTIAL).expect("a name");
    let mut ports = Registry.ports(&inventory, &name).expect("adapters");
    change(&mut ports);
    let ports = Arc::new(ports);
    let prepared = prepare(
        &inventory,
        &name,
        &playbooks[playbook],
        &ports,
        &engine.sealer,
        Options { time_scale: 8, ..Options::default() },
    )
    .await;
    (prepared, ports)
}

#[test]
fn p7_p8_a_machine_without_room_or_time_refuses_and_nothing_has_changed() {
    let world = World::start();
    let (account, held) = (world.account(), files(&world));
    let sound = Found { free: 64 << 20, wall_ms: 1_795_000_000_000, newest_ms: Some(1_795_000_000_000) };
    let table = [
        (Found { free: (64 << 20) - 1, ..sound }, Some("HO0454")),
        (Found { wall_ms: 1_600_000_000_000, ..sound }, Some("HO0455")),
        (Found { newest_ms: Some(1_800_000_000_000), ..sound }, Some("HO0455")),
        (sound, None),
    ];
    for (found, refused) in table {
        let state = tempfile::tempdir().expect("a folder");
        wait(async {
            let folder = state.path().to_path_buf();
            let engine = engine(state.path(), Arc::new(move || judge(&folder, found))).await;
            let (prepared, ports) = planned(&world, &engine, "drill", |_| {}).await;
            let prepared = prepared.unwrap_or_else(|e| panic!("{e}"));
            let who = Who { by: "a test".to_owned(), reason: None, trigger: None };
            let mut runner = engine.begin(prepared.plan, ports, prepared.old, &who).await.unwrap_or_else(|e| panic!("{e}"));
            let (_keep, mut signal) = watch::channel(Signal::Run);
            let rest = runner.run(true, &mut signal, &mut Silent).await.unwrap_or_else(|e| panic!("{e}"));
            let code = runner.rotation().failure.as_ref().map(|f| f.fault.code.clone());
            match refused {
                Some(wanted) => {
                    assert_eq!(rest, Rest::Ended(Ending::Refused), "{found:?}");
                    assert_eq!(code.as_deref(), Some(wanted), "{found:?}");
                    assert!(handover::explain::page(wanted).is_some());
                }
                None => assert_eq!((rest, code), (Rest::Ended(Ending::Done), None), "{found:?}"),
            }
        });
        if refused.is_some() {
            assert_eq!((world.account(), files(&world)), (account.clone(), held.clone()), "{found:?}");
        }
    }
    assert_ne!(world.account(), account, "the sound one has rotated");
}

#[test]
fn p7_where_the_journal_cannot_be_written_nothing_is_begun() {
    let world = World::start();
    let (account, held) = (world.account(), files(&world));
    for kilobytes in ["0", "4", "16"] {
        let case = world.case(kilobytes).scale(8);
        let rotation = case.rotation_command("drill");
        let mut shell = Command::new("/bin/bash");
        shell.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", kilobytes]);
        shell.arg(rotation.get_program()).args(rotation.get_args());
        let run = Going::start(shell).end();
        assert_eq!(run.code(), ERROR, "{kilobytes} kB: {run}");
        assert_eq!((world.account(), files(&world)), (account.clone(), held.clone()), "{kilobytes} kB: {run}");
        let code = run.finished()["fault"]["code"].as_str().unwrap_or_default().to_owned();
        assert!(handover::explain::page(&code).is_some(), "{kilobytes} kB: {run}");
    }
    assert_eq!(world.case("roomy").scale(8).rotate("drill").code(), DONE);
}

/// The sandbox, with another word on what it permits.
struct Asked {
    sandbox: Arc<dyn Provider>,
    says: fn() -> Outcome<Permitted>,
}

#[async_trait]
impl Provider for Asked {
    fn facts(&self) -> ProviderFacts {
        self.sandbox.facts()
    }
    async fn permitted(&self, _account: &str) -> Outcome<Permitted> {
        (self.says)()
    }
    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        self.sandbox.list(account).await
    }
    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        self.sandbox.create(account, tag, secret).await
    }
    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()> {
        self.sandbox.disable(account, id).await
    }
    async fn enable(&self, account: &str, id: &VersionId, secret: Option<&Secret>) -> Outcome<()> {
        self.sandbox.enable(account, id, secret).await
    }
    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        self.sandbox.delete(account, id).await
    }
}

#[test]
fn p2_what_a_provider_says_of_its_permissions_is_told_or_refuses() {
    let world = World::start();
    let state = tempfile::tempdir().expect("a folder");
    let denied = || {
        let fault = Fault::new(FaultClass::Permanent, "HO0509", "iam:UpdateAccessKey is missing");
        Outcome::NotDone(fault.hint("attach the policy"))
    };
    wait(async {
        let engine = engine(state.path(), Arc::new(|| Ok(()))).await;
        let plan = async |playbook, says: Option<fn() -> Outcome<Permitted>>| {
            let change = |ports: &mut Ports| {
                if let Some(says) = says {
                    ports.provider = Arc::new(Asked { sandbox: Arc::clone(&ports.provider), says });
                }
            };
            planned(&world, &engine, playbook, change).await.0
        };
        let warnings = |prepared: Result<Prepared, EngineError>| prepared.unwrap_or_else(|e| panic!("{e}")).warnings;
        assert_eq!(warnings(plan("drill", None).await), Vec::<String>::new(), "the sandbox can tell");
        let told = warnings(plan("drill", Some(|| Outcome::Done(Permitted::CannotTell))).await);
        let wanted =
            "provider sandbox cannot tell whether we may create, disable and delete versions: only trying will show";
        assert_eq!(told, [wanted]);
        let unanswered = || Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0401", "no answer within 2s"));
        let told = warnings(plan("drill", Some(unanswered)).await);
        assert!(told.len() == 1 && told[0].contains("did not tell") && told[0].contains("no answer within 2s"), "{told:?}");
        let Err(EngineError::Refused(refusal)) = plan("drill", Some(denied)).await else { panic!("it is refused") };
        assert_eq!(refusal.fault.code, "HO0468");
        assert_eq!(refusal.fault.hint.as_deref(), Some("iam:UpdateAccessKey is missing; attach the policy"));
        assert!(handover::explain::page("HO0468").is_some());
        // A leak is told, and not held up.
        let told = warnings(plan("leak", Some(denied)).await);
        assert!(told.iter().any(|w| w.contains("we may not") && w.contains("iam:UpdateAccessKey")), "{told:?}");
    });
}
