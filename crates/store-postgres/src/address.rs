//! Where the database is: a URL without a password, and how its certificate is checked.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// A database's URL: `postgres://USER@HOST/DATABASE`, with `sslmode` and `sslrootcert` as libpq has them.
#[derive(Clone)]
pub struct DatabaseUrl {
    text: String,
    config: Config,
    roots: Option<PathBuf>,
}

/// Why a text is not the URL of a database. It quotes nothing of the text: there may be a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DatabaseUrlFault {
    what: &'static str,
    hint: &'static str,
}

impl DatabaseUrlFault {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

const FORM: &str = "write postgres://HOST/DATABASE, with the user before the host; docs/tasks/several-signers.md has examples";

fn fault(what: &'static str, hint: &'static str) -> DatabaseUrlFault {
    DatabaseUrlFault { what, hint }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlFault;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlFault> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(fault("this is not the URL of a PostgreSQL database", FORM));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) if Path::new(value).is_absolute() => {
                    roots = Some(PathBuf::from(value));
                }
                // The URL is kept with the directory, and used from everywhere.
                Some(("sslrootcert", _)) => {
                    return Err(fault(
                        "sslrootcert in the URL of the database is not an absolute path",
                        "write the whole path, such as sslrootcert=/etc/dockgate/db-ca.pem",
                    ));
                }
                // What else there is, the driver knows or refuses.
                _ => rest.push(pair),
            }
        }
        let plain = match rest.is_empty() {
            true => base.to_owned(),
            false => format!("{base}?{}", rest.join("&")),
        };
        let wrong = |_| fault("the URL of the database cannot be read", FORM);
        let mut config = Config::from_str(&plain).map_err(wrong)?;
        if config.get_password().is_some() {
            return Err(fault(
                "there is a password in the URL of the database, where every user of this host can read it",
                "leave it out, and write it into a file that --store-password-file names",
            ));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(fault("the URL of the database names no host", FORM));
        }
        config.ssl_mode(ssl_mode(mode, &config)?);
        Ok(Self {
            text: text.to_owned(),
            config,
            roots,
        })
    }
}

fn ssl_mode(written: Option<&str>, config: &Config) -> Result<SslMode, DatabaseUrlFault> {
    let sockets = config.get_hosts().iter().filter(|it| is_socket(it)).count();
    let only_sockets = sockets > 0 && sockets == config.get_hosts().len();
    match written {
        // There is no TLS on a socket of the file system.
        None | Some("disable") if only_sockets => Ok(SslMode::Disable),
        Some("disable") if is_here(config) => Ok(SslMode::Disable),
        Some("disable") => Err(fault(
            "sslmode=disable sends all to the database in the clear, over the network",
            "leave it out, or connect to a socket or an address of this host",
        )),
        _ if sockets > 0 => Err(fault(
            "there is no TLS on a socket of the file system",
            "leave sslmode out",
        )),
        None | Some("verify-full") => Ok(SslMode::Require),
        Some(_) => Err(fault(
            "this sslmode lets another server pass for the database",
            "leave it out or write sslmode=verify-full, and sslrootcert=FILE for a CA of your own",
        )),
    }
}

fn is_socket(host: &Host) -> bool {
    matches!(host, Host::Unix(_))
}

/// Whether nothing leaves this host.
fn is_here(config: &Config) -> bool {
    let is_loopback =
        |text: &str| text == "localhost" || text.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => is_loopback(name),
        Host::Unix(_) => true,
    });
    named && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

impl DatabaseUrl {
    /// How the driver has it.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The CAs that the database's certificate may be of; those of the system if not given.
    pub(crate) fn roots(&self) -> Option<&Path> {
        self.roots.as_deref()
    }

    /// Whether TLS is spoken.
    pub(crate) fn has_tls(&self) -> bool {
        self.config.get_ssl_mode() == SslMode::Require
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for DatabaseUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_verified_and_left_out_only_on_this_host() {
        for (url, mode) in [
            ("postgres://dockgate@db.example/dockgate", SslMode::Require),
            (
                "postgresql://db.example/x?sslmode=verify-full&sslrootcert=/ca.pem",
                SslMode::Require,
            ),
            ("postgres://a@127.0.0.1/x", SslMode::Require),
            ("postgres://a@127.0.0.1/x?sslmode=disable", SslMode::Disable),
            (
                "postgres://a@[::1]:5433/x?sslmode=disable",
                SslMode::Disable,
            ),
            ("postgres://a@localhost/x?sslmode=disable", SslMode::Disable),
            ("postgres://a@%2Frun%2Fpostgresql/x", SslMode::Disable),
            ("postgres:///x?host=/run/postgresql", SslMode::Disable),
            (
                "postgres:///x?host=/run/postgresql&sslmode=disable",
                SslMode::Disable,
            ),
        ] {
            let read = DatabaseUrl::from_str(url).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!(read.config().get_ssl_mode(), mode, "{url}");
            assert_eq!(read.to_string(), url);
        }
        for url in [
            "postgres://a@db.example/x?sslmode=disable",
            "postgres://a@192.0.2.1/x?sslmode=disable",
            "postgres://a@localhost,db.example/x?sslmode=disable",
            "postgres://a@localhost/x?sslmode=disable&hostaddr=192.0.2.1",
            "postgres://a@db.example/x?sslmode=prefer",
            "postgres://a@db.example/x?sslmode=require",
            "postgres://a@db.example/x?sslmode=verify-ca",
            "postgres://a@db.example/x?sslrootcert=ca.pem",
            "postgres://a@db.example/x?sslrootcert=../ca.pem&sslmode=verify-full",
            "postgres://a@db.example/x?sslrootcert=",
            "postgres:///x?host=/run/postgresql&sslmode=verify-full",
            "postgres://a@db.example/x?unknown=1",
            "postgres:///x",
            "mysql://a@db.example/x",
            "/var/lib/store",
            "",
        ] {
            assert!(DatabaseUrl::from_str(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_quoted() {
        for url in [
            "postgres://a:hunter2@db.example/x",
            "postgres://a@db.example/x?password=hunter2",
            "postgres://a:hunter2@db.example/x?sslmode=hunter2",
            "postgres://a:hunter2@db.example:port/x",
            "postgres//a:hunter2@db.example",
        ] {
            let fault = DatabaseUrl::from_str(url).expect_err(url);
            let text = format!("{fault} {fault:?} {}", fault.hint());
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
