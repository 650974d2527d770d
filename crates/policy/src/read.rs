//! What requests ask for: one reader for each object of the engine, which turns every spelling into powers.

pub(crate) mod build;
pub(crate) mod container;
mod devices;
pub(crate) mod dockerfile;
mod evaluated;
pub(crate) mod exec;
pub(crate) mod image;
mod kept;
mod logs;
pub(crate) mod network;
pub(crate) mod outbound;
pub(crate) mod parameters;
pub(crate) mod ports;
mod ps;
pub(crate) mod resources;
mod schema;
mod service;
mod swarm;
pub(crate) mod volume;

use docker_api::Operation;
use docker_api::json::Value;

use crate::findings::Findings;

pub(crate) use schema::cut;
use schema::{FieldPath, SchemaField, Unknown, conform};

/// How much a limited role's request body must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The operation means nothing without it.
    Required,
    /// An empty body is fine.
    Optional,
}

type BodyReader = fn(&Value<'_>, &mut Findings<'_>);

/// How an operation's body is judged: whether it must be there, the fields it may have, and who reads its powers.
fn judged(operation: Operation) -> Option<(Presence, &'static [SchemaField], BodyReader)> {
    use Presence::{Optional, Required};
    let nothing: BodyReader = |_, _| {};
    Some(match operation {
        Operation::CheckpointCreate => (Optional, schema::CHECKPOINT, container::checkpoint),
        Operation::ContainerCreate => (Required, schema::CREATE, container::create),
        Operation::ContainerStart => (Optional, &[], nothing),
        Operation::ContainerUpdate => (Optional, schema::UPDATE, container::update),
        Operation::ExecCreate => (Required, schema::EXEC_CREATE, exec::create),
        Operation::ExecStart => (Optional, schema::EXEC_START, nothing),
        Operation::ImageCommit => (Optional, schema::COMMIT, image::triggers),
        Operation::NetworkConnect => (Required, schema::NETWORK_CONNECT, network::connect),
        Operation::NetworkCreate => (Required, schema::NETWORK_CREATE, network::create),
        Operation::NetworkDisconnect => (Required, schema::NETWORK_DISCONNECT, network::connect),
        Operation::ServiceCreate | Operation::ServiceUpdate => {
            (Required, schema::SERVICE, service::create)
        }
        Operation::SwarmInit => (Required, schema::SWARM_INIT, swarm::node),
        Operation::SwarmJoin => (Required, schema::SWARM_JOIN, swarm::node),
        Operation::SwarmUpdate => (Required, schema::SWARM_SPEC, swarm::update),
        Operation::SystemAuth => (Optional, schema::AUTH, outbound::login),
        Operation::VolumeCreate => (Required, schema::VOLUME_CREATE, volume::create),
        _ => return None,
    })
}

/// Whether an operation's body is judged, and whether it must be there.
pub(crate) fn inspected(operation: Operation) -> Option<Presence> {
    judged(operation).map(|(presence, ..)| presence)
}

/// The powers of a parsed body. The body of an operation that has no reader may say nothing.
pub(crate) fn body(operation: Operation, body: &Value<'_>, out: &mut Findings<'_>) {
    let (presence, fields, read) =
        judged(operation).unwrap_or((Presence::Optional, &[], |_, _| {}));
    if *body == Value::Null && presence == Presence::Required {
        return out.never("body", "body", "null, expected an object");
    }
    conform(body, fields, Unknown::Refused, &FieldPath::ROOT, out);
    read(body, out);
}
