//! Image names as the engine normalises them (distribution/reference), and the patterns that allow them.

use std::fmt;

/// A normalised image name: `busybox` is `docker.io/library/busybox`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Registry and path, `docker.io/library/busybox`.
    pub name: String,
    /// The tag, if written.
    pub tag: Option<String>,
    /// The digest, if written.
    pub digest: Option<String>,
}

/// What is in a tag's place where every tag is meant; no image has such a tag.
pub const ALL_TAGS: &str = ":*";

/// What a client may mean by an image string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageName {
    /// A name.
    Named(Reference),
    /// An image id or a prefix of one: the engine may find any local image by it.
    Id(String),
    /// Every tag of a name, written with [`ALL_TAGS`] behind it.
    AllTags(Reference),
}

impl ImageName {
    /// Reads a name; `None` if distribution/reference would refuse it.
    pub fn parse(text: &str) -> Option<ImageName> {
        let hex = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        // The engine looks for an id when it finds no name: all-hexadecimal text without a tag may be a prefix.
        if hex(text) || text.strip_prefix("sha256:").is_some_and(hex) {
            return Some(ImageName::Id(text.to_owned()));
        }
        match text.strip_suffix(ALL_TAGS) {
            Some(name) => Reference::parse(name).map(ImageName::AllTags),
            None => Reference::parse(text).map(ImageName::Named),
        }
    }
}

impl Reference {
    /// Reads and normalises a name.
    pub fn parse(text: &str) -> Option<Reference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(valid_digest(digest)?.to_owned())),
            None => (text, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(valid_tag(tag)?.to_owned())),
            _ => (rest, None),
        };
        let (domain, path) = split_domain(rest);
        let path = if domain == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if !valid_domain(domain) || !path.split('/').all(valid_component) {
            return None;
        }
        let name = format!("{domain}/{path}");
        (name.len() <= 255 + domain.len()).then_some(Reference { name, tag, digest })
    }
}

impl Reference {
    /// The registry that the name is of, with its port if it has one.
    pub fn registry(&self) -> &str {
        self.name
            .split_once('/')
            .map_or(self.name.as_str(), |(registry, _)| registry)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (
                if first == "index.docker.io" {
                    "docker.io"
                } else {
                    first
                },
                rest,
            )
        }
        _ => ("docker.io", name),
    }
}

fn valid_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((inner, port)) => {
                if inner.is_empty() || !inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                    return false;
                }
                (
                    "v6",
                    port.strip_prefix(':')
                        .or(if port.is_empty() { None } else { Some("x") }),
                )
            }
            None => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn valid_component(part: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    if !bytes.first().is_some_and(|b| alnum(*b)) || !bytes.last().is_some_and(|b| alnum(*b)) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn valid_tag(tag: &str) -> Option<&str> {
    let first = tag.bytes().next()?;
    (tag.len() <= 128
        && (first.is_ascii_alphanumeric() || first == b'_')
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')))
    .then_some(tag)
}

fn valid_digest(digest: &str) -> Option<&str> {
    let (algorithm, hex) = digest.split_once(':')?;
    (!algorithm.is_empty()
        && algorithm
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-' | b'_'))
        && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    .then_some(digest)
}

/// One entry of `limits.images` or `limits.tags`: whole components, `*` for one, `**` at the end for any number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePattern {
    parts: Vec<String>,
    rest: bool,
    tag: Option<String>,
}

impl ImagePattern {
    /// Reads a pattern and normalises it as an image name would be.
    ///
    /// # Errors
    /// What was expected, if the text is not a pattern.
    pub fn parse(text: &str) -> Result<ImagePattern, String> {
        if text == "**" {
            return Ok(ImagePattern {
                parts: Vec::new(),
                rest: true,
                tag: None,
            });
        }
        let (name, rest) = match text.strip_suffix("/**") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !rest && !tag.contains('/') => (
                name,
                Some(valid_tag(tag).ok_or("expected a tag after `:`")?.to_owned()),
            ),
            _ => (name, None),
        };
        // `registry.example.com/**` has a domain and no path; anything else is split as a name is.
        let (domain, path) = split_domain(name);
        let (domain, path) =
            if rest && !name.contains('/') && (name.contains(['.', ':']) || name == "localhost") {
                (name, "")
            } else {
                (domain, path)
            };
        let mut parts = vec![domain.to_owned()];
        if domain == "docker.io" && !path.is_empty() && !path.contains('/') && !rest {
            parts.push("library".into());
        }
        if !path.is_empty() {
            parts.extend(path.split('/').map(str::to_owned));
        }
        if !valid_domain(domain) {
            // The caller quotes the pattern, and knows what may be shown of it.
            return Err("expected a registry host first".into());
        }
        let odd = |part: &String| part != "*" && !valid_component(part);
        if parts[1..].iter().any(odd) {
            return Err("expected components of small letters, digits, `.`, `_` and `-`; `*` stands for one whole component, `**` ends a pattern".into());
        }
        if parts.len() == 1 && !rest {
            return Err("expected an image name".into());
        }
        Ok(ImagePattern { parts, rest, tag })
    }

    /// The pattern as a regular expression for normalised names with a tag or a digest, without anchors. It is written for
    /// Go's `regexp`, since the engine compares sources by it.
    pub fn regex(&self) -> String {
        const COMPONENT: &str = "[a-z0-9]+([._-]+[a-z0-9]+)*";
        if self.is_everything() {
            return r"[^?#\s]*".into();
        }
        let mut regex = String::new();
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                regex.push('/');
            }
            match part.as_str() {
                "*" => regex.push_str(COMPONENT),
                literal => {
                    for c in literal.chars() {
                        if !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | ':') {
                            regex.push('\\');
                        }
                        regex.push(c);
                    }
                }
            }
        }
        if self.rest {
            regex.push_str(&format!("(/{COMPONENT})+"));
        }
        match &self.tag {
            Some(tag) => {
                regex.push(':');
                regex.push_str(&tag.replace('.', "\\."));
            }
            None => regex.push_str("(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@[a-z0-9]+:[0-9a-f]+)?"),
        }
        regex
    }

    /// Whether some name is allowed by both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &ImagePattern) -> bool {
        if self.tag.is_some() && other.tag.is_some() && self.tag != other.tag {
            return false;
        }
        let common = self.parts.iter().zip(&other.parts);
        if !common.clone().all(|(a, b)| a == b || a == "*" || b == "*") {
            return false;
        }
        // `a/**` is what lies below `a`, so the shorter one must have it, and two of a length both or neither.
        match self.parts.len().cmp(&other.parts.len()) {
            std::cmp::Ordering::Less => self.rest,
            std::cmp::Ordering::Greater => other.rest,
            std::cmp::Ordering::Equal => self.rest == other.rest,
        }
    }

    /// Whether the pattern allows everything, ids included.
    pub fn is_everything(&self) -> bool {
        self.parts.is_empty() && self.rest
    }

    /// The registry that the pattern names; `None` if it allows every one.
    pub fn registry(&self) -> Option<&str> {
        self.parts.first().map(String::as_str)
    }

    /// Whether the pattern allows `image`.
    pub fn admits(&self, image: &ImageName) -> bool {
        let (reference, all) = match image {
            ImageName::Named(reference) => (reference, false),
            ImageName::AllTags(reference) => (reference, true),
            ImageName::Id(_) => return self.is_everything(),
        };
        if let Some(tag) = &self.tag {
            if all {
                return false;
            }
            // A digest decides what runs, even beside a tag.
            if reference.digest.is_some() || reference.tag.as_deref().unwrap_or("latest") != tag {
                return false;
            }
        }
        let mut components = reference.name.split('/');
        for part in &self.parts {
            match components.next() {
                Some(component) if part == "*" || part == component => {}
                _ => return false,
            }
        }
        // `a/**` is what lies below `a`, so at least one more component.
        match components.next() {
            Some(_) => self.rest,
            None => !self.rest,
        }
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("/"))?;
        match (self.rest, self.parts.is_empty()) {
            (true, true) => f.write_str("**")?,
            (true, false) => f.write_str("/**")?,
            _ => {}
        }
        match &self.tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}
