//! Files in tests/config and config/: what is accepted, and the exact words for what is not.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use dockgate::cli::ServeArgs;
use dockgate::config::error::ConfigError;
use dockgate::config::key::{KEYS, SettingKind};
use dockgate::config::search::Places;
use dockgate::config::{self, Config};
use proptest::prelude::*;
use tempfile::TempDir;

fn files(dir: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{dir:?} has no fixtures");
    files
}

/// Loads a file on a host that has certificates and nothing else.
fn load(file: &Path) -> Result<Config, ConfigError> {
    let root = TempDir::new().unwrap();
    let certs = root.path().join("certs/server");
    fs::create_dir_all(&certs).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::write(certs.join(name), "").unwrap();
    }
    let args = ServeArgs {
        config_file: Some(file.to_owned()),
        ..ServeArgs::default()
    };
    config::load_within(
        &args,
        Vec::<(OsString, OsString)>::new(),
        &Places::below(root.path(), root.path(), None),
    )
}

#[test]
fn valid_files_load() {
    for file in files("tests/config/valid")
        .into_iter()
        .chain(files("config"))
        .chain(files("config/examples"))
    {
        if let Err(err) = load(&file) {
            panic!("{}:\n{err}", file.display());
        }
    }
}

#[test]
fn invalid_files_are_refused_in_the_expected_words() {
    let mut wrong = Vec::new();
    for file in files("tests/config/invalid") {
        let err = load(&file).expect_err(&format!("{} was accepted", file.display()));
        let dir = format!("{}/", file.parent().unwrap().display());
        let message = format!("{err}\n").replace(&dir, "");
        let expected = fs::read_to_string(file.with_extension("txt")).unwrap_or_default();
        if message != expected {
            wrong.push(format!(
                "{}\n-- said --\n{message}-- expected --\n{expected}",
                file.display()
            ));
        }
        assert_eq!(err.exit_code(), 78, "{}", file.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lines of config/dockgate.toml that hold a setting, without their comment sign.
fn documented() -> Vec<String> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dockgate.toml"))
            .unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| {
            line.split_once(" = ").is_some_and(|(name, _)| {
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit())
            })
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_setting_is_documented_with_its_true_default() {
    let lines = documented();
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        KEYS.iter().map(|key| key.name).collect::<Vec<_>>(),
        "same settings, same order"
    );
    for (line, key) in lines.iter().zip(KEYS) {
        let (_, value) = line.split_once(" = ").unwrap();
        let value: toml::Value = toml::from_str::<toml::Table>(&format!("v = {value}"))
            .unwrap()
            .remove("v")
            .unwrap();
        let text = match (&value, key.kind) {
            (toml::Value::String(text), _) => text.clone(),
            (toml::Value::Array(items), SettingKind::List { .. }) => items
                .iter()
                .map(|item| item.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(","),
            (other, SettingKind::Count | SettingKind::OptionalCount | SettingKind::Switch) => {
                other.to_string()
            }
            (other, _) => panic!("{}: {other}", key.name),
        };
        assert_eq!(text, key.default, "{}", key.name);
    }
}

#[test]
fn the_documented_file_means_the_defaults_when_uncommented() {
    let dir = TempDir::new().unwrap();
    let all = dir.path().join("all.toml");
    fs::write(&all, documented().join("\n")).unwrap();
    let none = dir.path().join("none.toml");
    fs::write(&none, "").unwrap();
    let bare = |file: &Path| {
        let mut config = load(file).unwrap();
        // They name the file and the temporary root, which differ.
        (config.settings, config.files, config.notes) = (Vec::new(), Vec::new(), Vec::new());
        (config.config_file, config.tls) = (None, None);
        config
    };
    assert_eq!(bare(&all), bare(&none));
}

proptest! {
    #[test]
    fn the_loader_never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = config::file::parse(Path::new("x.toml"), &bytes);
    }

    #[test]
    fn the_loader_never_panics_on_toml_like_text(text in "([a-z-]{1,12}( ?= ?(\"[^\"]{0,12}\"|[0-9.-]{1,5}|\\[[^\\]]{0,9}\\]|true|\\{\\}))?\r?\n|\\[[a-z.]{0,6}\\]\n|#.{0,5}\n){0,12}") {
        let _ = config::file::parse(Path::new("x.toml"), text.as_bytes());
    }

    #[test]
    fn no_value_of_any_setting_panics(index in 0..KEYS.len(), value in "(tcp://|fd://|unix://|)[ -~µ✓]{0,24}") {
        let dir = TempDir::new().unwrap();
        let env = vec![(OsString::from(KEYS[index].env()), OsString::from(&value))];
        let _ = config::load_within(&ServeArgs::default(), env, &Places::below(dir.path(), dir.path(), None));
    }

    #[test]
    fn pem_is_read_or_refused_but_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), label in "[A-Z ]{0,20}") {
        let _ = pki::pem::read(&bytes);
        let framed = [b"-----BEGIN ", label.as_bytes(), b"-----\n", &bytes, b"\n-----END ", label.as_bytes(), b"-----\n"].concat();
        let _ = pki::pem::read(&framed);
    }
}

#[test]
fn the_systemd_example_takes_the_socket_that_is_shipped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let socket = fs::read_to_string(root.join("deploy/systemd/dockgate.socket")).unwrap();
    let name = socket
        .lines()
        .find_map(|line| line.strip_prefix("FileDescriptorName="))
        .expect("the socket has a name");
    let config = load(&root.join("config/examples/systemd.toml")).unwrap();
    let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, [format!("fd://{name}")]);
}
