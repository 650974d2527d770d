//! Every rule of RFC 5280 §6.1, held against `openssl verify -x509_strict -purpose sslclient`.
//!
//! What OpenSSL refuses the gate refuses too. Where the gate is stricter the case says so, and docs/differences.md names
//! it. Go's verifier (dockerd's) asks of a chain: dates, basic constraints, path length (`MaxPathLen`), keyCertSign of
//! every parent (`CheckSignatureFrom`), unhandled critical extensions of every certificate, name constraints on
//! alternative names, and extended key usages from the root down; its column is what those rules say.

mod keys;
mod names;

use std::path::Path;
use std::process::Command;

use rcgen::CertificateParams;

use super::super::{DenyList, RejectionReason, TrustStore};
use super::lists::wrap;
use super::support::{
    Der, NOON, TestCa, algorithms, ask, authority, authority_of, ca_params, extension, leaf_of,
    leaf_params, store,
};

/// One chain, and what three verifiers say of it.
struct RuleCase {
    name: &'static str,
    root: TestCa,
    above: Vec<TestCa>,
    leaf: Der,
    gate: Result<(), (RejectionReason, &'static str)>,
    openssl: bool,
    go: bool,
}

const END: u64 = NOON + 900;

fn root() -> CertificateParams {
    ca_params("root", NOON + 1000)
}

fn middle() -> CertificateParams {
    ca_params("middle", NOON + 1000)
}

fn admin() -> CertificateParams {
    leaf_params("admin", END)
}

fn with(
    mut params: CertificateParams,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    change(&mut params);
    params
}

/// A chain of a root, any number of CAs below it, and a leaf.
fn chain(
    root: CertificateParams,
    between: Vec<CertificateParams>,
    leaf: &CertificateParams,
) -> (TestCa, Vec<TestCa>, Der) {
    let root = authority_of(root, None);
    let mut above: Vec<TestCa> = Vec::new();
    for params in between {
        let by = above.last().unwrap_or(&root);
        let next = authority_of(params, Some(by));
        above.push(next);
    }
    let leaf = leaf_of(leaf, above.last().unwrap_or(&root));
    above.reverse();
    (root, above, leaf)
}

fn case(
    name: &'static str,
    (root, above, leaf): (TestCa, Vec<TestCa>, Der),
    gate: Result<(), (RejectionReason, &'static str)>,
    openssl: bool,
    go: bool,
) -> RuleCase {
    RuleCase {
        name,
        root,
        above,
        leaf,
        gate,
        openssl,
        go,
    }
}

fn invalid(words: &'static str) -> Result<(), (RejectionReason, &'static str)> {
    Err((RejectionReason::Invalid, words))
}

#[test]
fn what_openssl_refuses_is_refused_with_its_rule_and_nothing_else() {
    let mut cases = keys::usages();
    cases.extend(keys::constraints());
    cases.extend(names::extensions());
    cases.extend(names::names());
    let directory = tempfile::tempdir().expect("create a temporary directory");
    let mut wrong = Vec::new();
    for case in &cases {
        let above: Vec<_> = case.above.iter().collect();
        let said = ask(&store(&[&case.root], vec![]), &case.leaf, &above, NOON);
        match (&said, case.gate) {
            (Ok(_), Ok(())) => {}
            (Err(refused), Err((reason, words)))
                if refused.reason == reason && refused.why().contains(words) => {}
            _ => wrong.push(format!("{}: the gate says {said:?}", case.name)),
        }
        if said.is_ok() && !(case.openssl && case.go) {
            wrong.push(format!("{}: the gate is laxer", case.name));
        }
        if let Some((accepts, text)) = openssl(directory.path(), case)
            && accepts != case.openssl
        {
            wrong.push(format!("{}: openssl says {text}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What openssl says; nothing where it is not installed, which is a failure where the engine suite may not be left out.
fn openssl(directory: &Path, case: &RuleCase) -> Option<(bool, String)> {
    let pem = |ders: &[&Der]| {
        let texts = ders
            .iter()
            .map(|der| crate::pem::encode("CERTIFICATE", der));
        texts.fold(String::new(), |all, text| all + &text)
    };
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let above: Vec<_> = case.above.iter().map(|ca| &ca.der).collect();
    let ca = write("ca.pem", pem(&[&case.root.der]));
    let untrusted = write("above.pem", pem(&above));
    let leaf = write("leaf.pem", pem(&[&case.leaf]));
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-purpose", "sslclient", "-attime"]);
    command.arg(NOON.to_string()).arg("-CAfile").arg(ca);
    if !above.is_empty() {
        command.arg("-untrusted").arg(untrusted);
    }
    match command.arg(leaf).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            ))
        }
        Err(error) => {
            let required = std::env::var_os("DOCKGATE_REQUIRE_ENGINE").is_some();
            assert!(!required, "openssl does not run: {error}");
            let line = b"NOT RUN: openssl is not there, so its judgement is missing here\n";
            static SAID: std::sync::Once = std::sync::Once::new();
            SAID.call_once(|| _ = std::io::Write::write_all(&mut std::io::stderr(), line));
            None
        }
    }
}

#[test]
fn a_certificate_of_version_one_is_refused_with_the_remedy() {
    use rcgen::SigningKey;
    let root = authority("root", NOON + 1000, None);
    let whole = leaf_of(&admin(), &root);
    let element = |der| super::super::der::element(der).expect("an element");
    let outer = element(&whole);
    let tbs = element(outer.contents);
    let mut rest = tbs.contents;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let part = element(rest);
        // Neither the version nor the extensions.
        if !matches!(rest[0], 0xa0 | 0xa3) {
            parts.extend_from_slice(part.whole);
        }
        rest = part.rest;
    }
    let tbs_der = wrap(0x30, &parts);
    let signature = root.issuer.key().sign(&tbs_der).expect("signed");
    let bits = wrap(0x03, &[&[0], signature.as_slice()].concat());
    let algorithm = element(tbs.rest);
    let old: Der = wrap(0x30, &[tbs_der.as_slice(), algorithm.whole, &bits].concat()).into();
    let refused = ask(&store(&[&root], vec![]), &old, &[], NOON).expect_err("version 1");
    assert_eq!(refused.reason, RejectionReason::Invalid);
    let why = refused.why();
    assert!(
        why.contains("version 1") && why.contains("-extfile"),
        "{why}"
    );
    assert_eq!(refused.identity.expect("readable").common_names, ["admin"]);
}

#[test]
fn a_root_with_an_extension_twice_is_no_trust_anchor() {
    let twice = extension(&[2, 5, 29, 15], &[3, 2, 5, 0xa0], true);
    let root = authority_of(with(root(), |it| it.custom_extensions.push(twice)), None);
    let cas = std::slice::from_ref(&root.der);
    let store = TrustStore::new(cas, vec![], DenyList::default(), algorithms());
    assert!(store.expect_err("damaged").contains("CA certificate 1"));
}
