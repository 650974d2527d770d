//! `policy explain`: one request, walked through.

use serde_json::Value;

use super::Desk;

#[test]
fn explain_walks_a_request_and_its_exit_code_is_the_verdict() {
    let desk = Desk::new();
    let body = r#"{"Image":"registry.example.com/team/app:1","HostConfig":{"Binds":["/srv/team/x:/x","/etc:/y"]}}"#;
    let said = desk
        .run(
            "explain policy.toml --cn ci POST /v1.51/containers/create",
            body,
        )
        .expect("an answer");
    assert_eq!(said.code, 3);
    for line in [
        "client 2 \"ci\"",
        "-> role team",
        "container.create  allowed by role team (base deployer)",
        "images             ok",
        "bind-sources       ok    HostConfig.Binds[0]=/srv/team/x:/x",
        "bind-sources       DENY  HostConfig.Binds[1]=/etc:/y  (allowed: /srv/team/**)",
        "decision   deny (enforce), status 403",
        "message   dockgate: denied: client ci, role team: bind-sources: HostConfig.Binds[1]=/etc:/y (allowed: /srv/team/**)",
    ] {
        assert!(said.text.contains(line), "{line:?} in\n{}", said.text);
    }
    let said = desk
        .run("explain policy.toml --cn ci GET /containers/json", "")
        .expect("an answer");
    assert!(
        said.code == 0 && said.text.contains("allow (enforce)"),
        "{}",
        said.text
    );
    let said = desk
        .run("explain policy.toml --cn nobody GET /containers/json", "")
        .expect("an answer");
    assert!(
        said.code == 3 && said.text.contains("no client entry matches"),
        "{}",
        said.text
    );
    let said = desk
        .run(
            "explain policy.toml --cn ci GET http://evil/containers/json",
            "",
        )
        .expect("an answer");
    assert!(
        said.code == 3 && said.text.contains("absolute form"),
        "{}",
        said.text
    );
}

#[test]
fn explain_asks_for_what_the_engine_would_have_to_say() {
    let desk = Desk::new();
    let request = "explain policy.toml --cn ci POST /containers/web/exec";
    let body = r#"{"Cmd":["id"]}"#;
    let said = desk.run(request, body).expect("an answer");
    assert!(
        said.code == 2 && said.text.contains("GET /containers/web/json"),
        "{}",
        said.text
    );
    // As `docker inspect` prints it.
    desk.file(
        "web.json",
        r#"[{"Id":"abc","HostConfig":{"Privileged":true}}]"#,
    );
    let said = desk
        .run(&format!("{request} --inspect web.json --json"), body)
        .expect("an answer");
    let json: Value = serde_json::from_str(&said.text).expect("JSON");
    assert_eq!(
        (said.code, json["rule"].as_str()),
        (3, Some("no-privileged"))
    );
    desk.file(
        "plain.json",
        r#"[{"Id":"abc","HostConfig":{"Privileged":false}}]"#,
    );
    assert_eq!(
        desk.run(&format!("{request} --inspect plain.json"), body)
            .expect("an answer")
            .code,
        0
    );
    let create = "explain policy.toml --cn ci POST /containers/create";
    let body = r#"{"Image":"registry.example.com/team/a","HostConfig":{"Binds":["data:/x"]}}"#;
    assert_eq!(desk.run(create, body).expect("an answer").code, 2);
    assert_eq!(
        desk.run(&format!("{create} --answer /volumes/data=404"), body)
            .expect("an answer")
            .code,
        0
    );
    desk.file(
        "v.json",
        r#"{"Driver":"local","Options":{"type":"none","o":"bind","device":"/"}}"#,
    );
    assert_eq!(
        desk.run(&format!("{create} --answer /volumes/data=v.json"), body)
            .expect("an answer")
            .code,
        3
    );
}

#[test]
fn explain_reads_a_certificate() {
    let desk = Desk::new();
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "traefik");
    desk.file(
        "leaf.json",
        &parameters.self_signed(&key).expect("a certificate").pem(),
    );
    let said = desk
        .run(
            "explain policy.toml --cert leaf.json GET /containers/json",
            "",
        )
        .expect("an answer");
    assert!(
        said.code == 0 && said.text.contains("cn=traefik"),
        "{}",
        said.text
    );
    assert_eq!(
        desk.run(
            "explain policy.toml --cert leaf.json POST /containers/prune",
            ""
        )
        .expect("an answer")
        .code,
        3
    );
}
