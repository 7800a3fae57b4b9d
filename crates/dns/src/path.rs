//! Whether signatures get through to here.
//!
//! Behind a router or an old forwarder that drops them nothing can be verified, and everything
//! that is signed would look forged. So the signed root is asked for first. If it comes unsigned,
//! nothing counts as signed for a while, a warning says so, and mail flows as it does without
//! DNSSEC. Once signatures have come through, nobody on the way can make us forget it: from then
//! on an answer without its signatures is bogus.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::{DnsError, Security};

/// What is known of the way to the servers.
#[derive(Default)]
pub struct Path {
    validates: AtomicBool,
    /// When to ask again, and whether the warning has been given.
    failed: Mutex<Failed>,
}

#[derive(Default)]
struct Failed {
    again: Option<Instant>,
    warned: bool,
}

impl Path {
    /// Whether signatures get through; `probe` asks for something that is known to be signed.
    pub async fn validates(&self, probe: impl Future<Output = Result<Security, DnsError>>) -> bool {
        if self.validates.load(Ordering::Acquire) {
            return true;
        }
        let mut failed = self.failed.lock().await;
        // Another question may have found out while this one waited.
        if self.validates.load(Ordering::Acquire) {
            return true;
        }
        if failed.again.is_some_and(|again| Instant::now() < again) {
            return false;
        }
        let outcome = probe.await;
        if outcome == Ok(Security::Secure) {
            info!("signatures of names are verified (DNSSEC)");
            self.validates.store(true, Ordering::Release);
            return true;
        }
        failed.again = Some(Instant::now() + pause(&outcome));
        if !failed.warned {
            failed.warned = true;
            let why = outcome.map_or_else(|error| error.to_string(), |_| "no signature".to_owned());
            warn!(
                why,
                "the name servers do not pass signatures (DNSSEC) on: names count as unsigned, \
                 and DANE is not used"
            );
        }
        false
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
        assert!(!path.validates(async { bogus() }).await);
        assert!(!path.validates(async { unreachable!("it was asked again at once") }).await);
    }

    #[tokio::test]
    async fn a_way_that_once_passed_signatures_is_never_again_taken_for_one_that_drops_them() {
        let path = Path::default();
        assert!(path.validates(async { Ok(Security::Secure) }).await);
        assert!(path.validates(async { unreachable!("it was asked again") }).await);
    }

    #[test]
    fn a_server_that_is_silent_is_asked_again_sooner_than_one_that_answers_unsigned() {
        let silent = Err(DnsError::Temporary(String::new()));
        assert!(pause(&silent) < pause(&Err(DnsError::Bogus(String::new()))));
        assert!(pause(&silent) < pause(&Ok(Security::Insecure)));
    }
}
