//! AUTH: which mechanism, and its dialogue. Only over TLS, which the type of the connection proves.
//!
//! SCRAM goes first since it does not give the password away. A server may offer SCRAM and yet hold no SCRAM verifier for an
//! account; it then answers 535 before any challenge, which is no word about the password. So such a 535 counts only if
//! PLAIN or LOGIN, where offered, says the same. A 535 after a challenge counts at once: wrong passwords are not tried twice.
//!
//! XOAUTH2 is used where the provider says so, and nothing else then.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handover_rotation::outcome::Fault;
use zeroize::Zeroizing;

use super::Verdict;
use super::classify::{Class, Phase, classify};
use super::client::Secured;
use super::faults;
use super::reply::Reply;
use super::scram::{self, Awaiting, Final, Hash, Scram, ScramError};
use crate::secret::{Login, Secret};

/// Longer lines go out only after the server has asked for them (RFC 4954 section 4, RFC 5321 section 4.5.3.1.4).
const MOST_COMMAND: usize = 500;

/// The mechanism that takes a token, by the name that servers offer it.
pub(super) const XOAUTH2: &str = "XOAUTH2";

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Scram(Hash),
    Plain,
    Login,
}

impl Mechanism {
    /// In the order in which they are tried.
    const ALL: [Self; 4] = [Self::Scram(Hash::Sha256), Self::Scram(Hash::Sha1), Self::Plain, Self::Login];

    fn name(self) -> &'static str {
        match self {
            Self::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Self::Scram(Hash::Sha1) => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    fn can_carry(self, password: &str) -> bool {
        match self {
            Self::Scram(_) => scram::can_carry(password),
            Self::Plain => !password.contains('\0'),
            Self::Login => true,
        }
    }
}

/// What the server said to a login.
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    pub(super) mechanism: &'static str,
    pub(super) reply: Reply,
}

/// How one mechanism ended.
struct Attempt {
    reply: Reply,
    /// Whether the server had taken up the exchange before it answered.
    challenged: bool,
}

/// Logs in. Any end but "accepted" and "refused" is a fault.
pub(super) async fn log_in(client: &mut Secured, login: &Login) -> Result<Answer, Fault> {
    let password = login.password.expose();
    let offered = client.capability("AUTH");
    let mut left: Vec<Mechanism> =
        Mechanism::ALL.into_iter().filter(|m| offered.iter().any(|o| o == m.name()) && m.can_carry(password)).collect();
    hide(client, login);
    let mut refused = None;
    let mut last = faults::no_mechanism(&offered.join(" "));
    while !left.is_empty() {
        let mechanism = left.remove(0);
        let attempt = match mechanism {
            Mechanism::Scram(hash) => by_scram(client, mechanism.name(), hash, login).await?,
            Mechanism::Plain => by_plain(client, login).await?,
            Mechanism::Login => by_login(client, login).await?,
        };
        let reply = attempt.reply;
        match classify(Phase::Auth, &reply) {
            Class::Accepted => return Ok(Answer { verdict: Verdict::Accepted, mechanism: mechanism.name(), reply }),
            Class::Refused => {
                let answer = Answer { verdict: Verdict::Refused, mechanism: mechanism.name(), reply };
                let early = matches!(mechanism, Mechanism::Scram(_)) && !attempt.challenged;
                left.retain(|m| early && matches!(m, Mechanism::Plain | Mechanism::Login));
                if left.is_empty() {
                    return Ok(answer);
                }
                refused = Some(answer);
            }
            Class::Mechanism => last = faults::replied(Phase::Auth, Class::Mechanism, &reply),
            class => return Err(faults::replied(Phase::Auth, class, &reply)),
        }
    }
    refused.ok_or(last)
}

/// Logs in by a token: the server's word is one about the token and the mailbox. About the password, whoever gave the token has
/// spoken.
pub(super) async fn log_in_by_token(client: &mut Secured, login: &Login, token: &Secret) -> Result<Answer, Fault> {
    let offered = client.capability("AUTH");
    if !offered.iter().any(|mechanism| mechanism == XOAUTH2) {
        return Err(faults::no_xoauth2(&offered.join(" ")));
    }
    hide(client, login);
    let text = Zeroizing::new(format!("user={}\x01auth=Bearer {}\x01\x01", login.username.as_str(), token.expose()));
    let response = Zeroizing::new(BASE64.encode(text.as_bytes()));
    client.hidden.add(token.expose().as_bytes());
    client.hidden.add(response.as_bytes());
    let mut reply = if response.len() <= MOST_COMMAND {
        let line = Zeroizing::new(format!("AUTH {XOAUTH2} {}", response.as_str()));
        client.command(Phase::Auth, &line, Some("AUTH XOAUTH2 [hidden]")).await?
    } else {
        let reply = client.command(Phase::Auth, "AUTH XOAUTH2", None).await?;
        if reply.code == 334 { client.command(Phase::Auth, &response, Some("[hidden]")).await? } else { reply }
    };
    let mut status = None;
    if reply.code == 334 {
        // It says why in JSON, and waits for an empty line before it says no.
        status = challenge(&reply).ok().and_then(|text| serde_json::from_str::<Why>(&text).ok()?.status.parse().ok());
        reply = client.command(Phase::Auth, "", Some("[end]")).await?;
    }
    match classify(Phase::Auth, &reply) {
        Class::Accepted => Ok(Answer { verdict: Verdict::Accepted, mechanism: XOAUTH2, reply }),
        Class::Refused => Err(faults::token_refused(status, &reply)),
        class => Err(faults::replied(Phase::Auth, class, &reply)),
    }
}

/// Why a server does not take a token. Its other parts are left unread.
#[derive(serde::Deserialize)]
struct Why {
    status: String,
}

/// Tells the connection which forms of the password a server could echo.
fn hide(client: &mut Secured, login: &Login) {
    let password = login.password.expose();
    client.hidden.add(password.as_bytes());
    client.hidden.add(Zeroizing::new(BASE64.encode(password)).as_bytes());
    client.hidden.add(plain_response(login).as_bytes());
}

fn plain_response(login: &Login) -> Zeroizing<String> {
    let text = Zeroizing::new(format!("\0{}\0{}", login.username.as_str(), login.password.expose()));
    Zeroizing::new(BASE64.encode(text.as_bytes()))
}

async fn by_plain(client: &mut Secured, login: &Login) -> Result<Attempt, Fault> {
    let response = plain_response(login);
    if response.len() <= MOST_COMMAND {
        let line = Zeroizing::new(format!("AUTH PLAIN {}", response.as_str()));
        let reply = client.command(Phase::Auth, &line, Some("AUTH PLAIN [hidden]")).await?;
        return Ok(Attempt { reply, challenged: true });
    }
    let reply = client.command(Phase::Auth, "AUTH PLAIN", None).await?;
    if reply.code != 334 {
        return Ok(Attempt { reply, challenged: true });
    }
    let reply = client.command(Phase::Auth, &response, Some("[hidden]")).await?;
    Ok(Attempt { reply, challenged: true })
}

async fn by_login(client: &mut Secured, login: &Login) -> Result<Attempt, Fault> {
    let username = BASE64.encode(login.username.as_str());
    let password = Zeroizing::new(BASE64.encode(login.password.expose()));
    let steps = [("AUTH LOGIN", None), (username.as_str(), Some("[username]")), (password.as_str(), Some("[hidden]"))];
    let mut last = None;
    for (line, shown) in steps {
        let reply = client.command(Phase::Auth, line, shown).await?;
        let goes_on = reply.code == 334;
        last = Some(reply);
        if !goes_on {
            break;
        }
    }
    last.map(|reply| Attempt { reply, challenged: true }).ok_or_else(|| faults::out_of_step(Phase::Auth.word()))
}

async fn by_scram(client: &mut Secured, name: &'static str, hash: Hash, login: &Login) -> Result<Attempt, Fault> {
    let scram = Scram::new(hash, login.username.as_str(), nonce()?);
    let line = format!("AUTH {name} {}", BASE64.encode(scram.first()));
    let reply = client.command(Phase::Auth, &line, Some(&format!("AUTH {name} [first]"))).await?;
    if reply.code != 334 {
        return unproven(reply, false);
    }
    let first = challenge(&reply)?;
    let password = login.password.duplicate();
    // Up to a second of hashing: not on a thread that others wait for.
    let answer = tokio::task::spawn_blocking(move || scram.answer(&first, password.expose())).await;
    let (last, awaiting) = answer.unwrap_or(Err(ScramError::Syntax)).map_err(faults::scram)?;
    let reply = client.command(Phase::Auth, &BASE64.encode(last), Some("[proof]")).await?;
    if reply.code != 334 {
        return proven_in_text(reply, &awaiting);
    }
    let failed = awaiting.check(&challenge(&reply)?).map_err(faults::scram)? == Final::Failed;
    let reply = client.command(Phase::Auth, "", Some("[end]")).await?;
    if failed { unproven(reply, true) } else { Ok(Attempt { reply, challenged: true }) }
}

/// A reply without the server's proof: everything but success will do.
fn unproven(reply: Reply, challenged: bool) -> Result<Attempt, Fault> {
    if classify(Phase::Auth, &reply) == Class::Accepted {
        Err(faults::scram_unproven())
    } else {
        Ok(Attempt { reply, challenged })
    }
}

/// Some servers put their proof into the text of the 235.
fn proven_in_text(reply: Reply, awaiting: &Awaiting) -> Result<Attempt, Fault> {
    let proven = || challenge(&reply).is_ok_and(|text| awaiting.check(&text) == Ok(Final::Proven));
    if classify(Phase::Auth, &reply) == Class::Accepted && proven() {
        return Ok(Attempt { reply, challenged: true });
    }
    unproven(reply, true)
}

fn challenge(reply: &Reply) -> Result<String, Fault> {
    let text = reply.lines.first().map_or("", |l| l.trim());
    let bytes = BASE64.decode(text).map_err(|_| faults::scram(ScramError::Syntax))?;
    String::from_utf8(bytes).map_err(|_| faults::scram(ScramError::Syntax))
}

/// 144 random bits, printable and without a comma.
fn nonce() -> Result<String, Fault> {
    let mut bytes = [0; 18];
    rand::fill(&mut bytes).map_err(|_| faults::scram(ScramError::Nonce))?;
    Ok(BASE64.encode(bytes))
}
