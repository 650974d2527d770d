//! How a signer fares, read off its index: for metrics, `check` and `doctor`.

use std::collections::BTreeMap;

use pki::event::{HOLD, Invitation, Issued, IssuedKind};
use pki::index::Index;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{InvitationState, state};

/// What is counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SignerFigures<'i> {
    /// Invitations that can be used.
    pub open_invitations: usize,
    /// How many hold a certificate that renews itself and is alive, by kind: people, gates.
    pub members: BTreeMap<IssuedKind, usize>,
    /// Certificates of CI that are alive.
    pub by_token: usize,
    /// Certificates that are alive and on hold because somebody has a copy.
    pub on_hold: usize,
    /// The certificates whose holders should have renewed them long ago.
    pub overdue: Vec<&'i Issued>,
}

impl<'i> SignerFigures<'i> {
    /// Those of an index at a moment.
    #[must_use]
    pub fn of(index: &'i Index, now: OffsetDateTime) -> Self {
        // What can only be told by the whole index is asked of few.
        let in_time = index.invitations().filter(|it| {
            let end = OffsetDateTime::parse(&it.expires, &Rfc3339);
            end.is_ok_and(|end| now < end)
        });
        let is_open = |it: &&Invitation| state(index, it, now) == InvitationState::Open;
        let mut figures = Self {
            open_invitations: in_time.filter(is_open).count(),
            ..Self::default()
        };
        let judged = index.judged();
        for issued in index.issued().filter(|it| it.is_alive(now)) {
            let Some(enrolled) = &issued.enrolled else {
                continue;
            };
            let is_last = !judged.is_renewed(&issued.serial);
            match judged.revocation(&issued.serial) {
                Some(it) if it.reason == HOLD => figures.on_hold += 1,
                Some(_) => {}
                None if enrolled.is_by_token() => figures.by_token += 1,
                None if is_last => {
                    *figures.members.entry(issued.kind).or_default() += 1;
                    if is_overdue(issued, now) {
                        figures.overdue.push(issued);
                    }
                }
                None => {}
            }
        }
        figures
    }
}

/// Whether half of the time is over that is left for the renewal, which is due after two thirds of the life.
fn is_overdue(issued: &Issued, now: OffsetDateTime) -> bool {
    let at = OffsetDateTime::parse(&issued.at, &Rfc3339);
    let (Ok(at), Some(end)) = (at, issued.ends()) else {
        return false;
    };
    now >= at + (end - at) * 5 / 6
}
