//! The first page: what needs a person now, then what is under way, then every credential. Ten thousand of them are paged: of one
//! page only its own are looked at.

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use handover_rotation::event::Ending;
use handover_rotation::state::Phase;

use super::super::Api;
use super::super::access::Role;
use super::super::call::{Call, Trouble};
use super::needs::{Needs, needs};
use super::parts::{Frame, Moment, coarse, page};
use crate::daemon::ledger::Account;

/// How many credentials a page shows.
const A_PAGE: usize = 50;
/// How many rotations under way are shown.
const UNDER_WAY: usize = 50;
/// The longest name that is looked for.
const LOOKED_FOR: usize = 100;

/// Where something stands, in a word with a sign, so that it is not told by its colour alone.
pub(super) struct State {
    pub(super) tone: &'static str,
    pub(super) sign: &'static str,
    pub(super) word: String,
}

/// How a credential stands.
pub(super) fn state(account: &Account) -> State {
    let of = |tone, sign, word: &str| State { tone, sign, word: word.to_owned() };
    let Some(latest) = &account.latest else { return of("plain", "–", "never rotated here") };
    match latest.phase {
        _ if latest.is_open() && latest.exposed => of("bad", "✗", "LEAKED, not shut out"),
        Phase::Stuck { .. } => of("bad", "✗", "STUCK"),
        Phase::Ended(Ending::Done) => of("good", "✓", "rotated"),
        Phase::Ended(Ending::RolledBack) => of("warn", "↩", "rolled back"),
        Phase::Ended(Ending::Refused) => of("warn", "↩", "refused, unchanged"),
        Phase::RollingBack => of("warn", "↩", "rolling back"),
        Phase::Forward => match &latest.asked {
            Some(asked) if asked.approval => of("warn", "?", "waits for approval"),
            Some(_) => of("warn", "?", "waits for a person"),
            None => of("busy", "▸", "under way"),
        },
    }
}

struct Line {
    name: String,
    provider: String,
    state: State,
    rotation: String,
    age: String,
    next: String,
    next_far: String,
}

struct Moving {
    name: String,
    id: String,
    playbook: String,
    step: String,
    state: State,
    at: Moment,
}

#[derive(Template)]
#[template(path = "home.page")]
struct Home {
    frame: Frame,
    needs: Needs,
    total: usize,
    moving: Vec<Moving>,
    moving_more: usize,
    looked_for: String,
    looked_for_in_link: String,
    lines: Vec<Line>,
    found: usize,
    number: usize,
    pages: usize,
}

pub(in super::super) async fn home(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let (files, now_ms) = (api.desk.files.now(), api.desk.wall_ms());
    let role = call.who.as_ref().map_or(Role::Viewer, |who| who.role);
    let needs = needs(&api, role, now_ms).await?;
    let looked_for: String =
        call.query.get("name").map(|name| name.trim().chars().take(LOOKED_FOR).collect()).unwrap_or_default();
    let all = &files.inventory.credentials;
    let fits = |name: &str| name.contains(looked_for.as_str());
    let found = if looked_for.is_empty() { all.len() } else { all.keys().filter(|name| fits(name.as_str())).count() };
    let pages = found.div_ceil(A_PAGE).max(1);
    let number = call.query.get("page").and_then(|text| text.parse().ok()).unwrap_or(1_usize).clamp(1, pages);
    let shown = all.iter().filter(|(name, _)| fits(name.as_str())).skip((number - 1) * A_PAGE).take(A_PAGE);
    let lines = shown.map(|(name, credential)| {
        let account = api.desk.ledger.account(name.as_str());
        let next = api.desk.next_run(name, credential, now_ms);
        let waiting = account.latest.as_ref().filter(|latest| latest.is_open());
        Line {
            name: name.to_string(),
            provider: format!("{}, {}", credential.provider, credential.account),
            state: state(&account),
            rotation: waiting.map(|latest| latest.id.to_string()).unwrap_or_default(),
            age: account.current_ms.map_or_else(|| "not known".to_owned(), |made| coarse(now_ms.saturating_sub(made))),
            next: match (&next, &credential.schedule) {
                (Some(tick), _) => tick.local.get(..16).unwrap_or(&tick.local).to_owned(),
                (None, Some(_)) => "never, as its schedule stands".to_owned(),
                (None, None) => "no schedule".to_owned(),
            },
            next_far: next.map(|tick| Moment::of(tick.fires_ms, now_ms).far).unwrap_or_default(),
        }
    });
    let lines = lines.collect();
    let open = api.desk.ledger.open();
    let moving = open.iter().take(UNDER_WAY).map(|(name, latest)| Moving {
        name: name.clone(),
        id: latest.id.to_string(),
        playbook: latest.playbook.clone(),
        step: latest.step.clone(),
        state: state(&Account { latest: Some(latest.clone()), current_ms: None }),
        at: Moment::of(latest.at_ms, now_ms),
    });
    let title = match needs.count() {
        0 => "nothing needs you".to_owned(),
        1 => "1 thing needs you".to_owned(),
        n => format!("{n} things need you"),
    };
    let home = Home {
        frame: Frame::of(&call, title, now_ms),
        needs,
        total: all.len(),
        moving: moving.collect(),
        moving_more: open.len().saturating_sub(UNDER_WAY),
        looked_for_in_link: in_link(&looked_for),
        looked_for,
        lines,
        found,
        number,
        pages,
    };
    page(StatusCode::OK, &home)
}

/// A text as the value of a query.
fn in_link(text: &str) -> String {
    let url = reqwest::Url::parse_with_params("http://x/", [("x", text)]).ok();
    url.and_then(|url| Some(url.query()?.trim_start_matches("x=").to_owned())).unwrap_or_default()
}
