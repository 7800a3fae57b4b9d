//! The keys that sign the domain's mail: those that are there, or new ones.
//!
//! Two kinds, because not everybody verifies Ed25519 yet, and RSA will be given up some day.
//! RFC 8463 §5

use super::plan::Plan;
use crate::failure::Failure;
use crate::keyring::{self, KeptKey, Keyring, Kind, State};
use crate::records::PublicKey;

/// The keys in the data folder; new ones if there are none. `now` is in seconds since 1970.
///
/// # Errors
/// When keys that are there cannot be read: they may be the ones that others know.
pub fn kept_or_new(plan: &Plan, now: i64) -> Result<Keyring, Failure> {
    let kept = keyring::read(&plan.paths.data)?;
    if !kept.all().is_empty() {
        return Ok(kept);
    }
    let mut made = Keyring::default();
    for kind in [Kind::Rsa, Kind::Ed25519] {
        let selector = made.free_selector(&plan.domain, kind, now).map_err(Failure::failed)?;
        // No other key signs whose signatures would hold meanwhile, so these need not wait.
        let key = KeptKey::make(&plan.domain, selector, kind, State::Signing, now);
        let key = key.map_err(|error| Failure::failed(error.to_string()))?;
        made.add(key).map_err(Failure::failed)?;
    }
    Ok(made)
}

/// What others see of the keys.
///
/// # Errors
/// When one of them is no key.
pub fn public(ring: &Keyring) -> Result<Vec<PublicKey>, Failure> {
    let public = |key: &KeptKey| {
        key.public().map_err(|error| Failure::failed(format!("{}: {error}", key.selector)))
    };
    ring.all().iter().map(public).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::plan::Paths;
    use super::super::plan::tests::plan;
    use super::*;

    const NOW: i64 = 1_795_651_200;

    #[test]
    fn new_keys_are_of_both_kinds_and_kept_ones_stay_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { paths: Paths::below(folder.path()), ..plan() };
        let made = public(&kept_or_new(&plan, NOW).unwrap()).unwrap();
        let selectors: Vec<_> = made.iter().map(|key| key.selector.as_str()).collect();
        assert_eq!(selectors, ["rsa26nov2026", "ed26nov2026"]);
        assert!(made[0].text.starts_with("v=DKIM1; k=rsa; p="));
        assert!(made[1].text.starts_with("v=DKIM1; k=ed25519; p="));
        assert!(!plan.paths.data.exists(), "nothing is written yet");
        let kept = kept_or_new(&plan, NOW).unwrap();
        let keep = |ring: &mut Keyring| kept.all().iter().try_for_each(|it| ring.add(it.clone()));
        keyring::update(&plan.paths.data, keep).unwrap();
        let again = kept_or_new(&plan, NOW + 40 * 24 * 3600).unwrap();
        assert_eq!(public(&again).unwrap(), public(&kept).unwrap());
        let file = plan.paths.data.join(keyring::FOLDER).join(keyring::FILE);
        fs::write(&file, "spoiled").unwrap();
        assert!(kept_or_new(&plan, NOW).unwrap_err().to_string().contains("keys.json"));
    }
}
