//! What the engine keeps in memory of an exec or a container until it is removed: variables, commands, labels.

use docker_api::json::Value;

use crate::findings::Findings;

/// Most bytes. Linux starts no program with much more: a half of what it takes by default.
const MOST: usize = 1 << 20;

/// A text's NUL and its pointer, which Linux counts too.
const EACH: usize = 9;

/// Judges everything that a body says.
pub(super) fn whole(body: &Value<'_>, out: &mut Findings<'_>) {
    if bytes(body) > MOST {
        let why = format!("more than {MOST} bytes of variables, arguments and other text");
        out.never("body", "body", why);
    }
}

/// Judges some of what it says, together.
pub(super) fn together(owner: &Value<'_>, fields: &[&str], at: &str, out: &mut Findings<'_>) {
    let values = fields.iter().filter_map(|name| owner.get(name));
    if values.map(bytes).sum::<usize>() > MOST {
        let why = format!("more than {MOST} bytes in {}", fields.join(", "));
        out.never("body", format!("{at}{}", fields[0]), why);
    }
}

fn bytes(value: &Value<'_>) -> usize {
    let of_text = |text: &str| text.len() + EACH;
    match value {
        Value::Text(text) => of_text(text),
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| of_text(key) + bytes(value))
            .sum(),
        _ => 0,
    }
}
