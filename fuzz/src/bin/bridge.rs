//! The HTTP/2 of judged builds: whatever bytes a client or an engine sends, the bridge ends when its client does, works no more than
//! the bytes are worth, keeps nothing, and passes on known calls alone, a Solve with the role's rules.
#![no_main]

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use buildkit::{Call, append};
use bytes::Bytes;
use dockgate::app::App;
use dockgate::cli::{self, Command};
use dockgate::config::{self, search::Places};
use dockgate::engine::Upstream;
use dockgate::generation::Generation;
use dockgate::house::{House, Surroundings, Survey};
use dockgate::http::build::bridge_between;
use dockgate::http::shared::{Current, Deadlines, HttpLimits, Shared};
use dockgate::limits::SharedMemory;
use dockgate::observe::registry::Registry;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, Request, Response};
use libfuzzer_sys::fuzz_target;
use pki::identity::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const POLICY: &str = r#"version = 1
[[client]]
match = { any = true }
role = "maker"
[role.maker]
base = "builder"
[role.maker.limits]
tags = ["ci/**"]
images = ["docker.io/library/**"]
[role.maker.build]
"#;

/// What a client of HTTP/2 begins with; inputs are what comes behind it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that a connection takes before it waits for its reader.
const PIPE: usize = 64 * 1024;

/// Fields that a call may have when it reaches the engine.
const FIELDS: &[&str] = &[
    "content-type",
    "te",
    "user-agent",
    "baggage",
    "buildkit-controlapi-buildid",
    "grpc-timeout",
    "grpc-trace-bin",
    "traceparent",
    "tracestate",
    "grpc-accept-encoding",
    "grpc-encoding",
    "x-docker-expose-session-uuid",
    "x-docker-expose-session-sharedkey",
    "x-docker-expose-session-name",
    "x-docker-expose-session-grpc-method",
];

/// What a gate with the policy has in force, made once.
static GENERATION: LazyLock<Arc<Generation>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let policy = dir.path().join("policy.toml");
    std::fs::write(&policy, POLICY).expect("write the policy");
    let certs = dir.path().join("certs");
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let options = [
        "dockgate",
        "serve",
        "-H",
        "tcp://127.0.0.1:0",
        "--auto-certs",
    ];
    let off = [
        "--control-socket",
        "off",
        "--reload-interval",
        "off",
        "--policy",
    ];
    let options = options.map(str::to_owned).into_iter().chain([path(&certs)]);
    let options = options.chain(off.map(str::to_owned)).chain([path(&policy)]);
    let Command::Serve(args) = cli::parse(options).expect("options").into_command() else {
        panic!("serve was asked for")
    };
    let places = Places::below(dir.path(), dir.path(), None);
    let config = config::load_within(&args, [], &places).expect("a configuration");
    App::build(config).expect("a gate").generation()
});

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().expect("a runtime")
});

/// A gate that has seen no client yet.
fn shared() -> Shared {
    Shared {
        upstream: Upstream::new("/nowhere".into(), Duration::from_secs(1)),
        deadlines: Deadlines {
            head: Duration::from_secs(1),
            tunnel_grace: Duration::from_secs(1),
        },
        limits: HttpLimits {
            head_bytes: 16 * 1024,
            header_lines: 100,
            session_max_age: None,
        },
        pending_bodies: SharedMemory::new(64 << 20),
        builds: Default::default(),
        owners: Default::default(),
        made: Default::default(),
        metrics: Arc::default(),
        draining: Default::default(),
        generation: Current::new(Generation::clone(&GENERATION)),
        house: House::new(Survey::default(), Surroundings::default()),
        audit: None,
        plugin: None,
        access_log: false,
        on_request: None,
    }
}

fn identity() -> Identity {
    Identity {
        common_names: vec!["one".into()],
        serial: "1".into(),
        issuer: "CN=ca".into(),
        fingerprint: [1; 32],
        spki: [1; 32],
        ..Identity::unnamed()
    }
}

/// Answers each call once it has come whole, as an engine does, and looks at what reached it.
async fn engine(socket: DuplexStream) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = calls.next(), if !calls.is_empty() => {}
            call = connection.accept() => match call {
                Some(Ok((request, respond))) => calls.push(answer(request, respond)),
                _ => return,
            },
        }
    }
}

async fn answer(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let call = Call::from_path(path).expect("only known calls go on");
    for name in head.headers.keys() {
        assert!(FIELDS.contains(&name.as_str()), "{name}");
    }
    let mut whole = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        whole.extend_from_slice(&data);
    }
    if call == Call::Solve {
        came_with_the_rules(&whole);
    }
    let granted = matches!(
        call,
        Call::Prune | Call::DiskUsage | Call::NewContainer | Call::ExecProcess
    );
    assert!(!granted, "{path} is not the role's");
    let mut message = Vec::new();
    append::field(&mut message, 1, b"engine");
    let length = u32::try_from(message.len()).expect("a short message");
    let message = [&[0][..], &length.to_be_bytes(), &message].concat();
    let Ok(mut down) = respond.send_response(Response::new(()), false) else {
        return;
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let sent = down.send_data(message.into(), false);
    let _ = sent.and_then(|()| down.send_trailers(trailers));
}

/// One message without compression, which ends in what the gate appends.
fn came_with_the_rules(body: &[u8]) {
    let policy = &GENERATION.policy;
    let role = policy.roles.iter().find(|role| role.name == "maker");
    let rules = role.and_then(|role| role.build.as_ref()).expect("a build");
    let rules = rules.source_policy();
    let length = body.get(1..5).expect("a prefix");
    let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
    assert_eq!((body[0], length as usize), (0, body.len() - 5));
    assert!(body.windows(rules.len()).any(|part| part == rules));
}

/// An engine that says these bytes, whatever it hears.
async fn babble(mut socket: DuplexStream, bytes: &[u8]) {
    let (mut heard, mut said) = tokio::io::split(&mut socket);
    let speaking = async {
        let _ = said.write_all(bytes).await;
    };
    tokio::join!(hear(&mut heard), speaking);
}

/// Reads all that comes.
async fn hear(from: &mut (impl AsyncReadExt + Unpin)) {
    let mut buffer = [0; 4096];
    while from.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}

/// Whether there is anything to do.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Goes on until nothing moves any more without time passing.
fn settle<T>(mut future: Pin<&mut impl Future<Output = T>>, most: usize) -> Option<T> {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut rounds = 0;
    while woken.0.swap(false, Ordering::Relaxed) {
        rounds += 1;
        assert!(rounds <= most, "work without an end");
        if let Poll::Ready(end) = future.as_mut().poll(&mut context) {
            return Some(end);
        }
    }
    None
}

fuzz_target!(|input: &[u8]| {
    let [kind, at, bytes @ ..] = input else {
        return;
    };
    // With an odd first byte the engine's bytes are the input's too.
    let at = usize::from(*at) * 16;
    let (theirs, engines) = match kind % 2 {
        1 => bytes.split_at(at.min(bytes.len())),
        _ => (bytes, &[][..]),
    };
    let _runtime = RUNTIME.enter();
    let shared = shared();
    let registry = Arc::new(Registry::default());
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let entry = registry.enter(1, peer, Arc::new(identity()), Vec::new());
    let (client, client_end) = duplex(PIPE);
    let (gate, engine_end) = duplex(PIPE);
    let (mut down, mut up) = tokio::io::split(client_end);
    let gone = Mutex::new(None::<Waker>);
    let leaves = AtomicBool::new(false);
    let client_side = async {
        let speaking = async {
            let _ = up.write_all(PREFACE).await;
            let _ = up.write_all(theirs).await;
            poll_fn(|cx| match leaves.load(Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => {
                    *gone.lock().expect("a waker") = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
            .await;
            let _ = up.shutdown().await;
        };
        tokio::join!(hear(&mut down), speaking);
    };
    let engine_side = async {
        match kind % 2 {
            1 => babble(engine_end, engines).await,
            _ => engine(engine_end).await,
        }
    };
    let most = 10_000 + 16 * bytes.len();
    {
        let beside = async {
            tokio::join!(client_side, engine_side);
            std::future::pending::<()>().await;
        };
        let mut all = pin!(async {
            tokio::select! {
                end = bridge_between(&shared, &entry, client, gate) => end,
                () = beside => unreachable!("it does not end"),
            }
        });
        if settle(all.as_mut(), most).is_none() {
            leaves.store(true, Ordering::Relaxed);
            if let Some(waker) = gone.lock().expect("a waker").take() {
                waker.wake();
            }
            if settle(all.as_mut(), most).is_none() {
                // What waits for time alone does so within bounds.
                let ended = async { tokio::time::timeout(Duration::from_secs(3), all).await };
                assert!(RUNTIME.block_on(ended).is_ok(), "the client has gone");
            }
        }
    }
    assert_eq!(shared.pending_bodies.used(), 0);
    assert!(entry.activity().calls.is_empty());
});
