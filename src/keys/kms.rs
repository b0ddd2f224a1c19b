//! The source `aws-kms`: a symmetric key of AWS KMS wraps, and never leaves it.
//!
//! Every call names the journal as its encryption context, which KMS binds and CloudTrail shows: it is no secret. The key is named
//! in every call, so that what another key wrapped is refused.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_rotation::outcome::{Fault, FaultClass};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::CODES;
use crate::aws::json::{Refused, Service};
use crate::aws::{Aws, AwsOptions};
use crate::config::fields::Fields;
use crate::journal::{Key, KeySource, Wrapped};
use crate::web::{Answer, Lost};

/// What the file of the sealing key may say about this source.
pub(super) struct Options {
    aws: AwsOptions,
    key: String,
}

/// Reads the options.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Options> {
    let aws = AwsOptions::read(fields);
    let key = fields.required_str("key");
    Some(Options { aws: aws?, key: key? })
}

pub(super) struct Kms {
    service: Service,
    region: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Plain {
    plaintext: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Cipher {
    ciphertext_blob: String,
}

impl Kms {
    pub(super) fn new(options: Options) -> Result<Self, Fault> {
        let region = options.aws.region.clone();
        let service = Service::new(Aws::new(options.aws, CODES), "kms", "TrentService")?;
        Ok(Self { service, region, key: options.key })
    }

    async fn call(&self, call: &str, body: &Value) -> Result<Answer, Fault> {
        self.service.call(call, body).await.map_err(|Refused { lost, code }| {
            // None of the calls changes anything: it does not matter whether it was heard.
            let (Lost::Before(fault) | Lost::Maybe(fault)) = lost;
            let hint = match code.as_str() {
                "NotFoundException" => "is `key` the id, ARN or alias of a key in this region and account?",
                "DisabledException" | "KMSInvalidStateException" => "enable the key again, or cancel its deletion",
                "InvalidCiphertextException" | "IncorrectKeyException" => {
                    "it was wrapped by another key or for another journal: put `seal.json` and `key` back as they were"
                }
                "InvalidKeyUsageException" | "InvalidGrantTokenException" => "`key` must be a symmetric key for encryption",
                _ => return fault,
            };
            fault.hint(hint)
        })
    }

    fn garbled(&self, call: &str) -> Fault {
        let what = format!("AWS: kms:{call} was answered by something else than expected");
        Fault::new(FaultClass::Permanent, CODES.odd, what).hint("what answers at `endpoint`?")
    }

    fn cipher(&self, answer: &Answer, call: &str) -> Result<Wrapped, Fault> {
        let text = answer.json::<Cipher>().map(|c| c.ciphertext_blob).filter(|text| !text.is_empty());
        text.map(|text| Wrapped { text, version: None }).ok_or_else(|| self.garbled(call))
    }

    fn plain(&self, answer: &Answer, call: &str) -> Result<Key, Fault> {
        let text = answer.json::<Plain>().map(|p| Zeroizing::new(p.plaintext));
        let bytes = text.and_then(|text| STANDARD.decode(text.as_bytes()).ok()).map(Zeroizing::new);
        let mut key = Key::default();
        match bytes {
            Some(bytes) if bytes.len() == key.len() => key.copy_from_slice(&bytes),
            _ => return Err(self.garbled(call)),
        }
        Ok(key)
    }
}

/// What binds to a journal.
fn context(instance: &str) -> Value {
    json!({ "handover-journal": instance })
}

#[async_trait]
impl KeySource for Kms {
    fn kind(&self) -> &'static str {
        "aws-kms"
    }

    fn id(&self) -> String {
        format!("{} {}", self.region, self.key)
    }

    fn strength(&self) -> String {
        "the state folder alone opens nothing, AWS KMS must be asked with its login; whoever has both has everything"
            .to_owned()
    }

    async fn make(&self, instance: &str) -> Result<(Key, Wrapped), Fault> {
        let body = json!({"KeyId": self.key, "KeySpec": "AES_256", "EncryptionContext": context(instance)});
        let answer = self.call("GenerateDataKey", &body).await?;
        Ok((self.plain(&answer, "GenerateDataKey")?, self.cipher(&answer, "GenerateDataKey")?))
    }

    async fn unwrap(&self, instance: &str, text: &str) -> Result<Key, Fault> {
        let body = json!({"KeyId": self.key, "CiphertextBlob": text, "EncryptionContext": context(instance)});
        let answer = self.call("Decrypt", &body).await?;
        self.plain(&answer, "Decrypt")
    }

    async fn rewrap(&self, instance: &str, text: &str) -> Result<Option<Wrapped>, Fault> {
        let body = json!({
            "CiphertextBlob": text,
            "SourceKeyId": self.key, "SourceEncryptionContext": context(instance),
            "DestinationKeyId": self.key, "DestinationEncryptionContext": context(instance),
        });
        let answer = self.call("ReEncrypt", &body).await?;
        self.cipher(&answer, "ReEncrypt").map(Some)
    }
}
