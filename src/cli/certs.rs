//! `dockgate certs …`: the arguments, no behaviour (that is `certs::command`).

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::number::days;
use super::store::StoreArgs;
use pki::key::KeyType;

/// The names of the kinds of key, from the one list of them.
pub(super) fn key_type() -> impl TypedValueParser<Value = KeyType> {
    let names = KeyType::ALL
        .iter()
        .map(|(_, name, help)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(names).map(|name| KeyType::named(&name).unwrap_or_default())
}

/// Make, look at, renew and revoke certificates, without openssl.
#[derive(Debug, Args)]
pub struct CertsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CertsCommand,
}

/// The commands of `dockgate certs`.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Make a CA and a server certificate
    Init(Init),
    /// Make a server certificate
    Server(Server),
    /// Make a client certificate, a directory that serves as DOCKER_CERT_PATH
    Client(ClientArgs),
    /// List the certificates of a directory
    List(List),
    /// Show a certificate, or the one a server presents, and what dockgate would say to it
    Show(Show),
    /// Renew certificates: same identity, same key, new dates
    Renew(Renew),
    /// Take a certificate back: it goes onto crl.pem
    Revoke(Revoke),
    /// Lift the hold from a name whose certificate was renewed twice
    Allow(Allow),
    /// Refuse a serial number or a public key at every gate of a signer
    Deny(Deny),
    /// Sign the revocation list again before it expires
    Crl(Crl),
    /// Pack a client's files for the machine that will use them
    Bundle(Bundle),
    /// Sign a request (CSR) whose key was made elsewhere
    Sign(Sign),
    /// Replace the CA by a new one without a gap
    Rollover(RolloverArgs),
}

/// Where certificates are kept.
#[derive(Debug, Clone, Args)]
pub struct DirArgs {
    /// Directory of the certificates; docker:dind's, Docker's guide's and kekru's layouts are used as they are
    #[arg(
        long,
        value_name = "DIR",
        default_value = "certs",
        env = "DOCKGATE_CERTS_DIR"
    )]
    pub dir: PathBuf,
    /// Where the index is.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Which CA signs.
#[derive(Debug, Args)]
pub struct CaArgs {
    /// Where the certificates are kept.
    #[command(flatten)]
    pub dir: DirArgs,
    /// Certificate of an existing CA (PEM; a bundle may hold its issuers too)
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    pub ca_cert: Option<PathBuf>,
    /// Key of an existing CA (PEM: PKCS#8, PKCS#1 or SEC1; may be encrypted)
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    pub ca_key: Option<PathBuf>,
    /// File whose first line is the passphrase of the CA key; without it a terminal is asked
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// `certs allow`
#[derive(Debug, Args)]
pub struct Allow {
    /// The name whose certificates are on hold
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Which CA signs the list.
    #[command(flatten)]
    pub ca: CaArgs,
    /// Days until the list expires (default: 60, and 7 beside a signer)
    #[arg(long, value_parser = days, value_name = "N")]
    pub crl_days: Option<u32>,
}

/// `certs rollover`
#[derive(Debug, Args)]
pub struct RolloverArgs {
    /// Trust the new CA alone from now on, and destroy the key of the old one
    #[arg(long)]
    pub finish: bool,
    /// Finish although somebody would be left out
    #[arg(long, requires = "finish")]
    pub force: bool,
    /// How long gates have to learn of the new CA before clients' certificates come from it
    #[arg(long, value_name = "TIME", value_parser = super::enrol::seconds, default_value = "1m", conflicts_with = "finish")]
    pub wait: u64,
    /// Days the new CA lives
    #[arg(
        long,
        value_parser = days,
        value_name = "N",
        default_value_t = 3650,
        conflicts_with = "finish"
    )]
    pub ca_days: u32,
    /// Common name of the new CA [default: "dockgate CA" and six random digits]
    #[arg(long, value_name = "NAME", conflicts_with = "finish")]
    pub ca_name: Option<String>,
    /// Kind of the new CA's key
    #[arg(long, value_parser = key_type(), default_value = "p256", conflicts_with = "finish")]
    pub key_type: KeyType,
    /// File whose first line is the passphrase of the CA key, which the new key gets too; without it a terminal is asked
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Where the certificates are kept.
    #[command(flatten)]
    pub dir: DirArgs,
}

/// `certs deny`
#[derive(Debug, Args)]
pub struct Deny {
    /// A serial number in hex, the SHA-256 of a public key, or a certificate file (its public key); without it the list is shown
    #[arg(value_name = "SERIAL|SHA256|FILE")]
    pub target: Option<String>,
    /// Take it off the list
    #[arg(long, requires = "target")]
    pub lift: bool,
    /// Where the certificates are kept.
    #[command(flatten)]
    pub dir: DirArgs,
}

/// `certs init`
#[derive(Debug, Args)]
pub struct Init {
    /// Which CA signs; with --ca-cert and --ca-key no CA is made.
    #[command(flatten)]
    pub ca: CaArgs,
    /// Name or address clients will use (repeat, or separate with commas); localhost is always included; default: this host's
    #[arg(long, value_name = "NAME|ADDRESS", value_delimiter = ',')]
    pub san: Vec<String>,
    /// Days the server certificate lives [default: 825]
    #[arg(long, value_parser = days, value_name = "N")]
    pub days: Option<u32>,
    /// Days the CA lives
    #[arg(long, value_parser = days, value_name = "N", default_value_t = 3650)]
    pub ca_days: u32,
    /// Common name of the CA [default: "dockgate CA" and six random digits]
    #[arg(long, value_name = "NAME")]
    pub ca_name: Option<String>,
    /// Kind of keys
    #[arg(long, value_parser = key_type(), default_value = "p256")]
    pub key_type: KeyType,
    /// Encrypt the CA key with a passphrase (asked for, or from --passphrase-file, which implies this)
    #[arg(long)]
    pub encrypt: bool,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

/// `certs server`
#[derive(Debug, Args)]
pub struct Server {
    /// Which CA signs.
    #[command(flatten)]
    pub ca: CaArgs,
    /// Name or address clients will use (repeat, or separate with commas); localhost is always included; default: this host's
    #[arg(long, value_name = "NAME|ADDRESS", value_delimiter = ',')]
    pub san: Vec<String>,
    /// Days it lives [default: 825]
    #[arg(long, value_parser = days, value_name = "N")]
    pub days: Option<u32>,
    /// Kind of key
    #[arg(long, value_parser = key_type(), default_value = "p256")]
    pub key_type: KeyType,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

/// `certs client`
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// Common name, which policies and logs know the client by
    pub name: String,
    /// Which CA signs.
    #[command(flatten)]
    pub ca: CaArgs,
    /// Days it lives [default: 90]
    #[arg(long, value_parser = days, value_name = "N")]
    pub days: Option<u32>,
    /// Organisational unit (OU), for policies
    #[arg(long, value_name = "UNIT")]
    pub ou: Option<String>,
    /// Organisation (O), for policies
    #[arg(long, value_name = "ORGANISATION")]
    pub o: Option<String>,
    /// URI subject alternative name, such as spiffe://example.org/ci (repeatable)
    #[arg(long, value_name = "URI")]
    pub uri: Vec<String>,
    /// Kind of key
    #[arg(long, value_parser = key_type(), default_value = "p256")]
    pub key_type: KeyType,
    /// Write {ca,cert,key}.pem to this directory instead of clients/NAME
    #[arg(long, value_name = "DIR", group = "output")]
    pub out: Option<PathBuf>,
    /// Write a tar file; the key is kept nowhere else
    #[arg(long, value_name = "FILE.tar", group = "output")]
    pub bundle: Option<PathBuf>,
    /// Write key, certificate and CA to standard output in PEM; the key is kept nowhere else
    #[arg(long, group = "output")]
    pub stdout: bool,
    /// Address of the gate, for the lines that are printed [default: the server certificate's first name]
    #[arg(long, value_name = "tcp://HOST:PORT")]
    pub host: Option<String>,
    /// Replace files that exist, and give a name that is given already
    #[arg(long)]
    pub force: bool,
}

/// `certs list`
#[derive(Debug, Args)]
pub struct List {
    /// Where the certificates are kept.
    #[command(flatten)]
    pub dir: DirArgs,
    /// Also those that expired
    #[arg(long)]
    pub all: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `certs show`
#[derive(Debug, Args)]
pub struct Show {
    /// A certificate file, or tcp://HOST:PORT
    #[arg(value_name = "FILE|tcp://HOST:PORT")]
    pub target: String,
    /// Where the CA is kept, to judge by.
    #[command(flatten)]
    pub dir: DirArgs,
    /// CA to judge by instead [default: the one in --dir]
    #[arg(long, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
    /// A gate's configuration file to judge by instead: its CAs, revocation lists, deny list and policy
    #[arg(long, value_name = "FILE", conflicts_with = "ca_cert")]
    pub config_file: Option<PathBuf>,
    /// A policy file that says what the client may do
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `certs renew`
#[derive(Debug, Args)]
pub struct Renew {
    /// A client's name, `server`, or a certificate file with its key beside it
    #[arg(
        value_name = "NAME|server|FILE",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub target: Option<String>,
    /// Which CA signs.
    #[command(flatten)]
    pub ca: CaArgs,
    /// The server, every client that is not revoked, and the revocation list
    #[arg(long)]
    pub all: bool,
    /// Make a new key too (of the same kind)
    #[arg(long)]
    pub new_key: bool,
    /// Only what has used up two thirds of its life: for a timer
    #[arg(long)]
    pub if_due: bool,
    /// Days the renewed certificate lives [default: as many as the old one]
    #[arg(long, value_parser = days, value_name = "N")]
    pub days: Option<u32>,
}

/// Why a certificate is taken back (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Reason {
    /// No reason is given.
    #[default]
    Unspecified,
    /// Someone else may have the key.
    KeyCompromise,
    /// The owner moved on.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
    /// The owner may not have it any more.
    PrivilegeWithdrawn,
}

impl Reason {
    /// The word an index line carries for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified",
            Reason::KeyCompromise => "keyCompromise",
            Reason::AffiliationChanged => "affiliationChanged",
            Reason::Superseded => "superseded",
            Reason::CessationOfOperation => "cessationOfOperation",
            Reason::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }
}

/// `certs revoke`
#[derive(Debug, Args)]
pub struct Revoke {
    /// A client's name (all its certificates), a serial number in hex, or a certificate file
    #[arg(value_name = "NAME|SERIAL|FILE", required_unless_present = "server")]
    pub target: Option<String>,
    /// The server's certificates (all of them, or the one named by serial number or file), which NAME never means
    #[arg(long)]
    pub server: bool,
    /// Which CA signs.
    #[command(flatten)]
    pub ca: CaArgs,
    /// Why
    #[arg(long, value_enum, default_value_t)]
    pub reason: Reason,
    /// Days until the revocation list expires (default: 60, and 7 beside a signer)
    #[arg(long, value_parser = days, value_name = "N")]
    pub crl_days: Option<u32>,
}

/// `certs crl`
#[derive(Debug, Args)]
pub struct Crl {
    /// Which CA signs.
    #[command(flatten)]
    pub ca: CaArgs,
    /// Days until the revocation list expires (default: 60, and 7 beside a signer)
    #[arg(long, value_parser = days, value_name = "N")]
    pub days: Option<u32>,
}

/// `certs bundle`
#[derive(Debug, Args)]
pub struct Bundle {
    /// The client
    pub name: String,
    /// Where the certificates are kept.
    #[command(flatten)]
    pub dir: DirArgs,
    /// A new directory, or a file that ends in .tar [default: NAME.tar]
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Address of the gate, for the lines that are printed [default: the server certificate's first name]
    #[arg(long, value_name = "tcp://HOST:PORT")]
    pub host: Option<String>,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

/// `certs sign`
#[derive(Debug, Args)]
pub struct Sign {
    /// The request, in PEM; only its key is taken from it
    #[arg(value_name = "CSR.pem")]
    pub csr: PathBuf,
    /// Which CA signs.
    #[command(flatten)]
    pub ca: CaArgs,
    /// For a client
    #[arg(long, group = "role")]
    pub client: bool,
    /// For a server
    #[arg(long, group = "role")]
    pub server: bool,
    /// Common name: of a client what policies and logs know it by, whatever the request calls itself
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Organisation (O), for policies
    #[arg(long, value_name = "ORGANISATION")]
    pub o: Option<String>,
    /// Organisational unit (OU), for policies
    #[arg(long, value_name = "UNIT")]
    pub ou: Option<String>,
    /// URI subject alternative name, such as spiffe://example.org/ci (repeatable)
    #[arg(long, value_name = "URI")]
    pub uri: Vec<String>,
    /// Name or address of a server (repeat, or separate with commas)
    #[arg(long, value_name = "NAME|ADDRESS", value_delimiter = ',')]
    pub san: Vec<String>,
    /// Days it lives [default: 825 for a server, 90 for a client]
    #[arg(long, value_parser = days, value_name = "N")]
    pub days: Option<u32>,
    /// Where the certificate goes [default: beside the request, with .crt.pem in place of its ending]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace a file that exists, and give a name that is given already
    #[arg(long)]
    pub force: bool,
}
