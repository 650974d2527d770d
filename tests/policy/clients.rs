//! Which certificate is which client.

use pki::identity::Identity;
use policy::{Policy, pin};

use crate::support::cn;

fn matches(table: &str, identity: &Identity) -> bool {
    let text = format!("version = 1\n[[client]]\nmatch = {{ {table} }}\nrole = \"monitor\"\n");
    let policy = Policy::parse("t", &text).unwrap_or_else(|error| panic!("{error}"));
    policy.client(policy.client_for(identity)).is_some()
}

#[test]
fn names_are_exact_and_whole() {
    assert!(matches("cn = \"ci\"", &cn("ci")));
    assert!(matches("cn = [\"x\", \"ci\"]", &cn("ci")));
    for other in ["CI", "ci ", "ci2", "", "c\u{456}"] {
        assert!(!matches("cn = \"ci\"", &cn(other)), "{other}");
    }
    let mut identity = cn("ci");
    identity.organizational_units = vec!["a".into(), "platform".into()];
    assert!(matches("ou = \"platform\"", &identity));
    assert!(matches("ou = \"platform\", cn = \"ci\"", &identity));
    assert!(!matches("ou = \"platform\", cn = \"other\"", &identity));
    assert!(!matches("o = \"platform\"", &identity));
    assert!(matches("any = true", &cn("anybody")));
}

#[test]
fn an_ambiguous_certificate_matches_nothing() {
    let mut two = cn("ci");
    two.common_names.push("admin".into());
    assert!(!matches("cn = \"ci\"", &two));
    assert!(!matches("cn = \"admin\"", &two));
    assert!(!matches("cn = \"ci\"", &cn("ci\u{0}.evil")));
    let mut uris = cn("x");
    uris.uris = vec![
        "spiffe://corp.example/ns/a/sa/x".into(),
        "spiffe://corp.example/ns/b/sa/x".into(),
    ];
    assert!(!matches(
        "spiffe = \"spiffe://corp.example/ns/a/**\"",
        &uris
    ));
    uris.uris.pop();
    assert!(matches("spiffe = \"spiffe://corp.example/ns/a/**\"", &uris));
    let mut wild = cn("x");
    wild.dns = vec!["*.edge.example".into()];
    assert!(!matches("dns = \"*.edge.example\"", &wild));
    assert!(!matches("dns = \"a.edge.example\"", &wild));
}

#[test]
fn dns_wildcards_stand_for_one_label() {
    let name = |dns: &str| {
        let mut identity = cn("x");
        identity.dns = vec![dns.into()];
        identity
    };
    assert!(matches("dns = \"*.edge.example\"", &name("A.Edge.Example")));
    assert!(matches(
        "dns = \"watch.edge.example\"",
        &name("WATCH.edge.example")
    ));
    for other in [
        "a.b.edge.example",
        "edge.example",
        ".edge.example",
        "a.edge.example.evil",
    ] {
        assert!(
            !matches("dns = \"*.edge.example\"", &name(other)),
            "{other}"
        );
    }
}

#[test]
fn emails_have_an_exact_local_part() {
    let name = |email: &str| {
        let mut identity = cn("x");
        identity.emails = vec![email.into()];
        identity
    };
    assert!(matches(
        "email = \"*@ops.example\"",
        &name("Anna@OPS.example")
    ));
    assert!(matches(
        "email = \"anna@ops.example\"",
        &name("anna@ops.Example")
    ));
    assert!(!matches(
        "email = \"anna@ops.example\"",
        &name("Anna@ops.example")
    ));
    assert!(!matches(
        "email = \"*@ops.example\"",
        &name("anna@evil.example@x")
    ));
    assert!(!matches("email = \"*@ops.example\"", &name("@ops.example")));
}

#[test]
fn uri_patterns_are_segments_and_nothing_is_decoded() {
    let name = |uri: &str| {
        let mut identity = cn("x");
        identity.uris = vec![uri.into()];
        identity
    };
    let pattern = "uri = \"spiffe://corp.example/ns/team-a/*\"";
    assert!(matches(
        pattern,
        &name("spiffe://corp.example/ns/team-a/runner")
    ));
    for other in [
        "spiffe://corp.example/ns/team-a/runner/x",
        "spiffe://corp.example/ns/team-a/",
        "spiffe://corp.example/ns/team-a",
        "spiffe://corp.example/ns/team-b/../team-a/runner",
        "spiffe://corp.example/ns/team%2da/runner",
        "spiffe://corp.example/ns/team-a/runner?x",
        "spiffe://corp.example/ns/team-a/runner#x",
        "spiffe://corp.example//ns/team-a/runner",
        "spiffe://evil.example/ns/team-a/runner",
    ] {
        assert!(!matches(pattern, &name(other)), "{other}");
    }
    let deep = "uri = \"spiffe://corp.example/ns/**\"";
    assert!(matches(deep, &name("spiffe://corp.example/ns/a/b/c")));
    assert!(!matches(deep, &name("spiffe://corp.example/ns")));
}

#[test]
fn a_pin_is_one_more_condition_in_base64_or_hex() {
    let pins = [
        "sha256:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=".to_owned(),
        "sha256:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI".to_owned(),
        format!("sha256:{}", "02".repeat(32)),
    ];
    for text in &pins {
        assert_eq!(pin(text), Some([2; 32]));
        assert!(matches(&format!("spki = \"{text}\""), &cn("x")));
        assert!(!matches(
            &format!("spki = \"{text}\", cn = \"y\""),
            &cn("x")
        ));
        assert!(!matches(&format!("issuer_spki = \"{text}\""), &cn("x")));
    }
    assert!(matches(
        &format!("issuer_spki = \"sha256:{}\", cn = \"x\"", "03".repeat(32)),
        &cn("x")
    ));
    for text in ["sha256:", "AgIC", "sha256:AgIC", "sha1:0202"] {
        assert_eq!(pin(text), None);
    }
}

#[test]
fn the_first_match_wins_and_nobody_else_gets_in() {
    let text = "version = 1\n[[client]]\nname = \"revoked\"\nmatch = { cn = \"old\" }\nrole = \"none\"\n\
                [[client]]\nmatch = { any = true }\nrole = \"admin\"\n";
    let policy = Policy::parse("t", text).expect("a policy");
    assert_eq!(policy.role_name(policy.client_for(&cn("old"))), "none");
    assert_eq!(policy.client_name(policy.client_for(&cn("old"))), "revoked");
    assert_eq!(policy.role_name(policy.client_for(&cn("new"))), "admin");
    let text = "version = 1\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"admin\"\n";
    let policy = Policy::parse("t", text).expect("a policy");
    assert_eq!(policy.role_name(policy.client_for(&cn("other"))), "none");
}

#[test]
fn an_entry_covers_what_its_patterns_match_and_no_more() {
    for (first, second, covered) in [
        ("email = \"*@x.y\"", "email = \"joe@X.y\"", true),
        ("email = \"*@x.y\"", "email = \"*@x.y\"", true),
        ("email = \"joe@x.y\"", "email = \"*@x.y\"", false),
        (
            "email = \"*@x.y\"",
            "email = [\"joe@x.y\", \"joe@z.y\"]",
            false,
        ),
        ("dns = \"*.x.y\"", "dns = \"A.X.Y\"", true),
        ("dns = \"a.x.y\"", "dns = \"A.X.Y\"", true),
        ("dns = \"*.x.y\"", "dns = \"a.b.x.y\"", false),
        ("dns = \"a.x.y\"", "dns = \"*.x.y\"", false),
        (
            "spiffe = \"spiffe://x/**\"",
            "spiffe = \"spiffe://x/a/b\"",
            true,
        ),
        (
            "uri = \"spiffe://x/**\"",
            "spiffe = \"spiffe://x/a/*\"",
            true,
        ),
        ("uri = \"spiffe://x/**\"", "uri = \"spiffe://x/a/**\"", true),
        ("uri = \"spiffe://x/*\"", "uri = \"spiffe://x/**\"", false),
        ("uri = \"spiffe://x/*\"", "uri = \"spiffe://x/a/b\"", false),
        // A certificate with another URI besides fits `uri` alone.
        (
            "spiffe = \"spiffe://x/**\"",
            "uri = \"spiffe://x/a\"",
            false,
        ),
        ("dns = \"*.x.y\", cn = \"a\"", "dns = \"a.x.y\"", false),
    ] {
        let entry =
            |table: &str| format!("[[client]]\nmatch = {{ {table} }}\nrole = \"monitor\"\n");
        let text = format!("version = 1\n{}{}", entry(first), entry(second));
        let policy = Policy::parse("t", &text).unwrap_or_else(|error| panic!("{error}"));
        let [first, second] = &policy.clients[..] else {
            panic!("two entries");
        };
        assert_eq!(first.matcher.covers(&second.matcher), covered, "{text}");
    }
}
