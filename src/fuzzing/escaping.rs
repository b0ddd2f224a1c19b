//! Whatever a server, a file or a person wrote is shown without anything that steers a terminal (threats T8, T19).

/// Runs one input.
pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shown = crate::cli::view::style::visible(&text);
    assert!(!shown.chars().any(char::is_control));
}
