//! The reference pages, the dashboard and the alert rules name exactly what the binary has.

use std::collections::BTreeSet;

use dockgate::cli;
use dockgate::observe::metrics::{BOUNDS, FAMILIES, HANDSHAKES, Limit, Reload, UpstreamError};
use serde_json::Value;

use testkit::client::get;
use testkit::gate::with_engine;

fn file(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every name of a metric in a text.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("dockgate_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// Every name a query may use.
fn samples() -> BTreeSet<String> {
    let histogram = |name: &str| ["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}"));
    FAMILIES
        .iter()
        .flat_map(|family| match family.kind.as_str() {
            "histogram" => histogram(family.name).to_vec(),
            _ => vec![family.sample()],
        })
        .collect()
}

#[test]
fn the_page_of_the_running_gate_has_every_metric_of_the_table_and_no_other() {
    let (gate, _engine) = with_engine(&[]);
    let page = get(gate.metrics(), "/metrics").text();
    let typed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| {
            line.strip_prefix("# TYPE ")?
                .split(' ')
                .next()
                .map(str::to_owned)
        })
        .collect();
    let expected: BTreeSet<String> = FAMILIES
        .iter()
        .map(dockgate::observe::metrics::Family::sample)
        .collect();
    assert_eq!(typed, expected);
}

#[test]
fn the_reference_of_the_metrics_is_complete_and_true() {
    let page = file("docs/reference/metrics.md");
    for family in FAMILIES {
        let labels = family
            .labels
            .iter()
            .map(|l| format!("`{l}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let row = format!(
            "| `{}` | {} | {labels} | {} |\n",
            family.sample(),
            family.kind.as_str(),
            family.help
        );
        assert!(
            page.contains(&row),
            "docs/reference/metrics.md lacks the row\n{row}"
        );
    }
    let known: BTreeSet<String> = FAMILIES
        .iter()
        .map(dockgate::observe::metrics::Family::sample)
        .chain(samples())
        .collect();
    let strange: Vec<_> = names(&page).difference(&known).cloned().collect();
    assert!(strange.is_empty(), "{strange:?}");
    let limits = Limit::ALL.map(Limit::key);
    let (errors, reloads) = (
        UpstreamError::ALL.map(UpstreamError::id),
        Reload::ALL.map(Reload::id),
    );
    let words = HANDSHAKES
        .iter()
        .chain(&limits)
        .chain(&errors)
        .chain(&reloads);
    for word in words.chain(&dockgate::observe::registry::Cut::IDS) {
        assert!(
            page.contains(&format!("`{word}`")),
            "docs/reference/metrics.md does not explain `{word}`"
        );
    }
    let bounds = BOUNDS.map(|b| b.to_string()).join(", ");
    assert!(
        page.contains(&bounds),
        "docs/reference/metrics.md lacks the bounds {bounds}"
    );
}

#[test]
fn the_dashboard_asks_only_for_metrics_that_exist_and_shows_most() {
    let text = file("deploy/grafana/dockgate.json");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut asked = BTreeSet::new();
    collect(&dashboard, &mut asked);
    assert!(asked.len() >= 15, "{asked:?}");
    let known = samples();
    let strange: Vec<_> = asked.difference(&known).collect();
    assert!(strange.is_empty(), "{strange:?}");
    let mut ids: Vec<i64> = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        ids.push(panel["id"].as_i64().expect("an id"));
        assert!(
            panel["title"].is_string() && panel["gridPos"].is_object(),
            "{panel}"
        );
    }
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "two panels share an id");
}

fn collect(value: &Value, asked: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(query) if key == "expr" || key == "query" => {
                        asked.extend(names(query));
                    }
                    other => collect(other, asked),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, asked)),
        _ => {}
    }
}

#[test]
fn the_alerts_ask_only_for_metrics_that_exist() {
    let text = file("deploy/prometheus/dockgate.rules.yml");
    let rules: Vec<&str> = text
        .lines()
        .filter(|l| l.trim_start().starts_with("- alert:"))
        .collect();
    let queries: Vec<&str> = text
        .lines()
        .filter(|l| l.trim_start().starts_with("expr:"))
        .collect();
    assert!(
        rules.len() >= 8 && rules.len() == queries.len(),
        "{rules:?}"
    );
    assert_eq!(text.matches("summary:").count(), rules.len());
    let asked = names(&queries.join("\n"));
    // The signer writes its own, which its page lists; a test of the signer compares them.
    let signer = file("docs/reference/signer.md");
    let mut known = samples();
    known.extend(
        names(&signer)
            .into_iter()
            .filter(|it| it.starts_with("dockgate_signer_")),
    );
    let strange: Vec<_> = asked.difference(&known).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn the_reference_of_the_control_commands_shows_every_option_and_field() {
    let page = file("docs/reference/control.md");
    let command = cli::command();
    for name in ["ps", "top", "kick", "reload", "healthcheck"] {
        let sub = command.find_subcommand(name).expect("there");
        assert!(page.contains(&format!("## dockgate {name}\n")), "{name}");
        for argument in sub
            .get_arguments()
            .filter(|a| !matches!(a.get_id().as_str(), "help" | "version"))
        {
            let shown = match argument.get_long() {
                Some(long) => format!("`--{long}"),
                None => format!("`{}`", argument.get_value_names().expect("a name")[0]),
            };
            assert!(
                page.contains(&shown),
                "docs/reference/control.md lacks {shown} of {name}"
            );
        }
    }
    let (gate, _engine) = with_engine(&[]);
    let mut alice = gate.connect(&gate.pki.client("alice", 1));
    assert_eq!(alice.ask("GET", "/_ping").status, 200);
    let connection = serde_json::to_value(&gate.ps()[0]).expect("JSON");
    let status = serde_json::to_value(gate.status()).expect("JSON");
    let kick = serde_json::to_value(dockgate::observe::control::Kick::default()).expect("JSON");
    let kicked = serde_json::to_value(dockgate::observe::control::Kicked::default()).expect("JSON");
    let ready: Value = serde_json::from_str(&get(gate.metrics(), "/ready").text()).expect("JSON");
    let reloaded =
        serde_json::to_value(dockgate::observe::control::Reloaded::default()).expect("JSON");
    for value in [connection, status, kick, kicked, reloaded, ready] {
        for field in value.as_object().expect("an object").keys() {
            assert!(
                page.contains(&format!("`{field}`")),
                "docs/reference/control.md lacks `{field}`"
            );
        }
    }
    for path in [
        "GET /connections",
        "POST /kick",
        "POST /reload",
        "GET /ready",
        "GET /status",
    ] {
        assert!(page.contains(path), "{path}");
    }
}
