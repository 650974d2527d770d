//! Request heads: what goes upstream reads the same as what was judged, and is complete.
#![no_main]

use dockgate::http::head;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(len) = head::head_len(bytes, 0) else {
        return;
    };
    let mut out = Vec::new();
    let Ok(request) = head::request(&bytes[..len], &mut out, |_, _| false) else {
        assert!(out.is_empty(), "a refused head leaves nothing to send");
        return;
    };
    assert_eq!(
        head::head_len(&out, 0),
        Some(out.len()),
        "one whole head goes on"
    );
    let mut again = Vec::new();
    let second = head::request(&out, &mut again, |_, _| false).expect("what goes on is accepted");
    assert_eq!(again, out, "what goes on is in its final form");
    assert_eq!(
        second.framing.announced(),
        request.framing.announced(),
        "one length of the body"
    );
    assert_eq!(
        second.target(&out).into_owned(),
        request.target(&bytes[..len]).into_owned(),
        "one target"
    );
});
