//! Who a client is: taken from the verified leaf certificate, in one place, once per connection.
//!
//! The chain has been verified before anything here is believed; this module only reads names. A certificate whose names
//! cannot be read is refused by the caller (fail closed).

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use super::certificate::Certificate;
use crate::san::San;

/// The names and digests of a verified leaf certificate (RFC 5280 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Subject common names, in certificate order; an honest certificate has one.
    pub common_names: Vec<String>,
    /// Subject organizations.
    pub organizations: Vec<String>,
    /// Subject organizational units.
    pub organizational_units: Vec<String>,
    /// DNS subject alternative names.
    pub dns: Vec<String>,
    /// Email subject alternative names.
    pub emails: Vec<String>,
    /// URI subject alternative names (SPIFFE IDs among them).
    pub uris: Vec<String>,
    /// IP address subject alternative names.
    pub ips: Vec<IpAddr>,
    /// Serial number in lower-case hex, without leading zero bytes.
    pub serial: String,
    /// Issuer as an RFC 4514 string.
    pub issuer: String,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki: [u8; 32],
    /// SHA-256 of the issuing CA's SubjectPublicKeyInfo, where the issuer is known.
    pub issuer_spki: Option<[u8; 32]>,
    /// Begin of validity, seconds since the Unix epoch.
    pub not_before: i64,
    /// End of validity, seconds since the Unix epoch.
    pub not_after: i64,
}

/// A certificate that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be read: {0}")]
pub struct IdentityError(String);

impl Identity {
    /// One with no names at all that does not end, to put names on.
    #[must_use]
    pub fn unnamed() -> Self {
        Self {
            common_names: Vec::new(),
            organizations: Vec::new(),
            organizational_units: Vec::new(),
            dns: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            ips: Vec::new(),
            serial: String::new(),
            issuer: String::new(),
            fingerprint: [0; 32],
            spki: [0; 32],
            issuer_spki: None,
            not_before: 0,
            not_after: i64::MAX,
        }
    }

    /// Reads the identity out of a DER certificate.
    ///
    /// # Errors
    /// When the bytes are not an X.509 certificate, or a name in it is not readable text.
    pub fn from_der(leaf: &[u8]) -> Result<Self, IdentityError> {
        Self::of(&Certificate::read(leaf).map_err(IdentityError)?)
    }

    /// The identity in a certificate. Its issuer's key is left open.
    ///
    /// # Errors
    /// When a name in it is not readable text.
    pub fn of(certificate: &Certificate) -> Result<Self, IdentityError> {
        let details = &certificate.details;
        if let Some(what) = details.unreadable_name.as_ref().or(details.fault.as_ref()) {
            return Err(IdentityError(what.clone()));
        }
        let mut identity = Self {
            common_names: details.common_names.clone(),
            organizations: certificate.organizations.clone(),
            organizational_units: certificate.organizational_units.clone(),
            dns: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            ips: Vec::new(),
            serial: certificate.serial.clone(),
            issuer: certificate.issuer.clone(),
            fingerprint: details.sha256,
            spki: details.spki_sha256,
            issuer_spki: None,
            not_before: certificate.not_before.unix_timestamp(),
            not_after: certificate.not_after.unix_timestamp(),
        };
        for name in &certificate.sans {
            match name {
                San::Dns(name) => identity.dns.push(name.clone()),
                San::Email(mail) => identity.emails.push(mail.clone()),
                San::Uri(uri) => identity.uris.push(uri.clone()),
                San::Ip(address) => identity.ips.push(*address),
                San::Other(_) => {}
            }
        }
        Ok(identity)
    }

    /// The short name used in logs and messages: the common name, else the first alternative name, else the serial.
    #[must_use]
    pub fn label(&self) -> &str {
        [&self.common_names, &self.uris, &self.dns, &self.emails]
            .into_iter()
            .find_map(|names| names.first())
            .map_or(self.serial.as_str(), String::as_str)
    }
}

impl Identity {
    /// All names by which a policy can match it, for one line: `cn=alice ou=team`.
    #[must_use]
    pub fn names(&self) -> String {
        let lists = [
            ("cn", &self.common_names),
            ("o", &self.organizations),
            ("ou", &self.organizational_units),
            ("dns", &self.dns),
            ("email", &self.emails),
            ("uri", &self.uris),
        ];
        let given = lists.iter().filter(|(_, names)| !names.is_empty());
        let given: Vec<String> = given
            .map(|(key, names)| format!("{key}={}", names.join(",")))
            .collect();
        match given.is_empty() {
            true => "no names".to_owned(),
            false => given.join(" "),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// SHA-256 of `data`, by the same cryptographic library that speaks TLS.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, data).as_ref());
    sum
}

/// HMAC-SHA256 of `data` (RFC 2104), by the same library.
#[must_use]
pub fn hmac_sha256(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}
