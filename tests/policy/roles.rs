//! What the built-in roles and the toggles open, and whether a role leads to root.

use dockgate::docker::{Kind, Operation, Risk};
use dockgate::policy::risk::reach;
use dockgate::policy::{Policy, Role, expand, toggles};

use crate::support::{limits, role};

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

fn may(role: &Role, id: &str) -> bool {
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
                Kind::Transfer | Kind::Exec | Kind::Build | Kind::Admin
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
    assert!(road(&limits("binds = [\"/srv/a/**\", \"/etc/ssl/certs/**:ro\"]")).is_empty());
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

fn toggled(pairs: &[(&str, &str)]) -> Vec<&'static str> {
    let policy = toggles::from_env(pairs.iter().copied())
        .expect("toggles")
        .expect("some toggle");
    policy.roles[0].allowed.iter().map(Operation::id).collect()
}

#[test]
fn toggles_open_what_they_name_and_nothing_leads_into_a_container_by_accident() {
    let open = toggled(&[("CONTAINERS", "1"), ("POST", "1"), ("PATH", "/bin")]);
    for id in [
        "container.list",
        "container.create",
        "container.start",
        "container.delete",
        "system.ping",
        "system.version",
        "system.events",
    ] {
        assert!(open.contains(&id), "{id}");
    }
    for id in [
        "exec.create",
        "exec.start",
        "container.attach",
        "container.attach-ws",
        "container.archive-put",
        "container.archive-get",
        "container.archive-stat",
        "container.export",
        "image.build",
        "build.grpc",
        "image.list",
    ] {
        assert!(!open.contains(&id), "{id}");
    }
    let open = toggled(&[("CONTAINERS", "1"), ("POST", "1"), ("EXEC", "1")]);
    assert!(open.contains(&"exec.create") && open.contains(&"exec.start"));
    let open = toggled(&[("IMAGES", "1"), ("POST", "1")]);
    assert!(
        open.contains(&"image.pull")
            && !open.contains(&"image.build")
            && !open.contains(&"image.commit")
    );
}

#[test]
fn without_post_nothing_is_written_but_what_the_allow_toggles_name() {
    let open = toggled(&[("CONTAINERS", "1"), ("IMAGES", "1"), ("POST", "0")]);
    assert!(
        open.iter().all(|id| matches!(
            Operation::from_id(id).expect("known").method(),
            "GET" | "HEAD"
        )),
        "{open:?}"
    );
    let open = toggled(&[("CONTAINERS", "1"), ("ALLOW_RESTARTS", "1")]);
    assert!(
        open.contains(&"container.restart")
            && open.contains(&"container.kill")
            && !open.contains(&"container.start")
    );
    let open = toggled(&[("PING", "0"), ("CONTAINERS", "0")]);
    assert_eq!(open, ["system.version", "system.events"]);
}

#[test]
fn the_finer_toggles_open_and_close_what_they_name() {
    let open = toggled(&[
        ("CONTAINERS", "1"),
        ("ALLOW_ATTACH", "1"),
        ("ALLOW_EXPORT", "1"),
        ("ALLOW_PAUSE", "1"),
    ]);
    for id in [
        "container.attach",
        "container.attach-ws",
        "container.export",
        "container.pause",
        "container.logs",
    ] {
        assert!(open.contains(&id), "{id}");
    }
    for id in [
        "container.unpause",
        "container.archive-get",
        "exec.create",
        "container.kill",
    ] {
        assert!(!open.contains(&id), "{id}");
    }
    let open = toggled(&[
        ("CONTAINERS", "1"),
        ("ALLOW_ARCHIVE", "1"),
        ("ALLOW_LOGS", "0"),
    ]);
    assert!(open.contains(&"container.archive-put") && !open.contains(&"container.logs"));
    let open = toggled(&[
        ("CONTAINERS", "1"),
        ("POST", "1"),
        ("EXEC", "1"),
        ("ALLOW_EXEC", "0"),
        ("ALLOW_KILL", "0"),
    ]);
    assert!(open.contains(&"exec.inspect") && open.contains(&"container.stop"));
    assert!(!open.contains(&"exec.create") && !open.contains(&"container.kill"));
    // Methods with a switch of their own; without one, POST stands for all of them.
    let open = toggled(&[("CONTAINERS", "1"), ("POST", "1"), ("DELETE", "0")]);
    assert!(open.contains(&"container.create") && !open.contains(&"container.delete"));
    let open = toggled(&[("CONTAINERS", "1"), ("DELETE", "1")]);
    assert!(open.contains(&"container.delete") && !open.contains(&"container.create"));
}

#[test]
fn any_toggle_makes_a_policy_and_a_misspelt_one_alone_is_an_error() {
    let read = |pairs: &[(&str, &str)]| toggles::from_env(pairs.iter().copied());
    for name in toggles::NAMES {
        assert!(
            read(&[(name, "0")]).expect("a toggle").is_some(),
            "{name}=0 must not leave the engine open"
        );
    }
    // Names that other programs use too are toggles only as such.
    assert!(
        read(&[("VERSION", "1.2.3"), ("BUILD", "")])
            .expect("no toggle")
            .is_none()
    );
    assert!(read(&[("POST", "")]).expect("a toggle").is_some());
    for name in ["CONTAINER", "IMAGE", "ALLOW_RESTART"] {
        let error = read(&[(name, "1")]).expect_err("misspelt").to_string();
        assert!(
            error.contains(name) && error.contains("did you mean"),
            "{error}"
        );
    }
    let error = read(&[("CONTAINERS", "1"), ("ALLOW_EVERYTHING", "1")]).expect_err("unknown");
    assert!(error.to_string().contains("ALLOW_EVERYTHING"), "{error}");
}

#[test]
fn unknown_toggles_and_values_are_errors() {
    let error = |pairs: &[(&str, &str)]| {
        toggles::from_env(pairs.iter().copied())
            .expect_err("an error")
            .to_string()
    };
    assert!(error(&[("CONTAINERS", "yes")]).contains("CONTAINERS: expected 0 or 1"));
    assert!(error(&[("CONTAINERS", "1"), ("IMAGE", "1")]).contains("did you mean \"IMAGES\""));
    assert!(error(&[("GRPC", "1")]).contains("GRPC"));
    assert!(
        toggles::from_env([("PATH", "/bin"), ("HOME", "1")])
            .expect("no toggle")
            .is_none()
    );
    let policy = toggles::from_env([("CONTAINERS", "1")])
        .expect("toggles")
        .expect("a policy");
    let table = toggles::table(&policy.roles[0]);
    assert!(
        table.contains("container: list inspect") && table.contains("system: ping ping-head"),
        "{table}"
    );
}

#[test]
fn a_role_of_a_file_takes_no_unknown_toggle_and_no_tunnel() {
    let fault = |toggles: &str, more: &str| {
        let text = format!(
            "version = 1\n[[client]]\nmatch = {{ cn = \"ci\" }}\nrole = \"team\"\n[role.team]\ntoggles = {toggles}\n{more}"
        );
        Policy::parse("t.toml", &text).map_err(|error| error.to_string())
    };
    for (toggles, said) in [
        (
            "{ CONTAINER = 1 }",
            "t.toml:6: toggles: \"CONTAINER\" is unknown\nhint: did you mean \"CONTAINERS\"?",
        ),
        (
            "{ containers = 1 }",
            "t.toml:6: toggles: \"containers\" is unknown",
        ),
        (
            "{ POST = \"yes\" }",
            "t.toml:6: POST: expected 0, 1, true or false",
        ),
        (
            "{ POST = 2 }",
            "t.toml:6: POST: expected 0, 1, true or false",
        ),
        (
            "{ GRPC = 1 }",
            "t.toml:6: toggles: \"GRPC\" is an opaque tunnel",
        ),
        (
            "{ SESSION = true }",
            "t.toml:6: toggles: \"SESSION\" is an opaque tunnel",
        ),
        (
            "{ IMAGES = 1, POST = 1 }",
            "limits.tags does not say which names",
        ),
    ] {
        let error = fault(toggles, "").expect_err(toggles);
        assert!(error.contains(said), "{toggles}: {error}");
        assert_eq!(error.matches("t.toml:").count(), 1, "{error}");
    }
    let policy = fault(
        "{ GRPC = 1, CONTAINERS = 1 }",
        "[role.team.limits]\nbuildkit = true\n",
    )
    .expect("granted");
    let role = policy
        .roles
        .iter()
        .find(|role| role.toggled)
        .expect("a role of toggles");
    assert!(may(role, "build.grpc") && toggles::table(role).contains("container: list"));
}

#[test]
fn toggles_make_a_role_of_a_file_too() {
    let policy = role("toggles = { CONTAINERS = 1, POST = 0 }\nallow = [\"image.list\"]");
    let role = policy
        .roles
        .iter()
        .find(|role| role.name == "team")
        .expect("the role");
    assert!(may(role, "container.list") && may(role, "image.list"));
    assert!(
        !may(role, "container.create")
            && !may(role, "exec.create")
            && !may(role, "container.start")
    );
}
