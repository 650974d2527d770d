//! Which certificates are chosen: named, found, or taken over from dockerd.

use std::path::Path;

use dockgate::config::LogLevel;
use dockgate::config::origin::Origin;

use crate::host::EmptyHost;

#[test]
fn certificates_are_found_where_known_tools_put_them() {
    let cases: [(&str, [&str; 3]); 6] = [
        ("certs/server", ["ca.pem", "cert.pem", "key.pem"]),
        (
            "work/certs",
            ["ca.pem", "server-cert.pem", "server-key.pem"],
        ),
        (
            "etc/dockgate/certs",
            ["ca.pem", "server-cert.pem", "server-key.pem"],
        ),
        (
            "etc/docker",
            ["ca.pem", "server-cert.pem", "server-key.pem"],
        ),
        (
            "data/certs",
            ["ca-cert.pem", "server-cert.pem", "server-key.pem"],
        ),
        (
            "home/.docker",
            ["ca.pem", "server-cert.pem", "server-key.pem"],
        ),
    ];
    for (dir, [ca, cert, key]) in cases {
        let host = EmptyHost::new();
        for name in [ca, cert, key] {
            host.write(&format!("{dir}/{name}"), "");
        }
        let config = host.load(&[], &[]).unwrap();
        let dir = host.root.path().join(dir);
        let tls = config.tls.unwrap();
        assert_eq!(
            (tls.ca, tls.cert, tls.key),
            (dir.join(ca), dir.join(cert), dir.join(key))
        );
        assert_eq!(tls.crl_if_present, Some(dir.join("crl.pem")));
        let setting = config.settings.iter().find(|s| s.name == "tlskey").unwrap();
        assert_eq!(setting.origin, Origin::Found(dir));
    }
    let err = EmptyHost::new().load(&[], &[]).unwrap_err().to_string();
    assert!(
        err.starts_with(
            "no certificates: tlscacert, tlscert and tlskey are not set, and none were found in "
        ),
        "{err}"
    );
    assert!(err.ends_with("hint: make them with `dockgate certs init`, or start with `dockgate serve --auto-certs ./certs`"), "{err}");
}

#[test]
fn the_three_files_belong_together() {
    let host = EmptyHost::new();
    let err = host
        .load_with_certs(&["--tlscert", "c.pem"], &[])
        .unwrap_err();
    assert_eq!(
        err.to_string(),
        "tlscert is set without tlscacert and tlskey; the three belong together"
    );
    let err = host
        .load_with_certs(&["--tlscert", "c.pem", "--auto-certs", "d"], &[])
        .unwrap_err();
    assert!(
        err.to_string()
            .starts_with("auto-certs and tlscert are both set (command line and command line)"),
        "{err}"
    );
    let config = host
        .load_with_certs(&["--auto-certs", "d", "--san", "gate.example"], &[])
        .unwrap();
    assert_eq!(config.tls, None);
    assert_eq!(config.auto_certs.unwrap().sans, ["gate.example"]);
}

#[test]
fn daemon_json_hands_over_names_and_addresses() {
    let host = EmptyHost::new();
    let json = host.write(
        "etc/docker/daemon.json",
        r#"{"hosts": ["unix:///run/docker.sock", "tcp://0.0.0.0:2376"], "tlsverify": true, "tlscacert": "/etc/docker/ca.pem",
            "tlscert": "server.pem", "tlskey": "/etc/docker/key.pem", "log-driver": "journald"}"#,
    );
    let config = host
        .load(
            &[
                "--from-daemon-json",
                json.to_str().unwrap(),
                "--log-level",
                "warning",
            ],
            &[],
        )
        .unwrap();
    let tls = config.tls.clone().unwrap();
    assert_eq!(tls.ca, Path::new("/etc/docker/ca.pem"));
    assert_eq!(tls.cert, host.root.path().join("etc/docker/server.pem"));
    assert_eq!(config.listen[0].to_string(), "tcp://0.0.0.0:2376");
    assert_eq!(config.upstream, Path::new("/run/docker.sock"));
    assert_eq!(config.origin("hosts"), &Origin::DaemonJson(json.clone()));
    assert!(
        config.notes[0].starts_with("dockerd listens on tcp://0.0.0.0:2376 itself"),
        "{:?}",
        config.notes
    );
    assert_eq!(config.log.level, LogLevel::Warn);

    let env = [
        ("DOCKGATE_FROM_DAEMON_JSON", json.to_str().unwrap()),
        ("DOCKGATE_HOST", "tcp://127.0.0.1:9"),
    ];
    assert_eq!(
        host.load(&[], &env).unwrap().listen[0].to_string(),
        "tcp://127.0.0.1:9",
        "our own settings win"
    );

    host.write("etc/docker/daemon.json", "{\"tlscert\": 1}");
    let err = host
        .load(&["--from-daemon-json", json.to_str().unwrap()], &[])
        .unwrap_err();
    assert_eq!(
        err.to_string(),
        format!(
            "{}: \"tlscert\" is not a string; expected a path",
            json.display()
        )
    );
    host.write("etc/docker/daemon.json", "{");
    let err = host
        .load(&["--from-daemon-json", json.to_str().unwrap()], &[])
        .unwrap_err();
    assert!(
        err.to_string()
            .starts_with(&format!("{}: not valid JSON: ", json.display())),
        "{err}"
    );
}
