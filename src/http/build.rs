//! `/grpc` under judgement: after the engine's 101 the gate ends HTTP/2 on both sides and passes calls on one by one.
//!
//! A call whose path is not known goes nowhere. A judged call has one message, which is held until the policy has spoken;
//! what goes on is the client's message with fields of the gate's appended. All other calls of a build stream through
//! with flow control. The path, the headers and the framing that the engine sees are the gate's own.
//!
//! Everything runs inside one future without tasks of its own: dropping it ends both connections, and the engine cancels
//! what it was doing for the client.

mod call;
mod held;
mod io;
mod owners;
mod relay;
mod report;

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::SendResponse;

use super::shared::Shared;
use super::tunnel::TunnelEnd;
use crate::observe::registry::Entry;
use call::Caller;
use io::{ClientIo, EngineIo};
pub use owners::{Builds, Holding};

use super::client::ClientStream;
use crate::engine::EngineStream;

/// Calls that one connection may have open at once. buildx opens about ten for each build.
const CALLS: u32 = 128;

/// Bytes of a call's headers.
const HEADERS: u32 = 16 * 1024;

/// Bytes that may be under way in one call, and in all calls of a connection, in each direction.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);

/// How long the two ends of HTTP/2 may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Bridges one connection until an end; `early` is what the engine sent together with its 101.
pub async fn bridge(
    shared: &Shared,
    entry: &Entry,
    client: &mut ClientStream,
    engine: &mut EngineStream,
    early: Vec<u8>,
) -> TunnelEnd {
    let engine = EngineIo {
        engine,
        early: early.into(),
    };
    let connecting = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_header_list_size(HEADERS)
        .max_send_buffer_size(WINDOWS.0 as usize)
        .handshake::<_, Bytes>(engine)
        .await;
    let (engine, mut connection) = match connecting {
        Ok(both) => both,
        Err(e) => return TunnelEnd::EngineFailed(failure(e)),
    };
    let client = ClientIo {
        client,
        meter: &entry.meter,
    };
    let mut accepting = h2::server::Builder::new()
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_header_list_size(HEADERS)
        .max_concurrent_streams(CALLS)
        .max_concurrent_reset_streams(CALLS as usize)
        .max_send_buffer_size(WINDOWS.0 as usize)
        .handshake::<_, Bytes>(client);
    let mut server = tokio::select! {
        accepted = &mut accepting => match accepted {
            Ok(server) => server,
            Err(e) => return TunnelEnd::Client(failure(e)),
        },
        ended = &mut connection => return engine_ended(ended),
    };
    let caller = Caller::new(shared, entry, engine);
    let mut calls = FuturesUnordered::new();
    let end = loop {
        tokio::select! {
            accepted = server.accept() => match accepted {
                Some(Ok((request, respond))) => calls.push(caller.serve(request, respond)),
                Some(Err(e)) => break TunnelEnd::Client(failure(e)),
                None => break TunnelEnd::Client(std::io::ErrorKind::UnexpectedEof.into()),
            },
            ended = &mut connection => break engine_ended(ended),
            Some(()) = calls.next(), if !calls.is_empty() => {}
        }
    };
    drop(calls);
    if matches!(end, TunnelEnd::Engine) {
        server.graceful_shutdown();
        let goodbye = poll_fn(|cx| server.poll_closed(cx));
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
    end
}

fn engine_ended(ended: Result<(), h2::Error>) -> TunnelEnd {
    match ended {
        Ok(()) => TunnelEnd::Engine,
        Err(e) => TunnelEnd::EngineFailed(failure(e)),
    }
}

fn failure(error: h2::Error) -> std::io::Error {
    std::io::Error::other(error)
}

/// The side of a call that answers.
type Respond = SendResponse<Bytes>;

/// The field in which a client names the session it opens.
const SESSION_ID: &str = "x-docker-expose-session-uuid";

/// The sessions that a head names.
pub fn sessions_named(head: &[u8]) -> Vec<String> {
    let fields = head.split(|b| *b == b'\n').skip(1).filter_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(SESSION_ID.as_bytes())
            .then(|| String::from_utf8_lossy(value).into_owned())
    });
    fields.collect()
}
