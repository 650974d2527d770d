//! Bytes that came in several pieces and are sent as one, without being copied together.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// The pieces, in order; none of them is empty.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pieces: VecDeque<Bytes>,
    length: usize,
}

impl From<Bytes> for Segments {
    fn from(bytes: Bytes) -> Self {
        let mut segments = Self::default();
        segments.push(bytes);
        segments
    }
}

impl Segments {
    /// Adds what comes next.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.length += bytes.len();
            self.pieces.push_back(bytes);
        }
    }

    /// All of their bytes.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes the first `most` bytes, or all that there are.
    pub(super) fn take_first(&mut self, most: usize) -> Self {
        let mut first = Self::default();
        while first.length < most
            && let Some(piece) = self.pieces.front_mut()
        {
            let n = piece.len().min(most - first.length);
            first.push(piece.split_to(n));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            self.length -= n;
        }
        first
    }
}

impl Buf for Segments {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.pieces);
        pairs
            .map(|(slice, piece)| *slice = IoSlice::new(piece))
            .count()
    }

    fn advance(&mut self, count: usize) {
        self.take_first(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&'static str]) -> Segments {
        let mut segments = Segments::default();
        for piece in pieces {
            segments.push(Bytes::from_static(piece.as_bytes()));
        }
        segments
    }

    fn text(segments: &Segments) -> String {
        let pieces = segments.pieces.iter().map(|piece| &piece[..]);
        String::from_utf8(pieces.collect::<Vec<_>>().concat()).expect("text")
    }

    #[test]
    fn however_they_are_cut_the_bytes_are_the_same() {
        let pieces = ["one", "", "three", "x", "fifteen letters"];
        let whole = pieces.concat();
        for at in 0..=whole.len() + 1 {
            let mut rest = of(&pieces);
            let first = rest.take_first(at);
            assert_eq!(first.len(), at.min(whole.len()));
            assert_eq!(first.len() + rest.len(), whole.len());
            assert_eq!(text(&first) + &text(&rest), whole);
            assert_eq!(rest.is_empty(), at >= whole.len());
            let mut advanced = of(&pieces);
            advanced.advance(at.min(whole.len()));
            assert_eq!(text(&advanced), text(&rest));
        }
    }

    #[test]
    fn they_are_written_as_they_lie() {
        let segments = of(&["one", "two", "three"]);
        for room in 0..5 {
            let mut slices = vec![IoSlice::new(&[]); room];
            let filled = segments.chunks_vectored(&mut slices);
            assert_eq!(filled, room.min(3));
            let written = slices[..filled].iter().map(|slice| &slice[..]);
            assert!(
                "onetwothree"
                    .as_bytes()
                    .starts_with(&written.collect::<Vec<_>>().concat())
            );
        }
        assert_eq!(segments.chunk(), b"one");
        assert_eq!(segments.remaining(), 11);
    }
}
