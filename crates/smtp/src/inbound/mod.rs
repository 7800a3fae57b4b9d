//! What strangers must pass before their mail is taken, the cheapest first.
//!
//! - At RCPT: block lists, asked once a connection, then greylisting.
//! - At the end of the text: whether the sender is authentic, then the content filter, which is not
//!   asked about what is refused anyway. [`decide`] has the last word.
//!
//! Whoever comes from a network of the operator's own is asked nothing: what comes from there was
//! looked at by a server in front of this one, or is his own.

mod answer;
mod decide;
mod fields;
mod filter;
mod lists;
mod network;
mod program;
mod sender;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use mail_service::story::Story;
use mail_service::{DeliverError, GreylistTerms, Greylisting, Service, Verdict, Visit};
use net::Peer;
use smtp_session::Reply;
use tracing::info;

pub(crate) use self::answer::{Edits, FilterVerdict};
use self::decide::{Evidence, Outcome, decide};
pub(crate) use self::decide::{NoVerdict, UNKNOWN_SENDER};
pub(crate) use self::fields::{cleaned, cleaned_whole};
use self::filter::Question;
pub use self::filter::{Filter, FilterError};
pub(crate) use self::lists::Listings;
pub use self::lists::{BlockList, BlockLists, ListAction};
pub use self::network::{Network, NoNetwork};
pub use self::program::FilterProgram;
pub use self::sender::{Checking, Claim, SenderChecks, SenderResult};
use crate::delivery::failed;
use crate::story;

/// What strangers must pass.
#[derive(Default)]
pub struct Inbound {
    /// Networks whose clients are asked nothing.
    pub trusted: Vec<Network>,
    /// Who checks whether senders are authentic.
    pub senders: Option<Arc<dyn SenderChecks>>,
    /// Lists of clients that misbehave.
    pub lists: Option<BlockLists>,
    /// How strangers are greylisted.
    pub greylist: Option<GreylistTerms>,
    /// Who looks at what is written.
    pub filter: Option<Filter>,
}

/// What is known of a transaction with a stranger.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    pub(crate) client: IpAddr,
    pub(crate) client_name: String,
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) id: u64,
    pub(crate) listings: Listings,
}

/// What is done with a message that is taken.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    /// Fields that stand above the one that says from where it came.
    pub(crate) above: Vec<u8>,
    pub(crate) edits: Edits,
    /// What was found out about the sender; `None` if senders are not checked.
    pub(crate) sender: Option<SenderResult>,
}

impl Inbound {
    /// The address of a client that must pass all this; `None` for one that need not.
    pub(crate) fn stranger(&self, peer: Peer) -> Option<IpAddr> {
        match peer {
            Peer::Local => None,
            Peer::Ip(ip) => (!self.trusted.iter().any(|it| it.contains(ip))).then_some(ip),
        }
    }

    /// Whether it is found out of a client's messages who may be told what became of them.
    pub(crate) fn proves_senders_of(&self, peer: Peer) -> bool {
        self.senders.is_some() && self.stranger(peer).is_some()
    }

    /// Whether a message must have come to its end before anything is done with it.
    pub(crate) fn looks_at_messages_of(&self, stranger: &Stranger) -> bool {
        self.senders.is_some() || self.filter.is_some() || !stranger.listings.junk.is_empty()
    }

    /// Whether a client may name a recipient who exists. `listings` is what lists say of him, once
    /// they were asked.
    pub(crate) async fn admit(
        &self,
        service: &Service,
        visit: Visit<'_>,
        listings: &mut Option<Listings>,
    ) -> Result<(), Reply> {
        if let Some(lists) = &self.lists {
            let listed = match listings {
                Some(listed) => listed,
                none => none.insert(lists.look_up(visit.client).await),
            };
            if listed.is_rejected {
                return Err(LISTED);
            }
        }
        match self.greylist {
            None => Ok(()),
            Some(terms) => greylist(service, terms, visit).await,
        }
    }

    /// What becomes of a message.
    pub(crate) async fn judge(
        &self,
        service: &Service,
        stranger: &Stranger,
        message: Bytes,
        now: i64,
        story: &mut Story,
    ) -> Result<Judgement, Reply> {
        let mut evidence =
            Evidence { listed: stranger.listings.junk.clone(), ..Evidence::default() };
        stranger.listings.junk.iter().for_each(|list| story.check("listed", list));
        let mut judgement = Judgement::default();
        if let Some(senders) = &self.senders {
            let found = senders.check(stranger.claim(&message, now)).await;
            info!(id = stranger.id, decision = ?found.decision, why = ?found.reason, "checked");
            judgement.above.clone_from(&found.fields);
            story::checked(story, &found);
            evidence.sender = Some(found);
        }
        let mut outcome = decide(&evidence);
        if let Some(filter) = self.filter.as_ref().filter(|_| !outcome.is_refusal()) {
            let found = filter.ask(stranger.question(), message).await;
            story::filtered(story, &found);
            if let Ok(verdict) = &found {
                info!(id = stranger.id, action = ?verdict.action, score = verdict.score, "filtered");
                judgement.edits = verdict.edits.clone();
            }
            evidence.filter = Some(found);
            outcome = decide(&evidence);
        }
        judgement.verdict = outcome.verdict();
        let reasons = match outcome {
            Outcome::Refuse(reply) => return Err(reply),
            Outcome::Deliver { junk } => junk,
            Outcome::Greylist { junk } => {
                let terms = self.greylist.unwrap_or(FILTER_TERMS);
                greylist(service, terms, stranger.visit()).await?;
                junk
            }
        };
        judgement.above.extend(fields::added(&judgement.edits));
        judgement.above.extend(fields::junk(&reasons));
        judgement.sender = evidence.sender;
        Ok(judgement)
    }
}

impl Stranger {
    fn claim<'a>(&'a self, message: &'a [u8], now: i64) -> Claim<'a> {
        Claim {
            client: self.client,
            client_name: &self.client_name,
            sender: &self.sender,
            message,
            now,
        }
    }

    fn question(&self) -> Question<'_> {
        Question {
            client: self.client,
            client_name: &self.client_name,
            sender: &self.sender,
            recipients: &self.recipients,
            id: self.id,
        }
    }

    fn visit(&self) -> Visit<'_> {
        let recipient = self.recipients.first().map(String::as_str).unwrap_or_default();
        Visit { client: self.client, sender: &self.sender, recipient }
    }
}

async fn greylist(service: &Service, terms: GreylistTerms, visit: Visit<'_>) -> Result<(), Reply> {
    match service.greylist(terms, visit).await {
        Ok(Greylisting::Passes) => Ok(()),
        Ok(Greylisting::ComeAgain) => {
            let Visit { client, sender, recipient } = visit;
            info!(%client, ?sender, ?recipient, "a stranger is to come again");
            Err(GREYLISTED)
        }
        Err(error) => Err(failed(&DeliverError::Temporary(error))),
    }
}

/// It says nothing about the recipient, who may well exist.
const LISTED: Reply = Reply::new(554, "5.7.1", "Your address is on a block list");

const GREYLISTED: Reply = Reply::new(451, "4.7.1", "You are new here, try again in some minutes");

/// How strangers are greylisted when only the filter wishes it.
const FILTER_TERMS: GreylistTerms =
    GreylistTerms { delay_secs: 5 * 60, window_secs: 2 * 86_400, lifetime_secs: 36 * 86_400 };

/// Octets of the fields that are put above a message: those of a filter ([`answer`] has their
/// number and length), the reasons for junk, and results, of which a message has some KiB.
pub(crate) const ABOVE_BYTES_MAX: usize = 48 * 1024;
