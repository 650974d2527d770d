//! Expiry is never a surprise: three warnings before anything trust rests on ends, by the measure of its life
//! ([`pki::Validity`]), and one when it has.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};
use tracing::warn;

use pki::identity::Identity;
use pki::{EndStage, Validity, timestamp};

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
    /// From when until when it is good.
    pub validity: Validity,
}

/// Warns once for each date and stage.
#[derive(Debug, Default)]
pub struct Warner {
    warned: Mutex<HashMap<String, EndStage>>,
}

impl Warner {
    /// Looks at dates, and logs those that have come nearer than a stage since the last look.
    pub fn look(&self, dates: &[Date], now: OffsetDateTime) {
        for date in dates {
            if self.is_due(&date.id, date.validity, now) {
                log(date, now);
            }
        }
    }

    /// The same for a client that has just connected.
    pub fn client_seen(&self, identity: &Identity) {
        let now = OffsetDateTime::now_utc();
        let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds);
        let (Ok(from), Ok(until)) = (moment(identity.not_before), moment(identity.not_after))
        else {
            return;
        };
        let validity = Validity::of_certificate(from, until);
        if warning(validity, now).is_none() {
            return;
        }
        let id = data_encoding::HEXLOWER.encode(&identity.fingerprint);
        if self.is_due(&id, validity, now) {
            log(
                &Date {
                    subject: Subject::Client,
                    name: identity.label().to_owned(),
                    id,
                    validity,
                },
                now,
            );
        }
    }

    fn is_due(&self, id: &str, validity: Validity, now: OffsetDateTime) -> bool {
        let Some(stage) = warning(validity, now) else {
            return false;
        };
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() >= REMEMBERED && !warned.contains_key(id) {
            warned.clear();
        }
        let last = warned.entry(id.to_owned()).or_insert(EndStage::Due);
        let due = stage < *last;
        *last = stage.min(*last);
        due
    }
}

/// The stage that the log speaks of: a renewal that has only become due is no news.
fn warning(validity: Validity, now: OffsetDateTime) -> Option<EndStage> {
    validity.stage(now).filter(|stage| *stage < EndStage::Due)
}

fn log(date: &Date, now: OffsetDateTime) {
    let left = date.validity.until - now;
    let not_after = timestamp(date.validity.until);
    let Date { subject, name, .. } = date;
    if left <= Duration::ZERO {
        warn!(
            what = subject.id(),
            name, not_after, "The {subject} has expired"
        );
    } else {
        warn!(
            what = subject.id(),
            name,
            not_after,
            days_left = left.whole_days(),
            "The {subject} expires soon"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_warns_once_and_a_new_certificate_starts_afresh() {
        let warner = Warner::default();
        let end = OffsetDateTime::UNIX_EPOCH + Duration::days(400);
        let year = Validity::of_certificate(OffsetDateTime::UNIX_EPOCH, end);
        let at = |days| end - Duration::days(days) + Duration::hours(1);
        let due = |id: &str, days| warner.is_due(id, year, at(days));
        assert!(!due("a", 40), "40 days is not soon");
        assert!(due("a", 30));
        assert!(!due("a", 20), "30 days was said");
        assert!(due("a", 7));
        assert!(due("a", 1));
        assert!(!due("a", 1));
        assert!(due("a", 0), "over is said too");
        assert!(due("b", 1), "another certificate is another matter");
    }

    #[test]
    fn a_renewal_that_has_only_become_due_is_not_announced() {
        let warner = Warner::default();
        let end = OffsetDateTime::UNIX_EPOCH + Duration::days(7);
        let week = Validity::of_certificate(OffsetDateTime::UNIX_EPOCH, end);
        assert!(!warner.is_due("a", week, OffsetDateTime::UNIX_EPOCH));
        assert!(!warner.is_due("a", week, end - Duration::days(2)));
        assert!(warner.is_due("a", week, end - Duration::days(1)));
    }
}
