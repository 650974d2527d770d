use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::docker;

/// A head as its reader understood it.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    method: String,
    target: String,
    http10: bool,
    /// Names in lower case, sorted; lines of one name in their order.
    fields: Vec<(String, Vec<u8>)>,
    /// The length of the body, `None` if chunked.
    length: Option<u64>,
}

impl Reading {
    fn sorted(mut self) -> Self {
        self.fields.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }
}

/// Ours: what [`request`] says, and the lines that it wrote for the engine.
fn ours(head: &[u8]) -> Option<Reading> {
    let mut out = Vec::new();
    let read = request(head, &mut out, |_, _| false).ok()?;
    let text = |range: &Range<usize>| {
        std::str::from_utf8(&head[range.clone()])
            .expect("UTF-8")
            .to_owned()
    };
    let (method, target) = (text(&read.method), text(&read.target));
    docker::classify(&method, &target).ok()?;
    let body = &out[out.windows(2).position(|w| w == b"\r\n").expect("a line") + 2..];
    let fields = body
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let colon = line.iter().position(|b| *b == b':').expect("a colon");
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            (name, line[colon + 1..].trim_ascii().to_vec())
        })
        .collect();
    let length = if read.framing == Framing::chunked() {
        None
    } else {
        let mut left = read.framing.clone();
        let mut n = 0;
        while !left.is_done() {
            n += left.take(&[0; 64]).expect("a length") as u64;
        }
        Some(n)
    };
    Some(
        Reading {
            method,
            target,
            http10: read.http10,
            fields,
            length,
        }
        .sorted(),
    )
}

fn read_by_hyper(request: &hyper::Request<Incoming>) -> Reading {
    let hint = request.body().size_hint();
    Reading {
        method: request.method().to_string(),
        target: request.uri().to_string(),
        http10: request.version() == hyper::Version::HTTP_10,
        fields: request
            .headers()
            .iter()
            .map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec()))
            .collect(),
        length: hint.exact(),
    }
    .sorted()
}

/// Hyper's: what its server hands to a service, `None` where it refuses or waits for more.
fn hypers(bytes: &[u8]) -> Option<Reading> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let (seen, mut readings) = mpsc::unbounded_channel();
        let seen = Arc::new(seen);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            seen.send(read_by_hyper(&request)).expect("a receiver");
            std::future::pending::<Result<hyper::Response<Empty<Bytes>>, std::convert::Infallible>>(
            )
        });
        client.write_all(bytes).await.expect("room");
        let serving = http1::Builder::new()
            .max_headers(MAX_LINES)
            .serve_connection(TokioIo::new(server), service);
        let mut answer = Vec::new();
        tokio::select! {
            biased;
            reading = readings.recv() => reading,
            _ = serving => None,
            // An answer without a reading is a refusal.
            _ = client.read_to_end(&mut answer) => None,
            _ = tokio::time::sleep(Duration::from_secs(5)) => None,
        }
    })
}

fn without_hop_by_hop(mut reading: Reading) -> Reading {
    let named: Vec<String> = reading
        .fields
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value)
                .to_ascii_lowercase()
                .split(',')
                .map(|t| t.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    if !reading.fields.iter().any(|(name, _)| name == "upgrade") {
        let hop = [
            "connection",
            "keep-alive",
            "te",
            "proxy-connection",
            "proxy-authorization",
        ];
        reading
            .fields
            .retain(|(name, _)| !hop.contains(&name.as_str()) && !named.contains(name));
    }
    reading
}

/// What we let through, hyper reads the same way.
fn agree(head: &[u8]) -> Result<bool, TestCaseError> {
    let Some(ours) = ours(head) else {
        return Ok(false);
    };
    let Some(hyper) = hypers(head) else {
        // Hyper's own limits, none of which is a second reading: `http::Uri` is narrower than the engine's parser.
        return Ok(false);
    };
    let mut ours = ours;
    // The gate's own line to the engine on HTTP/1.0.
    if ours.http10 {
        ours.fields.retain(|(name, _)| {
            name != "connection" || hyper.fields.iter().any(|(n, _)| n == "upgrade")
        });
    }
    prop_assert_eq!(
        &ours,
        &without_hop_by_hop(hyper),
        "{}",
        String::from_utf8_lossy(head)
    );
    Ok(true)
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z][A-Za-z0-9-]{0,12}: ?[ -~]{0,20}",
        1 => "Content-Length: [0-9]{1,3}",
        1 => Just("Transfer-Encoding: chunked".to_owned()),
        1 => "(Connection|connection): (close|keep-alive|Upgrade|X-A|te)(, ?(close|X-B))?",
        1 => Just("Upgrade: tcp".to_owned()),
        1 => Just("Expect: 100-continue".to_owned()),
        1 => "(X-A|x-b|TE|Keep-Alive|Proxy-Authorization):[ \t]{0,3}[a-z]{0,5}[ \t]{0,3}",
        1 => "(Content-Length|Transfer-Encoding|Host|Connection)[ :]{1,3}[ -~]{0,12}",
    ]
}

prop_compose! {
    fn head()(
        method in "(GET|POST|HEAD|PUT|DELETE|[A-Z]{1,8})",
        target in "/[a-zA-Z0-9._~%/:@!$&'()*+,;=-]{0,20}(\\?[a-z0-9=&%+;,:/?@-]{0,20})?",
        version in prop_oneof![9 => Just("1.1"), 1 => Just("1.0")],
        host in prop_oneof![9 => Just("Host: docker"), 1 => Just("hOST:"), 1 => Just("X: y")],
        lines in prop::collection::vec(line(), 0..6),
        place in 0_usize..6,
    ) -> Vec<u8> {
        let mut lines = lines;
        lines.insert(place.min(lines.len()), host.to_owned());
        format!("{method} {target} HTTP/{version}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }
}

/// A generated head, with a few bytes changed to those that matter to a parser.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let poison = prop_oneof![
        Just(b'\r'),
        Just(b'\n'),
        Just(b' '),
        Just(b'\t'),
        Just(b':'),
        Just(b'\0'),
        Just(b','),
        Just(b';'),
        Just(b'#'),
        Just(b'%'),
        Just(b'0'),
        Just(b'\x0b'),
        Just(b'\x7f'),
        any::<u8>(),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), poison, 0..3_u8), 1..4);
    (head(), edits).prop_map(|(mut head, edits)| {
        for (at, byte, how) in edits {
            let at = at.index(head.len());
            match how {
                0 => head[at] = byte,
                1 => head.insert(at, byte),
                _ => _ = head.remove(at),
            }
        }
        head.extend_from_slice(b"\r\n\r\n");
        let len = head_len(&head, 0).expect("an end");
        head.truncate(len);
        head
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_has_hypers_reading(head in head()) {
        agree(&head)?;
    }

    #[test]
    fn what_is_accepted_of_a_mutated_head_has_hypers_reading(head in mutated()) {
        agree(&head)?;
    }

    #[test]
    fn a_head_that_goes_on_is_accepted_again_with_the_same_reading(head in mutated()) {
        let mut out = Vec::new();
        if let Ok(first) = request(&head, &mut out, |_, _| false) {
            let mut again = Vec::new();
            let second = request(&out, &mut again, |_, _| false).expect("our own head must be acceptable");
            prop_assert_eq!(&head[first.method], &out[second.method]);
            prop_assert_eq!(&head[first.target], &out[second.target]);
            prop_assert_eq!(first.framing, second.framing);
            prop_assert_eq!(first.http10, second.http10);
            prop_assert_eq!(out, again);
        } else {
            prop_assert!(out.is_empty(), "a refused head must leave nothing");
        }
    }

    #[test]
    fn the_end_of_a_head_does_not_depend_on_how_bytes_arrive(head in mutated(), cut in 1_usize..9) {
        let mut scanned = 0;
        let mut found = None;
        for end in (0..=head.len()).step_by(cut).chain([head.len()]) {
            found = head_len(&head[..end], scanned);
            if found.is_some() {
                break;
            }
            scanned = end;
        }
        // The same bytes, or a head that is refused either way.
        let whole = head_len(&head, 0).expect("an end");
        let piecewise = found.expect("an end");
        let accepted = |len: usize| request(&head[..len], &mut Vec::new(), |_, _| false).is_ok();
        prop_assert!(piecewise == whole || !accepted(piecewise) && !accepted(whole));
    }

    #[test]
    fn arbitrary_bytes_never_panic(head in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = request(&head, &mut Vec::new(), |_, _| false);
        let _ = response(&head, false, &mut Vec::new(), |_| Emit::Verbatim);
    }

    #[test]
    fn a_response_that_goes_on_is_accepted_again(head in mutated(), status in 100_u16..600) {
        let lines = head.iter().position(|b| *b == b'\n').map_or(&head[..], |at| &head[at + 1..]);
        let head = [format!("HTTP/1.1 {status} X\r\n").as_bytes(), lines].concat();
        let mut out = Vec::new();
        if let Ok(first) = response(&head, false, &mut out, |_| Emit::Connection(Some("close"))) {
            let second = response(&out, false, &mut Vec::new(), |_| Emit::Nothing).expect("our own head must be acceptable");
            prop_assert_eq!(first.status, second.status);
            prop_assert_eq!(first.framing, second.framing);
            prop_assert!(!second.persistent);
        }
    }
}

#[test]
fn the_comparison_with_hyper_compares_something() {
    for head in [
        &b"GET /_ping HTTP/1.1\r\nHost: docker\r\nX-A: 1\r\nx-a:  2 \r\nConnection: X-B\r\nX-B: no\r\n\r\n"[..],
        b"POST /build?t=a%20b HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: docker\r\nContent-Length: 12\r\n\r\n",
        b"GET /events HTTP/1.0\r\n\r\n",
        b"POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    ] {
        assert!(agree(head).expect("the same reading"), "{}", String::from_utf8_lossy(head));
    }
}

/// The evidence for the doc of `proxy`: each of these hyper's server hands to its service, with one of two readings.
#[test]
fn hyper_accepts_heads_that_have_two_readings() {
    let length = |head: &[u8]| hypers(head).map(|r| r.length);
    // Bare line feeds, as line ends and as the end of the head.
    assert!(hypers(b"GET / HTTP/1.1\nHost: docker\n\n").is_some());
    assert!(
        hypers(b"GET / HTTP/1.1\r\nA: 1\nHost: docker\r\n\r\n")
            .is_some_and(|r| r.fields.len() == 2)
    );
    // The length is dropped without a word, in either order.
    for head in [
        &b"POST / HTTP/1.1\r\nHost: docker\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    ] {
        assert_eq!(length(head), Some(None));
    }
    // Equal lengths become one; codings before chunked are accepted; two hosts, or none, as well.
    assert_eq!(
        length(
            b"POST / HTTP/1.1\r\nHost: docker\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"
        ),
        Some(Some(3))
    );
    assert_eq!(
        length(b"POST / HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        Some(None)
    );
    assert!(hypers(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").is_some());
    assert!(hypers(b"GET / HTTP/1.1\r\n\r\n").is_some());
    // Empty lines in front.
    assert!(hypers(b"\r\n\r\nGET / HTTP/1.1\r\nHost: docker\r\n\r\n").is_some());
    // The target is cut at `#`, which the engine does not do.
    assert!(
        hypers(b"GET /a?b#c HTTP/1.1\r\nHost: docker\r\n\r\n").is_some_and(|r| r.target == "/a?b")
    );
    // Absolute form loses nothing there, but is judged by its path while the engine ignores the authority.
    assert!(hypers(b"GET http://evil/a HTTP/1.1\r\nHost: docker\r\n\r\n").is_some());
}

#[test]
fn all_of_that_is_refused_here() {
    for head in [
        &b"GET / HTTP/1.1\nHost: docker\n\n"[..],
        b"GET / HTTP/1.1\r\nA: 1\nHost: docker\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: docker\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: docker\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: docker\r\n\r\n",
        b"GET /a?b#c HTTP/1.1\r\nHost: docker\r\n\r\n",
        b"GET http://evil/a HTTP/1.1\r\nHost: docker\r\n\r\n",
    ] {
        assert_eq!(ours(head), None, "{}", String::from_utf8_lossy(head));
    }
}

#[test]
fn a_head_ends_at_its_first_empty_line() {
    assert_eq!(
        head_len(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", 0),
        Some(27)
    );
    assert_eq!(head_len(b"GET / HTTP/1.1\r\nHost: a\r\n\r", 0), None);
    // Seen byte by byte, the end is found at once and not before.
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for seen in 0..head.len() - 1 {
        assert_eq!(
            head_len(&head[..=seen], seen),
            (seen == head.len() - 1).then_some(head.len())
        );
    }
    // By line feeds alone it ends too, to be refused.
    assert_eq!(head_len(b"GET / HTTP/1.1\nHost: a\n\nrest", 0), Some(24));
}

#[test]
fn a_raw_stream_is_known_by_its_content_type() {
    for (value, raw) in [
        ("application/vnd.docker.raw-stream", true),
        ("application/vnd.docker.multiplexed-stream", true),
        ("application/json", false),
        ("application/vnd.docker.raw-stream2", false),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-TYPE: {value}\r\n\r\n");
        let read =
            response(head.as_bytes(), false, &mut Vec::new(), |_| Emit::Verbatim).expect("a head");
        assert_eq!((read.raw_stream, read.framing), (raw, Framing::until_eof()));
    }
}

#[test]
fn the_body_of_an_answer_follows_rfc_9112_6_3() {
    let framing = |head: &str, bodyless| {
        let head = format!("HTTP/1.1 {head}\r\n\r\n");
        response(head.as_bytes(), bodyless, &mut Vec::new(), |_| {
            Emit::Nothing
        })
        .map(|r| r.framing)
    };
    assert_eq!(
        framing("200 OK\r\nContent-Length: 5", false),
        Ok(Framing::length(5))
    );
    assert_eq!(
        framing("200 OK\r\nContent-Length: 5", true),
        Ok(Framing::none())
    );
    assert_eq!(
        framing("304 Not Modified\r\nContent-Length: 5", false),
        Ok(Framing::none())
    );
    assert_eq!(framing("204 No Content", false), Ok(Framing::none()));
    assert_eq!(
        framing("204 No Content\r\nContent-Length: 0", false),
        Ok(Framing::none())
    );
    assert!(framing("204 No Content\r\nContent-Length: 5", false).is_err());
    assert!(framing("103 Early Hints\r\nTransfer-Encoding: chunked", false).is_err());
    assert_eq!(
        framing("200 OK\r\nTransfer-Encoding: chunked", false),
        Ok(Framing::chunked())
    );
    assert_eq!(framing("200 OK", false), Ok(Framing::until_eof()));
}
