//! What one session does: its set-up, its units, and how each unit is verified.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::client::{BodyFraming, LoadConnection, LoadTarget};
use crate::engine::{ChunkedBody, json_body};
use crate::measure::monotonic_ns;
use crate::pattern::expected;

use super::Counts;
use super::bulk::{Transfer, bulk};

/// One write of a bulk stream, and the room for one read.
pub(super) const PIECE: usize = 256 << 10;
/// Room for a head and a small body.
const SMALL: usize = 8 << 10;
/// How long a peer may take to answer an upgrade.
const UPGRADE: Duration = Duration::from_secs(2);
/// Bytes of a GiB, the unit of bulk work.
const GIB: f64 = (1_u64 << 30) as f64;

/// What a session does.
#[derive(Clone)]
pub(crate) enum Work {
    /// `GET /_ping` on a kept connection.
    Ping,
    /// A 2 KiB JSON document on a kept connection.
    Json,
    /// A new connection, a full handshake and a `GET /_ping` per unit.
    Command,
    /// A stream of so many bytes.
    Bulk(Transfer, u64),
    /// One byte there and back on a hijacked session.
    RoundTrip,
    /// Lines at an interval in microseconds: how late each arrives.
    Flush(u64),
    /// A stream on which nothing happens.
    Idle {
        /// Whether it is a hijacked one, or else `GET /events`.
        hijacked: bool,
    },
}

const PING: &[u8] =
    b"GET /_ping HTTP/1.1\r\nHost: docker\r\nUser-Agent: Docker-Client/28.5.2 (linux)\r\n\r\n";
const JSON: &[u8] =
    b"GET /v1.51/containers/json HTTP/1.1\r\nHost: docker\r\nUser-Agent: Docker-Client/28.5.2 (linux)\r\n\r\n";

pub(super) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("POST /v1.51{path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: Docker-Client/28.5.2 (linux)\r\n{headers}\r\n{body}")
        .into_bytes()
}

pub(super) fn get(path: &str) -> Vec<u8> {
    format!("GET /v1.51{path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: Docker-Client/28.5.2 (linux)\r\n\r\n").into_bytes()
}

/// Exec start as Docker's client sends it: an upgrade with a body.
pub(super) fn exec_start(id: &str) -> Vec<u8> {
    let body = r#"{"Detach":false,"Tty":true}"#;
    let headers = format!(
        "Content-Length: {}\r\nConnection: Upgrade\r\nContent-Type: application/json\r\nUpgrade: tcp\r\n",
        body.len()
    );
    post(&format!("/exec/{id}/start"), &headers, body)
}

fn attach() -> Vec<u8> {
    let headers =
        "Content-Length: 0\r\nConnection: Upgrade\r\nContent-Type: text/plain\r\nUpgrade: tcp\r\n";
    post(
        "/containers/web/attach?stdin=1&stdout=1&stream=1",
        headers,
        "",
    )
}

impl Work {
    /// Whether its sessions follow one another instead of running side by side.
    pub(crate) fn is_sequential(&self) -> bool {
        matches!(self, Self::Bulk(..))
    }

    /// Opens a session up to the first measured byte.
    pub(crate) async fn prepare(&self, target: &LoadTarget) -> io::Result<LoadConnection> {
        let room = if matches!(self, Self::Bulk(..)) {
            PIECE
        } else {
            SMALL
        };
        let room = if matches!(self, Self::Idle { .. }) {
            1024
        } else {
            room
        };
        let mut connection = LoadConnection::open(target, room).await?;
        match self {
            Self::Ping | Self::Json => {
                self.request(&mut connection).await?;
            }
            // Its own connections are opened in the window; this one only shows that the peer is there.
            Self::Command | Self::Flush(_) => {}
            Self::Bulk(_, bytes) => drop(expected(*bytes)),
            Self::RoundTrip => upgrade(&mut connection, &exec_start("echo")).await?,
            Self::Idle { hijacked: true } => upgrade(&mut connection, &attach()).await?,
            Self::Idle { hijacked: false } => {
                connection.send(&get("/events")).await?;
                let head = connection.head().await?;
                status(head.status, 200)?;
                // The first event arrives, so the stream is open all the way.
                while !connection.read().await?.contains(&b'}') {
                    let seen = connection.read().await?.len();
                    if seen == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    connection.consume(seen);
                }
            }
        }
        Ok(connection)
    }

    /// Does the session's part of the window; gives the connection back so that it is closed outside.
    #[expect(clippy::too_many_lines, reason = "sequence")]
    pub(crate) async fn drive(
        &self,
        mut connection: LoadConnection,
        target: &LoadTarget,
        until: Instant,
        counts: &Rc<RefCell<Counts>>,
    ) -> Option<LoadConnection> {
        match self {
            Self::Ping | Self::Json => {
                while Instant::now() < until && !counts.borrow().hopeless() {
                    let begun = Instant::now();
                    let close = match self.request(&mut connection).await {
                        Ok(close) => {
                            counts.borrow_mut().exchange(begun.elapsed());
                            close
                        }
                        Err(error) => {
                            counts.borrow_mut().bad(&error);
                            true
                        }
                    };
                    if close && let Ok(fresh) = LoadConnection::open(target, SMALL).await {
                        connection = fresh;
                    }
                }
                Some(connection)
            }
            Self::Command => {
                while Instant::now() < until && !counts.borrow().hopeless() {
                    let begun = Instant::now();
                    let outcome = command(target).await;
                    let mut counts = counts.borrow_mut();
                    match outcome {
                        Ok(()) => counts.exchange(begun.elapsed()),
                        Err(error) => counts.bad(&error),
                    }
                }
                Some(connection)
            }
            Self::Bulk(transfer, bytes) => {
                match bulk(*transfer, *bytes, connection).await {
                    Ok(()) => counts.borrow_mut().good(*bytes as f64 / GIB),
                    Err(error) => counts.borrow_mut().bad(&error),
                }
                None
            }
            Self::RoundTrip => {
                while Instant::now() < until && !counts.borrow().hopeless() {
                    let begun = Instant::now();
                    match round_trip(&mut connection).await {
                        Ok(()) => counts.borrow_mut().exchange(begun.elapsed()),
                        Err(error) => {
                            counts.borrow_mut().bad(&error);
                            break;
                        }
                    }
                }
                Some(connection)
            }
            Self::Flush(interval) => {
                let left = until.saturating_duration_since(Instant::now());
                let lines = u64::try_from(left.as_micros()).unwrap_or(0) / interval;
                if let Err(error) = timed_lines(&mut connection, lines, *interval, counts).await {
                    counts.borrow_mut().bad(&error);
                }
                Some(connection)
            }
            Self::Idle { .. } => {
                counts.borrow_mut().good(1.0);
                tokio::time::sleep_until(until.into()).await;
                Some(connection)
            }
        }
    }

    /// One request; true if the server closes after it.
    async fn request(&self, connection: &mut LoadConnection) -> io::Result<bool> {
        let (request, body) = match self {
            Self::Json => (JSON, json_body().as_bytes()),
            _ => (PING, b"OK".as_slice()),
        };
        connection.send(request).await?;
        let head = connection.head().await?;
        status(head.status, 200)?;
        if !connection.body_is(head.framing, body).await? {
            return Err(io::Error::other("the response body is not the engine's"));
        }
        Ok(head.close)
    }
}

pub(super) fn status(got: u16, expected: u16) -> io::Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "status {got} instead of {expected}"
    )))
}

async fn command(target: &LoadTarget) -> io::Result<()> {
    let mut connection = LoadConnection::open(target, SMALL).await?;
    Work::Ping.request(&mut connection).await?;
    connection.finish().await
}

pub(super) async fn upgrade(connection: &mut LoadConnection, request: &[u8]) -> io::Result<()> {
    connection.send(request).await?;
    let late = |_| io::Error::other(format!("no answer to the upgrade after {UPGRADE:?}"));
    let head = timeout(UPGRADE, connection.head()).await.map_err(late)??;
    if head.status != 101 {
        return Err(io::Error::other(format!(
            "unable to upgrade to tcp, received {}",
            head.status
        )));
    }
    Ok(())
}

async fn round_trip(connection: &mut LoadConnection) -> io::Result<()> {
    connection.send(b"x").await?;
    match connection.read().await? {
        b"x" => connection.consume(1),
        [] => {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "session ended instead of an echo",
            ));
        }
        other => return Err(io::Error::other(format!("{other:?} instead of the echo"))),
    }
    Ok(())
}

/// Receives lines that carry the engine's clock, and counts how late each is.
async fn timed_lines(
    connection: &mut LoadConnection,
    lines: u64,
    interval: u64,
    counts: &Rc<RefCell<Counts>>,
) -> io::Result<()> {
    connection
        .send(&get(&format!(
            "/containers/web/logs?follow=1&stdout=1&lines={lines}&interval_us={interval}"
        )))
        .await?;
    let head = connection.head().await?;
    status(head.status, 200)?;
    let mut chunks = ChunkedBody::default();
    let mut got = 0;
    let mut line = Vec::with_capacity(64);
    while got < lines {
        let input = connection.read().await?;
        let (now, size) = (monotonic_ns(), input.len());
        if size == 0 || chunks.done {
            return Err(io::Error::other(format!(
                "stream ended after {got} of {lines} lines"
            )));
        }
        let mut take = |data: &[u8]| {
            for byte in data {
                if *byte != b'\n' {
                    line.push(*byte);
                    continue;
                }
                if let Some(sent) = std::str::from_utf8(&line)
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok())
                {
                    let late = Duration::from_nanos(now.saturating_sub(sent));
                    counts.borrow_mut().exchange(late);
                    got += 1;
                }
                line.clear();
            }
        };
        // A proxy may cut its chunks anywhere, also within a line or a chunk's own head.
        let used = if head.framing == BodyFraming::Chunked {
            chunks.feed_with(input, take)?
        } else {
            take(input);
            size
        };
        connection.consume(used);
        if used == 0 {
            connection.read_more().await?;
        }
    }
    Ok(())
}
