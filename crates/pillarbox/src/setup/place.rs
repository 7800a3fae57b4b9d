//! Puts files and folders in their places, all of them or none.
//!
//! Everything that is made is remembered with how to take it away again; unless [`Placing::keep`]
//! is called, that is done, last things first. What was there before is never changed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Things that were made, and can be taken away again.
pub struct Placing<'s> {
    before: &'s mut (dyn FnMut(&str) -> io::Result<()> + Send),
    undo: Vec<Undo>,
}

enum Undo {
    /// An empty folder that we made.
    Folder(PathBuf),
    /// A folder with all that is in it.
    Tree(PathBuf),
    /// A file.
    File(PathBuf),
    /// An empty folder that we put another in the place of.
    Empty(PathBuf),
}

impl<'s> Placing<'s> {
    /// Begins. `before` is called with the name of each step before it is done, and can stop it.
    pub fn new(before: &'s mut (dyn FnMut(&str) -> io::Result<()> + Send)) -> Self {
        Self { before, undo: Vec::new() }
    }

    /// Names a step that somebody else does.
    ///
    /// # Errors
    /// When it shall not be done.
    pub fn step(&mut self, what: &str) -> io::Result<()> {
        (self.before)(what)
    }

    /// Makes a folder and those above it, where they are missing.
    ///
    /// # Errors
    /// As the system.
    pub fn folder(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.folder(above, FOLDER_MODE)?;
        }
        (self.before)("make a folder")?;
        DirBuilder::new().mode(mode).create(path)?;
        self.undo.push(Undo::Folder(path.to_owned()));
        Ok(())
    }

    /// Makes a private folder to prepare something in, and removes one that an interrupted run left
    /// there.
    ///
    /// # Errors
    /// As the system.
    pub fn stage(&mut self, path: &Path) -> io::Result<()> {
        (self.before)("make a folder to prepare things in")?;
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(PRIVATE_FOLDER_MODE).create(path)?;
        self.undo.push(Undo::Tree(path.to_owned()));
        Ok(())
    }

    /// Writes a file that is not there yet, whole or not at all.
    ///
    /// # Errors
    /// As the system; also when there is such a file.
    pub fn file(&mut self, path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
        (self.before)("write a file")?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(DRAFT_ENDING);
        let draft = path.with_file_name(name);
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        self.undo.push(Undo::File(draft.clone()));
        file.write_all(text)?;
        file.sync_all()?;
        (self.before)("put a file in its place")?;
        // A link is not made where there is something, as a renaming would.
        fs::hard_link(&draft, path)?;
        self.undo.push(Undo::File(path.to_owned()));
        fs::remove_file(&draft)?;
        sync_folder_of(path)
    }

    /// Puts a folder that was prepared in the place of one that is missing or empty.
    ///
    /// # Errors
    /// As the system; also when there is something in that place.
    pub fn adopt(&mut self, prepared: &Path, path: &Path) -> io::Result<()> {
        (self.before)("put a folder in its place")?;
        let was_there = path.is_dir();
        fs::rename(prepared, path)?;
        if was_there {
            self.undo.push(Undo::Empty(path.to_owned()));
        }
        self.undo.push(Undo::Tree(path.to_owned()));
        sync_folder_of(path)
    }

    /// Everything stays.
    pub fn keep(mut self) {
        self.undo.clear();
    }
}

impl Drop for Placing<'_> {
    fn drop(&mut self) {
        for undo in self.undo.drain(..).rev() {
            // What cannot be taken away is not there any more, or cannot be helped.
            let _ = match undo {
                Undo::Folder(path) => fs::remove_dir(path),
                Undo::Tree(path) => fs::remove_dir_all(path),
                Undo::File(path) => fs::remove_file(path),
                Undo::Empty(path) => fs::create_dir(path),
            };
        }
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Others may look into it.
const FOLDER_MODE: u32 = 0o755;

/// Nobody else may.
const PRIVATE_FOLDER_MODE: u32 = 0o700;

/// A file that is being written is called so until it is whole.
const DRAFT_ENDING: &str = ".pillarbox-new";

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything below a folder.
    fn tree(folder: &Path) -> Vec<String> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            all.push(path.display().to_string());
            if path.is_dir() {
                all.extend(tree(&path));
            }
        }
        all.sort();
        all
    }

    fn place(root: &Path, placing: &mut Placing<'_>) -> io::Result<()> {
        placing.folder(&root.join("etc/deep/er"), 0o755)?;
        placing.stage(&root.join(".prepared"))?;
        fs::write(root.join(".prepared/key"), "secret")?;
        placing.file(&root.join("etc/deep/er/c.toml"), b"text", 0o644)?;
        placing.adopt(&root.join(".prepared"), &root.join("data"))?;
        placing.step("the last")
    }

    #[test]
    fn whichever_step_fails_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        // One was there before, empty.
        fs::create_dir(root.join("data")).unwrap();
        let before = tree(root);
        let mut failures = 0;
        for fails_at in 0.. {
            let mut step = 0;
            let mut fail = |_: &str| {
                step += 1;
                if step > fails_at { Err(io::Error::other("full")) } else { Ok(()) }
            };
            let mut placing = Placing::new(&mut fail);
            let placed = place(root, &mut placing);
            if placed.is_ok() {
                placing.keep();
                break;
            }
            drop(placing);
            failures += 1;
            assert_eq!(tree(root), before, "failed at step {fails_at}");
        }
        assert_eq!(failures, 8);
        let names = ["data", "data/key", "etc", "etc/deep", "etc/deep/er", "etc/deep/er/c.toml"];
        let expected: Vec<_> = names.map(|name| root.join(name).display().to_string()).into();
        assert_eq!(tree(root), expected);
    }

    #[test]
    fn what_is_there_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        fs::write(&file, "theirs").unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("data/mail"), "theirs").unwrap();
        let before = tree(folder.path());
        let mut nothing = |_: &str| Ok(());
        let mut placing = Placing::new(&mut nothing);
        assert!(placing.file(&file, b"ours", 0o644).is_err());
        placing.stage(&folder.path().join(".prepared")).unwrap();
        let prepared = folder.path().join(".prepared");
        assert!(placing.adopt(&prepared, &folder.path().join("data")).is_err());
        drop(placing);
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
        assert_eq!(tree(folder.path()), before);
    }

    #[test]
    fn what_an_interrupted_run_left_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let prepared = folder.path().join(".prepared");
        fs::create_dir(&prepared).unwrap();
        fs::write(prepared.join("half"), "").unwrap();
        fs::write(folder.path().join("c.toml.pillarbox-new"), "half").unwrap();
        let mut nothing = |_: &str| Ok(());
        let mut placing = Placing::new(&mut nothing);
        placing.stage(&prepared).unwrap();
        placing.file(&folder.path().join("c.toml"), b"whole", 0o644).unwrap();
        assert!(tree(&prepared).is_empty());
        placing.keep();
        assert_eq!(fs::read_to_string(folder.path().join("c.toml")).unwrap(), "whole");
        assert!(!folder.path().join("c.toml.pillarbox-new").exists());
    }
}
