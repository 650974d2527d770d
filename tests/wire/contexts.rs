//! A build's context is judged on its way: it streams, and where it is refused the engine never has all of it.

use std::path::Path;
use std::thread::JoinHandle;

use tempfile::TempDir;
use testkit::{End, OK, PING, TlsClient, Wire};

const POLICY: &str = r#"version = 1
[[client]]
match = { any = true }
role = "builders"
[role.builders]
base = "builder"
mode = "MODE"
[role.builders.limits]
tags = []
"#;

struct ContextSite {
    wire: Wire,
    dir: TempDir,
}

fn site(mode: &str) -> ContextSite {
    let dir = tempfile::tempdir().unwrap();
    let (policy, audit) = (dir.path().join("policy.toml"), dir.path().join("audit"));
    std::fs::write(&policy, POLICY.replace("MODE", mode)).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (policy, audit) = (text(&policy), text(&audit));
    let options = ["--workers", "1", "--policy", &policy, "--audit", &audit];
    ContextSite {
        wire: Wire::with(&options),
        dir,
    }
}

impl ContextSite {
    fn audit(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit")).unwrap()
    }
}

/// An archive with a file of half a megabyte before and behind the Dockerfile.
fn context(dockerfile: &str) -> Vec<u8> {
    context_behind(512 << 10, dockerfile)
}

/// An archive with a file of this size before the Dockerfile, and one of half a megabyte behind it.
fn context_behind(before: usize, dockerfile: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let (big, behind) = ("x".repeat(before), "x".repeat(512 << 10));
    for (name, text) in [("a", &*big), ("Dockerfile", dockerfile), ("z", &*behind)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, text.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

const GOOD: &str = "FROM busybox\nADD a /a\n";
const EVIL: &str = "FROM busybox\nADD http://127.0.0.1:18081/x /x\n";

/// The request, with a length or in chunks of this size.
fn request(body: &[u8], chunk: Option<usize>) -> Vec<u8> {
    let head = "POST /v1.45/build HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\n";
    let Some(chunk) = chunk else {
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    };
    let mut out = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for part in body.chunks(chunk) {
        out.extend(format!("{:x};a=b\r\n", part.len()).into_bytes());
        out.extend(part);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\nX-Sum: 1\r\n\r\n");
    out
}

const LAYOUTS: [Option<usize>; 4] = [None, Some(700), Some(16 << 10), Some(1 << 20)];

/// What the gate may keep back when it refuses: bytes that it took and had not sent on when the refusal fell.
/// It gathers a bulk buffer at most, and the sockets' own buffers are not its own.
const KEPT_BACK: usize = 1 << 20;

#[test]
fn a_context_is_judged_while_it_goes_on_and_cut_before_its_end() {
    let site = site("enforce");
    for chunk in LAYOUTS {
        let sent = request(&context(EVIL), chunk);
        // The first part ends within the file before the Dockerfile, and arrives whole before the rest is sent.
        let (first, rest) = sent.split_at(400 << 10);
        let mut client = site.wire.client();
        client.send(first);
        let mut engine = site.wire.engine.accept();
        engine.expect(first);
        client.send(rest);
        let arrived = engine.rest();
        assert!(rest.starts_with(&arrived), "{chunk:?}: unchanged so far");
        refused_before_its_end(&mut client, &arrived, chunk);
    }
    assert!(site.audit().contains("\"rule\":\"fetch\""));
}

#[test]
fn a_context_sent_in_one_go_streams_too_and_is_cut_before_its_end() {
    let site = site("enforce");
    for chunk in LAYOUTS {
        let before = 8 * KEPT_BACK;
        let sent = request(&context_behind(before, EVIL), chunk);
        let sending = sending(&site, &sent);
        let arrived = site.wire.engine.accept().rest();
        assert!(
            arrived.len() > before - KEPT_BACK,
            "{chunk:?}: it streams: {} of {before} bytes arrived",
            arrived.len()
        );
        assert!(sent.starts_with(&arrived), "{chunk:?}: unchanged so far");
        refused_before_its_end(&mut sending.join().unwrap(), &arrived, chunk);
    }
}

/// A client of its own that sends this, while the caller reads it at the other end.
fn sending(site: &ContextSite, sent: &[u8]) -> JoinHandle<TlsClient> {
    let (mut client, sent) = (site.wire.client(), sent.to_vec());
    std::thread::spawn(move || {
        client.send(&sent);
        client
    })
}

/// All of it reaches the engine as it was sent, and the connection goes on.
fn arrives(site: &ContextSite, sent: &[u8]) {
    let sending = sending(site, sent);
    let mut engine = site.wire.engine.accept();
    engine.expect(sent);
    engine.write(OK);
    let mut client = sending.join().unwrap();
    client.expect(OK);
    client.send(PING);
    engine.answer(PING, OK);
    client.expect(OK);
}

/// The Dockerfile did not arrive, and the client reads why.
fn refused_before_its_end(client: &mut TlsClient, arrived: &[u8], chunk: Option<usize>) {
    assert!(
        !String::from_utf8_lossy(arrived).contains("18081"),
        "{chunk:?}"
    );
    let answer = client.answer();
    assert_eq!(answer.status, 403, "{chunk:?}");
    let message = answer.message();
    assert!(
        message.contains("fetch: Dockerfile:2 ADD=127.0.0.1:18081 (allowed: docker.io)"),
        "{message}"
    );
    client.expect_end(End::Clean);
}

#[test]
fn a_context_that_may_be_built_arrives_byte_for_byte() {
    let site = site("enforce");
    for chunk in LAYOUTS {
        let sent = request(&context(GOOD), chunk);
        arrives(&site, &sent);
    }
}

#[test]
fn a_small_context_that_is_refused_does_not_begin() {
    let site = site("enforce");
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(EVIL.len() as u64);
    builder
        .append_data(&mut header, "Dockerfile", EVIL.as_bytes())
        .unwrap();
    let mut client = site.wire.client();
    client.send(request(&builder.into_inner().unwrap(), None));
    assert_eq!(client.answer().status, 403);
    // All of it had come, so the connection goes on.
    client.send(PING);
    site.wire.engine.accept().answer(PING, OK);
    client.expect(OK);
}

#[test]
fn in_report_mode_a_context_goes_on_and_the_record_says_so() {
    let site = site("report");
    let sent = request(&context(EVIL), Some(16 << 10));
    arrives(&site, &sent);
    let audit = site.audit();
    let would = audit
        .lines()
        .filter(|line| line.contains("\"decision\":\"would_deny\""));
    assert!(
        would
            .clone()
            .any(|line| line.contains("\"rule\":\"fetch\"")),
        "{audit}"
    );
}
