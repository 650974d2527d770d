//! A policy, a certificate and a request: what the gate would say.

use std::convert::Infallible;

use docker_api::classify;
use pki::identity::Identity;
use policy::{
    BodyLength, Denied, EngineAnswer, EngineHeaders, Known, Lookup, Permitted, Policy, Request,
};

/// An identity with one common name.
pub(crate) fn cn(name: &str) -> Identity {
    Identity {
        common_names: vec![name.to_owned()],
        serial: "01".into(),
        issuer: "CN=test CA".into(),
        fingerprint: [1; 32],
        spki: [2; 32],
        issuer_spki: Some([3; 32]),
        ..Identity::unnamed()
    }
}

/// A policy with one client, `ci`, in a role with the given body (`base = …`, limits).
pub(crate) fn role(body: &str) -> Policy {
    let text = format!(
        "version = 1\n[[client]]\nmatch = {{ cn = \"ci\" }}\nrole = \"team\"\n[role.team]\n{body}\n"
    );
    Policy::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The `ci` base with these limits.
pub(crate) fn limits(limits: &str) -> Policy {
    role(&format!(
        "base = \"ci\"\n[role.team.limits]\ntags = [\"registry.example.com/team/**\"]\n{limits}"
    ))
}

/// A request by `ci`.
pub(crate) struct Ask<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) encoding: Option<&'a str>,
    pub(crate) headers: EngineHeaders,
    pub(crate) body: &'a [u8],
    /// The engine's answers, by target; everything else is 404.
    pub(crate) engine: Vec<(&'a str, u16, &'a str)>,
    /// Where host paths lead, links followed.
    pub(crate) links: Vec<(&'a str, &'a str)>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(policy: &'a Policy, method: &'a str, target: &'a str) -> Ask<'a> {
        Ask {
            policy,
            method,
            target,
            content_type: "application/json",
            encoding: None,
            headers: EngineHeaders::default(),
            body: b"",
            engine: Vec::new(),
            links: Vec::new(),
        }
    }

    pub(crate) fn body(mut self, body: &'a str) -> Ask<'a> {
        self.body = body.as_bytes();
        self
    }

    pub(crate) fn engine(mut self, target: &'a str, body: &'a str) -> Ask<'a> {
        self.engine.push((target, 200, body));
        self
    }

    /// Runs every step; the look-ups that were made come back too.
    pub(crate) fn run(&self) -> (Result<Permitted, Box<Denied>>, Vec<String>) {
        let classified = classify(self.method, self.target).expect("the target must be readable");
        let client = self.policy.client_for(&cn("ci"));
        let body = if self.body.is_empty() {
            BodyLength::Empty
        } else {
            BodyLength::Exact(self.body.len() as u64)
        };
        let request = Request {
            classified: &classified,
            content_type: Some(self.content_type).filter(|_| !self.body.is_empty()),
            content_encoding: self.encoding,
            headers: self.headers,
            body,
        };
        let mut engine = Scripted {
            ask: self,
            asked: Vec::new(),
        };
        let Ok(decided) = self.policy.decide_knowing(client, &request, &mut engine);
        (decided, engine.asked)
    }

    #[track_caller]
    pub(crate) fn allowed(&self) -> Permitted {
        match self.run().0 {
            Ok(permitted) => {
                assert!(permitted.would_deny().is_none());
                permitted
            }
            Err(denied) => panic!(
                "{} {} {}: {denied}",
                self.method,
                self.target,
                String::from_utf8_lossy(self.body)
            ),
        }
    }

    #[track_caller]
    pub(crate) fn denied(&self, rule: &str) -> Denied {
        match self.run().0 {
            Ok(_) => panic!(
                "{} {} {} passed",
                self.method,
                self.target,
                String::from_utf8_lossy(self.body)
            ),
            Err(denied) => {
                assert_eq!(denied.rule, rule, "{denied}");
                testkit::words::assert_plain("a denial", &denied.to_string());
                *denied
            }
        }
    }
}

/// What the engine and the host would say.
struct Scripted<'a> {
    ask: &'a Ask<'a>,
    asked: Vec<String>,
}

impl Known for Scripted<'_> {
    type Error = Infallible;

    fn body(&self) -> &[u8] {
        self.ask.body
    }

    fn answer(&mut self, lookup: &Lookup) -> Result<EngineAnswer, Infallible> {
        self.asked.push(lookup.target.clone());
        let mut known = self.ask.engine.iter();
        let known = known.find(|(target, ..)| *target == lookup.target);
        let (status, body) = known.map_or((404, ""), |(_, status, body)| (*status, *body));
        Ok(EngineAnswer {
            status,
            body: body.as_bytes().to_vec(),
        })
    }

    fn follow(&mut self, paths: &[String]) -> Vec<String> {
        let target = |path: &String| {
            let link = self.ask.links.iter().find(|(from, _)| from == path);
            link.map_or(path.clone(), |(_, to)| (*to).to_owned())
        };
        paths.iter().map(target).collect()
    }
}

/// A create body with this `HostConfig`.
pub(crate) fn create(host: &str) -> String {
    format!("{{\"Image\":\"busybox\",\"HostConfig\":{{{host}}}}}")
}

#[track_caller]
pub(crate) fn create_allowed(policy: &Policy, host: &str) {
    let body = create(host);
    let _ = Ask::new(policy, "POST", "/v1.51/containers/create")
        .body(&body)
        .allowed();
}

#[track_caller]
pub(crate) fn create_denied(policy: &Policy, host: &str, rule: &str) -> Denied {
    let body = create(host);
    Ask::new(policy, "POST", "/v1.51/containers/create")
        .body(&body)
        .denied(rule)
}
