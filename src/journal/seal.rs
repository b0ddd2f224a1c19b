//! Sealing: secrets are encrypted before they come to the journal, and bound to the place where they belong.
//!
//! AES-256-GCM with a random nonce; the associated data names format, journal, rotation and slot, so that a blob that was
//! moved or put back elsewhere does not open (safety.md S24). Keys for sealing, for fingerprints and for the signatures of
//! checkpoints are derived from one key and the journal's name, so none works for another journal. It must never log or print a value.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::{hmac, rand};
use handover_rotation::name::{Fingerprint, RotationId};
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::chain::Fields;
use super::checkpoint::Signer;
use super::error::{JournalError, Kind, io as io_error};
use super::place::{private, sync_folder};
use crate::secret::{Login, Secret};

/// The format of blobs, their first byte.
const FORMAT: u8 = 1;
pub(super) const KEY_LEN: usize = 32;
/// What the names of keys that are not whole yet begin with; the process follows.
pub(super) const TEMPORARY: &str = "sealing-key.tmp.";

/// Seals secrets for one journal.
pub struct Sealer {
    instance: String,
    key: RandomizedNonceKey,
    fingerprint: hmac::Key,
    signer: Signer,
    mark: String,
}

impl Sealer {
    /// Opens the key of a file.
    ///
    /// # Errors
    /// `Seal`: the file is missing, a link, open to others, or does not hold 32 bytes.
    pub fn from_file(key_file: &Path, instance: &str) -> Result<Self, JournalError> {
        Self::derive(&read(key_file)?, instance)
    }

    /// Opens the key of a file, and makes the file (0600) where there is none.
    ///
    /// # Errors
    /// As `from_file`; or the file cannot be made.
    pub fn from_file_or_new(key_file: &Path, instance: &str) -> Result<Self, JournalError> {
        create(key_file)?;
        Self::from_file(key_file, instance)
    }

    pub(super) fn derive(key: &[u8], instance: &str) -> Result<Self, JournalError> {
        let root = Salt::new(HKDF_SHA256, b"handover").extract(key);
        let sealing = expand(&root, "seal", instance)?;
        let mark = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, expand(&root, "mark", instance)?.as_slice()), b"mark");
        Ok(Self {
            instance: instance.to_owned(),
            key: RandomizedNonceKey::new(&AES_256_GCM, sealing.as_slice()).map_err(|_| broken())?,
            fingerprint: hmac::Key::new(hmac::HMAC_SHA256, expand(&root, "fingerprint", instance)?.as_slice()),
            signer: Signer::new(expand(&root, "checkpoint", instance)?.as_slice())?,
            mark: hex::encode(&mark.as_ref()[..8]),
        })
    }

    /// What tells this key from another one, and says nothing about it.
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Signs checkpoints of this journal.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Seals a secret for one slot of one rotation.
    ///
    /// # Errors
    /// `Seal`: the system has no randomness.
    pub fn seal(&self, rotation: &RotationId, slot: &str, secret: &Secret) -> Result<Vec<u8>, JournalError> {
        let plain = secret.expose().as_bytes();
        // Room for the tag at once: growing would leave a copy of the plain text behind.
        let mut text = Vec::with_capacity(plain.len() + MAX_TAG_LEN);
        text.extend_from_slice(plain);
        let sealed = self.key.seal_in_place_append_tag(Aad::from(self.place(rotation, slot)), &mut text);
        let Ok(nonce) = sealed else {
            drop(Zeroizing::new(text));
            return Err(broken());
        };
        let mut blob = Vec::with_capacity(1 + NONCE_LEN + text.len());
        blob.push(FORMAT);
        blob.extend_from_slice(nonce.as_ref());
        blob.extend_from_slice(&text);
        Ok(blob)
    }

    /// Opens what was sealed for this slot of this rotation of this journal.
    ///
    /// # Errors
    /// `Seal`: it was changed, moved, or sealed with another key. Nothing more may be done with the rotation.
    pub fn open(&self, rotation: &RotationId, slot: &str, blob: &[u8]) -> Result<Secret, JournalError> {
        let refuse = || {
            JournalError::new(Kind::Seal, "HO0321", format!("the sealed secret {slot} of rotation {rotation} does not open"))
                .hint("it was changed, moved, or sealed with another key; see `handover audit verify`")
        };
        let (format, rest) = blob.split_first().ok_or_else(refuse)?;
        if *format != FORMAT {
            return Err(refuse());
        }
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or_else(refuse)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refuse())?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.key.open_in_place(nonce, Aad::from(self.place(rotation, slot)), &mut text);
        let length = opened.map_err(|_| refuse())?.len();
        text.truncate(length);
        match String::from_utf8(std::mem::take(&mut *text)) {
            Ok(text) => Ok(Secret::new(text)),
            Err(e) => {
                drop(Zeroizing::new(e.into_bytes()));
                Err(refuse())
            }
        }
    }

    /// The only thing derived from a secret that may be shown: 64 bits of a keyed hash (safety.md S21, threat T16). Only
    /// for generated secrets of 128 bits or more; a weak one could be guessed by whoever holds the key.
    #[must_use]
    pub fn fingerprint(&self, secret: &Secret) -> Fingerprint {
        let tag = hmac::sign(&self.fingerprint, secret.expose().as_bytes());
        #[expect(clippy::expect_used, reason = "sixteen hex digits are a valid fingerprint, whatever they are")]
        Fingerprint::new(hex::encode(&tag.as_ref()[..8])).expect("sixteen hex digits")
    }

    /// The same of a login: what a store that gives nothing back keeps, to tell later which login was written there.
    #[must_use]
    pub fn mark_of(&self, login: &Login) -> Fingerprint {
        let (username, password) = (login.username.as_str(), login.password.expose());
        let mut of = hmac::Context::with_key(&self.fingerprint);
        // Whole parts, so that no other login has the same bytes; and never those of a password alone.
        of.update(b"login");
        for part in [username, password] {
            of.update(&(part.len() as u64).to_be_bytes());
            of.update(part.as_bytes());
        }
        #[expect(clippy::expect_used, reason = "sixteen hex digits are a valid fingerprint, whatever they are")]
        Fingerprint::new(hex::encode(&of.sign().as_ref()[..8])).expect("sixteen hex digits")
    }

    fn place(&self, rotation: &RotationId, slot: &str) -> [u8; 32] {
        let fields = Fields::of("handover sealed").number(FORMAT.into());
        fields.text(&self.instance).text(rotation.as_str()).text(slot).hash()
    }
}

fn expand(root: &Prk, purpose: &str, instance: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, JournalError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    let info = [b"handover ".as_slice(), purpose.as_bytes(), b" 1 ", instance.as_bytes()];
    root.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(key.as_mut_slice())).map_err(|_| broken())?;
    Ok(key)
}

/// The key is not the one that the journal is bound to.
#[must_use]
pub fn another_key() -> JournalError {
    JournalError::new(Kind::Seal, "HO0320", "the sealing key is not the one this journal was made with")
        .hint("put the journal's own key file back; another one cannot open what is sealed")
}

pub(super) fn broken() -> JournalError {
    JournalError::new(Kind::Seal, "HO0328", "the system's cryptography does not work").hint("run `handover doctor`")
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, JournalError> {
    let refuse = |text: String, hint: &str| JournalError::new(Kind::Seal, "HO0319", text).hint(hint);
    let unreadable = |e: io::Error| {
        if e.kind() == io::ErrorKind::NotFound {
            return refuse(
                format!("the sealing key {} is missing", path.display()),
                "put it back from where it is kept; without it the sealed secrets of open rotations are lost",
            );
        }
        refuse(format!("cannot read the sealing key {}", path.display()), "see that it is a plain file of this user")
            .because(e)
    };
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    private(&meta, path, "HO0319").map_err(|e| e.with_kind(Kind::Seal))?;
    let mut key = Zeroizing::new(Vec::with_capacity(KEY_LEN + 1));
    file.take(KEY_LEN as u64 + 1).read_to_end(&mut key).map_err(unreadable)?;
    if key.len() != KEY_LEN {
        return Err(refuse(
            format!("the sealing key {} does not have {KEY_LEN} bytes", path.display()),
            "put the right file back",
        ));
    }
    Ok(key)
}

/// Makes the key file whole, under a name of its own first: who comes second takes the first one's key.
pub(super) fn create(path: &Path) -> Result<(), JournalError> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    let mut name = [0; 8];
    rand::fill(key.as_mut_slice()).and_then(|()| rand::fill(&mut name)).map_err(|_| broken())?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let temporary = folder.join(format!("{TEMPORARY}{}.{}", std::process::id(), hex::encode(name)));
    let write = || {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(key.as_slice())?;
        file.sync_all()?;
        match renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => sync_folder(folder),
            Err(Errno::EXIST) => fs::remove_file(&temporary),
            Err(Errno::INVAL | Errno::NOSYS) => match fs::hard_link(&temporary, path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
                _ => fs::remove_file(&temporary).and_then(|()| sync_folder(folder)),
            },
            Err(e) => Err(e.into()),
        }
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        io_error("make the sealing key", path, e).with_kind(Kind::Seal)
    })
}
