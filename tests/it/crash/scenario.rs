//! What is played while processes are killed: a playbook, what divides its waits, and the world that it meets.

use crate::support::aftermath::Broken;
use crate::support::{Case, World, exit};

pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) playbook: &'static str,
    /// Divides the waits, so that a run takes a second.
    scale: u32,
    /// What the sandbox is started with besides.
    args: &'static [&'static str],
    fault: Option<&'static str>,
    /// How it ends when nothing is killed.
    pub(super) ends: i32,
    /// Whether services are refused meanwhile.
    mail_stops: bool,
    /// Of its points, only every so many are tried.
    #[cfg_attr(not(feature = "crash-points"), expect(dead_code, reason = "only the sweep asks"))]
    pub(super) every: usize,
    /// Kinds of points that it must pass.
    #[cfg_attr(not(feature = "crash-points"), expect(dead_code, reason = "only the sweep asks"))]
    pub(super) passes: &'static [&'static str],
}

/// How often each service sends by itself, in milliseconds. More often costs a fifth of the time and shows no more: a thousand
/// rotations have thousands of these mails.
pub(super) const TRAFFIC: &str = "2500";

const FORWARD: &[&str] =
    &["append", "create", "write", "reload", "send", "test-send", "attest", "auth", "disable", "delete"];

const fn shipped(playbook: &'static str, scale: u32, mail_stops: bool) -> Scenario {
    let (args, fault, ends) = (&[], None, exit::DONE);
    Scenario { name: playbook, playbook, scale, args, fault, ends, mail_stops, every: 1, passes: FORWARD }
}

/// The shipped playbooks, and ways that they do not take by themselves.
pub(super) const SCENARIOS: &[Scenario] = &[
    shipped("drill", 8, false),
    shipped("scheduled", 86_400, false),
    shipped("leak", 1, false),
    shipped("emergency", 1, true),
    Scenario {
        name: "rolls-back",
        fault: Some("ignore-reload=newsletter-production"),
        ends: exit::ROLLED_BACK,
        every: 3,
        passes: &["append", "create", "write", "reload", "attest", "auth", "delete"],
        ..shipped("scheduled", 86_400, false)
    },
    Scenario {
        name: "in-place",
        args: &["--shape", "in-place"],
        every: 3,
        passes: &["append", "create", "write", "reload", "send", "test-send", "attest", "auth"],
        ..shipped("drill", 8, true)
    },
];

impl Scenario {
    /// A world for it.
    pub(super) fn world(&self, args: &[&str]) -> World {
        let world = World::with(&[self.args, args].concat());
        if let Some(fault) = self.fault {
            world.fault(fault);
        }
        world
    }

    pub(super) fn case<'w>(&self, world: &'w World, name: &str) -> Case<'w> {
        world.case(name).scale(self.scale)
    }

    pub(super) fn broken(&self, times: usize) -> Broken<'_> {
        let in_place = self.args.contains(&"in-place");
        Broken { playbook: self.playbook, times, mail_stops: self.mail_stops, in_place }
    }
}
