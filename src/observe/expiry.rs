//! Expiry is never a surprise: a warning at 30, 7 and 1 days before anything trust rests on ends, and one when it has.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};
use tracing::warn;

use pki::identity::Identity;

/// Days before the end at which a warning is due, the last one first.
const DAYS: [i64; 3] = [1, 7, 30];

/// Client certificates remembered as warned about; beyond that a warning may come twice.
const REMEMBERED: usize = 10_000;

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The gate's own certificate.
    Server,
    /// A CA whose clients are let in.
    Ca,
    /// A revocation list (its nextUpdate).
    Crl,
    /// A client's certificate.
    Client,
}

impl Subject {
    /// The word used in logs and metrics.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Ca => "ca",
            Self::Crl => "crl",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server certificate",
            Self::Ca => "CA certificate",
            Self::Crl => "revocation list",
            Self::Client => "client certificate",
        })
    }
}

/// One end of validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Date {
    /// What ends.
    pub subject: Subject,
    /// Whose it is.
    pub name: String,
    /// A digest or serial that tells generations of it apart.
    pub id: String,
    /// When.
    pub not_after: OffsetDateTime,
}

/// Warns once for each date and stage.
#[derive(Debug, Default)]
pub struct Warner {
    warned: Mutex<HashMap<String, usize>>,
}

impl Warner {
    /// Looks at dates, and logs those that have come nearer than a stage since the last look.
    pub fn look(&self, dates: &[Date], now: OffsetDateTime) {
        for date in dates {
            if self.is_due(&date.id, date.not_after, now) {
                log(date, now);
            }
        }
    }

    /// The same for a client that has just connected.
    pub fn client_seen(&self, identity: &Identity) {
        let now = OffsetDateTime::now_utc();
        let Ok(not_after) = OffsetDateTime::from_unix_timestamp(identity.not_after) else {
            return;
        };
        if not_after - now > Duration::days(DAYS[2]) {
            return;
        }
        let id = data_encoding::HEXLOWER.encode(&identity.fingerprint);
        if self.is_due(&id, not_after, now) {
            log(
                &Date {
                    subject: Subject::Client,
                    name: identity.label().to_owned(),
                    id,
                    not_after,
                },
                now,
            );
        }
    }

    fn is_due(&self, id: &str, not_after: OffsetDateTime, now: OffsetDateTime) -> bool {
        let Some(stage) = stage(not_after - now) else {
            return false;
        };
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() >= REMEMBERED && !warned.contains_key(id) {
            warned.clear();
        }
        let last = warned.entry(id.to_owned()).or_insert(usize::MAX);
        let due = stage < *last;
        *last = stage.min(*last);
        due
    }
}

/// 0 when it is over, then 1, 2, 3 for less than a day, seven days, thirty days; `None` while there is time.
fn stage(left: Duration) -> Option<usize> {
    if left <= Duration::ZERO {
        return Some(0);
    }
    DAYS.iter()
        .position(|days| left <= Duration::days(*days))
        .map(|at| at + 1)
}

fn log(date: &Date, now: OffsetDateTime) {
    let left = date.not_after - now;
    let Date {
        subject,
        name,
        not_after,
        ..
    } = date;
    if left <= Duration::ZERO {
        warn!(what = subject.id(), name, not_after = %not_after, "The {subject} has expired");
    } else {
        warn!(what = subject.id(), name, not_after = %not_after, days_left = left.whole_days(), "The {subject} expires soon");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_warns_once_and_a_new_certificate_starts_afresh() {
        let warner = Warner::default();
        let end = OffsetDateTime::UNIX_EPOCH + Duration::days(100);
        let at = |days| end - Duration::days(days) + Duration::hours(1);
        assert!(!warner.is_due("a", end, at(40)), "40 days is not soon");
        assert!(warner.is_due("a", end, at(30)));
        assert!(!warner.is_due("a", end, at(20)), "30 days was said");
        assert!(warner.is_due("a", end, at(7)));
        assert!(warner.is_due("a", end, at(1)));
        assert!(!warner.is_due("a", end, at(1)));
        assert!(warner.is_due("a", end, at(0)), "over is said too");
        assert!(
            warner.is_due("b", end, at(1)),
            "another certificate is another matter"
        );
    }
}
