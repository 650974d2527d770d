//! A decision, step by step.

mod pending;

use std::fmt;

use buildkit::Call;
use docker_api::{Classified, Operation};

use super::build::{BuildFacts, build_key};
use super::denial::{DenialStatus, Denied, NO_CLIENT};
use super::findings::{Findings, Powers, Unresolved};
use super::limits::LimitKey;
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
        if let Some(refused) = asked.kept.iter().find(|power| !power.is_within(limits)) {
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
