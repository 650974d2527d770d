//! What the start says to a person: an engine that is away, and a first client that the policy does not know.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;
use testkit::daemon::Daemon;
use testkit::eventually;
use testkit::gate::{ByOptions, engine_socket};
use testkit::pki::Pki;

/// A gate in `dir`, and its banner.
fn start(dir: TempDir, options: &[&str]) -> (ByOptions, String) {
    let pki = Pki::create(dir.path());
    let out = dir.path().join("banner");
    let mut command = ByOptions::command(&dir, options);
    command.stdout(fs::File::create(&out).expect("create the banner's file"));
    let gate = ByOptions::run(command, pki, dir);
    let text = eventually(|| {
        let text = fs::read_to_string(&out).expect("read the banner");
        let whole = text.contains("  access ") && text.ends_with('\n');
        if whole { Ok(text) } else { Err(text) }
    });
    (gate, text)
}

fn is_about_the_engine(line: &Value) -> bool {
    let message = line["message"].as_str().unwrap_or_default();
    message.starts_with("The engine does not answer")
}

#[test]
fn an_engine_that_is_away_is_said_at_the_start_and_one_that_answers_is_not() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let (gate, banner) = start(dir, &[]);
    assert!(
        banner.contains("  warning     the engine's socket ")
            && banner.contains("requests are refused with 502 until the engine answers")
            && banner.contains("              hint: "),
        "{banner}"
    );
    let told = gate.logged(is_about_the_engine);
    assert_eq!(told["level"], "warn");
    assert!(
        told["hint"].is_string() && told["error"].is_string(),
        "{told}"
    );

    let dir = tempfile::tempdir().expect("create a temporary directory");
    let _engine = Daemon::start(&engine_socket(&dir));
    let (gate, banner) = start(dir, &[]);
    assert!(!banner.contains("warning"), "{banner}");
    gate.logged(|line| line["message"] == "Listening");
    assert_eq!(gate.count(is_about_the_engine), 0);
}

#[test]
fn a_first_client_is_offered_where_the_policy_lets_it_do_something_alone() {
    let banner = |policy: &str| {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let file = dir.path().join("policy.toml");
        fs::write(&file, policy).expect("write the policy");
        let out = dir.path().join("banner");
        let mut command = testkit::programs::dockgate();
        command
            .args(["serve", "-H", "tcp://127.0.0.1:0", "--log-format", "json"])
            .args(["--control-socket", "off", "--auto-certs"])
            .arg(dir.path().join("certs"))
            .arg("--policy")
            .arg(&file)
            .stdout(fs::File::create(&out).expect("create the banner's file"))
            .stderr(std::process::Stdio::piped());
        let _gate = testkit::process::GateProcess::spawn(&mut command);
        eventually(|| {
            let text = fs::read_to_string(&out).expect("read the banner");
            let whole = text.contains("Try it") || text.contains("  note ");
            if whole { Ok(text) } else { Err(text) }
        })
    };
    let entry = |name: &str| {
        format!("version = 1\n[[client]]\nmatch = {{ cn = \"{name}\" }}\nrole = \"read-only\"\n")
    };
    let known = banner(&entry("admin"));
    assert!(
        known.contains("Try it:") && !known.contains("no entry for the first client"),
        "{known}"
    );
    assert!(known.contains("a certificate that matches no entry may do nothing"));
    let any = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"read-only\"\n";
    assert!(!banner(any).contains("may do nothing"));
    let unknown = banner(&entry("somebody"));
    assert!(
        unknown.contains("the policy has no entry for the first client (cn=admin)")
            && !unknown.contains("Try it"),
        "{unknown}"
    );
}

/// `serve` on a terminal of its own, which `script` makes and writes down.
struct OnTerminal {
    script: std::process::Child,
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.script);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.script.wait();
    }
}

#[test]
fn on_one_terminal_the_log_is_for_people_and_repeats_nothing_of_the_banner() {
    for (no_color, colored) in [(false, true), (true, false)] {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let written = dir.path().join("terminal");
        let line = format!(
            "exec {} serve -H tcp://127.0.0.1:0 --control-socket off --upstream unix:///nowhere/docker.sock --auto-certs {}",
            testkit::programs::binary().display(),
            dir.path().join("certs").display()
        );
        let mut command = std::process::Command::new("script");
        command.env_clear().env("TERM", "xterm");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        command.args(["-q", "-e", "-f", "-c", &line]).arg(&written);
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null());
        let script = match command.spawn() {
            Ok(script) => script,
            Err(_) => return testkit::programs::missing("script"),
        };
        let _ended = OnTerminal { script };
        let text = eventually(|| {
            let text = fs::read_to_string(&written).unwrap_or_default();
            let whole = text.contains("docker ps");
            if whole { Ok(text) } else { Err(text) }
        });
        let times = |words: &str| text.matches(words).count();
        assert_eq!(times("/nowhere/docker.sock does not exist"), 1, "{text}");
        assert_eq!(times("no request is denied"), 1, "{text}");
        assert_eq!((times("Listening"), times("{\"")), (0, 0), "{text}");
        // What is logged comes first, in lines for people.
        let cage = text.lines().position(|line| line.contains("In the cage"));
        let banner = text.lines().position(|line| line.contains("  listening "));
        assert!(cage.is_some() && cage < banner, "{text}");
        let cage = text.lines().find(|line| line.contains("In the cage"));
        let cage = cage.expect("found above");
        assert_eq!(cage.contains("\u{1b}[2m"), colored, "{text}");
        let clock = cage.replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
        assert!(
            clock.get(8..9) == Some(" ") && clock.get(2..3) == Some(":"),
            "{text}"
        );
    }
}
