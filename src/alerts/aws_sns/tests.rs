use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::executor::block_on;
use serde_json::json;

use super::super::aws_event::tests::health_event;
use super::super::contract::{hold, options};
use super::super::verify::tests::deliver;
use super::*;
use crate::web::Lost;

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:leaks";
const CERTIFICATE: &str =
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem";
const NOW: u64 = 1_700_000_000_000;
const TIME: &str = "2023-11-14T22:13:20.000Z";

/// A key of RSA with its certificate, made once.
struct Signer {
    key: RsaKeyPair,
    pem: String,
}

static SNS: LazyLock<Signer> = LazyLock::new(Signer::new);
static STRANGER: LazyLock<Signer> = LazyLock::new(Signer::new);

impl Signer {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
        let parameters = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).expect("parameters");
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        Self { key: RsaKeyPair::from_pkcs8(&key.serialize_der()).expect("a key"), pem }
    }

    fn sign(&self, algorithm: &'static dyn RsaEncoding, message: &[u8]) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(algorithm, &SystemRandom::new(), message, &mut signature).expect("signs");
        BASE64_STANDARD.encode(signature)
    }
}

/// Hands out SNS's certificate, counts how often, and fails if it is told to.
#[derive(Default)]
struct Stand {
    fetched: Arc<AtomicU32>,
    confirmed: Arc<AtomicU32>,
    fails: bool,
}

#[async_trait]
impl Fetch for Stand {
    async fn certificate(&self, url: &Url) -> Result<Vec<u8>, Fault> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        assert!(url.as_str().starts_with("https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-"), "{url}");
        match self.fails {
            true => Err(Fault::new(FaultClass::Temporary, "HO1120", "no connection")),
            false => Ok(SNS.pem.clone().into_bytes()),
        }
    }

    async fn confirm(&self, _url: &Url) -> Result<(), Lost> {
        self.confirmed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn source(stand: Stand) -> AwsSns {
    let options = options(&format!("{{topic: \"{TOPIC}\"}}"), AwsSns::options).expect("options");
    AwsSns::with("aws", options, Box::new(stand))
}

/// A message as SNS sends it, with these fields instead of the usual ones, and then signed.
fn message(changes: &[(&str, Value)]) -> Value {
    let event = health_event("AWS_RISK_CREDENTIALS_EXPOSED", &["AKIAIOSFODNN7EXAMPLE"], "open");
    let mut message = json!({
        "Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC, "Subject": "My \"subject\"",
        "Message": event, "Timestamp": TIME, "SignatureVersion": "2", "SigningCertURL": CERTIFICATE,
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
    });
    change(&mut message, changes);
    sign(message, &SNS, &RSA_PKCS1_SHA256)
}

fn change(message: &mut Value, changes: &[(&str, Value)]) {
    for (key, value) in changes {
        match value {
            Value::Null => drop(message.as_object_mut().expect("a map").remove(*key)),
            value => message[key] = value.clone(),
        }
    }
}

fn sign(mut message: Value, signer: &Signer, algorithm: &'static dyn RsaEncoding) -> Value {
    let text = message.to_string();
    if let Some(signed) = Json::read(text.as_bytes()).ok().and_then(|m| canonical(&m)) {
        message["Signature"] = json!(signer.sign(algorithm, &signed));
    }
    message
}

fn receive_at(source: &AwsSns, message: &Value, now_ms: u64) -> Result<Received, (u16, &'static str)> {
    let body = message.to_string();
    let headers = [("content-type", "text/plain; charset=UTF-8"), ("x-amz-sns-message-type", "Notification")];
    let taken = deliver(&headers, body.as_bytes(), now_ms, |d| block_on(source.receive(&d)));
    taken.map_err(|rejected| (rejected.status, rejected.code))
}

fn receive(message: &Value) -> Result<Received, (u16, &'static str)> {
    receive_at(&source(Stand::default()), message, NOW)
}

#[test]
fn what_is_signed_is_written_as_sns_writes_it() {
    let read = |value: Value| canonical(&Json::read(value.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}")));
    let text = |value| read(value).map(|bytes| String::from_utf8(bytes).expect("text"));
    let note = json!({"Type": "Notification", "TopicArn": "t", "Timestamp": "s", "MessageId": "i", "Message": "m\nn", "Extra": "x"});
    assert_eq!(
        text(note.clone()).as_deref(),
        Some("Message\nm\nn\nMessageId\ni\nTimestamp\ns\nTopicArn\nt\nType\nNotification\n")
    );
    let mut taken_over = note.clone();
    change(&mut taken_over, &[("MessageId", json!("i\nSubject\nu"))]);
    assert_eq!(text(taken_over), None, "a subject inside of the id");
    let mut titled = note.clone();
    change(&mut titled, &[("Subject", json!("u"))]);
    let expected = "Message\nm\nn\nMessageId\ni\nSubject\nu\nTimestamp\ns\nTopicArn\nt\nType\nNotification\n";
    assert_eq!(text(titled).as_deref(), Some(expected));
    let mut confirm = note;
    change(
        &mut confirm,
        &[("Type", json!("SubscriptionConfirmation")), ("SubscribeURL", json!("u")), ("Token", json!("k"))],
    );
    let expected = "Message\nm\nn\nMessageId\ni\nSubscribeURL\nu\nTimestamp\ns\nToken\nk\nTopicArn\nt\nType\nSubscriptionConfirmation\n";
    assert_eq!(text(confirm.clone()).as_deref(), Some(expected));
    change(&mut confirm, &[("Token", Value::Null)]);
    assert_eq!(text(confirm), None);
    assert_eq!(text(json!({"Type": "Something"})), None);
}

#[test]
fn a_signed_event_is_a_report_and_what_is_changed_after_it_is_none() {
    let good = message(&[]);
    let taken = receive(&good).expect("taken");
    assert_eq!((taken.reports.len(), taken.stale_ms, taken.confirm.is_none()), (1, Some(NOW + 300_000), true));
    assert_eq!(taken.reports[0].marks, Vec::from_iter(crate::marks::Mark::key_id("AKIAIOSFODNN7EXAMPLE")));
    assert!(receive(&message(&[("Subject", Value::Null)])).is_ok());
    let lambda =
        message(&[("Subject", json!(null)), ("SigningCertURL", Value::Null), ("SigningCertUrl", json!(CERTIFICATE))]);
    assert_eq!(receive(&lambda).err(), Some((403, "HO1115")), "the spelling of Lambda is not that of HTTPS");
    for (key, value) in [
        ("Message", json!("{}")),
        ("MessageId", json!("other")),
        ("Subject", json!("other")),
        ("Subject", Value::Null),
        ("Timestamp", json!("2023-11-14T22:13:21.000Z")),
        ("Type", json!("SubscriptionConfirmation")),
        ("Signature", json!("AAAA")),
        ("Signature", json!("%")),
        ("Signature", json!("")),
        ("Signature", json!("A".repeat(4_000))),
        ("Signature", Value::Null),
        ("SubscribeURL", json!("https://sns.eu-central-1.amazonaws.com/")),
    ] {
        let mut changed = good.clone();
        change(&mut changed, &[(key, value.clone())]);
        let refused = receive(&changed).err().map(|(status, _)| status);
        let expected = if key == "Type" { 400 } else { 401 };
        assert_eq!(refused, Some(expected), "{key}: {value}");
    }
    assert_eq!(receive(&sign(good.clone(), &STRANGER, &RSA_PKCS1_SHA256)).err(), Some((401, "HO1110")));
    let other = sign(good, &SNS, &RSA_PKCS1_SHA512);
    assert_eq!(receive(&other).err(), Some((401, "HO1110")));
}

#[test]
fn foreign_topics_old_signatures_and_stale_messages_are_refused_before_anything_is_fetched() {
    let elsewhere = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem";
    for (key, value, status) in [
        ("TopicArn", json!("arn:aws:sns:eu-central-1:210987654321:leaks"), 403),
        ("TopicArn", Value::Null, 403),
        ("SignatureVersion", json!("1"), 403),
        ("SignatureVersion", json!(2), 403),
        ("SignatureVersion", Value::Null, 403),
        ("Timestamp", json!("2023-11-14T22:08:19.999Z"), 401),
        ("Timestamp", json!("2023-11-14T22:18:20.001Z"), 401),
        ("Timestamp", json!("yesterday"), 400),
        ("Type", json!("Something"), 400),
        ("Message", Value::Null, 400),
        ("SigningCertURL", json!(elsewhere), 403),
        ("SigningCertURL", Value::Null, 403),
    ] {
        let stand = Stand::default();
        let fetched = Arc::clone(&stand.fetched);
        let refused = receive_at(&source(stand), &message(&[(key, value.clone())]), NOW).err().map(|(status, _)| status);
        assert_eq!(refused, Some(status), "{key}: {value}");
        assert_eq!(fetched.load(Ordering::SeqCst), 0, "{key}: {value}");
    }
    assert!(receive(&message(&[("Timestamp", json!("2023-11-14T22:08:20.000Z"))])).is_ok());
}

#[test]
fn certificates_come_from_the_topics_region_of_sns_only() {
    let topic = Topic::parse(TOPIC).expect("a topic");
    let name = "SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem";
    assert!(topic.certificate(CERTIFICATE).is_some());
    assert!(topic.certificate(&CERTIFICATE.replace("https://sns", "HTTPS://SNS")).is_some());
    for bad in [
        format!("http://sns.eu-central-1.amazonaws.com/{name}"),
        format!("https://sns.eu-central-1.amazonaws.com:8443/{name}"),
        format!("https://sns.eu-central-1.amazonaws.com.evil.example/{name}"),
        format!("https://evil.example/sns.eu-central-1.amazonaws.com/{name}"),
        format!("https://sns.eu-central-1.amazonaws.com@evil.example/{name}"),
        format!("https://evil.example#@sns.eu-central-1.amazonaws.com/{name}"),
        format!("https://evil.example\\@sns.eu-central-1.amazonaws.com/{name}"),
        format!("https://a:b@sns.eu-central-1.amazonaws.com/{name}"),
        format!("https://sns.us-east-1.amazonaws.com/{name}"),
        format!("https://sns.eu-central-1.amazonaws.com.cn/{name}"),
        format!("https://xsns.eu-central-1.amazonaws.com/{name}"),
        format!("https://sns.eu-central-1.amazonaws.com./{name}"),
        format!("https://169.254.169.254/{name}"),
        format!("https://[::ffff:169.254.169.254]/{name}"),
        format!("https://2852039166/{name}"),
        format!("https://sns.eu-central-1.amazonaws.com/x/{name}"),
        format!("https://sns.eu-central-1.amazonaws.com/{name}?x=.pem"),
        format!("https://sns.eu-central-1.amazonaws.com/{name}#x"),
        format!("https://sns.eu-central-1.amazonaws.com/{name}/../other.pem"),
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-.pem".to_owned(),
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-a%2f..pem".to_owned(),
        "https://sns.eu-central-1.amazonaws.com/other.pem".to_owned(),
        "file:///etc/passwd.pem".to_owned(),
        String::new(),
    ] {
        assert!(topic.certificate(&bad).is_none(), "{bad}");
    }
    let china = Topic::parse("arn:aws-cn:sns:cn-north-1:123456789012:leaks").expect("a topic");
    assert!(china.certificate(&format!("https://sns.cn-north-1.amazonaws.com.cn/{name}")).is_some());
    assert!(china.certificate(&format!("https://sns.cn-north-1.amazonaws.com/{name}")).is_none());
    for bad in [
        "arn:aws:sqs:eu-central-1:1:x",
        "arn:aws:sns::1:x",
        "arn:aws:sns:eu-central-1:1:x:subscription",
        "arn:evil:sns:eu-central-1:1:x",
        "arn:aws:sns:evil.example/:1:x",
        "arn:aws:sns:a@b:1:x",
        "",
    ] {
        assert!(Topic::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn a_certificate_is_fetched_once_and_strangers_do_not_cause_many_calls() {
    let stand = Stand::default();
    let fetched = Arc::clone(&stand.fetched);
    let source = source(stand);
    for _ in 0..20 {
        assert!(receive_at(&source, &message(&[]), NOW).is_ok());
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    let mut refused = 0;
    for n in 0..100 {
        let address = CERTIFICATE.replace("f3ec", &format!("{n:04x}"));
        let forged = sign(message(&[("SigningCertURL", json!(address))]), &STRANGER, &RSA_PKCS1_SHA256);
        refused += usize::from(receive_at(&source, &forged, NOW).err() == Some((503, "HO1116")));
    }
    assert!(fetched.load(Ordering::SeqCst) <= 10 && refused >= 90, "{refused}");
    assert!(receive_at(&source, &message(&[]), NOW).is_ok(), "what has proven itself stays at hand");
    // And a new one is fetched a while later.
    let new = CERTIFICATE.replace("f3ec", "ffff");
    let new = |at: &str| message(&[("SigningCertURL", json!(new)), ("Timestamp", json!(at))]);
    assert_eq!(receive_at(&source, &new(TIME), NOW).err(), Some((503, "HO1116")));
    assert!(receive_at(&source, &new("2023-11-14T22:14:20.000Z"), NOW + 60_000).is_ok());
}

#[test]
fn a_certificate_that_cannot_be_had_is_asked_for_again_with_the_next_attempt() {
    let stand = Stand { fails: true, ..Stand::default() };
    let fetched = Arc::clone(&stand.fetched);
    let source = source(stand);
    for n in 1..=3 {
        assert_eq!(receive_at(&source, &message(&[]), NOW).err(), Some((503, "HO1116")));
        assert_eq!(fetched.load(Ordering::SeqCst), n);
    }
}

#[test]
fn only_the_subscription_to_this_topic_can_be_confirmed() {
    let url = |action: &str, topic: &str, host: &str| {
        format!("https://{host}/?Action={action}&TopicArn={topic}&Token=2336412f37fb687f5d51e6e2425c464de257ebb6")
    };
    let host = "sns.eu-central-1.amazonaws.com";
    let subscribe = |url: &str| {
        receive(&message(&[
            ("Type", json!("SubscriptionConfirmation")),
            ("Message", json!("You have chosen to subscribe to the topic")),
            ("Token", json!("2336412f37fb687f5d51e6e2425c464de257ebb6")),
            ("SubscribeURL", json!(url)),
        ]))
    };
    let good = url("ConfirmSubscription", TOPIC, host);
    let taken = subscribe(&good).expect("taken");
    assert!(taken.reports.is_empty() && taken.confirm.as_deref() == Some(&*good));
    for bad in [
        url("ConfirmSubscription", "arn:aws:sns:eu-central-1:210987654321:leaks", host),
        url("Unsubscribe", TOPIC, host),
        url("ConfirmSubscription", TOPIC, "evil.example"),
        format!("{good}&TopicArn=x"),
        format!("{good}&AuthenticateOnUnsubscribe=true"),
        good.replace("/?", "/x?"),
        good.replace("https", "http"),
        String::new(),
    ] {
        assert_eq!(subscribe(&bad).err(), Some((403, "HO1115")), "{bad}");
    }
    let stand = Stand::default();
    let confirmed = Arc::clone(&stand.confirmed);
    let source = source(stand);
    assert!(matches!(block_on(source.confirm(&good)), Outcome::Done(())));
    assert!(matches!(block_on(source.confirm("https://169.254.169.254/")), Outcome::NotDone(_)));
    assert_eq!(confirmed.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_no_leak_is_noted_and_raw_delivery_says_what_to_mend() {
    let other = receive(&message(&[("Message", json!("disk full"))])).expect("taken");
    assert!(other.reports.is_empty() && other.note.is_some());
    let ended = [("Type", json!("UnsubscribeConfirmation")), ("Token", json!("t")), ("SubscribeURL", json!("https://x/"))];
    let ended = receive(&message(&ended)).expect("taken");
    assert!(ended.note.is_some_and(|note| note.contains("ended")) && ended.confirm.is_none());
    let headers = [("content-type", "text/plain"), ("x-amz-sns-rawdelivery", "true")];
    let source = source(Stand::default());
    let raw = deliver(&headers, b"{}", NOW, |d| block_on(source.receive(&d))).err().unwrap_or_else(|| panic!("refused"));
    assert!(raw.status == 401 && raw.why.contains("raw message delivery"));
}

#[test]
fn digests_differ_by_what_is_signed() {
    let digest = |changes: &[(&str, Value)]| receive(&message(changes)).expect("taken").digest;
    assert_eq!(digest(&[]), digest(&[("UnsubscribeURL", json!("https://x/"))]));
    assert_ne!(digest(&[]), digest(&[("MessageId", json!("other"))]));
}

#[test]
fn its_options_are_read_and_others_refused() {
    let good = [
        "{topic: \"arn:aws:sns:eu-central-1:123456789012:leaks\"}",
        "{topic: \"arn:aws:sns:a-b-1:1:x.fifo\", least_severity: 4}",
    ];
    let bad = ["{}", "{topic: leaks}", "{topic: \"arn:aws:sns:a-b-1:1:x\", least_severity: 11}"];
    hold(&good, &bad, AwsSns::options, AwsSns::schema);
}
