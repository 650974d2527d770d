//! The steps between the question and the answer: parameters, body, and then what has to be looked up.

mod lookup;
mod protected;
mod scoped;

use crate::findings::Findings;
use crate::grant;
use crate::limits::OF_THE_IMAGE;
use crate::read::parameters::{self, Parameters};
use crate::read::{self, Presence, container, cut, exec};
use crate::upload::Context;
use crate::{BodyLength, ClientRef, Mode, Policy, Request, Role};
use docker_api::Operation;
use docker_api::{json, query};

use super::{DenialStatus, Denied, Lookup, Pending, Permitted, Stage, Step};

impl<'p> Pending<'p> {
    pub(super) fn start(
        policy: &'p Policy,
        role: &'p Role,
        client: ClientRef,
        request: &Request<'_>,
        allowed: bool,
    ) -> Step<'p> {
        let operation = request.classified.judged();
        let Some(limits) = &role.limits else {
            return Step::Permitted(Permitted::new(request.classified.operation));
        };
        let mut pending = Pending {
            policy,
            role,
            client,
            operation,
            classified: request.classified.clone().into_owned(),
            parameters: Parameters::default(),
            findings: Findings::new(operation, limits, &policy.protected, role.mode),
            stage: Stage::Body,
            lookup: Lookup::default(),
            target: None,
            command: None,
            followed: false,
            reported: None,
        };
        if !allowed && let Some(step) = pending.unlisted(request) {
            return step;
        }
        // A form body wins over the query (the engine reads `r.Form`), so what was judged would not be what counts.
        if request.body != BodyLength::Empty && request.content_type.is_some_and(is_form) {
            return pending.refuse(
                "form-body",
                "Content-Type: a form would override the query".into(),
                DenialStatus::Forbidden,
            );
        }
        // Its bytes could reach the engine behind the switch to HTTP/2, where every call is judged.
        if operation == Operation::BuildGrpc
            && role.build.is_some()
            && request.body != BodyLength::Empty
        {
            let detail = "expected no body in front of the switch to HTTP/2".to_owned();
            if let Some(step) = pending.object("body", detail, String::new()) {
                return step;
            }
        }
        pending.findings.shallow =
            operation == Operation::ContainerCreate && before_1_44(request.classified.version());
        if let Some(scope) = &role.scope {
            pending.findings.defaults = scope.default;
        }
        pending.parameters = parameters::read(
            operation,
            request.classified.name(),
            request.classified.query(),
            &mut pending.findings,
        );
        pending.protected_names();
        pending.claimed(None);
        if let Some(name) = request.headers.unlisted(operation) {
            let why = "not one this operation takes";
            pending.findings.never("headers", name, why);
        }
        if let Some(step) = pending.judge() {
            return step;
        }
        pending.expect_body(request)
    }

    /// An operation that the role does not list.
    fn unlisted(&mut self, request: &Request<'_>) -> Option<Step<'p>> {
        let detail = match (self.operation, request.classified.irregular) {
            (Operation::Unknown, Some(why)) => why.to_string(),
            (Operation::Unknown, None) => {
                "the method and path are no operation this gate knows".into()
            }
            (operation, _) => format!("{operation} is not among the role's operations"),
        };
        let line = grant::operation_line(self.operation, self.role);
        self.outside_scope()
            .or_else(|| self.object("operation", detail, line))
    }

    /// Waits for a body that has to be judged, and goes on where there is nothing to wait for.
    fn expect_body(self, request: &Request<'_>) -> Step<'p> {
        match (read::inspected(self.operation), request.body) {
            (Some(_), BodyLength::Exact(length)) if length > self.policy.max_body as u64 => {
                self.too_large()
            }
            (Some(_), BodyLength::Exact(_) | BodyLength::Unknown) => {
                if request
                    .content_encoding
                    .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
                {
                    return self.refuse(
                        "body",
                        "Content-Encoding: expected none on an inspected body".into(),
                        DenialStatus::Forbidden,
                    );
                }
                Step::Body(Box::new(self))
            }
            (Some(_), BodyLength::Empty) => self.body(b""),
            (None, _) => self.target_check(),
        }
    }

    /// Most bytes of the body that may be read; for a longer one call [`Pending::too_large`].
    pub fn max_body(&self) -> usize {
        self.policy.max_body
    }

    /// Goes on with the whole body. Forward the same bytes if it is permitted.
    pub fn body(mut self, bytes: &[u8]) -> Step<'p> {
        if bytes.len() > self.policy.max_body {
            return self.too_large();
        }
        if bytes.is_empty() {
            return match read::inspected(self.operation) {
                Some(Presence::Required) => self.refuse(
                    "body",
                    "the body is empty, expected a JSON object".into(),
                    DenialStatus::Forbidden,
                ),
                _ => self.target_check(),
            };
        }
        match json::parse(bytes, self.policy.max_body) {
            Ok(value) => {
                read::body(self.operation, &value, &mut self.findings);
                self.claimed(Some(&value));
                // The container's own user is not looked at where targets are not.
                if self.operation == Operation::ExecCreate
                    && !self.role.target_check
                    && value.text_at("User").is_none()
                {
                    container::user(OF_THE_IMAGE, "User".into(), &mut self.findings);
                }
                if self.operation == Operation::ExecCreate {
                    self.command = exec::command_line(&value);
                }
            }
            Err(error) => return self.refuse("body", error.to_string(), DenialStatus::Forbidden),
        }
        match self.judge() {
            Some(step) => step,
            None => self.target_check(),
        }
    }

    /// The body is longer than [`Pending::max_body`]: refused, never passed unseen.
    pub fn too_large(self) -> Step<'p> {
        let detail = format!("the body is over {} bytes (max_body)", self.policy.max_body);
        self.refuse("body", detail, DenialStatus::TooLarge)
    }

    /// The first power the limits do not admit decides.
    fn judge(&mut self) -> Option<Step<'p>> {
        let limits = self.role.limits.as_ref()?;
        let refused = self.findings.refused()?;
        let allowed = grant::allowed(limits, refused);
        let grant = grant::line_in(refused, self.role);
        let (rule, detail) = (refused.rule(), refused.to_string());
        let status = if self.findings.is_in_doubt() {
            DenialStatus::BadGateway
        } else {
            DenialStatus::Forbidden
        };
        self.object_with(rule, detail, (allowed, grant), status)
    }

    /// Denies, or in report mode notes that it would and goes on.
    fn object(&mut self, rule: &'static str, detail: String, grant: String) -> Option<Step<'p>> {
        self.object_with(
            rule,
            detail,
            (String::new(), grant),
            DenialStatus::Forbidden,
        )
    }

    fn object_with(
        &mut self,
        rule: &'static str,
        detail: String,
        allowed: (String, String),
        status: DenialStatus,
    ) -> Option<Step<'p>> {
        let denied = self.denial(rule, detail, allowed, status);
        match self.role.mode {
            Mode::Enforce => Some(Step::Denied(denied)),
            Mode::Report => {
                self.reported.get_or_insert(denied);
                None
            }
        }
    }

    /// Denies; in report mode nothing more can be said of the request, and it is let through.
    fn refuse(mut self, rule: &'static str, detail: String, status: DenialStatus) -> Step<'p> {
        let denied = self.denial(rule, detail, Default::default(), status);
        match self.role.mode {
            Mode::Enforce => Step::Denied(denied),
            Mode::Report => {
                // What does not exist is the engine's to say, not a rule's.
                if status != DenialStatus::NotFound {
                    self.reported.get_or_insert(denied);
                }
                self.operation = self.classified.operation;
                self.permit()
            }
        }
    }

    fn denial(
        &self,
        rule: &'static str,
        detail: String,
        (allowed, grant): (String, String),
        status: DenialStatus,
    ) -> Box<Denied> {
        Box::new(Denied {
            client: self.policy.client_name(self.client).to_owned(),
            role: self.role.name.clone(),
            operation: self.operation,
            rule,
            detail: shortened(detail),
            allowed,
            grant,
            status,
            command: self.command.clone(),
            asked: self.findings.asked().clone(),
        })
    }

    fn permit(mut self) -> Step<'p> {
        if self.needs_paths() {
            return Step::Paths(Box::new(self));
        }
        if let Some(denied) = &mut self.reported {
            denied.command.clone_from(&self.command);
            denied.asked.clone_from(self.findings.asked());
            self.operation = self.classified.operation;
        }
        let context = self.context().map(Box::new);
        Step::Permitted(Permitted {
            target: self.target,
            command: self.command,
            asked: self.findings.asked().clone(),
            would_deny: self.reported,
            context,
            ..Permitted::new(self.operation)
        })
    }
}

impl Pending<'_> {
    /// What a classic build's context has to be judged by; BuildKit's is not in the body.
    fn context(&self) -> Option<Context> {
        let classic = matches!(self.parameters.get("version"), "" | "1");
        if self.operation != Operation::ImageBuild || !classic {
            return None;
        }
        Some(Context {
            client: self.policy.client_name(self.client).to_owned(),
            role: self.role.name.clone(),
            limits: self.role.limits.clone()?,
            protected: self.policy.protected.clone(),
            mode: self.role.mode,
            pull: query::boolean(self.parameters.get("pull")),
            dockerfile: self.parameters.get("dockerfile").to_owned(),
            arguments: self.parameters.build_arguments().unwrap_or_default(),
        })
    }
}

/// Whether a body of this type is read as a form.
fn is_form(content_type: &str) -> bool {
    let kind = content_type.to_ascii_lowercase();
    kind.contains("form-urlencoded") || kind.contains("multipart/form")
}

/// A denial's detail for records: what a peer wrote may be as long as a body.
fn shortened(mut detail: String) -> String {
    const LONGEST: usize = 2048;
    if detail.len() > LONGEST {
        detail.truncate(cut(&detail, LONGEST).len());
        detail.push('…');
    }
    detail
}

/// Whether the engine takes the request for one of a client that knows only read-only binds that stop at mount points.
fn before_1_44(version: Option<&str>) -> bool {
    let Some((major, minor)) = version.and_then(|version| version.split_once('.')) else {
        // Without a version the engine's own holds.
        return false;
    };
    match (major.parse::<u32>(), minor.parse::<u32>()) {
        (Ok(major), Ok(minor)) => (major, minor) < (1, 44),
        _ => true,
    }
}
