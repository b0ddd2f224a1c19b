//! Whole rotations with the logins in a SOPS file and in a credential of systemd. The sandbox's services get them as they do out
//! there: what reloads a service decrypts what is stored, with the real programs. Killed while it writes, and rolled back.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;

use crate::support::exit::{DONE, ROLLED_BACK};
use crate::support::lab::sops::{Sops, program, told};
use crate::support::secrets::{found, found_under, needles};
use crate::support::{Case, Run, World, service};

/// Decrypts an entry, puts its login into a service's env file, and tells the service.
const DEPLOY: &str = r#"
import json, os, subprocess, sys, urllib.request
path, env_file, url = sys.argv[1:4]
with open(path, "rb") as file:
    sealed = file.read()
login = json.loads(subprocess.run(sys.argv[4:], input=sealed, check=True, stdout=subprocess.PIPE).stdout)
with open(env_file) as file:
    lines = file.read().splitlines(keepends=True)
for i, line in enumerate(lines):
    key = line.split("=")[0]
    if key in ("SMTP_USERNAME", "SMTP_PASSWORD"):
        lines[i] = f"{key}={login[key]}\n"
with open(env_file + ".new", "w") as file:
    file.writelines(lines)
os.replace(env_file + ".new", env_file)
urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10).read()
"#;

struct Desk {
    world: World,
    sops: Sops,
    inventory: PathBuf,
}

/// A program of one line.
fn script(path: &Path, line: &str) -> String {
    std::fs::write(path, format!("#!/bin/sh\n{line}\n")).expect("it is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).expect("a mode");
    path.to_string_lossy().into_owned()
}

impl Desk {
    /// The sandbox with its staging login in a SOPS file, and its production login in a credential.
    fn new() -> Self {
        let (world, sops) = (World::start(), Sops::new());
        let dir = world.dir().to_owned();
        std::fs::create_dir(dir.join("sealed")).expect("a folder");
        let (in_sops, in_creds) = (dir.join("sealed/smtp.env"), dir.join("sealed/smtp.cred"));
        let (username, password) = service::held(&world.env_file("staging"));
        let text = format!("# kept\nSMTP_USERNAME={username}\nSMTP_PASSWORD={password}\nLAST=y\n");
        sops.encrypt(&in_sops, "dotenv", &text, &[]);
        let key = dir.join("host.key");
        let text = json!({"SMTP_USERNAME": username, "SMTP_PASSWORD": password, "kept": true}).to_string();
        let mut creds = std::process::Command::new("systemd-creds");
        creds.args(["encrypt", "--name=smtp", "--with-key=host", "-", "-"]).env("SYSTEMD_CREDENTIAL_SECRET", &key);
        std::fs::write(&in_creds, told(&mut creds, text.as_bytes())).expect("it is written");
        let deploy = dir.join("deploy.py");
        std::fs::write(&deploy, DEPLOY).expect("it is written");
        let sops_program = program();
        let reload = |environment: &str, path: &Path, decrypt: &str| {
            let (env_file, port) = (world.env_file(environment), world.http_port());
            let url = format!("http://127.0.0.1:{port}/newsletter-{environment}/reload");
            let (deploy, path, env_file) = (deploy.to_string_lossy(), path.to_string_lossy(), env_file.to_string_lossy());
            let words = ["/usr/bin/python3", "-I", &deploy, &path, &env_file, &url, decrypt];
            format!("reload: {{command: {}}}", serde_json::to_string(&words).expect("JSON"))
        };
        let run = "exec env -i";
        let by_sops = script(
            &dir.join("by-sops"),
            &format!(
                "{run} SOPS_AGE_KEY_FILE={} {} decrypt --input-type dotenv --output-type json /dev/stdin",
                sops.key().display(),
                sops_program.display()
            ),
        );
        let by_creds = script(
            &dir.join("by-creds"),
            &format!("{run} SYSTEMD_CREDENTIAL_SECRET={} systemd-creds decrypt --name=smtp - -", key.display()),
        );
        let text = std::fs::read_to_string(dir.join("inventory.yaml")).expect("text");
        let mut lines: Vec<String> = Vec::new();
        let mut environment = "";
        for line in text.lines() {
            environment = ["staging", "production"].into_iter().find(|e| line.contains(e)).unwrap_or(environment);
            let (path, decrypt) = match environment {
                "production" => (&in_creds, &by_creds),
                _ => (&in_sops, &by_sops),
            };
            lines.push(match line.trim_start() {
                "store: hosts" if environment == "production" => "        store: units".to_owned(),
                "store: hosts" => "        store: files".to_owned(),
                word if word.starts_with("path: ") => format!("        path: \"{}\"", path.display()),
                word if word.starts_with("reload: ") => format!("    {}", reload(environment, path, decrypt)),
                "hosts: {kind: env-file}" => format!(
                    "  files: {{kind: sops, program: {}, environment: {{SOPS_AGE_KEY_FILE: {}}}}}\n  \
                     units: {{kind: systemd-credential, with_key: host, host_key: {}}}",
                    sops_program.display(),
                    sops.key().display(),
                    key.display()
                ),
                _ => line.to_owned(),
            });
        }
        let inventory = dir.join("sealed.yaml");
        std::fs::write(&inventory, lines.join("\n")).expect("it is written");
        Self { world, sops, inventory }
    }

    fn case(&self, name: &str) -> Case<'_> {
        self.world.case(name).inventory(self.inventory.clone()).scale(8).env("HANDOVER_LOG", "trace")
    }

    /// Both entries hold the login of this version, by the programs themselves, and each service presents it.
    #[track_caller]
    fn holds(&self, id: &str) {
        assert_eq!(self.world.unclean(Some(id)), Vec::<String>::new());
        let sealed = self.world.dir().join("sealed");
        let document = self.sops.decrypt(&sealed.join("smtp.env"), "dotenv");
        assert_eq!(document["SMTP_PASSWORD"], self.world.passwords()[id].as_str());
        assert_eq!(document["LAST"], "y");
        // No copy is left.
        let mut names: Vec<_> = std::fs::read_dir(sealed).expect("lists").map(|e| e.expect("lists").file_name()).collect();
        names.sort();
        assert_eq!(names, ["smtp.cred", "smtp.env"]);
    }

    /// No password anywhere but where it belongs.
    fn nothing_leaks(&self, runs: &[&Run]) {
        let names: Vec<(String, String)> = self.world.account().versions.into_iter().map(|v| (v.id, v.username)).collect();
        let passwords = self.world.passwords();
        let all: Vec<_> = names.iter().filter_map(|(id, n)| Some(needles(n, passwords.get(id)?))).flatten().collect();
        let dir = self.world.dir();
        let belongs = |file: &Path| file.starts_with(dir.join("accounts")) || file.starts_with(dir.join("services"));
        let (seen, hits) = found_under(dir, &all, &belongs);
        assert!(seen > 10 && hits.is_empty(), "{hits:?}");
        for run in runs {
            assert_eq!(found(run.said().as_bytes(), &all), Vec::<String>::new(), "{run}");
        }
    }
}

/// A rotation that is killed as soon as it begins to push to an environment.
#[track_caller]
fn killed_at(case: &Case<'_>, step: usize) -> Run {
    let mut going = case.rotating("drill");
    let came = going.wait_for_step(step).is_some();
    assert!(came, "it does not come to the push: {}", going.end());
    going.signal(Signal::KILL);
    let run = going.end();
    assert!(run.was_killed(), "{run}");
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_in_sops_and_in_a_credential_are_rotated_killed_rolled_back_and_rotated() {
    let desk = Desk::new();
    let first = desk.world.account().active()[0].id.clone();
    let case = desk.case("back");
    let killed = killed_at(&case, 5);
    let back = case.run(&["abort", "newsletter"]);
    assert_eq!(back.code(), ROLLED_BACK, "{back}");
    desk.holds(&first);
    let case = desk.case("forth");
    let again = killed_at(&case, 2);
    let done = case.resume();
    assert_eq!(done.code(), DONE, "{done}");
    let now = desk.world.account().active()[0].id.clone();
    assert_ne!(now, first);
    desk.holds(&now);
    desk.nothing_leaks(&[&killed, &back, &again, &done]);
    // A plan of one that cannot be decrypted is refused before anything is made.
    std::fs::write(desk.sops.key(), "# lost\n").expect("it is written");
    let refused = desk.case("lost").rotate("drill");
    assert!(refused.code() == 3 && refused.said().contains("HO0650"), "{refused}");
}
