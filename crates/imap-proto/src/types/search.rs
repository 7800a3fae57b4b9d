//! SEARCH. RFC 9051 §6.4.4

use mail_types::{Keyword, ModSeq, SystemFlags, Uid};

use super::{AnnotationKey, FetchItem, MailboxArg, Numbering, SequenceSet};
use crate::chars::is_atom_char;

/// Arguments of SEARCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Whether UIDs are to be told.
    pub numbering: Numbering,
    /// `RETURN (…)`. `None` if it was not given, which asks for the answer of IMAP4rev1; an empty
    /// list asks for ALL. RFC 4731 §3.1
    pub returns: Option<Vec<SearchReturn>>,
    /// `CHARSET`, as sent. `None` if it was not given.
    pub charset: Option<String>,
    /// The keys, all of which must match: at least one.
    pub keys: Vec<SearchKey>,
}

/// A return option of SEARCH. RFC 9051 §6.4.4
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchReturn {
    /// `MIN`
    Min,
    /// `MAX`
    Max,
    /// `ALL`
    All,
    /// `COUNT`
    Count,
    /// `SAVE`. RFC 5182
    Save,
    /// `PARTIAL`: a part of the result. RFC 9394 §3.1
    Partial(PartialRange),
    /// `RELEVANCY`: a score for each message found. RFC 6203 §4
    Relevancy,
    /// `CONTEXT`: the client will ask for this again. RFC 5267 §4.2
    Context,
    /// `UPDATE`: tell changes of the result as they happen, and these items of each new message
    /// that becomes part of it. RFC 5267 §4.3, RFC 5465 §7
    Update(Vec<FetchItem>),
}

impl SearchReturn {
    /// Most items of UPDATE. They are kept as long as the result is kept up to date, and told again
    /// and again; a line in a list of messages shows no more than that.
    pub const UPDATE_ITEMS_MAX: usize = 32;
}

/// `partial-range`: positions in a result, counted from one of its ends. RFC 9394 §4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialRange {
    /// From which end positions count.
    pub from: ResultEnd,
    /// The position written first; never zero.
    pub first: u32,
    /// The position written last; never zero. It may be the lower one.
    pub last: u32,
}

/// An end of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultEnd {
    /// The lowest UID: `1:500`.
    Oldest,
    /// The highest UID: `-1:-500`.
    Newest,
}

/// `ret-data-partial`. RFC 9394 §4
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialResult {
    /// The range as it was asked for.
    pub range: PartialRange,
    /// What stands there; `None` if nothing does, which is written NIL.
    pub found: Option<SequenceSet>,
}

/// A change of a result that the client asked to be told of. RFC 5267 §4.3.2
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchUpdate {
    /// `ADDTO`: positions, and what comes there; at position zero where it belongs in mailbox
    /// order. RFC 5267 §4.3.3
    AddTo(Vec<(u32, SequenceSet)>),
    /// `REMOVEFROM`. RFC 5267 §4.3.4
    RemoveFrom(Vec<(u32, SequenceSet)>),
}

/// Arguments of ESEARCH. RFC 7377 §2
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiSearch {
    /// `IN (…)`: which mailboxes; at least one source. `None` if it was not given, which asks for
    /// the selected one.
    pub sources: Option<Vec<SearchSource>>,
    /// What is searched for. Its numbers are always UIDs. RFC 7377 §2.1
    pub search: Search,
}

/// Mailboxes to be searched. RFC 7377 §2.2, RFC 5465 §6
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchSource {
    /// `selected`
    Selected,
    /// `inboxes`: where mail is delivered to.
    Inboxes,
    /// `personal`: all mailboxes of the user.
    Personal,
    /// `subscribed`
    Subscribed,
    /// `subtree`: each of these and all below it.
    Subtree(Vec<MailboxArg>),
    /// `subtree-one`: each of these and its children.
    SubtreeOne(Vec<MailboxArg>),
    /// `mailboxes`: just these.
    Mailboxes(Vec<MailboxArg>),
}

impl MultiSearch {
    /// Most sources in one command: there are seven kinds.
    pub const SOURCES_MAX: usize = 64;
    /// Most mailboxes that one source names.
    pub const NAMES_MAX: usize = 1000;
}

/// A header field to search in. A type of its own so that it cannot be taken for the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderKey {
    /// Name of the field.
    pub field: Vec<u8>,
    /// What its text must hold; empty matches every message that has the field.
    pub text: Vec<u8>,
}

/// A search key. Texts are in the charset of the command; days are days since 1970-01-01.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// `ALL`
    All,
    /// A system flag is set: `SEEN`, `DELETED`, …
    Flag(SystemFlags),
    /// A system flag is not set: `UNSEEN`, `UNDELETED`, …
    NotFlag(SystemFlags),
    /// `KEYWORD`
    Keyword(Keyword),
    /// `UNKEYWORD`
    NotKeyword(Keyword),
    /// `NEW`: recent and not seen. RFC 3501 §6.4.4
    New,
    /// `OLD`: not recent. RFC 3501 §6.4.4
    Old,
    /// `RECENT`. RFC 3501 §6.4.4
    Recent,
    /// A sequence set, `$` among them.
    Sequence(SequenceSet),
    /// `UID`
    Uid(SequenceSet),
    /// `UIDAFTER`: a higher UID than this. RFC 9738 §3.2
    UidAfter(Uid),
    /// `UIDBEFORE`: a lower UID than this. RFC 9738 §3.2
    UidBefore(Uid),
    /// `BCC`
    Bcc(Vec<u8>),
    /// `CC`
    Cc(Vec<u8>),
    /// `FROM`
    From(Vec<u8>),
    /// `TO`
    To(Vec<u8>),
    /// `SUBJECT`
    Subject(Vec<u8>),
    /// `HEADER`
    Header(HeaderKey),
    /// `BODY`
    Body(Vec<u8>),
    /// `TEXT`
    Text(Vec<u8>),
    /// `BEFORE`: INTERNALDATE is earlier than the day.
    Before(i64),
    /// `ON`
    On(i64),
    /// `SINCE`
    Since(i64),
    /// `SENTBEFORE`: the Date header is earlier than the day.
    SentBefore(i64),
    /// `SENTON`
    SentOn(i64),
    /// `SENTSINCE`
    SentSince(i64),
    /// `SAVEDBEFORE`. RFC 8514 §4.3
    SavedBefore(i64),
    /// `SAVEDON`
    SavedOn(i64),
    /// `SAVEDSINCE`
    SavedSince(i64),
    /// `SAVEDATESUPPORTED`
    SaveDateSupported,
    /// `OLDER`: arrived at least this many seconds ago; never zero. RFC 5032 §2
    Older(u32),
    /// `YOUNGER`: arrived at most this many seconds ago; never zero.
    Younger(u32),
    /// `LARGER`: more octets than this.
    Larger(u64),
    /// `SMALLER`: fewer octets than this.
    Smaller(u64),
    /// `MODSEQ`: changed at or after it. RFC 7162 §3.1.5
    ModSeq {
        /// The least modseq.
        mod_seq: ModSeq,
        /// The entry whose modseq is meant; a server with one modseq a message may ignore it.
        scope: Option<ModSeqScope>,
    },
    /// `EMAILID`. RFC 8474 §5.1
    EmailId(String),
    /// `THREADID`. RFC 8474 §5.2
    ThreadId(String),
    /// `ANNOTATION`. RFC 5257 §4.8
    Annotation(AnnotationKey),
    /// `FUZZY`: what is like it is enough. RFC 6203 §3
    Fuzzy(Box<SearchKey>),
    /// `FILTER`: a search that is kept under this name. RFC 5466 §3.1
    Filter(FilterName),
    /// `NOT`
    Not(Box<SearchKey>),
    /// `OR`
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Keys in parentheses, all of which must match: at least one.
    And(Vec<SearchKey>),
}

/// `filter-name = 1*<any ATOM-CHAR except "/">`: never anything else. RFC 5466 §4
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterName(String);

impl FilterName {
    /// The name, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        let is_name = !name.is_empty() && name.bytes().all(|b| b != b'/' && is_atom_char(b));
        is_name.then(|| Self(name.to_owned()))
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `search-modseq-ext`. RFC 7162 §7
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModSeqScope {
    /// Entry, as `/flags/\draft`.
    pub entry: Vec<u8>,
    /// `priv`, `shared` or `all`, in small letters.
    pub kind: &'static str,
}

impl SearchKey {
    /// Deepest nesting of NOT, OR, FUZZY and parentheses. Clients that build `OR a (OR b (OR c …))`
    /// from a list of words stay under it; recursion over a tree of this depth needs little stack.
    pub const DEPTH_MAX: usize = 100;
    /// Most keys in one command. Each is tried on every message.
    pub const KEYS_MAX: usize = 4096;
}
