//! `dockgate policy …`: arguments only.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Check, explain, test, learn and compare policies
#[derive(Clone, Debug, Args)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The `policy` commands. None of them opens a socket; all use the code the gate decides with.
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    /// Read a policy and say what each client may do, and whether it leads to root on the host
    Check(PolicyCheckArgs),
    /// Walk one request through a policy: exit 0 allowed, 3 denied, 2 cannot tell
    Explain(Box<ExplainArgs>),
    /// Run cases from a JSON Lines file: exit 0 all as expected, 1 not
    Test(TestArgs),
    /// Print the least policy that would have allowed what an audit saw
    Learn(LearnArgs),
    /// Show whose requests would change verdict between two policies: exit 0 none, 1 some
    Diff(DiffArgs),
}

/// Arguments of `policy check`.
#[derive(Clone, Debug, Args)]
pub struct PolicyCheckArgs {
    /// The policy file
    pub file: PathBuf,
    /// The CA file of the listener, to warn of names that several CAs could issue
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Exit with 1 if anybody but an `admin` could become root on the host, or if that cannot be told
    #[arg(long)]
    pub fail_on_root: bool,
    /// List the operations of this role
    #[arg(long, value_name = "NAME", conflicts_with = "json")]
    pub role: Option<String>,
    /// List the operations of every role that a client has
    #[arg(long, short, conflicts_with = "json")]
    pub verbose: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Who asks: names as they would be in the certificate, or the certificate itself.
#[derive(Clone, Debug, Default, Args)]
pub struct WhoArgs {
    /// A client certificate (PEM)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cn", "o", "ou", "dns", "email", "uri", "spki"])]
    pub cert: Option<PathBuf>,
    /// Subject common name
    #[arg(long)]
    pub cn: Vec<String>,
    /// Subject organization
    #[arg(long)]
    pub o: Vec<String>,
    /// Subject organizational unit
    #[arg(long)]
    pub ou: Vec<String>,
    /// DNS name
    #[arg(long)]
    pub dns: Vec<String>,
    /// Email address
    #[arg(long)]
    pub email: Vec<String>,
    /// URI, a SPIFFE ID for example
    #[arg(long, alias = "spiffe")]
    pub uri: Vec<String>,
    /// Key pin, sha256:…
    #[arg(long, value_name = "PIN")]
    pub spki: Option<String>,
    /// The issuer's key pin, sha256:…
    #[arg(long, value_name = "PIN")]
    pub issuer_spki: Option<String>,
}

/// Arguments of `policy explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The policy file
    pub file: PathBuf,
    /// The HTTP method
    #[arg(required_unless_present = "audit")]
    pub method: Option<String>,
    /// The request target, for example /v1.51/containers/create
    #[arg(required_unless_present = "audit")]
    pub target: Option<String>,
    /// Judge a recorded request again: the audit, JSON Lines
    #[arg(long, value_name = "FILE", requires = "request", conflicts_with_all = ["method", "body", "inspected", "answer", "cert", "cn", "o", "ou", "dns", "email", "uri", "spki", "issuer_spki"])]
    pub audit: Option<PathBuf>,
    /// The recorded request's id, as in X-Request-Id, log and audit
    #[arg(long, value_name = "ID", requires = "audit")]
    pub request: Option<String>,
    /// Who asks.
    #[command(flatten)]
    pub who: WhoArgs,
    /// The listener's CA file, to know who issued the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub ca: Option<PathBuf>,
    /// The body, if not on standard input
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,
    /// What `docker inspect` says of the container that exec, attach and the like are for
    #[arg(long = "inspect", visible_alias = "target", value_name = "FILE")]
    pub inspected: Option<PathBuf>,
    /// What the engine answers to a look-up, /volumes/data=volume.json for example; `404` in place of the file for nothing
    #[arg(long, value_name = "PATH=FILE")]
    pub answer: Vec<String>,
    /// The request's Content-Type
    #[arg(long, default_value = "application/json")]
    pub content_type: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl ExplainArgs {
    /// The method; empty of a recorded request.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or_default()
    }

    /// The target; empty of a recorded request.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.as_deref().unwrap_or_default()
    }
}

/// Arguments of `policy test`.
#[derive(Clone, Debug, Args)]
pub struct TestArgs {
    /// The policy file
    pub file: PathBuf,
    /// The cases, one JSON object a line
    pub cases: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `policy learn`.
#[derive(Clone, Debug, Args)]
pub struct LearnArgs {
    /// The audit, JSON Lines
    pub audit: PathBuf,
    /// Only this client entry or common name
    #[arg(long, value_name = "NAME")]
    pub client: Option<String>,
    /// LimitGrant what was only ever refused, too
    #[arg(long)]
    pub with_denied: bool,
}

/// Arguments of `policy diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// The policy in force
    pub old: PathBuf,
    /// The policy to compare
    pub new: PathBuf,
    /// The audit whose requests are judged by both, JSON Lines
    #[arg(long, value_name = "AUDIT")]
    pub against: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
