//! Whether signatures get through to here.
//!
//! Behind a router or an old forwarder that drops them nothing can be verified, and everything
//! that is signed would look forged. So the signed root is asked for first. If it comes unsigned,
//! nothing counts as signed for a while, a warning says so, and mail flows as it does without
//! DNSSEC. Once signatures have come through, nobody on the way can make us forget it: from then
//! on an answer without its signatures is bogus.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::{DnsError, Security};

/// What is known of the way to the servers.
#[derive(Default)]
pub struct Path {
    known: Mutex<Known>,
    /// Only one asks.
    probing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    validates: bool,
    /// Until when it need not be asked again.
    fails_until: Option<Instant>,
    warned: bool,
}

impl Path {
    /// Whether signatures get through, if that is known at this time.
    pub fn known(&self, now: Instant) -> Option<bool> {
        let known = self.lock();
        let fails = known.fails_until.is_some_and(|until| now < until);
        if known.validates { Some(true) } else { fails.then_some(false) }
    }

    /// Whether signatures get through; `probe` asks for something that is known to be signed.
    pub async fn find_out(&self, probe: impl Future<Output = Result<Security, DnsError>>) -> bool {
        let _one = self.probing.lock().await;
        // Another question may have found out while this one waited.
        if let Some(known) = self.known(Instant::now()) {
            return known;
        }
        let outcome = probe.await;
        let mut known = self.lock();
        if outcome == Ok(Security::Secure) {
            info!("signatures of names are verified (DNSSEC)");
            known.validates = true;
            return true;
        }
        known.fails_until = Some(Instant::now() + pause(&outcome));
        if !known.warned {
            known.warned = true;
            let why = outcome.map_or_else(|error| error.to_string(), |_| "no signature".to_owned());
            warn!(
                why,
                "the name servers do not pass signatures (DNSSEC) on: names count as unsigned, \
                 and DANE is not used"
            );
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who answers without signatures will do so for a while; who does not answer may be starting.
fn pause(outcome: &Result<Security, DnsError>) -> Duration {
    match outcome {
        Err(DnsError::Temporary(_)) => Duration::from_secs(60),
        _ => Duration::from_secs(600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_way_that_drops_signatures_is_asked_about_once_in_a_while() {
        let path = Path::default();
        let bogus = || Err(DnsError::Bogus("unsigned".to_owned()));
        assert_eq!(path.known(Instant::now()), None);
        assert!(!path.find_out(async { bogus() }).await);
        assert!(!path.find_out(async { unreachable!("it was asked again at once") }).await);
        assert_eq!(path.known(Instant::now()), Some(false));
        assert_eq!(path.known(Instant::now() + pause(&bogus())), None);
    }

    #[tokio::test]
    async fn a_way_that_once_passed_signatures_is_never_again_taken_for_one_that_drops_them() {
        let path = Path::default();
        assert!(path.find_out(async { Ok(Security::Secure) }).await);
        assert!(path.find_out(async { unreachable!("it was asked again") }).await);
        assert_eq!(path.known(Instant::now() + Duration::from_hours(1_000)), Some(true));
    }

    #[test]
    fn a_server_that_is_silent_is_asked_again_sooner_than_one_that_answers_unsigned() {
        let silent = Err(DnsError::Temporary(String::new()));
        assert!(pause(&silent) < pause(&Err(DnsError::Bogus(String::new()))));
        assert!(pause(&silent) < pause(&Ok(Security::Insecure)));
    }
}
