//! Each way from a container body to the host, refused; and beside it what passes. Files and volumes are in `storage`.

use policy::Policy;

use crate::support::{Ask, create_allowed, create_denied, limits, role};

#[test]
fn privileged_needs_the_limit() {
    create_denied(&limits(""), r#""Privileged":true"#, "privileged");
    create_allowed(&limits(""), r#""Privileged":false"#);
    create_allowed(&limits("privileged = true"), r#""Privileged":true"#);
}

#[test]
fn joining_other_containers_needs_the_limit() {
    let joins = [
        r#""VolumesFrom":["donor"]"#,
        r#""Links":["db:db"]"#,
        r#""NetworkMode":"container:x""#,
        r#""PidMode":"container:x""#,
        r#""IpcMode":"container:x""#,
        r#""Cgroup":"container:x""#,
    ];
    for join in joins {
        create_denied(&limits(""), join, "join_containers");
        create_allowed(&limits("join_containers = true"), join);
    }
    create_allowed(
        &limits(""),
        r#""VolumesFrom":null,"Links":[],"NetworkMode":"bridge","PidMode":"","IpcMode":"private""#,
    );
}

#[test]
fn devices_are_listed_by_path_and_cgroup_rules_never_pass() {
    let policy = limits(r#"devices = ["/dev/fuse"]"#);
    create_denied(
        &policy,
        r#""Devices":[{"PathOnHost":"/dev/sda"}]"#,
        "devices",
    );
    create_denied(
        &policy,
        r#""Devices":[{"PathOnHost":"/dev/fuse/../sda"}]"#,
        "devices",
    );
    create_denied(&policy, r#""DeviceCgroupRules":["b 8:0 rwm"]"#, "devices");
    create_denied(
        &policy,
        r#""BlkioDeviceReadBps":[{"Path":"/etc/shadow","Rate":1}]"#,
        "devices",
    );
    create_allowed(
        &policy,
        r#""Devices":[{"PathOnHost":"/dev/fuse","PathInContainer":"/dev/fuse"}],"DeviceCgroupRules":null"#,
    );
}

#[test]
fn device_requests_are_listed_and_cdi_names_each_device() {
    let policy = limits(r#"device_requests = ["gpu", "cdi", "vendor.example/gpu=0"]"#);
    create_allowed(
        &policy,
        r#""DeviceRequests":[{"Driver":"","Count":-1,"Capabilities":[["gpu"]]}]"#,
    );
    create_allowed(
        &policy,
        r#""DeviceRequests":[{"Driver":"cdi","DeviceIDs":["vendor.example/gpu=0"]}]"#,
    );
    create_denied(
        &policy,
        r#""DeviceRequests":[{"Driver":"cdi","DeviceIDs":["vendor.example/root=all"]}]"#,
        "device_requests",
    );
    create_denied(
        &policy,
        r#""DeviceRequests":[{"Capabilities":[["gpu","tpu"]]}]"#,
        "device_requests",
    );
    create_denied(&policy, r#""DeviceRequests":[{"Count":-1}]"#, "devices");
    create_denied(
        &policy,
        r#""DeviceRequests":[{"Capabilities":[["gpu"]],"Options":{"a":"b"}}]"#,
        "devices",
    );
    create_denied(
        &limits(""),
        r#""DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]"#,
        "device_requests",
    );
}

#[test]
fn capabilities_are_compared_in_one_spelling() {
    let policy = limits(r#"capabilities = ["cap_net_admin"]"#);
    for name in [
        "SYS_ADMIN",
        "cap_sys_admin",
        "CAP_SYS_ADMIN",
        "aLL",
        "Sys_Module",
    ] {
        create_denied(&policy, &format!(r#""CapAdd":["{name}"]"#), "capabilities");
    }
    for name in [
        "NET_ADMIN",
        "cap_net_admin",
        "Net_Admin",
        "CHOWN",
        "cap_net_bind_service",
    ] {
        create_allowed(&policy, &format!(r#""CapAdd":["{name}"]"#));
    }
}

#[test]
fn host_namespaces_need_the_limit_one_by_one() {
    let modes = [
        ("NetworkMode", "network"),
        ("PidMode", "pid"),
        ("IpcMode", "ipc"),
        ("UTSMode", "uts"),
        ("UsernsMode", "user"),
        ("CgroupnsMode", "cgroup"),
    ];
    for (field, name) in modes {
        create_denied(
            &limits(""),
            &format!(r#""{field}":"host""#),
            "host_namespaces",
        );
        create_allowed(
            &limits(&format!("host_namespaces = [\"{name}\"]")),
            &format!(r#""{field}":"host""#),
        );
        create_allowed(&limits(""), &format!(r#""{field}":"""#));
    }
    create_denied(
        &limits(r#"host_namespaces = ["pid"]"#),
        r#""NetworkMode":"host""#,
        "host_namespaces",
    );
    create_denied(&limits(""), r#""PidMode":"hostess""#, "host_namespaces");
}

#[test]
fn the_host_network_by_id_or_alias_is_the_host_network() {
    let policy = limits("");
    let body = |mode: &str| format!(r#"{{"Image":"b","HostConfig":{{"NetworkMode":"{mode}"}}}}"#);
    let id = body("0f1e2d3c4b5a");
    Ask::new(&policy, "POST", "/containers/create")
        .body(&id)
        .engine(
            "/networks/0f1e2d3c4b5a",
            r#"{"Name":"host","Driver":"host","Id":"0f1e2d3c4b5a"}"#,
        )
        .denied("host_namespaces");
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(&id)
        .engine(
            "/networks/0f1e2d3c4b5a",
            r#"{"Name":"app","Driver":"bridge"}"#,
        )
        .allowed();
    let alias = r#"{"Image":"b","NetworkingConfig":{"EndpointsConfig":{"host":{}}}}"#;
    Ask::new(&policy, "POST", "/containers/create")
        .body(alias)
        .denied("host_namespaces");
    let plain =
        r#"{"Image":"b","NetworkingConfig":{"EndpointsConfig":{"app":{"Aliases":["web"]}}}}"#;
    let (answer, asked) = Ask::new(&policy, "POST", "/containers/create")
        .body(plain)
        .run();
    assert!(answer.is_ok() && asked.is_empty());
}

#[test]
fn security_options_are_exact_and_no_new_privileges_passes() {
    for option in [
        "seccomp=unconfined",
        "seccomp={}",
        "apparmor=unconfined",
        "apparmor:unconfined",
        "label=disable",
        "disable",
        "systempaths=unconfined",
        "no-new-privileges=false",
        "no-new-privileges:false",
        "writable-cgroups=true",
    ] {
        create_denied(
            &limits(""),
            &format!(r#""SecurityOpt":["{option}"]"#),
            "security_opts",
        );
    }
    for option in [
        "no-new-privileges",
        "no-new-privileges=true",
        "no-new-privileges:true",
    ] {
        create_allowed(&limits(""), &format!(r#""SecurityOpt":["{option}"]"#));
    }
    create_allowed(
        &limits(r#"security_opts = ["apparmor=team"]"#),
        r#""SecurityOpt":["apparmor=team"]"#,
    );
}

#[test]
fn an_empty_list_of_masked_paths_unmasks_and_null_does_not() {
    for field in ["MaskedPaths", "ReadonlyPaths"] {
        create_denied(&limits(""), &format!(r#""{field}":[]"#), "security_opts");
        create_denied(
            &limits(""),
            &format!(r#""{field}":["/proc/kcore"]"#),
            "security_opts",
        );
        create_allowed(&limits(""), &format!(r#""{field}":null"#));
        create_allowed(&limits(""), "");
    }
}

#[test]
fn runtimes_sysctls_annotations_groups_and_log_drivers_are_listed() {
    let policy = limits(
        "runtimes = [\"runc\", \"runsc\"]\nsysctls = [\"net.core.somaxconn\"]\nannotations = [\"team\"]\ngroups = [\"video\"]",
    );
    create_denied(&policy, r#""Runtime":"io.containerd.runc.v2""#, "runtimes");
    create_allowed(&policy, r#""Runtime":"runsc""#);
    create_allowed(&policy, r#""Runtime":"""#);
    create_denied(
        &policy,
        r#""Sysctls":{"kernel.shm_rmid_forced":"1"}"#,
        "sysctls",
    );
    create_allowed(&policy, r#""Sysctls":{"net.core.somaxconn":"1024"}"#);
    create_denied(
        &policy,
        r#""Annotations":{"org.systemd.property.ExecStart":"x"}"#,
        "annotations",
    );
    create_allowed(&policy, r#""Annotations":{"team":"a"}"#);
    create_denied(&policy, r#""GroupAdd":["docker"]"#, "groups");
    create_allowed(&policy, r#""GroupAdd":["video"]"#);
    create_denied(
        &policy,
        r#""LogConfig":{"Type":"splunk","Config":{"splunk-capath":"/etc/shadow"}}"#,
        "log_drivers",
    );
    create_allowed(
        &policy,
        r#""LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}}"#,
    );
    create_allowed(&policy, r#""LogConfig":{"Type":"","Config":{}}"#);
}

#[test]
fn options_without_a_log_driver_are_those_of_a_driver_nobody_named() {
    let policy = role(
        "base = \"deployer\"\nallow = [\"service.*\"]\n[role.team.limits]\nlog_drivers = [\"fluentd\"]\nfetch = [\"logs.example.com:24224\"]",
    );
    let socket = r#"{"fluentd-address":"tcp://logs.example.com:24224"}"#;
    for driver in ["", r#""Type":"","#] {
        let log = format!(r#""LogConfig":{{{driver}"Config":{socket}}}"#);
        create_denied(&policy, &log, "log_drivers");
    }
    create_allowed(
        &policy,
        &format!(r#""LogConfig":{{"Type":"fluentd","Config":{socket}}}"#),
    );
    // What `--log-opt max-size=1m` alone sends.
    create_allowed(
        &policy,
        r#""LogConfig":{"Type":"","Config":{"max-size":"1m","max-file":"3"}}"#,
    );
    create_allowed(&policy, r#""LogConfig":{"Type":"","Config":null}"#);
    let service = |log: &str| {
        let body = format!(
            r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"busybox"}},"LogDriver":{log}}}}}"#
        );
        Ask::new(&policy, "POST", "/services/create")
            .body(&body)
            .run()
            .0
    };
    let denied = service(&format!(r#"{{"Name":"","Options":{socket}}}"#)).expect_err("no driver");
    assert_eq!(denied.rule, "log_drivers");
    let named = format!(r#"{{"Name":"fluentd","Options":{socket}}}"#);
    assert!(service(&named).is_ok());
}

#[test]
fn a_networks_subnet_takes_the_hosts_traffic_and_is_listed() {
    let ask = |policy: &Policy, subnet: &str| {
        let body = format!(
            r#"{{"Name":"n","IPAM":{{"Config":[{{"Subnet":"10.20.1.0/24"}},{{"Subnet":"{subnet}"}}]}}}}"#
        );
        Ask::new(policy, "POST", "/networks/create")
            .body(&body)
            .run()
            .0
    };
    let none = limits("");
    let denied = ask(&none, "8.8.8.0/24").expect_err("not listed");
    assert_eq!(
        denied.to_string(),
        "denied: client ci, role team: subnets: IPAM.Config[0].Subnet=10.20.1.0/24 (allowed: none); to allow it: limits.subnets = [\"10.20.1.0/24\"] in role team"
    );
    let policy = limits(r#"subnets = ["10.20.0.0/16", "fd00::/8"]"#);
    for subnet in [
        "8.8.8.0/24",
        "10.0.0.0/8",
        "::ffff:8.8.8.0/120",
        "10.20.0.0",
        "x",
    ] {
        let denied = ask(&policy, subnet).expect_err(subnet);
        assert_eq!(denied.rule, "subnets", "{subnet}");
    }
    for subnet in ["10.20.0.0/16", "10.20.9.0/24", "fd00:1::/64"] {
        assert!(ask(&policy, subnet).is_ok(), "{subnet}");
    }
}

#[test]
fn a_devices_path_is_taken_as_it_is_written_or_not_at_all() {
    let policy = limits(r#"devices = ["/dev/fuse"]"#);
    for path in [
        "/srv/x/../../dev/fuse",
        "/dev//fuse",
        "/dev/./fuse",
        "/dev/fuse/",
        "/dev/x/../fuse",
    ] {
        create_denied(
            &policy,
            &format!(r#""Devices":[{{"PathOnHost":"{path}","PathInContainer":"/dev/fuse"}}]"#),
            "devices",
        );
        create_denied(
            &policy,
            &format!(r#""BlkioDeviceReadBps":[{{"Path":"{path}","Rate":1}}]"#),
            "devices",
        );
    }
    create_allowed(
        &policy,
        r#""Devices":[{"PathOnHost":"/dev/fuse","PathInContainer":"/dev/fuse"}]"#,
    );
    create_allowed(
        &policy,
        r#""BlkioDeviceReadBps":[{"Path":"/dev/fuse","Rate":1}]"#,
    );
}

#[test]
fn a_cgroup_parent_is_refused() {
    create_denied(&limits(""), r#""CgroupParent":"/../../x""#, "cgroup-parent");
    create_allowed(&limits(""), r#""CgroupParent":"""#);
    create_denied(&limits(""), r#""Isolation":"hyperv""#, "isolation");
    create_allowed(&limits(""), r#""Isolation":"default""#);
}

#[test]
fn endpoint_driver_options_are_refused() {
    let policy = limits("");
    let body = r#"{"Image":"b","NetworkingConfig":{"EndpointsConfig":{"app":{"DriverOpts":{"com.docker.network.endpoint.sysctls":"net.ipv4.ip_forward=1"}}}}}"#;
    Ask::new(&policy, "POST", "/containers/create")
        .body(body)
        .denied("network_drivers");
    let body =
        r#"{"Image":"b","NetworkingConfig":{"EndpointsConfig":{"app":{"DriverOpts":null}}}}"#;
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(body)
        .allowed();
    let connect = r#"{"Container":"c","EndpointConfig":{"DriverOpts":{"a":"b"}}}"#;
    Ask::new(&policy, "POST", "/networks/app/connect")
        .body(connect)
        .denied("network_drivers");
    let connect = r#"{"Container":"c","EndpointConfig":{"Aliases":["web"]}}"#;
    let _ = Ask::new(&policy, "POST", "/networks/app/connect")
        .body(connect)
        .allowed();
}

#[test]
fn networks_are_made_with_listed_drivers_and_no_options() {
    let policy = limits(r#"network_drivers = ["bridge"]"#);
    let ask = |body: &'static str| Ask::new(&policy, "POST", "/networks/create").body(body);
    ask(r#"{"Name":"n","Driver":"macvlan","Options":{"parent":"eth0"}}"#).denied("network_drivers");
    ask(r#"{"Name":"n","Driver":"bridge","Options":{"com.docker.network.bridge.name":"docker0"}}"#)
        .denied("network_drivers");
    ask(r#"{"Name":"n","ConfigFrom":{"Network":"other"}}"#).denied("network_drivers");
    ask(r#"{"Name":"n","IPAM":{"Driver":"plugin"}}"#).denied("network_drivers");
    let _ = ask(r#"{"Name":"n","Driver":"bridge","IPAM":{"Driver":"default","Config":[{}]},"Options":{},"CheckDuplicate":true}"#).allowed();
    let _ = ask(r#"{"Name":"n"}"#).allowed();
}
