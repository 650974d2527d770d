//! The cage: what is left from inside, what a running gate has, and what becomes of files that move.

mod signer;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, fchown, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use socket2::{Domain, Socket, Type};

use dockgate::cage::Cage;
use dockgate::config::args::ServeArgs;
use dockgate::config::search::Places;
use dockgate::config::{self, Config};
use rustix::fs::{AtFlags, XattrFlags};
use rustix::process::Signal;
use tempfile::TempDir;
use testkit::Pki;
use testkit::gate::{ByFile, Files, replace};
use testkit::programs::{dockgate, finished, missing, said};

const POLICY: &str = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"monitor\"\n";

/// Files of a gate, each kind in a directory of its own.
struct CagePlace {
    dir: TempDir,
    config: Config,
}

impl CagePlace {
    fn new(more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        for name in ["certs", "policy", "audit", "control", "auto", "elsewhere"] {
            fs::create_dir(dir.path().join(name)).expect("create a directory");
        }
        let pki = Pki::create(&dir.path().join("certs"));
        fs::write(dir.path().join("policy/policy.toml"), POLICY).expect("write");
        fs::write(dir.path().join("elsewhere/file"), "other").expect("write");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let [.., key] =
            ["ca", "server-cert", "server-key"].map(|name| pki.dir.join(format!("{name}.pem")));
        let mut args = ServeArgs::default()
            .with("tlscacert", path("certs/ca.pem"))
            .with("tlscert", path("certs/server-cert.pem"))
            .with("tlskey", key.display().to_string())
            .with("policy", path("policy/policy.toml"))
            .with("audit", path("audit/audit.jsonl"))
            .with("control-socket", path("control/control.sock"))
            .with(
                "upstream",
                format!("unix://{}", path("elsewhere/docker.sock")),
            );
        for (name, value) in more {
            args = args.with(
                name,
                value.replace("DIR", &dir.path().display().to_string()),
            );
        }
        let places = Places::below(&dir.path().join("root"), dir.path(), None);
        let none: [(OsString, OsString); 0] = [];
        let config = config::load_within(&args, none, &places).expect("a configuration");
        Self { dir, config }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `inside` on a thread that is in the cage of this configuration; not at all where the kernel has none.
    #[track_caller]
    fn inside(&self, inside: impl FnOnce(&Cage) + Send) {
        std::thread::scope(|scope| {
            let caged = scope.spawn(|| {
                let cage = Cage::enter(&self.config).expect("a cage");
                match cage.strength {
                    strength if strength.is_whole() => inside(&cage),
                    strength => missing(&format!("the whole cage ({strength})")),
                }
            });
            if let Err(panic) = caged.join() {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

/// The cage refuses with either of two numbers: EACCES is Landlock's, EPERM the filter's.
#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: io::Result<T>) {
    let error = outcome.expect_err("the cage must refuse it");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[test]
fn inside_nothing_but_the_gates_own_files_is_read_or_written() {
    let place = CagePlace::new(&[]);
    let written = place.path("audit/audit.jsonl");
    create(&written).expect("before the cage");
    place.inside(|_| {
        for own in ["certs/server-key.pem", "policy/policy.toml"] {
            fs::read(place.path(own)).expect("its own files");
        }
        for other in [
            "/etc/shadow",
            "/etc/passwd",
            "/proc/1/environ",
            "/proc/version",
            "/dev/null",
        ] {
            refused(File::open(other));
        }
        for other in ["elsewhere/file", "audit/audit.jsonl", "control"] {
            refused(File::open(place.path(other)));
        }
        refused(fs::read_dir("/"));
        refused(fs::read_dir(place.dir.path()));

        // The audit grows and is made again after a rotation; all else is not written.
        create(&written).expect("append to the audit");
        create(&place.path("audit/next.jsonl")).expect("make the next file of the audit");
        refused(fs::remove_file(&written));
        refused(fs::rename(&written, place.path("audit/away")));
        for other in [
            "policy/policy.toml",
            "certs/new.pem",
            "elsewhere/new",
            "control/new",
        ] {
            refused(create(&place.path(other)));
        }
        refused(fs::remove_file(place.path("policy/policy.toml")));
        refused(UnixListener::bind(place.path("audit/socket")));
        // What the metrics read.
        fs::read_to_string("/proc/self/stat").expect("its own process");
        fs::read_to_string("/proc/uptime").expect("the machine's age");
    });
}

#[test]
fn inside_files_that_replace_others_by_name_are_read() {
    let place = CagePlace::new(&[]);
    // As Kubernetes swaps a directory, and certbot a link.
    for version in ["1", "2"] {
        fs::create_dir(place.path(&format!("policy/{version}"))).expect("create");
        fs::write(place.path(&format!("policy/{version}/p.toml")), version).expect("write");
    }
    std::os::unix::fs::symlink("1", place.path("policy/data")).expect("link");
    // Somebody outside of the cage does it, while the cage lasts.
    let (ask, asked) = channel::<()>();
    let (tell, told) = channel();
    let (swapped, link) = (place.path("policy/next"), place.path("policy/data"));
    let policy = place.path("policy/policy.toml");
    let outside = std::thread::spawn(move || {
        for () in asked {
            std::os::unix::fs::symlink("2", &swapped).expect("link");
            fs::rename(&swapped, &link).expect("swap");
            replace(&policy, "new");
            tell.send(()).expect("tell");
        }
    });
    let files = &place;
    place.inside(move |_| {
        let read = |name: &str| fs::read_to_string(files.path(name)).expect("read it");
        assert_eq!(read("policy/data/p.toml"), "1");
        refused(std::os::unix::fs::symlink("2", files.path("policy/mine")));
        ask.send(()).expect("ask");
        told.recv().expect("it is done");
        assert_eq!(read("policy/data/p.toml"), "2");
        assert_eq!(read("policy/policy.toml"), "new");
    });
    outside.join().expect("the one outside");
}

#[test]
fn inside_nothing_is_started() {
    let place = CagePlace::new(&[]);
    Command::new("/bin/true")
        .status()
        .expect("outside it starts");
    place.inside(|_| {
        refused(Command::new("/bin/true").status());
        refused(Command::new("/proc/self/exe").arg("--version").status());
    });
}

#[test]
fn inside_no_other_address_is_reached_or_listened_on() {
    let place = CagePlace::new(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("an address");
    let engine = UnixListener::bind(place.path("elsewhere/docker.sock")).expect("bind");
    TcpStream::connect(addr).expect("outside it connects");
    listener.accept().expect("the connection from outside");
    // Connecting by sending (TCP Fast Open) needs no connect(2).
    let made = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let to = addr.into();
    let by_sending = |socket: &Socket| socket.send_to_with_flags(b"x", &to, libc::MSG_FASTOPEN);
    by_sending(&made()).expect("outside it connects by sending");
    listener.accept().expect("that connection");
    let unconnected = made();
    place.inside(|_| {
        refused(TcpStream::connect(addr));
        refused(by_sending(&unconnected));
        let parts = [io::IoSlice::new(b"x")];
        refused(unconnected.send_to_vectored_with_flags(&parts, &to, libc::MSG_FASTOPEN));
        refused(TcpListener::bind("127.0.0.1:0"));
        refused(UdpSocket::bind("127.0.0.1:0"));
        // What was bound before still serves, and the engine is reached.
        UnixStream::connect(place.path("elsewhere/docker.sock")).expect("the engine");
        engine.accept().expect("its connection");
        listener.set_nonblocking(true).expect("not blocking");
        let none = listener.accept().expect_err("nobody has connected");
        assert_eq!(none.kind(), ErrorKind::WouldBlock);
    });

    // A name among the addresses was looked up before the cage: nothing of the name service is left in it.
    let named = CagePlace::new(&[("hosts", "tcp://localhost:2376")]);
    named.inside(|_| {
        refused(UdpSocket::bind("127.0.0.1:0"));
        refused(File::open("/etc/hosts"));
        refused(File::open("/etc/resolv.conf"));
        refused(TcpStream::connect(addr));
    });
}

#[test]
fn inside_modes_owners_times_and_attributes_stay_as_they_are() {
    let place = CagePlace::new(&[]);
    let audit = place.path("audit/audit.jsonl");
    create(&audit).expect("before the cage");
    let modes = |path: &Path| {
        let metadata = fs::metadata(path).expect("a file");
        (metadata.mode(), metadata.uid(), metadata.mtime())
    };
    let other = place.path("elsewhere/file");
    let before = [&audit, &other].map(|path| modes(path));
    let set_user_id = fs::Permissions::from_mode(0o4755);
    place.inside(|_| {
        for path in [&audit, &other] {
            // The bit by which others run a file as its owner is the worst of them.
            refused(fs::set_permissions(path, set_user_id.clone()));
            refused(chown(path, Some(1), Some(1)));
            refused(lchown(path, Some(1), None));
            let now = rustix::fs::Timestamps {
                last_access: rustix::fs::Timespec::default(),
                last_modification: rustix::fs::Timespec::default(),
            };
            let times = rustix::fs::utimensat(rustix::fs::CWD, path, &now, AtFlags::empty());
            refused(times.map_err(io::Error::from));
            let attribute = rustix::fs::setxattr(path, "user.a", b"b", XattrFlags::empty());
            refused(attribute.map_err(io::Error::from));
        }
        let open = create(&audit).expect("its own file");
        refused(open.set_permissions(set_user_id.clone()));
        refused(fchown(&open, Some(1), Some(1)));
        refused(open.set_modified(std::time::SystemTime::UNIX_EPOCH));
    });
    assert_eq!([&audit, &other].map(|path| modes(path)), before);
}

#[test]
fn inside_the_directory_of_automatic_certificates_is_kept_and_no_other() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let auto = dir.path().join("auto");
    fs::create_dir(&auto).expect("create");
    let args = ServeArgs::default()
        .with("auto-certs", auto.display().to_string())
        .with("control-socket", "off");
    let places = Places::below(&dir.path().join("root"), dir.path(), None);
    let none: [(OsString, OsString); 0] = [];
    let config = config::load_within(&args, none, &places).expect("a configuration");
    let place = CagePlace { dir, config };
    place.inside(|_| {
        let made = pki::auto::ensure(&auto, &["gate.example.com".to_owned()]).expect("made inside");
        assert!(!made.actions.is_empty());
        // Renewed for other names, as when the host's addresses change.
        pki::auto::ensure(&auto, &["other.example.com".to_owned()]).expect("renewed inside");
        refused(fs::create_dir(place.path("other")));
    });
}

/// A number of each thread's status.
fn of_each_thread(process: u32, field: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
    threads
        .map(|thread| {
            let status = thread.expect("a thread").path().join("status");
            let status = fs::read_to_string(status).expect("its status");
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.expect("the field")
                .trim_start_matches(':')
                .trim()
                .to_owned()
        })
        .collect()
}

#[test]
fn every_thread_of_a_running_gate_is_in_the_cage_unless_it_is_turned_off() {
    let gate = Files::new().start("");
    let line = gate.said(0, "Listening");
    assert_eq!(line["level"], "info");
    let process = gate.child.id();
    let threads = of_each_thread(process, "NoNewPrivs");
    assert!(
        threads.len() >= 4,
        "two workers, the log and the main thread: {threads:?}"
    );
    assert!(threads.iter().all(|value| value == "1"), "{threads:?}");
    if gate
        .lines(0, |line| line["message"] == "In the cage")
        .is_empty()
    {
        return missing("the whole cage");
    }
    let filters = of_each_thread(process, "Seccomp");
    assert!(filters.iter().all(|value| value == "2"), "{filters:?}");
    // Of root's capabilities the one by which it opens what others own (CAP_DAC_OVERRIDE, bit 1).
    for set in ["CapPrm", "CapEff"] {
        let held = of_each_thread(process, set);
        let is_left =
            |value: &String| u64::from_str_radix(value, 16).is_ok_and(|set| set & !2 == 0);
        assert!(held.iter().all(is_left), "{set}: {held:?}");
    }
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("its limits");
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = cores.expect("a limit").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{words:?}");
    drop(gate);

    let gate = Files::new().start("unsafe-no-cage = true\n");
    let off = gate.said(0, "The cage is off (unsafe-no-cage)");
    assert_eq!(off["level"], "warn");
    let filters = of_each_thread(gate.child.id(), "Seccomp");
    assert!(filters.iter().all(|value| value == "0"), "{filters:?}");
}

/// Asks for a reload, and says what came of it: the fault, or nothing.
#[track_caller]
fn reload(gate: &ByFile) -> Option<String> {
    let mark = gate.mark();
    gate.signal(Signal::HUP);
    let ended = |line: &serde_json::Value| {
        let said = line["message"].as_str().unwrap_or_default();
        said == "Reloaded" || said.starts_with("Reload failed")
    };
    let line = gate.logged(mark, ended).1;
    line["error"].as_str().map(str::to_owned)
}

#[test]
fn a_reload_reads_files_that_moved_within_the_cage_and_says_why_it_does_not_read_others() {
    let outside = tempfile::tempdir().expect("create a temporary directory");
    let policy = outside.path().join("policy.toml");
    fs::write(&policy, POLICY).expect("write");
    let elsewhere = format!("policy = \"{}\"\n", policy.display());

    let files = Files::new();
    fs::write(files.path("policy.toml"), POLICY).expect("write");
    let gate = files.start("policy = \"policy.toml\"\n");
    let is_whole = !gate
        .lines(0, |line| line["message"] == "In the cage")
        .is_empty();
    // Another file of the same directory, and a directory made later.
    gate.put("other.toml", POLICY);
    gate.configure("policy = \"other.toml\"\n");
    assert_eq!(reload(&gate), None);
    fs::create_dir(gate.path("later")).expect("create");
    gate.put("later/policy.toml", POLICY);
    gate.configure("policy = \"later/policy.toml\"\n");
    assert_eq!(reload(&gate), None);

    if !is_whole {
        return missing("the whole cage");
    }
    gate.configure(&elsewhere);
    let fault = reload(&gate).expect("a policy that is out of reach");
    let why = format!(
        "{} lies outside of the cage, which is made at the start: restart the gate",
        policy.display()
    );
    assert!(fault.ends_with(&why), "{fault}");
    // A link that leads out of it, too.
    std::os::unix::fs::symlink(&policy, gate.path("link.toml")).expect("link");
    gate.configure("policy = \"link.toml\"\n");
    assert!(
        reload(&gate)
            .expect("a link out of the cage")
            .contains("link.toml lies outside of the cage")
    );
    // A fault of another kind is not blamed on it.
    gate.configure("policy = \"missing.toml\"\n");
    let fault = reload(&gate).expect("a policy that is not there");
    assert!(!fault.contains("cage"), "{fault}");
    gate.configure("policy = \"later/policy.toml\"\n");
    assert_eq!(reload(&gate), None, "the gate goes on as before");
    drop(gate);

    // A restart reads it, and without the cage a reload does.
    let gate = Files::new().start(&elsewhere);
    assert_eq!(reload(&gate), None);
    drop(gate);
    let gate = Files::new().start("unsafe-no-cage = true\n");
    gate.configure(&format!("unsafe-no-cage = true\n{elsewhere}"));
    assert_eq!(reload(&gate), None);
}

#[test]
fn a_gate_that_listens_on_a_name_looks_it_up_at_the_start_and_reloads_without_a_name_service() {
    let named = "hosts = [\"tcp://localhost:0\"]\n";
    let gate = Files::new().start(named);
    let addr = gate.said(0, "Listening")["addr"].to_string();
    assert!(
        addr.contains("127.0.0.1:") || addr.contains("[::1]:"),
        "{addr}"
    );
    assert_eq!(reload(&gate), None);
    // Nor is one that is written later looked up: addresses change with the next start.
    gate.configure("hosts = [\"tcp://no-such-host.invalid:0\"]\n");
    assert_eq!(reload(&gate), None);
    drop(gate);

    // At a start it must lead somewhere, as `check` says.
    let files = Files::new();
    Files::configure(
        files.dir.path(),
        "hosts = [\"tcp://no-such-host.invalid:0\"]\n",
    );
    let config = files.path("dockgate.toml");
    for command in ["serve", "check"] {
        let output = finished(
            dockgate()
                .args([command, "--config-file"])
                .arg(&config)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        let text = said(&output).replace('\\', "");
        let why =
            "cannot look up the host name \"no-such-host.invalid\" of tcp://no-such-host.invalid:0";
        assert!(text.contains(why), "{command}: {text}");
        assert_eq!(output.status.code(), Some(78), "{command}: {text}");
    }
}

#[test]
fn check_and_doctor_show_the_cage_and_that_it_is_off() {
    let files = Files::new();
    let socket = files.path("engine.sock");
    let engine = UnixListener::bind(&socket).expect("bind");
    std::thread::spawn(move || {
        for mut connection in engine.incoming().flatten() {
            let answer = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\nOK";
            // One that only looked whether somebody listens is gone. Read first: what is unread at the end resets the connection.
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer);
        }
    });
    let upstream = format!("upstream = \"unix://{}\"\n", socket.display());
    Files::configure(files.dir.path(), &upstream);
    let run = |command: &str, more: &[&str]| {
        let config = files.path("dockgate.toml");
        let output = dockgate()
            .args([command, "--config-file"])
            .arg(config)
            .args(more)
            .output()
            .expect("run it");
        said(&output)
    };
    for command in ["check", "doctor"] {
        let shown = run(command, &[]);
        let line = shown.lines().find(|line| line.contains("the cage: "));
        let line = line.unwrap_or_else(|| panic!("{command} shows the cage: {shown}"));
        assert!(
            line.contains("Landlock") && line.contains("system calls"),
            "{line}"
        );
        let reads = format!("reads {}", files.dir.path().display());
        assert!(shown.lines().any(|line| line.trim() == reads), "{shown}");
        let shown = run(command, &["--unsafe-no-cage"]);
        let line = shown
            .lines()
            .find(|line| line.contains("the cage is off (unsafe-no-cage)"));
        assert!(line.is_some_and(|line| line.contains("warning")), "{shown}");
    }
}
