//! Extensions of certificates: their names, and what their contents say.

use x509_parser::asn1_rs::Oid;
use x509_parser::extensions::{
    CRLDistributionPoints, DistributionPointName, ExtendedKeyUsage, GeneralName, KeyUsage,
    NameConstraints,
};

use super::certificate::Constraints;

/// Extensions that the verifier evaluates, so that they may be critical: what rustls-webpki handles (RFC 5280 §4.2.1).
const EVALUATED: [&str; 6] = [
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.30",
    "2.5.29.31",
    "2.5.29.37",
];

/// Extensions that decide something, so that one of them that cannot be read is a fault of the certificate.
const COUNTS: [&str; 6] = [
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.30",
    "2.5.29.36",
    "2.5.29.37",
];

/// Whether a critical extension of this kind is evaluated.
pub(crate) fn is_evaluated(oid: &Oid<'_>) -> bool {
    EVALUATED.contains(&oid.to_id_string().as_str())
}

/// Whether an extension of this kind decides something.
pub(crate) fn counts(oid: &Oid<'_>) -> bool {
    COUNTS.contains(&oid.to_id_string().as_str())
}

/// An extension by the name its RFC gives it, else by number.
pub(crate) fn name(oid: &Oid<'_>) -> String {
    let id = oid.to_id_string();
    match id.as_str() {
        "2.5.29.9" => "subjectDirectoryAttributes",
        "2.5.29.14" => "subjectKeyIdentifier",
        "2.5.29.15" => "keyUsage",
        "2.5.29.16" => "privateKeyUsagePeriod",
        "2.5.29.17" => "subjectAltName",
        "2.5.29.18" => "issuerAltName",
        "2.5.29.19" => "basicConstraints",
        "2.5.29.20" => "cRLNumber",
        "2.5.29.21" => "reasonCode",
        "2.5.29.27" => "deltaCRLIndicator",
        "2.5.29.28" => "issuingDistributionPoint",
        "2.5.29.29" => "certificateIssuer",
        "2.5.29.30" => "nameConstraints",
        "2.5.29.31" => "cRLDistributionPoints",
        "2.5.29.32" => "certificatePolicies",
        "2.5.29.33" => "policyMappings",
        "2.5.29.35" => "authorityKeyIdentifier",
        "2.5.29.36" => "policyConstraints",
        "2.5.29.37" => "extKeyUsage",
        "2.5.29.46" => "freshestCRL",
        "2.5.29.54" => "inhibitAnyPolicy",
        "1.3.6.1.5.5.7.1.1" => "authorityInfoAccess",
        "1.3.6.1.5.5.7.1.14" => "proxyCertInfo",
        "1.3.6.1.5.5.7.1.24" => "TLS feature",
        "2.16.840.1.113730.1.1" => "nsCertType",
        _ => return id,
    }
    .to_owned()
}

/// The bits that are set, by name.
pub(crate) fn key_usage(usage: &KeyUsage) -> Vec<&'static str> {
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

/// The usages, by name where there is one.
pub(crate) fn extended_key_usage(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
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

/// What name constraints speak of.
pub(crate) fn constraints(read: &NameConstraints<'_>) -> Constraints {
    let permitted = read.permitted_subtrees.iter().flatten();
    let excluded = read.excluded_subtrees.iter().flatten();
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_ascii_lowercase()),
        _ => None,
    };
    let permitted_dns: Vec<_> = permitted.clone().filter_map(|it| dns(&it.base)).collect();
    let mut kinds = Vec::new();
    for subtree in permitted.chain(excluded.clone()) {
        let kind = kind(&subtree.base);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Constraints {
        kinds,
        permitted_dns: (!permitted_dns.is_empty()).then_some(permitted_dns),
        excluded_dns: excluded.filter_map(|it| dns(&it.base)).collect(),
    }
}

fn kind(name: &GeneralName<'_>) -> &'static str {
    match name {
        GeneralName::DNSName(_) => "DNS names",
        GeneralName::RFC822Name(_) => "mail addresses",
        GeneralName::URI(_) => "URIs",
        GeneralName::IPAddress(_) => "IP addresses",
        GeneralName::DirectoryName(_) => "directory names",
        GeneralName::RegisteredID(_) => "registered identifiers",
        GeneralName::X400Address(_) => "X.400 addresses",
        GeneralName::EDIPartyName(_) => "EDI party names",
        GeneralName::OtherName(..) | GeneralName::Invalid(..) => "other names",
    }
}

/// The full names among distribution points that are whole lists of the certificate's own issuer.
pub(crate) fn distribution_points(points: &CRLDistributionPoints<'_>) -> Vec<String> {
    let whole = points.points.iter();
    let whole = whole.filter(|point| point.reasons.is_none() && point.crl_issuer.is_none());
    whole
        .filter_map(|point| point.distribution_point.as_ref())
        .flat_map(full_names)
        .collect()
}

/// The names of a distribution point, for comparison with those of another.
pub(crate) fn full_names(point: &DistributionPointName<'_>) -> Vec<String> {
    match point {
        DistributionPointName::FullName(names) => {
            names.iter().map(|name| format!("{name:?}")).collect()
        }
        DistributionPointName::NameRelativeToCRLIssuer(_) => Vec::new(),
    }
}
