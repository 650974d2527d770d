//! Directories people already have: found, used, and signed from as they are.

use std::{fs, path::Path};

use dockgate::app::App;
use dockgate::cli::{self, Command};
use dockgate::config::{self, Config};
use pki::{
    auto,
    layout::{self, LayoutKind},
};

use super::support::{arg, done, initialised};

/// Files of a real set, under other names.
fn arrange(names: &[(&str, &str)]) -> tempfile::TempDir {
    let source = initialised();
    done(source.path(), &["client", "ci"]);
    let target = tempfile::tempdir().expect("temporary directory");
    for (from, to) in names {
        let to = target.path().join(to);
        fs::create_dir_all(to.parent().expect("parent")).expect("directory");
        fs::copy(source.path().join("certs").join(from), to).expect(from);
    }
    target
}

/// The configuration of `serve --auto-certs DIR`.
fn serving(dir: &Path) -> Config {
    let words = [
        "dockgate",
        "serve",
        "--host",
        "tcp://127.0.0.1:0",
        "--control-socket",
        "off",
        "--auto-certs",
        arg(dir),
    ];
    match cli::parse(words).expect("understood").into_command() {
        Command::Serve(args) => config::load(&args, []).expect("a configuration"),
        _ => unreachable!("the words must be of serve"),
    }
}

const CLIENT: [&str; 3] = [
    "clients/ci/ca.pem",
    "clients/ci/cert.pem",
    "clients/ci/key.pem",
];

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn the_three_layouts_are_told_apart_and_complete() {
    let guide = arrange(&[
        ("ca.pem", "ca.pem"),
        ("ca-key.pem", "ca-key.pem"),
        ("server-cert.pem", "server-cert.pem"),
        ("server-key.pem", "server-key.pem"),
        (CLIENT[1], "cert.pem"),
        (CLIENT[2], "key.pem"),
    ]);
    let found = layout::find(guide.path()).expect("Docker's guide");
    assert_eq!(
        (found.kind, found.ca),
        (LayoutKind::Guide, guide.path().join("ca.pem"))
    );
    assert_eq!(found.client_dir.as_deref(), Some(guide.path()));

    let kekru = arrange(&[
        ("ca.pem", "ca-cert.pem"),
        ("ca-key.pem", "ca-key.pem"),
        ("server-cert.pem", "server-cert.pem"),
        ("server-key.pem", "server-key.pem"),
        (CLIENT[0], "client/ca.pem"),
        (CLIENT[1], "client/cert.pem"),
        (CLIENT[2], "client/key.pem"),
    ]);
    let found = layout::find(kekru.path()).expect("kekru");
    assert_eq!(
        (found.kind, found.ca),
        (LayoutKind::Kekru, kekru.path().join("ca-cert.pem"))
    );
    assert_eq!(found.client_dir, Some(kekru.path().join("client")));

    let dind = arrange(&[
        ("ca.pem", "ca/cert.pem"),
        ("ca-key.pem", "ca/key.pem"),
        ("ca.pem", "server/ca.pem"),
        ("server-cert.pem", "server/cert.pem"),
        ("server-key.pem", "server/key.pem"),
        (CLIENT[0], "client/ca.pem"),
        (CLIENT[1], "client/cert.pem"),
        (CLIENT[2], "client/key.pem"),
    ]);
    for dir in [dind.path().to_path_buf(), dind.path().join("server")] {
        let found = layout::find(&dir).expect("docker:dind");
        assert_eq!(
            (found.kind, found.server_cert),
            (LayoutKind::Dind, dind.path().join("server/cert.pem"))
        );
        assert_eq!(found.ca_key, Some(dind.path().join("ca/key.pem")));
        assert_eq!(found.client_dir, Some(dind.path().join("client")));
    }
    assert_eq!(
        layout::find(&dind.path().join("client")),
        None,
        "a client's directory is not a server's"
    );
    assert_eq!(layout::find(&dind.path().join("ca")), None);

    for dir in [&guide, &kekru, &dind] {
        let dir_arg = dir.path().to_str().expect("utf-8");
        let before = fs::read_dir(dir.path()).expect("directory").count();
        let made = auto::ensure(dir.path(), &[]).expect("used as it is");
        assert!(made.client_dir.is_some());
        assert!(made.actions.is_empty(), "{:?}", made.actions);
        let app = App::build(serving(dir.path())).expect("starts with it");
        assert!(!app.addresses().is_empty());
        assert_eq!(
            fs::read_dir(dir.path()).expect("directory").count(),
            before,
            "nothing was added"
        );
        done(dir.path(), &["client", "new", "--dir", dir_arg]);
        let said = done(
            dir.path(),
            &[
                "show",
                &format!("{dir_arg}/clients/new/cert.pem"),
                "--dir",
                dir_arg,
            ],
        );
        assert!(said.contains("would let it in as new"), "{said}");
        assert!(done(dir.path(), &["list", "--dir", dir_arg]).contains("server"));
    }
}

#[test]
fn half_a_layout_is_none() {
    for names in [
        &[("ca.pem", "ca.pem")][..],
        &[("ca.pem", "ca.pem"), ("server-cert.pem", "server-cert.pem")],
        &[
            ("server-cert.pem", "server-cert.pem"),
            ("server-key.pem", "server-key.pem"),
        ],
    ] {
        assert_eq!(layout::find(arrange(names).path()), None, "{names:?}");
    }
    assert_eq!(layout::find(std::path::Path::new("/nonexistent")), None);
}
