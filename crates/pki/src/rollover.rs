//! One CA takes the place of another while both are trusted.
//!
//! Contract: a peer that trusts only one of the two can go on at any moment. Clients get their certificates from the next CA
//! once gates have had time to learn of it. Gates keep certificates of the previous CA until no client is left that trusts
//! it alone. The previous CA is certified by the next one, for servers only, so that its certificates also lead to the next
//! one. The files are written in an order in which a crash leaves a directory that still signs: the key of the next CA
//! replaces that of the previous one last.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::{
    Certificate, CertsError, Passphrase, Purpose, crl,
    event::{IndexEvent, IndexRevocation, Issued, IssuedKind, Rollover},
    index::Index,
    issue::{Authority, default_ca_name, now},
    key::{KeyType, PrivateKey},
    pem,
    shared::SharedDocument,
    store::{Paths, SIGNER, Store, inspect_file},
    timestamp,
    write::{self, Existing, FileMode},
};

/// Whose certificates are signed here: one CA, or two of which one takes the place of the other.
#[derive(Debug)]
pub struct Authorities {
    /// The one that stays.
    pub current: Authority,
    /// The one that goes; beside it lie what the next CA certified of it, and the next CA.
    previous: Option<Authority>,
}

/// What the next CA is to be like.
#[derive(Clone, Debug)]
pub struct NextCa<'a> {
    /// Its common name, if it was chosen.
    pub name: Option<&'a str>,
    /// Its kind of key.
    pub key_type: KeyType,
    /// Its life.
    pub days: u32,
    /// How long gates have to learn of it before certificates come from it, in seconds.
    pub wait_secs: u64,
}

pub(crate) fn previous_ca(paths: &Paths) -> PathBuf {
    paths.dir.join("previous-ca.pem")
}

fn previous_key(paths: &Paths) -> PathBuf {
    paths.dir.join("previous-ca-key.pem")
}

impl Authorities {
    /// One CA alone.
    #[must_use]
    pub fn alone(current: Authority) -> Self {
        Self {
            current,
            previous: None,
        }
    }

    /// Those of a directory.
    ///
    /// # Errors
    /// When a certificate or a key cannot be read, or they do not fit each other.
    pub fn load(paths: &Paths, passphrase: &Passphrase) -> Result<Self, CertsError> {
        let current = paths.authority(passphrase)?;
        if !(previous_ca(paths).is_file() && previous_key(paths).is_file()) {
            return Ok(Self::alone(current));
        }
        let previous = Authority::load(&previous_ca(paths), &previous_key(paths), passphrase)?;
        // A rollover that was cut short has not begun, or has ended.
        let goes = previous.certificate() != current.certificate()
            && current.trusted().any(|it| it == previous.certificate());
        Ok(Self {
            previous: goes.then_some(previous),
            current,
        })
    }

    /// The one that goes, if there is one.
    #[must_use]
    pub fn previous(&self) -> Option<&Authority> {
        self.previous.as_ref()
    }

    /// The one that stays, then the one that goes.
    pub fn iter(&self) -> impl Iterator<Item = &Authority> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// The one that signs new certificates for a purpose.
    #[must_use]
    pub fn signs(&self, role: Purpose, index: &Index, now: OffsetDateTime) -> &Authority {
        let Some(previous) = &self.previous else {
            return &self.current;
        };
        let waits = match role {
            Purpose::Client => index.rollover().is_some_and(|it| now < it.from()),
            Purpose::Server => {
                let left = left(index, previous.info(), now);
                left.iter().any(|it| it.kind == IssuedKind::Client)
            }
        };
        match waits {
            true => previous,
            false => &self.current,
        }
    }

    /// The one that signs the signer's own certificate, which tokens and members of both must be able to check.
    #[must_use]
    pub fn own(&self) -> &Authority {
        self.previous.as_ref().unwrap_or(&self.current)
    }

    /// The one that issued a certificate.
    #[must_use]
    pub fn issuer_of(&self, info: &Certificate) -> Option<&Authority> {
        self.iter().find(|authority| authority.issued(info))
    }

    /// Every CA certificate of the two, with what the next one certified of the previous one.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let mut all: Vec<_> = self.current.trusted().cloned().collect();
        for der in self.previous.iter().flat_map(Authority::trusted) {
            if !all.contains(der) {
                all.push(der.clone());
            }
        }
        all
    }
}

/// The certificates by a CA that somebody still comes with: alive, not revoked, and not followed by another one.
#[must_use]
pub fn left<'i>(index: &'i Index, ca: &Certificate, now: OffsetDateTime) -> Vec<&'i Issued> {
    let judged = index.judged();
    let is_ours = |it: &Issued| it.issuer_key_id == ca.subject_key_id;
    // What was made as files follows by its name.
    let replaced: BTreeSet<(IssuedKind, &str)> = index
        .issued()
        .filter(|it| it.enrolled.is_none() && !is_ours(it) && it.is_alive(now))
        .map(|it| (it.kind, it.name.as_str()))
        .collect();
    let is_left = |it: &&Issued| {
        it.kind != IssuedKind::Ca
            && !(it.kind == IssuedKind::Server && it.name == SIGNER)
            && is_ours(it)
            && it.is_alive(now)
            && !judged.is_renewed(&it.serial)
            && (it.enrolled.is_some() || !replaced.contains(&(it.kind, it.name.as_str())))
            && judged.revocation(&it.serial).is_none()
    };
    index.issued().filter(is_left).collect()
}

/// Whether the server's certificate should be made again because its CA goes and no client needs it any more.
#[must_use]
pub fn should_leave(paths: &Paths, index: &Index, info: &Certificate, now: OffsetDateTime) -> bool {
    let previous = previous_ca(paths);
    if !previous.is_file() {
        return false;
    }
    // A rollover that was cut short has not begun: another key has to be in force.
    let goes = || {
        let key = |path: &std::path::Path| write::read(path).ok();
        let (going, current) = (key(&previous_key(paths)), key(&paths.ca_key));
        going.is_some() && current.is_some() && going != current
    };
    inspect_file(&previous).is_ok_and(|(_, ca)| {
        goes()
            && info.authority_key_id == ca.subject_key_id
            && left(index, &ca, now)
                .iter()
                .all(|it| it.kind != IssuedKind::Client)
    })
}

/// Makes the next CA, and has both trusted from now on.
///
/// # Errors
/// When a rollover is under way, the CA is not one that can be replaced here, or a file cannot be written.
pub fn begin(
    store: &mut Store,
    passphrase: &Passphrase,
    wanted: &NextCa<'_>,
) -> Result<Authorities, CertsError> {
    let paths = store.paths.clone();
    let Authorities { current, previous } = Authorities::load(&paths, passphrase)?;
    if previous.is_some() {
        return Err(CertsError::refused(
            format!("a rollover is under way in {:?}", paths.dir),
            format!(
                "end it with `dockgate certs rollover --finish{}`",
                paths.option()
            ),
        ));
    }
    if !current.info().self_issued {
        return Err(CertsError::refused(
            format!(
                "{:?} is the CA of somebody above it",
                current.info().subject
            ),
            "get the next CA from there, and put both certificates into the CA file of each gate",
        ));
    }
    let next = next(&paths, &current, passphrase, wanted)?;
    let cross = next.certify(&current)?;
    let key = write::read(&paths.ca_key)?;
    put(&previous_key(&paths), &key, FileMode::Secret)?;
    let beside = [current.certificate(), &cross, next.certificate()];
    let beside = pem::encode_certificates(beside);
    put(&previous_ca(&paths), beside.as_bytes(), FileMode::Public)?;
    let (at, wait) = (now(), i64::try_from(wanted.wait_secs).unwrap_or(i64::MAX));
    store.index.append(IndexEvent::Rollover(Rollover {
        at: timestamp(at),
        from: timestamp(at.saturating_add(Duration::seconds(wait))),
        sha256: next.info().sha256.clone(),
    }))?;
    let index = &mut store.index;
    index.record(IssuedKind::Ca, "ca", next.info(), &[], None)?;
    // Where one was cut short, it may be trusted already.
    let trusted = current.trusted().filter(|it| *it != next.certificate());
    let bundle = std::iter::once(next.certificate()).chain(trusted);
    let bundle = pem::encode_certificates(bundle);
    put_ca(store, &bundle)?;
    enforce_next(&paths)?;
    let authorities = Authorities::load(&paths, passphrase)?;
    if paths.crl.is_file() {
        crl::publish(store, &authorities.current, crate::CRL_DAYS)?;
    }
    Ok(authorities)
}

/// Puts the key of the next CA into force, whose certificate is trusted already.
pub(crate) fn enforce_next(paths: &Paths) -> Result<(), CertsError> {
    let key = write::read(&next_key(paths))?;
    put(&paths.ca_key, &key, FileMode::Secret)?;
    remove(&next_key(paths))?;
    remove(&next_ca(paths))
}

/// Where the next CA is while a rollover begins.
pub(crate) fn next_ca(paths: &Paths) -> PathBuf {
    paths.dir.join("next-ca.pem")
}

pub(crate) fn next_key(paths: &Paths) -> PathBuf {
    paths.dir.join("next-ca-key.pem")
}

/// The next CA: the one that a rollover made which was cut short, or a new one.
fn next(
    paths: &Paths,
    current: &Authority,
    passphrase: &Passphrase,
    wanted: &NextCa<'_>,
) -> Result<Authority, CertsError> {
    let (ca, key) = (next_ca(paths), next_key(paths));
    if ca.is_file() && key.is_file() {
        let next = Authority::load(&ca, &key, passphrase)?;
        // One that was cut short at its end has left the CA that is in force.
        if next.certificate() != current.certificate() {
            return Ok(next);
        }
    }
    let name = match wanted.name {
        Some(name) => name.to_owned(),
        None => default_ca_name()?,
    };
    let made = PrivateKey::generate(wanted.key_type)?;
    let text = match pem::is_encrypted(&paths.ca_key)? {
        true => made.to_encrypted_pem(&passphrase.for_opening(&paths.ca_key)?)?,
        false => made.to_pem()?,
    };
    let next = Authority::create_above(&name, made, wanted.days)?;
    put(&key, text.as_bytes(), FileMode::Secret)?;
    let text = pem::encode_certificates([next.certificate()]);
    put(&ca, text.as_bytes(), FileMode::Public)?;
    Ok(next)
}

/// Certifies the previous CA again by the next one where that is due.
///
/// # Errors
/// When a file cannot be written.
pub fn refresh(store: &Store, authorities: &Authorities) -> Result<(), CertsError> {
    let Some(previous) = &authorities.previous else {
        return Ok(());
    };
    let due = |der: &CertificateDer<'_>| {
        Certificate::read(der).is_ok_and(|it| !it.self_issued && now() >= it.renewal_due())
    };
    if !previous.trusted().any(due) {
        return Ok(());
    }
    let cross = authorities.current.certify(previous)?;
    let current = authorities.current.certificate();
    let beside = pem::encode_certificates([previous.certificate(), &cross, current]);
    let path = previous_ca(&store.paths);
    put(&path, beside.as_bytes(), FileMode::Public)
}

/// Trusts the next CA alone from now on, and destroys the key of the previous one.
///
/// # Errors
/// When no rollover is under way, or a file cannot be written.
pub fn finish(store: &mut Store, passphrase: &Passphrase) -> Result<Authority, CertsError> {
    let paths = store.paths.clone();
    let Authorities { current, previous } = Authorities::load(&paths, passphrase)?;
    let Some(previous) = previous else {
        // One that was cut short may have left these.
        if !(next_ca(&paths).is_file() || next_key(&paths).is_file()) {
            remove(&previous_key(&paths))?;
            remove(&previous_ca(&paths))?;
        }
        return Err(CertsError::refused(
            format!("no rollover is under way in {:?}", paths.dir),
            format!("`dockgate certs rollover{}` begins one", paths.option()),
        ));
    };
    // What leads from the previous CA to the next one must not be good for anything any more.
    for der in previous.trusted() {
        let Ok(cross) = Certificate::read(der) else {
            continue;
        };
        if !cross.self_issued && store.index.revocation(&cross.serial).is_none() {
            store.index.append(IndexEvent::Revoked(IndexRevocation {
                at: timestamp(now()),
                serial: cross.serial,
                reason: "superseded".into(),
                issuer_key_id: current.info().subject_key_id.clone(),
            }))?;
        }
    }
    let kept = current.trusted().filter(|it| *it != previous.certificate());
    let kept: Vec<_> = kept.collect();
    if paths.crl.is_file() || kept.len() == 1 {
        crl::publish_without(store, &current, crate::CRL_DAYS, Some(&previous))?;
    }
    let bundle = pem::encode_certificates(kept);
    put_ca(store, &bundle)?;
    // The beginning may have been cut short before it removed these.
    for path in [next_key, next_ca, previous_key, previous_ca] {
        remove(&path(&paths))?;
    }
    paths.authority(passphrase)
}

/// Replaces the certificates that are trusted.
fn put_ca(store: &mut Store, bundle: &str) -> Result<(), CertsError> {
    let (document, path) = (SharedDocument::Ca, store.paths.ca.clone());
    let index = &mut store.index;
    index.put(document, &path, bundle, Existing::Replace, [])
}

fn put(path: &std::path::Path, bytes: &[u8], mode: FileMode) -> Result<(), CertsError> {
    write::write(path, bytes, mode, Existing::Replace)
}

fn remove(path: &std::path::Path) -> Result<(), CertsError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CertsError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
