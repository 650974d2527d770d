//! `[role.NAME.build]`

use docker_api::image::ImagePattern;
use toml::de::DeTable;

use super::nearest;
use super::{Node, PolicyReader};
use crate::build::{Build, ENTITLEMENTS, LOCAL_IMPORT, OUTPUTS, SourcePattern};
use crate::limits::Limits;

const KEYS: &[&str] = &[
    "cache",
    "cache_mounts",
    "classic",
    "debug",
    "entitlements",
    "frontends",
    "history",
    "outputs",
    "prune",
    "push",
    "raw_llb",
    "sources",
    "tags",
    "usage",
];

impl PolicyReader<'_> {
    /// Reads the table; what it leaves out comes from the role's limits.
    pub(super) fn build(&mut self, node: &Node<'_>, limits: &Limits) -> Option<Build> {
        let table = self.table(node, "build")?;
        self.known(table, KEYS, "build");
        let mut build = Build::new(&limits.images, limits.tags.as_deref().unwrap_or_default());
        if table.contains_key("sources") {
            build.sources = self.parsed(table, "sources", SourcePattern::parse);
        }
        if table.contains_key("entitlements") {
            build.entitlements = self.words(table, "entitlements", ENTITLEMENTS);
        }
        if table.contains_key("outputs") {
            build.outputs = self.words(table, "outputs", OUTPUTS);
        }
        if table.contains_key("tags") {
            build.tags = self.parsed(table, "tags", ImagePattern::parse);
        }
        build.push = self.parsed(table, "push", ImagePattern::parse);
        if table.contains_key("cache") {
            self.caches(table, &mut build);
        }
        build.shared_cache_mounts = self.chosen(table, "cache_mounts", ["own", "shared"]);
        build.all_history = self.chosen(table, "history", ["own", "all"]);
        build.engine_frontend = self.chosen(table, "frontends", ["sources", "engine"]);
        build.debug = self.switched_on(table, "debug");
        build.raw_llb = self.switched_on(table, "raw_llb");
        build.usage = self.switched_on(table, "usage");
        build.prune = self.switched_on(table, "prune");
        if let Some(node) = table.get("classic") {
            build.classic = self.boolean(node, "classic").unwrap_or(false);
        }
        Some(build.sealed())
    }

    fn parsed<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut list = Vec::new();
        for (at, text) in self.listed(table, key) {
            match read(&text) {
                Ok(item) => list.push(item),
                Err(expected) => {
                    self.fault(at, format!("{key}: {expected}, found \"{text}\""), None);
                }
            }
        }
        list
    }

    fn words(&mut self, table: &DeTable<'_>, key: &str, among: &[&str]) -> Vec<String> {
        let mut list = Vec::new();
        for (at, text) in self.listed(table, key) {
            if among.contains(&text.as_str()) {
                list.push(text);
                continue;
            }
            let near = nearest(&text, among.iter().copied());
            let expected = format!(
                "{key}: expected one of {}, found \"{text}\"",
                among.join(", ")
            );
            self.fault(at, expected, near);
        }
        list
    }

    fn caches(&mut self, table: &DeTable<'_>, build: &mut Build) {
        (build.cache_inline, build.cache_local) = (false, false);
        build.cache_local_import = false;
        build.cache = Vec::new();
        for (at, text) in self.listed(table, "cache") {
            match text.as_str() {
                "inline" => build.cache_inline = true,
                "local" => build.cache_local = true,
                LOCAL_IMPORT => build.cache_local_import = true,
                name => match ImagePattern::parse(name) {
                    Ok(pattern) => build.cache.push(pattern),
                    Err(expected) => {
                        let message = format!(
                            "cache: expected \"inline\", \"local\", \"{LOCAL_IMPORT}\" or a name in a registry ({expected}), found \"{text}\""
                        );
                        self.fault(at, message, None);
                    }
                },
            }
        }
    }

    /// Whether the second of two words is chosen; the first one is the default.
    fn chosen(&mut self, table: &DeTable<'_>, key: &str, words: [&str; 2]) -> bool {
        let Some(node) = table.get(key) else {
            return false;
        };
        match self.text(node, key) {
            Some(text) if text == words[1] => true,
            Some(text) if text == words[0] => false,
            Some(_) => {
                let expected = format!("\"{}\" or \"{}\"", words[0], words[1]);
                self.wrong(node, key, &expected).unwrap_or(false)
            }
            None => false,
        }
    }

    fn switched_on(&mut self, table: &DeTable<'_>, key: &str) -> bool {
        let node = table.get(key);
        node.and_then(|node| self.boolean(node, key))
            .unwrap_or(false)
    }
}
