//! Client entries: which certificate is which client. First match wins.

use pki::identity::Identity;

/// A `match` table: its keys are ANDed, the values of a key are ORed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// `any = true`
    pub any: bool,
    /// Subject common names, exact.
    pub common_names: Vec<String>,
    /// Subject organizations, exact.
    pub organizations: Vec<String>,
    /// Subject organizational units, exact.
    pub organizational_units: Vec<String>,
    /// DNS names; `*.` stands for one label.
    pub dns: Vec<String>,
    /// Email addresses; `*@` stands for any local part.
    pub emails: Vec<String>,
    /// URI patterns.
    pub uris: Vec<String>,
    /// URI patterns that also ask for exactly one URI name in the certificate.
    pub spiffe: Vec<String>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki: Vec<[u8; 32]>,
    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer_spki: Vec<[u8; 32]>,
}

impl Matcher {
    /// Whether the table matches. What is ambiguous in a certificate matches nothing.
    pub fn matches(&self, identity: &Identity) -> bool {
        let any = |patterns: &[String], matches: &dyn Fn(&str) -> bool| {
            patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern))
        };
        let clean = |text: &str| !text.chars().any(char::is_control);
        let exact = |names: &[String], pattern: &str| {
            names.iter().any(|name| name == pattern && clean(name))
        };
        any(
            &self.common_names,
            &|name| matches!(&identity.common_names[..], [only] if only == name && clean(only)),
        ) && any(&self.organizations, &|name| {
            exact(&identity.organizations, name)
        }) && any(&self.organizational_units, &|name| {
            exact(&identity.organizational_units, name)
        }) && any(&self.dns, &|pattern| {
            identity.dns.iter().any(|name| dns_matches(pattern, name))
        }) && any(&self.emails, &|pattern| {
            identity
                .emails
                .iter()
                .any(|name| email_matches(pattern, name))
        }) && any(&self.uris, &|pattern| {
            identity.uris.iter().any(|uri| uri_matches(pattern, uri))
        }) && any(
            &self.spiffe,
            &|pattern| matches!(&identity.uris[..], [only] if uri_matches(pattern, only)),
        ) && (self.spki.is_empty() || self.spki.contains(&identity.spki))
            && (self.issuer_spki.is_empty()
                || identity
                    .issuer_spki
                    .is_some_and(|spki| self.issuer_spki.contains(&spki)))
    }

    /// Whether the table has no key at all.
    pub fn is_empty(&self) -> bool {
        *self == Matcher::default()
    }

    /// Whether everything `other` matches is certainly matched here too; used to find entries that can never match.
    pub fn covers(&self, other: &Matcher) -> bool {
        fn superset<T: PartialEq>(mine: &[T], theirs: &[T]) -> bool {
            mine.is_empty()
                || (!theirs.is_empty() && theirs.iter().all(|value| mine.contains(value)))
        }
        fn patterns(mine: &[String], theirs: &[String], wider: fn(&str, &str) -> bool) -> bool {
            let covered = |value: &String| mine.iter().any(|pattern| wider(pattern, value));
            mine.is_empty() || (!theirs.is_empty() && theirs.iter().all(covered))
        }
        // Who has the one URI that `spiffe` asks for has a URI.
        let uris = match other.uris.is_empty() {
            true => &other.spiffe,
            false => &other.uris,
        };
        superset(&self.common_names, &other.common_names)
            && superset(&self.organizations, &other.organizations)
            && superset(&self.organizational_units, &other.organizational_units)
            && patterns(&self.dns, &other.dns, |pattern, other| {
                pattern.eq_ignore_ascii_case(other) || dns_matches(pattern, other)
            })
            && patterns(&self.emails, &other.emails, email_matches)
            && patterns(&self.uris, uris, uri_covers)
            && patterns(&self.spiffe, &other.spiffe, uri_covers)
            && superset(&self.spki, &other.spki)
            && superset(&self.issuer_spki, &other.issuer_spki)
    }

    /// Whether some certificate may match both; used to find entries whose order decides.
    pub fn may_meet(&self, other: &Matcher) -> bool {
        fn meet<T: PartialEq>(mine: &[T], theirs: &[T]) -> bool {
            mine.is_empty() || theirs.is_empty() || mine.iter().any(|value| theirs.contains(value))
        }
        // A certificate may have several names of the other kinds, one for each.
        let one_uri = |own: &[String], all: &[&[String]]| {
            own.is_empty()
                || all
                    .iter()
                    .filter(|list| !list.is_empty())
                    .all(|list| own.iter().any(|a| list.iter().any(|b| uri_meets(a, b))))
        };
        meet(&self.common_names, &other.common_names)
            && meet(&self.spki, &other.spki)
            && meet(&self.issuer_spki, &other.issuer_spki)
            && one_uri(&self.spiffe, &[&other.spiffe, &other.uris])
            && one_uri(&other.spiffe, &[&self.spiffe, &self.uris])
    }

    /// The values of the first key by which a person knows a client; empty if there is none.
    #[must_use]
    pub fn names(&self) -> &[String] {
        let lists = [
            &self.common_names,
            &self.spiffe,
            &self.uris,
            &self.dns,
            &self.emails,
            &self.organizational_units,
        ];
        let named = lists.into_iter().find(|list| !list.is_empty());
        named.map_or(&[], |list| list)
    }

    /// The keys of the table, for lists: `cn, issuer_spki`.
    pub fn keys(&self) -> Vec<&'static str> {
        let lists = [
            ("cn", self.common_names.len()),
            ("o", self.organizations.len()),
            ("ou", self.organizational_units.len()),
            ("dns", self.dns.len()),
            ("email", self.emails.len()),
            ("uri", self.uris.len()),
            ("spiffe", self.spiffe.len()),
            ("spki", self.spki.len()),
            ("issuer_spki", self.issuer_spki.len()),
        ];
        let keys: Vec<_> = lists
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(key, _)| key)
            .collect();
        if keys.is_empty() { vec!["any"] } else { keys }
    }
}

/// ASCII case-insensitive; a name that is itself a wildcard matches nothing.
fn dns_matches(pattern: &str, name: &str) -> bool {
    if name.contains('*') || name.is_empty() {
        return false;
    }
    match pattern.strip_prefix("*.") {
        Some(suffix) => name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
        None => name.eq_ignore_ascii_case(pattern),
    }
}

/// Exact local part, case-insensitive domain.
fn email_matches(pattern: &str, address: &str) -> bool {
    let (Some((local, domain)), Some((name, host))) =
        (pattern.rsplit_once('@'), address.rsplit_once('@'))
    else {
        return false;
    };
    (local == "*" || local == name) && !name.is_empty() && domain.eq_ignore_ascii_case(host)
}

/// Whether a pattern matches everything that another does. A `*` of the other is a segment like any, its `**` only another `**`'s.
fn uri_covers(pattern: &str, other: &str) -> bool {
    let open = |pattern: &str| pattern.ends_with("/**");
    pattern == other || uri_matches(pattern, other) && (open(pattern) || !open(other))
}

/// Whether a URI may match both patterns.
fn uri_meets(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some("**"), _) | (_, Some("**")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

/// `*` is one whole segment, `**` at the end any number. Nothing is decoded; what needs decoding matches nothing.
fn uri_matches(pattern: &str, uri: &str) -> bool {
    let Some((_, rest)) = uri.split_once("://") else {
        return pattern == uri && !uri.contains(['*', '?', '#']);
    };
    if rest.contains(['?', '#', '%']) || rest.split('/').any(|part| matches!(part, "" | "." | ".."))
    {
        return false;
    }
    let mut parts = uri.split('/');
    let mut patterns = pattern.split('/').peekable();
    while let Some(pattern) = patterns.next() {
        if pattern == "**" && patterns.peek().is_none() {
            return parts.next().is_some();
        }
        match parts.next() {
            Some(part) if pattern == part || (pattern == "*" && !part.is_empty()) => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}
