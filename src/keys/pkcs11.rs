//! The source `pkcs11`: an AES key in a PKCS#11 token (an HSM, a smart card, SoftHSM) wraps, and never leaves it.
//!
//! AES-GCM of the token, with the journal as what is bound to it. `token` makes the calls, which block and may hang with the token:
//! they run on a thread of their own, which the process does not wait for. What this must not do: make a key, or try a PIN twice.

mod token;

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use zeroize::Zeroizing;

use self::token::{NONCE, Wanted, Work};
use crate::config::fields::Fields;
use crate::config::inventory::SecretRef;
use crate::journal::{Key, KeySource, Wrapped};

const CODE: &str = "HO0395";
/// The time a token may take if the file says nothing.
const TIMEOUT: Span = Span::seconds(30);
/// The most bytes of a label: what PKCS#11 has room for.
const MOST_LABEL: usize = 32;

/// What the file of the sealing key may say about this source.
pub(super) struct Options {
    wanted: Wanted,
    pin: SecretRef,
    timeout: Span,
}

/// Reads the options.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Options> {
    let module = fields.required_path("module");
    let token = fields.required_str("token_label");
    let key = fields.required_str("key_label");
    let pin = fields.required_secret("pin");
    let given = fields.has("timeout");
    let timeout = fields.optional_duration("timeout", Span::seconds(1)..=Span::minutes(5));
    if token.as_deref().is_some_and(|label| label.len() > MOST_LABEL) {
        let hint = "write the label of the token, as `pkcs11-tool -L` shows it";
        fields.problem("HO0113", "token_label", format!("`token_label` is longer than {MOST_LABEL} bytes"), hint);
        return None;
    }
    let timeout = if given { timeout? } else { TIMEOUT };
    Some(Options { wanted: Wanted { module: module?, token: token?, key: key? }, pin: pin?, timeout })
}

pub(super) struct Pkcs11 {
    options: Options,
}

impl Pkcs11 {
    pub(super) fn new(options: Options) -> Self {
        Self { options }
    }

    fn fault(&self, class: FaultClass, what: impl std::fmt::Display) -> Fault {
        Fault::new(class, CODE, format!("the token {}: {what}", self.options.wanted.token))
    }

    /// One call of the token, on a thread of its own.
    async fn ask(&self, instance: &str, nonce: [u8; NONCE], text: Zeroizing<Vec<u8>>, wrap: bool) -> Result<Bytes, Fault> {
        let pin = self.options.pin.read()?;
        let (wanted, context) = (self.options.wanted.clone(), context(instance));
        let (send, receive) = tokio::sync::oneshot::channel();
        let call = move || {
            let work = if wrap { Work::Wrap(&text) } else { Work::Unwrap(&text) };
            // Whoever asked may have given up.
            let _ = send.send(wanted.ask(pin.expose(), nonce, context.as_bytes(), &work));
        };
        let begun = std::thread::Builder::new().name("pkcs11".to_owned()).spawn(call);
        begun.map_err(|e| self.fault(FaultClass::Temporary, format!("no thread for it: {}", e.kind())))?;
        match tokio::time::timeout(Duration::from_millis(self.options.timeout.0), receive).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                Err(self.fault(FaultClass::Permanent, "its module broke off").hint("is it the module of this token?"))
            }
            Err(_) => {
                let what = format!("it did not answer in {}", self.options.timeout);
                Err(self.fault(FaultClass::Temporary, what).hint("is it plugged in and reachable? `timeout` may be longer"))
            }
        }
    }
}

type Bytes = Zeroizing<Vec<u8>>;

/// What binds to a journal.
fn context(instance: &str) -> String {
    format!("handover journal {instance}")
}

fn broken() -> Fault {
    Fault::new(FaultClass::Permanent, "HO0328", "the system's cryptography does not work")
}

#[async_trait]
impl KeySource for Pkcs11 {
    fn kind(&self) -> &'static str {
        "pkcs11"
    }

    fn id(&self) -> String {
        // Not the module: the same token may be reached by another one.
        format!("{}/{}", self.options.wanted.token, self.options.wanted.key)
    }

    fn strength(&self) -> String {
        "the state folder alone opens nothing, and the key stays in the token; whoever has the folder, the token and its PIN has \
         everything"
            .to_owned()
    }

    async fn make(&self, instance: &str) -> Result<(Key, Wrapped), Fault> {
        let (mut key, mut nonce) = (Key::default(), [0; NONCE]);
        rand::fill(key.as_mut_slice()).map_err(|_| broken())?;
        rand::fill(&mut nonce).map_err(|_| broken())?;
        let wrapped = self.ask(instance, nonce, Zeroizing::new(key.to_vec()), true).await?;
        let text = STANDARD.encode([nonce.as_slice(), wrapped.as_slice()].concat());
        let again = self.unwrap(instance, &text).await?;
        // One that ignores what is bound to it would open for any journal.
        let same = verify_slices_are_equal(again.as_slice(), key.as_slice()).is_ok();
        if !same || self.unwrap("another", &text).await.is_ok() {
            let what = "it does not bind what it encrypts to this journal";
            return Err(self.fault(FaultClass::Permanent, what).hint("choose another token: see docs/sealing.md"));
        }
        Ok((key, Wrapped { text, version: None }))
    }

    async fn unwrap(&self, instance: &str, text: &str) -> Result<Key, Fault> {
        let garbled = || Fault::new(FaultClass::Permanent, CODE, "what `seal.json` holds was not wrapped by a token");
        let bytes = STANDARD.decode(text).map_err(|_| garbled())?;
        let (nonce, wrapped) = bytes.split_first_chunk::<NONCE>().ok_or_else(garbled)?;
        let plain = self.ask(instance, *nonce, Zeroizing::new(wrapped.to_vec()), false).await?;
        let mut key = Key::default();
        match plain.len() == key.len() {
            true => key.copy_from_slice(&plain),
            false => return Err(self.fault(FaultClass::Permanent, "it decrypted something else than a key")),
        }
        Ok(key)
    }

    async fn rewrap(&self, _: &str, _: &str) -> Result<Option<Wrapped>, Fault> {
        Ok(None)
    }
}
