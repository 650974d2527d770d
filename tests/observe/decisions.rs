//! Decisions as they show from outside: the denial's sentence, the counters, the audit, and what a reload does to them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dockgate::audit::{Decision, Event, Record};
use rcgen::{DnType, SanType};
use rustix::process::Signal;

use crate::support::client::{Client, EXEC_START, get};
use crate::support::engine::Engine;
use crate::support::eventually;
use crate::support::gate::{Gate, dockgate, engine_socket, text};
use crate::support::pki::{Credential, Pki};

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

struct Site {
    /// First, so that it goes before the directory its socket is in.
    engine: Engine,
    gate: Gate,
    policy: PathBuf,
    audit: PathBuf,
}

impl Site {
    fn start(policy: &str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = Engine::start(&engine_socket(&dir));
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
        let gate = Gate::start(dir, &all);
        Self {
            gate,
            engine,
            policy: file,
            audit,
        }
    }

    fn client(&self, name: &str) -> Client {
        self.gate.connect(&self.gate.pki.client(name, 7))
    }

    /// Waits until the audit has a record like that.
    #[track_caller]
    fn record(&self, found: impl Fn(&Record) -> bool) -> Record {
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
            let page = get(metrics, "/metrics").body;
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
fn status(client: &mut Client, request: &str) -> u16 {
    client.send(request).expect("sent");
    client.answer().expect("an answer").status
}

fn counter(class: &str, kind: &str, decision: &str, status: &str, n: usize) -> String {
    format!(
        "dockgate_requests_total{{class=\"{class}\",kind=\"{kind}\",decision=\"{decision}\",status=\"{status}\"}} {n}"
    )
}

#[test]
fn a_denial_reads_as_the_reference_has_it() {
    let site = Site::start(POLICY, &[]);
    let mut ci = site.client("ci");
    ci.send(create(r#""Binds":["/etc:/x"]"#)).expect("sent");
    let answer = ci.answer().expect("an answer");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.body.trim_end(),
        r#"{"message":"dockgate: denied: client ci, role team-a: bind-sources: HostConfig.Binds[0]=/etc:/x (allowed: /srv/team-a/**)"}"#
    );
    // The user sees the sentence; whoever looks for the record has its id.
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
        answer.body.trim_end(),
        r#"{"message":"dockgate: denied: client -, role none: client: no client entry of the policy matches this certificate"}"#
    );
}

#[test]
fn decisions_are_counted_where_they_are_enforced_and_where_they_are_reported() {
    let site = Site::start(POLICY, &[]);
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
    assert_eq!(line["rule"], "no-privileged");
    let record = site.record(|record| record.decision == Decision::WouldDeny);
    assert_eq!(
        (&*record.mode, record.rule.as_deref(), record.status),
        ("report", Some("no-privileged"), 201)
    );
    // For the whole file: who was refused is let through and counted, but for the role that says otherwise.
    let whole = POLICY.replace("version = 1", "version = 1\nmode = \"report\"");
    let site = Site::start(
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
    let site = Site::start(POLICY, &[]);
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
        let site = Site::start(policy, &[]);
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
        assert!(
            read(&site.audit)
                .iter()
                .all(|record| record.rule.as_deref() == Some("body"))
        );
        // A switch where the operation has none is never a tunnel.
        let mut other = site.client(who);
        let switch = "GET /v1.51/switches HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        assert_eq!(status(&mut other, switch), 502, "{who}");
        other.ended();
        refuses_what_is_no_http(&site, who);
    }
    // Where it is enforced, the same: the switch does not even reach the engine.
    let site = Site::start(POLICY, &[]);
    let mut ci = site.client("ci");
    let switch =
        "GET /v1.51/switches HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    assert_eq!(status(&mut ci, switch), 403);
    ci.ended();
    assert!(site.engine.heard("GET /v1.51/switches").is_empty());
    refuses_what_is_no_http(&site, "ci");
}

fn refuses_what_is_no_http(site: &Site, who: &str) {
    for malformed in [
        "GET /v1.51/containers/json HTTP/1.1\r\n\r\n",
        "GET /v1.51/containers/json HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /v1.51/containers/json HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET http://x/v1.51/containers/json HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1.51/containers/json HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    ] {
        let mut client = site.client(who);
        assert_eq!(status(&mut client, malformed), 400, "{who}: {malformed}");
        client.ended();
    }
    let lists = site.engine.heard("GET /v1.51/containers/json");
    assert!(lists.is_empty(), "{lists:?}");
}

#[test]
fn the_audit_has_every_field_and_both_ends_of_a_session() {
    let site = Site::start(POLICY, &[]);
    let who = site.gate.pki.client_with("ci", 0x0abc, |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example Ltd");
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, "Platform");
        params.subject_alt_names = vec![
            SanType::DnsName("ci.example.com".try_into().expect("a name")),
            SanType::Rfc822Name("ci@example.com".try_into().expect("an address")),
            SanType::URI("spiffe://example.com/ci".try_into().expect("a URI")),
            SanType::IpAddress([192, 0, 2, 7].into()),
        ];
    });
    let mut ci = site.gate.connect(&who);
    let exec = r#"{"Cmd":["sh","-c","echo one two"],"Env":["TOKEN=hunter2"]}"#;
    assert_eq!(
        status(&mut ci, &post("/v1.51/containers/web/exec?x=hunter3", exec)),
        403,
        "an unknown parameter"
    );
    let request = post("/v1.51/containers/web/exec", exec).replace(
        "Host: x\r\n",
        "Host: x\r\nX-Registry-Auth: hunter4\r\nAuthorization: Basic hunter5\r\n",
    );
    assert_eq!(status(&mut ci, &request), 201);
    let made = site.record(|r| r.operation == "exec.create" && r.decision == Decision::Allow);
    let certificate = &made.certificate;
    assert_eq!(
        [
            &certificate.cn,
            &certificate.o,
            &certificate.ou,
            &certificate.dns,
            &certificate.email,
            &certificate.uri
        ]
        .map(|list| list.join(",")),
        [
            "ci",
            "Example Ltd",
            "Platform",
            "ci.example.com",
            "ci@example.com",
            "spiffe://example.com/ci"
        ]
    );
    assert_eq!(
        certificate.ip.first().map(ToString::to_string).as_deref(),
        Some("192.0.2.7")
    );
    assert_eq!(certificate.serial, "0abc");
    assert!(
        certificate.spki.starts_with("sha256:")
            && certificate.spki.len() == 51
            && certificate.issuer_spki.is_some(),
        "{certificate:?}"
    );
    assert!(made.address.starts_with("127.0.0.1:") && made.time.ends_with('Z'));
    assert!(made.request.starts_with(&format!("{}-", made.connection)));
    assert_eq!(
        (
            &*made.client,
            &*made.role,
            &*made.method,
            &*made.path,
            &*made.mode
        ),
        (
            "ci",
            "team-a",
            "POST",
            "/v1.51/containers/web/exec",
            "enforce"
        )
    );
    assert_eq!((made.target.as_deref(), made.status), (Some("web"), 201));
    assert_eq!(
        made.command.as_deref(),
        Some(&["sh".into(), "-c".into(), "echo one two".into()][..])
    );
    assert!(
        made.bytes_in >= request.len() as u64
            && made.bytes_out > 0
            && made.duration_us >= made.upstream_us
            && made.upstream_us > 0,
        "{made:?}"
    );
    // Both ends of a session.
    let mut tunnel = site.gate.connect(&who);
    tunnel.hijack();
    let start = site.record(|r| r.event == Event::SessionStart);
    assert_eq!((start.status, &start.reason), (101, &None));
    assert!(
        read(&site.audit)
            .iter()
            .all(|r| r.event != Event::SessionEnd)
    );
    tunnel.echo("what is typed: hunter6");
    let (sent, received) = (tunnel.sent, tunnel.received);
    drop(tunnel);
    let end = site.record(|r| r.event == Event::SessionEnd);
    assert_eq!(
        (
            &end.request,
            &end.connection,
            &*end.operation,
            end.target.as_deref()
        ),
        (&start.request, &start.connection, "exec.start", Some("e1"))
    );
    assert_eq!(
        (end.bytes_in, end.bytes_out, end.status),
        (sent, received, 101)
    );
    assert!(end.reason.is_some() && end.duration_us >= start.duration_us);
    // One that is kicked has that as its reason.
    let mut kicked = site.gate.connect(&who);
    kicked.hijack();
    let id = site.gate.ps().iter().map(|c| c.id).max().expect("there");
    let output = site.gate.command_line(&["kick", &id.to_string()]);
    assert!(output.status.success(), "{}", text(&output));
    kicked.ended();
    site.record(|r| r.event == Event::SessionEnd && r.reason.as_deref() == Some("kicked"));
    let text = fs::read_to_string(&site.audit).expect("the audit");
    assert!(!text.contains("hunter"), "{text}");
    assert!(!text.contains(EXEC_START));
}

/// Two CAs of one name, and a client of each by the same name; the pin tells them apart, whatever is presented beside.
#[test]
fn an_issuers_pin_tells_two_cas_of_one_name_apart() {
    let dir = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    let _engine = Engine::start(&engine_socket(&dir));
    let pki = Pki::named(dir.path(), "One CA");
    let twin = Pki::named(other.path(), "One CA");
    let pin = |ca: &Pki| {
        let (_, cert) = x509_parser::parse_x509_certificate(&ca.ca_der).expect("a certificate");
        let digest = dockgate::identity::sha256(cert.public_key().raw);
        format!("sha256:{}", data_encoding::BASE64.encode(&digest))
    };
    let both =
        [&dir, &other].map(|dir| fs::read_to_string(dir.path().join("ca.pem")).expect("read"));
    fs::write(dir.path().join("ca.pem"), both.concat()).expect("written");
    let policy = dir.path().join("policy.toml");
    let text = format!(
        "version = 1\n[[client]]\nmatch = {{ cn = \"ci\", issuer_spki = \"{}\" }}\nrole = \"monitor\"\n",
        pin(&twin)
    );
    fs::write(&policy, text).expect("written");
    let command = Gate::command(&dir, &["--policy", &policy.display().to_string()]);
    let gate = Gate::run(command, pki, dir);
    let ask = |who: &Credential| gate.connect(who).ask("GET", "/_ping").status;
    let (ours, theirs) = (gate.pki.client("ci", 1), twin.client("ci", 1));
    assert_eq!((ask(&ours), ask(&theirs)), (403, 200));
    for (who, beside, status) in [
        (&ours, &twin, 403),
        (&theirs, &gate.pki, 200),
        (&theirs, &twin, 200),
    ] {
        let mut who = who.clone();
        who.chain.push(beside.ca_der.clone());
        assert_eq!(ask(&who), status);
    }
}

#[test]
fn the_audit_says_what_was_never_let_through_and_why() {
    let site = Site::start(POLICY, &["--max-requests-per-second-per-client", "1"]);
    let mut ci = site.client("ci");
    let over = (0..20).any(|_| ci.ask("GET", "/_ping").status == 429);
    assert!(over, "the rate must be exceeded");
    let record = site.record(|r| r.status == 429);
    assert_eq!(
        (
            record.decision,
            record.rule.as_deref(),
            &*record.client,
            &*record.role
        ),
        (Decision::Deny, Some("limit"), "ci", "team-a")
    );
    // Who leaves before there was anything to decide on was not let through either.
    let mut gone = site.client("viewer");
    gone.send("POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        .expect("sent");
    assert_eq!(gone.answer().expect("an answer").status, 403);
    let mut gone = site.client("new");
    gone.send("POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        .expect("sent");
    drop(gone);
    let record = site.record(|r| r.client == "new");
    assert_eq!(
        (
            record.decision,
            record.rule.as_deref(),
            record.reason.as_deref()
        ),
        (Decision::Deny, None, Some("client_gone"))
    );
}

#[test]
fn sighup_opens_the_audit_anew() {
    let site = Site::start(POLICY, &[]);
    let mut viewer = site.client("viewer");
    assert_eq!(viewer.ask("GET", "/_ping").status, 200);
    site.record(|r| r.operation == "system.ping");
    let moved = site.audit.with_extension("1");
    fs::rename(&site.audit, &moved).expect("moved");
    assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
    eventually(|| match read(&moved).len() {
        2 => Ok(()),
        other => Err(format!("{other} records")),
    });
    site.reload(POLICY, "Reloaded");
    assert_eq!(viewer.ask("GET", "/v1.51/swarm").status, 403);
    site.record(|r| r.operation == "swarm.inspect");
    assert_eq!((read(&site.audit).len(), read(&moved).len()), (1, 2));
}

#[test]
fn an_audit_that_cannot_be_written_lets_nothing_through_unless_told_to() {
    for (options, continues) in [
        (&[][..], false),
        (&["--audit-failure", "deny"][..], false),
        (&["--audit-failure", "continue"][..], true),
    ] {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let (link, file) = (elsewhere.path().join("sink"), elsewhere.path().join("file"));
        symlink("/dev/full", &link).expect("linked");
        let sink = link.display().to_string();
        let site = Site::start(POLICY, &[&["--audit", &sink][..], options].concat());
        let mut viewer = site.client("viewer");
        // That nothing can be written shows at the first record.
        assert_eq!(viewer.ask("GET", "/_ping").status, 200);
        site.gate
            .logged(|line| line["message"] == "The audit cannot be written");
        let heard = site.engine.heard("GET ").len();
        let answer = viewer.ask("GET", "/v1.51/containers/json");
        if continues {
            assert_eq!(answer.status, 200);
            continue;
        }
        assert_eq!(answer.status, 503);
        assert!(
            answer.body.starts_with(
                "{\"message\":\"dockgate: the audit cannot be written, so nothing is let through: "
            ),
            "{answer:?}"
        );
        assert_eq!(site.engine.heard("GET ").len(), heard);
        // A place to write, and everything comes, the refusal as what it was.
        fs::remove_file(&link).expect("removed");
        symlink(&file, &link).expect("linked");
        assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
        let refused = eventually(|| {
            let records = read(&file);
            let refused = records.iter().find(|record| record.status == 503);
            match (refused, records.len()) {
                (Some(refused), 3) => Ok(refused.clone()),
                _ => Err(format!("{records:#?}")),
            }
        });
        assert_eq!(
            (refused.decision, refused.rule.as_deref()),
            (Decision::Deny, Some("audit"))
        );
        site.counted(&[counter("read", "list", "denied", "5xx", 1)]);
    }
}

#[test]
fn streams_outlive_a_reload_and_end_with_their_clients_role() {
    let site = Site::start(POLICY, &[]);
    let (mut ci, mut viewer) = (site.client("ci"), site.client("viewer"));
    ci.hijack();
    assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
    // A faulty file keeps the old policy.
    for faulty in ["version = 1\n", &POLICY.replace("binds", "bindz"), ""] {
        site.reload(
            faulty,
            "Reload failed; the old configuration stays in force",
        );
        ci.echo("still here");
        assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
        assert_eq!(viewer.ask("GET", "/v1.51/swarm").status, 403);
    }
    // Less than before: the stream lives on as it was decided, the next one is judged anew.
    let narrower = POLICY.replace("base = \"ci\"", "base = \"ci\"\ndeny = [\"exec.*\"]");
    site.reload(&narrower, "Reloaded");
    ci.echo("still here");
    let mut again = site.client("ci");
    assert_eq!(status(&mut again, EXEC_START), 403);
    // Only reported on: whoever has no role is let through, so nobody is cut.
    let reported = POLICY
        .replace("version = 1", "version = 1\nmode = \"report\"")
        .replace("role = \"team-a\"", "role = \"none\"");
    site.reload(&reported, "Reloaded");
    ci.echo("still here");
    // No role any more: the stream and the idle connection end, the other client's stay.
    let gone = POLICY.replace("role = \"team-a\"", "role = \"none\"");
    let mut idle = site.client("ci");
    assert_eq!(idle.ask("GET", "/_ping").status, 200);
    site.reload(&gone, "Reloaded");
    ci.ended();
    idle.ended();
    let end = site.record(|r| r.event == Event::SessionEnd);
    assert_eq!(end.reason.as_deref(), Some("role_lost"));
    assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
}

/// The binary with these toggles and no policy: a gate, or why there is none.
fn toggled(toggles: &[(&str, &str)]) -> (Gate, Engine) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::start(&engine_socket(&dir));
    let pki = Pki::create(dir.path());
    let mut command = Gate::command(&dir, &["--reload-interval", "off"]);
    command.envs(toggles.iter().copied());
    (Gate::run(command, pki, dir), engine)
}

#[test]
fn toggles_of_the_environment_are_the_policy_and_their_table_is_printed() {
    let (gate, engine) = toggled(&[("CONTAINERS", "1"), ("IMAGES", "1"), ("POST", "1")]);
    let opened = |gate: &Gate, resource: &str| {
        gate.logged(|line| {
            line["policy"] == "toggles"
                && line["opened"]
                    .as_str()
                    .is_some_and(|opened| opened.starts_with(resource))
        })["opened"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let table = opened(&gate, "container:");
    assert!(
        table.contains(" create") && table.contains(" start"),
        "{table}"
    );
    for never in ["attach", "archive", "export", "exec"] {
        assert!(!table.contains(never), "{table}");
    }
    let mut client = gate.connect(&gate.pki.client("anybody", 1));
    for (method, target) in [
        ("POST", "/v1.51/containers/web/exec"),
        ("POST", "/v1.51/exec/e1/start"),
        ("GET", "/v1.51/containers/web/attach/ws"),
        ("GET", "/v1.51/containers/web/archive?path=/"),
        ("PUT", "/v1.51/containers/web/archive?path=/"),
        ("HEAD", "/v1.51/containers/web/archive?path=/"),
        ("GET", "/v1.51/containers/web/export"),
        ("POST", "/v1.51/build"),
        ("POST", "/v1.51/commit?container=web"),
        ("POST", "/grpc"),
        ("POST", "/session"),
        ("POST", "/v1.51/containers/web/attach"),
    ] {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let mut client = gate.connect(&gate.pki.client("anybody", 1));
        client.send(request).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.read(1).expect("an answer"));
        }
        assert!(
            head.starts_with(b"HTTP/1.1 403 "),
            "{method} {target}: {}",
            String::from_utf8_lossy(&head)
        );
    }
    assert!(engine.heard("POST ").is_empty());
    assert_eq!(client.ask("GET", "/v1.51/containers/json").status, 200);
    assert_eq!(status(&mut client, &create("")), 201);
    assert_eq!(status(&mut client, &create(r#""Privileged":true"#)), 403);
    // One toggle is enough, and it is a closed gate but for what is on by default.
    let (gate, _engine) = toggled(&[("INFO", "0")]);
    assert_eq!(
        opened(&gate, "system:"),
        "system: ping ping-head version events"
    );
    let mut client = gate.connect(&gate.pki.client("anybody", 1));
    assert_eq!(client.ask("GET", "/_ping").status, 200);
    assert_eq!(client.ask("GET", "/v1.51/containers/json").status, 403);
}

#[test]
fn toggles_of_a_role_are_printed_too_and_unknown_ones_stop_the_gate() {
    let policy = format!(
        "{POLICY}[[client]]\nmatch = {{ cn = \"old\" }}\nrole = \"old\"\n[role.old]\ntoggles = {{ CONTAINERS = 1, POST = 0, ALLOW_RESTARTS = 1 }}\n"
    );
    let site = Site::start(&policy, &[]);
    let line = site.gate.logged(|line| {
        line["role"] == "old"
            && line["opened"]
                .as_str()
                .is_some_and(|opened| opened.starts_with("container:"))
    });
    let table = line["opened"].as_str().expect("text");
    assert!(
        table.contains(" restart") && table.contains(" list") && !table.contains("create"),
        "{table}"
    );
    let mut old = site.client("old");
    assert_eq!(old.ask("GET", "/v1.51/containers/json").status, 200);
    assert_eq!(status(&mut old, &create("")), 403);
    for (name, value, said) in [
        ("CONTAINER", "1", "did you mean \"CONTAINERS\"?"),
        ("CONTAINERS", "yes", "expected 0 or 1, found \"yes\""),
        ("GRPC", "1", "opens a tunnel that cannot be looked into"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        Pki::create(dir.path());
        let output = Gate::command(&dir, &[])
            .env(name, value)
            .stdout(std::process::Stdio::piped())
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(78), "{}", text(&output));
        assert!(text(&output).contains(said), "{}", text(&output));
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
