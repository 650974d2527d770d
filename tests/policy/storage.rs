//! Each way from a body to the host's files: binds, mounts, and volumes with a device; and beside it what passes.

use crate::support::{Ask, create_allowed, create_denied, limits};

#[test]
fn a_bind_needs_a_listed_source_and_whole_components_count() {
    let policy = limits(r#"binds = ["/srv/team-a/**", "/etc/ssl/certs/**:ro"]"#);
    let denied = create_denied(&policy, r#""Binds":["/etc:/x"]"#, "binds");
    assert_eq!(
        denied.to_string(),
        "denied: client ci, role team: binds: HostConfig.Binds[0]=/etc:/x (allowed: /srv/team-a/**, /etc/ssl/certs/**:ro); to allow it: limits.binds = [\"/etc\"] in role team (leads to root on the host)"
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
        create_denied(&policy, &format!(r#""Binds":["{source}:/x"]"#), "binds");
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
    create_denied(&policy, r#""Binds":["/etc/ssl/certs:/c"]"#, "binds");
    create_denied(&policy, r#""Binds":["/etc/ssl/certs:/c:rw"]"#, "binds");
    create_allowed(&policy, r#""Binds":["/etc/ssl/certs:/c:ro"]"#);
    create_denied(&policy, r#""Binds":["/srv/team-a:/a:b:c"]"#, "binds");
}

#[test]
fn a_bind_mount_is_a_bind() {
    let policy = limits(r#"binds = ["/srv/a/**", "/data/**:ro"]"#);
    let mount = |rest: &str| format!(r#""Mounts":[{{"Type":"bind","Target":"/x",{rest}}}]"#);
    create_denied(&policy, &mount(r#""Source":"/etc""#), "binds");
    create_denied(&policy, &mount(r#""Source":" /srv/a""#), "binds");
    create_denied(&policy, &mount(r#""Source":"srv/a""#), "binds");
    create_denied(&policy, &mount(r#""Source":"/data""#), "binds");
    let shallow =
        mount(r#""Source":"/data","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}"#);
    create_denied(&policy, &shallow, "binds");
    create_allowed(&policy, &mount(r#""Source":"/data","ReadOnly":true"#));
    create_allowed(&policy, &mount(r#""Source":"/srv/a/b""#));
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"Bind","Source":"/srv/a","Target":"/x"}]"#,
        "binds",
    );
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"npipe","Source":"/srv/a","Target":"/x"}]"#,
        "binds",
    );
    create_denied(
        &policy,
        r#""Mounts":[{"Source":"/srv/a","Target":"/x"}]"#,
        "binds",
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
                "binds",
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
    let policy = limits("binds = [\"/srv/a/**\"]\nvolumes = [\"*\"]");
    let ask = |answer: &'static str| {
        Ask::new(&policy, "POST", "/containers/create")
            .body(r#"{"Image":"busybox","HostConfig":{"Binds":["data:/x"]}}"#)
            .engine("/volumes/data", answer)
    };
    ask(r#"{"Name":"data","Driver":"local","Options":{"type":"none","o":"bind","device":"/etc"}}"#)
        .denied("binds");
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
    assert_eq!(broken.denied("target-check").status.code(), 502);
}

#[test]
fn named_volumes_can_be_listed() {
    // Without a list there is none; a volume without a name is the container's own.
    create_denied(&limits(""), r#""Binds":["data:/x"]"#, "volumes");
    create_denied(
        &limits(""),
        r#""Mounts":[{"Type":"volume","Source":"data","Target":"/x"}]"#,
        "volumes",
    );
    Ask::new(&limits(""), "POST", "/volumes/create")
        .body(r#"{"Name":"data"}"#)
        .denied("volumes");
    create_allowed(&limits(""), r#""Binds":["/x"]"#);
    create_allowed(&limits(""), r#""Mounts":[{"Type":"volume","Target":"/x"}]"#);
    let _ = Ask::new(&limits(""), "POST", "/volumes/create")
        .body("{}")
        .allowed();
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
    let policy = limits("binds = [\"/srv/a/**\"]\nvolumes = [\"*\"]");
    let ask = |body: &'static str| Ask::new(&policy, "POST", "/volumes/create").body(body);
    ask(r#"{"Name":"v","DriverOpts":{"type":"none","o":"bind","device":"/"}}"#).denied("binds");
    ask(r#"{"Name":"v","Driver":"local","DriverOpts":{"type":"proc","device":"proc"}}"#)
        .denied("binds");
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
        &limits("volumes = [\"*\"]"),
        r#""VolumeDriver":"rclone","Binds":["vol:/x"]"#,
        "volumes",
    );
    create_allowed(
        &limits("volumes = [\"*\"]"),
        r#""VolumeDriver":"local","Binds":["vol:/x"]"#,
    );
    create_denied(
        &limits(""),
        r#""Mounts":[{"Type":"cluster","Source":"v","Target":"/x"}]"#,
        "binds",
    );
}

#[test]
fn propagation_must_not_reach_the_host() {
    let policy = limits(r#"binds = ["/srv/a/**"]"#);
    for mode in ["shared", "rshared"] {
        create_denied(
            &policy,
            &format!(r#""Binds":["/srv/a:/x:{mode}"]"#),
            "binds",
        );
        let mount = format!(
            r#""Mounts":[{{"Type":"bind","Source":"/srv/a","Target":"/x","BindOptions":{{"Propagation":"{mode}"}}}}]"#
        );
        create_denied(&policy, &mount, "binds");
    }
    create_allowed(&policy, r#""Binds":["/srv/a:/x:rslave"]"#);
    create_allowed(
        &policy,
        r#""Mounts":[{"Type":"bind","Source":"/srv/a","Target":"/x","BindOptions":{"Propagation":"rprivate"}}]"#,
    );
}

#[test]
fn options_of_a_bind_are_listed_and_one_that_relabels_writes() {
    let policy = limits("binds = [\"/srv/a/**\", \"/data/**:ro\"]\nvolumes = [\"*\"]");
    let bind = |rest: &str| format!(r#""Binds":["{rest}"]"#);
    // The engine would change the SELinux labels (or with Podman the owner) of what lies on the host.
    for options in ["ro,z", "ro,Z", "Z,ro", "ro,U", "z", "rw", "ro,rw", "nocopy"] {
        create_denied(&policy, &bind(&format!("/data:/x:{options}")), "binds");
        create_allowed(&policy, &bind(&format!("/srv/a:/x:{options}")));
        create_allowed(&policy, &bind(&format!("cache:/x:{options}")));
    }
    for options in [
        "ro",
        "ro,private",
        "rslave,ro",
        "ro,nocopy",
        "ro,cached",
        "consistent,ro",
        "ro,delegated",
        "ro,rprivate",
        "slave,ro",
    ] {
        create_allowed(&policy, &bind(&format!("/data:/x:{options}")));
    }
    for options in [
        "ro,O",
        "Ro",
        "ro,",
        ",",
        "idmap",
        "upperdir=/srv/a",
        "exec",
        "ro ro",
    ] {
        for source in ["/data", "/srv/a", "cache"] {
            create_denied(&policy, &bind(&format!("{source}:/x:{options}")), "binds");
        }
    }
    // No other spelling of a mount has such an option.
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"bind","Source":"/data","Target":"/x","ReadOnly":true,"BindOptions":{"SELinux":"Z"}}]"#,
        "unknown_fields",
    );
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind,ro,Z","device":"/data"}}}}]"#,
        "binds",
    );
    let joins = limits("join_containers = true");
    for mode in ["", ":ro", ":rw"] {
        create_allowed(&joins, &format!(r#""VolumesFrom":["donor{mode}"]"#));
    }
    for mode in [":ro,Z", ":z", ":U", ":ro,", ":shared", ":rw:Z"] {
        let host = format!(r#""VolumesFrom":["donor{mode}"]"#);
        create_denied(&joins, &host, "join_containers");
    }
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
