//! `[role.NAME.build]`: what a role's BuildKit builds may ask for, call by call.
//!
//! What a build fetches is not judged here: the engine itself enforces it, by a source policy that is appended to each
//! build (`sources`). Everything else a Solve asks for is: exporters, names, caches, entitlements, sessions, and the
//! definitions that come along. All of it are allow-lists, so that a forgotten key denies.

mod debug;
mod described;
mod exports;
mod facts;
mod judge;
mod sources;

use std::fmt;

use buildkit::Call;
use buildkit::append::source_policy;
use docker_api::image::{ImageName, ImagePattern};

pub use described::DescribedCall;
pub use facts::{BuildFacts, build_key};
pub use judge::{Appendix, BuildContext, Objection};
pub use sources::SourcePattern;

/// What `cache` says of an import from a directory of the client's.
pub(crate) const LOCAL_IMPORT: &str = "local-import";

/// The kinds of results a role may ask for, as the file names them.
pub const OUTPUTS: &[&str] = &["image", "local", "tar", "oci", "docker"];

/// What a build may ask for beyond the sandbox.
pub const ENTITLEMENTS: &[&str] = &["network.host", "security.insecure", "device"];

/// The rules that a refused call can name.
pub const BUILD_RULES: &[&str] = &[
    "cache",
    "cache_mounts",
    "call",
    "debug",
    "entitlements",
    "frontends",
    "history",
    "message",
    "outputs",
    "owner",
    "prune",
    "push",
    "raw_llb",
    "sources",
    "usage",
];

/// `[role.NAME.build]`, with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// What a build may fetch.
    pub sources: Vec<SourcePattern>,
    /// What it may ask for beyond the sandbox.
    pub entitlements: Vec<String>,
    /// Kinds of results.
    pub outputs: Vec<String>,
    /// Names that images may get.
    pub tags: Vec<ImagePattern>,
    /// Names that may be pushed.
    pub push: Vec<ImagePattern>,
    /// Whether the cache may be written into the image.
    pub cache_inline: bool,
    /// Whether the cache may be written to a directory of the client's.
    pub cache_local: bool,
    /// Whether a cache may be taken from such a directory.
    pub cache_local_import: bool,
    /// Names of caches in registries.
    pub cache: Vec<ImagePattern>,
    /// Whether cache mounts are shared with other clients.
    pub shared_cache_mounts: bool,
    /// Whether the client may send operations of its own in place of a Dockerfile.
    pub raw_llb: bool,
    /// Whether only the engine's own reader of Dockerfiles is used, whatever `# syntax=` says.
    pub engine_frontend: bool,
    /// Whether the client may run programs in the steps of its builds.
    pub debug: bool,
    /// Whether the history of other clients may be read.
    pub all_history: bool,
    /// Whether the disk usage of all builds may be read.
    pub usage: bool,
    /// Whether the cache of all clients may be pruned.
    pub prune: bool,
    /// Whether the classic builder, which knows no source policy, may be used too where the role has `image.build`.
    pub classic: bool,
    policy: Vec<u8>,
}

impl Build {
    /// A role's builds when the file says nothing more: images of `images`, names of `tags`.
    #[must_use]
    pub fn new(images: &[ImagePattern], tags: &[ImagePattern]) -> Self {
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let sources = images.iter().cloned().map(SourcePattern::Image).collect();
        let build = Self {
            sources,
            entitlements: Vec::new(),
            outputs: texts(OUTPUTS),
            tags: tags.to_vec(),
            push: Vec::new(),
            cache_inline: true,
            cache_local: true,
            cache_local_import: false,
            cache: Vec::new(),
            shared_cache_mounts: false,
            raw_llb: false,
            engine_frontend: false,
            debug: false,
            all_history: false,
            usage: false,
            prune: false,
            classic: true,
            policy: Vec::new(),
        };
        build.sealed()
    }

    /// The same with the source policy made from its sources.
    #[must_use]
    pub(crate) fn sealed(mut self) -> Self {
        self.policy = source_policy(&sources::rules(&self.sources));
        self
    }

    /// The bytes that are appended to each `SolveRequest`.
    #[must_use]
    pub fn source_policy(&self) -> &[u8] {
        &self.policy
    }

    /// Judges a call by its name.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn call(&self, call: Call) -> Result<(), Objection> {
        let (granted, key, why) = match call {
            Call::DiskUsage => (self.usage, "usage", "concerns the builds of all clients"),
            Call::Prune => (self.prune, "prune", "concerns the builds of all clients"),
            call if call.debugs() => (self.debug, "debug", "is for debugging a build"),
            _ => return Ok(()),
        };
        match granted {
            true => Ok(()),
            false => Err(Objection {
                rule: key,
                detail: format!("{} {why}", call.path()),
                allowed: format!("{key} = true"),
            }),
        }
    }

    /// The objection to a source that is not listed.
    #[must_use]
    pub fn unlisted(&self, source: &str) -> Objection {
        Objection {
            rule: "sources",
            detail: format!("the source \"{source}\""),
            allowed: joined(&self.sources),
        }
    }

    /// An entry of `tags` or `push` and one of `sources` that allow the same image: the role can make an image and then
    /// name it in `# syntax=`.
    #[must_use]
    pub fn frontend_of_its_own(&self) -> Option<(&ImagePattern, &ImagePattern)> {
        let sources = self.sources.iter().filter_map(|source| match source {
            SourcePattern::Image(image) => Some(image),
            SourcePattern::Url(_) => None,
        });
        let names = || self.tags.iter().chain(&self.push);
        let mut pairs = sources.flat_map(|source| names().map(move |name| (name, source)));
        pairs.find(|(name, source)| !self.engine_frontend && name.overlaps(source))
    }

    /// Whether the file lists a source as the sources' own identifiers do; the engine decides, this only tells.
    #[must_use]
    pub fn lists(&self, identifier: &str) -> bool {
        sources::lists(&self.sources, identifier)
    }
}

/// The name that the file has for the kind of an exporter.
fn output(kind: &str) -> &str {
    match kind {
        "moby" | "image" => "image",
        other => other,
    }
}

/// Whether Go's `strconv.ParseBool` may read it as true; an attribute that is missing is false.
fn truthy(value: &str) -> bool {
    !matches!(value, "" | "0" | "f" | "F" | "false" | "FALSE" | "False")
}

fn joined<T: fmt::Display>(list: &[T]) -> String {
    match list {
        [] => "nothing".to_owned(),
        list => {
            let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
            texts.join(", ")
        }
    }
}

/// Whether a name in an image's reference form is allowed.
fn named(patterns: &[ImagePattern], name: &str) -> bool {
    match ImageName::parse(name) {
        Some(image @ ImageName::Named(_)) => patterns.iter().any(|pattern| pattern.admits(&image)),
        Some(ImageName::Id(_) | ImageName::AllTags(_)) | None => false,
    }
}
