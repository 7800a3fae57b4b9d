//! SEARCH. RFC 9051 §6.4.4, §7.3.3

use mail_types::{InternalDate, ModSeq, SystemFlags};

use super::writer::Writer;
use super::{annotate, fetch};
use crate::types::{
    Esearch, MultiSearch, Numbering, PartialRange, ResultEnd, Search, SearchKey, SearchReturn,
    SearchSource, SearchUpdate,
};

/// `search = "SEARCH" [search-return-opts] SP search-program`
pub fn command(out: &mut Writer<'_>, search: &Search) {
    out.text("SEARCH");
    arguments(out, search);
}

/// `esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program`
pub fn multi(out: &mut Writer<'_>, multi: &MultiSearch) {
    out.text("ESEARCH");
    if let Some(sources) = &multi.sources {
        out.text(" IN ");
        out.list(sources, source);
    }
    arguments(out, &multi.search);
}

fn source(out: &mut Writer<'_>, source: &SearchSource) {
    let (name, mailboxes) = match source {
        SearchSource::Selected => ("selected", None),
        SearchSource::Inboxes => ("inboxes", None),
        SearchSource::Personal => ("personal", None),
        SearchSource::Subscribed => ("subscribed", None),
        SearchSource::Subtree(mailboxes) => ("subtree ", Some(mailboxes)),
        SearchSource::SubtreeOne(mailboxes) => ("subtree-one ", Some(mailboxes)),
        SearchSource::Mailboxes(mailboxes) => ("mailboxes ", Some(mailboxes)),
    };
    out.text(name);
    match mailboxes.map(Vec::as_slice) {
        None => {}
        Some([mailbox]) => out.mailbox(mailbox),
        Some(mailboxes) => out.list(mailboxes, |out, mailbox| out.mailbox(mailbox)),
    }
}

/// `"CANCELUPDATE" 1*(SP quoted)`
pub fn cancel_update(out: &mut Writer<'_>, tags: &[String]) {
    out.text("CANCELUPDATE");
    for tag in tags {
        out.space();
        out.quoted(tag.as_bytes());
    }
}

/// `partial-range`. RFC 9394 §4
pub fn partial_range(out: &mut Writer<'_>, range: PartialRange) {
    let sign = match range.from {
        ResultEnd::Oldest => "",
        ResultEnd::Newest => "-",
    };
    number(out, sign, range.first.into());
    out.text(":");
    number(out, sign, range.last.into());
}

fn arguments(out: &mut Writer<'_>, search: &Search) {
    returns(out, search);
    if let Some(charset) = &search.charset {
        out.text(" CHARSET ");
        out.astring(charset.as_bytes());
    }
    keys(out, search);
}

/// `[SP "RETURN" SP "(" [search-return-opt …] ")"]`
pub fn returns(out: &mut Writer<'_>, search: &Search) {
    if let Some(returns) = &search.returns {
        out.text(" RETURN ");
        out.list(returns, |out, option| {
            out.text(match option {
                SearchReturn::Min => "MIN",
                SearchReturn::Max => "MAX",
                SearchReturn::All => "ALL",
                SearchReturn::Count => "COUNT",
                SearchReturn::Save => "SAVE",
                SearchReturn::Partial(_) => "PARTIAL ",
                SearchReturn::Relevancy => "RELEVANCY",
                SearchReturn::Context => "CONTEXT",
                SearchReturn::Update(_) => "UPDATE",
            });
            match option {
                SearchReturn::Partial(range) => partial_range(out, *range),
                SearchReturn::Update(items) if !items.is_empty() => {
                    out.space();
                    out.list(items, fetch::item);
                }
                _ => {}
            }
        });
    }
}

/// `1*(SP search-key)`
pub fn keys(out: &mut Writer<'_>, search: &Search) {
    for part in &search.keys {
        out.space();
        key(out, part);
    }
}

fn key(out: &mut Writer<'_>, search_key: &SearchKey) {
    match search_key {
        SearchKey::All => out.text("ALL"),
        SearchKey::New => out.text("NEW"),
        SearchKey::Old => out.text("OLD"),
        SearchKey::Recent => out.text("RECENT"),
        SearchKey::SaveDateSupported => out.text("SAVEDATESUPPORTED"),
        SearchKey::Flag(flag) => out.text(flag_name(*flag)),
        SearchKey::NotFlag(flag) => {
            out.text("UN");
            out.text(flag_name(*flag));
        }
        SearchKey::Keyword(keyword) => word(out, "KEYWORD ", keyword.as_str()),
        SearchKey::NotKeyword(keyword) => word(out, "UNKEYWORD ", keyword.as_str()),
        SearchKey::Sequence(set) => out.set(set),
        SearchKey::Annotation(which) => annotate::key(out, which),
        SearchKey::Uid(set) => {
            out.text("UID ");
            out.set(set);
        }
        SearchKey::UidAfter(uid) => number(out, "UIDAFTER ", uid.get().into()),
        SearchKey::UidBefore(uid) => number(out, "UIDBEFORE ", uid.get().into()),
        SearchKey::Bcc(text) => string(out, "BCC ", text),
        SearchKey::Cc(text) => string(out, "CC ", text),
        SearchKey::From(text) => string(out, "FROM ", text),
        SearchKey::To(text) => string(out, "TO ", text),
        SearchKey::Subject(text) => string(out, "SUBJECT ", text),
        SearchKey::Body(text) => string(out, "BODY ", text),
        SearchKey::Text(text) => string(out, "TEXT ", text),
        SearchKey::Header(header) => {
            string(out, "HEADER ", &header.field);
            string(out, " ", &header.text);
        }
        SearchKey::Before(day) => date(out, "BEFORE ", *day),
        SearchKey::On(day) => date(out, "ON ", *day),
        SearchKey::Since(day) => date(out, "SINCE ", *day),
        SearchKey::SentBefore(day) => date(out, "SENTBEFORE ", *day),
        SearchKey::SentOn(day) => date(out, "SENTON ", *day),
        SearchKey::SentSince(day) => date(out, "SENTSINCE ", *day),
        SearchKey::SavedBefore(day) => date(out, "SAVEDBEFORE ", *day),
        SearchKey::SavedOn(day) => date(out, "SAVEDON ", *day),
        SearchKey::SavedSince(day) => date(out, "SAVEDSINCE ", *day),
        SearchKey::Older(seconds) => number(out, "OLDER ", u64::from(*seconds)),
        SearchKey::Younger(seconds) => number(out, "YOUNGER ", u64::from(*seconds)),
        SearchKey::Larger(size) => number(out, "LARGER ", *size),
        SearchKey::Smaller(size) => number(out, "SMALLER ", *size),
        SearchKey::EmailId(id) => word(out, "EMAILID ", id),
        SearchKey::ThreadId(id) => word(out, "THREADID ", id),
        SearchKey::ModSeq { mod_seq, scope } => {
            out.text("MODSEQ ");
            if let Some(scope) = scope {
                out.quoted(&scope.entry);
                out.space();
                word(out, scope.kind, " ");
            }
            out.number(mod_seq.get());
        }
        SearchKey::Filter(name) => word(out, "FILTER ", name.as_str()),
        SearchKey::Fuzzy(inner) => prefixed(out, "FUZZY ", inner),
        SearchKey::Not(inner) => prefixed(out, "NOT ", inner),
        SearchKey::Or(left, right) => {
            out.text("OR ");
            key(out, left);
            out.space();
            key(out, right);
        }
        SearchKey::And(keys) => out.list(keys, key),
    }
}

fn prefixed(out: &mut Writer<'_>, name: &str, inner: &SearchKey) {
    out.text(name);
    key(out, inner);
}

/// The key for one system flag.
fn flag_name(flag: SystemFlags) -> &'static str {
    match flag {
        SystemFlags::ANSWERED => "ANSWERED",
        SystemFlags::DELETED => "DELETED",
        SystemFlags::DRAFT => "DRAFT",
        SystemFlags::FLAGGED => "FLAGGED",
        _ => "SEEN",
    }
}

fn word(out: &mut Writer<'_>, name: &str, value: &str) {
    out.text(name);
    out.text(value);
}

fn string(out: &mut Writer<'_>, name: &str, value: &[u8]) {
    out.text(name);
    out.astring(value);
}

fn number(out: &mut Writer<'_>, name: &str, value: u64) {
    out.text(name);
    out.number(value);
}

fn date(out: &mut Writer<'_>, name: &str, day: i64) {
    out.text(name);
    out.text(&InternalDate::format_date(day));
}

/// `"SEARCH" *(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]`
pub fn reply(out: &mut Writer<'_>, numbers: &[u32], mod_seq: Option<ModSeq>) {
    out.text("SEARCH");
    self::numbers(out, numbers, mod_seq);
}

/// `*(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]`
pub fn numbers(out: &mut Writer<'_>, numbers: &[u32], mod_seq: Option<ModSeq>) {
    for found in numbers {
        out.space();
        out.number(*found);
    }
    // Without a hit there is no modseq to tell. RFC 7162 §3.1.5
    if let Some(mod_seq) = mod_seq.filter(|_| !numbers.is_empty()) {
        number(out, " (MODSEQ ", mod_seq.get());
        out.text(")");
    }
}

/// `esearch-response`, the tag always in quotes.
pub fn esearch(out: &mut Writer<'_>, reply: &Esearch) {
    out.text("ESEARCH");
    correlators(out, reply);
    if reply.numbering == Numbering::Uid {
        out.text(" UID");
    }
    let numbers = [(" MIN ", reply.min), (" MAX ", reply.max), (" COUNT ", reply.count)];
    for (name, value) in numbers {
        if let Some(value) = value {
            number(out, name, u64::from(value));
        }
    }
    if let Some(set) = reply.all.as_ref().filter(|set| !set.is_empty()) {
        out.text(" ALL ");
        out.set(set);
    }
    if let Some(partial) = &reply.partial {
        out.text(" PARTIAL (");
        partial_range(out, partial.range);
        out.space();
        match partial.found.as_ref().filter(|set| !set.is_empty()) {
            Some(set) => out.set(set),
            None => out.text("NIL"),
        }
        out.text(")");
    }
    if let Some(scores) = &reply.relevancy {
        out.text(" RELEVANCY ");
        out.list(scores, |out, score| out.number(*score));
    }
    if let Some(mod_seq) = reply.mod_seq {
        number(out, " MODSEQ ", mod_seq.get());
    }
    for update in &reply.updates {
        let (name, positions) = match update {
            SearchUpdate::AddTo(positions) => (" ADDTO ", positions),
            SearchUpdate::RemoveFrom(positions) => (" REMOVEFROM ", positions),
        };
        // An empty list or set could not be read.
        if positions.iter().any(|(_, set)| set.is_empty()) || positions.is_empty() {
            continue;
        }
        out.text(name);
        out.list(positions, |out, (position, set)| {
            out.number(*position);
            out.space();
            out.set(set);
        });
    }
}

/// `search-correlator = SP "(" one-correlator *(SP one-correlator) ")"`
fn correlators(out: &mut Writer<'_>, reply: &Esearch) {
    let mut before = " (";
    if let Some(tag) = &reply.tag {
        out.text(std::mem::replace(&mut before, " "));
        out.text("TAG ");
        out.string(tag.as_bytes());
    }
    if let Some((mailbox, uid_validity)) = &reply.source {
        out.text(std::mem::replace(&mut before, " "));
        out.text("MAILBOX ");
        out.mailbox(mailbox);
        number(out, " UIDVALIDITY ", uid_validity.get().into());
    }
    if before == " " {
        out.text(")");
    }
}
