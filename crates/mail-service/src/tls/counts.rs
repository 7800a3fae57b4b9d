//! What became of TLS, counted for reports. RFC 8460
//!
//! Each process has rows of its own, with all that it counted of a subject on a day: to write one
//! again counts nothing twice, and nobody waits for anybody. Who makes the report adds them up;
//! that he does is written down under the condition that nobody did before.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use store::{Commit, Expected, KeyRange, Store, StoreError, Write};

use super::{Counts, ProcessId, Subject};
use crate::check::{Report, check_rows};
use crate::codec::tls::{decode_counted, decode_report, encode_counted, encode_report};
use crate::error::ServiceError;
use crate::keys::{self, TLS_COUNT, TLS_REPORT};
use crate::loader::strange_key;
use crate::room::sweep_rows;
use crate::service::{Service, blocking};

/// What a process has counted of one subject on one day so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Days since 1970.
    pub day: u32,
    /// Tells the subjects of the process and the day apart.
    pub number: u32,
    /// What it was counted for.
    pub subject: Subject,
    /// What was counted.
    pub counts: Counts,
}

impl Service {
    /// Writes what a process has counted so far. If there are too many rows, those that are new
    /// are left out.
    ///
    /// # Errors
    /// Those of the store. All of it may be written again.
    pub async fn keep_tls_counts(
        &self,
        process: ProcessId,
        counted: &[Counted],
    ) -> Result<(), ServiceError> {
        for group in counted.chunks(COUNTS_PER_COMMIT) {
            let key =
                |it: &Counted| keys::tls_count(it.day, &it.subject.domain, process, it.number);
            let names: Vec<Vec<u8>> = group.iter().map(key).collect();
            let found = {
                let names = names.clone();
                let read = self.shared.read(move |view| {
                    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
                    Ok(view.get_many(&names)?)
                });
                read.await?
            };
            let mut commit = Commit::new();
            for ((counted, name), found) in group.iter().zip(names).zip(found) {
                if found.is_none() && !self.shared.tls_count_room.take(&self.shared).await? {
                    let domain = &counted.subject.domain;
                    tracing::warn!(domain, "no room to count what became of TLS");
                    continue;
                }
                commit = commit.write(Write::put(name, encode_counted(counted)));
            }
            self.shared.commit(commit).await?;
        }
        Ok(())
    }

    /// The domains of which something was counted on a day since 1970, and no report was made.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn unreported_tls_domains(&self, day: u32) -> Result<Vec<String>, ServiceError> {
        let read = self.shared.read(move |view| {
            let mut domains = BTreeSet::new();
            view.scan(&keys::tls_day(TLS_COUNT, day), &mut |key, _| {
                domains.extend(keys::tls_count_domain(key).map(str::to_owned));
                ControlFlow::Continue(())
            })?;
            view.scan(&keys::tls_day(TLS_REPORT, day), &mut |key, _| {
                keys::tls_report_domain(key).map(|domain| domains.remove(domain));
                ControlFlow::Continue(())
            })?;
            Ok(domains.into_iter().collect())
        });
        read.await
    }

    /// What all processes have counted of a domain on a day. A damaged row is left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tls_counts(
        &self,
        day: u32,
        domain: &str,
    ) -> Result<BTreeMap<Subject, Counts>, ServiceError> {
        let (range, domain) = (keys::tls_counts_of(day, domain), domain.to_owned());
        let read = self.shared.read(move |view| {
            let mut all: BTreeMap<Subject, Counts> = BTreeMap::new();
            view.scan(&range, &mut |key, value| {
                match decode_counted(key, value) {
                    Ok((ruler, policy, counts)) => {
                        let subject = Subject::new(&domain, ruler, policy);
                        all.entry(subject).or_default().add(counts);
                    }
                    Err(error) => tracing::warn!(%error, "a count of TLS is left out"),
                }
                ControlFlow::Continue(())
            })?;
            Ok(all)
        });
        read.await
    }

    /// Whether nobody has made the report on a domain of a day; from now on somebody has.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claim_tls_report(&self, day: u32, domain: &str) -> Result<bool, ServiceError> {
        let key = keys::tls_report(day, domain);
        let made = Write::put(key.clone(), encode_report(self.now_secs()));
        let commit = Commit::new().when(key, Expected::Absent).write(made);
        match self.shared.commit(commit).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// By their keys alone, so damage stops nothing.
    pub(super) async fn sweep_tls_counts(&self) -> Result<(), ServiceError> {
        let store = Arc::clone(&self.shared.store);
        let today = keys::story_day(self.now_secs());
        let first = today.saturating_sub(DAYS_KEPT);
        let sweep = move || {
            sweep_rows(&*store, keys::tls_days_before(TLS_REPORT, first), |_, _| true)?;
            sweep_rows(&*store, keys::tls_days_before(TLS_COUNT, first), |_, _| true)
        };
        let swept = blocking(sweep).await;
        self.shared.tls_count_room.forget();
        swept.map(drop)
    }
}

pub(super) fn check(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let view = store.view()?;
    check_rows(&*view, &KeyRange::prefix(TLS_COUNT), report, |key, value| {
        keys::tls_count_domain(key).ok_or_else(|| strange_key(key))?;
        Ok::<_, ServiceError>(decode_counted(key, value)?)
    })?;
    check_rows(&*view, &KeyRange::prefix(TLS_REPORT), report, |key, value| {
        keys::tls_report_domain(key).ok_or_else(|| strange_key(key))?;
        Ok::<_, ServiceError>(decode_report(key, value)?)
    })
}

/// Days before today whose counts are kept: a report is of one whole day, and is made on the next,
/// or on the one after that if nothing runs meanwhile.
pub const DAYS_KEPT: u32 = 2;

/// Rows that one commit writes: at most some 14 MB.
const COUNTS_PER_COMMIT: usize = 100;
