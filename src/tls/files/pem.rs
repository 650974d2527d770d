//! PEM (RFC 7468), read leniently where people differ (comments, CRLF, BOM, trailing spaces) and strictly where it counts
//! (matching labels, valid base64). Labels are kept, so that a wrong file can be called by what it is.

use data_encoding::BASE64;
use pki::pem::has_lost_its_line_breaks;
use zeroize::Zeroizing;

/// One `BEGIN`…`END` section.
#[derive(Clone, PartialEq, Eq)]
pub struct Section {
    /// What stands after `BEGIN`.
    pub label: String,
    /// The decoded contents; empty when `encrypted`.
    pub der: Zeroizing<Vec<u8>>,
    /// Whether RFC 1421 headers say the contents are encrypted.
    pub encrypted: bool,
}

impl std::fmt::Debug for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The contents may be a private key.
        f.debug_struct("Section")
            .field("label", &self.label)
            .field("bytes", &self.der.len())
            .finish_non_exhaustive()
    }
}

/// Every section of a file, in order. Text outside sections is skipped. The error names the line.
pub fn sections(bytes: &[u8]) -> Result<Vec<Section>, String> {
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = if index == 0 {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        } else {
            line
        };
        let line = line.trim_ascii();
        let at = |what: &str| format!("line {}: {what}", index + 1);
        if has_lost_its_line_breaks(line) {
            return Err(at("the line breaks are missing"));
        }
        match (
            &mut open,
            marker(line, b"-----BEGIN "),
            marker(line, b"-----END "),
        ) {
            (None, Some(label), _) => open = Some(Open::new(label)),
            (Some(section), Some(_), _) => {
                return Err(at(&format!(
                    "a section begins before {:?} has ended",
                    section.label
                )));
            }
            (Some(section), None, Some(label)) => {
                if section.label != label {
                    return Err(at(&format!("{:?} ends as {label:?}", section.label)));
                }
                found.push(section.close().map_err(|what| at(&what))?);
                open = None;
            }
            (Some(section), None, None) => section.line(line),
            (None, None, _) => {}
        }
    }
    match open {
        Some(section) => Err(format!(
            "{:?} has no end: the file is cut short",
            section.label
        )),
        None => Ok(found),
    }
}

struct Open {
    label: String,
    base64: Zeroizing<Vec<u8>>,
    encrypted: bool,
    in_headers: bool,
}

impl Open {
    fn new(label: String) -> Self {
        Self {
            label,
            base64: Zeroizing::new(Vec::new()),
            encrypted: false,
            in_headers: false,
        }
    }

    fn line(&mut self, line: &[u8]) {
        // RFC 1421 headers: "Proc-Type: 4,ENCRYPTED", then a blank line. Base64 has no colon.
        if line.contains(&b':') {
            self.in_headers = true;
            self.encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else if line.is_empty() {
            self.in_headers = false;
        } else if !self.in_headers {
            self.base64
                .extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }

    fn close(&self) -> Result<Section, String> {
        let der = if self.encrypted {
            Vec::new()
        } else {
            BASE64
                .decode(&self.base64)
                .map_err(|_| format!("the base64 of {:?} is damaged", self.label))?
        };
        if der.is_empty() && !self.encrypted {
            return Err(format!("{:?} is empty", self.label));
        }
        Ok(Section {
            label: self.label.clone(),
            der: Zeroizing::new(der),
            encrypted: self.encrypted,
        })
    }
}

fn marker(line: &[u8], start: &[u8]) -> Option<String> {
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    // Nothing else is a label (RFC 7468 §3): it will be quoted, and might be a part of a key.
    let named = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ';
    std::str::from_utf8(label)
        .ok()
        .filter(|label| label.len() <= 40 && label.as_bytes().iter().all(named))
        .map(|label| label.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_crlf_bom_and_spaces_do_not_matter() {
        let text = b"\xef\xbb\xbf-----BEGIN X-----\r\nAAEC \r\n-----END X-----\r\nSubject: somebody\n\n-----BEGIN Y Z-----\nAAEC\nAwQF\n-----END Y Z-----";
        let found = sections(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].label.as_str(), &found[0].der[..]),
            ("X", &[0, 1, 2][..])
        );
        assert_eq!(
            (found[1].label.as_str(), &found[1].der[..]),
            ("Y Z", &[0, 1, 2, 3, 4, 5][..])
        );
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for (text, expected) in [
            (
                "-----BEGIN X-----\nAAEC\n",
                "\"X\" has no end: the file is cut short",
            ),
            (
                "-----BEGIN X-----\n!\n-----END X-----",
                "line 3: the base64 of \"X\" is damaged",
            ),
            (
                "-----BEGIN X-----\nAAEC\n-----END Y-----",
                "line 3: \"X\" ends as \"Y\"",
            ),
            (
                "-----BEGIN X-----\n-----BEGIN X-----",
                "line 2: a section begins before \"X\" has ended",
            ),
            (
                "-----BEGIN X-----\n-----END X-----",
                "line 2: \"X\" is empty",
            ),
        ] {
            assert_eq!(sections(text.as_bytes()).unwrap_err(), expected);
        }
        assert_eq!(sections(b"no pem at all").unwrap(), []);
    }

    #[test]
    fn old_style_encryption_is_recognised() {
        let text = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n-----END RSA PRIVATE KEY-----\n";
        assert!(sections(text).unwrap()[0].encrypted);
    }
}
