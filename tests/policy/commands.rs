//! The `policy` commands, on files.

use std::path::PathBuf;

use clap::Parser;
use dockgate::audit::{Decision, Record};
use dockgate::cli::policy::PolicyArgs;
use dockgate::policy::PolicyError;
use dockgate::policy::command::{Outcome, outcome};
use serde_json::Value;
use tempfile::TempDir;

use crate::audit::record;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    policy: PolicyArgs,
}

struct Desk(TempDir);

const POLICY: &str = r#"version = 1

[[client]]
match = { cn = "traefik" }
role  = "traefik"

[[client]]
match = { cn = "ci" }
role  = "team"

[[client]]
match = { ou = "platform" }
role  = "admin"

[role.team]
base = "deployer"
allow = ["exec.*"]

[role.team.limits]
images = ["registry.example.com/team/**"]
binds  = ["/srv/team/**"]
"#;

impl Desk {
    fn new() -> Desk {
        let desk = Desk(tempfile::tempdir().expect("a directory"));
        desk.file("policy.toml", POLICY);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// Words with a dot and no slash are files of the desk.
    fn run(&self, words: &str, input: &str) -> Result<Outcome, PolicyError> {
        let words = words.split_whitespace().map(|word| {
            match word.ends_with(".toml") || word.ends_with(".jsonl") || word.ends_with(".json") {
                true => match word.split_once('=') {
                    Some((key, file)) => format!("{key}={}", self.path(file).display()),
                    None => self.path(word).display().to_string(),
                },
                false => word.to_owned(),
            }
        });
        let arguments =
            Arguments::try_parse_from(std::iter::once("policy".to_owned()).chain(words))
                .expect("arguments");
        outcome(&arguments.policy, &mut input.as_bytes())
    }
}

#[test]
fn check_says_what_each_client_may_do_and_whether_it_leads_to_root() {
    let desk = Desk::new();
    let said = desk.run("check policy.toml", "").expect("a policy");
    assert_eq!(said.code, 0);
    for line in [
        "1 traefik (cn)",
        "2 ci (cn)",
        "yes  (unrestricted)",
        "symlinks inside are followed",
        "ok: 3 clients, 1 role",
    ] {
        assert!(said.text.contains(line), "{line:?} in\n{}", said.text);
    }
    assert_eq!(
        desk.run("check policy.toml --fail-on-root", "")
            .expect("a policy")
            .code,
        0,
        "an admin is meant to be root"
    );
    desk.file("root.toml", &POLICY.replace("/srv/team/**", "/**"));
    let said = desk
        .run("check root.toml --fail-on-root", "")
        .expect("a policy");
    assert!(
        said.code == 1 && said.text.contains("binds \"/**\""),
        "{}",
        said.text
    );
    desk.file("bad.toml", "version = 1\n[[clients]]\n");
    assert!(
        desk.run("check bad.toml", "")
            .expect_err("a fault")
            .to_string()
            .contains("bad.toml:2: unknown key \"clients\"")
    );
}

#[test]
fn check_finds_entries_that_never_match_and_names_several_cas_could_issue() {
    let desk = Desk::new();
    let shadowed = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"monitor\"\n[[client]]\nmatch = { cn = \"late\" }\nrole = \"admin\"\n";
    desk.file("shadow.toml", shadowed);
    let said = desk.run("check shadow.toml", "").expect("a policy").text;
    assert!(
        said.contains("warning line 5: client \"late\" never matches: \"any\" comes first"),
        "{said}"
    );
    let key = rcgen::KeyPair::generate().expect("a key");
    let ca = rcgen::CertificateParams::new(Vec::new())
        .expect("parameters")
        .self_signed(&key)
        .expect("a CA")
        .pem();
    desk.file("one.json", &ca);
    desk.file("two.json", &format!("{ca}{ca}"));
    assert!(
        !desk
            .run("check policy.toml --ca one.json", "")
            .expect("a policy")
            .text
            .contains("CAs could issue")
    );
    assert!(
        desk.run("check policy.toml --ca two.json", "")
            .expect("a policy")
            .text
            .contains("2 CAs could issue it")
    );
}

#[test]
fn check_prints_json() {
    let desk = Desk::new();
    let said: Value = serde_json::from_str(
        &desk
            .run("check policy.toml --json", "")
            .expect("a policy")
            .text,
    )
    .expect("JSON");
    assert_eq!(said["clients"][1]["role"], "team");
    assert!(
        said["clients"][1]["operations"]
            .as_array()
            .expect("a list")
            .contains(&"container.create".into())
    );
    assert_eq!(said["clients"][2]["root"][0], "unrestricted");
}

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

#[test]
fn test_runs_cases_and_names_those_that_fail() {
    let desk = Desk::new();
    desk.file(
        "good.jsonl",
        r#"{"name":"lists","cn":"traefik","method":"GET","target":"/containers/json","expect":"allow"}
{"cn":"ci","method":"POST","target":"/containers/create","body":{"Image":"evil"},"expect":"deny","rule":"images"}
{"cn":"ci","method":"POST","target":"/containers/create","body_text":"{\"Image\":\"a\",\"Image\":\"b\"}","expect":"deny","rule":"body"}
{"cn":"ci","method":"POST","target":"/containers/web/exec","body":{"Cmd":["id"]},"answers":{"/containers/web/json":{"Id":"a","HostConfig":{}}},"expect":"allow"}
{"cn":"ci","method":"POST","target":"/containers/web/exec","body":{"Cmd":["id"]},"expect":"unknown"}
{"ou":"platform","method":"POST","target":"/brand/new","expect":"allow"}
{"cn":"ci","method":"GET","target":"//x/%zz","expect":"malformed"}
"#,
    );
    assert_eq!(
        desk.run("test policy.toml good.jsonl", "")
            .expect("an answer"),
        Outcome {
            text: "7 passed, 0 failed".into(),
            code: 0
        }
    );
    desk.file("bad.jsonl", r#"{"cn":"ci","method":"POST","target":"/containers/create","body":{"Image":"evil"},"expect":"allow"}"#);
    let said = desk
        .run("test policy.toml bad.jsonl", "")
        .expect("an answer");
    assert!(
        said.code == 1 && said.text.contains("expected allow, found deny by images"),
        "{}",
        said.text
    );
    desk.file("odd.jsonl", r#"{"cn":"ci","metod":"POST"}"#);
    assert!(desk.run("test policy.toml odd.jsonl", "").is_err());
    desk.file("empty.jsonl", "\n");
    assert!(
        desk.run("test policy.toml empty.jsonl", "").is_err(),
        "no case is no proof"
    );
}

fn create(cn: &str, facts: &[(&str, &str)]) -> Record {
    let mut line = record();
    line.certificate.cn = vec![cn.into()];
    line.client = cn.into();
    line.facts = facts
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    line
}

fn audit(desk: &Desk, records: &[Record]) {
    let text: String = records.iter().map(|record| record.line() + "\n").collect();
    desk.file("audit.jsonl", &text);
}

#[test]
fn learn_prints_the_least_policy_that_allows_what_was_seen() {
    let desk = Desk::new();
    let mut list = create("ci", &[]);
    list.operation = "container.list".into();
    let mut tunnel = create("builder", &[]);
    tunnel.operation = "build.grpc".into();
    let mut strange = create("ci", &[]);
    strange.operation = "unknown".into();
    strange.path = "/brand/new\n".into();
    let seen = create(
        "ci",
        &[
            ("images", "docker.io/team/app:1"),
            ("binds", "/srv/a"),
            ("log_drivers", "json-file"),
            ("capabilities", "NET_ADMIN"),
        ],
    );
    audit(&desk, &[seen, list, strange, tunnel]);
    let learnt = desk.run("learn audit.jsonl", "").expect("a policy").text;
    for line in [
        "\"container.create\"",
        "\"container.list\"",
        "images = [\"docker.io/team/app\"]",
        "binds = [\"/srv/a\"]",
        "capabilities = [\"NET_ADMIN\"]",
        "buildkit = true",
        "only the role admin could send: \"POST /brand/new\\u000A\"",
    ] {
        assert!(learnt.contains(line), "{line:?} in\n{learnt}");
    }
    assert!(
        !learnt.contains("log_drivers") && !learnt.contains("container.start"),
        "{learnt}"
    );
    let only = desk
        .run("learn audit.jsonl --client builder", "")
        .expect("a policy")
        .text;
    assert!(
        only.contains("builder") && !only.contains("container.create"),
        "{only}"
    );
    // What was learnt allows what was seen, by the same judge.
    desk.file("learnt.toml", &learnt);
    desk.file(
        "nothing.toml",
        "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"none\"\n",
    );
    let said = desk
        .run("diff nothing.toml learnt.toml --against audit.jsonl", "")
        .expect("an answer")
        .text;
    assert!(said.contains("3 of 4 requests change verdict"), "{said}");
    assert!(desk.run("learn audit.jsonl --client nobody", "").is_err());
}

#[test]
fn diff_shows_whose_requests_would_change_verdict() {
    let desk = Desk::new();
    let mut denied = create(
        "ci",
        &[
            ("images", "registry.example.com/team/a"),
            ("binds", "/srv/other"),
        ],
    );
    denied.decision = Decision::Deny;
    audit(
        &desk,
        &[
            create(
                "ci",
                &[
                    ("images", "registry.example.com/team/a"),
                    ("binds", "/srv/team/x"),
                ],
            ),
            denied,
            create("stranger", &[("images", "a")]),
        ],
    );
    assert_eq!(
        desk.run("diff policy.toml policy.toml --against audit.jsonl", "")
            .expect("an answer")
            .code,
        0
    );
    desk.file("new.toml", &POLICY.replace("/srv/team/**", "/srv/other/**"));
    let said = desk
        .run("diff policy.toml new.toml --against audit.jsonl", "")
        .expect("an answer");
    assert_eq!(said.code, 1);
    assert!(
        said.text
            .contains("ci  container.create  1x  allow -> deny (bind-sources: binds=/srv/team/x)"),
        "{}",
        said.text
    );
    assert!(
        said.text.contains("2 of 3 requests change verdict"),
        "{}",
        said.text
    );
}
