//! Mount options that do more than the mount they stand on: each with the harmless one beside it.

use crate::support::{Ask, create, create_allowed, create_denied, limits, role};

/// A volume mount whose local driver gets these options.
fn volume(options: &str) -> String {
    format!(
        r#""Mounts":[{{"Type":"volume","Target":"/x","VolumeOptions":{{"DriverConfig":{{"Options":{options}}}}}}}]"#
    )
}

#[test]
fn a_bind_is_a_bind_whatever_type_it_says() {
    let policy = limits("binds = [\"/srv/a/**\"]\nvolumes = [\"*\"]");
    for options in [
        r#"{"type":"tmpfs","o":"bind","device":"/etc"}"#,
        r#"{"type":"tmpfs","o":"rbind","device":"/srv/a"}"#,
        r#"{"type":"tmpfs","o":"size=1m,bind","device":"/etc"}"#,
        r#"{"type":"tmpfs","o":"remount","device":"tmpfs"}"#,
        r#"{"type":"tmpfs","o":"shared","device":"tmpfs"}"#,
        r#"{"type":"tmpfs","o":"size=1m","device":"/etc"}"#,
        r#"{"type":"none","o":"bind,remount","device":"/srv/a"}"#,
        r#"{"type":"none","o":"bind,unbindable","device":"/srv/a"}"#,
        r#"{"type":"none","o":"bind, rw","device":"/srv/a"}"#,
    ] {
        create_denied(&policy, &volume(options), "binds");
        let body = format!(r#"{{"Name":"v","Driver":"local","DriverOpts":{options}}}"#);
        Ask::new(&policy, "POST", "/volumes/create")
            .body(&body)
            .denied("binds");
        let answer = format!(r#"{{"Name":"data","Driver":"local","Options":{options}}}"#);
        Ask::new(&policy, "POST", "/containers/create")
            .body(r#"{"Image":"busybox","HostConfig":{"Binds":["data:/x"]}}"#)
            .engine("/volumes/data", &answer)
            .denied("binds");
    }
    for options in [
        r#"{"type":"tmpfs","o":"size=1m,uid=1000,mode=0700,noexec,nosuid,nodev,ro","device":"tmpfs"}"#,
        r#"{"type":"tmpfs"}"#,
        r#"{"type":"none","o":"bind,rslave,noatime","device":"/srv/a"}"#,
    ] {
        create_allowed(&policy, &volume(options));
    }
}

#[test]
fn a_tmpfs_is_new_and_does_not_remount_what_lies_there() {
    let policy = limits(r#"binds = ["/srv/ro/**:ro"]"#);
    for host in [
        r#""Tmpfs":{"/sys/":"remount"}"#,
        r#""Tmpfs":{"/sys":"rw,remount,size=1m"}"#,
        r#""Binds":["/srv/ro/a:/x:ro"],"Tmpfs":{"/proc/self/root/x":"remount"}"#,
        r#""Tmpfs":{"/x":"bind"}"#,
        r#""Tmpfs":{"/x":"rshared"}"#,
        r#""Tmpfs":{"/x":"sync"}"#,
        r#""Tmpfs":{"/x":["remount"]}"#,
        r#""Mounts":[{"Type":"tmpfs","Target":"/sys","TmpfsOptions":{"Options":[["remount"]]}}]"#,
        r#""Mounts":[{"Type":"tmpfs","Target":"/sys","TmpfsOptions":{"Options":["remount"]}}]"#,
    ] {
        create_denied(&policy, host, "binds");
    }
    for host in [
        r#""Tmpfs":{"/run":"rw,exec,suid,dev,size=64m,mode=1777,uid=1,gid=1,nr_inodes=1k"}"#,
        r#""Tmpfs":{"/run":"","/tmp":null}"#,
        r#""Binds":["/srv/ro/a:/x:ro"],"Tmpfs":{"/x/y":"ro,noexec"}"#,
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[["exec"],["uid","7"]]}}]"#,
    ] {
        create_allowed(&policy, host);
    }
    // Who was made that way by somebody else is no target either.
    let answer = r#"{"Id":"9f86d081884c","HostConfig":{"Tmpfs":{"/sys":"remount"}}}"#;
    Ask::new(&policy, "POST", "/containers/web/exec")
        .body(r#"{"Cmd":["id"]}"#)
        .engine("/containers/web/json", answer)
        .denied("binds");
}

#[test]
fn read_only_that_stops_at_mount_points_counts_as_writable() {
    let policy = limits(r#"binds = ["/srv/ro/**:ro"]"#);
    let (bind, mount) = (
        create(r#""Binds":["/srv/ro/a:/x:ro"]"#),
        create(r#""Mounts":[{"Type":"bind","Source":"/srv/ro/a","Target":"/x","ReadOnly":true}]"#),
    );
    for body in [&bind, &mount] {
        // Before 1.44 the engine leaves what is mounted below a read-only bind writable.
        for target in ["/v1.43/containers/create", "/v1.24/containers/create"] {
            Ask::new(&policy, "POST", target).body(body).denied("binds");
        }
        for target in [
            "/v1.44/containers/create",
            "/v1.51/containers/create",
            "/containers/create",
        ] {
            let _ = Ask::new(&policy, "POST", target).body(body).allowed();
        }
    }
    create_denied(
        &policy,
        &volume(r#"{"type":"none","o":"rbind,ro","device":"/srv/ro/a"}"#),
        "binds",
    );
    create_allowed(
        &policy,
        &volume(r#"{"type":"none","o":"bind,ro","device":"/srv/ro/a"}"#),
    );
    // Where writing is allowed, versions make no difference.
    let policy = limits(r#"binds = ["/srv/ro/**"]"#);
    let _ = Ask::new(&policy, "POST", "/v1.43/containers/create")
        .body(&bind)
        .allowed();
}

#[test]
fn what_swarm_would_expand_later_is_refused() {
    let policy = role(
        "base = \"deployer\"\nallow = [\"service.*\"]\n[role.team.limits]\nbinds = [\"/srv/a/**\"]",
    );
    let ask = |mount: &str| {
        let body = format!(
            r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"busybox","Mounts":[{mount}]}}}}}}"#
        );
        Ask::new(&policy, "POST", "/services/create")
            .body(&body)
            .run()
            .0
    };
    for mount in [
        r#"{"Type":"bind","Target":"/x","Source":"/srv/a/{{\"\\u002e\\u002e/\\u002e\\u002e/etc\"}}"}"#,
        r#"{"Type":"bind","Target":"/x","Source":"/srv/a/{{.Task.Name}}"}"#,
        r#"{"Type":"volume","Target":"/x","Source":"{{.Task.Name}}"}"#,
        r#"{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"tmpfs","o":"size={{\"1,bind\"}}","device":"x"}}}}"#,
        r#"{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/srv/a/{{\"\\u002e\\u002e\"}}"}}}}"#,
    ] {
        let denied = ask(mount).expect_err(mount);
        assert!(matches!(denied.rule, "binds" | "volumes"), "{denied}");
    }
    for mount in [
        r#"{"Type":"bind","Target":"/x","Source":"/srv/a/b"}"#,
        r#"{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"tmpfs","o":"size=1m","device":"tmpfs"}}}}"#,
    ] {
        let permitted = ask(mount);
        assert!(permitted.is_ok(), "{mount}: {permitted:?}");
    }
}

#[test]
fn tmpfs_options_pass_since_they_name_nothing_of_the_host() {
    let policy = limits("");
    for host in [
        r#""Tmpfs":{"/run":"rw,exec,suid,dev,size=64m"}"#,
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"SizeBytes":65536,"Mode":1023,"Options":[["exec"],["suid"]]}}]"#,
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"tmpfs","device":"tmpfs","o":"exec,suid,dev"}}}}]"#,
    ] {
        let body = create(host);
        let permitted = Ask::new(&policy, "POST", "/v1.51/containers/create")
            .body(&body)
            .allowed();
        let asked: Vec<_> = permitted
            .asked()
            .kept
            .iter()
            .map(policy::Power::rule)
            .filter(|rule| ["binds", "volumes"].contains(rule))
            .collect();
        assert!(asked.is_empty(), "{host}: {asked:?}");
    }
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","device":"/etc","o":"bind"}}}}]"#,
        "binds",
    );
}
