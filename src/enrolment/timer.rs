//! The systemd user timer that renews what joined.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pki::CertsError;
use pki::write::{self, Existing, FileMode};
use text::escape::shell_word;

/// The shortest time between two looks.
const SHORTEST: u64 = 60;
/// The longest time between two looks.
const LONGEST: u64 = 6 * 3600;

/// Whether this user has a service manager.
#[must_use]
pub fn is_available() -> bool {
    systemctl(&["show-environment"])
}

/// Writes and starts a timer that runs `dockgate renew DIR`; returns its name.
///
/// # Errors
/// When the units cannot be written or started.
pub fn install(name: &str, dir: &Path, life_secs: u64) -> Result<String, CertsError> {
    let units = units()?;
    write::create_private_dir(&units)?;
    let program =
        std::env::current_exe().map_err(|source| CertsError::io("find", "dockgate", source))?;
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.into());
    let unit = format!("dockgate-renew-{name}");
    let every = (life_secs / 24).clamp(SHORTEST, LONGEST);
    let service = format!(
        "[Unit]\nDescription=Renew the Docker certificate of {name}\n\n[Service]\nType=oneshot\nExecStart={} renew {}\n",
        specifier(&program),
        specifier(&dir),
    );
    let timer = format!(
        "[Unit]\nDescription=Renew the Docker certificate of {name}\n\n[Timer]\nOnStartupSec=1min\nOnUnitActiveSec={every}s\nRandomizedDelaySec={}s\n\n[Install]\nWantedBy=timers.target\n",
        every / 10
    );
    for (kind, text) in [("service", &service), ("timer", &timer)] {
        let path = units.join(format!("{unit}.{kind}"));
        write::write(&path, text.as_bytes(), FileMode::Public, Existing::Replace)?;
    }
    let timer = format!("{unit}.timer");
    let started = systemctl(&["daemon-reload"]) && systemctl(&["enable", "--now", &timer]);
    match started {
        true => Ok(timer),
        false => Err(CertsError::refused(
            format!("systemctl --user could not start {timer}"),
            format!(
                "run `dockgate renew --watch {}` instead, or look at `systemctl --user status {timer}`",
                shell_word(&dir.to_string_lossy())
            ),
        )),
    }
}

/// A path in a unit: a percent sign begins a specifier, and spaces end a word (systemd.service(5)).
fn specifier(path: &Path) -> String {
    let text = path
        .to_string_lossy()
        .replace('%', "%%")
        .replace('\\', "\\\\");
    format!("\"{}\"", text.replace('"', "\\\""))
}

fn units() -> Result<PathBuf, CertsError> {
    let var = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    var("XDG_CONFIG_HOME")
        .or_else(|| Some(var("HOME")?.join(".config")))
        .map(|dir| dir.join("systemd/user"))
        .ok_or_else(|| {
            CertsError::refused(
                "HOME is not set, so there is no place for units",
                "set HOME",
            )
        })
}

fn systemctl(arguments: &[&str]) -> bool {
    Command::new("systemctl")
        .arg("--user")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
