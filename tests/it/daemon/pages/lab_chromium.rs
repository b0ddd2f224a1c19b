//! The pages in a browser: signing in on plain loopback, a rotation that is seen to move without a reload, a phone's width, and
//! nothing that the policy refuses. `HANDOVER_SCREENS=DIR` keeps pictures of every sort of page as well.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use handover::alerts::Report;
use handover::daemon::api::Role;
use handover::daemon::{Begin, Daemon};
use handover::journal::{AlertState, Register, SqliteJournal};
use handover::secret::Secret;
use handover_rotation::name::{CredentialName, RotationId};
use handover_rotation::state::Phase;

use super::super::{House, address, run, until};
use super::{GATE, playbook, token};
use crate::support::World;
use crate::support::lab::chromium::Chromium;

/// The narrowest phone.
const PHONE: u32 = 360;

/// Where pictures go, if they are wanted.
fn screens() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("HANDOVER_SCREENS")?);
    std::fs::create_dir_all(&folder).expect("a folder");
    Some(folder)
}

/// The browser at an address of the daemon.
struct Look {
    browser: Chromium,
    address: SocketAddr,
}

impl Look {
    fn open(&mut self, path: &str) {
        let address = format!("http://{}{path}", self.address);
        self.browser.open(&address);
    }

    /// Nothing of the page may stand outside of a phone; pictures at both widths, where they are wanted, and its text for those who
    /// try another style.
    fn see(&mut self, name: &str) {
        if let Some(folder) = screens() {
            let text = self.browser.value("document.documentElement.outerHTML");
            std::fs::write(folder.join(format!("{name}.html")), text.as_str().expect("text")).expect("it writes");
        }
        for (width, dark) in [(PHONE, false), (390, true), (1280, false), (1280, true)] {
            self.browser.shape(width, dark);
            let over = self.browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(over, 0, "{name} is wider than {width}");
            if let Some(folder) = screens()
                && width != PHONE
            {
                let scheme = if dark { "dark" } else { "light" };
                self.browser.picture(&folder.join(format!("{name}-{width}-{scheme}.png")));
            }
        }
    }
}

async fn begin(daemon: &Daemon, credential: &str, playbook: &str, scale: u32) -> RotationId {
    let begin = Begin {
        credential: CredentialName::new(credential).expect("a name"),
        playbook: playbook.to_owned(),
        plan: None,
        by: "ana@ops".to_owned(),
        reason: Some("before the audit of spring".to_owned()),
        trigger: None,
        time_scale: scale,
        replaces: None,
    };
    daemon.crew.begin(&begin).await.expect("it begins")
}

async fn leak(daemon: &Daemon, house: &House, credential: &str, digest: u8) {
    let text =
        std::fs::read_to_string(house.world.dir().join(format!("services/{credential}-production.env"))).expect("an entry");
    let line = text.lines().find_map(|line| line.strip_prefix("SMTP_PASSWORD=")).expect("a password");
    let mut report = Report::new("gitguardian", "incident 4711: SMTP login in deploy/mail.env");
    report = report.raw(vec![Secret::new(line.trim_matches(['\'', '"']).to_owned())]);
    report.url = Some("https://dashboard.gitguardian.example/incidents/4711".to_owned());
    daemon.desk.take_in([digest; 32], vec![report]).await.expect("it is kept");
}

async fn phase(daemon: &Daemon, id: &RotationId, wanted: impl Fn(&handover_rotation::state::Rotation) -> bool) {
    until("the phase", || async {
        let rotation = daemon.desk.rotation(id).await.expect("it folds");
        wanted(&rotation).then_some(())
    })
    .await;
}

#[test]
fn pages_in_a_browser_move_by_themselves_fit_a_phone_and_keep_their_policy() {
    let house = House::within(World::with(&["--credentials", "4"]));
    playbook(&house, "gated", &[GATE]);
    playbook(&house, "stopping", &[("on_failure: roll-back", "on_failure: stop")]);
    run(async {
        let (daemon, journal) = house.daemon().await;
        let key = token(&journal, "ana", Role::Approver).await;
        let mut look = Look {
            browser: tokio::task::spawn_blocking(Chromium::start).await.expect("it starts"),
            address: address(&daemon),
        };
        look.open("/alerts");
        look.see("login");
        look.browser.write("#token", &key);
        look.browser.press("form button");
        // The cookie was taken, it leads to where one wanted to go, and no script can read it.
        look.browser.until("location.pathname === '/alerts' && document.querySelector('h1').innerText === 'Leak alerts'");
        assert_eq!(look.browser.value("document.cookie"), "");
        look.open("/");
        look.browser.until("document.querySelector('h1').innerText.includes('Nothing needs you')");
        look.see("home-nothing");
        look.open("/credentials/newsletter");
        look.see("credential");
        look.browser.press("form[action$='/plan'] button");
        look.browser.until("document.querySelector('h1').innerText.startsWith('Plan: rotate newsletter')");
        look.see("plan");

        if screens().is_some() {
            house.world.fault("slow=250ms");
        }
        let gated = begin(&daemon, "newsletter", "gated", 1).await;
        look.open(&format!("/rotations/{gated}"));
        // Gone with any reload.
        look.browser.value("window.kept = 1");
        if screens().is_some() {
            look.browser.until("document.querySelectorAll('.steps .state.good').length >= 6");
            look.see("rotation-live");
            house.world.fault("slow=off");
        }
        look.browser.until("document.querySelector('h1').innerText.includes('WAITING')");
        look.see("rotation-waiting");
        assert_eq!(look.browser.value("window.kept"), 1, "it was not loaded anew");
        if screens().is_some() {
            every_sort(&house, &daemon, &journal, &mut look).await;
            look.open(&format!("/rotations/{gated}"));
        }
        look.browser.press("a[href$='/approve']");
        look.see("approve");
        look.browser.write("#typed", "newsletter");
        look.browser.press("form[action$='/approve'] button");
        look.browser.until("document.querySelector('h1').innerText.includes('DONE')");
        look.see("rotation-done");
        look.browser.press("form[action='/logout'] button");
        look.browser.until("location.pathname === '/login'");

        let wrong: Vec<_> = look
            .browser
            .told
            .iter()
            .filter(|told| match told["method"].as_str() {
                Some("Runtime.exceptionThrown") => true,
                // Advice of the browser's is none; that nobody was signed in at first is as it should be.
                Some("Log.entryAdded") => {
                    let entry = &told["params"]["entry"];
                    let grave = ["warning", "error"].iter().any(|level| entry["level"] == *level);
                    grave && !entry["text"].as_str().is_some_and(|text| text.contains("401"))
                }
                _ => false,
            })
            .collect();
        assert!(wrong.is_empty(), "the browser complains: {wrong:?}");
        drop(look);
        daemon.stop().await;
    });
}

/// One that is stuck, a leak that is contained and one that is not: for pictures only.
async fn every_sort(house: &House, daemon: &Daemon, journal: &Arc<SqliteJournal>, look: &mut Look) {
    house.world.fault("ignore-reload=newsletter2-staging");
    let stuck = begin(daemon, "newsletter2", "stopping", 8).await;
    phase(daemon, &stuck, |rotation| matches!(rotation.phase, Phase::Stuck { .. })).await;
    house.world.fault("none");
    leak(daemon, house, "newsletter3", 1).await;
    until("the closed alert", || async {
        let closed = journal.alerts(Some(AlertState::Closed), 10).await.expect("they are there");
        (!closed.is_empty()).then_some(())
    })
    .await;
    house.world.fault("provider-down");
    leak(daemon, house, "newsletter4", 2).await;
    look.open("/");
    look.browser.until("document.body.innerText.includes('NOT BEGUN')");
    look.see("home-needs");
    look.open("/alerts");
    look.see("alerts");
    look.open(&format!("/rotations/{stuck}"));
    look.see("rotation-stuck");
    look.open(&format!("/rotations/{stuck}/abort"));
    look.see("abort");
    house.world.fault("none");
    until("the second containment", || async {
        let closed = journal.alerts(Some(AlertState::Closed), 10).await.expect("they are there");
        (closed.len() == 2).then_some(())
    })
    .await;
}
