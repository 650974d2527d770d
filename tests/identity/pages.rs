//! The pages about a signer are run as they are written, with these names and addresses in the place of theirs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use testkit::programs::said;

use crate::fleet::{FleetGate, connect, gate};
use crate::support::*;

/// A page, and the commands of it that were run.
struct GuidePage {
    text: String,
    run: RefCell<BTreeSet<String>>,
    /// What of a line is written otherwise here.
    instead: Vec<(&'static str, String)>,
}

impl GuidePage {
    fn read(name: &str, instead: &[(&'static str, &str)]) -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs/tasks")
            .join(name);
        Self {
            text: fs::read_to_string(page).expect("the page"),
            run: RefCell::default(),
            instead: instead
                .iter()
                .map(|(of, by)| (*of, (*by).to_owned()))
                .collect(),
        }
    }

    /// The commands of the page: indented lines, and what tables and sentences have between backticks.
    fn commands(&self) -> Vec<&str> {
        let indented = self
            .text
            .lines()
            .filter_map(|it| it.strip_prefix("    dockgate "));
        let quoted = self.text.split('`').skip(1).step_by(2);
        indented
            .chain(quoted.filter_map(|it| it.strip_prefix("dockgate ")))
            .collect()
    }

    /// The words of the one command that begins so, as they are used here.
    #[track_caller]
    fn command(&self, begins: &str) -> Vec<String> {
        let commands = self.commands();
        let found = commands.iter().find(|it| it.starts_with(begins));
        let line = *found.unwrap_or_else(|| panic!("the page has no {begins:?}: {commands:?}"));
        self.run.borrow_mut().insert(line.to_owned());
        let mut line = line.to_owned();
        for (of, by) in &self.instead {
            line = line.replace(of, by);
        }
        line.split_whitespace().map(ToOwned::to_owned).collect()
    }

    /// Runs a command that has to work; what it said.
    #[track_caller]
    fn done(&self, dir: &Path, begins: &str) -> String {
        let words = self.command(begins);
        done(dir, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The token of an invitation.
    #[track_caller]
    fn invite(&self, dir: &Path, begins: &str) -> String {
        let words = self.command(begins);
        invite(
            dir,
            &words[1..].iter().map(String::as_str).collect::<Vec<_>>(),
        )
    }

    /// A gate that serves as the page says.
    #[track_caller]
    fn serve(&self, dir: &Path, begins: &str) -> FleetGate {
        let words = self.command(begins);
        let options: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        gate(&options, |command| _ = command.current_dir(dir))
    }

    /// That each line of its own was run: none is forgotten.
    fn is_run(&self) {
        let lines = self
            .text
            .lines()
            .filter_map(|it| it.strip_prefix("    dockgate "));
        let run = self.run.borrow();
        let left: Vec<_> = lines.filter(|it| !run.contains(*it)).collect();
        assert!(left.is_empty(), "not run: {left:?}");
    }
}

/// A directory to work in, and a home.
fn places() -> (tempfile::TempDir, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    (dir, tempfile::tempdir().expect("a home"))
}

#[test]
fn the_page_about_the_first_client_works_as_it_is_written() {
    let instead = [
        ("tcp://:2378", "tcp://127.0.0.1:0"),
        ("docker.example.com", "localhost"),
    ];
    let page = GuidePage::read("your-first-client.md", &instead);
    let (dir, home) = places();
    let (dir, home) = (dir.path(), home.path());
    let first = page.serve(dir, "serve --auto-certs ./certs --enroll");
    let token = page.invite(dir, "invite alice --dir ./certs");
    let words = page.command("join -");
    assert_eq!(words, ["join", "-"]);
    let output = join(home, &token, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(page.text.contains("    docker ps\n"));
    connect(&first, home, "localhost").expect("let in");
    // A second invitation is seen and taken back, and access is ended.
    invite(dir, &["alice", "--force"]);
    for command in ["certs list", "invite list"] {
        let said = page.done(dir, command);
        assert!(said.contains("alice"), "{command}: {said}");
    }
    page.done(dir, "invite revoke alice");
    page.done(dir, "certs revoke alice");
    testkit::eventually(|| match connect(&first, home, "localhost") {
        Err(_) => Ok(()),
        Ok(_) => Err("let in".to_owned()),
    });
    page.is_run();
}

#[test]
fn the_page_about_a_fleet_works_as_it_is_written() {
    let state = tempfile::tempdir().expect("a directory");
    let state = state.path().join("gate").display().to_string();
    let instead = [
        ("tcp://:2378", "tcp://127.0.0.1:0"),
        // Both gates listen here, and no gate has a name of the signer.
        ("docker2.example.com", "localhost"),
        ("docker.example.com", "127.0.0.1"),
        ("ca.example.com", "localhost"),
        ("/var/lib/dockgate", state.as_str()),
    ];
    let page = GuidePage::read("a-fleet-under-one-ca.md", &instead);
    let (dir, home) = places();
    let (dir, home) = (dir.path(), home.path());
    let first = page.serve(dir, "serve --auto-certs ./certs --enroll");
    let token = page.invite(dir, "invite docker2 --server");
    let words = page.command("join --server -");
    assert_eq!(words[..3], ["join", "--server", "-"]);
    let output = join(home, &token, &["--server", "--dir", &state]);
    assert!(output.status.success(), "{}", said(&output));
    let second = page.serve(dir, "serve --enrolled");
    let token = invite(dir, &["alice"]);
    let output = join(home, &token, &["--renew", "none", "--context", "alice"]);
    assert!(output.status.success(), "{}", said(&output));
    for gate in [&first, &second] {
        connect(gate, home, "alice").expect("let in");
    }
    // A new CA, as far as it goes without waiting for a minute.
    page.done(dir, "certs rollover --dir ./certs");
    let said = page.done(dir, "certs rollover");
    assert!(said.contains("takes the place of"), "{said}");
    let finish = page.command("certs rollover --finish");
    let finish: Vec<&str> = finish.iter().map(String::as_str).collect();
    let said = refused(dir, &finish);
    assert!(said.contains("alice"), "{said}");
    // The end of a client, at every gate, and of a gate.
    page.done(dir, "certs revoke alice");
    for gate in [&first, &second] {
        testkit::eventually(|| match connect(gate, home, "alice") {
            Err(_) => Ok(()),
            Ok(_) => Err("let in".to_owned()),
        });
    }
    page.done(dir, "certs revoke --server docker2");
    let said = refused(home, &["renew", "--force", &state]);
    assert!(said.contains("revoked"), "{said}");
    ca_alone(&page);
    page.is_run();
}

/// The part about a CA on a host without a gate.
fn ca_alone(page: &GuidePage) {
    let (dir, _) = places();
    page.done(dir.path(), "certs init --dir ./certs --san");
    let words = page.command("signer --dir ./certs --san");
    let options: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let signer = SignerProcess::start(dir.path(), &options);
    let token = invite(dir.path(), &["alice"]);
    assert!(token.starts_with("dg1."));
    drop(signer);
}
