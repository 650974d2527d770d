//! dockgate and its peers: how each is configured and started. Each configuration is one that an expert of that
//! software would defend: `docs/performance.md` gives the reason for each line that is not obvious.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::children::Child;
use crate::pki::{BenchPki, ServerKey};

mod config;

/// How long a peer may take from its start to listening.
const START: Duration = Duration::from_secs(5);

/// Who is measured, in the order of the table's columns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum PeerKind {
    /// The gate.
    Dockgate,
    /// A second gate: another build, or other arguments.
    Other,
    /// HAProxy, full HTTP.
    HaProxy,
    /// nginx straight to the socket, full HTTP.
    Nginx,
    /// stunnel: TLS alone.
    Stunnel,
    /// nginx and socat, as the book's recipe has them.
    Book,
    /// The bare tokio-rustls tunnel: the floor.
    Tunnel,
    /// No proxy at all: the engine's own socket, without TLS.
    Direct,
}

impl PeerKind {
    /// Everyone.
    pub(crate) const ALL: [Self; 8] = [
        Self::Dockgate,
        Self::Other,
        Self::HaProxy,
        Self::Nginx,
        Self::Stunnel,
        Self::Book,
        Self::Tunnel,
        Self::Direct,
    ];

    /// The name on the command line, in the table and in the JSON file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dockgate => "dockgate",
            Self::Other => "other",
            Self::HaProxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Stunnel => "stunnel",
            Self::Book => "book",
            Self::Tunnel => "tunnel",
            Self::Direct => "direct",
        }
    }

    /// Whether it is one of those that dockgate is compared with.
    pub(crate) fn is_rival(self) -> bool {
        matches!(
            self,
            Self::HaProxy | Self::Nginx | Self::Stunnel | Self::Book
        )
    }

    /// Whether it understands HTTP.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::HaProxy | Self::Nginx)
    }
}

/// What all peers of one run share.
pub(crate) struct BenchSetup {
    /// Configurations, logs and sockets go here.
    pub(crate) directory: PathBuf,
    /// The engine's socket.
    pub(crate) socket: PathBuf,
    /// Certificates.
    pub(crate) pki: BenchPki,
    /// The gate's binary, if there is one.
    pub(crate) dockgate: Option<PathBuf>,
    /// Further arguments for it.
    pub(crate) dockgate_args: Vec<String>,
    /// The second gate's binary.
    pub(crate) other: Option<PathBuf>,
    /// Further arguments for that.
    pub(crate) other_args: Vec<String>,
}

/// A running peer.
pub(crate) struct RunningPeer {
    /// Which one.
    pub(crate) kind: PeerKind,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    children: Vec<Child>,
    log: PathBuf,
}

/// How a peer's process is started: program, arguments and log.
type Spawn = fn(&Path, &[OsString], &Path) -> Result<Child, String>;

struct PeerProgram {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl BenchSetup {
    /// The peer's main binary, or why it is not there.
    pub(crate) fn program(&self, kind: PeerKind) -> Result<PathBuf, String> {
        match kind {
            PeerKind::Dockgate => self
                .dockgate
                .clone()
                .ok_or_else(|| "no --dockgate FILE given".into()),
            PeerKind::Other => self
                .other
                .clone()
                .ok_or_else(|| "no --other FILE given".into()),
            PeerKind::HaProxy => which("haproxy"),
            PeerKind::Nginx => which("nginx"),
            PeerKind::Stunnel => which("stunnel"),
            PeerKind::Book => which("socat").and_then(|_| which("nginx")),
            PeerKind::Tunnel => std::env::current_exe().map_err(|e| e.to_string()),
            PeerKind::Direct => Ok(PathBuf::new()),
        }
    }

    /// What the binary says about its version, in one line.
    pub(crate) fn version(&self, kind: PeerKind) -> String {
        let argument = match kind {
            PeerKind::HaProxy | PeerKind::Nginx | PeerKind::Book => "-v",
            PeerKind::Stunnel => "-version",
            PeerKind::Dockgate | PeerKind::Other => "--version",
            PeerKind::Tunnel | PeerKind::Direct => return String::new(),
        };
        let Ok(program) = self.program(kind) else {
            return String::new();
        };
        let Ok(output) = Command::new(program).arg(argument).output() else {
            return String::new();
        };
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let digits = |line: &&str| line.contains(|c: char| c.is_ascii_digit());
        text.lines()
            .find(digits)
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Starts a peer and waits until it listens.
    pub(crate) fn start(&self, kind: PeerKind, key: ServerKey) -> Result<RunningPeer, String> {
        self.start_by(kind, key, Child::start::<OsString>)
            .map(|(peer, _)| peer)
    }

    /// Starts a peer without the guard and tells how long it took until it listened.
    pub(crate) fn time_start(&self, kind: PeerKind) -> Result<Duration, String> {
        self.start_by(kind, ServerKey::Ecdsa, Child::start_bare::<OsString>)
            .map(|(_, took)| took)
    }

    /// Another program may take the port before the peer does; then another one is tried.
    fn start_by(
        &self,
        kind: PeerKind,
        key: ServerKey,
        spawn: Spawn,
    ) -> Result<(RunningPeer, Duration), String> {
        let mut last = String::new();
        for _ in 0..3 {
            match self.start_at(free_port()?, kind, key, spawn) {
                Err(error) if error.contains("in use") => last = error,
                done => return done,
            }
        }
        Err(last)
    }

    fn start_at(
        &self,
        port: u16,
        kind: PeerKind,
        key: ServerKey,
        spawn: Spawn,
    ) -> Result<(RunningPeer, Duration), String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let log = self.directory.join(format!("{}-{port}.log", kind.name()));
        let starts = self
            .configure(kind, key, port, &log)
            .map_err(|e| format!("cannot write its configuration: {e}"))?;
        let mut peer = RunningPeer {
            kind,
            address,
            children: Vec::new(),
            log,
        };
        let begun = Instant::now();
        for start in starts? {
            peer.children
                .push(spawn(&start.program, &start.arguments, &peer.log)?);
        }
        while kind != PeerKind::Direct && TcpStream::connect(address).is_err() {
            if peer.children.iter_mut().any(Child::ended) || begun.elapsed() > START {
                return Err(format!(
                    "does not listen on {address}: {}",
                    peer.last_words()
                ));
            }
            // Another process's listen() raises no event here; the step bounds the error of the start-up figure.
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok((peer, begun.elapsed()))
    }

    #[expect(clippy::too_many_lines, reason = "sequence")]
    fn configure(
        &self,
        kind: PeerKind,
        key: ServerKey,
        port: u16,
        log: &Path,
    ) -> std::io::Result<Result<Vec<PeerProgram>, String>> {
        let program = match self.program(kind) {
            Ok(program) => program,
            Err(error) => return Ok(Err(error)),
        };
        let file = self.directory.join(format!("{}-{port}.conf", kind.name()));
        let (ca, cert, key_file) = (
            self.pki.ca.display(),
            self.pki.server_cert(key),
            self.pki.server_key(key),
        );
        let (cert, key_file, socket) = (cert.display(), key_file.display(), self.socket.display());
        let log = log.display();
        let mut starts = Vec::new();
        let arguments: Vec<String> = match kind {
            PeerKind::Direct => return Ok(Ok(Vec::new())),
            PeerKind::Dockgate | PeerKind::Other => {
                let further = if kind == PeerKind::Other { &self.other_args } else { &self.dockgate_args };
                let fixed = format!(
                    "serve -H tcp://127.0.0.1:{port} --tlscacert {ca} --tlscert {cert} --tlskey {key_file} --upstream unix://{socket}"
                );
                fixed.split(' ').map(str::to_owned).chain(further.iter().cloned()).collect()
            }
            PeerKind::Tunnel => format!(
                "tunnel --port {port} --tlscacert {ca} --tlscert {cert} --tlskey {key_file} --upstream {socket}"
            )
            .split(' ')
            .map(str::to_owned)
            .collect(),
            PeerKind::HaProxy => {
                let both = self.pki.server_both(key);
                fs::write(&file, config::haproxy(port, &both.display().to_string(), &ca.to_string(), &socket.to_string()))?;
                vec!["-db".into(), "-f".into(), file.display().to_string()]
            }
            PeerKind::Stunnel => {
                let text = config::stunnel(port, &socket.to_string(), &cert.to_string(), &key_file.to_string(), &ca.to_string(), &log.to_string());
                fs::write(&file, text)?;
                vec![file.display().to_string()]
            }
            PeerKind::Nginx | PeerKind::Book => {
                let temp = self.directory.join(format!("{}-{port}-temp", kind.name()));
                fs::create_dir_all(&temp)?;
                let tls = format!("ssl_certificate {cert}; ssl_certificate_key {key_file}; ssl_client_certificate {ca}; ssl_verify_client on;");
                let server = if kind == PeerKind::Book {
                    let plain = match free_port() {
                        Ok(port) => port,
                        Err(error) => return Ok(Err(error)),
                    };
                    let socat = [format!("TCP-L:{plain},bind=127.0.0.1,fork,reuseaddr"), format!("UNIX:{socket}")];
                    let program = match which("socat") {
                        Ok(program) => program,
                        Err(error) => return Ok(Err(error)),
                    };
                    starts.push(PeerProgram { program, arguments: socat.into_iter().map(OsString::from).collect() });
                    format!("server {{ listen 127.0.0.1:{port} ssl; {tls} ssl_protocols TLSv1.2; location / {{ proxy_pass http://127.0.0.1:{plain}/; }} }}")
                } else {
                    config::nginx_server(port, &tls, &socket.to_string())
                };
                fs::write(&file, config::nginx(&temp.display().to_string(), &log.to_string(), &server))?;
                let error_log = temp.join("error.log").display().to_string();
                vec!["-e".into(), error_log, "-p".into(), temp.display().to_string(), "-c".into(), file.display().to_string()]
            }
        };
        starts.push(PeerProgram {
            program,
            arguments: arguments.into_iter().map(OsString::from).collect(),
        });
        Ok(Ok(starts))
    }
}

impl RunningPeer {
    /// Its processes' roots.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// The end of its log, for a message.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(400)..])
            .trim()
            .replace('\n', " / ");
        if text.is_empty() {
            "its log is empty".into()
        } else {
            text
        }
    }

    /// Empties its log, so that a long run does not fill the disk.
    pub(crate) fn empty_log(&self) {
        if let Ok(file) = fs::OpenOptions::new().write(true).open(&self.log) {
            let _ = file.set_len(0);
        }
    }
}

fn which(name: &str) -> Result<PathBuf, String> {
    // Debian keeps servers in sbin, which an ordinary user's PATH lacks.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let found = path
        .split(':')
        .map(|folder| Path::new(folder).join(name))
        .find(|file| file.is_file());
    found.ok_or_else(|| format!("{name} is not installed"))
}

fn free_port() -> Result<u16, String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener
        .map(|address| address.port())
        .map_err(|e| format!("no free port on 127.0.0.1: {e}"))
}
