//! The one certificate that a token of CI is good for.

use pki::{
    Purpose,
    event::IssuedKind,
    issue::{Authority, Days, Leaf, Sans, SubjectName},
    request::SigningRequest,
    store::{Enrolment, Grant, Store},
};

use super::{EnrollRefusal, check_key, line::fresh_key};
use crate::oidc::ApprovedToken;

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
    let used = store.index.issued().any(|issued| {
        let enrolled = issued.enrolled.as_ref();
        enrolled.is_some_and(|it| it.invitation == token.used_as)
    });
    if used {
        return Err(EnrollRefusal::Token(crate::oidc::OidcFault::Used));
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
        invitation: token.used_as.clone(),
        predecessor: None,
        generation: 1,
        life_secs: token.life_secs,
    };
    let grant = Grant::enrolled(IssuedKind::Client, &token.name, enrolment);
    let made = store.sign(authority, &leaf, request, &grant)?;
    Ok(made.der.to_vec())
}
