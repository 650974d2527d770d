//! An index of many thousand certificates.

use std::time::{Duration, Instant};

use crate::support::*;

/// The shortest of three runs of `certs list` with these many certificates.
fn listing(count: usize) -> Duration {
    let dir = directory_alone();
    let path = dir.path().join("certs/index.jsonl");
    let mut text = std::fs::read_to_string(&path).expect("the index");
    for n in 0..count {
        let line = serde_json::json!({
            "event": "issued", "at": "2026-01-01T00:00:00Z", "kind": "client", "name": format!("c{n}"), "serial": format!("{n:08x}"),
            "subject": format!("CN=c{n}"), "not_after": "2099-01-01T00:00:00Z", "sha256": format!("{n:064x}"),
            "spki_sha256": format!("{n:064x}"), "issuer_key_id": null,
        });
        text += &format!("{line}\n");
    }
    std::fs::write(&path, text).expect("write it");
    let run = || {
        let began = Instant::now();
        let listed = done(dir.path(), &["certs", "list"]);
        assert!(listed.lines().count() > count, "all are listed");
        began.elapsed()
    };
    (0..3).map(|_| run()).min().unwrap_or_default()
}

#[test]
fn a_list_of_eight_times_as_many_certificates_takes_not_much_more_than_eight_times_as_long() {
    let (few, many) = (listing(2_000), listing(16_000));
    // If each line looked through all others it would be sixty times as long.
    assert!(
        many < few * 24 + Duration::from_millis(500),
        "{few:?}, {many:?}"
    );
}
