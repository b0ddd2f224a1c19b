use super::world::{Client, World, plain};

#[tokio::test]
async fn nothing_of_value_goes_over_the_wire_before_tls() {
    let world = World::start().await;
    let mut client = Client::new(world.socket(world.sandbox.ports().starttls).await);
    assert!(client.read().await.starts_with("220 localhost ESMTP"));
    let capabilities = client.say("EHLO tests").await;
    assert!(capabilities.contains("STARTTLS") && !capabilities.contains("AUTH"), "{capabilities}");
    for command in [&plain("newsletter.1", "x"), "MAIL FROM:<a@b.test>", "RCPT TO:<a@b.test>", "DATA", "RSET"] {
        assert!(client.say(command).await.starts_with("530 5.7.0"), "{command}");
    }
    assert!(client.say("NOOP").await.starts_with("250"));

    // What is sent behind STARTTLS in clear is dropped, not answered within TLS.
    client.send("STARTTLS\r\nEHLO injected\r\n").await;
    assert!(client.read().await.starts_with("220 2.0.0"));
    let mut client = Client::new(world.secure(client.into_inner()).await.expect("TLS"));
    let first = client.say("NOOP").await;
    assert_eq!(first, "250 2.0.0 OK\r\n");
    assert!(client.say("MAIL FROM:<a@b.test>").await.starts_with("503 5.5.1 Send EHLO"), "the clear EHLO is forgotten");
    let capabilities = client.say("EHLO tests").await;
    assert!(capabilities.contains("AUTH PLAIN LOGIN SCRAM-SHA-256") && !capabilities.contains("STARTTLS"));
    assert!(client.say("STARTTLS").await.starts_with("503 5.5.1"));
    assert!(client.say("QUIT").await.starts_with("221"));
    assert_eq!(client.read().await, "", "and it closes");
}

#[tokio::test]
async fn a_message_is_delivered_as_it_was_written() {
    let world = World::start().await;
    let login = world.entry("staging");
    let mut client = world.client().await;
    assert!(client.say(&plain(login.username.as_str(), login.password.expose())).await.starts_with("235 2.7.0"));
    assert!(client.say("MAIL FROM:<news@sandbox.test> SIZE=100 BODY=8BITMIME").await.starts_with("250 2.1.0"));
    assert!(client.say("RCPT TO:<inbox@sandbox.test>").await.starts_with("250 2.1.5"));
    assert!(client.say("DATA").await.starts_with("354"));
    let body = "Subject: h\u{e9}llo\r\n\r\n.stuffed\r\nlast\r\n";
    client.send(&body.replace("\r\n.", "\r\n..")).await;
    assert!(client.say(".").await.starts_with("250 2.0.0 OK: queued as"));
    let mails = world.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].ends_with(body), "{}", mails[0]);
    assert!(
        mails[0]
            .starts_with("Return-Path: <news@sandbox.test>\r\nDelivered-To: inbox@sandbox.test\r\nReceived: from tests ")
    );
    assert!(mails[0].contains("(authenticated as newsletter.1)"));
    let tmp = world.sandbox.layout().mail().join("tmp");
    assert_eq!(std::fs::read_dir(tmp).expect("a Maildir").count(), 0);
}

#[tokio::test]
async fn the_order_of_commands_is_kept() {
    let world = World::start().await;
    let login = world.entry("staging");
    let mut client = world.client().await;
    assert!(client.say("MAIL FROM:<a@b.test>").await.starts_with("530 5.7.0 Authentication required"));
    assert!(client.say("RCPT TO:<a@b.test>").await.starts_with("503"));
    assert!(client.say("DATA").await.starts_with("503"));
    let auth = plain(login.username.as_str(), login.password.expose());
    assert!(client.say(&auth).await.starts_with("235"));
    let table = [
        (auth.as_str(), "503 5.5.1 Already"),
        ("MAIL FROM:<a@b.test> SIZE=99999999", "552 5.3.4"),
        ("MAIL FROM:nobody", "501"),
        ("MAIL FROM:<a@b.test>", "250"),
        ("MAIL FROM:<a@b.test>", "503 5.5.1 Nested"),
        ("DATA", "503 5.5.1 Send RCPT"),
        ("RCPT TO:<>", "501"),
        ("RSET", "250"),
        ("RCPT TO:<a@b.test>", "503"),
        ("VRFY me", "252"),
        ("EXPN me", "502"),
        ("BOGUS", "500 5.5.1"),
        ("", "500"),
    ];
    for (command, reply) in table {
        let said = client.say(command).await;
        assert!(said.starts_with(reply), "{command}: {said}");
    }
    assert!(client.say(&"x".repeat(20_000)).await.starts_with("500 5.5.2 Line too long"));
    assert!(client.say("NOOP").await.starts_with("250"));
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_turn() {
    let world = World::start().await;
    let login = world.entry("staging");
    let mut client = world.client().await;
    client.say(&plain(login.username.as_str(), login.password.expose())).await;
    client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n").await;
    for code in ["250 2.1.0", "250 2.1.5", "354"] {
        assert!(client.read().await.starts_with(code));
    }
    assert!(client.say("Subject: x\r\n\r\nx\r\n.").await.starts_with("250"));
}

#[tokio::test]
async fn temporary_trouble_can_be_switched_on_for_each_command() {
    let world = World::start().await;
    let login = world.entry("staging");
    for (stage, code) in [("mail", "451"), ("rcpt", "451"), ("data", "451"), ("auth", "454 4.7.0")] {
        world.fault(&format!("smtp-4xx={stage}"));
        let mut client = world.client().await;
        let mut replies = vec![("auth", client.say(&plain(login.username.as_str(), login.password.expose())).await)];
        if stage != "auth" {
            replies.push(("mail", client.say("MAIL FROM:<a@b.test>").await));
        }
        if matches!(stage, "rcpt" | "data") {
            replies.push(("rcpt", client.say("RCPT TO:<c@d.test>").await));
        }
        if stage == "data" {
            assert!(client.say("DATA").await.starts_with("354"));
            replies.push(("data", client.say("Subject: x\r\n\r\nx\r\n.").await));
        }
        for (at, reply) in &replies {
            let expected = if *at == stage { code } else { "2" };
            assert!(reply.starts_with(expected), "{stage}: {at}: {reply}");
        }
    }
    assert!(world.mails().is_empty());
    world.fault("smtp-4xx=off");
    assert!(world.auth(login.username.as_str(), login.password.expose()).await.starts_with("235"));
}

#[tokio::test]
async fn a_dropped_answer_to_data_comes_after_delivery() {
    let world = World::start().await;
    let login = world.entry("staging");
    world.fault("drop-answer=send");
    for (expected, mails) in [("", 1), ("250", 2)] {
        let mut client = world.client().await;
        client.say(&plain(login.username.as_str(), login.password.expose())).await;
        client.say("MAIL FROM:<a@b.test>").await;
        client.say("RCPT TO:<c@d.test>").await;
        client.say("DATA").await;
        let reply = client.say("Subject: x\r\n\r\nx\r\n.").await;
        assert!(if expected.is_empty() { reply.is_empty() } else { reply.starts_with(expected) }, "{reply}");
        assert_eq!(world.mails().len(), mails);
    }
}

#[tokio::test]
async fn the_server_can_be_down_expired_or_slow() {
    let world = World::start().await;
    let login = world.entry("staging");
    world.fault("smtp-down");
    let mut client = Client::new(world.socket(world.sandbox.ports().starttls).await);
    assert!(client.read().await.starts_with("421 4.3.2"));
    assert_eq!(client.read().await, "");

    world.fault("none");
    world.fault("tls-expired");
    let refused = world.secure(world.socket(world.sandbox.ports().tls).await).await.expect_err("is expired");
    assert!(refused.to_string().contains("expired"), "{refused}");

    world.fault("none");
    world.fault("slow=40ms");
    let before = std::time::Instant::now();
    assert!(world.auth(login.username.as_str(), login.password.expose()).await.starts_with("235"));
    assert!(before.elapsed().as_millis() >= 120, "greeting, EHLO and AUTH are slowed");
}
