//! THREAD and UID THREAD. RFC 5256 §3

use imap_proto::types::{Numbering, Response, Thread, ThreadAlgorithm, ThreadMember};
use mailbox::EntryRef;
use mailbox::thread::{Algorithm, ThreadTexts, Threader};
use mime::Message;

use super::search::rows::{Collector, collect, decoded, sent};
use super::search::{self, Job};
use crate::reply::{Flow, Reply, Run, end};
use crate::sync;

pub(crate) fn begin(thread: Thread, run: &mut Run<'_>) -> Flow {
    search::check(&thread.search, run)?;
    let algorithm = match thread.algorithm {
        ThreadAlgorithm::OrderedSubject => Algorithm::OrderedSubject,
        ThreadAlgorithm::References => Algorithm::References,
        ThreadAlgorithm::Refs => Algorithm::Refs,
    };
    sync::prepare(move |run| {
        let numbering = thread.search.numbering;
        let threader = Threader::new(algorithm, run.state.collation.comparator);
        let threading = Box::new(Threading { numbering, threader });
        let collect_all =
            Box::new(move |job: Job, run: &mut Run<'_>| collect(job.matched, threading, run));
        search::find(&thread.search, run, collect_all)
    })
}

/// A THREAD whose messages are being loaded.
struct Threading {
    numbering: Numbering,
    threader: Threader,
}

impl Collector for Threading {
    fn take(&mut self, entry: &EntryRef<'_>, row: &Message) {
        let header = &row.header;
        let in_reply_to = header.envelope.in_reply_to.as_deref().map(mime::message_ids);
        let texts = ThreadTexts {
            sent: sent(row),
            subject: &decoded(header.envelope.subject.as_deref()),
            message_id: header.message_id.as_deref(),
            references: &header.references,
            in_reply_to: &in_reply_to.unwrap_or_default(),
        };
        self.threader.add(entry, &texts);
    }

    fn finish(self: Box<Self>, run: &mut Run<'_>) -> Flow {
        let Self { numbering, threader } = *self;
        let view = run.state.selected.as_ref().map(|selected| &selected.view);
        let number = |uid: mail_types::Uid| match numbering {
            Numbering::Uid => Some(uid.get()),
            Numbering::Sequence => view.and_then(|view| view.seq(uid)).map(|seq| seq.get()),
        };
        let members = threader.finish();
        let member = |member: &mailbox::thread::ThreadMember| ThreadMember {
            number: member.uid.and_then(number),
            depth: member.depth,
        };
        // MODSEQ as a key changes nothing about the response. RFC 7162 §3.1.9
        run.write(&Response::Thread(members.iter().map(member).collect()));
        end(Reply::ok(match numbering {
            Numbering::Uid => "UID THREAD completed",
            Numbering::Sequence => "THREAD completed",
        }))
    }
}
