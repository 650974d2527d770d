//! The user that the gate becomes (`user`): looked up in /etc/passwd, with the groups that /etc/group has.
//!
//! Not by the C library: one that is linked statically loads its name services at run time, and crashes where they do not fit.

use std::fmt;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, geteuid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid,
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
        let read = |path: &str| {
            read_list(Path::new(path)).map_err(|source| AccountError::System {
                name: name.clone(),
                source,
            })
        };
        let (users, groups) = (read("/etc/passwd")?, read("/etc/group")?);
        let number = wanted.user.parse::<u32>().ok();
        let entry = lines(&users).find_map(|fields| {
            let [user, _, uid, gid, ..] = fields[..] else {
                return None;
            };
            let (uid, gid) = (uid.parse::<u32>().ok()?, gid.parse::<u32>().ok()?);
            (number.map_or(user == wanted.user, |number| number == uid)).then_some((user, uid, gid))
        });
        let uid = entry.map(|(_, uid, _)| uid).or(number);
        let uid = uid.ok_or_else(|| AccountError::NoUser(wanted.user.clone()))?;
        let gid = match (&wanted.group, entry) {
            (Some(group), _) => group_of(&groups, group)?,
            (None, Some((_, _, gid))) => gid,
            (None, None) => return Err(AccountError::NoGroupOf(uid)),
        };
        if uid == 0 || gid == 0 {
            return Err(AccountError::Root(name));
        }
        // A group that is named replaces all others, as with `docker run --user`.
        let groups = match (&wanted.group, entry) {
            (None, Some((user, ..))) => groups_with(&groups, user),
            _ => Vec::new(),
        };
        let groups = groups.into_iter().filter(|group| *group != gid);
        let groups = groups.map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
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

/// A list of users or groups. A system without one, as an image with one file in it, has nobody in it.
fn read_list(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// The entries of a database, a line each (passwd(5), group(5)).
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// A group's number, by its name or its number.
fn group_of(groups: &str, wanted: &str) -> Result<u32, AccountError> {
    let number = wanted.parse().ok();
    let named = || {
        lines(groups)
            .find(|fields| fields[0] == wanted)?
            .get(2)?
            .parse()
            .ok()
    };
    let found = number.or_else(named);
    found.ok_or_else(|| AccountError::NoGroup(wanted.to_owned()))
}

/// The groups that a user is a member of, beside the user's own.
fn groups_with(groups: &str, user: &str) -> Vec<u32> {
    let number = |fields: Vec<&str>| {
        let members = fields.get(3)?;
        let is_member = members.split(',').any(|member| member == user);
        is_member.then(|| fields[2].parse().ok())?
    };
    lines(groups).filter_map(number).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "root:x:0:\ndocker:x:999:alice,bob\nadm:x:4:bob\nbroken\nodd:x:many:bob\n";

    #[test]
    fn a_list_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let list = dir.path().join("passwd");
        assert_eq!(read_list(&list).ok(), Some(String::new()));
        std::fs::create_dir(&list).expect("a directory in its place");
        assert!(read_list(&list).is_err());
    }

    #[test]
    fn groups_are_found_by_name_number_and_member_and_broken_lines_are_passed_over() {
        assert_eq!(group_of(GROUPS, "docker").ok(), Some(999));
        assert_eq!(group_of(GROUPS, "123").ok(), Some(123));
        for missing in ["dock", "broken", "odd", "alice"] {
            assert!(group_of(GROUPS, missing).is_err(), "{missing}");
        }
        assert_eq!(groups_with(GROUPS, "bob"), [999, 4]);
        assert_eq!(groups_with(GROUPS, "alice"), [999]);
        assert!(groups_with(GROUPS, "bo").is_empty());
    }
}
