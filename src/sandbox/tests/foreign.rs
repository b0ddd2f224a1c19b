//! Clients that are not ours: Python's smtplib, where there is a Python, and lettre.

use std::io::Write as _;
use std::process::{Command, Stdio};

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::world::World;

/// Logs in and sends over both ports; the login comes over standard input.
const SCRIPT: &str = r"
import smtplib, ssl, sys
starttls_port, tls_port, ca, username, password = sys.stdin.read().split('\n')
context = ssl.create_default_context(cafile=ca)
for host in ('localhost', '127.0.0.1'):
    with smtplib.SMTP('127.0.0.1', int(starttls_port), timeout=20) as smtp:
        smtp._host = host
        smtp.starttls(context=context)
        print(smtp.login(username, password)[0])
        smtp.sendmail('a@sandbox.test', ['b@sandbox.test'], 'Subject: from python\r\n\r\n.dot\r\n')
with smtplib.SMTP_SSL('127.0.0.1', int(tls_port), context=context, timeout=20) as smtp:
    try:
        smtp.login(username, 'wrong')
    except smtplib.SMTPAuthenticationError as error:
        print(error.smtp_code, error.smtp_error.decode())
";

#[tokio::test]
async fn python_logs_in_and_sends() {
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED: there is no python3");
        return;
    }
    let world = World::start().await;
    let (ports, login) = (world.sandbox.ports(), world.entry("staging"));
    let ca = world.sandbox.layout().ca_file();
    let input =
        format!("{}\n{}\n{}\n{}\n{}", ports.starttls, ports.tls, ca.display(), login.username, login.password.expose());
    let run = tokio::task::spawn_blocking(move || {
        let mut python = Command::new("python3")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        python.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("writes");
        python.wait_with_output().expect("python ends")
    });
    let output = String::from_utf8(run.await.expect("runs").stdout).expect("text");
    assert_eq!(output, "235\n235\n535 5.7.8 Error: authentication failed\n");
    let mails = world.mails();
    assert_eq!(mails.len(), 2);
    assert!(mails.iter().all(|m| m.ends_with("Subject: from python\r\n\r\n.dot\r\n")), "{mails:?}");
}

#[tokio::test]
async fn lettre_sends_by_either_port_and_mechanism() {
    let world = World::start().await;
    let login = world.entry("production");
    let pem = std::fs::read(world.sandbox.layout().ca_file()).expect("reads");
    let parameters = TlsParameters::builder("localhost".to_owned())
        .certificate_store(CertificateStore::None)
        .add_root_certificate(Certificate::from_pem(&pem).expect("a certificate"))
        .build_rustls()
        .expect("TLS");
    let ports = world.sandbox.ports();
    let mut sent = 0;
    for (port, tls) in [(ports.starttls, Tls::Required(parameters.clone())), (ports.tls, Tls::Wrapper(parameters))] {
        for mechanism in [Mechanism::Plain, Mechanism::Login] {
            let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
                .port(port)
                .tls(tls.clone())
                .authentication(vec![mechanism])
                .credentials(Credentials::new(login.username.to_string(), login.password.expose().to_owned()))
                .build();
            let message = Message::builder()
                .from("a@sandbox.test".parse().expect("an address"))
                .to("b@sandbox.test".parse().expect("an address"))
                .body("hello\r\n".to_owned())
                .expect("a message");
            let reply = transport.send(message).await.expect("is taken");
            assert!(reply.is_positive());
            sent += 1;
            assert_eq!(world.mails().len(), sent);
        }
    }
}
