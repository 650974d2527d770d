//! What a role's limits would have to say for a power to pass; denials and `policy learn` say it.

use text::escape;

use crate::amounts::Resource;
use crate::limits::{self, LimitKey, OF_THE_IMAGE, UNLIMITED};
use crate::power::Power;
use crate::read::ports::{PROTOCOLS, PUBLISH_ALL};
use crate::{ImageName, Limits, Policy, Role, TAGGING, risk};
use docker_api::Operation;

/// Longest value that a line is written for.
const LONGEST: usize = 512;

/// What a line says that nobody should add without a thought.
const ROOT: &str = " (leads to root on the host)";

/// A value of a limit that lets a power pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitGrant {
    /// The limit.
    pub key: LimitKey,
    /// The value, without quotes: an image by its name, whatever the tag; everything else as it was asked for.
    pub text: String,
}

impl LimitGrant {
    /// The least that lets a power pass, if anything in the limits does. The policy's own reader and judge decide on it.
    #[must_use]
    pub fn of(power: &Power) -> Option<LimitGrant> {
        Self::with_role(power).map(|(grant, _)| grant)
    }

    /// The same with a role that has this limit alone.
    fn with_role(power: &Power) -> Option<(LimitGrant, Role)> {
        let (name, value) = power.fact()?;
        let key = LimitKey::from_name(name)?;
        if value.len() > LONGEST || !power.is_public() {
            return None;
        }
        let text = match (key, ImageName::parse(&value)) {
            (
                LimitKey::Images | LimitKey::Tags,
                Some(ImageName::Named(reference) | ImageName::AllTags(reference)),
            ) => reference.name,
            (LimitKey::Images | LimitKey::Tags, _) => "**".to_owned(),
            (LimitKey::Users, _) if value == OF_THE_IMAGE => "*".to_owned(),
            (LimitKey::Names, _) if value.is_empty() => "*".to_owned(),
            _ => value,
        };
        let grant = LimitGrant { key, text };
        let role = grant.role()?;
        let limits = role.limits.as_ref()?;
        power.is_within(limits).then_some((grant, role))
    }

    /// The limits of a role that has this one alone, if the value can be read.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        self.role()?.limits
    }

    fn role(&self) -> Option<Role> {
        let text = format!(
            "version = 1\nclient = [{{ match = {{ any = true }}, role = \"r\" }}]\n[role.r.limits]\n{} = {}",
            self.key.name(),
            self.value()
        );
        Policy::parse("", &text).ok()?.roles.pop()
    }

    /// The value as the file has it.
    #[must_use]
    pub fn value(&self) -> String {
        match self.key {
            key if key.is_flag() => self.text.clone(),
            key if key.is_bound() => escape::toml(&self.text),
            _ => format!("[{}]", escape::toml(&self.text)),
        }
    }

    /// Whether it lets everything pass.
    fn is_everything(&self) -> bool {
        ["*", "**", UNLIMITED].contains(&self.text.as_str())
    }
}

/// The line that would let a power pass in a role, with what comes with it in one request; empty if none would, or only
/// one that lets everything pass.
#[must_use]
pub(crate) fn line(power: &Power, role: &str) -> String {
    if power.key() == Some(LimitKey::Ports) && power.field.ends_with(PUBLISH_ALL) {
        let ports: Vec<_> = PROTOCOLS.iter().map(|p| format!("\"*:*/{p}\"")).collect();
        return format!("limits.ports = [{}] in role {role}", ports.join(", "));
    }
    let Some((grant, alone)) = LimitGrant::with_role(power) else {
        return String::new();
    };
    if grant.is_everything() {
        return String::new();
    }
    let (name, value) = (grant.key.name(), grant.value());
    let warning = match risk::limit_leads_to_root(grant.key, &alone) {
        true => ROOT,
        false => "",
    };
    format!("limits.{name} = {value} in role {role}{warning}")
}

/// The line that would let an operation pass in a role; empty if none would, or the role says itself that it may not.
#[must_use]
pub(crate) fn operation_line(operation: Operation, role: &Role) -> String {
    let built_in = role.line == 0;
    // The toggles of the environment have no file that a line could go into.
    let no_file = built_in && role.toggled;
    if operation == Operation::Unknown || role.denied.contains(operation) || no_file {
        return String::new();
    }
    let name = if built_in { "NAME" } else { &role.name };
    let tags = role.limits.as_ref().is_some_and(|it| it.tags.is_none());
    let line = match operation {
        // `allow` does not open a tunnel: what is inside is judged, or granted unseen by a key of its own.
        Operation::BuildSession | Operation::BuildGrpc => format!("[role.{name}.build]"),
        Operation::ImageBuild if role.build.is_some() => "build.classic = true".to_owned(),
        _ if tags && TAGGING.contains(&operation) => {
            format!("allow = [\"{operation}\"] and limits.tags")
        }
        _ => format!("allow = [\"{operation}\"]"),
    };
    match (built_in, line.starts_with('[')) {
        (true, _) => format!("a role of its own with base = \"{}\" and {line}", role.base),
        (false, true) => line,
        (false, false) => format!("{line} in role {name}"),
    }
}

/// The line that would let a power pass in a role: of its limits, or of what it gives to a container that asks for nothing.
#[must_use]
pub fn line_in(power: &Power, role: &Role) -> String {
    match line(power, &role.name) {
        nothing if nothing.is_empty() => default_line(power, role).unwrap_or_default(),
        line => line,
    }
}

/// The default for a create that names no amount of what the role bounds. Roles with a scope alone have defaults.
fn default_line(power: &Power, role: &Role) -> Option<String> {
    let (scope, limits) = (role.scope.as_ref()?, role.limits.as_ref()?);
    let key = power.key()?;
    let (resource, most) = match key {
        LimitKey::Memory => (Resource::Memory, limits.memory.most()?),
        LimitKey::Cpus => (Resource::Cpus, limits.cpus.most()?),
        LimitKey::Pids => (Resource::Pids, limits.pids.most()?),
        _ => return None,
    };
    if power.value != UNLIMITED || power.field != format!("HostConfig.{}", resource.field()) {
        return None;
    }
    let most = scope
        .budget
        .granted
        .get(resource)
        .map_or(most, |of_all| of_all.min(most));
    let value = match resource {
        Resource::Memory => escape::toml(&limits::bytes(most)),
        Resource::Cpus => limits::cpus(most),
        Resource::Pids => most.to_string(),
    };
    Some(format!(
        "default.{} = {value} in role {}",
        key.name(),
        role.name
    ))
}

/// What would pass in place of a refused power, for a denial; empty where the limit is only on or off.
pub(crate) fn allowed(limits: &Limits, refused: &Power) -> String {
    match refused.key() {
        Some(key) if !key.is_flag() => match refused.allowed_by(limits) {
            nothing if nothing.is_empty() => "none".into(),
            allowed => allowed,
        },
        _ => String::new(),
    }
}
