//! What is to be sent: bytes in order, with parts of stored messages between them.
//!
//! A part of a message is a name until it is sent. Then the octets of many small parts are read at
//! once, and a large one piece by piece, each sent before the next is read: a client that does not
//! read makes the server wait and not grow.
//!
//! Before a literal is announced its octets, or the first of them, are read and held: what is
//! damaged is then refused in good order. What lies behind them and turns out to be damaged leaves
//! nothing but to close the connection.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use imap_proto::{BlobSlice, Sink, Transform};
use mail_service::AccountHandle;
use mail_types::MessageId;
use mime::{Decoder, Encoding, LineEnds};
use net::Stream;
use tracing::error;

/// Output that has not been sent.
#[derive(Debug, Default)]
pub struct Output {
    segments: VecDeque<Segment>,
    /// Octets of parts that are about to be written, in the order in which they will be.
    ready: VecDeque<Held>,
    /// Octets held, parts of messages not counted.
    held: usize,
}

/// What becomes of compression, if there is any, behind what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// It goes on.
    GoesOn,
    /// It ends. RFC 8437 §4.1
    Ends,
}

#[derive(Debug)]
enum Segment {
    Bytes(Vec<u8>),
    /// Octets of a message that were read before.
    Held(Vec<u8>),
    Blob(BlobSlice),
}

/// Octets of a message that stand at `start` in it.
#[derive(Debug)]
struct Held {
    message: MessageId,
    start: u64,
    octets: Vec<u8>,
}

impl Sink for Output {
    fn bytes(&mut self, bytes: &[u8]) {
        self.held += bytes.len();
        match self.segments.back_mut() {
            Some(Segment::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.segments.push_back(Segment::Bytes(bytes.to_vec())),
        }
    }

    fn blob(&mut self, slice: BlobSlice) {
        let rest = match self.take_held(&slice) {
            None => Some(slice),
            Some(octets) => {
                let (_, rest) = split(slice, octets.len() as u64);
                self.held += octets.len();
                self.segments.push_back(Segment::Held(octets));
                rest
            }
        };
        self.segments.extend(rest.map(Segment::Blob));
    }
}

impl Output {
    /// Keeps octets of a message for the part of it that begins with them and is written next but
    /// for those held before. The caller bounds their sum.
    pub fn hold(&mut self, message: MessageId, start: u64, octets: Vec<u8>) {
        self.ready.push_back(Held { message, start, octets });
    }

    /// The octets held for the beginning of this part. Parts that were held and then not written
    /// are passed over.
    fn take_held(&mut self, slice: &BlobSlice) -> Option<Vec<u8>> {
        if slice.transform != Transform::Identity {
            return None;
        }
        let fits = |held: &Held| held.message == slice.message && held.start == slice.range.start;
        let place = self.ready.iter().position(fits)?;
        self.ready.drain(..place);
        let octets = self.ready.pop_front()?.octets;
        (!octets.is_empty() && octets.len() as u64 <= slice.length).then_some(octets)
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether so much waits that it shall be sent although more may follow at once.
    pub fn is_large(&self) -> bool {
        self.held >= LARGE_BYTES || self.segments.len() >= LARGE_SEGMENTS
    }

    /// Sends everything. Nothing is held afterwards.
    ///
    /// # Errors
    /// As the stream. `InvalidData` when a message does not have the octets that its literal's
    /// header announced: what follows could not be understood, so the connection must end.
    pub async fn send(
        &mut self,
        stream: &mut Stream,
        account: Option<&AccountHandle>,
        layer: Layer,
        patience: Duration,
    ) -> io::Result<()> {
        self.held = 0;
        self.ready = VecDeque::new();
        while !self.segments.is_empty() {
            let batch = Batch::take(&mut self.segments);
            let bytes = match batch {
                Batch::Bytes(bytes) => bytes,
                Batch::Mixed(segments) => assemble(segments, account).await?,
                Batch::Decoded(slice) => {
                    send_decoded(slice, account, stream, patience).await?;
                    continue;
                }
            };
            if layer == Layer::Ends && self.segments.is_empty() {
                stream.write_last(&bytes, patience).await?;
            } else {
                stream.write_all(&bytes, patience).await?;
            }
        }
        // An idle session holds no buffer.
        self.segments = VecDeque::new();
        Ok(())
    }
}

/// What is sent in one write.
enum Batch {
    Bytes(Vec<u8>),
    /// Bytes and stored octets, in all not much more than [`BATCH_BYTES`].
    Mixed(Vec<Segment>),
    /// Stored octets that have to be decoded.
    Decoded(BlobSlice),
}

impl Batch {
    fn take(segments: &mut VecDeque<Segment>) -> Self {
        let (mut batch, mut size) = (Vec::new(), 0);
        while size < BATCH_BYTES {
            match segments.pop_front() {
                None => break,
                Some(Segment::Bytes(bytes)) => {
                    size += bytes.len() as u64;
                    batch.push(Segment::Bytes(bytes));
                }
                Some(Segment::Held(octets)) => {
                    size += octets.len() as u64;
                    batch.push(Segment::Held(octets));
                }
                Some(Segment::Blob(slice)) if slice.transform == Transform::Identity => {
                    let (now, later) = split(slice, BATCH_BYTES - size);
                    size += now.length;
                    batch.push(Segment::Blob(now));
                    if let Some(later) = later {
                        segments.push_front(Segment::Blob(later));
                    }
                }
                Some(Segment::Blob(slice)) if batch.is_empty() => return Self::Decoded(slice),
                Some(decoded) => {
                    segments.push_front(decoded);
                    break;
                }
            }
        }
        if let [Segment::Bytes(bytes)] = batch.as_mut_slice() {
            return Self::Bytes(std::mem::take(bytes));
        }
        Self::Mixed(batch)
    }
}

/// The first octets of a part, and the rest if there is one.
fn split(slice: BlobSlice, bytes_max: u64) -> (BlobSlice, Option<BlobSlice>) {
    if slice.length <= bytes_max {
        return (slice, None);
    }
    let middle = slice.range.start + bytes_max;
    let now = BlobSlice { range: slice.range.start..middle, length: bytes_max, ..slice.clone() };
    let length = slice.length - bytes_max;
    (now, Some(BlobSlice { range: middle..slice.range.end, length, ..slice }))
}

/// Reads all parts at once and puts them where they belong.
async fn assemble(segments: Vec<Segment>, account: Option<&AccountHandle>) -> io::Result<Vec<u8>> {
    let parts = segments.iter().filter_map(|segment| match segment {
        Segment::Blob(slice) => Some((slice.message, slice.range.clone())),
        Segment::Bytes(_) | Segment::Held(_) => None,
    });
    let parts: Vec<_> = parts.collect();
    let mut read = Vec::new().into_iter();
    if !parts.is_empty() {
        let octets = account.ok_or_else(missing)?.read(parts).await;
        read = octets.map_err(|error| damaged(&error))?.into_iter();
    }
    let length = |segment: &Segment| match segment {
        Segment::Bytes(bytes) | Segment::Held(bytes) => bytes.len(),
        Segment::Blob(slice) => usize::try_from(slice.length).unwrap_or(0),
    };
    let mut out = Vec::with_capacity(segments.iter().map(length).sum());
    for segment in segments {
        match segment {
            Segment::Bytes(bytes) | Segment::Held(bytes) => out.extend_from_slice(&bytes),
            Segment::Blob(slice) => {
                let octets = read.next().flatten().ok_or_else(missing)?;
                if octets.len() as u64 != slice.length {
                    return Err(missing());
                }
                out.extend_from_slice(&octets);
            }
        }
    }
    Ok(out)
}

/// Reads, decodes and sends a part of BINARY piece by piece. RFC 3516 §4.2
async fn send_decoded(
    slice: BlobSlice,
    account: Option<&AccountHandle>,
    stream: &mut Stream,
    patience: Duration,
) -> io::Result<()> {
    let (encoding, mut skip) = match slice.transform {
        Transform::Base64 { skip } => (Encoding::Base64, skip),
        Transform::QuotedPrintable { skip } => (Encoding::QuotedPrintable, skip),
        Transform::Identity => (Encoding::Identity, 0),
    };
    let opened = account.ok_or_else(missing)?.open_message(slice.message).await;
    let reader = opened.map_err(|error| damaged(&error))?.ok_or_else(missing)?;
    let mut decoder = Some(Decoder::new(encoding, LineEnds::Keep));
    let (mut at, mut left, mut out) = (slice.range.start, slice.length, Vec::new());
    while left > 0 {
        let Some(mut current) = decoder.take() else { return Err(missing()) };
        let stored = if at < slice.range.end {
            reader.read(at..slice.range.end).await.map_err(|error| damaged(&error))?
        } else {
            Vec::new()
        };
        at += stored.len() as u64;
        out.clear();
        if stored.is_empty() {
            current.finish(&mut out);
        } else {
            current.push(&stored, &mut out);
            decoder = Some(current);
        }
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(out.len());
        skip -= skipped as u64;
        let fresh = out.get(skipped..).unwrap_or_default();
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(fresh.len());
        left -= wanted as u64;
        stream.write_all(fresh.get(..wanted).unwrap_or_default(), patience).await?;
    }
    Ok(())
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message is shorter than was announced")
}

fn damaged(error: &mail_service::ServiceError) -> io::Error {
    error!(%error, "a message cannot be read");
    io::Error::new(io::ErrorKind::InvalidData, "a message cannot be read")
}

/// Octets that are read and sent at once.
const BATCH_BYTES: u64 = 256 * 1024;

/// Output of pipelined commands is sent together up to this size.
const LARGE_BYTES: usize = 64 * 1024;

/// Parts of messages that are kept as names before they are sent.
const LARGE_SEGMENTS: usize = 512;
