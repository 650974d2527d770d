mod generate;
mod reading;

use proptest::prelude::*;

use super::*;

use generate::{head, mutated};
use reading::{agree, hypers, ours};

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
            prop_assert_eq!(first.target(&head), second.target(&out));
            prop_assert_eq!(&head[first.method], &out[second.method]);
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
    // Absolute form keeps its authority there, which the engine ignores; here it becomes origin form.
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
