//! Chunked bodies: however the bytes are cut into reads, the same bytes go on, and only whole lines.
#![no_main]

use dockgate::http::framing::Framing;
use libfuzzer_sys::fuzz_target;

/// What goes on of `body` when it comes in reads of `step` bytes; `None` if it is refused.
fn passed(body: &[u8], step: usize, whole: bool) -> Option<(Vec<u8>, usize)> {
    let mut framing = Framing::chunked_by_line();
    let (mut out, mut used) = (Vec::new(), 0);
    for part in body.chunks(step) {
        if framing.is_done() {
            break;
        }
        let taken = framing.take(part).ok()?;
        taken.append_to(&mut out);
        used += taken.used;
    }
    (framing.is_done() || !whole).then_some((out, used))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((step, body)) = bytes.split_first() else {
        return;
    };
    let at_once = passed(body, body.len().max(1), true);
    assert_eq!(
        at_once,
        passed(body, usize::from(*step).max(1), true),
        "reads do not matter"
    );
    if let Some((out, used)) = at_once {
        assert_eq!(out, &body[..used], "a whole body goes on byte for byte");
    }
    if let Some((out, _)) = passed(body, usize::from(*step).max(1), false) {
        assert!(body.starts_with(&out), "nothing but what came goes on");
    }
});
