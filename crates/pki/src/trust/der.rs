//! The little of DER that is read by hand: one element after another.

/// One element: its contents, the whole of it, and what follows.
pub(crate) struct Element<'a> {
    pub(crate) contents: &'a [u8],
    pub(crate) whole: &'a [u8],
    pub(crate) rest: &'a [u8],
}

/// Reads one element with a definite length.
pub(crate) fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let (_, after) = bytes.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = if first < 0x80 {
        (usize::from(first), after)
    } else {
        let octets = usize::from(first & 0x7f);
        if octets == 0 || octets > 4 {
            return None;
        }
        let (length, after) = after.split_at_checked(octets)?;
        let length = length
            .iter()
            .fold(0_usize, |sum, octet| sum << 8 | usize::from(*octet));
        (length, after)
    };
    let (contents, rest) = after.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len() - rest.len())?;
    Some(Element {
        contents,
        whole,
        rest,
    })
}

/// What a certificate or a revocation list consists of (RFC 5280 §4.1, §5.1).
pub(crate) struct Signed<'a> {
    /// The bytes that were signed.
    pub(crate) message: &'a [u8],
    /// The contents of the AlgorithmIdentifier of the signature.
    pub(crate) algorithm: &'a [u8],
    /// The signature's bytes.
    pub(crate) signature: &'a [u8],
}

/// Takes a signed structure apart.
pub(crate) fn signed(der: &[u8]) -> Option<Signed<'_>> {
    let outer = element(der).filter(|it| it.rest.is_empty())?;
    let message = element(outer.contents)?;
    let algorithm = element(message.rest)?;
    let bits = element(algorithm.rest).filter(|it| it.rest.is_empty())?;
    Some(Signed {
        message: message.whole,
        algorithm: algorithm.contents,
        signature: bits.contents.strip_prefix(&[0])?,
    })
}

/// The contents of the AlgorithmIdentifier and the key's bits of a SubjectPublicKeyInfo.
pub(crate) fn public_key(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let outer = element(spki).filter(|it| it.rest.is_empty())?;
    let algorithm = element(outer.contents)?;
    let bits = element(algorithm.rest).filter(|it| it.rest.is_empty())?;
    Some((algorithm.contents, bits.contents.strip_prefix(&[0])?))
}
