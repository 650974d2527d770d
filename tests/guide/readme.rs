//! The commands of README.md are run as they are printed, and its policy is checked and served as it is printed.
//!
//! `dockgate` takes the place of `cargo run --release --`, and the addresses are those of the test. What only looks at the
//! machine (`cargo`, `docker`, `doctor`) is left out; `tests/house` holds its options against the program.

use std::fs;

use testkit::client::TlsClient;
use testkit::pki::{Credential, client_config};
use testkit::process::GateProcess;

use super::keep::Keeping;

const PAGE: &str = include_str!("../../README.md");

/// The commands of a section, each without its comment.
fn commands(title: &str) -> Vec<&'static str> {
    let (_, text) = PAGE.split_once(&format!("\n## {title}\n")).expect(title);
    let text = text.split("\n## ").next().unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .map(|line| line.split("  #").next().unwrap_or(line).trim_end())
        .collect()
}

/// The policy, and what comes after it.
fn policy() -> (&'static str, &'static str) {
    let (_, block) = PAGE.split_once("```toml\n").expect("the policy");
    block.split_once("```\n").expect("its end")
}

/// The policy that the page tells a person to look with: without `scope` and two tables, and with the mode.
fn looking(policy: &str) -> String {
    let mut left_out = false;
    let mut text = String::new();
    for line in policy.lines() {
        if line.starts_with('[') {
            let table = line.split(']').next().unwrap_or(line);
            left_out = table.ends_with(".default") || table.ends_with(".shared");
        }
        if !left_out && !line.starts_with("scope ") {
            text.push_str(line);
            text.push('\n');
        }
        if line.starts_with("version ") {
            text.push_str("mode = \"report\"\n");
        }
    }
    text
}

/// The options of the one command of a section that serves.
#[track_caller]
fn served(lines: &[&'static str]) -> Vec<&'static str> {
    let mut found = lines.iter().filter_map(|line| line.split_once(" serve "));
    let (_, options) = found.next().expect("it serves");
    assert!(found.next().is_none(), "one command of a section serves");
    options.split(' ').collect()
}

/// A client of the certificates that the page's gate has made.
fn client(host: &Keeping, gate: &GateProcess, name: &str) -> TlsClient {
    let folder = host.path("certs/clients").join(name);
    let ca = Credential::ca(&folder);
    let credential = Credential::read(&folder, name);
    let config = client_config(&[ca], Some(&credential), rustls::DEFAULT_VERSIONS);
    TlsClient::connect(gate.addr, config).expect("connect")
}

/// What a container with the host's root directory gets, which the page refuses.
fn create(host: &Keeping, gate: &GateProcess, name: &str) -> (u16, String) {
    let body =
        r#"{"Image":"registry.example.com/app","HostConfig":{"Binds":["/:/host"],"Memory":1}}"#;
    let mut client = client(host, gate, name);
    client.send(format!(
        "POST /v1.51/containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = client.answer();
    (answer.status, answer.text())
}

#[test]
fn each_command_of_the_readme_does_what_the_readme_says() {
    let host = Keeping::new();
    let start = commands("Start");
    let gate = host.serve(".", &served(&start));
    host.is_in(&gate, "certs/clients/admin");
    let printed = "DOCKER_CERT_PATH=$PWD/certs/clients/admin docker ps";
    assert!(
        start.iter().any(|line| line.ends_with(printed)),
        "{start:?}"
    );
    drop(gate);

    let (policy, after) = policy();
    fs::write(host.path("policy.toml"), policy).expect("write the policy");
    let (_, ci) = policy
        .split_once("a certificate from: ")
        .expect("a command");
    host.line(ci.lines().next().expect("a line"));
    let daily = commands("Every day");
    let gate = host.serve(".", &served(&daily));
    for line in daily.iter().filter(|line| !line.contains(" serve ")) {
        if line.starts_with("dockgate certs") || line.starts_with("dockgate policy") {
            let said = host.line(line);
            let checks = line.contains("policy check");
            // It does not lead to root, and says who is shut out.
            let told = said.contains("1 ci (ou)     runner") && said.contains("  no\n");
            let told = told && said.contains("matches no entry may do nothing");
            assert!(!checks || told, "{said}");
        } else {
            assert!(["dockgate ps", "dockgate doctor"].contains(line), "{line}");
            host.line("dockgate ps");
        }
    }

    // As it is printed, the policy lets its author in, lets the job work, and refuses what the page shows.
    host.is_in(&gate, "certs/clients/admin");
    assert_eq!(create(&host, &gate, "admin").0, 201);
    assert_eq!(client(&host, &gate, "ci").ask("GET", "/_ping").status, 200);
    let (status, said) = create(&host, &gate, "ci");
    let denial = after
        .lines()
        .find_map(|line| line.split_once("from daemon: "));
    let denial = denial.expect("the denial").1.replace('"', "\\\"");
    assert!(status == 403 && said.contains(&denial), "{status} {said}");
    host.line("dockgate certs client stranger");
    let (status, said) = create(&host, &gate, "stranger");
    assert!(
        status == 403 && said.contains("no [[client]] entry"),
        "{said}"
    );
    drop(gate);

    // And by the page's words, only looking.
    fs::write(host.path("policy.toml"), looking(policy)).expect("write the policy");
    host.line("dockgate policy check policy.toml");
    let words = served(&daily);
    let words: Vec<&str> = (words.iter().copied())
        .filter(|word| !word.contains("owner"))
        .collect();
    let gate = host.serve(".", &words);
    assert_eq!(create(&host, &gate, "ci").0, 201);
    drop(gate);
    let learnt = host.line("dockgate policy learn audit.jsonl");
    assert!(learnt.contains("binds"), "{learnt}");
}
