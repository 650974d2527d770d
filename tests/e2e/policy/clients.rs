//! What people see at the docker CLI: an allowed role notices nothing, a denied one reads our sentence.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::client::Side;
use crate::support::same::same_text;
use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

use super::{ADMIN, FACTORY, Roles, TEAM, VIEWER};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_commands__need_the_operations_that_the_reference_names",
            commands,
        ),
        Case::new("policy_cli__an_allowed_role_notices_nothing", allowed),
        Case::new("policy_sentence__denied_commands_print_it_and_fail", denied),
        Case::new(
            "policy_targets__of_exec_attach_and_cp_are_looked_at",
            targets,
        ),
        Case::new(
            "policy_builds__denied_with_a_big_context_print_the_message",
            builds,
        ),
        Case {
            name: "policy_compose__up_and_down_as_without_a_policy",
            needs: &["COMPOSE"],
            run: compose,
        },
        Case {
            name: "policy_buildx__builds_with_the_grant_and_not_without",
            needs: &["BUILDX"],
            run: buildx,
        },
        Case::new(
            "policy_contexts__are_cut_before_the_engine_fetches_anything",
            contexts,
        ),
    ]
}

/// The same script through a gate without a policy and through one with: output and exit code must be the same.
fn same(roles: &Roles<'_>, plain: &Side<'_>, script: &str) -> ScenarioResult {
    let team = roles.side(TEAM)?;
    let run = |side: &Side<'_>| {
        let output = side.shell_within(script, Duration::from_secs(90))?;
        Ok::<_, String>(side.normalise(&format!(
            "exit {}\n{}\n{}",
            output.code,
            output.text(),
            output.stderr
        )))
    };
    let (expected, got) = (run(plain), run(&team));
    plain.clean();
    team.clean();
    let (expected, got) = (expected?, got?);
    same_text(
        &expected,
        &got,
        &format!("`{script}`"),
        ["without a policy", "with"],
    )?;
    ensure!(expected.starts_with("exit 0"), "`{script}`: {expected}");
    Ok(())
}

fn allowed(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let plain = Side::gate(suite, &format!("{name}p"), suite.gate()?.addr)?;
    let shared = roles.shared.display();
    for script in [
        "run --rm $IMAGE echo hello; run --rm $IMAGE sh -c 'echo out; echo err >&2; exit 7'; echo $?".to_owned(),
        "echo input | run --rm -i $IMAGE cat; seq 100000 | run --rm -i $IMAGE wc -l".to_owned(),
        "sleeper; docker exec $N sh -c 'echo a; exit 3'; echo $?; seq 5000 | docker exec -i $N md5sum; docker exec -e A=b -w /tmp $N sh -c 'echo $A; pwd'".to_owned(),
        "sleeper; seq 20000 >numbers; docker cp -q numbers $N:/tmp/; docker exec $N wc -l /tmp/numbers; docker cp -q $N:/tmp/numbers back; cmp numbers back && echo same".to_owned(),
        format!("run --rm -v {shared}:/x $IMAGE sh -c 'echo kept >/x/file; cat /x/file'; cat {shared}/file; run --rm -v {shared}:/x:ro $IMAGE sh -c 'echo no >/x/file' 2>/dev/null; echo $?"),
        "run -d --name $N $IMAGE sh -c 'echo logged; sleep 1000' >/dev/null; docker stop -t 0 $N >/dev/null; docker logs $N; docker start $N >/dev/null; docker rename $N $N-b; docker ps --format '{{.Image}}' --filter name=$N-b; docker wait $N-b >/dev/null & docker rm -f $N-b >/dev/null".to_owned(),
        "printf \"FROM $IMAGE\\nCOPY file /file\\n\" >Dockerfile; echo built >file; DOCKER_BUILDKIT=0 docker build -q --network none -t $N . >/dev/null 2>&1; run --rm $N cat /file".to_owned(),
    ] {
        same(&roles, &plain, &script)?;
    }
    roles.finish()
}

fn compose(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let plain = Side::gate(suite, &format!("{name}p"), suite.gate()?.addr)?;
    let script = r#"printf 'services:\n  a:\n    image: %s\n    network_mode: none\n    container_name: %s\n    command: echo from compose\n' $IMAGE $N >docker-compose.yaml
        docker compose -p p${N//-/} --progress quiet up 2>/dev/null | sed 's/ *|/ |/'; docker compose -p p${N//-/} --progress quiet down && docker ps -aq --filter name=$N | wc -l"#;
    same(&roles, &plain, script)?;
    // A service that asks for the host is refused, in the words of the gate.
    let team = roles.side(TEAM)?;
    let script = "printf 'services:\\n  a:\\n    image: %s\\n    network_mode: none\\n    privileged: true\\n' $IMAGE >docker-compose.yaml; docker compose -p p${N//-/} --progress quiet up 2>&1";
    let output = team.shell(script)?;
    ensure!(
        output.code == 1
            && output.text().contains("dockgate: denied: client e2e ecdsa, role team: privileged: HostConfig.Privileged=true"),
        "compose: exit {} {}{}", output.code, output.text(), output.stderr
    );
    roles.finish()
}

fn denied(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, admin) = (roles.side(TEAM)?, roles.side(ADMIN)?);
    let shared = roles.shared.display();
    // docker run keeps 125 for what happens before the container runs; everything else ends with 1.
    for (arguments, sentence) in [
        (
            "--privileged",
            "privileged: HostConfig.Privileged=true; to allow it: limits.privileged = true in role"
                .to_owned(),
        ),
        (
            "-v /etc:/x",
            format!("binds: HostConfig.Binds[0]=/etc:/x (allowed: {shared}/**)"),
        ),
        (
            "--mount type=bind,src=/etc,dst=/x",
            format!("binds: HostConfig.Mounts[0].Source=/etc (allowed: {shared}/**)"),
        ),
        (
            "--mount type=volume,dst=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc",
            "binds: HostConfig.Mounts[0].VolumeOptions.DriverConfig device=/etc".to_owned(),
        ),
        (
            "--cap-add SYS_ADMIN",
            "capabilities: HostConfig.CapAdd[0]=SYS_ADMIN".to_owned(),
        ),
        (
            "--pid host",
            "host_namespaces: HostConfig.PidMode=host".to_owned(),
        ),
        (
            "--device /dev/kmsg",
            "devices: HostConfig.Devices[0].PathOnHost=/dev/kmsg".to_owned(),
        ),
        (
            "--security-opt seccomp=unconfined",
            "security_opts: HostConfig.SecurityOpt[0]=seccomp=unconfined".to_owned(),
        ),
        (
            "--security-opt systempaths=unconfined",
            "security_opts: HostConfig.MaskedPaths=[]".to_owned(),
        ),
    ] {
        let expected = format!(
            "Error response from daemon: dockgate: denied: client e2e {TEAM}, role team: {sentence}"
        );
        for (command, code) in [("run --rm", 125), ("docker create --network none", 1)] {
            let output = team.shell(&format!("{command} {arguments} $IMAGE true"))?;
            ensure!(
                output.code == code && output.stderr.contains(&expected),
                "{command} {arguments}: expected exit {code} with {expected:?}, got {} {}",
                output.code,
                output.stderr
            );
        }
        ensure!(
            team.ok("docker ps -aq --filter name=$N")?.is_empty(),
            "{arguments}: a container was made"
        );
        admin.ok(&format!(
            "id=$(docker create --network none {arguments} $IMAGE true) && docker rm -v $id"
        ))?;
    }
    roles.finish()
}

/// A container with more power than the role may give is as good as the power itself.
fn targets(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team) = (roles.direct()?, roles.side(TEAM)?);
    team.ok("run -d --name $N $IMAGE sleep 1000 >/dev/null; echo x >file")?;
    direct.ok("run -d --privileged --name $N-big $IMAGE sleep 1000 >/dev/null; run -d -v /etc:/host:ro --name $N-host $IMAGE sleep 1000 >/dev/null")?;
    for (container, rule) in [
        ("$N-big", "privileged: HostConfig.Privileged=true"),
        ("$N-host", "binds: HostConfig.Binds[0]=/etc:/host:ro"),
    ] {
        let expected = format!("dockgate: denied: client e2e {TEAM}, role team: {rule}");
        let id = direct.ok(&format!(
            "docker inspect --format '{{{{.Id}}}}' {container}"
        ))?;
        for name in [container, &id[..12]] {
            for command in [
                format!("docker exec {name} true"),
                format!("docker cp file {name}:/file"),
                format!("docker cp {name}:/etc/passwd copy"),
                format!("docker attach --no-stdin {name}"),
                format!("docker commit {name} $N:x"),
                format!("docker export {name} >copy"),
                format!("docker update --memory 64m --memory-swap 64m {name}"),
            ] {
                // `docker export` and `commit` are outside the role altogether, and of an upgrade that is refused the CLI shows the
                // status alone.
                let output = team.shell(&command)?;
                let words = match command.split(' ').nth(1) {
                    Some("export" | "commit") => "role team: operation: ",
                    Some("attach") => "unable to upgrade to tcp, received 403",
                    _ => &expected,
                };
                ensure!(
                    output.code == 1 && output.stderr.contains(words),
                    "{command}: expected {words:?}, got exit {} {}",
                    output.code,
                    output.stderr
                );
            }
        }
    }
    let output = team.shell("docker exec --privileged $N true")?;
    ensure!(
        output.code == 1
            && output
                .stderr
                .contains("role team: privileged: Privileged=true"),
        "exec --privileged: exit {} {}",
        output.code,
        output.stderr
    );
    // Its own container, beside them.
    team.ok("docker exec $N true && docker cp file $N:/tmp/ && docker cp $N:/etc/passwd copy && docker update --memory 64m --memory-swap 64m $N")?;
    // One that does not exist is what it always was.
    let output = team.shell("docker exec $N-none true")?;
    ensure!(
        output.code == 1 && output.stderr.contains("No such container: "),
        "exec in none: exit {} {}",
        output.code,
        output.stderr
    );
    roles.finish()
}

/// An early refusal must reach a client that is still sending (docker-transport, 25).
fn builds(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, viewer) = (roles.side(TEAM)?, roles.side(VIEWER)?);
    viewer.ok("mkdir -p ctx; head -c 20M /dev/urandom >ctx/big; printf \"FROM $IMAGE\\nCOPY big /big\\n\" >ctx/Dockerfile")?;
    let expected = format!(
        "dockgate: denied: client e2e {VIEWER}, role read-only: operation: image.build is not among the role's operations"
    );
    for round in 0..10 {
        let output = viewer.shell("DOCKER_BUILDKIT=0 docker build -t $N:x ctx")?;
        ensure!(
            output.code == 1 && output.stderr.contains(&expected),
            "round {round}: exit {} {}{}",
            output.code,
            output.text(),
            output.stderr
        );
    }
    let expected = "role team: host_namespaces: ?networkmode=host";
    let output = team.shell("DOCKER_BUILDKIT=0 docker build --network host -t $N:x ctx")?;
    ensure!(
        output.code == 1 && output.stderr.contains(expected),
        "host network: exit {} {}",
        output.code,
        output.stderr
    );
    let output = team.shell("DOCKER_BUILDKIT=0 docker build --network none -t other/name ctx")?;
    ensure!(
        output.code == 1 && output.stderr.contains("role team: tags: "),
        "tag: exit {} {}",
        output.code,
        output.stderr
    );
    team.ok("DOCKER_BUILDKIT=0 docker build -q --network none -t $N:x ctx >/dev/null && run --rm $N:x stat -c %s /big")?;
    roles.finish()
}

/// A classic build's context, plain and gzip: with a file it is built, with an address nobody is asked for it.
fn contexts(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, factory) = (roles.direct()?, roles.side(FACTORY)?);
    let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
    listener.set_nonblocking(true).context("listen")?;
    let port = listener.local_addr().context("listen")?.port();
    let script = |source: &str, way: &str| {
        format!(
            "mkdir -p ctx; printf \"FROM $IMAGE\\nADD {source} /it\\n\" >ctx/Dockerfile; export DOCKER_BUILDKIT=0; {way}"
        )
    };
    let plain = "docker build -q --network none -t $N:x ctx";
    let zipped = "tar -C ctx -cz . | docker build -q --network none -t $N:x -";
    let address = format!("http://127.0.0.1:{port}/x");
    for way in [plain, zipped] {
        factory.ok(&script("Dockerfile", way))?;
        let output = factory.shell(&script(&address, way))?;
        ensure!(
            output.code != 0
                && output
                    .stderr
                    .contains(&format!("fetch: Dockerfile:2 ADD=127.0.0.1:{port}")),
            "expected a denial, got {} {}",
            output.code,
            output.stderr
        );
        ensure!(listener.accept().is_err(), "the engine connected");
    }
    // The engine itself does as it is told.
    direct.shell(&script(&address, &format!("timeout 5 {plain}")))?;
    listener
        .accept()
        .map_err(|_| "without the gate the engine must connect")?;
    roles.finish()
}

fn buildx(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, factory) = (roles.side(TEAM)?, roles.side(FACTORY)?);
    let script = "mkdir -p ctx; printf \"FROM $IMAGE\\nCOPY Dockerfile /it\\n\" >ctx/Dockerfile; docker buildx build --builder default -q --network none -t $N:x ctx";
    // buildx looks for another way when it is refused this one, so the refusal itself is in the log.
    let output = team.shell(script)?;
    ensure!(
        output.code != 0,
        "without the grant a build must fail, got {}{}",
        output.text(),
        output.stderr
    );
    roles.gate.wait_for_log(Duration::from_secs(5), |line| {
        line.contains("\"path\":\"/grpc\"") && line.contains("\"decision\":\"deny\"")
    })?;
    ensure!(
        team.ok("docker images -q $N:x")?.is_empty(),
        "an image was built without the grant"
    );
    factory.ok(script)?;
    roles.finish()
}

/// What stands for each command of the reference's table.
const COMMANDS: &[(&str, &str)] = &[
    ("docker ps", "docker ps"),
    ("docker logs", "docker logs $N-there"),
    ("docker stop", "docker stop -t 0 $N-there"),
    ("docker run -d", "run -d --name $N-made $IMAGE true"),
    ("docker run", "run --rm $IMAGE echo ran"),
    (
        "docker exec",
        "docker start $N-there >/dev/null 2>&1; docker exec $N-other echo ran",
    ),
    (
        "docker cp",
        "echo x >file && docker cp file $N-other:/tmp/file && docker cp $N-other:/tmp/file back",
    ),
    (
        "docker build",
        "mkdir -p ctx && echo \"FROM $IMAGE\" >ctx/Dockerfile && DOCKER_BUILDKIT=0 docker build -q -t $N ctx",
    ),
    (
        "docker compose up",
        "printf 'services: {one: {image: %s, command: sleep 1000, network_mode: none, pull_policy: never, stop_grace_period: 0s}}' $IMAGE >compose.yaml && docker compose -p $N up -d && docker compose -p $N down",
    ),
];

/// Each row of the table is a whole role: with it, and nothing else, the command works.
fn commands(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team) = (roles.direct()?, roles.side(TEAM)?);
    direct.ok(&format!(
        "run -d --name {0}-there $IMAGE sleep 1000 >/dev/null; run -d --name {0}-other $IMAGE sleep 1000 >/dev/null",
        team.prefix
    ))?;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/policy.md");
    let page = std::fs::read_to_string(page).context("read the reference")?;
    let whole = std::fs::read_to_string(&roles.policy).context("read the policy")?;
    let mut rows = 0;
    let mut wrong = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| `docker")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let command = cells[0].trim_matches(['|', ' ', '`']);
        let script = COMMANDS.iter().find(|(of, _)| *of == command);
        let (_, script) = script.ok_or_else(|| format!("{command} has no script here"))?;
        let allow: Vec<String> = cells[1]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|id| format!("{id:?}"))
            .collect();
        let text = whole.replacen(
            "base = \"ci\"",
            &format!("allow = [{}]", allow.join(", ")),
            1,
        );
        super::live::reload(&roles, &text, "\"Reloaded\"")?;
        let output = team.shell(script)?;
        if output.code != 0 {
            wrong.push(format!("{command}: {} {}", output.code, output.stderr));
        }
        rows += 1;
    }
    ensure!(rows == COMMANDS.len(), "{rows} rows");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    roles.finish()
}
