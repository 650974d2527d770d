//! What the engine does after the head: hijacked sessions, silent streams, timed lines.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{COMMON, PIECE};
use crate::measure::monotonic_ns;
use crate::pattern::{Pieces, Tally};

pub(super) async fn hijack(
    stream: &mut UnixStream,
    id: &str,
    upgrade: bool,
    first: Vec<u8>,
) -> io::Result<()> {
    let head = if upgrade {
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    } else {
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
    };
    stream.write_all(head.as_bytes()).await?;
    match id
        .split_once('-')
        .map_or((id, ""), |(kind, bytes)| (kind, bytes))
    {
        ("source", bytes) => {
            let bytes = bytes.parse().map_err(io::Error::other)?;
            for piece in Pieces::new(bytes, PIECE) {
                stream.write_all(piece).await?;
            }
            stream.shutdown().await?;
            // The client closes last; then nothing of the stream can be lost to a reset.
            let mut rest = [0; 1024];
            while tokio::time::timeout(Duration::from_secs(5), stream.read(&mut rest))
                .await
                .is_ok_and(|n| n.is_ok_and(|n| n > 0))
            {}
        }
        ("sink", _) => {
            let mut tally = Tally::default();
            tally.add(&first);
            let mut piece = vec![0; PIECE];
            loop {
                match stream.read(&mut piece).await? {
                    0 => break,
                    read => tally.add(&piece[..read]),
                }
            }
            stream
                .write_all(format!("{}\n", tally.text()).as_bytes())
                .await?;
            stream.shutdown().await?;
        }
        _ => {
            stream.write_all(&first).await?;
            // Small until the stream shows that it is a bulk one: thousands of these sit idle in one case.
            let mut piece = vec![0; 1024];
            loop {
                let read = stream.read(&mut piece).await?;
                if read == 0 {
                    break;
                }
                stream.write_all(&piece[..read]).await?;
                if read == piece.len() && read < PIECE {
                    piece.resize(PIECE, 0);
                }
            }
            stream.shutdown().await?;
        }
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

pub(super) async fn idle(stream: &mut UnixStream, last: bool) -> io::Result<()> {
    open_stream(stream, last).await?;
    write_line(
        stream,
        "{\"Type\":\"container\",\"Action\":\"start\"}\n",
        last,
    )
    .await?;
    let mut byte = [0; 1];
    while stream.read(&mut byte).await? > 0 {}
    Err(io::ErrorKind::ConnectionAborted.into())
}

pub(super) async fn timed_lines(
    stream: &mut UnixStream,
    lines: u64,
    interval: Duration,
    last: bool,
) -> io::Result<()> {
    open_stream(stream, last).await?;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for _ in 0..lines {
        ticks.tick().await;
        write_line(stream, &format!("{:020}\n", monotonic_ns()), last).await?;
    }
    if last {
        Ok(())
    } else {
        stream.write_all(b"0\r\n\r\n").await
    }
}

async fn open_stream(stream: &mut UnixStream, last: bool) -> io::Result<()> {
    let framing = if last {
        "Connection: close"
    } else {
        "Transfer-Encoding: chunked"
    };
    let head =
        format!("HTTP/1.1 200 OK\r\n{COMMON}Content-Type: application/json\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

async fn write_line(stream: &mut UnixStream, line: &str, last: bool) -> io::Result<()> {
    if last {
        return stream.write_all(line.as_bytes()).await;
    }
    stream
        .write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())
        .await
}
