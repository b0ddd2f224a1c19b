//! "Did you mean": the nearest of some words, if it is near enough to be a typing mistake.

/// The one of `words` that `given` is most likely a mistyping of.
#[must_use]
pub fn nearest<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let most = (given.chars().count() / 3).clamp(1, 4);
    words
        .into_iter()
        .map(|word| (distance(&given, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn distance(given: &str, word: &str) -> usize {
    // `-`, `_` and a plural are the commonest mistakes and count least.
    let plain = |text: &str| text.replace(['-', '_', ' '], "").trim_end_matches('s').to_owned();
    if plain(given) == plain(word) {
        return 0;
    }
    // So is the beginning of a word for the whole: `user` for `username`.
    if given.len() >= 3 && word.starts_with(given) || word.len() >= 3 && given.starts_with(word) {
        return 1;
    }
    strsim::osa_distance(given, word)
}

/// The hint for a word that is not known: the nearest one, or all of them.
#[must_use]
pub fn hint<'a>(given: &str, words: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(given, words.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<String> = words.into_iter().take(16).map(|w| format!("`{w}`")).collect();
    match all.len() {
        0 => "none is defined".to_owned(),
        1 => format!("the only one is {}", all[0]),
        _ => format!("one of {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_found_and_other_words_are_not() {
        let words = ["credential", "entry", "environment", "owner", "test_send", "entries"];
        for (given, want) in [
            ("credentail", Some("credential")),
            ("enviroment", Some("environment")),
            ("test-send", Some("test_send")),
            ("Owner", Some("owner")),
            ("entrys", Some("entry")),
            ("cred", Some("credential")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(given, words), want, "{given}");
        }
    }
}
