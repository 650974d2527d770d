//! Bodies with two readings, bodies in other forms, bodies over the limit (known-escapes, classes 11–28).

use std::fmt::Write;

use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

use super::{PLAIN, PRIVILEGED, Roles, TEAM, create, refused, remove, send, send_bytes};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_readings__bodies_the_engine_reads_otherwise_are_refused",
            readings,
        ),
        Case::new(
            "policy_framing__chunked_and_waiting_bodies_are_judged_whole",
            framing,
        ),
        Case::new("policy_limit__a_body_over_the_limit_gets_413", limit),
        Case::new("policy_form__a_form_body_is_refused", form),
    ]
}

/// Whole bodies that this engine takes (201) and reads as more than they seem, and the rule that refuses them.
const READINGS: &[(&str, &str)] = &[
    (
        "{\"Image\":\"$I\",\"Ho\u{17f}tConfig\":{\"NetworkMode\":\"none\",\"Privileged\":true}}",
        "field-names",
    ),
    (
        "{\"Image\":\"$I\",\"HostConfig\":{\"Networ\u{212a}Mode\":\"host\"}}",
        "field-names",
    ),
    (
        r#"{"Image":"$I","hostconfig":{"NetworkMode":"none","Privileged":true}}"#,
        "field-names",
    ),
    (
        r#"{"Image":"$I","HostConfig":{"NetworkMode":"none","PRIVILEGED":true}}"#,
        "field-names",
    ),
    (
        r#"{"image":"$I","HostConfig":{"NetworkMode":"none"}}"#,
        "field-names",
    ),
    (
        r#"{"Image":"$I","HostConfig":{"NetworkMode":"none","Privileged":false,"Privileged":true}}"#,
        "body",
    ),
    (
        r#"{"Image":"$I","HostConfig":{"NetworkMode":"none","Privileged":true},"HostConfig":{}}"#,
        "body",
    ),
    (
        r#"{"Image":"$I","HostConfig":{"NetworkMode":"none"},"HostConfig":{"Privileged":true}}"#,
        "body",
    ),
    (
        r#"{"Image":"$I","HostConfig":{"NetworkMode":"none","Privi\u006ceged":true,"Privileged":false}}"#,
        "body",
    ),
    (
        r#"{"Image":"$I","HostConfig":{"NetworkMode":"none","Mounts":[{"Type":"tmpfs","Target":"/x"}],"Mounts":[{"Target":"/y"}]}}"#,
        "body",
    ),
    (
        r#"{"Image":"$I","HostConfig":{"NetworkMode":"none"},"Surprise":1}"#,
        "unknown_fields",
    ),
];

fn readings(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team) = (roles.direct()?, roles.side(TEAM)?);
    let mut wrong = Vec::new();
    for (body, rule) in READINGS {
        let body = body.replace("$I", "dockgate-e2e-busybox");
        let engine = create(&direct, &body)?;
        if engine.0 != 201 {
            wrong.push(format!(
                "{body}: the engine answers {} {}",
                engine.0, engine.1
            ));
        }
        if let Err(why) = refused(&create(&team, &body)?, 403, (TEAM, "team"), rule) {
            wrong.push(format!("{body}: {why}"));
        }
    }
    for (body, rule) in [
        (
            PLAIN.to_owned() + "{\"HostConfig\":{\"Privileged\":true}}",
            "body",
        ),
        (String::new(), "body"),
        ("[]".into(), "field-types"),
        ("{".into(), "body"),
        ("{".repeat(200), "body"),
    ] {
        if let Err(why) = refused(&create(&team, &body)?, 403, (TEAM, "team"), rule) {
            wrong.push(format!("{body:.60}: {why}"));
        }
    }
    // An escape in a name or value is one spelling of it, not a second reading.
    for body in [
        PLAIN,
        r#"{"Ima\u0067e":"dockgate-e2e-bus\u0079box","HostConfig":{"NetworkMode":"n\u006fne"}}"#,
    ] {
        let answer = create(&team, body)?;
        if answer.0 != 201 {
            wrong.push(format!("{body}: {} {}", answer.0, answer.1));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    roles.finish()
}

/// A create whose body comes in pieces of seven bytes.
fn chunked(target: &str, headers: &str, body: &str) -> String {
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
    );
    for piece in body.as_bytes().chunks(7) {
        let _ = write!(
            request,
            "{:x}\r\n{}\r\n",
            piece.len(),
            String::from_utf8_lossy(piece)
        );
    }
    request + "0\r\n\r\n"
}

fn framing(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let team = roles.side(TEAM)?;
    let target = format!("/v1.45/containers/create?name={}-made", team.prefix);
    refused(
        &send(&team, &chunked(&target, "", PRIVILEGED))?,
        403,
        (TEAM, "team"),
        "privileged",
    )?;
    let answer = send(&team, &chunked(&target, "", PLAIN))?;
    ensure!(answer.0 == 201, "chunked: {} {}", answer.0, answer.1);
    remove(&team, "made")?;
    // A client that waits for the interim answer gets it from the gate, which has to read the body first.
    for (body, expected) in [(PRIVILEGED, 403), (PLAIN, 201)] {
        let mut wire = team.wire()?;
        wire.send(format!(
            "POST {target} HTTP/1.1\r\nHost: docker\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ).as_bytes())?;
        let interim = wire.head()?;
        ensure!(interim.status == 100, "expected 100, got {}", interim.text);
        wire.send(body.as_bytes())?;
        let (head, _) = wire.answer()?;
        ensure!(
            head.status == expected,
            "expected {expected}, got {}",
            head.text
        );
        // The connection goes on in either case.
        wire.send(b"GET /v1.45/_ping HTTP/1.1\r\nHost: docker\r\n\r\n")?;
        ensure!(
            wire.answer()?.0.status == 200,
            "the next request must be answered"
        );
    }
    remove(&team, "made")?;
    for encoding in ["gzip", "deflate", "identity, gzip"] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n{PLAIN}",
            PLAIN.len()
        );
        refused(&send(&team, &request)?, 403, (TEAM, "team"), "body")?;
    }
    roles.finish()
}

fn limit(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let team = roles.side(TEAM)?;
    let target = format!("/v1.45/containers/create?name={}-made", team.prefix);
    let large = |size: usize| {
        PLAIN.replace(
            "\"Cmd\"",
            &format!("\"Env\":[\"A={}\"],\"Cmd\"", "a".repeat(size)),
        )
    };
    let whole = |body: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    refused(
        &send_bytes(&team, whole(&large(5 << 20)).as_bytes())?,
        413,
        (TEAM, "team"),
        "body",
    )?;
    let pieces = |body: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
    };
    refused(
        &send_bytes(&team, pieces(&large(5 << 20)).as_bytes())?,
        413,
        (TEAM, "team"),
        "body",
    )?;
    // What the engine would keep has a smaller bound of its own.
    refused(
        &send_bytes(&team, whole(&large(1 << 20)).as_bytes())?,
        403,
        (TEAM, "team"),
        "body",
    )?;
    let answer = send_bytes(&team, whole(&large(1000 << 10)).as_bytes())?;
    ensure!(answer.0 == 201, "1000 KiB: {} {}", answer.0, answer.1);
    remove(&team, "made")?;
    roles.finish()
}

/// The engine reads parameters from a form body first, so what is in the query would not be what counts.
fn form(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let team = roles.side(TEAM)?;
    team.ok("sleeper")?;
    let request = |kind: &str, body: &str| {
        format!(
            "POST /v1.45/containers/{}/resize?h=20&w=40 HTTP/1.1\r\nHost: docker\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            team.prefix,
            body.len()
        )
    };
    for kind in [
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
    ] {
        refused(
            &send(&team, &request(kind, "h=1&w=1"))?,
            403,
            (TEAM, "team"),
            "form-body",
        )?;
    }
    let target = "/v1.45/images/create?fromImage=allowed";
    let body = "fromSrc=http://127.0.0.1:9/x.tar";
    let import = format!(
        "POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    refused(&send(&team, &import)?, 403, (TEAM, "team"), "form-body")?;
    let answer = send(&team, &request("", ""))?;
    ensure!(answer.0 == 200, "resize: {} {}", answer.0, answer.1);
    roles.finish()
}
