//! What `policy learn` prints lets pass what was seen, and says what must be known before it is used.

use dockgate::observe::audit::{Decision, Record};
use policy::Policy;
use proptest::prelude::*;

use super::PolicyFolder;
use super::records::{audit, create};
use crate::audit::record;
use crate::support::{Ask, role};

/// What is learnt, and what is said beside it.
fn learnt(records: &[Record]) -> (String, String) {
    learnt_by("learn audit.jsonl", records)
}

fn learnt_by(command: &str, records: &[Record]) -> (String, String) {
    let desk = PolicyFolder::new();
    audit(&desk, records);
    let said = desk.run(command, "");
    let said = said.unwrap_or_else(|error| panic!("{error}\n{records:?}"));
    (said.text, said.note)
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} in\n{text}");
}

/// Method, target, body; the engine's answers are those of [`ask`].
const REQUESTS: &[(&str, &str, &str)] = &[
    ("GET", "/containers/json", ""),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"none"}}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"json-file"}}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"a.example/b:1","HostConfig":{"SecurityOpt":["seccomp=unconfined"]}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"a.example/b:2","HostConfig":{"SecurityOpt":["no-new-privileges"]}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"cafe","HostConfig":{"Privileged":true,"Runtime":"kata"}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"x","HostConfig":{"Runtime":"runc","CapAdd":["CHOWN","NET_ADMIN"]}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"x","HostConfig":{"Binds":["/srv/a:/a","/srv/b:/b:ro","data:/d"]}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"x","HostConfig":{"Binds":["/:/host"],"PidMode":"host","GroupAdd":["7"]}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"x","HostConfig":{"NetworkMode":"container:web"}}"#,
    ),
    (
        "POST",
        "/containers/create",
        r#"{"Image":"x","HostConfig":{"Sysctls":{"net.core.somaxconn":"9"}}}"#,
    ),
    (
        "POST",
        "/networks/create",
        r#"{"Name":"n","Driver":"macvlan"}"#,
    ),
    (
        "POST",
        "/networks/create",
        r#"{"Name":"n","Driver":"bridge"}"#,
    ),
    ("POST", "/volumes/create", r#"{"Name":"v"}"#),
    ("POST", "/images/create?fromImage=a.example/c&tag=1", ""),
    ("POST", "/images/create?fromImage=deadbeef&tag=latest", ""),
    (
        "POST",
        "/images/busybox/tag?repo=a.example/team/x&tag=1",
        "",
    ),
    ("POST", "/images/busybox/tag?repo=beef", ""),
    ("POST", "/containers/web/exec", r#"{"Cmd":["id"]}"#),
    (
        "POST",
        "/containers/web/exec",
        r#"{"Cmd":["id"],"Privileged":true}"#,
    ),
    ("POST", "/session", ""),
];

fn ask<'a>(policy: &'a Policy, (method, target, body): (&'a str, &'a str, &'a str)) -> Ask<'a> {
    let web = r#"{"Id":"abc","Image":"sha256:00","Config":{"Image":"a.example/web"},"HostConfig":{"CapAdd":["SYS_TIME"]}}"#;
    Ask::new(policy, method, target)
        .body(body)
        .engine("/containers/web/json", web)
}

/// The gate's record of a request under a policy that only reports.
fn reported(policy: &Policy, request: (&str, &str, &str)) -> Record {
    let permitted = ask(policy, request).run().0.expect("report mode forwards");
    let mut line = record();
    line.mode = "report".into();
    (line.method, line.path) = (request.0.into(), request.1.into());
    line.operation = permitted.operation().id().into();
    line.permitted(&permitted);
    line
}

fn round_trip(requests: &[(&str, &str, &str)]) {
    for base in ["base = \"admin\"", "base = \"none\""] {
        round_trip_under(base, requests);
    }
}

/// What the role allows makes no difference: reporting goes on behind a refused operation.
fn round_trip_under(base: &str, requests: &[(&str, &str, &str)]) {
    let watching = role(&format!(
        "{base}\nmode = \"report\"\n[role.team.limits]\ntags = []"
    ));
    let lines: Vec<Record> = requests
        .iter()
        .map(|request| reported(&watching, *request))
        .collect();
    let (text, note) = learnt(&lines);
    assert_eq!(note, "", "{text}");
    let policy = Policy::parse("learnt", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for request in requests {
        let answer = ask(&policy, *request).run().0;
        assert!(answer.is_ok(), "{request:?}: {answer:?}\n{text}");
    }
}

#[test]
fn every_request_that_was_seen_is_allowed_by_what_was_learnt() {
    round_trip(REQUESTS);
    for request in REQUESTS {
        round_trip(&[*request]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_seen_together_is_allowed_together(
        requests in proptest::sample::subsequence(REQUESTS.to_vec(), 1..REQUESTS.len())
    ) {
        round_trip(&requests);
    }
}

#[test]
fn values_that_the_defaults_allow_stay_beside_those_that_they_do_not() {
    let seen = [
        ("images", "x"),
        ("log_drivers", "json-file"),
        ("security_opts", "no-new-privileges"),
    ];
    let odd = [("images", "x"), ("log_drivers", "none")];
    let (text, _) = learnt(&[create("ci", &seen), create("ci", &odd)]);
    has(
        &text,
        "log_drivers = [\n    \"json-file\",\n    \"none\",\n]",
    );
    assert!(!text.contains("security_opts"), "{text}");
    let (text, _) = learnt(&[create("ci", &seen)]);
    assert!(!text.contains("log_drivers"), "{text}");
}

#[test]
fn what_was_only_ever_refused_is_granted_when_asked_for_and_named_when_not() {
    let mut denied = create(
        "ci",
        &[("images", "x"), ("privileged", "true"), ("binds", "/etc")],
    );
    denied.decision = Decision::Deny;
    denied.rule = Some("privileged".into());
    denied.detail = Some("HostConfig.Privileged=true".into());
    let mut killed = create("ci", &[]);
    killed.operation = "container.kill".into();
    killed.decision = Decision::Deny;
    killed.rule = Some("operation".into());
    let granted = create("ci", &[("images", "x"), ("binds", "/srv/a")]);
    let mut stranger = create("eve", &[]);
    stranger.operation = "container.list".into();
    stranger.client = "-".into();
    stranger.rule = Some("client".into());
    stranger.decision = Decision::Deny;
    let records = [denied.clone(), denied, killed, granted, stranger];
    let (text, note) = learnt(&records);
    for part in [
        "# only ever refused, and not granted without --with-denied:\n#     allow \"container.kill\" (1 time)\n#     binds \"/etc\" (2 times)\n#     privileged \"true\" (2 times)\nallow = [\"container.create\"]\n",
        "binds = [\"/srv/a\"]\n",
        "images = [\"docker.io/library/x\"]\n",
        "\n# unknown to the policy: none of its entries matched\n[[client]]\nmatch = { cn = \"eve\" }",
        "#     allow \"container.list\" (1 time)\nallow = []",
    ] {
        has(&text, part);
    }
    assert_eq!(note, "");
    assert!(
        text.starts_with("version = 1\n"),
        "nothing leads to root: {text}"
    );
    let (text, note) = learnt_by("learn audit.jsonl --with-denied", &records);
    for part in [
        "privileged = true # denied 2 times\n",
        "    \"/etc\", # denied 2 times\n",
        "    \"/srv/a\",\n",
        "    \"container.kill\", # denied 1 time\n",
        "    \"container.create\",\n",
        "images = [\"docker.io/library/x\"]\n",
        "\n# unknown to the policy: none of its entries matched\n[[client]]\nmatch = { cn = \"eve\" }",
        "    \"container.list\", # unknown to the policy; denied 1 time\n",
    ] {
        has(&text, part);
    }
    assert_eq!(note, "");
    // What leads to root comes first, by the judgement of `check`.
    assert!(
        text.starts_with("# client \"ci\" leads to root on the host: privileged = true; binds \"/etc\" reaches /etc\nversion = 1\n"),
        "{text}"
    );
    assert!(!text.contains("client \"eve\" leads"), "{text}");
}

#[test]
fn what_was_not_looked_into_is_not_invented() {
    let mut open = create("ci", &[]);
    (open.mode, open.role, open.client) = ("none".into(), "admin".into(), "any".into());
    let mut listed = open.clone();
    listed.operation = "container.list".into();
    let (text, note) = learnt(&[open.clone(), open.clone(), listed]);
    has(
        &text,
        "\"container.create\", # its limits are unknown: 2 times recorded without them\n",
    );
    has(&text, "    \"container.list\",\n");
    has(
        &note,
        "what was asked for was not recorded of container.create\nhint: record under a policy with `mode = \"report\"`",
    );
    // What a record had no room for may have been anything.
    let mut long = create("ci", &[("images", "x")]);
    long.facts_omitted = 1;
    has(&learnt(&[long]).1, "container.create");
    // Refused before a look at the body.
    let mut early = create("ci", &[]);
    early.operation = "exec.create".into();
    early.decision = Decision::Deny;
    early.rule = Some("operation".into());
    has(&learnt(&[early]).1, "exec.create");
    let seen = learnt(&[create("ci", &[("images", "x")])]);
    assert!(seen.1.is_empty() && !seen.0.contains("unknown"), "{seen:?}");
}

#[test]
fn what_makes_everything_the_least_is_named() {
    let (text, _) = learnt(&[
        create("ci", &[("images", "cafe")]),
        create("ci", &[("images", "x:1")]),
    ]);
    has(
        &text,
        "    \"**\", # everything, because \"cafe\" may be an id, and nothing less lets ids pass\n",
    );
    has(&text, "    \"docker.io/library/x\",\n");
}

#[test]
fn nothing_that_a_client_sends_ends_a_comment_or_the_run() {
    let line = create(
        "ci\nrole",
        &[
            ("images", "x"),
            ("security_opts", "unconfined\nprivileged = true"),
            ("capabilities", "NO_SUCH"),
            ("binds", "/srv/*"),
            ("unknown_fields", ""),
        ],
    );
    let (text, _) = learnt(&[line]);
    for part in [
        "capabilities: NO_SUCH",
        "binds: /srv/*",
        "match = { spki = ",
    ] {
        has(&text, part);
    }
    assert!(!text.contains("\nprivileged"), "{text}");
}

#[test]
fn a_certificate_is_known_by_what_no_other_entry_fits() {
    let mut plain = create("ci", &[]);
    let mut named = create("ci", &[]);
    named.certificate.uri = vec!["spiffe://x/a".into()];
    let mut both = create("other", &[]);
    both.certificate.uri = vec!["spiffe://x/a".into(), "spiffe://x/b".into()];
    for (line, operation) in [
        (&mut plain, "container.list"),
        (&mut named, "image.list"),
        (&mut both, "volume.list"),
    ] {
        line.operation = operation.into();
    }
    let desk = PolicyFolder::new();
    audit(&desk, &[plain, named, both]);
    let text = desk.run("learn audit.jsonl", "").expect("a policy").text;
    desk.file("learnt.toml", &text);
    for (words, target, code) in [
        ("--cn ci", "/containers/json", 0),
        ("--cn ci", "/images/json", 3),
        ("--cn ci --uri spiffe://x/a", "/images/json", 0),
        ("--cn ci --uri spiffe://x/a", "/containers/json", 3),
    ] {
        let said = desk.run(&format!("explain learnt.toml {words} GET {target}"), "");
        assert_eq!(
            said.expect("an answer").code,
            code,
            "{words} {target}\n{text}"
        );
    }
    let first = text
        .find("[[client]]\nmatch = { spki = ")
        .expect("by its key");
    assert!(first < text.find("uri = ").expect("by its URI"), "{text}");
}

#[test]
fn learn_prints_the_largest_amount_and_the_ports_users_and_networks_that_were_used() {
    let desk = PolicyFolder::new();
    let one = create(
        "ci",
        &[
            ("images", "docker.io/team/app:1"),
            ("memory", "512m"),
            ("cpus", "0.5"),
            ("pids", "unlimited"),
            ("ports", "127.0.0.1:8080/tcp"),
            ("users", "1000"),
            ("networks", "ci-net"),
            ("names", "job-1"),
        ],
    );
    let mut two = one.clone();
    two.request = "2".into();
    two.facts[1].1 = "1g".into();
    two.facts[3].1 = "100".into();
    audit(&desk, &[one, two]);
    let learnt = desk.run("learn audit.jsonl", "").expect("a policy").text;
    for line in [
        "memory = \"1g\"",
        "cpus = \"0.5\"",
        "ports = [\"127.0.0.1:8080/tcp\"]",
        "users = [\"1000\"]",
        "networks = [\"ci-net\"]",
    ] {
        assert!(learnt.contains(line), "{line:?} in\n{learnt}");
    }
    // Of two amounts the larger, no bound where one had none, and no names, which differ each time.
    for absent in ["512m", "pids", "names"] {
        assert!(!learnt.contains(absent), "{absent} in\n{learnt}");
    }
}
