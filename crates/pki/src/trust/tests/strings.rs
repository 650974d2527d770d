//! Names in every string type that X.520 has for them, and keys of every kind.

use super::super::{Certificate, RejectionReason};
use super::lists::wrap;
use super::support::{Der, NOON, TestCa, ask, authority, leaf, store};
use crate::identity::Identity;

/// The same certificate with another value for its subject's common name, signed again.
fn renamed(of: &Der, by: &TestCa, tag: u8, value: &[u8]) -> Der {
    use rcgen::SigningKey;
    let element = |der| super::super::der::element(der).expect("an element");
    let outer = element(of);
    let tbs = element(outer.contents);
    let mut rest = tbs.contents;
    let mut parts = Vec::new();
    for position in 0.. {
        if rest.is_empty() {
            break;
        }
        let part = element(rest);
        if position == 5 {
            let oid = wrap(0x06, &[0x55, 0x04, 0x03]);
            let attribute = wrap(0x30, &[oid.as_slice(), &wrap(tag, value)].concat());
            parts.extend(wrap(0x30, &wrap(0x31, &attribute)));
        } else {
            parts.extend_from_slice(part.whole);
        }
        rest = part.rest;
    }
    let tbs_der = wrap(0x30, &parts);
    let algorithm = element(tbs.rest);
    let signature = by.issuer.key().sign(&tbs_der).expect("signed");
    let bits = wrap(0x03, &[&[0], signature.as_slice()].concat());
    wrap(0x30, &[tbs_der.as_slice(), algorithm.whole, &bits].concat()).into()
}

#[test]
fn a_name_is_read_whatever_string_type_it_was_written_in() {
    let root = authority("root", NOON + 1000, None);
    let plain = leaf("one", NOON + 500, &root);
    let store = store(&[&root], Vec::new());
    let utf16: Vec<u8> = "jürgen 🐳"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let utf32: Vec<u8> = "jürgen"
        .chars()
        .flat_map(|c| (c as u32).to_be_bytes())
        .collect();
    for (tag, value, name) in [
        (0x0c, "jürgen".as_bytes(), "jürgen"),
        (0x13, b"admin", "admin"),
        (0x16, b"a@b", "a@b"),
        (0x12, b"12", "12"),
        (0x1a, b"visible", "visible"),
        (0x14, b"j\xfcrgen", "jürgen"),
        (0x1e, &utf16, "jürgen 🐳"),
        (0x1c, &utf32, "jürgen"),
    ] {
        let one = renamed(&plain, &root, tag, value);
        let admitted = ask(&store, &one, &[], NOON).unwrap_or_else(|e| panic!("{tag:#x}: {e}"));
        assert_eq!(admitted.identity.common_names, [name], "tag {tag:#x}");
        let read = Certificate::read(&one).expect("readable");
        assert_eq!(read.subject, format!("CN={name}"));
    }
}

#[test]
fn what_is_not_text_is_refused_in_the_handshake_by_its_name() {
    let root = authority("root", NOON + 1000, None);
    let plain = leaf("one", NOON + 500, &root);
    let store = store(&[&root], Vec::new());
    for (tag, value) in [
        (0x0c, &b"\xff\xfe"[..]),
        (0x1e, b"\x00"),
        (0x1e, b"\xd8\x00"),
        (0x1c, b"\x00\x11\x00\x00"),
        (0x03, b"\x00\x41"),
        (0x02, b"\x07"),
    ] {
        let one = renamed(&plain, &root, tag, value);
        let refused = ask(&store, &one, &[], NOON).expect_err("not text");
        assert_eq!(refused.reason, RejectionReason::Invalid);
        assert!(
            refused
                .why()
                .contains("a common name in its subject is not text"),
            "{refused}"
        );
        assert!(Identity::from_der(&one).is_err());
    }
}
