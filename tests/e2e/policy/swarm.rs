//! Services under the limits of containers, on an engine of its own that is a swarm of one (known-escapes, class 22).

use std::fs;

use crate::support::client::Side;
use crate::support::engine::RealEngine;
use crate::support::gate::Gate;
use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

use super::{TEAM, json, path, refused, send};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new(
        "policy_swarm__a_service_is_held_to_the_limits_of_a_container",
        services,
    )]
}

const POLICY: &str = r#"
version = 1
[[client]]
match = { cn = "e2e ecdsa" }
role = "team"
[role.team]
base = "deployer"
allow = ["service.*"]
[role.team.limits]
binds = ["/srv/team/**"]
"#;

/// What is beside the image in a ContainerSpec, and behind it in the TaskTemplate; this engine takes all of them (201).
const WAYS: &[(&str, &str, &str)] = &[
    (
        r#""Mounts":[{"Type":"bind","Source":"/etc","Target":"/x"}]"#,
        "",
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/etc"}}}}]"#,
        "",
        "binds",
    ),
    (r#""CapabilityAdd":["CAP_SYS_ADMIN"]"#, "", "capabilities"),
    (
        r#""Privileges":{"Seccomp":{"Mode":"unconfined"}}"#,
        "",
        "security_opts",
    ),
    (r#""Sysctls":{"net.ipv4.ip_forward":"1"}"#, "", "sysctls"),
    (r#""Groups":["docker"]"#, "", "groups"),
    (
        r#""User":"0""#,
        r#","LogDriver":{"Name":"syslog","Options":{"syslog-address":"unix:///dev/log"}}"#,
        "log_drivers",
    ),
    (
        r#""User":"0""#,
        r#","Networks":[{"Target":"host"}]"#,
        "host_namespaces",
    ),
];

fn spec(name: &str, container: &str, task: &str) -> String {
    format!(
        r#"{{"Name":"{name}","TaskTemplate":{{"ContainerSpec":{{"Image":"busybox",{container}}}{task}}},"Mode":{{"Replicated":{{"Replicas":0}}}}}}"#
    )
}

fn services(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    suite.tools.get("DOCKERD")?;
    let directory = suite.scratch(name)?;
    let engine = RealEngine::start(&suite.tools, &directory.join("engine"))?;
    let verdict = in_swarm(suite, name, &directory, &engine);
    engine.stop();
    verdict
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn in_swarm(
    suite: &Suite,
    name: &str,
    directory: &std::path::Path,
    engine: &RealEngine,
) -> ScenarioResult {
    let policy = directory.join("policy.toml");
    fs::write(&policy, POLICY).context("write the policy")?;
    let gate = Gate::start(&suite.pki, &engine.socket, &["--policy", &*path(&policy)?])?;
    let direct = Side::direct(suite, name, &engine.socket)?;
    let team = Side::gate(suite, name, gate.addr)?.with_certificate(TEAM);
    let init = r#"{"ListenAddr":"127.0.0.1:0","AdvertiseAddr":"127.0.0.1"}"#;
    let answer = send(&direct, &json("POST", "/v1.45/swarm/init", init))?;
    ensure!(answer.0 == 200, "swarm init: {} {}", answer.0, answer.1);
    // The swarm itself is nobody's but an admin's.
    refused(
        &send(&team, &json("GET", "/v1.45/swarm", ""))?,
        403,
        (TEAM, "team"),
        "operation",
    )?;
    let plain = r#""User":"1000","Mounts":[{"Type":"bind","Source":"/srv/team/a","Target":"/x"}]"#;
    let answer = send(
        &team,
        &json("POST", "/v1.45/services/create", &spec("plain", plain, "")),
    )?;
    ensure!(
        answer.0 == 201,
        "the plain service: {} {}",
        answer.0,
        answer.1
    );
    let version = |side: &Side<'_>| -> ScenarioResult<u64> {
        let (_, inspected) = send(side, &json("GET", "/v1.45/services/plain", ""))?;
        let inspected: serde_json::Value =
            serde_json::from_str(&inspected).context("read the service")?;
        inspected["Version"]["Index"]
            .as_u64()
            .ok_or_else(|| format!("no version in {inspected}"))
    };
    let mut wrong = Vec::new();
    for (n, (container, task, rule)) in WAYS.iter().enumerate() {
        let body = spec(&format!("way{n}"), container, task);
        let create = json("POST", "/v1.45/services/create", &body);
        let engines = send(&direct, &create)?;
        if engines.0 != 201 {
            wrong.push(format!(
                "{body}: the engine answers {} {}",
                engines.0, engines.1
            ));
        }
        if let Err(why) = refused(&send(&team, &create)?, 403, (TEAM, "team"), rule) {
            wrong.push(format!("{body}: {why}"));
        }
        // The same as an update of the plain service, refused by the gate before the engine sees it.
        let target = format!("/v1.45/services/plain/update?version={}", version(&team)?);
        let update = json("POST", &target, &spec("plain", container, task));
        if let Err(why) = refused(&send(&team, &update)?, 403, (TEAM, "team"), rule) {
            wrong.push(format!("update {body}: {why}"));
        }
    }
    let target = format!("/v1.45/services/plain/update?version={}", version(&team)?);
    let answer = send(
        &team,
        &json("POST", &target, &spec("plain", r#""User":"1001""#, "")),
    )?;
    if answer.0 != 200 {
        wrong.push(format!("the plain update: {} {}", answer.0, answer.1));
    }
    let rollback = format!(
        "/v1.45/services/plain/update?version={}&rollback=previous",
        version(&team)?
    );
    refused(
        &send(
            &team,
            &json("POST", &rollback, &spec("plain", r#""User":"1""#, "")),
        )?,
        403,
        (TEAM, "team"),
        "services",
    )?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    gate.check_alive()?;
    gate.check_log()
}
