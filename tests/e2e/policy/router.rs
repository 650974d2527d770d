//! Does the classifier route as the engine does? A real engine says, in the traces it sends, which of its router's patterns
//! each request matched.

use std::collections::HashMap;
use std::time::Duration;

use docker_api::{Operation, classify};

use crate::support::engine::RealEngine;
use crate::support::suite::{Case, Suite};
use crate::support::traces::Collector;
use crate::support::wire::{lossy, unix};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new(
        "policy_router__classification_never_disagrees_with_the_engines_router",
        agree,
    )]
}

/// How long the engine may think about one request; those that take longer are not compared.
const PATIENCE: Duration = Duration::from_secs(3);

/// So many of them there may not be.
const SKIPPED: usize = 20;

/// Random paths beside those made from the table.
const RANDOM: usize = 1500;

/// Routes that came with Engine 29 (API 1.55), which older ones need not know.
const NEWER: &[Operation] = &[Operation::ImageAttestations];

/// Names in all the spellings that have fooled some proxy; bytes that are not UTF-8 would lose the engine's whole batch of traces.
const NAMES: &[&str] = &[
    "ZZ9",
    "a/b",
    "a%2Fb",
    "%61",
    "%2e",
    "%252e",
    "json",
    "a/json",
    "create",
    "a/checkpoints/b",
    "ZZ9:1.0@x",
    "a%00b",
    "a%0ab",
    "caf%C3%A9",
    "",
    "a//b",
    "..",
    "%2e%2e",
    "a/.",
    "a+b",
    "a;b",
    "v1.45",
];

/// Version prefixes, good and odd.
const VERSIONS: &[&str] = &[
    "",
    "/v1.45",
    "/v1.45.",
    "/v01.045",
    "/v1.45.0",
    "/V1.45",
    "/v%31.45",
    "/v1.45/v1.45",
    "/v",
];

const SEGMENTS: &[&str] = &[
    "containers",
    "images",
    "networks",
    "volumes",
    "plugins",
    "services",
    "tasks",
    "nodes",
    "secrets",
    "configs",
    "swarm",
    "exec",
    "build",
    "session",
    "grpc",
    "distribution",
    "system",
    "commit",
    "events",
    "info",
    "version",
    "_ping",
    "json",
    "create",
    "prune",
    "start",
    "stop",
    "exec",
    "archive",
    "attach",
    "ws",
    "logs",
    "top",
    "update",
    "ZZ9",
    "a",
    "b%2Fc",
    "%6ason",
    "checkpoints",
    "push",
    "tag",
    "get",
    "load",
    "search",
    "connect",
    "enable",
    "set",
    "df",
    "unlockkey",
    "init",
    "v1.45",
    "",
    ".",
    "..",
    "%2e%2e",
    "a:1",
];

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "TRACE",
];

/// The pattern of a route with every name in braces made one.
fn shape(route: &str) -> String {
    let mut shape = String::new();
    let mut inside = false;
    for c in route.chars() {
        match c {
            '{' => {
                inside = true;
                shape.push_str("{}");
            }
            '}' => inside = false,
            _ if inside => {}
            _ => shape.push(c),
        }
    }
    shape
}

/// What asks a registry on the network, takes long by design, or is not in the router that is traced.
fn left_out(operation: Operation, name: Option<&str>) -> bool {
    match operation {
        Operation::SystemAuth | Operation::ImageSearch | Operation::ImagePull => true,
        // An upper-case repository is no reference, and answered at once.
        Operation::DistributionInspect => name.is_none_or(|name| !name.starts_with("ZZ9")),
        // A router of its own, with patterns of its own.
        _ => operation.resource() == "debug",
    }
}

/// Whether a path is one of the debug routes behind a version.
fn debug_with_version(path: &str) -> bool {
    path.strip_prefix("/v")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, rest)| rest.starts_with("debug/"))
}

fn requests() -> Vec<(String, String)> {
    let mut requests = Vec::new();
    for operation in Operation::ALL {
        let template = operation.template();
        let names = if template.contains('{') {
            NAMES
        } else {
            &NAMES[..1]
        };
        for name in names {
            let path = template
                .replace("{name}", name)
                .replace("{id}", name)
                .replace("{checkpoint}", "b")
                .replace("{anyroute}", name);
            if path.contains('{') {
                continue;
            }
            requests.push((operation.method().into(), format!("/v1.45{path}")));
            requests.push((operation.method().into(), path));
        }
        let path = template
            .replace("{name}", "ZZ9")
            .replace("{id}", "ZZ9")
            .replace("{checkpoint}", "b");
        if path.contains('{') {
            continue;
        }
        for version in VERSIONS {
            requests.push((operation.method().into(), format!("{version}{path}")));
        }
        for method in METHODS {
            requests.push(((*method).into(), path.clone()));
        }
        let first = path.as_bytes()[1];
        let escaped = path.replacen(char::from(first), &format!("%{first:02x}"), 1);
        let slash = path.replacen('/', "%2F", 2).replacen("%2F", "/", 1);
        for path in [format!("{path}/"), format!("/{path}"), escaped, slash] {
            requests.push((operation.method().into(), path));
        }
    }
    let mut state = 0x2376_u64;
    let mut below = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or_default() % bound
    };
    for _ in 0..RANDOM {
        let path: String = (0..=below(5))
            .map(|_| format!("/{}", SEGMENTS[below(SEGMENTS.len())]))
            .collect();
        requests.push((METHODS[below(METHODS.len())].into(), path));
    }
    requests.sort();
    requests.dedup();
    requests
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn agree(suite: &Suite, name: &str) -> ScenarioResult {
    suite.tools.get("DOCKERD")?;
    let collector = Collector::start()?;
    let directory = suite.scratch(name)?.join("engine");
    let engine = RealEngine::start_with(&suite.tools, &directory, collector.environment())?;
    let mut asked = Vec::new();
    for (method, path) in requests() {
        // What has two readings is refused before any of this.
        let Ok(classified) = classify(&method, &path) else {
            continue;
        };
        // Engines up to 28 serve these for any method; the table knows the method that is meant, and no role has them.
        if path.starts_with("/debug/") || left_out(classified.operation, classified.name()) {
            continue;
        }
        let agent = format!("asked-{}", asked.len());
        // An end for the streams.
        let request = format!(
            "{method} {path}?until=1&stream=0 HTTP/1.1\r\nHost: docker\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let mut wire = unix(&engine.socket, PATIENCE)?;
        wire.send(request.as_bytes())?;
        let answer = wire.read_to_end().map(|bytes| lossy(&bytes));
        asked.push((method, path, agent, answer));
    }
    let mut wire = unix(&engine.socket, PATIENCE)?;
    wire.send(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nUser-Agent: the-last\r\n\r\n")?;
    wire.answer()?;
    let spans = collector.wait_for("the-last", Duration::from_secs(30))?;
    engine.stop();
    let routes: HashMap<_, _> = spans
        .into_iter()
        .map(|span| (span.agent, shape(&span.route)))
        .collect();
    let (mut routed, mut skipped, mut wrong) = (0, Vec::new(), Vec::new());
    for (method, path, agent, answer) in &asked {
        let Ok(answer) = answer else {
            skipped.push(format!("{method} {path}"));
            continue;
        };
        let Ok(classified) = classify(method, path) else {
            continue;
        };
        let operation = classified.operation;
        let ours = (operation != Operation::Unknown)
            .then(|| shape(&format!("{} {}", operation.method(), operation.template())));
        let theirs = routes.get(agent);
        // Engines from 28 on serve these with a version too; to the gate they are no operation, so no role has them.
        if engine.major() >= 28 && ours.is_none() && debug_with_version(path) {
            continue;
        }
        routed += usize::from(theirs.is_some());
        if ours.as_ref() != theirs && !(theirs.is_none() && NEWER.contains(&operation)) {
            let first = answer.lines().next().unwrap_or_default();
            wrong.push(format!(
                "{method} {path}: here {ours:?}, the engine {theirs:?} ({first})"
            ));
        }
        // The name, where the engine says it back.
        if let Some((_, rest)) = answer.split_once("No such container: ")
            && let (Some(said), Some(name)) = (rest.split(['"', '\r']).next(), classified.name())
            && !said.contains('\\')
            && said != name
        {
            wrong.push(format!(
                "{method} {path}: here the name is {name:?}, the engine says {said:?}"
            ));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        asked.len(),
        wrong.join("\n")
    );
    ensure!(
        skipped.len() < SKIPPED,
        "{} requests were not answered:\n{}",
        skipped.len(),
        skipped.join("\n")
    );
    let compared = asked.len() - skipped.len();
    ensure!(
        routed > 1000 && compared - routed > 1000,
        "{routed} of {compared} were routed: the requests say too little"
    );
    Ok(())
}
