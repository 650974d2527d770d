//! Policy files: read or refused with a line, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::Policy;

fuzz_target!(|text: &str| {
    match Policy::parse("policy.toml", text) {
        Ok(policy) => assert!(
            policy
                .clients
                .iter()
                .all(|client| client.role < policy.roles.len())
        ),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
