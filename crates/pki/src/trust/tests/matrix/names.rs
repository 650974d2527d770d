//! Extensions that are unknown, twice or damaged, and names that a CA may certify.

use rcgen::{CertificateParams, CidrSubnet, DnType, GeneralSubtree, NameConstraints, SanType};

use super::super::lists::wrap;
use super::super::support::extension;
use super::{RuleCase, admin, case, chain, invalid, middle, root, with};

#[expect(clippy::too_many_lines, reason = "scenario")]
pub(super) fn extensions() -> Vec<RuleCase> {
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
pub(super) fn names() -> Vec<RuleCase> {
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
