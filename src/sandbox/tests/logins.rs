use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_rotation::name::VersionId;
use handover_rotation::plan::Shape;

use super::world::{World, done, eventually, plain};
use crate::providers::Provider as _;
use crate::providers::sandbox::account::State;

fn id(number: u32) -> VersionId {
    VersionId::new(format!("newsletter#{number}")).expect("valid")
}

#[tokio::test]
async fn active_versions_are_accepted_and_inactive_and_deleted_ones_refused() {
    let world = World::start().await;
    let old = world.entry("staging");
    let made = world.create("r1").await;
    let new = made.secret.expect("chosen");
    let auth_old = async || world.auth(old.username.as_str(), old.password.expose()).await;
    let auth_new = async || world.auth(made.username.as_str(), new.expose()).await;
    assert!(auth_old().await.starts_with("235 2.7.0") && auth_new().await.starts_with("235 2.7.0"));

    done(world.provider.disable("newsletter", &id(1)).await);
    assert!(auth_old().await.starts_with("535 5.7.8") && auth_new().await.starts_with("235"));
    done(world.provider.enable("newsletter", &id(1), None).await);
    assert!(auth_old().await.starts_with("235"));
    done(world.provider.delete("newsletter", &id(1)).await);
    assert!(auth_old().await.starts_with("535 5.7.8") && auth_new().await.starts_with("235"));

    let versions = &world.status().credentials[0].versions;
    assert_eq!(versions.iter().map(|v| v.state).collect::<Vec<_>>(), [State::Deleted, State::Active]);
    assert!(versions[0].last_used_at.is_some() && versions[0].last_refused_at >= versions[0].last_used_at);
    assert!(versions[1].last_used_at.is_some() && versions[1].last_refused_at.is_none());
}

#[tokio::test]
async fn a_wrong_password_is_noted_for_a_known_name_only() {
    let world = World::start().await;
    for name in ["newsletter.1", "nobody.1", "newsletter.9", "../x", "sp ace", ""] {
        assert!(world.auth(name, "wrong").await.starts_with("535 5.7.8"), "{name}");
    }
    let status = world.status();
    assert_eq!(status.credentials.len(), 1);
    assert_eq!(status.credentials[0].versions.len(), 1);
    let version = &status.credentials[0].versions[0];
    assert!(version.last_refused_at.is_some() && version.last_used_at.is_none());
}

#[tokio::test]
async fn every_mechanism_of_the_greeting_works() {
    let world = World::start().await;
    let login = world.entry("staging");
    let (username, password) = (login.username.as_str(), login.password.expose());
    for (password, code) in [(password, "235 2.7.0"), ("wrong", "535 5.7.8")] {
        let mut client = world.client().await;
        assert_eq!(client.say("AUTH PLAIN").await, "334 \r\n");
        let blob = plain(username, password);
        assert!(client.say(blob.rsplit(' ').next().expect("a blob")).await.starts_with(code));

        for initial in [true, false] {
            let mut client = world.client().await;
            let name = STANDARD.encode(username);
            let asked = if initial {
                client.say(&format!("AUTH LOGIN {name}")).await
            } else {
                assert_eq!(client.say("AUTH LOGIN").await, "334 VXNlcm5hbWU6\r\n");
                client.say(&name).await
            };
            assert_eq!(asked, "334 UGFzc3dvcmQ6\r\n");
            assert!(client.say(&STANDARD.encode(password)).await.starts_with(code));
        }
        assert!(scram(&world, username, password).await.starts_with(code));
    }
    let table = [
        ("AUTH CRAM-MD5", "504 5.5.4"),
        ("AUTH NONSENSE", "504 5.5.4"),
        ("AUTH PLAIN !!!", "501 5.5.2"),
        ("AUTH PLAIN bm8gbnVsbHM=", "501 5.5.2"),
        ("AUTH SCRAM-SHA-256 bm8gbnVsbHM=", "501 5.5.2"),
    ];
    let mut client = world.client().await;
    for (command, code) in table {
        assert!(client.say(command).await.starts_with(code), "{command}");
    }
    assert!(client.say("AUTH LOGIN").await.starts_with("334"));
    assert!(client.say("*").await.starts_with("501"), "an exchange can be left");
    assert!(client.say(&plain(username, password)).await.starts_with("235"));
}

/// Logs in with SCRAM-SHA-256 as a client that is written from the RFC, and answers the last reply.
async fn scram(world: &World, username: &str, password: &str) -> String {
    let mut client = world.client().await;
    let bare = format!("n={username},r=fyko+d2lbbFgONRv9qkxdawL");
    let challenge = client.say(&format!("AUTH SCRAM-SHA-256 {}", STANDARD.encode(format!("n,,{bare}")))).await;
    let server_first = STANDARD.decode(challenge.trim().strip_prefix("334 ").expect("a challenge")).expect("base64");
    let server_first = String::from_utf8(server_first).expect("text");
    let field = |n: usize| server_first.split(',').nth(n).map(|f| f[2..].to_owned()).expect("a field");
    let without_proof = format!("c=biws,r={}", field(0));
    let message = format!("{bare},{server_first},{without_proof}");
    let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let mut salted = [0_u8; 32];
    let salt = STANDARD.decode(field(1)).expect("base64");
    let count = field(2).parse().expect("a number");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salt, password.as_bytes(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let signature = mac(digest::digest(&digest::SHA256, &client_key).as_ref(), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let reply = client.say(&STANDARD.encode(format!("{without_proof},p={}", STANDARD.encode(proof)))).await;
    let Some(last) = reply.trim().strip_prefix("334 ") else { return reply };
    let expected = format!("v={}", STANDARD.encode(mac(&mac(&salted, b"Server Key"), message.as_bytes())));
    assert_eq!(STANDARD.decode(last).expect("base64"), expected.as_bytes(), "the server proves itself");
    client.say("").await
}

#[tokio::test]
async fn guessing_ends_the_connection() {
    let world = World::start().await;
    let mut client = world.client().await;
    for _ in 0..4 {
        assert!(client.say(&plain("newsletter.1", "guess")).await.starts_with("535"));
    }
    assert!(client.say(&plain("newsletter.1", "guess")).await.starts_with("421 4.7.0"));
    assert_eq!(client.read().await, "");
}

#[tokio::test]
async fn changes_spread_after_the_propagation_fault() {
    let world = World::start().await;
    let old = world.entry("staging");
    world.fault("propagation=1500ms");
    let made = world.create("r1").await;
    let new = made.secret.expect("chosen");
    assert!(world.auth(made.username.as_str(), new.expose()).await.starts_with("535"), "not known yet");
    done(world.provider.disable("newsletter", &id(1)).await);
    assert!(world.auth(old.username.as_str(), old.password.expose()).await.starts_with("235"), "not refused yet");
    let status = world.status();
    assert_eq!(
        (status.credentials[0].versions[0].state, status.credentials[0].versions[0].accepted),
        (State::Inactive, true)
    );
    eventually(async || world.auth(made.username.as_str(), new.expose()).await, |reply| reply.starts_with("235")).await;
    eventually(async || world.auth(old.username.as_str(), old.password.expose()).await, |r| r.starts_with("535")).await;
}

#[tokio::test]
async fn logins_can_be_refused_by_fault() {
    let world = World::start().await;
    let old = world.entry("staging");
    let made = world.create("r1").await;
    let new = made.secret.expect("chosen");
    for (fault, expected) in [
        ("refuse-auth=all", ["535", "535"]),
        ("refuse-auth=new", ["235", "535"]),
        ("refuse-auth=newsletter.1", ["535", "235"]),
        ("refuse-auth=off", ["235", "235"]),
    ] {
        world.fault(fault);
        assert!(world.auth(old.username.as_str(), old.password.expose()).await.starts_with(expected[0]), "{fault}");
        assert!(world.auth(made.username.as_str(), new.expose()).await.starts_with(expected[1]), "{fault}");
    }
}

#[tokio::test]
async fn one_login_name_has_one_password_where_the_shape_says_so() {
    let world = World::start_with(|options| options.shape = Some(Shape::InPlace)).await;
    let old = world.entry("staging");
    let made = world.create("r1").await;
    let new = made.secret.expect("chosen");
    assert_eq!((old.username.as_str(), made.username.as_str()), ("newsletter", "newsletter"));
    assert!(world.auth("newsletter", old.password.expose()).await.starts_with("535"), "stops at once");
    assert!(world.auth("newsletter", new.expose()).await.starts_with("235"));
    done(world.provider.enable("newsletter", &id(1), Some(&old.password)).await);
    assert!(world.auth("newsletter", old.password.expose()).await.starts_with("235"));
    assert!(world.auth("newsletter", new.expose()).await.starts_with("535"));
    assert!(scram(&world, "newsletter", old.password.expose()).await.starts_with("235"));

    let world = World::start_with(|options| options.shape = Some(Shape::Alternating)).await;
    let old = world.entry("production");
    let made = world.create("r1").await;
    assert_eq!((old.username.as_str(), made.username.as_str()), ("newsletter-a", "newsletter-b"));
    let new = made.secret.expect("chosen");
    assert!(world.auth("newsletter-a", old.password.expose()).await.starts_with("235"));
    assert!(world.auth("newsletter-b", new.expose()).await.starts_with("235"));
}
