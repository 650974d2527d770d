//! Makes, reads, renews and revokes the certificates the gate and its clients use, so that nobody needs `openssl`.
//!
//! Contract: every key file is created with mode 0600 and every write is write-then-rename with fsync; nothing that
//! exists is replaced unless the caller asks for it; commands that change a directory hold its lock, so two processes
//! cannot corrupt the issuance index. Secrets are zeroized on drop and have a masked `Debug`. What is issued follows
//! RFC 5280 closely enough for `openssl verify -x509_strict` and Python's `VERIFY_X509_STRICT`.
//!
//! `serve` needs only [`auto::ensure`] and [`layout::find`]; `check`, `doctor` and the logs use [`Certificate`].

pub mod auto;
mod interfaces;
pub mod issue;
pub mod key;
pub mod layout;
pub mod name;
pub mod san;
pub mod store;
pub mod trust;

pub mod crl;
pub mod denied;
pub mod error;
pub mod event;
pub mod index;
pub mod passphrase;
pub mod pem;
pub mod pkcs7;
pub mod place;
pub mod request;
pub mod requester;
pub mod resign;
pub mod rollover;
pub mod shared;
pub mod write;

pub use error::CertsError;
pub use passphrase::{Passphrase, PassphraseSource};
pub use request::RequestFault;
pub use san::San;
pub use trust::identity;
pub use trust::{
    Admitted, Algorithms, Certificate, DenyList, EndStage, NotASerial, Purpose, Rejection,
    RejectionReason, RevocationList, Serial, TrustStore, Use, Validity, fingerprint, time_left,
    timestamp,
};

/// Days until a revocation list expires unless told otherwise: longer than the 30 days at which the gate begins to warn.
pub const CRL_DAYS: u32 = 60;

/// What to do where the system lets nobody write.
pub const READ_ONLY: &str = "nobody can write there: name a place below /var/lib/dockgate, which the packaged service may write, or a volume of the container";
