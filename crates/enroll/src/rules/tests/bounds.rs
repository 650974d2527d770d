//! How many certificates one holder, and the jobs of one subject, can get.

use pki::{
    event::{Enrolled, Issued},
    rollover::{self, NextCa},
    timestamp,
};
use time::OffsetDateTime;

use super::super::{ci, due, redeem_token};
use super::*;
use crate::oidc::{ApprovedToken, OidcFault};

fn renew_at(
    dir: &Path,
    held: &Certificate,
    key: &PrivateKey,
    at: OffsetDateTime,
) -> Result<Certificate, EnrollRefusal> {
    let mut store = StorePlace::directory(dir).open()?;
    let authorities = Authorities::load(&store.paths, &Passphrase::Absent)?;
    let (rules, request) = (SigningRules::default(), request(key));
    let held = &held.sha256;
    let der = super::super::renew(&mut store, &authorities, &rules, held, &request, at)?;
    Ok(Certificate::read(&der).expect("a certificate"))
}

/// Renews as often as it is let; the last certificate, the one before it, and the key of the last.
fn renewed_to_the_end(dir: &Path, first: Certificate) -> (Certificate, Certificate, PrivateKey) {
    let (mut last, mut before, mut of_last) = (first.clone(), first, key());
    for _ in 1..due::MAX_ALIVE {
        let next = key();
        let renewed = renew(dir, &last, &next).expect("one of few");
        (before, last, of_last) = (last, renewed, next);
    }
    (last, before, of_last)
}

fn is_early<T>(tried: &Result<T, EnrollRefusal>) -> bool {
    matches!(tried, Err(EnrollRefusal::Early { .. }))
}

#[test]
fn who_renews_without_end_waits_until_it_is_due_and_others_do_not() {
    let dir = directory();
    let dir = dir.path();
    let first = redeem(dir, &invited(dir, &alice()), &key()).expect("the first");
    let (last, before, of_last) = renewed_to_the_end(dir, first);
    let tried = renew(dir, &last, &key());
    let Err(EnrollRefusal::Early { secs, alive, .. }) = tried else {
        panic!("{tried:?}");
    };
    assert!((190..=200).contains(&secs), "{secs}");
    assert_eq!(alive, due::MAX_ALIVE);
    // An answer that was lost is given again.
    let again = renew(dir, &before, &of_last).expect("the same again");
    assert_eq!(again.sha256, last.sha256);
    // Another line has its own.
    let bob = NewInvitation {
        name: "bob",
        ..alice()
    };
    let bob = redeem(dir, &invited(dir, &bob), &key()).expect("the first");
    renew(dir, &bob, &key()).expect("before its time, one of few");
    // When it is due, and where the clock was set back.
    assert!(is_early(&renew_at(
        dir,
        &last,
        &key(),
        now() + Duration::seconds(190)
    )));
    let back = now() - Duration::hours(1);
    let next = renew_at(dir, &last, &key(), back).expect("a clock was wrong");
    assert!(is_early(&renew(dir, &next, &key())));
    renew_at(dir, &next, &key(), now() + Duration::seconds(201)).expect("it is due");
}

#[test]
fn when_another_ca_takes_over_each_renews_at_once_and_then_waits_again() {
    let dir = directory();
    let dir = dir.path();
    let first = redeem(dir, &invited(dir, &alice()), &key()).expect("the first");
    let (last, ..) = renewed_to_the_end(dir, first);
    assert!(is_early(&renew(dir, &last, &key())));
    // A rollover that began in the same second counts as later.
    let mut store = StorePlace::directory(dir).open().expect("open it");
    let next = NextCa {
        name: None,
        key_type: KeyType::P256,
        days: 30,
        wait_secs: 60,
    };
    rollover::begin(&mut store, &Passphrase::Absent, &next).expect("begin");
    drop(store);
    let later = || now() + Duration::seconds(65);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // Before it signs, so that its certificate is known, and when it does.
    let waiting = renew(dir, &last, &key()).expect("a rollover has begun");
    assert!(is_early(&renew(dir, &waiting, &key())));
    let by_next = renew_at(dir, &waiting, &key(), later()).expect("another CA signs now");
    assert_ne!(by_next.issuer, waiting.issuer);
    assert!(is_early(&renew_at(dir, &by_next, &key(), later())));
}

fn token(id: &str, subject: &str) -> ApprovedToken {
    ApprovedToken {
        name: "ci".into(),
        organization: None,
        organizational_unit: None,
        life_secs: 3600,
        used_as: format!("oidc:{id}"),
        subject: subject.into(),
    }
}

/// A certificate by a token, of so long ago.
fn of_token(invitation: String, ago: Duration) -> IndexEvent {
    let at = now() - ago;
    IndexEvent::Issued(Issued {
        at: timestamp(at),
        kind: IssuedKind::Client,
        name: "ci".into(),
        serial: invitation.clone(),
        subject: "CN=ci".into(),
        not_after: timestamp(at + Duration::HOUR),
        sha256: invitation.clone(),
        spki_sha256: invitation.clone(),
        issuer_key_id: None,
        chosen: Vec::new(),
        enrolled: Some(Enrolled {
            invitation,
            predecessor: None,
            generation: 1,
            life_secs: 3600,
            der: String::new(),
        }),
    })
}

#[test]
fn the_jobs_of_one_subject_get_so_many_a_day_and_others_are_not_kept_waiting() {
    let dir = directory();
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let many = |subject: &'static str, ago: Duration| {
        let names = (0..ci::MAX_OF_SUBJECT).map(move |it| format!("oidc:{subject}{it}.{subject}"));
        names.map(move |name| of_token(name, ago))
    };
    let events = many("loop", Duration::hours(23)).chain(many("busy", Duration::hours(25)));
    let before = of_token("oidc:before".into(), Duration::minutes(1));
    store
        .index
        .append_all(events.chain([before]))
        .expect("write");
    let authority = store.paths.authority(&Passphrase::Absent).expect("the CA");
    let mut tried =
        |token: ApprovedToken| redeem_token(&mut store, &authority, &token, &request(&key()));
    let refused = tried(token("a", "loop"));
    assert!(
        matches!(refused, Err(EnrollRefusal::Many { .. })),
        "{refused:?}"
    );
    assert!(tried(token("b", "busy")).is_ok());
    assert!(tried(token("c", "other")).is_ok());
    // Good once, by whichever version it was used.
    for id in ["b", "before"] {
        let again = tried(token(id, "other"));
        let is_used = matches!(again, Err(EnrollRefusal::Token(OidcFault::Used)));
        assert!(is_used, "{id}: {again:?}");
    }
}
