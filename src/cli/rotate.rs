//! `rotate`: plans, asks, begins, and follows it to its rest.

use std::io::{BufRead, IsTerminal};

use handover_rotation::outcome::{Fault, FaultClass};

use super::args::RotateArgs;
use super::context::Context;
use super::failure::{Exit, Failure};
use super::follow::{Show, follow, listen};
use super::{out, view};
use crate::engine::{Who, plan_hash};

pub(super) async fn run(context: &Context, args: RotateArgs) -> Result<Exit, Failure> {
    let planned = super::plan::make(context, &args.plan).await?;
    let plan = planned.prepared.plan;
    let hash = plan_hash(&plan);
    if let Some(wanted) = &args.hash
        && *wanted != hash
    {
        let fault = Fault::new(
            FaultClass::Permanent,
            "HO0448",
            format!("the plan is {hash} now, not {wanted}: nothing was changed"),
        );
        let scale = if plan.time_scale > 1 { format!(" --time-scale {}", plan.time_scale) } else { String::new() };
        let again = format!("handover plan {} --playbook {}{scale}", plan.credential, plan.playbook.name);
        return Err(Failure::new(
            Exit::Refused,
            fault.hint(format!("something changed since it was made: read `{again}` again")),
        ));
    }
    let agreed = args.yes || args.hash.is_some() || context.global.sandbox;
    if !agreed {
        context.say(&view::plan::plan(&plan, &hash, &planned.prepared.remarks, out::stderr_style()));
        ask(context)?;
    }
    let who = Who { by: whoami(), reason: args.reason };
    let mut show = Show::new(context, 1);
    let signals = listen(context);
    let runner = planned.engine.begin(plan, planned.ports, planned.prepared.old, &who).await?;
    show.begun(&runner).await?;
    follow(context, runner, show, args.wait, signals).await
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
