//! Users of containers and execs: `UID`, a range of them, or a name of the image's own.

use std::fmt;

/// The user that a container runs as when the image says so, or root.
pub(crate) const OF_THE_IMAGE: &str = "the image's own";

/// One side of a `user:group` as the engine reads it (moby/sys/user): a number is never looked up as a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UserPart {
    Number(u64),
    Name(String),
}

impl UserPart {
    /// Reads a side as Go's `strconv.Atoi` would: with a sign, with zeros in front.
    fn read(text: &str) -> UserPart {
        let (minus, digits) = match text.as_bytes().first() {
            Some(b'+') => (false, &text[1..]),
            Some(b'-') => (true, &text[1..]),
            _ => (false, text),
        };
        let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match digits.parse::<u64>() {
            Ok(value) if number && (!minus || value == 0) => UserPart::Number(value),
            _ => UserPart::Name(text.to_owned()),
        }
    }
}

impl fmt::Display for UserPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserPart::Number(number) => write!(f, "{number}"),
            UserPart::Name(name) => f.write_str(name),
        }
    }
}

/// A `User` field in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedUser {
    user: UserPart,
    group: Option<UserPart>,
}

impl AskedUser {
    /// Reads `user`, `user:group` and `:group`, which is root. `None` where the engine may have another reading.
    pub(crate) fn read(text: &str) -> Option<AskedUser> {
        let mut parts = text.split(':');
        let (user, group) = (parts.next().unwrap_or_default(), parts.next());
        if parts.next().is_some() || text.is_empty() {
            return None;
        }
        let user = match user {
            "" => UserPart::Number(0),
            user => UserPart::read(user),
        };
        let group = group.filter(|group| !group.is_empty()).map(UserPart::read);
        Some(AskedUser { user, group })
    }
}

impl fmt::Display for AskedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.user.fmt(f)?;
        match &self.group {
            Some(group) => write!(f, ":{group}"),
            None => Ok(()),
        }
    }
}

/// Which users or groups.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UserIds {
    Any,
    Span(u64, u64),
    Name(String),
}

impl UserIds {
    fn parse(text: &str) -> Option<UserIds> {
        let number = |text: &str| -> Option<u64> {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        if text == "*" {
            return Some(UserIds::Any);
        }
        if let Some(only) = number(text) {
            return Some(UserIds::Span(only, only));
        }
        if let Some((first, last)) = text.split_once('-')
            && let (Some(first), Some(last)) = (number(first), number(last))
        {
            return (first <= last).then_some(UserIds::Span(first, last));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '$');
        let named = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        (named && text.chars().all(plain)).then(|| UserIds::Name(text.to_owned()))
    }

    fn admits(&self, part: &UserPart) -> bool {
        match (self, part) {
            (UserIds::Any, _) => true,
            (UserIds::Span(first, last), UserPart::Number(number)) => {
                (first..=last).contains(&number)
            }
            (UserIds::Name(own), UserPart::Name(name)) => own == name,
            _ => false,
        }
    }
}

impl fmt::Display for UserIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserIds::Any => f.write_str("*"),
            UserIds::Span(first, last) if first == last => write!(f, "{first}"),
            UserIds::Span(first, last) => write!(f, "{first}-{last}"),
            UserIds::Name(name) => f.write_str(name),
        }
    }
}

/// Users that containers may run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPattern {
    user: UserIds,
    /// Without one, a group passes that the pattern of the user admits.
    group: Option<UserIds>,
}

impl UserPattern {
    /// Reads `1000`, `1-65535`, `app`, `1000:1000`, `1000:*` or `*`.
    pub(super) fn parse(text: &str) -> Option<UserPattern> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(UserIds::parse(group)?)),
            None => (text, None),
        };
        Some(UserPattern {
            user: UserIds::parse(user)?,
            group,
        })
    }

    /// Whether it lets everything pass, the image's own user too.
    pub(super) fn is_everything(&self) -> bool {
        self.user == UserIds::Any && matches!(self.group, None | Some(UserIds::Any))
    }

    /// Whether a user passes.
    pub(super) fn admits(&self, asked: &AskedUser) -> bool {
        let groups = self.group.as_ref().unwrap_or(&self.user);
        self.user.admits(&asked.user)
            && asked
                .group
                .as_ref()
                .is_none_or(|group| groups.admits(group))
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.user.fmt(f)?;
        match &self.group {
            Some(group) => write!(f, ":{group}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AskedUser, UserPattern};

    #[test]
    fn no_spelling_of_root_passes_a_range_without_it() {
        let pattern = UserPattern::parse("1-65535").expect("a pattern");
        let admits = |text: &str| AskedUser::read(text).is_some_and(|user| pattern.admits(&user));
        for user in ["1000", "1000:1000", "+1000", "01000", "65535", "1000:"] {
            assert!(admits(user), "{user}");
        }
        for root in [
            "0",
            "root",
            "",
            "00",
            "+0",
            "-0",
            "0:0",
            "0:1000",
            ":",
            ":1000",
            " 0",
            "0 ",
            "0x3e8",
            "1000:0",
            "1000:root",
            "1000:00",
            "65536",
            "app",
            "1000:1:2",
            "18446744073709551616",
            "-1",
        ] {
            assert!(!admits(root), "{root:?}");
        }
    }

    #[test]
    fn names_groups_and_wildcards_are_taken_as_written() {
        let admits = |pattern: &str, user: &str| {
            let pattern = UserPattern::parse(pattern).expect("a pattern");
            AskedUser::read(user).is_some_and(|user| pattern.admits(&user))
        };
        assert!(
            admits("app", "app") && admits("app", "app:app") && admits("1000:100-200", "1000:150")
        );
        assert!(admits("1000:*", "1000:0") && admits("*", "root"));
        assert!(
            !admits("app", "apps")
                && !admits("app", "app:root")
                && !admits("1000:100-200", "1000:99")
        );
        for wrong in ["", "5-1", "-5", "a b", "1000:", ":5", "a:b:c", "1-"] {
            assert_eq!(UserPattern::parse(wrong), None, "{wrong}");
        }
    }
}
