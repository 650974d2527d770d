//! One engine, two owners: each sees and touches only what it made, and what is another's answers like what is missing.

mod budget;
mod cost;
mod events;
mod images;
mod matrix;
mod own;
mod owners;
mod races;
mod tools;
mod volumes;

use std::fs;
use std::path::PathBuf;

use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

use super::{ADMIN, REPORTER, Roles, TEAM, VIEWER, json, live, path};

pub(crate) fn cases() -> Vec<Case> {
    [
        budget::cases(),
        cost::cases(),
        events::cases(),
        images::cases(),
        matrix::cases(),
        own::cases(),
        owners::cases(),
        races::cases(),
        tools::cases(),
        volumes::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The policy of two owners with one role, a client in a role with the same limits and no scope, and an admin.
fn policy(role: &str) -> String {
    let client = |cn: &str, role: &str| {
        format!("[[client]]\nmatch = {{ cn = \"e2e {cn}\" }}\nrole = \"{role}\"\n")
    };
    format!(
        "version = 1\n{}{}{}{}[role.own]\nscope = \"own\"\nallow = [\"*\"]\n{role}\n[role.own.limits]\n{LIMITS}[role.plain]\nallow = [\"*\"]\n[role.plain.limits]\n{LIMITS}",
        client(TEAM, "own"),
        client(VIEWER, "own"),
        client(REPORTER, "plain"),
        client(ADMIN, "admin"),
    )
}

const LIMITS: &str = "tags = [\"**\"]\nvolumes = [\"*\"]\n";

/// Two owners on one engine, and the engine itself.
struct Owners<'a> {
    roles: Roles<'a>,
    alice: Side<'a>,
    bob: Side<'a>,
    direct: Side<'a>,
    /// The gate's control socket.
    control: PathBuf,
}

impl<'a> Owners<'a> {
    /// `role` is what the role says beside its scope.
    fn start(suite: &'a Suite, name: &'a str, role: &str) -> ScenarioResult<Self> {
        Self::start_at(suite, name, role, &suite.engine.socket)
    }

    /// The same, with the gate in front of another socket of the engine.
    fn start_at(
        suite: &'a Suite,
        name: &'a str,
        role: &str,
        socket: &std::path::Path,
    ) -> ScenarioResult<Self> {
        let key = suite.scratch(&format!("{name}-key"))?.join("owner.key");
        let control = key.with_file_name("control.sock");
        let (key_text, control_text) = (path(&key)?, path(&control)?);
        let extra = [
            "--owner-key",
            &*key_text,
            "--control-socket",
            &*control_text,
        ];
        let roles = Roles::start_at(suite, name, &extra, socket)?;
        let mode =
            std::os::unix::fs::MetadataExt::mode(&fs::metadata(&key).context("see the key")?);
        ensure!(mode & 0o777 == 0o600, "the key has mode {mode:o}");
        live::reload(&roles, &policy(role), "\"Reloaded\"")?;
        let (mut alice, mut bob) = (roles.side(TEAM)?, roles.side(VIEWER)?);
        let direct = roles.direct()?;
        alice.prefix += "-a";
        bob.prefix += "-b";
        Ok(Self {
            roles,
            alice,
            bob,
            direct,
            control,
        })
    }

    /// What `dockgate` prints with these words, such as `ps --owners`.
    fn shown(&self, words: &[&str]) -> ScenarioResult<String> {
        // A budget is known while its owner is connected.
        let mut wires = Vec::new();
        for side in [&self.alice, &self.bob] {
            let mut wire = side.wire()?;
            wire.send(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")?;
            wire.answer()?;
            wires.push(wire);
        }
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_dockgate"))
            .args(words)
            .args(["--control-socket", &path(&self.control)?])
            .output()
            .context("start dockgate")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    fn finish(self) -> ScenarioResult {
        let script = "docker rm -fv $(docker ps -aq --filter name=$N) 2>/dev/null; docker volume rm $(docker volume ls -q --filter name=$N) 2>/dev/null; docker network rm $(docker network ls -q --filter name=$N) 2>/dev/null; true";
        self.direct.ok(script)?;
        self.roles.finish()
    }
}

/// Sends a request; status and the whole body.
fn answered(
    side: &Side<'_>,
    method: &str,
    target: &str,
    body: &str,
) -> ScenarioResult<(u16, String)> {
    let mut wire = side.wire()?;
    wire.send(json(method, target, body).as_bytes())?;
    let (head, body) = wire.answer()?;
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

/// Sends a request and expects this status.
fn expect(
    side: &Side<'_>,
    method: &str,
    target: &str,
    body: &str,
    status: u16,
) -> ScenarioResult<String> {
    let answer = answered(side, method, target, body)?;
    ensure!(
        answer.0 == status,
        "{method} {target} {body}: expected {status}, got {} {}",
        answer.0,
        answer.1
    );
    Ok(answer.1)
}

/// The text of a member of an answer.
fn member(text: &str, pointer: &str) -> String {
    let tree: serde_json::Value = match serde_json::from_str(text) {
        Ok(tree) => tree,
        Err(e) => return format!("no JSON: {e}"),
    };
    let found = tree.pointer(pointer);
    found
        .and_then(|value| {
            value
                .as_str()
                .map(str::to_owned)
                .or_else(|| Some(value.to_string()))
        })
        .unwrap_or_default()
}
