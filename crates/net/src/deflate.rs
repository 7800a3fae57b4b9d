//! DEFLATE between a connection and its transport. RFC 4978, RFC 1951
//!
//! What is written is compressed and flushed at once, so that nothing of it is withheld. The
//! compressor lives as long as one write: it is large (about 320 KiB) and an idle connection holds
//! none, for the price of a dictionary that begins anew with each write.
//!
//! The inflater has to remember the last 32 KiB of what the peer sent: [`INFLATER_BYTES`] are what
//! compression costs an idle connection. It gives no more than one read's worth at a time, so
//! whatever a peer has compressed, it can grow nothing but its own time.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::READ_BYTES_MAX;

/// What the inflater of a connection holds: a window of 32 KiB and its tables, rounded up.
pub const INFLATER_BYTES: usize = 44 * 1024;

/// The receiving side: what the peer compressed.
#[derive(Debug)]
pub(crate) struct Inflater {
    stream: Decompress,
    /// Octets as they came; those before `at` are inflated.
    pending: Vec<u8>,
    at: usize,
    /// Up to where the octets belong to one flush of the peer.
    flushed: usize,
    /// How many octets of [`FLUSH_MARK`] stand right before `flushed`.
    matched: usize,
    is_over: bool,
}

impl Inflater {
    /// Begins with these octets, which came behind the command that switched compression on.
    pub(crate) fn new(early: Vec<u8>) -> Self {
        Self {
            stream: Decompress::new(false),
            pending: early,
            at: 0,
            flushed: 0,
            matched: 0,
            is_over: false,
        }
    }

    /// Where the transport puts what came, once [`Inflater::inflate`] had nothing more.
    pub(crate) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Appends what could be inflated to `buffer`, at most `bytes_max`. Returns how much; 0 asks
    /// for more input. It never goes on behind a flush of the peer in one step: there may be where
    /// the compression ends, and what follows must then be found as it came. RFC 8437 §4.1
    pub(crate) fn inflate(&mut self, buffer: &mut Vec<u8>, bytes_max: usize) -> io::Result<usize> {
        // On the stack of this step: an idle connection has no such buffer.
        let mut space = [0; READ_BYTES_MAX];
        let space = space.get_mut(..bytes_max.min(READ_BYTES_MAX)).unwrap_or_default();
        loop {
            if self.at == self.flushed {
                self.find_flush();
            }
            if self.is_over {
                return if self.at == self.pending.len() { Ok(0) } else { Err(behind_the_end()) };
            }
            let input = self.pending.get(self.at..self.flushed).unwrap_or_default();
            let had_input = !input.is_empty();
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(input, space, FlushDecompress::None)?;
            let taken = usize::try_from(self.stream.total_in() - taken).unwrap_or(0);
            let given = usize::try_from(self.stream.total_out() - given).unwrap_or(0);
            self.at += taken;
            self.is_over = status == Status::StreamEnd;
            if self.at == self.pending.len() && !self.is_over {
                self.forget_pending();
            }
            if given > 0 {
                buffer.extend_from_slice(space.get(..given).unwrap_or_default());
                return Ok(given);
            }
            if !had_input || (taken == 0 && !self.is_over) {
                return Ok(0);
            }
        }
    }

    /// Ends compression: what came behind it, as it came.
    pub(crate) fn rest(self) -> Vec<u8> {
        let rest = self.pending.get(self.at..).unwrap_or_default();
        // A peer that flushed and then ended its stream sends an empty last block.
        let rest = if self.is_over { rest } else { rest.strip_prefix(END).unwrap_or(rest) };
        rest.to_vec()
    }

    fn find_flush(&mut self) {
        for byte in self.pending.get(self.flushed..).unwrap_or_default() {
            self.flushed += 1;
            self.matched = match (self.matched, byte) {
                (0, 0) => 1,
                (1 | 2, 0) => 2,
                (2, 0xFF) => 3,
                (3, 0xFF) => {
                    self.matched = 0;
                    return;
                }
                (3, 0) => 1,
                _ => 0,
            };
        }
    }

    fn forget_pending(&mut self) {
        self.pending = Vec::new();
        self.at = 0;
        self.flushed = 0;
    }
}

/// Whether more follows what is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// Yes, but everything up to here can be inflated.
    Follows,
    /// No: these are the last octets under compression.
    Ends,
}

/// Compresses octets so that the peer can inflate all of them.
pub(crate) fn deflate(bytes: &[u8], more: More) -> io::Result<Vec<u8>> {
    let flush = match more {
        More::Follows => FlushCompress::Sync,
        More::Ends => FlushCompress::Finish,
    };
    let mut stream = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(bytes.len() / 2 + FLUSH_BYTES);
    loop {
        let taken = usize::try_from(stream.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(taken..).unwrap_or_default();
        let status = stream.compress_vec(rest, &mut out, flush)?;
        let is_done = match more {
            // All is out when there is room left.
            More::Follows => out.len() < out.capacity(),
            More::Ends => status == Status::StreamEnd,
        };
        if is_done {
            return Ok(out);
        }
        out.reserve(rest.len() / 4 + FLUSH_BYTES);
    }
}

fn behind_the_end() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "octets behind the end of a compressed stream")
}

/// What a flush ends with: the length of an empty stored block. RFC 1951 §3.2.4
#[cfg(test)]
const FLUSH_MARK: &[u8] = &[0, 0, 0xFF, 0xFF];

/// An empty last block. RFC 1951 §3.2.6
const END: &[u8] = &[3, 0];

/// Room for the end of a flush, and for what a small response does not shrink by.
const FLUSH_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(inflater: &mut Inflater, bytes_max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while inflater.inflate(&mut out, bytes_max).unwrap() > 0 {}
        out
    }

    /// Words, repeats and noise, from a fixed seed.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 4978_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|at| if at % 700 < 300 { b"* FETCH "[at % 8] } else { next() }).collect()
    }

    #[test]
    fn whatever_is_deflated_comes_back_in_pieces_of_any_size() {
        for length in [0, 1, 5, 63, 64, 65, 1000, 16_384, 65_535, 300_000] {
            let sent = text(length);
            for more in [More::Follows, More::Ends] {
                let wire = deflate(&sent, more).unwrap();
                for piece in [1, 3, 4096, 1 << 20] {
                    let (mut inflater, mut out) = (Inflater::new(Vec::new()), Vec::new());
                    for part in wire.chunks(piece) {
                        inflater.pending().extend_from_slice(part);
                        out.extend(all(&mut inflater, 1000));
                    }
                    assert!(out == sent, "{length} octets in pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn a_write_ends_with_a_flush_and_the_next_needs_nothing_of_it() {
        let mut inflater = Inflater::new(Vec::new());
        for sent in [&b"a OK\r\n"[..], b"b OK\r\n", b"* 3 EXISTS\r\n"] {
            let wire = deflate(sent, More::Follows).unwrap();
            assert!(wire.ends_with(FLUSH_MARK), "{wire:?}");
            inflater.pending().extend_from_slice(&wire);
            assert_eq!(all(&mut inflater, 4096), sent);
            assert_eq!(inflater.pending.capacity(), 0, "an idle connection holds no input");
        }
    }

    #[test]
    fn a_bomb_comes_out_in_small_pieces() {
        let wire = deflate(&vec![0; 64 << 20], More::Follows).unwrap();
        assert!(wire.len() < 1 << 20);
        let (mut inflater, mut out, mut sum) = (Inflater::new(wire), Vec::new(), 0);
        loop {
            out.clear();
            let given = inflater.inflate(&mut out, usize::MAX).unwrap();
            assert!(given <= READ_BYTES_MAX && out.capacity() <= 2 * READ_BYTES_MAX);
            sum += given;
            if given == 0 {
                break;
            }
        }
        assert_eq!(sum, 64 << 20);
    }

    #[test]
    fn what_follows_the_last_flush_is_left_as_it_came() {
        for more in [More::Follows, More::Ends] {
            let wire = deflate(b"u UNAUTHENTICATE\r\n", more).unwrap();
            // Wherever the transport cuts it.
            for cut in 0..wire.len() {
                let mut inflater = Inflater::new(wire[..cut].to_vec());
                let mut out = all(&mut inflater, 4096);
                if out.len() == 18 {
                    // The command is answered before more is read.
                    break;
                }
                inflater.pending().extend_from_slice(&wire[cut..]);
                inflater.pending().extend_from_slice(b"l LOGIN a b\r\n");
                inflater.inflate(&mut out, 4096).unwrap();
                assert_eq!(out, b"u UNAUTHENTICATE\r\n", "cut at {cut}");
                assert_eq!(inflater.rest(), b"l LOGIN a b\r\n", "cut at {cut}, {more:?}");
            }
        }
    }

    #[test]
    fn octets_that_are_no_deflate_stream_are_an_error() {
        let mut out = Vec::new();
        let error = Inflater::new(b"a NOOP\r\nb NOOP\r\n".to_vec()).inflate(&mut out, 100);
        assert!(error.is_err());
        let ended = [deflate(b"x", More::Ends).unwrap(), b"y".to_vec()].concat();
        let mut inflater = Inflater::new(ended);
        assert_eq!(inflater.inflate(&mut out, 100).unwrap(), 1);
        assert!(inflater.inflate(&mut out, 100).is_err());
    }
}
