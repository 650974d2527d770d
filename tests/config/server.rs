//! Servers for the doctor: one that is as it should be, and several that are not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rcgen::{RevokedCertParams, SerialNumber};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use rustls_pki_types::{CertificateRevocationListDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use crate::pki::DoctorPki;

pub(crate) const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 2\r\n\r\nOK";
/// The answer to an upgrade, and an empty SETTINGS frame.
const UPGRADE: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
const SETTINGS: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// A server that verifies clients and answers like an engine.
pub(crate) struct EngineServer {
    pub(crate) ping: String,
    pub(crate) upgrade: &'static str,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) revoked: bool,
}

impl Default for EngineServer {
    fn default() -> Self {
        Self {
            ping: PING.into(),
            upgrade: UPGRADE,
            versions: rustls::ALL_VERSIONS,
            revoked: false,
        }
    }
}

pub(crate) const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub(crate) const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
pub(crate) const CLIENT_SERIAL: u64 = 0x4f3a;

impl EngineServer {
    /// Serves with `pki`'s certificate, trusting the CA of `clients`.
    pub(crate) fn start(self, pki: &DoctorPki, clients: &DoctorPki) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(clients.ca.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if self.revoked {
            let list = clients.crl_of(vec![RevokedCertParams {
                serial_number: SerialNumber::from(CLIENT_SERIAL),
                revocation_time: OffsetDateTime::now_utc() - Duration::days(1),
                reason_code: None,
                invalidity_date: None,
            }]);
            verifier =
                verifier.with_crls([CertificateRevocationListDer::from(list.der().to_vec())]);
        }
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![pki.server.der().clone()],
                PrivatePkcs8KeyDer::from(pki.key.serialize_der()).into(),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut tls = ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::Stream::new(&mut tls, &mut socket);
                let mut head = [0; 2048];
                // A refused handshake ends here; rustls has sent its alert, and the client has not more to say.
                let Ok(n) = stream.read(&mut head) else {
                    continue;
                };
                if head[..n].starts_with(b"GET /_ping ") {
                    let _ = stream.write_all(self.ping.as_bytes());
                } else if head[..n].starts_with(b"POST /grpc ") {
                    let _ = stream.write_all(self.upgrade.as_bytes());
                    let answered = stream
                        .read(&mut head)
                        .is_ok_and(|n| head[..n].starts_with(b"PRI * HTTP/2.0\r\n"));
                    if answered && self.upgrade.contains(" 101 ") {
                        let _ = stream.write_all(SETTINGS);
                    }
                }
                tls.send_close_notify();
                let _ = tls.complete_io(&mut socket);
            }
        });
        format!("tcp://localhost:{port}")
    }
}

/// A listener without TLS that answers each connection with one text.
pub(crate) fn plain(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 2048]);
            let _ = socket.write_all(answer.as_bytes());
        }
    });
    format!("tcp://localhost:{port}")
}
