//! Faults of a policy file: each is told with its line, what was expected, and what was probably meant.

use policy::Policy;

#[track_caller]
fn faults(text: &str) -> String {
    Policy::parse("policy.toml", text)
        .expect_err("the file has a fault")
        .to_string()
}

const CLIENT: &str = "[[client]]\nmatch = { any = true }\nrole = \"monitor\"\n";

#[test]
fn a_plain_file_is_read() {
    let text = format!("version = 1\nmode = \"enforce\"\nmax_body = \"1MiB\"\n{CLIENT}");
    let policy = Policy::parse("policy.toml", &text).expect("no fault");
    assert_eq!((policy.clients.len(), policy.max_body), (1, 1 << 20));
}

#[expect(clippy::too_many_lines, reason = "table")]
#[test]
fn every_fault_has_its_line_and_a_suggestion() {
    for (text, expected) in [
        (
            "version = 1\n[[clent]]\n",
            "policy.toml:2: unknown key \"clent\" in the file\nhint: did you mean \"client\"?",
        ),
        ("version = 2\n", "policy.toml:1: version: expected 1"),
        (
            "mode = \"report\"\n",
            "version is missing, expected `version = 1`",
        ),
        (
            "# nothing yet\n",
            "nothing is in it, expected `version = 1` and `[[client]]` entries",
        ),
        ("version = 1\n", "no `[[client]]` entry"),
        (
            "version = 1\n[[client]]\nmatch = { cn = \"a\" }\nrole = \"opertor\"\n",
            "policy.toml:4: role \"opertor\" does not exist\nhint: did you mean \"operator\"?",
        ),
        (
            "version = 1\n[[client]]\nrole = \"admin\"\n",
            "policy.toml:2: client: `match` is missing",
        ),
        (
            "version = 1\n[[client]]\nmatch = {}\nrole = \"admin\"\n",
            "policy.toml:3: match: expected at least one key",
        ),
        (
            "version = 1\n[[client]]\nmatch = { cn = 3 }\nrole = \"admin\"\n",
            "cn: expected a string or a list of strings",
        ),
        (
            "version = 1\n[[client]]\nmatch = { CN = \"a\" }\nrole = \"admin\"\n",
            "unknown key \"CN\" in match",
        ),
        (
            "version = 1\n[[client]]\nmatch = { cn = \"a*\" }\nrole = \"admin\"\n",
            "names are compared whole",
        ),
        (
            "version = 1\n[[client]]\nmatch = { any = true, cn = \"a\" }\nrole = \"admin\"\n",
            "expected `any = true` and no other key",
        ),
        (
            "version = 1\n[[client]]\nmatch = { spki = \"abc\" }\nrole = \"admin\"\n",
            "spki: expected \"sha256:\" and 32 bytes",
        ),
        (
            "version = 1\n[[client]]\nmatch = { uri = \"spiffe://a/te*/x\" }\nrole = \"admin\"\n",
            "`*` is one whole segment",
        ),
        (
            "version = 1\n[role.admin]\nbase = \"monitor\"\n",
            "policy.toml:2: role \"admin\" is built in",
        ),
        (
            "version = 1\n[role.x]\nbase = \"deplyer\"\n",
            "hint: did you mean \"deployer\"?",
        ),
        (
            "version = 1\n[role.x]\nallow = [\n  \"container.list\",\n  \"container.crete\",\n]\n",
            "policy.toml:5: allow: \"container.crete\" matches no operation, did you mean \"container.create\"?",
        ),
        (
            "version = 1\n[role.x]\ndeny = [\"container.*:rot\"]\n",
            "\"rot\" is no class",
        ),
        (
            "version = 1\n[role.x]\nallow = [\"container\"]\n",
            "expected resource.verb",
        ),
        (
            "version = 1\n[role.x.limits]\nbind = [\"/srv\"]\n",
            "unknown key \"bind\" in limits\nhint: did you mean \"binds\"?",
        ),
        (
            "version = 1\n[role.x.limits]\nbinds = [\"srv/**\"]\n",
            "binds: expected an absolute path",
        ),
        (
            "version = 1\n[role.x.limits]\nbinds = [\"/srv/*\"]\n",
            "other wildcards do not exist",
        ),
        (
            "version = 1\n[role.x.limits]\nbinds = [\"/srv/../etc\"]\n",
            "expected a clean path, which would be \"/etc\"",
        ),
        (
            "version = 1\n[role.x.limits]\nhost_namespaces = [\"net\"]\n",
            "host_namespaces: expected a namespace, found \"net\"",
        ),
        (
            "version = 1\n[role.x.limits]\nprivileged = \"no\"\n",
            "privileged: expected true or false",
        ),
        (
            "version = 1\n[role.x.limits]\nimages = [\"reg*/x\"]\n",
            "images:",
        ),
        ("version = 1\nclient = []\n", "no `[[client]]` entry"),
        (
            "version = 1\nmode = \"enforced\"\n",
            "mode: expected \"enforce\" or \"report\"",
        ),
        (
            "version = 1\nmax_body = \"1GiB\"\n",
            "max_body: expected between",
        ),
        ("version = 1\n[role.x\n", "policy.toml:2:"),
        (
            "version = 1\n[role.x.toggles]\nCONTAINER = 1\n",
            "toggles: \"CONTAINER\" is unknown\nhint: did you mean \"CONTAINERS\"?",
        ),
    ] {
        let found = faults(text);
        assert!(
            found.contains(expected),
            "expected {expected:?} in {found:?}"
        );
    }
}

#[test]
fn names_that_may_be_written_must_be_said() {
    let text = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"builder\"\n";
    assert!(
        faults(text)
            .contains("role \"builder\" may image.push, but limits.tags does not say which names")
    );
    let text = format!("version = 1\n{CLIENT}[role.x]\nallow = [\"image.*\"]\n");
    assert!(faults(&text).contains("limits.tags"));
    let text = format!(
        "version = 1\n{CLIENT}[role.x]\nallow = [\"image.*\"]\n[role.x.limits]\ntags = []\n"
    );
    assert!(Policy::parse("t", &text).is_ok());
    let text = format!("version = 1\n{CLIENT}[role.x]\nallow = [\"image.*:read\"]\n");
    assert!(Policy::parse("t", &text).is_ok());
}

#[test]
fn a_missing_file_is_an_error_and_never_an_open_policy() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("policy.toml");
    let error = Policy::read(&path).expect_err("no such file").to_string();
    assert!(error.contains("policy.toml"), "{error}");
    std::fs::write(&path, format!("version = 1\n{CLIENT}")).expect("written");
    assert!(!Policy::read(&path).expect("a policy").is_open());
}

#[test]
fn each_fault_is_told_once_with_what_was_expected() {
    let file = |entry: &str, role: &str| {
        faults(&format!(
            "version = 1\n[[client]]\nmatch = {entry}\nrole = \"team\"\n[role.team]\nbase = \"monitor\"\n{role}"
        ))
    };
    for (entry, role, line, said) in [
        (
            "{ cm = \"ci\" }",
            "",
            3,
            "unknown key \"cm\" in match\nhint: expected one of any, cn, o, ou, dns",
        ),
        (
            "{ cn = \"ci\" }",
            "[role.team.limits]\ncapabilities = [\"NET_ADMN\"]",
            8,
            "capabilities: expected a capability, found \"NET_ADMN\"\nhint: did you mean \"NET_ADMIN\"?",
        ),
        (
            "{ cn = \"ci\" }",
            "toggles = { POST = \"yes\" }",
            7,
            "POST: expected 0, 1, true or false",
        ),
        (
            "{ cn = \"ci\" }",
            "allow = [\"image.push\"]",
            5,
            "limits.tags does not say which names",
        ),
    ] {
        let found = file(entry, role);
        assert!(found.contains(said), "{found}");
        assert!(found.contains(&format!(":{line}: ")), "{found}");
        assert_eq!(
            found
                .lines()
                .filter(|line| !line.starts_with("hint: "))
                .count(),
            1,
            "{found}"
        );
    }
    // In any spelling the engine takes, and `ALL`.
    let text = "version = 1\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"team\"\n[role.team.limits]\ncapabilities = [\"cap_net_admin\", \"Sys_Ptrace\", \"ALL\"]\n";
    assert!(Policy::parse("t", text).is_ok());
}

#[test]
fn a_file_that_nobody_would_write_is_not_read_to_its_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("policy.toml");
    let text = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"none\"\n";
    let long = |length: usize| {
        let filler = "#".repeat(length - text.len());
        std::fs::write(&path, format!("{text}{filler}")).expect("written");
        Policy::read(&path)
    };
    assert!(long(4 << 20).is_ok());
    let error = long((4 << 20) + 1).expect_err("too long");
    let why = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(
        why.as_deref(),
        Some("it is over 4 MiB, the most that is read")
    );
    assert!(Policy::read(std::path::Path::new("/dev/zero")).is_err());
}

#[test]
fn an_empty_list_that_would_match_nothing_is_an_error() {
    let parse = |keys: &str| {
        let text = format!("version = 1\n[[client]]\nmatch = {{ {keys} }}\nrole = \"monitor\"\n");
        Policy::parse("policy.toml", &text)
    };
    for key in [
        "cn",
        "o",
        "ou",
        "dns",
        "email",
        "uri",
        "spiffe",
        "spki",
        "issuer_spki",
    ] {
        for keys in [format!("{key} = []"), format!("{key} = [], any = true")] {
            assert!(parse(&keys).is_err(), "{keys}");
        }
        let beside = match key {
            "cn" => "o = \"x\"",
            _ => "cn = \"x\"",
        };
        let said = parse(&format!("{beside}, {key} = []")).expect_err("an empty list");
        let expected = format!(
            "policy.toml:3: {key}: an empty list matches nothing, expected at least one value"
        );
        assert!(said.to_string().contains(&expected), "{said}");
        assert!(parse(beside).is_ok());
    }
    // A limit is a list of what is allowed, and may allow nothing.
    let text = "version = 1\n[[client]]\nmatch = { cn = \"x\" }\nrole = \"r\"\n[role.r]\nallow = []\n[role.r.limits]\nimages = []\nvolumes = []\n";
    assert!(Policy::parse("policy.toml", text).is_ok());
}

#[test]
fn what_follows_from_a_fault_is_not_told_beside_it() {
    let file = |role: &str| {
        format!(
            "version = 1\n[[client]]\nmatch = {{ any = true }}\nrole = \"team\"\n[role.team]\n{role}"
        )
    };
    for (role, cause) in [
        // The limit that is missed is the one that is mistyped.
        (
            "base = \"builder\"\n[role.team.limits]\ntag = [\"x/**\"]\n",
            "unknown key \"tag\" in limits",
        ),
        (
            "base = \"builder\"\n[role.team.limits]\ntags = \"x/**\"\nimages = 7\n",
            "images: expected",
        ),
        (
            "allow = [\"build.session\"]\n[role.team.limits]\nbuildkit = \"yes\"\n",
            "buildkit: expected true or false",
        ),
        // The role is there, and cannot be read.
        ("base = 7\n", "base: expected"),
    ] {
        let found = faults(&file(role));
        let told: Vec<_> = found
            .lines()
            .filter(|line| !line.starts_with("hint: "))
            .collect();
        assert!(told.len() == 1 && told[0].contains(cause), "{found}");
    }
    // Beside it: without the fault the consequence is told, and a role that is not there is.
    assert!(faults(&file("base = \"builder\"\n")).contains("limits.tags"));
    assert!(faults(&file("allow = [\"build.session\"]\n")).contains("an opaque tunnel"));
    let other = file("base = 7\n").replace("role = \"team\"", "role = \"other\"");
    assert!(faults(&other).contains("role \"other\" does not exist"));
}
