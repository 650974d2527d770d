//! Lines of certificates: the first by an invitation, each further one by the certificate before it.

use std::collections::{BTreeSet, HashMap};

use data_encoding::BASE64;
use pki::{
    Certificate, CertsError, Purpose,
    event::{HOLD, IndexEvent, IndexRevocation, Issued, IssuedKind},
    index::Index,
    issue::{Days, Leaf, Sans, SubjectName},
    request::SigningRequest,
    rollover::Authorities,
    san::{self, San},
    store::{Enrolment, Grant, Store, server_name},
    timestamp,
};
use time::{Duration, OffsetDateTime};

use super::{EnrollRefusal, SigningRules, authenticate, check_key, due};
use crate::token::Secret;

/// Signs the first certificate of a line. The index has it, and the use of the invitation with it, before this returns:
/// both are one line of it.
///
/// # Errors
/// When the invitation cannot be used, or the request's key cannot.
pub fn redeem(
    store: &mut Store,
    authorities: &Authorities,
    rules: &SigningRules,
    (id, secret): (&str, &Secret),
    request: &SigningRequest,
    now: OffsetDateTime,
) -> Result<Vec<u8>, EnrollRefusal> {
    let invitation = authenticate(&store.index, id, secret, now)
        .ok_or(EnrollRefusal::Unauthorized)?
        .clone();
    check_key(request)?;
    fresh_key(&store.index, request)?;
    let server = invitation.kind == IssuedKind::Server;
    let life = invitation.life_secs.unwrap_or(match server {
        true => rules.gate_secs,
        false => rules.client_secs,
    });
    let sans = names(&invitation.sans)?;
    let leaf = Leaf {
        role: match server {
            true => Purpose::Server,
            false => Purpose::Client,
        },
        subject: SubjectName::New {
            common_name: match server {
                true => server_name(&sans),
                false => &invitation.name,
            },
            organization: invitation.organization.as_deref(),
            organizational_unit: invitation.organizational_unit.as_deref(),
        },
        sans: Sans::New(&sans),
        days: Days::Seconds(life),
        rsa: request.rsa,
    };
    let enrolment = Enrolment {
        invitation: invitation.id.clone(),
        predecessor: None,
        generation: 1,
        life_secs: life,
    };
    let grant = Grant::enrolled(invitation.kind, &invitation.name, enrolment);
    let authority = authorities.signs(leaf.role, &store.index, now);
    let made = store.sign(authority, &leaf, request, &grant)?;
    Ok(made.der.to_vec())
}

/// The names of an invitation, as they were written there by [`super::invite`].
fn names(written: &[String]) -> Result<Vec<San>, CertsError> {
    let one = |text: &String| match text.strip_prefix("URI:") {
        Some(uri) => san::parse_uri(uri),
        None => San::parse(text),
    };
    written.iter().map(one).collect()
}

/// The certificate of a digest in the index, if it came by an invitation.
#[must_use]
pub fn find<'i>(index: &'i Index, sha256: &str) -> Option<&'i Issued> {
    index
        .issued()
        .find(|issued| issued.sha256 == sha256 && issued.enrolled.is_some())
}

/// Signs the certificate after one that its holder has proved to have. Asked again with the same new key, it gives the same
/// certificate again: an answer may have been lost.
///
/// # Errors
/// When the certificate may not be renewed, or the request does not fit it. A copy puts the whole line on hold before this
/// returns; the caller publishes the list.
pub fn renew(
    store: &mut Store,
    authorities: &Authorities,
    rules: &SigningRules,
    sha256: &str,
    request: &SigningRequest,
    now: OffsetDateTime,
) -> Result<Vec<u8>, EnrollRefusal> {
    let forbidden = |why: &str| EnrollRefusal::Forbidden(why.to_owned());
    let held = find(&store.index, sha256)
        .ok_or_else(|| forbidden("this certificate did not come by an invitation of this signer"))?
        .clone();
    let unreadable = || CertsError::crypto("read a certificate of the index", "it is damaged");
    let line = held.enrolled.clone().ok_or_else(unreadable)?;
    if line.is_by_token() {
        return Err(forbidden(
            "this certificate came by a token of CI and does not renew: ask again with a new token",
        ));
    }
    if store.index.revocation(&held.serial).is_some() {
        return Err(forbidden("this certificate is revoked"));
    }
    let late = Duration::seconds(i64::try_from(rules.late_secs).unwrap_or(0));
    if !held.is_alive(now - late) {
        return Err(forbidden(
            "this certificate has ended: ask for a new invitation",
        ));
    }
    check_key(request)?;
    let old = BASE64.decode(line.der.as_bytes()).ok();
    let old = old.and_then(|der| Certificate::read(&der).ok());
    let old = old.ok_or_else(unreadable)?;
    same_names(&old, request)?;
    if let Some(next) = store.index.successor(&held.serial).cloned() {
        if next.spki_sha256 != request.spki_sha256 {
            return Err(copy(store, &held, now)?);
        }
        if store.index.revocation(&next.serial).is_some() {
            return Err(forbidden("the certificate after this one is revoked"));
        }
        let der = next.enrolled.map(|it| BASE64.decode(it.der.as_bytes()));
        return Ok(der.and_then(Result::ok).ok_or_else(unreadable)?);
    }
    let role = match held.kind {
        IssuedKind::Server => Purpose::Server,
        _ => Purpose::Client,
    };
    let authority = authorities.signs(role, &store.index, now);
    due::check(&store.index, &held, authority, now)?;
    fresh_key(&store.index, request)?;
    let enrolment = Enrolment {
        invitation: line.invitation,
        predecessor: Some(held.serial),
        generation: line.generation.saturating_add(1),
        life_secs: line.life_secs,
    };
    let leaf = Leaf {
        role,
        subject: SubjectName::Exact(&old.details.subject),
        sans: Sans::Exact(old.details.raw_sans.as_deref()),
        days: Days::Seconds(line.life_secs),
        rsa: request.rsa,
    };
    let grant = Grant::enrolled(held.kind, &held.name, enrolment);
    let made = store.sign(authority, &leaf, request, &grant)?;
    Ok(made.der.to_vec())
}

/// A key that has had a certificate here gets no other: what is known of it would go on being good.
pub(super) fn fresh_key(index: &Index, request: &SigningRequest) -> Result<(), EnrollRefusal> {
    if pki::denied::denies(index, "", &request.spki_sha256) {
        return Err(EnrollRefusal::Request(
            "this key is on the deny list, expected a new key".to_owned(),
        ));
    }
    let known = index
        .issued()
        .any(|issued| issued.spki_sha256 == request.spki_sha256);
    match known {
        true => Err(EnrollRefusal::Request(
            "this key has a certificate already, expected a new key".to_owned(),
        )),
        false => Ok(()),
    }
}

/// A renewal asks for the names that the certificate has, or for none (RFC 7030 §4.2.2).
fn same_names(old: &Certificate, request: &SigningRequest) -> Result<(), EnrollRefusal> {
    let set = |sans: &[San]| {
        sans.iter()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>()
    };
    let subject = request.subject.is_empty() || request.subject == old.subject;
    let sans = request.sans.is_empty() || set(&request.sans) == set(&old.sans);
    match subject && sans {
        true => Ok(()),
        false => Err(EnrollRefusal::Request(
            "the request asks for other names than the certificate has; a renewal changes none"
                .to_owned(),
        )),
    }
}

/// Puts every certificate of a line on hold.
fn copy(
    store: &mut Store,
    held: &Issued,
    now: OffsetDateTime,
) -> Result<EnrollRefusal, CertsError> {
    let line = line_of(&store.index, &held.serial);
    let judged = store.index.judged();
    let held_now: Vec<Issued> = store
        .index
        .issued()
        .filter(|issued| line.contains(issued.serial.as_str()) && issued.is_alive(now))
        .filter(|issued| judged.revocation(&issued.serial).is_none())
        .cloned()
        .collect();
    let serials = held_now.iter().map(|it| it.serial.clone()).collect();
    let events = held_now.into_iter().map(|issued| {
        IndexEvent::Revoked(IndexRevocation {
            at: timestamp(now),
            serial: issued.serial,
            reason: HOLD.into(),
            issuer_key_id: issued.issuer_key_id,
        })
    });
    store.index.append_all(events)?;
    Ok(EnrollRefusal::Copy {
        name: held.name.clone(),
        serials,
    })
}

/// The serial numbers of the certificates that one goes back to, and of all that go back to the same.
pub(super) fn line_of(index: &Index, serial: &str) -> BTreeSet<String> {
    // One pass: who asks holds the lock, and the index may be long.
    let mut before: HashMap<&str, &str> = HashMap::new();
    for issued in index.issued() {
        let enrolled = issued.enrolled.as_ref();
        if let Some(predecessor) = enrolled.and_then(|it| it.predecessor.as_deref()) {
            before.entry(&issued.serial).or_insert(predecessor);
        }
    }
    let mut root = serial;
    let mut seen = BTreeSet::new();
    while let Some(next) = before.get(root) {
        if !seen.insert(*next) {
            break;
        }
        root = next;
    }
    let mut line = BTreeSet::from([root.to_owned()]);
    // The index is in the order of time: whatever renews comes after what it renews.
    for issued in index.issued() {
        let predecessor = before.get(issued.serial.as_str());
        if predecessor.is_some_and(|it| line.contains(*it)) {
            line.insert(issued.serial.clone());
        }
    }
    line
}

/// Lifts the hold from the certificates of a name; returns their serial numbers.
///
/// # Errors
/// When there is nothing on hold, or the index cannot be written.
pub fn allow(
    store: &mut Store,
    name: &str,
    now: OffsetDateTime,
) -> Result<Vec<String>, CertsError> {
    let judged = store.index.judged();
    let on_hold = |issued: &&Issued| {
        let revocation = judged.revocation(&issued.serial);
        revocation.is_some_and(|it| it.reason == HOLD)
    };
    let serials: Vec<String> = store
        .index
        .issued()
        .filter(|issued| issued.name == name && issued.is_alive(now))
        .filter(on_hold)
        .map(|issued| issued.serial.clone())
        .collect();
    if serials.is_empty() {
        return Err(CertsError::refused(
            format!("no certificate of {name:?} is on hold"),
            format!(
                "what was revoked stays revoked: `dockgate invite NAME{}` makes a new invitation",
                store.paths.option()
            ),
        ));
    }
    let events: Vec<_> = serials
        .iter()
        .map(|serial| IndexEvent::Allowed {
            at: timestamp(now),
            serial: serial.clone(),
        })
        .collect();
    store.index.append_all(events)?;
    Ok(serials)
}
