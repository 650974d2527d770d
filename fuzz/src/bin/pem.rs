//! PEM and certificates: read or refused, and an error never quotes what may be a key.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match pki::pem::blocks(Path::new("file.pem"), bytes) {
        Ok(blocks) => {
            for block in blocks {
                let _ = pki::Certificate::read(&block.der);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = pki::Certificate::read(bytes);
});
