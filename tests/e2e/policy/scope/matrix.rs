//! Every operation of the table, asked about another's object and about a missing one: the answers are equal.

use docker_api::Operation;
use policy::scope::{ObjectKind, ScopeAction};

use super::{Owners, expect, member};
use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_scope_matrix__anothers_and_missing_objects_answer_the_same",
            matrix,
        ),
        Case::new(
            "policy_scope_refused__operations_that_cannot_be_narrowed",
            refused,
        ),
    ]
}

/// An id, or the beginning of one, that nothing has.
const NO_ID: &str = "f00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dface";

/// One object, with its full id.
pub(super) struct Hidden {
    pub(super) name: String,
    pub(super) id: String,
}

/// How a name or an id is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Name,
    EncodedName,
    UpperName,
    Id,
    Digits(usize),
    UpperId,
    EncodedId,
}

/// The objects of one owner.
struct Objects {
    container: Hidden,
    network: Hidden,
    volume: Hidden,
    exec: Hidden,
}

fn objects(side: &Side<'_>, name: &str) -> ScenarioResult<Objects> {
    let image = r#"{"Image":"dockgate-e2e-busybox","Cmd":["sleep","1000"],"HostConfig":{"NetworkMode":"none"}}"#;
    let target = format!("/v1.45/containers/create?name={name}");
    let container = member(&expect(side, "POST", &target, image, 201)?, "/Id");
    let target = format!("/v1.45/containers/{container}/start");
    expect(side, "POST", &target, "", 204)?;
    let target = format!("/v1.45/containers/{container}/exec");
    let exec = member(
        &expect(side, "POST", &target, r#"{"Cmd":["sleep","1000"]}"#, 201)?,
        "/Id",
    );
    let body = format!(r#"{{"Name":"{name}"}}"#);
    let network = member(
        &expect(side, "POST", "/v1.45/networks/create", &body, 201)?,
        "/Id",
    );
    expect(side, "POST", "/v1.45/volumes/create", &body, 201)?;
    let hidden = |id: &str| Hidden {
        name: name.to_owned(),
        id: id.to_owned(),
    };
    Ok(Objects {
        container: hidden(&container),
        network: hidden(&network),
        volume: hidden(name),
        exec: Hidden {
            name: exec.clone(),
            id: exec,
        },
    })
}

/// Spellings of a name and of an id, each with that of something missing.
pub(super) fn spellings(hidden: &Hidden, kind: ObjectKind) -> Vec<(Spelling, String, String)> {
    let odd = format!("no-{}", hidden.name);
    let encoded = |text: &str| {
        let bytes = text.bytes();
        bytes.map(|b| format!("%{b:02x}")).collect::<String>()
    };
    let mut forms = vec![
        (Spelling::Name, hidden.name.clone(), odd.clone()),
        (Spelling::EncodedName, encoded(&hidden.name), encoded(&odd)),
        (
            Spelling::UpperName,
            hidden.name.to_uppercase(),
            odd.to_uppercase(),
        ),
    ];
    if kind != ObjectKind::Volume {
        for (spelling, length) in [
            (Spelling::Id, 64),
            (Spelling::Digits(12), 12),
            (Spelling::Digits(4), 4),
        ] {
            let (theirs, missing) = (&hidden.id[..length], &NO_ID[..length]);
            forms.push((spelling, theirs.to_owned(), missing.to_owned()));
        }
        let (upper, no_upper) = (hidden.id.to_uppercase(), NO_ID.to_uppercase());
        forms.push((Spelling::UpperId, upper, no_upper));
        forms.push((Spelling::EncodedId, encoded(&hidden.id), encoded(NO_ID)));
    }
    forms
}

/// What is asked beside the path: a query and a body that the engine would accept.
fn rest(operation: Operation, name: &str, own: &str) -> (String, String) {
    let query = match operation {
        Operation::ContainerRename => "?name=renamed-by-the-matrix",
        Operation::ContainerArchiveStat
        | Operation::ContainerArchiveGet
        | Operation::ContainerArchivePut => "?path=/tmp",
        Operation::ContainerAttach => "?stream=1&stdout=1",
        Operation::ContainerStats => "?stream=0",
        Operation::ContainerLogs => "?stdout=1",
        Operation::ContainerResize | Operation::ExecResize => "?h=20&w=20",
        Operation::ContainerKill => "?signal=0",
        Operation::ImageCommit => {
            return (format!("?container={name}&repo=of-nobody"), String::new());
        }
        _ => "",
    };
    let body = match operation {
        Operation::ExecCreate => r#"{"Cmd":["true"],"AttachStdout":true}"#.to_owned(),
        Operation::ExecStart => r#"{"Detach":false}"#.to_owned(),
        Operation::ContainerUpdate => r#"{"CpuShares":512}"#.to_owned(),
        Operation::NetworkConnect | Operation::NetworkDisconnect => {
            format!(r#"{{"Container":"{own}"}}"#)
        }
        _ => String::new(),
    };
    (query.to_owned(), body)
}

/// An answer without what differs between any two: the date, and the name that was asked for.
pub(super) fn asked(
    side: &Side<'_>,
    method: &str,
    target: &str,
    body: &str,
    name: &str,
) -> ScenarioResult<String> {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut wire = side.wire()?;
    wire.send(request.as_bytes())?;
    let (head, body) = match method {
        "HEAD" => (wire.head()?, Vec::new()),
        _ => wire.answer()?,
    };
    let differs = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("date:")
            && !line.starts_with("content-length:")
            && !line.starts_with("x-request-id:")
    };
    let lines: Vec<_> = head.text.lines().filter(differs).collect();
    let text = format!("{}\n{}", lines.join("\n"), String::from_utf8_lossy(&body));
    let plain = decoded(name);
    if name.is_empty() {
        return Ok(text);
    }
    Ok(text.replace(name, "NAME").replace(&plain, "NAME"))
}

fn decoded(name: &str) -> String {
    let bytes = docker_api::query::unescape(name, docker_api::query::Plus::Kept);
    bytes
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The kind of object that an operation names in its path, and where it does so.
pub(super) fn named(operation: Operation) -> Option<(ObjectKind, bool)> {
    match ScopeAction::of(operation) {
        ScopeAction::Object(kind) | ScopeAction::Remove(kind) => Some((kind, false)),
        ScopeAction::Rename | ScopeAction::Commit => Some((ObjectKind::Container, false)),
        ScopeAction::Joined => Some((ObjectKind::Network, false)),
        ScopeAction::Exec => Some((ObjectKind::Container, true)),
        _ => None,
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn matrix(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "[role.own.shared]\nnetworks = [\"none\"]")?;
    let own = objects(&owners.alice, &owners.alice.prefix)?;
    let anothers = objects(&owners.bob, &owners.bob.prefix)?;
    let nobodys = objects(&owners.direct, &format!("{}-nobody", owners.direct.prefix))?;
    let mut wrong = Vec::new();
    let mut asked_of = 0;
    for operation in Operation::ALL {
        let Some((kind, exec)) = named(*operation) else {
            continue;
        };
        for (whose, objects) in [("another's", &anothers), ("nobody's", &nobodys)] {
            let hidden = match (exec, kind) {
                (true, _) => &objects.exec,
                (_, ObjectKind::Container) => &objects.container,
                (_, ObjectKind::Network) => &objects.network,
                (_, ObjectKind::Volume) => &objects.volume,
            };
            for (_, theirs, missing) in spellings(hidden, kind) {
                for version in ["", "/v1.45", "/v1.24"] {
                    let ask = |name: &str| {
                        let path = operation
                            .template()
                            .replace("{name}", name)
                            .replace("{id}", name);
                        let (query, body) = rest(*operation, name, &own.container.id);
                        let target = format!("{version}{path}{query}");
                        asked(&owners.alice, operation.method(), &target, &body, name)
                    };
                    let (theirs_said, missing_said) = (ask(&theirs)?, ask(&missing)?);
                    asked_of += 1;
                    if theirs_said != missing_said {
                        wrong.push(format!(
                            "{operation} {version} {whose} {theirs}:\n{theirs_said}\nmissing {missing}:\n{missing_said}"
                        ));
                    }
                }
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n---\n")
    );
    ensure!(asked_of > 1000, "only {asked_of} were asked");
    // Nothing has happened to what was asked about, and the owner itself reaches it.
    for (side, objects) in [
        (&owners.bob, &anothers),
        (&owners.alice, &own),
        (&owners.direct, &nobodys),
    ] {
        let text = expect(
            side,
            "GET",
            &format!("/containers/{}/json", &objects.container.id[..12]),
            "",
            200,
        )?;
        ensure!(
            member(&text, "/State/Status") == "running"
                && member(&text, "/Name") == format!("/{}", objects.container.name),
            "the container is as it was: {text}"
        );
        expect(
            side,
            "GET",
            &format!("/exec/{}/json", objects.exec.id),
            "",
            200,
        )?;
        expect(
            side,
            "GET",
            &format!("/networks/{}", &objects.network.id[..12]),
            "",
            200,
        )?;
        expect(
            side,
            "GET",
            &format!("/volumes/{}", objects.volume.name),
            "",
            200,
        )?;
    }
    owners.finish()
}

fn refused(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "")?;
    for operation in Operation::ALL {
        if ScopeAction::of(*operation) != ScopeAction::Refused {
            continue;
        }
        let path = operation.template();
        let path = path
            .replace("{name}", "x")
            .replace("{id}", "x")
            .replace("{checkpoint}", "x")
            .replace("{grpc.Service}", "grpc.Service")
            .replace("{Method}", "Method");
        let text = asked(&owners.alice, operation.method(), &path, "", "")?;
        ensure!(
            text.contains(" 403 ")
                && (text.contains("role own: scope: ")
                    || text.contains("role own: operation: the method and path are no operation")),
            "{operation}: {text}"
        );
    }
    owners.finish()
}
