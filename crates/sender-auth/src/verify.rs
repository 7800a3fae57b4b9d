//! All that is found out about one message.

use std::net::IpAddr;
use std::sync::Arc as Shared;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::apart::apart;
use crate::arc::{self, Arc, ArcResult};
use crate::author;
use crate::decision::{Decision, Findings, Settings, decide};
use crate::dkim::{self, Dkim};
use crate::dmarc::{self, Dmarc, DmarcResult, Policy, Proofs};
use crate::domain;
use crate::message::Message;
use crate::names::Source;
use crate::results::{Results, Told};
use crate::spf::{self, Identity, Spf, SpfResult};

/// Finds out who messages are really from.
#[derive(Clone)]
pub struct Verifier {
    source: Shared<dyn Source>,
    /// Our own name, in normal form.
    hostname: String,
    settings: Settings,
}

/// A message that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The client's address.
    pub ip: IpAddr,
    /// What it said in EHLO.
    pub helo: &'a str,
    /// The sender of the envelope; `None` (or an empty text) for `<>`.
    pub mail_from: Option<&'a str>,
    /// The whole message, as it came, without fields of ours.
    pub message: &'a [u8],
    /// Seconds since 1970.
    pub now: i64,
}

/// What was found, and what is to be done.
#[derive(Clone, Debug)]
pub struct Report {
    /// SPF of the envelope's sender; of EHLO if that is empty. DMARC looks at this one.
    pub spf: Spf,
    /// SPF of EHLO.
    pub helo: Spf,
    /// The signatures, in the order of the message.
    pub dkim: Vec<Dkim>,
    /// Whether it cannot be said who the author is: a From field that is missing, that is not the
    /// only one, or that cannot be read.
    pub lacks_author: bool,
    /// One for each domain of the From field; empty if that cannot be read.
    pub dmarc: Vec<Dmarc>,
    /// The chain of earlier servers.
    pub arc: Arc,
    /// What is to be done.
    pub decision: Decision,
    /// Why, in words that may stand in a reply; empty with [`Decision::Accept`].
    pub reason: String,
    /// All of this as it is told to others.
    pub results: Results,
    /// Authentication-Results and Received-SPF, each ended by CRLF, to be put before the message.
    /// Foreign ones of our name are to be taken out first: [`crate::strip_results`].
    pub fields: Vec<u8>,
}

impl Verifier {
    /// A verifier that asks this resolver, and writes results in the name of this host.
    pub fn new(resolver: dns::Resolver, hostname: String) -> Self {
        Self::with_source(Shared::new(resolver), hostname)
    }

    /// The same with answers from anywhere.
    pub fn with_source(source: Shared<dyn Source>, hostname: String) -> Self {
        // A host name that is none still makes fields that nobody mistakes.
        let hostname = domain::normal(&hostname).unwrap_or_else(|| "localhost".to_owned());
        Self { source, hostname, settings: Settings::default() }
    }

    /// Uses these settings.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Verifies a message. Answers are waited for no longer than [`VERIFY_TIME_MAX`]; what has none
    /// then counts as a temporary error.
    pub async fn verify(&self, incoming: &Incoming<'_>) -> Report {
        let end = Instant::now() + PROOFS_TIME_MAX;
        let source = self.source.as_ref();
        let octets = incoming.message.len();
        let message = apart(octets, || Message::new(incoming.message));
        let mail_from = incoming.mail_from.filter(|sender| !sender.is_empty());
        let ((helo, sender), dkim, arc) = tokio::join!(
            self.spf(incoming, mail_from, end),
            dkim::verify(source, &message, incoming.now, end),
            timeout_at(end, arc::verify(source, &message)),
        );
        let arc = arc.unwrap_or_else(|_| Arc::late());
        let spf = sender.clone().unwrap_or_else(|| helo.clone());
        let authors = apart(octets, || author::domains(&message));
        let end = Instant::now() + POLICIES_TIME_MAX;
        let proofs = Proofs { dkim: &dkim, spf: &spf };
        let dmarc = join_all(authors.iter().flatten().map(async |author| {
            let found = timeout_at(end, dmarc::check(source, author, &proofs)).await;
            found.unwrap_or_else(|_| Dmarc::late(author))
        }))
        .await;
        let author = authors.as_ref().map(|_| ()).map_err(|problem| *problem);
        let findings = Findings { author, dmarc: &dmarc, spf: &spf, arc: &arc };
        let (decision, reason) = decide(&findings, &self.settings);
        let told = Told {
            id: &self.hostname,
            ip: incoming.ip,
            helo_name: incoming.helo,
            mail_from,
            helo: &helo,
            sender: sender.as_ref(),
            dkim: &dkim,
            dmarc: &dmarc,
            arc: &arc,
        };
        let results = Results::new(&told);
        let fields = told.fields(&results);
        let lacks_author = authors.is_err();
        Report { spf, helo, dkim, lacks_author, dmarc, arc, decision, reason, results, fields }
    }

    /// SPF of EHLO, and of the sender if there is one. RFC 7208 §2.3, §2.4
    async fn spf(
        &self,
        incoming: &Incoming<'_>,
        mail_from: Option<&str>,
        end: Instant,
    ) -> (Spf, Option<Spf>) {
        let postmaster = format!("postmaster@{}", incoming.helo);
        let check = async |sender: &str, domain: &str| {
            let identity = Identity {
                ip: incoming.ip,
                helo: incoming.helo,
                sender,
                domain,
                receiver: &self.hostname,
            };
            let found = timeout_at(end, spf::check(self.source.as_ref(), &identity)).await;
            let late = || Spf { result: SpfResult::TempError, domain: domain::normal(domain) };
            found.unwrap_or_else(|_| late())
        };
        let helo = check(&postmaster, incoming.helo);
        let Some(sender) = mail_from else { return (helo.await, None) };
        // A sender without a domain is one of nobody.
        let domain = sender.rsplit_once('@').map_or("", |(_, domain)| domain);
        let (helo, sender) = tokio::join!(helo, check(sender, domain));
        (helo, Some(sender))
    }
}

impl Arc {
    fn late() -> Self {
        Self { result: ArcResult::TempError, reason: "it took too long", sets: Vec::new() }
    }
}

impl Dmarc {
    fn late(author: &str) -> Self {
        let (result, policy) = (DmarcResult::TempError, Policy::Unknown);
        Self { domain: author.to_owned(), result, policy }
    }
}

/// How long a message may be looked at. The client waits meanwhile, for ten minutes at the end of a
/// text (RFC 5321 §4.5.3.2.6), but its connection is ours too.
pub const VERIFY_TIME_MAX: Duration = PROOFS_TIME_MAX.saturating_add(POLICIES_TIME_MAX);

/// The time for what may stand for an author.
const PROOFS_TIME_MAX: Duration = Duration::from_secs(12);

/// The time for policies is their own: servers of others that do not answer (that of the name in
/// EHLO, say) shall not take it.
const POLICIES_TIME_MAX: Duration = Duration::from_secs(8);
