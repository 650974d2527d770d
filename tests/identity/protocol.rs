//! The signer's answers on the wire: EST as RFC 7030 and RFC 8951 have it, statuses, bounds.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use enroll::{Token, basic, message};
use pki::key::{KeyType, PrivateKey};
use pki::pkcs7;
use pki::request::SigningRequest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use testkit::client::HttpAnswer;
use testkit::pki::client_config;
use testkit::{Credential, TlsClient};

use crate::support::*;

/// A signer and a client that trusts its CA.
struct Bench {
    dir: tempfile::TempDir,
    signer: SignerProcess,
}

impl Bench {
    fn new() -> Self {
        let dir = directory();
        let signer = SignerProcess::start(dir.path(), &[]);
        Self { dir, signer }
    }

    fn client(&self, who: Option<&Credential>) -> TlsClient {
        let ca =
            CertificateDer::from_pem_file(self.dir.path().join("certs/ca.pem")).expect("the CA");
        let config = client_config(&[ca], who, rustls::DEFAULT_VERSIONS);
        TlsClient::connect(self.signer.addr, config).expect("connect")
    }

    fn invite(&self, name: &str) -> Token {
        Token::parse(&invite(self.dir.path(), &[name])).expect("a token")
    }

    fn post(
        &self,
        who: Option<&Credential>,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> HttpAnswer {
        let mut client = self.client(who);
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        client.send(format!("{head}\r\n{body}"));
        client.answer()
    }

    fn enrol(&self, token: &Token, body: &str) -> HttpAnswer {
        let field = basic::write(&token.id, &token.secret);
        self.post(None, ENROL, &[PKCS10, ("Authorization", &field)], body)
    }

    fn renew(&self, who: &Credential, body: &str) -> HttpAnswer {
        self.post(Some(who), RENEW, &[PKCS10], body)
    }

    /// A certificate by invitation.
    fn member(&self, name: &str) -> Credential {
        let key = key();
        let answer = self.enrol(&self.invite(name), &body(&key));
        credential(name, &key, &answer)
    }
}

pub(crate) const ENROL: &str = "/.well-known/est/simpleenroll";
pub(crate) const RENEW: &str = "/.well-known/est/simplereenroll";
const PKCS10: (&str, &str) = ("Content-Type", "application/pkcs10");

/// Asks for a certificate; its fingerprint if one came. A signer that is killed meanwhile gives none.
pub(crate) fn enrolled(addr: SocketAddr, ca: &Path, token: &Token) -> Option<String> {
    let answer = enrolled_with(addr, ca, token, &key())?;
    let certificates = pkcs7::decode(&message::decode(&answer.body)?)?;
    (answer.status == 200).then(|| pki::fingerprint(&certificates[0]))
}

/// The same with a key; the answer.
pub(crate) fn enrolled_with(
    addr: SocketAddr,
    ca: &Path,
    token: &Token,
    key: &PrivateKey,
) -> Option<HttpAnswer> {
    let ca = CertificateDer::from_pem_file(ca).expect("the CA");
    let config = client_config(&[ca], None, rustls::DEFAULT_VERSIONS);
    let mut client = TlsClient::connect(addr, config).ok()?;
    let (field, body) = (basic::write(&token.id, &token.secret), body(key));
    let head = format!(
        "POST {ENROL} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}: {}\r\nAuthorization: {}\r\n\r\n",
        body.len(),
        PKCS10.0,
        PKCS10.1,
        *field,
    );
    client.try_send(format!("{head}{body}")).ok()?;
    client.try_answer().ok()
}

pub(crate) fn key() -> PrivateKey {
    PrivateKey::generate(KeyType::P256).expect("a key")
}

pub(crate) fn body(key: &PrivateKey) -> String {
    message::encode(&SigningRequest::make(key).expect("a request"))
}

/// The one certificate in an answer, with its key.
#[track_caller]
pub(crate) fn credential(name: &str, key: &PrivateKey, answer: &HttpAnswer) -> Credential {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("application/pkcs7-mime; smime-type=certs-only")
    );
    let der = message::decode(&answer.body)
        .and_then(|der| pkcs7::decode(&der))
        .expect("an envelope");
    assert_eq!(der.len(), 1, "the issued certificate alone");
    let pkcs8 = key.to_pkcs8().expect("PKCS#8");
    Credential {
        name: name.to_owned(),
        chain: vec![CertificateDer::from(der[0].clone())],
        key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.to_vec())),
    }
}

#[test]
fn what_anybody_may_ask_is_answered_as_the_standard_has_it() {
    let bench = Bench::new();
    let mut client = bench.client(None);
    let cas = client.ask("GET", "/.well-known/est/cacerts");
    assert_eq!(cas.status, 200);
    let der = message::decode(&cas.body)
        .and_then(|der| pkcs7::decode(&der))
        .expect("an envelope");
    let ca = CertificateDer::from_pem_file(bench.dir.path().join("certs/ca.pem")).expect("the CA");
    assert_eq!(der, [ca.to_vec()]);
    assert_eq!(client.ask("GET", "/.well-known/est/csrattrs").status, 204);
    let list = client.ask("GET", "/crl");
    assert_eq!(list.header("content-type"), Some("application/pkix-crl"));
    let list = pki::RevocationList::read(&list.body).expect("a list");
    let days = (list.next_update - list.this_update).whole_days();
    assert_eq!(days, 7);
    for (method, target, status) in [
        ("GET", "/.well-known/est/fullcmc", 404),
        ("POST", "/.well-known/est/serverkeygen", 404),
        ("GET", "/.well-known/est/label/cacerts", 404),
        ("GET", "/", 404),
        ("GET", ENROL, 405),
        ("PUT", RENEW, 405),
        ("POST", "/.well-known/est/cacerts", 405),
        ("DELETE", "/crl", 405),
        ("GET", "/.well-known/dockgate/trust", 403),
    ] {
        let answer = bench.client(None).ask(method, target);
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(
            answer.header("allow").is_some(),
            status == 405,
            "{method} {target}"
        );
    }
}

#[test]
fn requests_that_cannot_be_used_have_their_status_and_burn_no_use() {
    let bench = Bench::new();
    let token = bench.invite("alice");
    let field = basic::write(&token.id, &token.secret);
    let field = ("Authorization", field.as_str());
    let good = body(&key());
    let answer = bench.post(None, ENROL, &[PKCS10], &good);
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .expect("a challenge")
            .starts_with("Basic ")
    );
    let answer = bench.post(None, ENROL, &[("Content-Type", "text/plain"), field], &good);
    assert_eq!(answer.status, 415);
    let answer = bench.post(None, ENROL, &[field], &good);
    assert_eq!(answer.status, 415);
    let answer = bench.post(None, ENROL, &[PKCS10, field], &"A".repeat(70_000));
    assert_eq!(answer.status, 413);
    let foreign = {
        let mut der = SigningRequest::make(&key()).expect("a request");
        let last = der.len() - 5;
        der[last] ^= 1;
        message::encode(&der)
    };
    for bad in [
        "",
        "AAAA",
        "-----BEGIN CERTIFICATE REQUEST-----",
        &good[..100],
        &foreign,
    ] {
        let answer = bench.post(None, ENROL, &[PKCS10, field], bad);
        assert_eq!(answer.status, 400, "{bad:?}: {}", answer.text());
    }
    // Whatever Content-Transfer-Encoding says, the body is base64 (RFC 8951).
    let transfer = ("Content-Transfer-Encoding", "binary");
    let answer = bench.post(None, ENROL, &[PKCS10, field, transfer], &good);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        bench.post(None, ENROL, &[PKCS10, field], &good).status,
        401,
        "used"
    );
}

#[test]
fn a_key_that_is_weak_or_of_another_kind_is_refused() {
    let Some(_) = testkit::programs::external("openssl", &["version"]) else {
        return;
    };
    let bench = Bench::new();
    let token = bench.invite("alice");
    let path = |name: &str| bench.dir.path().join(name).display().to_string();
    for (kind, digest) in [
        (&["-newkey", "rsa:1024"][..], "-sha256"),
        (
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
            "-sha512",
        ),
        (
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
            "-sha256",
        ),
        (&["-newkey", "rsa:2048"], "-sha1"),
    ] {
        let (csr, secret) = (path("weak.der"), path("weak.key"));
        let args = [
            &[
                "req", "-new", "-nodes", "-subj", "/CN=x", "-outform", "DER", "-out", &csr,
                "-keyout", &secret, digest,
            ],
            kind,
        ]
        .concat();
        let made = testkit::programs::external("openssl", &args).expect("openssl");
        assert!(made.status.success(), "{}", testkit::programs::said(&made));
        let der = std::fs::read(&csr).expect("the request");
        let answer = bench.enrol(&token, &message::encode(&der));
        assert_eq!(answer.status, 400, "{kind:?} {digest}: {}", answer.text());
    }
    let key = key();
    credential("alice", &key, &bench.enrol(&token, &body(&key)));
}

#[test]
fn a_certificate_opens_no_enrolment_a_secret_no_renewal_and_strangers_nothing() {
    let bench = Bench::new();
    let alice = bench.member("alice");
    let answer = bench.post(Some(&alice), ENROL, &[PKCS10], &body(&key()));
    assert_eq!(answer.status, 401);
    let token = bench.invite("bob");
    let field = basic::write(&token.id, &token.secret);
    let answer = bench.post(
        None,
        RENEW,
        &[PKCS10, ("Authorization", &field)],
        &body(&key()),
    );
    assert_eq!(answer.status, 403);
    // By the same CA, but not by invitation; and by another CA with the same name in it.
    done(bench.dir.path(), &["certs", "client", "tar"]);
    let client = bench.dir.path().join("certs/clients/tar");
    let stranger = |dir: &Path| Credential {
        name: "tar".into(),
        chain: vec![CertificateDer::from_pem_file(dir.join("cert.pem")).expect("a certificate")],
        key: PrivateKeyDer::from_pem_file(dir.join("key.pem")).expect("a key"),
    };
    let other = directory();
    done(other.path(), &["certs", "client", "alice"]);
    for who in [
        stranger(&client),
        stranger(&other.path().join("certs/clients/alice")),
    ] {
        assert_eq!(bench.renew(&who, &body(&key())).status, 403);
    }
    let next = key();
    let renewed = credential("alice", &next, &bench.renew(&alice, &body(&next)));
    let again = credential("alice", &next, &bench.renew(&alice, &body(&next)));
    assert_eq!(renewed.chain, again.chain, "a lost answer is given again");
    let reused = bench.renew(&renewed, &body(&next));
    assert_eq!(reused.status, 400, "the same key: {}", reused.text());
    // A person's certificate is not a gate's.
    let mut client = bench.client(Some(&renewed));
    assert_eq!(client.ask("GET", "/.well-known/dockgate/trust").status, 403);
}

#[test]
fn every_wrong_secret_gets_one_answer_and_a_flood_of_them_hinders_nobody() {
    let bench = Bench::new();
    let (used, open) = (bench.invite("used"), bench.invite("open"));
    let key_used = key();
    credential("used", &key_used, &bench.enrol(&used, &body(&key_used)));
    let taken = bench.invite("taken");
    done(bench.dir.path(), &["invite", "revoke", &taken.id]);
    let wrong = Token {
        secret: used.secret.clone(),
        ..open.clone()
    };
    let unknown = Token {
        id: "AAAAAAAAAAA".into(),
        ..open.clone()
    };
    let said = |token: &Token| {
        let answer = bench.enrol(token, &body(&key()));
        let head: Vec<_> = answer
            .head
            .lines()
            .filter(|line| !line.starts_with("date"))
            .map(str::to_owned)
            .collect();
        (answer.status, head, answer.body)
    };
    let first = said(&wrong);
    assert_eq!(first.0, 401);
    for token in [&unknown, &used, &taken] {
        assert_eq!(said(token), first);
    }
    let body = body(&key());
    let mut limited = 0;
    for _ in 0..200 {
        limited += usize::from(bench.enrol(&wrong, &body).status == 429);
    }
    assert!(limited > 100, "{limited} of 200 were limited");
    // From the very address that is limited, a right secret gets in.
    let honest = key();
    credential("open", &honest, &bench.enrol(&open, &self::body(&honest)));
}

#[test]
fn silent_peers_are_let_go_and_idle_ones_do_not_keep_others_out() {
    let bench = Bench::new();
    let start = Instant::now();
    let silent: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(bench.signer.addr).expect("connect"))
        .collect();
    let token = bench.invite("alice");
    let key = key();
    credential("alice", &key, &bench.enrol(&token, &body(&key)));
    for mut socket in silent {
        socket
            .set_read_timeout(Some(testkit::DEADLINE))
            .expect("a deadline");
        let ended = socket.read(&mut [0; 1]);
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn many_join_at_once_and_each_has_its_own_certificate() {
    let bench = Arc::new(Bench::new());
    let token = Token::parse(&invite(bench.dir.path(), &["ci", "--uses", "40"])).expect("a token");
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (bench, token) = (bench.clone(), token.clone());
            std::thread::spawn(move || {
                let each = (0..6).map(|_| {
                    let key = key();
                    bench.enrol(&token, &body(&key)).status
                });
                each.collect::<Vec<_>>()
            })
        })
        .collect();
    let answers: Vec<_> = workers
        .into_iter()
        .flat_map(|worker| worker.join().expect("a worker"))
        .collect();
    let count = |status| answers.iter().filter(|it| **it == status).count();
    assert_eq!((count(200), count(401)), (40, 8), "{answers:?}");
    let index = index(bench.dir.path());
    assert_eq!(index.issued().filter(|it| it.name == "ci").count(), 40);
}
