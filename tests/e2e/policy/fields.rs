//! The ways to the host through the fields of a container (known-escapes, 1–24).

use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

use super::{ADMIN, Roles, TEAM, create, json, refused, remove, send};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_fields__each_way_to_the_host_is_refused_where_the_engine_says_201",
            ways,
        ),
        Case::new("policy_harmless__fields_pass_beside_them", harmless),
        Case::new("policy_volumes__a_device_behind_a_name_is_a_bind", volumes),
    ]
}

/// Fields of `HostConfig` that this engine takes (201), and the rule that refuses them. `$N-donor` is a container.
const WAYS: &[(&str, &str)] = &[
    (r#""Privileged":true"#, "privileged"),
    (r#""Binds":["/etc:/x"]"#, "binds"),
    (r#""Binds":["/etc:/x:ro"]"#, "binds"),
    (r#""Binds":["/:/x"]"#, "binds"),
    (r#""Binds":["//etc:/x"]"#, "binds"),
    (r#""Binds":["/srv/../etc:/x"]"#, "binds"),
    (r#""Binds":["$S/../../../etc:/x"]"#, "binds"),
    (r#""Binds":["$S-evil:/x"]"#, "binds"),
    (r#""Binds":["/tmp:/a","/var/run:/b"]"#, "binds"),
    (r#""Binds":["$S:/x:rshared"]"#, "binds"),
    (
        r#""Mounts":[{"Type":"bind","Source":"/etc","Target":"/x"}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"bind","Source":"/etc","Target":"/x","ReadOnly":true}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"bind","Source":"$S","Target":"/x","BindOptions":{"Propagation":"rshared"}}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/etc"}}}}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/etc"}}}}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"overlay","o":"lowerdir=/etc:/usr","device":"overlay"}}}}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"proc","device":"proc"}}}}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"tmpfs","o":"bind","device":"/etc"}}}}]"#,
        "binds",
    ),
    (r#""Tmpfs":{"/sys/":"remount"}"#, "binds"),
    (r#""Tmpfs":{"/proc/self/root/x":"rw,remount"}"#, "binds"),
    (r#""VolumesFrom":["$N-donor"]"#, "join_containers"),
    (
        r#""Devices":[{"PathOnHost":"/dev/../dev/null","PathInContainer":"/dev/x","CgroupPermissions":"rwm"}]"#,
        "devices",
    ),
    (
        r#""Devices":[{"PathOnHost":"/dev/kmsg","PathInContainer":"/dev/kmsg","CgroupPermissions":"rwm"}]"#,
        "devices",
    ),
    (
        r#""Devices":[{"PathOnHost":"/dev","PathInContainer":"/dev/all","CgroupPermissions":"rwm"}]"#,
        "devices",
    ),
    (r#""DeviceCgroupRules":["a *:* rwm"]"#, "devices"),
    (r#""CapAdd":["SYS_ADMIN"]"#, "capabilities"),
    (r#""CapAdd":["sys_admin"]"#, "capabilities"),
    (r#""CapAdd":["CAP_SYS_MODULE"]"#, "capabilities"),
    (r#""CapAdd":["cap_sys_ptrace"]"#, "capabilities"),
    (
        r#""CapAdd":["CHOWN","Cap_Dac_Read_Search"]"#,
        "capabilities",
    ),
    (r#""CapAdd":["ALL"]"#, "capabilities"),
    (r#""CapAdd":["all"]"#, "capabilities"),
    (r#""NetworkMode":"host""#, "host_namespaces"),
    (r#""PidMode":"host""#, "host_namespaces"),
    (r#""IpcMode":"host""#, "host_namespaces"),
    (r#""UTSMode":"host""#, "host_namespaces"),
    (r#""UsernsMode":"host""#, "host_namespaces"),
    (r#""CgroupnsMode":"host""#, "host_namespaces"),
    (r#""NetworkMode":"container:$N-donor""#, "join_containers"),
    (r#""PidMode":"container:$N-donor""#, "join_containers"),
    (r#""IpcMode":"container:$N-donor""#, "join_containers"),
    (r#""SecurityOpt":["seccomp=unconfined"]"#, "security_opts"),
    (r#""SecurityOpt":["apparmor=unconfined"]"#, "security_opts"),
    (r#""SecurityOpt":["label=disable"]"#, "security_opts"),
    (r#""MaskedPaths":[]"#, "security_opts"),
    (r#""ReadonlyPaths":[]"#, "security_opts"),
    (r#""CgroupParent":"/init.scope""#, "cgroup-parent"),
    (r#""Sysctls":{"net.ipv4.ip_forward":"1"}"#, "sysctls"),
    (r#""GroupAdd":["0"]"#, "groups"),
    (r#""Annotations":{"run.oci.handler":"krun"}"#, "annotations"),
    (
        r#""LogConfig":{"Type":"syslog","Config":{"syslog-address":"udp://127.0.0.1:9"}}"#,
        "log_drivers",
    ),
    (
        r#""BlkioDeviceReadBps":[{"Path":"/dev/vda","Rate":1}]"#,
        "devices",
    ),
];

/// The same, where this engine would not (4xx): refused by the gate all the same, before the engine sees them.
const REFUSED_BY_BOTH: &[(&str, &str)] = &[
    (
        r#""Mounts":[{"Type":"Bind","Source":"/etc","Target":"/x"}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"bind","Source":" /etc","Target":"/x"}]"#,
        "binds",
    ),
    (
        r#""Mounts":[{"Type":"bind","Source":"etc","Target":"/x"}]"#,
        "binds",
    ),
    (r#""Runtime":"other""#, "runtimes"),
];

const PASSING: &[&str] = &[
    r#""Privileged":false"#,
    r#""Binds":["$S:/x"]"#,
    r#""Binds":["$S/:/x:ro"]"#,
    r#""Binds":["$S/a/../b:/x"]"#,
    r#""Binds":["$N-data:/x"]"#,
    r#""Mounts":[{"Type":"bind","Source":"$S","Target":"/x","BindOptions":{"Propagation":"rslave"}}]"#,
    r#""Mounts":[{"Type":"volume","Source":"$N-data","Target":"/x"}]"#,
    r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"$S"}}}}]"#,
    r#""Mounts":[{"Type":"tmpfs","Target":"/x"}]"#,
    r#""Tmpfs":{"/x":"rw,exec,size=1m,mode=1777"}"#,
    r#""LogConfig":{"Type":"","Config":{"max-size":"1m"}}"#,
    r#""VolumesFrom":null,"Devices":[],"DeviceCgroupRules":null,"CapAdd":null"#,
    r#""CapAdd":["CHOWN","cap_kill","Cap_Net_Raw"],"CapDrop":["ALL"]"#,
    r#""PidMode":"","IpcMode":"private","UTSMode":"","UsernsMode":"","CgroupnsMode":"private""#,
    r#""SecurityOpt":["no-new-privileges"]"#,
    r#""MaskedPaths":null,"ReadonlyPaths":null"#,
    r#""Runtime":"runc","LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}}"#,
    r#""Memory":67108864,"NanoCpus":500000000,"RestartPolicy":{"Name":"no"}"#,
];

/// A create body with these members of `HostConfig`.
fn body(roles: &Roles<'_>, prefix: &str, host: &str) -> String {
    let network = if host.contains("NetworkMode") {
        ""
    } else {
        "\"NetworkMode\":\"none\","
    };
    let host = host
        .replace("$N", prefix)
        .replace("$S", &roles.shared.display().to_string());
    format!(
        "{{\"Image\":\"dockgate-e2e-busybox\",\"Cmd\":[\"true\"],\"HostConfig\":{{{network}{host}}}}}"
    )
}

fn ways(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team, admin) = (roles.direct()?, roles.side(TEAM)?, roles.side(ADMIN)?);
    direct.ok("docker create --network none --name $N-donor $IMAGE true")?;
    let mut wrong = Vec::new();
    for (host, rule) in WAYS {
        let body = body(&roles, &team.prefix, host);
        let engine = create(&direct, &body)?;
        if engine.0 != 201 {
            wrong.push(format!(
                "{host}: the engine answers {} {}",
                engine.0, engine.1
            ));
        }
        if let Err(why) = refused(&create(&team, &body)?, 403, (TEAM, "team"), rule) {
            wrong.push(format!("{host}: {why}"));
        }
    }
    for (host, rule) in REFUSED_BY_BOTH {
        let body = body(&roles, &team.prefix, host);
        let engine = create(&direct, &body)?;
        if engine.0 < 400 {
            wrong.push(format!("{host}: the engine answers {}", engine.0));
        }
        if let Err(why) = refused(&create(&team, &body)?, 403, (TEAM, "team"), rule) {
            wrong.push(format!("{host}: {why}"));
        }
    }
    // An unlimited role is the deny's allow: the same body, the same gate.
    let answer = create(&admin, &body(&roles, &team.prefix, WAYS[0].0))?;
    ensure!(answer.0 == 201, "admin got {} {}", answer.0, answer.1);
    remove(&team, "donor")?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    roles.finish()
}

fn harmless(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let team = roles.side(TEAM)?;
    let mut wrong = Vec::new();
    for host in PASSING {
        let answer = create(&team, &body(&roles, &team.prefix, host))?;
        if answer.0 != 201 {
            wrong.push(format!("{host}: {} {}", answer.0, answer.1));
        }
    }
    roles.direct()?.ok("docker volume rm -f $N-data")?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    roles.finish()
}

/// `volume.create` with a device, and a volume that somebody else made with one.
fn volumes(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team) = (roles.direct()?, roles.side(TEAM)?);
    let volume = |device: &str| {
        let name = format!("{}-vol", team.prefix);
        format!(
            "{{\"Name\":\"{name}\",\"Driver\":\"local\",\"DriverOpts\":{{\"type\":\"none\",\"o\":\"bind\",\"device\":\"{device}\"}}}}"
        )
    };
    let make = |side, device: &str| {
        send(
            side,
            &json("POST", "/v1.45/volumes/create", &volume(device)),
        )
    };
    refused(&make(&team, "/etc")?, 403, (TEAM, "team"), "binds")?;
    let answer = make(&direct, "/etc")?;
    ensure!(answer.0 == 201, "direct: {} {}", answer.0, answer.1);
    for host in [
        r#""Binds":["$N-vol:/x"]"#,
        r#""Mounts":[{"Type":"volume","Source":"$N-vol","Target":"/x"}]"#,
    ] {
        let body = body(&roles, &team.prefix, host);
        let engine = create(&direct, &body)?;
        ensure!(engine.0 == 201, "direct: {} {}", engine.0, engine.1);
        refused(&create(&team, &body)?, 403, (TEAM, "team"), "binds")?;
    }
    direct.ok("docker volume rm -f $N-vol")?;
    // The same two steps inside what the role may bind.
    let answer = make(&team, &roles.shared.display().to_string())?;
    ensure!(answer.0 == 201, "team: {} {}", answer.0, answer.1);
    let answer = create(
        &team,
        &body(&roles, &team.prefix, r#""Binds":["$N-vol:/x"]"#),
    )?;
    ensure!(answer.0 == 201, "team: {} {}", answer.0, answer.1);
    team.ok("docker volume rm -f $N-vol")?;
    roles.finish()
}
