use super::*;

fn api(base: &str) -> Result<Api, Fault> {
    Api::new("Vendor", &Url::parse(base).expect("a url"), None, Span::seconds(2), PROVIDER)
}

#[test]
fn secrets_go_over_tls_or_stay_on_this_machine() {
    for good in ["https://api.example.com", "http://127.0.0.1:80", "http://localhost:1/x", "http://[::1]:1"] {
        assert!(api(good).is_ok(), "{good}");
    }
    for bad in ["http://api.example.com", "http://127.0.0.1.example.com", "ftp://x", "https://u:p@x", "mailto:a@b"] {
        let fault = api(bad).err().unwrap_or_else(|| panic!("{bad}"));
        assert_eq!(fault.code, "HO0517", "{bad}");
        assert!(!fault.message.contains("u:p"));
    }
}

#[test]
fn a_metadata_service_is_on_this_machine_or_its_link() {
    let api = |base: &str| {
        Api::of_this_machine("the metadata service", &Url::parse(base).expect("a url"), Span::seconds(2), PROVIDER)
    };
    for good in ["http://169.254.169.254", "http://127.0.0.1:80", "http://localhost"] {
        assert!(api(good).is_ok(), "{good}");
    }
    for bad in [
        "http://metadata.google.internal",
        "http://169.253.169.254",
        "http://10.0.0.1",
        "http://169.254.169.254.example.com",
    ] {
        assert_eq!(api(bad).err().map(|fault| fault.code), Some("HO0517".to_owned()), "{bad}");
    }
    // Only there: what carries secrets is never sent over the link in the clear.
    assert!(
        Api::new("Vendor", &Url::parse("http://169.254.169.254").expect("a url"), None, Span::seconds(2), PROVIDER).is_err()
    );
}

#[test]
fn a_name_stays_in_its_segment_and_none_is_missing() {
    let api = api("https://api.example.com/v3/").expect("an api");
    let url = |segments: &[&str]| api.url(segments).map(|u| u.to_string()).ok();
    assert_eq!(url(&["keys", "a/../b?x#y"]).as_deref(), Some("https://api.example.com/v3/keys/a%2F..%2Fb%3Fx%23y"));
    for empty in [["keys", ""], ["keys", "."], ["keys", ".."], ["", "x"]] {
        assert_eq!(url(&empty), None, "{empty:?}");
    }
}

#[test]
fn a_status_says_whether_it_can_have_happened() {
    let api = api("https://api.example.com").expect("an api");
    for (status, happened, code) in [
        (400, false, "HO0517"),
        (401, false, "HO0515"),
        (403, false, "HO0515"),
        (404, false, "HO0517"),
        (302, false, "HO0517"),
        (408, true, "HO0516"),
        (429, true, "HO0516"),
        (500, true, "HO0516"),
        (503, true, "HO0516"),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let answer = Answer { status, retry_after: None, headers: HeaderMap::new(), body: Zeroizing::new(b"hush".to_vec()) };
        let (maybe, fault) = match api.refused(&answer, "list the keys") {
            Lost::Before(fault) => (false, fault),
            Lost::Maybe(fault) => (true, fault),
        };
        assert_eq!((maybe, fault.code.as_str()), (happened, code), "{status}");
        assert!(!fault.message.contains("hush"));
    }
}

#[tokio::test]
async fn what_was_not_sent_is_not_done_and_what_was_is_unknown() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let quiet = api(&format!("http://{closed}")).expect("an api");
    let url = quiet.url(&["x"]).expect("a url");
    assert!(matches!(quiet.send(quiet.client.get(url)).await, Err(Lost::Before(f)) if f.code == "HO0501"));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let cut = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let mut some = [0; 64];
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut some).await;
    });
    let lossy = api(&format!("http://{address}")).expect("an api");
    let url = lossy.url(&["x"]).expect("a url");
    assert!(matches!(lossy.send(lossy.client.get(url)).await, Err(Lost::Maybe(f)) if f.code == "HO0505"));
    cut.await.expect("it ends");
}

#[test]
fn the_next_page_is_named_by_the_header_link() {
    let next = |link: Option<&str>| {
        let headers = link.and_then(|text| Some((reqwest::header::LINK, text.parse().ok()?))).into_iter().collect();
        let answer = Answer { status: StatusCode::OK, retry_after: None, headers, body: Zeroizing::new(Vec::new()) };
        answer.next_page().map(|url| url.to_string())
    };
    let both = "<https://a.example/?cursor=p>; rel=\"prev\", <https://a.example/?cursor=n>; title=x; rel=\"next\"";
    assert_eq!(next(Some(both)).as_deref(), Some("https://a.example/?cursor=n"));
    for none in
        [None, Some(""), Some("<https://a.example/>; rel=prev"), Some("<nonsense>; rel=next"), Some("https://a.example/")]
    {
        assert_eq!(next(none), None, "{none:?}");
    }
}

#[test]
fn a_form_is_encoded() {
    let client = Client::new();
    let request = form(client.post("http://127.0.0.1/"), &[("login", "a+b@c"), ("password", "x&y=z")]);
    let request = request.build().expect("a request");
    let body = request.body().and_then(reqwest::Body::as_bytes).expect("a body");
    assert_eq!(std::str::from_utf8(body), Ok("login=a%2Bb%40c&password=x%26y%3Dz"));
}
