//! What was most likely meant by a word that nobody knows.

/// Words less alike are not suggested: a wrong suggestion misleads.
const ALIKE: f64 = 0.8;

/// The candidate that was probably meant, if any is near. Case and `_` for `-` do not matter.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    nearest_of(word, candidates, ALIKE)
}

/// The same, for words so short or so like each other that a suggestion needs more, or less, to go by.
#[must_use]
pub fn nearest_of<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    alike: f64,
) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (likeness(word, candidate), candidate))
        .filter(|(score, _)| *score > alike)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// How alike two words are: 1 for the same but for case and `_`, 0 for nothing in common.
#[must_use]
pub fn likeness(one: &str, other: &str) -> f64 {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    strsim::jaro_winkler(&plain(one), &plain(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let names = ["drain-timeout", "head-timeout", "hosts"];
        assert_eq!(nearest("drain_timeuot", names), Some("drain-timeout"));
        assert_eq!(nearest("HOST", names), Some("hosts"));
        assert_eq!(nearest("xyzzy", names), None);
    }
}
