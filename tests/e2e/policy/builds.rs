//! Judged builds with real buildx, bake and compose: each deny beside its allow.

use std::fs;
use std::time::Duration;

use crate::support::client::Side;
use crate::support::gate::Gate;
use crate::support::suite::{Case, Suite};
use crate::support::{Context, Verdict, ensure};

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
    fn start(suite: &'a Suite, name: &'a str) -> Verdict<Self> {
        suite.gate()?;
        let policy = suite
            .scratch(&format!("{name}-makers"))?
            .join("policy.toml");
        let client =
            |cn: &str| format!("[[client]]\nmatch = {{ cn = \"e2e {cn}\" }}\nrole = \"maker\"\n");
        let text = format!(
            "version = 1\n{}{}[role.maker]\nbase = \"builder\"\n[role.maker.limits]\nimages = [\"docker.io/library/*\"]\ntags = [\"{}-{name}-g\"]\n[role.maker.build]\nclassic = false\n",
            client(TEAM),
            client(FACTORY),
            suite.prefix,
        );
        fs::write(&policy, text).context("write the policy")?;
        let policy = path(&policy)?;
        let gate = Gate::start(&suite.pki, &suite.engine.socket, &["--policy", &*policy])?;
        Ok(Self { suite, name, gate })
    }

    fn side(&self, certificate: &str) -> Verdict<Side<'a>> {
        Ok(Side::gate(self.suite, self.name, self.gate.addr)?.with_certificate(certificate))
    }

    fn finish(self) -> Verdict {
        self.side(TEAM)?.clean();
        self.gate.check_alive()?;
        self.gate.check_log()
    }
}

/// Makes `build` a function: steps have no network, since the private engine has none.
const BUILD: &str = r#"
build() { docker buildx build --builder default --progress plain --network none "$@"; }
mkdir -p ctx; printf "FROM $IMAGE\nCOPY Dockerfile /it\nRUN --mount=type=cache,target=/c echo x >/c/x\n" >ctx/Dockerfile
"#;

fn passes(side: &Side<'_>, script: &str) -> Verdict<String> {
    side.ok(&format!("{BUILD}{script}"))
}

/// The script must fail and say `part`.
fn fails(side: &Side<'_>, script: &str, part: &str) -> Verdict {
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

fn work(suite: &Suite, name: &str) -> Verdict {
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

fn sources(suite: &Suite, name: &str) -> Verdict {
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

fn powers(suite: &Suite, name: &str) -> Verdict {
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
fn others(suite: &Suite, name: &str) -> Verdict {
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

fn compose(suite: &Suite, name: &str) -> Verdict {
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
