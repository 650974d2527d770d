use std::collections::HashSet;

use super::*;
use crate::tls::HandshakeOutcome;
use pki::RejectionReason;

/// Fails to compile when a variant is added, so that its word is added to [`HANDSHAKES`].
fn known(outcome: &HandshakeOutcome) -> bool {
    match outcome {
        HandshakeOutcome::Probe
        | HandshakeOutcome::PlainHttp
        | HandshakeOutcome::Silent
        | HandshakeOutcome::Displaced
        | HandshakeOutcome::ProxyProtocol(_)
        | HandshakeOutcome::Ssh
        | HandshakeOutcome::OldVersion
        | HandshakeOutcome::TimedOut
        | HandshakeOutcome::Refused(_)
        | HandshakeOutcome::NoCertificate
        | HandshakeOutcome::Failed(_) => HANDSHAKES.contains(&outcome.id()),
    }
}

fn reason_known(reason: RejectionReason) -> bool {
    match reason {
        RejectionReason::Expired
        | RejectionReason::NotYetValid
        | RejectionReason::IssuerExpired
        | RejectionReason::UnknownIssuer
        | RejectionReason::Revoked
        | RejectionReason::RevocationUnknown
        | RejectionReason::DenyListed
        | RejectionReason::WrongUsage
        | RejectionReason::Invalid => HANDSHAKES.contains(&reason.id()),
    }
}

#[test]
fn every_outcome_of_a_handshake_has_its_own_counter() {
    for outcome in [
        HandshakeOutcome::Probe,
        HandshakeOutcome::PlainHttp,
        HandshakeOutcome::Silent,
        HandshakeOutcome::Displaced,
        HandshakeOutcome::ProxyProtocol(2),
        HandshakeOutcome::Ssh,
        HandshakeOutcome::OldVersion,
        HandshakeOutcome::TimedOut,
        HandshakeOutcome::NoCertificate,
        HandshakeOutcome::Failed(std::io::ErrorKind::Other.into()),
    ] {
        assert!(known(&outcome), "{}", outcome.id());
    }
    for reason in [
        RejectionReason::Expired,
        RejectionReason::NotYetValid,
        RejectionReason::IssuerExpired,
        RejectionReason::UnknownIssuer,
        RejectionReason::Revoked,
        RejectionReason::RevocationUnknown,
        RejectionReason::DenyListed,
        RejectionReason::WrongUsage,
        RejectionReason::Invalid,
    ] {
        assert!(reason_known(reason), "{}", reason.id());
    }
    assert_eq!(HANDSHAKES[HANDSHAKE_FAILED], "failed");
    let unique: HashSet<_> = HANDSHAKES.iter().collect();
    assert_eq!(unique.len(), HANDSHAKES.len());
}

#[test]
fn every_operation_decision_and_status_has_a_counter_and_no_two_share_one_by_accident() {
    let mut seen = HashSet::new();
    for c in 0..CLASSES.len() {
        for k in 0..KINDS.len() {
            for d in DecisionLabel::ALL {
                for s in 0..STATUSES.len() {
                    let at = place(c, k, d, s);
                    assert!(at < REQUESTS);
                    assert!(seen.insert(at));
                }
            }
        }
    }
    for operation in Operation::ALL.iter().copied().chain([Operation::Unknown]) {
        assert_eq!(CLASSES[class(operation.risk())], operation.risk().class());
        let name = format!("{:?}", operation.kind()).to_lowercase();
        assert_eq!(KINDS[kind(operation.kind())], name);
    }
    assert_eq!(status_class(None), 0);
    assert_eq!(STATUSES[status_class(Some(101))], "1xx");
    assert_eq!(STATUSES[status_class(Some(204))], "2xx");
    assert_eq!(STATUSES[status_class(Some(999))], "5xx");
}

#[test]
fn the_order_of_every_set_is_the_order_of_its_enum() {
    for (at, decision) in DecisionLabel::ALL.into_iter().enumerate() {
        assert_eq!(decision as usize, at);
    }
    for (at, limit) in Limit::ALL.into_iter().enumerate() {
        assert_eq!(limit as usize, at);
        assert!(crate::config::key::Key::named(limit.key()).is_some());
    }
    for (at, reason) in UpstreamError::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, at);
    }
    for (at, outcome) in Reload::ALL.into_iter().enumerate() {
        assert_eq!(outcome as usize, at);
    }
    for (at, shape) in Shape::ALL.into_iter().enumerate() {
        assert_eq!(shape as usize, at);
    }
    let metrics = Metrics::default();
    let cuts = [
        Cut::Drain,
        Cut::Untrusted(String::new()),
        Cut::Expired,
        Cut::RoleLost,
        Cut::Kicked,
        Cut::TooOld,
    ];
    for (at, cut) in cuts.iter().enumerate() {
        metrics.cut(cut);
        assert_eq!(Cut::IDS[at], cut.id());
        assert_eq!(metrics.cuts[at].load(Relaxed), 1);
    }
}

/// What a request pays: the counters of [`Metrics::request`], an upstream connect, and the meter both ways.
#[test]
fn a_request_pays_well_under_a_microsecond_for_being_counted() {
    const ROUNDS: u32 = 200_000;
    let (metrics, meter) = (
        Metrics::default(),
        crate::observe::registry::Meter::default(),
    );
    let round = || {
        let started = std::time::Instant::now();
        for n in 0..ROUNDS {
            let operation = Operation::ALL[n as usize % Operation::ALL.len()];
            let took = Duration::from_nanos(u64::from(n) * 1_000);
            metrics.request(operation, DecisionLabel::Allowed, Some(200), took);
            meter.up(100);
            meter.down(100);
        }
        started.elapsed() / ROUNDS
    };
    // The best of some rounds: the others measure the neighbours.
    let best = (0..10).map(|_| round()).min().unwrap_or_default();
    eprintln!("{best:?} per request");
    // Unoptimised code on a loaded machine; an optimised build takes a quarter of it.
    let most = if cfg!(debug_assertions) { 600 } else { 150 };
    assert!(best < Duration::from_nanos(most), "{best:?}");
}
