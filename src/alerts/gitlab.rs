//! The source `gitlab`: GitLab's Vulnerability Hook, with its shared token or with a signing token (Standard Webhooks).
//!
//! The hook tells where a secret was found and not which: what it brings is a report for people. The artifact of the pipeline has
//! the secret: `handover alert gl-secret-detection-report.json`.

use async_trait::async_trait;
use handover_rotation::outcome::Fault;
use serde_json::{Value, json};

use super::json::Json;
use super::options::{Shared, neither, one_of, secret};
use super::standard::Keys;
use super::verify::{self, digest_of, rfc3339, same_token, unauthentic};
use super::{Ability, Delivery, Received, Rejected, Report, Source};
use crate::config::fields::Fields;
use crate::secret::Secret;

/// GitLab.
pub struct GitLab {
    name: String,
    shown: Shown,
}

/// How GitLab shows who it is.
enum Shown {
    /// `X-Gitlab-Token`: in the clear, so that only TLS protects it, and nothing protects the body.
    Token(Vec<Secret>),
    /// The three headers of Standard Webhooks.
    Signed(Keys),
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitLabOptions {
    token: Option<Shared>,
    signing_token: Option<Shared>,
}

impl GitLab {
    /// Reads the options: `{signing_token: SECRET, previous_signing_token: SECRET}`, or `{token: SECRET, previous_token: SECRET}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<GitLabOptions> {
        let token = Shared::optional(fields, "token");
        let signing_token = Shared::optional(fields, "signing_token");
        neither(fields, "signing_token", "token");
        if fields.has("token") && fields.has("signing_token") {
            let what = "`token` and `signing_token` are both given: a delivery shows one of them";
            fields.problem("HO1130", "token", what, "leave `token` out, as soon as GitLab signs");
        }
        Some(GitLabOptions { token, signing_token })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let properties = json!({
            "token": secret(),
            "previous_token": secret(),
            "signing_token": secret(),
            "previous_signing_token": secret(),
        });
        one_of("oneOf", &["signing_token", "token"], properties)
    }

    /// The source of this name.
    ///
    /// # Errors
    /// A token cannot be read, or is not of its form.
    pub fn open(name: &str, options: GitLabOptions) -> Result<Self, Fault> {
        let shown = match (&options.signing_token, &options.token) {
            (Some(tokens), _) => Shown::Signed(Keys::new(&tokens.read()?)?),
            (None, tokens) => Shown::Token(tokens.as_ref().map_or(Ok(Vec::new()), Shared::read)?),
        };
        Ok(Self { name: name.to_owned(), shown })
    }
}

/// The report of a Vulnerability Hook about a secret; `None` if it tells of something else.
pub(super) fn event(source: &str, body: &Json) -> Option<Report> {
    let about = body.get("object_attributes").filter(|_| body.text(&["object_kind"]) == Some("vulnerability"))?;
    if about.text(&["report_type"]) != Some("secret_detection") {
        return None;
    }
    let project = about.id(&["project_id"]).unwrap_or_else(|| "?".to_owned());
    let url = about.text(&["url"]).unwrap_or_default();
    let number = url.rsplit('/').next().filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let found_at = ["detected_at", "created_at"].iter().find_map(|key| about.text(&[key])).and_then(rfc3339);
    let mut report = Report::new(source, &format!("project {project}, vulnerability {}", number.unwrap_or("?")))
        .url(Some(url))
        .exposed(found_at)
        .found(&Vec::from_iter(about.text(&["raw_source_code_extract"])));
    report.closing = matches!(about.text(&["state"]), Some("resolved" | "dismissed"));
    Some(report)
}

#[async_trait]
impl Source for GitLab {
    fn able(&self) -> Ability {
        Ability { receives: true, ..Ability::default() }
    }

    async fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, Rejected> {
        verify::outside(delivery, &["application/json"])?;
        let (digest, stale_ms) = match &self.shown {
            Shown::Signed(keys) => {
                let authentic = keys.verify(&self.name, delivery)?;
                (authentic.digest, authentic.stale_ms)
            }
            Shown::Token(ours) => {
                let given =
                    delivery.header("x-gitlab-token").ok_or_else(|| unauthentic("the header x-gitlab-token is missing"))?;
                if !same_token(ours, given) {
                    return Err(unauthentic("the token does not fit"));
                }
                (digest_of(&self.name, &[delivery.body]), None)
            }
        };
        let reports = event(&self.name, &verify::json(delivery)?).into_iter().collect();
        Ok(Received { digest, stale_ms, reports, confirm: None, note: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::standard::tests::sign;
    use super::super::verify::tests::deliver;
    use super::*;

    const NOW: u64 = 1_700_000_000_000;
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

    fn secrets(all: &[&str]) -> Vec<Secret> {
        all.iter().map(|s| Secret::new((*s).to_owned())).collect()
    }

    fn body(kind: &str, report: &str, state: &str) -> String {
        format!(
            r#"{{"object_kind": "{kind}", "object_attributes": {{"url": "https://gitlab.com/a/b/-/security/vulnerabilities/1",
            "title": "AWS access token", "state": "{state}", "project_id": 50, "severity": "critical",
            "location": {{"file": "smtp.env", "start_line": 3}}, "cvss": [], "identifiers": [{{"name": "Gitleaks rule ID AWS"}}],
            "report_type": "{report}", "confidence": "unknown"}}}}"#
        )
    }

    fn receive(source: &GitLab, headers: &[(&str, &str)], body: &str) -> Result<Received, u16> {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json"));
        let taken = deliver(&headers, body.as_bytes(), NOW, |d| futures::executor::block_on(source.receive(&d)));
        taken.map_err(|rejected| rejected.status)
    }

    #[test]
    fn the_shared_token_is_held_and_the_report_says_where() {
        let source = GitLab { name: "gl".to_owned(), shown: Shown::Token(secrets(&["token-one", "token-two"])) };
        let leak = body("vulnerability", "secret_detection", "detected");
        for (token, good) in
            [("token-one", true), ("token-two", true), ("token-on", false), ("", false), ("TOKEN-ONE", false)]
        {
            let taken = receive(&source, &[("x-gitlab-token", token)], &leak);
            assert_eq!(taken.as_ref().err(), (!good).then_some(&401), "{token}");
        }
        assert_eq!(receive(&source, &[], &leak).err(), Some(401));
        let taken = receive(&source, &[("x-gitlab-token", "token-one")], &leak).expect("taken");
        assert!(taken.stale_ms.is_none() && taken.reports.len() == 1);
        let report = &taken.reports[0];
        assert_eq!(report.reference, "project 50, vulnerability 1");
        assert!(report.marks.is_empty() && report.raw.is_empty() && !report.closing);
        for (kind, report, state, reports, closing) in [
            ("vulnerability", "secret_detection", "resolved", 1, true),
            ("vulnerability", "secret_detection", "dismissed", 1, true),
            ("vulnerability", "secret_detection", "confirmed", 1, false),
            ("vulnerability", "dependency_scanning", "detected", 0, false),
            ("push", "secret_detection", "detected", 0, false),
        ] {
            let taken = receive(&source, &[("x-gitlab-token", "token-one")], &body(kind, report, state)).expect("taken");
            assert_eq!(taken.reports.len(), reports, "{kind} {report}");
            assert!(taken.reports.iter().all(|r| r.closing == closing), "{state}");
        }
    }

    #[test]
    fn a_signing_token_proves_the_body_and_the_time_and_the_other_form_is_not_taken() {
        let keys = Keys::new(&secrets(&[KEY])).expect("keys");
        let source = GitLab { name: "gl".to_owned(), shown: Shown::Signed(keys) };
        let leak = body("vulnerability", "secret_detection", "detected");
        let signed = |at| sign(KEY, "f5e5f430-f57b-4e6e-9fac-d9128cd7232f", at, leak.as_bytes());
        let fresh = signed(NOW);
        let headers: Vec<(&str, &str)> = fresh.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let taken = receive(&source, &headers, &leak).expect("taken");
        assert_eq!((taken.reports.len(), taken.stale_ms), (1, Some(NOW + 300_000)));
        assert_eq!(receive(&source, &headers, &leak.replace("critical", "low")).err(), Some(401));
        let old = signed(NOW - 400_000);
        let headers: Vec<(&str, &str)> = old.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(receive(&source, &headers, &leak).err(), Some(401));
        assert_eq!(receive(&source, &[("x-gitlab-token", KEY)], &leak).err(), Some(401));
    }
}
