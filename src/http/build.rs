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
mod segments;

use std::future::poll_fn;
use std::time::Duration;

use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use data_encoding::HEXLOWER;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::Reason;
use h2::server::SendResponse;
use tokio::io::{AsyncRead, AsyncWrite};

use super::outgoing::Outgoing;
use super::shared::Shared;
use super::tunnel::TunnelEnd;
use crate::observe::registry::Entry;
use call::{Caller, Served};
use io::{ClientIo, EngineIo};
pub use owners::{Builds, Holding};
use segments::Segments;

use super::client::ClientStream;
use crate::engine::EngineStream;

/// Calls that one connection may have open at once. buildx opens about ten for each build.
const CALLS: u32 = 128;

/// Bytes of a call's headers.
const HEADERS: u32 = 16 * 1024;

/// Bytes of answers that may be under way in one call, and in all calls of a connection.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);

/// The same of what clients send. Wider windows are opened again less often, which costs a write each time; the connection's is
/// the bound, and leaves something to other calls where one does not move.
const CLIENT_WINDOWS: (u32, u32) = (1024 * 1024, 1280 * 1024);

/// Calls of one connection that may break off before their end, most often because the client gives them up: to open calls and
/// give them up costs a client next to nothing, and the gate and the engine a judgement each. buildx gives up a few in a build.
const BROKEN: u32 = 1000;

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
    let client = ClientIo {
        client,
        meter: &entry.meter,
    };
    bridge_between(shared, entry, client, engine).await
}

/// The same over any two connections.
#[expect(clippy::too_many_lines, reason = "sequence")]
pub async fn bridge_between<C, E>(shared: &Shared, entry: &Entry, client: C, engine: E) -> TunnelEnd
where
    C: AsyncRead + AsyncWrite + Unpin,
    E: AsyncRead + AsyncWrite + Unpin,
{
    let connecting = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_header_list_size(HEADERS)
        .max_send_buffer_size(WINDOWS.0 as usize)
        .handshake::<_, Segments>(engine)
        .await;
    let (engine, mut connection) = match connecting {
        Ok(both) => both,
        Err(e) => return TunnelEnd::EngineFailed(failure(e)),
    };
    let mut accepting = h2::server::Builder::new()
        .initial_window_size(CLIENT_WINDOWS.0)
        .initial_connection_window_size(CLIENT_WINDOWS.1)
        .max_header_list_size(HEADERS)
        .max_concurrent_streams(CALLS)
        .max_concurrent_reset_streams(CALLS as usize)
        .max_send_buffer_size(WINDOWS.0 as usize)
        .handshake::<_, Segments>(client);
    let mut server = tokio::select! {
        accepted = &mut accepting => match accepted {
            Ok(server) => server,
            Err(e) => return TunnelEnd::Client(failure(e)),
        },
        ended = &mut connection => return engine_ended(ended),
    };
    let caller = Caller::new(shared, entry, engine);
    let mut calls = FuturesUnordered::new();
    let mut broken = 0;
    let end = loop {
        tokio::select! {
            // What was read goes on before more is, and no call is taken while others are done.
            biased;
            Some(served) = calls.next(), if !calls.is_empty() => {
                broken += u32::from(served == Served::BrokeOff);
                if broken > BROKEN {
                    let why = format!("more than {BROKEN} calls of one connection broke off");
                    break TunnelEnd::Client(std::io::Error::other(why));
                }
            }
            ended = &mut connection => break engine_ended(ended),
            accepted = server.accept() => match accepted {
                Some(Ok((request, respond))) => calls.push(caller.serve(request, respond)),
                Some(Err(e)) => break TunnelEnd::Client(failure(e)),
                None => break TunnelEnd::Client(std::io::ErrorKind::UnexpectedEof.into()),
            },
        }
    };
    drop(calls);
    let calm = broken > BROKEN;
    if calm {
        server.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }
    if calm || matches!(end, TunnelEnd::Engine) {
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

/// What a client's cache mounts and the contexts of its builds are kept apart by. The digest of the public key tells
/// nothing that the certificate does not.
fn namespace(owner: &[u8; 32]) -> String {
    format!("dockgate-{}", HEXLOWER.encode(&owner[..16]))
}

/// The side of a call that answers.
type Respond = SendResponse<Segments>;

/// The field in which a client names the session it opens.
const SESSION_ID: &str = "x-docker-expose-session-uuid";

/// What else a client says of its session: what it is called, and which calls it answers.
const SESSION_FIELDS: [&str; 2] = [
    "x-docker-expose-session-name",
    "x-docker-expose-session-grpc-method",
];

/// The field by which the engine finds the files that an earlier session has sent.
const SHARED_KEY: &str = "X-Docker-Expose-Session-Sharedkey";

/// Keeps what the engine has of a client's contexts from other clients: a session with the same key, and files of the same
/// names, sizes and times, gets their content without having it. What comes last cannot be another client's.
pub fn keep_contexts_apart(out: &mut Outgoing, owner: &[u8; 32]) {
    out.replace_field(SHARED_KEY, |value| own_shared_key(value, owner));
}

fn own_shared_key(key: Option<&str>, owner: &[u8; 32]) -> String {
    let own = namespace(owner);
    match key {
        Some(key) => format!("{key}:{own}"),
        None => own,
    }
}

/// The fields of a session that is opened by a call, `bake` does so where targets share files; `None` if its id is not the
/// client's.
fn session_fields(
    builds: &Builds,
    fields: &HeaderMap,
    owner: &[u8; 32],
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut ids = fields.get_all(SESSION_ID).iter();
    let (id, None) = (ids.next()?, ids.next()) else {
        return None;
    };
    if !builds.is_free(Holding::Session, id.to_str().ok()?, owner) {
        return None;
    }
    let key = fields.get(SHARED_KEY).map(HeaderValue::to_str);
    let key = own_shared_key(key.transpose().ok()?, owner);
    let mut own = vec![
        (HeaderName::from_static(SESSION_ID), id.clone()),
        (
            HeaderName::from_bytes(SHARED_KEY.as_bytes()).ok()?,
            HeaderValue::from_str(&key).ok()?,
        ),
    ];
    for name in SESSION_FIELDS {
        let values = fields.get_all(name).iter().cloned();
        own.extend(values.map(|value| (HeaderName::from_static(name), value)));
    }
    Some(own)
}

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
