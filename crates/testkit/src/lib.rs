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

use std::time::{Duration, Instant};

pub use client::{End, HttpAnswer, TlsClient, TlsRecord};
pub use daemon::Daemon;
pub use engine::{Engine, EngineConn};
pub use gate::{Alone, InProcess, Wire};
pub use messages::{ATTACH, OK, PING, UPGRADED};
pub use pki::{Credential, Pki};

/// The longest wait for any one event: far above what a loaded machine needs, so that reaching it is a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

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
