//! When a certificate may be renewed.
//!
//! Contract: a line of certificates grows by no more than its life needs, however often its holder asks. Who renews when it
//! is due, by hand now and then, after a clock was set or because another CA takes over, is never refused.

use pki::event::Issued;
use pki::index::Index;
use pki::issue::Authority;
use pki::timestamp;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{EnrollRefusal, line::line_of};

/// How many certificates of one line may be good at once before a renewal has to wait until it is due: those who renew when it
/// is due have two or three.
pub(super) const MAX_ALIVE: usize = 64;

/// That a certificate is due for renewal, or that its line has so few that it may be renewed before. `signs` is the CA that would
/// sign now.
pub(super) fn check(
    index: &Index,
    held: &Issued,
    signs: &Authority,
    now: OffsetDateTime,
) -> Result<(), EnrollRefusal> {
    let Some(due) = due(held) else {
        return Ok(());
    };
    // One of the future was issued by a clock that was wrong.
    let is_due = now >= due.at || now < due.issued;
    let is_of_another_ca = held.issuer_key_id != signs.info().subject_key_id;
    let rollover = index.rollover().and_then(|it| read(&it.at));
    if is_due || is_of_another_ca || rollover.is_some_and(|began| began >= due.issued) {
        return Ok(());
    }
    let line = line_of(index, &held.serial);
    let alive = index
        .issued()
        .filter(|it| line.contains(&it.serial) && it.is_alive(now));
    match alive.count() {
        alive if alive < MAX_ALIVE => Ok(()),
        alive => Err(EnrollRefusal::Early {
            due: timestamp(due.at),
            secs: (due.at - now).whole_seconds().unsigned_abs().max(1),
            alive,
        }),
    }
}

/// When a certificate was issued, and when it is due.
struct Due {
    issued: OffsetDateTime,
    at: OffsetDateTime,
}

/// After a third of its life: clients ask after two thirds, and some sooner.
fn due(held: &Issued) -> Option<Due> {
    let (issued, end) = (read(&held.at)?, held.ends()?);
    let life = (end - issued).max(Duration::ZERO);
    Some(Due {
        issued,
        at: issued + life / 3,
    })
}

fn read(moment: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(moment, &Rfc3339).ok()
}
