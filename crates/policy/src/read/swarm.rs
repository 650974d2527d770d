//! The swarm itself: addresses its nodes talk to, or tell others to talk to.

use docker_api::json::Value;

use super::{logs, outbound};
use crate::findings::Findings;

/// The addresses that a node of a swarm talks to, or tells others to talk to.
pub(super) fn node(body: &Value<'_>, out: &mut Findings<'_>) {
    if let Some(address) = body.text_at("AdvertiseAddr") {
        outbound::address(address, "AdvertiseAddr", out);
    }
    for (index, address) in body.texts_at("RemoteAddrs") {
        outbound::address(address, &format!("RemoteAddrs[{index}]"), out);
    }
    if let Some(spec) = body.get("Spec") {
        self::spec(spec, "Spec.", out);
    }
}

/// The body of `swarm.update`.
pub(super) fn update(body: &Value<'_>, out: &mut Findings<'_>) {
    spec(body, "", out);
}

/// What a swarm's settings make every manager connect to.
fn spec(spec: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    let authority = spec.get("CAConfig");
    for (index, external) in authority
        .into_iter()
        .flat_map(|ca| ca.items_at("ExternalCAs"))
    {
        let field = format!("{at}CAConfig.ExternalCAs[{index}].URL");
        outbound::address(external.text_at("URL").unwrap_or_default(), &field, out);
    }
    if let Some(log) = spec
        .get("TaskDefaults")
        .and_then(|defaults| defaults.get("LogDriver"))
    {
        let field = format!("{at}TaskDefaults.LogDriver");
        logs::driver(log, "Name", "Options", &field, out);
    }
}
