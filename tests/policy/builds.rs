//! Builds under `[role.NAME.build]`: each power a Solve asks for, refused beside its allow.

use crate::support::Ask;
use buildkit::append::{field, map_entry};
use buildkit::{FrontendSolve, Llb, Solve, calls};
use policy::build::{Appendix, Build, BuildContext, Objection};
use policy::{BodyLength, EngineHeaders, Policy, Protected, Request, Step, risk};

fn parsed(build: &str) -> Result<Policy, String> {
    let text = format!(
        "version = 1\n[[client]]\nmatch = {{ any = true }}\nrole = \"maker\"\n[role.maker]\nbase = \"builder\"\n[role.maker.limits]\ntags = [\"ci/**\"]\nimages = [\"docker.io/library/**\"]\n[role.maker.build]\n{build}"
    );
    Policy::parse("policy.toml", &text).map_err(|error| error.to_string())
}

fn build(text: &str) -> Build {
    let policy = parsed(text).expect("a policy");
    let role = policy.roles.iter().find(|role| role.name == "maker");
    role.and_then(|role| role.build.clone()).expect("builds")
}

fn context<'c>(protected: &'c Protected, sessions: &'c dyn Fn(&str) -> bool) -> BuildContext<'c> {
    BuildContext {
        namespace: "ns",
        owns_session: sessions,
        protected,
    }
}

fn judge(build: &Build, fields: &[Vec<u8>]) -> Result<Appendix, Objection> {
    let mut bytes = text(1, "ref");
    bytes.extend(fields.concat());
    let solve = Solve::read(&bytes).expect("readable");
    let protected = Protected::default();
    build.solve(&solve, &context(&protected, &|session| session == "mine"))
}

fn frontend(build: &Build, fields: &[Vec<u8>]) -> Result<Appendix, Objection> {
    let bytes = fields.concat();
    let solve = FrontendSolve::read(&bytes).expect("readable");
    let protected = Protected::default();
    build.frontend_solve(&solve, &context(&protected, &|session| session == "mine"))
}

fn message(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, number, bytes);
    out
}

fn text(number: u32, text: &str) -> Vec<u8> {
    message(number, text.as_bytes())
}

fn number(number: u32, value: u8) -> Vec<u8> {
    // Every number here is below 16, or its tag has two bytes.
    let tag = number << 3;
    match u8::try_from(tag) {
        Ok(tag) if tag < 0x80 => vec![tag, value],
        _ => vec![(tag & 0x7f) as u8 | 0x80, (tag >> 7) as u8, value],
    }
}

fn typed(kind: &str, attributes: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = text(1, kind);
    for (key, value) in attributes {
        bytes.extend(map_entry(2, key, value));
    }
    bytes
}

fn exporter(kind: &str, attributes: &[(&str, &str)]) -> Vec<u8> {
    message(13, &typed(kind, attributes))
}

#[track_caller]
fn refused(result: Result<Appendix, Objection>, rule: &str) {
    assert_eq!(result.expect_err("it must be refused").rule, rule);
}

#[track_caller]
fn allowed(result: Result<Appendix, Objection>) {
    result.expect("it must be allowed");
}

#[test]
fn a_plain_build_passes_and_gets_the_roles_rules() {
    let build = build("");
    let appendix = judge(&build, &[]).expect("a plain build");
    let said = String::from_utf8_lossy(&appendix).into_owned();
    assert!(appendix.starts_with(build.source_policy()), "{said}");
    assert!(
        said.contains(r"^docker-image://docker\.io/library"),
        "{said}"
    );
    assert!(said.contains("BUILDKIT_CACHE_MOUNT_NS"), "{said}");
    let shared = self::build("cache_mounts = \"shared\"");
    assert_eq!(judge(&shared, &[]).as_deref(), Ok(shared.source_policy()));
}

#[test]
fn entitlements_are_listed() {
    let none = build("");
    for entitlement in [
        "network.host",
        "security.insecure",
        "device=gpu",
        "later.thing",
    ] {
        refused(judge(&none, &[text(9, entitlement)]), "entitlements");
    }
    refused(judge(&none, &[number(17, 1)]), "entitlements");
    let some = build("entitlements = [\"network.host\", \"device\"]");
    allowed(judge(
        &some,
        &[text(9, "network.host"), text(9, "device=gpu")],
    ));
    refused(
        judge(
            &some,
            &[text(9, "network.host"), text(9, "security.insecure")],
        ),
        "entitlements",
    );
}

#[test]
fn image_names_are_listed_in_every_field_that_has_them() {
    let build = build("");
    allowed(judge(
        &build,
        &[exporter(
            "moby",
            &[("name", "ci/a,docker.io/ci/b:1"), ("push", "false")],
        )],
    ));
    for names in ["other/a", "ci/a,other/a", "ci/a,", "*", "a\"b", "sha256:aa"] {
        refused(
            judge(&build, &[exporter("moby", &[("name", names)])]),
            "tags",
        );
        refused(
            judge(&build, &[exporter("image", &[("name", names)])]),
            "tags",
        );
        // The deprecated pair, which counts where there is no other.
        let deprecated = [text(3, "moby"), map_entry(4, "name", names)];
        refused(judge(&build, &deprecated), "tags");
    }
    allowed(judge(
        &build,
        &[text(3, "moby"), map_entry(4, "name", "ci/a")],
    ));
}

#[test]
fn a_protected_name_is_nobodys() {
    let build = build("");
    let ours = policy::ImagePattern::parse("ci/gate").expect("a pattern");
    let protected = Protected::default().image(ours);
    let judged = |name: &str| {
        let bytes = [text(1, "ref"), exporter("moby", &[("name", name)])].concat();
        let solve = Solve::read(&bytes).expect("readable");
        build.solve(&solve, &context(&protected, &|_| false))
    };
    allowed(judged("ci/a"));
    refused(judged("ci/gate:latest"), "protected");
}

#[test]
fn pushing_is_listed_in_every_spelling_of_true() {
    let none = build("");
    for yes in ["true", "1", "t", "T", "TRUE", "True", "yes"] {
        refused(
            judge(
                &none,
                &[exporter("moby", &[("name", "ci/a"), ("push", yes)])],
            ),
            "push",
        );
    }
    let some = build("push = [\"ci/a\"]");
    allowed(judge(
        &some,
        &[exporter("moby", &[("name", "ci/a"), ("push", "1")])],
    ));
    refused(
        judge(
            &some,
            &[exporter("moby", &[("name", "ci/a,ci/b"), ("push", "1")])],
        ),
        "push",
    );
    refused(judge(&some, &[exporter("moby", &[("push", "1")])]), "push");
    let prefix = [
        ("name", "ci/a"),
        ("push", "1"),
        ("dangling-name-prefix", "other/x"),
    ];
    refused(judge(&some, &[exporter("moby", &prefix)]), "push");
    allowed(judge(
        &some,
        &[exporter(
            "moby",
            &[("dangling-name-prefix", "moby-dangling")],
        )],
    ));
}

#[test]
fn the_name_of_images_without_a_name_is_judged_like_a_name() {
    let build = build("");
    let dangling = |prefix: &str| {
        judge(
            &build,
            &[exporter("moby", &[("dangling-name-prefix", prefix)])],
        )
    };
    allowed(dangling("moby-dangling"));
    allowed(dangling("ci/a"));
    refused(dangling("other/a"), "tags");
}

#[test]
fn a_frontend_is_the_engines_own_where_the_role_says_so() {
    let (any, own) = (build(""), build("frontends = \"engine\""));
    let image = text(6, "gateway.v0");
    let syntax = |name: &str| map_entry(7, "build-arg:BUILDKIT_SYNTAX", name);
    allowed(judge(&any, &[image.clone(), syntax("docker/dockerfile:1")]));
    refused(judge(&own, &[image]), "frontends");
    refused(judge(&own, &[syntax("docker/dockerfile:1")]), "frontends");
    refused(frontend(&own, &[text(2, "gateway.v0")]), "frontends");
    refused(
        frontend(&own, &[map_entry(3, "build-arg:BUILDKIT_SYNTAX", "x")]),
        "frontends",
    );
    // `# syntax=` is not followed where another frontend was followed already, as the option says.
    for appendix in [
        judge(&own, &[syntax("")]),
        frontend(&own, &[text(2, "dockerfile.v0")]),
    ] {
        let appendix = appendix.expect("a plain build");
        assert!(String::from_utf8_lossy(&appendix).contains("cmdline"));
    }
    let appendix = judge(&any, &[]).expect("a plain build");
    assert!(!String::from_utf8_lossy(&appendix).contains("cmdline"));
}

#[test]
fn an_image_that_the_role_writes_and_may_name_as_a_frontend_is_warned_of() {
    let warned = |lines: &str| {
        let policy = parsed(lines).expect("a policy");
        let role = policy.roles.iter().find(|role| role.name == "maker");
        let reach = risk::reach(role.expect("the role"));
        reach
            .warnings
            .iter()
            .any(|warning| warning.contains("frontend"))
    };
    assert!(!warned(""));
    assert!(warned("sources = [\"docker.io/ci/base\"]"));
    assert!(warned("push = [\"docker.io/library/tool\"]"));
    assert!(!warned(
        "sources = [\"docker.io/ci/base\"]\nfrontends = \"engine\""
    ));
    assert!(!warned(
        "sources = [\"docker.io/ci/base:1\"]\ntags = [\"ci/base:2\"]"
    ));
}

#[test]
fn sources_are_told_as_the_engine_would_decide_them() {
    let build = build(
        "sources = [\"registry.example.com/a/*\", \"https://github.com/example/**\", \"http://files.example.com/x/y.tar\", \"ssh://git@host/repo\"]",
    );
    for source in [
        "docker-image://registry.example.com/a/b:1",
        &format!(
            "docker-image://registry.example.com/a/b@sha256:{}",
            "a".repeat(64)
        ),
        "https://github.com/example/a/b",
        "https://github.com/example/a.git#main:dir",
        "git://github.com/example/a.git#main",
        "http://files.example.com/x/y.tar",
        "ssh://git@host/repo.git",
        "git://git@host/repo#main",
        "local://context",
        "oci-layout://x",
        "http://buildkit-session/x",
    ] {
        assert!(build.lists(source), "{source}");
    }
    for source in [
        "docker-image://registry.example.com/a/b/c",
        "docker-image://docker.io/library/busybox",
        "https://github.com/example",
        "https://github.com/example/../other",
        "https://github.com/example/%2e%2e/other",
        "https://github.com/example/a?x=1",
        "https://user@github.com/example/a",
        "https://github.com:8080/example/a",
        "http://github.com/example/a",
        "https://github.com/example/a#b#c",
        "https://github.com/example/a#b\nc",
        "http://files.example.com/x/y.tar/z",
        "ssh://other@host/repo",
        "http://buildkit-session.example.com/x",
        "file:///etc/passwd",
        "",
    ] {
        assert!(!build.lists(source), "{source}");
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_description_is_judged_as_the_message_is() {
    use policy::build::DescribedCall;
    let build = build("push = [\"ci/a\"]");
    let protected = Protected::default();
    let judged = |text: &str| {
        let described = DescribedCall::parse(text.as_bytes()).expect(text);
        described.judge(&build, &protected)
    };
    let solve = |name: &str, push: &str| {
        format!(
            "{{\"Frontend\":\"dockerfile.v0\",\"Exporters\":[{{\"Type\":\"moby\",\"Attrs\":{{\"name\":\"{name}\",\"push\":\"{push}\"}}}}]}}"
        )
    };
    let (facts, objection) = judged(&solve("ci/a", "true"));
    assert_eq!(objection, None);
    assert_eq!(
        facts.kept,
        [
            ("build.outputs", "image"),
            ("build.tags", "ci/a"),
            ("build.push", "ci/a")
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert!(facts.kept.iter().all(|fact| build.admits(fact)));
    for (text, rule) in [
        (solve("ci/b", "1"), "push"),
        (solve("other/a", "false"), "tags"),
        (
            "{\"Entitlements\":[\"network.host\"]}".into(),
            "entitlements",
        ),
        ("{\"ProxyNetwork\":true}".into(), "entitlements"),
        (
            "{\"FrontendAttrs\":{\"cgroup-parent\":\"/x\"}}".into(),
            "cgroup-parent",
        ),
        (
            "{\"Cache\":{\"Imports\":[{\"Type\":\"registry\",\"Attrs\":{\"ref\":\"x/y\"}}]}}"
                .into(),
            "cache",
        ),
        ("{\"Definition\":{\"def\":[\"GgA=\"]}}".into(), "raw_llb"),
        (
            "{\"Sources\":[\"docker-image://docker.io/other/x:1\"]}".into(),
            "sources",
        ),
        (
            "{\"Call\":\"moby.buildkit.v1.Control/Prune\"}".into(),
            "prune",
        ),
        ("{\"Call\":\"build.exec-process\"}".into(), "debug"),
        (
            "{\"Call\":\"build.frontend-solve\",\"Frontend\":\"other\"}".into(),
            "message",
        ),
    ] {
        let (facts, objection) = judged(&text);
        assert_eq!(
            objection.map(|objection| objection.rule),
            Some(rule),
            "{text} {facts:?}"
        );
    }
    assert_eq!(
        judged("{\"Sources\":[\"docker-image://docker.io/library/x:1\"]}").1,
        None
    );
    for (text, part) in [
        ("{\"Frontnd\":\"x\"}", "Frontnd"),
        ("{\"Call\":\"Later\"}", "not a call"),
        ("{\"Entitlements\":\"x\"}", "list"),
        ("[]", "object"),
        (
            "{\"Call\":\"build.info\",\"Frontend\":\"x\"}",
            "only a Solve",
        ),
        ("{\"Definition\":{\"def\":[\"*\"]}}", "base64"),
    ] {
        let error = DescribedCall::parse(text.as_bytes()).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn outputs_are_listed_and_unknown_attributes_are_refused() {
    let all = build("");
    for kind in ["moby", "image", "local", "tar", "oci", "docker"] {
        allowed(judge(&all, &[exporter(kind, &[])]));
    }
    refused(judge(&all, &[exporter("nydus", &[])]), "outputs");
    refused(
        judge(&all, &[exporter("moby", &[("registry.insecure", "true")])]),
        "outputs",
    );
    refused(judge(&all, &[number(14, 1)]), "outputs");
    let one = build("outputs = [\"local\"]");
    allowed(judge(&one, &[exporter("local", &[])]));
    refused(judge(&one, &[exporter("moby", &[])]), "outputs");
}

#[test]
fn a_cache_from_a_directory_of_the_clients_is_written_but_not_imported_unless_listed() {
    let json = "[{\"Type\":\"local\",\"Attrs\":{\"src\":\"x\"}}]";
    let (export, import) = (4, 5);
    let cache = |side| [message(8, &message(side, &typed("local", &[])))];
    for plain in [build(""), build("cache = [\"local\"]")] {
        allowed(judge(&plain, &cache(export)));
        refused(judge(&plain, &cache(import)), "cache");
        refused(
            judge(&plain, &[map_entry(7, "cache-imports", json)]),
            "cache",
        );
        refused(
            frontend(&plain, &[map_entry(3, "cache-imports", json)]),
            "cache",
        );
        refused(
            frontend(&plain, &[message(12, &typed("local", &[]))]),
            "cache",
        );
    }
    let listed = build("cache = [\"local-import\"]");
    refused(judge(&listed, &cache(export)), "cache");
    allowed(judge(&listed, &cache(import)));
    allowed(judge(&listed, &[map_entry(7, "cache-imports", json)]));
    allowed(frontend(&listed, &[map_entry(3, "cache-imports", json)]));
    allowed(frontend(&listed, &[message(12, &typed("local", &[]))]));
}

#[test]
fn caches_are_listed_in_every_field_that_names_them() {
    let some = build("cache = [\"inline\", \"registry.example.com/cache/**\"]");
    let entry = |kind: &str, name: &str| typed(kind, &[("ref", name)]);
    for side in [4, 5] {
        let cache = |entry: &[u8]| [message(8, &message(side, entry))];
        allowed(judge(
            &some,
            &cache(&entry("registry", "registry.example.com/cache/a:1")),
        ));
        allowed(judge(&some, &cache(&typed("inline", &[]))));
        refused(
            judge(
                &some,
                &cache(&entry("registry", "other.example.com/cache/a")),
            ),
            "cache",
        );
        refused(judge(&some, &cache(&typed("local", &[]))), "cache");
        refused(judge(&some, &cache(&typed("s3", &[]))), "cache");
        let insecure = [
            ("ref", "registry.example.com/cache/a"),
            ("registry.insecure", "true"),
        ];
        refused(judge(&some, &cache(&typed("registry", &insecure))), "cache");
    }
    refused(
        judge(&some, &[message(8, &text(1, "other.example.com/a"))]),
        "cache",
    );
    let json = |name: &str| format!("[{{\"Type\":\"registry\",\"Attrs\":{{\"ref\":\"{name}\"}}}}]");
    for (key, good, bad) in [
        (
            "cache-from",
            "registry.example.com/cache/a".to_owned(),
            "registry.example.com/cache/a,other/a".to_owned(),
        ),
        (
            "cache-imports",
            json("registry.example.com/cache/a"),
            json("other/a"),
        ),
    ] {
        allowed(judge(&some, &[map_entry(7, key, &good)]));
        allowed(frontend(&some, &[map_entry(3, key, &good)]));
        refused(judge(&some, &[map_entry(7, key, &bad)]), "cache");
        refused(frontend(&some, &[map_entry(3, key, &bad)]), "cache");
    }
    // Go's reader of JSON knows no case.
    let lower = "[{\"type\":\"registry\",\"attrs\":{\"ref\":\"other/a\"}}]";
    refused(
        judge(&some, &[map_entry(7, "cache-imports", lower)]),
        "cache",
    );
    refused(
        frontend(&some, &[message(12, &entry("registry", "other/a"))]),
        "cache",
    );
}

#[test]
fn sessions_of_others_are_refused_wherever_they_are_named() {
    let raw = build("raw_llb = true");
    let source = |session: &str| {
        let source = [
            text(1, "local://context"),
            map_entry(2, "local.session", session),
        ]
        .concat();
        message(1, &message(3, &source))
    };
    for (mine, other) in [
        (text(5, "mine"), text(5, "other")),
        (text(15, "mine"), text(15, "x:mine")),
        (
            map_entry(7, "local-sessionid:context", "mine"),
            map_entry(7, "local-sessionid:context", "other"),
        ),
        (message(2, &source("mine")), message(2, &source("other"))),
    ] {
        allowed(judge(&raw, &[mine]));
        refused(judge(&raw, &[other]), "owner");
    }
    // What only looks like it.
    allowed(judge(&raw, &[map_entry(7, "build-arg:session", "other")]));
    let protected = Protected::default();
    let context = context(&protected, &|session| session == "mine");
    for (session, passes) in [("mine", true), ("other", false)] {
        let bytes = [text(1, "busybox"), text(6, session)].concat();
        let asked = calls::resolve_image(&bytes).expect("readable");
        assert_eq!(raw.resolve(&asked, &context).is_ok(), passes);
        let source = [
            text(1, "oci-layout://x"),
            map_entry(2, "oci.session", session),
        ]
        .concat();
        let bytes = message(1, &source);
        let asked = calls::resolve_source(&bytes).expect("readable");
        assert_eq!(raw.resolve(&asked, &context).is_ok(), passes);
    }
}

#[test]
fn cgroup_parents_and_host_networks_are_refused_in_options_and_definitions() {
    let raw = build("raw_llb = true");
    let exec = |fields: &[Vec<u8>]| message(2, &message(1, &message(2, &fields.concat())));
    allowed(judge(
        &raw,
        &[exec(&[message(1, &text(1, "sh")), number(3, 2)])],
    ));
    refused(
        judge(&raw, &[exec(&[message(1, &text(10, "/"))])]),
        "cgroup-parent",
    );
    refused(judge(&raw, &[exec(&[number(3, 1)])]), "entitlements");
    refused(judge(&raw, &[exec(&[number(4, 1)])]), "entitlements");
    refused(judge(&raw, &[exec(&[message(6, b"")])]), "entitlements");
    refused(
        judge(&raw, &[message(2, &message(1, &message(5, b"")))]),
        "raw_llb",
    );
    // Inputs, as bake sends them.
    let input =
        |definition: &[u8]| message(10, &[text(1, "base"), message(2, definition)].concat());
    let parent = message(1, &message(2, &message(1, &text(10, "/"))));
    let plain = message(1, &message(2, &message(1, &text(1, "sh"))));
    let safe = build("");
    allowed(judge(&safe, &[input(&plain)]));
    refused(judge(&safe, &[input(&parent)]), "cgroup-parent");
    refused(
        judge(&safe, &[map_entry(7, "cgroup-parent", "/x")]),
        "cgroup-parent",
    );
    refused(
        frontend(&safe, &[map_entry(3, "cgroup-parent", "/x")]),
        "cgroup-parent",
    );
    allowed(frontend(
        &safe,
        &[map_entry(3, "force-network-mode", "none")],
    ));
    refused(
        frontend(&safe, &[map_entry(3, "force-network-mode", "host")]),
        "entitlements",
    );
}

#[test]
fn operations_of_the_clients_own_need_the_key() {
    let definition = message(
        1,
        &message(
            3,
            &text(1, "docker-image://docker.io/library/busybox:latest"),
        ),
    );
    let (safe, raw) = (build(""), build("raw_llb = true"));
    refused(judge(&safe, &[message(2, &definition)]), "raw_llb");
    refused(frontend(&safe, &[message(1, &definition)]), "raw_llb");
    refused(
        frontend(&safe, &[map_entry(3, "gateway-devel", "")]),
        "raw_llb",
    );
    allowed(judge(&raw, &[message(2, &definition)]));
    allowed(frontend(&raw, &[message(1, &definition)]));
    refused(frontend(&safe, &[text(2, "other.v0")]), "message");
    refused(
        frontend(&safe, &[text(11, "{\"name\":\"eA==\"}")]),
        "outputs",
    );
}

/// What the engine has by a digest it takes from its store, so the name is all that can be judged.
#[test]
fn a_digest_makes_no_name_listed_and_a_listed_name_has_any_digest() {
    let build = build("");
    let digest = format!("sha256:{}", "a1".repeat(32));
    for (name, listed) in [
        ("docker.io/library/any", true),
        ("docker.io/library/any:1", true),
        ("registry.example.com/private", false),
        ("docker.io/private/any", false),
    ] {
        let image = format!("docker-image://{name}@{digest}");
        assert_eq!(build.lists(&image), listed, "{image}");
    }
    let image = format!("docker-image://docker.io/library/any@{digest}");
    let definition = message(1, &message(3, &text(1, &image)));
    let entry = [text(1, "base"), message(2, &definition)].concat();
    allowed(judge(&build, &[message(10, &entry)]));
    refused(judge(&build, &[message(2, &definition)]), "raw_llb");
}

#[test]
fn cache_mounts_stay_in_the_clients_namespace() {
    let mount = |id: &str| {
        let mount = [number(6, 3), message(20, &text(1, id))].concat();
        message(2, &message(1, &message(2, &message(2, &mount))))
    };
    let own = build("raw_llb = true");
    allowed(judge(&own, &[mount("ns/a")]));
    for id in ["a", "", "ns", "nsx/a", "other/a"] {
        refused(judge(&own, &[mount(id)]), "cache_mounts");
    }
    let shared = build("raw_llb = true\ncache_mounts = \"shared\"");
    allowed(judge(&shared, &[mount("a")]));
}

#[test]
fn the_appended_rules_are_anchored_and_constrain_what_git_fetches() {
    let build = build(
        "sources = [\"registry.example.com:5000/a/*:1.2\", \"https://github.com/example/**\", \"ssh://git@host/x\"]",
    );
    let rules = String::from_utf8_lossy(build.source_policy()).into_owned();
    for rule in [
        r"^docker-image://registry\.example\.com:5000/a/[a-z0-9]+([._-]+[a-z0-9]+)*:1\.2$",
        r"^https://github\.com/example(/\.?[A-Za-z0-9_~+=,!$-][A-Za-z0-9._~+=,!$:-]*)+$",
        r"^(git|https)://()?github\.com/example",
        "git.fullurl",
        "git.bundle",
        r"|git@host:x(\.git)?(#[^#\r\n]*)?)$",
    ] {
        assert!(rules.contains(rule), "{rule} in {rules}");
    }
}

#[test]
fn every_identifier_is_refused_first_whatever_characters_it_has() {
    // Version 1, then the first rule: deny the regular expression `^`. The wildcard `*` would not match a line break.
    let selector = [&text(1, "^")[..], &number(2, 2)].concat();
    let rule = [&number(1, 1)[..], &message(2, &selector)].concat();
    let first = [&number(1, 1)[..], &message(2, &rule)].concat();
    for text in ["", "sources = [\"**\", \"https://github.com/example/**\"]"] {
        let build = build(text);
        let mut fields = buildkit::wire::Fields::new("SolveRequest", build.source_policy());
        let field = fields.next_field().expect("readable").expect("a field");
        assert_eq!(field.number, 12);
        let policy = field.bytes().expect("a message");
        assert!(policy.starts_with(&first), "{policy:?}");
        assert!(fields.next_field().expect("readable").is_none());
    }
}

#[test]
fn patterns_that_would_match_more_than_they_say_are_faults() {
    for (line, part) in [
        ("sources = [\"https://github.com\"]", "expected a path"),
        ("sources = [\"https://user@host/x\"]", "no user"),
        ("sources = [\"https://host/a/../b\"]", "not a component"),
        ("sources = [\"https://host/a%2e\"]", "not a component"),
        ("sources = [\"https://host/a*\"]", "not a component"),
        ("sources = [\"ftp://host/a\"]", "http, https, git or ssh"),
        ("sources = [\"https://*/a\"]", "host"),
        ("entitlements = [\"network\"]", "network.host"),
        ("outputs = [\"moby\"]", "image"),
        ("cache = [\"s3\\\\\"]", "cache"),
        ("debug = \"yes\"", "debug"),
        ("frontends = [\"docker/dockerfile\"]", "frontends"),
        ("cache_mounts = \"mine\"", "shared"),
        ("source = []", "sources"),
    ] {
        let fault = parsed(line).expect_err(line);
        assert!(fault.contains(part), "{line}: {fault}");
    }
}

#[test]
fn a_role_with_judged_builds_has_no_road_to_root_by_them() {
    let answer = |text: &str| {
        let policy = parsed(text).expect("a policy");
        let role = policy.roles.iter().find(|role| role.name == "maker");
        risk::reach(role.expect("the role"))
    };
    let plain = answer("classic = false");
    assert!(
        plain.root.is_empty() && plain.unknown.is_empty(),
        "{plain:?}"
    );
    assert!(
        plain
            .warnings
            .iter()
            .any(|warning| warning.contains("redirects"))
    );
    assert!(
        !plain
            .warnings
            .iter()
            .any(|warning| warning.contains("opaque"))
    );
    let host = answer("entitlements = [\"network.host\"]");
    assert!(host.root.iter().any(|road| road.contains("network.host")));
}

#[test]
fn the_opaque_grant_and_judged_builds_exclude_each_other() {
    let both = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"maker\"\n[role.maker.limits]\nbuildkit = true\n[role.maker.build]\n";
    let fault = Policy::parse("policy.toml", both)
        .expect_err("two grants")
        .to_string();
    assert!(fault.contains("limits.buildkit"), "{fault}");
}

#[test]
fn a_body_in_front_of_the_judged_calls_is_refused() {
    let policy = parsed("").expect("a policy");
    let client = policy.client_for(&super::support::cn("maker"));
    let classified = docker_api::classify("POST", "/grpc").expect("a target");
    for (body, passes) in [
        (BodyLength::Empty, true),
        (BodyLength::Exact(5), false),
        (BodyLength::Unknown, false),
    ] {
        let request = Request {
            classified: &classified,
            content_type: None,
            content_encoding: None,
            headers: EngineHeaders::default(),
            body,
        };
        match policy.decide(client, &request) {
            Step::Permitted(_) => assert!(passes, "{body:?}"),
            Step::Denied(denied) => assert!(!passes && denied.rule == "body", "{denied}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn buildkit_by_the_classic_request_stays_shut() {
    let policy = parsed("").expect("a policy");
    for (query, rule) in [
        ("version=2", "buildkit"),
        ("version=02", "buildkit"),
        ("ver%73ion=2", "buildkit"),
        ("session=x", "buildkit"),
        ("version=1&session=x", "buildkit"),
        ("version=1&version=2", "parameters"),
        ("session=&session=x", "parameters"),
    ] {
        Ask::new(&policy, "POST", &format!("/v1.45/build?{query}&t=ci/a")).denied(rule);
    }
    let _ = Ask::new(&policy, "POST", "/v1.45/build?version=1&t=ci/a").allowed();
    let _ = Ask::new(&policy, "POST", "/v1.45/build?t=ci/a").allowed();
    let closed = parsed("classic = false").expect("a policy");
    Ask::new(&closed, "POST", "/v1.45/build?t=ci/a").denied("operation");
}

#[test]
fn calls_are_known_by_their_exact_path_alone() {
    use buildkit::Call;
    for call in Call::ALL {
        assert_eq!(Call::from_path(call.path()), Some(*call));
        for path in [
            format!("{}?x=1", call.path()),
            format!("{}/", call.path()),
            call.path().to_uppercase(),
        ] {
            assert_eq!(Call::from_path(&path), None, "{path}");
        }
    }
    assert_eq!(Call::from_path("/moby.buildkit.v1.Control/%50rune"), None);
}

#[test]
fn an_empty_definition_asks_for_nothing() {
    let mut llb = Llb::default();
    llb.definition(b"").expect("readable");
    assert_eq!(llb, Llb::default());
    allowed(judge(&build(""), &[message(2, b"")]));
}

#[test]
fn labels_of_the_gate_are_refused_in_a_builds_options() {
    let safe = build("");
    for key in ["label:dockgate.owner", "label:Dockgate.memory"] {
        refused(judge(&safe, &[map_entry(7, key, "x")]), "owner");
        refused(frontend(&safe, &[map_entry(3, key, "x")]), "owner");
    }
    allowed(judge(
        &safe,
        &[map_entry(7, "label:app.owner", "dockgate.owner")],
    ));
}
