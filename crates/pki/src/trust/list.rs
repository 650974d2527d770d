//! The one reader of certificate revocation lists (RFC 5280 §5), version 1 included.

use time::OffsetDateTime;
use x509_parser::extensions::{IssuingDistributionPoint, ParsedExtension};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::serial::Serial;
use super::{der, directory, extension};

/// A list, read.
#[derive(Clone, Debug)]
pub struct RevocationList {
    /// Who issued it, as text.
    pub issuer: String,
    /// The issuer's own bytes.
    pub issuer_raw: Vec<u8>,
    /// `cRLNumber`, big-endian without leading zero bytes; a list of version 1 has none.
    pub number: Option<Vec<u8>>,
    /// `cRLNumber` in decimal.
    pub number_text: Option<String>,
    /// When it was made.
    pub this_update: OffsetDateTime,
    /// When it must have been replaced.
    pub next_update: OffsetDateTime,
    /// What it lists, in order.
    pub entries: Vec<RevokedCertificate>,
    /// Which of its issuer's certificates it speaks of.
    pub scope: Scope,
    /// SHA-256 of the whole list, lower-case hex.
    pub sha256: String,
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Which.
    pub serial: Serial,
    /// Since when.
    pub at: OffsetDateTime,
    /// `reasonCode` (RFC 5280 §5.3.1).
    pub reason: Option<u8>,
}

/// Which of its issuer's certificates a list speaks of; all of them unless `issuingDistributionPoint` says less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Certificates of CAs are left out.
    pub only_users: bool,
    /// Certificates of others than CAs are left out.
    pub only_cas: bool,
    /// Only certificates with one of these distribution points; `None` means all.
    pub points: Option<Vec<String>>,
}

impl RevocationList {
    /// Reads one DER list.
    ///
    /// # Errors
    /// A sentence for people, when the bytes are not one list, or one of a kind that cannot be relied on.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let (rest, list) = CertificateRevocationList::from_der(bytes)
            .map_err(|_| "not an X.509 revocation list".to_owned())?;
        if !rest.is_empty() || der::signed(bytes).is_none() {
            return Err("bytes follow the revocation list".to_owned());
        }
        let next_update = list.next_update().ok_or(
            "it has no nextUpdate, so nobody can tell when it is out of date (with openssl: `-crldays 30`)",
        )?;
        let mut scope = Scope::default();
        let mut number = None;
        let mut seen = Vec::new();
        for extension in list.extensions() {
            let name = extension::name(&extension.oid);
            if seen.contains(&&extension.oid) {
                return Err(format!("its extension {name} is there twice"));
            }
            seen.push(&extension.oid);
            match extension.parsed_extension() {
                ParsedExtension::CRLNumber(found) => number = Some(found.clone()),
                ParsedExtension::IssuingDistributionPoint(point) => scope = of(point)?,
                _ if name == "deltaCRLIndicator" => return Err(
                    "it is a delta list, which names only what changed since another list: name the complete list".to_owned(),
                ),
                _ if extension.critical || name == "cRLNumber" => {
                    return Err(format!("its extension {name} cannot be evaluated"));
                }
                _ => {}
            }
        }
        Ok(Self {
            issuer: directory::name(list.issuer()),
            issuer_raw: list.issuer().as_raw().to_vec(),
            number: number
                .as_ref()
                .map(x509_parser::num_bigint::BigUint::to_bytes_be),
            number_text: number.as_ref().map(ToString::to_string),
            this_update: list.last_update().to_datetime(),
            next_update: next_update.to_datetime(),
            entries: entries(&list)?,
            scope,
            sha256: super::fingerprint(bytes),
        })
    }

    /// Whether it can still be relied on at a moment in seconds since the Unix epoch: until the second that nextUpdate
    /// names.
    #[must_use]
    pub fn is_in_time(&self, now: i64) -> bool {
        now < self.next_update.unix_timestamp()
    }

    /// What it is called: by its number where it has one, else by the time it was made.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.number_text {
            Some(number) => format!("number {number}"),
            None => format!("of {}", super::certificate::timestamp(self.this_update)),
        }
    }
}

fn entries(list: &CertificateRevocationList<'_>) -> Result<Vec<RevokedCertificate>, String> {
    list.iter_revoked_certificates()
        .map(|entry| {
            for extension in entry.extensions() {
                let name = extension::name(&extension.oid);
                if name == "certificateIssuer" {
                    return Err("it is an indirect list, which speaks of other CAs' certificates: name each CA's own list".to_owned());
                }
                if extension.critical && !matches!(name.as_str(), "reasonCode") {
                    return Err(format!("the extension {name} of an entry cannot be evaluated"));
                }
            }
            Ok(RevokedCertificate {
                serial: Serial::from_der(entry.raw_serial()),
                at: entry.revocation_date.to_datetime(),
                reason: entry.reason_code().map(|(_, code)| code.0),
            })
        })
        .collect()
}

fn of(point: &IssuingDistributionPoint<'_>) -> Result<Scope, String> {
    let kind = if point.indirect_crl {
        "an indirect list, which speaks of other CAs' certificates"
    } else if point.only_contains_attribute_certs {
        "a list of attribute certificates"
    } else if point.only_some_reasons.is_some() {
        "a list for some reasons of revocation only"
    } else {
        let points = point.distribution_point.as_ref().map(extension::full_names);
        if points.as_ref().is_some_and(Vec::is_empty) {
            return Err("its distribution point has no full name".to_owned());
        }
        return Ok(Scope {
            only_users: point.only_contains_user_certs,
            only_cas: point.only_contains_ca_certs,
            points,
        });
    };
    Err(format!("it is {kind}: name the complete list of the CA"))
}
