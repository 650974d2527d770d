//! Which lines of the index nobody needs any more: without them it does not grow with every job of CI and every renewal.
//!
//! Contract: what is alive, revoked, allowed again or the first of its line stays. What came by a token stays until the token
//! cannot be used again. In a large index what ended goes earlier, and the first of a line goes with its invitation.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::LARGE_INDEX_BYTES;
use crate::event::{IndexEvent, Issued, IssuedKind};

/// How long the use of a token is known, from the issue of its certificate: a token is not taken when it is a day old.
const TOKEN_KEPT: Duration = Duration::days(2);

/// How long a certificate that was renewed is known after its end.
const RENEWED_KEPT: Duration = Duration::days(90);

/// The same in a large index. Who comes with it then is refused as one that is not known, and no copy is found out by it.
const RENEWED_KEPT_LARGE: Duration = Duration::days(1);

/// How many of them there have to be before the index is written again.
const WORTH: usize = 1000;

/// The places of the events that nobody needs any more, if they are worth the work.
pub(super) fn spent<'e>(
    events: impl Iterator<Item = &'e IndexEvent> + Clone,
    now: OffsetDateTime,
    bytes: u64,
) -> BTreeSet<usize> {
    let is_large = bytes > LARGE_INDEX_BYTES;
    let (mut judged, mut renewed) = (BTreeSet::new(), BTreeSet::new());
    let mut closed = BTreeSet::new();
    for event in events.clone() {
        match event {
            IndexEvent::Revoked(revoked) => _ = judged.insert(revoked.serial.as_str()),
            IndexEvent::Allowed { serial, .. } => _ = judged.insert(serial.as_str()),
            IndexEvent::Issued(issued) => {
                let enrolled = issued.enrolled.as_ref();
                renewed.extend(enrolled.and_then(|it| it.predecessor.as_deref()));
            }
            IndexEvent::Withdrawn { id, .. } if is_large => _ = closed.insert(id.as_str()),
            IndexEvent::Invited(it) if is_large && is_past(&it.expires, RENEWED_KEPT, now) => {
                closed.insert(it.id.as_str());
            }
            _ => {}
        }
    }
    let is_spent = |issued: &Issued| {
        let serial = issued.serial.as_str();
        let over = IsOver {
            is_renewed: renewed.contains(serial),
            is_closed: (issued.enrolled.as_ref())
                .is_some_and(|it| closed.contains(it.invitation.as_str())),
            is_large,
            now,
        };
        !judged.contains(serial) && over.says(issued)
    };
    let of = |(place, event): (usize, &IndexEvent)| match event {
        IndexEvent::Issued(issued) if is_spent(issued) => Some(place),
        _ => None,
    };
    let spent: BTreeSet<usize> = events.enumerate().filter_map(of).collect();
    match spent.len() >= WORTH {
        true => spent,
        false => BTreeSet::new(),
    }
}

/// Whether a moment is longer ago than that. One that cannot be read ends nothing.
fn is_past(moment: &str, kept: Duration, now: OffsetDateTime) -> bool {
    OffsetDateTime::parse(moment, &Rfc3339).is_ok_and(|it| it < now - kept)
}

/// What is known of a certificate that may be of no use any more.
struct IsOver {
    is_renewed: bool,
    /// Whether its invitation can never be used again, so that its uses need not be counted.
    is_closed: bool,
    is_large: bool,
    now: OffsetDateTime,
}

impl IsOver {
    fn says(&self, issued: &Issued) -> bool {
        let Some(enrolled) = &issued.enrolled else {
            return false;
        };
        if issued.kind == IssuedKind::Ca {
            return false;
        }
        let ended = |kept| is_past(&issued.not_after, kept, self.now);
        let is_first = enrolled.predecessor.is_none();
        match enrolled.is_by_token() {
            true => ended(Duration::ZERO) && is_past(&issued.at, TOKEN_KEPT, self.now),
            // The first of a line counts as a use of its invitation.
            false if is_first && !self.is_closed => false,
            // The last of a line may be renewed after its end.
            false if !self.is_renewed => self.is_large && ended(RENEWED_KEPT),
            false if self.is_large => ended(RENEWED_KEPT_LARGE),
            false => ended(RENEWED_KEPT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Index;
    use super::*;
    use crate::event::{Enrolled, IndexRevocation, Invitation};
    use crate::timestamp;

    fn now() -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    /// A certificate of these many hours ago that was good for one, or for what is given.
    fn issued(serial: &str, invitation: &str, ago: i64, good: i64) -> Issued {
        let at = now() - Duration::hours(ago);
        Issued {
            at: timestamp(at),
            kind: IssuedKind::Client,
            name: "job".into(),
            serial: serial.into(),
            subject: "CN=job".into(),
            not_after: timestamp(at + Duration::hours(good)),
            sha256: serial.into(),
            spki_sha256: serial.into(),
            issuer_key_id: None,
            chosen: Vec::new(),
            enrolled: Some(Enrolled {
                invitation: invitation.into(),
                predecessor: None,
                generation: 1,
                life_secs: 3600,
                der: String::new(),
            }),
        }
    }

    fn after(mut issued: Issued, predecessor: &str) -> IndexEvent {
        if let Some(enrolled) = &mut issued.enrolled {
            enrolled.predecessor = Some(predecessor.into());
        }
        IndexEvent::Issued(issued)
    }

    /// Many that nobody needs, after what is given; the places that are spent among the given ones.
    fn spent_of(given: &[IndexEvent]) -> Vec<usize> {
        spent_at(given, LARGE_INDEX_BYTES)
    }

    /// The same of an index of that size.
    fn spent_at(given: &[IndexEvent], bytes: u64) -> Vec<usize> {
        let many =
            (0..WORTH).map(|it| IndexEvent::Issued(issued(&format!("f{it}"), "oidc:x", 99, 1)));
        let all: Vec<_> = given.iter().cloned().chain(many).collect();
        let spent = spent(all.iter(), now(), bytes);
        assert!(spent.len() >= WORTH);
        spent.into_iter().filter(|it| *it < given.len()).collect()
    }

    #[test]
    fn what_came_by_a_token_goes_when_it_has_ended_and_the_token_is_too_old_to_be_used_again() {
        let given = [
            IndexEvent::Issued(issued("00", "oidc:a", 49, 1)),
            IndexEvent::Issued(issued("01", "oidc:b", 47, 1)),
            IndexEvent::Issued(issued("02", "oidc:c", 49, 50)),
            IndexEvent::Issued(issued("03", "oidc:d", 49, 1)),
            IndexEvent::Revoked(IndexRevocation {
                at: timestamp(now()),
                serial: "03".into(),
                reason: "keyCompromise".into(),
                issuer_key_id: None,
            }),
            IndexEvent::Unknown,
        ];
        assert_eq!(spent_of(&given), [0]);
    }

    #[test]
    fn what_was_renewed_goes_a_season_after_its_end_and_the_first_and_the_last_of_a_line_stay() {
        let days = |days: i64| days * 24;
        let given = [
            IndexEvent::Issued(issued("00", "a", days(200), days(7))),
            after(issued("01", "a", days(195), days(7)), "00"),
            after(issued("02", "a", days(96), days(7)), "01"),
            after(issued("03", "a", days(92), days(7)), "02"),
            after(issued("04", "a", days(200), days(7)), "03"),
        ];
        assert_eq!(spent_of(&given), [1]);
    }

    #[test]
    fn in_a_large_index_what_ended_goes_earlier_and_a_line_goes_with_its_invitation() {
        let days = |days: i64| days * 24;
        let invited = |id: &str, ended: i64| {
            IndexEvent::Invited(Invitation {
                at: timestamp(now() - Duration::days(300)),
                id: id.into(),
                secret_sha256: String::new(),
                kind: IssuedKind::Client,
                name: "a".into(),
                organization: None,
                organizational_unit: None,
                sans: Vec::new(),
                life_secs: None,
                uses: 1,
                expires: timestamp(now() - Duration::days(ended)),
            })
        };
        let revoked = IndexEvent::Revoked(IndexRevocation {
            at: timestamp(now()),
            serial: "08".into(),
            reason: "keyCompromise".into(),
            issuer_key_id: None,
        });
        let given = [
            invited("past", 91),
            IndexEvent::Issued(issued("00", "past", days(200), days(7))),
            after(issued("01", "past", days(9), days(7)), "00"),
            after(issued("02", "past", days(7) + 23, days(7)), "01"),
            after(issued("03", "past", days(9), days(7)), "02"),
            invited("open", 89),
            IndexEvent::Issued(issued("04", "open", days(200), days(7))),
            after(issued("05", "open", days(96), days(7)), "04"),
            after(issued("06", "open", days(98), days(7)), "04"),
            IndexEvent::Issued(issued("07", "unknown", days(200), days(7))),
            after(issued("08", "past", days(200), days(7)), "07"),
            revoked,
        ];
        assert_eq!(spent_at(&given, LARGE_INDEX_BYTES + 1), [1, 2, 8]);
        assert!(spent_at(&given, LARGE_INDEX_BYTES).is_empty());
    }

    #[test]
    fn few_lines_are_not_worth_the_work() {
        let few: Vec<_> = (0..WORTH - 1)
            .map(|it| IndexEvent::Issued(issued(&format!("f{it}"), "oidc:x", 99, 1)))
            .collect();
        assert!(spent(few.iter(), now(), 0).is_empty());
    }

    #[test]
    fn the_file_is_written_again_without_them_and_keeps_what_this_version_does_not_know() {
        let dir = tempfile::tempdir().expect("create a directory");
        let path = dir.path().join("index.jsonl");
        let line = |event: &IndexEvent| serde_json::to_string(event).expect("a line") + "\n";
        let kept = line(&IndexEvent::Issued(issued("0a", "a", 99, 1)));
        let later = "{\"event\":\"later\",\"what\":1}\n";
        let gone: String = (0..WORTH)
            .map(|it| {
                line(&IndexEvent::Issued(issued(
                    &format!("f{it}"),
                    "oidc:x",
                    99,
                    1,
                )))
            })
            .collect();
        std::fs::write(&path, format!("{kept}{gone}{later}{{\"cut")).expect("write it");
        let index = Index::read_locked(&path).expect("read it");
        assert_eq!(index.issued().count(), 1);
        let text = std::fs::read_to_string(&path).expect("the file");
        assert_eq!(text, format!("{kept}{later}"));
    }
}
