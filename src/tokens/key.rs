//! The key file of a Google service account: a token for a JWT that is signed with it (RFC 7523 section 2.1, RS256).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use reqwest::Url;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Grant, Shown, granted};
use crate::config::inventory::SecretRef;
use crate::secret::Secret;
use crate::web::{Api, Codes, Lost, form};

/// What the token is for. What it may do is said by IAM.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The longest that Google takes, in seconds.
const LIFE: u64 = 3600;

/// What Google calls the grant.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What a key file says, as far as it matters.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    private_key: Option<Shown>,
    #[serde(default)]
    token_uri: String,
}

/// A token for the account of the key file at `source`, which is read anew each time.
pub(crate) async fn grant(
    source: &SecretRef,
    ca_file: Option<&std::path::Path>,
    timeout: Span,
    codes: Codes,
) -> Result<Grant, Lost> {
    let refuse = |what: &str| {
        let fault =
            Fault::new(FaultClass::Permanent, codes.forbidden, format!("the key file of the service account {what}"));
        Lost::Before(fault.hint("make a new one: `gcloud iam service-accounts keys create`"))
    };
    let text = source.read().map_err(Lost::Before)?;
    let file: KeyFile = serde_json::from_str(text.expose()).map_err(|_| refuse("is no JSON object of texts"))?;
    if file.r#type != "service_account" {
        return Err(refuse("is of another type than `service_account`"));
    }
    let key = file.private_key.as_ref().ok_or_else(|| refuse("has no `private_key`"))?;
    let door = Url::parse(&file.token_uri).map_err(|_| refuse("has no address as `token_uri`"))?;
    let door = Api::new("Google's login", &door, ca_file, timeout, codes).map_err(Lost::Before)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let assertion = assertion(&file, &key.0, now).ok_or_else(|| refuse("has a `private_key` that cannot sign"))?;
    let doing = "sign in as the service account";
    let request = form(door.client.post(door.base()), &[("grant_type", GRANT), ("assertion", &assertion)]);
    let answer = door.send(request).await.map_err(Lost::before_the_change)?;
    match answer.status.as_u16() {
        400 | 401 => {
            let fault = door.forbidden(format!("it refused to {doing} {}", shown(&file.client_email)));
            Err(Lost::Before(
                fault.hint("was the key deleted, or its account disabled? is the clock of this machine right?"),
            ))
        }
        _ => granted(&door, &answer, doing),
    }
}

/// The name of an account, unless it could be anything else.
fn shown(email: &str) -> &str {
    let sound = email.bytes().all(|b| b.is_ascii_alphanumeric() || b"@.-_".contains(&b)) && email.contains('@');
    if sound { email } else { "of the key file" }
}

/// The signed JWT; `None` if the key cannot be used.
fn assertion(file: &KeyFile, key: &Secret, now: u64) -> Option<Zeroizing<String>> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(key.expose().as_bytes()).ok()?;
    let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": file.private_key_id});
    let claims = json!({
        "iss": file.client_email, "scope": SCOPE, "aud": file.token_uri, "iat": now, "exp": now.saturating_add(LIFE),
    });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let mut signed = Zeroizing::new(format!("{header}.{claims}"));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    signed.reserve_exact(1 + signature.len());
    signed.push('.');
    signed.push_str(&signature);
    Some(signed)
}
