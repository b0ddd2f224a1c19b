//! The flags that a command was given, put into the commands that it tells a person to type: what is copied must work.

use super::args::Global;

const VERBS: [&str; 9] = ["resume", "abort", "approve", "status", "history", "audit", "rotate", "plan", "check"];

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
    ] {
        if let Some(value) = value {
            flags += &format!(" --{name} {}", quoted(&value));
        }
    }
    flags
}

/// The text with those flags in every command of ours that it names.
pub(super) fn repeat(global: &Global, text: &str) -> String {
    let flags = given(global);
    if flags.is_empty() {
        return text.to_owned();
    }
    VERBS
        .iter()
        .fold(text.to_owned(), |text, verb| text.replace(&format!("handover {verb}"), &format!("handover{flags} {verb}")))
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
            json: false,
            sandbox: false,
            dir: PathBuf::from("sandbox"),
        };
        assert_eq!(repeat(&global, "next: handover resume x"), "next: handover resume x");
        global.sandbox = true;
        assert_eq!(repeat(&global, "next: handover resume x"), "next: handover --sandbox resume x");
        global.dir = PathBuf::from("/tmp/a b");
        assert_eq!(repeat(&global, "`handover status x`"), "`handover --sandbox --dir '/tmp/a b' status x`");
    }
}
