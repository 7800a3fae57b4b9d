//! Decides what changes annotations. RFC 5464 §4.3
//!
//! `/private/specialuse` of a mailbox is no annotation of its own but what the mailbox is for.
//! RFC 6154 §4

use std::collections::BTreeMap;

use mail_types::{EntryName, MailboxId, SpecialUse};

use super::{Decision, Limit, Outcome, Planner, Refusal};
use crate::{Change, Metadata, MetadataTarget, MetadataValue, SpecialUses};

impl Planner<'_> {
    pub(super) fn set_metadata(
        mut self,
        target: MetadataTarget,
        entries: &[(EntryName, Option<Vec<u8>>)],
    ) -> Result<Decision, Refusal> {
        if let MetadataTarget::Mailbox(id) = target {
            self.mailbox(id)?;
        }
        let mut wanted: BTreeMap<EntryName, Option<MetadataValue>> = BTreeMap::new();
        let mut special_use = None;
        for (name, value) in entries {
            let value = value.as_deref();
            if value.is_some_and(|value| value.len() > Metadata::VALUE_BYTES_MAX) {
                return Err(Refusal::Limit(Limit::MetadataValue));
            }
            match target {
                // They are one for all accounts, so no account can have its own. RFC 5464 §3.3
                MetadataTarget::Server if name.is_shared() => return Err(Refusal::ReadOnlyEntry),
                MetadataTarget::Mailbox(id) if *name == EntryName::special_use() => {
                    special_use = Some((id, parse_special_uses(value)?));
                }
                _ => _ = wanted.insert(name.clone(), value.map(MetadataValue::from)),
            }
        }
        if let Some((mailbox, special_use)) = special_use {
            self.change_special_uses(mailbox, special_use)?;
        }
        self.change_metadata(target, wanted)?;
        Ok(self.done(Outcome::Done))
    }

    /// INBOX keeps its annotations when it gives its messages away, and the new mailbox gets the
    /// same. RFC 5464 §4.1
    pub(super) fn copy_metadata(&mut self, from: MailboxId, to: MailboxId) -> Result<(), Refusal> {
        let metadata = self.account.metadata();
        let all = metadata.of(MetadataTarget::Mailbox(from));
        let wanted = all.map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        self.change_metadata(MetadataTarget::Mailbox(to), wanted)
    }

    fn change_metadata(
        &mut self,
        target: MetadataTarget,
        mut wanted: BTreeMap<EntryName, Option<MetadataValue>>,
    ) -> Result<(), Refusal> {
        let metadata = self.account.metadata();
        wanted.retain(|name, value| metadata.get(target, name) != value.as_ref());
        let (mut count, mut bytes) = (metadata.count(target), metadata.bytes());
        let (count_before, bytes_before) = (count, bytes);
        for (name, value) in &wanted {
            if let Some(before) = metadata.get(target, name) {
                count -= 1;
                bytes -= Metadata::entry_bytes(name, before);
            }
            if let Some(value) = value {
                count += 1;
                bytes += Metadata::entry_bytes(name, value);
            }
        }
        // What takes something away is never refused.
        if count > count_before && count > Metadata::ENTRIES_MAX {
            return Err(Refusal::Limit(Limit::MetadataEntries));
        }
        if bytes > bytes_before && bytes > Metadata::BYTES_MAX {
            return Err(Refusal::Limit(Limit::MetadataBytes));
        }
        if !wanted.is_empty() {
            let entries = wanted.into_iter().collect();
            self.changes.push(Change::MetadataSet { target, entries });
        }
        Ok(())
    }

    /// A mailbox gets these uses, and others lose them: no two have the same. RFC 6154 §4, §5.4
    fn change_special_uses(
        &mut self,
        mailbox: MailboxId,
        special_use: SpecialUses,
    ) -> Result<(), Refusal> {
        let before = self.mailbox(mailbox)?.record().special_use;
        for other in self.account.mailboxes().map(|other| other.record()) {
            let rest = other.special_use.without(special_use);
            if other.id != mailbox && rest != other.special_use {
                self.changes.push(Change::SpecialUsesSet { mailbox: other.id, special_use: rest });
            }
        }
        if before != special_use {
            self.changes.push(Change::SpecialUsesSet { mailbox, special_use });
        }
        Ok(())
    }
}

/// Attributes as in LIST, with spaces between. What no mailbox can have is refused, as CREATE
/// refuses it. RFC 6154 §4
fn parse_special_uses(value: Option<&[u8]>) -> Result<SpecialUses, Refusal> {
    let text = std::str::from_utf8(value.unwrap_or_default());
    let words = text.map_err(|_| Refusal::SpecialUseUnknown)?.split(' ');
    let words = words.filter(|word| !word.is_empty());
    let uses: Option<Vec<SpecialUse>> = words.map(SpecialUse::from_name).collect();
    uses.map(|uses| SpecialUses::new(&uses)).ok_or(Refusal::SpecialUseUnknown)
}
