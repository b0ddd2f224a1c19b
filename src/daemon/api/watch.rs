//! Streams of events: each as one JSON object, as the command line prints them, numbered so that whoever lost the stream goes on
//! where they were (`Last-Event-ID`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event as Sse, KeepAlive, Sse as Stream};
use axum::response::{IntoResponse, Response};
use handover_rotation::name::RotationId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Api;
use super::call::{Call, Trouble};
use crate::daemon::news::News;
use crate::engine::{EngineError, events, replay};
use crate::view::line::json_line;

/// How often the journal is looked at for what another process does.
const LOOK: Duration = Duration::from_secs(2);

/// Where a stream of one rotation is.
struct Place {
    api: Arc<Api>,
    id: RotationId,
    seq: u64,
    news: Receiver<News>,
    waiting: VecDeque<Sse>,
    over: bool,
}

impl Place {
    /// Takes what is new in the journal.
    async fn read(&mut self) -> Result<(), EngineError> {
        let rows = self.api.desk.engine.journal.load(&self.id).await?;
        let rotation = replay(&self.id, &rows)?;
        for (seq, (at, event)) in (1_u64..).zip(events(&rows)?) {
            if seq > self.seq {
                self.waiting.push_back(Sse::default().id(seq.to_string()).data(json_line(&rotation, seq, at, &event)));
                self.seq = seq;
            }
        }
        self.over = rotation.ended().is_some();
        Ok(())
    }

    /// Waits until something may be new.
    async fn wait(&mut self) {
        let id = self.id.clone();
        let heard = async {
            loop {
                match self.news.recv().await {
                    Ok(News::Recorded { rotation, .. }) if rotation.id == id => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                }
            }
        };
        drop(tokio::time::timeout(LOOK, heard).await);
    }

    async fn next(mut self) -> Option<(Result<Sse, Infallible>, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((Ok(event), self));
            }
            if self.over {
                return None;
            }
            self.wait().await;
            self.read().await.ok()?;
        }
    }
}

/// The events of one rotation, from the first or from the one after `Last-Event-ID`, until it has ended.
pub(super) async fn rotation(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let last = call.headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|text| text.parse().ok());
    let news = api.desk.watch();
    let mut place = Place { id: call.rotation()?, seq: last.unwrap_or(0), news, waiting: VecDeque::new(), over: false, api };
    place.read().await?;
    let stream = futures::stream::unfold(place, Place::next);
    Ok(Stream::new(stream).keep_alive(KeepAlive::default()).into_response())
}
