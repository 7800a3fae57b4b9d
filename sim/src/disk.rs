//! A disk that forgets what was not synced.
//!
//! A file is its durable bytes and the changes since, a folder its durable entries and the changes
//! since. A sync makes durable what had returned before the sync began; a change that was under
//! way beside it stays in doubt. A name is durable only once its folder was synced, whatever was
//! done to the file: that is all that POSIX promises.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A file or folder, whatever its name.
pub type Node = usize;

/// One change, numbered in the order in which changes began.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number.
    pub number: u64,
    /// The moment at which it had returned.
    pub end: u64,
    /// What it did.
    pub effect: Effect,
}

/// What a change does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Writes bytes at an offset.
    Write(Node, u64, Arc<[u8]>),
    /// Cuts or lengthens a file.
    Truncate(Node, u64),
    /// Lengthens a file at least to this.
    Allocate(Node, u64),
    /// Makes a name for a node in a folder.
    Link(Node, String, Node),
    /// Takes a name out of a folder.
    Unlink(Node, String),
    /// Gives a node another name in its folder.
    Rename(Node, String, String, Node),
}

/// What happened, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A change began: it may have happened from now on.
    Began(Change),
    /// A sync returned: what had returned before the moment `since` is durable.
    Synced {
        /// Which file or folder.
        node: Node,
        /// When the sync began.
        since: u64,
    },
    /// A line went to standard output.
    Said(String),
}

/// Durable content and what came after.
#[derive(Clone, Debug)]
pub enum Inode {
    /// A file.
    File {
        /// Its bytes.
        durable: Vec<u8>,
        /// Changes that no sync has covered.
        pending: Vec<Change>,
    },
    /// A folder.
    Folder {
        /// Its names.
        durable: BTreeMap<String, Node>,
        /// Changes that no sync has covered.
        pending: Vec<Change>,
    },
}

/// All files and folders, those without a name too. The first one is the root, which is always
/// there: it is the folder that holds the store's.
#[derive(Clone, Debug)]
pub struct Disk {
    /// By number.
    pub nodes: Vec<Inode>,
    /// How often each node's durable content has changed: with the pending changes that an image
    /// takes, it says what is in the image.
    pub versions: Vec<u64>,
}

impl Disk {
    /// A disk with these nodes.
    pub fn new(nodes: Vec<Inode>) -> Self {
        let versions = vec![0; nodes.len()];
        Self { nodes, versions }
    }

    /// Lets an event happen. `Said` changes nothing.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Began(change) => self.begin(change),
            Event::Synced { node, since } => self.sync(*node, *since),
            Event::Said(_) => {}
        }
    }

    fn begin(&mut self, change: &Change) {
        if let Some(Inode::File { pending, .. } | Inode::Folder { pending, .. }) =
            self.nodes.get_mut(change.effect.node())
        {
            pending.push(change.clone());
        }
    }

    fn sync(&mut self, node: Node, since: u64) {
        let Some(inode) = self.nodes.get_mut(node) else { return };
        let mut covered = 0;
        match inode {
            Inode::File { durable, pending } => pending.retain(|change| {
                let is_covered = change.end < since;
                if is_covered {
                    change.effect.write_to(durable);
                    covered += 1;
                }
                !is_covered
            }),
            Inode::Folder { durable, pending } => pending.retain(|change| {
                let is_covered = change.end < since;
                if is_covered {
                    change.effect.enter_in(durable);
                    covered += 1;
                }
                !is_covered
            }),
        }
        if let Some(version) = self.versions.get_mut(node) {
            *version += covered;
        }
    }
}

impl Effect {
    /// The file or folder that changes.
    pub fn node(&self) -> Node {
        match self {
            Self::Write(node, ..)
            | Self::Truncate(node, _)
            | Self::Allocate(node, _)
            | Self::Link(node, ..)
            | Self::Unlink(node, _)
            | Self::Rename(node, ..) => *node,
        }
    }

    /// Does to a file what the change did.
    pub fn write_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(_, offset, data) => put(bytes, *offset, data),
            Self::Truncate(_, length) => bytes.resize(index(*length), 0),
            Self::Allocate(_, length) => bytes.resize(bytes.len().max(index(*length)), 0),
            Self::Link(..) | Self::Unlink(..) | Self::Rename(..) => {}
        }
    }

    /// Does to a folder what the change did.
    pub fn enter_in(&self, entries: &mut BTreeMap<String, Node>) {
        match self {
            Self::Link(_, name, node) => _ = entries.insert(name.clone(), *node),
            Self::Unlink(_, name) => _ = entries.remove(name),
            Self::Rename(_, from, to, node) => {
                entries.remove(from);
                entries.insert(to.clone(), *node);
            }
            Self::Write(..) | Self::Truncate(..) | Self::Allocate(..) => {}
        }
    }
}

/// Writes into a file, which grows with zeros where it is too short.
pub fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (from, to) = (index(offset), index(offset) + data.len());
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    if let Some(place) = bytes.get_mut(from..to) {
        place.copy_from_slice(data);
    }
}

/// An offset within what fits into memory.
pub fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(number: u64, end: u64, offset: u64, data: &[u8]) -> Event {
        Event::Began(Change { number, end, effect: Effect::Write(1, offset, data.into()) })
    }

    fn file(disk: &Disk) -> (&[u8], usize) {
        let Inode::File { durable, pending } = &disk.nodes[1] else { panic!("no file") };
        (durable, pending.len())
    }

    #[test]
    fn a_sync_covers_only_what_had_returned_when_it_began() {
        let root = Inode::Folder { durable: BTreeMap::new(), pending: Vec::new() };
        let empty = Inode::File { durable: Vec::new(), pending: Vec::new() };
        let mut disk = Disk::new(vec![root, empty]);
        disk.apply(&write(1, 1, 0, b"abc"));
        disk.apply(&write(2, 4, 3, b"def"));
        disk.apply(&Event::Synced { node: 1, since: 3 });
        assert_eq!(file(&disk), (&b"abc"[..], 1));
        disk.apply(&Event::Synced { node: 1, since: 5 });
        assert_eq!(file(&disk), (&b"abcdef"[..], 0));
    }

    #[test]
    fn a_name_is_durable_once_its_folder_was_synced() {
        let root = Inode::Folder { durable: BTreeMap::new(), pending: Vec::new() };
        let mut disk = Disk::new(vec![root]);
        let rename = Effect::Rename(0, "new".into(), "name".into(), 7);
        let link = Effect::Link(0, "new".into(), 7);
        disk.apply(&Event::Began(Change { number: 1, end: 1, effect: link }));
        disk.apply(&Event::Began(Change { number: 2, end: 2, effect: rename }));
        let names = |disk: &Disk| match &disk.nodes[0] {
            Inode::Folder { durable, .. } => durable.keys().cloned().collect::<Vec<_>>(),
            Inode::File { .. } => panic!("no folder"),
        };
        assert!(names(&disk).is_empty());
        disk.apply(&Event::Synced { node: 0, since: 3 });
        assert_eq!(names(&disk), ["name"]);
    }
}
