//! `deploy/compose/fleet.yaml`: its commands are held against the program, and its volumes against what is written there.

use serde_yaml_ng::Value;
use store_postgres::DatabaseUrl;

const NAMES: [&str; 4] = ["db", "signer", "gate1", "gate2"];

/// That dockgate takes a command.
fn takes(words: &[String]) {
    let words = std::iter::once("dockgate").chain(words.iter().map(String::as_str));
    let taken = dockgate::cli::command().try_get_matches_from(words.clone());
    assert!(taken.is_ok(), "{:?}", words.collect::<Vec<_>>());
}

fn text() -> String {
    std::fs::read_to_string("deploy/compose/fleet.yaml").expect("the file")
}

/// The services, with what they have in common.
fn services() -> Value {
    let mut file: Value = serde_yaml_ng::from_str(&text()).expect("YAML");
    file.apply_merge().expect("what is merged");
    let services = file["services"].clone();
    let mapping = services.as_mapping().expect("the services");
    let names: Vec<_> = mapping.keys().filter_map(|name| name.as_str()).collect();
    assert_eq!(names, NAMES);
    services
}

/// The words of a list; nothing where there is none.
fn words(value: &Value) -> Option<Vec<String>> {
    let words = value.as_sequence()?.iter();
    let words = words.map(|it| it.as_str().map(str::to_owned));
    words.collect()
}

#[test]
fn the_services_of_the_fleet_run_commands_that_dockgate_takes_and_write_into_their_volumes() {
    let services = services();
    for name in &NAMES[1..] {
        let service = &services[*name];
        let command = words(&service["command"]).expect("a command");
        takes(&command);
        if let Some(at) = command.iter().position(|word| word == "--store") {
            let url = command[at + 1].parse::<DatabaseUrl>();
            assert!(url.is_ok(), "{url:?}");
        }
        // What a service writes is in a volume that belongs to the user of the image.
        let volumes = service["volumes"].as_sequence().expect("its volumes");
        let mut named = volumes.iter().filter_map(|it| it.as_str());
        assert!(named.any(|it| it.ends_with(":/certs")), "{name}");
    }
}

#[test]
fn every_service_of_the_fleet_has_a_check_which_up_and_wait_asks() {
    let services = services();
    for name in NAMES {
        // Of a service whose check is switched off `docker compose up --wait` fails.
        let check = &services[name]["healthcheck"];
        assert!(check["disable"].is_null(), "{name}");
        match (name, words(&check["test"])) {
            ("signer", Some(test)) => {
                assert_eq!(test[..2], ["CMD", "/dockgate"]);
                takes(&test[2..]);
            }
            ("db", Some(test)) => assert_eq!(test[..2], ["CMD", "pg_isready"]),
            // The image's own check asks a gate.
            (name, None) => assert!(name.starts_with("gate"), "{name}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Where the words for dockgate begin in a command: after the name of a service, or of the program.
fn begin(words: &[String]) -> Option<usize> {
    let run = words
        .iter()
        .position(|it| ["run", "exec"].contains(&it.as_str()));
    let service = run.and_then(|at| {
        let mut rest = words.iter().skip(at);
        let rest = rest.position(|it| NAMES.contains(&it.as_str()));
        rest.map(|rest| at + rest)
    });
    match (service, words.iter().position(|it| it == "dockgate")) {
        (Some(service), None) => Some(service + 1),
        (_, Some(program)) if program + 1 < words.len() && words[0] != "#" || service.is_some() => {
            Some(program + 1)
        }
        _ => None,
    }
}

#[test]
fn the_commands_in_the_first_lines_of_the_fleet_are_taken() {
    let text = text();
    let first = text.lines().take_while(|line| line.starts_with('#'));
    let parts = first
        .flat_map(|line| line.split('|'))
        .filter(|part| !part.contains("docker compose"));
    let mut commands = 0;
    for part in parts {
        let words: Vec<_> = part.split_whitespace().map(str::to_owned).collect();
        if let Some(begin) = begin(&words) {
            takes(&words[begin..]);
            commands += 1;
        }
    }
    assert_eq!(commands, 7);
}
