//! Ports of the host: those by which the gate is reached, and how many.

use std::sync::Arc;

use policy::{Policy, Protected};

use crate::support::{Ask, create, create_allowed, create_denied, limits, role};

fn guarded(limits: &str) -> Policy {
    let house = Protected::default().port(2376).port(9323);
    role(&format!(
        "base = \"ci\"\nallow = [\"*\"]\n[role.team.limits]\ntags = [\"**\"]\n{limits}"
    ))
    .protecting(Arc::new(house))
}

fn bound(bindings: &str) -> String {
    format!(r#""PortBindings":{{"80/tcp":[{bindings}]}}"#)
}

#[test]
fn the_gates_ports_are_not_published_by_another() {
    let policy = guarded("");
    let denied = create_denied(&policy, &bound(r#"{"HostPort":"2376"}"#), "protected");
    assert!(
        denied.to_string().contains("takes port 2376 of the gate"),
        "{denied}"
    );
    for binding in [
        r#"{"HostIp":"0.0.0.0","HostPort":"2376"}"#,
        r#"{"HostIp":"127.0.0.1","HostPort":"9323"}"#,
        r#"{"HostIp":"::","HostPort":"02376"}"#,
        r#"{"HostPort":"2370-2380"}"#,
        r#"{"HostPort":"2376-2376"}"#,
        r#"{"HostPort":"1-65535"}"#,
        r#"{"HostPort":"8080"},{"HostPort":"2376"}"#,
        // The engine may read what has no reading here.
        r#"{"HostPort":"2376-2380-1"}"#,
        r#"{"HostPort":"+2376"}"#,
        r#"{"HostPort":" 2376"}"#,
        r#"{"HostIp":"localhost","HostPort":"2376"}"#,
    ] {
        create_denied(&policy, &bound(binding), "protected");
    }
    create_denied(
        &policy,
        r#""PortBindings":{"80":[{"HostPort":"2376"}]}"#,
        "protected",
    );
    for binding in [
        r#"{"HostPort":"2375"}"#,
        r#"{"HostPort":"2377-2380"}"#,
        r#"{"HostPort":""}"#,
        r#"{"HostPort":"0"}"#,
        r#"{}"#,
    ] {
        create_allowed(&policy, &bound(binding));
    }
    // The gate speaks TCP, and the container's own port is not the host's.
    create_allowed(
        &policy,
        r#""PortBindings":{"2376/udp":[{"HostPort":"2376"}],"2376/tcp":[{"HostPort":"8080"}]},"PublishAllPorts":true"#,
    );
    create_allowed(&limits(""), &bound(r#"{"HostPort":"2376"}"#));
    let text = "version = 1\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"admin\"\n";
    let admin = Policy::parse("t", text).expect("a policy");
    let admin = admin.protecting(Arc::new(Protected::default().port(2376)));
    create_allowed(&admin, &bound(r#"{"HostPort":"2376"}"#));
}

#[test]
fn a_service_does_not_publish_the_gates_ports_either() {
    let policy = guarded("");
    let service = |port: &str| {
        format!(
            r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"busybox"}}}},"EndpointSpec":{{"Ports":[{port}]}}}}"#
        )
    };
    for target in ["/services/create", "/services/web/update?version=7"] {
        for mode in ["host", "ingress"] {
            let port = |number: &str, protocol: &str| {
                service(&format!(
                    r#"{{"Protocol":"{protocol}","TargetPort":80,"PublishedPort":{number},"PublishMode":"{mode}"}}"#
                ))
            };
            for (number, protocol) in [("2376", "tcp"), ("9323", "TCP"), ("2376.0", "tcp")] {
                let body = port(number, protocol);
                Ask::new(&policy, "POST", target)
                    .body(&body)
                    .denied("protected");
            }
            for (number, protocol) in [("8080", "tcp"), ("2376", "udp"), ("0", "tcp")] {
                let body = port(number, protocol);
                let _ = Ask::new(&policy, "POST", target).body(&body).allowed();
            }
        }
    }
}

#[test]
fn a_gate_that_does_not_know_its_ports_yet_lets_the_engine_pick_alone() {
    let house = Protected::default().unknown("the engine did not answer".into());
    let policy = guarded("").protecting(Arc::new(house));
    let denied = create_denied(&policy, &bound(r#"{"HostPort":"8080"}"#), "protected");
    assert_eq!(denied.status.code(), 502, "{denied}");
    create_allowed(&policy, &bound(r#"{"HostPort":""}"#));
    create_allowed(&policy, r#""PublishAllPorts":true"#);
}

/// `PortBindings` of so many ports.
fn many(count: usize) -> String {
    let bindings: Vec<_> = (1..=count)
        .map(|port| format!(r#""{port}/tcp":[{{"HostPort":""}}]"#))
        .collect();
    format!(r#""PortBindings":{{{}}}"#, bindings.join(","))
}

#[test]
fn published_ports_are_counted_in_every_spelling() {
    let policy = limits("");
    create_allowed(&policy, &many(128));
    let denied = create_denied(&policy, &many(129), "port_count");
    assert!(denied.to_string().contains("at most 128"), "{denied}");
    create_allowed(&limits("port_count = 300"), &many(300));
    create_allowed(&limits("port_count = \"unlimited\""), &many(3000));
    let few = limits("port_count = 2");
    for (host, passes) in [
        (many(2), true),
        (many(3), false),
        // Of a span the engine takes one.
        (bound(r#"{"HostPort":"8000-9000"}"#), true),
        (bound(r#"{"HostPort":"1"},{"HostPort":"2"}"#), true),
        (
            bound(r#"{"HostPort":"1"},{"HostPort":"2"},{"HostPort":"3"}"#),
            false,
        ),
        (
            r#""PortBindings":{"1/tcp":[],"2/udp":null}"#.to_owned(),
            true,
        ),
        (
            r#""PortBindings":{"80-82/tcp":[{"HostPort":""}]}"#.to_owned(),
            false,
        ),
    ] {
        match passes {
            true => create_allowed(&few, &host),
            false => _ = create_denied(&few, &host, "port_count"),
        }
    }
    let exposing = |exposed: &str| {
        format!(
            r#"{{"Image":"busybox","ExposedPorts":{{{exposed}}},"HostConfig":{{"PublishAllPorts":true}}}}"#
        )
    };
    let two = exposing(r#""80/tcp":{},"81/tcp":{}"#);
    let _ = Ask::new(&few, "POST", "/containers/create")
        .body(&two)
        .allowed();
    for exposed in [
        r#""80/tcp":{},"81/tcp":{},"82/udp":{}"#,
        r#""80-82/tcp":{}"#,
    ] {
        let body = exposing(exposed);
        Ask::new(&few, "POST", "/containers/create")
            .body(&body)
            .denied("port_count");
        // Exposed and not published, they cost nothing.
        let body = body.replace("true", "false");
        let _ = Ask::new(&few, "POST", "/containers/create")
            .body(&body)
            .allowed();
    }
}

#[test]
fn ports_of_a_service_and_of_an_image_are_counted() {
    let few = guarded("port_count = 2");
    let ports = |count: usize| vec![r#"{"TargetPort":80}"#; count].join(",");
    let service = |count| {
        format!(
            r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"busybox"}}}},"EndpointSpec":{{"Ports":[{}]}}}}"#,
            ports(count)
        )
    };
    let _ = Ask::new(&few, "POST", "/services/create")
        .body(&service(2))
        .allowed();
    Ask::new(&few, "POST", "/services/create")
        .body(&service(3))
        .denied("port_count");
    // What an image exposes is seen at the start, where a gate looks at the container.
    let house = Protected::default()
        .path("/etc/dockgate")
        .follow_links(true);
    let policy = limits("port_count = 2").protecting(Arc::new(house));
    let found = |all: bool, exposed: &str| {
        format!(
            r#"{{"Id":"{}","Config":{{"Image":"busybox","ExposedPorts":{{{exposed}}}}},"HostConfig":{{"PublishAllPorts":{all}}},"Mounts":[]}}"#,
            "c".repeat(64)
        )
    };
    let (two, three) = (
        r#""1/tcp":{},"2/tcp":{}"#,
        r#""1/tcp":{},"2/tcp":{},"3/tcp":{}"#,
    );
    for (all, exposed, passes) in [
        (true, two, true),
        (true, three, false),
        (false, three, true),
    ] {
        let found = found(all, exposed);
        let ask = Ask::new(&policy, "POST", "/containers/web/start")
            .engine("/containers/web/json", &found);
        match passes {
            true => _ = ask.allowed(),
            false => _ = ask.denied("port_count"),
        }
    }
    let body = create(r#""PublishAllPorts":true"#);
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(&body)
        .allowed();
}
