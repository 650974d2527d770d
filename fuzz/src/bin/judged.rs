//! The judged calls of a build: what passes asks for nothing that the role does not have, as a protobuf library reads it, and
//! what the gate appends has the last word.
#![no_main]

#[path = "../../../crates/buildkit/tests/theirs/mod.rs"]
mod theirs;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use buildkit::{Call, FrontendSolve, HistoryEvent, Solve, answers, calls};
use libfuzzer_sys::fuzz_target;
use policy::build::{Appendix, Build, BuildContext, BuildFacts, DescribedCall};
use policy::{Policy, Protected};
use prost::Message;
use theirs::{TheirDefinition, TheirPair, TheirSolve};

const POLICY: &str = r#"version = 1
[[client]]
match = { any = true }
role = "maker"
[role.maker]
base = "builder"
[role.maker.limits]
tags = ["ci/**"]
images = ["docker.io/library/**"]
[role.maker.build]
push = ["ci/pushed"]
cache = ["inline", "ci/cache/**"]
raw_llb = true
debug = true
"#;

/// What a limited role has: no entitlement, names below `ci`, the session `mine`, the cache mounts of `ns`.
static BUILD: LazyLock<Build> = LazyLock::new(|| {
    let policy = Policy::parse("fuzz", POLICY).expect("a policy");
    let role = policy.roles.iter().find(|role| role.name == "maker");
    role.and_then(|role| role.build.clone()).expect("a build")
});

#[derive(Clone, PartialEq, Message)]
struct TheirFrontendSolve {
    #[prost(message, optional, tag = "1")]
    raw: Option<TheirDefinition>,
    #[prost(btree_map = "string, string", tag = "3")]
    attributes: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "12")]
    imports: Vec<TheirPair>,
}

fn steps_are_sandboxed(definition: Option<&TheirDefinition>) {
    for operation in definition.iter().flat_map(|it| &it.operations) {
        if let Some(exec) = &operation.exec {
            let meta = exec.meta.as_ref();
            assert!(meta.is_none_or(|meta| meta.cgroup_parent.is_empty()));
            assert!(matches!(exec.network, 0 | 2) && exec.security == 0);
            assert!(exec.devices.is_empty());
            for mount in &exec.mounts {
                let id = mount.cache.as_ref().map_or("", |cache| &*cache.id);
                assert!(mount.kind != 3 || id.starts_with("ns/"), "{id}");
            }
        }
        for (key, value) in operation.source.iter().flat_map(|it| &it.attributes) {
            let session = matches!(&**key, "local.session" | "oci.session");
            assert!(!session || matches!(&**value, "" | "mine"), "{key}={value}");
        }
    }
}

fn options_are_the_roles(attributes: &BTreeMap<String, String>) {
    let option = |key: &str| attributes.get(key).map_or("", |value| value);
    assert_eq!(option("cgroup-parent"), "");
    assert_ne!(option("force-network-mode"), "host");
    assert_eq!(option("build-arg:BUILDKIT_CACHE_MOUNT_NS"), "ns");
    for (key, value) in attributes {
        assert!(!key.starts_with("label:dockgate."), "{key}");
        let session = key.starts_with("local-sessionid:");
        assert!(!session || matches!(&**value, "" | "mine"), "{key}={value}");
    }
}

fn caches_are_the_roles<'c>(caches: impl IntoIterator<Item = &'c TheirPair>) {
    for cache in caches {
        let name = cache.attributes.get("ref").map_or("", |name| name);
        let listed = name
            .trim_start_matches("docker.io/")
            .starts_with("ci/cache/");
        assert!(cache.kind == "inline" || listed, "{cache:?}");
    }
}

fn solve_is_the_roles(bytes: &[u8], appendix: &Appendix) {
    let client = TheirSolve::decode(bytes).expect("what passed can be read");
    let sent = [bytes, appendix].concat();
    let sent = TheirSolve::decode(&*sent).expect("and so can what goes on");
    assert_eq!(sent.reference, client.reference);
    assert!(!sent.reference.is_empty());
    assert!(sent.entitlements.is_empty() && !sent.session_exporter && !sent.proxy);
    for session in [&sent.session, &sent.policy_session] {
        assert!(matches!(&**session, "" | "mine"), "{session}");
    }
    for exporter in &sent.exporters {
        let attribute = |key: &str| exporter.attributes.get(key).map_or("", |value| value);
        if !matches!(&*exporter.kind, "moby" | "image") {
            continue;
        }
        let push = !matches!(
            attribute("push"),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False"
        );
        for name in attribute("name").split(',').filter(|name| !name.is_empty()) {
            let name = name.trim_start_matches("docker.io/");
            assert!(name.starts_with("ci/"), "{name}");
            assert!(!push || name.starts_with("ci/pushed"), "{name}");
        }
    }
    options_are_the_roles(&sent.attributes);
    steps_are_sandboxed(sent.raw.as_ref());
    let cache = sent.cache.unwrap_or_default();
    caches_are_the_roles(cache.exports.iter().chain(&cache.imports));
    // The gate's rules are the last ones.
    let rules = sent.policy.unwrap_or_default().rules;
    let own = TheirSolve::decode(BUILD.source_policy()).expect("readable");
    assert!(rules.ends_with(&own.policy.unwrap_or_default().rules));
}

fuzz_target!(|bytes: &[u8]| {
    let protected = Protected::default();
    let context = BuildContext {
        namespace: "ns",
        owns_session: &|session| session == "mine",
        protected: &protected,
    };
    if let Ok(solve) = Solve::read(bytes) {
        let facts = BuildFacts::solve(&solve);
        if let Ok(appendix) = BUILD.solve(&solve, &context) {
            solve_is_the_roles(bytes, &appendix);
            let judged = [
                "build.tags",
                "build.push",
                "build.entitlements",
                "build.outputs",
            ];
            for fact in facts.kept.iter().filter(|fact| judged.contains(&&*fact.0)) {
                assert!(
                    BUILD.admits(fact),
                    "what passed is told as what passes: {fact:?}"
                );
            }
        }
    }
    if let Ok(solve) = FrontendSolve::read(bytes)
        && let Ok(appendix) = BUILD.frontend_solve(&solve, &context)
    {
        let sent = [bytes, &appendix].concat();
        let sent = TheirFrontendSolve::decode(&*sent).expect("what passed can be read");
        options_are_the_roles(&sent.attributes);
        steps_are_sandboxed(sent.raw.as_ref());
        caches_are_the_roles(&sent.imports);
    }
    for asked in [calls::resolve_image(bytes), calls::resolve_source(bytes)] {
        let passes = asked
            .as_ref()
            .is_ok_and(|asked| BUILD.resolve(asked, &context).is_ok());
        let foreign = asked.is_ok_and(|asked| asked.sessions.iter().any(|id| *id != "mine"));
        assert!(!passes || !foreign);
    }
    let _ = BUILD.new_container(bytes, &context);
    let _ = BUILD.exec_message(bytes, &context);
    for call in [Call::ContentInfo, Call::ContentRead] {
        let _ = calls::content(call, bytes);
    }
    if let Ok(event) = HistoryEvent::read(bytes) {
        assert!(event.digests.len() <= buildkit::MAX_LIST);
    }
    if let Ok(sources) = answers::sources(bytes) {
        assert!(sources.len() <= buildkit::MAX_LIST);
    }
    for name in dockgate::http::build::sessions_named(bytes) {
        assert!(!name.contains('\n'));
    }
    if let Ok(described) = DescribedCall::parse(bytes) {
        let _ = described.judge(&BUILD, &protected);
    }
});
