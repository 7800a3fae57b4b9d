//! URLFETCH. RFC 4467 §7, RFC 5524
//!
//! URLs are fetched one after the other, each told and sent before the next is opened: the octets
//! of one that belongs to another account are read through that account only so long. Whatever is
//! wrong with a URL, it is answered with NIL. RFC 4467 §8

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use imap_proto::types::{
    BodyData, Response, SectionText, UrlContent, UrlData, UrlFetch, UrlForm, UrlParams,
};
use imap_proto::url::ImapUrl;
use imap_proto::{BlobSlice, Transform};
use mail_types::{BodyStructure, MessageId};
use mime::{Decoder, Encoding, LineEnds, Message};

use super::catenate::{fields, kind, window};
use super::fetch::{binary_section, bounded};
use super::urlauth::INTERNAL;
use crate::reply::{Flow, Reply, Run, end, wait, wait_ready};
use crate::{Answer, Need, ReadRequest, UrlRequest, errors};

pub(crate) fn begin(urls: Vec<UrlFetch>, run: &mut Run<'_>) -> Flow {
    next(urls.into(), run)
}

/// Opens the next URL.
fn next(mut rest: VecDeque<UrlFetch>, run: &mut Run<'_>) -> Flow {
    let Some(UrlFetch { url: text, params }) = rest.pop_front() else {
        return end(Reply::ok("URLFETCH completed"));
    };
    let Some(url) = authorized(&text) else {
        return tell(text, nil(), rest, run);
    };
    let request = UrlRequest { url: url.clone(), text: text.clone() };
    wait(Need::OpenUrl(Box::new(request)), move |answer, run| match answer {
        Answer::UrlOpened(Some((message, row))) => {
            let structure = structure(&url, params, &row);
            let job = Job { text, url, params, message, row, structure, rest };
            job.begin(run)
        }
        Answer::UrlOpened(None) => tell(text, nil(), rest, run),
        other => Err(errors::unexpected(&other)),
    })
}

/// A URL that claims to be authorized: with an owner and a token of the one mechanism.
fn authorized(text: &[u8]) -> Option<ImapUrl> {
    let url = ImapUrl::parse(text).ok()?;
    let has_owner = url.server.as_ref().is_some_and(|server| server.user.is_some());
    let verifier = url.auth.as_ref()?.verifier.as_ref()?;
    (has_owner && verifier.mechanism == INTERNAL).then_some(url)
}

fn nil() -> UrlContent {
    UrlContent::Plain(BodyData::Nil)
}

/// Tells of one URL and sends it, then goes on.
fn tell(url: Vec<u8>, content: UrlContent, rest: VecDeque<UrlFetch>, run: &mut Run<'_>) -> Flow {
    run.write(&Response::UrlFetch(vec![UrlData { url, content }]));
    wait_ready(Need::Flush, move |run| next(rest, run))
}

fn structure(url: &ImapUrl, params: UrlParams, row: &Message) -> Option<Box<BodyStructure>> {
    let part = row.part(&url.section.part).filter(|_| params.structure)?;
    Some(Box::new(part.structure()))
}

/// A URL that may be fetched.
struct Job {
    text: Vec<u8>,
    url: ImapUrl,
    params: UrlParams,
    message: MessageId,
    row: Arc<Message>,
    structure: Option<Box<BodyStructure>>,
    rest: VecDeque<UrlFetch>,
}

impl Job {
    fn begin(self, run: &mut Run<'_>) -> Flow {
        let (path, text) = (&self.url.section.part, &self.url.section.text);
        // A part that does not exist is as if the URL were wrong. RFC 5524 §4
        let Some(range) = self.row.section(path, kind(&self.url)) else { return self.nil(run) };
        if self.params.structure && self.params.content.is_none() {
            return self.tell(None, run);
        }
        if matches!(text, Some(SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_))) {
            return self.header(bounded(range));
        }
        if self.params.content != Some(UrlForm::Binary) {
            return self.probe(range);
        }
        let encoding = match (text, binary_section(&self.row, path)) {
            (None, Some((_, encoding))) => encoding,
            _ => Ok(Encoding::Identity),
        };
        match encoding {
            Ok(encoding) => {
                let decoder = Decoder::new(encoding, LineEnds::Keep);
                let at = range.start;
                let counts = Counts::default();
                self.count(Counting { range, at, encoding, decoder, counts })
            }
            // What cannot be decoded is NIL, with the structure as it is. RFC 5524 §3.2
            Err(_) => self.tell(Some((BodyData::Nil, false)), run),
        }
    }

    /// Fields that are chosen from a header.
    fn header(self, range: Range<u64>) -> Flow {
        self.read(range, |job, header, run| {
            let chosen = fields(&header, &job.url);
            let has_nul = chosen.contains(&0);
            job.tell(Some((BodyData::Bytes(chosen), has_nul)), run)
        })
    }

    /// Octets as they are stored. The first of them are read before they are announced.
    fn probe(self, range: Range<u64>) -> Flow {
        let range = window(range, self.url.partial);
        let end = range.end.min(range.start.saturating_add(PIECE_BYTES));
        self.read(range.start..end, move |job, _, run| {
            let data = job.slice(range, Transform::Identity);
            job.tell(Some((data, false)), run)
        })
    }

    /// Decodes a part to its end: its size has to be announced, and whether it holds a NUL.
    fn count(self, counting: Counting) -> Flow {
        let end = counting.range.end.min(counting.at.saturating_add(PIECE_BYTES));
        self.read(counting.at..end, move |job, piece, run| job.counted(counting, &piece, run))
    }

    fn counted(mut self, mut counting: Counting, piece: &[u8], run: &mut Run<'_>) -> Flow {
        let mut out = Vec::new();
        counting.decoder.push(piece, &mut out);
        counting.counts.add(&out);
        counting.at = counting.at.saturating_add(piece.len() as u64);
        if counting.at < counting.range.end {
            return self.count(counting);
        }
        out.clear();
        counting.decoder.finish(&mut out);
        counting.counts.add(&out);
        let Counting { range, encoding, counts, .. } = counting;
        if let Some(structure) = &mut self.structure {
            decoded(structure, &counts);
        }
        let wanted = window(0..counts.octets, self.url.partial);
        let skip = wanted.start;
        let data = match encoding {
            Encoding::Identity => {
                let range = range.start + wanted.start..range.start + wanted.end;
                self.slice(range, Transform::Identity)
            }
            Encoding::Base64 => self.decoded_slice(range, wanted, Transform::Base64 { skip }),
            Encoding::QuotedPrintable => {
                self.decoded_slice(range, wanted, Transform::QuotedPrintable { skip })
            }
        };
        self.tell(Some((data, counts.has_nul)), run)
    }

    fn slice(&self, range: Range<u64>, transform: Transform) -> BodyData {
        let wanted = range.clone();
        self.decoded_slice(range, wanted, transform)
    }

    fn decoded_slice(
        &self,
        range: Range<u64>,
        wanted: Range<u64>,
        transform: Transform,
    ) -> BodyData {
        let length = wanted.end.saturating_sub(wanted.start);
        if length == 0 {
            return BodyData::Bytes(Vec::new());
        }
        BodyData::Blob(BlobSlice { message: self.message, range, transform, length })
    }

    /// Reads octets of the message; one that cannot be read is NIL.
    fn read(
        self,
        range: Range<u64>,
        then: impl FnOnce(Self, Vec<u8>, &mut Run<'_>) -> Flow + Send + 'static,
    ) -> Flow {
        let length = range.end.saturating_sub(range.start);
        let request = ReadRequest { message: self.message, range };
        wait(Need::ReadUrl(vec![request]), move |answer, run| {
            let Answer::Read(mut pieces) = answer else {
                return Err(errors::unexpected(&answer));
            };
            match pieces.pop() {
                Some(Ok(piece)) if piece.len() as u64 == length => then(self, piece, run),
                _ => self.nil(run),
            }
        })
    }

    fn nil(self, run: &mut Run<'_>) -> Flow {
        tell(self.text, nil(), self.rest, run)
    }

    fn tell(self, data: Option<(BodyData, bool)>, run: &mut Run<'_>) -> Flow {
        let content = match (self.params.content, data) {
            (None, Some((data, _))) if !self.params.structure => UrlContent::Plain(data),
            (form, data) => UrlContent::Metadata {
                structure: self.structure,
                has_nul: data.as_ref().is_some_and(|(_, has_nul)| *has_nul),
                content: form.zip(data).map(|(form, (data, _))| (form, data)),
            },
        };
        tell(self.text, content, self.rest, run)
    }
}

/// A part that is being counted.
struct Counting {
    range: Range<u64>,
    at: u64,
    encoding: Encoding,
    decoder: Decoder,
    counts: Counts,
}

/// What is known of decoded octets.
#[derive(Default)]
struct Counts {
    octets: u64,
    lines: u64,
    has_nul: bool,
}

impl Counts {
    fn add(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        self.lines += octets.iter().filter(|octet| **octet == b'\n').count() as u64;
        self.has_nul |= octets.contains(&0);
    }
}

/// Tells of a part as it is returned: without its transfer encoding. RFC 5524 §3.2
fn decoded(structure: &mut BodyStructure, counts: &Counts) {
    let fields = match structure {
        BodyStructure::Multipart { .. } | BodyStructure::Message { .. } => return,
        BodyStructure::Text { fields, lines, .. } => {
            *lines = counts.lines;
            fields
        }
        BodyStructure::Basic { fields, .. } => fields,
    };
    fields.encoding = b"BINARY".to_vec();
    fields.octets = counts.octets;
}

/// Octets that are read at once.
const PIECE_BYTES: u64 = Need::HOLD_BYTES_MAX;
