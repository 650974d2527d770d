//! Settings that restrain the gate: what turns them off, and other spellings.

use dockgate::config::origin::Origin;

use crate::host::EmptyHost;

#[test]
fn only_off_turns_off_what_restrains() {
    let host = EmptyHost::new();
    // A shell's unset variable is no wish for full access.
    for (flag, expected) in [
        ("--policy", "a path, or \"off\""),
        ("--audit", "\"stdout\", a path or \"off\""),
        ("--authz-plugin", "a path, or \"off\""),
    ] {
        let text = host
            .load_with_certs(&[flag, ""], &[])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains(&format!("{flag} \"\": expected {expected}")),
            "{text}"
        );
    }
    // Compose writes an empty text for what nobody set.
    let config = host.load_with_certs(&[], &[("DOCKGATE_POLICY", "")]);
    assert_eq!(config.unwrap().policy, None);
    let config = host.load_with_certs(&["--policy", "off"], &[("DOCKGATE_POLICY", "/p.toml")]);
    assert_eq!(config.unwrap().policy, None);
    // Words that turn off numbers and times are names of files here.
    for word in ["none", "0"] {
        let config = host.load_with_certs(&["--policy", word], &[]).unwrap();
        assert_eq!(config.policy.unwrap().file_name().unwrap(), word);
    }
}

#[test]
fn only_off_keeps_root() {
    let host = EmptyHost::new();
    for flag in ["--user", "--user="] {
        let args = match flag {
            "--user" => vec!["--user", ""],
            _ => vec![flag],
        };
        let text = host.load_with_certs(&args, &[]).unwrap_err().to_string();
        let expected = "expected a user's name or number, USER:GROUP, or \"off\"";
        assert!(text.contains(expected), "{text}");
    }
    for nobody in [&["--user", "off"][..], &[]] {
        let config = host.load_with_certs(nobody, &[("DOCKGATE_USER", "")]);
        assert_eq!(config.unwrap().user, None);
    }
    // These are a number and names: whether they can be served as is seen when they are looked up.
    for word in ["0", "0s", "none", "root"] {
        let config = host.load_with_certs(&["--user", word], &[]).unwrap();
        assert_eq!(config.user.unwrap().to_string(), word);
    }
}

#[test]
fn tlsverify_cannot_be_turned_off() {
    let host = EmptyHost::new();
    for args in [&["--tlsverify"][..], &["--tlsverify=true"]] {
        let config = host.load_with_certs(args, &[]).unwrap();
        assert_eq!(
            config.notes,
            ["tlsverify has no effect: dockgate always verifies clients"]
        );
    }
    let err = host
        .load_with_certs(&["--tlsverify=false"], &[])
        .unwrap_err();
    assert!(
        err.to_string()
            .starts_with("tlsverify is false; dockgate always verifies clients\nhint: "),
        "{err}"
    );
}

#[test]
fn a_section_is_another_spelling_of_the_plugin() {
    let host = EmptyHost::new();
    host.write(
        "etc/dockgate/dockgate.toml",
        "\n[authz_plugin]\nsocket = \"plugins/opa.sock\"\n",
    );
    let config = host.load_with_certs(&[], &[]).unwrap();
    let dir = host.root.path().join("etc/dockgate");
    assert_eq!(config.authz_plugin, Some(dir.join("plugins/opa.sock")));
    let path = dir.join("dockgate.toml");
    assert_eq!(
        config.origin("authz-plugin"),
        &Origin::File { path, line: 3 }
    );
    let config = host.load_with_certs(&["--authz-plugin", "off"], &[]);
    assert_eq!(config.unwrap().authz_plugin, None);
    host.write(
        "etc/dockgate/dockgate.toml",
        "[authz_plugin]\nsocket = \"off\"\n",
    );
    assert_eq!(host.load_with_certs(&[], &[]).unwrap().authz_plugin, None);
}
