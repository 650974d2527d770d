//! The judgement of one call.

use crate::labels::is_own_label;
use std::fmt;

use buildkit::append::map_entry;
use buildkit::solve::Attributes;
use buildkit::{CacheEntry, FrontendSolve, Llb, Solve};
use docker_api::json::{self, Value};
use text::escape;

use super::{Build, joined};
use crate::protected::Protected;

/// Field of the frontend's options in a `SolveRequest`, and in a frontend's own.
const OPTIONS: (u32, u32) = (7, 3);

/// The option that sets the namespace of cache mounts.
const CACHE_NAMESPACE: &str = "build-arg:BUILDKIT_CACHE_MOUNT_NS";

/// The option that says which `# syntax=` was followed already, so that no other one is: its name and a value.
const FOLLOWED: (&str, &str) = ("cmdline", "dockerfile.v0");

/// The option that names a frontend in the place of `# syntax=`.
const SYNTAX: &str = "build-arg:BUILDKIT_SYNTAX";

/// Why a call is refused: the rule, what asks for it, and what would pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The key of `[role.NAME.build]`, or a rule that no key relaxes.
    pub rule: &'static str,
    /// What the call asks for.
    pub detail: String,
    /// What would be allowed; empty if nothing would.
    pub allowed: String,
}

impl Objection {
    /// An objection that nothing relaxes.
    pub fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self {
            rule,
            detail: detail.into(),
            allowed: String::new(),
        }
    }

    pub(super) fn allowing(self, allowed: impl fmt::Display) -> Self {
        Self {
            allowed: allowed.to_string(),
            ..self
        }
    }
}

impl From<buildkit::Unreadable> for Objection {
    fn from(unreadable: buildkit::Unreadable) -> Self {
        Self::new("message", unreadable.to_string())
    }
}

/// Bytes that are appended to the client's message before it goes on.
pub type Appendix = Vec<u8>;

/// What a judgement must know of the client.
pub struct BuildContext<'c> {
    /// The namespace of its cache mounts.
    pub namespace: &'c str,
    /// Whether a session is the client's own.
    pub owns_session: &'c dyn Fn(&str) -> bool,
    /// What every limited role is kept away from.
    pub protected: &'c Protected,
}

impl Build {
    /// Judges a build; what to append to it if it may go on.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn solve(
        &self,
        solve: &Solve<'_>,
        context: &BuildContext<'_>,
    ) -> Result<Appendix, Objection> {
        if solve.reference.is_empty() {
            return Err(Objection::new("message", "SolveRequest.Ref is empty"));
        }
        for session in [solve.session, solve.source_policy_session] {
            self.session(session, context)?;
        }
        if solve.session_exporter {
            let detail = "EnableSessionExporter: exporters that the session names are not seen";
            return Err(Objection::new("outputs", detail));
        }
        if solve.proxy_network {
            return Err(self.entitlement("ProxyNetwork"));
        }
        for entitlement in &solve.entitlements {
            let kind = entitlement.split('=').next().unwrap_or_default();
            if !self.entitlements.iter().any(|allowed| allowed == kind) {
                return Err(self.entitlement(entitlement));
            }
        }
        for exporter in &solve.exporters {
            self.exporter(exporter, context)?;
        }
        if solve.deprecated_cache {
            return Err(Objection::new(
                "cache",
                "deprecated fields of CacheOptions are set",
            ));
        }
        for cache in &solve.cache_exports {
            self.cache(cache, false)?;
        }
        for cache in &solve.cache_imports {
            self.cache(cache, true)?;
        }
        self.frontend(solve.frontend, &solve.attributes, context)?;
        self.definitions(&solve.raw, &solve.inputs, context)?;
        let mut appendix = self.source_policy().to_vec();
        appendix.extend(self.options(OPTIONS.0, context));
        Ok(appendix)
    }

    /// Judges a frontend's Solve within a build; what to append to it if it may go on.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn frontend_solve(
        &self,
        solve: &FrontendSolve<'_>,
        context: &BuildContext<'_>,
    ) -> Result<Appendix, Objection> {
        if !matches!(solve.exporter_attributes, b"" | b"{}" | b"null") {
            let detail = "ExporterAttr: attributes for exporters are not seen";
            return Err(Objection::new("outputs", detail));
        }
        for cache in &solve.cache_imports {
            self.cache(cache, true)?;
        }
        self.frontend(solve.frontend, &solve.attributes, context)?;
        self.definitions(&solve.raw, &solve.inputs, context)?;
        Ok(self.options(OPTIONS.1, context))
    }

    /// The options of the frontend that are the gate's.
    fn options(&self, field: u32, context: &BuildContext<'_>) -> Vec<u8> {
        let mut options = Vec::new();
        if !self.shared_cache_mounts {
            options.extend(map_entry(field, CACHE_NAMESPACE, context.namespace));
        }
        if self.engine_frontend {
            options.extend(map_entry(field, FOLLOWED.0, FOLLOWED.1));
        }
        options
    }

    /// Judges what names a session beside a Solve: the source of a resolve call.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn resolve(&self, asked: &Llb<'_>, context: &BuildContext<'_>) -> Result<(), Objection> {
        self.llb(asked, context)
    }

    pub(super) fn entitlement(&self, asked: &str) -> Objection {
        let detail = format!("the build asks for {}", escape::without_credentials(asked));
        Objection::new("entitlements", detail).allowing(joined(&self.entitlements))
    }

    fn session(&self, session: &str, context: &BuildContext<'_>) -> Result<(), Objection> {
        match session.is_empty() || (context.owns_session)(session) {
            true => Ok(()),
            false => Err(Objection::new(
                "owner",
                "the build names a session that another client has opened",
            )),
        }
    }

    /// The options of a frontend.
    fn frontend(
        &self,
        frontend: &str,
        options: &Attributes<'_>,
        context: &BuildContext<'_>,
    ) -> Result<(), Objection> {
        if !matches!(frontend, "" | "dockerfile.v0" | "gateway.v0") {
            let detail = format!("the frontend {} is unknown", escape::quoted(frontend));
            return Err(Objection::new("message", detail));
        }
        let image =
            frontend == "gateway.v0" || options.get(SYNTAX).is_some_and(|name| !name.is_empty());
        if self.engine_frontend && image {
            let detail = "a frontend that is an image";
            return Err(Objection::new("frontends", detail).allowing("frontends = \"sources\""));
        }
        for (key, value) in options {
            match *key {
                "cgroup-parent" if !value.is_empty() => {
                    return Err(cgroup_parent(value));
                }
                "force-network-mode" if !matches!(*value, "" | "none" | "sandbox" | "default") => {
                    self.host_network()?;
                }
                key if key.strip_prefix("label:").is_some_and(is_own_label) => {
                    let detail = "labels that begin with \"dockgate.\" are the gate's own";
                    return Err(Objection::new("owner", detail));
                }
                "gateway-devel" => {
                    return Err(Objection::new("raw_llb", "the option \"gateway-devel\""));
                }
                "cache-from" => {
                    for name in value.split(',').filter(|_| !value.is_empty()) {
                        let attributes = [("ref", name)].into();
                        let cache = CacheEntry {
                            kind: "registry",
                            attributes,
                        };
                        self.cache(&cache, true)?;
                    }
                }
                "cache-imports" => self.cache_imports(value)?,
                key if names_session(key) => self.session(value, context)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Caches that an option lists as JSON, read as strictly as a body: the engine's reader knows no case.
    fn cache_imports(&self, value: &str) -> Result<(), Objection> {
        let unreadable = || Objection::new("cache", "the option \"cache-imports\" cannot be read");
        let list = json::parse(value.as_bytes(), value.len()).map_err(|_| unreadable())?;
        let Value::Array(entries) = &list else {
            return Err(unreadable());
        };
        for entry in entries {
            let mut cache = CacheEntry::default();
            for (key, value) in entry.members() {
                match (key.as_ref(), value) {
                    ("Type", Value::Text(kind)) => cache.kind = kind,
                    ("Attrs", Value::Object(attributes)) => {
                        for (key, value) in attributes {
                            let value = value.text().ok_or_else(unreadable)?;
                            cache.attributes.insert(key.as_ref(), value);
                        }
                    }
                    ("Attrs", Value::Null) => {}
                    _ => return Err(unreadable()),
                }
            }
            self.cache(&cache, true)?;
        }
        Ok(())
    }

    fn host_network(&self) -> Result<(), Objection> {
        match self
            .entitlements
            .iter()
            .any(|allowed| allowed == "network.host")
        {
            true => Ok(()),
            false => Err(self.entitlement("network.host")),
        }
    }

    fn definitions(
        &self,
        raw: &Llb<'_>,
        inputs: &Llb<'_>,
        context: &BuildContext<'_>,
    ) -> Result<(), Objection> {
        if raw.operations > 0 && !self.raw_llb {
            let detail = "the client sends operations of its own (a Definition)";
            return Err(Objection::new("raw_llb", detail).allowing("raw_llb = true"));
        }
        self.llb(raw, context)?;
        self.llb(inputs, context)
    }

    pub(super) fn llb(&self, llb: &Llb<'_>, context: &BuildContext<'_>) -> Result<(), Objection> {
        if let Some(parent) = llb.cgroup_parents.first() {
            return Err(cgroup_parent(parent));
        }
        if llb.nested {
            let detail = "an operation that solves another definition inside the engine";
            return Err(Objection::new("raw_llb", detail));
        }
        if llb.host_network {
            self.host_network()?;
        }
        let asks = [("security.insecure", llb.insecure), ("device", llb.devices)];
        for (name, asked) in asks {
            if asked && !self.entitlements.iter().any(|allowed| allowed == name) {
                return Err(self.entitlement(name));
            }
        }
        for session in &llb.sessions {
            self.session(session, context)?;
        }
        if !self.shared_cache_mounts {
            let own = format!("{}/", context.namespace);
            if let Some(id) = llb.cache_ids.iter().find(|id| !id.starts_with(&own)) {
                let detail = format!(
                    "the cache mount {} is not in the client's namespace",
                    escape::quoted(id)
                );
                return Err(
                    Objection::new("cache_mounts", detail).allowing("cache_mounts = \"shared\"")
                );
            }
        }
        Ok(())
    }
}

/// Whether an option's value is a session: `local-sessionid:NAME`, and any key like it that is not a free name.
fn names_session(key: &str) -> bool {
    const FREE: &[&str] = &[
        "build-arg:",
        "context:",
        "input-metadata:",
        "label:",
        "vcs:",
    ];
    key.contains("session") && !FREE.iter().any(|prefix| key.starts_with(prefix))
}

fn cgroup_parent(parent: &str) -> Objection {
    Objection::new(
        "cgroup-parent",
        format!("the cgroup parent {}", escape::quoted(parent)),
    )
}
