//! What rustls reports, in words. Its own texts name variants of Rust types, which tell nobody anything; the RFCs' names do.

use std::io;

use rustls::{
    AlertDescription, CertificateError, Error, InconsistentKeys, PeerIncompatible, PeerMisbehaved,
};

/// An error of a TLS stream.
#[must_use]
pub fn io_error(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(tls) => tls_error(tls),
        None => error.to_string(),
    }
}

/// An error of TLS itself.
#[must_use]
pub fn tls_error(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => format!("the peer sent the alert {}", alert_name(*alert)),
        Error::InvalidCertificate(fault) => format!("the certificate is refused: {}", certificate(fault)),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => {
            "the peer sent something other than the TLS message that was due".to_owned()
        }
        Error::PeerIncompatible(what) => format!(
            "the two sides have no TLS in common: {}",
            incompatible(what)
        ),
        Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName) => {
            "the name in the client's ClientHello (SNI) is not a host name; a name has no port".to_owned()
        }
        Error::PeerMisbehaved(_) => "the peer broke the rules of TLS".to_owned(),
        Error::DecryptError => "a record cannot be decrypted: the peer does not hold the key it presents, or the stream was changed on its way".to_owned(),
        Error::PeerSentOversizedRecord => "the peer sent a TLS record that is too large".to_owned(),
        Error::NoApplicationProtocol => "the peer speaks no protocol of ours (ALPN); dockgate speaks http/1.1".to_owned(),
        Error::NoCertificatesPresented => "the peer presented no certificate".to_owned(),
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the key does not belong to the certificate".to_owned()
        }
        Error::FailedToGetCurrentTime => "the clock cannot be read".to_owned(),
        Error::FailedToGetRandomBytes => "the system gives no random numbers".to_owned(),
        Error::General(text) => text.clone(),
        _ => "the TLS library refuses to go on".to_owned(),
    }
}

fn incompatible(what: &PeerIncompatible) -> &'static str {
    match what {
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite",
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired => "no key exchange group",
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            "no signature algorithm for the certificates"
        }
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => "neither TLS 1.2 nor TLS 1.3",
        PeerIncompatible::ExtendedMasterSecretExtensionRequired => "no extended master secret",
        _ => "an extension that is needed is missing",
    }
}

/// What is wrong with a certificate, for a sentence that says whose.
#[must_use]
pub fn certificate(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::BadEncoding => {
            "its encoding is damaged, or it is of a kind that is not accepted (X.509 version 1, say)"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet"
        }
        CertificateError::Revoked => "it is revoked",
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that is not evaluated"
        }
        CertificateError::UnknownIssuer => "it was not issued by a trusted CA",
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "no current revocation list of its issuer is at hand"
        }
        CertificateError::BadSignature => "its signature is not by the CA of its issuer's name",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed with an algorithm or a kind of key that is not accepted"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is not valid for the name that was asked for"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow it"
        }
        CertificateError::Other(_) => {
            "it breaks a rule for certificates (RFC 5280): is it of version 3, from a CA that may issue it, and not a CA itself?"
        }
        _ => "it breaks a rule for certificates (RFC 5280)",
    }
}

/// An alert by the name RFC 8446 §6 or RFC 5246 §7.2 gives it.
#[must_use]
pub fn alert_name(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    let name = match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return format!("number {number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};

    use super::*;

    /// Neither two capitals inside a word nor Rust's punctuation.
    fn is_plain(text: &str) -> bool {
        let camel = |word: &str| {
            let mut letters = word.chars();
            let capital = letters.next().is_some_and(char::is_uppercase);
            let tail: String = letters.collect();
            let known = ["ClientHello"].contains(&word);
            capital
                && !known
                && tail.contains(char::is_uppercase)
                && tail.contains(char::is_lowercase)
        };
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        !words.into_iter().any(camel) && !text.contains("::") && !text.contains('{')
    }

    #[test]
    fn no_rust_name_reaches_a_person() {
        let other = || {
            OtherError(std::sync::Arc::new(io::Error::other(
                "UnsupportedCertVersion",
            )))
        };
        let mut errors = vec![
            Error::InvalidMessage(InvalidMessage::InvalidCcs),
            Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName),
            Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerIncompatible(PeerIncompatible::EcPointsExtensionRequired),
            Error::DecryptError,
            Error::HandshakeNotComplete,
            Error::Other(other()),
            Error::InvalidCertificate(CertificateError::Other(other())),
            Error::InvalidCertificate(CertificateError::BadSignature),
        ];
        errors.extend((0..=255).map(|number| Error::AlertReceived(number.into())));
        for error in errors {
            let text = io_error(&io::Error::other(error.clone()));
            assert!(is_plain(&text), "{text}");
        }
        assert!(!is_plain("Other(OtherError(UnsupportedCertVersion))"));
        assert!(!is_plain("the alert HandshakeFailure"));
    }
}
