//! The policies we ship and the pages that speak of tests: neither may rot.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use docker_api::Operation;
use policy::risk::reach;
use policy::{LimitKey, Limits, Power};
use policy::{Matcher, Policy};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    found
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn every_example_policy_is_without_fault() {
    let examples = files(&root().join("config/examples/policy"), "toml");
    let names: Vec<_> = examples
        .iter()
        .filter_map(|path| path.file_stem()?.to_str())
        .collect();
    for needed in [
        "traefik",
        "prometheus",
        "cadvisor",
        "watchtower",
        "portainer-viewer",
        "ci-runner",
        "team-deployer",
        "dashboard",
        "buildkit",
    ] {
        assert!(
            names.contains(&needed),
            "config/examples/policy/{needed}.toml is missing"
        );
    }
    for path in &examples {
        let policy = Policy::read(path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!policy.clients.is_empty(), "{}", path.display());
        let text = fs::read_to_string(path).expect("readable");
        assert!(
            text.starts_with("# "),
            "{}: expected a comment that says what it is for",
            path.display()
        );
        for client in &policy.clients {
            let role = &policy.roles[client.role];
            assert!(
                role.name == "none" || !role.allowed.is_empty(),
                "{}: {}",
                path.display(),
                client.name
            );
            // An example may make an admin only by name, never the whole world.
            assert!(
                !role.unlimited()
                    || client.matcher
                        != Matcher {
                            any: true,
                            ..Matcher::default()
                        },
                "{}",
                path.display()
            );
            // What two of them are about leads to root, which their comments say; nothing else does.
            let name = path.file_name().and_then(|name| name.to_str());
            let meant = match name {
                Some("buildkit.toml") => "buildkit = true",
                Some("watchtower.toml") => "mode = \"report\"",
                _ => "none",
            };
            let mut roads = reach(role).root;
            roads.retain(|road| !road.starts_with(meant));
            assert!(
                role.unlimited() || roads.is_empty(),
                "{}: {roads:?}",
                path.display(),
            );
        }
    }
}

#[test]
fn the_role_for_ci_in_the_readme_leads_to_no_root_and_is_refused_in_its_words() {
    let page = fs::read_to_string(root().join("README.md")).expect("the page");
    let (_, section) = page
        .split_once("\n## A role for CI\n")
        .expect("the section");
    let (_, block) = section.split_once("```toml\n").expect("the policy");
    let (text, rest) = block.split_once("```").expect("its end");
    let policy = Policy::parse("policy.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let role = &policy.roles[policy.clients[0].role];
    assert_eq!(reach(role).root, Vec::<String>::new());
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("write");
        path
    };
    let (policy, body) = (
        file("policy.toml", text),
        file(
            "body.json",
            r#"{"Image":"registry.example.com/app","HostConfig":{"Binds":["/:/host"]}}"#,
        ),
    );
    let mut explain = testkit::programs::dockgate();
    explain.args(["policy", "explain", "--ou", "ci", "--body"]);
    explain.arg(body).arg(policy);
    explain.args(["POST", "/v1.51/containers/create"]);
    let said = testkit::programs::said(&explain.output().expect("start dockgate"));
    let mut lines = rest.lines();
    let denial = lines.find_map(|line| Some(line.split_once("dockgate: denied")?.1));
    let denial = denial.expect("the denial");
    assert!(
        said.contains(&format!("dockgate: denied{denial}\n")),
        "{said}"
    );
}

/// Every `#[test]` of this test binary, and the property tests, by name; those of the others that a page may name too, with
/// their binary's name in front.
fn tests() -> BTreeSet<String> {
    let mut names = tests_of("policy");
    for suite in ["certs", "wire", "trust", "observe", "identity"] {
        let found = tests_of(suite).into_iter();
        names.extend(found.map(|name| format!("{suite}::{name}")));
    }
    names
}

fn tests_of(suite: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in files(&root().join("tests").join(suite), "rs") {
        let module = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name")
            .to_owned();
        let text = fs::read_to_string(&path).expect("readable");
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.trim() == "#[test]"
                && let Some(name) = lines
                    .find(|line| !line.trim().starts_with("#["))
                    .and_then(|line| line.trim().strip_prefix("fn "))
                    .and_then(|line| line.split('(').next())
            {
                names.insert(format!("{module}::{name}"));
            }
        }
    }
    names
}

#[test]
fn every_test_that_known_escapes_and_the_threat_model_name_exists() {
    let tests = tests();
    for (page, least) in [("known-escapes", 80), ("threat-model", 12)] {
        let text = fs::read_to_string(root().join(format!("docs/{page}.md"))).expect("the page");
        let words = text.split('`').skip(1).step_by(2);
        let named: Vec<&str> = words.filter(|word| word.contains("::")).collect();
        assert!(
            named.len() > least,
            "{page}: only {} tests are named",
            named.len()
        );
        for name in named {
            assert!(tests.contains(name), "{page}: `{name}` is not a test");
        }
    }
}

/// The text of all modules below a folder.
fn modules(folder: &std::path::Path) -> String {
    let entries = fs::read_dir(folder).expect("the suite's modules");
    let paths = entries.map(|entry| entry.expect("a file").path());
    let text = |path: std::path::PathBuf| match path.is_dir() {
        true => modules(&path),
        false => fs::read_to_string(path).expect("a module"),
    };
    paths.map(text).collect()
}

#[test]
fn every_trial_that_known_escapes_names_exists() {
    let page = fs::read_to_string(root().join("docs/known-escapes.md")).expect("the page");
    let source = modules(&root().join("tests/e2e/policy"));
    let trials: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.starts_with("policy_"))
        .collect();
    assert!(trials.len() > 10, "only {} trials are named", trials.len());
    for name in trials {
        assert!(
            source.contains(&format!("\"{name}\"")),
            "`{name}` is no trial of tests/e2e/policy"
        );
    }
}

#[test]
fn what_known_escapes_calls_still_open_leads_to_code_a_page_or_a_test() {
    let docs = root().join("docs");
    let page = fs::read_to_string(docs.join("known-escapes.md")).expect("the page");
    let (_, open) = page.split_once("\n## Still open\n").expect("the section");
    let open = open.split("\n## ").next().expect("its text");
    let points: Vec<&str> = open.split("\n- ").skip(1).collect();
    assert!(points.len() > 15, "only {} points", points.len());
    for point in points {
        let links: Vec<&str> = point
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
            .collect();
        let names_a_test = point.contains("::") || point.contains("`policy_");
        assert!(names_a_test || !links.is_empty(), "leads nowhere: {point}");
        for link in links {
            assert!(docs.join(link).exists(), "{link} is not there: {point}");
        }
    }
}

#[test]
fn known_escapes_has_a_row_for_every_way_and_every_class() {
    let page = fs::read_to_string(root().join("docs/known-escapes.md")).expect("the page");
    let rows = |section: &str| -> Vec<usize> {
        let (_, rest) = page
            .split_once(section)
            .unwrap_or_else(|| panic!("no section {section}"));
        let rest = rest.split("\n## ").next().expect("a section");
        rest.lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
            .collect()
    };
    assert_eq!(
        rows("## Ways through a container's fields"),
        (1..=35).collect::<Vec<_>>()
    );
    assert_eq!(rows("## Bypass classes"), (1..=50).collect::<Vec<_>>());
}

#[test]
fn the_policy_reference_names_every_key_role_and_operation_class() {
    let page = fs::read_to_string(root().join("docs/reference/policy.md")).expect("the page");
    for word in [
        "`version`",
        "`mode`",
        "`max_body`",
        "`name`",
        "`match`",
        "`role`",
        "`base`",
        "`allow`",
        "`deny`",
        "`target_check`",
        "`toggles`",
        "`limits`",
        "`cn`",
        "`o`",
        "`ou`",
        "`dns`",
        "`email`",
        "`uri`",
        "`spiffe`",
        "`spki`",
        "`issuer_spki`",
        "`any`",
        "`none`",
        "`monitor`",
        "`read-only`",
        "`operator`",
        "`deployer`",
        "`builder`",
        "`ci`",
        "`admin`",
        "`traefik`",
        "`prometheus`",
        "`cadvisor`",
        "`watchtower`",
    ] {
        assert!(
            page.contains(word),
            "docs/reference/policy.md does not mention {word}"
        );
    }
    for operation in Operation::ALL {
        assert!(
            page.contains(&format!("`{operation}`")),
            "docs/reference/policy.md does not list `{operation}`"
        );
    }
}

/// The table of the limits as it must stand in the reference.
fn limits_table() -> String {
    let defaults = Limits::default();
    let rows = LimitKey::ALL.iter().map(|key| {
        let default = match defaults.written(*key) {
            none if none == "none" => none,
            value => format!("`{value}`"),
        };
        format!("| `{}` | {default} | {} |\n", key.name(), key.help())
    });
    rows.collect()
}

#[test]
fn the_policy_reference_has_the_table_of_limits() {
    let page = fs::read_to_string(root().join("docs/reference/policy.md")).expect("the page");
    let section = page
        .split("## `[role.NAME.limits]`")
        .nth(1)
        .expect("a section on limits");
    let found: String = section
        .lines()
        .skip_while(|line| !line.starts_with("| --- |"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| format!("{line}\n"))
        .collect();
    let expected = limits_table();
    assert_eq!(found, expected, "expected this table:\n{expected}");
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn each_limit_is_read_from_the_file_admits_what_it_lists_and_names_itself_in_denials() {
    let cases = [
        (LimitKey::HostNamespaces, "pid"),
        (LimitKey::Binds, "/srv/a:ro"),
        (LimitKey::Volumes, "data"),
        (LimitKey::Capabilities, "NET_ADMIN"),
        (LimitKey::Devices, "/dev/fuse"),
        (LimitKey::DeviceRequests, "gpu"),
        (LimitKey::Images, "registry.example.com/a/b"),
        (LimitKey::Tags, "registry.example.com/a/b"),
        (LimitKey::Fetch, "files.example.com"),
        (LimitKey::SecurityOpts, "label=disable"),
        (LimitKey::Runtimes, "kata"),
        (LimitKey::Sysctls, "net.ipv4.ip_forward"),
        (LimitKey::Annotations, "a.b"),
        (LimitKey::Groups, "docker"),
        (LimitKey::LogDrivers, "syslog"),
        (LimitKey::NetworkDrivers, "macvlan"),
        (LimitKey::Subnets, "10.20.0.0/16"),
        (LimitKey::UnknownFields, "HostConfig.NewThing"),
        (LimitKey::Memory, "512m"),
        (LimitKey::Cpus, "1.5"),
        (LimitKey::Pids, "100"),
        (LimitKey::Ports, "127.0.0.1:8080/tcp"),
        (LimitKey::PortCount, "300"),
        (LimitKey::Users, "1000"),
        (LimitKey::Networks, "ci-net"),
        (LimitKey::Names, "ci-web"),
        (LimitKey::Privileged, "true"),
        (LimitKey::JoinContainers, "true"),
        (LimitKey::Buildkit, "true"),
    ];
    for key in LimitKey::ALL {
        let has_case = cases.iter().any(|(of, _)| of == key);
        assert!(has_case, "{} has no case here", key.name());
    }
    for (key, value) in cases {
        let with = |limits: &str| {
            let policy = crate::support::role(&format!("[role.team.limits]\n{limits}"));
            let role = policy.roles.last().expect("a role");
            role.limits.clone().expect("limits")
        };
        let written = match key.is_flag() {
            true => "true".to_owned(),
            false if key.is_bound() => format!("\"{value}\""),
            false => format!("[\"{value}\"]"),
        };
        let power = Power::from_fact(key.name(), value).expect("a power");
        assert_eq!(power.key(), Some(key));
        assert_eq!(power.rule(), key.name());
        assert_eq!(power.fact(), Some((key.name(), value.to_owned())));
        let allowing = with(&format!("{} = {written}", key.name()));
        assert!(power.is_within(&allowing), "{}", key.name());
        assert_eq!(allowing.written(key), written);
        let off = match (key.is_flag(), key.is_bound()) {
            (true, _) => "false",
            (_, true) => "1",
            _ => "[]",
        };
        let off = if key == LimitKey::Cpus { "0.1" } else { off };
        let refusing = with(&format!("{} = {off}", key.name()));
        assert!(!power.is_within(&refusing), "{}", key.name());
    }
}

#[test]
fn each_built_in_roles_row_names_all_its_operations_and_no_other() {
    let page = fs::read_to_string(root().join("docs/reference/policy.md")).expect("the page");
    let (_, section) = page
        .split_once("\n## Built-in roles\n")
        .expect("the section");
    let (section, _) = section.split_once("\n## ").expect("another section");
    let text = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"none\"\n";
    let policy = Policy::parse("t", text).expect("a policy");
    let role = |name: &str| policy.roles.iter().find(|role| role.name == name);
    let mut rows = 0;
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, may) = row.split_once("` | ").expect("a row");
        let described = role(name).unwrap_or_else(|| panic!("{name} is no built-in role"));
        rows += 1;
        if described.unlimited() {
            continue;
        }
        let mut said = BTreeSet::new();
        for word in may
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| *word != "tags")
        {
            match role(word) {
                Some(other) => said.extend(other.allowed.iter().map(Operation::id)),
                None => _ = said.insert(Operation::from_id(word).expect("an operation").id()),
            }
        }
        let may: BTreeSet<_> = described.allowed.iter().map(Operation::id).collect();
        assert_eq!(said, may, "{name}");
    }
    assert_eq!(rows, 12);
}

#[test]
fn the_operations_of_each_command_are_in_the_role_that_its_row_names() {
    let page = fs::read_to_string(root().join("docs/reference/policy.md")).expect("the page");
    let (_, section) = page
        .split_once("\n## What the commands of the Docker CLI need\n")
        .expect("the section");
    let (section, _) = section.split_once("\n## ").expect("another section");
    let text = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"none\"\n";
    let policy = Policy::parse("t", text).expect("a policy");
    let mut rows = 0;
    for row in section.lines().filter(|line| line.starts_with("| `docker")) {
        rows += 1;
        let cells: Vec<&str> = row.split(" | ").collect();
        let name = cells[2].trim_matches(['`', ' ', '|']);
        let role = policy.roles.iter().find(|role| role.name == name);
        let role = role.unwrap_or_else(|| panic!("{name} is no built-in role"));
        for id in cells[1].split('`').skip(1).step_by(2) {
            let operation = Operation::from_id(id).unwrap_or_else(|| panic!("{id}"));
            assert!(role.allowed.contains(operation), "{row}: {id}");
        }
    }
    assert!(rows > 7, "{rows}");
}
