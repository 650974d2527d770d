//! The index as a file: its whole lines, and what is wrong with them.

use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;

use super::{Index, IndexPlace, MAX_INDEX_BYTES, room, spent};
use crate::{
    CertsError,
    event::{IndexEvent, damage},
    write,
};

impl Index {
    /// Reads the index; a missing file is an empty index. A half-written last line is left out: another process may be writing it.
    pub fn read(path: &Path) -> Result<Self, CertsError> {
        let bytes = load(path)?;
        let whole = whole_lines(&bytes);
        Ok(Self {
            place: IndexPlace::File(path.into()),
            events: parse(path, whole)?,
            bytes: whole.len() as u64,
        })
    }

    /// Reads the index for appending, under the directory's lock: half a line can only be what a crash left, and is
    /// cut off, or the next record would be glued to it. Many lines that nobody needs any more are left out too.
    pub fn read_locked(path: &Path) -> Result<Self, CertsError> {
        let bytes = load(path)?;
        let whole = whole_lines(&bytes);
        let mut events = parse(path, whole)?;
        let (known, now) = (events.iter().map(AsRef::as_ref), OffsetDateTime::now_utc());
        let mut size = whole.len() as u64;
        let spent = spent::spent(known, now, size);
        if whole.len() < bytes.len() || !spent.is_empty() {
            let kept = lines(whole).enumerate();
            let kept = kept.filter(|(place, _)| !spent.contains(place));
            let kept: Vec<u8> = kept
                .flat_map(|(_, (_, line))| [line, b"\n"].concat())
                .collect();
            write::write(
                path,
                &kept,
                write::FileMode::Public,
                write::Existing::Replace,
            )?;
            size = kept.len() as u64;
            let mut place = 0..;
            events.retain(|_| place.next().is_none_or(|it| !spent.contains(&it)));
        }
        Ok(Self {
            place: IndexPlace::File(path.into()),
            events,
            bytes: size,
        })
    }

    /// The lines of an index as they are, for another place: what a later version has written is among them. The caller holds the
    /// directory's lock.
    pub(crate) fn lines_locked(path: &Path) -> Result<Vec<String>, CertsError> {
        Self::read_locked(path)?;
        let bytes = load(path)?;
        let text = |(number, line): (usize, &[u8])| {
            let text = std::str::from_utf8(line).map(|text| text.trim().to_owned());
            text.map_err(|_| CertsError::Unexpected {
                path: path.into(),
                expected: "one JSON object a line",
                found: format!("a line {} that is not text", number + 1),
                hint: None,
            })
        };
        lines(whole_lines(&bytes)).map(text).collect()
    }
}

fn load(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, CertsError> {
    if !path.exists() {
        return Ok(zeroize::Zeroizing::default());
    }
    write::read_at_most(path, MAX_INDEX_BYTES).map_err(|fault| match fault {
        CertsError::TooLarge { .. } => room::too_large(&format!("the index {path:?}")),
        fault => fault,
    })
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1)]
}

/// The lines that are not empty, with their numbers from 0.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines.filter(|(_, line)| !line.trim_ascii().is_empty())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Arc<IndexEvent>>, CertsError> {
    let events: Vec<Arc<IndexEvent>> = lines(bytes)
        .map(|(number, line)| {
            serde_json::from_slice(line).map(Arc::<IndexEvent>::new).map_err(|error| CertsError::Unexpected {
                path: path.into(),
                expected: "one JSON object a line",
                found: format!("a damaged line {} ({})", number + 1, damage(&error)),
                hint: Some("restore the file from a backup, or delete that line: crl.pem still lists what is revoked".into()),
            })
        })
        .collect::<Result<_, _>>()?;
    match events.iter().find_map(|event| event.later_form()) {
        None => Ok(events),
        Some(version) => Err(CertsError::Unexpected {
            path: path.into(),
            expected: "the form 1 of the index",
            found: format!("the form {version}"),
            hint: Some("a later dockgate wrote it: use that one".into()),
        }),
    }
}
