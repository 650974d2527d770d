//! The one reader of certificates: everything anybody here asks of a certificate is read by [`Certificate::read`].
//!
//! Pure: no clock, no files. Nothing is judged here; what cannot be understood is written down ([`Details::fault`],
//! [`Details::unreadable_name`]), and the verdict refuses it.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::x509::AttributeTypeAndValue;

use super::identity::sha256;
use super::serial::Serial;
use super::{directory, extension, key_kind};
use crate::san::San;

/// A certificate, read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
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
    /// Serial number: lower-case hex without leading zero bytes.
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
    /// What judging needs beyond what people ask for.
    #[serde(skip)]
    pub details: Details,
}

/// What judging needs of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// X.509 version: 1, 2 or 3.
    pub version: u32,
    /// All common names, in order.
    pub common_names: Vec<String>,
    /// The whole certificate.
    pub der: Vec<u8>,
    /// The subject's own bytes.
    pub subject: Vec<u8>,
    /// The issuer's own bytes.
    pub issuer: Vec<u8>,
    /// The `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// SHA-256 of the whole certificate.
    pub sha256: [u8; 32],
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub spki_sha256: [u8; 32],
    /// The serial number.
    pub serial: Serial,
    /// Which object identifier the signature has.
    pub signature_algorithm: String,
    /// The contents of the `subjectAltName` extension.
    pub raw_sans: Option<Vec<u8>>,
    /// A name in the subject that is not text.
    pub unreadable_name: Option<String>,
    /// An extension that counts and cannot be read, or is there twice.
    pub fault: Option<String>,
    /// Critical extensions that nobody here evaluates, by name.
    pub unknown_critical: Vec<String>,
    /// `policyConstraints` asks for an explicit policy.
    pub requires_policy: bool,
    /// The subject has an `emailAddress`.
    pub has_subject_email: bool,
    /// Name constraints: the kinds of name they speak of, and those for DNS names.
    pub constraints: Constraints,
    /// Full names of the CRL distribution points.
    pub distribution_points: Vec<String>,
}

/// What a CA's `nameConstraints` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// The kinds of names that are constrained, for people.
    pub kinds: Vec<&'static str>,
    /// DNS subtrees that are permitted; `None` permits all.
    pub permitted_dns: Option<Vec<String>>,
    /// DNS subtrees that are excluded.
    pub excluded_dns: Vec<String>,
}

/// What a verdict about a role rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `serverAuth`
    Server,
    /// `clientAuth`
    Client,
}

impl Purpose {
    /// The name of the extended key usage.
    #[must_use]
    pub fn usage(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }
}

impl Certificate {
    /// Reads one DER certificate. The bytes may come from a peer.
    ///
    /// # Errors
    /// A sentence for people, when the bytes are not one X.509 certificate.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|_| "not an X.509 certificate")?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the certificate", rest.len()));
        }
        let mut read = Self::without_extensions(der, &certificate);
        let mut seen = Vec::new();
        for extension in certificate.iter_extensions() {
            if seen.contains(&&extension.oid) {
                let name = extension::name(&extension.oid);
                read.fail(format!("the extension {name} is there twice"));
            }
            seen.push(&extension.oid);
            read.extension(extension);
        }
        Ok(read)
    }

    #[expect(clippy::too_many_lines, reason = "sequence")]
    fn without_extensions(der: &[u8], certificate: &X509Certificate<'_>) -> Self {
        let subject = certificate.subject();
        let mut unreadable_name = None;
        let mut texts =
            |what: &str, values: &mut dyn Iterator<Item = &AttributeTypeAndValue<'_>>| {
                let mut texts = Vec::new();
                for value in values {
                    match directory::text(value) {
                        Some(text) => texts.push(text),
                        None => {
                            unreadable_name = Some(format!("{what} in its subject is not text"));
                        }
                    }
                }
                texts
            };
        let common_names = texts("a common name", &mut subject.iter_common_name());
        let organizations = texts("an organization", &mut subject.iter_organization());
        let units = &mut subject.iter_organizational_unit();
        let organizational_units = texts("an organizational unit", units);
        let serial = Serial::from_der(certificate.raw_serial());
        let spki = certificate.public_key().raw;
        let (whole, key) = (sha256(der), sha256(spki));
        Self {
            subject: directory::name(subject),
            common_name: common_names.first().cloned(),
            organizations,
            organizational_units,
            sans: Vec::new(),
            key_usage: None,
            extended_key_usage: None,
            is_ca: false,
            path_len: None,
            subject_key_id: None,
            authority_key_id: None,
            serial: serial.to_string(),
            issuer: directory::name(certificate.issuer()),
            self_issued: certificate.issuer().as_raw() == subject.as_raw(),
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            key: key_kind::of(spki),
            sha256: HEXLOWER.encode(&whole),
            spki_sha256: HEXLOWER.encode(&key),
            details: Details {
                version: certificate.version().0.saturating_add(1),
                common_names,
                der: der.to_vec(),
                subject: subject.as_raw().to_vec(),
                issuer: certificate.issuer().as_raw().to_vec(),
                spki: spki.to_vec(),
                sha256: whole,
                spki_sha256: key,
                serial,
                signature_algorithm: certificate.signature_algorithm.algorithm.to_id_string(),
                raw_sans: None,
                unreadable_name,
                fault: None,
                unknown_critical: Vec::new(),
                requires_policy: false,
                has_subject_email: subject.iter_email().next().is_some(),
                constraints: Constraints::default(),
                distribution_points: Vec::new(),
            },
        }
    }

    fn extension(&mut self, extension: &X509Extension<'_>) {
        if extension.critical && !extension::is_evaluated(&extension.oid) {
            let name = extension::name(&extension.oid);
            self.details.unknown_critical.push(name);
        }
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.details.raw_sans = Some(extension.value.to_vec());
                self.sans.extend(names.general_names.iter().map(san));
            }
            ParsedExtension::KeyUsage(usage) => self.key_usage = Some(extension::key_usage(usage)),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.extended_key_usage = Some(extension::extended_key_usage(usage));
            }
            ParsedExtension::BasicConstraints(constraints) => {
                self.is_ca = constraints.ca;
                self.path_len = constraints.path_len_constraint;
            }
            ParsedExtension::SubjectKeyIdentifier(id) => {
                self.subject_key_id = Some(HEXLOWER.encode(id.0));
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| HEXLOWER.encode(id.0));
            }
            ParsedExtension::PolicyConstraints(policy) => {
                self.details.requires_policy = policy.require_explicit_policy.is_some();
            }
            ParsedExtension::NameConstraints(constraints) => {
                self.details.constraints = extension::constraints(constraints);
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                self.details.distribution_points = extension::distribution_points(points);
            }
            _ if extension::counts(&extension.oid) => {
                let name = extension::name(&extension.oid);
                self.fail(format!("the extension {name} cannot be read"));
            }
            _ => {}
        }
    }

    fn fail(&mut self, fault: String) {
        self.details.fault.get_or_insert(fault);
    }

    /// Whole days until the end of validity, negative once it is past.
    #[must_use]
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_days()
    }

    /// Whether the dates include a moment, to the second (RFC 5280 §4.1.2.5: both ends are included).
    #[must_use]
    pub fn is_in_force(&self, now: i64) -> bool {
        (self.not_before.unix_timestamp()..=self.not_after.unix_timestamp()).contains(&now)
    }

    /// Whether the usages permit a role as the gate judges it: absent means any use (RFC 5280 §4.2.1.12),
    /// `anyExtendedKeyUsage` does not count.
    #[must_use]
    pub fn permits(&self, role: Purpose) -> bool {
        let wanted = role.usage();
        self.extended_key_usage
            .as_ref()
            .is_none_or(|usages| usages.iter().any(|usage| usage == wanted))
    }

    /// Whether the extended key usages name `anyExtendedKeyUsage`.
    #[must_use]
    pub fn names_any_usage(&self) -> bool {
        let usages = self.extended_key_usage.iter().flatten();
        usages
            .into_iter()
            .any(|usage| usage == "anyExtendedKeyUsage")
    }

    /// Whether a key usage permits a use by its RFC 5280 name: absent means any.
    #[must_use]
    pub fn may(&self, usage: &str) -> bool {
        self.key_usage
            .as_ref()
            .is_none_or(|usages| usages.contains(&usage))
    }

    /// Whether clients built on OpenSSL take it for self-signed: its issuer is its subject, and no key identifiers say
    /// otherwise.
    #[must_use]
    pub fn passes_for_self_signed(&self) -> bool {
        // OpenSSL compares the two identifiers only if the certificate has both.
        let other_key = match (&self.authority_key_id, &self.subject_key_id) {
            (Some(of_ca), Some(own)) => of_ca != own,
            _ => false,
        };
        self.self_issued && !other_key
    }

    /// The names of `wanted` that no subject alternative name covers.
    #[must_use]
    pub fn uncovered<'a>(&self, wanted: &'a [San]) -> Vec<&'a San> {
        wanted
            .iter()
            .filter(|want| !self.sans.iter().any(|have| have.covers(want)))
            .collect()
    }
}

/// SHA-256 as lower-case hex.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> String {
    HEXLOWER.encode(&sha256(bytes))
}

/// RFC 3339 text in UTC, to the second.
#[must_use]
pub fn timestamp(at: OffsetDateTime) -> String {
    let whole = at.to_offset(time::UtcOffset::UTC);
    let whole = whole.replace_nanosecond(0).unwrap_or(whole);
    whole.format(&Rfc3339).unwrap_or_else(|_| whole.to_string())
}

fn rfc3339<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*at))
}

/// A general name as plain text; what is invalid or unknown is told as such.
#[must_use]
pub fn san(name: &GeneralName<'_>) -> San {
    match name {
        GeneralName::DNSName(name) => San::Dns((*name).to_owned()),
        GeneralName::URI(uri) => San::Uri((*uri).to_owned()),
        GeneralName::RFC822Name(mail) => San::Email((*mail).to_owned()),
        GeneralName::IPAddress(octets) => address(octets).map_or_else(
            || San::Other(format!("IP:invalid({})", HEXLOWER.encode(octets))),
            San::Ip,
        ),
        GeneralName::DirectoryName(name) => {
            San::Other(format!("dirName:{}", directory::name(name)))
        }
        GeneralName::RegisteredID(id) => San::Other(format!("registeredID:{}", id.to_id_string())),
        GeneralName::OtherName(id, _) => San::Other(format!("otherName:{}", id.to_id_string())),
        GeneralName::X400Address(_) => San::Other("x400Address".to_owned()),
        GeneralName::EDIPartyName(_) => San::Other("ediPartyName".to_owned()),
        GeneralName::Invalid(_, bytes) => {
            San::Other(format!("invalid({})", HEXLOWER.encode(bytes)))
        }
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}
