//! The user that the gate becomes (`user`): looked up in the system's databases, with the groups it has there.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Group, Uid, User, geteuid, getgrouplist, getgroups, getresgid, getresuid, setgroups,
    setresgid, setresuid,
};

use crate::config::RunAs;

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// As it was written.
    name: String,
    uid: Uid,
    gid: Gid,
    /// Beside `gid`.
    groups: Vec<Gid>,
}

/// Why the gate cannot become that user.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody has this name.
    #[error("there is no user {0:?}")]
    NoUser(String),
    /// No group has this name.
    #[error("there is no group {0:?}")]
    NoGroup(String),
    /// A number without an entry has no group of its own.
    #[error("user {0} has no entry in the system's list of users, so its group is not known")]
    NoGroupOf(u32),
    /// It would stay root.
    #[error("user {0:?} is root, which is what the setting is there to leave")]
    Root(String),
    /// Somebody else than root wants to become another.
    #[error("only root can become user {0}")]
    NotRoot(String),
    /// The system refused.
    #[error("cannot become user {name}")]
    System {
        /// As it was written.
        name: String,
        /// What it said.
        source: io::Error,
    },
}

impl AccountError {
    /// The advice, for a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoUser(name) => format!("`useradd --system {name}` makes it"),
            Self::NoGroupOf(uid) => format!("write user = \"{uid}:GROUP\""),
            Self::Root(_) => "leave the setting out to run as root".to_owned(),
            Self::NotRoot(_) => {
                "start as root, or leave the setting out and start as that user".to_owned()
            }
            Self::NoGroup(_) | Self::System { .. } => return None,
        })
    }
}

impl Account {
    /// Looks a user up.
    ///
    /// # Errors
    /// When it or its group does not exist, or is root.
    pub fn find(wanted: &RunAs) -> Result<Self, AccountError> {
        let name = wanted.to_string();
        let system = |errno: Errno| AccountError::System {
            name: name.clone(),
            source: errno.into(),
        };
        let number = wanted.user.parse::<u32>().ok().map(Uid::from_raw);
        let entry = match number {
            Some(uid) => User::from_uid(uid),
            None => User::from_name(&wanted.user),
        };
        let entry = entry.map_err(system)?;
        let uid = entry.as_ref().map(|user| user.uid).or(number);
        let uid = uid.ok_or_else(|| AccountError::NoUser(wanted.user.clone()))?;
        let gid = match (&wanted.group, &entry) {
            (Some(group), _) => match group.parse::<u32>() {
                Ok(number) => Gid::from_raw(number),
                Err(_) => Group::from_name(group)
                    .map_err(system)?
                    .map(|group| group.gid)
                    .ok_or_else(|| AccountError::NoGroup(group.clone()))?,
            },
            (None, Some(user)) => user.gid,
            (None, None) => return Err(AccountError::NoGroupOf(uid.as_raw())),
        };
        if uid.is_root() || gid.as_raw() == 0 {
            return Err(AccountError::Root(name));
        }
        // A group that is named replaces all others, as with `docker run --user`.
        let groups = match (&wanted.group, entry) {
            (None, Some(user)) => {
                let name = CString::new(user.name).unwrap_or_default();
                getgrouplist(&name, gid).map_err(system)?
            }
            _ => Vec::new(),
        };
        let groups = groups.into_iter().filter(|group| *group != gid).collect();
        Ok(Self {
            name,
            uid,
            gid,
            groups,
        })
    }

    /// Makes the process this user, for good. Nothing is left of root: real, effective and saved ids change, and with them the
    /// capabilities go (capabilities(7)).
    ///
    /// # Errors
    /// When the process is neither root nor that user, or the system refuses.
    pub fn become_it(&self) -> Result<(), AccountError> {
        if !geteuid().is_root() {
            return match geteuid() == self.uid {
                true => Ok(()),
                false => Err(AccountError::NotRoot(self.name.clone())),
            };
        }
        let changed = || -> Result<(), Errno> {
            setgroups(&self.groups)?;
            setresgid(self.gid, self.gid, self.gid)?;
            setresuid(self.uid, self.uid, self.uid)?;
            let (users, groups) = (getresuid()?, getresgid()?);
            let is_it = [users.real, users.effective, users.saved] == [self.uid; 3]
                && [groups.real, groups.effective, groups.saved] == [self.gid; 3]
                && getgroups()?
                    .iter()
                    .all(|group| *group == self.gid || self.groups.contains(group));
            match is_it {
                true => Ok(()),
                false => Err(Errno::EPERM),
            }
        };
        changed().map_err(|errno| AccountError::System {
            name: self.name.clone(),
            source: errno.into(),
        })
    }

    /// User and group in numbers.
    #[must_use]
    pub fn ids(&self) -> (u32, u32) {
        (self.uid.as_raw(), self.gid.as_raw())
    }

    /// Makes a directory of this user's, where there is none yet.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn make_directory(&self, dir: &Path) -> io::Result<()> {
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                std::os::unix::fs::chown(dir, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
            }
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (user {}, group {}", self.name, self.uid, self.gid)?;
        for group in &self.groups {
            write!(f, ", {group}")?;
        }
        f.write_str(")")
    }
}
