//! What the reader accepts, an ordinary protobuf library understands alike.

mod theirs;

use std::collections::BTreeMap;

use buildkit::append::{field, map_entry};
use buildkit::calls::HistoryRequest;
use buildkit::{FrontendSolve, Solve, Unreadable, grpc};
use proptest::prelude::*;
use prost::Message;
use theirs::{TheirCache, TheirPair, TheirSolve};

#[derive(Clone, PartialEq, Message)]
struct TheirHistory {
    #[prost(bool, tag = "1")]
    active: bool,
    #[prost(string, tag = "2")]
    reference: String,
    #[prost(bool, tag = "3")]
    early: bool,
    #[prost(string, repeated, tag = "4")]
    filter: Vec<String>,
    #[prost(int32, tag = "5")]
    limit: i32,
}

fn pairs() -> impl Strategy<Value = Vec<TheirPair>> {
    let pair = (
        ".{0,6}",
        prop::collection::btree_map(".{0,4}", ".{0,6}", 0..3),
    )
        .prop_map(|(kind, attributes)| TheirPair { kind, attributes });
    prop::collection::vec(pair, 0..3)
}

fn solves() -> impl Strategy<Value = TheirSolve> {
    let map = || prop::collection::btree_map(".{0,5}", ".{0,8}", 0..4);
    let texts = (".{0,8}", ".{0,5}", ".{0,8}", ".{0,6}", ".{0,6}");
    let caches = prop::option::of((pairs(), pairs()));
    let words = prop::collection::vec(".{0,5}", 0..3);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (texts, map(), map(), caches, words, pairs(), flags).prop_map(
        |(texts, first, second, cache, entitlements, exporters, flags)| TheirSolve {
            reference: texts.0,
            exporter: texts.1,
            exporter_attributes: first,
            session: texts.2,
            frontend: texts.3,
            policy_session: texts.4,
            attributes: second,
            cache: cache.map(|(exports, imports)| TheirCache { exports, imports }),
            entitlements,
            internal: flags.0,
            exporters,
            session_exporter: flags.1,
            proxy: flags.2,
            ..TheirSolve::default()
        },
    )
}

fn owned(map: &BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    let owned = map.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

fn pair(kind: &str, attributes: &BTreeMap<&str, &str>) -> TheirPair {
    TheirPair {
        kind: kind.to_owned(),
        attributes: owned(attributes),
    }
}

fn same(ours: &Solve<'_>, theirs: &TheirSolve) {
    assert_eq!(ours.reference, theirs.reference);
    assert_eq!(ours.session, theirs.session);
    assert_eq!(ours.frontend, theirs.frontend);
    assert_eq!(ours.source_policy_session, theirs.policy_session);
    assert_eq!(ours.session_exporter, theirs.session_exporter);
    assert_eq!(ours.proxy_network, theirs.proxy);
    assert_eq!(owned(&ours.attributes), theirs.attributes);
    assert_eq!(ours.entitlements, theirs.entitlements);
    let mut exporters = theirs.exporters.clone();
    let deprecated = TheirPair {
        kind: theirs.exporter.clone(),
        attributes: theirs.exporter_attributes.clone(),
    };
    if deprecated != TheirPair::default() {
        exporters.push(deprecated);
    }
    let read = ours.exporters.iter().map(|e| pair(e.kind, &e.attributes));
    assert_eq!(read.collect::<Vec<_>>(), exporters);
    let cache = theirs.cache.clone().unwrap_or_default();
    let read = ours
        .cache_exports
        .iter()
        .map(|e| pair(e.kind, &e.attributes));
    assert_eq!(read.collect::<Vec<_>>(), cache.exports);
    let read = ours
        .cache_imports
        .iter()
        .map(|e| pair(e.kind, &e.attributes));
    assert_eq!(read.collect::<Vec<_>>(), cache.imports);
}

proptest! {
    #[test]
    fn what_a_library_has_written_is_read_alike(theirs in solves()) {
        let bytes = theirs.encode_to_vec();
        same(&Solve::read(&bytes).expect("an ordinary message"), &theirs);
    }

    #[test]
    fn what_is_read_of_damaged_bytes_a_library_reads_alike(
        theirs in solves(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = theirs.encode_to_vec();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let (Ok(ours), Ok(theirs)) = (Solve::read(&bytes), TheirSolve::decode(&bytes[..])) {
            same(&ours, &theirs);
        }
    }

    #[test]
    fn what_is_read_of_any_bytes_a_library_reads_alike(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let (Ok(ours), Ok(theirs)) = (Solve::read(&bytes), TheirSolve::decode(&bytes[..])) {
            same(&ours, &theirs);
        }
        if let (Ok(ours), Ok(theirs)) = (HistoryRequest::read(&bytes), TheirHistory::decode(&bytes[..])) {
            prop_assert_eq!(ours.reference, theirs.reference);
            prop_assert_eq!(ours.early_exit, theirs.early);
            prop_assert_eq!(ours.filtered, !theirs.filter.is_empty());
            prop_assert_eq!(ours.limited, theirs.limit != 0);
        }
        let _ = FrontendSolve::read(&bytes);
    }

    #[test]
    fn appended_fields_win_for_a_library_too(theirs in solves()) {
        let mut bytes = theirs.encode_to_vec();
        bytes.extend(map_entry(7, "key", "ours"));
        let read = TheirSolve::decode(&bytes[..]).expect("a message with one more entry");
        prop_assert_eq!(read.attributes.get("key").map(String::as_str), Some("ours"));
    }
}

fn refused(bytes: &[u8]) -> Unreadable {
    Solve::read(bytes).expect_err("it must be refused")
}

#[test]
fn a_field_that_is_split_over_two_occurrences_is_refused() {
    let mut bytes = Vec::new();
    field(&mut bytes, 1, b"one");
    assert_eq!(Solve::read(&bytes).map(|solve| solve.reference), Ok("one"));
    field(&mut bytes, 1, b"two");
    assert_eq!(refused(&bytes), Unreadable::Repeated("SolveRequest", 1));
    let mut definition = Vec::new();
    field(&mut definition, 2, b"");
    field(&mut definition, 2, b"");
    assert_eq!(
        refused(&definition),
        Unreadable::Repeated("SolveRequest", 2)
    );
}

#[test]
fn a_key_that_a_map_has_twice_is_refused() {
    let mut bytes = map_entry(7, "key", "one");
    assert!(Solve::read(&bytes).is_ok());
    bytes.extend(map_entry(7, "key", "two"));
    assert_eq!(refused(&bytes), Unreadable::RepeatedKey("SolveRequest", 7));
    // The key of an entry, twice.
    let mut bytes = Vec::new();
    field(&mut bytes, 7, b"\x0a\x01a\x0a\x01b");
    assert_eq!(refused(&bytes), Unreadable::Repeated("SolveRequest", 1));
}

#[test]
fn groups_unknown_fields_and_tags_beyond_32_bits_are_refused() {
    assert_eq!(refused(b"\x0b\x0c"), Unreadable::WireType("SolveRequest"));
    assert_eq!(refused(b"\x07"), Unreadable::WireType("SolveRequest"));
    assert_eq!(refused(b"\x00"), Unreadable::WireType("SolveRequest"));
    assert_eq!(
        refused(b"\xfa\x01\x00"),
        Unreadable::Unknown("SolveRequest", 31)
    );
    // Some libraries cut a tag to 32 bits: this would be field 1.
    assert_eq!(
        refused(b"\x8a\x80\x80\x80\x80\x01\x01a"),
        Unreadable::TooLong("SolveRequest")
    );
    assert_eq!(
        refused(b"\x58\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        Unreadable::TooLong("SolveRequest")
    );
    assert_eq!(
        refused(b"\x08\x01"),
        Unreadable::Mismatch("SolveRequest", 1)
    );
    assert_eq!(refused(b"\x0a\x05a"), Unreadable::Truncated("SolveRequest"));
    assert_eq!(
        refused(b"\x0a\x01\xff"),
        Unreadable::Text("SolveRequest", 1)
    );
}

#[test]
fn a_body_is_one_message_within_its_bound() {
    let framed = grpc::framed(&[b"ab", b"c"]).expect("small");
    assert_eq!(grpc::only_message(&framed, false), Ok(b"abc".to_vec()));
    let twice = [&framed[..], &framed[..]].concat();
    assert_eq!(grpc::only_message(&twice, false), Err(grpc::BadBody::More));
    assert_eq!(
        grpc::only_message(&framed[..6], false),
        Err(grpc::BadBody::Truncated)
    );
    assert_eq!(
        grpc::only_message(b"", false),
        Err(grpc::BadBody::Truncated)
    );
    assert_eq!(
        grpc::only_message(b"\x02\0\0\0\0", true),
        Err(grpc::BadBody::Compression)
    );
    assert_eq!(
        grpc::only_message(b"\x01\0\0\0\0", false),
        Err(grpc::BadBody::Compression)
    );
    let large = u32::try_from(grpc::MAX_MESSAGE + 1)
        .expect("small")
        .to_be_bytes();
    assert_eq!(
        grpc::announced(&[&[0][..], &large].concat()),
        Err(grpc::BadBody::TooLarge)
    );
}

fn gzip(content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).expect("write to memory");
    encoder.finish().expect("write to memory")
}

fn compressed(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("small");
    [&[1][..], &length.to_be_bytes(), content].concat()
}

#[test]
fn gzip_is_inflated_within_the_bound_with_all_its_members() {
    let members = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(
        grpc::only_message(&compressed(&members), true),
        Ok(b"one two".to_vec())
    );
    let bomb = gzip(&vec![0; grpc::MAX_MESSAGE + 1]);
    assert!(bomb.len() < 64 * 1024);
    assert_eq!(
        grpc::only_message(&compressed(&bomb), true),
        Err(grpc::BadBody::TooLarge)
    );
    assert_eq!(
        grpc::only_message(&compressed(b"no gzip"), true),
        Err(grpc::BadBody::Gzip)
    );
}

#[test]
fn long_lists_are_refused() {
    let mut bytes = Vec::new();
    for _ in 0..=buildkit::MAX_LIST {
        field(&mut bytes, 9, b"");
    }
    assert_eq!(refused(&bytes), Unreadable::TooMany("SolveRequest", 9));
}

#[test]
fn a_source_policy_of_the_clients_can_be_read_to_its_end() {
    let message = |number: u32, bytes: &[u8]| {
        let mut out = Vec::new();
        field(&mut out, number, bytes);
        out
    };
    let rule = |rule: &[u8]| message(2, rule);
    let convert = [
        &[1 << 3, 2][..],
        &message(
            2,
            &[&message(1, b"docker-image://a")[..], &[2 << 3, 1]].concat(),
        ),
        &message(
            3,
            &[
                message(1, b"docker-image://b"),
                map_entry(2, "http.checksum", "sha256:0"),
            ]
            .concat(),
        ),
    ]
    .concat();
    let policy = [&[1 << 3, 1][..], &rule(&convert)].concat();
    let solve = |policy: &[u8]| [message(1, b"ref"), message(12, policy)].concat();
    let frontend = |policy: &[u8]| message(15, policy);
    assert!(Solve::read(&solve(&policy)).is_ok());
    assert!(FrontendSolve::read(&frontend(&policy)).is_ok());
    let becomes = |source: &str| rule(&message(3, &message(1, source.as_bytes())));
    let sets = |key| rule(&message(3, &map_entry(2, key, "v")));
    let constrained = |constraint: &[u8]| rule(&message(2, &message(3, constraint)));
    for broken in [
        b"\x0f".to_vec(),
        policy[..policy.len() - 1].to_vec(),
        message(3, b"later"),
        rule(&message(4, b"later")),
        rule(b"\x12\x05a"),
        rule(&[1 << 3, 1, 1 << 3, 0]),
        rule(&message(2, &message(4, b""))),
        rule(&message(2, &message(1, b"\xff"))),
        constrained(&message(4, b"")),
        rule(&message(3, &message(3, b""))),
        [&policy[..], &[1 << 3, 1]].concat(),
        // Another client's session, and another repository than the rules of the role have seen.
        sets("local.session"),
        sets("oci.session"),
        sets("git.fullurl"),
        sets("unknown"),
        becomes("local://context"),
        becomes("oci-layout://a/b@sha256:0"),
        becomes("docker-image:a"),
        becomes(""),
    ] {
        assert!(Solve::read(&solve(&broken)).is_err(), "{broken:?}");
        assert!(
            FrontendSolve::read(&frontend(&broken)).is_err(),
            "{broken:?}"
        );
    }
}
