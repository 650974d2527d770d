//! The bodies of EST messages: base64 (RFC 8951 §3.1: whatever Content-Transfer-Encoding says) around a request or an envelope
//! of certificates.

use data_encoding::BASE64;
use pki::event::IssuedKind;

/// The largest body that either side reads.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The media type of a request.
pub const REQUEST_TYPE: &str = "application/pkcs10";
/// The media type of certificates.
pub const CERTIFICATES_TYPE: &str = "application/pkcs7-mime; smime-type=certs-only";
/// The media type of a revocation list.
pub const LIST_TYPE: &str = "application/pkix-crl";
/// The response header in which the signer tells where the gate is.
pub const GATE_HEADER: &str = "dockgate-gate";

/// The request header that says what the certificate is to be for, so that a wrong invitation is not used up.
pub const KIND_HEADER: &str = "dockgate-kind";

/// The word for a kind in [`KIND_HEADER`].
#[must_use]
pub fn kind_word(kind: IssuedKind) -> &'static str {
    match kind {
        IssuedKind::Server => "server",
        _ => "client",
    }
}

/// Decodes a body; line breaks and spaces may be anywhere.
#[must_use]
pub fn decode(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() > MAX_BODY_BYTES {
        return None;
    }
    let dense: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64.decode(&dense).ok().filter(|der| !der.is_empty())
}

/// Encodes a body, in lines of 64.
#[must_use]
pub fn encode(der: &[u8]) -> String {
    let dense = BASE64.encode(der);
    let mut body = String::with_capacity(dense.len() + dense.len() / 64 * 2 + 2);
    for line in dense.as_bytes().chunks(64) {
        body.push_str(&String::from_utf8_lossy(line));
        body.push_str("\r\n");
    }
    body
}

/// Whether a `Content-Type` names a media type, whatever its parameters.
#[must_use]
pub fn is_type(field: &[u8], wanted: &str) -> bool {
    let kind = field
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    kind.eq_ignore_ascii_case(wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_decoded_however_its_lines_are_broken() {
        let der: Vec<u8> = (0..=255).collect();
        let body = encode(&der);
        assert!(body.lines().all(|line| line.len() <= 64));
        assert_eq!(decode(body.as_bytes()), Some(der.clone()));
        let one = body.replace("\r\n", "");
        assert_eq!(decode(one.as_bytes()), Some(der));
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for body in [
            "",
            "====",
            "AAA",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA",
        ] {
            assert_eq!(decode(body.as_bytes()), None, "{body:?}");
        }
        assert_eq!(decode(&vec![b'A'; MAX_BODY_BYTES + 4]), None);
    }

    #[test]
    fn a_media_type_is_compared_without_its_parameters() {
        assert!(is_type(b"application/PKCS10; charset=x", REQUEST_TYPE));
        assert!(!is_type(b"application/pkcs10x", REQUEST_TYPE));
        assert!(!is_type(b"", REQUEST_TYPE));
    }
}
