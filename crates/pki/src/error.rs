//! The one error type of `certs`: `Display` names the file or option and what was expected, `hint()` says what to do.

use std::{borrow::Cow, io, path::PathBuf};

/// Why a certificate command could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// The operating system refused a file operation.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried, as a verb: "read", "create", "rename".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file is there already and `--force` was not given.
    #[error("{path:?} already exists")]
    Exists {
        /// The file that would have been replaced.
        path: PathBuf,
        /// What to do instead.
        hint: String,
    },
    /// The file is larger than anything this program reads or writes.
    #[error("{path:?} is larger than {limit} bytes, which no certificate, key or CRL needs")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        limit: u64,
    },
    /// The file does not hold what was expected of it.
    #[error("{path:?} holds {found}, expected {expected}")]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// What was wanted.
        expected: &'static str,
        /// What is there.
        found: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The request cannot lead to a certificate that works.
    #[error("{message}")]
    Refused {
        /// What was asked and why it cannot work.
        message: String,
        /// What to write instead.
        hint: String,
    },
    /// A private key is encrypted and its passphrase is missing or wrong.
    #[error("{message}")]
    Passphrase {
        /// What is wrong, with the file's name.
        message: String,
        /// How to supply the passphrase.
        hint: String,
    },
    /// Another process holds the directory.
    #[error("{path:?} is locked by another dockgate process, waited {waited_secs} s")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long this process waited, in seconds.
        waited_secs: u64,
    },
    /// A store that several signers share cannot be asked.
    #[error("cannot {doing} the store {store:?}")]
    Unavailable {
        /// What was tried, as a verb: "read", "write to".
        doing: &'static str,
        /// Where it is.
        store: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What to do about it.
        hint: &'static str,
    },
    /// The index is so large that nothing more is issued, to keep room for revocations.
    #[error(
        "the index has {bytes} bytes, and nothing is issued above {bound}: the rest is kept for revocations"
    )]
    Full {
        /// Size of the index.
        bytes: u64,
        /// From where on nothing is issued.
        bound: u64,
    },
    /// Encoding, signing or key generation failed in the library below.
    #[error("cannot {doing}")]
    Crypto {
        /// What was tried, as a verb phrase.
        doing: &'static str,
        /// The library's reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server could not be asked for its certificate.
    #[error("cannot fetch the certificate of {address}")]
    Probe {
        /// The address as given.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl CertsError {
    /// Advice for the person at the other end, printed on a `hint:` line of its own.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Exists { hint, .. }
            | Self::Refused { hint, .. }
            | Self::Passphrase { hint, .. } => {
                Some(Cow::Borrowed(hint.as_str())).filter(|hint| !hint.is_empty())
            }
            Self::Unexpected { hint, .. } => hint.as_deref().map(Cow::Borrowed),
            Self::Io { action, source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some(Cow::Borrowed(
                    "check the path, or make a CA with `dockgate certs init`",
                )),
                io::ErrorKind::PermissionDenied => Some(Cow::Borrowed(match *action {
                    "read" => "key files are readable by their owner only: run as that user",
                    _ => "let this user write there, run as one who may, or name another directory",
                })),
                io::ErrorKind::ReadOnlyFilesystem => Some(Cow::Borrowed(crate::READ_ONLY)),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    Some(Cow::Borrowed("a file is in its place: name a directory"))
                }
                _ => None,
            },
            Self::Locked { .. } => Some(Cow::Borrowed(
                "wait for the other command to finish, then try again",
            )),
            Self::Unavailable { hint, .. } => Some(Cow::Borrowed(*hint)),
            Self::Full { .. } => Some(Cow::Borrowed(
                "every command that writes takes out what nobody needs any more, from a day after its end; `dockgate certs list` shows whose certificates are many: take their invitation or rule of CI back, or give it shorter lives",
            )),
            Self::Probe { .. } => Some(Cow::Borrowed(
                "`dockgate doctor tcp://HOST:PORT` walks the connection step by step",
            )),
            Self::TooLarge { .. } | Self::Crypto { .. } => None,
        }
    }

    /// The system refused `action` on a file.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }

    /// A command that is not carried out, and what to do instead.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The cryptography library refused.
    pub fn crypto(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Crypto {
            doing,
            source: source.into(),
        }
    }
}
