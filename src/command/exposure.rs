//! Which of the files that the gate trusts anybody on this machine could change: the policy, the certificates and keys, the
//! revocation lists, the configuration. `check` says it, and so does the log at start.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{chmod, is_device};
use crate::finding::Finding;

/// Others may write.
const OTHERS_WRITE: u32 = 0o002;

/// In a directory with this bit nobody removes or renames what is another's.
const STICKY: u32 = 0o1000;

/// One warning for each file or directory that anybody may write to.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut exposed: BTreeMap<PathBuf, Vec<&str>> = BTreeMap::new();
    for (what, path) in trusted(config) {
        for place in places(&path) {
            let held = exposed.entry(place).or_default();
            if !held.contains(&what) {
                held.push(what);
            }
        }
    }
    exposed
        .into_iter()
        .map(|(place, held)| warning(&place, &held))
        .collect()
}

fn warning(place: &Path, held: &[&str]) -> Finding {
    let held = held.join(", ");
    let text = if place.is_dir() {
        format!(
            "anybody on this machine can write to the directory {place:?}, and so replace {held}"
        )
    } else {
        format!("anybody on this machine can write to {place:?}: {held}")
    };
    Finding {
        hint: chmod("o-w", place),
        ..Finding::warning(text)
    }
}

/// What the gate takes its rules and its trust from.
fn trusted(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let tls = config.tls_paths();
    let mut found = vec![
        ("the client CA", tls.ca),
        ("the server certificate", tls.cert),
        ("the server key", tls.key),
    ];
    let lists = tls.crl.into_iter().chain(tls.crl_if_present);
    found.extend(lists.map(|path| ("the revocation lists", path)));
    found.extend(
        config
            .travelled_deny_list()
            .map(|path| ("the signer's deny list", path)),
    );
    found.extend(config.policy.clone().map(|path| ("the policy", path)));
    found.extend(
        config
            .config_file
            .clone()
            .map(|path| ("the configuration", path)),
    );
    found.extend(
        config
            .auto_certs
            .iter()
            .map(|auto| ("the certificates", auto.dir.clone())),
    );
    let enroll = config.enroll.iter().map(|enroll| enroll.dir.clone());
    let enrolled = config.enrolled.iter().map(|gate| gate.dir.clone());
    found.extend(enroll.chain(enrolled).map(|dir| ("the certificates", dir)));
    found
}

/// The file or directory itself, and every directory on the way to it, as it is named and where its links lead, if others may
/// write there.
fn places(path: &Path) -> Vec<PathBuf> {
    let named = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let real = fs::canonicalize(path).ok();
    let mut found = Vec::new();
    for (nth, place) in named
        .ancestors()
        .chain(real.iter().flat_map(|real| real.ancestors()))
        .enumerate()
    {
        let Ok(metadata) = fs::metadata(place) else {
            continue;
        };
        // What others write to a device is not what is read from it.
        let mode = match is_device(place) {
            true => 0,
            false => metadata.permissions().mode(),
        };
        let itself = nth == 0 || real.as_deref() == Some(place);
        // What lies in a sticky directory is safe there; a directory whose files count is not, since others add to it.
        let kept = metadata.is_dir() && mode & STICKY != 0 && !itself;
        let place = fs::canonicalize(place).unwrap_or_else(|_| place.into());
        if mode & OTHERS_WRITE != 0 && !kept && !found.contains(&place) {
            found.push(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("change the mode");
    }

    #[test]
    fn a_file_and_each_directory_above_it_count_and_sticky_ones_keep_what_is_in_them() {
        let root = tempfile::tempdir().expect("create a temporary directory");
        let root = root.path().canonicalize().expect("a path");
        let (above, dir) = (root.join("above"), root.join("above/dir"));
        fs::create_dir_all(&dir).expect("create directories");
        let file = dir.join("policy.toml");
        fs::write(&file, "").expect("write");
        for (path, bits) in [(&above, 0o755), (&dir, 0o755), (&file, 0o644)] {
            mode(path, bits);
        }
        assert!(places(&file).is_empty());
        for (path, open, shut) in [
            (&file, 0o646, 0o644),
            (&dir, 0o777, 0o755),
            (&above, 0o757, 0o755),
        ] {
            mode(path, open);
            assert_eq!(places(&file), std::slice::from_ref(path));
            mode(path, shut);
        }
        // As /tmp is.
        mode(&dir, 0o1777);
        assert!(places(&file).is_empty());
        assert_eq!(places(&dir), std::slice::from_ref(&dir));
        mode(&dir, 0o755);
        // A device is everybody's by nature.
        assert!(places(Path::new("/dev/null")).is_empty());
        // Where a link leads counts as well as where it is.
        let (link, open) = (root.join("open/link"), root.join("open"));
        fs::create_dir(&open).expect("create a directory");
        std::os::unix::fs::symlink(&file, &link).expect("link");
        mode(&open, 0o777);
        mode(&file, 0o666);
        assert_eq!(places(&link), [file, open]);
    }
}
