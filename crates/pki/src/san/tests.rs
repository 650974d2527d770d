//! What `--san` takes and refuses, and what it says.

use super::*;

#[test]
fn names_and_addresses_are_typed_by_what_they_are() {
    let table = [
        ("docker.example", "DNS:docker.example"),
        ("Docker.Example", "DNS:docker.example"),
        ("localhost", "DNS:localhost"),
        ("build_host", "DNS:build_host"),
        ("*.hosts.example", "DNS:*.hosts.example"),
        ("xn--bcher-kva.example", "DNS:xn--bcher-kva.example"),
        ("3com.example", "DNS:3com.example"),
        ("192.0.2.10", "IP:192.0.2.10"),
        ("2001:DB8::1", "IP:2001:db8::1"),
        ("::1", "IP:::1"),
        ("DNS:docker.example", "DNS:docker.example"),
        ("dns:docker.example", "DNS:docker.example"),
        ("IP:10.0.0.1", "IP:10.0.0.1"),
        ("IP:::1", "IP:::1"),
    ];
    for (text, expected) in table {
        assert_eq!(
            San::parse(text).map(|san| san.to_string()).expect(text),
            expected,
            "{text}"
        );
    }
}

#[test]
fn what_no_client_would_match_is_refused_with_what_to_write_instead() {
    let table = [
        ("", "is empty", "host name"),
        (
            "https://docker.example:2376/v1",
            "is a URL",
            "write docker.example",
        ),
        ("tcp://[2001:db8::1]:2376", "is a URL", "write 2001:db8::1"),
        ("docker.example:2376", "has a port", "write docker.example"),
        ("192.0.2.10:2376", "has a port", "write 192.0.2.10"),
        ("[::1]", "has brackets", "write ::1"),
        ("10.0.0.0/8", "is a network", "write 10.0.0.0"),
        ("fe80::1%eth0", "has a zone", "global address"),
        ("docker.example.", "ends with a dot", "write docker.example"),
        ("ops@docker.example", "is a mail address", "after the @"),
        ("bücher.example", "is not ASCII", "xn--"),
        ("*", "wildcard", "write *.hosts.example"),
        ("*.example", "top-level", "write *.hosts.example"),
        (
            "web*.hosts.example",
            "not the whole first label",
            "write *.hosts.example",
        ),
        (
            "a.*.example",
            "not the whole first label",
            "write *.hosts.example",
        ),
        (
            "*.*.example.org",
            "not the whole first label",
            "write *.hosts.example",
        ),
        ("a..example", "empty label", "single dots"),
        (".example", "empty label", "single dots"),
        ("-a.example", "dash", "check the name"),
        ("two words", "no host name has", "--san"),
        ("256.1.1.1", "looks like an address", "0 to 255"),
        ("1.2.3", "looks like an address", "0 to 255"),
        ("0.0.0.0", "listen on", "addresses clients use"),
        ("::", "listen on", "addresses clients use"),
        (
            "::ffff:192.0.2.1",
            "IPv4 address in IPv6 form",
            "write 192.0.2.1",
        ),
        ("IP:docker.example", "typed as IP", "DNS:host.example"),
        ("DNS:192.0.2.1", "typed as DNS", "write IP:192.0.2.1"),
    ];
    for (text, why, instead) in table {
        let error = San::parse(text).expect_err(text);
        let hint = error.hint().unwrap_or_default().into_owned();
        assert!(error.to_string().contains(why), "{text}: {error}");
        assert!(hint.contains(instead), "{text}: {hint}");
    }
    let long_label = format!("{}.example", "a".repeat(64));
    assert!(San::parse(&long_label).is_err());
    let long_name = vec!["abcdefghi"; 26].join(".");
    assert!(San::parse(&long_name).is_err());
}

#[test]
fn a_wildcard_covers_one_label_and_not_itself_more_or_less() {
    let wild = San::Dns("*.hosts.example".into());
    let covers = |name: &str| wild.covers(&San::Dns(name.into()));
    assert!(covers("a.hosts.example"));
    assert!(covers("A.Hosts.Example"));
    assert!(!covers("hosts.example"));
    assert!(!covers("a.b.hosts.example"));
    assert!(covers("*.hosts.example"));
}

#[test]
fn this_host_is_reachable_by_its_loopback_names() {
    let sans = of_this_host();
    for wanted in ["DNS:localhost", "IP:127.0.0.1", "IP:::1"] {
        assert!(
            sans.iter().any(|san| san.to_string() == wanted),
            "{wanted} in {sans:?}"
        );
    }
    assert!(sans.len() <= MAX_SANS);
}

proptest::proptest! {
    #[test]
    fn any_text_is_either_refused_or_becomes_a_name_that_survives_encoding(text in "\\PC{0,80}") {
        if let Ok(san) = San::parse(&text) {
            proptest::prop_assert!(san.to_rcgen().is_ok());
            proptest::prop_assert_eq!(San::parse(&san.to_string()).ok(), Some(san));
        }
    }

    #[test]
    fn every_host_like_text_is_read_the_same_twice(text in "[a-zA-Z0-9*_.:/\\[\\]-]{1,40}") {
        if let Ok(san) = San::parse(&text) {
            proptest::prop_assert_eq!(San::parse(&san.to_string()).ok(), Some(san));
        }
    }
}
