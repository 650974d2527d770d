//! The functions that every connection, every request or every byte goes through, without a network.
//!
//! `cargo bench --bench hot` measures them; add `-- --quick` for a look, or `-- head` for some. A figure that grows here shows
//! a regression before any socket is involved; `bench/measure` says what it means for a request.

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use criterion::{BatchSize, Criterion, Throughput};
use docker_api::classify;
use dockgate::http::framing::Framing;
use dockgate::http::head::{self, Emit};
use dockgate::observe::audit::{AuditCertificate, Decision, Event, Record, SCHEMA, timestamp};
use pki::identity::Identity;
use policy::{BodyLength, EngineHeaders, Policy, Request, Step};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

/// A request as Docker's CLI sends it.
const PING: &[u8] = b"HEAD /_ping HTTP/1.1\r\nHost: docker.example.com:2376\r\nUser-Agent: Docker-Client/29.1.3 (linux)\r\n\r\n";

/// The same with a body and a field for one hop only, so that lines are chosen one by one.
const CREATE: &[u8] = b"POST /v1.52/containers/create?name=web&platform=linux%2Famd64 HTTP/1.1\r\n\
    Host: docker.example.com:2376\r\nUser-Agent: Docker-Client/29.1.3 (linux)\r\nContent-Length: 4096\r\n\
    Content-Type: application/json\r\nX-Meta-Trace: 0af7651916cd43dd8448eb211c80319c\r\nConnection: keep-alive\r\n\r\n";

/// An upgrade, which goes on with all its lines.
const EXEC: &[u8] = b"POST /v1.52/exec/3f4e8a1d9c7b3f4e8a1d9c7b3f4e8a1d9c7b3f4e8a1d9c7b3f4e8a1d9c7b3f4e/start HTTP/1.1\r\n\
    Host: docker.example.com:2376\r\nUser-Agent: Docker-Client/29.1.3 (linux)\r\nContent-Length: 32\r\n\
    Connection: Upgrade\r\nContent-Type: application/json\r\nUpgrade: tcp\r\n\r\n";

/// An answer as the engine sends it.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nApi-Version: 1.52\r\nContent-Type: application/json\r\nDocker-Experimental: false\r\n\
    Ostype: linux\r\nServer: Docker/29.1.3 (linux)\r\nDate: Thu, 05 Mar 2026 10:11:12 GMT\r\nContent-Length: 2048\r\n\r\n";

/// A role that looks into what it lets a client create.
const POLICY: &str = r#"
version = 1
[[client]]
match = { cn = "ci" }
role = "team"
[role.team]
base = "ci"
[role.team.limits]
images = ["registry.example.com/ci/**", "docker.io/library/**"]
tags   = ["registry.example.com/ci/**"]
binds  = ["/builds/**", "/cache/**"]
"#;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    heads(&mut criterion);
    targets(&mut criterion);
    bodies(&mut criterion);
    identities(&mut criterion);
    decisions(&mut criterion);
    records(&mut criterion);
    criterion.final_summary();
}

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    group.bench_function("head_len", |b| {
        b.iter(|| head::head_len(black_box(CREATE), 0).expect("the head is complete"));
    });
    for (name, bytes) in [("ping", PING), ("create", CREATE), ("exec", EXEC)] {
        let mut out = Vec::with_capacity(1024);
        group.bench_function(format!("request/{name}"), |b| {
            b.iter(|| {
                out.clear();
                head::request(black_box(bytes), &mut out, |_, _| true).expect("the head is valid")
            });
        });
    }
    let mut out = Vec::with_capacity(1024);
    group.bench_function("response", |b| {
        b.iter(|| {
            out.clear();
            head::response(black_box(ANSWER), false, &mut out, |_| {
                Emit::Connection(None)
            })
            .expect("the head is valid")
        });
    });
    group.finish();
}

fn targets(c: &mut Criterion) {
    let mut group = c.benchmark_group("classify");
    for (name, method, target) in [
        ("ping", "HEAD", "/_ping"),
        (
            "list",
            "GET",
            "/v1.52/containers/json?all=1&filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D",
        ),
        (
            "image",
            "GET",
            "/v1.52/images/registry.example.com/team/app/json",
        ),
        (
            "escaped",
            "GET",
            "/v1.52/images/registry.example.com%2Fteam%2Fapp/json",
        ),
        ("dots", "GET", "/v1.52//containers/../containers/web/json"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| classify(black_box(method), black_box(target)).map(|c| c.operation));
        });
    }
    group.finish();
}

fn bodies(c: &mut Criterion) {
    const CHUNK: usize = 32 * 1024;
    let mut chunked = Vec::new();
    for _ in 0..4 {
        chunked.extend_from_slice(format!("{CHUNK:x}\r\n").as_bytes());
        chunked.resize(chunked.len() + CHUNK, b'x');
        chunked.extend_from_slice(b"\r\n");
    }
    // Many small chunks, as an engine's progress lines: the scanner's worst case.
    let line = r#"{"status":"Downloading","progressDetail":{"current":1,"total":9}}"#;
    let small = format!("{:x}\r\n{line}\r\n", line.len())
        .repeat(64)
        .into_bytes();
    let mut group = c.benchmark_group("framing");
    for (name, framing, data) in [
        ("length", Framing::length(u64::MAX), &chunked),
        ("chunked/32 KiB", Framing::chunked(), &chunked),
        ("chunked/64 B", Framing::chunked(), &small),
    ] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || framing.clone(),
                |framing| {
                    framing
                        .take(black_box(data))
                        .expect("the body is valid")
                        .used
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn certificate() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Example Ltd");
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, "ci");
    params.distinguished_name.push(DnType::CommonName, "ci");
    params.subject_alt_names = vec![
        SanType::DnsName(
            "runner.example.com"
                .try_into()
                .expect("a DNS name is ASCII"),
        ),
        SanType::URI(
            "spiffe://example.com/ci"
                .try_into()
                .expect("a URI is ASCII"),
        ),
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("the system must give random numbers");
    let certificate = params.self_signed(&key).expect("the parameters are valid");
    certificate.der().to_vec()
}

fn identities(c: &mut Criterion) {
    let der = certificate();
    c.bench_function("identity/from_der", |b| {
        b.iter(|| Identity::from_der(black_box(&der)).expect("the certificate is valid"));
    });
}

/// A create body of about 4 KiB, most of it environment and labels as in practice.
fn create_body() -> Vec<u8> {
    let list = |count: usize, item: fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let env = list(60, |n| {
        format!("\"VARIABLE_{n}=a value of about the usual length\"")
    });
    let labels = list(20, |n| {
        format!("\"com.example.label.{n}\":\"some value of a label\"")
    });
    let body = format!(
        "{{\"Image\":\"registry.example.com/ci/builder:1.2\",\"Cmd\":[\"sh\",\"-c\",\"make\"],\"Env\":[{env}],\
         \"Labels\":{{{labels}}},\"HostConfig\":{{\"Binds\":[\"/builds/1:/work\",\"/cache/x:/cache:ro\"],\
         \"AutoRemove\":true,\"Memory\":536870912}}}}"
    );
    assert!((3500..4700).contains(&body.len()), "{}", body.len());
    body.into_bytes()
}

fn decisions(c: &mut Criterion) {
    let policy = Policy::parse("bench.toml", POLICY).expect("the policy is valid");
    let identity = Identity::from_der(&certificate()).expect("the certificate is valid");
    let client = policy.client_for(&identity);
    let body = create_body();
    let mut group = c.benchmark_group("policy");
    group.bench_function("client_for", |b| {
        b.iter(|| policy.client_for(black_box(&identity)));
    });
    let list = classify("GET", "/v1.52/containers/json?all=1").expect("the target is valid");
    let plain = Request {
        classified: &list,
        content_type: None,
        content_encoding: None,
        headers: EngineHeaders::default(),
        body: BodyLength::Empty,
    };
    group.bench_function("decide/plain", |b| {
        b.iter(|| policy.decide(client, black_box(&plain)));
    });
    let create =
        classify("POST", "/v1.52/containers/create?name=web").expect("the target is valid");
    let inspected = Request {
        classified: &create,
        content_type: Some("application/json"),
        content_encoding: None,
        headers: EngineHeaders::default(),
        body: BodyLength::Exact(body.len() as u64),
    };
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("decide/create 4 KiB", |b| {
        b.iter(|| match policy.decide(client, black_box(&inspected)) {
            Step::Body(pending) => match pending.body(black_box(&body)) {
                Step::Permitted(permit) => permit,
                other => panic!("the body must be permitted, not {other:?}"),
            },
            other => panic!("the body must be asked for, not {other:?}"),
        });
    });
    group.finish();
}

fn records(c: &mut Criterion) {
    let identity = Identity::from_der(&certificate()).expect("the certificate is valid");
    let record = Record {
        schema: SCHEMA,
        time: timestamp(SystemTime::UNIX_EPOCH),
        event: Event::Request,
        request: "7f3a-1".into(),
        connection: "7f3a".into(),
        address: "192.0.2.7:41234".into(),
        certificate: AuditCertificate::of(&identity),
        client: "ci".into(),
        role: "team".into(),
        operation: "container.create".into(),
        method: "POST".into(),
        path: "/v1.52/containers/create".into(),
        target: None,
        decision: Decision::Allow,
        rule: None,
        detail: None,
        grant: None,
        mode: "enforce".into(),
        status: 201,
        bytes_in: 4096,
        bytes_out: 88,
        duration_us: 4100,
        upstream_us: 3900,
        command: None,
        facts: vec![("images".into(), "registry.example.com/ci/builder".into())],
        facts_omitted: 0,
        reason: None,
    };
    let mut group = c.benchmark_group("audit");
    group.bench_function("certificate", |b| {
        b.iter(|| AuditCertificate::of(black_box(&identity)));
    });
    group.bench_function("line", |b| b.iter(|| black_box(&record).line()));
    group.bench_function("timestamp", |b| {
        b.iter(|| timestamp(black_box(SystemTime::UNIX_EPOCH)));
    });
    group.finish();
}
