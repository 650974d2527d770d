//! Execs.

use docker_api::json::Value;

use super::{container, kept};
use crate::findings::Findings;
use crate::limits::LimitKey;

/// The body of `exec.create`.
pub(super) fn create(body: &Value<'_>, out: &mut Findings<'_>) {
    kept::whole(body, out);
    if body.is_true("Privileged") {
        out.ask("Privileged", "true", LimitKey::Privileged);
    }
    // Without one it is the container's, which is looked at with the target.
    if let Some(user) = body.text_at("User") {
        container::user(user, "User".into(), out);
    }
}

/// The command line an `exec.create` body carries, for the audit record.
pub(crate) fn command_line(body: &Value<'_>) -> Option<Vec<String>> {
    match body.get("Cmd")? {
        Value::Text(command) => Some(vec![command.to_string()]),
        list => Some(
            list.items()
                .iter()
                .filter_map(Value::text)
                .map(str::to_owned)
                .collect(),
        ),
    }
}
