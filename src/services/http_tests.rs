//! A service played by a socket: what it answers, or that it does not.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the service does with a connection after it has read the request.
#[derive(Clone)]
enum Play {
    Answer(String),
    Close,
    Silence,
}

struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn new(play: Play) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/path?a=b", listener.local_addr().expect("it is bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                log.lock().expect("one at a time").push(request);
                match &play {
                    Play::Answer(text) => {
                        let _ = stream.write_all(text.as_bytes()).await;
                    }
                    Play::Close => {}
                    Play::Silence => kept.push(stream),
                }
            }
        });
        Self { url, requests }
    }

    async fn answering(status: &str, body: &str) -> Self {
        Self::new(Play::Answer(answer(status, "", body))).await
    }

    fn action(&self, timeout: Span) -> HttpAction {
        HttpAction::new(&self.url, HttpMethod::Post, timeout).expect("the address is sound")
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("one at a time").clone()
    }
}

fn answer(status: &str, header: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut block = [0; 4096];
    loop {
        let body = text.split_once("\r\n\r\n");
        let length = |head: &str| {
            let lower = head.to_ascii_lowercase();
            let value = lower.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
            value.map_or(0, |v| v.parse().expect("a number"))
        };
        if body.is_some_and(|(head, body)| body.len() >= length(head)) {
            return text;
        }
        match stream.read(&mut block).await {
            Ok(n @ 1..) => text.push_str(&String::from_utf8_lossy(&block[..n])),
            _ => return text,
        }
    }
}

fn shown<T>(outcome: &Outcome<T>) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::NotDone(fault) => format!("not-done {} {:?}", fault.code, fault.class),
        Outcome::Unknown(fault) => format!("unknown {} {:?}", fault.code, fault.class),
    }
}

#[tokio::test]
async fn each_ability_makes_its_request() {
    let proof = "cd".repeat(32);
    let server = Server::answering("200 OK", &format!(r#"{{"username": "u-1", "proof": "{proof}"}}"#)).await;
    let action = server.action(DEFAULT_TIMEOUT);
    assert_eq!(action.reload().await, Outcome::Done(()));
    assert_eq!(action.test_send("n-1", "to@example.com").await, Outcome::Done(()));
    let expected = Attestation { username: "u-1".to_owned(), proof };
    assert_eq!(action.attest("0011").await, Outcome::Done(expected));
    let put = HttpAction::new(&server.url, HttpMethod::Put, DEFAULT_TIMEOUT).expect("the address is sound");
    assert_eq!(put.reload().await, Outcome::Done(()));
    let requests = server.requests();
    assert!(requests[0].starts_with("POST /path?a=b HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[0].ends_with("\r\n\r\n") && requests[0].contains("content-length: 0\r\n"), "{}", requests[0]);
    assert!(requests[1].starts_with("POST /path?a=b HTTP/1.1\r\n"), "{}", requests[1]);
    assert!(requests[1].ends_with("\r\n\r\n{\"nonce\":\"n-1\",\"to\":\"to@example.com\"}"), "{}", requests[1]);
    assert!(requests[2].starts_with("GET /path?a=b&challenge=0011 HTTP/1.1\r\n"), "{}", requests[2]);
    assert!(requests[3].starts_with("PUT /path?a=b HTTP/1.1\r\n"), "{}", requests[3]);
    assert_eq!(requests.len(), 4);
    assert!(action.describe().starts_with("http 127.0.0.1:") && !action.describe().contains("path"));
}

#[tokio::test]
async fn answers_are_classified() {
    let refused = r#"{"accepted": false, "reply": "535 5.7.8 MARK"}"#;
    let later = r#"{"accepted": false, "reply": "454 4.7.0 MARK"}"#;
    let policy = r#"{"accepted": false, "reply": "554 MARK"}"#;
    let table = [
        // status, body, reload, test-send, attest
        ("204 No Content", "", "done", "done", "not-done HO0709 Permanent"),
        ("200 OK", "MARK", "done", "done", "not-done HO0709 Permanent"),
        ("200 OK", refused, "done", "not-done HO0710 Credential", "not-done HO0709 Permanent"),
        ("302 Found", "MARK", "not-done HO0726 Permanent", "not-done HO0726 Permanent", "not-done HO0726 Permanent"),
        ("404 Not Found", "MARK", "not-done HO0726 Permanent", "not-done HO0726 Permanent", "not-done HO0726 Permanent"),
        ("400 Bad", refused, "not-done HO0726 Permanent", "not-done HO0726 Permanent", "not-done HO0726 Permanent"),
        ("408 Late", "", "unknown HO0725 Temporary", "unknown HO0725 Temporary", "unknown HO0725 Temporary"),
        ("429 Slow", "", "unknown HO0725 Temporary", "unknown HO0725 Temporary", "unknown HO0725 Temporary"),
        ("500 Oh", refused, "unknown HO0725 Temporary", "unknown HO0725 Temporary", "unknown HO0725 Temporary"),
        ("502 Bad", "MARK", "unknown HO0725 Temporary", "unknown HO0725 Temporary", "unknown HO0725 Temporary"),
        ("502 Bad", refused, "unknown HO0725 Temporary", "not-done HO0710 Credential", "unknown HO0725 Temporary"),
        ("502 Bad", later, "unknown HO0725 Temporary", "not-done HO0711 Temporary", "unknown HO0725 Temporary"),
        ("502 Bad", policy, "unknown HO0725 Temporary", "not-done HO0712 Environment", "unknown HO0725 Temporary"),
        ("503 Busy", "", "unknown HO0725 Temporary", "unknown HO0725 Temporary", "unknown HO0725 Temporary"),
    ];
    for (status, body, reload, test_send, attest) in table {
        let server = Server::answering(status, body).await;
        let action = server.action(DEFAULT_TIMEOUT);
        let outcomes = (action.reload().await, action.test_send("n", "to@example.com").await, action.attest("00").await);
        assert_eq!(shown(&outcomes.0), reload, "{status} {body}");
        assert_eq!(shown(&outcomes.1), test_send, "{status} {body}");
        assert_eq!(shown(&outcomes.2), attest, "{status} {body}");
        assert!(!format!("{outcomes:?}").contains("MARK"), "{outcomes:?}");
        assert_eq!(server.requests().len(), 3, "no call is repeated");
    }
}

#[tokio::test]
async fn what_is_lost_after_the_request_left_is_unknown() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"acc";
    for (play, timeout) in [
        (Play::Close, DEFAULT_TIMEOUT),
        (Play::Silence, Span(300)),
        (Play::Answer("nonsense\r\n\r\n".to_owned()), DEFAULT_TIMEOUT),
        (Play::Answer(half.to_owned()), DEFAULT_TIMEOUT),
    ] {
        let server = Server::new(play).await;
        let action = server.action(timeout);
        assert_eq!(shown(&action.test_send("n", "to@example.com").await), "unknown HO0724 Temporary");
        assert_eq!(shown(&action.attest("00").await), "unknown HO0724 Temporary");
        assert_eq!(server.requests().len(), 2, "no call is repeated");
    }
}

#[tokio::test]
async fn no_connection_is_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    drop(listener);
    let action = HttpAction::new(&url, HttpMethod::Post, DEFAULT_TIMEOUT).expect("the address is sound");
    assert_eq!(shown(&action.reload().await), "not-done HO0723 Temporary");

    // A server that says something that is no TLS, and one that says nothing: neither has been asked for anything.
    for (word, class) in [("220 mail ready\r\n", "Environment"), ("", "Temporary")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}/", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(word.as_bytes()).await;
                kept.push(stream);
            }
        });
        let action = HttpAction::new(&url, HttpMethod::Post, Span::seconds(1)).expect("the address is sound");
        assert_eq!(shown(&action.reload().await), format!("not-done HO0723 {class}"));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let trap = Server::answering("200 OK", "").await;
    for status in ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"] {
        let header = format!("location: {}\r\n", trap.url);
        let server = Server::new(Play::Answer(answer(status, &header, ""))).await;
        assert_eq!(shown(&server.action(DEFAULT_TIMEOUT).reload().await), "not-done HO0726 Permanent");
    }
    assert!(trap.requests().is_empty());
}

#[tokio::test]
async fn an_answer_beyond_the_cap_is_not_taken() {
    let most = format!(r#"{{"accepted": true, "pad": "{}"}}"#, "x".repeat(MOST_BODY - 40));
    assert!(most.len() <= MOST_BODY);
    let server = Server::answering("200 OK", &most).await;
    assert_eq!(server.action(DEFAULT_TIMEOUT).test_send("n", "to").await, Outcome::Done(()));
    let server = Server::answering("200 OK", &"x".repeat(MOST_BODY + 1)).await;
    let action = server.action(DEFAULT_TIMEOUT);
    assert_eq!(shown(&action.test_send("n", "to").await), "unknown HO0727 Permanent");
    assert_eq!(shown(&action.attest("00").await), "unknown HO0727 Permanent");
}

#[test]
fn addresses_are_checked() {
    let table = [
        "",
        "host/path",
        "ftp://host/",
        "file:///etc/passwd",
        "http://",
        "http://user@host/",
        "https://:MARK@host/",
        "http://u:MARK@h/",
    ];
    for url in table {
        let fault = HttpAction::new(url, HttpMethod::Post, DEFAULT_TIMEOUT).err().expect(url);
        assert_eq!(fault.code, "HO0721", "{url}");
        assert!(!format!("{fault:?}").contains("MARK"), "{fault:?}");
    }
    let action = HttpAction::new("https://api.internal/test?token=MARK", HttpMethod::Post, Span::seconds(4));
    let action = action.expect("the address is sound");
    assert_eq!(action.describe(), "http api.internal");
    assert_eq!(action.request_timeout(), Span::seconds(5));
}
