//! What the limits leave alone, each with the power beside it that they do not; and classes that have no rule of their own.

use docker_api::{Operation, classify};
use policy::{BodyLength, EngineHeaders, Policy, Request, Step};

use crate::support::{Ask, cn, create, create_allowed, create_denied, limits, role};

const CREATE: &str = "/v1.51/containers/create";

const PLAIN: &str = r#"{"Id":"9f86d081884c","HostConfig":{}}"#;

fn built_in(name: &str) -> Policy {
    let text = format!("version = 1\n[[client]]\nmatch = {{ cn = \"ci\" }}\nrole = \"{name}\"\n");
    Policy::parse("test.toml", &text).expect("a policy")
}

/// A create body with these fields beside `Image`.
fn config(fields: &str) -> String {
    format!(r#"{{"Image":"busybox",{fields}}}"#)
}

#[test]
fn names_aliases_and_addresses_pass_and_driver_options_do_not() {
    let policy = limits("");
    let endpoint = |fields: &str| {
        config(&format!(
            r#""Hostname":"db","Domainname":"example.com","MacAddress":"02:42:ac:11:00:02","HostConfig":{{"Dns":["192.0.2.1"],"ExtraHosts":["db:192.0.2.2"]}},"NetworkingConfig":{{"EndpointsConfig":{{"app":{{{fields}}}}}}}"#
        ))
    };
    let named = endpoint(
        r#""Aliases":["db"],"MacAddress":"02:42:ac:11:00:02","IPAMConfig":{"IPv4Address":"10.9.0.2"},"GwPriority":7"#,
    );
    let _ = Ask::new(&policy, "POST", CREATE).body(&named).allowed();
    let options = endpoint(r#""Aliases":["db"],"DriverOpts":{"a":"b"}"#);
    Ask::new(&policy, "POST", CREATE)
        .body(&options)
        .denied("network_drivers");
}

#[test]
fn labels_pass_whatever_they_say_and_annotations_do_not() {
    let policy = limits("volumes = [\"data\"]");
    let labels = r#"{"traefik.http.routers.x.rule":"Host(`x`)","com.centurylinklabs.watchtower.lifecycle.pre-update":"/x.sh","ofelia.job-local.x.command":"id"}"#;
    let body = config(&format!(r#""Labels":{labels}"#));
    let _ = Ask::new(&policy, "POST", CREATE).body(&body).allowed();
    let volume = format!(r#"{{"Name":"data","Labels":{labels}}}"#);
    let _ = Ask::new(&policy, "POST", "/volumes/create")
        .body(&volume)
        .allowed();
    let denied = create_denied(
        &policy,
        r#""Annotations":{"traefik.enable":"true"}"#,
        "annotations",
    );
    assert!(
        denied
            .to_string()
            .contains("(allowed: none); to allow it: "),
        "annotations go to the runtime: {denied}"
    );
}

#[test]
fn ports_pass_and_the_hosts_network_does_not() {
    let policy = limits("");
    create_allowed(
        &policy,
        r#""PortBindings":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"22"}]}"#,
    );
    create_allowed(&policy, r#""PublishAllPorts":true"#);
    create_denied(
        &policy,
        r#""PublishAllPorts":true,"NetworkMode":"host""#,
        "host_namespaces",
    );
}

#[test]
fn a_container_may_run_what_it_likes_again_and_exec_is_a_right_of_its_own() {
    let policy = role("base = \"deployer\"");
    let body = config(
        r#""Healthcheck":{"Test":["CMD-SHELL","id"],"Interval":1000000000},"Entrypoint":["/bin/sh","-c"],"Cmd":["id"],"OnBuild":["RUN id"],"HostConfig":{"Init":true,"RestartPolicy":{"Name":"always"}}"#,
    );
    let _ = Ask::new(&policy, "POST", CREATE).body(&body).allowed();
    Ask::new(&policy, "POST", "/containers/web/exec")
        .body(r#"{"Cmd":["id"]}"#)
        .denied("operation");
}

#[test]
fn resources_pass_and_the_paths_of_their_devices_are_devices() {
    let without = limits("");
    let with = limits(r#"devices = ["/dev/fuse"]"#);
    let plain = r#""OomScoreAdj":-999,"OomKillDisable":true,"PidsLimit":-1,"ShmSize":1073741824,"Memory":1,"StorageOpt":{"size":"1G"},"Ulimits":[{"Name":"nofile","Soft":1,"Hard":1}],"BlkioWeight":10"#;
    create_allowed(&without, plain);
    for field in [
        "BlkioWeightDevice",
        "BlkioDeviceReadBps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteIOps",
    ] {
        let value = if field == "BlkioWeightDevice" {
            "Weight"
        } else {
            "Rate"
        };
        let host = |path: &str| format!(r#""{field}":[{{"Path":"{path}","{value}":1}}]"#);
        create_denied(&without, &host("/etc/shadow"), "devices");
        create_denied(&with, &host("/dev/fuse/../sda"), "devices");
        create_allowed(&with, &host("/dev/fuse"));
        let update = format!("{{{}}}", host("/etc/shadow"));
        Ask::new(&without, "POST", "/containers/web/update")
            .body(&update)
            .denied("devices");
    }
    let _ = Ask::new(&without, "POST", "/containers/web/update")
        .body(r#"{"Memory":1,"PidsLimit":-1}"#)
        .engine("/containers/web/json", PLAIN)
        .allowed();
}

#[test]
fn windows_fields_are_refused_where_they_would_mean_something() {
    let policy = limits("");
    for (host, rule) in [
        (r#""Isolation":"process""#, "isolation"),
        (r#""Isolation":"hyperv""#, "isolation"),
        (
            r#""SecurityOpt":["credentialspec=file://x.json"]"#,
            "security_opts",
        ),
        (
            r#""Mounts":[{"Type":"npipe","Source":"\\\\.\\pipe\\docker_engine","Target":"x"}]"#,
            "binds",
        ),
        (r#""Binds":["c:\\:d:"]"#, "binds"),
    ] {
        create_denied(&policy, host, rule);
    }
    create_allowed(
        &policy,
        r#""Isolation":"default","CpuCount":1,"CpuPercent":50,"IOMaximumIOps":1,"IOMaximumBandwidth":1"#,
    );
}

#[test]
fn a_working_directory_is_not_looked_into() {
    let policy = limits("");
    // CVE-2024-21626, for one, is the runtime's to refuse.
    let body = config(r#""WorkingDir":"/proc/self/fd/8""#);
    let _ = Ask::new(&policy, "POST", CREATE).body(&body).allowed();
    let exec = |fields: &'static str| {
        Ask::new(&policy, "POST", "/containers/web/exec")
            .body(fields)
            .engine("/containers/web/json", PLAIN)
    };
    let _ = exec(r#"{"Cmd":["id"],"WorkingDir":"/proc/self/fd/8"}"#).allowed();
    exec(r#"{"Cmd":["id"],"WorkingDir":"/","Privileged":true}"#).denied("privileged");
}

#[test]
fn fields_of_host_config_at_the_top_level_are_refused() {
    let policy = limits("privileged = true\nbinds = [\"/**\"]\ncapabilities = [\"ALL\"]");
    for field in [
        r#""Privileged":true"#,
        r#""Binds":["/etc:/x"]"#,
        r#""CapAdd":["ALL"]"#,
        r#""PidMode":"host""#,
        r#""SecurityOpt":["seccomp=unconfined"]"#,
        r#""Memory":1"#,
    ] {
        let body = config(field);
        Ask::new(&policy, "POST", CREATE)
            .body(&body)
            .denied("unknown_fields");
        let inside = create(field);
        let allowed = Ask::new(&policy, "POST", CREATE)
            .body(&inside)
            .run()
            .0
            .is_ok();
        assert_eq!(
            allowed,
            !field.contains("PidMode") && !field.contains("SecurityOpt"),
            "{field} in its place is a matter of its limit"
        );
    }
}

#[test]
fn users_pass_in_any_spelling_and_groups_are_listed() {
    let policy = limits("");
    for user in ["", "root", "0", "00", "+0", "0:0", "1000:docker", "nobody"] {
        let body = config(&format!(r#""User":"{user}""#));
        let _ = Ask::new(&policy, "POST", CREATE).body(&body).allowed();
        let exec = format!(r#"{{"Cmd":["id"],"User":"{user}"}}"#);
        let _ = Ask::new(&policy, "POST", "/containers/web/exec")
            .body(&exec)
            .engine("/containers/web/json", PLAIN)
            .allowed();
    }
    for group in ["docker", "0", "00", "998"] {
        create_denied(&policy, &format!(r#""GroupAdd":["{group}"]"#), "groups");
    }
    create_allowed(&limits(r#"groups = ["video"]"#), r#""GroupAdd":["video"]"#);
}

#[test]
fn what_administers_the_engine_is_in_no_built_in_role_but_admin() {
    let mut seen = 0;
    for operation in Operation::ALL.iter().copied() {
        let administers = match operation.resource() {
            "checkpoint" | "swarm" | "config" | "debug" => true,
            "plugin" | "node" | "secret" | "service" => operation.method() != "GET",
            _ => operation == Operation::ImageLoad,
        };
        if !administers {
            continue;
        }
        seen += 1;
        for name in [
            "none",
            "monitor",
            "read-only",
            "operator",
            "deployer",
            "traefik",
            "prometheus",
            "cadvisor",
            "watchtower",
        ] {
            let policy = built_in(name);
            let role = policy.role(policy.client_for(&cn("ci"))).expect("the role");
            assert!(!role.allowed.contains(operation), "{name} has {operation}");
        }
        // The two that cannot be used as they are, because `tags` is missing.
        for base in ["builder", "ci"] {
            let policy = role(&format!("base = \"{base}\"\n[role.team.limits]\ntags = []"));
            let role = policy.role(policy.client_for(&cn("ci"))).expect("the role");
            assert!(!role.allowed.contains(operation), "{base} has {operation}");
        }
    }
    assert!(seen > 35, "only {seen} operations");
    for (method, target) in [
        ("POST", "/containers/web/checkpoints"),
        ("POST", "/plugins/pull?remote=x"),
        ("POST", "/swarm/join"),
        ("GET", "/swarm/unlockkey"),
        ("POST", "/nodes/n/update?version=1"),
        ("GET", "/configs/c"),
        ("GET", "/debug/pprof/heap"),
        ("POST", "/images/load"),
    ] {
        Ask::new(&built_in("deployer"), method, target).denied("operation");
        let _ = Ask::new(&built_in("admin"), method, target).allowed();
    }
    let _ = Ask::new(&built_in("deployer"), "GET", "/plugins").allowed();
}

#[test]
fn filters_go_on_as_they_came_and_lists_are_not_narrowed() {
    let policy = role("allow = [\"container.list\"]");
    let target = "/v1.51/containers/json?all=1&filters=%7B%22label%22%3A%5B%22team%3Da%22%2C%22team%3Db%22%5D%7D";
    let permitted = Ask::new(&policy, "GET", target).allowed();
    assert!(permitted.target().is_none() && permitted.asked().kept.is_empty());
    let target = target.replace("containers", "images");
    Ask::new(&policy, "GET", &target).denied("operation");
}

#[test]
fn a_target_is_looked_up_at_every_request_and_goes_on_by_its_full_id() {
    let policy = limits("");
    let exec = |answer: &'static str| {
        Ask::new(&policy, "POST", "/containers/we/exec")
            .body(r#"{"Cmd":["id"]}"#)
            .engine("/containers/we/json", answer)
            .run()
    };
    for _ in 0..2 {
        let (answer, asked) = exec(PLAIN);
        assert_eq!(
            answer.expect("plain").target(),
            Some("/containers/9f86d081884c/exec")
        );
        assert_eq!(asked, ["/containers/we/json"]);
    }
    // The same name, now another container: what was said before does not count.
    let (answer, _) = exec(r#"{"Id":"aaaa","HostConfig":{"Privileged":true}}"#);
    assert_eq!(answer.expect_err("privileged").rule, "privileged");
}

#[test]
fn a_build_context_is_not_held_and_its_parameters_are_judged_first() {
    let policy = limits("");
    let step = |target: &str| {
        let classified = classify("POST", target).expect("a target").into_owned();
        let request = Request {
            classified: &classified,
            content_type: Some("application/x-tar"),
            content_encoding: Some("gzip"),
            headers: EngineHeaders::default(),
            body: BodyLength::Unknown,
        };
        match policy.decide(policy.client_for(&cn("ci")), &request) {
            Step::Permitted(_) => "permitted",
            Step::Denied(denied) => denied.rule,
            Step::Body(_) => "asks for the body",
            Step::Lookup(_) => "asks the engine",
            Step::Paths(_) => "asks where paths lead",
        }
    };
    assert_eq!(
        step("/build?t=registry.example.com/team/x&dockerfile=Dockerfile"),
        "permitted"
    );
    assert_eq!(
        step("/build?t=registry.example.com/team/x&networkmode=host"),
        "host_namespaces"
    );
}

#[test]
fn a_password_in_an_address_is_not_repeated() {
    let policy = role(
        "base = \"ci\"\nallow = [\"image.import\"]\n[role.team.limits]\ntags = [\"registry.example.com/team/**\"]",
    );
    for (target, rule) in [
        (
            "/build?t=registry.example.com/team/a&remote=https://bob:hunter2@git.example.com/a.git",
            "build",
        ),
        (
            "/build?t=registry.example.com/team/a&remote=https://bob:hunter2/x@git.example.com/a",
            "build",
        ),
        (
            "/images/create?fromSrc=http://bob:hunter2@example.com/x.tar&repo=registry.example.com/team/a",
            "fetch",
        ),
        (
            "/images/create?fromImage=a&fromSrc=ftp://bob:hunter2@example.com",
            "images",
        ),
    ] {
        let denied = Ask::new(&policy, "POST", target).denied(rule);
        assert!(!format!("{denied:?}").contains("hunter2"), "{denied}");
        // Of an address that is judged by its host, nothing else is shown.
        let shown = match rule {
            "fetch" => "example.com",
            _ => "://…@",
        };
        assert!(denied.to_string().contains(shown), "{denied}");
    }
    let target = "/build?t=registry.example.com/team/a&remote=https://git.example.com/a.git";
    let denied = Ask::new(&policy, "POST", target).denied("build");
    assert!(
        denied.to_string().contains("https://git.example.com/a.git"),
        "{denied}"
    );
    let _ = Ask::new(&policy, "POST", "/build?t=registry.example.com/team/a").allowed();
}

#[test]
fn secrets_among_the_options_of_a_volume_are_not_repeated() {
    let policy = limits("");
    let mount = |options: &str| {
        format!(
            r#""Mounts":[{{"Type":"volume","Target":"/x","VolumeOptions":{{"DriverConfig":{{"Options":{options}}}}}}}]"#
        )
    };
    for options in [
        r#"{"type":"cifs","o":"username=u,password=hunter2,vers=3","device":"//nas/x"}"#,
        r#"{"type":"cifs","o":"username=u,PassWord2=hunter2","device":"//nas/x"}"#,
        r#"{"password":"hunter2"}"#,
    ] {
        let denied = create_denied(&policy, &mount(options), "binds");
        assert!(!format!("{denied:?}").contains("hunter2"), "{denied}");
    }
    let denied = create_denied(
        &policy,
        &mount(r#"{"type":"overlay","o":"lowerdir=/etc:/usr","device":"overlay"}"#),
        "binds",
    );
    assert!(
        denied.to_string().contains("o=lowerdir=/etc:/usr"),
        "{denied}"
    );
}
