//! Revocation on a real engine: a live `docker exec` of the revoked client ends, a neighbour's goes on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::support::client::Side;
use super::support::gate::{Gate, certs, dockgate};
use super::support::process::Process;
use super::support::suite::{Case, Suite};
use super::support::{OrSay, ScenarioResult, ensure};

/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How soon after the reload the revoked client must be cut.
const AT_ONCE: Duration = Duration::from_secs(1);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "trust__revocation_cuts_a_live_exec_and_leaves_a_neighbours",
            needs: &[],
            run: revoked_exec,
        },
        Case {
            name: "trust_fleet__a_revocation_at_the_signer_cuts_an_exec_behind_an_enrolled_gate",
            needs: &[],
            run: revoked_at_the_signer,
        },
    ]
}

fn revoked_exec(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let ca = suite.scratch(&format!("{name}-ca"))?.join("certs");
    certs(&ca, &["init", "--san", "localhost"])?;
    certs(&ca, &["client", "eve"])?;
    certs(&ca, &["client", "bob"])?;
    certs(&ca, &["crl"])?;
    // Where the suite looks for a client's folder.
    for client in ["eve", "bob"] {
        let folder = suite.pki.client_folder(&format!("{name}-{client}"));
        fs::create_dir_all(&folder).context("make a client's folder")?;
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::copy(
                ca.join("clients").join(client).join(file),
                folder.join(file),
            )
            .context("copy a client's file")?;
        }
    }
    let list = ca.join("crl.pem").display().to_string();
    let gate = Gate::start_with(
        &ca.join("ca.pem"),
        &ca.join("server-cert.pem"),
        &ca.join("server-key.pem"),
        &suite.engine.socket,
        &["--tlscrl", &list, "--reload-interval", "off"],
    )?;
    let eve = Side::gate(suite, name, gate.addr)?.with_certificate(&format!("{name}-eve"));
    let bob = Side::gate(suite, name, gate.addr)?.with_certificate(&format!("{name}-bob"));
    let outcome = cut_one(&gate, &eve, &bob, || {
        certs(&ca, &["revoke", "eve"])?;
        gate.signal(Signal::HUP);
        Ok(())
    });
    bob.clean();
    outcome
}

/// Joins what an invitation at the signer of `certs` is for, with `home` as its home.
fn join(certs: &Path, home: &Path, invitation: &[&str], options: &[&str]) -> ScenarioResult {
    let mut command = dockgate();
    command
        .arg("invite")
        .args(invitation)
        .arg("--dir")
        .arg(certs);
    let invited = command.output().context("start dockgate")?;
    let token = String::from_utf8_lossy(&invited.stdout).into_owned();
    let mut command = dockgate();
    command.args(["join", "-"]).args(options).env("HOME", home);
    command.env_remove("DOCKER_CONFIG");
    let mut joining = Process::start(command, "dockgate join")?;
    joining.write(token.as_bytes());
    joining.close_stdin();
    let output = joining.finish(PATIENCE)?;
    ensure!(output.code == 0, "join failed: {}", output.stderr);
    Ok(())
}

fn revoked_at_the_signer(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let scratch = suite.scratch(&format!("{name}-ca"))?;
    let (ca, state) = (scratch.join("certs"), scratch.join("state"));
    certs(&ca, &["init", "--san", "localhost"])?;
    let mut command = dockgate();
    command.args(["signer", "--listen", "tcp://127.0.0.1:0"]);
    command.args(["--san", "127.0.0.1", "--dir"]).arg(&ca);
    // Ends when dropped.
    let signer = Process::start(command, "the signer")?;
    let listens = signer.stdout.wait_for(PATIENCE, |text| {
        text.contains("signer listens on").then_some(())
    });
    ensure!(listens.is_some(), "no signer: {}", signer.transcript());
    let dir = state.display().to_string();
    // (The address is the signer's, so no gate has it.)
    let invitation = ["docker2", "--server", "--san", "localhost"];
    join(&ca, &scratch, &invitation, &["--server", "--dir", &dir])?;
    for client in ["eve", "bob"] {
        join(
            &ca,
            &scratch,
            &[client],
            &["--renew", "none", "--context", client],
        )?;
        let joined = scratch.join(".docker/dockgate").join(client).join("docker");
        let folder = suite.pki.client_folder(&format!("{name}-{client}"));
        fs::create_dir_all(&folder).context("make a client's folder")?;
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::copy(joined.join(file), folder.join(file)).context("copy a client's file")?;
        }
    }
    // Far longer than this may take: what comes in time was pushed.
    let gate = Gate::start_by(
        &[("--enrolled", &state)],
        &suite.engine.socket,
        &["--trust-interval", "1h", "--reload-interval", "off"],
    )?;
    gate.wait_for_log(PATIENCE, |line| line.contains(r#""In the cage""#))?;
    let eve = Side::gate(suite, name, gate.addr)?.with_certificate(&format!("{name}-eve"));
    let bob = Side::gate(suite, name, gate.addr)?.with_certificate(&format!("{name}-bob"));
    let outcome = cut_one(&gate, &eve, &bob, || certs(&ca, &["revoke", "eve"]));
    bob.clean();
    outcome
}

/// When the gate wrote this line of its log.
fn time(line: &str) -> ScenarioResult<OffsetDateTime> {
    let fields: serde_json::Value = serde_json::from_str(line).context("read a log line")?;
    let time = fields["time"].as_str().unwrap_or_default();
    OffsetDateTime::parse(time, &Rfc3339).context(&format!("read the time of {line}"))
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn cut_one(
    gate: &Gate,
    eve: &Side<'_>,
    bob: &Side<'_>,
    revoke: impl FnOnce() -> ScenarioResult,
) -> ScenarioResult {
    bob.ok("sleeper")?;
    let script = "docker exec -i $N sh -c 'echo ready; cat'";
    let (mut hers, mut his) = (eve.start(script)?, bob.start(script)?);
    for (who, exec) in [("eve", &hers), ("bob", &his)] {
        let ready = exec
            .stdout
            .wait_for(PATIENCE, |text| text.contains("ready").then_some(()));
        ensure!(
            ready.is_some(),
            "{who}'s exec did not start: {}",
            exec.transcript()
        );
    }
    ensure!(
        hers.running() && his.running(),
        "both execs must be running"
    );

    revoke()?;
    let reloaded = gate.wait_for_log(PATIENCE, |line| line.contains(r#""Reloaded""#))?;
    // Standard input stays open: the end comes from the gate alone. How soon a client's process is gone is the machine's
    // affair; how soon its connection was cut, the gate's log says.
    let asked = Instant::now();
    while hers.running() {
        ensure!(
            asked.elapsed() < PATIENCE,
            "eve's exec still runs {PATIENCE:?} after the reload: {}",
            hers.transcript()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    // The CLI's idle connection, by which it made the exec, is cut with a line of its own.
    let line = gate.wait_for_log(PATIENCE, |line| {
        line.contains(r#""Connection cut""#) && line.contains(r#""op":"exec.start""#)
    })?;
    for words in [
        r#""client.id":"eve""#,
        r#""reason":"untrusted""#,
        "is revoked",
        r#""busy":true"#,
    ] {
        ensure!(line.contains(words), "{words:?} is not in {line}");
    }
    let after = time(&line)? - time(&reloaded)?;
    ensure!(
        after.unsigned_abs() < AT_ONCE,
        "eve's exec was cut {after} after the reload"
    );
    ensure!(
        !gate
            .log()
            .lines()
            .any(|line| line.contains(r#""Connection cut""#)
                && line.contains(r#""client.id":"bob""#)),
        "bob was cut as well"
    );

    // The neighbour's exec goes on, in both directions.
    ensure!(his.running(), "bob's exec ended: {}", his.transcript());
    his.write(b"still here\n");
    let echoed = his
        .stdout
        .wait_for(PATIENCE, |text| text.contains("still here").then_some(()));
    ensure!(echoed.is_some(), "no echo for bob: {}", his.transcript());
    his.close_stdin();
    let output = his.finish(PATIENCE)?;
    ensure!(output.code == 0, "bob's exec ended with {}", output.code);

    let refused = eve.shell_within("docker ps", PATIENCE)?;
    ensure!(
        refused.code == 1 && refused.stderr.contains("revoked certificate"),
        "eve was not refused as revoked: {} {}",
        refused.code,
        refused.stderr
    );
    bob.ok("docker ps").map(|_| ())
}
