//! Who a client is: taken from the verified leaf certificate, in one place, once per connection.
//!
//! The chain has been verified before anything here is believed; this module only reads names. A certificate whose names
//! cannot be read is refused by the caller (fail closed).

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

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
    /// End of validity, seconds since the Unix epoch.
    pub not_after: i64,
}

/// A certificate that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be read: {0}")]
pub struct IdentityError(String);

impl Identity {
    /// Reads the identity out of a DER certificate.
    ///
    /// # Errors
    /// When the bytes are not an X.509 certificate, or a name in it is not readable text.
    pub fn from_der(leaf: &[u8]) -> Result<Self, IdentityError> {
        let (rest, cert) =
            X509Certificate::from_der(leaf).map_err(|e| IdentityError(e.to_string()))?;
        if !rest.is_empty() {
            return Err(IdentityError("trailing bytes after the certificate".into()));
        }
        let subject = cert.subject();
        let mut identity = Self {
            common_names: texts(subject.iter_common_name())?,
            organizations: texts(subject.iter_organization())?,
            organizational_units: texts(subject.iter_organizational_unit())?,
            dns: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            ips: Vec::new(),
            serial: hex_serial(cert.raw_serial()),
            issuer: name(cert.issuer()),
            fingerprint: sha256(leaf),
            spki: sha256(cert.public_key().raw),
            issuer_spki: None,
            not_after: cert.validity().not_after.timestamp(),
        };
        let sans = cert
            .subject_alternative_name()
            .map_err(|e| IdentityError(format!("subject alternative name: {e}")))?;
        for general in sans.iter().flat_map(|san| &san.value.general_names) {
            match general {
                GeneralName::DNSName(v) => identity.dns.push((*v).to_owned()),
                GeneralName::RFC822Name(v) => identity.emails.push((*v).to_owned()),
                GeneralName::URI(v) => identity.uris.push((*v).to_owned()),
                GeneralName::IPAddress(bytes) => identity.ips.extend(ip(bytes)),
                _ => {}
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

/// A distinguished name as one line of text.
#[must_use]
pub fn name(name: &X509Name<'_>) -> String {
    name.to_string()
}

fn texts<'a>(
    attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Result<Vec<String>, IdentityError> {
    attributes
        .map(|attribute| {
            attribute.as_str().map(str::to_owned).map_err(|e| {
                IdentityError(format!("subject attribute {}: {e}", attribute.attr_type()))
            })
        })
        .collect()
}

/// A serial number (the contents of a DER integer) as everything here has it: lower-case hex without leading zero bytes.
#[must_use]
pub fn hex_serial(raw: &[u8]) -> String {
    let start = raw
        .iter()
        .position(|b| *b != 0)
        .unwrap_or(raw.len().saturating_sub(1));
    data_encoding::HEXLOWER.encode(raw.get(start..).unwrap_or_default())
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
