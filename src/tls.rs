//! TLS: the handshake under one total deadline, from an accepted socket to a verified identity.
//!
//! A peer that does not get in learns why by the fitting alert, sent before the socket closes: write side first, then a short
//! drain, because a reset would destroy the alert on its way (docker-transport R23).

pub mod config;
pub mod files;
pub(crate) mod signatures;
pub mod socket;
pub mod verify;
pub use crate::net::words;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::net;
use pki::Rejection;
use pki::identity::Identity;
use socket::WideSocket;
use verify::ClientVerifier;

/// The TLS record type of a handshake message (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// How long, and for how many bytes, a refused peer is listened to before its socket closes.
const REFUSED_DRAIN: (Duration, usize) = (Duration::from_secs(1), 256 * 1024);

/// How long a peer may send nothing: clients send their first message at once.
const SILENCE: Duration = Duration::from_secs(2);

/// dockerd's answer to plain HTTP on its TLS port (Go, `net/http`).
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Where a ClientHello names its version, counted from the start of the record (RFC 8446 §4.1.2, §5.1).
const HELLO_VERSION: std::ops::Range<usize> = 9..11;

/// The fatal alert protocol_version (RFC 8446 §6.2), in a TLS 1.0 record so that old clients read it.
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// A connection whose client has proved who it is.
#[derive(Debug)]
pub struct Accepted {
    /// The decrypted stream.
    pub stream: Box<TlsStream<WideSocket>>,
    /// Its verified identity.
    pub identity: Arc<Identity>,
    /// The chain as presented, leaf first, for judging it again later.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why a peer did not get in.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeOutcome {
    /// It closed before it sent anything: a port probe.
    Probe,
    /// It spoke plain HTTP, and was told so.
    PlainHttp,
    /// It sent nothing in time.
    Silent,
    /// It gave its place to another peer, since places were short.
    Displaced,
    /// It sent a PROXY protocol header of this version.
    ProxyProtocol(u8),
    /// It spoke SSH.
    Ssh,
    /// It speaks nothing newer than TLS 1.1.
    OldVersion,
    /// The deadline passed.
    TimedOut,
    /// Its certificate was refused.
    Refused(Box<Rejection>),
    /// It presented no certificate.
    NoCertificate,
    /// Any other fault of the handshake, with the peer's own alert where it sent one.
    Failed(io::Error),
}

impl HandshakeOutcome {
    /// The word used in metrics labels and log fields, from a closed set.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::PlainHttp => "plain_http",
            Self::Silent => "silent",
            Self::Displaced => "displaced",
            Self::ProxyProtocol(_) => "proxy_protocol",
            Self::Ssh => "ssh",
            Self::OldVersion => "old_version",
            Self::TimedOut => "timed_out",
            Self::Refused(refusal) => refusal.reason.id(),
            Self::NoCertificate => "no_certificate",
            Self::Failed(_) => "failed",
        }
    }
}

impl HandshakeOutcome {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ProxyProtocol(_) => Some(
                "switch it off at the load balancer: no `send-proxy` in HAProxy's server line, `proxy_protocol off;` in nginx, proxy_protocol_v2.enabled=false for AWS",
            ),
            Self::Ssh => {
                Some("DOCKER_HOST must be tcp://HOST:PORT for this port, ssh:// is for port 22")
            }
            Self::PlainHttp => {
                Some("set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or https:// instead of http://")
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for HandshakeOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Probe => f.write_str("closed before sending anything"),
            Self::PlainHttp => f.write_str("plain HTTP on the TLS port; the client must use TLS"),
            Self::Silent => write!(f, "the peer sent nothing within {SILENCE:?}"),
            Self::Displaced => f.write_str("the handshake gave its place to another peer: too many were in progress (max-handshakes)"),
            Self::ProxyProtocol(version) => {
                write!(f, "a PROXY protocol header (version {version}) in front of TLS, which is not read here")
            }
            Self::Ssh => f.write_str("SSH on the TLS port"),
            Self::OldVersion => f.write_str("the client speaks TLS 1.1 or older; it must speak TLS 1.2 or 1.3"),
            Self::TimedOut => f.write_str("the handshake did not finish within its deadline"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NoCertificate => {
                f.write_str("the client presented no certificate (set DOCKER_CERT_PATH, or --tlscert and --tlskey)")
            }
            Self::Failed(e) => write!(f, "{}", explain(e)),
        }
    }
}

fn explain(error: &io::Error) -> String {
    use rustls::AlertDescription as Alert;
    let said = words::io_error(error);
    match error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown,
        )) => format!(
            "the client does not accept this server's certificate ({said}); check its --tlscacert and the name it dialled"
        ),
        Some(rustls::Error::AlertReceived(Alert::CertificateExpired)) => {
            "the client says this server's certificate has expired".to_owned()
        }
        _ => said,
    }
}

/// Performs the handshake; `verifier` is the one `acceptor` was made with, and belongs to this handshake alone. `deadline`
/// covers all of it: dripping bytes does not extend it. `on_first_bytes` is called when the peer has sent something.
///
/// # Errors
/// The outcome, after the peer has been told and its socket closed.
pub async fn accept(
    tcp: Arc<TcpStream>,
    acceptor: TlsAcceptor,
    verifier: &ClientVerifier,
    deadline: Instant,
    on_first_bytes: impl FnOnce(),
) -> Result<Accepted, HandshakeOutcome> {
    let mut socket = WideSocket::new(tcp);
    let silence = deadline.min(Instant::now() + SILENCE);
    let other = match timeout_at(silence, socket.peek()).await {
        Err(_) => return Err(HandshakeOutcome::Silent),
        Ok(Err(_)) | Ok(Ok([])) => return Err(HandshakeOutcome::Probe),
        Ok(Ok(first)) => other_protocol(first),
    };
    on_first_bytes();
    if let Some(other) = other {
        if matches!(other, HandshakeOutcome::PlainHttp) {
            let _ = timeout_at(deadline, socket.write_all(PLAIN_HTTP)).await;
        }
        socket
            .linger_and_close(REFUSED_DRAIN.0, REFUSED_DRAIN.1)
            .await;
        return Err(other);
    }
    // rustls would look for TLS 1.2's extensions first and blame their absence (handshake_failure).
    if is_old(socket.buffered()) {
        let _ = timeout_at(deadline, socket.write_all(&PROTOCOL_VERSION)).await;
        socket
            .linger_and_close(REFUSED_DRAIN.0, REFUSED_DRAIN.1)
            .await;
        return Err(HandshakeOutcome::OldVersion);
    }
    let handshake = acceptor.accept(socket).into_fallible();
    match timeout_at(deadline, handshake).await {
        Err(_) => Err(HandshakeOutcome::TimedOut),
        Ok(Ok(stream)) => identify(stream, verifier),
        Ok(Err((error, socket))) => {
            socket
                .linger_and_close(REFUSED_DRAIN.0, REFUSED_DRAIN.1)
                .await;
            Err(
                match (
                    verifier.found(),
                    error.get_ref().and_then(|e| e.downcast_ref()),
                ) {
                    (Some(Err(refusal)), _) => HandshakeOutcome::Refused(refusal.clone()),
                    (_, Some(rustls::Error::NoCertificatesPresented)) => {
                        HandshakeOutcome::NoCertificate
                    }
                    _ => HandshakeOutcome::Failed(error),
                },
            )
        }
    }
}

/// What a peer speaks whose first bytes are no record of TLS, where that can be told.
fn other_protocol(first: &[u8]) -> Option<HandshakeOutcome> {
    /// The start of a header of version 2 (HAProxy's proxy-protocol.txt, 2.2).
    const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    if first.starts_with(b"PROXY ") {
        Some(HandshakeOutcome::ProxyProtocol(1))
    } else if first.len() >= 5 && VERSION_2.starts_with(&first[..first.len().min(VERSION_2.len())])
    {
        Some(HandshakeOutcome::ProxyProtocol(2))
    } else if first.starts_with(b"SSH-") {
        Some(HandshakeOutcome::Ssh)
    } else if first.first().is_some_and(u8::is_ascii_alphabetic) {
        Some(HandshakeOutcome::PlainHttp)
    } else {
        None
    }
}

/// Whether `start` is a ClientHello whose highest version is below TLS 1.2.
fn is_old(start: &[u8]) -> bool {
    const CLIENT_HELLO: u8 = 1;
    start.first() == Some(&HANDSHAKE)
        && start.get(5) == Some(&CLIENT_HELLO)
        && start
            .get(HELLO_VERSION)
            .is_some_and(|version| version < [3, 3].as_slice())
}

fn identify(
    mut stream: TlsStream<WideSocket>,
    verifier: &ClientVerifier,
) -> Result<Accepted, HandshakeOutcome> {
    // As much plaintext as one bulk read brings becomes one write.
    stream.get_mut().1.set_buffer_limit(Some(net::BULK));
    let chain: Vec<_> = stream
        .get_ref()
        .1
        .peer_certificates()
        .unwrap_or_default()
        .to_vec();
    match verifier.found() {
        Some(Ok(admitted)) if !chain.is_empty() => Ok(Accepted {
            identity: admitted.identity.clone(),
            chain,
            stream: Box::new(stream),
        }),
        Some(Err(refusal)) => Err(HandshakeOutcome::Refused(refusal.clone())),
        _ => Err(HandshakeOutcome::NoCertificate),
    }
}
