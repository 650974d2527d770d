//! Text that came from elsewhere, and is shown to people and their terminals.

/// Whether a character ends a line, drives a terminal or turns the reading direction: control characters, the line and
/// paragraph separators, and Unicode's bidirectional controls (UAX #9). Whoever shows a peer's text escapes these.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::is_unsafe;

    #[test]
    fn what_ends_lines_and_drives_terminals_is_unsafe_and_words_are_not() {
        assert!(
            "\n\r\t\u{1b}\u{7f}\u{9b}\u{2028}\u{2029}\u{202e}\u{2066}"
                .chars()
                .all(is_unsafe)
        );
        assert!(!"aä字 …\"\\\u{2030}".chars().any(is_unsafe));
    }
}
