//! What the authorization plugin is shown is what the engine will read.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use data_encoding::BASE64;
use serde_json::Value;

use testkit::{DEADLINE, OK, Wire};

/// A plugin that notes what it is asked.
pub(crate) struct DenyingPlugin {
    asked: Receiver<Value>,
    answers: Receiver<Value>,
}

/// Whether a plugin denies what it is asked about.
type Denies = fn(&Value) -> bool;

/// Where the questions about requests and about answers are noted.
type Notes = (Sender<Value>, Sender<Value>);

impl DenyingPlugin {
    pub(crate) fn listen(socket: &Path, denies: Denies) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (note, asked) = channel();
        let (note_answer, answers) = channel();
        let notes = (note, note_answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if answer(&stream, &notes, denies).is_none() {
                    break;
                }
            }
        });
        Self { asked, answers }
    }

    /// The next question about an answer.
    #[track_caller]
    pub(crate) fn answer(&self) -> Value {
        let asked = self.answers.recv_timeout(DEADLINE);
        asked.expect("a question about an answer")
    }

    /// The next question about a request.
    #[track_caller]
    pub(crate) fn question(&self) -> Value {
        self.asked.recv_timeout(DEADLINE).expect("a question")
    }
}

fn body(question: &Value) -> String {
    let encoded = question["RequestBody"].as_str().unwrap_or_default();
    String::from_utf8(BASE64.decode(encoded.as_bytes()).unwrap()).unwrap()
}

fn privileged(question: &Value) -> bool {
    body(question).contains("\"Privileged\":true")
}

fn answer(stream: &UnixStream, notes: &Notes, denies: Denies) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    let method = line.clone();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut question = vec![0; length];
    reader.read_exact(&mut question).ok()?;
    let question: Value = serde_json::from_slice(&question).unwrap_or(Value::Null);
    let allow = !denies(&question);
    let said = format!("{{\"Implements\":[\"authz\"],\"Allow\":{allow},\"Msg\":\"rules\"}}");
    let (asked, answers) = notes;
    if method.contains("AuthZReq") {
        asked.send(question).ok()?;
    } else if method.contains("AuthZRes") {
        answers.send(question).ok()?;
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
    (&*stream).write_all((head + &said).as_bytes()).ok()
}

fn start() -> (Wire, DenyingPlugin, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("rules.sock");
    let plugin = DenyingPlugin::listen(&socket, privileged);
    let wire = Wire::with(&["--workers", "1", "--authz-plugin", socket.to_str().unwrap()]);
    (wire, plugin, dir)
}

const PRIVILEGED: &str = r#"{"Image":"x","HostConfig":{"Privileged":true}}"#;
const HARMLESS: &str = r#"{"Image":"x","HostConfig":{"Privileged":false}}"#;

fn create(types: &str, body: &str) -> String {
    format!(
        "POST /v1.51/containers/create HTTP/1.1\r\nHost: docker\r\n{types}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_body_that_the_engine_reads_is_shown_whatever_its_type_says() {
    let (wire, plugin, _dir) = start();
    for types in [
        "Content-Type: application/json\r\n",
        "content-type:application/json;charset=utf-8\r\n",
        "Content-Type: APPLICATION/JSON\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-tar\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type:\r\n",
        "Content-Type: application/json; charset\r\n",
        "",
    ] {
        let mut client = wire.client();
        client.send(create(types, PRIVILEGED).as_bytes());
        assert_eq!(client.answer().status, 403, "{types}");
        assert_eq!(body(&plugin.question()), PRIVILEGED, "{types}");
        wire.engine.nothing_came();
        let allowed = create(types, HARMLESS);
        client.send(allowed.as_bytes());
        wire.engine.accept().answer(allowed.as_bytes(), OK);
        assert_eq!(client.answer().status, 200, "{types}");
        assert_eq!(body(&plugin.question()), HARMLESS, "{types}");
    }
}

#[test]
fn a_second_type_is_refused_before_anybody_is_asked() {
    let (wire, plugin, _dir) = start();
    for types in [
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
        "Content-Type: text/plain\r\ncontent-type: application/json\r\n",
        "Content-Type: application/json\r\nConnection: content-type\r\n",
        "Content-Type: application/json, text/plain\r\n",
        "Content-Type: application/json\r\n text/plain\r\n",
    ] {
        wire.client()
            .refused(create(types, PRIVILEGED).as_bytes(), 400);
        wire.engine.nothing_came();
    }
    assert!(plugin.asked.try_recv().is_err(), "the plugin was asked");
}

#[test]
fn a_login_is_never_shown_and_only_the_login_is_one() {
    let (wire, plugin, _dir) = start();
    for (target, shown) in [
        ("POST /v1.51/auth", ""),
        ("POST /%61uth", ""),
        ("PUT /v1.51/volumes/auth?version=1", "{}"),
    ] {
        let request = format!(
            "{target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let mut client = wire.client();
        client.send(request.as_bytes());
        wire.engine.accept().answer(request.as_bytes(), OK);
        assert_eq!(client.answer().status, 200);
        assert_eq!(body(&plugin.question()), shown, "{target}");
    }
}

#[test]
fn an_absolute_target_is_told_as_the_engine_gets_it() {
    let (wire, plugin, _dir) = start();
    let mut client = wire.client();
    client.send(b"GET http://docker/v1.51/info HTTP/1.1\r\nHost: other\r\n\r\n");
    wire.engine
        .accept()
        .answer(b"GET /v1.51/info HTTP/1.1\r\nHost: docker\r\n\r\n", OK);
    assert_eq!(client.answer().status, 200);
    assert_eq!(plugin.question()["RequestUri"], "/v1.51/info");
}
