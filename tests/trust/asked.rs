//! `dockgate reload`: waits, and says what changed and who was cut, or what is wrong. And what is decided while a reload comes.

use std::process::{Command, Output, Stdio};

use testkit::gate::{ByFile, Files};
use testkit::programs::{dockgate, finished, said};

fn policy(role: &str) -> String {
    format!("version = 1\n[[client]]\nmatch = {{ cn = \"bob\" }}\nrole = \"{role}\"\n")
}

fn ended(command: &mut Command) -> Output {
    finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
}

fn reload(gate: &ByFile, options: &[&str]) -> Output {
    let mut command = dockgate();
    command
        .args(["reload", "--control-socket"])
        .arg(gate.path("control.sock"))
        .args(options);
    ended(&mut command)
}

/// A gate that is asked through its control socket and never polls.
fn start(files: Files, settings: &str) -> ByFile {
    let socket = files.path("control.sock").display().to_string();
    files.put_policy("deployer");
    files.start(&format!(
        "control-socket = \"{socket}\"\npolicy = \"policy.toml\"\n{settings}"
    ))
}

trait PutPolicy {
    fn put_policy(&self, role: &str);
}

impl PutPolicy for Files {
    fn put_policy(&self, role: &str) {
        std::fs::write(self.path("policy.toml"), policy(role)).expect("written");
    }
}

#[test]
fn reload_waits_and_says_what_changed_and_who_was_cut() {
    let files = Files::new();
    let bob = files.pki.client_by_dockgate("bob", &[]);
    files.pki.certs(&["crl"]);
    std::fs::write(files.path("list.pem"), files.pki.text("crl.pem")).expect("written");
    let gate = start(files, "tlscrl = [\"list.pem\"]\n");
    let output = reload(&gate, &[]);
    assert_eq!(said(&output).trim(), "reloaded: nothing has changed");
    assert!(output.status.success());

    gate.put("policy.toml", policy("read-only"));
    let output = reload(&gate, &[]);
    let text = said(&output);
    assert!(
        output.status.success() && text.contains("reloaded: policy ") && !text.contains("cut "),
        "{text}"
    );

    gate.put("policy.toml", policy("admin"));
    assert!(reload(&gate, &[]).status.success());
    let live = gate.connect(&bob).hijacked();
    gate.pki.certs(&["revoke", "bob"]);
    gate.put("list.pem", gate.pki.text("crl.pem"));
    let output = reload(&gate, &[]);
    let text = said(&output);
    assert!(text.contains("reloaded: new revocation list of "), "{text}");
    let cut = text
        .lines()
        .find(|line| line.starts_with("cut connection "));
    let cut = cut.unwrap_or_else(|| panic!("nobody was cut: {text}"));
    assert!(cut.contains("\"bob\"") && cut.contains("revoked"), "{cut}");
    live.end().join().expect("cut");
}

#[test]
fn reload_names_what_waits_for_the_next_start_and_what_is_wrong() {
    let files = Files::new();
    let gate = start(files, "");
    let socket = gate.path("control.sock").display().to_string();
    let settings = format!("control-socket = \"{socket}\"\npolicy = \"policy.toml\"\n");
    gate.configure(&format!(
        "{settings}head-timeout = \"7s\"\nlog-level = \"debug\"\n"
    ));
    let output = reload(&gate, &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["next_start"], serde_json::json!(["head-timeout"]));
    assert_eq!(
        value["changed"],
        serde_json::json!(["setting log-level changed"])
    );
    assert_eq!(value["cut"], serde_json::json!([]));

    gate.put("policy.toml", policy("nobody"));
    let output = reload(&gate, &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("the old configuration stays in force") && text.contains("nobody"),
        "{text}"
    );
    // What is mended is in force as soon as the command ends.
    gate.put("policy.toml", policy("monitor"));
    assert!(reload(&gate, &[]).status.success());
}

#[test]
fn a_request_whose_body_was_pending_is_decided_by_the_policy_in_force_when_it_is_there() {
    let files = Files::new();
    let bob = files.pki.client_by_dockgate("bob", &[]);
    let gate = start(files, "");
    let body = "{\"Image\":\"x\",\"HostConfig\":{\"Privileged\":true}}";
    let head = format!(
        "POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // Looser: denied by the role it began under, allowed by the one in force.
    let mut client = gate.connect(&bob);
    client.send(head.clone() + &body[..10]);
    gate.put("policy.toml", policy("admin"));
    assert!(reload(&gate, &[]).status.success());
    client.send(&body[10..]);
    assert_ne!(client.answer().status, 403);
    // Stricter: a role that is not even asked for the body.
    gate.put("policy.toml", policy("deployer"));
    assert!(reload(&gate, &[]).status.success());
    let mut client = gate.connect(&bob);
    client.send(head + &body[..10]);
    gate.put("policy.toml", policy("monitor"));
    assert!(reload(&gate, &[]).status.success());
    client.send(&body[10..]);
    let answer = client.answer();
    assert_eq!(answer.status, 403);
    assert!(answer.message().contains("role monitor"), "{answer:?}");
}

#[test]
fn a_request_whose_look_up_was_pending_is_decided_by_the_policy_in_force_when_it_is_answered() {
    let files = Files::new();
    let bob = files.pki.client_by_dockgate("bob", &[]);
    let gate = start(files, "");
    let execs = policy("execs")
        + "[role.execs]\nbase = \"none\"\nallow = [\"exec.create\", \"system.ping\"]\n";
    gate.put("policy.toml", execs);
    assert!(reload(&gate, &[]).status.success());
    let request = "POST /v1.51/containers/x/exec HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"Cmd\":[\"true\"]}";
    let mut client = gate.connect(&bob);
    gate.engine().freeze();
    client.send(request);
    gate.put("policy.toml", policy("monitor"));
    assert!(reload(&gate, &[]).status.success());
    gate.engine().thaw();
    let answer = client.answer();
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.message().contains("role monitor"), "{answer:?}");
}

#[test]
fn what_is_only_reported_is_said_wherever_somebody_looks() {
    let files = Files::new();
    let report =
        "version = 1\nmode = \"report\"\n[[client]]\nmatch = { any = true }\nrole = \"monitor\"\n";
    std::fs::write(files.path("report.toml"), report).expect("written");
    let socket = files.path("control.sock").display().to_string();
    let gate = files.start(&format!(
        "control-socket = \"{socket}\"\npolicy = \"report.toml\"\nmetrics = \"127.0.0.1:0\"\n"
    ));
    let sentence = "report only: everything is forwarded";
    gate.said(0, sentence);
    for command in ["ps", "healthcheck", "check"] {
        let mut program = dockgate();
        program.arg(command);
        match command {
            "check" => program
                .args(["--offline", "--config-file"])
                .arg(gate.path("dockgate.toml")),
            _ => program.args(["--control-socket", &socket]),
        };
        let text = said(&ended(&mut program));
        assert!(text.contains(sentence), "{command}: {text}");
    }
    let ready = testkit::client::unix(
        &gate.path("control.sock"),
        "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(ready.json()["report_only"], sentence);
}
