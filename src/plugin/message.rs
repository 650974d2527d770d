//! What a plugin is told: dockerd's `authorization.Request`, field by field.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use serde::Serialize;

use docker_api::Operation;
use pki::identity::Identity;
use pki::pem::encode_certificates;

/// Fields with secrets of the client's, which dockerd keeps from plugins too.
const SECRET: &[&str] = &["authorization", "x-registry-config", "x-registry-auth"];

/// A request, and later its answer, as plugins are told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PluginRequest {
    #[serde(rename = "User", skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(rename = "UserAuthNMethod")]
    user_authn_method: &'static str,
    #[serde(rename = "RequestMethod")]
    method: String,
    // The protocol's own spelling.
    #[serde(rename = "RequestUri")]
    uri: String,
    #[serde(rename = "RequestBody", skip_serializing_if = "String::is_empty")]
    body: String,
    #[serde(rename = "RequestHeaders", skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(
        rename = "RequestPeerCertificates",
        skip_serializing_if = "Vec::is_empty"
    )]
    certificates: Vec<String>,
    #[serde(rename = "ResponseStatusCode", skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(rename = "ResponseBody", skip_serializing_if = "String::is_empty")]
    answer_body: String,
    #[serde(rename = "ResponseHeaders", skip_serializing_if = "BTreeMap::is_empty")]
    answer_headers: BTreeMap<String, String>,
    /// What the engine's router would run.
    #[serde(skip)]
    operation: Option<Operation>,
}

impl PluginRequest {
    /// A request of `identity`. `head` is the request's head as it goes on to the engine.
    ///
    /// # Errors
    /// When the certificate has several common names: dockerd would take the last, others the first, so none is the user.
    pub fn new(
        identity: &Identity,
        head: &[u8],
        operation: Operation,
    ) -> Result<Self, &'static str> {
        let user = match identity.common_names.as_slice() {
            [] => String::new(),
            [name] => name.clone(),
            _ => return Err("the certificate has several common names, expected one"),
        };
        let line = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or_default());
        let mut words = line.split(' ').map(str::to_owned);
        Ok(Self {
            user,
            user_authn_method: "TLS",
            method: words.next().unwrap_or_default(),
            uri: words.next().unwrap_or_default(),
            headers: fields(head),
            operation: Some(operation),
            ..Self::default()
        })
    }

    /// Adds the client's certificates, leaf first, each as PEM in base64.
    pub fn certificates(&mut self, chain: &[CertificateDer<'static>]) {
        let encoded = |der| BASE64.encode(encode_certificates([der]).as_bytes());
        self.certificates = chain.iter().map(encoded).collect();
    }

    /// Whether plugins are shown the body. The operation decides, since the engine reads the bodies of most as JSON and a
    /// form's as parameters whatever the client calls them. Archives, which the engine unpacks as they come, are not shown
    /// unless they are called JSON or a form, and the passwords of a login never.
    #[must_use]
    pub fn shows_body(&self) -> bool {
        let kind = media_type(&self.headers);
        match self.operation {
            Some(Operation::SystemAuth) => false,
            Some(
                Operation::ImageBuild
                | Operation::ImageLoad
                | Operation::ImageImport
                | Operation::ContainerArchivePut
                | Operation::PluginCreate,
            ) => kind == "application/json" || kind.contains("form"),
            _ => true,
        }
    }

    /// Whether plugins are shown an answer with these fields: a JSON one.
    #[must_use]
    pub fn shows_answer(&self, fields: &BTreeMap<String, String>) -> bool {
        self.operation != Some(Operation::SystemAuth) && media_type(fields) == "application/json"
    }

    /// Adds the request's body.
    pub fn body(&mut self, body: &[u8]) {
        self.body = BASE64.encode(body);
    }

    /// The same request with its answer: status, fields and, where it is shown, the body.
    #[must_use]
    pub fn answered(
        &self,
        status: u16,
        fields: BTreeMap<String, String>,
        body: Option<&[u8]>,
    ) -> Self {
        Self {
            status: Some(status),
            answer_headers: fields,
            answer_body: body.map(|body| BASE64.encode(body)).unwrap_or_default(),
            ..self.clone()
        }
    }
}

/// The names and values of a head that was accepted.
fn lines(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = head.split(|b| *b == b'\n').skip(1);
    lines.filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// The fields of a head, named as Go names them, each with its last value, less the secrets and `Host`.
#[must_use]
pub fn fields(head: &[u8]) -> BTreeMap<String, String> {
    lines(head)
        .map(|(name, value)| {
            (
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value),
            )
        })
        .filter(|(name, _)| {
            !name.eq_ignore_ascii_case("host")
                && !SECRET
                    .iter()
                    .any(|secret| name.eq_ignore_ascii_case(secret))
        })
        .map(|(name, value)| (canonical(&name), value.into_owned()))
        .collect()
}

/// The media type without its parameters, in lower case.
fn media_type(fields: &BTreeMap<String, String>) -> String {
    let value = fields.get("Content-Type").map_or("", String::as_str);
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// `content-type` is `Content-Type`.
fn canonical(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let c = if start {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            start = c == '-';
            c
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{PluginRequest, fields};

    const HEAD: &[u8] = b"POST /v1.45/containers/create?name=x HTTP/1.1\r\nHost: docker\r\ncontent-TYPE: application/json; charset=utf-8\r\nX-Registry-Auth: secret\r\nauthorization: secret\r\nX-A: 1\r\nx-a: 2\r\n\r\n";

    #[test]
    fn fields_are_named_as_go_names_them_and_secrets_are_left_out() {
        let fields = fields(HEAD);
        let pairs: Vec<_> = fields
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("Content-Type", "application/json; charset=utf-8"),
                ("X-A", "2")
            ]
        );
    }

    fn shown(method: &str, target: &str, kind: &str) -> bool {
        let operation = docker_api::classify(method, target)
            .expect("a target")
            .operation;
        PluginRequest {
            operation: Some(operation),
            headers: fields(format!("X\r\nContent-Type: {kind}\r\n\r\n").as_bytes()),
            ..PluginRequest::default()
        }
        .shows_body()
    }

    #[test]
    fn what_the_engine_reads_is_shown_whatever_its_type_says() {
        for kind in [
            "application/json",
            "text/plain",
            "",
            "application/x-tar",
            "application/x-www-form-urlencoded",
        ] {
            for (method, target) in [
                ("POST", "/v1.45/containers/create?name=x"),
                ("POST", "/containers/x/exec"),
                ("POST", "/exec/x/start"),
                ("PUT", "/volumes/auth"),
                ("POST", "/images/create?fromImage=x"),
                ("POST", "/v1.99/brand/new"),
                ("POST", "/x/auth"),
            ] {
                assert!(shown(method, target, kind), "{method} {target} {kind:?}");
            }
            for target in ["/v1.45/auth", "/auth?x=1", "/%61uth"] {
                assert!(!shown("POST", target, kind), "{target}");
            }
        }
    }

    #[test]
    fn archives_are_not_shown_unless_they_are_called_something_else() {
        for (method, target) in [
            ("POST", "/build?t=x"),
            ("POST", "/images/load"),
            ("POST", "/images/create?fromSrc=-"),
            ("PUT", "/containers/x/archive?path=/"),
        ] {
            assert!(!shown(method, target, "application/x-tar"), "{target}");
            assert!(shown(method, target, "Application/JSON; a=b"), "{target}");
            assert!(
                shown(method, target, "application/x-www-form-urlencoded"),
                "{target}"
            );
        }
    }
}
