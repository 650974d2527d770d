//! Where a build's results and caches go, and where caches come from.

use buildkit::{CacheEntry, Exporter};
use docker_api::Operation;
use text::escape;

use super::judge::{BuildContext, Objection};
use super::{Build, LOCAL_IMPORT, joined, named, output, truthy};
use crate::limits::LimitKey;
use crate::power::Power;

/// What the engine itself calls images without a name.
const DANGLING: &str = "moby-dangling";

/// Attributes of an image exporter that say how an image is packed, and nothing about where it goes.
const PACKING: &[&str] = &[
    "attestation-inline",
    "attestation-prefix",
    "buildinfo",
    "buildinfo-attrs",
    "compression",
    "compression-level",
    "dangling-name-prefix",
    "force-compression",
    "load",
    "name",
    "name-canonical",
    "oci-mediatypes",
    "oci-artifact",
    "prefer-nondist-layers",
    "push",
    "push-by-digest",
    "rewrite-timestamp",
    "source-date-epoch",
    "store",
    "unpack",
];

/// Attributes of a cache in a registry.
const REGISTRY_CACHE: &[&str] = &[
    "compression",
    "compression-level",
    "digest",
    "force-compression",
    "ignore-error",
    "image-manifest",
    "mode",
    "oci-mediatypes",
    "ref",
    "tag",
];

impl Build {
    pub(super) fn exporter(
        &self,
        exporter: &Exporter<'_>,
        context: &BuildContext<'_>,
    ) -> Result<(), Objection> {
        let kind = output(exporter.kind);
        if !self.outputs.iter().any(|allowed| allowed == kind) {
            let detail = format!("the exporter {}", escape::quoted(exporter.kind));
            return Err(Objection::new("outputs", detail).allowing(joined(&self.outputs)));
        }
        if kind != "image" {
            return Ok(());
        }
        let known = |key: &str| PACKING.contains(&key) || key.starts_with("annotation");
        if let Some(key) = exporter.attributes.keys().find(|key| !known(key)) {
            let detail = format!(
                "the attribute {} of the exporter {}",
                escape::quoted(key),
                escape::quoted(exporter.kind)
            );
            return Err(Objection::new("outputs", detail));
        }
        let attribute = |key: &str| exporter.attributes.get(key).copied().unwrap_or_default();
        let push = truthy(attribute("push"));
        let names = attribute("name");
        for name in names.split(',').filter(|_| !names.is_empty()) {
            self.name(name, push, context)?;
        }
        let dangling = exporter.attributes.get("dangling-name-prefix");
        if push {
            if names.is_empty() {
                return Err(Objection::new("push", "push without a name"));
            }
            if dangling.is_some() {
                return Err(Objection::new("push", "dangling-name-prefix with push"));
            }
        }
        match dangling {
            // Without a name an image is called `PREFIX@sha256:…`.
            Some(prefix) if *prefix != DANGLING => self.name(prefix, false, context),
            _ => Ok(()),
        }
    }

    /// One name that an image gets.
    fn name(&self, name: &str, push: bool, context: &BuildContext<'_>) -> Result<(), Objection> {
        if !named(&self.tags, name) {
            let detail = format!("the image name {}", escape::quoted(name));
            return Err(Objection::new("tags", detail).allowing(joined(&self.tags)));
        }
        if push && !named(&self.push, name) {
            let detail = format!("pushing {}", escape::quoted(name));
            return Err(Objection::new("push", detail).allowing(joined(&self.push)));
        }
        let power = Power::new("name", name, LimitKey::Tags);
        let objection = context
            .protected
            .doubt(&power)
            .or_else(|| context.protected.objection(Operation::ImageTag, &power));
        match objection {
            Some(why) => Err(Objection::new(
                "protected",
                format!("{} {why}", escape::quoted(name)),
            )),
            None => Ok(()),
        }
    }

    /// Judges a cache. What an import gives goes into the layer cache that all clients share, and a directory of the client's gives
    /// what the client likes.
    pub(super) fn cache(&self, cache: &CacheEntry<'_>, is_import: bool) -> Result<(), Objection> {
        let allowed = || {
            let mut list: Vec<String> = self.cache.iter().map(ToString::to_string).collect();
            list.extend(self.cache_inline.then(|| "inline".to_owned()));
            list.extend(self.cache_local.then(|| "local".to_owned()));
            list.extend(self.cache_local_import.then(|| LOCAL_IMPORT.to_owned()));
            joined(&list)
        };
        let refused = |detail: String| Err(Objection::new("cache", detail).allowing(allowed()));
        match cache.kind {
            "inline" if self.cache_inline => Ok(()),
            "local" if is_import && self.cache_local_import => Ok(()),
            "local" if is_import => refused("the import of a cache of type \"local\"".to_owned()),
            "local" if self.cache_local => Ok(()),
            "registry" => {
                let name = cache.attributes.get("ref").copied().unwrap_or_default();
                let known = |key: &&str| REGISTRY_CACHE.contains(key);
                if let Some(key) = cache.attributes.keys().find(|key| !known(key)) {
                    return refused(format!(
                        "the attribute {} of a cache in a registry",
                        escape::quoted(key)
                    ));
                }
                match named(&self.cache, name) {
                    true => Ok(()),
                    false => refused(format!("the cache {}", escape::quoted(name))),
                }
            }
            kind => refused(format!("a cache of type {}", escape::quoted(kind))),
        }
    }
}
