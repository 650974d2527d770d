//! What several signers of one CA have in common when it is not in a directory: events and documents in one store.
//!
//! Contract of an implementation: writes are made by one process after another. A write that is based on a state which is
//! not the last one is refused, whatever became of locks. A write whose outcome is not known is looked up before it is
//! tried again. Nothing is answered from memory when the store cannot be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use super::{CertsError, event::IndexEvent};

/// A document that all signers of one CA give out alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedDocument {
    /// The certificates of the CA, in PEM.
    Ca,
    /// The revocation lists, in PEM.
    Crl,
    /// The deny list.
    Denied,
}

impl SharedDocument {
    /// What it is called in a store.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Crl => "crl",
            Self::Denied => "denied",
        }
    }

    /// The document of a name; nothing if a later version has put it there.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        [Self::Ca, Self::Crl, Self::Denied]
            .into_iter()
            .find(|it| it.id() == id)
    }
}

/// What a store holds at one moment.
#[derive(Clone, Debug, Default)]
pub struct SharedView {
    /// Which moment: a later one has a higher number.
    pub change: i64,
    /// All events, oldest first.
    pub events: Vec<Arc<IndexEvent>>,
    /// What the store calls each of them, in the same order.
    pub positions: Vec<i64>,
    /// How many bytes the events have, as JSON.
    pub bytes: u64,
    /// The documents that are there.
    pub documents: BTreeMap<SharedDocument, Arc<str>>,
}

impl SharedView {
    /// Whether nothing was ever written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.documents.is_empty()
    }

    /// The certificates of its CA in PEM, if it has one.
    #[must_use]
    pub fn ca(&self) -> Option<&str> {
        self.documents.get(&SharedDocument::Ca).map(AsRef::as_ref)
    }
}

/// What a store says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCondition {
    /// Which server it is, and the form of what it holds.
    pub server: String,
    /// The certificates of its CA in PEM, if it has one.
    pub ca: Option<Arc<str>>,
    /// Its revocation lists in PEM, if it has any.
    pub crl: Option<Arc<str>>,
}

/// A store that several signers share.
pub trait SharedStore: Debug + Send + Sync {
    /// What it holds now.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn view(&self) -> Result<Arc<SharedView>, CertsError>;

    /// Looks at it, and changes nothing.
    ///
    /// # Errors
    /// When it cannot be asked, or holds nothing of dockgate's.
    fn examine(&self) -> Result<StoreCondition, CertsError>;

    /// Waits until no other process writes; none does as long as what is returned lives.
    ///
    /// # Errors
    /// When the store cannot be asked, or others have it for too long.
    fn turn(&self) -> Result<Box<dyn SharedTurn>, CertsError>;
}

/// The right to write to a shared store.
pub trait SharedTurn: Debug + Send + Sync {
    /// What the store held when the turn began.
    fn view(&self) -> &Arc<SharedView>;

    /// Writes events, each as JSON, and documents: all or nothing of them. When this returns they are on disk.
    ///
    /// # Errors
    /// When the store cannot be asked, or somebody has written since the turn began.
    fn write(
        &mut self,
        events: &[String],
        documents: &[(SharedDocument, &str)],
    ) -> Result<(), CertsError>;

    /// Takes events out that nobody needs any more, by their places in the view.
    ///
    /// # Errors
    /// When the store cannot be asked, or somebody has written since the turn began.
    fn forget(&mut self, places: &BTreeSet<usize>) -> Result<(), CertsError>;
}
