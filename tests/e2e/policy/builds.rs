//! Judged builds with real buildx, bake and compose: each deny beside its allow.

mod debugged;
mod fetched;
mod stored;
mod together;

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::client::Side;
use crate::support::engine::RealEngine;
use crate::support::gate::Gate;
use crate::support::process::Process;
use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

use super::{FACTORY, TEAM, path};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case {
        name,
        needs: &["BUILDX"],
        run,
    };
    vec![
        case(
            "policy_judged_build__works_as_ever_for_a_limited_role",
            work,
        ),
        case("policy_judged_sources__are_those_that_are_listed", sources),
        case("policy_judged_powers__are_those_that_are_listed", powers),
        case("policy_judged_caches__are_the_clients_own", others),
        case(
            "policy_judged_together__two_clients_build_at_once_and_neither_sees_the_other",
            together::together,
        ),
        case("policy_judged_history__is_the_clients_own", histories),
        case(
            "policy_judged_frontends__are_the_engines_where_the_role_says_so",
            frontends,
        ),
        Case {
            name: "policy_judged_registry__is_pushed_to_and_taken_from_where_it_is_listed",
            needs: &["BUILDX", "REGISTRY"],
            run: registries,
        },
        Case {
            name: "policy_judged_stored__archives_and_caches_in_a_registry",
            needs: &["BUILDX", "REGISTRY"],
            run: stored::stored,
        },
        Case {
            name: "policy_judged_fetched__repositories_and_files_that_are_listed",
            needs: &["BUILDX", "GIT"],
            run: fetched::fetched,
        },
        case(
            "policy_judged_debug__runs_programs_where_the_role_says_so",
            debugged::debugged,
        ),
        Case {
            name: "policy_judged_compose__builds_by_the_same_rules",
            needs: &["BUILDX", "COMPOSE"],
            run: compose,
        },
    ]
}

/// A gate whose clients may build, and the side of one of them.
struct Makers<'a> {
    suite: &'a Suite,
    name: &'a str,
    gate: Gate,
}

impl<'a> Makers<'a> {
    fn start(suite: &'a Suite, name: &'a str) -> ScenarioResult<Self> {
        Self::with(suite, name, ("docker.io/library/*", ""), "")
    }

    /// A role with these images and further tags, and further lines of its build.
    fn with(
        suite: &'a Suite,
        name: &'a str,
        images_and_tag: (&str, &str),
        build: &str,
    ) -> ScenarioResult<Self> {
        Self::before(suite, name, &suite.engine, images_and_tag, build)
    }

    /// The same in front of this engine.
    fn before(
        suite: &'a Suite,
        name: &'a str,
        engine: &RealEngine,
        (images, tag): (&str, &str),
        build: &str,
    ) -> ScenarioResult<Self> {
        suite.gate()?;
        let policy = suite
            .scratch(&format!("{name}-makers"))?
            .join("policy.toml");
        let client =
            |cn: &str| format!("[[client]]\nmatch = {{ cn = \"e2e {cn}\" }}\nrole = \"maker\"\n");
        let text = format!(
            "version = 1\n{}{}[role.maker]\nbase = \"builder\"\n[role.maker.limits]\nimages = [\"{images}\"]\ntags = [\"{}-{name}-g\"{tag}]\n[role.maker.build]\nclassic = false\n{build}",
            client(TEAM),
            client(FACTORY),
            suite.prefix,
        );
        fs::write(&policy, text).context("write the policy")?;
        let policy = path(&policy)?;
        let gate = Gate::start(&suite.pki, &engine.socket, &["--policy", &*policy])?;
        Ok(Self { suite, name, gate })
    }

    fn side(&self, certificate: &str) -> ScenarioResult<Side<'a>> {
        Ok(Side::gate(self.suite, self.name, self.gate.addr)?.with_certificate(certificate))
    }

    fn finish(self) -> ScenarioResult {
        self.side(TEAM)?.clean();
        self.gate.check_alive()?;
        self.gate.check_log()
    }
}

/// How long a registry may take to listen.
const START: Duration = Duration::from_secs(20);

/// Makes `build` a function: steps have no network, since the private engine has none.
const BUILD: &str = r#"
build() { docker buildx build --builder default --progress plain --network none "$@"; }
mkdir -p ctx; printf "FROM $IMAGE\nCOPY Dockerfile /it\nRUN --mount=type=cache,target=/c echo x >/c/x\n" >ctx/Dockerfile
"#;

fn passes(side: &Side<'_>, script: &str) -> ScenarioResult<String> {
    side.ok(&format!("{BUILD}{script}"))
}

/// The script must fail and say `part`.
fn fails(side: &Side<'_>, script: &str, part: &str) -> ScenarioResult {
    let output = side.shell(&format!("{BUILD}{script}"))?;
    ensure!(
        output.code != 0 && format!("{}{}", output.text(), output.stderr).contains(part),
        "`{script}`: expected \"{part}\", got exit {} {}{}",
        output.code,
        output.text(),
        output.stderr
    );
    Ok(())
}

fn work(suite: &Suite, name: &str) -> ScenarioResult {
    let makers = Makers::start(suite, name)?;
    let team = makers.side(TEAM)?;
    for script in [
        "build -t $N ctx 2>&1",
        "DOCKER_BUILDKIT=1 docker build --network none -q -t $N ctx",
        "printf \"FROM $IMAGE AS a\\nRUN echo a >/a\\nFROM $IMAGE\\nCOPY --from=a /a /b\\n\" | build -t $N -f - ctx 2>&1",
        "echo hidden >s; printf \"FROM $IMAGE\\nRUN --mount=type=secret,id=s grep hidden /run/secrets/s\\n\" | build --secret id=s,src=s -f - ctx 2>&1",
        "tar -C ctx -c . | build -t $N - 2>&1",
        "build -o type=local,dest=out ctx 2>&1 && test -f out/it",
        "build -o type=tar,dest=out.tar ctx 2>&1 && tar -tf out.tar it",
        "build --cache-to type=inline -t $N ctx 2>&1",
        "build --metadata-file meta.json -t $N ctx 2>&1 && grep -q image.name meta.json",
        "case $(docker buildx build --help) in *--check*) build --check ctx 2>&1 ;; esac",
        "$OPENSSL genrsa -traditional -out key 2048 2>/dev/null; chmod 600 key; printf \"FROM $IMAGE\\nRUN --mount=type=ssh,id=k test -S \\$SSH_AUTH_SOCK\\n\" | build --ssh k=key -f - ctx 2>&1",
        "printf \"FROM base\\nCOPY --from=files Dockerfile /z\\n\" | build --build-context base=docker-image://$IMAGE --build-context files=ctx -t $N -f - ctx 2>&1",
        "build --no-cache -t $N ctx >one 2>&1 & build --no-cache ctx >two 2>&1 && wait $!",
    ] {
        passes(&team, script)?;
    }
    passes(
        &team,
        r#"printf "FROM base\nCOPY Dockerfile /z\n" >ctx/Second
        cat >bake.json <<BAKE
{"group": {"default": {"targets": ["one", "two"]}}, "target": {
 "base": {"context": "ctx", "network": "none"},
 "one": {"context": "ctx", "network": "none", "tags": ["$N:one"]},
 "two": {"context": "ctx", "dockerfile": "Second", "network": "none", "tags": ["$N:two"], "contexts": {"base": "target:base"}}}}
BAKE
        sed -i '/RUN/d' ctx/Dockerfile
        docker buildx bake --builder default --progress plain -f bake.json 2>&1 && docker image inspect $N:one $N:two >/dev/null"#,
    )?;
    // A build that is given up ends on the engine too.
    passes(
        &team,
        r#"printf "FROM $IMAGE\nRUN sleep 1017\n" >ctx/Sleep
        docker buildx build --builder default --progress plain --network none --no-cache -f ctx/Sleep ctx >log 2>&1 & client=$!
        for i in $(seq 300); do pgrep -fx 'sleep 1017' >/dev/null && break; sleep 0.1; done
        pgrep -fx 'sleep 1017' >/dev/null && kill -INT $client && ! wait $client || exit 1
        for i in $(seq 300); do pgrep -fx 'sleep 1017' >/dev/null || exit 0; sleep 0.1; done; exit 1"#,
    )?;
    makers.finish()
}

fn sources(suite: &Suite, name: &str) -> ScenarioResult {
    let makers = Makers::start(suite, name)?;
    let team = makers.side(TEAM)?;
    let foreign = "foreign.example.com/x";
    for dockerfile in [
        format!("FROM {foreign}"),
        format!("FROM {foreign}@sha256:{}", "a".repeat(64)),
        format!("FROM $IMAGE\\nCOPY --from={foreign} /a /a"),
        format!("# syntax={foreign}\\nFROM $IMAGE"),
        "FROM $IMAGE\\nADD http://127.0.0.1:1/x /x".to_owned(),
        "FROM $IMAGE\\nADD https://127.0.0.1:1/x.git /x".to_owned(),
    ] {
        let script = format!("printf \"{dockerfile}\\n\" | build -t $N -f - ctx 2>&1");
        fails(&team, &script, "denied by policy")?;
    }
    for script in [
        "build http://127.0.0.1:1/Dockerfile",
        "build https://127.0.0.1:1/x.git#main:dir",
        "build $'https://127.0.0.1:1/x.git#a\\nb'",
        "build --build-arg BUILDKIT_SYNTAX=foreign.example.com/x ctx",
        "printf 'FROM base\\n' | build --build-context base=docker-image://foreign.example.com/x -f - ctx",
    ] {
        fails(&team, script, "denied by policy")?;
    }
    passes(&team, "build -t $N ctx 2>&1")?;
    makers.finish()
}

fn powers(suite: &Suite, name: &str) -> ScenarioResult {
    let makers = Makers::start(suite, name)?;
    let team = makers.side(TEAM)?;
    for (script, rule) in [
        (
            "build --allow network.host --network host ctx",
            "entitlements",
        ),
        ("build --allow security.insecure ctx", "entitlements"),
        ("build --cgroup-parent /x ctx", "cgroup-parent"),
        ("build -t other/name ctx", "tags"),
        ("build -t $N -t other/name ctx", "tags"),
        ("build -t $N --push ctx", "push"),
        ("build -o type=image,name=$N,push=1 ctx", "push"),
        ("build -o 'type=image,name=*' ctx", "tags"),
        (
            "build --cache-from type=registry,ref=foreign.example.com/c ctx",
            "cache",
        ),
        ("docker buildx du --builder default", "usage"),
        ("docker buildx prune --builder default -f", "prune"),
        ("DOCKER_BUILDKIT=0 docker build ctx", "operation"),
    ] {
        fails(&team, script, &format!("role maker: {rule}: "))?;
    }
    passes(&team, "build -t $N ctx 2>&1")?;
    makers.finish()
}

/// What one client leaves in a cache mount, it finds there again, and another client does not.
fn others(suite: &Suite, name: &str) -> ScenarioResult {
    let makers = Makers::start(suite, name)?;
    let (team, factory) = (makers.side(TEAM)?, makers.side(FACTORY)?);
    let step = |step: &str| {
        format!(
            "printf \"FROM $IMAGE\\nRUN --mount=type=cache,id=shared,target=/c {step}\\n\" | build -f - ctx 2>&1"
        )
    };
    passes(&team, &step("echo mine >/c/x"))?;
    passes(&team, &step("cat /c/x # of the same client"))?;
    let other = step("cat /c/x # of another client");
    fails(&factory, &other, "can't open '/c/x'")?;
    makers.gate.wait_for_log(Duration::from_secs(5), |line| {
        line.contains("\"op\":\"build.solve\"") && line.contains("\"decision\":\"allow\"")
    })?;
    makers.finish()
}

/// Each client's history is its own, with what belongs to it.
fn histories(suite: &Suite, name: &str) -> ScenarioResult {
    let makers = Makers::start(suite, name)?;
    let (team, factory) = (makers.side(TEAM)?, makers.side(FACTORY)?);
    // What the engine has for a build: its provenance comes from its history and the content that this names.
    let made = "build --metadata-file meta.json -t $N ctx >/dev/null 2>&1; grep -o '\"buildx.build.ref\": *\"[^\"]*\"' meta.json | cut -d'\"' -f4 | sed 's,.*/,,'";
    let mine = passes(&team, made)?.trim().to_owned();
    ensure!(!mine.is_empty(), "the metadata must name the build");
    if team
        .shell("case $(docker buildx --help) in *history*) ;; *) false ;; esac")?
        .code
        != 0
    {
        // buildx before 0.18 has no such command.
        return makers.finish();
    }
    passes(&team, &format!("docker buildx history inspect {mine} 2>&1"))?;
    passes(&team, &format!("docker buildx history logs {mine} 2>&1"))?;
    fails(
        &factory,
        &format!("docker buildx history inspect {mine}"),
        "",
    )?;
    fails(&factory, &format!("docker buildx history rm {mine}"), "")?;
    passes(&team, &format!("docker buildx history rm {mine} 2>&1"))?;
    makers.finish()
}

/// A frontend that is an image is not run where only the engine's own is.
fn frontends(suite: &Suite, name: &str) -> ScenarioResult {
    let file = "printf \"# syntax=$IMAGE\\nFROM $IMAGE\\nCOPY Dockerfile /it\\n\" | build -t $N -f - ctx 2>&1";
    let any = format!("{name}-any");
    let any = Makers::start(suite, &any)?;
    // The image is not a frontend: the build fails once it was run as one.
    fails(
        &any.side(TEAM)?,
        file,
        "resolve image config for docker-image://",
    )?;
    any.finish()?;
    let own = Makers::with(
        suite,
        name,
        ("docker.io/library/*", ""),
        "frontends = \"engine\"\n",
    )?;
    let team = own.side(TEAM)?;
    passes(&team, file)?;
    passes(&team, "build -t $N ctx 2>&1")?;
    fails(
        &team,
        "build --build-arg BUILDKIT_SYNTAX=$IMAGE ctx",
        "role maker: frontends: ",
    )?;
    own.finish()
}

/// A registry on loopback, which the engine talks to without TLS.
struct LoopbackRegistry {
    addr: String,
    _process: Process,
}

fn registry(suite: &Suite, name: &str) -> ScenarioResult<LoopbackRegistry> {
    let directory = suite.scratch(&format!("{name}-registry"))?;
    let mut command = Command::new(suite.tools.get("REGISTRY")?);
    let settings = directory.join("registry.yml");
    let text = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
        directory.display()
    );
    fs::write(&settings, text).context("write the registry's settings")?;
    command.arg("serve").arg(&settings);
    let process = Process::start(command, "the registry")?;
    let addr = process
        .stderr
        .wait_for(START, |text| {
            let (_, rest) = text.split_once("listening on ")?;
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')?;
            Some(rest[..end].to_owned())
        })
        .ok_or_else(|| format!("the registry does not listen: {}", process.transcript()))?;
    Ok(LoopbackRegistry {
        addr,
        _process: process,
    })
}

fn registries(suite: &Suite, name: &str) -> ScenarioResult {
    let registry = registry(suite, name)?;
    let listening = &registry.addr;
    let images = format!("docker.io/library/*\", \"{listening}/base/**\", \"{listening}/ci/**");
    let tag = format!(", \"{listening}/ci/**\", \"{listening}/base/**\"");
    let build = format!(
        "sources = [\"docker.io/library/*\", \"{listening}/base/**\"]\npush = [\"{listening}/ci/**\", \"{listening}/base/**\"]\ncache = [\"{listening}/cache/**\"]\n"
    );
    let makers = Makers::with(suite, name, (&images, &tag), &build)?;
    let team = makers.side(TEAM)?;
    let at = |script: &str| script.replace("HOST", listening);
    for script in [
        "build -t HOST/base/one --push ctx 2>&1",
        "build -o type=image,name=HOST/ci/app:1,push=1 ctx 2>&1",
        "printf 'FROM HOST/base/one\\nCOPY Dockerfile /z\\n' | build -t $N -f - ctx 2>&1",
        "printf 'FROM HOST/base/one:latest\\nCOPY --from=HOST/base/one /it /z\\n' | build --pull -t $N -f - ctx 2>&1",
    ] {
        passes(&team, &at(script))?;
    }
    for (script, part) in [
        ("build -t HOST/other/app --push ctx", "role maker: tags: "),
        ("build -t $N --push ctx", "role maker: push: "),
        (
            "build -t HOST/ci/app -t $N --push ctx",
            "role maker: push: ",
        ),
        (
            "printf 'FROM HOST/ci/app:1\\n' | build -f - ctx",
            "denied by policy",
        ),
        (
            "printf 'FROM localhost:1/base/one\\n' | build -f - ctx",
            "denied by policy",
        ),
        ("build --cache-from HOST/ci/app ctx", "role maker: cache: "),
        ("build --cache-to type=registry,ref=HOST/ci/app ctx", ""),
        (
            "build --cache-from type=gha,url=http://127.0.0.1:1/,token=x ctx",
            "",
        ),
        ("build --cache-from type=s3,region=x,bucket=y ctx", ""),
    ] {
        fails(&team, &at(script), part)?;
    }
    // A cache that does not exist is no error, so this shows only that it may be asked for; the engine that keeps images in
    // containerd has one.
    passes(
        &team,
        &at("build --cache-from HOST/cache/app -t $N ctx 2>&1"),
    )?;
    drop(registry);
    makers.finish()
}

fn compose(suite: &Suite, name: &str) -> ScenarioResult {
    let makers = Makers::start(suite, name)?;
    let team = makers.side(TEAM)?;
    let file = |image: &str| {
        format!(
            "printf 'services:\\n  a:\\n    image: %s\\n    build:\\n      context: ctx\\n      network: none\\n' {image} >docker-compose.yaml; docker compose -p p${{N//-/}} build 2>&1"
        )
    };
    passes(&team, &file("$N"))?;
    fails(&team, &file("other/name"), "role maker: tags: ")?;
    makers.finish()
}
