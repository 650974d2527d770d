//! What the engine is made to connect to on a client's behalf, by whatever parameter, body or header.

use policy::risk::RootAnswer;
use policy::{EngineHeaders, Host, HostPattern, Policy};
use proptest::prelude::*;

use crate::support::{Ask, create, limits, role};

/// Every operation that may fetch, with these limits.
fn fetching(limits: &str) -> Policy {
    role(&format!(
        "allow = [\"*\"]\n[role.team.limits]\ntags = [\"docker.io/team/**\"]\n{limits}"
    ))
}

/// Hosts that trust their neighbours, in the spellings of resolvers and libraries.
const NEAR: &[&str] = &[
    "127.0.0.1:18081",
    "localhost:18081",
    "localhost.localdomain:18081",
    "localhost4.localdomain4:18081",
    "localhost6.localdomain6:18081",
    "kubernetes.default.svc",
    "api.service.consul:8500",
    "vault.corp",
    "[::1]:18081",
    "169.254.169.254:80",
    "10.0.0.1:80",
    "192.168.1.1:80",
    "0.0.0.0:80",
    "127.1:80",
    "metadata.google.internal:80",
    "host.docker.internal:80",
];

/// Requests that make the engine connect to a host, which stands for `HOST`.
const OUTBOUND: &[(&str, &str, &str)] = &[
    ("GET", "/distribution/HOST/x/json", ""),
    ("GET", "/images/search?term=HOST/x", ""),
    ("POST", "/images/create?fromImage=HOST/x&tag=1", ""),
    ("POST", "/images/create?fromImage=HOST/x", ""),
    ("POST", "/images/create?fromSrc=http://HOST/x.tar", ""),
    ("POST", "/images/create?fromSrc=HOST/x.tar", ""),
    (
        "POST",
        "/images/create?fromSrc=http://user:word@HOST/x.tar",
        "",
    ),
    ("GET", "/plugins/privileges?remote=HOST/x", ""),
    ("POST", "/plugins/pull?remote=HOST/x:1", "[]"),
    ("POST", "/plugins/team/p/upgrade?remote=HOST/x:1", "[]"),
    (
        "POST",
        "/auth",
        r#"{"username":"a","password":"b","serveraddress":"HOST"}"#,
    ),
    (
        "POST",
        "/auth",
        r#"{"username":"a","password":"b","serveraddress":"https://HOST/v2/"}"#,
    ),
    (
        "POST",
        "/services/create",
        r#"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"HOST/x:1"}}}"#,
    ),
    (
        "POST",
        "/services/a/update?version=1",
        r#"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"HOST/x:1"}}}"#,
    ),
    (
        "POST",
        "/swarm/join",
        r#"{"RemoteAddrs":["HOST"],"JoinToken":"t"}"#,
    ),
    ("POST", "/swarm/init", r#"{"AdvertiseAddr":"HOST"}"#),
    (
        "POST",
        "/swarm/update?version=1",
        r#"{"CAConfig":{"ExternalCAs":[{"Protocol":"cfssl","URL":"https://HOST/sign"}]}}"#,
    ),
];

#[test]
fn nothing_connects_to_a_neighbour_that_is_not_listed() {
    let everything = fetching("images = [\"**\"]\nfetch = [\"*\", \"*.example.com\"]");
    let usual = fetching("images = [\"**\"]");
    for host in NEAR {
        for (method, target, body) in OUTBOUND {
            // A name of an image has no brackets but those of an address, and the router none at all.
            if host.starts_with('[') && target.starts_with("/distribution") {
                continue;
            }
            let (target, body) = (target.replace("HOST", host), body.replace("HOST", host));
            for policy in [&everything, &usual] {
                let denied = Ask::new(policy, method, &target).body(&body).run().0;
                let denied = denied.expect_err(&format!("{method} {target} {body}"));
                assert!(
                    matches!(denied.rule, "fetch" | "images"),
                    "{method} {target}: {denied}"
                );
            }
        }
    }
}

#[test]
fn a_listed_host_is_reached_and_its_neighbours_port_is_not() {
    let policy = fetching("images = [\"**\"]\nfetch = [\"127.0.0.1:5000\", \"files.example.com\"]");
    for (method, target, body) in OUTBOUND {
        for (host, good) in [
            ("127.0.0.1:5000", true),
            ("FILES.example.com", true),
            ("127.0.0.1:5001", false),
            ("files.example.com:8443", false),
            ("example.com", false),
            ("evil-files.example.com", false),
        ] {
            let (target, body) = (target.replace("HOST", host), body.replace("HOST", host));
            let ask = Ask::new(&policy, method, &target).body(&body);
            match good {
                true => _ = ask.allowed(),
                false => _ = ask.denied("fetch"),
            }
        }
    }
}

#[test]
fn docker_hub_and_the_registries_that_are_named_need_no_list() {
    for (limits, image, rule) in [
        ("images = [\"**\"]", "busybox:1", None),
        (
            "images = [\"**\"]",
            "index.docker.io/library/busybox:1",
            None,
        ),
        ("images = [\"**\"]", "quay.io/x/y:1", Some("fetch")),
        ("images = [\"**\"]", "ghcr.io/x/y:1", Some("fetch")),
        (
            "images = [\"**\"]\nfetch = [\"ghcr.io\"]",
            "ghcr.io/x/y:1",
            None,
        ),
        ("images = [\"**\", \"quay.io/**\"]", "quay.io/x/y:1", None),
        (
            "images = [\"localhost:5000/**\"]",
            "localhost:5000/y:1",
            None,
        ),
        (
            "images = [\"registry.example.com/team/**\"]",
            "registry.example.com/team/y:1",
            None,
        ),
        (
            "images = [\"registry.example.com/team/**\"]",
            "registry.example.com/other/y:1",
            Some("images"),
        ),
        (
            "images = [\"registry.example.com/**\"]",
            "busybox:1",
            Some("images"),
        ),
    ] {
        let policy = fetching(limits);
        let target = format!("/images/create?fromImage={image}");
        let ask = Ask::new(&policy, "POST", &target);
        match rule {
            None => _ = ask.allowed(),
            Some(rule) => _ = ask.denied(rule),
        }
    }
    // What runs from local images connects to nothing.
    let body = create("").replace("busybox", "quay.io/x/y");
    let _ = Ask::new(&fetching(""), "POST", "/containers/create")
        .body(&body)
        .allowed();
    // A search of Docker Hub has no host, whatever is searched for.
    for term in ["busybox", "library/busybox", "team/app", ""] {
        let target = format!("/images/search?term={term}");
        let _ = Ask::new(&fetching(""), "GET", &target).allowed();
    }
    let _ = Ask::new(&fetching(""), "POST", "/auth")
        .body(r#"{"username":"a","password":"b","serveraddress":"https://index.docker.io/v1/"}"#)
        .allowed();
}

#[test]
fn a_push_goes_only_where_tags_or_fetch_say() {
    let policy = role(
        "allow = [\"image.push\", \"plugin.push\"]\n[role.team.limits]\ntags = [\"**\"]\nfetch = [\"ghcr.io\"]",
    );
    for name in ["team/app", "ghcr.io/team/app"] {
        for target in [
            format!("/images/{name}/push?tag=1"),
            format!("/plugins/{name}/push"),
        ] {
            let _ = Ask::new(&policy, "POST", &target).allowed();
        }
    }
    for name in ["quay.io/team/app", "127.0.0.1:5000/app", "localhost/app"] {
        for target in [
            format!("/images/{name}/push?tag=1"),
            format!("/plugins/{name}/push"),
        ] {
            Ask::new(&policy, "POST", &target).denied("fetch");
        }
    }
}

#[test]
fn a_log_drivers_options_are_addresses_sockets_and_files() {
    let policy = fetching(
        "log_drivers = [\"syslog\", \"fluentd\", \"gelf\", \"splunk\", \"awslogs\"]\nfetch = [\"logs.example.com:514\"]\nbinds = [\"/run/log/**\"]",
    );
    for (driver, key, value, rule) in [
        (
            "syslog",
            "syslog-address",
            "tcp://logs.example.com:514",
            None,
        ),
        ("syslog", "syslog-address", "unix:///run/log/a.sock", None),
        ("syslog", "syslog-facility", "daemon", None),
        ("syslog", "syslog-tls-ca-cert", "/run/log/ca.pem", None),
        (
            "syslog",
            "syslog-address",
            "udp://127.0.0.1:514",
            Some("fetch"),
        ),
        (
            "syslog",
            "syslog-address",
            "unix:///var/run/docker.sock",
            Some("binds"),
        ),
        (
            "syslog",
            "syslog-address",
            "unixgram:///var/run/docker.sock",
            Some("binds"),
        ),
        ("syslog", "syslog-tls-key", "/etc/shadow", Some("binds")),
        (
            "fluentd",
            "fluentd-address",
            "127.0.0.1:24224",
            Some("fetch"),
        ),
        (
            "fluentd",
            "fluentd-address",
            "unix:///run/docker.sock",
            Some("binds"),
        ),
        (
            "gelf",
            "gelf-address",
            "udp://169.254.169.254:1",
            Some("fetch"),
        ),
        (
            "splunk",
            "splunk-url",
            "https://10.1.2.3:8088",
            Some("fetch"),
        ),
        ("splunk", "splunk-capath", "/etc/x", Some("binds")),
        (
            "awslogs",
            "awslogs-endpoint",
            "http://169.254.169.254",
            Some("fetch"),
        ),
        (
            "awslogs",
            "awslogs-credentials-endpoint",
            "/creds",
            Some("fetch"),
        ),
    ] {
        let host = format!(
            r#"{{"Image":"a","HostConfig":{{"LogConfig":{{"Type":"{driver}","Config":{{"{key}":"{value}"}}}}}}}}"#
        );
        let service = format!(
            r#"{{"Name":"a","TaskTemplate":{{"ContainerSpec":{{"Image":"a"}},"LogDriver":{{"Name":"{driver}","Options":{{"{key}":"{value}"}}}}}}}}"#
        );
        for (target, body) in [
            ("/containers/create", &host),
            ("/services/create", &service),
        ] {
            let ask = Ask::new(&policy, "POST", target).body(body);
            match rule {
                None => _ = ask.allowed(),
                Some(rule) => _ = ask.denied(rule),
            }
        }
    }
}

#[test]
fn credentials_are_sent_only_with_what_takes_them() {
    let policy = fetching("");
    let with = |names: &[&str], method: &str, target: &str| {
        let mut ask = Ask::new(&policy, method, target);
        for name in names {
            ask.headers.note(name);
        }
        ask.run().0.map(drop).map_err(|denied| denied.rule)
    };
    for (names, method, target, expected) in [
        (
            &["X-Registry-Auth"][..],
            "POST",
            "/images/create?fromImage=a&tag=1",
            Ok(()),
        ),
        (
            &["x-registry-auth"],
            "POST",
            "/images/team/a/push?tag=1",
            Ok(()),
        ),
        (&["X-Registry-Config"], "POST", "/build", Ok(())),
        (
            &["X-Meta-Who", "X-Other"],
            "GET",
            "/containers/json",
            Ok(()),
        ),
        (
            &["X-Registry-Auth"],
            "GET",
            "/containers/json",
            Err("headers"),
        ),
        (
            &["X-Registry-Config"],
            "POST",
            "/images/create?fromImage=a&tag=1",
            Err("headers"),
        ),
        (
            &["X-Registry-Else"],
            "POST",
            "/images/create?fromImage=a&tag=1",
            Err("headers"),
        ),
        (&["X-REGISTRY-AUTH"], "GET", "/info", Err("headers")),
    ] {
        assert_eq!(with(names, method, target), expected, "{names:?} {target}");
    }
    assert_eq!(EngineHeaders::default(), {
        let mut headers = EngineHeaders::default();
        headers.note("X-Registry");
        headers.note("é-registry-auth");
        headers
    });
}

#[test]
fn an_entry_of_fetch_is_a_host_and_nothing_else() {
    for good in [
        "files.example.com",
        "10.0.0.5:5000",
        "[::1]:5000",
        "localhost",
        "*.example.com",
        "*",
        "a_b.example",
    ] {
        let pattern = HostPattern::parse(good).unwrap_or_else(|why| panic!("{good}: {why}"));
        assert_eq!(pattern.to_string(), good);
    }
    for bad in [
        "",
        "http://files.example.com",
        "files.example.com/x",
        "*.com/x",
        "a*.example.com",
        "*.local",
        "*.0.0.1",
        "host:0",
        "host:99999",
        "host:",
        "::1",
        "a b",
        "user@host",
        "*.example.com:80",
        "ho%73t",
        "höst.example",
    ] {
        assert!(HostPattern::parse(bad).is_err(), "{bad}");
    }
    let text = |entry: &str| {
        format!(
            "version = 1\n[[client]]\nmatch = {{ any = true }}\nrole = \"x\"\n[role.x]\nbase = \"deployer\"\n[role.x.limits]\nfetch = [\"{entry}\"]\n"
        )
    };
    assert!(Policy::parse("t", &text("files.example.com")).is_ok());
    let error = Policy::parse("t", &text("https://files.example.com/")).expect_err("an address");
    assert!(
        error.to_string().contains("without scheme and path"),
        "{error}"
    );
}

#[test]
fn an_address_has_one_host() {
    for (address, host) in [
        ("http://files.example.com/a", Some("files.example.com")),
        ("https://files.example.com:443/a", Some("files.example.com")),
        (
            "http://files.example.com:443/a",
            Some("files.example.com:443"),
        ),
        ("http://a:b@files.example.com?x", Some("files.example.com")),
        ("http://good.example@evil.example/", Some("evil.example")),
        ("http://good.example#@evil.example/", Some("good.example")),
        ("HTTP://Files.Example.com.", Some("files.example.com")),
        ("files.example.com/x", Some("files.example.com")),
        ("http://[::1]:80/", Some("[::1]")),
        ("http://%31%32%37.0.0.1/", None),
        ("http://１２７.0.0.1/", None),
        ("http://a\\b/", None),
        ("http://a b/", None),
        ("http:///x", None),
        ("", None),
    ] {
        let read = Host::of_address(address).map(|host| host.to_string());
        assert_eq!(read.as_deref(), host, "{address}");
    }
}

#[test]
fn a_domain_of_ones_own_is_listed_with_all_below_it() {
    let policy = fetching("fetch = [\"*.example.com\"]");
    for (host, good) in [
        ("a.example.com", true),
        ("b.a.example.com", true),
        ("example.com", false),
        ("badexample.com", false),
        ("example.com.evil.org", false),
        (".example.com", false),
    ] {
        let target = format!("/images/create?fromSrc=https://{host}/x");
        let ask = Ask::new(&policy, "POST", &target);
        match good {
            true => _ = ask.allowed(),
            false => _ = ask.denied("fetch"),
        }
    }
}

#[test]
fn what_swarms_other_settings_say_passes() {
    let policy = fetching("");
    let _ = Ask::new(&policy, "POST", "/swarm/update?version=1&rotateWorkerToken=true")
        .body(r#"{"Name":"default","Labels":{},"Orchestration":{"TaskHistoryRetentionLimit":5},"Raft":{},"Dispatcher":{},"CAConfig":{"NodeCertExpiry":7776000000000000},"TaskDefaults":{},"EncryptionConfig":{"AutoLockManagers":false}}"#)
        .allowed();
    let _ = Ask::new(&policy, "POST", "/swarm/init")
        .body(r#"{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"","Spec":{}}"#)
        .allowed();
}

#[test]
fn every_base_role_refuses_what_is_not_listed() {
    for base in ["read-only", "operator", "deployer", "watchtower", "ci"] {
        let policy = role(&format!("base = \"{base}\"\n[role.team.limits]\ntags = []"));
        Ask::new(&policy, "GET", "/distribution/127.0.0.1:18081/x/json").denied("fetch");
        Ask::new(&policy, "GET", "/images/search?term=127.0.0.1:18081/x").denied("fetch");
        let _ = Ask::new(&policy, "GET", "/distribution/busybox/json").allowed();
    }
    let _ = Ask::new(&limits(""), "GET", "/images/search?term=busybox").allowed();
}

#[test]
fn check_says_where_fetch_leads() {
    for (entry, answer) in [
        ("*", RootAnswer::Yes),
        ("169.254.169.254", RootAnswer::Yes),
        ("metadata.google.internal", RootAnswer::Yes),
        ("127.0.0.1:5000", RootAnswer::CannotTell),
        ("registry:5000", RootAnswer::CannotTell),
        ("ghcr.io", RootAnswer::No),
        ("*.example.com", RootAnswer::No),
    ] {
        let text = format!(
            "base = \"read-only\"\n[role.team.limits]\nimages = [\"busybox\"]\nfetch = [\"{entry}\"]"
        );
        let policy = role(&text);
        let found = policy::risk::reach(policy.roles.last().expect("a role"));
        assert_eq!(found.answer(), answer, "{entry}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes before the host and behind it, the wildcard never reaches an address.
    #[test]
    fn no_spelling_of_an_address_passes_the_wildcard(
        user in "[a-z:]{0,6}@?", octets in prop::collection::vec(any::<u8>(), 4), port in 1u16.., path in "[/?#][a-z@.]{0,8}",
    ) {
        let dotted = octets.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
        let number = u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]]);
        for host in [dotted, number.to_string(), format!("0x{number:x}"), format!("{}.{}", octets[0], octets[1])] {
            let address = format!("http://{user}{host}:{port}{path}");
            if let Some(host) = Host::of_address(&address) {
                prop_assert!(!HostPattern::Any.admits(&host), "{} {}", address, host);
            }
        }
    }
}
