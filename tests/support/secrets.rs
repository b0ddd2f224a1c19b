//! Looks for secrets in anything: raw, encoded in every usual way, cut short, or turned around.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// So many characters of a password, in whatever form, are a leak.
const PIECE: usize = 16;

/// One way in which a piece of a secret can be written.
pub(crate) struct Needle {
    pub(crate) form: String,
    pub(crate) bytes: Vec<u8>,
}

/// All ways in which the first or the last part of a password can be written.
pub(crate) fn needles(username: &str, password: &str) -> Vec<Needle> {
    assert!(password.is_ascii() && password.len() >= 2 * PIECE, "a password of the sandbox");
    let mut all = Vec::new();
    for (part, piece) in [("first", &password[..PIECE]), ("last", &password[password.len() - PIECE..])] {
        let mut add = |form: &str, text: String| {
            all.push(Needle { form: format!("{form} of the {part} part"), bytes: text.into_bytes() })
        };
        let each = |form: &dyn Fn(u8) -> String| piece.bytes().map(form).collect::<String>();
        add("raw", piece.to_owned());
        add("reversed", piece.chars().rev().collect());
        add("hex", hex::encode(piece));
        add("HEX", hex::encode_upper(piece));
        add("percent", each(&|b| format!("%{b:02x}")));
        add("PERCENT", each(&|b| format!("%{b:02X}")));
        add("JSON", each(&|b| format!("\\u{b:04x}")));
        add("Rust bytes", each(&|b| format!("{b}, ")).trim_end_matches(", ").to_owned());
        add("UTF-16", each(&|b| format!("{}\0", char::from(b))));
        for shift in 0..3 {
            add("base64", shifted(&STANDARD.encode([vec![0; shift], piece.as_bytes().to_vec()].concat()), shift));
            add("base64url", shifted(&URL_SAFE.encode([vec![0; shift], piece.as_bytes().to_vec()].concat()), shift));
        }
    }
    let plain = STANDARD.encode(format!("\0{username}\0{password}"));
    all.push(Needle { form: "AUTH PLAIN".to_owned(), bytes: plain.into_bytes() });
    all
}

/// The characters of a base64 text that depend on nothing but the piece, which began `shift` bytes into it.
fn shifted(text: &str, shift: usize) -> String {
    let before = [0, 2, 3][shift];
    let whole = (shift + PIECE) * 8 / 6;
    text[before..whole].to_owned()
}

/// The forms in which a secret stands in `text`.
pub(crate) fn found(text: &[u8], needles: &[Needle]) -> Vec<String> {
    let finder = |needle: &&Needle| contains(text, &needle.bytes);
    needles.iter().filter(finder).map(|n| n.form.clone()).collect()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return false };
    let mut at = 0;
    while let Some(next) = text[at..].iter().position(|b| b == first) {
        at += next + 1;
        if text[at..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// The files under a folder in which a secret stands, with its forms; those for which `may` is true are left out.
pub(crate) fn found_under(folder: &Path, needles: &[Needle], may: &dyn Fn(&Path) -> bool) -> (usize, Vec<String>) {
    let mut seen = 0;
    let mut hits = Vec::new();
    for file in files(folder) {
        // A file may go while the folder is read: what is gone holds nothing.
        if may(&file) {
            continue;
        }
        let Ok(bytes) = std::fs::read(&file) else { continue };
        seen += 1;
        hits.extend(found(&bytes, needles).into_iter().map(|form| format!("{}: {form}", file.display())));
    }
    (seen, hits)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => all.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => all.push(entry.path()),
            _ => {}
        }
    }
    all
}
