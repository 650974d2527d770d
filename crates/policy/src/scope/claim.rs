//! What a client may not claim for itself: labels of the gate, and names that pass for ids.

use docker_api::Operation;
use docker_api::json::{self, Value};

use crate::labels::{PREFIX, is_own_label};

/// Digits of a full id.
const FULL_ID: usize = 64;

/// Digits from which on a name may be an id: those of the short ids that clients show and people type.
pub(crate) const SHORT_ID: usize = 12;

/// The same in a scope, where nobody may come to be in the way of what another owner made.
pub const LEAST_ID: usize = 4;

/// Whether a name is what an id, or the beginning of one from `least` digits on, may look like. Names win over the beginnings of
/// ids in everybody's commands, and over a full id once what has it is gone.
pub(crate) fn may_be_id(name: &str, least: usize) -> bool {
    let name = name.trim_start_matches('/');
    (least..=FULL_ID).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a text is a full id, as the engine writes it.
pub(crate) fn is_full_id(text: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == FULL_ID && text.bytes().all(digit)
}

/// Whether an object with this id is what was asked for by `name`. A full id means nothing but itself: where the answer has another
/// one, the object that it was the id of is gone, and one that has it as its name was found.
#[must_use]
pub fn is_asked(name: &str, id: &str) -> bool {
    !is_full_id(name) || name == id
}

/// The first label of the gate's own that a body or a query claims, with where it is.
pub(crate) fn claims<'q>(
    operation: Operation,
    body: Option<&Value<'_>>,
    parameters: impl Iterator<Item = (&'q str, &'q str)>,
) -> Option<(String, String)> {
    let in_body = body.and_then(|body| in_body(operation, body));
    in_body.or_else(|| in_parameters(operation, parameters))
}

fn in_body(operation: Operation, body: &Value<'_>) -> Option<(String, String)> {
    match operation {
        Operation::ContainerCreate => {
            labels(body, "Labels").or_else(|| mounts(body.get("HostConfig")?, "HostConfig.Mounts"))
        }
        Operation::NetworkCreate | Operation::VolumeCreate | Operation::ImageCommit => {
            labels(body, "Labels")
        }
        Operation::ServiceCreate | Operation::ServiceUpdate => {
            let spec = body
                .get("TaskTemplate")
                .and_then(|task| task.get("ContainerSpec"));
            labels(body, "Labels").or_else(|| {
                let spec = spec?;
                labels(spec, "TaskTemplate.ContainerSpec.Labels")
                    .or_else(|| mounts(spec, "TaskTemplate.ContainerSpec.Mounts"))
            })
        }
        _ => None,
    }
}

fn labels(owner: &Value<'_>, at: &str) -> Option<(String, String)> {
    let members = owner.get("Labels")?.members();
    let (key, _) = members.iter().find(|(key, _)| is_own_label(key))?;
    Some((at.to_owned(), key.to_string()))
}

fn mounts(owner: &Value<'_>, at: &str) -> Option<(String, String)> {
    let mounts = owner.get("Mounts")?.items().iter().enumerate();
    mounts
        .filter_map(|(index, mount)| Some((index, mount.get("VolumeOptions")?)))
        .find_map(|(index, options)| {
            labels(options, &format!("{at}[{index}].VolumeOptions.Labels"))
        })
}

fn in_parameters<'q>(
    operation: Operation,
    parameters: impl Iterator<Item = (&'q str, &'q str)>,
) -> Option<(String, String)> {
    match operation {
        Operation::ImageBuild => {
            let mut labels = parameters.filter(|(key, text)| *key == "labels" && !text.is_empty());
            labels.find_map(|(_, text)| build_label(text))
        }
        Operation::ImageCommit | Operation::ImageImport => {
            let changes: Vec<&str> = parameters
                .filter(|(key, _)| *key == "changes")
                .map(|(_, value)| value)
                .collect();
            changes.iter().find_map(|change| instruction(change))
        }
        _ => None,
    }
}

/// A build's labels: a JSON object. What has no reading is refused, since the engine may find one.
fn build_label(text: &str) -> Option<(String, String)> {
    let Ok(labels) = json::parse(text.as_bytes(), text.len()) else {
        return Some(("?labels".into(), "not a JSON object".into()));
    };
    let (key, _) = labels.members().iter().find(|(key, _)| is_own_label(key))?;
    Some(("?labels".into(), key.to_string()))
}

/// Whether a value of `changes` could take in what comes behind it, or hide an instruction. The engine joins all values by line
/// ends, and the gate's own label is the last of them: a continued line would swallow it (a here-document is refused with the other triggers).
fn runs_on(change: &str) -> bool {
    let goes_on = |line: &str| line.trim_end().ends_with(['\\', '`']);
    change.split(['\n', '\r']).any(goes_on)
}

/// A `LABEL` among the instructions of a commit or an import. The engine takes quotes and backslashes off and puts variables in,
/// so that a key may be spelt in many ways: one that could become the gate's own is refused.
fn instruction(change: &str) -> Option<(String, String)> {
    if runs_on(change) {
        let why = "an instruction that does not end with its line";
        return Some(("?changes".into(), why.into()));
    }
    let text = change.to_ascii_lowercase();
    if !text.contains("label") {
        return None;
    }
    let plain: String = text
        .chars()
        .filter(|c| !matches!(c, '"' | '\'' | '\\' | '\n' | '`'))
        .collect();
    let claimed = plain.contains(PREFIX) || text.contains('$');
    claimed.then(|| {
        let why = "LABEL with a variable, or of the gate's own labels";
        ("?changes".into(), why.into())
    })
}
