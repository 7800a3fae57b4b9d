//! What people hand in here, put into the queue.

use mail_service::queue::{
    Body, Envelope as QueueEnvelope, Notify, Origin, OriginalRecipient, OutgoingStaging,
    QueueError, QueueId, Recipient, Release, Ret, Terms,
};
use mail_service::{Service, ServiceError};
use smtp_session::{ReleaseRequest, Transaction};
use tracing::{error, info};

use super::noted::{Noted, Traits};
use super::routes::Routes;
use crate::outbound::{Envelope, Outbound, Outgoing, Pending};

/// Takes mail for the domains that something carries to. It leaves by the queue, and so does mail
/// that is handed in for the accounts here: there it is delivered once, whatever breaks.
pub struct QueueOutbound {
    service: Service,
    routes: Routes,
}

impl QueueOutbound {
    /// Puts mail into the queue of a service.
    #[must_use]
    pub fn new(service: Service, routes: Routes) -> Self {
        Self { service, routes }
    }
}

impl Outbound for QueueOutbound {
    fn carries(&self, address: &str) -> bool {
        self.routes.carry(address)
    }

    fn begin(&self, envelope: Envelope) -> Box<dyn Outgoing> {
        let service = self.service.clone();
        let staging = service.stage_outgoing();
        let origin = match &envelope.account {
            Some(name) => Origin::Account(name.as_str().to_owned()),
            None => Origin::Stranger,
        };
        Box::new(Taking { service, staging, envelope, origin, noted: Noted::default() })
    }
}

struct Taking {
    service: Service,
    staging: OutgoingStaging,
    envelope: Envelope,
    origin: Origin,
    noted: Noted,
}

impl Outgoing for Taking {
    fn push<'a>(&'a mut self, bytes: &'a [u8]) -> Pending<'a> {
        self.noted.push(bytes);
        Box::pin(self.staging.push(bytes))
    }

    fn vouch(&mut self) {
        if self.origin == Origin::Stranger {
            self.origin = Origin::Vouched;
        }
    }

    fn commit(self: Box<Self>) -> Pending<'static, Vec<QueueId>> {
        Box::pin(async move {
            let Self { service, staging, envelope, origin, noted } = *self;
            let message = envelope.id;
            let staged = staging.finish().await?;
            let envelope = queue_envelope(envelope.transaction, origin, noted.finish());
            match service.enqueue(&staged, envelope).await {
                Ok(ids) => {
                    ids.iter().for_each(|id| info!(%id, message, "queued"));
                    Ok(ids)
                }
                Err(QueueError::Service(error)) => Err(error),
                // The session has checked all of it already.
                Err(error) => {
                    error!(%error, message, "mail that was accepted cannot be queued");
                    Err(ServiceError::Busy)
                }
            }
        })
    }
}

fn queue_envelope(transaction: Transaction, origin: Origin, traits: Traits) -> QueueEnvelope {
    let terms = Terms {
        // What is there counts, and not only what was said of it: text that was named by a URL has
        // octets that its sender never saw. RFC 4468 §4
        body: match transaction.eight_bit || traits.has_8bit {
            true => Body::EightBitMime,
            false => Body::SevenBit,
        },
        // RFC 8689 §4.1: the parameter goes before the field.
        tls_optional: traits.is_tls_optional && !transaction.require_tls,
        release: transaction.release.map(|release| match release.request {
            ReleaseRequest::For(secs) => Release::For(secs),
            ReleaseRequest::Until(at) => Release::Until(at),
        }),
        ..terms(&transaction, origin)
    };
    let recipients = transaction.recipients.into_iter().map(recipient).collect();
    QueueEnvelope { terms, recipients, hold_until: transaction.release.map(|it| it.at) }
}

/// What of MAIL a notice depends on.
pub(crate) fn terms(said: &Transaction, origin: Origin) -> Terms {
    let sender = Some(said.reverse_path.clone()).filter(|path| !path.is_empty());
    Terms {
        envid: said.envelope_id.clone().filter(|id| !id.is_empty()),
        ret: said.ret.map(|ret| match ret {
            smtp_session::Ret::Full => Ret::Full,
            smtp_session::Ret::Headers => Ret::Headers,
        }),
        smtputf8: said.utf8,
        require_tls: said.require_tls,
        ..Terms::new(sender, origin)
    }
}

/// What RCPT said.
pub(crate) fn recipient(to: smtp_session::Recipient) -> Recipient {
    let notify = match to.notify {
        None => Notify::Unasked,
        Some(smtp_session::Notify { success: false, failure: false, delay: false }) => {
            Notify::Never
        }
        Some(smtp_session::Notify { success, failure, delay }) => {
            Notify::On { success, failure, delay }
        }
    };
    let original = to.original.map(|first| {
        let smtp_session::OriginalRecipient { kind, address } = first;
        OriginalRecipient { kind, address }
    });
    Recipient { address: to.address, notify, original }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_told_all_that_the_client_said() {
        let said = |notify, original: Option<&str>| smtp_session::Recipient {
            address: "b@example.net".to_owned(),
            notify,
            original: original.map(str::to_owned).map(smtp_session::OriginalRecipient::mailbox),
        };
        let never = smtp_session::Notify::default();
        let success = smtp_session::Notify { success: true, ..never };
        let transaction = Transaction {
            reverse_path: String::new(),
            recipients: vec![
                said(None, None),
                said(Some(never), None),
                said(Some(success), Some("a@example.org")),
            ],
            utf8: true,
            eight_bit: true,
            ret: Some(smtp_session::Ret::Headers),
            envelope_id: Some("QQ1".to_owned()),
            release: Some(smtp_session::Release { at: 9, request: ReleaseRequest::For(4) }),
            require_tls: true,
        };
        let origin = Origin::Account("dock".to_owned());
        let traits = Traits { has_8bit: false, is_tls_optional: true };
        let QueueEnvelope { terms, recipients, hold_until } =
            queue_envelope(transaction, origin, traits);
        assert_eq!((terms.sender.as_deref(), hold_until), (None, Some(9)));
        assert_eq!(terms.release, Some(Release::For(4)));
        assert!(terms.require_tls && !terms.tls_optional);
        assert_eq!(terms.origin, Origin::Account("dock".to_owned()));
        assert_eq!((terms.ret, terms.body), (Some(Ret::Headers), Body::EightBitMime));
        assert!(terms.smtputf8 && terms.envid.as_deref() == Some("QQ1"));
        let notify: Vec<Notify> = recipients.iter().map(|to| to.notify).collect();
        let on = Notify::On { success: true, failure: false, delay: false };
        assert_eq!(notify, [Notify::Unasked, Notify::Never, on]);
        let original = |index: usize| recipients[index].original.as_ref();
        assert_eq!((original(0), original(1)), (None, None));
        assert_eq!(original(2).unwrap().address, "a@example.org");
    }

    #[test]
    fn what_is_in_the_text_counts_where_nothing_was_said() {
        let recipients =
            vec![smtp_session::Recipient { address: "b@x.example".into(), ..Default::default() }];
        let transaction = Transaction { recipients, ..Transaction::default() };
        let traits = Traits { has_8bit: true, is_tls_optional: true };
        let queued = queue_envelope(transaction, Origin::Stranger, traits);
        assert_eq!((queued.terms.body, queued.hold_until), (Body::EightBitMime, None));
        assert!(queued.terms.tls_optional && !queued.terms.require_tls);
    }
}
