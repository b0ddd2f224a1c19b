//! `audit verify`: the journal by itself, the journal against checkpoints that were kept elsewhere, and what was sent elsewhere by
//! itself.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use handover_rotation::outcome::{Fault, FaultClass};

use super::args::VerifyArgs;
use super::audit::sealer;
use super::context::Context;
use super::failure::{Exit, Failure};
use crate::journal::{Checkpoint, Journal, PublicKey, Reading, Report, Shipped, Shipping, SqliteJournal, judge};

/// Longer lines are none of ours.
const LINE_MOST: u64 = 4 << 20;
/// As many faults are shown.
const FAULTS: usize = 20;

pub(super) async fn run(context: &Context, args: VerifyArgs) -> Result<Exit, Failure> {
    let key = args.key.as_deref().map(public_key).transpose()?;
    if !args.shipped.is_empty() {
        return shipped(context, &args.shipped, key).await;
    }
    let journal = context.existing_register().await?;
    let report = journal.verify().await?;
    if args.checkpoints.is_empty() {
        kept(&journal).await?;
        return whole(context, &report);
    }
    let key = match key {
        Some(key) => key,
        None => sealer(context, &journal).await?.signer().public().clone(),
    };
    checkpoints(context, &journal, &report, &args.checkpoints, &key).await
}

fn public_key(text: &str) -> Result<PublicKey, Failure> {
    PublicKey::parse(text).ok_or_else(|| {
        let fault = Fault::new(FaultClass::Permanent, "HO1078", "--key is not a public key");
        Failure::new(Exit::BadInput, fault.hint("it is `ed25519:` and 44 characters, as `handover audit key` shows it"))
    })
}

fn whole(context: &Context, report: &Report) -> Result<Exit, Failure> {
    if context.global.json {
        let line = serde_json::json!({"event": "verified", "rows": report.rows, "rotations": report.rotations, "head": report.head.to_string()});
        context.text(&line.to_string())?;
    } else {
        context.text(&format!(
            "sound: {} rows of {} rotations, each follows from the one before\nhead: {}\nhint: keep the head elsewhere; a later log must contain it\n",
            report.rows, report.rotations, report.head
        ))?;
    }
    Ok(Exit::Done)
}

/// The checkpoints that the journal keeps itself must be on its chain. Whoever edits one can edit the others: it is a slip that this
/// finds.
async fn kept(journal: &SqliteJournal) -> Result<(), Failure> {
    for made in journal.checkpoints().await? {
        if journal.hash_at(made.head.n).await? != Some(made.head.hash) {
            let text = format!("row {} of the journal is not the one that was signed in it", made.head.n);
            return Err(wrong("HO1074", text));
        }
    }
    Ok(())
}

fn wrong(code: &str, text: String) -> Failure {
    let hint = "keep the state folder as it is, and compare it with what was sent elsewhere: `handover audit verify --shipped FILE`";
    Failure::new(Exit::Error, Fault::new(FaultClass::Permanent, code, text).hint(hint))
}

async fn checkpoints(
    context: &Context,
    journal: &SqliteJournal,
    report: &Report,
    files: &[PathBuf],
    key: &PublicKey,
) -> Result<Exit, Failure> {
    let mut found: Vec<(String, Checkpoint)> = Vec::new();
    for file in files {
        each_line(file, |place, line| found.extend(Checkpoint::parse(line).map(|checkpoint| (place, checkpoint))))?;
    }
    if found.is_empty() {
        let fault = Fault::new(FaultClass::Permanent, "HO1079", "there is no checkpoint in what was given");
        return Err(Failure::new(Exit::BadInput, fault.hint("name files that a sink was sent, or lines of them")));
    }
    let (mut faults, mut newest) = (Vec::new(), 0);
    for (place, checkpoint) in &found {
        let hash = journal.hash_at(checkpoint.head.n).await?;
        match judge(checkpoint, key, journal.instance_id(), report.rows, hash) {
            Ok(()) => newest = newest.max(checkpoint.head.n),
            Err((code, why)) => faults.push((code, format!("{place}: {why}"))),
        }
    }
    let after = report.rows - newest;
    if context.global.json {
        let faults: Vec<_> = faults.iter().map(|(code, why)| serde_json::json!({"code": code, "why": why})).collect();
        let line = serde_json::json!({
            "event": "verified-checkpoints", "checkpoints": found.len(), "rows": report.rows, "after": after, "key": key.id(), "wrong": faults,
        });
        context.text(&line.to_string())?;
    } else if faults.is_empty() {
        context.text(&format!(
            "sound: the journal has all that {} checkpoints signed, by key {}; {after} of its {} rows came after the newest\n",
            found.len(),
            key.id(),
            report.rows
        ))?;
    } else {
        list(context, faults.iter().map(|(_, why)| why.as_str()))?;
    }
    match faults.into_iter().next() {
        None => Ok(Exit::Done),
        Some((code, why)) => Err(wrong(code, why)),
    }
}

async fn shipped(context: &Context, files: &[PathBuf], key: Option<PublicKey>) -> Result<Exit, Failure> {
    let mut reading = Reading::new(key);
    for file in files {
        each_line(file, |place, line| reading.line(&place, line))?;
    }
    let found = reading.end();
    if context.global.json {
        let line = serde_json::json!({
            "event": "verified-shipped", "journal": found.journal, "first": found.first, "head": found.head.as_ref().map(ToString::to_string),
            "checkpoints": found.checkpoints, "signatures": found.signatures, "repeated": found.repeated, "cut": found.cut,
            "wrong": found.wrong,
        });
        context.text(&line.to_string())?;
    } else {
        say(context, &found)?;
    }
    match found.wrong.first() {
        None => Ok(Exit::Done),
        Some(why) => Err(wrong("HO1074", why.clone())),
    }
}

fn say(context: &Context, found: &Shipped) -> Result<(), Failure> {
    list(context, found.wrong.iter().map(String::as_str))?;
    let Some(head) = found.head.as_ref().filter(|_| found.wrong.is_empty()) else {
        return if found.wrong.is_empty() { context.text("there is no row in it\n") } else { Ok(()) };
    };
    let mut text = format!("sound: rows {} to {}, each follows from the one before\nhead: {head}\n", found.first, head.n);
    if found.repeated + found.cut > 0 {
        text += &format!("{} rows are there twice, {} lines were cut off by a crash: no harm\n", found.repeated, found.cut);
    }
    text += &match (found.checkpoints, found.signatures) {
        (0, _) => "no checkpoint is in it\n".to_owned(),
        (n, true) => format!("{n} checkpoints fit, and the key has signed them\n"),
        (n, false) => format!("{n} checkpoints fit; their signatures were NOT checked: give --key\n"),
    };
    context.text(&text)
}

fn list<'a>(context: &Context, wrong: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let all: Vec<&str> = wrong.collect();
    let mut text: String = all.iter().take(FAULTS).map(|why| format!("WRONG: {why}\n")).collect();
    if all.len() > FAULTS {
        text += &format!("and {} more\n", all.len() - FAULTS);
    }
    if text.is_empty() { Ok(()) } else { context.text(&text) }
}

/// Reads a file line by line, each with its place.
fn each_line(path: &Path, mut take: impl FnMut(String, &str)) -> Result<(), Failure> {
    let bad = |why: String| {
        let fault = Fault::new(FaultClass::Permanent, "HO1079", format!("cannot read {}: {why}", path.display()));
        Failure::new(Exit::BadInput, fault.hint("name a file of lines that a sink was sent"))
    };
    let mut file = BufReader::new(std::fs::File::open(path).map_err(|e| bad(e.to_string()))?);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = std::io::Read::take(&mut file, LINE_MOST).read_until(b'\n', &mut line).map_err(|e| bad(e.to_string()))?;
        if read == 0 {
            break;
        }
        if line.len() as u64 == LINE_MOST {
            return Err(bad(format!("line {number} is too long")));
        }
        let text = String::from_utf8_lossy(&line);
        take(format!("{}:{number}", path.display()), text.trim_end_matches(['\n', '\r']));
    }
    Ok(())
}
