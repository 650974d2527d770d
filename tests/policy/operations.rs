//! The compiled table against the list of the API's operations.

use docker_api::{Hijack, Operation, Risk, Streams, classify};

const LIST: &str = include_str!("operations.csv");

/// The eight first columns of a row; only the note may be quoted.
fn rows() -> Vec<Vec<&'static str>> {
    LIST.lines()
        .skip(1)
        .map(|line| line.splitn(9, ',').take(8).collect())
        .collect()
}

#[test]
fn every_row_of_the_list_is_in_the_table_and_nothing_else() {
    let rows = rows();
    assert_eq!(rows.len(), 124);
    assert_eq!(rows.len(), Operation::ALL.len());
    for (row, op) in rows.iter().zip(Operation::ALL) {
        let hijack = match op.hijack() {
            Hijack::None => "none",
            Hijack::Tcp => "tcp",
            Hijack::WebSocket => "websocket",
            Hijack::H2c => "h2c",
        };
        let streams = match op.streams() {
            Streams::None => "none",
            Streams::Request => "request",
            Streams::Response => "response",
            Streams::Both => "both",
        };
        let risk = match op.risk() {
            Risk::Read => "read",
            Risk::SensitiveRead => "sensitive-read",
            Risk::Write => "write",
            Risk::RootEquivalent => "root-equivalent",
        };
        let kind = format!("{:?}", op.kind()).to_lowercase();
        let ours = [
            op.id(),
            op.method(),
            op.template(),
            op.resource(),
            &kind,
            hijack,
            streams,
            risk,
        ];
        assert_eq!(row[..], ours, "{op}");
        assert_eq!(op.id(), format!("{}.{}", op.resource(), op.verb()));
        assert_eq!(Operation::from_id(op.id()), Some(*op));
    }
}

#[test]
fn every_row_is_classified_as_itself_with_and_without_version() {
    for op in Operation::ALL.iter().copied() {
        // Reached over HTTP/2 with prior knowledge only, which the gate never speaks upstream.
        let expected = if op == Operation::BuildGrpcDirect {
            Operation::Unknown
        } else {
            op
        };
        let path = op
            .template()
            .replace("{name}", "web-1")
            .replace("{id}", "web-1")
            .replace("{checkpoint}", "cp1")
            .replace("{anyroute}", "any")
            .replace("{grpc.Service}", "moby.buildkit.v1.Control")
            .replace("{Method}", "Solve");
        let path = if op == Operation::ImagePull {
            format!("{path}?fromImage=a")
        } else {
            path
        };
        let plain = classify(op.method(), &path).expect("a target of the table must be readable");
        assert_eq!(
            (plain.operation, plain.judged()),
            (expected, expected),
            "{path}"
        );
        assert_eq!(plain.version(), None);
        let named = op.template().contains("{name}") || op.template().contains("{id}");
        let name = if op == Operation::DebugPprofNamed || named {
            Some("web-1")
        } else {
            None
        };
        assert_eq!(plain.name(), name, "{path}");
        let versioned = format!("/v1.51{path}");
        let versioned =
            classify(op.method(), &versioned).expect("a target of the table must be readable");
        let expected = if op.resource() == "debug" {
            Operation::Unknown
        } else {
            expected
        };
        assert_eq!(versioned.judged(), expected, "{path}");
        assert_eq!(versioned.version(), Some("1.51"));
        // No other method reaches the same operation.
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "get", ""] {
            if method != op.method() {
                assert_ne!(
                    classify(method, &path).expect("readable").operation,
                    op,
                    "{method} {path}"
                );
            }
        }
    }
}
