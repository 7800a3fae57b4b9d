//! GETQUOTA, GETQUOTAROOT and SETQUOTA, and the QUOTA and QUOTAROOT responses. RFC 9208

use super::MailboxArg;

/// Name of a quota root: opaque to clients. RFC 9208 §3.2
pub type QuotaRootName = Vec<u8>;

/// Arguments of SETQUOTA. RFC 9208 §4.1.3
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetQuota {
    /// Of which quota root.
    pub root: QuotaRootName,
    /// Resources in capitals with their limits. What is not named has no limit any more.
    pub limits: Vec<(String, u64)>,
}

impl SetQuota {
    /// Most resources in one command or response; four are defined.
    pub const RESOURCES_MAX: usize = 64;
}

/// A QUOTA response. RFC 9208 §4.2.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaReply {
    /// Of which quota root.
    pub root: QuotaRootName,
    /// The resources that have a limit; maybe none.
    pub resources: Vec<QuotaResource>,
}

/// A resource with its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaResource {
    /// Its name, in capitals.
    pub name: String,
    /// How much of it is used.
    pub usage: u64,
    /// How much may be used.
    pub limit: u64,
}

/// A QUOTAROOT response. RFC 9208 §4.2.2
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaRootReply {
    /// Of which mailbox.
    pub mailbox: MailboxArg,
    /// Its quota roots; maybe none.
    pub roots: Vec<QuotaRootName>,
}
