//! A certificate is read again when its files change, and its end is announced in time.
//!
//! Files are compared by what they hold: a time of change can be the same for two contents, and a
//! read of two small files each minute costs nothing. Who renews a certificate writes two files,
//! and between the two they do not belong together: then the old one is served on, and the next
//! look finds the pair.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{error, info, warn};

use crate::{CertificateError, CertificateFiles, Facts, ShutdownToken, Tls};

/// Looks at the files of a certificate from time to time.
#[derive(Debug)]
pub struct CertificateWatch {
    tls: Tls,
    files: CertificateFiles,
    hasher: RandomState,
    /// What the files held at the last look.
    seen: u64,
    /// When it was last said that the certificate ends soon.
    told: Option<i64>,
}

/// What a look at the files found.
#[derive(Debug)]
enum Look {
    /// What is served.
    Same,
    /// Another certificate, which is served from now on.
    Another,
    /// Something that cannot be served.
    Unusable(CertificateError),
}

impl CertificateWatch {
    /// Watches the files that a program serves.
    pub fn new(tls: Tls, files: CertificateFiles) -> Self {
        let hasher = RandomState::new();
        let seen = contents(&hasher, &files);
        Self { tls, files, hasher, seen, told: None }
    }

    /// Looks until the shutdown begins.
    pub async fn run(mut self, mut token: ShutdownToken) {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            self.tell_of_end(i64::try_from(now).unwrap_or(i64::MAX));
            tokio::select! {
                () = token.begun() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            match self.look() {
                Look::Same => {}
                Look::Another => info!("a new certificate is served"),
                Look::Unusable(error) => warn!(%error, "the old certificate stays"),
            }
        }
    }

    fn look(&mut self) -> Look {
        let found = contents(&self.hasher, &self.files);
        if found == self.seen {
            return Look::Same;
        }
        self.seen = found;
        match self.tls.reload(&self.files) {
            Ok(true) => Look::Another,
            Ok(false) => Look::Same,
            Err(error) => Look::Unusable(error),
        }
    }

    /// Once a day, so that it is neither missed nor drowns what else is logged.
    fn tell_of_end(&mut self, now: i64) {
        let Some(facts) = self.tls.facts() else { return };
        let remaining = remaining(&facts, now);
        if remaining == Remaining::Enough
            || self.told.is_some_and(|told| (told..told + TELL_INTERVAL_SECS).contains(&now))
        {
            return;
        }
        self.told = Some(now);
        match remaining {
            Remaining::Enough => {}
            Remaining::Little { hours } => warn!(hours, "the certificate ends soon"),
            Remaining::None => error!("the certificate has ended: clients refuse it"),
        }
    }
}

/// How long a certificate is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// Long enough.
    Enough,
    /// So short that it should have been renewed.
    Little {
        /// Full hours.
        hours: i64,
    },
    /// No longer.
    None,
}

/// How long a certificate is still good: little is two weeks, or the last sixth of a shorter life.
/// What renews itself does so at two thirds, so it has failed for long by then.
pub fn remaining(facts: &Facts, now: i64) -> Remaining {
    let left = facts.not_after.saturating_sub(now);
    match left {
        ..0 => Remaining::None,
        _ if left < LITTLE_SECS_MAX.min(facts.lifetime() / 6) => {
            Remaining::Little { hours: left / 3600 }
        }
        _ => Remaining::Enough,
    }
}

/// Stands for what the files hold, or for why they cannot be read.
fn contents(hasher: &RandomState, files: &CertificateFiles) -> u64 {
    let read = |path| fs::read(path).map_err(|error| error.kind());
    hasher.hash_one((read(&files.certificate), read(&files.key)))
}

/// A new certificate is served so soon after it was written.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

const TELL_INTERVAL_SECS: i64 = 24 * 3600;

const LITTLE_SECS_MAX: i64 = 14 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (tempfile::TempDir, CertificateWatch, CertificateFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(folder.path(), "a.example").unwrap();
        let watch = CertificateWatch::new(Tls::new(&files).unwrap(), files.clone());
        (folder, watch, files)
    }

    #[test]
    fn a_changed_certificate_is_served_and_a_broken_one_is_not() {
        let (_folder, mut watch, files) = fixture();
        assert!(matches!(watch.look(), Look::Same));
        let newer = tempfile::tempdir().unwrap();
        let newer = CertificateFiles::self_signed(newer.path(), "b.example").unwrap();
        // Half of the pair is there: the old certificate stays, and that is told once.
        fs::copy(&newer.certificate, &files.certificate).unwrap();
        assert!(matches!(watch.look(), Look::Unusable(_)));
        assert!(matches!(watch.look(), Look::Same));
        assert_eq!(watch.tls.facts().unwrap().names[0], "a.example");
        fs::copy(&newer.key, &files.key).unwrap();
        assert!(matches!(watch.look(), Look::Another));
        assert_eq!(watch.tls.facts().unwrap().names[0], "b.example");
        fs::remove_file(&files.key).unwrap();
        assert!(matches!(watch.look(), Look::Unusable(CertificateError::File(..))));
        assert_eq!(watch.tls.facts().unwrap().names[0], "b.example");
    }

    #[test]
    fn what_was_read_already_is_not_told_again() {
        let (_folder, mut watch, files) = fixture();
        let newer = tempfile::tempdir().unwrap();
        let newer = CertificateFiles::self_signed(newer.path(), "b.example").unwrap();
        fs::copy(&newer.certificate, &files.certificate).unwrap();
        fs::copy(&newer.key, &files.key).unwrap();
        assert!(watch.tls.reload(&files).unwrap());
        assert!(matches!(watch.look(), Look::Same));
    }

    #[test]
    fn the_end_is_near_by_days_or_by_a_share_of_a_short_life() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let facts = Facts::read(made.cert.der()).unwrap();
        let days = |days: i64| days * 24 * 3600;
        let at = |lifetime, left| {
            let facts = Facts { not_before: 0, not_after: lifetime, ..facts.clone() };
            remaining(&facts, lifetime - left)
        };
        assert_eq!(at(days(365), days(14)), Remaining::Enough);
        assert_eq!(at(days(365), days(14) - 1), Remaining::Little { hours: 14 * 24 - 1 });
        assert_eq!(at(days(6), days(1)), Remaining::Enough);
        assert_eq!(at(days(6), days(1) - 1), Remaining::Little { hours: 23 });
        assert_eq!(at(days(6), 0), Remaining::Little { hours: 0 });
        assert_eq!(at(days(6), -1), Remaining::None);
    }
}
