//! The command line: names that begin with `--`, most of them with a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Result;
use crate::workload::{Disk, Plan};

/// What was given.
pub struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Reads the words behind the command.
    ///
    /// # Errors
    /// When a value is missing.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut given = BTreeMap::new();
        while let Some(name) = words.next() {
            if !name.starts_with("--") {
                return Err(format!("{name} is not an option").into());
            }
            let value =
                if FLAGS.contains(&name.as_str()) { Some(String::new()) } else { words.next() };
            given.insert(name.clone(), value.ok_or_else(|| format!("{name} lacks its value"))?);
        }
        Ok(Self(given))
    }

    /// A number, or what it is when nothing was given.
    ///
    /// # Errors
    /// When it is not a number.
    pub fn number(&self, name: &str, otherwise: u64) -> Result<u64> {
        match self.0.get(name) {
            None => Ok(otherwise),
            Some(text) => Ok(text.parse().map_err(|_| format!("{name}: {text} is no number"))?),
        }
    }

    /// A text, if there is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A path that has to be given.
    ///
    /// # Errors
    /// When it was not.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.text(name).ok_or_else(|| format!("{name} is missing"))?.into())
    }

    /// Whether a name was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What `sim workload` shall do.
    ///
    /// # Errors
    /// When something is missing.
    pub fn workload(&self) -> Result<Plan> {
        Ok(Plan {
            seed: self.number("--seed", 1)?,
            folder: self.path("--folder")?,
            dumps: self.path("--dumps")?,
            steps: self.number("--operations", STEPS)?,
            disk: if self.has("--failing") { Disk::Failing } else { Disk::Sound },
        })
    }
}

/// Steps of each account unless said otherwise: some two thousand boundaries.
pub const STEPS: u64 = 40;

const FLAGS: [&str; 1] = ["--failing"];
