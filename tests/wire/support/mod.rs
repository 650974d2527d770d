//! A gate, a scripted engine and a raw TLS client. Every wait has a deadline; nothing sleeps.

mod client;
mod engine;
mod gate;
mod pki;
mod process;

use std::time::Duration;

pub(crate) use client::{Client, End, Record};
pub(crate) use engine::{Engine, EngineConn};
pub(crate) use gate::{Gate, Wire};
pub(crate) use pki::Pki;
pub(crate) use process::GateProcess;

/// Longest wait for any one event: far above what a loaded machine needs, so that reaching it is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A whole request without a body.
pub(crate) const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";

/// A whole answer.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

/// An upgrade as the docker CLI sends it.
pub(crate) const ATTACH: &[u8] =
    b"POST /v1.51/containers/c/attach?stdin=1&stdout=1&stream=1 HTTP/1.1\r\nHost: docker\r\n\
    Connection: Upgrade\r\nContent-Length: 0\r\nContent-Type: text/plain\r\nUpgrade: tcp\r\n\r\n";

/// The engine's answer to it.
pub(crate) const UPGRADED: &[u8] =
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// Bytes for a failure message.
pub(crate) fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(2000)];
    format!(
        "{} bytes: {}",
        bytes.len(),
        shown
            .escape_ascii()
            .to_string()
            .replace("\\r\\n", "\\r\\n\n  ")
    )
}

/// Fails with both sides shown when they differ.
#[track_caller]
pub(crate) fn same(got: &[u8], wanted: &[u8], whose: &str) {
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
pub(crate) fn pattern(n: usize) -> Vec<u8> {
    (0..n.div_ceil(8))
        .flat_map(|i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(n)
        .collect()
}
