//! What a session needs, done with `mail-service`: one arm for each need.

use std::time::Instant;

use imap_proto::url;
use imap_session::{
    Answer, AppendData, AppendItem, AppendPiece, AppendRequest, AuthenticationRefused, Need, Place,
    ReadRequest, ReplaceRequest, SaslStep, Unread, UrlRequest, UrlToSign,
};
use mail_service::{
    AccountHandle, AuthError, AuthorizedUrl, Channel, MailboxPin, Mechanism, NewMail, Rump,
    SaslProgress, SaslSession, ServiceError, Staged, UrlAccess,
};
use mail_types::{MailboxId, MessageId, Secret};
use mailbox::{Account, Operation, Outcome};
use net::Verdict;
use tokio::sync::watch;
use tracing::info;

use crate::append::Literals;
use crate::connection::{Connection, Ended};
use crate::output::Output;
use crate::settings::FailedLogin;
use crate::trouble;
use crate::visits;

/// The account of a session, and the state of it that the session may look at.
pub(crate) struct Open {
    pub(crate) handle: AccountHandle,
    pub(crate) account: Account,
    pub(crate) changes: watch::Receiver<Account>,
    /// Mailboxes whose contents stay loaded.
    pins: Vec<MailboxPin>,
}

/// A SASL exchange in progress.
pub(crate) struct Exchange {
    session: SaslSession,
    /// The name that the client claims, as far as it has said one.
    claimed: Vec<u8>,
    mechanism: Mechanism,
}

/// What the client says in a step of an exchange.
enum Input {
    First(Option<Secret>),
    Later(Secret),
}

impl Open {
    pub(crate) fn new(handle: AccountHandle) -> Self {
        let changes = handle.watch();
        let account = handle.current();
        Self { handle, account, changes, pins: Vec::new() }
    }

    /// Looks at the newest state.
    pub(crate) fn look(&mut self) {
        self.account = self.changes.borrow_and_update().clone();
    }

    /// Keeps only this mailbox loaded: the one that is selected.
    pub(crate) fn keep(&mut self, selected: Option<MailboxId>) {
        let mut kept = selected;
        self.pins.retain(|pin| kept.take_if(|id| *id == pin.mailbox()).is_some());
        self.pins.shrink_to_fit();
    }

    async fn load(&mut self, mailbox: MailboxId) -> Answer {
        match self.handle.load(mailbox).await {
            Ok((account, pin)) => {
                self.account = account;
                self.pins.push(pin);
                Answer::Ready
            }
            // The session sees for itself that it is gone.
            Err(ServiceError::NoSuchMailbox) => self.refresh().await,
            Err(error) => trouble::answer(error),
        }
    }

    /// Brings the state up to what is stored.
    pub(crate) async fn refresh(&mut self) -> Answer {
        match self.handle.state().await {
            Ok(account) => {
                self.account = account;
                Answer::Ready
            }
            Err(error) => trouble::answer(error),
        }
    }

    async fn submit(&mut self, operation: Operation) -> Answer {
        let submitted = self.handle.submit(operation).await;
        self.submitted(submitted)
    }

    fn submitted(&mut self, submitted: Result<(Account, Outcome), ServiceError>) -> Answer {
        match submitted {
            Ok((account, outcome)) => {
                self.account = account;
                Answer::Submitted(Ok(outcome))
            }
            Err(error) => trouble::answer(error),
        }
    }

    async fn rows(&self, messages: &[MessageId]) -> Answer {
        match self.handle.rows(messages).await {
            Ok(rows) => {
                let message = |row: Option<std::sync::Arc<mail_service::MessageRow>>| {
                    row.map(|row| std::sync::Arc::clone(&row.message))
                };
                Answer::Rows(rows.into_iter().map(message).collect())
            }
            Err(error) => trouble::answer(error),
        }
    }

    async fn read(&self, requests: Vec<ReadRequest>) -> Answer {
        read_answer(&self.handle, &requests).await
    }

    /// Tokens for URLs on the account's mailboxes. RFC 4467 §5
    async fn authorize(&self, urls: Vec<UrlToSign>) -> Answer {
        let rump = |UrlToSign { owner, mailbox, text }| Rump { owner, mailbox, text };
        match self.handle.authorize_urls(urls.into_iter().map(rump).collect()).await {
            Ok(tokens) => Answer::UrlTokens(tokens),
            // Deleted between the look and the commit.
            Err(ServiceError::NoSuchMailbox) => Answer::UrlTokens(None),
            Err(error) => trouble::answer(error),
        }
    }

    /// Reads octets that are to be sent.
    async fn hold(&self, requests: Vec<ReadRequest>, output: &mut Output) -> Answer {
        let parts = match read_each(&self.handle, &requests).await {
            Ok(parts) => parts,
            Err(error) => return trouble::answer(error),
        };
        let hold = |(request, octets): (ReadRequest, Result<Vec<u8>, Unread>)| {
            let octets = octets?;
            // A message never shrinks, so what is shorter than its row says is damaged.
            if octets.len() as u64 != request.range.end.saturating_sub(request.range.start) {
                return Err(Unread::Failed(trouble::shorter(request.message)));
            }
            output.hold(request.message, request.range.start, octets);
            Ok(())
        };
        Answer::Held(requests.into_iter().zip(parts).map(hold).collect())
    }
}

impl Connection {
    /// Does what the session needs.
    ///
    /// # Errors
    /// When the connection ends meanwhile.
    pub(crate) async fn satisfy(&mut self, need: Need) -> Result<Answer, Ended> {
        if self.open.is_none() {
            return self.satisfy_stranger(need).await;
        }
        let answer = match need {
            Need::Append(request) => self.add(request).await,
            Need::Replace(request) => self.replace(request).await,
            Need::Visit(owner) => self.visit(&owner).await,
            Need::Stay => self.stay().await?,
            Need::Sharers => self.sharers().await,
            Need::CopyAcross(request) => self.copy_across(request).await,
            Need::SetAcl(request) => self.set_acl(request).await,
            Need::Flush => {
                self.send().await?;
                self.lent = None;
                Answer::Ready
            }
            Need::OpenUrl(request) => {
                // What was written before belongs to the session's own account.
                self.send().await?;
                self.open_url(*request).await
            }
            Need::ReadUrl(requests) => match &self.lent {
                Some(lent) => read_answer(lent, &requests).await,
                None => Answer::Failed(imap_session::Trouble::Unavailable),
            },
            Need::Login { .. } | Need::Sasl(_) | Need::ClientResponse => {
                return self.satisfy_stranger(need).await;
            }
            need => self.satisfy_there(need).await,
        };
        Ok(answer)
    }

    /// What the session needs of the account that it asks now.
    async fn satisfy_there(&mut self, need: Need) -> Answer {
        // A search in many mailboxes loads them one after the other.
        if matches!(need, Need::Open(_)) {
            self.keep_selected();
        }
        let place = self.session.place();
        let is_guest = self.session.is_guest();
        // Of the selected mailbox news is told at the end of a command about any account. What
        // cannot be looked at now, the next command about it will meet.
        if let (Need::Refresh, Place::Own | Place::Visited, Some(selected)) =
            (&need, place, &mut self.visits.selected)
        {
            selected.refresh().await;
        }
        let open = self.visits.account_at(place, is_guest, self.open.as_deref_mut());
        let Some(open) = open else { return Answer::Failed(imap_session::Trouble::AccountGone) };
        match need {
            Need::Refresh => open.refresh().await,
            Need::Open(mailbox) => open.load(mailbox).await,
            Need::Submit(operation) => open.submit(operation).await,
            Need::Rows(messages) => open.rows(&messages).await,
            Need::Read(requests) => open.read(requests).await,
            Need::Hold(requests) => open.hold(requests, &mut self.output).await,
            Need::AuthorizeUrls(urls) => open.authorize(urls).await,
            Need::ResetAccessKeys(mailbox) => match open.handle.reset_access_keys(mailbox).await {
                Ok(()) => Answer::Ready,
                Err(error) => trouble::answer(error),
            },
            // Everything else is no matter of one account.
            _ => Answer::Failed(imap_session::Trouble::Unavailable),
        }
    }

    /// Keeps the selected mailbox loaded, and no other.
    pub(crate) fn keep_selected(&mut self) {
        let selected = self.session.selected_mailbox();
        let (own, other) = match self.session.is_guest() {
            true => (None, selected),
            false => (selected, None),
        };
        if let Some(open) = &mut self.open {
            open.keep(own);
        }
        if let Some(open) = &mut self.visits.selected {
            open.keep(other);
        }
    }

    /// What can be needed before there is an account.
    async fn satisfy_stranger(&mut self, need: Need) -> Result<Answer, Ended> {
        let answer = match need {
            Need::Login { user, password } => self.login(user, password).await,
            Need::Sasl(step) => self.sasl(step).await,
            Need::ClientResponse => return self.client_response().await,
            Need::Flush => {
                self.send().await?;
                Answer::Ready
            }
            Need::Refresh
            | Need::Open(_)
            | Need::Submit(_)
            | Need::Append(_)
            | Need::Replace(_)
            | Need::Rows(_)
            | Need::Read(_)
            | Need::Hold(_)
            | Need::AuthorizeUrls(_)
            | Need::ResetAccessKeys(_)
            | Need::OpenUrl(_)
            | Need::ReadUrl(_)
            | Need::Visit(_)
            | Need::Stay
            | Need::Sharers
            | Need::CopyAcross(_)
            | Need::SetAcl(_) => Answer::Failed(imap_session::Trouble::AccountGone),
        };
        Ok(answer)
    }

    async fn login(&mut self, user: Vec<u8>, password: Secret) -> Answer {
        if self.throttled(&user) {
            return TOO_MANY;
        }
        // A name that is no UTF-8 is the name of nobody; it takes as long as any other.
        let name = String::from_utf8_lossy(&user).into_owned();
        match self.shared.service.authenticate(&name, &password).await {
            Ok(handle) => self.logged_in(handle, &user, None),
            Err(error) => self.refused(error, &user).await,
        }
    }

    async fn sasl(&mut self, step: SaslStep) -> Answer {
        let (mut exchange, input) = match step {
            SaslStep::Start { mechanism, initial } => {
                let Some(mechanism) = Mechanism::from_name(&mechanism) else {
                    return trouble::refused(AuthError::Malformed);
                };
                let session = match self.shared.service.sasl(mechanism, self.channel()) {
                    Ok(session) => session,
                    Err(error) => return trouble::refused(error),
                };
                let exchange = Exchange { session, claimed: Vec::new(), mechanism };
                (Box::new(exchange), Input::First(initial))
            }
            SaslStep::Response(response) => match self.exchange.take() {
                Some(exchange) => (exchange, Input::Later(response)),
                None => return trouble::refused(AuthError::Malformed),
            },
        };
        if let Input::First(Some(response)) | Input::Later(response) = &input {
            exchange.note_claim(response.expose());
        }
        let is_counted = exchange.session.has_failed();
        if !is_counted && self.throttled(&exchange.claimed) {
            return TOO_MANY;
        }
        let progress = match &input {
            Input::First(initial) => {
                exchange.session.begin(initial.as_ref().map(Secret::expose)).await
            }
            Input::Later(response) => exchange.session.respond(response.expose()).await,
        };
        match progress {
            Ok(SaslProgress::Challenge(challenge)) => {
                // It counts now: the client may never answer what it is told of a refused token.
                if exchange.session.has_failed() {
                    self.count_failure(&exchange.claimed).await;
                }
                self.exchange = Some(exchange);
                Answer::Challenge(challenge)
            }
            Ok(SaslProgress::Done { account, data }) => {
                self.logged_in(account, &exchange.claimed, data)
            }
            Err(error) if is_counted => trouble::refused(error),
            Err(error) => self.refused(error, &exchange.claimed).await,
        }
    }

    /// What a login on this connection can rest on.
    fn channel(&self) -> Channel {
        let Some(stream) = &self.stream else { return Channel::default() };
        Channel { exporter: stream.channel_binding(), certified: stream.certified_names() }
    }

    fn throttled(&self, user: &[u8]) -> bool {
        let verdict = self.shared.throttle.check(self.peer, user, Instant::now());
        verdict == Verdict::Refuse
    }

    fn logged_in(&mut self, handle: AccountHandle, user: &[u8], data: Option<Vec<u8>>) -> Answer {
        self.shared.throttle.succeeded(self.peer, user, Instant::now());
        info!(peer = %self.peer, account = %handle.id(), "logged in");
        self.session.set_account(handle.name(), handle.id());
        self.session.set_account_hidden(handle.hidden_capabilities().to_vec());
        self.open = Some(Box::new(Open::new(handle)));
        self.exchange = None;
        Answer::Authenticated { data }
    }

    async fn refused(&mut self, error: AuthError, user: &[u8]) -> Answer {
        if matches!(error, AuthError::Denied | AuthError::NotAuthorized) {
            self.count_failure(user).await;
        }
        trouble::refused(error)
    }

    async fn count_failure(&mut self, user: &[u8]) {
        info!(peer = %self.peer, "login refused");
        let delay = self.shared.throttle.failed(self.peer, user, Instant::now());
        if self.shared.settings.patience.failed_login == FailedLogin::Slow {
            tokio::time::sleep(delay).await;
        }
    }

    async fn add(&mut self, request: AppendRequest) -> Answer {
        let Some((own, target)) = self.own_and_asked() else {
            return Answer::Failed(imap_session::Trouble::AccountGone);
        };
        let mut mails = Vec::with_capacity(request.messages.len());
        for item in request.messages {
            match new_mail(&mut self.literals, (&own, &target), item).await {
                Ok(mail) => mails.push(mail),
                Err(error) => return trouble::answer(error),
            }
        }
        let added = target.append(request.mailbox, mails).await;
        self.submitted_there(added)
    }

    /// The session's own account, where literals are staged, and the one that it asks now.
    fn own_and_asked(&mut self) -> Option<(AccountHandle, AccountHandle)> {
        let own = self.open.as_ref()?.handle.clone();
        Some((own, self.asked()?.handle.clone()))
    }

    fn submitted_there(&mut self, done: Result<(Account, Outcome), ServiceError>) -> Answer {
        match self.asked() {
            Some(open) => open.submitted(done),
            None => Answer::Failed(imap_session::Trouble::AccountGone),
        }
    }

    /// Has it decided whether this session may have what the URL names. RFC 4467 §6
    async fn open_url(&mut self, request: UrlRequest) -> Answer {
        let (Some(open), Some(url)) = (&self.open, authorized_url(request)) else {
            return Answer::UrlOpened(None);
        };
        match self.shared.service.open_url(open.handle.id(), &url).await {
            Ok(Some(found)) => {
                let row = std::sync::Arc::clone(&found.row.message);
                self.lent = Some(found.owner);
                Answer::UrlOpened(Some((found.message, row)))
            }
            Ok(None) => Answer::UrlOpened(None),
            Err(error) => trouble::answer(error),
        }
    }

    /// REPLACE. RFC 8508
    async fn replace(&mut self, request: ReplaceRequest) -> Answer {
        let Some((own, target)) = self.own_and_asked() else {
            return Answer::Failed(imap_session::Trouble::AccountGone);
        };
        let ReplaceRequest { from, uid, to, message } = request;
        match new_mail(&mut self.literals, (&own, &target), message).await {
            Ok(mail) => {
                let replaced = target.replace((from, uid), to, mail).await;
                self.submitted_there(replaced)
            }
            Err(error) => trouble::answer(error),
        }
    }
}

async fn read_each(
    handle: &AccountHandle,
    requests: &[ReadRequest],
) -> Result<Vec<Result<Vec<u8>, Unread>>, ServiceError> {
    let parts = requests.iter().map(|it| (it.message, it.range.clone())).collect();
    let read = handle.read_each(parts).await?;
    let one =
        |(request, octets): (&ReadRequest, Result<Option<Vec<u8>>, ServiceError>)| match octets {
            Ok(octets) => octets.ok_or(Unread::Gone),
            Err(error) => {
                Err(Unread::Failed(trouble::unread(handle.id(), request.message, &error)))
            }
        };
    Ok(requests.iter().zip(read).map(one).collect())
}

async fn read_answer(handle: &AccountHandle, requests: &[ReadRequest]) -> Answer {
    match read_each(handle, requests).await {
        Ok(parts) => Answer::Read(parts),
        Err(error) => trouble::answer(error),
    }
}

/// The URL as the service takes it; `None` for one without an owner or a token.
fn authorized_url(request: UrlRequest) -> Option<AuthorizedUrl> {
    let UrlRequest { url, text } = request;
    let auth = url.auth?;
    let verifier = auth.verifier?;
    // Nothing but the verifier is taken off the text. RFC 4467 §6
    let rump = text.get(..verifier.rump_bytes)?.to_vec();
    Some(AuthorizedUrl {
        owner: url.server?.user?,
        mailbox: url.mailbox,
        uid_validity: url.uid_validity,
        uid: url.uid,
        access: match auth.access {
            url::UrlAccess::Submit(_) => UrlAccess::Submit,
            url::UrlAccess::User(user) => UrlAccess::User(user),
            url::UrlAccess::AuthUser | url::UrlAccess::Anonymous => UrlAccess::AnyUser,
        },
        expire: auth.expire,
        rump: String::from_utf8(rump).ok()?,
        token: verifier.token,
    })
}

/// A message of a command, staged by now: made of what is in the session's own account, for the
/// one that it goes to.
async fn new_mail(
    literals: &mut Literals,
    (handle, target): (&AccountHandle, &AccountHandle),
    item: AppendItem,
) -> Result<NewMail, ServiceError> {
    let AppendItem { data, flags, date, annotations } = item;
    let staged = match data {
        AppendData::Staged { index } => literals.take(index)?,
        AppendData::Inline(bytes) => {
            let mut staging = handle.stage();
            staging.push(&bytes).await?;
            staging.finish().await?
        }
        AppendData::Catenated(pieces) => catenate(literals, handle, pieces).await?,
    };
    let mail = NewMail { staged, flags, date, annotations };
    visits::moved(mail, handle, target).await
}

/// Puts a message together, piece by piece: it is never in memory as a whole. RFC 4469 §3
async fn catenate(
    literals: &mut Literals,
    handle: &AccountHandle,
    pieces: Vec<AppendPiece>,
) -> Result<Staged, ServiceError> {
    let mut staging = handle.stage();
    for piece in pieces {
        let (reader, mut range) = match piece {
            AppendPiece::Inline(bytes) => {
                staging.push(&bytes).await?;
                continue;
            }
            AppendPiece::Staged { index, size } => {
                (handle.open_staged(literals.take(index)?).await?, 0..size)
            }
            AppendPiece::Stored(ReadRequest { message, range }) => {
                let reader = handle.open_message(message).await?;
                (reader.ok_or(ServiceError::NoSuchMessage)?, range)
            }
        };
        while !range.is_empty() {
            let octets = reader.read(range.clone()).await?;
            if octets.is_empty() {
                return Err(ServiceError::NoSuchMessage);
            }
            staging.push(&octets).await?;
            range.start += octets.len() as u64;
        }
    }
    staging.finish().await
}

impl Exchange {
    /// Remembers who the client says it is.
    fn note_claim(&mut self, response: &[u8]) {
        if self.claimed.is_empty() {
            self.claimed = self.mechanism.claimed(response).unwrap_or_default().to_vec();
        }
    }
}

const TOO_MANY: Answer = Answer::AuthenticationRefused(AuthenticationRefused::TooMany);
