//! The messages of a FETCH, batch by batch: load, write, send.

use std::collections::VecDeque;
use std::sync::Arc;

use imap_proto::types::{BodyData, FetchAttribute, FetchItem};
use imap_proto::{BlobSlice, Transform};
use mail_types::{MessageId, SeqNum, Uid, UidSet};
use mailbox::EntryRef;
use mime::{Decoder, LineEnds, Message};

use super::attributes::{Loaded, Subject, Untold};
use super::needs::{self, Encoded, Needs};
use super::unknown_encoding;
use crate::cmd::copy::expunge_issued;
use crate::render::Out;
use crate::reply::{Flow, Reply, Run, end, wait, wait_ready};
use crate::state::Selected;
use crate::{Answer, Need, ReadRequest, Unread, errors, progress, render};

/// What is still to be told.
pub(crate) struct Job {
    /// Messages not told yet.
    rest: UidSet,
    /// With the last messages first: what comes after `rest`, in pieces, the next one last.
    later: Option<Vec<UidSet>>,
    items: Vec<FetchItem>,
    needs: Needs,
    /// Messages that this command has set `\Seen` on: their flags are told too.
    seen: UidSet,
    /// How many messages were told.
    done: usize,
    /// What could not be told.
    untold: Option<Untold>,
    /// What follows, if it is not the end of a FETCH.
    finish: Option<Finish>,
}

/// What follows when all is told, with the reply of a FETCH.
type Finish = Box<dyn FnOnce(Reply, &mut Run<'_>) -> Flow + Send>;

/// A message that is being loaded.
struct Waiting {
    uid: Uid,
    message: MessageId,
    row: Option<Arc<Message>>,
    loaded: Loaded,
    /// Header blocks that have to be read.
    headers: VecDeque<std::ops::Range<u64>>,
    /// Parts whose decoded size has to be counted.
    encoded: VecDeque<Encoded>,
}

impl Job {
    pub(crate) fn new(uids: UidSet, items: Vec<FetchItem>, needs: Needs) -> Self {
        Self {
            rest: uids,
            later: None,
            items,
            needs,
            seen: UidSet::new(),
            done: 0,
            untold: None,
            finish: None,
        }
    }

    pub(crate) fn with_seen(self, seen: UidSet) -> Self {
        Self { seen, ..self }
    }

    /// Tells the message with the highest UID first. RFC 9738 §3.1
    pub(crate) fn last_first(mut self, selected: &Selected) -> Self {
        let uids: Vec<Uid> = selected.view.entries(&self.rest).map(|(_, e)| e.uid()).collect();
        let pieces = uids.rchunks(Need::ROWS_MAX).map(|piece| piece.iter().copied().collect());
        let mut later: Vec<UidSet> = pieces.collect();
        later.reverse();
        self.rest = UidSet::new();
        self.later = Some(later);
        self
    }

    fn is_done(&self) -> bool {
        self.rest.is_empty() && self.later.as_ref().is_none_or(Vec::is_empty)
    }

    /// Turns what comes in the order of UIDs into the order in which it is told.
    fn in_order<T>(&self, items: &mut [T]) {
        if self.later.is_some() {
            items.reverse();
        }
    }

    pub(crate) fn with_finish(self, finish: Finish) -> Self {
        Self { finish: Some(finish), ..self }
    }

    fn finish(self, run: &mut Run<'_>) -> Flow {
        let reply = self.reply();
        match self.finish {
            Some(finish) => finish(reply, run),
            None => end(reply),
        }
    }

    /// Begins the next batch, or ends the command.
    pub(crate) fn next(mut self, run: &mut Run<'_>) -> Flow {
        if self.rest.is_empty()
            && let Some(piece) = self.later.as_mut().and_then(Vec::pop)
        {
            self.rest = piece;
        }
        if !self.needs.row {
            return self.write_plain(run);
        }
        let batch = self.take(run);
        if batch.is_empty() {
            return self.finish(run);
        }
        let ids = batch.iter().map(|waiting| waiting.message).collect();
        wait(Need::Rows(ids), move |answer, run| match answer {
            Answer::Rows(rows) => self.with_rows(batch, rows, run),
            other => Err(errors::unexpected(&other)),
        })
    }

    /// Takes the next messages off the set. Those that no longer have a number are passed over.
    fn take(&mut self, run: &Run<'_>) -> Vec<Waiting> {
        let Some(selected) = &run.state.selected else { return Vec::new() };
        let entries = selected.view.entries(&self.rest).take(Need::ROWS_MAX);
        let mut batch: Vec<Waiting> = entries.map(|(_, entry)| Waiting::new(&entry)).collect();
        self.done += batch.len();
        match batch.last().map(|last| last.uid) {
            Some(last) => self.forget_through(last),
            None => self.rest = UidSet::new(),
        }
        self.in_order(&mut batch);
        batch
    }

    /// Tells messages of which nothing has to be loaded: no value is made for what is written.
    fn write_plain(mut self, run: &mut Run<'_>) -> Flow {
        let mut last = None;
        if let Some(selected) = &run.state.selected {
            let (view, home) = (&selected.view, &selected.home);
            let out = &mut Out::new(run.sink, run.state.enabled);
            let loaded = Loaded::default();
            let most =
                if self.has_annotations() { ANNOTATED_PER_FLUSH } else { MESSAGES_PER_FLUSH };
            let mut entries: Vec<_> = view.entries(&self.rest).take(most).collect();
            last = entries.last().map(|(_, entry)| entry.uid());
            self.in_order(&mut entries);
            for (seq, entry) in entries {
                let subject = Subject { entry, flags: None, row: None, loaded: &loaded, home };
                let mut fetch = out.fetch(seq, entry.uid());
                for item in &self.items {
                    if fetch.plain(view, &entry, item) {
                        continue;
                    }
                    match subject.attribute(item) {
                        Ok(attribute) => fetch.attribute(&attribute),
                        Err(untold) => note(&mut self.untold, untold),
                    }
                }
                fetch.finish();
                self.done += 1;
            }
        }
        match last {
            Some(last) => self.forget_through(last),
            None => return self.finish(run),
        }
        self.pause(run)
    }

    fn has_annotations(&self) -> bool {
        self.items.iter().any(|item| matches!(item, FetchItem::Annotation(_)))
    }

    fn forget_through(&mut self, last: Uid) {
        let after = last.next().map_or_else(UidSet::new, |next| UidSet::range(next, Uid::MAX));
        self.rest = self.rest.intersection(&after);
    }

    fn with_rows(
        mut self,
        mut batch: Vec<Waiting>,
        rows: Vec<Option<Arc<Message>>>,
        run: &mut Run<'_>,
    ) -> Flow {
        // Fewer rows than asked for, but never none: the others come with the next batch.
        if rows.is_empty() || rows.len() > batch.len() {
            return Err(errors::server_bug());
        }
        for waiting in batch.split_off(rows.len()) {
            self.rest.insert(waiting.uid);
            self.done = self.done.saturating_sub(1);
        }
        for (waiting, row) in batch.iter_mut().zip(rows) {
            waiting.set_row(row, &self.items, self.needs);
        }
        self.load(batch, run)
    }

    /// Reads what the batch needs: headers of many messages at once, encoded parts piece by piece.
    fn load(mut self, batch: Vec<Waiting>, run: &mut Run<'_>) -> Flow {
        let (requests, targets) = header_requests(&batch);
        if !requests.is_empty() {
            return wait(Need::Read(requests), move |answer, run| match answer {
                Answer::Read(blocks) => self.with_headers(batch, &targets, blocks, run),
                other => Err(errors::unexpected(&other)),
            });
        }
        if let Some(index) = batch.iter().position(|waiting| !waiting.encoded.is_empty()) {
            return self.count(batch, index);
        }
        let told = self.tell(&batch, run);
        self.hold(told, run)
    }

    fn with_headers(
        mut self,
        mut batch: Vec<Waiting>,
        targets: &[usize],
        blocks: Vec<Result<Vec<u8>, Unread>>,
        run: &mut Run<'_>,
    ) -> Flow {
        if blocks.len() != targets.len() {
            return Err(errors::server_bug());
        }
        for (index, block) in targets.iter().zip(blocks) {
            let Some(waiting) = batch.get_mut(*index) else { continue };
            let Some(range) = waiting.headers.pop_front() else { continue };
            match block {
                Ok(block) => drop(waiting.loaded.headers.insert(range.start, block)),
                Err(why) => {
                    waiting.row = None;
                    waiting.headers.clear();
                    note(&mut self.untold, why.into());
                }
            }
        }
        self.load(batch, run)
    }

    /// Counts the decoded octets of one part, which BINARY must announce before it sends them.
    fn count(self, mut batch: Vec<Waiting>, index: usize) -> Flow {
        let waiting = batch.get_mut(index).ok_or_else(errors::server_bug)?;
        let encoded = waiting.encoded.pop_front().ok_or_else(errors::server_bug)?;
        let decoder = Decoder::new(encoded.encoding, LineEnds::Keep);
        let counting = Counting { index, at: encoded.range.start, encoded, decoder, size: 0 };
        self.count_on(batch, counting)
    }

    fn count_on(self, batch: Vec<Waiting>, counting: Counting) -> Flow {
        let message = batch.get(counting.index).map(|waiting| waiting.message);
        let message = message.ok_or_else(errors::server_bug)?;
        let end = counting.encoded.range.end.min(counting.at.saturating_add(PIECE_BYTES));
        let request = ReadRequest { message, range: counting.at..end };
        wait(Need::Read(vec![request]), move |answer, run| {
            let Answer::Read(mut pieces) = answer else {
                return Err(errors::unexpected(&answer));
            };
            let piece = pieces.pop().unwrap_or(Err(Unread::Gone));
            self.counted(batch, counting, piece, run)
        })
    }

    fn counted(
        mut self,
        mut batch: Vec<Waiting>,
        mut counting: Counting,
        piece: Result<Vec<u8>, Unread>,
        run: &mut Run<'_>,
    ) -> Flow {
        let waiting = batch.get_mut(counting.index).ok_or_else(errors::server_bug)?;
        let piece = match piece {
            Ok(piece) if !piece.is_empty() => piece,
            missing => {
                waiting.row = None;
                waiting.encoded.clear();
                note(&mut self.untold, missing.err().unwrap_or(Unread::Gone).into());
                return self.load(batch, run);
            }
        };
        let mut decoded = Vec::new();
        counting.decoder.push(&piece, &mut decoded);
        counting.size += decoded.len() as u64;
        counting.at += piece.len() as u64;
        if counting.at < counting.encoded.range.end {
            return self.count_on(batch, counting);
        }
        decoded.clear();
        counting.decoder.finish(&mut decoded);
        let size = counting.size + decoded.len() as u64;
        waiting.loaded.sizes.insert(counting.encoded.part, size);
        self.load(batch, run)
    }

    /// What is to be told of each message of the batch.
    fn tell(&mut self, batch: &[Waiting], run: &mut Run<'_>) -> VecDeque<Told> {
        let Some(selected) = &run.state.selected else { return VecDeque::new() };
        let (view, home) = (&selected.view, &selected.home);
        let out = &mut Out::new(run.sink, run.state.enabled);
        let uids: UidSet = batch.iter().map(|waiting| waiting.uid).collect();
        let mut waiting: Vec<&Waiting> = batch.iter().collect();
        self.in_order(&mut waiting);
        let mut waiting = waiting.into_iter();
        let mut all = VecDeque::with_capacity(batch.len());
        for (seq, entry) in view.entries(&uids) {
            let Some(waiting) = waiting.find(|waiting| waiting.uid == entry.uid()) else {
                continue;
            };
            let flags = Some(render::flag_list(out, view, &entry));
            let row = waiting.row.as_deref();
            let subject = Subject { entry, flags, row, loaded: &waiting.loaded, home };
            all.push_back(self.tell_one(seq, &subject, out));
        }
        self.in_order(all.make_contiguous());
        all
    }

    fn tell_one(&mut self, seq: SeqNum, subject: &Subject<'_>, out: &Out<'_>) -> Told {
        let extra = self.extra(subject.entry.uid(), out);
        let mut attributes = Vec::with_capacity(self.items.len() + extra.len());
        for item in self.items.iter().chain(&extra) {
            match subject.attribute(item) {
                Ok(attribute) => attributes.push(attribute),
                Err(untold) => note(&mut self.untold, untold),
            }
        }
        Told { seq, uid: subject.entry.uid(), attributes }
    }

    /// Writes what is told, after the octets that its literals announce have been read.
    fn hold(self, mut told: VecDeque<Told>, run: &mut Run<'_>) -> Flow {
        let (mut group, mut requests) = (Vec::new(), Vec::new());
        let mut left = Need::HOLD_BYTES_MAX;
        while let Some(next) = told.pop_front() {
            if !group.is_empty() && next.held_bytes() > left {
                told.push_front(next);
                break;
            }
            next.request(&mut left, &mut requests);
            group.push(next);
        }
        if requests.is_empty() {
            return self.write(group, told, run);
        }
        let count = requests.len();
        wait(Need::Hold(requests), move |answer, run| match answer {
            Answer::Held(held) if held.len() == count => self.held(group, held, told, run),
            other => Err(errors::unexpected(&other)),
        })
    }

    fn held(
        mut self,
        mut group: Vec<Told>,
        held: Vec<Result<(), Unread>>,
        rest: VecDeque<Told>,
        run: &mut Run<'_>,
    ) -> Flow {
        let mut held = held.into_iter();
        for told in &mut group {
            told.attributes.retain(|attribute| {
                let asked = slice_of(attribute).and_then(|_| held.next());
                let Some(Err(why)) = asked else { return true };
                note(&mut self.untold, why.into());
                false
            });
        }
        self.write(group, rest, run)
    }

    fn write(self, group: Vec<Told>, rest: VecDeque<Told>, run: &mut Run<'_>) -> Flow {
        let out = &mut Out::new(run.sink, run.state.enabled);
        for Told { seq, uid, attributes } in group {
            if !attributes.is_empty() {
                render::fetch(out, (seq, uid), attributes);
            }
        }
        if rest.is_empty() {
            return self.pause(run);
        }
        wait_ready(Need::Flush, |run| self.hold(rest, run))
    }

    /// With `\Seen` set on the way, the new flags are told, and all that goes with them.
    /// RFC 9051 §6.4.5, RFC 7162 §3.2.4
    fn extra(&self, uid: Uid, out: &Out<'_>) -> Vec<FetchItem> {
        if !self.seen.contains(uid) {
            return Vec::new();
        }
        let mut extra = vec![FetchItem::Flags];
        if out.has_condstore() {
            if !out.has_uidonly() {
                extra.push(FetchItem::Uid);
            }
            extra.push(FetchItem::ModSeq);
        }
        extra.retain(|item| !self.items.contains(item));
        extra
    }

    /// Sends what was written, and goes on.
    fn pause(self, run: &mut Run<'_>) -> Flow {
        if self.is_done() {
            return self.next(run);
        }
        let left = match &run.state.selected {
            Some(selected) if progress::is_due(run) => selected.view.entries(&self.rest).count(),
            _ => 0,
        };
        let (done, goal) = (self.done, self.done + left);
        wait_ready(Need::Flush, move |run| progress::tell(done, goal, run, |run| self.next(run)))
    }

    fn reply(&self) -> Reply {
        match self.untold {
            None | Some(Untold::Nothing) => Reply::ok("FETCH completed"),
            Some(Untold::Gone) => expunge_issued(),
            Some(Untold::NoSuchPart) => errors::refusal(mailbox::Refusal::NoSuchPart),
            Some(Untold::UnknownEncoding) => unknown_encoding(),
            Some(Untold::Unreadable(trouble)) => errors::trouble(trouble),
        }
    }
}

/// Notes why something is not told. That stored mail is damaged is the worst of reasons.
fn note(known: &mut Option<Untold>, untold: Untold) {
    if untold != Untold::Nothing && !matches!(known, Some(Untold::Unreadable(_))) {
        *known = Some(untold);
    }
}

/// What is to be told of one message.
struct Told {
    seq: SeqNum,
    uid: Uid,
    attributes: Vec<FetchAttribute>,
}

impl Told {
    /// Octets that are asked for before it is written.
    fn held_bytes(&self) -> u64 {
        self.attributes.iter().filter_map(slice_of).map(|slice| slice.length).sum()
    }

    /// Asks for what its literals hold, as far as `left` reaches: of a message that is longer the
    /// beginning has to do.
    fn request(&self, left: &mut u64, requests: &mut Vec<ReadRequest>) {
        for slice in self.attributes.iter().filter_map(slice_of) {
            let length = slice.length.min(*left);
            *left -= length;
            let range = slice.range.start..slice.range.start.saturating_add(length);
            requests.push(ReadRequest { message: slice.message, range });
        }
    }
}

/// The part of a message that an attribute sends as it is stored. What is sent decoded was read
/// when its length was counted.
fn slice_of(attribute: &FetchAttribute) -> Option<&BlobSlice> {
    let data = match attribute {
        FetchAttribute::Rfc822(data)
        | FetchAttribute::Rfc822Header(data)
        | FetchAttribute::Rfc822Text(data)
        | FetchAttribute::Section { data, .. }
        | FetchAttribute::Binary { data, .. } => data,
        _ => return None,
    };
    match data {
        BodyData::Blob(slice) if slice.transform == Transform::Identity => Some(slice),
        _ => None,
    }
}

impl From<Unread> for Untold {
    fn from(why: Unread) -> Self {
        match why {
            Unread::Gone => Self::Gone,
            Unread::Failed(trouble) => Self::Unreadable(trouble),
        }
    }
}

/// A part whose decoded octets are being counted.
struct Counting {
    /// Place in the batch.
    index: usize,
    encoded: Encoded,
    /// Next octet to be read.
    at: u64,
    decoder: Decoder,
    size: u64,
}

impl Waiting {
    fn new(entry: &EntryRef<'_>) -> Self {
        Self {
            uid: entry.uid(),
            message: entry.message(),
            row: None,
            loaded: Loaded::default(),
            headers: VecDeque::new(),
            encoded: VecDeque::new(),
        }
    }

    fn set_row(&mut self, row: Option<Arc<Message>>, items: &[FetchItem], needs: Needs) {
        if let Some(message) = &row {
            if needs.headers {
                self.headers = needs::headers(items, message).into();
            }
            if needs.binary {
                for encoded in needs::encoded_parts(items, message) {
                    if encoded.range.is_empty() {
                        self.loaded.sizes.insert(encoded.part, 0);
                    } else {
                        self.encoded.push_back(encoded);
                    }
                }
            }
        }
        self.row = row;
    }
}

/// The next header block of each message, as many as may be read at once, and whose they are.
fn header_requests(batch: &[Waiting]) -> (Vec<ReadRequest>, Vec<usize>) {
    let (mut requests, mut targets) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for (index, waiting) in batch.iter().enumerate() {
        let Some(range) = waiting.headers.front().filter(|_| waiting.row.is_some()) else {
            continue;
        };
        bytes += range.end - range.start;
        if bytes > Need::READ_BYTES_MAX && !requests.is_empty() {
            break;
        }
        requests.push(ReadRequest { message: waiting.message, range: range.clone() });
        targets.push(index);
    }
    (requests, targets)
}

/// Messages that need nothing loaded are told so many at a time: some 100 KiB.
const MESSAGES_PER_FLUSH: usize = 1000;
/// The same if annotations are told, of which each may have two rows full: 1.5 MiB at most.
const ANNOTATED_PER_FLUSH: usize = 32;
/// Octets of an encoded part that are decoded at a time to count them.
const PIECE_BYTES: u64 = 256 << 10;
