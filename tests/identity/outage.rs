//! A database that is restarted under running signers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::postgres::own_postgres;

use crate::shared::Pair;
use crate::support::*;

#[test]
fn while_the_database_is_down_requests_are_told_so_and_after_it_the_signers_go_on() {
    let Some(server) = own_postgres() else { return };
    let pair = Pair::new(&server.url(&server.create()));
    let token = pair.invite(0, &["alice", "--uses", "2"]);
    assert_eq!(pair.enrol(0, &token).status, 200);
    server.stop();
    for host in 0..2 {
        let answer = pair.enrol(host, &token);
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("5"));
        let text = answer.text();
        assert!(
            text.contains("the signer's store cannot be used now"),
            "{text}"
        );
        assert_eq!(pair.get(host, "/.well-known/est/cacerts").status, 200);
        assert_eq!(pair.get(host, "/crl").status, 200);
    }
    for signer in &pair.signers {
        signer
            .log
            .said(0, "The store is lost: nothing is signed until it answers");
    }
    for words in [
        &["invite", "bob"][..],
        &["certs", "list"],
        &["certs", "revoke", "alice"],
    ] {
        let said = refused(pair.dir(0), words);
        assert!(
            said.contains("the store") && said.contains("hint: "),
            "{said}"
        );
    }
    server.start_again();
    for signer in &pair.signers {
        signer.log.said(0, "The store answers again");
    }
    // The use that was asked for while it was down is still there, and there is one.
    assert_eq!(pair.enrol(1, &token).status, 200);
    assert_eq!(pair.enrol(0, &token).status, 401);
    done(pair.dir(0), &["certs", "revoke", "alice"]);
}

#[test]
fn the_check_of_a_signers_health_waits_for_no_lock_and_goes_on_while_the_database_is_down() {
    let Some(server) = own_postgres() else { return };
    let pair = Pair::new(&server.url(&server.create()));
    let target = format!("tcp://localhost:{}", pair.signers[0].addr.port());
    let show = ["certs", "show", &target, "--dir", "certs"];
    let place = dockgate::signer::store_place(&pair.dir(0).join("certs"), &Default::default());
    let held = place.and_then(|it| it.open()).expect("both locks");
    let said = done(pair.dir(0), &show);
    assert!(said.contains("good to serve with"), "{said}");
    assert!(said.contains("of the store, no deny list"), "{said}");
    drop(held);
    server.stop();
    let said = done(pair.dir(0), &show);
    assert!(said.contains("good to serve with"), "{said}");
    assert!(
        said.contains("cannot look at the store") && said.contains("judging by the copies"),
        "{said}"
    );
}

#[test]
fn a_restart_amid_requests_loses_no_certificate_that_was_answered_and_spends_no_use_twice() {
    const USES: usize = 5_000;
    let Some(server) = own_postgres() else { return };
    let pair = Arc::new(Pair::new(&server.url(&server.create())));
    let token = pair.invite(0, &["ci", "--uses", &USES.to_string()]);
    let ended = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..4)
        .map(|n| {
            let (pair, token, ended) = (pair.clone(), token.clone(), ended.clone());
            std::thread::spawn(move || {
                let (mut good, mut late) = (0, 0);
                while !ended.load(Ordering::SeqCst) {
                    match pair.enrol(n % 2, &token).status {
                        200 => good += 1,
                        503 => late += 1,
                        other => panic!("{other}"),
                    }
                }
                (good, late)
            })
        })
        .collect();
    for _ in 0..3 {
        let marks = pair.signers.each_ref().map(|it| it.log.mark());
        server.restart();
        for (signer, mark) in pair.signers.iter().zip(marks) {
            signer.log.said(mark, "Issued a certificate");
        }
    }
    ended.store(true, Ordering::SeqCst);
    let ends = workers.into_iter().map(|it| it.join().expect("a worker"));
    let good: usize = ends.map(|(good, _late)| good).sum();
    let index = index(pair.dir(0));
    let issued = index.issued().filter(|it| it.name == "ci").count();
    // What was written right before a restart may have lost its answer; nothing else may differ.
    assert!(
        good >= 6 && issued >= good,
        "{good} answered, {issued} issued"
    );
    assert_eq!(index.uses(&token.id).count(), issued);
}
