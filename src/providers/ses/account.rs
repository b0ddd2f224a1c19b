//! What is to be known of the account before a rotation: who Handover is, what it may do, what the user that sends may do, and
//! whether SES sends at all.

use aws_sdk_iam::Client as Iam;
use handover_rotation::outcome::{Fault, FaultClass};
use serde_json::Value;

use super::{SesProvider, policy};
use crate::providers::Permitted;
use crate::web::Lost;

/// An id that no key has: a call on it changes nothing, and is refused for lack of a permission before it is looked for.
const NO_KEY: &str = "AKIA0000000000000000";

impl SesProvider {
    /// Asks for what a rotation needs in ways that change nothing. That keys may be made cannot be asked.
    pub(super) async fn try_permitted(&self, account: &str) -> Result<Permitted, Lost> {
        let iam = self.iam().await?;
        iam.get_user().user_name(account).send().await.map_err(|error| match error.as_service_error() {
            Some(e) if e.is_no_such_entity_exception() => Self::no_user(account),
            _ => self.aws.lost(&error, "iam:GetUser"),
        })?;
        // Without a name, IAM tells of the caller: a role has no user, which is as good as another.
        if let Ok(own) = iam.get_user().send().await
            && own.user().is_some_and(|user| user.user_name() == account)
        {
            let what = format!("Handover logs in to IAM as {account}, whose keys it is to replace");
            let fault = Fault::new(FaultClass::Permanent, "HO0518", what);
            return Err(Lost::Before(
                fault.hint("give Handover a user or a role of its own, with the policy in docs/kinds/ses.md"),
            ));
        }
        let delete = iam.delete_access_key().user_name(account).access_key_id(NO_KEY).send();
        let update = iam
            .update_access_key()
            .user_name(account)
            .access_key_id(NO_KEY)
            .status(aws_sdk_iam::types::StatusType::Active)
            .send();
        let untag = iam.untag_user().user_name(account).tag_keys("handover:nothing").send();
        let (delete, update, untag) = futures::future::join3(delete, update, untag).await;
        if let Err(error) = delete
            && !error.as_service_error().is_some_and(|e| e.is_no_such_entity_exception())
        {
            return Err(self.aws.lost(&error, "iam:DeleteAccessKey"));
        }
        if let Err(error) = update
            && !error.as_service_error().is_some_and(|e| e.is_no_such_entity_exception())
        {
            return Err(self.aws.lost(&error, "iam:UpdateAccessKey"));
        }
        untag.map_err(|error| self.aws.lost(&error, "iam:UntagUser"))?;
        Ok(Permitted::CannotTell)
    }

    /// What a person should mend, in sentences.
    pub(super) async fn all_warnings(&self, account: &str) -> Vec<String> {
        let (policies, sending) = futures::future::join(Box::pin(self.policies(account)), Box::pin(self.sending())).await;
        policies.into_iter().chain(sending).collect()
    }

    async fn policies(&self, account: &str) -> Vec<String> {
        let read = async {
            let iam = self.iam().await?;
            self.documents(&iam, account).await
        };
        let (names, documents) = match read.await {
            Ok(both) => both,
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => {
                return vec![format!("what IAM user {account} may do could not be read: {fault}")];
            }
        };
        let mut told = Vec::new();
        for name in names.iter().filter(|name| policy::is_quarantine(name)) {
            told.push(format!(
                "AWS has put IAM user {account} in quarantine ({name}) because a key of it has leaked. That does not stop \
                 it from sending mail: rotate with the playbook `leak` or `emergency`"
            ));
        }
        let found = policy::read(&documents);
        if !found.sends {
            told.push(format!("no policy of IAM user {account} allows ses:SendRawEmail: its mail will be refused with 554"));
        }
        if !found.more.is_empty() {
            let more: Vec<&str> = found.more.iter().map(String::as_str).take(6).collect();
            told.push(format!(
                "IAM user {account} may do more than send mail, so whoever has the login may too: {}. \
                 Allow it ses:SendRawEmail only",
                more.join(", ")
            ));
        }
        told
    }

    /// The names of the managed policies, and all documents, of the user and its groups.
    async fn documents(&self, iam: &Iam, account: &str) -> Result<(Vec<String>, Vec<Value>), Lost> {
        let mut names = Vec::new();
        let mut managed = Vec::new();
        let mut documents = Vec::new();
        let inline = iam.list_user_policies().user_name(account).send().await;
        for name in inline.map_err(|e| self.aws.lost(&e, "iam:ListUserPolicies"))?.policy_names() {
            let policy = iam.get_user_policy().user_name(account).policy_name(name).send().await;
            documents.extend(json(policy.map_err(|e| self.aws.lost(&e, "iam:GetUserPolicy"))?.policy_document()));
        }
        let attached = iam.list_attached_user_policies().user_name(account).send().await;
        managed
            .extend_from_slice(attached.map_err(|e| self.aws.lost(&e, "iam:ListAttachedUserPolicies"))?.attached_policies());
        let groups = iam.list_groups_for_user().user_name(account).send().await;
        for group in groups.map_err(|e| self.aws.lost(&e, "iam:ListGroupsForUser"))?.groups() {
            let group = group.group_name();
            let attached = iam.list_attached_group_policies().group_name(group).send().await;
            managed.extend_from_slice(
                attached.map_err(|e| self.aws.lost(&e, "iam:ListAttachedGroupPolicies"))?.attached_policies(),
            );
            let inline = iam.list_group_policies().group_name(group).send().await;
            for name in inline.map_err(|e| self.aws.lost(&e, "iam:ListGroupPolicies"))?.policy_names() {
                let policy = iam.get_group_policy().group_name(group).policy_name(name).send().await;
                documents.extend(json(policy.map_err(|e| self.aws.lost(&e, "iam:GetGroupPolicy"))?.policy_document()));
            }
        }
        for policy in &managed {
            names.extend(policy.policy_name().map(str::to_owned));
            let Some(arn) = policy.policy_arn() else { continue };
            let found = iam.get_policy().policy_arn(arn).send().await;
            let found = found.map_err(|e| self.aws.lost(&e, "iam:GetPolicy"))?;
            let Some(version) = found.policy().and_then(|p| p.default_version_id()) else { continue };
            let version = iam.get_policy_version().policy_arn(arn).version_id(version).send().await;
            let version = version.map_err(|e| self.aws.lost(&e, "iam:GetPolicyVersion"))?;
            documents.extend(version.policy_version().and_then(|v| json(v.document()?)));
        }
        Ok((names, documents))
    }

    /// Whether SES sends for this account and region, and how much of the day is used up.
    async fn sending(&self) -> Vec<String> {
        let Ok(config) = self.aws.config().await else { return Vec::new() };
        let ses = aws_sdk_ses::Client::new(config);
        let region = self.aws.region();
        let identity = async {
            let identity = self.options.identity.as_deref()?;
            let found = ses.get_identity_verification_attributes().identities(identity).send().await.ok()?;
            let verified = found
                .verification_attributes()
                .get(identity)
                .is_some_and(|a| *a.verification_status() == aws_sdk_ses::types::VerificationStatus::Success);
            (!verified).then(|| format!("SES has not verified {identity} in {region}: mail from it is refused with 554"))
        };
        let (enabled, quota, statistics, identity) = futures::future::join4(
            Box::pin(ses.get_account_sending_enabled().send()),
            Box::pin(ses.get_send_quota().send()),
            Box::pin(ses.get_send_statistics().send()),
            Box::pin(identity),
        )
        .await;
        let mut told: Vec<String> = identity.into_iter().collect();
        match enabled {
            Ok(answer) if !answer.enabled() => {
                told.push(format!("SES has switched sending off for this account in {region}: no login will send"));
            }
            Ok(_) => {}
            Err(error) => {
                let (Lost::Before(fault) | Lost::Maybe(fault)) = self.aws.lost(&error, "ses:GetAccountSendingEnabled");
                told.push(format!("whether SES sends for this account could not be asked: {fault}"));
            }
        }
        if let Ok(quota) = quota {
            let (most, sent) = (quota.max24_hour_send(), quota.sent_last24_hours());
            if most > 0.0 && sent >= most * 0.95 {
                told.push(format!(
                    "SES has sent {sent:.0} of {most:.0} mails of this day in {region}: proofs may be refused"
                ));
            }
        }
        if let Ok(statistics) = statistics {
            let points = statistics.send_data_points();
            let sum = |count: fn(&aws_sdk_ses::types::SendDataPoint) -> i64| points.iter().map(count).sum::<i64>();
            let (tried, rejected) = (sum(|p| p.delivery_attempts()), sum(|p| p.rejects()));
            if tried >= 100 && rejected * 10 > tried {
                told.push(format!("SES rejected {rejected} of the last {tried} mails of this account in {region}"));
            }
        }
        told
    }
}

/// A policy document: IAM writes it as percent-encoded JSON (RFC 3986).
fn json(document: &str) -> Option<Value> {
    if document.trim_start().starts_with('{') {
        return serde_json::from_str(document).ok();
    }
    let url = reqwest::Url::parse(&format!("x:?{}", document.replace('+', "%2B"))).ok()?;
    let (decoded, _) = url.query_pairs().next()?;
    serde_json::from_str(&decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_document_comes_in_two_writings() {
        let plain = r#"{"Statement":{"Action":"a+b=c&d","Effect":"Allow"}}"#;
        let encoded = "%7B%22Statement%22%3A%7B%22Action%22%3A%22a%2Bb%3Dc%26d%22%2C%22Effect%22%3A%22Allow%22%7D%7D";
        for document in [plain, encoded] {
            assert_eq!(json(document).expect(document)["Statement"]["Action"], "a+b=c&d");
        }
        assert_eq!(json("no policy"), None);
    }
}
