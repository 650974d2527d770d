//! The other side of the signer: a key that is born where it is used gets its certificate, and keeps it current.
//!
//! Contract: a private key is never sent. An invitation's secret leaves only over a connection whose certificate leads to
//! exactly the CA that the token names. What is on disk is replaced as a whole, so that key and certificate belong
//! together at any moment. Every wait has a deadline.

pub mod connect;
pub mod context;
pub mod error;
pub mod home;
pub mod timer;
pub mod trust;

pub use error::EnrolError;

use std::sync::Arc;
use std::time::Duration;

use enroll::{Secret, SignerAddress, SignerPin, Token, basic, message};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use pki::event::IssuedKind;
use pki::issue::now;
use pki::key::{KeyType, PrivateKey};
use pki::request::SigningRequest;
use pki::{Certificate, Purpose, pem, pkcs7};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::tls::config;
use connect::{Anchor, SignerAnswered, SignerLine};
use home::{EnrolledState, Home};

/// What came of joining or renewing.
#[derive(Debug)]
pub struct Joined {
    /// The certificate that is in force now.
    pub certificate: Certificate,
    /// Where the gate is, if the signer said so.
    pub gate: Option<String>,
}

/// What a first certificate is asked for with.
#[derive(Debug)]
pub enum JoinCredential {
    /// An invitation.
    Invitation(Token),
    /// A token of CI.
    Ci(SignerPin, Secret),
}

impl JoinCredential {
    /// Whom to ask, and how the signer proves itself.
    #[must_use]
    pub fn pin(&self) -> SignerPin {
        match self {
            Self::Invitation(token) => token.pin(),
            Self::Ci(pin, _) => pin.clone(),
        }
    }

    /// The `Authorization` field.
    fn field(&self) -> Result<HeaderValue, EnrolError> {
        let text = match self {
            Self::Invitation(token) => basic::write(&token.id, &token.secret),
            Self::Ci(_, token) => Zeroizing::new(format!("Bearer {}", token.expose())),
        };
        let field = HeaderValue::from_str(&text);
        let mut field = field.map_err(|_| EnrolError::Answer("an impossible token"))?;
        field.set_sensitive(true);
        Ok(field)
    }
}

/// Uses an invitation or a token of CI: makes a key, gets its certificate, puts both into `home`.
///
/// # Errors
/// When the signer cannot be reached or proved, or has refused, or the files cannot be written.
pub async fn join(
    home: &Home,
    credential: &JoinCredential,
    key_type: KeyType,
    context: Option<&str>,
) -> Result<Joined, EnrolError> {
    let _lock = home.lock()?;
    let key = PrivateKey::generate(key_type)?;
    let token = credential.pin();
    let anchor = Anchor::Pinned(token.ca_sha256);
    let mut line = SignerLine::open(&token.signer, anchor, None).await?;
    let mut request = enrolment(&token.signer, "simpleenroll", &key)?;
    request
        .headers_mut()
        .insert(AUTHORIZATION, credential.field()?);
    let kind = HeaderValue::from_static(message::kind_word(home.kind()));
    request.headers_mut().insert(message::KIND_HEADER, kind);
    let answer = line.send(request).await?;
    let leaf = certificate(&answer)?;
    let cas = cas(&mut line, &token.signer).await?;
    let pinned = |ca: &&CertificateDer<'static>| pki::identity::sha256(ca) == token.ca_sha256;
    if cas.iter().find(pinned).is_none() {
        return Err(EnrolError::Answer(
            "CA certificates without that of the token",
        ));
    }
    let certificate = fits(&leaf, &key, &cas, home.kind())?;
    let gate = gate(&answer);
    let state = EnrolledState {
        version: 1,
        signer: token.signer.to_string(),
        kind: home.kind(),
        context: context.map(str::to_owned),
    };
    home.put_pending(&key)?;
    home.install(&leaf, &cas, &state)?;
    Ok(Joined { certificate, gate })
}

/// When a certificate should be renewed: a third of its life before its end, and not all at the same moment.
#[must_use]
pub fn due(certificate: &Certificate) -> OffsetDateTime {
    let life = life(certificate);
    let share = i32::from(certificate.details.sha256[0]);
    certificate.renewal_due() + life * share / (255 * 30)
}

/// The life that a certificate was given.
#[must_use]
pub fn life(certificate: &Certificate) -> time::Duration {
    certificate.validity().life().max(time::Duration::SECOND)
}

/// Renews what is in `home`: with a new key, which is kept until its certificate has come.
///
/// # Errors
/// When the signer cannot be reached or proved, or has refused, or the files cannot be written.
pub async fn renew(home: &Home) -> Result<Joined, EnrolError> {
    let _lock = home.lock()?;
    let state = home.state()?;
    let signer = SignerAddress::parse(&state.signer);
    let signer = signer.ok_or(EnrolError::Answer("a signer's address that is not one"))?;
    let (chain, held, known) = home.current()?;
    let key = home.pending(&held)?;
    let anchor = Anchor::Known(known);
    let mut line = SignerLine::open(&signer, anchor, Some((chain, &held))).await?;
    let request = enrolment(&signer, "simplereenroll", &key)?;
    let answer = line.send(request).await?;
    let leaf = certificate(&answer)?;
    let cas = cas(&mut line, &signer).await?;
    let certificate = fits(&leaf, &key, &cas, state.kind)?;
    let gate = gate(&answer);
    home.install(&leaf, &cas, &state)?;
    Ok(Joined { certificate, gate })
}

/// Renews whenever it is due; tells each outcome. Runs until dropped, or until the certificate has ended for good.
///
/// # Errors
/// When the certificate has ended and nothing can renew it any more.
pub async fn watch(
    home: &Home,
    mut tell: impl FnMut(&Result<Joined, EnrolError>),
) -> Result<(), EnrolError> {
    let mut failures = 0_u32;
    loop {
        let certificate = home.certificate()?;
        let life = life(&certificate);
        let left = due(&certificate) - OffsetDateTime::now_utc();
        let wait = match i32::try_from(failures).unwrap_or(i32::MAX).min(4) {
            0 => left,
            // Again soon, but never so often that a signer with a fault has no rest.
            tries => time::Duration::min(life * tries * tries / 60, time::Duration::HOUR),
        };
        let wait = wait.max(time::Duration::SECOND);
        tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
        let renewed = renew(home).await;
        tell(&renewed);
        match renewed {
            Ok(_) => failures = 0,
            // The signer goes by its own clock: what seems over here may be good for long.
            Err(EnrolError::Refused { status: 429, .. }) => failures = failures.saturating_add(1),
            Err(error) if certificate.not_after <= now() => return Err(error),
            Err(_) => failures = failures.saturating_add(1),
        }
    }
}

fn enrolment(
    signer: &SignerAddress,
    operation: &str,
    key: &PrivateKey,
) -> Result<Request<Full<Bytes>>, EnrolError> {
    let body = message::encode(&SigningRequest::make(key)?);
    let mut request = request(signer, &format!("/.well-known/est/{operation}"))?;
    *request.method_mut() = Method::POST;
    let kind = HeaderValue::from_static(message::REQUEST_TYPE);
    request.headers_mut().insert(CONTENT_TYPE, kind);
    *request.body_mut() = Full::new(body.into());
    Ok(request)
}

/// A GET request.
pub(crate) fn request(
    signer: &SignerAddress,
    path: &str,
) -> Result<Request<Full<Bytes>>, EnrolError> {
    let impossible = || EnrolError::Answer("a signer's address that is not one");
    let mut request = Request::new(Full::default());
    *request.uri_mut() = path.parse().map_err(|_| impossible())?;
    let host = HeaderValue::from_str(&signer.to_string()).map_err(|_| impossible())?;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

/// The one certificate in an answer.
fn certificate(answer: &SignerAnswered) -> Result<CertificateDer<'static>, EnrolError> {
    if answer.status != StatusCode::OK {
        return Err(answer.refused());
    }
    let envelope = message::decode(&answer.body).and_then(|der| pkcs7::decode(&der));
    let mut certificates = envelope.unwrap_or_default();
    match (certificates.pop(), certificates.is_empty()) {
        (Some(one), true) => Ok(CertificateDer::from(one)),
        _ => Err(EnrolError::Answer("something else than one certificate")),
    }
}

async fn cas(
    line: &mut SignerLine,
    signer: &SignerAddress,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let answer = line
        .send(request(signer, "/.well-known/est/cacerts")?)
        .await?;
    if answer.status != StatusCode::OK {
        return Err(answer.refused());
    }
    let envelope = message::decode(&answer.body).and_then(|der| pkcs7::decode(&der));
    let cas: Vec<_> = envelope
        .unwrap_or_default()
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    match cas.is_empty() {
        true => Err(EnrolError::Answer("no CA certificates")),
        false => Ok(cas),
    }
}

/// Whether a certificate is of our key, by one of these CAs, and good for what it was asked for.
fn fits(
    leaf: &CertificateDer<'static>,
    key: &PrivateKey,
    cas: &[CertificateDer<'static>],
    kind: IssuedKind,
) -> Result<Certificate, EnrolError> {
    let certificate =
        Certificate::read(leaf).map_err(|_| EnrolError::Answer("a damaged certificate"))?;
    if certificate.details.spki != key.spki() {
        return Err(EnrolError::Answer("a certificate for another key"));
    }
    let purpose = match kind {
        IssuedKind::Server => Purpose::Server,
        _ => Purpose::Client,
    };
    let trust = config::trust_store(cas, Vec::new(), pki::DenyList::default())
        .map_err(|_| EnrolError::Answer("CA certificates that cannot be read"))?
        .judging(purpose);
    let chain: Vec<_> = std::iter::once(leaf.clone())
        .chain(cas.iter().cloned())
        .collect();
    match trust.admit(&chain, UnixTime::now()) {
        Ok(_) => Ok(certificate),
        Err(refusal) => Err(EnrolError::Unfit(refusal.why())),
    }
}

/// Where the gate is, if the signer says so in a form that Docker takes.
fn gate(answer: &SignerAnswered) -> Option<String> {
    let said = answer.gate.as_deref()?;
    let address = SignerAddress::parse(said)?;
    Some(format!("tcp://{address}"))
}

/// A chain in PEM: the leaf, and the CAs that are not roots.
fn chain_pem(leaf: &CertificateDer<'static>, cas: &[CertificateDer<'static>]) -> String {
    let mut chain = vec![leaf];
    while let Some(issuer) = chain.last().and_then(|last| Certificate::read(last).ok()) {
        let between = cas.iter().find(|ca| {
            !chain.contains(ca)
                && Certificate::read(ca)
                    .is_ok_and(|ca| !ca.self_issued && ca.subject == issuer.issuer)
        });
        match between {
            Some(ca) => chain.push(ca),
            None => break,
        }
    }
    pem::encode_certificates(chain)
}

/// The CAs to trust: all but those that are there only because another CA certified them (during a rollover).
fn trusted<'c>(cas: &'c [CertificateDer<'static>]) -> Vec<&'c CertificateDer<'static>> {
    let read = |ca: &CertificateDer<'static>| Certificate::read(ca).ok();
    let roots: Vec<_> = cas.iter().filter_map(read).collect();
    let is_root_too = |it: &Certificate| {
        let mut roots = roots.iter().filter(|root| root.self_issued);
        !it.self_issued && roots.any(|root| root.details.spki == it.details.spki)
    };
    cas.iter()
        .filter(|ca| !read(ca).is_some_and(|it| is_root_too(&it)))
        .collect()
}

/// Runs one piece of work of a command.
///
/// # Errors
/// When the runtime cannot be made.
pub fn block_on<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(work))
}

/// The TLS settings of a client, which judges its server by `verifier`.
fn client_config(
    verifier: Arc<connect::SignerVerifier>,
    identity: Option<(Vec<CertificateDer<'static>>, &PrivateKey)>,
) -> Result<rustls::ClientConfig, EnrolError> {
    let failed = |_| EnrolError::Answer("a TLS configuration that cannot be used");
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(config::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let pkcs8 = key.to_pkcs8()?;
            let key = rustls::pki_types::PrivatePkcs8KeyDer::from(pkcs8.to_vec());
            builder
                .with_client_auth_cert(chain, key.into())
                .map_err(failed)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
