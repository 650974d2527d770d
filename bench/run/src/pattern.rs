//! The bytes that travel: a fixed pseudo-random pattern, so that both ends know the checksum of any length.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Length of the repeating block: odd, so that no read size or chunk size divides it and a shifted stream is noticed.
const BLOCK: usize = (1 << 20) + 12_345;

/// The repeating block.
pub(crate) fn block() -> &'static [u8] {
    static DATA: OnceLock<Vec<u8>> = OnceLock::new();
    DATA.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            // xorshift64: reproducible, and no compressor or fast path sees a pattern in it.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..BLOCK).map(|_| next()).collect()
    })
}

/// Walks through the first `total` bytes of the pattern in pieces of at most `piece` bytes.
pub(crate) struct Pieces {
    at: usize,
    left: u64,
    piece: usize,
}

impl Pieces {
    /// Pieces of a stream of `total` bytes.
    pub(crate) fn new(total: u64, piece: usize) -> Self {
        Self {
            at: 0,
            left: total,
            piece,
        }
    }
}

impl Iterator for Pieces {
    type Item = &'static [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let block = block();
        let length = self
            .piece
            .min(block.len() - self.at)
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if length == 0 {
            return None;
        }
        let piece = &block[self.at..self.at + length];
        self.at = (self.at + length) % block.len();
        self.left -= length as u64;
        Some(piece)
    }
}

/// A running count and CRC-32 of what arrived.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    crc: crc32fast::Hasher,
    bytes: u64,
}

impl Tally {
    /// Takes in what arrived next.
    pub(crate) fn add(&mut self, data: &[u8]) {
        self.crc.update(data);
        self.bytes += data.len() as u64;
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `BYTES CRC`, the text that ends agree on.
    pub(crate) fn text(&self) -> String {
        format!("{} {:08x}", self.bytes, self.crc.clone().finalize())
    }
}

/// What a tally of the first `total` bytes reads. Kept, so that only the first call costs time.
pub(crate) fn expected(total: u64) -> String {
    static KNOWN: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = known.entry(total).or_insert_with(|| {
        let mut tally = Tally::default();
        Pieces::new(total, BLOCK).for_each(|piece| tally.add(piece));
        tally.text()
    });
    text.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_length_and_agree_with_any_other_cut() {
        let total = 3 * BLOCK as u64 + 17;
        let mut tally = Tally::default();
        Pieces::new(total, 4099).for_each(|piece| tally.add(piece));
        assert_eq!(tally.bytes(), total);
        assert_eq!(tally.text(), expected(total));
    }

    #[test]
    fn a_lost_byte_changes_the_text() {
        let mut tally = Tally::default();
        let mut pieces = Pieces::new(100_001, 1000);
        pieces.next();
        pieces.for_each(|piece| tally.add(piece));
        assert_ne!(tally.text(), expected(99_001));
    }
}
