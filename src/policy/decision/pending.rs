//! The steps between the question and the answer: parameters, body, target, named volumes and networks.

use crate::docker::Operation;
use crate::policy::body::{self, Presence};
use crate::policy::demand::Want;
use crate::policy::json::{self, Value};
use crate::policy::parameters::{self, Parameters};
use crate::policy::reach::{self, Findings, Unresolved};
use crate::policy::{BodyLength, ClientRef, Mode, Policy, Request, Role, TARGETED};

use super::{Answer, Denied, Lookup, Pending, Permitted, Stage, Step};

impl<'p> Pending<'p> {
    pub(super) fn start(
        policy: &'p Policy,
        role: &'p Role,
        client: ClientRef,
        request: &Request<'_>,
        allowed: bool,
    ) -> Step<'p> {
        let operation = request.classified.judged();
        let mut pending = Pending {
            policy,
            role,
            client,
            operation,
            classified: request.classified.clone().into_owned(),
            parameters: Parameters::default(),
            findings: Findings::default(),
            stage: Stage::Body,
            lookups: Vec::new(),
            target: None,
            command: None,
        };
        if !allowed {
            let detail = match (operation, request.classified.irregular) {
                (Operation::Unknown, Some(why)) => why.to_string(),
                (Operation::Unknown, None) => {
                    "the method and path are no operation this gate knows".into()
                }
                (operation, _) => format!("{operation} is not among the role's operations"),
            };
            return pending.refuse("operation", detail, 403);
        }
        // A form body wins over the query (the engine reads `r.Form`), so what was judged would not be what counts.
        let form = request.content_type.is_some_and(|kind| {
            let kind = kind.to_ascii_lowercase();
            kind.contains("form-urlencoded") || kind.contains("multipart/form")
        });
        if request.body != BodyLength::Empty && form {
            return pending.refuse(
                "form-body",
                "Content-Type: a form would override the query".into(),
                403,
            );
        }
        if !role.inspected.contains(operation) {
            return Step::Permitted(Permitted::new(operation));
        }
        pending.parameters = parameters::read(
            operation,
            request.classified.name(),
            request.classified.query(),
            &mut pending.findings,
        );
        if let Some(step) = pending.judge() {
            return step;
        }
        match (body::inspected(operation), request.body) {
            (Some(_), BodyLength::Exact(length)) if length > policy.max_body as u64 => {
                pending.too_large()
            }
            (Some(_), BodyLength::Exact(_) | BodyLength::Unknown) => {
                if request
                    .content_encoding
                    .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
                {
                    return pending.refuse(
                        "body",
                        "Content-Encoding: expected none on an inspected body".into(),
                        403,
                    );
                }
                Step::Body(Box::new(pending))
            }
            (Some(_), BodyLength::Empty) => pending.body(b""),
            (None, _) => pending.target_check(),
        }
    }

    /// Most bytes of the body that may be read; for a longer one call [`Pending::too_large`].
    pub fn max_body(&self) -> usize {
        self.policy.max_body
    }

    /// What to ask the engine, in order.
    pub fn lookups(&self) -> &[Lookup] {
        &self.lookups
    }

    /// Goes on with the whole body. Forward the same bytes if it is permitted.
    pub fn body(mut self, bytes: &[u8]) -> Step<'p> {
        if bytes.len() > self.policy.max_body {
            return self.too_large();
        }
        if bytes.is_empty() {
            return match body::inspected(self.operation) {
                Some(Presence::Required) => self.refuse(
                    "body",
                    "the body is empty, expected a JSON object".into(),
                    403,
                ),
                _ => self.target_check(),
            };
        }
        match json::parse(bytes) {
            Ok(value) => {
                body::read(self.operation, &value, &mut self.findings);
                if self.operation == Operation::ExecCreate {
                    self.command = body::command_line(&value);
                }
            }
            Err(error) => return self.refuse("body", error.to_string(), 403),
        }
        match self.judge() {
            Some(step) => step,
            None => self.target_check(),
        }
    }

    /// The body is longer than [`Pending::max_body`]: refused, never passed unseen.
    pub fn too_large(self) -> Step<'p> {
        let detail = format!("the body is over {} bytes (max_body)", self.policy.max_body);
        self.refuse("body", detail, 413)
    }

    /// The engine could not be asked: refused, since the answer could have been anything.
    pub fn lookup_failed(self, why: &str) -> Step<'p> {
        self.refuse(
            "target-check",
            format!("the engine could not be asked: {why}"),
            502,
        )
    }

    /// Goes on with the engine's answers, one for each lookup, in order.
    pub fn answers(mut self, answers: &[Answer]) -> Step<'p> {
        if answers.len() != self.lookups.len() {
            return self.lookup_failed("an answer is missing");
        }
        match std::mem::replace(&mut self.stage, Stage::Body) {
            Stage::Body => self.refuse("target-check", "no question was asked".into(), 502),
            Stage::Exec => self.exec_answer(&answers[0]),
            Stage::Container => self.container_answer(&answers[0]),
            Stage::Names(names) => self.names_answer(&names, answers),
        }
    }

    fn target_check(mut self) -> Step<'p> {
        if !TARGETED.contains(&self.operation) || !self.role.target_check {
            return self.resolve();
        }
        let name = match self.operation {
            Operation::ImageCommit => self.parameters.get("container"),
            _ => self.classified.name().unwrap_or_default(),
        };
        if !plain(name) {
            let detail = format!("container \"{name}\", expected a name or an id");
            return self.refuse("target-check", detail, 403);
        }
        let (target, stage) = match self.operation {
            Operation::ExecStart => (format!("/exec/{name}/json"), Stage::Exec),
            _ => (format!("/containers/{name}/json"), Stage::Container),
        };
        self.lookups = vec![Lookup { target }];
        self.stage = stage;
        Step::Lookup(Box::new(self))
    }

    fn exec_answer(mut self, answer: &Answer) -> Step<'p> {
        let found = match self.parsed(answer, "exec instance") {
            Ok(found) => found,
            Err(step) => return step,
        };
        let process = found.get("ProcessConfig");
        if process.and_then(|process| process.get("privileged")) == Some(&Value::Bool(true)) {
            self.findings
                .want("ProcessConfig.privileged", "true", Want::Privileged);
        }
        let Some(container) = reach::text(&found, "ContainerID").filter(|id| plain(id)) else {
            return self.refuse(
                "target-check",
                "the engine named no container for the exec instance".into(),
                502,
            );
        };
        self.lookups = vec![Lookup {
            target: format!("/containers/{container}/json"),
        }];
        self.stage = Stage::Container;
        match self.judge() {
            Some(step) => step,
            None => Step::Lookup(Box::new(self)),
        }
    }

    fn container_answer(mut self, answer: &Answer) -> Step<'p> {
        let found = match self.parsed(answer, "container") {
            Ok(found) => found,
            Err(step) => return step,
        };
        let Some(id) = reach::text(&found, "Id").filter(|id| plain(id)) else {
            return self.refuse(
                "target-check",
                "the engine gave the container no id".into(),
                502,
            );
        };
        self.target = self.with_id(id);
        body::target(&found, &mut self.findings);
        match self.judge() {
            Some(step) => step,
            None => self.resolve(),
        }
    }

    /// The client's target with the full id in the container's place.
    fn with_id(&self, id: &str) -> Option<String> {
        let version = self
            .classified
            .version()
            .map(|version| format!("/v{version}"))
            .unwrap_or_default();
        let query = |query: &str| {
            if query.is_empty() {
                String::new()
            } else {
                format!("?{query}")
            }
        };
        match self.operation {
            // An exec id is whole already.
            Operation::ExecStart => None,
            Operation::ImageCommit => Some(format!(
                "{version}/commit{}",
                query(&self.parameters.replaced("container", id))
            )),
            operation => {
                let path = operation.template().replace("{name}", id);
                Some(format!(
                    "{version}{path}{}",
                    query(self.classified.query().unwrap_or_default())
                ))
            }
        }
    }

    /// Asks about named volumes and networks, if there are any.
    fn resolve(mut self) -> Step<'p> {
        let mut names = std::mem::take(&mut self.findings.unresolved);
        names.dedup();
        if names.is_empty() {
            return self.permit();
        }
        const MOST: usize = 64;
        if names.len() > MOST {
            return self.refuse(
                "volumes",
                format!("more than {MOST} volumes and networks by name"),
                403,
            );
        }
        let mut lookups = Vec::with_capacity(names.len());
        for name in &names {
            let (kind, name, field) = match name {
                Unresolved::Volume { name, field } => ("volumes", name, field),
                Unresolved::Network { name, field } => ("networks", name, field),
            };
            if !plain(name) {
                return self.refuse(
                    "no-host-namespaces",
                    format!("{field}={name}, expected a plain name or id"),
                    403,
                );
            }
            lookups.push(Lookup {
                target: format!("/{kind}/{name}"),
            });
        }
        self.lookups = lookups;
        self.stage = Stage::Names(names);
        Step::Lookup(Box::new(self))
    }

    fn names_answer(mut self, names: &[Unresolved], answers: &[Answer]) -> Step<'p> {
        for (name, answer) in names.iter().zip(answers) {
            // What does not exist will be made by the engine, without options, or refused by it.
            if answer.status == 404 {
                continue;
            }
            let found = match self.parsed(answer, "volume or network") {
                Ok(found) => found,
                Err(step) => return step,
            };
            match name {
                Unresolved::Volume { name, field } => {
                    let at = format!("{field}, volume {name}");
                    let driver = reach::text(&found, "Driver").unwrap_or_default();
                    reach::volume_driver(driver, found.get("Options"), &at, &mut self.findings);
                    if found.get("ClusterVolume").is_some() {
                        self.findings.never("volumes", at, "a cluster volume");
                    }
                }
                Unresolved::Network { name, field } => {
                    if reach::text(&found, "Name") == Some("host")
                        || reach::text(&found, "Driver") == Some("host")
                    {
                        reach::network("host", format!("{field}={name}"), &mut self.findings);
                    }
                }
            }
        }
        match self.judge() {
            Some(step) => step,
            None => self.permit(),
        }
    }

    fn parsed<'a>(&self, answer: &'a Answer, what: &str) -> Result<Value<'a>, Step<'p>> {
        match answer.status {
            200 => json::parse(&answer.body)
                .map_err(|error| self.clone().lookup_failed(&error.to_string())),
            404 => {
                let detail = format!(
                    "No such {what}: {}",
                    self.classified
                        .name()
                        .unwrap_or(self.parameters.get("container"))
                );
                Err(self.clone().refuse("target-check", detail, 404))
            }
            status => Err(self.clone().lookup_failed(&format!("it answered {status}"))),
        }
    }

    /// The first demand the limits do not admit decides.
    fn judge(&mut self) -> Option<Step<'p>> {
        let limits = self.role.limits.as_ref()?;
        let refused = self
            .findings
            .demands
            .iter()
            .find(|demand| !limits.admit(demand))?;
        let mut allowed = limits.allowed(refused);
        if allowed.is_empty() && !matches!(refused.want, Want::Never(_)) {
            allowed = "none".into();
        }
        let (rule, detail) = (refused.rule(), refused.to_string());
        Some(self.clone().deny(rule, detail, allowed, 403))
    }

    fn refuse(self, rule: &'static str, detail: String, status: u16) -> Step<'p> {
        self.deny(rule, detail, String::new(), status)
    }

    fn deny(self, rule: &'static str, detail: String, allowed: String, status: u16) -> Step<'p> {
        let denied = Box::new(Denied {
            client: self.policy.client_name(self.client).to_owned(),
            role: self.role.name.clone(),
            operation: self.operation,
            rule,
            detail,
            allowed,
            status,
            command: self.command.clone(),
            demands: self.findings.demands.clone(),
        });
        match self.role.mode {
            Mode::Enforce => Step::Denied(denied),
            Mode::Report => {
                let mut permitted = self.permitted();
                permitted.operation = self.classified.operation;
                // What does not exist is the engine's to say, not a rule's.
                permitted.would_deny = Some(denied).filter(|denied| denied.status != 404);
                Step::Permitted(permitted)
            }
        }
    }

    fn permit(self) -> Step<'p> {
        Step::Permitted(self.permitted())
    }

    fn permitted(&self) -> Permitted {
        Permitted {
            target: self.target.clone(),
            command: self.command.clone(),
            demands: self.findings.demands.clone(),
            ..Permitted::new(self.operation)
        }
    }
}

/// A name or id that can stand in a path as it is.
fn plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
