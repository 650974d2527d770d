//! The strict JSON reader: one reading, the same as any other parser's, or none.

use std::collections::BTreeMap;

use docker_api::json::{self, JsonError, MAX_DEPTH, Value, most_values};
use policy::DEFAULT_MAX_BODY;
use proptest::prelude::*;

use crate::readings::{open_policy, ours, passes, recorded};
use crate::support::cn;

fn parse(text: &[u8]) -> Result<Value<'_>, JsonError> {
    json::parse(text, DEFAULT_MAX_BODY)
}

fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Value::Number(a), serde_json::Value::Number(b)) => {
            // The other parser rounds long decimals to within a few units of the last place.
            let pair = a.as_f64().zip(b.as_f64());
            pair.is_some_and(|(a, b)| a == b || (a - b).abs() <= a.abs() * 1e-12)
        }
        (Value::Text(a), serde_json::Value::String(b)) => a == b,
        (Value::Array(a), serde_json::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), serde_json::Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key.as_ref()).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

/// Whether another parser reads the same. A number too large for its types is a number all the same: ours keeps it as text,
/// and a reader that decodes it into a field (Go does) refuses it there.
fn agrees(ours: &Value<'_>, text: &[u8]) -> bool {
    match serde_json::from_slice(text) {
        Ok(theirs) => same(ours, &theirs),
        Err(error) => error.to_string().starts_with("number out of range"),
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(
        parse(nested(MAX_DEPTH + 1).as_bytes()),
        Err(JsonError::TooDeep)
    );
    assert_eq!(
        parse("[".repeat(1 << 20).as_bytes()),
        Err(JsonError::TooDeep)
    );
}

#[test]
fn the_number_of_values_is_bounded_by_the_longest_body() {
    let zeros = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
    let most = most_values(DEFAULT_MAX_BODY);
    assert!(parse(zeros(most).as_bytes()).is_ok());
    assert_eq!(
        parse(zeros(most + 1).as_bytes()),
        Err(JsonError::TooMany(most))
    );
    // However short bodies have to be, an ordinary one fits.
    assert!(json::parse(zeros(4096).as_bytes(), 1024).is_ok());
    assert_eq!(
        json::parse(zeros(4097).as_bytes(), 1024),
        Err(JsonError::TooMany(4096))
    );
}

#[test]
fn go_would_mend_these_and_we_refuse_them() {
    assert_eq!(parse(b"\"\xff\""), Err(JsonError::NotUtf8));
    for surrogate in [
        &br#""\ud800""#[..],
        br#""\udc00""#,
        br#""\ud800\u0041""#,
        br#"{"\ud800":1}"#,
    ] {
        let read = parse(surrogate);
        assert!(matches!(read, Err(JsonError::Syntax(_))), "{read:?}");
    }
    assert_eq!(
        parse(br#"{"a":1,"\u0061":2}"#),
        Err(JsonError::Duplicate("a".into()))
    );
    assert!(matches!(parse(b"{} {}"), Err(JsonError::Syntax(_))));
    assert_eq!(parse(br#""\ud83d\ude00""#), Ok(Value::Text("😀".into())));
}

#[test]
fn what_passes_was_understood_the_same_by_a_real_engine_and_what_was_not_is_refused() {
    let policy = open_policy();
    let (mut same, mut tricked) = (0, 0);
    for line in recorded() {
        let body = line.bytes();
        let ours = ours(&body);
        match (passes(&policy, &cn("anybody"), &body), line.reads) {
            (true, Some(theirs)) => {
                assert_eq!(ours.as_ref(), Some(&theirs), "{}", line.body);
                same += 1;
            }
            (false, Some(theirs)) if ours != Some(theirs.clone()) => tricked += 1,
            _ => {}
        }
    }
    // Of both kinds there are many, or the record says nothing.
    assert!(same > 20 && tricked > 20, "{same} alike, {tricked} not");
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(
                |map: BTreeMap<String, serde_json::Value>| map
                    .into_iter()
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            ),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_document_is_read_as_another_parser_reads_it(value in document(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("serialises");
        let ours = parse(text.as_bytes()).expect("a plain document");
        prop_assert!(same(&ours, &value));
    }

    #[test]
    fn what_is_accepted_is_accepted_by_another_parser_and_means_the_same(
        text in "[\\[\\]{}:,\"\\\\a-c0-9eE+. \\-tfn\u{e9}\u{17f}]{0,24}",
    ) {
        if let Ok(ours) = parse(text.as_bytes()) {
            prop_assert!(agrees(&ours, text.as_bytes()), "{}", text);
        }
    }

    #[test]
    fn a_mutated_document_never_panics_and_never_gains_a_reading(value in document(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = value.to_string().into_bytes();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Ok(ours) = parse(&bytes) {
            prop_assert!(agrees(&ours, &bytes));
        }
    }

    #[test]
    fn a_repeated_key_is_always_refused(key in any::<String>(), first in document(), second in document()) {
        let key = serde_json::Value::String(key).to_string();
        let text = format!("{{{key}:{first},{key}:{second}}}");
        let refused = matches!(parse(text.as_bytes()), Err(JsonError::Duplicate(_)));
        prop_assert!(refused);
    }
}
