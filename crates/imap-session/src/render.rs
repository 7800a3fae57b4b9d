//! What is said of the selected mailbox: the only place that writes FETCH, EXPUNGE, VANISHED,
//! EXISTS, RECENT and FLAGS.

use imap_proto::Sink;
use imap_proto::serialize::{self, FetchWriter, Recent};
use imap_proto::types::{
    AnnotationData, Code, FetchAttribute, FetchItem, FlagList, MailboxArg, NameEncoding, Response,
    SequenceSet, Status, StatusKind,
};
use mail_types::{AnnotationName, Flags, MailboxName, SeqNum, SystemFlags, Uid, UidSet};
use mailbox::{Changed, Delta, EntryRef, KeywordNames, News, Rights, View};

use crate::Language;
use crate::state::Enabled;

/// Where responses go, and in which dialect.
pub(crate) struct Out<'a> {
    sink: &'a mut dyn Sink,
    enabled: Enabled,
}

impl<'a> Out<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink, enabled: Enabled) -> Self {
        Self { sink, enabled }
    }

    /// Whether unasked FETCH responses tell UID and MODSEQ. RFC 7162 §3.2.4
    pub(crate) fn has_condstore(&self) -> bool {
        self.enabled.condstore
    }

    /// Whether UIDFETCH says which message is meant, so that no item has to. RFC 9586 §3
    pub(crate) fn has_uidonly(&self) -> bool {
        self.enabled.uidonly
    }

    /// Begins a FETCH response that is written item by item.
    pub(crate) fn fetch(&mut self, seq: SeqNum, uid: Uid) -> ItemWriter<'_> {
        let names = self.enabled.names();
        let writer = match self.enabled.uidonly {
            true => FetchWriter::with_uid(self.sink, names, uid),
            false => FetchWriter::new(self.sink, names, seq),
        };
        ItemWriter { writer, enabled: self.enabled }
    }

    /// Writes one response.
    pub(crate) fn write(&mut self, response: &Response) {
        let Enabled { language, .. } = self.enabled;
        let localized = language.localized(response);
        let response = localized.as_ref().unwrap_or(response);
        match language {
            Language::Default => serialize::response(response, self.enabled.names(), self.sink),
            // "These responses will be in UTF-8", however names are written. RFC 5255 §3.2
            _ => serialize::response_in_utf8(response, self.enabled.names(), self.sink),
        }
    }
}

/// A FETCH response of which no value is made: a hundred thousand of them are one command.
pub(crate) struct ItemWriter<'a> {
    writer: FetchWriter<'a>,
    enabled: Enabled,
}

impl ItemWriter<'_> {
    /// Writes an item that stands in the snapshot as it is sent; `false` if it does not.
    pub(crate) fn plain(&mut self, view: &View, entry: &EntryRef<'_>, item: &FetchItem) -> bool {
        match item {
            FetchItem::Uid => self.writer.uid(entry.uid()),
            FetchItem::Flags => {
                let is_recent = !self.enabled.rev2 && view.is_recent(entry.uid());
                let recent = if is_recent { Recent::Yes } else { Recent::No };
                self.writer.flags(&entry.flags(), recent);
            }
            FetchItem::ModSeq => self.writer.mod_seq(entry.modseq()),
            FetchItem::InternalDate => self.writer.internal_date(entry.internal_date()),
            FetchItem::Rfc822Size => self.writer.rfc822_size(u64::from(entry.size())),
            _ => return false,
        }
        true
    }

    /// Writes any item.
    pub(crate) fn attribute(&mut self, attribute: &FetchAttribute) {
        self.writer.attribute(attribute);
    }

    /// Ends the response.
    pub(crate) fn finish(self) {
        self.writer.end();
    }
}

/// A mailbox name for the wire.
pub(crate) fn name(name: &MailboxName, encoding: NameEncoding) -> MailboxArg {
    MailboxArg::encode(name.as_str(), encoding)
}

/// `* n EXISTS`
pub(crate) fn exists(out: &mut Out<'_>, count: u32) {
    out.write(&Response::Exists(count));
}

/// `* n RECENT`, which IMAP4rev2 does not have. RFC 9051 §E
pub(crate) fn recent(out: &mut Out<'_>, count: u32) {
    if !out.enabled.rev2 {
        out.write(&Response::Recent(count));
    }
}

/// `* FLAGS`: the system flags and every keyword in use. RFC 9051 §7.3.5
pub(crate) fn flags(out: &mut Out<'_>, keywords: &KeywordNames) {
    out.write(&Response::Flags(all_flags(keywords).into()));
}

/// `* OK [PERMANENTFLAGS …]`; with `\*` as clients may make keywords. RFC 9051 §7.1
/// Without a right, the flags that it is about are left out. RFC 4314 §5.1.1
pub(crate) fn permanent_flags(out: &mut Out<'_>, keywords: &KeywordNames, rights: Rights) {
    let permitted = rights.permitted(&all_flags(keywords));
    let wildcard = rights.contains(Rights::WRITE);
    let text = match (wildcard, permitted.is_empty()) {
        (true, _) => "Flags and new keywords can be kept",
        (false, false) => "Only these flags can be kept",
        (false, true) => "No flag can be changed",
    };
    let list = FlagList { wildcard, ..permitted.into() };
    let status = Status::untagged(StatusKind::Ok, text).with_code(Code::PermanentFlags(list));
    out.write(&Response::Status(status));
}

fn all_flags(keywords: &KeywordNames) -> Flags {
    Flags::new(SystemFlags::ALL, keywords.all().iter().cloned())
}

/// EXPUNGE for each message, or VANISHED for all once QRESYNC or UIDONLY is enabled.
/// RFC 7162 §3.2.10, RFC 9586 §3
pub(crate) fn expunges(out: &mut Out<'_>, delta: &Delta) {
    if delta.vanished.is_empty() {
        return;
    }
    if out.enabled.qresync || out.enabled.uidonly {
        let uids = SequenceSet::from(&delta.vanished);
        out.write(&Response::Vanished { earlier: false, uids });
        return;
    }
    for seq in &delta.expunged {
        out.write(&Response::Expunge(*seq));
    }
}

/// `* VANISHED (EARLIER)`: gone before this session could see it. RFC 7162 §3.2.10.1
pub(crate) fn vanished_earlier(out: &mut Out<'_>, uids: &UidSet) {
    if !uids.is_empty() {
        out.write(&Response::Vanished { earlier: true, uids: SequenceSet::from(uids) });
    }
}

/// What a FETCH response that nobody asked for tells of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) uid: Include,
    pub(crate) flags: Include,
    pub(crate) modseq: Include,
}

/// Whether something is part of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    Yes,
    No,
}

impl Fetched {
    /// FLAGS, and UID and MODSEQ once a CONDSTORE-enabling command was given. RFC 7162 §3.2.4
    pub(crate) fn news(enabled: Enabled) -> Self {
        let extra = if enabled.condstore { Include::Yes } else { Include::No };
        let uid = match (enabled.uidonly, enabled.notify) {
            // UIDFETCH begins with the UID.
            (true, _) => Include::No,
            // RFC 5465 §5.1
            (false, true) => Include::Yes,
            (false, false) => extra,
        };
        Self { uid, flags: Include::Yes, modseq: extra }
    }
}

/// `* n FETCH` for a message that was changed, with the names of annotations that were.
pub(crate) fn changed(
    out: &mut Out<'_>,
    view: &View,
    changed: &Changed,
    names: Vec<AnnotationName>,
) {
    let fetched = match changed.news {
        News::Flags => Fetched::news(out.enabled),
        // Of a change that leaves the flags as the client knows them, only MODSEQ is new.
        News::ModSeq | News::Own if out.enabled.condstore => {
            Fetched { flags: Include::No, ..Fetched::news(out.enabled) }
        }
        News::ModSeq | News::Own => return annotated(out, view, changed, names),
    };
    if let Some(entry) = view.entry(changed.uid) {
        let mut attributes = attributes(out, view, &entry, fetched);
        if !names.is_empty() {
            attributes.push(FetchAttribute::Annotation(AnnotationData::Changed(names)));
        }
        fetch(out, (changed.seq, entry.uid()), attributes);
    }
}

/// `* n FETCH` with the names of annotations that were changed, if there are any, and never their
/// values. RFC 5257 §4.4
pub(crate) fn annotated(
    out: &mut Out<'_>,
    view: &View,
    changed: &Changed,
    names: Vec<AnnotationName>,
) {
    let Some(entry) = view.entry(changed.uid).filter(|_| !names.is_empty()) else { return };
    let fetched = Fetched { flags: Include::No, ..Fetched::news(out.enabled) };
    let mut attributes = attributes(out, view, &entry, fetched);
    attributes.push(FetchAttribute::Annotation(AnnotationData::Changed(names)));
    fetch(out, (changed.seq, entry.uid()), attributes);
}

/// `* n FETCH` with what `fetched` says.
pub(crate) fn message(
    out: &mut Out<'_>,
    view: &View,
    (seq, entry): (SeqNum, EntryRef<'_>),
    fetched: Fetched,
) {
    let attributes = attributes(out, view, &entry, fetched);
    fetch(out, (seq, entry.uid()), attributes);
}

fn attributes(
    out: &Out<'_>,
    view: &View,
    entry: &EntryRef<'_>,
    fetched: Fetched,
) -> Vec<FetchAttribute> {
    let mut attributes = Vec::with_capacity(3);
    if fetched.uid == Include::Yes {
        attributes.push(FetchAttribute::Uid(entry.uid()));
    }
    if fetched.flags == Include::Yes {
        attributes.push(FetchAttribute::Flags(flag_list(out, view, entry)));
    }
    if fetched.modseq == Include::Yes {
        attributes.push(FetchAttribute::ModSeq(entry.modseq()));
    }
    attributes
}

/// `* n FETCH (…)`, or `* uid UIDFETCH (…)`. RFC 9586 §3
pub(crate) fn fetch(out: &mut Out<'_>, (seq, uid): (SeqNum, Uid), attributes: Vec<FetchAttribute>) {
    out.write(&match out.enabled.uidonly {
        true => Response::UidFetch { uid, attributes },
        false => Response::Fetch { seq, attributes },
    });
}

/// The flags of a message as this session shows them: IMAP4rev2 has no `\Recent`.
/// RFC 9051 §2.3.2
pub(crate) fn flag_list(out: &Out<'_>, view: &View, entry: &EntryRef<'_>) -> FlagList {
    let recent = !out.enabled.rev2 && view.is_recent(entry.uid());
    FlagList { recent, ..entry.flags().into() }
}
