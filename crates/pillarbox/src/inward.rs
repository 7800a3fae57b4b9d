//! Mail on its way in: what the configuration wants of that of strangers, who signs that of the
//! people here and seals what is forwarded, and the memory for both.

use std::sync::Arc;

use dns::Resolver;
use sender_auth::{Signer, Verifier};
use smtp::{
    BlockLists, Budget, Filter, HELD_BUDGET_BYTES, Inbound, Role, SenderChecks, SmtpSettings,
};

use crate::config::{FilterPlace, InboundPlace};
use crate::failure::Failure;

/// What all listeners for mail share.
pub struct Inward {
    inbound: Arc<Inbound>,
    signer: Option<Arc<Signer>>,
    budget: Arc<Budget>,
}

impl Inward {
    /// What strangers must pass, as the configuration has it, and who signs what is submitted.
    /// Nobody is asked yet.
    ///
    /// # Errors
    /// When the filter's address cannot be used.
    pub fn new(
        place: &InboundPlace,
        names: &Resolver,
        hostname: &str,
        signer: Option<Signer>,
    ) -> Result<Self, Failure> {
        let senders = place.senders.clone().map(|settings| -> Arc<dyn SenderChecks> {
            let verifier = Verifier::new(names.clone(), hostname.to_owned());
            Arc::new(verifier.with_settings(settings))
        });
        let filter = place.filter.as_ref().map(|(place, timeout)| match place {
            FilterPlace::Url(url) => Filter::new(url, *timeout),
            FilterPlace::Program(program) => Ok(Filter::program(program.clone(), *timeout)),
        });
        let usage = |error| Failure::usage(format!("[inbound.filter]: {error}"));
        let lists = || BlockLists::new(names.clone(), place.lists.clone());
        let inbound = Inbound {
            trusted: place.trusted.clone(),
            senders,
            lists: (!place.lists.is_empty()).then(lists),
            greylist: place.greylist,
            filter: filter.transpose().map_err(usage)?,
        };
        Ok(Self {
            inbound: Arc::new(inbound),
            signer: signer.map(Arc::new),
            budget: Arc::new(Budget::new(HELD_BUDGET_BYTES)),
        })
    }

    /// The same, with the memory of another, so that both together take no more than one.
    #[must_use]
    pub fn sharing(self, other: &Self) -> Self {
        Self { budget: Arc::clone(&other.budget), ..self }
    }

    /// The same with other keys.
    #[must_use]
    pub fn signing_with(&self, signer: Signer) -> Self {
        let (inbound, budget) = (Arc::clone(&self.inbound), Arc::clone(&self.budget));
        Self { inbound, signer: Some(Arc::new(signer)), budget }
    }

    /// Who signs what is submitted, seals what is forwarded, and signs what this server reports to
    /// others.
    #[must_use]
    pub fn signer(&self) -> Option<Arc<Signer>> {
        self.signer.clone()
    }

    /// The settings of a listener, with what is shared.
    #[must_use]
    pub fn settings(&self, settings: SmtpSettings) -> SmtpSettings {
        SmtpSettings {
            inbound: (settings.role == Role::Mx).then(|| Arc::clone(&self.inbound)),
            signer: self.signer.clone().filter(|_| settings.role != Role::Lmtp),
            budget: Some(Arc::clone(&self.budget)),
            ..settings
        }
    }
}
