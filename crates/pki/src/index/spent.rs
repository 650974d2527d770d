//! Which lines of the index nobody needs any more: without them it does not grow with every job of CI and every renewal.
//!
//! Contract: what is alive, revoked, allowed again or the first of its line stays. What came by a token stays until the token
//! cannot be used again.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::event::{IndexEvent, Issued, IssuedKind};

/// How long the use of a token is known, from the issue of its certificate: a token is not taken when it is a day old.
const TOKEN_KEPT: Duration = Duration::days(2);

/// How long a certificate that was renewed is known after its end.
const RENEWED_KEPT: Duration = Duration::days(90);

/// How many of them there have to be before the index is written again.
const WORTH: usize = 1000;

/// The places of the events that nobody needs any more, if they are worth the work.
pub(super) fn spent<'e>(
    events: impl Iterator<Item = &'e IndexEvent> + Clone,
    now: OffsetDateTime,
) -> BTreeSet<usize> {
    let (mut judged, mut renewed) = (BTreeSet::new(), BTreeSet::new());
    for event in events.clone() {
        match event {
            IndexEvent::Revoked(revoked) => _ = judged.insert(revoked.serial.as_str()),
            IndexEvent::Allowed { serial, .. } => _ = judged.insert(serial.as_str()),
            IndexEvent::Issued(issued) => {
                let enrolled = issued.enrolled.as_ref();
                renewed.extend(enrolled.and_then(|it| it.predecessor.as_deref()));
            }
            _ => {}
        }
    }
    let is_spent = |issued: &Issued| {
        let is_known = judged.contains(issued.serial.as_str());
        !is_known && is_over(issued, renewed.contains(issued.serial.as_str()), now)
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

fn is_over(issued: &Issued, is_renewed: bool, now: OffsetDateTime) -> bool {
    let Some(enrolled) = &issued.enrolled else {
        return false;
    };
    // A date that cannot be read ends nothing.
    let Some(end) = issued.ends() else {
        return false;
    };
    if issued.kind == IssuedKind::Ca {
        return false;
    }
    match enrolled.is_by_token() {
        true => {
            let at = OffsetDateTime::parse(&issued.at, &Rfc3339);
            end < now && at.is_ok_and(|at| at < now - TOKEN_KEPT)
        }
        // The first of a line counts as a use of its invitation.
        false => enrolled.predecessor.is_some() && is_renewed && end < now - RENEWED_KEPT,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Index;
    use super::*;
    use crate::event::{Enrolled, IndexRevocation};
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
        let many =
            (0..WORTH).map(|it| IndexEvent::Issued(issued(&format!("f{it}"), "oidc:x", 99, 1)));
        let all: Vec<_> = given.iter().cloned().chain(many).collect();
        let spent = spent(all.iter(), now());
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
    fn few_lines_are_not_worth_the_work() {
        let few: Vec<_> = (0..WORTH - 1)
            .map(|it| IndexEvent::Issued(issued(&format!("f{it}"), "oidc:x", 99, 1)))
            .collect();
        assert!(spent(few.iter(), now()).is_empty());
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
