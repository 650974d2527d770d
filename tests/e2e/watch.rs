//! Seen and steered while it runs: a real `docker exec` in `dockgate ps`, ended by `dockgate kick`, and only it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::support::client::Side;
use super::support::gate::Gate;
use super::support::process::{Process, ProcessOutput};
use super::support::suite::{Case, Suite};
use super::support::{OrSay, ScenarioResult, ensure};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn cases() -> Vec<Case> {
    vec![Case {
        name: "watch__an_exec_shows_in_ps_and_kick_ends_it_and_only_it",
        needs: &[],
        run: shown_and_kicked,
    }]
}

fn dockgate(socket: &Path, arguments: &[&str]) -> ScenarioResult<ProcessOutput> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command.args(arguments).arg("--control-socket").arg(socket);
    Process::start(command, "dockgate")?.finish(PATIENCE)
}

/// The live connections whose operation is an exec's start.
fn execs(socket: &Path) -> ScenarioResult<Vec<Value>> {
    let listed = dockgate(socket, &["ps", "--json"])?;
    ensure!(listed.code == 0, "dockgate ps: {}", listed.stderr);
    let text = listed.text();
    let listing: Value = serde_json::from_str(&text).context("read the list")?;
    let all = listing.get("connections").unwrap_or(&listing);
    let all = all
        .as_array()
        .ok_or_else(|| format!("a list was expected: {text}"))?;
    Ok(all
        .iter()
        .filter(|one| one["operation"] == "exec.start")
        .cloned()
        .collect())
}

fn shown_and_kicked(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let socket = suite
        .scratch(&format!("{name}-control"))?
        .join("control.sock");
    let gate = Gate::start(
        &suite.pki,
        &suite.engine.socket,
        &["--control-socket", &socket.display().to_string()],
    )?;
    let side = Side::gate(suite, name, gate.addr)?;
    let outcome = watch(&socket, &gate, &side);
    side.clean();
    outcome
}

fn watch(socket: &Path, gate: &Gate, side: &Side<'_>) -> ScenarioResult {
    side.ok("sleeper")?;
    let start = |word: &str| -> ScenarioResult<Process> {
        let exec = side.start(&format!("docker exec -i $N sh -c 'echo {word}; cat'"))?;
        let ready = exec
            .stdout
            .wait_for(PATIENCE, |text| text.contains(word).then_some(()));
        ensure!(
            ready.is_some(),
            "the exec did not start: {}",
            exec.transcript()
        );
        Ok(exec)
    };
    let mut first = start("first")?;
    let shown = execs(socket)?;
    ensure!(shown.len() == 1, "one exec was expected: {shown:?}");
    let id = shown[0]["id"]
        .as_u64()
        .ok_or_else(|| format!("an id: {}", shown[0]))?
        .to_string();
    let shown = shown[0].to_string();
    ensure!(
        shown.contains("/exec/") && shown.contains("tunnel"),
        "its path and state: {shown}"
    );
    let mut second = start("second")?;
    ensure!(execs(socket)?.len() == 2, "both must show");

    let kicked = dockgate(socket, &["kick", &id])?;
    ensure!(kicked.code == 0, "dockgate kick: {}", kicked.stderr);
    // Its end is the point; the CLI takes the exit code from the exec, which the engine lets run on.
    first.finish(PATIENCE)?;
    gate.wait_for_log(PATIENCE, |line| {
        line.contains(r#""reason":"kicked""#) && line.contains("exec.start")
    })?;

    second.write(b"still here\n");
    let echoed = second
        .stdout
        .wait_for(PATIENCE, |text| text.contains("still here").then_some(()));
    ensure!(
        echoed.is_some(),
        "the other exec was ended too: {}",
        second.transcript()
    );
    let nobody = dockgate(socket, &["kick", &id])?;
    ensure!(nobody.code == 1, "a kick that matches nothing must say so");
    second.close_stdin();
    let output = second.finish(PATIENCE)?;
    ensure!(
        output.code == 0,
        "the other exec ended with {}",
        output.code
    );
    Ok(())
}
