//! The audit record: its form is the one `docs/reference/audit.md` promises, and no peer can break a line.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use dockgate::observe::audit::sink::{AuditTarget, OnFailure, Sink};
use dockgate::observe::audit::{AuditCertificate, Decision, Event, Record, SCHEMA, timestamp};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use serde_json::Value;

use crate::support::{Ask, cn, limits};

pub(crate) fn record() -> Record {
    Record {
        schema: SCHEMA,
        time: timestamp(SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456)),
        event: Event::Request,
        request: "7f3a".into(),
        connection: "12".into(),
        address: "192.0.2.7:41234".into(),
        certificate: AuditCertificate::of(&cn("ci")),
        client: "ci".into(),
        role: "team".into(),
        operation: "container.create".into(),
        method: "POST".into(),
        path: "/v1.51/containers/create".into(),
        target: None,
        decision: Decision::Allow,
        rule: None,
        detail: None,
        grant: None,
        mode: "enforce".into(),
        status: 201,
        bytes_in: 120,
        bytes_out: 88,
        duration_us: 4100,
        upstream_us: 3900,
        command: None,
        facts: Vec::new(),
        facts_omitted: 0,
        reason: None,
    }
}

/// A record with every optional field filled.
fn full() -> Record {
    let mut certificate = AuditCertificate::of(&cn("ci"));
    for list in [
        &mut certificate.o,
        &mut certificate.ou,
        &mut certificate.dns,
        &mut certificate.email,
        &mut certificate.uri,
    ] {
        list.push("x".into());
    }
    certificate.ip.push([192, 0, 2, 7].into());
    Record {
        certificate,
        target: Some("web".into()),
        rule: Some("binds".into()),
        detail: Some("HostConfig.Binds[0]=/etc:/x".into()),
        grant: Some("limits.binds = [\"/etc\"] in role team".into()),
        command: Some(vec!["sh".into()]),
        facts: vec![("binds".into(), "/etc".into())],
        facts_omitted: 7,
        reason: Some("client closed".into()),
        ..record()
    }
}

/// As much of JSON Schema as our schema uses: type, properties, required, additionalProperties, items, enum, const.
fn conforms(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    if let Some(constant) = schema.get("const")
        && constant != value
    {
        return Err(format!("{at}: expected {constant}"));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        return Err(format!("{at}: {value} is none of the choices"));
    }
    let kind = schema
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let fits = match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "" => true,
        other => return Err(format!("{at}: type {other} is not understood by this test")),
    };
    if !fits {
        return Err(format!("{at}: expected {kind}, found {value}"));
    }
    for required in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if value.get(required).is_none() {
            return Err(format!("{at}: {required} is missing"));
        }
    }
    for (key, member) in value.as_object().into_iter().flatten() {
        match schema
            .get("properties")
            .and_then(|properties| properties.get(key))
        {
            Some(schema) => conforms(member, schema, &format!("{at}.{key}"))?,
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                return Err(format!("{at}: {key} is not in the schema"));
            }
            None => {}
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(schema) = schema.get("items") {
            conforms(item, schema, &format!("{at}[{index}]"))?;
        }
    }
    Ok(())
}

fn schema() -> Value {
    let page = include_str!("../../docs/reference/audit.md");
    let block = page
        .split("```json\n")
        .find(|part| part.contains("$schema"))
        .expect("the page has the schema");
    serde_json::from_str(block.split("```").next().expect("the block ends"))
        .expect("the schema is JSON")
}

#[test]
fn records_conform_to_the_schema_of_the_reference() {
    let schema = schema();
    for record in [record(), full()] {
        let line: Value = serde_json::from_str(&record.line()).expect("a line is JSON");
        conforms(&line, &schema, "record").unwrap_or_else(|why| panic!("{why}"));
    }
    // And the schema promises nothing that a full record does not have.
    let line: Value = serde_json::from_str(&full().line()).expect("a line is JSON");
    for (key, _) in schema["properties"].as_object().expect("properties") {
        assert!(line.get(key).is_some(), "{key}");
    }
    let certificate = &schema["properties"]["certificate"]["properties"];
    for (key, _) in certificate.as_object().expect("properties") {
        assert!(
            line["certificate"].get(key).is_some() || key == "issuer_spki",
            "certificate.{key}"
        );
    }
    // What the audit promises, by name.
    for key in [
        "time",
        "request",
        "connection",
        "address",
        "certificate",
        "client",
        "role",
        "operation",
        "method",
        "path",
        "target",
        "decision",
        "rule",
        "mode",
        "status",
        "bytes_in",
        "bytes_out",
        "duration_us",
        "upstream_us",
        "command",
        "reason",
    ] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    for key in [
        "cn", "o", "ou", "dns", "email", "uri", "ip", "serial", "spki",
    ] {
        assert!(certificate.get(key).is_some(), "certificate.{key}");
    }
    // The test itself can fail.
    let mut broken = line.clone();
    broken["extra"] = 1.into();
    assert!(conforms(&broken, &schema, "record").is_err());
    broken = line;
    broken["status"] = "x".into();
    assert!(conforms(&broken, &schema, "record").is_err());
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    for record in [record(), full()] {
        assert_eq!(
            serde_json::from_str::<Record>(&record.line()).expect("a record"),
            record
        );
    }
    assert_eq!(record().time, "2023-11-14T22:13:20.123456Z");
}

#[test]
fn a_denial_and_a_permit_leave_their_facts() {
    let policy = limits("binds = [\"/srv/a/**\"]");
    let mut line = record();
    let body =
        r#"{"Image":"busybox","Env":["PASSWORD=hunter2"],"HostConfig":{"Binds":["/etc:/x"]}}"#;
    line.denied(
        &Ask::new(&policy, "POST", "/containers/create")
            .body(body)
            .denied("binds"),
    );
    assert_eq!(line.decision, Decision::Deny);
    assert_eq!(line.rule.as_deref(), Some("binds"));
    assert!(line.facts.contains(&("binds".into(), "/etc".into())));
    assert!(!line.line().contains("hunter2"));
    let body =
        r#"{"Image":"busybox","Env":["PASSWORD=hunter2"],"HostConfig":{"Binds":["/srv/a:/x:ro"]}}"#;
    let mut line = record();
    line.permitted(
        &Ask::new(&policy, "POST", "/containers/create")
            .body(body)
            .allowed(),
    );
    assert_eq!(line.decision, Decision::Allow);
    assert!(line.facts.contains(&("binds".into(), "/srv/a:ro".into())));
    assert!(!line.line().contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_can_break_a_line_or_reach_a_terminal(text in any::<String>()) {
        let mut record = full();
        record.path.clone_from(&text);
        record.certificate.cn = vec![text.clone()];
        record.command = Some(vec![text.clone()]);
        let line = record.line();
        let unsafe_left = line.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
        prop_assert!(!unsafe_left);
        let back: Record = serde_json::from_str(&line).expect("a record");
        prop_assert_eq!(back.path, text);
    }
}

#[test]
fn control_characters_are_escaped() {
    let mut record = record();
    record.path = "/a\r\n{\"forged\":1}\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}".into();
    let line = record.line();
    assert!(line.is_ascii(), "{line}");
    assert!(
        line.contains("\\r\\n{\\\"forged\\\":1}\\u001b[2J\\u007f\\u0085\\u2028\\u202e"),
        "{line}"
    );
}

#[test]
fn a_record_longer_than_what_may_wait_is_written_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.jsonl");
    let sink = Sink::open(AuditTarget::File(path.clone()), OnFailure::Deny).expect("opened");
    // Each of these is six bytes of a line.
    let argument = "\u{7f}".repeat(1 << 20);
    let long = Record {
        command: Some(vec![argument]),
        ..record()
    };
    sink.write(&long);
    sink.ready().expect("written");
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.len() > 6 << 20);
    let read: Record = serde_json::from_str(text.trim_end()).expect("one record");
    assert_eq!(read, long);
}

#[test]
fn a_pipe_that_nobody_empties_is_a_failure_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pipe");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, &path, FileType::Fifo, mode, 0).expect("a pipe");
    let open = || Sink::open(AuditTarget::File(path.clone()), OnFailure::Deny);
    // Nobody has opened it: waiting for somebody would be a gate that never starts.
    open().expect_err("no reader");
    let mut reader = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&path)
        .expect("a reader");
    let sink = open().expect("opened");
    let numbered = |n: usize| Record {
        request: n.to_string(),
        target: Some("x".repeat(1000)),
        ..record()
    };
    let started = Instant::now();
    for n in 0..200 {
        sink.write(&numbered(n));
    }
    assert!(started.elapsed() < Duration::from_secs(1), "it waited");
    sink.ready().expect("a slow reader has its second");
    while sink.ready().is_ok() {
        assert!(started.elapsed() < Duration::from_secs(10), "no failure");
        thread::yield_now();
    }
    assert!(started.elapsed() >= Duration::from_secs(1));
    let mut text = Vec::new();
    while text.iter().filter(|byte| **byte == b'\n').count() < 200 {
        sink.flush();
        if let Err(e) = reader.read_to_end(&mut text) {
            assert_eq!(e.kind(), ErrorKind::WouldBlock);
        }
        let late = started.elapsed() > Duration::from_secs(20);
        assert!(!late, "{} bytes", text.len());
    }
    let read: Vec<Record> = String::from_utf8(text)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a whole record"))
        .collect();
    assert_eq!(read, (0..200).map(numbered).collect::<Vec<_>>());
    sink.ready().expect("all written");
}

#[test]
fn a_torn_line_spoils_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.jsonl");
    for (before, after) in [
        ("{\"schema\":1,\"ti", "{\"schema\":1,\"ti\n"),
        ("{}\n", "{}\n"),
        ("", ""),
    ] {
        std::fs::write(&path, before).expect("written");
        let sink = Sink::open(AuditTarget::File(path.clone()), OnFailure::Deny).expect("opened");
        sink.write(&record());
        let text = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(text, format!("{after}{}\n", record().line()));
        // A line that the gate itself has not finished yet is none of these.
        let begun = text.len() as u64 - 9;
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_len(begun).expect("torn");
        sink.reopen().expect("opened again");
        sink.write(&record());
        let text = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(
            text.get(begun as usize..),
            Some(&*format!("{}\n", record().line()))
        );
    }
}

#[test]
fn times_sort_as_text() {
    let at = |micros| timestamp(SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
    assert_eq!(at(1_700_000_000_100_000), "2023-11-14T22:13:20.100000Z");
    assert_eq!(at(1_700_000_000_000_000), "2023-11-14T22:13:20.000000Z");
    assert!(at(1_700_000_000_100_000) < at(1_700_000_000_100_001));
}
