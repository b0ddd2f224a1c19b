use std::os::unix::fs::PermissionsExt as _;

use handover_rotation::plan::Shape;
use serde_json::Value;

use super::world::{World, eventually, lines};
use crate::sandbox::layout::Ports;
use crate::sandbox::{Sandbox, SandboxOptions, status};

#[tokio::test]
async fn a_restart_keeps_everything() {
    let world = World::start().await;
    let made = world.create("r1").await;
    let (ports, dir) = (world.sandbox.ports(), world.dir);
    let layout = world.sandbox.layout().clone();
    let kept =
        [layout.inventory(), layout.ca_file(), layout.env_file("newsletter", "staging"), layout.tls().join("server.key")];
    let contents = || kept.clone().map(|path| std::fs::read(path).expect("reads"));
    let before = contents();
    assert!(status(dir.path()).expect("a status").running);

    world.sandbox.stop().await;
    let stopped = status(dir.path()).expect("a status without a server");
    assert!(!stopped.running);
    assert_eq!(stopped.credentials[0].versions.len(), 2);

    let again = Sandbox::start(SandboxOptions::new(dir.path())).await.expect("starts again");
    assert_eq!(again.ports(), ports);
    assert_eq!(contents(), before);
    let world = World { sandbox: again, provider: world.provider, dir };
    let password = made.secret.expect("chosen");
    assert!(world.auth(made.username.as_str(), password.expose()).await.starts_with("235"));
}

#[tokio::test]
async fn one_folder_is_served_once() {
    let world = World::start().await;
    let fault = Sandbox::start(SandboxOptions::new(world.dir.path())).await.expect_err("is taken");
    assert_eq!(fault.code, "HO0901");
    let mut options = SandboxOptions::new(world.dir.path().join("other"));
    options.ports = Some(Ports { http: 0, tls: 0, ..world.sandbox.ports() });
    let fault = Sandbox::start(options).await.expect_err("the port is taken");
    assert_eq!(fault.code, "HO0904");
}

#[tokio::test]
async fn dropping_it_stops_it() {
    let world = World::start().await;
    let ports = world.sandbox.ports();
    drop(world.sandbox);
    for port in [ports.starttls, ports.tls, ports.http] {
        let connect = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err();
        eventually(connect, |refused| *refused).await;
    }
    assert!(!status(world.dir.path()).expect("a status").running);
    Sandbox::start(SandboxOptions::new(world.dir.path())).await.expect("the folder is free").stop().await;
}

#[tokio::test]
async fn a_port_that_was_taken_meanwhile_is_replaced() {
    let world = World::start().await;
    let (ports, dir) = (world.sandbox.ports(), world.dir);
    world.sandbox.stop().await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", ports.starttls)).expect("is free");
    let again = Sandbox::start(SandboxOptions::new(dir.path())).await.expect("starts");
    assert_ne!(again.ports().starttls, ports.starttls);
    assert_eq!(again.ports().tls, ports.tls);
    let inventory = std::fs::read_to_string(again.inventory_path()).expect("reads");
    assert!(inventory.contains(&format!("port: {}, tls: starttls", again.ports().starttls)));
    drop(taken);
}

#[tokio::test]
async fn what_a_kill_left_unfinished_is_finished() {
    let world = World::start().await;
    let layout = world.sandbox.layout().clone();
    let login = world.entry("production");
    let dir = world.dir;
    world.sandbox.stop().await;
    for path in [layout.ca_file(), layout.env_file("newsletter", "production"), layout.inventory(), layout.ports_file()] {
        std::fs::remove_file(path).expect("was there");
    }
    let again = Sandbox::start(SandboxOptions::new(dir.path())).await.expect("starts");
    let world = World { sandbox: again, provider: world.provider, dir };
    assert!(world.entry("production").password.matches(&login.password));
    assert!(world.auth(login.username.as_str(), login.password.expose()).await.starts_with("235"));
}

#[tokio::test]
async fn the_files_hold_what_a_second_terminal_needs() {
    let world = World::start_with(|options| {
        options.credentials = 3;
        options.services_per_entry = 2;
    })
    .await;
    let layout = world.sandbox.layout();
    let inventory = std::fs::read_to_string(world.sandbox.inventory_path()).expect("reads");
    let all: Value = serde_yaml::from_str(&inventory).expect("is YAML");
    let names = |of: &str| all[of].as_object().expect("a map").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("credentials"), ["newsletter", "newsletter2", "newsletter3"]);
    assert_eq!(names("services").len(), 12);
    assert_eq!(all["providers"]["sandbox"]["dir"].as_str(), layout.dir.to_str());
    let credential = &all["credentials"]["newsletter"];
    assert_eq!(credential["smtp"]["port"].as_u64(), Some(world.sandbox.ports().starttls.into()));
    assert_eq!(credential["smtp"]["ca_file"].as_str(), layout.ca_file().to_str());
    assert_eq!(credential["probe"]["arrival"]["maildir"].as_str(), layout.mail().to_str());
    let entry = &credential["entries"]["staging"];
    assert_eq!(entry["path"].as_str(), layout.env_file("newsletter", "staging").to_str());
    assert_eq!(entry["fields"]["password"].as_str(), Some("SMTP_PASSWORD"));
    let service = &all["services"]["newsletter-production"];
    assert_eq!((service["entry"].as_str(), service["environment"].as_str()), (Some("production"), Some("production")));
    assert_eq!(world.http("GET", "/newsletter3-production-2/healthz", "").await.0, 200);

    for path in [layout.env_file("newsletter", "staging"), layout.tls().join("server.key"), layout.inventory()] {
        assert_eq!(path.metadata().expect("is there").permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    let folder = layout.services().metadata().expect("is there").permissions().mode();
    assert_eq!(folder & 0o777, 0o700);
    let env = lines(&layout.env_file("newsletter", "staging"));
    assert!(env.len() > 8 && env[0].starts_with("# Settings of newsletter-staging"));
}

#[tokio::test]
async fn the_status_has_the_shape_that_others_rely_on() {
    let world = World::start().await;
    let login = world.entry("staging");
    world.auth(login.username.as_str(), login.password.expose()).await;
    let status = serde_json::to_value(world.status()).expect("is JSON");
    assert_eq!(status["smtp"]["host"], "127.0.0.1");
    assert_eq!(status["smtp"]["starttls_port"], world.sandbox.ports().starttls);
    assert_eq!(status["smtp"]["tls_port"], world.sandbox.ports().tls);
    assert_eq!(status["smtp"]["ca_file"].as_str(), world.sandbox.layout().ca_file().to_str());
    assert_eq!(status["mail_dir"].as_str(), world.sandbox.layout().mail().to_str());
    assert_eq!(status["credentials"][0]["credential"], "newsletter");
    let version = &status["credentials"][0]["versions"][0];
    assert_eq!((&version["username"], &version["state"]), (&"newsletter.1".into(), &"active".into()));
    for time in ["created_at", "last_used_at"] {
        let text = version[time].as_str().expect("a time");
        assert!(chrono::DateTime::parse_from_rfc3339(text).is_ok(), "{text}");
    }
    assert!(!status.to_string().contains("hosb_"), "no password is told");
}

#[tokio::test]
async fn what_is_no_sandbox_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(status(dir.path()).expect_err("is empty").code, "HO0501");
    let mut options = SandboxOptions::new(dir.path());
    options.shape = Some(Shape::InPlace);
    Sandbox::start(options.clone()).await.expect("starts").stop().await;
    options.shape = Some(Shape::DeleteOnly);
    assert_eq!(Sandbox::start(options).await.expect_err("has another shape").code, "HO0511");
    assert_eq!(status(dir.path()).expect("a status").shape, Shape::InPlace);
}
