//! Query parameters: only those of the [`table`] pass, each once unless it may repeat, and some ask for a power.

mod filters;
mod table;

use std::borrow::Cow;
use std::collections::HashMap;

use docker_api::{Operation, json, query, work};

use super::schema::cut;
use super::{build, container, image, network, outbound, ps};
use crate::findings::Findings;
use crate::limits::LimitKey;

pub use table::listed;

/// Parameters of one request; docker sends a dozen, and a build as many more as it has tags and hosts.
const MOST: usize = 100;

/// What a parameter is to the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Says nothing that matters; may come once.
    Once,
    /// Says nothing that matters; may repeat.
    Repeats,
    /// Must be empty or absent; the rule that says so.
    Empty(&'static str),
    /// Must read as false.
    False(&'static str),
}

use Rule::{Empty, False, Repeats};

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

    /// Every parameter, in the order sent.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.pairs.iter();
        pairs.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(super) fn all<'p>(&'p self, key: &'p str) -> impl Iterator<Item = &'p str> {
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
            out.never("parameters", format!("?{key}"), "is there more than once");
            return parameters;
        }
        match rule {
            Empty(rule) if !value.is_empty() => {
                out.never(rule, format!("?{key}"), value.as_ref());
            }
            False(rule) if query::boolean(&value) => {
                out.never(rule, format!("?{key}"), value.as_ref());
            }
            _ => {}
        }
        match key.as_ref() {
            "filters" => filters::judge(&value, out),
            "filter" => filters::reference(&value, out),
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
#[expect(clippy::too_many_lines, reason = "table")]
fn judged(operation: Operation, name: &str, parameters: &Parameters, out: &mut Findings<'_>) {
    match operation {
        Operation::ContainerTop => {
            let words = parameters.get("ps_args");
            if !ps::safe(words) {
                out.never("ps-args", "?ps_args", words);
            }
        }
        Operation::ContainerCreate | Operation::ContainerRename => {
            container::name(parameters.get("name"), "?name", out);
        }
        Operation::ContainerStop | Operation::ContainerRestart => {
            container::stop_parameter(parameters.get("t"), out);
        }
        Operation::NetworkConnect | Operation::NetworkDisconnect => {
            network::name(name, "name".into(), out);
        }
        Operation::ImagePull => image::pull(parameters, out),
        Operation::ImageImport => {
            let source = parameters.get("fromSrc");
            if source != "-" {
                outbound::address(source, "?fromSrc", out);
            }
            image::tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
            image::changes(parameters, out);
        }
        Operation::ImageCommit => {
            image::tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
            image::changes(parameters, out);
        }
        Operation::ImageTag => {
            // A name that may be run must not come to stand for an image that may not.
            out.ask("name", name, LimitKey::Images);
            image::tag(parameters.get("repo"), parameters.get("tag"), "?repo", out);
        }
        Operation::ImagePush => {
            // Without a tag the engine pushes every tag.
            match parameters.get("tag") {
                "" => image::all_tags(name, "name", LimitKey::Tags, out),
                one => image::tag(name, one, "name", out),
            }
            outbound::registry(name, "name", out);
        }
        // The archive says which names it writes, in a file that may come last.
        Operation::ImageLoad => out.ask("body", "the names in the archive", LimitKey::Tags),
        Operation::ImageSave => out.ask("name", name, LimitKey::Images),
        Operation::ImageSaveMany => {
            for name in parameters.all("names") {
                out.ask("?names", name, LimitKey::Images);
            }
        }
        Operation::ImageSearch => image::search(parameters.get("term"), out),
        Operation::DistributionInspect => image::source(name, "name", out),
        Operation::ImageBuild => build::parameters(parameters, out),
        Operation::PluginPrivileges => image::source(parameters.get("remote"), "?remote", out),
        Operation::PluginPull => {
            image::source(parameters.get("remote"), "?remote", out);
            image::tag(parameters.get("name"), "", "?name", out);
        }
        Operation::PluginUpgrade => {
            image::source(parameters.get("remote"), "?remote", out);
            image::tag(name, "", "name", out);
        }
        Operation::PluginCreate => image::tag(parameters.get("name"), "", "?name", out),
        Operation::PluginPush => {
            image::tag(name, "", "name", out);
            outbound::registry(name, "name", out);
        }
        _ => {}
    }
}
