//! Looks whether the world can see the records of keys that wait for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use net::ShutdownToken;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{KeptKey, State, read, update};
use crate::checks::Look;
use crate::config::DnsPlace;
use crate::failure::Failure;
use crate::records::shows_key;
use crate::reload::Orders;

/// What is needed to look.
pub struct Looking {
    /// The data folder.
    pub data: PathBuf,
    /// Who is asked.
    pub dns: DnsPlace,
    /// Says that there may be something to look for.
    pub hint: Arc<Notify>,
    /// Takes the keys up that sign from now on.
    pub orders: Orders,
}

/// Looks until the shutdown begins: at once, when there is a hint, and from time to time.
pub async fn watch(looking: Looking, mut token: ShutdownToken) {
    let looks = async {
        loop {
            match look(&looking).await {
                Ok(()) => {}
                Err(error) => warn!(%error, "the keys that wait to sign are not looked after"),
            }
            tokio::select! {
                () = looking.hint.notified() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    };
    tokio::select! {
        () = token.begun() => {}
        () = looks => {}
    }
}

async fn look(looking: &Looking) -> Result<(), Failure> {
    let ring = read(&looking.data)?;
    let waiting: Vec<_> = ring.all().iter().filter(|key| key.state == State::Waiting).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    // A new one each time: what was not there a minute ago would be remembered.
    let names = Look::through(&looking.dns)?;
    let mut is_any_new = false;
    for key in waiting {
        is_any_new |= is_seen(&names, key).await && take_up(&looking.data, key)?;
    }
    if is_any_new { looking.orders.take_keys().await } else { Ok(()) }
}

async fn is_seen(names: &Look, key: &KeptKey) -> bool {
    let found = names.txt(&format!("{}._domainkey.{}", key.selector, key.domain)).await;
    key.public().is_ok_and(|public| shows_key(&public.text, found.records()))
}

fn take_up(data: &Path, key: &KeptKey) -> Result<bool, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let (domain, selector) = (key.domain.as_str(), key.selector.as_str());
    let is_new = update(data, |ring| Ok(ring.seen(domain, selector, now)))?;
    if is_new {
        info!(domain, selector, "the record of this key is seen: it signs from now on");
    }
    Ok(is_new)
}

/// A key waits so long after its record was set, and for what others remember.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
