//! What the service manager hears and passes in, and the units.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::gate::{connect, options};
use testkit::process::GateProcess;
use testkit::programs::{binary, dockgate, external, said};
use testkit::{DEADLINE, Pki, TlsClient};

const POLICY: &str = "version = 1\n[[client]]\nmatch = { cn = \"admin\" }\nrole = \"admin\"\n";

/// A service manager's socket, and the gate that it started.
struct Service {
    gate: GateProcess,
    socket: UnixDatagram,
    dir: TempDir,
}

impl Service {
    /// Starts the gate with a policy in `dir` and these variables.
    fn start(env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bind the manager's socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        let policy = dir.path().join("policy.toml");
        fs::write(&policy, POLICY).expect("write the policy");
        let mut command = dockgate();
        command
            .arg("serve")
            .args(options(dir.path(), &["--policy"]))
            .arg(&policy)
            .args(["--log-format", "json"])
            .env("NOTIFY_SOCKET", &path)
            .envs(env.iter().copied())
            .stdout(Stdio::null());
        Self {
            gate: GateProcess::spawn(&mut command),
            socket,
            dir,
        }
    }

    /// The next message, one assignment an item.
    fn told(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message in time");
        let text = String::from_utf8_lossy(&message[..length]);
        text.lines().map(str::to_owned).collect()
    }

    /// The next message that is not the watchdog's.
    fn told_more(&self) -> Vec<String> {
        loop {
            match self.told() {
                alive if alive == ["WATCHDOG=1"] => {}
                told => return told,
            }
        }
    }
}

#[test]
fn the_manager_hears_of_the_start_of_reloads_and_of_the_end() {
    let mut service = Service::start(&[]);
    assert_eq!(
        service.told(),
        ["READY=1", "STATUS=Serving; the policy is enforced"]
    );

    service.gate.signal(Signal::HUP);
    let reloading = service.told();
    assert_eq!(reloading[0], "RELOADING=1");
    let since = reloading[1].strip_prefix("MONOTONIC_USEC=");
    assert!(
        since.is_some_and(|n| n.parse::<u64>().is_ok()),
        "{reloading:?}"
    );
    assert_eq!(
        service.told(),
        ["READY=1", "STATUS=Serving; the policy is enforced"]
    );

    // A reload that fails ends as well: the gate serves on, and says why.
    fs::write(
        service.dir.path().join("policy.toml"),
        "version = 1\nnonsense = 1\n",
    )
    .expect("write");
    service.gate.signal(Signal::HUP);
    assert_eq!(service.told()[0], "RELOADING=1");
    let failed = service.told();
    assert_eq!((failed.len(), failed[0].as_str()), (2, "READY=1"));
    assert!(
        failed[1].starts_with("STATUS=the reload failed; the old configuration stays in force: ")
            && failed[1].contains("policy.toml:2"),
        "{failed:?}"
    );

    service.gate.signal(Signal::TERM);
    assert_eq!(
        service.told(),
        ["STOPPING=1", "STATUS=Draining 0 connections"]
    );
    assert!(service.gate.ended().0.success());
}

#[test]
fn the_watchdog_hears_of_a_gate_whose_workers_answer_and_only_where_it_asked() {
    let watched = Service::start(&[("WATCHDOG_USEC", "100000")]);
    assert_eq!(watched.told_more()[0], "READY=1");
    for _ in 0..3 {
        assert_eq!(watched.told(), ["WATCHDOG=1"]);
    }
    watched.gate.signal(Signal::TERM);
    assert_eq!(watched.told_more()[0], "STOPPING=1");

    // Meant for another process, or not asked for: nothing but the end follows the start.
    for env in [
        &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")][..],
        &[("WATCHDOG_USEC", "0")],
        &[],
    ] {
        let service = Service::start(env);
        assert_eq!(service.told()[0], "READY=1");
        service.gate.signal(Signal::HUP);
        assert_eq!(service.told()[0], "RELOADING=1");
        assert_eq!(service.told()[0], "READY=1");
        service.gate.signal(Signal::TERM);
        assert_eq!(service.told()[0], "STOPPING=1");
    }
}

#[test]
fn a_manager_that_does_not_listen_costs_one_line_of_the_log() {
    let given = options(Path::new("/nonexistent"), &["--log-format", "json"]);
    let mut command = dockgate();
    command.arg("serve").args(given).stdout(Stdio::null());
    command.env("NOTIFY_SOCKET", "/nonexistent/notify");
    let mut gate = GateProcess::spawn(&mut command);
    gate.log.said(0, "The service manager cannot be told");
    gate.signal(Signal::HUP);
    gate.log.said(0, "Reloaded");
    gate.signal(Signal::TERM);
    assert!(gate.ended().0.success());
    let lines = gate
        .log
        .matching(0, |line| line.to_string().contains("service manager"));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// The options of these tests with another place to listen.
fn listening_on(host: &str, dir: &Path) -> Vec<String> {
    let mut options = options(dir, &["--log-format", "json"]);
    let place = options
        .iter_mut()
        .find(|option| option.starts_with("tcp://"));
    host.clone_into(place.expect("an address"));
    options
}

/// The gate with a listening socket of ADDRESS as its descriptor 3, as systemd passes one in.
fn activated(host: &str, for_this_process: bool) -> (GateProcess, std::net::SocketAddr, TempDir) {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("an address");
    let pid = if for_this_process { "$$" } else { "1" };
    let script = format!(
        "exec 3<&0 0</dev/null; export LISTEN_PID={pid} LISTEN_FDS=1 LISTEN_FDNAMES=dockgate; exec \"$@\""
    );
    let mut command = Command::new("sh");
    // The gate takes DOCKGATE_* for settings, and the tests have some of their own.
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["-c", &script, "sh"])
        .arg(binary())
        .arg("serve")
        .args(listening_on(
            &host.replace("ADDRESS", &addr.to_string()),
            dir.path(),
        ))
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null());
    (GateProcess::starting(&mut command), addr, dir)
}

#[test]
fn a_socket_that_is_passed_in_is_served_under_its_name_and_only_by_the_process_it_is_meant_for() {
    for host in ["fd://", "fd://dockgate", "fd://3"] {
        let (gate, addr, _dir) = activated(host, true);
        let listening = gate.log.said(0, "Listening");
        assert_eq!(listening["addr"], addr.to_string(), "{host}");
        drop(client(addr));
    }
    for (host, meant) in [("fd://other", true), ("fd://4", true), ("fd://", false)] {
        let (mut gate, _, _dir) = activated(host, meant);
        let (status, _) = gate.ended();
        assert_eq!(status.code(), Some(1), "{host}");
        let fault = gate
            .log
            .matching(0, |line| line.to_string().contains("LISTEN_FDS"));
        assert_eq!(fault.len(), 1, "{host}");
        let hint = fault[0]["hint"].as_str().expect("a hint");
        assert!(hint.contains("enable --now dockgate.socket"), "{hint}");
    }
    // The address of a socket that was passed in is nobody else's; one that was not is an ordinary matter.
    for (meant, wanted) in [(true, "write hosts = [\"fd://\"]"), (false, "is in use by")] {
        let (mut gate, addr, _dir) = activated("tcp://ADDRESS", meant);
        let (status, _) = gate.ended();
        assert_eq!(status.code(), Some(1), "{meant}");
        let fault = gate
            .log
            .matching(0, |line| line.to_string().contains("cannot listen on"));
        let hint = fault[0]["hint"].as_str().expect("a hint");
        let port = format!("port {}", addr.port());
        assert!(hint.contains(wanted) && hint.contains(&port), "{hint}");
    }
}

fn client(addr: std::net::SocketAddr) -> TlsClient {
    connect(addr).expect("a connection and a handshake")
}

#[test]
fn systemd_starts_the_gate_with_the_first_connection() {
    // An address of this process alone, so that the port is free.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = format!("127.77.{high}.{low}:2376");
    let dir = tempfile::tempdir().expect("create a temporary directory");
    if external("systemd-socket-activate", &["--version"]).is_none() {
        return;
    }
    let mut command = Command::new("systemd-socket-activate");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["--listen", &address])
        .arg(binary())
        .arg("serve")
        .args(listening_on("fd://", dir.path()))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let gate = GateProcess::starting(&mut command);
    gate.log
        .after(0, |line| line.to_string().contains("Listening on"));
    drop(client(address.parse().expect("an address")));
    let listening = gate.log.said(0, "Listening");
    assert_eq!(listening["addr"], address);
}

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd")
}

/// The units that packages have.
const UNITS: [&str; 4] = [
    "dockgate.service",
    "dockgate.socket",
    "dockgate-renew.service",
    "dockgate-renew.timer",
];

#[test]
fn systemd_accepts_the_units_and_finds_little_to_harden() {
    let unit = units().join("dockgate.service");
    let unit = unit.to_str().expect("a path");
    let Some(output) = external(
        "systemd-analyze",
        &["security", "--offline=true", "--threshold=20", unit],
    ) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    // A unit without any of it is over the line, so that the line means something.
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let bare = dir.path().join("bare.service");
    fs::write(&bare, "[Service]\nExecStart=/bin/true\n").expect("write");
    let bare = bare.to_str().expect("a path");
    let judged = external(
        "systemd-analyze",
        &["security", "--offline=true", "--threshold=20", bare],
    );
    assert!(!judged.expect("it is installed").status.success());

    // The program is where the test has it, not in /usr/bin.
    for name in UNITS {
        let text = fs::read_to_string(units().join(name)).expect("a unit");
        let here = binary().display().to_string();
        fs::write(
            dir.path().join(name),
            text.replace("/usr/bin/dockgate", &here),
        )
        .expect("write");
    }
    let drop_in = dir.path().join("dockgate.service.d");
    fs::create_dir(&drop_in).expect("create");
    fs::copy(
        units().join("credentials.conf"),
        drop_in.join("credentials.conf"),
    )
    .expect("copy");
    let paths = UNITS.map(|name| dir.path().join(name).display().to_string());
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(paths.iter().map(String::as_str));
    let output = external("systemd-analyze", &arguments);
    let output = output.expect("it is installed");
    assert!(
        output.status.success() && !said(&output).contains("dockgate"),
        "{}",
        said(&output)
    );
}

#[test]
fn the_units_give_what_the_gate_needs_and_nothing_of_what_it_does_not() {
    let text = fs::read_to_string(units().join("dockgate.service")).expect("a unit");
    let has = |line: &str| text.lines().any(|l| l == line);
    for line in [
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=30s",
        "User=dockgate",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "LimitCORE=0",
        "RestartPreventExitStatus=78",
        "StateDirectory=dockgate",
        "StateDirectoryMode=0700",
    ] {
        assert!(has(line), "{line}");
    }
    // A socket that is enabled with the service holds the address that the packaged file has the service bind: both end at the
    // next boot.
    assert!(!text.contains("Also="), "the service is enabled alone");
    // Where the unit lets the gate write is where pages and hints have it write.
    for (file, path) in [
        (
            "docs/tasks/give-ci-access.md",
            "--owner-key /var/lib/dockgate/owner.key",
        ),
        (
            "docs/tasks/a-fleet-under-one-ca.md",
            "--enrolled /var/lib/dockgate",
        ),
    ] {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let page = fs::read_to_string(page).expect("a page");
        assert!(page.contains(path), "{file}: {path}");
        assert!(!page.contains("/etc/dockgate/owner.key"), "{file}");
    }
}

/// The variables of the drop-in are a whole answer to where the certificates are, whatever else is configured.
#[test]
fn a_gate_takes_its_key_from_the_credential_of_the_drop_in() {
    let pki = tempfile::tempdir().expect("create a temporary directory");
    Pki::by_dockgate(pki.path(), "localhost");
    let etc = pki.path().display().to_string();
    let credentials = pki.path().join("credentials");
    fs::create_dir(&credentials).expect("create");
    fs::rename(
        pki.path().join("server-key.pem"),
        credentials.join("server-key.pem"),
    )
    .expect("move the key");

    let text = fs::read_to_string(units().join("credentials.conf")).expect("a drop-in");
    let variables: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Environment="))
        .flat_map(str::split_whitespace)
        .filter_map(|assignment| assignment.split_once('='))
        .map(|(name, value)| {
            let value = value.replace("%d", &format!("{etc}/credentials"));
            (name.to_owned(), value.replace("/etc/dockgate", &etc))
        })
        .collect();
    let output = dockgate()
        .args(["check", "--offline", "--host", "tcp://127.0.0.1:0"])
        .envs(variables)
        .output()
        .expect("run");
    assert!(
        output.status.success() && said(&output).contains("credentials/server-key.pem"),
        "{}",
        said(&output)
    );
}
