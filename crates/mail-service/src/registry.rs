//! Which accounts are open: at most one sequencer for each in this process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mail_types::AccountId;

use crate::error::ServiceError;
use crate::limits::IDLE_ACCOUNTS_MAX;
use crate::open::OpenAccount;
use crate::service::Shared;

/// The open accounts. An account stays open while anybody has a handle, and for a while after.
#[derive(Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: HashMap<AccountId, Arc<Slot>>,
    /// With more slots than this it is time to look for those of closed accounts.
    slots_max: usize,
    /// Accounts used last stand at the back; being here keeps them open.
    warm: VecDeque<Arc<OpenAccount>>,
}

/// Held while the account is being opened, so that many logins at once open it once.
type Slot = tokio::sync::Mutex<Weak<OpenAccount>>;

impl Registry {
    /// The open account, opening it if need be.
    pub(crate) async fn open(
        &self,
        shared: &Arc<Shared>,
        id: AccountId,
    ) -> Result<Arc<OpenAccount>, ServiceError> {
        let slot = self.slot(id);
        let mut open = slot.lock().await;
        if let Some(account) = open.upgrade().filter(|account| account.is_running()) {
            self.keep_warm(&account);
            return Ok(account);
        }
        let account = OpenAccount::start(shared, id).await?;
        *open = Arc::downgrade(&account);
        self.keep_warm(&account);
        Ok(account)
    }

    /// The account if it is open.
    pub(crate) async fn find(&self, id: AccountId) -> Option<Arc<OpenAccount>> {
        let slot = self.lock().slots.get(&id).map(Arc::clone)?;
        slot.lock().await.upgrade()
    }

    /// Lets go of an account: it ends when its last handle does.
    pub(crate) fn forget(&self, id: AccountId) {
        let mut inner = self.lock();
        inner.slots.remove(&id);
        inner.warm.retain(|account| account.id() != id);
    }

    /// Stops keeping accounts open that nobody has a handle of.
    pub(crate) fn cool(&self) {
        self.lock().warm.clear();
    }

    /// Lets go of all accounts.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.slots.clear();
        inner.warm.clear();
    }

    fn slot(&self, id: AccountId) -> Arc<Slot> {
        let mut inner = self.lock();
        // Slots of closed accounts go whenever their number has doubled: a constant cost for each.
        if inner.slots.len() > SLOTS_MIN.max(inner.slots_max) {
            inner.slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1
                    || slot.try_lock().is_ok_and(|open| open.strong_count() > 0)
            });
            inner.slots_max = 2 * inner.slots.len();
        }
        Arc::clone(inner.slots.entry(id).or_default())
    }

    fn keep_warm(&self, account: &Arc<OpenAccount>) {
        let mut inner = self.lock();
        if inner.warm.back().is_some_and(|last| Arc::ptr_eq(last, account)) {
            return;
        }
        inner.warm.retain(|other| !Arc::ptr_eq(other, account));
        inner.warm.push_back(Arc::clone(account));
        if inner.warm.len() > IDLE_ACCOUNTS_MAX {
            inner.warm.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Below this many slots it is not worth looking for dead ones.
const SLOTS_MIN: usize = 4096;
