//! `docs/guide.md` is run as it is printed: each `sh` block in order, in an empty directory.
//!
//! A block of `sh serve` stays running to the end; a block of `sh fails WORDS` must fail and say those words. Where the guide says that the gate needs a
//! moment to see a file, a block may be repeated until it does what it should, for at most [`PATIENCE`]. Instead of the
//! docker CLI, which is not everywhere, a small script asks `dockgate doctor` to do what the CLI would: a handshake with
//! those files and a ping. The engine is a thread here that answers pings. The real CLI is the matter of `tests/e2e`.

mod keep;
mod readme;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a block may take to do what it should: two of the gate's looks at its files, and some air.
const PATIENCE: Duration = Duration::from_secs(30);

const GUIDE: &str = include_str!("../../docs/guide.md");

/// `docker ps` and `docker context create`, as far as trust is concerned.
const DOCKER: &str = r#"#!/bin/sh
case $1 in
context) for file in $(echo "$5" | tr , '\n' | sed -n 's/^\(ca\|cert\|key\)=//p'); do test -s "$file" || exit 1; done ;;
ps) exec dockgate doctor "$DOCKER_HOST" --tlscacert "$DOCKER_CERT_PATH/ca.pem" --tlscert "$DOCKER_CERT_PATH/cert.pem" \
    --tlskey "$DOCKER_CERT_PATH/key.pem" ;;
*) echo "the guide's test does not know: docker $*" >&2; exit 2 ;;
esac
"#;

enum BlockKind {
    Works,
    /// With the words it must say.
    Fails(&'static str),
    Serves,
}

struct CodeBlock {
    line: usize,
    kind: BlockKind,
    text: String,
}

impl CodeBlock {
    /// Whether the block did what the guide says it does.
    fn is_true(&self, output: &Output) -> bool {
        match self.kind {
            BlockKind::Fails(words) => !output.status.success() && said(output).contains(words),
            _ => output.status.success(),
        }
    }

    /// Whether it only asks the gate, so that it may be repeated until the gate has seen its files.
    fn asks(&self) -> bool {
        let asking = |line: &str| {
            ["docker ps", "doctor", "show"]
                .iter()
                .any(|word| line.contains(word))
        };
        self.text.lines().all(asking)
    }
}

/// Ends the gate also when an assertion fails.
struct GuideGate(Child);

impl Drop for GuideGate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn each_command_of_the_guide_does_what_the_guide_says() {
    if testkit::programs::external("bash", &["--version"]).is_none() {
        return;
    }
    let scratch = tempfile::tempdir().expect("a temporary directory must be to be had");
    let home = scratch.path();
    let socket = home.join("docker.sock");
    let engine = UnixListener::bind(&socket).expect("bind the engine's socket");
    thread::spawn(move || {
        for client in engine.incoming().flatten() {
            thread::spawn(move || answer_pings(client));
        }
    });
    let tools = home.join("tools");
    fs::create_dir(&tools).expect("make a directory for the tools");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dockgate"), tools.join("dockgate"))
        .expect("link dockgate");
    fs::write(tools.join("docker"), DOCKER).expect("write the docker script");
    fs::set_permissions(tools.join("docker"), fs::Permissions::from_mode(0o755))
        .expect("make it executable");
    let work = home.join("work");
    fs::create_dir(&work).expect("make the guide's directory");

    // Held from the beginning to the end, so that nobody else can take the port between two gates.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind a port");
    let port = listener.local_addr().expect("ask for the port").port();
    let shell = |text: &str| {
        let mut command = Command::new("bash");
        // What the tests are told by such variables is not a setting of the gate.
        let told = std::env::vars_os().map(|(name, _)| name);
        for name in told.filter(|name| name.as_encoded_bytes().starts_with(b"DOCKGATE_")) {
            command.env_remove(name);
        }
        command
            .args(["-euc", &text.replace(":2376", &format!(":{port}"))])
            .current_dir(&work)
            .env("PATH", path(&tools))
            .env("HOME", home)
            .env("DOCKGATE_UPSTREAM", format!("unix://{}", socket.display()))
            .env("DOCKGATE_CONTROL_SOCKET", home.join("control.sock"))
            .env("DOCKGATE_RELOAD_INTERVAL", "500ms")
            .stdin(Stdio::null());
        command
    };

    let blocks = blocks(GUIDE);
    let mut gates = Vec::new();
    for block in &blocks {
        if matches!(block.kind, BlockKind::Serves) {
            let serve = block.text.replace("-H tcp://localhost:2376", "-H fd://");
            assert_ne!(serve, block.text, "the guide's gate listens on port 2376");
            let handed = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$";
            let text = format!("{handed}; exec {serve}");
            let log = fs::File::create(home.join("gate.log")).expect("make the gate's log");
            let handle = listener.try_clone().expect("share the port");
            let gate = shell(&text)
                .stdin(OwnedFd::from(handle))
                .stdout(log.try_clone().expect("share the log"))
                .stderr(log)
                .spawn()
                .expect("start the gate");
            gates.push(GuideGate(gate));
            continue;
        }
        let deadline = Instant::now() + PATIENCE;
        // `check` is asked about the listener that the gate is going to get: the port itself is held here.
        let text = block
            .text
            .replace("check -H tcp://localhost:2376", "check -H fd://");
        loop {
            let output = shell(&text).output().expect("run bash");
            if block.is_true(&output) {
                break;
            }
            assert!(
                block.asks() && Instant::now() < deadline,
                "docs/guide.md:{}: does not do what it should: {}\n{}\nthe gate said:\n{}",
                block.line,
                block.text,
                said(&output),
                fs::read_to_string(home.join("gate.log")).unwrap_or_default(),
            );
        }
    }
    let fails = |block: &&CodeBlock| matches!(block.kind, BlockKind::Fails(_));
    assert_eq!(blocks.iter().filter(fails).count(), 2, "what must fail");
    assert_eq!(gates.len(), 1, "one gate serves");
    assert!(blocks.len() > 15, "the guide's blocks must be found");
    for gate in &mut gates {
        let ended = gate.0.try_wait().expect("ask after the gate");
        assert_eq!(ended, None, "the gate must have run to the end");
    }
}

fn blocks(guide: &'static str) -> Vec<CodeBlock> {
    let mut found: Vec<CodeBlock> = Vec::new();
    let mut open = false;
    for (number, line) in guide.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                let kind = match (info, info.strip_prefix("sh fails ")) {
                    ("sh", _) => BlockKind::Works,
                    ("sh serve", _) => BlockKind::Serves,
                    (_, Some(words)) => BlockKind::Fails(words),
                    _ => panic!("docs/guide.md:{}: unknown block {info:?}", number + 1),
                };
                open = true;
                found.push(CodeBlock {
                    line: number + 2,
                    kind,
                    text: String::new(),
                });
            }
            None if open => {
                let text = &mut found.last_mut().expect("an open block must exist").text;
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    found
}

/// An engine, as far as the doctor looks: a ping, and a hijack on `/grpc` (an empty SETTINGS frame follows the head).
fn answer_pings(mut client: UnixStream) {
    let Ok(reading) = client.try_clone() else {
        return;
    };
    let mut first = String::new();
    for line in BufReader::new(reading).lines().map_while(Result::ok) {
        if first.is_empty() {
            first = line;
        } else if line.is_empty() {
            let answer: &[u8] = if first.starts_with("POST /grpc") {
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n\0\0\0\x04\0\0\0\0\0"
            } else {
                b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nOstype: linux\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"
            };
            // A client that has gone needs no answer.
            let _ = client.write_all(answer);
            return;
        }
    }
}

fn path(tools: &Path) -> String {
    let before = std::env::var("PATH").unwrap_or_default();
    format!("{}:{before}", tools.display())
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
