//! How large a regular expression of Go's `regexp` becomes when it is compiled.
//!
//! The engine compiles what clients send, once for each container or line of a log. A counted repetition makes a program of
//! millions of steps out of a few bytes, a class of Unicode one of thousands, and so does folding case in a range of it.

/// Most repetitions that one count may say.
const MOST_REPEATS: usize = 64;

/// Characters that have a meaning in a pattern and make more of it than the text it is.
const META: &[char] = &['\\', '[', ']', '(', ')', '{', '}', '|', '*', '+', '?'];

/// Whether a text means nothing but itself in a pattern, but for its anchors and any dots.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.contains(META)
}

/// The most steps that a pattern is compiled to, roughly; `None` if that is not known: a class of Unicode, a character outside of
/// ASCII, a count above 64 or one of a group.
#[must_use]
pub fn pattern_steps(text: &str) -> Option<usize> {
    let mut steps = text.len();
    if is_plain(text) {
        return Some(steps);
    }
    if !text.is_ascii() {
        return None;
    }
    let mut rest = text.chars();
    // whether a count may follow: it is behind one character or class.
    let mut is_single = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                if matches!(rest.next()?, 'p' | 'P') {
                    return None;
                }
                is_single = true;
            }
            '{' => {
                let (count, after) = rest.as_str().split_once('}')?;
                if !is_single {
                    return None;
                }
                steps += repeats(count)?;
                rest = after.chars();
                is_single = false;
            }
            _ => is_single = !matches!(c, '(' | ')' | '|' | '*' | '+' | '?'),
        }
    }
    Some(steps)
}

/// The most repetitions of `n`, `n,` or `n,m`.
fn repeats(count: &str) -> Option<usize> {
    let (least, most) = count.split_once(',').unwrap_or((count, count));
    let number = |text: &str| {
        let digits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number: usize = digits.then(|| text.parse().ok()).flatten()?;
        (number <= MOST_REPEATS).then_some(number)
    };
    let least = number(least)?;
    match most {
        "" => Some(least),
        most => number(most),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_plain, pattern_steps};

    #[test]
    fn a_pattern_counts_its_repetitions_and_what_could_grow_is_not_counted() {
        for (pattern, steps) in [
            ("", 0),
            ("web", 3),
            ("^/shop-web-1$", 13),
            ("^/(web|db)$", 11),
            ("x{10}", 15),
            (r"\d{4}-\d{2,}-\d{2,3}", 29),
            ("[a-z]{8}", 16),
            ("größe", 7),
            (r"\(", 2),
        ] {
            assert_eq!(pattern_steps(pattern), Some(steps), "{pattern}");
        }
        for odd in [
            "x{1000}",
            "x{65}",
            "x{0065}",
            "(x{10}){10}",
            "x{10}{10}",
            "(x){2}",
            "x*{2}",
            r"\pL",
            r"\PL",
            r"[\pL]",
            r"\x{10FFFF}",
            "x{",
            "x{a}",
            "x{,3}",
            "x{3,1000}",
            "(?i)[B-𞥂]",
            "\\",
        ] {
            assert_eq!(pattern_steps(odd), None, "{odd}");
        }
        assert!(is_plain("^/shop.web-1$"));
        assert!(!is_plain("web*"));
    }
}
