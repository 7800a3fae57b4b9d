//! The keys that sign the domain's mail: those that are there, or new ones.
//!
//! Two kinds, because not everybody verifies Ed25519 yet, and RSA will be given up some day.
//! RFC 8463 §5

use std::fs;
use std::path::{Path, PathBuf};

use mail_types::{InternalDate, Secret};
use sender_auth::keys::{self, KeyError};

use super::plan::Plan;
use crate::failure::Failure;
use crate::records::PublicKey;

/// A key and where it is kept.
#[derive(Debug)]
pub struct Key {
    /// What others see of it.
    pub public: PublicKey,
    /// Its file in the data folder.
    pub file: PathBuf,
    /// The text of that file.
    pub pem: Secret,
}

/// The keys in the data folder; new ones if there are none. `now` is in seconds since 1970.
///
/// # Errors
/// When a key that is there cannot be read: it may be the one that others know.
pub fn kept_or_new(plan: &Plan, now: i64) -> Result<Vec<Key>, Failure> {
    let folder = plan.paths.data.join(FOLDER);
    let kept = kept(&folder, &plan.domain)?;
    if !kept.is_empty() {
        return Ok(kept);
    }
    let not_made = |error: KeyError| Failure::failed(error.to_string());
    let made = [
        ("rsa", keys::generate_rsa().map_err(not_made)?),
        ("ed", keys::generate_ed25519().map_err(not_made)?),
    ];
    let key = |(kind, pem): (&str, Secret)| {
        let selector = selector(kind, now);
        key(folder.join(format!("{selector}.{ENDING}")), &plan.domain, selector, pem)
    };
    made.into_iter().map(key).collect()
}

fn kept(folder: &Path, domain: &str) -> Result<Vec<Key>, Failure> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == ENDING));
    files.sort();
    let read = |file: PathBuf| {
        let pem = fs::read(&file)
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
        let selector = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        key(file, domain, selector, Secret::new(pem))
    };
    files.into_iter().map(read).collect()
}

fn key(file: PathBuf, domain: &str, selector: String, pem: Secret) -> Result<Key, Failure> {
    let public = PublicKey::of(domain, &selector, pem.expose())
        .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    Ok(Key { public, file, pem })
}

/// A name that no earlier or later key has, as `rsa26nov2026`: keys are changed now and then, and
/// the old record stays for mail that is under way. RFC 6376 §3.1
fn selector(kind: &str, now: i64) -> String {
    let date = InternalDate::format_date(now.div_euclid(24 * 3600));
    format!("{kind}{}", date.replace('-', "").to_ascii_lowercase())
}

/// Where they are in the data folder.
const FOLDER: &str = "dkim";

const ENDING: &str = "pem";

#[cfg(test)]
mod tests {
    use super::super::plan::Paths;
    use super::super::plan::tests::plan;
    use super::*;

    const NOW: i64 = 1_795_651_200;

    #[test]
    fn new_keys_are_of_both_kinds_and_kept_ones_stay_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { paths: Paths::below(folder.path()), ..plan() };
        let made = kept_or_new(&plan, NOW).unwrap();
        let selectors: Vec<_> = made.iter().map(|key| key.public.selector.as_str()).collect();
        assert_eq!(selectors, ["rsa26nov2026", "ed26nov2026"]);
        assert!(made[0].public.text.starts_with("v=DKIM1; k=rsa; p="));
        assert!(made[1].public.text.starts_with("v=DKIM1; k=ed25519; p="));
        assert!(!plan.paths.data.exists(), "nothing is written yet");
        fs::create_dir_all(plan.paths.data.join(FOLDER)).unwrap();
        for key in &made {
            fs::write(&key.file, key.pem.expose()).unwrap();
        }
        let kept = kept_or_new(&plan, NOW + 40 * 24 * 3600).unwrap();
        let texts = |keys: &[Key]| {
            let mut texts: Vec<_> = keys.iter().map(|key| key.public.clone()).collect();
            texts.sort_by(|a, b| a.selector.cmp(&b.selector));
            texts
        };
        assert_eq!(texts(&kept), texts(&made));
        fs::write(&made[0].file, "spoiled").unwrap();
        assert!(kept_or_new(&plan, NOW).unwrap_err().to_string().contains("rsa26nov2026.pem"));
    }
}
