//! Advice leads somewhere: a command that a message prints is one that dockgate has, and it mends what the message is about.
//! `tests/certs/hints.rs` has the advice of `certs`.

mod doctor;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::error::ErrorKind;
use dockgate::cli;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
};
use testkit::programs::{binary, dockgate, finished, said};

/// Every file of the program.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The commands between backticks of a line, with something in the place of what is filled in.
fn commands(line: &str) -> Vec<String> {
    let filled = |command: &str| {
        let mut text = String::new();
        let mut rest = command;
        while let Some((before, after)) = rest.split_once('{') {
            let (_, after) = after.split_once('}').unwrap_or_default();
            text.push_str(before);
            // A word by itself is an argument; what is joined to a word adds options to it.
            if before.ends_with(' ') {
                text.push_str("word");
            }
            rest = after;
        }
        text.push_str(rest);
        text
    };
    let quoted = line.split('`').skip(1).step_by(2);
    let ours = quoted.filter(|quoted| quoted.starts_with("dockgate "));
    ours.map(filled).collect()
}

#[test]
fn each_command_that_a_message_prints_is_one_that_dockgate_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("crates"), &mut files);
    let (mut seen, mut wrong) = (0, Vec::new());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for command in commands(line) {
                seen += 1;
                let words = command.split(" < ").next().unwrap_or_default();
                let words = words.split_whitespace();
                let Err(error) = cli::parse(words) else {
                    continue;
                };
                // A command may be named without its arguments.
                let named = [
                    ErrorKind::DisplayHelp,
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                    ErrorKind::MissingRequiredArgument,
                ];
                // As may a group whose command is filled in.
                let is_filled = command.split(' ').nth(2) == Some("word");
                if !named.contains(&error.kind()) && !is_filled {
                    wrong.push(format!("{}: `{command}`: {error}", path.display()));
                }
            }
        }
    }
    assert!(seen > 80, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unknown = commands("so: `dockgate certs make{} --all`, or `dockgate certs show {}`");
    assert_eq!(
        unknown,
        ["dockgate certs make --all", "dockgate certs show word"]
    );
    assert!(cli::parse(unknown[0].split(' ')).is_err());
}

/// A host with the certificates of `dockgate certs`, a client's among them.
struct CertHost {
    dir: tempfile::TempDir,
}

impl CertHost {
    fn new() -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for command in [
            "dockgate certs init --san localhost --dir certs",
            "dockgate certs crl --dir certs",
            "dockgate certs client ada --dir certs",
            "dockgate certs init --san other.example --dir other",
            "dockgate certs client eve --dir other",
        ] {
            let (done, text) = host.shell(command);
            assert!(done, "{command}: {text}");
        }
        fs::create_dir(host.path("ended")).unwrap();
        for (key, name, usage) in [
            (
                "certs/server-key.pem",
                "server",
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            (
                "certs/clients/ada/key.pem",
                "ada",
                ExtendedKeyUsagePurpose::ClientAuth,
            ),
        ] {
            let ended = host.ended(key, name, usage);
            fs::write(host.path("ended").join(format!("{name}.pem")), ended).unwrap();
        }
        host
    }

    /// A certificate for a key that ended long ago, by the CA in `certs`.
    fn ended(&self, key: &str, name: &str, usage: ExtendedKeyUsagePurpose) -> String {
        let read = |path: &str| fs::read_to_string(self.path(path)).unwrap();
        let pair = |path: &str| KeyPair::from_pem(&read(path)).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&read("certs/ca.pem"), pair("certs/ca-key.pem"));
        let mut params =
            CertificateParams::new(["localhost", "127.0.0.1"].map(String::from)).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&pair(key), &issuer.unwrap()).unwrap();
        signed.pem()
    }

    /// The same in another place.
    fn copied(&self) -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["certs", "other", "ended"] {
            let status = Command::new("cp")
                .arg("-r")
                .args([self.path(name), host.path(name)])
                .status();
            assert!(status.unwrap().success());
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    /// A line as a person would paste it.
    fn shell(&self, line: &str) -> (bool, String) {
        let mut command = Command::new("sh");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .args(["-c", &format!("dockgate() {{ \"$0\" \"$@\"; }}; {line}")])
            .arg(binary())
            .current_dir(self.dir.path());
        let output = finished(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        (output.status.success(), said(&output))
    }

    /// What `dockgate check` finds wrong, each with its advice.
    fn faults(&self, options: &str) -> Vec<(String, String)> {
        let mut command = dockgate();
        command
            .args(["check", "--offline", "--control-socket=off"])
            .args(options.split_whitespace())
            .current_dir(self.dir.path());
        let output = finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let text = said(&output);
        let mut faults: Vec<(String, String)> = Vec::new();
        let mut is_fault = false;
        for line in text.lines() {
            let word = line.split_whitespace().next().unwrap_or_default();
            if ["ok", "warning", "error"].contains(&word) {
                is_fault = word == "error";
                if is_fault {
                    faults.push((line.to_owned(), String::new()));
                }
            } else if let Some(hint) = line.trim_start().strip_prefix("hint: ")
                && is_fault
            {
                faults.last_mut().unwrap().1.push_str(hint);
            }
        }
        faults
    }
}

/// One state: how it comes about, the options of `check`, what is wrong then, the words of the advice's command that a person
/// fills in, and the options afterwards.
struct Advised {
    cause: fn(&CertHost),
    options: &'static str,
    fault: &'static str,
    filled: &'static [(&'static str, &'static str)],
    /// What a person does first and afterwards.
    around: [&'static str; 2],
    then: &'static str,
}

const NAMED: &str = "--tlscacert=certs/ca.pem --tlscert=certs/server-cert.pem --tlskey=certs/server-key.pem --tlscrl=certs/crl.pem";

const ELSEWHERE: &str = "--tlscacert=elsewhere/ca.pem --tlscert=elsewhere/server-cert.pem --tlskey=elsewhere/server-key.pem --tlscrl=elsewhere/crl.pem";

fn nothing(_: &CertHost) {}

const ADVISED: &[Advised] = &[
    Advised {
        cause: |host| fs::remove_dir_all(host.path("certs")).unwrap(),
        options: "",
        fault: "no certificates: tlscacert, tlscert and tlskey are not set",
        filled: &[],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: |host| fs::remove_file(host.path("certs/server-cert.pem")).unwrap(),
        options: "",
        fault: "certs has ca.pem and server-key.pem, and lacks server-cert.pem",
        filled: &[],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: |host| fs::remove_dir_all(host.path("certs")).unwrap(),
        options: NAMED,
        fault: "client CA file \"certs/ca.pem\" cannot be read",
        filled: &[],
        around: ["", "dockgate certs crl"],
        then: NAMED,
    },
    Advised {
        cause: |host| fs::write(host.path("certs/ca.pem"), "").unwrap(),
        options: "",
        fault: "client CA file \"certs/ca.pem\" is empty",
        filled: &[],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: |host| host.copy("other/server-key.pem", "certs/server-key.pem"),
        options: "",
        fault: "does not belong to the certificate in \"certs/server-cert.pem\"",
        filled: &[],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: |host| {
            host.copy("certs/clients/ada/cert.pem", "certs/server-cert.pem");
            host.copy("certs/clients/ada/key.pem", "certs/server-key.pem");
        },
        options: "",
        fault: "has an extendedKeyUsage without serverAuth",
        filled: &[],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: |host| host.copy("ended/server.pem", "certs/server-cert.pem"),
        options: "",
        fault: "expired on 2021-01-01",
        filled: &[],
        around: ["", ""],
        then: "",
    },
    // In another directory than the usual one.
    Advised {
        cause: |host| {
            host.copy("ended/server.pem", "certs/server-cert.pem");
            fs::rename(host.path("certs"), host.path("elsewhere")).unwrap();
        },
        options: ELSEWHERE,
        fault: "expired on 2021-01-01",
        filled: &[],
        around: ["", ""],
        then: ELSEWHERE,
    },
    Advised {
        cause: |host| fs::remove_file(host.path("certs/crl.pem")).unwrap(),
        options: NAMED,
        fault: "CRL file \"certs/crl.pem\" cannot be read",
        filled: &[],
        around: ["", ""],
        then: NAMED,
    },
    Advised {
        cause: |host| fs::write(host.path("certs/crl.pem"), "").unwrap(),
        options: "",
        fault: "CRL file \"certs/crl.pem\" is empty",
        filled: &[],
        around: ["mv certs/crl.pem away", ""],
        then: "",
    },
    Advised {
        cause: nothing,
        options: "--san=gate.example",
        fault: "sans is set without auto-certs",
        filled: &[("NAME", "gate.example --force")],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: nothing,
        options: "--tlsverify=false",
        fault: "tlsverify is false; dockgate always verifies clients",
        filled: &[("NAME", "bob")],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: nothing,
        options: "--deny-serial=zz",
        fault: "--deny-serial \"zz\": expected a serial number",
        filled: &[("FILE", "certs/clients/ada/cert.pem")],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: nothing,
        options: "--deny-spki-sha256=zz",
        fault: "expected the SHA-256 of a public key",
        filled: &[("FILE", "certs/clients/ada/cert.pem")],
        around: ["", ""],
        then: "",
    },
    Advised {
        cause: nothing,
        options: "--audit=no/dir/audit.jsonl",
        fault: "audit records cannot be written to no/dir/audit.jsonl",
        filled: &[],
        around: ["", ""],
        then: "--audit=no/dir/audit.jsonl",
    },
    Advised {
        cause: nothing,
        options: "--owner-key=no/dir/owner.key",
        fault: "owner key \"no/dir/owner.key\" cannot be made",
        filled: &[],
        around: ["", ""],
        then: "--owner-key=no/dir/owner.key",
    },
    Advised {
        cause: nothing,
        options: "--policy=nope.toml",
        fault: "policy file \"nope.toml\" cannot be read",
        filled: &[],
        around: ["", ""],
        then: "",
    },
];

#[test]
fn a_command_that_check_advises_mends_what_it_is_about() {
    let first = CertHost::new();
    for case in ADVISED {
        let host = first.copied();
        (case.cause)(&host);
        let before = host.faults(case.options);
        let told = before.iter().find(|(fault, _)| fault.contains(case.fault));
        let (_, hint) = told.unwrap_or_else(|| panic!("{}: {before:?}", case.fault));
        let command = hint.split('`').nth(1);
        let command = command.unwrap_or_else(|| panic!("no command: {hint}"));
        let filled = case
            .filled
            .iter()
            .fold(command.to_owned(), |line, (name, word)| {
                line.replace(name, word)
            });
        for line in [case.around[0], &filled, case.around[1]] {
            let (done, text) = host.shell(line);
            assert!(done, "`{line}` after {}: {text}", case.fault);
        }
        let after = host.faults(case.then);
        assert!(after.is_empty(), "after `{filled}`: {after:?}");
    }
}

#[test]
fn no_advice_changes_or_moves_a_device_that_is_named_for_a_file() {
    let host = CertHost::new();
    let files = [
        "tlscacert",
        "tlscert",
        "tlskey",
        "tlscrl",
        "policy",
        "owner-key",
        "audit",
        "config-file",
        "enroll-config",
    ];
    for option in files {
        let own = format!("--{option}=");
        let others = NAMED.split(' ').filter(|it| !it.starts_with(&own));
        let mut command = dockgate();
        command
            .args(["check", "--offline", "--control-socket=off"])
            .args(others)
            .arg(format!("--{option}=/dev/null"))
            .current_dir(host.dir.path());
        let output = finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let text = said(&output);
        assert!(
            !text.contains("can write to \"/dev/null\""),
            "{option}: {text}"
        );
        for word in ["chmod", "chown", "move it away", "-in /dev/null"] {
            assert!(!text.contains(word), "{option}: {word}: {text}");
        }
    }
}
