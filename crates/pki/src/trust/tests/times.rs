//! Ends of validity, what is remembered until then, and which of several paths counts.

use std::sync::Arc;

use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;

use super::super::cache::{ChainCache, MOST};
use super::super::{Certificate, DenyList, RejectionReason};
use super::support::{
    NOON, ask, at, authority, ca_params, date, denying, leaf, leaf_of, leaf_params, list, reason,
    store, with_key,
};

#[test]
fn a_chain_is_computed_once_and_every_other_chain_for_itself() {
    let root = authority("root", NOON + 1000, None);
    let store = store(&[&root], Vec::new());
    let (one, two) = (
        leaf("one", NOON + 500, &root),
        leaf("two", NOON + 500, &root),
    );
    let first = ask(&store, &one, &[], NOON).expect("one is good");
    let again = ask(&store, &one, &[], NOON).expect("one is good");
    assert!(Arc::ptr_eq(&first, &again));
    let other = ask(&store, &two, &[], NOON).expect("two is good");
    assert_eq!(first.identity.common_names, ["one"]);
    assert_eq!(other.identity.common_names, ["two"]);
    // The same leaf with other certificates beside it is another chain.
    let beside = ask(&store, &one, &[&root], NOON).expect("one is good");
    assert!(!Arc::ptr_eq(&first, &beside));
    assert_eq!(first.identity, beside.identity);
}

#[test]
fn a_leaf_is_refused_in_the_second_after_its_end_though_it_was_remembered() {
    let root = authority("root", NOON + 1000, None);
    let store = store(&[&root], Vec::new());
    let one = leaf("one", NOON + 500, &root);
    let first = ask(&store, &one, &[], NOON).expect("good");
    let last = ask(&store, &one, &[], NOON + 500).expect("its last second");
    assert!(Arc::ptr_eq(&first, &last));
    assert_eq!(
        reason(ask(&store, &one, &[], NOON + 501)),
        RejectionReason::Expired
    );
    // A clock that goes back is believed, but not from memory.
    let back = ask(&store, &one, &[], NOON - 1).expect("still valid then");
    assert!(!Arc::ptr_eq(&first, &back));
    let early = ask(&store, &one, &[], NOON - 1001);
    assert_eq!(reason(early), RejectionReason::NotYetValid);
}

#[test]
fn an_intermediate_that_ends_first_ends_what_was_remembered_and_is_named() {
    let root = authority("root", NOON + 1000, None);
    let middle = authority("middle", NOON + 100, Some(&root));
    let one = leaf("one", NOON + 500, &middle);
    let store = store(&[&root], Vec::new());
    ask(&store, &one, &[&middle], NOON).expect("good");
    ask(&store, &one, &[&middle], NOON + 100).expect("the last second");
    let refused = ask(&store, &one, &[&middle], NOON + 101).expect_err("over");
    assert_eq!(refused.reason, RejectionReason::IssuerExpired);
    assert!(
        refused.why().contains("CN=middle\" expired on 2030-01-01T"),
        "{refused}"
    );
}

#[test]
fn a_ca_that_ends_ends_what_it_vouched_for_and_nothing_else() {
    let (old, new) = (
        authority("old", NOON + 100, None),
        authority("new", NOON + 1000, None),
    );
    let (by_old, by_new) = (leaf("one", NOON + 500, &old), leaf("two", NOON + 500, &new));
    let both = store(&[&old, &new], Vec::new());
    for one in [&by_old, &by_new] {
        ask(&both, one, &[], NOON).expect("good");
        ask(&both, one, &[], NOON + 100).expect("the last second");
    }
    let over = ask(&both, &by_old, &[], NOON + 101);
    assert_eq!(reason(over), RejectionReason::IssuerExpired);
    ask(&both, &by_new, &[], NOON + 101).expect("good");
    // Presenting the old one with the leaf does not revive it.
    let presented = ask(&both, &by_old, &[&old], NOON + 101);
    assert_eq!(reason(presented), RejectionReason::IssuerExpired);
    // Before its time a CA vouches for nobody either.
    let late = authority("late", NOON + 1000, None);
    let mut early = leaf_params("early", NOON + 500);
    early.not_before = date(NOON - 5000);
    let early = leaf_of(&early, &late);
    let late = store(&[&late], Vec::new());
    let refused = ask(&late, &early, &[], NOON - 1001);
    assert_eq!(reason(refused), RejectionReason::IssuerExpired);
    ask(&late, &early, &[], NOON - 1000).expect("now");
}

#[test]
fn a_renewed_ca_of_the_same_key_vouches_on() {
    let key = KeyPair::generate().expect("a key");
    let pem = key.serialize_pem();
    let old = with_key(ca_params("one ca", NOON + 100), key, None);
    let key = KeyPair::from_pem(&pem).expect("the same key");
    let new = with_key(ca_params("one ca", NOON + 1000), key, None);
    let one = leaf("one", NOON + 500, &old);
    for order in [[&old, &new], [&new, &old]] {
        let both = store(&order, Vec::new());
        let admitted = ask(&both, &one, &[], NOON + 101).expect("by the new one");
        assert_eq!(admitted.until, i64::try_from(NOON + 500).expect("in range"));
    }
    let alone = store(&[&old], Vec::new());
    ask(&alone, &one, &[], NOON + 101).expect_err("over");
}

/// Two roots vouch for one intermediate; each way to it has a fault of its own or none.
#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn every_certificate_of_the_path_satisfies_everything_or_another_path_is_taken() {
    let (a, b) = (
        authority("root A", NOON + 1000, None),
        authority("root B", NOON + 1000, None),
    );
    let key = KeyPair::generate().expect("a key");
    let pem = key.serialize_pem();
    let mut by_a = ca_params("middle", NOON + 900);
    by_a.serial_number = Some(vec![0xa].into());
    let by_a = with_key(by_a, key, Some(&a));
    let key = KeyPair::from_pem(&pem).expect("the same key");
    let mut by_b = ca_params("middle", NOON + 900);
    by_b.serial_number = Some(vec![0xb].into());
    let by_b = with_key(by_b, key, Some(&b));
    let one = leaf("one", NOON + 500, &by_a);
    let pin = |ca: &super::support::TestCa| Certificate::read(&ca.der).expect("readable");
    let deny = |serials: &[&str], pins: &[[u8; 32]]| DenyList {
        serials: serials.iter().map(|it| it.parse().expect("hex")).collect(),
        spki_sha256: pins.iter().copied().collect(),
    };
    let lists = |by_a: &[u8], by_b: &[u8]| {
        let middle = list(1, NOON + 900, &[], &pin_of(&pem));
        vec![
            list(1, NOON + 900, by_a, &a),
            list(1, NOON + 900, by_b, &b),
            middle,
        ]
    };
    let root_a = pin(&a).details.spki_sha256;
    let root_b = pin(&b).details.spki_sha256;
    let middle = pin(&by_a).details.spki_sha256;
    for (name, denied, crls, lets_in) in [
        (
            "nothing is wrong",
            deny(&[], &[]),
            Vec::new(),
            Ok("CN=root A"),
        ),
        (
            "one cross-certificate is denied",
            deny(&["0a"], &[]),
            Vec::new(),
            Ok("CN=root B"),
        ),
        (
            "the other is denied",
            deny(&["0b"], &[]),
            Vec::new(),
            Ok("CN=root A"),
        ),
        (
            "both are denied",
            deny(&["0a", "0b"], &[]),
            Vec::new(),
            Err(RejectionReason::DenyListed),
        ),
        (
            "a root's key is denied",
            deny(&[], &[root_a]),
            Vec::new(),
            Ok("CN=root B"),
        ),
        (
            "both roots' keys are",
            deny(&[], &[root_a, root_b]),
            Vec::new(),
            Err(RejectionReason::DenyListed),
        ),
        (
            "the intermediate's key is denied",
            deny(&[], &[middle]),
            Vec::new(),
            Err(RejectionReason::DenyListed),
        ),
        (
            "one cross-certificate is revoked",
            deny(&[], &[]),
            lists(&[0xa], &[]),
            Ok("CN=root B"),
        ),
        (
            "both are revoked",
            deny(&[], &[]),
            lists(&[0xa], &[0xb]),
            Err(RejectionReason::Revoked),
        ),
        (
            "one revoked, the other denied",
            deny(&["0b"], &[]),
            lists(&[0xa], &[]),
            Err(RejectionReason::Revoked),
        ),
    ] {
        for above in [[&by_a, &by_b], [&by_b, &by_a]] {
            let store = denying(&[&a, &b], crls.clone(), denied.clone());
            let asked = ask(&store, &one, &above, NOON);
            match (asked, lets_in) {
                (Ok(admitted), Ok(ca)) if name != "nothing is wrong" => {
                    assert_eq!(admitted.ca, ca, "{name}");
                }
                (Ok(_), Ok(_)) => {}
                (Err(refused), Err(reason)) => assert!(
                    refused.reason == reason || refused.reason == RejectionReason::DenyListed,
                    "{name}: {refused}"
                ),
                (asked, _) => panic!("{name}: {asked:?}"),
            }
        }
    }
}

/// The intermediate of the test above, to sign its list.
fn pin_of(pem: &str) -> super::support::TestCa {
    let key = KeyPair::from_pem(pem).expect("the same key");
    with_key(ca_params("middle", NOON + 900), key, None)
}

#[test]
fn the_signer_is_told_from_another_ca_of_its_name() {
    let (one, two) = (
        authority("CA", NOON + 1000, None),
        authority("CA", NOON + 1000, None),
    );
    let both = store(&[&one, &two], Vec::new());
    let pin = |ca: &super::support::TestCa| {
        Some(
            Certificate::read(&ca.der)
                .expect("readable")
                .details
                .spki_sha256,
        )
    };
    for (by, above) in [(&one, vec![]), (&two, vec![]), (&two, vec![&one])] {
        let admitted = ask(&both, &leaf("c", NOON + 500, by), &above, NOON).expect("good");
        assert_eq!(admitted.identity.issuer_spki, pin(by));
    }
    let stranger = authority("CA", NOON + 1000, None);
    let refused = ask(&both, &leaf("c", NOON + 500, &stranger), &[], NOON);
    assert_eq!(reason(refused), RejectionReason::UnknownIssuer);
}

#[test]
fn an_intermediate_counts_if_a_configured_ca_vouches_for_it() {
    let root = authority("root", NOON + 1000, None);
    let middle = authority("middle", NOON + 1000, Some(&root));
    let low = authority("low", NOON + 1000, Some(&middle));
    let store = store(&[&root], Vec::new());
    let one = leaf("one", NOON + 500, &low);
    let low_pin = Certificate::read(&low.der)
        .expect("readable")
        .details
        .spki_sha256;
    for above in [[&low, &middle], [&middle, &low]] {
        let admitted = ask(&store, &one, &above, NOON).expect("good");
        assert_eq!(admitted.identity.issuer_spki, Some(low_pin));
        assert_eq!(admitted.ca, "CN=root");
    }
    let refused = ask(&store, &one, &[&low], NOON);
    assert_eq!(reason(refused), RejectionReason::UnknownIssuer);
}

#[test]
fn a_chain_with_the_ca_first_is_called_that() {
    let root = authority("root", NOON + 1000, None);
    let one = leaf("one", NOON + 500, &root);
    let store = store(&[&root], Vec::new());
    let refused = store
        .admit(&[root.der.clone(), one], at(NOON))
        .expect_err("out of order");
    assert!(refused.why().contains("must be the first"), "{refused}");
    let alone = ask(&store, &root.der, &[], NOON).expect_err("a CA");
    assert!(
        alone.why().contains("no CA is let in as a client"),
        "{alone}"
    );
}

#[test]
fn a_refusal_is_not_remembered_and_junk_is_refused() {
    let root = authority("root", NOON + 1000, None);
    let store = store(&[&root], Vec::new());
    let theirs = leaf(
        "theirs",
        NOON + 500,
        &authority("stranger", NOON + 1000, None),
    );
    for _ in 0..2 {
        let refused = ask(&store, &theirs, &[], NOON);
        assert_eq!(reason(refused), RejectionReason::UnknownIssuer);
    }
    let junk = [CertificateDer::from(vec![1, 2, 3])];
    let refused = store.admit(&junk, at(NOON)).expect_err("junk");
    assert_eq!(refused.reason, RejectionReason::Invalid);
    assert!(refused.identity.is_none());
    assert_eq!(
        store.admit(&[], at(NOON)).expect_err("nothing").reason,
        RejectionReason::Invalid
    );
    // Junk beside a good leaf changes nothing.
    let chain = [leaf("one", NOON + 500, &root), junk[0].clone()];
    store.admit(&chain, at(NOON)).expect("good");
}

#[test]
fn certificates_do_not_run_into_each_other_in_a_key() {
    let der = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
    let keys = [
        ChainCache::key(&[der(b"ab"), der(b"c")]),
        ChainCache::key(&[der(b"a"), der(b"bc")]),
        ChainCache::key(&[der(b"abc")]),
        ChainCache::key(&[der(b"abc"), der(b"")]),
    ];
    for (n, key) in keys.iter().enumerate() {
        assert!(!keys[..n].contains(key));
    }
}

#[test]
fn the_cache_never_holds_more_than_its_bound() {
    let root = authority("root", NOON + 1000, None);
    let store = store(&[&root], Vec::new());
    let admitted = ask(&store, &leaf("one", NOON + 500, &root), &[], NOON).expect("good");
    let cache = ChainCache::default();
    let now = i64::try_from(NOON).expect("in range");
    let key = |n: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        key
    };
    for n in 0..=MOST {
        cache.keep(key(n), now, &admitted);
        assert!(cache.get(&key(n), now).is_some());
    }
    let kept = (0..=MOST).filter(|n| cache.get(&key(*n), now).is_some());
    assert!(kept.count() <= MOST);
}

#[test]
fn a_deny_entry_holds_for_every_form_of_a_serial() {
    let root = authority("root", NOON + 1000, None);
    let long = [0x7f; 20];
    for (serial, forms) in [
        (&[0][..], &["0", "00", "0x00", "00:00"][..]),
        (&[7], &["7", "07", "0007", "0x7"]),
        (&[0, 0xff], &["ff", "00:FF", "0xff"]),
        (&long, &["7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f"]),
    ] {
        let mut params = leaf_params("one", NOON + 500);
        params.serial_number = Some(rcgen::SerialNumber::from_slice(serial));
        let one = leaf_of(&params, &root);
        for form in forms {
            let denied = DenyList {
                serials: [form.parse().expect("hex")].into(),
                ..DenyList::default()
            };
            let store = denying(&[&root], Vec::new(), denied);
            assert_eq!(
                reason(ask(&store, &one, &[], NOON)),
                RejectionReason::DenyListed,
                "{form}"
            );
        }
        let other = DenyList {
            serials: ["0123".parse().expect("hex")].into(),
            ..DenyList::default()
        };
        let store = denying(&[&root], Vec::new(), other);
        ask(&store, &one, &[], NOON).expect("another serial");
    }
}
