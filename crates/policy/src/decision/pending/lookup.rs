//! What only the engine can tell: the container behind a name or an exec instance, named volumes and networks.

use super::super::{DenialStatus, EngineAnswer, Lookup, Pending, Stage, Step};
use crate::TARGETED;
use crate::findings::Unresolved;
use crate::limits::LimitKey;
use crate::read::{container, network, volume};
use crate::scope::is_asked;
use docker_api::Operation;
use docker_api::json::{self, Value};

impl<'p> Pending<'p> {
    /// What to ask the engine.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// The engine could not be asked: refused, since the answer could have been anything.
    pub fn lookup_failed(self, why: &str) -> Step<'p> {
        self.refuse(
            "target-check",
            format!("the engine could not be asked: {why}"),
            DenialStatus::BadGateway,
        )
    }

    /// Goes on with the engine's answer.
    pub fn answer(mut self, answer: &EngineAnswer) -> Step<'p> {
        match std::mem::replace(&mut self.stage, Stage::Body) {
            Stage::Body => self.refuse(
                "target-check",
                "no question was asked".into(),
                DenialStatus::BadGateway,
            ),
            Stage::Exec => self.exec_answer(answer),
            Stage::Container => self.container_answer(answer),
            Stage::Names(names) => self.name_answer(names, answer),
        }
    }

    /// Asks about the container that the request means, where the role's limits hold for existing ones too.
    pub(super) fn target_check(mut self) -> Step<'p> {
        let targeted = TARGETED.contains(&self.operation);
        let named = targeted || self.operation.template().starts_with("/containers/{name}");
        let ours = named && self.policy.protected.asks(self.operation);
        let matters = ours || (targeted && self.role.target_check);
        if !matters {
            return self.resolve();
        }
        let name = match self.operation {
            Operation::ImageCommit => self.parameters.get("container"),
            _ => self.classified.name().unwrap_or_default(),
        };
        if !plain(name) {
            let detail = format!("container \"{name}\", expected a name or an id");
            return self.refuse("target-check", detail, DenialStatus::Forbidden);
        }
        let (target, stage) = match self.operation {
            Operation::ExecStart => (format!("/exec/{name}/json"), Stage::Exec),
            _ => (format!("/containers/{name}/json"), Stage::Container),
        };
        self.lookup = Lookup { target };
        self.stage = stage;
        Step::Lookup(Box::new(self))
    }

    fn exec_answer(mut self, answer: &EngineAnswer) -> Step<'p> {
        let found = match self.parsed(answer, "exec instance") {
            Ok(found) => found,
            Err(step) => return step,
        };
        let process = found.get("ProcessConfig");
        if process.and_then(|process| process.get("privileged")) == Some(&Value::Bool(true)) {
            self.findings
                .ask("ProcessConfig.privileged", "true", LimitKey::Privileged);
        }
        if let Some(user) = process.and_then(|process| process.text_at("user")) {
            container::user(user, "ProcessConfig.user".into(), &mut self.findings);
        }
        let Some(container) = found.text_at("ContainerID").filter(|id| plain(id)) else {
            return self.refuse(
                "target-check",
                "the engine named no container for the exec instance".into(),
                DenialStatus::BadGateway,
            );
        };
        self.lookup = Lookup {
            target: format!("/containers/{container}/json"),
        };
        self.stage = Stage::Container;
        match self.judge() {
            Some(step) => step,
            None => Step::Lookup(Box::new(self)),
        }
    }

    fn container_answer(mut self, answer: &EngineAnswer) -> Step<'p> {
        let targeted = TARGETED.contains(&self.operation);
        let found = match self.parsed(answer, "container") {
            Ok(found) => found,
            Err(step) => return step,
        };
        let Some(id) = found.text_at("Id").filter(|id| plain(id)) else {
            return self.refuse(
                "target-check",
                "the engine gave the container no id".into(),
                DenialStatus::BadGateway,
            );
        };
        // By its id: the name may mean another container by then.
        self.target = self.with_id(id);
        let protected = &self.policy.protected;
        self.findings
            .extend(protected.inspected_container(&found, "container", targeted));
        if targeted && self.role.target_check {
            container::target(&found, &mut self.findings);
        }
        let starts = matches!(
            self.operation,
            Operation::ContainerStart | Operation::ContainerRestart
        );
        if starts {
            container::started(&found, &mut self.findings);
        }
        if targeted || starts {
            self.follow_mounts(&found, starts);
        }
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
        let mut names = self.findings.unresolved();
        let path_name = String::from("name");
        for name in &names {
            let (rule, name, field) = match name {
                Unresolved::Volume { name, field } => ("volumes", name, field),
                Unresolved::Network { name, field } => ("host_namespaces", name, field),
                Unresolved::Container { name, field, .. } => ("target-check", name, field),
                Unresolved::Removed { name } | Unresolved::Started { name } => {
                    ("volumes", name, &path_name)
                }
            };
            if !plain(name) {
                let detail = format!("{field}={name}, expected a plain name or id");
                return self.refuse(rule, detail, DenialStatus::Forbidden);
            }
        }
        names.reverse();
        self.next_name(names)
    }

    /// Asks about the last of `names`: one answer at a time is held.
    fn next_name(mut self, names: Vec<Unresolved>) -> Step<'p> {
        let target = match names.last() {
            Some(Unresolved::Volume { name, .. }) => format!("/volumes/{name}"),
            Some(Unresolved::Network { name, .. }) => format!("/networks/{name}"),
            Some(Unresolved::Container { name, .. }) => format!("/containers/{name}/json"),
            Some(Unresolved::Removed { name } | Unresolved::Started { name }) => {
                format!("/volumes/{name}")
            }
            None => return self.permit(),
        };
        self.lookup = Lookup { target };
        self.stage = Stage::Names(names);
        Step::Lookup(Box::new(self))
    }

    fn name_answer(mut self, mut names: Vec<Unresolved>, answer: &EngineAnswer) -> Step<'p> {
        let name = names.pop();
        if answer.status == 404 {
            // A container that is joined by name is looked for again when it is joined, and might be another one then.
            if let Some(Unresolved::Container {
                name, enters: true, ..
            }) = &name
            {
                let detail = format!("No such container: {name}");
                return self.refuse("target-check", detail, DenialStatus::NotFound);
            }
            // What does not exist will be made by the engine, without options, or refused by it.
            if let Some(Unresolved::Network { name, field }) = &name {
                network::named(name, field.as_str(), &mut self.findings);
            }
            return match self.judge() {
                Some(step) => step,
                None => self.next_name(names),
            };
        }
        let found = match self.parsed(answer, "object") {
            Ok(found) => found,
            Err(step) => return step,
        };
        let protected = &self.policy.protected;
        match name {
            Some(Unresolved::Volume { name, field }) => {
                let at = format!("{field}, volume {name}");
                self.volume_answer(&found, &at);
            }
            Some(Unresolved::Network { name, field })
                if found.text_at("Name") == Some("host")
                    || found.text_at("Driver") == Some("host") =>
            {
                network::name("host", format!("{field}={name}"), &mut self.findings);
            }
            Some(Unresolved::Started { .. }) => self.follow_volume(&found),
            Some(Unresolved::Network { name, field }) => {
                let own = found.text_at("Name").unwrap_or(&name);
                network::named(own, format!("{field}={name}"), &mut self.findings);
            }
            Some(Unresolved::Removed { .. }) => {
                self.findings
                    .extend(protected.inspected_volume(&found, "name"));
            }
            Some(Unresolved::Container { field, enters, .. }) => {
                self.findings
                    .extend(protected.inspected_container(&found, &field, enters));
                if enters {
                    self.follow_mounts(&found, false);
                }
            }
            _ => {}
        }
        match self.judge() {
            Some(step) => step,
            None => self.next_name(names),
        }
    }

    fn volume_answer(&mut self, found: &Value<'_>, at: &str) {
        let driver = found.text_at("Driver").unwrap_or_default();
        volume::driver(driver, found.get("Options"), at, &mut self.findings);
        if found.get("ClusterVolume").is_some() {
            self.findings.never("volumes", at, "a cluster volume");
        }
        let protected = &self.policy.protected;
        self.findings.extend(protected.inspected_volume(found, at));
    }

    fn parsed<'a>(&self, answer: &'a EngineAnswer, what: &str) -> Result<Value<'a>, Step<'p>> {
        match answer.status {
            200 => {
                let found = json::parse(&answer.body, answer.body.len())
                    .map_err(|error| self.clone().lookup_failed(&error.to_string()))?;
                self.another(&found, what).map_or(Ok(found), Err)
            }
            404 => {
                let detail = format!(
                    "No such {what}: {}",
                    self.classified
                        .name()
                        .unwrap_or(self.parameters.get("container"))
                );
                Err(self
                    .clone()
                    .refuse("target-check", detail, DenialStatus::NotFound))
            }
            status => Err(self.clone().lookup_failed(&format!("it answered {status}"))),
        }
    }
}

impl<'p> Pending<'p> {
    /// The refusal of an answer about another container or network than the one that was asked for by its full id: it has that id as
    /// its name, and nobody who gives an id means it.
    fn another(&self, found: &Value<'_>, what: &str) -> Option<Step<'p>> {
        let mut path = self.lookup.target.split('/').skip(1);
        let (Some("containers" | "networks"), Some(asked)) = (path.next(), path.next()) else {
            return None;
        };
        let id = found.text_at("Id").unwrap_or_default();
        if is_asked(asked, id) {
            return None;
        }
        let detail = format!("{what} {id} has the id {asked} as its name, expected that id");
        let status = DenialStatus::Forbidden;
        Some(self.clone().refuse("target-check", detail, status))
    }
}

/// A name or id that can be in a path as it is.
fn plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
