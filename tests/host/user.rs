//! `user`: root binds, and another serves.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use testkit::gate::{connect, options};
use testkit::process::GateProcess;
use testkit::programs::{binary, dockgate, external, finished, said};
use testkit::{Engine, OK, PING};

/// A user and a group that every Debian has.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        testkit::programs::missing("the right to become another user");
    }
    root
}

/// A directory that others may enter, and the options of a gate that runs as `user` in it.
fn place(user: &str) -> (TempDir, Vec<String>) {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    open(dir.path());
    // The certificates that the tests share are root's alone: these are for everybody here.
    let mut options = options(dir.path(), &["--log-format", "json", "--user", user]);
    for option in options.iter_mut().filter(|option| option.ends_with(".pem")) {
        let name = Path::new(option).file_name().expect("a name");
        let copy = dir.path().join(name);
        fs::copy(&*option, &copy).expect("copy");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).expect("readable");
        *option = copy.display().to_string();
    }
    (dir, options)
}

fn open(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("for all to enter");
}

fn status(process: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.expect("the field").trim().to_owned()
}

#[test]
fn root_binds_a_low_port_and_nobody_serves_without_any_right_of_roots() {
    if !is_root() {
        return;
    }
    let (dir, mut options) = place("nobody");
    // An address of this process alone, so that the port is free.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = format!("127.78.{high}.{low}:76");
    let host = options
        .iter_mut()
        .find(|option| option.starts_with("tcp://"));
    *host.expect("an address") = format!("tcp://{address}");
    let control = dir.path().join("run/control.sock");
    let at = options
        .iter()
        .position(|option| option == "--control-socket");
    options[at.expect("the option") + 1] = control.display().to_string();
    let engine = Engine::listen(&dir.path().join("docker.sock"));
    chown(dir.path().join("docker.sock"), Some(NOBODY), None).expect("nobody's socket");

    let mut command = dockgate();
    command.arg("serve").args(options).stdout(Stdio::null());
    let gate = GateProcess::spawn(&mut command);
    let process = gate.child.id();
    let ids = |ids: String| {
        ids.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(status(process, "Uid:")), ["65534"; 4]);
    assert_eq!(ids(status(process, "Gid:")), ["65534"; 4]);
    assert!(
        ids(status(process, "Groups:"))
            .iter()
            .all(|group| group == "65534")
    );
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(status(process, set), "0000000000000000", "{set}");
    }
    // It serves, and its control socket is where root alone could make a directory.
    let mut client = connect(address.parse().expect("an address")).expect("a connection");
    client.send(PING);
    let mut upstream = engine.accept();
    upstream.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    assert!(control.exists());
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_user_that_cannot_be_or_cannot_read_keeps_the_gate_from_starting_and_check_says_the_same() {
    if !is_root() {
        return;
    }
    for (user, fault) in [
        ("root", "user \"root\" is root"),
        ("0:65534", "user \"0:65534\" is root"),
        ("nobody:root", "user \"nobody:root\" is root"),
        ("no-such-user", "there is no user \"no-such-user\""),
        (
            "nobody:no-such-group",
            "there is no group \"no-such-group\"",
        ),
        ("4000000", "user 4000000 has no entry"),
        ("nobody:", "expected a user's name or number, or USER:GROUP"),
        ("-x", "expected a user's name or number, or USER:GROUP"),
    ] {
        let (_dir, mut options) = place("nobody");
        let at = options
            .iter()
            .position(|option| option == "nobody")
            .expect("the user");
        options[at - 1] = format!("--user={user}");
        options.remove(at);
        for command in ["serve", "check"] {
            let output = finished(
                dockgate()
                    .arg(command)
                    .args(&options)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped()),
            );
            let all = said(&output).replace("\\\"", "\"");
            assert!(all.contains(fault), "{command} {user}: {all}");
            let wrong = fault.starts_with("expected");
            assert_eq!(
                output.status.code(),
                Some(if wrong { 2 } else { 78 }),
                "{command} {user}: {all}"
            );
        }
    }

    // The key is root's alone: neither serves, and both name it.
    let (dir, options) = place("nobody");
    let key = dir.path().join("server-key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("root's alone");
    for command in ["serve", "check"] {
        let output = finished(
            dockgate()
                .arg(command)
                .args(&options)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        let all = said(&output);
        assert!(
            all.contains("server-key.pem") && all.contains("ermission denied"),
            "{command}: {all}"
        );
        assert_eq!(output.status.code(), Some(78), "{command}: {all}");
    }
    // In its group, it does.
    chown(&key, None, Some(2)).expect("the group bin");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("the group's");
    let in_bin: Vec<_> = options
        .iter()
        .map(|option| {
            if option == "nobody" {
                "nobody:2".to_owned()
            } else {
                option.clone()
            }
        })
        .collect();
    let output = finished(
        dockgate()
            .arg("check")
            .args(&in_bin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    assert!(
        said(&output).contains("the gate runs as nobody:2 (user 65534, group 2)"),
        "{}",
        said(&output)
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let mut command = dockgate();
    command.arg("serve").args(&in_bin).stdout(Stdio::null());
    let gate = GateProcess::spawn(&mut command);
    assert!(status(gate.child.id(), "Gid:").starts_with("2\t2"));
}

#[test]
fn somebody_else_than_root_can_stay_but_not_become_another() {
    if !is_root() || external("setpriv", &["--version"]).is_none() {
        return;
    }
    // The binary, where nobody may start it.
    let (dir, options) = place("nobody");
    let copy = dir.path().join("dockgate");
    fs::copy(binary(), &copy).expect("copy");
    let started = |user: &str| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .arg("check");
        let options = options
            .iter()
            .map(|option| if option == "nobody" { user } else { option });
        finished(
            command
                .env_clear()
                .args(options)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )
    };
    let stays = started("nobody");
    assert_eq!(stays.status.code(), Some(0), "{}", said(&stays));
    let becomes = started("daemon");
    assert_eq!(becomes.status.code(), Some(78), "{}", said(&becomes));
    assert!(
        said(&becomes).contains("only root can become user daemon"),
        "{}",
        said(&becomes)
    );
}
