//! Services that are containers of a Compose file. They are made anew, not restarted: a container keeps the environment that it
//! was made with, so a restart of it reads no `env_file` again.
//!
//! That Compose ended well is not believed alone: the containers must be other ones afterwards.

use std::collections::BTreeSet;
use std::path::PathBuf;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;

use super::Reload;
use super::told::Told;
use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;

/// The time a call may take if the inventory says nothing.
const TIMEOUT: Span = Span::seconds(120);

/// A service of a Compose file.
pub struct DockerReload {
    compose: PathBuf,
    service: String,
    docker: Told,
}

impl DockerReload {
    /// What a service reads again by it.
    pub const REREADS: &'static str =
        "its containers are made anew: their environment, with every env_file, and their files are read again";

    /// Reads the options: `{compose: PATH, service: NAME, docker: [docker], timeout: 2m}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        let compose = fields.required_path("compose");
        let service = fields.required_str("service");
        let docker = Told::options(fields, "docker");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        let service = service.filter(|name| {
            let sound = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && !name.starts_with('-');
            if !sound {
                let message = "the service cannot be used: it has a character that no service of Compose has";
                fields.problem("HO0701", "service", message, "write its name as the Compose file has it");
            }
            sound
        });
        let docker = docker?.open(fields, timeout.unwrap_or(TIMEOUT));
        Some(Self { compose: compose?, service: service?, docker: docker? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["compose", "service"],
            "properties": {
                "compose": {"type": "string", "minLength": 1},
                "service": {"type": "string", "pattern": "^[A-Za-z0-9._][A-Za-z0-9._-]*$"},
                "docker": Told::schema(), "timeout": schema::duration(),
            }
        })
    }

    fn fault(&self, class: FaultClass, what: &str) -> Fault {
        Fault::new(class, "HO0743", format!("{}: {what}", self.describe()))
    }

    async fn compose(&self, words: &[&str]) -> Outcome<String> {
        let file = self.compose.to_string_lossy();
        let words: Vec<&str> = ["compose", "--file", &file].iter().chain(words).copied().collect();
        self.docker.ask(&words).await
    }

    /// The containers that there are.
    async fn containers(&self) -> Outcome<BTreeSet<String>> {
        let listed = self.compose(&["ps", "--quiet", &self.service]).await;
        listed.map(|text| text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }
}

#[async_trait]
impl Reload for DockerReload {
    fn describe(&self) -> String {
        format!("docker {}", self.service)
    }

    fn request_timeout(&self) -> Span {
        // Two looks and the change.
        Span(self.docker.program().request_timeout().0.saturating_mul(3))
    }

    fn rereads(&self) -> Option<&'static str> {
        Some(Self::REREADS)
    }

    async fn reload(&self) -> Outcome<()> {
        let before = match self.containers().await {
            Outcome::Done(before) => before,
            // Nothing was begun.
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => return Outcome::NotDone(fault),
        };
        match self.compose(&["up", "--detach", "--no-deps", "--force-recreate", &self.service]).await {
            Outcome::Done(_) => {}
            other => return other.map(drop),
        }
        match self.containers().await {
            Outcome::Done(after) if after.is_empty() => {
                let fault = self.fault(FaultClass::Temporary, "no container of it runs after it was made anew");
                Outcome::NotDone(fault.hint("see its log; it may not like its new login"))
            }
            Outcome::Done(after) if after.is_disjoint(&before) => Outcome::Done(()),
            Outcome::Done(_) => Outcome::NotDone(self.fault(FaultClass::Temporary, "a container of before still runs")),
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => Outcome::Unknown(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::config::Node;

    /// `docker`, as far as it is used here: it keeps its containers in a file beside it. There is no engine on the machines
    /// that run these tests.
    const DOCKER: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$*" >> said
[ "$1 $2 $3" = "compose --file /srv/compose.yaml" ] || exit 8
shift 3
case "$*" in
    "ps --quiet mailer") cat containers ;;
    "up --detach --no-deps --force-recreate mailer") sh ./up ;;
    *) exit 7 ;;
esac
"#;

    fn read(text: &str) -> Option<DockerReload> {
        let node = Node::from_yaml("test.yaml", Path::new("/srv"), text).expect("YAML");
        let mut fields = Fields::new(&node, "reload");
        let read = DockerReload::options(&mut fields);
        if fields.finish().has_errors() { None } else { read }
    }

    async fn reload(before: &str, up: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("docker");
        std::fs::write(&program, DOCKER).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("may run");
        std::fs::write(folder.path().join("containers"), before).expect("written");
        std::fs::write(folder.path().join("up"), up).expect("written");
        let text = format!("{{compose: compose.yaml, service: mailer, docker: [/bin/sh, {}]}}", program.display());
        match read(&text).expect("options").reload().await {
            Outcome::Done(()) => "done".to_owned(),
            Outcome::NotDone(fault) => format!("not-done {}", fault.code),
            Outcome::Unknown(fault) => format!("unknown {}", fault.code),
        }
    }

    #[test]
    fn its_options_are_read_and_others_refused() {
        assert_eq!(read("{compose: /x.yaml, service: mailer, timeout: 1m}").expect("options").describe(), "docker mailer");
        for wrong in [
            "{service: mailer}",
            "{compose: /x.yaml}",
            "{compose: /x.yaml, service: --all}",
            "{compose: /x.yaml, service: a b}",
            "{compose: /x.yaml, service: mailer, docker: [bin/docker]}",
            "{compose: /x.yaml, service: mailer, docker: docker}",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn only_other_containers_are_a_reload() {
        for (before, up, expected) in [
            ("old1\nold2\n", "printf 'new1\\nnew2\\n' > containers", "done"),
            ("", "echo new > containers", "done"),
            ("old1\n", "true", "not-done HO0743"),
            ("old1\nold2\n", "printf 'old2\\nnew1\\n' > containers", "not-done HO0743"),
            ("old1\n", "true > containers", "not-done HO0743"),
            ("old1\n", "exit 1", "not-done HO0703"),
            ("old1\n", "rm containers", "unknown HO0703"),
        ] {
            assert_eq!(reload(before, up).await, expected, "{up}");
        }
    }
}
