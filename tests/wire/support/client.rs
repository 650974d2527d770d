//! A TLS client that writes exactly the records it is told to, and sees exactly the records that come.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use socket2::SockRef;

use super::{DEADLINE, Pki, same, text};

/// How the gate ended its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By close_notify: what came before is all there is.
    Clean,
    /// By FIN or RST alone: something is missing.
    Cut,
}

/// What came next.
#[derive(Debug)]
pub(crate) enum Record {
    Data(Vec<u8>),
    End,
}

/// An answer, read by the rules of RFC 9112.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What the docker CLI prints.
    #[track_caller]
    pub(crate) fn message(&self) -> String {
        assert!(
            self.head.contains("\r\nContent-Type: application/json\r\n"),
            "{self:?}"
        );
        let value: serde_json::Value = serde_json::from_slice(&self.body).expect("a JSON body");
        value["message"].as_str().expect("a message").to_owned()
    }
}

pub(crate) struct Client {
    pub(crate) tcp: TcpStream,
    tls: ClientConnection,
    held: Vec<u8>,
    ended: Option<End>,
}

impl Client {
    /// Connects and finishes the handshake.
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).expect("a connection and a handshake")
    }

    pub(crate) fn try_connect(addr: SocketAddr) -> std::io::Result<Self> {
        let mut tcp = TcpStream::connect_timeout(&addr, DEADLINE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(DEADLINE))?;
        tcp.set_write_timeout(Some(DEADLINE))?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Pki::shared().client.clone(), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        while tls.wants_write() {
            tls.write_tls(&mut tcp)?;
        }
        Ok(Self {
            tcp,
            tls,
            held: Vec::new(),
            ended: None,
        })
    }

    /// Sends `bytes` in as few records and segments as they need.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the gate reads");
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        for part in bytes.chunks(16 * 1024) {
            self.tls.writer().write_all(part)?;
            self.flush()?;
        }
        Ok(())
    }

    /// Sends `up` from a thread of its own while `down` is read here.
    #[track_caller]
    pub(crate) fn send_while_reading(&mut self, up: &[u8], down: &[u8]) {
        let mut wire = Vec::new();
        for part in up.chunks(16 * 1024) {
            self.tls.writer().write_all(part).unwrap();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut wire).unwrap();
            }
        }
        let mut tcp = self.tcp.try_clone().unwrap();
        let sending = std::thread::spawn(move || tcp.write_all(&wire));
        self.expect(down);
        sending.join().unwrap().expect("the gate reads");
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire)?;
        }
        self.tcp.write_all(&wire)
    }

    /// The alert alone, as Go's `CloseWrite` does.
    pub(crate) fn close_notify(&mut self) {
        self.tls.send_close_notify();
        self.flush().unwrap();
    }

    /// The FIN alone, as Python, Ruby and netty do.
    pub(crate) fn fin(&self) {
        self.tcp.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection by RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.tcp)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
    }

    /// The next TLS record that carries data, or the end.
    #[track_caller]
    pub(crate) fn record(&mut self) -> Record {
        if self.ended.is_some() {
            return Record::End;
        }
        loop {
            let mut record = vec![0; 5];
            if !self.fill(&mut record) {
                self.ended = Some(End::Cut);
                return Record::End;
            }
            let len = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + len, 0);
            if !self.fill(&mut record[5..]) {
                self.ended = Some(End::Cut);
                return Record::End;
            }
            let mut rest = &record[..];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).unwrap();
                let state = self.tls.process_new_packets().expect("TLS");
                if state.plaintext_bytes_to_read() > 0 {
                    let mut data = vec![0; state.plaintext_bytes_to_read()];
                    self.tls.reader().read_exact(&mut data).unwrap();
                    return Record::Data(data);
                }
                if state.peer_has_closed() {
                    self.ended = Some(End::Clean);
                    return Record::End;
                }
            }
        }
    }

    /// Fills `buf` from the socket; false at its end.
    #[track_caller]
    fn fill(&mut self, buf: &mut [u8]) -> bool {
        let mut at = 0;
        while at < buf.len() {
            match self.tcp.read(&mut buf[at..]) {
                Ok(0) => return false,
                Ok(n) => at += n,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!(
                    "nothing came from the gate ({e}); before that {}",
                    text(&self.held)
                ),
            }
        }
        true
    }

    #[track_caller]
    fn more(&mut self) -> bool {
        match self.record() {
            Record::Data(data) => {
                self.held.extend_from_slice(&data);
                true
            }
            Record::End => false,
        }
    }

    /// Exactly these bytes come next.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: &[u8]) {
        while self.held.len() < wanted.len() && self.more() {}
        let n = self.held.len().min(wanted.len());
        let got: Vec<u8> = self.held.drain(..n).collect();
        same(&got, wanted, "the client received");
    }

    /// Exactly `n` bytes.
    #[track_caller]
    pub(crate) fn take(&mut self, n: usize) -> Vec<u8> {
        while self.held.len() < n {
            assert!(
                self.more(),
                "the gate ended ({:?}) after {}",
                self.ended,
                text(&self.held)
            );
        }
        self.held.drain(..n).collect()
    }

    /// Everything until the end.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        while self.more() {}
        (std::mem::take(&mut self.held), self.ended.unwrap())
    }

    /// The gate ends so, and nothing comes before that.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, wanted: End) {
        let (rest, end) = self.rest();
        same(&rest, b"", "the client received before the end");
        assert_eq!(end, wanted);
    }

    /// The next head.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.held.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.held.drain(..at + 4).collect();
                return String::from_utf8(head).expect("a readable head");
            }
            assert!(
                self.more(),
                "the gate ended ({:?}) in mid-head: {}",
                self.ended,
                text(&self.held)
            );
        }
    }

    /// The next answer, of which the head gives the length (no other kind).
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .expect("a status");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().expect("a length"))
        });
        let body = self.take(length.unwrap_or(0));
        Answer { status, head, body }
    }

    /// Sends a request, and reads the gate's own refusal: JSON, `Connection: close`, then a clean end.
    #[track_caller]
    pub(crate) fn refused(&mut self, request: &[u8], status: u16) -> String {
        self.send(request);
        let answer = self.answer();
        assert_eq!(answer.status, status, "{answer:?} to {}", text(request));
        assert!(
            answer.head.contains("\r\nConnection: close\r\n"),
            "{answer:?}"
        );
        self.expect_end(End::Clean);
        let message = answer.message();
        assert!(message.starts_with("dockgate: "), "{message}");
        message
    }
}
