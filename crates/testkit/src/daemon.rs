//! A stand-in for a Docker Engine that answers a few requests, echoes hijacked streams, streams numbered events without end, and can be frozen
//! like a stopped process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The pace of `/v1.51/events`.
const EVENT_EVERY: Duration = Duration::from_millis(5);

/// How long a frozen engine may stay frozen.
const LONGEST_FREEZE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct DaemonState {
    frozen: Mutex<bool>,
    thawed: Condvar,
    pings: AtomicUsize,
    heard: Mutex<Vec<(String, Vec<u8>)>>,
    ended: AtomicBool,
}

/// The stand-in; dropping it closes its socket and leaves the file, as a crash does.
pub struct Daemon {
    /// Its socket.
    pub socket: PathBuf,
    state: Arc<DaemonState>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl Daemon {
    /// Listens at `socket`.
    pub fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("the engine's socket");
        let state = Arc::new(DaemonState::default());
        let shared = state.clone();
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(SeqCst) {
                    return;
                }
                let (stream, state) = (stream.expect("accepted"), shared.clone());
                // A connection that breaks is for the client to notice.
                std::thread::spawn(move || _ = serve(stream, &state));
            }
        });
        Self {
            socket: socket.to_owned(),
            state,
            accepting: Some(accepting),
        }
    }

    /// From now on connections are taken and nothing is answered.
    pub fn freeze(&self) {
        *self.state.frozen.lock().expect("not poisoned") = true;
    }

    /// Ends the freeze.
    pub fn thaw(&self) {
        *self.state.frozen.lock().expect("not poisoned") = false;
        self.state.thawed.notify_all();
    }

    /// Heads and bodies (chunks as they came) of the requests so far whose first line starts with `line`.
    pub fn heard(&self, line: &str) -> Vec<(String, Vec<u8>)> {
        let heard = self.state.heard.lock().expect("not poisoned");
        heard
            .iter()
            .filter(|(head, _)| head.starts_with(line))
            .cloned()
            .collect()
    }

    /// Requests for `/_ping` so far.
    pub fn pings(&self) -> usize {
        self.state.pings.load(SeqCst)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.thaw();
        self.state.ended.store(true, SeqCst);
        // Where the socket has gone with its directory, nobody can wake the thread, and the process ends it.
        let woken = UnixStream::connect(&self.socket).is_ok();
        if let Some(thread) = self.accepting.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

/// What is answered to one request.
enum DaemonAnswer {
    /// A status and a JSON body, on a connection that goes on.
    Json(&'static str, &'static str),
    /// The connection becomes a stream; `true` echoes what comes.
    Switch(&'static str, bool),
    /// Events without end.
    Events,
}

const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

const RAW_STREAM: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

const CONTAINER: &str = "{\"Id\":\"9f86d081884c\",\"HostConfig\":{}}\n";

const EXEC: &str = "{\"ID\":\"e1\",\"ContainerID\":\"9f86d081884c\",\"Running\":true,\"Pid\":4711,\"ProcessConfig\":{\"privileged\":false}}\n";

fn answer(method: &str, path: &str, state: &DaemonState) -> DaemonAnswer {
    use DaemonAnswer::{Events, Json, Switch};
    match (method, path) {
        (_, "/_ping") => {
            state.pings.fetch_add(1, SeqCst);
            Json("200 OK", "OK")
        }
        ("GET", "/v1.51/containers/json") => Json("200 OK", "[]\n"),
        ("GET", "/containers/web/json" | "/containers/9f86d081884c/json") => {
            Json("200 OK", CONTAINER)
        }
        ("GET", "/exec/e1/json") => Json("200 OK", EXEC),
        ("POST", "/v1.51/containers/create") => Json("201 Created", "{\"Id\":\"c1\"}\n"),
        ("POST", "/v1.51/brand/new") => Json("200 OK", "{}\n"),
        ("GET", "/v1.51/switches") => Switch(UPGRADED, false),
        ("POST", path) if path.starts_with("/v1.51/containers/") && path.ends_with("/exec") => {
            Json("201 Created", "{\"Id\":\"e1\"}\n")
        }
        ("POST", path) if path.starts_with("/v1.51/exec/") && path.ends_with("/start") => {
            Switch(RAW_STREAM, true)
        }
        ("GET", "/v1.51/events") => Events,
        ("GET", "/v1.51/info") => {
            std::thread::sleep(Duration::from_millis(1500));
            Json("200 OK", "{}\n")
        }
        _ => Json("404 Not Found", "{\"message\":\"no such thing\"}\n"),
    }
}

/// The next request, head and body; `None` at the end of the connection.
fn next_request(reader: &mut impl BufRead) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let chunked = lower.contains("\r\ntransfer-encoding: chunked\r\n");
    while chunked && !body.ends_with(b"\r\n0\r\n\r\n") {
        reader.read_until(b'\n', &mut body)?;
    }
    Ok(Some((head, body)))
}

fn serve(mut stream: UnixStream, state: &DaemonState) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some((head, body)) = next_request(&mut reader)? {
        let mut heard = state.heard.lock().expect("not poisoned");
        heard.push((head.clone(), body));
        drop(heard);
        let frozen = state.frozen.lock().expect("not poisoned");
        drop(
            state
                .thawed
                .wait_timeout_while(frozen, LONGEST_FREEZE, |frozen| *frozen)
                .expect("not poisoned"),
        );
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        match answer(method, target.split('?').next().unwrap_or(""), state) {
            DaemonAnswer::Json(status, body) => {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                );
                stream.write_all((head + body).as_bytes())?;
            }
            DaemonAnswer::Switch(head, echoes) => {
                stream.write_all(head.as_bytes())?;
                if echoes {
                    std::io::copy(&mut reader, &mut stream)?;
                }
                return stream.shutdown(std::net::Shutdown::Both);
            }
            DaemonAnswer::Events => return events(&mut stream),
        }
    }
    Ok(())
}

fn events(stream: &mut UnixStream) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for number in 0_u64.. {
        // Eight digits and a newline: every chunk has the same length.
        write!(stream, "9\r\n{number:08}\n\r\n")?;
        std::thread::sleep(EVENT_EVERY);
    }
    Ok(())
}
