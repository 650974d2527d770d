//! Receives the engine's traces (OTLP over HTTP, opentelemetry-proto `trace.proto`): a span for each request that its router
//! gave to a handler, named by the route's own pattern.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{OrSay, ScenarioResult};

/// One request that reached a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Method and pattern of the route: `GET /containers/{name:.*}/json`.
    pub(crate) route: String,
    /// The request's User-Agent.
    pub(crate) agent: String,
}

/// A collector on loopback; its thread ends with the process.
pub(crate) struct Collector {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    spans: Arc<(Mutex<Vec<Span>>, Condvar)>,
}

impl Collector {
    /// Starts listening.
    pub(crate) fn start() -> ScenarioResult<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for traces")?;
        let addr = listener.local_addr().context("ask for the address")?;
        let spans: Arc<(Mutex<Vec<Span>>, Condvar)> = Arc::default();
        let sink = spans.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let sink = sink.clone();
                thread::spawn(move || receive(&connection, &sink));
            }
        });
        Ok(Self { addr, spans })
    }

    /// What makes an engine send its traces here, soon.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", self.addr),
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".into()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".into()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "65536".into()),
            ("NO_PROXY", "127.0.0.1".into()),
        ]
    }

    /// Everything received, once a span with that agent has come.
    pub(crate) fn wait_for(&self, agent: &str, within: Duration) -> ScenarioResult<Vec<Span>> {
        let deadline = Instant::now() + within;
        let (lock, changed) = &*self.spans;
        let mut spans = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !spans.iter().any(|span| span.agent == agent) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!(
                    "no trace of {agent} among {} within {within:?}",
                    spans.len()
                ));
            }
            spans = changed
                .wait_timeout(spans, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(spans.clone())
    }
}

/// Answers the engine's POST requests on one connection until it ends.
fn receive(connection: &TcpStream, sink: &(Mutex<Vec<Span>>, Condvar)) {
    let mut reader = BufReader::new(connection);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(count) if count > 0 => {}
                _ => return,
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or_default();
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let (lock, changed) = sink;
        let mut spans = lock.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(read(&body));
        drop(spans);
        changed.notify_all();
        let mut connection = connection;
        if connection
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .is_err()
        {
            return;
        }
    }
}

/// The server spans of an `ExportTraceServiceRequest`.
fn read(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in parts(request, 1) {
        for scope in parts(resource, 2) {
            for span in parts(scope, 2) {
                let agent = parts(span, 9).into_iter().find_map(|attribute| {
                    let key = *parts(attribute, 1).first()?;
                    let value = *parts(attribute, 2).first()?;
                    (key == b"user_agent.original").then(|| text(parts(value, 1).first().copied()))
                });
                if let Some(agent) = agent {
                    let route = text(parts(span, 5).first().copied());
                    spans.push(Span { route, agent });
                }
            }
        }
    }
    spans
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// The length-delimited fields of that number in a protobuf message; a broken message gives those before the break.
fn parts(message: &[u8], number: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Some(key) = varint(&mut rest) {
        let length = match key & 7 {
            0 => {
                if varint(&mut rest).is_none() {
                    break;
                }
                continue;
            }
            1 => 8,
            5 => 4,
            2 => match varint(&mut rest).and_then(|length| usize::try_from(length).ok()) {
                Some(length) => length,
                None => break,
            },
            _ => break,
        };
        let Some((value, behind)) = rest.split_at_checked(length) else {
            break;
        };
        if key & 7 == 2 && key >> 3 == number {
            found.push(value);
        }
        rest = behind;
    }
    found
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
