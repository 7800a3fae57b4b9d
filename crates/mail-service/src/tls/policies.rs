//! The policies of domains (MTA-STS), kept until they end. RFC 8461 §5.1

use std::sync::Arc;

use store::{Commit, KeyRange, Store, StoreError, Write};

use crate::check::{Report, check_rows};
use crate::codec::tls::{decode_policy, encode_policy};
use crate::error::ServiceError;
use crate::keys::{self, TLS_POLICY};
use crate::room::sweep_rows;
use crate::service::{Service, blocking};

/// A policy as its domain told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPolicy {
    /// The id that announced it. RFC 8461 §3.1
    pub id: String,
    /// When it was fetched, in seconds since 1970.
    pub fetched_at: i64,
    /// When it is over, in seconds since 1970.
    pub ends_at: i64,
    /// Its text. RFC 8461 §3.2
    pub text: String,
}

impl Service {
    /// The policy of a domain that was kept last, which may be over.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn tls_policy(&self, domain: &str) -> Result<Option<KeptPolicy>, ServiceError> {
        let key = keys::tls_policy(domain);
        let read = self.shared.read(move |view| {
            let value = view.get(&key)?;
            Ok(value.map(|value| decode_policy(&key, &value)).transpose()?)
        });
        read.await
    }

    /// Keeps a policy of a domain, and forgets the one before. If there are too many policies of
    /// other domains, it is not kept.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keep_tls_policy(
        &self,
        domain: &str,
        policy: &KeptPolicy,
    ) -> Result<(), ServiceError> {
        let key = keys::tls_policy(domain);
        let is_known = {
            let key = key.clone();
            self.shared.read(move |view| Ok(view.get(&key)?.is_some())).await?
        };
        if !is_known && !self.shared.tls_policy_room.take(&self.shared).await? {
            tracing::warn!(domain, "no room for another policy, which a restart will forget");
            return Ok(());
        }
        let commit = Commit::new().write(Write::put(key, encode_policy(policy)));
        Ok(self.shared.commit(commit).await?)
    }

    pub(super) async fn sweep_tls_policies(&self) -> Result<(), ServiceError> {
        let store = Arc::clone(&self.shared.store);
        let now = self.now_secs();
        let is_over = move |key: &[u8], value: &[u8]| {
            decode_policy(key, value).is_ok_and(|policy| policy.ends_at <= now)
        };
        let sweep = move || sweep_rows(&*store, KeyRange::prefix(TLS_POLICY), is_over);
        self.shared.tls_policy_room.recount(blocking(sweep).await?);
        Ok(())
    }
}

pub(super) fn check(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    check_rows(&*store.view()?, &KeyRange::prefix(TLS_POLICY), report, decode_policy)
}
