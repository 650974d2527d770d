//! What a key may be used for, and how deep a chain may be.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

use super::super::super::RejectionReason;
use super::super::support::{NOON, ca_params};
use super::{END, RuleCase, admin, case, chain, invalid, middle, root, with};

#[expect(clippy::too_many_lines, reason = "scenario")]
pub(super) fn usages() -> Vec<RuleCase> {
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
pub(super) fn constraints() -> Vec<RuleCase> {
    let length = |length| {
        move |it: &mut CertificateParams| {
            it.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        }
    };
    let low = || ca_params("low", NOON + 1000);
    vec![
        case(
            "an intermediate that is not a CA",
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
