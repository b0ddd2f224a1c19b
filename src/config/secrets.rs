//! Secrets in the clear: how they are recognised in configuration files, so that they are refused and never shown. This
//! errs on the side of hiding: a line masked for nothing costs less than a secret in a terminal's scrollback.

use super::source::MASK;

/// Endings of keys whose value is a secret, without `_` and `-`, in lower case.
const SECRET_ENDINGS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "secretid",
    "secretkey",
    "secretaccesskey",
    "privatekey",
    "signingkey",
    "routingkey",
    "authorization",
    "cookie",
];

/// Beginnings of values that are secrets whatever their key is called.
const SECRET_BEGINNINGS: [&str; 17] = [
    "SG.",
    "xkeysib-",
    "xsmtpsib-",
    "hvs.",
    "hvb.",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk_live_",
    "AKCp",
    // Whoever knows these addresses can write there.
    "https://hooks.slack.com/services/",
    "https://discord.com/api/webhooks/",
    "whsec_",
    "AGE-SECRET-KEY-",
];

/// Whether the value of `key` is a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    let key = plain(key);
    matches!(key.as_str(), "pass" | "pwd" | "pw") || SECRET_ENDINGS.iter().any(|e| key.ends_with(e))
}

/// Whether `key` could be meant to hold a secret, typing mistakes included. Only for hiding, never for judging.
pub(super) fn resembles_secret_key(key: &str) -> bool {
    let plain = plain(key);
    is_secret_key(key)
        || [("password", 2), ("passphrase", 2), ("passwd", 1), ("passwort", 1), ("secret", 1), ("token", 1), ("apikey", 1)]
            .iter()
            .any(|(word, most)| strsim::osa_distance(&plain, word) <= *most)
}

fn plain(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-' | '.')).flat_map(char::to_lowercase).collect()
}

/// What to do about a secret in the clear, as a rule.
pub(super) const REFERENCE: &str = "name where it is: `{env: NAME}` or `{file: PATH}`";

/// What `value` is if it is a secret whatever its key is called, and what to do about it.
pub(super) fn is_secret_value(value: &str) -> Option<(&'static str, &'static str)> {
    let value = value.trim_start();
    if value.starts_with("-----BEGIN ") && value.contains("PRIVATE KEY") {
        return Some(("a private key in the clear", REFERENCE));
    }
    if value.len() >= 16 && SECRET_BEGINNINGS.iter().any(|b| value.starts_with(b)) {
        return Some(("an API key or a token in the clear", REFERENCE));
    }
    if has_url_password(value) {
        return Some(("an address with a password in it", "leave the login out of the address"));
    }
    let lower = value.to_ascii_lowercase();
    if ["bearer ", "basic "].iter().any(|word| {
        lower.find(word).is_some_and(|at| {
            let before = lower[..at].trim_end();
            let after = lower[at + word.len()..].trim();
            (before.is_empty() || before.ends_with(':')) && after.len() >= 8 && !after.contains(' ')
        })
    }) {
        return Some(("an Authorization header in the clear", "let the program read it from a file that only it may read"));
    }
    // `--password=x`, `SMTP_PASSWORD=x`, as they stand in a command line.
    if let Some((option, rest)) = value.split_once('=')
        && !rest.is_empty()
        && !option.contains([' ', '/', '?', '&'])
        && is_secret_key(option.trim_start_matches('-'))
    {
        return Some(("a password in a command line", "let the program read it from a file that only it may read"));
    }
    None
}

fn has_url_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, p)| !p.is_empty()))
}

/// Masks what looks like a secret in the lines of a text that could not be read as YAML.
pub(super) fn mask_lines(lines: &mut [String]) {
    // While set, lines indented deeper than this continue a masked value.
    let mut within: Option<usize> = None;
    for line in lines {
        let indent = line.chars().take_while(|c| *c == ' ').count();
        if within.is_some_and(|depth| indent > depth && !line.trim().is_empty()) {
            *line = format!("{}{MASK}", " ".repeat(indent));
            continue;
        }
        within = None;
        if let Some(at) = secret_starts(line) {
            let rest = line[at..].trim();
            if !is_reference(rest) && !rest.starts_with('#') {
                within = Some(indent);
                if !rest.is_empty() {
                    *line = format!("{} {MASK}", &line[..at]);
                }
            }
        } else if line.split_whitespace().any(|word| is_secret_value(word.trim_matches(['"', '\'', ',', '['])).is_some()) {
            *line = format!("{}{MASK}", " ".repeat(indent));
        }
    }
}

/// Whether this begins `{env: …}` or `{file: …}`.
fn is_reference(rest: &str) -> bool {
    let inner = rest.strip_prefix('{').map(str::trim_start).unwrap_or_default();
    ["env", "file"].iter().any(|word| inner.strip_prefix(word).is_some_and(|tail| tail.trim_start().starts_with(':')))
}

/// The byte after the colon of the first key in `line` that could hold a secret.
fn secret_starts(line: &str) -> Option<usize> {
    for (at, _) in line.match_indices([':', '=']) {
        let before = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let key_at = before
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
        // A key that is masked already could be any: it stood in a text over several lines.
        if resembles_secret_key(&before[key_at..]) || before.ends_with(MASK) {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_hold_secrets_are_known() {
        for key in ["password", "smtp_password", "api_key", "apiKey", "secret_id", "client-secret", "token", "pwd"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["username", "path", "account", "credentials", "role_id", "tokens_url", "keyfile", "passive"] {
            assert!(!is_secret_key(key), "{key}");
        }
        for key in ["passwrod", "pasword", "passwort", "secert", "tokn"] {
            assert!(resembles_secret_key(key), "{key}");
        }
        assert!(!resembles_secret_key("path"));
    }

    #[test]
    fn values_that_are_secrets_are_known() {
        for value in [
            "https://joe:hunter2@example.com/x",
            "-----BEGIN RSA PRIVATE KEY-----",
            "SG.abcdefghijklmnop.qrs",
            "Authorization: Bearer abcdefghijkl",
            "--password=hunter2",
        ] {
            assert!(is_secret_value(value).is_some(), "{value}");
        }
        for value in ["https://example.com/a@b:c", "https://joe@example.com", "basic auth", "SG.x", "a=b", "/x?token=1"] {
            assert!(is_secret_value(value).is_none(), "{value}");
        }
    }

    #[test]
    fn lines_of_an_unreadable_text_are_masked() {
        let text = "a: 1\npassword: hunter2\nb: {x: 1, secret: hunter2, y: 2}\nsecret: |\n  hunter2\n  hunter2\nc: 3\nsecret_id: {env: X}\npasswrod: \"hunter2\nu: https://a:hunter2@b/";
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.push(format!("{MASK}: [hunter2, hunter2]"));
        mask_lines(&mut lines);
        let shown = lines.join("\n");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("a: 1") && shown.contains("c: 3") && shown.contains("{env: X}"), "{shown}");
    }
}
