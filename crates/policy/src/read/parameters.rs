//! Query parameters: only those of the [`table`] pass, each once unless it may repeat, and some ask for a power.

mod table;

use std::borrow::Cow;
use std::collections::HashMap;

use docker_api::image::{ALL_TAGS, Reference};
use docker_api::{Operation, json, query, work};

use super::schema::cut;
use super::{container, ps};
use crate::findings::Findings;
use crate::limits::LimitKey;
use crate::power::{Means, Namespace};
use crate::upload::dockerfile;

pub use table::listed;

/// Parameters of one request; docker sends a dozen, and a build as many more as it has tags and hosts.
const MOST: usize = 100;

/// What a parameter is to the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Says nothing that matters; may stand once.
    Once,
    /// Says nothing that matters; may repeat.
    Repeats,
    /// Must be empty or absent; the rule that says so.
    Empty(&'static str),
    /// Must read as false.
    False(&'static str),
}

use Rule::{Empty, False, Repeats};

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

/// Whether more is judged of an operation's parameters, or of the name in its path, than whether they are listed.
pub(crate) fn inspected(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::DistributionInspect
            | Operation::ImageBuild
            | Operation::ImageImport
            | Operation::ImageLoad
            | Operation::ImagePull
            | Operation::ImagePush
            | Operation::ImageSave
            | Operation::ImageSaveMany
            | Operation::ImageSearch
            | Operation::ImageTag
            | Operation::PluginCreate
            | Operation::PluginPrivileges
            | Operation::PluginPull
            | Operation::PluginPush
            | Operation::PluginUpgrade
    )
}

/// The parameters that the judge and the lookups go on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// The first value of a parameter.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.pairs
            .iter()
            .find(|(name, _)| name == key)
            .map_or("", |(_, value)| value)
    }

    /// A build's arguments; `None` if they have no reading, or more than one.
    pub(crate) fn build_arguments(&self) -> Option<HashMap<String, Option<String>>> {
        let text = self.get("buildargs");
        if text.is_empty() {
            return Some(HashMap::new());
        }
        let argument = |(name, value): &(Cow<'_, str>, json::Value<'_>)| {
            let value = match value {
                json::Value::Null => None,
                value => Some(value.text()?.to_owned()),
            };
            Some((name.to_string(), value))
        };
        match json::parse(text.as_bytes(), text.len()).ok()? {
            json::Value::Null => Some(HashMap::new()),
            json::Value::Object(members) => members.iter().map(argument).collect(),
            _ => None,
        }
    }

    fn all<'p>(&'p self, key: &'p str) -> impl Iterator<Item = &'p str> {
        self.pairs
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The query again with one parameter replaced.
    pub(crate) fn replaced(&self, key: &str, value: &str) -> String {
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
pub(crate) fn read(
    operation: Operation,
    name: Option<&str>,
    text: Option<&str>,
    out: &mut Findings<'_>,
) -> Parameters {
    let mut parameters = Parameters::default();
    let listed = table::listed(operation);
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
    judged(operation, name.unwrap_or_default(), &parameters, out);
    parameters
}

/// What the parameters and the name in the path ask for together.
fn judged(operation: Operation, name: &str, parameters: &Parameters, out: &mut Findings<'_>) {
    match operation {
        Operation::ContainerTop => {
            let words = parameters.get("ps_args");
            if !ps::safe(words) {
                out.never("ps-args", "?ps_args", words);
            }
        }
        Operation::ImagePull => pull(parameters, out),
        Operation::ImageImport => {
            let source = parameters.get("fromSrc");
            if source != "-" {
                container::address(source, "?fromSrc", out);
            }
            tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
            changes(parameters, out);
        }
        Operation::ImageCommit => {
            tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
            changes(parameters, out);
        }
        Operation::ImageTag => {
            // A name that may be run must not come to stand for an image that may not.
            out.ask("name", name, LimitKey::Images);
            tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
        }
        Operation::ImagePush => {
            // Without a tag the engine pushes every tag.
            match parameters.get("tag") {
                "" => all_tags(name, "name", LimitKey::Tags, out),
                one => tag(name, one, "name", out),
            }
            container::registry(name, "name", out);
        }
        // The archive says which names it writes, in a file that may come last.
        Operation::ImageLoad => out.ask("body", "the names in the archive", LimitKey::Tags),
        Operation::ImageSave => out.ask("name", name, LimitKey::Images),
        Operation::ImageSaveMany => {
            for name in parameters.all("names") {
                out.ask("?names", name, LimitKey::Images);
            }
        }
        Operation::ImageSearch => search(parameters.get("term"), out),
        Operation::DistributionInspect => container::source(name, "name", out),
        Operation::ImageBuild => build(parameters, out),
        Operation::PluginPrivileges => container::source(parameters.get("remote"), "?remote", out),
        Operation::PluginPull => {
            container::source(parameters.get("remote"), "?remote", out);
            tag(parameters.get("name"), "", "?name", out);
        }
        Operation::PluginUpgrade => {
            container::source(parameters.get("remote"), "?remote", out);
            tag(name, "", "name", out);
        }
        Operation::PluginCreate => tag(parameters.get("name"), "", "?name", out),
        Operation::PluginPush => {
            tag(name, "", "name", out);
            container::registry(name, "name", out);
        }
        _ => {}
    }
}

/// Instructions of a commit or an import: what `ONBUILD` says runs in the next build on the image.
fn changes(parameters: &Parameters, out: &mut Findings<'_>) {
    let lines: Vec<&str> = parameters.all("changes").collect();
    dockerfile::read_instructions(&lines.join("\n"), "?changes", out);
}

/// `fromImage` and `tag`, joined as the engine joins them: a `tag` with a colon is a digest, and without either every tag comes.
fn pull(parameters: &Parameters, out: &mut Findings<'_>) {
    // "pull -a" of old clients ends the name with a colon.
    let (image, tag) = (parameters.get("fromImage"), parameters.get("tag"));
    let image = image.strip_suffix(':').unwrap_or(image);
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
    match Reference::parse(&value) {
        Some(reference) if reference.tag.is_none() && reference.digest.is_none() => {
            all_tags(&value, "?fromImage", LimitKey::Images, out);
        }
        Some(reference) => out.ask("?fromImage", reference.to_string(), LimitKey::Images),
        None => out.ask("?fromImage", &value, LimitKey::Images),
    }
    container::registry(&value, "?fromImage", out);
}

/// Every tag of a name, which only a pattern without a tag admits.
fn all_tags(name: &str, field: &str, key: LimitKey, out: &mut Findings<'_>) {
    let value = match Reference::parse(name) {
        Some(reference) => format!("{}{ALL_TAGS}", reference.name),
        None => name.to_owned(),
    };
    out.ask(field, value, key);
}

/// The registry that is searched stands before the first slash of the term.
fn search(term: &str, out: &mut Findings<'_>) {
    match term.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
            container::address(first, "?term", out);
        }
        _ if term.contains("://") => container::address(term, "?term", out),
        _ => {}
    }
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
        Some(reference) => out.ask(field, reference.to_string(), LimitKey::Tags),
        None => out.never("tags", field, value),
    }
}

fn build(parameters: &Parameters, out: &mut Findings<'_>) {
    for name in parameters.all("t").filter(|name| !name.is_empty()) {
        tag(name, "", "?t", out);
    }
    match json_texts(parameters.get("cachefrom")) {
        Some(images) => {
            for image in images {
                out.ask("?cachefrom", image, LimitKey::Images);
            }
        }
        None => out.never("build", "?cachefrom", "not a JSON list of texts"),
    }
    if parameters.build_arguments().is_none() {
        out.never("build", "?buildargs", "not a JSON object of texts");
    }
    match parameters.get("networkmode") {
        "" | "default" | "bridge" | "none" => {}
        "host" => out.ask("?networkmode", "host", Means::Namespace(Namespace::Network)),
        mode if mode.starts_with("container:") => {
            out.ask("?networkmode", mode, LimitKey::JoinContainers);
        }
        mode => container::network(mode, "?networkmode".into(), out),
    }
    if !matches!(parameters.get("version"), "" | "1") {
        out.ask("?version", parameters.get("version"), LimitKey::Buildkit);
    }
    if !parameters.get("session").is_empty() {
        out.ask("?session", "a session", LimitKey::Buildkit);
    }
    match parameters.get("securityopt") {
        "" | "null" | "[]" => {}
        options => out.never("security_opts", "?securityopt", options),
    }
}

/// The strings of a parameter that is a JSON list; `None` if it is none.
fn json_texts(list: &str) -> Option<Vec<String>> {
    if list.is_empty() {
        return Some(Vec::new());
    }
    match json::parse(list.as_bytes(), list.len()).ok()? {
        json::Value::Null => Some(Vec::new()),
        json::Value::Array(items) => items
            .iter()
            .map(|item| item.text().map(str::to_owned))
            .collect(),
        _ => None,
    }
}
