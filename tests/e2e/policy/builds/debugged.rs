//! `docker buildx debug`: programs in the steps of a build that failed.

use super::{FACTORY, Makers, TEAM, passes};
use crate::support::suite::Suite;
use crate::support::{ScenarioResult, ensure};

/// The shell in the step that failed; what the client asks for is typed when it asks. buildx wants a terminal.
const SHELL: &str = r#"
printf "FROM $IMAGE\nRUN echo inside >/y\nRUN false\n" >ctx/Fails; : >log
said() { for i in $(seq 200); do grep -q "$1" log && return; sleep 0.1; done; false; }
{ said 'built-in shell' && echo 'cat /y' && said '^inside' ; echo exit; sleep 1; echo exit; sleep 1; } |
    BUILDX_EXPERIMENTAL=1 timeout 40 script -qefc "docker buildx --builder default debug --invoke sh --on error build --progress plain --network none -f ctx/Fails ctx" /dev/null >log 2>&1
tr -d '\r' <log >said
"#;

pub(super) fn debugged(suite: &Suite, name: &str) -> ScenarioResult {
    let images = ("docker.io/library/*", "");
    for (key, granted) in [
        ("debug = true\nraw_llb = true\n", true),
        ("raw_llb = true\n", false),
    ] {
        let name = format!("{name}-{granted}");
        let makers = Makers::with(suite, &name, images, key)?;
        let side = makers.side(if granted { TEAM } else { FACTORY })?;
        if side
            .shell("case $(docker buildx version) in *' 0.1'*) ;; *) false ;; esac")?
            .code
            == 0
        {
            // Its monitor is a server of its own, which outlives the command.
            return makers.finish();
        }
        let said = passes(&side, &format!("{SHELL} cat said"))?;
        ensure!(
            said.contains("\ninside") == granted,
            "debug = {granted}: {said}"
        );
        let call = "/moby.buildkit.v1.frontend.LLBBridge/NewContainer";
        let decided = if granted { "allow" } else { "deny" };
        makers
            .gate
            .wait_for_log(std::time::Duration::from_secs(5), |line| {
                line.contains(call) && line.contains(&format!("\"decision\":\"{decided}\""))
            })?;
        makers.finish()?;
    }
    Ok(())
}
