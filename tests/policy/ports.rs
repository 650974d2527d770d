//! Ports of the host: those by which the gate is reached.

use std::sync::Arc;

use policy::{Policy, Protected};

use crate::support::{Ask, create_allowed, create_denied, limits, role};

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
