//! An engine that keeps images in containerd: archives as outputs, and caches in a registry.

use super::{Makers, TEAM, fails, passes, registry};
use crate::support::ScenarioResult;
use crate::support::engine::RealEngine;
use crate::support::suite::Suite;

/// Outputs and caches that no engine with the old store has.
pub(super) fn stored(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    suite.tools.get("DOCKERD")?;
    let directory = suite.scratch(&format!("{name}-engine"))?;
    let engine = RealEngine::start_with_containerd_images(&suite.tools, &directory.join("engine"))?;
    engine.import_image(&suite.tools, &directory)?;
    let verdict = outputs(suite, name, &engine).and_then(|()| caches(suite, name, &engine));
    engine.stop();
    verdict
}

fn outputs(suite: &Suite, name: &str, engine: &RealEngine) -> ScenarioResult {
    let images = ("docker.io/library/*", "");
    let archives = [
        ("build -o type=oci,dest=oci.tar ctx 2>&1", "oci"),
        ("build -o type=docker,dest=docker.tar ctx 2>&1", "docker"),
        ("build -o type=local,dest=out ctx 2>&1", "local"),
    ];
    let all = Makers::before(suite, name, engine, images, "")?;
    for (script, _) in archives {
        passes(&all.side(TEAM)?, script)?;
    }
    passes(
        &all.side(TEAM)?,
        "tar -tf oci.tar index.json && tar -tf docker.tar manifest.json",
    )?;
    all.finish()?;
    let narrow = format!("{name}-n");
    let none = Makers::before(suite, &narrow, engine, images, "outputs = [\"image\"]\n")?;
    for (script, kind) in archives {
        let said = format!("role maker: outputs: the exporter \"{kind}\"");
        fails(&none.side(TEAM)?, script, &said)?;
    }
    passes(&none.side(TEAM)?, "build -t $N ctx 2>&1")?;
    none.finish()
}

fn caches(suite: &Suite, name: &str, engine: &RealEngine) -> ScenarioResult {
    let registry = registry(suite, name)?;
    let at = |script: &str| script.replace("HOST", &registry.addr);
    let build = at("push = [\"HOST/ci/**\"]\ncache = [\"HOST/cache/**\"]\n");
    let name = format!("{name}-c");
    let tag = at(", \"HOST/ci/**\"");
    let images = at("docker.io/library/*\", \"HOST/ci/**");
    let build = at("sources = [\"docker.io/library/*\"]\n") + &build;
    let makers = Makers::before(suite, &name, engine, (&images, &tag), &build)?;
    let team = makers.side(TEAM)?;
    passes(
        &team,
        &at(
            "build --cache-to type=registry,ref=HOST/cache/app,mode=max -t HOST/ci/app --push ctx 2>&1",
        ),
    )?;
    // Nothing is left on the engine, so what is not built again comes from the registry.
    let prune = format!(
        "docker -H unix://{} builder prune -af 2>&1",
        engine.socket.display()
    );
    let direct = crate::support::client::Side::direct(suite, &name, &engine.socket)?;
    direct.ok(&prune)?;
    passes(
        &team,
        &at(
            "build --cache-from type=registry,ref=HOST/cache/app -t $N ctx 2>&1 | tee log; grep -q 'importing cache manifest' log && grep -q CACHED log",
        ),
    )?;
    for (script, part) in [
        (
            "build --cache-to type=registry,ref=HOST/ci/cache ctx",
            "role maker: cache: ",
        ),
        (
            "build --cache-from type=registry,ref=HOST/ci/app ctx",
            "role maker: cache: ",
        ),
        (
            "build --cache-to type=registry,ref=HOST/cache/app,registry.insecure=true ctx",
            "role maker: cache: ",
        ),
        (
            "build --cache-to type=gha,url=http://127.0.0.1:1/,token=x ctx",
            "role maker: cache: ",
        ),
        ("build -t HOST/other/app --push ctx", "role maker: tags: "),
        (
            "build -o type=image,name=HOST/ci/app,push=true,registry.insecure=true ctx",
            "role maker: outputs: ",
        ),
    ] {
        fails(&team, &at(script), part)?;
    }
    makers.finish()
}
