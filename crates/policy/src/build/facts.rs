//! What a call asks for, as keys of `[role.NAME.build]` and values: for records, `policy explain`, `learn` and `diff`.

use buildkit::{CacheEntry, Call, Exporter, FrontendSolve, Llb, Solve};

use super::{Build, LOCAL_IMPORT, named};

/// Facts that one call has at most.
const MOST_FACTS: usize = 64;

/// Longest value. A value that is cut would be another one, so a longer one is only counted.
const LONGEST: usize = 512;

/// What comes in front of a key of the table where facts of limits may be beside it.
const PREFIX: &str = "build.";

/// What a call asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFacts {
    /// Keys and values, in the order of the message and each pair once.
    pub kept: Vec<(String, String)>,
    /// How many more there are.
    pub omitted: usize,
}

impl BuildFacts {
    /// Adds one.
    pub fn add(&mut self, key: &str, value: &str) {
        let value = text::escape::without_credentials(value);
        let fact = (format!("{PREFIX}{key}"), value.into_owned());
        if self.kept.contains(&fact) {
            return;
        }
        match self.kept.len() < MOST_FACTS && fact.1.len() <= LONGEST {
            true => self.kept.push(fact),
            false => self.omitted += 1,
        }
    }

    /// Adds what another list has.
    pub fn join(&mut self, other: BuildFacts) {
        self.omitted += other.omitted;
        for fact in other.kept {
            if self.kept.len() >= MOST_FACTS {
                self.omitted += 1;
            } else if !self.kept.contains(&fact) {
                self.kept.push(fact);
            }
        }
    }

    /// What a call asks for by being made.
    #[must_use]
    pub fn call(call: Call) -> Self {
        let mut facts = Self::default();
        match call {
            Call::Prune => facts.add("prune", "true"),
            Call::DiskUsage => facts.add("usage", "true"),
            call if call.debugs() => facts.add("debug", "true"),
            _ => {}
        }
        facts
    }

    /// What a build asks for.
    #[must_use]
    pub fn solve(solve: &Solve<'_>) -> Self {
        let mut facts = Self::default();
        for entitlement in &solve.entitlements {
            facts.add("entitlements", entitlement);
        }
        for exporter in &solve.exporters {
            facts.exporter(exporter);
        }
        for cache in &solve.cache_exports {
            facts.cache(cache, false);
        }
        for cache in &solve.cache_imports {
            facts.cache(cache, true);
        }
        facts.llb(&solve.inputs);
        facts.raw(&solve.raw);
        facts
    }

    /// What a frontend asks for within a build.
    #[must_use]
    pub fn frontend(solve: &FrontendSolve<'_>) -> Self {
        let mut facts = Self::default();
        for cache in &solve.cache_imports {
            facts.cache(cache, true);
        }
        facts.llb(&solve.inputs);
        facts.raw(&solve.raw);
        facts
    }

    /// The sources that a definition names.
    #[must_use]
    pub fn sources(llb: &Llb<'_>) -> Self {
        let mut facts = Self::default();
        facts.llb(llb);
        facts
    }

    fn exporter(&mut self, exporter: &Exporter<'_>) {
        self.add("outputs", super::output(exporter.kind));
        let attribute = |key: &str| exporter.attributes.get(key).copied().unwrap_or_default();
        for name in attribute("name").split(',').filter(|name| !name.is_empty()) {
            self.add("tags", name);
            if super::truthy(attribute("push")) {
                self.add("push", name);
            }
        }
    }

    fn cache(&mut self, cache: &CacheEntry<'_>, is_import: bool) {
        let value = match cache.kind {
            "local" if is_import => LOCAL_IMPORT,
            kind => cache.attributes.get("ref").unwrap_or(&kind),
        };
        self.add("cache", value);
    }

    fn raw(&mut self, llb: &Llb<'_>) {
        if llb.operations > 0 {
            self.add("raw_llb", "true");
        }
        self.llb(llb);
    }

    fn llb(&mut self, llb: &Llb<'_>) {
        for source in &llb.sources {
            self.add("sources", source);
        }
        let asks = [
            ("network.host", llb.host_network),
            ("security.insecure", llb.insecure),
            ("device", llb.devices),
        ];
        for (name, _) in asks.iter().filter(|(_, asked)| *asked) {
            self.add("entitlements", name);
        }
    }
}

/// The key of the table that a fact is about; `None` if it is a fact of the limits.
#[must_use]
pub fn build_key(fact: &str) -> Option<&str> {
    fact.strip_prefix(PREFIX)
}

impl Build {
    /// Whether the table lets a fact pass.
    #[must_use]
    pub fn admits(&self, fact: &(String, String)) -> bool {
        let (key, value) = (build_key(&fact.0), &*fact.1);
        let among = |list: &[String]| {
            let kind = value.split('=').next().unwrap_or_default();
            list.iter().any(|allowed| allowed == kind)
        };
        match key {
            Some("sources") => self.lists(value),
            Some("entitlements") => among(&self.entitlements),
            Some("outputs") => among(&self.outputs),
            Some("tags") => named(&self.tags, value),
            Some("push") => named(&self.push, value),
            Some("cache") => match value {
                "inline" => self.cache_inline,
                "local" => self.cache_local,
                LOCAL_IMPORT => self.cache_local_import,
                name => named(&self.cache, name),
            },
            Some("raw_llb") => self.raw_llb,
            Some("debug") => self.debug,
            Some("usage") => self.usage,
            Some("prune") => self.prune,
            Some("history") => self.all_history,
            _ => false,
        }
    }

    /// What to write into the table for a fact, if anything there lets it pass: an image by its name, whatever the tag, and
    /// a repository by the URL it is usually fetched from.
    #[must_use]
    pub fn general(fact: &(String, String)) -> Option<String> {
        use docker_api::image::ImageName;
        let image = |text: &str| match ImageName::parse(text) {
            Some(ImageName::Named(reference)) => Some(reference.name),
            _ => None,
        };
        let value = &*fact.1;
        match build_key(&fact.0)? {
            "sources" => {
                let (scheme, rest) = value.split_once("://")?;
                match scheme {
                    "docker-image" => image(rest),
                    "git" | "http" | "https" | "ssh" => {
                        let scheme = if scheme == "git" { "https" } else { scheme };
                        let path = rest.split(['#', '?']).next().unwrap_or_default();
                        let path = path.strip_suffix(".git").unwrap_or(path);
                        Some(format!("{scheme}://{path}"))
                    }
                    _ => None,
                }
            }
            "tags" | "push" => image(value),
            "cache" if !matches!(value, "inline" | "local" | LOCAL_IMPORT) => image(value),
            "entitlements" => value.split('=').next().map(str::to_owned),
            _ => Some(value.to_owned()),
        }
    }
}
