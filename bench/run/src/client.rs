//! The load generator's client: one connection, mutual TLS or the plain socket, and the least HTTP that is strict.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::engine::ChunkedBody;
use crate::pattern::Tally;
use crate::pki::{BenchPki, CLIENTS};

/// Which key exchange the client offers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyExchange {
    /// X25519 first, so that it is what every peer takes. P-256 comes after it because in TLS 1.2 that list also
    /// decides which certificates are acceptable.
    Classic,
    /// X25519MLKEM768 first, then X25519, as Docker's client offers since Go 1.24.
    Hybrid,
}

/// Where a connection goes.
#[derive(Clone)]
pub(crate) enum LoadTarget {
    /// Mutual TLS to a peer, as one client after the other.
    Tls(SocketAddr, Arc<Clients>),
    /// Straight to the engine.
    Socket(PathBuf),
}

/// The TLS set-up of several clients, taken in turn.
pub(crate) struct Clients {
    configs: Vec<Arc<ClientConfig>>,
    turn: AtomicUsize,
}

impl Clients {
    /// Everyone of whom there is a certificate.
    pub(crate) fn all(pki: &BenchPki, exchange: KeyExchange) -> Result<Self, String> {
        Ok(Self {
            configs: (0..CLIENTS)
                .map(|client| tls_config(pki, client, exchange))
                .collect::<Result<_, _>>()?,
            turn: AtomicUsize::new(0),
        })
    }

    fn next(&self) -> Arc<ClientConfig> {
        let turn = self.turn.fetch_add(1, Relaxed);
        Arc::clone(&self.configs[turn % self.configs.len()])
    }
}

/// One TLS 1.3 suite (and its TLS 1.2 counterparts, for the peer that has nothing newer) and no resumption: every
/// peer does the same cryptography, and each connection a full handshake.
pub(crate) fn tls_config(
    pki: &BenchPki,
    client: usize,
    exchange: KeyExchange,
) -> Result<Arc<ClientConfig>, String> {
    build(pki, client, exchange)
        .map(Arc::new)
        .map_err(|e| format!("cannot set up the client's TLS: {e}"))
}

fn build(
    pki: &BenchPki,
    client: usize,
    exchange: KeyExchange,
) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    use aws_lc_rs::{cipher_suite as suite, kx_group};
    let provider = CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: match exchange {
            KeyExchange::Classic => vec![kx_group::X25519, kx_group::SECP256R1],
            KeyExchange::Hybrid => vec![
                kx_group::X25519MLKEM768,
                kx_group::X25519,
                kx_group::SECP256R1,
            ],
        },
        ..aws_lc_rs::default_provider()
    };
    let mut roots = RootCertStore::empty();
    let (ca, own) = pki.client(client);
    roots.add(ca)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(own.chain, own.key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The bytes' way.
pub(crate) enum LoadWire {
    /// Mutual TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// The engine's own socket.
    Socket(UnixStream),
}

/// How a body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyFraming {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// A response head.
pub(crate) struct AnswerHead {
    /// Status code.
    pub(crate) status: u16,
    /// How its body ends.
    pub(crate) framing: BodyFraming,
    /// Whether the server closes after it.
    pub(crate) close: bool,
}

/// One connection and what was read ahead on it.
pub(crate) struct LoadConnection {
    wire: LoadWire,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl LoadConnection {
    /// Connects, with a full handshake where the target has TLS; `buffer` bytes hold what is read ahead.
    pub(crate) async fn open(target: &LoadTarget, buffer: usize) -> io::Result<Self> {
        let wire = match target {
            LoadTarget::Tls(address, clients) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let connector = TlsConnector::from(clients.next());
                LoadWire::Tls(Box::new(connector.connect(name, stream).await?))
            }
            LoadTarget::Socket(path) => LoadWire::Socket(UnixStream::connect(path).await?),
        };
        Ok(Self {
            wire,
            buffer: vec![0; buffer],
            start: 0,
            end: 0,
        })
    }

    /// Sends bytes and flushes them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes).await?;
        self.wire.flush().await
    }

    /// Ends the sending direction: close_notify, or a FIN on the socket.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.wire.shutdown().await
    }

    /// What was read and not yet used; empty only at the end of the stream.
    pub(crate) async fn read(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.fill().await?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Marks `count` of the bytes from [`LoadConnection::read`] as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Reads more behind what is not yet used: the rest of a cut chunk line.
    pub(crate) async fn read_more(&mut self) -> io::Result<()> {
        if self.fill().await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "connection closed in mid-body",
            ));
        }
        Ok(())
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            return Err(io::Error::other(
                "response head or chunk line longer than the buffer",
            ));
        }
        let read = self.wire.read(&mut self.buffer[self.end..]).await?;
        self.end += read;
        Ok(read)
    }

    /// Reads a response head.
    pub(crate) async fn head(&mut self) -> io::Result<AnswerHead> {
        loop {
            if let Some((head, size)) = parse(&self.buffer[self.start..self.end])? {
                self.consume(size);
                return Ok(head);
            }
            if self.fill().await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "connection closed before a response head",
                ));
            }
        }
    }

    /// Reads a body to its end, giving each piece to `tally`.
    pub(crate) async fn body(&mut self, framing: BodyFraming, tally: &mut Tally) -> io::Result<()> {
        let mut chunks = ChunkedBody::default();
        let begun = tally.bytes();
        loop {
            let input = &self.buffer[self.start..self.end];
            let (used, done) = match framing {
                BodyFraming::Length(length) => {
                    let left =
                        usize::try_from(length - (tally.bytes() - begun)).unwrap_or(usize::MAX);
                    let take = left.min(input.len());
                    tally.add(&input[..take]);
                    (take, take == left)
                }
                BodyFraming::Chunked => (chunks.feed(input, tally)?, chunks.done),
                BodyFraming::Close => {
                    tally.add(input);
                    (input.len(), false)
                }
            };
            self.consume(used);
            if done {
                return Ok(());
            }
            if self.fill().await? == 0 {
                if framing == BodyFraming::Close {
                    return Ok(());
                }
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "connection closed in mid-body",
                ));
            }
        }
    }

    /// Reads a body of known content; false if it is another.
    pub(crate) async fn body_is(
        &mut self,
        framing: BodyFraming,
        expected: &[u8],
    ) -> io::Result<bool> {
        if let BodyFraming::Length(length) = framing {
            if length != expected.len() as u64 {
                return Ok(false);
            }
            while self.end - self.start < expected.len() {
                if self.fill().await? == 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "connection closed in mid-body",
                    ));
                }
            }
            let same = &self.buffer[self.start..self.start + expected.len()] == expected;
            self.consume(expected.len());
            return Ok(same);
        }
        let mut wanted = Tally::default();
        wanted.add(expected);
        let mut tally = Tally::default();
        self.body(framing, &mut tally).await?;
        Ok(tally.text() == wanted.text())
    }

    /// The stream itself, with what was read ahead, for a hijacked session.
    pub(crate) fn into_parts(self) -> (LoadWire, Vec<u8>) {
        (self.wire, self.buffer[self.start..self.end].to_vec())
    }
}

fn parse(buffer: &[u8]) -> io::Result<Option<(AnswerHead, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) = response.parse(buffer).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let mut head = AnswerHead {
        status: response.code.unwrap_or(0),
        framing: BodyFraming::Close,
        close: false,
    };
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(io::Error::other)?;
            head.framing = BodyFraming::Length(text.parse().map_err(io::Error::other)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = BodyFraming::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.close = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(Some((head, size)))
}

impl AsyncRead for LoadWire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            LoadWire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            LoadWire::Socket(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for LoadWire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            LoadWire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            LoadWire::Socket(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            LoadWire::Tls(stream) => Pin::new(stream).poll_flush(cx),
            LoadWire::Socket(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            LoadWire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            LoadWire::Socket(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
