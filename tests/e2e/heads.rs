//! Heads and targets: sizes, the engine's answers to odd paths, and heads with two readings (§9, 37–39; R8, R9, R25).

use super::support::client::Side;
use super::support::suite::{Case, Suite};
use super::support::tapped::Tapped;
use super::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    let case = Case::new;
    vec![
        case(
            "c37__large_heads_pass_and_larger_ones_are_refused",
            large_heads,
        ),
        case("c38__the_path_table_gives_the_engines_answers", path_table),
        case("c39__heads_with_two_readings_are_refused", two_readings),
        case("heads__reach_the_engine_as_sent", heads_as_sent),
    ]
}

fn get(side: &Side<'_>, request: &str) -> ScenarioResult<u16> {
    let mut wire = side.wire()?;
    wire.send(request.as_bytes())?;
    Ok(wire.head()?.status)
}

fn large_heads(suite: &Suite, name: &str) -> ScenarioResult {
    let config = |size: usize| {
        format!(
            "GET /_ping HTTP/1.1\r\nHost: docker\r\nX-Registry-Config: {}\r\n\r\n",
            "a".repeat(size)
        )
    };
    let lines = |count: usize| {
        let lines: String = (0..count).map(|n| format!("X-Line-{n}: {n}\r\n")).collect();
        format!("GET /_ping HTTP/1.1\r\n{lines}Host: docker\r\n\r\n")
    };
    suite.compare(name, |side| {
        Ok(format!(
            "{} {}",
            get(side, &config(400 << 10))?,
            get(side, &lines(400))?
        ))
    })?;
    let side = Side::gate(suite, name, suite.gate()?.addr)?;
    for (what, request, wanted) in [
        ("a head of 400 KiB", config(400 << 10), 200),
        ("a head of 1.1 MB", config(1_200_000), 431),
        ("900 header lines", lines(900), 431),
    ] {
        // The refusal may come while the head is still being sent.
        let mut wire = side.wire()?;
        let _ = wire.try_send(request.as_bytes());
        let status = wire.head()?.status;
        ensure!(
            status == wanted,
            "expected {wanted} for {what}, got {status}"
        );
    }
    Ok(())
}

/// Section 6: each target on both sides. The gate may answer 400 where it is stricter, and never 200 where the engine
/// does not.
fn path_table(suite: &Suite, name: &str) -> ScenarioResult {
    const TARGETS: &[&str] = &[
        "/v1.45/_ping",
        "/v1.45.0/_ping",
        "/v01.0045/_ping",
        "/_ping",
        "/%5fping",
        "/_ping?a=b;c",
        "/v1.23/_ping",
        "/v1..45/_ping",
        "/v./_ping",
        "/v1.99/_ping",
        "/V1.45/_ping",
        "/_PING",
        "/_ping/",
        "/v1.45",
        "//_ping",
        "/v1.45//_ping",
        "/./_ping",
        "/x/../_ping",
        "/%2e/_ping",
        "/x/%2e%2e/_ping",
        "/containers//json",
        "/containers/%2fNAME/json",
        "/containers/NAME%2fjson",
        "/containers%2fNAME%2fjson",
        "/containers/NAME/%6ason",
        "/containers/%zz/json",
        "/containers/json?x=%zz",
        "/images/dockgate-e2e-busybox%3Alatest/json",
        "/containers/NAME%252Fjson",
        "//evil/_ping",
        "/containers/NAME/json?size=1",
    ];
    suite.gate()?;
    let direct = Side::direct(suite, name, &suite.engine.socket)?;
    let gate = Side::gate(suite, name, suite.gate()?.addr)?;
    direct.ok("sleeper")?;
    let mut wrong = Vec::new();
    for target in TARGETS {
        let target = target.replace("NAME", &direct.prefix);
        let request = format!("GET {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
        let (on_socket, through) = (get(&direct, &request)?, get(&gate, &request)?);
        if on_socket != through && through != 400 {
            wrong.push(format!("{target}: engine {on_socket}, gate {through}"));
        }
    }
    direct.clean();
    ensure!(wrong.is_empty(), "answers differ:\n{}", wrong.join("\n"));
    for plain in [
        "/v1.45/_ping",
        "/_ping",
        "/images/dockgate-e2e-busybox%3Alatest/json",
    ] {
        let status = get(
            &gate,
            &format!("GET {plain} HTTP/1.1\r\nHost: docker\r\n\r\n"),
        )?;
        ensure!(status == 200, "expected 200 for {plain}, got {status}");
    }
    Ok(())
}

/// None of these may reach the engine; each is answered with 400 and the connection closed.
#[expect(clippy::too_many_lines, reason = "scenario")]
fn two_readings(suite: &Suite, name: &str) -> ScenarioResult {
    const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";
    const HEADS: &[(&str, &str)] = &[
        (
            "length with chunked",
            "Host: d\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "two lengths",
            "Host: d\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        ),
        (
            "a list of lengths",
            "Host: d\r\nContent-Length: 5, 6\r\n\r\n",
        ),
        ("a signed length", "Host: d\r\nContent-Length: +5\r\n\r\n"),
        (
            "gzip, chunked",
            "Host: d\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ),
        ("identity", "Host: d\r\nTransfer-Encoding: identity\r\n\r\n"),
        (
            "chunked twice",
            "Host: d\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "space before the colon",
            "Host: d\r\nContent-Length : 5\r\n\r\n",
        ),
        (
            "two hosts",
            "Host: d\r\nHost: e\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "obs-fold",
            "Host: d\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "a bare CR in a value",
            "Host: d\r\nX-A: b\rc\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "a NUL in a value",
            "Host: d\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n",
        ),
        ("no host", "Content-Length: 0\r\n\r\n"),
    ];
    suite.gate()?;
    let tapped = Tapped::start(suite, name)?;
    let mut wrong = Vec::new();
    let mut judge = |what: &str, request: String| -> ScenarioResult {
        let mut wire = tapped.side.wire()?;
        let _ = wire.try_send(request.as_bytes());
        match wire.head() {
            Ok(head) if [400, 501, 505].contains(&head.status) => {
                if wire.read_to_end().is_err() {
                    wrong.push(format!(
                        "{what}: the connection was not closed after {}",
                        head.status
                    ));
                }
            }
            Ok(head) => wrong.push(format!("{what}: expected 400, got {}", head.status)),
            Err(error) => wrong.push(format!("{what}: expected 400, got no answer: {error}")),
        }
        Ok(())
    };
    for (what, head) in HEADS {
        judge(
            what,
            format!("POST /v1.45/containers/two-readings/start HTTP/1.1\r\n{head}{BODY}"),
        )?;
    }
    judge(
        "CONNECT",
        "CONNECT two-readings:80 HTTP/1.1\r\nHost: d\r\n\r\n".into(),
    )?;
    judge(
        "absolute form with a user",
        "GET http://user@evil/two-readings HTTP/1.1\r\nHost: d\r\n\r\n".into(),
    )?;
    judge("bare LF", "GET /two-readings HTTP/1.1\nHost: d\n\n".into())?;
    judge(
        "one bare LF",
        "GET /two-readings HTTP/1.1\r\nHost: d\nX-A: b\r\n\r\n".into(),
    )?;
    judge(
        "the HTTP/2 preface",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
    )?;
    judge(
        "a space in the target",
        "GET /two readings HTTP/1.1\r\nHost: d\r\n\r\n".into(),
    )?;
    let reached = tapped
        .tap
        .seen()
        .iter()
        .any(|one| one.text().contains("two-readings"));
    ensure!(
        wrong.is_empty(),
        "not refused as they should be:\n{}",
        wrong.join("\n")
    );
    ensure!(!reached, "a refused head reached the engine");
    tapped.finish()
}

/// Header lines of ordinary requests: names' case, repeated lines and their order arrive as sent; hop-by-hop ones do not.
fn heads_as_sent(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let tapped = Tapped::start(suite, name)?;
    let mut wire = tapped.side.wire()?;
    let lines = "X-MiXed-case: Value with  two spaces\r\nX-Repeated: one\r\nx-repeated: two\r\nX-Repeated: one, two\r\nX-Empty: \r\nX-Registry-Auth: e30=";
    wire.send(format!("GET /_ping?q=%7e%2F+x HTTP/1.1\r\nHost: \r\n{lines}\r\nConnection: keep-alive, X-Hop\r\nX-Hop: secret\r\n\r\n").as_bytes())?;
    let (head, _) = wire.answer()?;
    ensure!(head.status == 200, "expected 200, got {}", head.text);
    let sent = tapped
        .tap
        .seen()
        .iter()
        .map(super::support::tap::TapSeen::text)
        .collect::<String>();
    ensure!(
        sent.starts_with("GET /_ping?q=%7e%2F+x HTTP/1.1\r\n"),
        "the request line was changed: {sent}"
    );
    ensure!(
        !sent.contains("secret"),
        "a header named by Connection was forwarded: {sent}"
    );
    let line = |name: &str| {
        sent.lines()
            .filter(|line| line.starts_with(name))
            .map(String::from)
            .collect::<Vec<_>>()
    };
    ensure!(
        line("X-MiXed-case:") == ["X-MiXed-case: Value with  two spaces"],
        "a header was changed: {sent}"
    );
    let repeated: Vec<_> = sent
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("x-repeated:"))
        .collect();
    ensure!(
        repeated.len() == 3 && repeated[2].ends_with(": one, two"),
        "repeated lines were joined or reordered: {sent}"
    );
    ensure!(
        line("X-Empty:").len() == 1,
        "an empty header was lost: {sent}"
    );
    let host: Vec<_> = sent
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("host:"))
        .collect();
    ensure!(
        host.len() == 1 && host[0].len() <= 6,
        "an empty Host must arrive empty: {sent}"
    );
    tapped.finish()
}
