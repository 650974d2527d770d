//! Every rule of RFC 5280 §6.1, held against `openssl verify -x509_strict -purpose sslclient`.
//!
//! What OpenSSL refuses the gate refuses too. Where the gate is stricter the case says so, and docs/differences.md names
//! it. Go's verifier (dockerd's) asks of a chain: dates, basic constraints, path length (`MaxPathLen`), keyCertSign of
//! every parent (`CheckSignatureFrom`), unhandled critical extensions of every certificate, name constraints on
//! alternative names, and extended key usages from the root down; its column is what those rules say.

use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, SanType,
};

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

#[expect(clippy::too_many_lines, reason = "scenario")]
fn usages() -> Vec<RuleCase> {
    let digital =
        |it: &mut CertificateParams| it.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let eku = |usage: ExtendedKeyUsagePurpose| {
        move |it: &mut CertificateParams| it.extended_key_usages = vec![usage]
    };
    let wrong = |words| Err((RejectionReason::WrongUsage, words));
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    vec![
        case(
            "a leaf of a root",
            chain(root(), vec![], &admin()),
            Ok(()),
            true,
            true,
        ),
        case(
            "a leaf of an intermediate",
            chain(root(), vec![middle()], &admin()),
            Ok(()),
            true,
            true,
        ),
        case(
            "a client's certificate with CA:TRUE issues one",
            chain(
                root(),
                vec![with(ca_params("bob", NOON + 1000), |it| {
                    digital(it);
                    it.extended_key_usages = vec![ClientAuth];
                })],
                &admin(),
            ),
            invalid("keyUsage of CA \"CN=bob\" lacks keyCertSign"),
            false,
            false,
        ),
        case(
            "an intermediate that may sign lists only",
            chain(
                root(),
                vec![with(middle(), |it| {
                    it.key_usages = vec![KeyUsagePurpose::CrlSign];
                })],
                &admin(),
            ),
            invalid("lacks keyCertSign"),
            false,
            false,
        ),
        case(
            "a root without keyCertSign",
            chain(with(root(), digital), vec![], &admin()),
            invalid("keyUsage of CA \"CN=root\" lacks keyCertSign"),
            false,
            false,
        ),
        case(
            "a root without keyCertSign above an intermediate",
            chain(with(root(), digital), vec![middle()], &admin()),
            invalid("keyUsage of CA \"CN=root\" lacks keyCertSign"),
            false,
            false,
        ),
        case(
            "a root for servers only",
            chain(with(root(), eku(ServerAuth)), vec![], &admin()),
            wrong("CN=root"),
            false,
            false,
        ),
        case(
            "a root for clients",
            chain(with(root(), eku(ClientAuth)), vec![], &admin()),
            Ok(()),
            true,
            true,
        ),
        // Stricter than Go, as for a leaf.
        case(
            "a root for any use",
            chain(with(root(), eku(Any)), vec![], &admin()),
            wrong("CN=root"),
            false,
            true,
        ),
        case(
            "an intermediate for servers only",
            chain(root(), vec![with(middle(), eku(ServerAuth))], &admin()),
            wrong("CN=middle"),
            false,
            false,
        ),
        case(
            "a leaf for servers only",
            chain(root(), vec![], &with(admin(), eku(ServerAuth))),
            wrong("clientAuth"),
            false,
            false,
        ),
        // Stricter: "any use" was not given to let somebody in as root on a host.
        case(
            "a leaf for any use",
            chain(root(), vec![], &with(admin(), eku(Any))),
            wrong("anyExtendedKeyUsage"),
            false,
            true,
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn constraints() -> Vec<RuleCase> {
    let length = |length| {
        move |it: &mut CertificateParams| {
            it.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        }
    };
    let low = || ca_params("low", NOON + 1000);
    vec![
        case(
            "an intermediate that is no CA",
            chain(
                root(),
                vec![with(middle(), |it| it.is_ca = IsCa::ExplicitNoCa)],
                &admin(),
            ),
            invalid("\"CN=middle\" is not a CA"),
            false,
            false,
        ),
        case(
            "a root with path length 0 and its leaf",
            chain(with(root(), length(0)), vec![], &admin()),
            Ok(()),
            true,
            true,
        ),
        case(
            "a root with path length 0 above an intermediate",
            chain(with(root(), length(0)), vec![middle()], &admin()),
            invalid("CA \"CN=root\" allows 0 CAs below it (pathLenConstraint), and there are 1"),
            false,
            false,
        ),
        case(
            "a root with path length 1",
            chain(with(root(), length(1)), vec![middle()], &admin()),
            Ok(()),
            true,
            true,
        ),
        case(
            "a root with path length 1 above two",
            chain(with(root(), length(1)), vec![middle(), low()], &admin()),
            invalid("pathLenConstraint"),
            false,
            false,
        ),
        case(
            "an intermediate with path length 0 above another",
            chain(root(), vec![with(middle(), length(0)), low()], &admin()),
            invalid("pathLenConstraint"),
            false,
            false,
        ),
        case(
            "an expired root",
            chain(ca_params("root", NOON - 10), vec![], &admin()),
            Err((RejectionReason::IssuerExpired, "CA \"CN=root\" expired")),
            false,
            false,
        ),
        case(
            "an expired intermediate",
            chain(root(), vec![ca_params("middle", NOON - 10)], &admin()),
            Err((RejectionReason::IssuerExpired, "CA \"CN=middle\" expired")),
            false,
            false,
        ),
        // Stricter: a CA's key signs others; nobody should hold one to call the engine.
        case(
            "a CA as client",
            chain(
                root(),
                vec![],
                &with(ca_params("bob", END), |it| {
                    it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                    it.key_usages.push(KeyUsagePurpose::DigitalSignature);
                }),
            ),
            invalid("it is the certificate of a CA"),
            true,
            true,
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn extensions() -> Vec<RuleCase> {
    let unknown = |it: &mut CertificateParams| {
        it.custom_extensions
            .push(extension(&[1, 2, 3, 4], &[5, 0], true));
    };
    let harmless = |it: &mut CertificateParams| {
        it.custom_extensions
            .push(extension(&[1, 2, 3, 4], &[5, 0], false));
    };
    let policies = |critical| {
        move |it: &mut CertificateParams| {
            let any = wrap(0x30, &wrap(0x30, &wrap(0x06, &[0x55, 0x1d, 0x20, 0])));
            it.custom_extensions
                .push(extension(&[2, 5, 29, 32], &any, critical));
        }
    };
    let explicit = |critical| {
        move |it: &mut CertificateParams| {
            let zero = wrap(0x30, &[0x80, 1, 0]);
            it.custom_extensions
                .push(extension(&[2, 5, 29, 36], &zero, critical));
        }
    };
    let no_any = |it: &mut CertificateParams| {
        it.custom_extensions
            .push(extension(&[2, 5, 29, 54], &[2, 1, 0], true));
    };
    let twice = |it: &mut CertificateParams| {
        it.custom_extensions
            .push(extension(&[2, 5, 29, 15], &[3, 2, 5, 0xa0], true));
    };
    let unknown_words = "critical extension 1.2.3.4, which dockgate does not evaluate";
    vec![
        case(
            "an unknown extension",
            chain(root(), vec![], &with(admin(), harmless)),
            Ok(()),
            true,
            true,
        ),
        case(
            "an unknown critical one",
            chain(root(), vec![], &with(admin(), unknown)),
            invalid(unknown_words),
            false,
            false,
        ),
        case(
            "of an intermediate",
            chain(root(), vec![with(middle(), unknown)], &admin()),
            invalid(unknown_words),
            false,
            false,
        ),
        case(
            "of a root",
            chain(with(root(), unknown), vec![], &admin()),
            invalid(unknown_words),
            false,
            false,
        ),
        case(
            "policies",
            chain(
                root(),
                vec![with(middle(), policies(false))],
                &with(admin(), policies(false)),
            ),
            Ok(()),
            true,
            true,
        ),
        // Stricter: policies are not evaluated.
        case(
            "critical policies",
            chain(root(), vec![], &with(admin(), policies(true))),
            invalid("critical extension certificatePolicies"),
            true,
            true,
        ),
        case(
            "critical policies of a root",
            chain(with(root(), policies(true)), vec![], &admin()),
            invalid("critical extension certificatePolicies"),
            true,
            true,
        ),
        case(
            "a policy is asked for, not critical",
            chain(root(), vec![with(middle(), explicit(false))], &admin()),
            invalid("policyConstraints"),
            true,
            false,
        ),
        case(
            "a policy is asked for, critical",
            chain(root(), vec![with(middle(), explicit(true))], &admin()),
            invalid("critical extension policyConstraints"),
            true,
            false,
        ),
        case(
            "a policy is asked for by the root",
            chain(with(root(), explicit(false)), vec![], &admin()),
            invalid("CA \"CN=root\" asks for a certificate policy"),
            true,
            false,
        ),
        case(
            "no any-policy",
            chain(root(), vec![with(middle(), no_any)], &admin()),
            invalid("critical extension inhibitAnyPolicy"),
            true,
            true,
        ),
        case(
            "an extension twice",
            chain(root(), vec![], &with(admin(), twice)),
            invalid("damaged"),
            false,
            false,
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn names() -> Vec<RuleCase> {
    let dns = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let permits = |subtree: GeneralSubtree| {
        with(middle(), |it| {
            it.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![subtree],
                excluded_subtrees: vec![],
            });
        })
    };
    let excludes = |subtree: GeneralSubtree| {
        with(middle(), |it| {
            it.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![],
                excluded_subtrees: vec![subtree],
            });
        })
    };
    let ia5 = |text: &str| text.try_into().expect("IA5");
    let san = |name: SanType| with(admin(), |it| it.subject_alt_names = vec![name]);
    let host = |name: &str| san(SanType::DnsName(ia5(name)));
    let mail = || san(SanType::Rfc822Name(ia5("a@other.test")));
    let uri = || san(SanType::URI(ia5("spiffe://other.test/a")));
    let named = |name: &str| {
        with(admin(), |it| {
            it.distinguished_name = rcgen::DistinguishedName::new();
            it.distinguished_name.push(DnType::CommonName, name);
        })
    };
    let own = || dns("example.test");
    let team = || {
        let mut name = rcgen::DistinguishedName::new();
        name.push(DnType::OrganizationName, "Team");
        GeneralSubtree::DirectoryName(name)
    };
    let cidr = || GeneralSubtree::IpAddress(CidrSubnet::V4([10, 0, 0, 0], [255, 0, 0, 0]));
    let address = |last| san(SanType::IpAddress([last, 0, 0, 1].into()));
    let refused = || invalid("nameConstraints");
    let below = |ca, leaf: CertificateParams| chain(root(), vec![ca], &leaf);
    let rfc822 = || GeneralSubtree::Rfc822Name("example.test".to_owned());
    vec![
        case(
            "a name inside",
            below(permits(own()), host("a.example.test")),
            Ok(()),
            true,
            true,
        ),
        case(
            "a name outside",
            below(permits(own()), host("a.other.test")),
            refused(),
            false,
            false,
        ),
        case(
            "a name excluded",
            below(excludes(own()), host("a.example.test")),
            refused(),
            false,
            false,
        ),
        case(
            "no host name",
            below(permits(own()), admin()),
            Ok(()),
            true,
            true,
        ),
        // Go does not look at the common name.
        case(
            "a common name outside",
            below(permits(own()), named("a.other.test")),
            refused(),
            false,
            true,
        ),
        case(
            "a common name excluded",
            below(excludes(own()), named("x.example.test")),
            refused(),
            false,
            true,
        ),
        case(
            "a common name inside",
            below(permits(own()), named("b.example.test")),
            Ok(()),
            true,
            true,
        ),
        case(
            "an address inside",
            below(permits(cidr()), address(10)),
            Ok(()),
            true,
            true,
        ),
        case(
            "an address outside",
            below(permits(cidr()), address(11)),
            refused(),
            false,
            false,
        ),
        case(
            "a mail address outside",
            below(permits(rfc822()), mail()),
            refused(),
            false,
            false,
        ),
        case(
            "a mail address with none allowed for",
            below(permits(own()), mail()),
            Ok(()),
            true,
            true,
        ),
        case(
            "a directory name outside",
            below(permits(team()), admin()),
            invalid("directory names"),
            false,
            true,
        ),
        case(
            "a URI under other constraints",
            below(permits(own()), uri()),
            Ok(()),
            true,
            true,
        ),
        case(
            "constraints of a root",
            chain(
                with(permits(own()), |it| {
                    it.distinguished_name = root().distinguished_name;
                }),
                vec![],
                &host("a.other.test"),
            ),
            refused(),
            false,
            false,
        ),
        case(
            "constraints of a root on a common name",
            chain(
                with(permits(own()), |it| {
                    it.distinguished_name = root().distinguished_name;
                }),
                vec![],
                &named("a.other.test"),
            ),
            refused(),
            false,
            true,
        ),
    ]
}

#[test]
fn what_openssl_refuses_is_refused_with_its_rule_and_nothing_else() {
    let mut cases = usages();
    cases.extend(constraints());
    cases.extend(extensions());
    cases.extend(names());
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
