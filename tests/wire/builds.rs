//! Builds judged call by call: a gRPC client on one side, a scripted engine on the other.

pub(crate) mod support;

use std::io::Write;

use buildkit::append::map_entry;
use support::{
    Arrived, Bridge, Calls, HISTORY, PING, READ, SOLVE, STATUS, SWITCHED, TRACE, UPGRADE, empty,
    framed, head, message, run, solve, text,
};
use testkit::TlsClient;
use testkit::gate::client_of;

#[test]
fn a_judged_call_goes_on_with_the_rules_and_a_refusal_is_a_grpc_status() {
    run(async {
        let bridge = Bridge::start("", empty);
        let calls = bridge.client("one").await;
        let asked = solve("ref", "ci/app");
        calls.call(SOLVE, &asked).await.passed();
        let refused = calls.call(SOLVE, &solve("ref2", "other/app")).await;
        refused.refused("dockgate: denied: client any, role maker: tags: ");
        assert!(refused.body.is_empty(), "trailers only");
        // The connection goes on.
        calls.call(SOLVE, &asked).await.passed();
        let arrived = bridge.arrived();
        assert_eq!(arrived.len(), 2, "{arrived:?}");
        let sent = &arrived[0].body[5..];
        assert!(
            sent.starts_with(&asked),
            "nothing of the client's is written again"
        );
        let rules = String::from_utf8_lossy(&sent[asked.len()..]);
        for part in [
            "^docker-image://docker",
            "BUILDKIT_CACHE_MOUNT_NS",
            "dockgate-",
        ] {
            assert!(rules.contains(part), "{part} in {rules}");
        }
    });
}

#[test]
fn a_call_that_is_not_listed_goes_nowhere() {
    run(async {
        let bridge = Bridge::start("", empty);
        let calls = bridge.client("one").await;
        for path in [
            "/moby.buildkit.v1.Control/Later",
            "/moby.buildkit.v1.Control/Prune?x=1",
            "/moby.buildkit.v1.Control/%50rune",
            "/moby.buildkit.v1.Control/Info/",
            "/containerd.services.content.v1.Content/Write",
            "/containerd.services.content.v1.Content/List",
            "/containerd.services.leases.v1.Leases/List",
            "/",
        ] {
            calls.call(path, b"").await.refused("call: ");
        }
        for (path, rule) in [
            ("/moby.buildkit.v1.Control/Prune", "prune: "),
            ("/moby.buildkit.v1.Control/DiskUsage", "usage: "),
            ("/moby.buildkit.v1.Control/Session", "owner: "),
            (
                "/moby.buildkit.v1.frontend.LLBBridge/NewContainer",
                "debug: ",
            ),
            (
                "/moby.buildkit.v1.frontend.LLBBridge/ExecProcess",
                "debug: ",
            ),
            (
                "/moby.buildkit.v1.frontend.LLBBridge/ReadFileContainer",
                "debug: ",
            ),
        ] {
            calls.call(path, b"").await.refused(rule);
        }
        let json = head(
            "/moby.buildkit.v1.Control/Info",
            &[("content-type", "application/grpc+json")],
        );
        calls.raw(json, &framed(b"")).await.refused("content type");
        assert!(bridge.arrived().is_empty());
        calls
            .call("/moby.buildkit.v1.Control/Info", b"")
            .await
            .passed();
    });
}

#[test]
fn only_known_fields_go_on() {
    run(async {
        let bridge = Bridge::start("", empty);
        let calls = bridge.client("one").await;
        let fields = [
            ("authorization", "x"),
            ("traceparent", "t"),
            ("grpc-timeout", "5S"),
            ("te", "trailers"),
        ];
        calls
            .raw(
                head("/moby.buildkit.v1.Control/Info", &fields),
                &framed(b""),
            )
            .await
            .passed();
        let arrived = bridge.arrived();
        let fields = &arrived[0].fields;
        assert_eq!(fields.get("traceparent").expect("it goes on"), "t");
        assert_eq!(fields.get("grpc-timeout").expect("it goes on"), "5S");
        assert_eq!(
            fields.get("user-agent").expect("the gate's own"),
            "dockgate"
        );
        assert!(fields.get("authorization").is_none());
    });
}

#[test]
fn streams_pass_with_flow_control_and_trailers() {
    fn large(_: &Arrived) -> (Vec<u8>, &'static [(&'static str, &'static str)]) {
        (
            framed(&testkit::pattern(3 << 20)),
            &[("grpc-status", "0"), ("x-more", "yes")],
        )
    }
    run(async {
        let bridge = Bridge::start("", large);
        let calls = bridge.client("one").await;
        let sent = testkit::pattern(5 << 20);
        let came = calls.call(TRACE, &sent).await;
        came.passed();
        assert_eq!(came.body, framed(&testkit::pattern(3 << 20)));
        assert_eq!(came.trailers.get("x-more").expect("a trailer"), "yes");
        assert_eq!(bridge.arrived()[0].body, framed(&sent));
    });
}

#[test]
fn a_build_belongs_to_the_client_that_began_it() {
    run(async {
        let bridge = Bridge::start("", empty);
        let (one, other) = (bridge.client("one").await, bridge.client("other").await);
        // Status may come before the Solve that begins the build.
        let watched = text(1, "ref");
        let asked = solve("ref", "ci/app");
        let (status, begun) = tokio::join!(one.call(STATUS, &watched), one.call(SOLVE, &asked));
        status.passed();
        begun.passed();
        other.call(STATUS, &watched).await.refused("owner: ");
        other.call(SOLVE, &asked).await.refused("owner: ");
        other.within("ref", PING, b"").await.refused("owner: ");
        one.within("ref", PING, b"").await.passed();
        let twice = head(
            PING,
            &[
                ("buildkit-controlapi-buildid", "ref"),
                ("buildkit-controlapi-buildid", "ref"),
            ],
        );
        one.raw(twice, &framed(b"")).await.refused("owner: ");
        let update = "/moby.buildkit.v1.Control/UpdateBuildHistory";
        let delete = [&watched[..], &[3 << 3, 1]].concat();
        other.call(update, &delete).await.refused("history: ");
        one.call(update, &delete).await.passed();
    });
}

#[test]
fn a_session_belongs_to_the_client_that_opened_it_and_keeps_its_files_apart() {
    let open = |name: &str, id: &str| {
        let (bridge, config) = (Bridge::start("", empty), client_of(name, 7));
        let mut client = TlsClient::connect(bridge.gate.addr, config).expect("a connection");
        client.send(format!("POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: {id}\r\nX-Docker-Expose-Session-Sharedkey: key\r\n\r\n"));
        let mut engine = bridge.engine.accept();
        String::from_utf8(engine.head()).expect("a head")
    };
    let keys: Vec<String> = [open("one", "s1"), open("other", "s2")]
        .iter()
        .map(|head| {
            let line = head
                .lines()
                .find(|line| line.starts_with("X-Docker-Expose-Session-Sharedkey: key:dockgate-"));
            line.unwrap_or_else(|| panic!("{head}")).to_owned()
        })
        .collect();
    assert_ne!(
        keys[0], keys[1],
        "no client gets what another one's files left"
    );
    run(async {
        let bridge = Bridge::start("", empty);
        let (name, number) = ("one", 7);
        let config = client_of(name, number);
        let mut client =
            TlsClient::connect(bridge.gate.addr, config.clone()).expect("a connection");
        client.send("POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: s1\r\n\r\n");
        let mut session = bridge.engine.accept();
        let head = String::from_utf8(session.head()).expect("a head");
        assert!(head.contains("Sharedkey: dockgate-"), "{head}");
        session.write(SWITCHED);
        let other = bridge.client("other").await;
        let with = |reference: &str| [solve(reference, "ci/app"), text(5, "s1")].concat();
        other.call(SOLVE, &with("r1")).await.refused("owner: ");
        bridge
            .with(config)
            .await
            .call(SOLVE, &with("r2"))
            .await
            .passed();
    });
}

fn exists_already(arrived: &Arrived) -> (Vec<u8>, &'static [(&'static str, &'static str)]) {
    match arrived.path.ends_with("/Session") {
        true => (Vec::new(), &[("grpc-status", "2")]),
        false => empty(arrived),
    }
}

/// A session that was opened past the gate: its id is free here, and the engine refuses to open it again.
#[test]
fn a_session_that_the_engine_does_not_open_is_not_the_clients() {
    run(async {
        let bridge = Bridge::start("", exists_already);
        let config = client_of("one", 7);
        let mut client =
            TlsClient::connect(bridge.gate.addr, config.clone()).expect("a connection");
        client.send("POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: s1\r\n\r\n");
        let mut refusing = bridge.engine.accept();
        refusing.head();
        refusing.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let one = bridge.with(config).await;
        let id = ("x-docker-expose-session-uuid", "s2");
        let open = head("/moby.buildkit.v1.Control/Session", &[id]);
        let _ = one.raw(open, &framed(b"opaque")).await;
        let with = |session: &str| [solve(session, "ci/app"), text(5, session)].concat();
        let (posted, called) = (with("s1"), with("s2"));
        let (posted, called) = tokio::join!(one.call(SOLVE, &posted), one.call(SOLVE, &called));
        posted.refused("owner: ");
        called.refused("owner: ");
        let reached = bridge.arrived();
        assert!(reached.iter().all(|call| call.path != SOLVE), "{reached:?}");
    });
}

#[test]
fn a_session_that_is_opened_by_a_call_has_an_owner_too() {
    const SESSION: &str = "/moby.buildkit.v1.Control/Session";
    const ID: &str = "x-docker-expose-session-uuid";
    run(async {
        let bridge = Bridge::start("", empty);
        let (one, other) = (bridge.client("one").await, bridge.client("other").await);
        let open = |fields: &[(&str, &str)]| head(SESSION, fields);
        let key = ("x-docker-expose-session-sharedkey", "key");
        let method = ("x-docker-expose-session-grpc-method", "/a/b");
        let body = framed(b"opaque");
        one.raw(open(&[(ID, "s1"), key, method, method]), &body)
            .await
            .passed();
        other
            .raw(open(&[(ID, "s1")]), &body)
            .await
            .refused("owner: ");
        for fields in [&[][..], &[(ID, "x:s1")], &[(ID, "s2"), (ID, "s3")]] {
            one.raw(open(fields), &body).await.refused("owner: ");
        }
        let arrived = bridge.arrived();
        assert_eq!(arrived.len(), 1);
        let fields = &arrived[0].fields;
        assert_eq!(fields.get(ID).expect("it goes on"), "s1");
        assert_eq!(
            fields
                .get_all("x-docker-expose-session-grpc-method")
                .iter()
                .count(),
            2
        );
        let key = fields
            .get("x-docker-expose-session-sharedkey")
            .expect("it goes on");
        assert!(key.to_str().expect("a key").starts_with("key:dockgate-"));
        assert_eq!(arrived[0].body, body);
        let with = |reference: &str| [solve(reference, "ci/app"), text(5, "s1")].concat();
        one.call(SOLVE, &with("r1")).await.passed();
        other.call(SOLVE, &with("r2")).await.refused("owner: ");
    });
}

fn histories(arrived: &Arrived) -> (Vec<u8>, &'static [(&'static str, &'static str)]) {
    let body = match arrived.path.as_str() {
        HISTORY => ["mine", "theirs"]
            .map(|reference| {
                let digest = format!("sha256:{reference}");
                let record = [text(1, reference), message(8, &text(2, &digest))].concat();
                framed(&message(2, &record))
            })
            .concat(),
        _ => framed(b"content"),
    };
    (body, &[("grpc-status", "0")])
}

#[test]
fn the_history_shows_a_client_its_own_builds_and_their_content() {
    run(async {
        let bridge = Bridge::start("", histories);
        let (one, other) = (bridge.client("one").await, bridge.client("other").await);
        one.call(SOLVE, &solve("mine", "ci/a")).await.passed();
        other.call(SOLVE, &solve("theirs", "ci/b")).await.passed();
        let digest = |reference: &str| text(1, &format!("sha256:{reference}"));
        one.call(READ, &digest("mine")).await.refused("owner: ");
        let listed = one.call(HISTORY, &[3 << 3, 1]).await;
        listed.passed();
        let shown = String::from_utf8_lossy(&listed.body);
        assert!(
            shown.contains("sha256:mine") && !shown.contains("theirs"),
            "{shown}"
        );
        one.call(READ, &digest("mine")).await.passed();
        one.call(READ, &digest("theirs")).await.refused("owner: ");
        one.call(HISTORY, &text(2, "theirs"))
            .await
            .refused("history: ");
        one.call(HISTORY, &text(2, "mine")).await.passed();
        // What ends some engines.
        one.call(HISTORY, &[5 << 3, 1]).await.refused("history: ");
        one.call(HISTORY, &text(4, "x")).await.refused("history: ");
        // Of one build there is nothing to limit, and no engine sees that it should.
        let limited = [&text(2, "mine")[..], &[5 << 3, 50]].concat();
        one.call(HISTORY, &limited).await.passed();
        let arrived = bridge.arrived().pop().expect("the call");
        assert_eq!(arrived.body[5..], [&limited[..], &[5 << 3, 0]].concat());
        let all = Bridge::start("history = \"all\"", histories);
        let shown = all.client("one").await.call(HISTORY, &[3 << 3, 1]).await;
        assert!(String::from_utf8_lossy(&shown.body).contains("theirs"));
    });
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("compress");
    let bytes = encoder.finish().expect("compress");
    let mut body = framed(&bytes);
    body[0] = 1;
    body
}

/// The engine would read one of several, and another reader another one.
#[test]
fn a_call_has_one_content_type_and_one_encoding() {
    run(async {
        let bridge = Bridge::start("", empty);
        let calls = bridge.client("one").await;
        let asked = solve("ref", "ci/app");
        for (name, first, other, part) in [
            (
                "content-type",
                "application/grpc",
                "application/grpc+json",
                "content type",
            ),
            (
                "grpc-encoding",
                "gzip",
                "identity",
                "compressed in an unknown way",
            ),
        ] {
            let twice = head(SOLVE, &[(name, first), (name, other)]);
            calls.raw(twice, &zipped(&asked)).await.refused(part);
        }
        assert!(bridge.arrived().is_empty());
        let once = head(SOLVE, &[("grpc-encoding", "gzip")]);
        calls.raw(once, &zipped(&asked)).await.passed();
    });
}

#[test]
fn a_judged_message_is_one_within_its_bound() {
    run(async {
        let bridge = Bridge::start("", empty);
        let calls = bridge.client("one").await;
        let asked = solve("ref", "ci/app");
        let gzip = || head(SOLVE, &[("grpc-encoding", "gzip")]);
        calls.raw(gzip(), &zipped(&asked)).await.passed();
        assert!(
            bridge.arrived()[0].body[5..].starts_with(&asked),
            "it goes on as it was judged"
        );
        assert!(bridge.arrived()[0].fields.get("grpc-encoding").is_none());
        for (head, body, part) in [
            (
                head(SOLVE, &[]),
                zipped(&asked),
                "compressed in an unknown way",
            ),
            (gzip(), zipped(&vec![0; 17 << 20]), "larger than"),
            (
                head(SOLVE, &[]),
                [framed(&asked), framed(&asked)].concat(),
                "more than one message",
            ),
            (
                head(SOLVE, &[]),
                framed(&asked)[..9].to_vec(),
                "ends inside",
            ),
            (head(SOLVE, &[]), Vec::new(), "ends inside"),
            (head(SOLVE, &[]), [0, 1, 1, 0, 0].to_vec(), "larger than"),
            // A field that is split over two occurrences, a group, an unknown field.
            (
                head(SOLVE, &[]),
                framed(&[&asked[..], &text(5, "a"), &text(5, "b")].concat()),
                "more than once",
            ),
            (
                head(SOLVE, &[]),
                framed(&[(1 << 3) | 3, (1 << 3) | 4]),
                "groups",
            ),
            (
                head(SOLVE, &[]),
                framed(&[&asked[..], &text(60, "a")].concat()),
                "unknown to this version",
            ),
        ] {
            calls.raw(head, &body).await.refused(part);
        }
        assert_eq!(bridge.arrived().len(), 1);
    });
}

#[test]
fn the_engines_refusal_of_a_source_is_recorded_as_one() {
    fn refuses(_: &Arrived) -> (Vec<u8>, &'static [(&'static str, &'static str)]) {
        (
            Vec::new(),
            &[
                ("grpc-status", "2"),
                (
                    "grpc-message",
                    "source \"docker-image://foreign/x:1\" denied by policy",
                ),
            ],
        )
    }
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let audit = dir.path().join("audit.jsonl");
    let audit_text = || std::fs::read_to_string(&audit).expect("an audit");
    run(async {
        let option = audit.to_str().expect("a path");
        let bridge = Bridge::in_mode("enforce", "", refuses, &["--audit", option]);
        let calls = bridge.client("one").await;
        assert_eq!(calls.call(SOLVE, &solve("ref", "ci/app")).await.status, 2);
    });
    let audit = audit_text();
    let end = audit
        .lines()
        .rfind(|line| line.contains("build.solve"))
        .expect("a record");
    for part in [
        "\"event\":\"request\"",
        "\"decision\":\"deny\"",
        "\"rule\":\"sources\"",
        "[\"build.sources\",\"docker-image://foreign/x:1\"]",
        "[\"build.tags\",\"ci/app\"]",
    ] {
        assert!(end.contains(part), "{part} in {end}");
    }
}

#[test]
fn report_mode_lets_calls_pass_as_they_are_and_says_what_it_would_deny() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let audit = dir.path().join("audit.jsonl");
    let asked = solve("ref", "other/app");
    run(async {
        let option = audit.to_str().expect("a path");
        let bridge = Bridge::in_mode("report", "", empty, &["--audit", option]);
        let calls = bridge.client("one").await;
        calls.call(SOLVE, &asked).await.passed();
        calls
            .call("/moby.buildkit.v1.Control/Later", b"x")
            .await
            .passed();
        let arrived = bridge.arrived();
        assert_eq!(arrived[0].body, framed(&asked), "nothing is appended");
        assert_eq!(arrived[1].path, "/moby.buildkit.v1.Control/Later");
    });
    let audit = std::fs::read_to_string(&audit).expect("an audit");
    for rule in ["tags", "call"] {
        let record = format!("\"decision\":\"would_deny\",\"rule\":\"{rule}\"");
        assert!(audit.contains(&record), "{record} in {audit}");
    }
}

#[test]
fn ps_shows_a_build_and_what_it_asks_for() {
    run(async {
        let bridge = Bridge::start("", |_| (Vec::new(), &[]));
        let config = client_of("one", 7);
        let calls = bridge.with(config).await;
        let mut ready = calls.send.clone().ready().await.expect("a connection");
        // An upload that does not end keeps its call alive.
        let (_answer, mut up) = ready
            .send_request(head(TRACE, &[]), false)
            .expect("a stream");
        up.send_data(framed(b"x").into(), false).expect("data");
        let shown = || -> Vec<String> {
            let entries = bridge.gate.registry.snapshot();
            entries
                .iter()
                .flat_map(|entry| entry.activity().calls.into_values())
                .collect()
        };
        while shown().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(shown(), ["build.trace"]);
        up.send_reset(h2::Reason::CANCEL);
        while !shown().is_empty() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn ps_shows_what_a_solve_asks_for() {
    fn large(_: &Arrived) -> (Vec<u8>, &'static [(&'static str, &'static str)]) {
        (framed(&testkit::pattern(3 << 20)), &[("grpc-status", "0")])
    }
    run(async {
        let bridge = Bridge::start("push = [\"ci/**\"]\ncache = [\"ci/cache\"]", large);
        let calls = bridge.client("one").await;
        let exporter = [
            text(1, "moby"),
            map_entry(2, "name", "ci/app:1,ci/b\u{202e}"),
        ];
        let cache = [text(1, "registry"), map_entry(2, "ref", "ci/cache")].concat();
        let asked = |exporter: &[Vec<u8>]| {
            [
                text(1, "ref"),
                message(13, &exporter.concat()),
                message(8, &message(5, &cache)),
            ]
            .concat()
        };
        // A name that could show as another one is refused before anything of it is shown.
        calls.call(SOLVE, &asked(&exporter)).await.refused("tags: ");
        let exporter = [
            text(1, "moby"),
            map_entry(2, "name", "ci/app:1,ci/b"),
            map_entry(2, "push", "true"),
        ];
        // An answer that is not taken keeps its call alive.
        let mut ready = calls.send.clone().ready().await.expect("a connection");
        let (answer, mut up) = ready
            .send_request(head(SOLVE, &[]), false)
            .expect("a stream");
        up.send_data(framed(&asked(&exporter)).into(), true)
            .expect("data");
        let answer = answer.await.expect("an answer");
        let shown: Vec<String> = bridge
            .gate
            .registry
            .snapshot()
            .iter()
            .flat_map(|entry| entry.activity().calls.into_values())
            .collect();
        assert_eq!(
            shown,
            [
                "build.solve outputs=image tags=ci/app:1 push=ci/app:1 tags=ci/b push=ci/b cache=ci/cache"
            ]
        );
        drop(answer);
    });
}

/// The bytes that four calls of one connection may send before any is taken, once that is `at_least` so many.
async fn windows(calls: &Calls, at_least: usize) -> (usize, Vec<OpenCall>) {
    const MORE: usize = 16 * 1024 * 1024;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut ready = calls.send.clone().ready().await.expect("a connection");
        let trace = ready.send_request(head(TRACE, &[]), false);
        let (answer, mut up) = trace.expect("a stream");
        up.reserve_capacity(MORE);
        open.push((answer, up));
    }
    let mut total = 0;
    std::future::poll_fn(|cx| {
        for (_, up) in &mut open {
            while let std::task::Poll::Ready(more) = up.poll_capacity(cx) {
                more.expect("a stream").expect("capacity");
            }
        }
        total = open.iter().map(|(_, up)| up.capacity()).sum();
        match total >= at_least {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    (total, open)
}

type OpenCall = (h2::client::ResponseFuture, h2::SendStream<bytes::Bytes>);

#[test]
fn what_a_connection_may_send_untaken_is_bounded_and_one_call_does_not_use_it_up() {
    const ALL: usize = 1280 * 1024;
    const EACH: usize = 1024 * 1024;
    run(async {
        let bridge = Bridge::start("", empty);
        let calls = bridge.client("one").await;
        let (all, open) = windows(&calls, ALL).await;
        assert_eq!(all, ALL);
        assert!(open.iter().all(|(_, up)| up.capacity() <= EACH));
    });
}

#[test]
fn bytes_before_the_101_end_the_connection_and_reach_nobody() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let bridge = Bridge::start("", empty);
    for (early, switches) in [(PREFACE, false), (b"x", false), (b"", true)] {
        let mut client =
            TlsClient::connect(bridge.gate.addr, client_of("one", 7)).expect("a connection");
        client.send([UPGRADE, early].concat());
        let mut engine = bridge.engine.accept();
        engine.head();
        engine.write(SWITCHED);
        match switches {
            true => client.expect(SWITCHED),
            false => {
                client.ended();
                let mut rest = Vec::new();
                let read = std::io::Read::read_to_end(&mut engine.socket, &mut rest);
                assert!(read.is_ok() && rest.is_empty(), "{read:?} {rest:?}");
            }
        }
    }
}

#[test]
fn builds_travel_by_the_upgraded_connection_alone() {
    let bridge = Bridge::start("", empty);
    let (addr, config) = (bridge.gate.addr, client_of("one", 7));
    let connect = || TlsClient::connect(addr, config.clone()).expect("a connection");
    for (request, status) in [
        // The preface of HTTP/2 without an upgrade.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        // gRPC's methods as requests of HTTP/1.1.
        (
            "POST /moby.buildkit.v1.Control/Solve HTTP/1.1\r\nHost: docker\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        (
            "POST /v1.45/moby.buildkit.v1.Control/Prune HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        // BuildKit without a source policy.
        (
            "POST /v1.45/build?version=2 HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        (
            "POST /build?session=s1 HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        // Bytes that would be the body of the request and not of the connection.
        (
            "POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nPRI *",
            403,
        ),
    ] {
        let mut client = connect();
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status, status, "{request}: {}", answer.text());
        bridge.engine.nothing_came();
    }
}

#[test]
fn a_granted_call_is_granted_by_its_exact_path() {
    run(async {
        let bridge = Bridge::start("prune = true\nusage = true\ndebug = true", empty);
        let calls = bridge.client("one").await;
        for name in ["Prune", "DiskUsage"] {
            let path = format!("/moby.buildkit.v1.Control/{name}");
            calls.call(&path, b"").await.passed();
            let first = name.as_bytes()[0];
            for other in [
                format!("{path}?x=1"),
                format!("{path}?"),
                format!("{path}/"),
                format!("/moby.buildkit.v1.Control/%{first:02X}{}", &name[1..]),
                format!("/moby.buildkit.v1.Control//{name}"),
                format!("/moby.buildkit.v1.control/{name}"),
                format!("/x/../moby.buildkit.v1.Control/{name}"),
            ] {
                calls.call(&other, b"").await.refused("call: ");
            }
        }
        assert_eq!(bridge.arrived().len(), 2);
    });
}

#[test]
fn programs_in_steps_are_judged_message_by_message() {
    const EXEC: &str = "/moby.buildkit.v1.frontend.LLBBridge/ExecProcess";
    const NEW: &str = "/moby.buildkit.v1.frontend.LLBBridge/NewContainer";
    run(async {
        let bridge = Bridge::start("debug = true", empty);
        let calls = bridge.client("one").await;
        calls.call(SOLVE, &solve("ref", "ci/app")).await.passed();
        let root = message(2, &text(3, "/"));
        calls.within("ref", NEW, &root).await.passed();
        calls
            .within("ref", NEW, b"")
            .await
            .refused("without a mount at /");
        calls
            .within("ref", NEW, &[&root[..], &[3 << 3, 1]].concat())
            .await
            .refused("network.host");
        let init = |fields: &[u8]| message(2, fields);
        let file = message(3, &text(3, "input"));
        let within = || head(EXEC, &[("buildkit-controlapi-buildid", "ref")]);
        let both = |second: &[u8]| [framed(&file), framed(second)].concat();
        calls
            .raw(within(), &both(&init(&message(2, &text(1, "sh")))))
            .await
            .passed();
        for (asked, part) in [
            (init(&[5 << 3, 1]), "security.insecure"),
            (init(&message(2, &text(10, "/x"))), "cgroup parent"),
        ] {
            calls.raw(within(), &both(&asked)).await.refused(part);
        }
    });
}
