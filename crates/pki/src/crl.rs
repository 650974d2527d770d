//! The revocation list (RFC 5280 §5): version 2, numbered, with the CA's key identifier and a reason per entry.

use std::collections::HashMap;
use std::path::Path;

use rcgen::{CertificateRevocationListParams, RevocationReason, RevokedCertParams, SerialNumber};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Certificate, CertsError,
    event::IndexEvent,
    issue::{Authority, now},
    pem,
    resign::{CRL_ISSUER, resign},
    shared::SharedDocument,
    store::Store,
    timestamp,
    write::{self, Existing},
};
use crate::trust::{BACKDATE, RevocationList, Validity};
use text::escape::shell_word;

/// A revocation list, read.
#[derive(Clone, Debug)]
pub struct IssuedList {
    issuer: Vec<u8>,
    number: Vec<u8>,
    /// cRLNumber in decimal.
    pub number_text: String,
    this_update: OffsetDateTime,
    /// When it expires.
    pub next_update: Option<OffsetDateTime>,
    /// What it lists.
    pub entries: Vec<ListEntry>,
}

/// One revoked certificate.
#[derive(Clone, Debug)]
pub struct ListEntry {
    /// Lower-case hex.
    pub serial: String,
    at: OffsetDateTime,
    reason: Option<RevocationReason>,
}

impl ListEntry {
    /// Whether it may come off the list again.
    #[must_use]
    pub fn is_on_hold(&self) -> bool {
        self.reason == Some(RevocationReason::CertificateHold)
    }
}

impl IssuedList {
    /// Reads what a file lists: its first list, with the entries of the lists of further CAs and the earliest end.
    pub fn read(path: &Path) -> Result<Self, CertsError> {
        let mut lists = Self::read_all(path)?;
        let mut first = lists.swap_remove(0).0;
        for (list, _) in lists {
            first.entries.extend(list.entries);
            first.next_update = first.next_update.min(list.next_update);
        }
        Ok(first)
    }

    /// Whether it is a list of this CA.
    #[must_use]
    pub fn is_of(&self, authority: &Authority) -> bool {
        self.issuer == authority.subject()
    }

    /// Reads the lists of a PEM or DER file, at least one, each with its bytes.
    pub fn read_all(path: &Path) -> Result<Vec<(Self, Vec<u8>)>, CertsError> {
        Self::parse_all(path, &write::read(path)?)
    }

    /// Whether it is of the same CA as another, with a higher number.
    pub(crate) fn is_later_than(&self, other: &Self) -> bool {
        let bare = |number: &[u8]| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].to_vec()
        };
        let (own, other_number) = (bare(&self.number), bare(&other.number));
        self.issuer == other.issuer && (own.len(), &own) > (other_number.len(), &other_number)
    }

    /// Reads the lists of the bytes of a file, or of a copy of it.
    pub(crate) fn parse_all(path: &Path, bytes: &[u8]) -> Result<Vec<(Self, Vec<u8>)>, CertsError> {
        let unexpected = |found: String| CertsError::Unexpected {
            path: path.into(),
            expected: "an X509 CRL in PEM",
            found,
            hint: Some(format!(
                "move it away; `dockgate certs crl --dir {}` signs it again from the index",
                shell_word(&path.parent().unwrap_or(path).to_string_lossy())
            )),
        };
        let parse = |der: &[u8]| {
            let list = Self::parse(der).map_err(unexpected)?;
            Ok((list, der.to_vec()))
        };
        if bytes.first() == Some(&0x30) {
            return Ok(vec![parse(bytes)?]);
        }
        let blocks = pem::blocks(path, bytes)?;
        let lists = blocks.iter().filter(|block| block.label == "X509 CRL");
        let lists: Vec<_> = lists
            .map(|block| parse(&block.der))
            .collect::<Result<_, CertsError>>()?;
        match lists.is_empty() {
            true => Err(unexpected(pem::describe(&blocks))),
            false => Ok(lists),
        }
    }

    /// From when until when it is good; at once over if it does not say.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity::of_list(
            self.this_update,
            self.next_update.unwrap_or(self.this_update),
        )
    }

    /// When it was signed, as it says.
    #[must_use]
    pub fn signed_at(&self) -> OffsetDateTime {
        self.this_update + BACKDATE
    }

    /// Whether two thirds of its life are over.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.next_update
            .is_none_or(|end| now >= self.this_update + (end - self.this_update) * 2 / 3)
    }

    fn parse(der: &[u8]) -> Result<Self, String> {
        let list = RevocationList::read(der)?;
        let entries = list.entries.iter().map(|entry| ListEntry {
            serial: entry.serial.to_string(),
            at: entry.at,
            reason: entry.reason.and_then(reason_from_code),
        });
        Ok(Self {
            entries: entries.collect(),
            issuer: list.issuer_raw,
            number: list.number.unwrap_or_default(),
            number_text: list.number_text.unwrap_or_default(),
            this_update: list.this_update,
            next_update: Some(list.next_update),
        })
    }
}

/// Whether a list can be signed at all, asked before a revocation is recorded; the present list, if there is one.
pub fn publishable(
    store: &Store,
    authority: &Authority,
    days: u32,
) -> Result<Option<IssuedList>, CertsError> {
    if days == 0 || days > 3650 {
        return Err(CertsError::refused(
            format!("a revocation list for {}", text::counted(days, "day")),
            "write a number from 1 to 3650",
        ));
    }
    if authority.is_elsewhere() {
        return Err(CertsError::refused(
            "the CA's key is elsewhere, and so is what signs its revocation list",
            "revoke the certificate at the CA, and let it write the file of --crl again",
        ));
    }
    if authority
        .info()
        .key_usage
        .as_ref()
        .is_some_and(|usage| !usage.contains(&"cRLSign"))
    {
        return Err(CertsError::refused(
            format!(
                "the CA {:?} may not sign revocation lists (its key usage lacks cRLSign)",
                authority.info().subject
            ),
            "put the serial number on the deny list of dockgate.toml instead, which needs no CA key",
        ));
    }
    let path = store.paths.crl.clone();
    let mut present = None;
    for (list, _) in lists_of(&path)? {
        if list.is_of(authority) {
            present = Some(list);
            continue;
        }
        // Of two CAs of which one takes the place of the other, each has a list here.
        if is_trusted(&list, authority) {
            continue;
        }
        let count = list.entries.len();
        return Err(CertsError::refused(
            format!(
                "{path:?} is the list of another CA, with {}",
                text::counted(count, "entry")
            ),
            "use one --dir per CA; dockgate serve takes several lists (--tlscrl)",
        ));
    }
    Ok(present)
}

fn lists_of(path: &Path) -> Result<Vec<(IssuedList, Vec<u8>)>, CertsError> {
    match path.is_file() {
        true => IssuedList::read_all(path),
        false => Ok(Vec::new()),
    }
}

/// Whether a list is of a CA that is trusted beside this one.
fn is_trusted(list: &IssuedList, authority: &Authority) -> bool {
    let mut others = authority
        .trusted()
        .filter_map(|der| Certificate::read(der).ok());
    others.any(|ca| ca.details.subject == list.issuer)
}

/// Signs the list of everything this CA has revoked: what the index says and what the present list says, so that
/// losing either brings nobody back. Returns it as read back from what was written.
pub fn publish(
    store: &mut Store,
    authority: &Authority,
    days: u32,
) -> Result<IssuedList, CertsError> {
    publish_without(store, authority, days, None)
}

/// [`publish`], without the list of a CA that goes.
pub(crate) fn publish_without(
    store: &mut Store,
    authority: &Authority,
    days: u32,
    going: Option<&Authority>,
) -> Result<IssuedList, CertsError> {
    let present = publishable(store, authority, days)?;
    let path = store.paths.crl.clone();
    let entries = merged(store, authority, present.as_ref());
    let at = now();
    let params = CertificateRevocationListParams {
        this_update: at - BACKDATE,
        next_update: at + Duration::days(i64::from(days)),
        crl_number: SerialNumber::from_slice(&next_number(present.as_ref(), store)),
        issuing_distribution_point: None,
        revoked_certs: entries
            .iter()
            .map(|entry| RevokedCertParams {
                serial_number: SerialNumber::from_slice(&decode_hex(&entry.serial)),
                revocation_time: entry.at,
                reason_code: entry.reason,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: authority.key_id_method(),
    };
    let draft = params
        .signed_by(&authority.drafting())
        .map_err(|source| CertsError::crypto("encode a revocation list", source))?;
    let der = resign(
        draft.der(),
        &[(CRL_ISSUER, authority.subject())],
        authority.key(),
    )?;
    let mut lists = lists_of(&path)?;
    lists.retain(|(list, _)| !going.is_some_and(|going| list.is_of(going)));
    let written = IssuedList::parse(&der)
        .map_err(|why| CertsError::crypto("read back a list just signed", why))?;
    match lists.iter_mut().find(|(list, _)| list.is_of(authority)) {
        Some(own) => own.1 = der,
        None => lists.insert(0, (written.clone(), der)),
    }
    let text: String = lists
        .iter()
        .map(|(_, der)| pem::encode("X509 CRL", der).to_string())
        .collect();
    let event = IndexEvent::Crl {
        at: timestamp(at),
        number: written.number_text.clone(),
    };
    let (document, existing) = (SharedDocument::Crl, Existing::Replace);
    store.index.put(document, &path, &text, existing, [event])?;
    Ok(written)
}

fn merged(store: &Store, authority: &Authority, present: Option<&IssuedList>) -> Vec<ListEntry> {
    let mut entries = present
        .map(|present| present.entries.clone())
        .unwrap_or_default();
    let listed = entries.iter().map(|entry| entry.serial.clone());
    let mut places: HashMap<String, usize> = listed.zip(0..).collect();
    for revoked in store.index.revoked() {
        let ours = revoked.issuer_key_id.is_none()
            || revoked.issuer_key_id == authority.info().subject_key_id;
        let place = places.get(&revoked.serial).copied();
        match place.and_then(|place| entries.get_mut(place)) {
            // What was on hold may have been taken back for good since.
            Some(entry) if entry.reason == Some(RevocationReason::CertificateHold) => {
                entry.reason = reason_from_word(&revoked.reason);
            }
            None if ours => {
                places.insert(revoked.serial.clone(), entries.len());
                entries.push(ListEntry {
                    serial: revoked.serial.clone(),
                    at: OffsetDateTime::parse(&revoked.at, &Rfc3339).unwrap_or_else(|_| now()),
                    reason: reason_from_word(&revoked.reason),
                });
            }
            _ => {}
        }
    }
    // Only a hold ends (RFC 5280 §5.3.1).
    let judged = store.index.judged();
    entries.retain(|entry| {
        entry.reason != Some(RevocationReason::CertificateHold)
            || !judged.is_allowed_again(&entry.serial)
    });
    entries
}

/// One more than any number used so far (RFC 5280 §5.2.3): on the present list or, if that was lost, in the index.
fn next_number(present: Option<&IssuedList>, store: &Store) -> Vec<u8> {
    let indexed = store.index.crl_numbers().max().unwrap_or(0);
    let listed = present
        .map(|present| present.number.as_slice())
        .unwrap_or_default();
    let small = listed.iter().skip_while(|&&byte| byte == 0).count() <= 8;
    if small {
        let listed = listed
            .iter()
            .fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        return listed.max(indexed).saturating_add(1).to_be_bytes().to_vec();
    }
    // Some CAs number their lists by time or at random, up to twenty octets: add one by hand.
    let mut number = listed.to_vec();
    for byte in number.iter_mut().rev() {
        let (sum, carried) = byte.overflowing_add(1);
        *byte = sum;
        if !carried {
            break;
        }
    }
    number
}

fn reason_from_code(code: u8) -> Option<RevocationReason> {
    Some(match code {
        1 => RevocationReason::KeyCompromise,
        2 => RevocationReason::CaCompromise,
        3 => RevocationReason::AffiliationChanged,
        4 => RevocationReason::Superseded,
        5 => RevocationReason::CessationOfOperation,
        6 => RevocationReason::CertificateHold,
        9 => RevocationReason::PrivilegeWithdrawn,
        10 => RevocationReason::AaCompromise,
        // "Unspecified" is written by leaving the reason out (RFC 5280 §5.3.1).
        _ => return None,
    })
}

fn reason_from_word(word: &str) -> Option<RevocationReason> {
    Some(match word {
        "keyCompromise" => RevocationReason::KeyCompromise,
        "affiliationChanged" => RevocationReason::AffiliationChanged,
        "superseded" => RevocationReason::Superseded,
        "cessationOfOperation" => RevocationReason::CessationOfOperation,
        "privilegeWithdrawn" => RevocationReason::PrivilegeWithdrawn,
        crate::event::HOLD => RevocationReason::CertificateHold,
        _ => return None,
    })
}

fn decode_hex(hex: &str) -> Vec<u8> {
    let even = if hex.len().is_multiple_of(2) {
        hex.to_owned()
    } else {
        format!("0{hex}")
    };
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(even.as_bytes())
        .unwrap_or_default()
}
