//! `deploy/compose/fleet.yaml`: its commands are held against the program, and its mounts against what they name.

use store_postgres::DatabaseUrl;

/// That dockgate takes a command.
fn takes(words: &[String]) {
    let words = std::iter::once("dockgate").chain(words.iter().map(String::as_str));
    let taken = dockgate::cli::command().try_get_matches_from(words.clone());
    assert!(taken.is_ok(), "{:?}", words.collect::<Vec<_>>());
}

#[test]
fn the_fleet_for_compose_is_made_by_commands_that_dockgate_takes() {
    let text = std::fs::read_to_string("deploy/compose/fleet.yaml").expect("the file");
    let mut file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).expect("YAML");
    file.apply_merge().expect("what is merged");
    let services = file["services"].as_mapping().expect("the services");
    let names: Vec<_> = services.keys().filter_map(|name| name.as_str()).collect();
    assert_eq!(names, ["db", "signer", "gate1", "gate2"]);
    for name in &names[1..] {
        let words = services[*name]["command"].as_sequence().expect("a command");
        let words: Vec<_> = words
            .iter()
            .map(|it| it.as_str().expect("a word").to_owned())
            .collect();
        takes(&words);
        if let Some(at) = words.iter().position(|word| word == "--store") {
            let url = words[at + 1].parse::<DatabaseUrl>();
            assert!(url.is_ok(), "{url:?}");
        }
        // `up --wait` fails of a service without a check, and the one that the image has asks a gate.
        let check = services[*name]["healthcheck"]["test"].as_sequence();
        let asks = check.map(|words| {
            let words = words.iter().filter_map(|it| it.as_str());
            words.map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(asks.is_some(), *name == "signer", "{name}");
        if let Some(words) = asks {
            assert_eq!(words[..2], ["CMD", "/dockgate"], "{name}");
            takes(&words[2..]);
        }
        let is_off = services[*name]["healthcheck"]["disable"].as_bool();
        assert_eq!(is_off, None, "{name}");
        // What a service writes is in a volume that belongs to the user of the image.
        let volumes = services[*name]["volumes"]
            .as_sequence()
            .expect("its volumes");
        let own = volumes
            .iter()
            .filter_map(|it| it.as_str())
            .any(|it| it.ends_with(":/certs"));
        assert!(own, "{name}");
    }
    // The commands in the first lines, after the name of a service or of the program.
    let mut commands = 0;
    for line in text.lines().take_while(|line| line.starts_with('#')) {
        for part in line
            .split('|')
            .filter(|part| !part.contains("docker compose"))
        {
            let words: Vec<_> = part.split_whitespace().map(str::to_owned).collect();
            let run = words
                .iter()
                .position(|it| ["run", "exec"].contains(&it.as_str()));
            let service = run.and_then(|at| {
                let rest = words
                    .iter()
                    .skip(at)
                    .position(|it| names.contains(&it.as_str()));
                rest.map(|rest| at + rest)
            });
            let begin = match (service, words.iter().position(|it| it == "dockgate")) {
                (Some(service), None) => service + 1,
                (_, Some(program))
                    if program + 1 < words.len() && words[0] != "#" || service.is_some() =>
                {
                    program + 1
                }
                _ => continue,
            };
            takes(&words[begin..]);
            commands += 1;
        }
    }
    assert_eq!(commands, 7);
}
