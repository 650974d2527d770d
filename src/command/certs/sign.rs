//! `certs sign`: a certificate for a key that was made elsewhere and never travels.

use std::path::PathBuf;

use rcgen::SubjectPublicKeyInfo;
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

use super::{Output, authority};
use crate::cli::certs::Sign;
use pki::{
    CertsError,
    index::Kind,
    inspect::{Role, timestamp},
    issue::{CLIENT_DAYS, Days, Leaf, SERVER_DAYS, Sans, Subject},
    pem,
    san::{self, San},
    store::Store,
    write::{self, Access, Existing, refuse_existing},
};
use text::escape::shell_word;

/// What is taken from a request: who, which key, which names. What it asks for beyond that is not granted.
struct Request {
    subject: Vec<u8>,
    common_name: String,
    public: SubjectPublicKeyInfo,
    rsa: bool,
    sans: Vec<San>,
    role: Option<Role>,
}

pub(super) fn sign(args: &Sign) -> Result<Output, CertsError> {
    let request = read(args)?;
    let role = match (args.server, args.client, request.role) {
        (true, ..) => Role::Server,
        (_, true, _) => Role::Client,
        (.., Some(role)) => role,
        _ => {
            return Err(CertsError::refused(
                format!(
                    "{:?} does not say whether it is for a server or a client",
                    args.csr
                ),
                "give --server or --client",
            ));
        }
    };
    let (kind, name) = match role {
        Role::Server => (Kind::Server, "server".to_owned()),
        Role::Client => (Kind::Client, request.common_name.clone()),
    };
    if role == Role::Client && request.common_name.is_empty() {
        return Err(CertsError::refused(
            format!(
                "{:?} has no common name, by which policies and logs know a client",
                args.csr
            ),
            "make the request with a subject such as /CN=ci",
        ));
    }
    if role == Role::Server
        && !request
            .sans
            .iter()
            .any(|san| matches!(san, San::Dns(_) | San::Ip(_)))
    {
        return Err(CertsError::refused(
            format!(
                "{:?} asks for a server certificate without a subject alternative name, which matches no host",
                args.csr
            ),
            "make the request with -addext subjectAltName=DNS:docker.example",
        ));
    }
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| args.csr.with_extension("crt.pem"));
    let existing = Existing::from_force(args.force);
    refuse_existing(
        &out,
        existing,
        "give --out another name, or --force to replace it",
    )?;
    let mut store = Store::open(&args.ca.dir.dir)?;
    let authority = authority(&args.ca, &store.paths)?;
    let default = if role == Role::Server {
        SERVER_DAYS
    } else {
        CLIENT_DAYS
    };
    let leaf = Leaf {
        role,
        subject: Subject::Exact(&request.subject),
        sans: Sans::New(&request.sans),
        days: Days::from_option(args.days, default),
        rsa: request.rsa,
    };
    let made = store.sign(&authority, &leaf, &request.public, kind, &name)?;
    write::write(&out, made.chain_pem.as_bytes(), Access::Public, existing)?;
    let mut output = Output::default();
    let word = if role == Role::Server {
        "server"
    } else {
        "client"
    };
    output.line(format!(
        "signed a {word} certificate, {}, good until {}",
        made.info.subject,
        timestamp(made.info.not_after)
    ));
    output.line(format!("  certificate  {}", out.display()));
    output.line(format!("  serial       {}", made.info.serial));
    output.next(format!(
        "dockgate certs show {}",
        shell_word(&out.to_string_lossy())
    ));
    Ok(output)
}

fn read(args: &Sign) -> Result<Request, CertsError> {
    let path: &PathBuf = &args.csr;
    let unexpected = |found: String, hint: &str| CertsError::Unexpected {
        path: path.clone(),
        expected: "a CERTIFICATE REQUEST in PEM",
        found,
        hint: Some(hint.into()),
    };
    let make = "make one with: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=ci";
    let bytes = write::read(path)?;
    let blocks = pem::blocks(path, &bytes)?;
    let Some(block) = blocks.iter().find(|block| {
        matches!(
            block.label.as_str(),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST"
        )
    }) else {
        return Err(unexpected(pem::describe(&blocks), make));
    };
    let (_, csr) = X509CertificationRequest::from_der(&block.der)
        .map_err(|error| unexpected(format!("a request that cannot be read ({error})"), make))?;
    // Proof that whoever asks has the key (RFC 2986 §3 note 2).
    csr.verify_signature().map_err(|_| {
        unexpected(
            "a request whose signature does not fit its key".into(),
            make,
        )
    })?;
    let info = &csr.certification_request_info;
    let common_name = info
        .subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .unwrap_or_default()
        .to_owned();
    let public = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|error| {
        unexpected(
            format!("a request for a key of an unsupported kind ({error})"),
            "use RSA, ECDSA P-256, P-384, P-521 or Ed25519",
        )
    })?;
    let mut request = Request {
        subject: info.subject.as_raw().to_vec(),
        common_name,
        public,
        rsa: matches!(
            info.subject_pki.parsed(),
            Ok(x509_parser::public_key::PublicKey::RSA(_))
        ),
        sans: Vec::new(),
        role: None,
    };
    for extension in csr.requested_extensions().into_iter().flatten() {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                request.sans = names
                    .general_names
                    .iter()
                    .map(requested_name)
                    .collect::<Result<_, _>>()?;
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                request.role = match (usage.server_auth, usage.client_auth) {
                    (true, false) => Some(Role::Server),
                    (false, true) => Some(Role::Client),
                    _ => None,
                };
            }
            ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                return Err(unexpected(
                    "a request for a CA".into(),
                    "dockgate signs servers and clients; a CA below this one would sign anything",
                ));
            }
            _ => {}
        }
    }
    Ok(request)
}

fn requested_name(name: &GeneralName<'_>) -> Result<San, CertsError> {
    match name {
        GeneralName::DNSName(name) => San::parse(&format!("DNS:{name}")),
        GeneralName::IPAddress(octets) => {
            let address = match octets.len() {
                4 => <[u8; 4]>::try_from(*octets)
                    .ok()
                    .map(std::net::IpAddr::from),
                _ => <[u8; 16]>::try_from(*octets)
                    .ok()
                    .map(std::net::IpAddr::from),
            };
            address.map_or_else(
                || {
                    Err(CertsError::refused(
                        "the request names an address that is neither IPv4 nor IPv6",
                        "make the request again",
                    ))
                },
                |address| San::parse(&address.to_string()),
            )
        }
        GeneralName::URI(uri) => san::parse_uri(uri),
        other => Err(CertsError::refused(
            format!("the request names {other}, a type dockgate does not issue"),
            "use DNS names, IP addresses or URIs",
        )),
    }
}
