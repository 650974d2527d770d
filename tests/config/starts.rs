//! A start that goes wrong: one fault is one message, which names the file or option and what was expected.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use testkit::pki::Pki;
use testkit::programs::{dockgate, finished};

/// The fault and the advice, each once, from what a start has said.
fn faults(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(line) {
            let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(word("level"), "error", "{text}");
            found.push((word("error"), word("hint")));
        } else if let Some(hint) = line.strip_prefix("hint: ") {
            let (_, last) = found.last_mut().expect("a fault before its advice");
            assert!(last.is_empty(), "two pieces of advice: {text}");
            hint.clone_into(last);
        } else if let Some(fault) = line.strip_prefix("dockgate: ") {
            found.push((fault.to_owned(), String::new()));
        } else {
            panic!("neither a fault nor advice: {line:?} in {text}");
        }
    }
    found
}

/// A directory with good files beside all that may be named in their place.
fn files(dir: &Path) {
    Pki::create(dir);
    Pki::create(&made(dir, "other"));
    made(dir, "adir");
    made(dir, "begun");
    fs::copy(dir.join("server-key.pem"), dir.join("begun/server-key.pem")).unwrap();
    for (name, text) in [
        ("empty", ""),
        ("bad.toml", "a = = b\n"),
        ("unknown.toml", "hots = [\"tcp://:1\"]\n"),
        ("twice.toml", "tlsverify = true\ntlsverify = true\n"),
        ("type.toml", "hosts = 5\n"),
        ("bad.json", "{"),
        ("policy-syntax.toml", "version == 1\n"),
        (
            "policy-two.toml",
            "version = 1\n[[client]]\nmatch = { cn = [\"a\"] }\nrole = \"nobodyy\"\n[role.x]\nbase = \"cii\"\n",
        ),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
}

fn made(dir: &Path, name: &str) -> std::path::PathBuf {
    let dir = dir.join(name);
    fs::create_dir(&dir).unwrap();
    dir
}

/// The options, with each word of the first column in its place.
const STARTS: &[(&str, &[(&str, &str)])] = &[
    // What is given instead of the good; then each fault with its advice.
    (
        "--tlscacert=nope.pem",
        &[(
            "client CA file \"nope.pem\" cannot be read: No such file",
            "`dockgate certs init`",
        )],
    ),
    (
        "--tlscacert=adir",
        &[(
            "client CA file \"adir\" is a directory",
            "source of a bind mount is missing",
        )],
    ),
    (
        "--tlscacert=empty",
        &[(
            "client CA file \"empty\" is empty",
            "`dockgate certs init --force`",
        )],
    ),
    (
        "--tlscert=server-key.pem",
        &[(
            "\"server-key.pem\" is a private key where a certificate was expected",
            "swapped?",
        )],
    ),
    (
        "--tlskey=other/server-key.pem",
        &[(
            "\"other/server-key.pem\" does not belong to the certificate in \"server-cert.pem\"",
            "`dockgate certs renew server --new-key`",
        )],
    ),
    (
        "--tlscrl=nope.pem",
        &[(
            "CRL file \"nope.pem\" cannot be read",
            "`dockgate certs crl`",
        )],
    ),
    (
        "--tlscrl=empty",
        &[(
            "CRL file \"empty\" is empty",
            "move it away; `dockgate certs crl`",
        )],
    ),
    (
        "--tlscrl=ca.pem",
        &[(
            "is a certificate where a certificate revocation list was expected",
            "",
        )],
    ),
    (
        "--config-file=nope.toml",
        &[(
            "--config-file \"nope.toml\": cannot read it",
            "`ls .` shows what is there",
        )],
    ),
    (
        "--config-file=no/dir/x.toml",
        &[(
            "--config-file \"no/dir/x.toml\": cannot read it",
            "there is no directory no/dir",
        )],
    ),
    (
        "--config-file=adir",
        &[(
            "--config-file \"adir\": cannot read it",
            "source of a bind mount is missing",
        )],
    ),
    (
        "--config-file=bad.toml",
        &[("bad.toml:1: not valid TOML", "")],
    ),
    (
        "--config-file=unknown.toml",
        &[(
            "unknown.toml:1: unknown key \"hots\"",
            "did you mean \"hosts\"?",
        )],
    ),
    (
        "--config-file=twice.toml",
        &[("twice.toml:2: not valid TOML: duplicate key", "")],
    ),
    (
        "--config-file=type.toml",
        &[("type.toml:1: hosts is the integer 5; expected a list", "")],
    ),
    (
        "--from-daemon-json=bad.json",
        &[("bad.json: not valid JSON", "")],
    ),
    (
        "--policy=nope.toml",
        &[(
            "policy file \"nope.toml\" cannot be read",
            "`ls .` shows what is there",
        )],
    ),
    (
        "--policy=adir",
        &[(
            "policy file \"adir\" cannot be read",
            "source of a bind mount is missing",
        )],
    ),
    (
        "--policy=empty",
        &[(
            "empty:1: nothing is in it, expected `version = 1` and `[[client]]` entries",
            "",
        )],
    ),
    (
        "--policy=policy-syntax.toml",
        &[("policy-syntax.toml:1: ", "")],
    ),
    (
        "--policy=policy-two.toml",
        &[
            ("policy-two.toml:4: role \"nobodyy\" does not exist", ""),
            (
                "policy-two.toml:6: base: \"cii\" is not a built-in role",
                "did you mean \"ci\"?",
            ),
        ],
    ),
    (
        "--audit=no/dir/x",
        &[(
            "cannot open the audit file \"no/dir/x\"",
            "`mkdir -p no/dir`",
        )],
    ),
    (
        "--audit=adir",
        &[("cannot open the audit file \"adir\"", "name a file in it")],
    ),
    (
        "--owner-key=no/dir/x",
        &[(
            "owner key file: cannot create \"no/dir/x\"",
            "`mkdir -p no/dir`",
        )],
    ),
    (
        "--control-socket=empty/x",
        &[(
            "cannot make the control socket empty/x",
            "expected directories",
        )],
    ),
    (
        "--host=127.0.0.1",
        &[(
            "--host \"127.0.0.1\": expected tcp://ADDRESS:PORT",
            "write \"tcp://127.0.0.1\"",
        )],
    ),
    (
        "--host=unix:///x",
        &[(
            "--host \"unix:///x\": dockgate listens on tcp only",
            "--upstream unix:///PATH",
        )],
    ),
    (
        "--upstream=tcp://192.0.2.1:2375",
        &[(
            "--upstream \"tcp://192.0.2.1:2375\": expected the engine's socket as unix:///PATH",
            "name its socket",
        )],
    ),
    (
        "--handshake-timeout=0",
        &[(
            "--handshake-timeout \"0\": expected a time with its unit",
            "",
        )],
    ),
    (
        "--handshake-timeout=7",
        &[(
            "--handshake-timeout \"7\": expected a time with its unit",
            "write \"7s\" for seconds",
        )],
    ),
    (
        "--max-connections -1",
        &[("--max-connections \"-1\": expected a whole number", "")],
    ),
    (
        "--metrics=hello",
        &[(
            "--metrics \"hello\": expected ADDRESS:PORT",
            "write \"127.0.0.1:9323\"",
        )],
    ),
    (
        "--log-level=loud",
        &[(
            "--log-level \"loud\": expected trace, debug, info, warn or error",
            "",
        )],
    ),
    (
        "--deny-serial=zz",
        &[(
            "--deny-serial \"zz\": expected a serial number",
            "`dockgate certs show FILE`",
        )],
    ),
    (
        "--tlsverify=false",
        &[(
            "tlsverify is false; dockgate always verifies clients",
            "`dockgate certs client NAME`",
        )],
    ),
    (
        "--san=x.example",
        &[(
            "sans is set without auto-certs",
            "`dockgate certs server --san NAME`",
        )],
    ),
    (
        "--auto-certs=made",
        &[(
            "auto-certs and tlscacert are both set",
            "keep one of the two",
        )],
    ),
    (
        "--enroll=tcp://:1",
        &[(
            "enroll is set without auto-certs",
            "`dockgate signer --dir DIR`",
        )],
    ),
    (
        "--user=no-such-user",
        &[(
            "there is no user \"no-such-user\"",
            "`useradd --system no-such-user`",
        )],
    ),
];

/// Starts with these options; they must be refused before anything is served.
fn start(dir: &Path, format: &str, options: &[&str]) -> Vec<(String, String)> {
    let mut command = dockgate();
    command.arg("serve").arg(format!("--log-format={format}"));
    command.args(options).current_dir(dir);
    let output = finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{options:?}: {text}");
    assert!(output.stdout.is_empty(), "{options:?} has served: {text}");
    faults(&text)
}

#[test]
fn each_wrong_start_is_said_once_with_what_it_is_about() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let good = [
        "--tlscacert=ca.pem",
        "--tlscert=server-cert.pem",
        "--tlskey=server-key.pem",
        "--host=tcp://127.0.0.1:0",
        "--upstream=unix:///nowhere/docker.sock",
        "--control-socket=off",
    ];
    for (given, expected) in STARTS {
        let words: Vec<&str> = given.split(' ').collect();
        let option = words[0].split('=').next().expect("an option");
        let kept = good
            .iter()
            .filter(|word| word.split('=').next() != Some(option));
        let options: Vec<&str> = kept.copied().chain(words.iter().copied()).collect();
        for format in ["text", "json"] {
            let found = start(dir.path(), format, &options);
            let fits = found.len() == expected.len()
                && found
                    .iter()
                    .zip(*expected)
                    .all(|((fault, hint), (words, advice))| {
                        fault.contains(words)
                            && hint.contains(advice)
                            && hint.is_empty() == advice.is_empty()
                    });
            assert!(
                fits,
                "{given} with {format}: {found:#?}\nexpected {expected:#?}"
            );
        }
    }
}

#[test]
fn a_port_that_is_taken_is_said_once_with_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listening = format!("--host=tcp://{address}");
    let free = "--host=tcp://127.0.0.1:0".to_owned();
    for (host, metrics, what) in [
        (
            &listening,
            "off".to_owned(),
            format!("cannot listen on tcp://{address}: Address already in use"),
        ),
        (
            &free,
            address.to_string(),
            format!("cannot listen on {address} for metrics: Address already in use"),
        ),
    ] {
        for format in ["text", "json"] {
            let options = [
                "--tlscacert=ca.pem",
                "--tlscert=server-cert.pem",
                "--tlskey=server-key.pem",
                "--upstream=unix:///nowhere/docker.sock",
                "--control-socket=off",
                host,
                &format!("--metrics={metrics}"),
            ];
            let found = start(dir.path(), format, &options);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0.starts_with(&what), "{found:?}");
            assert!(
                found[0]
                    .1
                    .starts_with(&format!("port {} is in use", address.port())),
                "{found:?}"
            );
        }
    }
}

#[test]
fn a_directory_with_some_of_the_files_is_named_in_place_of_every_place_that_is_searched() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("certs")).unwrap();
    let pki = tempfile::tempdir().unwrap();
    Pki::create(pki.path());
    for (names, expected, advice) in [
        (
            &["ca.pem", "server-key.pem"][..],
            "certs has ca.pem and server-key.pem, and lacks server-cert.pem",
            "`dockgate certs server --force --dir certs`",
        ),
        (
            &["server-cert.pem", "server-key.pem"],
            "certs has server-cert.pem and server-key.pem, and lacks ca.pem",
            "put ca.pem there",
        ),
    ] {
        for name in ["ca.pem", "server-cert.pem", "server-key.pem"] {
            let place = dir.path().join("certs").join(name);
            match names.contains(&name) {
                true => _ = fs::copy(pki.path().join(name), place).unwrap(),
                false => _ = fs::remove_file(place),
            }
        }
        let found = start(
            dir.path(),
            "text",
            &["--upstream=unix:///nowhere/docker.sock"],
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].0.contains(expected) && found[0].1.contains(advice),
            "{found:?}"
        );
    }
}
