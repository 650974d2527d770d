use std::fs;
use std::path::Path;

use super::*;
use pki::auto;

/// A gate's files, and what a reloader that started with them knows.
fn known(dir: &Path) -> KnownFiles {
    auto::ensure(&dir.join("ca"), &[]).expect("certificates");
    fs::copy(dir.join("ca/ca.pem"), dir.join("ca.pem")).expect("copied");
    fs::create_dir(dir.join("lists")).expect("made");
    fs::write(
        dir.join("policy.toml"),
        "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"monitor\"\n",
    )
    .expect("written");
    configure(dir, "");
    let args = ServeArgs {
        config_file: Some(dir.join("dockgate.toml")),
        ..ServeArgs::default()
    };
    let config = config::load(&args, Vec::new()).expect("a configuration");
    KnownFiles {
        args,
        cage: None,
        has_lists: false,
        seen: snapshot(&config),
        config,
        changing: None,
        faulty: None,
    }
}

fn configure(dir: &Path, more: &str) {
    let text = format!(
        "hosts = [\"tcp://127.0.0.1:0\"]\npolicy = \"policy.toml\"\ntlscacert = \"ca.pem\"\n\
         tlscert = \"ca/server-cert.pem\"\ntlskey = \"ca/server-key.pem\"\ntlscrl = [\"lists\"]\n{more}"
    );
    fs::write(dir.join("dockgate.toml"), text).expect("written");
}

/// What somebody does to the files of a directory.
type FileChange = Box<dyn Fn(&Path)>;

/// A look, of which the reloader keeps what it must.
fn poll(known: &mut KnownFiles) -> FoundFiles {
    let found = known.polled();
    known.changing = match found {
        FoundFiles::Changing(digest) => Some(digest),
        _ => None,
    };
    if let FoundFiles::Fault(_, digest) = &found {
        known.faulty = Some(*digest);
    }
    found
}

#[test]
fn a_change_of_any_file_counts_once_two_looks_see_the_same_bytes() {
    let append = |file: &'static str, text: &'static str| {
        move |dir: &Path| {
            let path = dir.join(file);
            let old = fs::read_to_string(&path).unwrap_or_default();
            fs::write(path, old + text).expect("written");
        }
    };
    let second = tempfile::tempdir().expect("a directory");
    auto::ensure(second.path(), &[]).expect("certificates");
    let from = |file: &'static str, to: &'static str| {
        let bytes = fs::read(second.path().join(file)).expect("read");
        move |dir: &Path| fs::write(dir.join(to), &bytes).expect("written")
    };
    let changes: Vec<(&str, FileChange)> = vec![
        ("policy", Box::new(append("policy.toml", "# more\n"))),
        (
            "configuration",
            Box::new(append("dockgate.toml", "log-level = \"debug\"\n")),
        ),
        (
            "deny list",
            Box::new(append("dockgate.toml", "deny-serials = [\"4f\"]\n")),
        ),
        ("CA bundle", Box::new(from("ca.pem", "ca.pem"))),
        (
            "server certificate",
            Box::new(append("ca/server-cert.pem", "\n")),
        ),
    ];
    for (what, change) in changes {
        let dir = tempfile::tempdir().expect("a directory");
        let mut known = known(dir.path());
        assert!(matches!(poll(&mut known), FoundFiles::Unchanged), "{what}");
        change(dir.path());
        assert!(
            matches!(poll(&mut known), FoundFiles::Changing(_)),
            "{what}: counts at once"
        );
        // Somebody is still writing.
        append("policy.toml", "# and more\n")(dir.path());
        assert!(
            matches!(poll(&mut known), FoundFiles::Changing(_)),
            "{what}: changed in between"
        );
        assert!(
            matches!(poll(&mut known), FoundFiles::New(_)),
            "{what}: two looks saw the same"
        );
    }
}

#[test]
fn a_change_that_was_taken_back_before_the_second_look_never_happened() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut known = known(dir.path());
    let policy = fs::read(dir.path().join("policy.toml")).expect("read");
    fs::write(dir.path().join("policy.toml"), &policy[..20]).expect("written");
    assert!(matches!(poll(&mut known), FoundFiles::Changing(_)));
    fs::write(dir.path().join("policy.toml"), &policy).expect("written");
    assert!(matches!(poll(&mut known), FoundFiles::Unchanged));
}

#[test]
fn who_asks_gets_what_is_there_now() {
    let dir = tempfile::tempdir().expect("a directory");
    let known = known(dir.path());
    configure(dir.path(), "log-level = \"debug\"\n");
    assert!(matches!(known.asked(), FoundFiles::New(_)));
}

#[test]
fn a_fault_is_found_once_and_again_when_another_file_changes_that_only_the_new_configuration_names()
{
    let dir = tempfile::tempdir().expect("a directory");
    let mut known = known(dir.path());
    let text = fs::read_to_string(dir.path().join("dockgate.toml")).expect("read");
    fs::write(
        dir.path().join("dockgate.toml"),
        text.replace("policy.toml", "other.toml"),
    )
    .expect("written");
    assert!(matches!(poll(&mut known), FoundFiles::Changing(_)));
    assert!(matches!(poll(&mut known), FoundFiles::Fault(..)));
    assert!(
        matches!(poll(&mut known), FoundFiles::Unchanged),
        "it is said once"
    );
    fs::copy(
        dir.path().join("policy.toml"),
        dir.path().join("other.toml"),
    )
    .expect("copied");
    assert!(matches!(poll(&mut known), FoundFiles::Changing(_)));
    assert!(matches!(poll(&mut known), FoundFiles::New(_)));
}
