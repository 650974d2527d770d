//! Asks a Docker authorization plugin, as dockerd does for clients with TLS, before a request goes on and before its answer
//! goes back.
//!
//! dockerd tells its plugins who a client is only when it ends TLS itself; behind a gate every client comes over the socket
//! and has no name. So the gate speaks the engine's side of the protocol (`Plugin.Activate`, `AuthZPlugin.AuthZReq`,
//! `AuthZPlugin.AuthZRes`) and plugins move over unchanged. Everything but a clear "allow" denies: a plugin that cannot be
//! reached, that is late, or whose answer cannot be read.
//!
//! A future of this module may be dropped at any time; the plugin's connection goes with it.

mod call;
mod message;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use call::CallError;
pub use message::{PluginRequest, fields};

use crate::error;
use text::escape;

/// Longest wait for one answer of the plugin, its handshake included.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Largest request body a plugin is shown, in bytes; a larger one of a kind that has to be shown is refused.
pub const MAX_REQUEST_BODY: usize = 4 << 20;

/// Largest answer body a plugin is shown, in bytes (dockerd's own bound); larger ones pass unshown.
pub const MAX_ANSWER_BODY: usize = 64 << 10;

/// A plugin at a unix socket.
#[derive(Debug)]
pub struct Plugin {
    name: String,
    path: PathBuf,
    /// Whether it has said, since it was last out of reach, that it is an authorization plugin.
    active: AtomicBool,
}

/// Why a plugin's word was not "allow". Its text is dockerd's own, which scripts and people know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authorization denied by plugin {plugin}: {message}")]
pub struct PluginDenied {
    /// The plugin's name.
    pub plugin: String,
    /// What it said, or why it could not be asked.
    pub message: String,
}

impl Plugin {
    /// A plugin that listens at `path`; its name is the file's, without `.sock`, as dockerd finds plugins by it.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let name = path.file_stem().unwrap_or(path.as_os_str());
        Self {
            name: name.to_string_lossy().into_owned(),
            path,
            active: AtomicBool::new(false),
        }
    }

    /// Asks whether a request may go on.
    ///
    /// # Errors
    /// Unless the plugin allows it.
    pub async fn authorize_request(&self, request: &PluginRequest) -> Result<(), PluginDenied> {
        self.ask("AuthZPlugin.AuthZReq", request).await
    }

    /// Asks whether an answer may go back; `request` has the answer in it ([`PluginRequest::answered`]).
    ///
    /// # Errors
    /// Unless the plugin allows it.
    pub async fn authorize_response(&self, request: &PluginRequest) -> Result<(), PluginDenied> {
        self.ask("AuthZPlugin.AuthZRes", request).await
    }

    async fn ask(&self, method: &str, request: &PluginRequest) -> Result<(), PluginDenied> {
        let asked = timeout(DEADLINE, async {
            if !self.active.load(Ordering::Relaxed) {
                call::activate(&self.path).await?;
                self.active.store(true, Ordering::Relaxed);
            }
            call::word(&self.path, method, request).await
        });
        let said = asked.await.unwrap_or(Err(CallError::TimedOut));
        let message = match said {
            Ok(word) if word.allow && word.err.is_empty() => return Ok(()),
            Ok(word) if word.msg.is_empty() && word.err.is_empty() => "it gave no reason".into(),
            Ok(word) if word.msg.is_empty() => word.err,
            Ok(word) => word.msg,
            Err(e) => {
                // Another program may answer there by the next request.
                self.active.store(false, Ordering::Relaxed);
                tracing::warn!(plugin = self.name, socket = ?self.path, error = %error::report(&e), "The authorization plugin cannot be asked");
                error::report(&e)
            }
        };
        Err(self.denied(message))
    }

    /// A denial in the plugin's name. What could drive the client's terminal is escaped, as in the gate's own messages.
    #[must_use]
    pub fn denied(&self, message: impl AsRef<str>) -> PluginDenied {
        PluginDenied {
            plugin: self.name.clone(),
            message: escape::line(message.as_ref()).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Plugin;

    #[test]
    fn what_drives_a_terminal_is_escaped_and_words_are_not() {
        let denied = |message| {
            Plugin::new("/run/opa.sock".into())
                .denied(message)
                .to_string()
        };
        assert_eq!(
            denied("not \u{1b}[2J\u{9b}1m\u{202e}ever"),
            "authorization denied by plugin opa: not \\u001b[2J\\u009b1m\\u202eever"
        );
        assert_eq!(
            denied("naïve \u{2014} no"),
            "authorization denied by plugin opa: naïve \u{2014} no"
        );
    }
}
