//! A decision, step by step.

mod pending;

use std::fmt;

use buildkit::Call;
use docker_api::{Classified, Operation};
use pki::identity::Identity;

use super::build::{BuildFacts, build_key};
use super::findings::{Findings, Powers, Unresolved};
use super::grant;
use super::limits::{LimitKey, UNLIMITED};
use super::power::printable;
use super::read::parameters::Parameters;
use super::read::{self, Presence};
use super::upload::Context;
use super::{BodyLength, ClientRef, Mode, Policy, Request, Role};

/// The permission to send one request upstream. Only the policy makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a permit is for one request; drop it only with the request"]
pub struct Permitted {
    operation: Operation,
    target: Option<String>,
    would_deny: Option<Box<Denied>>,
    command: Option<Vec<String>>,
    asked: Powers,
    context: Option<Box<Context>>,
    _made_by_policy: (),
}

impl Permitted {
    fn new(operation: Operation) -> Permitted {
        Permitted {
            operation,
            target: None,
            would_deny: None,
            command: None,
            asked: Powers::default(),
            context: None,
            _made_by_policy: (),
        }
    }

    /// The operation that was decided on, as the engine will route it.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The request target to send in place of the client's: the checked container by its full id, so that a rename
    /// between check and use changes nothing.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// In report mode, the denial that was not enforced.
    pub fn would_deny(&self) -> Option<&Denied> {
        self.would_deny.as_deref()
    }

    /// The command line of an `exec.create`, for the audit record.
    pub fn command(&self) -> Option<&[String]> {
        self.command.as_deref()
    }

    /// What the body has to be judged by while it streams to the engine, if it has to be.
    pub fn context(&self) -> Option<&Context> {
        self.context.as_deref()
    }

    /// What the request asked for, in normal form.
    pub fn asked(&self) -> &Powers {
        &self.asked
    }
}

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
        is_open.then(|| grant::option_for(self.rule, field))?
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
const NO_CLIENT: &str = "client";

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

/// A question to the engine: `GET target`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// The request target, origin form, safe to send as it is.
    pub target: String,
}

/// The engine's answer to a [`Lookup`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// How far a decision has come.
#[derive(Clone, Debug)]
#[must_use]
pub enum Step<'p> {
    /// Forward it.
    Permitted(Permitted),
    /// Refuse it.
    Denied(Box<Denied>),
    /// Read the whole body, at most [`Pending::max_body`] bytes, and give it to [`Pending::body`].
    Body(Box<Pending<'p>>),
    /// Ask the engine [`Pending::lookup`] and give what it says to [`Pending::answer`].
    Lookup(Box<Pending<'p>>),
    /// Resolve [`Pending::host_paths`] on the host and give what they are to [`Pending::resolved`].
    Paths(Box<Pending<'p>>),
}

/// A decision that has not been taken yet.
#[derive(Clone, Debug)]
pub struct Pending<'p> {
    policy: &'p Policy,
    role: &'p Role,
    client: ClientRef,
    operation: Operation,
    classified: Classified<'static>,
    parameters: Parameters,
    findings: Findings<'p>,
    stage: Stage,
    lookup: Lookup,
    target: Option<String>,
    command: Option<Vec<String>>,
    /// Whether links in host paths have been followed.
    followed: bool,
    /// In report mode, the first denial: what comes after it is looked at too, so that the record has all that was asked for.
    reported: Option<Box<Denied>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Body,
    Exec,
    Container,
    /// Named volumes and networks, the next one last.
    Names(Vec<Unresolved>),
}

impl Policy {
    /// Decides on a request, or says what must be known first.
    pub fn decide(&self, client: ClientRef, request: &Request<'_>) -> Step<'_> {
        let operation = request.classified.judged();
        let Some(role) = self.role(client) else {
            let denied = Denied {
                client: "-".into(),
                role: "none".into(),
                operation,
                rule: NO_CLIENT,
                detail: "no [[client]] entry of the policy matches this certificate".into(),
                allowed: String::new(),
                grant: String::new(),
                status: DenialStatus::Forbidden,
                command: None,
                asked: Powers::default(),
            };
            return self.unmatched(request.classified.operation, denied);
        };
        if role.unlimited() {
            return Step::Permitted(Permitted::new(request.classified.operation));
        }
        let allowed = role.allowed.contains(operation);
        let bare = request.body == BodyLength::Empty
            && request.classified.query().is_none_or(str::is_empty)
            && request.headers.unlisted(operation).is_none();
        if allowed && !self.looks_into(role, operation) && bare {
            return Step::Permitted(Permitted::new(operation));
        }
        Pending::start(self, role, client, request, allowed)
    }

    /// Whether more than the operation's name decides.
    fn looks_into(&self, role: &Role, operation: Operation) -> bool {
        let is_removed_image = operation == Operation::ImageDelete && role.scope.is_some();
        role.inspected.contains(operation) || self.protected.asks(operation) || is_removed_image
    }
}

impl Policy {
    /// A certificate without an entry: refused, or in report mode noted and let through like everybody else.
    fn unmatched(&self, operation: Operation, denied: Denied) -> Step<'_> {
        let denied = Box::new(denied);
        match self.mode {
            Mode::Enforce => Step::Denied(denied),
            Mode::Report => {
                let mut permitted = Permitted::new(operation);
                permitted.would_deny = Some(denied);
                Step::Permitted(permitted)
            }
        }
    }
}

/// What a policy says of a request that is known only by its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed.
    Allow,
    /// Refused by a rule, with the detail.
    Deny(String),
    /// The record does not say enough.
    Unknown,
}

impl Verdict {
    /// Whether it passes; `None` if that cannot be told.
    pub fn allowed(&self) -> Option<bool> {
        match self {
            Verdict::Allow => Some(true),
            Verdict::Deny(_) => Some(false),
            Verdict::Unknown => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Allow => f.write_str("allow"),
            Verdict::Deny(why) => write!(f, "deny ({why})"),
            Verdict::Unknown => f.write_str("cannot tell"),
        }
    }
}

/// The limits that every request of an operation asks about.
fn asked_always(operation: Operation) -> Option<&'static [LimitKey]> {
    match operation {
        Operation::ContainerCreate | Operation::ServiceCreate | Operation::ServiceUpdate => {
            Some(&[
                LimitKey::Memory,
                LimitKey::Cpus,
                LimitKey::Pids,
                LimitKey::Users,
                LimitKey::Names,
            ])
        }
        Operation::ContainerRename => Some(&[LimitKey::Names]),
        _ => None,
    }
}

impl Policy {
    /// Judges a call of a build and its recorded facts again.
    pub fn replay_call(&self, client: ClientRef, call: Call, facts: &BuildFacts) -> Verdict {
        let Some(role) = self.role(client) else {
            return Verdict::Deny("no client entry matches".into());
        };
        let opaque = role.limits.as_ref().is_none_or(|limits| limits.buildkit);
        let Some(build) = role.build.as_ref().filter(|_| !role.unlimited()) else {
            return match opaque {
                true => Verdict::Allow,
                false => Verdict::Deny(format!("operation: {}", Operation::BuildGrpc)),
            };
        };
        if let Err(objection) = build.call(call) {
            return Verdict::Deny(format!("{}: {}", objection.rule, objection.detail));
        }
        match facts.kept.iter().find(|fact| !build.admits(fact)) {
            Some((key, value)) => {
                let key = build_key(key).unwrap_or(key);
                Verdict::Deny(format!("{key}: {value}"))
            }
            None if facts.omitted > 0 => Verdict::Unknown,
            None => Verdict::Allow,
        }
    }

    /// Judges an operation and its recorded powers again.
    pub fn replay(&self, client: ClientRef, operation: Operation, asked: &Powers) -> Verdict {
        let Some(role) = self.role(client) else {
            return Verdict::Deny("no client entry matches".into());
        };
        let Some(limits) = &role.limits else {
            return Verdict::Allow;
        };
        if !role.allowed.contains(operation) {
            return Verdict::Deny(format!("operation: {operation}"));
        }
        if let Some(refused) = asked.kept.iter().find(|power| !limits.admit(power)) {
            return Verdict::Deny(format!("{}: {refused}", refused.rule()));
        }
        if asked.omitted > 0 {
            return Verdict::Unknown;
        }
        // A record that is older than a limit does not say what it asks for.
        let asks = |key: &LimitKey| asked.kept.iter().any(|power| power.key() == Some(*key));
        let unsaid = |key: &&LimitKey| !limits.is_open(**key) && !asks(key);
        if let Some(always) = asked_always(operation)
            && always.iter().any(|key| unsaid(&key))
        {
            return Verdict::Unknown;
        }
        // Every create asks for an image at least; a record without one was made where nothing was inspected.
        if read::inspected(operation) == Some(Presence::Required)
            && asked.kept.is_empty()
            && matches!(
                operation,
                Operation::ContainerCreate | Operation::ServiceCreate | Operation::ServiceUpdate
            )
        {
            return Verdict::Unknown;
        }
        Verdict::Allow
    }
}
