//! The rows of messages that were found, one after the other: for SORT and THREAD.
//!
//! A pass over a hundred thousand messages asks for rows some 1,600 times; between two of them
//! only what the collector keeps is in memory.

use mail_types::{MessageId, Uid, UidSet};
use mailbox::EntryRef;
use mime::Message;

use crate::reply::{Flow, Run, wait};
use crate::{Answer, Need, errors};

/// What takes messages in the order of their UIDs, and then answers.
pub(crate) trait Collector: Send {
    /// Takes one message.
    fn take(&mut self, entry: &EntryRef<'_>, row: &Message);
    /// All have been taken.
    fn finish(self: Box<Self>, run: &mut Run<'_>) -> Flow;
}

/// Loads the rows of these messages. One that is gone by now is left out.
pub(crate) fn collect(left: UidSet, mut collector: Box<dyn Collector>, run: &mut Run<'_>) -> Flow {
    let ids: Vec<(Uid, MessageId)> = match &run.state.selected {
        Some(selected) => selected
            .view
            .entries(&left)
            .take(Need::ROWS_MAX)
            .map(|(_, entry)| (entry.uid(), entry.message()))
            .collect(),
        None => Vec::new(),
    };
    if ids.is_empty() {
        return collector.finish(run);
    }
    let rows = ids.iter().map(|(_, message)| *message).collect();
    wait(Need::Rows(rows), move |answer, run| match answer {
        Answer::Rows(rows) if !rows.is_empty() && rows.len() <= ids.len() => {
            let mut last = Uid::MIN;
            for ((uid, _), row) in ids.into_iter().zip(rows) {
                last = uid;
                let view = run.state.selected.as_ref().map(|selected| &selected.view);
                let entry = view.and_then(|view| view.entry(uid));
                if let (Some(entry), Some(row)) = (entry, row) {
                    collector.take(&entry, &row);
                }
            }
            let rest = last.next().map(|next| UidSet::range(next, Uid::MAX)).unwrap_or_default();
            collect(left.intersection(&rest), collector, run)
        }
        other => Err(errors::unexpected(&other)),
    })
}

/// The sent date in seconds since 1970; `None` if the header tells none. RFC 5256 §2.2
pub(crate) fn sent(message: &Message) -> Option<i64> {
    let date = message.header.date.or_else(|| {
        // "If the time is also invalid, the time SHOULD be treated as 00:00:00."
        let mut text = message.header.envelope.date.clone()?;
        text.extend_from_slice(b" 00:00:00");
        mime::parse_date(&text)
    });
    date.map(|date| date.seconds())
}

/// A decoded header field, or nothing if the message lacks it.
pub(crate) fn decoded(field: Option<&[u8]>) -> String {
    field.map(mime::decode_header).unwrap_or_default()
}
