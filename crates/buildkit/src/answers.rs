//! What the engine says of builds. Its messages are read for what they tell, so fields that are unknown are passed over.

use std::collections::BTreeSet;

use crate::wire::{FieldValue, Fields, MAX_LIST, Unreadable};

/// `BuildHistoryEvent`: one build of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryEvent<'b> {
    /// The build's id; empty where the event is about none.
    pub reference: &'b str,
    /// Digests of what belongs to the build: its log, its trace, its results and their attestations.
    pub digests: BTreeSet<&'b str>,
}

impl<'b> HistoryEvent<'b> {
    /// Reads the message.
    ///
    /// # Errors
    /// When the bytes are not fields.
    pub fn read(bytes: &'b [u8]) -> Result<Self, Unreadable> {
        let mut event = Self::default();
        let mut fields = Fields::new("BuildHistoryEvent", bytes);
        while let Some(field) = fields.next_field()? {
            if field.number == 2 {
                event.record(field.bytes()?)?;
            }
        }
        Ok(event)
    }

    fn record(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        let mut fields = Fields::new("BuildHistoryRecord", bytes);
        while let Some(field) = fields.next_field()? {
            match field.number {
                // The last one counts, as everywhere.
                1 => self.reference = field.text()?,
                8 | 13 | 18 => self.descriptor(field.bytes()?)?,
                10 => self.result(field.bytes()?)?,
                11 => self.result(field.entry()?.1)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn result(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        let mut fields = Fields::new("BuildResultInfo", bytes);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 | 2 => self.descriptor(field.bytes()?)?,
                3 => {
                    let mut entry = Fields::new("BuildResultInfo", field.bytes()?);
                    while let Some(field) = entry.next_field()? {
                        if field.number == 2 {
                            self.descriptor(field.bytes()?)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn descriptor(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        let mut fields = Fields::new("Descriptor", bytes);
        while let Some(field) = fields.next_field()? {
            if field.number == 2 {
                if self.digests.len() >= MAX_LIST {
                    return Err(Unreadable::TooMany("Descriptor", 2));
                }
                self.digests.insert(field.text()?);
            }
        }
        Ok(())
    }
}

/// The sources that a `StatusResponse` says a build takes, as identifiers: `docker-image://…`, a URL.
///
/// The names of steps are made for people. They tell what to list, and nothing is allowed by them.
///
/// # Errors
/// When the bytes are not fields.
pub fn sources(bytes: &[u8]) -> Result<Vec<String>, Unreadable> {
    let mut sources = Vec::new();
    let mut fields = Fields::new("StatusResponse", bytes);
    while let Some(field) = fields.next_field()? {
        let (1, FieldValue::Bytes(vertex)) = (field.number, field.value) else {
            continue;
        };
        let mut vertex = Fields::new("Vertex", vertex);
        while let Some(field) = vertex.next_field()? {
            if field.number == 3 && sources.len() < MAX_LIST {
                sources.extend(source(field.text()?));
            }
        }
    }
    Ok(sources)
}

fn source(step: &str) -> Option<String> {
    const SCHEMES: [&str; 5] = ["docker-image://", "http://", "https://", "git://", "ssh://"];
    let begins = |text: &&str| SCHEMES.iter().any(|scheme| text.starts_with(scheme));
    if let Some((_, image)) = step.split_once("load metadata for ") {
        return Some(format!("docker-image://{image}"));
    }
    for before in ["resolve image config for ", "load git source "] {
        if let Some((_, source)) = step.split_once(before) {
            return Some(source.to_owned()).filter(|source| begins(&&**source));
        }
    }
    let instruction = step.split_once("] ADD ").map_or(step, |(_, rest)| rest);
    let word = instruction.split_whitespace().find(begins)?;
    (instruction.len() < step.len() || step.len() == word.len()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::field;

    fn message(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        field(&mut out, number, bytes);
        out
    }

    #[test]
    fn an_event_names_its_build_and_every_digest_of_it() {
        let descriptor = |digest: &str| message(2, digest.as_bytes());
        let result = [
            message(2, &descriptor("b")),
            message(3, &message(2, &descriptor("c"))),
        ];
        let record = [
            message(1, b"ref"),
            message(8, &descriptor("a")),
            message(10, &result.concat()),
            message(
                11,
                &[message(1, b"p"), message(2, &message(1, &descriptor("d")))].concat(),
            ),
            message(99, b"later"),
        ];
        let bytes = message(2, &record.concat());
        let event = HistoryEvent::read(&bytes).expect("readable");
        assert_eq!(event.reference, "ref");
        assert_eq!(event.digests, BTreeSet::from(["a", "b", "c", "d"]));
        assert_eq!(HistoryEvent::read(b""), Ok(HistoryEvent::default()));
    }

    #[test]
    fn steps_tell_what_they_take() {
        for (step, source) in [
            (
                "[internal] load metadata for docker.io/library/busybox:latest",
                Some("docker-image://docker.io/library/busybox:latest"),
            ),
            (
                "resolve image config for docker-image://docker.io/docker/dockerfile:1",
                Some("docker-image://docker.io/docker/dockerfile:1"),
            ),
            (
                "[internal] load git source https://host/x.git#main",
                Some("https://host/x.git#main"),
            ),
            ("[2/3] ADD https://host/file /", Some("https://host/file")),
            ("https://host/file", Some("https://host/file")),
            ("[2/3] RUN curl https://host/file", None),
            ("[internal] load build context", None),
        ] {
            let bytes = message(1, &message(3, step.as_bytes()));
            let found = sources(&bytes).expect("readable");
            assert_eq!(found.first().map(String::as_str), source, "{step}");
        }
    }
}
