//! Text and numbers of a client that the engine evaluates by itself: each has a bound that no usual client meets.

use docker_api::Operation;
use policy::parameters_of;

use crate::parameters::{everything, target};
use crate::support::{Ask, create, role};

/// Values of log options, each with the role of a driver: those that the engine would evaluate without a bound, beside those that pass.
const LOG_VALUES: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "",
        "tag",
        &[
            r#"{{pad \"x\" 1099511627776 0}}"#,
            r#"{{if eq .Name \"boom\"}}x{{end}}"#,
            r#"{{printf \"%s\" .Name}}"#,
            "{{.Name | json}}",
            "{{range .ContainerEnv}}x{{end}}",
            "{{.Name",
            "{{.Config}}",
            r#"{{define \"a\"}}{{end}}"#,
            "{{.Command}}{{.Command}}{{.Command}}{{.Command}}{{.Command}}{{.Command}}{{.Command}}{{.Command}}{{.Command}}",
        ],
        &[
            "",
            "web",
            "{{.Name}}",
            "{{ .ImageName }}/{{.Name}}/{{.ID}}",
            "docker.{{.DaemonName}}.{{.FullID}}",
            "{{.Command}}",
            r#"{{index .ContainerLabels \"com.docker.compose.service\"}}"#,
            "{{ (.ExtraAttributes nil).SWARM_SERVICE_NAME }}",
        ],
    ),
    (
        "json-file",
        "tag",
        &[r#"{{pad .ID 9 9}}"#],
        &["{{.ImageID}}"],
    ),
    (
        "json-file",
        "max-buffer-size",
        &["100g", "33m", "-1", "1e12", "x"],
        &["4m", "25m", "32MiB", "1048576"],
    ),
    (
        "local",
        "max-size",
        &["10", "9k", "-1", "1e1"],
        &["10k", "10m", "1g", "20 MB", "1.5m"],
    ),
    (
        "local",
        "max-file",
        &["200000", "101", "0", "-3", "1e2", "99999999999999999999"],
        &["1", "3", "100"],
    ),
    ("", "mode", &["blocking "], &["blocking", "non-blocking"]),
    ("json-file", "compress", &["yes"], &["true", "false", "1"]),
    (
        "",
        "labels-regex",
        &["x{1000}x{1000}", "(x{9}){9}", r"\\pL\\pL"],
        &["^com\\\\.example\\\\.", "^(team|app)$", "[0-9]{4}"],
    ),
    ("", "env-regex", &["x{1000}"], &["^APP_"]),
    ("", "labels", &[], &["a,b"]),
    ("fluentd", "fluentd-buffer-limit", &["1g"], &["8m"]),
    (
        "awslogs",
        "awslogs-multiline-pattern",
        &["(x{64}){64}"],
        &[r"\\[\\d{4}-\\d{2}-\\d{2}"],
    ),
    (
        "awslogs",
        "awslogs-max-buffered-events",
        &["9999999"],
        &["4096"],
    ),
    ("gelf", "gelf-compression-level", &["99"], &["-1", "9"]),
    ("fluentd", "cache-max-file", &["1000"], &["5"]),
    ("json-file", "gelf-anything", &["x"], &[]),
    ("loki", "loki-batch-size", &[], &["400"]),
];

#[test]
fn what_the_engine_evaluates_of_a_log_drivers_options_has_bounds() {
    let policy = role(
        "base = \"deployer\"\nallow = [\"service.*\"]\n[role.team.limits]\nlog_drivers = [\"json-file\", \"local\", \"fluentd\", \"awslogs\", \"gelf\", \"loki\"]",
    );
    let ask = |driver: &str, key: &str, value: &str| {
        let options = format!(r#"{{"{key}":{value}}}"#);
        let create = create(&format!(
            r#""LogConfig":{{"Type":"{driver}","Config":{options}}}"#
        ));
        let service = format!(
            r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"busybox"}},"LogDriver":{{"Name":"{driver}","Options":{options}}}}}}}"#
        );
        let targets = [
            ("/v1.51/containers/create", create),
            ("/services/create", service.clone()),
            ("/services/web/update?version=1", service),
        ];
        targets.map(|(target, body)| {
            Ask::new(&policy, "POST", target)
                .body(&body)
                .run()
                .0
                .map_err(|denied| denied.to_string())
        })
    };
    for (driver, key, denied, allowed) in LOG_VALUES {
        for value in *denied {
            for answer in ask(driver, key, &format!("\"{value}\"")) {
                let said = answer.expect_err(value);
                assert!(said.contains("log_drivers: "), "{said}");
                assert!(!said.contains("pad"), "shows the value: {said}");
            }
        }
        for value in *allowed {
            for answer in ask(driver, key, &format!("\"{value}\"")) {
                assert!(answer.is_ok(), "{driver} {key} {value}: {answer:?}");
            }
        }
    }
    for value in ["1", "true", "[]", r#"{"a":"b"}"#] {
        assert!(ask("", "max-file", value).iter().all(Result::is_err));
    }
    assert!(ask("", "max-file", "null").iter().all(Result::is_ok));
    let long = |length: usize| format!("\"{}\"", "a".repeat(length));
    for (key, most) in [("tag", 1024), ("labels", 4096), ("env-regex", 512)] {
        assert!(ask("", key, &long(most)).iter().all(Result::is_ok), "{key}");
        assert!(
            ask("", key, &long(most + 1)).iter().all(Result::is_err),
            "{key}"
        );
    }
}

/// A value as a query has it.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Every operation that takes filters, and the parameter in it.
fn with_filters(filters: &str) -> Vec<(&'static str, String)> {
    let takes = |operation: &&Operation| {
        let mut listed = parameters_of(**operation).iter();
        listed.any(|(name, _)| *name == "filters")
    };
    let all = Operation::ALL.iter().filter(takes);
    let path =
        |operation: &Operation| format!("{}?filters={}", target(*operation), encoded(filters));
    all.map(|operation| (operation.method(), path(operation)))
        .collect()
}

/// So many texts of a JSON list.
fn many(count: usize, value: impl Fn(usize) -> String) -> String {
    let values: Vec<_> = (0..count).map(|n| format!("\"{}\"", value(n))).collect();
    values.join(",")
}

fn ids(count: usize) -> String {
    many(count, |n| format!("{n:064x}"))
}

fn hungry_filters() -> Vec<String> {
    let hungry = "x{1000}".repeat(3000);
    let mut denied = vec![
        format!(r#"{{"name":["{hungry}"]}}"#),
        format!(r#"{{"name":{{"{hungry}":true}}}}"#),
        format!(r#"{{"label":["a"],"id":["{hungry}"]}}"#),
        format!(
            r#"{{"name":[{}]}}"#,
            many(9, |n| format!("{n}{}", "(a)".repeat(200)))
        ),
        format!(r#"{{"id":[{}]}}"#, ids(257)),
        format!(r#"{{"publish":["1-65535/{}"]}}"#, "t".repeat(9000)),
        format!(r#"{{"expose":[{}]}}"#, many(17, |n| format!("{n}-65535"))),
        format!(r#"{{"label":["{}"]}}"#, "a".repeat(64 << 10)),
    ];
    for one in ["x{1000}", "(x{9}){9}", r"\\pL", r"\\x{10FFFF}", "(?i)[B-𞥂]"] {
        denied.push(format!(r#"{{"name":["{one}"]}}"#));
        denied.push(format!(r#"{{"type":["{one}"]}}"#));
    }
    denied.extend(
        [
            "{",
            "[]",
            r#"{"name":"a"}"#,
            r#"{"name":["a"],"name":["b"]}"#,
        ]
        .map(str::to_owned),
    );
    denied
}

fn usual_filters() -> Vec<String> {
    let path = "a".repeat(4000);
    vec![
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        r#"{"name":null}"#.to_owned(),
        r#"{"name":["^/shop-web-1$"],"status":["running"]}"#.to_owned(),
        r#"{"name":{"^/(shop|blog)-[0-9]+$":true,"web-[0-9]{3}":true}}"#.to_owned(),
        format!(r#"{{"id":[{}]}}"#, ids(256)),
        // Compose: project, service, digest, and the directory of the project.
        format!(
            r#"{{"label":{{"com.docker.compose.project=shop":true,"com.docker.compose.oneoff=False":true,"com.docker.compose.project.working_dir=/{path}":true,"x={{\"a{{9999}}\":1}}":true}}}}"#
        ),
        format!(r#"{{"container":[{}]}}"#, ids(800)),
        r#"{"publish":["80","8000-8099/udp","443/TCP"],"expose":["1-65535"]}"#.to_owned(),
        r#"{"reference":["registry.example.com/team/*:v[12]*"],"dangling":["true"]}"#.to_owned(),
        r#"{"until":["2026-01-02T03:04:05.678+01:00"],"label!":["keep"]}"#.to_owned(),
    ]
}

#[test]
fn filters_that_the_engine_would_compile_for_each_object_are_small() {
    let policies = [everything(), role("base = \"monitor\"")];
    let (denied, allowed) = (hungry_filters(), usual_filters());
    let mut judged = 0;
    for policy in &policies {
        for filters in &denied {
            for (method, target) in with_filters(filters) {
                match Ask::new(policy, method, &target).run().0 {
                    Err(denied) if denied.rule == "parameters" => judged += 1,
                    Err(denied) => assert_eq!(denied.rule, "operation", "{target}"),
                    Ok(_) => panic!("{method} {} passed", &target[..target.len().min(300)]),
                }
            }
        }
        for filters in &allowed {
            for (method, target) in with_filters(filters) {
                if let Err(denied) = Ask::new(policy, method, &target).run().0 {
                    assert_ne!(denied.rule, "parameters", "{filters}: {denied}");
                }
            }
        }
    }
    assert!(judged > 15 * denied.len(), "{judged}");
    let old = format!("/images/json?filter={}", encoded("x{1000}"));
    Ask::new(&policies[0], "GET", &old).denied("parameters");
    let _ = Ask::new(&policies[0], "GET", "/images/json?filter=app*").allowed();
}
