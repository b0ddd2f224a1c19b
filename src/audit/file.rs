//! A file of lines, which another program may carry away: appended to and synced at each call, opened anew each time, so that it may
//! be renamed at any moment as logrotate does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Batch, DEFAULT_TIMEOUT, Sink};
use crate::config::fields::Fields;
use crate::files::disk::Disk;
use crate::files::replace::{Place, not_done, written};

/// What is synced at once.
const MOST: usize = 1 << 20;

/// The options of the kind.
pub struct Options {
    path: PathBuf,
}

/// One file.
pub struct FileSink {
    file: Arc<File>,
    /// Held while a call is under way: one that hangs is not joined by others.
    turn: Arc<Mutex<()>>,
}

struct File {
    disk: Disk,
    path: String,
}

impl FileSink {
    /// Reads the options: `{path}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Options> {
        Some(Options { path: fields.required_path("path")? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({ "required": ["path"], "properties": { "path": { "$ref": "#/$defs/text" } } })
    }

    /// Makes it of its options. The file is opened at each call.
    ///
    /// # Errors
    /// The path cannot be made a whole one.
    pub fn open(options: Options) -> Result<Self, Fault> {
        Self::on(Disk::default(), &options.path)
    }

    pub(crate) fn on(disk: Disk, path: &Path) -> Result<Self, Fault> {
        let whole = std::path::absolute(path).ok().and_then(|path| path.to_str().map(str::to_owned));
        let path = whole.ok_or_else(|| {
            let message = format!("{}: the path cannot be used", path.display());
            Fault::new(FaultClass::Permanent, "HO0605", message)
                .hint("write the whole path, such as /var/log/handover/audit.jsonl")
        })?;
        Ok(Self { file: Arc::new(File { disk, path }), turn: Arc::default() })
    }

    /// Works on the file on a thread of its own, one call after the other.
    async fn apart<T: Send + 'static>(&self, work: impl FnOnce(&File) -> Outcome<T> + Send + 'static) -> Outcome<T> {
        let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() else {
            let message = format!("{}: the call before has not come back from the disk", self.file.path);
            return Outcome::NotDone(Fault::new(FaultClass::Temporary, "HO0609", message).hint("is its disk there?"));
        };
        let file = Arc::clone(&self.file);
        crate::files::replace::apart(&self.file.path, move || {
            let done = work(&file);
            drop(turn);
            done
        })
        .await
    }
}

#[async_trait]
impl Sink for FileSink {
    fn request_timeout(&self) -> Span {
        DEFAULT_TIMEOUT
    }

    fn most(&self) -> usize {
        MOST
    }

    async fn last(&self) -> Result<Option<String>, Fault> {
        let look = |file: &File| not_done(Place::open(&file.disk, &file.path).and_then(|place| place.last_line()));
        match self.apart(look).await {
            Outcome::Done(line) => Ok(line),
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => Err(fault),
        }
    }

    async fn put(&self, batch: &Batch) -> Outcome<()> {
        let mut text = batch.lines.join("\n").into_bytes();
        text.push(b'\n');
        let append = move |file: &File| match Place::open(&file.disk, &file.path) {
            Ok(place) => written(place.append(&text)),
            Err(fault) => Outcome::NotDone(fault),
        };
        self.apart(append).await
    }
}
