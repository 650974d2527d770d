//! Values of environment variables in the answers of inspect, masked by the variables' names.
//!
//! Only the values are changed: everything else of an answer stays as the engine wrote it, byte for byte.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::limits::glob;
use docker_api::json;

/// What is shown in place of a value.
pub const MASK: &str = "***";

/// An object's members as they are written.
#[derive(Deserialize)]
struct Members<'a>(#[serde(borrow)] HashMap<Cow<'a, str>, &'a RawValue>);

/// Masks the values of variables whose name one of `patterns` fits, in an inspected container or image. Case does not matter.
///
/// # Errors
/// If the answer is not what an inspect answers: nothing of it may be shown then.
pub fn redacted(answer: &str, patterns: &[String]) -> Result<String, serde_json::Error> {
    let patterns: Vec<String> = patterns.iter().map(|p| p.to_ascii_uppercase()).collect();
    let top: Members<'_> = serde_json::from_str(answer)?;
    let mut masks: Vec<(Range<usize>, String)> = Vec::new();
    for key in ["Config", "ContainerConfig"] {
        let Some(config) = top.0.get(key).filter(|raw| raw.get() != "null") else {
            continue;
        };
        let config: Members<'_> = serde_json::from_str(config.get())?;
        let Some(list) = config.0.get("Env") else {
            continue;
        };
        let list: Option<Vec<&RawValue>> = serde_json::from_str(list.get())?;
        for raw in list.unwrap_or_default() {
            let variable: Cow<'_, str> = serde_json::from_str::<Cow<'_, str>>(raw.get())?;
            let Some((name, _)) = variable.split_once('=') else {
                continue;
            };
            let upper = name.to_ascii_uppercase();
            if patterns.iter().any(|pattern| glob(pattern, &upper)) {
                let masked = json::quoted(&format!("{name}={MASK}"));
                masks.push((place(answer, raw.get()), masked));
            }
        }
    }
    masks.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(answer.len());
    let mut at = 0;
    for (range, masked) in masks {
        out.push_str(answer.get(at..range.start).unwrap_or_default());
        out.push_str(&masked);
        at = range.end;
    }
    out.push_str(answer.get(at..).unwrap_or_default());
    Ok(out)
}

/// Where a part that was borrowed from a text is in it.
fn place(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}
