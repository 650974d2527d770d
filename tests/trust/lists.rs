//! Revocation lists: files and directories, PEM and DER, several issuers; what has expired or cannot be read closes the gate.

use std::fs;

use time::{Duration, OffsetDateTime};

use testkit::client::TlsClient;
use testkit::gate::{Files, replace};
use testkit::pki::Pki;

#[test]
fn a_directory_of_lists_in_pem_and_der_from_several_issuers_is_read_as_one() {
    let setup = Files::new();
    let second = Pki::by_dockgate(&setup.path("second"), "second CA");
    let (ann, bob) = (
        setup.pki.client_by_dockgate("ann", &[]),
        setup.pki.client_by_dockgate("bob", &[]),
    );
    let (cid, dan) = (
        second.client_by_dockgate("cid", &[]),
        second.client_by_dockgate("dan", &[]),
    );
    let bundle = setup.pki.text("ca.pem") + &second.text("ca.pem");
    replace(&setup.path("live/ca.pem"), bundle);
    let until = OffsetDateTime::now_utc() + Duration::days(60);
    fs::create_dir(setup.path("lists")).expect("made");
    let pem = setup.pki.list(1, &[&ann], until).pem().expect("PEM");
    fs::write(setup.path("lists/first.pem"), pem).expect("written");
    let der = second.list(1, &[], until).der().to_vec();
    fs::write(setup.path("lists/second.crl"), der).expect("written");
    let gate = setup.start("tlscrl = [\"lists\"]\nreload-interval = \"200ms\"\n");
    assert_eq!(gate.refuses(&ann), (44, "revoked".into()));
    let mut bob = gate.connect(&bob);
    gate.connect(&dan).ping();
    let mark = gate.mark();
    let cid_live = gate.connect(&cid).hijacked();
    gate.put("lists/second.crl", second.list(2, &[&cid], until).der());
    gate.said(mark, "Reloaded");
    cid_live.end().join().expect("cut");
    assert_eq!(gate.refuses(&cid), (44, "revoked".into()));
    gate.connect(&dan).ping();
    bob.ping();
    // An issuer without a list: nobody can know who of its clients is revoked.
    let mark = gate.mark();
    fs::remove_file(gate.path("lists/second.crl")).expect("removed");
    gate.said(mark, "Reloaded");
    let (_, reason) = gate.refuses(&dan);
    assert_eq!(reason, "revocation_unknown");
    bob.ping();
}

#[test]
fn a_list_that_lapses_cuts_its_issuers_clients_and_a_fresh_one_lets_them_back_in() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    let soon = OffsetDateTime::now_utc() + Duration::seconds(10);
    let list = setup.pki.list(1, &[], soon).pem().expect("PEM");
    fs::write(setup.path("list.pem"), list).expect("written");
    let gate = setup.start("tlscrl = [\"list.pem\"]\n");
    let mark = gate.mark();
    let ends = [gate.connect(&bob), gate.connect(&bob).hijacked()].map(TlsClient::end);
    for end in ends {
        end.join().expect("cut");
    }
    let line = gate.said(
        mark,
        "A revocation list has expired; no client of its issuer is let in until a new one comes",
    );
    assert_eq!(
        (&line["cut"], &line["level"]),
        (&2.into(), &"warn".into()),
        "{line}"
    );
    for line in gate.cut(mark, 2) {
        let why = line["error"].as_str().expect("a text");
        assert!(why.contains("no current CRL covers"), "{line}");
    }
    assert_eq!(gate.refuses(&bob).1, "revocation_unknown");
    let later = OffsetDateTime::now_utc() + Duration::days(60);
    gate.put("list.pem", gate.pki.list(2, &[], later).pem().expect("PEM"));
    gate.reload();
    gate.connect(&bob).ping();
}

#[test]
fn a_list_that_had_lapsed_before_the_start_lets_nobody_in_and_says_so() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    let past = OffsetDateTime::now_utc() - Duration::hours(1);
    let list = setup.pki.list(1, &[], past).pem().expect("PEM");
    fs::write(setup.path("list.pem"), list).expect("written");
    let gate = setup.start("tlscrl = [\"list.pem\"]\n");
    let line = gate.said(0, "The revocation list has expired");
    assert!(
        line["name"]
            .as_str()
            .is_some_and(|n| n.contains("first CA")),
        "{line}"
    );
    assert_eq!(gate.refuses(&bob).1, "revocation_unknown");
}

#[test]
fn a_list_that_cannot_be_read_keeps_the_gate_from_starting_and_is_named() {
    let says = |prepare: &dyn Fn(&std::path::Path)| {
        let setup = Files::new();
        prepare(&setup.path("list.pem"));
        let text = setup.fails("tlscrl = [\"list.pem\"]\n");
        assert!(text.contains("list.pem"), "{text}");
        text
    };
    let missing = says(&|_| {});
    assert!(missing.contains("No such file"), "{missing}");
    says(&|list| fs::write(list, "-----BEGIN X509 CRL-----\nAAAA\n").expect("written"));
    says(&|list| fs::write(list, "").expect("written"));
    says(&|list| std::os::unix::fs::symlink("nowhere", list).expect("linked"));
}

#[test]
fn whatever_one_of_several_lists_revokes_is_revoked() {
    let setup = Files::new();
    let ann = setup.pki.client_by_dockgate("ann", &[]);
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    let now = OffsetDateTime::now_utc();
    let (until, past) = (now + Duration::days(30), now - Duration::hours(1));
    let pem = |number, revoked: &[_], until| {
        let list = setup.pki.list(number, revoked, until);
        list.pem().expect("PEM")
    };
    // In this order, last month's empty list let everybody in; one out of time beside it closes nothing.
    fs::create_dir(setup.path("lists")).expect("made");
    for (file, text) in [
        ("1-last-month.pem", pem(1, &[], until)),
        ("2-this-month.pem", pem(2, &[&ann], until)),
        ("0-long-ago.pem", pem(0, &[&bob], past)),
    ] {
        fs::write(setup.path("lists").join(file), text).expect("written");
    }
    let gate = setup.start("tlscrl = [\"lists\"]\n");
    assert_eq!(gate.refuses(&ann), (44, "revoked".into()));
    gate.connect(&bob).ping();
}
