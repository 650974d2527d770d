//! Bulk streams: how each is moved and verified.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::work::{PIECE, exec_start, get, post, status, upgrade};
use crate::client::{BodyFraming, LoadConnection};
use crate::pattern::{Pieces, Tally, expected};

/// The chunk that Docker's client writes (Go's `io.Copy`).
const CHUNK: usize = 32 << 10;

/// One way to move many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transfer {
    /// A response body.
    Download(BodyFraming),
    /// A request body.
    Upload(BodyFraming),
    /// Both ways over a hijacked session.
    Echo,
    /// Engine to client over a hijacked session.
    Source,
    /// Client to engine over a hijacked session; the engine answers after the half-close.
    Sink,
}

/// Moves `bytes` and verifies them at the receiving end.
#[expect(clippy::too_many_lines, reason = "sequence")]
pub(super) async fn bulk(
    transfer: Transfer,
    bytes: u64,
    mut connection: LoadConnection,
) -> io::Result<()> {
    match transfer {
        Transfer::Download(framing) => {
            let mode = if framing == BodyFraming::Chunked {
                "chunked"
            } else {
                "length"
            };
            connection
                .send(&get(&format!(
                    "/images/get?names=web&bytes={bytes}&mode={mode}"
                )))
                .await?;
            let head = connection.head().await?;
            status(head.status, 200)?;
            let mut tally = Tally::default();
            connection.body(head.framing, &mut tally).await?;
            agree(&tally.text(), bytes)
        }
        Transfer::Upload(framing) => {
            if let Err(error) = upload(&mut connection, framing, bytes).await {
                // An early answer says more than a broken pipe.
                let answer = timeout(Duration::from_secs(1), connection.head()).await;
                let Ok(Ok(head)) = answer else {
                    return Err(error);
                };
                return Err(io::Error::other(format!(
                    "status {} before the end of the upload",
                    head.status
                )));
            }
            let head = connection.head().await?;
            status(head.status, 200)?;
            if !connection
                .body_is(head.framing, expected(bytes).as_bytes())
                .await?
            {
                return Err(io::Error::other(
                    "the engine received other bytes than were sent",
                ));
            }
            Ok(())
        }
        Transfer::Source => {
            upgrade(&mut connection, &exec_start(&format!("source-{bytes}"))).await?;
            let mut tally = Tally::default();
            connection.body(BodyFraming::Close, &mut tally).await?;
            agree(&tally.text(), bytes)
        }
        Transfer::Sink => {
            upgrade(&mut connection, &exec_start("sink")).await?;
            for piece in Pieces::new(bytes, PIECE) {
                connection.send(piece).await?;
            }
            connection.finish().await?;
            let mut answer = Vec::new();
            loop {
                // A peer that takes the half-close for a hang-up ends here with a reset or without close_notify.
                let Ok(part) = connection.read().await else {
                    break;
                };
                if part.is_empty() || answer.len() > 100 {
                    break;
                }
                answer.extend_from_slice(part);
                let used = part.len();
                connection.consume(used);
            }
            if answer.is_empty() {
                return Err(io::Error::other(
                    "output after the half-close of stdin is lost",
                ));
            }
            agree(String::from_utf8_lossy(&answer).trim(), bytes)
        }
        Transfer::Echo => {
            upgrade(&mut connection, &exec_start("echo")).await?;
            echo(connection, bytes).await
        }
    }
}

async fn upload(
    connection: &mut LoadConnection,
    framing: BodyFraming,
    bytes: u64,
) -> io::Result<()> {
    let chunked = framing == BodyFraming::Chunked;
    let length = if chunked {
        "Transfer-Encoding: chunked\r\n".to_owned()
    } else {
        format!("Content-Length: {bytes}\r\n")
    };
    let headers = format!("Content-Type: application/x-tar\r\n{length}");
    connection
        .send(&post("/images/load?quiet=1", &headers, ""))
        .await?;
    if !chunked {
        for piece in Pieces::new(bytes, PIECE) {
            connection.send(piece).await?;
        }
        return Ok(());
    }
    let mut out = Vec::with_capacity(PIECE + CHUNK);
    for piece in Pieces::new(bytes, CHUNK) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
        if out.len() >= PIECE {
            connection.send(&out).await?;
            out.clear();
        }
    }
    out.extend_from_slice(b"0\r\n\r\n");
    connection.send(&out).await
}

async fn echo(connection: LoadConnection, bytes: u64) -> io::Result<()> {
    let (wire, ahead) = connection.into_parts();
    let (mut reader, mut writer) = tokio::io::split(wire);
    let send = async {
        for piece in Pieces::new(bytes, 64 << 10) {
            writer.write_all(piece).await?;
        }
        writer.flush().await
    };
    let receive = async {
        let mut tally = Tally::default();
        tally.add(&ahead);
        let mut piece = vec![0; PIECE];
        while tally.bytes() < bytes {
            match reader.read(&mut piece).await? {
                0 => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "session ended in mid-echo",
                    ));
                }
                read => tally.add(&piece[..read]),
            }
        }
        agree(&tally.text(), bytes)
    };
    tokio::try_join!(send, receive).map(|_| ())
}

fn agree(got: &str, bytes: u64) -> io::Result<()> {
    let wanted = expected(bytes);
    if got == wanted {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "received {got:?} instead of {wanted:?} (bytes and CRC-32)"
    )))
}
