//! `certs sign`: a certificate for a key that was made elsewhere and never travels.
//!
//! A request proves that its sender has the key, and nothing else: name, kind and every further name are the operator's.

use std::path::Path;

use rcgen::SubjectPublicKeyInfo;
use x509_parser::{
    certification_request::X509CertificationRequest, extensions::ParsedExtension, prelude::FromDer,
};

use super::{authority, dir_option};
use crate::cli::certs::Sign;
use crate::command::output::Output;
use pki::{
    CertsError, Purpose,
    issue::{CLIENT_DAYS, Days, Leaf, SERVER_DAYS, Sans, SubjectName},
    name, pem,
    san::{self, San},
    store::{Grant, Made, Store, server_name},
    timestamp,
    write::{self, Existing, FileMode, refuse_existing},
};
use text::escape::shell_word;

/// What a request proves, and what it asks for, which is told and not granted.
struct SigningRequest {
    public: SubjectPublicKeyInfo,
    rsa: bool,
    common_name: Option<String>,
    /// `OU=admins`, `DNS:localhost`: each name and each use it asks for.
    wishes: Vec<String>,
    hosts: Vec<String>,
    for_server: bool,
}

pub(super) fn sign(args: &Sign, output: &mut Output<'_>) -> Result<(), CertsError> {
    let request = read(&args.csr)?;
    let role = role(args, &request)?;
    for (option, value) in [("--o", &args.o), ("--ou", &args.ou)] {
        value
            .as_deref()
            .map_or(Ok(()), |value| name::check_attribute(option, value))?;
    }
    let sans = names(args, role)?;
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
    let grant = grant(args, role, &request, &store, existing)?;
    let authority = authority(&args.ca, &store.paths)?;
    let common_name = match (role, &args.name) {
        (Purpose::Client, _) => grant.name(),
        (Purpose::Server, Some(given)) => given,
        (Purpose::Server, None) => server_name(&sans),
    };
    let leaf = Leaf {
        role,
        subject: SubjectName::New {
            common_name,
            organization: args.o.as_deref(),
            organizational_unit: args.ou.as_deref(),
        },
        sans: Sans::New(&sans),
        days: Days::from_option(
            args.days,
            match role {
                Purpose::Server => SERVER_DAYS,
                Purpose::Client => CLIENT_DAYS,
            },
        ),
        rsa: request.rsa,
    };
    let made = store.sign(&authority, &leaf, &request.public, &grant)?;
    write::write(&out, made.chain_pem.as_bytes(), FileMode::Public, existing)?;
    tell(output, args, role, &made, &request, &out);
    Ok(())
}

/// The operator's word on whether it is for a client or a server.
fn role(args: &Sign, request: &SigningRequest) -> Result<Purpose, CertsError> {
    match (args.server, args.client) {
        (true, _) => Ok(Purpose::Server),
        (_, true) => Ok(Purpose::Client),
        _ => Err(CertsError::refused(
            format!(
                "whether {:?} is for a client or for a server is not the request's to say",
                args.csr
            ),
            format!(
                "give --client or --server: `{}`",
                command(args, request, request.for_server)
            ),
        )),
    }
}

fn names(args: &Sign, role: Purpose) -> Result<Vec<San>, CertsError> {
    let mut sans = san::parse_all(&args.san)?;
    if role == Purpose::Server && sans.is_empty() {
        return Err(CertsError::refused(
            "a server certificate without a subject alternative name matches no host",
            "give the names and addresses clients use, such as --san docker.example",
        ));
    }
    for uri in &args.uri {
        sans.push(san::parse_uri(uri)?);
    }
    Ok(sans)
}

fn grant(
    args: &Sign,
    role: Purpose,
    request: &SigningRequest,
    store: &Store,
    existing: Existing,
) -> Result<Grant, CertsError> {
    match (role, &args.name) {
        (Purpose::Client, Some(name)) => store.grant_client(name, existing),
        (Purpose::Client, None) => Err(CertsError::refused(
            format!("the name of the client is not taken from {:?}", args.csr),
            format!("give it with --name: `{}`", command(args, request, false)),
        )),
        (Purpose::Server, name) => {
            name.as_deref().map_or(Ok(()), name::check)?;
            store.grant_server(existing)
        }
    }
}

/// The command that would do what the request seems to want, as far as that may be had.
fn command(args: &Sign, request: &SigningRequest, server: bool) -> String {
    let csr = shell_word(&args.csr.to_string_lossy()).into_owned();
    let dir = dir_option(&args.ca.dir.dir);
    if server {
        let hosts = match request.hosts.is_empty() {
            true => "NAME".to_owned(),
            false => request.hosts.join(","),
        };
        return format!(
            "dockgate certs sign {csr} --server --san {}{dir}",
            shell_word(&hosts)
        );
    }
    let name = request
        .common_name
        .as_deref()
        .filter(|name| name::check(name).is_ok())
        .unwrap_or("NAME");
    format!(
        "dockgate certs sign {csr} --client --name {}{dir}",
        shell_word(name)
    )
}

/// Everything that was granted, and what was not.
fn tell(
    output: &mut Output<'_>,
    args: &Sign,
    role: Purpose,
    made: &Made,
    request: &SigningRequest,
    out: &Path,
) {
    let word = match role {
        Purpose::Server => "server",
        Purpose::Client => "client",
    };
    output.line(format!(
        "signed a {word} certificate, good until {}",
        timestamp(made.info.not_after)
    ));
    super::granted(output, &made.info);
    output.line(format!("  certificate  {}", out.display()));
    output.line(format!("  serial       {}", made.info.serial));
    let given = super::granted_names(&made.info);
    let refused: Vec<_> = request
        .wishes
        .iter()
        .filter(|wish| !given.contains(wish) && **wish != format!("use as a {word}"))
        .map(String::as_str)
        .collect();
    if !refused.is_empty() {
        output.line(format!(
            "not granted, though the request asks for it: {}",
            refused.join(", ")
        ));
    }
    output.next(format!(
        "dockgate certs show {}{}",
        shell_word(&out.to_string_lossy()),
        dir_option(&args.ca.dir.dir)
    ));
}

fn read(path: &Path) -> Result<SigningRequest, CertsError> {
    let unexpected = |found: String, hint: &str| CertsError::Unexpected {
        path: path.into(),
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
    let public = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|error| {
        unexpected(
            format!("a request for a key of an unsupported kind ({error})"),
            "use RSA, ECDSA P-256, P-384, P-521 or Ed25519",
        )
    })?;
    let rsa = matches!(
        info.subject_pki.parsed(),
        Ok(x509_parser::public_key::PublicKey::RSA(_))
    );
    let mut request = SigningRequest {
        public,
        rsa,
        common_name: info
            .subject
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned),
        wishes: info
            .subject
            .iter_attributes()
            .map(|attribute| {
                let kind = x509_parser::objects::oid2abbrev(
                    attribute.attr_type(),
                    x509_parser::objects::oid_registry(),
                );
                let kind =
                    kind.map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
                format!("{kind}={}", attribute.as_str().unwrap_or("(not text)"))
            })
            .collect(),
        hosts: Vec::new(),
        for_server: false,
    };
    for extension in csr.requested_extensions().into_iter().flatten() {
        if matches!(extension, ParsedExtension::BasicConstraints(constraints) if constraints.ca) {
            return Err(unexpected(
                "a request for a CA".into(),
                "dockgate signs servers and clients; a CA below this one would sign anything",
            ));
        }
        request.wish(extension);
    }
    Ok(request)
}

impl SigningRequest {
    fn wish(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                for san in names.general_names.iter().map(pki::trust::san) {
                    if let San::Dns(host) = &san
                        && San::parse(host).is_ok()
                    {
                        self.hosts.push(host.clone());
                    }
                    if let San::Ip(address) = &san {
                        self.hosts.push(address.to_string());
                    }
                    self.wishes.push(san.to_string());
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
