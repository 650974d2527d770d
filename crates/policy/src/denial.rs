//! A denial: what was refused, by which rule, and what would pass.

use std::fmt;

use docker_api::Operation;
use pki::identity::Identity;

use crate::findings::Powers;
use crate::limits::{UNLIMITED, option_for};
use crate::power::printable;

/// The HTTP status of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialStatus {
    /// 403: the policy does not allow it.
    Forbidden,
    /// 404: the engine has nothing by that name.
    NotFound,
    /// 413: the body is longer than what is inspected.
    TooLarge,
    /// 502: the engine could not be asked.
    BadGateway,
}

impl DenialStatus {
    /// The number.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            DenialStatus::Forbidden => 403,
            DenialStatus::NotFound => 404,
            DenialStatus::TooLarge => 413,
            DenialStatus::BadGateway => 502,
        }
    }
}

/// A refusal: who, what, which rule, which field, and what would pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The client entry's name; `-` if none matched.
    pub client: String,
    /// The role's name.
    pub role: String,
    /// The operation.
    pub operation: Operation,
    /// The rule that refused it.
    pub rule: &'static str,
    /// The field and its value, or what was expected.
    pub detail: String,
    /// What would pass; empty if nothing would.
    pub allowed: String,
    /// The line of the policy that would let it pass; empty if no line would in a limited role.
    pub grant: String,
    /// The status to answer with.
    pub status: DenialStatus,
    /// The command line of an `exec.create`, for the audit record.
    pub command: Option<Vec<String>>,
    /// What the request asked for, as far as it had been read by then.
    pub asked: Powers,
}

/// Characters of a certificate's names that a denial repeats.
const MOST_NAMES: usize = 256;

impl Denied {
    /// The option that names the amount which the request leaves open, where that is what was denied.
    fn unnamed_amount(&self) -> Option<&'static str> {
        let (field, value) = self.detail.split_once('=')?;
        let is_open = value == UNLIMITED;
        is_open.then(|| option_for(self.rule, field))?
    }

    /// Names the certificate where that is what was denied: no entry matches it.
    pub fn name_certificate(&mut self, identity: &Identity) {
        if self.rule == NO_CLIENT {
            let names: String = identity.names().chars().take(MOST_NAMES).collect();
            self.detail =
                format!("no [[client]] entry of the policy matches this certificate ({names})");
        }
    }
}

/// The rule that refuses a certificate without an entry.
pub(crate) const NO_CLIENT: &str = "client";

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status == DenialStatus::NotFound {
            return printable(f, &self.detail);
        }
        f.write_str("denied: client ")?;
        printable(f, &self.client)?;
        write!(f, ", role {}: {}: ", self.role, self.rule)?;
        printable(f, &self.detail)?;
        if !self.allowed.is_empty() {
            f.write_str(" (allowed: ")?;
            printable(f, &self.allowed)?;
            f.write_str(")")?;
        }
        if let Some(option) = self.unnamed_amount() {
            write!(f, "; name an amount with {option}")?;
        }
        if !self.grant.is_empty() {
            f.write_str("; to allow it: ")?;
            printable(f, &self.grant)?;
        }
        Ok(())
    }
}
