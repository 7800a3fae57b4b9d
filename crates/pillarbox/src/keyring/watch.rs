//! Looks whether the world can see the records of keys that wait for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use net::ShutdownToken;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{KeptKey, State, read, update};
use crate::checks::Look;
use crate::clock;
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
        let mut is_untold = false;
        loop {
            match look(&looking, &mut is_untold).await {
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

/// `is_untold`: keys were taken up, in the file, of which the server does not know yet.
async fn look(looking: &Looking, is_untold: &mut bool) -> Result<(), Failure> {
    // The look before may have ended too soon for it.
    tell(looking, is_untold).await?;
    let ring = read(&looking.data)?;
    let waiting: Vec<_> = ring.all().iter().filter(|key| key.state == State::Waiting).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    // A new one each time: what was not there a minute ago would be remembered.
    let names = Look::through(&looking.dns)?;
    for key in waiting {
        if is_seen(&names, key).await && take_up(&looking.data, key).await? {
            *is_untold = true;
        }
    }
    tell(looking, is_untold).await
}

async fn tell(looking: &Looking, is_untold: &mut bool) -> Result<(), Failure> {
    if *is_untold {
        looking.orders.take_keys().await?;
        *is_untold = false;
    }
    Ok(())
}

async fn is_seen(names: &Look, key: &KeptKey) -> bool {
    let Ok(public) = key.public() else { return false };
    shows_key(&public.text, names.txt(&public.name()).await.records())
}

async fn take_up(data: &Path, key: &KeptKey) -> Result<bool, Failure> {
    let (data, domain, selector) = (data.to_owned(), key.domain.clone(), key.selector.clone());
    // Somebody else may make keys of RSA meanwhile, and keep the file to himself.
    let taken = tokio::task::spawn_blocking(move || {
        let is_new = update(&data, |ring| Ok(ring.seen(&domain, &selector, clock::now())))?;
        if is_new {
            info!(domain, selector, "the record of this key is seen: it signs from now on");
        }
        Ok(is_new)
    });
    taken.await.map_err(|error| Failure::failed(error.to_string()))?
}

/// A key waits so long after its record was set, and for what others remember.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use testkit::dns::{NameServer, Zone};
    use tokio::sync::mpsc;

    use super::super::Kind;
    use super::*;
    use crate::reload::Order;

    /// Answers one order to take keys up.
    async fn answer(heard: &mut mpsc::Receiver<Order>, answer: Result<(), Failure>) {
        match heard.recv().await {
            Some(Order::TakeKeys(done)) => done.send(answer).unwrap(),
            _ => panic!("keys are to be taken up"),
        }
    }

    #[tokio::test]
    async fn keys_that_the_server_could_not_take_up_are_told_to_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeptKey::make("example.org", "e1".into(), Kind::Ed25519, State::Waiting, 0);
        let record = key.as_ref().unwrap().public().unwrap().text;
        update(folder.path(), |ring| ring.add(key.unwrap())).unwrap();
        let zone = format!("@ 60 IN SOA ns a 1 1 1 1 60\ne1._domainkey 60 IN TXT \"{record}\"\n");
        let server = NameServer::start(&[Zone::parse("example.org", &zone)]);
        let (orders, mut heard) = Orders::new();
        let looking = Looking {
            data: folder.path().to_owned(),
            dns: DnsPlace {
                servers: vec![server.address()],
                trust_anchor: None,
                validation: dns::Validation::Never,
            },
            hint: Arc::default(),
            orders,
        };
        let mut is_untold = false;
        let fails = Err(Failure::failed("a file is missing"));
        let (looked, ()) = tokio::join!(look(&looking, &mut is_untold), answer(&mut heard, fails));
        assert!(looked.is_err() && is_untold);
        assert_eq!(read(folder.path()).unwrap().all()[0].state, State::Signing);
        // No key waits any more.
        let (looked, ()) = tokio::join!(look(&looking, &mut is_untold), answer(&mut heard, Ok(())));
        assert!(looked.is_ok() && !is_untold);
        look(&looking, &mut is_untold).await.unwrap();
        assert!(heard.is_empty());
    }
}
