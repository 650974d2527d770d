//! After a burst the gate gives its memory back: an idle one is within 1.5 times of what it was.

use std::time::{Duration, Instant};

use testkit::{Alone, DEADLINE, Engine, OK, PING, TlsClient};

/// Connections of one burst.
const CLIENTS: usize = 150;

/// A request whose head has nearly a MiB.
fn large_request() -> Vec<u8> {
    let mut head = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n".to_vec();
    for line in 0..256 {
        head.extend_from_slice(format!("X-{line}: {}\r\n", "a".repeat(4000)).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A body that many small pieces of memory are taken for.
fn create_with_many_labels() -> Vec<u8> {
    let labels: Vec<_> = (0..20_000)
        .map(|n| format!("\"label-{n}\":\"{n}\""))
        .collect();
    let body = format!(
        "{{\"Image\":\"alpine\",\"Labels\":{{{}}}}}",
        labels.join(",")
    );
    let head = format!(
        "POST /containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// Runs the burst on a gate that has served before, and waits until the gate is nearly as small as it was.
#[track_caller]
fn gives_back(options: &[&str], burst: impl FnOnce(&Alone, &Engine)) {
    // A loaded machine may need a while for so many clients.
    let gate = Alone::start(&[options, &["--head-timeout", "5m"]].concat());
    let engine = Engine::listen(&gate.socket);
    served(&gate, &engine);
    let before = gate.memory("VmRSS");
    burst(&gate, &engine);
    let peak = gate.memory("VmHWM");
    assert!(
        peak > before + before / 2,
        "not a burst: {peak} KiB of {before}"
    );
    // The allocator's own thread wakes up for it, and no event tells of that.
    let deadline = Instant::now() + 2 * DEADLINE;
    loop {
        let now = gate.memory("VmRSS");
        if now * 2 <= before * 3 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{now} KiB are left of {peak}, before it were {before}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // And it serves as before.
    served(&gate, &engine);
}

#[track_caller]
fn served(gate: &Alone, engine: &Engine) {
    let mut client = gate.client();
    client.send(PING);
    let mut conn = engine.accept();
    conn.expect(PING);
    conn.write(OK);
    client.expect(OK);
}

fn clients(gate: &Alone, count: usize) -> Vec<TlsClient> {
    (0..count).map(|_| gate.client()).collect()
}

#[test]
fn heads_of_a_mib_that_were_never_finished() {
    gives_back(&[], |gate, _| {
        let request = large_request();
        let mut clients = clients(gate, CLIENTS);
        for client in &mut clients {
            client.send(&request[..request.len() - 2]);
        }
        // All of them are held by now: each client's bytes were taken before the last one's.
        testkit::eventually(|| match gate.memory("VmRSS") {
            kib if kib > 100 * 1024 => Ok(()),
            kib => Err(format!("{kib} KiB")),
        });
    });
}

#[test]
fn heads_of_a_mib_that_were_forwarded() {
    gives_back(&[], |gate, engine| {
        let request = large_request();
        let mut clients = clients(gate, CLIENTS);
        for client in &mut clients {
            client.send(&request[..request.len() - 2]);
        }
        for client in &mut clients {
            client.send(b"\r\n");
            let mut conn = engine.accept();
            conn.head();
            conn.write(OK);
            client.expect(OK);
        }
    });
}

#[test]
fn bodies_of_many_members_that_were_judged() {
    let policy = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"team\"\n[role.team]\nbase = \"deployer\"\n";
    std::fs::write(policy.path(), text).expect("write the policy");
    let path = policy.path().to_str().expect("a path");
    gives_back(&["--policy", path], |gate, engine| {
        let request = create_with_many_labels();
        let mut held = Vec::new();
        for mut client in clients(gate, 40) {
            client.send(&request);
            let mut conn = engine.accept();
            conn.head();
            held.push((client, conn));
        }
    });
}

#[test]
fn connections_that_were_many() {
    gives_back(&[], |gate, engine| {
        let mut held = Vec::new();
        for mut client in clients(gate, 2500) {
            client.send(PING);
            let mut conn = engine.accept();
            conn.expect(PING);
            conn.write(OK);
            client.expect(OK);
            held.push((client, conn));
        }
    });
}
