//! The copy that a sender keeps: what he has handed in, as he wrote it, Bcc and all.

use mail_service::{SentKept, Service, ServiceError, Staging};
use mail_types::AccountId;
use tracing::{debug, warn};

use crate::header::{Additions, HeaderBlock, Split, own_copy};

/// A copy that is being made while the message comes.
pub(crate) struct SentCopy {
    service: Service,
    account: AccountId,
    /// What is added to the message is added to its copy.
    additions: Additions,
    /// The header as far as it has come; `None` once it was completed.
    header: Option<HeaderBlock>,
    staging: Result<Staging, ServiceError>,
}

impl SentCopy {
    /// Begins a copy, if copies are kept.
    pub(crate) fn begin(
        service: &Service,
        account: AccountId,
        additions: Additions,
    ) -> Option<Self> {
        let staging = Ok(service.stage_sent(account)?);
        let header = Some(HeaderBlock::default());
        Some(Self { service: service.clone(), account, additions, header, staging })
    }

    /// Takes the next piece of the text.
    pub(crate) async fn push(&mut self, text: &[u8]) {
        match &mut self.header {
            None => self.store(text).await,
            Some(block) => {
                if let Some(split) = block.push(text) {
                    self.take_header(split).await;
                }
            }
        }
    }

    async fn take_header(&mut self, split: Split) {
        self.header = None;
        self.store(&own_copy(&split.header, &self.additions)).await;
        self.store(&split.rest).await;
    }

    async fn store(&mut self, text: &[u8]) {
        if let Ok(staging) = &mut self.staging
            && let Err(error) = staging.push(text).await
        {
            self.staging = Err(error);
        }
    }

    /// Keeps the copy of a message that was taken. That it cannot be kept is no reason to have the
    /// message sent once more, so the sender is not told; the log is.
    pub(crate) async fn keep(mut self) {
        if let Some(block) = self.header.take() {
            self.take_header(block.finish()).await;
        }
        let Self { service, account, staging, .. } = self;
        let kept = async {
            let staged = staging?.finish().await?;
            service.keep_sent(account, staged).await
        };
        match kept.await {
            Ok(SentKept::Now) => debug!(%account, "a copy of what was sent is kept"),
            Ok(SentKept::Before) => debug!(%account, "the client has kept its copy itself"),
            Ok(SentKept::Nowhere) => debug!(%account, "there is no mailbox for sent mail"),
            Err(error) => warn!(%account, %error, "no copy of what was sent is kept"),
        }
    }
}
