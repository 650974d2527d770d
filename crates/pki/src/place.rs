//! Where the index of a CA is: in its directory, or in a store that several signers share.
//!
//! Contract: with a shared store the directory holds the CA's files, this host's own certificates, and copies of what the store
//! holds. A directory that has joined a store says so in a file, and is never again used without that store. A CA's key signs
//! nothing while its certificate is not the one that the store holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    CertsError,
    crl::IssuedList,
    denied::{self, TravelledDenyList},
    index::{Index, IndexEvent},
    pem,
    rollover::next_ca,
    shared::{SharedDocument, SharedStore, SharedTurn, SharedView},
    store::{Paths, Store},
    write::{self, Existing, FileMode, Lock},
};

/// The file of a directory that says which store it has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinedStore {
    /// Where the store is; there is no password in it.
    pub store: String,
    /// The file with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl JoinedStore {
    /// Where a directory says it.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("store.json")
    }

    /// Which store a directory has joined, if any.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>, CertsError> {
        let path = Self::path(dir);
        if !path.is_file() {
            return Ok(None);
        }
        let read = serde_json::from_slice(&write::read(&path)?);
        read.map(Some).map_err(|_| CertsError::Unexpected {
            path,
            expected: "where the store of this directory is, in JSON",
            found: "something else".into(),
            hint: Some("remove the file, and name the store again with --store".into()),
        })
    }

    /// Has a directory say it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), CertsError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| CertsError::crypto("encode where the store is", source))?;
        write::create_private_dir(dir)?;
        let path = Self::path(dir);
        write::write(&path, &text, FileMode::Public, Existing::Replace)
    }
}

/// Where the index of a CA is.
#[derive(Clone, Debug)]
pub struct StorePlace {
    dir: PathBuf,
    shared: Option<(Arc<dyn SharedStore>, JoinedStore)>,
}

impl StorePlace {
    /// In the directory.
    #[must_use]
    pub fn directory(dir: &Path) -> Self {
        Self {
            dir: dir.into(),
            shared: None,
        }
    }

    /// In a store that others share, beside the directory's files.
    #[must_use]
    pub fn shared(dir: &Path, store: Arc<dyn SharedStore>, said: JoinedStore) -> Self {
        Self {
            dir: dir.into(),
            shared: Some((store, said)),
        }
    }

    /// The directory of the CA's files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The store that others share, if there is one.
    #[must_use]
    pub fn store(&self) -> Option<&Arc<dyn SharedStore>> {
        self.shared.as_ref().map(|(store, _)| store)
    }

    /// The files of the directory, where those that the store decides about are as the store has them.
    ///
    /// # Errors
    /// When the store cannot be asked, or is of another CA.
    pub fn paths(&self) -> Result<Paths, CertsError> {
        match self.shared {
            Some(_) => Ok(self.open()?.paths),
            None => Ok(Paths::of(&self.dir)),
        }
    }

    /// The index as it is now, to be read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn index(&self) -> Result<Index, CertsError> {
        match &self.shared {
            Some((store, said)) => {
                let view = store.view()?;
                same_ca(&Paths::of(&self.dir), &view, said)?;
                Ok(Index::of_view(&view))
            }
            None => {
                self.alone()?;
                Index::read(&Paths::of(&self.dir).index)
            }
        }
    }

    /// Opens the directory, creating it (0700) when missing, and waits for its lock; then for the store's.
    ///
    /// # Errors
    /// When others have a lock for too long, or the store cannot be asked or is of another CA.
    pub fn open(&self) -> Result<Store, CertsError> {
        self.open_as(false)
    }

    /// Opens it to end a rollover, which another host of the store may have ended before.
    ///
    /// # Errors
    /// Those of [`StorePlace::open`].
    pub fn open_to_finish(&self) -> Result<Store, CertsError> {
        self.open_as(true)
    }

    fn open_as(&self, finishing: bool) -> Result<Store, CertsError> {
        write::create_private_dir(&self.dir)?;
        let lock = Lock::acquire(&self.dir)?;
        let Some((store, said)) = &self.shared else {
            self.alone()?;
            let paths = Paths::of(&self.dir);
            let index = Index::read_locked(&paths.index)?;
            return Ok(Store::new(paths, index, lock));
        };
        let paths = Paths::of(&self.dir);
        let mut turn = store.turn()?;
        same_index(&paths, turn.view())?;
        if !finishing {
            same_ca(&paths, turn.view(), said)?;
        }
        // Before the first event is moved, so that nobody uses the directory without the store any more.
        if JoinedStore::read(&self.dir)?.as_ref() != Some(said) {
            said.write(&self.dir)?;
        }
        if take_over(&paths, &mut *turn)? {
            drop(turn);
            turn = store.turn()?;
        }
        put_aside(&paths, turn.view())?;
        let spent = Index::spent(turn.view());
        if !spent.is_empty() {
            turn.forget(&spent)?;
            drop(turn);
            turn = store.turn()?;
        }
        copy_documents(&paths, turn.view())?;
        // What was just copied may have decided about the layout.
        let paths = Paths::of(&self.dir);
        Ok(Store::new(paths, Index::of_turn(turn), lock))
    }

    /// That the directory has not joined a store.
    fn alone(&self) -> Result<(), CertsError> {
        match JoinedStore::read(&self.dir)? {
            None => Ok(()),
            Some(joined) => Err(CertsError::refused(
                format!(
                    "the index of {:?} is in the store {:?}, which this command does not use",
                    self.dir, joined.store
                ),
                "use `dockgate signer` with a directory that has joined a store; --auto-certs needs one that has not",
            )),
        }
    }
}

/// Puts what a directory has into a store that has nothing so far; whether anything was written.
fn take_over(paths: &Paths, turn: &mut dyn SharedTurn) -> Result<bool, CertsError> {
    let view = turn.view();
    let fresh = view.is_empty();
    let signs = paths.ca.is_file() && paths.ca_key.is_file();
    let is_known = view.documents.contains_key(&SharedDocument::Ca);
    if !fresh && (is_known || !signs) {
        return Ok(false);
    }
    let (mut lines, mut documents) = (Vec::new(), Vec::new());
    if signs {
        documents.push((SharedDocument::Ca, text(&paths.ca)?));
    }
    if fresh {
        let index = Index::read_locked(&paths.index)?;
        let encode = |event: &IndexEvent| serde_json::to_string(event);
        lines = index
            .events()
            .map(encode)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| CertsError::crypto("encode an index line", source))?;
        let denied = denied::path(paths);
        for (document, path) in [
            (SharedDocument::Crl, &paths.crl),
            (SharedDocument::Denied, &denied),
        ] {
            if path.is_file() {
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
fn same_index(paths: &Paths, view: &SharedView) -> Result<(), CertsError> {
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
fn put_aside(paths: &Paths, view: &SharedView) -> Result<(), CertsError> {
    if !paths.index.is_file() || !is_beginning(paths, view)? {
        return Ok(());
    }
    let aside = paths.index.with_extension("jsonl.moved");
    std::fs::rename(&paths.index, &aside)
        .map_err(|source| CertsError::io("put aside", &paths.index, source))
}

/// That the CA of a directory with its key is the one of the store.
fn same_ca(paths: &Paths, view: &SharedView, said: &JoinedStore) -> Result<(), CertsError> {
    let Some(stored) = view.documents.get(&SharedDocument::Ca) else {
        return Ok(());
    };
    // A rollover that was cut short here goes on here.
    if !paths.ca.is_file() || !paths.ca_key.is_file() || next_ca(paths).is_file() {
        return Ok(());
    }
    let ders = |text: &[u8]| {
        let blocks = pem::read(text).unwrap_or_default();
        let ders = blocks.into_iter().map(|block| block.der.to_vec());
        ders.collect::<Vec<_>>()
    };
    if ders(&write::read(&paths.ca)?) == ders(stored.as_bytes()) {
        return Ok(());
    }
    Err(CertsError::Unavailable {
        doing: "use",
        store: said.store.clone(),
        source: format!("{:?} is not the CA that the store has", paths.ca).into(),
        hint: "after a rollover on another host bring its CA's files here (docs/tasks/several-signers.md); another CA needs a store of its own",
    })
}

/// Copies the documents of a store to where they are read.
fn copy_documents(paths: &Paths, view: &SharedView) -> Result<(), CertsError> {
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
                SharedDocument::Ca => true,
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
    Ok(())
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
