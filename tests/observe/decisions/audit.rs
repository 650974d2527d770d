//! What the audit says of each decision, and what becomes of requests when it cannot say it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::thread;

use super::*;

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn the_audit_has_every_field_and_both_ends_of_a_session() {
    let site = DecisionSite::start(POLICY, &[]);
    let who = site.gate.pki.client_with("ci", |params| {
        params.serial_number = Some(0x0abc_u64.into());
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
    let request = post("/v1.51/containers/web/exec", exec)
        .replace("Host: x\r\n", "Host: x\r\nAuthorization: Basic hunter5\r\n");
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
    assert!(output.status.success(), "{}", said(&output));
    kicked.ended();
    site.record(|r| r.event == Event::SessionEnd && r.reason.as_deref() == Some("kicked"));
    let text = fs::read_to_string(&site.audit).expect("the audit");
    assert!(!text.contains("hunter"), "{text}");
    assert!(!text.contains(EXEC_START));
}

#[test]
fn the_audit_says_what_was_never_let_through_and_why() {
    let site = DecisionSite::start(POLICY, &["--max-requests-per-second-per-client", "1"]);
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
    gone.send("POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(gone.answer().status, 403);
    let mut gone = site.client("new");
    gone.send("POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{");
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
fn paths_are_recorded_as_sent_and_not_without_end() {
    let site = DecisionSite::start(POLICY, &[]);
    let mut viewer = site.client("viewer");
    let _ = viewer.ask("GET", "/v1.51/containers/w%65b/json?size=1");
    let record = site.record(|r| r.operation == "container.inspect");
    assert_eq!(
        (&*record.path, record.target.as_deref()),
        ("/v1.51/containers/w%65b/json", Some("web"))
    );
    let _ = viewer.ask("GET", &format!("/v1.51/{}", "x".repeat(100_000)));
    let record = site.record(|r| r.operation == "unknown");
    let shown = format!("/v1.51/{}…", "x".repeat(2048 - 7));
    assert_eq!(record.path, shown);
    assert_eq!(site.gate.ps()[0].path.as_deref(), Some(&*shown));
    site.gate.logged(|line| line["path"] == *shown);
}

#[test]
fn a_secret_in_a_path_or_a_parameter_is_neither_answered_nor_logged_nor_recorded() {
    let site = DecisionSite::start(POLICY, &["--access-log", "on"]);
    let mut client = site.client("ci");
    for (target, shown) in [
        (
            "/v1.51/images/bob:hunter2@reg.example.com/x/push",
            "/v1.51/images/…@reg.example.com/x/push",
        ),
        (
            "/v1.51/images/bob:hunter2%40reg.example.com/x/push",
            "/v1.51/images/…%40reg.example.com/x/push",
        ),
        (
            "/v1.51/bob:hunter2@reg.example.com",
            "/v1.51/…@reg.example.com",
        ),
        (
            "/v1.51/images/create?fromImage=bob:hunter2@reg.example.com/y",
            "/v1.51/images/create",
        ),
        (
            "/v1.51/build?remote=https://hunter2@git.example.com/a?hunter2",
            "/v1.51/build",
        ),
        (
            "/v1.51/images/create?fromSrc=host.example.com/a?hunter2&repo=a",
            "/v1.51/images/create",
        ),
    ] {
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(answer.status, 403, "{target}");
        assert!(
            !answer.text().contains("hunter2"),
            "{target}: {}",
            answer.text()
        );
        site.record(|record| record.path == shown && record.status == 403);
    }
    let audit = fs::read_to_string(&site.audit).expect("an audit");
    eventually(
        || match site.gate.count(|line| line["message"] == "Request") {
            6.. => Ok(()),
            logged => Err(format!("{logged} requests in the log")),
        },
    );
    let logged = site.gate.count(|line| line.to_string().contains("hunter2"));
    assert!(!audit.contains("hunter2") && logged == 0, "{audit}");
}

#[test]
fn sighup_opens_the_audit_anew() {
    let site = DecisionSite::start(POLICY, &[]);
    let mut viewer = site.client("viewer");
    assert_eq!(viewer.ask("GET", "/_ping").status, 200);
    site.record(|r| r.operation == "system.ping");
    let moved = site.audit.with_extension("1");
    fs::rename(&site.audit, &moved).expect("moved");
    assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
    eventually(|| match read(&moved).len() {
        4 => Ok(()),
        other => Err(format!("{other} records")),
    });
    site.reload(POLICY, "Reloaded");
    assert_eq!(viewer.ask("GET", "/v1.51/swarm").status, 403);
    site.record(|r| r.operation == "swarm.inspect");
    assert_eq!((read(&site.audit).len(), read(&moved).len()), (1, 4));
}

/// Has a link lead elsewhere, in one step: in between the gate would make a file there.
fn lead(link: &Path, to: &Path) {
    let next = link.with_extension("next");
    symlink(to, &next).expect("linked");
    fs::rename(&next, link).expect("moved");
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
        let site = DecisionSite::start(POLICY, &[&["--audit", &sink][..], options].concat());
        let mut viewer = site.client("viewer");
        // That nothing can be written shows at the first decision.
        let first = if continues { 200 } else { 503 };
        assert_eq!(viewer.ask("GET", "/_ping").status, first);
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
            answer.text().starts_with(
                "{\"message\":\"dockgate: the audit cannot be written, so nothing is let through: "
            ),
            "{answer:?}"
        );
        assert_eq!(site.engine.heard("GET ").len(), heard);
        // A place to write, and everything comes, the refusal as what it was.
        lead(&link, &file);
        assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
        let refused = eventually(|| {
            let records = read(&file);
            let refused = records.iter().find(|record| record.status == 503);
            // Two refusals, and both records of what was allowed.
            match (refused, records.len()) {
                (Some(refused), 4) => Ok(refused.clone()),
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
fn an_audit_that_nobody_reads_refuses_requests_and_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Daemon::start(&engine_socket(&dir));
    let pki = Pki::create(dir.path());
    let mut command = ByOptions::command(&dir, &["--audit", "stdout"]);
    command.stdout(Stdio::piped());
    let mut gate = ByOptions::run(command, pki, dir);
    let unread = gate.child.stdout.take().expect("piped");
    let mut client = gate.connect(&gate.pki.client("ci", 7));
    // A full pipe is a reader that is late, then one that is gone.
    let mut asked = 0;
    eventually(|| {
        asked += 1;
        match client.ask("GET", "/_ping").status {
            503 => Ok(()),
            other => Err(format!("{asked} requests, the last got {other}")),
        }
    });
    gate.logged(|line| {
        line["message"] == "The audit cannot be written" && line["error"] == "nobody reads it"
    });
    let heard = engine.heard("GET ").len();
    let mut other = gate.connect(&gate.pki.client("other", 8));
    assert_eq!(other.ask("GET", "/_ping").status, 503);
    assert_eq!(engine.heard("GET ").len(), heard);
    assert_eq!(get(gate.metrics(), "/live").status, 200);
    // Somebody reads again, and nothing is missing.
    let reader = thread::spawn(move || {
        BufReader::new(unread)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Record>(&line).ok())
            .map(|record| record.status)
            .collect::<Vec<_>>()
    });
    let mut again = 0;
    eventually(|| {
        again += 1;
        match client.ask("GET", "/_ping").status {
            200 => Ok(()),
            other => Err(format!("still {other}")),
        }
    });
    gate.signal(Signal::TERM);
    ended(&mut gate);
    let statuses = reader.join().expect("read");
    // Of what was allowed there are two records, of a refusal there is one.
    let allowed = 2 * (asked - 1) + 2;
    let refused = 1 + 1 + (again - 1);
    assert_eq!(statuses.len(), allowed + refused, "{statuses:?}");
    // A refused client connects again, so the records of its connections come in any order.
    let with = |status| statuses.iter().filter(|had| **had == status).count();
    assert_eq!((with(200), with(503)), (asked, refused), "{statuses:?}");
}

#[test]
fn a_request_goes_on_only_when_a_late_reader_has_left_room_for_its_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = dir.path().join("audit.fifo");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::Mode::from_raw_mode(0o600),
    )
    .expect("a pipe");
    let open = || {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        options.open(&pipe).expect("the pipe")
    };
    let mut reader = open();
    let fill = |mut pipe: &fs::File| {
        for size in [4096, 1] {
            while pipe.write(&vec![b'\n'; size]).is_ok() {}
        }
    };
    fill(&reader);
    let site = DecisionSite::start(POLICY, &["--audit", &pipe.display().to_string()]);
    let mut viewer = site.client("viewer");
    viewer.send("GET /v1.51/containers/json HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut read = String::new();
    let mut records = |event: Event| {
        eventually(|| {
            let mut piece = [0; 65_536];
            if let Ok(count) = reader.read(&mut piece) {
                read.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
            let mut records = read
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let found = records.find(|record: &Record| record.event == event);
            found.ok_or_else(|| read.trim().to_owned())
        })
    };
    assert_eq!(records(Event::Decided).decision, Decision::Allow);
    assert_eq!(viewer.answer().status, 200);
    assert_eq!(records(Event::Request).status, 200);
    // Nobody reads: no record, no access.
    fill(&open());
    let heard = site.engine.heard("GET ").len();
    assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 503);
    assert_eq!(site.engine.heard("GET ").len(), heard);
}

#[test]
fn an_audit_that_is_never_read_does_not_keep_the_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let _engine = Daemon::start(&engine_socket(&dir));
    let pki = Pki::create(dir.path());
    let mut command =
        ByOptions::command(&dir, &["--audit", "stdout", "--audit-failure", "continue"]);
    command.stdout(Stdio::piped());
    let mut gate = ByOptions::run(command, pki, dir);
    let mut client = gate.connect(&gate.pki.client("ci", 7));
    eventually(|| {
        assert_eq!(client.ask("GET", "/_ping").status, 200);
        match gate.count(|line| line["message"] == "The audit cannot be written") {
            0 => Err("not full yet".to_owned()),
            _ => Ok(()),
        }
    });
    gate.signal(Signal::TERM);
    ended(&mut gate);
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn what_is_allowed_has_a_record_at_its_decision_and_one_at_its_end() {
    let site = DecisionSite::start(POLICY, &[]);
    let mut ci = site.client("ci");
    assert_eq!(status(&mut ci, &create("")), 201);
    assert_eq!(status(&mut ci, &create(r#""Privileged":true"#)), 403);
    let ended = site.record(|r| r.status == 403);
    let records = read(&site.audit);
    let events: Vec<_> = records
        .iter()
        .map(|r| (r.event, r.decision, r.status))
        .collect();
    assert_eq!(
        events,
        [
            (Event::Decided, Decision::Allow, 0),
            (Event::Request, Decision::Allow, 201),
            (Event::Request, Decision::Deny, 403),
        ]
    );
    let (decided, end) = (&records[0], &records[1]);
    assert_eq!(
        (&decided.request, &decided.time, &decided.facts),
        (&end.request, &end.time, &end.facts)
    );
    assert!(!decided.facts.is_empty() && decided.request != ended.request);
    // While it goes on, the decision is there alone.
    let mut stream = site.client("viewer").events();
    assert!(stream.event().is_ok());
    let decided = site.any_record(|r| r.operation == "system.events");
    assert_eq!(decided.event, Event::Decided);
    assert!(
        read(&site.audit)
            .iter()
            .all(|r| r.operation != "system.events" || r.event == Event::Decided)
    );
    drop(stream);
    let end = site.record(|r| r.operation == "system.events");
    assert_eq!(
        (&end.request, end.reason.as_deref()),
        (&decided.request, Some("client_gone"))
    );
    // A session has its start in between.
    let mut tunnel = site.client("ci");
    tunnel.hijack();
    tunnel.echo("x");
    drop(tunnel);
    site.record(|r| r.event == Event::SessionEnd);
    let events: Vec<_> = read(&site.audit)
        .into_iter()
        .filter(|r| r.operation == "exec.start")
        .map(|r| r.event)
        .collect();
    assert_eq!(
        events,
        [Event::Decided, Event::SessionStart, Event::SessionEnd]
    );
    // And each is counted once.
    let learnt = dockgate()
        .args(["policy", "diff", "--against"])
        .arg(&site.audit)
        .arg(&site.policy)
        .arg(&site.policy)
        .output()
        .expect("runs");
    assert!(
        said(&learnt).contains("0 of 4 requests"),
        "{}",
        said(&learnt)
    );
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_head_that_cannot_be_read_is_recorded_with_who_sent_it() {
    let site = DecisionSite::start(
        POLICY,
        &["--head-timeout", "300ms", "--max-head-size", "8KiB"],
    );
    let large = format!(
        "GET /_ping HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(9000)
    );
    let lines = format!(
        "GET /a?t=hunter HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: y\r\n".repeat(600)
    );
    for (sent, wanted, method, path) in [
        (
            "GET /_ping?t=hunter HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            400,
            "GET",
            "/_ping",
        ),
        (
            "GET /_ping HTTP/2.0\r\nHost: a\r\n\r\n",
            505,
            "GET",
            "/_ping",
        ),
        ("POST /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "POST", "/%zz"),
        (
            "GET http://u:hunter@h/_ping HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "GET",
            "",
        ),
        (
            "GET /_ping HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
            417,
            "GET",
            "/_ping",
        ),
        (&large, 431, "GET", "/_ping"),
        (&lines, 431, "GET", "/a"),
        ("GET /_ping HTTP/1.1\r\nHos", 408, "GET", "/_ping"),
        ("\u{1b}[2Jhunter \n\n", 400, "", ""),
    ] {
        let mut ci = site.client("ci");
        ci.send(sent);
        assert_eq!(ci.answer().status, wanted, "{sent:?}");
        let connection = site.gate.ps().iter().map(|c| c.id).max();
        ci.ended();
        let records = eventually(|| {
            let records = read(&site.audit);
            let found: Vec<_> = records
                .into_iter()
                .filter(|r| r.status == wanted && r.method == method && r.path == path)
                .collect();
            if found.is_empty() {
                Err(format!("{sent:?}"))
            } else {
                Ok(found)
            }
        });
        let record = records.last().expect("one at least");
        assert!(connection.is_some());
        assert_eq!(
            (
                &*record.client,
                &*record.role,
                record.event,
                record.decision
            ),
            ("ci", "team-a", Event::Request, Decision::Deny)
        );
        assert_eq!(
            (record.rule.as_deref(), &*record.operation),
            (Some("http"), "unknown")
        );
        assert!(record.detail.as_ref().is_some_and(|why| !why.is_empty()));
    }
    let text = fs::read_to_string(&site.audit).expect("the audit");
    assert!(!text.contains("hunter"), "{text}");
    // Nobody learns from them.
    let learnt = dockgate()
        .args(["policy", "learn"])
        .arg(&site.audit)
        .output()
        .expect("runs");
    assert!(
        said(&learnt).contains("has no request"),
        "{}",
        said(&learnt)
    );
}

/// "refusals that anybody can cause must not push it out when the disk is full".
#[test]
fn the_end_of_an_allowed_request_is_recorded_however_many_refusals_come_on_a_full_disk() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let (link, file) = (elsewhere.path().join("sink"), elsewhere.path().join("file"));
    symlink(&file, &link).expect("linked");
    let site = DecisionSite::start(
        POLICY,
        &[
            "--audit",
            &link.display().to_string(),
            "--access-log",
            "on",
            // The link will lead to a device, which lies outside.
            "--unsafe-no-cage",
        ],
    );
    let mut stream = site.client("viewer").events();
    assert!(stream.event().is_ok());
    // The disk is full from now on.
    lead(&link, Path::new("/dev/full"));
    site.reload(POLICY, "Reloaded");
    let mut ci = site.client("ci");
    let long = format!("/v1.51/{}", "x".repeat(2048));
    for _ in 0..3000 {
        assert!(matches!(ci.ask("GET", &long).status, 403 | 503));
    }
    assert_eq!(site.client("viewer").ask("GET", "/_ping").status, 503);
    drop(stream);
    site.gate.logged(|line| line["op"] == "system.events");
    // There is room again.
    lead(&link, &file);
    assert_eq!(site.client("viewer").ask("GET", "/_ping").status, 200);
    let records = eventually(|| {
        let records = read(&file);
        match records
            .iter()
            .any(|r| r.operation == "system.ping" && r.status == 200)
        {
            true => Ok(records),
            false => Err(format!("{} records", records.len())),
        }
    });
    let events: Vec<_> = records
        .iter()
        .filter(|r| r.operation == "system.events")
        .map(|r| (r.event, r.reason.as_deref()))
        .collect();
    assert_eq!(
        events,
        [
            (Event::Decided, None),
            (Event::Request, Some("client_gone"))
        ]
    );
    let refused = records.iter().filter(|r| r.client == "ci").count();
    assert!((1..3000).contains(&refused), "{refused} refusals were kept");
    let line = site
        .gate
        .logged(|line| line["message"] == "The audit can be written again");
    assert!(line["dropped"].as_u64() > Some(0), "{line}");
}

#[test]
fn a_gate_that_is_killed_leaves_the_decision_behind() {
    let site = DecisionSite::start(POLICY, &[]);
    let mut stream = site.client("viewer").events();
    assert!(stream.event().is_ok());
    site.gate.signal(Signal::KILL);
    // Further events may have been on their way.
    let _ = stream.rest();
    let records = read(&site.audit);
    let events: Vec<_> = records.iter().map(|r| (r.event, &*r.operation)).collect();
    assert_eq!(events, [(Event::Decided, "system.events")]);
    let learnt = dockgate()
        .args(["policy", "learn"])
        .arg(&site.audit)
        .output()
        .expect("runs");
    assert!(said(&learnt).contains("system.events"), "{}", said(&learnt));
}

/// A record of a request of megabytes is as long as one of kilobytes.
#[test]
fn lines_of_the_log_and_the_audit_have_a_bound() {
    let site = DecisionSite::start(POLICY, &[]);
    for who in ["ci", "new"] {
        let mut client = site.client(who);
        let bad = "\\u0001".repeat(600_000);
        let mounts: Vec<_> = (0..20_000).map(|n| format!("\"/etc/{n}:/{n}\"")).collect();
        for body in [
            format!(r#"{{"Image":"b","HostConfig":{{"Binds":["/{bad}:/x"]}}}}"#),
            format!(
                r#"{{"Image":"b","HostConfig":{{"Binds":[{}]}}}}"#,
                mounts.join(",")
            ),
            format!(r#"{{"Image":"b","HostConfig":{{"NetworkMode":"{bad}"}}}}"#),
        ] {
            let _ = status(&mut client, &post("/v1.51/containers/create", &body));
        }
        let exec = format!(r#"{{"Cmd":["{bad}","x"]}}"#);
        let _ = status(&mut client, &post("/v1.51/containers/web/exec", &exec));
        let _ = client.ask(
            "GET",
            &format!("/v1.51/containers/{}/json", "%0a".repeat(300_000)),
        );
    }
    site.record(|r| r.client == "new" && r.path.contains("%0a"));
    let text = fs::read_to_string(&site.audit).expect("the audit");
    assert!(text.lines().count() >= 10);
    for line in text.lines() {
        assert!(
            line.len() <= MAX_LINE,
            "{} bytes: {}",
            line.len(),
            &line[..1000]
        );
    }
    let longest = site.gate.count(|line| line.to_string().len() > MAX_LINE);
    assert_eq!(longest, 0);
}

/// Waits for the end of a gate that was asked to end.
#[track_caller]
fn ended(gate: &mut ByOptions) {
    let status = eventually(|| {
        let status = gate.child.try_wait().expect("a child");
        status.ok_or_else(|| "it runs on".to_owned())
    });
    assert!(status.success(), "{status}");
}
