//! Nothing of a private key is ever printed or logged, whatever happened to it and wherever it is given.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{arg, done};

/// Keys as accidents leave them, with what happened.
fn damaged(pem: &str) -> Vec<(&'static str, Vec<u8>)> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(pem.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let text = [
        ("line breaks became spaces", pem.replace('\n', " ")),
        ("line breaks are gone", pem.replace('\n', "")),
        ("CR LF", pem.replace('\n', "\r\n")),
        ("CR alone", pem.replace('\n', "\r")),
        ("a byte order mark", format!("\u{feff}{pem}")),
        ("cut in the middle", pem[..pem.len() / 2].to_owned()),
        ("its end is missing", pem[..pem.len() - 20].to_owned()),
        ("its begin is missing", pem[28..].to_owned()),
        ("base64 alone", body.clone()),
        ("base64 as a TOML value", format!("tlskey = \"{body}\"\n")),
        (
            "base64 as a TOML key",
            format!("{} = 1\nversion = 1\n", body.replace(['/', '+', '='], "")),
        ),
        (
            "PEM as a TOML value",
            format!("tlscert = \"\"\"\n{pem}\"\"\"\n"),
        ),
        (
            "PEM as a JSON line",
            format!("{{\"event\":{pem:?},\"method\":{pem:?}}}\n"),
        ),
        (
            "base64 as a JSON line",
            format!("{{\"event\":{body:?},\"expect\":{body:?}}}\n"),
        ),
        ("dashes are missing", pem.replace("-----", "--")),
        (
            "the label is broken",
            pem.replacen("KEY-----\n", "KEY-----", 1),
        ),
        ("not base64", pem.replacen("\nM", "\n!M", 1)),
        (
            "indented and quoted",
            format!("'{}'", pem.replace('\n', "\n    ")),
        ),
        ("a list's label", pem.replace("PRIVATE KEY", "X509 CRL")),
        (
            "a certificate's label",
            pem.replace("PRIVATE KEY", "CERTIFICATE"),
        ),
        (
            "a request's label",
            pem.replace("PRIVATE KEY", "CERTIFICATE REQUEST"),
        ),
    ];
    text.into_iter()
        .map(|(what, text)| (what, text.into_bytes()))
        .chain([("UTF-16", utf16)])
        .collect()
}

/// Every run of twelve characters of the key's base64.
fn parts_of(pem: &str) -> HashSet<Vec<u8>> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    body.as_bytes().windows(12).map(<[u8]>::to_vec).collect()
}

/// Runs the program, and gives both streams; nothing it prints may be of the key.
struct DamagedJudge<'k> {
    parts: &'k HashSet<Vec<u8>>,
    dir: &'k Path,
    /// Which damage it is, and how many commands have met it: see [`testkit::is_tried`].
    nth: usize,
    commands: usize,
    runs: usize,
}

impl DamagedJudge<'_> {
    fn new<'k>(dir: &'k Path, parts: &'k HashSet<Vec<u8>>, nth: usize) -> DamagedJudge<'k> {
        DamagedJudge {
            parts,
            dir,
            nth,
            commands: 0,
            runs: 0,
        }
    }

    fn run(&mut self, what: &str, args: &[&str], env: &[(&str, &str)]) -> Option<String> {
        self.commands += 1;
        if !testkit::is_tried(self.nth, self.commands) {
            return None;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
            .args(args)
            .envs(env.iter().copied())
            .env("HOME", self.dir)
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .output()
            .expect("dockgate must start");
        self.runs += 1;
        let text = crate::support::text(&output);
        let mut shown = text.as_bytes().windows(12);
        if let Some(part) = shown.find(|part| self.parts.contains(*part)) {
            let part = String::from_utf8_lossy(part);
            panic!("{what}: dockgate {args:?} {env:?} shows {part:?}:\n{text}");
        }
        testkit::words::assert_plain(&format!("{what}: dockgate {args:?} {env:?}"), &text);
        assert!(
            output.status.code().is_some_and(|code| code != 101),
            "{what}: dockgate {args:?} ended badly: {text}"
        );
        Some(text)
    }
}

#[test]
fn a_part_of_a_key_is_found_in_a_text() {
    let parts = parts_of("-----BEGIN-----\nabcdefghij\nklmnopqrst\n-----END-----\n");
    let shown = |text: &str| text.as_bytes().windows(12).any(|it| parts.contains(it));
    assert!(shown("not shown: cdefghijklmn!"));
    assert!(!shown("not shown: cdefghijklm!") && !shown("-----BEGIN-----"));
}

/// A key of each kind, as `certs` writes them.
fn keys(dir: &Path) -> Vec<String> {
    done(dir, &["init", "--san", "docker.example", "--dir", "good"]);
    done(dir, &["client", "ada", "--dir", "good"]);
    done(
        dir,
        &[
            "server",
            "--force",
            "--key-type",
            "rsa2048",
            "--dir",
            "good",
        ],
    );
    ["good/clients/ada/key.pem", "good/server-key.pem"]
        .map(|path| fs::read_to_string(dir.join(path)).expect("key"))
        .into()
}

#[test]
fn no_command_prints_anything_of_a_damaged_key_in_any_file() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut runs = 0;
    for (nth, pem) in keys(dir.path()).into_iter().enumerate() {
        let parts = parts_of(&pem);
        // Of the second kind of key a selection.
        let damaged = damaged(&pem).into_iter().enumerate();
        for (at, (what, bytes)) in damaged.step_by(1 + 4 * nth) {
            let mut judge = DamagedJudge::new(dir.path(), &parts, at);
            fs::write(dir.path().join("x"), &bytes).expect("write");
            in_files(&mut judge, what);
            in_a_directory(&mut judge, what, &bytes);
            runs += judge.runs;
        }
    }
    assert!(runs > 600, "{runs} runs");
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn in_files(judge: &mut DamagedJudge<'_>, what: &str) {
    let good = [
        "--tlscacert=good/ca.pem",
        "--tlscert=good/server-cert.pem",
        "--tlskey=good/server-key.pem",
    ];
    let tcp = "--host=tcp://192.0.2.1:1"; // TEST-NET-1: not ours to listen on, so `serve` ends after it has read everything.
    for option in [
        "tlscacert",
        "tlscert",
        "tlskey",
        "tlscrl",
        "policy",
        "config-file",
        "from-daemon-json",
    ] {
        let set = format!("--{option}=x");
        let mut args: Vec<&str> = good
            .iter()
            .copied()
            .filter(|given| !given.starts_with(&format!("--{option}=")))
            .collect();
        args.extend([
            set.as_str(),
            "--upstream=unix:///nowhere/docker.sock",
            tcp,
            "--control-socket=off",
        ]);
        judge.run(
            what,
            &[&["check", "--offline"], args.as_slice()].concat(),
            &[],
        );
        judge.run(
            what,
            &[&["serve", "--log-format=json"], args.as_slice()].concat(),
            &[],
        );
        if matches!(option, "tlskey" | "config-file" | "policy") {
            judge.run(
                what,
                &[&["serve", "--log-format=text"], args.as_slice()].concat(),
                &[],
            );
            judge.run(what, &[&["doctor"], args.as_slice()].concat(), &[]);
            judge.run(
                what,
                &[&["doctor", "--json"], args.as_slice()].concat(),
                &[],
            );
        }
        let client = [
            "--tlscacert=good/ca.pem",
            "--tlscert=good/clients/ada/cert.pem",
            "--tlskey=good/clients/ada/key.pem",
        ];
        if client
            .iter()
            .any(|given| given.starts_with(&format!("--{option}=")))
        {
            let mut args = vec!["doctor", "tcp://127.0.0.1:1", set.as_str()];
            args.extend(
                client
                    .iter()
                    .filter(|given| !given.starts_with(&format!("--{option}="))),
            );
            judge.run(what, &args, &[]);
        }
    }
    for args in [
        &["certs", "show", "x"][..],
        &["certs", "show", "x", "--json"],
        &["certs", "show", "good/ca.pem", "--ca-cert", "x"],
        &[
            "certs", "sign", "x", "--dir", "good", "--name", "bob", "--client",
        ],
        &["certs", "renew", "x", "--dir", "good"],
        &["certs", "revoke", "x", "--dir", "good"],
        &[
            "certs",
            "client",
            "bob",
            "--dir",
            "new",
            "--ca-cert",
            "x",
            "--ca-key",
            "x",
        ],
        &[
            "certs",
            "client",
            "bob",
            "--dir",
            "new",
            "--ca-cert",
            "good/ca.pem",
            "--ca-key",
            "x",
        ],
        &[
            "certs",
            "init",
            "--dir",
            "new",
            "--ca-cert",
            "good/ca.pem",
            "--ca-key",
            "x",
        ],
        &[
            "certs",
            "crl",
            "--dir",
            "good",
            "--ca-cert",
            "x",
            "--ca-key",
            "good/ca-key.pem",
        ],
        &[
            "certs",
            "server",
            "--dir",
            "new",
            "--ca-cert",
            "good/ca.pem",
            "--ca-key",
            "good/ca-key.pem",
            "--passphrase-file",
            "x",
        ],
        &["policy", "check", "x"],
        &["policy", "check", "x", "--json"],
        &["policy", "explain", "x", "GET", "/_ping", "--cn", "ada"],
        &["policy", "test", "x", "x"],
        &["policy", "learn", "x"],
        &["policy", "diff", "x", "x", "--against", "x"],
        &["ps", "--config-file", "x"],
        &["top", "--config-file", "x"],
        &["kick", "--all", "--config-file", "x"],
        &["healthcheck", "--config-file", "x"],
    ] {
        judge.run(what, args, &[]);
    }
    fs::write(
        judge.dir.join("policy.toml"),
        "version = 1\n[[client]]\nname = \"a\"\nmatch = { any = true }\nrole = \"read-only\"\n",
    )
    .expect("policy");
    for args in [
        &[
            "policy",
            "explain",
            "policy.toml",
            "GET",
            "/_ping",
            "--cert",
            "x",
        ][..],
        &[
            "policy",
            "explain",
            "policy.toml",
            "GET",
            "/_ping",
            "--cert",
            "good/clients/ada/cert.pem",
            "--ca",
            "x",
        ],
        &[
            "policy",
            "explain",
            "policy.toml",
            "POST",
            "/containers/create",
            "--cn",
            "a",
            "--body",
            "x",
        ],
        &[
            "policy",
            "explain",
            "policy.toml",
            "POST",
            "/containers/a/exec",
            "--cn",
            "a",
            "--inspect",
            "x",
        ],
        &["policy", "test", "policy.toml", "x"],
        &["policy", "check", "policy.toml", "--ca", "x"],
    ] {
        judge.run(what, args, &[]);
    }
}

/// Each file of a directory of certificates in turn, for the commands that read it.
fn in_a_directory(judge: &mut DamagedJudge<'_>, what: &str, bytes: &[u8]) {
    for file in [
        "ca.pem",
        "ca-key.pem",
        "server-cert.pem",
        "crl.pem",
        "index.jsonl",
        "clients/ada/cert.pem",
    ] {
        let dir = tempfile::tempdir_in(judge.dir).expect("temporary directory");
        copy(&judge.dir.join("good"), dir.path());
        fs::write(dir.path().join(file), bytes).expect("write");
        let dir = arg(dir.path());
        for args in [
            &["list"][..],
            &["client", "bob"],
            &["crl"],
            &["renew", "--all"],
            &["revoke", "ada"],
            &["bundle", "ada", "--out", "ada.tar", "--force"],
        ] {
            judge.run(what, &[&["certs"], args, &["--dir", dir]].concat(), &[]);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("directory").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&target).expect("directory");
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copy");
        }
    }
}

#[test]
fn no_command_prints_a_key_that_was_given_in_place_of_a_value() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut runs = 0;
    for (nth, pem) in keys(dir.path()).into_iter().enumerate() {
        let parts = parts_of(&pem);
        let damaged = damaged(&pem).into_iter().enumerate();
        for (at, (what, bytes)) in damaged.step_by(2 + 4 * nth) {
            let Ok(value) = String::from_utf8(bytes) else {
                continue;
            };
            let mut judge = DamagedJudge::new(dir.path(), &parts, at);
            in_place_of_values(&mut judge, what, &value);
            runs += judge.runs;
        }
    }
    assert!(runs > 600, "{runs} runs");
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn in_place_of_values(judge: &mut DamagedJudge<'_>, what: &str, value: &str) {
    let names: Vec<&str> = dockgate::config::key::KEYS
        .iter()
        .map(|key| key.flag)
        .chain(["config-file", "from-daemon-json"])
        .collect();
    for name in names {
        let variable = format!("DOCKGATE_{}", name.replace('-', "_").to_ascii_uppercase());
        let text = judge.run(what, &["check", "--offline"], &[(&variable, value)]);
        if let Some(text) = text {
            let told = text.contains("not shown") || text.contains("expected");
            assert!(told, "{variable}: {text}");
        }
        if matches!(
            name,
            "tlskey" | "policy" | "config-file" | "san" | "host" | "audit"
        ) {
            for command in ["serve", "doctor"] {
                judge.run(
                    what,
                    &[command, "--log-format=json", "--host=tcp://192.0.2.1:1"]
                        [..2 + usize::from(name != "host")],
                    &[(&variable, value)],
                );
            }
            for command in ["ps", "healthcheck"] {
                judge.run(what, &[command], &[(&variable, value)]);
            }
        }
        let flag = format!("--{name}={value}");
        judge.run(what, &["check", "--offline", &flag], &[]);
        judge.run(
            what,
            &["check", "--offline", &format!("--{name}"), value],
            &[],
        );
    }
    judge.run(what, &["ps"], &[("DOCKGATE_CONTROL_SOCKET", value)]);
    judge.run(what, &["certs", "list"], &[("DOCKGATE_CERTS_DIR", value)]);
    judge.run(
        what,
        &["doctor"],
        &[("DOCKER_CERT_PATH", value), ("DOCKER_HOST", value)],
    );
    for args in [
        &[value][..],
        &["certs", "show", value],
        &["certs", "client", value, "--dir", "good"],
        &[
            "certs",
            "client",
            "bob",
            "--dir",
            "good",
            "--ou",
            value,
            "--ca-cert",
            value,
        ],
        &[
            "certs", "client", "--dir", "good", "--uri", value, "--", "bob",
        ],
        &["certs", "revoke", "--dir", "good", "--", value],
        &["certs", "renew", "--dir", "good", "--", value],
        &["certs", "bundle", "--dir", "good", "--", value],
        &["certs", "server", "--dir", "none", "--san", value],
        &["certs", "sign", "--dir", "good", "--", value],
        &["doctor", "--", value],
        &["policy", "check", "--", value],
        &["policy", "explain", "--", value, value, value],
        &["kick", "--", value],
    ] {
        judge.run(what, args, &[]);
    }
}

#[test]
fn a_reload_logs_nothing_of_a_damaged_key_in_text_or_json() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for pem in keys(dir.path()) {
        for format in ["json", "text"] {
            reload_with(&dir.path().join("good"), &pem, format);
        }
    }
}

fn reload_with(dir: &Path, pem: &str, format: &str) {
    let file = |name: &str| -> PathBuf { dir.join(name) };
    let good = fs::read(file("server-key.pem")).expect("key");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .args([
            "serve",
            "--host=tcp://127.0.0.1:0",
            "--reload-interval=off",
            "--control-socket=off",
        ])
        .args([
            "--upstream=unix:///nowhere/docker.sock",
            &format!("--log-format={format}"),
        ])
        .args(
            ["ca.pem", "server-cert.pem", "server-key.pem"]
                .iter()
                .zip(["tlscacert", "tlscert", "tlskey"])
                .map(|(name, option)| format!("--{option}={}", arg(&file(name)))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dockgate must start");
    let pid = rustix::process::Pid::from_child(&child);
    let mut lines = BufReader::new(child.stderr.take().expect("stderr"))
        .lines()
        .map_while(Result::ok);
    let mut seen = String::new();
    let mut until = |words: &[&str]| {
        for line in lines.by_ref() {
            seen.push_str(&line);
            seen.push('\n');
            if words.iter().any(|word| line.contains(word)) {
                return;
            }
        }
        panic!("the gate ended before it said {words:?}: {seen}");
    };
    until(&["Listening"]);
    for (_, bytes) in damaged(pem) {
        fs::File::create(file("server-key.pem"))
            .and_then(|mut f| f.write_all(&bytes))
            .expect("write");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("SIGHUP");
        until(&["Reload failed", "Reloaded"]);
    }
    fs::write(file("server-key.pem"), good).expect("restore");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    child.wait().expect("wait");
    let parts = parts_of(pem);
    let shown = seen.as_bytes().windows(12).any(|it| parts.contains(it));
    assert!(!shown, "{seen}");
}
