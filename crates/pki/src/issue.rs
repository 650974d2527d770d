//! The CA at work: what it puts into server and client certificates, and what it refuses to sign.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::{
    Certificate, CertsError, Passphrase, Purpose,
    key::{KeyType, PrivateKey, random},
    pem,
    requester::{LeafSigner, Requester, can_sign, sign_elsewhere},
    resign::{CERTIFICATE_ISSUER, CERTIFICATE_SUBJECT, Draft, resign},
    san::San,
    timestamp,
    trust::BACKDATE,
};

/// Default life of a CA certificate, in days (ten years).
pub const CA_DAYS: u32 = 3650;
/// Default life of a server certificate, in days: the most that Apple's clients accept.
pub const SERVER_DAYS: u32 = 825;
/// Default life of a client certificate, in days.
pub const CLIENT_DAYS: u32 = 90;

/// A distinguished name without attributes, in DER.
const EMPTY_NAME: &[u8] = &[0x30, 0];

/// Life of what one CA certifies of another, in days.
const CERTIFIED_DAYS: u32 = 90;

/// The most days anything may live: RFC 5280's dates end in 9999, people's plans long before.
const MAX_DAYS: u32 = 36_500;

/// A life span, as asked for or by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// Asked for: past the CA's end is an error.
    Exactly(u32),
    /// By default: cut to the CA's end.
    UpTo(u32),
    /// So many seconds, cut to the CA's end.
    Seconds(u64),
}

impl Days {
    /// An option's value, or the default.
    pub fn from_option(asked: Option<u32>, default: u32) -> Self {
        asked.map_or(Self::UpTo(default), Self::Exactly)
    }
}

/// A certificate authority: its certificate, what came with it in the file, and its key.
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
    subject: Vec<u8>,
    info: Certificate,
    /// The CA's key, or one that nothing is signed with where `elsewhere` signs.
    key: PrivateKey,
    elsewhere: Option<Box<dyn LeafSigner>>,
}

/// Who a leaf certificate is for.
pub struct Leaf<'a> {
    /// Whether it is for the gate or for a client.
    pub role: Purpose,
    /// Its subject.
    pub subject: SubjectName<'a>,
    /// Its subject alternative names.
    pub sans: Sans<'a>,
    /// How long it is valid.
    pub days: Days,
    /// RSA keys also get `keyEncipherment`.
    pub rsa: bool,
}

/// A subject to encode, or one to keep byte for byte.
pub enum SubjectName<'a> {
    /// A subject of these attributes.
    New {
        /// `CN`
        common_name: &'a str,
        /// `O`
        organization: Option<&'a str>,
        /// `OU`
        organizational_unit: Option<&'a str>,
    },
    /// The DER of a subject, as a certificate before had it.
    Exact(&'a [u8]),
}

/// Names to encode, or a `subjectAltName` value to keep byte for byte.
pub enum Sans<'a> {
    /// These names.
    New(&'a [San]),
    /// The DER of the extension's value, or no extension.
    Exact(Option<&'a [u8]>),
}

impl Authority {
    /// Makes a new CA, good for leaves only (`pathLenConstraint` 0).
    pub fn create(common_name: &str, key: PrivateKey, days: u32) -> Result<Self, CertsError> {
        Self::create_with(common_name, key, days, 0)
    }

    /// Makes a new CA that may certify another one besides (`pathLenConstraint` 1), see [`Self::certify`].
    pub fn create_above(common_name: &str, key: PrivateKey, days: u32) -> Result<Self, CertsError> {
        Self::create_with(common_name, key, days, 1)
    }

    fn create_with(
        common_name: &str,
        key: PrivateKey,
        days: u32,
        below: u8,
    ) -> Result<Self, CertsError> {
        check_days(days)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.not_before = now() - BACKDATE;
        params.not_after = now() + Duration::days(i64::from(days));
        params.serial_number = Some(random_serial()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .self_signed(&key)
            .map_err(|source| CertsError::crypto("sign the CA certificate", source))?;
        Self::from_parts(Path::new("ca.pem"), vec![certificate.der().clone()], key)
    }

    /// Reads a CA from its files: dockgate's, openssl's, step-ca's or a company's. A bundle may hold its issuers too.
    pub fn load(
        certificate: &Path,
        key: &Path,
        passphrase: &Passphrase,
    ) -> Result<Self, CertsError> {
        let chain = pem::certificates(certificate)?;
        Self::from_parts(certificate, chain, PrivateKey::load(key, passphrase)?)
    }

    /// A CA whose key is elsewhere: the first certificate of a file, and what signs for it.
    ///
    /// # Errors
    /// When the certificate cannot sign.
    pub fn elsewhere(certificate: &Path, signer: Box<dyn LeafSigner>) -> Result<Self, CertsError> {
        let mut chain = pem::certificates(certificate)?.into_iter();
        let first = chain.next().ok_or_else(|| {
            CertsError::refused(
                format!("{certificate:?} holds no certificate"),
                "name the file of the CA (--ca)",
            )
        })?;
        let unexpected = |found: String| CertsError::Unexpected {
            path: certificate.into(),
            expected: "the certificate of a CA",
            found,
            hint: None,
        };
        let info = Certificate::read(&first).map_err(unexpected)?;
        can_sign(certificate, &info)?;
        Ok(Self {
            subject: info.details.subject.clone(),
            certificate: first,
            others: chain.collect(),
            info,
            key: PrivateKey::generate(KeyType::P256)?,
            elsewhere: Some(signer),
        })
    }

    /// Whether something else signs for this CA, so that its revocation list comes from there too.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// Whether a certificate says that this CA issued it: by its name and, where the certificate has one, its key identifier.
    #[must_use]
    pub fn issued(&self, info: &Certificate) -> bool {
        info.issuer == self.info.subject
            && (info.authority_key_id.is_none()
                || info.authority_key_id == self.info.subject_key_id)
    }

    /// The CA certificate that signs.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What the CA certificate says.
    pub fn info(&self) -> &Certificate {
        &self.info
    }

    /// What clients and the gate trust: the CA and whatever came with it in its file, in PEM.
    pub fn trust_pem(&self) -> String {
        pem::encode_certificates(self.trusted())
    }

    /// The CA and whatever came with it in its file.
    pub fn trusted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        std::iter::once(&self.certificate).chain(&self.others)
    }

    /// A leaf in PEM, followed by the issuing CA when that is an intermediate: peers that trust only its root need it.
    pub fn chain_pem(&self, leaf: &CertificateDer<'static>) -> String {
        let intermediates = std::iter::once((&self.certificate, self.info.self_issued)).chain(
            self.others.iter().map(|der| {
                (
                    der,
                    Certificate::read(der).is_ok_and(|info| info.self_issued),
                )
            }),
        );
        let intermediates = intermediates.filter(|(_, root)| !root).map(|(der, _)| der);
        pem::encode_certificates(std::iter::once(leaf).chain(intermediates))
    }

    /// The CA's key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The DER of the CA's subject.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The key identifier to name this CA by: its own SKI, however it was derived (RFC 5280 §4.2.1.1).
    pub fn key_id_method(&self) -> KeyIdMethod {
        match self
            .info
            .subject_key_id
            .as_ref()
            .and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok())
        {
            Some(id) => KeyIdMethod::PreSpecified(id),
            None => KeyIdMethod::Sha256,
        }
    }

    /// An issuer for drafts: key identifier and usages are right, the name is put in by [`resign`].
    pub fn drafting(&self) -> Issuer<'static, Draft<'_, PrivateKey>> {
        let mut params = CertificateParams::default();
        params.key_identifier_method = self.key_id_method();
        Issuer::new(params, Draft(&self.key))
    }

    /// Signs a leaf certificate for a public key.
    ///
    /// # Errors
    /// When a name cannot be encoded, or the key does not sign.
    pub fn sign(
        &self,
        leaf: &Leaf<'_>,
        public: &impl Requester,
    ) -> Result<CertificateDer<'static>, CertsError> {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = self.validity(leaf.days)?;
        params.serial_number = Some(random_serial()?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if leaf.rsa {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![match leaf.role {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let mut fields: Vec<(usize, &[u8])> = vec![(CERTIFICATE_ISSUER, &self.subject)];
        match leaf.subject {
            SubjectName::New {
                common_name,
                organization,
                organizational_unit,
            } => {
                let mut name = DistinguishedName::new();
                organization
                    .into_iter()
                    .for_each(|value| name.push(DnType::OrganizationName, value));
                organizational_unit
                    .into_iter()
                    .for_each(|value| name.push(DnType::OrganizationalUnitName, value));
                name.push(DnType::CommonName, common_name);
                params.distinguished_name = name;
            }
            SubjectName::Exact(der) => {
                if der == EMPTY_NAME {
                    params.distinguished_name = DistinguishedName::new();
                }
                fields.push((CERTIFICATE_SUBJECT, der));
            }
        }
        match leaf.sans {
            Sans::New(sans) => {
                params.subject_alt_names =
                    sans.iter().map(San::to_rcgen).collect::<Result<_, _>>()?;
            }
            Sans::Exact(Some(value)) => {
                let mut extension =
                    CustomExtension::from_oid_content(&[2, 5, 29, 17], value.to_vec());
                // The names are all there is to go by then (RFC 5280 §4.2.1.6).
                extension.set_criticality(matches!(leaf.subject, SubjectName::Exact(EMPTY_NAME)));
                params.custom_extensions.push(extension);
            }
            Sans::Exact(None) => {}
        }
        let draft = params
            .signed_by(public, &self.drafting())
            .map_err(|source| CertsError::crypto("encode a certificate", source))?;
        let signed = resign(draft.der(), &fields, &self.key)?;
        match &self.elsewhere {
            None => Ok(CertificateDer::from(signed)),
            Some(signer) => sign_elsewhere(signer.as_ref(), &signed, public),
        }
    }

    /// Certifies another CA, for servers alone: a peer that trusts this one can check the certificates of that one's servers.
    ///
    /// # Errors
    /// When a name cannot be encoded, or the key does not sign.
    pub fn certify(&self, other: &Self) -> Result<CertificateDer<'static>, CertsError> {
        let mut params = CertificateParams::default();
        let end = self.info.not_after.min(other.info.not_after);
        params.not_before = now() - BACKDATE;
        params.not_after = end.min(now() + Duration::days(i64::from(CERTIFIED_DAYS)));
        params.serial_number = Some(random_serial()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = other.key_id_method();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let draft = params
            .signed_by(&other.key, &self.drafting())
            .map_err(|source| CertsError::crypto("encode a certificate", source))?;
        let fields: [(usize, &[u8]); 2] = [
            (CERTIFICATE_ISSUER, &self.subject),
            (CERTIFICATE_SUBJECT, &other.subject),
        ];
        resign(draft.der(), &fields, &self.key).map(CertificateDer::from)
    }

    fn from_parts(
        path: &Path,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKey,
    ) -> Result<Self, CertsError> {
        let unexpected = |found: String, hint: &str| CertsError::Unexpected {
            path: path.into(),
            expected: "the certificate of a CA that matches its key",
            found,
            hint: Some(hint.into()),
        };
        let spki = crate::trust::fingerprint(&key.spki());
        let mut others = Vec::new();
        let mut signing = None;
        let mut first = None;
        for der in chain {
            let info =
                Certificate::read(&der).map_err(|why| unexpected(why, "copy the file again"))?;
            first.get_or_insert_with(|| info.subject.clone());
            if signing.is_none() && info.spki_sha256 == spki {
                signing = Some((der, info));
            } else {
                others.push(der);
            }
        }
        let Some((certificate, info)) = signing else {
            let found = format!(
                "the certificate {:?}, whose key is another one",
                first.unwrap_or_default()
            );
            return Err(unexpected(
                found,
                "give the certificate and the key of the same CA (--ca-cert, --ca-key)",
            ));
        };
        can_sign(path, &info)?;
        let subject = info.details.subject.clone();
        Ok(Self {
            certificate,
            others,
            subject,
            info,
            key,
            elsewhere: None,
        })
    }

    /// From five minutes ago, but not before the CA; for the days asked, but never past the CA.
    fn validity(&self, days: Days) -> Result<(OffsetDateTime, OffsetDateTime), CertsError> {
        let now = now();
        let end = self.info.not_after;
        let left = (end - now).whole_days();
        if end <= now {
            return Err(CertsError::refused(
                format!("the CA {:?} ended on {}", self.info.subject, timestamp(end)),
                "make a new one with `dockgate certs init --dir NEWDIR`, and trust both until every client has moved",
            ));
        }
        let wanted = match days {
            Days::Exactly(days) => {
                check_days(days)?;
                let wanted = now + Duration::days(i64::from(days));
                if wanted > end {
                    return Err(CertsError::refused(
                        format!(
                            "--days {days} is past the end of the CA on {}",
                            timestamp(end)
                        ),
                        format!("write --days {left} or less"),
                    ));
                }
                wanted
            }
            Days::Seconds(seconds) => {
                let most = u64::from(MAX_DAYS) * 86_400;
                let seconds = i64::try_from(seconds.min(most)).unwrap_or(i64::MAX);
                (now + Duration::seconds(seconds)).min(end)
            }
            Days::UpTo(days) => (now + Duration::days(i64::from(days.min(MAX_DAYS)))).min(end),
        };
        Ok(((now - BACKDATE).max(self.info.not_before), wanted))
    }
}

/// A name for a new CA: people tell two of them apart, and so do verifiers that choose an issuer by name.
pub fn default_ca_name() -> Result<String, CertsError> {
    let mut tail = [0; 3];
    random(&mut tail)?;
    Ok(format!(
        "dockgate CA {}",
        data_encoding::HEXLOWER.encode(&tail)
    ))
}

/// Makes a CA with a new key and the default name and life.
pub fn default_authority(kind: KeyType) -> Result<Authority, CertsError> {
    Authority::create(&default_ca_name()?, PrivateKey::generate(kind)?, CA_DAYS)
}

/// The present second.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}

fn check_days(days: u32) -> Result<(), CertsError> {
    if (1..=MAX_DAYS).contains(&days) {
        return Ok(());
    }
    Err(CertsError::refused(
        format!("--days {days} is not a life span"),
        format!("write a number from 1 to {MAX_DAYS}"),
    ))
}

/// Twenty octets, positive, 158 random bits: the most RFC 5280 §4.1.2.2 allows.
fn random_serial() -> Result<SerialNumber, CertsError> {
    let mut bytes = [0; 20];
    random(&mut bytes)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
