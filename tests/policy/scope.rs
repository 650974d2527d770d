//! Roles with a scope: what the file may say, who owns, and what a request may not claim.

use docker_api::Operation;
use policy::Policy;
use policy::scope::budget::{self, Amounts, OwnerBudget, Resource};
use policy::scope::filters::ListFilters;
use policy::scope::parameters::QueryPairs;
use policy::scope::redact::redacted;
use policy::scope::{ObjectOwner, OwnedBy, OwnerError, OwnerKey, ScopeAction};

use crate::support::{Ask, cn, role};

/// A role with a scope, which may call everything that a scope lets pass.
fn scoped(limits: &str) -> Policy {
    role(&format!(
        "scope = \"own\"\nallow = [\"*\"]\n[role.team.shared]\nnetworks = [\"bridge\", \"none\"]\nvolumes = [\"cache-*\"]\n[role.team.limits]\ntags = [\"registry.example.com/team/**\"]\nvolumes = [\"*\"]\n{limits}"
    ))
}

fn faults(body: &str) -> String {
    let text = format!(
        "version = 1\n[[client]]\nmatch = {{ cn = \"ci\" }}\nrole = \"team\"\n[role.team]\n{body}\n"
    );
    match Policy::parse("test.toml", &text) {
        Ok(_) => panic!("no fault: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_scope_is_read_and_what_it_does_not_go_with_is_refused() {
    let policy = scoped("");
    let scope = policy.roles.last().and_then(|role| role.scope.clone());
    let scope = scope.expect("a scope");
    assert_eq!(scope.by, OwnedBy::Certificate);
    assert!(scope.shares_network("bridge") && !scope.shares_network("bridge2"));
    assert!(scope.shares_network("none"));
    assert!(scope.shares_volume("cache-npm") && !scope.shares_volume("a-cache-npm"));
    for (body, said) in [
        ("scope = \"all\"", "scope: expected \"own\" or \"entry\""),
        ("scope = 1", "scope: expected a string"),
        (
            "[role.team.shared]\nnetworks = []",
            "shared: expected `scope` beside it",
        ),
        (
            "scope = \"own\"\n[role.team.shared]\nnetwork = []",
            "unknown key \"network\" in shared",
        ),
        (
            "scope = \"own\"\n[role.team.shared]\nnetworks = [\"host\"]",
            "the engine's own network",
        ),
        (
            "scope = \"own\"\n[role.team.shared]\nnetworks = [\"*\"]",
            "expected the name of a network",
        ),
        (
            "scope = \"own\"\n[role.team.shared]\nvolumes = [\"/srv\"]",
            "expected a volume's name",
        ),
        (
            "scope = \"own\"\nmode = \"report\"",
            "expected mode = \"enforce\"",
        ),
        (
            "scope = \"own\"\nbase = \"ci\"\n[role.team.limits]\nprivileged = true",
            "leads to the host",
        ),
        (
            "scope = \"own\"\n[role.team.limits]\nhost_namespaces = [\"uts\"]",
            "limits.host_namespaces",
        ),
        (
            "scope = \"own\"\n[role.team.limits]\njoin_containers = true",
            "limits.join_containers",
        ),
        (
            "scope = \"own\"\n[role.team.limits]\nbuildkit = true",
            "limits.buildkit",
        ),
        (
            "scope = \"own\"\n[role.team.limits]\nbinds = [\"/srv/**\"]",
            "expected a directory of the role's own",
        ),
        (
            "scope = \"own\"\nbase = \"ci\"\n[role.team.limits]\nbinds = [\"/etc/docker/**\"]",
            "leads to the host",
        ),
        (
            "scope = \"own\"\nallow = [\"plugin.*\"]",
            "\"plugin.*\" is refused in a scope",
        ),
        (
            "scope = \"own\"\nallow = [\"swarm.inspect\"]",
            "\"swarm.inspect\" is refused in a scope",
        ),
        (
            "scope = \"own\"\nallow = [\"system.df\"]",
            "\"system.df\" is refused in a scope",
        ),
        (
            "scope = \"own\"\n[role.team.build]\nhistory = \"all\"",
            "build.history",
        ),
        (
            "scope = \"own\"\n[role.team.build]\nprune = true",
            "build.prune",
        ),
    ] {
        let text = faults(body);
        assert!(text.contains(said), "{body}: {text}");
    }
    role(
        "scope = \"own\"\nbase = \"ci\"\n[role.team.limits]\nbinds = [\"/srv/team/**\"]\ntags = [\"t/**\"]",
    );
    role("scope = \"entry\"\nallow = [\"container.*\", \"image.list\"]");
}

#[test]
fn two_entries_of_one_name_cannot_be_one_owner() {
    let entry = "[[client]]\nname = \"team\"\nmatch = { cn = \"NAME\" }\nrole = \"team\"\n";
    let text = |scope: &str| {
        format!(
            "version = 1\n{}{}[role.team]\nscope = \"{scope}\"\nbase = \"monitor\"\n",
            entry.replace("NAME", "a"),
            entry.replace("NAME", "b")
        )
    };
    let fault = Policy::parse("test.toml", &text("entry"))
        .expect_err("two entries")
        .to_string();
    assert!(fault.contains("two entries are called \"team\""), "{fault}");
    Policy::parse("test.toml", &text("own")).expect("each certificate is its own");
}

#[test]
fn every_operation_has_its_scope_and_what_has_none_is_refused() {
    let policy = scoped("");
    let role = policy.roles.last().expect("a role");
    let mut refused = 0;
    for operation in Operation::ALL {
        let is_refused = ScopeAction::of(*operation) == ScopeAction::Refused;
        assert!(
            !(is_refused && role.allowed.contains(*operation)),
            "{operation} is refused in a scope, and the role has it"
        );
        refused += usize::from(is_refused);
    }
    assert!(refused > 50, "{refused} operations are refused");
    assert_eq!(ScopeAction::of(Operation::Unknown), ScopeAction::Refused);
    for (method, target) in [
        ("GET", "/system/df"),
        ("GET", "/plugins"),
        ("GET", "/swarm"),
        ("GET", "/services"),
        ("GET", "/containers/x/checkpoints"),
        ("GET", "/debug/vars"),
    ] {
        Ask::new(&policy, method, target).denied("scope");
    }
    let _ = Ask::new(&policy, "GET", "/containers/json").allowed();
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn labels_of_the_gate_are_refused_in_every_role_that_has_limits() {
    let unscoped = role("allow = [\"*\"]\n[role.team.limits]\ntags = [\"**\"]\nvolumes = [\"*\"]");
    for policy in [&scoped(""), &unscoped] {
        for (target, body) in [
            (
                "/containers/create",
                r#"{"Image":"a","Labels":{"dockgate.owner":"x"}}"#,
            ),
            (
                "/containers/create",
                r#"{"Image":"a","Labels":{"Dockgate.Owner":""}}"#,
            ),
            (
                "/containers/create",
                r#"{"Image":"a","Labels":{"\u0064ockgate.memory":"1"}}"#,
            ),
            (
                "/containers/create",
                r#"{"Image":"a","HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/b"},{"Type":"volume","Target":"/a","VolumeOptions":{"Labels":{"dockgate.owner":"x"}}}]}}"#,
            ),
            (
                "/networks/create",
                r#"{"Name":"n-n","Labels":{"dockgate.owner":"x"}}"#,
            ),
            (
                "/volumes/create",
                r#"{"Name":"n-n","Labels":{"dockgate.owner":"x"}}"#,
            ),
        ] {
            Ask::new(policy, "POST", target).body(body).denied("scope");
            let plain = body
                .replace("dockgate.", "other.")
                .replace("Dockgate.", "other.");
            if !plain.contains("\\u") {
                let _ = Ask::new(policy, "POST", target).body(&plain).allowed();
            }
        }
        for target in [
            "/build?labels=%7B%22dockgate.owner%22:%22x%22%7D",
            "/build?labels=%7B%22a%22:%221%22,%22a%22:%222%22%7D",
            "/commit?container=abc&changes=LABEL%20dockgate.owner=x",
            "/commit?container=abc&changes=LABEL%20dock%22gate.ow%22ner=x",
            "/commit?container=abc&changes=LABEL%20a=b%20%5C&changes=dockgate.owner=x",
            "/commit?container=abc&changes=label%20$A=x",
            // What goes on behind its line takes in the label that the gate appends, or hides one.
            "/commit?container=abc&changes=CMD%20true%20%5C",
            "/commit?container=abc&changes=CMD%20true%20%60%09",
            "/commit?container=abc&changes=CMD%20true%20%5C%0B",
            "/commit?container=abc&changes=LABEL%20dock%5C%20%0Agate.owner=x",
            "/commit?container=abc&changes=LABEL%20dock%5C%0A%23c%0Agate.owner=x",
            "/commit?container=abc&changes=LAB%5C%0D%0AEL%20dockgate.owner=x",
            "/images/create?fromSrc=-&repo=registry.example.com/team/a&changes=LABEL%20dock%5C%20%0Agate.owner=x",
            "/images/create?fromSrc=-&repo=registry.example.com/team/a&changes=ONBUILD%20LABEL%20dockgate.owner=x",
        ] {
            Ask::new(policy, "POST", target).denied("scope");
        }
        let _ = Ask::new(
            policy,
            "POST",
            "/build?labels=%7B%22a%22:%22dockgate.owner%22%7D",
        )
        .allowed();
    }
    let services = role("allow = [\"service.create\"]");
    let spec = r#"{"Name":"s","Labels":{"dockgate.owner":"x"},"TaskTemplate":{"ContainerSpec":{"Image":"a"}}}"#;
    Ask::new(&services, "POST", "/services/create")
        .body(spec)
        .denied("scope");
    let spec = r#"{"Name":"s","TaskTemplate":{"ContainerSpec":{"Image":"a","Labels":{"dockgate.owner":"x"}}}}"#;
    Ask::new(&services, "POST", "/services/create")
        .body(spec)
        .denied("scope");
}

#[test]
fn a_short_name_that_may_be_an_id_is_refused_in_a_scope_alone() {
    let plain = role("base = \"deployer\"");
    let policy = scoped("");
    let body = r#"{"Image":"a"}"#;
    for name in ["abcd", "DEADBEEF", "%2Fcafe", &"f".repeat(11)] {
        let create = format!("/containers/create?name={name}");
        Ask::new(&policy, "POST", &create)
            .body(body)
            .denied("scope");
        let _ = Ask::new(&plain, "POST", &create).body(body).allowed();
        let rename = format!("/containers/x/rename?name={name}");
        Ask::new(&policy, "POST", &rename).denied("scope");
        let _ = Ask::new(&plain, "POST", &rename).allowed();
    }
    Ask::new(
        &policy,
        "POST",
        &format!("/containers/create?name={}", "f".repeat(64)),
    )
    .body(body)
    .denied("scope");
    for name in ["abc", "abcdefg", "decaf-1", &"f".repeat(65)] {
        let _ = Ask::new(&policy, "POST", &format!("/containers/create?name={name}"))
            .body(body)
            .allowed();
    }
    Ask::new(&policy, "POST", "/networks/create")
        .body(r#"{"Name":"cafe"}"#)
        .denied("scope");
    let _ = Ask::new(&policy, "POST", "/networks/create")
        .body(r#"{"Name":"cafe-1"}"#)
        .allowed();
}

#[test]
fn an_image_is_removed_by_a_name_that_the_role_may_write() {
    let policy = scoped("");
    let _ = Ask::new(&policy, "DELETE", "/images/registry.example.com/team/app:1").allowed();
    for name in ["busybox", "registry.example.com/other/app", "deadbeef"] {
        Ask::new(&policy, "DELETE", &format!("/images/{name}")).denied("tags");
    }
    let _ = Ask::new(
        &role("allow = [\"image.delete\"]"),
        "DELETE",
        "/images/busybox",
    )
    .allowed();
}

#[test]
fn the_containers_of_others_are_not_shown_with_an_image() {
    let (policy, plain) = (scoped(""), role("base = \"read-only\""));
    for image in ["/images/json", "/images/a/json"] {
        for shown in ["1", "true", "yes", "x"] {
            let target = format!("{image}?manifests={shown}");
            Ask::new(&policy, "GET", &target).denied("scope");
            let _ = Ask::new(&plain, "GET", &target).allowed();
        }
        for kept in ["", "?manifests=", "?manifests=0", "?manifests=false"] {
            let _ = Ask::new(&policy, "GET", &format!("{image}{kept}")).allowed();
        }
    }
}

#[test]
fn an_owner_is_one_typed_name_and_a_label_that_only_the_key_makes() {
    let key = OwnerKey::new([7; 32]);
    let owner = |identity: &pki::identity::Identity| {
        ObjectOwner::of(OwnedBy::Certificate, identity, "entry", &key)
    };
    let alice = owner(&cn("alice")).expect("an owner");
    assert_eq!(alice.value(), format!("{}/cn:alice", "03".repeat(32)));
    assert_eq!(key.verified(alice.label()), Some(alice.clone()));
    assert_eq!(key.verified(&format!("{}x", alice.label())), None);
    assert_eq!(key.verified(alice.value()), None);
    assert_eq!(OwnerKey::new([8; 32]).verified(alice.label()), None);
    assert_eq!(OwnerKey::parse(&key.to_text()), Some(key.clone()));
    assert_eq!(OwnerKey::parse("07"), None);
    assert!(!format!("{key:?}").contains('7'));
    // Kinds, issuers and entries do not collide.
    let mut mail = cn("x");
    (mail.common_names, mail.emails) = (Vec::new(), vec!["alice".into()]);
    let mut other = cn("alice");
    other.issuer_spki = Some([4; 32]);
    let entry = ObjectOwner::of(OwnedBy::Entry, &cn("alice"), "cn:alice", &key).expect("an entry");
    assert_eq!(entry.value(), "entry:cn:alice");
    let values = [
        &alice,
        &owner(&mail).expect("a mail"),
        &owner(&other).expect("another CA"),
        &entry,
    ]
    .map(|owner| owner.label().to_owned());
    assert_eq!(
        values
            .iter()
            .collect::<std::collections::HashSet<_>>()
            .len(),
        4
    );
    // What is ambiguous owns nothing.
    let mut two = cn("alice");
    two.common_names.push("bob".into());
    assert_eq!(owner(&two), Err(OwnerError::Ambiguous("common name")));
    let mut nameless = cn("alice");
    nameless.common_names.clear();
    assert_eq!(owner(&nameless), Err(OwnerError::Nameless));
    assert_eq!(owner(&cn("a\nb")), Err(OwnerError::Unclean("common name")));
    assert_eq!(
        owner(&cn(&"a".repeat(513))),
        Err(OwnerError::Unclean("common name"))
    );
    let mut orphan = cn("alice");
    orphan.issuer_spki = None;
    assert_eq!(owner(&orphan), Err(OwnerError::Issuer));
}

#[test]
fn filters_are_read_in_both_forms_and_written_as_one() {
    for (text, written) in [
        ("", "{}"),
        ("null", "{}"),
        ("{}", "{}"),
        (
            r#"{"label":["a=b","c"]}"#,
            r#"{"label":{"a=b":true,"c":true}}"#,
        ),
        (
            r#"{"label":{"a=b":true},"status":["up"]}"#,
            r#"{"label":{"a=b":true},"status":{"up":true}}"#,
        ),
        (
            r#"{"dangling":{"false":false}}"#,
            r#"{"dangling":{"false":false}}"#,
        ),
    ] {
        let filters = ListFilters::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(filters.to_json(), written, "{text}");
    }
    for text in [
        "[]",
        "1",
        "{",
        r#"{"label":"a"}"#,
        r#"{"label":[1]}"#,
        r#"{"label":{"a":1}}"#,
        r#"{"label":[],"label":["a"]}"#,
        r#"{"label":{"a":true,"a":false}}"#,
        "{} {}",
    ] {
        assert!(ListFilters::parse(text).is_err(), "{text}");
    }
    let mut filters = ListFilters::parse(r#"{"label":["a"],"since":["x"]}"#).expect("filters");
    filters.add("label", "dockgate.owner=\"q\"");
    filters.replace("since", "id");
    assert_eq!(
        filters.to_json(),
        r#"{"label":{"a":true,"dockgate.owner=\"q\"":true},"since":{"id":true}}"#
    );
}

#[test]
fn a_query_is_written_back_with_one_value_of_what_was_set() {
    let mut taken = QueryPairs::parse("a=1&b=2&%61=3").expect("a query");
    taken.remove("a");
    assert_eq!(taken.to_suffix(), "?b=2");
    let mut query = QueryPairs::parse("all=1&%66ilters=a&filters=b&x=%26%20+").expect("a query");
    query.set("filters", "{}&");
    assert_eq!(query.to_suffix(), "?all=1&x=%26%20%20&filters=%7B%7D%26");
    assert!(QueryPairs::parse("a=%zz").is_err());
    assert_eq!(QueryPairs::default().to_suffix(), "");
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_budget_is_read_with_its_units_and_a_default_must_fit_it() {
    let policy = role(
        "scope = \"own\"\n[role.team.budget]\ncontainers = 20\nmemory = \"8GiB\"\ncpus = 4.0\npids = 2000\nvolumes = 20\nnetworks = 5\n[role.team.default]\nmemory = \"512MiB\"\ncpus = 0.25\npids = 256",
    );
    let scope = policy
        .roles
        .last()
        .and_then(|role| role.scope.clone())
        .expect("a scope");
    assert_eq!(scope.budget.containers, Some(20));
    assert_eq!(scope.budget.granted.get(Resource::Memory), Some(8 << 30));
    assert_eq!(
        scope.budget.granted.get(Resource::Cpus),
        Some(4_000_000_000)
    );
    assert_eq!(scope.default.get(Resource::Cpus), Some(250_000_000));
    assert_eq!(scope.default.get(Resource::Pids), Some(256));
    for (body, said) in [
        (
            "[role.team.budget]\ncontainers = 1",
            "budget: expected `scope` beside it",
        ),
        (
            "[role.team.default]\npids = 1",
            "default: expected `scope` beside it",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\nmemory = 5",
            "budget.memory: expected a size",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\nmemory = \"8XB\"",
            "budget.memory: expected a size",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\nmemory = \"99999999TiB\"",
            "budget.memory: expected a size",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\ncpus = -1",
            "budget.cpus: expected a number",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\ncpus = inf",
            "budget.cpus: expected a number",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\npids = 0",
            "budget.pids: expected a whole number above 0",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\nvolumes = -1",
            "budget.volumes: expected a whole number",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\nimages = 1",
            "unknown key \"images\" in budget",
        ),
        (
            "scope = \"own\"\n[role.team.default]\nvolumes = 1",
            "unknown key \"volumes\" in default",
        ),
        (
            "scope = \"own\"\n[role.team.budget]\nmemory = \"1MiB\"\n[role.team.default]\nmemory = \"2MiB\"",
            "default.memory: 2MiB is above the budget, 1MiB",
        ),
    ] {
        let text = faults(body);
        assert!(text.contains(said), "{body}: {text}");
    }
}

/// A budget with these sums, and defaults.
fn amounts(memory: Option<u64>, cpus: Option<u64>, pids: Option<u64>) -> Amounts {
    let mut amounts = Amounts::default();
    amounts.set(Resource::Memory, memory);
    amounts.set(Resource::Cpus, cpus);
    amounts.set(Resource::Pids, pids);
    amounts
}

/// What a `HostConfig` is granted.
fn granted(text: &str, defaults: &Amounts, budget: &OwnerBudget) -> Result<Amounts, String> {
    let body = docker_api::json::parse(text.as_bytes(), text.len()).expect("JSON");
    budget::granted(Some(&body), defaults, budget)
}

#[test]
fn what_a_container_asks_for_is_read_in_every_spelling() {
    let plain = |text: &str| granted(text, &Amounts::default(), &OwnerBudget::default());
    for (text, asked) in [
        ("{}", amounts(None, None, None)),
        (
            r#"{"Memory":0,"NanoCpus":0,"PidsLimit":0}"#,
            amounts(None, None, None),
        ),
        (
            r#"{"Memory":-1,"CpuQuota":-1,"PidsLimit":-1}"#,
            amounts(None, None, None),
        ),
        (
            r#"{"Memory":null,"PidsLimit":null}"#,
            amounts(None, None, None),
        ),
        (
            r#"{"Memory":5,"NanoCpus":6,"PidsLimit":7}"#,
            amounts(Some(5), Some(6), Some(7)),
        ),
        (
            r#"{"CpuQuota":50000}"#,
            amounts(None, Some(500_000_000), None),
        ),
        (
            r#"{"CpuQuota":5000,"CpuPeriod":1000}"#,
            amounts(None, Some(5_000_000_000), None),
        ),
        (
            r#"{"CpusetCpus":"0-1"}"#,
            amounts(None, Some(2_000_000_000), None),
        ),
        (
            r#"{"CpuQuota":9223372036854775807,"CpuPeriod":1}"#,
            amounts(None, Some(u64::MAX), None),
        ),
        (
            r#"{"Memory":1.5,"PidsLimit":1e2}"#,
            amounts(None, None, None),
        ),
    ] {
        assert_eq!(plain(text), Ok(asked), "{text}");
    }
}

#[test]
fn what_would_evade_a_sum_is_refused_and_a_default_counts() {
    let of = granted;
    let budget = OwnerBudget {
        granted: amounts(Some(1000), Some(1000), Some(1000)),
        ..OwnerBudget::default()
    };
    let full = r#""Memory":5,"NanoCpus":6,"PidsLimit":7"#;
    for (more, said) in [
        (
            r#","MemorySwap":-1"#,
            "MemorySwap=-1: expected at most twice",
        ),
        (
            r#","MemorySwap":11"#,
            "MemorySwap=11: expected at most twice",
        ),
        (
            r#","CpuRealtimeRuntime":950000"#,
            "HostConfig.CpuRealtimeRuntime: expected a limit",
        ),
    ] {
        let text = format!("{{{full}{more}}}");
        let why = of(&text, &Amounts::default(), &budget).expect_err(&text);
        assert!(why.contains(said), "{text}: {why}");
    }
    for text in [
        format!("{{{full}}}"),
        format!("{{{full},\"MemorySwap\":10}}"),
        format!("{{{full},\"MemorySwap\":0}}"),
    ] {
        assert!(of(&text, &Amounts::default(), &budget).is_ok(), "{text}");
    }
    // What a default fills in counts as if it had been asked for, with the swap that comes with it.
    let defaults = amounts(Some(100), Some(200), Some(300));
    for text in [
        "{}",
        r#"{"CpuQuota":-1,"PidsLimit":0}"#,
        r#"{"MemorySwap":200}"#,
    ] {
        assert_eq!(of(text, &defaults, &budget), Ok(defaults), "{text}");
    }
    for text in [
        r#"{"MemorySwap":-1}"#,
        r#"{"MemorySwap":201}"#,
        r#"{"CpuRealtimeRuntime":1}"#,
    ] {
        assert!(of(text, &defaults, &budget).is_err(), "{text}");
    }
}

#[test]
fn a_default_is_filled_in_before_a_limit_is_judged() {
    let policy = |defaults: &str| {
        role(&format!(
            "scope = \"own\"\nbase = \"deployer\"\n[role.team.shared]\nnetworks = [\"bridge\"]\n[role.team.limits]\nmemory = \"512m\"\ncpus = 1.5\npids = 100\n{defaults}"
        ))
    };
    let all = "[role.team.default]\nmemory = \"512MiB\"\ncpus = 1.0\npids = 50\n";
    let body = |host: &str| format!(r#"{{"Image":"a","HostConfig":{{{host}}}}}"#);
    let create = |policy: &Policy, host: &str, rule: Option<&str>| {
        let text = body(host);
        let ask = Ask::new(policy, "POST", "/containers/create").body(&text);
        match rule {
            Some(rule) => drop(ask.denied(rule)),
            None => drop(ask.allowed()),
        }
    };
    for (defaults, host, rule) in [
        (all, "", None),
        (all, r#""Memory":0,"CpuQuota":-1,"PidsLimit":-1"#, None),
        (all, r#""Memory":1048576"#, None),
        (all, r#""Memory":536870913"#, Some("memory")),
        (all, r#""MemorySwap":-1"#, Some("memory")),
        (all, r#""NanoCpus":1600000000"#, Some("cpus")),
        (all, r#""CpuRealtimeRuntime":1000"#, Some("cpus")),
        (all, r#""PidsLimit":101"#, Some("pids")),
        ("", "", Some("memory")),
        (
            "[role.team.default]\nmemory = \"1GiB\"\ncpus = 1.0\npids = 50\n",
            "",
            Some("memory"),
        ),
        (
            "[role.team.default]\nmemory = \"1MiB\"\ncpus = 2.0\npids = 50\n",
            "",
            Some("cpus"),
        ),
        (
            "[role.team.default]\nmemory = \"1MiB\"\ncpus = 1.0\n",
            "",
            Some("pids"),
        ),
    ] {
        create(&policy(defaults), host, rule);
    }
}

#[test]
fn who_may_remove_in_a_scope_may_prune_and_images_stay() {
    let body = |extra: &str, scope: &str| {
        role(&format!(
            "{scope}base = \"ci\"\n{extra}\n[role.team.limits]\ntags = [\"t/**\"]"
        ))
    };
    let own = "scope = \"own\"\n";
    let targets = [
        "/containers/prune",
        "/networks/prune",
        "/volumes/prune",
        "/images/prune?filters=%7B%22dangling%22:%5B%22true%22%5D%7D",
        "/build/prune",
    ];
    for target in targets {
        let _ = Ask::new(&body("", own), "POST", target).allowed();
        Ask::new(&body("", ""), "POST", target).denied("operation");
        let denied = body("deny = [\"*.prune\"]", own);
        Ask::new(&denied, "POST", target).denied("operation");
    }
    let reader = role("scope = \"own\"\nbase = \"read-only\"");
    for target in targets {
        Ask::new(&reader, "POST", target).denied("operation");
    }
}

#[test]
fn a_label_of_an_image_makes_no_owner() {
    let key = OwnerKey::new([7; 32]);
    let owner = |name: &str| {
        ObjectOwner::of(OwnedBy::Certificate, &cn(name), "entry", &key).expect("an owner")
    };
    let (alice, bob) = (owner("alice"), owner("bob"));
    let label = Some(alice.label());
    let (image, derived) = ("sha256:1111", "sha256:2222");
    let of_image = alice.of_image(image);
    assert!(alice.made(label, Some(&of_image), image));
    // A container of an image that was given both labels: its image is another one.
    assert!(!alice.made(label, Some(&of_image), derived));
    assert!(!alice.made(label, None, image));
    assert!(!alice.made(None, Some(&of_image), image));
    assert!(!alice.made(label, Some(&bob.of_image(image)), image));
    assert!(!alice.made(label, Some(alice.label()), image));
    assert!(!bob.made(label, Some(&of_image), image));
    assert!(!format!("{alice:?}").contains(&alice.of_image("")));
}

#[test]
fn sums_do_not_overflow_and_a_refusal_says_what_would_fit() {
    let mut budget = OwnerBudget::default();
    budget.granted.set(Resource::Memory, Some(u64::MAX));
    let (mut used, mut asked) = (Amounts::default(), Amounts::default());
    used.set(Resource::Memory, Some(u64::MAX - 1));
    asked.set(Resource::Memory, Some(1));
    used.add(&Amounts::default());
    assert_eq!(
        budget::fits(Resource::Memory, &budget, &used, &asked),
        Ok(())
    );
    used.add(&asked);
    used.add(&asked);
    assert_eq!(used.get(Resource::Memory), Some(u64::MAX));
    budget.granted.set(Resource::Memory, Some(3 << 29));
    used.set(Resource::Memory, Some(1 << 30));
    asked.set(Resource::Memory, Some(1 << 30));
    let why = budget::fits(Resource::Memory, &budget, &used, &asked).expect_err("too much");
    assert_eq!(
        why.to_string(),
        "memory: 1GiB asked for, 1GiB of 1.5GiB used; 512MiB would fit"
    );
    assert_eq!(budget::fits(Resource::Cpus, &budget, &used, &asked), Ok(()));
    let why = budget::counts("volumes", Some(2), 2, 1).expect_err("one too many");
    assert_eq!(
        why.to_string(),
        "volumes: 1 asked for, 2 of 2 used; 0 would fit"
    );
    assert_eq!(budget::counts("volumes", None, u64::MAX, 1), Ok(()));
    assert_eq!(Resource::Cpus.shown(1_500_000_000), "1.5");
    assert_eq!(Resource::Cpus.shown(20_000_000_000), "20");
}

#[test]
fn check_says_what_crosses_the_wall() {
    let warnings = |body: &str| {
        let policy = role(body);
        policy::risk::reach(policy.roles.last().expect("a role"))
            .warnings
            .join("\n")
    };
    let text = warnings(
        "scope = \"own\"\nbase = \"ci\"\n[role.team.shared]\nnetworks = [\"bridge\"]\nvolumes = [\"cache-*\"]\n[role.team.limits]\ntags = [\"t/**\"]\nbinds = [\"/srv/team/**:ro\"]",
    );
    for said in [
        "share the kernel",
        "all owners see every image",
        "reach each other on the networks \"bridge\"",
        "reads and writes the volumes \"cache-*\"",
        "may bind the same host paths \"/srv/team/**:ro\"",
        "steps of classic builds",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let text = warnings("scope = \"entry\"\nbase = \"operator\"");
    assert!(
        text.contains("\"bridge\" is not shared") && !text.contains("host paths"),
        "{text}"
    );
    assert!(!warnings("base = \"operator\"").contains("scope:"));
}

#[test]
fn roles_with_a_scope_that_bind_the_same_path_are_told() {
    let roles = |one: &str, other: &str| {
        let role = |name: &str, bind: &str| {
            format!(
                "[role.{name}]\nscope = \"own\"\nbase = \"deployer\"\n[role.{name}.limits]\nbinds = [\"{bind}\"]\n"
            )
        };
        let text = format!(
            "version = 1\n[[client]]\nmatch = {{ any = true }}\nrole = \"a\"\n{}{}",
            role("a", one),
            role("b", other)
        );
        let policy = Policy::parse("test.toml", &text).expect("a policy");
        let [.., a, b] = &policy.roles[..] else {
            panic!("two roles");
        };
        policy::scope::share_a_path(a, b)
    };
    assert!(roles("/srv/a/**", "/srv/a/**"));
    assert!(roles("/srv/a/**", "/srv/a/b:ro"));
    assert!(!roles("/srv/a/**", "/srv/ab/**"));
}

#[test]
fn redaction_changes_values_and_nothing_else() {
    let patterns = ["*token*".to_owned(), "DB_PASSWORD".to_owned()];
    let of = |text: &str| redacted(text, &patterns);
    let answer = r#"{"Id":"a", "Config" : {"Env":["PATH=/bin","Api_Token=s3cret","DB_PASSWORD=a=b\u0022\"x","TOKEN=","NOTOKEN","\u0054OKEN2=y","db_passwords=shown"],"Labels":{"TOKEN=":"TOKEN=x"}},"ContainerConfig":{"Env":["TOKEN=t"]},"Name":"/TOKEN=1","Size":1.50}
"#;
    let masked = r#"{"Id":"a", "Config" : {"Env":["PATH=/bin","Api_Token=***","DB_PASSWORD=***","TOKEN=***","NOTOKEN","TOKEN2=***","db_passwords=shown"],"Labels":{"TOKEN=":"TOKEN=x"}},"ContainerConfig":{"Env":["TOKEN=***"]},"Name":"/TOKEN=1","Size":1.50}
"#;
    assert_eq!(of(answer).expect("an answer"), masked);
    for same in [
        r#"{"Config":null}"#,
        r#"{"Config":{"Env":null}}"#,
        r#"{"Config":{}}"#,
        "{}",
    ] {
        assert_eq!(of(same).expect("an answer"), same);
    }
    // The key may be spelt with escapes; what is no inspect's answer is not shown.
    let escaped = r#"{"\u0043onfig":{"Env":["TOKEN=x"]}}"#;
    assert_eq!(
        of(escaped).expect("an answer"),
        r#"{"\u0043onfig":{"Env":["TOKEN=***"]}}"#
    );
    for wrong in [
        "",
        "[]",
        "{",
        r#"{"Config":[]}"#,
        r#"{"Config":{"Env":[1]}}"#,
    ] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
    let text = faults("scope = \"own\"\nredact = [\"A=b\"]");
    assert!(
        text.contains("redact: expected the name of a variable"),
        "{text}"
    );
    assert!(faults("redact = [\"A\"]").contains("redact: expected `scope` beside it"));
    let policy = role(
        "scope = \"own\"\nbase = \"ci\"\nredact = \"*TOKEN*\"\n[role.team.limits]\ntags = [\"t/**\"]",
    );
    let said = policy::risk::reach(policy.roles.last().expect("a role"))
        .warnings
        .join("\n");
    assert!(
        said.contains("exec in a container shows") && said.contains("writes the mask"),
        "{said}"
    );
}

#[test]
fn an_empty_item_of_a_list_is_a_fault() {
    for limit in [
        "volumes", "networks", "names", "devices", "groups", "runtimes", "sysctls",
    ] {
        let text = faults(&format!(
            "base = \"operator\"\n[role.team.limits]\n{limit} = [\"a\", \"\"]"
        ));
        let said = format!("{limit}: expected a name");
        assert!(
            text.contains(&said) && text.contains("an empty list"),
            "{text}"
        );
        let _ = role(&format!(
            "base = \"operator\"\n[role.team.limits]\n{limit} = []"
        ));
    }
}

#[test]
fn labels_are_matched_as_the_engine_matches_them() {
    let filters = ListFilters::parse(r#"{"label!":["a","b=1"],"none!":[]}"#).expect("filters");
    let matches = |labels: &[(&str, &'static str)]| {
        filters.match_labels("label!", |name| {
            let found = labels.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| *value)
        })
    };
    assert!(matches(&[("a", ""), ("b", "1"), ("c", "")]));
    assert!(!matches(&[("a", ""), ("b", "2")]) && !matches(&[("b", "1")]) && !matches(&[]));
    assert!(filters.has("label!") && filters.has("none!") && !filters.has("label"));
    assert!(filters.match_labels("none!", |_| None));
}

#[test]
fn a_list_is_told_apart_as_one_container_is() {
    let key = OwnerKey::new([7; 32]);
    let owner = |name: &str| {
        ObjectOwner::of(OwnedBy::Certificate, &cn(name), "entry", &key).expect("an owner")
    };
    let (alice, bob) = (owner("alice"), owner("bob"));
    let mut by = policy::scope::MadeBy::new(&alice);
    for _ in 0..2 {
        for image in ["sha256:1", "sha256:2"] {
            let code = alice.of_image(image);
            for (owner, of_image, image, made) in [
                (Some(alice.label()), Some(&*code), image, true),
                (Some(alice.label()), Some(&*code), "sha256:3", false),
                (Some(alice.label()), None, image, false),
                (Some(bob.label()), Some(&*code), image, false),
                (None, Some(&*code), image, false),
            ] {
                assert_eq!(by.made(owner, of_image, image), made, "{owner:?} {image}");
                assert_eq!(
                    alice.made(owner, of_image, image),
                    made,
                    "{owner:?} {image}"
                );
            }
        }
    }
}
