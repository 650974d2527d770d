//! Distinguished names as text, whatever string type they were written in.
//!
//! RFC 5280 §4.1.2.4 allows five types for an attribute's value; old CAs use the three that are not UTF-8.

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The text of an attribute's value, if it is of a type that holds text and is well-formed.
pub(crate) fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value: &Any<'_> = attribute.attr_value();
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString => std::str::from_utf8(bytes).ok().map(str::to_owned),
        // T.61 in theory; in practice Latin-1, as OpenSSL and Go read it.
        Tag::T61String => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => utf16(bytes),
        Tag::UniversalString => utf32(bytes),
        _ => None,
    }
}

/// The name in one line, most significant part first: `O=Example, CN=ci`.
pub(crate) fn name(name: &X509Name<'_>) -> String {
    let mut line = String::new();
    for (position, relative) in name.iter_rdn().enumerate() {
        if position > 0 {
            line.push_str(", ");
        }
        for (position, attribute) in relative.iter().enumerate() {
            if position > 0 {
                line.push_str(" + ");
            }
            match oid2abbrev(attribute.attr_type(), oid_registry()) {
                Ok(short) => line.push_str(short),
                Err(_) => line.push_str(&attribute.attr_type().to_id_string()),
            }
            line.push('=');
            match text(attribute) {
                Some(text) => line.push_str(&text),
                // As RFC 4514 §2.4 writes what is not text.
                None => {
                    line.push('#');
                    line.push_str(&data_encoding::HEXLOWER.encode(attribute.attr_value().data));
                }
            }
        }
    }
    line
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

fn utf32(bytes: &[u8]) -> Option<String> {
    let (fours, []) = bytes.as_chunks::<4>() else {
        return None;
    };
    fours
        .iter()
        .map(|four| char::from_u32(u32::from_be_bytes(*four)))
        .collect()
}
