//! There is one reading of each header that decides something: a head with another one is refused with 400 and never reaches
//! the engine. Each refusal has its allow beside it.

use testkit::{OK, PING, TlsClient, Wire, text};

const CREATE: &str = "POST /v1.51/containers/create HTTP/1.1\r\nHost: docker\r\n";

/// `refused` gets `status` and never reaches the engine.
#[track_caller]
fn refused(wire: &Wire, status: u16, lines: &str) -> String {
    let head = format!("{CREATE}{lines}\r\n");
    let message = wire.client().refused(head.as_bytes(), status);
    wire.engine.nothing_came();
    message
}

/// The head with `lines` reaches the engine with `sent`.
#[track_caller]
fn goes_on(wire: &Wire, lines: &str, sent: &str) {
    let mut client = wire.client();
    client.send(format!("{CREATE}{lines}\r\n").as_bytes());
    let mut engine = wire.engine.accept();
    engine.answer(format!("{CREATE}{sent}\r\n").as_bytes(), OK);
    assert_eq!(client.answer().status, 200, "{lines}");
}

/// Whatever the two lines say: the engine reads the first, a plugin may be told the last.
#[test]
fn a_second_line_of_a_field_that_decides_is_refused() {
    let wire = Wire::start();
    for (name, first, second) in [
        ("Content-Type", "application/json", "text/plain"),
        ("Content-Type", "application/json", "application/json"),
        ("Content-Encoding", "identity", "gzip"),
        ("Authorization", "Basic YTpi", "Basic Yzpk"),
        ("X-Registry-Auth", "e30", "e30="),
        ("X-Registry-Config", "e30", "e30="),
        ("Upgrade", "tcp", "h2c"),
        ("Expect", "100-continue", "100-continue"),
        ("Content-Length", "0", "0"),
    ] {
        for (a, b) in [
            (name.to_owned(), name.to_owned()),
            (name.to_lowercase(), name.to_uppercase()),
        ] {
            let message = refused(
                &wire,
                400,
                &format!("{a}: {first}\r\nX-A: 1\r\n{b}: {second}\r\n"),
            );
            assert!(message.contains("more than one"), "{name}: {message}");
            // An empty line is a line.
            refused(&wire, 400, &format!("{a}:\r\n{b}: {second}\r\n"));
        }
    }
    refused(&wire, 400, "Host: docker\r\n");
    goes_on(
        &wire,
        "Content-Type: application/json\r\n",
        "Content-Type: application/json\r\n",
    );
    // BuildKit repeats its own field once for each method, and joined lines break it.
    let repeated =
        "X-Docker-Expose-Session-Grpc-Method: /a\r\nX-Docker-Expose-Session-Grpc-Method: /b\r\n";
    goes_on(&wire, repeated, repeated);
}

#[test]
fn two_types_in_one_line_and_characters_outside_ascii_are_refused() {
    let wire = Wire::start();
    for lines in [
        "Content-Type: application/json, text/plain\r\n",
        "Content-Type: text/plain; charset=utf-8, application/json\r\n",
        // Go trims and folds these when it looks for the type.
        "Content-Type: \u{a0}application/json\r\n",
        "Content-Type: appl\u{130}cation/json\r\n",
        "Expect: 100-continue\u{a0}\r\n",
        "X-Registry-Auth: e30\u{e9}\r\n",
        "Upgrade: \u{212a}\r\n",
    ] {
        refused(&wire, 400, lines);
    }
    for lines in [
        "Content-Type: multipart/mixed; boundary=\"a,b\"\r\n",
        "Content-Type: \t application/json \t\r\n",
        "X-Name: \u{e9}\r\n",
    ] {
        goes_on(&wire, lines, lines);
    }
}

#[test]
fn connection_cannot_take_away_what_was_judged() {
    let wire = Wire::start();
    for name in [
        "Content-Type",
        "content-encoding",
        "Expect",
        "X-Registry-Auth",
        "X-Registry-Config",
        "AUTHORIZATION",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        refused(
            &wire,
            400,
            &format!("{name}: x\r\nConnection: close, {name}\r\n")
                .replace("Host: x\r\n", "")
                .replace("Expect: x", "Expect: 100-continue"),
        );
        refused(&wire, 400, &format!("Connection: {name}\r\n"));
    }
    goes_on(
        &wire,
        "X-A: 1\r\nConnection: X-A, TE\r\nTE: trailers\r\n",
        "",
    );
    let options = |n: usize| format!("Connection: {}\r\n", vec!["x"; n].join(","));
    goes_on(&wire, &options(64), "");
    refused(&wire, 400, &options(65));
    refused(&wire, 400, &(options(40) + &options(40)));
}

#[test]
fn an_expectation_other_than_to_continue_is_answered_417() {
    let wire = Wire::start();
    for value in ["200-ok", "100-continue, 200-ok", "100-continue;a"] {
        refused(&wire, 417, &format!("Expect: {value}\r\n"));
    }
    goes_on(
        &wire,
        "Expect: 100-Continue\r\n",
        "Expect: 100-Continue\r\n",
    );
    goes_on(&wire, "Expect:\r\n", "Expect:\r\n");
}

/// RFC 9112 §3.2.2 "a server MUST accept the absolute-form in requests even though most HTTP/1.1 clients will only send the
/// absolute-form to a proxy", §3.2 "ignore the received Host header field".
#[test]
fn a_target_in_absolute_form_goes_on_in_origin_form_with_its_authority_as_host() {
    let wire = Wire::start();
    for (sent, wanted) in [
        (
            "GET http://docker/_ping HTTP/1.1\r\nHost: docker\r\n\r\n",
            "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n",
        ),
        (
            "GET HTTPS://docker:2376/v1.51/events?a=%20b HTTP/1.1\r\nA: 1\r\nhost: other\r\nB: 2\r\n\r\n",
            "GET /v1.51/events?a=%20b HTTP/1.1\r\nA: 1\r\nHost: docker:2376\r\nB: 2\r\n\r\n",
        ),
        (
            "GET http://[::1]?a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /?a HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        ),
        (
            "OPTIONS http://docker HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: docker\r\n\r\n",
        ),
        (
            "GET http://docker/_ping HTTP/1.0\r\n\r\n",
            "GET /_ping HTTP/1.0\r\n\r\n",
        ),
        // An upgrade keeps what concerns both ends.
        (
            "POST http://docker/session HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            "POST /session HTTP/1.1\r\nHost: docker\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        ),
    ] {
        let mut client = wire.client();
        client.send(sent.as_bytes());
        wire.engine.accept().answer(wanted.as_bytes(), OK);
        assert_eq!(client.answer().status, 200, "{sent}");
    }
    for target in [
        "http://user@docker/_ping",
        "http:///_ping",
        "http://docker:99999/_ping",
        "http://docker\\x/_ping",
        "http://docker/a#b",
        "http://docker#b",
        "http://docker/%zz",
        "ftp://docker/_ping",
        "httpx://docker/_ping",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n");
        wire.client().refused(request.as_bytes(), 400);
        wire.engine.nothing_came();
    }
}

/// A gate whose engine is not there refuses everything it has understood with 502.
fn deaf() -> Wire {
    let wire = Wire::start();
    std::fs::remove_file(&wire.gate.socket).unwrap();
    wire
}

#[track_caller]
fn refusal(client: &mut TlsClient, request: &str) -> String {
    client.send(request.as_bytes());
    let answer = client.answer();
    assert_eq!(answer.status, 502, "{answer:?}");
    answer.head
}

#[test]
fn after_a_refusal_the_connection_is_what_the_client_asked_for() {
    let wire = deaf();
    let ping = |lines: &str| format!("GET /_ping HTTP/{lines}\r\n\r\n");
    // Kept: HTTP/1.1, and HTTP/1.0 that asks for it, which is told so.
    let mut client = wire.client();
    let head = refusal(&mut client, &ping("1.1\r\nHost: docker"));
    assert!(!head.contains("Connection:"), "{head}");
    let head = refusal(&mut client, &ping("1.0\r\nConnection: keep-alive"));
    assert!(head.contains("\r\nConnection: keep-alive\r\n"), "{head}");
    // Closed: HTTP/1.1 that asks for it, and HTTP/1.0 that does not.
    for lines in [
        "1.1\r\nHost: docker\r\nConnection: close",
        "1.1\r\nHost: docker\r\nConnection: keep-alive, Close",
        "1.0",
        "1.0\r\nConnection: close",
    ] {
        let mut client = wire.client();
        let head = refusal(&mut client, &ping(lines));
        assert!(
            head.contains("\r\nConnection: close\r\n"),
            "{lines}: {head}"
        );
        client.expect_end(testkit::End::Clean);
    }
}

#[test]
fn a_head_that_is_refused_has_no_body_in_its_answer() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(b"HEAD /_ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    client.expect_end(testkit::End::Clean);
}

/// RFC 9110 §15.2 "A server MUST NOT send a 1xx response to an HTTP/1.0 client", §10.1.1 "MUST ignore that expectation".
#[test]
fn who_speaks_http_1_0_gets_no_interim_answer() {
    let wire = Wire::start();
    let request = b"POST /v1.51/containers/c/attach HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut client = wire.client();
    client.send(request);
    client.send(b"{}");
    let mut engine = wire.engine.accept();
    engine.expect(b"POST /v1.51/containers/c/attach HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}");
    engine.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK");
    let head = client.head();
    assert!(
        head.starts_with("HTTP/1.0 200 "),
        "{}",
        text(head.as_bytes())
    );
    // Beside it: HTTP/1.1 gets them.
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.expect(PING);
    engine.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 103 "));
    engine.write(OK);
    assert_eq!(client.answer().status, 200);
}
