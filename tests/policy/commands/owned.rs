//! Cases of `policy test` that say who made what a request names.

use super::{POLICY, PolicyFolder};
use serde_json::Value;

#[test]
fn a_case_says_who_made_what_the_request_names() {
    let desk = PolicyFolder::new();
    let policy = |scope: &str| {
        format!(
            "version = 1\n[[client]]\nname = \"team\"\nmatch = {{ cn = [\"alice\", \"bob\"] }}\nrole = \"team\"\n[[client]]\nmatch = {{ cn = \"carol\" }}\nrole = \"team\"\n[role.team]\nbase = \"ci\"\nallow = [\"image.commit\"]\nscope = \"{scope}\"\n[role.team.shared]\nnetworks = [\"bridge\", \"front\"]\nvolumes = [\"cache-*\"]\n[role.team.limits]\ntags = [\"t/**\"]\nvolumes = [\"*\"]\n"
        )
    };
    desk.file("own.toml", &policy("own"));
    desk.file("entry.toml", &policy("entry"));
    let web = r#""owned":{"/containers/web":{"cn":"bob"}},"answers":{"/containers/web/json":{"Id":"a","HostConfig":{}}}"#;
    let cases = |bobs: &str| {
        format!(
            r#"{{"cn":"bob","method":"POST","target":"/containers/web/stop",{web},"expect":"allow"}}
{{"cn":"alice","method":"POST","target":"/containers/web/stop",{web},"expect":"{bobs}"}}
{{"cn":"alice","method":"POST","target":"/v1.45/containers/web/exec","body":{{"Cmd":["id"]}},{web},"expect":"{bobs}"}}
{{"cn":"alice","method":"POST","target":"/commit?container=web&repo=t/a",{web},"expect":"{bobs}"}}
{{"cn":"alice","method":"DELETE","target":"/containers/web?force=1",{web},"expect":"{bobs}"}}
{{"cn":"carol","method":"GET","target":"/containers/web/json",{web},"expect":"missing"}}
{{"cn":"alice","method":"POST","target":"/images/web/tag?repo=other",{web},"expect":"deny","rule":"tags"}}
{{"cn":"alice","method":"GET","target":"/volumes/data","owned":{{"/volumes/data":null}},"expect":"missing"}}
{{"cn":"alice","method":"GET","target":"/volumes/cache-a","owned":{{"/volumes/cache-a":null}},"expect":"allow"}}
{{"cn":"alice","method":"DELETE","target":"/volumes/cache-a","owned":{{"/volumes/cache-a":{{"cn":"carol"}}}},"answers":{{"/volumes/cache-a":{{"Name":"cache-a"}}}},"expect":"deny","rule":"scope"}}
{{"cn":"alice","method":"GET","target":"/networks/back","owned":{{"/networks/back":{{"cn":"carol"}}}},"expect":"missing"}}
"#
        )
    };
    for (file, bobs) in [("own.toml", "missing"), ("entry.toml", "allow")] {
        desk.file("cases.jsonl", &cases(bobs));
        let said = desk
            .run(&format!("test {file} cases.jsonl"), "")
            .expect("an answer");
        assert_eq!(said.text, "11 passed, 0 failed", "{file}");
    }
    for odd in [
        r#"{"cn":"alice","method":"GET","target":"/_ping","owned":{"/containers/a/json":null},"expect":"allow"}"#,
        r#"{"cn":"alice","method":"GET","target":"/_ping","owned":{"/images/a":null},"expect":"allow"}"#,
        r#"{"cn":"alice","method":"GET","target":"/_ping","owned":{"/volumes/a":{"role":"x"}},"expect":"allow"}"#,
        r#"{"cn":"alice","method":"GET","target":"/_ping","owned":{"/volumes/a":{"cn":["x","y"]}},"expect":"allow"}"#,
    ] {
        desk.file("odd.jsonl", odd);
        assert!(desk.run("test own.toml odd.jsonl", "").is_err(), "{odd}");
    }
}

#[test]
fn check_says_that_a_scope_needs_a_key_file() {
    let desk = PolicyFolder::new();
    let scoped = POLICY.replace("[role.team]", "[role.team]\nscope = \"own\"");
    let scoped = scoped.replace("images =", "tags = [\"t/**\"]\nimages =");
    desk.file("scoped.toml", &scoped);
    let note = "note: role team has a scope, so `serve` needs owner-key";
    for (file, is_scoped) in [("policy.toml", false), ("scoped.toml", true)] {
        let text = desk
            .run(&format!("check {file}"), "")
            .expect("a policy")
            .text;
        assert_eq!(text.contains(note), is_scoped, "{text}");
        let json = desk
            .run(&format!("check {file} --json"), "")
            .expect("a policy")
            .text;
        let said: Value = serde_json::from_str(&json).expect("JSON");
        let needs = said["needs"].as_array().expect("a list");
        assert_eq!(needs.contains(&"owner-key".into()), is_scoped, "{said}");
    }
}
