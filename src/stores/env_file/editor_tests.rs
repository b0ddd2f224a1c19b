//! Tables and properties of the editor.

use proptest::prelude::*;

use super::Dialect::{Docker, Dotenv, Systemd};
use super::*;

const KEYS: [&str; 2] = ["USER", "PASS"];

fn reads(text: &str, dialect: Dialect) -> Result<(Option<String>, Option<String>), EditError> {
    read(text.as_bytes(), dialect, KEYS).map(|[user, pass]| (user.map(str::to_owned), pass.map(str::to_owned)))
}

fn sets(text: &str, dialect: Dialect, user: &str, pass: &str) -> Result<String, EditError> {
    let pairs = [("USER", user), ("PASS", pass)];
    set(text.as_bytes(), dialect, pairs).map(|out| String::from_utf8(out.to_vec()).expect("text stays text"))
}

#[test]
fn only_the_two_values_change() {
    let table = [
        (Dotenv, "USER=a\nPASS=b\n", "USER=u1\nPASS=p1\n"),
        (Dotenv, "# note\r\nUSER=a\r\n\r\nX=1\r\nPASS=b", "# note\r\nUSER=u1\r\n\r\nX=1\r\nPASS=p1"),
        (Dotenv, "export USER = 'a'  # who\nexport  PASS=\"b\"\n", "export USER = 'u1'  # who\nexport  PASS=\"p1\"\n"),
        (Dotenv, "  PASS=b # secret\n\tUSER=a\t\n", "  PASS=p1 # secret\n\tUSER=u1\t\n"),
        (Dotenv, "\u{feff}#x\nUSER=a\nPASS=b\n", "\u{feff}#x\nUSER=u1\nPASS=p1\n"),
        (Dotenv, "KEY=\"two\nlines\"\nUSER=\nPASS= \n", "KEY=\"two\nlines\"\nUSER=u1\nPASS=p1 \n"),
        (Dotenv, "USER_ID=7\nMY_PASS=no\nUSER=a\nPASS=b\n", "USER_ID=7\nMY_PASS=no\nUSER=u1\nPASS=p1\n"),
        (Dotenv, "#PASS=old\nUSER=a\nPASS=b\n", "#PASS=old\nUSER=u1\nPASS=p1\n"),
        (Systemd, ";PASS=x\nUSER= a b \nPASS='b c'\n", ";PASS=x\nUSER= u1 \nPASS='p1'\n"),
        (Docker, "\u{feff}USER=a \nPASS=\"b\nX='\n", "\u{feff}USER=u1\nPASS=p1\nX='\n"),
    ];
    for (dialect, before, after) in table {
        assert_eq!(sets(before, dialect, "u1", "p1").as_deref(), Ok(after), "{before:?} in {dialect}");
        assert_eq!(reads(after, dialect), Ok((Some("u1".to_owned()), Some("p1".to_owned()))), "{after:?} in {dialect}");
    }
}

#[test]
fn missing_keys_are_appended_in_the_manner_of_the_file() {
    let table = [
        (Dotenv, "", "USER=u1\nPASS=p1\n"),
        (Dotenv, "X=1\n", "X=1\nUSER=u1\nPASS=p1\n"),
        (Dotenv, "X=1", "X=1\nUSER=u1\nPASS=p1"),
        (Dotenv, "X=1\r\nUSER=a\r\n", "X=1\r\nUSER=u1\r\nPASS=p1\r\n"),
        (Dotenv, "PASS=b", "PASS=p1\nUSER=u1"),
        (Systemd, "# no break at the end", "# no break at the end\nUSER=u1\nPASS=p1"),
        (Docker, "X", "X\nUSER=u1\nPASS=p1"),
    ];
    for (dialect, before, after) in table {
        assert_eq!(sets(before, dialect, "u1", "p1").as_deref(), Ok(after), "{before:?} in {dialect}");
    }
}

#[test]
fn a_last_line_that_would_swallow_the_new_one_is_refused() {
    for before in ["USER=a\nX=b\\", "USER=a\nX=b\\\n"] {
        let refused = sets(before, Systemd, "u1", "p1");
        assert!(matches!(refused, Err(EditError::NotReadBack { .. })), "{before:?}: {refused:?}");
    }
}

#[test]
fn what_programs_read_differently_is_refused_with_its_line() {
    let table = [
        (Dotenv, "USER=a\nPASS=x#y\n", 2),
        (Dotenv, "USER=a\nPASS=x y\n", 2),
        (Dotenv, "USER=a\nPASS=$HOME\n", 2),
        (Dotenv, "USER=a\nPASS= # later\n", 2),
        (Dotenv, "USER=a\nPASS='x'y\n", 2),
        (Dotenv, "USER=a\nPASS='x'#y\n", 2),
        (Dotenv, "USER=a\nPASS=\"x\ny\"\n", 2),
        (Dotenv, "USER=a\nPASS: x\n", 2),
        (Dotenv, "USER=a\nPASS\n", 2),
        (Dotenv, "USER=a\n'PASS'=x\n", 2),
        (Dotenv, "\u{feff}PASS=x\nUSER=a\n", 1),
        (Dotenv, "USER=a\nX=\"\nPASS=x\n\"\n", 3),
        (Dotenv, "USER=a\nX='it\\'s\nPASS=x'\n", 3),
        (Systemd, "USER=a\nexport PASS=x\n", 2),
        (Systemd, "USER=a\nPASS=x\\\ny\n", 2),
        (Systemd, "USER=a\nPASS='x' # y\n", 2),
        (Systemd, "USER=a\n# y\\\nPASS=x\n", 3),
        (Systemd, "USER=a\nX=\"\nPASS=x\n\"\n", 3),
        (Systemd, "USER=a\nX=b\\\nPASS=x\n", 3),
        (Docker, "USER=a\nPASS =x\n", 2),
        (Docker, "USER=a\nexport PASS=x\n", 2),
        (Docker, "USER=a\nPASS\n", 2),
        (Docker, "USER=a\nPASS='x'\n", 2),
    ];
    for (dialect, text, line) in table {
        let found = reads(text, dialect);
        assert!(
            matches!(&found, Err(EditError::Doubtful { key, line: l, .. }) if key == "PASS" && *l == line),
            "{text:?}: {found:?}"
        );
        assert!(sets(text, dialect, "u1", "p1").is_err(), "{text:?}");
    }
}

#[test]
fn a_key_that_stands_twice_names_both_lines() {
    for dialect in [Dotenv, Systemd, Docker] {
        let error = EditError::Twice { key: "PASS".to_owned(), first: 1, second: 3 };
        assert_eq!(reads("PASS=a\nUSER=b\nPASS=a\n", dialect), Err(error));
    }
}

#[test]
fn broken_files_and_keys_are_refused() {
    assert_eq!(reads("A=1\nB='x\nUSER=a\n", Dotenv), Err(EditError::Unclosed { line: 2 }));
    assert_eq!(reads("A=1\nB=\"x\nUSER=a\n", Systemd), Err(EditError::Unclosed { line: 2 }));
    assert!(reads("A=1\nB='x\nUSER=a\n", Docker).is_ok());
    assert_eq!(reads("A=1\nB\0=x\n", Docker), Err(EditError::Bytes { line: 2 }));
    assert_eq!(reads("A=1\rB=x\n", Dotenv), Err(EditError::Bytes { line: 1 }));
    assert!(matches!(read(b"PASS=\xff\n", Docker, KEYS), Err(EditError::Doubtful { line: 1, .. })));
    for keys in [["A", "A"], ["", "B"], ["1A", "B"], ["A", "B=C"], ["A", "B\nC"], ["A-B", "C"]] {
        assert!(matches!(read(b"", Dotenv, keys), Err(EditError::Key { .. })), "{keys:?}");
    }
}

#[test]
fn bytes_that_are_no_text_stay_in_lines_of_others() {
    let out = set(b"# caf\xe9\nUSER=a\nPASS=b\n", Dotenv, [("USER", "u1"), ("PASS", "p1")]).expect("the lines are sound");
    assert_eq!(out.as_slice(), b"# caf\xe9\nUSER=u1\nPASS=p1\n");
}

#[test]
fn values_that_cannot_be_written_and_empty_ones_are_refused() {
    for value in ["", "it's $5", "a\\b", "a\nb", "a\0b"] {
        let refused = sets("USER=a\nPASS=b\n", Dotenv, "u1", value);
        assert_eq!(refused, Err(EditError::Unwritable { key: "PASS".to_owned(), dialect: Dotenv }), "{value:?}");
    }
    let refused = sets("USER=a\nPASS=\n", Dotenv, "u1", "");
    assert_eq!(refused, Err(EditError::Unwritable { key: "PASS".to_owned(), dialect: Dotenv }), "it is empty already");
}

#[test]
fn a_value_that_is_there_already_keeps_its_spelling() {
    let text = "USER='a'\nPASS='x;y'\n";
    assert_eq!(sets(text, Dotenv, "a", "x;y").as_deref(), Ok(text));
}

#[test]
fn no_error_shows_a_value() {
    let secret = "hunter2-\u{1b}-secret";
    let texts = ["USER=a\nPASS=hunter2 secret\n", "PASS=hunter2\nPASS=secret\n", "USER=a\nPASS='hunter2secret\n"];
    for text in texts {
        let error = sets(text, Dotenv, "u1", secret).expect_err("the file is not sound");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let error = sets("USER=a\nPASS=b\n", Dotenv, "u1", secret).expect_err("the value has a control character");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

fn dialects() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dotenv), Just(Systemd), Just(Docker)]
}

/// A line around a value: what stands before it and after it, per dialect.
fn frames(dialect: Dialect) -> impl Strategy<Value = (&'static str, &'static str)> {
    let all: &[(&str, &str)] = match dialect {
        Dotenv => &[("=", ""), (" = ", " "), ("='", "' # c"), ("=\"", "\""), ("=", "\t# c '")],
        Systemd => &[("=", ""), (" = ", " "), ("='", "'"), ("= \"", "\"  ")],
        Docker => &[("=", "")],
    };
    prop::sample::select(all.to_vec())
}

fn other_lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        Just(String::new()),
        "# [ -~]{0,20}[a-z]",
        "[A-O_]{1,8}=[A-Za-z0-9 ]{0,12}",
        "[A-O_]{1,8}='[A-Za-z0-9 #]{0,12}'",
        "  [A-O_]{1,8} = \"[a-z =]{0,9}\"  ",
    ];
    prop::collection::vec(line, 0..5)
}

proptest! {
    // 256 cases, or as many as PROPTEST_CASES says: 10,000 take a minute.
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn edit_and_edit_back_is_identity(
        (dialect, user_frame, pass_frame) in dialects().prop_flat_map(|d| (Just(d), frames(d), frames(d))),
        before in other_lines(), between in other_lines(), after in other_lines(),
        line_break in prop::sample::select(vec!["\n", "\r\n"]), last in any::<bool>(), export in any::<bool>(),
        values in prop::collection::vec("[A-Za-z0-9_+/=.-]{1,24}", 4),
    ) {
        let export = if export && dialect == Dotenv { "export " } else { "" };
        let line = |key: &str, (open, close): (&str, &str), value: &str| format!("{export}{key}{open}{value}{close}");
        let print = |user: &str, pass: &str| {
            let mut lines = before.clone();
            lines.push(line("USER", user_frame, user));
            lines.extend(between.clone());
            lines.push(line("PASS", pass_frame, pass));
            lines.extend(after.clone());
            lines.join(line_break) + if last { line_break } else { "" }
        };
        let [u0, p0, u1, p1] = [&values[0], &values[1], &values[2], &values[3]];
        let old = print(u0, p0);
        prop_assert_eq!(reads(&old, dialect), Ok((Some(u0.clone()), Some(p0.clone()))));
        let new = sets(&old, dialect, u1, p1);
        prop_assert_eq!(new, Ok(print(u1, p1)));
        prop_assert_eq!(sets(&print(u1, p1), dialect, u0, p0), Ok(old));
    }

    #[test]
    fn any_bytes_are_refused_or_edited_so_that_they_read_back(
        text in "([A-Z'\"#=;\\\\ $\r\n]|USER=|PASS=|export ){0,40}",
        dialect in dialects(),
        pass in "[ -~]{1,12}",
    ) {
        if let Ok(out) = set(text.as_bytes(), dialect, [("USER", "u1"), ("PASS", &pass)]) {
            prop_assert_eq!(read(&out, dialect, KEYS), Ok([Some("u1"), Some(pass.as_str())]));
            let again = set(&out, dialect, [("USER", "u1"), ("PASS", &pass)]);
            prop_assert_eq!(again.map(|o| o.to_vec()), Ok(out.to_vec()));
        }
    }
}
