//! A gRPC client through TLS and `/grpc`, and an engine that answers what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use buildkit::append::{field, map_entry};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use testkit::gate::client_of;
use testkit::{Engine, InProcess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

pub(crate) const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
pub(crate) const STATUS: &str = "/moby.buildkit.v1.Control/Status";
pub(crate) const HISTORY: &str = "/moby.buildkit.v1.Control/ListenBuildHistory";
pub(crate) const READ: &str = "/containerd.services.content.v1.Content/Read";
pub(crate) const PING: &str = "/moby.buildkit.v1.frontend.LLBBridge/Ping";
pub(crate) const TRACE: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub(crate) const UPGRADE: &[u8] =
    b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
pub(crate) const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// A policy whose every client may build.
pub(crate) fn policy(mode: &str, build: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("create a temporary file");
    let text = format!(
        "version = 1\nmode = \"{mode}\"\n[[client]]\nmatch = {{ any = true }}\nrole = \"maker\"\n[role.maker]\nbase = \"builder\"\n[role.maker.limits]\ntags = [\"ci/**\"]\nimages = [\"docker.io/library/**\"]\n[role.maker.build]\n{build}"
    );
    std::fs::write(file.path(), text).expect("write the policy");
    file
}

/// Runs a test on a runtime of its own.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let test = async { tokio::time::timeout(testkit::DEADLINE, test).await };
    runtime.block_on(test).expect("the test ends in time");
}

/// What reached the engine.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) path: String,
    pub(crate) fields: HeaderMap,
    /// The body, its prefix included.
    pub(crate) body: Vec<u8>,
}

/// What the engine answers: messages with their prefixes, and what trailers say.
pub(crate) type Script = fn(&Arrived) -> (Vec<u8>, &'static [(&'static str, &'static str)]);

/// An answer without a message.
pub(crate) fn empty(_: &Arrived) -> (Vec<u8>, &'static [(&'static str, &'static str)]) {
    (framed(b""), &[("grpc-status", "0")])
}

/// The two sides of a gate whose clients may build.
pub(crate) struct Bridge {
    pub(crate) gate: InProcess,
    pub(crate) engine: Engine,
    pub(crate) arrived: Arc<Mutex<Vec<Arrived>>>,
    script: Script,
    _policy: tempfile::NamedTempFile,
}

impl Bridge {
    pub(crate) fn start(build: &str, script: Script) -> Self {
        Self::in_mode("enforce", build, script, &[])
    }

    pub(crate) fn in_mode(mode: &str, build: &str, script: Script, extra: &[&str]) -> Self {
        let policy = policy(mode, build);
        let path = policy.path().to_str().expect("a path");
        let options = [&["--workers", "1", "--policy", path], extra].concat();
        let gate = InProcess::start(&options);
        let engine = Engine::listen(&gate.socket);
        Self {
            gate,
            engine,
            arrived: Arc::default(),
            script,
            _policy: policy,
        }
    }

    /// A client of this name whose calls go through the gate.
    pub(crate) async fn client(&self, name: &str) -> Calls {
        self.with(client_of(name, 7)).await
    }

    pub(crate) async fn with(&self, config: Arc<ClientConfig>) -> Calls {
        let client = connected(self.gate.addr, config).await;
        let (calls, socket) = switched(client, &self.engine).await;
        let (arrived, script) = (self.arrived.clone(), self.script);
        tokio::spawn(serve(socket, arrived, script));
        calls
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().expect("the list").clone()
    }
}

pub(crate) type TlsWire = tokio_rustls::client::TlsStream<TcpStream>;

pub(crate) async fn connected(addr: SocketAddr, config: Arc<ClientConfig>) -> TlsWire {
    let tcp = TcpStream::connect(addr).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(config);
    connector.connect(name, tcp).await.expect("a handshake")
}

/// Switches to HTTP/2 on both sides: the client's calls, and the engine's connection.
async fn switched(mut client: TlsWire, engine: &Engine) -> (Calls, UnixStream) {
    client.write_all(UPGRADE).await.expect("write");
    client.flush().await.expect("flush");
    // The gate has threads of its own, so this one may wait.
    let mut conn = engine.accept();
    conn.head();
    conn.write(SWITCHED);
    let socket = conn.socket;
    socket.set_nonblocking(true).expect("a socket");
    let socket = UnixStream::from_std(socket).expect("a socket");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("the answer"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{head:?}");
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .max_send_buffer_size(8 << 20)
        .handshake(client)
        .await
        .expect("HTTP/2");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    (Calls { send }, socket)
}

async fn serve(socket: UnixStream, arrived: Arc<Mutex<Vec<Arrived>>>, script: Script) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, arrived.clone(), script));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    script: Script,
) {
    let (head, body) = request.into_parts();
    let Some((body, _)) = whole(body).await else {
        return;
    };
    let one = Arrived {
        path: head
            .uri
            .path_and_query()
            .map_or(String::new(), ToString::to_string),
        fields: head.headers,
        body,
    };
    arrived.lock().expect("the list").push(one.clone());
    let (body, end) = script(&one);
    let mut response = Response::new(());
    let kind = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    let Ok(mut down) = respond.send_response(response, false) else {
        return;
    };
    if send(&mut down, body.into()).await.is_none() {
        return;
    }
    let mut trailers = HeaderMap::new();
    for (name, value) in end {
        trailers.insert(*name, http::HeaderValue::from_static(value));
    }
    let _ = down.send_trailers(trailers);
}

async fn whole(mut body: RecvStream) -> Option<(Vec<u8>, Option<HeaderMap>)> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        bytes.extend_from_slice(&data);
    }
    Some((bytes, body.trailers().await.ok()?))
}

async fn send(to: &mut SendStream<Bytes>, mut data: Bytes) -> Option<()> {
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let room = std::future::poll_fn(|cx| to.poll_capacity(cx))
            .await?
            .ok()?;
        to.send_data(data.split_to(room.min(data.len())), false)
            .ok()?;
    }
    Some(())
}

/// A client's calls.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) send: SendRequest<Bytes>,
}

/// What came of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

pub(crate) fn head(path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://localhost{path}"));
    if !fields.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

impl Calls {
    /// Makes a call with one message.
    pub(crate) async fn call(&self, path: &str, message: &[u8]) -> Came {
        self.raw(head(path, &[]), &framed(message)).await
    }

    /// The same, inside a build.
    pub(crate) async fn within(&self, build: &str, path: &str, message: &[u8]) -> Came {
        let fields = [("buildkit-controlapi-buildid", build)];
        self.raw(head(path, &fields), &framed(message)).await
    }

    /// Makes a call with these bytes as its body.
    pub(crate) async fn raw(&self, head: Request<()>, body: &[u8]) -> Came {
        let mut ready = self.send.clone().ready().await.expect("a connection");
        let (answer, mut up) = ready.send_request(head, false).expect("a stream");
        let body = Bytes::copy_from_slice(body);
        let sending = async {
            if send(&mut up, body).await.is_some() {
                let _ = up.send_data(Bytes::new(), true);
            }
        };
        let (response, ()) = tokio::join!(answer, sending);
        let (head, body) = response.expect("an answer").into_parts();
        let (body, trailers) = whole(body).await.expect("a whole answer");
        let trailers = trailers.unwrap_or(head.headers);
        let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
        Came {
            status: text("grpc-status")
                .unwrap_or("99")
                .parse()
                .expect("a status"),
            message: text("grpc-message").unwrap_or_default().to_owned(),
            body,
            trailers: trailers.clone(),
        }
    }
}

impl Came {
    #[track_caller]
    pub(crate) fn passed(&self) {
        assert_eq!(self.status, 0, "{}", self.message);
    }

    /// It was refused, and the message says so in these words.
    #[track_caller]
    pub(crate) fn refused(&self, part: &str) {
        assert_eq!(self.status, 7, "{}", self.message);
        assert!(self.message.contains(part), "{part} in {}", self.message);
    }
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

pub(crate) fn message(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, number, bytes);
    out
}

pub(crate) fn text(number: u32, text: &str) -> Vec<u8> {
    message(number, text.as_bytes())
}

/// A Solve of a build with this id that gives this name.
pub(crate) fn solve(reference: &str, name: &str) -> Vec<u8> {
    let exporter = [text(1, "moby"), map_entry(2, "name", name)].concat();
    [
        text(1, reference),
        text(6, "dockerfile.v0"),
        message(13, &exporter),
    ]
    .concat()
}
