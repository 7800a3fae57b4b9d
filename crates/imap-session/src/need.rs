//! What a session asks of the world, and what it is told.
//!
//! A session never waits. When it needs something it returns a [`Need`]; whoever drives it does
//! what the need says and calls [`crate::Session::resume`] with the [`Answer`] that belongs to it.
//! This list is complete: nothing else reaches beyond the session.
//!
//! | need | answers, besides [`Answer::Failed`] which fits all |
//! |---|---|
//! | [`Need::Login`] | `Authenticated`, `AuthenticationRefused` |
//! | [`Need::Sasl`] | `Challenge`, `Authenticated`, `AuthenticationRefused` |
//! | [`Need::ClientResponse`] | `ClientResponse` |
//! | [`Need::Refresh`], [`Need::Open`], [`Need::Flush`] | `Ready` |
//! | [`Need::Submit`], [`Need::Append`], [`Need::Replace`] | `Submitted` |
//! | [`Need::Rows`] | `Rows` |
//! | [`Need::Read`] | `Read` |
//! | [`Need::Hold`] | `Held` |
//! | [`Need::AuthorizeUrls`] | `UrlTokens` |
//! | [`Need::ResetAccessKeys`] | `Ready` |
//! | [`Need::OpenUrl`] | `UrlOpened` |
//! | [`Need::ReadUrl`] | `Read` |
//! | [`Need::Visit`] | `Visited` |
//! | [`Need::Stay`] | `Ready` |
//! | [`Need::Sharers`] | `Sharers` |
//! | [`Need::CopyAcross`] | `Submitted` with the target's outcome |
//! | [`Need::SetAcl`] | `Submitted`, `BadIdentifier` |
//!
//! Each is asked of one account: [`crate::Session::place`] says which.

use std::ops::Range;
use std::sync::Arc;

use imap_proto::url::ImapUrl;
use mail_types::{Flags, InternalDate, MailboxId, MessageId, Secret, Uid, UidSet};
use mailbox::{Account, Annotations, Operation, Outcome, Refusal, RightsChange};

use crate::Place;

/// Something that has to be done before the command can go on.
#[derive(Debug)]
pub enum Need {
    /// Check a name and a password. On success the context has the account from now on.
    Login {
        /// User name, in no known charset.
        user: Vec<u8>,
        /// Password.
        password: Secret,
    },
    /// Take one step of a SASL exchange. The driver keeps the exchange's state from one step to
    /// the next; it ends with an answer other than `Challenge`, or with the command.
    Sasl(SaslStep),
    /// The output ends with a continuation: send it, read one line, decode it from base64.
    ClientResponse,
    /// Make the context's account at least as new as the last commit that anyone was told of.
    Refresh,
    /// Load the contents of this mailbox into the context's account, if it still exists. They stay
    /// loaded in every newer account while this session has the mailbox selected; of another
    /// mailbox, until the next one is opened or the command ends.
    Open(MailboxId),
    /// Have this decided and committed. On success the context's account includes the change.
    Submit(Operation),
    /// Have the staged literals of the command's messages added, all or none.
    Append(AppendRequest),
    /// Have a staged message added and another one expunged, both or nothing.
    Replace(ReplaceRequest),
    /// Load what was parsed of these messages, at most [`Need::ROWS_MAX`].
    Rows(Vec<MessageId>),
    /// Read these octets of stored messages, at most [`Need::READ_BYTES_MAX`] in all.
    Read(Vec<ReadRequest>),
    /// Read these octets, at most [`Need::HOLD_BYTES_MAX`] in all, and keep them for the parts of
    /// messages that are written next: a literal is only announced when it can be sent.
    Hold(Vec<ReadRequest>),
    /// Make the tokens that authorize these URLs. RFC 4467 §5
    AuthorizeUrls(Vec<UrlToSign>),
    /// Draw a new access key for this mailbox, or forget all. RFC 4467 §7
    ResetAccessKeys(Option<MailboxId>),
    /// Look whether this session may have what a URL names, and open the message in its owner's
    /// account: until the next [`Need::Flush`] has been met, parts of messages that are written
    /// are read there. The output has been flushed before.
    OpenUrl(Box<UrlRequest>),
    /// Read octets of the message that was opened last, as [`Need::Read`].
    ReadUrl(Vec<ReadRequest>),
    /// Send what the output holds before going on: there is more to come than should be kept.
    Flush,
    /// Open the account of this login name, if it shares something with the session's own: it is
    /// [`crate::Others::visited`] from then on, until the command ends or visits another one.
    Visit(String),
    /// The account that is visited is that of the selected mailbox from now on:
    /// [`crate::Others::selected`].
    Stay,
    /// Open all accounts that share something with the session's own, one after the other.
    Sharers,
    /// Have messages copied from one account to another.
    CopyAcross(CopyRequest),
    /// Have an entry of an ACL changed. RFC 4314 §3.1, §3.2
    SetAcl(SetAclRequest),
}

impl Need {
    /// Most rows asked for at once: at some 4 KiB a row, 256 KiB.
    pub const ROWS_MAX: usize = 64;
    /// Most octets of messages asked for at once: the text of a long message, for searching.
    pub const READ_BYTES_MAX: u64 = 4 << 20;
    /// Most octets that are held for the output. A message of this length is known to be sound
    /// before its literal is announced; of a longer one only the beginning is.
    pub const HOLD_BYTES_MAX: u64 = 256 << 10;
}

/// One step of a SASL exchange.
#[derive(Debug)]
pub enum SaslStep {
    /// The first.
    Start {
        /// Mechanism in capitals; one of those that the configuration announces.
        mechanism: String,
        /// The initial response, if there was one. RFC 4959 §3
        initial: Option<Secret>,
    },
    /// The client's response to the last challenge.
    Response(Secret),
}

/// The messages of an APPEND. RFC 9051 §6.3.12, RFC 3502
#[derive(Debug)]
pub struct AppendRequest {
    /// Where to.
    pub mailbox: MailboxId,
    /// One for each, in order.
    pub messages: Vec<AppendItem>,
}

/// A REPLACE. RFC 8508
#[derive(Debug)]
pub struct ReplaceRequest {
    /// Where the message is that goes.
    pub from: MailboxId,
    /// Which.
    pub uid: Uid,
    /// Where the new one goes.
    pub to: MailboxId,
    /// The new one.
    pub message: AppendItem,
}

/// A COPY from the account of the selected mailbox to another one.
#[derive(Debug)]
pub struct CopyRequest {
    /// Where the messages are, in [`crate::Place::Selected`].
    pub from: MailboxId,
    /// Which.
    pub uids: UidSet,
    /// The account where they shall be as well.
    pub place: Place,
    /// The mailbox there.
    pub to: MailboxId,
}

/// A change of an ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAclRequest {
    /// Of which mailbox.
    pub mailbox: MailboxId,
    /// Whose rights, as the client wrote it.
    pub identifier: String,
    /// What becomes of them.
    pub change: RightsChange,
}

/// An account that shares something with the session's own.
#[derive(Clone, Debug)]
pub struct Sharer {
    /// Its login name.
    pub name: String,
    /// What makes its object ids differ from those of other accounts.
    pub mark: String,
    /// The account.
    pub account: Account,
}

/// One message of an APPEND.
#[derive(Debug)]
pub struct AppendItem {
    /// Its octets.
    pub data: AppendData,
    /// Its flags.
    pub flags: Flags,
    /// Its INTERNALDATE; the time of the command if the client gave none.
    pub date: InternalDate,
    /// Its annotations. Those of parts that it does not have are refused with `NoSuchPart`.
    /// RFC 5257 §4.7
    pub annotations: Annotations,
}

/// Where the octets of a message are.
#[derive(Debug)]
pub enum AppendData {
    /// The literal of this index of the command was staged while it arrived.
    Staged {
        /// Index as in [`imap_proto::types::Literal::Streamed`].
        index: u32,
    },
    /// They were kept.
    Inline(Vec<u8>),
    /// They are to be put together. RFC 4469 §3
    Catenated(Vec<AppendPiece>),
}

/// A piece of a message.
#[derive(Debug)]
pub enum AppendPiece {
    /// The literal of this index of the command was staged while it arrived.
    Staged {
        /// Index as in [`imap_proto::types::Literal::Streamed`].
        index: u32,
        /// Octets.
        size: u64,
    },
    /// Octets that were kept, or chosen from a header.
    Inline(Vec<u8>),
    /// Octets of a stored message.
    Stored(ReadRequest),
}

/// A URL to be authorized, as far as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlToSign {
    /// The user before the `@`.
    pub owner: String,
    /// The mailbox, one of the session's account.
    pub mailbox: MailboxId,
    /// The whole text.
    pub text: String,
}

/// A URL that claims to be authorized. It has an owner and a verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlRequest {
    /// As it was understood.
    pub url: ImapUrl,
    /// As it was sent.
    pub text: Vec<u8>,
}

/// Octets to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Of which message.
    pub message: MessageId,
    /// Which.
    pub range: Range<u64>,
}

/// What came of a [`Need`].
#[derive(Debug)]
pub enum Answer {
    /// It is done.
    Ready,
    /// The client is who it says; data of the mechanism that belong to success go to the client
    /// as a last challenge first. RFC 9051 §6.2.2
    Authenticated {
        /// `additional data with success`, as SCRAM's server signature.
        data: Option<Vec<u8>>,
    },
    /// It is not, or may not now.
    AuthenticationRefused(AuthenticationRefused),
    /// The mechanism wants another response.
    Challenge(Vec<u8>),
    /// What the client sent.
    ClientResponse(ClientResponse),
    /// What came of an operation.
    Submitted(Result<Outcome, Refusal>),
    /// Rows in the order asked for. It may be only the first of them, at least one, if all would
    /// be too many bytes at once; the session then asks for the rest. `None` for a message that no
    /// longer exists.
    Rows(Vec<Option<Arc<mime::Message>>>),
    /// Octets, one for each request.
    Read(Vec<Result<Vec<u8>, Unread>>),
    /// A token for each URL; `None` if one has another owner.
    UrlTokens(Option<Vec<String>>),
    /// The message that a URL names; `None` whatever is wrong with it.
    UrlOpened(Option<(MessageId, Arc<mime::Message>)>),
    /// The account is open: what makes its object ids differ from those of all others, in letters,
    /// digits, `-` and `_`. `None` if there is no such account, or it shares nothing.
    Visited(Option<String>),
    /// All that share something, in the order of their names.
    Sharers(Vec<Sharer>),
    /// The identifier is none that an ACL can have. RFC 4314 §3
    BadIdentifier,
    /// Whether the octets are there to be sent, one for each request.
    Held(Vec<Result<(), Unread>>),
    /// It could not be done.
    Failed(Trouble),
}

/// Why octets of one message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The message no longer exists.
    Gone,
    /// It exists, but not so that it can be read.
    Failed(Trouble),
}

/// A line that the client sent in answer to a challenge.
#[derive(Debug)]
pub enum ClientResponse {
    /// Decoded.
    Data(Secret),
    /// `*`: the client gives up. RFC 9051 §6.2.2
    Cancelled,
    /// It was no base64.
    Malformed,
}

/// Why a login fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationRefused {
    /// Wrong name or password; which of them is not told.
    Credentials,
    /// Right, but not for this identity. RFC 4616 §2
    Authorization,
    /// Right, but the account may not be used now.
    Disabled,
    /// The mechanism's messages do not follow its syntax.
    Malformed,
    /// Too many attempts.
    TooMany,
    /// Nobody is there who could say whether it is right; it may work later.
    Unavailable,
}

/// Why something could not be done although nobody did anything wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Storage does not answer or refuses to write; it may work later.
    Unavailable,
    /// No space is left for anything new.
    StorageFull,
    /// Stored data are not what they should be.
    Corrupt,
    /// A limit of the server, as memory for staged messages.
    Limit,
    /// The account was removed.
    AccountGone,
}
