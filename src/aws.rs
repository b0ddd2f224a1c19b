//! What the kinds at AWS share: who Handover is there, clients that never repeat a call by themselves, and what an error means.
//!
//! The SDK retries by default; a `CreateAccessKey` whose answer was lost would then be made twice. So retries are off for all calls,
//! and the rotation decides.

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use reqwest::Url;
use tokio::sync::OnceCell;

use crate::config::Fields;
use crate::config::inventory::SecretRef;
use crate::web::{Codes, Lost, is_loopback, tls_cause};

/// After this long a call has surely ended.
pub const REQUEST_TIMEOUT: Span = Span::seconds(15);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Where AWS is and who Handover is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsOptions {
    /// `region`.
    pub region: String,
    /// `endpoint`: another address for every service, for tests and private endpoints.
    pub endpoint: Option<String>,
    /// `profile`: a profile of the shared configuration files, which are also looked at without it.
    pub profile: Option<String>,
    /// `credentials`: an access key of its own. Without one, the usual chain: environment, profile, web identity, container, instance.
    pub credentials: Option<KeyRef>,
}

/// Where an access key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRef {
    access_key_id: SecretRef,
    secret_access_key: SecretRef,
    session_token: Option<SecretRef>,
}

impl AwsOptions {
    /// Reads the options that every kind at AWS has.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let region = fields.required_str("region");
        if let Some(region) = &region
            && !is_region(region)
        {
            fields.problem("HO0113", "region", format!("`{region}` is no AWS region"), "write it as `eu-central-1`");
            return None;
        }
        let endpoint = fields.optional_url("endpoint");
        if let Some(url) = &endpoint
            && url.scheme() != "https"
            && !is_loopback(url)
        {
            let hint = "write it with https://; plain http is for this machine only";
            fields.problem("HO0113", "endpoint", "keys would cross the network in the clear", hint);
            return None;
        }
        let profile = fields.optional_str("profile");
        let given = fields.has("credentials");
        let credentials = fields.optional_map("credentials", |fields| {
            let access_key_id = fields.required_secret("access_key_id");
            let secret_access_key = fields.required_secret("secret_access_key");
            let session_token = fields.optional_secret("session_token");
            Some(KeyRef { access_key_id: access_key_id?, secret_access_key: secret_access_key?, session_token })
        });
        if given && credentials.is_none() {
            return None;
        }
        let endpoint = endpoint.map(|url| url.as_str().trim_end_matches('/').to_owned());
        Some(Self { region: region?, endpoint, profile, credentials })
    }

    /// The same in another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// The JSON Schema of these options, as properties.
    #[must_use]
    pub fn schema() -> serde_json::Map<String, serde_json::Value> {
        let secret = serde_json::json!({ "$ref": "#/$defs/secret" });
        let properties = serde_json::json!({
            "region": {"type": "string", "pattern": "^[a-z]{2,4}(-[a-z]+)+-[0-9]+$"},
            "endpoint": {"type": "string", "pattern": "^\\s*[hH][tT][tT][pP][sS]?:"},
            "profile": {"type": "string", "minLength": 1},
            "credentials": {
                "type": "object", "additionalProperties": false, "required": ["access_key_id", "secret_access_key"],
                "properties": {"access_key_id": secret, "secret_access_key": secret, "session_token": secret},
            },
        });
        match properties {
            serde_json::Value::Object(map) => map,
            _ => serde_json::Map::new(),
        }
    }
}

/// `eu-central-1`, `us-gov-west-1`. Which regions there are is AWS's business.
pub(crate) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let word = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase());
    parts.len() >= 3
        && parts[..parts.len() - 1].iter().all(|p| word(p))
        && parts.last().is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// The SDK's configuration, made at the first call: it may have to ask the machine who it is.
pub struct Aws {
    options: AwsOptions,
    codes: Codes,
    config: OnceCell<SdkConfig>,
}

impl Aws {
    /// Contacts nothing yet.
    #[must_use]
    pub fn new(options: AwsOptions, codes: Codes) -> Self {
        Self { options, codes, config: OnceCell::new() }
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.options.region
    }

    /// The endpoint that stands in for AWS's own, if there is one.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.options.endpoint.as_deref()
    }

    /// The configuration.
    ///
    /// # Errors
    /// A secret that the inventory names cannot be read.
    pub async fn config(&self) -> Result<&SdkConfig, Lost> {
        self.config
            .get_or_try_init(|| async {
                let timeouts = TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(OPERATION_TIMEOUT)
                    .operation_timeout(OPERATION_TIMEOUT)
                    .build();
                let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
                    .region(Region::new(self.options.region.clone()))
                    .retry_config(RetryConfig::disabled())
                    .timeout_config(timeouts);
                if let Some(endpoint) = &self.options.endpoint {
                    loader = loader.endpoint_url(endpoint);
                }
                if let Some(profile) = &self.options.profile {
                    loader = loader.profile_name(profile);
                }
                if let Some(key) = &self.options.credentials {
                    let token = key.session_token.as_ref().map(SecretRef::read).transpose()?;
                    loader = loader.credentials_provider(Credentials::new(
                        key.access_key_id.read()?.expose(),
                        key.secret_access_key.read()?.expose(),
                        token.map(|t| t.expose().to_owned()),
                        None,
                        "inventory",
                    ));
                }
                Ok(loader.load().await)
            })
            .await
            .map_err(Lost::Before)
    }

    /// What an error of the SDK means. `doing` is the permission it takes, such as `iam:ListAccessKeys`.
    pub fn lost<E>(
        &self,
        error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
        doing: &str,
    ) -> Lost
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ServiceError(context) => {
                let code = context.err().code().unwrap_or("no code");
                self.refused(context.raw().status().as_u16(), code, doing)
            }
            SdkError::ResponseError(context) => {
                self.refused(context.raw().status().as_u16(), "an answer without a code", doing)
            }
            SdkError::TimeoutError(_) => self.maybe(self.codes.lost, format!("no answer to {doing} in time")),
            other => self.not_answered(other, doing),
        }
    }

    fn maybe(&self, code: &str, what: String) -> Lost {
        Lost::Maybe(Fault::new(FaultClass::Temporary, code, format!("AWS: {what}")))
    }

    /// What an error code of AWS means.
    #[must_use]
    pub fn refused(&self, status: u16, code: &str, doing: &str) -> Lost {
        let code: String = code.chars().filter(|c| c.is_ascii_alphanumeric() || " .-_".contains(*c)).take(60).collect();
        let what = format!("{doing}: {code}");
        let throttled = code.contains("Throttl") || code.contains("TooManyRequests") || code == "RequestLimitExceeded";
        if status >= 500 || status == 429 || status == 408 || throttled {
            return self.maybe(self.codes.busy, what);
        }
        let before = |code: &str, hint: &str| {
            Lost::Before(Fault::new(FaultClass::Permanent, code, format!("AWS: {what}")).hint(hint))
        };
        // The services with JSON have names of their own for these.
        let stale = [
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignature",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "RequestExpired",
            "UnrecognizedClient",
            "AuthFailure",
        ];
        if stale.iter().any(|s| code.contains(s)) {
            let hint =
                "the credentials that Handover uses at AWS are wrong or have expired, or this machine's clock is wrong";
            return before(self.codes.forbidden, hint);
        }
        if status == 403 || code.contains("AccessDenied") || code.contains("NotAuthorized") {
            let hint = format!("allow {doing} for whom Handover is at AWS, or renew the credentials that it uses there");
            return before(self.codes.forbidden, &hint);
        }
        before(self.codes.odd, "compare `account`, `path` and `region` in the inventory with what is there")
    }

    fn not_answered(&self, error: &(dyn Error + 'static), doing: &str) -> Lost {
        if let Some(tls) = tls_cause(error) {
            let fault = Fault::new(FaultClass::Environment, self.codes.unreachable, format!("AWS: TLS failed: {tls}"));
            return Lost::Before(fault.hint("what answers there, and does this machine trust its CA?"));
        }
        let mut at: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(cause) = at {
            if let Some(missing) = cause.downcast_ref::<CredentialsError>() {
                let why = match missing {
                    CredentialsError::CredentialsNotLoaded(_) => "there are none",
                    CredentialsError::ProviderTimedOut(_) => "who gives them out did not answer in time",
                    _ => "they could not be loaded",
                };
                let fault = Fault::new(FaultClass::Permanent, self.codes.forbidden, format!("AWS credentials: {why}"));
                return Lost::Before(fault.hint("set `credentials` or `profile`, or log in with the AWS command line"));
            }
            let refused = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            let text = cause.to_string();
            if refused == Some(std::io::ErrorKind::ConnectionRefused) || text.contains("dns error") {
                let fault = Fault::new(FaultClass::Temporary, self.codes.unreachable, "AWS: no connection");
                return Lost::Before(fault.hint("can this machine reach AWS, and is `region` right?"));
            }
            at = cause.source();
        }
        self.maybe(self.codes.lost, format!("the connection was lost during {doing}"))
    }
}

/// A call with a JSON body, for services whose SDK would take longer to build than all else together: signed by the SDK's own
/// signer, sent by the one HTTP client.
pub mod json {
    use std::time::SystemTime;

    use aws_credential_types::provider::ProvideCredentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4;
    use zeroize::Zeroizing;

    use super::*;
    use crate::web::{Answer, Api};

    /// One service, such as `ssm`.
    pub struct Service {
        aws: Aws,
        api: Api,
        name: &'static str,
        prefix: &'static str,
    }

    impl Service {
        /// The service `name`, whose calls are named `prefix.Call`.
        ///
        /// # Errors
        /// Its address cannot be used.
        pub fn new(aws: Aws, name: &'static str, prefix: &'static str) -> Result<Self, Fault> {
            let end = if aws.region().starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            let own = format!("https://{name}.{}.{end}", aws.region());
            let url = Url::parse(aws.endpoint().unwrap_or(&own))
                .map_err(|_| Fault::new(FaultClass::Permanent, aws.codes.odd, format!("AWS {name}: no such address")))?;
            let api = Api::new(&format!("AWS {name}"), &url, None, Span::seconds(12), aws.codes)?;
            Ok(Self { aws, api, name, prefix })
        }

        /// Makes a call; an answer of 2xx is returned.
        ///
        /// # Errors
        /// It was not sent, was refused, or has an unknown end.
        pub async fn call(&self, call: &str, body: &serde_json::Value) -> Result<Answer, Refused> {
            let doing = format!("{}:{call}", self.name);
            let body = Zeroizing::new(serde_json::to_vec(body).unwrap_or_default());
            let request = self.signed(call, &body, &doing).await?;
            let answer = self.api.send(request).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let told: Option<Told> = answer.json();
            let code = told.map(|t| t.code.rsplit('#').next().unwrap_or_default().to_owned()).unwrap_or_default();
            let lost = self.aws.refused(answer.status.as_u16(), &code, &doing);
            Err(Refused { lost, code })
        }

        async fn signed(&self, call: &str, body: &[u8], doing: &str) -> Result<reqwest::RequestBuilder, Refused> {
            let odd = |what: &str| {
                Lost::Before(Fault::new(FaultClass::Permanent, self.aws.codes.odd, format!("AWS: {doing}: {what}")))
            };
            let config = self.aws.config().await?;
            let provider = config.credentials_provider().ok_or_else(|| odd("nobody gives out credentials"))?;
            let credentials = provider.provide_credentials().await.map_err(|error| self.aws.not_answered(&error, doing))?;
            let identity = credentials.into();
            let params = v4::SigningParams::builder()
                .identity(&identity)
                .region(self.aws.region())
                .name(self.name)
                .time(SystemTime::now())
                .settings(SigningSettings::default())
                .build()
                .map_err(|_| odd("it cannot be signed"))?
                .into();
            let mut url = self.api.url(&[])?;
            url.set_path("/");
            let host = match (url.host_str(), url.port()) {
                (Some(host), Some(port)) => format!("{host}:{port}"),
                (Some(host), None) => host.to_owned(),
                (None, _) => return Err(odd("its address has no host").into()),
            };
            let target = format!("{}.{call}", self.prefix);
            let headers = [("content-type", "application/x-amz-json-1.1"), ("host", &host), ("x-amz-target", &target)];
            let signable = SignableRequest::new("POST", url.as_str(), headers.into_iter(), SignableBody::Bytes(body))
                .map_err(|_| odd("it cannot be signed"))?;
            let (signature, _) = sign(signable, &params).map_err(|_| odd("it cannot be signed"))?.into_parts();
            let mut request = self.api.client.post(url.clone());
            for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
                request = request.header(name, value);
            }
            for (name, value) in signature.headers() {
                request = request.header(name, value);
            }
            Ok(request.body(body.to_vec()))
        }
    }

    /// A refusal with AWS's own code for it, such as `ParameterNotFound`; empty where none came.
    pub struct Refused {
        /// What it means.
        pub lost: Lost,
        /// AWS's code.
        pub code: String,
    }

    impl From<Lost> for Refused {
        fn from(lost: Lost) -> Self {
            Self { lost, code: String::new() }
        }
    }

    impl From<Refused> for Lost {
        fn from(refused: Refused) -> Self {
            refused.lost
        }
    }

    #[derive(serde::Deserialize)]
    struct Told {
        #[serde(rename = "__type")]
        code: String,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::Node;
    use crate::web::STORE;

    /// Options that lead to a server which takes requests and gives no answer to any.
    pub(crate) async fn unanswered<T>(read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> T {
        answered(read, |mut near: TcpStream| async move { near.read(&mut [0; 4096]).await.map(drop) }).await
    }

    /// Options that lead to a server which answers each connection by itself.
    pub(crate) async fn answered<T, F>(
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
        answer: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> T
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(answer(near));
            }
        });
        let text = format!(
            "{{region: eu-central-1, endpoint: \"http://127.0.0.1:{port}\", credentials: {{access_key_id: {{env: PATH}}, \
             secret_access_key: {{env: PATH}}}}}}"
        );
        let node = Node::from_yaml("test.yaml", Path::new("/"), &text).expect("YAML");
        read(&mut Fields::new(&node, "options")).expect("options")
    }

    #[test]
    fn a_region_has_the_form_of_one() {
        for good in ["eu-central-1", "us-gov-west-1", "ap-southeast-12", "cn-north-1"] {
            assert!(is_region(good), "{good}");
        }
        for bad in ["", "eu", "eu-central", "EU-central-1", "eu-central-1a", "eu--1", "-central-1", "eu-central-1\n"] {
            assert!(!is_region(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_code_of_aws_says_whether_it_can_have_happened() {
        let options = AwsOptions { region: "eu-central-1".to_owned(), endpoint: None, profile: None, credentials: None };
        let aws = Aws::new(options, STORE);
        for (status, code, maybe, expected) in [
            (400, "AccessDeniedException", false, "HO0632"),
            (403, "ExpiredToken", false, "HO0632"),
            (403, "whatever", false, "HO0632"),
            (400, "UnrecognizedClientException", false, "HO0632"),
            (400, "InvalidSignatureException", false, "HO0632"),
            (400, "RequestExpired", false, "HO0632"),
            (400, "MissingAuthenticationTokenException", false, "HO0632"),
            (400, "ThrottlingException", true, "HO0633"),
            (500, "InternalServiceError", true, "HO0633"),
            (503, "an answer without a code", true, "HO0633"),
            (429, "x", true, "HO0633"),
            (400, "ParameterNotFound", false, "HO0634"),
            (409, "LimitExceeded", false, "HO0634"),
        ] {
            let (was, fault) = match aws.refused(status, code, "ssm:PutParameter") {
                Lost::Before(fault) => (false, fault),
                Lost::Maybe(fault) => (true, fault),
            };
            assert_eq!((was, fault.code.as_str()), (maybe, expected), "{status} {code}");
            assert!(fault.message.contains("ssm:PutParameter"));
        }
    }
}
