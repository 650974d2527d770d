//! The rules of RFC 5280 §6.1 that rustls-webpki leaves out, for a path it has built: the CAs' own key usage, the trust
//! anchor's dates, path length, extended key usage and critical extensions, policies, and name constraints on names
//! that are in the subject. What is not evaluated is refused by its name.

use super::certificate::Certificate;
use super::refusal::RejectionReason;

/// Why a path is refused.
pub(crate) type RuleFault = (RejectionReason, String);

/// The certificates of a path, leaf first, the trust anchor last.
pub(crate) struct JudgedPath<'p> {
    pub(crate) certificates: &'p [&'p Certificate],
    /// What the leaf is to be used for.
    pub(crate) purpose: super::Purpose,
}

impl JudgedPath<'_> {
    /// Looks at every rule, the anchor's first.
    pub(crate) fn check(&self, now: i64) -> Result<(), RuleFault> {
        for (position, certificate) in self.certificates.iter().enumerate().rev() {
            let is_anchor = position + 1 == self.certificates.len();
            if is_anchor {
                anchor(certificate, now, self.purpose)?;
            }
            if position > 0 {
                self.issuing(certificate, position)?;
            }
            anywhere(certificate, position > 0)?;
        }
        Ok(())
    }

    /// What holds for a certificate that issued another.
    fn issuing(&self, ca: &Certificate, position: usize) -> Result<(), RuleFault> {
        let name = &ca.subject;
        if !ca.may("keyCertSign") {
            return invalid(format!(
                "the keyUsage of CA {name:?} lacks keyCertSign, so it may not issue certificates"
            ));
        }
        let below = self.certificates.iter().take(position).skip(1);
        let below = below.filter(|it| !it.self_issued).count();
        if let Some(most) = ca.path_len
            && below > most as usize
        {
            return invalid(format!(
                "CA {name:?} allows {most} CAs below it (pathLenConstraint), and there are {below}"
            ));
        }
        for certificate in self.certificates.iter().take(position) {
            constrained(ca, certificate)?;
        }
        Ok(())
    }
}

/// What holds for a trust anchor: RFC 5280 leaves it to us, and both OpenSSL and Go (hence dockerd) judge a root by what
/// its certificate says.
fn anchor(ca: &Certificate, now: i64, purpose: super::Purpose) -> Result<(), RuleFault> {
    let name = &ca.subject;
    if !ca.is_in_force(now) {
        let (from, until) = (ca.not_before, ca.not_after);
        let detail = if now < from.unix_timestamp() {
            format!("CA {name:?} is not valid before {}", super::timestamp(from))
        } else {
            format!("CA {name:?} expired on {}", super::timestamp(until))
        };
        return Err((RejectionReason::IssuerExpired, detail));
    }
    if !ca.permits(purpose) {
        let usage = purpose.usage();
        return Err((
            RejectionReason::WrongUsage,
            format!("neither does CA {name:?} vouch for it: its extKeyUsage lacks {usage}"),
        ));
    }
    Ok(())
}

/// What holds for every certificate of a path.
fn anywhere(certificate: &Certificate, is_ca: bool) -> Result<(), RuleFault> {
    let whose = if is_ca {
        format!("CA {:?}", certificate.subject)
    } else {
        "it".to_owned()
    };
    if let Some(fault) = &certificate.details.fault {
        return invalid(format!("{whose} is damaged: {fault}"));
    }
    if let Some(name) = certificate.details.unknown_critical.first() {
        return invalid(format!(
            "{whose} has the critical extension {name}, which dockgate does not evaluate"
        ));
    }
    if certificate.details.requires_policy {
        return invalid(format!(
            "{whose} asks for a certificate policy (policyConstraints), which dockgate does not evaluate"
        ));
    }
    Ok(())
}

/// Name constraints of `ca` on the subject of a certificate below it. rustls-webpki evaluates them on the alternative
/// names; the subject counts too (RFC 5280 §4.2.1.10), and the common name is who a client is here.
fn constrained(ca: &Certificate, below: &Certificate) -> Result<(), RuleFault> {
    let constraints = &ca.details.constraints;
    let name = &ca.subject;
    if below.details.has_subject_email && constraints.kinds.contains(&"mail addresses") {
        return invalid(format!(
            "CA {name:?} constrains mail addresses (nameConstraints), which dockgate does not evaluate for the \
             emailAddress of a subject"
        ));
    }
    let has_dns = below
        .sans
        .iter()
        .any(|san| matches!(san, super::San::Dns(_)));
    if below.is_ca || has_dns {
        return Ok(());
    }
    for host in below
        .details
        .common_names
        .iter()
        .filter(|name| is_host(name))
    {
        let inside = |base: &String| covers(base, host);
        let outside = constraints
            .permitted_dns
            .as_ref()
            .is_some_and(|bases| !bases.iter().any(inside));
        if outside || constraints.excluded_dns.iter().any(inside) {
            return invalid(format!(
                "CA {name:?} may not issue for the name {host:?} (nameConstraints)"
            ));
        }
    }
    Ok(())
}

/// Whether a common name is a host name of several labels, as OpenSSL takes it for one.
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.contains('.') && name.split('.').all(label)
}

/// Whether a DNS subtree holds a name: the base itself, or anything that ends in its labels.
fn covers(base: &str, name: &str) -> bool {
    let base = base.strip_prefix('.').unwrap_or(base);
    let name = name.to_ascii_lowercase();
    base.is_empty()
        || name == base
        || name
            .strip_suffix(base)
            .is_some_and(|rest| rest.ends_with('.'))
}

fn invalid<T>(detail: String) -> Result<T, RuleFault> {
    Err((RejectionReason::Invalid, detail))
}
