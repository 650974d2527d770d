//! Does a body mean to the strict reader what it means to the engine's own (Go's `encoding/json`)? The engine says by
//! creating the container and telling back, at inspect, what it understood.

use std::fmt::Write as _;

use pki::identity::Identity;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

use super::{TEAM, remove, send_bytes};

#[path = "../../policy/readings.rs"]
mod shared;

use shared::{Reading, Recorded, open_policy, ours, passes, recorded};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_recorded__the_engine_still_reads_as_the_record_says",
            record_holds,
        ),
        Case::new(
            "policy_generated__what_the_strict_reader_accepts_means_the_same_to_the_engine",
            generated,
        ),
    ]
}

/// How many bodies are generated.
const BODIES: usize = 600;

fn create(side: &Side<'_>, body: &[u8]) -> ScenarioResult<(u16, Option<Reading>)> {
    let target = format!("/v1.45/containers/create?name={}-made", side.prefix);
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    let (status, _) = send_bytes(side, &request)?;
    if status != 201 {
        return Ok((status, None));
    }
    let target = format!("/v1.45/containers/{}-made/json", side.prefix);
    let mut wire = side.wire()?;
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n").as_bytes())?;
    let (_, inspected) = wire.answer()?;
    remove(side, "made")?;
    let inspected: Value = serde_json::from_slice(&inspected).context("read the inspect")?;
    Ok((status, Some(theirs(&inspected))))
}

/// What the engine understood.
fn theirs(inspected: &Value) -> Reading {
    let (config, host) = (&inspected["Config"], &inspected["HostConfig"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(text).collect()
    };
    let mounts = host["Mounts"].as_array().into_iter().flatten();
    let masked = texts(&host["MaskedPaths"]);
    Reading {
        image: text(&config["Image"]),
        user: text(&config["User"]),
        labels: config["Labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
        privileged: host["Privileged"] == true,
        read_only: host["ReadonlyRootfs"] == true,
        network: text(&host["NetworkMode"]),
        score: host["OomScoreAdj"].as_i64().unwrap_or_default(),
        binds: texts(&host["Binds"]),
        capabilities: texts(&host["CapAdd"]),
        mounts: mounts
            .map(|mount| {
                let read_only = mount["ReadOnly"] == true;
                (text(&mount["Type"]), text(&mount["Target"]), read_only)
            })
            .collect(),
        // The engine's own list is what an absent field becomes.
        masked: (!masked.contains(&"/proc/kcore".to_owned())).then_some(masked),
    }
    .normal()
}

/// `DOCKGATE_E2E_RECORD=FILE` writes a new record instead of comparing.
fn record_holds(suite: &Suite, name: &str) -> ScenarioResult {
    let direct = Side::direct(suite, name, &suite.engine.socket)?;
    let mut wrong = Vec::new();
    let mut lines = String::new();
    for line in recorded() {
        let (status, reads) = create(&direct, &line.bytes())?;
        if (status, &reads) != (line.status, &line.reads) {
            wrong.push(format!(
                "{}\n  recorded {} {:?}\n  now      {status} {reads:?}",
                line.body, line.status, line.reads
            ));
        }
        let now = Recorded {
            status,
            reads,
            ..line
        };
        let now = serde_json::to_string(&now).context("write a line")?;
        writeln!(lines, "{now}").context("write a line")?;
    }
    if let Some(file) = std::env::var_os("DOCKGATE_E2E_RECORD") {
        return std::fs::write(file, lines).context("write the record");
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The client that the suite's first certificate names.
fn identity(suite: &Suite) -> ScenarioResult<Identity> {
    let file = suite.pki.client_folder(TEAM).join("cert.pem");
    let leaf = CertificateDer::from_pem_file(file).context("read a client's certificate")?;
    Identity::from_der(&leaf).context("read its names")
}

fn generated(suite: &Suite, name: &str) -> ScenarioResult {
    let direct = Side::direct(suite, name, &suite.engine.socket)?;
    let policy = open_policy();
    let who = identity(suite)?;
    let seed = std::env::var("DOCKGATE_E2E_SEED").ok();
    let mut random = Random(seed.and_then(|text| text.parse().ok()).unwrap_or(2376));
    let (mut same, mut tricked, mut refused_by_both, mut wrong) = (0, 0, 0, Vec::new());
    for _ in 0..BODIES {
        let body = random.body();
        let ours = ours(&body);
        let passes = passes(&policy, &who, &body);
        let (status, theirs) = create(&direct, &body)?;
        match (passes, theirs) {
            (true, Some(theirs)) if ours.as_ref() == Some(&theirs) => same += 1,
            (true, Some(theirs)) => wrong.push(format!(
                "{}\n  the gate reads {ours:?}\n  the engine     {theirs:?}",
                String::from_utf8_lossy(&body)
            )),
            (false, Some(theirs)) if ours.as_ref() != Some(&theirs) => tricked += 1,
            (false, None) => refused_by_both += 1,
            // Stricter than needed, or refused by the engine after the gate.
            _ => ensure!(
                status < 500,
                "the engine fails: {status} {}",
                String::from_utf8_lossy(&body)
            ),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The generator must reach all three, or the test says nothing.
    ensure!(
        same > BODIES / 10 && tricked > BODIES / 20 && refused_by_both > BODIES / 50,
        "{same} read alike, {tricked} would have tricked another reader, {refused_by_both} refused by both"
    );
    Ok(())
}

/// SplitMix64: a repeatable stream of choices.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or_default()
    }

    /// True once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// A key: mostly as the engine spells it, sometimes in another spelling that Go takes for the same.
    fn key(&mut self, key: &str) -> String {
        match self.below(24) {
            0 => key.to_lowercase(),
            1 => key.to_uppercase(),
            2 => key.replacen('s', "\u{17f}", 1),
            3 => key.replacen(['k', 'K'], "\u{212a}", 1),
            4 | 5 => {
                // An escape: the same spelling.
                let (first, rest) = key.split_at(1);
                format!("\\u{:04x}{rest}", first.as_bytes()[0])
            }
            _ => key.to_owned(),
        }
    }

    /// Members of an object, some missing, some twice, with white space here and there.
    fn object(&mut self, fields: &[(&str, &[&str])]) -> String {
        let mut members = Vec::new();
        for (key, values) in fields {
            if self.once_in(3) {
                continue;
            }
            let times = if self.once_in(15) { 2 } else { 1 };
            for _ in 0..times {
                let value = match self.below(12) {
                    0 => "null",
                    // Another field's value, so mostly another type.
                    1 if self.once_in(3) => {
                        let (_, others) = fields[self.below(fields.len())];
                        self.pick(others)
                    }
                    _ => self.pick(values),
                };
                let space = self.pick(&["", "", "", " ", "\n\t", "\r\n"]);
                members.push(format!(
                    "{space}\"{}\"{space}:{space}{value}{space}",
                    self.key(key)
                ));
            }
        }
        if self.once_in(25) {
            members.push(
                self.pick(&["\"Surprise\":1", "\"surprise\":null", "\"Privileged\":true"])
                    .into(),
            );
        }
        let last = members.len().max(1);
        for at in 1..last {
            let other = self.below(at + 1);
            members.swap(at, other);
        }
        format!("{{{}}}", members.join(","))
    }

    #[expect(clippy::too_many_lines, reason = "scenario")]
    fn body(&mut self) -> Vec<u8> {
        let image = "\"dockgate-e2e-busybox\"";
        let mount = self.object(&[
            ("Type", &["\"tmpfs\""]),
            ("Target", &["\"/m\"", "\"\\/m\""]),
            ("ReadOnly", &["true", "false"]),
        ]);
        let mounts = [format!("[{mount}]"), "[]".into()];
        let host = self.object(&[
            ("Privileged", &["true", "false"]),
            ("ReadonlyRootfs", &["true", "false"]),
            (
                "NetworkMode",
                &["\"none\"", "\"host\"", "\"\"", "\"n\\u006fne\""],
            ),
            ("OomScoreAdj", &["0", "7", "-7", "-0", "1e1", "1.0", "07"]),
            (
                "Binds",
                &[
                    "[]",
                    "[\"/srv:/x\"]",
                    "[\"/srv:/x\",\"/usr:/y:ro\"]",
                    "[null]",
                ],
            ),
            (
                "CapAdd",
                &["[]", "[\"CHOWN\"]", "[\"NET_ADMIN\",\"KILL\"]", "\"KILL\""],
            ),
            ("Mounts", &[&mounts[0], &mounts[1]]),
            ("MaskedPaths", &["null", "[]", "[\"/proc/x\"]"]),
        ]);
        let labels = [
            "{}",
            "{\"a\":\"1\"}",
            "{\"a\":\"1\",\"A\":\"2\"}",
            "{\"a\":\"1\",\"a\":\"2\"}",
            "{\"\u{17f}\":\"long s\",\"s\":\"s\"}",
            "{\"\\u0061\":\"\\ud83d\\ude00\\n\\\"\\\\\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":null}",
            "{\"a\":1}",
        ];
        let mut body = self.object(&[
            (
                "Image",
                &[image, image, image, "\"dockgate-e2e-bus\\u0079box\""],
            ),
            ("User", &["\"\"", "\"1000\"", "\"\\u0030\""]),
            ("Labels", &labels),
            ("HostConfig", &[&host, &host, &host, "{}"]),
        ]);
        if !self.once_in(20) && !body.contains("\"Image\"") {
            body.insert_str(
                1,
                &format!("\"Image\":{image}{}", if body.len() > 2 { "," } else { "" }),
            );
        }
        let mut bytes = body.into_bytes();
        match self.below(40) {
            0 => bytes.extend_from_slice(b"{\"HostConfig\":{\"Privileged\":true}}"),
            1 => bytes.extend_from_slice(b"]"),
            2 => bytes.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
            3 => bytes.extend_from_slice(b"\r\n \t"),
            4 => {
                let at = self.below(bytes.len());
                bytes[at] = u8::try_from(self.below(256)).unwrap_or_default();
            }
            5 => bytes.truncate(self.below(bytes.len())),
            _ => {}
        }
        bytes
    }
}
