//! Text that the engine evaluates by itself: templates of Go's `text/template`, regular expressions, sizes.
//!
//! A template may call functions that make any amount of text (`{{pad "x" 1099511627776 0}}` ends the engine), so only
//! references to listed fields pass, and few of those whose value a client chose.

use text::pattern_steps;

/// How a template begins.
const OPEN: &str = "{{";

/// References in one request.
const MOST_REFERENCES: usize = 256;

/// References to text of any length: labels, variables, a command.
const MOST_LONG: usize = 8;

/// What templates may refer to.
#[derive(Debug)]
pub(super) struct TemplateFields {
    /// Fields that hold an id, a name or the like.
    pub(super) short: &'static [&'static str],
    /// Fields that hold as much as a client wrote.
    pub(super) long: &'static [&'static str],
    /// Maps of such text, of which `index .MAP "KEY"` is one value.
    pub(super) maps: &'static [&'static str],
    /// What is expected in a denial.
    pub(super) expected: &'static str,
}

/// The templates of one request.
#[derive(Debug)]
pub(super) struct Templates {
    fields: &'static TemplateFields,
    references: usize,
    long: usize,
}

impl Templates {
    pub(super) fn of(fields: &'static TemplateFields) -> Self {
        Templates {
            fields,
            references: 0,
            long: 0,
        }
    }

    /// Whether a text makes little more than itself: it refers to listed fields alone, and to few.
    pub(super) fn admit(&mut self, text: &str) -> bool {
        let mut pieces = text.split(OPEN);
        pieces.next();
        pieces.all(|piece| {
            let reference = piece.split_once("}}").map(|(inner, _)| inner.trim());
            let Some(reference) = reference else {
                return false;
            };
            self.references += 1;
            let short = self.fields.short.contains(&reference);
            self.long += usize::from(!short);
            (short || self.is_long(reference))
                && self.references <= MOST_REFERENCES
                && self.long <= MOST_LONG
        })
    }

    fn is_long(&self, reference: &str) -> bool {
        self.fields.long.contains(&reference)
            || self.fields.maps.iter().any(|map| {
                let key = reference
                    .strip_prefix("index ")
                    .and_then(|rest| rest.trim_start().strip_prefix(map))
                    .map(str::trim_start)
                    .and_then(|rest| rest.strip_prefix('"')?.strip_suffix('"'));
                let field = reference
                    .strip_prefix(map)
                    .and_then(|rest| rest.strip_prefix('.'));
                key.is_some_and(|key| !key.contains(['"', '\\']))
                    || field.is_some_and(|field| {
                        field
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    })
            })
    }

    /// What is expected in a denial.
    pub(super) fn expected(&self) -> &'static str {
        self.fields.expected
    }
}

/// Whether a regular expression stays as small as it looks.
pub(super) fn small_pattern(text: &str, most: usize) -> bool {
    pattern_steps(text).is_some_and(|steps| steps <= most)
}

/// What a unit multiplies by: in `RAMInBytes` and in `FromHumanSize` of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SizeBase {
    /// 1024.
    Binary,
    /// 1000.
    Decimal,
}

/// A size as the engine reads it, without the spellings that nobody uses.
pub(super) fn size(text: &str, base: SizeBase) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    if number.len() > 15 || !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')) {
        Some("") | None if matches!(unit.as_str(), "" | "b") => 0,
        short => match short.unwrap_or(&unit) {
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            _ => return None,
        },
    };
    let base: f64 = match base {
        SizeBase::Binary => 1024.0,
        SizeBase::Decimal => 1000.0,
    };
    let bytes = number.parse::<f64>().ok()? * base.powi(power);
    (bytes < 1e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::SizeBase::{Binary, Decimal};
    use super::size;

    #[test]
    fn sizes_are_read_as_the_engine_reads_them() {
        for (text, binary, decimal) in [
            ("10", 10, 10),
            ("10b", 10, 10),
            ("10k", 10_240, 10_000),
            ("10K", 10_240, 10_000),
            ("1.5m", 1_572_864, 1_500_000),
            ("4 MB", 4_194_304, 4_000_000),
            ("2GiB", 2_147_483_648, 2_000_000_000),
        ] {
            assert_eq!(size(text, Binary), Some(binary), "{text}");
            assert_eq!(size(text, Decimal), Some(decimal), "{text}");
        }
        for odd in [
            "", "-1", "+1", "k", ".5m", "1e3", "1x", "1kk", "ib", "1ib", "0x10", "1  k", "1.1.1",
            "inf",
        ] {
            assert_eq!(size(odd, Binary), None, "{odd}");
        }
    }
}
