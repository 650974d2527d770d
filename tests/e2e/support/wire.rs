//! A raw connection, over TLS to a gate or over the unix socket to an engine: for scenarios where bytes count.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{OrSay, ScenarioResult, ensure};

/// An answer's head larger than this is no answer.
const HEAD_BYTES: usize = 1 << 20;

/// One connection with read and write deadlines.
pub(crate) struct RawWire {
    stream: Stream,
    pending: Vec<u8>,
}

enum Stream {
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub(crate) struct WireHead {
    /// The whole head, status line first, without the blank line.
    pub(crate) text: String,
    /// The status code.
    pub(crate) status: u16,
}

impl WireHead {
    /// The value of the first header of that name (any case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Connects to an engine's socket.
pub(crate) fn unix(socket: &Path, patience: Duration) -> ScenarioResult<RawWire> {
    let stream =
        UnixStream::connect(socket).context(&format!("connect to {}", socket.display()))?;
    stream
        .set_read_timeout(Some(patience))
        .context("set a read deadline")?;
    stream
        .set_write_timeout(Some(patience))
        .context("set a write deadline")?;
    Ok(RawWire {
        stream: Stream::Unix(stream),
        pending: Vec::new(),
    })
}

/// Connects to a gate with the client certificate in `folder` and completes the handshake.
pub(crate) fn tls(addr: SocketAddr, folder: &Path, patience: Duration) -> ScenarioResult<RawWire> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .context("take the TLS versions")?
    .with_root_certificates(roots(&folder.join("ca.pem"))?)
    .with_client_auth_cert(
        certificates(&folder.join("cert.pem"))?,
        PrivateKeyDer::from_pem_file(folder.join("key.pem")).context("read the client's key")?,
    )
    .context("use the client's certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").context("take the server's name")?;
    let connection = ClientConnection::new(Arc::new(config), name).context("begin TLS")?;
    let tcp = TcpStream::connect_timeout(&addr, patience).context("connect to the gate")?;
    tcp.set_nodelay(true).context("set TCP_NODELAY")?;
    tcp.set_read_timeout(Some(patience))
        .context("set a read deadline")?;
    tcp.set_write_timeout(Some(patience))
        .context("set a write deadline")?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream
            .conn
            .complete_io(&mut stream.sock)
            .context("shake hands")?;
    }
    Ok(RawWire {
        stream: Stream::Tls(Box::new(stream)),
        pending: Vec::new(),
    })
}

fn certificates(path: &Path) -> ScenarioResult<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).context("read certificates")?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .context("parse certificates")
}

fn roots(path: &Path) -> ScenarioResult<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).context("trust the CA")?;
    }
    Ok(roots)
}

impl RawWire {
    /// Sends bytes as one write (over TLS: one record, up to 16 KiB).
    pub(crate) fn send(&mut self, bytes: &[u8]) -> ScenarioResult {
        self.try_send(bytes).context("write")
    }

    /// The same, for peers that may already have stopped reading.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Reads an answer's head and leaves what follows for later.
    pub(crate) fn head(&mut self) -> ScenarioResult<WireHead> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n\r\n") {
                let rest = self.pending.split_off(end + 4);
                let head = String::from_utf8_lossy(&self.pending[..end]).into_owned();
                self.pending = rest;
                let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
                return Ok(WireHead {
                    status: status.ok_or(format!("no status line in {head:?}"))?,
                    text: head,
                });
            }
            ensure!(
                self.pending.len() < HEAD_BYTES,
                "an answer's head must not be larger than {HEAD_BYTES} bytes"
            );
            let count = self.fill()?;
            ensure!(
                count > 0,
                "the connection ended before an answer's head; got {:?}",
                lossy(&self.pending)
            );
        }
    }

    /// Reads a whole answer: head, and body by Content-Length, chunks or end of connection.
    pub(crate) fn answer(&mut self) -> ScenarioResult<(WireHead, Vec<u8>)> {
        let head = self.head()?;
        if head.status == 204 || head.status == 304 {
            return Ok((head, Vec::new()));
        }
        let body = if head
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            self.chunks()?
        } else if let Some(length) = head.header("content-length") {
            let length = length.parse().context("read Content-Length")?;
            self.exactly(length)?
        } else {
            self.read_to_end()?
        };
        Ok((head, body))
    }

    /// Reads until `wanted` has come; what was read is returned, `wanted` included.
    pub(crate) fn until(&mut self, wanted: &[u8]) -> ScenarioResult<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.pending, wanted) {
                let rest = self.pending.split_off(at + wanted.len());
                return Ok(std::mem::replace(&mut self.pending, rest));
            }
            let count = self.fill()?;
            ensure!(
                count > 0,
                "the connection ended before {:?}; got {:?}",
                lossy(wanted),
                lossy(&self.pending)
            );
        }
    }

    /// Reads exactly that many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> ScenarioResult<Vec<u8>> {
        while self.pending.len() < count {
            ensure!(
                self.fill()? > 0,
                "the connection ended {} bytes early",
                count - self.pending.len()
            );
        }
        let rest = self.pending.split_off(count);
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    /// Reads until the peer ends; a reset is an error, a missing close_notify is not.
    pub(crate) fn read_to_end(&mut self) -> ScenarioResult<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.pending))
    }

    /// Whether the peer ends the connection, without a byte more, within the given time.
    pub(crate) fn ends_within(&mut self, within: Duration) -> ScenarioResult<bool> {
        let deadline = Instant::now() + within;
        self.patience(within)?;
        let ended = match self.fill() {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) if Instant::now() >= deadline => {
                return Err(format!("still open after {within:?}: {error}"));
            }
            // A reset is an end too.
            Err(_) => true,
        };
        Ok(ended)
    }

    /// Sets how long one read or write may take.
    pub(crate) fn patience(&mut self, patience: Duration) -> ScenarioResult {
        match &self.stream {
            Stream::Unix(stream) => stream.set_read_timeout(Some(patience)),
            Stream::Tls(stream) => stream.sock.set_read_timeout(Some(patience)),
        }
        .context("set a read deadline")
    }

    /// Half-closes: FIN on the unix socket, close_notify alone over TLS (as Go does).
    pub(crate) fn half_close(&mut self) -> ScenarioResult {
        match &mut self.stream {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write).context("half-close"),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush().context("send close_notify")
            }
        }
    }

    /// Half-closes with a bare FIN and no close_notify (as Python, Ruby and netty do).
    pub(crate) fn bare_fin(&mut self) -> ScenarioResult {
        match &self.stream {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => stream.sock.shutdown(Shutdown::Write),
        }
        .context("send a FIN")
    }

    fn chunks(&mut self) -> ScenarioResult<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = lossy(&self.until(b"\r\n")?);
            let size = usize::from_str_radix(line.trim(), 16)
                .context(&format!("read the chunk size {line:?}"))?;
            body.extend_from_slice(&self.exactly(size)?);
            self.exactly(2)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn fill(&mut self) -> ScenarioResult<usize> {
        let mut chunk = [0; 16 << 10];
        let read = match &mut self.stream {
            Stream::Unix(stream) => stream.read(&mut chunk),
            Stream::Tls(stream) => stream.read(&mut chunk),
        };
        match read {
            Ok(count) => {
                self.pending.extend_from_slice(&chunk[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(format!(
                "cannot read: {error}; got {:?} before",
                lossy(&self.pending)
            )),
        }
    }
}

/// Bytes as text for messages.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
