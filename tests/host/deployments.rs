//! The files in `deploy/` that no tool here can run: they are read, and must fit together and fit the gate.

use std::fs;
use std::path::Path;
use std::process::Command;

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

#[expect(clippy::too_many_lines, reason = "scenario")]
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

/// A policy with a scope and an audit have somewhere to be written, which belongs to the image's user.
#[test]
fn the_compose_file_has_a_place_for_what_the_gate_writes_and_for_nothing_else() {
    let compose = yaml("docker-compose.yaml");
    let gate = at(&compose, "services.dockgate");
    assert_eq!(*at(gate, "read_only"), Value::from(true));
    assert_eq!(text(at(gate, "user")), "65532:65532");
    let variables = at(gate, "environment").as_mapping().expect("variables");
    for name in variables.keys() {
        known(text(name));
    }
    for name in [
        "DOCKGATE_POLICY",
        "DOCKGATE_OWNER_KEY",
        "DOCKGATE_AUDIT",
        "DOCKGATE_AUTO_CERTS",
    ] {
        assert!(variables.contains_key(name), "{name}");
    }
    let mounts: Vec<&str> = items(at(gate, "volumes"))
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let key = text(at(gate, "environment.DOCKGATE_OWNER_KEY"));
    let key = key
        .strip_prefix("${DOCKGATE_OWNER_KEY:-")
        .and_then(|it| it.strip_suffix('}'));
    let place = Path::new(key.expect("a default")).parent();
    let place = place.and_then(Path::to_str).expect("a directory");
    assert!(
        mounts.contains(&format!("state:{place}").as_str()),
        "{mounts:?}"
    );
    assert!(at(&compose, "volumes").get("state").is_some());
    // The image has the mount points, for its user alone: a new volume takes over owner and mode.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
    let file = fs::read_to_string(file).expect("a Dockerfile");
    assert!(file.contains("COPY --from=build --chown=65532:65532 /image/ /"));
    for command in ["mkdir -p ", "chmod 0700 "] {
        let made = file.lines().filter(|line| line.contains(command));
        let made: Vec<&str> = made.flat_map(str::split_whitespace).collect();
        for dir in [place, "/certs", "/run/dockgate"] {
            let has = made
                .iter()
                .any(|word| word.trim_end_matches(';') == format!("/image{dir}"));
            assert!(has, "{command}{dir}");
        }
    }
}

/// Whether `.dockerignore` lets a file of the repository into a build's context. Knows the forms that the file uses.
fn is_in_the_context(rules: &str, file: &str) -> bool {
    let rules = rules.lines().map(str::trim);
    let rules = rules.filter(|rule| !rule.is_empty() && !rule.starts_with('#'));
    // The last rule that fits decides.
    rules.fold(true, |is_in, rule| {
        let (fits_in, pattern) = match rule.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, rule),
        };
        let fits = match pattern.strip_prefix("**/*") {
            Some(suffix) => file.ends_with(suffix),
            None => pattern == "*" || Path::new(file).starts_with(pattern),
        };
        if fits { fits_in } else { is_in }
    })
}

#[test]
fn the_images_context_has_all_that_cargo_builds_and_no_key() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = fs::read_to_string(root.join(".dockerignore")).expect("the rules");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root)
        .output()
        .expect("run cargo");
    assert!(output.status.success(), "{output:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut needed = vec![root.join("Cargo.lock").display().to_string()];
    for package in metadata["packages"].as_array().expect("packages") {
        let targets = package["targets"].as_array().expect("targets");
        let is_built = |target: &&serde_json::Value| {
            let kind = target["kind"][0].as_str().expect("a kind");
            !["test", "bench", "example"].contains(&kind)
        };
        let sources = targets.iter().filter(is_built);
        let sources = sources.map(|target| &target["src_path"]);
        let files = sources.chain([&package["manifest_path"]]);
        needed.extend(files.map(|file| file.as_str().expect("a path").to_owned()));
    }
    assert!(needed.iter().any(|file| file.ends_with("build.rs")));
    for file in needed {
        let file = Path::new(&file).strip_prefix(root).expect("in the tree");
        let file = file.to_str().expect("a name");
        assert!(is_in_the_context(&rules, file), "{file}");
    }
    for other in [
        "ca-key.pem",
        "src/server-key.pem",
        "crates/pki/src/a.key",
        "gate/ca.pem",
        ".git/config",
        "target/debug/dockgate",
        "fuzz/corpus/head/a",
    ] {
        assert!(!is_in_the_context(&rules, other), "{other}");
    }
}

/// `DOCKER_BUILDKIT=0 docker build` has the commands of Docker 17, and one mount makes it refuse the whole file.
#[test]
fn the_dockerfile_needs_nothing_that_the_classic_builder_lacks() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
    let file = fs::read_to_string(file).expect("a Dockerfile");
    for line in file.lines().map(str::trim_start) {
        let flags = line
            .split_whitespace()
            .skip(1)
            .take_while(|word| word.starts_with("--"));
        for flag in flags {
            let known = [
                "--from=",
                "--chown=",
                "--interval=",
                "--timeout=",
                "--start-period=",
                "--start-interval=",
                "--retries=",
            ];
            assert!(
                known.iter().any(|known| flag.starts_with(known)),
                "{line}: the classic builder does not know {flag}"
            );
        }
        assert!(
            !line.starts_with("# syntax=") && !line.contains("<<"),
            "{line}"
        );
    }
}
