//! Who holds a TCP port, as far as `/proc` lets this user see it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Lines of a table and processes that are looked at; a machine with more keeps its secret.
const MOST: usize = 100_000;

/// The state LISTEN in `/proc/net/tcp` (`TCP_LISTEN`, proc_net_tcp(5)).
const LISTEN: &str = "0A";

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// The name of its program.
    pub name: String,
}

impl Holder {
    /// Whether it is the first process of the machine, which holds the addresses of socket units.
    #[must_use]
    pub fn is_manager(&self) -> bool {
        self.pid == 1
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, pid {}", text::escape::line(&self.name), self.pid)
    }
}

/// The process that listens on a TCP port of this network namespace; `None` when there is none, or it is not ours to see.
#[must_use]
pub fn of(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .flat_map(|table| listening(Path::new(table), port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.take(MOST).flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = ids.find(|pid| holds(*pid, &inodes))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder {
        pid,
        name: name.trim_end().to_owned(),
    })
}

/// The inodes of the listening sockets of a port in a table.
fn listening(table: &Path, port: u16) -> Vec<String> {
    let Ok(file) = fs::File::open(table) else {
        return Vec::new();
    };
    let lines = BufReader::new(file)
        .lines()
        .take(MOST)
        .map_while(Result::ok);
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, own) = fields.get(1)?.rsplit_once(':')?;
            let is_it = u16::from_str_radix(own, 16).ok()? == port && *fields.get(3)? == LISTEN;
            is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
        .collect()
}

fn holds(pid: u32, inodes: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors.take(MOST).flatten().any(|entry| {
        fs::read_link(entry.path())
            .is_ok_and(|target| inodes.iter().any(|inode| target == Path::new(inode)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_found_and_nobody_where_nobody_does() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let holder = of(port).expect("this process");
        assert_eq!(holder.pid, std::process::id());
        drop(listener);
        assert_ne!(of(port).map(|holder| holder.pid), Some(std::process::id()));
    }
}
