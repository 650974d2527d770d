//! Where the passphrase of an encrypted CA key comes from: a file or a terminal, never an argument.

use std::{fmt, io::IsTerminal, path::PathBuf};

use zeroize::Zeroizing;

use super::{CertsError, write};

/// A source of passphrases, asked only when an encrypted key is met.
#[derive(Clone, PartialEq, Eq)]
pub enum Passphrase {
    /// None: an encrypted key is an error. What `serve` uses.
    Absent,
    /// The first line of this file.
    File(PathBuf),
    /// A prompt on the terminal, an error where there is none.
    Prompt,
}

impl Passphrase {
    /// A file when one was named, else the terminal.
    pub fn from_option(file: Option<PathBuf>) -> Self {
        file.map_or(Self::Prompt, Self::File)
    }

    /// The passphrase that opens `path`.
    pub fn for_opening(&self, path: &std::path::Path) -> Result<Zeroizing<String>, CertsError> {
        self.ask(&format!("passphrase of {}: ", path.display()), path)
    }

    /// The passphrase for a new key, asked for twice on a terminal.
    pub fn for_new(&self, path: &std::path::Path) -> Result<Zeroizing<String>, CertsError> {
        let first = self.ask(&format!("new passphrase for {}: ", path.display()), path)?;
        if first.is_empty() {
            return Err(CertsError::refused(
                format!("the passphrase for {path:?} is empty"),
                "give one, or leave out --encrypt to keep the CA key unencrypted",
            ));
        }
        if *self == Self::Prompt && *first != *self.ask("the same again: ", path)? {
            return Err(CertsError::refused(
                "the two passphrases differ",
                "run the command again",
            ));
        }
        Ok(first)
    }

    fn ask(&self, prompt: &str, key: &std::path::Path) -> Result<Zeroizing<String>, CertsError> {
        let missing = |why: &str| CertsError::Passphrase {
            message: format!("the private key {key:?} is encrypted and {why}"),
            hint: "give --passphrase-file FILE, or run the command on a terminal".into(),
        };
        match self {
            Self::Absent => Err(missing("this command takes no passphrase")),
            Self::File(path) => {
                let bytes = write::read(path)?;
                let line = bytes
                    .split(|&byte| byte == b'\n')
                    .next()
                    .unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let text = std::str::from_utf8(line).map_err(|_| CertsError::Unexpected {
                    path: path.clone(),
                    expected: "a passphrase in UTF-8 on its first line",
                    found: "other bytes".into(),
                    hint: None,
                })?;
                Ok(Zeroizing::new(text.to_owned()))
            }
            Self::Prompt if !std::io::stdin().is_terminal() => Err(missing(
                "its passphrase cannot be asked for: standard input is not a terminal",
            )),
            Self::Prompt => rpassword::prompt_password(prompt)
                .map(Zeroizing::new)
                .map_err(|source| CertsError::io("read a passphrase for", key, source)),
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::File(_) => "File",
            Self::Prompt => "Prompt",
        })
    }
}
