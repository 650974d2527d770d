//! Trust travels: a gate that is enrolled takes CA certificates and the revocation list from its signer.
//!
//! A list is taken only if one of the CAs signed it, if it is in its time, and if its number is not lower than that of the
//! list in force. What was taken last is kept on disk, so that the gate goes on without the signer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use enroll::SignerAddress;
use hyper::StatusCode;
use hyper::header::{HeaderValue, IF_NONE_MATCH};
use pki::denied::TravelledDenyList;
use pki::write::{self, Existing, FileMode};
use pki::{CertsError, RevocationList, Use, pem};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Deserialize;
use time::OffsetDateTime;

use super::connect::{Anchor, SignerLine};
use super::home::Home;
use super::{EnrolError, request};
use crate::tls::config;

/// How long the signer may hold a question until there is news.
const HOLD: Duration = Duration::from_secs(100);

/// Where gates ask.
const PATH: &str = "/.well-known/dockgate/trust";

/// What a signer tells gates.
#[derive(Debug, Deserialize)]
struct TrustNews {
    ca: String,
    crl: Option<String>,
    #[serde(default)]
    denied: Option<String>,
}

/// What was heard last.
#[derive(Debug, Default)]
pub struct Heard {
    tag: Option<String>,
    /// Whether a part of it was refused, so that it is looked at again.
    refused: bool,
}

/// What became of news.
#[derive(Debug, Default)]
pub struct TakenNews {
    /// Whether anything differs on disk.
    pub changed: bool,
    /// Why a part could not be taken. The others were.
    pub refused: Option<EnrolError>,
    /// How far the signer's clock is ahead, in seconds.
    pub clock: Option<i64>,
}

/// The directory of what a gate trusts.
#[must_use]
pub fn dir(home: &Home) -> PathBuf {
    home.dir().join("trust")
}

/// Asks for news on a connection of its own until `heard` has some, and takes what can be taken.
///
/// # Errors
/// When the signer cannot be reached or proved, has refused, or says what cannot be read at all.
pub async fn ask(home: &Home, heard: &mut Heard, hold: bool) -> Result<TakenNews, EnrolError> {
    let state = home.state()?;
    let signer = SignerAddress::parse(&state.signer);
    let signer = signer.ok_or(EnrolError::Answer("a signer's address that is not one"))?;
    let (chain, key, known) = home.current()?;
    let mut line = SignerLine::open(&signer, Anchor::Known(known), Some((chain, &key))).await?;
    let mut request = request(&signer, PATH)?;
    if let Some(tag) = heard
        .tag
        .as_deref()
        .and_then(|tag| HeaderValue::from_str(tag).ok())
    {
        request.headers_mut().insert(IF_NONE_MATCH, tag);
        if hold {
            let wait = HeaderValue::from_str(&format!("wait={}", HOLD.as_secs()));
            let wait = wait.unwrap_or(HeaderValue::from_static("wait=60"));
            request.headers_mut().insert("prefer", wait);
        }
    }
    let answer = line
        .send_patiently(request, HOLD + Duration::from_secs(20))
        .await?;
    match answer.status {
        StatusCode::NOT_MODIFIED => {
            // What was refused may be good by now: clocks are set.
            if heard.refused {
                heard.tag = None;
            }
            return Ok(TakenNews {
                clock: answer.clock,
                ..TakenNews::default()
            });
        }
        StatusCode::OK => {}
        _ => return Err(answer.refused()),
    }
    let news: TrustNews = serde_json::from_slice(&answer.body)
        .map_err(|_| EnrolError::Answer("news that cannot be read"))?;
    let mut taken = take(&dir(home), &news, OffsetDateTime::now_utc())?;
    taken.clock = answer.clock;
    heard.refused = taken.refused.is_some();
    heard.tag = answer.tag;
    Ok(taken)
}

/// Follows the signer; `tell` is called with each outcome. Runs until dropped.
pub async fn follow(
    home: &Home,
    interval: Duration,
    mut tell: impl FnMut(&Result<TakenNews, EnrolError>),
) {
    let mut heard = Heard::default();
    let mut first = true;
    loop {
        let asked = tokio::time::Instant::now();
        let outcome = ask(home, &mut heard, true).await;
        tell(&outcome);
        // A signer that holds the question is asked again at once; one that does not, or has a fault, after the interval.
        let pause = match outcome {
            Ok(news) if news.changed || std::mem::take(&mut first) => Duration::ZERO,
            _ => jittered(interval).saturating_sub(asked.elapsed()),
        };
        tokio::time::sleep(pause).await;
    }
}

/// Up to a quarter more, so that a fleet does not ask all at once.
fn jittered(interval: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without randomness they ask at once, which is no harm.
    let _ = pki::key::random(&mut byte);
    interval + interval * u32::from(byte[0]) / 1024
}

/// Puts news on disk. Each list is proved by itself, so one that is refused does not keep the other from being taken.
fn take(dir: &Path, news: &TrustNews, now: OffsetDateTime) -> Result<TakenNews, EnrolError> {
    let cas = blocks(&news.ca, "CERTIFICATE");
    let cas: Vec<_> = cas.into_iter().map(CertificateDer::from).collect();
    config::trust_store(&cas, Vec::new(), pki::DenyList::default())
        .map_err(|_| EnrolError::Answer("CA certificates that cannot be read"))?;
    let (denied_path, path) = (dir.join("denied.json"), dir.join("crl.pem"));
    let denied = news.denied.as_deref();
    let denied = denied.map(|text| denied_news(&denied_path, text, &cas));
    let crl = news.crl.as_deref();
    let crl = crl.map(|text| lists_of(&path, text, &cas, now).map(|()| text));
    write::create_private_dir(dir)?;
    let mut taken = TakenNews::default();
    match denied.transpose() {
        Ok(None | Some(None)) => {}
        Ok(Some(Some(text))) => taken.changed |= put(&denied_path, text)?,
        Err(fault) => taken.refused = Some(fault),
    }
    match crl.transpose() {
        Ok(crl) => {
            taken.changed |= crl.map_or(Ok(false), |text| put(&path, text))?;
            taken.changed |= put(&dir.join("ca.pem"), &news.ca)?;
        }
        // CAs are taken with the lists that they came with alone.
        Err(fault) => taken.refused = Some(fault),
    }
    Ok(taken)
}

/// That the revocation lists in a text can be taken.
fn lists_of(
    path: &Path,
    text: &str,
    cas: &[CertificateDer<'static>],
    now: OffsetDateTime,
) -> Result<(), EnrolError> {
    let lists = lists(path, text, now)?;
    let trust = config::trust_store(cas, lists, pki::DenyList::default())
        .map_err(|_| EnrolError::Answer("a revocation list that cannot be read"))?;
    match trust.lists().iter().any(|(_, how)| *how == Use::NoIssuer) {
        true => Err(EnrolError::Answer(
            "a revocation list that none of its CAs signed",
        )),
        false => Ok(()),
    }
}

/// The contents of the blocks of one label.
fn blocks(text: &str, label: &str) -> Vec<Vec<u8>> {
    let blocks = pem::read(text.as_bytes()).unwrap_or_default();
    let of = blocks.into_iter().filter(|block| block.label == label);
    of.map(|block| block.der.to_vec()).collect()
}

/// The revocation lists in a text, one for each CA, none of them older than the one in force.
fn lists(
    path: &Path,
    text: &str,
    now: OffsetDateTime,
) -> Result<Vec<CertificateRevocationListDer<'static>>, EnrolError> {
    let in_force = path.is_file().then(|| write::read(path)).transpose()?;
    let in_force = in_force.map(|text| blocks(&String::from_utf8_lossy(&text), "X509 CRL"));
    let in_force: Vec<_> = in_force
        .unwrap_or_default()
        .iter()
        .filter_map(|der| RevocationList::read(der).ok())
        .collect();
    let lists = blocks(text, "X509 CRL");
    if lists.is_empty() {
        return Err(EnrolError::Answer("something else than a revocation list"));
    }
    for der in &lists {
        let unreadable = |_| EnrolError::Answer("a revocation list that cannot be read");
        let new = RevocationList::read(der).map_err(unreadable)?;
        if !new.is_in_time(now.unix_timestamp()) {
            return Err(EnrolError::Answer("a revocation list whose time is over"));
        }
        let is_older =
            |old: &RevocationList| old.issuer_raw == new.issuer_raw && number(&new) < number(old);
        if in_force.iter().any(is_older) {
            return Err(EnrolError::Answer(
                "a revocation list that is older than the one in force",
            ));
        }
    }
    Ok(lists
        .into_iter()
        .map(CertificateRevocationListDer::from)
        .collect())
}

/// The signer's deny list, if it differs from the one in force and can be taken.
fn denied_news<'t>(
    path: &Path,
    text: &'t str,
    cas: &[CertificateDer<'_>],
) -> Result<Option<&'t str>, EnrolError> {
    let algorithms = config::algorithms().certificates;
    let new = TravelledDenyList::verified(text.as_bytes(), cas, &algorithms);
    let new = new.map_err(EnrolError::Answer)?;
    // What cannot be read any more is replaced.
    let old = path.is_file().then(|| write::read(path)).transpose()?;
    let old = old.and_then(|bytes| TravelledDenyList::read(&bytes).ok());
    match old {
        Some(old) if new.number < old.number => Err(EnrolError::Answer(
            "a deny list that is older than the one in force",
        )),
        // Several signers sign the same list each in its own way.
        Some(old) if old == new => Ok(None),
        _ => Ok(Some(text)),
    }
}

/// A list's number in a form that compares.
fn number(list: &RevocationList) -> (usize, Vec<u8>) {
    let number = list.number.as_deref().unwrap_or_default();
    let number: Vec<u8> = number
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    (number.len(), number)
}

fn put(path: &Path, text: &str) -> Result<bool, CertsError> {
    if path.is_file() && *write::read(path)? == *text.as_bytes() {
        return Ok(false);
    }
    write::write(path, text.as_bytes(), FileMode::Public, Existing::Replace)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::crl;
    use pki::denied;
    use pki::issue::{Authority, default_authority};
    use pki::key::KeyType;
    use pki::place::StorePlace;

    /// Takes news of which no part is refused; whether anything differs.
    fn taken(dir: &Path, news: &TrustNews, now: OffsetDateTime) -> bool {
        let taken = take(dir, news, now).expect("news");
        assert!(taken.refused.is_none(), "{:?}", taken.refused);
        taken.changed
    }

    /// Why a part of news, or all, cannot be taken.
    fn refused(dir: &Path, news: &TrustNews, now: OffsetDateTime) -> String {
        let fault = match take(dir, news, now) {
            Ok(taken) => taken.refused.expect("refused"),
            Err(fault) => fault,
        };
        fault.to_string()
    }

    /// A CA with two lists of its own, the first before the second.
    fn news() -> [TrustNews; 2] {
        let dir = tempfile::tempdir().expect("create a directory");
        let mut store = StorePlace::directory(dir.path()).open().expect("open it");
        let authority = default_authority(KeyType::P256).expect("a CA");
        [(); 2].map(|()| {
            crl::publish(&mut store, &authority, 7).expect("a list");
            let crl = std::fs::read_to_string(&store.paths.crl).expect("the list");
            TrustNews {
                ca: authority.trust_pem(),
                crl: Some(crl),
                denied: None,
            }
        })
    }

    #[test]
    fn a_list_is_taken_only_if_its_ca_signed_it_and_its_number_is_not_lower() {
        let (now, dir) = (
            OffsetDateTime::now_utc(),
            tempfile::tempdir().expect("create a directory"),
        );
        let ([first, second], [foreign, _]) = (news(), news());
        assert!(taken(dir.path(), &first, now));
        assert!(!taken(dir.path(), &first, now));
        assert!(taken(dir.path(), &second, now));
        let kept = std::fs::read(dir.path().join("crl.pem")).expect("the list");
        let refused = |news: &TrustNews, now| refused(dir.path(), news, now);
        assert!(refused(&first, now).contains("older than the one in force"));
        let crossed = TrustNews {
            ca: second.ca.clone(),
            crl: foreign.crl.clone(),
            denied: None,
        };
        assert!(refused(&crossed, now).contains("none of its CAs signed"));
        assert!(refused(&second, now + time::Duration::days(8)).contains("time is over"));
        let damaged = TrustNews {
            ca: "-----BEGIN".into(),
            crl: None,
            denied: None,
        };
        assert!(refused(&damaged, now).contains("cannot be read"));
        assert_eq!(
            std::fs::read(dir.path().join("crl.pem")).expect("the list"),
            kept
        );
    }

    #[test]
    fn a_deny_list_is_taken_only_if_its_ca_signed_it_and_its_number_is_not_lower() {
        let (now, to) = (
            OffsetDateTime::now_utc(),
            tempfile::tempdir().expect("create a directory"),
        );
        let ca = tempfile::tempdir().expect("create a directory");
        let mut store = StorePlace::directory(ca.path()).open().expect("open it");
        let authority = default_authority(KeyType::P256).expect("a CA");
        let foreign = default_authority(KeyType::Ed25519).expect("a CA");
        let mut denying = |serial: &str, by: &Authority| {
            let what = pki::event::DeniedEntry::Serial(serial.into());
            let at = pki::timestamp(now);
            let event = pki::event::IndexEvent::Denied { at, what };
            store.index.append(event).expect("deny it");
            denied::publish(&mut store, by).expect("sign it");
            let text = std::fs::read_to_string(denied::path(&store.paths));
            TrustNews {
                ca: authority.trust_pem(),
                crl: None,
                denied: Some(text.expect("the list")),
            }
        };
        let first = denying("0a", &authority);
        let second = denying("0b", &authority);
        let crossed = denying("0c", &foreign);
        assert!(taken(to.path(), &second, now));
        assert!(!taken(to.path(), &second, now));
        let path = to.path().join("denied.json");
        let kept = std::fs::read(&path).expect("the list");
        let list = TravelledDenyList::read(&kept).expect("a list");
        assert_eq!((list.number, list.denied.serials.len()), (2, 2));
        let text = second.denied.as_deref().expect("a list");
        let changed = |from: &str, to: &str| TrustNews {
            denied: Some(text.replace(from, to)),
            ca: second.ca.clone(),
            crl: None,
        };
        for (news, why) in [
            (&first, "older than the one in force"),
            (&crossed, "none of its CAs signed"),
            (&changed("0b", "0d"), "none of its CAs signed"),
            (
                &changed("\"signature\":\"", "\"signature\":\"!"),
                "damaged signature",
            ),
            (&changed("{", "["), "not a deny list"),
        ] {
            let said = refused(to.path(), news, now);
            assert!(said.contains(why), "{said}");
            assert_eq!(std::fs::read(&path).expect("the list"), kept, "{why}");
        }
        // A list that is left out is no reason to let anybody in again.
        let without = TrustNews {
            denied: None,
            ca: second.ca.clone(),
            crl: None,
        };
        assert!(!taken(to.path(), &without, now));
        assert_eq!(std::fs::read(&path).expect("the list"), kept);
    }

    #[test]
    fn news_without_a_list_leave_the_one_in_force() {
        let (now, dir) = (
            OffsetDateTime::now_utc(),
            tempfile::tempdir().expect("create a directory"),
        );
        let [first, _] = news();
        taken(dir.path(), &first, now);
        let without = TrustNews {
            ca: first.ca.clone(),
            crl: None,
            denied: None,
        };
        assert!(!taken(dir.path(), &without, now));
        assert!(dir.path().join("crl.pem").is_file());
    }

    #[test]
    fn a_list_that_is_refused_does_not_keep_the_other_from_a_gate() {
        let (now, to) = (
            OffsetDateTime::now_utc(),
            tempfile::tempdir().expect("create a directory"),
        );
        let ca = tempfile::tempdir().expect("create a directory");
        let mut store = StorePlace::directory(ca.path()).open().expect("open it");
        let authority = default_authority(KeyType::P256).expect("a CA");
        // Each change denies one more and signs both lists again.
        let news = ["0a", "0b"].map(|serial| {
            let what = pki::event::DeniedEntry::Serial(serial.into());
            let at = pki::timestamp(now);
            let event = pki::event::IndexEvent::Denied { at, what };
            store.index.append(event).expect("deny it");
            denied::publish(&mut store, &authority).expect("sign it");
            crl::publish(&mut store, &authority, 7).expect("a list");
            let text = |path: &Path| Some(std::fs::read_to_string(path).expect("the list"));
            TrustNews {
                ca: authority.trust_pem(),
                crl: text(&store.paths.crl),
                denied: text(&denied::path(&store.paths)),
            }
        });
        let mixed = |crl: usize, denied: usize| TrustNews {
            ca: news[0].ca.clone(),
            crl: news[crl].crl.clone(),
            denied: news[denied].denied.clone(),
        };
        for (in_force, new) in [(mixed(0, 1), mixed(1, 0)), (mixed(1, 0), mixed(0, 1))] {
            let dir = to.path().join(format!("{:?}", in_force.crl == news[0].crl));
            assert!(taken(&dir, &in_force, now));
            let outcome = take(&dir, &new, now).expect("a part of it");
            let fault = outcome.refused.expect("the other part").to_string();
            assert!(fault.contains("older than the one in force"), "{fault}");
            assert!(outcome.changed);
            let has = |name: &str| Some(std::fs::read_to_string(dir.join(name)).expect("a list"));
            assert_eq!(
                (has("crl.pem"), has("denied.json")),
                (news[1].crl.clone(), news[1].denied.clone())
            );
            // Nothing is written again, and the fault is told again.
            let again = take(&dir, &new, now).expect("a part of it");
            assert!(!again.changed && again.refused.is_some());
        }
    }
}
