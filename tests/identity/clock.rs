//! The metric of a gate that says how far the signer's clock is from its own.

use std::path::Path;

use testkit::client::{get, unix};
use testkit::programs::{external, missing, said};

use crate::fleet::controlled;
use crate::support::*;

const NAME: &str = "dockgate_signer_clock_difference_seconds";

/// What a gate says of the clock of a signer that is started with these variables.
fn difference(library: Option<&Path>, offset: &str) -> i64 {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::changed(dir.path(), "127.0.0.1", &[], |command| {
        if let Some(library) = library {
            command.env("LD_PRELOAD", library).env("FAKETIME", offset);
        }
    });
    let token = invite(dir.path(), &["gate2", "--server", "--san", "localhost"]);
    let state = home.path().join("state");
    let path = state.to_str().expect("a path");
    let output = join(home.path(), &token, &["--server", "--dir", path]);
    assert!(output.status.success(), "{}", said(&output));
    let control = home.path().join("control.sock");
    let options = ["--enrolled", path, "--metrics", "127.0.0.1:0"];
    let _gate = controlled(control.to_str().expect("a path"), &options, |_| {});
    let asked = "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let status = unix(&control, asked);
    let status: serde_json::Value = serde_json::from_slice(&status.body).expect("JSON");
    let metrics = status["metrics"].as_str().expect("an address");
    let metrics = metrics.parse().expect("an address");
    testkit::eventually(|| {
        let page = get(metrics, "/metrics").text();
        let line = page.lines().find_map(|line| line.strip_prefix(NAME));
        let value = line.and_then(|it| it.trim().parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
        value.map(|it| it as i64).ok_or(page)
    })
}

#[test]
fn a_gate_says_how_far_the_clock_of_its_signer_is_ahead() {
    let same = difference(None, "");
    assert!(same.abs() <= 30, "{same}");
    if external("faketime", &["--version"]).is_none() {
        return;
    }
    let folder = std::fs::read_dir("/usr/lib").expect("a folder");
    let library = folder
        .flatten()
        .map(|it| it.path().join("faketime/libfaketimeMT.so.1"))
        .find(|it| it.is_file());
    let Some(library) = library else {
        return missing("libfaketime");
    };
    let ahead = difference(Some(&library), "+120s");
    assert!((90..=150).contains(&ahead), "{ahead}");
}
