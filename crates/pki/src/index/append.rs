//! Writing to an index: the file of a directory, or the store that several signers share.

use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;

use super::{Index, IndexPlace};
use crate::{
    Certificate, CertsError,
    event::{Enrolled, IndexEvent, Issued, IssuedKind},
    shared::SharedDocument,
    timestamp,
    write::{self, Existing, FileMode},
};

impl Index {
    /// Appends one event. The caller holds the directory's lock.
    pub fn append(&mut self, event: IndexEvent) -> Result<(), CertsError> {
        self.append_all([event])
    }

    /// Appends several events with one write. After a crash the first of them may be in a file without the others; in a shared
    /// store there are all of them or none.
    pub fn append_all(
        &mut self,
        events: impl IntoIterator<Item = IndexEvent>,
    ) -> Result<(), CertsError> {
        self.append_with(&[], events)
    }

    /// Writes a document of the CA into its file, and into the store where several signers share one.
    pub fn put(
        &mut self,
        document: SharedDocument,
        path: &Path,
        text: &str,
        existing: Existing,
        events: impl IntoIterator<Item = IndexEvent>,
    ) -> Result<(), CertsError> {
        let put = || write::write(path, text.as_bytes(), FileMode::Public, existing);
        match self.place {
            IndexPlace::Shared(_) => {
                write::refuse_existing(path, existing, "give --force to replace it")?;
                self.append_with(&[(document, text)], events)?;
                put()
            }
            _ => {
                put()?;
                self.append_with(&[], events)
            }
        }
    }

    fn append_with(
        &mut self,
        documents: &[(SharedDocument, &str)],
        events: impl IntoIterator<Item = IndexEvent>,
    ) -> Result<(), CertsError> {
        let events: Vec<_> = events.into_iter().collect();
        let lines = events.iter().map(serde_json::to_string);
        let lines: Vec<_> = lines
            .collect::<Result<_, _>>()
            .map_err(|source| CertsError::crypto("encode an index line", source))?;
        let bytes = self.bytes_with(&lines)?;
        match &mut self.place {
            IndexPlace::File(_) if lines.is_empty() => {}
            IndexPlace::File(path) => write::append_line(path, &lines.join("\n"))?,
            IndexPlace::Shared(_) if lines.is_empty() && documents.is_empty() => {}
            IndexPlace::Shared(turn) => turn.write(&lines, documents)?,
            IndexPlace::Read => {
                return Err(CertsError::refused(
                    "this index was opened to be read only",
                    "",
                ));
            }
        }
        self.bytes = bytes;
        self.events.extend(events.into_iter().map(Arc::new));
        Ok(())
    }

    /// Records a certificate that is about to be handed out.
    pub fn record(
        &mut self,
        kind: IssuedKind,
        name: &str,
        info: &Certificate,
        chosen: &[String],
        enrolled: Option<Enrolled>,
    ) -> Result<(), CertsError> {
        self.append(Self::issue(kind, name, info, chosen, enrolled))
    }

    /// The event of a certificate that is about to be handed out.
    pub(crate) fn issue(
        kind: IssuedKind,
        name: &str,
        info: &Certificate,
        chosen: &[String],
        enrolled: Option<Enrolled>,
    ) -> IndexEvent {
        IndexEvent::Issued(Issued {
            at: timestamp(OffsetDateTime::now_utc()),
            kind,
            name: name.into(),
            serial: info.serial.clone(),
            subject: info.subject.clone(),
            not_after: timestamp(info.not_after),
            sha256: info.sha256.clone(),
            spki_sha256: info.spki_sha256.clone(),
            issuer_key_id: info.authority_key_id.clone(),
            chosen: chosen.to_vec(),
            enrolled,
        })
    }
}
