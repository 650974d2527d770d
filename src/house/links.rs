//! Where host paths lead: links followed, and bind mounts of the host recognised by what they show.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Every name that `paths` turn out to have, as far as it matters for `protected`. Blocks on the file system.
///
/// A path that does not exist yet is followed as far as it does, since the engine makes the rest.
#[must_use]
pub fn lead_to(paths: &[String], protected: &[String]) -> Vec<String> {
    let (mut own, mut above) = (BTreeMap::new(), BTreeMap::new());
    for place in protected {
        let Ok(real) = fs::canonicalize(place) else {
            continue;
        };
        if let Some(identity) = identity(&real) {
            own.insert(identity, real.clone());
        }
        for ancestor in real.ancestors().skip(1) {
            if let Some(identity) = identity(ancestor) {
                above.insert(identity, ancestor.to_owned());
            }
        }
    }
    let mut found = Vec::new();
    for path in paths {
        let Some(real) = followed(Path::new(path)) else {
            continue;
        };
        found.push(real.clone());
        // The same directory may be mounted in two places: within or above the house by another name.
        let within = real.ancestors().find_map(|place| {
            let own = own.get(&identity(place)?)?;
            let rest = real.strip_prefix(place).ok()?;
            Some(match rest.as_os_str().is_empty() {
                true => own.clone(),
                false => own.join(rest),
            })
        });
        let holds = || above.get(&identity(&real)?).cloned();
        found.extend(within.or_else(holds));
    }
    found
        .into_iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

/// A path with its links followed; what does not exist is kept as it is written.
fn followed(path: &Path) -> Option<PathBuf> {
    let existing = path
        .ancestors()
        .find_map(|place| Some((fs::canonicalize(place).ok()?, place)));
    let (real, place) = existing?;
    let rest = path.strip_prefix(place).ok()?;
    if rest.as_os_str().is_empty() {
        return Some(real);
    }
    // A link that leads nowhere yet: what it points to will be made.
    let next = rest.components().next().map(|part| real.join(part));
    match next.and_then(|next| Some((fs::read_link(&next).ok()?, next))) {
        Some((target, next)) => {
            let target = next.parent()?.join(target);
            let rest = path.strip_prefix(place).ok()?;
            let mut below = rest.components();
            below.next();
            let mut clean = lexically_clean(&target);
            clean.extend(below);
            Some(clean)
        }
        None => Some(real.join(rest)),
    }
}

fn lexically_clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => _ = clean.pop(),
            std::path::Component::Normal(part) => clean.push(part),
            _ => {}
        }
    }
    clean
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_leads_to_what_it_points_to_even_when_that_does_not_exist_yet() {
        let directory = tempfile::tempdir().expect("create a temporary directory");
        let base = fs::canonicalize(directory.path()).expect("a real path");
        fs::create_dir_all(base.join("house/keys")).expect("create a directory");
        fs::create_dir_all(base.join("srv")).expect("create a directory");
        symlink(base.join("house"), base.join("srv/link")).expect("make a link");
        symlink(base.join("house/later"), base.join("srv/dangling")).expect("make a link");
        let text = |path: &str| base.join(path).to_string_lossy().into_owned();
        let protected = [text("house")];
        for (asked, found) in [
            ("srv/link", "house"),
            ("srv/link/keys", "house/keys"),
            ("srv/link/none/there", "house/none/there"),
            ("srv/dangling", "house/later"),
            ("srv/dangling/x", "house/later/x"),
        ] {
            let names = lead_to(&[text(asked)], &protected);
            assert!(names.contains(&text(found)), "{asked}: {names:?}");
        }
        let beside = lead_to(&[text("srv/other")], &protected);
        assert_eq!(beside, [text("srv/other")]);
    }
}
