//! Real mail for tests: the corpus that `cargo xtask corpus` fetches, as it goes over the wire.

use std::fs;
use std::path::PathBuf;

/// A message of the corpus.
pub struct Sample {
    /// Its group and file, such as `easy-ham-1/00001….txt`.
    pub name: String,
    /// The message with CRLF line ends; a CR on its own stays.
    pub bytes: Vec<u8>,
}

/// The whole corpus in a fixed order, or `None` when `$PILLARBOX_CORPUS` does not name its folder.
///
/// # Panics
/// When the folder that is named cannot be read.
pub fn messages() -> Option<Vec<Sample>> {
    let folder = PathBuf::from(std::env::var_os("PILLARBOX_CORPUS")?);
    let entries = |folder: &PathBuf| -> Vec<PathBuf> {
        let read = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut paths: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let groups = entries(&folder).into_iter().filter(|path| path.is_dir());
    let files = groups.flat_map(|group| entries(&group));
    let samples = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .map(|path| {
            let name = path.strip_prefix(&folder).unwrap_or(&path).display().to_string();
            let raw = fs::read(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
            Sample { name, bytes: with_crlf(&raw) }
        })
        .collect();
    Some(samples)
}

/// Puts a CR before every LF that has none.
pub fn with_crlf(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len() + raw.len() / 32);
    for byte in raw {
        if *byte == b'\n' && bytes.last() != Some(&b'\r') {
            bytes.push(b'\r');
        }
        bytes.push(*byte);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf_and_other_crs_stay() {
        assert_eq!(with_crlf(b"a\nb\r\nc\rd\n\n"), b"a\r\nb\r\nc\rd\r\n\r\n");
    }
}
