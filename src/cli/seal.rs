//! `seal`: what wraps the sealing key, and how that is replaced. Secrets that are sealed stay as they are.

use super::args::{SealArgs, SealCommand};
use super::context::Context;
use super::failure::{Exit, Failure};
use crate::journal::{JournalError, Rewrapped, WrappedBy, migrate_seal, open_seal, rotate_seal, wrapped_by};

pub(super) async fn run(context: &Context, args: SealArgs) -> Result<Exit, Failure> {
    match args.command {
        SealCommand::Show => show(context).await,
        SealCommand::Rotate => {
            let (source, state) = (context.key_source()?, context.state_path()?);
            let journal = context.existing_journal().await?;
            let done = rotate_seal(journal.as_ref(), &state, source.as_deref(), &pass).await?;
            tell(context, &done, false)
        }
        SealCommand::Migrate(args) => {
            let (from, to, state) = (context.key_source()?, context.key_source_of(&args.to)?, context.state_path()?);
            let journal = context.existing_journal().await?;
            let done = migrate_seal(journal.as_ref(), &state, from.as_deref(), Some(to.as_ref()), &pass).await?;
            tell(context, &done, true)
        }
    }
}

/// A crash point of its own for each step: whatever kills it there, the key must open afterwards.
#[expect(clippy::unnecessary_wraps, reason = "tests stop it at a step by an error")]
fn pass(step: &'static str) -> Result<(), JournalError> {
    crate::engine::crash::point(&format!("seal-{step}"));
    Ok(())
}

async fn show(context: &Context) -> Result<Exit, Failure> {
    let (source, state) = (context.key_source()?, context.state_path()?);
    let journal = context.existing_journal().await?;
    let by = wrapped_by(&state)?;
    // Opening makes a key where there is none: only one that is there is opened here.
    let opened = match by.is_some() || journal.key_mark().await?.is_some() {
        true => Some(open_seal(journal.as_ref(), &state, source.as_deref()).await?),
        false => None,
    };
    if context.global.json {
        let line = serde_json::json!({"event": "seal", "wrapped": by.as_ref().map(json), "opens": opened.is_some()});
        context.text(&line.to_string())?;
        return Ok(Exit::Done);
    }
    let text = match (&by, opened.is_some()) {
        (Some(by), _) => format!("the sealing key is wrapped by {}, and opens\n", words(by)),
        (None, true) => "the sealing key is the file `seal.key` in the state folder, and opens\n".to_owned(),
        (None, false) => "there is no sealing key yet: it is made at the first rotation\n".to_owned(),
    };
    context.text(&text)?;
    Ok(Exit::Done)
}

fn tell(context: &Context, done: &Rewrapped, moved: bool) -> Result<Exit, Failure> {
    if context.global.json {
        let line = serde_json::json!({
            "event": "rewrapped", "before": done.before.as_ref().map(json), "after": json(&done.after), "changed": done.changed,
        });
        context.text(&line.to_string())?;
        return Ok(Exit::Done);
    }
    let before = done.before.as_ref().map_or_else(|| "the file `seal.key`".to_owned(), words);
    let mut text = format!("the sealing key was wrapped by {before}, and is now by {}\n", words(&done.after));
    if !done.changed {
        text = format!("the sealing key is wrapped by {} already, by no newer one\n", words(&done.after));
        text += "hint: make a newer version of the source's key first, then run this again\n";
    } else if moved {
        text += "next: name the new source from now on, with --seal or HANDOVER_SEAL\n";
    }
    context.text(&text)?;
    Ok(Exit::Done)
}

fn words(by: &WrappedBy) -> String {
    let version = by.version.map(|v| format!(", version {v}")).unwrap_or_default();
    format!("{} ({}{version})", by.kind, by.id)
}

fn json(by: &WrappedBy) -> serde_json::Value {
    serde_json::json!({"source": by.kind, "id": by.id, "version": by.version})
}
