//! LIST, plain and extended. RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154

mod others;

use std::collections::{BTreeSet, VecDeque};

use imap_proto::types::{
    List, ListAttribute, ListReply, ListSelection, MailboxArg, MetadataData, MetadataDepth,
    MetadataReply, MyRightsReply, NameEncoding, Response, StatusReply, UseAttribute,
};
use mail_types::{EntryName, MailboxName};
use mailbox::tree::{self, Node, Pattern};
use mailbox::{Account, Mailbox, MailboxRecord, MetadataTarget, Rights};

use super::status;
use crate::metadata::{self, Wanted};
use crate::reply::{Flow, Reply, Run, end, wait, wait_ready};
use crate::state::State;
use crate::sync::{self, Told};
use crate::{Answer, Need, errors, render};
use others::{Other, Others};

pub(crate) fn begin(list: List) -> Flow {
    let ListSelection { subscribed, recursive_match, special_use, .. } = list.selection;
    // RFC 5258 §3.1
    if recursive_match && !subscribed && !special_use {
        return Err(Reply::bad("RECURSIVEMATCH needs another selection option"));
    }
    wait_ready(Need::Refresh, move |run| {
        // With STATUS, no HIGHESTMODSEQ may run ahead of expunges that the client was not told of.
        sync::news(Told::Everything, run, move |run| tell(list, run))
    })
}

fn tell(list: List, run: &mut Run<'_>) -> Flow {
    status::enable_condstore(&list.returns.status, run);
    // An empty pattern asks for the separator. RFC 9051 §6.3.9
    if !list.extended && list.patterns.iter().all(|pattern| pattern.raw().is_empty()) {
        run.write(&Response::List(separator()));
        return end(Reply::ok("LIST completed"));
    }
    let patterns = patterns(&list, run.state.names());
    if !patterns.iter().any(|pattern| others::may_be_named(pattern)) {
        return tell_matching(list, &patterns, Others::default(), run);
    }
    wait(Need::Sharers, move |answer, run| match answer {
        Answer::Sharers(sharers) => tell_matching(list, &patterns, Others::new(sharers, run), run),
        other => Err(errors::unexpected(&other)),
    })
}

fn tell_matching(list: List, patterns: &[String], others: Others, run: &mut Run<'_>) -> Flow {
    let patterns: Vec<Pattern> = patterns.iter().filter_map(|it| Pattern::new(it).ok()).collect();
    let found = found(run.account()?, &list, &others, &patterns);
    tell_found(list, others, found.into(), run)
}

/// Tells names, and sends them now and then: an account may have many.
fn tell_found(list: List, others: Others, mut found: VecDeque<Found>, run: &mut Run<'_>) -> Flow {
    let account = run.account()?;
    let names = run.state.names();
    let count = match list.returns.metadata.is_empty() {
        true => NAMES_PER_FLUSH,
        false => NAMES_WITH_METADATA_PER_FLUSH,
    };
    for _ in 0..count {
        let Some(found) = found.pop_front() else {
            return end(Reply::ok("LIST completed"));
        };
        run.write(&Response::List(found.reply(&list, account, run.state.enabled.rev2, names)));
        let account = run.account()?;
        let other = others.of(&found.node);
        // What is listed for its children only is not told more of. RFC 5819 §2, RFC 8440 §4
        let target = target(&found.node, account, other).filter(|_| found.is_met);
        if let Some((mailbox, target)) = target {
            tell_my_rights(&list, &found.node, &target, run);
            tell_status(&list, &found.node, mailbox, &target, run);
            tell_metadata(&list, &found.node, mailbox, &target, run);
        }
    }
    wait_ready(Need::Flush, |run| tell_found(list, others, found, run))
}

fn separator() -> ListReply {
    ListReply {
        attributes: vec![ListAttribute::NoSelect],
        delimiter: Some(MailboxName::SEPARATOR),
        mailbox: MailboxArg::default(),
        child_info: Vec::new(),
        old_name: None,
    }
}

/// The patterns, each with the reference in front. One that cannot be decoded matches nothing.
fn patterns(list: &List, names: NameEncoding) -> Vec<String> {
    let Ok(reference) = list.reference.decode(names) else { return Vec::new() };
    let decoded = list.patterns.iter().filter_map(|pattern| pattern.decode(names).ok());
    decoded.map(|pattern| format!("{reference}{pattern}")).collect()
}

/// A set of names that knows whether one of them lies below another name.
#[derive(Default)]
pub(crate) struct NamesBelow(BTreeSet<String>);

impl NamesBelow {
    pub(crate) fn add(&mut self, name: &MailboxName) {
        self.0.insert(name.as_str().to_owned());
    }

    /// O(log names): names below another stand together, after its name and a separator.
    pub(crate) fn has_below(&self, name: &MailboxName) -> bool {
        let prefix = format!("{name}{}", MailboxName::SEPARATOR);
        self.0.range(prefix.clone()..).next().is_some_and(|first| first.starts_with(&prefix))
    }
}

/// A name to be listed.
struct Found {
    node: Node,
    /// Whether it is told for what it is itself, and not only for a name below it.
    is_met: bool,
    /// CHILDINFO: the selection options that a name below it meets, but is not listed for.
    child_info: Vec<String>,
}

fn found(account: &Account, list: &List, others: &Others, patterns: &[Pattern]) -> Vec<Found> {
    let matches = |node: &Node| patterns.iter().any(|pattern| pattern.matches(node.name.as_str()));
    let nodes = tree::nodes_with(account, others.names());
    let mut unlisted = NamesBelow::default();
    if list.selection.recursive_match {
        let hidden = nodes.iter().filter(|node| !matches(node) && meets(node, account, list));
        hidden.for_each(|node| unlisted.add(&node.name));
    }
    let mut all = Vec::new();
    for node in nodes {
        if !matches(&node) {
            continue;
        }
        let has_unlisted = unlisted.has_below(&node.name);
        // A parent that does not meet the selection is listed only for children that are not.
        // RFC 5258 §3.5
        let is_met = meets(&node, account, list);
        if is_met || has_unlisted {
            let child_info = if has_unlisted { options(list.selection) } else { Vec::new() };
            all.push(Found { node, is_met, child_info });
        }
    }
    all
}

/// Whether a name meets the selection options itself.
fn meets(node: &Node, account: &Account, list: &List) -> bool {
    let ListSelection { subscribed, special_use, .. } = list.selection;
    let has_use = || mailbox(account, node).is_some_and(|m| !m.record().special_use.is_empty());
    // Names that are only subscribed are no mailboxes; they are listed if asked for. RFC 5258 §3.1
    let exists = node.has_mailbox() || node.children.exist() || subscribed;
    exists && (!subscribed || node.is_subscribed()) && (!special_use || has_use())
}

fn options(selection: ListSelection) -> Vec<String> {
    let names = [(selection.subscribed, "SUBSCRIBED"), (selection.special_use, "SPECIAL-USE")];
    names.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, name)| name.to_owned()).collect()
}

fn mailbox<'a>(account: &'a Account, node: &Node) -> Option<&'a Mailbox> {
    account.mailbox(node.mailbox?)
}

impl Found {
    fn reply(&self, list: &List, account: &Account, rev2: bool, names: NameEncoding) -> ListReply {
        let node = &self.node;
        // A client that speaks only plain IMAP4rev1 does not know \NonExistent.
        let knows_nonexistent = rev2 || list.extended;
        let mut attributes = attributes(node, account, knows_nonexistent);
        let is_asked = list.selection.subscribed || list.returns.subscribed;
        if is_asked && node.is_subscribed() {
            attributes.push(ListAttribute::Subscribed);
        }
        ListReply {
            attributes,
            delimiter: Some(MailboxName::SEPARATOR),
            mailbox: render::name(&node.name, names),
            child_info: self.child_info.clone(),
            old_name: None,
        }
    }
}

/// What is told of a name. Special uses are told in every LIST: clients that do not ask look for
/// them all the same. RFC 6154 §2
pub(crate) fn attributes(
    node: &Node,
    account: &Account,
    knows_nonexistent: bool,
) -> Vec<ListAttribute> {
    let mut attributes = Vec::new();
    match mailbox(account, node) {
        Some(mailbox) => attributes.extend(uses(mailbox)),
        // What it is for is for its owner.
        None if node.other.is_some() => {}
        None if knows_nonexistent => attributes.push(ListAttribute::NonExistent),
        None => attributes.push(ListAttribute::NoSelect),
    }
    attributes.push(if node.children.exist() {
        ListAttribute::HasChildren
    } else {
        ListAttribute::HasNoChildren
    });
    attributes
}

/// The attributes of one mailbox, without looking at the whole tree.
pub(crate) fn attributes_of(account: &Account, mailbox: &Mailbox) -> Vec<ListAttribute> {
    let name = &mailbox.record().name;
    let has_children = account.below(name).next().is_some();
    let mut attributes: Vec<ListAttribute> = uses(mailbox).collect();
    attributes.push(if has_children {
        ListAttribute::HasChildren
    } else {
        ListAttribute::HasNoChildren
    });
    attributes
}

fn uses(mailbox: &Mailbox) -> impl Iterator<Item = ListAttribute> {
    mailbox.record().special_use.iter().map(|u| ListAttribute::Use(UseAttribute::Use(u)))
}

/// The attributes of one mailbox of the account that is asked now.
pub(crate) fn attributes_at(
    account: &Account,
    mailbox: &Mailbox,
    state: &State,
) -> Vec<ListAttribute> {
    if state.guest().is_none() {
        return attributes_of(account, mailbox);
    }
    let actor = state.actor();
    let mut below = account.below(&mailbox.record().name);
    let has_children = below.any(|(_, id)| account.rights(id, &actor).contains(Rights::LOOKUP));
    vec![if has_children { ListAttribute::HasChildren } else { ListAttribute::HasNoChildren }]
}

/// A mailbox that is told more of than its name.
struct Target<'a> {
    account: &'a Account,
    rights: Rights,
    other: Option<&'a Other>,
}

fn target<'a>(
    node: &Node,
    account: &'a Account,
    other: Option<&'a Other>,
) -> Option<(&'a MailboxRecord, Target<'a>)> {
    match other {
        Some(it) => Some((it.record()?, Target { account: &it.account, rights: it.rights, other })),
        None => {
            let record = mailbox(account, node)?.record();
            Some((record, Target { account, rights: Rights::ALL, other }))
        }
    }
}

/// `RETURN (MYRIGHTS)`: right behind the name. RFC 8440 §4
fn tell_my_rights(list: &List, node: &Node, target: &Target<'_>, run: &mut Run<'_>) {
    if list.returns.my_rights {
        let mailbox = render::name(&node.name, run.state.names());
        let rights = target.rights.to_string();
        run.write(&Response::MyRights(MyRightsReply { mailbox, rights }));
    }
}

/// `RETURN (STATUS (…))`, for mailboxes that can be selected. RFC 5819 §2
fn tell_status(
    list: &List,
    node: &Node,
    record: &MailboxRecord,
    target: &Target<'_>,
    run: &mut Run<'_>,
) {
    if list.returns.status.is_empty() || !target.rights.contains(Rights::READ) {
        return;
    }
    let values = status::values(&list.returns.status, record, run.state.config.append_limit);
    let values = match target.other {
        Some(other) => other.told(values),
        None => values,
    };
    let mailbox = render::name(&node.name, run.state.names());
    run.write(&Response::StatusData(StatusReply { mailbox, values }));
}

/// `RETURN (METADATA (…))`: as GETMETADATA would tell them. RFC 9590 §3
fn tell_metadata(
    list: &List,
    node: &Node,
    record: &MailboxRecord,
    target: &Target<'_>,
    run: &mut Run<'_>,
) {
    if list.returns.metadata.is_empty() || !target.rights.intersects(Rights::METADATA) {
        return;
    }
    // What is private is its owner's. RFC 5464 §3.2
    let may_be_told = |name: &&EntryName| target.other.is_none() || name.is_shared();
    let entries: Vec<_> = list.returns.metadata.iter().filter(may_be_told).cloned().collect();
    if entries.is_empty() {
        return;
    }
    let wanted = Wanted { entries: &entries, depth: MetadataDepth::Zero, max_size: None };
    let server = &run.state.config.server_annotations;
    let of = MetadataTarget::Mailbox(record.id);
    let found = metadata::find(target.account, server, of, &wanted);
    let mailbox = render::name(&node.name, run.state.names());
    let data = MetadataData::Values(found.values);
    run.write(&Response::Metadata(MetadataReply { mailbox, data }));
}

/// Names told at a time with annotations: their names alone may have 8 KiB for each mailbox.
const NAMES_WITH_METADATA_PER_FLUSH: usize = 50;
/// Names told at a time: with STATUS some 100 KiB.
const NAMES_PER_FLUSH: usize = 500;
