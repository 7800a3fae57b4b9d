//! A message on its way in: to whom it goes, and what is made of it while it arrives.
//!
//! LMTP has a reply for each recipient; SMTP has one for all. So that this one is true, everything
//! that can fail is done before anything lasts: each copy is written to its end, each account is
//! asked whether it has room, and what is for other systems is taken by the queue in one commit.
//! Only then are the accounts written to, one after the other. What if one of them fails even so is
//! said at [`is_in_doubt`].

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mail_service::queue::{Action, Origin as Voucher, QueueId};
use mail_service::story::Story;
use mail_service::{
    AccountName, DeliverError, Destinations, Placed, Route, Service, ServiceError, Staged, Staging,
    Verdict,
};
use mail_types::AccountId;
use net::{Peer, Security};
use sender_auth::{Results, Signer};
use smtp_session::{Notify, OriginalRecipient, Recipient, Reply, Role, Transaction};
use tracing::{debug, error};

use crate::connection::{FULL_MAILBOX, cannot_forward, refuse_way};
use crate::delivery::{deliver, deliver_patiently, failed, is_in_doubt};
use crate::header::{Additions, End, HeaderBlock, Split, check_circle, check_hops, submitted};
use crate::held::{Budget, Held};
use crate::inbound::{
    Edits, Inbound, Judgement, Listings, Stranger, UNKNOWN_SENDER, cleaned, cleaned_whole,
};
use crate::outbound::{Envelope, Outgoing};
use crate::receipt::{Receipt, asked_by_both, done_at_once};
use crate::server::SmtpServer;
use crate::story;
use crate::trace::{Arrival, Protocol, Trace, mail_date};

/// Where a message comes from.
pub(crate) struct Origin<'a> {
    pub(crate) server: &'a SmtpServer,
    pub(crate) peer: Peer,
    pub(crate) security: Security,
    /// Who has logged in.
    pub(crate) account: Option<AccountId>,
    /// What the client called itself.
    pub(crate) client_name: String,
    /// Whether it said EHLO.
    pub(crate) is_extended: bool,
    /// What block lists say of it.
    pub(crate) listings: Listings,
}

/// A message that is coming.
pub(crate) struct Intake {
    service: Service,
    role: Role,
    account: Option<AccountId>,
    /// One for each accepted recipient, in their order.
    deliveries: Vec<Delivery>,
    /// The copy for other systems; `Err` when it cannot leave.
    outgoing: Option<Result<Box<dyn Outgoing>, DeliverError>>,
    trace: Trace,
    /// Who brings it, if that must be looked at.
    stranger: Option<(Arc<Inbound>, Stranger)>,
    /// The message as far as it has come, if it must be looked at as a whole.
    held: Option<Held>,
    budget: Arc<Budget>,
    /// Who signs it, if it has its author here, or seals it, if it is forwarded.
    signer: Option<Arc<Signer>>,
    /// The domain that it is signed for.
    signed_for: Option<String>,
    verdict: Verdict,
    /// The header as far as it has come; `None` once it was looked at.
    header: Option<HeaderBlock>,
    additions: Additions,
    hostname: String,
    /// Why nobody gets the message.
    refusal: Option<Reply>,
    /// What its sender is told of success, if he wants to be told.
    receipt: Option<Receipt>,
    /// What is told of it, whatever becomes of it.
    story: Story,
}

/// A message on its way to one recipient. Each has a copy of its own, because each has a
/// Delivered-To of its own.
struct Delivery {
    /// The recipient's address.
    address: String,
    /// Every account that the recipient stands for.
    routes: Vec<Route>,
    /// Those of them that no recipient before stands for: nobody gets a message twice.
    own: Vec<Route>,
    /// Whether he stands for somebody elsewhere.
    is_forwarded: bool,
    /// `Err` when it cannot be delivered any more, with the reason.
    staging: Result<Staging, DeliverError>,
}

/// A copy that waits for nothing but its commit.
type Ready = (Vec<Route>, Staged);

impl Intake {
    pub(crate) async fn begin(origin: Origin<'_>, transaction: Transaction) -> Result<Self, Reply> {
        let Origin { server, peer, account, .. } = origin;
        let now = now_secs();
        let (id, date) = (next_id(), mail_date(now));
        let hostname = &server.settings.hostname;
        let arrival = Arrival {
            protocol: origin.protocol(),
            client_name: &origin.client_name,
            client_ip: peer.network().map(|_| peer.ip()),
            hostname,
            security: origin.security,
            utf8: transaction.utf8,
            id,
            date: &date,
        };
        let (client_name, sender) = (&origin.client_name, &transaction.reverse_path);
        debug!(%peer, id, ?client_name, ?sender, "message arrives");
        let stranger = origin.stranger(&transaction, id);
        let looks =
            |(inbound, stranger): &(Arc<Inbound>, Stranger)| inbound.looks_at_messages_of(stranger);
        let is_held = stranger.as_ref().is_some_and(looks);
        let budget = Arc::clone(&server.budget);
        let held = is_held.then(|| Held::new(server.service.clone(), Arc::clone(&budget)));
        let mut intake = Self {
            service: server.service.clone(),
            role: server.settings.role,
            account,
            deliveries: Vec::new(),
            outgoing: None,
            trace: Trace::new(&transaction.reverse_path, &arrival),
            stranger,
            held,
            budget,
            signer: server.settings.signer.clone(),
            signed_for: None,
            verdict: Verdict::Wanted,
            header: Some(HeaderBlock::default()),
            additions: Additions { message_id: format!("<{now}.{id:016x}@{hostname}>"), date },
            hostname: hostname.clone(),
            refusal: None,
            receipt: None,
            story: story::begin(&origin, &transaction, id),
        };
        let outbound = server.settings.outbound.as_ref();
        let (mut outward, mut done) = (Vec::new(), Vec::new());
        for recipient in &transaction.recipients {
            let sender = &transaction.reverse_path;
            done.push(intake.add(server, sender, recipient, &mut outward).await?);
        }
        intake.receipt = Receipt::asked(server, &transaction, id, done);
        let leaves = intake.outgoing.is_none() && !outward.is_empty();
        if let Some(outbound) = outbound.filter(|_| leaves) {
            let forwarded_as = intake.forwarding_path(&transaction.reverse_path)?;
            let transaction = Transaction { recipients: outward, ..transaction };
            let account = account_name(&intake.service, account).await?;
            if let (Some(receipt), Some(name)) = (&mut intake.receipt, &account) {
                receipt.proved(Voucher::Account(name.as_str().to_owned()));
            }
            let envelope = Envelope { transaction, forwarded_as, account, id };
            intake.outgoing = Some(Ok(outbound.begin(envelope)));
        }
        if intake.held.is_none() {
            intake.open(b"").await;
        }
        Ok(intake)
    }

    /// Begins each copy with the fields that stand in front of the message.
    async fn open(&mut self, above: &[u8]) {
        for delivery in self.deliveries.iter_mut().filter(|it| !it.own.is_empty()) {
            delivery.push(&self.trace.fields(&delivery.address, above)).await;
        }
        let passed = self.passed();
        self.push_out(&passed).await;
        self.push_out(above).await;
        let received = self.trace.received().to_vec();
        self.push_out(&received).await;
    }

    /// The field that says for whom the copy for other systems was forwarded, by which a circle is
    /// found. Of several recipients none must learn of another one. RFC 5321 §6.3, §7.2
    fn passed(&self) -> Vec<u8> {
        let mut forwarded = self.forwarded();
        match (forwarded.next(), forwarded.next()) {
            (Some(only), None) => Trace::passed(only),
            _ => Vec::new(),
        }
    }

    /// Recipients who stand for somebody elsewhere, of a message that a stranger has brought.
    fn forwarded(&self) -> impl Iterator<Item = &str> {
        let recipients = self.deliveries.iter().filter(|_| self.role != Role::Submission);
        recipients.filter(|it| it.is_forwarded).map(|it| it.address.as_str())
    }

    /// Under which reverse-path the copy for other systems leaves, if not under the sender's own.
    /// All of them have one: it is of the domain of the first who is forwarded.
    fn forwarding_path(&self, sender: &str) -> Result<Option<String>, Reply> {
        let Some(first) = self.forwarded().next() else { return Ok(None) };
        self.service.forwarding_path(sender, first).map_err(cannot_forward)
    }

    async fn push_out(&mut self, text: &[u8]) {
        if let Some(Ok(outgoing)) = &mut self.outgoing
            && let Err(error) = outgoing.push(text).await
        {
            self.outgoing = Some(Err(error.into()));
        }
    }

    /// Finds out where the mail of a recipient goes, and begins his copy. What becomes of him once
    /// the message is taken, if anything does.
    async fn add(
        &mut self,
        server: &SmtpServer,
        sender: &str,
        recipient: &Recipient,
        outward: &mut Vec<Recipient>,
    ) -> Result<Option<Action>, Reply> {
        let all_out = self.role == Role::Submission && server.settings.outbound.is_some();
        let mut delivery = Delivery {
            address: recipient.address.clone(),
            routes: Vec::new(),
            own: Vec::new(),
            is_forwarded: all_out,
            staging: Ok(self.service.stage_delivery(&[])),
        };
        let found = self.service.destinations(&recipient.address).await;
        let found = found.map_err(|error| failed(&error))?;
        if refuse_way(server, sender, &recipient.address, &found).is_some() {
            // He was accepted, and stands for somebody else by now: when he is named again, it is
            // said why not.
            self.outgoing = Some(Err(DeliverError::Temporary(ServiceError::Busy)));
        }
        let Destinations { local, remote, .. } = found;
        delivery.is_forwarded = all_out || !remote.is_empty();
        let (count, is_kept) = (local.len() + remote.len(), !delivery.is_forwarded);
        for address in remote {
            // Elsewhere the letter case of a local part may matter. RFC 5321 §2.4
            let is_same = |one: &str, other: &str| one == other;
            add_outward(outward, instead_of(recipient, address, count), is_same);
        }
        let (addresses, routes): (Vec<_>, Vec<_>) =
            local.into_iter().map(|kept| (kept.address, kept.route)).unzip();
        if all_out {
            for address in addresses {
                let next = instead_of(recipient, address, count);
                add_outward(outward, next, str::eq_ignore_ascii_case);
            }
        } else {
            delivery.own = self.not_known(&routes);
            delivery.routes = routes;
        }
        let own: usize = self.deliveries.iter().map(|it| it.own.len()).sum();
        if own + delivery.own.len() + outward.len() > DESTINATIONS_MAX {
            return Err(Reply::new(452, "4.5.3", "Too many recipients in all"));
        }
        if !delivery.own.is_empty() {
            delivery.staging = Ok(self.service.stage_delivery(&delivery.own));
        }
        self.deliveries.push(delivery);
        Ok(done_at_once(count, is_kept))
    }

    fn not_known(&self, routes: &[Route]) -> Vec<Route> {
        let known = |route: &Route| self.deliveries.iter().any(|it| it.own.contains(route));
        routes.iter().filter(|route| !known(route)).cloned().collect()
    }

    /// What is added to the message where it is missing.
    pub(crate) fn additions(&self) -> &Additions {
        &self.additions
    }

    /// Takes the next piece of the text.
    pub(crate) async fn push(&mut self, text: &[u8]) {
        self.story.grew(text.len());
        if self.refusal.is_some() {
            return;
        }
        match &mut self.header {
            None => self.keep(text).await,
            Some(block) => {
                if let Some(split) = block.push(text) {
                    self.take_header(split).await;
                }
            }
        }
    }

    async fn take_header(&mut self, split: Split) {
        self.header = None;
        self.story.header(&split.header);
        if let Some(receipt) = &mut self.receipt {
            receipt.header(&split.header);
        }
        match self.judge(&split).await {
            Ok(header) => {
                let header = header.as_deref().unwrap_or(&split.header);
                self.story.header(header);
                self.keep(header).await;
                self.keep(&split.rest).await;
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// What was stored of it is forgotten now, not at its end.
    fn refuse(&mut self, refusal: Reply) {
        self.refusal = Some(refusal);
        self.deliveries.iter_mut().for_each(|it| it.staging = Err(DeliverError::TooLarge));
        self.outgoing = None;
        self.held = None;
    }

    /// What takes the place of the header, if something must; or why nobody gets the message.
    async fn judge(&mut self, split: &Split) -> Result<Option<Vec<u8>>, Reply> {
        match self.role {
            // It comes from a server that has looked at it.
            Role::Lmtp => Ok(None),
            Role::Mx => {
                check_hops(&split.header)?;
                check_circle(&split.header, self.forwarded())?;
                if self.stranger.is_some() && split.end == End::TooLong {
                    return Err(HEADER_TOO_LONG);
                }
                if self.stranger.is_none() || self.held.is_some() {
                    return Ok(None);
                }
                Ok(Some(cleaned(&split.header, &self.hostname, &Edits::default())))
            }
            Role::Submission => {
                if split.end == End::TooLong {
                    return Err(HEADER_TOO_LONG);
                }
                let done = submitted(&split.header, &self.additions)?;
                let Some(account) = self.account else { return Err(NOT_YOURS) };
                for sender in &done.senders {
                    match self.service.may_send_as(account, sender).await {
                        Ok(true) => {}
                        Ok(false) => return Err(NOT_YOURS),
                        Err(error) => return Err(failed(&DeliverError::Temporary(error))),
                    }
                }
                self.hold_for_signature(done.author_domain);
                Ok(Some(done.header))
            }
        }
    }

    fn hold_for_signature(&mut self, domain: String) {
        if self.signer.as_ref().is_some_and(|signer| signer.signs_for(&domain)) {
            self.signed_for = Some(domain);
            self.held = Some(Held::new(self.service.clone(), Arc::clone(&self.budget)));
        }
    }

    /// Stores the next octets, or holds them until the message has come.
    async fn keep(&mut self, text: &[u8]) {
        match &mut self.held {
            Some(held) => held.push(text).await,
            None => self.store(text).await,
        }
    }

    async fn store(&mut self, text: &[u8]) {
        for delivery in self.deliveries.iter_mut().filter(|it| !it.own.is_empty()) {
            delivery.push(text).await;
        }
        self.push_out(text).await;
    }

    /// Looks at the message that was held, and stores it with what is to stand in front of it.
    async fn release(&mut self, held: Held) -> Result<(), Reply> {
        let mut whole = held.finish().await?;
        if let Some((inbound, stranger)) = &self.stranger {
            let text = whole.text.clone();
            let story = &mut self.story;
            let judged = inbound.judge(&self.service, stranger, text, now_secs(), story).await?;
            self.verdict = judged.verdict;
            if let Some(refusal) = self.refuse_to_forward(&judged) {
                return Err(refusal);
            }
            if judged.sender.as_ref().is_some_and(|found| found.is_sender_proved) {
                self.vouch();
            }
            // It takes the place of what came: the budget counts one.
            whole.text = cleaned_whole(whole.text, &self.hostname, &judged.edits);
            if let (Some((signer, domain)), Some(found)) = (self.sealer(), judged.sender) {
                let text = whole.text.clone();
                self.push_out(&seal(signer, domain, found.results, text).await).await;
            }
            self.open(&judged.above).await;
        } else if let (Some(signer), Some(domain)) = (self.signer.clone(), self.signed_for.take()) {
            let signature = sign(signer, domain, whole.text.clone()).await?;
            self.store(&signature).await;
        }
        // In pieces, so that no copy takes more memory than one.
        for piece in whole.text.chunks(PIECE_BYTES) {
            self.store(piece).await;
        }
        Ok(())
    }

    /// Why a message that would be taken here is not forwarded, and so not taken: the one reply is
    /// for all recipients, and nothing vanishes.
    fn refuse_to_forward(&self, judged: &Judgement) -> Option<Reply> {
        self.outgoing.as_ref()?;
        // Who forwards junk is soon taken for its sender.
        if judged.verdict == Verdict::Junk {
            return Some(JUNK_FOR_ELSEWHERE);
        }
        // Under a path of ours SPF would prove that it is from here, whoever is shown as its
        // author. RFC 7489 §3.1.2
        let found = judged.sender.as_ref()?;
        if found.lacks_author {
            return Some(NOT_FROM_HERE);
        }
        let is_claimed = found.unproved.iter().any(|domain| self.service.is_kin(domain));
        is_claimed.then_some(if found.is_open { UNKNOWN_SENDER } else { NOT_FROM_HERE })
    }

    /// Who seals a message that is forwarded, and for which domain: the one that forwards it.
    fn sealer(&self) -> Option<(Arc<Signer>, String)> {
        let (_, domain) = self.forwarded().next()?.rsplit_once('@')?;
        let signer = self.signer.clone()?;
        signer.seals_for(domain).then(|| (signer, domain.to_owned()))
    }

    /// The sender is a stranger who is proved.
    fn vouch(&mut self) {
        if let Some(receipt) = &mut self.receipt {
            receipt.proved(Voucher::Vouched);
        }
        if let Some(Ok(outgoing)) = &mut self.outgoing {
            outgoing.vouch();
        }
    }

    /// The message is whole: delivers it, and says what became of it.
    ///
    /// # Errors
    /// When nothing true can be said; see [`is_in_doubt`].
    pub(crate) async fn deliver(mut self) -> io::Result<Vec<Reply>> {
        if let Some(block) = self.header.take() {
            self.take_header(block.finish()).await;
        }
        if let Some(held) = self.held.take()
            && let Err(refusal) = self.release(held).await
        {
            self.refuse(refusal);
        }
        let replies = match self.refusal {
            Some(refusal) if self.role == Role::Lmtp => vec![refusal; self.deliveries.len()],
            Some(refusal) => vec![refusal],
            None if self.role == Role::Lmtp => self.deliver_each().await,
            None => vec![self.deliver_all().await?],
        };
        story::answered(&mut self.story, &replies);
        Ok(replies)
    }

    /// A reply for each accepted recipient, true for him. One who stands for several and whose
    /// message did not reach them all is tried again by the client for all of them.
    async fn deliver_each(&mut self) -> Vec<Reply> {
        let sent = commit(self.outgoing.take(), &mut self.story).await;
        let mut done: Vec<(Route, Result<Placed, DeliverError>)> = Vec::new();
        let mut replies = Vec::with_capacity(self.deliveries.len());
        for delivery in std::mem::take(&mut self.deliveries) {
            let Delivery { routes, own, is_forwarded, staging, .. } = delivery;
            if !own.is_empty() {
                let staged = finish(staging).await;
                for route in own {
                    let result = match &staged {
                        Ok(staged) => deliver(&self.service, self.verdict, &route, staged).await,
                        Err(error) => Err(error.clone()),
                    };
                    result.iter().for_each(|placed| self.story.placed(placed));
                    done.push((route, result));
                }
            }
            let of_route = |route| done.iter().find(|(it, _)| it == route).map(|(_, it)| it);
            let failure = routes.iter().filter_map(of_route).find_map(|it| it.as_ref().err());
            let failure = failure.or_else(|| sent.as_ref().err().filter(|_| is_forwarded));
            replies.push(failure.map_or(Reply::new(250, "2.0.0", "Delivered"), failed));
        }
        replies
    }

    /// One reply for all.
    async fn deliver_all(&mut self) -> io::Result<Reply> {
        let deliveries = std::mem::take(&mut self.deliveries);
        let ready = match prepare(&self.service, deliveries).await {
            Ok(ready) => ready,
            Err(refusal) => return Ok(refusal),
        };
        let mut is_durable = self.outgoing.is_some();
        if let Err(error) = commit(self.outgoing.take(), &mut self.story).await {
            return Ok(failed(&error));
        }
        for (routes, staged) in &ready {
            for route in routes {
                let delivered = match is_durable {
                    false => deliver(&self.service, self.verdict, route, staged).await,
                    true => deliver_patiently(&self.service, self.verdict, route, staged).await,
                };
                match delivered {
                    Ok(placed) => {
                        self.story.placed(&placed);
                        is_durable = true;
                    }
                    Err(error) if !is_durable => return Ok(failed(&error)),
                    Err(error) => {
                        error!(%error, account = %route.account, "delivered to others only");
                        return Err(is_in_doubt());
                    }
                }
            }
        }
        if let Some(receipt) = self.receipt.take() {
            receipt.send(&self.service, &mut self.story).await;
        }
        Ok(Reply::new(250, "2.0.0", "Accepted"))
    }
}

impl Delivery {
    async fn push(&mut self, text: &[u8]) {
        let Ok(staging) = &mut self.staging else { return };
        if let Err(error) = staging.push(text).await {
            self.staging = Err(error.into());
        }
    }
}

impl Origin<'_> {
    /// Who brings a message, if he is one who must pass what strangers must.
    fn stranger(&self, transaction: &Transaction, id: u64) -> Option<(Arc<Inbound>, Stranger)> {
        let inbound = self.server.inbound()?;
        let client = inbound.stranger(self.peer)?;
        let recipients = transaction.recipients.iter().map(|it| it.address.clone()).collect();
        let stranger = Stranger {
            client,
            client_name: self.client_name.clone(),
            sender: transaction.reverse_path.clone(),
            recipients,
            id,
            listings: self.listings.clone(),
        };
        Some((Arc::clone(inbound), stranger))
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self.server.settings.role {
            Role::Lmtp => Protocol::Lmtp,
            Role::Mx | Role::Submission if self.account.is_some() => Protocol::EsmtpAuth,
            Role::Mx | Role::Submission if self.is_extended => Protocol::Esmtp,
            Role::Mx | Role::Submission => Protocol::Smtp,
        }
    }
}

/// The name of who has logged in.
async fn account_name(
    service: &Service,
    account: Option<AccountId>,
) -> Result<Option<AccountName>, Reply> {
    let Some(id) = account else { return Ok(None) };
    let name = service.account_name(id).await;
    name.map(Some).map_err(|error| failed(&error.into()))
}

/// One of `count` for whom a recipient stands. Who was first named is remembered; of one who stands
/// for several success is told at once ([`done_at_once`]), and not once more by each of them. RFC
/// 3461 §5.2.7
fn instead_of(recipient: &Recipient, address: String, count: usize) -> Recipient {
    let notify = match recipient.notify {
        Some(notify) if count > 1 => Some(Notify { success: false, ..notify }),
        notify => notify,
    };
    if address.eq_ignore_ascii_case(&recipient.address) {
        return Recipient { notify, ..recipient.clone() };
    }
    let named = || OriginalRecipient::mailbox(recipient.address.clone());
    let first = recipient.original.clone().unwrap_or_else(named);
    Recipient { address, original: Some(first), notify }
}

/// Adds a recipient elsewhere, each once. Who is named twice is told what was asked for by either.
fn add_outward(outward: &mut Vec<Recipient>, next: Recipient, is_same: fn(&str, &str) -> bool) {
    match outward.iter_mut().find(|it| is_same(&it.address, &next.address)) {
        Some(known) => known.notify = asked_by_both(known.notify, next.notify),
        None => outward.push(next),
    }
}

/// Does everything that can fail and that leaves nothing behind.
async fn prepare(service: &Service, deliveries: Vec<Delivery>) -> Result<Vec<Ready>, Reply> {
    let mut ready = Vec::with_capacity(deliveries.len());
    for Delivery { own, staging, .. } in deliveries.into_iter().filter(|it| !it.own.is_empty()) {
        let staged = finish(staging).await.map_err(|error| failed(&error))?;
        for route in &own {
            match service.has_room(route.account, u64::from(staged.size())).await {
                Ok(true) => {}
                Ok(false) => return Err(FULL_MAILBOX),
                Err(error) => return Err(failed(&error.into())),
            }
        }
        ready.push((own, staged));
    }
    Ok(ready)
}

/// The fields that sign a message, over all that its author wrote.
async fn sign(signer: Arc<Signer>, domain: String, text: Bytes) -> Result<Vec<u8>, Reply> {
    let signing = tokio::task::spawn_blocking(move || signer.sign(&domain, &text, now_secs()));
    match signing.await {
        Ok(Some(signature)) => Ok(signature),
        Ok(None) => Err(NOT_SIGNED),
        Err(error) => {
            error!(%error, "a message was not signed");
            Err(NOT_SIGNED)
        }
    }
}

/// What was found out about a message that is forwarded, sealed, so that who trusts us takes it for
/// what it was when it came here. Without a seal it goes all the same. RFC 8617 §5.1
async fn seal(signer: Arc<Signer>, domain: String, results: Results, text: Bytes) -> Vec<u8> {
    let sealing =
        tokio::task::spawn_blocking(move || signer.seal(&domain, &results, &text, now_secs()));
    let sealed = sealing.await.inspect_err(|error| error!(%error, "a message was not sealed"));
    sealed.ok().flatten().unwrap_or_default()
}

async fn finish(staging: Result<Staging, DeliverError>) -> Result<Staged, DeliverError> {
    Ok(staging?.finish().await?)
}

async fn commit(
    outgoing: Option<Result<Box<dyn Outgoing>, DeliverError>>,
    story: &mut Story,
) -> Result<(), DeliverError> {
    if let Some(outgoing) = outgoing {
        let ids: Vec<QueueId> = outgoing?.commit().await?;
        story.queued(&ids);
    }
    Ok(())
}

/// A number for each message, unlikely to be used twice even by two runs of the program.
fn next_id() -> u64 {
    static START: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let start = START.get_or_init(|| (now_secs().unsigned_abs()) << 24);
    start.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed))
}

fn now_secs() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

const JUNK_FOR_ELSEWHERE: Reply =
    Reply::new(550, "5.7.1", "It looks like junk, and a recipient's mail is forwarded");

const NOT_FROM_HERE: Reply =
    Reply::new(550, "5.7.26", "It is not from the author it names, and would be forwarded as such");

const HEADER_TOO_LONG: Reply = Reply::new(552, "5.3.4", "Header too long");

const NOT_SIGNED: Reply = Reply::new(451, "4.3.0", "Not now, try again later");

const NOT_YOURS: Reply = Reply::new(550, "5.7.1", "From is not an address of yours");

/// The most accounts and addresses elsewhere that one message goes to, lists and all: each account
/// has a compressor of its own while the message comes.
const DESTINATIONS_MAX: usize = 200;

/// How much of a message that was held is stored at a time.
const PIECE_BYTES: usize = 64 * 1024;
