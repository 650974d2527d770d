//! `dockgate doctor`: each cause is made, and told from the others.

mod certificates;
mod context;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use dockgate::cli::{DoctorArgs, ServeArgs};
use dockgate::command::doctor;
use dockgate::command::output::Output;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SerialNumber};

use crate::pki::{DoctorPki, lasting};
use crate::server::{CLIENT_SERIAL, EngineServer, PING, TLS12, plain};

/// Client files from `pki`'s CA, trusting `pki`'s server.
fn client(pki: &DoctorPki, change: impl FnOnce(&mut CertificateParams)) -> ServeArgs {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "ci");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(CLIENT_SERIAL));
    lasting(&mut params, 0, 90);
    change(&mut params);
    pki.write("cert.pem", params.signed_by(&key, &pki.ca).unwrap().pem());
    pki.write("key.pem", key.serialize_pem());
    let path = |name: &str| pki.path(name).display().to_string();
    ServeArgs::default()
        .with("tlscacert", path("ca.pem"))
        .with("tlscert", path("cert.pem"))
        .with("tlskey", path("key.pem"))
}

fn doctor(target: Option<&str>, serve: ServeArgs, json: bool) -> (u8, String) {
    let args = DoctorArgs {
        target: target.map(str::to_owned),
        json,
        timeout: "2s".into(),
        serve,
    };
    let mut out = Vec::new();
    let mut err = Vec::new();
    let end = doctor::run(
        &args,
        Vec::<(OsString, OsString)>::new(),
        &mut Output::to(&mut out, &mut err),
    );
    let code = match end {
        Ok(exit) => exit,
        Err(failure) => {
            Output::to(&mut out, &mut err).fail(&failure);
            failure.exit
        }
    };
    out.extend(err);
    (code.code(), String::from_utf8(out).unwrap())
}

/// The last line that is no hint must be the failure, with these words; a hint must follow.
#[track_caller]
fn fails(target: &str, serve: ServeArgs, step: &str, words: &str, hint: &str) {
    let (code, text) = doctor(Some(target), serve, false);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, 1, "{text}");
    let at = text
        .find(&format!("{step} error "))
        .unwrap_or_else(|| panic!("{step} has not failed: {text}"));
    let failure = &text[at..];
    assert!(failure.contains(words), "{words}: {failure}");
    assert!(
        failure.contains(&format!("hint: {hint}")),
        "{hint}: {failure}"
    );
}

#[test]
fn a_healthy_gate_is_walked_to_the_end() {
    let pki = DoctorPki::new();
    for versions in [rustls::ALL_VERSIONS, TLS12] {
        let url = EngineServer {
            versions,
            ..EngineServer::default()
        }
        .start(&pki, &pki);
        let (code, text) = doctor(Some(&url), client(&pki, |_| {}), false);
        assert_eq!(code, 0, "{text}");
        let steps: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(
            steps,
            ["files", "name", "tcp", "tls", "api", "hijack"],
            "{text}"
        );
        assert!(
            text.contains("a hijacked connection carries bytes both ways"),
            "{text}"
        );
    }
    let url = EngineServer::default().start(&pki, &pki);
    let (code, text) = doctor(Some(&url), client(&pki, |_| {}), true);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (
            code,
            &value["healthy"],
            value["steps"].as_array().unwrap().len()
        ),
        (0, &true.into(), 6),
        "{text}"
    );
}

#[test]
fn what_is_no_tls_server_is_told_apart() {
    let pki = DoctorPki::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let me = || client(&pki, |_| {});
    fails(
        &format!("tcp://127.0.0.1:{closed}"),
        me(),
        "tcp",
        "refuses connections: nothing listens",
        "start the gate there",
    );
    fails(
        &plain(PING),
        me(),
        "tls",
        "is a Docker Engine without TLS: anybody who reaches it is root",
        "take its tcp host out",
    );
    fails(
        &plain("HTTP/1.1 400 Bad Request\r\n\r\n"),
        me(),
        "tls",
        "is a plain HTTP server, not TLS",
        "is the port right?",
    );
    fails(
        &plain("220 mail.example ESMTP\r\n"),
        me(),
        "tls",
        "does not speak TLS",
        "is the port right?",
    );
    fails(
        &plain(""),
        me(),
        "tls",
        "closes the connection in the handshake",
        "its log says why",
    );
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    fails(
        &url,
        me(),
        "tls",
        "accepts connections, but does not answer within 2s",
        "is it a TLS server?",
    );
    fails(
        "tcp://no-such-name.invalid:1",
        me(),
        "name",
        "cannot be looked up",
        "is it spelt right?",
    );
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn what_the_gate_says_is_passed_on() {
    let pki = DoctorPki::new();
    let json = |status: &str, message: &str| {
        let body = format!("{{\"message\":\"{message}\"}}");
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let me = || client(&pki, |_| {});
    let url = EngineServer {
        ping: json("502 Bad Gateway", "dockgate: nobody listens"),
        ..EngineServer::default()
    }
    .start(&pki, &pki);
    fails(
        &url,
        me(),
        "api",
        "the gate cannot reach its engine: dockgate: nobody listens",
        "on that host: `dockgate doctor`",
    );
    let url = EngineServer {
        ping: "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
        ..EngineServer::default()
    }
    .start(&pki, &pki);
    fails(
        &url,
        me(),
        "api",
        "an HTTPS server, but no Docker Engine: it answers a ping with 404",
        "is the port right?",
    );
    let url = EngineServer {
        upgrade: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ..EngineServer::default()
    }
    .start(&pki, &pki);
    fails(
        &url,
        me(),
        "hijack",
        "a connection is not hijacked: the answer is 200",
        "docker exec, attach and build need it",
    );
    let ping = json(
        "403 Forbidden",
        "dockgate: client ci may not perform system.ping",
    );
    let url = EngineServer {
        ping,
        ..EngineServer::default()
    }
    .start(&pki, &pki);
    let (code, text) = doctor(Some(&url), me(), false);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("the policy refuses a ping: dockgate: client ci may not perform system.ping")
            && text.contains("allow system.ping and system.ping-head"),
        "{text}"
    );
    let ping = PING.replace("Api-", "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nApi-");
    let (code, text) = doctor(
        Some(
            &EngineServer {
                ping,
                ..EngineServer::default()
            }
            .start(&pki, &pki),
        ),
        me(),
        false,
    );
    assert!(
        code == 0 && text.contains("the clocks differ by "),
        "{text}"
    );
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn the_host_is_walked_from_the_socket_on() {
    let pki = DoctorPki::new();
    let host = |upstream: PathBuf| {
        let path = |name: &str| pki.path(name).display().to_string();
        let serve = ServeArgs::default()
            .with("hosts", "tcp://127.0.0.1:0")
            .with("upstream", format!("unix://{}", upstream.display()))
            .with("tlscacert", path("ca.pem"))
            .with("tlscert", path("server-cert.pem"))
            .with("tlskey", path("server-key.pem"));
        doctor(None, serve, false)
    };
    let socket = pki.path("engine.sock");
    let (code, text) = host(socket.clone());
    assert!(
        code == 1
            && text.contains("does not exist")
            && text.contains("hint: is the engine running"),
        "{text}"
    );
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(PING.as_bytes());
        }
    });
    let (code, text) = host(socket.clone());
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains(
            "no policy: every certificate of the CA has full access, and no request is denied"
        ),
        "{text}"
    );
    let mut steps: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    steps.dedup();
    assert_eq!(
        steps,
        [
            "configuration",
            "socket",
            "clock",
            "certificates",
            "policy",
            "listening",
            "cage"
        ],
        "{text}"
    );
    pki.write(
        "server-key.pem",
        KeyPair::generate().unwrap().serialize_pem(),
    );
    let (code, text) = host(socket);
    assert!(
        code == 1
            && text.contains("certificates   error    server key file")
            && !text.contains("listening"),
        "{text}"
    );
}

#[test]
fn a_target_that_is_none_is_a_usage_error() {
    assert_eq!(
        doctor(Some("tcp://host:port"), ServeArgs::default(), false),
        (
            2,
            "dockgate: \"tcp://host:port\": expected tcp://HOST:PORT\n".into()
        )
    );
}
