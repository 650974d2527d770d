//! What the cryptography alone costs: a full mutual handshake in memory, without sockets, threads or HTTP.

use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};

use crate::client::{KeyExchange, tls_config};
use crate::measure::Spread;
use crate::options::TunnelOptions;
use crate::pki::{BenchPki, ServerKey};
use crate::tunnel;

/// Handshakes measured; the first ones warm caches and are not counted.
const TIMES: usize = 300;
/// How many warm up.
const WARM: usize = 20;

/// CPU time of the server's side of a handshake, in microseconds.
pub(crate) fn handshake_us(
    pki: &BenchPki,
    key: ServerKey,
    exchange: KeyExchange,
) -> Result<Spread, String> {
    let all =
        measure(pki, key, exchange).map_err(|e| format!("cannot shake hands in memory: {e}"))?;
    Spread::of(all.into_iter().skip(WARM)).ok_or_else(|| "no handshake was measured".into())
}

fn measure(
    pki: &BenchPki,
    key: ServerKey,
    exchange: KeyExchange,
) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let files = TunnelOptions {
        port: 0,
        tlscacert: pki.ca.clone(),
        tlscert: pki.server_cert(key),
        tlskey: pki.server_key(key),
        upstream: std::path::PathBuf::new(),
    };
    let server_config = Arc::new(tunnel::config(&files)?);
    let client_config = tls_config(pki, 0, exchange)?;
    (0..TIMES)
        .map(|_| {
            let mut client = ClientConnection::new(
                Arc::clone(&client_config),
                ServerName::try_from("localhost")?,
            )?;
            let begun = thread_ns();
            let mut server = ServerConnection::new(Arc::clone(&server_config))?;
            let mut spent = thread_ns() - begun;
            while client.is_handshaking() || server.is_handshaking() {
                let (mut up, mut down) = (Vec::new(), Vec::new());
                while client.wants_write() {
                    client.write_tls(&mut up)?;
                }
                let begun = thread_ns();
                let mut rest = up.as_slice();
                while !rest.is_empty() {
                    server.read_tls(&mut rest)?;
                    server.process_new_packets()?;
                }
                while server.wants_write() {
                    server.write_tls(&mut down)?;
                }
                spent += thread_ns() - begun;
                if up.is_empty() && down.is_empty() {
                    return Err("neither side has anything to say".into());
                }
                let mut rest = down.as_slice();
                while !rest.is_empty() {
                    client.read_tls(&mut rest)?;
                    client.process_new_packets()?;
                }
            }
            Ok(spent as f64 / 1e3)
        })
        .collect()
}

fn thread_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_in_memory_completes_with_either_key_and_costs_something() {
        let directory = tempfile::tempdir().expect("a temporary directory must be possible");
        let pki = BenchPki::make(directory.path()).expect("certificates must be made");
        for (key, exchange) in [
            (ServerKey::Ecdsa, KeyExchange::Classic),
            (ServerKey::Rsa, KeyExchange::Hybrid),
        ] {
            let cost = handshake_us(&pki, key, exchange).expect("the handshake must complete");
            assert!(cost.median > 1.0 && cost.median < 1e6, "{cost:?}");
        }
    }
}
