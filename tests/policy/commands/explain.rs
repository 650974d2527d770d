//! `policy explain`: one request, walked through.

use serde_json::Value;

use super::PolicyFolder;

#[test]
fn explain_walks_a_request_and_its_exit_code_is_the_verdict() {
    let desk = PolicyFolder::new();
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
        "binds              ok    HostConfig.Binds[0]=/srv/team/x:/x",
        "binds              DENY  HostConfig.Binds[1]=/etc:/y  (allowed: /srv/team/**)",
        "decision   deny (enforce), status 403",
        "message   dockgate: denied: client ci, role team: binds: HostConfig.Binds[1]=/etc:/y (allowed: /srv/team/**)",
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
    let desk = PolicyFolder::new();
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
    assert_eq!((said.code, json["rule"].as_str()), (3, Some("privileged")));
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
    let desk = PolicyFolder::new();
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

/// A CA of this name, a client certificate of it, and the CA's pin.
fn issued(name: &str) -> (String, String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = parameters.self_signed(&key).expect("a CA").pem();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    let pin = pki::identity::sha256(&spki);
    let pin: String = pin.iter().map(|byte| format!("{byte:02x}")).collect();
    let issuer = rcgen::Issuer::new(parameters, key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "ci");
    let email = "ci@example.com".try_into().expect("an address");
    parameters.subject_alt_names = vec![rcgen::SanType::Rfc822Name(email)];
    let leaf = parameters.signed_by(&key, &issuer).expect("a certificate");
    (ca, leaf.pem(), format!("sha256:{pin}"))
}

#[test]
fn explain_knows_the_issuer_as_the_gate_does_or_says_that_it_cannot_tell() {
    let desk = PolicyFolder::new();
    let (ca, leaf, pin) = issued("one CA");
    let (other, _, _) = issued("another CA");
    desk.file(
        "pinned.toml",
        &format!("version = 1\n[[client]]\nmatch = {{ cn = \"ci\", issuer_spki = \"{pin}\" }}\nrole = \"monitor\"\n"),
    );
    desk.file("leaf.json", &leaf);
    desk.file("chain.json", &format!("{leaf}{ca}"));
    desk.file("cas.json", &format!("{other}{ca}"));
    desk.file("other.json", &other);
    let run = |who: &str| desk.run(&format!("explain pinned.toml {who} GET /info"), "");
    for who in [
        "--cert chain.json".to_owned(),
        "--cert leaf.json --ca cas.json".to_owned(),
        format!("--cert leaf.json --issuer-spki {pin}"),
        format!("--cn ci --issuer-spki {pin}"),
    ] {
        let said = run(&who).expect("an answer");
        assert!(
            said.code == 0 && said.text.contains("client 1 \"ci\""),
            "{who}: {}",
            said.text
        );
    }
    let said = run("--cert leaf.json").expect("an answer");
    assert_eq!(said.code, 2);
    for part in [
        "identity  cn=ci email=ci@example.com\n",
        "client    cannot tell whether it is \"ci\" (",
        "pinned.toml:2), which asks for issuer_spki\nhint: give the listener's CA file with --ca, or the issuer's pin with --issuer-spki",
    ] {
        assert!(said.text.contains(part), "{part:?} in\n{}", said.text);
    }
    let said = run("--cn ci --json").expect("an answer");
    let json: Value = serde_json::from_str(&said.text).expect("JSON");
    assert_eq!(
        (said.code, json["needs"].as_str()),
        (2, Some("issuer_spki"))
    );
    // Another's name is another's, no matter who issued it.
    let said = run("--cn eve").expect("an answer");
    assert!(said.code == 3 && said.text.contains("no client entry matches"));
    let said = run(&format!("--cn ci --issuer-spki sha256:{}", "00".repeat(32)));
    assert_eq!(said.expect("an answer").code, 3);
    let said = run("--cert leaf.json --ca other.json").expect_err("no gate lets it in");
    assert!(said.to_string().contains("vouches for"), "{said}");
}

#[test]
fn explain_says_in_which_mode_a_stranger_is_let_through() {
    let desk = PolicyFolder::new();
    let text =
        "version = 1\nmode = \"report\"\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"none\"\n";
    desk.file("report.toml", text);
    let said = desk
        .run("explain report.toml --o corp --dns a.example GET /info", "")
        .expect("an answer");
    assert!(
        said.code == 0
            && said.text.contains("would deny, forwarded (report)")
            && said.text.contains("identity   o=corp dns=a.example\n"),
        "{}",
        said.text
    );
}

#[test]
fn explain_judges_a_recorded_request_again_by_its_id() {
    let desk = PolicyFolder::new();
    let facts = [
        ("images", "registry.example.com/team/app:1"),
        ("binds", "/srv/other"),
    ];
    let mut refused = super::records::create("ci", &facts);
    refused.request = "7f3a".into();
    let mut passed = super::records::create("ci", &facts[..1]);
    passed.request = "7f3b".into();
    super::records::audit(&desk, &[refused, passed]);
    let said = desk
        .run("explain policy.toml --audit audit.jsonl --request 7f3a", "")
        .expect("an answer");
    assert_eq!(said.code, 3, "{}", said.text);
    for line in [
        "POST /v1.51/containers/create",
        "client 2 \"ci\"",
        "binds              DENY",
        "hint  limits.binds = [\"/srv/other\"] in role team would allow it",
        "decision   deny (binds: ",
    ] {
        assert!(said.text.contains(line), "{line:?} in\n{}", said.text);
    }
    let said = desk
        .run("explain policy.toml --audit audit.jsonl --request 7f3b", "")
        .expect("an answer");
    assert!(
        said.code == 0 && said.text.contains("decision   allow, by this policy"),
        "{}",
        said.text
    );
    let json = desk
        .run(
            "explain policy.toml --audit audit.jsonl --request 7f3a --json",
            "",
        )
        .expect("an answer");
    let json: Value = serde_json::from_str(&json.text).expect("JSON");
    assert_eq!(json["verdict"], "deny");
    assert_eq!(json["recorded"]["request"], "7f3a");
    let missing = desk
        .run("explain policy.toml --audit audit.jsonl --request 1", "")
        .expect_err("no such request");
    assert!(
        missing.to_string().contains("has no request 1"),
        "{missing}"
    );
}

#[test]
fn a_record_that_is_older_than_a_limit_cannot_be_judged_by_it() {
    let desk = PolicyFolder::new();
    let text = "version = 1\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"team\"\n[role.team]\nbase = \"deployer\"\n[role.team.limits]\nmemory = \"512m\"\n";
    desk.file("bounded.toml", text);
    let judged = |facts: &[(&str, &str)]| {
        super::records::audit(&desk, &[super::records::create("ci", facts)]);
        let command = "explain bounded.toml --audit audit.jsonl --request 7f3a";
        desk.run(command, "").expect("an answer").code
    };
    assert_eq!(judged(&[("images", "docker.io/library/a")]), 2);
    assert_eq!(
        judged(&[("images", "docker.io/library/a"), ("memory", "512m")]),
        0
    );
    assert_eq!(
        judged(&[("images", "docker.io/library/a"), ("memory", "1g")]),
        3
    );
    assert_eq!(
        judged(&[("images", "docker.io/library/a"), ("memory", "unlimited")]),
        3
    );
}

#[test]
fn a_refusal_that_came_from_what_the_gate_knew_then_is_not_said_to_be_allowed_now() {
    let desk = PolicyFolder::new();
    let facts = [("images", "registry.example.com/team/app:1")];
    for (rule, code, words) in [
        ("owner", 2, "the rule owner depends on what the gate knew"),
        ("budget", 2, "the rule budget depends on what the gate knew"),
        ("binds", 0, "decision   allow, by this policy"),
    ] {
        let mut refused = super::records::create("ci", &facts);
        refused.request = "7f3a".into();
        refused.decision = dockgate::observe::audit::Decision::Deny;
        refused.rule = Some(rule.into());
        super::records::audit(&desk, &[refused]);
        let said = desk
            .run("explain policy.toml --audit audit.jsonl --request 7f3a", "")
            .expect("an answer");
        assert_eq!(said.code, code, "{}", said.text);
        assert!(said.text.contains(words), "{words:?} in\n{}", said.text);
    }
}
