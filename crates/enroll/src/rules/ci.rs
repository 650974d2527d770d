//! The one certificate that a token of CI is good for.

use pki::{
    Purpose,
    event::IssuedKind,
    issue::{Authority, Days, Leaf, Sans, SubjectName},
    request::SigningRequest,
    store::{Enrolment, Grant, Store},
    timestamp,
};
use time::{Duration, OffsetDateTime};

use super::{EnrollRefusal, check_key, line::fresh_key};
use crate::oidc::ApprovedToken;

/// How many certificates the jobs of one subject may have that are good or less than a day old: of one for each job, a branch
/// with ten thousand jobs a day needs no more.
pub(super) const MAX_OF_SUBJECT: usize = 10_000;

/// Between the use of a token and its subject in the index.
const BETWEEN: char = '.';

/// The use of a token and its subject, as the index has them; versions before wrote no subject.
fn whose(invitation: &str) -> (&str, &str) {
    invitation.split_once(BETWEEN).unwrap_or((invitation, ""))
}

/// Signs the certificate for a token. Before this returns, one line of the index records the certificate and the use of the token.
/// A token gives one certificate, and that certificate is never renewed.
///
/// # Errors
/// When the token was used, or the request's key cannot be.
pub fn redeem_token(
    store: &mut Store,
    authority: &Authority,
    token: &ApprovedToken,
    request: &SigningRequest,
) -> Result<Vec<u8>, EnrollRefusal> {
    let now = OffsetDateTime::now_utc();
    let recent = timestamp(now - Duration::DAY);
    let (mut used, mut count) = (false, 0);
    for issued in store.index.issued() {
        let Some(enrolled) = issued.enrolled.as_ref().filter(|it| it.is_by_token()) else {
            continue;
        };
        let (use_of, subject) = whose(&enrolled.invitation);
        used |= use_of == token.used_as;
        let counts = || issued.is_alive(now) || issued.at > recent;
        if subject == token.subject && counts() {
            count += 1;
        }
    }
    if used {
        return Err(EnrollRefusal::Token(crate::oidc::OidcFault::Used));
    }
    if count >= MAX_OF_SUBJECT {
        return Err(EnrollRefusal::Many {
            most: MAX_OF_SUBJECT,
        });
    }
    check_key(request)?;
    fresh_key(&store.index, request)?;
    let leaf = Leaf {
        role: Purpose::Client,
        subject: SubjectName::New {
            common_name: &token.name,
            organization: token.organization.as_deref(),
            organizational_unit: token.organizational_unit.as_deref(),
        },
        sans: Sans::New(&[]),
        days: Days::Seconds(token.life_secs),
        rsa: request.rsa,
    };
    let enrolment = Enrolment {
        invitation: format!("{}{BETWEEN}{}", token.used_as, token.subject),
        predecessor: None,
        generation: 1,
        life_secs: token.life_secs,
    };
    let grant = Grant::enrolled(IssuedKind::Client, &token.name, enrolment);
    let made = store.sign(authority, &leaf, request, &grant)?;
    Ok(made.der.to_vec())
}
