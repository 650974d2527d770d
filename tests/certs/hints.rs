//! Advice leads somewhere: each command that a hint of `certs` prints is run in the state that caused it, and works.

use std::{fs, path::Path, process::Command};

use crate::support::{certs, done, initialised, inspect_file, refused, text};

/// The first command between backticks in the hint, run by a shell as a person would paste it.
fn follow(dir: &Path, said: &str) {
    let hint = said.lines().find_map(|line| line.strip_prefix("hint: "));
    let hint = hint.unwrap_or_else(|| panic!("no hint: {said}"));
    let command = hint
        .split('`')
        .nth(1)
        .unwrap_or_else(|| panic!("no command: {hint}"));
    let rest = command
        .strip_prefix("dockgate ")
        .unwrap_or_else(|| panic!("not ours: {hint}"));
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("exec \"$0\" {rest}"),
            env!("CARGO_BIN_EXE_dockgate"),
        ])
        .current_dir(dir)
        .env_remove("DOCKGATE_CERTS_DIR")
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "`{command}` after\n{said}\nsaid {}",
        text(&output)
    );
}

/// A command that fails, whose hint then works, after which `then` does.
fn leads(dir: &Path, failing: &[&str]) {
    let said = refused(dir, failing);
    follow(dir, &said);
}

#[test]
fn each_hint_that_prints_a_command_works_where_it_was_printed() {
    // A directory whose name a shell would split, beside the default one.
    for option in [&[][..], &["--dir", "it's mine"]] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let dir = dir.path();
        let with = |words: &[&'static str]| -> Vec<&str> { [words, option].concat() };
        let home = dir.join(option.get(1).copied().unwrap_or("certs"));

        // No CA yet.
        leads(dir, &with(&["client", "ada"]));
        done(dir, &with(&["client", "ada"]));
        leads(dir, &with(&["init"]));
        // The server's is there, and other names are wanted; and without names.
        leads(dir, &with(&["server", "--san", "other.example"]));
        let names = inspect_file(&home.join("server-cert.pem")).sans;
        assert!(
            names
                .iter()
                .any(|name| name.to_string() == "DNS:other.example"),
            "{names:?}"
        );
        leads(dir, &with(&["server"]));
        // A client's is there.
        leads(dir, &with(&["client", "ada"]));
        // A name that is given: taking it back frees it.
        leads(dir, &with(&["client", "ada", "--out", "elsewhere"]));
        // Revoked: neither renewed nor packed, but made again.
        leads(dir, &with(&["renew", "ada"]));
        done(dir, &with(&["revoke", "ada"]));
        leads(dir, &with(&["bundle", "ada", "--out", "a.tar"]));
        done(dir, &with(&["bundle", "ada", "--out", "a.tar"]));
        // And where the revoked one is in the way.
        done(dir, &with(&["revoke", "ada"]));
        leads(dir, &with(&["client", "ada"]));
        done(dir, &with(&["bundle", "ada", "--force"]));
        // Nobody of that name; a key that left.
        leads(dir, &with(&["bundle", "carol"]));
        fs::remove_file(home.join("clients/carol/key.pem")).expect("remove");
        leads(dir, &with(&["bundle", "carol"]));
        done(dir, &with(&["bundle", "carol"]));
        // The server by its name, a mistyped name, an unknown target.
        leads(dir, &with(&["revoke", "server"]));
        leads(dir, &with(&["renew", "nobody"]));
        leads(dir, &with(&["revoke", "nobody-at-all"]));
        // A damaged list, moved away as the hint says.
        fs::write(home.join("crl.pem"), "nothing").expect("write");
        let said = refused(dir, &with(&["crl"]));
        assert!(said.contains("move it away"), "{said}");
        fs::remove_file(home.join("crl.pem")).expect("remove");
        follow(dir, &said);
    }
}

#[test]
fn a_misspelt_directory_is_not_made_and_the_hint_names_the_one_that_is_there() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let dir = dir.path();
    for is_there in [false, true] {
        if is_there {
            done(dir, &["init"]);
        }
        for words in [
            &["client", "bob"][..],
            &["server"],
            &["revoke", "bob"],
            &["renew", "bob"],
            &["crl"],
            &["rollover"],
        ] {
            let said = refused(dir, &[words, &["--dir", "ca"]].concat());
            assert!(
                said.contains("there is no CA in \"ca\""),
                "{words:?}: {said}"
            );
            let hint = match is_there {
                true => "hint: there is one in ./certs: leave --dir out",
                false => "hint: make one with `dockgate certs init --dir ca`",
            };
            assert!(said.contains(hint), "{words:?}: {said}");
            assert!(!dir.join("ca").exists(), "{words:?} made it");
        }
    }
    // Where a CA is named beside it, a new directory is what was asked for.
    let named = ["--ca-cert", "certs/ca.pem", "--ca-key", "certs/ca-key.pem"];
    let words = ["client", "bob", "--dir", "ca"];
    done(dir, &[&words[..], &named].concat());
    assert!(dir.join("ca/clients/bob/cert.pem").is_file());
}

#[test]
fn an_expired_certificate_is_not_packed_and_the_hint_renews_it() {
    let dir = initialised();
    done(dir.path(), &["client", "ada", "--days", "1"]);
    let packed = |dir: &Path| certs(dir, &["bundle", "ada", "--force"]).status.success();
    assert!(packed(dir.path()));
    // The same in two days: faketime is not everywhere, so the certificate is one that ended.
    let expired = crate::support::expired(&dir.path().join("certs"), "ada");
    fs::write(dir.path().join("certs/clients/ada/cert.pem"), expired).expect("write");
    let said = refused(dir.path(), &["bundle", "ada", "--force"]);
    assert!(said.contains("expired on"), "{said}");
    follow(dir.path(), &said);
    assert!(packed(dir.path()));
}
