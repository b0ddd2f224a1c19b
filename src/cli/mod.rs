//! The command line: one file a command, output in one place (`out`), exit statuses in one place (`failure`).

mod abort;
mod alert;
mod approve;
pub mod args;
mod audit;
mod beside;
mod check;
pub mod context;
mod doctor;
mod done;
mod explain;
pub mod failure;
mod flags;
mod follow;
mod history;
pub mod host;
mod impact;
pub mod live;
mod logs;
pub mod out;
mod plan;
mod rehearse;
mod resume;
mod rotate;
mod sandbox;
mod schedule;
mod seal;
mod serve;
mod signals;
mod status;
mod supply;
mod through;
mod token;
mod typed;
mod usage;
mod used;
mod verify;
mod watch;

use std::process::ExitCode;

use args::{Cli, Command, SchemaFile};
use clap::{CommandFactory, Parser};
use context::Context;
use failure::{Exit, Failure};
use signals::Signals;

/// Parses the arguments, runs the command, and tells how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let bad = error.use_stderr();
            let _ = error.print();
            return ExitCode::from(if bad { Exit::BadInput as u8 } else { 0 });
        }
    };
    harden();
    logs::start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::note(&format!("error: the runtime cannot be started: {error}"));
            return ExitCode::from(Exit::Error as u8);
        }
    };
    let global = cli.global.clone();
    let exit = match runtime.block_on(run(cli)) {
        Ok(exit) => exit,
        Err(failure) => {
            out::failure(&failure, &global);
            failure.exit()
        }
    };
    // Blocking calls that were given up must not hold the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    ExitCode::from(exit as u8)
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Sandbox(args) => sandbox::run(&global, args).await,
        Command::Explain(args) => explain::run(&global, &args),
        Command::Completions(args) => {
            let mut text = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "handover", &mut text);
            out::data(&String::from_utf8_lossy(&text)).map(|()| Exit::Done).map_err(Failure::output)
        }
        Command::Schema(args) => {
            let schema = match args.file {
                SchemaFile::Inventory => crate::config::inventory_schema(&crate::registry::Registry),
                SchemaFile::Playbook => crate::config::playbook_schema(),
            };
            out::data(&format!("{schema:#}")).map(|()| Exit::Done).map_err(Failure::output)
        }
        command => {
            // First of all: what takes a while below must not end without a word.
            let rotates = matches!(
                command,
                Command::Rotate(_)
                    | Command::Resume(_)
                    | Command::Abort(_)
                    | Command::Approve(_)
                    | Command::Supply(_)
                    | Command::Done(_)
            );
            let signals = rotates.then(|| Signals::listen(global.json));
            let context = Context::open(global, signals).await?;
            let result = with_context(&context, command).await;
            context.close().await;
            result
        }
    }
}

async fn with_context(context: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Plan(args) => plan::run(context, args).await,
        Command::Rotate(args) => rotate::run(context, args).await,
        Command::Resume(args) => resume::run(context, args).await,
        Command::Abort(args) => abort::run(context, args).await,
        Command::Approve(args) => approve::run(context, args).await,
        Command::Supply(args) => supply::run(context, args).await,
        Command::Done(args) => done::run(context, args).await,
        Command::Check => check::run(context),
        Command::Rehearse(args) => rehearse::run(context, &args),
        Command::Impact(args) => impact::run(context, &args),
        Command::Status(args) => status::run(context, args).await,
        Command::History(args) => history::run(context, args).await,
        Command::Schedule(args) => schedule::run(context, args).await,
        Command::Audit(args) => audit::run(context, args).await,
        Command::Seal(args) => seal::run(context, args).await,
        Command::Alert(args) => alert::run(context, args).await,
        Command::Serve(args) => serve::run(context, args).await,
        Command::Token(args) => token::run(context, args).await,
        Command::Usage(args) => usage::run(context, args).await,
        Command::Doctor => doctor::run(context).await,
        // These were taken care of before there was a context.
        Command::Sandbox(_) | Command::Explain(_) | Command::Completions(_) | Command::Schema(_) => Ok(Exit::Done),
    }
}

/// No core dumps: they would hold secrets (threat T14).
fn harden() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}
