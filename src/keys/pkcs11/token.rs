//! One call of a PKCS#11 token: find it, log in, find the key, look whether it is what protects, encrypt or decrypt.
//!
//! Nothing is made, changed or deleted in the token, and a wrong PIN is never tried when it may be the last try before the token locks.
//! What a module says is shown as the name of its error only.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use handover_rotation::outcome::{Fault, FaultClass};
use zeroize::Zeroizing;

/// The bytes of a nonce.
pub(super) const NONCE: usize = 12;
const TAG_BITS: u64 = 128;
/// The bytes of a key that is strong enough.
const KEY_BYTES: usize = 32;

const CODE: &str = "HO0395";

/// Which key of which token, reached by which module.
#[derive(Clone)]
pub(super) struct Wanted {
    /// The module's file.
    pub(super) module: PathBuf,
    /// The label of the token.
    pub(super) token: String,
    /// The label of the key.
    pub(super) key: String,
}

/// What is asked of the key.
pub(super) enum Work<'a> {
    /// Encrypts these bytes.
    Wrap(&'a [u8]),
    /// Decrypts these.
    Unwrap(&'a [u8]),
}

/// The modules of this process: one may be loaded and begun once only, and by whoever comes first.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

impl Wanted {
    /// Does one piece of work, bound to `context`. It blocks for as long as the token takes.
    pub(super) fn ask(
        &self,
        pin: &str,
        nonce: [u8; NONCE],
        context: &[u8],
        work: &Work<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        // Wiped by its type when it goes.
        let pin = AuthPin::from(pin.to_owned());
        let module = self.load()?;
        let slot = self.slot(&module)?;
        let session = module.open_ro_session(slot).map_err(|e| self.broken("open a session with", &e))?;
        self.log_in(&module, slot, &session, &pin)?;
        let key = self.key(&session)?;
        self.fits(&session, key)?;
        let mut nonce = nonce;
        let gcm = GcmParams::new(&mut nonce, context, TAG_BITS.into()).map_err(|e| self.broken("set up AES-GCM for", &e))?;
        let mechanism = Mechanism::AesGcm(gcm);
        let (text, doing) = match work {
            Work::Wrap(text) => (session.encrypt(&mechanism, key, text), "encrypt with"),
            Work::Unwrap(text) => (session.decrypt(&mechanism, key, text), "decrypt with"),
        };
        text.map(Zeroizing::new).map_err(|error| match (&error, work) {
            (Error::Pkcs11(RvError::MechanismInvalid | RvError::MechanismParamInvalid, _), _) => self.no_gcm(),
            // Tokens have several words for a tag that does not fit.
            (
                Error::Pkcs11(
                    RvError::EncryptedDataInvalid
                    | RvError::EncryptedDataLenRange
                    | RvError::DataInvalid
                    | RvError::DataLenRange
                    | RvError::FunctionFailed
                    | RvError::GeneralError,
                    _,
                ),
                Work::Unwrap(_),
            ) => self.fault(
                FaultClass::Permanent,
                format!("{} does not decrypt it ({})", self.name(), word(&error)),
                "it was wrapped by another key or for another journal: put `seal.json`, `token_label` and `key_label` back as they were",
            ),
            _ => self.broken(doing, &error),
        })
    }

    fn name(&self) -> String {
        format!("the key {} of the token {}", self.key, self.token)
    }

    fn fault(&self, class: FaultClass, what: String, hint: &str) -> Fault {
        Fault::new(class, CODE, what).hint(hint)
    }

    fn broken(&self, doing: &str, error: &Error) -> Fault {
        let gone = matches!(
            error,
            Error::Pkcs11(
                RvError::DeviceError | RvError::DeviceRemoved | RvError::TokenNotPresent | RvError::SessionHandleInvalid,
                _
            )
        );
        let class = if gone { FaultClass::Temporary } else { FaultClass::Permanent };
        let what = format!("cannot {doing} the token {}: {}", self.token, word(error));
        self.fault(
            class,
            what,
            "is the token plugged in and reachable? `pkcs11-tool --module MODULE -L` shows what is there",
        )
    }

    fn no_gcm(&self) -> Fault {
        let what = format!("the token {} has no AES-GCM (CKM_AES_GCM) with a nonce of ours", self.token);
        self.fault(FaultClass::Permanent, what, "choose a token that has it, or another source: see docs/sealing.md")
    }

    fn load(&self) -> Result<Pkcs11, Fault> {
        let mut modules = MODULES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(module) = modules.get(&self.module) {
            return Ok(module.clone());
        }
        let shown = self.module.display();
        trusted(&self.module)?;
        let module = Pkcs11::new(&self.module).map_err(|_| {
            let what = format!("{shown} cannot be loaded as a PKCS#11 module");
            self.fault(FaultClass::Permanent, what, "name the module's file, such as /usr/lib/softhsm/libsofthsm2.so")
        })?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => {
                let what = format!("the PKCS#11 module {shown} does not begin: {}", word(&error));
                return Err(self.fault(
                    FaultClass::Permanent,
                    what,
                    "does its own configuration name a folder that is there?",
                ));
            }
        }
        modules.insert(self.module.clone(), module.clone());
        Ok(module)
    }

    /// The one token of that label.
    fn slot(&self, module: &Pkcs11) -> Result<Slot, Fault> {
        let slots = module.get_slots_with_initialized_token().map_err(|e| self.broken("look for", &e))?;
        let labelled = slots.into_iter().filter(|slot| module.get_token_info(*slot).is_ok_and(|t| t.label() == self.token));
        match labelled.collect::<Vec<_>>()[..] {
            [slot] => Ok(slot),
            [] => {
                let what = format!("there is no token {}", self.token);
                let hint =
                    "is it plugged in, and is `token_label` right? `pkcs11-tool --module MODULE -L` shows what is there";
                Err(self.fault(FaultClass::Temporary, what, hint))
            }
            _ => {
                let what = format!("there are several tokens {}", self.token);
                Err(self.fault(FaultClass::Permanent, what, "give one of them another label, or unplug it"))
            }
        }
    }

    fn log_in(&self, module: &Pkcs11, slot: Slot, session: &Session, pin: &AuthPin) -> Result<(), Fault> {
        let info = module.get_token_info(slot).map_err(|e| self.broken("look at", &e))?;
        let locked = || {
            let what = format!("the PIN of the token {} is locked", self.token);
            self.fault(
                FaultClass::Permanent,
                what,
                "unlock it with the security officer's PIN, then put the right one in place",
            )
        };
        if info.user_pin_locked() {
            return Err(locked());
        }
        if info.user_pin_final_try() {
            let what = format!("a wrong PIN would lock the token {}, so it is not tried", self.token);
            let hint = "log in once with the right PIN by the token's own tool, and put that PIN in place";
            return Err(self.fault(FaultClass::Permanent, what, hint));
        }
        match session.login(UserType::User, Some(pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(locked()),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                let what = format!("the token {} refuses the PIN", self.token);
                let hint = "put the right PIN in place before this is tried again: tokens lock after a few wrong ones";
                Err(self.fault(FaultClass::Permanent, what, hint))
            }
            Err(error) => Err(self.broken("log in to", &error)),
        }
    }

    /// The one AES key of that label.
    fn key(&self, session: &Session) -> Result<ObjectHandle, Fault> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(self.key.clone().into_bytes()),
        ];
        let found = session.find_objects(&template).map_err(|e| self.broken("look for a key of", &e))?;
        match found[..] {
            [key] => Ok(key),
            [] => {
                let what = format!("the token {} has no AES key {}", self.token, self.key);
                Err(self.fault(FaultClass::Permanent, what, "make it once, as docs/sealing.md shows"))
            }
            _ => {
                let what = format!("the token {} has several AES keys {}", self.token, self.key);
                Err(self.fault(FaultClass::Permanent, what, "give each a label of its own"))
            }
        }
    }

    /// Refuses a key that could be taken out of the token, which would protect nothing, and one that cannot do the work.
    fn fits(&self, session: &Session, key: ObjectHandle) -> Result<(), Fault> {
        let asked = [
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::Encrypt,
            AttributeType::Decrypt,
            AttributeType::ValueLen,
        ];
        let told = session.get_attributes(key, &asked).map_err(|e| self.broken("look at a key of", &e))?;
        let has = |wanted: &dyn Fn(&Attribute) -> bool| told.iter().any(wanted);
        let make = "make another one that never leaves the token, as docs/sealing.md shows, and name it";
        let bad = |what: &str| Err(self.fault(FaultClass::Permanent, format!("{} {what}", self.name()), make));
        if !has(&|a| matches!(a, Attribute::Sensitive(true))) || !has(&|a| matches!(a, Attribute::Extractable(false))) {
            return bad("can be taken out of it");
        }
        if !has(&|a| matches!(a, Attribute::Encrypt(true))) || !has(&|a| matches!(a, Attribute::Decrypt(true))) {
            return bad("may not both encrypt and decrypt");
        }
        if !has(&|a| matches!(a, Attribute::ValueLen(n) if u64::from(*n) == KEY_BYTES as u64)) {
            return bad("does not have 256 bits");
        }
        Ok(())
    }
}

/// A module is code that is loaded into this process: nobody else may be able to change it.
fn trusted(module: &Path) -> Result<(), Fault> {
    let refuse = |what: String, hint: String| Err(Fault::new(FaultClass::Permanent, CODE, what).hint(hint));
    let shown = module.display();
    let seen = match std::fs::metadata(module) {
        Ok(seen) if seen.is_file() => seen,
        Ok(_) => return refuse(format!("the PKCS#11 module {shown} is no file"), "name the module's file".to_owned()),
        Err(error) => {
            let hint = "install the token's module, or correct `module`".to_owned();
            return refuse(format!("there is no PKCS#11 module {shown}: {}", error.kind()), hint);
        }
    };
    match seen.permissions().mode() & 0o002 {
        0 => Ok(()),
        _ => refuse(format!("everyone may write to the PKCS#11 module {shown}"), format!("chmod o-w {shown}")),
    }
}

/// The name of an error, without what a module may put beside it.
fn word(error: &Error) -> String {
    match error {
        Error::Pkcs11(error, function) => format!("{function:?}: {error:?}"),
        Error::LibraryLoading(_) => "it cannot be loaded".to_owned(),
        Error::NullFunctionPointer | Error::MissingSymbol(_) | Error::NotSupported => "the module lacks the call".to_owned(),
        _ => "the module answered something that cannot be".to_owned(),
    }
}
