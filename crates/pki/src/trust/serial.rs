//! A certificate's serial number, written in one way only: lower-case hex of its bytes without leading zero bytes.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// Longest serial number that is read from text, in hex digits: twice what RFC 5280 §4.1.2.2 allows.
const MAX_DIGITS: usize = 80;

/// A serial number, for comparison. Equal whatever form it was given in: zero, with leading zeros, negative.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Box<[u8]>);

/// A text that is not a serial number in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a serial number in hex such as \"4f3a\" or \"4F:3A\"")]
pub struct NotASerial;

impl Serial {
    /// The contents of a DER integer. A negative number (RFC 5280 forbids them, some CAs make them) keeps its
    /// two's-complement bytes.
    #[must_use]
    pub fn from_der(contents: &[u8]) -> Self {
        let start = contents
            .iter()
            .position(|byte| *byte != 0)
            .unwrap_or(contents.len());
        let bytes = contents.get(start..).unwrap_or_default();
        Self(if bytes.is_empty() { &[0] } else { bytes }.into())
    }

    /// Its bytes, big-endian, without leading zero bytes; zero is one zero byte.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl FromStr for Serial {
    type Err = NotASerial;

    /// As any tool prints it: either case, with `0x`, colons, leading zeros, a minus sign, or `serial=` before it.
    fn from_str(text: &str) -> Result<Self, NotASerial> {
        let text = text.trim();
        let text = text.strip_prefix("serial=").unwrap_or(text);
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let text = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .unwrap_or(text);
        let mut hex: String = text.chars().filter(|c| *c != ':').collect();
        if hex.is_empty() || hex.len() > MAX_DIGITS {
            return Err(NotASerial);
        }
        if hex.len() % 2 == 1 {
            hex.insert(0, '0');
        }
        let bytes = HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .map_err(|_| NotASerial)?;
        let magnitude = Self::from_der(&bytes);
        Ok(if negative {
            magnitude.negated()
        } else {
            magnitude
        })
    }
}

impl Serial {
    /// The shortest two's-complement bytes of the number with this magnitude and a minus sign.
    fn negated(&self) -> Self {
        if *self.0 == [0] {
            return self.clone();
        }
        let mut bytes = vec![0];
        bytes.extend_from_slice(&self.0);
        for byte in &mut bytes {
            *byte = !*byte;
        }
        for byte in bytes.iter_mut().rev() {
            let (sum, carried) = byte.overflowing_add(1);
            *byte = sum;
            if !carried {
                break;
            }
        }
        while let [0xff, second, ..] = bytes.as_slice() {
            if second & 0x80 == 0 {
                break;
            }
            bytes.remove(0);
        }
        Self(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_serial_is_the_same_serial() {
        for (der, forms) in [
            (
                &[0_u8][..],
                &["0", "00", "0x0", "00:00", "-0", "000000"][..],
            ),
            (&[1], &["1", "01", "0x01", "00:01", "serial=01"]),
            (&[0x00, 0xff], &["ff", "FF", "00FF", "0xff", "00:ff"]),
            (&[0x4f, 0x3a], &["4f3a", "4F:3A", "00004f3a"]),
            (&[0xff], &["-1", "-01", "-0x1"]),
            (&[0x80], &["-80", "-0x80"]),
            (&[0xff, 0x00], &["-100", "-0100"]),
            (&[0xfe, 0xff], &["-0101"]),
        ] {
            for form in forms {
                assert_eq!(form.parse(), Ok(Serial::from_der(der)), "{form}");
            }
        }
        let long = [0x7f; 20];
        let text = HEXLOWER.encode(&long);
        assert_eq!(text.parse(), Ok(Serial::from_der(&long)));
        assert_eq!(Serial::from_der(&long).to_string(), text);
    }

    #[test]
    fn what_is_not_hex_is_not_a_serial() {
        for text in ["", "-", "0x", "xyz", ":", "4f 3a", &"f".repeat(81)] {
            assert_eq!(text.parse::<Serial>(), Err(NotASerial), "{text:?}");
        }
    }
}
