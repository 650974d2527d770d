//! The `policy` commands, on files.

mod explain;
mod learn;
mod output;
mod owned;
mod records;
mod root;

use std::path::{Path, PathBuf};

use clap::Parser;
use dockgate::cli::policy::PolicyArgs;
use dockgate::command::policy::{PolicyOutcome, outcome};
use policy::PolicyError;
use serde_json::Value;
use tempfile::TempDir;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    policy: PolicyArgs,
}

struct PolicyFolder(TempDir);

const POLICY: &str = r#"version = 1

[[client]]
match = { cn = "traefik" }
role  = "traefik"

[[client]]
match = { cn = "ci" }
role  = "team"

[[client]]
match = { ou = "platform" }
role  = "admin"

[role.team]
base = "deployer"
allow = ["exec.*"]

[role.team.limits]
images = ["registry.example.com/team/**"]
binds  = ["/srv/team/**"]
volumes = ["data"]
"#;

impl PolicyFolder {
    fn new() -> PolicyFolder {
        let desk = PolicyFolder(tempfile::tempdir().expect("a directory"));
        desk.file("policy.toml", POLICY);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// Words with a dot and no slash are files of the desk.
    fn run(&self, words: &str, input: &str) -> Result<PolicyOutcome, PolicyError> {
        let words = words.split_whitespace().map(|word| {
            match word.ends_with(".toml") || word.ends_with(".jsonl") || word.ends_with(".json") {
                true => match word.split_once('=') {
                    Some((key, file)) => format!("{key}={}", self.path(file).display()),
                    None => self.path(word).display().to_string(),
                },
                false => word.to_owned(),
            }
        });
        let arguments =
            CommandLine::try_parse_from(std::iter::once("policy".to_owned()).chain(words))
                .expect("arguments");
        outcome(&arguments.policy, &mut input.as_bytes())
    }
}

#[test]
fn check_says_what_each_client_may_do_and_whether_it_leads_to_root() {
    let desk = PolicyFolder::new();
    let said = desk.run("check policy.toml", "").expect("a policy");
    assert_eq!(said.code, 0);
    for line in [
        "1 traefik (cn)",
        "2 ci (cn)",
        "yes  (unrestricted)",
        "yes  (binds \"/srv/team/**\" may be written: a link to /",
        "ok: 3 clients, 1 role",
    ] {
        assert!(said.text.contains(line), "{line:?} in\n{}", said.text);
    }
    let narrow = POLICY.replace("binds  = [\"/srv/team/**\"]\n", "");
    desk.file("narrow.toml", &narrow);
    assert_eq!(
        desk.run("check narrow.toml --fail-on-root", "")
            .expect("a policy")
            .code,
        0,
        "an admin is meant to be root"
    );
    desk.file("root.toml", &POLICY.replace("/srv/team/**", "/**"));
    let said = desk
        .run("check root.toml --fail-on-root", "")
        .expect("a policy");
    assert!(
        said.code == 1 && said.text.contains("binds \"/**\""),
        "{}",
        said.text
    );
    desk.file("bad.toml", "version = 1\n[[clients]]\n");
    assert!(
        desk.run("check bad.toml", "")
            .expect_err("a fault")
            .to_string()
            .contains("bad.toml:2: unknown key \"clients\"")
    );
}

#[test]
fn check_lists_the_operations_of_a_role_when_it_is_asked_to() {
    let desk = PolicyFolder::new();
    let said = desk.run("check policy.toml --role team", "");
    let said = said.expect("a policy").text;
    assert!(said.contains("\n\nrole team: "), "{said}");
    let lines: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    for line in [
        "exec create start resize inspect",
        "volume list inspect create delete",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        assert!(lines.contains(&words), "{line:?} in\n{said}");
    }
    assert!(!said.contains("role traefik: "), "{said}");
    // A built-in role that no client has can be looked at too.
    let said = desk.run("check policy.toml --role monitor", "");
    assert!(said.expect("a policy").text.contains("\n\nrole monitor: "));
    let said = desk
        .run("check policy.toml --verbose", "")
        .expect("a policy");
    for role in [
        "role team: ",
        "role traefik: ",
        "role admin: every operation",
    ] {
        assert!(said.text.contains(role), "{role:?} in\n{}", said.text);
    }
    let odd = desk.run("check policy.toml --role teem", "");
    let odd = odd.expect_err("no such role").to_string();
    assert!(odd.contains("has no role \"teem\""), "{odd}");
}

#[test]
fn check_warns_of_an_entry_that_gives_less_behind_one_that_may_match_the_same() {
    let warned = |first: &str, second: &str| {
        let desk = PolicyFolder::new();
        let entry = |entry: &str| format!("[[client]]\n{entry}\n");
        let text = format!(
            "version = 1\n{}{}[role.tight]\nbase = \"deployer\"\n[role.loose]\nbase = \"deployer\"\n[role.loose.limits]\nprivileged = true\n",
            entry(first),
            entry(second)
        );
        desk.file("two.toml", &text);
        let said = desk.run("check two.toml", "").expect("a policy").text;
        said.contains("gives less than")
    };
    let ops = "match = { ou = \"ops\" }\nrole = \"operator\"";
    for second in [
        "match = { cn = \"old-laptop\" }\nrole = \"none\"",
        "match = { o = \"Example\" }\nrole = \"monitor\"",
        "match = { ou = \"trainees\" }\nrole = \"read-only\"",
        "match = { dns = \"*.edge.example\" }\nrole = \"monitor\"",
        "match = { spiffe = \"spiffe://a/b\" }\nrole = \"monitor\"",
    ] {
        assert!(warned(ops, second), "{second}");
    }
    let admin = "match = { spiffe = \"spiffe://corp/*/x\" }\nrole = \"admin\"";
    let less = |key: &str| format!("match = {{ {key} }}\nrole = \"monitor\"");
    assert!(warned(admin, &less("uri = \"spiffe://corp/a/**\"")));
    assert!(!warned(admin, &less("uri = \"spiffe://corp/a/y\"")));
    assert!(!warned(admin, &less("spiffe = \"spiffe://other/**\"")));
    // The same operations, and limits that lead to root or not.
    assert!(warned(
        "match = { ou = \"a\" }\nrole = \"loose\"",
        "match = { ou = \"b\" }\nrole = \"tight\""
    ));
    // One certificate has one common name, and one key.
    let cn = "match = { cn = \"ada\" }\nrole = \"admin\"";
    assert!(!warned(cn, &less("cn = \"bob\"")));
    assert!(warned(
        cn,
        &less("cn = [\"bob\", \"ada\"]").replace("cn =", "ou = \"x\", cn =")
    ));
    // Who gives more may stand behind, and everybody's entry comes last.
    assert!(!warned(
        "match = { cn = \"old-laptop\" }\nrole = \"none\"",
        ops
    ));
    assert!(!warned(ops, "match = { any = true }\nrole = \"none\""));
}

#[test]
fn the_cases_beside_an_example_all_hold() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/policy");
    for name in ["ai-agent", "two-teams", "ci-runner"] {
        let file = |end: &str| examples.join(format!("{name}.{end}")).display().to_string();
        let command = format!("test {} {}", file("toml"), file("jsonl"));
        let said = PolicyFolder::new().run(&command, "").expect("cases");
        assert_eq!(said.code, 0, "{name}: {}", said.text);
        assert!(
            said.text.contains("passed, 0 failed"),
            "{name}: {}",
            said.text
        );
    }
}

#[test]
fn a_pin_of_a_key_is_a_warning_since_a_renewal_brings_another_key() {
    let desk = PolicyFolder::new();
    let pin = format!("sha256:{}", "03".repeat(32));
    let check = |keys: &str| {
        let text = format!(
            "version = 1\n[[client]]\nname = \"ci\"\nmatch = {{ {keys} }}\nrole = \"admin\"\n"
        );
        desk.file("pins.toml", &text);
        desk.run("check pins.toml", "").expect("a policy").text
    };
    let said = check(&format!("cn = \"ci\", spki = \"{pin}\""));
    assert!(
        said.contains("warning line 2: client \"ci\" goes by spki"),
        "{said}"
    );
    let said = check(&format!("cn = \"ci\", issuer_spki = \"{pin}\""));
    assert!(!said.contains("goes by spki"), "{said}");
}

#[test]
fn no_example_has_an_entry_in_the_shadow_of_another() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/policy");
    let mut found = 0;
    for entry in std::fs::read_dir(examples).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        found += 1;
        let said = PolicyFolder::new().run(&format!("check {}", path.display()), "");
        let text = said.expect("a policy").text;
        for word in ["gives less than", "never matches"] {
            assert!(!text.contains(word), "{}: {text}", path.display());
        }
    }
    assert!(found > 9, "{found}");
}

#[test]
fn check_finds_entries_that_never_match_and_names_several_cas_could_issue() {
    let desk = PolicyFolder::new();
    let shadowed = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"monitor\"\n[[client]]\nmatch = { cn = \"late\" }\nrole = \"admin\"\n";
    desk.file("shadow.toml", shadowed);
    let said = desk.run("check shadow.toml", "").expect("a policy").text;
    assert!(
        said.contains("warning line 5: client \"late\" never matches: \"any\" comes first"),
        "{said}"
    );
    let key = rcgen::KeyPair::generate().expect("a key");
    let ca = rcgen::CertificateParams::new(Vec::new())
        .expect("parameters")
        .self_signed(&key)
        .expect("a CA")
        .pem();
    desk.file("one.json", &ca);
    desk.file("two.json", &format!("{ca}{ca}"));
    assert!(
        !desk
            .run("check policy.toml --ca one.json", "")
            .expect("a policy")
            .text
            .contains("CAs could issue")
    );
    assert!(
        desk.run("check policy.toml --ca two.json", "")
            .expect("a policy")
            .text
            .contains("2 CAs could issue it")
    );
}

#[test]
fn check_prints_json() {
    let desk = PolicyFolder::new();
    let said: Value = serde_json::from_str(
        &desk
            .run("check policy.toml --json", "")
            .expect("a policy")
            .text,
    )
    .expect("JSON");
    assert_eq!(said["clients"][1]["role"], "team");
    assert!(
        said["clients"][1]["operations"]
            .as_array()
            .expect("a list")
            .contains(&"container.create".into())
    );
    assert_eq!(said["clients"][2]["root"][0], "unrestricted");
}

#[test]
fn check_prints_the_faults_of_a_file_as_json_too() {
    let desk = PolicyFolder::new();
    desk.file(
        "faulty.toml",
        "version = 1\n[[client]]\nmatch = { cn = \"a\" }\nrole = \"read-onyl\"\n",
    );
    let outcome = desk
        .run("check faulty.toml --json", "")
        .expect("faults are an answer");
    assert_eq!(outcome.code, 78);
    let said: Value = serde_json::from_str(&outcome.text).expect("JSON");
    assert_eq!(said["errors"][0]["line"], 4, "{said}");
    let whole = said["errors"][0].to_string();
    assert!(whole.contains("read-only"), "{whole}");
    // Without the option they are an error, which the program prints.
    assert!(desk.run("check faulty.toml", "").is_err());
}

#[test]
fn test_runs_cases_and_names_those_that_fail() {
    let desk = PolicyFolder::new();
    desk.file(
        "good.jsonl",
        r#"{"name":"lists","cn":"traefik","method":"GET","target":"/containers/json","expect":"allow"}
{"cn":"ci","method":"POST","target":"/containers/create","body":{"Image":"evil"},"expect":"deny","rule":"images"}
{"cn":"ci","method":"POST","target":"/containers/create","body_text":"{\"Image\":\"a\",\"Image\":\"b\"}","expect":"deny","rule":"body"}
{"cn":"ci","method":"POST","target":"/containers/web/exec","body":{"Cmd":["id"]},"answers":{"/containers/web/json":{"Id":"a","HostConfig":{}}},"expect":"allow"}
{"cn":"ci","method":"POST","target":"/containers/web/exec","body":{"Cmd":["id"]},"expect":"unknown"}
{"ou":"platform","method":"POST","target":"/brand/new","expect":"allow"}
{"cn":"ci","method":"GET","target":"//x/%zz","expect":"malformed"}
"#,
    );
    assert_eq!(
        desk.run("test policy.toml good.jsonl", "")
            .expect("an answer"),
        PolicyOutcome {
            text: "7 passed, 0 failed".into(),
            note: String::new(),
            code: 0
        }
    );
    desk.file("bad.jsonl", r#"{"cn":"ci","method":"POST","target":"/containers/create","body":{"Image":"evil"},"expect":"allow"}"#);
    let said = desk
        .run("test policy.toml bad.jsonl", "")
        .expect("an answer");
    assert!(
        said.code == 1 && said.text.contains("expected allow, found deny by images"),
        "{}",
        said.text
    );
    desk.file("odd.jsonl", r#"{"cn":"ci","metod":"POST"}"#);
    assert!(desk.run("test policy.toml odd.jsonl", "").is_err());
    desk.file("empty.jsonl", "\n");
    assert!(
        desk.run("test policy.toml empty.jsonl", "").is_err(),
        "no case is no proof"
    );
}

#[test]
fn a_case_that_can_prove_nothing_is_an_error() {
    let desk = PolicyFolder::new();
    let run = |rest: &str| {
        let line = format!(
            r#"{{"cn":"ci","method":"POST","target":"/containers/create",{rest},"expect":"deny"}}"#
        );
        desk.file("one.jsonl", &line);
        desk.run("test policy.toml one.jsonl", "")
    };
    let both = run(r#""body":{"Image":"evil"},"body_text":"{}""#);
    let said = both.expect_err("two bodies").to_string();
    assert!(
        said.contains("one.jsonl:1: expected body or body_text, found both"),
        "{said}"
    );
    let odd = run(r#""body":{"Image":"evil"},"rule":"image""#);
    let said = odd.expect_err("no such rule").to_string();
    assert!(
        said.contains("rule: \"image\" does not exist\nhint: did you mean \"images\"?"),
        "{said}"
    );
    let good = run(r#""body":{"Image":"evil"},"rule":"images""#);
    assert_eq!(good.expect("a case").text, "1 passed, 0 failed");
}

#[test]
fn every_rule_that_the_policy_names_is_known_to_the_cases() {
    fn sources(dir: &Path, out: &mut String) {
        for entry in std::fs::read_dir(dir).expect("sources") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => sources(&path, out),
                false => out.push_str(&std::fs::read_to_string(&path).expect("text")),
            }
        }
    }
    let mut text = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/policy/src");
    sources(&root, &mut text);
    let desk = PolicyFolder::new();
    let mut found = 0;
    for call in ["never(", "refuse(", "deny(", "rule: \""] {
        for (at, _) in text.match_indices(call) {
            let rest = &text[at + call.len()..];
            let rest = match call.ends_with('"') {
                true => Some(rest),
                false => rest.trim_start().strip_prefix('"'),
            };
            let Some((rule, _)) = rest.and_then(|rest| rest.split_once('"')) else {
                continue;
            };
            found += 1;
            let case = format!(
                r#"{{"cn":"ci","method":"GET","target":"/info","expect":"deny","rule":"{rule}"}}"#
            );
            desk.file("rules.jsonl", &case);
            let said = desk.run("test policy.toml rules.jsonl", "");
            assert!(said.is_ok(), "{rule}: {said:?}");
        }
    }
    assert!(found > 40, "{found}");
    for rule in policy::rules() {
        let case = format!(
            r#"{{"cn":"ci","method":"GET","target":"/info","expect":"deny","rule":"{rule}"}}"#
        );
        desk.file("rules.jsonl", &case);
        let said = desk.run("test policy.toml rules.jsonl", "");
        assert!(said.is_ok(), "{rule}: {said:?}");
    }
}

#[test]
fn a_case_has_a_certificate_with_one_name_of_a_kind_or_several() {
    let desk = PolicyFolder::new();
    desk.file(
        "names.toml",
        "version = 1\n[[client]]\nmatch = { spiffe = \"spiffe://a/b\" }\nrole = \"monitor\"\n[[client]]\nmatch = { cn = \"ci\" }\nrole = \"monitor\"\n[[client]]\nmatch = { uri = \"spiffe://a/c\" }\nrole = \"monitor\"\n",
    );
    let case = |who: &str, expect: &str| {
        format!(r#"{{{who},"method":"GET","target":"/info","expect":"{expect}"}}"#)
    };
    let cases = [
        case(r#""cn":"ci""#, "allow"),
        case(r#""cn":["ci"]"#, "allow"),
        case(r#""cn":["ci","admin"]"#, "deny"),
        case(r#""uri":["spiffe://a/b"]"#, "allow"),
        case(r#""uri":["spiffe://a/b","spiffe://a/x"]"#, "deny"),
        case(r#""uri":["spiffe://a/b","spiffe://a/c"]"#, "allow"),
        case(r#""spiffe":["spiffe://a/b"]"#, "allow"),
        case(r#""cn":[]"#, "deny"),
    ];
    desk.file("cases.jsonl", &cases.join("\n"));
    let said = desk.run("test names.toml cases.jsonl", "").expect("ran");
    assert_eq!(
        (said.code, &*said.text),
        (0, "8 passed, 0 failed"),
        "{}",
        said.text
    );
    desk.file("cases.jsonl", &case(r#""cn":7"#, "allow"));
    let wrong = desk.run("test names.toml cases.jsonl", "");
    let wrong = wrong.expect_err("a number is not a name").to_string();
    assert!(
        wrong.contains("expected a string or a list of strings"),
        "{wrong}"
    );
}
