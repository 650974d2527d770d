//! What each certificate may do: `decide(client, request)` gives a permit, a denial, or says what it must see first.
//!
//! certificate → client entry (first match) → role → is the operation allowed? → are its limits met?
//!
//! A decision runs in steps, since some need the request's body or a look at the engine:
//! [`Policy::decide`] answers a [`Step`], and [`Pending::body`] and [`Pending::answer`] go on from there. Nothing here
//! does I/O or panics on input; what cannot be read is denied. Only this module can make a [`Permitted`], and only with
//! one may the gate send anything upstream.
//!
//! The decision for an operation without inspected arguments is a bit test once [`Policy::client_for`] has been asked,
//! once for each connection.

mod amounts;
pub mod build;
mod client;
mod decision;
mod denial;
mod error;
mod fetch;
mod file;
mod findings;
mod grant;
mod headers;
mod hostpath;
mod labels;
mod limits;
mod operations;
mod power;
mod protected;
mod read;
mod reader;
pub mod risk;
mod roles;
mod rules;
pub mod scope;
mod source;
mod subnet;
pub mod toggles;
pub mod upload;

use std::path::Path;
use std::sync::Arc;

use docker_api::{Classified, Operation};
use pki::identity::Identity;

pub use client::Matcher;
pub use decision::{EngineAnswer, Lookup, Pending, Permitted, Step, Verdict};
pub use denial::{DenialStatus, Denied};
pub use docker_api::image::{ImageName, ImagePattern, Reference};
pub use error::{PolicyError, PolicyFault};
pub use fetch::{Host, HostPattern};
pub use file::pin;
pub use findings::Powers;
pub use grant::{LimitGrant, line_in as grant_line};
pub use headers::EngineHeaders;
pub use hostpath::PathPattern;
pub use limits::{
    Bound, BoundUnit, Bytes, Capabilities, Fields, Globs, LimitKey, Limits, Means, Namespace,
    NanoCpus, PortNumbers, PortPattern, Processes, UserPattern, Words, glob,
};
pub use operations::{OperationSet, expand};
pub use power::{FIXED_RULES, Power};
pub use protected::{OwnContainer, OwnService, Protected};
pub use read::parameters::{Rule, listed as parameters_of};
pub use reader::nearest;
pub use rules::rules;
pub use source::{DecisionSource, Known};
pub use subnet::Subnet;

/// Largest body that is read for inspection unless `max_body` says otherwise: 4 MiB, as the engine's own plugins get.
pub const DEFAULT_MAX_BODY: usize = 4 << 20;

/// Whether a denial is enforced or only reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Denied means denied.
    #[default]
    Enforce,
    /// Decide, report what would be denied, forward.
    Report,
}

/// A client entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name in messages and records.
    pub name: String,
    /// Which certificates it is.
    pub matcher: Matcher,
    /// Its role, as an index of [`Policy::roles`].
    pub role: usize,
    /// Its line in the file, from 1; 0 if it comes from elsewhere.
    pub line: usize,
}

/// A role, expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The built-in role it starts from.
    pub base: String,
    /// The operations it may call.
    pub allowed: OperationSet,
    /// What its builds may ask for, if it may build with BuildKit under judgement.
    pub build: Option<build::Build>,
    /// Whose objects its clients see and touch, if not everybody's.
    pub scope: Option<scope::RoleScope>,
    /// Its limits; `None` for `admin` alone, whose requests are not looked into.
    pub limits: Option<Limits>,
    /// Whether its denials are enforced.
    pub mode: Mode,
    /// Whether exec, attach, archive and the like look at their target.
    pub target_check: bool,
    /// Its line in the file, from 1; 0 if built in.
    pub line: usize,
    /// Whether docker-socket-proxy's toggles made it, or a part of it.
    pub toggled: bool,
    /// The operations that its `deny` lists.
    denied: OperationSet,
    inspected: OperationSet,
}

/// Operations on a container whose power is the target's (authorised by what the target is).
pub const TARGETED: &[Operation] = &[
    Operation::ExecCreate,
    Operation::ExecStart,
    Operation::ContainerAttach,
    Operation::ContainerAttachWs,
    Operation::ContainerArchiveStat,
    Operation::ContainerArchiveGet,
    Operation::ContainerArchivePut,
    Operation::ContainerExport,
    Operation::ContainerUpdate,
    Operation::ImageCommit,
];

/// Operations that write image names, which `limits.tags` must speak about.
pub const TAGGING: &[Operation] = &[
    Operation::ImageBuild,
    Operation::ImageTag,
    Operation::ImageCommit,
    Operation::ImageImport,
    Operation::ImageLoad,
    Operation::ImagePush,
];

impl Role {
    fn new(name: &str, base: &str, allowed: OperationSet, limits: Option<Limits>) -> Role {
        let inspected = Operation::ALL
            .iter()
            .copied()
            .filter(|op| {
                read::inspected(*op).is_some()
                    || read::parameters::inspected(*op)
                    || TARGETED.contains(op)
            })
            .collect();
        Role {
            name: name.into(),
            base: base.into(),
            allowed,
            build: None,
            scope: None,
            limits,
            mode: Mode::Enforce,
            target_check: true,
            line: 0,
            toggled: false,
            denied: OperationSet::EMPTY,
            inspected,
        }
    }

    fn built_in(name: &str, mode: Mode) -> Role {
        let limits = (name != "admin").then(Limits::default);
        let allowed = roles::operations(name).unwrap_or_default();
        Role {
            mode,
            ..Role::new(name, name, allowed, limits)
        }
    }

    /// Whether the role is `admin`: everything passes, nothing is inspected.
    pub fn unlimited(&self) -> bool {
        self.limits.is_none()
    }

    /// The operations whose requests are looked into, by every role that has limits.
    pub fn looked_into() -> OperationSet {
        Role::built_in("none", Mode::Enforce).inspected
    }

    /// Why the role cannot be used as it is, if so.
    fn problem(&self) -> Option<String> {
        let limits = self.limits.as_ref()?;
        let tagging: OperationSet = TAGGING.iter().copied().collect();
        let granted = self.allowed.common(tagging).iter().next()?;
        limits.tags.is_none().then(|| {
            format!(
                "role \"{}\" may {granted}, but limits.tags does not say which names",
                self.name
            )
        })
    }
}

/// A whole policy, ready to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The client entries, in the order they are tried.
    pub clients: Vec<Client>,
    /// The roles, built-in ones first.
    pub roles: Vec<Role>,
    /// Largest body that is read for inspection, bytes.
    pub max_body: usize,
    /// The file's mode, which holds for certificates without an entry too.
    pub mode: Mode,
    /// What every limited role keeps away from, whatever its limits.
    pub protected: Arc<Protected>,
    open: bool,
}

/// The client entry a certificate belongs to, found once for each connection. Valid for the policy that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRef(Option<usize>);

impl ClientRef {
    /// The entry as an index of [`Policy::clients`]; `None` if none matched.
    pub fn index(self) -> Option<usize> {
        self.0
    }
}

/// How long a request's body is, as far as its head tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// The request has no body.
    Empty,
    /// `Content-Length`, bytes.
    Exact(u64),
    /// Chunked.
    Unknown,
}

/// What the head of a request says that a decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The target, classified.
    pub classified: &'r Classified<'r>,
    /// The first `Content-Type`.
    pub content_type: Option<&'r str>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'r str>,
    /// Which of the engine's own fields are there.
    pub headers: EngineHeaders,
    /// The body's length.
    pub body: BodyLength,
}

impl Policy {
    /// The first role with a scope that a client has: the gate needs a key for the labels of its owners.
    #[must_use]
    pub fn scoped_role(&self) -> Option<&Role> {
        let clients = self.clients.iter();
        let mut roles = clients.filter_map(|client| self.roles.get(client.role));
        roles.find(|role| role.scope.is_some())
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`] if it cannot be read or has faults. A missing file is an error, never an open policy.
    pub fn read(path: &Path) -> Result<Policy, PolicyError> {
        let text = file::text(path).map_err(|source| PolicyError::Read {
            what: "policy file",
            path: path.into(),
            source,
        })?;
        Policy::parse(&path.display().to_string(), &text)
    }

    /// Reads a policy from text; `file` is its name in messages.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`] with every fault found.
    pub fn parse(file: &str, text: &str) -> Result<Policy, PolicyError> {
        file::parse(file, text)
    }

    /// The policy when none is configured: every certificate of the CA has full access, as with `dockerd --tlsverify`.
    pub fn open() -> Policy {
        Policy {
            open: true,
            ..Policy::of_everyone(Role::built_in("admin", Mode::Enforce))
        }
    }

    /// What the toggles of the environment make: these operations for every certificate.
    fn toggled(allowed: OperationSet) -> Policy {
        let limits = Some(Limits::default());
        Policy::of_everyone(Role {
            toggled: true,
            ..Role::new("toggles", "none", allowed, limits)
        })
    }

    /// One role for every certificate.
    fn of_everyone(role: Role) -> Policy {
        let matcher = Matcher {
            any: true,
            ..Matcher::default()
        };
        let client = Client {
            name: "any".into(),
            matcher,
            role: 0,
            line: 0,
        };
        Policy {
            clients: vec![client],
            roles: vec![role],
            max_body: DEFAULT_MAX_BODY,
            mode: Mode::Enforce,
            protected: Arc::default(),
            open: false,
        }
    }

    /// The same policy with something to keep every limited role away from.
    #[must_use]
    pub fn protecting(self, protected: Arc<Protected>) -> Policy {
        Policy { protected, ..self }
    }

    /// Whether no policy is configured.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The entry a verified certificate belongs to. Ask once for each connection, and again after a reload.
    pub fn client_for(&self, identity: &Identity) -> ClientRef {
        ClientRef(
            self.clients
                .iter()
                .position(|client| client.matcher.matches(identity)),
        )
    }

    /// The client entry, if one matched.
    pub fn client(&self, client: ClientRef) -> Option<&Client> {
        self.clients.get(client.0?)
    }

    /// The client entry's name for records; `-` if none matched.
    pub fn client_name(&self, client: ClientRef) -> &str {
        self.client(client).map_or("-", |client| &client.name)
    }

    /// The role of a client, if an entry matched.
    pub fn role(&self, client: ClientRef) -> Option<&Role> {
        self.roles.get(self.client(client)?.role)
    }

    /// Whether a client's denials are enforced: its role's mode, the file's for a certificate without an entry.
    pub fn mode(&self, client: ClientRef) -> Mode {
        self.role(client).map_or(self.mode, |role| role.mode)
    }

    /// Whether nothing a client could send would be let through: it has no role, or an empty one, and that is enforced.
    pub fn shuts_out(&self, client: ClientRef) -> bool {
        let empty = self
            .role(client)
            .is_none_or(|role| role.allowed.is_empty() && !role.unlimited());
        empty && self.mode(client) == Mode::Enforce
    }

    /// The role's name for records; `none` if no entry matched.
    pub fn role_name(&self, client: ClientRef) -> &str {
        self.role(client).map_or("none", |role| &role.name)
    }
}
