//! What real servers write: Postfix 3.7 and Dovecot 2.3.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use handover::usage::dovecot_log::DovecotLog;
use handover::usage::postfix_log::PostfixLog;
use handover::usage::{Evidence, Found, Question};
use handover_rotation::outcome::Outcome;

use super::{opened, question, version};
use crate::support::lab::mail::{INBOX, INBOX_PASSWORD, Mail, Users, hash};

const PASSWORD: &str = "A-password-0123456789";
const WRONG: &str = "Wrong-password-012345";

/// Sends a mail, or only logs in over IMAP.
const CLIENT: &str = r#"
import imaplib, smtplib, ssl, sys
host, port, imap, ca, what = sys.argv[1:6]
username, password = sys.stdin.read().split("\n")[:2]
context = ssl.create_default_context(cafile=ca)
try:
    if what == "imap":
        imaplib.IMAP4_SSL(host, int(imap), ssl_context=context).login(username, password)
    else:
        client = smtplib.SMTP(host, int(port), timeout=20)
        client.starttls(context=context)
        client.login(username, password)
        client.sendmail("inbox@lab.test", ["inbox@lab.test"], "Subject: x\r\n\r\nx\r\n")
        client.quit()
except (smtplib.SMTPAuthenticationError, imaplib.IMAP4.error):
    pass
"#;

fn client(mail: &Mail, what: &str, username: &str, password: &str) {
    let (port, imap) = (mail.smtp.starttls_port.to_string(), mail.imap_port.to_string());
    let mut child = Command::new("python3")
        .args(["-c", CLIENT, &mail.smtp.host, &port, &imap, &mail.smtp.ca_file, what])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let stdin = child.stdin.as_mut().expect("piped");
    stdin.write_all(format!("{username}\n{password}\n").as_bytes()).expect("python3 reads");
    assert!(child.wait_with_output().expect("python3 ends").status.success(), "{}", mail.said());
}

fn asked(username: &str) -> Question {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_millis();
    // A second to come: lines have no fraction of one.
    let mut question = question("dovecot", username, version("k1", username), u64::try_from(now).expect("a time") + 1000);
    question.since_ms = question.until_ms - 3_600_000;
    question
}

/// What the source sees, once the servers have written what is waited for.
async fn until(source: &dyn Evidence, username: &str, enough: impl Fn(&Found) -> bool) -> Found {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let found = match source.look(&asked(username)).await {
            Outcome::Done(found) => found,
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("{fault}"),
        };
        if enough(&found) {
            return found;
        }
        assert!(Instant::now() < end, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn options(path: &Path) -> String {
    format!("{{path: \"{}\"}}", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postfix_and_dovecot_write_is_read() {
    let mail = Mail::start(&Users::File);
    let mut users = std::fs::OpenOptions::new().append(true).open(mail.users_file()).expect("the file");
    writeln!(users, "newsletter:{}", hash(PASSWORD)).expect("is written");
    drop(users);
    std::fs::set_permissions(mail.users_file(), std::fs::Permissions::from_mode(0o644)).expect("a mode");
    client(&mail, "smtp", "newsletter", PASSWORD);
    client(&mail, "smtp", "newsletter", PASSWORD);
    client(&mail, "smtp", "newsletter", WRONG);
    // Somebody whose name is a part of a line.
    client(&mail, "smtp", "x, sasl_username=newsletter", WRONG);
    client(&mail, "imap", INBOX, INBOX_PASSWORD);
    client(&mail, "imap", INBOX, WRONG);
    client(&mail, "imap", "x>, method=PLAIN, rip=198.51.100.1, lip=1, session=<y", WRONG);

    let postfix = opened(&options(&mail.dir().join("postfix.out")), PostfixLog::options, PostfixLog::open);
    let found = until(&*postfix, "newsletter", |found| found.seen.refused.times >= 2 && found.notes.len() > 2).await;
    assert_eq!(found.seen.window.times, 2, "{}", mail.said());
    // The client tries a wrong password by PLAIN and by LOGIN.
    assert_eq!(found.seen.refused.times, 2, "{}", mail.said());
    assert_eq!(found.seen.networks.keys().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.0/24"]);
    assert!(found.notes[0].starts_with("2 lines can be read in two ways"), "{:?}", found.notes);

    let dovecot = opened(&options(&mail.dir().join("dovecot.log")), DovecotLog::options, DovecotLog::open);
    let found = until(&*dovecot, INBOX, |found| found.seen.window.times >= 1 && found.seen.refused.times >= 1).await;
    assert_eq!((found.seen.window.times, found.seen.refused.times), (1, 1), "{}", mail.said());
    assert_eq!(found.seen.networks.len(), 1);
    // What Postfix asked Dovecot about is in Dovecot's log by its refusals only. Of two user databases one does not know the name, at
    // each login, the accepted ones too: that is no refusal.
    let found = until(&*dovecot, "newsletter", |found| found.seen.refused.times >= 2).await;
    assert_eq!((found.seen.window.times, found.seen.refused.times), (0, 2), "{}", mail.said());
    assert!(!format!("{found:?}").contains(WRONG));
}
