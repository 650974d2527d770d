//! Every operation of the table on an owner's own objects, in every spelling: each row has an expectation.

use docker_api::Operation;
use policy::scope::ObjectKind;

use super::matrix::{Hidden, Spelling, asked, named, spellings};
use super::{Owners, expect, member};
use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new(
        "policy_scope_own__every_operation_in_every_spelling",
        own,
    )]
}

/// What comes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The object is reached: this status.
    Reached(u16),
    /// The spelling means nothing: the answer is that for a missing object.
    Missing,
}

/// The expectation of a row; `None` is a hole in this table.
fn expected(operation: Operation, spelling: Spelling, is_exec: bool) -> Option<Expected> {
    let is_found = match spelling {
        Spelling::Name | Spelling::EncodedName | Spelling::Id | Spelling::EncodedId => true,
        // The engine knows exec instances by their full ids alone.
        Spelling::Digits(_) => !is_exec,
        Spelling::UpperName | Spelling::UpperId => false,
    };
    let status = status(operation)?;
    Some(match is_found {
        true => Expected::Reached(status),
        false => Expected::Missing,
    })
}

/// What the engine answers where the object is in the state that [`before`] brings it to.
fn status(operation: Operation) -> Option<u16> {
    use Operation as Op;
    Some(match operation {
        Op::ContainerInspect
        | Op::ContainerTop
        | Op::ContainerLogs
        | Op::ContainerChanges
        | Op::ContainerExport
        | Op::ContainerStats
        | Op::ContainerResize
        | Op::ContainerUpdate
        | Op::ContainerAttach
        | Op::ContainerWait
        | Op::ContainerArchiveStat
        | Op::ContainerArchiveGet
        | Op::ContainerArchivePut
        | Op::ExecStart
        | Op::ExecResize
        | Op::ExecInspect
        | Op::NetworkInspect
        | Op::NetworkConnect
        | Op::NetworkDisconnect
        | Op::VolumeInspect => 200,
        Op::ExecCreate | Op::ImageCommit => 201,
        Op::ContainerStop
        | Op::ContainerRestart
        | Op::ContainerKill
        | Op::ContainerPause
        | Op::ContainerUnpause
        | Op::ContainerRename
        | Op::ContainerDelete
        | Op::NetworkDelete
        | Op::VolumeDelete => 204,
        Op::ContainerStart => 304,
        // A request without the words of a websocket.
        Op::ContainerAttachWs => 400,
        _ => return None,
    })
}

/// The objects of the owner that rows are about.
struct Things<'t> {
    side: &'t Side<'t>,
    /// A container that runs.
    running: Hidden,
    /// One that does not.
    still: Hidden,
    /// One that may be connected.
    joined: Hidden,
    network: Hidden,
    volume: Hidden,
    /// A command that runs in a terminal.
    shell: Hidden,
    /// One that has not been started.
    command: Hidden,
}

fn container(side: &Side<'_>, name: &str, network: &str, command: &str) -> ScenarioResult<Hidden> {
    let body = format!(
        r#"{{"Image":"dockgate-e2e-busybox","Tty":true,"Cmd":["sleep","{command}"],"HostConfig":{{"NetworkMode":"{network}"}}}}"#
    );
    let target = format!("/v1.45/containers/create?name={name}");
    let id = member(&expect(side, "POST", &target, &body, 201)?, "/Id");
    Ok(Hidden {
        name: name.to_owned(),
        id,
    })
}

fn network(side: &Side<'_>, name: &str) -> ScenarioResult<Hidden> {
    let body = format!(r#"{{"Name":"{name}"}}"#);
    let text = expect(side, "POST", "/v1.45/networks/create", &body, 201)?;
    Ok(Hidden {
        name: name.to_owned(),
        id: member(&text, "/Id"),
    })
}

fn volume(side: &Side<'_>, name: &str) -> ScenarioResult<Hidden> {
    let body = format!(r#"{{"Name":"{name}"}}"#);
    expect(side, "POST", "/v1.45/volumes/create", &body, 201)?;
    Ok(Hidden {
        name: name.to_owned(),
        id: name.to_owned(),
    })
}

fn exec(side: &Side<'_>, container: &Hidden, command: &str) -> ScenarioResult<Hidden> {
    let target = format!("/v1.45/containers/{}/exec", container.id);
    let body = format!(r#"{{"Tty":true,"AttachStdout":true,"Cmd":{command}}}"#);
    let id = member(&expect(side, "POST", &target, &body, 201)?, "/Id");
    Ok(Hidden {
        name: id.clone(),
        id,
    })
}

/// A command that runs in a terminal.
fn shell(side: &Side<'_>, container: &Hidden) -> ScenarioResult<Hidden> {
    let shell = exec(side, container, r#"["sleep","1000"]"#)?;
    let start = format!("/exec/{}/start", shell.id);
    expect(side, "POST", &start, r#"{"Detach":true,"Tty":true}"#, 200)?;
    Ok(shell)
}

impl<'t> Things<'t> {
    fn new(side: &'t Side<'t>) -> ScenarioResult<Self> {
        let name = &side.prefix;
        let home = network(side, &format!("{name}-home"))?;
        let running = container(side, name, "none", "1000")?;
        let start = format!("/containers/{}/start", running.id);
        expect(side, "POST", &start, "", 204)?;
        Ok(Self {
            still: container(side, &format!("{name}-still"), "none", "1000")?,
            joined: container(side, &format!("{name}-joined"), &home.id, "1000")?,
            network: network(side, &format!("{name}-net"))?,
            volume: volume(side, &format!("{name}-volume"))?,
            command: exec(side, &running, r#"["true"]"#)?,
            shell: shell(side, &running)?,
            running,
            side,
        })
    }

    fn act(&self, action: &str) -> ScenarioResult {
        let target = format!("/containers/{}/{action}", self.running.id);
        expect(self.side, "POST", &target, "", 204).map(|_| ())
    }

    fn connection(&self, action: &str) -> ScenarioResult {
        let target = format!("/networks/{}/{action}", self.network.id);
        let body = format!(r#"{{"Container":"{}"}}"#, self.joined.id);
        expect(self.side, "POST", &target, &body, 200).map(|_| ())
    }

    /// The object of a row, in the state in which the operation does what [`status`] says.
    fn before(&mut self, operation: Operation, row: usize) -> ScenarioResult<&Hidden> {
        let fresh = format!("{}-r{row}", self.side.prefix);
        Ok(match operation {
            Operation::ContainerDelete => {
                self.still = container(self.side, &fresh, "none", "1000")?;
                &self.still
            }
            Operation::VolumeDelete => {
                self.volume = volume(self.side, &fresh)?;
                &self.volume
            }
            Operation::ExecStart => {
                self.command = exec(self.side, &self.running, r#"["true"]"#)?;
                &self.command
            }
            // Stopping the container has ended the one before.
            Operation::ExecInspect | Operation::ExecResize => {
                self.shell = shell(self.side, &self.running)?;
                &self.shell
            }
            Operation::ContainerUnpause => {
                self.act("pause")?;
                &self.running
            }
            // A running one would be waited for.
            Operation::ContainerStats | Operation::ContainerWait => &self.still,
            Operation::NetworkDisconnect => {
                self.connection("connect")?;
                &self.network
            }
            operation => match named(operation) {
                Some((ObjectKind::Network, _)) => &self.network,
                Some((ObjectKind::Volume, _)) => &self.volume,
                _ => &self.running,
            },
        })
    }

    /// Takes back what the operation has done, or what `before` did for an operation that did nothing.
    fn after(&mut self, operation: Operation, is_reached: bool) -> ScenarioResult {
        match (operation, is_reached) {
            // The engine has addresses for some thirty networks.
            (Operation::NetworkDelete, true) => {
                self.network = network(self.side, &self.network.name)?;
                Ok(())
            }
            (Operation::ContainerStop, true) => self.act("start"),
            (Operation::ContainerPause, true) | (Operation::ContainerUnpause, false) => {
                self.act("unpause")
            }
            (Operation::ContainerRename, true) => {
                self.act(&format!("rename?name={}", self.running.name))
            }
            (Operation::NetworkConnect, true) | (Operation::NetworkDisconnect, false) => {
                self.connection("disconnect")
            }
            _ => Ok(()),
        }
    }

    /// The query and the body of a row.
    fn rest(&self, operation: Operation, name: &str) -> (String, String) {
        let prefix = &self.side.prefix;
        let query = match operation {
            Operation::ContainerRename => format!("?name={prefix}-renamed"),
            Operation::ContainerArchiveStat
            | Operation::ContainerArchiveGet
            | Operation::ContainerArchivePut => "?path=/tmp".into(),
            Operation::ContainerAttach => "?logs=1&stdout=1".into(),
            Operation::ContainerLogs => "?stdout=1".into(),
            Operation::ContainerStats => "?stream=0".into(),
            Operation::ContainerResize | Operation::ExecResize => "?h=20&w=20".into(),
            Operation::ContainerKill => "?signal=CONT".into(),
            Operation::ContainerStop | Operation::ContainerRestart => "?t=0".into(),
            Operation::ImageCommit => format!("?container={name}&repo={prefix}-commit&pause=0"),
            _ => String::new(),
        };
        let body = match operation {
            Operation::ExecCreate => r#"{"Cmd":["true"],"AttachStdout":true}"#.to_owned(),
            Operation::ExecStart => r#"{"Detach":false,"Tty":true}"#.to_owned(),
            Operation::ContainerUpdate => r#"{"CpuShares":512}"#.to_owned(),
            Operation::NetworkConnect | Operation::NetworkDisconnect => {
                format!(r#"{{"Container":"{}"}}"#, self.joined.id)
            }
            _ => String::new(),
        };
        (query, body)
    }
}

/// Asks one row; what is wrong with its answer.
fn row(
    things: &mut Things<'_>,
    operation: Operation,
    (at, row): (usize, usize),
    version: &str,
) -> ScenarioResult<Option<String>> {
    let Some((kind, is_exec)) = named(operation) else {
        return Err(format!("{operation} names nothing"));
    };
    let thing = things.before(operation, row)?;
    let (spelling, own, missing) = spellings(thing, kind).swap_remove(at);
    let Some(expected) = expected(operation, spelling, is_exec) else {
        return Ok(Some(format!("{operation}: no expectation")));
    };
    let ask = |name: &str| {
        let path = operation.template();
        let path = path.replace("{name}", name).replace("{id}", name);
        let (query, body) = things.rest(operation, name);
        let target = format!("{version}{path}{query}");
        asked(things.side, operation.method(), &target, &body, name)
    };
    let said = ask(&own)?;
    let is_right = match expected {
        Expected::Reached(status) => said.split(' ').nth(1) == Some(&status.to_string()),
        Expected::Missing => said == ask(&missing)?,
    };
    let is_reached = matches!(expected, Expected::Reached(_)) && is_right;
    things.after(operation, is_reached)?;
    let said: String = said.chars().take(600).collect();
    let wrong =
        format!("{operation} {version} {spelling:?} {own}: expected {expected:?}, got {said}");
    Ok((!is_right).then_some(wrong))
}

fn own(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "[role.own.shared]\nnetworks = [\"none\"]")?;
    let side = &owners.alice;
    let mut things = Things::new(side)?;
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for operation in Operation::ALL {
        let Some((kind, _)) = named(*operation) else {
            continue;
        };
        let count = spellings(things.before(*operation, rows)?, kind).len();
        things.after(*operation, false)?;
        for at in 0..count {
            for version in ["", "/v1.45", "/v1.24"] {
                rows += 1;
                wrong.extend(row(&mut things, *operation, (at, rows), version)?);
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {rows} rows:\n{}",
        wrong.len(),
        wrong.join("\n---\n")
    );
    ensure!(rows > 500, "only {rows} rows");
    side.ok("docker rm -fv $(docker ps -aq) >/dev/null; docker rmi -f $N-commit >/dev/null; docker volume prune -af >/dev/null; docker network prune -f >/dev/null")?;
    owners.finish()
}
