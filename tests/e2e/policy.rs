//! Roles against a real engine: whatever would give the host away, and which the engine itself would answer with 2xx, is
//! refused with a sentence, and the ordinary request beside it goes through (docs/known-escapes.md).

mod audit;
mod bodies;
mod builds;
mod clients;
mod fields;
mod live;
mod names;
mod protected;
mod readings;
mod requests;
mod router;
mod scope;
mod swarm;

use std::fs;
use std::path::PathBuf;

use super::support::client::Side;
use super::support::gate::Gate;
use super::support::suite::{Case, Suite};
use super::support::wire::{RawWire, lossy};
use super::support::{OrSay, ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    [
        fields::cases(),
        bodies::cases(),
        builds::cases(),
        readings::cases(),
        router::cases(),
        swarm::cases(),
        requests::cases(),
        clients::cases(),
        audit::cases(),
        live::cases(),
        names::cases(),
        protected::cases(),
        scope::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The certificate in the role `team`: the built-in `ci` with one directory and one repository of its own.
const TEAM: &str = "ecdsa";
/// `read-only`.
const VIEWER: &str = "p384";
/// `admin`.
const ADMIN: &str = "rsa2048";
/// `ci` in report mode.
const REPORTER: &str = "ed25519";
/// `builder` with the opaque grant.
const FACTORY: &str = "rsa4096";
/// Signed by an intermediate of the same CA, and named by no entry.
const NOBODY: &str = "chain";

/// A body of `POST /containers/create` that asks for nothing.
const PLAIN: &str =
    r#"{"Image":"dockgate-e2e-busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}}"#;
/// The same, but for one field.
const PRIVILEGED: &str = r#"{"Image":"dockgate-e2e-busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none","Privileged":true}}"#;

/// A gate with a policy, and the files it uses.
struct Roles<'a> {
    suite: &'a Suite,
    name: &'a str,
    gate: Gate,
    /// A directory that `team` may bind.
    shared: PathBuf,
    policy: PathBuf,
    audit: PathBuf,
}

impl<'a> Roles<'a> {
    fn start(suite: &'a Suite, name: &'a str, extra: &[&str]) -> ScenarioResult<Self> {
        Self::start_at(suite, name, extra, &suite.engine.socket)
    }

    /// The same, in front of another socket of the engine.
    fn start_at(
        suite: &'a Suite,
        name: &'a str,
        extra: &[&str],
        socket: &std::path::Path,
    ) -> ScenarioResult<Self> {
        suite.gate()?;
        let directory = suite.scratch(&format!("{name}-roles"))?;
        // Not below the policy, which is out of reach.
        let shared = suite.scratch(&format!("{name}-shared"))?.join("shared");
        fs::create_dir_all(&shared).context("make the shared directory")?;
        let (policy, audit) = (directory.join("policy.toml"), directory.join("audit.jsonl"));
        fs::write(
            &policy,
            text(&shared, &format!("{}-{name}-g", suite.prefix)),
        )
        .context("write the policy")?;
        let (policy_text, audit_text) = (path(&policy)?, path(&audit)?);
        let mut arguments = vec!["--policy", &*policy_text];
        if !extra.contains(&"--audit") {
            arguments.extend(["--audit", &*audit_text]);
        }
        arguments.extend(extra);
        let gate = Gate::start(&suite.pki, socket, &arguments)?;
        Ok(Self {
            suite,
            name,
            gate,
            shared,
            policy,
            audit,
        })
    }

    /// Clients with that certificate, through the gate.
    fn side(&self, certificate: &str) -> ScenarioResult<Side<'a>> {
        Ok(Side::gate(self.suite, self.name, self.gate.addr)?.with_certificate(certificate))
    }

    /// Clients on the engine's own socket, with the same names as those through the gate.
    fn direct(&self) -> ScenarioResult<Side<'a>> {
        let mut side = Side::direct(self.suite, self.name, &self.suite.engine.socket)?;
        side.prefix = self.side(TEAM)?.prefix;
        Ok(side)
    }

    fn finish(self) -> ScenarioResult {
        self.side(TEAM)?.clean();
        self.gate.check_alive()?;
        self.gate.check_log()
    }
}

/// The policy; `shared` is what `team` may bind, `repository` what it may tag.
fn text(shared: &std::path::Path, repository: &str) -> String {
    let limits = format!(
        "tags = [\"{repository}\"]\nvolumes = [\"{repository}*\"]\nbinds = [\"{}/**\"]\n",
        shared.display()
    );
    let client = |cn: &str, role: &str| {
        format!("[[client]]\nmatch = {{ cn = \"e2e {cn}\" }}\nrole = \"{role}\"\n")
    };
    format!(
        "version = 1\n{}{}{}{}{}
[role.team]\nbase = \"ci\"\n[role.team.limits]\n{limits}
[role.look]\nbase = \"ci\"\nmode = \"report\"\n[role.look.limits]\n{limits}
[role.factory]\nbase = \"builder\"\n[role.factory.limits]\ntags = [\"{repository}\"]\nbuildkit = true\n",
        client(TEAM, "team"),
        client(VIEWER, "read-only"),
        client(ADMIN, "admin"),
        client(REPORTER, "look"),
        client(FACTORY, "factory"),
    )
}

fn path(path: &std::path::Path) -> ScenarioResult<String> {
    path.to_str()
        .map(String::from)
        .ok_or_else(|| format!("{path:?} must be text"))
}

/// Sends one request as it is and reads its answer: status and body.
fn send(side: &Side<'_>, request: &str) -> ScenarioResult<(u16, String)> {
    send_bytes(side, request.as_bytes())
}

fn send_bytes(side: &Side<'_>, request: &[u8]) -> ScenarioResult<(u16, String)> {
    let mut wire: RawWire = side.wire()?;
    // A refusal may come, and the connection end, before all is written.
    let _ = wire.try_send(request);
    let (head, body) = wire.answer()?;
    Ok((head.status, lossy(&body)))
}

/// A JSON request.
fn json(method: &str, target: &str, body: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Creates a container from a whole body, under the scenario's own name, and removes it again.
fn create(side: &Side<'_>, body: &str) -> ScenarioResult<(u16, String)> {
    let target = format!("/v1.45/containers/create?name={}-made", side.prefix);
    let answer = send(side, &json("POST", &target, body))?;
    if answer.0 == 201 {
        remove(side, "made")?;
    }
    Ok(answer)
}

/// Removes the container `PREFIX-suffix` on the engine's own socket.
fn remove(side: &Side<'_>, suffix: &str) -> ScenarioResult {
    let direct = Side::direct(side.suite, "remove", &side.suite.engine.socket)?;
    let target = format!("/v1.45/containers/{}-{suffix}?force=1&v=1", side.prefix);
    let (status, text) = send(&direct, &json("DELETE", &target, ""))?;
    ensure!(
        status == 204,
        "cannot remove the container: {status} {text}"
    );
    Ok(())
}

/// The gate's own refusal of `team` (or the client named) by this rule.
fn refused(answer: &(u16, String), status: u16, who: (&str, &str), rule: &str) -> ScenarioResult {
    let (client, role) = who;
    let start =
        format!("{{\"message\":\"dockgate: denied: client e2e {client}, role {role}: {rule}: ");
    ensure!(
        answer.0 == status && answer.1.starts_with(&start),
        "expected {status} {start}…, got {} {}",
        answer.0,
        answer.1
    );
    Ok(())
}
