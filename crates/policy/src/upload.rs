//! Bodies that are judged while they stream: the contexts of classic builds, whatever their size.
//!
//! The gate shows a [`ContextJudge`] every piece before it goes on. Where a piece is refused, the engine's request is cut before it,
//! so that the engine never has a whole archive and starts nothing.

mod archive;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use flate2::write::MultiGzDecoder;

use crate::findings::{Findings, Powers};
use crate::grant;
use crate::read::dockerfile::{self, Arguments};
use crate::{DenialStatus, Denied, Limits, Mode, Protected};
use archive::{Archive, ArchiveFault};
use docker_api::Operation;

/// Bytes by which the engine, and so the judge, tells how an archive is compressed.
const MAGIC: usize = 10;

/// How far a compressed archive may grow: a part that is free, and then by its size. What grows further costs the gate more
/// work than its sender.
const FREE: u64 = 64 << 20;
const GROWTH: u64 = 100;

/// A build that was permitted as far as its parameters tell, and what its context has to be judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub(crate) client: String,
    pub(crate) role: String,
    pub(crate) limits: Limits,
    pub(crate) protected: Arc<Protected>,
    pub(crate) mode: Mode,
    /// Whether names of base images are fetched again.
    pub(crate) pull: bool,
    pub(crate) dockerfile: String,
    pub(crate) arguments: Arguments,
}

impl Context {
    /// Whether what is refused is cut, or only reported.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A judge for the body.
    pub fn judge(&self) -> ContextJudge {
        let (archive, refused) = match Archive::new(&self.dockerfile) {
            Ok(archive) => (Some(archive), None),
            Err(why) => (None, Some(self.unread(&why))),
        };
        ContextJudge {
            refused,
            received: 0,
            form: ContextForm::Unknown(Vec::new()),
            reader: archive.map(|archive| ContextReader {
                context: self.clone(),
                archive,
                refused: None,
                expanded: 0,
            }),
        }
    }

    fn dockerfile(&self, text: &[u8]) -> Result<(), Box<Denied>> {
        // What is fetched again writes its name, as a pull does.
        let operation = if self.pull {
            Operation::ImagePull
        } else {
            Operation::ImageBuild
        };
        let protected = &self.protected;
        let mut findings = Findings::new(operation, &self.limits, protected, Mode::Enforce);
        let text = String::from_utf8_lossy(text);
        dockerfile::read(&text, &self.arguments, &mut findings);
        let Some(refused) = findings.refused() else {
            return Ok(());
        };
        let allowed = grant::allowed(&self.limits, refused);
        let grant = grant::line(refused, &self.role);
        let (rule, detail) = (refused.rule(), refused.to_string());
        let asked = findings.asked().clone();
        Err(self.denied(rule, detail, (allowed, grant), asked))
    }

    fn unread(&self, why: &str) -> Box<Denied> {
        let detail = format!("the build context cannot be judged: {why}");
        self.denied("build", detail, Default::default(), Powers::default())
    }

    fn denied(
        &self,
        rule: &'static str,
        detail: String,
        (allowed, grant): (String, String),
        asked: Powers,
    ) -> Box<Denied> {
        Box::new(Denied {
            client: self.client.clone(),
            role: self.role.clone(),
            operation: Operation::ImageBuild,
            rule,
            detail,
            allowed,
            grant,
            status: DenialStatus::Forbidden,
            command: None,
            asked,
        })
    }
}

/// Reads a body's content as it passes.
pub struct ContextJudge {
    reader: Option<ContextReader>,
    form: ContextForm,
    received: u64,
    refused: Option<Box<Denied>>,
}

enum ContextForm {
    /// Too little has come to tell.
    Unknown(Vec<u8>),
    Plain(Box<ContextReader>),
    Gzip(Box<MultiGzDecoder<ContextReader>>),
}

impl fmt::Debug for ContextJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextJudge").finish_non_exhaustive()
    }
}

impl ContextJudge {
    /// Looks at the next piece of the content; call it before the piece goes on.
    ///
    /// # Errors
    /// The denial, if the piece must not go on. It comes again with every further call.
    pub fn push(&mut self, content: &[u8]) -> Result<(), Box<Denied>> {
        self.received += content.len() as u64;
        self.once(|judge| judge.feed(content))
    }

    /// The content is complete; call it before its last piece goes on.
    ///
    /// # Errors
    /// The denial, if the last piece must not go on.
    pub fn finish(&mut self) -> Result<(), Box<Denied>> {
        self.once(|judge| {
            judge.begin()?;
            match &mut judge.form {
                ContextForm::Unknown(_) => Ok(()),
                ContextForm::Plain(reader) => reader.finish(),
                ContextForm::Gzip(decoder) => {
                    if decoder.get_ref().archive.ended() {
                        return Ok(());
                    }
                    let ended = decoder.try_finish();
                    let reader = decoder.get_mut();
                    reader.outcome(ended)?;
                    reader.finish()
                }
            }
        })
    }

    /// A refusal is for good.
    fn once(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), Box<Denied>>,
    ) -> Result<(), Box<Denied>> {
        if self.refused.is_none() {
            self.refused = step(self).err();
        }
        match &self.refused {
            Some(denied) => Err(denied.clone()),
            None => Ok(()),
        }
    }

    fn feed(&mut self, content: &[u8]) -> Result<(), Box<Denied>> {
        match &mut self.form {
            ContextForm::Unknown(begun) => {
                begun.extend_from_slice(content);
                if begun.len() >= MAGIC {
                    return self.begin();
                }
                Ok(())
            }
            ContextForm::Plain(reader) => {
                let read = reader.write_all(content);
                reader.outcome(read)
            }
            ContextForm::Gzip(decoder) => {
                if decoder.get_ref().archive.ended() {
                    return Ok(());
                }
                // In small pieces, since each may grow a thousandfold before its growth is seen.
                for piece in content.chunks(4096) {
                    let read = decoder.write_all(piece).and_then(|()| decoder.flush());
                    let reader = decoder.get_mut();
                    reader.outcome(read)?;
                    if reader.expanded > FREE + GROWTH * self.received {
                        let why = "it grows more than a hundredfold; send it uncompressed";
                        return Err(reader.context.unread(why));
                    }
                }
                Ok(())
            }
        }
    }

    /// Tells the form by its first bytes, as the engine does, and reads them.
    fn begin(&mut self) -> Result<(), Box<Denied>> {
        let ContextForm::Unknown(begun) = &mut self.form else {
            return Ok(());
        };
        let begun = std::mem::take(begun);
        let Some(reader) = self.reader.take() else {
            return Ok(());
        };
        if let Some(compression) = unread(&begun) {
            let why = format!("it is compressed with {compression}, expected none or gzip");
            return Err(reader.context.unread(&why));
        }
        self.form = if begun.starts_with(&[0x1f, 0x8b, 0x08]) {
            ContextForm::Gzip(Box::new(MultiGzDecoder::new(reader)))
        } else {
            ContextForm::Plain(Box::new(reader))
        };
        self.feed(&begun)
    }
}

/// The compression that the engine undoes and this does not.
fn unread(begun: &[u8]) -> Option<&'static str> {
    let skippable = matches!(begun, [first, 0x2a, 0x4d, 0x18, ..] if first & 0xf0 == 0x50);
    if begun.starts_with(b"BZh") {
        Some("bzip2")
    } else if begun.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Some("xz")
    } else if skippable || begun.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some("zstd")
    } else {
        None
    }
}

/// The archive behind the compression.
struct ContextReader {
    context: Context,
    archive: Archive,
    refused: Option<Box<Denied>>,
    expanded: u64,
}

impl ContextReader {
    fn read(&mut self, content: &[u8]) -> Result<(), Box<Denied>> {
        self.expanded += content.len() as u64;
        let context = &self.context;
        let mut denied = None;
        let read = self.archive.push(content, &mut |text| {
            context.dockerfile(text).map_err(|why| {
                denied = Some(why);
                ArchiveFault::new()
            })
        });
        match (read, denied) {
            (_, Some(denied)) => Err(denied),
            (Err(why), None) => Err(context.unread(&why)),
            (Ok(()), None) => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), Box<Denied>> {
        let ended = self.archive.finish();
        ended.map_err(|why| self.context.unread(&why))
    }

    /// What a write came to: what the archive says goes before what the decoder makes of it.
    fn outcome(&mut self, written: io::Result<()>) -> Result<(), Box<Denied>> {
        match (self.refused.take(), written) {
            (Some(denied), _) => Err(denied),
            // Nobody reads on behind the archive's end.
            (None, Err(_)) if self.archive.ended() => Ok(()),
            (None, Err(error)) => Err(self.context.unread(&format!("it is not gzip ({error})"))),
            (None, Ok(())) => Ok(()),
        }
    }
}

impl Write for ContextReader {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        match self.read(content) {
            Ok(()) => Ok(content.len()),
            Err(denied) => {
                self.refused = Some(denied);
                Err(io::Error::other("refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
