//! `[role.NAME.build]`: what a role's BuildKit builds may ask for, call by call.
//!
//! What a build fetches is not judged here: the engine itself enforces it, by a source policy that is appended to each
//! build (`sources`). Everything else a Solve asks for is: exporters, names, caches, entitlements, sessions, and the
//! definitions that come along. All of it are allow-lists, so that a forgotten key denies.

mod judge;
mod sources;

use buildkit::append::source_policy;
use docker_api::image::{ImageName, ImagePattern};

pub use judge::{Appendix, BuildContext, Objection};
pub use sources::SourcePattern;

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
    "history",
    "message",
    "outputs",
    "owner",
    "prune",
    "push",
    "raw_llb",
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
    /// Whether the cache may be a directory of the client's.
    pub cache_local: bool,
    /// Names of caches in registries.
    pub cache: Vec<ImagePattern>,
    /// Whether cache mounts are shared with other clients.
    pub shared_cache_mounts: bool,
    /// Whether the client may send operations of its own in place of a Dockerfile.
    pub raw_llb: bool,
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
            cache: Vec::new(),
            shared_cache_mounts: false,
            raw_llb: false,
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

    /// Whether the file lists a source as the sources' own identifiers do; the engine decides, this only tells.
    #[must_use]
    pub fn lists(&self, identifier: &str) -> bool {
        sources::lists(&self.sources, identifier)
    }
}

/// Whether a name in an image's reference form is allowed.
fn named(patterns: &[ImagePattern], name: &str) -> bool {
    match ImageName::parse(name) {
        Some(image @ ImageName::Named(_)) => patterns.iter().any(|pattern| pattern.admits(&image)),
        Some(ImageName::Id(_) | ImageName::AllTags(_)) | None => false,
    }
}
