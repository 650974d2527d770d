//! `policy learn` and `policy diff`, which read audit records.

use dockgate::observe::audit::{Decision, Record};

use super::{POLICY, PolicyFolder};
use crate::audit::record;

pub(super) fn create(cn: &str, facts: &[(&str, &str)]) -> Record {
    let mut line = record();
    line.certificate.cn = vec![cn.into()];
    line.client = cn.into();
    line.facts = facts
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    line
}

pub(super) fn audit(desk: &PolicyFolder, records: &[Record]) {
    let text: String = records.iter().map(|record| record.line() + "\n").collect();
    desk.file("audit.jsonl", &text);
}

#[test]
fn learn_prints_the_least_policy_that_allows_what_was_seen() {
    let desk = PolicyFolder::new();
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
        "only the role admin could send: \"POST /brand/new\\n\"",
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
    let desk = PolicyFolder::new();
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
            .contains("ci  container.create  1x  allow -> deny (binds: binds=/srv/team/x)"),
        "{}",
        said.text
    );
    assert!(
        said.text.contains("2 of 3 requests change verdict"),
        "{}",
        said.text
    );
}

#[test]
fn diff_of_an_audit_without_a_request_is_an_error() {
    let desk = PolicyFolder::new();
    let diff = "diff policy.toml policy.toml --against audit.jsonl";
    audit(&desk, &[]);
    let said = desk.run(diff, "").expect_err("no proof").to_string();
    assert!(said.ends_with("audit.jsonl\" has no request"), "{said}");
    audit(&desk, &[create("ci", &[("images", "a")])]);
    assert_eq!(desk.run(diff, "").expect("an answer").code, 0);
}

fn build_call(operation: &str, decision: Decision, facts: &[(&str, &str)]) -> Record {
    let mut record = create("ci", facts);
    record.operation = operation.into();
    record.decision = decision;
    record
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn learn_and_diff_know_what_judged_builds_ask_for() {
    let desk = PolicyFolder::new();
    let solve = build_call(
        "build.solve",
        Decision::Allow,
        &[
            ("build.outputs", "image"),
            ("build.tags", "docker.io/ci/app:1"),
            ("build.push", "docker.io/ci/app:1"),
            ("build.cache", "inline"),
            ("build.cache", "registry.example.com/cache/a:main"),
            ("build.sources", "local://context"),
        ],
    );
    let status = build_call(
        "build.status",
        Decision::Allow,
        &[
            (
                "build.sources",
                "docker-image://docker.io/library/busybox:1",
            ),
            ("build.sources", "git://github.com/example/x.git#main"),
        ],
    );
    let mut refused = build_call(
        "build.solve",
        Decision::Deny,
        &[("build.entitlements", "network.host")],
    );
    refused.rule = Some("entitlements".into());
    let mut tunnel = create("ci", &[]);
    tunnel.operation = "build.grpc".into();
    audit(&desk, &[tunnel, solve, status, refused]);
    let learnt = desk.run("learn audit.jsonl", "").expect("a policy").text;
    for line in [
        "[role.learnt-1.build]",
        "sources = [\"docker.io/library/busybox\", \"https://github.com/example/x\"]",
        "outputs = [\"image\"]",
        "tags = [\"docker.io/ci/app\"]",
        "push = [\"docker.io/ci/app\"]",
        "cache = [\"inline\", \"registry.example.com/cache/a\"]",
        "#     build.entitlements \"network.host\" (1 time)",
    ] {
        assert!(learnt.contains(line), "{line:?} in\n{learnt}");
    }
    assert!(
        !learnt.contains("buildkit = true") && !learnt.contains("\nentitlements"),
        "{learnt}"
    );
    desk.file("learnt.toml", &learnt);
    let other = learnt.replace("docker.io/library/busybox", "docker.io/library/alpine");
    desk.file("other.toml", &other);
    let said = desk
        .run("diff learnt.toml other.toml --against audit.jsonl", "")
        .expect("an answer")
        .text;
    let line =
        "ci  build.status  1x  allow -> deny (sources: docker-image://docker.io/library/busybox:1)";
    assert!(
        said.contains(line) && said.contains("1 of 4 requests"),
        "{said}"
    );
    let with = desk
        .run("learn audit.jsonl --with-denied", "")
        .expect("a policy")
        .text;
    assert!(with.contains("entitlements = [\"network.host\"]"), "{with}");
}

#[test]
fn a_build_is_explained_and_tested_by_its_description() {
    let desk = PolicyFolder::new();
    desk.file("build.toml", "version = 1\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"maker\"\n[role.maker]\nbase = \"builder\"\n[role.maker.limits]\ntags = [\"ci/**\"]\nimages = [\"docker.io/library/**\"]\n[role.maker.build]\n");
    let run = |name: &str| {
        let body = format!(
            "{{\"Exporters\":[{{\"Type\":\"moby\",\"Attrs\":{{\"name\":\"{name}\"}}}}],\"Sources\":[\"docker-image://docker.io/library/busybox:1\"]}}"
        );
        desk.run("explain build.toml --cn ci POST /grpc", &body)
            .expect("an answer")
    };
    let (good, bad) = (run("ci/app"), run("other/app"));
    assert_eq!((good.code, bad.code), (0, 3), "{} {}", good.text, bad.text);
    for part in [
        "build.solve",
        "sources",
        "ok    docker-image://docker.io/library/busybox:1",
        "allow (enforce)",
    ] {
        assert!(good.text.contains(part), "{part} in {}", good.text);
    }
    for part in [
        "DENY  other/app",
        "gRPC status 7",
        "role maker: tags: the image name",
    ] {
        assert!(bad.text.contains(part), "{part} in {}", bad.text);
    }
    let cases = [
        r#"{"cn":"ci","method":"POST","target":"/grpc","body":{"Exporters":[{"Type":"moby","Attrs":{"name":"ci/a"}}]},"expect":"allow"}"#,
        r#"{"cn":"ci","method":"POST","target":"/grpc","body":{"Entitlements":["network.host"]},"expect":"deny","rule":"entitlements"}"#,
        r#"{"cn":"ci","method":"POST","target":"/grpc","body":{"Sources":["https://169.254.169.254/x"]},"expect":"deny","rule":"sources"}"#,
        r#"{"cn":"ci","method":"POST","target":"/grpc","expect":"allow"}"#,
    ];
    desk.file("cases.jsonl", &cases.join("\n"));
    let tested = desk
        .run("test build.toml cases.jsonl", "")
        .expect("an answer");
    assert_eq!(tested.text, "4 passed, 0 failed");
    assert!(
        desk.run("explain build.toml --cn ci POST /grpc", "{\"x\":1}")
            .is_err()
    );
}
