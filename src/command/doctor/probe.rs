//! Handshakes and requests of the client walk, with every failure told apart.
//!
//! The server's certificate is verified in the handshake as any client would, and the verdict is kept so that it can be put in
//! words. TLS 1.3 servers judge the client's certificate after the client believes the handshake done (RFC 8446 §4.4.2.4), so
//! their alert arrives with the first read; [`Probe::ping`] knows.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, Error};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;

use crate::command::doctor::client::DoctorTarget;
use crate::command::doctor::probe::answer::{Head, docker_message, head_end, is_whole};
use crate::config::TlsPaths;
use crate::finding::Finding;
use crate::tls::files::ClientMaterial;
use crate::tls::signatures;
use pki::Certificate;

mod answer;
mod explain;

/// An answer is not read further.
const MAX_ANSWER: usize = 64 << 10;

/// Clocks that differ by more make fresh certificates seem not yet valid (ours are back-dated five minutes).
const SKEW: Duration = Duration::from_secs(300);

/// The client connection preface and an empty SETTINGS frame (RFC 9113 §3.4).
const H2_HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// One client in front of one address.
pub(super) struct Probe<'a> {
    pub(super) target: &'a DoctorTarget,
    pub(super) addr: SocketAddr,
    pub(super) timeout: Duration,
    pub(super) material: &'a ClientMaterial,
    /// Where that was read from.
    pub(super) paths: &'a TlsPaths,
}

impl Probe<'_> {
    /// The handshake as far as the client can see it: version, chain, name.
    pub(super) fn handshake(&self) -> Vec<Finding> {
        let (mut tls, verdict) = match self.connect() {
            Ok(parts) => parts,
            Err(finding) => return vec![finding],
        };
        if let Err(err) = tls.complete() {
            return vec![self.explain(&err, &verdict)];
        }
        let version = tls
            .connection
            .protocol_version()
            .map_or("TLS", |version| match version {
                rustls::ProtocolVersion::TLSv1_3 => "TLS 1.3",
                _ => "TLS 1.2",
            });
        let chain = verdict.chain();
        let Some(Ok(summary)) = chain.first().map(|der| Certificate::read(der)) else {
            return vec![Finding::error(
                "the server sent no certificate that can be read",
            )];
        };
        let until = pki::timestamp(summary.not_after);
        let mut findings = vec![Finding::ok(format!(
            "{version}; the server is {} ({}), issued by {}, valid until {until}",
            summary.subject,
            explain::names(&summary),
            summary.issuer
        ))];
        let mut anchors = self.material.server_ca.roots.iter();
        let is_its_own =
            anchors.any(|ca| summary.details.spki.ends_with(&ca.subject_public_key_info));
        if summary.passes_for_self_signed() && !is_its_own {
            findings.push(
                Finding::warning(format!(
                    "the server's certificate ({}) has the same subject as its CA and no key identifiers: OpenSSL-based \
                     clients (docker-py, node, curl) take it for self-signed and refuse it",
                    summary.subject
                ))
                .hint("on the server: `dockgate certs server --force`"),
            );
        }
        findings
    }

    /// `GET /_ping`: the server's verdict on the client, then the engine's answer, then the clocks.
    #[expect(clippy::too_many_lines, reason = "sequence")]
    pub(super) fn ping(&self) -> Vec<Finding> {
        let request = format!(
            "GET /_ping HTTP/1.1\r\nHost: {}\r\nUser-Agent: dockgate-doctor\r\nConnection: close\r\n\r\n",
            self.target.host
        );
        let answer = match self.exchange(request.as_bytes(), &[], is_whole) {
            Ok(answer) => answer,
            Err(finding) => return vec![finding],
        };
        let Some(head) = Head::parse(&answer) else {
            return vec![
                Finding::error("the server speaks TLS, but does not answer in HTTP")
                    .hint("is the port right? Docker's is 2376"),
            ];
        };
        let message = docker_message(&answer);
        match (head.status, message) {
            (200, _) if head.api_version.is_some() => {}
            (502 | 503, Some(message)) => {
                return vec![
                    Finding::error(format!(
                        "the gate cannot reach its engine: {}",
                        message.replace('\n', " ")
                    ))
                    .hint("on that host: `dockgate doctor`"),
                ];
            }
            (403, Some(message)) => {
                return vec![
                    Finding::warning(format!(
                        "the policy refuses a ping: {}",
                        message.replace('\n', " ")
                    ))
                    .hint("docker agrees on a version by a ping: allow system.ping and system.ping-head in the policy"),
                ];
            }
            (status, _) => {
                return vec![
                    Finding::error(format!(
                        "an HTTPS server, but no Docker Engine: it answers a ping with {status}"
                    ))
                    .hint("is the port right? Docker's is 2376"),
                ];
            }
        }
        let version = head.api_version.unwrap_or_default();
        let mut findings = vec![Finding::ok(format!(
            "the engine answers with API {version}: both certificates are accepted"
        ))];
        if let Some(skew) = head
            .date
            .map(|date| (date - OffsetDateTime::now_utc()).unsigned_abs())
            && skew > SKEW
        {
            findings.push(
                Finding::warning(format!(
                    "the clocks differ by {}s: fresh certificates will seem not yet valid",
                    skew.as_secs()
                ))
                .hint("set both: `timedatectl set-ntp true`"),
            );
        }
        findings
    }

    /// A hijacked connection there and back: `/grpc` upgrades to HTTP/2, and both sides say hello. It starts nothing.
    pub(super) fn hijack(&self) -> Finding {
        let request = format!(
            "POST /grpc HTTP/1.1\r\nHost: {}\r\nUser-Agent: dockgate-doctor\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
            self.target.host
        );
        // A SETTINGS frame's header is nine octets, its type the fourth (RFC 9113 §4.1).
        let complete = |answer: &[u8]| {
            head_end(answer)
                .is_some_and(|end| !answer.starts_with(b"HTTP/1.1 101") || answer.len() >= end + 9)
        };
        let answer = match self.exchange(request.as_bytes(), H2_HELLO, complete) {
            Ok(answer) => answer,
            Err(finding) => {
                return Finding::error(format!(
                    "a hijacked connection does not work: {}",
                    finding.text
                ))
                .hint("docker exec, attach and build need it: is there another proxy on the way?");
            }
        };
        let end = head_end(&answer).unwrap_or(answer.len());
        match Head::parse(&answer).map(|head| head.status) {
            Some(101) if answer.get(end + 3) == Some(&4) => {
                Finding::ok("a hijacked connection carries bytes both ways")
            }
            Some(101) => Finding::error("a connection is hijacked, but no bytes come back")
                .hint("docker exec, attach and build need it: is there another proxy on the way?"),
            Some(403) => Finding::warning(format!(
                "the policy refuses builds, so that no hijacked connection could be tried: {}",
                docker_message(&answer)
                    .unwrap_or_default()
                    .replace('\n', " ")
            )),
            Some(404) => Finding::warning(
                "the engine is too old for /grpc, so that no hijacked connection could be tried",
            ),
            status => Finding::error(format!(
                "a connection is not hijacked: the answer is {}",
                status.unwrap_or(0)
            ))
            .hint("docker exec, attach and build need it: is there another proxy on the way?"),
        }
    }

    /// Sends, reads until `complete`; after a `101`, sends `after` first.
    fn exchange(
        &self,
        request: &[u8],
        after: &[u8],
        complete: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, Finding> {
        let (mut tls, verdict) = self.connect()?;
        let mut answer = Vec::new();
        let mut upgraded = false;
        let result = tls
            .complete()
            .and_then(|()| tls.stream().write_all(request))
            .and_then(|()| {
                let mut buffer = [0; 4096];
                while answer.len() < MAX_ANSWER && !complete(&answer) {
                    match tls.stream().read(&mut buffer) {
                        Ok(0) => break,
                        Ok(n) => answer.extend_from_slice(&buffer[..n]),
                        // Many servers close without close_notify, some not at all; a whole head counts.
                        Err(_) if head_end(&answer).is_some() => break,
                        Err(err) => return Err(err),
                    }
                    if !upgraded
                        && head_end(&answer).is_some()
                        && answer.starts_with(b"HTTP/1.1 101")
                    {
                        upgraded = true;
                        tls.stream().write_all(after)?;
                    }
                }
                Ok(())
            });
        match result {
            Ok(()) => Ok(answer),
            Err(err) if is_cut(&err) => {
                Err(self.explain(&tls.last_word().unwrap_or(err), &verdict))
            }
            Err(err) => Err(self.explain(&err, &verdict)),
        }
    }

    fn connect(&self) -> Result<(Tls, Arc<ProbeVerdict>), Finding> {
        let broken = |what: String| Finding::error(format!("cannot start TLS: {what}"));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(self.material.server_ca.clone());
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|err| broken(err.to_string()))?;
        let verdict = Arc::new(ProbeVerdict {
            inner,
            seen: Mutex::default(),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| broken(err.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verdict.clone())
            .with_client_auth_cert(
                self.material.cert_chain.clone(),
                self.material.key.clone_key(),
            )
            .map_err(|err| broken(err.to_string()))?;
        let name = ServerName::try_from(self.target.host.clone()).map_err(|_| {
            broken(format!(
                "{:?} is not a name that a certificate can have",
                self.target.host
            ))
        })?;
        let connection =
            ClientConnection::new(Arc::new(config), name).map_err(|err| broken(err.to_string()))?;
        let socket = self.tcp().map_err(|err| broken(err.to_string()))?;
        Ok((Tls { connection, socket }, verdict))
    }

    fn tcp(&self) -> io::Result<Deadlined> {
        let stream = TcpStream::connect_timeout(&self.addr, self.timeout)?;
        Ok(Deadlined {
            stream,
            deadline: Instant::now() + self.timeout,
        })
    }
}

fn is_cut(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// The server's chain as it was presented; verification itself is rustls's own.
#[derive(Debug)]
struct ProbeVerdict {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl ProbeVerdict {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.seen
            .lock()
            .map(|chain| chain.clone())
            .unwrap_or_default()
    }
}

impl ServerCertVerifier for ProbeVerdict {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Ok(mut seen) = self.seen.lock() {
            *seen = std::iter::once(end_entity)
                .chain(intermediates)
                .map(|cert| cert.clone().into_owned())
                .collect();
        }
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }

    signatures::delegate_signatures!(verifier: inner);
}

struct Tls {
    connection: ClientConnection,
    socket: Deadlined,
}

impl Tls {
    fn complete(&mut self) -> io::Result<()> {
        while self.connection.is_handshaking() {
            if let Err(err) = self.connection.complete_io(&mut self.socket) {
                let last_word = if is_cut(&err) { self.last_word() } else { None };
                return Err(last_word.unwrap_or(err));
            }
        }
        Ok(())
    }

    /// A server that refuses us may close while we still write, and our write then fails before its alert is read.
    fn last_word(&mut self) -> Option<io::Error> {
        self.connection.read_tls(&mut self.socket).ok()?;
        let err = self.connection.process_new_packets().err()?;
        Some(io::Error::new(io::ErrorKind::InvalidData, err))
    }

    fn stream(&mut self) -> rustls::Stream<'_, ClientConnection, Deadlined> {
        rustls::Stream::new(&mut self.connection, &mut self.socket)
    }
}

/// A socket whose reads and writes together end at a deadline: a peer that drips bytes does not extend it.
struct Deadlined {
    stream: TcpStream,
    deadline: Instant,
}

impl Deadlined {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(Some(left))
        }
    }
}

impl Read for Deadlined {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buf)
    }
}

impl Write for Deadlined {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
