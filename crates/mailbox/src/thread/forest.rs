//! Trees that are cut and linked, with the root of any node in logarithmic time: link-cut trees.
//!
//! A link must not make a loop (RFC 5256 §3 (1.A)). To look for one by walking up would take as
//! many steps as a thread is deep, for each of its messages.

/// A forest of nodes `0..len`.
#[derive(Debug, Default)]
pub(super) struct Forest {
    nodes: Vec<Node>,
}

/// A node in a splay tree of the path that it is on: on its left those nearer to the root.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Parent in the splay tree, or the node above the path if this is the root of it.
    up: u32,
    left: u32,
    right: u32,
}

/// No node.
pub(super) const NONE: u32 = u32::MAX;

impl Forest {
    /// Adds a node that is a tree of its own.
    pub(super) fn push(&mut self) {
        self.nodes.push(Node { up: NONE, left: NONE, right: NONE });
    }

    /// The root of the tree that a node is in.
    pub(super) fn root(&mut self, node: u32) -> u32 {
        self.access(node);
        let mut root = node;
        while self.at(root).left != NONE {
            root = self.at(root).left;
        }
        self.splay(root);
        root
    }

    /// Puts a tree below a node of another one.
    pub(super) fn link(&mut self, parent: u32, root: u32) {
        self.access(root);
        self.access(parent);
        self.change(root, |node| node.up = parent);
    }

    /// Cuts a node from what is above it.
    pub(super) fn cut(&mut self, node: u32) {
        self.access(node);
        let above = self.at(node).left;
        self.change(above, |above| above.up = NONE);
        self.change(node, |node| node.left = NONE);
    }

    /// Makes the path from the root to a node one splay tree with the node as its root.
    fn access(&mut self, node: u32) {
        let (mut at, mut below) = (node, NONE);
        while at != NONE {
            self.splay(at);
            self.change(at, |node| node.right = below);
            below = at;
            at = self.at(at).up;
        }
        self.splay(node);
    }

    fn splay(&mut self, node: u32) {
        while let Some(parent) = self.splay_parent(node) {
            if let Some(above) = self.splay_parent(parent) {
                let is_straight = (self.at(parent).left == node) == (self.at(above).left == parent);
                self.rotate(if is_straight { parent } else { node });
            }
            self.rotate(node);
        }
    }

    /// Swaps a node with its parent in the splay tree.
    fn rotate(&mut self, node: u32) {
        let parent = self.at(node).up;
        let is_left = self.at(parent).left == node;
        let above = self.at(parent).up;
        let inner = if is_left { self.at(node).right } else { self.at(node).left };
        match self.splay_parent(parent) {
            Some(above) if self.at(above).left == parent => {
                self.change(above, |above| above.left = node);
            }
            Some(above) => self.change(above, |above| above.right = node),
            None => {}
        }
        self.change(inner, |inner| inner.up = parent);
        self.change(parent, |parent| {
            *(if is_left { &mut parent.left } else { &mut parent.right }) = inner;
            parent.up = node;
        });
        self.change(node, |node| {
            *(if is_left { &mut node.right } else { &mut node.left }) = parent;
            node.up = above;
        });
    }

    /// The parent of a node in its own splay tree.
    fn splay_parent(&self, node: u32) -> Option<u32> {
        let up = self.at(node).up;
        let parent = self.at(up);
        (up != NONE && (parent.left == node || parent.right == node)).then_some(up)
    }

    fn at(&self, node: u32) -> Node {
        let nothing = Node { up: NONE, left: NONE, right: NONE };
        self.nodes.get(node as usize).copied().unwrap_or(nothing)
    }

    fn change(&mut self, node: u32, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            change(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_those_that_walking_up_finds() {
        for seed in 0..50_u64 {
            let mut state = seed;
            let mut random = |below: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as usize % below
            };
            let (mut forest, mut parents) = (Forest::default(), vec![NONE; 40]);
            (0..40).for_each(|_| forest.push());
            let walk = |parents: &[u32], mut node: usize| {
                while parents[node] != NONE {
                    node = parents[node] as usize;
                }
                node as u32
            };
            for _ in 0..400 {
                let (a, b) = (random(40), random(40));
                if random(4) == 0 {
                    forest.cut(b as u32);
                    parents[b] = NONE;
                } else if parents[b] == NONE && walk(&parents, a) != b as u32 {
                    forest.link(a as u32, b as u32);
                    parents[b] = a as u32;
                }
                let node = random(40);
                assert_eq!(forest.root(node as u32), walk(&parents, node), "seed {seed}");
            }
        }
    }
}
