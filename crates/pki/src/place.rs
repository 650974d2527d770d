//! Where the index of a CA is: in its directory, or in a store that several signers share.
//!
//! Contract: with a shared store the directory holds the CA's files, this host's own certificates, and copies of what the store
//! holds. A directory that has joined a store says so in a file, and is never again used without that store. A CA's key signs
//! nothing while its certificate is not the one that the store holds. A CA whose key is elsewhere has its certificates and its
//! list there too: each host has its own copies of them, and the store has none.

mod ca;
mod copies;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::ca::CaMatch;
use super::{
    CertsError,
    index::Index,
    shared::{SharedStore, SharedTurn, StoreCondition},
    store::{Paths, Store},
    write::{self, Existing, FileMode, Lock},
};

/// There is no CA in a directory: where there is one, or how it is made; `also` is what else names one.
#[must_use]
pub fn no_ca(dir: &Path, also: &str) -> CertsError {
    let usual = Path::new("certs");
    let hint = match !dir.ends_with(usual) && Paths::of(usual).ca.is_file() {
        true => format!("there is one in ./certs: leave --dir out{also}"),
        false => {
            let option = Paths::of(dir).option();
            format!("make one with `dockgate certs init{option}`{also}")
        }
    };
    CertsError::refused(format!("there is no CA in {dir:?}"), hint)
}

/// The file of a directory that says which store it has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinedStore {
    /// Where the store is, without its password.
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

    /// The file with the password, if every user of this host can read it.
    #[must_use]
    pub fn exposed_password(&self) -> Option<&Path> {
        use std::os::unix::fs::PermissionsExt;
        let file = self.password_file.as_deref()?;
        let mode = file.metadata().ok()?.permissions().mode();
        (mode & 0o004 != 0).then_some(file)
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
    /// Whether the CA's key is neither here nor in the directory of another host.
    elsewhere: bool,
}

impl StorePlace {
    /// In the directory.
    #[must_use]
    pub fn directory(dir: &Path) -> Self {
        Self {
            dir: dir.into(),
            shared: None,
            elsewhere: false,
        }
    }

    /// In a store that others share, beside the directory's files.
    #[must_use]
    pub fn shared(dir: &Path, store: Arc<dyn SharedStore>, said: JoinedStore) -> Self {
        Self {
            dir: dir.into(),
            shared: Some((store, said)),
            elsewhere: false,
        }
    }

    /// The same of a CA whose key is elsewhere, or not.
    #[must_use]
    pub fn with_ca_elsewhere(self, elsewhere: bool) -> Self {
        Self { elsewhere, ..self }
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

    /// The file with the store's password, if every user of this host can read it.
    #[must_use]
    pub fn exposed_password(&self) -> Option<&Path> {
        self.shared.as_ref()?.1.exposed_password()
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

    /// That the directory can be used with a store that says this of itself. It waits for no lock and changes nothing.
    ///
    /// # Errors
    /// When the store is of another CA, or a file cannot be read.
    pub fn fits(&self, condition: &StoreCondition) -> Result<(), CertsError> {
        let Some((_, said)) = &self.shared else {
            return Ok(());
        };
        let ca = CaMatch::of(self, &Paths::of(&self.dir), condition.ca.as_deref())?;
        ca.usable(&self.dir, said)
    }

    /// The index as it is now, to be read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn index(&self) -> Result<Index, CertsError> {
        match &self.shared {
            Some((store, said)) => {
                let view = store.view()?;
                let ca = CaMatch::of(self, &Paths::of(&self.dir), view.ca())?;
                ca.usable(&self.dir, said)?;
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
        let mut turn = store.turn()?;
        while self.settle(said, &mut *turn, finishing)? {
            drop(turn);
            turn = store.turn()?;
        }
        // What was copied may have decided about the layout.
        let paths = Paths::of(&self.dir);
        Ok(Store::new(paths, Index::of_turn(turn), lock))
    }

    /// Has the directory and the store agree; whether the store was written to, so that another turn has to see it.
    fn settle(
        &self,
        said: &JoinedStore,
        turn: &mut dyn SharedTurn,
        finishing: bool,
    ) -> Result<bool, CertsError> {
        let paths = Paths::of(&self.dir);
        copies::same_index(&paths, turn.view())?;
        let ca = CaMatch::of(self, &paths, turn.view().ca())?;
        if !(finishing && ca == CaMatch::Ended) {
            ca.usable(&self.dir, said)?;
        }
        // Before the first event is moved, so that nobody uses the directory without the store any more.
        if JoinedStore::read(&self.dir)?.as_ref() != Some(said) {
            said.write(&self.dir)?;
        }
        if copies::take_over(&paths, turn, self.elsewhere)? {
            return Ok(true);
        }
        copies::put_aside(&paths, turn.view())?;
        let spent = Index::spent(turn.view());
        if !spent.is_empty() {
            turn.forget(&spent)?;
            return Ok(true);
        }
        if !self.elsewhere {
            copies::take_documents(&paths, turn.view(), &ca)?;
        }
        Ok(false)
    }

    /// Whether the directory has joined the store that it is used with.
    fn has_joined(&self) -> Result<bool, CertsError> {
        let joined = JoinedStore::read(&self.dir)?;
        let said = self.shared.as_ref().map(|(_, said)| &said.store);
        Ok(joined.is_some_and(|it| Some(&it.store) == said))
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
