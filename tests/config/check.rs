//! `dockgate check`: the binary, its output and its exit codes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};
use std::thread;

use crate::pki::DoctorPki;

fn check(pki: &DoctorPki, args: &[&str]) -> (i32, String) {
    check_with(pki, args, &[])
}

fn check_with(pki: &DoctorPki, args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let Output { status, stdout, .. } = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .arg("check")
        .args(args)
        .args(["--tlscacert", pki.path("ca.pem").to_str().unwrap()])
        .args(["--tlscert", pki.path("server-cert.pem").to_str().unwrap()])
        .args(["--tlskey", pki.path("server-key.pem").to_str().unwrap()])
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(stdout).unwrap();
    testkit::words::assert_plain(&format!("check {args:?}"), &text);
    (status.code().unwrap(), text)
}

/// Answers one ping with `answer`.
fn engine(pki: &DoctorPki, answer: &'static str) -> String {
    let path = pki.path("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The whole head: what is left unread when the socket closes would take the answer along.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0; 1];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"GET /_ping HTTP/1.1\r\n"));
        stream.write_all(answer.as_bytes()).unwrap();
    });
    format!("unix://{}", path.display())
}

#[test]
fn a_sound_setup_exits_0_and_says_where_values_came_from() {
    let pki = DoctorPki::new();
    let upstream = engine(
        &pki,
        "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nServer: Docker/27.0 (linux)\r\nContent-Length: 2\r\n\r\nOK",
    );
    let (code, text) = check(
        &pki,
        &[
            "-H",
            "tcp://127.0.0.1:0",
            "--upstream",
            &upstream,
            "--drain-timeout",
            "7s",
        ],
    );
    assert_eq!(code, 0, "{text}");
    let line = |name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("drain-timeout"), "drain-timeout 7s command line");
    assert_eq!(line("head-timeout"), "head-timeout 30s default");
    assert!(
        text.contains("ok       tcp://127.0.0.1:0 can be listened on\n"),
        "{text}"
    );
    assert!(text.contains("(Docker/27.0 (linux), API 1.47)\n"), "{text}");
    assert!(
        text.contains("DNS:localhost IP:127.0.0.1, valid until"),
        "{text}"
    );
    assert!(
        text.contains("warning  no policy: every certificate of the CA has full access"),
        "{text}"
    );
}

#[test]
fn an_engine_that_is_away_is_an_error_with_its_cause() {
    let pki = DoctorPki::new();
    let upstream = format!("unix://{}", pki.path("none.sock").display());
    let online = ["-H", "tcp://127.0.0.1:0", "--upstream", &upstream];
    let (code, text) = check(&pki, &online);
    assert_eq!(
        code, 0,
        "serve would start, and find the engine later: {text}"
    );
    assert!(
        text.contains("error    the engine's socket")
            && text.contains("does not exist\n         hint: "),
        "{text}"
    );
    let end = "the gate would start, with 1 error that keeps clients out or from the engine; --strict makes that exit code 1\n";
    assert!(text.ends_with(end), "{text}");
    let (code, text) = check(&pki, &[&online[..], &["--strict"]].concat());
    assert_eq!(code, 1, "{text}");
    let (code, text) = check(&pki, &["--offline", "--upstream", &upstream]);
    assert_eq!(code, 0, "offline, the engine is not asked: {text}");
}

#[test]
fn something_else_on_the_socket_is_told_from_an_engine() {
    let pki = DoctorPki::new();
    let upstream = engine(&pki, "220 mail.example ESMTP\r\n");
    let online = ["-H", "tcp://127.0.0.1:0", "--upstream", &upstream];
    let (code, text) = check(&pki, &[&online[..], &["--strict"]].concat());
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("does not answer as a Docker Engine: not HTTP"),
        "{text}"
    );
}

#[test]
fn an_address_that_somebody_else_uses_keeps_serve_from_starting() {
    let pki = DoctorPki::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = engine(&pki, "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\n\r\n");
    let host = format!("tcp://{}", taken.local_addr().unwrap());
    let control = pki.path("control.sock");
    let control = control.to_str().unwrap();
    let metrics = taken.local_addr().unwrap().to_string();
    for options in [
        &["-H", &*host][..],
        &["-H", &host, "--control-socket", control],
        &["-H", &host, "--control-socket", "off"],
        &["-H", "tcp://127.0.0.1:0", "--metrics", &metrics],
    ] {
        let (code, text) = check(&pki, &[options, &["--upstream", &upstream]].concat());
        assert_eq!(code, 78, "{options:?}: {text}");
        let (_, said) = text.split_once("error    ").expect("an error line");
        assert!(said.contains(" is in use"), "{text}");
        assert!(
            said.contains(&format!("pid {}", std::process::id())),
            "who it is: {text}"
        );
    }
    // Free: it would start.
    drop(taken);
    let (code, text) = check(&pki, &["-H", &host, "--upstream", &upstream]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = check(
        &pki,
        &["-H", "tcp://192.0.2.1:2376", "--upstream", "unix:///none"],
    );
    assert_eq!(code, 78);
    assert!(
        text.contains("tcp://192.0.2.1:2376 is not an address of this machine"),
        "{text}"
    );
}

#[test]
fn mistakes_have_their_exit_codes() {
    let pki = DoctorPki::new();
    let (code, text) = check(&pki, &["--drain-timeout", "soon"]);
    assert_eq!(code, 2);
    assert!(
        text.starts_with("error    --drain-timeout \"soon\": expected a time"),
        "{text}"
    );
    let file = pki.write("dockgate.toml", "drain_timeout = \"1s\"\n");
    // What a line with a mistake leaves behind is not told again.
    let cut = pki.write("cut.toml", "policy = \nowner-key = \"\"\n");
    let (code, text) = check(&pki, &["--config-file", cut.to_str().unwrap()]);
    assert_eq!(code, 78);
    let at = |line: u32| text.matches(&format!("cut.toml:{line}: ")).count();
    assert_eq!((at(1), at(2)), (1, 1), "{text}");
    let (code, text) = check(&pki, &["--config-file", file.to_str().unwrap()]);
    assert_eq!(code, 78);
    assert_eq!(
        text,
        format!(
            "error    {}:1: unknown key \"drain_timeout\"\n         hint: did you mean \"drain-timeout\"?\n",
            file.display()
        )
    );
    pki.write("server-key.pem", "");
    let (code, text) = check(&pki, &["--offline"]);
    assert_eq!(code, 78);
    assert!(text.contains("is empty\n"), "{text}");
}

#[test]
fn toggles_of_the_environment_are_read_as_serve_reads_them() {
    let pki = DoctorPki::new();
    let (code, text) = check_with(&pki, &["--offline"], &[("CONTAINERS", "1")]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("ok       the environment's toggles are the policy, and open\n")
            && text.contains("\n         container: list inspect")
            && !text.contains("no policy"),
        "{text}"
    );
    for (name, value, said) in [
        ("INFO", "true", "expected 0 or 1, found \"true\"\n"),
        (
            "CONTAINER",
            "1",
            "no such toggle\n         hint: did you mean \"CONTAINERS\"?\n",
        ),
    ] {
        let (code, text) = check_with(&pki, &["--offline"], &[(name, value)]);
        assert_eq!(code, 78, "{text}");
        assert!(
            text.contains(&format!("error    environment variable {name}: {said}")),
            "{text}"
        );
    }
    let policy = pki.write(
        "policy.toml",
        "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"monitor\"\n",
    );
    let args = ["--offline", "--policy", policy.to_str().unwrap()];
    let (code, text) = check_with(&pki, &args, &[("POST", "1"), ("BUILD", "42")]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("warning  the environment's toggles (POST) are ignored: the policy file"),
        "{text}"
    );
}

#[test]
fn an_audit_that_cannot_be_written_is_an_error_and_none_is_made() {
    let pki = DoctorPki::new();
    let audit = pki.path("audit.jsonl");
    let args = ["--offline", "--audit", audit.to_str().unwrap()];
    for there in [false, true] {
        let (code, text) = check(&pki, &args);
        assert_eq!(code, 0, "{text}");
        assert!(
            text.contains("ok       audit records can be written to"),
            "{text}"
        );
        assert_eq!(audit.exists(), there);
        pki.write("audit.jsonl", "");
    }
    let below = audit.join("x");
    let missing = pki.path("none/audit.jsonl");
    for path in [pki.path(""), below, missing] {
        let (code, text) = check(&pki, &["--offline", "--audit", path.to_str().unwrap()]);
        assert_eq!(code, 78, "{text}");
        assert!(
            text.contains("error    audit records cannot be written to"),
            "{text}"
        );
    }
}

#[test]
fn a_plugin_that_does_not_listen_is_an_error() {
    let pki = DoctorPki::new();
    let path = pki.path("authz.sock");
    let upstream = engine(&pki, "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\n\r\n");
    let plugin = path.to_str().unwrap();
    let args = ["-H", "tcp://127.0.0.1:0", "--authz-plugin", plugin];
    let (code, text) = check(&pki, &[&args[..], &["--offline"]].concat());
    assert_eq!(code, 0, "offline, it is not asked: {text}");
    let online = [&args[..], &["--upstream", &upstream]].concat();
    let listener = UnixListener::bind(&path).unwrap();
    let (code, text) = check(&pki, &online);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("ok       the authorization plugin listens on")
            && text.contains("ok       no policy: the authorization plugin at"),
        "{text}"
    );
    drop(listener);
    let (code, text) = check(&pki, &[&online[..], &["--strict"]].concat());
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("error    cannot connect to the authorization plugin on"),
        "{text}"
    );
    let (code, text) = check(&pki, &online);
    assert_eq!(
        code, 0,
        "serve would start, and refuse every request: {text}"
    );
}
