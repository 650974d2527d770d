//! The rules against a directory, without a network. What stops between two steps is a value that is dropped there.

mod bounds;

use std::path::Path;

use pki::{
    Certificate, Passphrase, Purpose, San,
    crl::{self, IssuedList},
    event::{HOLD, IndexEvent, IssuedKind},
    index::Index,
    issue::{default_authority, now},
    key::{KeyType, PrivateKey},
    place::StorePlace,
    request::SigningRequest,
    rollover::Authorities,
    store::Paths,
    write::Existing,
};
use rustls_pki_types::SignatureVerificationAlgorithm;
use time::Duration;

use super::{EnrollRefusal, InvitationState, NewInvitation, SigningRules, invite};
use crate::token::Secret;

const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
    webpki::aws_lc_rs::ED25519,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
];

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("create a directory");
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let authority = default_authority(KeyType::P256).expect("a CA");
    let key = authority.key().to_pem().expect("its key");
    store
        .put_ca(&authority, Some(&key), Existing::Keep)
        .expect("write it");
    dir
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyType::P256).expect("a key")
}

fn request(key: &PrivateKey) -> SigningRequest {
    let der = SigningRequest::make(key).expect("a request");
    SigningRequest::read(&der, ALGORITHMS).expect("read it back")
}

fn alice() -> NewInvitation<'static> {
    NewInvitation {
        kind: IssuedKind::Client,
        name: "alice",
        organization: Some("Example"),
        organizational_unit: None,
        sans: &[],
        life_secs: Some(600),
        ttl_secs: 3600,
        uses: 1,
        existing: Existing::Keep,
        signer: &[],
    }
}

fn invited(dir: &Path, wanted: &NewInvitation<'_>) -> (String, Secret) {
    let mut store = StorePlace::directory(dir).open().expect("open it");
    let (invitation, secret) = invite(&mut store, wanted).expect("invite");
    (invitation.id, secret)
}

/// One request, in a process of its own as far as the directory can tell.
fn redeem(
    dir: &Path,
    (id, secret): &(String, Secret),
    key: &PrivateKey,
) -> Result<Certificate, EnrollRefusal> {
    let mut store = StorePlace::directory(dir).open()?;
    let authorities = Authorities::load(&store.paths, &Passphrase::Absent)?;
    let rules = SigningRules::default();
    let der = super::redeem(
        &mut store,
        &authorities,
        &rules,
        (id, secret),
        &request(key),
        now(),
    )?;
    Ok(Certificate::read(&der).expect("a certificate"))
}

fn renew(dir: &Path, held: &Certificate, key: &PrivateKey) -> Result<Certificate, EnrollRefusal> {
    renew_with(dir, held, &request(key))
}

fn renew_with(
    dir: &Path,
    held: &Certificate,
    request: &SigningRequest,
) -> Result<Certificate, EnrollRefusal> {
    let mut store = StorePlace::directory(dir).open()?;
    let authorities = Authorities::load(&store.paths, &Passphrase::Absent)?;
    let rules = SigningRules::default();
    let der = super::renew(
        &mut store,
        &authorities,
        &rules,
        &held.sha256,
        request,
        now(),
    )?;
    Ok(Certificate::read(&der).expect("a certificate"))
}

fn index(dir: &Path) -> Index {
    Index::read(&Paths::of(dir).index).expect("the index")
}

#[test]
fn names_and_life_are_the_invitations_and_the_secret_is_stored_nowhere() {
    let dir = directory();
    let invitation = invited(dir.path(), &alice());
    let got = redeem(dir.path(), &invitation, &key()).expect("a certificate");
    assert_eq!(got.subject, "O=Example, CN=alice");
    assert!(got.permits(Purpose::Client) && !got.permits(Purpose::Server) && !got.is_ca);
    assert_eq!((got.not_after - got.not_before).whole_seconds(), 900);
    let written = std::fs::read_to_string(Paths::of(dir.path()).index).expect("the index");
    assert!(!written.contains(invitation.1.expose()), "{written}");
    assert!(written.contains(&invitation.0), "{written}");
}

#[test]
fn a_gate_gets_a_servers_certificate_alone_and_never_a_name_of_the_signer() {
    let dir = directory();
    let san = |text: &str| San::parse(text).expect("a name");
    let (gate, signer) = (
        [san("docker2.example")],
        [san("signer.example"), san("*.inner.example")],
    );
    let wanted = NewInvitation {
        kind: IssuedKind::Server,
        name: "docker2",
        sans: &gate,
        signer: &signer,
        ..alice()
    };
    let got = redeem(dir.path(), &invited(dir.path(), &wanted), &key()).expect("a certificate");
    assert!(got.permits(Purpose::Server) && !got.permits(Purpose::Client));
    assert_eq!(got.sans, gate);
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let many: Vec<_> = (0..65).map(|it| san(&format!("n{it}.example"))).collect();
    let wide = NewInvitation {
        sans: &many[..64],
        name: "wide",
        ..wanted.clone()
    };
    invite(&mut store, &wide).expect("as many names as there may be");
    for (sans, name) in [
        (&many[..], "other"),
        (&[san("signer.example")], "other"),
        (&[san("a.inner.example")], "other"),
        (&[san("*.inner.example")], "other"),
        (&[], "other"),
        (&gate, "server"),
    ] {
        let wanted = NewInvitation {
            sans,
            name,
            ..wanted.clone()
        };
        invite(&mut store, &wanted).expect_err("not that name");
    }
}

#[test]
fn an_invitation_is_good_for_its_uses_and_everything_else_gets_one_answer() {
    let dir = directory();
    let twice = invited(
        dir.path(),
        &NewInvitation {
            uses: 2,
            name: "ci",
            ..alice()
        },
    );
    let once = invited(dir.path(), &alice());
    let gone = invited(
        dir.path(),
        &NewInvitation {
            name: "bob",
            ..alice()
        },
    );
    super::withdraw(
        &mut StorePlace::directory(dir.path()).open().expect("open"),
        &gone.0,
    )
    .expect("take it back");
    let same = key();
    redeem(dir.path(), &once, &same).expect("the first use");
    redeem(dir.path(), &twice, &key()).expect("one");
    redeem(dir.path(), &twice, &key()).expect("two");
    let wrong = (
        twice.0.clone(),
        Secret::new("AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
    );
    let unknown = ("AAAAAAAAAAA".to_owned(), once.1.clone());
    let crossed = (once.0.clone(), twice.1.clone());
    for (invitation, key) in [
        (&once, &same),
        (&once, &key()),
        (&twice, &key()),
        (&gone, &key()),
        (&wrong, &key()),
        (&unknown, &key()),
        (&crossed, &key()),
    ] {
        match redeem(dir.path(), invitation, key) {
            Err(EnrollRefusal::Unauthorized) => {}
            other => panic!("{other:?}"),
        }
    }
    let index = index(dir.path());
    let states: Vec<_> = index
        .invitations()
        .map(|it| super::state(&index, it, now()))
        .collect();
    assert_eq!(
        states,
        [
            InvitationState::Used,
            InvitationState::Used,
            InvitationState::Withdrawn
        ]
    );
}

#[test]
fn an_invitation_ends_with_its_time() {
    let dir = directory();
    let (id, secret) = invited(
        dir.path(),
        &NewInvitation {
            ttl_secs: 60,
            ..alice()
        },
    );
    let index = index(dir.path());
    let found = |after| {
        super::authenticate(&index, &id, &secret, now() + Duration::seconds(after)).is_some()
    };
    assert!(found(50));
    assert!(!found(61));
}

#[test]
fn a_request_that_cannot_be_used_burns_no_use() {
    let dir = directory();
    let invitation = invited(dir.path(), &alice());
    let weak = SigningRequest {
        key: "RSA 1024".into(),
        ..request(&key())
    };
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let authorities = Authorities::load(&store.paths, &Passphrase::Absent).expect("the CA");
    for kind in [
        "RSA 1024",
        "RSA 8192",
        "ECDSA P-521",
        "ECDSA P-224",
        "DSA",
        "RSA-PSS",
    ] {
        let weak = SigningRequest {
            key: kind.into(),
            ..request(&key())
        };
        let tried = super::redeem(
            &mut store,
            &authorities,
            &SigningRules::default(),
            (&invitation.0, &invitation.1),
            &weak,
            now(),
        );
        assert!(
            matches!(tried, Err(EnrollRefusal::Request(_))),
            "{kind}: {tried:?}"
        );
    }
    drop((store, weak));
    redeem(dir.path(), &invitation, &key()).expect("the use is left");
}

#[test]
fn a_renewal_has_a_new_key_and_the_same_names_and_a_lost_answer_is_given_again() {
    let dir = directory();
    let first_key = key();
    let first = redeem(dir.path(), &invited(dir.path(), &alice()), &first_key).expect("the first");
    let same = renew(dir.path(), &first, &first_key);
    assert!(matches!(same, Err(EnrollRefusal::Request(_))), "{same:?}");
    let renamed = SigningRequest {
        subject: "CN=root".into(),
        ..request(&key())
    };
    let renamed = renew_with(dir.path(), &first, &renamed);
    assert!(
        matches!(renamed, Err(EnrollRefusal::Request(_))),
        "{renamed:?}"
    );
    let sans = SigningRequest {
        sans: vec![San::Dns("root".into())],
        ..request(&key())
    };
    let sans = renew_with(dir.path(), &first, &sans);
    assert!(matches!(sans, Err(EnrollRefusal::Request(_))), "{sans:?}");
    let next_key = key();
    let named = SigningRequest {
        subject: first.subject.clone(),
        ..request(&next_key)
    };
    let second = renew_with(dir.path(), &first, &named).expect("the second");
    assert_eq!(
        (&second.subject, &second.sans),
        (&first.subject, &first.sans)
    );
    assert_ne!(second.serial, first.serial);
    let again = renew(dir.path(), &first, &next_key).expect("the lost answer");
    assert_eq!(again, second);
    let third = renew(dir.path(), &second, &key()).expect("the third");
    let generations: Vec<_> = index(dir.path())
        .issued()
        .filter_map(|it| Some(it.enrolled.as_ref()?.generation))
        .collect();
    assert_eq!(generations, [1, 2, 3]);
    assert!(third.not_after >= first.not_after);
}

#[test]
fn a_copy_puts_the_whole_line_on_hold_until_it_is_allowed() {
    let dir = directory();
    let first = redeem(dir.path(), &invited(dir.path(), &alice()), &key()).expect("the first");
    let second = renew(dir.path(), &first, &key()).expect("the second");
    let bob = invited(
        dir.path(),
        &NewInvitation {
            name: "bob",
            ..alice()
        },
    );
    let bob = redeem(dir.path(), &bob, &key()).expect("another line");
    match renew(dir.path(), &first, &key()) {
        Err(EnrollRefusal::Copy { name, serials }) => {
            assert_eq!(name, "alice");
            assert_eq!(serials, [first.serial.clone(), second.serial.clone()]);
        }
        other => panic!("{other:?}"),
    }
    // What is on hold raises no second alarm.
    for held in [&first, &second] {
        let tried = renew(dir.path(), held, &key());
        assert!(
            matches!(tried, Err(EnrollRefusal::Forbidden(_))),
            "{tried:?}"
        );
    }
    renew(dir.path(), &bob, &key()).expect("nobody else is concerned");
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let authority = store.paths.authority(&Passphrase::Absent).expect("the CA");
    let listed = |list: &IssuedList| {
        list.entries
            .iter()
            .map(|it| it.serial.clone())
            .collect::<Vec<_>>()
    };
    let list = crl::publish(&mut store, &authority, 7).expect("a list");
    assert_eq!(listed(&list), [first.serial.clone(), second.serial.clone()]);
    let allowed = super::allow(&mut store, "alice", now()).expect("allow");
    assert_eq!(allowed.len(), 2);
    super::allow(&mut store, "alice", now()).expect_err("nothing is on hold");
    let list = crl::publish(&mut store, &authority, 7).expect("a list");
    assert!(listed(&list).is_empty());
    drop(store);
    renew(dir.path(), &second, &key()).expect("the line goes on");
}

#[test]
fn what_was_revoked_for_good_is_not_renewed_raises_no_alarm_and_is_never_allowed() {
    let dir = directory();
    let first = redeem(dir.path(), &invited(dir.path(), &alice()), &key()).expect("the first");
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let revoked = pki::event::IndexRevocation {
        at: pki::timestamp(now()),
        serial: first.serial.clone(),
        reason: "keyCompromise".into(),
        issuer_key_id: None,
    };
    store
        .index
        .append(IndexEvent::Revoked(revoked))
        .expect("revoke");
    super::allow(&mut store, "alice", now()).expect_err("not on hold");
    drop(store);
    let tried = renew(dir.path(), &first, &key());
    assert!(
        matches!(tried, Err(EnrollRefusal::Forbidden(_))),
        "{tried:?}"
    );
    let reasons: Vec<_> = index(dir.path())
        .revoked()
        .map(|it| it.reason.clone())
        .collect();
    assert_eq!(reasons, ["keyCompromise"], "and nothing is {HOLD}");
}

#[test]
fn what_has_ended_is_not_renewed_unless_the_signer_forgives_it() {
    let dir = directory();
    let first = redeem(dir.path(), &invited(dir.path(), &alice()), &key()).expect("the first");
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let authorities = Authorities::load(&store.paths, &Passphrase::Absent).expect("the CA");
    let later = now() + Duration::seconds(700);
    let mut tried = |late_secs| {
        let rules = SigningRules {
            late_secs,
            ..SigningRules::default()
        };
        super::renew(
            &mut store,
            &authorities,
            &rules,
            &first.sha256,
            &request(&key()),
            later,
        )
    };
    assert!(matches!(tried(0), Err(EnrollRefusal::Forbidden(_))));
    assert!(matches!(tried(50), Err(EnrollRefusal::Forbidden(_))));
    assert!(tried(200).is_ok());
}

#[test]
fn a_certificate_that_did_not_come_by_invitation_does_not_renew() {
    let dir = directory();
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let authority = store.paths.authority(&Passphrase::Absent).expect("the CA");
    let grant = store.grant_client("tar", Existing::Keep).expect("a name");
    let asked = pki::store::ClientRequest {
        organization: None,
        organizational_unit: None,
        uris: &[],
        days: pki::issue::Days::UpTo(1),
        key_type: KeyType::P256,
    };
    let (made, _) = store
        .sign_client(&authority, &grant, &asked)
        .expect("a certificate");
    drop(store);
    let tried = renew(dir.path(), &made.info, &key());
    assert!(
        matches!(tried, Err(EnrollRefusal::Forbidden(_))),
        "{tried:?}"
    );
}

#[test]
fn a_crash_between_any_two_steps_leaves_index_and_certificates_in_agreement() {
    let dir = directory();
    let invitation = invited(dir.path(), &alice());
    let path = Paths::of(dir.path()).index;
    let before = std::fs::read(&path).expect("the index");
    let first_key = key();
    let first = redeem(dir.path(), &invitation, &first_key).expect("the first");
    let after = std::fs::read(&path).expect("the index");
    // The use and the certificate are one line: wherever its writing stops, both are there or neither is.
    for cut in [
        before.len(),
        before.len() + 1,
        (before.len() + after.len()) / 2,
        after.len() - 1,
    ] {
        std::fs::write(&path, &after[..cut]).expect("cut the index");
        assert_eq!(
            index(dir.path()).uses(&invitation.0).count(),
            0,
            "cut at {cut}"
        );
        let again = redeem(dir.path(), &invitation, &first_key).expect("the use is left");
        assert!(
            index(dir.path())
                .issued()
                .any(|it| it.serial == again.serial)
        );
    }
    std::fs::write(&path, &after).expect("the whole index");
    assert!(redeem(dir.path(), &invitation, &key()).is_err(), "spent");
    // Recorded, but the answer was never sent: the same key gets the same certificate.
    let next_key = key();
    let lost = renew(dir.path(), &first, &next_key).expect("a renewal whose answer is lost");
    assert_eq!(
        renew(dir.path(), &first, &next_key).expect("asked again"),
        lost
    );
    // On hold in the index, but not yet on the list: the next list has it.
    assert!(matches!(
        renew(dir.path(), &first, &key()),
        Err(EnrollRefusal::Copy { .. })
    ));
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let authority = store.paths.authority(&Passphrase::Absent).expect("the CA");
    let list = crl::publish(&mut store, &authority, 7).expect("a list");
    assert_eq!(list.entries.len(), 2);
}

#[test]
fn events_of_a_later_version_are_passed_over_and_a_later_form_is_not() {
    let dir = directory();
    let path = Paths::of(dir.path()).index;
    let mut text = std::fs::read_to_string(&path).expect("the index");
    text.push_str("{\"event\":\"blessed\",\"by\":\"a later dockgate\"}\n");
    std::fs::write(&path, &text).expect("write it");
    assert_eq!(index(dir.path()).issued().count(), 1);
    redeem(dir.path(), &invited(dir.path(), &alice()), &key()).expect("it goes on");
    text.push_str("{\"event\":\"format\",\"version\":2}\n");
    std::fs::write(&path, &text).expect("write it");
    let error = Index::read(&path).expect_err("another form");
    assert!(error.to_string().contains("the form 2"), "{error}");
}
