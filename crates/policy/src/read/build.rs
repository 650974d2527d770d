//! Classic builds: what their parameters ask for.

use docker_api::json;

use super::parameters::Parameters;
use super::resources::Resources;
use super::{image, network};
use crate::findings::Findings;
use crate::limits::{LimitKey, Means, Namespace};

pub(super) fn parameters(asked: &Parameters, out: &mut Findings<'_>) {
    for name in asked.all("t").filter(|name| !name.is_empty()) {
        image::tag(name, "", "?t", out);
    }
    match json_texts(asked.get("cachefrom")) {
        Some(images) => {
            for image in images {
                out.ask("?cachefrom", image, LimitKey::Images);
            }
        }
        None => out.never("build", "?cachefrom", "not a JSON list of texts"),
    }
    if asked.build_arguments().is_none() {
        out.never("build", "?buildargs", "not a JSON object of texts");
    }
    match asked.get("networkmode") {
        "" => network::name(network::DEFAULT, "?networkmode".into(), out),
        "host" => out.ask("?networkmode", "host", Means::Namespace(Namespace::Network)),
        mode if mode.starts_with("container:") => {
            out.ask("?networkmode", mode, LimitKey::JoinContainers);
        }
        mode => network::name(mode, "?networkmode".into(), out),
    }
    if matches!(asked.get("version"), "" | "1") {
        Resources::of_build(|key| asked.get(key)).ask("?", out);
    } else {
        out.ask("?version", asked.get("version"), LimitKey::Buildkit);
    }
    if !asked.get("session").is_empty() {
        out.ask("?session", "a session", LimitKey::Buildkit);
    }
    match asked.get("securityopt") {
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
