//! What a reply means, by its code, enhanced code, words and the phase it came in. Pure: the one place that decides whether
//! a server has spoken about the login or about something else.
//!
//! The rule is asymmetric: only 535 and 525 can be a word about the login, and only if nothing in them points elsewhere. All
//! doubt lands in a class that proves nothing, because a wrong "refused" would let a working version be retired.

use super::reply::{Enhanced, Reply};

/// Where in the talk a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server's first words.
    Greeting,
    /// EHLO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH and what follows it.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, before the message.
    Data,
    /// The end of the message.
    Message,
}

impl Phase {
    /// What people call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Greeting => "the greeting",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Message => "the message",
        }
    }

    /// Whether AUTH has been passed when such a reply comes.
    fn authenticated(self) -> bool {
        matches!(self, Self::Mail | Self::Rcpt | Self::Data | Self::Message)
    }
}

/// What a reply means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// What was asked for has happened, or may go on.
    Accepted,
    /// A permanent word about the login: wrong, expired, or its account is off.
    Refused,
    /// May pass by itself.
    Temporary,
    /// Too fast or too often. Slow down.
    Throttled,
    /// The login is sound, but the server wants a person to act on the account first (432).
    ActionNeeded,
    /// TLS or policy: our configuration, not the login.
    Environment,
    /// The server does not talk to this machine's address.
    Source,
    /// Not with this mechanism.
    Mechanism,
    /// Logged in, but not allowed to send this.
    Authorisation,
    /// A reply that has no meaning in this phase.
    Unexpected,
}

/// Words that make a 4yz a matter of pace.
const PACE: [&str; 6] = ["too many", "throttl", "rate limit", "rate exceeded", "sending rate", "exceeded the"];
/// Words that show that a 535 is trouble behind the server, or pace, and not a word about the password.
const NOT_THE_LOGIN: [&str; 5] = ["temporar", "too many", "throttl", "rate limit", "connection lost"];

/// What `reply` means in `phase`.
pub(super) fn classify(phase: Phase, reply: &Reply) -> Class {
    match reply.code {
        200..=399 if expected(phase, reply.code) => Class::Accepted,
        200..=399 => Class::Unexpected,
        400..=499 => temporary(reply),
        code => permanent(phase, code, reply),
    }
}

fn expected(phase: Phase, code: u16) -> bool {
    match phase {
        Phase::Greeting | Phase::StartTls => code == 220,
        Phase::Auth => code == 235,
        Phase::Ehlo | Phase::Mail | Phase::Message => code == 250,
        Phase::Rcpt => matches!(code, 250..=252),
        Phase::Data => code == 354,
    }
}

fn temporary(reply: &Reply) -> Class {
    let words = reply.words();
    match reply.code {
        432 => Class::ActionNeeded,
        429 => Class::Throttled,
        _ if reply.enhanced == Some(Enhanced(4, 7, 28)) || PACE.iter().any(|w| words.contains(w)) => Class::Throttled,
        _ => Class::Temporary,
    }
}

fn permanent(phase: Phase, code: u16, reply: &Reply) -> Class {
    match (phase, code, reply.enhanced) {
        (Phase::Greeting | Phase::Ehlo, 521 | 550 | 554 | 571, _) => Class::Source,
        (Phase::Greeting | Phase::Ehlo | Phase::StartTls, _, _) => Class::Environment,
        (_, 525, Some(Enhanced(5, 7, 1))) => Class::Source,
        (_, 535 | 525, _) => about_the_login(reply),
        (_, 530 | 538 | 523, _) => Class::Environment,
        (Phase::Auth, 504, _) if reply.words().contains("encryption") => Class::Environment,
        (_, _, Some(Enhanced(5, 7, 30))) => Class::Mechanism,
        (Phase::Auth, 500..=504 | 534, _) | (_, 534, _) => Class::Mechanism,
        (Phase::Auth, _, _) => Class::Environment,
        (_, 550 | 551 | 553 | 554, _) if phase.authenticated() => Class::Authorisation,
        _ => Class::Environment,
    }
}

fn about_the_login(reply: &Reply) -> Class {
    let words = reply.words();
    if words.contains("too many") || words.contains("throttl") || words.contains("rate limit") {
        Class::Throttled
    } else if words.contains("authentication is disabled") {
        Class::Mechanism
    } else if NOT_THE_LOGIN.iter().any(|w| words.contains(w)) {
        Class::Temporary
    } else {
        Class::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::Assembler;
    use super::Phase::{Auth, Data, Ehlo, Greeting, Mail, Message, Rcpt, StartTls};
    use super::{Class, Phase, classify};

    fn class(phase: Phase, line: &str) -> Class {
        let reply = Assembler::default().push(line.as_bytes()).unwrap().unwrap();
        classify(phase, &reply)
    }

    /// Every row of the classifier table of the provider reference, then the replies around them.
    #[test]
    fn every_known_reply() {
        let table = [
            // OK
            (Auth, "235 2.7.0 Authentication successful", Class::Accepted),
            // BAD_CREDENTIAL
            (Auth, "535 5.7.8 Authentication credentials invalid", Class::Refused),
            (Auth, "535 Authentication Credentials Invalid", Class::Refused),
            (Auth, "535 5.7.3 Authentication unsuccessful", Class::Refused),
            (Auth, "535 5.7.8 token expired", Class::Refused),
            // ACCOUNT_DISABLED
            (Auth, "525 5.7.13 User account disabled", Class::Refused),
            (Auth, "525 account disabled", Class::Refused),
            (Auth, "535 Account not subscribed to SES", Class::Refused),
            // TEMP
            (Auth, "454 4.7.0 Temporary authentication failure", Class::Temporary),
            (Auth, "421 4.3.2 shutting down", Class::Temporary),
            (Greeting, "421 busy", Class::Temporary),
            (Mail, "451 4.3.0 try later", Class::Temporary),
            (Mail, "455 parameters", Class::Temporary),
            (StartTls, "454 4.3.0 TLS not available", Class::Temporary),
            (Auth, "454 Temporary authentication failure", Class::Temporary),
            // THROTTLED
            (Auth, "421 Too many auth failures", Class::Throttled),
            (Greeting, "421 4.7.0 Too many connections", Class::Throttled),
            (Data, "454 Throttling failure: Maximum sending rate exceeded.", Class::Throttled),
            (Message, "454 Throttling failure: Daily message quota exceeded.", Class::Throttled),
            (Mail, "429 slow down", Class::Throttled),
            (Rcpt, "450 4.7.28 unusual", Class::Throttled),
            // TRANSPORT_POLICY
            (Mail, "530 5.7.0 Must issue a STARTTLS command first", Class::Environment),
            (Auth, "530 5.7.0 Must issue a STARTTLS command first", Class::Environment),
            (Auth, "538 5.7.11 Encryption required", Class::Environment),
            (Auth, "523 5.7.10 Encryption needed", Class::Environment),
            (Auth, "504 5.5.4 Encryption required for requested authentication mechanism", Class::Environment),
            // MECHANISM
            (Auth, "504 5.5.4 Unrecognized authentication type", Class::Mechanism),
            (Auth, "534 5.7.9 mechanism too weak", Class::Mechanism),
            (Auth, "550 5.7.30 Basic authentication is not supported for Client Submission.", Class::Mechanism),
            (Auth, "500 5.5.6 exchange line too long", Class::Mechanism),
            (Auth, "503 5.5.1 AUTH not available", Class::Mechanism),
            // AUTHORISATION
            (Message, "554 Access denied: not authorized to perform ses:SendRawEmail", Class::Authorisation),
            (Message, "554 Message rejected: Email address is not verified.", Class::Authorisation),
            (Mail, "550 5.7.60 sender not allowed", Class::Authorisation),
            (Mail, "553 5.7.1 sender address rejected: not owned by user", Class::Authorisation),
            (Rcpt, "550 5.1.1 no such user", Class::Authorisation),
            (Data, "554 5.5.1 no valid recipients", Class::Authorisation),
            // SOURCE_IP
            (Auth, "525 5.7.1 Unauthorized IP address", Class::Source),
            (Greeting, "554 5.7.1 your address is blocked", Class::Source),
            (Ehlo, "550 go away", Class::Source),
            // 432 does not heal by itself, although it is a 4yz.
            (Auth, "432 4.7.12 A password transition is needed", Class::ActionNeeded),
            // A 5yz at AUTH that is not a word about the login proves nothing about it.
            (Auth, "554 5.7.1 access denied", Class::Environment),
            (Auth, "550 policy", Class::Environment),
            // A 535 that is not about the password.
            (Auth, "535 5.7.8 Error: authentication failed: Connection lost to authentication server", Class::Temporary),
            (Auth, "535 5.7.8 temporary backend failure", Class::Temporary),
            (Auth, "535 too many failed logins", Class::Throttled),
            (Auth, "535 5.7.139 SmtpClientAuthentication is disabled for the Tenant", Class::Mechanism),
            (Auth, "535 5.7.139 the user credentials were incorrect", Class::Refused),
            // Before AUTH nothing can be about the login.
            (Greeting, "535 5.7.8 what", Class::Environment),
            (Ehlo, "502 what", Class::Environment),
            (StartTls, "502 5.5.1 what", Class::Environment),
            (StartTls, "554 5.7.1 what", Class::Environment),
            // After AUTH.
            (Mail, "535 5.7.8 session is no longer valid", Class::Refused),
            (Message, "552 5.3.4 too big", Class::Environment),
            (Message, "250 2.0.0 queued", Class::Accepted),
            (Data, "354 go on", Class::Accepted),
            (Rcpt, "251 forwarded", Class::Accepted),
            (Ehlo, "250 hello", Class::Accepted),
            (Greeting, "220 hello", Class::Accepted),
            (StartTls, "220 go", Class::Accepted),
            // Success in the wrong place is not success.
            (Auth, "250 ok", Class::Unexpected),
            (Auth, "334 ", Class::Unexpected),
            (Data, "250 ok", Class::Unexpected),
            (Message, "354 more", Class::Unexpected),
            (StartTls, "250 ok", Class::Unexpected),
        ];
        for (phase, line, want) in table {
            assert_eq!(class(phase, line), want, "{phase:?} {line}");
        }
    }

    #[test]
    fn no_code_but_535_and_525_speaks_about_the_login() {
        for phase in [Greeting, Ehlo, StartTls, Auth, Mail, Rcpt, Data, Message] {
            for code in 200..600 {
                let found = class(phase, &format!("{code} text"));
                let may = matches!(code, 525 | 535) && !matches!(phase, Greeting | Ehlo | StartTls);
                assert_eq!(found == Class::Refused, may, "{phase:?} {code}");
                let only_235 = phase == Auth && found == Class::Accepted;
                assert!(!only_235 || code == 235);
            }
        }
    }
}
