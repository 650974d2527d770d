//! A reload with a fault publishes nothing, says which file and why, and the mended file is picked up.

use std::fs;

use testkit::gate::{ByFile, Files};
use testkit::pki::{Credential, Pki};

/// Asked for by SIGHUP: a fault that names `words`, while everyone keeps what they have.
#[track_caller]
fn keeps_the_old(gate: &ByFile, bob: &Credential, words: &[&str]) {
    let mut live = gate.connect(bob).hijacked();
    let server = gate.connect(bob).server();
    let fault = gate.reload_fails();
    for word in words {
        assert!(fault.contains(word), "{word:?} in {fault:?}");
    }
    live.echo("undisturbed");
    assert_eq!(gate.connect(bob).server(), server);
}

#[test]
fn a_key_that_does_not_match_keeps_the_old_pair_until_both_are_there() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    let gate = setup.start("reload-interval = \"200ms\"\n");
    gate.pki.certs(&["server", "--san", "localhost", "--force"]);
    let (old, mark) = (gate.connect(&bob).server(), gate.mark());
    gate.put("live/server-key.pem", gate.pki.text("server-key.pem"));
    let fault = gate.fault(mark);
    for word in ["server-key.pem", "server-cert.pem"] {
        assert!(fault.contains(word), "{fault}");
    }
    assert_eq!(gate.connect(&bob).server(), old);
    let mark = gate.mark();
    gate.put("live/server-cert.pem", gate.pki.text("server-cert.pem"));
    gate.said(mark, "Reloaded");
    assert_ne!(gate.connect(&bob).server(), old);
}

#[test]
fn each_kind_of_fault_is_logged_with_its_file_and_mended_by_polling() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    setup.pki.certs(&["crl"]);
    let list = setup.pki.text("crl.pem");
    let policy = "version = 1\n[[client]]\nmatch = { cn = \"bob\" }\nrole = \"admin\"\n";
    fs::write(setup.path("policy.toml"), policy).expect("written");
    fs::write(setup.path("list.pem"), &list).expect("written");
    let settings =
        "tlscrl = [\"list.pem\"]\npolicy = \"policy.toml\"\nreload-interval = \"200ms\"\n";
    let ca = setup.pki.text("ca.pem");
    let key = setup.pki.text("server-key.pem");
    let gate = setup.start(settings);
    let polled = |words: &[&str], break_it: &dyn Fn(), mend: &dyn Fn()| {
        let mut live = gate.connect(&bob).hijacked();
        let mark = gate.mark();
        break_it();
        let fault = gate.fault(mark);
        for word in words {
            assert!(fault.contains(word), "{word:?} in {fault:?}");
        }
        live.echo("undisturbed");
        gate.connect(&bob).ping();
        let mark = gate.mark();
        mend();
        gate.said(mark, "Reloaded");
        live.echo("undisturbed");
    };
    polled(
        &["policy.toml", "wizard"],
        &|| gate.put("policy.toml", policy.replace("admin", "wizard")),
        &|| gate.put("policy.toml", policy.to_owned() + "# mended\n"),
    );
    polled(
        &["dockgate.toml", "tls-crl"],
        &|| gate.configure(&format!("{settings}tls-crl = 1\n")),
        &|| gate.configure(settings),
    );
    polled(
        &["list.pem"],
        &|| fs::remove_file(gate.path("list.pem")).expect("removed"),
        &|| gate.put("list.pem", format!("\n{list}")),
    );
    polled(
        &["list.pem"],
        &|| gate.put("list.pem", &list[..list.len() / 2]),
        &|| gate.put("list.pem", &list),
    );
    polled(&["live/ca.pem"], &|| gate.put("live/ca.pem", ""), &|| {
        gate.put("live/ca.pem", format!("\n{ca}"));
    });
    polled(
        &["live/server-key.pem"],
        &|| gate.put("live/server-key.pem", "no key"),
        &|| gate.put("live/server-key.pem", format!("\n{key}")),
    );
    // What the configuration has come to name only now is watched as well.
    polled(
        &["later.toml"],
        &|| gate.configure(&settings.replace("policy.toml", "later.toml")),
        &|| gate.put("later.toml", policy),
    );
}

#[test]
fn a_standing_fault_is_logged_once_and_not_at_every_look() {
    let setup = Files::new();
    let gate = setup.start("reload-interval = \"50ms\"\n");
    let mark = gate.mark();
    gate.put("live/ca.pem", "no certificate");
    gate.fault(mark);
    // Nothing tells of a look that says nothing, so this is a wait: ten looks long.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let faults = gate.lines(mark, |line| line["level"] == "error");
    assert_eq!(faults.len(), 1, "{faults:#?}");
    let mark = gate.mark();
    gate.put("live/ca.pem", gate.pki.text("ca.pem"));
    gate.said(mark, "Reloaded");
}

#[test]
fn by_sighup_a_fault_keeps_the_old_as_well() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    let other = Pki::by_dockgate(&setup.path("other"), "another CA");
    let gate = setup.start("");
    gate.put("live/server-key.pem", other.text("server-key.pem"));
    keeps_the_old(&gate, &bob, &["server-key.pem", "server-cert.pem"]);
    gate.put("live/server-key.pem", gate.pki.text("server-key.pem"));
    fs::remove_file(gate.path("live/ca.pem")).expect("removed");
    keeps_the_old(&gate, &bob, &["ca.pem", "No such file"]);
    gate.put("live/ca.pem", gate.pki.text("ca.pem"));
    gate.configure("no-such-key = 1\n");
    keeps_the_old(&gate, &bob, &["no-such-key"]);
    gate.configure("");
    gate.reload();
}

#[test]
fn lists_that_have_all_gone_do_not_bring_the_revoked_back() {
    let setup = Files::new();
    let (eve, bob) = (
        setup.pki.client_by_dockgate("eve", &[]),
        setup.pki.client_by_dockgate("bob", &[]),
    );
    setup.pki.certs(&["revoke", "eve"]);
    fs::create_dir(setup.path("lists")).expect("made");
    fs::copy(setup.path("ca/crl.pem"), setup.path("lists/list.pem")).expect("copied");
    let gate = setup.start("tlscrl = [\"lists\"]\n");
    fs::remove_file(gate.path("lists/list.pem")).expect("removed");
    keeps_the_old(&gate, &bob, &["revocation lists", "tlscrl"]);
    assert_eq!(gate.refuses(&eve), (44, "revoked".into()));
    // Taking the setting out is another matter: that was meant.
    gate.configure("");
    gate.reload();
    gate.connect(&eve).ping();
}
