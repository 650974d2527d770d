//! Certificate signing requests (RFC 2986): what one proves, and what it asks for.
//!
//! A request proves that its sender has a key, and nothing else. What it asks for is told and never granted.

use rcgen::{CertificateParams, DistinguishedName, SubjectPublicKeyInfo};
use rustls_pki_types::SignatureVerificationAlgorithm;
use x509_parser::{
    certification_request::X509CertificationRequest, extensions::ParsedExtension, prelude::FromDer,
};

use super::{
    CertsError,
    key::PrivateKey,
    san::San,
    trust::{self, der, key_kind},
};

/// The largest request that is read: a key of RSA 16384 with many names is far below.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// A request that was read, and whose sender has the key.
#[derive(Debug)]
pub struct SigningRequest {
    /// The request itself, in DER.
    pub der: Vec<u8>,
    /// The key.
    pub public: SubjectPublicKeyInfo,
    /// Whether it is an RSA key.
    pub rsa: bool,
    /// The kind of key: `ECDSA P-256`, `RSA 2048`, `Ed25519`.
    pub key: String,
    /// SHA-256 of the `SubjectPublicKeyInfo`, lower-case hex.
    pub spki_sha256: String,
    /// The subject it asks for, as text; empty if there is none.
    pub subject: String,
    /// The alternative names it asks for.
    pub sans: Vec<San>,
    /// The first common name it asks for.
    pub common_name: Option<String>,
    /// `OU=admins`, `DNS:localhost`: each name and each use it asks for.
    pub wishes: Vec<String>,
    /// The names and addresses of a server it asks for.
    pub hosts: Vec<String>,
    /// Whether it asks for use as a server and not as a client.
    pub for_server: bool,
}

/// Why a request cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found}")]
pub struct RequestFault {
    /// What it is instead.
    pub found: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl RequestFault {
    fn new(found: impl Into<String>, hint: &'static str) -> Self {
        Self {
            found: found.into(),
            hint,
        }
    }
}

/// How to make one.
pub const MAKE: &str = "make one with: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=ci";

impl SigningRequest {
    /// Reads one DER request, which may come from a peer.
    ///
    /// # Errors
    /// When it is not one request, or its signature is not by its own key with one of `algorithms`.
    pub fn read(
        bytes: &[u8],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<Self, RequestFault> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(RequestFault::new("a request above 64 KiB", MAKE));
        }
        let (rest, csr) = X509CertificationRequest::from_der(bytes).map_err(|_| {
            RequestFault::new(
                "what is not a certificate request (PKCS #10) once it is decoded",
                MAKE,
            )
        })?;
        let signed = der::signed(bytes).filter(|_| rest.is_empty());
        let signed =
            signed.ok_or_else(|| RequestFault::new("a request with bytes behind it", MAKE))?;
        let info = &csr.certification_request_info;
        let spki = info.subject_pki.raw;
        // Proof that the requester has the key (RFC 2986 §3 note 2).
        if !key_kind::verifies(spki, &signed, algorithms) {
            return Err(RequestFault::new(
                "a request whose signature does not fit its key, or is of a kind that is not accepted",
                MAKE,
            ));
        }
        let public = SubjectPublicKeyInfo::from_der(spki).map_err(|_| {
            RequestFault::new(
                "a request for a key of an unsupported kind",
                "use RSA, ECDSA P-256, P-384, P-521 or Ed25519",
            )
        })?;
        let key = key_kind::of(spki);
        let mut request = Self {
            der: bytes.to_vec(),
            public,
            rsa: key.starts_with("RSA"),
            key,
            spki_sha256: trust::fingerprint(spki),
            subject: trust::directory::name(&info.subject),
            sans: Vec::new(),
            common_name: info
                .subject
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok())
                .map(str::to_owned),
            wishes: info.subject.iter_attributes().map(wish).collect(),
            hosts: Vec::new(),
            for_server: false,
        };
        for extension in csr.requested_extensions().into_iter().flatten() {
            if matches!(extension, ParsedExtension::BasicConstraints(constraints) if constraints.ca)
            {
                return Err(RequestFault::new(
                    "a request for a CA",
                    "dockgate signs servers and clients; a CA below this one would sign anything",
                ));
            }
            request.note(extension);
        }
        Ok(request)
    }

    /// Makes a request for a key, which asks for nothing but a certificate.
    ///
    /// # Errors
    /// When it cannot be encoded or signed.
    pub fn make(key: &PrivateKey) -> Result<Vec<u8>, CertsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(key)
            .map_err(|source| CertsError::crypto("sign a request", source))?;
        Ok(request.der().to_vec())
    }

    fn note(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                for san in names.general_names.iter().map(trust::san) {
                    if let San::Dns(host) = &san
                        && San::parse(host).is_ok()
                    {
                        self.hosts.push(host.clone());
                    }
                    if let San::Ip(address) = &san {
                        self.hosts.push(address.to_string());
                    }
                    self.wishes.push(san.to_string());
                    self.sans.push(san);
                }
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.for_server = usage.server_auth && !usage.client_auth;
                if usage.server_auth {
                    self.wishes.push("use as a server".into());
                }
                if usage.client_auth {
                    self.wishes.push("use as a client".into());
                }
            }
            _ => {}
        }
    }
}

fn wish(attribute: &x509_parser::x509::AttributeTypeAndValue<'_>) -> String {
    let kind = x509_parser::objects::oid2abbrev(
        attribute.attr_type(),
        x509_parser::objects::oid_registry(),
    );
    let kind = kind.map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
    format!("{kind}={}", attribute.as_str().unwrap_or("(not text)"))
}
