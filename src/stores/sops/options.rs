//! What an inventory says about a store of the kind `sops`: which program, where its keys are, and what form the files have.

use std::path::Path;

use handover_rotation::outcome::Fault;
use handover_rotation::time::Span;
use serde_json::{Map, Value, json};

use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;
use crate::process::{Codes, Program};

/// The time one run of the program may take if the inventory says nothing.
const DEFAULT_TIMEOUT: Span = Span::seconds(20);

const CODES: Codes = Codes { unusable: "HO0634", not_started: "HO0634", failed: "HO0634", slow: "HO0633", unseen: "HO0633" };

/// What SOPS and the libraries in it read from their environment to find keys: files and folders.
const PATHS: [&str; 14] = [
    "SOPS_AGE_KEY_FILE",
    "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
    "GNUPGHOME",
    "HOME",
    "XDG_CONFIG_HOME",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CA_BUNDLE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "VAULT_CACERT",
    "SSL_CERT_FILE",
];

/// The same: names, addresses and orders. What is a secret itself, such as `SOPS_AGE_KEY`, is not among them: the environment of a
/// process can be read by others.
const NAMES: [&str; 10] = [
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_EC2_METADATA_DISABLED",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_ENVIRONMENT",
    "VAULT_ADDR",
    "VAULT_NAMESPACE",
    "SOPS_DECRYPTION_ORDER",
];

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `yaml`.
    Yaml,
    /// `json`.
    Json,
    /// `dotenv`: lines of `KEY=value`.
    Dotenv,
    /// `ini`: keys in sections.
    Ini,
}

const FORMATS: [(&str, Format); 4] =
    [("yaml", Format::Yaml), ("json", Format::Json), ("dotenv", Format::Dotenv), ("ini", Format::Ini)];

impl Format {
    /// As SOPS calls it.
    pub(super) fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("yaml", |(name, _)| name)
    }

    /// What SOPS takes a file of this name for.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = Path::new(path);
        // `.env` has no extension, and is one.
        let end = path.extension().or_else(|| path.file_name().filter(|name| *name == ".env"))?.to_str()?;
        match end {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            "env" | ".env" => Some(Self::Dotenv),
            "ini" => Some(Self::Ini),
            _ => None,
        }
    }
}

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SopsOptions {
    /// `program`: `sops` if left out.
    pub program: String,
    /// `format`: what the files are, where their names do not tell.
    pub format: Option<Format>,
    /// `environment`: where its keys are.
    pub environment: Vec<(String, String)>,
    /// `timeout`: after this long a run is ended.
    pub timeout: Span,
}

impl Default for SopsOptions {
    fn default() -> Self {
        Self { program: "sops".to_owned(), format: None, environment: Vec::new(), timeout: DEFAULT_TIMEOUT }
    }
}

impl SopsOptions {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let usual = Self::default();
        let named = fields.has("program");
        let program = fields.optional_str("program");
        let formed = fields.has("format");
        let format = fields.optional_choice("format", &FORMATS);
        let placed = fields.has("environment");
        let environment = fields.optional_map("environment", environment);
        let timed = fields.has("timeout");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        let options = Self {
            program: if named { program? } else { usual.program },
            format: if formed { Some(format?) } else { None },
            environment: if placed { environment? } else { Vec::new() },
            timeout: if timed { timeout? } else { DEFAULT_TIMEOUT },
        };
        if let Err(fault) = options.run() {
            fields.problem("HO0113", "program", fault.message, "leave it out, or write its whole path");
            return None;
        }
        Some(options)
    }

    pub(super) fn schema() -> Value {
        let formats: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
        let known: Map<String, Value> = PATHS
            .iter()
            .chain(&NAMES)
            .map(|name| ((*name).to_owned(), json!({ "type": "string", "minLength": 1 })))
            .collect();
        json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "program": { "type": "string", "pattern": "^(/|[^/]*[^/\\s][^/]*$)" },
                "format": { "enum": formats },
                "environment": { "type": "object", "additionalProperties": false, "properties": known },
                "timeout": schema::duration(),
            }
        })
    }

    /// The program, with where its keys are.
    pub(super) fn run(&self) -> Result<Program, Fault> {
        Ok(Program::new(vec![self.program.clone()], self.timeout, CODES)?.with(self.environment.clone()))
    }
}

fn environment(fields: &mut Fields<'_>) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    for name in PATHS {
        if let Some(path) = fields.optional_path(name) {
            all.push((name.to_owned(), path.to_str()?.to_owned()));
        }
    }
    for name in NAMES {
        if let Some(text) = fields.optional_str(name) {
            all.push((name.to_owned(), text));
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_form_that_sops_gives_its_name() {
        for (path, format) in [
            ("/a/smtp.yaml", Some(Format::Yaml)),
            ("/a/smtp.enc.yml", Some(Format::Yaml)),
            ("/a/smtp.json", Some(Format::Json)),
            ("/a/smtp.env", Some(Format::Dotenv)),
            ("/a/.env", Some(Format::Dotenv)),
            ("/a/smtp.ini", Some(Format::Ini)),
            ("/a/smtp.yaml.enc", None),
            ("/a/smtp", None),
        ] {
            assert_eq!(Format::of(path), format, "{path}");
        }
        assert_eq!(Format::Dotenv.name(), "dotenv");
    }
}
