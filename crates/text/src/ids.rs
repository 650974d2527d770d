//! Ids of the engine's objects, for people.

/// Hexadecimal digits of an id that are shown, as docker shows them.
const SHORT: usize = 12;

/// A path without its version, and with its long ids cut short; other text stays as it is.
#[must_use]
pub fn short_ids(path: &str) -> String {
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    let is_id = |part: &str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let mut out = String::new();
    for (at, part) in path.split('/').enumerate() {
        if at == 1 && is_version(part) && part.len() > 1 {
            continue;
        }
        if at > 0 {
            out.push('/');
        }
        out.push_str(if is_id(part) { &part[..SHORT] } else { part });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_short_and_other_words_are_not() {
        let id = "3f4e8a1d9c7b".repeat(6)[..64].to_owned();
        assert_eq!(short_ids(&id), "3f4e8a1d9c7b");
        assert_eq!(
            short_ids(&format!("/v1.51/exec/{id}/start")),
            "/exec/3f4e8a1d9c7b/start"
        );
        let long = "/containers/".to_owned() + &"x".repeat(64);
        for same in ["", "/", "/_ping", "/volumes/v1.51", "-", &long, &id[..63]] {
            assert_eq!(short_ids(same), same);
        }
    }
}
