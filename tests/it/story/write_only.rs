//! An entry that nobody can read, secrets of GitHub Actions, beside env files: what a rotation knows of it and proves by its job.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use serde_json::json;

use super::{clean, ends, live, playbook};
use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, WAITING};
use crate::support::lab::clouds::github::{Github, Token};
use crate::support::lab::clouds::{Cloud, Said, Served};
use crate::support::lab::vendors::Asked;
use crate::support::{Case, Run, World, service};

const PLACE: &str = "repos/acme/news/actions";
const MARK: &str = "SMTP_PASSWORD_HANDOVER";

/// A job that uses the secrets that were there when it was started.
struct Job {
    github: Arc<Served<Github>>,
    uses: Mutex<(String, String)>,
}

impl Cloud for Job {
    fn answer(&mut self, asked: &Asked) -> Said {
        let mut uses = self.uses.lock().expect("the login");
        if asked.path.last().is_some_and(|last| last == "reload") {
            let github = self.github.state();
            *uses = (github.value(PLACE, "SMTP_USERNAME"), github.value(PLACE, "SMTP_PASSWORD"));
            return Said::new(200, json!({}));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, uses.1.as_bytes());
        let proof = hmac::sign(&key, asked.query("challenge").expect("a challenge").as_bytes());
        Said::new(200, json!({"username": uses.0, "proof": hex::encode(proof.as_ref())}))
    }
}

/// A sandbox with a third entry, in a GitHub of its own.
struct Scene {
    world: World,
    github: Arc<Served<Github>>,
    _runtime: tokio::runtime::Runtime,
}

impl Scene {
    /// `attests`: whether the job can be asked what it uses.
    fn start(attests: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let world = World::start();
        let github = Arc::new(runtime.block_on(Served::start(Github::new())));
        let token = Token { writes_secrets: true, writes_variables: true, pushes: true, ..Token::default() };
        github.state().tokens.insert("t".to_owned(), token);
        let token = world.dir().join("token");
        std::fs::write(&token, "t").expect("it is written");
        let held = service::held(&world.env_file("production"));
        github.state().put(PLACE, "SMTP_USERNAME", &held.0);
        github.state().put(PLACE, "SMTP_PASSWORD", &held.1);
        let job = Job { github: Arc::clone(&github), uses: Mutex::new(held) };
        let job = runtime.block_on(Served::start(job));
        let url = format!("http://127.0.0.1:{}", job.port);
        let inventory = world.dir().join("inventory.yaml");
        let text = std::fs::read_to_string(&inventory).expect("the inventory");
        let address = format!("http://127.0.0.1:{}", github.port);
        let store =
            format!("  ci: {{kind: github-actions, address: \"{address}\", token: {{file: \"{}\"}}}}\n", token.display());
        let entry = "      ci:\n        store: ci\n        path: acme/news\n        fields: {username: SMTP_USERNAME, password: \
                     SMTP_PASSWORD}\n        environment: production\n";
        let mut service = format!(
            "services:\n  job:\n    credential: newsletter\n    entry: ci\n    environment: production\n    reload: {{http: {{url: \
             \"{url}/reload\"}}}}\n"
        );
        if attests {
            service.push_str(&format!("    attest: {{http: {{url: \"{url}/attest\"}}}}\n"));
        }
        let text = text.replacen("credentials:\n", &format!("{store}credentials:\n"), 1);
        let text = text.replacen("    entries:\n", &format!("    entries:\n{entry}"), 1);
        std::fs::write(world.dir().join("three.yaml"), text.replacen("services:\n", &service, 1)).expect("it is written");
        Self { world, github, _runtime: runtime }
    }

    fn case(&self, name: &str) -> Case<'_> {
        self.world.case(name).scale(8).inventory(self.world.dir().join("three.yaml"))
    }

    fn secrets(&self) -> (String, String) {
        let github = self.github.state();
        (github.value(PLACE, "SMTP_USERNAME"), github.value(PLACE, "SMTP_PASSWORD"))
    }
}

/// What it said, lines that were folded joined.
fn unfolded(run: &Run) -> String {
    run.said().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_entry_that_nobody_can_read_is_moved_forth_and_back_and_known_again() {
    let scene = Scene::start(true);
    let case = scene.case("one");
    let run = case.clone().in_words().run(&["plan", "newsletter", "--playbook", "drill"]);
    ends(&run, DONE);
    for word in ["gives no value back", "has not written it before", "only trying will show"] {
        assert!(unfolded(&run).contains(word), "{word}: {run}");
    }
    assert_eq!(scene.github.state().changes, Vec::<String>::new());
    ends(&case.rotate("drill"), DONE);
    clean(&scene.world, &live(&scene.world));
    assert_eq!(scene.secrets(), service::held(&scene.world.env_file("production")));
    // What is written is known again by the next rotation of this journal, and another is rolled back to it.
    let known = case.clone().in_words().run(&["plan", "newsletter", "--playbook", "drill"]);
    ends(&known, DONE);
    assert!(!unfolded(&known).contains("has not written it before"), "{known}");
    let before = scene.secrets();
    playbook(&scene.world, "long", "soak: {for: 2s}", "soak: {for: 10m}");
    let mut going = case.rotating("long");
    going.wait_for_step(8).expect("it comes to the soak");
    assert_ne!(scene.secrets(), before);
    ends(&case.run(&["abort", "newsletter"]), WAITING);
    ends(&going.end(), ROLLED_BACK);
    assert_eq!(scene.secrets(), before);
    clean(&scene.world, &live(&scene.world));
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    // Somebody sets a secret by hand: that is seen, and not written over.
    scene.github.state().put(PLACE, "SMTP_PASSWORD", "set-by-someone-else");
    let run = case.rotate("drill");
    ends(&run, REFUSED);
    assert!(run.said().contains("HO0497") && run.said().contains(MARK), "{run}");
    assert_eq!(scene.secrets().1, "set-by-someone-else");
    // They say that it was the current login: without its mark it counts as not known.
    scene.github.state().put(PLACE, "SMTP_PASSWORD", &before.1);
    scene.github.state().variables.clear();
    ends(&case.rotate("drill"), DONE);
    assert_eq!(scene.secrets(), service::held(&scene.world.env_file("production")));
}

#[test]
fn an_entry_that_nobody_can_read_needs_a_service_that_tells_what_it_uses() {
    let scene = Scene::start(false);
    let run = scene.case("one").rotate("drill");
    ends(&run, REFUSED);
    // A service that cannot say which version it uses is refused as well: with its word nobody else is needed.
    assert!(["HO0444", "HO0496"].iter().any(|code| run.said().contains(code)), "{run}");
    assert_eq!(scene.github.state().changes, Vec::<String>::new());
}

#[test]
fn a_write_that_died_with_the_process_is_written_again_before_anything_else() {
    let scene = Scene::start(true);
    let case = scene.case("one");
    let mut killed = 0;
    for crash in ["write.before#3", "write.after#2"] {
        let case = case.clone().env("HANDOVER_CRASH_AT", crash);
        let run = case.rotate("drill");
        killed += usize::from(run.was_killed());
        ends(&scene.case("one").resume(), DONE);
        clean(&scene.world, &live(&scene.world));
        assert_eq!(scene.secrets(), service::held(&scene.world.env_file("production")), "{crash}");
    }
    assert_eq!(killed, 2);
}
