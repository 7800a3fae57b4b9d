//! Which names LIST and LSUB show.
//!
//! A name is shown if a mailbox has it, if it is subscribed, or if one of these lies below it:
//! the last kind has no mailbox and is there only to lead to its children.

mod pattern;

use std::collections::BTreeMap;

use mail_types::{MailboxId, MailboxName};

use crate::Account;
pub use pattern::Pattern;

/// A name in the tree of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name.
    pub name: MailboxName,
    /// Which of the names of others this is, in the order in which they were given.
    pub other: Option<usize>,
    /// The mailbox that has it; `None` for a name that is subscribed or has children and no
    /// mailbox: `\NonExistent`, or `\Noselect` for clients that do not know it. RFC 9051 §7.3.1
    pub mailbox: Option<MailboxId>,
    /// `\Subscribed`
    pub subscription: Subscribed,
    /// `\HasChildren` or `\HasNoChildren`: mailboxes below it. RFC 9051 §7.3.1
    pub children: Children,
    /// CHILDINFO ("SUBSCRIBED"): subscribed names below it. RFC 9051 §6.3.9.6
    pub subscribed_children: Children,
}

/// Whether a name is on the list of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Whether there is something below a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// There is.
    Some,
    /// There is not.
    None,
}

impl Children {
    /// Whether there is something.
    pub fn exist(self) -> bool {
        self == Self::Some
    }
}

impl Node {
    /// Whether a mailbox has it, of whatever account.
    pub fn has_mailbox(&self) -> bool {
        self.mailbox.is_some() || self.other.is_some()
    }

    /// Whether it is subscribed.
    pub fn is_subscribed(&self) -> bool {
        self.subscription == Subscribed::Yes
    }
}

/// All names of an account in ascending order: mailboxes, subscriptions, and what lies above them.
///
/// O(names * depth * log names), about 20 ms for an account at its limits.
pub fn nodes(account: &Account) -> Vec<Node> {
    nodes_with(account, &[])
}

/// The same, with names that stand for mailboxes of other accounts.
pub fn nodes_with(account: &Account, others: &[MailboxName]) -> Vec<Node> {
    let mut nodes: BTreeMap<MailboxName, Node> = BTreeMap::new();
    for (index, name) in others.iter().enumerate() {
        node(&mut nodes, name).other = Some(index);
        for_each_parent(name, |parent| node(&mut nodes, parent).children = Children::Some);
    }
    for (name, id) in account.names() {
        node(&mut nodes, name).mailbox = Some(id);
        for_each_parent(name, |parent| node(&mut nodes, parent).children = Children::Some);
    }
    for (name, _) in account.subscriptions() {
        node(&mut nodes, name).subscription = Subscribed::Yes;
        for_each_parent(name, |parent| {
            node(&mut nodes, parent).subscribed_children = Children::Some;
        });
    }
    nodes.into_values().collect()
}

/// The names that match one of the patterns, in ascending order.
pub fn matching(account: &Account, patterns: &[Pattern]) -> Vec<Node> {
    let mut nodes = nodes(account);
    nodes.retain(|node| patterns.iter().any(|pattern| pattern.matches(node.name.as_str())));
    nodes
}

fn node<'a>(nodes: &'a mut BTreeMap<MailboxName, Node>, name: &MailboxName) -> &'a mut Node {
    nodes.entry(name.clone()).or_insert_with(|| Node {
        name: name.clone(),
        other: None,
        mailbox: None,
        subscription: Subscribed::No,
        children: Children::None,
        subscribed_children: Children::None,
    })
}

fn for_each_parent(name: &MailboxName, mut each: impl FnMut(&MailboxName)) {
    let mut at = name.parent();
    while let Some(parent) = at {
        each(&parent);
        at = parent.parent();
    }
}
