//! Decides whether there is room. RFC 9208
//!
//! What takes nothing more is never refused, however far above its limits the account is: MOVE
//! within it, flags, expunges.

use super::{Decision, Outcome, Planner, Refusal};
use crate::{Change, Quota, Resource};

impl Planner<'_> {
    pub(super) fn set_quota(mut self, quota: Quota) -> Result<Decision, Refusal> {
        if self.account.quota() != quota {
            self.changes.push(Change::QuotaSet { quota });
        }
        Ok(self.done(Outcome::Done))
    }

    /// Refuses messages of these sizes, each with the octets of its annotations, if they would
    /// bring the account above a limit.
    pub(super) fn check_room(
        &self,
        sizes: impl Iterator<Item = (u32, u64)>,
    ) -> Result<(), Refusal> {
        let mut quota = Quota { mailboxes: None, ..self.account.quota() };
        if quota == Quota::default() {
            return Ok(());
        }
        let mut usage = self.account.usage();
        let before = usage;
        for (size, annotation_bytes) in sizes {
            usage.bytes = usage.bytes.saturating_add(u64::from(size));
            usage.annotation_bytes = usage.annotation_bytes.saturating_add(annotation_bytes);
            usage.messages += 1;
        }
        if usage.annotation_bytes == before.annotation_bytes {
            quota.annotation_kib = None;
        }
        match quota.exceeded_by(&usage) {
            Some(resource) if usage != before => Err(Refusal::OverQuota(resource)),
            _ => Ok(()),
        }
    }

    /// Refuses a message that takes the place of a smaller one, if there is no room for the
    /// difference.
    pub(super) fn check_growth(&self, before: u32, after: u32) -> Result<(), Refusal> {
        let storage_kib = self.account.quota().storage_kib.filter(|_| after > before);
        if storage_kib.is_none() {
            return Ok(());
        }
        let mut usage = self.account.usage();
        usage.bytes = usage.bytes.saturating_add(u64::from(after - before));
        let quota = Quota { storage_kib, ..Quota::default() };
        quota.exceeded_by(&usage).map_or(Ok(()), |resource| Err(Refusal::OverQuota(resource)))
    }

    /// Refuses annotations that take the place of smaller ones, if there is no room for the
    /// difference.
    pub(super) fn check_annotation_growth(&self, before: u64, after: u64) -> Result<(), Refusal> {
        let annotation_kib = self.account.quota().annotation_kib.filter(|_| after > before);
        if annotation_kib.is_none() {
            return Ok(());
        }
        let mut usage = self.account.usage();
        usage.annotation_bytes = usage.annotation_bytes.saturating_add(after - before);
        let quota = Quota { annotation_kib, ..Quota::default() };
        quota.exceeded_by(&usage).map_or(Ok(()), |resource| Err(Refusal::OverQuota(resource)))
    }

    /// Refuses one mailbox more than there may be; `count` is how many there are.
    pub(super) fn check_mailbox_room(&self, count: u64) -> Result<(), Refusal> {
        match self.account.quota().mailboxes {
            Some(max) if count >= max => Err(Refusal::OverQuota(Resource::Mailboxes)),
            _ => Ok(()),
        }
    }
}
