//! The one reader of PEM (RFC 7468): lenient where people differ (comments, CRLF, BOM, trailing spaces, any line width) and
//! strict where it counts (matching labels, valid base64). Written strictly.
//!
//! No error quotes contents: whatever was named may be a private key.

use std::path::Path;

use data_encoding::BASE64;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::{CertsError, write};

/// One PEM block.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    /// What is between `BEGIN` and the dashes, e.g. `CERTIFICATE`.
    pub label: String,
    /// The block carried `Proc-Type: 4,ENCRYPTED` (RFC 1421), OpenSSL's old way to encrypt keys.
    pub old_encryption: bool,
    /// The decoded contents; empty with `old_encryption`.
    pub der: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The contents may be a private key.
        f.debug_struct("Block")
            .field("label", &self.label)
            .field("bytes", &self.der.len())
            .finish_non_exhaustive()
    }
}

/// Why a text cannot be read as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong, with its line where there is one.
    pub what: String,
    /// What to do about it.
    pub remedy: &'static str,
}

const CUT_SHORT: &str = "the file may be cut short: copy it again";

/// All blocks of a file, in order. Text around them is skipped.
///
/// # Errors
/// The first damage.
pub fn read(bytes: &[u8]) -> Result<Vec<Block>, Damage> {
    let damage = |what: &str, remedy| Damage {
        what: what.to_owned(),
        remedy,
    };
    if is_utf16(bytes) {
        return Err(damage(
            "the text is UTF-16",
            "save it as ASCII or UTF-8: `iconv -f UTF-16 -t ASCII FILE > NEW`, in PowerShell `Out-File -Encoding ascii`",
        ));
    }
    if is_pkcs12(bytes) {
        return Err(damage(
            "it is a PKCS#12 store (.p12, .pfx)",
            "convert it: `openssl pkcs12 -in FILE -noenc -out NEW`, which writes key, certificate and chain",
        ));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        let at = |what: &str, remedy| Damage {
            what: format!("line {}: {what}", index + 1),
            remedy,
        };
        if has_lost_its_line_breaks(line) {
            return Err(at(
                "the line breaks are missing",
                "copy the file again, byte for byte; in a shell quote it: \"$(cat FILE)\"",
            ));
        }
        match (
            &mut open,
            marker(line, b"-----BEGIN "),
            marker(line, b"-----END "),
        ) {
            (None, Some(label), _) => open = Some(Open::new(label, bytes.len())),
            (Some(block), Some(_), _) => {
                let what = format!("a block begins before {:?} has ended", block.label);
                return Err(at(&what, CUT_SHORT));
            }
            (Some(block), None, Some(label)) => {
                if block.label != label {
                    let what = format!("{:?} ends as {label:?}", block.label);
                    return Err(at(&what, CUT_SHORT));
                }
                found.push(block.close().map_err(|what| at(&what, CUT_SHORT))?);
                open = None;
            }
            (Some(block), None, None) => block.line(line),
            (None, None, _) => {}
        }
    }
    match open {
        Some(block) => Err(damage(
            &format!("{:?} has no end: the file is cut short", block.label),
            CUT_SHORT,
        )),
        None => Ok(found),
    }
}

/// The same for a file, whose name is in the error.
pub fn blocks(path: &Path, bytes: &[u8]) -> Result<Vec<Block>, CertsError> {
    read(bytes).map_err(|damage| CertsError::Unexpected {
        path: path.into(),
        expected: "PEM blocks",
        found: format!("PEM that cannot be read: {}", damage.what),
        hint: Some(damage.remedy.into()),
    })
}

/// A block that has begun.
struct Open {
    label: String,
    base64: Zeroizing<Vec<u8>>,
    encrypted: bool,
    in_headers: bool,
}

impl Open {
    /// With room for everything, so that a key's text is never copied by growth.
    fn new(label: String, room: usize) -> Self {
        Self {
            label,
            base64: Zeroizing::new(Vec::with_capacity(room)),
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
            let text = line.iter().filter(|byte| !byte.is_ascii_whitespace());
            self.base64.extend(text);
        }
    }

    fn close(&self) -> Result<Block, String> {
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
        Ok(Block {
            label: self.label.clone(),
            der: Zeroizing::new(der),
            old_encryption: self.encrypted,
        })
    }
}

/// Text as Windows tools save it: with a byte order mark, or a zero byte beside each ASCII letter of the first line.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || matches!(bytes, [b'-', 0, b'-', 0, ..] | [0, b'-', 0, b'-', ..])
}

/// A PFX (RFC 7292 §4): a SEQUENCE that begins with the version number 3.
fn is_pkcs12(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81..=0x84, ..])
        && crate::trust::first_element(bytes).is_some_and(|first| first == [2, 1, 3])
}

/// Whether a key file is encrypted, told without a passphrase.
///
/// # Errors
/// When the file cannot be read, or is damaged.
pub fn is_encrypted(path: &Path) -> Result<bool, CertsError> {
    let bytes = write::read(path)?;
    Ok(blocks(path, &bytes)?
        .iter()
        .any(|block| block.old_encryption || block.label == "ENCRYPTED PRIVATE KEY"))
}

/// The certificates of a PEM or DER file, at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertsError> {
    certificates_of(path, &write::read(path)?)
}

/// The same of the bytes of a file, or of a copy of it.
pub fn certificates_of(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertsError> {
    if bytes.first() == Some(&0x30) && x509_parser::parse_x509_certificate(bytes).is_ok() {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let blocks = blocks(path, bytes)?;
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

fn marker(line: &[u8], start: &[u8]) -> Option<String> {
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    // Nothing else is a label (RFC 7468 §3): it will be quoted, and might be a part of a key.
    let named = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ';
    std::str::from_utf8(label)
        .ok()
        .filter(|label| label.len() <= 40 && label.as_bytes().iter().all(named))
        .map(|label| label.trim().to_owned())
}

/// A whole file on one line, as `echo $(cat key.pem)` leaves it.
fn has_lost_its_line_breaks(line: &[u8]) -> bool {
    line.strip_prefix(b"-----BEGIN ").is_some_and(|rest| {
        let dashes = rest.windows(5).position(|five| five == b"-----");
        dashes.is_some_and(|at| !rest[at + 5..].trim_ascii().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &[u8]) -> String {
        read(text).expect_err("damaged").what
    }

    #[test]
    fn comments_crlf_bom_and_spaces_do_not_matter() {
        let text = b"\xef\xbb\xbf-----BEGIN X-----\r\nAAEC \r\n-----END X-----\r\nSubject: somebody\n\n-----BEGIN Y Z-----\nAAEC\nAwQF\n-----END Y Z-----";
        let found = read(text).expect("readable");
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
                "line 2: a block begins before \"X\" has ended",
            ),
            (
                "-----BEGIN X-----\n-----END X-----",
                "line 2: \"X\" is empty",
            ),
            (
                "-----BEGIN X----- AAEC -----END X-----",
                "line 1: the line breaks are missing",
            ),
            (
                "-----BEGIN X-----\rAAEC\r-----END X-----",
                "line 1: the line breaks are missing",
            ),
        ] {
            assert_eq!(what(text.as_bytes()), expected);
        }
        assert_eq!(read(b"no pem at all"), Ok(Vec::new()));
    }

    #[test]
    fn other_containers_are_named_with_the_command_that_converts_them() {
        let text = "-----BEGIN X-----\nAAEC\n-----END X-----\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [b"\xff\xfe", little.as_slice()].concat();
        for text in [little, big, marked] {
            let damage = read(&text).expect_err("UTF-16");
            assert_eq!(damage.what, "the text is UTF-16");
            assert!(damage.remedy.contains("iconv"));
        }
        let mut store = vec![0x30, 0x82, 0x01, 0x00, 0x02, 0x01, 0x03];
        store.resize(260, 0);
        let damage = read(&store).expect_err("PKCS#12");
        assert!(damage.what.contains("PKCS#12") && damage.remedy.contains("openssl pkcs12"));
    }

    #[test]
    fn old_style_encryption_is_recognised() {
        let text = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n-----END RSA PRIVATE KEY-----\n";
        assert!(read(text).expect("readable")[0].old_encryption);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_the_reader_fall_over(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let framed = [b"-----BEGIN CERTIFICATE-----\n", bytes.as_slice(), b"\n-----END CERTIFICATE-----\n"].concat();
            for input in [bytes.as_slice(), &framed] {
                for block in blocks(Path::new("fuzz"), input).unwrap_or_default() {
                    let _ = crate::Certificate::read(&block.der);
                }
            }
            let _ = crate::Certificate::read(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(der in proptest::collection::vec(proptest::num::u8::ANY, 1..400), before in "[a-z \n]{0,40}") {
            let text = format!("{before}\n{}{}", *encode("CERTIFICATE", &der), *encode("X509 CRL", &der));
            let read = blocks(Path::new("fuzz"), text.replace('\n', "\r\n").as_bytes()).expect("well-formed");
            proptest::prop_assert_eq!(read.len(), 2);
            proptest::prop_assert_eq!(read[0].der.as_slice(), der.as_slice());
            proptest::prop_assert_eq!(read[1].label.as_str(), "X509 CRL");
            proptest::prop_assert!(text.lines().all(|line| line.len() <= 64));
        }
    }
}
