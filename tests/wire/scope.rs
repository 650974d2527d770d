//! A client whose role has a scope, and an engine that does what a real one does not: it says nothing, knows no filters, or is slow.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use policy::scope::{ObjectOwner, OwnedBy, OwnerKey};
use serde_json::{Value, json};
use testkit::{DEADLINE, InProcess, TlsClient, eventually};

use crate::plugin::DenyingPlugin;

const POLICY: &str = "version = 1\n[[client]]\nname = \"team\"\nmatch = { any = true }\nrole = \"team\"\n[role.team]\nscope = \"entry\"\nallow = [\"*\"]\n[role.team.limits]\nvolumes = [\"*\"]\ntags = [\"**\"]\n";

const KEY: [u8; 32] = [7; 32];

/// An image's id, and a container's.
const IMAGE: &str = "sha256:1111";

/// What an engine sends for a request with this first line. Nothing, and the connection stays silent.
type Answers = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// A gate in front of an engine that answers each request by itself.
struct ScopedGate {
    gate: InProcess,
    _dir: tempfile::TempDir,
}

impl ScopedGate {
    fn start(
        extra: &[&str],
        answers: impl Fn(&ObjectOwner, &str) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (policy, key) = (dir.path().join("policy.toml"), dir.path().join("owner.key"));
        std::fs::write(&policy, POLICY).unwrap();
        std::fs::write(&key, OwnerKey::new(KEY).to_text()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (policy, key) = (policy.to_str().unwrap(), key.to_str().unwrap());
        let fixed = ["--workers", "1", "--policy", policy, "--owner-key", key];
        let gate = InProcess::start(&[&fixed, extra].concat());
        let _first = gate.client();
        let identity = eventually(|| {
            let entries = gate.registry.snapshot();
            let entry = entries.first().ok_or("no connection")?;
            Ok(entry.identity.clone())
        });
        let owner = ObjectOwner::of(OwnedBy::Entry, &identity, "team", &OwnerKey::new(KEY));
        let owner = owner.unwrap();
        engine(&gate.socket, Arc::new(move |line| answers(&owner, line)));
        Self { gate, _dir: dir }
    }

    fn asks(&self, line: &str) -> TlsClient {
        let mut client = self.gate.client();
        client.send(format!("{line} HTTP/1.1\r\nHost: docker\r\n\r\n"));
        client
    }

    /// What the names or ids in a list are.
    #[track_caller]
    fn listed(&self, line: &str, at: &str, key: &str) -> Vec<String> {
        let answer = self.asks(line).answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        let list = answer.json();
        let items = list.pointer(at).and_then(Value::as_array);
        let items = items.unwrap_or_else(|| panic!("{line}: {list}")).iter();
        items
            .map(|item| item[key].as_str().unwrap().to_owned())
            .collect()
    }
}

fn engine(socket: &Path, answers: Answers) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answers = answers.clone();
            std::thread::spawn(move || _ = serve(&stream, &answers));
        }
    });
}

fn serve(stream: &UnixStream, answers: &Answers) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let first = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        match answers(&first) {
            Some(answer) => (&*stream).write_all(&answer)?,
            // The gate gives it up.
            None => _ = reader.read(&mut [0])?,
        }
    }
}

fn said(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn ok(body: &Value) -> Option<Vec<u8>> {
    Some(said("200 OK", &format!("{body}\n")))
}

fn nothing() -> Option<Vec<u8>> {
    Some(said("404 Not Found", "{\"message\":\"no such thing\"}\n"))
}

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A container's labels; of others', those that it has of an image which has all labels of the owner's.
fn labels(owner: &ObjectOwner, is_own: bool) -> Value {
    let of = if is_own { IMAGE } else { "sha256:2222" };
    json!({"dockgate.owner": owner.label(), "dockgate.image": owner.of_image(of)})
}

fn container(owner: &ObjectOwner, digit: char, is_own: bool) -> Value {
    json!({"Id": id(digit), "ImageID": IMAGE, "Created": 1, "State": "exited", "Labels": labels(owner, is_own)})
}

/// An engine that knows no filters: whatever it is asked for, it tells everything.
fn unfiltered(owner: &ObjectOwner, line: &str) -> Option<Vec<u8>> {
    let path = line.split(['?', ' ']).nth(1).unwrap_or_default();
    let own = json!({"dockgate.owner": owner.label()});
    let other = json!({"dockgate.owner": "entry:other.x"});
    let network = |digit: char, name: &str, labels: &Value| json!({"Id": id(digit), "Name": name, "Labels": labels});
    let volume = |name: &str, labels: &Value| json!({"Name": name, "Labels": labels});
    match path {
        "/containers/json" => ok(&json!([
            container(owner, 'a', true),
            container(owner, 'b', false),
        ])),
        "/networks" => ok(&json!([
            network('c', "own", &own),
            network('d', "other", &other),
            network('e', "none", &Value::Null),
            network('f', "twice", &own),
            network('1', "twice", &other),
        ])),
        "/networks/twice" => Some(said(
            "400 Bad Request",
            "{\"message\":\"network twice is ambiguous\"}\n",
        )),
        path if path == format!("/networks/{}", id('f')) => ok(&network('f', "twice", &own)),
        "/volumes" => ok(&json!({"Volumes": [
            volume("own", &own),
            volume("other", &other),
            volume("nobodys", &Value::Null),
        ], "Warnings": null})),
        path if path == format!("/networks/{}", id('d')) => ok(&network('d', "other", &other)),
        path if path == format!("/networks/{}", id('c')) => ok(&network('c', "own", &own)),
        _ => nothing(),
    }
}

#[test]
fn no_list_is_passed_on_unread() {
    let scoped = ScopedGate::start(&[], unfiltered);
    for (line, at, key, wanted) in [
        ("GET /containers/json?all=1", "", "Id", vec![id('a')]),
        (
            "GET /networks",
            "",
            "Name",
            vec!["own".to_owned(), "twice".to_owned(), "none".to_owned()],
        ),
        ("GET /volumes", "/Volumes", "Name", vec!["own".to_owned()]),
    ] {
        assert_eq!(scoped.listed(line, at, key), wanted, "{line}");
    }
    // The beginning of an id means one of the owner's alone.
    let answer = scoped.asks("GET /networks/cccc").answer();
    assert_eq!(
        (answer.status, &*answer.json()["Name"].to_string()),
        (200, "\"own\"")
    );
    assert_eq!(scoped.asks("GET /networks/dddd").answer().status, 404);
}

#[test]
fn a_network_of_anothers_with_the_same_name_does_not_hide_the_owners() {
    let scoped = ScopedGate::start(&[], unfiltered);
    let answer = scoped.asks("GET /networks/twice").answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["Id"], id('f'));
}

#[test]
fn events_that_the_engine_does_not_begin_are_given_up() {
    let scoped = ScopedGate::start(&[], |_, _| None);
    let start = Instant::now();
    let answer = scoped.asks("GET /events").answer();
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(
        answer.message(),
        "dockgate: the engine could not be asked: no answer within 10 s"
    );
    assert!(start.elapsed() >= std::time::Duration::from_secs(10));
}

/// What the second removal of a prune waits for, and what tells that the first one has come.
type Gates = (Mutex<std::sync::mpsc::Receiver<()>>, Mutex<Sender<()>>);

#[test]
fn a_prune_lets_the_owners_other_requests_in_between_its_removals() {
    for kind in ["containers", "networks"] {
        let (go_on, goes_on) = channel();
        let (tell, first) = channel();
        let order: Arc<Mutex<Vec<String>>> = Arc::default();
        let removed = order.clone();
        let gates: Gates = (Mutex::new(goes_on), Mutex::new(tell));
        let scoped = ScopedGate::start(&[], move |owner, line| {
            let path = line.split(['?', ' ']).nth(1).unwrap_or_default();
            if line.starts_with("DELETE") {
                let mut order = removed.lock().unwrap();
                order.push(path.rsplit('/').next().unwrap_or_default()[..1].to_owned());
                let is_first = order.len() == 1;
                drop(order);
                if is_first {
                    gates.1.lock().unwrap().send(()).unwrap();
                    gates.0.lock().unwrap().recv_timeout(DEADLINE).unwrap();
                }
                return Some(said("204 No Content", ""));
            }
            let own = |digit: char| match kind {
                "networks" => {
                    json!({"Id": id(digit), "Name": digit.to_string(), "Labels": labels(owner, true)})
                }
                _ => container(owner, digit, true),
            };
            let inspected = json!({"Id": id('c'), "Image": IMAGE, "Name": "c", "Config": {"Labels": labels(owner, true)}, "HostConfig": {}, "Labels": labels(owner, true)});
            match path {
                _ if path.ends_with("/prune") => ok(&json!({"SpaceReclaimed": 0})),
                "/containers/json" | "/networks" => ok(&json!([own('a'), own('b')])),
                _ if path.contains(&id('c')) => ok(&inspected),
                _ => nothing(),
            }
        });
        let mut prune = scoped.asks(&format!("POST /{kind}/prune"));
        first.recv_timeout(DEADLINE).expect("the first removal");
        // It waits for the same lock before the second removal does.
        let mut other = scoped.asks(&format!("DELETE /{kind}/{}", id('c')));
        eventually(|| {
            let entries = scoped.gate.registry.snapshot();
            let busy = entries
                .iter()
                .filter(|entry| format!("{:?}", entry.activity()).contains("elete"));
            match busy.count() {
                0 => Err("the other request has not come".to_owned()),
                _ => Ok(()),
            }
        });
        go_on.send(()).unwrap();
        assert_eq!(other.answer().status, 204);
        let pruned = prune.answer();
        assert_eq!(pruned.status, 200, "{pruned:?}");
        assert_eq!(*order.lock().unwrap(), ["a", "c", "b"], "{kind}");
        let names = pruned.json();
        let names = ["ContainersDeleted", "NetworksDeleted"]
            .map(|key| names[key].as_array().map_or(0, Vec::len));
        assert_eq!(names.iter().sum::<usize>(), 2, "{kind}");
    }
}

#[test]
fn answers_that_slow_readers_hold_are_counted() {
    // Larger than what the sockets between take in.
    let list = |owner: &ObjectOwner| {
        let mut own = container(owner, 'a', true);
        own["Command"] = Value::String("x".repeat(7 << 20));
        json!([own])
    };
    let scoped = ScopedGate::start(
        &["--max-pending-bodies", "16MiB"],
        move |owner, line| match line.contains("/containers/json") {
            true => ok(&list(owner)),
            false => nothing(),
        },
    );
    let mut held = Vec::new();
    let refused = loop {
        let mut slow = scoped.gate.client();
        slow.send("GET /containers/json HTTP/1.1\r\nHost: docker\r\n\r\n");
        // Where the head has come, the rest is held for it.
        let head = slow.head();
        if !head.starts_with("HTTP/1.1 200") {
            break head;
        }
        held.push(slow);
        assert!(held.len() < 3, "16 MiB have room for two answers of 7");
    };
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("\r\nRetry-After: 1\r\n"), "{refused}");
    let ping = scoped.asks("GET /_ping").answer();
    assert_eq!(ping.status, 404, "others go on");
    // One takes its answer after all, and others go away.
    let mut slow = held.remove(0);
    assert_eq!(slow.take(7 << 20).len(), 7 << 20);
    drop(held);
    eventually(|| {
        let status = scoped.asks("GET /containers/json").answer().status;
        match status {
            200 => Ok(()),
            _ => Err(format!("{status}, what was held is still counted")),
        }
    });
}

/// Events of containers: the owner's, and one that has the owner's labels of its image.
fn told_of(owner: &ObjectOwner, line: &str) -> Option<Vec<u8>> {
    let path = line.split(['?', ' ']).nth(1).unwrap_or_default();
    let inspected = |digit: char, is_own: bool| json!({"Id": id(digit), "Image": IMAGE, "Name": "c", "Config": {"Labels": labels(owner, is_own)}});
    let event = |digit: char| {
        json!({"Type": "container", "Action": "start", "Actor": {"ID": id(digit)}}).to_string()
            + "\n"
    };
    match path {
        "/events" => {
            let mut answer = String::from(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nApi-Version: 1.45\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            for event in [event('b'), event('a'), event('b')] {
                answer += &format!("{:x}\r\n{event}\r\n", event.len());
            }
            answer += "0\r\n\r\n";
            Some(answer.into_bytes())
        }
        _ if path.contains(&id('a')) => ok(&inspected('a', true)),
        _ if path.contains(&id('b')) => ok(&inspected('b', false)),
        _ => nothing(),
    }
}

#[test]
fn a_plugin_is_asked_about_events_in_a_scope_before_any_of_them_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("rules.sock");
    let denies = |question: &Value| {
        let is_denied = question["RequestUri"]
            .as_str()
            .unwrap_or_default()
            .contains("since=7");
        is_denied
            && question
                .get("ResponseStatusCode")
                .is_some_and(|status| *status != 0)
    };
    let plugin = DenyingPlugin::listen(&socket, denies);
    let scoped = ScopedGate::start(&["--authz-plugin", socket.to_str().unwrap()], told_of);
    let mut client = scoped.asks("GET /events?until=1");
    let head = client.head();
    let end = b"0\r\n\r\n";
    let mut told = Vec::new();
    while !told.ends_with(end) {
        told.extend(client.take(1));
    }
    let told = String::from_utf8(told).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        told.contains(&id('a')) && !told.contains(&id('b')),
        "{told}"
    );
    // It is shown the client's own question, and of the answer the head: a stream has no end to wait for.
    assert_eq!(plugin.question()["RequestUri"], "/events?until=1");
    let shown = plugin.answer();
    assert_eq!(shown["RequestUri"], "/events?until=1");
    assert_eq!(shown["ResponseStatusCode"], 200);
    assert_eq!(shown["ResponseHeaders"]["Api-Version"], "1.45");
    assert!(
        shown["ResponseBody"].as_str().is_none_or(str::is_empty),
        "{shown}"
    );

    let answer = scoped.asks("GET /events?since=7").answer();
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.message().contains("rules"), "{answer:?}");
    assert_eq!(plugin.answer()["ResponseStatusCode"], 200);
    assert!(!answer.text().contains(&id('a')), "nothing of the stream");
}
