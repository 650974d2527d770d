//! A role with a scope: its clients see and touch only what they made.
//!
//! The engine's labels are the only store. What a client creates is stamped with its owner's label; lists are narrowed by it, and
//! every object is looked up before it is used. This module says what that means for each operation, and reads and writes the
//! parts of a request that it concerns. The look-ups themselves are made by the gate.

mod action;
pub mod budget;
mod claim;
mod crossings;
pub mod filters;
mod owner;
pub mod parameters;
pub mod redact;

pub use crate::labels::{SCOPE_RULE, is_own_label};
pub use action::{ObjectKind, ScopeAction};
pub use claim::{LEAST_ID, is_asked};
pub(crate) use claim::{SHORT_ID, claims, may_be_id};
pub(crate) use crossings::crossings;
pub use crossings::share_a_path;
pub use owner::{IMAGE_LABEL, MadeBy, OWNER_LABEL, ObjectOwner, OwnerError, OwnerKey};

use crate::limits::glob;

/// The network that containers join when they name none.
pub const DEFAULT_NETWORK: &str = "bridge";

/// Which certificates are one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnedBy {
    /// `scope = "own"`: each certificate, by the name in it and its issuer.
    Certificate,
    /// `scope = "entry"`: all certificates of the `[[client]]` entry.
    Entry,
}

/// The scope of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleScope {
    /// Which certificates are one owner.
    pub by: OwnedBy,
    /// Networks of others that may be used, by name.
    pub networks: Vec<String>,
    /// Volumes of others that may be used; `*` stands for any text.
    pub volumes: Vec<String>,
    /// Names of variables whose values inspect does not show; `*` stands for any text.
    pub redact: Vec<String>,
    /// What all of an owner may come to.
    pub budget: budget::OwnerBudget,
    /// What a container gets that asks for nothing.
    pub default: budget::Amounts,
}

impl RoleScope {
    /// Whether a network of this name may be used, no matter who made it.
    #[must_use]
    pub fn shares_network(&self, name: &str) -> bool {
        name == "none" || self.networks.iter().any(|shared| shared == name)
    }

    /// Whether a volume of this name may be used, no matter who made it.
    #[must_use]
    pub fn shares_volume(&self, name: &str) -> bool {
        self.volumes.iter().any(|pattern| glob(pattern, name))
    }
}
