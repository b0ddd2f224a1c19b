//! The flags that a command was given, put into the commands that it tells a person to type: what is copied must work.

use super::args::Global;

const VERBS: [&str; 15] = [
    "resume", "abort", "approve", "supply", "done", "status", "history", "audit", "rotate", "plan", "check", "impact",
    "doctor", "seal", "schedule",
];

const NAME: &str = "handover";

/// The flags that say where things are, as they were given.
fn given(global: &Global) -> String {
    let mut flags = String::new();
    if global.sandbox {
        flags += " --sandbox";
    }
    if global.dir != std::path::Path::new("sandbox") {
        flags += &format!(" --dir {}", quoted(&global.dir.display().to_string()));
    }
    for (name, value) in [
        ("inventory", global.inventory.as_ref().map(|p| p.display().to_string())),
        ("playbooks", global.playbooks.as_ref().map(|p| p.display().to_string())),
        ("state", global.state.clone()),
        ("seal", global.seal.as_ref().map(|p| p.display().to_string())),
    ] {
        if let Some(value) = value {
            flags += &format!(" --{name} {}", quoted(&value));
        }
    }
    flags
}

/// The text with those flags in every command of ours that it names.
pub(super) fn repeat(global: &Global, text: &str) -> String {
    insert(&given(global), text)
}

/// The same in JSON, where the commands stand in strings.
pub(super) fn repeat_json(global: &Global, json: &str) -> String {
    let quoted = serde_json::Value::from(given(global)).to_string();
    let inner = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
    insert(inner.unwrap_or_default(), json)
}

fn insert(flags: &str, text: &str) -> String {
    if flags.is_empty() {
        return text.to_owned();
    }
    let (mut told, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(NAME) {
        let (before, after) = rest.split_at(at + NAME.len());
        told.push_str(before);
        // A line may end between the two.
        let words = after.trim_start();
        let verb = words.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
        if words.len() < after.len() && VERBS.contains(&verb) {
            told.push_str(flags);
        }
        rest = after;
    }
    told + rest
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:@+".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn commands_that_are_told_repeat_where_things_are() {
        let mut global = Global {
            inventory: None,
            playbooks: None,
            state: None,
            seal: None,
            json: false,
            sandbox: false,
            dir: PathBuf::from("sandbox"),
        };
        assert_eq!(repeat(&global, "next: handover resume x"), "next: handover resume x");
        global.sandbox = true;
        assert_eq!(repeat(&global, "next: handover resume x"), "next: handover --sandbox resume x");
        assert_eq!(repeat(&global, "`handover\n     resume x`"), "`handover --sandbox\n     resume x`", "where a line ends");
        assert_eq!(repeat(&global, "handover resumed"), "handover resumed");
        global.dir = PathBuf::from("/tmp/a b");
        assert_eq!(repeat(&global, "`handover status x`"), "`handover --sandbox --dir '/tmp/a b' status x`");
        global.dir = PathBuf::from("a\"b\\c");
        let line = repeat_json(&global, r#"{"next":"handover resume x"}"#);
        let line: serde_json::Value = serde_json::from_str(&line).expect("it is JSON still");
        assert_eq!(line["next"], r#"handover --sandbox --dir 'a"b\c' resume x"#);
    }
}
