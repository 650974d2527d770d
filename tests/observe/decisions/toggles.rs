//! docker-socket-proxy's toggles, in the environment and in a role.

use super::*;

/// The binary with these toggles and no policy: a gate, or why there is none.
fn toggled(toggles: &[(&str, &str)]) -> (ByOptions, Daemon) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Daemon::start(&engine_socket(&dir));
    let pki = Pki::create(dir.path());
    let mut command = ByOptions::command(&dir, &["--reload-interval", "off"]);
    command.envs(toggles.iter().copied());
    (ByOptions::run(command, pki, dir), engine)
}

#[test]
fn toggles_of_the_environment_are_the_policy_and_their_table_is_printed() {
    let (gate, engine) = toggled(&[("CONTAINERS", "1"), ("IMAGES", "1"), ("POST", "1")]);
    let opened = |gate: &ByOptions, resource: &str| {
        gate.logged(|line| {
            line["policy"] == "toggles"
                && line["opened"]
                    .as_str()
                    .is_some_and(|opened| opened.starts_with(resource))
        })["opened"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let table = opened(&gate, "container:");
    assert!(
        table.contains(" create") && table.contains(" start"),
        "{table}"
    );
    for never in ["attach", "archive", "export", "exec"] {
        assert!(!table.contains(never), "{table}");
    }
    let mut client = gate.connect(&gate.pki.client("anybody", 1));
    for (method, target) in [
        ("POST", "/v1.51/containers/web/exec"),
        ("POST", "/v1.51/exec/e1/start"),
        ("GET", "/v1.51/containers/web/attach/ws"),
        ("GET", "/v1.51/containers/web/archive?path=/"),
        ("PUT", "/v1.51/containers/web/archive?path=/"),
        ("HEAD", "/v1.51/containers/web/archive?path=/"),
        ("GET", "/v1.51/containers/web/export"),
        ("POST", "/v1.51/build"),
        ("POST", "/v1.51/commit?container=web"),
        ("POST", "/grpc"),
        ("POST", "/session"),
        ("POST", "/v1.51/containers/web/attach"),
    ] {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let mut client = gate.connect(&gate.pki.client("anybody", 1));
        client.send(request);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.try_take(1).expect("an answer"));
        }
        assert!(
            head.starts_with(b"HTTP/1.1 403 "),
            "{method} {target}: {}",
            String::from_utf8_lossy(&head)
        );
    }
    assert!(engine.heard("POST ").is_empty());
    assert_eq!(client.ask("GET", "/v1.51/containers/json").status, 200);
    assert_eq!(status(&mut client, &create("")), 201);
    assert_eq!(status(&mut client, &create(r#""Privileged":true"#)), 403);
    // One toggle is enough, and it is a closed gate but for what is on by default.
    let (gate, _engine) = toggled(&[("INFO", "0")]);
    assert_eq!(
        opened(&gate, "system:"),
        "system: ping ping-head version events"
    );
    let mut client = gate.connect(&gate.pki.client("anybody", 1));
    assert_eq!(client.ask("GET", "/_ping").status, 200);
    assert_eq!(client.ask("GET", "/v1.51/containers/json").status, 403);
}

#[test]
fn toggles_of_a_role_are_printed_too_and_unknown_ones_stop_the_gate() {
    let policy = format!(
        "{POLICY}[[client]]\nmatch = {{ cn = \"old\" }}\nrole = \"old\"\n[role.old]\ntoggles = {{ CONTAINERS = 1, POST = 0, ALLOW_RESTARTS = 1 }}\n"
    );
    let site = DecisionSite::start(&policy, &[]);
    let line = site.gate.logged(|line| {
        line["role"] == "old"
            && line["opened"]
                .as_str()
                .is_some_and(|opened| opened.starts_with("container:"))
    });
    let table = line["opened"].as_str().expect("text");
    assert!(
        table.contains(" restart") && table.contains(" list") && !table.contains("create"),
        "{table}"
    );
    let mut old = site.client("old");
    assert_eq!(old.ask("GET", "/v1.51/containers/json").status, 200);
    assert_eq!(status(&mut old, &create("")), 403);
    for (name, value, wanted) in [
        ("CONTAINER", "1", "did you mean \"CONTAINERS\"?"),
        ("CONTAINERS", "yes", "expected 0 or 1, found \"yes\""),
        ("GRPC", "1", "opens a tunnel that cannot be looked into"),
        ("INFO", "true", "expected 0 or 1, found \"true\""),
        ("ALLOW_FOO", "1", "ALLOW_FOO: no such toggle"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        Pki::create(dir.path());
        let mut command = ByOptions::command(&dir, &[]);
        command
            .env(name, value)
            .stdout(std::process::Stdio::piped());
        let output = finished(&mut command);
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        assert!(said(&output).contains(wanted), "{}", said(&output));
    }
}

#[test]
fn toggles_beside_a_policy_are_ignored_and_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let _engine = Daemon::start(&engine_socket(&dir));
    let pki = Pki::create(dir.path());
    let policy = dir.path().join("policy.toml");
    std::fs::write(&policy, POLICY).expect("written");
    let mut command = ByOptions::command(&dir, &["--policy", policy.to_str().expect("text")]);
    command.envs([("POST", "1"), ("INFO", "yes"), ("BUILD", "42")]);
    let gate = ByOptions::run(command, pki, dir);
    let line = gate.logged(|line| line["toggles"].is_string());
    assert_eq!(line["toggles"], "INFO POST");
    assert!(
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("ignored: the policy file is in force")),
        "{line}"
    );
}

#[test]
fn the_banner_says_who_decides() {
    let banner = |options: &[&str], toggles: &[(&str, &str)]| {
        let dir = tempfile::tempdir().expect("a directory");
        let pki = Pki::create(dir.path());
        let out = dir.path().join("banner");
        let mut command = ByOptions::command(&dir, options);
        command.envs(toggles.iter().copied());
        command.stdout(fs::File::create(&out).expect("made"));
        let gate = ByOptions::run(command, pki, dir);
        let text = eventually(|| {
            let text = fs::read_to_string(&out).expect("read");
            let whole = text.contains("  access ") && text.ends_with('\n');
            if whole { Ok(text) } else { Err(text) }
        });
        drop(gate);
        text
    };
    let everybody = "every certificate of this CA has full access";
    assert!(banner(&[], &[]).contains(everybody));
    let plugin = ["--authz-plugin", "/run/none/authz.sock"];
    let text = banner(&plugin, &[]);
    assert!(
        text.contains("access      by the authorization plugin at /run/none/authz.sock alone")
            && !text.contains(everybody),
        "{text}"
    );
    let text = banner(&plugin, &[("INFO", "1")]);
    assert!(
        text.contains("by the toggles of the environment")
            && text.contains("\n              and by the authorization plugin at /run/none"),
        "{text}"
    );
}
