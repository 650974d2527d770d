//! The files in `deploy/` that no tool here can run: they are read, and must fit together and fit the gate.

use std::fs;
use std::path::Path;

use dockgate::config::key::KEYS;
use serde_yaml_ng::Value;

fn yaml(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_yaml_ng::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A value by its path, `a.b.0.c`.
#[track_caller]
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, step| {
        let found = match step.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(step),
        };
        found.unwrap_or_else(|| panic!("{path} must be there: no {step} in {value:?}"))
    })
}

fn items(value: &Value) -> &[Value] {
    value.as_sequence().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Whether the gate knows a variable.
#[track_caller]
fn known(variable: &str) {
    assert!(
        KEYS.iter().any(|key| key.env() == variable),
        "{variable} must be a setting"
    );
}

#[test]
fn the_daemon_set_fits_together_and_asks_for_no_right() {
    let set = yaml("deploy/kubernetes/dockgate.yaml");
    assert_eq!(
        (text(at(&set, "apiVersion")), text(at(&set, "kind"))),
        ("apps/v1", "DaemonSet")
    );
    assert_eq!(
        at(&set, "spec.selector.matchLabels"),
        at(&set, "spec.template.metadata.labels"),
        "the set must find its own pods"
    );
    let pod = at(&set, "spec.template.spec");
    for (path, wanted) in [
        ("securityContext.runAsNonRoot", Value::from(true)),
        (
            "securityContext.seccompProfile.type",
            Value::from("RuntimeDefault"),
        ),
        ("automountServiceAccountToken", Value::from(false)),
        ("enableServiceLinks", Value::from(false)),
        (
            "containers.0.securityContext.allowPrivilegeEscalation",
            Value::from(false),
        ),
        (
            "containers.0.securityContext.readOnlyRootFilesystem",
            Value::from(true),
        ),
        (
            "containers.0.securityContext.capabilities.drop.0",
            Value::from("ALL"),
        ),
    ] {
        assert_eq!(*at(pod, path), wanted, "{path}");
    }
    for right in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(right).is_none(), "{right}");
    }
    let gate = at(pod, "containers.0");
    let volumes = items(at(pod, "volumes"));
    let mounts = items(at(gate, "volumeMounts"));
    assert_eq!(volumes.len(), mounts.len());
    for mount in mounts {
        let name = at(mount, "name");
        let volume = volumes.iter().find(|volume| at(volume, "name") == name);
        let volume = volume.unwrap_or_else(|| panic!("{name:?} must be a volume"));
        let is_read_only = mount
            .get("readOnly")
            .is_some_and(|only| only.as_bool() == Some(true));
        assert_eq!(is_read_only, volume.get("emptyDir").is_none(), "{name:?}");
        if let Some(host) = volume.get("hostPath") {
            assert_eq!(text(at(host, "path")), "/var/run/docker.sock");
            assert_eq!(text(at(host, "type")), "Socket");
        }
    }
    // Each file that the gate is told of lies in something that is mounted.
    for variable in items(at(gate, "env")) {
        known(text(at(variable, "name")));
        let value = text(at(variable, "value"));
        if value.starts_with('/') {
            let is_below =
                |mount: &Value| Path::new(value).starts_with(text(at(mount, "mountPath")));
            assert!(mounts.iter().any(is_below), "{value}");
        }
    }
    // Longer than the drain.
    assert!(at(pod, "terminationGracePeriodSeconds").as_u64() > Some(10));
}

#[test]
fn the_swarms_stack_fits_together_and_asks_for_no_right() {
    let stack = yaml("deploy/swarm/stack.yaml");
    let gate = at(&stack, "services.dockgate");
    assert_eq!(text(at(gate, "deploy.mode")), "global");
    assert_eq!(text(at(gate, "ports.0.mode")), "host");
    assert_eq!(*at(gate, "read_only"), Value::from(true));
    assert_eq!(text(at(gate, "cap_drop.0")), "ALL");
    assert!(text(at(gate, "user")).starts_with("65532:"));
    let mut files = Vec::new();
    for kind in ["configs", "secrets"] {
        for file in items(at(gate, kind)) {
            let source = text(at(file, "source"));
            assert_eq!(
                *at(&stack, &format!("{kind}.{source}.external")),
                Value::from(true)
            );
            files.push(text(at(file, "target")));
        }
    }
    assert_eq!(
        text(at(gate, "secrets.0.target")),
        "/certs/server-key.pem",
        "the key is the secret"
    );
    let variables = at(gate, "environment").as_mapping().expect("variables");
    for (name, value) in variables {
        known(text(name));
        let value = text(value);
        assert!(!value.starts_with('/') || files.contains(&value), "{value}");
    }
}
