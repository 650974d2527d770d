//! Exec, attach and the like: the container they name is inspected, and judged as at create.

use crate::support::{Ask, create_allowed, create_denied, limits, role};

const PLAIN: &str = r#"{"Id":"9f86d081884c","HostConfig":{"NetworkMode":"default","IpcMode":"private","CgroupnsMode":"private","Runtime":"runc","CapAdd":null,
  "LogConfig":{"Type":"json-file","Config":{}},"ConsoleSize":[0,0],"SecurityOpt":null,"NewerField":[],
  "MaskedPaths":["/proc/acpi","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/sys/firmware"],
  "ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]}}"#;

const PRIVILEGED: &str = r#"{"Id":"9f86d081884c","HostConfig":{"Privileged":true,"MaskedPaths":null,"ReadonlyPaths":null}}"#;

#[test]
fn exec_attach_archive_export_and_commit_look_at_their_target() {
    let policy = role(
        "base = \"ci\"\nallow = [\"container.export\", \"container.attach-ws\", \"image.commit\"]\n[role.team.limits]\ntags = [\"team/**\"]",
    );
    let requests = [
        (
            "POST",
            "/v1.51/containers/web/exec",
            r#"{"Cmd":["id"]}"#,
            "/v1.51/containers/9f86d081884c/exec",
        ),
        (
            "POST",
            "/v1.51/containers/web/attach?stream=1",
            "",
            "/v1.51/containers/9f86d081884c/attach?stream=1",
        ),
        (
            "GET",
            "/containers/web/attach/ws?stdin=1",
            "",
            "/containers/9f86d081884c/attach/ws?stdin=1",
        ),
        (
            "GET",
            "/containers/web/archive?path=/etc",
            "",
            "/containers/9f86d081884c/archive?path=/etc",
        ),
        (
            "HEAD",
            "/containers/web/archive?path=/etc",
            "",
            "/containers/9f86d081884c/archive?path=/etc",
        ),
        (
            "PUT",
            "/containers/web/archive?path=/etc",
            "",
            "/containers/9f86d081884c/archive?path=/etc",
        ),
        (
            "GET",
            "/containers/web/export",
            "",
            "/containers/9f86d081884c/export",
        ),
        (
            "POST",
            "/commit?container=web&repo=team/x",
            "",
            "/commit?container=9f86d081884c&repo=team/x",
        ),
        (
            "POST",
            "/containers/web/update",
            r#"{"Memory":1}"#,
            "/containers/9f86d081884c/update",
        ),
    ];
    for (method, target, body, sent) in requests {
        let ask = |answer| {
            Ask::new(&policy, method, target)
                .body(body)
                .engine("/containers/web/json", answer)
        };
        ask(PRIVILEGED).denied("privileged");
        ask(r#"{"Id":"9f86d081884c","HostConfig":{"Binds":["/:/host"]}}"#).denied("binds");
        ask(r#"{"Id":"9f86d081884c"}"#).denied("target-check");
        assert_eq!(
            ask("").denied("target-check").status.code(),
            502,
            "{target}"
        );
        // The full id goes upstream, so that a rename in between changes nothing.
        assert_eq!(ask(PLAIN).allowed().target(), Some(sent));
    }
}

#[test]
fn an_unmasked_or_unknown_target_is_refused() {
    let policy = limits("");
    let ask = |host: &str| {
        let answer = format!(r#"{{"Id":"abc","HostConfig":{{{host}}}}}"#);
        Ask::new(&policy, "POST", "/containers/web/exec")
            .body(r#"{"Cmd":["id"]}"#)
            .engine("/containers/web/json", &answer)
            .run()
            .0
    };
    for (host, rule) in [
        (r#""ReadonlyPaths":[]"#, "security_opts"),
        (r#""MaskedPaths":["/proc/kcore"]"#, "security_opts"),
        (r#""CapAdd":["CAP_SYS_ADMIN"]"#, "capabilities"),
        (r#""NewerField":{"a":1}"#, "unknown_fields"),
    ] {
        let denied = ask(host).expect_err(host);
        assert_eq!((denied.rule, denied.status.code()), (rule, 403), "{host}");
    }
    assert!(ask(r#""NewerField":{},"CapAdd":["CAP_CHOWN"]"#).is_ok());
}

/// A cgroup v1 host's engine fills `CgroupnsMode: "host"` into every container that names none, so in an inspected target
/// it says nothing; who asks for it is judged at create.
#[test]
fn the_engines_own_cgroup_namespace_mode_counts_at_create_and_not_in_a_target() {
    let policy = limits("");
    let exec = |host: &str| {
        let answer = format!(r#"{{"Id":"abc","HostConfig":{{{host}}}}}"#);
        Ask::new(&policy, "POST", "/containers/web/exec")
            .body(r#"{"Cmd":["id"]}"#)
            .engine("/containers/web/json", &answer)
            .run()
            .0
    };
    assert!(exec(r#""CgroupnsMode":"host""#).is_ok());
    assert!(exec(r#""CgroupnsMode":"private""#).is_ok());
    for other in ["PidMode", "IpcMode", "UTSMode", "UsernsMode", "NetworkMode"] {
        let denied = exec(&format!(r#""CgroupnsMode":"host","{other}":"host""#));
        assert_eq!(
            denied.err().map(|denied| denied.rule),
            Some("host_namespaces"),
            "{other}"
        );
    }
    create_denied(&policy, r#""CgroupnsMode":"host""#, "host_namespaces");
    create_allowed(&policy, r#""CgroupnsMode":"private""#);
}

#[test]
fn a_missing_target_is_answered_404() {
    let policy = limits("");
    let denied = Ask::new(&policy, "POST", "/containers/nope/exec")
        .body(r#"{"Cmd":["id"]}"#)
        .denied("target-check");
    assert_eq!(
        (denied.status.code(), denied.to_string().as_str()),
        (404, "No such container: nope")
    );
}

#[test]
fn a_privileged_exec_is_refused_at_create_and_at_start() {
    let policy = limits("");
    let create = |body: &'static str| {
        Ask::new(&policy, "POST", "/containers/web/exec")
            .body(body)
            .engine("/containers/web/json", PLAIN)
    };
    create(r#"{"Cmd":["id"],"Privileged":true}"#).denied("privileged");
    let permitted =
        create(r#"{"Cmd":["id","-u"],"Privileged":false,"AttachStdout":true}"#).allowed();
    assert_eq!(
        permitted.command(),
        Some(&["id".to_owned(), "-u".to_owned()][..])
    );
    // Created by somebody else: start looks again.
    let start = |privileged: bool, container: &'static str| {
        let exec = format!(
            r#"{{"ID":"e1","ContainerID":"c1","ProcessConfig":{{"privileged":{privileged}}}}}"#
        );
        Ask::new(&policy, "POST", "/exec/e1/start")
            .body(r#"{"Detach":false,"Tty":false}"#)
            .engine("/exec/e1/json", &exec)
            .engine("/containers/c1/json", container)
            .run()
    };
    assert_eq!(
        start(true, PLAIN).0.expect_err("privileged").rule,
        "privileged"
    );
    assert_eq!(
        start(false, PRIVILEGED)
            .0
            .expect_err("privileged target")
            .rule,
        "privileged"
    );
    let (answer, asked) = start(false, PLAIN);
    assert_eq!(answer.expect("plain").target(), None);
    assert_eq!(asked, ["/exec/e1/json", "/containers/c1/json"]);
}

#[test]
fn without_a_target_check_nothing_is_asked() {
    let policy = role("base = \"ci\"\ntarget_check = false\n[role.team.limits]\ntags = []");
    let (answer, asked) = Ask::new(&policy, "POST", "/containers/web/exec")
        .body(r#"{"Cmd":["id"]}"#)
        .run();
    assert!(answer.is_ok() && asked.is_empty());
    let (answer, asked) = Ask::new(&limits(""), "POST", "/containers/web/exec")
        .body(r#"{"Cmd":["id"]}"#)
        .engine("/containers/web/json", PLAIN)
        .run();
    assert!(answer.is_ok());
    assert_eq!(asked, ["/containers/web/json"]);
}

#[test]
fn a_swarms_task_is_no_target_since_its_secrets_do_not_show() {
    let policy = limits("");
    let ask = |labels: &str| {
        let answer = format!(
            r#"{{"Id":"9f86d081884c","Config":{{"Image":"busybox","Labels":{labels}}},"HostConfig":{{}}}}"#
        );
        Ask::new(&policy, "POST", "/containers/web/exec")
            .body(r#"{"Cmd":["cat","/run/secrets/password"]}"#)
            .engine("/containers/web/json", &answer)
            .run()
            .0
    };
    let denied = ask(r#"{"com.docker.swarm.task.id":"x"}"#).expect_err("a task");
    assert_eq!(denied.rule, "target-check");
    for labels in [r#"{"com.example":"x"}"#, "null", "{}"] {
        assert!(ask(labels).is_ok(), "{labels}");
    }
}

#[test]
fn a_target_of_an_image_that_may_not_be_run_is_refused() {
    let policy = limits("images = [\"registry.example.com/team/**\"]");
    let ask = |image: &str| {
        let answer =
            format!(r#"{{"Id":"9f86d081884c","Config":{{"Image":"{image}"}},"HostConfig":{{}}}}"#);
        Ask::new(&policy, "POST", "/containers/web/exec")
            .body(r#"{"Cmd":["id"]}"#)
            .engine("/containers/web/json", &answer)
            .run()
            .0
    };
    assert_eq!(ask("corp/secret:1").expect_err("another's").rule, "images");
    assert!(ask("registry.example.com/team/x:1").is_ok());
}
