//! A count of things, as people write it.

use std::fmt::Display;

/// `1 client`, `0 clients`, `2 clients`: the word is the singular of one whose plural ends in `s`, or of `entry`.
#[must_use]
pub fn counted(count: impl Display, word: &str) -> String {
    let count = count.to_string();
    match (count.as_str(), word.strip_suffix("ry")) {
        ("1", _) => format!("{count} {word}"),
        (_, Some(stem)) => format!("{count} {stem}ries"),
        (_, None) => format!("{count} {word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular_and_every_other_count_is_plural() {
        assert_eq!(counted(1, "client"), "1 client");
        assert_eq!(counted(0_usize, "client"), "0 clients");
        assert_eq!(counted(21, "day"), "21 days");
        assert_eq!(counted(1, "entry"), "1 entry");
        assert_eq!(counted(2, "entry"), "2 entries");
    }
}
