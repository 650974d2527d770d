//! The gate's own house: whatever a limited role's limits say, it is out of reach; and beside it what passes.

use std::sync::Arc;

use policy::{ImagePattern, OwnContainer, OwnService, Policy, Protected};

use crate::support::{Ask, create, role};

const OWN: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

/// Every limit as wide as it can be: what is refused then, no limit allows.
const WIDE: &str = r#"base = "ci"
allow = ["*"]
[role.team.limits]
privileged = true
join_containers = true
binds = ["/**"]
volumes = ["*"]
images = ["**"]
tags = ["**"]
log_drivers = ["syslog", "json-file"]
devices = ["/etc/dockgate/disk", "/dev/null"]
"#;

fn house() -> Protected {
    let image = |name: &str| ImagePattern::parse(name).expect("a pattern");
    Protected::default()
        .path("/etc/dockgate")
        .path("/var/run/docker.sock")
        .path("/var/lib/docker/volumes/dockgate_certs/_data")
        .volume("dockgate_certs", true)
        .image(image("dockgate"))
        .image(image("registry.example.com/ops/dockgate"))
        .container(OwnContainer {
            id: OWN.into(),
            image: format!("sha256:{}", "b".repeat(64)),
            service: None,
        })
}

/// A gate on the host, which sees the engine's files and has no container.
fn on_host() -> Policy {
    let house = Protected::default()
        .path("/etc/dockgate")
        .data_root("/var/lib/docker")
        .follow_links(true);
    role(WIDE).protecting(Arc::new(house))
}

fn wide() -> Policy {
    role(WIDE).protecting(Arc::new(house()))
}

#[track_caller]
fn refused(ask: &Ask<'_>) {
    let denied = ask.denied("protected");
    assert_eq!(denied.status.code(), 403, "{denied}");
}

fn plain_container(id: &str, mounts: &str) -> String {
    format!(
        r#"{{"Id":"{id}","Config":{{"Image":"busybox"}},"HostConfig":{{}},"Mounts":[{mounts}]}}"#
    )
}

#[test]
fn binds_that_are_hold_or_lie_in_the_house_are_refused_in_every_spelling() {
    let policy = wide();
    for source in [
        "/etc/dockgate",
        "/etc/dockgate/",
        "/etc//dockgate/keys",
        "/srv/../etc/dockgate",
        "/etc",
        "/",
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run",
        "/var/run",
        "/var/lib/docker",
        "/var/lib/docker/volumes/dockgate_certs",
        "/var/lib/docker/volumes/dockgate_certs/_data/clients",
        "/proc/1/root/etc/dockgate",
        "/proc/self/root",
        "/proc/4711",
        "/proc",
    ] {
        for host in [
            format!(r#""Binds":["{source}:/x:ro"]"#),
            format!(
                r#""Mounts":[{{"Type":"bind","Source":"{source}","Target":"/x","ReadOnly":true}}]"#
            ),
            format!(
                r#""Mounts":[{{"Type":"volume","Target":"/x","VolumeOptions":{{"DriverConfig":{{"Name":"local","Options":{{"type":"none","o":"bind","device":"{}"}}}}}}}}]"#,
                source.replace("/srv/..", "")
            ),
        ] {
            let body = create(&host);
            refused(&Ask::new(&policy, "POST", "/containers/create").body(&body));
        }
    }
    for source in [
        "/etc/dockgate-other",
        "/etcetera",
        "/srv",
        "/run/user/1000",
        "/proc/net",
    ] {
        let body = create(&format!(r#""Binds":["{source}:/x"]"#));
        let _ = Ask::new(&policy, "POST", "/containers/create")
            .body(&body)
            .allowed();
    }
}

#[test]
fn a_link_into_the_house_is_the_house() {
    let policy = role(WIDE).protecting(Arc::new(house().follow_links(true)));
    let body = create(r#""Binds":["/srv/team/link:/x"]"#);
    let ask = |to| Ask {
        links: vec![("/srv/team/link", to)],
        ..Ask::new(&policy, "POST", "/containers/create").body(&body)
    };
    refused(&ask("/etc/dockgate/keys"));
    refused(&ask("/etc"));
    let _ = ask("/srv/team/data").allowed();
}

#[test]
fn a_volume_of_the_house_is_refused_by_name_and_by_where_it_lies() {
    let policy = wide();
    let create_with = |name: &str, answer: &'static str, refuse: bool| {
        let body = create(&format!(r#""Binds":["{name}:/x"]"#));
        let target = format!("/volumes/{name}");
        let mut ask = Ask::new(&policy, "POST", "/containers/create").body(&body);
        if !answer.is_empty() {
            ask = ask.engine(&target, answer);
        }
        match refuse {
            true => refused(&ask),
            false => _ = ask.allowed(),
        }
    };
    create_with("dockgate_certs", "", true);
    create_with(
        "innocent",
        r#"{"Name":"innocent","Driver":"local","Mountpoint":"/etc/dockgate","Options":null}"#,
        true,
    );
    create_with(
        "innocent",
        r#"{"Name":"innocent","Driver":"local","Mountpoint":"/x","Options":{"type":"none","o":"bind","device":"/etc"}}"#,
        true,
    );
    create_with(
        "data",
        r#"{"Name":"data","Driver":"local","Mountpoint":"/var/lib/docker/volumes/data/_data","Options":null}"#,
        false,
    );
    let make = |body: &'static str| Ask::new(&policy, "POST", "/volumes/create").body(body);
    refused(&make(r#"{"Name":"dockgate_certs"}"#));
    refused(&make(
        r#"{"Name":"v","DriverOpts":{"type":"none","o":"bind","device":"/etc/dockgate"}}"#,
    ));
    let _ =
        make(r#"{"Name":"v","DriverOpts":{"type":"none","o":"bind","device":"/srv/v"}}"#).allowed();
}

#[test]
fn a_volume_of_the_house_is_not_removed() {
    let policy = wide();
    let remove = |name: &'static str, answer: &'static str| {
        Ask::new(&policy, "DELETE", name).engine(name, answer)
    };
    refused(&remove(
        "/volumes/dockgate_certs",
        r#"{"Name":"dockgate_certs","Mountpoint":"/elsewhere"}"#,
    ));
    refused(&remove(
        "/volumes/other",
        r#"{"Name":"other","Mountpoint":"/var/lib/docker/volumes/dockgate_certs/_data"}"#,
    ));
    let _ = remove(
        "/volumes/data",
        r#"{"Name":"data","Mountpoint":"/srv/data"}"#,
    )
    .allowed();
    // What is not there is for the engine to say.
    let _ = Ask::new(&policy, "DELETE", "/volumes/none").allowed();
    // The gate's own container holds its volume, so that no prune takes it; one that is only named has nobody to hold it.
    let prune = |protected: Protected| {
        let policy = role(WIDE).protecting(Arc::new(protected));
        Ask::new(&policy, "POST", "/volumes/prune").run().0.is_ok()
    };
    assert!(prune(house()));
    assert!(!prune(house().volume("backups", false)));
}

#[test]
fn the_gates_own_container_is_no_target() {
    let policy = wide();
    let own = plain_container(OWN, "");
    let other = plain_container("9f86d081884c", "");
    let requests = [
        ("POST", "/containers/NAME/start", ""),
        ("POST", "/containers/NAME/stop", ""),
        ("POST", "/containers/NAME/restart?t=0", ""),
        ("POST", "/containers/NAME/kill", ""),
        ("POST", "/containers/NAME/pause", ""),
        ("POST", "/containers/NAME/unpause", ""),
        ("POST", "/containers/NAME/rename?name=other", ""),
        ("POST", "/containers/NAME/resize?h=1&w=1", ""),
        ("POST", "/containers/NAME/wait", ""),
        ("GET", "/containers/NAME/logs?stdout=1", ""),
        ("GET", "/containers/NAME/changes", ""),
        ("DELETE", "/containers/NAME?force=1&v=1", ""),
        ("POST", "/containers/NAME/update", r#"{"Memory":1}"#),
        ("POST", "/containers/NAME/exec", r#"{"Cmd":["id"]}"#),
        ("POST", "/containers/NAME/attach?stream=1", ""),
        ("GET", "/containers/NAME/attach/ws", ""),
        ("GET", "/containers/NAME/archive?path=/certs", ""),
        ("HEAD", "/containers/NAME/archive?path=/certs", ""),
        ("PUT", "/containers/NAME/archive?path=/certs", ""),
        ("GET", "/containers/NAME/export", ""),
        ("POST", "/commit?container=NAME&repo=x", ""),
        ("POST", "/containers/NAME/checkpoints", ""),
        ("POST", "/networks/n/connect", r#"{"Container":"NAME"}"#),
        (
            "POST",
            "/networks/n/disconnect",
            r#"{"Container":"NAME","Force":true}"#,
        ),
    ];
    for (method, target, body) in requests {
        for (name, answer, ours) in [
            ("dockgate", &own, true),
            (&OWN[..12], &own, true),
            (OWN, &own, true),
            ("web", &other, false),
        ] {
            let (target, body) = (target.replace("NAME", name), body.replace("NAME", name));
            let look_up = format!("/containers/{name}/json");
            let ask = Ask::new(&policy, method, &target)
                .body(&body)
                .engine(&look_up, answer);
            match ours {
                true => refused(&ask),
                false => _ = ask.allowed(),
            }
        }
    }
    // Its state may be looked at: that shows nothing of its files.
    for target in ["/containers/dockgate/json", "/containers/dockgate/stats"] {
        let _ = Ask::new(&policy, "GET", target).allowed();
    }
}

#[test]
fn a_container_that_is_not_there_is_not_found_and_is_not_looked_for_again_by_name() {
    let policy = wide();
    for (method, target, body) in [
        ("POST", "/containers/none/start", String::new()),
        ("DELETE", "/containers/none", String::new()),
        (
            "POST",
            "/containers/create",
            create(r#""VolumesFrom":["none"]"#),
        ),
        (
            "POST",
            "/containers/create",
            create(r#""NetworkMode":"container:none""#),
        ),
    ] {
        let denied = Ask::new(&policy, method, target)
            .body(&body)
            .denied("target-check");
        assert_eq!(denied.status.code(), 404, "{target}");
        assert_eq!(denied.to_string(), "No such container: none");
    }
    // A network holds the endpoints of containers that are gone; to take them off is for the engine to say.
    let connect = Ask::new(&policy, "POST", "/networks/n/disconnect")
        .body(r#"{"Container":"none","Force":true}"#);
    let _ = connect.allowed();
}

#[test]
fn the_beginning_of_the_gates_id_is_the_gate_whatever_is_called_so_now() {
    let policy = wide();
    // Somebody's container has that name while the request is judged, and loses it before the request arrives.
    let decoy = plain_container("9f86d081884c", "");
    for (method, target) in [
        ("POST", "/containers/NAME/stop"),
        ("POST", "/containers/NAME/kill"),
        ("POST", "/containers/NAME/rename?name=other"),
        ("DELETE", "/containers/NAME?force=1"),
    ] {
        for (name, ours) in [(&OWN[..12], true), (&OWN[..4], true), ("9f86d081", false)] {
            let target = target.replace("NAME", name);
            let look_up = format!("/containers/{name}/json");
            let ask = Ask::new(&policy, method, &target).engine(&look_up, &decoy);
            if ours {
                refused(&ask);
            } else {
                let _ = ask.allowed();
            }
        }
    }
}

#[test]
fn a_container_that_was_looked_at_is_acted_on_by_its_full_id() {
    let web = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let inspected = plain_container(web, "");
    let requests = [
        ("POST", "/v1.45/containers/NAME/start"),
        ("POST", "/containers/NAME/stop?t=3"),
        ("POST", "/containers/NAME/restart?t=0"),
        ("POST", "/containers/NAME/kill?signal=HUP"),
        ("POST", "/containers/NAME/pause"),
        ("POST", "/containers/NAME/unpause"),
        ("POST", "/containers/NAME/rename?name=other"),
        ("POST", "/containers/NAME/resize?h=1&w=1"),
        ("POST", "/containers/NAME/wait?condition=next-exit"),
        ("POST", "/containers/NAME/attach?stream=1"),
        ("GET", "/v1.30/containers/NAME/logs?stdout=1"),
        ("GET", "/containers/NAME/top"),
        ("GET", "/containers/NAME/changes"),
        ("GET", "/containers/NAME/export"),
        ("GET", "/containers/NAME/archive?path=/x"),
        ("DELETE", "/containers/NAME?force=1&v=1"),
    ];
    let policy = wide();
    for (method, target) in requests {
        for name in ["web", "9f86", web] {
            let (asked, by_id) = (target.replace("NAME", name), target.replace("NAME", web));
            let look_up = format!("/containers/{name}/json");
            let permit = Ask::new(&policy, method, &asked)
                .engine(&look_up, &inspected)
                .allowed();
            assert_eq!(permit.target(), Some(&*by_id), "{method} {asked}");
        }
    }
    // Where nothing has to be looked at, the name goes on as it came.
    let permit = Ask::new(&on_host(), "POST", "/containers/web/stop").allowed();
    assert_eq!(permit.target(), None);
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_container_is_not_started_where_its_mounts_lead_into_the_house_by_now() {
    let mount = |kind: &str, source: &str, name: &str| {
        format!(
            r#"{{"Type":"{kind}","Source":"{source}","Name":"{name}","Driver":"local","Destination":"/x"}}"#
        )
    };
    let device = |path: &str| {
        format!(
            r#"{{"Name":"v","Driver":"local","Mountpoint":"/var/lib/docker/volumes/v/_data","Options":{{"type":"none","o":"bind","device":"{path}"}}}}"#
        )
    };
    let policy = on_host();
    let bound = plain_container("9f86d081884c", &mount("bind", "/srv/team/link", ""));
    let named = plain_container(
        "9f86d081884c",
        &mount("volume", "/var/lib/docker/volumes/v/_data", "v"),
    );
    let linked = device("/srv/team/link");
    for (method, target, body, by_volume) in [
        ("POST", "/containers/web/start", "", true),
        ("POST", "/containers/web/restart?t=0", "", true),
        ("POST", "/containers/web/exec", r#"{"Cmd":["id"]}"#, false),
        ("GET", "/containers/web/archive?path=/x", "", false),
        ("POST", "/commit?container=web&repo=x", "", false),
    ] {
        for (to, ours) in [
            ("/etc/dockgate/keys", true),
            ("/etc", true),
            ("/var/lib/docker/containers", true),
            ("/srv/team/data", false),
            ("/var/lib/docker/volumes/other/_data", false),
        ] {
            for (container, volume) in [(&bound, false), (&named, true)] {
                let ask = Ask {
                    links: vec![("/srv/team/link", to)],
                    ..Ask::new(&policy, method, target).body(body)
                };
                let ask = ask
                    .engine("/containers/web/json", container)
                    .engine("/volumes/v", &linked);
                match ours && (by_volume || !volume) {
                    true => refused(&ask),
                    false => _ = ask.allowed(),
                }
            }
        }
    }
    // What mounts the house by its own name was made by somebody who may, and may be started again.
    for source in ["/etc/dockgate", "/var/lib/docker", "/"] {
        let holder = plain_container("9f86d081884c", &mount("bind", source, ""));
        let _ = Ask::new(&policy, "POST", "/containers/web/start")
            .engine("/containers/web/json", &holder)
            .allowed();
    }
    // A container whose files are joined counts like one that is entered.
    let body = create(r#""VolumesFrom":["web"]"#);
    for (to, ours) in [("/etc/dockgate", true), ("/srv/team/data", false)] {
        let ask = Ask {
            links: vec![("/srv/team/link", to)],
            ..Ask::new(&policy, "POST", "/containers/create").body(&body)
        };
        let ask = ask.engine("/containers/web/json", &bound);
        match ours {
            true => refused(&ask),
            false => _ = ask.allowed(),
        }
    }
    // In a container the gate cannot follow the host's links, and asks for nothing more.
    let permit = Ask::new(&wide(), "POST", "/containers/web/start")
        .engine("/containers/web/json", &bound)
        .allowed();
    assert_eq!(permit.target(), Some("/containers/9f86d081884c/start"));
}

#[test]
fn the_engines_own_data_is_out_of_reach_and_a_volume_in_it_is_not() {
    let house = Protected::default().data_root("/data/engine/");
    let policy = role(WIDE).protecting(Arc::new(house));
    for source in [
        "/data/engine",
        "/data",
        "/data/engine/containers",
        "/data/engine/overlay2/x/diff",
        "/data/engine/swarm/certificates",
        "/data/engine/image/overlay2",
        "/data/engine/volumes",
        "/data/engine/volumes/",
        "/data/engine/volumes/metadata.db",
        "/data/engine/volumes/../containers",
        "/data/engine/containerd/daemon",
    ] {
        let body = create(&format!(r#""Binds":["{source}:/x:ro"]"#));
        refused(&Ask::new(&policy, "POST", "/containers/create").body(&body));
    }
    for source in [
        "/data/engines",
        "/data/engine-backup",
        "/data/other",
        "/data/engine/volumes/web",
        "/data/engine/volumes/web/_data/a",
    ] {
        let body = create(&format!(r#""Binds":["{source}:/x"]"#));
        let _ = Ask::new(&policy, "POST", "/containers/create")
            .body(&body)
            .allowed();
    }
}

#[test]
fn the_swarm_service_of_the_gate_is_the_gate() {
    let (id, task) = ("8lfoj5ty0c1k", "0t4sk9f86d08");
    let mut house = OwnContainer {
        id: OWN.into(),
        ..OwnContainer::default()
    };
    house.service = Some(OwnService {
        id: id.into(),
        name: "gate_Web".into(),
        task: task.into(),
    });
    let policy = role(WIDE).protecting(Arc::new(Protected::default().container(house)));
    let plain = role(WIDE).protecting(Arc::new(Protected::default().container(OwnContainer {
        id: OWN.into(),
        ..OwnContainer::default()
    })));
    let update = r#"{"TaskTemplate":{"ContainerSpec":{"Image":"busybox"}}}"#;
    let requests = [
        ("POST", "/services/NAME/update?version=1", update),
        ("DELETE", "/services/NAME", ""),
        ("GET", "/services/NAME/logs?stdout=1", ""),
    ];
    for (method, target, body) in requests {
        for (name, ours) in [
            (id, true),
            ("8lfo", true),
            ("gate_Web", true),
            ("GATE_WEB", true),
            ("gate_web2", false),
            ("9zz", false),
        ] {
            let target = target.replace("NAME", name);
            match ours {
                true => refused(&Ask::new(&policy, method, &target).body(body)),
                false => _ = Ask::new(&policy, method, &target).body(body).allowed(),
            }
            let _ = Ask::new(&plain, method, &target).body(body).allowed();
        }
    }
    refused(&Ask::new(&policy, "GET", "/tasks/0t4sk/logs?stdout=1"));
    let _ = Ask::new(&policy, "GET", "/tasks/1t4sk/logs?stdout=1").allowed();
    // Another task of the service is another gate.
    let replica = format!(
        r#"{{"Id":"9f86d081884c","Config":{{"Image":"busybox","Labels":{{"com.docker.swarm.service.id":"{id}"}}}},"HostConfig":{{}},"Mounts":[]}}"#
    );
    for (method, target) in [
        ("POST", "/containers/gate.2/stop"),
        ("DELETE", "/containers/gate.2?force=1"),
    ] {
        let ask = Ask::new(&policy, method, target).engine("/containers/gate.2/json", &replica);
        refused(&ask);
        let _ = Ask::new(&plain, method, target)
            .engine("/containers/gate.2/json", &replica)
            .allowed();
    }
}

#[test]
fn an_exec_in_the_gates_own_container_is_not_started() {
    let policy = wide();
    let start = |container: &str| {
        let exec = format!(r#"{{"ID":"e1","ContainerID":"{container}","ProcessConfig":{{}}}}"#);
        let inspected = plain_container(container, "");
        let look_up = format!("/containers/{container}/json");
        let ask = Ask::new(&policy, "POST", "/exec/e1/start")
            .body("{}")
            .engine("/exec/e1/json", &exec)
            .engine(&look_up, &inspected);
        ask.run().0.err().map(|denied| denied.rule)
    };
    assert_eq!(start(OWN), Some("protected"));
    assert_eq!(start("9f86d081884c"), None);
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_container_that_mounts_the_house_is_no_way_in() {
    // Even where the role's own target check is off.
    let unchecked = WIDE.replace("allow =", "target_check = false\nallow =");
    let unchecked = role(&unchecked).protecting(Arc::new(house()));
    let mounts = [
        r#"{"Type":"volume","Name":"dockgate_certs","Source":"/elsewhere","Destination":"/c"}"#,
        r#"{"Type":"bind","Source":"/etc/dockgate","Destination":"/c"}"#,
        r#"{"Type":"bind","Source":"/var/run/docker.sock","Destination":"/s"}"#,
        r#"{"Type":"bind","Source":"/","Destination":"/host"}"#,
    ];
    for policy in [wide(), unchecked] {
        for mount in mounts {
            let holder = plain_container("9f86d081884c", mount);
            for (method, target, body) in [
                ("POST", "/containers/holder/exec", r#"{"Cmd":["id"]}"#),
                ("POST", "/containers/holder/attach", ""),
                ("GET", "/containers/holder/archive?path=/c", ""),
                ("PUT", "/containers/holder/archive?path=/c", ""),
                ("GET", "/containers/holder/export", ""),
                ("POST", "/commit?container=holder&repo=x", ""),
            ] {
                let ask = Ask::new(&policy, method, target)
                    .body(body)
                    .engine("/containers/holder/json", &holder);
                refused(&ask);
            }
            for host in [
                r#""VolumesFrom":["holder"]"#,
                r#""VolumesFrom":["holder:ro"]"#,
                r#""PidMode":"container:holder""#,
                r#""IpcMode":"container:holder""#,
                r#""NetworkMode":"container:holder""#,
                r#""Links":["holder:db"]"#,
            ] {
                let body = create(host);
                let ask = Ask::new(&policy, "POST", "/containers/create")
                    .body(&body)
                    .engine("/containers/holder/json", &holder);
                refused(&ask);
            }
            // It may be stopped and started: that shows nobody its files.
            let _ = Ask::new(&policy, "POST", "/containers/holder/stop")
                .engine("/containers/holder/json", &holder)
                .allowed();
        }
        // A container may be called `container`: in a list that is its name, not a mode.
        let holder = plain_container("9f86d081884c", mounts[0]);
        for host in [
            r#""VolumesFrom":["container:ro"]"#,
            r#""VolumesFrom":["container"]"#,
            r#""Links":["container:db"]"#,
            r#""Links":["/container:/x/db"]"#,
        ] {
            let body = create(host);
            let ask = Ask::new(&policy, "POST", "/containers/create")
                .body(&body)
                .engine("/containers/container/json", &holder);
            refused(&ask);
        }
        let innocent = plain_container(
            "9f86d081884c",
            r#"{"Type":"bind","Source":"/srv/data","Destination":"/data"}"#,
        );
        let body = create(r#""VolumesFrom":["holder"]"#);
        let _ = Ask::new(&policy, "POST", "/containers/create")
            .body(&body)
            .engine("/containers/holder/json", &innocent)
            .allowed();
        let _ = Ask::new(&policy, "POST", "/containers/holder/exec")
            .body(r#"{"Cmd":["id"]}"#)
            .engine("/containers/holder/json", &innocent)
            .allowed();
    }
}

#[test]
fn the_gates_image_name_is_not_written() {
    let policy = wide();
    let own = plain_container("9f86d081884c", "");
    fn ask<'a>(policy: &'a Policy, method: &'a str, target: &'a str, own: &'a str) -> Ask<'a> {
        Ask::new(policy, method, target).engine("/containers/web/json", own)
    }
    for name in [
        "dockgate",
        "docker.io/library/dockgate",
        "registry.example.com/ops/dockgate",
    ] {
        for (method, target) in [
            (
                "POST",
                format!("/images/busybox/tag?repo={name}&tag=latest"),
            ),
            ("POST", format!("/images/busybox/tag?repo={name}&tag=other")),
            ("POST", format!("/build?t={name}")),
            ("POST", format!("/build?t=x&t={name}:1.2")),
            (
                "POST",
                format!("/images/create?fromImage={name}&tag=latest"),
            ),
            ("POST", format!("/images/create?fromSrc=-&repo={name}")),
            ("POST", format!("/commit?container=web&repo={name}")),
            ("POST", format!("/images/{name}/push")),
            ("DELETE", format!("/images/{name}:latest?force=1")),
        ] {
            refused(&ask(&policy, method, &target, &own));
        }
    }
    for (method, target) in [
        ("POST", "/images/busybox/tag?repo=dockgates&tag=latest"),
        ("POST", "/build?t=team/dockgate"),
        ("POST", "/images/create?fromImage=busybox&tag=latest"),
        ("POST", "/images/create?fromSrc=-&repo=other"),
        ("POST", "/commit?container=web&repo=other"),
        ("DELETE", "/images/busybox"),
        ("DELETE", "/images/cccc"),
    ] {
        let _ = ask(&policy, method, target, &own).allowed();
    }
    let by_id = format!("/images/sha256:{}", "b".repeat(64));
    for target in ["/images/bbbbbb", &by_id] {
        refused(&ask(&policy, "DELETE", target, &own));
    }
    // An archive could carry the name.
    refused(&ask(&policy, "POST", "/images/load", &own));
    // To run the image is not to write its name.
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"dockgate"}"#)
        .allowed();
}

#[test]
fn a_service_reaches_no_more_than_a_container() {
    let policy = wide();
    let service = |mount: &str| {
        format!(
            r#"{{"TaskTemplate":{{"ContainerSpec":{{"Image":"busybox","Mounts":[{mount}]}}}}}}"#
        )
    };
    for target in ["/services/create", "/services/s1/update?version=1"] {
        for mount in [
            r#"{"Type":"bind","Source":"/etc/dockgate","Target":"/x","ReadOnly":true}"#,
            r#"{"Type":"bind","Source":"/run/docker.sock","Target":"/x"}"#,
            r#"{"Type":"volume","Source":"dockgate_certs","Target":"/x"}"#,
            r#"{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/etc"}}}}"#,
        ] {
            refused(&Ask::new(&policy, "POST", target).body(&service(mount)));
        }
        let body = service(r#"{"Type":"bind","Source":"/srv","Target":"/x"}"#);
        let _ = Ask::new(&policy, "POST", target).body(&body).allowed();
    }
}

#[test]
fn a_gate_that_does_not_know_its_container_yet_refuses_what_might_reach_it() {
    let policy = role(WIDE).protecting(Arc::new(
        Protected::default().unknown("the engine did not answer".into()),
    ));
    let requests = [
        (
            "POST",
            "/containers/create",
            create(r#""Binds":["/srv:/x"]"#),
        ),
        (
            "POST",
            "/containers/create",
            create(r#""Binds":["data:/x"]"#),
        ),
        ("POST", "/containers/web/restart", String::new()),
        ("POST", "/containers/web/exec", r#"{"Cmd":["id"]}"#.into()),
        ("POST", "/images/busybox/tag?repo=x", String::new()),
        ("POST", "/images/create?fromImage=x&tag=1", String::new()),
        ("POST", "/images/load", String::new()),
        ("DELETE", "/volumes/data", String::new()),
        ("POST", "/volumes/prune", String::new()),
    ];
    for (method, target, body) in &requests {
        let denied = Ask::new(&policy, method, target)
            .body(body)
            .denied("protected");
        assert_eq!(denied.status.code(), 502, "{denied}");
        assert!(
            denied.detail.contains("the engine did not answer"),
            "{denied}"
        );
    }
    let plain = create("");
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(&plain)
        .allowed();
    let _ = Ask::new(&policy, "GET", "/containers/json").allowed();
}

#[test]
fn only_an_admin_reaches_the_house() {
    let text = "version = 1\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"admin\"\n";
    let policy = Policy::parse("t", text)
        .expect("a policy")
        .protecting(Arc::new(house()));
    let body = create(r#""Binds":["/etc/dockgate:/x"]"#);
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(&body)
        .allowed();
    let _ = Ask::new(&policy, "POST", "/containers/dockgate/restart").allowed();
}
