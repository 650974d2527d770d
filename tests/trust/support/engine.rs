//! A Docker Engine that answers pings, echoes hijacked streams, and streams numbered events for ever.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The pace of `/events`.
const EVENT_EVERY: Duration = Duration::from_millis(5);

/// Listens at `socket` for as long as the process lives.
pub(crate) fn start(socket: &Path) {
    let listener = UnixListener::bind(socket).expect("the engine's socket");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A connection that breaks is the client's affair.
            thread::spawn(move || _ = serve(stream));
        }
    });
}

fn serve(mut stream: UnixStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        });
        reader.read_exact(&mut vec![0; length.unwrap_or(0)])?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        if target.ends_with("/start") {
            stream.write_all(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")?;
            std::io::copy(&mut reader, &mut stream)?;
            return stream.shutdown(Shutdown::Both);
        }
        if target.ends_with("/events") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for number in 0_u64.. {
                // Eight digits and a newline: every chunk has the same length.
                write!(stream, "9\r\n{number:08}\n\r\n")?;
                thread::sleep(EVENT_EVERY);
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")?;
    }
}
