//! Text of a message that its sender names by a URL: it comes from a mailbox of this server.
//! RFC 4468, RFC 4467, RFC 5092
//!
//! Whether the sender may have what the URL names is decided in `mail-service`, as for URLFETCH; so
//! there is no connection to an IMAP server, and no credentials that could be stolen. What is not
//! kept here is not fetched from elsewhere.

use std::ops::Range;

use imap_proto::types::SectionText;
use imap_proto::url::{self, ImapUrl};
use mail_service::{
    AuthorizedUrl, DeliverError, MessageReader, ServiceError, UrlAccess, UrlMessage,
};
use mime::header::{FieldFilter, subset};
use mime::{Partial, SectionKind};
use smtp_session::Reply;
use tracing::info;

use crate::connection::Connection;
use crate::delivery::failed;
use crate::header::HEADER_BYTES_MAX;

/// What a URL names, on its way into a message.
pub(crate) enum Fetching {
    /// Octets of a stored message, as they are.
    Stored {
        reader: MessageReader,
        /// What has yet to come.
        rest: Range<u64>,
    },
    /// Header fields that the URL chooses; empty when they have been taken.
    Chosen(Vec<u8>),
}

impl Connection<'_> {
    /// Finds what a URL names, for who has logged in.
    pub(crate) async fn fetch(&mut self, text: &str) -> Result<Fetching, Reply> {
        let url = ImapUrl::parse(text.as_bytes()).map_err(|_| NO_URL)?;
        let host = url.server.as_ref().map_or("", |server| server.host.as_str());
        if !self.is_ours(host) {
            return Err(NOT_TRUSTED);
        }
        let requester = self.account.ok_or(NOT_AUTHORIZED)?;
        let authorized = authorized(&url, text).ok_or(NOT_AUTHORIZED)?;
        let found = self.server.service.open_url(requester, &authorized).await;
        let found = found.map_err(trouble)?.ok_or(NOT_AUTHORIZED)?;
        info!(account = %requester, owner = %found.owner.id(), "text by a URL");
        open(&url, found).await
    }

    /// Whether a URL's host is this server: its name, one of its domains or a name below one. The
    /// proof in the URL was made with a key of this server anyway; what is named differently is
    /// meant for another one.
    fn is_ours(&self, host: &str) -> bool {
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
        let is_below = |domain: &String| {
            let rest = host.strip_suffix(&domain.to_ascii_lowercase());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        host.eq_ignore_ascii_case(&self.server.settings.hostname)
            || self.server.service.config().domains.iter().any(is_below)
    }
}

impl Fetching {
    /// The next octets; none at the end.
    pub(crate) async fn next_piece(&mut self) -> Result<Vec<u8>, Reply> {
        match self {
            Self::Chosen(fields) => Ok(std::mem::take(fields)),
            Self::Stored { rest, .. } if rest.is_empty() => Ok(Vec::new()),
            Self::Stored { reader, rest } => {
                let piece = reader.read(rest.clone()).await.map_err(trouble)?;
                if piece.is_empty() {
                    // A message never shrinks, so what is shorter than its row says is damaged.
                    return Err(NOT_AVAILABLE);
                }
                rest.start = rest.start.saturating_add(piece.len() as u64);
                Ok(piece)
            }
        }
    }
}

/// Opens the part of a message that a URL names.
async fn open(url: &ImapUrl, found: UrlMessage) -> Result<Fetching, Reply> {
    let kind = match &url.section.text {
        None => SectionKind::Whole,
        Some(SectionText::Text) => SectionKind::Text,
        Some(SectionText::Mime) => SectionKind::Mime,
        Some(
            SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_),
        ) => SectionKind::Header,
    };
    let section = found.row.message.section(&url.section.part, kind).ok_or(NOT_AVAILABLE)?;
    let reader = found.owner.open_message(found.message).await.map_err(trouble)?;
    let reader = reader.ok_or(NOT_AVAILABLE)?;
    let (names, filter) = match &url.section.text {
        Some(SectionText::HeaderFields(names)) => (names, FieldFilter::Only),
        Some(SectionText::HeaderFieldsNot(names)) => (names, FieldFilter::Except),
        _ => return Ok(Fetching::Stored { reader, rest: clip(url, section) }),
    };
    if section.end.saturating_sub(section.start) > HEADER_BYTES_MAX as u64 {
        return Err(NOT_AVAILABLE);
    }
    let mut whole = Fetching::Stored { reader, rest: section };
    let mut header = Vec::new();
    loop {
        let piece = whole.next_piece().await?;
        if piece.is_empty() {
            break;
        }
        header.extend(piece);
    }
    let mut chosen = subset(&header, &names.0, filter);
    let range = clip(url, 0..chosen.len() as u64);
    chosen.truncate(usize::try_from(range.end).unwrap_or(usize::MAX));
    Ok(Fetching::Chosen(chosen.split_off(usize::try_from(range.start).unwrap_or(0))))
}

/// RFC 5092 §6
fn clip(url: &ImapUrl, range: Range<u64>) -> Range<u64> {
    let Some((origin, count)) = url.partial else { return range };
    Partial { origin, count: count.unwrap_or(u64::MAX) }.clip(range)
}

/// What is asked of the service; `None` for a URL that nobody has authorized.
fn authorized(url: &ImapUrl, text: &str) -> Option<AuthorizedUrl> {
    let auth = url.auth.as_ref()?;
    let verifier = auth.verifier.as_ref().filter(|it| it.mechanism == INTERNAL)?;
    Some(AuthorizedUrl {
        owner: url.server.as_ref()?.user.clone()?,
        mailbox: url.mailbox.clone(),
        uid_validity: url.uid_validity,
        uid: url.uid,
        access: match &auth.access {
            url::UrlAccess::Submit(user) => UrlAccess::SubmitFor(user.clone()),
            url::UrlAccess::User(user) => UrlAccess::User(user.clone()),
            url::UrlAccess::AuthUser | url::UrlAccess::Anonymous => UrlAccess::AnyUser,
        },
        expire: auth.expire,
        // Nothing but the verifier is taken off the text. RFC 4467 §6
        rump: text.get(..verifier.rump_bytes)?.to_owned(),
        token: verifier.token.clone(),
    })
}

fn trouble(error: ServiceError) -> Reply {
    if error.is_damage() {
        tracing::error!(%error, "what a URL names cannot be read");
        return NOT_AVAILABLE;
    }
    failed(&DeliverError::Temporary(error))
}

/// The one mechanism that there is. RFC 4467 §2.4.1
const INTERNAL: &str = "INTERNAL";

const NO_URL: Reply = Reply::new(554, "5.5.4", "This URL names no message");

/// RFC 4468 §5; the code is 5.7.14 and not 5.7.8 since RFC 5248 §2.4 keeps that for logins.
const NOT_TRUSTED: Reply = Reply::new(554, "5.7.14", "URLs of other servers are not fetched");

/// RFC 4468 §3.4: whatever is wrong with it.
const NOT_AUTHORIZED: Reply = Reply::new(554, "5.7.0", "IMAP URL authorization failed");

/// RFC 4468 §6
const NOT_AVAILABLE: Reply = Reply::new(554, "5.6.6", "IMAP URL resolution failed");
