//! What the tests share: certificates, a scripted engine, clients, and the gate in this process or as a process of its own.
//!
//! Every wait ends after [`DEADLINE`] with a message that shows what was there instead. Nothing sleeps for an event, and no port
//! is assumed to be free. A helper that cannot do its work panics: a test that cannot set itself up has failed.
#![expect(
    clippy::missing_panics_doc,
    reason = "every function here panics where its test has failed"
)]

pub mod client;
pub mod daemon;
pub mod engine;
pub mod gate;
pub mod issuer;
pub mod messages;
pub mod pki;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod words;

use std::io::BufRead as _;
use std::time::{Duration, Instant};

pub use client::{End, HttpAnswer, TlsClient, TlsRecord};
pub use daemon::Daemon;
pub use engine::{Engine, EngineConn};
pub use gate::{Alone, InProcess, Wire};
pub use messages::{ATTACH, OK, PING, UPGRADED};
pub use pki::{Credential, Pki};

/// The longest wait for any one event: far above what a loaded machine needs, so that reaching it is a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The variable by which every pair of a large matrix is tried, and not only a part of them in which each row and each column is.
pub const FULL: &str = "DOCKGATE_TEST_FULL";

/// Which pairs of a matrix of programs that are started are tried: all where [`FULL`] is set, as in CI, or else every third.
#[must_use]
pub fn is_tried(row: usize, column: usize) -> bool {
    std::env::var_os(FULL).is_some() || (row + column).is_multiple_of(3)
}

/// Asks again until the answer is there; fails with the last answer after [`DEADLINE`]. For states that send no event.
#[track_caller]
pub fn eventually<T>(mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask() {
            Ok(found) => return found,
            Err(last) => assert!(Instant::now() < deadline, "not in time: {last}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The end of the head that these bytes begin with, empty line included, where `seen` bytes were searched before. By lines, which
/// the standard library finds at once also in a build that is not optimised; a head may have a MiB.
fn head_end(bytes: &[u8], seen: usize) -> Option<usize> {
    let mut rest = &bytes[seen..];
    while rest.skip_until(b'\n').is_ok_and(|n| n > 0) {
        let end = bytes.len() - rest.len();
        if bytes[..end].ends_with(b"\r\n\r\n") {
            return Some(end);
        }
    }
    None
}

#[test]
fn a_head_ends_behind_its_empty_line_however_it_arrives() {
    let bytes = b"GET / HTTP/1.1\r\nHost: docker\r\n\r\nbody\r\n\r\n";
    let end = bytes.len() - b"body\r\n\r\n".len();
    assert_eq!(head_end(bytes, 0), Some(end));
    for seen in 0..end {
        assert_eq!(head_end(&bytes[..seen], 0), None);
        assert_eq!(head_end(&bytes[..end], seen), Some(end), "{seen}");
    }
    assert_eq!(head_end(b"", 0), None);
}

/// Bytes for a failure message, at most the first 2,000 of them.
pub fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(2000)];
    let shown = shown.escape_ascii().to_string();
    format!(
        "{} bytes: {}",
        bytes.len(),
        shown.replace("\\r\\n", "\\r\\n\n  ")
    )
}

/// Fails with both sides shown when they differ.
#[track_caller]
pub fn same(got: &[u8], wanted: &[u8], whose: &str) {
    if got != wanted {
        let at = got.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        panic!(
            "{whose}: differs at byte {at}\n got {}\n wanted {}",
            text(got),
            text(wanted)
        );
    }
}

/// A body that shows displacement: no two kilobytes are equal.
pub fn pattern(n: usize) -> Vec<u8> {
    (0..n.div_ceil(8))
        .flat_map(|i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(n)
        .collect()
}
