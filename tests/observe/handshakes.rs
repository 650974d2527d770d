//! What ends a handshake is named in the log, in words.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use testkit::gate::{ByOptions, with_engine};

/// A record of TLS, by its first byte (RFC 8446 §5.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The first record that the gate answers to a ClientHello with this name, as long as the one that it is put in place of.
fn answer_to(gate: &ByOptions, name: &str) -> Vec<u8> {
    let placeholder = "host-2376";
    assert_eq!(name.len(), placeholder.len());
    let config = gate.pki.config(Some(&gate.pki.client("ci", 7)));
    let server = ServerName::try_from(placeholder).expect("a name");
    let mut client = ClientConnection::new(config, server).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a hello");
    let at = hello
        .windows(placeholder.len())
        .position(|bytes| bytes == placeholder.as_bytes())
        .expect("the name in the hello");
    hello[at..at + name.len()].copy_from_slice(name.as_bytes());
    let mut tcp = TcpStream::connect(gate.addr).expect("connected");
    tcp.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a deadline");
    tcp.write_all(&hello).expect("sent");
    let mut record = vec![0; 7];
    tcp.read_exact(&mut record).expect("a record");
    record
}

#[test]
fn a_name_in_the_hello_that_is_no_host_name_ends_the_handshake_and_the_log_says_so() {
    let (gate, _engine) = with_engine(&[]);
    // A name that is not the gate's is ignored, and so is an address.
    for name in ["host-2376", "127.0.0.1"] {
        assert_eq!(answer_to(&gate, name)[0], HANDSHAKE, "{name}");
    }
    for name in ["host:2376", "host 2376", "a//b:2376"] {
        let record = answer_to(&gate, name);
        // fatal (2), illegal_parameter (47): RFC 8446 §6.
        assert_eq!((record[0], &record[5..]), (ALERT, &[2, 47][..]), "{name}");
    }
    gate.logged(|line| {
        line.to_string().contains(
            "the name in the client's ClientHello (SNI) is not a host name; a name has no port",
        )
    });
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/differences.md"))
        .expect("a page");
    assert!(page.contains("such as `host:2376` | ignored | the handshake ends with `illegal_parameter`, and the log says so"));
}
