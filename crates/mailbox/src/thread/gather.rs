//! From links to threads: steps (2) to (6) of REFERENCES, and ORDEREDSUBJECT. RFC 5256 §3

use std::collections::BTreeMap;

use super::forest::NONE;
use super::links::{Links, Node};
use super::{ThreadMember, Threaded};
use crate::subject::SubjectKind;

/// Threads: the items below each item, and those at the top.
///
/// The first items are the messages, in their order; dummies come behind them. A dummy is always
/// at the top, and has children.
#[derive(Debug)]
pub(super) struct Tree {
    children: Vec<Vec<u32>>,
    roots: Vec<u32>,
    message_count: usize,
}

/// By which siblings are sorted: the sent date, then the order of messages. RFC 5256 §2.2
type SortedBy = (i64, u32);

impl Tree {
    fn new(message_count: usize) -> Self {
        Self { children: vec![Vec::new(); message_count], roots: Vec::new(), message_count }
    }

    /// ORDEREDSUBJECT.
    pub(super) fn by_subject(messages: &[Threaded]) -> Self {
        let mut tree = Self::new(messages.len());
        let mut sorted: Vec<(&[u8], i64, u32)> = Vec::with_capacity(messages.len());
        for (index, message) in (0..).zip(messages) {
            sorted.push((&message.subject, message.sent, index));
        }
        sorted.sort_unstable();
        for thread in sorted.chunk_by(|a, b| a.0 == b.0) {
            let mut thread = thread.iter().map(|(_, _, index)| *index);
            let Some(first) = thread.next() else { continue };
            tree.roots.push(first);
            tree.add_children(first, thread);
        }
        tree.sort_roots(messages);
        tree
    }

    /// Steps (2) and (3): threads by their links, without dummies that are not needed.
    pub(super) fn by_links(messages: &[Threaded], links: &Links) -> Self {
        let nodes = links.nodes();
        let mut tree = Self::new(messages.len());
        // For each node: the one whose child it is once dummies are spliced out.
        let mut above = vec![NONE; nodes.len()];
        // For each dummy at the top: its children.
        let mut kept: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for index in from_the_top(nodes) {
            let Some(node) = nodes.get(index as usize) else { continue };
            if node.parent == NONE {
                if node.message != NONE {
                    tree.roots.push(node.message);
                }
                continue;
            }
            let Some(parent) = nodes.get(node.parent as usize) else { continue };
            let is_spliced = parent.message == NONE && parent.parent != NONE;
            let over = if is_spliced {
                above.get(node.parent as usize).copied().unwrap_or(NONE)
            } else {
                node.parent
            };
            if let Some(place) = above.get_mut(index as usize) {
                *place = over;
            }
            if node.message == NONE {
                continue;
            }
            match nodes.get(over as usize).map_or(NONE, |over| over.message) {
                NONE => kept.entry(over).or_default().push(node.message),
                message => tree.add_children(message, [node.message]),
            }
        }
        for (_, children) in kept {
            // "Do not promote the children if doing so would make them children of the root,
            // unless there is only one child." (3)
            match children.as_slice() {
                [only] => tree.roots.push(*only),
                _ => tree.push_dummy(children),
            }
        }
        tree
    }

    /// Steps (4) and (5): threads with the same base subject become one.
    pub(super) fn gather_subjects(&mut self, messages: &[Threaded]) {
        // A dummy's first child by date tells its subject.
        for dummy in self.message_count..self.children.len() {
            self.sort_children(dummy, messages);
        }
        self.sort_roots(messages);
        let mut table: BTreeMap<&[u8], u32> = BTreeMap::new();
        for &root in &self.roots {
            let subject = self.subject(root, messages);
            if subject.is_empty() {
                continue;
            }
            table
                .entry(subject)
                .and_modify(|known| {
                    // (5.B.iv)
                    let is_better = self.is_dummy(root)
                        || (is_reply(*known, messages) && !is_reply(root, messages));
                    if !self.is_dummy(*known) && is_better {
                        *known = root;
                    }
                })
                .or_insert(root);
        }
        let mut is_gone = vec![false; self.children.len()];
        for root in self.roots.clone() {
            let subject = self.subject(root, messages);
            let Some(known) = table.get_mut(subject) else { continue };
            if *known == root {
                continue;
            }
            for gone in self.merge(known, root, messages) {
                if let Some(gone) = is_gone.get_mut(gone as usize) {
                    *gone = true;
                }
            }
        }
        self.roots.retain(|root| !is_gone.get(*root as usize).copied().unwrap_or(false));
    }

    /// (5.C): merges a thread with the one in the subject table; which are no roots any more.
    fn merge(&mut self, known: &mut u32, current: u32, messages: &[Threaded]) -> Vec<u32> {
        match (self.is_dummy(*known), self.is_dummy(current)) {
            (true, true) => {
                let moved = self.take_children(current);
                self.add_children(*known, moved);
            }
            (true, false) => self.add_children(*known, [current]),
            (false, _) if is_reply(current, messages) && !is_reply(*known, messages) => {
                self.add_children(*known, [current]);
            }
            (false, _) => {
                let first = *known;
                *known = u32::try_from(self.children.len()).unwrap_or(NONE);
                self.push_dummy(vec![first, current]);
                return vec![first, current];
            }
        }
        vec![current]
    }

    /// Step (6): siblings by their sent date.
    pub(super) fn sort(&mut self, messages: &[Threaded]) {
        for item in 0..self.children.len() {
            self.sort_children(item, messages);
        }
        self.sort_roots(messages);
    }

    /// The thread with the message that arrived last becomes the last. draft-ietf-morg-inthread
    pub(super) fn sort_threads_by_arrival(&mut self, messages: &[Threaded]) {
        let mut latest: BTreeMap<u32, (i64, u32)> = BTreeMap::new();
        let mut thread = NONE;
        self.walk(|item, depth| {
            if depth == 0 {
                thread = item;
            }
            if let Some(message) = messages.get(item as usize) {
                let place = latest.entry(thread).or_insert((message.arrival, item));
                *place = (*place).max((message.arrival, item));
            }
        });
        self.roots.sort_unstable_by_key(|root| latest.get(root).copied());
    }

    /// The threads as a list.
    pub(super) fn members(&self, messages: &[Threaded]) -> Vec<ThreadMember> {
        let mut members = Vec::with_capacity(self.children.len());
        self.walk(|item, depth| {
            let uid = messages.get(item as usize).map(|message| message.uid);
            members.push(ThreadMember { uid, depth });
        });
        members
    }

    /// Visits each item before its children.
    fn walk(&self, mut visit: impl FnMut(u32, u32)) {
        let mut open: Vec<(u32, u32)> = self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((item, depth)) = open.pop() {
            visit(item, depth);
            let children = self.children.get(item as usize).map(Vec::as_slice).unwrap_or_default();
            open.extend(children.iter().rev().map(|child| (*child, depth + 1)));
        }
    }

    fn sort_children(&mut self, item: usize, messages: &[Threaded]) {
        let Some(children) = self.children.get_mut(item) else { return };
        children.sort_unstable_by_key(|child| sorted_by(*child, messages));
    }

    /// Sorts the threads; a dummy by its first child, so that its children are sorted before.
    fn sort_roots(&mut self, messages: &[Threaded]) {
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_unstable_by_key(|root| sorted_by(self.speaker(*root), messages));
        self.roots = roots;
    }

    /// The thread subject. (5.B.i)
    fn subject<'a>(&self, root: u32, messages: &'a [Threaded]) -> &'a [u8] {
        let message = messages.get(self.speaker(root) as usize);
        message.map(|message| &*message.subject).unwrap_or_default()
    }

    /// The message, or the first child of a dummy.
    fn speaker(&self, item: u32) -> u32 {
        if !self.is_dummy(item) {
            return item;
        }
        let children = self.children.get(item as usize);
        children.and_then(|children| children.first()).copied().unwrap_or(NONE)
    }

    fn is_dummy(&self, item: u32) -> bool {
        item as usize >= self.message_count
    }

    fn push_dummy(&mut self, children: Vec<u32>) {
        self.roots.push(u32::try_from(self.children.len()).unwrap_or(NONE));
        self.children.push(children);
    }

    fn add_children(&mut self, item: u32, children: impl IntoIterator<Item = u32>) {
        if let Some(place) = self.children.get_mut(item as usize) {
            place.extend(children);
        }
    }

    fn take_children(&mut self, item: u32) -> Vec<u32> {
        self.children.get_mut(item as usize).map(std::mem::take).unwrap_or_default()
    }
}

fn sorted_by(message: u32, messages: &[Threaded]) -> SortedBy {
    (messages.get(message as usize).map_or(i64::MAX, |message| message.sent), message)
}

fn is_reply(message: u32, messages: &[Threaded]) -> bool {
    let message = messages.get(message as usize);
    message.is_some_and(|message| message.kind == SubjectKind::ReplyOrForward)
}

/// All nodes, each behind its parent.
fn from_the_top(nodes: &[Node]) -> Vec<u32> {
    // Children of a node as a chain, so that two numbers a node are enough.
    let (mut first, mut next) = (vec![NONE; nodes.len()], vec![NONE; nodes.len()]);
    let mut order = Vec::with_capacity(nodes.len());
    for (index, node) in (0..).zip(nodes) {
        match first.get_mut(node.parent as usize) {
            Some(head) => {
                if let Some(next) = next.get_mut(index as usize) {
                    *next = *head;
                }
                *head = index;
            }
            None => order.push(index),
        }
    }
    let mut at = 0;
    while let Some(node) = order.get(at).copied() {
        at += 1;
        let mut child = first.get(node as usize).copied().unwrap_or(NONE);
        while child != NONE {
            order.push(child);
            child = next.get(child as usize).copied().unwrap_or(NONE);
        }
    }
    order
}
