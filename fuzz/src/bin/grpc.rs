//! gRPC's framing: however a stream is cut, the same messages come out of it, and one message alone is read as it was written.
#![no_main]

use buildkit::grpc::{self, MAX_MESSAGE, Messages, PREFIX};
use libfuzzer_sys::fuzz_target;

/// The messages of a stream that comes in pieces of this size, and whether it could be read.
fn messages(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut held = Messages::default();
    let mut found = Vec::new();
    for part in stream.chunks(piece) {
        held.push(part);
        loop {
            match held.next_message() {
                Ok(Some(message)) => found.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
        assert!(held.waiting() <= stream.len());
    }
    let taken: usize = found.iter().map(Vec::len).sum();
    assert_eq!(taken + held.waiting(), stream.len(), "no byte is lost");
    (found, true)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, stream)) = bytes.split_first() else {
        return;
    };
    let whole = messages(stream, stream.len().max(1));
    assert_eq!(whole, messages(stream, usize::from(*piece).max(1)));
    for message in &whole.0 {
        match grpc::content(message) {
            Some(content) => {
                assert_eq!(content, &message[PREFIX..]);
                let alone = grpc::only_message(message, false);
                assert_eq!(alone.as_deref(), Ok(content));
            }
            None => assert!(grpc::only_message(message, false).is_err()),
        }
    }
    for gzip in [false, true] {
        if let Ok(message) = grpc::only_message(stream, gzip) {
            assert!(message.len() <= MAX_MESSAGE);
            let framed = grpc::framed(&[&message]).expect("it is within the bound");
            assert_eq!(grpc::only_message(&framed, gzip), Ok(message));
        }
    }
});
