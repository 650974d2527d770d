//! `check` exits 78 exactly when `serve` would not start; what only leaves clients out is an error line with exit 0, and exit 1
//! where `--strict` asks for it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::sample::select;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, KeyPair};

use crate::pki::{DoctorPki, ca_params, lasting};

/// A way to write a part of the configuration, by its name.
type WrittenWay = &'static str;

const CA: &[WrittenWay] = &[
    "good",
    "expired",
    "expired beside good",
    "a leaf",
    "garbage",
    "empty",
    "missing",
];
const CERT: &[WrittenWay] = &[
    "good",
    "expired",
    "not yet",
    "no names",
    "of a client",
    "another key's",
    "garbage",
    "missing",
];
const KEY: &[WrittenWay] = &["good", "no line breaks", "missing"];
const CRL: &[WrittenWay] = &["none", "good", "expired", "garbage", "missing"];
const POLICY: &[WrittenWay] = &["none", "good", "report", "unknown role", "half", "missing"];
const AUDIT: &[WrittenWay] = &["none", "file", "a directory", "nowhere"];
const HOST: &[WrittenWay] = &["local", "both families", "not ours"];
const METRICS: &[WrittenWay] = &["none", "local", "not ours"];
const CONTROL: &[WrittenWay] = &["off", "ours", "below a file", "a plain file"];
const TOGGLE: &[WrittenWay] = &["none", "good", "wrong"];

/// A generated configuration.
#[derive(Debug, Clone)]
struct Setup {
    ca: WrittenWay,
    cert: WrittenWay,
    key: WrittenWay,
    crl: WrittenWay,
    policy: WrittenWay,
    audit: WrittenWay,
    host: WrittenWay,
    metrics: WrittenWay,
    control: WrittenWay,
    toggle: WrittenWay,
}

const SOUND: Setup = Setup {
    ca: "good",
    cert: "good",
    key: "good",
    crl: "none",
    policy: "good",
    audit: "none",
    host: "local",
    metrics: "none",
    control: "off",
    toggle: "none",
};

#[expect(clippy::too_many_lines, reason = "scenario")]
fn pki(setup: &Setup) -> DoctorPki {
    let pki = DoctorPki::with(
        |ca| {
            if setup.ca == "expired" {
                lasting(ca, -20, -1);
            }
        },
        |server| match setup.cert {
            "expired" => lasting(server, -20, -1),
            "not yet" => lasting(server, 1, 20),
            "no names" => server.subject_alt_names.clear(),
            "of a client" => {
                server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
            _ => {}
        },
    );
    let file = |name: &str, text: &str| drop(pki.write(name, text));
    let missing = |name: &str| std::fs::remove_file(pki.path(name)).unwrap();
    match setup.ca {
        "expired beside good" => {
            let mut params = ca_params("Old CA");
            lasting(&mut params, -20, -1);
            let old = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            file("ca.pem", &(old.pem() + &pki.ca.pem()));
        }
        "a leaf" => file("ca.pem", &pki.server.pem()),
        "garbage" => file(
            "ca.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        "empty" => file("ca.pem", ""),
        "missing" => missing("ca.pem"),
        _ => {}
    }
    match setup.cert {
        "another key's" => {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, "gate");
            let key = KeyPair::generate().unwrap();
            file(
                "server-cert.pem",
                &params.signed_by(&key, &pki.ca).unwrap().pem(),
            );
        }
        "garbage" => file("server-cert.pem", "not a certificate"),
        "missing" => missing("server-cert.pem"),
        _ => {}
    }
    match setup.key {
        "no line breaks" => file(
            "server-key.pem",
            &pki.key.serialize_pem().replace('\n', " "),
        ),
        "missing" => missing("server-key.pem"),
        _ => {}
    }
    match setup.crl {
        "good" => file("crl.pem", &pki.crl(60).pem().unwrap()),
        "expired" => file("crl.pem", &pki.crl(-1).pem().unwrap()),
        "garbage" => file("crl.pem", "no list"),
        _ => {}
    }
    let entry = |role: &str| format!("[[client]]\nmatch = {{ any = true }}\nrole = \"{role}\"\n");
    match setup.policy {
        "good" => file("policy.toml", &format!("version = 1\n{}", entry("monitor"))),
        "report" => file(
            "policy.toml",
            &format!("version = 1\nmode = \"report\"\n{}", entry("monitor")),
        ),
        "unknown role" => file("policy.toml", &format!("version = 1\n{}", entry("nobody"))),
        "half" => file("policy.toml", "version = 1\n[[client]]\nmatch = { any"),
        _ => {}
    }
    file("plain", "");
    pki
}

fn options(setup: &Setup, pki: &DoctorPki) -> Vec<String> {
    let mut options = Vec::new();
    let mut give = |name: &str, value: String| options.extend([format!("--{name}"), value]);
    let path = |name: &str| pki.path(name).display().to_string();
    give("tlscacert", path("ca.pem"));
    give("tlscert", path("server-cert.pem"));
    give("tlskey", path("server-key.pem"));
    give("upstream", format!("unix://{}", path("engine.sock")));
    if setup.crl != "none" {
        give("tlscrl", path("crl.pem"));
    }
    if setup.policy != "none" {
        give("policy", path("policy.toml"));
    }
    match setup.audit {
        "file" => give("audit", path("audit.jsonl")),
        "a directory" => give("audit", path("")),
        "nowhere" => give("audit", path("none/audit.jsonl")),
        _ => {}
    }
    give(
        "host",
        match setup.host {
            "both families" => "tcp://:0",
            "not ours" => "tcp://192.0.2.1:2376",
            _ => "tcp://127.0.0.1:0",
        }
        .to_owned(),
    );
    match setup.metrics {
        "local" => give("metrics", "127.0.0.1:0".to_owned()),
        "not ours" => give("metrics", "192.0.2.1:9323".to_owned()),
        _ => {}
    }
    give(
        "control-socket",
        match setup.control {
            "ours" => path("run/control.sock"),
            "below a file" => path("plain/control.sock"),
            "a plain file" => path("plain"),
            _ => "off".to_owned(),
        },
    );
    options
}

fn dockgate(command: &str, setup: &Setup, options: &[String]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    program.arg(command).args(options).env_clear();
    match setup.toggle {
        "good" => _ = program.env("CONTAINERS", "1"),
        "wrong" => _ = program.env("CONTAINERS", "perhaps"),
        _ => {}
    }
    program
}

/// Whether `serve` comes to the point where it prints where it listens; its exit code and what it said where not.
fn starts(setup: &Setup, options: &[String]) -> Result<(), (Option<i32>, String)> {
    let mut gate = dockgate("serve", setup, options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(gate.stdout.take().unwrap()).lines();
    let listens = lines
        .map_while(Result::ok)
        .any(|line| line.contains("listening"));
    if listens {
        gate.kill().unwrap();
    }
    let end = gate.wait_with_output().unwrap();
    match listens {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&end.stderr).into_owned();
            testkit::words::assert_plain("serve", &said);
            Err((end.status.code(), said))
        }
    }
}

fn check(setup: &Setup, options: &[String], strict: bool) -> (Option<i32>, String) {
    let mut command = dockgate("check", setup, options);
    if strict {
        command.arg("--strict");
    }
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

fn agree(setup: &Setup) {
    let pki = pki(setup);
    let options = options(setup, &pki);
    let (code, text) = check(setup, &options, false);
    let (strict, _) = check(setup, &options, true);
    let started = starts(setup, &options);
    assert_eq!(
        code == Some(78),
        started.is_err(),
        "{setup:?}: check says {code:?}, serve {started:?}\n{text}"
    );
    // The engine is away, which is an error line of every check here.
    let expected = if started.is_ok() { 1 } else { 78 };
    assert_eq!(strict, Some(expected), "{setup:?}\n{text}");
    assert!(code == Some(78) || code == Some(0), "{setup:?}: {code:?}");
    if let Err((code, said)) = started {
        assert!(matches!(code, Some(1 | 78)), "{setup:?}: {said}");
        // Plainly, or as a line of the log, not both.
        let times = said.matches("dockgate: ").count() + said.matches("Cannot go on").count();
        assert_eq!(times, 1, "one fault, one message: {said}");
    }
}

#[test]
fn each_way_by_itself_is_judged_as_serve_judges_it() {
    agree(&SOUND);
    for ca in CA {
        agree(&Setup { ca, ..SOUND });
    }
    for cert in CERT {
        agree(&Setup { cert, ..SOUND });
    }
    for key in KEY {
        agree(&Setup { key, ..SOUND });
    }
    for crl in CRL {
        agree(&Setup { crl, ..SOUND });
    }
    for policy in POLICY {
        agree(&Setup { policy, ..SOUND });
    }
    for audit in AUDIT {
        agree(&Setup { audit, ..SOUND });
    }
    for host in HOST {
        agree(&Setup { host, ..SOUND });
    }
    for metrics in METRICS {
        agree(&Setup { metrics, ..SOUND });
    }
    for control in CONTROL {
        agree(&Setup { control, ..SOUND });
    }
    for toggle in TOGGLE {
        agree(&Setup {
            policy: "none",
            toggle,
            ..SOUND
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn any_configuration_is_judged_as_serve_judges_it(
        (ca, cert, key, crl, policy) in (select(CA), select(CERT), select(KEY), select(CRL), select(POLICY)),
        (audit, host, metrics, control, toggle) in (select(AUDIT), select(HOST), select(METRICS), select(CONTROL), select(TOGGLE)),
    ) {
        agree(&Setup { ca, cert, key, crl, policy, audit, host, metrics, control, toggle });
    }
}

#[test]
fn what_leaves_clients_out_is_an_error_line_and_an_expired_ca_beside_a_good_one_a_warning() {
    for (setup, error) in [
        (
            Setup {
                ca: "expired",
                ..SOUND
            },
            "no client can connect",
        ),
        (
            Setup {
                cert: "expired",
                ..SOUND
            },
            "every client refuses it",
        ),
        (
            Setup {
                cert: "of a client",
                ..SOUND
            },
            "without serverAuth",
        ),
        (
            Setup {
                crl: "expired",
                ..SOUND
            },
            "its clients are refused",
        ),
    ] {
        let pki = pki(&setup);
        let (code, text) = check(&setup, &options(&setup, &pki), false);
        let said = text
            .lines()
            .any(|line| line.starts_with("error    ") && line.contains(error));
        assert!(code == Some(0) && said, "{setup:?}: {text}");
    }
    let setup = Setup {
        ca: "expired beside good",
        ..SOUND
    };
    let pki = pki(&setup);
    let (_, text) = check(&setup, &options(&setup, &pki), false);
    let about: Vec<_> = text
        .lines()
        .filter(|line| line.contains("Old CA"))
        .collect();
    assert!(
        !about.is_empty() && about.iter().all(|line| line.starts_with("warning")),
        "{text}"
    );
}

#[test]
fn certificates_that_would_be_made_are_foreseen_as_serve_makes_them() {
    let sound = || {
        let pki = DoctorPki::new();
        for name in ["ca.pem", "server-cert.pem", "server-key.pem"] {
            std::fs::remove_file(pki.path(name)).unwrap();
        }
        pki
    };
    let options = |dir: PathBuf, more: &[&str]| {
        let mut options = vec![
            "--auto-certs".to_owned(),
            dir.display().to_string(),
            "--control-socket=off".to_owned(),
            "--host=tcp://127.0.0.1:0".to_owned(),
        ];
        options.extend(more.iter().map(|option| (*option).to_owned()));
        options
    };
    for (present, more, starting) in [
        (&[][..], &[][..], true),
        (&[], &["--san", "gate.example"], true),
        (&["ca.pem"], &[], false),
        (&["server-key.pem"], &[], false),
        (&["server-cert.pem"], &[], false),
        (&["ca-key.pem"], &[], false),
        (&["ca.pem", "server-cert.pem", "server-key.pem"], &[], true),
    ] {
        let pki = sound();
        for name in present {
            match *name {
                "ca.pem" => pki.write(name, pki.ca.pem()),
                "server-cert.pem" => pki.write(name, pki.server.pem()),
                _ => pki.write(name, pki.key.serialize_pem()),
            };
        }
        let options = options(pki.path(""), more);
        let (code, text) = check(&SOUND, &options, false);
        let started = starts(&SOUND, &options);
        assert_eq!(started.is_ok(), starting, "{present:?}: {started:?}");
        assert_eq!(code == Some(78), !starting, "{present:?}: {text}");
    }
    let pki = sound();
    pki.write("plain", "");
    let options = options(pki.path("plain/certs"), &[]);
    let (code, text) = check(&SOUND, &options, false);
    assert!(
        code == Some(78) && starts(&SOUND, &options).is_err(),
        "{text}"
    );
}
