//! What an inventory says about a store of the kind `systemd-credential`: which keys encrypt, and what the login stands in.

use std::path::PathBuf;

use handover_rotation::outcome::Fault;
use handover_rotation::time::Span;
use serde_json::{Value, json};

use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;
use crate::process::{Codes, Program};

/// The time one run of the program may take if the inventory says nothing: a TPM is slow.
const DEFAULT_TIMEOUT: Span = Span::seconds(20);
const CODES: Codes = Codes { unusable: "HO0634", not_started: "HO0634", failed: "HO0634", slow: "HO0633", unseen: "HO0633" };
/// What the two values stand in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `json`: a JSON object; the fields are keys.
    #[default]
    Json,
    /// `env`: lines of `KEY=value`, in the dialect `dotenv`.
    Env,
}

const FORMATS: [(&str, Format); 2] = [("json", Format::Json), ("env", Format::Env)];
const KEYS: [(&str, &str); 4] = [("auto", "auto"), ("host", "host"), ("tpm2", "tpm2"), ("host+tpm2", "host+tpm2")];

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemdCredentialOptions {
    /// `format`.
    pub format: Format,
    /// `with_key`: which keys encrypt, as `systemd-creds` has it.
    pub with_key: &'static str,
    /// `tpm2_pcrs`: the registers of the TPM that must be as they are now, such as `7+11`.
    pub tpm2_pcrs: Option<String>,
    /// `host_key`: the host's key, where it is not systemd's own.
    pub host_key: Option<PathBuf>,
    /// `systemd_creds`: the program, with what is before it.
    pub systemd_creds: Vec<String>,
    /// `timeout`: after this long a run is ended.
    pub timeout: Span,
}

impl Default for SystemdCredentialOptions {
    fn default() -> Self {
        Self {
            format: Format::default(),
            with_key: "auto",
            tpm2_pcrs: None,
            host_key: None,
            systemd_creds: vec!["systemd-creds".to_owned()],
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

impl SystemdCredentialOptions {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let usual = Self::default();
        let has = |fields: &Fields<'_>, key: &str| fields.has(key);
        let (formed, keyed) = (has(fields, "format"), has(fields, "with_key"));
        let format = fields.optional_choice("format", &FORMATS);
        let with_key = fields.optional_choice("with_key", &KEYS);
        let measured = has(fields, "tpm2_pcrs");
        let tpm2_pcrs = fields.optional_str("tpm2_pcrs");
        let placed = has(fields, "host_key");
        let host_key = fields.optional_path("host_key");
        let (named, timed) = (has(fields, "systemd_creds"), has(fields, "timeout"));
        let systemd_creds = fields.optional_list("systemd_creds");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        if tpm2_pcrs.as_deref().is_some_and(|text| !is_pcrs(text)) {
            fields.problem(
                "HO0113",
                "tpm2_pcrs",
                "`tpm2_pcrs` are no registers of a TPM",
                "write them as in `7+11`, in quotes",
            );
            return None;
        }
        let options = Self {
            format: if formed { format? } else { usual.format },
            with_key: if keyed { with_key? } else { usual.with_key },
            tpm2_pcrs: if measured { Some(tpm2_pcrs?) } else { None },
            host_key: if placed { Some(host_key?) } else { None },
            systemd_creds: if named { systemd_creds? } else { usual.systemd_creds },
            timeout: if timed { timeout? } else { DEFAULT_TIMEOUT },
        };
        if let Err(fault) = options.program() {
            fields.problem("HO0113", "systemd_creds", fault.message, "write it as [sudo, -n, systemd-creds]");
            return None;
        }
        Some(options)
    }

    pub(super) fn schema() -> Value {
        let words = |all: &[&str]| json!({ "enum": all });
        json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "format": words(&FORMATS.map(|(name, _)| name)),
                "with_key": words(&KEYS.map(|(name, _)| name)),
                "tpm2_pcrs": { "type": "string", "pattern": "^[0-9]{1,2}([+][0-9]{1,2})*$" },
                "host_key": { "type": "string", "minLength": 1 },
                "systemd_creds": {
                    "type": "array", "minItems": 1,
                    "prefixItems": [{ "type": ["string", "number"], "pattern": "^(/|[^/]*[^/\\s][^/]*$)" }],
                    "items": { "type": ["string", "number"], "pattern": "\\S" },
                },
                "timeout": schema::duration(),
            }
        })
    }

    pub(super) fn program(&self) -> Result<Program, Fault> {
        let key = self.host_key.as_ref().and_then(|path| path.to_str());
        let key = key.map(|path| ("SYSTEMD_CREDENTIAL_SECRET".to_owned(), path.to_owned()));
        Ok(Program::new(self.systemd_creds.clone(), self.timeout, CODES)?.with(key.into_iter().collect()))
    }
}

fn is_pcrs(text: &str) -> bool {
    text.split('+').all(|one| (1..=2).contains(&one.len()) && one.bytes().all(|b| b.is_ascii_digit()))
}
