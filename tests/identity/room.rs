//! An index that is large: what is issued leaves room for what takes it back.

use std::path::Path;

use pki::event::IndexEvent;
use pki::index::{ISSUE_INDEX_BYTES, LARGE_INDEX_BYTES, MAX_INDEX_BYTES};
use testkit::programs::said;

use crate::support::*;

/// Makes the index of a directory as large as that, with events that nobody needs.
fn fill(dir: &Path, to: u64) {
    let place = dockgate::signer::store_place(&dir.join("certs"), &Default::default());
    let mut store = place.and_then(|it| it.open()).expect("the directory");
    while store.index.bytes() < to {
        let left = usize::try_from(to - store.index.bytes()).expect("small");
        let event = IndexEvent::Crl {
            at: pki::timestamp(pki::issue::now()),
            number: "x".repeat(left.min(4 << 20)),
        };
        store.index.append(event).expect("it fits");
    }
}

#[test]
fn a_full_index_issues_nothing_and_revokes_denies_and_lists_as_ever() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let (dir, home) = (dir.path(), home.path());
    let signer = SignerProcess::start(dir, &[]);
    let joins = |name: &str, token: &str| {
        let options = ["--renew", "none", "--context", name];
        join(home, token, &options)
    };
    for name in ["alice", "bob"] {
        let output = joins(name, &invite(dir, &[name]));
        assert!(output.status.success(), "{}", said(&output));
    }
    let (open, late) = (invite(dir, &["carol"]), invite(dir, &["dave"]));
    let alice = joined(home, "alice").display().to_string();
    // Large is not full.
    fill(dir, LARGE_INDEX_BYTES + 1);
    done(home, &["renew", "--force", &alice]);
    assert!(joins("carol", &open).status.success());
    fill(dir, ISSUE_INDEX_BYTES + 1);
    let said = refused(home, &["renew", "--force", &alice]);
    assert!(said.contains("503") && said.contains("so full"), "{said}");
    let output = joins("dave", &late);
    assert!(!output.status.success());
    for args in [&["invite", "erin"][..], &["certs", "client", "erin"]] {
        let said = refused(dir, args);
        assert!(said.contains("nothing is issued above 50331648"), "{said}");
        assert!(said.contains("certs list"), "{said}");
    }
    // What takes back goes on, up to the bound.
    let token = enroll::Token::parse(&late).expect("a token");
    done(dir, &["invite", "revoke", &token.id]);
    done(dir, &["certs", "revoke", "bob"]);
    let serial = inspect(&joined(home, "alice").join("docker/cert.pem")).serial;
    done(dir, &["certs", "deny", &serial]);
    done(dir, &["certs", "crl"]);
    assert!(done(dir, &["certs", "list"]).contains("revoked"));
    done(dir, &["invite", "list"]);
    drop(signer);
    // No write makes an index that cannot be read.
    fill(dir, MAX_INDEX_BYTES - 100);
    let said = refused(dir, &["certs", "revoke", "carol"]);
    assert!(said.contains("is larger than 67108864 bytes"), "{said}");
    assert!(done(dir, &["certs", "list"]).contains("carol"));
}

#[test]
fn a_renewal_before_its_time_is_refused_where_the_line_has_many_and_says_when_it_is_due() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let (dir, home) = (dir.path(), home.path());
    let _signer = SignerProcess::start(dir, &[]);
    let output = join(home, &invite(dir, &["alice"]), &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    let own = joined(home, "localhost");
    let first = inspect(&own.join("docker/cert.pem")).serial;
    let own = own.display().to_string();
    done(home, &["renew", "--force", &own]);
    // As if it had renewed all day.
    let second = index(dir).successor(&first).expect("its successor").clone();
    let many = (0..62).map(|it| {
        let mut issued = second.clone();
        issued.serial = format!("{it:032x}");
        IndexEvent::Issued(issued)
    });
    let place = dockgate::signer::store_place(&dir.join("certs"), &Default::default());
    let mut store = place.and_then(|it| it.open()).expect("the directory");
    store.index.append_all(many).expect("write them");
    drop(store);
    let said = refused(home, &["renew", "--force", &own]);
    assert!(
        said.contains("(429): this certificate is not due for renewal before "),
        "{said}"
    );
    assert!(said.contains("without --force"), "{said}");
    assert!(done(home, &["renew", &own]).contains("not due before"));
}

#[test]
fn check_says_that_an_index_is_large_and_that_it_is_full() {
    let dir = directory_alone();
    let dir = dir.path();
    let check = || {
        let args = [
            "check",
            "--offline",
            "--auto-certs",
            "certs",
            "--enroll",
            "tcp://:2377",
        ];
        said(&run(dir, &args))
    };
    assert!(!check().contains("the signer's index"));
    fill(dir, LARGE_INDEX_BYTES + 1);
    let told = check();
    assert!(told.contains("above 50331648 it issues nothing"), "{told}");
    fill(dir, ISSUE_INDEX_BYTES + 1);
    let told = check();
    assert!(told.contains("the signer issues nothing"), "{told}");
}
