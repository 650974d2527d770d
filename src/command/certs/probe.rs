//! Asks a server for its certificates: a handshake that trusts nobody, sends nothing, and ends as soon as it knows.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection,
    client::danger::{ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::signatures::delegate_signatures;
use pki::CertsError;
use text::escape;

/// The whole probe, name resolution aside.
const DEADLINE: Duration = Duration::from_secs(10);

/// The chain a server presents, leaf first, and the name it was asked by.
pub(crate) struct ProbedChain {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) name: ServerName<'static>,
}

/// Fetches the chain of `tcp://host:port` (2376 when no port is given).
#[expect(clippy::too_many_lines, reason = "sequence")]
pub(crate) fn fetch(address: &str) -> Result<ProbedChain, CertsError> {
    let failed = |source: io::Error| CertsError::Probe {
        address: escape::without_credentials(address).into_owned(),
        source,
    };
    let (host, port) = split(address).ok_or_else(|| {
        CertsError::refused(
            format!("{} is not an address", escape::quoted(address)),
            "write tcp://docker.example:2376 or tcp://[2001:db8::1]:2376",
        )
    })?;
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        CertsError::refused(
            format!(
                "{} is neither a host name nor an address",
                escape::quoted(&host)
            ),
            "write tcp://docker.example:2376",
        )
    })?;
    let deadline = Instant::now() + DEADLINE;
    let mut stream = connect(&host, port, deadline).map_err(failed)?;
    let capture = Arc::new(ChainCapture {
        supported: provider().signature_verification_algorithms,
        chain: Mutex::new(None),
    });
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(io::Error::other(error)))?
        .dangerous()
        .with_custom_certificate_verifier(capture.clone())
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name.clone())
        .map_err(|error| failed(io::Error::other(error)))?;
    let take = || capture.chain.lock().ok().and_then(|mut chain| chain.take());
    loop {
        while connection.wants_write() {
            limit(&stream, deadline).map_err(failed)?;
            connection
                .write_tls(&mut stream)
                .map_err(|error| failed(timed_out(error)))?;
        }
        if let Some(chain) = take() {
            return Ok(ProbedChain { chain, name });
        }
        limit(&stream, deadline).map_err(failed)?;
        if connection
            .read_tls(&mut stream)
            .map_err(|error| failed(timed_out(error)))?
            == 0
        {
            return Err(failed(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server hung up during the handshake; is it speaking TLS?",
            )));
        }
        if let Err(error) = connection.process_new_packets() {
            // A server that refuses us has shown its certificate by then, more often than not.
            return match take() {
                Some(chain) => Ok(ProbedChain { chain, name }),
                None => Err(failed(io::Error::other(error))),
            };
        }
    }
}

/// The cryptography dockgate serves with.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn split(address: &str) -> Option<(String, u16)> {
    let rest = address
        .split_once("://")
        .map_or(address, |(_, rest)| rest)
        .trim_end_matches('/');
    let (host, port) = match rest.strip_prefix('[') {
        Some(v6) => {
            let (host, tail) = v6.split_once(']')?;
            (host, tail.strip_prefix(':'))
        }
        None => rest
            .split_once(':')
            .map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(2376), str::parse).ok()?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn limit(stream: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = left(deadline)?;
    stream
        .set_read_timeout(Some(left))
        .and_then(|()| stream.set_write_timeout(Some(left)))
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(timed_out(io::ErrorKind::TimedOut.into()))
    } else {
        Ok(left)
    }
}

fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", DEADLINE.as_secs()),
        ),
        _ => error,
    }
}

/// Keeps what the server presents instead of judging it. Nothing is ever sent over such a connection.
#[derive(Debug)]
struct ChainCapture {
    supported: WebPkiSupportedAlgorithms,
    chain: Mutex<Option<Vec<CertificateDer<'static>>>>,
}

impl ServerCertVerifier for ChainCapture {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut chain) = self.chain.lock() {
            *chain = Some(
                std::iter::once(leaf)
                    .chain(intermediates)
                    .map(|der| der.clone().into_owned())
                    .collect(),
            );
        }
        Ok(ServerCertVerified::assertion())
    }

    delegate_signatures!(algorithms: supported);
}
