//! Google Cloud's Secret Manager (googleapis, google/cloud/secretmanager/v1) with the two ways to a token before it, on one port: the
//! grant for a JWT that a service account has signed, and the metadata service of a machine.

use std::collections::BTreeMap;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::super::vendors::Asked;
use super::{Cloud, Said};

pub(crate) const PROJECT: &str = "mail-prod";
pub(crate) const ACCOUNT: &str = "handover@mail-prod.iam.gserviceaccount.com";
pub(crate) const ACCESS: &str = "secretmanager.versions.access";
pub(crate) const ADD: &str = "secretmanager.versions.add";

/// A secret with its versions: the first is number 1.
#[derive(Default)]
pub(crate) struct Secret {
    pub(crate) versions: Vec<Version>,
    /// What describing it shows beside its name.
    pub(crate) more: BTreeMap<&'static str, Value>,
}

pub(crate) struct Version {
    pub(crate) data: Vec<u8>,
    pub(crate) state: &'static str,
}

/// What somebody else does there.
type Meddling = Box<dyn FnOnce(&mut Google) + Send>;

pub(crate) struct Google {
    /// By the path below `v1`, without `versions`.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// What a token may do.
    pub(crate) tokens: BTreeMap<String, Vec<&'static str>>,
    /// The public key of the service account.
    key: Vec<u8>,
    pub(crate) logins: usize,
    /// What the checksum of a value is told to be instead.
    pub(crate) damaged: bool,
    /// Done once, directly before the next version is added.
    pub(crate) before_add: Option<Meddling>,
    pub(crate) port: u16,
}

/// A key file of a service account, as `gcloud` writes one, and the server that knows the key.
pub(crate) fn with_key() -> (Google, String) {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("a private key");
    let coded = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = coded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a public key");
    let google = Google {
        secrets: BTreeMap::new(),
        tokens: BTreeMap::new(),
        key: public.as_ref().to_vec(),
        logins: 0,
        damaged: false,
        before_add: None,
        port: 0,
    };
    (google, pem)
}

/// The key file for a server at a port.
pub(crate) fn key_file(pem: &str, port: u16) -> String {
    json!({
        "type": "service_account", "project_id": PROJECT, "private_key_id": "k-1", "private_key": pem,
        "client_email": ACCOUNT, "client_id": "1", "token_uri": format!("http://127.0.0.1:{port}/token"),
    })
    .to_string()
}

fn refusal(code: u16, status: &str) -> Said {
    Said::new(code, json!({"error": {"code": code, "message": "see the status", "status": status}}))
}

fn crc32c(bytes: &[u8]) -> u32 {
    // By the polynomial, bit by bit: written apart from the adapter's.
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
    })
}

impl Google {
    pub(crate) fn path(secret: &str) -> String {
        format!("projects/{PROJECT}/secrets/{secret}")
    }

    pub(crate) fn add(&mut self, secret: &str, value: &str) {
        let version = Version { data: value.as_bytes().to_vec(), state: "ENABLED" };
        self.secrets.entry(Self::path(secret)).or_default().versions.push(version);
    }

    fn grant(&mut self, token: &str) -> Said {
        self.logins += 1;
        let token = format!("{token}-{}", self.logins);
        self.tokens.insert(token.clone(), vec![ACCESS, ADD, "secretmanager.secrets.get", "secretmanager.versions.get"]);
        Said::new(200, json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))
    }

    /// Whether an assertion is signed by the account, for this server, and is of now.
    fn is_sound(&self, assertion: &str) -> bool {
        let parts: Vec<&str> = assertion.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else { return false };
        let read = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url without padding");
        let json = |part: &str| serde_json::from_slice::<Value>(&read(part)).expect("JSON");
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.key);
        let signed = key.verify(format!("{header}.{claims}").as_bytes(), &read(signature)).is_ok();
        let (header, claims) = (json(header), json(claims));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_secs();
        let (iat, exp) = (claims["iat"].as_u64().unwrap_or(0), claims["exp"].as_u64().unwrap_or(0));
        signed
            && header == json!({"alg": "RS256", "typ": "JWT", "kid": "k-1"})
            && claims["iss"] == ACCOUNT
            && claims["aud"] == format!("http://127.0.0.1:{}/token", self.port)
            && claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
            && (now.saturating_sub(300)..=now + 5).contains(&iat)
            && exp == iat + 3600
    }

    fn on_secret(&mut self, asked: &Asked, may: &[&str], secret: &str, rest: &[&str]) -> Said {
        let method = asked.method.as_str();
        let allowed = |permission: &str| may.contains(&permission);
        let denied = || refusal(403, "PERMISSION_DENIED");
        let (secret, verb) = match rest {
            [] => secret.split_once(':').unwrap_or((secret, "")),
            _ => (secret, ""),
        };
        if (method, verb) == ("POST", "testIamPermissions") {
            let Some(body) = asked.json(&["permissions"]) else { return refusal(400, "INVALID_ARGUMENT") };
            let asked = body["permissions"].as_array().cloned().unwrap_or_default();
            // One that is not there gives nothing, and not a 404.
            let there = self.secrets.contains_key(secret);
            let has = asked.into_iter().filter(|p| there && p.as_str().is_some_and(allowed));
            return Said::new(200, json!({"permissions": has.collect::<Vec<_>>()}));
        }
        if (method, verb) == ("POST", "addVersion") {
            if !allowed(ADD) {
                return denied();
            }
            if let Some(before) = self.before_add.take() {
                before(self);
            }
            let Some(body) = asked.json(&["payload"]) else { return refusal(400, "INVALID_ARGUMENT") };
            let payload = &body["payload"];
            let data = payload["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
            let Some(data) = data.filter(|data| data.len() <= 65_536) else { return refusal(400, "INVALID_ARGUMENT") };
            // An `int64` is a text in JSON.
            let told = payload["dataCrc32c"].as_str();
            if told.is_some_and(|told| *told != crc32c(&data).to_string()) || payload.as_object().is_none_or(|p| p.len() > 2)
            {
                return refusal(400, "INVALID_ARGUMENT");
            }
            let told = told.is_some();
            let Some(found) = self.secrets.get_mut(secret) else { return refusal(404, "NOT_FOUND") };
            found.versions.push(Version { data, state: "ENABLED" });
            let number = found.versions.len();
            let name = format!("{secret}/versions/{number}");
            return Said::new(
                200,
                json!({"name": name, "state": "ENABLED", "etag": "\"1\"", "clientSpecifiedPayloadChecksum": told}),
            );
        }
        let Some(found) = self.secrets.get_mut(secret) else { return refusal(404, "NOT_FOUND") };
        match (method, rest) {
            ("GET", []) if allowed("secretmanager.secrets.get") => {
                let mut body = json!({"name": secret, "replication": {"automatic": {}}});
                for (name, value) in &found.more {
                    body[*name] = value.clone();
                }
                Said::new(200, body)
            }
            ("GET", ["versions"]) if allowed("secretmanager.versions.list") => {
                let all = found.versions.iter().enumerate().rev();
                let all = all.map(|(at, v)| json!({"name": format!("{secret}/versions/{}", at + 1), "state": v.state}));
                Said::new(200, json!({"versions": all.collect::<Vec<_>>(), "totalSize": found.versions.len()}))
            }
            (method, ["versions", which]) => {
                let (which, verb) = which.split_once(':').unwrap_or((which, ""));
                let number = if which == "latest" { found.versions.len() } else { which.parse().unwrap_or(0) };
                let Some(version) = number.checked_sub(1).and_then(|at| found.versions.get_mut(at)) else {
                    return refusal(404, "NOT_FOUND");
                };
                let name = format!("{secret}/versions/{number}");
                let state = match (method, verb) {
                    ("GET", "") if allowed("secretmanager.versions.get") => version.state,
                    ("GET", "access") if allowed(ACCESS) && version.state == "ENABLED" => {
                        let checksum = if self.damaged { 1 } else { crc32c(&version.data) };
                        let payload = json!({"data": STANDARD.encode(&version.data), "dataCrc32c": checksum.to_string()});
                        return Said::new(200, json!({"name": name, "payload": payload}));
                    }
                    ("GET", "access") if allowed(ACCESS) => return refusal(400, "FAILED_PRECONDITION"),
                    ("POST", "disable") if allowed("secretmanager.versions.disable") => "DISABLED",
                    ("POST", "enable") if allowed("secretmanager.versions.enable") => "ENABLED",
                    _ => return denied(),
                };
                version.state = state;
                Said::new(200, json!({"name": name, "state": state}))
            }
            _ => denied(),
        }
    }
}

impl Cloud for Google {
    fn answer(&mut self, asked: &Asked) -> Said {
        let (method, path) = asked.call();
        match (method, path.as_slice()) {
            ("POST", ["token"]) => {
                let form = asked.form().unwrap_or_default();
                let field = |name: &str| form.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
                let sound = field("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer" && form.len() == 2;
                if !sound || !self.is_sound(field("assertion")) {
                    return Said::new(400, json!({"error": "invalid_grant", "error_description": "Invalid JWT"}));
                }
                self.grant("of-the-key")
            }
            ("GET", ["computeMetadata", "v1", "instance", "service-accounts", account, "token"]) => {
                if asked.header("metadata-flavor") != Some("Google") {
                    return Said::new(403, Value::Null);
                }
                if *account != "default" && *account != ACCOUNT {
                    return Said::new(404, Value::Null);
                }
                self.grant("of-the-machine").with("metadata-flavor", "Google")
            }
            (_, ["v1", rest @ ..]) => {
                let Some(may) = asked.bearer().and_then(|token| self.tokens.get(token)).cloned() else {
                    return refusal(401, "UNAUTHENTICATED");
                };
                let at = rest.iter().position(|part| *part == "secrets").map_or(rest.len(), |at| (at + 2).min(rest.len()));
                let (secret, rest) = rest.split_at(at);
                self.on_secret(asked, &may, &secret.join("/"), rest)
            }
            _ => Said::new(404, json!("no such path in the contract")),
        }
    }
}
