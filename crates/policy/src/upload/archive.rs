//! A build context's archive, read while it passes: where its Dockerfile is, and what it says.
//!
//! Read as Go's `archive/tar` reads it and the engine unpacks it. What other readers might take in another way is refused:
//! sparse files, sizes on entries that have no content, a Dockerfile that is a link, whatever is written through one.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

const BLOCK: usize = 512;

/// Longest Dockerfile, and longest header of a name.
const LONGEST: u64 = 1 << 20;

/// Most links that are remembered.
const MOST_LINKS: usize = 1 << 18;

/// Why an archive does not go on.
pub(super) type ArchiveFault = String;

/// What becomes of an entry's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Nothing,
    Dockerfile,
    /// `path`, `linkpath` and `size` of the entry that follows.
    Records,
    /// The name of the entry that follows.
    Name,
    /// Where the link that follows points.
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArchivePlace {
    Header,
    /// Bytes of content, and of content with its padding, that are still to come.
    Content {
        left: u64,
        padded: u64,
        keep: Keep,
    },
    /// A block of zeros came: the archive ends, if another one follows or nothing does.
    Ending,
    Ended,
}

/// The reader.
pub(super) struct Archive {
    /// Where the Dockerfile may be, by its components.
    wanted: Vec<Vec<Vec<u8>>>,
    state: ArchivePlace,
    block: Vec<u8>,
    kept: Vec<u8>,
    name: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    linkpath: Option<Vec<u8>>,
    size: Option<u64>,
    /// Symbolic links, and hard links to them.
    links: HashSet<u64>,
    hasher: RandomState,
    found: bool,
}

impl Archive {
    /// A reader for the Dockerfile at this path of the context.
    pub(super) fn new(dockerfile: &str) -> Result<Self, ArchiveFault> {
        let path = if dockerfile.is_empty() {
            "Dockerfile"
        } else {
            dockerfile
        };
        let mut wanted = vec![components(path.as_bytes())?];
        // If there is no `Dockerfile`, the builder looks for `dockerfile`.
        if wanted[0] == [b"Dockerfile"] {
            wanted.push(vec![b"dockerfile".to_vec()]);
        }
        if wanted[0].is_empty() {
            return Err("dockerfile= names the context itself".into());
        }
        Ok(Archive {
            wanted,
            state: ArchivePlace::Header,
            block: Vec::with_capacity(BLOCK),
            kept: Vec::new(),
            name: None,
            path: None,
            target: None,
            linkpath: None,
            size: None,
            links: HashSet::new(),
            hasher: RandomState::new(),
            found: false,
        })
    }

    /// Whether the archive's end has come; what follows is not read by anybody.
    pub(super) fn ended(&self) -> bool {
        self.state == ArchivePlace::Ended
    }

    /// Reads on, and gives every Dockerfile to `judge` when it is complete.
    pub(super) fn push(
        &mut self,
        mut data: &[u8],
        judge: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveFault>,
    ) -> Result<(), ArchiveFault> {
        while !data.is_empty() && self.state != ArchivePlace::Ended {
            if let ArchivePlace::Content { left, padded, keep } = self.state {
                let taken = usize::try_from(padded)
                    .unwrap_or(usize::MAX)
                    .min(data.len());
                let content = usize::try_from(left).unwrap_or(usize::MAX).min(taken);
                if keep != Keep::Nothing {
                    self.kept.extend_from_slice(&data[..content]);
                }
                data = &data[taken..];
                self.state = ArchivePlace::Content {
                    left: left - content as u64,
                    padded: padded - taken as u64,
                    keep,
                };
                if padded == taken as u64 {
                    self.state = ArchivePlace::Header;
                    self.content(keep, judge)?;
                }
                continue;
            }
            let taken = data.len().min(BLOCK - self.block.len());
            self.block.extend_from_slice(&data[..taken]);
            data = &data[taken..];
            if self.block.len() == BLOCK {
                let block = std::mem::take(&mut self.block);
                self.header(&block, judge)?;
                self.block = block;
                self.block.clear();
            }
        }
        Ok(())
    }

    /// The stream has ended.
    pub(super) fn finish(&mut self) -> Result<(), ArchiveFault> {
        match self.state {
            ArchivePlace::Header | ArchivePlace::Ending if self.block.is_empty() => self.end(),
            ArchivePlace::Ended => Ok(()),
            _ => Err("the archive ends in the middle of an entry".into()),
        }
    }

    fn end(&mut self) -> Result<(), ArchiveFault> {
        self.state = ArchivePlace::Ended;
        if self.found {
            return Ok(());
        }
        let name = self.wanted[0].join(&b'/');
        Err(format!(
            "the archive has no {} that could be read",
            String::from_utf8_lossy(&name)
        ))
    }

    /// What has been kept of an entry is complete.
    fn content(
        &mut self,
        keep: Keep,
        judge: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveFault>,
    ) -> Result<(), ArchiveFault> {
        let kept = std::mem::take(&mut self.kept);
        match keep {
            Keep::Nothing => {}
            Keep::Dockerfile => judge(&kept)?,
            // The engine takes an empty value for a missing one.
            Keep::Name => self.name = filled(text(&kept)),
            Keep::Target => self.target = filled(text(&kept)),
            Keep::Records => self.records(&kept)?,
        }
        Ok(())
    }

    /// The records of a PAX header: `length key=value\n`, the length of all of it.
    ///
    /// The last of a key counts, and without a value it takes the key back.
    fn records(&mut self, mut rest: &[u8]) -> Result<(), ArchiveFault> {
        let malformed = || ArchiveFault::from("a malformed PAX header");
        (self.path, self.linkpath, self.size) = (None, None, None);
        while !rest.is_empty() {
            let blank = rest.iter().position(|b| *b == b' ').ok_or_else(malformed)?;
            let length = decimal(&rest[..blank]).ok_or_else(malformed)?;
            let length = usize::try_from(length).map_err(|_| malformed())?;
            let record = rest.get(blank + 1..length).ok_or_else(malformed)?;
            let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record
                .iter()
                .position(|b| *b == b'=')
                .ok_or_else(malformed)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" | b"linkpath" if value.contains(&0) => return Err(malformed()),
                b"path" => self.path = filled(value),
                b"linkpath" => self.linkpath = filled(value),
                b"size" if value.is_empty() => self.size = None,
                b"size" => self.size = Some(decimal(value).ok_or_else(malformed)?),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err("a sparse file, which is not read".into());
                }
                _ => {}
            }
            rest = &rest[length..];
        }
        Ok(())
    }

    fn header(
        &mut self,
        block: &[u8],
        judge: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveFault>,
    ) -> Result<(), ArchiveFault> {
        let zero = block.iter().all(|b| *b == 0);
        match (self.state, zero) {
            (ArchivePlace::Ending, true) => return self.end(),
            (ArchivePlace::Ending, false) => {
                return Err("data behind the end of the archive".into());
            }
            (_, true) => {
                self.state = ArchivePlace::Ending;
                return Ok(());
            }
            (_, false) => {}
        }
        if !checksum(block) {
            return Err("expected a tar archive, uncompressed or gzip".into());
        }
        let size = number(&block[124..136]).ok_or("a size that cannot be read")?;
        let kind = block[156];
        let keep = match kind {
            b'x' => Keep::Records,
            b'L' => Keep::Name,
            b'K' => Keep::Target,
            // Go forgets at a global header what came for the next entry, others keep it.
            b'g' if self.pending() => {
                return Err("a global header between an entry and its own".into());
            }
            // Global records are ignored by the engine.
            b'g' => Keep::Nothing,
            _ => return self.entry(block, kind, size, judge),
        };
        if size > LONGEST {
            return Err("a header over 1 MiB".into());
        }
        self.expect(size, keep, judge)
    }

    /// Whether a header has come for the entry that follows.
    fn pending(&self) -> bool {
        let names = [&self.name, &self.path, &self.target, &self.linkpath];
        self.size.is_some() || names.iter().any(|name| name.is_some())
    }

    /// Goes on with an entry's content.
    fn expect(
        &mut self,
        left: u64,
        keep: Keep,
        judge: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveFault>,
    ) -> Result<(), ArchiveFault> {
        let padded = left.checked_next_multiple_of(BLOCK as u64);
        let padded = padded.ok_or("a size that cannot be read")?;
        if padded == 0 {
            self.state = ArchivePlace::Header;
            return self.content(keep, judge);
        }
        self.state = ArchivePlace::Content { left, padded, keep };
        Ok(())
    }

    fn entry(
        &mut self,
        block: &[u8],
        kind: u8,
        size: u64,
        judge: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveFault>,
    ) -> Result<(), ArchiveFault> {
        let size = self.size.take().unwrap_or(size);
        let names = match (self.name.take(), self.path.take()) {
            (Some(_), Some(_)) => return Err("an entry with two long names".into()),
            (Some(name), None) | (None, Some(name)) => vec![name],
            (None, None) => names(block),
        };
        let target = match (self.target.take(), self.linkpath.take()) {
            (Some(_), Some(_)) => return Err("a link with two long targets".into()),
            (Some(target), None) | (None, Some(target)) => target,
            (None, None) => text(&block[157..257]).to_vec(),
        };
        let file = matches!(kind, b'0' | b'7' | 0);
        let directory = kind == 0 && names.iter().any(|name| name.ends_with(b"/"));
        if !file && !matches!(kind, b'1'..=b'6') {
            return Err(format!(
                "an entry of kind {:?}, which is not read",
                char::from(kind)
            ));
        }
        // Readers differ in whether such content is there.
        if size > 0 && (!file || directory) {
            return Err("an entry with a size where none is expected".into());
        }
        let mut wanted = false;
        for name in &names {
            wanted |= self.look_at(&components(name)?, kind, &target)?;
        }
        let wanted = wanted && file && !directory;
        if wanted && size > LONGEST {
            return Err("a Dockerfile over 1 MiB".into());
        }
        self.found |= wanted;
        let keep = if wanted {
            Keep::Dockerfile
        } else {
            Keep::Nothing
        };
        self.expect(size, keep, judge)
    }

    /// Whether an entry is the Dockerfile. Links on the way to one are refused, others remembered.
    fn look_at(&mut self, path: &[Vec<u8>], kind: u8, target: &[u8]) -> Result<bool, ArchiveFault> {
        // Where such an entry ends up, the kernel decides: it may be a link in another directory, or the Dockerfile.
        let (through_link, _) = self.links_of(path);
        if through_link {
            return Err("an entry that is written through a link".into());
        }
        let link = matches!(kind, b'1' | b'2');
        if link && self.wanted.iter().any(|wanted| wanted.starts_with(path)) {
            return Err("a Dockerfile that is a link, or in a directory that is one".into());
        }
        let mut remembered = kind == b'2';
        if kind == b'1' {
            // A hard link to a symbolic link is that symbolic link.
            let (through_link, is_link) = self.links_of(&components(target)?);
            if through_link {
                return Err("a hard link to what is behind a link".into());
            }
            remembered = is_link;
        }
        if remembered {
            if self.links.len() >= MOST_LINKS {
                return Err(format!("more than {MOST_LINKS} links"));
            }
            if let Some(hash) = self.hashes(path).last() {
                self.links.insert(hash);
            }
        }
        Ok(self.wanted.iter().any(|wanted| wanted == path))
    }

    /// Whether a path leads through a remembered link, and whether it is one.
    fn links_of(&self, path: &[Vec<u8>]) -> (bool, bool) {
        if self.links.is_empty() {
            return (false, false);
        }
        let first = self
            .hashes(path)
            .position(|hash| self.links.contains(&hash))
            .map(|at| at + 1);
        (
            first.is_some_and(|length| length < path.len()),
            first == Some(path.len()),
        )
    }

    /// The hash of each start of a path, up to all of it.
    fn hashes(&self, path: &[Vec<u8>]) -> impl Iterator<Item = u64> {
        path.iter().scan(self.hasher.build_hasher(), |state, part| {
            part.hash(state);
            Some(state.finish())
        })
    }
}

/// A path's components once cleaned; the context is their root.
fn components(path: &[u8]) -> Result<Vec<Vec<u8>>, ArchiveFault> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or("a path that leads out of the context")?;
            }
            part => parts.push(part.to_vec()),
        }
    }
    Ok(parts)
}

/// What an entry may be called: formats differ in whether the prefix counts.
fn names(block: &[u8]) -> Vec<Vec<u8>> {
    let name = text(&block[..100]).to_vec();
    let prefix = text(&block[345..500]);
    if prefix.is_empty() {
        return vec![name];
    }
    let whole = [prefix, b"/", &name].concat();
    let ustar = &block[257..265] == b"ustar\x0000" && &block[508..512] != b"tar\0";
    if ustar {
        vec![whole]
    } else {
        let short = [text(&block[345..476]), b"/", &name].concat();
        vec![name, whole, short]
    }
}

fn filled(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// An octal number, or a positive one in base 256, of twelve bytes.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let high = std::iter::once(field[0] & 0x7f).chain(field[1..4].iter().copied());
        if high.map(u64::from).sum::<u64>() != 0 || field[4] & 0x80 != 0 {
            return None;
        }
        let bytes: [u8; 8] = field.get(4..)?.try_into().ok()?;
        return Some(u64::from_be_bytes(bytes));
    }
    octal(field)
}

/// An octal number between blanks and NULs.
fn octal(field: &[u8]) -> Option<u64> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let Some(start) = field.iter().position(|b| !blank(b)) else {
        return Some(0);
    };
    let end = field.iter().rposition(|b| !blank(b))?;
    let digits = &field[start..=end];
    if !digits.iter().all(|b| matches!(b, b'0'..=b'7')) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// Whether a header's sum is right, its bytes taken with or without a sign.
fn checksum(block: &[u8]) -> bool {
    let Some(given) = octal(&block[148..156]).and_then(|sum| i64::try_from(sum).ok()) else {
        return false;
    };
    let byte = |at: usize| {
        if (148..156).contains(&at) {
            b' '
        } else {
            block[at]
        }
    };
    let unsigned: i64 = (0..BLOCK).map(|at| i64::from(byte(at))).sum();
    let signed: i64 = (0..BLOCK).map(|at| i64::from(byte(at) as i8)).sum();
    given == unsigned || given == signed
}
