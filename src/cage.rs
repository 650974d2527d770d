//! The cage: what the process may do once it serves, kept by the kernel.
//!
//! Landlock leaves it the directories of its own files and takes everything else of the file system, every new TCP connection
//! and listener, and signals to others. A filter of system calls takes starting programs, sockets of other families, and what
//! only administrators do. Of root's capabilities one stays, nothing gains privileges, and no core is dumped. Each holds for the calling thread and for threads
//! that it starts from then on: [`Cage::enter`] comes after everything is bound and read, and before the first thread.
//!
//! It is best effort by kernel: [`Strength`] says what is in force. A container's profile may withhold it.

mod account;
mod calls;
mod places;

pub use account::{Account, AccountError};
pub use places::{KeptPlaces, PlaceRight};

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::config::Config;

/// The newest Landlock whose rights are handled here; each was tried on a kernel that has it.
const LANDLOCK: ABI = ABI::V6;

/// The first Landlock that knows TCP (Linux 6.7).
const KNOWS_TCP: i32 = 4;

/// A cage that the process is in.
#[derive(Debug)]
pub struct Cage {
    places: KeptPlaces,
    /// What is in force.
    pub strength: Strength,
    /// Keeps the entry in the kernel's memory: a rule holds for the entry it was made of, and /proc makes new ones.
    _process: Option<OwnedFd>,
}

/// What the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strength {
    /// The version of Landlock, where there is one.
    pub landlock: Option<i32>,
    /// Whether system calls are filtered.
    pub calls: bool,
}

impl Strength {
    /// Whether nothing is missing but what newer kernels add.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.landlock.is_some() && self.calls
    }
}

/// Why the cage cannot be entered although the kernel has it.
#[derive(Debug, thiserror::Error)]
pub enum CageError {
    /// Landlock refuses the rules.
    #[error("Landlock refuses the rules of the cage")]
    Landlock(#[from] RulesetError),
    /// Core dumps cannot be turned off.
    #[error("core dumps cannot be turned off")]
    Cores(#[source] rustix::io::Errno),
    /// Capabilities cannot be given up.
    #[error("the capabilities of root cannot be given up")]
    Capabilities(#[source] rustix::io::Errno),
}

impl Cage {
    /// Confines the calling thread, and the threads that it starts from now on, to what `config` names.
    ///
    /// # Errors
    /// When a kernel that has Landlock refuses the rules. One that lacks it, or the filter, is no error: see [`Strength`].
    pub fn enter(config: &Config) -> Result<Self, CageError> {
        let none = Some(0);
        setrlimit(
            Resource::Core,
            Rlimit {
                current: none,
                maximum: none,
            },
        )
        .map_err(CageError::Cores)?;
        // Neither is its memory for other processes of its user to read (ptrace(2)).
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(CageError::Cores)?;
        give_up_capabilities().map_err(CageError::Capabilities)?;
        let places = KeptPlaces::of(config);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            _process: rustix::fs::open("/proc/self", flags, Mode::empty()).ok(),
            strength: confine(&places)?,
            places,
        })
    }

    /// A file that `config` names and that cannot be read or kept in here, because the cage was made before it.
    #[must_use]
    pub fn outside(&self, config: &Config) -> Option<PathBuf> {
        self.strength.landlock?;
        self.places.outside(config)
    }
}

/// What the kernel would enforce here. Tried in a thread of its own, which the cage ends with.
#[must_use]
pub fn strength() -> Strength {
    let tried = std::thread::spawn(|| confine(&KeptPlaces::default()));
    match tried.join() {
        Ok(Ok(strength)) => strength,
        // What refuses empty rules does not take others either.
        _ => Strength {
            landlock: None,
            calls: false,
        },
    }
}

/// Leaves of root's capabilities the one by which root opens files and sockets of others: certificates may be somebody else's, and
/// so may the engine's socket.
fn give_up_capabilities() -> rustix::io::Result<()> {
    let held = capabilities(None)?;
    let kept = held.effective & CapabilitySet::DAC_OVERRIDE;
    let left = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    // A service manager that has left none may refuse to change them.
    match held == left {
        true => Ok(()),
        false => set_capabilities(None, left),
    }
}

/// Both restraints, on the calling thread.
fn confine(places: &KeptPlaces) -> Result<Strength, CageError> {
    let landlock = match restrict(places)?.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => Some(kernel_abi.unwrap_or(effective_abi as i32)),
        _ => None,
    };
    Ok(Strength {
        landlock,
        calls: calls::filter(places),
    })
}

fn restrict(places: &KeptPlaces) -> Result<RestrictionStatus, RulesetError> {
    // A service manager's socket may be an abstract one.
    let abstract_sockets = std::env::var_os("NOTIFY_SOCKET")
        .is_some_and(|path| path.as_encoded_bytes().starts_with(b"@"));
    let scope = match abstract_sockets {
        true => Scope::Signal.into(),
        false => Scope::from_all(LANDLOCK),
    };
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(scope)?
        .create()?;
    for (path, grant) in places.all() {
        // What is not there cannot be opened either.
        let Ok(file) = PathFd::new(path) else {
            continue;
        };
        let mut rights = grant.rights();
        if !path.is_dir() {
            rights &= AccessFs::from_file(LANDLOCK);
        }
        rules = rules.add_rule(PathBeneath::new(file, rights))?;
    }
    rules.restrict_self()
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            Some(abi) if abi < KNOWS_TCP => write!(f, "Landlock ABI {abi} (files, not TCP)")?,
            Some(abi) => write!(f, "Landlock ABI {abi} (files and TCP)")?,
            None => f.write_str("no Landlock")?,
        }
        f.write_str(match self.calls {
            true => ", a filter of system calls",
            false => ", no filter of system calls",
        })?;
        f.write_str(", no new privileges, no core dumps")
    }
}
