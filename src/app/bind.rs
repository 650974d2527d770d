//! Sockets to listen on: bound here, or passed in by a service manager; and the descriptors they will need.

use std::io;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::listen::{self, Listen};
use crate::listener;

/// Binds what `serve` listens on; `check` asks the same.
pub(crate) fn bind(listen: &Listen) -> io::Result<Vec<TcpListener>> {
    match listen {
        Listen::Tcp { addr, only_v6 } => Ok(vec![listener::bind(*addr, *only_v6)?]),
        Listen::Any { port } => {
            let v6 = listener::bind((std::net::Ipv6Addr::UNSPECIFIED, *port).into(), false);
            match v6 {
                Err(e)
                    if e.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) =>
                {
                    Ok(vec![listener::bind(
                        (std::net::Ipv4Addr::UNSPECIFIED, *port).into(),
                        false,
                    )?])
                }
                other => Ok(vec![other?]),
            }
        }
        Listen::Named { .. } => {
            let found = listen::looked_up(std::slice::from_ref(listen));
            let found = found.map_err(io::Error::other)?;
            let bound: io::Result<Vec<_>> = found.iter().map(bind).collect();
            Ok(bound?.into_iter().flatten().collect())
        }
        Listen::Systemd { name } => inherited(name.as_deref()),
    }
}

/// Sockets passed in by the service manager (sd_listen_fds(3)).
fn inherited(name: Option<&str>) -> io::Result<Vec<TcpListener>> {
    let mut passed = listenfd::ListenFd::from_env();
    let names: Vec<String> = std::env::var("LISTEN_FDNAMES")
        .unwrap_or_default()
        .split(':')
        .map(str::to_owned)
        .collect();
    let mut found = Vec::new();
    for index in 0..passed.len() {
        let number = (index + 3).to_string();
        let wanted =
            name.is_none_or(|n| n == number || names.get(index).is_some_and(|own| own == n));
        if wanted && let Some(listener) = passed.take_tcp_listener(index)? {
            listener.set_nonblocking(true)?;
            found.push(listener);
        }
    }
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the service manager passed no such TCP socket (LISTEN_FDS)",
        ));
    }
    Ok(found)
}

/// Whether the service manager passed in a socket of this port: then nobody else can listen there.
pub(super) fn is_passed_in(port: u16) -> bool {
    let mut passed = listenfd::ListenFd::from_env();
    (0..passed.len()).any(|index| {
        let taken = passed.take_tcp_listener(index).ok().flatten();
        taken.is_some_and(|listener| {
            let address = listener.local_addr();
            // It stays open: it is not this function's.
            let _ = listener.into_raw_fd();
            address.is_ok_and(|address| address.port() == port)
        })
    })
}

/// Each client costs two descriptors; the soft limit is a leftover of select(2).
pub(super) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        // What cannot be raised stays, and the acceptor copes.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
    }
}
