//! `policy learn` and `policy diff`, which read audit records.

use dockgate::observe::audit::{Decision, Record};

use super::{Desk, POLICY};
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

pub(super) fn audit(desk: &Desk, records: &[Record]) {
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
    let desk = Desk::new();
    let diff = "diff policy.toml policy.toml --against audit.jsonl";
    audit(&desk, &[]);
    let said = desk.run(diff, "").expect_err("no proof").to_string();
    assert!(said.ends_with("audit.jsonl\" has no request"), "{said}");
    audit(&desk, &[create("ci", &[("images", "a")])]);
    assert_eq!(desk.run(diff, "").expect("an answer").code, 0);
}
