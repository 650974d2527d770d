//! A look at the files: whether they have changed, and the generation they make. Blocks on the file system.

use std::sync::Arc;

use crate::cage::Cage;
use crate::cli::ServeArgs;
use crate::config::{self, Config};
use crate::error;
use crate::generation::{Generation, snapshot};
use crate::house::Survey;
use pki::identity;

/// What a look found.
pub(super) enum FoundFiles {
    Unchanged,
    /// The files differ from those in force; they count once the next look sees the same bytes (of this digest).
    Changing([u8; 32]),
    New(Box<New>),
    /// What is wrong, and the digest of the files it was found in.
    Fault(String, [u8; 32]),
}

/// A generation that was built, and what it was built from.
pub(super) struct New {
    pub(super) config: Config,
    pub(super) generation: Generation,
    pub(super) survey: Survey,
    /// Of the files before they were read: a change in the meantime shows at the next look.
    pub(super) seen: [u8; 32],
}

/// What the reloader knows when it looks.
#[derive(Clone)]
pub(super) struct KnownFiles {
    pub(super) args: ServeArgs,
    pub(super) config: Config,
    /// What confines this process.
    pub(super) cage: Option<Arc<Cage>>,
    /// Revocation lists are in force.
    pub(super) has_lists: bool,
    /// Of the files in force.
    pub(super) seen: [u8; 32],
    /// Of what the last poll saw, where that differed.
    pub(super) changing: Option<[u8; 32]>,
    /// Of the files that were faulty.
    pub(super) faulty: Option<[u8; 32]>,
}

impl KnownFiles {
    /// A reload that somebody asked for: whatever the files are now.
    pub(super) fn asked(&self) -> FoundFiles {
        let digest = self.digest();
        self.build(digest)
    }

    /// A look of the poll. A change counts when two looks one interval apart have seen the same bytes: a file that is being
    /// written is not yet what somebody wants to be in force.
    pub(super) fn polled(&self) -> FoundFiles {
        if self.faulty.is_none() && snapshot(&self.config) == self.seen {
            return FoundFiles::Unchanged;
        }
        let digest = self.digest();
        if self.faulty == Some(digest) {
            return FoundFiles::Unchanged;
        }
        if self.changing != Some(digest) {
            return FoundFiles::Changing(digest);
        }
        let found = self.build(digest);
        // What changed while it was read is being written still.
        match self.digest() {
            after if after == digest => found,
            after => FoundFiles::Changing(after),
        }
    }

    /// A digest of what is in force and of what would be: the file that mends a fault may be one that only the new
    /// configuration names.
    fn digest(&self) -> [u8; 32] {
        let mut parts = snapshot(&self.config).to_vec();
        match config::load(&self.args, std::env::vars_os()) {
            Ok(config) => parts.extend(snapshot(&config)),
            Err(error) => parts.extend(error.to_string().into_bytes()),
        }
        identity::sha256(&parts)
    }

    fn build(&self, digest: [u8; 32]) -> FoundFiles {
        match self.try_build() {
            Ok(new) => FoundFiles::New(Box::new(new)),
            Err(fault) => FoundFiles::Fault(fault, digest),
        }
    }

    /// A fault, and whether the cage is what keeps a file from being read.
    fn explained(&self, fault: String, config: &Config) -> String {
        match self.outside(config) {
            Some(outside) => format!("{fault}; {outside}"),
            None => fault,
        }
    }

    fn outside(&self, config: &Config) -> Option<String> {
        let path = self.cage.as_ref()?.outside(config)?;
        Some(format!(
            "{} lies outside of the cage, which is made at the start: restart the gate",
            path.display()
        ))
    }

    fn try_build(&self) -> Result<New, String> {
        let load = || {
            config::load(&self.args, std::env::vars_os())
                .map_err(|error| self.explained(error.to_string(), &self.config))
        };
        let seen = snapshot(&load()?);
        // Read again, now that what it names is on record: whatever changes from here on differs from the record.
        let config = load()?;
        if config.auto_certs != self.config.auto_certs
            && let Some(outside) = self.outside(&config)
        {
            return Err(outside);
        }
        let generation = Generation::build(&config)
            .map_err(|fault| self.explained(error::report(&fault), &config))?;
        // A list that has merely gone must not bring revoked clients back; taking it out of the configuration may.
        if self.has_lists
            && !generation.has_lists()
            && self.config.tls_paths() == config.tls_paths()
        {
            return Err(
                "the revocation lists in force have gone: put them back, or change tlscrl"
                    .to_owned(),
            );
        }
        Ok(New {
            survey: Survey::of(&config),
            config,
            generation,
            seen,
        })
    }
}

#[cfg(test)]
mod tests;
