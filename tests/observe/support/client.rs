//! A client over mutual TLS that counts every byte, and a plain one for the local listeners.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;
use super::pki::Credential;

/// A connection through the gate.
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// The bytes of an exec start that asks for the hijack.
pub(crate) const EXEC_START: &str = "POST /v1.51/exec/e1/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

impl Client {
    /// Connects and completes the handshake; the server's verdict on the certificate comes with the first answer.
    pub(crate) fn connect(
        to: SocketAddr,
        ca: &CertificateDer<'static>,
        who: Option<&Credential>,
    ) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).expect("a trust anchor");
        let builder = ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
        let config = match who {
            Some(who) => builder
                .with_client_auth_cert(who.chain.clone(), who.key.clone_key())
                .expect("a credential"),
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut tcp = TcpStream::connect(to)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Self {
            stream: StreamOwned::new(tls, tcp),
            sent: 0,
            received: 0,
        })
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        let bytes = bytes.as_ref();
        self.stream.write_all(bytes)?;
        self.sent += bytes.len() as u64;
        self.stream.flush()
    }

    /// Sends a request without a body and reads its answer.
    pub(crate) fn ask(&mut self, method: &str, target: &str) -> Answer {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        self.send(request).expect("sent");
        self.answer().expect("an answer")
    }

    /// Reads an answer with a length.
    pub(crate) fn answer(&mut self) -> std::io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.read(1)?);
        }
        let head = String::from_utf8(head).expect("text");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().expect("a length");
            answer.body = String::from_utf8(self.read(length)?).expect("text");
        }
        Ok(answer)
    }

    /// Reads so many bytes.
    pub(crate) fn read(&mut self, n: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; n];
        self.stream.read_exact(&mut bytes)?;
        self.received += n as u64;
        Ok(bytes)
    }

    /// Starts an exec and waits until the connection is hijacked.
    pub(crate) fn hijack(&mut self) {
        self.send(EXEC_START).expect("sent");
        let answer = self.answer().expect("an answer");
        assert_eq!(answer.status, 101, "{answer:?}");
    }

    /// Sends through a hijacked connection what comes back.
    pub(crate) fn echo(&mut self, text: &str) {
        self.send(text).expect("sent");
        let back = self.read(text.len()).expect("an echo");
        assert_eq!(back, text.as_bytes());
    }

    /// Waits for the end of the connection, which must come instead of bytes.
    pub(crate) fn ended(&mut self) {
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => panic!("bytes instead of the end"),
            Err(e) => assert!(
                !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                "no end: {e}"
            ),
        }
    }
}

/// One request over TCP in plain HTTP.
pub(crate) fn http(to: SocketAddr, request: &str) -> Answer {
    let stream = TcpStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    exchange(stream, request)
}

/// `GET` over TCP in plain HTTP.
pub(crate) fn get(to: SocketAddr, target: &str) -> Answer {
    http(
        to,
        &format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    )
}

/// One request over a unix socket.
pub(crate) fn unix(to: &Path, request: &str) -> Answer {
    let stream = UnixStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    exchange(stream, request)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    Answer {
        status: head[9..12].parse().expect("a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
