//! A PostgreSQL of the tests' own: in a temporary directory, on a socket there and on a port of this host, ended with the tests.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use rustix::process::geteuid;

use crate::pki::Pki;

/// The variable that asks for the tests with PostgreSQL: `installed`, or the folder of its programs.
pub const WANTED: &str = "DOCKGATE_POSTGRES";

/// Whom the server runs as where the tests run as root, which it refuses to.
const NOBODY: u32 = 65534;

/// Runs the server until standard input ends: the tests are over then, however they end.
const RUN: &str = r#"
set -eu
server=
trap 'exit 1' HUP INT TERM
trap '[ -z "$server" ] || kill -INT $server; wait; rm -rf "$1"' EXIT
initdb -D "$1/data" -U postgres --auth=trust --no-sync --no-instructions --encoding=UTF8 --locale=C >/dev/null
cat >"$1/data/pg_hba.conf" <<END
local all all trust
hostssl all all 127.0.0.1/32 scram-sha-256
END
start() {
    postgres -D "$1/data" -k "$1" -h 127.0.0.1 -p "$2" -c fsync=off -c max_connections=400 -c ssl=on \
        -c ssl_cert_file="$1/server-cert.pem" -c ssl_key_file="$1/server-key.pem" >>"$1/log" 2>&1 &
    server=$!
    until pg_isready -q -h "$1" -p "$2"; do
        kill -0 $server || { cat "$1/log"; exit 1; }
        sleep 0.05
    done
    echo ready
}
start "$@"
while read -r word; do
    kill -INT $server
    wait $server || true
    server=
    if [ "$word" = stop ]; then
        echo stopped
        read -r word || exit
    fi
    start "$@"
done
"#;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    /// Where its socket is.
    pub dir: PathBuf,
    /// Its port, also a part of the socket's name.
    pub port: u16,
    /// Whose certificate it has, for `localhost` and 127.0.0.1.
    pub ca: PathBuf,
    /// The server ends with its standard input.
    running: Mutex<ServerScript>,
}

/// The script that runs the server.
#[derive(Debug)]
struct ServerScript {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl ServerScript {
    /// Gives it a word, and waits for its answer.
    fn tell(&mut self, word: &str, answer: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{word}").expect("tell the server's script");
        self.hear(answer);
    }

    fn hear(&mut self, answer: &str) {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("its answer");
        assert_eq!(line.trim(), answer);
    }
}

impl Drop for ServerScript {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The one server of this process; nothing, with a line that says so, where nobody asked for it.
pub fn postgres() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let wanted = std::env::var_os(WANTED)?;
        Some(Postgres::start(programs(Path::new(&wanted))))
    });
    if server.is_none() {
        crate::programs::not_run(&format!(
            "{WANTED} is not set, so PostgreSQL is missing here"
        ));
    }
    server.as_ref()
}

/// A server of one test alone, which may stop it.
pub fn own_postgres() -> Option<Postgres> {
    postgres()?;
    let wanted = std::env::var_os(WANTED)?;
    Some(Postgres::start(programs(Path::new(&wanted))))
}

/// The folder of the server's programs, the newest one that Debian has installed.
fn programs(wanted: &Path) -> PathBuf {
    if wanted.join("initdb").is_file() {
        return wanted.to_owned();
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut found: Vec<_> = installed
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, bin)| bin);
    newest.unwrap_or_else(|| panic!("{WANTED} is set, but PostgreSQL is not installed"))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl Postgres {
    fn start(programs: PathBuf) -> Self {
        let dir = tempfile::Builder::new().prefix("dockgate-pg-").tempdir();
        // The script removes it.
        let dir = dir.expect("create a temporary directory").keep();
        Pki::create(&dir);
        let key = dir.join("server-key.pem");
        let cert = dir.join("server-cert.pem");
        for (path, mode) in [(&key, 0o600), (&cert, 0o644), (&dir, 0o755)] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, mode).expect("set its mode");
        }
        let port = free_port();
        let mut command = match geteuid().is_root() {
            false => Command::new("sh"),
            true => {
                for path in [&key, &dir] {
                    chown(path, Some(NOBODY), Some(NOBODY)).expect("hand it over");
                }
                let mut command = Command::new("setpriv");
                let id = NOBODY.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "sh"]);
                command
            }
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = command
            .args(["-c", RUN, "sh"])
            .arg(&dir)
            .arg(port.to_string())
            .env_clear()
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start PostgreSQL");
        let says = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut script = ServerScript { child, says };
        script.hear("ready");
        Self {
            programs,
            port,
            ca: dir.join("ca.pem"),
            dir,
            running: Mutex::new(script),
        }
    }

    /// Ends the server as a shutdown does, until [`Postgres::start_again`].
    pub fn stop(&self) {
        lock(&self.running).tell("stop", "stopped");
    }

    /// Starts the server again.
    pub fn start_again(&self) {
        lock(&self.running).tell("start", "ready");
    }

    /// Restarts the server; returns when it answers again.
    pub fn restart(&self) {
        lock(&self.running).tell("restart", "ready");
    }

    /// A program of the server's, connected as its owner.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env_clear()
            .env("PGHOST", &self.dir)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres");
        command
    }

    /// A new database; its name.
    pub fn create(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("store{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let made = self
            .command("createdb")
            .args(["-T", "template0", &name])
            .output();
        let made = made.expect("start createdb");
        assert!(made.status.success(), "{made:?}");
        name
    }

    /// Runs statements in a database; what they print.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let args = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-c",
            statements,
        ];
        let done: Output = self
            .command("psql")
            .args(args)
            .output()
            .expect("start psql");
        assert!(done.status.success(), "{statements}: {done:?}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// The URL of a database, on the socket in a folder.
    pub fn url_at(&self, database: &str, dir: &Path) -> String {
        let (dir, port) = (dir.display(), self.port);
        format!("postgres:///{database}?host={dir}&port={port}&user=postgres")
    }

    /// The URL of a database, on the server's socket.
    pub fn url(&self, database: &str) -> String {
        self.url_at(database, &self.dir)
    }
}

/// What becomes of the next write that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayFault {
    /// Nothing.
    None,
    /// It is not passed on, and the connection is cut.
    Before,
    /// It is done, and the connection is cut before anybody hears of it.
    After,
    /// Nobody gets through at all.
    Closed,
}

/// A way to the server that can be cut.
#[derive(Debug)]
pub struct DatabaseWay {
    /// The folder of its socket.
    pub dir: tempfile::TempDir,
    fault: Arc<Mutex<WayFault>>,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A word that is in every write of the store and in nothing else.
const MARK: &[u8] = b"UPDATE dockgate.meta";

impl DatabaseWay {
    /// Begins to pass on what comes.
    pub fn to(server: &'static Postgres) -> Self {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let socket = format!(".s.PGSQL.{}", server.port);
        let listener = UnixListener::bind(dir.path().join(&socket)).expect("listen");
        let way = Self {
            dir,
            fault: Arc::new(Mutex::new(WayFault::None)),
            open: Arc::default(),
        };
        let (fault, open) = (way.fault.clone(), way.open.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                if *lock(&fault) == WayFault::Closed {
                    continue;
                }
                let Ok(there) = UnixStream::connect(server.dir.join(&socket)) else {
                    continue;
                };
                let both = [&client, &there].map(|it| it.try_clone().expect("a second handle"));
                lock(&open).extend(both);
                pass(client, there, &fault);
            }
        });
        way
    }

    /// Says what becomes of the next write; what is open is cut where nobody is to get through.
    pub fn set(&self, fault: WayFault) {
        *lock(&self.fault) = fault;
        if fault == WayFault::Closed {
            for stream in lock(&self.open).drain(..) {
                // It may have ended by itself.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Whether the fault that was set has happened.
    pub fn has_happened(&self) -> bool {
        *lock(&self.fault) == WayFault::None
    }
}

/// Both directions of one connection, in threads that end with it.
fn pass(client: UnixStream, there: UnixStream, fault: &Arc<Mutex<WayFault>>) {
    let (mut from, mut to) = (
        client.try_clone().expect("a handle"),
        there.try_clone().expect("a handle"),
    );
    let silent = Arc::new(Mutex::new(false));
    let (quiet, fault) = (silent.clone(), fault.clone());
    thread::spawn(move || {
        let mut seen = Vec::new();
        while let Some(piece) = read(&mut from) {
            seen.extend_from_slice(&piece);
            let marked = seen.windows(MARK.len()).any(|it| it == MARK);
            let keep = seen.len().saturating_sub(MARK.len());
            seen.drain(..keep);
            if marked {
                seen.clear();
                let now = std::mem::replace(&mut *lock(&fault), WayFault::None);
                match now {
                    WayFault::Before => break,
                    WayFault::After => *lock(&quiet) = true,
                    other => *lock(&fault) = other,
                }
            }
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    let (mut from, mut to) = (there, client);
    thread::spawn(move || {
        while let Some(piece) = read(&mut from) {
            // The answer to the write is there, so it is done.
            if *lock(&silent) || to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

fn read(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return None,
            Ok(count) => {
                piece.truncate(count);
                return Some(piece);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
