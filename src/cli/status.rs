//! `status`: where things stand, what is safe next, and the way back. Reads the journal only; contacts nobody.

use super::args::StatusArgs;
use super::context::{Context, find_rotation, read_rotation, trusted_now};
use super::failure::{Exit, Failure};
use super::out;
use crate::engine::events;
use crate::journal::{Filter, Header, Journal};
use crate::view;

pub(super) async fn run(context: &Context, args: StatusArgs) -> Result<Exit, Failure> {
    let journal = context.existing_journal().await?;
    if let Some(what) = args.what {
        let header = find_rotation(journal.as_ref(), &what).await?;
        return show(context, journal.as_ref(), &header).await;
    }
    let open = journal.list(Filter { finished: Some(false), ..Filter::default() }).await?;
    if open.is_empty() && !context.global.json {
        context.text("nothing is under way\nhint: `handover history` lists what was\n")?;
    }
    let mut worst = Exit::Done;
    for header in open {
        let exit = show(context, journal.as_ref(), &header).await?;
        if exit as u8 > worst as u8 {
            worst = exit;
        }
    }
    Ok(worst)
}

async fn show(context: &Context, journal: &dyn Journal, header: &Header) -> Result<Exit, Failure> {
    let (rotation, rows) = read_rotation(journal, &header.id).await?;
    let events = events(&rows)?;
    let now = trusted_now(&rotation, &rows);
    let holder = header.holder.as_ref().map(ToString::to_string);
    if context.global.json {
        context.text(&view::status::status_json(&rotation, &events, now, holder.as_deref()).to_string())?;
    } else {
        context.text(&view::status::status(&rotation, &events, now, holder.as_deref(), out::stdout_style()))?;
    }
    // What is stuck is not well, whoever asks: monitoring may rely on it. Nor is a leak that nobody shuts out.
    let stuck = matches!(rotation.phase, handover_rotation::state::Phase::Stuck { .. })
        || view::standing::is_exposed(&rotation, holder.as_deref());
    Ok(if stuck { Exit::Stuck } else { Exit::Done })
}
