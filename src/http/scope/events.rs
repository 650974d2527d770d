//! Events of the owner's containers: the engine narrows them by labels, which a container may have of its image, and here those
//! stay that the owner made.

use std::borrow::Cow;

use serde::Deserialize;

use super::view::OwnerView;
use super::{Halt, Status};

/// Longest event that is read; the engine's are a few hundred bytes and the labels.
const LONGEST: usize = 4 << 20;

/// What is read of an event.
#[derive(Debug, Deserialize)]
struct EventLine<'l> {
    #[serde(rename = "Type", borrow, default)]
    kind: Cow<'l, str>,
    #[serde(rename = "Actor", borrow)]
    actor: Option<EventActor<'l>>,
}

#[derive(Debug, Deserialize)]
struct EventActor<'l> {
    #[serde(rename = "ID", borrow, default)]
    id: Cow<'l, str>,
}

/// The events that have come of a stream, up to the last whole one.
#[derive(Debug, Default)]
pub struct EventSieve {
    held: Vec<u8>,
}

impl EventSieve {
    /// Bytes of an event whose end has not come.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes more of the stream; what of it the owner sees comes back.
    ///
    /// # Errors
    /// When it is no stream of events, or the engine could not be asked whose one is.
    pub async fn pass(&mut self, view: &mut OwnerView<'_>, more: &[u8]) -> Result<Vec<u8>, Halt> {
        self.held.extend_from_slice(more);
        let whole = memchr::memrchr(b'\n', &self.held).map_or(0, |at| at + 1);
        if self.held.len() - whole > LONGEST {
            let message = format!("an event of the engine's is above {LONGEST} bytes");
            return Err(Halt::Refused(Status::BadGateway, message));
        }
        let rest = self.held.split_off(whole);
        let lines = std::mem::replace(&mut self.held, rest);
        let mut passed = Vec::new();
        for line in lines.split_inclusive(|b| *b == b'\n') {
            if is_of_owner(view, line).await? {
                passed.extend_from_slice(line);
            }
        }
        Ok(passed)
    }
}

async fn is_of_owner(view: &mut OwnerView<'_>, line: &[u8]) -> Result<bool, Halt> {
    let event: EventLine<'_> = serde_json::from_slice(line)
        .map_err(|e| Halt::Refused(Status::BadGateway, format!("an event of the engine's: {e}")))?;
    let id = event.actor.map(|actor| actor.id).unwrap_or_default();
    let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(event.kind == "container" && is_id && view.has_made(&id).await?)
}
