//! Invitations: made, taken back, and proved.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use pki::{
    CertsError,
    event::{IndexEvent, Invitation, IssuedKind},
    identity::sha256,
    index::Index,
    issue::now,
    key::random,
    san::San,
    store::Store,
    timestamp,
    write::Existing,
};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::bounds::{MAX_LIFE_SECS, check_name};
use crate::token::Secret;

/// The most names of one certificate.
const MAX_SANS: usize = 64;

/// The longest time that an invitation is good for.
const MAX_TTL_SECS: u64 = 30 * 86_400;
/// The most certificates that one invitation is good for.
const MAX_USES: u32 = 10_000;

/// Whom to invite.
#[derive(Clone, Debug)]
pub struct NewInvitation<'a> {
    /// What the certificate is for.
    pub kind: IssuedKind,
    /// The name in it.
    pub name: &'a str,
    /// `O`
    pub organization: Option<&'a str>,
    /// `OU`
    pub organizational_unit: Option<&'a str>,
    /// Alternative names: of a person URIs, of a gate the names and addresses that clients use.
    pub sans: &'a [San],
    /// Life of each certificate in seconds.
    pub life_secs: Option<u64>,
    /// How long the invitation is good for, in seconds.
    pub ttl_secs: u64,
    /// For how many certificates.
    pub uses: u32,
    /// Whether a name that somebody has already may be given again.
    pub existing: Existing,
    /// The names of the signer itself, which no gate may have.
    pub signer: &'a [San],
}

/// What an invitation is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationState {
    /// It can be used.
    Open,
    /// It was used as often as it may be.
    Used,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Withdrawn,
}

impl InvitationState {
    /// The word for lists.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Withdrawn => "revoked",
        }
    }
}

/// Records an invitation; its id and secret go into the token and nowhere else.
///
/// # Errors
/// When the name may not be given, or the index cannot be written.
pub fn invite(
    store: &mut Store,
    wanted: &NewInvitation<'_>,
) -> Result<(Invitation, Secret), CertsError> {
    check(store, wanted)?;
    store.index.has_room()?;
    let mut secret = [0; 16];
    random(&mut secret)?;
    let secret = Secret::new(BASE64URL_NOPAD.encode(&secret));
    let at = now();
    let ttl = i64::try_from(wanted.ttl_secs.min(MAX_TTL_SECS)).unwrap_or(3600);
    let invitation = Invitation {
        at: timestamp(at),
        id: new_id()?,
        secret_sha256: HEXLOWER.encode(&sha256(secret.expose().as_bytes())),
        kind: wanted.kind,
        name: wanted.name.into(),
        organization: wanted.organization.map(Into::into),
        organizational_unit: wanted.organizational_unit.map(Into::into),
        sans: wanted.sans.iter().map(ToString::to_string).collect(),
        life_secs: wanted.life_secs,
        uses: wanted.uses,
        expires: timestamp(at + Duration::seconds(ttl)),
    };
    let first = store.index.is_empty();
    let format = first.then_some(IndexEvent::Format { version: 1 });
    let event = IndexEvent::Invited(invitation.clone());
    store.index.append_all(format.into_iter().chain([event]))?;
    Ok((invitation, secret))
}

fn check(store: &Store, wanted: &NewInvitation<'_>) -> Result<(), CertsError> {
    let refuse = |what: String, hint: &str| Err(CertsError::refused(what, hint));
    let given = wanted.name;
    check_name(given)?;
    let bounds = [
        ("--uses", u64::from(wanted.uses), u64::from(MAX_USES)),
        ("--ttl", wanted.ttl_secs, MAX_TTL_SECS),
        ("--life", wanted.life_secs.unwrap_or(1), MAX_LIFE_SECS),
    ];
    for (option, value, most) in bounds {
        if !(1..=most).contains(&value) {
            return refuse(
                format!("{option} is out of bounds"),
                "--uses is from 1 to 10000, --ttl at most 30d, --life at most 825d",
            );
        }
    }
    if wanted.sans.len() > MAX_SANS {
        return refuse(
            format!("{} names for one certificate", wanted.sans.len()),
            "a certificate has at most 64: make further invitations",
        );
    }
    if wanted.kind == IssuedKind::Client {
        store.grant_client(given, wanted.existing)?;
        return Ok(());
    }
    if wanted.sans.is_empty() {
        return refuse(
            format!("the gate {given:?} has no name that clients can use"),
            "write the names and addresses clients use, such as --san docker2.example",
        );
    }
    let clash = wanted.sans.iter().find(|san| {
        let signer = wanted.signer.iter();
        signer.clone().any(|own| own.covers(san) || san.covers(own))
    });
    if let Some(san) = clash {
        return refuse(
            format!("{san} is a name of the signer itself, so another gate cannot have it"),
            "a certificate for the signer's name could pass for the signer: give the gate a name of its own",
        );
    }
    Ok(())
}

/// Eight random bytes in base64url that do not look like an option.
fn new_id() -> Result<String, CertsError> {
    loop {
        let mut id = [0; 8];
        random(&mut id)?;
        let id = BASE64URL_NOPAD.encode(&id);
        if id.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Ok(id);
        }
    }
}

/// Takes an invitation back.
///
/// # Errors
/// When there is none of that id, or the index cannot be written.
pub fn withdraw(store: &mut Store, id: &str) -> Result<Invitation, CertsError> {
    let found = store.index.invitations().find(|it| it.id == id).cloned();
    let Some(found) = found else {
        return Err(CertsError::refused(
            format!("{:?} has no invitation {id:?}", store.paths.dir),
            format!(
                "`dockgate invite list{}` shows the invitations",
                store.paths.option()
            ),
        ));
    };
    if !store.index.is_withdrawn(id) {
        store.index.append(IndexEvent::Withdrawn {
            at: timestamp(now()),
            id: id.into(),
        })?;
    }
    Ok(found)
}

/// What an invitation is good for at a moment.
#[must_use]
pub fn state(index: &Index, invitation: &Invitation, now: OffsetDateTime) -> InvitationState {
    let end = OffsetDateTime::parse(&invitation.expires, &Rfc3339);
    if index.is_withdrawn(&invitation.id) {
        InvitationState::Withdrawn
    } else if index.uses(&invitation.id).count() >= invitation.uses as usize {
        InvitationState::Used
    } else if end.is_ok_and(|end| now < end) {
        InvitationState::Open
    } else {
        InvitationState::Expired
    }
}

/// The invitation whose secret this is, if it can be used.
#[must_use]
pub fn authenticate<'i>(
    index: &'i Index,
    id: &str,
    secret: &Secret,
    now: OffsetDateTime,
) -> Option<&'i Invitation> {
    let given = HEXLOWER.encode(&sha256(secret.expose().as_bytes()));
    let invitation = index.invitations().find(|it| it.id == id);
    let wanted = invitation.map_or("", |it| it.secret_sha256.as_str());
    // An unknown id is compared too, so that both take as long.
    let filler = "0".repeat(given.len());
    let wanted = if wanted.len() == given.len() {
        wanted
    } else {
        &filler
    };
    verify_slices_are_equal(given.as_bytes(), wanted.as_bytes()).ok()?;
    invitation.filter(|it| state(index, it, now) == InvitationState::Open)
}
