//! A client over mutual TLS of a chosen version, which learns the alert it is refused with.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::PATIENCE;
use super::pki::Credential;

/// The bytes of one event: a chunk of eight digits and a newline.
const EVENT: usize = "9\r\n00000000\n\r\n".len();

/// A connection through the gate.
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// How a connection was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The alert's number (RFC 8446 §6), when one came.
    pub(crate) alert: Option<u8>,
    /// The error in full.
    #[expect(dead_code, reason = "for messages of failed tests")]
    pub(crate) error: std::io::Error,
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        let tls = error
            .get_ref()
            .and_then(|e| e.downcast_ref::<rustls::Error>());
        let alert = match tls {
            Some(rustls::Error::AlertReceived(alert)) => Some(u8::from(*alert)),
            _ => None,
        };
        Self { alert, error }
    }
}

impl Client {
    /// Connects, and pings: with TLS 1.3 the server's verdict comes after the client's side of the handshake.
    pub(crate) fn connect(
        to: SocketAddr,
        roots: &[CertificateDer<'static>],
        who: Option<&Credential>,
        version: &'static SupportedProtocolVersion,
    ) -> Result<Self, Refused> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone()).expect("a trust anchor");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(store);
        let mut config = match who {
            Some(who) => builder
                .with_client_auth_cert(who.chain.clone(), who.key.clone_key())
                .expect("a credential"),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut tcp = TcpStream::connect(to)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        let mut client = Self {
            stream: StreamOwned::new(tls, tcp),
        };
        client.try_ping()?;
        Ok(client)
    }

    /// The server's own certificate.
    pub(crate) fn server(&self) -> CertificateDer<'static> {
        let chain = self.stream.conn.peer_certificates().expect("a server");
        chain[0].clone().into_owned()
    }

    /// A request on the same connection.
    pub(crate) fn try_ping(&mut self) -> std::io::Result<()> {
        let (status, body) = self.get("/_ping")?;
        assert_eq!((status, body.as_str()), (200, "OK"));
        Ok(())
    }

    /// The same, which must work.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        self.try_ping().expect("the connection lives");
    }

    /// Any `GET`: its status and body.
    pub(crate) fn get(&mut self, target: &str) -> std::io::Result<(u16, String)> {
        let head = self.request(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))?;
        let length = head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().expect("a length"))
        });
        let body = self.read(length.unwrap_or(0))?;
        let status = head[9..12].parse().expect("a status");
        Ok((status, String::from_utf8(body).expect("text")))
    }

    /// Starts an exec and waits until the connection is hijacked.
    pub(crate) fn hijack(mut self) -> Self {
        let head = self
            .request("POST /v1.51/exec/e1/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            .expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        self.echo("first");
        self
    }

    /// Sends through a hijacked connection what comes back.
    #[track_caller]
    pub(crate) fn echo(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("sent");
        let back = self.read(text.len()).expect("an echo");
        assert_eq!(back, text.as_bytes());
    }

    /// Asks for the events.
    pub(crate) fn events(mut self) -> Self {
        let head = self
            .request("GET /v1.51/events HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        self
    }

    /// The number of the next event.
    pub(crate) fn event(&mut self) -> std::io::Result<u64> {
        let chunk = String::from_utf8(self.read(EVENT)?).expect("text");
        let number = chunk
            .strip_prefix("9\r\n")
            .and_then(|c| c.strip_suffix("\n\r\n"));
        Ok(number.and_then(|n| n.parse().ok()).expect("an event"))
    }

    /// Waits in a thread of its own for the end, which must come instead of bytes; gives the moment it came.
    pub(crate) fn end(mut self) -> JoinHandle<Instant> {
        std::thread::spawn(move || match self.stream.read(&mut [0]) {
            Ok(0) => Instant::now(),
            Ok(_) => panic!("bytes instead of the end"),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no end: {e}")
            }
            Err(_) => Instant::now(),
        })
    }

    fn request(&mut self, request: &str) -> std::io::Result<String> {
        self.stream.write_all(request.as_bytes())?;
        self.stream.flush()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.read(1)?);
        }
        Ok(String::from_utf8(head).expect("text"))
    }

    fn read(&mut self, n: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; n];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
