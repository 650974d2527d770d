//! Requests and answers byte by byte: framing, heads, paths, HTTP/1.0, websockets (§9, 28–31 and 36–41).

use std::time::Duration;

use super::support::client::Side;
use super::support::suite::{Case, LONG, Suite};
use super::support::wire::lossy;
use super::support::{ScenarioResult, ensure};

#[expect(clippy::too_many_lines, reason = "scenario")]
pub(crate) fn cases() -> Vec<Case> {
    let case = Case::new;
    let curl = |name, run| Case::needing(&["CURL"], name, run);
    vec![
        curl("c28__expect_100_continue_is_answered", |suite, name| {
            let script = "sleeper; head -c 3000000 /dev/zero >data; tar cf data.tar data
                put() { api \"/v1.45/containers/$1/archive?path=/tmp\" -T data.tar -H 'Expect: 100-continue' -o /dev/null -w '%{http_code}\\n'; }
                put $N; put $N-missing; docker exec $N wc -c /tmp/data";
            suite.script(name, script, 0, "200\n404\n3000000 /tmp/data\n")
        }),
        curl(
            "c29__a_post_without_length_stays_without_body",
            |suite, name| {
                let script = "sleeper; start() { api /v1.45/containers/$N/start -o /dev/null -w '%{http_code}\\n' \"$@\"; }
                start -X POST; start -d ''; start -X POST -H 'Content-Type: application/json'";
                suite.script(name, script, 0, "304\n304\n304\n")
            },
        ),
        curl("c30__head_requests_have_heads_only", |suite, name| {
            let script = "sleeper; api \"/v1.45/containers/$N/archive?path=/etc\" -I | grep -v -i ^date | sed 's/X-Docker-Container-Path-Stat: .*/STAT/'
                api \"/v1.45/containers/$N/archive?path=/missing\" -I | grep -v -i ^date; api /_ping -I | grep -v -i ^date";
            suite.compare(name, |side| {
                let text = side.ok(script)?;
                ensure!(
                    text.contains("STAT") && text.contains("404"),
                    "expected a stat header and a 404, got {text}"
                );
                Ok(text)
            })
        }),
        case("c31__version_and_info_are_the_engines", |suite, name| {
            suite.compare(name, |side| side.ok("docker version --format '{{json .Server}}'; docker info --format '{{.ServerVersion}} {{.OSType}} {{.ID}}'"))
        }),
        curl("c31b__ping_headers_are_the_engines", |suite, name| {
            suite.compare(name, |side| side.ok("api /_ping -i | grep -v -i ^date"))
        }),
        case(
            "c36__an_idle_connection_is_kept_and_a_silent_one_is_not",
            idle_connections,
        ),
        case(
            "c40__http_1_0_gets_a_close_delimited_answer",
            |suite, name| suite.compare(name, http_1_0),
        ),
        Case {
            name: "c41__websocket_attach_carries_frames",
            needs: &["NODE", "NODE_PATH"],
            run: |suite, name| {
                let script = "run -d -i --name $N $IMAGE cat >/dev/null; timeout 30 $NODE $CLIENTS/websocket.js $N";
                suite.script(name, script, 0, "opened frame closed\n")
            },
        },
        case(
            "pipelined__requests_are_answered_in_order",
            |suite, name| suite.compare(name, pipelined),
        ),
        case(
            "refused__a_wrong_method_and_a_redirect_are_the_engines",
            |suite, name| {
                suite.compare(name, |side| {
                    let mut seen = String::new();
                    for request in [
                        "DELETE /_ping",
                        "PATCH /version",
                        "OPTIONS /containers/json",
                    ] {
                        let mut wire = side.wire()?;
                        wire.send(
                            format!("{request} HTTP/1.1\r\nHost: docker\r\n\r\n").as_bytes(),
                        )?;
                        let (head, body) = wire.answer()?;
                        seen += &format!("{request}: {} {}\n", head.status, lossy(&body));
                    }
                    Ok(seen)
                })
            },
        ),
    ]
}

fn idle_connections(suite: &Suite, name: &str) -> ScenarioResult {
    suite.compare_hasty(name, |side| {
        let mut wire = side.wire()?;
        let mut seen = Vec::new();
        for request in [
            "GET /_ping",
            "GET /version",
            "POST /v1.45/containers/missing-here/start",
        ] {
            let length = if request.starts_with("POST") {
                "Content-Length: 0\r\n"
            } else {
                ""
            };
            wire.send(format!("{request} HTTP/1.1\r\nHost: docker\r\n{length}\r\n").as_bytes())?;
            seen.push(wire.answer()?.0.status);
            // Idle between requests, longer than the deadline for a first head.
            std::thread::sleep(LONG / 2);
        }
        Ok(format!("{seen:?}"))
    })?;
    let gate = suite.hasty()?;
    let side = Side::gate(suite, name, gate.addr)?;
    let mut silent = side.wire()?;
    ensure!(
        silent.ends_within(Duration::from_secs(10)).is_ok(),
        "a connection that never sent a head was not closed"
    );
    // The deadline is total: dripping bytes does not extend it.
    let mut dripping = side.wire()?;
    let mut accepted = 0;
    for byte in b"GET /_ping HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaa".iter() {
        if dripping.try_send(&[*byte]).is_err() {
            break;
        }
        accepted += 1;
        std::thread::sleep(Duration::from_millis(250));
    }
    ensure!(
        accepted < 40,
        "a head that came drop by drop was still being read after ten seconds"
    );
    Ok(())
}

fn http_1_0(side: &Side<'_>) -> ScenarioResult<String> {
    let mut wire = side.wire()?;
    wire.send(b"GET /_ping HTTP/1.0\r\n\r\n")?;
    let head = wire.head()?;
    let body = wire.read_to_end()?;
    ensure!(
        body == b"OK",
        "expected OK and the end, got {:?}",
        lossy(&body)
    );
    let mut wire = side.wire()?;
    wire.send(b"GET /v1.45/events?since=1&until=2 HTTP/1.0\r\n\r\n")?;
    let events = wire.head()?;
    let rest = wire.read_to_end()?;
    ensure!(
        events.header("transfer-encoding").is_none(),
        "HTTP/1.0 knows no chunks: {}",
        events.text
    );
    Ok(format!("{} {} {}", head.status, events.status, rest.len()))
}

fn pipelined(side: &Side<'_>) -> ScenarioResult<String> {
    let mut wire = side.wire()?;
    wire.send(
        b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /v1.45/containers/none-such/json HTTP/1.1\r\nHost: d\r\n\r\nHEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n\
          POST /v1.45/containers/none-such/start HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\nGET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    )?;
    let mut seen = Vec::new();
    for number in 0..5 {
        // The third answer is to HEAD: a head with a length and no body.
        let (status, body) = if number == 2 {
            (wire.head()?.status, Vec::new())
        } else {
            wire.answer().map(|(head, body)| (head.status, body))?
        };
        seen.push(format!("{status} {}", lossy(&body).trim()));
    }
    Ok(seen.join("\n"))
}
