//! Image names, normalised as distribution/reference does, and the patterns over them.

use policy::{ImageName, ImagePattern, Reference};
use proptest::prelude::*;

use crate::support::{Ask, limits};

fn name(text: &str) -> Option<String> {
    Reference::parse(text).map(|reference| reference.to_string())
}

#[test]
fn names_are_normalised_as_the_engine_does() {
    for (text, expected) in [
        ("busybox", Some("docker.io/library/busybox")),
        ("busybox:1", Some("docker.io/library/busybox:1")),
        ("docker.io/busybox", Some("docker.io/library/busybox")),
        ("index.docker.io/busybox", Some("docker.io/library/busybox")),
        ("library/busybox", Some("docker.io/library/busybox")),
        ("team/app", Some("docker.io/team/app")),
        ("localhost/app", Some("localhost/app")),
        ("localhost:5000/app:1", Some("localhost:5000/app:1")),
        (
            "registry.example.com/a/b:1",
            Some("registry.example.com/a/b:1"),
        ),
        (
            "evil/registry.example.com/x",
            Some("docker.io/evil/registry.example.com/x"),
        ),
        ("Registry/app", Some("Registry/app")),
        ("a__b-c--d.e", Some("docker.io/library/a__b-c--d.e")),
        ("[::1]:5000/app", Some("[::1]:5000/app")),
        ("Busybox", None),
        ("team/App", None),
        ("a..b", None),
        ("a/../b", None),
        ("a//b", None),
        ("-a", None),
        ("a:", None),
        ("a:-x", None),
        ("a@sha256:zz", None),
        ("a b", None),
        ("", None),
        ("a\n", None),
    ] {
        assert_eq!(name(text).as_deref(), expected, "{text}");
    }
    let digest = format!("busybox:1@sha256:{}", "a".repeat(64));
    let reference = Reference::parse(&digest).expect("tag and digest");
    assert_eq!(
        (reference.name.as_str(), reference.tag.as_deref()),
        ("docker.io/library/busybox", Some("1"))
    );
}

#[test]
fn patterns_match_whole_components() {
    let matches = |pattern: &str, image: &str| {
        let image = ImageName::parse(image).expect("an image");
        ImagePattern::parse(pattern)
            .expect("a pattern")
            .admits(&image)
    };
    for (pattern, image, expected) in [
        (
            "registry.example.com/team-a/**",
            "registry.example.com/team-a/app:1",
            true,
        ),
        (
            "registry.example.com/team-a/**",
            "registry.example.com/team-a/x/y",
            true,
        ),
        (
            "registry.example.com/team-a/**",
            "registry.example.com/team-a.evil/x",
            false,
        ),
        (
            "registry.example.com/team-a/**",
            "registry.example.com/team-a",
            false,
        ),
        (
            "registry.example.com/team-a/**",
            "evil/registry.example.com/team-a/x",
            false,
        ),
        (
            "registry.example.com/**",
            "registry.example.com.evil.org/x",
            false,
        ),
        ("registry.example.com/**", "registry.example.com/x", true),
        (
            "registry.example.com/*/app",
            "registry.example.com/a/app",
            true,
        ),
        (
            "registry.example.com/*/app",
            "registry.example.com/a/b/app",
            false,
        ),
        ("docker.io/library/**", "busybox", true),
        ("docker.io/library/**", "team/busybox", false),
        ("team/**", "team/app", true),
        ("busybox", "docker.io/library/busybox:9", true),
        ("busybox:1", "busybox:1", true),
        ("busybox:1", "busybox", false),
        ("busybox:latest", "busybox", true),
        ("**", "anything/at:all", true),
    ] {
        assert_eq!(matches(pattern, image), expected, "{pattern} {image}");
    }
    for pattern in ["", "a/**/b", "reg*/x", "A", "a..b", "/a", "a/", "a:"] {
        assert!(ImagePattern::parse(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn a_bare_id_passes_only_with_every_image() {
    let id = "a".repeat(64);
    let body = |image: &str| format!(r#"{{"Image":"{image}"}}"#);
    let (some, all) = (limits(r#"images = ["docker.io/**"]"#), limits(""));
    for image in [id.as_str(), "cafe", "sha256:abcd", &format!("sha256:{id}")] {
        Ask::new(&some, "POST", "/containers/create")
            .body(&body(image))
            .denied("images");
        let _ = Ask::new(&all, "POST", "/containers/create")
            .body(&body(image))
            .allowed();
    }
    let _ = Ask::new(&some, "POST", "/containers/create")
        .body(&body("cafe:latest"))
        .allowed();
}

#[test]
fn a_pull_is_judged_by_the_name_the_engine_will_pull() {
    let policy = limits(r#"images = ["docker.io/library/**", "registry.example.com/ok"]"#);
    for query in [
        "fromImage=evil/x",
        "fromImage=registry.example.com/ok/evil",
        "fromImage=ok&tag=../x",
        "fromImage=Library/x",
        "fromImage=sha256:abcd&tag=x:y",
    ] {
        let target = format!("/images/create?{query}");
        Ask::new(&policy, "POST", &target).denied("images");
    }
    let digest = format!("fromImage=busybox&tag=sha256:{}", "0".repeat(64));
    for query in [
        "fromImage=busybox&tag=1",
        "fromImage=registry.example.com/ok",
        "fromImage=cafe",
        &digest,
    ] {
        let target = format!("/images/create?{query}");
        let _ = Ask::new(&policy, "POST", &target).allowed();
    }
}

#[test]
fn a_name_that_may_be_run_cannot_be_given_to_an_image_that_may_not() {
    let policy = limits("images = [\"registry.example.com/team/**\"]");
    let to = "repo=registry.example.com/team/x&tag=1";
    for source in ["corp/secret:1", "9f86d081884c", "sha256:9f86d081884c"] {
        let target = format!("/images/{source}/tag?{to}");
        Ask::new(&policy, "POST", &target).denied("images");
    }
    let target = format!("/images/registry.example.com/team/y:2/tag?{to}");
    let _ = Ask::new(&policy, "POST", &target).allowed();
    let _ = Ask::new(
        &limits(""),
        "POST",
        &format!("/images/9f86d081884c/tag?{to}"),
    )
    .allowed();
}

#[test]
fn a_pull_by_digest_and_tag_has_two_readings() {
    let policy = limits("images = [\"registry.example.com/ok:1\"]");
    let digest = format!("sha256:{}", "0".repeat(64));
    let target = format!("/images/create?fromImage=registry.example.com/ok@{digest}&tag=1");
    Ask::new(&policy, "POST", &target).denied("images");
    let target = "/images/create?fromImage=registry.example.com/ok&tag=1";
    let _ = Ask::new(&policy, "POST", target).allowed();
}

#[test]
fn every_way_to_write_a_name_is_held_to_tags() {
    let policy = |tags: &str| {
        crate::support::role(&format!(
            "allow = [\"*\"]\ntarget_check = false\n[role.team.limits]\ntags = {tags}"
        ))
    };
    let (some, every) = (policy("[\"team/**\"]"), policy("[\"**\"]"));
    for (target, name) in [
        ("/commit?container=a&repo=NAME", true),
        ("/images/create?fromSrc=-&repo=NAME", true),
        ("/images/a/tag?repo=NAME", true),
        ("/build?t=NAME", true),
        ("/plugins/create?name=NAME", true),
        ("/plugins/pull?remote=a/p&name=NAME", true),
        ("/plugins/NAME/upgrade?remote=a/p", true),
        ("/plugins/NAME/push", true),
        ("/images/NAME/push?tag=1", true),
        ("/images/NAME/push", true),
        ("/images/load", false),
    ] {
        let (good, evil) = (
            target.replace("NAME", "team/x"),
            target.replace("NAME", "busybox"),
        );
        let _ = Ask::new(&every, "POST", &evil).allowed();
        Ask::new(&some, "POST", &evil).denied("tags");
        if name {
            let _ = Ask::new(&some, "POST", &good).allowed();
        } else {
            Ask::new(&some, "POST", &good).denied("tags");
        }
    }
}

#[test]
fn every_way_to_take_an_image_is_held_to_images() {
    let policy = crate::support::role(
        "allow = [\"*\"]\n[role.team.limits]\ntags = []\nimages = [\"team/**\"]",
    );
    for (method, target) in [
        ("POST", "/images/create?fromImage=NAME&tag=1"),
        ("POST", "/images/create?fromImage=NAME"),
        ("GET", "/distribution/NAME/json"),
        ("GET", "/plugins/privileges?remote=NAME"),
        ("POST", "/plugins/pull?remote=NAME"),
        ("GET", "/images/NAME/get"),
        ("GET", "/images/get?names=team/a&names=NAME"),
    ] {
        let evil = target.replace("NAME", "busybox");
        Ask::new(&policy, method, &evil).denied("images");
        let good = target.replace("NAME", "team/x");
        let _ = Ask::new(&policy, method, &good).allowed();
    }
}

#[test]
fn a_pull_without_a_tag_is_one_of_every_tag() {
    let one = limits("images = [\"busybox:1\"]");
    for query in [
        "fromImage=busybox",
        "fromImage=busybox:",
        "fromImage=busybox&tag=",
    ] {
        let target = format!("/images/create?{query}");
        Ask::new(&one, "POST", &target).denied("images");
        let _ = Ask::new(&limits("images = [\"busybox\"]"), "POST", &target).allowed();
        let _ = Ask::new(&limits(""), "POST", &target).allowed();
    }
    let latest = limits("images = [\"busybox:latest\"]");
    Ask::new(&latest, "POST", "/images/create?fromImage=busybox").denied("images");
    let _ = Ask::new(
        &latest,
        "POST",
        "/images/create?fromImage=busybox&tag=latest",
    )
    .allowed();
    let _ = Ask::new(&one, "POST", "/images/create?fromImage=busybox&tag=1").allowed();
    // Nobody lists every tag by naming one.
    let push = crate::support::role(
        "allow = [\"image.push\"]\n[role.team.limits]\ntags = [\"team/app:all-tags\"]",
    );
    Ask::new(&push, "POST", "/images/team/app/push").denied("tags");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A normalised name is a fixed point, so two spellings cannot be told apart twice.
    #[test]
    fn normalisation_is_idempotent(text in "[a-zA-Z0-9./:_@-]{0,40}") {
        if let Some(reference) = Reference::parse(&text) {
            let once = reference.to_string();
            prop_assert_eq!(Reference::parse(&once).map(|again| again.to_string()), Some(once));
        }
    }

    /// `a/**` admits exactly what has `a`'s components first and at least one more.
    #[test]
    fn a_subtree_pattern_is_a_component_prefix(
        base in prop::collection::vec("[a-z]{1,3}", 1..3),
        image in prop::collection::vec("[a-z]{1,3}", 1..5),
    ) {
        let pattern = ImagePattern::parse(&format!("reg.example/{}/**", base.join("/"))).expect("a pattern");
        let name = ImageName::parse(&format!("reg.example/{}", image.join("/"))).expect("a name");
        prop_assert_eq!(pattern.admits(&name), image.len() > base.len() && image[..base.len()] == base[..]);
    }
}
