//! "A head with two readings (CL with TE, differing CLs, obs-fold, bare LF or CR, spaces before the colon, bad chunk sizes)
//! is refused with 400 and closed; it never reaches the engine." Each refusal has its allow beside it.

use testkit::{End, OK, PING, TlsClient, Wire};

/// `refused` gets `status`, is closed and never reaches the engine; `allowed` goes through.
#[track_caller]
fn instead(wire: &Wire, status: u16, refused: &[u8], allowed: &[u8]) -> String {
    let message = wire.client().refused(refused, status);
    wire.engine.nothing_came();
    let mut client = wire.client();
    client.send(allowed);
    let mut engine = wire.engine.accept();
    engine.answer(allowed, OK);
    assert_eq!(client.answer().status, 200);
    message
}

#[track_caller]
fn lines(wire: &Wire, refused: &str, allowed: &str) -> String {
    let head = |lines: &str| {
        format!("POST /v1.51/containers/create HTTP/1.1\r\nHost: docker\r\n{lines}\r\n")
    };
    let body = if allowed.contains("chunked") {
        "1\r\na\r\n0\r\n\r\n"
    } else if allowed.contains("Length: 1") {
        "a"
    } else {
        ""
    };
    instead(
        wire,
        400,
        (head(refused) + "a").as_bytes(),
        (head(allowed) + body).as_bytes(),
    )
}

#[test]
fn line_ends_other_than_cr_lf_are_refused() {
    let wire = Wire::start();
    lines(&wire, "A: 1\nB: 2\r\n", "A: 1\r\nB: 2\r\n");
    lines(&wire, "A: 1\rB: 2\r\n", "A: 1 B: 2\r\n");
    lines(&wire, "A: 1\r\r\n", "A: 1\r\n");
    instead(
        &wire,
        400,
        b"GET /_ping HTTP/1.1\nHost: docker\r\n\r\n",
        PING,
    );
    // Ends by line feeds alone: known to be wrong without waiting for the deadline of the head.
    instead(&wire, 400, b"GET /_ping HTTP/1.1\nHost: docker\n\n", PING);
    instead(
        &wire,
        400,
        b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\n",
        PING,
    );
    instead(
        &wire,
        400,
        b"GET /_ping HTTP/1.1\r\nHost: docker\n\r\n",
        PING,
    );
    instead(
        &wire,
        400,
        b"\r\nGET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n",
        PING,
    );
}

#[test]
fn folded_lines_and_bad_names_are_refused() {
    let wire = Wire::start();
    lines(&wire, "A: 1\r\n 2\r\n", "A: 1 2\r\n");
    lines(&wire, "A: 1\r\n\t2\r\n", "A: 1\t2\r\n");
    lines(&wire, "A : 1\r\n", "A: 1\r\n");
    lines(&wire, "A\t: 1\r\n", "A:\t1\r\n");
    lines(&wire, " A: 1\r\n", "A: 1\r\n");
    lines(&wire, ": 1\r\n", "A: 1\r\n");
    lines(&wire, "A 1\r\n", "A: 1\r\n");
    lines(&wire, "A(b): 1\r\n", "A_b: 1\r\n");
    lines(&wire, "A\0: 1\r\n", "A: 1\r\n");
    lines(&wire, "A: 1\x002\r\n", "A: 1\x092\r\n");
    lines(&wire, "A: \x7f\r\n", "A: ~\r\n");
}

#[test]
fn a_body_with_two_lengths_is_refused() {
    let wire = Wire::start();
    lines(
        &wire,
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n",
    );
    lines(
        &wire,
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\n",
    );
    for bad in [
        "1\r\nContent-Length: 1",
        "1\r\nContent-Length: 2",
        "1, 1",
        "+1",
        "-1",
        "0x1",
        "1 1",
        "",
        "1;",
        "99999999999999999999",
    ] {
        lines(
            &wire,
            &format!("Content-Length: {bad}\r\n"),
            "Content-Length: 1\r\n",
        );
    }
}

#[test]
fn a_transfer_coding_other_than_one_chunked_is_refused() {
    let wire = Wire::start();
    for bad in [
        "gzip, chunked",
        "chunked, gzip",
        "identity",
        "chunked, chunked",
        "xchunked",
        "chunked;q=1",
        "",
        "\"chunked\"",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
    ] {
        lines(
            &wire,
            &format!("Transfer-Encoding: {bad}\r\n"),
            "Transfer-Encoding: chunked\r\n",
        );
    }
    lines(
        &wire,
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: Chunked\r\n",
    );
    instead(
        &wire,
        400,
        b"POST /v1.51/build HTTP/1.0\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1.51/build HTTP/1.0\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
    );
}

#[test]
fn a_host_that_is_missing_or_given_twice_is_refused() {
    let wire = Wire::start();
    lines(&wire, "Host: docker\r\n", "");
    lines(&wire, "hOST: other\r\n", "Hosts: other\r\n");
    instead(
        &wire,
        400,
        b"GET /_ping HTTP/1.1\r\nA: 1\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost:\r\n\r\n",
    );
    instead(
        &wire,
        400,
        b"GET /_ping HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: a%2Fb\r\n\r\n",
    );
    // C40: HTTP/1.0 needs none.
    instead(
        &wire,
        400,
        b"GET /_ping HTTP/1.1\r\n\r\n",
        b"GET /_ping HTTP/1.0\r\n\r\n",
    );
}

#[test]
fn connection_may_not_take_away_what_frames_or_routes_the_message() {
    let wire = Wire::start();
    for name in ["content-length", "Transfer-Encoding", "HOST"] {
        let refused = format!(
            "POST /v1.51/build HTTP/1.1\r\nHost: docker\r\nConnection: close, {name}\r\nContent-Length: 0\r\n\r\n"
        );
        instead(&wire, 400, refused.as_bytes(), PING);
    }
}

/// R25 "reject […] bad escapes and CONNECT; forward origin-form with the original escapes".
#[test]
fn targets_with_two_readings_are_refused() {
    let wire = Wire::start();
    for (refused, allowed) in [
        (
            "GET unix://evil/containers/json",
            "GET /containers/json?u=http://evil/",
        ),
        ("CONNECT docker:80", "GET /docker:80"),
        ("CONNECT /_ping", "GET /_ping"),
        ("GET _ping", "GET /_ping"),
        ("GET /containers/%zz/json", "GET /containers/%7a/json"),
        ("GET /containers/c/json%2", "GET /containers/c/json%20"),
        ("GET /_ping#f", "GET /_ping%23f"),
        ("GET /_ping?a#f", "GET /_ping?a%23f"),
    ] {
        let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: docker\r\n\r\n");
        instead(
            &wire,
            400,
            head(refused).as_bytes(),
            head(allowed).as_bytes(),
        );
    }
    for line in [
        "GET  /_ping HTTP/1.1",
        "GET /_ping  HTTP/1.1",
        "GET /_ping x HTTP/1.1",
        " GET /_ping HTTP/1.1",
        "GET\t/_ping HTTP/1.1",
        "GET /_ping HTTP/1.1 ",
        "GET /\x01 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /_ping",
        "G(T /_ping HTTP/1.1",
    ] {
        let mut client = wire.client();
        client.send(format!("{line}\r\nHost: docker\r\n\r\n").as_bytes());
        let status = client.answer().status;
        // A version with something around it is no version.
        assert!(matches!(status, 400 | 505), "{line:?}: {status}");
        client.expect_end(End::Clean);
        wire.engine.nothing_came();
    }
}

/// C47 "`PRI * HTTP/2.0` preface […] from a client → refused".
#[test]
fn other_versions_are_refused() {
    let wire = Wire::start();
    for line in [
        "PRI * HTTP/2.0",
        "GET /_ping HTTP/2.0",
        "GET /_ping HTTP/0.9",
        "GET /_ping HTTP/1.2",
        "GET /_ping HTTP/3",
    ] {
        let request = format!("{line}\r\nHost: docker\r\n\r\nSM\r\n\r\n");
        let mut client = wire.client();
        client.send(request.as_bytes());
        let status = client.answer().status;
        assert!(matches!(status, 400 | 505), "{line}: {status}");
        client.expect_end(End::Clean);
        wire.engine.nothing_came();
    }
}

#[test]
fn bad_chunks_at_the_start_never_reach_the_engine() {
    let wire = Wire::start();
    let head = "POST /v1.51/build HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n";
    for bad in [
        "x\r\n",
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        "1 \r\na\r\n",
        " 1\r\na\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "-0\r\n\r\n",
        "\r\n",
        "1000000000000000\r\n",
    ] {
        instead(
            &wire,
            400,
            format!("{head}{bad}").as_bytes(),
            format!("{head}1\r\na\r\n0\r\n\r\n").as_bytes(),
        );
    }
    for bad in [
        "0\r\n folded: 1\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nA : 1\r\n\r\n",
        "1;\0\r\na\r\n0\r\n\r\n",
        "0\r\n\n",
    ] {
        wire.client()
            .refused(format!("{head}{bad}").as_bytes(), 400);
        wire.engine.nothing_came();
    }
}

/// RFC 9110 §6.5.1 "A sender MUST NOT generate a trailer field unless […] the sender knows the corresponding header field
/// name's definition permits sending it in a trailer".
#[test]
fn a_trailer_that_only_a_head_may_carry_ends_both_sides_and_the_body_stays_unfinished() {
    let wire = Wire::start();
    let start = "POST /v1.51/build HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for name in [
        "Transfer-Encoding",
        "Content-Length",
        "Host",
        "Authorization",
        "content-type",
        "Content-Encoding",
        "Trailer",
        "EXPECT",
        "Connection",
        "TE",
        "Upgrade",
        "X-Registry-Auth",
    ] {
        let mut client = wire.client();
        client.send(start.as_bytes());
        let mut engine = wire.engine.accept();
        engine.expect(start.as_bytes());
        let message = client.refused(
            format!("0\r\nX-Sum: 1\r\n{name}: x\r\n\r\n").as_bytes(),
            400,
        );
        assert!(message.contains("which only a head may carry"), "{message}");
        engine.expect_end();
        // The same in one write with the head.
        wire.client()
            .refused(format!("{start}0\r\n{name}: x\r\n\r\n").as_bytes(), 400);
        wire.engine.nothing_came();
        // What announces it.
        let head = start.replace(
            "Host: docker\r\n",
            &format!("Host: docker\r\nTrailer: X-Sum, {name}\r\n"),
        );
        wire.client().refused(head.as_bytes(), 400);
        wire.engine.nothing_came();
    }
    let mut client = wire.client();
    client.send(start.as_bytes());
    let mut engine = wire.engine.accept();
    engine.expect(start.as_bytes());
    client.send(b"0\r\nX-Sum: 1\r\nHosts: x\r\n\r\n");
    engine.answer(b"0\r\nX-Sum: 1\r\nHosts: x\r\n\r\n", OK);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn nothing_of_a_chunk_line_goes_on_before_it_is_whole() {
    let wire = Wire::start();
    let start = "POST /v1.51/build HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for (begun, bad) in [
        ("5;name=val", "\0"),
        ("f", "x"),
        ("3\r", "x"),
        ("3\r\nabc\r", "x"),
        ("0\r\nX-Sum: 1\r\n", "bad trailer\r\n"),
        ("0\r\n\r", "x"),
    ] {
        let mut client = wire.client();
        client.send(start.as_bytes());
        let mut engine = wire.engine.accept();
        engine.expect(start.as_bytes());
        client.send(begun.as_bytes());
        client.refused(bad.as_bytes(), 400);
        // Data of a chunk whose line was well formed has gone; nothing of the line that is not.
        let whole = begun
            .strip_suffix('\r')
            .filter(|begun| begun.contains("abc"));
        engine.expect(whole.unwrap_or_default().as_bytes());
        engine.expect_end();
    }
    // Beside it: the same line in pieces goes on once its end has come.
    let mut client = wire.client();
    client.send(start.as_bytes());
    let mut engine = wire.engine.accept();
    engine.expect(start.as_bytes());
    for piece in ["3;name", "=val\r", "\nabc", "\r", "\n0", "\r\n", "\r\n"] {
        client.send(piece.as_bytes());
    }
    engine.answer(b"3;name=val\r\nabc\r\n0\r\n\r\n", OK);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_bad_chunk_in_mid_body_ends_both_sides_and_hides_nothing_from_the_engine() {
    let wire = Wire::start();
    let mut client = wire.client();
    let start = b"POST /v1.51/build HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    client.send(start);
    let mut engine = wire.engine.accept();
    engine.expect(start);
    let message = client.refused(b"zz\r\nGET /evil HTTP/1.1\r\n\r\n", 400);
    assert!(message.contains("chunk"), "{message}");
    // No final chunk: the engine sees an incomplete body.
    engine.expect_end();
}

/// "4xx: after a refusal nothing behind it is executed."
#[test]
fn what_follows_a_refused_head_is_not_read_as_a_request() {
    let wire = Wire::start();
    let mut client = wire.client();
    let smuggled = [
        &b"GET /_ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"[..],
        PING,
        PING,
    ]
    .concat();
    client.refused(&smuggled, 400);
    wire.engine.nothing_came();
    // The allow: two requests in one segment are two requests.
    let mut client = wire.client();
    client.send([PING, PING].concat());
    let mut engine = wire.engine.accept();
    engine.answer(PING, OK);
    engine.answer(PING, OK);
    assert_eq!((client.answer().status, client.answer().status), (200, 200));
}

/// C37 "400 KB X-Registry-Config, 500 header lines → accepted; 1.1 MB, 501 lines → 431".
#[test]
fn limits_of_a_head_are_those_of_the_engine() {
    let wire = Wire::start();
    let head = |lines: usize| {
        let mut head = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n".to_vec();
        (1..lines).for_each(|i| head.extend(format!("X-{i}: 1\r\n").into_bytes()));
        head.extend(b"\r\n");
        head
    };
    instead(&wire, 431, &head(501), &head(500));
    let sized = |n: usize| {
        let value = "a".repeat(n - 60);
        format!("GET /_ping HTTP/1.1\r\nHost: docker\r\nX-Registry-Config: {value}\r\n\r\n")
            .into_bytes()
    };
    instead(&wire, 431, &sized(1_200_000), &sized(1_060_000));
    let target = |n: usize| {
        format!(
            "GET /_ping?{} HTTP/1.1\r\nHost: docker\r\n\r\n",
            "a".repeat(n)
        )
        .into_bytes()
    };
    instead(&wire, 431, &target(1_200_000), &target(100_000));
    // Without an end in sight.
    let mut client = wire.client();
    let endless = vec![b'a'; 1_300_000];
    client.refused(&endless, 431);
    wire.engine.nothing_came();
}

#[test]
fn a_head_that_does_not_come_in_time_is_answered_408_and_an_idle_connection_stays() {
    let wire = Wire::with(&["--workers", "1", "--head-timeout", "300ms"]);
    let message = wire
        .client()
        .refused(b"GET /_ping HTTP/1.1\r\nHost: do", 408);
    assert!(message.contains("head"), "{message}");
    // Silent from the start: closed, without an answer to a question nobody asked.
    wire.client().expect_end(End::Clean);
    wire.engine.nothing_came();
    // The allow (C36): between two requests nothing runs out.
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    elapse(&wire, 3);
    client.send(PING);
    engine.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
}

/// Lets `n` head deadlines pass, each seen as an event: the gate closing a silent connection.
fn elapse(wire: &Wire, n: usize) {
    for _ in 0..n {
        let mut silent: TlsClient = wire.client();
        silent.expect_end(End::Clean);
    }
}
