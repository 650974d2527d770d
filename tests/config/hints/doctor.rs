//! The same for `doctor`, on a gate that runs: each row is a client that is not let in, or a server that it cannot trust.

use std::fs;
use std::process::Stdio;

use testkit::daemon::Daemon;
use testkit::process::GateProcess;
use testkit::programs::{dockgate, external, finished, said};

use super::{CertHost, NAMED};

struct Met {
    cause: &'static str,
    /// The directory of the client's files, and the address that it dials.
    client: &'static str,
    address: &'static str,
    fault: &'static str,
    /// The word of the advised command that a person fills in.
    filled: (&'static str, &'static str),
    /// What is done with what the command has made, and the client's files then.
    then: &'static str,
    client_then: &'static str,
}

const MET: &[Met] = &[
    Met {
        cause: "cp -r other/clients/eve laptop; cp certs/ca.pem laptop/",
        client: "laptop",
        address: "127.0.0.1",
        fault: "the server does not trust the CA of the client certificate",
        filled: ("NAME", "bob"),
        then: "true",
        client_then: "certs/clients/bob",
    },
    Met {
        cause: "dockgate certs revoke ada",
        client: "certs/clients/ada",
        address: "127.0.0.1",
        fault: "the server has revoked or denied the client certificate",
        filled: ("NAME", "ada"),
        then: "true",
        client_then: "certs/clients/ada",
    },
    Met {
        cause: "cp -r certs/clients/ada laptop; cp other/ca.pem laptop/",
        client: "laptop",
        address: "127.0.0.1",
        fault: "which laptop/ca.pem does not contain",
        filled: ("NAME", "ada"),
        then: "mkdir got; tar -C got -xf ada.tar",
        client_then: "got",
    },
    Met {
        cause: "cp ended/ada.pem certs/clients/ada/cert.pem",
        client: "certs/clients/ada",
        address: "127.0.0.1",
        fault: "expired on 2021-01-01",
        filled: ("", ""),
        then: "true",
        client_then: "certs/clients/ada",
    },
    Met {
        cause: "cp ended/server.pem certs/server-cert.pem",
        client: "certs/clients/ada",
        address: "127.0.0.1",
        fault: "or its CA expired",
        filled: ("", ""),
        then: "true",
        client_then: "certs/clients/ada",
    },
    Met {
        cause: "true",
        client: "certs/clients/ada",
        address: "127.0.0.2",
        fault: "is valid for only DNS:localhost",
        filled: ("", ""),
        then: "true",
        client_then: "certs/clients/ada",
    },
];

/// What `doctor` says of a gate that is started for it, as one line.
fn told(host: &CertHost, address: &str, client: &str) -> String {
    let socket = host.path("docker.sock");
    let _ = fs::remove_file(&socket);
    let _engine = Daemon::start(&socket);
    let mut serve = dockgate();
    serve
        .args(["serve", "--log-format=json", "--control-socket=off"])
        .args(NAMED.split(' '))
        .arg(format!("--upstream=unix://{}", socket.display()))
        .arg(format!("--host=tcp://{address}:0"))
        .current_dir(host.dir.path())
        .stdout(Stdio::null());
    let gate = GateProcess::spawn(&mut serve);
    let mut doctor = dockgate();
    doctor
        .args(["doctor", &format!("tcp://{}", gate.addr)])
        .arg(format!("--tlscacert={client}/ca.pem"))
        .arg(format!("--tlscert={client}/cert.pem"))
        .arg(format!("--tlskey={client}/key.pem"))
        .current_dir(host.dir.path());
    let output = finished(doctor.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let text = said(&output);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_command_that_doctor_advises_lets_the_client_in() {
    if external("tar", &["--version"]).is_none() {
        return;
    }
    let first = CertHost::new();
    for case in MET {
        let host = first.copied();
        let run = |line: &str| {
            let (done, text) = host.shell(line);
            assert!(done, "`{line}` after {}: {text}", case.fault);
        };
        run(case.cause);
        let before = told(&host, case.address, case.client);
        assert!(before.contains(case.fault), "{}: {before}", case.fault);
        let (_, hint) = before.split_once("hint: ").expect("advice");
        let command = hint.split('`').nth(1).expect("a command");
        run(&match case.filled {
            ("", _) => command.to_owned(),
            (word, by) => command.replace(word, by),
        });
        run(case.then);
        let after = told(&host, case.address, case.client_then);
        // The scripted engine answers a ping, and no more.
        let is_in = after.contains(" tls ok ") && after.contains("answers a ping with 200");
        assert!(is_in, "after `{command}`: {after}");
    }
}
