//! Revocation lists: which of several counts, for which CA, and what is read at all.

use rcgen::{KeyPair, KeyUsagePurpose};

use super::super::{RejectionReason, RevocationList, TrustStore, Use};
use super::support::{
    Der, ListDer, NOON, TestCa, algorithms, ask, authority, authority_of, ca_params, leaf, list,
    reason, store,
};

/// The leaf of serial 7 that `root` issued is let in under these lists, or not.
fn judged(root: &TestCa, one: &Der, lists: Vec<ListDer>) -> Option<RejectionReason> {
    let asked = ask(&store(&[root], lists), one, &[], NOON);
    asked.err().map(|refused| refused.reason)
}

#[test]
fn whatever_any_list_in_time_revokes_is_revoked_in_any_order() {
    let root = authority("root", NOON + 1000, None);
    let one = leaf("one", NOON + 500, &root);
    let (old, new) = (
        list(1, NOON + 500, &[], &root),
        list(2, NOON + 500, &[7], &root),
    );
    let held = list(1, NOON + 500, &[7], &root);
    let released = list(2, NOON + 500, &[], &root);
    let expired = list(1, NOON - 10, &[7], &root);
    for (name, pair, expected) in [
        (
            "revoked by the newer",
            [&old, &new],
            Some(RejectionReason::Revoked),
        ),
        (
            "revoked by the older, which is in time",
            [&held, &released],
            Some(RejectionReason::Revoked),
        ),
        ("revoked by one out of time", [&expired, &released], None),
    ] {
        let [first, second] = pair;
        for lists in [[first, second], [second, first]] {
            let lists = lists.map(Clone::clone).to_vec();
            assert_eq!(judged(&root, &one, lists), expected, "{name}");
        }
    }
}

#[test]
fn the_newest_by_number_decides_whether_the_lists_are_in_time() {
    let root = authority("root", NOON + 1000, None);
    let one = leaf("one", NOON + 500, &root);
    let current = list(9, NOON + 500, &[], &root);
    let expired = list(8, NOON - 10, &[], &root);
    let lapsed_newest = list(300, NOON - 10, &[], &root);
    for (name, lists, expected) in [
        (
            "one out of time beside the newest",
            vec![&expired, &current],
            None,
        ),
        (
            "one out of time alone",
            vec![&expired],
            Some(RejectionReason::RevocationUnknown),
        ),
        (
            "the newest is out of time",
            vec![&current, &lapsed_newest],
            Some(RejectionReason::RevocationUnknown),
        ),
    ] {
        let lists: Vec<ListDer> = lists.into_iter().cloned().collect();
        let mut reversed = lists.clone();
        reversed.reverse();
        assert_eq!(judged(&root, &one, lists), expected, "{name}");
        assert_eq!(judged(&root, &one, reversed), expected, "{name}, reversed");
    }
}

#[test]
fn a_list_that_ends_ends_what_was_remembered() {
    let root = authority("root", NOON + 1000, None);
    let one = leaf("one", NOON + 500, &root);
    let store = store(&[&root], vec![list(1, NOON + 50, &[], &root)]);
    ask(&store, &one, &[], NOON).expect("good");
    ask(&store, &one, &[], NOON + 49).expect("the last second");
    let refused = ask(&store, &one, &[], NOON + 50).expect_err("out of time");
    assert_eq!(refused.reason, RejectionReason::RevocationUnknown);
    assert!(
        refused.why().contains("(number 1) ended on 2030-01-01T"),
        "{refused}"
    );
}

#[test]
fn a_ca_without_a_list_stays_closed_while_another_has_one() {
    let (with, without) = (
        authority("with", NOON + 1000, None),
        authority("without", NOON + 1000, None),
    );
    let store = store(&[&with, &without], vec![list(1, NOON + 500, &[], &with)]);
    ask(&store, &leaf("one", NOON + 500, &with), &[], NOON).expect("good");
    let refused = ask(&store, &leaf("two", NOON + 500, &without), &[], NOON);
    let refused = refused.expect_err("no list");
    assert_eq!(refused.reason, RejectionReason::RevocationUnknown);
    assert!(
        refused
            .why()
            .contains("no revocation list of \"CN=without\""),
        "{refused}"
    );
}

#[test]
fn a_list_counts_for_the_ca_whose_key_signed_it() {
    let (one, two) = (
        authority("CA", NOON + 1000, None),
        authority("CA", NOON + 1000, None),
    );
    let (by_one, by_two) = (leaf("a", NOON + 500, &one), leaf("b", NOON + 500, &two));
    let free = |by| list(1, NOON + 500, &[], by);
    let taken = |by| list(1, NOON + 500, &[7], by);
    // Both leaves have the serial number 7.
    for lists in [vec![free(&one), taken(&two)], vec![taken(&two), free(&one)]] {
        let store = store(&[&one, &two], lists);
        ask(&store, &by_one, &[], NOON).expect("its own list does not name it");
        assert_eq!(
            reason(ask(&store, &by_two, &[], NOON)),
            RejectionReason::Revoked
        );
    }
    let store = store(&[&one, &two], vec![free(&one)]);
    let refused = ask(&store, &by_two, &[], NOON).expect_err("no list of its own");
    assert_eq!(refused.reason, RejectionReason::RevocationUnknown);
    assert!(refused.why().contains("another key"), "{refused}");
}

#[test]
fn a_ca_that_may_not_sign_lists_has_none() {
    let mut params = ca_params("root", NOON + 1000);
    let may = authority_of(params.clone(), None);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::from_pem(&may.issuer.key().serialize_pem()).expect("the same key");
    let may_not = super::support::with_key(params, key, None);
    let one = leaf("one", NOON + 500, &may);
    let lists = vec![list(1, NOON + 500, &[], &may)];
    let refused = ask(&store(&[&may_not], lists.clone()), &one, &[], NOON).expect_err("cRLSign");
    assert_eq!(refused.reason, RejectionReason::RevocationUnknown);
    assert!(refused.why().contains("lacks cRLSign"), "{refused}");
    // Another certificate of the same CA that may sign lists is another path.
    ask(&store(&[&may_not, &may], lists), &one, &[], NOON).expect("by the other certificate");
}

#[test]
fn how_each_list_is_used_is_told() {
    let (root, other) = (
        authority("root", NOON + 1000, None),
        authority("other", NOON + 1000, None),
    );
    let stranger = authority("stranger", NOON + 1000, None);
    let lists = vec![
        list(1, NOON + 500, &[7], &root),
        list(2, NOON + 500, &[], &root),
        list(1, NOON + 500, &[], &other),
        list(1, NOON + 500, &[], &stranger),
    ];
    let store = store(&[&root, &other], lists);
    let uses: Vec<_> = store.lists().iter().map(|(_, used)| *used).collect();
    assert_eq!(
        uses,
        [Use::Older, Use::Decides, Use::Decides, Use::NoIssuer]
    );
    assert_eq!(store.revoked_by(store.lists()[0].0), 1);
}

/// Takes the version and the extensions from a list and signs the rest again: what `openssl ca -gencrl` writes when the
/// configuration names no extensions.
pub(super) fn version_one(of: &ListDer, by: &TestCa) -> ListDer {
    use rcgen::SigningKey;
    let outer = element(of);
    let tbs = element(outer.1);
    let mut rest = tbs.1;
    let mut kept = Vec::new();
    let mut first = true;
    while !rest.is_empty() {
        let (tag, _, whole, after) = split(rest);
        let is_version = first && tag == 0x02;
        if !is_version && tag != 0xa0 {
            kept.extend_from_slice(whole);
        }
        (rest, first) = (after, false);
    }
    let tbs_der = wrap(0x30, &kept);
    let (_, _, _, after_tbs) = split(outer.1);
    let (_, _, algorithm, _) = split(after_tbs);
    let signature = by.issuer.key().sign(&tbs_der).expect("signed");
    let bits = wrap(0x03, &[&[0], signature.as_slice()].concat());
    wrap(0x30, &[tbs_der.as_slice(), algorithm, &bits].concat()).into()
}

fn element(der: &[u8]) -> (u8, &[u8]) {
    let (tag, contents, ..) = split(der);
    (tag, contents)
}

/// Tag, contents, the whole element, and what follows.
fn split(der: &[u8]) -> (u8, &[u8], &[u8], &[u8]) {
    let read = super::super::der::element(der).expect("an element");
    (der[0], read.contents, read.whole, read.rest)
}

pub(super) fn wrap(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match contents.len() {
        length @ 0..0x80 => der.push(u8::try_from(length).expect("short")),
        length @ 0x80..0x100 => der.extend([0x81, u8::try_from(length).expect("short")]),
        length => {
            der.push(0x82);
            der.extend_from_slice(&u16::try_from(length).expect("not long").to_be_bytes());
        }
    }
    der.extend_from_slice(contents);
    der
}

#[test]
fn a_list_of_version_one_counts() {
    let root = authority("root", NOON + 1000, None);
    let one = leaf("one", NOON + 500, &root);
    let empty = version_one(&list(1, NOON + 500, &[], &root), &root);
    let naming = version_one(&list(2, NOON + 500, &[7], &root), &root);
    let read = RevocationList::read(&naming).expect("readable");
    assert_eq!((read.number_text, read.entries.len()), (None, 1));
    assert_eq!(judged(&root, &one, vec![empty.clone()]), None);
    assert_eq!(
        judged(&root, &one, vec![empty.clone(), naming]),
        Some(RejectionReason::Revoked)
    );
    // Without numbers the time they were made decides.
    let expired = version_one(&list(9, NOON - 10, &[], &root), &root);
    assert_eq!(
        judged(&root, &one, vec![expired, empty]),
        Some(RejectionReason::RevocationUnknown)
    );
    let forged = authority("root", NOON + 1000, None);
    let forged = version_one(&list(3, NOON + 500, &[], &root), &forged);
    assert_eq!(
        judged(&root, &one, vec![forged]),
        Some(RejectionReason::RevocationUnknown)
    );
}

#[test]
fn kinds_of_lists_that_cannot_be_relied_on_are_named() {
    // A complete list with one more extension, inserted before it is signed again.
    let root = authority("root", NOON + 1000, None);
    let with = |oid: &[u8], contents: &[u8]| {
        let extension = [
            wrap(0x06, oid).as_slice(),
            &[0x01, 0x01, 0xff],
            &wrap(0x04, contents),
        ]
        .concat();
        extended(&list(1, NOON + 500, &[], &root), &wrap(0x30, &extension))
    };
    for (list, words) in [
        (
            with(&[0x55, 0x1d, 0x1b], &[0x02, 0x01, 0x01]),
            "a delta list",
        ),
        (
            with(&[0x55, 0x1d, 0x1c], &wrap(0x30, &[0x84, 0x01, 0xff])),
            "an indirect list",
        ),
        (
            with(&[0x55, 0x1d, 0x1c], &wrap(0x30, &[0x85, 0x01, 0xff])),
            "attribute certificates",
        ),
        (
            with(&[0x55, 0x1d, 0x1c], &wrap(0x30, &[0x83, 0x02, 0x01, 0x02])),
            "for some reasons",
        ),
        (with(&[0x2a, 0x03], &[0x05, 0x00]), "1.2.3"),
    ] {
        let error = RevocationList::read(&list).expect_err("not to be relied on");
        assert!(error.contains(words), "{error:?} lacks {words:?}");
        let store = TrustStore::new(
            std::slice::from_ref(&root.der),
            vec![list],
            Default::default(),
            algorithms(),
        );
        assert!(store.is_err());
    }
    // A list of users only, or of CAs only, is read, and covers these.
    let one = leaf("one", NOON + 500, &root);
    let users = with(&[0x55, 0x1d, 0x1c], &wrap(0x30, &[0x81, 0x01, 0xff]));
    let cas = with(&[0x55, 0x1d, 0x1c], &wrap(0x30, &[0x82, 0x01, 0xff]));
    let (users, cas) = (resigned(&users, &root), resigned(&cas, &root));
    assert_eq!(judged(&root, &one, vec![users]), None);
    assert_eq!(
        judged(&root, &one, vec![cas]),
        Some(RejectionReason::RevocationUnknown)
    );
}

/// Puts an extension into a list; the signature no longer fits.
fn extended(list: &ListDer, extension: &[u8]) -> ListDer {
    let (_, outer, _, _) = split(list);
    let (_, tbs, _, after_tbs) = split(outer);
    let mut parts = Vec::new();
    let mut rest = tbs;
    while !rest.is_empty() {
        let (tag, contents, whole, after) = split(rest);
        if tag == 0xa0 {
            let (_, extensions, _, _) = split(contents);
            let extensions = wrap(0x30, &[extensions, extension].concat());
            parts.extend_from_slice(&wrap(0xa0, &extensions));
        } else {
            parts.extend_from_slice(whole);
        }
        rest = after;
    }
    wrap(0x30, &[wrap(0x30, &parts).as_slice(), after_tbs].concat()).into()
}

/// Signs a list again.
fn resigned(list: &ListDer, by: &TestCa) -> ListDer {
    use rcgen::SigningKey;
    let (_, outer, _, _) = split(list);
    let (_, _, tbs, after) = split(outer);
    let (_, _, algorithm, _) = split(after);
    let signature = by.issuer.key().sign(tbs).expect("signed");
    let bits = wrap(0x03, &[&[0], signature.as_slice()].concat());
    wrap(0x30, &[tbs, algorithm, &bits].concat()).into()
}
