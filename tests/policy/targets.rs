//! Targets as the engine's router reads them (recorded from Engine 28.5.2), and what is refused.

use docker_api::{Form, Hijack, Irregular, Operation, TargetError, classify};
use proptest::prelude::*;

fn op(method: &str, target: &str) -> Operation {
    classify(method, target)
        .expect("target must be readable")
        .operation
}

fn judged(method: &str, target: &str) -> Operation {
    classify(method, target)
        .expect("target must be readable")
        .judged()
}

#[test]
fn a_plain_target_gives_operation_name_version_and_query() {
    let it = classify("GET", "/v1.51/containers/s1/json?size=1").expect("plain");
    assert_eq!(it.operation, Operation::ContainerInspect);
    assert_eq!(
        (it.name(), it.version(), it.query()),
        (Some("s1"), Some("1.51"), Some("size=1"))
    );
    assert_eq!((it.form, it.irregular), (Form::Origin, None));
    let it = classify("DELETE", "/containers/c/checkpoints/k").expect("plain");
    assert_eq!((it.name(), it.checkpoint()), (Some("c"), Some("k")));
}

#[test]
fn an_encoded_path_is_decoded_once_and_judged_as_the_engine_routes_it() {
    for target in [
        "/v1.51/containers%2Fcreate",
        "/%63ontainers/create",
        "/v%31.51/containers/create",
    ] {
        assert_eq!(op("POST", target), Operation::ContainerCreate, "{target}");
        assert_eq!(
            judged("POST", target),
            Operation::ContainerCreate,
            "{target}"
        );
    }
    assert_eq!(
        classify("GET", "/containers/s%31/json")
            .expect("plain")
            .name(),
        Some("s1")
    );
    assert_eq!(
        op("GET", "/containers/s1/%6ason"),
        Operation::ContainerInspect
    );
}

#[test]
fn a_double_encoded_path_is_never_decoded_twice() {
    let it = classify("GET", "/containers/%252e/json").expect("readable");
    assert_eq!(it.name(), Some("%2e"));
    assert_eq!(it.judged(), Operation::Unknown);
}

#[test]
fn dot_segments_and_double_slashes_are_unknown_since_the_engine_redirects() {
    for target in [
        "//containers/json",
        "/containers/%2e%2e/json",
        "/./_ping",
        "/x/../_ping",
        "/containers//json",
        "/a/.",
        "//evil/_ping",
    ] {
        let it = classify("GET", target).expect("readable");
        assert_eq!(
            (it.operation, it.irregular),
            (Operation::Unknown, Some(Irregular::Unclean)),
            "{target}"
        );
    }
    assert_eq!(judged("GET", "/_ping/"), Operation::Unknown);
    assert_eq!(judged("GET", "/_ping"), Operation::SystemPing);
}

#[test]
fn odd_version_prefixes_are_routed_as_the_engine_does_but_never_judged_as_known() {
    for target in [
        "/v1.51./containers/create",
        "/v1.51.0/containers/create",
        "/v01.051/containers/create",
        "/v./containers/create",
    ] {
        assert_eq!(op("POST", target), Operation::ContainerCreate, "{target}");
        assert_eq!(judged("POST", target), Operation::Unknown, "{target}");
    }
    assert_eq!(
        judged("POST", "/v1.51/containers/create"),
        Operation::ContainerCreate
    );
    for target in [
        "/V1.51/containers/create",
        "/v1.51",
        "/v1.51/v1.51/containers/create",
        "/vx/containers/create",
    ] {
        assert_eq!(op("POST", target), Operation::Unknown, "{target}");
    }
}

#[test]
fn the_last_segment_decides_and_a_slash_in_a_container_name_is_not_judged_as_known() {
    assert_eq!(
        op("GET", "/containers/a/json/archive"),
        Operation::ContainerArchiveGet
    );
    assert_eq!(
        judged("GET", "/containers/a/json/archive"),
        Operation::Unknown
    );
    assert_eq!(
        judged("GET", "/containers/a%2Fjson/archive"),
        Operation::Unknown
    );
    assert_eq!(
        op("DELETE", "/containers/a/b/c"),
        Operation::ContainerDelete
    );
    assert_eq!(judged("DELETE", "/containers/a/b/c"), Operation::Unknown);
    assert_eq!(op("POST", "/containers/x/stop/exec"), Operation::ExecCreate);
    assert_eq!(
        judged("DELETE", "/containers/a"),
        Operation::ContainerDelete
    );
    // Image names have slashes by right.
    for target in [
        "/images/docker.io%2Flibrary%2Fbusybox:latest/json",
        "/images/docker.io/library/busybox%3Alatest/json",
    ] {
        let it = classify("GET", target).expect("readable");
        assert_eq!(
            (it.judged(), it.name()),
            (
                Operation::ImageInspect,
                Some("docker.io/library/busybox:latest")
            )
        );
    }
}

#[test]
fn methods_are_exact() {
    assert_eq!(op("HEAD", "/containers/json"), Operation::Unknown);
    assert_eq!(op("get", "/containers/json"), Operation::Unknown);
    assert_eq!(op("PATCH", "/containers/json"), Operation::Unknown);
    assert_eq!(op("GET", "/containers/json"), Operation::ContainerList);
    assert_eq!(classify("CONNECT", "foo:80"), Err(TargetError::Authority));
    assert_eq!(op("OPTIONS", "*"), Operation::SystemOptions);
    assert_eq!(op("GET", "*"), Operation::Unknown);
}

#[test]
fn targets_with_two_readings_are_refused() {
    assert_eq!(
        classify("GET", "http://evil/containers/json"),
        Err(TargetError::Absolute)
    );
    assert_eq!(classify("GET", "evil:80"), Err(TargetError::Authority));
    assert_eq!(classify("GET", ""), Err(TargetError::Authority));
    assert_eq!(
        classify("GET", "/containers/%zz/json"),
        Err(TargetError::BadEscape)
    );
    assert_eq!(
        classify("GET", "/containers/%4"),
        Err(TargetError::BadEscape)
    );
    assert_eq!(classify("GET", "/_ping#f"), Err(TargetError::Fragment));
    assert_eq!(
        classify("GET", "/_ping\r"),
        Err(TargetError::ControlCharacter)
    );
}

#[test]
fn control_characters_and_broken_utf8_are_not_judged_as_known() {
    assert_eq!(op("GET", "/containers/a%0ab/json"), Operation::Unknown);
    // A pattern of one segment takes a line feed, as a real engine's router showed.
    assert_eq!(op("GET", "/services/a%0ab"), Operation::ServiceInspect);
    assert_eq!(judged("GET", "/services/a%0ab"), Operation::Unknown);
    assert_eq!(
        op("GET", "/containers/a%00b/json"),
        Operation::ContainerInspect
    );
    assert_eq!(judged("GET", "/networks/a%00b"), Operation::Unknown);
    assert_eq!(judged("GET", "/networks/a%ff"), Operation::Unknown);
    assert_eq!(
        judged("GET", "/networks/caf%C3%A9"),
        Operation::NetworkInspect
    );
}

#[test]
fn libpod_twins_are_unknown_but_their_hijacks_are_known() {
    let it = classify("POST", "/v4.0.0/libpod/containers/create").expect("readable");
    assert_eq!(
        (it.operation, it.hijack),
        (Operation::Unknown, Hijack::None)
    );
    let it = classify("POST", "/v4.0.0/libpod/containers/c/attach").expect("readable");
    assert_eq!((it.operation, it.hijack), (Operation::Unknown, Hijack::Tcp));
    let it = classify("GET", "/v4.0.0/libpod/containers/c/attach").expect("readable");
    assert_eq!(it.hijack, Hijack::None);
}

#[test]
fn pull_and_import_are_told_apart_by_the_first_from_image() {
    assert_eq!(
        op("POST", "/images/create?fromImage=busybox"),
        Operation::ImagePull
    );
    assert_eq!(
        op("POST", "/images/create?%66romImage=busybox"),
        Operation::ImagePull
    );
    assert_eq!(
        op("POST", "/images/create?fromImage=&fromImage=x"),
        Operation::ImageImport
    );
    assert_eq!(
        op("POST", "/images/create?fromSrc=-"),
        Operation::ImageImport
    );
}

/// The engine's routes as gorilla/mux regular expressions would match them, written the slow, obvious way.
fn reference(method: &str, decoded: &str) -> Vec<Operation> {
    let stripped = decoded.strip_prefix("/v").and_then(|rest| {
        let (version, tail) = rest.split_at(rest.find('/')?);
        (!version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.'))
            .then_some(tail)
    });
    let path = stripped.unwrap_or(decoded);
    let mut found = Vec::new();
    for op in Operation::ALL.iter().copied() {
        if op == Operation::BuildGrpcDirect
            || op.method() != method
            || (op.resource() == "debug" && stripped.is_some())
        {
            continue;
        }
        let template = op.template();
        let one_segment = matches!(
            op.resource(),
            "service" | "task" | "node" | "secret" | "config" | "debug"
        ) || op == Operation::CheckpointDelete;
        let matches = match template.split_once('{') {
            None => template == path,
            Some((before, after)) => {
                let tail = after
                    .split_once('}')
                    .expect("templates close their braces")
                    .1;
                if let Some(middle) = tail.strip_suffix("/{checkpoint}") {
                    path.strip_prefix(before)
                        .and_then(|rest| rest.rsplit_once('/'))
                        .and_then(|(rest, cp)| rest.strip_suffix(middle).map(|name| (name, cp)))
                        .is_some_and(|(name, cp)| {
                            !name.is_empty() && !cp.is_empty() && !name.contains('/')
                        })
                } else {
                    path.strip_prefix(before)
                        .and_then(|rest| rest.strip_suffix(tail))
                        .is_some_and(|name| {
                            !one_segment || (!name.is_empty() && !name.contains('/'))
                        })
                        && !(op == Operation::NetworkInspect && path == "/networks/")
                }
            }
        };
        if matches {
            found.push(op);
        }
    }
    found
}

fn segment() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "containers",
        "json",
        "create",
        "exec",
        "start",
        "attach",
        "ws",
        "images",
        "get",
        "tag",
        "networks",
        "volumes",
        "plugins",
        "pull",
        "swarm",
        "services",
        "update",
        "logs",
        "checkpoints",
        "archive",
        "debug",
        "pprof",
        "v1.51",
        "v1.",
        "_ping",
        "grpc",
        "session",
        "build",
        "prune",
        "distribution",
        "x",
        "a.b",
        "nodes",
        "tasks",
        "df",
        "system",
    ]);
    prop_oneof![8 => word.prop_map(str::to_owned), 1 => "[a-z.%0-9]{0,4}".prop_map(String::from)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn classification_never_disagrees_with_the_routers_patterns(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD"]),
        segments in prop::collection::vec(segment(), 1..6),
        encode in any::<u64>(),
    ) {
        let decoded: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        // Encode some of the bytes after the first slash, slashes included.
        let target: String = decoded.char_indices().map(|(at, c)| {
            if at > 0 && (c == '%' || encode >> (at % 64) & 1 == 1) { format!("%{:02x}", c as u32) } else { c.to_string() }
        }).collect();
        let it = classify(method, &target).expect("encoded targets are readable");
        prop_assert_eq!(it.path(), decoded.as_str());
        let clean = !segments.iter().rev().skip(1).any(String::is_empty) && !segments.iter().any(|s| s == "." || s == "..");
        let routes = reference(method, &decoded);
        if !clean {
            prop_assert_eq!(it.operation, Operation::Unknown);
        } else if routes.is_empty() {
            prop_assert_eq!(it.operation, Operation::Unknown);
        } else if it.operation == Operation::ImageImport {
            prop_assert!(routes.contains(&Operation::ImagePull));
        } else {
            // Exact routes and the checkpoint routes are registered before the catch-alls they shadow.
            prop_assert!(routes.contains(&it.operation), "{} {}: {:?} not in {:?}", method, target, it.operation, routes);
            if routes.len() > 1 {
                let exact: Vec<_> = routes.iter().filter(|op| !op.template().contains('{') || **op == Operation::CheckpointDelete).collect();
                prop_assert!(exact.is_empty() || exact.contains(&&it.operation), "{}: {:?}", target, routes);
            }
        }
    }

    #[test]
    fn any_target_gives_an_answer_and_never_a_panic(method in "[A-Z]{0,7}", target in "\\PC{0,40}") {
        let _ = classify(&method, &target);
    }
}
