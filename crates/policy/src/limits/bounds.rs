//! Bounds of what a container may use: the most of something, or no bound.

use crate::reader::{ValueProblem, Values};

use super::kinds::{AnyLimit, LimitKind};
use super::means::Means;

/// What a power says that asks for all there is.
pub(crate) const UNLIMITED: &str = "unlimited";

/// What a bound counts, and how that is written.
pub trait BoundUnit: Clone + Copy + Default + std::fmt::Debug + PartialEq + Eq {
    /// What is expected in the file.
    const EXPECTED: &'static str;

    /// The number in the smallest unit.
    fn parse(text: &str) -> Option<u64>;

    /// The number as `parse` reads it.
    fn show(number: u64) -> String;
}

/// Bytes, as `docker run --memory` takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes;

impl BoundUnit for Bytes {
    const EXPECTED: &'static str =
        "expected a number of bytes above 0, such as \"512m\" or \"2g\", or \"unlimited\"";

    fn parse(text: &str) -> Option<u64> {
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
        let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << shift)
    }

    fn show(number: u64) -> String {
        let units = [(40, "t"), (30, "g"), (20, "m"), (10, "k")];
        let whole = |shift: &i32| number > 0 && number.is_multiple_of(1 << shift);
        match units.iter().find(|(shift, _)| whole(shift)) {
            Some((shift, unit)) => format!("{}{unit}", number >> shift),
            None => number.to_string(),
        }
    }
}

/// Billionths of a CPU, written as CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NanoCpus;

impl BoundUnit for NanoCpus {
    const EXPECTED: &'static str =
        "expected a number of CPUs above 0, such as 1.5, or \"unlimited\"";

    fn parse(text: &str) -> Option<u64> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 9 {
            return None;
        }
        let part = format!("{part:0<9}").parse::<u64>().ok()?;
        whole
            .parse::<u64>()
            .ok()?
            .checked_mul(1_000_000_000)?
            .checked_add(part)
    }

    fn show(number: u64) -> String {
        let (whole, part) = (number / 1_000_000_000, number % 1_000_000_000);
        if part == 0 {
            return whole.to_string();
        }
        let text = format!("{whole}.{part:09}");
        text.trim_end_matches('0').to_owned()
    }
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processes;

impl BoundUnit for Processes {
    const EXPECTED: &'static str = "expected a whole number above 0, or \"unlimited\"";

    fn parse(text: &str) -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    }

    fn show(number: u64) -> String {
        number.to_string()
    }
}

/// Published ports of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortNumbers;

impl BoundUnit for PortNumbers {
    const EXPECTED: &'static str = Processes::EXPECTED;

    fn parse(text: &str) -> Option<u64> {
        Processes::parse(text)
    }

    fn show(number: u64) -> String {
        Processes::show(number)
    }
}

/// The most of something that each container may use; without a bound anything passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound<U> {
    most: Option<u64>,
    unit: U,
}

impl<U: BoundUnit> Bound<U> {
    /// The bound, in the smallest unit.
    #[must_use]
    pub fn most(&self) -> Option<u64> {
        self.most
    }

    fn parse(text: &str) -> Result<Option<u64>, ValueProblem> {
        match U::parse(text) {
            _ if text == UNLIMITED => Ok(None),
            Some(most) if most > 0 => Ok(Some(most)),
            _ => Err(U::EXPECTED.into()),
        }
    }
}

impl<U: BoundUnit> LimitKind for Bound<U> {
    const BOUND: bool = true;

    fn of(words: &[&str]) -> Self {
        let most = words.first().and_then(|word| U::parse(word));
        Bound {
            most,
            unit: U::default(),
        }
    }
}

impl<U: BoundUnit> AnyLimit for Bound<U> {
    fn read(&mut self, from: &mut Values<'_, '_>) {
        if let Some(most) = from.scalar(U::EXPECTED, Self::parse) {
            self.most = most;
        }
    }

    fn admits(&self, value: &str, _: &Means) -> bool {
        match (self.most, U::parse(value)) {
            (None, _) => true,
            (Some(most), Some(asked)) => asked <= most,
            (Some(_), None) => false,
        }
    }

    fn allowed(&self) -> String {
        match self.most {
            Some(most) => format!("at most {}", U::show(most)),
            None => UNLIMITED.into(),
        }
    }

    fn written(&self) -> String {
        match self.most {
            Some(most) => format!("\"{}\"", U::show(most)),
            None => format!("\"{UNLIMITED}\""),
        }
    }

    fn admits_everything(&self) -> bool {
        self.most.is_none()
    }
}

/// Memory as powers and facts have it.
pub(crate) fn bytes(number: u64) -> String {
    Bytes::show(number)
}

/// CPUs as powers and facts have them.
pub(crate) fn cpus(nano: u64) -> String {
    NanoCpus::show(nano)
}

#[cfg(test)]
mod tests {
    use super::{BoundUnit, Bytes, NanoCpus, Processes};

    #[test]
    fn each_unit_reads_what_it_shows_and_nothing_odd() {
        for (text, number) in [
            ("1", 1),
            ("512m", 512 << 20),
            ("512MiB", 512 << 20),
            ("2 g", 2 << 30),
            ("1t", 1 << 40),
        ] {
            assert_eq!(Bytes::parse(text), Some(number), "{text}");
            assert_eq!(Bytes::parse(&Bytes::show(number)), Some(number), "{text}");
        }
        for (text, nano) in [
            ("1", 1_000_000_000),
            ("0.5", 500_000_000),
            ("1.25", 1_250_000_000),
            ("0.000000001", 1),
        ] {
            assert_eq!(NanoCpus::parse(text), Some(nano), "{text}");
            assert_eq!(NanoCpus::show(nano), text);
        }
        for odd in ["", "-1", "+1", "1x", "1e9", "unlimited", "99999999999t"] {
            assert_eq!(Bytes::parse(odd), None, "{odd}");
        }
        for odd in [
            "",
            "-1",
            "+1",
            ".5",
            "1.",
            "1e3",
            "1.0000000001",
            "inf",
            "nan",
        ] {
            assert_eq!(NanoCpus::parse(odd), None, "{odd}");
        }
        for odd in ["", "-1", "+1", " 1", "1.0"] {
            assert_eq!(Processes::parse(odd), None, "{odd}");
        }
    }
}
