//! What a certificate that is asked for over the network may have, whether by invitation or by a token of CI.

use pki::{CertsError, name};

/// Words that `dockgate invite` and `certs` understand otherwise.
const RESERVED: [&str; 6] = ["list", "revoke", "ca", "server", "crl", "signer"];

/// The longest life of such a certificate.
pub(crate) const MAX_LIFE_SECS: u64 = 825 * 86_400;

/// That a certificate that is asked for over the network may have a name.
pub(crate) fn check_name(given: &str) -> Result<(), CertsError> {
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(given)) {
        return Err(CertsError::refused(
            format!("nobody can be called {given:?}: it is a word of dockgate's own"),
            "write a short name such as `ci`, `alice` or `alice@laptop`",
        ));
    }
    name::check(given)
}
