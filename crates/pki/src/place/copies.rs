//! What goes from a directory into a store when it joins, and what comes from the store into it.

use std::path::Path;

use super::ca::CaMatch;
use crate::{
    CertsError,
    crl::IssuedList,
    denied::{self, TravelledDenyList},
    index::Index,
    rollover,
    shared::{SharedDocument, SharedTurn, SharedView},
    store::Paths,
    write::{self, Existing, FileMode},
};

/// Puts what a directory has into a store that has nothing so far; whether anything was written. Of a CA whose key is elsewhere
/// it is the index alone.
pub(super) fn take_over(
    paths: &Paths,
    turn: &mut dyn SharedTurn,
    elsewhere: bool,
) -> Result<bool, CertsError> {
    let view = turn.view();
    let fresh = view.is_empty();
    let signs = !elsewhere && paths.ca.is_file() && paths.ca_key.is_file();
    let is_known = view.documents.contains_key(&SharedDocument::Ca);
    if !fresh && (is_known || !signs) {
        return Ok(false);
    }
    let (mut lines, mut documents) = (Vec::new(), Vec::new());
    if signs {
        documents.push((SharedDocument::Ca, text(&paths.ca)?));
    }
    if fresh {
        lines = Index::lines_locked(&paths.index)?;
        let denied = denied::path(paths);
        for (document, path) in [
            (SharedDocument::Crl, &paths.crl),
            (SharedDocument::Denied, &denied),
        ] {
            if !elsewhere && path.is_file() {
                documents.push((document, text(path)?));
            }
        }
    }
    if lines.is_empty() && documents.is_empty() {
        return Ok(false);
    }
    let documents: Vec<_> = documents.iter().map(|it| (it.0, it.1.as_str())).collect();
    turn.write(&lines, &documents)?;
    Ok(true)
}

fn text(path: &Path) -> Result<String, CertsError> {
    let bytes = write::read(path)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| CertsError::Unexpected {
        path: path.into(),
        expected: "text, which a store can hold",
        found: "other bytes".into(),
        hint: Some("write it as PEM".into()),
    })
}

/// Whether an index that is still in the directory is the beginning of the one in the store.
fn is_beginning(paths: &Paths, view: &SharedView) -> Result<bool, CertsError> {
    let own = Index::read_locked(&paths.index)?;
    Ok(own.events().count() <= view.events.len()
        && own.events().zip(&view.events).all(|(own, it)| *own == **it))
}

/// That a directory with an index of its own has joined an empty store, or is about to.
pub(super) fn same_index(paths: &Paths, view: &SharedView) -> Result<(), CertsError> {
    if !paths.index.is_file() || view.is_empty() || is_beginning(paths, view)? {
        return Ok(());
    }
    Err(CertsError::refused(
        format!(
            "{:?} is an index of its own, and the store has another one",
            paths.index
        ),
        "a directory can bring its index into an empty store only: use a store of its own for it",
    ))
}

/// Puts aside the index of a directory whose events are in the store.
pub(super) fn put_aside(paths: &Paths, view: &SharedView) -> Result<(), CertsError> {
    if !paths.index.is_file() || !is_beginning(paths, view)? {
        return Ok(());
    }
    let aside = paths.index.with_extension("jsonl.moved");
    std::fs::rename(&paths.index, &aside)
        .map_err(|source| CertsError::io("put aside", &paths.index, source))
}

/// Copies the documents of a store to where they are read.
pub(super) fn take_documents(
    paths: &Paths,
    view: &SharedView,
    ca: &CaMatch,
) -> Result<(), CertsError> {
    let denied = denied::path(paths);
    for (document, path) in [
        (SharedDocument::Ca, &paths.ca),
        (SharedDocument::Crl, &paths.crl),
        (SharedDocument::Denied, &denied),
    ] {
        let Some(text) = view.documents.get(&document) else {
            continue;
        };
        if path.is_file() {
            let keeps = match document {
                SharedDocument::Ca => !matches!(ca, CaMatch::Follows | CaMatch::Begun),
                SharedDocument::Crl => is_later(path, text)?,
                SharedDocument::Denied => is_later_denial(path, text)?,
            };
            if keeps || *write::read(path)? == *text.as_bytes() {
                continue;
            }
        }
        let bytes = text.as_bytes();
        write::write(path, bytes, FileMode::Public, Existing::Replace)?;
    }
    match ca {
        CaMatch::Begun => rollover::enforce_next(paths),
        _ => Ok(()),
    }
}

/// The same of a deny list.
fn is_later_denial(path: &Path, stored: &str) -> Result<bool, CertsError> {
    // One that is damaged here is replaced.
    let own = TravelledDenyList::read(&write::read(path)?).map_or(0, |it| it.number);
    let stored = TravelledDenyList::read(stored.as_bytes()).map_or(0, |it| it.number);
    Ok(own > stored)
}

/// Whether a list here has a higher number than that of the store, which came out of a backup then: gates refuse one with a
/// lower number, and the next one that is signed here has a higher one.
fn is_later(path: &Path, stored: &str) -> Result<bool, CertsError> {
    let own = IssuedList::read_all(path)?;
    let stored = IssuedList::parse_all(path, stored.as_bytes())?;
    Ok(own
        .iter()
        .any(|(own, _)| stored.iter().any(|(it, _)| own.is_later_than(it))))
}
