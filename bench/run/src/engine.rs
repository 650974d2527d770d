//! The fake engine: answers like dockerd on a unix socket, as fast as the machine allows, and checks what it receives.
//!
//! | request | answer |
//! |---|---|
//! | `GET …/_ping` | `OK` |
//! | `GET …/containers/json` | 2 KiB of JSON |
//! | `GET …/images/get?bytes=N&mode=length\|chunked` | N bytes of the pattern |
//! | `POST …/images/load` | byte count and CRC-32 of the body |
//! | `POST …/exec/{echo\|source-N\|sink}/start` | `101`, then that stream |
//! | `POST …/containers/{id}/attach` | `101`, then an echo |
//! | `GET …/containers/{id}/logs?lines=N&interval_us=U` | timed lines, each with the clock's reading |
//! | `GET …/events` | one event, then silence until the client goes |

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::pattern::{Pieces, Tally};

mod chunks;
mod streams;

pub(crate) use chunks::ChunkedBody;

/// The longest request head.
const MAX_HEAD: usize = 1 << 20;
/// The chunk that dockerd writes (Go's `io.Copy`).
const CHUNK: usize = 32 << 10;
/// One read or write of a stream.
const PIECE: usize = 256 << 10;
/// What dockerd puts into every answer.
const COMMON: &str = "Api-Version: 1.51\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker/28.5.2 (linux)\r\n";

/// Body of the JSON answer: one container as `docker ps` gets it, 2,048 bytes.
pub(crate) fn json_body() -> &'static str {
    static BODY: OnceLock<String> = OnceLock::new();
    BODY.get_or_init(|| {
        let id = "4f1c".repeat(16);
        let head = format!(
            r#"[{{"Id":"{id}","Names":["/web"],"Image":"nginx:1.27","Command":"nginx -g 'daemon off;'","Created":1735689600,"State":"running","Status":"Up 3 hours","Labels":{{"padding":""#
        );
        let tail = r#""}}]"#;
        format!("{head}{}{tail}", "x".repeat(2048 - head.len() - tail.len()))
    })
}

/// Serves until killed: one thread accepts, one single-threaded runtime per core serves.
pub(crate) fn run(socket: &Path) -> io::Result<()> {
    let _ = std::fs::remove_file(socket);
    let listener = std::os::unix::net::UnixListener::bind(socket)?;
    // nginx's workers drop their privileges, and must still reach the engine.
    std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let mut workers = Vec::new();
    for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
        let (send, mut receive) =
            tokio::sync::mpsc::channel::<std::os::unix::net::UnixStream>(1024);
        workers.push(send);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::spawn(move || {
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                while let Some(stream) = receive.recv().await {
                    tokio::task::spawn_local(async move {
                        let mut stream = UnixStream::from_std(stream)?;
                        serve(&mut stream).await
                    });
                }
            });
        });
    }
    for turn in 0.. {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        workers[turn % workers.len()]
            .blocking_send(stream)
            .map_err(io::Error::other)?;
    }
    Ok(())
}

struct AskedHead {
    target: String,
    size: usize,
    length: u64,
    chunked: bool,
    upgrade: bool,
    /// HTTP/1.0, or `Connection: close`: the answer ends with the connection, without chunks.
    last: bool,
}

async fn serve(stream: &mut UnixStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let head = loop {
            if let Some(head) = parse(&buffer)? {
                break head;
            }
            if buffer.len() > MAX_HEAD {
                return Err(io::Error::other("request head too long"));
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let rest = buffer.split_off(head.size);
        buffer = rest;
        answer(stream, &head, &mut buffer).await?;
        if head.last {
            return stream.shutdown().await;
        }
    }
}

fn parse(buffer: &[u8]) -> io::Result<Option<AskedHead>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(size) = request.parse(buffer).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let mut head = AskedHead {
        target: request.path.unwrap_or_default().to_owned(),
        size,
        length: 0,
        chunked: false,
        upgrade: false,
        last: request.version == Some(0),
    };
    for header in request.headers.iter() {
        let value = std::str::from_utf8(header.value).map_err(io::Error::other)?;
        match header.name {
            name if name.eq_ignore_ascii_case("content-length") => {
                head.length = value.parse().map_err(io::Error::other)?;
            }
            name if name.eq_ignore_ascii_case("transfer-encoding") => head.chunked = true,
            name if name.eq_ignore_ascii_case("upgrade") => head.upgrade = true,
            name if name.eq_ignore_ascii_case("connection") => {
                head.last |= value.eq_ignore_ascii_case("close");
            }
            _ => {}
        }
    }
    Ok(Some(head))
}

async fn answer(stream: &mut UnixStream, head: &AskedHead, buffer: &mut Vec<u8>) -> io::Result<()> {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let number = |name: &str| {
        let found = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.and_then(|n| n.parse::<u64>().ok())
    };
    let mut segments = path.rsplit('/');
    let (last, second, third) = (segments.next(), segments.next(), segments.next());
    match (third, second, last) {
        (_, _, Some("_ping")) => plain(stream, "text/plain; charset=utf-8", "OK").await,
        (_, Some("containers"), Some("json")) => {
            plain(stream, "application/json", json_body()).await
        }
        (_, Some("images"), Some("get")) => {
            let bytes = number("bytes").unwrap_or(0);
            download(
                stream,
                bytes,
                query.contains("mode=chunked") && !head.last,
                head.last,
            )
            .await
        }
        (_, Some("images"), Some("load")) => {
            let tally = receive_body(stream, head, buffer).await?;
            plain(stream, "application/json", &tally.text()).await
        }
        (_, _, Some("events")) => streams::idle(stream, head.last).await,
        (_, Some(_), Some("logs")) => {
            let interval = Duration::from_micros(number("interval_us").unwrap_or(1000));
            streams::timed_lines(stream, number("lines").unwrap_or(0), interval, head.last).await
        }
        (Some("exec"), Some(id), Some("start")) => {
            receive_body(stream, head, buffer).await?;
            streams::hijack(stream, id, head.upgrade, std::mem::take(buffer)).await
        }
        (Some("containers"), Some(_), Some("attach")) => {
            streams::hijack(stream, "echo", head.upgrade, std::mem::take(buffer)).await
        }
        _ => {
            let text = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\r\n{\"message\":\"page not found\"}";
            stream.write_all(text.as_bytes()).await
        }
    }
}

async fn plain(stream: &mut UnixStream, kind: &str, body: &str) -> io::Result<()> {
    let text = format!(
        "HTTP/1.1 200 OK\r\n{COMMON}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await
}

async fn download(
    stream: &mut UnixStream,
    bytes: u64,
    chunked: bool,
    last: bool,
) -> io::Result<()> {
    let framing = match (chunked, last) {
        (true, _) => "Transfer-Encoding: chunked".to_owned(),
        (false, true) => format!("Connection: close\r\nContent-Length: {bytes}"),
        (false, false) => format!("Content-Length: {bytes}"),
    };
    let head =
        format!("HTTP/1.1 200 OK\r\n{COMMON}Content-Type: application/x-tar\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    if !chunked {
        for piece in Pieces::new(bytes, PIECE) {
            stream.write_all(piece).await?;
        }
        return Ok(());
    }
    let mut out = Vec::with_capacity(PIECE + CHUNK);
    for piece in Pieces::new(bytes, CHUNK) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
        if out.len() >= PIECE {
            stream.write_all(&out).await?;
            out.clear();
        }
    }
    out.extend_from_slice(b"0\r\n\r\n");
    stream.write_all(&out).await
}

/// Reads a request body by its framing; what follows it stays in `buffer`.
async fn receive_body(
    stream: &mut UnixStream,
    head: &AskedHead,
    buffer: &mut Vec<u8>,
) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut piece = vec![
        0;
        if head.chunked || head.length > 65_536 {
            PIECE
        } else {
            4096
        }
    ];
    let mut decoder = ChunkedBody::default();
    let mut pending = std::mem::take(buffer);
    loop {
        let used = if head.chunked {
            decoder.feed(&pending, &mut tally)?
        } else {
            let left = usize::try_from(head.length - tally.bytes()).unwrap_or(usize::MAX);
            let take = left.min(pending.len());
            tally.add(&pending[..take]);
            take
        };
        if if head.chunked {
            decoder.done
        } else {
            tally.bytes() == head.length
        } {
            *buffer = pending.split_off(used);
            return Ok(tally);
        }
        pending.drain(..used);
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Data go straight from the read buffer into the tally; only a cut chunk line is kept.
        if !head.chunked {
            let left = usize::try_from(head.length - tally.bytes()).unwrap_or(usize::MAX);
            let take = left.min(read);
            tally.add(&piece[..take]);
            pending.extend_from_slice(&piece[take..read]);
        } else if pending.is_empty() {
            let used = decoder.feed(&piece[..read], &mut tally)?;
            pending.extend_from_slice(&piece[used..read]);
        } else {
            pending.extend_from_slice(&piece[..read]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_body_is_two_kibibytes_of_json() {
        assert_eq!(json_body().len(), 2048);
        serde_json::from_str::<serde_json::Value>(json_body()).expect("the body must be JSON");
    }
}
