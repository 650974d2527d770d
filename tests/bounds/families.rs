//! Families of requests that grow with a number: what a hostile client would send to make a short text expensive.

use std::convert::Infallible;

use docker_api::classify;
use pki::identity::Identity;
use policy::{
    BodyLength, Denied, EngineAnswer, EngineHeaders, Known, Lookup, Permitted, Policy, Request,
};

/// A request that `n` makes longer.
pub(crate) struct RequestFamily {
    pub(crate) name: &'static str,
    pub(crate) target: fn(usize) -> String,
    pub(crate) body: fn(usize) -> String,
}

fn plain(_: usize) -> String {
    "/v1.45/containers/create".into()
}

fn nothing(_: usize) -> String {
    String::new()
}

fn host(members: &str) -> String {
    format!(r#"{{"Image":"b","HostConfig":{{{members}}}}}"#)
}

/// `n` numbered pieces, joined by commas.
fn list(n: usize, piece: impl Fn(usize) -> String) -> String {
    (0..n).map(piece).collect::<Vec<_>>().join(",")
}

macro_rules! body {
    ($name:literal, $body:expr) => {
        RequestFamily {
            name: $name,
            target: plain,
            body: $body,
        }
    };
}

macro_rules! target {
    ($name:literal, $target:expr) => {
        RequestFamily {
            name: $name,
            target: $target,
            body: nothing,
        }
    };
}

/// Bodies and targets that once were expensive, or are built like one that was.
pub(crate) const FAMILIES: &[RequestFamily] = &[
    body!("numbers where strings belong", |n| format!(
        r#"{{"Image":"x","Env":[{}]}}"#,
        list(n, |_| "0".into())
    )),
    body!("empty arrays", |n| format!(
        "[{}]",
        list(n, |_| "[]".into())
    )),
    body!("empty objects in a list", |n| format!(
        r#"{{"Image":"x","OnBuild":[{}]}}"#,
        list(n, |_| "{}".into())
    )),
    body!("objects with an empty key", |n| format!(
        r#"{{"Image":"x","HostConfig":{{"Mounts":[{}]}}}}"#,
        list(n, |_| r#"{"":0}"#.into())
    )),
    body!("refused binds", |n| host(&format!(
        r#""Binds":[{}]"#,
        list(n, |i| format!("\"/{i}:/x\""))
    ))),
    body!("allowed binds", |n| host(&format!(
        r#""Binds":[{}]"#,
        list(n, |i| format!("\"/srv/{i}:/x\""))
    ))),
    body!("named volumes", |n| host(&format!(
        r#""Binds":[{}]"#,
        list(n, |i| format!("\"v{i}:/x\""))
    ))),
    body!("one long bind", |n| host(&format!(
        r#""Binds":["/{}:/x"]"#,
        "a/".repeat(n)
    ))),
    body!("a bind of many colons", |n| host(&format!(
        r#""Binds":["/srv/a{}"]"#,
        ":".repeat(n)
    ))),
    body!("a source of many colons", |n| host(&format!(
        r#""Mounts":[{{"Type":"bind","Source":"/srv/a{}"}}]"#,
        "/:".repeat(n)
    ))),
    body!("a device of many parts", |n| host(&format!(
        r#""Devices":[{{"PathOnHost":"/dev{}"}}]"#,
        "/a".repeat(n)
    ))),
    body!("a bind of many options", |n| host(&format!(
        r#""Binds":["/srv/a:/x:{}"]"#,
        "z,".repeat(n)
    ))),
    body!("parent directories", |n| host(&format!(
        r#""Binds":["/srv{}:/x"]"#,
        "/..".repeat(n)
    ))),
    body!("keys that are not fields", |n| format!(
        r#"{{"Image":"x",{}}}"#,
        list(n, |i| format!("\"k{i}\":1"))
    )),
    body!("keys that are not fields, as null", |n| format!(
        r#"{{"Image":"x",{}}}"#,
        list(n, |i| format!("\"k{i}\":null"))
    )),
    body!("keys with a long common beginning", |n| {
        let same = "k".repeat(200);
        format!(
            r#"{{"Image":"x","Labels":{{{}}}}}"#,
            list(n, |i| format!("\"{same}{i}\":\"\""))
        )
    }),
    body!("a long key above many members", |n| format!(
        r#"{{"Image":"x","NetworkingConfig":{{"EndpointsConfig":{{"{}":{{"Links":[{}]}}}}}}}}"#,
        "n".repeat(n),
        list(n, |_| "\"l\"".into())
    )),
    body!("many endpoints", |n| format!(
        r#"{{"Image":"x","NetworkingConfig":{{"EndpointsConfig":{{{}}}}}}}"#,
        list(n, |i| format!("\"{i:x}\":null"))
    )),
    body!("deep nesting", |n| "[".repeat(n)),
    body!("deep objects", |n| r#"{"HostConfig":"#.repeat(n)),
    body!("escapes", |n| format!(
        r#"{{"Image":"{}"}}"#,
        r"\u0041".repeat(n)
    )),
    body!("capabilities", |n| host(&format!(
        r#""CapAdd":[{}]"#,
        list(n, |_| "\"CHOWN\"".into())
    ))),
    body!("sysctls", |n| host(&format!(
        r#""Sysctls":{{{}}}"#,
        list(n, |i| format!("\"net.{i}\":\"\""))
    ))),
    body!("tmpfs options", |n| host(&format!(
        r#""Tmpfs":{{"/x":"{}"}}"#,
        "rw,".repeat(n)
    ))),
    body!("volume options", |n| host(&format!(
        r#""Mounts":[{{"Type":"volume","VolumeOptions":{{"DriverConfig":{{"Options":{{"type":"none","o":"{}","device":"/srv/a"}}}}}}}}]"#,
        "bind,".repeat(n)
    ))),
    body!("an image of many components", |n| format!(
        r#"{{"Image":"{}b"}}"#,
        "a/".repeat(n)
    )),
    body!("an image of many separators", |n| format!(
        r#"{{"Image":"a{}b"}}"#,
        "-".repeat(n)
    )),
    body!("a volume that nearly fits a glob", |n| host(&format!(
        r#""Mounts":[{{"Type":"volume","Source":"{}"}}]"#,
        "ab".repeat(n)
    ))),
    target!("a parameter without a value, again and again", |n| format!(
        "/v1.45/containers/create?{}",
        "x&".repeat(n)
    )),
    target!("a listed parameter, again and again", |n| format!(
        "/v1.45/containers/create?{}",
        "name=&".repeat(n)
    )),
    target!("unlisted parameters", |n| format!(
        "/v1.45/build?{}",
        (0..n).map(|i| format!("p{i}=&")).collect::<String>()
    )),
    target!("tags", |n| format!("/v1.45/build?{}", "t=a&".repeat(n))),
    target!("changes", |n| format!(
        "/v1.45/commit?container=a&{}",
        "changes=a&".repeat(n)
    )),
    target!("empty pairs", |n| format!(
        "/v1.45/containers/create?{}",
        "&".repeat(n)
    )),
    target!("escapes in a target", |n| format!(
        "/v1.45/containers/{}/exec",
        "%41".repeat(n)
    )),
    target!("segments", |n| format!(
        "/v1.45/images{}/tag",
        "/a".repeat(n)
    )),
    target!("an image to push", |n| format!(
        "/v1.45/images/a{}/push?tag={}",
        "__".repeat(n),
        "t".repeat(n)
    )),
];

/// What the role of these tests may: enough that every reader is reached.
pub(crate) fn policy(mode: &str, max_body: &str) -> Policy {
    let text = format!(
        r#"
version = 1
mode = "{mode}"
max_body = "{max_body}"
[[client]]
match = {{ any = true }}
role = "r"
[role.r]
base = "ci"
[role.r.limits]
join_containers = true
binds = ["/srv/**"]
volumes = ["a*b*a*b*a*b*c", "v*"]
tags = ["registry.example.com/**"]
"#
    );
    Policy::parse("test", &text).expect("a policy")
}

/// Somebody whom the policy knows.
pub(crate) fn anybody() -> Identity {
    Identity {
        common_names: vec!["anybody".into()],
        serial: "01".into(),
        issuer: "CN=test CA".into(),
        fingerprint: [1; 32],
        spki: [2; 32],
        ..Identity::unnamed()
    }
}

/// Decides on a request; the engine says `answer` to every question.
pub(crate) fn decide(
    policy: &Policy,
    target: &str,
    body: &str,
    answer: &EngineAnswer,
) -> Result<Permitted, Box<Denied>> {
    let classified = classify("POST", target).expect("a target");
    let request = Request {
        classified: &classified,
        content_type: Some("application/json"),
        content_encoding: None,
        headers: EngineHeaders::default(),
        body: match body.len() {
            0 => BodyLength::Empty,
            length => BodyLength::Exact(length as u64),
        },
    };
    struct Always<'a>(&'a str, &'a EngineAnswer);
    impl Known for Always<'_> {
        type Error = Infallible;

        fn body(&self) -> &[u8] {
            self.0.as_bytes()
        }

        fn answer(&mut self, _: &Lookup) -> Result<EngineAnswer, Infallible> {
            Ok(self.1.clone())
        }
    }
    let client = policy.client_for(&anybody());
    let Ok(decided) = policy.decide_knowing(client, &request, &mut Always(body, answer));
    decided
}

/// An engine that has nothing.
pub(crate) fn nowhere() -> EngineAnswer {
    EngineAnswer {
        status: 404,
        body: Vec::new(),
    }
}
