//! What a server says. RFC 9051 §7

use std::borrow::Cow;

use mail_types::{ModSeq, SeqNum, Uid, UidValidity};

use super::{
    AclReply, AnnotationSupport, Capability, ComparatorReply, FetchAttribute, FilterName, FlagList,
    IdParams, ListReply, ListRightsReply, MailboxArg, MetadataReply, MyRightsReply, NamespaceReply,
    Numbering, PartialResult, QuotaReply, QuotaRootReply, SearchUpdate, SequenceSet, StatusReply,
    Tag, ThreadMember, UidBatchesReply, UrlData,
};

/// One response: a line, with its literals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// OK, NO, BAD, PREAUTH, BYE, tagged or not. RFC 9051 §7.1
    Status(Status),
    /// `+ …`. RFC 9051 §7.6
    Continuation(Continuation),
    /// `* CAPABILITY`. RFC 9051 §7.2.2
    Capability(Vec<Capability>),
    /// `* ENABLED`. RFC 9051 §7.2.1
    Enabled(Vec<Capability>),
    /// `* FLAGS`. RFC 9051 §7.3.5
    Flags(FlagList),
    /// `* LIST`. RFC 9051 §7.3.1
    List(ListReply),
    /// `* LSUB`. RFC 3501 §7.2.3
    Lsub(ListReply),
    /// `* XLIST`, in answer to XLIST only.
    Xlist(ListReply),
    /// `* NAMESPACE`. RFC 9051 §7.3.2
    Namespace(NamespaceReply),
    /// `* STATUS`. RFC 9051 §7.3.4
    StatusData(StatusReply),
    /// `* METADATA`. RFC 5464 §4.4
    Metadata(MetadataReply),
    /// `* ACL`. RFC 4314 §3.6
    Acl(AclReply),
    /// `* LISTRIGHTS`. RFC 4314 §3.7
    ListRights(ListRightsReply),
    /// `* MYRIGHTS`. RFC 4314 §3.8
    MyRights(MyRightsReply),
    /// `* QUOTA`. RFC 9208 §4.2.1
    Quota(QuotaReply),
    /// `* QUOTAROOT`. RFC 9208 §4.2.2
    QuotaRoot(QuotaRootReply),
    /// `* SEARCH`, with the highest modseq of the hits if MODSEQ was searched for. RFC 3501 §7.2.5,
    /// RFC 7162 §3.1.5
    Search {
        /// Sequence numbers or UIDs, in any order.
        numbers: Vec<u32>,
        /// Highest modseq of the messages found.
        mod_seq: Option<ModSeq>,
    },
    /// `* SORT`, with the highest modseq of the hits if MODSEQ was searched for. RFC 5256 §4,
    /// RFC 7162 §3.1.9
    Sort {
        /// Sequence numbers or UIDs, in the order asked for.
        numbers: Vec<u32>,
        /// Highest modseq of the messages found.
        mod_seq: Option<ModSeq>,
    },
    /// `* THREAD`. RFC 5256 §4
    Thread(Vec<ThreadMember>),
    /// `* COMPARATOR`. RFC 5255 §4.8
    Comparator(ComparatorReply),
    /// `* LANGUAGE` with tags: one is used from now on, several can be chosen. RFC 5255 §3.3
    Language(Vec<String>),
    /// `* UIDBATCHES`. RFC 10022
    UidBatches(UidBatchesReply),
    /// `* ESEARCH`. RFC 9051 §7.3.3
    Esearch(Esearch),
    /// `* n EXISTS`. RFC 9051 §7.4.1
    Exists(u32),
    /// `* n RECENT`. RFC 3501 §7.3.2
    Recent(u32),
    /// `* n EXPUNGE`. RFC 9051 §7.5.1
    Expunge(SeqNum),
    /// `* VANISHED`. RFC 7162 §3.2.10
    Vanished {
        /// Whether this is `(EARLIER)`: gone before this session could see it.
        earlier: bool,
        /// UIDs; without `*`.
        uids: SequenceSet,
    },
    /// `* n FETCH (…)`. RFC 9051 §7.5.2
    Fetch {
        /// Which message.
        seq: SeqNum,
        /// What of it.
        attributes: Vec<FetchAttribute>,
    },
    /// `* n UIDFETCH (…)`: FETCH with the UID in the place of the sequence number. RFC 9586 §3
    UidFetch {
        /// Which message.
        uid: Uid,
        /// What of it.
        attributes: Vec<FetchAttribute>,
    },
    /// `* GENURLAUTH` with the URLs, at least one. RFC 4467 §8
    GenUrlAuth(Vec<Vec<u8>>),
    /// `* URLFETCH`, at least one. RFC 4467 §8, RFC 5524
    UrlFetch(Vec<UrlData>),
    /// `* ID`. RFC 2971 §3.2
    Id(Option<IdParams>),
    /// An untagged response that is not known here: the text after `* `. A client ignores it.
    Other(Vec<u8>),
}

/// A status response. RFC 9051 §7.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// To which command it belongs.
    pub target: StatusTarget,
    /// OK, NO, …
    pub kind: StatusKind,
    /// The code in brackets.
    pub code: Option<Code>,
    /// Text for a person. Line breaks are replaced when it is written.
    pub text: Cow<'static, str>,
}

impl Status {
    /// A tagged response.
    pub fn tagged(tag: Tag, kind: StatusKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { target: StatusTarget::Tagged(tag), kind, code: None, text: text.into() }
    }

    /// An untagged one.
    pub fn untagged(kind: StatusKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { target: StatusTarget::Untagged, kind, code: None, text: text.into() }
    }

    /// With a code.
    #[must_use]
    pub fn with_code(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }
}

/// Whether a status response ends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusTarget {
    /// It ends the command of this tag.
    Tagged(Tag),
    /// It stands for itself, after `*`.
    Untagged,
}

/// The condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    /// Success, or information.
    Ok,
    /// Failure, or a warning.
    No,
    /// The command was wrong.
    Bad,
    /// Greeting of a connection that needs no login; untagged only.
    PreAuth,
    /// The connection is about to be closed; untagged only.
    Bye,
}

impl StatusKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::PreAuth => "PREAUTH",
            Self::Bye => "BYE",
        }
    }
}

/// A response code. RFC 9051 §7.1, RFC 5530, RFC 7162, RFC 4315, RFC 8474
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// `ALERT`
    Alert,
    /// `ALREADYEXISTS`
    AlreadyExists,
    /// `ANNOTATE TOOBIG`. RFC 5257 §4.5
    AnnotateTooBig,
    /// `ANNOTATE TOOMANY`. RFC 5257 §4.5
    AnnotateTooMany,
    /// `ANNOTATIONS`: what a mailbox does with annotations of messages. RFC 5257 §4.1
    Annotations(AnnotationSupport),
    /// `APPENDUID`: UIDVALIDITY and the UIDs of what was appended. RFC 4315 §3
    AppendUid {
        /// Of the mailbox.
        uid_validity: UidValidity,
        /// One for each message, in their order.
        uids: SequenceSet,
    },
    /// `AUTHENTICATIONFAILED`
    AuthenticationFailed,
    /// `AUTHORIZATIONFAILED`
    AuthorizationFailed,
    /// `BADEVENT` with the names of all events that can be asked for. RFC 5465 §8
    BadEvent(Vec<String>),
    /// `BADCHARSET` with the charsets that can be used. RFC 9051 §7.1
    BadCharset(Vec<String>),
    /// `BADCOMPARATOR`: none of those asked for is known. RFC 5255 §4.9
    BadComparator,
    /// `BADURL` with the first URL that is wrong, not in quotes. RFC 4469 §4.1, erratum 4046
    BadUrl(String),
    /// `CANNOT`
    Cannot,
    /// `CAPABILITY`
    Capability(Vec<Capability>),
    /// `CLIENTBUG`
    ClientBug,
    /// `CLOSED`. RFC 7162 §3.2.11
    Closed,
    /// `COMPRESSIONACTIVE`. RFC 4978 §3
    CompressionActive,
    /// `CONTACTADMIN`
    ContactAdmin,
    /// `COPYUID`. RFC 4315 §3
    CopyUid {
        /// Of the target mailbox.
        uid_validity: UidValidity,
        /// UIDs in the source.
        source: SequenceSet,
        /// UIDs in the target, in the same order.
        target: SequenceSet,
    },
    /// `CORRUPTION`
    Corruption,
    /// `EXPIRED`
    Expired,
    /// `EXPUNGEISSUED`
    ExpungeIssued,
    /// `HASCHILDREN`
    HasChildren,
    /// `HIGHESTMODSEQ`. RFC 7162 §3.1.2.1
    HighestModSeq(ModSeq),
    /// `INPROGRESS`: how far a command has come, if that can be told. RFC 9585 §4
    InProgress(Option<Progress>),
    /// `INUSE`
    InUse,
    /// `LIMIT`
    Limit,
    /// `MESSAGELIMIT`: how many messages a command works on, and the lowest UID that this one got
    /// to. RFC 9738 §3.1
    MessageLimit {
        /// Messages.
        limit: u32,
        /// Where a command has to go on below, if that is known.
        lowest: Option<Uid>,
    },
    /// `MAILBOXID`. RFC 8474 §4
    MailboxId(String),
    /// `METADATA LONGENTRIES`: octets of the longest value that MAXSIZE kept back. RFC 5464 §4.2.1
    MetadataLongEntries(u32),
    /// `METADATA MAXSIZE`: octets of the longest value that can be set. RFC 5464 §4.3
    MetadataMaxSize(u32),
    /// `METADATA NOPRIVATE`. RFC 5464 §4.3
    MetadataNoPrivate,
    /// `METADATA TOOMANY`. RFC 5464 §4.3
    MetadataTooMany,
    /// `MODIFIED`: which messages a conditional STORE left alone. RFC 7162 §3.1.3
    Modified(SequenceSet),
    /// `NOMODSEQ`. RFC 7162 §3.1.2.2
    NoModSeq,
    /// `NONEXISTENT`
    NonExistent,
    /// `NOPERM`
    NoPerm,
    /// `NOTIFICATIONOVERFLOW`. RFC 5465 §5.8
    NotificationOverflow,
    /// `NOTSAVED`. RFC 5182 §2.1
    NotSaved,
    /// `NOUPDATE`: changes of the search with this tag are not told. RFC 5267 §4.3.1
    NoUpdate(String),
    /// `OVERQUOTA`
    OverQuota,
    /// `PARSE`
    Parse,
    /// `PERMANENTFLAGS`
    PermanentFlags(FlagList),
    /// `PRIVACYREQUIRED`
    PrivacyRequired,
    /// `READ-ONLY`
    ReadOnly,
    /// `READ-WRITE`
    ReadWrite,
    /// `SERVERBUG`
    ServerBug,
    /// `TOOBIG`. RFC 4469 §4.2, RFC 7888 §4
    TooBig,
    /// `TOOFEW`: a batch of so few messages is not told. RFC 10022
    TooFew,
    /// `TOOMANY`: so many messages are not told of at once. RFC 10022
    TooMany,
    /// `TRYCREATE`
    TryCreate,
    /// `UIDNEXT`
    UidNext(Uid),
    /// `UIDNOTSTICKY`. RFC 4315 §3
    UidNotSticky,
    /// `UIDREQUIRED`. RFC 9586 §3
    UidRequired,
    /// `UIDVALIDITY`
    UidValidity(UidValidity),
    /// `UNAVAILABLE`
    Unavailable,
    /// `UNDEFINED-FILTER`: there is no filter of this name. RFC 5466 §3.1
    UndefinedFilter(FilterName),
    /// `UNKNOWN-CTE`. RFC 3516 §4.3
    UnknownCte,
    /// `UNSEEN`: the first message without `\Seen`. RFC 3501 §7.1
    Unseen(SeqNum),
    /// `URLMECH INTERNAL` with the other mechanisms, as they stand. RFC 4467 §8
    UrlMech(Vec<String>),
    /// `USEATTR`. RFC 6154 §3
    UseAttr,
    /// A code that is not known here.
    Other {
        /// Its name.
        name: String,
        /// What follows the name, up to the bracket.
        arguments: Option<String>,
    },
}

/// How far a command has come. RFC 9585 §4
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The command; `None` for NIL.
    pub tag: Option<String>,
    /// What is done.
    pub done: Option<u32>,
    /// What there is to do in all; above `done`.
    pub goal: Option<u32>,
}

impl Code {
    /// The code of this name, in any letter case, if it is one without arguments.
    pub fn from_bare_name(name: &str) -> Option<Self> {
        BARE_CODES.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(c, _)| c.clone())
    }

    /// The name of a code without arguments; `None` if it has some.
    pub fn bare_name(&self) -> Option<&'static str> {
        BARE_CODES.iter().find(|(code, _)| code == self).map(|(_, name)| *name)
    }
}

/// An ESEARCH response. RFC 9051 §7.3.3
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Esearch {
    /// The tag of the command. Written as a quoted string: Outlook fails on an atom.
    pub tag: Option<String>,
    /// `MAILBOX` and `UIDVALIDITY`: where it was found. RFC 7377 §2.1
    pub source: Option<(MailboxArg, UidValidity)>,
    /// Whether the numbers are UIDs.
    pub numbering: Numbering,
    /// `MIN`
    pub min: Option<u32>,
    /// `MAX`
    pub max: Option<u32>,
    /// `COUNT`
    pub count: Option<u32>,
    /// `ALL`; left out if nothing was found.
    pub all: Option<SequenceSet>,
    /// `PARTIAL`. RFC 9394 §3.1
    pub partial: Option<PartialResult>,
    /// `RELEVANCY`: 1 to 100 for each message, in the order of the result. RFC 6203 §4
    pub relevancy: Option<Vec<u8>>,
    /// `MODSEQ`. RFC 7162 §3.1.10
    pub mod_seq: Option<ModSeq>,
    /// `ADDTO` and `REMOVEFROM`, in the order in which they are to be applied. RFC 5267 §4.3.2
    pub updates: Vec<SearchUpdate>,
}

/// What a `+` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// The rest of a command, or a DONE.
    Text {
        /// Code in brackets.
        code: Option<Code>,
        /// Text for a person; may be empty.
        text: Cow<'static, str>,
    },
    /// A challenge of AUTHENTICATE, decoded from base64. RFC 9051 §6.2.2
    Challenge(Vec<u8>),
}

/// The codes that have no arguments.
const BARE_CODES: [(Code, &str); 38] = [
    (Code::Alert, "ALERT"),
    (Code::AlreadyExists, "ALREADYEXISTS"),
    (Code::AnnotateTooBig, "ANNOTATE TOOBIG"),
    (Code::AnnotateTooMany, "ANNOTATE TOOMANY"),
    (Code::AuthenticationFailed, "AUTHENTICATIONFAILED"),
    (Code::AuthorizationFailed, "AUTHORIZATIONFAILED"),
    (Code::BadComparator, "BADCOMPARATOR"),
    (Code::Cannot, "CANNOT"),
    (Code::ClientBug, "CLIENTBUG"),
    (Code::Closed, "CLOSED"),
    (Code::CompressionActive, "COMPRESSIONACTIVE"),
    (Code::ContactAdmin, "CONTACTADMIN"),
    (Code::Corruption, "CORRUPTION"),
    (Code::Expired, "EXPIRED"),
    (Code::ExpungeIssued, "EXPUNGEISSUED"),
    (Code::HasChildren, "HASCHILDREN"),
    (Code::InUse, "INUSE"),
    (Code::Limit, "LIMIT"),
    (Code::NoModSeq, "NOMODSEQ"),
    (Code::NonExistent, "NONEXISTENT"),
    (Code::NoPerm, "NOPERM"),
    (Code::NotificationOverflow, "NOTIFICATIONOVERFLOW"),
    (Code::NotSaved, "NOTSAVED"),
    (Code::OverQuota, "OVERQUOTA"),
    (Code::Parse, "PARSE"),
    (Code::PrivacyRequired, "PRIVACYREQUIRED"),
    (Code::ReadOnly, "READ-ONLY"),
    (Code::ReadWrite, "READ-WRITE"),
    (Code::ServerBug, "SERVERBUG"),
    (Code::TooBig, "TOOBIG"),
    (Code::TooFew, "TOOFEW"),
    (Code::TooMany, "TOOMANY"),
    (Code::TryCreate, "TRYCREATE"),
    (Code::UidNotSticky, "UIDNOTSTICKY"),
    (Code::UidRequired, "UIDREQUIRED"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::UnknownCte, "UNKNOWN-CTE"),
    (Code::UseAttr, "USEATTR"),
];
