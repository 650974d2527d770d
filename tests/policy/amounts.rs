//! What a container may use, publish, be called and run as: each bound and list, with the fields that would get around it.

use policy::Policy;

use crate::support::{Ask, create, create_allowed, create_denied, limits, role};

fn post<'a>(policy: &'a Policy, target: &'a str, body: &'a str) -> Ask<'a> {
    Ask::new(policy, "POST", target).body(body)
}

const FULL: &str = r#""Memory":536870912,"NanoCpus":1500000000,"PidsLimit":100"#;

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_container_names_no_more_than_the_bounds_and_names_each() {
    let policy = limits("memory = \"512m\"\ncpus = 1.5\npids = 100");
    create_allowed(&policy, FULL);
    let with = |field: &str, value: &str| {
        let mut fields = vec![
            ("Memory", "536870912"),
            ("NanoCpus", "1500000000"),
            ("PidsLimit", "100"),
        ];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let parts: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        parts.join(",")
    };
    for (field, value, rule) in [
        ("Memory", "536870913", "memory"),
        ("Memory", "0", "memory"),
        ("Memory", "-1", "memory"),
        ("Memory", "null", "memory"),
        ("MemorySwap", "-1", "memory"),
        ("MemorySwap", "1073741825", "memory"),
        ("NanoCpus", "1500000001", "cpus"),
        ("NanoCpus", "0", "cpus"),
        ("CpuRealtimeRuntime", "1000", "cpus"),
        ("PidsLimit", "101", "pids"),
        ("PidsLimit", "0", "pids"),
        ("PidsLimit", "-1", "pids"),
        ("PidsLimit", "null", "pids"),
    ] {
        create_denied(&policy, &with(field, value), rule);
    }
    for (field, value) in [
        ("MemorySwap", "1073741824"),
        ("MemorySwap", "536870912"),
        ("PidsLimit", "1"),
    ] {
        create_allowed(&policy, &with(field, value));
    }
    for cpus in [
        r#""CpuQuota":150000"#,
        r#""CpuQuota":1500,"CpuPeriod":1000"#,
        r#""CpusetCpus":"3""#,
        r#""CpusetCpus":"0-7","CpuQuota":100000"#,
    ] {
        create_allowed(
            &policy,
            &format!("\"Memory\":1048576,\"PidsLimit\":1,{cpus}"),
        );
    }
    for cpus in [
        r#""CpuQuota":150001"#,
        r#""CpuQuota":-1"#,
        r#""CpuQuota":100000,"CpuPeriod":1000"#,
        r#""CpuPeriod":1000"#,
        r#""CpuShares":2"#,
        r#""CpusetCpus":"0-1""#,
        r#""CpusetCpus":"0,1""#,
        r#""CpusetMems":"0""#,
        r#""CpuCount":1"#,
        r#""CpuPercent":1"#,
    ] {
        create_denied(
            &policy,
            &format!("\"Memory\":1048576,\"PidsLimit\":1,{cpus}"),
            "cpus",
        );
    }
    // Without a HostConfig nothing is bounded.
    let denied = Ask::new(&policy, "POST", "/v1.51/containers/create")
        .body("{\"Image\":\"busybox\"}")
        .denied("memory");
    assert_eq!(denied.detail, "HostConfig.Memory=unlimited");
    assert_eq!(denied.allowed, "at most 512m");
}

#[test]
fn without_a_bound_nothing_need_be_named() {
    create_allowed(&limits(""), "");
    create_allowed(&limits("memory = \"unlimited\""), "");
    create_allowed(
        &limits(""),
        r#""Memory":-1,"PidsLimit":-1,"PublishAllPorts":true"#,
    );
}

const TARGET: &str = r#"{"Id":"abc123","Config":{"Image":"busybox","User":"1000"},"HostConfig":{"NetworkMode":"ci-net","Memory":536870912,"NanoCpus":1000000000,"PidsLimit":10},"NetworkSettings":{"Networks":{"ci-net":{}}}}"#;

#[test]
fn an_update_stays_within_the_bounds_whatever_the_container_had() {
    let policy = limits("memory = \"512m\"\ncpus = 1.5\npids = 100");
    let ask = |body| {
        Ask::new(&policy, "POST", "/containers/abc123/update")
            .body(body)
            .engine("/containers/abc123/json", TARGET)
    };
    for body in [
        "{}",
        r#"{"Memory":0,"NanoCpus":0,"RestartPolicy":{"Name":"no"}}"#,
        r#"{"Memory":1048576,"MemorySwap":1048576}"#,
        r#"{"CpuQuota":100000,"CpuPeriod":100000}"#,
        r#"{"PidsLimit":100}"#,
    ] {
        let _ = ask(body).allowed();
    }
    for (body, rule) in [
        (r#"{"Memory":536870913}"#, "memory"),
        (r#"{"Memory":-1}"#, "memory"),
        (r#"{"MemorySwap":-1}"#, "memory"),
        (r#"{"NanoCpus":2000000000}"#, "cpus"),
        (r#"{"CpuQuota":-1}"#, "cpus"),
        (r#"{"CpuQuota":100000}"#, "cpus"),
        (r#"{"CpuPeriod":1000}"#, "cpus"),
        (r#"{"CpusetCpus":"0-3"}"#, "cpus"),
        (r#"{"NanoCpus":1,"CpusetCpus":"0-3"}"#, "cpus"),
        (r#"{"PidsLimit":0}"#, "pids"),
        (r#"{"PidsLimit":-1}"#, "pids"),
    ] {
        ask(body).denied(rule);
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn the_bounds_and_lists_hold_for_services() {
    let policy = role(
        "base = \"none\"\nallow = [\"service.create\", \"service.update\"]\n[role.team.limits]\nmemory = \"1g\"\ncpus = 2\npids = 50\nports = [\"8080\"]\nusers = [\"1-65535\"]\nnetworks = [\"ci-*\"]\nnames = [\"ci-*\"]",
    );
    let service = |name: &str, user: &str, network: &str, limits: &str, port: &str| {
        format!(
            "{{\"Name\":\"{name}\",\"TaskTemplate\":{{\"ContainerSpec\":{{\"Image\":\"busybox\",\"User\":\"{user}\"}},\"Networks\":[{network}],\"Resources\":{{\"Limits\":{{{limits}}}}}}},\"EndpointSpec\":{{\"Ports\":[{{\"TargetPort\":80{port}}}]}}}}"
        )
    };
    const OURS: &str = "{\"Target\":\"ci-net\"}";
    const ALL: &str = "\"MemoryBytes\":1073741824,\"NanoCPUs\":2000000000,\"Pids\":50";
    const PORT: &str = ",\"PublishedPort\":8080";
    let body = service("ci-web", "1000", OURS, ALL, PORT);
    let _ = post(&policy, "/services/create", &body).allowed();
    for (body, rule) in [
        (service("web", "1000", OURS, ALL, PORT), "names"),
        (service("", "1000", OURS, ALL, PORT), "names"),
        (service("ci-web", "0", OURS, ALL, PORT), "users"),
        (service("ci-web", "", OURS, ALL, PORT), "users"),
        (
            service("ci-web", "1000", "{\"Target\":\"prod\"}", ALL, PORT),
            "networks",
        ),
        (service("ci-web", "1000", "", ALL, PORT), "networks"),
        (service("ci-web", "1000", OURS, "", PORT), "memory"),
        (
            service(
                "ci-web",
                "1000",
                OURS,
                "\"MemoryBytes\":1,\"NanoCPUs\":0",
                PORT,
            ),
            "cpus",
        ),
        (
            service(
                "ci-web",
                "1000",
                OURS,
                "\"MemoryBytes\":1,\"NanoCPUs\":1,\"Pids\":0",
                PORT,
            ),
            "pids",
        ),
        (
            service("ci-web", "1000", OURS, ALL, ",\"PublishedPort\":8081"),
            "ports",
        ),
        (service("ci-web", "1000", OURS, ALL, ""), "ports"),
        (
            service(
                "ci-web",
                "1000",
                OURS,
                ALL,
                ",\"PublishedPort\":8080,\"Protocol\":\"udp,tcp\"",
            ),
            "ports",
        ),
    ] {
        post(&policy, "/services/create", &body).denied(rule);
    }
    // The CLI sends ids: the engine says whose they are.
    let by_id = service("ci-web", "1000", "{\"Target\":\"a1b2c3\"}", ALL, PORT);
    let _ = post(&policy, "/services/create", &by_id)
        .engine(
            "/networks/a1b2c3",
            r#"{"Name":"ci-net","Driver":"overlay"}"#,
        )
        .allowed();
    post(&policy, "/services/create", &by_id)
        .engine("/networks/a1b2c3", r#"{"Name":"prod","Driver":"overlay"}"#)
        .denied("networks");
    post(&policy, "/services/create", &by_id)
        .engine("/networks/a1b2c3", "{}")
        .denied("networks");
}

#[test]
fn ports_are_published_only_where_the_list_says() {
    let policy = limits("ports = [\"127.0.0.1:8000-8999\", \"443/tcp\", \"[::1]:*\"]");
    let bound = |bindings: &str| format!("\"PortBindings\":{{\"80/tcp\":{bindings}}}");
    for bindings in [
        r#"[{"HostIp":"127.0.0.1","HostPort":"8000"}]"#,
        r#"[{"HostIp":"127.0.0.1","HostPort":"8000-8010"}]"#,
        r#"[{"HostIp":"","HostPort":"443"}]"#,
        r#"[{"HostIp":"::1","HostPort":""}]"#,
    ] {
        create_allowed(&policy, &bound(bindings));
    }
    create_allowed(&policy, "");
    for bindings in [
        r#"[{"HostIp":"","HostPort":"8000"}]"#,
        r#"[{"HostIp":"0.0.0.0","HostPort":"8000"}]"#,
        r#"[{"HostIp":"::","HostPort":"8000"}]"#,
        r#"[{"HostIp":"127.0.0.1","HostPort":"7999-8001"}]"#,
        r#"[{"HostIp":"127.0.0.1","HostPort":""}]"#,
        r#"[{"HostIp":"127.0.0.1","HostPort":"0"}]"#,
        r#"[{"HostIp":"127.0.0.1 ","HostPort":"8000"}]"#,
        r#"[{"HostIp":"localhost","HostPort":"8000"}]"#,
        r#"[{"HostIp":"127.0.0.1","HostPort":"8000"},{"HostPort":"22"}]"#,
        "[{}]",
        "[null]",
        "[]",
        "null",
    ] {
        create_denied(&policy, &bound(bindings), "ports");
    }
    create_denied(
        &policy,
        "\"PortBindings\":{\"80/udp\":[{\"HostPort\":\"443\"}]}",
        "ports",
    );
    create_denied(&policy, "\"PublishAllPorts\":true", "ports");
    create_denied(&policy, &bound(r#"[{"hostport":"22"}]"#), "field-names");
}

#[test]
fn nobody_runs_as_root_by_any_spelling_where_users_leave_it_out() {
    let policy = limits("users = [\"1-65535\"]");
    let run = |user: &str| format!("{{\"Image\":\"busybox\",\"User\":{user}}}");
    for user in ["\"1000\"", "\"1000:1000\"", "\"+1000\""] {
        let _ = post(&policy, "/containers/create", &run(user)).allowed();
    }
    for user in [
        "\"\"",
        "null",
        "\"0\"",
        "\"00\"",
        "\"+0\"",
        "\"-0\"",
        "\"root\"",
        "\"0:0\"",
        "\":1000\"",
        "\" 0\"",
        "\"1000:0\"",
        "\"app\"",
        "\"1000:1:0\"",
    ] {
        post(&policy, "/containers/create", &run(user)).denied("users");
    }
    post(&policy, "/containers/create", "{\"Image\":\"busybox\"}").denied("users");
    // An exec has a user of its own, or the container's.
    let exec = |body| {
        Ask::new(&policy, "POST", "/containers/abc123/exec")
            .body(body)
            .engine("/containers/abc123/json", TARGET)
    };
    let _ = exec(r#"{"Cmd":["sh"]}"#).allowed();
    let _ = exec(r#"{"Cmd":["sh"],"User":"1001"}"#).allowed();
    exec(r#"{"Cmd":["sh"],"User":"0"}"#).denied("users");
    exec(r#"{"Cmd":["sh"],"User":"root"}"#).denied("users");
    let root = TARGET.replace("\"User\":\"1000\"", "\"User\":\"\"");
    Ask::new(&policy, "POST", "/containers/abc123/exec")
        .body(r#"{"Cmd":["sh"]}"#)
        .engine("/containers/abc123/json", &root)
        .denied("users");
    // Somebody else made the exec.
    let start = |user: &str| {
        let process =
            format!("{{\"ContainerID\":\"abc123\",\"ProcessConfig\":{{\"user\":\"{user}\"}}}}");
        Ask::new(&policy, "POST", "/exec/e1/start")
            .body("{}")
            .engine("/exec/e1/json", &process)
            .engine("/containers/abc123/json", TARGET)
            .run()
            .0
            .is_ok()
    };
    assert!(start("1000") && start("") && !start("0") && !start("root"));
    // Where targets are not looked at, the exec must say its user.
    let blind = role(
        "base = \"ci\"\ntarget_check = false\n[role.team.limits]\ntags = [\"x/**\"]\nusers = [\"1-65535\"]",
    );
    Ask::new(&blind, "POST", "/containers/abc123/exec")
        .body(r#"{"Cmd":["sh"]}"#)
        .denied("users");
    let _ = Ask::new(&blind, "POST", "/containers/abc123/exec")
        .body(r#"{"Cmd":["sh"],"User":"7"}"#)
        .allowed();
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn networks_are_joined_and_made_by_listed_names_alone() {
    let policy = limits("networks = [\"ci-*\"]");
    for host in [r#""NetworkMode":"ci-net""#, r#""NetworkMode":"none""#] {
        create_allowed(&policy, host);
    }
    for host in [
        "",
        r#""NetworkMode":"""#,
        r#""NetworkMode":"default""#,
        r#""NetworkMode":"bridge""#,
        r#""NetworkMode":"prod""#,
        r#""NetworkMode":"cafe""#,
    ] {
        create_denied(&policy, host, "networks");
    }
    create_denied(&policy, r#""NetworkMode":"host""#, "host_namespaces");
    let both = |key: &str| {
        format!(
            "{{\"Image\":\"busybox\",\"HostConfig\":{{\"NetworkMode\":\"ci-net\"}},\"NetworkingConfig\":{{\"EndpointsConfig\":{{\"ci-net\":{{}},\"{key}\":{{}}}}}}}}"
        )
    };
    let _ = post(&policy, "/containers/create", &both("ci-other")).allowed();
    for key in ["prod", "bridge", "default"] {
        post(&policy, "/containers/create", &both(key)).denied("networks");
    }
    let body = create(r#""NetworkMode":"cafe01""#);
    let by_id = |name: &'static str| {
        post(&policy, "/containers/create", &body).engine("/networks/cafe01", name)
    };
    let _ = by_id(r#"{"Name":"ci-net","Driver":"bridge"}"#).allowed();
    by_id(r#"{"Name":"prod","Driver":"bridge"}"#).denied("networks");
    by_id(r#"{"Name":"host","Driver":"host"}"#).denied("host_namespaces");
    for (verb, body) in [
        ("connect", r#"{"Container":"c1"}"#),
        ("disconnect", r#"{"Container":"c1"}"#),
    ] {
        let ask = |network: &str| {
            let target = format!("/networks/{network}/{verb}");
            Ask::new(&policy, "POST", &target).body(body).run().0
        };
        assert!(ask("ci-net").is_ok(), "{verb}");
        assert_eq!(ask("prod").expect_err("refused").rule, "networks", "{verb}");
        assert_eq!(
            ask("bridge").expect_err("refused").rule,
            "networks",
            "{verb}"
        );
    }
    let make = |name: &str| {
        let body = format!("{{\"Name\":\"{name}\"}}");
        Ask::new(&policy, "POST", "/networks/create")
            .body(&body)
            .run()
            .0
            .is_ok()
    };
    assert!(make("ci-new") && !make("prod") && !make("bridge"));
    // A container that somebody else made is out of reach on another network.
    let exec = |network: &str| {
        let target = TARGET.replace(
            "\"Networks\":{\"ci-net\":{}}",
            &format!("\"Networks\":{{\"ci-net\":{{}},\"{network}\":{{}}}}"),
        );
        Ask::new(&policy, "POST", "/containers/abc123/exec")
            .body(r#"{"Cmd":["sh"]}"#)
            .engine("/containers/abc123/json", &target)
            .run()
            .0
            .is_ok()
    };
    assert!(exec("ci-two") && !exec("prod"));
}

#[test]
fn names_are_given_from_the_list_alone() {
    let policy = limits("names = [\"ci-*\"]");
    let ask = |target: &str| {
        let body = create("");
        Ask::new(&policy, "POST", target).body(&body).run().0
    };
    for good in ["ci-web", "/ci-web", "%63i-web"] {
        assert!(
            ask(&format!("/containers/create?name={good}")).is_ok(),
            "{good}"
        );
    }
    for bad in [
        "/containers/create?name=web",
        "/containers/create?name=",
        "/containers/create",
        "/containers/create?name=/web",
    ] {
        assert_eq!(ask(bad).expect_err("refused").rule, "names", "{bad}");
    }
    let rename = |target: &str| Ask::new(&policy, "POST", target).run().0;
    assert!(rename("/containers/abc/rename?name=ci-b").is_ok());
    assert_eq!(
        rename("/containers/abc/rename?name=prod")
            .expect_err("refused")
            .rule,
        "names"
    );
}

#[test]
fn classic_builds_name_their_memory_and_cpus_too() {
    let policy = limits("memory = \"512m\"\ncpus = 1\nnetworks = [\"ci-*\"]");
    let ask = |query: &str| {
        let target = format!("/build?t=registry.example.com/team/a&{query}");
        let mut ask = Ask::new(&policy, "POST", &target);
        ask.content_type = "application/x-tar";
        ask.run().0.map_err(|denied| denied.rule)
    };
    const GOOD: &str = "memory=536870912&cpuquota=100000&networkmode=ci-net";
    assert_eq!(ask(GOOD).err(), None);
    assert_eq!(
        ask("memory=536870912&cpuquota=100000&networkmode=none").err(),
        None
    );
    assert_eq!(ask("").err(), Some("networks"));
    assert_eq!(ask("networkmode=ci-net").err(), Some("memory"));
    assert_eq!(
        ask("networkmode=ci-net&memory=536870912&memswap=-1").err(),
        Some("memory")
    );
    assert_eq!(
        ask("networkmode=ci-net&memory=536870912").err(),
        Some("cpus")
    );
    assert_eq!(
        ask("networkmode=ci-net&memory=536870912&cpuquota=100000&cpuperiod=1000").err(),
        Some("cpus")
    );
    assert_eq!(
        ask("networkmode=bridge&memory=1&cpuquota=1").err(),
        Some("networks")
    );
}

/// A line does what it says: with it in the role the same request passes.
#[track_caller]
fn passes_with(host: &str, line: &str) {
    let (line, _) = line.split_once(" in role team").expect("the role");
    let given = line.strip_prefix("limits.").expect("a limit");
    let (key, _) = given.split_once(" = ").expect("a key");
    let before = [
        "binds = [\"/srv/a\"]",
        "memory = \"512m\"",
        "ports = [\"80\"]",
    ];
    let kept = before.iter().filter(|own| !own.starts_with(key));
    let text: Vec<_> = kept.copied().chain([given]).collect();
    let host = match host.contains("Memory") {
        true => host.to_owned(),
        false => format!("{host},\"Memory\":1"),
    };
    create_allowed(&limits(&text.join("\n")), &host);
}

#[test]
fn a_denial_says_the_line_that_would_allow_it_where_one_may() {
    let policy = limits("binds = [\"/srv/a\"]\nmemory = \"512m\"\nports = [\"80\"]");
    let says = |host: &str, rule: &str| create_denied(&policy, host, rule).grant;
    let lines = [
        (
            r#""Binds":["/srv/b:/b"]"#,
            "binds",
            "limits.binds = [\"/srv/b\"] in role team",
        ),
        (
            r#""Privileged":true"#,
            "privileged",
            "limits.privileged = true in role team (leads to root on the host)",
        ),
        (
            r#""Memory":1073741824"#,
            "memory",
            "limits.memory = \"1g\" in role team",
        ),
        (
            r#""Memory":1,"PortBindings":{"1/tcp":[{"HostPort":"81"}]}"#,
            "ports",
            "limits.ports = [\"*:81/tcp\"] in role team",
        ),
        // All that the one request asks for of a limit, since -P publishes whatever the image exposes.
        (
            r#""Memory":1,"PublishAllPorts":true"#,
            "ports",
            "limits.ports = [\"*:*/tcp\", \"*:*/udp\", \"*:*/sctp\"] in role team",
        ),
        // What lets everything pass is not advice, and what no limit allows has no line.
        ("", "memory", ""),
        (r#""Memory":1,"CgroupParent":"/x""#, "cgroup-parent", ""),
    ];
    for (host, rule, line) in lines {
        assert_eq!(says(host, rule), line, "{host}");
        if !line.is_empty() {
            let text = create_denied(&policy, host, rule).to_string();
            assert!(text.ends_with(&format!("; to allow it: {line}")), "{text}");
            passes_with(host, line);
        }
    }
    let reader = role("base = \"read-only\"");
    let denied = Ask::new(&reader, "POST", "/containers/a/exec")
        .body("{}")
        .denied("operation");
    assert_eq!(denied.grant, "allow = [\"exec.create\"] in role team");
}

#[test]
fn a_denial_of_an_unnamed_amount_says_the_option_and_the_default_that_would_name_one() {
    let policy = limits("memory = \"512m\"\ncpus = 1.5\npids = 100");
    let create = |body: &str, rule: &str| {
        let body = format!("{{\"Image\":\"busybox\",\"HostConfig\":{{{body}}}}}");
        let ask = Ask::new(&policy, "POST", "/v1.51/containers/create").body(&body);
        ask.denied(rule).to_string()
    };
    for (body, rule, option) in [
        ("", "memory", "--memory"),
        (r#""Memory":1,"MemorySwap":-1"#, "memory", "--memory-swap"),
        (r#""Memory":1"#, "cpus", "--cpus"),
        (r#""Memory":1,"NanoCpus":1"#, "pids", "--pids-limit"),
    ] {
        let text = create(body, rule);
        let said = format!("; name an amount with {option}");
        assert!(text.ends_with(&said), "{body}: {text}");
    }
    // An amount that is named and too large, or what no option bounds, has no such advice.
    for (body, rule) in [
        (r#""Memory":1073741824"#, "memory"),
        (r#""Memory":1,"CpuRealtimeRuntime":1"#, "cpus"),
    ] {
        let text = create(body, rule);
        assert!(!text.contains("name an amount"), "{body}: {text}");
    }
    // A role with a scope may also give it to who asks for nothing; the line works as it is printed.
    let scoped = |budget: &str, default: &str| {
        role(&format!(
            "scope = \"own\"\nbase = \"deployer\"\n{default}[role.team.shared]\nnetworks = [\"bridge\"]\n[role.team.budget]\n{budget}[role.team.limits]\ntags = [\"t/**\"]\nmemory = \"512m\"\ncpus = 1.5\n"
        ))
    };
    for (budget, line) in [
        ("", "default.memory = \"512m\" in role team"),
        (
            "memory = \"256m\"\n",
            "default.memory = \"256m\" in role team",
        ),
    ] {
        let policy = scoped(budget, "");
        let body = r#"{"Image":"busybox","HostConfig":{"NanoCpus":1}}"#;
        let denied = Ask::new(&policy, "POST", "/v1.51/containers/create")
            .body(body)
            .denied("memory");
        assert_eq!(denied.grant, line);
        let line = line.replace(" in role team", "\n");
        let policy = scoped(budget, &line);
        let _ = Ask::new(&policy, "POST", "/v1.51/containers/create")
            .body(body)
            .allowed();
    }
    let policy = scoped("", "default.memory = \"1m\"\n");
    let denied = Ask::new(&policy, "POST", "/v1.51/containers/create")
        .body(r#"{"Image":"busybox"}"#)
        .denied("cpus");
    assert_eq!(denied.grant, "default.cpus = 1.5 in role team");
}
