//! What the built-in roles and the toggles open, and whether a role leads to root.

use docker_api::{Operation, OperationKind, Risk};
use policy::risk::{RootAnswer, reach};
use policy::{Policy, Role, expand};

use crate::parameters::target;
use crate::support::{Ask, limits, role};

fn built_in(name: &str) -> Role {
    let policy = Policy::parse(
        "t",
        "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"none\"\n",
    )
    .expect("a policy");
    policy
        .roles
        .into_iter()
        .find(|role| role.name == name)
        .expect("a built-in role")
}

pub(crate) fn may(role: &Role, id: &str) -> bool {
    role.allowed
        .contains(Operation::from_id(id).expect("an operation"))
}

#[test]
fn read_only_reads_and_neither_writes_nor_copies_files_out() {
    let role = built_in("read-only");
    for operation in role.allowed.iter() {
        assert!(operation.risk() <= Risk::SensitiveRead, "{operation}");
        assert!(
            !matches!(
                operation.kind(),
                OperationKind::Transfer
                    | OperationKind::Exec
                    | OperationKind::Build
                    | OperationKind::Admin
            ),
            "{operation}"
        );
    }
    for id in [
        "container.archive-get",
        "container.export",
        "image.save",
        "container.attach-ws",
        "config.list",
        "config.inspect",
        "swarm.inspect",
        "swarm.unlockkey",
        "debug.vars",
        "debug.pprof-named",
    ] {
        assert!(!may(&role, id), "{id}");
    }
    for id in [
        "container.list",
        "container.logs",
        "image.inspect",
        "secret.list",
        "system.df",
    ] {
        assert!(may(&role, id), "{id}");
    }
}

#[test]
fn monitor_never_shows_environment_or_logs() {
    let role = built_in("monitor");
    for operation in role.allowed.iter() {
        assert_eq!(operation.risk(), Risk::Read, "{operation}");
    }
    assert!(
        may(&role, "container.stats")
            && !may(&role, "container.inspect")
            && !may(&role, "container.logs")
    );
}

#[test]
fn presets_read_only_what_their_tool_reads() {
    for name in ["traefik", "prometheus", "cadvisor"] {
        let role = built_in(name);
        assert!(
            role.allowed
                .iter()
                .all(|op| op.risk() <= Risk::SensitiveRead),
            "{name}"
        );
        assert!(may(&role, "container.list"), "{name}");
        assert!(
            !may(&role, "container.archive-get") && !may(&role, "container.attach-ws"),
            "{name}"
        );
    }
    let role = built_in("watchtower");
    assert!(
        may(&role, "container.create")
            && !may(&role, "exec.create")
            && !may(&role, "container.archive-put")
    );
}

#[test]
fn roles_grow_from_one_another() {
    let chain = [
        "none",
        "monitor",
        "read-only",
        "operator",
        "deployer",
        "ci",
        "admin",
    ];
    for pair in chain.windows(2) {
        let (small, large) = (built_in(pair[0]), built_in(pair[1]));
        assert!(
            small.allowed.minus(large.allowed).is_empty(),
            "{} in {}",
            pair[0],
            pair[1]
        );
        assert!(
            !large.allowed.minus(small.allowed).is_empty(),
            "{} in {}",
            pair[0],
            pair[1]
        );
    }
}

#[test]
fn patterns_expand_by_resource_verb_and_class() {
    let ids = |pattern: &str| {
        expand(pattern)
            .expect("a pattern")
            .iter()
            .map(Operation::id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("image.pull"), ["image.pull"]);
    assert!(ids("exec.*").len() == 4 && ids("*.inspect").contains(&"volume.inspect"));
    assert!(
        expand("*:read")
            .expect("a pattern")
            .iter()
            .all(|op| op.risk() == Risk::Read)
    );
    assert!(
        expand("container.*:sensitive")
            .expect("a pattern")
            .iter()
            .all(|op| op.resource() == "container")
    );
    assert!(!expand("*").expect("a pattern").contains(Operation::Unknown));
    assert!(
        expand("image.fly").is_err()
            && expand("image.pull:read").is_err()
            && expand("*:all").is_err()
    );
}

#[test]
fn deny_wins_over_allow_and_base() {
    let policy = role(
        "base = \"operator\"\nallow = [\"container.prune\", \"container.kill\"]\ndeny = [\"container.kill\", \"container.start\"]",
    );
    let role = policy
        .roles
        .iter()
        .find(|role| role.name == "team")
        .expect("the role");
    assert!(
        may(role, "container.prune")
            && !may(role, "container.kill")
            && !may(role, "container.start")
    );
}

#[test]
fn a_role_that_leads_to_root_says_by_what() {
    let road = |policy: &Policy| {
        reach(
            policy
                .roles
                .iter()
                .find(|role| role.name == "team")
                .expect("the role"),
        )
        .root
    };
    assert!(road(&limits("")).is_empty());
    assert!(road(&limits("binds = [\"/etc/ssl/certs/**:ro\"]")).is_empty());
    for (text, word) in [
        ("privileged = true", "privileged"),
        ("host_namespaces = [\"pid\"]", "pid"),
        ("join_containers = true", "join_containers"),
        ("binds = [\"/**\"]", "binds"),
        ("binds = [\"/etc/**\"]", "/etc"),
        ("binds = [\"/var/run/docker.sock\"]", "/var/run"),
        ("binds = [\"/var/run/docker.sock:ro\"]", "/var/run"),
        ("binds = [\"/**:ro\"]", "binds"),
        ("capabilities = [\"SYS_ADMIN\"]", "SYS_ADMIN"),
        ("capabilities = [\"ALL\"]", "ALL"),
        ("devices = [\"/dev/sda\"]", "/dev/sda"),
        ("security_opts = [\"seccomp=unconfined\"]", "seccomp"),
        ("volumes = [\"*\"]", "volumes \"*\""),
        ("volumes = [\"team\", \"**\"]", "volumes \"*\""),
        ("binds = [\"/etc/**:ro\"]", "/etc/shadow"),
        ("binds = [\"/home/**\"]", "/home"),
        ("binds = [\"/home/**:ro\"]", "/home"),
        ("binds = [\"/home/ada/work:ro\"]", "/home"),
        ("binds = [\"/srv/**\"]", "a link to /"),
        ("binds = [\"/srv/team/**\"]", "a link to /"),
        (
            "binds = [\"/srv/team\", \"/srv/team/cache:ro\"]",
            "a link to /",
        ),
        ("log_drivers = [\"syslog\"]", "log_drivers has \"syslog\""),
        (
            "log_drivers = [\"local\", \"gelf\"]",
            "log_drivers has \"gelf\"",
        ),
        ("log_drivers = [\"fluentd\"]", "log_drivers has \"fluentd\""),
        (
            "annotations = [\"run.oci.keep_original_groups\"]",
            "annotations has",
        ),
    ] {
        assert!(
            road(&limits(text)).iter().any(|road| road.contains(word)),
            "{text}: {:?}",
            road(&limits(text))
        );
    }
    for (text, word) in [
        ("base = \"monitor\"\nallow = [\"plugin.*\"]", "plugin.pull"),
        ("base = \"monitor\"\nallow = [\"swarm.*\"]", "swarm.join"),
        (
            "base = \"monitor\"\nallow = [\"checkpoint.*\"]",
            "checkpoint.create",
        ),
        (
            "base = \"monitor\"\nallow = [\"exec.*\"]\ntarget_check = false",
            "exec.create",
        ),
    ] {
        assert!(
            road(&role(text)).iter().any(|road| road.contains(word)),
            "{text}: {:?}",
            road(&role(text))
        );
    }
    assert!(road(&role("base = \"monitor\"\nallow = [\"exec.*\"]")).is_empty());
    assert_eq!(reach(&built_in("admin")).root, ["unrestricted"]);
}

#[test]
fn what_cannot_be_known_is_not_called_no() {
    let answer = |policy: &Policy| {
        let role = policy.roles.iter().find(|role| role.name == "team");
        reach(role.expect("the role")).answer()
    };
    // `deployer` has no build, which by itself cannot be told.
    let deployer = |limits: &str| {
        answer(&role(&format!(
            "base = \"deployer\"\n[role.team.limits]\nimages = [\"registry.example.com/team/**\"]\n{limits}"
        )))
    };
    assert_eq!(deployer("volumes = [\"team-*\"]"), RootAnswer::No);
    assert_eq!(deployer("binds = [\"/etc/ssl/certs:ro\"]"), RootAnswer::No);
    assert_eq!(
        deployer("log_drivers = [\"json-file\", \"none\"]"),
        RootAnswer::No
    );
    for name in [
        "none",
        "monitor",
        "read-only",
        "operator",
        "traefik",
        "prometheus",
        "cadvisor",
    ] {
        assert_eq!(reach(&built_in(name)).answer(), RootAnswer::No, "{name}");
    }
    for limits in [
        "binds = [\"/data/**:ro\"]",
        "binds = [\"/etc/nginx:ro\"]",
        "binds = [\"/var/log:ro\"]",
        "binds = [\"/srv/team\"]",
        "runtimes = [\"runsc\"]",
        "log_drivers = [\"loki\"]",
        "network_drivers = [\"weave\"]",
        "device_requests = [\"gpu\"]",
        "unknown_fields = [\"HostConfig.NewThing\"]",
        "host_namespaces = [\"ipc\"]",
        "security_opts = [\"apparmor=team\"]",
        "subnets = [\"10.0.0.0/8\"]",
        "groups = [\"5\"]\nbinds = [\"/etc/ssl/certs:ro\"]",
    ] {
        assert_eq!(deployer(limits), RootAnswer::CannotTell, "{limits}");
    }
    for role_text in [
        "base = \"builder\"\n[role.team.limits]\ntags = [\"team/**\"]",
        "allow = [\"image.load\"]\n[role.team.limits]\ntags = [\"**\"]",
        "allow = [\"image.tag\"]\n[role.team.limits]\ntags = [\"**\"]",
        "allow = [\"plugin.disable\"]",
        "allow = [\"swarm.unlockkey\"]",
    ] {
        assert_eq!(
            answer(&role(role_text)),
            RootAnswer::CannotTell,
            "{role_text}"
        );
    }
    let tag = "allow = [\"image.tag\", \"image.load\"]\n[role.team.limits]\ntags = [\"team/**\"]";
    assert_eq!(answer(&role(tag)), RootAnswer::No);
}

/// The line that a denial of this operation says.
fn advice(policy: &Policy, operation: Operation) -> Option<String> {
    let target = target(operation);
    match Ask::new(policy, operation.method(), &target).run().0 {
        Err(denied) if denied.rule == "operation" => Some(denied.grant),
        _ => None,
    }
}

/// The role's text with this line written into it.
fn with_advice(text: &str, line: &str) -> String {
    let (line, role) = line.split_once(" in role ").unwrap_or((line, "team"));
    assert_eq!(role, "team", "{line}");
    match line.split_once(" and limits.tags") {
        Some((line, "")) => format!("{line}\n{text}\n[role.team.limits]\ntags = [\"**\"]"),
        None if line.starts_with('[') => format!("{text}\n{line}"),
        None if line == "build.classic = true" => text.replace("classic = false", ""),
        _ => format!("{line}\n{text}"),
    }
}

#[test]
fn the_line_that_a_refused_operation_says_is_read_and_grants_it() {
    let mut written = 0;
    for text in [
        "",
        "base = \"read-only\"",
        "base = \"builder\"\n[role.team.limits]\ntags = [\"ci/**\"]\n[role.team.build]\nclassic = false",
        "scope = \"own\"",
    ] {
        let policy = role(text);
        for operation in Operation::ALL.iter().copied() {
            let Some(line) = advice(&policy, operation).filter(|line| !line.is_empty()) else {
                continue;
            };
            let policy = role(&with_advice(text, &line));
            assert_eq!(advice(&policy, operation), None, "{line}");
            written += 1;
        }
    }
    assert!(written > 200, "{written}");
}

#[test]
fn a_refused_tunnel_names_the_table_that_judges_builds() {
    let policy = role("base = \"builder\"\n[role.team.limits]\ntags = [\"ci/**\"]");
    for operation in [Operation::BuildGrpc, Operation::BuildSession] {
        let line = advice(&policy, operation);
        assert_eq!(line.as_deref(), Some("[role.team.build]"), "{operation}");
    }
}

#[test]
fn no_line_contradicts_the_role_or_names_one_that_cannot_be_written() {
    let policy = role("base = \"builder\"\ndeny = [\"image.*\"]");
    assert_eq!(
        advice(&policy, Operation::ImageList).as_deref(),
        Some(""),
        "it is denied by name"
    );
    let text = "version = 1\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"read-only\"\n";
    let policy = Policy::parse("t", text).expect("a policy");
    assert_eq!(
        advice(&policy, Operation::ExecCreate).as_deref(),
        Some("a role of its own with base = \"read-only\" and allow = [\"exec.create\"]")
    );
    assert_eq!(
        advice(&policy, Operation::BuildGrpc).as_deref(),
        Some("a role of its own with base = \"read-only\" and [role.NAME.build]")
    );
}
