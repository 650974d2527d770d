//! What commands say of damaged files, options and peers is for people: nothing in it is a name out of the code.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::{fs, thread};

use dockgate::config::key::KEYS;
use testkit::pki::Pki;
use testkit::programs::{dockgate, finished};
use testkit::words::assert_plain;
use time::{Duration, OffsetDateTime};

/// Runs a command and looks at everything it says; answers how it ended.
#[track_caller]
fn plain(args: &[&str], env: &[(&str, &str)]) -> Option<i32> {
    let mut command = dockgate();
    command.args(args).envs(env.iter().copied());
    let output = finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    for stream in [&output.stdout, &output.stderr] {
        assert_plain(
            &format!("dockgate {args:?} {env:?}"),
            &String::from_utf8_lossy(stream),
        );
    }
    output.status.code()
}

/// A file of certificates, keys or lists as it may be damaged; and what is none.
fn damaged(pem: &str) -> Vec<Vec<u8>> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = &*data_encoding::BASE64
        .decode(body.as_bytes())
        .expect("base64");
    let label = pem
        .split("BEGIN ")
        .nth(1)
        .and_then(|rest| rest.split("-----").next());
    let label = label.expect("a label");
    let again = |der: Vec<u8>| pki::pem::encode(label, &der).as_bytes().to_vec();
    let mut found = Vec::new();
    for at in (0..der.len()).step_by(der.len() / 24 + 1) {
        let mut flipped = der.to_vec();
        flipped[at] ^= 0x55;
        found.push(again(flipped));
        found.push(again(der[..at].to_vec()));
    }
    found.push(again([der, b"more"].concat()));
    found.push(der.to_vec());
    found.push(der[..der.len() / 2].to_vec());
    found.extend(
        [
            &b""[..],
            b"\0",
            b"\xff\xfe",
            b"{}",
            b"[1]\n",
            b"version = 9",
            b"hello\n",
            b"-----BEGIN X-----\n",
        ]
        .map(<[u8]>::to_vec),
    );
    found
}

struct SettingFiles {
    dir: tempfile::TempDir,
}

impl SettingFiles {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Pki::create(dir.path());
        let client = made.client("ada", 5);
        made.write(
            "client.pem",
            &pki::pem::encode("CERTIFICATE", &client.chain[0]),
        );
        let list = made.list(1, &[&client], OffsetDateTime::now_utc() + Duration::days(9));
        made.write("crl.pem", &list.pem().unwrap());
        fs::write(
            dir.path().join("policy.toml"),
            "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"read-only\"\n",
        )
        .unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Options with one file in another's place; listening ends `serve` after it has read everything.
    fn options(&self, replaced: &str, by: &str) -> Vec<String> {
        let mut options = vec![
            "--host=tcp://192.0.2.1:1".to_owned(),
            "--upstream=unix:///nowhere/docker.sock".to_owned(),
            "--control-socket=off".to_owned(),
        ];
        for (option, file) in [
            ("tlscacert", "ca.pem"),
            ("tlscert", "server-cert.pem"),
            ("tlskey", "server-key.pem"),
            ("tlscrl", "crl.pem"),
            ("policy", "policy.toml"),
        ] {
            let file = if option == replaced {
                by.to_owned()
            } else {
                self.path(file)
            };
            options.push(format!("--{option}={file}"));
        }
        if !["tlscacert", "tlscert", "tlskey", "tlscrl", "policy"].contains(&replaced) {
            options.push(format!("--{replaced}={by}"));
        }
        options
    }
}

#[test]
fn damaged_files_are_told_of_in_plain_words() {
    let files = SettingFiles::new();
    let x = files.path("x");
    let mut runs = 0;
    for (option, good) in [
        ("tlscacert", "ca.pem"),
        ("tlscert", "server-cert.pem"),
        ("tlskey", "server-key.pem"),
        ("tlscrl", "crl.pem"),
    ] {
        let text = fs::read_to_string(files.path(good)).unwrap();
        for (nth, bytes) in damaged(&text).into_iter().enumerate() {
            fs::write(&x, bytes).unwrap();
            let options = files.options(option, &x);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            runs += some_of(
                nth,
                &[
                    &[&["check", "--offline"], &*options].concat(),
                    &[&["serve", "--log-format=json"], &*options].concat(),
                    &["certs", "show", &x],
                ],
            );
        }
    }
    let client = fs::read_to_string(files.path("client.pem")).unwrap();
    let [none, ca, policy] = ["none", "ca.pem", "policy.toml"].map(|name| files.path(name));
    for (nth, bytes) in damaged(&client).into_iter().enumerate() {
        fs::write(&x, bytes).unwrap();
        runs += some_of(
            nth,
            &[
                &["certs", "show", &x],
                &[
                    "certs", "sign", &x, "--name", "bob", "--client", "--dir", &none,
                ],
                &["certs", "show", &x, "--ca-cert", &ca],
                &["policy", "explain", &policy, "GET", "/_ping", "--cert", &x],
            ],
        );
    }
    assert!(runs > 150, "{runs}");
}

/// Runs those of the commands that are tried with this damage, and says how many they were.
fn some_of(nth: usize, commands: &[&[&str]]) -> usize {
    let mut runs = 0;
    for (at, args) in commands.iter().enumerate() {
        if testkit::is_tried(nth, at) {
            plain(args, &[]);
            runs += 1;
        }
    }
    runs
}

#[test]
fn files_that_are_something_else_are_told_of_in_plain_words() {
    let files = SettingFiles::new();
    let odd = odd_files(files.dir.path());
    for by in odd.iter().map(String::as_str) {
        for option in [
            "tlscacert",
            "tlscert",
            "tlskey",
            "tlscrl",
            "policy",
            "config-file",
            "from-daemon-json",
            "audit",
            "authz-plugin",
            "auto-certs",
            "control-socket",
            "upstream",
        ] {
            let by = match option {
                "upstream" => format!("unix://{by}"),
                _ => by.to_owned(),
            };
            let mut options = files.options(option, &by);
            if option == "auto-certs" {
                options.retain(|option| {
                    !option.starts_with("--tlsc") && !option.starts_with("--tlsk")
                });
            }
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            plain(&[&["check"], &*options].concat(), &[]);
            let code = plain(&[&["serve"], &*options].concat(), &[]);
            assert!(code.is_some_and(|code| code != 0), "{option}={by} started");
        }
        for args in [
            &["policy", "check", by][..],
            &["policy", "test", by, by],
            &["policy", "learn", by],
            &["policy", "diff", by, by, "--against", by],
            &["policy", "explain", by, "GET", "/x", "--cn", "a"],
            &["certs", "list", "--dir", by],
            &["certs", "renew", "x", "--dir", by],
            &["certs", "revoke", "x", "--dir", by],
            &["certs", "crl", "--dir", by],
            &["certs", "bundle", "x", "--dir", by],
            &["certs", "client", "x", "--dir", by],
            &["certs", "init", "--san", "x", "--dir", by],
            &["certs", "sign", by, "--name", "x", "--client", "--dir", by],
            &["ps", "--control-socket", by],
            &["kick", "--all", "--control-socket", by],
            &["reload", "--control-socket", by],
            &["healthcheck", "--control-socket", by],
            &["invite", "x", "--dir", by],
            &["join", by],
        ] {
            plain(args, &[("HOME", &files.path("home"))]);
        }
    }
}

/// Nothing, a directory, a path that is too long or has a file in the middle, a socket nobody listens on.
fn odd_files(dir: &Path) -> Vec<String> {
    let path = |name: &str| dir.join(name).display().to_string();
    fs::write(dir.join("junk"), b"\x00\xff{[\"").unwrap();
    fs::create_dir_all(dir.join("folder/x")).unwrap();
    drop(UnixListener::bind(dir.join("dead.sock")).unwrap());
    vec![
        path("missing"),
        path("folder"),
        path("junk/x"),
        path("junk"),
        path("dead.sock"),
        path(&"n".repeat(300)),
    ]
}

#[test]
fn values_that_cannot_be_read_are_told_of_in_plain_words() {
    let files = SettingFiles::new();
    for (row, key) in KEYS.iter().enumerate() {
        for (column, value) in [
            "junk",
            "-1",
            "99999999999999999999",
            "1e9",
            "10 parsecs",
            "tcp://x:y:z",
            "unix:relative",
            "\u{1b}[31m",
            "::",
            "None",
        ]
        .into_iter()
        .enumerate()
        {
            // Where not all is tried, each value of each key in one of the three.
            if testkit::is_tried(row, column) {
                let flag = format!("--{}={value}", key.flag);
                plain(&["check", "--offline", &flag], &[]);
            }
            if testkit::is_tried(row, column + 1) {
                plain(&["check", "--offline"], &[(&key.env(), value)]);
            }
            if testkit::is_tried(row, column + 2) {
                let file = files.path("c.toml");
                fs::write(&file, format!("{} = {value:?}\n", key.name)).unwrap();
                plain(&["check", "--offline", "--config-file", &file], &[]);
            }
        }
    }
}

#[test]
fn peers_that_are_something_else_are_told_of_in_plain_words() {
    let files = SettingFiles::new();
    let answers: [&[u8]; 6] = [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x03\x00\x04junkjunk",
    ];
    for answer in answers {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("tcp://{}", listener.local_addr().unwrap());
        let socket = files.path("peer.sock");
        let _ = fs::remove_file(&socket);
        let local = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            listener
                .incoming()
                .flatten()
                .for_each(|mut peer| _ = peer.write_all(answer));
        });
        thread::spawn(move || {
            local
                .incoming()
                .flatten()
                .for_each(|mut peer| _ = peer.write_all(answer));
        });
        let (ca, cert, key) = (
            files.path("ca.pem"),
            files.path("server-cert.pem"),
            files.path("server-key.pem"),
        );
        plain(
            &[
                "doctor",
                &target,
                "--timeout",
                "2s",
                "--tlscacert",
                &ca,
                "--tlscert",
                &cert,
                "--tlskey",
                &key,
            ],
            &[],
        );
        plain(&["certs", "show", &target], &[]);
        let mut options = files.options("authz-plugin", &socket);
        options.retain(|option| !option.starts_with("--upstream"));
        options.push(format!("--upstream=unix://{socket}"));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        plain(&[&["check"], &*options].concat(), &[]);
        plain(&[&["doctor", "--timeout", "2s"], &*options].concat(), &[]);
        for command in ["ps", "reload", "healthcheck"] {
            plain(&[command, "--control-socket", &socket], &[]);
        }
        plain(&["kick", "--all", "--control-socket", &socket], &[]);
    }
}

/// Values that are of no kind a line of TOML may have here.
const MISPLACED: &[&str] = &[
    "1",
    "-1",
    "1.5",
    "nan",
    "true",
    "\"\"",
    "\"\\u0000\"",
    "[]",
    "[[]]",
    "[1, \"a\"]",
    "{}",
    "{ a = 1 }",
    "1979-05-27",
    "\"☃\"",
    "99999999999999999999",
    "\"a",
    "=",
    "",
];

/// A TOML document with one line damaged: its value replaced, its key misspelt, cut short, or twice.
fn damaged_toml(text: &str) -> impl Iterator<Item = String> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    (0..lines.len()).flat_map(move |at| {
        let line = lines[at].clone();
        let (key, value) = match line.split_once('=') {
            Some((key, value)) if !line.starts_with('#') => (key.to_owned(), value.to_owned()),
            _ => (line.clone(), String::new()),
        };
        // Each line in some of the ways, the next in others.
        let misplaced = MISPLACED
            .iter()
            .cycle()
            .skip(at * 4 % MISPLACED.len())
            .take(4);
        let mut forms: Vec<String> = misplaced.map(|new| format!("{key}= {new}")).collect();
        forms.push(format!("{}x ={value}", key.trim()));
        forms.push(format!("{line}\n{line}"));
        forms.push(format!("{line} ]"));
        forms.push(line.chars().take(line.chars().count() / 2).collect());
        let lines = lines.clone();
        forms.into_iter().map(move |form| {
            let mut all = lines.clone();
            all[at] = form;
            all.join("\n")
        })
    })
}

#[test]
fn damaged_policies_and_configurations_are_told_of_in_plain_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let toml = |dir: &str| {
        let entries = fs::read_dir(root.join(dir)).expect("a directory");
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
        files.sort();
        files
    };
    let mut refused = 0;
    for path in toml("examples/policy") {
        let text = fs::read_to_string(&path).expect("a policy");
        for damaged in damaged_toml(&text) {
            if let Err(fault) = policy::Policy::parse("policy.toml", &damaged) {
                assert_plain(&damaged, &fault.to_string());
                refused += 1;
            }
        }
    }
    let host = crate::host::EmptyHost::new();
    for path in toml("examples").into_iter().chain(toml("")) {
        let text = fs::read_to_string(&path).expect("a configuration");
        // What the file explains in comments is set as well.
        let set = text.lines().map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| rest.contains(" = "))
                .unwrap_or(line)
        });
        let set: Vec<_> = set.filter(|line| !line.trim().is_empty()).collect();
        for damaged in damaged_toml(&set.join("\n")) {
            let file = host.write("damaged.toml", &damaged);
            let file = file.to_str().expect("a path");
            if let Err(fault) = host.load(&["--config-file", file], &[]) {
                assert_plain(&damaged, &fault.to_string());
                refused += 1;
            }
        }
    }
    assert!(refused > 500, "{refused} were refused");
}
