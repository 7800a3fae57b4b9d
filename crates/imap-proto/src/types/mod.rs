//! What is said over the wire, as values. Each is independent of the role: a client serializes the
//! command that a server parses, and the other way round with responses.

mod acl;
mod annotate;
mod append;
mod command;
mod comparator;
mod fetch;
mod flag;
mod list;
mod mailbox;
mod metadata;
mod notify;
mod quota;
mod replace;
mod response;
mod search;
mod sequence;
mod sort;
mod status;
mod store;
mod thread;
mod uidbatches;
mod urlauth;

pub use acl::{AclEntry, AclReply, ListRightsReply, ModRights, MyRightsReply, RightsMode, SetAcl};
pub use annotate::{
    AnnotationData, AnnotationEntry, AnnotationItem, AnnotationKey, AnnotationPart,
    AnnotationSetting, AnnotationSupport, StoreAnnotation,
};
pub use append::{Append, AppendForm, AppendMessage, AppendPayload, CatPart, Literal};
pub use command::{
    Authenticate, Capability, Command, CommandBody, CopyMove, Create, IdParams, Login, Numbering,
    Qresync, Rename, Select, Tag,
};
pub use comparator::ComparatorReply;
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
pub use notify::{Event, EventGroup, MailboxFilter, Notify};
pub use quota::{QuotaReply, QuotaResource, QuotaRootName, QuotaRootReply, SetQuota};
pub use replace::Replace;
pub use response::{
    Code, Continuation, Esearch, Progress, Response, Status, StatusKind, StatusTarget,
};
pub use search::{
    FilterName, HeaderKey, ModSeqScope, MultiSearch, PartialRange, PartialResult, ResultEnd,
    Search, SearchKey, SearchReturn, SearchSource, SearchUpdate,
};
pub use sequence::{SeqBound, SeqRange, SequenceSet};
pub use sort::{Sort, SortCriterion, SortKey};
pub use status::{StatusCommand, StatusItem, StatusReply, StatusValue};
pub use store::{Store, StoreAction, StoreReply};
pub use thread::{Thread, ThreadAlgorithm, ThreadMember};
pub use uidbatches::{UidBatches, UidBatchesReply};
pub use urlauth::{ResetKey, UrlContent, UrlData, UrlFetch, UrlForm, UrlParams, UrlRump};
