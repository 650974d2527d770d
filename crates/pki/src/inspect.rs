//! What a certificate says, as plain values: for `show`, `check`, `doctor`, and log lines. Pure: no clock, no files.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension},
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::san::San;
use crate::identity;

/// A certificate, read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// The subject as text, in the certificate's order: `O=Example, CN=ci`.
    pub subject: String,
    /// The first common name.
    pub common_name: Option<String>,
    /// All organisations, in order.
    pub organizations: Vec<String>,
    /// All organisational units, in order.
    pub organizational_units: Vec<String>,
    /// Subject alternative names, typed.
    pub sans: Vec<San>,
    /// Key usage bits by their RFC 5280 names; `None` when the extension is absent (any use).
    pub key_usage: Option<Vec<&'static str>>,
    /// Extended key usages: RFC 5280 names, OIDs for others; `None` when absent (any use).
    pub extended_key_usage: Option<Vec<String>>,
    /// `basicConstraints` says this is a CA.
    pub is_ca: bool,
    /// How many CAs may follow below, when limited.
    pub path_len: Option<u32>,
    /// Subject key identifier, hex.
    pub subject_key_id: Option<String>,
    /// Authority key identifier, hex.
    pub authority_key_id: Option<String>,
    /// Serial number: lower-case hex without a leading sign byte.
    pub serial: String,
    /// The issuer as text.
    pub issuer: String,
    /// The issuer is the subject, byte for byte.
    pub self_issued: bool,
    /// Start of validity.
    #[serde(serialize_with = "rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity.
    #[serde(serialize_with = "rfc3339")]
    pub not_after: OffsetDateTime,
    /// Kind of key: `ECDSA P-256`, `RSA 2048`, `Ed25519`.
    pub key: String,
    /// SHA-256 of the whole certificate, lower-case hex.
    pub sha256: String,
    /// SHA-256 of its `SubjectPublicKeyInfo`, lower-case hex: stays the same when renewed with the same key.
    pub spki_sha256: String,
}

/// What a verdict about a role rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `serverAuth`
    Server,
    /// `clientAuth`
    Client,
}

impl Inspected {
    /// Whole days until the end of validity, negative once it is past.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_days()
    }

    /// Whether the usages permit a role: absent means any use (RFC 5280 §4.2.1.12).
    pub fn permits(&self, role: Role) -> bool {
        let wanted = if role == Role::Server {
            "serverAuth"
        } else {
            "clientAuth"
        };
        self.extended_key_usage.as_ref().is_none_or(|usages| {
            usages
                .iter()
                .any(|usage| usage == wanted || usage == "anyExtendedKeyUsage")
        })
    }

    /// The moment two thirds of the validity are over: when renewal is due.
    pub fn renewal_due(&self) -> OffsetDateTime {
        self.not_before + (self.not_after - self.not_before) * 2 / 3
    }

    /// The names of `wanted` that no subject alternative name covers.
    pub fn uncovered<'a>(&self, wanted: &'a [San]) -> Vec<&'a San> {
        wanted
            .iter()
            .filter(|want| !self.sans.iter().any(|have| have.covers(want)))
            .collect()
    }
}

/// Reads one DER certificate. Errors are sentences for people; the bytes may come from a peer.
pub fn inspect(der: &[u8]) -> Result<Inspected, String> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|error| format!("not an X.509 certificate ({error})"))?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the certificate", rest.len()));
    }
    let mut read = Inspected {
        subject: certificate.subject().to_string(),
        common_name: texts(certificate.subject().iter_common_name())
            .into_iter()
            .next(),
        organizations: texts(certificate.subject().iter_organization()),
        organizational_units: texts(certificate.subject().iter_organizational_unit()),
        sans: Vec::new(),
        key_usage: None,
        extended_key_usage: None,
        is_ca: false,
        path_len: None,
        subject_key_id: None,
        authority_key_id: None,
        serial: identity::hex_serial(certificate.raw_serial()),
        issuer: certificate.issuer().to_string(),
        self_issued: certificate.issuer().as_raw() == certificate.subject().as_raw(),
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
        key: key_kind(certificate.public_key()),
        sha256: fingerprint(der),
        spki_sha256: fingerprint(certificate.public_key().raw),
    };
    read_extensions(&certificate, &mut read);
    Ok(read)
}

/// SHA-256 as lower-case hex.
pub fn fingerprint(bytes: &[u8]) -> String {
    HEXLOWER.encode(&identity::sha256(bytes))
}

/// RFC 3339 text in UTC, to the second.
pub fn timestamp(at: OffsetDateTime) -> String {
    let whole = at.to_offset(time::UtcOffset::UTC);
    let whole = whole.replace_nanosecond(0).unwrap_or(whole);
    whole.format(&Rfc3339).unwrap_or_else(|_| whole.to_string())
}

pub fn rfc3339<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*at))
}

/// A certificate's subject, in its own bytes.
pub fn raw_subject(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.subject().as_raw().to_vec())
}

/// The contents of the `subjectAltName` extension, to keep them as they are.
pub fn raw_sans(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let san = certificate.iter_extensions().find(|extension| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::SubjectAlternativeName(_)
        )
    })?;
    Some(san.value.to_vec())
}

fn read_extensions(certificate: &X509Certificate<'_>, read: &mut Inspected) {
    for extension in certificate.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                read.sans.extend(names.general_names.iter().map(san));
            }
            ParsedExtension::KeyUsage(usage) => read.key_usage = Some(key_usage(usage)),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                read.extended_key_usage = Some(extended_key_usage(usage));
            }
            ParsedExtension::BasicConstraints(constraints) => {
                read.is_ca = constraints.ca;
                read.path_len = constraints.path_len_constraint;
            }
            ParsedExtension::SubjectKeyIdentifier(id) => {
                read.subject_key_id = Some(HEXLOWER.encode(id.0));
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                read.authority_key_id = id.key_identifier.as_ref().map(|id| HEXLOWER.encode(id.0));
            }
            _ => {}
        }
    }
}

fn texts<'a>(
    values: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Vec<String> {
    values
        .map(|value| {
            value.as_str().map_or_else(
                |_| String::from_utf8_lossy(value.as_slice()).into_owned(),
                str::to_owned,
            )
        })
        .collect()
}

fn san(name: &GeneralName<'_>) -> San {
    match name {
        GeneralName::DNSName(name) => San::Dns((*name).to_owned()),
        GeneralName::URI(uri) => San::Uri((*uri).to_owned()),
        GeneralName::RFC822Name(mail) => San::Email((*mail).to_owned()),
        GeneralName::IPAddress(octets) => address(octets).map_or_else(
            || San::Other(format!("IP:invalid({})", HEXLOWER.encode(octets))),
            San::Ip,
        ),
        other => San::Other(other.to_string()),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

fn key_usage(usage: &KeyUsage) -> Vec<&'static str> {
    [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "contentCommitment"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect()
}

fn extended_key_usage(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    [
        (usage.any, "anyExtendedKeyUsage"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .map(|(_, name)| name.to_owned())
    .chain(usage.other.iter().map(ToString::to_string))
    .collect()
}

fn key_kind(spki: &SubjectPublicKeyInfo<'_>) -> String {
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", point.key_size()),
        _ if spki.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".into(),
        _ => format!("algorithm {}", spki.algorithm.algorithm),
    }
}
