//! docker-socket-proxy's toggles, translated.

use docker_api::Operation;
use policy::{Policy, toggles};

use crate::roles::may;
use crate::support::role;

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
    let open = toggled(&[("ALLOW_RESTARTS", "1"), ("ALLOW_KILL", "0")]);
    assert!(open.contains(&"container.restart") && !open.contains(&"container.kill"));
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
    for name in ["CONTAINER", "IMAGE", "ALLOW_RESTART", "SERVICE", "NODE"] {
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
fn a_switch_that_is_not_quite_a_toggle_never_leaves_the_gate_open() {
    let read = |name: &str, value: &str| toggles::from_env([(name, value)]);
    for (name, value, said) in [
        ("INFO", "true", "INFO: expected 0 or 1, found \"true\""),
        ("EVENTS", "yes", "EVENTS: expected 0 or 1"),
        ("BUILD", "Off", "BUILD: expected 0 or 1"),
        ("NODES", "\"1\"", "NODES: expected 0 or 1"),
        ("POST", "2", "POST: expected 0 or 1"),
        ("ALLOW_START", "sure", "ALLOW_START: expected 0 or 1"),
        ("PUT", "a", "PUT: expected 0 or 1"),
        ("CONTAINER", "true", "did you mean \"CONTAINERS\"?"),
        ("IMAGE", "no", "did you mean \"IMAGES\"?"),
        ("POSTS", "0", "did you mean \"POST\"?"),
        ("POSY", "1", "did you mean \"POST\"?"),
        ("XOLUMES", "on", "did you mean \"VOLUMES\"?"),
        ("LOG", "1", "did you mean \"ALLOW_LOGS\"?"),
        ("KILL", "1", "did you mean \"ALLOW_KILL\"?"),
        ("containers", "1", "did you mean \"CONTAINERS\"?"),
        ("ALLOW_LIST", "1", "ALLOW_LIST: no such toggle"),
        ("ALLOW_FOO", "true", "ALLOW_FOO: no such toggle"),
    ] {
        let error = read(name, value).expect_err(name).to_string();
        assert!(error.contains(said), "{name}={value}: {error}");
    }
    // What an ordinary environment has.
    for (name, value) in [
        ("BUILD", "42"),
        ("NODES", "3"),
        ("SESSION", "abc"),
        ("INFO", "/usr/share/info"),
        ("VERSION", "1.2.3"),
        ("CONTAINER", "podman"),
        ("container", "oci"),
        ("LOG", "debug"),
        ("ALLOW_LIST", "10.0.0.0/8"),
        ("PORT", "0"),
        ("HOST", "1"),
        ("PATH", "/bin"),
        ("CI", "true"),
        ("SHLVL", "1"),
        ("DOCKER_BUILDKIT", "1"),
    ] {
        let policy = read(name, value).expect(name);
        assert!(policy.is_none(), "{name}={value}");
        assert!(toggles::set([(name, value)]).is_empty(), "{name}={value}");
    }
    let set = toggles::set([("POST", "no"), ("BUILD", "42"), ("INFO", "1"), ("CI", "1")]);
    assert_eq!(set, ["INFO", "POST"]);
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
