//! BuildKit's messages: reading ends, and what is appended leaves a message readable.
#![no_main]

use buildkit::append::map_entry;
use buildkit::calls::{HistoryRequest, resolve_image, resolve_source, status, update_history};
use buildkit::{FrontendSolve, Solve, grpc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(solve) = Solve::read(bytes) {
        let mut appended = bytes.to_vec();
        appended.extend(map_entry(7, "appended by the fuzzer", "value"));
        let again =
            Solve::read(&appended).expect("an entry of a map must not make a message unreadable");
        assert_eq!(again.reference, solve.reference);
        assert_eq!(again.attributes.len(), solve.attributes.len() + 1);
    }
    let _ = FrontendSolve::read(bytes);
    let _ = HistoryRequest::read(bytes);
    let _ = (resolve_image(bytes), resolve_source(bytes));
    let _ = (status(bytes), update_history(bytes));
    for gzip in [false, true] {
        if let Ok(message) = grpc::only_message(bytes, gzip) {
            assert!(message.len() <= grpc::MAX_MESSAGE);
        }
    }
});
