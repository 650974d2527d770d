//! `dockgate signer`, `invite`, `join` and `renew`: the arguments, no behaviour.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::certs::{DirArgs, key_type};
use super::number::number;
use super::store::StoreArgs;
use crate::config::value;
use pki::key::KeyType;

/// A life or a wait such as `7d` or `90s`, in seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let wrong =
        "expected a time with its unit (s, m, h, d), at most 365d, such as \"7d\" or \"90s\"";
    let time = value::time(text).map_err(|_| wrong.to_owned())?;
    Ok(time.as_secs()).and_then(|secs| match secs {
        0 => Err(wrong.to_owned()),
        secs => Ok(secs),
    })
}

/// `UID:GID` in numbers.
fn owner(text: &str) -> Result<(u32, u32), String> {
    let numbers = text
        .split_once(':')
        .and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    numbers.ok_or_else(|| "expected two numbers".to_owned())
}

/// `dockgate signer`
#[derive(Debug, Clone, Args)]
pub struct SignerArgs {
    /// Directory of the CA, as `dockgate certs` makes it
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
    /// Address to listen on: tcp://ADDR:PORT, or tcp://:PORT for every address
    #[arg(long, value_name = "URL", default_value = "tcp://:2378")]
    pub listen: String,
    /// Name or address clients use for the signer (repeat, or separate with commas); default: this host's
    #[arg(long, value_name = "NAME|ADDRESS", value_delimiter = ',')]
    pub san: Vec<String>,
    /// What tokens say [default: the first name of --san and the port of --listen]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// Where clients find the gate [default: the signer's host, port 2376]
    #[arg(long, value_name = "tcp://HOST:PORT")]
    pub gate: Option<String>,
    /// Life of the certificates whose invitation does not say [default: 7d for people, 30d for gates]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub life: Option<u64>,
    /// How long after its end a certificate may still be renewed [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub renew_late: Option<u64>,
    /// Configuration of the signer: issuers (oidc) whose tokens of CI become certificates
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Program with its arguments that signs, where the CA's key is elsewhere (words are separated by spaces; no shell)
    #[arg(long, value_name = "COMMAND", requires = "ca", conflicts_with_all = ["auto", "passphrase_file"])]
    pub signer_command: Option<String>,
    /// The CA's certificate, and those above it (with --signer-command)
    #[arg(long, value_name = "FILE", requires = "signer_command")]
    pub ca: Option<PathBuf>,
    /// The CA's revocation list, taken again whenever it changes (with --signer-command)
    #[arg(long, value_name = "FILE", requires = "signer_command")]
    pub crl: Option<PathBuf>,
    /// File whose first line is the passphrase of the CA key; without it a terminal is asked
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// File that gets metrics every 15 seconds, for the textfile collector of Prometheus' node exporter
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// trace, debug, info, warn or error
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
    /// Make a CA, a server certificate and a first client when there are none, and renew the server's
    #[arg(long, hide = true, conflicts_with = "store")]
    pub auto: bool,
    /// Names for the server certificate of --auto
    #[arg(long, hide = true, value_name = "NAME", requires = "auto")]
    pub server_san: Vec<String>,
    /// User and group of the gate, who own what --auto puts there for it
    #[arg(long, hide = true, value_name = "UID:GID", requires = "auto", value_parser = owner)]
    pub gate_owner: Option<(u32, u32)>,
    /// End when standard input ends: a gate started this signer
    #[arg(long, hide = true)]
    pub attached: bool,
}

/// `dockgate invite`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct InviteArgs {
    /// What to do with invitations that were made.
    #[command(subcommand)]
    pub command: Option<InviteCommand>,
    /// Whom to invite: the name in the certificate
    #[arg(value_name = "NAME", required_unless_present = "pin")]
    pub name: Option<String>,
    /// Where the certificates are kept.
    #[command(flatten)]
    pub dir: DirArgs,
    /// The certificate is for a gate, not for a client
    #[arg(long)]
    pub server: bool,
    /// Name or address that clients use for the gate (with --server; repeat, or separate with commas) [default: NAME]
    #[arg(
        long,
        value_name = "NAME|ADDRESS",
        value_delimiter = ',',
        requires = "server"
    )]
    pub san: Vec<String>,
    /// Organization (O) in the certificate
    #[arg(long, value_name = "TEXT", conflicts_with = "server")]
    pub o: Option<String>,
    /// Organizational unit (OU) in the certificate
    #[arg(long, value_name = "TEXT", conflicts_with = "server")]
    pub ou: Option<String>,
    /// URI in the certificate (repeatable)
    #[arg(long, value_name = "URI", conflicts_with = "server")]
    pub uri: Vec<String>,
    /// Life of each certificate [default: the signer's]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub life: Option<u64>,
    /// How long the invitation is good for
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "1h")]
    pub ttl: u64,
    /// For how many certificates
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number::<u32>("a number of certificates", 1..=u64::MAX))]
    pub uses: u32,
    /// Where the signer is reached [default: what the signer of this directory said when it started]
    #[arg(long, value_name = "HOST:PORT")]
    pub signer: Option<String>,
    /// Give a name that somebody has already to a second certificate
    #[arg(long)]
    pub force: bool,
    /// Invite nobody: print the signer's address with the CA's digest, for `dockgate join --oidc-token-file`
    #[arg(long, conflicts_with_all = ["name", "server", "o", "ou", "uri", "life", "ttl", "uses", "force"])]
    pub pin: bool,
}

/// The commands of `dockgate invite`.
#[derive(Debug, Clone, Subcommand)]
pub enum InviteCommand {
    /// List the invitations of a directory
    List(InviteList),
    /// Take an invitation back
    Revoke(InviteRevoke),
}

/// `dockgate invite list`
#[derive(Debug, Clone, Args)]
pub struct InviteList {
    /// Where the certificates are kept.
    #[command(flatten)]
    pub dir: DirArgs,
    /// Also those that cannot be used any more
    #[arg(long)]
    pub all: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `dockgate invite revoke`
#[derive(Debug, Clone, Args)]
pub struct InviteRevoke {
    /// The invitation, as `dockgate invite list` shows it, or the name it is for
    #[arg(value_name = "ID|NAME")]
    pub target: String,
    /// Where the certificates are kept.
    #[command(flatten)]
    pub dir: DirArgs,
}

/// What renews a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RenewedBy {
    /// A timer of this user's service manager
    Systemd,
    /// Nothing: run `dockgate renew` yourself
    None,
}

/// `dockgate join`
#[derive(Debug, Clone, Args)]
pub struct JoinArgs {
    /// The token, or "-" to read it from standard input, where no other process can see it
    #[arg(value_name = "TOKEN|-", allow_hyphen_values = true)]
    pub token: String,
    /// File with an OIDC token of CI, or "-" for standard input; in place of the invitation's token `dockgate invite --pin` is given
    #[arg(long, value_name = "FILE|-", allow_hyphen_values = true, conflicts_with_all = ["server", "renew"])]
    pub oidc_token_file: Option<PathBuf>,
    /// Name of the docker context to make [default: the gate's host]
    #[arg(long, value_name = "NAME", conflicts_with = "server")]
    pub context: Option<String>,
    /// Where the gate is [default: what the context has, else what the signer says, else the signer's host, port 2376]
    #[arg(long, value_name = "tcp://HOST:PORT", conflicts_with = "server")]
    pub host: Option<String>,
    /// What renews the certificate [default: systemd where this user has it]
    #[arg(long, value_name = "BY", conflicts_with = "server")]
    pub renew: Option<RenewedBy>,
    /// The certificate is for a gate on this host, for `dockgate serve --enrolled DIR`
    #[arg(long)]
    pub server: bool,
    /// Directory of the gate's key, certificate and trust (with --server)
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/dockgate",
        requires = "server"
    )]
    pub dir: PathBuf,
    /// Kind of key
    #[arg(long, value_parser = key_type(), default_value = "p256")]
    pub key_type: KeyType,
}

/// `dockgate renew`
#[derive(Debug, Clone, Args)]
pub struct RenewArgs {
    /// The directory that `dockgate join` printed
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Stay, and renew whenever it is due
    #[arg(long)]
    pub watch: bool,
    /// Renew now although it is not due
    #[arg(long, conflicts_with = "watch")]
    pub force: bool,
    /// How often a gate's signer is asked for news where it cannot tell them at once
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "10s", requires = "watch")]
    pub trust_interval: u64,
    /// End when standard input ends: a gate started this
    #[arg(long, hide = true, requires = "watch")]
    pub attached: bool,
}
