//! Heads as we read them, and as hyper does.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::super::*;

/// A head as its reader understood it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeadReading {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) http10: bool,
    /// Names in lower case, sorted; lines of one name in their order.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    /// The length of the body, `None` if chunked.
    pub(super) length: Option<u64>,
}

impl HeadReading {
    fn sorted(mut self) -> Self {
        self.fields.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }
}

/// Ours: what [`request`] says, and the lines that it wrote for the engine.
pub(super) fn ours(head: &[u8]) -> Option<HeadReading> {
    let mut out = Vec::new();
    let read = request(head, &mut out, |_, _| false).ok()?;
    let text = |range: &Range<usize>| {
        std::str::from_utf8(&head[range.clone()])
            .expect("UTF-8")
            .to_owned()
    };
    let (method, target) = (text(&read.method), read.target(head).into_owned());
    docker_api::classify(&method, &target).ok()?;
    let body = &out[out.windows(2).position(|w| w == b"\r\n").expect("a line") + 2..];
    let fields = body
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let colon = line.iter().position(|b| *b == b':').expect("a colon");
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            (name, line[colon + 1..].trim_ascii().to_vec())
        })
        .collect();
    let length = if read.framing.is_chunked() {
        None
    } else {
        let mut left = read.framing.clone();
        let mut n = 0;
        while !left.is_done() {
            n += left.take(&[0; 64]).expect("a length").used as u64;
        }
        Some(n)
    };
    Some(
        HeadReading {
            method,
            target,
            http10: read.http10,
            fields,
            length,
        }
        .sorted(),
    )
}

fn read_by_hyper(request: &hyper::Request<Incoming>) -> HeadReading {
    let hint = request.body().size_hint();
    HeadReading {
        method: request.method().to_string(),
        target: request.uri().to_string(),
        http10: request.version() == hyper::Version::HTTP_10,
        fields: request
            .headers()
            .iter()
            .map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec()))
            .collect(),
        length: hint.exact(),
    }
    .sorted()
}

/// Hyper's: what its server hands to a service, `None` where it refuses or waits for more.
pub(super) fn hypers(bytes: &[u8]) -> Option<HeadReading> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let (seen, mut readings) = mpsc::unbounded_channel();
        let seen = Arc::new(seen);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            seen.send(read_by_hyper(&request)).expect("a receiver");
            std::future::pending::<Result<hyper::Response<Empty<Bytes>>, std::convert::Infallible>>(
            )
        });
        client.write_all(bytes).await.expect("room");
        let serving = http1::Builder::new()
            .max_headers(MAX_LINES)
            .serve_connection(TokioIo::new(server), service);
        let mut answer = Vec::new();
        tokio::select! {
            biased;
            reading = readings.recv() => reading,
            _ = serving => None,
            // An answer without a reading is a refusal.
            _ = client.read_to_end(&mut answer) => None,
            _ = tokio::time::sleep(Duration::from_secs(5)) => None,
        }
    })
}

fn without_hop_by_hop(mut reading: HeadReading) -> HeadReading {
    let named: Vec<String> = reading
        .fields
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value)
                .to_ascii_lowercase()
                .split(',')
                .map(|t| t.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    if !reading.fields.iter().any(|(name, _)| name == "upgrade") {
        let hop = [
            "connection",
            "keep-alive",
            "te",
            "proxy-connection",
            "proxy-authorization",
        ];
        reading
            .fields
            .retain(|(name, _)| !hop.contains(&name.as_str()) && !named.contains(name));
    }
    reading
}

/// What we let through, hyper reads the same way.
pub(super) fn agree(head: &[u8]) -> Result<bool, TestCaseError> {
    let Some(ours) = ours(head) else {
        return Ok(false);
    };
    let Some(hyper) = hypers(head) else {
        // Hyper's own limits, none of which is a second reading: `http::Uri` is narrower than the engine's parser.
        return Ok(false);
    };
    let mut ours = ours;
    // The gate's own line to the engine on HTTP/1.0.
    if ours.http10 {
        ours.fields.retain(|(name, _)| {
            name != "connection" || hyper.fields.iter().any(|(n, _)| n == "upgrade")
        });
    }
    prop_assert_eq!(
        &ours,
        &without_hop_by_hop(hyper),
        "{}",
        String::from_utf8_lossy(head)
    );
    Ok(true)
}
