//! `policy check`: who could become root on the host, and `--fail-on-root`.

use dockgate::command::policy::PolicyOutcome;
use serde_json::Value;

use super::PolicyFolder;

/// What `check --fail-on-root` says of a file with the entry `ci` in the role `team`.
fn judged(head: &str, role: &str) -> PolicyOutcome {
    let desk = PolicyFolder::new();
    let text = format!(
        "version = 1\n{head}\n[[client]]\nmatch = {{ cn = \"ci\" }}\nrole = \"team\"\n[role.team]\n{role}\n"
    );
    desk.file("one.toml", &text);
    desk.run("check one.toml --fail-on-root", "")
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[track_caller]
fn rooted(outcome: &PolicyOutcome, why: &str) {
    assert_eq!(outcome.code, 1, "{}", outcome.text);
    assert!(outcome.text.contains(why), "{why:?} in\n{}", outcome.text);
    assert!(!outcome.text.contains("\nok: "), "{}", outcome.text);
}

#[track_caller]
fn doubtful(outcome: &PolicyOutcome) {
    assert_eq!(
        (outcome.code, outcome.note.as_str()),
        (
            1,
            "--fail-on-root: whether client \"ci\" could become root on the host cannot be told"
        ),
        "{}",
        outcome.text
    );
    assert!(
        outcome.text.contains("cannot tell  (") && !outcome.text.contains("\nok: "),
        "{}",
        outcome.text
    );
}

#[track_caller]
fn harmless(outcome: &PolicyOutcome) {
    assert_eq!(
        (outcome.code, outcome.note.as_str()),
        (0, ""),
        "{}",
        outcome.text
    );
    assert!(outcome.text.contains("\nok: 1 client"), "{}", outcome.text);
}

#[test]
fn a_bind_of_a_directory_brings_all_below_it_along() {
    let bind = |pattern: &str| {
        let limits = format!("base = \"deployer\"\n[role.team.limits]\nbinds = [\"{pattern}\"]");
        judged("", &limits)
    };
    for (pattern, path) in [
        ("/", "/bin"),
        ("//", "/bin"),
        ("/:ro", "/dev"),
        ("/**:ro", "/dev"),
        ("/etc", "/etc"),
        ("/etc:ro", "/etc/shadow"),
        ("/etc/nginx", "/etc"),
        ("/var", "/var/lib"),
        ("/var:ro", "/var/lib/docker"),
        ("/var/lib:ro", "/var/lib/docker"),
        ("/var/lib/docker/volumes/**:ro", "/var/lib/docker"),
    ] {
        rooted(&bind(pattern), &format!("reaches {path}"));
    }
    rooted(
        &bind("/srv/team/**"),
        "a link to / that a container makes there",
    );
    for pattern in [
        "/srv",
        "/etc/nginx:ro",
        "/etcetera",
        "/var/log",
        "/var/lib/dockers:ro",
    ] {
        doubtful(&bind(pattern));
    }
    for pattern in [
        "/etc/ssl/certs:ro",
        "/usr/share/zoneinfo/**:ro",
        "/etc/localtime:ro",
    ] {
        harmless(&bind(pattern));
    }
}

#[test]
fn who_is_only_reported_on_could_become_root() {
    let said = judged("", "base = \"monitor\"\nmode = \"report\"");
    rooted(
        &said,
        "yes  (mode = \"report\" forwards what it would deny, container.create",
    );
    assert_eq!(
        said.note,
        "--fail-on-root: client \"ci\" could become root on the host"
    );
    // The file's mode holds for strangers too, whatever the roles say.
    let said = judged(
        "mode = \"report\"",
        "base = \"monitor\"\nmode = \"enforce\"",
    );
    rooted(&said, "certificates without an entry  none");
    assert!(
        said.text
            .contains("warning: the file only reports: certificates without an entry")
            && said.text.contains("1 ci (cn)                      team")
            && !said.note.contains("\"ci\""),
        "{}",
        said.text
    );
    let said = judged("mode = \"report\"", "base = \"monitor\"");
    assert_eq!(
        said.note,
        "--fail-on-root: client \"ci\", certificates without an entry could become root on the host"
    );
    harmless(&judged("", "base = \"monitor\""));
}

#[test]
fn built_in_roles_are_only_reported_on_in_a_file_that_reports() {
    let desk = PolicyFolder::new();
    let text =
        "version = 1\nmode = \"report\"\n[[client]]\nmatch = { any = true }\nrole = \"none\"\n";
    desk.file("report.toml", text);
    let run = || desk.run("check report.toml --fail-on-root --json", "");
    let said = run().expect("a policy");
    let json: Value = serde_json::from_str(&said.text).expect("JSON");
    assert_eq!(said.code, 1);
    assert_eq!(json["clients"][0]["mode"], "report");
    assert!(
        json["clients"][0]["root"][0]
            .as_str()
            .expect("a road")
            .contains("report"),
        "{json}"
    );
    // Everybody has an entry.
    assert_eq!(json["strangers"]["root"], Value::Array(Vec::new()));
    desk.file("report.toml", &text.replace("report", "enforce"));
    assert_eq!(run().expect("a policy").code, 0);
}

#[test]
fn the_tunnels_of_buildkit_count_as_the_hosts_network() {
    let said = judged(
        "",
        "base = \"monitor\"\n[role.team.limits]\nbuildkit = true",
    );
    rooted(
        &said,
        "yes  (buildkit = true (a build with --allow network.host",
    );
    // What ONBUILD of a base image does is not seen.
    doubtful(&judged(
        "",
        "base = \"builder\"\n[role.team.limits]\ntags = []",
    ));
}

#[test]
fn an_entry_of_several_names_needs_a_name_of_its_own() {
    let desk = PolicyFolder::new();
    let check = |keys: &str| {
        let text = format!("version = 1\n[[client]]\n{keys}\nrole = \"admin\"\n");
        desk.file("names.toml", &text);
        desk.run("check names.toml", "").expect("a policy").text
    };
    for keys in [
        "match = { cn = [\"alice\", \"bob\"] }",
        "match = { uri = [\"https://a\", \"https://b\"] }",
        "name = \"bob\"\nmatch = { cn = [\"alice\", \"bob\"] }",
    ] {
        let said = check(keys);
        assert!(
            said.contains("is several, and denials and records"),
            "{said}"
        );
    }
    for keys in [
        "match = { cn = \"alice\" }",
        "match = { cn = \"alice\", ou = [\"a\", \"b\"] }",
        "name = \"team\"\nmatch = { cn = [\"alice\", \"bob\"] }",
    ] {
        let said = check(keys);
        assert!(!said.contains("is several"), "{said}");
    }
}
