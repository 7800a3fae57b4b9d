//! Who is whose parent, by ids: step (1) of REFERENCES. RFC 5256 §3

use std::collections::{BTreeMap, VecDeque};

use super::Threader;
use super::forest::{Forest, NONE};
use crate::collate::sum;

/// Messages and those that are only referred to, with their parents.
#[derive(Debug, Default)]
pub(super) struct Links {
    nodes: Vec<Node>,
    forest: Forest,
    ids: BTreeMap<IdSum, u32>,
    dummies: usize,
}

/// A message or a dummy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Index of the message; [`NONE`] for a dummy.
    pub(super) message: u32,
    /// Node of the parent; [`NONE`] if there is none.
    pub(super) parent: u32,
}

/// What is kept of an id. Ids are up to a thousand octets long, and a stranger writes them.
type IdSum = ([u8; 8], [u8; 8]);

impl Links {
    /// All nodes.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Adds a message, whose sequence number is above those of all before it.
    pub(super) fn add(&mut self, message: u32, id: Option<&[u8]>, references: &VecDeque<Vec<u8>>) {
        let own = self.own_node(message, id);
        let mut last = None;
        for reference in references {
            let Some(node) = self.node_of(reference) else { continue };
            // "If a message already has a parent, don't change the existing link." (1.A)
            if let Some(parent) = last
                && self.parent(node) == NONE
            {
                self.link(parent, node);
            }
            last = Some(node);
        }
        // (1.B): what other messages said of this one counts for less than what it says itself.
        if self.parent(own) != NONE {
            self.forest.cut(own);
            self.set_parent(own, NONE);
        }
        if let Some(parent) = last {
            self.link(parent, own);
        }
    }

    /// The node of the message itself. A second message with the same id, and one without any, is
    /// one that nobody refers to. (1.A)
    fn own_node(&mut self, message: u32, id: Option<&[u8]>) -> u32 {
        let id = id.map(id_sum);
        let known = id.and_then(|id| self.ids.get(&id).copied());
        let node = match known {
            Some(node) if self.is_dummy(node) => {
                self.dummies -= 1;
                node
            }
            Some(_) => self.push(),
            None => {
                let node = self.push();
                if let Some(id) = id {
                    self.ids.insert(id, node);
                }
                node
            }
        };
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.message = message;
        }
        node
    }

    /// The node of a message that is referred to: a dummy until it comes.
    fn node_of(&mut self, id: &[u8]) -> Option<u32> {
        let id = id_sum(id);
        if let Some(node) = self.ids.get(&id) {
            return Some(*node);
        }
        if self.dummies == Threader::DUMMIES_MAX {
            return None;
        }
        self.dummies += 1;
        let node = self.push();
        self.ids.insert(id, node);
        Some(node)
    }

    /// Makes a node without a parent the child of another, unless that would be a loop. (1.A)
    fn link(&mut self, parent: u32, child: u32) {
        if self.forest.root(parent) != child {
            self.forest.link(parent, child);
            self.set_parent(child, parent);
        }
    }

    fn push(&mut self) -> u32 {
        let node = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.nodes.push(Node { message: NONE, parent: NONE });
        self.forest.push();
        node
    }

    fn is_dummy(&self, node: u32) -> bool {
        self.nodes.get(node as usize).is_none_or(|node| node.message == NONE)
    }

    fn parent(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(NONE, |node| node.parent)
    }

    fn set_parent(&mut self, node: u32, parent: u32) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.parent = parent;
        }
    }
}

/// Comparison of ids is case-sensitive. RFC 5256 §3 (1.A)
fn id_sum(id: &[u8]) -> IdSum {
    (sum(1, id), sum(2, id))
}
