//! What a build may fetch, as the engine's own source policy says it.
//!
//! Rules are regular expressions of Go's `regexp`, anchored at both ends, made of literals and of one class for a
//! component of a path. A component has no `%`, no `?`, no `@` and is not `..`, so that no other path can be meant.

use std::fmt;

use buildkit::append::{AttributeRule, Comparison, RuleAction, SourceRule};
use docker_api::image::{ImageName, ImagePattern};

/// One component of a URL's path: not empty, not `.` or `..`, nothing that is decoded.
const COMPONENT: &str = r"\.?[A-Za-z0-9_~+=,!$-][A-Za-z0-9._~+=,!$:-]*";

/// One entry of `sources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourcePattern {
    /// Images.
    Image(ImagePattern),
    /// Files and git repositories below a URL.
    Url(UrlPattern),
}

/// `https://github.com/example/**`: a scheme, a host, and components of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPattern {
    scheme: String,
    user: Option<String>,
    host: String,
    parts: Vec<String>,
    rest: bool,
}

impl SourcePattern {
    /// Reads an entry.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return UrlPattern::parse(text).map(Self::Url);
        }
        ImagePattern::parse(text).map(Self::Image)
    }
}

impl fmt::Display for SourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(image) => image.fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// What [`COMPONENT`] matches.
fn is_path_component(part: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || "_~+=,!$-".contains(c);
    let later = |c: char| first(c) || ".:".contains(c);
    let mut rest = part.strip_prefix('.').unwrap_or(part).chars();
    rest.next().is_some_and(first) && rest.all(later)
}

fn is_component(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._~+=,!$:-".contains(c);
    !matches!(part, "" | "." | "..") && part.chars().all(plain)
}

impl UrlPattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        if !matches!(scheme, "http" | "https" | "git" | "ssh") {
            return Err("expected an image, or a URL of http, https, git or ssh".into());
        }
        let (authority, path) = rest
            .split_once('/')
            .ok_or("expected a path behind the host; `/**` is everything below it")?;
        let (user, host) = match authority.split_once('@') {
            Some((user, host)) if scheme == "ssh" => (Some(user.to_owned()), host),
            Some(_) => return Err("expected no user in the URL".into()),
            None => (None, authority),
        };
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let port = host.strip_prefix(name).unwrap_or_default();
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let number = |port: &str| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
        let port = port.is_empty() || port.strip_prefix(':').is_some_and(number);
        let user_ok = user.as_deref().is_none_or(is_component);
        if name.is_empty() || !name.chars().all(label) || !port || !user_ok {
            return Err("expected a host in lower case, and perhaps a port".into());
        }
        let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
        let rest = parts.last().is_some_and(|part| part == "**");
        if rest {
            parts.pop();
        }
        match parts
            .iter()
            .find(|part| *part != "*" && !is_component(part))
        {
            Some(part) => Err(format!(
                "\"{part}\" is not a component of a path; `*` is one whole component, `**` ends a pattern"
            )),
            None if parts.is_empty() && !rest => Err("expected a path behind the host".into()),
            None => Ok(Self {
                scheme: scheme.to_owned(),
                user,
                host: host.to_owned(),
                parts,
                rest,
            }),
        }
    }

    /// Whether the pattern lists a URL of this scheme, as its regular expressions do.
    fn admits(&self, scheme: &str, rest: &str) -> bool {
        let (rest, fragment) = match rest.split_once('#') {
            Some((rest, fragment)) => (rest, !fragment.contains(['#', '\r', '\n'])),
            None => (rest, true),
        };
        let (authority, path) = rest.split_once('/').unwrap_or_default();
        let host = match authority.split_once('@') {
            Some((user, host)) if self.user.as_deref() == Some(user) => host,
            Some(_) => return false,
            None => authority,
        };
        let same_scheme = scheme == self.scheme || scheme == "git";
        if !fragment || !same_scheme || host != self.host {
            return false;
        }
        let mut components = path.split('/').peekable();
        for part in &self.parts {
            let Some(component) = components.next() else {
                return false;
            };
            let last = components.peek().is_none();
            let repository = component.strip_suffix(".git").filter(|_| last);
            let same = |component: &str| part == component;
            let fits = match part.as_str() {
                "*" => is_path_component(component),
                _ => same(component) || repository.is_some_and(same),
            };
            if !fits {
                return false;
            }
        }
        match self.rest {
            true => components.peek().is_some() && components.all(is_path_component),
            false => components.next().is_none(),
        }
    }

    /// The path as a regular expression, without anchors.
    fn path(&self) -> String {
        let mut regex = String::new();
        for part in &self.parts {
            regex.push('/');
            match part.as_str() {
                "*" => regex.push_str(COMPONENT),
                literal => regex.push_str(&escape(literal)),
            }
        }
        if self.rest {
            regex.push_str(&format!("(/{COMPONENT})+"));
        }
        regex
    }

    /// The rules for files.
    fn files(&self) -> Option<SourceRule> {
        let web = matches!(self.scheme.as_str(), "http" | "https");
        let regex = format!("^{}://{}{}$", self.scheme, escape(&self.host), self.path());
        web.then(|| allow(regex, Vec::new()))
    }

    /// The rule for git repositories: the identifier says `git://` whatever the scheme, and `git.fullurl` is what is
    /// fetched. Where an engine keeps the scheme in the identifier, that is the same URL.
    fn repositories(&self) -> SourceRule {
        let (host, path) = (escape(&self.host), self.path());
        let user = match &self.user {
            Some(user) => format!("{}@", escape(user)),
            None => String::new(),
        };
        let identifier = format!(
            r"^(git|{scheme})://({user})?{host}{path}(\.git)?(#[^#\r\n]*)?$",
            scheme = self.scheme
        );
        let mut url = format!(
            r"{scheme}://{user}{host}{path}(\.git)?(#[^#\r\n]*)?",
            scheme = self.scheme
        );
        if self.scheme == "ssh" && !self.host.contains(':') {
            // `git@host:path`
            let path = path.strip_prefix('/').unwrap_or(&path);
            url = format!(r"({url}|{user}{host}:{path}(\.git)?(#[^#\r\n]*)?)");
        }
        let attributes = vec![
            AttributeRule {
                key: "git.fullurl".into(),
                value: format!("^{url}$"),
                regex: true,
            },
            AttributeRule {
                key: "git.bundle".into(),
                value: String::new(),
                regex: false,
            },
        ];
        allow(identifier, attributes)
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        for part in &self.parts {
            write!(f, "/{part}")?;
        }
        f.write_str(if self.rest { "/**" } else { "" })
    }
}

fn allow(regex: String, attributes: Vec<AttributeRule>) -> SourceRule {
    SourceRule {
        action: RuleAction::Allow,
        comparison: Comparison::Regex,
        identifier: regex,
        attributes,
    }
}

/// The refusal of every identifier, whatever characters it has.
fn everything_denied() -> SourceRule {
    SourceRule {
        action: RuleAction::Deny,
        ..allow("^".to_owned(), Vec::new())
    }
}

fn wildcard(identifier: &str) -> SourceRule {
    SourceRule {
        action: RuleAction::Allow,
        comparison: Comparison::Wildcard,
        identifier: identifier.to_owned(),
        attributes: Vec::new(),
    }
}

/// Text as a regular expression that matches it alone.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && !"-_/:@".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The rules of these sources. The last one that matches decides, so refusal comes first.
pub(super) fn rules(sources: &[SourcePattern]) -> Vec<SourceRule> {
    let mut rules = vec![
        // Not the wildcard `*`, which BuildKit compiles to `.*`: that does not match a line break, and a git reference may
        // have one.
        everything_denied(),
        // What comes from the client over its own session.
        wildcard("local://*"),
        wildcard("oci-layout://*"),
        wildcard("http://buildkit-session/*"),
    ];
    for source in sources {
        match source {
            SourcePattern::Image(image) => {
                let regex = format!("^docker-image://{}$", image.regex());
                rules.push(allow(regex, Vec::new()));
            }
            SourcePattern::Url(url) => {
                rules.extend(url.files());
                rules.push(url.repositories());
            }
        }
    }
    rules
}

/// Whether the sources list an identifier, as far as can be told without the engine's attributes.
pub(super) fn lists(sources: &[SourcePattern], identifier: &str) -> bool {
    let Some((scheme, rest)) = identifier.split_once("://") else {
        return false;
    };
    match scheme {
        "local" | "oci-layout" => true,
        "docker-image" => {
            let Some(image) = ImageName::parse(rest) else {
                return false;
            };
            sources.iter().any(|source| match source {
                SourcePattern::Image(pattern) => pattern.admits(&image),
                SourcePattern::Url(_) => false,
            })
        }
        _ if identifier.starts_with("http://buildkit-session/") => true,
        _ => sources.iter().any(|source| match source {
            SourcePattern::Image(_) => false,
            SourcePattern::Url(pattern) => pattern.admits(scheme, rest),
        }),
    }
}
