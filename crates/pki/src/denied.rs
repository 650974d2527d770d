//! The deny list that travels from a signer to its gates: what the index denies, numbered, and signed by the CA.
//!
//! A revocation list names certificates of one CA. This list names serial numbers of any issuer, and public keys
//! whatever certificate they are in. It is text with a signature beside it, and the text begins with words that no
//! certificate or revocation list begins with, so that a signature of one is never good for another.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use rcgen::SigningKey;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde::{Deserialize, Serialize};

use super::{
    Certificate, CertsError, DenyList, Serial,
    event::{DeniedEntry, IndexEvent},
    index::Index,
    issue::Authority,
    shared::SharedDocument,
    store::{Paths, Store},
    trust::verifies_text,
    write::{self, Existing},
};

/// What is signed begins with this.
const PREFIX: &str = "dockgate deny list 1\n";

/// The largest number of entries: with it the list has half of what a gate takes as an answer.
pub const MAX_ENTRIES: usize = 25_000;

/// The list as text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeniedText {
    number: u64,
    serials: Vec<String>,
    spki_sha256: Vec<String>,
}

/// The list with its signature, as it travels and lies on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedText {
    list: String,
    /// SHA-256 of the CA's certificate.
    by: String,
    signature: String,
}

/// A deny list, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TravelledDenyList {
    /// How many changes led to it; a later one has a higher number.
    pub number: u64,
    /// What it denies.
    pub denied: DenyList,
}

impl TravelledDenyList {
    /// Reads a list without looking at its signature: what lies on a gate's disk was checked when it came.
    ///
    /// # Errors
    /// A sentence, when it is not one.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let signed: SignedText = serde_json::from_slice(bytes).map_err(|_| "not a deny list")?;
        let damaged = "a deny list with a damaged entry";
        let text = signed.list.strip_prefix(PREFIX).ok_or(damaged)?;
        let text: DeniedText = serde_json::from_str(text).map_err(|_| damaged)?;
        if text.serials.len() + text.spki_sha256.len() > MAX_ENTRIES {
            return Err("a deny list of more than 25,000 entries");
        }
        let serials = text.serials.iter().map(|it| Serial::from_str(it).ok());
        let keys = text.spki_sha256.iter().map(|it| digest(it));
        Ok(Self {
            number: text.number,
            denied: DenyList {
                serials: serials.collect::<Option<_>>().ok_or(damaged)?,
                spki_sha256: keys.collect::<Option<_>>().ok_or(damaged)?,
            },
        })
    }

    /// Reads a list that one of these CAs must have signed.
    ///
    /// # Errors
    /// A sentence, when none has, or it is not a list.
    pub fn verified(
        bytes: &[u8],
        cas: &[CertificateDer<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<Self, &'static str> {
        let signed: SignedText = serde_json::from_slice(bytes).map_err(|_| "not a deny list")?;
        let signature = BASE64.decode(signed.signature.as_bytes());
        let signature = signature.map_err(|_| "a deny list with a damaged signature")?;
        let message = signed.list.as_bytes();
        let by = |ca: &CertificateDer<'_>| {
            let ca = Certificate::read(ca);
            ca.is_ok_and(|ca| verifies_text(&ca.details.spki, message, &signature, algorithms))
        };
        match cas.iter().any(by) {
            true => Self::read(bytes),
            false => Err("a deny list that none of its CAs signed"),
        }
    }
}

/// SHA-256 in 64 hexadecimal digits.
fn digest(hex: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

/// What somebody wants denied: the SHA-256 of a public key, a certificate's file (its public key), or a serial number.
///
/// # Errors
/// When it is none of these.
pub fn target(text: &str) -> Result<DeniedEntry, CertsError> {
    let hex: String = text.chars().filter(|c| *c != ':').collect();
    let base64 = text
        .strip_prefix("sha256//")
        .or_else(|| text.strip_prefix("sha256:"));
    let pin = base64.map(|pin| BASE64.decode(pin.as_bytes()).ok());
    let pin = match pin {
        Some(bytes) => bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()),
        None => digest(&hex),
    };
    if let Some(pin) = pin {
        return Ok(DeniedEntry::Key(HEXLOWER.encode(&pin)));
    }
    let path = Path::new(text);
    if path.is_file() {
        let (_, info) = super::store::inspect_file(path)?;
        return Ok(DeniedEntry::Key(info.spki_sha256));
    }
    match Serial::from_str(text) {
        Ok(serial) if base64.is_none() => Ok(DeniedEntry::Serial(serial.to_string())),
        _ => Err(CertsError::refused(
            format!(
                "{text:?} is neither a serial number in hex, nor a public key's SHA-256, nor a certificate's file"
            ),
            "`dockgate certs show FILE` prints both",
        )),
    }
}

/// Whether a certificate of the index is denied.
#[must_use]
pub fn denies(index: &Index, serial: &str, spki_sha256: &str) -> bool {
    index.is_denied(&DeniedEntry::Serial(serial.to_owned()))
        || index.is_denied(&DeniedEntry::Key(spki_sha256.to_owned()))
}

impl Index {
    /// What every gate refuses, and how many changes led to it.
    #[must_use]
    pub fn denied(&self) -> (u64, BTreeSet<DeniedEntry>) {
        let (mut number, mut denied) = (0, BTreeSet::new());
        for event in self.events() {
            match event {
                IndexEvent::Denied { what, .. } => _ = denied.insert(what.clone()),
                IndexEvent::Undenied { what, .. } => _ = denied.remove(what),
                _ => continue,
            }
            number += 1;
        }
        (number, denied)
    }

    /// Whether one entry is denied, without a copy of the others.
    #[must_use]
    pub fn is_denied(&self, wanted: &DeniedEntry) -> bool {
        self.last_word(wanted).unwrap_or(false)
    }

    /// Whether the last that was said of an entry denies it; nothing if nothing was.
    fn last_word(&self, wanted: &DeniedEntry) -> Option<bool> {
        self.events().rev().find_map(|event| match event {
            IndexEvent::Denied { what, .. } if what == wanted => Some(true),
            IndexEvent::Undenied { what, .. } if what == wanted => Some(false),
            _ => None,
        })
    }
}

/// That one more entry can be denied.
///
/// # Errors
/// When the list is full.
pub fn has_room(index: &Index) -> Result<(), CertsError> {
    match index.denied().1.len() < MAX_ENTRIES {
        true => Ok(()),
        false => Err(CertsError::refused(
            format!("the deny list is full: it has {MAX_ENTRIES} entries"),
            "take off those whose certificates have ended, with --lift",
        )),
    }
}

/// Where a CA's directory has the list.
#[must_use]
pub fn path(paths: &Paths) -> std::path::PathBuf {
    paths.dir.join("denied.json")
}

/// Signs the list and puts it into the CA's directory, unless it is there already. Nothing if nothing was ever denied.
///
/// # Errors
/// When it cannot be signed or written.
pub fn publish(store: &mut Store, authority: &Authority) -> Result<(), CertsError> {
    let (number, denied) = store.index.denied();
    if number == 0 {
        return Ok(());
    }
    let (mut serials, mut keys) = (Vec::new(), Vec::new());
    for one in denied {
        match one {
            DeniedEntry::Serial(serial) => serials.push(serial),
            DeniedEntry::Key(key) => keys.push(key),
        }
    }
    let encoding = |source: serde_json::Error| CertsError::crypto("encode the deny list", source);
    let path = path(&store.paths);
    let present = match path.is_file() {
        true => serde_json::from_slice::<SignedText>(&write::read(&path)?).ok(),
        false => None,
    };
    let number = number_after(number, present.as_ref(), &serials, &keys);
    let text = DeniedText {
        number,
        serials,
        spki_sha256: keys,
    };
    let list = PREFIX.to_owned() + &serde_json::to_string(&text).map_err(encoding)?;
    if present.is_some_and(|it| it.list == list && it.by == authority.info().sha256) {
        return Ok(());
    }
    let signature = authority.key().sign(list.as_bytes());
    let signature = signature.map_err(|source| CertsError::crypto("sign the deny list", source))?;
    let signed = SignedText {
        list,
        by: authority.info().sha256.clone(),
        signature: BASE64.encode(&signature),
    };
    let signed = serde_json::to_string(&signed).map_err(encoding)?;
    let (document, existing) = (SharedDocument::Denied, Existing::Replace);
    store.index.put(document, &path, &signed, existing, [])
}

/// The number of a list: that of the index, or where the index came out of a backup, more than the list that is there, if it
/// differs. Gates refuse a list with a lower number.
fn number_after(
    indexed: u64,
    present: Option<&SignedText>,
    serials: &[String],
    keys: &[String],
) -> u64 {
    let present = present.and_then(|it| it.list.strip_prefix(PREFIX));
    let present = present.and_then(|text| serde_json::from_str::<DeniedText>(text).ok());
    let Some(present) = present else {
        return indexed;
    };
    match present.serials == serials && present.spki_sha256 == keys {
        true => indexed.max(present.number),
        false => indexed.max(present.number.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests;
