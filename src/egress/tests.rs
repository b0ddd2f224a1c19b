//! Addresses that an attacker would write into a webhook's URL, or have a name lead to: none is connected to.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use handover_rotation::time::Span;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Allowed, Guard, Looking, Lookup, Net};
use crate::web::{Codes, Lost, Outward};

const CODES: Codes = Codes { unreachable: "HO1210", lost: "HO1211", forbidden: "HO1212", busy: "HO1213", odd: "HO1214" };

/// Names that lead where a table says, each question another answer of its list; the last one stays.
struct Names {
    table: Vec<(&'static str, Vec<Vec<IpAddr>>)>,
    asked: AtomicUsize,
}

impl Names {
    fn new(table: &[(&'static str, &[&[&str]])]) -> Arc<Self> {
        let ips = |list: &&[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
        let table = table.iter().map(|(name, answers)| (*name, answers.iter().map(ips).collect())).collect();
        Arc::new(Self { table, asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Names {
    fn lookup(&self, host: &str) -> Looking {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.table.iter().find(|(name, _)| *name == host).map(|(_, answers)| answers);
        let found = answers.and_then(|a| a.get(n).or(a.last())).cloned();
        Box::pin(async move { found.ok_or_else(|| std::io::ErrorKind::NotFound.into()) })
    }
}

fn allowed(nets: &[&str]) -> Allowed {
    Allowed::new(nets.iter().map(|n| n.parse::<Net>().unwrap()).collect())
}

fn outward(guard: Guard) -> Outward {
    Outward::new("webhook", None, Span::seconds(5), CODES, guard).unwrap()
}

/// Makes the call, and gives the code of its fault, or the status.
async fn call(outward: &Outward, url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return "no url".to_owned() };
    let api = match outward.at(&url) {
        Ok(api) => api,
        Err(fault) => return fault.code,
    };
    match api.send_for_status(api.client.post(url).body("hello")).await {
        Ok(answer) => answer.status.as_u16().to_string(),
        Err(Lost::Before(fault)) => fault.code,
        Err(Lost::Maybe(fault)) => format!("maybe {}", fault.code),
    }
}

/// A server that counts its callers and answers each alike.
async fn server(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let callers = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&callers);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut some = [0; 4096];
            let _ = stream.read(&mut some).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, callers)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

#[tokio::test]
async fn no_form_of_a_forbidden_address_is_connected_to() {
    let (port, callers) = server(OK).await;
    let names: &[(&str, &[&[&str]])] = &[
        ("inside.example.com", &[&["10.0.0.5"]]),
        ("metadata.example.com", &[&["169.254.169.254"]]),
        ("here.example.com", &[&["127.0.0.1"]]),
        ("here6.example.com", &[&["::1"]]),
        ("mapped.example.com", &[&["::ffff:127.0.0.1"]]),
        ("nat64.example.com", &[&["64:ff9b::7f00:1"]]),
        ("both.example.com", &[&["93.184.215.14", "127.0.0.1"]]),
        ("localhost", &[&["127.0.0.1"]]),
        ("localhost.", &[&["127.0.0.1"]]),
        ("nothing.example.com", &[&[]]),
    ];
    let outward = outward(Guard::asking(Allowed::default(), Names::new(names)));
    let table = [
        // This machine in all its forms: the URL's reader makes addresses of them, and those are judged.
        ("https://127.0.0.1:PORT/", "HO1201"),
        ("https://127.1:PORT/", "HO1201"),
        ("https://2130706433:PORT/", "HO1201"),
        ("https://0x7f000001:PORT/", "HO1201"),
        ("https://0x7f.0.0.1:PORT/", "HO1201"),
        ("https://0177.0.0.1:PORT/", "HO1201"),
        ("https://017700000001:PORT/", "HO1201"),
        ("https://127.0.0.1.:PORT/", "HO1201"),
        ("https://%31%32%37.0.0.1:PORT/", "HO1201"),
        ("https://\u{ff11}\u{ff12}\u{ff17}.0.0.1:PORT/", "HO1201"),
        ("https://127\u{3002}0\u{3002}0\u{3002}1:PORT/", "HO1201"),
        ("https://0:PORT/", "HO1201"),
        ("https://0.0.0.0:PORT/", "HO1201"),
        ("https://[::1]:PORT/", "HO1201"),
        ("https://[::]:PORT/", "HO1201"),
        ("https://[::ffff:127.0.0.1]:PORT/", "HO1201"),
        ("https://[::ffff:7f00:1]:PORT/", "HO1201"),
        ("https://[::127.0.0.1]:PORT/", "HO1201"),
        ("https://[64:ff9b::7f00:1]:PORT/", "HO1201"),
        ("https://[2002:7f00:1::]:PORT/", "HO1201"),
        ("https://[fe80::1]:PORT/", "HO1201"),
        // The rest of the inside.
        ("https://10.0.0.1/", "HO1201"),
        ("https://172.16.0.1/", "HO1201"),
        ("https://192.168.1.1/", "HO1201"),
        ("https://100.64.0.1/", "HO1201"),
        ("https://169.254.169.254/latest/meta-data/", "HO1201"),
        ("https://2852039166/latest/meta-data/", "HO1201"),
        ("https://[fd00:ec2::254]/latest/meta-data/", "HO1201"),
        ("https://168.63.129.16/", "HO1201"),
        // By name.
        ("https://inside.example.com/", "HO1201"),
        ("https://metadata.example.com/", "HO1201"),
        ("https://here.example.com:PORT/", "HO1201"),
        ("https://HERE.example.com:PORT/", "HO1201"),
        ("https://here6.example.com:PORT/", "HO1201"),
        ("https://mapped.example.com:PORT/", "HO1201"),
        ("https://nat64.example.com:PORT/", "HO1201"),
        ("https://both.example.com:PORT/", "HO1201"),
        ("https://localhost:PORT/", "HO1201"),
        ("https://localhost.:PORT/", "HO1201"),
        ("https://nothing.example.com/", "HO1210"),
        ("https://unknown.example.com/", "HO1210"),
        // Not https, or with a login.
        ("http://127.0.0.1:PORT/", "HO1201"),
        ("http://localhost:PORT/", "HO1202"),
        ("http://example.com/", "HO1202"),
        ("https://example.com@127.0.0.1:PORT/", "HO1202"),
        ("https://user:hunter2@example.com/", "HO1202"),
        ("ftp://127.0.0.1:PORT/", "HO1202"),
        ("file:///etc/passwd", "HO1202"),
        ("gopher://127.0.0.1:PORT/", "HO1202"),
        ("data:text/plain,x", "HO1202"),
    ];
    for (url, want) in table {
        assert_eq!(call(&outward, &url.replace("PORT", &port.to_string())).await, want, "{url}");
    }
    assert_eq!(callers.load(Ordering::SeqCst), 0, "nobody was called");
}

#[tokio::test]
async fn what_the_inventory_allows_is_called_by_address_and_by_name() {
    let (port, callers) = server(OK).await;
    let names = Names::new(&[("here.example.com", &[&["127.0.0.1"]])]);
    let outward = outward(Guard::asking(allowed(&["127.0.0.1"]), names));
    assert_eq!(call(&outward, &format!("http://127.0.0.1:{port}/")).await, "200");
    // In the clear only to an address: a name could lead off this machine.
    assert_eq!(call(&outward, &format!("http://here.example.com:{port}/")).await, "HO1202");
    assert_eq!(callers.load(Ordering::SeqCst), 1);
    // It connects there by name too, where the plain server fails at TLS.
    assert_eq!(call(&outward, &format!("https://here.example.com:{port}/")).await, "HO1210");
    assert_eq!(callers.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_at_the_second_look_is_not_looked_at_twice() {
    let (port, callers) = server(OK).await;
    // First an address that may be called, then one that may not: the connection is made to the one that was judged.
    let names = Names::new(&[("rebind.example.com", &[&["127.0.0.1"], &["10.0.0.5"]])]);
    let outward = outward(Guard::asking(allowed(&["127.0.0.1"]), Arc::clone(&names) as Arc<dyn Lookup>));
    let url = format!("https://rebind.example.com:{port}/");
    assert_eq!(call(&outward, &url).await, "HO1210", "it connects, and TLS fails there");
    assert_eq!((names.asked.load(Ordering::SeqCst), callers.load(Ordering::SeqCst)), (1, 1), "one look, one connection");
    // Each call looks and judges anew.
    assert_eq!(call(&outward, &url).await, "HO1201");
    assert_eq!((names.asked.load(Ordering::SeqCst), callers.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test]
async fn no_answer_leads_on_and_none_is_read() {
    let (inner, inner_callers) = server(OK).await;
    let answer =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{inner}/\r\ncontent-length: 0\r\n\r\n");
    let (port, _) = server(answer.leak()).await;
    let outward = outward(Guard::new(allowed(&["127.0.0.1"])));
    assert_eq!(call(&outward, &format!("http://127.0.0.1:{port}/")).await, "307");
    assert_eq!(inner_callers.load(Ordering::SeqCst), 0, "the redirect was not followed");
    // A body without an end holds nothing up.
    let (endless, _) = server("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\nendless").await;
    assert_eq!(call(&outward, &format!("http://127.0.0.1:{endless}/")).await, "200");
}
