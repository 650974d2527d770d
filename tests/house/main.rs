//! The house rules that no compiler holds: what the pure crates are free of.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_pure_crates_have_no_runtime_and_no_command_line() {
    for (krate, without) in [
        ("text", &["tokio", "clap", "rustls"][..]),
        ("docker-api", &["tokio", "clap", "rustls"]),
        ("policy", &["tokio", "clap", "rustls"]),
        ("pki", &["tokio", "clap"]),
    ] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--edges", "normal"])
            .args(["--prefix", "none", "--package", krate])
            .current_dir(root())
            .output()
            .expect("start cargo");
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(tree.starts_with(&format!("{krate} ")), "{output:?}");
        let names: BTreeSet<&str> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        for name in without {
            assert!(!names.contains(name), "{krate} depends on {name}:\n{tree}");
        }
    }
}
