//! Flags, environment, file, daemon.json, defaults: who wins, and what is said about mistakes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dockgate::cli::{self, Command};
use dockgate::config::key::KEYS;
use dockgate::config::listen::Listen;
use dockgate::config::origin::Origin;
use dockgate::config::{self, AuditSink, Config};

use crate::host::EmptyHost;

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let host = EmptyHost::new();
    host.write(
        "etc/dockgate/dockgate.toml",
        "\ndrain-timeout = \"1s\"\nhead-timeout = \"2s\"\nhandshake-timeout = \"3s\"\n",
    );
    let env = [
        ("DOCKGATE_DRAIN_TIMEOUT", "4s"),
        ("DOCKGATE_HEAD_TIMEOUT", "5s"),
    ];
    let config = host
        .load_with_certs(&["--drain-timeout", "6s"], &env)
        .unwrap();
    assert_eq!(config.drain_timeout, Duration::from_secs(6));
    assert_eq!(config.head_timeout, Duration::from_secs(5));
    assert_eq!(config.handshake_timeout, Duration::from_secs(3));
    assert_eq!(config.tunnel_grace, Duration::from_secs(10));
    let file = host.root.path().join("etc/dockgate/dockgate.toml");
    assert_eq!(config.origin("drain-timeout"), &Origin::Flag);
    assert_eq!(
        config.origin("head-timeout"),
        &Origin::Env("DOCKGATE_HEAD_TIMEOUT".into())
    );
    assert_eq!(
        config.origin("handshake-timeout"),
        &Origin::File {
            path: file,
            line: 4
        }
    );
    assert_eq!(config.origin("tunnel-grace"), &Origin::Default);
    let names: Vec<_> = config.settings.iter().map(|setting| setting.name).collect();
    assert_eq!(
        names,
        KEYS.iter().map(|key| key.name).collect::<Vec<_>>(),
        "every setting is recorded, in order"
    );
}

#[test]
fn one_client_has_half_of_all_connections_unless_its_own_number_is_written() {
    let one = |args: &[&str], env: &[(&str, &str)]| {
        let config = EmptyHost::new().load_with_certs(args, env).unwrap();
        let name = "max-connections-per-client";
        let shown = config.settings.iter().find(|s| s.name == name).unwrap();
        assert_eq!(
            shown.value,
            config.limits.connections_per_client.to_string()
        );
        (
            config.limits.connections_per_client,
            shown.origin.to_string(),
        )
    };
    assert_eq!(one(&[], &[]), (5000, Origin::Default.to_string()));
    for (all, half) in [
        ("1", 1),
        ("2", 1),
        ("3", 2),
        ("200", 100),
        ("40000", 20_000),
    ] {
        let by_default = (half, Origin::Default.to_string());
        assert_eq!(one(&["--max-connections", all], &[]), by_default);
        assert_eq!(one(&[], &[("DOCKGATE_MAX_CONNECTIONS", all)]), by_default);
        let own = [
            "--max-connections",
            all,
            "--max-connections-per-client",
            "7",
        ];
        assert_eq!(one(&own, &[]), (7, Origin::Flag.to_string()));
        // A number equal to the default's is a number that somebody wrote.
        let written = [
            "--max-connections",
            all,
            "--max-connections-per-client=5000",
        ];
        assert_eq!(one(&written, &[]).0, 5000);
    }
}

/// One value per setting that is valid and not the default.
fn sample(name: &str) -> &'static str {
    match name {
        "hosts" => "tcp://127.0.0.1:1",
        "upstream" => "unix:///x.sock",
        "tlsverify" => "true",
        "sans" => "gate.example",
        "enroll" => "127.0.0.1:2378",
        "deny-serials" => "4f",
        "deny-spki-sha256" => "abababababababababababababababababababababababababababababababab",
        "audit-failure" => "continue",
        "metrics" => "127.0.0.1:9",
        "user" => "nobody",
        "unsafe-no-cage" => "true",
        "log-level" => "debug",
        "log-format" => "json",
        "max-head-size" => "64KiB",
        "max-pending-bodies" => "64MiB",
        name if name.starts_with("max-") || name == "workers" || name.ends_with("probes") => "17",
        name if name.ends_with("timeout") || name.ends_with("grace") || name.ends_with("age") => {
            "77s"
        }
        "access-log" => "on",
        "protected-images" => "registry.example.com/ops/gate",
        "protected-volumes" => "backups",
        "tcp-keepalive-idle"
        | "tcp-keepalive-interval"
        | "reload-interval"
        | "trust-interval"
        | "exit-on-stale-socket" => "77s",
        _ => "/some/path",
    }
}

#[test]
fn every_setting_can_be_written_in_all_three_places() {
    for key in KEYS {
        // auto-certs and the three files exclude each other, and some settings need another.
        let extra: &[&str] = match key.name {
            "sans" | "enroll" => &["--auto-certs", "/d"],
            "enroll-config" | "enroll-metrics-file" => {
                &["--auto-certs", "/d", "--enroll", "127.0.0.1:2378"]
            }
            "trust-interval" => &["--enrolled", "/d"],
            "tlscacert" => &["--tlscert", "/c", "--tlskey", "/k"],
            "tlscert" => &["--tlscacert", "/a", "--tlskey", "/k"],
            "tlskey" => &["--tlscacert", "/a", "--tlscert", "/c"],
            _ => &[],
        };
        let value = sample(key.name);
        let quoted = match key.kind {
            config::key::SettingKind::Count
            | config::key::SettingKind::OptionalCount
            | config::key::SettingKind::Switch => value.to_owned(),
            _ => format!("{value:?}"),
        };
        let host = EmptyHost::new();
        let flag = format!("--{}={value}", key.flag);
        let by_flag = host
            .load_with_certs(&[&[flag.as_str()], extra].concat(), &[])
            .unwrap();
        assert_eq!(by_flag.origin(key.name), &Origin::Flag, "{}", key.name);
        let by_env = host.load_with_certs(extra, &[(&key.env(), value)]).unwrap();
        assert_eq!(
            by_env.origin(key.name),
            &Origin::Env(key.env()),
            "{}",
            key.name
        );
        let file = host.write(
            "etc/dockgate/dockgate.toml",
            &format!("{} = {quoted}\n", key.name),
        );
        let by_file = host.load_with_certs(extra, &[]).unwrap();
        assert_eq!(
            by_file.origin(key.name),
            &Origin::File {
                path: file,
                line: 1
            },
            "{}",
            key.name
        );

        // The three say the same, whatever the notation.
        let bare = |mut config: Config| {
            config.settings.clear();
            config.files.clear();
            config.config_file = None;
            config
        };
        let by_flag = bare(by_flag);
        assert_eq!(by_flag, bare(by_env), "{}", key.name);
        assert_eq!(by_flag, bare(by_file), "{}", key.name);
        let default = bare(EmptyHost { root: host.root }.load_without_file());
        if key.name != "tlsverify" && extra.is_empty() {
            assert_ne!(by_flag, default, "{} changes nothing", key.name);
        }
    }
}

impl EmptyHost {
    fn load_without_file(&self) -> Config {
        fs::remove_file(self.root.path().join("etc/dockgate/dockgate.toml")).unwrap();
        self.load_with_certs(&[], &[]).unwrap()
    }
}

#[test]
fn defaults_are_what_the_design_says() {
    let config = EmptyHost::new().load_with_certs(&[], &[]).unwrap();
    assert_eq!(config.listen, [Listen::Any { port: 2376 }]);
    assert_eq!(config.upstream, Path::new("/var/run/docker.sock"));
    assert_eq!(config.handshake_timeout, Duration::from_secs(10));
    assert_eq!(config.head_timeout, Duration::from_secs(30));
    assert_eq!(config.drain_timeout, Duration::from_secs(10));
    assert_eq!(config.reload_interval, Some(Duration::from_secs(10)));
    assert_eq!(config.limits.head_bytes, (1 << 20) + (64 << 10));
    assert_eq!(config.limits.header_lines, 500);
    assert_eq!(
        (config.policy, config.audit, config.metrics),
        (None, None, None)
    );
}

#[test]
fn a_list_in_a_higher_place_replaces_the_lower_one() {
    let host = EmptyHost::new();
    host.write(
        "etc/dockgate/dockgate.toml",
        "hosts = [\"tcp://127.0.0.1:1\", \"tcp://127.0.0.1:2\"]",
    );
    let ports =
        |config: Config| -> Vec<String> { config.listen.iter().map(ToString::to_string).collect() };
    assert_eq!(
        ports(host.load_with_certs(&[], &[]).unwrap()),
        ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]
    );
    let env = [("DOCKGATE_HOST", "tcp://127.0.0.1:3, tcp://[::1]:3")];
    assert_eq!(
        ports(host.load_with_certs(&[], &env).unwrap()),
        ["tcp://127.0.0.1:3", "tcp://[::1]:3"]
    );
    let flags = ["-H", "tcp://127.0.0.1:4", "-H", "tcp://127.0.0.1:5"];
    assert_eq!(
        ports(host.load_with_certs(&flags, &env).unwrap()),
        ["tcp://127.0.0.1:4", "tcp://127.0.0.1:5"]
    );
}

#[test]
fn an_unknown_variable_is_an_error_with_the_likely_one() {
    let host = EmptyHost::new();
    let err = host
        .load_with_certs(&[], &[("DOCKGATE_DRAIN_TIMOUT", "1s")])
        .unwrap_err();
    assert_eq!(
        err.to_string(),
        "unknown environment variable DOCKGATE_DRAIN_TIMOUT\nhint: did you mean DOCKGATE_DRAIN_TIMEOUT?"
    );
    assert_eq!(err.exit_code(), 78);
}

#[test]
fn variables_that_others_set_are_left_alone() {
    let env = [
        ("DOCKGATE_TEST_X", "1"),
        ("DOCKGATE_E2E_X", "1"),
        ("DOCKGATE_PORT", "tcp://10.0.0.1:2376"),
        ("DOCKGATE_PORT_2376_TCP_ADDR", "10.0.0.1"),
        ("DOCKGATE_SERVICE_HOST", "10.0.0.1"),
        ("DOCKGATE_METRICS_PORT", "tcp://10.0.0.1:9323"),
        ("DOCKGATE_METRICS_SERVICE_PORT_HTTP", "9323"),
        ("DOCKGATE_METRICS_PORT_9323_UDP", "udp://[fd00::1]:9323"),
        ("DOCKGATE_POLICY", ""),
        ("PATH", "/bin"),
    ];
    let config = EmptyHost::new().load_with_certs(&[], &env).unwrap();
    assert_eq!(config.policy, None, "an empty variable counts as unset");
    // A number is what somebody would write who means a setting.
    for name in ["DOCKGATE_PORT", "DOCKGATE_METRICS_PORT"] {
        let err = EmptyHost::new()
            .load_with_certs(&[], &[(name, "9323")])
            .unwrap_err();
        assert!(
            err.to_string()
                .starts_with(&format!("unknown environment variable {name}")),
            "{err}"
        );
    }
}

#[test]
fn a_wrong_flag_exits_2_and_anything_else_78() {
    let host = EmptyHost::new();
    let err = host
        .load_with_certs(&["--drain-timeout", "10"], &[])
        .unwrap_err();
    assert_eq!(
        err.to_string(),
        "--drain-timeout \"10\": expected a time with its unit (ms, s, m, h, d) such as \"10s\" or \"1h30m\"\nhint: write \"10s\" for seconds"
    );
    assert_eq!(err.exit_code(), 2);
    let err = host
        .load_with_certs(&[], &[("DOCKGATE_UPSTREAM", "tcp://engine:2375")])
        .unwrap_err();
    assert!(err.to_string().starts_with("DOCKGATE_UPSTREAM=\"tcp://engine:2375\": expected the engine's socket as unix:///PATH; tcp is not forwarded to\nhint: "), "{err}");
    assert_eq!(err.exit_code(), 78);
    let err = host
        .load_with_certs(&["--config-file", "/nowhere.toml"], &[])
        .unwrap_err();
    assert_eq!(
        err.to_string(),
        "--config-file \"/nowhere.toml\": cannot read it: No such file or directory (os error 2)\nhint: is the name right? `ls /` shows what is there"
    );
    assert_eq!(err.exit_code(), 78);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let host = EmptyHost::new();
    let err = host
        .load_with_certs(
            &["--workers", "x"],
            &[("DOCKGATE_LOG_LEVEL", "loud"), ("DOCKGATE_X", "1")],
        )
        .unwrap_err();
    assert_eq!(err.problems.len(), 3, "{err}");
}

#[test]
fn one_fault_in_a_file_does_not_hide_what_stands_beside_it() {
    let host = EmptyHost::new();
    let certificates = "tlscacert = \"ca.pem\"\ntlscert = \"cert.pem\"\ntlskey = \"key.pem\"\n";
    for (fault, said) in [
        ("drain_timeout = \"1s\"\n", "unknown key \"drain_timeout\""),
        ("workers = \"many\"\n", "workers is"),
        ("drain-timeout = \n", "not valid TOML"),
    ] {
        let file = host.write("etc/dockgate.toml", &format!("{certificates}{fault}"));
        let error = host
            .load(&["--config-file", file.to_str().unwrap()], &[])
            .unwrap_err();
        let problems: Vec<_> = error.problems.iter().map(|p| &*p.message).collect();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(said), "{problems:?}");
    }
    // What a file would have said is not known when it cannot be read, or not to its end.
    let broken = host.write("etc/broken.toml", "hosts = [\"tcp://:2376\"\n");
    for (file, said) in [
        ("/nowhere.toml", "cannot read it"),
        (broken.to_str().unwrap(), "not valid TOML"),
    ] {
        let error = host.load(&["--config-file", file], &[]).unwrap_err();
        let problems: Vec<_> = error.problems.iter().map(|p| &*p.message).collect();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(said), "{problems:?}");
    }
    let error = host.load(&[], &[]).unwrap_err();
    assert!(
        error.problems[0].message.starts_with("no certificates"),
        "{error}"
    );
}

#[test]
fn relative_paths_in_a_file_are_relative_to_it() {
    let host = EmptyHost::new();
    let file = host.write(
        "conf/gate.toml",
        "policy = \"policy.toml\"\naudit = \"audit.log\"\ntlscrl = [\"crls\"]",
    );
    let config = host
        .load_with_certs(&["--config-file", file.to_str().unwrap()], &[])
        .unwrap();
    let dir = host.root.path().join("conf");
    assert_eq!(config.policy, Some(dir.join("policy.toml")));
    assert_eq!(config.audit, Some(AuditSink::File(dir.join("audit.log"))));
    assert_eq!(config.tls.unwrap().crl, [dir.join("crls")]);
    assert_eq!(config.files, [file, dir.join("policy.toml")]);
    let config = host
        .load_with_certs(&["--audit", "stdout", "--policy", "p.toml"], &[])
        .unwrap();
    assert_eq!(
        (config.audit, config.policy),
        (Some(AuditSink::Stdout), Some("p.toml".into()))
    );
}

#[test]
fn serve_is_what_happens_when_nothing_is_named() {
    let command = cli::parse(["dockgate", "-H", "tcp://:1", "-l", "debug"])
        .unwrap()
        .into_command();
    assert!(
        matches!(command, Command::Serve(args) if args.all("hosts") == ["tcp://:1"] && args.get("log-level") == Some("debug"))
    );
    assert_eq!(
        cli::parse(["dockgate", "--no-such"])
            .unwrap_err()
            .exit_code(),
        2
    );
    let help = cli::command().render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("[env: DOCKGATE_DRAIN_TIMEOUT] [default: 10s]"),
        "{help}"
    );
}

#[test]
fn the_control_socket_is_found_by_the_same_rules_and_by_nothing_else() {
    let host = EmptyHost::new();
    let file = host.write("gate.toml", "control-socket = \"gate.sock\"\n");
    let socket = |socket: Option<&str>, file: Option<&PathBuf>, env: &[(&str, &str)]| {
        let args = cli::ControlArgs {
            control_socket: socket.map(str::to_owned),
            config_file: file.cloned(),
        };
        let env = env
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        config::control_socket(&args, env)
    };
    let beside = host.root.path().join("gate.sock");
    assert_eq!(socket(None, Some(&file), &[]).unwrap(), Some(beside));
    let env = [
        ("DOCKGATE_CONTROL_SOCKET", "/e.sock"),
        ("DOCKGATE_UNHEARD_OF", "1"),
    ];
    assert_eq!(
        socket(None, Some(&file), &env).unwrap(),
        Some("/e.sock".into())
    );
    assert_eq!(socket(Some("off"), Some(&file), &env).unwrap(), None);
    host.write("gate.toml", "control_socket = 1\n");
    assert!(
        socket(None, Some(&file), &[]).is_err(),
        "a file with mistakes cannot be trusted to say where"
    );
    assert_eq!(
        socket(Some("/f.sock"), Some(&file), &[]).unwrap(),
        Some("/f.sock".into())
    );
}
