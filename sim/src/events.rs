//! From system calls to what happened to the store's folder.
//!
//! Descriptors are followed through open, duplicate and close. A descriptor is closed when the call
//! begins and opened when it returns, so that a number that another thread gets at once belongs to
//! the right file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::disk::{Change, Disk, Effect, Event, Inode, Node};
use crate::trace::Call;

/// A recording: the disk before it, and what happened.
#[derive(Clone)]
pub struct Recording {
    /// Everything durable, nothing pending; files that appear later are there, without a name.
    pub before: Disk,
    /// In order.
    pub events: Vec<Event>,
    /// What each node was called last, for people.
    pub names: BTreeMap<Node, String>,
}

/// Reads the calls of one process. `root` is the parent of the store's folder as the process named
/// it; `before` is what was in it.
///
/// # Errors
/// When a call cannot be followed.
pub fn read(calls: &[Call], root: &Path, before: Disk) -> Result<Recording> {
    let root = root.to_str().ok_or("the folder has a strange name")?.to_owned();
    let mut reader = Reader {
        root,
        names: names_of(&before),
        live: live_of(&before),
        nodes: before.nodes,
        descriptors: HashMap::new(),
        changes: 0,
        events: Vec::new(),
    };
    // Begin and end of every call, in the order of moments.
    let mut marks: Vec<(u64, bool, &Call)> = Vec::new();
    for call in calls.iter().filter(|call| call.has_effect()) {
        marks.push((call.start, false, call));
        marks.extend(call.end.map(|end| (end, true, call)));
    }
    marks.sort_by_key(|(moment, is_end, _)| (*moment, *is_end));
    for (_, is_end, call) in marks {
        let done = if is_end { reader.ended(call) } else { reader.began(call) };
        done.map_err(|error| format!("{} at {}: {error}", call.name, call.start))?;
    }
    let Reader { nodes, events, names, .. } = reader;
    Ok(Recording { before: Disk::new(nodes), events, names })
}

struct Reader {
    root: String,
    nodes: Vec<Inode>,
    names: BTreeMap<Node, String>,
    /// Folders as the process sees them: a node for each (folder, name).
    live: HashMap<(Node, String), Node>,
    descriptors: HashMap<i64, Descriptor>,
    changes: u64,
    events: Vec<Event>,
}

#[derive(Clone)]
struct Descriptor {
    node: Node,
    at: u64,
    appends: bool,
    /// Every write is durable when it returns.
    is_synced: bool,
}

impl Reader {
    fn began(&mut self, call: &Call) -> Result<()> {
        match call.name.as_str() {
            "close" => _ = call.number(0).and_then(|fd| self.descriptors.remove(&fd)),
            "open" | "openat" | "creat" => self.open_began(call)?,
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => self.write_began(call)?,
            "ftruncate" => {
                if let Some(node) = self.node_of(call) {
                    let length = unsigned(call.number(1))?;
                    self.change(call, Effect::Truncate(node, length));
                }
            }
            "fallocate" => self.allocate_began(call)?,
            "mkdir" | "mkdirat" => {
                let path = if call.name == "mkdir" { call.path(0) } else { call.path(1) };
                if let Some((folder, name)) = self.place(path) {
                    let empty = Inode::Folder { durable: BTreeMap::new(), pending: Vec::new() };
                    self.make(call, folder, &name, empty);
                }
            }
            "unlink" | "rmdir" => self.unlink(call, call.path(0)),
            "unlinkat" => self.unlink(call, call.path(1)),
            "rename" => self.rename(call, call.path(0), call.path(1))?,
            "renameat" | "renameat2" => self.rename(call, call.path(1), call.path(3))?,
            "link" | "linkat" | "truncate" | "copy_file_range" => {
                let paths = call.path(0).into_iter().chain(call.path(1));
                if paths.into_iter().any(|path| path.starts_with(&self.root)) {
                    return Err("this call is not understood yet".into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, call: &Call) -> Result<()> {
        match call.name.as_str() {
            "open" | "openat" | "creat" => self.open_ended(call),
            "dup" | "dup2" | "dup3" => self.duplicate(call),
            "fcntl" if call.has_flag(1, "F_DUPFD") || call.has_flag(1, "F_DUPFD_CLOEXEC") => {
                self.duplicate(call);
            }
            "lseek" => {
                let fd = call.number(0).unwrap_or(-1);
                if let Some(descriptor) = self.descriptors.get_mut(&fd) {
                    descriptor.at = unsigned(Some(call.result))?;
                }
            }
            "fsync" | "fdatasync" => {
                if let Some(node) = self.node_of(call) {
                    self.events.push(Event::Synced { node, since: call.start });
                }
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => {
                let synced = self.descriptor_of(call).filter(|d| d.is_synced).map(|d| d.node);
                if let Some(node) = synced {
                    self.events.push(Event::Synced { node, since: call.start + 1 });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn open_began(&mut self, call: &Call) -> Result<()> {
        let flags = if call.name == "openat" { 2 } else { 1 };
        let Some((folder, name)) = self.place(open_path(call)) else { return Ok(()) };
        if call.has_flag(flags, "O_TMPFILE") {
            return Err("files without a name are not understood yet".into());
        }
        let makes = call.name == "creat" || call.has_flag(flags, "O_CREAT");
        match self.live.get(&(folder, name.clone())) {
            None if makes => {
                let empty = Inode::File { durable: Vec::new(), pending: Vec::new() };
                self.make(call, folder, &name, empty);
            }
            Some(node) if call.name == "creat" || call.has_flag(flags, "O_TRUNC") => {
                let node = *node;
                self.change(call, Effect::Truncate(node, 0));
            }
            _ => {}
        }
        Ok(())
    }

    fn open_ended(&mut self, call: &Call) {
        let flags = if call.name == "openat" { 2 } else { 1 };
        let path = open_path(call);
        let node = match self.place(path) {
            Some((folder, name)) => self.live.get(&(folder, name)).copied(),
            None if path == Some(self.root.as_str()) => Some(0),
            None => None,
        };
        let Some(node) = node else {
            self.descriptors.remove(&call.result);
            return;
        };
        let has = |flag| call.has_flag(flags, flag);
        let descriptor = Descriptor {
            node,
            at: 0,
            appends: has("O_APPEND"),
            is_synced: has("O_SYNC") || has("O_DSYNC"),
        };
        self.descriptors.insert(call.result, descriptor);
    }

    fn write_began(&mut self, call: &Call) -> Result<()> {
        let data = call.bytes(1).ok_or("the data are missing")?;
        let written = match call.end {
            Some(_) => data.get(..usize::try_from(call.result)?).unwrap_or(data),
            None => data,
        };
        if call.number(0) == Some(1) && !self.descriptors.contains_key(&1) {
            self.events.push(Event::Said(String::from_utf8_lossy(written).into_owned()));
            return Ok(());
        }
        let Some(descriptor) = self.descriptor_of(call).cloned() else { return Ok(()) };
        let offset = match call.name.as_str() {
            "pwrite64" | "pwritev" | "pwritev2" => unsigned(call.number(3))?,
            _ if descriptor.appends => return Err("appending is not understood yet".into()),
            _ => descriptor.at,
        };
        if let "write" | "writev" = call.name.as_str()
            && let Some(descriptor) = call.number(0).and_then(|fd| self.descriptors.get_mut(&fd))
        {
            descriptor.at += written.len() as u64;
        }
        self.change(call, Effect::Write(descriptor.node, offset, Arc::from(written)));
        Ok(())
    }

    fn allocate_began(&mut self, call: &Call) -> Result<()> {
        let Some(node) = self.node_of(call) else { return Ok(()) };
        match call.arguments.get(1) {
            Some(crate::trace::Argument::Number(0)) => {
                let end = unsigned(call.number(2))? + unsigned(call.number(3))?;
                self.change(call, Effect::Allocate(node, end));
                Ok(())
            }
            // Space behind the end of the file: nothing that can be read changes.
            _ if call.has_flag(1, "FALLOC_FL_KEEP_SIZE") && !call.has_flag(1, PUNCH) => Ok(()),
            _ => Err("this way to allocate is not understood yet".into()),
        }
    }

    fn unlink(&mut self, call: &Call, path: Option<&str>) {
        if let Some((folder, name)) = self.place(path)
            && self.live.remove(&(folder, name.clone())).is_some()
        {
            self.change(call, Effect::Unlink(folder, name));
        }
    }

    fn rename(&mut self, call: &Call, from: Option<&str>, to: Option<&str>) -> Result<()> {
        let (from, to) = match (self.place(from), self.place(to)) {
            (Some(from), Some(to)) => (from, to),
            (None, None) => return Ok(()),
            _ => return Err("a name came from or went elsewhere".into()),
        };
        let node = self.live.remove(&from).ok_or("an unknown name was changed")?;
        self.live.insert(to.clone(), node);
        self.names.insert(node, to.1.clone());
        if from.0 == to.0 {
            self.change(call, Effect::Rename(from.0, from.1, to.1, node));
        } else {
            self.change(call, Effect::Link(to.0, to.1, node));
            self.change(call, Effect::Unlink(from.0, from.1));
        }
        Ok(())
    }

    fn make(&mut self, call: &Call, folder: Node, name: &str, inode: Inode) {
        let node = self.nodes.len();
        self.nodes.push(inode);
        self.names.insert(node, name.to_owned());
        self.live.insert((folder, name.to_owned()), node);
        self.change(call, Effect::Link(folder, name.to_owned(), node));
    }

    fn change(&mut self, call: &Call, effect: Effect) {
        // The index of the database's log is memory of the running process that happens to have a
        // name: it is mapped, so writes to it are not seen, and it is made again at every start.
        let is_memory = |node: &Node| self.names.get(node).is_some_and(|n| n.ends_with("-shm"));
        if match &effect {
            Effect::Link(_, _, node) => is_memory(node),
            Effect::Unlink(_, name) => name.ends_with("-shm"),
            other => is_memory(&other.node()),
        } {
            return;
        }
        self.changes += 1;
        let end = call.end.unwrap_or(u64::MAX);
        self.events.push(Event::Began(Change { number: self.changes, end, effect }));
    }

    fn duplicate(&mut self, call: &Call) {
        let old = call.number(0).unwrap_or(-1);
        match self.descriptors.get(&old).cloned() {
            Some(descriptor) => _ = self.descriptors.insert(call.result, descriptor),
            None => _ = self.descriptors.remove(&call.result),
        }
    }

    fn descriptor_of(&self, call: &Call) -> Option<&Descriptor> {
        self.descriptors.get(&call.number(0)?)
    }

    fn node_of(&self, call: &Call) -> Option<Node> {
        Some(self.descriptor_of(call)?.node)
    }

    /// The folder and the name of a path below the root; `None` if it is elsewhere.
    fn place(&self, path: Option<&str>) -> Option<(Node, String)> {
        let below = path?.strip_prefix(self.root.as_str())?.strip_prefix('/')?;
        let mut folder = 0;
        let mut names = below.split('/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return Some((folder, name.to_owned()));
            }
            folder = *self.live.get(&(folder, name.to_owned()))?;
        }
        None
    }
}

fn open_path(call: &Call) -> Option<&str> {
    if call.name == "openat" { call.path(1) } else { call.path(0) }
}

fn unsigned(number: Option<i64>) -> Result<u64> {
    Ok(u64::try_from(number.ok_or("a number is missing")?)?)
}

fn live_of(disk: &Disk) -> HashMap<(Node, String), Node> {
    let mut live = HashMap::new();
    for (folder, inode) in disk.nodes.iter().enumerate() {
        if let Inode::Folder { durable, .. } = inode {
            live.extend(durable.iter().map(|(name, node)| ((folder, name.clone()), *node)));
        }
    }
    live
}

fn names_of(disk: &Disk) -> BTreeMap<Node, String> {
    live_of(disk).into_iter().map(|((_, name), node)| (node, name)).collect()
}

const PUNCH: &str = "FALLOC_FL_PUNCH_HOLE";

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(lines: &[&str]) -> Recording {
        let text = lines.iter().map(|line| format!("7 {line}\n")).collect::<String>();
        let calls = crate::trace::read(text.as_bytes()).unwrap();
        let root = Inode::Folder { durable: BTreeMap::new(), pending: Vec::new() };
        read(&calls, Path::new("/r"), Disk::new(vec![root])).unwrap()
    }

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    #[test]
    fn writes_go_to_the_file_that_the_descriptor_meant_at_that_time() {
        let open =
            |name: &str| format!(r#"openat(AT_FDCWD, "{}", O_RDWR|O_CREAT, 0600) = 3"#, hex(name));
        let recording = recorded(&[
            &open("/r/a"),
            r#"pwrite64(3, "\x61", 1, 0) = 1"#,
            "close(3) = 0",
            &open("/elsewhere"),
            r#"pwrite64(3, "\x61", 1, 0) = 1"#,
            "close(3) = 0",
            &open("/r/b"),
            r#"write(3, "\x61\x62", 2) = 2"#,
            r#"write(3, "\x63", 1) = 1"#,
            "fdatasync(3) = 0",
        ]);
        let shown: Vec<String> =
            recording.events.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(shown.len(), 6, "{shown:#?}");
        assert!(shown[1].contains("Write(1, 0, [97])"), "{}", shown[1]);
        assert!(shown[4].contains("Write(2, 2, [99])"), "{}", shown[4]);
        assert!(shown[5].contains("node: 2"), "{}", shown[5]);
    }

    #[test]
    fn failed_calls_change_nothing() {
        let recording = recorded(&[
            &format!(r#"mkdir("{}", 0700) = 0"#, hex("/r/d")),
            &format!(r#"unlink("{}") = -1 EIO (Input/output error)"#, hex("/r/d/x")),
            &format!(r#"openat(AT_FDCWD, "{}", O_RDONLY|O_CREAT) = -1 EIO (x)"#, hex("/r/d/x")),
        ]);
        assert_eq!(recording.events.len(), 1);
    }
}
