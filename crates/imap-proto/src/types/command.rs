//! A command with its tag, and the arguments of the commands that need no file of their own.

use std::borrow::Cow;
use std::fmt;

use mail_types::{ModSeq, Secret, UidValidity};

use super::{
    AclEntry, Append, Fetch, GetMetadata, List, Lsub, MailboxArg, MultiSearch, Notify,
    QuotaRootName, Replace, ResetKey, Search, SequenceSet, SetAcl, SetMetadata, SetQuota, Sort,
    StatusCommand, Store, StoreAnnotation, Thread, UidBatches, UrlFetch, UrlRump, UseAttribute,
};

/// A command's tag: what its tagged response repeats. RFC 9051 §9 (`tag`)
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// Longest tag. Clients use under 20 characters; the tag is repeated in every answer and kept
    /// while the command runs.
    pub const BYTES_MAX: usize = 255;

    /// `None` if it is empty, too long, or holds a character that no tag may: a tag is made of
    /// `ASTRING-CHAR` but `+`.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= Self::BYTES_MAX;
        let is_tag = fits && text.bytes().all(|b| b != b'+' && crate::chars::is_astring_char(b));
        is_tag.then(|| Self(text.into()))
    }

    /// Stands for the tag where no command is in progress; it is never written.
    pub fn between_commands() -> Self {
        Self("-".into())
    }

    /// The tag itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A capability's name, as `IMAP4rev2` or `AUTH=PLAIN`.
pub type Capability = Cow<'static, str>;

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its tag.
    pub tag: Tag,
    /// What is asked.
    pub body: CommandBody,
}

/// Whether numbers are UIDs: `UID FETCH` against `FETCH`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbering {
    /// Message sequence numbers.
    #[default]
    Sequence,
    /// Unique identifiers.
    Uid,
}

/// What a command asks, every command of IMAP4rev1 and IMAP4rev2.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandBody {
    /// CAPABILITY. RFC 9051 §6.1.1
    Capability,
    /// NOOP. RFC 9051 §6.1.2
    Noop,
    /// LOGOUT. RFC 9051 §6.1.3
    Logout,
    /// ID; `None` for NIL. RFC 2971 §3.1
    Id(Option<IdParams>),
    /// STARTTLS. RFC 9051 §6.2.1
    StartTls,
    /// COMPRESS with the name of the algorithm in capitals. RFC 4978 §3
    Compress(String),
    /// UNAUTHENTICATE. RFC 8437 §3
    Unauthenticate,
    /// AUTHENTICATE. RFC 9051 §6.2.2
    Authenticate(Authenticate),
    /// LOGIN. RFC 9051 §6.2.3
    Login(Login),
    /// ENABLE with the names as they were sent, at least one. RFC 9051 §6.3.1
    Enable(Vec<Capability>),
    /// SELECT. RFC 9051 §6.3.2
    Select(Select),
    /// EXAMINE. RFC 9051 §6.3.3
    Examine(Select),
    /// CREATE. RFC 9051 §6.3.4
    Create(Create),
    /// DELETE. RFC 9051 §6.3.5
    Delete(MailboxArg),
    /// RENAME. RFC 9051 §6.3.6
    Rename(Rename),
    /// SUBSCRIBE. RFC 9051 §6.3.7
    Subscribe(MailboxArg),
    /// UNSUBSCRIBE. RFC 9051 §6.3.8
    Unsubscribe(MailboxArg),
    /// LIST, extended or not. RFC 9051 §6.3.9
    List(List),
    /// LSUB. RFC 3501 §6.3.9
    Lsub(Lsub),
    /// XLIST: what Gmail had before RFC 6154; some clients still ask for it.
    Xlist(Lsub),
    /// NAMESPACE. RFC 9051 §6.3.10
    Namespace,
    /// NOTIFY. RFC 5465 §3.1
    Notify(Notify),
    /// STATUS. RFC 9051 §6.3.11
    Status(StatusCommand),
    /// APPEND of one or more messages. RFC 9051 §6.3.12, RFC 3502
    Append(Append),
    /// COMPARATOR with the comparators asked for, in the order of preference. RFC 5255 §4.7
    Comparator(Vec<String>),
    /// LANGUAGE with the language ranges asked for, in the order of preference; none asks for a
    /// list. RFC 5255 §3.2
    Language(Vec<String>),
    /// UIDBATCHES. RFC 10022
    UidBatches(UidBatches),
    /// GENURLAUTH, at least one. RFC 4467 §7
    GenUrlAuth(Vec<UrlRump>),
    /// RESETKEY. RFC 4467 §7
    ResetKey(ResetKey),
    /// URLFETCH, at least one. RFC 4467 §7, RFC 5524
    UrlFetch(Vec<UrlFetch>),
    /// GETMETADATA. RFC 5464 §4.2
    GetMetadata(GetMetadata),
    /// SETMETADATA. RFC 5464 §4.3
    SetMetadata(SetMetadata),
    /// SETACL. RFC 4314 §3.1
    SetAcl(SetAcl),
    /// DELETEACL. RFC 4314 §3.2
    DeleteAcl(AclEntry),
    /// GETACL. RFC 4314 §3.3
    GetAcl(MailboxArg),
    /// LISTRIGHTS. RFC 4314 §3.4
    ListRights(AclEntry),
    /// MYRIGHTS. RFC 4314 §3.5
    MyRights(MailboxArg),
    /// GETQUOTA of a quota root. RFC 9208 §4.1.1
    GetQuota(QuotaRootName),
    /// GETQUOTAROOT of a mailbox, which need not exist. RFC 9208 §4.1.2
    GetQuotaRoot(MailboxArg),
    /// SETQUOTA. RFC 9208 §4.1.3
    SetQuota(SetQuota),
    /// IDLE; it ends with a line `DONE`. RFC 9051 §6.3.13
    Idle,
    /// CLOSE. RFC 9051 §6.4.1
    Close,
    /// UNSELECT. RFC 9051 §6.4.2
    Unselect,
    /// CHECK. RFC 3501 §6.4.1
    Check,
    /// EXPUNGE. RFC 9051 §6.4.3
    Expunge,
    /// UID EXPUNGE of the UIDs in the set. RFC 9051 §6.4.9
    UidExpunge(SequenceSet),
    /// REPLACE and UID REPLACE. RFC 8508
    Replace(Replace),
    /// SEARCH and UID SEARCH. RFC 9051 §6.4.4
    Search(Search),
    /// SORT and UID SORT. RFC 5256 §3
    Sort(Sort),
    /// THREAD and UID THREAD. RFC 5256 §3
    Thread(Thread),
    /// ESEARCH: a search in several mailboxes. RFC 7377 §2
    MultiSearch(MultiSearch),
    /// CANCELUPDATE with the tags of searches, at least one. RFC 5267 §4.3.5
    CancelUpdate(Vec<String>),
    /// FETCH and UID FETCH. RFC 9051 §6.4.5
    Fetch(Fetch),
    /// STORE and UID STORE. RFC 9051 §6.4.6
    Store(Store),
    /// STORE and UID STORE with ANNOTATION. RFC 5257 §4.5
    StoreAnnotation(StoreAnnotation),
    /// COPY and UID COPY. RFC 9051 §6.4.7
    Copy(CopyMove),
    /// MOVE and UID MOVE. RFC 9051 §6.4.8
    Move(CopyMove),
}

/// The pairs of ID: field and value, `None` for NIL. RFC 2971 §3.3
pub type IdParams = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Arguments of AUTHENTICATE.
#[derive(Clone, Debug)]
pub struct Authenticate {
    /// Mechanism in capitals, as `SCRAM-SHA-256`.
    pub mechanism: String,
    /// The initial response, decoded from base64; empty for `=`. RFC 4959 §3
    pub initial: Option<Secret>,
}

impl PartialEq for Authenticate {
    /// Equality of commands, for tests; no verification of a credential.
    fn eq(&self, other: &Self) -> bool {
        self.mechanism == other.mechanism
            && self.initial.as_ref().map(Secret::expose)
                == other.initial.as_ref().map(Secret::expose)
    }
}

/// Arguments of LOGIN. No assumption about their charset is made here.
#[derive(Clone, Debug)]
pub struct Login {
    /// User name.
    pub user: Vec<u8>,
    /// Password.
    pub password: Secret,
}

impl PartialEq for Login {
    /// Equality of commands, for tests; no verification of a credential.
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && self.password.expose() == other.password.expose()
    }
}

/// Arguments of SELECT and EXAMINE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// The mailbox.
    pub mailbox: MailboxArg,
    /// Whether `CONDSTORE` was given. RFC 7162 §3.1.8
    pub condstore: bool,
    /// Whether `ANNOTATE` was given: changes of annotations are told. RFC 5257 §4.2
    pub annotate: bool,
    /// `QRESYNC`, if given. RFC 7162 §3.2.5
    pub qresync: Option<Qresync>,
}

/// What a client knows of a mailbox from its last visit. RFC 7162 §3.2.5
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qresync {
    /// UIDVALIDITY that it knows.
    pub uid_validity: UidValidity,
    /// Highest modseq that it knows; never zero.
    pub mod_seq: ModSeq,
    /// UIDs that it knows; without `*`.
    pub known_uids: Option<SequenceSet>,
    /// Sequence numbers and the UIDs that belonged to them; without `*`. RFC 7162 §3.2.5.2
    pub match_data: Option<(SequenceSet, SequenceSet)>,
}

/// Arguments of CREATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// The new mailbox. May end in a separator: a wish to have children. RFC 9051 §6.3.4
    pub mailbox: MailboxArg,
    /// `USE`: the special uses asked for. RFC 6154 §3
    pub special_use: Vec<UseAttribute>,
}

/// Arguments of RENAME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// Existing name.
    pub from: MailboxArg,
    /// New name.
    pub to: MailboxArg,
}

/// Arguments of COPY and MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyMove {
    /// Whether the set holds UIDs.
    pub numbering: Numbering,
    /// Which messages.
    pub set: SequenceSet,
    /// Where to.
    pub mailbox: MailboxArg,
}
