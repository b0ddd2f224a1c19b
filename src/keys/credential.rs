//! The source `credential`: a secret that systemd hands to the service (`LoadCredentialEncrypted=`), bound to a TPM or to the host
//! as it was made. The wrapping key is derived from it; it never lies in the state folder.

use std::io::Read;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use handover_rotation::outcome::{Fault, FaultClass};
use zeroize::Zeroizing;

use crate::config::fields::Fields;
use crate::journal::{Key, KeySource, Wrapped};
use crate::random::hex_id;

/// Fewer bytes could be guessed.
const LEAST: usize = 32;
const MOST: u64 = 4096;

pub(super) struct Options {
    name: String,
}

/// Reads the options.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Options> {
    let name = fields.required_str("name")?;
    if name.contains('/') || matches!(name.as_str(), "." | "..") {
        fields.problem("HO0113", "name", "`name` is no name of a credential", "write it as in `LoadCredentialEncrypted=`");
        return None;
    }
    Some(Options { name })
}

pub(super) struct Credential {
    name: String,
    folder: Option<PathBuf>,
}

impl Credential {
    pub(super) fn new(options: Options) -> Self {
        Self { name: options.name, folder: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }

    fn secret(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let fault = |what: String, hint: &str| Fault::new(FaultClass::Permanent, "HO0395", what).hint(hint);
        let Some(folder) = self.folder.as_deref().filter(|f| f.is_absolute()) else {
            let hint = "start Handover by systemd with `LoadCredentialEncrypted=`, as docs/sealing.md shows";
            return Err(fault("there is no CREDENTIALS_DIRECTORY".to_owned(), hint));
        };
        let path = folder.join(&self.name);
        let mut secret = Zeroizing::new(Vec::with_capacity(usize::try_from(MOST).unwrap_or(0) + 1));
        let read = std::fs::File::open(&path).and_then(|f| f.take(MOST + 1).read_to_end(&mut secret));
        if let Err(error) = read {
            let hint = "does the unit load a credential of this name?";
            return Err(fault(format!("cannot read the credential {}: {error}", show(&path)), hint));
        }
        if secret.len() < LEAST || secret.len() as u64 > MOST {
            let hint = "make it with `head -c 32 /dev/urandom`, as docs/sealing.md shows";
            return Err(fault(format!("the credential {} does not have {LEAST} to {MOST} bytes", show(&path)), hint));
        }
        Ok(secret)
    }

    fn derive(&self, instance: &str, salt: &str) -> Result<Key, Fault> {
        let secret = self.secret()?;
        let mut key = Key::default();
        let root = Salt::new(HKDF_SHA256, salt.as_bytes()).extract(&secret);
        let info = [b"handover wrapping key 1 ".as_slice(), instance.as_bytes()];
        let filled = root.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(key.as_mut_slice()));
        filled.map_err(|_| Fault::new(FaultClass::Permanent, "HO0328", "the system's cryptography does not work"))?;
        Ok(key)
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

#[async_trait]
impl KeySource for Credential {
    fn kind(&self) -> &'static str {
        "credential"
    }

    fn id(&self) -> String {
        self.name.clone()
    }

    fn strength(&self) -> String {
        "the state folder alone opens nothing; whoever may start or read the service has the key too".to_owned()
    }

    async fn make(&self, instance: &str) -> Result<(Key, Wrapped), Fault> {
        let salt = hex_id(16).map_err(|e| Fault::new(FaultClass::Temporary, "HO0328", e.to_string()))?;
        Ok((self.derive(instance, &salt)?, Wrapped { text: salt, version: None }))
    }

    async fn unwrap(&self, instance: &str, text: &str) -> Result<Key, Fault> {
        self.derive(instance, text)
    }

    async fn rewrap(&self, _: &str, _: &str) -> Result<Option<Wrapped>, Fault> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wrapping_key_is_of_one_credential_one_salt_and_one_journal() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Credential { name: "seal".to_owned(), folder: Some(folder.path().to_owned()) };
        for bad in [None, Some(31), Some(5000)] {
            if let Some(bytes) = bad {
                std::fs::write(folder.path().join("seal"), vec![7; bytes]).expect("writes");
            }
            assert_eq!(source.make("i").await.map(drop).expect_err("it is refused").code, "HO0395", "{bad:?}");
        }
        std::fs::write(folder.path().join("seal"), [7; 32]).expect("writes");
        let (key, wrapped) = source.make("i").await.expect("makes");
        assert!(*source.unwrap("i", &wrapped.text).await.expect("unwraps") == *key);
        assert!(*source.unwrap("j", &wrapped.text).await.expect("unwraps") != *key, "another journal");
        assert!(*source.make("i").await.expect("makes").0 != *key, "another salt");
        std::fs::write(folder.path().join("seal"), [8; 32]).expect("writes");
        assert!(*source.unwrap("i", &wrapped.text).await.expect("unwraps") != *key, "another credential");
        let nowhere = Credential { name: "seal".to_owned(), folder: None };
        assert_eq!(nowhere.unwrap("i", "x").await.map(drop).expect_err("it is refused").code, "HO0395");
    }
}
