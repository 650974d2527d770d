//! Two clients that build at the same time, through one gate and by one policy.

use std::time::Duration;

use super::{BUILD, FACTORY, Makers, TEAM, passes};
use crate::support::client::{PATIENCE, Side};
use crate::support::process::Process;
use crate::support::suite::Suite;
use crate::support::{ScenarioResult, ensure};

/// A build whose step keeps a cache mount, and what its secret says in it, while `sleep SECONDS` runs. Both clients have files of
/// the same names, sizes and times, and mounts of the same ids. `WHO` has four letters.
const ONE: &str = r#"
build() { docker buildx build --builder default --progress plain --network none "$@"; }
mkdir -p WHO/ctx && cd WHO && echo WHO >secret && echo WHO >ctx/mine && touch -d @1000 ctx/mine
cat >ctx/Dockerfile <<END
FROM $IMAGE
COPY mine /mine
RUN --mount=type=secret,id=s --mount=type=cache,id=shared,target=/c set -e; \
    test ! -e /c/who; cat /run/secrets/s >/c/who; sleep SECONDS || true; \
    cmp /c/who /run/secrets/s; cmp /mine /run/secrets/s; cp /c/who /who
END
build --secret id=s,src=secret -t $N:WHO ctx 2>&1
"#;

/// Waits for the steps of both, sees that a third build is judged meanwhile, and ends them.
const BOTH: &str = r#"
steps() { pgrep -fx 'sleep ONE' && pgrep -fx 'sleep TWO'; }
for i in $(seq 400); do steps >/dev/null && break; sleep 0.1; done
steps || exit 1
build -t $N:third ctx 2>&1 || exit 1
! build -t foreign/name ctx >refused 2>&1 && grep -q 'role maker: tags: ' refused || exit 1
kill $(steps)
"#;

pub(super) fn together(suite: &Suite, name: &str) -> ScenarioResult {
    let makers = Makers::start(suite, name)?;
    let (team, factory) = (makers.side(TEAM)?, makers.side(FACTORY)?);
    // No other process of this machine sleeps so long.
    let seconds = [0, 1].map(|n| (10_000_000 + 2 * std::process::id() + n).to_string());
    let began = |side: &Side<'_>, who: &str, seconds: &str| -> ScenarioResult<Process> {
        side.start(&ONE.replace("WHO", who).replace("SECONDS", seconds))
    };
    let both = [
        began(&team, "team", &seconds[0])?,
        began(&factory, "fact", &seconds[1])?,
    ];
    let watched = BOTH.replace("ONE", &seconds[0]).replace("TWO", &seconds[1]);
    let watched = team.shell(&format!("{BUILD}{watched}"))?;
    for (mut build, side) in both.into_iter().zip([&team, &factory]) {
        let output = build.finish(PATIENCE)?;
        ensure!(
            output.code == 0,
            "{}: expected a whole build: {}{}\nbeside it: {}{}",
            side.prefix,
            output.text(),
            output.stderr,
            watched.text(),
            watched.stderr
        );
    }
    ensure!(
        watched.code == 0,
        "expected both builds at once: {}{}",
        watched.text(),
        watched.stderr
    );
    // Each image has what its own client sent.
    let direct = Side::direct(suite, name, &suite.engine.socket)?;
    for who in ["team", "fact"] {
        let image = format!("{}:{who}", team.prefix);
        let said = direct.ok(&format!("run --rm {image} cat /mine /who"))?;
        ensure!(said == format!("{who}\n{who}"), "{image}: {said}");
    }
    // The two builds are told apart by client.
    for client in [TEAM, FACTORY] {
        makers.gate.wait_for_log(Duration::from_secs(5), |line| {
            line.contains("\"op\":\"build.solve\"")
                && line.contains("\"decision\":\"allow\"")
                && line.contains(&format!("e2e {client}"))
        })?;
    }
    passes(&team, "build -t $N ctx 2>&1")?;
    makers.finish()
}
