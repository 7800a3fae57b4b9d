//! What a server says. RFC 9051 §7

use std::borrow::Cow;

use mail_types::{ModSeq, SeqNum, Uid, UidValidity};

use super::{
    Capability, FetchAttribute, FlagList, IdParams, ListReply, MetadataReply, NamespaceReply,
    Numbering, QuotaReply, QuotaRootReply, SequenceSet, StatusReply, Tag,
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
    /// `* NAMESPACE`. RFC 9051 §7.3.2
    Namespace(NamespaceReply),
    /// `* STATUS`. RFC 9051 §7.3.4
    StatusData(StatusReply),
    /// `* METADATA`. RFC 5464 §4.4
    Metadata(MetadataReply),
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
    /// `BADCHARSET` with the charsets that can be used. RFC 9051 §7.1
    BadCharset(Vec<String>),
    /// `CANNOT`
    Cannot,
    /// `CAPABILITY`
    Capability(Vec<Capability>),
    /// `CLIENTBUG`
    ClientBug,
    /// `CLOSED`. RFC 7162 §3.2.11
    Closed,
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
    /// `INUSE`
    InUse,
    /// `LIMIT`
    Limit,
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
    /// `NOTSAVED`. RFC 5182 §2.1
    NotSaved,
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
    /// `TRYCREATE`
    TryCreate,
    /// `UIDNEXT`
    UidNext(Uid),
    /// `UIDNOTSTICKY`. RFC 4315 §3
    UidNotSticky,
    /// `UIDVALIDITY`
    UidValidity(UidValidity),
    /// `UNAVAILABLE`
    Unavailable,
    /// `UNKNOWN-CTE`. RFC 3516 §4.3
    UnknownCte,
    /// `UNSEEN`: the first message without `\Seen`. RFC 3501 §7.1
    Unseen(SeqNum),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Esearch {
    /// The tag of the command. Written as a quoted string: Outlook fails on an atom.
    pub tag: Option<String>,
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
    /// `MODSEQ`. RFC 7162 §3.1.10
    pub mod_seq: Option<ModSeq>,
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
const BARE_CODES: [(Code, &str); 30] = [
    (Code::Alert, "ALERT"),
    (Code::AlreadyExists, "ALREADYEXISTS"),
    (Code::AuthenticationFailed, "AUTHENTICATIONFAILED"),
    (Code::AuthorizationFailed, "AUTHORIZATIONFAILED"),
    (Code::Cannot, "CANNOT"),
    (Code::ClientBug, "CLIENTBUG"),
    (Code::Closed, "CLOSED"),
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
    (Code::NotSaved, "NOTSAVED"),
    (Code::OverQuota, "OVERQUOTA"),
    (Code::Parse, "PARSE"),
    (Code::PrivacyRequired, "PRIVACYREQUIRED"),
    (Code::ReadOnly, "READ-ONLY"),
    (Code::ReadWrite, "READ-WRITE"),
    (Code::ServerBug, "SERVERBUG"),
    (Code::TooBig, "TOOBIG"),
    (Code::TryCreate, "TRYCREATE"),
    (Code::UidNotSticky, "UIDNOTSTICKY"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::UnknownCte, "UNKNOWN-CTE"),
    (Code::UseAttr, "USEATTR"),
];
