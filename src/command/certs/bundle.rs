//! What a client's machine gets: three files Docker knows by name, and the lines that use them.

use std::{io, path::Path};

use zeroize::Zeroizing;

use pki::{
    CertsError,
    san::San,
    store::{Paths, inspect_file},
    write::{self, Existing, FileMode},
};
use text::escape::shell_word;

/// The files of a client, as they go into a directory or a tar.
pub(crate) struct BundleFiles {
    pub(crate) ca: String,
    pub(crate) cert: String,
    pub(crate) key: Zeroizing<String>,
}

impl BundleFiles {
    /// Reads a client's directory.
    pub(crate) fn read(dir: &Path, name: &str, option: &str) -> Result<Self, CertsError> {
        let key = dir.join("key.pem");
        if dir.join("cert.pem").is_file() && !key.is_file() {
            return Err(CertsError::refused(
                format!("{key:?} is not here: this client's key was handed out or made elsewhere"),
                format!(
                    "its owner has it; `dockgate certs renew {} --new-key{option}` makes another one",
                    shell_word(name)
                ),
            ));
        }
        let text = |name: &str| {
            let bytes = write::read(&dir.join(name))?;
            Ok::<_, CertsError>(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
        };
        Ok(Self {
            ca: text("ca.pem")?.to_string(),
            cert: text("cert.pem")?.to_string(),
            key: text("key.pem")?,
        })
    }

    /// All in PEM, key first: what `--stdout` prints.
    pub(crate) fn to_pem(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(
            [
                self.key.as_bytes(),
                self.cert.as_bytes(),
                self.ca.as_bytes(),
            ]
            .concat(),
        )
    }

    /// Writes a directory, or a tar file where the name says so.
    pub(crate) fn write(
        &self,
        path: &Path,
        readme: &str,
        existing: Existing,
    ) -> Result<(), CertsError> {
        if path.extension().is_some_and(|extension| extension == "tar") {
            return write::write(path, &self.to_tar(readme)?, FileMode::Secret, existing);
        }
        write::create_private_dir(path)?;
        for name in ["key.pem", "ca.pem", "cert.pem", "README.txt"] {
            write::refuse_existing(&path.join(name), existing, "give --force to replace it")?;
        }
        write::write(
            &path.join("key.pem"),
            self.key.as_bytes(),
            FileMode::Secret,
            existing,
        )?;
        write::write(
            &path.join("ca.pem"),
            self.ca.as_bytes(),
            FileMode::Public,
            existing,
        )?;
        write::write(
            &path.join("cert.pem"),
            self.cert.as_bytes(),
            FileMode::Public,
            existing,
        )?;
        write::write(
            &path.join("README.txt"),
            readme.as_bytes(),
            FileMode::Public,
            existing,
        )
    }

    fn to_tar(&self, readme: &str) -> Result<Zeroizing<Vec<u8>>, CertsError> {
        let failed = |source: io::Error| CertsError::crypto("pack a tar file", source);
        let files: [(&str, u32, &[u8]); 4] = [
            ("ca.pem", 0o644, self.ca.as_bytes()),
            ("cert.pem", 0o644, self.cert.as_bytes()),
            ("key.pem", 0o600, self.key.as_bytes()),
            ("README.txt", 0o644, readme.as_bytes()),
        ];
        // Room for headers, padding and the end marker, so that the key is never left behind by growth.
        let room = files
            .iter()
            .map(|(_, _, bytes)| bytes.len() + 1024)
            .sum::<usize>()
            + 1024;
        let mut buffer = Zeroizing::new(Vec::with_capacity(room));
        let mut tar = tar::Builder::new(&mut *buffer);
        let mtime = u64::try_from(pki::issue::now().unix_timestamp()).unwrap_or(0);
        for (name, mode, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode);
            header.set_mtime(mtime);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes).map_err(failed)?;
        }
        tar.finish().map_err(failed)?;
        drop(tar);
        Ok(buffer)
    }
}

/// The address clients use: as given, or the first name of the server certificate that is not local.
pub(crate) fn address(given: Option<&str>, paths: &Paths) -> String {
    if let Some(given) = given {
        let host = given.strip_prefix("tcp://").unwrap_or(given);
        if host.contains("://") {
            return given.into();
        }
        // Behind the brackets of an IPv6 address.
        let port = host
            .rsplit(']')
            .next()
            .is_some_and(|rest| rest.contains(':'));
        return format!("tcp://{host}{}", if port { "" } else { ":2376" });
    }
    let sans = inspect_file(&paths.server_cert)
        .map(|(_, info)| info.sans)
        .unwrap_or_default();
    let remote = sans.iter().find_map(|san| match san {
        San::Dns(name) if name != "localhost" && !name.starts_with("*.") => Some(name.clone()),
        San::Ip(std::net::IpAddr::V4(v4)) if !v4.is_loopback() => Some(v4.to_string()),
        _ => None,
    });
    format!("tcp://{}:2376", remote.as_deref().unwrap_or("HOST"))
}

/// The address for a client on this machine: localhost if the server's certificate is for this host and names it, since a gate
/// without `-H` listens there alone; else as [`address`].
pub(crate) fn address_from_here(given: Option<&str>, paths: &Paths) -> String {
    let sans = inspect_file(&paths.server_cert)
        .map(|(_, info)| info.sans)
        .unwrap_or_default();
    let local = San::Dns("localhost".to_owned());
    let here = pki::san::of_this_host();
    let is_other = |san: &San| matches!(san, San::Dns(_) | San::Ip(_)) && !here.contains(san);
    match given {
        None if sans.contains(&local) && !sans.iter().any(is_other) => {
            "tcp://localhost:2376".to_owned()
        }
        given => address(given, paths),
    }
}

/// The paste-ready line that makes a Docker context out of a client's files in `dir`.
pub(crate) fn context_line(name: &str, address: &str, dir: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let path = |file: &str| {
        if dir.is_empty() {
            file.to_owned()
        } else {
            format!("{dir}/{file}")
        }
    };
    let (ca, cert, key) = (path("ca.pem"), path("cert.pem"), path("key.pem"));
    format!(
        "docker context create {name} --docker {}",
        shell_word(&format!("host={address},ca={ca},cert={cert},key={key}"))
    )
}

/// The text that travels with a client's files.
pub(crate) fn readme(name: &str, address: &str) -> String {
    format!(
        "Docker access for {name:?} through dockgate.\n\nkey.pem is secret: keep it readable by you alone (chmod 600 key.pem).\n\n\
         In this directory, once:\n\n    {context}\n    docker context use {short}\n\nOr without a context:\n\n    \
         export DOCKER_HOST={address} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=\"$PWD\"\n    docker version\n",
        context = context_line(name, address, ""),
        short = context_line(name, address, "")
            .split(' ')
            .nth(3)
            .unwrap_or_default(),
    )
}
