//! Budgets: sums over all that an owner has, also when many ask at once.

use std::thread;

use super::{Owners, answered, expect, member};
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("policy_scope_budget__sums_what_the_owner_has", sums),
        Case::new(
            "policy_scope_budget_race__sixteen_creates_and_one_place",
            race,
        ),
        Case::new(
            "policy_scope_budget_kinds__creates_of_all_kinds_at_once",
            kinds,
        ),
    ]
}

const ROLE: &str = "[role.own.shared]\nnetworks = [\"none\"]\n[role.own.budget]\ncontainers = 3\nmemory = \"1GiB\"\ncpus = 2.0\npids = 300\nvolumes = 3\nnetworks = 1\n[role.own.default]\nmemory = \"256MiB\"\npids = 100\n";

fn body(host: &str) -> String {
    format!(
        r#"{{"Image":"dockgate-e2e-busybox","Cmd":["sleep","1000"],"HostConfig":{{"NetworkMode":"none"{host}}}}}"#
    )
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn sums(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let alice = &owners.alice;
    let create = "/v1.45/containers/create";
    let refused = |host: &str, said: &str| {
        let text = expect(alice, "POST", create, &body(host), 403)?;
        ensure!(
            text.contains("role own: budget: ") && text.contains(said),
            "{host}: {text}"
        );
        Ok::<_, String>(())
    };
    // No default for CPUs, so a create has to say.
    refused("", "HostConfig.NanoCpus: expected a limit")?;
    refused(r#","NanoCpus":0"#, "HostConfig.NanoCpus: expected a limit")?;
    refused(r#","CpuQuota":-1"#, "HostConfig.CpuQuota: expected a limit")?;
    refused(
        r#","NanoCpus":1,"CpuRealtimeRuntime":1000"#,
        "HostConfig.CpuRealtimeRuntime: expected a limit",
    )?;
    refused(
        r#","NanoCpus":3000000000"#,
        "cpus: 3 asked for, 0 of 2 used; 2 would fit",
    )?;
    refused(r#","CpuQuota":300000"#, "cpus: 3 asked for")?;
    refused(
        r#","CpuQuota":30000,"CpuPeriod":10000"#,
        "cpus: 3 asked for",
    )?;
    refused(
        r#","NanoCpus":1000000000,"Memory":2147483648"#,
        "memory: 2GiB asked for, 0B of 1GiB used; 1GiB would fit",
    )?;
    refused(
        r#","NanoCpus":1000000000,"Memory":268435456,"MemorySwap":-1"#,
        "MemorySwap=-1",
    )?;
    refused(
        r#","NanoCpus":1000000000,"PidsLimit":301"#,
        "pids: 301 asked for",
    )?;
    refused(r#","NanoCpus":9223372036854775807"#, "cpus: ")?;
    let first = member(
        &expect(
            alice,
            "POST",
            create,
            &body(r#","NanoCpus":1000000000,"PidsLimit":-1"#),
            201,
        )?,
        "/Id",
    );
    let text = expect(alice, "GET", &format!("/containers/{first}/json"), "", 200)?;
    ensure!(
        member(&text, "/HostConfig/Memory") == "268435456"
            && member(&text, "/HostConfig/PidsLimit") == "100",
        "the defaults are set: {text}"
    );
    expect(
        alice,
        "POST",
        create,
        &body(r#","NanoCpus":500000000,"Memory":536870912"#),
        201,
    )?;
    refused(
        r#","NanoCpus":500000000,"Memory":536870912"#,
        "memory: 512MiB asked for, 768MiB of 1GiB used; 256MiB would fit",
    )?;
    expect(
        alice,
        "POST",
        create,
        &body(r#","NanoCpus":500000000"#),
        201,
    )?;
    refused(
        r#","NanoCpus":1,"Memory":6291456,"PidsLimit":1"#,
        "containers: 1 asked for, 3 of 3 used; 0 would fit",
    )?;
    // An update may lower, and raise again up to what was granted.
    let update = format!("/v1.45/containers/{first}/update");
    for (body, status) in [
        (r#"{"Memory":134217728,"MemorySwap":268435456}"#, 200),
        (r#"{"Memory":268435456,"MemorySwap":536870912}"#, 200),
        (r#"{"Memory":268435457,"MemorySwap":536870914}"#, 403),
        (r#"{"MemorySwap":-1}"#, 403),
        (r#"{"NanoCpus":1500000000}"#, 403),
        (r#"{"NanoCpus":500000000}"#, 200),
        (r#"{"CpuQuota":-1}"#, 403),
        (r#"{"CpuQuota":50000}"#, 403),
        (r#"{"CpuPeriod":1000}"#, 403),
        (r#"{"PidsLimit":0}"#, 403),
        (r#"{"PidsLimit":-1}"#, 403),
        (r#"{"PidsLimit":101}"#, 403),
        (r#"{"PidsLimit":50}"#, 200),
        (r#"{"RestartPolicy":{"Name":"no"}}"#, 200),
    ] {
        let answer = answered(alice, "POST", &update, body)?;
        ensure!(answer.0 == status, "update {body}: {answer:?}");
    }
    // What goes makes room; another owner has a budget of its own.
    expect(alice, "DELETE", &format!("/containers/{first}"), "", 204)?;
    expect(
        alice,
        "POST",
        create,
        &body(r#","NanoCpus":500000000"#),
        201,
    )?;
    expect(
        &owners.bob,
        "POST",
        create,
        &body(r#","NanoCpus":2000000000,"Memory":1073741824"#),
        201,
    )?;
    for words in [&["ps", "--owners"][..], &["top"]] {
        let shown = owners.shown(words)?;
        let line = |of: &str| {
            shown
                .lines()
                .find(|line| line.contains(of))
                .map(str::to_owned)
        };
        let (alice, bob) = (line("cn:e2e ecdsa "), line("cn:e2e p384 "));
        let has = |line: &Option<String>, amounts: [&str; 4]| {
            let words = line.as_deref().unwrap_or_default().split_whitespace();
            let words: Vec<_> = words.collect();
            amounts.iter().all(|amount| words.contains(amount))
        };
        ensure!(
            has(&alice, ["3/3", "1GiB/1GiB", "1.5/2", "300/300"])
                && has(&bob, ["1/3", "1GiB/1GiB", "2/2", "100/300"]),
            "{words:?}: {shown}"
        );
    }
    // Volumes and networks are counted, also those that a container would make.
    alice.ok("docker rm -f $(docker ps -aq) >/dev/null; docker volume create $N-1 >/dev/null; docker volume create $N-1 >/dev/null; docker volume create $N-2 >/dev/null")?;
    let two = format!(
        r#","NanoCpus":500000000,"Binds":["/a","{}-3:/b"]"#,
        alice.prefix
    );
    refused(&two, "volumes: 1 asked for, 3 of 3 used; 0 would fit")?;
    let left = alice.ok("docker volume ls -q | wc -l")?;
    ensure!(left.trim() == "2", "a refused create leaves {left} volumes");
    let known = format!(
        r#","NanoCpus":500000000,"Binds":["{0}-1:/a","{0}-2:/b","{0}-3:/c"]"#,
        alice.prefix
    );
    expect(alice, "POST", create, &body(&known), 201)?;
    expect(
        alice,
        "POST",
        "/volumes/create",
        r#"{"Name":"one-too-many"}"#,
        403,
    )?;
    expect(
        alice,
        "POST",
        "/networks/create",
        &format!(r#"{{"Name":"{}"}}"#, alice.prefix),
        201,
    )?;
    expect(
        alice,
        "POST",
        "/networks/create",
        r#"{"Name":"one-too-many"}"#,
        403,
    )?;
    alice.ok("docker rm -fv $(docker ps -aq) >/dev/null; docker volume prune -af >/dev/null; docker network prune -f >/dev/null")?;
    owners.finish()
}

fn race(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(
        suite,
        name,
        "[role.own.shared]\nnetworks = [\"none\"]\n[role.own.budget]\ncontainers = 1\n",
    )?;
    for _ in 0..3 {
        let created: Vec<ScenarioResult<(u16, String)>> = thread::scope(|scope| {
            let asked: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        answered(&owners.alice, "POST", "/v1.45/containers/create", &body(""))
                    })
                })
                .collect();
            asked
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err("a thread panicked".into()))
                })
                .collect()
        });
        let created: Vec<(u16, String)> = created.into_iter().collect::<ScenarioResult<_>>()?;
        let count = |status| created.iter().filter(|answer| answer.0 == status).count();
        ensure!(count(201) == 1 && count(403) == 15, "{created:?}");
        owners
            .alice
            .ok("docker rm -f $(docker ps -aq) >/dev/null")?;
    }
    owners.finish()
}

/// All ways to a volume, a network and memory at once: what comes of them is within the budget, and what would fit is taken.
fn kinds(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(
        suite,
        name,
        "[role.own.shared]\nnetworks = [\"none\"]\n[role.own.budget]\nvolumes = 2\nnetworks = 1\nmemory = \"64MiB\"\n[role.own.default]\nmemory = \"16MiB\"\n",
    )?;
    let create = "/v1.45/containers/create";
    let alice = &owners.alice;
    let named = |at: usize| format!("{}-{at}", alice.prefix);
    for _ in 0..3 {
        let ask = |at: usize| match at % 6 {
            0 => answered(alice, "POST", create, &body(r#","Binds":["/a"]"#)),
            1 => answered(
                alice,
                "POST",
                create,
                &body(&format!(r#","Binds":["{}:/a"]"#, named(at))),
            ),
            2 => answered(alice, "POST", "/volumes/create", "{}"),
            3 => answered(
                alice,
                "POST",
                "/volumes/create",
                &format!(r#"{{"Name":"{}"}}"#, named(at)),
            ),
            4 => answered(
                alice,
                "POST",
                "/networks/create",
                &format!(r#"{{"Name":"{}"}}"#, named(at)),
            ),
            _ => answered(alice, "POST", create, &body(r#","Memory":33554432"#)),
        };
        let asked = thread::scope(|scope| {
            let asked: Vec<_> = (0..24).map(|at| scope.spawn(move || ask(at))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, ScenarioResult<(u16, String)>>| {
                let joined = thread.join();
                joined.unwrap_or_else(|_| Err("a thread panicked".into()))
            };
            asked
                .into_iter()
                .map(join)
                .collect::<ScenarioResult<Vec<_>>>()
        })?;
        ensure!(
            asked.iter().all(|(status, _)| matches!(status, 201 | 403)),
            "{asked:?}"
        );
        let have = alice.ok(
            "docker volume ls -q | wc -l; docker network ls -q --filter driver=bridge | wc -l",
        )?;
        ensure!(have == "2\n1", "volumes and networks: {have}, {asked:?}");
        let memory = alice.ok(
            "docker inspect -f '{{.HostConfig.Memory}}' $(docker ps -aq) | awk '{ sum += $1 } END { print sum / 1048576 }'",
        )?;
        let memory: u64 = memory.parse().map_err(|_| format!("memory: {memory}"))?;
        ensure!(memory <= 64, "memory: {memory} MiB, {asked:?}");
        alice.ok("docker rm -fv $(docker ps -aq) >/dev/null; docker volume rm $(docker volume ls -q) >/dev/null; docker network rm $(docker network ls -q --filter driver=bridge) >/dev/null")?;
    }
    owners.finish()
}
