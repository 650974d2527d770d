//! Where the passphrase of an encrypted CA key comes from: a file or a terminal, never an argument.
//!
//! A person is asked by a [`PassphraseSource`] alone, before a command holds what others wait for. What reads keys has a
//! [`Passphrase`], which asks nobody.

use std::{
    fmt,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{CertsError, pem, write};

/// What helps where a passphrase is missing.
const HOW_TO_GIVE: &str = "give --passphrase-file FILE, or run the command on a terminal";

/// What opens an encrypted key.
#[derive(Clone, PartialEq, Eq)]
pub enum Passphrase {
    /// None: an encrypted key is an error. What `serve` uses.
    Absent,
    /// None, because nobody is at a terminal who could be asked.
    Unasked,
    /// The first line of this file.
    File(PathBuf),
    /// What a person has said.
    Known(Zeroizing<String>),
}

/// Whom a command asks for a passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassphraseSource {
    /// The first line of this file.
    File(PathBuf),
    /// A person at the terminal.
    Prompt,
}

impl PassphraseSource {
    /// A file when one was named, else the terminal.
    pub fn from_option(file: Option<PathBuf>) -> Self {
        file.map_or(Self::Prompt, Self::File)
    }

    /// What opens a key, and what lies beside it encrypted alike. A person is asked if it is encrypted.
    ///
    /// # Errors
    /// When the key cannot be read, or the terminal cannot.
    pub fn for_opening(&self, key: &Path) -> Result<Passphrase, CertsError> {
        match self {
            Self::File(path) => Ok(Passphrase::File(path.clone())),
            Self::Prompt if !key.is_file() || !pem::is_encrypted(key)? => Ok(Passphrase::Absent),
            Self::Prompt if !std::io::stdin().is_terminal() => Ok(Passphrase::Unasked),
            Self::Prompt => {
                let said = prompt(&format!("passphrase of {}: ", key.display()), key);
                said.map(Passphrase::Known)
            }
        }
    }

    /// The passphrase for a new key, asked for twice on a terminal.
    ///
    /// # Errors
    /// When it is empty, cannot be asked for, or the two differ.
    pub fn for_new(&self, key: &Path) -> Result<Zeroizing<String>, CertsError> {
        let asked = |text: &str| match self {
            Self::File(path) => Passphrase::File(path.clone()).for_opening(key),
            Self::Prompt if !std::io::stdin().is_terminal() => Err(CertsError::Passphrase {
                message: format!(
                    "a passphrase for the new private key {key:?} is needed, and cannot be asked for: standard input is not a terminal"
                ),
                hint: HOW_TO_GIVE.into(),
            }),
            Self::Prompt => prompt(text, key),
        };
        let first = asked(&format!("new passphrase for {}: ", key.display()))?;
        if first.is_empty() {
            return Err(CertsError::refused(
                format!("the passphrase for {key:?} is empty"),
                "give one, or leave out --encrypt to keep the CA key unencrypted",
            ));
        }
        if *self == Self::Prompt && *first != *asked("the same again: ")? {
            return Err(CertsError::refused(
                "the two passphrases differ",
                "run the command again",
            ));
        }
        Ok(first)
    }
}

fn prompt(text: &str, key: &Path) -> Result<Zeroizing<String>, CertsError> {
    rpassword::prompt_password(text)
        .map(Zeroizing::new)
        .map_err(|source| CertsError::io("read a passphrase for", key, source))
}

impl Passphrase {
    /// The passphrase that opens a key.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read.
    pub fn for_opening(&self, key: &Path) -> Result<Zeroizing<String>, CertsError> {
        let missing = |why: &str| CertsError::Passphrase {
            message: format!("the private key {key:?} is encrypted and {why}"),
            hint: HOW_TO_GIVE.into(),
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
            Self::Unasked => Err(missing(
                "its passphrase cannot be asked for: standard input is not a terminal",
            )),
            Self::Known(said) => Ok(said.clone()),
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::File(_) => "File",
            Self::Unasked => "Unasked",
            Self::Known(_) => "Known",
        })
    }
}
