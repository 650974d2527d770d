//! Parameters, plain and unknown operations, and report mode.

use docker_api::{Operation, classify};
use policy::{BodyLength, EngineHeaders, Policy, Power, Request, Step};

use crate::support::{Ask, cn, limits, role};

#[test]
fn a_parameter_that_is_not_listed_or_repeats_is_refused() {
    let policy = limits(r#"images = ["ok/**"]"#);
    for query in [
        "fromImage=ok/x&fromImage=evil/x",
        "%66romImage=ok/x&fromImage=evil/x",
        "fromImage=ok/x&unheard=1",
        "fromImage=ok/%zz&fromImage=ok/x",
    ] {
        let target = format!("/images/create?{query}");
        Ask::new(&policy, "POST", &target).denied("parameters");
    }
    Ask::new(&policy, "POST", "/images/create?%66romImage=evil/x").denied("images");
    let _ = Ask::new(
        &policy,
        "POST",
        "/images/create?%66romImage=ok/x&tag=1&platform=",
    )
    .allowed();
    // A pair the engine cannot read names no image, so this is an import, and as such refused.
    Ask::new(&policy, "POST", "/images/create?fromImage=ok/x;tag=1").denied("operation");
    // Repeatable ones are judged one by one.
    Ask::new(
        &policy,
        "POST",
        "/build?t=registry.example.com/team/a&t=other/b",
    )
    .denied("tags");
    let _ = Ask::new(
        &policy,
        "POST",
        "/build?t=registry.example.com/team/a&t=registry.example.com/team/b:1",
    )
    .allowed();
    // Operations that only read have their lists too.
    Ask::new(&policy, "GET", "/containers/json?unheard=1").denied("parameters");
    let _ = Ask::new(&policy, "GET", "/containers/json?all=1&trunc_cmd=0").allowed();
}

#[test]
fn a_builds_powers_are_judged_by_their_parameters() {
    let policy = limits("");
    for (query, rule) in [
        ("networkmode=host", "host_namespaces"),
        ("networkmode=container:x", "join_containers"),
        ("cgroupparent=/x", "cgroup-parent"),
        ("remote=http://169.254.169.254/", "build"),
        ("outputs=%5B%7B%7D%5D", "build"),
        (
            "securityopt=%5B%22seccomp%3Dunconfined%22%5D",
            "security_opts",
        ),
        ("version=2", "buildkit"),
        ("session=x", "buildkit"),
        ("t=evil/x", "tags"),
    ] {
        let target = format!("/build?{query}");
        Ask::new(&policy, "POST", &target).denied(rule);
    }
    let _ = Ask::new(
        &policy,
        "POST",
        "/build?t=registry.example.com/team/x&networkmode=default&version=1&remote=&rm=1",
    )
    .allowed();
    let _ = Ask::new(
        &limits("buildkit = true"),
        "POST",
        "/build?version=2&session=x",
    )
    .allowed();
}

#[test]
fn booleans_are_read_as_the_engine_reads_them() {
    for (value, expected) in [
        ("yes", true),
        ("2", true),
        ("None", false),
        ("NO", false),
        ("0", false),
        ("", false),
        ("False", false),
        ("true", true),
    ] {
        assert_eq!(docker_api::query::boolean(value), expected, "{value}");
    }
}

#[test]
fn names_are_written_only_where_tags_allow() {
    let policy = role(
        "allow = [\"image.tag\", \"image.push\", \"image.import\", \"image.commit\"]\n[role.team.limits]\ntags = [\"team/app:dev\", \"lab/**\"]",
    );
    for target in [
        "/images/busybox/tag?repo=app&tag=latest",
        "/images/busybox/tag?repo=team/app",
        "/images/busybox/tag?repo=team/app&tag=latest",
        "/images/busybox/tag?repo=team/app:dev&tag=latest",
        "/images/team/app/push?tag=latest",
        "/images/team/app/push",
        "/images/create?fromSrc=-&repo=app",
    ] {
        Ask::new(&policy, "POST", target).denied("tags");
    }
    for target in [
        "/images/busybox/tag?repo=team/app&tag=dev",
        "/images/team/app/push?tag=dev",
        "/images/lab/x/push",
        "/images/create?fromSrc=-&repo=lab/x&tag=1",
    ] {
        let _ = Ask::new(&policy, "POST", target).allowed();
    }
}

#[test]
fn tunnels_open_only_with_the_opaque_grant() {
    let without = role("allow = [\"*\"]\n[role.team.limits]\ntags = []");
    let with = limits("buildkit = true");
    for target in ["/grpc", "/session", "/v1.51/grpc"] {
        Ask::new(&without, "POST", target).denied("operation");
        let _ = Ask::new(&with, "POST", target).allowed();
    }
    let text = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"x\"\n[role.x]\nallow = [\"build.grpc\"]\n";
    let error = Policy::parse("t", text)
        .expect_err("an opaque grant by accident")
        .to_string();
    assert!(error.contains("opaque"), "{error}");
}

#[test]
fn unknown_operations_pass_only_admin() {
    let limited = role("allow = [\"*\"]\n[role.team.limits]\ntags = []");
    let admin = Policy::parse(
        "t",
        "version = 1\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"admin\"\n",
    )
    .expect("a policy");
    for (method, target) in [
        ("POST", "/v4.0.0/libpod/containers/create"),
        ("GET", "/brand/new"),
        ("PATCH", "/containers/json"),
        ("HEAD", "/containers/json"),
        ("POST", "/v1.51./containers/create"),
        ("GET", "/containers/a/b/json"),
        ("GET", "/containers//json"),
    ] {
        Ask::new(&limited, method, target).denied("operation");
        let _ = Ask::new(&admin, method, target).allowed();
    }
    let _ = Ask::new(&limited, "GET", "/containers/json").allowed();
}

#[test]
fn a_permit_for_a_plain_operation_asks_for_nothing() {
    let policy = role("base = \"read-only\"");
    let classified = classify("GET", "/v1.51/containers/json?all=1").expect("plain");
    let request = Request {
        classified: &classified,
        content_type: None,
        content_encoding: None,
        headers: EngineHeaders::default(),
        body: BodyLength::Empty,
    };
    let step = policy.decide(policy.client_for(&cn("ci")), &request);
    assert!(
        matches!(step, Step::Permitted(permitted) if permitted.operation() == Operation::ContainerList)
    );
    let step = policy.decide(policy.client_for(&cn("stranger")), &request);
    assert!(
        matches!(step, Step::Denied(denied) if denied.rule == "client" && denied.client == "-")
    );
}

#[test]
fn report_mode_decides_tells_and_forwards() {
    let policy = role("base = \"deployer\"\nmode = \"report\"");
    let permitted = Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"b","HostConfig":{"Privileged":true}}"#)
        .run()
        .0
        .expect("report mode forwards");
    assert_eq!(
        permitted.would_deny().map(|denied| denied.rule),
        Some("privileged")
    );
    let permitted = Ask::new(&policy, "POST", "/plugins/x/enable")
        .run()
        .0
        .expect("report mode forwards");
    assert_eq!(
        permitted.would_deny().map(|denied| denied.rule),
        Some("operation")
    );
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"b"}"#)
        .allowed();
    // Globally as well; an entry of its own decides otherwise for its role.
    let text = "version = 1\nmode = \"report\"\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"hard\"\n[role.hard]\nbase = \"monitor\"\nmode = \"enforce\"\n";
    let policy = Policy::parse("t", text).expect("a policy");
    Ask::new(&policy, "POST", "/containers/create")
        .body("{}")
        .denied("operation");
}

#[test]
fn report_mode_lets_a_certificate_without_an_entry_pass_and_says_so() {
    let text = |mode: &str| {
        format!(
            "version = 1\nmode = \"{mode}\"\n[[client]]\nmatch = {{ cn = \"somebody\" }}\nrole = \"admin\"\n"
        )
    };
    let policy = Policy::parse("t", &text("report")).expect("a policy");
    for (method, target) in [("GET", "/containers/json"), ("PATCH", "/brand/new")] {
        let permitted = Ask::new(&policy, method, target)
            .run()
            .0
            .expect("report mode forwards");
        assert_eq!(
            permitted.would_deny().map(|denied| denied.rule),
            Some("client")
        );
    }
    assert!(!policy.shuts_out(policy.client_for(&cn("ci"))));
    let policy = Policy::parse("t", &text("enforce")).expect("a policy");
    Ask::new(&policy, "GET", "/containers/json").denied("client");
    assert!(policy.shuts_out(policy.client_for(&cn("ci"))));
    assert!(!policy.shuts_out(policy.client_for(&cn("somebody"))));
}

#[test]
fn the_open_policy_lets_everything_pass_uninspected() {
    let policy = Policy::open();
    assert!(policy.is_open());
    let (answer, asked) = Ask::new(&policy, "POST", "/containers/create")
        .body("{nonsense")
        .run();
    assert!(answer.is_ok() && asked.is_empty());
}

#[test]
fn control_characters_never_reach_a_message() {
    let policy = limits("");
    let denied = Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"b","HostConfig":{"Binds":["/etc\r\nSet-Cookie: x\u001b[2J:/x"]}}"#)
        .denied("binds");
    assert!(
        !denied.to_string().chars().any(char::is_control),
        "{denied:?}"
    );
    let long = format!(
        r#"{{"Image":"b","HostConfig":{{"Binds":["/{}:/x"]}}}}"#,
        "a".repeat(5000)
    );
    assert!(
        Ask::new(&policy, "POST", "/containers/create")
            .body(&long)
            .denied("binds")
            .to_string()
            .len()
            < 1000
    );
}

#[test]
fn report_mode_goes_on_behind_the_first_denial() {
    let found = |policy: &Policy| {
        let body = r#"{"Image":"a","HostConfig":{"Privileged":true,"Binds":["data:/d"]}}"#;
        let volume = r#"{"Driver":"local","Options":{"type":"none","o":"bind","device":"/srv"}}"#;
        let (answer, asked) = Ask::new(policy, "POST", "/containers/create")
            .body(body)
            .engine("/volumes/data", volume)
            .run();
        let answer = answer.map(|permitted| permitted.would_deny().cloned());
        (answer, asked)
    };
    for (base, rule) in [("ci", "privileged"), ("none", "operation")] {
        let text = |mode: &str| {
            format!("base = \"{base}\"\nmode = \"{mode}\"\n[role.team.limits]\ntags = []")
        };
        let (answer, asked) = found(&role(&text("report")));
        let denied = answer.expect("forwarded").expect("a denial");
        let facts: Vec<_> = denied.asked.kept.iter().filter_map(Power::fact).collect();
        assert_eq!((denied.rule, asked.len()), (rule, 1));
        for fact in [("privileged", "true"), ("binds", "/srv")] {
            assert!(facts.contains(&(fact.0, fact.1.into())), "{facts:?}");
        }
        // Enforced, the first is enough, and the engine is not asked.
        let (answer, asked) = found(&role(&text("enforce")));
        assert_eq!(answer.expect_err("denied").rule, rule);
        assert!(asked.is_empty());
    }
}
