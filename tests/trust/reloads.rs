//! What a reload brings into force, by SIGHUP and by polling, in files and in swapped directories.

use std::fs;
use std::os::unix::fs::symlink;

use dockgate::config::key::{KEYS, SettingChange, SettingKind};
use rustls::version::TLS13;

use testkit::client::TlsClient;
use testkit::gate::{ByFile, Files};
use testkit::pki::client_config;
use testkit::pki::{Credential, Pki};

/// Waits for a reload: by signal where the gate does not poll.
fn reloaded(gate: &ByFile, polls: bool, change: impl FnOnce()) {
    let mark = gate.mark();
    change();
    if !polls {
        gate.hang_up();
    }
    gate.said(mark, "Reloaded");
}

#[test]
fn everything_that_can_change_changes_by_sighup() {
    everything("", false);
}

#[test]
fn everything_that_can_change_changes_by_polling() {
    everything("reload-interval = \"200ms\"\n", true);
}

fn everything(interval: &str, polls: bool) {
    let setup = Files::new();
    let second = Pki::by_dockgate(&setup.path("second"), "second CA");
    let (bob, cid) = (
        setup.pki.client_by_dockgate("bob", &[]),
        second.client_by_dockgate("cid", &[]),
    );
    let policy = |role: &str| {
        format!(
            "version = 1\n[[client]]\nmatch = {{ cn = \"bob\" }}\nrole = \"{role}\"\n[[client]]\nmatch = {{ cn = \"cid\" }}\nrole = \"admin\"\n"
        )
    };
    fs::write(setup.path("policy.toml"), policy("admin")).expect("written");
    let gate = setup.start(&format!("{interval}policy = \"policy.toml\"\n"));
    let mut live = gate.connect(&bob).hijacked();

    // The server's certificate and key.
    let old = gate.connect(&bob).server();
    gate.pki.certs(&["server", "--san", "localhost", "--force"]);
    // Both in one step: a poll between the two would log a fault, which is another test's matter.
    fs::create_dir(gate.path("next")).expect("made");
    for file in ["ca.pem", "server-cert.pem", "server-key.pem"] {
        fs::copy(gate.path("ca").join(file), gate.path("next").join(file)).expect("copied");
    }
    let files = "tlscacert = \"next/ca.pem\"\ntlscert = \"next/server-cert.pem\"\ntlskey = \"next/server-key.pem\"\npolicy = \"policy.toml\"\n";
    reloaded(&gate, polls, || {
        gate.configure(&format!("{interval}{files}"));
    });
    assert_ne!(gate.connect(&bob).server(), old);

    // The CA bundle.
    assert_eq!(gate.refuses(&cid), (48, "unknown_issuer".into()));
    let bundle = gate.pki.text("ca.pem") + &second.text("ca.pem");
    reloaded(&gate, polls, || gate.put("next/ca.pem", &bundle));
    gate.connect(&cid).ping();

    // The policy.
    reloaded(&gate, polls, || gate.put("policy.toml", policy("monitor")));
    let answer = gate
        .connect(&bob)
        .try_get("/v1.51/containers/x/archive?path=/etc/shadow")
        .expect("an answer");
    assert_eq!(answer.status, 403, "{answer:?}");
    live.echo("a stream lives on under the decision it started with");

    // The log's level.
    let probe = || drop(std::net::TcpStream::connect(gate.addr).expect("connected"));
    probe();
    let debug = |line: &serde_json::Value| line["message"] == "Probe";
    let mark = gate.mark();
    reloaded(&gate, polls, || {
        gate.configure(&format!("{interval}{files}log-level = \"debug\"\n"));
    });
    probe();
    gate.logged(mark, debug);
    assert!(gate.lines(0, debug).len() == 1, "the first was not logged");

    // What takes a restart is said.
    let mark = gate.mark();
    reloaded(&gate, polls, || {
        gate.configure(&format!("{interval}{files}head-timeout = \"3s\"\n"));
    });
    let line = gate.said(mark, "Changed, but takes effect at the next start only");
    assert_eq!(line["setting"], "head-timeout");
}

#[test]
fn each_setting_that_takes_a_restart_is_named() {
    let setup = Files::new();
    let gate = setup.start("");
    for key in KEYS {
        // Each of the others is tried by a test of its own, or has no effect.
        if key.change == SettingChange::Live {
            continue;
        }
        // These ask for other certificates than the gate here has, so no reload would get as far.
        if key.name.starts_with("enroll") {
            continue;
        }
        let value = match key.name {
            "hosts" => "[\"tcp://127.0.0.1:1\"]",
            "upstream" => "\"unix:///none.sock\"",
            "audit-failure" => "\"continue\"",
            "metrics" => "\"127.0.0.1:1\"",
            "max-head-size" => "\"64KiB\"",
            "max-pending-bodies" => "\"64MiB\"",
            "access-log" => "\"on\"",
            "user" => "\"nobody\"",
            "unsafe-no-cage" => "true",
            "log-format" => "\"text\"",
            "audit" | "authz-plugin" | "control-socket" => "\"other\"",
            _ => match key.kind {
                SettingKind::Count | SettingKind::OptionalCount => "77",
                _ => "\"77s\"",
            },
        };
        let mark = gate.mark();
        reloaded(&gate, false, || {
            gate.configure(&format!("{} = {value}\n", key.name));
        });
        let named = gate.lines(mark, |line| line["setting"].is_string());
        // One client's share follows the whole, unless it is written too.
        let expected = match key.name {
            "max-connections" => vec!["max-connections", "max-connections-per-client"],
            name => vec![name],
        };
        let named: Vec<_> = named
            .iter()
            .filter_map(|line| line["setting"].as_str())
            .collect();
        assert_eq!(named, expected, "{}", key.name);
        reloaded(&gate, false, || gate.configure(""));
    }
}

#[test]
fn a_directory_swapped_by_symlink_is_seen_as_kubernetes_swaps_it() {
    let setup = Files::new();
    let (eve, bob) = (
        setup.pki.client_by_dockgate("eve", &[]),
        setup.pki.client_by_dockgate("bob", &[]),
    );
    setup.pki.certs(&["crl"]);
    let volume = setup.path("volume");
    let names = ["ca.pem", "server-cert.pem", "server-key.pem", "crl.pem"];
    let version = |from: &std::path::Path, name: &str| {
        let dir = volume.join(name);
        fs::create_dir_all(&dir).expect("made");
        for file in names {
            fs::copy(from.join(file), dir.join(file)).expect("copied");
        }
    };
    version(&setup.pki.dir, "..2026_01_01");
    symlink("..2026_01_01", volume.join("..data")).expect("linked");
    for file in names {
        symlink(format!("..data/{file}"), volume.join(file)).expect("linked");
    }
    let gate = setup.start(
        "tlscacert = \"volume/ca.pem\"\ntlscert = \"volume/server-cert.pem\"\ntlskey = \"volume/server-key.pem\"\ntlscrl = [\"volume/crl.pem\"]\nreload-interval = \"200ms\"\n",
    );
    let (mut bob_live, eve_live) = (gate.connect(&bob).hijacked(), gate.connect(&eve).hijacked());
    let old = gate.connect(&bob).server();
    gate.pki.certs(&["revoke", "eve"]);
    gate.pki.certs(&["server", "--san", "localhost", "--force"]);
    let mark = gate.mark();
    version(&gate.pki.dir, "..2026_01_02");
    symlink("..2026_01_02", volume.join("..data_tmp")).expect("linked");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("swapped");
    fs::remove_dir_all(volume.join("..2026_01_01")).expect("removed");
    gate.said(mark, "Reloaded");
    eve_live.end().join().expect("cut");
    bob_live.echo("still here");
    assert_ne!(gate.connect(&bob).server(), old);
    assert!(gate.lines(mark, |line| line["level"] == "error").is_empty());
}

#[test]
fn an_overlap_of_both_cas_moves_a_fleet_without_a_gap() {
    let setup = Files::new();
    let second = Pki::by_dockgate(&setup.path("second"), "second CA");
    let before: Vec<Credential> = ["ann", "bob", "cid"]
        .map(|name| setup.pki.client_by_dockgate(name, &[]))
        .into();
    let after: Vec<Credential> = ["ann", "bob", "cid"]
        .map(|name| second.client_by_dockgate(name, &[]))
        .into();
    let (first_ca, second_ca) = (setup.pki.text("ca.pem"), second.text("ca.pem"));
    let roots = [setup.pki.ca.clone(), second.ca.clone()];
    let gate = setup.start("reload-interval = \"200ms\"\n");
    // A client as it is in the middle of the move: it trusts both.
    let enters = |who: &Credential| {
        TlsClient::admitted(gate.addr, client_config(&roots, Some(who), &[&TLS13]))
            .unwrap_or_else(|e| panic!("{} is locked out: {e:?}", who.name))
    };
    let mut lives: Vec<TlsClient> = before.iter().map(|who| enters(who).hijacked()).collect();
    let mut check = |allowed: &[&Credential]| {
        for who in allowed {
            enters(who).ping();
        }
        for live in &mut lives {
            live.echo("no gap");
        }
    };
    // Both are let in; one client after the other moves.
    reloaded(&gate, true, || {
        gate.put("live/ca.pem", first_ca + &second_ca);
    });
    for moved in 0..=3 {
        let fleet: Vec<_> = after[..moved].iter().chain(&before[moved..]).collect();
        check(&fleet);
    }
    // The server's own certificate changes: key first, as the guide has it, which is one fault and no gap.
    gate.put("live/server-key.pem", second.text("server-key.pem"));
    check(&after.iter().collect::<Vec<_>>());
    reloaded(&gate, true, || {
        gate.put("live/server-cert.pem", second.text("server-cert.pem"));
    });
    check(&after.iter().chain(&before).collect::<Vec<_>>());
    // The old CA goes, and with it who has not moved.
    let mut moved: Vec<TlsClient> = after.iter().map(|who| enters(who).hijacked()).collect();
    reloaded(&gate, true, || gate.put("live/ca.pem", &second_ca));
    for live in lives {
        live.end().join().expect("cut");
    }
    for live in &mut moved {
        live.echo("no gap");
    }
    for who in &after {
        enters(who).ping();
    }
    let refused = TlsClient::admitted(
        gate.addr,
        client_config(&roots, Some(&before[0]), &[&TLS13]),
    );
    assert_eq!(refused.err().and_then(|e| e.alert), Some(48));
}
