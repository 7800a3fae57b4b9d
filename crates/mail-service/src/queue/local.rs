//! Mail of the queue for accounts of this server.
//!
//! Delivering and recording that it was delivered are two commits, of the account and of the queue,
//! which may be in two databases. So that a crash between them does not deliver twice, the commit
//! that delivers also writes a mark into the account: the entry's id and the recipient. Who tries
//! again, on whatever node, finds the mark. The sequencer looks for it at a moment that the head of
//! the account vouches for ([`crate::sequencer`]), so that two nodes that deliver at the same time
//! do not both find none. The sweep removes marks of entries that are gone.

use mail_queue::QueueId;
use store::BlobId;

use super::Claimed;
use crate::auth::name::AccountName;
use crate::codec::queue::encode_delivered;
use crate::delivery::{DeliverError, Placed, Route};
use crate::error::ServiceError;
use crate::keys::{self, AccountKey, AccountKeys, RECIPIENT_HASH_BYTES};
use crate::limits::READ_CHUNK_BYTES;
use crate::service::Service;
use crate::story::{Line, What};

/// What came of a delivery that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalDelivery {
    /// It is in its mailbox now.
    Delivered,
    /// It was delivered by an earlier attempt that could not record it.
    DeliveredBefore,
}

impl Service {
    /// Whether mail for this address is kept here: its domain is one of ours or this server's name,
    /// it has none, or an account has this name. That an account of the same local part exists says
    /// nothing about an address elsewhere.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn is_local(&self, address: &str) -> Result<bool, ServiceError> {
        let Some((_, domain)) = address.rsplit_once('@') else { return Ok(true) };
        if self.is_ours(domain) {
            return Ok(true);
        }
        let Ok(name) = AccountName::new(address) else { return Ok(false) };
        let user = name.without_detail().map(|(user, _)| user);
        self.shared
            .read(move |view| {
                for name in [Some(name), user].into_iter().flatten() {
                    if view.get(&keys::directory(&name))?.is_some() {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await
    }

    /// Delivers a claimed entry to one of its recipients, who is local, once for each account that
    /// he stands for: however often this is called for it, by whatever node. Durable when it
    /// returns.
    ///
    /// # Errors
    /// As [`Service::deliver`]; an attempt of which it is not known whether it delivered can be
    /// made again.
    pub async fn deliver_queued(
        &self,
        claimed: &Claimed,
        index: usize,
    ) -> Result<LocalDelivery, DeliverError> {
        let recipient = claimed.entry.recipients.get(index).ok_or(DeliverError::NoSuchUser)?;
        let address = recipient.to.address.as_str();
        let mut done = LocalDelivery::DeliveredBefore;
        for route in self.kept_for(address).await? {
            if self.deliver_once(claimed, address, &route).await? == LocalDelivery::Delivered {
                done = LocalDelivery::Delivered;
            }
        }
        Ok(done)
    }

    /// The accounts that mail for an address is kept by. Whoever takes mail says already for whom
    /// an alias stands; but a notice goes to the sender, and he may write in the name of one.
    async fn kept_for(&self, address: &str) -> Result<Vec<Route>, DeliverError> {
        match self.route(address).await {
            Err(DeliverError::NoSuchUser) => {}
            found => return found.map(|route| vec![route]),
        }
        let kept = self.destinations(address).await?.local;
        let routes: Vec<Route> = kept.into_iter().map(|kept| kept.route).collect();
        if routes.is_empty() { Err(DeliverError::NoSuchUser) } else { Ok(routes) }
    }

    async fn deliver_once(
        &self,
        claimed: &Claimed,
        address: &str,
        route: &Route,
    ) -> Result<LocalDelivery, DeliverError> {
        let keys = AccountKeys::new(route.account);
        let mark = keys.key(&AccountKey::Delivered(claimed.id, recipient_hash(address)));
        let is_done = {
            let mark = mark.clone();
            self.shared.read(move |view| Ok(view.get(&mark)?.is_some())).await?
        };
        if is_done {
            self.tell_placed(claimed.id, address, None);
            return Ok(LocalDelivery::DeliveredBefore);
        }
        let body = self.open_outgoing(claimed).await?;
        let mut staging = self.stage_delivery(std::slice::from_ref(route));
        // Whoever took the message wrote Received. RFC 5321 §4.4
        let sender = claimed.entry.terms.sender.as_deref().unwrap_or_default();
        let fields = format!("Return-Path: <{sender}>\r\nDelivered-To: {address}\r\n");
        staging.push(fields.as_bytes()).await?;
        let mut at = 0;
        while at < body.size() {
            let piece = body.read(at..at + READ_CHUNK_BYTES as u64).await?;
            at += piece.len() as u64;
            staging.push(&piece).await?;
        }
        let staged = staging.finish().await?;
        let value = encode_delivered(self.shared.world.clock.now_secs());
        let placed = self.deliver_marked(route, &staged, Some((mark, value))).await?;
        self.tell_placed(claimed.id, address, placed.as_ref());
        let is_new = placed.is_some();
        Ok(if is_new { LocalDelivery::Delivered } else { LocalDelivery::DeliveredBefore })
    }

    fn tell_placed(&self, id: QueueId, address: &str, placed: Option<&Placed>) {
        let place = placed.map(Placed::placement);
        let what = What::Placed { id, recipient: Line::new(address), place };
        self.shared.journal.tell(self.shared.world.clock.now_secs(), &what);
    }
}

fn recipient_hash(address: &str) -> [u8; RECIPIENT_HASH_BYTES] {
    let hash = BlobId::of(address.as_bytes());
    let mut short = [0; RECIPIENT_HASH_BYTES];
    short.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    short
}

/// Whether a mark is of no more use: its entry is gone, and so long ago that no node can still be
/// delivering it.
pub(crate) fn is_old_mark(
    view: &dyn store::View,
    id: QueueId,
    delivered_at: i64,
    now: i64,
) -> Result<bool, ServiceError> {
    if now.saturating_sub(delivered_at) < MARK_SECS_MIN {
        return Ok(false);
    }
    Ok(view.get(&keys::queue_entry(id))?.is_none())
}

/// Far above the time that a stopped process may sleep and wake up in the middle of a delivery.
const MARK_SECS_MIN: i64 = 7 * 86_400;
