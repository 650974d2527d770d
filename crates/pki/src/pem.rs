//! PEM (RFC 7468): read leniently (text around blocks, CRLF, any line width), written strictly.

use std::path::Path;

use data_encoding::BASE64;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::{CertsError, write};

/// One PEM block.
pub struct Block {
    /// What stands between `BEGIN` and the dashes, e.g. `CERTIFICATE`.
    pub label: String,
    /// The block carried `Proc-Type: 4,ENCRYPTED` (RFC 1421), OpenSSL's old way to encrypt keys.
    pub old_encryption: bool,
    /// The decoded contents.
    pub der: Zeroizing<Vec<u8>>,
}

/// All blocks of a text. An unterminated or undecodable block is an error that says which.
pub fn blocks(path: &Path, bytes: &[u8]) -> Result<Vec<Block>, CertsError> {
    let broken = |found: String| CertsError::Unexpected {
        path: path.into(),
        expected: "PEM blocks",
        found,
        hint: Some("the file may be cut short: copy it again".into()),
    };
    let mut blocks = Vec::new();
    let mut open: Option<(String, bool, Zeroizing<Vec<u8>>)> = None;
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if has_lost_its_line_breaks(line) {
            return Err(CertsError::Unexpected {
                path: path.into(),
                expected: "PEM blocks",
                found: "PEM on one line: the line breaks are missing".into(),
                hint: Some(
                    "copy the file again, byte for byte; in a shell quote it: \"$(cat FILE)\""
                        .into(),
                ),
            });
        }
        if let Some(label) = between(line, b"-----BEGIN ") {
            // Room for everything, so that a key's text is never copied by growth.
            open = Some((
                label,
                false,
                Zeroizing::new(Vec::with_capacity(bytes.len())),
            ));
        } else if let Some(end) = between(line, b"-----END ") {
            let Some((label, old_encryption, text)) =
                open.take().filter(|(label, ..)| *label == end)
            else {
                return Err(broken(format!("an END {end} line without its BEGIN line")));
            };
            let der = if old_encryption {
                Vec::new()
            } else {
                decode(&text)
                    .ok_or_else(|| broken(format!("a {label} block that is not base64")))?
            };
            blocks.push(Block {
                label,
                old_encryption,
                der: Zeroizing::new(der),
            });
        } else if let Some((_, old_encryption, text)) = &mut open {
            if line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED") {
                *old_encryption = true;
            } else if !line.contains(&b':') {
                text.extend_from_slice(line);
            }
        }
    }
    match open {
        Some((label, ..)) => Err(broken(format!("a {label} block without its END line"))),
        None => Ok(blocks),
    }
}

/// The certificates of a PEM or DER file, at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertsError> {
    let bytes = write::read(path)?;
    if bytes.first() == Some(&0x30) && x509_parser::parse_x509_certificate(&bytes).is_ok() {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let blocks = blocks(path, &bytes)?;
    let certificates: Vec<_> = blocks
        .iter()
        .filter(|block| {
            matches!(
                block.label.as_str(),
                "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
            )
        })
        .map(|block| CertificateDer::from(block.der.to_vec()))
        .collect();
    if certificates.is_empty() {
        return Err(CertsError::Unexpected {
            path: path.into(),
            expected: "a CERTIFICATE in PEM",
            found: describe(&blocks),
            hint: Some("certificates start with -----BEGIN CERTIFICATE-----".into()),
        });
    }
    Ok(certificates)
}

/// What a file holds, for an error text.
pub fn describe(blocks: &[Block]) -> String {
    match blocks {
        [] => "no PEM block".into(),
        [one] => format!("a {} block", one.label),
        [first, ..] => format!("{} PEM blocks, the first a {}", blocks.len(), first.label),
    }
}

/// Encodes one block: 64 columns, LF.
pub fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(BASE64.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(
        body.len() + body.len() / 64 + 2 * label.len() + 40,
    ));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Several certificates, leaf first.
pub fn encode_certificates<'a>(
    chain: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> String {
    chain
        .into_iter()
        .map(|der| encode("CERTIFICATE", der).to_string())
        .collect()
}

fn between(line: &[u8], prefix: &[u8]) -> Option<String> {
    let label = line.strip_prefix(prefix)?.strip_suffix(b"-----")?;
    // Nothing else is a label (RFC 7468 §3): it will be quoted, and might be a part of a key.
    let named = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ';
    std::str::from_utf8(label)
        .ok()
        .filter(|label| label.len() <= 40 && label.as_bytes().iter().all(named))
        .map(str::to_owned)
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let compact: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect(),
    );
    BASE64.decode(&compact).ok()
}

/// A whole file on one line, as `echo $(cat key.pem)` leaves it.
pub fn has_lost_its_line_breaks(line: &[u8]) -> bool {
    line.strip_prefix(b"-----BEGIN ").is_some_and(|rest| {
        let dashes = rest.windows(5).position(|five| five == b"-----");
        dashes.is_some_and(|at| !rest[at + 5..].trim_ascii().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_the_reader_fall_over(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let framed = [b"-----BEGIN CERTIFICATE-----\n", bytes.as_slice(), b"\n-----END CERTIFICATE-----\n"].concat();
            for input in [bytes.as_slice(), &framed] {
                for block in blocks(Path::new("fuzz"), input).unwrap_or_default() {
                    let _ = crate::inspect::inspect(&block.der);
                }
            }
            let _ = crate::inspect::inspect(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(der in proptest::collection::vec(proptest::num::u8::ANY, 0..400), before in "[a-z \n]{0,40}") {
            let text = format!("{before}\n{}{}", *encode("CERTIFICATE", &der), *encode("X509 CRL", &der));
            let read = blocks(Path::new("fuzz"), text.replace('\n', "\r\n").as_bytes()).expect("well-formed");
            proptest::prop_assert_eq!(read.len(), 2);
            proptest::prop_assert_eq!(read[0].der.as_slice(), der.as_slice());
            proptest::prop_assert_eq!(read[1].label.as_str(), "X509 CRL");
            proptest::prop_assert!(text.lines().all(|line| line.len() <= 64));
        }
    }
}
