//! A TLS client that writes exactly the records it is told to, sees exactly the records that come, and counts every byte.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;

use crate::{DEADLINE, head_end, same, text};

/// The bytes of one event of [`crate::daemon::Daemon`]: a chunk of eight digits and a line feed.
const EVENT: usize = "9\r\n00000000\n\r\n".len();

/// An exec start that asks for the hijack.
pub const EXEC_START: &str = "POST /v1.51/exec/e1/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

/// How the gate ended its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By close_notify: what came before is all there is.
    Clean,
    /// By FIN or RST alone: something is missing.
    Cut,
}

/// What came next.
#[derive(Debug)]
pub enum TlsRecord {
    /// The data of one TLS record.
    Data(Vec<u8>),
    /// The end.
    End,
}

/// An answer, read by the rules of RFC 9112.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The head, its empty line included.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    fn read(bytes: &[u8]) -> Self {
        let end = head_end(bytes, 0).expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a readable head");
        Self {
            status: status(&head),
            head,
            body: bytes[end..].to_vec(),
        }
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a readable body")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// What the docker CLI prints of an error.
    #[track_caller]
    pub fn message(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        let message = self.json()["message"].as_str().map(str::to_owned);
        message.expect("a message")
    }
}

/// How a handshake, or the first request behind it, was refused.
#[derive(Debug)]
pub struct Refused {
    /// The alert's number (RFC 8446 §6), when one came.
    pub alert: Option<u8>,
    /// The error in full.
    pub error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
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

/// A connection through the gate.
pub struct TlsClient {
    /// The connection below TLS.
    pub tcp: TcpStream,
    /// Bytes of plain text sent so far.
    pub sent: u64,
    /// Bytes of plain text that were taken so far.
    pub received: u64,
    tls: ClientConnection,
    held: Vec<u8>,
    ended: Option<End>,
}

impl TlsClient {
    /// Connects and finishes the handshake. With TLS 1.3 the server's verdict on the certificate comes behind it.
    ///
    /// # Errors
    /// What the connection or the handshake failed with.
    pub fn connect(addr: SocketAddr, config: Arc<ClientConfig>) -> Result<Self> {
        let mut tcp = TcpStream::connect_timeout(&addr, DEADLINE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(DEADLINE))?;
        tcp.set_write_timeout(Some(DEADLINE))?;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(config, name).expect("a client");
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        while tls.wants_write() {
            tls.write_tls(&mut tcp)?;
        }
        Ok(Self {
            tcp,
            sent: 0,
            received: 0,
            tls,
            held: Vec::new(),
            ended: None,
        })
    }

    /// Connects and pings, so that the server's verdict is known.
    ///
    /// # Errors
    /// How it was refused.
    pub fn admitted(
        addr: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> std::result::Result<Self, Refused> {
        let mut client = Self::connect(addr, config)?;
        client.try_ping()?;
        Ok(client)
    }

    /// The server's own certificate.
    pub fn server(&self) -> CertificateDer<'static> {
        let chain = self.tls.peer_certificates().expect("a server");
        chain[0].clone().into_owned()
    }
}

/// Sending.
impl TlsClient {
    /// Sends `bytes` in as few records and segments as they need.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the gate reads");
    }

    /// The same, where the gate may have gone.
    ///
    /// # Errors
    /// What the write failed with.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        for part in bytes.as_ref().chunks(16 * 1024) {
            self.tls.writer().write_all(part)?;
            self.flush()?;
            self.sent += part.len() as u64;
        }
        Ok(())
    }

    /// Sends `up` from a thread of its own while `down` is read here.
    #[track_caller]
    pub fn send_while_reading(&mut self, up: &[u8], down: &[u8]) {
        let mut wire = Vec::new();
        for part in up.chunks(16 * 1024) {
            self.tls.writer().write_all(part).expect("room");
            while self.tls.wants_write() {
                self.tls.write_tls(&mut wire).expect("memory");
            }
        }
        let mut tcp = self.tcp.try_clone().expect("a second handle");
        let sending = std::thread::spawn(move || tcp.write_all(&wire));
        self.expect(down);
        let sent = sending.join().expect("the thread that sends");
        sent.expect("the gate reads");
    }

    fn flush(&mut self) -> Result<()> {
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire)?;
        }
        self.tcp.write_all(&wire)
    }

    /// The alert alone, as Go's `CloseWrite` does.
    pub fn close_notify(&mut self) {
        self.tls.send_close_notify();
        self.flush().expect("the gate reads");
    }

    /// The FIN alone, as Python, Ruby and netty do.
    pub fn fin(&self) {
        self.tcp.shutdown(Shutdown::Write).expect("a FIN");
    }

    /// Ends the connection by RST.
    pub fn reset(self) {
        let linger = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
        linger.expect("no lingering");
    }
}

/// Receiving.
impl TlsClient {
    /// The next TLS record that carries data, or the end.
    #[track_caller]
    pub fn record(&mut self) -> TlsRecord {
        match self.try_record() {
            Ok(record) => record,
            Err(e) => panic!(
                "nothing came from the gate ({e}); before that {}",
                text(&self.held)
            ),
        }
    }

    fn try_record(&mut self) -> Result<TlsRecord> {
        if self.ended.is_some() {
            return Ok(TlsRecord::End);
        }
        loop {
            // What came with the handshake's last flight is decrypted already.
            let state = self.tls.process_new_packets().map_err(invalid)?;
            if state.plaintext_bytes_to_read() > 0 {
                let mut data = vec![0; state.plaintext_bytes_to_read()];
                self.tls.reader().read_exact(&mut data)?;
                return Ok(TlsRecord::Data(data));
            }
            if state.peer_has_closed() {
                self.ended = Some(End::Clean);
                return Ok(TlsRecord::End);
            }
            let mut record = vec![0; 5];
            if !self.fill(&mut record)? {
                self.ended = Some(End::Cut);
                return Ok(TlsRecord::End);
            }
            let len = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + len, 0);
            if !self.fill(&mut record[5..])? {
                self.ended = Some(End::Cut);
                return Ok(TlsRecord::End);
            }
            let mut rest = &record[..];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest)?;
                self.tls.process_new_packets().map_err(invalid)?;
            }
        }
    }

    /// Fills `buf` from the socket; false at its end, a reset included.
    fn fill(&mut self, buf: &mut [u8]) -> Result<bool> {
        let mut at = 0;
        while at < buf.len() {
            match self.tcp.read(&mut buf[at..]) {
                Ok(0) => return Ok(false),
                Ok(n) => at += n,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Holds more; false at the end.
    #[track_caller]
    fn more(&mut self) -> bool {
        match self.record() {
            TlsRecord::Data(data) => {
                self.held.extend_from_slice(&data);
                true
            }
            TlsRecord::End => false,
        }
    }

    fn drain(&mut self, n: usize) -> Vec<u8> {
        self.received += n as u64;
        self.held.drain(..n).collect()
    }

    /// Exactly these bytes come next.
    #[track_caller]
    pub fn expect(&mut self, wanted: &[u8]) {
        while self.held.len() < wanted.len() && self.more() {}
        let n = self.held.len().min(wanted.len());
        let got = self.drain(n);
        same(&got, wanted, "the client received");
    }

    /// Exactly `n` bytes.
    #[track_caller]
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        self.try_take(n).expect("the gate goes on")
    }

    /// The same, where the gate may end.
    ///
    /// # Errors
    /// `UnexpectedEof` if it ended before that, or what the read failed with.
    pub fn try_take(&mut self, n: usize) -> Result<Vec<u8>> {
        while self.held.len() < n {
            self.try_more()?;
        }
        Ok(self.drain(n))
    }

    fn try_more(&mut self) -> Result<()> {
        match self.try_record()? {
            TlsRecord::Data(data) => {
                self.held.extend_from_slice(&data);
                Ok(())
            }
            TlsRecord::End => Err(Error::new(
                ErrorKind::UnexpectedEof,
                format!(
                    "the gate ended ({:?}) after {}",
                    self.ended,
                    text(&self.held)
                ),
            )),
        }
    }

    /// Everything until the end.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        while self.more() {}
        let n = self.held.len();
        (self.drain(n), self.ended.expect("an end"))
    }

    /// The gate ends so, and nothing comes before that.
    #[track_caller]
    pub fn expect_end(&mut self, wanted: End) {
        let (rest, end) = self.rest();
        same(&rest, b"", "the client received before the end");
        assert_eq!(end, wanted);
    }

    /// The gate ends, by close_notify, an alert or a cut, and no data comes before that.
    #[track_caller]
    pub fn ended(&mut self) {
        same(&self.held, b"", "the client received before the end");
        match self.try_record() {
            Ok(TlsRecord::End) => {}
            Ok(TlsRecord::Data(data)) => panic!("{} instead of the end", text(&data)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no end: {e}")
            }
            Err(_) => {}
        }
    }

    /// Waits in a thread of its own for the end, which must come instead of bytes; gives the moment it came.
    pub fn end(mut self) -> JoinHandle<Instant> {
        std::thread::spawn(move || {
            self.ended();
            Instant::now()
        })
    }
}

/// Requests and answers.
impl TlsClient {
    /// The next head.
    #[track_caller]
    pub fn head(&mut self) -> String {
        self.try_head().expect("a whole head")
    }

    fn try_head(&mut self) -> Result<String> {
        let mut seen = 0;
        loop {
            if let Some(end) = head_end(&self.held, seen) {
                let head = self.drain(end);
                return Ok(String::from_utf8(head).expect("a readable head"));
            }
            seen = self.held.len();
            self.try_more()?;
        }
    }

    /// The next answer, of which the head gives the length (no other kind).
    #[track_caller]
    pub fn answer(&mut self) -> HttpAnswer {
        self.try_answer().expect("an answer")
    }

    /// The same, where the gate may end.
    ///
    /// # Errors
    /// As of [`TlsClient::try_take`].
    pub fn try_answer(&mut self) -> Result<HttpAnswer> {
        let head = self.try_head()?;
        let length = field(&head, "content-length").map(|n| n.parse().expect("a length"));
        let body = self.try_take(length.unwrap_or(0))?;
        let text = String::from_utf8_lossy(&body);
        // Whatever the gate itself answers, in whichever test, is for people.
        if text.contains("dockgate: ") {
            crate::words::assert_plain("a refusal", &text);
        }
        Ok(HttpAnswer {
            status: status(&head),
            head,
            body,
        })
    }

    /// Sends a request without a body and reads its answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, target: &str) -> HttpAnswer {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        self.send(request);
        self.answer()
    }

    /// `GET` of a target.
    ///
    /// # Errors
    /// As of [`TlsClient::try_take`].
    pub fn try_get(&mut self, target: &str) -> Result<HttpAnswer> {
        self.try_send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))?;
        self.try_answer()
    }

    /// A ping.
    ///
    /// # Errors
    /// As of [`TlsClient::try_take`].
    pub fn try_ping(&mut self) -> Result<()> {
        let answer = self.try_get("/_ping")?;
        assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
        Ok(())
    }

    /// The same, which must work.
    #[track_caller]
    pub fn ping(&mut self) {
        self.try_ping().expect("the connection lives");
    }

    /// Sends a request, and reads the gate's own refusal: JSON, `Connection: close`, then a clean end.
    #[track_caller]
    pub fn refused(&mut self, request: &[u8], status: u16) -> String {
        self.send(request);
        let answer = self.answer();
        assert_eq!(answer.status, status, "{answer:?} to {}", text(request));
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
        self.expect_end(End::Clean);
        let message = answer.message();
        assert!(message.starts_with("dockgate: "), "{message}");
        message
    }

    /// Starts an exec and waits until the connection is hijacked.
    #[track_caller]
    pub fn hijack(&mut self) {
        self.send(EXEC_START);
        let answer = self.answer();
        assert_eq!(answer.status, 101, "{answer:?}");
    }

    /// The same, with a first echo, by value.
    #[track_caller]
    pub fn hijacked(mut self) -> Self {
        self.hijack();
        self.echo("first");
        self
    }

    /// Sends through a hijacked connection what comes back.
    #[track_caller]
    pub fn echo(&mut self, text: &str) {
        self.send(text);
        self.expect(text.as_bytes());
    }

    /// Asks for the events.
    #[track_caller]
    pub fn events(mut self) -> Self {
        self.send("GET /v1.51/events HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = self.head();
        assert_eq!(status(&head), 200, "{head}");
        self
    }

    /// The number of the next event.
    ///
    /// # Errors
    /// As of [`TlsClient::try_take`].
    pub fn event(&mut self) -> Result<u64> {
        let chunk = String::from_utf8(self.try_take(EVENT)?).expect("text");
        let number = chunk
            .strip_prefix("9\r\n")
            .and_then(|c| c.strip_suffix("\n\r\n"));
        Ok(number.and_then(|n| n.parse().ok()).expect("an event"))
    }
}

/// One request over TCP in plain HTTP.
#[track_caller]
pub fn http(to: SocketAddr, request: &str) -> HttpAnswer {
    let stream = TcpStream::connect(to).expect("connect");
    let timeout = stream.set_read_timeout(Some(DEADLINE));
    timeout.expect("a deadline");
    exchange(stream, request)
}

/// `GET` over TCP in plain HTTP.
#[track_caller]
pub fn get(to: SocketAddr, target: &str) -> HttpAnswer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    http(to, &request)
}

/// One request over a unix socket.
#[track_caller]
pub fn unix(to: &Path, request: &str) -> HttpAnswer {
    let stream = UnixStream::connect(to).expect("connect");
    let timeout = stream.set_read_timeout(Some(DEADLINE));
    timeout.expect("a deadline");
    exchange(stream, request)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> HttpAnswer {
    stream.write_all(request.as_bytes()).expect("send");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    HttpAnswer::read(&bytes)
}

fn status(head: &str) -> u16 {
    let word = head.split(' ').nth(1);
    word.and_then(|s| s.parse().ok()).expect("a status")
}

fn field<'h>(head: &'h str, wanted: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then_some(value.trim())
    })
}

fn invalid(error: rustls::Error) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}
