//! The envelope: the key that seals is random, and is kept beside the journal in `seal.json`, wrapped by a key from elsewhere.
//!
//! ```text
//!   KeySource ──▶ wrapping key ──opens──▶ data key ──derives──▶ Sealer
//!   (a file, Vault Transit, …)            in seal.json, bound to this journal and this source
//! ```
//!
//! So the wrapping key can be replaced, or moved to another source, while secrets are sealed: the data key stays, and nothing that
//! is sealed is touched. A journal without `seal.json` seals by its key file itself, as every release before did. What this must
//! not do: make a data key for a journal that was bound to one, or replace `seal.json` by what has not been opened.
//! Siblings: `seal` seals, `envelope_file` reads and writes `seal.json`, `key_file` is the source where none is named.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use handover_rotation::outcome::Fault;
use zeroize::Zeroizing;

use super::chain::Fields;
use super::envelope_file::{FILE, Record, lock};
use super::error::{JournalError, Kind};
use super::key_file::{self, KeyFile};
use super::seal::{KEY_LEN, Sealer, another_key, broken};
use super::{Journal, open_sealer};

/// The name of the key file that seals by itself.
pub(super) const DIRECT: &str = "seal.key";
/// The `kind` of the source in the state folder.
pub(super) const IN_FOLDER: &str = "file";
const TRIES: usize = 3;

/// A key of 256 bits: not printed, not copied, and wiped when it goes.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub struct Key(Zeroizing<[u8; KEY_LEN]>);

impl Deref for Key {
    type Target = [u8; KEY_LEN];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Key {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// What a source needs to give a wrapping key again. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// In the source's own form.
    pub text: String,
    /// Which version of the source's key wrapped it, where it has versions.
    pub version: Option<u64>,
}

/// Where wrapping keys come from.
///
/// # Guarantees
/// * `unwrap` gives exactly the key that `make` gave with this text for this journal, or a fault.
/// * Nothing here makes, changes or deletes the source's own key.
///
/// # Assumptions
/// * `instance` is the journal's name. A source that can, binds what it wraps to it.
///
/// # Errors
/// A [`Fault`] with what to do. It holds no key and nothing that a server has said.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The kind, as `seal.json` and people name it.
    fn kind(&self) -> &'static str;

    /// Which one of its kind. It stays the same when the source is reached by another way.
    fn id(&self) -> String;

    /// Who can open what is sealed, in a sentence for people.
    fn strength(&self) -> String;

    /// A new wrapping key.
    async fn make(&self, instance: &str) -> Result<(Key, Wrapped), Fault>;

    /// The wrapping key of this text.
    async fn unwrap(&self, instance: &str, text: &str) -> Result<Key, Fault>;

    /// The same wrapping key under the source's newest key, without seeing it; `None` where a source cannot, and a new one is made.
    async fn rewrap(&self, instance: &str, text: &str) -> Result<Option<Wrapped>, Fault>;
}

/// What wraps the key of a state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedBy {
    /// The kind of the source.
    pub kind: String,
    /// Which one of its kind.
    pub id: String,
    /// Which version of the source's key, where it has versions.
    pub version: Option<u64>,
}

/// What was done to the wrapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// By what it was wrapped; `None` where a key file sealed by itself.
    pub before: Option<WrappedBy>,
    /// By what it is wrapped now.
    pub after: WrappedBy,
    /// Whether anything has changed: a source without a newer key gives the old text or one like it.
    pub changed: bool,
}

/// Is told where a change has come to; the place of a test that stops it there.
pub type Passing<'a> = &'a (dyn Fn(&'static str) -> Result<(), JournalError> + Sync);

/// What wraps the key of a state folder, if its key is wrapped.
///
/// # Errors
/// `seal.json` cannot be read.
pub fn wrapped_by(folder: &Path) -> Result<Option<WrappedBy>, JournalError> {
    Ok(Record::read(folder)?.as_ref().map(Record::by))
}

/// Opens the sealing key of a journal through its source, the key file where none is named; makes it where the journal was never
/// bound to one.
///
/// # Errors
/// `Source` if the source cannot be used; `Seal` if it is not the journal's, or what is wrapped is missing or does not open.
pub async fn open_seal(
    journal: &dyn Journal,
    folder: &Path,
    source: Option<&dyn KeySource>,
) -> Result<Sealer, JournalError> {
    let mut tried = 0;
    loop {
        let record = Record::read(folder)?;
        tried += 1;
        match open_by(journal, folder, source, record.as_ref()).await {
            // It was replaced between reading it and asking its source.
            Err(_) if tried < TRIES && Record::read(folder)? != record => {}
            ended => return ended,
        }
    }
}

async fn open_by(
    journal: &dyn Journal,
    folder: &Path,
    source: Option<&dyn KeySource>,
    record: Option<&Record>,
) -> Result<Sealer, JournalError> {
    let instance = journal.instance_id();
    let in_folder = KeyFile::new(folder);
    let key = match (record, source) {
        (Some(record), source) => open(record, source.unwrap_or(&in_folder), instance).await?,
        (None, None) => return open_sealer(journal, &folder.join(DIRECT)).await,
        (None, Some(source)) if source.kind() == IN_FOLDER => return open_sealer(journal, &folder.join(DIRECT)).await,
        (None, Some(source)) => {
            let _lock = lock(folder)?;
            match Record::read(folder)? {
                Some(record) => open(&record, source, instance).await?,
                None => {
                    first(journal, folder, source).await?;
                    let mut key = Key::default();
                    rand::fill(key.as_mut_slice()).map_err(|_| broken())?;
                    let (kek, wrapped) = source.make(instance).await.map_err(|f| unusable(source, f))?;
                    let record = wrap(&key, &kek, wrapped, source, instance)?;
                    same(&key, &open(&record, source, instance).await?, instance)?;
                    record.write(folder, &|_| Ok(()))?;
                    key
                }
            }
        }
    };
    let sealer = Sealer::derive(key.as_slice(), instance)?;
    journal.bind_key(sealer.mark()).await?;
    Ok(sealer)
}

/// A key may be made only for a journal that has none.
async fn first(journal: &dyn Journal, folder: &Path, source: &dyn KeySource) -> Result<(), JournalError> {
    if std::fs::symlink_metadata(folder.join(DIRECT)).is_ok() {
        let text = format!("the sealing key of this journal is a file, and the source named is {}", name(source));
        return Err(JournalError::new(Kind::Seal, "HO0391", text)
            .hint("go on without --seal, or hand the key over: `seal migrate --to FILE`, without --seal this once"));
    }
    if journal.key_mark().await?.is_some() {
        let text = format!("the wrapped sealing key {} is missing", folder.join(FILE).display());
        return Err(JournalError::new(Kind::Seal, "HO0390", text)
            .hint("put it back from where it is kept; without it the sealed secrets of open rotations are lost"));
    }
    Ok(())
}

/// Wraps the key anew by the same source: under the newest version of its key, or by a new wrapping key. Nothing that is sealed is
/// touched, and running rotations go on.
///
/// # Errors
/// As `open_seal`; then everything is as it was.
pub async fn rotate_seal(
    journal: &dyn Journal,
    folder: &Path,
    source: Option<&dyn KeySource>,
    passing: Passing<'_>,
) -> Result<Rewrapped, JournalError> {
    let in_folder = KeyFile::new(folder);
    let source = source.unwrap_or(&in_folder);
    replace(journal, folder, source, source, passing).await
}

/// Wraps the key by another source. The one before is not needed any more.
///
/// # Errors
/// As `open_seal`, for either; then everything is as it was.
pub async fn migrate_seal(
    journal: &dyn Journal,
    folder: &Path,
    from: Option<&dyn KeySource>,
    to: Option<&dyn KeySource>,
    passing: Passing<'_>,
) -> Result<Rewrapped, JournalError> {
    let in_folder = KeyFile::new(folder);
    replace(journal, folder, from.unwrap_or(&in_folder), to.unwrap_or(&in_folder), passing).await
}

async fn replace(
    journal: &dyn Journal,
    folder: &Path,
    from: &dyn KeySource,
    to: &dyn KeySource,
    passing: Passing<'_>,
) -> Result<Rewrapped, JournalError> {
    let _lock = lock(folder)?;
    let instance = journal.instance_id();
    let old = Record::read(folder)?;
    let key = match &old {
        Some(old) => open(old, from, instance).await?,
        None => direct(journal, folder, from).await?,
    };
    // Bound before anything moves: a key that is not the journal's own is refused, and no other can be made for it meanwhile.
    journal.bind_key(Sealer::derive(key.as_slice(), instance)?.mark()).await?;
    passing("opened")?;
    let stays = from.kind() == to.kind() && from.id() == to.id();
    let again = match &old {
        Some(old) if stays => to.rewrap(instance, &old.wrapped).await.map_err(|f| unusable(to, f))?,
        _ => None,
    };
    let record = match (again, &old) {
        (Some(wrapped), Some(old)) => Record { wrapped: wrapped.text, key_version: wrapped.version, ..old.clone() },
        _ => {
            let (kek, wrapped) = to.make(instance).await.map_err(|f| unusable(to, f))?;
            wrap(&key, &kek, wrapped, to, instance)?
        }
    };
    passing("wrapped")?;
    // What cannot be opened again must not replace what can.
    same(&key, &open(&record, to, instance).await?, instance)?;
    passing("checked")?;
    record.write(folder, passing)?;
    passing("replaced")?;
    key_file::sweep(folder, (record.source == IN_FOLDER).then_some(record.wrapped.as_str()), passing)?;
    let changed = old.as_ref().is_none_or(|old| {
        (&old.source, &old.id, &old.data_key, old.key_version)
            != (&record.source, &record.id, &record.data_key, record.key_version)
            // A source that tells no versions: it may be a newer one.
            || record.key_version.is_none() && old.wrapped != record.wrapped
    });
    Ok(Rewrapped { before: old.as_ref().map(Record::by), after: record.by(), changed })
}

/// The key of a journal whose key file seals by itself.
async fn direct(journal: &dyn Journal, folder: &Path, from: &dyn KeySource) -> Result<Key, JournalError> {
    let path = folder.join(DIRECT);
    if std::fs::symlink_metadata(&path).is_err() && journal.key_mark().await?.is_none() {
        let text = format!("there is no sealing key in {} yet", folder.display());
        return Err(JournalError::new(Kind::Invalid, "HO0394", text).hint("it is made at the first rotation"));
    }
    if from.kind() != IN_FOLDER {
        first(journal, folder, from).await?;
    }
    let mut key = Key::default();
    key.copy_from_slice(&super::seal::read(&path)?);
    Ok(key)
}

fn name(source: &dyn KeySource) -> String {
    format!("{} ({})", source.kind(), source.id())
}

/// What a fault of a source means for the journal: it cannot be opened now, and nothing has changed.
fn unusable(source: &dyn KeySource, fault: Fault) -> JournalError {
    let text = format!("the sealing key cannot be had from {}: {}", name(source), fault.message);
    let hint = fault.hint.clone().unwrap_or_else(|| "nothing was changed; mend the source and start again".to_owned());
    JournalError::new(Kind::Source { class: fault.class }, "HO0392", text).hint(hint)
}

fn place(instance: &str, kind: &str, id: &str) -> [u8; 32] {
    Fields::of("handover data key").number(1).text(instance).text(kind).text(id).hash()
}

/// The record of a key, wrapped.
fn wrap(key: &Key, kek: &Key, wrapped: Wrapped, source: &dyn KeySource, instance: &str) -> Result<Record, JournalError> {
    let (kind, id) = (source.kind(), source.id());
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, kek.as_slice()).map_err(|_| broken())?;
    // The key is overwritten in place, and there is room for the tag: no copy is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_LEN + aws_lc_rs::aead::MAX_TAG_LEN));
    text.extend_from_slice(key.as_slice());
    let nonce = cipher.seal_in_place_append_tag(Aad::from(place(instance, kind, &id)), &mut *text).map_err(|_| broken())?;
    let mut data_key = nonce.as_ref().to_vec();
    data_key.extend_from_slice(&text);
    Ok(Record {
        format: 1,
        instance: instance.to_owned(),
        source: kind.to_owned(),
        id,
        wrapped: wrapped.text,
        key_version: wrapped.version,
        data_key: hex::encode(data_key),
    })
}

/// The key of a record.
async fn open(record: &Record, source: &dyn KeySource, instance: &str) -> Result<Key, JournalError> {
    if record.instance != instance {
        let text = format!("{FILE} belongs to another journal");
        return Err(JournalError::new(Kind::Seal, "HO0390", text).hint("put the journal's own file back"));
    }
    if (record.source.as_str(), &record.id) != (source.kind(), &source.id()) {
        let text = format!(
            "the sealing key of this journal is wrapped by {} ({}), and the source named is {}",
            record.source,
            record.id,
            name(source)
        );
        return Err(JournalError::new(Kind::Seal, "HO0391", text)
            .hint("name that source with --seal or HANDOVER_SEAL; `seal migrate --to FILE` hands the key to another one"));
    }
    let kek = source.unwrap(instance, &record.wrapped).await.map_err(|f| unusable(source, f))?;
    let refuse = || {
        JournalError::new(Kind::Seal, "HO0393", format!("the data key in {FILE} does not open"))
            .hint("it was changed, or the source gave another key; put the file back from the same time as the source's key")
    };
    let bytes = Zeroizing::new(hex::decode(&record.data_key).map_err(|_| refuse())?);
    let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or_else(refuse)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refuse())?;
    let mut text = Zeroizing::new(text.to_vec());
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, kek.as_slice()).map_err(|_| broken())?;
    let opened = cipher
        .open_in_place(nonce, Aad::from(place(instance, &record.source, &record.id)), &mut text)
        .map_err(|_| refuse())?;
    let mut key = Key::default();
    if opened.len() != KEY_LEN {
        return Err(refuse());
    }
    key.copy_from_slice(opened);
    Ok(key)
}

fn same(key: &Key, again: &Key, instance: &str) -> Result<(), JournalError> {
    match Sealer::derive(key.as_slice(), instance)?.mark() == Sealer::derive(again.as_slice(), instance)?.mark() {
        true => Ok(()),
        false => Err(another_key()),
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
