//! Query parameters of the operations that are judged: only the listed ones pass, each once unless it may repeat.

use std::borrow::Cow;

use docker_api::{Operation, query, work};

use super::findings::Findings;
use super::power::{Means, Namespace};
use super::reach;
use super::schema::cut;
use crate::limits::Key;
use docker_api::image::Reference;

/// Parameters of one request; docker sends a dozen, and a build as many more as it has tags and hosts.
const MOST: usize = 100;

/// What a parameter is to the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Says nothing that matters; may stand once.
    Once,
    /// Says nothing that matters; may repeat.
    Repeats,
    /// Must be empty or absent; the rule that says so.
    Empty(&'static str),
    /// Must read as false.
    False(&'static str),
}

use Rule::{Empty, False, Once, Repeats};

/// The parameters of an operation, or `None` if it takes any.
fn listed(operation: Operation) -> Option<&'static [(&'static str, Rule)]> {
    Some(match operation {
        Operation::ContainerCreate => &[("name", Once), ("platform", Once)],
        Operation::ContainerStart => &[
            ("detachKeys", Once),
            ("checkpoint", Empty("checkpoints")),
            ("checkpoint-dir", Empty("checkpoints")),
        ],
        Operation::ContainerUpdate
        | Operation::ContainerExport
        | Operation::ExecCreate
        | Operation::ExecStart
        | Operation::VolumeCreate
        | Operation::NetworkCreate
        | Operation::NetworkConnect
        | Operation::ServiceCreate => &[],
        Operation::ContainerAttach | Operation::ContainerAttachWs => &[
            ("detachKeys", Once),
            ("logs", Once),
            ("stream", Once),
            ("stdin", Once),
            ("stdout", Once),
            ("stderr", Once),
        ],
        Operation::ContainerArchiveGet | Operation::ContainerArchiveStat => &[("path", Once)],
        Operation::ContainerArchivePut => &[
            ("path", Once),
            ("noOverwriteDirNonDir", Once),
            ("copyUIDGID", Once),
        ],
        Operation::ServiceUpdate => &[
            ("version", Once),
            ("registryAuthFrom", Once),
            ("rollback", Empty("services")),
        ],
        Operation::ImagePull => &[
            ("fromImage", Once),
            ("tag", Once),
            ("platform", Once),
            ("fromSrc", Empty("images")),
            ("repo", Empty("images")),
            ("message", Once),
            ("changes", Empty("images")),
        ],
        Operation::ImageImport => &[
            ("fromImage", Empty("images")),
            ("fromSrc", Once),
            ("repo", Once),
            ("tag", Once),
            ("message", Once),
            ("changes", Repeats),
            ("platform", Once),
        ],
        Operation::ImagePush => &[("tag", Once), ("platform", Once)],
        Operation::ImageTag => &[("repo", Once), ("tag", Once)],
        Operation::ImageCommit => &[
            ("container", Once),
            ("repo", Once),
            ("tag", Once),
            ("comment", Once),
            ("author", Once),
            ("pause", Once),
            ("changes", Repeats),
        ],
        Operation::ImageBuild => &[
            ("dockerfile", Once),
            ("t", Repeats),
            ("q", Once),
            ("nocache", Once),
            ("cachefrom", Once),
            ("pull", Once),
            ("rm", Once),
            ("forcerm", Once),
            ("memory", Once),
            ("memswap", Once),
            ("cpushares", Once),
            ("cpusetcpus", Once),
            ("cpusetmems", Once),
            ("cpuperiod", Once),
            ("cpuquota", Once),
            ("buildargs", Once),
            ("shmsize", Once),
            ("squash", Once),
            ("labels", Once),
            ("platform", Once),
            ("target", Once),
            ("ulimits", Once),
            ("buildid", Once),
            ("extrahosts", Repeats),
            ("networkmode", Once),
            ("securityopt", Once),
            ("version", Once),
            ("session", Once),
            ("remote", Empty("build")),
            ("outputs", Empty("build")),
            ("cgroupparent", Empty("cgroup-parent")),
            ("isolation", Empty("isolation")),
            ("privileged", False("privileged")),
        ],
        _ => return None,
    })
}

/// A value as a message may show it: an address may carry a name and a password (RFC 3986 §3.2.1).
fn without_password(value: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = value.split_once("://") else {
        return Cow::Borrowed(value);
    };
    // A password may hold what ends an authority elsewhere, so whatever stands before the last `@` is left out.
    match rest.rfind('@') {
        Some(at) => Cow::Owned(format!("{scheme}://***{}", &rest[at..])),
        None => Cow::Borrowed(value),
    }
}

/// Whether an operation's parameters are judged.
pub(super) fn inspected(operation: Operation) -> bool {
    listed(operation).is_some()
}

/// The parameters that the judge and the lookups go on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// The first value of a parameter.
    pub(super) fn get(&self, key: &str) -> &str {
        self.pairs
            .iter()
            .find(|(name, _)| name == key)
            .map_or("", |(_, value)| value)
    }

    fn all<'p>(&'p self, key: &'p str) -> impl Iterator<Item = &'p str> {
        self.pairs
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The query again with one parameter replaced.
    pub(super) fn replaced(&self, key: &str, value: &str) -> String {
        let pair = |(name, old): &(String, String)| {
            format!(
                "{}={}",
                encode(name),
                encode(if name == key { value } else { old })
            )
        };
        self.pairs.iter().map(pair).collect::<Vec<_>>().join("&")
    }
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Reads the parameters of an operation and adds their powers.
pub(super) fn read(
    operation: Operation,
    name: Option<&str>,
    text: Option<&str>,
    out: &mut Findings<'_>,
) -> Parameters {
    let mut parameters = Parameters::default();
    let Some(listed) = listed(operation) else {
        return parameters;
    };
    let mut seen = vec![false; listed.len()];
    for (count, pair) in query::pairs(text.unwrap_or_default()).enumerate() {
        let (key, value) = match pair {
            Ok(pair) => pair,
            Err(error) => {
                out.never("parameters", "query", error.to_string());
                return parameters;
            }
        };
        if count == MOST {
            out.never(
                "parameters",
                "query",
                format!("more than {MOST} parameters"),
            );
            return parameters;
        }
        work::add(listed.len());
        let Some(index) = listed.iter().position(|(name, _)| *name == key) else {
            // What it says may be a secret.
            let field = format!("?{}", cut(&key, 255));
            out.never("parameters", field, "not one this operation takes");
            return parameters;
        };
        let rule = listed[index].1;
        if std::mem::replace(&mut seen[index], true) && rule != Repeats {
            out.never("parameters", format!("?{key}"), "stands more than once");
            return parameters;
        }
        match rule {
            Empty(rule) if !value.is_empty() => {
                out.never(rule, format!("?{key}"), without_password(&value));
            }
            False(rule) if query::boolean(&value) => {
                out.never(rule, format!("?{key}"), value.as_ref());
            }
            _ => {}
        }
        parameters
            .pairs
            .push((key.into_owned(), value.into_owned()));
    }
    match operation {
        Operation::ImagePull => pull(&parameters, out),
        Operation::ImageImport => {
            let source = parameters.get("fromSrc");
            if source != "-" {
                out.never("tags", "?fromSrc", without_password(source));
            }
            tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
        }
        Operation::ImageCommit => {
            tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
        }
        Operation::ImageTag => {
            // A name that may be run must not come to stand for an image that may not.
            out.ask("name", name.unwrap_or_default(), Key::Images);
            tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
        }
        Operation::ImagePush => {
            // Without a tag the engine pushes every tag: an invented one passes only patterns that name no tag.
            let one = Some(parameters.get("tag"))
                .filter(|tag| !tag.is_empty())
                .unwrap_or("all-tags");
            tag(name.unwrap_or_default(), one, "name", out);
        }
        Operation::ImageBuild => build(&parameters, out),
        _ => {}
    }
    parameters
}

/// `fromImage` and `tag`, joined as the engine joins them: a `tag` with a colon is a digest.
fn pull(parameters: &Parameters, out: &mut Findings<'_>) {
    let (image, tag) = (parameters.get("fromImage"), parameters.get("tag"));
    if image.contains('@') && !tag.is_empty() {
        let both = format!("{image}, with a digest and ?tag={tag}");
        return out.never("images", "?fromImage", both);
    }
    let value = match tag {
        "" => image.to_owned(),
        tag if tag.contains(':') => format!("{image}@{tag}"),
        tag => format!("{}:{tag}", without_tag(image)),
    };
    // A pull by a bare id does not exist: hexadecimal text is a name here.
    let value = match Reference::parse(&value) {
        Some(reference) => reference.to_string(),
        None => value,
    };
    out.ask("?fromImage", value, Key::Images);
}

fn without_tag(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// A name that is written. An empty name makes an untagged image, which re-points nothing.
fn tag(repo: &str, tag: &str, field: &str, out: &mut Findings<'_>) {
    if repo.is_empty() {
        return;
    }
    let value = if tag.is_empty() {
        repo.to_owned()
    } else {
        format!("{}:{tag}", without_tag(repo))
    };
    match Reference::parse(&value) {
        Some(reference) => out.ask(field, reference.to_string(), Key::Tags),
        None => out.never("tags", field, value),
    }
}

fn build(parameters: &Parameters, out: &mut Findings<'_>) {
    for name in parameters.all("t").filter(|name| !name.is_empty()) {
        tag(name, "", "?t", out);
    }
    match parameters.get("networkmode") {
        "" | "default" | "bridge" | "none" => {}
        "host" => out.ask("?networkmode", "host", Means::Namespace(Namespace::Network)),
        mode if mode.starts_with("container:") => {
            out.ask("?networkmode", mode, Key::JoinContainers);
        }
        mode => reach::network(mode, "?networkmode".into(), out),
    }
    if !matches!(parameters.get("version"), "" | "1") {
        out.ask("?version", parameters.get("version"), Key::Buildkit);
    }
    if !parameters.get("session").is_empty() {
        out.ask("?session", "a session", Key::Buildkit);
    }
    match parameters.get("securityopt") {
        "" | "null" | "[]" => {}
        options => out.never("security_opts", "?securityopt", options),
    }
}
