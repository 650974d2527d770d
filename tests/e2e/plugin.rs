//! An authorization plugin behind the gate: what it is asked, and what its word counts for.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::support::client::Side;
use super::support::gate::Gate;
use super::support::plugin::{ListeningPlugin, PluginAnswer, allow, decoded};
use super::support::suite::{Case, Suite};
use super::support::wire::lossy;
use super::support::{OrSay, ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    let case = Case::new;
    vec![
        case("plugin_word__counts_by_user_path_and_body", word),
        case("plugin_told__is_what_dockerd_would_tell", told),
        case("plugin_answers__can_be_kept_from_the_client", answers),
        case("plugin_absent__or_faulty_denies_everything", absent),
        case("plugin_policy__is_asked_before_the_plugin", policy),
        case(
            "plugin_report__a_body_the_policy_gave_up_on_stays_whole",
            report,
        ),
    ]
}

/// The test's own rules: by user and method, by path, by request body, by answer.
fn rules(method: &str, question: &Value) -> String {
    let text = |name: &str| question[name].as_str().unwrap_or_default();
    let deny = |message: &str| json!({ "Allow": false, "Msg": message }).to_string();
    if method == "AuthZPlugin.AuthZRes" {
        return if decoded(question, "ResponseBody").contains("not-for-you") {
            deny("this answer is not for you")
        } else if text("RequestUri").ends_with("/start")
            && text("RequestUri").contains("/exec/")
            && text("User") == "e2e rsa2048"
        {
            deny("no sessions")
        } else {
            allow(method, question)
        };
    }
    if text("User") == "e2e p384" && !matches!(text("RequestMethod"), "GET" | "HEAD") {
        return deny("e2e p384 may only read");
    }
    if decoded(question, "RequestBody").contains("\"Privileged\":true") {
        return deny("no privileged containers");
    }
    if text("RequestUri").contains("/volumes") {
        return json!({ "Allow": true, "Err": "the rules cannot be read" }).to_string();
    }
    allow(method, question)
}

fn start(
    suite: &Suite,
    name: &str,
    word: PluginAnswer,
    extra: &[&str],
) -> ScenarioResult<(ListeningPlugin, Gate)> {
    suite.gate()?;
    let socket = suite.scratch("plugins")?.join(format!("{name}.sock"));
    let plugin = ListeningPlugin::start(&socket, word)?;
    let gate = gate(suite, &socket, extra)?;
    Ok((plugin, gate))
}

fn gate(suite: &Suite, socket: &Path, extra: &[&str]) -> ScenarioResult<Gate> {
    let path = socket.to_str().ok_or("a socket's path must be text")?;
    let arguments: Vec<&str> = ["--authz-plugin", path]
        .into_iter()
        .chain(extra.iter().copied())
        .collect();
    Gate::start(&suite.pki, &suite.engine.socket, &arguments)
}

/// A command that must fail with the gate's words in it.
fn denied(side: &Side<'_>, script: &str, words: &str) -> ScenarioResult {
    let output = side.shell(script)?;
    ensure!(
        output.code != 0 && output.stderr.contains(words),
        "`{script}`: expected {words:?}, got exit {} {}",
        output.code,
        output.stderr
    );
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn word(suite: &Suite, name: &str) -> ScenarioResult {
    let (_plugin, gate) = start(suite, name, rules, &[])?;
    let side = Side::gate(suite, name, gate.addr)?;
    let reader = Side::gate(suite, name, gate.addr)?.with_certificate("p384");
    let prefix =
        format!("Error response from daemon: dockgate: authorization denied by plugin {name}: ");
    ensure!(
        side.ok("run --rm $IMAGE echo hello")? == "hello",
        "an allowed run must be as ever"
    );
    side.ok("sleeper; docker exec $N true; seq 5000 | docker exec -i $N wc -l; echo x >file; docker cp -q file $N:/file")?;
    denied(
        &side,
        "run --rm --privileged $IMAGE true",
        &format!("{prefix}no privileged containers"),
    )?;
    ensure!(
        reader.ok("docker ps -q --filter name=$N | wc -l")? == "1",
        "who may read must read"
    );
    denied(
        &reader,
        "docker rm -f $N",
        &format!("{prefix}e2e p384 may only read"),
    )?;
    denied(
        &side,
        "docker volume ls",
        &format!("{prefix}the rules cannot be read"),
    )?;
    // The body is judged in whatever framing it comes, and the connection goes on after a denial.
    let mut wire = side.wire()?;
    let body = "{\"Image\":\"dockgate-e2e-busybox\",\"HostConfig\":{\"Privileged\":true}}";
    wire.send(format!("POST /v1.45/containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes())?;
    let (head, text) = wire.answer()?;
    ensure!(
        head.status == 403 && lossy(&text).contains("no privileged containers"),
        "chunked: {} {}",
        head.text,
        lossy(&text)
    );
    wire.send(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")?;
    ensure!(
        wire.answer()?.0.status == 200,
        "the next request on the connection must be answered"
    );
    let large = format!(
        "POST /v1.45/containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        5 << 20,
        " ".repeat(5 << 20)
    );
    let mut wire = side.wire()?;
    let _ = wire.try_send(large.as_bytes());
    let (head, text) = wire.answer()?;
    ensure!(
        head.status == 403 && lossy(&text).contains("more than a plugin is shown"),
        "large: {} {}",
        head.text,
        lossy(&text)
    );
    // No warning: the plugin is well. The request's own line has the cause.
    gate.wait_for_log(Duration::from_secs(5), |line| {
        line.contains(r#""message":"Request""#)
            && line.contains(r#""error":"authorization denied by plugin"#)
            && line.contains("more than a plugin is shown")
    })?;
    side.clean();
    gate.check_log()
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn told(suite: &Suite, name: &str) -> ScenarioResult {
    let (plugin, gate) = start(suite, name, allow, &[])?;
    let side = Side::gate(suite, name, gate.addr)?;
    side.ok(
        "sleeper -e COLOUR=green; docker exec $N echo hello; docker logs $N; docker inspect $N",
    )?;
    let create = plugin.questions("AuthZPlugin.AuthZReq", "/containers/create?name=");
    let create = create
        .first()
        .ok_or("the plugin was not asked about the create")?;
    ensure!(
        create["User"] == "e2e ecdsa"
            && create["UserAuthNMethod"] == "TLS"
            && create["RequestMethod"] == "POST",
        "{create}"
    );
    ensure!(
        decoded(create, "RequestBody").contains("COLOUR=green"),
        "the body must be shown: {create}"
    );
    ensure!(
        create["RequestHeaders"]["Content-Type"] == "application/json",
        "{create}"
    );
    let pem = fs::read_to_string(suite.pki.client_folder("ecdsa").join("cert.pem"))
        .context("read the certificate")?;
    let shown = create["RequestPeerCertificates"][0]
        .as_str()
        .unwrap_or_default();
    let shown = String::from_utf8_lossy(
        &BASE64
            .decode(shown.as_bytes())
            .context("decode the certificate")?,
    )
    .into_owned();
    ensure!(
        shown.replace(['\r', '\n'], "") == pem.replace(['\r', '\n'], ""),
        "the certificate must be the client's: {shown}"
    );
    let answered = plugin.questions("AuthZPlugin.AuthZRes", "/containers/create?name=");
    let answered = answered
        .first()
        .ok_or("the plugin was not asked about the answer")?;
    ensure!(
        answered["ResponseStatusCode"] == 201
            && decoded(answered, "ResponseBody").contains("\"Id\":")
            && answered["User"] == "e2e ecdsa",
        "{answered}"
    );
    let inspected = plugin.questions("AuthZPlugin.AuthZRes", "/json");
    ensure!(
        inspected
            .iter()
            .any(|q| decoded(q, "ResponseBody").contains("COLOUR=green")),
        "an inspect's answer must be shown whole"
    );
    // Sessions and streams: status and fields, no body, before the first byte.
    let exec = plugin.questions("AuthZPlugin.AuthZRes", "/exec/");
    let exec = exec.iter().find(|q| {
        q["RequestUri"]
            .as_str()
            .is_some_and(|uri| uri.ends_with("/start"))
    });
    ensure!(
        exec.is_some_and(|q| q["ResponseStatusCode"] == 101 && q.get("ResponseBody").is_none()),
        "exec start: {exec:?}"
    );
    let logs = plugin.questions("AuthZPlugin.AuthZRes", "/logs");
    ensure!(
        logs.iter().all(|q| q.get("ResponseBody").is_none()) && !logs.is_empty(),
        "logs: {logs:?}"
    );
    side.clean();
    gate.check_log()
}

fn answers(suite: &Suite, name: &str) -> ScenarioResult {
    let (_plugin, gate) = start(suite, name, rules, &[])?;
    let side = Side::gate(suite, name, gate.addr)?;
    let other = Side::gate(suite, name, gate.addr)?.with_certificate("rsa2048");
    side.ok("sleeper --label secret=not-for-you; run -d --name $N-b $IMAGE sleep 1000")?;
    let prefix = format!("dockgate: authorization denied by plugin {name}: ");
    denied(
        &side,
        "docker inspect $N",
        &format!("{prefix}this answer is not for you"),
    )?;
    side.ok("docker inspect $N-b; docker exec $N-b true")?;
    // The docker CLI shows no more of an upgrade that is refused; the create before it was allowed.
    denied(
        &other,
        "docker exec $N-b true",
        "unable to upgrade to tcp, received 403",
    )?;
    gate.wait_for_log(Duration::from_secs(5), |line| {
        line.contains(&format!("{prefix}no sessions").replace("dockgate: ", ""))
    })?;
    // Nothing of the answer came through, and the connection is still good.
    let mut wire = side.wire()?;
    wire.send(
        format!(
            "GET /v1.45/containers/{}/json HTTP/1.1\r\nHost: docker\r\n\r\n",
            side.prefix
        )
        .as_bytes(),
    )?;
    let (head, body) = wire.answer()?;
    ensure!(
        head.status == 403 && !lossy(&body).contains("HostConfig"),
        "{} {}",
        head.text,
        lossy(&body)
    );
    wire.send(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")?;
    ensure!(
        wire.answer()?.0.status == 200,
        "the next request on the connection must be answered"
    );
    side.clean();
    gate.check_log()
}

fn absent(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let socket = suite.scratch("plugins")?.join(format!("{name}.sock"));
    let gate = gate(suite, &socket, &[])?;
    let side = Side::gate(suite, name, gate.addr)?;
    let prefix = format!("dockgate: authorization denied by plugin {name}: ");
    denied(
        &side,
        "docker ps",
        &format!("{prefix}cannot connect to its socket: "),
    )?;
    let plugin = ListeningPlugin::start(&socket, allow)?;
    side.ok("docker ps")?;
    drop(plugin);
    denied(&side, "docker ps", &prefix)?;
    for (word, words) in [
        ((|_, _| "{}".into()) as PluginAnswer, "it gave no reason"),
        (
            |_, _| "{\"Allow\":\"yes\"}".into(),
            "its answer cannot be read: ",
        ),
        (|_, _| "nonsense".into(), "its answer cannot be read: "),
        (
            |_, _| {
                thread::sleep(Duration::from_secs(15));
                allow("", &Value::Null)
            },
            "no answer within 10 s",
        ),
    ] {
        let _plugin = ListeningPlugin::start(&socket, word)?;
        denied(&side, "docker ps", &format!("{prefix}{words}"))?;
    }
    let _plugin = ListeningPlugin::start(&socket, allow)?;
    side.ok("docker ps")?;
    gate.check_log()
}

/// What the policy refuses the plugin never hears of; what it permits the plugin may still refuse.
fn policy(suite: &Suite, name: &str) -> ScenarioResult {
    let file = suite.scratch(&format!("{name}-roles"))?.join("policy.toml");
    fs::write(&file, "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"team\"\n[role.team]\nbase = \"deployer\"\n[role.team.limits]\nprivileged = true\n").context("write the policy")?;
    let path = file.to_str().ok_or("the policy's path must be text")?;
    let (plugin, gate) = start(suite, name, rules, &["--policy", path])?;
    let side = Side::gate(suite, name, gate.addr)?;
    denied(
        &side,
        "docker swarm leave",
        "role team: operation: swarm.leave",
    )?;
    ensure!(
        plugin
            .questions("AuthZPlugin.AuthZReq", "/swarm/leave")
            .is_empty(),
        "the plugin was asked about what the policy refused"
    );
    denied(
        &side,
        "docker create --privileged --network none $IMAGE true",
        "no privileged containers",
    )?;
    side.ok("docker create --network none --name $N $IMAGE true")?;
    let body = plugin.questions("AuthZPlugin.AuthZReq", "/containers/create?name=");
    ensure!(
        body.iter()
            .any(|q| decoded(q, "RequestBody").contains("dockgate-e2e-busybox")),
        "the body the policy read must be shown too"
    );
    side.clean();
    gate.check_log()
}

/// In report mode a body above the policy's bound passes; the plugin, whose bound is wider, and the engine see all of it.
fn report(suite: &Suite, name: &str) -> ScenarioResult {
    let file = suite.scratch(&format!("{name}-roles"))?.join("policy.toml");
    fs::write(&file, "version = 1\nmode = \"report\"\nmax_body = \"1KiB\"\n[[client]]\nmatch = { any = true }\nrole = \"deployer\"\n").context("write the policy")?;
    let path = file.to_str().ok_or("the policy's path must be text")?;
    let (plugin, gate) = start(suite, name, rules, &["--policy", path])?;
    let side = Side::gate(suite, name, gate.addr)?;
    let body = json!({
        "Image": "dockgate-e2e-busybox",
        "Labels": { "long": "x".repeat(8000), "last": "here" },
        "HostConfig": { "NetworkMode": "none" },
    })
    .to_string();
    let target = format!("/v1.45/containers/create?name={}", side.prefix);
    for chunk in [body.len(), 700] {
        let mut request = format!(
            "POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        for piece in body.as_bytes().chunks(chunk) {
            let text = String::from_utf8_lossy(piece);
            let _ = write!(request, "{:x}\r\n{text}\r\n", piece.len());
        }
        request += "0\r\n\r\n";
        // In records of a few hundred bytes, so that the bound is met in the middle of the body.
        let mut wire = side.wire()?;
        for piece in request.as_bytes().chunks(300) {
            wire.send(piece)?;
        }
        let (head, text) = wire.answer()?;
        ensure!(head.status == 201, "{} {}", head.text, lossy(&text));
        let made = side.ok("docker inspect -f '{{len .Config.Labels.long}} {{.Config.Labels.last}}' $N && docker rm $N >/dev/null")?;
        ensure!(made == "8000 here", "the engine made {made}");
    }
    let shown = plugin.questions("AuthZPlugin.AuthZReq", "/containers/create?name=");
    ensure!(
        shown.len() == 2 && shown.iter().all(|q| decoded(q, "RequestBody") == body),
        "the plugin was shown something else: {shown:?}"
    );
    gate.check_log()
}
