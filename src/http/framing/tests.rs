use proptest::prelude::*;

use super::*;

fn whole(data: &[u8]) -> Result<(usize, bool), BadChunk> {
    let mut framing = Framing::chunked();
    let used = framing.take(data)?.used;
    Ok((used, framing.is_done()))
}

#[test]
fn a_chunked_body_ends_after_its_trailers_and_leaves_what_follows() {
    let body = b"5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
    assert_eq!(whole(body), Ok((body.len() - 5, true)));
}

#[test]
fn malformed_chunks_are_refused() {
    for bad in [
        &b"\r\n"[..],
        b"x\r\n",
        b"+5\r\nhello",
        b"5 \r\nhello",
        b"0x5\r\nhello",
        b"5\nhello",
        b"5\r\nhello\n",
        b"5\r\nhelloX",
        b"ffffffffffffffff\r\n",
        b"5;\0\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\n folded: 1\r\n\r\n",
        b"-1\r\n",
    ] {
        assert!(whole(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn the_content_of_a_chunked_body_is_its_chunks() {
    assert_eq!(
        content(b"5;a=b\r\nhello\r\nA\r\n, the gate\r\n0\r\nX: 1\r\n\r\n"),
        b"hello, the gate"
    );
    assert_eq!(content(b"0\r\n\r\n"), b"");
}

#[test]
fn overhead_is_bounded() {
    let mut body = b"1;".to_vec();
    body.resize(MAX_OVERHEAD_BYTES + 10, b'a');
    assert!(whole(&body).is_err());
}

#[test]
fn a_length_counts_down_to_the_byte() {
    let mut framing = Framing::length(3);
    assert_eq!(framing.take(b"ab").map(|taken| taken.used), Ok(2));
    assert!(!framing.is_done());
    assert_eq!(framing.take(b"cdef").map(|taken| taken.used), Ok(1));
    assert!(framing.is_done());
}

/// What goes on of `pieces`, one after the other, and how it ends.
fn passed(pieces: &[&[u8]]) -> (Vec<u8>, Result<(), BadChunk>) {
    let (mut framing, mut out) = (Framing::chunked_by_line(), Vec::new());
    for piece in pieces {
        match framing.take(piece) {
            Ok(taken) => taken.append_to(&mut out),
            Err(bad) => return (out, Err(bad)),
        }
    }
    (out, Ok(()))
}

#[test]
fn a_line_goes_on_when_it_is_whole_and_nothing_of_a_refused_one_does() {
    assert_eq!(passed(&[b"5;a"]), (b"".to_vec(), Ok(())));
    assert_eq!(
        passed(&[b"5;a", b"b\r\nhe"]),
        (b"5;ab\r\nhe".to_vec(), Ok(()))
    );
    let (out, end) = passed(&[b"1\r\na\r\n5;a", b"\0"]);
    assert_eq!((&*out, end.is_err()), (&b"1\r\na\r\n"[..], true));
    let (out, end) = passed(&[b"1\r\na", b"\r", b"x"]);
    assert_eq!((&*out, end.is_err()), (&b"1\r\na"[..], true));
    // Without its trailers the last chunk is not sent: its receiver would take the body for complete.
    let last: [&[u8]; 4] = [b"1\r\na\r\n0\r\n", b"A: 1\r\n", b"\r", b"\n"];
    assert_eq!(passed(&last[..3]).0, b"1\r\na\r\n");
    assert_eq!(passed(&last).0, b"1\r\na\r\n0\r\nA: 1\r\n\r\n");
}

#[test]
fn a_trailer_may_not_carry_what_belongs_in_a_head() {
    for name in [
        "Transfer-Encoding",
        "content-length",
        "HOST",
        "Authorization",
        "Content-Type",
        "Content-Encoding",
        "Trailer",
        "Expect",
        "Connection",
        "TE",
        "Upgrade",
        "X-Registry-Auth",
        "X-Registry-Config",
        "Keep-Alive",
        "Proxy-Authorization",
        "Cookie",
    ] {
        let body = format!("1\r\na\r\n0\r\nA: 1\r\n{name}: x\r\n\r\n");
        for cut in 1..body.len() {
            let (first, rest) = body.as_bytes().split_at(cut);
            let (out, end) = passed(&[first, rest]);
            assert!(
                matches!(end, Err(BadChunk::Trailer(_))),
                "{name} cut at {cut}: {end:?}"
            );
            assert!(!out.ends_with(b"0\r\n"), "{name} cut at {cut}");
        }
    }
    for name in [
        "X-Checksum",
        "Hosts",
        "TE2",
        "Content-MD5",
        "Server-Timing",
        "E",
    ] {
        let body = format!("0\r\n{name}: x\r\n\r\n");
        assert_eq!(passed(&[body.as_bytes()]).1, Ok(()), "{name}");
    }
}

proptest! {
    #[test]
    fn the_reading_does_not_depend_on_how_bytes_arrive(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), cut in 1usize..17, by_line: bool,
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        let mut framing = Framing::chunks(by_line);
        let mut passed = Vec::new();
        for piece in body.chunks(cut) {
            let taken = framing.take(piece).expect("well-formed");
            prop_assert_eq!(taken.used, piece.len());
            taken.append_to(&mut passed);
        }
        prop_assert_eq!(passed, body);
        prop_assert!(framing.is_done());
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = whole(&data);
    }
}
