//! What a create body says, as Go's `encoding/json` read it in a real engine, and as the strict reader does.
//!
//! `readings.jsonl` was recorded from a real engine: each line a body, the engine's status, and for a 201 what its inspect
//! then told. The real-engine suite holds the record against the engine it runs, and generates further bodies.

use std::collections::BTreeMap;
use std::convert::Infallible;

use docker_api::classify;
use docker_api::json::{self, Value};
use pki::identity::Identity;
use policy::{
    BodyLength, DEFAULT_MAX_BODY, EngineAnswer, EngineHeaders, Known, Lookup, Policy, Request,
};
use serde::{Deserialize, Serialize};

/// The fields that an inspect tells back as the engine understood them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) image: String,
    pub(crate) user: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) privileged: bool,
    pub(crate) read_only: bool,
    pub(crate) network: String,
    pub(crate) score: i64,
    pub(crate) binds: Vec<String>,
    pub(crate) capabilities: Vec<String>,
    /// Type, target and whether it is read-only.
    pub(crate) mounts: Vec<(String, String, bool)>,
    /// `None` where the engine's default applies.
    pub(crate) masked: Option<Vec<String>>,
}

impl Reading {
    /// Without what the engine fills in whatever was sent.
    pub(crate) fn normal(mut self) -> Self {
        if self.privileged {
            self.masked = None;
        }
        if matches!(&*self.network, "" | "bridge") {
            self.network = "default".into();
        }
        for name in &mut self.capabilities {
            if let Some(short) = name.strip_prefix("CAP_") {
                *name = short.to_owned();
            }
        }
        self
    }
}

/// A line of the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// The body; a backslash and `xNN` stand for a byte that is not UTF-8.
    pub(crate) body: String,
    /// The engine's status.
    pub(crate) status: u16,
    /// What it understood, for 201.
    pub(crate) reads: Option<Reading>,
}

/// The record.
pub(crate) fn recorded() -> Vec<Recorded> {
    include_str!("readings.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of readings.jsonl"))
        .collect()
}

impl Recorded {
    /// The body's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        bytes(&self.body)
    }
}

/// The bytes that a body of the record stands for.
pub(crate) fn bytes(body: &str) -> Vec<u8> {
    let mut pieces = body.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (byte, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(byte, 16).expect("two hexadecimal digits after \\x"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

fn text(value: Option<&Value<'_>>) -> String {
    value.and_then(Value::text).unwrap_or_default().to_owned()
}

fn texts(value: Option<&Value<'_>>) -> Vec<String> {
    let items = value.map(Value::items).unwrap_or_default();
    items.iter().map(|item| text(Some(item))).collect()
}

fn flag(value: Option<&Value<'_>>) -> bool {
    value == Some(&Value::Bool(true))
}

/// What the strict reader understands; `None` if it refuses the body.
pub(crate) fn ours(body: &[u8]) -> Option<Reading> {
    let body = json::parse(body, DEFAULT_MAX_BODY).ok()?;
    let host = body.get("HostConfig");
    let of_host = |key: &str| host.and_then(|host| host.get(key));
    let labels = body.get("Labels").map(Value::members).unwrap_or_default();
    let mounts = of_host("Mounts").map(Value::items).unwrap_or_default();
    let reading = Reading {
        image: text(body.get("Image")),
        user: text(body.get("User")),
        labels: labels
            .iter()
            .map(|(key, value)| (key.to_string(), text(Some(value))))
            .collect(),
        privileged: flag(of_host("Privileged")),
        read_only: flag(of_host("ReadonlyRootfs")),
        network: text(of_host("NetworkMode")),
        score: match of_host("OomScoreAdj") {
            Some(Value::Number(number)) => number.as_i64().unwrap_or(i64::MIN),
            _ => 0,
        },
        binds: texts(of_host("Binds")),
        capabilities: texts(of_host("CapAdd")),
        mounts: mounts
            .iter()
            .map(|mount| {
                let read_only = flag(mount.get("ReadOnly"));
                (
                    text(mount.get("Type")),
                    text(mount.get("Target")),
                    read_only,
                )
            })
            .collect(),
        masked: of_host("MaskedPaths").map(|paths| texts(Some(paths))),
    };
    Some(reading.normal())
}

/// Everything a generated body can ask for is allowed, so that only its readings are in question.
const OPEN: &str = r#"
version = 1
[[client]]
match = { any = true }
role = "open"
[role.open]
base = "deployer"
[role.open.limits]
privileged = true
binds = ["/**"]
capabilities = ["ALL"]
host_namespaces = ["network"]
"#;

/// The policy that allows it.
pub(crate) fn open_policy() -> Policy {
    Policy::parse("open.toml", OPEN).expect("a policy")
}

/// Whether the policy, with everything allowed, would let the body pass.
pub(crate) fn passes(policy: &Policy, who: &Identity, body: &[u8]) -> bool {
    let classified = classify("POST", "/v1.45/containers/create").expect("a plain target");
    let request = Request {
        classified: &classified,
        content_type: Some("application/json"),
        content_encoding: None,
        headers: EngineHeaders::default(),
        body: BodyLength::Exact(body.len() as u64),
    };
    struct NoEngine<'a>(&'a [u8]);
    impl Known for NoEngine<'_> {
        type Error = Infallible;

        fn body(&self) -> &[u8] {
            self.0
        }

        fn answer(&mut self, _: &Lookup) -> Result<EngineAnswer, Infallible> {
            Ok(EngineAnswer {
                status: 404,
                body: Vec::new(),
            })
        }
    }
    let Ok(decided) = policy.decide_knowing(policy.client_for(who), &request, &mut NoEngine(body));
    decided.is_ok()
}
