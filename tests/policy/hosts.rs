//! Each way from a container body to the host, refused; and beside it what passes.

use crate::support::{Ask, create_allowed, create_denied, limits};

#[test]
fn privileged_needs_the_limit() {
    create_denied(&limits(""), r#""Privileged":true"#, "no-privileged");
    create_allowed(&limits(""), r#""Privileged":false"#);
    create_allowed(&limits("privileged = true"), r#""Privileged":true"#);
}

#[test]
fn a_bind_needs_a_listed_source_and_whole_components_count() {
    let policy = limits(r#"binds = ["/srv/team-a/**", "/etc/ssl/certs/**:ro"]"#);
    let denied = create_denied(&policy, r#""Binds":["/etc:/x"]"#, "bind-sources");
    assert_eq!(
        denied.to_string(),
        "denied: client ci, role team: bind-sources: HostConfig.Binds[0]=/etc:/x (allowed: /srv/team-a/**, /etc/ssl/certs/**:ro)"
    );
    for source in [
        "/srv/team-a-evil",
        "/srv/team-a/../x",
        "/srv/team-a/../../etc",
        "//etc",
        "/srv",
        "/",
        "/srv/team-a/..",
    ] {
        create_denied(
            &policy,
            &format!(r#""Binds":["{source}:/x"]"#),
            "bind-sources",
        );
    }
    for source in [
        "/srv/team-a",
        "/srv/team-a/",
        "/srv/team-a/x",
        "/srv//team-a/x",
        "/srv/x/../team-a/x",
    ] {
        create_allowed(&policy, &format!(r#""Binds":["{source}:/x"]"#));
    }
    create_denied(&policy, r#""Binds":["/etc/ssl/certs:/c"]"#, "bind-sources");
    create_denied(
        &policy,
        r#""Binds":["/etc/ssl/certs:/c:rw"]"#,
        "bind-sources",
    );
    create_allowed(&policy, r#""Binds":["/etc/ssl/certs:/c:ro"]"#);
    create_denied(&policy, r#""Binds":["/srv/team-a:/a:b:c"]"#, "bind-sources");
}

#[test]
fn a_bind_mount_is_a_bind() {
    let policy = limits(r#"binds = ["/srv/a/**", "/data/**:ro"]"#);
    let mount = |rest: &str| format!(r#""Mounts":[{{"Type":"bind","Target":"/x",{rest}}}]"#);
    create_denied(&policy, &mount(r#""Source":"/etc""#), "bind-sources");
    create_denied(&policy, &mount(r#""Source":" /srv/a""#), "bind-sources");
    create_denied(&policy, &mount(r#""Source":"srv/a""#), "bind-sources");
    create_denied(&policy, &mount(r#""Source":"/data""#), "bind-sources");
    let shallow =
        mount(r#""Source":"/data","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}"#);
    create_denied(&policy, &shallow, "bind-sources");
    create_allowed(&policy, &mount(r#""Source":"/data","ReadOnly":true"#));
    create_allowed(&policy, &mount(r#""Source":"/srv/a/b""#));
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"Bind","Source":"/srv/a","Target":"/x"}]"#,
        "bind-sources",
    );
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"npipe","Source":"/srv/a","Target":"/x"}]"#,
        "bind-sources",
    );
    create_denied(
        &policy,
        r#""Mounts":[{"Source":"/srv/a","Target":"/x"}]"#,
        "bind-sources",
    );
    create_allowed(
        &policy,
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"SizeBytes":65536}}]"#,
    );
}

#[test]
fn a_local_driver_on_a_volume_mount_is_a_bind() {
    let policy = limits(r#"binds = ["/srv/a/**"]"#);
    let mount = |driver: &str| {
        format!(
            r#""Mounts":[{{"Type":"volume","Target":"/x","VolumeOptions":{{"DriverConfig":{driver}}}}}]"#
        )
    };
    for options in [
        r#"{"type":"none","o":"bind","device":"/etc"}"#,
        r#"{"type":"none","o":"rbind","device":"/srv/a/../../etc"}"#,
        r#"{"type":"none","o":"bind,rshared","device":"/srv/a"}"#,
        r#"{"type":"none","o":"bind","device":"srv/a"}"#,
        r#"{"type":"overlay","o":"lowerdir=/etc:/usr","device":"overlay"}"#,
        r#"{"type":"ext4","device":"/dev/sda1"}"#,
        r#"{"type":"proc","device":"proc"}"#,
        r#"{"type":"cgroup","device":"cgroup"}"#,
        r#"{"type":"nfs","o":"addr=10.0.0.1","device":":/x"}"#,
        r#"{"Type":"none","o":"bind","device":"/srv/a"}"#,
        r#"{"device":"/srv/a"}"#,
    ] {
        for name in [r#""Name":"local","#, ""] {
            create_denied(
                &policy,
                &mount(&format!(r#"{{{name}"Options":{options}}}"#)),
                "bind-sources",
            );
        }
    }
    create_allowed(
        &policy,
        &mount(r#"{"Name":"local","Options":{"type":"none","o":"bind","device":"/srv/a/b"}}"#),
    );
    create_allowed(
        &policy,
        &mount(r#"{"Options":{"type":"tmpfs","device":"tmpfs","o":"size=1m"}}"#),
    );
    create_allowed(&policy, &mount(r#"{"Name":"local","Options":null}"#));
    create_denied(&policy, &mount(r#"{"Name":"rclone"}"#), "volumes");
}

#[test]
fn a_named_volume_is_looked_up_and_its_device_is_a_bind() {
    let policy = limits(r#"binds = ["/srv/a/**"]"#);
    let ask = |answer: &'static str| {
        Ask::new(&policy, "POST", "/containers/create")
            .body(r#"{"Image":"busybox","HostConfig":{"Binds":["data:/x"]}}"#)
            .engine("/volumes/data", answer)
    };
    ask(r#"{"Name":"data","Driver":"local","Options":{"type":"none","o":"bind","device":"/etc"}}"#)
        .denied("bind-sources");
    ask(r#"{"Name":"data","Driver":"rclone","Options":null}"#).denied("volumes");
    ask(r#"{"Name":"data","Driver":"local","Options":null,"ClusterVolume":{"ID":"x"}}"#)
        .denied("volumes");
    let _ = ask(r#"{"Name":"data","Driver":"local","Options":{"type":"none","o":"bind","device":"/srv/a"}}"#).allowed();
    let plain = ask(r#"{"Name":"data","Driver":"local","Options":null}"#);
    let (permitted, asked) = plain.run();
    assert!(permitted.is_ok());
    assert_eq!(asked, ["/volumes/data"]);
    // What does not exist yet will be made without options.
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"b","HostConfig":{"Binds":["new:/x"]}}"#)
        .allowed();
    let broken = Ask {
        engine: vec![("/volumes/data", 500, "{}")],
        ..ask("{}")
    };
    assert_eq!(broken.denied("target-check").status, 502);
}

#[test]
fn named_volumes_can_be_listed() {
    let policy = limits(r#"volumes = ["team-a-*", "cache"]"#);
    create_denied(&policy, r#""Binds":["other:/x"]"#, "volumes");
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"volume","Source":"other","Target":"/x"}]"#,
        "volumes",
    );
    create_denied(&policy, r#""Binds":["./x:/x"]"#, "volumes");
    create_allowed(&policy, r#""Binds":["team-a-db:/x","cache:/c"]"#);
}

#[test]
fn volume_create_with_a_device_is_a_bind() {
    let policy = limits(r#"binds = ["/srv/a/**"]"#);
    let ask = |body: &'static str| Ask::new(&policy, "POST", "/volumes/create").body(body);
    ask(r#"{"Name":"v","DriverOpts":{"type":"none","o":"bind","device":"/"}}"#)
        .denied("bind-sources");
    ask(r#"{"Name":"v","Driver":"local","DriverOpts":{"type":"proc","device":"proc"}}"#)
        .denied("bind-sources");
    ask(r#"{"Name":"v","Driver":"rclone"}"#).denied("volumes");
    ask(r#"{"Name":"v","ClusterVolumeSpec":{}}"#).denied("volumes");
    let _ = ask(r#"{"Name":"v","DriverOpts":{"type":"none","o":"bind","device":"/srv/a/v"}}"#)
        .allowed();
    let _ = ask(r#"{"Name":"v","Driver":"local","DriverOpts":null,"Labels":{"a":"1","A":"2"}}"#)
        .allowed();
}

#[test]
fn volume_plugins_are_refused() {
    create_denied(
        &limits(""),
        r#""VolumeDriver":"rclone","Binds":["vol:/x"]"#,
        "volumes",
    );
    create_allowed(&limits(""), r#""VolumeDriver":"local","Binds":["vol:/x"]"#);
    create_denied(
        &limits(""),
        r#""Mounts":[{"Type":"cluster","Source":"v","Target":"/x"}]"#,
        "bind-sources",
    );
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
        create_denied(&limits(""), join, "no-joining");
        create_allowed(&limits("join_containers = true"), join);
    }
    create_allowed(
        &limits(""),
        r#""VolumesFrom":null,"Links":[],"NetworkMode":"bridge","PidMode":"","IpcMode":"private""#,
    );
}

#[test]
fn propagation_must_not_reach_the_host() {
    let policy = limits(r#"binds = ["/srv/a/**"]"#);
    for mode in ["shared", "rshared"] {
        create_denied(
            &policy,
            &format!(r#""Binds":["/srv/a:/x:{mode}"]"#),
            "bind-sources",
        );
        let mount = format!(
            r#""Mounts":[{{"Type":"bind","Source":"/srv/a","Target":"/x","BindOptions":{{"Propagation":"{mode}"}}}}]"#
        );
        create_denied(&policy, &mount, "bind-sources");
    }
    create_allowed(&policy, r#""Binds":["/srv/a:/x:rslave"]"#);
    create_allowed(
        &policy,
        r#""Mounts":[{"Type":"bind","Source":"/srv/a","Target":"/x","BindOptions":{"Propagation":"rprivate"}}]"#,
    );
}

#[test]
fn an_image_mount_is_an_image() {
    let policy = limits(r#"images = ["docker.io/library/**"]"#);
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"image","Source":"evil/x","Target":"/x"}]"#,
        "images",
    );
    create_allowed(
        &policy,
        r#""Mounts":[{"Type":"image","Source":"alpine:3","Target":"/x"}]"#,
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
        "devices",
    );
    create_denied(
        &policy,
        r#""DeviceRequests":[{"Capabilities":[["gpu","tpu"]]}]"#,
        "devices",
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
        "devices",
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
            "no-host-namespaces",
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
        "no-host-namespaces",
    );
    create_denied(&limits(""), r#""PidMode":"hostess""#, "no-host-namespaces");
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
        .denied("no-host-namespaces");
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
        .denied("no-host-namespaces");
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
            "security-options",
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
        create_denied(&limits(""), &format!(r#""{field}":[]"#), "security-options");
        create_denied(
            &limits(""),
            &format!(r#""{field}":["/proc/kcore"]"#),
            "security-options",
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
        "log-drivers",
    );
    create_allowed(
        &policy,
        r#""LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}}"#,
    );
    create_allowed(&policy, r#""LogConfig":{"Type":"","Config":{}}"#);
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
        .denied("network-drivers");
    let body =
        r#"{"Image":"b","NetworkingConfig":{"EndpointsConfig":{"app":{"DriverOpts":null}}}}"#;
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(body)
        .allowed();
    let connect = r#"{"Container":"c","EndpointConfig":{"DriverOpts":{"a":"b"}}}"#;
    Ask::new(&policy, "POST", "/networks/app/connect")
        .body(connect)
        .denied("network-drivers");
    let connect = r#"{"Container":"c","EndpointConfig":{"Aliases":["web"]}}"#;
    let _ = Ask::new(&policy, "POST", "/networks/app/connect")
        .body(connect)
        .allowed();
}

#[test]
fn networks_are_made_with_listed_drivers_and_no_options() {
    let policy = limits(r#"network_drivers = ["bridge"]"#);
    let ask = |body: &'static str| Ask::new(&policy, "POST", "/networks/create").body(body);
    ask(r#"{"Name":"n","Driver":"macvlan","Options":{"parent":"eth0"}}"#).denied("network-drivers");
    ask(r#"{"Name":"n","Driver":"bridge","Options":{"com.docker.network.bridge.name":"docker0"}}"#)
        .denied("network-drivers");
    ask(r#"{"Name":"n","ConfigFrom":{"Network":"other"}}"#).denied("network-drivers");
    ask(r#"{"Name":"n","IPAM":{"Driver":"plugin"}}"#).denied("network-drivers");
    let _ = ask(r#"{"Name":"n","Driver":"bridge","IPAM":{"Driver":"default","Config":[{"Subnet":"10.9.0.0/24"}]},"Options":{},"CheckDuplicate":true}"#).allowed();
    let _ = ask(r#"{"Name":"n"}"#).allowed();
}
