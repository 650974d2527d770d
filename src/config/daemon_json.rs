//! dockerd's own configuration as a source: a move from `dockerd --tlsverify` keeps names and addresses.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::error::ConfigProblem;
use crate::config::layer::{Layer, LayerEntry};
use crate::config::origin::Origin;

/// Takes tlscacert, tlscert, tlskey, the tcp hosts and the unix host from dockerd's `daemon.json`; the rest is dockerd's.
/// Also says what the person must still do.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<(Layer, Vec<String>), ConfigProblem> {
    let origin = Origin::DaemonJson(path.to_owned());
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|err| ConfigProblem::new(origin.clone(), format!("not valid JSON: {err}")))?;
    let Value::Object(settings) = value else {
        return Err(ConfigProblem::new(
            origin,
            "expected a JSON object, as dockerd does",
        ));
    };

    let mut layer = Layer::new();
    let mut notes = Vec::new();
    let base = path.parent().map(Path::to_owned);
    let mut put = |name: &'static str, items: Vec<String>| {
        if !items.is_empty() {
            layer.insert(
                name,
                LayerEntry {
                    items,
                    origin: origin.clone(),
                    base: base.clone(),
                },
            );
        }
    };
    for name in ["tlscacert", "tlscert", "tlskey"] {
        match settings.get(name) {
            None => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => put(name, vec![text.clone()]),
            Some(_) => {
                return Err(ConfigProblem::new(
                    origin.clone(),
                    format!("{name:?} is not a string; expected a path"),
                ));
            }
        }
    }
    let hosts = hosts(&settings, &origin)?;
    let tcp: Vec<String> = hosts
        .iter()
        .filter(|host| host.starts_with("tcp://"))
        .cloned()
        .collect();
    if !tcp.is_empty() {
        notes.push(format!(
            "dockerd listens on {} itself as long as {} says so: remove its tcp hosts and restart it before dockgate takes over",
            tcp.join(", "),
            path.display()
        ));
    }
    put("hosts", tcp);
    // `unix://` alone is dockerd's default path.
    let unix = hosts
        .iter()
        .find(|host| host.starts_with("unix:///"))
        .cloned();
    put("upstream", unix.into_iter().collect());
    Ok((layer, notes))
}

fn hosts(settings: &Map<String, Value>, origin: &Origin) -> Result<Vec<String>, ConfigProblem> {
    match settings.get("hosts") {
        None => Ok(Vec::new()),
        Some(Value::String(host)) => Ok(vec![host.clone()]),
        Some(Value::Array(hosts)) => {
            let hosts = hosts.iter().filter_map(Value::as_str);
            Ok(hosts.map(str::to_owned).collect())
        }
        Some(_) => Err(ConfigProblem::new(
            origin.clone(),
            "\"hosts\" is not an array; expected a list of URLs",
        )),
    }
}
