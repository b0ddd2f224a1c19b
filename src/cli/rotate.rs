//! `rotate`: plans, asks, begins, and follows it to its rest; where a daemon runs, through it (`through`).

use std::io::{BufRead, IsTerminal};

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Plan;

use super::args::RotateArgs;
use super::context::Context;
use super::failure::{Exit, Failure};
use super::follow::{Show, follow};
use super::out;
use crate::engine::{Who, plan_hash};
use crate::mutant::{Mutant, broken};
use crate::view;
use crate::view::style::visible;

pub(super) async fn run(context: &Context, args: RotateArgs) -> Result<Exit, Failure> {
    if let Some(wanted) = &args.hash {
        is_hash(wanted)?;
    }
    if !args.here
        && let Some(daemon) = super::through::daemon_for(context, &args).await?
    {
        return super::through::rotate(context, &daemon, &args).await;
    }
    let mut planned = super::plan::make(context, &args.plan, true).await?;
    let hash = plan_hash(&planned.prepared.plan);
    if let Some(wanted) = &args.hash {
        same(wanted, &planned.prepared.plan)?;
    }
    let agreed = args.yes || args.hash.is_some() || context.global.sandbox;
    if agreed {
        told_before(context, planned.prepared.warnings.iter().map(String::as_str));
    } else {
        agree(context, &planned.prepared.plan, &planned.prepared.told())?;
        // An answer may take its time: what was agreed to is looked at again.
        planned = super::plan::make(context, &args.plan, true).await?;
        same(&hash, &planned.prepared.plan)?;
    }
    let who = Who { by: whoami(), reason: reason(&args), trigger: None };
    let mut show = Show::new(context, 1);
    let signals = context.signals();
    let prepared = planned.prepared;
    let runner = planned.engine.begin(prepared.plan, planned.ports, prepared.old, &who).await;
    let runner = runner.map_err(|error| Failure::from(error).nothing_begun())?;
    show.begun(&runner).await?;
    follow(context, runner, show, args.wait, signals).await
}

/// What whoever has agreed already should know before it begins.
pub(super) fn told_before<'a>(context: &Context, warnings: impl Iterator<Item = &'a str>) {
    for warning in warnings {
        context.say(&format!("warning: {}", visible(warning)));
    }
}

/// Shows a plan, and asks.
pub(super) fn agree(context: &Context, plan: &Plan, told: &[String]) -> Result<(), Failure> {
    context.say(&view::plan::plan(plan, &plan_hash(plan), told, out::stderr_style()));
    ask(context)
}

/// What `plan` prints as its hash.
fn is_hash(text: &str) -> Result<(), Failure> {
    if text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
        return Ok(());
    }
    let fault = Fault::new(FaultClass::Permanent, "HO0448", format!("--plan {text:?} is not the hash of a plan"));
    Err(Failure::new(Exit::BadInput, fault.hint("it has 16 digits, and `handover plan` prints it")))
}

/// The plan that is carried out must be the one that was agreed to.
pub(super) fn same(wanted: &str, plan: &Plan) -> Result<(), Failure> {
    let hash = plan_hash(plan);
    if wanted == hash || broken(Mutant::HashIgnored) {
        return Ok(());
    }
    let scale = if plan.time_scale > 1 { format!(" --time-scale {}", plan.time_scale) } else { String::new() };
    let again = format!("handover plan {} --playbook {}{scale}", plan.credential, plan.playbook.name);
    let message = format!("the plan is {hash} now, not {wanted}: nothing was changed");
    let fault = Fault::new(FaultClass::Permanent, "HO0448", message);
    Err(Failure::new(Exit::Refused, fault.hint(format!("something changed since it was made: read `{again}` again"))))
}

/// In their words, and what they have vouched for: it belongs in the audit log.
fn reason(args: &RotateArgs) -> Option<String> {
    let vouched = args.plan.ended_elsewhere.join(", ");
    match (&args.reason, vouched.is_empty()) {
        (reason, true) => reason.clone(),
        (None, false) => Some(format!("(vouched that rotation {vouched} of another journal is over)")),
        (Some(reason), false) => Some(format!("{reason} (vouched that rotation {vouched} of another journal is over)")),
    }
}

fn ask(context: &Context) -> Result<(), Failure> {
    let refused = |message: &str, hint: &str| {
        Err(Failure::new(Exit::Refused, Fault::new(FaultClass::Permanent, "HO0449", message.to_owned()).hint(hint)))
    };
    if context.global.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return refused(
            "nobody was asked: there is no terminal",
            "give --yes, or --plan with the hash of a plan that was read",
        );
    }
    out::prompt("rotate now? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        refused("not agreed: nothing was changed", "answer y to go on")
    }
}

/// Who runs this, for the audit log: the login that started it, also under sudo.
pub(super) fn whoami() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok().filter(|n| !n.is_empty()));
    let name = name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain: String = format!("{name}@{host}").chars().filter(|c| !c.is_control()).take(120).collect();
    plain
}
