//! An application of Microsoft Entra: the client credentials grant, RFC 6749 section 4.4, with a secret, or with a token of another
//! issuer that Entra is told to trust (RFC 7523).

use reqwest::Url;

use super::{Grant, granted};
use crate::config::inventory::SecretRef;
use crate::web::{Api, Lost, form};

/// Where Entra gives tokens, national clouds aside.
pub(crate) const PUBLIC: &str = "https://login.microsoftonline.com";

/// What shows that we are the application. It is read at each login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A client secret.
    Secret(SecretRef),
    /// A token of another issuer, such as the one that Kubernetes puts into a pod.
    Assertion(SecretRef),
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) proof: Proof,
}

/// Where Entra is, as an inventory says it or in public.
pub(crate) fn address(given: Option<Url>) -> Option<Url> {
    given.or_else(|| Url::parse(PUBLIC).ok())
}

impl Client {
    /// A token for `scope`, such as `https://graph.microsoft.com/.default`, from `door`.
    pub(crate) async fn grant(&self, door: &Api, scope: &str) -> Result<Grant, Lost> {
        let doing = "sign in as the application of `client_id`";
        let url = door.url(&[self.tenant.as_str(), "oauth2", "v2.0", "token"])?;
        let (Proof::Secret(source) | Proof::Assertion(source)) = &self.proof;
        let proof = source.read().map_err(Lost::Before)?;
        let request = door.client.post(url);
        let common = [("grant_type", "client_credentials"), ("client_id", self.client_id.as_str()), ("scope", scope)];
        let [grant, client, scope] = common;
        let request = match &self.proof {
            Proof::Secret(_) => form(request, &[grant, client, ("client_secret", proof.expose()), scope]),
            Proof::Assertion(_) => {
                let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form(request, &[grant, client, kind, ("client_assertion", proof.expose()), scope])
            }
        };
        let answer = door.send(request).await.map_err(Lost::before_the_change)?;
        match answer.status.as_u16() {
            // A wrong client is a 400 or a 401.
            400 | 401 => {
                let fault = door.forbidden(format!("it refused to {doing}"));
                Err(Lost::Before(fault.hint(match &self.proof {
                    Proof::Secret(_) => "is `client_secret` still valid, and of this tenant and client?",
                    Proof::Assertion(_) => "does a federated credential of the application name this issuer and subject?",
                })))
            }
            _ => granted(door, &answer, doing),
        }
    }
}
