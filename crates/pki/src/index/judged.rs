//! What an index says of serial numbers, gathered in one pass: who asks for each certificate of a long index asks this.

use std::collections::{HashMap, HashSet};

use super::Index;
use crate::event::{IndexEvent, IndexRevocation};

/// The last word on each serial number.
#[derive(Debug, Default)]
pub struct JudgedSerials<'i> {
    words: HashMap<&'i str, Option<&'i IndexRevocation>>,
    renewed: HashSet<&'i str>,
}

impl Index {
    /// The last word on each serial number, from one pass over all events.
    #[must_use]
    pub fn judged(&self) -> JudgedSerials<'_> {
        let mut judged = JudgedSerials::default();
        for event in self.events() {
            match event {
                IndexEvent::Revoked(revoked) => {
                    judged.words.insert(&revoked.serial, Some(revoked));
                }
                IndexEvent::Allowed { serial, .. } => {
                    judged.words.insert(serial, None);
                }
                IndexEvent::Issued(issued) => {
                    let enrolled = issued.enrolled.as_ref();
                    judged
                        .renewed
                        .extend(enrolled.and_then(|it| it.predecessor.as_deref()));
                }
                _ => {}
            }
        }
        judged
    }
}

impl<'i> JudgedSerials<'i> {
    /// As [`Index::revocation`].
    #[must_use]
    pub fn revocation(&self, serial: &str) -> Option<&'i IndexRevocation> {
        self.words.get(serial).copied().flatten()
    }

    /// As [`Index::is_allowed_again`].
    #[must_use]
    pub fn is_allowed_again(&self, serial: &str) -> bool {
        self.words.get(serial).is_some_and(Option::is_none)
    }

    /// Whether a certificate of this serial number was renewed.
    #[must_use]
    pub fn is_renewed(&self, serial: &str) -> bool {
        self.renewed.contains(serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_says_the_same_as_the_index_asked_for_each() {
        let revoked = |serial: &str| {
            IndexEvent::Revoked(IndexRevocation {
                at: "2026-01-01T00:00:00Z".into(),
                serial: serial.into(),
                reason: crate::event::HOLD.into(),
                issuer_key_id: None,
            })
        };
        let allowed = |serial: &str| IndexEvent::Allowed {
            at: "2026-01-01T00:00:00Z".into(),
            serial: serial.into(),
        };
        let renewal = serde_json::json!({
            "event": "issued", "at": "2026-01-01T00:00:00Z", "kind": "client", "name": "a", "serial": "06", "subject": "CN=a",
            "not_after": "2026-01-08T00:00:00Z", "sha256": "", "spki_sha256": "", "issuer_key_id": null,
            "enrolled": {"invitation": "i", "predecessor": "05", "generation": 2, "life_secs": 3600},
        });
        let renewal = serde_json::from_value(renewal).expect("an event");
        let events = [
            revoked("01"),
            revoked("02"),
            allowed("02"),
            allowed("03"),
            revoked("03"),
            renewal,
        ];
        let dir = tempfile::tempdir().expect("create a directory");
        let mut index = Index::read_locked(&dir.path().join("index.jsonl")).expect("none yet");
        index.append_all(events).expect("write them");
        let judged = index.judged();
        for serial in ["01", "02", "03", "04", "05", "06"] {
            assert_eq!(
                judged.revocation(serial),
                index.revocation(serial),
                "{serial}"
            );
            let again = index.is_allowed_again(serial);
            assert_eq!(judged.is_allowed_again(serial), again, "{serial}");
            let is_renewed = index.successor(serial).is_some();
            assert_eq!(judged.is_renewed(serial), is_renewed, "{serial}");
        }
        assert!(judged.revocation("03").is_some() && judged.is_renewed("05"));
    }
}
