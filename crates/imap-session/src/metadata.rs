//! Annotations as clients see them: values that are kept, and those that are computed. RFC 5464

use std::collections::BTreeSet;
use std::sync::Arc;

use imap_proto::types::{
    MailboxArg, MetadataData, MetadataDepth, MetadataEntry, MetadataReply, Response,
};
use mail_types::{EntryName, MailboxId, ModSeq};
use mailbox::{Account, Metadata, MetadataTarget, SpecialUses};

use crate::config::ServerAnnotations;
use crate::filter::SharedFilter;
use crate::render;
use crate::reply::Run;

/// The state of annotations that a client has been told of.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    modseq: ModSeq,
    metadata: Arc<Metadata>,
    /// The mailboxes that are for something: never more than there are special uses.
    special_uses: Vec<(MailboxId, SpecialUses)>,
}

impl Told {
    pub(crate) fn new(account: &Account) -> Self {
        let records = account.mailboxes().map(|mailbox| mailbox.record());
        let used = records.filter(|record| !record.special_use.is_empty());
        let special_uses = used.map(|record| (record.id, record.special_use)).collect();
        let metadata = Arc::clone(account.metadata());
        Self { modseq: account.modseq(), metadata, special_uses }
    }

    /// What is otherwise in `now`, in the order of targets.
    pub(crate) fn changed(&self, now: &Self) -> Vec<(MetadataTarget, EntryName)> {
        let mut changed = Vec::new();
        if !Arc::ptr_eq(&self.metadata, &now.metadata) {
            changed = now.metadata.changed_since(&self.metadata);
        }
        let uses = |told: &Self, id| told.special_uses.iter().find(|(of, _)| *of == id).copied();
        let all = self.special_uses.iter().chain(&now.special_uses).map(|(id, _)| *id);
        let mut differing: Vec<MailboxId> =
            all.filter(|id| uses(self, *id) != uses(now, *id)).collect();
        differing.sort_unstable();
        differing.dedup();
        let name = EntryName::special_use();
        changed.extend(differing.into_iter().map(|id| (MetadataTarget::Mailbox(id), name.clone())));
        changed.sort();
        changed
    }
}

/// From now on changes are told. RFC 5464 §4.4
///
/// ENABLE METADATA says that a client is willing to be told, NOTIFY says of what: its list is all
/// that the client is interested in, and NOTIFY NONE is interest in nothing at all (RFC 5465 §3.1,
/// §5). So once NOTIFY was used, the watch alone tells of annotations, whether ENABLE came before
/// or after it; nor does it need ENABLE (§5.6, §5.7).
pub(crate) fn begin_telling(run: &mut Run<'_>) {
    if run.state.annotations.is_none() && run.state.watch.is_none() {
        run.state.annotations = run.account.map(Told::new);
    }
}

/// NOTIFY tells from now on, see [`begin_telling`].
pub(crate) fn end_telling(run: &mut Run<'_>) {
    run.state.annotations = None;
}

/// Names annotations that others have changed; `own` are those that the client itself has just
/// set, which it takes for done. RFC 5464 §4.3, §4.4.2
pub(crate) fn tell_changes(run: &mut Run<'_>, own: Option<(MetadataTarget, &[MetadataEntry])>) {
    let (Some(told), Some(account)) = (&run.state.annotations, run.account) else { return };
    if told.modseq == account.modseq() {
        return;
    }
    let now = Told::new(account);
    let mut changed = told.changed(&now);
    if let Some((target, entries)) = own {
        let is_own = |of: &MetadataTarget, name: &EntryName| {
            let set = entries.iter().rev().find(|(set, _)| set == name);
            *of == target && set.is_some_and(|(_, value)| is_value(account, target, name, value))
        };
        changed.retain(|(of, name)| !is_own(of, name));
    }
    run.state.annotations = Some(now);
    for of_one in changed.chunk_by(|(a, _), (b, _)| a == b) {
        let names = of_one.iter().map(|(_, name)| name.clone()).collect();
        if let Some((target, _)) = of_one.first() {
            tell_names(account, *target, names, run);
        }
    }
}

/// METADATA without values. A mailbox that is gone is told of by LIST. RFC 5464 §4.4.2
pub(crate) fn tell_names(
    account: &Account,
    target: MetadataTarget,
    names: Vec<EntryName>,
    run: &mut Run<'_>,
) {
    let Some(mailbox) = argument(account, target, run) else { return };
    let data = MetadataData::Changed(names);
    run.write(&Response::Metadata(MetadataReply { mailbox, data }));
}

/// Whether the annotation is still as the client has set it. A special use is: others lose it.
fn is_value(
    account: &Account,
    target: MetadataTarget,
    name: &EntryName,
    value: &Option<Vec<u8>>,
) -> bool {
    let is_computed =
        matches!(target, MetadataTarget::Mailbox(_)) && *name == EntryName::special_use();
    is_computed || account.metadata().get(target, name).map(AsRef::as_ref) == value.as_deref()
}

/// How a target is named on the wire: the server is the empty string. `None` if it is gone.
fn argument(account: &Account, target: MetadataTarget, run: &Run<'_>) -> Option<MailboxArg> {
    match target {
        MetadataTarget::Server => Some(MailboxArg::default()),
        MetadataTarget::Mailbox(id) => {
            let record = account.mailbox(id)?.record();
            Some(render::name(&record.name, run.state.names()))
        }
    }
}

/// What a reader wants.
pub(crate) struct Wanted<'a> {
    pub(crate) entries: &'a [EntryName],
    pub(crate) depth: MetadataDepth,
    pub(crate) max_size: Option<u32>,
}

/// Annotations that were found.
#[derive(Default)]
pub(crate) struct Found {
    /// Each once, in the order asked.
    pub(crate) values: Vec<MetadataEntry>,
    /// Octets of the longest one that was longer than wanted: LONGENTRIES. RFC 5464 §4.2.1
    pub(crate) longest: Option<u32>,
}

/// Looks up annotations. One that is named itself and has no value is NIL, for the response is
/// required; below a name only what exists is told. RFC 5464 §4.2, §4.2.2
pub(crate) fn find(
    account: &Account,
    server: &ServerAnnotations,
    target: MetadataTarget,
    wanted: &Wanted<'_>,
) -> Found {
    let all = all(account, server, target);
    let levels_max = match wanted.depth {
        MetadataDepth::Zero => 0,
        MetadataDepth::One => 1,
        MetadataDepth::Infinity => usize::MAX,
    };
    let mut found = Found::default();
    let mut seen: BTreeSet<&EntryName> = BTreeSet::new();
    for asked in wanted.entries {
        let is_wanted =
            |name: &EntryName| name.levels_below(asked).is_some_and(|n| n <= levels_max);
        let mut matched = false;
        for (name, value) in all.iter().filter(|(name, _)| is_wanted(name)) {
            matched = true;
            if !seen.insert(name) {
                continue;
            }
            let size = u32::try_from(value.len()).unwrap_or(u32::MAX);
            if wanted.max_size.is_some_and(|max| size > max) {
                found.longest = found.longest.max(Some(size));
            } else {
                found.values.push((name.clone(), Some(value.clone())));
            }
        }
        if !matched && seen.insert(asked) {
            found.values.push((asked.clone(), None));
        }
    }
    found
}

/// Every annotation of a target in the order of names; at most `Metadata::ENTRIES_MAX` and those
/// that are computed.
fn all(
    account: &Account,
    server: &ServerAnnotations,
    target: MetadataTarget,
) -> Vec<(EntryName, Vec<u8>)> {
    let kept = account.metadata().of(target);
    let mut all: Vec<_> = kept.map(|(name, value)| (name.clone(), value.to_vec())).collect();
    match target {
        MetadataTarget::Server => {
            let computed = [("/shared/comment", &server.comment), ("/shared/admin", &server.admin)];
            for (name, value) in computed {
                if let (Ok(name), Some(value)) = (EntryName::new(name), value) {
                    all.push((name, value.as_bytes().to_vec()));
                }
            }
            // RFC 5466 §3.2
            for (name, value) in server.filters.iter().flat_map(SharedFilter::annotations) {
                all.extend(EntryName::new(&name).ok().map(|name| (name, value.into())));
            }
        }
        MetadataTarget::Mailbox(id) => {
            let record = account.mailbox(id).map(|mailbox| mailbox.record());
            let uses = record.map(|record| record.special_use).filter(|uses| !uses.is_empty());
            // As LIST presents them. RFC 6154 §4
            if let Some(uses) = uses {
                let words: Vec<&str> = uses.iter().map(mail_types::SpecialUse::as_str).collect();
                all.push((EntryName::special_use(), words.join(" ").into_bytes()));
            }
        }
    }
    all.sort();
    all
}
