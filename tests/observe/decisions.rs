//! Decisions as they show from outside: the denial's sentence, the counters, the audit, and what a reload does to them.

mod audit;
mod clients;
mod toggles;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dockgate::observe::audit::{Decision, Event, MAX_LINE, Record};
use rcgen::{DnType, SanType};
use rustix::process::Signal;

use testkit::Daemon;
use testkit::client::{EXEC_START, TlsClient, get};
use testkit::eventually;
use testkit::gate::{ByOptions, engine_socket};
use testkit::pki::{Credential, Pki};
use testkit::programs::finished;
use testkit::programs::{dockgate, said};

/// `ci` may deploy under limits, `new` only is reported on, `viewer` reads.
const POLICY: &str = r#"version = 1
[[client]]
match = { cn = "ci" }
role = "team-a"
[[client]]
match = { cn = "new" }
role = "newcomer"
[[client]]
match = { cn = "viewer" }
role = "read-only"
[role.team-a]
base = "ci"
[role.team-a.limits]
tags = []
binds = ["/srv/team-a/**"]
[role.newcomer]
base = "monitor"
allow = ["container.create"]
mode = "report"
"#;

struct DecisionSite {
    /// First, so that it goes before the directory its socket is in.
    engine: Daemon,
    gate: ByOptions,
    policy: PathBuf,
    audit: PathBuf,
}

impl DecisionSite {
    fn start(policy: &str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = Daemon::start(&engine_socket(&dir));
        let (file, audit) = (
            dir.path().join("policy.toml"),
            dir.path().join("audit.jsonl"),
        );
        fs::write(&file, policy).expect("written");
        let (file_text, audit_text) = (file.display().to_string(), audit.display().to_string());
        let mut all = vec!["--policy", &file_text, "--reload-interval", "off"];
        if !options.contains(&"--audit") {
            all.extend(["--audit", &audit_text]);
        }
        all.extend(options);
        let gate = ByOptions::start(dir, &all);
        Self {
            gate,
            engine,
            policy: file,
            audit,
        }
    }

    fn client(&self, name: &str) -> TlsClient {
        self.gate.connect(&self.gate.pki.client(name, 7))
    }

    /// Waits until the audit has a record like that, decisions aside.
    #[track_caller]
    fn record(&self, found: impl Fn(&Record) -> bool) -> Record {
        self.any_record(|record| record.event != Event::Decided && found(record))
    }

    /// Waits until the audit has a record like that.
    #[track_caller]
    fn any_record(&self, found: impl Fn(&Record) -> bool) -> Record {
        eventually(|| {
            let records = read(&self.audit);
            records
                .iter()
                .find(|record| found(record))
                .cloned()
                .ok_or_else(|| format!("{records:#?}"))
        })
    }

    /// Waits until the metrics page has these lines.
    #[track_caller]
    fn counted(&self, lines: &[String]) {
        let metrics = self.gate.metrics();
        eventually(|| {
            let page = get(metrics, "/metrics").text();
            let missing: Vec<_> = lines
                .iter()
                .filter(|line| !page.contains(&format!("\n{line}\n")))
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            let found: Vec<_> = page
                .lines()
                .filter(|line| line.starts_with("dockgate_requests_total") && !line.ends_with(" 0"))
                .collect();
            Err(format!("missing {missing:#?} among {found:#?}"))
        });
    }

    fn reload(&self, policy: &str, said: &str) {
        let before = self.gate.count(|line| line["message"] == said);
        fs::write(&self.policy, policy).expect("written");
        self.gate.signal(Signal::HUP);
        eventually(|| match self.gate.count(|line| line["message"] == said) {
            now if now > before => Ok(()),
            _ => Err(format!("no {said}")),
        });
    }
}

fn read(audit: &Path) -> Vec<Record> {
    let text = fs::read_to_string(audit).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect()
}

fn post(target: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn create(host: &str) -> String {
    post(
        "/v1.51/containers/create",
        &format!(r#"{{"Image":"b","HostConfig":{{{host}}}}}"#),
    )
}

#[track_caller]
fn status(client: &mut TlsClient, request: &str) -> u16 {
    client.send(request);
    client.answer().status
}

fn counter(class: &str, kind: &str, decision: &str, status: &str, n: usize) -> String {
    format!(
        "dockgate_requests_total{{class=\"{class}\",kind=\"{kind}\",decision=\"{decision}\",status=\"{status}\"}} {n}"
    )
}

#[test]
fn a_denial_reads_as_the_reference_has_it() {
    let site = DecisionSite::start(POLICY, &[]);
    let mut ci = site.client("ci");
    ci.send(create(r#""Binds":["/etc:/x"]"#));
    let answer = ci.answer();
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.text().trim_end(),
        r#"{"message":"dockgate: denied: client ci, role team-a: binds: HostConfig.Binds[0]=/etc:/x (allowed: /srv/team-a/**); to allow it: limits.binds = [\"/etc\"] in role team-a (leads to root on the host)"}"#
    );
    // The user sees the sentence; a reader of the audit has its id.
    let record = site.record(|record| record.decision == Decision::Deny);
    assert_eq!(answer.header("x-request-id"), Some(&*record.request));
    // Beside it: what would pass does, on the same connection.
    assert_eq!(
        status(&mut ci, &create(r#""Binds":["/srv/team-a/x:/x"]"#)),
        201
    );
    assert_eq!(site.engine.heard("POST /v1.51/containers/create").len(), 1);
    let mut stranger = site.client("stranger");
    let answer = stranger.ask("GET", "/v1.51/containers/json");
    assert_eq!(
        answer.text().trim_end(),
        r#"{"message":"dockgate: denied: client -, role none: client: no [[client]] entry of the policy matches this certificate (cn=stranger)"}"#
    );
}

#[test]
fn the_ports_that_are_listened_on_are_the_gates_though_the_kernel_picked_them() {
    let site = DecisionSite::start(POLICY, &[]);
    let mut ci = site.client("ci");
    let publish = |port: u16| {
        let binding = format!(r#"{{"HostIp":"127.0.0.2","HostPort":"{port}"}}"#);
        create(&format!(r#""PortBindings":{{"80/tcp":[{binding}]}}"#))
    };
    let ours = [site.gate.addr.port(), site.gate.metrics().port()];
    for port in ours {
        ci.send(publish(port));
        let answer = ci.answer();
        assert_eq!(answer.status, 403);
        let said = format!("takes port {port} of the gate");
        assert!(answer.text().contains(&said), "{}", answer.text());
    }
    let other = (1025..).find(|port| !ours.contains(port)).expect("a port");
    assert_eq!(status(&mut ci, &publish(other)), 201);
}

#[test]
fn decisions_are_counted_where_they_are_enforced_and_where_they_are_reported() {
    let site = DecisionSite::start(POLICY, &[]);
    let mut ci = site.client("ci");
    for _ in 0..2 {
        assert_eq!(status(&mut ci, &create(r#""Privileged":true"#)), 403);
    }
    assert_eq!(status(&mut ci, &create("")), 201);
    assert_eq!(ci.ask("GET", "/v1.51/swarm").status, 403);
    assert_eq!(site.client("stranger").ask("GET", "/_ping").status, 403);
    let mut new = site.client("new");
    for _ in 0..3 {
        assert_eq!(status(&mut new, &create(r#""Privileged":true"#)), 201);
    }
    assert_eq!(new.ask("GET", "/v1.51/containers/json").status, 200);
    assert_eq!(status(&mut new, &post("/v1.51/brand/new", "{}")), 200);
    let lines = |denied: usize, reported: usize| {
        vec![
            counter("root", "create", "denied", "4xx", denied),
            counter("root", "create", "would_deny", "2xx", reported),
            counter("root", "create", "allowed", "2xx", 1),
            counter("read", "list", "allowed", "2xx", 1),
        ]
    };
    site.counted(&lines(2, 3));
    let line = site
        .gate
        .logged(|line| line["message"] == "Request" && line["decision"] == "would_deny");
    assert_eq!(line["rule"], "privileged");
    let record = site.record(|record| record.decision == Decision::WouldDeny);
    assert_eq!(
        (&*record.mode, record.rule.as_deref(), record.status),
        ("report", Some("privileged"), 201)
    );
    // For the whole file: who was refused is let through and counted, but for the role that says otherwise.
    let whole = POLICY.replace("version = 1", "version = 1\nmode = \"report\"");
    let site = DecisionSite::start(
        &whole.replace("base = \"ci\"", "base = \"ci\"\nmode = \"enforce\""),
        &[],
    );
    let (mut ci, mut new) = (site.client("ci"), site.client("new"));
    let (mut viewer, mut stranger) = (site.client("viewer"), site.client("stranger"));
    assert_eq!(status(&mut ci, &create(r#""Privileged":true"#)), 403);
    assert_eq!(status(&mut ci, &create("")), 201);
    assert_eq!(status(&mut new, &create(r#""Privileged":true"#)), 201);
    assert_eq!(status(&mut viewer, &create(r#""Privileged":true"#)), 201);
    assert_eq!(status(&mut stranger, &create(r#""Privileged":true"#)), 201);
    assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
    site.counted(&lines(1, 3));
    let record = site.record(|record| record.client == "-");
    assert_eq!(
        (record.decision, &*record.mode, record.rule.as_deref()),
        (Decision::WouldDeny, "report", Some("client"))
    );
}

#[test]
fn a_judged_body_goes_on_as_the_same_bytes() {
    let site = DecisionSite::start(POLICY, &[]);
    let mut ci = site.client("ci");
    let body = "{ \"Image\" :\t\"b\",\r\n \"Env\":[\"A=\\u0062\\/\"], \"HostConfig\" : {\"Binds\":[\"/srv//team-a/./x:/x\"] } }\n ";
    let chunks = format!(
        "POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &body[..5],
        body.len() - 5,
        &body[5..]
    );
    for request in [post("/v1.51/containers/create", body), chunks] {
        assert_eq!(status(&mut ci, &request), 201);
        let (head, sent) = site
            .engine
            .heard("POST /v1.51/containers/create")
            .pop()
            .expect("forwarded");
        assert_eq!(String::from_utf8_lossy(&sent), body);
        assert!(
            head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(!head.contains("Transfer-Encoding"), "{head}");
    }
    // And what is refused does not go on at all.
    assert_eq!(
        status(
            &mut ci,
            &post("/v1.51/containers/create", &body.replace("team-a", "x"))
        ),
        403
    );
    assert_eq!(site.engine.heard("POST /v1.51/containers/create").len(), 2);
}

#[test]
fn report_mode_forwards_what_it_cannot_read_and_refuses_what_is_no_http() {
    let small = "version = 1\nmax_body = 1024\n";
    let by_role = POLICY.replace("version = 1\n", small);
    let whole = by_role.replace(small, &format!("{small}mode = \"report\"\n"));
    for (policy, who) in [(&by_role, "new"), (&whole, "ci")] {
        let site = DecisionSite::start(policy, &[]);
        let mut client = site.client(who);
        let large = format!(r#"{{"Image":"b","Labels":{{"a":"{}"}}}}"#, "x".repeat(4000));
        let (first, rest) = large.split_at(1500);
        let chunked = format!(
            "POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
            first.len(),
            rest.len()
        );
        for (request, sent) in [
            (post("/v1.51/containers/create", "{nonsense"), "{nonsense"),
            (post("/v1.51/containers/create", &large), large.as_str()),
            (chunked, rest),
        ] {
            assert_eq!(status(&mut client, &request), 201, "{who}");
            let (_, body) = site
                .engine
                .heard("POST /v1.51/containers/create")
                .pop()
                .expect("forwarded");
            assert!(String::from_utf8_lossy(&body).contains(sent), "{who}");
        }
        let records = eventually(|| {
            let records = read(&site.audit);
            match records.len() {
                6.. => Ok(records),
                _ => Err(format!("{records:#?}")),
            }
        });
        let rules: Vec<_> = records.iter().map(|r| r.rule.as_deref()).collect();
        assert_eq!(rules, [Some("body"); 6], "{who}");
        // A switch where the operation has none is never a tunnel.
        let mut other = site.client(who);
        let switch = "GET /v1.51/switches HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        assert_eq!(status(&mut other, switch), 502, "{who}");
        other.ended();
        refuses_what_is_no_http(&site, who);
    }
    // Where it is enforced, the same: the switch does not even reach the engine.
    let site = DecisionSite::start(POLICY, &[]);
    let mut ci = site.client("ci");
    let switch =
        "GET /v1.51/switches HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    assert_eq!(status(&mut ci, switch), 403);
    ci.ended();
    assert!(site.engine.heard("GET /v1.51/switches").is_empty());
    refuses_what_is_no_http(&site, "ci");
}

fn refuses_what_is_no_http(site: &DecisionSite, who: &str) {
    for malformed in [
        "GET /v1.51/containers/json HTTP/1.1\r\n\r\n",
        "GET /v1.51/containers/json HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /v1.51/containers/json HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET http://u@x/v1.51/containers/json HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1.51/containers/json HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    ] {
        let mut client = site.client(who);
        assert_eq!(status(&mut client, malformed), 400, "{who}: {malformed}");
        client.ended();
    }
    let lists = site.engine.heard("GET /v1.51/containers/json");
    assert!(lists.is_empty(), "{lists:?}");
}

/// "At info: refused connections, denials, […] sessions begun and ended, faults. Plain requests at debug, or by `access-log`."
#[test]
fn the_log_has_denials_and_sessions_and_every_request_where_that_is_asked_for() {
    for (options, plain) in [(&[][..], 0), (&["--access-log", "on"], 1)] {
        let site = DecisionSite::start(POLICY, options);
        let mut ci = site.client("ci");
        assert_eq!(status(&mut ci, &create("")), 201);
        assert_eq!(status(&mut ci, &create(r#""Privileged":true"#)), 403);
        let mut session = site.client("ci");
        session.hijack();
        session.echo("x");
        session.close_notify();
        session.ended();
        let ended = site.gate.logged(|line| line["message"] == "Session ended");
        assert_eq!(
            (&ended["status"], &ended["error"]),
            (&101.into(), &serde_json::Value::Null),
            "{ended}"
        );
        let denied = site.gate.count(|line| {
            line["message"] == "Request" && line["level"] == "info" && line["decision"] == "deny"
        });
        let allowed = site.gate.count(|line| {
            line["message"] == "Request" && line["level"] == "info" && line["decision"] == "allow"
        });
        assert_eq!((denied, allowed), (1, plain));
    }
}

#[test]
fn the_output_of_a_policy_command_may_be_cut_off() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("policy.toml");
    fs::write(&file, POLICY).expect("written");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = dockgate()
        .args(["policy", "check", "--json"])
        .arg(&file)
        .stdout(writer)
        .output()
        .expect("runs");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}
