//! Certificates in a PKCS#7 envelope that is signed by nobody (RFC 5652 §5.1, "certs-only" in RFC 8551 §3.8).

use super::trust::der::element;

/// The most certificates that are read out of one envelope.
pub const MAX_CERTIFICATES: usize = 16;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const INTEGER: u8 = 0x02;
/// `[0]`, constructed.
const TAGGED: u8 = 0xa0;

/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

/// Puts certificates into an envelope.
#[must_use]
pub fn encode<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let certificates: Vec<&[u8]> = certificates.into_iter().collect();
    let content = wrap(SEQUENCE, &[&wrap(OBJECT_IDENTIFIER, &[DATA])]);
    let signed = wrap(
        SEQUENCE,
        &[
            &wrap(INTEGER, &[&[1]]),
            &wrap(SET, &[]),
            &content,
            &wrap(TAGGED, &certificates),
            &wrap(SET, &[]),
        ],
    );
    let kind = wrap(OBJECT_IDENTIFIER, &[SIGNED_DATA]);
    wrap(SEQUENCE, &[&kind, &wrap(TAGGED, &[&signed])])
}

/// Takes the certificates out of an envelope, which may come from a peer. Signatures of the envelope do not count.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let outer = tagged(SEQUENCE, bytes)?;
    if !outer.rest.is_empty() {
        return None;
    }
    let kind = tagged(OBJECT_IDENTIFIER, outer.contents).filter(|it| it.contents == SIGNED_DATA)?;
    let signed = tagged(SEQUENCE, tagged(TAGGED, kind.rest)?.contents)?;
    let version = tagged(INTEGER, signed.contents)?;
    let digests = tagged(SET, version.rest)?;
    let content = tagged(SEQUENCE, digests.rest)?;
    let mut rest = tagged(TAGGED, content.rest)?.contents;
    let mut certificates = Vec::new();
    while !rest.is_empty() {
        let certificate = tagged(SEQUENCE, rest)?;
        if certificates.len() == MAX_CERTIFICATES {
            return None;
        }
        certificates.push(certificate.whole.to_vec());
        rest = certificate.rest;
    }
    Some(certificates)
}

fn tagged(tag: u8, bytes: &[u8]) -> Option<super::trust::der::Element<'_>> {
    (*bytes.first()? == tag).then(|| element(bytes))?
}

fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let octets = length.to_be_bytes();
            let octets: Vec<u8> = octets.into_iter().skip_while(|octet| *octet == 0).collect();
            out.push(0x80 | u8::try_from(octets.len()).unwrap_or(8));
            out.extend(octets);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_into_an_envelope_comes_out_again() {
        for sizes in [&[][..], &[3], &[200, 3], &[70_000, 300]] {
            let certificates: Vec<_> = sizes
                .iter()
                .map(|size| wrap(SEQUENCE, &[&vec![7; *size]]))
                .collect();
            let envelope = encode(certificates.iter().map(Vec::as_slice));
            assert_eq!(decode(&envelope), Some(certificates));
            for end in 0..envelope.len().min(400) {
                assert_eq!(decode(&envelope[..end]), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn an_envelope_has_no_more_certificates_than_the_bound_allows() {
        let one = wrap(SEQUENCE, &[]);
        let of = |count| encode(std::iter::repeat_n(one.as_slice(), count));
        assert!(decode(&of(MAX_CERTIFICATES)).is_some());
        assert!(decode(&of(MAX_CERTIFICATES + 1)).is_none());
    }
}
