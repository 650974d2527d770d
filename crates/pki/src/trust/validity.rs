//! How near the end of a certificate or a list is, measured by its own life: what lives a week is not about to end all week.

use time::{Duration, OffsetDateTime};

use super::{Certificate, RevocationList};

/// How far the beginning of a certificate or a list lies in the past: clocks differ, and OpenSSL refuses a list from the future.
pub const BACKDATE: Duration = Duration::minutes(5);

/// The longest time before an end at which anything is due or said.
const SOON: Duration = Duration::days(30);
/// The same for the second warning.
const NEAR: Duration = Duration::days(7);
/// The same for the last warning.
const LAST: Duration = Duration::days(1);

/// A list that lives this long or shorter is replaced every day, as the signer's are.
const DAILY: Duration = Duration::days(8);

/// How near an end is, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndStage {
    /// It is over.
    Over,
    /// The last hours.
    Last,
    /// The second warning.
    Near,
    /// The first warning: a renewal that works would have come.
    Soon,
    /// A renewal is due, and need not have come yet.
    Due,
}

/// From when until when something is good, and how it is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: OffsetDateTime,
    /// The last one.
    pub until: OffsetDateTime,
    is_list: bool,
}

impl Validity {
    /// A certificate's.
    #[must_use]
    pub fn of_certificate(from: OffsetDateTime, until: OffsetDateTime) -> Self {
        Self {
            from,
            until,
            is_list: false,
        }
    }

    /// A revocation list's, from `thisUpdate` to `nextUpdate`.
    #[must_use]
    pub fn of_list(from: OffsetDateTime, until: OffsetDateTime) -> Self {
        Self {
            from,
            until,
            is_list: true,
        }
    }

    /// The life that was given: what is signed here begins a little earlier, for clocks that are late.
    #[must_use]
    pub fn life(&self) -> Duration {
        let whole = self.until - self.from;
        match whole > BACKDATE {
            true => whole - BACKDATE,
            false => whole.max(Duration::ZERO),
        }
    }

    /// The moment at which a renewal is due: a third of the life before the end.
    #[must_use]
    pub fn renewal_due(&self) -> OffsetDateTime {
        self.until - self.life() / 3
    }

    /// The moment of the first warning. A certificate's is a quarter of its life before its end, when a renewal that was
    /// due and works has come; a list's half of its life, or two days after it was signed where lists are signed daily.
    /// None comes earlier than thirty days before.
    #[must_use]
    pub fn warned_from(&self) -> OffsetDateTime {
        let share: Duration = match self.is_list {
            false => self.life() / 4,
            true if self.life() <= DAILY => self.life() * 5 / 7,
            true => self.life() / 2,
        };
        self.until - share.min(SOON)
    }

    /// How near the end is at a moment; nothing while there is time.
    #[must_use]
    pub fn stage(&self, now: OffsetDateTime) -> Option<EndStage> {
        let left = self.until - now;
        let first: Duration = self.until - self.warned_from();
        let due: Duration = (self.until - self.renewal_due()).min(SOON);
        match () {
            () if left <= Duration::ZERO => Some(EndStage::Over),
            () if left <= (first / 8_i32).min(LAST) => Some(EndStage::Last),
            () if left <= (first / 3_i32).min(NEAR) => Some(EndStage::Near),
            () if left <= first => Some(EndStage::Soon),
            () if left <= due && !self.is_list => Some(EndStage::Due),
            () => None,
        }
    }
}

impl Certificate {
    /// From when until when it is good.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity::of_certificate(self.not_before, self.not_after)
    }

    /// The moment at which its renewal is due.
    #[must_use]
    pub fn renewal_due(&self) -> OffsetDateTime {
        self.validity().renewal_due()
    }
}

impl RevocationList {
    /// From when until when it is good.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity::of_list(self.this_update, self.next_update)
    }
}

/// How much time there is, in the unit that a person would choose.
#[must_use]
pub fn time_left(left: Duration) -> String {
    let (days, hours, minutes) = (left.whole_days(), left.whole_hours(), left.whole_minutes());
    match () {
        () if days >= 2 => text::counted(days, "day"),
        () if hours >= 2 => text::counted(hours, "hour"),
        () if minutes >= 2 => text::counted(minutes, "minute"),
        () => text::counted(left.whole_seconds().max(0), "second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(life: Duration, left: Duration, is_list: bool) -> Option<EndStage> {
        let from = OffsetDateTime::UNIX_EPOCH;
        let until = from + BACKDATE + life;
        let validity = match is_list {
            true => Validity::of_list(from, until),
            false => Validity::of_certificate(from, until),
        };
        validity.stage(until - left)
    }

    #[test]
    fn a_long_life_is_warned_of_thirty_seven_and_one_days_before() {
        for life in [365, 825, 3650].map(Duration::days) {
            let at = |left| at(life, left, false);
            assert_eq!(at(Duration::days(30) + Duration::SECOND), None, "{life}");
            assert_eq!(at(Duration::days(30)), Some(EndStage::Soon), "{life}");
            assert_eq!(at(Duration::days(7)), Some(EndStage::Near), "{life}");
            assert_eq!(at(Duration::days(1)), Some(EndStage::Last), "{life}");
            assert_eq!(at(Duration::ZERO), Some(EndStage::Over), "{life}");
        }
    }

    #[test]
    fn a_short_life_is_warned_of_by_its_own_measure_after_a_renewal_that_works() {
        for life in [
            Duration::MINUTE,
            Duration::HOUR,
            Duration::DAY,
            Duration::days(7),
            Duration::days(30),
        ] {
            let at = |left| at(life, left, false);
            assert_eq!(at(life), None, "a new one is not about to end");
            assert_eq!(at(life / 2), None, "{life}");
            assert_eq!(at(life * 3 / 10), Some(EndStage::Due), "{life}");
            assert_eq!(at(life / 4), Some(EndStage::Soon), "{life}");
            assert_eq!(at(life / 12), Some(EndStage::Near), "{life}");
            assert_eq!(at(life / 32), Some(EndStage::Last), "{life}");
        }
    }

    #[test]
    fn a_list_for_a_week_is_warned_of_from_the_second_day() {
        let week = Duration::days(7);
        let after = |age| at(week, week - age, true);
        assert_eq!(after(Duration::ZERO), None);
        assert_eq!(after(Duration::hours(47)), None);
        assert_eq!(after(Duration::hours(48)), Some(EndStage::Soon));
        assert_eq!(after(Duration::days(6)), Some(EndStage::Near));
        assert_eq!(after(week), Some(EndStage::Over));
        let long = Duration::days(60);
        assert_eq!(at(long, Duration::days(31), true), None);
        assert_eq!(at(long, Duration::days(30), true), Some(EndStage::Soon));
        let month = Duration::days(30);
        assert_eq!(at(month, month, true), None);
    }

    #[test]
    fn what_is_left_is_said_in_a_fitting_unit() {
        for (left, said) in [
            (Duration::days(12), "12 days"),
            (Duration::hours(47), "47 hours"),
            (Duration::minutes(90), "90 minutes"),
            (Duration::SECOND, "1 second"),
            (-Duration::SECOND, "0 seconds"),
        ] {
            assert_eq!(time_left(left), said);
        }
    }
}
