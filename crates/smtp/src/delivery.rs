//! What is replied when a delivery fails, and deliveries that must not be given up lightly.

use std::io;
use std::time::Duration;

use mail_service::{DeliverError, Placed, Route, Service, ServiceError, Staged, Verdict};
use smtp_session::Reply;
use tracing::{error, info, warn};

/// The reply for a delivery that failed: for ever (5yz) or for now (4yz). RFC 5321 §4.2.1
pub(crate) fn failed(error: &DeliverError) -> Reply {
    match error {
        DeliverError::NoSuchUser => Reply::new(550, "5.1.1", "No such user here"),
        DeliverError::TooLarge => Reply::new(552, "5.3.4", "Message too long"),
        DeliverError::MailboxFull => Reply::new(552, "5.2.2", "Mailbox full"),
        DeliverError::Temporary(ServiceError::StorageFull) => {
            warn!("delivery failed for now: no space is left");
            FULL
        }
        DeliverError::Temporary(cause) => {
            error!(%cause, "delivery failed for now");
            NOT_NOW
        }
    }
}

/// Delivers to one account.
pub(crate) async fn deliver(
    service: &Service,
    verdict: Verdict,
    route: &Route,
    staged: &Staged,
) -> Result<Placed, DeliverError> {
    let placed = service.deliver_as(verdict, route, staged).await?;
    info!(account = %route.account, ?verdict, "delivered");
    Ok(placed)
}

/// Delivers to one account after others have the message already: it is tried more than once.
pub(crate) async fn deliver_patiently(
    service: &Service,
    verdict: Verdict,
    route: &Route,
    staged: &Staged,
) -> Result<Placed, DeliverError> {
    for _ in 1..ATTEMPTS {
        match deliver(service, verdict, route, staged).await {
            Err(DeliverError::Temporary(cause)) => {
                warn!(%cause, account = %route.account, "delivery failed, tried again");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
    deliver(service, verdict, route, staged).await
}

/// Some have the message and others do not, and one reply must be for all (RFC 5321 §4.2.5). Any
/// reply would be a lie to somebody: 250 would lose mail, 4yz and 5yz would say that nobody has it.
/// So there is none, as after a crash at this moment: the sender tries all of them again, each is
/// then refused at RCPT if that is what is wrong with him, some get the message twice, and nobody
/// goes without. RFC 1047
pub(crate) fn is_in_doubt() -> io::Error {
    io::Error::other("a message was delivered to some of its recipients only")
}

/// The whole server, not the mailbox. RFC 3463 §3.4
const FULL: Reply = Reply::new(452, "4.3.1", "The mail store is full, try again later");

const NOT_NOW: Reply = Reply::new(451, "4.3.0", "Not now, try again later");

/// Attempts at a delivery that others depend on.
const ATTEMPTS: usize = 3;

const PAUSE: Duration = Duration::from_millis(500);
