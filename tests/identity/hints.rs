//! Advice leads somewhere: each command that `join`, `renew`, `invite`, the signer and `doctor` print is run in the state that
//! caused it, and mends it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use testkit::programs::{binary, said};

use crate::fleet::gate;
use crate::support::*;

/// What of a text is between backticks in its hint.
#[track_caller]
fn advised(text: &str) -> Vec<&str> {
    let (_, hint) = text
        .split_once("hint: ")
        .unwrap_or_else(|| panic!("no hint: {text}"));
    let commands = hint.split('`').skip(1).step_by(2);
    let ours: Vec<_> = commands.filter(|it| it.starts_with("dockgate ")).collect();
    assert!(!ours.is_empty(), "no command: {hint}");
    ours
}

/// A line as a person would paste it, in a directory which is also the home, with a line on standard input.
fn paste(dir: &Path, line: &str, input: &str) -> Output {
    let mut child = Command::new("sh")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir)
        .args(["-c", &format!("dockgate() {{ \"$0\" \"$@\"; }}; {line}")])
        .arg(binary())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start sh");
    // One that reads nothing may have ended.
    let _ = writeln!(child.stdin.take().expect("a pipe"), "{input}");
    child.wait_with_output().expect("its output")
}

/// The same for one that has to work; what is on standard output.
#[track_caller]
fn pasted(dir: &Path, line: &str, input: &str) -> String {
    let output = paste(dir, line, input);
    assert!(output.status.success(), "`{line}`: {}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().to_owned()
}

/// A signer where clients look for one. Dropping it ends it.
struct Comeback(Child);

impl Drop for Comeback {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the signer by the words of a hint, at an address of this process alone.
fn comes_back(dir: &Path, command: &str, host: &str) -> Comeback {
    let words = command.strip_prefix("dockgate ").expect("ours");
    let mut child = crate::support::command(dir)
        .args(words.split(' '))
        .args(["--listen", &format!("tcp://{host}:2378"), "--san", host])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start the signer");
    let stdout = child.stdout.take().expect("a pipe");
    let mut first = String::new();
    BufReader::new(stdout)
        .read_line(&mut first)
        .expect("a line");
    assert!(first.starts_with("signer listens on "), "{first:?}");
    Comeback(child)
}

/// A CA's directory and the home of those who join.
struct JoinDesk {
    dir: tempfile::TempDir,
    home: tempfile::TempDir,
}

impl JoinDesk {
    fn new() -> Self {
        Self {
            dir: directory_alone(),
            home: tempfile::tempdir().expect("create a temporary directory"),
        }
    }

    fn joins(&self, token: &str, context: &str) -> (bool, String) {
        let args = ["--renew", "none", "--context", context];
        let output = join(self.home.path(), token, &args);
        (output.status.success(), said(&output))
    }

    #[track_caller]
    fn is_in(&self, token: &str, context: &str) {
        let (done, text) = self.joins(token, context);
        assert!(done, "{text}");
    }

    /// What it says when it is refused, with these words.
    #[track_caller]
    fn is_out(&self, token: &str, context: &str, words: &str) -> String {
        let (done, text) = self.joins(token, context);
        assert!(!done && text.contains(words), "{text}");
        text
    }

    /// The token that a hint's `dockgate invite` makes.
    #[track_caller]
    fn invited(&self, command: &str, name: &str) -> String {
        assert!(command.starts_with("dockgate invite"), "{command}");
        let line = match command.contains("NAME") {
            true => command.replace("NAME", name),
            false => format!("{command} {name}"),
        };
        pasted(self.dir.path(), &line, "")
    }

    /// Renews what joined as a context.
    fn renewal(&self, context: &str) -> Output {
        let joined = joined(self.home.path(), context).display().to_string();
        run(self.home.path(), &["renew", "--force", &joined])
    }
}

#[test]
fn a_signer_that_is_not_there_is_started_as_the_hints_say() {
    let desk = JoinDesk::new();
    let dir = desk.dir.path();
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = format!("127.78.{high}.{low}");
    // None has run here, so that a token cannot say where it is.
    let text = refused(dir, &["invite", "alice"]);
    let signer = comes_back(dir, advised(&text)[0], &host);
    let alice = invite(dir, &["alice"]);
    // It has gone.
    drop(signer);
    let text = desk.is_out(&alice, "alice", "cannot connect to the signer");
    let _signer = comes_back(dir, advised(&text)[0], &host);
    desk.is_in(&alice, "alice");
}

#[test]
fn a_token_that_is_not_good_is_replaced_as_the_hints_say() {
    let desk = JoinDesk::new();
    let (dir, home) = (desk.dir.path(), desk.home.path());
    let signer = SignerProcess::start(dir, &[]);
    // Half of one.
    let alice = invite(dir, &["alice"]);
    let text = desk.is_out(&alice[..alice.len() / 2], "alice", "token");
    desk.is_in(&desk.invited(advised(&text)[0], "bob"), "bob");
    // None at all, and the file in which it is.
    std::fs::write(home.join("token"), &alice).expect("write it");
    let args = ["join", "-", "--renew", "none", "--context", "alice"];
    let text = said(&fed(home, &args, ""));
    let line = advised(&text).into_iter().find(|it| it.contains("FILE"));
    let line = line.unwrap_or_else(|| panic!("no line with a file: {text}"));
    let line = line.replace("FILE", "token");
    // An option after the redirection is one of the command.
    pasted(home, &format!("{line} --renew none --context alice"), "");
    // One that was taken back, and one that is used up.
    let carol = invite(dir, &["carol"]);
    done(dir, &["invite", "revoke", "carol"]);
    for (token, name) in [(&carol, "carol"), (&alice, "dan")] {
        let text = desk.is_out(token, name, "(401)");
        desk.is_in(&desk.invited(advised(&text)[0], name), name);
    }
    // Somebody in between: what was in the token is worth nothing afterwards.
    let erin = invite(dir, &["erin"]);
    let mut wrong = enroll::Token::parse(&erin).expect("a token");
    wrong.ca_sha256 = [0; 32];
    let text = desk.is_out(&wrong.expose(), "erin", "is not the signer");
    pasted(dir, &format!("{} erin", advised(&text)[0]), "");
    desk.is_out(&erin, "erin", "(401)");
    drop(signer);
}

#[test]
fn a_member_that_is_revoked_and_a_place_that_is_taken_are_left_as_the_hints_say() {
    let desk = JoinDesk::new();
    let (dir, home) = (desk.dir.path(), desk.home.path());
    let _signer = SignerProcess::start(dir, &[]);
    desk.is_in(&invite(dir, &["alice"]), "alice");
    done(dir, &["certs", "revoke", "alice"]);
    let output = desk.renewal("alice");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("(403)"), "{text}");
    desk.is_in(&desk.invited(advised(&text)[0], "alice"), "alice");
    let output = desk.renewal("alice");
    assert!(output.status.success(), "{}", said(&output));
    // A context that somebody else made; the invitation is unused.
    std::fs::create_dir_all(joined(home, "theirs").join("docker")).expect("a directory");
    let bob = invite(dir, &["bob"]);
    desk.is_out(
        &bob,
        "theirs",
        "hint: give the new one another name with --context NAME",
    );
    desk.is_in(&bob, "bob");
    // A directory that nothing joined.
    let text = refused(home, &["renew", "--force", "."]);
    assert!(
        text.contains("hint: name the directory that `dockgate join` printed"),
        "{text}"
    );
    let output = desk.renewal("bob");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_signer_without_a_ca_says_what_makes_one() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let args = ["signer", "--listen", "tcp://127.0.0.1:0"];
    let text = refused(dir.path(), &args);
    pasted(dir.path(), advised(&text)[0], "");
    let _signer = SignerProcess::start(dir.path(), &[]);
}

/// What `doctor` says to somebody at home, as one line.
fn doctor(home: &Path, args: &[&str]) -> String {
    let text = said(&run(home, &[&["doctor"], args].concat()));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// That it finds nothing wrong with the client. (The stand-in for the engine answers a ping, and no more.)
#[track_caller]
fn lets_in(home: &Path, args: &[&str]) {
    let text = doctor(home, args);
    assert!(text.contains("answers a ping with 200"), "{text}");
}

/// What it says once the gate knows of the revocation.
fn told_of_the_revocation(home: &Path, args: &[&str]) -> String {
    testkit::eventually(|| {
        let text = doctor(home, args);
        match text.contains("has revoked or denied the client certificate") {
            true => Ok(text),
            false => Err(text),
        }
    })
}

#[test]
fn doctor_tells_a_revoked_client_the_way_by_which_its_certificate_came() {
    let (dir, home) = (tempfile::tempdir(), tempfile::tempdir());
    let (dir, home) = (dir.expect("a directory"), home.expect("a home"));
    let (dir, home) = (dir.path(), home.path());
    let options = "--auto-certs certs --enroll tcp://127.0.0.1:0 --san localhost";
    let options: Vec<_> = options.split(' ').collect();
    let gate = gate(&options, |command| _ = command.current_dir(dir));
    let address = format!("tcp://localhost:{}", gate.process.addr.port());
    let place = format!("--renew none --host {address}");
    let token = invite(dir, &["alice"]);
    pasted(
        home,
        &format!("dockgate join - --context office {place}"),
        &token,
    );
    done(dir, &["certs", "client", "bob"]);
    let files =
        [("tlscacert", "ca"), ("tlscert", "cert"), ("tlskey", "key")].map(|(option, it)| {
            let file = dir.join(format!("certs/clients/bob/{it}.pem"));
            format!("--{option}={}", file.display())
        });
    let bob = [&address, &files[0], &files[1], &files[2]].map(String::as_str);
    lets_in(home, &[]);
    lets_in(home, &bob);
    for name in ["alice", "bob"] {
        done(dir, &["certs", "revoke", name]);
    }
    // The one that joined gets another invitation, and stays where it was.
    let text = told_of_the_revocation(home, &[]);
    let [invites, brings] = advised(&text)[..] else {
        panic!("two commands: {text}")
    };
    let token = pasted(dir, &invites.replace("NAME", "alice"), "");
    pasted(home, &format!("{brings} {place}"), &token);
    assert!(!joined(home, "localhost").exists());
    lets_in(home, &[]);
    // The CA of the other lies here: the command names its directory.
    let text = told_of_the_revocation(home, &bob);
    pasted(home, advised(&text)[0], "");
    lets_in(home, &bob);
}
