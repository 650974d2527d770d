//! Request targets and queries: read in one way, or refused.
#![no_main]

use docker_api::image::{ImageName, ImagePattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    if let Ok(classified) = docker_api::classify(method, target) {
        let owned = classified.clone().into_owned();
        assert_eq!(owned.path(), classified.path());
        assert_eq!(owned.query(), classified.query());
    }
    // A name admits itself, and a pattern that was written for it.
    if let Some(ImageName::Named(name)) = ImageName::parse(target)
        && let Ok(pattern) = ImagePattern::parse(&name.name)
    {
        assert!(pattern.admits(&ImageName::Named(name)));
    }
});
