//! A passwd-file, byte by byte: the lines of some login names are read and changed, and everything else stays as it is. Pure.
//!
//! A line is `user:password:uid:gid:gecos:home:shell:fields`; only the second part is ever changed. What Handover has to remember
//! stands in comments above it, `#handover: USER of=… tag=…`, since extra fields are handed to the programs that ask, and servers
//! have grown strict about those that they do not know.

use std::ops::Range;

use handover_rotation::outcome::{Fault, FaultClass};
use zeroize::Zeroizing;

use super::logins::{Field, Login, Note};

const NOTE: &[u8] = b"#handover: ";

/// A line that concerns somebody.
enum Line<'t> {
    Note {
        user: &'t [u8],
        text: &'t [u8],
    },
    /// A user, and where the password stands in the line.
    User {
        user: &'t [u8],
        password: Range<usize>,
    },
    Other,
}

/// Reads what the file has on these login names.
///
/// # Errors
/// One of them stands in it twice, or its line is no text.
pub(super) fn read(text: &[u8], names: &[String]) -> Result<Vec<Login>, Fault> {
    let mut logins: Vec<Login> = names.iter().map(|name| Login::new(name)).collect();
    for line in text.split_inclusive(|b| *b == b'\n') {
        match parse(line) {
            Line::Note { user, text } => {
                if let Some(login) = logins.iter_mut().find(|l| l.name.as_bytes() == user) {
                    login.notes.extend(std::str::from_utf8(text).ok().and_then(Note::read));
                }
            }
            Line::User { user, password } => {
                let Some(login) = logins.iter_mut().find(|l| l.name.as_bytes() == user) else { continue };
                let field = std::str::from_utf8(&line[password]).map_err(|_| doubtful(&login.name, "is no text"))?;
                if login.field.replace(Field::new(field)).is_some() {
                    return Err(doubtful(&login.name, "stands in the file twice"));
                }
            }
            Line::Other => {}
        }
    }
    Ok(logins)
}

/// The file with the changed ones of these logins as they are now. A login that has no line yet gets one like that of another
/// of them, at the end.
///
/// # Errors
/// A login has no line, and there is none to make it like.
pub(super) fn write(text: &[u8], logins: &[Login]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let changed = |user: &[u8]| logins.iter().find(|l| l.changed && l.name.as_bytes() == user);
    let grown: usize = logins.iter().map(|l| 1024 + notes(l).len()).sum();
    // As large as it can become: a Vec that grows leaves copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(2 * text.len() + grown));
    let mut written: Vec<&str> = Vec::new();
    for line in text.split_inclusive(|b| *b == b'\n') {
        match parse(line) {
            Line::Note { user, .. } if changed(user).is_some() => {}
            Line::User { user, password } => match changed(user) {
                Some(login) => {
                    out.extend_from_slice(&notes(login));
                    put_line(&mut out, line, &password, user, login);
                    written.push(&login.name);
                }
                None => out.extend_from_slice(line),
            },
            _ => out.extend_from_slice(line),
        }
    }
    for login in logins.iter().filter(|l| l.changed && !written.contains(&l.name.as_str())) {
        let model = text.split_inclusive(|b| *b == b'\n').find_map(|line| match parse(line) {
            Line::User { user, password } if logins.iter().any(|l| l.name.as_bytes() == user) => Some((line, password)),
            _ => None,
        });
        let Some((line, password)) = model else { return Err(doubtful(&login.name, "has no line to be made like")) };
        if out.last().is_some_and(|last| *last != b'\n') {
            out.push(b'\n');
        }
        out.extend_from_slice(&notes(login));
        put_line(&mut out, line, &password, login.name.as_bytes(), login);
        if out.last().is_some_and(|last| *last != b'\n') {
            out.push(b'\n');
        }
    }
    Ok(out)
}

fn notes(login: &Login) -> Zeroizing<Vec<u8>> {
    let texts: Vec<Zeroizing<String>> = login.notes.iter().map(Note::text).collect();
    let room = texts.iter().map(|t| t.len() + NOTE.len() + login.name.len() + 2).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    for text in texts {
        out.extend_from_slice(NOTE);
        out.extend_from_slice(login.name.as_bytes());
        out.push(b' ');
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
    out
}

/// The line with another user and password, and the rest as it was.
fn put_line(out: &mut Vec<u8>, line: &[u8], password: &Range<usize>, user: &[u8], login: &Login) {
    out.extend_from_slice(user);
    out.push(b':');
    out.extend_from_slice(login.field.as_ref().map_or("", Field::expose).as_bytes());
    out.extend_from_slice(&line[password.end..]);
}

fn parse(line: &[u8]) -> Line<'_> {
    let end = line.len() - line.iter().rev().take_while(|b| matches!(b, b'\n' | b'\r')).count();
    let content = &line[..end];
    if let Some(rest) = content.strip_prefix(NOTE) {
        let mut parts = rest.splitn(2, |b| *b == b' ');
        let (user, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        return Line::Note { user, text };
    }
    if matches!(content.first(), None | Some(b'#' | b':')) {
        return Line::Other;
    }
    let colon = |from: usize| content[from..].iter().position(|b| *b == b':').map_or(end, |at| from + at);
    let name_end = colon(0);
    let start = (name_end + 1).min(end);
    Line::User { user: &content[..name_end], password: start..colon(start) }
}

fn doubtful(name: &str, what: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0518", format!("login {name} {what}"))
        .hint("mend the server's file by hand; the kind's page under docs/kinds/ shows what a line looks like")
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::{Tag, VersionId};
    use handover_rotation::plan::Shape;

    use super::super::logins::Logins;
    use super::*;

    const FILE: &str = "# the users\n\nann:{SSHA}xxxx:1:1::/home/ann::nologin\n\
        news-a:{BLF-CRYPT}$2y$05$abc:1000:1000::/home/news::userdb_quota=1:2 allow_nets=10.0.0.0/8\r\n#old-bob:x\nbob\nzoe:{PLAIN}p";

    fn logins(text: &str) -> Logins {
        let names = ["news-a".to_owned(), "news-b".to_owned()];
        let all = read(text.as_bytes(), &names).expect("is read");
        Logins { account: "news".to_owned(), shape: Shape::Alternating, all }
    }

    fn written(text: &str, logins: &Logins) -> String {
        String::from_utf8(write(text.as_bytes(), &logins.all).expect("is written").to_vec()).expect("a text")
    }

    #[test]
    fn a_new_line_is_like_the_other_and_all_else_stays() {
        let mut first = logins(FILE);
        first.create(&Tag::new("handover:r-1.1").expect("a tag"), Field::new("{X}$new")).expect("is made");
        let text = written(FILE, &first);
        let (kept, added) = text.split_at(FILE.len());
        assert_eq!(kept, FILE);
        let digest = "#handover: news-b of=";
        assert!(added.starts_with(&format!("\n{digest}")), "{added}");
        assert!(
            added.ends_with(
                " tag=handover:r-1.1\nnews-b:{X}$new:1000:1000::/home/news::userdb_quota=1:2 allow_nets=10.0.0.0/8\r\n"
            ),
            "{added}"
        );
    }

    #[test]
    fn disabling_and_enabling_give_the_file_back() {
        let mut all = logins(FILE);
        let id = all.versions().expect("versions")[0].id.clone();
        all.disable(&id).expect("is disabled");
        let off = written(FILE, &all);
        assert!(off.contains(" kept={BLF-CRYPT}$2y$05$abc\nnews-a:{SHA512-CRYPT}$6$HandoverLocked$"), "{off}");
        assert!(off.contains(":1000:1000::/home/news::userdb_quota=1:2 allow_nets=10.0.0.0/8\r\n"), "{off}");
        let mut all = logins(&off);
        all.enable(&id).expect("is enabled");
        assert_eq!(written(&off, &all), FILE);
        let gone = VersionId::new("news-a#0000").expect("an id");
        assert_eq!(all.enable(&gone).expect_err("there is none").code, "HO0506");
    }

    #[test]
    fn a_login_that_stands_there_twice_is_not_touched() {
        let fault = read(b"news-a:{X}1\nnews-a:{X}2\n", &["news-a".to_owned()]).err().expect("is refused");
        assert_eq!(fault.code, "HO0518");
        let fault = read(b"news-a:\xff\n", &["news-a".to_owned()]).err().expect("is refused");
        assert_eq!(fault.code, "HO0518");
    }

    #[test]
    fn short_lines_and_odd_ones_are_read_and_written() {
        for (line, after) in
            [("news-a", "news-a:!"), ("news-a:", "news-a:!"), ("news-a:x:1", "news-a:!:1"), ("news-a::1", "news-a:!:1")]
        {
            let mut all = logins(line).all;
            all[0].field = Some(Field::new("!"));
            all[0].changed = true;
            let text = write(line.as_bytes(), &all).expect("is written");
            assert_eq!(std::str::from_utf8(&text), Ok(after), "{line}");
        }
        for other in [":x:y", "#news-a:x", "#handover:", "", " news-a:x", "news-ab:x"] {
            assert!(logins(other).all.iter().all(|l| l.field.is_none()), "{other}");
        }
    }
}
