//! How an error is told: itself and its causes in one line.

use std::error::Error;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::net::words;
use text::escape;

/// An error and its causes as one line, without anything of a key. A cause that the text above it has quoted already is not
/// said twice.
#[must_use]
pub fn report(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(source) = cause {
        let said = in_words(source);
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
    }
    escape::redact(text)
}

/// A cause in words: the TLS library's own texts name its variants.
fn in_words(source: &(dyn Error + 'static)) -> String {
    match (source.downcast_ref(), source.downcast_ref()) {
        (Some(tls), _) => words::tls_error(tls),
        (_, Some(io)) => words::io_error(io),
        _ => source.to_string(),
    }
}

/// What a file that could not be opened was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileUse {
    /// To be read; it has to be there.
    Read,
    /// To be written; its directory has to be there.
    Write,
}

/// What to do about a file that could not be opened, where that can be known. A value that looks like a key has no hint: a
/// part of it, such as its directory, no longer looks like one.
#[must_use]
pub fn file_hint(path: &Path, error: &io::Error, wanted: FileUse) -> Option<String> {
    if escape::secret(&path.to_string_lossy()).is_some() {
        return None;
    }
    let word = |path: &Path| escape::shell_word(&path.to_string_lossy()).into_owned();
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    Some(match (error.kind(), wanted) {
        (io::ErrorKind::NotFound, FileUse::Write) if !dir.exists() => {
            format!("make its directory: `mkdir -p {}`", word(dir))
        }
        (io::ErrorKind::NotFound, FileUse::Read) if !dir.exists() => {
            format!("is the path right? there is no directory {}", word(dir))
        }
        (io::ErrorKind::NotFound, FileUse::Read) => {
            format!("is the name right? `ls {}` shows what is there", word(dir))
        }
        (io::ErrorKind::PermissionDenied, _) => {
            let user = rustix::process::geteuid().as_raw();
            let (verb, whose) = match wanted {
                FileUse::Read => ("read it", path),
                FileUse::Write if path.exists() => ("write it", path),
                FileUse::Write => ("write there", dir),
            };
            if is_device(whose) {
                return Some(format!(
                    "run dockgate as a user who may {verb}, or name a file"
                ));
            }
            format!(
                "let user {user} {verb}: `chown {user} {}`, or run dockgate as the owner",
                word(whose)
            )
        }
        (io::ErrorKind::IsADirectory, FileUse::Read) => BIND_MOUNT.to_owned(),
        (io::ErrorKind::IsADirectory, FileUse::Write) => "name a file in it".to_owned(),
        (io::ErrorKind::ReadOnlyFilesystem, FileUse::Write) => pki::READ_ONLY.to_owned(),
        (io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory, _) => {
            "a part of the path is a file: expected directories".to_owned()
        }
        _ => return None,
    })
}

/// The command that changes who may use a file or directory. `None` for a device: it is the system's, and `chmod 600 /dev/null`
/// would break the machine.
#[must_use]
pub fn chmod(change: &str, path: &Path) -> Option<String> {
    let word = escape::shell_word(&path.to_string_lossy()).into_owned();
    (!is_device(path)).then(|| format!("chmod {change} {word}"))
}

/// Whether a path leads to a device, which is the system's.
#[must_use]
pub fn is_device(path: &Path) -> bool {
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_char_device() || kind.is_block_device())
}

/// How a directory comes to be where a file was meant.
pub const BIND_MOUNT: &str = "Docker makes a directory where the source of a bind mount is missing: remove it and create the file first";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_opened_is_told_with_what_helps() {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let here = dir.path().join("it's here");
        std::fs::write(&here, "").expect("write");
        let hint = |path: &Path, kind: io::ErrorKind, wanted| {
            file_hint(path, &kind.into(), wanted).unwrap_or_default()
        };
        let denied = io::ErrorKind::PermissionDenied;
        let user = rustix::process::geteuid().as_raw();
        let name = escape::shell_word(&here.to_string_lossy()).into_owned();
        for (verb, wanted) in [("read", FileUse::Read), ("write", FileUse::Write)] {
            let told = hint(&here, denied, wanted);
            assert_eq!(
                told,
                format!(
                    "let user {user} {verb} it: `chown {user} {name}`, or run dockgate as the owner"
                )
            );
        }
        // What is not there yet is a matter of its directory.
        let told = hint(&dir.path().join("new"), denied, FileUse::Write);
        let place = format!("write there: `chown {user} {}`", dir.path().display());
        assert!(told.contains(&place), "{told}");
        // Nor is a key that was given in place of a file told in parts.
        for key in [
            "-----BEGIN PRIVATE KEY-----\r\nsEvHaN1sjZZA/mpyCmBjfCA5aZupxHj1i2PjAjysaZY5IYK5aj0Puv2r",
            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiKSy3gk94rhu/X0B",
        ] {
            for (kind, wanted) in [
                (io::ErrorKind::NotFound, FileUse::Read),
                (io::ErrorKind::NotFound, FileUse::Write),
                (denied, FileUse::Write),
            ] {
                assert_eq!(hint(Path::new(key), kind, wanted), "");
            }
        }
        // A device is the system's.
        let told = hint(Path::new("/dev/null"), denied, FileUse::Read);
        assert!(
            !told.contains("chown") && told.contains("name a file"),
            "{told}"
        );
        assert_eq!(chmod("600", Path::new("/dev/null")), None);
        assert_eq!(chmod("600", &here), Some(format!("chmod 600 {name}")));
        // Nor does another owner help where the system lets nobody write; reading is no matter of it.
        let read_only = io::ErrorKind::ReadOnlyFilesystem;
        let told = hint(&here, read_only, FileUse::Write);
        assert!(
            told.contains("/var/lib/dockgate") && !told.contains("chown"),
            "{told}"
        );
        assert_eq!(hint(&here, read_only, FileUse::Read), "");
        // A full disk has no such advice.
        assert_eq!(hint(&here, io::ErrorKind::StorageFull, FileUse::Write), "");
    }
}
