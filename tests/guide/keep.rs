//! `docs/tasks/keep-certificates.md` is run as it is printed, for each way to run the gate.
//!
//! Instead of containers, a small script does in the "container", which is a directory here, what `docker compose exec` and
//! `docker compose cp` are told. The real ones are the matter of `deploy/prove-image`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testkit::daemon::Daemon;
use testkit::process::GateProcess;
use testkit::programs::{binary, dockgate, finished, said};

const PAGE: &str = include_str!("../../docs/tasks/keep-certificates.md");

/// `docker compose exec dockgate` and `docker compose cp`, where the container's root is the directory `container`.
const COMPOSE: &str = r#"#!/bin/sh
case "$1 $2" in
"compose exec")
    test "$3 $4" = "dockgate dockgate" || exit 2
    shift 4
    cd container && exec dockgate $(echo "$@" | sed 's| /certs| certs|g') ;;
"compose cp") exec cp -r "container${3#dockgate:}" "$4" ;;
*) echo "the test does not know: docker $*" >&2; exit 2 ;;
esac
"#;

/// `sudo`, and no other owner, for which one has to be root.
const SUDO: &str = "#!/bin/sh\nexec $(echo \"$@\" | sed 's|-o 65532 ||')\n";

/// The host of one way, with an engine's stand-in.
pub(crate) struct Keeping {
    dir: tempfile::TempDir,
    _engine: Daemon,
}

impl Keeping {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let engine = Daemon::start(&dir.path().join("docker.sock"));
        let tools = dir.path().join("tools");
        fs::create_dir(&tools).expect("a directory for the tools");
        symlink(binary(), tools.join("dockgate")).expect("link dockgate");
        for (name, text) in [("docker", COMPOSE), ("sudo", SUDO)] {
            let path = tools.join(name);
            fs::write(&path, text).expect("write a tool");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        Self {
            dir,
            _engine: engine,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What differs from a host of one's own: the addresses, and a gate that looks at its files only when it is told to.
    fn set(&self, command: &mut Command) {
        command
            .env("DOCKGATE_HOST", "tcp://127.0.0.1:0")
            .env("DOCKGATE_SAN", "localhost")
            .env(
                "DOCKGATE_UPSTREAM",
                format!("unix://{}", self.path("docker.sock").display()),
            )
            .env("DOCKGATE_CONTROL_SOCKET", self.path("control.sock"))
            .env("DOCKGATE_RELOAD_INTERVAL", "1h")
            .env("DOCKGATE_LOG_FORMAT", "json");
    }

    pub(crate) fn serve(&self, below: &str, args: &[&str]) -> GateProcess {
        let mut command = dockgate();
        self.set(&mut command);
        if !args.contains(&"--auto-certs") {
            command.env_remove("DOCKGATE_SAN");
        }
        command
            .arg("serve")
            .args(args)
            .current_dir(self.path(below))
            .stdout(Stdio::null());
        GateProcess::spawn(&mut command)
    }

    /// A line of the page, which has to work; what it says.
    #[track_caller]
    pub(crate) fn line(&self, line: &str) -> String {
        let system = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.env_clear();
        self.set(&mut command);
        command.env_remove("DOCKGATE_SAN");
        command
            .env("PATH", format!("{}:{system}", self.path("tools").display()))
            .args(["-ec", line])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = finished(&mut command);
        assert!(output.status.success(), "{line}: {}", said(&output));
        said(&output)
    }

    /// What `doctor` says to the holder of these files, as one line.
    fn doctor(&self, gate: &GateProcess, client: &str) -> String {
        let file = |name: &str| self.path(client).join(name).display().to_string();
        let mut command = dockgate();
        command
            .args(["doctor", &format!("tcp://localhost:{}", gate.addr.port())])
            .args([
                "--tlscacert",
                &file("ca.pem"),
                "--tlscert",
                &file("cert.pem"),
            ])
            .args(["--tlskey", &file("key.pem")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let text = said(&finished(&mut command));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    pub(crate) fn is_in(&self, gate: &GateProcess, client: &str) {
        let text = self.doctor(gate, client);
        assert!(text.contains("answers a ping with 200"), "{client}: {text}");
    }

    #[track_caller]
    fn is_out(&self, gate: &GateProcess, client: &str, words: &str) {
        let text = self.doctor(gate, client);
        assert!(text.contains(words), "{client}: {text}");
    }

    /// The lines of a section up to one that has these words, and it.
    #[track_caller]
    fn lines_to<'l>(&self, lines: &mut impl Iterator<Item = &'l str>, words: &str) -> String {
        for line in lines {
            let text = self.line(line);
            if line.contains(words) {
                return text;
            }
        }
        panic!("the page has no {words:?}");
    }
}

/// The commands of a section.
fn section(title: &str) -> Vec<&'static str> {
    let (_, text) = PAGE
        .split_once(&format!("\n## {title}\n"))
        .expect("the section");
    let text = text.split("\n## ").next().unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect()
}

const REVOKED: &str = "has revoked or denied the client certificate";

#[test]
fn the_way_of_auto_certs_does_what_the_page_says() {
    let host = Keeping::new();
    let section = section("With `--auto-certs`");
    let (again, section) = section.split_last().expect("its lines");
    let words: Vec<&str> = again.split(' ').skip(2).collect();
    assert_eq!(words, ["--auto-certs", "./certs"]);
    let gate = host.serve(".", &words);
    let mut lines = section.iter().copied();
    host.lines_to(&mut lines, "certs client bob");
    host.is_in(&gate, "certs/clients/bob");
    host.lines_to(&mut lines, "certs bundle bob");
    assert!(host.path("bob.tar").is_file());
    host.lines_to(&mut lines, "certs renew --all");
    host.is_in(&gate, "certs/clients/bob");
    let text = host.lines_to(&mut lines, "dockgate reload");
    assert!(text.contains("new revocation list"), "{text}");
    host.is_out(&gate, "certs/clients/bob", REVOKED);
    host.is_in(&gate, "certs/clients/admin");
    // To the end: the directory is moved away, and the gate started again.
    drop(gate);
    host.lines_to(&mut lines, "mv certs certs.old");
    assert_eq!(lines.next(), None);
    let gate = host.serve(".", &words);
    host.is_in(&gate, "certs/clients/admin");
    host.is_out(&gate, "certs.old/clients/admin", "does not contain");
}

#[test]
fn the_way_of_compose_with_a_ca_elsewhere_does_what_the_page_says() {
    let host = Keeping::new();
    // As docs/deploy.md has it.
    host.line(
        "dockgate certs init --dir ca --san localhost && dockgate certs client admin --dir ca",
    );
    host.line("mkdir gate container && cp ca/ca.pem ca/server-cert.pem gate/ && sudo install -o 65532 -m 0400 ca/server-key.pem gate/");
    symlink("../gate", host.path("container/certs")).expect("mount it");
    let gate = host.serve("container", &[]);
    let section = section("With compose and a CA elsewhere");
    let mut lines = section.iter().copied();
    host.lines_to(&mut lines, "certs client bob");
    host.is_in(&gate, "ca/clients/bob");
    let text = host.lines_to(&mut lines, "dockgate dockgate reload");
    assert!(text.contains("new revocation list"), "{text}");
    assert_eq!(lines.next(), None);
    host.is_out(&gate, "ca/clients/bob", REVOKED);
    host.is_in(&gate, "ca/clients/admin");
}

#[test]
fn the_short_way_of_compose_does_what_the_page_says() {
    let host = Keeping::new();
    host.line("mkdir container");
    let gate = host.serve("container", &["--auto-certs", "certs"]);
    let section = section("With compose's short way");
    let mut lines = section.iter().copied();
    host.lines_to(&mut lines, "docker compose cp");
    host.is_in(&gate, "bob");
    let text = host.lines_to(&mut lines, "dockgate dockgate reload");
    assert!(text.contains("new revocation list"), "{text}");
    assert_eq!(lines.next(), None);
    host.is_out(&gate, "bob", REVOKED);
    host.is_in(&gate, "container/certs/clients/admin");
}
