//! Every operation's parameters and header fields have a verdict, and what is not listed is refused.

use docker_api::{Operation, classify};
use policy::{Policy, Rule, parameters_of};

use crate::support::{Ask, role};

/// A role of every operation with wide limits.
pub(crate) fn everything() -> Policy {
    role(
        "allow = [\"*\"]\ntarget_check = false\n[role.team.limits]\ntags = [\"**\"]\nimages = [\"**\"]\nbuildkit = true",
    )
}

/// A plain request for an operation.
pub(crate) fn target(operation: Operation) -> String {
    let path = operation.template();
    let path = path
        .replace("{name}", "x")
        .replace("{id}", "x")
        .replace("{checkpoint}", "y")
        .replace("{anyroute}", "x");
    match operation {
        Operation::ImagePull => format!("{path}?fromImage=a&tag=1"),
        Operation::ImageImport => format!("{path}?fromSrc=-"),
        _ => path,
    }
}

/// The parameters with which an operation is refused by the rule for parameters.
fn refused(policy: &Policy, operation: Operation, query: &str) -> Option<String> {
    let target = target(operation);
    let joint = if target.contains('?') { '&' } else { '?' };
    let target = format!("{target}{joint}{query}");
    match Ask::new(policy, operation.method(), &target).run().0 {
        Err(denied) if denied.rule == "parameters" => Some(denied.detail),
        _ => None,
    }
}

#[test]
fn an_unlisted_parameter_is_refused_for_every_operation_and_a_listed_one_is_not() {
    let policy = everything();
    let mut judged = 0;
    for operation in Operation::ALL.iter().copied() {
        let target = target(operation);
        let Ok(classified) = classify(operation.method(), &target) else {
            panic!("{operation} {target}");
        };
        // The tunnel of gRPC has no path of its own that the table could build.
        if classified.judged() != operation {
            assert_eq!(operation, Operation::BuildGrpcDirect, "{target}");
            continue;
        }
        judged += 1;
        for unlisted in ["unheard=1", "unheard", "%75nheard=", "Filters=", "all%20=1"] {
            assert!(
                refused(&policy, operation, unlisted).is_some(),
                "{operation} {unlisted}"
            );
        }
        for (name, rule) in parameters_of(operation) {
            let given = match (operation, *name) {
                (Operation::ImagePull, "fromImage" | "tag") => continue,
                (Operation::ImageImport, "fromSrc" | "fromImage") => continue,
                _ => format!("{name}="),
            };
            assert_eq!(
                refused(&policy, operation, &given),
                None,
                "{operation} {name}"
            );
            let twice = refused(&policy, operation, &format!("{given}&{given}"));
            assert_eq!(
                twice.is_none(),
                *rule == Rule::Repeats,
                "{operation} {name}"
            );
        }
    }
    assert_eq!(judged, Operation::ALL.len() - 1);
}

#[test]
fn what_may_only_be_empty_is_refused_with_a_value() {
    let policy = everything();
    let mut found = 0;
    for operation in Operation::ALL.iter().copied() {
        for (name, rule) in parameters_of(operation) {
            let expected = match rule {
                Rule::Empty(rule) | Rule::False(rule) => *rule,
                Rule::Once | Rule::Repeats => continue,
            };
            if (operation, *name) == (Operation::ImageImport, "fromImage") {
                continue;
            }
            found += 1;
            let target = target(operation);
            let joint = if target.contains('?') { '&' } else { '?' };
            let target = format!("{target}{joint}{name}=x");
            Ask::new(&policy, operation.method(), &target).denied(expected);
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn what_clients_send_in_vain_passes() {
    let policy = everything();
    for (method, target) in [
        // docker-py
        (
            "GET",
            "/containers/json?limit=-1&all=1&size=0&trunc_cmd=0&since=a&before=b",
        ),
        ("GET", "/images/json?only_ids=0&all=0&filter=x"),
        ("DELETE", "/containers/a?v=False&link=False&force=False"),
        ("POST", "/images/load?quiet=1"),
        ("GET", "/images/get?names=a&names=b"),
        // The Docker CLI and compose
        ("GET", "/events?since=1&until=2&filters=%7B%7D"),
        (
            "GET",
            "/containers/a/logs?follow=1&stdout=1&stderr=1&tail=all&timestamps=0&details=0&since=0&until=0",
        ),
        ("GET", "/system/df?type=image&type=container&verbose=1"),
        ("POST", "/containers/a/wait?condition=next-exit"),
        ("POST", "/containers/a/resize?h=24&w=80"),
        (
            "DELETE",
            "/images/a?force=1&noprune=1&platforms=%7B%7D&platforms=%7B%7D",
        ),
        ("GET", "/networks/a?verbose=false&scope=swarm"),
        ("GET", "/services?filters=%7B%7D&status=true"),
        // dockerode, docker-java, bollard
        (
            "POST",
            "/containers/a/attach?stream=1&stdin=1&stdout=1&stderr=1&hijack=true&logs=0",
        ),
        (
            "POST",
            "/images/create?fromImage=a&tag=1&registry=&platform=",
        ),
        ("GET", "/containers/a/stats?stream=false&one-shot=true"),
        ("GET", "/images/json?all=true&digests=false&filters=%7B%7D"),
    ] {
        let _ = Ask::new(&policy, method, target).allowed();
    }
}

#[test]
fn a_container_gets_an_hour_to_end_by_itself_and_no_more() {
    let policy = role("base = \"deployer\"\nallow = [\"service.*\"]\n[role.team.limits]");
    for operation in ["stop", "restart"] {
        for t in ["", "?t=", "?t=0", "?t=10", "?t=3600&signal=TERM"] {
            let target = format!("/containers/a/{operation}{t}");
            let _ = Ask::new(&policy, "POST", &target).allowed();
        }
        for t in ["-1", "3601", "%2B5", "1e3", "99999999999999999999", "x"] {
            let target = format!("/containers/a/{operation}?t={t}");
            Ask::new(&policy, "POST", &target).denied("stop-timeout");
        }
    }
    let create = |wait: &str| format!(r#"{{"Image":"busybox","StopTimeout":{wait}}}"#);
    let service = |wait: &str| {
        format!(
            r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"busybox","StopGracePeriod":{wait}}}}}}}"#
        )
    };
    let services = ["/services/create", "/services/web/update?version=7"];
    for wait in ["null", "0", "10", "3600"] {
        let _ = Ask::new(&policy, "POST", "/containers/create")
            .body(&create(wait))
            .allowed();
    }
    for wait in ["null", "0", "10000000000", "3600000000000"] {
        for target in services {
            let _ = Ask::new(&policy, "POST", target)
                .body(&service(wait))
                .allowed();
        }
    }
    for wait in ["-1", "3601", "1.5", "1e10", "99999999999999999999"] {
        Ask::new(&policy, "POST", "/containers/create")
            .body(&create(wait))
            .denied("stop-timeout");
    }
    for wait in ["-1", "3600000000001", "99999999999999999999"] {
        for target in services {
            Ask::new(&policy, "POST", target)
                .body(&service(wait))
                .denied("stop-timeout");
        }
    }
}

#[test]
fn ps_gets_only_words_that_list_processes() {
    let policy = role("base = \"read-only\"");
    for words in ["", "-ef", "aux", "-eo+pid,args", "-o%20pid,user,cmd"] {
        let target = format!("/containers/a/top?ps_args={words}");
        let _ = Ask::new(&policy, "GET", &target).allowed();
    }
    let _ = Ask::new(&policy, "GET", "/containers/a/top").allowed();
    for words in [
        "e",
        "auxe",
        "-p%201",
        "-o%20pid,environ",
        "--help",
        "-ef%3Bid",
        "-o%20pid=PID",
        "-ef%00",
    ] {
        let target = format!("/containers/a/top?ps_args={words}");
        Ask::new(&policy, "GET", &target).denied("ps-args");
    }
}
