//! What a disk may hold after a crash, and writing it to a folder.
//!
//! The durable part is always there. Of what was not synced, a variant says what arrived: nothing,
//! everything, or a part that dice choose: some writes and not others, in any order across files,
//! torn into sectors or pages; a name without its file's bytes, bytes without their name, a size
//! without the data and data without the size.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::dice::Dice;
use crate::disk::{Change, Disk, Effect, Inode, Node, index, put};

/// Which part of the unsynced changes arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// 0: nothing; 1: everything; others: what dice choose.
    pub number: u32,
    /// Of the dice.
    pub seed: u64,
}

/// Files and folders as a crash left them.
pub struct Image {
    /// Paths below the root, folders before what they hold; `None` is a folder.
    pub entries: Vec<(String, Option<Vec<u8>>)>,
    /// Two images with equal keys are equal.
    pub key: [u8; 32],
}

/// Puts together what a variant says.
pub fn compose(disk: &Disk, variant: Variant) -> Image {
    let dice = Dice::of(&[variant.seed, u64::from(variant.number)]);
    let mut composer = Composer {
        disk,
        style: Style::of(variant, &dice),
        dice,
        image: Image { entries: Vec::new(), key: [0; 32] },
        key: blake3::Hasher::new(),
    };
    composer.folder(0, "", 0);
    composer.image.key = *composer.key.finalize().as_bytes();
    composer.image
}

/// What kind of loss a variant is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Nothing unsynced arrived.
    Nothing,
    /// Everything did.
    Everything,
    /// Some of the writes, whole or torn at pieces of this many bytes.
    Torn(u64),
    /// Names, sizes and zeros.
    Strange(u64),
}

impl Style {
    fn of(variant: Variant, dice: &Dice) -> Self {
        let piece = if dice.one_in(2) { 512 } else { 4096 };
        match variant.number {
            0 => Self::Nothing,
            1 => Self::Everything,
            number if number % 2 == 0 => Self::Torn(piece),
            _ => Self::Strange(piece),
        }
    }
}

struct Composer<'a> {
    disk: &'a Disk,
    style: Style,
    dice: Dice,
    image: Image,
    key: blake3::Hasher,
}

impl Composer<'_> {
    fn folder(&mut self, node: Node, path: &str, depth: usize) {
        let Some(Inode::Folder { durable, pending }) = self.disk.nodes.get(node) else { return };
        self.note(node);
        let mut entries: BTreeMap<String, Node> = durable.clone();
        let limit = self.prefix(pending.len());
        for (at, change) in pending.iter().enumerate() {
            let arrives = match self.style {
                Style::Nothing => false,
                Style::Everything => true,
                Style::Torn(_) => at < limit,
                Style::Strange(_) => self.dice.one_in(2),
            };
            if arrives {
                self.note_change(change.number, u64::MAX);
                change.effect.enter_in(&mut entries);
            }
        }
        if depth >= DEPTH_MAX {
            return;
        }
        for (name, node) in entries {
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            match self.disk.nodes.get(node) {
                Some(Inode::Folder { .. }) => {
                    self.image.entries.push((path.clone(), None));
                    self.folder(node, &path, depth + 1);
                }
                Some(Inode::File { durable, pending }) => {
                    self.note(node);
                    let bytes = self.file(durable, pending);
                    self.image.entries.push((path, Some(bytes)));
                }
                None => {}
            }
        }
    }

    fn file(&mut self, durable: &[u8], pending: &[Change]) -> Vec<u8> {
        let mut bytes = durable.to_vec();
        if pending.is_empty() {
            return bytes;
        }
        match self.style {
            Style::Nothing => {}
            Style::Everything => self.all(&mut bytes, pending, pending.len()),
            Style::Torn(piece) => match self.dice.below(6) {
                0 => {}
                1 => self.all(&mut bytes, pending, pending.len()),
                2 => {
                    let limit = self.prefix(pending.len());
                    self.all(&mut bytes, pending, limit);
                }
                3 => self.some(&mut bytes, pending, None),
                _ => self.some(&mut bytes, pending, Some(piece)),
            },
            Style::Strange(piece) => match self.dice.below(4) {
                // Everything but the new size.
                0 => {
                    self.all(&mut bytes, pending, pending.len());
                    self.note_change(0, durable.len() as u64);
                    bytes.truncate(durable.len());
                }
                // The new size and no data.
                1 => {
                    let mut whole = durable.to_vec();
                    pending.iter().for_each(|change| change.effect.write_to(&mut whole));
                    self.note_change(0, whole.len() as u64 | 1 << 62);
                    bytes.resize(whole.len(), 0);
                }
                // Zeros here and there in what was written.
                2 => self.zeroed(&mut bytes, pending, piece),
                _ => self.some(&mut bytes, pending, Some(piece)),
            },
        }
        bytes
    }

    /// The first changes in their order.
    fn all(&mut self, bytes: &mut Vec<u8>, pending: &[Change], limit: usize) {
        for change in pending.iter().take(limit) {
            self.note_change(change.number, u64::MAX);
            change.effect.write_to(bytes);
        }
    }

    /// Some changes; writes perhaps in pieces. An older piece may win over a newer one.
    fn some(&mut self, bytes: &mut Vec<u8>, pending: &[Change], piece: Option<u64>) {
        for change in pending {
            match (&change.effect, piece) {
                (Effect::Write(_, offset, data), Some(piece)) => {
                    for (at, part) in pieces(*offset, data, piece) {
                        if self.dice.one_in(2) {
                            self.note_change(change.number, at);
                            put(bytes, at, part);
                        }
                    }
                }
                (effect, _) if self.dice.one_in(2) => {
                    self.note_change(change.number, u64::MAX);
                    effect.write_to(bytes);
                }
                _ => {}
            }
        }
    }

    /// All changes, but some pieces of what they wrote are zeros.
    fn zeroed(&mut self, bytes: &mut Vec<u8>, pending: &[Change], piece: u64) {
        for change in pending {
            change.effect.write_to(bytes);
            self.note_change(change.number, u64::MAX);
            let Effect::Write(_, offset, data) = &change.effect else { continue };
            for (at, part) in pieces(*offset, data, piece) {
                if self.dice.one_in(3) {
                    self.note_change(change.number, at | 1 << 62);
                    put(bytes, at, &vec![0; part.len()]);
                }
            }
        }
    }

    fn prefix(&self, count: usize) -> usize {
        index(self.dice.below(count as u64 + 1))
    }

    fn note(&mut self, node: Node) {
        let version = self.disk.versions.get(node).copied().unwrap_or(0);
        self.note_change(node as u64 | 1 << 63, version);
    }

    fn note_change(&mut self, number: u64, part: u64) {
        self.key.update(&number.to_le_bytes());
        self.key.update(&part.to_le_bytes());
    }
}

/// Cuts a write where a disk may cut it: at multiples of `piece` of the file.
fn pieces(offset: u64, data: &[u8], piece: u64) -> Vec<(u64, &[u8])> {
    let mut parts = Vec::new();
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        let length = index(piece - at % piece).min(rest.len());
        let (part, after) = rest.split_at(length);
        parts.push((at, part));
        at += length as u64;
        rest = after;
    }
    parts
}

impl Image {
    /// Writes it to an empty folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        for (path, bytes) in &self.entries {
            let path = root.join(path);
            match bytes {
                None => fs::create_dir(path)?,
                Some(bytes) => write_file(&path, bytes)?,
            }
        }
        Ok(())
    }
}

/// Leaves holes where nothing but zeros are: files may be long and empty.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = fs::File::create(path)?;
    file.set_len(bytes.len() as u64)?;
    let mut at = 0;
    for part in bytes.chunks(HOLE_BYTES) {
        if part.iter().any(|byte| *byte != 0) {
            file.write_all_at(part, at)?;
        }
        at += part.len() as u64;
    }
    Ok(())
}

/// Reads a folder as a disk on which everything is durable.
///
/// # Errors
/// What the system says.
pub fn read_folder(root: &Path) -> io::Result<Disk> {
    let mut nodes = Vec::new();
    read_node(root, &mut nodes)?;
    Ok(Disk::new(nodes))
}

fn read_node(path: &Path, nodes: &mut Vec<Inode>) -> io::Result<Node> {
    let number = nodes.len();
    if !path.is_dir() {
        nodes.push(Inode::File { durable: fs::read(path)?, pending: Vec::new() });
        return Ok(number);
    }
    nodes.push(Inode::Folder { durable: BTreeMap::new(), pending: Vec::new() });
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with("-shm") {
            entries.insert(name, read_node(&entry.path(), nodes)?);
        }
    }
    if let Some(Inode::Folder { durable, .. }) = nodes.get_mut(number) {
        *durable = entries;
    }
    Ok(number)
}

/// Deeper than any store.
const DEPTH_MAX: usize = 8;

const HOLE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Disk {
        let entries = BTreeMap::from([("f".to_owned(), 1)]);
        let root = Inode::Folder { durable: entries, pending: Vec::new() };
        let data: Vec<u8> = (0..3000_u32).map(|n| (n % 251) as u8 + 1).collect();
        let effect = Effect::Write(1, 100, data.into());
        let pending = vec![Change { number: 1, end: 1, effect }];
        let file = Inode::File { durable: vec![b'x'; 200], pending };
        Disk::new(vec![root, file])
    }

    fn bytes(disk: &Disk, variant: Variant) -> Vec<u8> {
        compose(disk, variant).entries[0].1.clone().unwrap()
    }

    #[test]
    fn nothing_and_everything_are_what_they_say() {
        let disk = disk();
        assert_eq!(bytes(&disk, Variant { number: 0, seed: 1 }), vec![b'x'; 200]);
        let whole = bytes(&disk, Variant { number: 1, seed: 1 });
        assert_eq!((whole.len(), &whole[..2], whole[100]), (3100, &b"xx"[..], 1));
    }

    #[test]
    fn torn_writes_mix_old_and_new_sectors_and_come_again_for_the_same_seed() {
        let disk = disk();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let variant = Variant { number: 2, seed };
            let torn = bytes(&disk, variant);
            assert_eq!(torn, bytes(&disk, variant), "seed {seed}");
            assert_eq!(torn[..100], [b'x'; 100], "seed {seed}");
            seen.insert(torn);
        }
        assert!(seen.len() > 15, "{} different images", seen.len());
    }

    #[test]
    fn equal_keys_are_equal_images() {
        let disk = disk();
        let mut images = BTreeMap::new();
        for number in 0..8 {
            for seed in 0..40 {
                let image = compose(&disk, Variant { number, seed });
                let before = images.insert(image.key, image.entries.clone());
                assert!(before.is_none_or(|before| before == image.entries));
            }
        }
    }
}
