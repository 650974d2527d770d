//! JSON bodies: what is accepted means the same to serde_json.
#![no_main]

use docker_api::json::{Value, parse};
use libfuzzer_sys::fuzz_target;

fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
    match theirs {
        serde_json::Value::Array(list) => {
            ours.items().len() == list.len()
                && ours.items().iter().zip(list).all(|(a, b)| same(a, b))
        }
        serde_json::Value::Object(map) => {
            ours.members().len() == map.len()
                && ours
                    .members()
                    .iter()
                    .all(|(key, value)| map.get(key.as_ref()).is_some_and(|b| same(value, b)))
        }
        serde_json::Value::String(text) => ours.text() == Some(text),
        serde_json::Value::Null => *ours == Value::Null,
        serde_json::Value::Bool(flag) => *ours == Value::Bool(*flag),
        serde_json::Value::Number(_) => ours.kind() == "a number",
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(ours) = parse(bytes, 1 << 20) {
        // serde_json has no numbers beyond f64, which Go reads where the field's type allows it.
        if let Ok(theirs) = serde_json::from_slice(bytes) {
            assert!(same(&ours, &theirs), "{theirs}");
        }
    }
});
