//! What is said over the wire, as values. Each is independent of the role: a client serializes the
//! command that a server parses, and the other way round with responses.

mod append;
mod command;
mod fetch;
mod flag;
mod list;
mod mailbox;
mod metadata;
mod quota;
mod response;
mod search;
mod sequence;
mod status;
mod store;

pub use append::{Append, AppendForm, AppendMessage, Literal};
pub use command::{
    Authenticate, Capability, Command, CommandBody, CopyMove, Create, IdParams, Login, Numbering,
    Qresync, Rename, Select, Tag,
};
pub use fetch::{
    BodyData, Fetch, FetchAttribute, FetchItem, HeaderFields, Partial, Peek, Preview, Section,
    SectionText,
};
pub use flag::FlagList;
pub use list::{
    List, ListAttribute, ListReply, ListReturn, ListSelection, Lsub, NamespaceEntry,
    NamespaceReply, UseAttribute,
};
pub use mailbox::{InvalidName, ListPattern, MailboxArg, NameEncoding};
pub use metadata::{
    GetMetadata, MetadataData, MetadataDepth, MetadataEntry, MetadataReply, SetMetadata,
};
pub use quota::{QuotaReply, QuotaResource, QuotaRootName, QuotaRootReply, SetQuota};
pub use response::{Code, Continuation, Esearch, Response, Status, StatusKind, StatusTarget};
pub use search::{HeaderKey, ModSeqScope, Search, SearchKey, SearchReturn};
pub use sequence::{SeqBound, SeqRange, SequenceSet};
pub use status::{StatusCommand, StatusItem, StatusReply, StatusValue};
pub use store::{Store, StoreAction, StoreReply};
