//! The systemd user timer that `dockgate join` writes, as systemd reads it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use testkit::programs::{external, said};

use crate::support::*;

/// Joins with a service manager that notes what it is asked and answers with this code.
fn join_with_systemd(home: &std::path::Path, token: &str, code: u8) -> String {
    use std::io::Write;
    let bin = home.join("bin");
    fs::create_dir_all(&bin).expect("create a directory");
    let script = format!("#!/bin/sh\necho \"$*\" >>\"$HOME/asked\"\nexit {code}\n");
    fs::write(bin.join("systemctl"), script).expect("write it");
    fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).expect("chmod");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut child = command(home)
        .args(["join", "-", "--renew", "systemd"])
        .env("PATH", format!("{}:{path}", bin.display()))
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("DOCKER_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start dockgate");
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "{token}").expect("send the token");
    drop(stdin);
    let output = child.wait_with_output().expect("its output");
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[test]
fn the_timer_that_join_writes_runs_renew_often_enough_and_systemd_accepts_it() {
    let dir = directory();
    let above = tempfile::tempdir().expect("a directory");
    let home = above.path().join("a 100% home");
    fs::create_dir(&home).expect("a home");
    let _signer = SignerProcess::start(dir.path(), &[]);
    let text = join_with_systemd(&home, &invite(dir.path(), &["alice"]), 0);
    assert!(text.contains("dockgate-renew-localhost.timer"), "{text}");
    assert!(text.contains("loginctl enable-linger"), "{text}");
    let units = home.join(".config/systemd/user");
    let read = |kind: &str| {
        let path = units.join(format!("dockgate-renew-localhost.{kind}"));
        fs::read_to_string(path).expect("a unit")
    };
    let (service, timer) = (read("service"), read("timer"));
    let own = joined(&home, "localhost").display().to_string();
    let written = own.replace('%', "%%");
    assert!(service.contains("Type=oneshot"), "{service}");
    assert!(
        service.contains(&format!(" renew \"{written}\"\n")),
        "{service}"
    );
    // Seven days are renewed a third before their end: six hours are often enough, also after a boot.
    assert!(timer.contains("OnUnitActiveSec=21600s"), "{timer}");
    assert!(timer.contains("OnStartupSec=1min"), "{timer}");
    assert!(timer.contains("WantedBy=timers.target"), "{timer}");
    let asked = fs::read_to_string(home.join("asked")).expect("what systemd was asked");
    let wanted = "--user daemon-reload\n--user enable --now dockgate-renew-localhost.timer\n";
    assert!(asked.ends_with(wanted), "{asked}");
    let paths =
        ["service", "timer"].map(|kind| units.join(format!("dockgate-renew-localhost.{kind}")));
    let paths = paths.each_ref().map(|path| path.to_str().expect("text"));
    if external("systemd-analyze", &["--version"]).is_none() {
        return;
    }
    let judged = std::process::Command::new("systemd-analyze")
        .args(["verify", "--user", "--man=no"])
        .args(paths)
        .env("XDG_RUNTIME_DIR", above.path())
        .output()
        .expect("start systemd-analyze");
    let said_of_it = said(&judged);
    assert!(judged.status.success(), "{said_of_it}");
    assert!(!said_of_it.contains("dockgate-renew"), "{said_of_it}");
}

#[test]
fn a_service_manager_that_fails_leaves_the_certificate_and_says_what_renews_it_instead() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let text = join_with_systemd(home.path(), &invite(dir.path(), &["alice"]), 1);
    assert!(text.contains("could not start"), "{text}");
    assert!(text.contains("dockgate renew --watch"), "{text}");
    assert!(
        joined(home.path(), "localhost")
            .join("docker/cert.pem")
            .is_file()
    );
}
