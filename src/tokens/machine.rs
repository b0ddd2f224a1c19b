//! The metadata service of a machine in a cloud: it gives tokens of the identity that the machine has, to whoever asks from there
//! with a header that no browser sends.

use reqwest::Url;

use super::{Grant, granted};
use crate::web::{Api, Lost};

/// Where the metadata services of Google and of Azure are. By number, so that no name server can lead elsewhere.
pub(crate) const LINK_LOCAL: &str = "http://169.254.169.254";

/// Whose metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cloud {
    /// Google's: for a machine, a pod or a function.
    Google {
        /// The service account; `default` is the machine's own.
        account: String,
    },
    /// Azure's: for a virtual machine.
    Azure {
        /// Which of several identities; `None` where there is one.
        client_id: Option<String>,
        /// What the token is for, such as `https://vault.azure.net`.
        resource: String,
    },
}

/// Where it is, as an inventory says it or where it always is.
pub(crate) fn address(given: Option<Url>) -> Option<Url> {
    given.or_else(|| Url::parse(LINK_LOCAL).ok())
}

impl Cloud {
    /// A token from `door`.
    pub(crate) async fn grant(&self, door: &Api) -> Result<Grant, Lost> {
        let doing = "give a token of this machine's identity";
        let request = match self {
            Self::Google { account } => {
                let path = ["computeMetadata", "v1", "instance", "service-accounts", account.as_str(), "token"];
                door.client.get(door.url(&path)?).header("Metadata-Flavor", "Google")
            }
            Self::Azure { client_id, resource } => {
                let mut url = door.url(&["metadata", "identity", "oauth2", "token"])?;
                url.query_pairs_mut().append_pair("api-version", "2018-02-01").append_pair("resource", resource);
                if let Some(client_id) = client_id {
                    url.query_pairs_mut().append_pair("client_id", client_id);
                }
                door.client.get(url).header("Metadata", "true")
            }
        };
        let answer = door.send(request).await.map_err(Lost::before_the_change)?;
        match answer.status.as_u16() {
            400 | 401 | 403 | 404 => {
                let fault = door.forbidden(format!("it refused to {doing}"));
                Err(Lost::Before(fault.hint("has this machine an identity, and is it the one that the inventory names?")))
            }
            _ => granted(door, &answer, doing),
        }
    }
}
