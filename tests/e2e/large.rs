//! Large transfers in constant memory, with slow readers and a slow engine (§9, 24; issue line "Streams pass at once").
//!
//! Sizes come from `DOCKGATE_E2E_BIG_MB`. Each scenario has a gate of its own, so that its memory is its own too.

use std::time::Duration;

use super::support::client::Side;
use super::support::gate::Gate;
use super::support::suite::{Case, Suite};
use super::support::{ScenarioResult, ensure};

/// How far the gate's resident memory may grow, in KiB.
const GROWTH_KIB: u64 = 16 << 10;
/// What the rest of a scenario needs of the suite's limit.
const MARGIN: Duration = Duration::from_secs(30);

pub(crate) fn cases() -> Vec<Case> {
    let case = Case::new;
    vec![
        case("c24__exec_pipes_in_constant_memory", |suite, name| {
            let script = "sleeper; head -c $SIZE /dev/zero | docker exec -i $N sh -c 'sleep 2; wc -c'; docker exec $N dd if=/dev/zero bs=1M count=$((SIZE >> 20)) 2>/dev/null | (sleep 2; wc -c)";
            large(suite, name, script, |size| format!("{size}\n{size}\n"))
        }),
        case("c24b__cp_both_ways_in_constant_memory", |suite, name| {
            let script = "sleeper; truncate -s $SIZE big; docker cp big $N:/big 2>/dev/null; docker exec $N stat -c %s /big
                docker cp $N:/big - | (sleep 2; tar xOf - | wc -c)";
            large(suite, name, script, |size| format!("{size}\n{size}\n"))
        }),
        case(
            "c24c__build_context_save_and_load_in_constant_memory",
            |suite, name| {
                let script = "mkdir ctx; truncate -s $SIZE ctx/big; printf \"FROM $IMAGE\\nCOPY big /big\\n\" >ctx/Dockerfile
                DOCKER_BUILDKIT=0 docker build -q -t $N ctx >/dev/null; docker save $N | (sleep 2; cat) >img.tar; docker rmi $N >/dev/null
                docker load -q <img.tar >/dev/null; run --rm $N stat -c %s /big";
                large(suite, name, script, |size| format!("{size}\n"))
            },
        ),
        Case {
            name: "c24d__buildx_context_in_constant_memory",
            needs: &["BUILDX"],
            run: |suite, name| {
                let script = "mkdir ctx; truncate -s $SIZE ctx/big; printf \"FROM $IMAGE\\nCOPY big /big\\n\" >ctx/Dockerfile
                docker buildx build -q --network none -t $N ctx >/dev/null; run --rm $N stat -c %s /big";
                large(suite, name, script, |size| format!("{size}\n"))
            },
        },
    ]
}

fn large(
    suite: &Suite,
    name: &str,
    script: &str,
    printed: impl Fn(u64) -> String,
) -> ScenarioResult {
    let size = suite.big_mib << 20;
    let script = format!("SIZE={size}; {script}");
    let Ok(_) = suite.gate() else {
        let side = Side::direct(suite, name, &suite.engine.socket)?;
        let output = side.shell_within(&script, suite.limit() - MARGIN);
        side.clean();
        let output = output?;
        ensure!(
            output.text() == printed(size),
            "expected {:?}, got {:?} {}",
            printed(size),
            output.text(),
            output.stderr
        );
        return Ok(());
    };
    let gate = Gate::start(&suite.pki, &suite.engine.socket, &[])?;
    let side = Side::gate(suite, name, gate.addr)?;
    // What every connection costs once must not count as growth.
    side.ok("docker version; echo warm | run -i --rm $IMAGE cat")?;
    let (before, _) = gate.memory()?;
    gate.reset_peak()?;
    let output = side.shell_within(&script, suite.limit() - MARGIN);
    side.clean();
    let output = output?;
    let (_, peak) = gate.memory()?;
    ensure!(
        output.text() == printed(size),
        "expected {:?}, got {:?} {}",
        printed(size),
        output.text(),
        output.stderr
    );
    let grown = peak.saturating_sub(before);
    ensure!(
        grown < GROWTH_KIB,
        "resident memory grew by {grown} KiB, from {before} to {peak}, while {size} bytes passed"
    );
    gate.check_log()
}
