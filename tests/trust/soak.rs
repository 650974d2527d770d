//! Two hundred reloads and more under load, without one failed request or one cut stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use testkit::DEADLINE;
use testkit::gate::Files;

/// Reloads at least; a machine on which the load is slower gets more.
const RELOADS: usize = 200;

/// Requests that each kind of load must have made at least, or it was none.
const AT_LEAST: u64 = 200;

/// Ends the load also when an assertion fails.
struct StopLoad<'a>(&'a AtomicBool);

impl Drop for StopLoad<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn two_hundred_reloads_under_load_fail_no_request_and_cut_no_stream() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    setup.pki.certs(&["crl"]);
    // Two generations of everything, so that each reload changes something.
    let key = setup.pki.text("server-key.pem");
    let old = setup.pki.text("server-cert.pem");
    setup.pki.certs(&["renew", "server"]);
    let new = setup.pki.text("server-cert.pem");
    assert_ne!(old, new);
    assert_eq!(
        key,
        setup.pki.text("server-key.pem"),
        "renewal keeps the key"
    );
    let until = time::OffsetDateTime::now_utc() + time::Duration::days(60);
    let lists = [1, 2].map(|n| setup.pki.list(n, &[], until).pem().expect("PEM"));
    let gate = setup.start("tlscrl = [\"ca/crl.pem\"]\n");
    let (stop, kept, fresh, events) = (
        AtomicBool::new(false),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
    );
    let mut session = gate.connect(&bob).hijacked();
    let mark = gate.mark();
    let mut reloads = 0;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = gate.connect(&bob);
                while !stop.load(Relaxed) {
                    client.ping();
                    kept.fetch_add(1, Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                gate.connect(&bob).ping();
                fresh.fetch_add(1, Relaxed);
            }
        });
        scope.spawn(|| {
            let mut stream = gate.connect(&bob).events();
            while !stop.load(Relaxed) {
                let wanted = events.fetch_add(1, Relaxed);
                assert_eq!(stream.event().expect("an uncut stream"), wanted);
            }
        });
        // A panic of a load thread makes the scope panic at its end.
        let _stop = StopLoad(&stop);
        let mut deadline = None;
        loop {
            gate.put(
                "live/server-cert.pem",
                if reloads % 2 == 0 { &new } else { &old },
            );
            gate.put("ca/crl.pem", &lists[reloads % 2]);
            gate.reload();
            session.echo("through every reload");
            reloads += 1;
            if reloads < RELOADS {
                continue;
            }
            let counts = [&kept, &fresh, &events].map(|count| count.load(Relaxed));
            if counts.iter().all(|count| *count >= AT_LEAST) {
                break;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + DEADLINE);
            let what = "kept-alive, fresh, events";
            assert!(Instant::now() < deadline, "{what}: only {counts:?}");
        }
    });
    let reloaded = gate.lines(mark, |line| line["message"] == "Reloaded");
    assert_eq!(reloaded.len(), reloads);
    assert!(
        reloaded.iter().all(|line| line["cut"] == 0),
        "{reloaded:#?}"
    );
    let bad = gate.lines(mark, |line| {
        line["level"] == "error" || line["message"] == "Connection cut"
    });
    assert!(bad.is_empty(), "{bad:#?}");
}
