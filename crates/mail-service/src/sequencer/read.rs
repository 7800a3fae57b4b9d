//! What a sequencer reads from the store.

use std::sync::Arc;

use mail_types::MailboxId;

use super::Sequencer;
use crate::error::ServiceError;
use crate::limits::ATTEMPTS_MAX;
use crate::loader::{load_account, load_contents, load_head};
use crate::log::catch_up;
use crate::open::follow;

impl Sequencer {
    /// Loads a mailbox's contents into the state. Nothing is in flight.
    pub(super) async fn load(&mut self, mailbox: MailboxId) -> Result<(), ServiceError> {
        for _ in 0..ATTEMPTS_MAX {
            let loaded = self.durable.0.mailbox(mailbox);
            let loaded = loaded.ok_or(ServiceError::NoSuchMailbox)?;
            if loaded.contents().is_some() {
                return Ok(());
            }
            let record = loaded.record().clone();
            let floor = self.durable.0.head().history_floor;
            let (keys, expected) = (self.keys.clone(), self.durable.1);
            let contents = self
                .shared
                .read(move |view| {
                    // Somebody else may have written; then the contents are not this record's.
                    if load_head(view, &keys)? != expected {
                        return Ok(None);
                    }
                    load_contents(view, &keys, &record, floor).map(Some)
                })
                .await?;
            if let Some(contents) = contents {
                self.durable.0 = self.durable.0.with_contents(mailbox, contents)?;
                self.tentative = self.durable.clone();
                self.publish();
                return Ok(());
            }
            self.reload().await?;
        }
        Err(ServiceError::Busy)
    }

    pub(super) fn unload(&mut self, mailbox: MailboxId) {
        let pins = Arc::clone(&self.pins);
        pins.unless_pinned(mailbox, || {
            for batch in &mut self.in_flight {
                batch.after = batch.after.without_contents(mailbox);
            }
            self.durable.0 = self.durable.0.without_contents(mailbox);
            self.tentative.0 = self.tentative.0.without_contents(mailbox);
            self.publish();
        });
    }

    /// Brings the state up to what the store holds, if it is behind. Nothing is in flight.
    pub(super) async fn refresh(&mut self) -> Result<(), ServiceError> {
        let keys = self.keys.clone();
        let row = self.shared.read(move |view| load_head(view, &keys)).await?;
        if row == self.durable.1 { Ok(()) } else { self.reload().await }
    }

    /// Reads what the store holds: by the log if it leads there, else from the rows.
    pub(super) async fn reload(&mut self) -> Result<(), ServiceError> {
        let keys = self.keys.clone();
        let known = self.durable.0.clone();
        let pinned = self.pins.pinned();
        let read = self
            .shared
            .read(move |view| {
                let row = load_head(view, &keys)?;
                if row.frozen {
                    return Err(ServiceError::Moving);
                }
                if row.head.modseq >= known.modseq()
                    && row.head.history_floor <= known.modseq()
                    && let Ok(newer) = catch_up(view, &keys, &known)
                    && *newer.head() == row.head
                {
                    return Ok((newer, row));
                }
                let (mut account, row) = load_account(view, &keys)?;
                for id in pinned {
                    let Some(mailbox) = account.mailbox(id) else { continue };
                    let floor = row.head.history_floor;
                    let contents = load_contents(view, &keys, mailbox.record(), floor)?;
                    account = account.with_contents(id, contents)?;
                }
                Ok((account, row))
            })
            .await;
        if matches!(read, Err(ServiceError::Moving)) {
            self.has_moved = true;
            self.is_stale = true;
        }
        self.durable = read?;
        self.loads += 1;
        if std::mem::take(&mut self.has_moved) {
            self.hints = follow(&self.shared, &self.keys, &self.hinted);
        }
        self.tentative = self.durable.clone();
        self.is_stale = false;
        self.publish();
        Ok(())
    }
}
