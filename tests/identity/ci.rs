//! Tokens of CI: what an honest issuer's are good for, and every classic attack.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use enroll::SignerPin;
use enroll::oidc::{OidcFault, OidcKeys, OidcRule, OidcToken};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};
use testkit::issuer::{FakeIssuer, now, signed_part};
use testkit::programs::said;
use time::OffsetDateTime;

use crate::support::*;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "dockgate.example";

fn rules() -> Vec<OidcRule> {
    let claims = [("repository", "example/app"), ("ref", "refs/heads/main")];
    vec![OidcRule {
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        claims: claims
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        name: "ci-app".into(),
        organization: None,
        organizational_unit: Some("ci".into()),
        life_secs: 3600,
    }]
}

fn judge(keys: &OidcKeys, token: &str) -> Result<(), OidcFault> {
    let proven = OidcToken::parse(token)?.prove(keys)?;
    proven
        .approve(&rules(), OffsetDateTime::now_utc())
        .map(|_| ())
}

/// Changes one claim of an honest token.
fn with(issuer: &FakeIssuer, claim: &str, value: Value) -> String {
    let mut claims = issuer.claims(AUDIENCE, "one");
    claims[claim] = value;
    issuer.sign("rsa", &claims)
}

#[test]
fn an_honest_token_is_good_with_either_algorithm_and_within_the_skew() {
    let issuer = FakeIssuer::new(ISSUER);
    let keys = OidcKeys::parse(issuer.keys().as_bytes()).expect("keys");
    let honest = issuer.claims(AUDIENCE, "one");
    let mut without_nbf = honest.clone();
    without_nbf.as_object_mut().expect("claims").remove("nbf");
    for token in [
        issuer.sign("rsa", &honest),
        issuer.sign("ec", &honest),
        issuer.sign("ec", &without_nbf),
        with(&issuer, "aud", json!([AUDIENCE])),
        with(&issuer, "exp", json!(now() - 30)),
        with(&issuer, "nbf", json!(now() + 30)),
        with(&issuer, "iat", json!(now() + 30)),
        with(&issuer, "iat", json!(now() - 86_300)),
    ] {
        assert_eq!(judge(&keys, &token), Ok(()));
    }
}

#[test]
fn every_claim_that_is_wrong_or_missing_is_refused_though_the_issuer_signed_it() {
    let issuer = FakeIssuer::new(ISSUER);
    let keys = OidcKeys::parse(issuer.keys().as_bytes()).expect("keys");
    for (claim, value) in [
        ("iss", json!("https://issuer.example/")),
        ("iss", json!("https://other.example")),
        ("iss", json!(null)),
        ("aud", json!("other.example")),
        ("aud", json!([AUDIENCE, "other.example"])),
        ("aud", json!([])),
        ("aud", json!([1])),
        ("aud", json!(null)),
        ("exp", json!(now() - 61)),
        ("exp", json!("9999999999")),
        ("exp", json!(1e18)),
        ("exp", json!(-1)),
        ("exp", json!(null)),
        ("nbf", json!(now() + 90)),
        ("nbf", json!("soon")),
        ("iat", json!(now() + 90)),
        ("iat", json!(now() - 86_500)),
        ("iat", json!(null)),
        ("jti", json!("")),
        ("jti", json!(7)),
        ("jti", json!(null)),
        ("repository", json!("example/app2")),
        ("repository", json!("Example/app")),
        ("repository", json!("example/app ")),
        ("repository", json!(["example/app"])),
        ("repository", json!(null)),
        ("ref", json!("refs/heads/main2")),
        ("ref", json!("refs/pull/1/merge")),
    ] {
        let token = with(&issuer, claim, value.clone());
        assert!(judge(&keys, &token).is_err(), "{claim} = {value}");
    }
}

#[expect(clippy::too_many_lines, reason = "table")]
#[test]
fn a_token_that_its_issuer_did_not_sign_as_one_is_refused() {
    let (issuer, mallory) = (FakeIssuer::new(ISSUER), FakeIssuer::new(ISSUER));
    let keys = OidcKeys::parse(issuer.keys().as_bytes()).expect("keys");
    let claims = issuer.claims(AUDIENCE, "one").to_string();
    let good = issuer.sign_as("rsa", r#"{"alg":"RS256","kid":"rsa"}"#, &claims);
    assert_eq!(judge(&keys, &good), Ok(()));
    let (n, _) = issuer.rsa_public();
    let hmac = |key: &[u8], kid: &str| {
        let signed = signed_part(&format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), &claims);
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        format!(
            "{signed}.{}",
            data_encoding::BASE64URL_NOPAD.encode(tag.as_ref())
        )
    };
    let unsigned = |header: &str| format!("{}.", signed_part(header, &claims));
    let honest_as = |header: &str| issuer.sign_as("rsa", header, &claims);
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let doubled = claims.replacen(
        '{',
        r#"{"repository":"example/app","repository":"example/app","#,
        1,
    );
    let attacks = [
        ("alg none", unsigned(r#"{"alg":"none","kid":"rsa"}"#)),
        (
            "alg none in capitals",
            unsigned(r#"{"alg":"NONE","kid":"rsa"}"#),
        ),
        ("no signature", unsigned(r#"{"alg":"RS256","kid":"rsa"}"#)),
        ("HS256 with the public key", hmac(&n, "rsa")),
        (
            "HS256 with the set of keys",
            hmac(issuer.keys().as_bytes(), "rsa"),
        ),
        (
            "HS256 with a published secret",
            hmac(b"a secret that no issuer would publish", "shared"),
        ),
        (
            "another issuer's key of the same name",
            mallory.sign_as("rsa", r#"{"alg":"RS256","kid":"rsa"}"#, &claims),
        ),
        (
            "RS256 said of an ES256 key",
            honest_as(r#"{"alg":"RS256","kid":"ec"}"#),
        ),
        (
            "ES256 said of an RS256 key",
            honest_as(r#"{"alg":"ES256","kid":"rsa"}"#),
        ),
        ("RS512", honest_as(r#"{"alg":"RS512","kid":"rsa"}"#)),
        ("PS256", honest_as(r#"{"alg":"PS256","kid":"rsa"}"#)),
        ("no alg", honest_as(r#"{"kid":"rsa"}"#)),
        ("no kid", honest_as(r#"{"alg":"RS256"}"#)),
        (
            "an unknown kid",
            honest_as(r#"{"alg":"RS256","kid":"other"}"#),
        ),
        (
            "a key of its own",
            honest_as(r#"{"alg":"RS256","kid":"rsa","jwk":{"kty":"RSA"}}"#),
        ),
        (
            "an address of keys",
            honest_as(r#"{"alg":"RS256","kid":"rsa","jku":"https://mallory.example"}"#),
        ),
        (
            "an address of a chain",
            honest_as(r#"{"alg":"RS256","kid":"rsa","x5u":"https://mallory.example"}"#),
        ),
        (
            "a chain of its own",
            honest_as(r#"{"alg":"RS256","kid":"rsa","x5c":[]}"#),
        ),
        (
            "a critical part",
            honest_as(r#"{"alg":"RS256","kid":"rsa","crit":["exp"]}"#),
        ),
        (
            "another type",
            honest_as(r#"{"alg":"RS256","kid":"rsa","typ":"secevent+jwt"}"#),
        ),
        (
            "alg twice",
            honest_as(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#),
        ),
        (
            "a claim twice",
            issuer.sign_as("rsa", r#"{"alg":"RS256","kid":"rsa"}"#, &doubled),
        ),
        (
            "claims with more behind",
            issuer.sign_as(
                "rsa",
                r#"{"alg":"RS256","kid":"rsa"}"#,
                &format!("{claims}{{}}"),
            ),
        ),
        (
            "claims in an array",
            issuer.sign_as(
                "rsa",
                r#"{"alg":"RS256","kid":"rsa"}"#,
                &format!("[{claims}]"),
            ),
        ),
        ("a fourth part", format!("{good}.e30")),
        ("a part less", head.to_owned()),
        ("padding", format!("{good}=")),
        (
            "a byte more of signature",
            format!("{head}.AAAA{signature}"),
        ),
        ("something behind", format!("{good}\n")),
        (
            "too long",
            issuer.sign_as(
                "rsa",
                r#"{"alg":"RS256","kid":"rsa"}"#,
                &claims.replacen('{', &format!("{{\"x\":\"{}\",", "a".repeat(9000)), 1),
            ),
        ),
    ];
    for (what, token) in attacks {
        assert!(judge(&keys, &token).is_err(), "{what}");
    }
    // Every single part of a good one counts.
    for at in [5, head.len() / 2, head.len() + 9] {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("text");
        assert!(judge(&keys, &changed).is_err(), "{at}");
    }
}

#[test]
fn weak_doubled_and_foreign_keys_of_an_issuer_are_refused_or_passed_over() {
    let good = FakeIssuer::new(ISSUER).keys();
    let first: Value = serde_json::from_str(&good).expect("JSON");
    let rsa = &first["keys"][0];
    let set = |keys: Value| OidcKeys::parse(json!({ "keys": keys }).to_string().as_bytes());
    assert!(set(json!([rsa])).expect("keys").has("rsa"));
    let mut weak = rsa.clone();
    weak["n"] = json!(data_encoding::BASE64URL_NOPAD.encode(&[0xff; 128]));
    assert!(set(json!([weak])).is_err(), "1024 bits");
    assert!(set(json!([rsa, rsa])).is_err(), "one name twice");
    let mut encrypts = rsa.clone();
    encrypts["use"] = json!("enc");
    assert!(set(json!([encrypts])).is_err(), "nothing left");
    let mut other = rsa.clone();
    other["alg"] = json!("RS512");
    assert!(set(json!([other])).is_err(), "nothing left");
    assert!(OidcKeys::parse(b"{}").is_err());
    assert!(OidcKeys::parse(format!("{good} x").as_bytes()).is_err());
    assert!(
        !OidcKeys::parse(good.as_bytes())
            .expect("keys")
            .has("shared")
    );
}

/// Writes the signer's configuration with these keys.
fn configure(dir: &Path, keys: &str) {
    let text = format!(
        "[[oidc]]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n{keys}\n\
         claims = {{ repository = \"example/app\", ref = \"refs/heads/main\" }}\n\
         name = \"ci-app\"\nou = \"ci\"\nlife = \"2h\"\n"
    );
    fs::write(dir.join("signer.toml"), text).expect("write the configuration");
}

fn join_as(home: &Path, pin: &str, token: &str) -> Output {
    fed(home, &["join", pin, "--oidc-token-file", "-"], token)
}

/// Waits for the reason of a refusal in the log, where alone it is.
#[track_caller]
fn refused_because(signer: &SignerProcess, why: &str) {
    signer.log.after(0, |line| {
        line["message"] == "A token was refused" && line["error"] == why
    });
}

fn pin(dir: &Path) -> String {
    let output = run(dir, &["invite", "--pin"]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout)
        .expect("a pin")
        .trim()
        .to_owned()
}

#[test]
fn a_job_joins_with_its_token_once_and_for_as_long_as_the_rule_says() {
    let issuer = FakeIssuer::new(ISSUER);
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    fs::write(dir.path().join("keys.json"), issuer.keys()).expect("write the keys");
    configure(dir.path(), "keys = \"keys.json\"");
    let signer = SignerProcess::start(dir.path(), &["--config", "signer.toml"]);
    let pin = pin(dir.path());
    let token = issuer.sign("rsa", &issuer.claims(AUDIENCE, "job-1"));
    let output = join_as(home.path(), &pin, &token);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains(&token));
    let own = joined(home.path(), "localhost");
    let certificate = inspect(&own.join("docker/cert.pem"));
    assert_eq!(certificate.subject, "OU=ci, CN=ci-app");
    assert_eq!(certificate.validity().life(), time::Duration::hours(2));
    // Good once, also after a restart of the signer.
    let again = join_as(home.path(), &pin, &token);
    assert!(said(&again).contains("401"), "{}", said(&again));
    refused_because(&signer, "it was used before");
    drop(signer);
    let signer = SignerProcess::start(dir.path(), &["--config", "signer.toml"]);
    let pin = self::pin(dir.path());
    let again = join_as(home.path(), &pin, &token);
    assert!(said(&again).contains("401"), "{}", said(&again));
    // The certificate does not renew.
    let renewed = run(
        home.path(),
        &["renew", "--force", own.to_str().expect("text")],
    );
    assert!(!renewed.status.success(), "{}", said(&renewed));
    // Others get the one answer, and the log has the reason.
    let mut claims = issuer.claims(AUDIENCE, "job-2");
    claims["repository"] = json!("mallory/app");
    let output = join_as(home.path(), &pin, &issuer.sign("ec", &claims));
    assert!(
        said(&output).contains("the token is not accepted"),
        "{}",
        said(&output)
    );
    assert!(!said(&output).contains("claims of"), "{}", said(&output));
    refused_because(&signer, "no rule has its claims");
    // And the next honest job is let in on the same machine.
    let token = issuer.sign("ec", &issuer.claims(AUDIENCE, "job-3"));
    let output = join_as(home.path(), &pin, &token);
    assert!(output.status.success(), "{}", said(&output));
    let leaked = signer
        .log
        .matching(0, |line| line.to_string().contains(&token));
    assert!(leaked.is_empty(), "{leaked:?}");
}

#[test]
fn a_gate_that_starts_its_signer_gives_it_the_rules_for_tokens_and_the_file_for_metrics() {
    let issuer = FakeIssuer::new(ISSUER);
    let (dir, home) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a home"),
    );
    let keys = dir.path().join("keys.json");
    fs::write(&keys, issuer.keys()).expect("write the keys");
    configure(dir.path(), &format!("keys = {keys:?}"));
    let path = |name: &str| dir.path().join(name).display().to_string();
    let options = [
        ["--auto-certs", &path("certs")],
        ["--enroll", "tcp://127.0.0.1:0"],
        ["--enroll-config", &path("signer.toml")],
        ["--enroll-metrics-file", &path("signer.prom")],
        ["--san", "localhost"],
    ];
    let _gate = crate::fleet::gate(&options.concat(), |_| {});
    let claims = issuer.claims(AUDIENCE, "job-1");
    let output = join_as(home.path(), &pin(dir.path()), &issuer.sign("rsa", &claims));
    assert!(output.status.success(), "{}", said(&output));
    let metrics = testkit::eventually(|| {
        fs::read_to_string(path("signer.prom")).map_err(|it| it.to_string())
    });
    let gauge = "# TYPE dockgate_signer_invitations_open gauge";
    assert!(metrics.contains(gauge), "{metrics}");
}

#[test]
fn a_signer_without_rules_takes_no_token_and_a_gate_gets_none_by_token() {
    let issuer = FakeIssuer::new(ISSUER);
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let token = issuer.sign("rsa", &issuer.claims(AUDIENCE, "job-1"));
    let output = join_as(home.path(), &pin(dir.path()), &token);
    assert!(said(&output).contains("401"), "{}", said(&output));
    let output = run(
        home.path(),
        &[
            "join",
            &pin(dir.path()),
            "--server",
            "--oidc-token-file",
            "-",
        ],
    );
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn no_token_leaves_before_the_signer_has_proved_to_have_the_pinned_ca() {
    let issuer = FakeIssuer::new(ISSUER);
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    fs::write(dir.path().join("keys.json"), issuer.keys()).expect("write the keys");
    configure(dir.path(), "keys = \"keys.json\"");
    let _signer = SignerProcess::start(dir.path(), &["--config", "signer.toml"]);
    let good = pin(dir.path());
    let mut other = SignerPin::parse(&good).expect("a pin");
    other.ca_sha256 = [7; 32];
    let token = issuer.sign("rsa", &issuer.claims(AUDIENCE, "job-1"));
    let output = join_as(home.path(), &other.to_string(), &token);
    assert!(
        said(&output).contains("nothing secret was sent"),
        "{}",
        said(&output)
    );
    let output = join_as(home.path(), &good, &token);
    assert!(
        output.status.success(),
        "the token was not used: {}",
        said(&output)
    );
}

/// Serves the keys over https to everybody who asks, with this status; how often it was asked.
fn keys_over_https(
    dir: &Path,
    keys: String,
    status: &'static str,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let certs = dir.join("certs");
    let chain = CertificateDer::pem_file_iter(certs.join("server-cert.pem")).expect("PEM");
    let chain = chain.map(|der| der.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_file(certs.join("server-key.pem")).expect("a key");
    let config = open_to_all(chain, key);
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("an address");
    let count = asked.clone();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let server = ServerConnection::new(config.clone()).expect("a server");
            let mut stream = StreamOwned::new(server, socket.expect("accept"));
            let mut head = Vec::new();
            let mut byte = [0; 1];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            if head.starts_with(b"GET /keys HTTP/1.1\r\n") {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: /keys\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{keys}",
                keys.len()
            );
            // A peer that has left does not need it.
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (addr, asked)
}

#[test]
fn keys_come_over_https_and_a_flood_of_unknown_keys_asks_for_them_once() {
    let issuer = FakeIssuer::new(ISSUER);
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let (addr, asked) = keys_over_https(dir.path(), issuer.keys(), "200 OK");
    let keys = format!(
        "keys = \"https://localhost:{}/keys\"\nkeys-ca = \"certs/ca.pem\"",
        addr.port()
    );
    configure(dir.path(), &keys);
    let signer = SignerProcess::start(dir.path(), &["--config", "signer.toml"]);
    let pin = pin(dir.path());
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody has asked yet");
    let started = std::time::Instant::now();
    let claims = issuer.claims(AUDIENCE, "flood").to_string();
    for n in 0..8 {
        let header = format!(r#"{{"alg":"RS256","kid":"unknown-{n}"}}"#);
        let token = issuer.sign_as("rsa", &header, &claims);
        let output = join_as(home.path(), &pin, &token);
        assert!(said(&output).contains("401"), "{}", said(&output));
    }
    let token = issuer.sign("rsa", &issuer.claims(AUDIENCE, "job-1"));
    let output = join_as(home.path(), &pin, &token);
    assert!(output.status.success(), "{}", said(&output));
    // Once, and once more for each ten seconds that a slow machine takes.
    let most = 1 + usize::try_from(started.elapsed().as_secs() / 10).expect("a count");
    let asked = asked.load(Ordering::SeqCst);
    assert!((1..=most).contains(&asked), "{asked} of {most}");
    refused_because(&signer, "its issuer has no key of this `kid`");
}

#[test]
fn keys_that_cannot_be_had_let_nobody_in_and_no_redirect_is_followed() {
    let issuer = FakeIssuer::new(ISSUER);
    for (status, ca) in [("302 Found", "certs/ca.pem"), ("200 OK", "other.pem")] {
        let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
        let other = directory();
        fs::copy(
            other.path().join("certs/ca.pem"),
            dir.path().join("other.pem"),
        )
        .expect("copy");
        let (addr, asked) = keys_over_https(dir.path(), issuer.keys(), status);
        let keys = format!(
            "keys = \"https://localhost:{}/keys\"\nkeys-ca = \"{ca}\"",
            addr.port()
        );
        configure(dir.path(), &keys);
        let signer = SignerProcess::start(dir.path(), &["--config", "signer.toml"]);
        let token = issuer.sign("rsa", &issuer.claims(AUDIENCE, "job-1"));
        let output = join_as(home.path(), &pin(dir.path()), &token);
        assert!(
            said(&output).contains("503"),
            "{status} {ca}: {}",
            said(&output)
        );
        signer.log.said(0, "The keys of an issuer cannot be read");
        assert!(asked.load(Ordering::SeqCst) <= 1, "{status} {ca}");
    }
}

#[test]
fn a_configuration_that_lets_in_too_many_is_refused_with_its_cure() {
    let issuer = FakeIssuer::new(ISSUER);
    let dir = directory();
    fs::write(dir.path().join("keys.json"), issuer.keys()).expect("write the keys");
    let table = |changed: (&str, &str)| {
        let good = [
            ("issuer", "\"https://issuer.example\""),
            ("audience", "\"dockgate\""),
            ("keys", "\"keys.json\""),
            ("claims", "{ repository = \"example/app\" }"),
            ("name", "\"ci-app\""),
            ("life", "\"1h\""),
        ];
        let lines = good.into_iter().chain([changed]).map(|(key, value)| {
            let value = if key == changed.0 { changed.1 } else { value };
            (key, value)
        });
        let lines: std::collections::BTreeMap<_, _> = lines.filter(|it| !it.1.is_empty()).collect();
        let lines = lines
            .into_iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        format!("[[oidc]]\n{}", lines.collect::<String>())
    };
    for (changed, said_of_it) in [
        (("claims", "{}"), "every job of the issuer would match"),
        (("claims", ""), "missing field `claims`"),
        (("claims", "{ repository = true }"), "expected a string"),
        (("claims", "{ iss = \"x\" }"), "always checked"),
        (
            ("issuer", "\"http://issuer.example\""),
            "not an https address",
        ),
        (("audience", "\"\""), "audience is empty"),
        (("keys", "\"http://issuer.example/keys\""), "is not https"),
        (("keys", "\"absent.json\""), "absent.json"),
        (("keys", "\"certs/ca.pem\""), "JWK Set"),
        (("name", "\"server\""), "a word of dockgate's own"),
        (("life", "\"0s\""), "is not a time"),
        (
            ("jku", "\"https://mallory.example\""),
            "unknown field `jku`",
        ),
    ] {
        fs::write(dir.path().join("signer.toml"), table(changed)).expect("write it");
        let text = refused(
            dir.path(),
            &[
                "signer",
                "--listen",
                "tcp://127.0.0.1:0",
                "--config",
                "signer.toml",
            ],
        );
        assert!(text.contains(said_of_it), "{changed:?}: {text}");
    }
}

/// The text between the fences of one language on a page, in order.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    let parts = page.split(fence.as_str()).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap_or_default())
        .collect()
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn the_page_about_ci_without_keys_works_as_it_is_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tasks/ci-without-keys.md");
    let page = fs::read_to_string(page).expect("the page");
    let [rules] = blocks(&page, "toml")[..] else {
        panic!("one configuration");
    };
    let read: toml::Table = rules.parse().expect("TOML");
    let tables = read["oidc"].as_array().expect("tables");
    let workflows: Vec<Value> = blocks(&page, "yaml")
        .into_iter()
        .map(|text| serde_yaml_ng::from_str(text).expect("YAML"))
        .collect();
    let [github, gitlab] = &workflows[..] else {
        panic!("two workflows");
    };
    // GitHub hands out tokens only to jobs that may write them, and for the audience that is asked for.
    assert_eq!(github["permissions"]["id-token"], "write");
    let step = github["jobs"]["deploy"]["steps"][1]["run"]
        .as_str()
        .expect("a step");
    let audience = tables[0]["audience"].as_str().expect("an audience");
    assert!(step.contains(&format!("&audience={audience}\"")), "{step}");
    assert!(
        step.contains("dockgate join \"$DOCKGATE_PIN\" --oidc-token-file -"),
        "{step}"
    );
    let audience = gitlab["deploy"]["id_tokens"]["DOCKGATE_TOKEN"]["aud"].as_str();
    let audience = audience.expect("an audience");
    assert_eq!(tables[1]["audience"].as_str(), Some(audience));
    // The signer starts with the configuration as it is: it asks for keys with the first token only.
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    fs::write(dir.path().join("signer.toml"), rules).expect("write it");
    drop(SignerProcess::start(
        dir.path(),
        &["--config", "signer.toml"],
    ));
    // And a token as GitLab writes it is good for it, by the line of the page.
    let issuer = FakeIssuer::new(tables[1]["issuer"].as_str().expect("an issuer"));
    fs::write(dir.path().join("keys.json"), issuer.keys()).expect("write the keys");
    let address = tables[1]["keys"].as_str().expect("keys");
    let local = rules.replace(address, "keys.json");
    fs::write(dir.path().join("signer.toml"), local).expect("write it");
    let _signer = SignerProcess::start(dir.path(), &["--config", "signer.toml"]);
    let mut claims = issuer.claims(audience, "job-1");
    for (name, value) in tables[1]["claims"].as_table().expect("claims") {
        claims[name.as_str()] = json!(value.as_str().expect("text"));
    }
    let line = gitlab["deploy"]["script"][0].as_str().expect("a line");
    let program = testkit::programs::dockgate();
    let program = Path::new(program.get_program())
        .parent()
        .expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = std::process::Command::new("sh")
        .args(["-ec", line])
        .env("PATH", format!("{}:{path}", program.display()))
        .env("HOME", home.path())
        .env_remove("DOCKER_CONFIG")
        .env("DOCKGATE_PIN", pin(dir.path()))
        .env("DOCKGATE_TOKEN", issuer.sign("rsa", &claims))
        .output()
        .expect("start sh");
    assert!(output.status.success(), "{}", said(&output));
    let certificate = inspect(&joined(home.path(), "localhost").join("docker/cert.pem"));
    assert_eq!(certificate.subject, "OU=builders, CN=ci-app-gitlab");
}
