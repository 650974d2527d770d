//! Build contexts: archives, plain or gzip, and the Dockerfile in them. However the bytes are cut, the verdict is the same.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pki::identity::Identity;
use policy::upload::Context;
use policy::{BodyLength, EngineHeaders, Policy, Request, Step};

const POLICY: &str = r#"version = 1
[[client]]
match = { any = true }
role = "x"
[role.x]
base = "builder"
[role.x.limits]
tags = []
images = ["docker.io/library/**"]
fetch = ["files.example.com"]
"#;

static CONTEXT: LazyLock<Context> = LazyLock::new(|| {
    let policy = Policy::parse("fuzz", POLICY).expect("a policy");
    let classified =
        docker_api::classify("POST", "/build?buildargs=%7B%22A%22%3A%22b%22%7D").expect("a target");
    let request = Request {
        classified: &classified,
        content_type: None,
        content_encoding: None,
        headers: EngineHeaders::default(),
        body: BodyLength::Unknown,
    };
    let client = policy.client_for(&Identity {
        serial: "01".into(),
        ..Identity::unnamed()
    });
    match policy.decide(client, &request) {
        Step::Permitted(permitted) => permitted.context().expect("a classic build").clone(),
        step => panic!("{step:?}"),
    }
});

/// Whether a body passes when it comes in pieces of this size.
fn passes(body: &[u8], piece: usize) -> bool {
    let mut judge = CONTEXT.judge();
    for part in body.chunks(piece) {
        if judge.push(part).is_err() {
            assert!(
                judge.push(b"").is_err() && judge.finish().is_err(),
                "for good"
            );
            return false;
        }
    }
    judge.finish().is_ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, body)) = bytes.split_first() else {
        return;
    };
    let whole = passes(body, body.len().max(1));
    let pieces = passes(body, usize::from(*piece) + 1);
    // Where the compression is broken behind the archive's end, it depends on the pieces whether anybody reads that far.
    let broken = body.starts_with(&[0x1f, 0x8b, 0x08]) && pieces;
    assert!(whole == pieces || broken, "pieces do not matter");
});
