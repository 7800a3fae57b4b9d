//! Copies of a store's folder, and ways to damage one.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Splitmix64: every case can be repeated alone.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, case: u64) -> Self {
        Self(seed ^ case.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// The files of a folder.
pub struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Image {
    /// The files of a folder that may be in use, as a kill would leave them: it is read again until
    /// nothing changed meanwhile.
    pub fn of(folder: &Path) -> Self {
        loop {
            let (first, second) = (read_folder(folder), read_folder(folder));
            if first == second {
                return Self { files: first };
            }
        }
    }

    /// Makes `work` the same as this; with `is_same` only what was changed since is written.
    pub fn restore(&self, work: &Path, is_same: bool) {
        if !is_same {
            let _ = fs::remove_dir_all(work);
        }
        fs::create_dir_all(work).unwrap();
        let marks = work.with_extension("marks");
        let known = if is_same { read_marks(&marks) } else { BTreeMap::new() };
        for (path, _) in walk(work) {
            if !self.files.contains_key(&path) {
                fs::remove_file(work.join(&path)).unwrap();
            }
        }
        let mut new = String::new();
        for (path, bytes) in &self.files {
            let full = work.join(path);
            if mark(&full).is_none_or(|mark| known.get(path) != Some(&mark)) {
                fs::create_dir_all(full.parent().unwrap()).unwrap();
                fs::write(&full, bytes).unwrap();
            }
            new += &format!("{}\t{}\n", path.display(), mark(&full).unwrap());
        }
        fs::write(marks, new).unwrap();
    }
}

fn read_folder(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walk(folder).map(|(path, full)| (path, fs::read(full).unwrap_or_default())).collect()
}

/// All files below a folder: their paths in it, and whole. Sockets are left out.
fn walk(folder: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> + use<> {
    let (mut open, mut all) = (vec![folder.to_owned()], Vec::new());
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() {
                all.push((path.strip_prefix(folder).unwrap().to_owned(), path));
            }
        }
    }
    all.into_iter()
}

/// What changes whenever a file is written.
fn mark(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    Some(format!("{} {} {} {}", about.len(), about.mtime(), about.mtime_nsec(), about.ino()))
}

fn read_marks(path: &Path) -> BTreeMap<PathBuf, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let split = text.lines().filter_map(|line| line.split_once('\t'));
    split.map(|(path, mark)| (path.into(), mark.to_owned())).collect()
}

/// One place that is damaged.
pub struct Damage {
    file: PathBuf,
    what: What,
}

enum What {
    Flip { at: u64, bit: u8 },
    Zero { at: u64, bytes: u64 },
    Swap { one: u64, other: u64, bytes: u64 },
    Truncate { to: u64 },
}

impl Damage {
    /// Any kind of damage in any kind of file, at a place that holds something.
    pub fn choose(image: &Image, dice: &mut Dice) -> Self {
        let mut kinds: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
        for (path, bytes) in &image.files {
            if !bytes.is_empty() {
                kinds.entry(kind_of(path)).or_default().push(path);
            }
        }
        // Mostly where mail is; now and then in what is only there beside it.
        let is_beside =
            |kind: &str| ["lock", "-shm", "reserve"].iter().any(|end| kind.ends_with(end));
        let beside = dice.below(12) == 0;
        if kinds.keys().any(|kind| is_beside(kind) == beside) {
            kinds.retain(|kind, _| is_beside(kind) == beside);
        }
        let place = dice.below(kinds.len() as u64) as usize;
        let files = kinds.values().nth(place).unwrap();
        let file = files[dice.below(files.len() as u64) as usize];
        let bytes = &image.files[file];
        Self { file: file.clone(), what: What::choose(bytes, dice) }
    }

    /// Kind of file and kind of damage.
    pub fn kind(&self) -> String {
        let what = match self.what {
            What::Flip { .. } => "a bit flipped",
            What::Zero { .. } => "zeros",
            What::Swap { .. } => "pages swapped",
            What::Truncate { .. } => "cut off",
        };
        format!("{}: {what}", kind_of(&self.file))
    }

    pub fn apply(&self, folder: &Path) {
        let path = folder.join(&self.file);
        let mut bytes = fs::read(&path).unwrap();
        self.what.apply(&mut bytes);
        fs::write(&path, bytes).unwrap();
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.what {
            What::Flip { at, bit } => write!(f, "{file}: bit {bit} of byte {at} flipped"),
            What::Zero { at, bytes } => write!(f, "{file}: {bytes} zeros at {at}"),
            What::Swap { one, other, bytes } => {
                write!(f, "{file}: {bytes} bytes at {one} and {other} swapped")
            }
            What::Truncate { to } => write!(f, "{file}: cut off at {to}"),
        }
    }
}

impl What {
    fn choose(bytes: &[u8], dice: &mut Dice) -> Self {
        let size = bytes.len() as u64;
        // A flip or a swap among zeros that nobody wrote shows nothing.
        let held = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last as u64 + 1);
        match dice.below(10) {
            0..4 => Self::Flip { at: dice.below(held), bit: dice.below(8) as u8 },
            4..6 => {
                let block = [512, 4096, 8192][dice.below(3) as usize];
                let at = dice.below(held.div_ceil(block)) * block;
                Self::Zero { at, bytes: block.min(size - at) }
            }
            6..8 if held > 2 * 4096 => {
                let block = if held > 2 * 8192 && dice.below(2) == 0 { 8192 } else { 4096 };
                let blocks = held / block;
                let one = dice.below(blocks);
                let other = (one + 1 + dice.below(blocks - 1)) % blocks;
                Self::Swap { one: one * block, other: other * block, bytes: block }
            }
            6..8 => Self::Flip { at: dice.below(held), bit: dice.below(8) as u8 },
            _ if dice.below(2) == 0 => Self::Truncate { to: dice.below(held) },
            _ => Self::Truncate { to: dice.below(held.div_ceil(4096)) * 4096 },
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match *self {
            Self::Flip { at, bit } => bytes[at as usize] ^= 1 << bit,
            Self::Zero { at, bytes: count } => bytes[at as usize..(at + count) as usize].fill(0),
            Self::Swap { one, other, bytes: count } => {
                for offset in 0..count {
                    bytes.swap((one + offset) as usize, (other + offset) as usize);
                }
            }
            Self::Truncate { to } => bytes.truncate(to as usize),
        }
    }
}

/// What a file is for: its name without numbers.
fn kind_of(path: &Path) -> String {
    let mut kind: String = path.to_string_lossy().into_owned();
    if let Some((folder, name)) = kind.rsplit_once('/') {
        let extension = Path::new(name).extension().map(|e| e.to_string_lossy().into_owned());
        kind = format!("{folder}/*.{}", extension.unwrap_or_default());
    }
    kind
}
