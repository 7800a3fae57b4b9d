//! Delivery: from a recipient's address to a message in a mailbox.

use std::fmt;

use mail_types::{
    AccountId, Flags, InternalDate, Keyword, MailboxId, MailboxName, SpecialUse, SystemFlags, Uid,
};
use mailbox::{Account, Outcome, Refusal};
use mime::{Content, Part};

use crate::auth::name::AccountName;
use crate::error::ServiceError;
use crate::handle::NewMail;
use crate::login::resolve;
use crate::open::{MarkValue, Once};
use crate::service::Service;
use crate::staging::{Staged, Staging};
use crate::story::{Line, Placement};

/// Where mail for a recipient goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// To whom.
    pub account: AccountId,
    /// What stood behind the `+`. RFC 5233 §4
    pub detail: Option<String>,
}

/// Where a message was delivered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// To whom.
    pub account: AccountId,
    /// The mailbox, by its name then.
    pub mailbox: MailboxName,
    /// Its UID there.
    pub uid: Uid,
}

impl Placed {
    /// As its story has it.
    pub(crate) fn placement(&self) -> Placement {
        let mailbox = Line::new(self.mailbox.as_str());
        Placement { account: self.account, mailbox, uid: self.uid }
    }
}

/// What was found out about a message before it is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against it.
    #[default]
    Wanted,
    /// It is likely that nobody wants it. It goes to the mailbox that the account keeps for that
    /// (RFC 6154 §2), whatever the address says, and without one to INBOX; its keyword tells
    /// clients in either case.
    Junk,
}

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliverError {
    /// No account has this address: for ever, as far as anybody knows.
    NoSuchUser,
    /// The message is larger than the server takes.
    TooLarge,
    /// The mailbox can take no more: it is full, or its UIDs are used up.
    MailboxFull,
    /// It may work later.
    Temporary(ServiceError),
}

impl Service {
    /// Where mail for this address goes: `dock@mail.example`, `dock+lists@mail.example`, `dock`.
    ///
    /// # Errors
    /// `NoSuchUser`, `Temporary`.
    pub async fn route(&self, recipient: &str) -> Result<Route, DeliverError> {
        let name = AccountName::new(recipient).map_err(|_| DeliverError::NoSuchUser)?;
        let domains = self.shared.config.domains.clone();
        let route = self.shared.read(move |view| {
            if let Some(account) = resolve(view, &name, &domains)? {
                return Ok(Some(Route { account, detail: None }));
            }
            let Some((user, detail)) = name.without_detail() else { return Ok(None) };
            let account = resolve(view, &user, &domains)?;
            Ok(account.map(|account| Route { account, detail: Some(detail) }))
        });
        route.await?.ok_or(DeliverError::NoSuchUser)
    }

    /// Begins to take a message for these recipients.
    #[must_use]
    pub fn stage_delivery(&self, routes: &[Route]) -> Staging {
        let mut accounts: Vec<AccountId> = routes.iter().map(|route| route.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        Staging::new(&self.shared, accounts)
    }

    /// Delivers a message that was staged for this recipient among others; durable when it returns.
    /// It goes to the mailbox that the detail names, if there is one, else to INBOX.
    ///
    /// # Errors
    /// See [`DeliverError`]: nothing was delivered, except that after
    /// `Temporary(WriteRefused)` it is not known.
    pub async fn deliver(&self, route: &Route, staged: &Staged) -> Result<Placed, DeliverError> {
        self.deliver_as(Verdict::Wanted, route, staged).await
    }

    /// As [`Service::deliver`], for a message that was judged.
    ///
    /// # Errors
    /// As [`Service::deliver`].
    pub async fn deliver_as(
        &self,
        verdict: Verdict,
        route: &Route,
        staged: &Staged,
    ) -> Result<Placed, DeliverError> {
        let placed = self.deliver_judged(verdict, route, staged, None).await?;
        // Without a mark nothing was there before.
        placed.ok_or(DeliverError::Temporary(ServiceError::Busy))
    }

    /// As [`Service::deliver`], with a mark, key and value, that is written by the same commit.
    /// `None` if the mark was there: then it has been delivered before.
    pub(crate) async fn deliver_marked(
        &self,
        route: &Route,
        staged: &Staged,
        mark: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Option<Placed>, DeliverError> {
        self.deliver_judged(Verdict::Wanted, route, staged, mark).await
    }

    async fn deliver_judged(
        &self,
        verdict: Verdict,
        route: &Route,
        staged: &Staged,
        mark: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Option<Placed>, DeliverError> {
        let account = match self.account(route.account).await {
            Err(ServiceError::NoSuchAccount) => return Err(DeliverError::NoSuchUser),
            other => other?,
        };
        for _ in 0..TARGET_ATTEMPTS_MAX {
            let state = account.state().await?;
            let mailbox = match verdict {
                Verdict::Wanted => target(&state, route.detail.as_deref()),
                Verdict::Junk => junk_mailbox(&state).or_else(|| target(&state, None)),
            };
            let mailbox = mailbox.ok_or(DeliverError::NoSuchUser)?;
            let mail = NewMail {
                staged: staged.clone(),
                flags: flags(&staged.message().root, verdict),
                date: InternalDate::utc(self.shared.world.clock.now_secs()),
                annotations: mailbox::Annotations::default(),
            };
            let once = mark.clone().map(|(key, value)| Once {
                key,
                value: MarkValue::Fixed(value),
                ignored: None,
                absent_since: None,
            });
            match account.append_once(mailbox, vec![mail], once).await {
                Ok((state, outcome)) => {
                    return Ok(placed(&state, mailbox, &outcome, route.account));
                }
                // The mailbox was deleted meanwhile: look again.
                Err(ServiceError::Refused(Refusal::NoTarget | Refusal::NonExistent)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(DeliverError::Temporary(ServiceError::Busy))
    }
}

/// Where a message was added, which may have another name by now.
fn placed(
    state: &Account,
    mailbox: MailboxId,
    outcome: &Outcome,
    account: AccountId,
) -> Option<Placed> {
    let Outcome::Added { uids, .. } = outcome else { return None };
    let name = state.mailbox(mailbox).map(|mailbox| mailbox.record().name.clone());
    let mailbox = name.unwrap_or_else(MailboxName::inbox);
    Some(Placed { account, mailbox, uid: uids.iter().next()? })
}

impl From<ServiceError> for DeliverError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NoSuchAccount => Self::NoSuchUser,
            ServiceError::MessageTooLarge { .. } => Self::TooLarge,
            ServiceError::Refused(_) => Self::MailboxFull,
            other => Self::Temporary(other),
        }
    }
}

impl fmt::Display for DeliverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchUser => f.write_str("no such user"),
            Self::TooLarge => f.write_str("message too large"),
            Self::MailboxFull => f.write_str("mailbox full"),
            Self::Temporary(error) => write!(f, "not now: {error}"),
        }
    }
}

impl std::error::Error for DeliverError {}

/// The mailbox of this name in any letter case (addresses have none), or INBOX.
fn target(account: &Account, detail: Option<&str>) -> Option<MailboxId> {
    let named = detail.and_then(|detail| {
        let wanted = detail.to_lowercase();
        account.names().find(|(name, _)| name.as_str().to_lowercase() == wanted)
    });
    let inbox = || account.by_name(&MailboxName::inbox()).map(|mailbox| mailbox.record().id);
    named.map(|(_, id)| id).or_else(inbox)
}

fn junk_mailbox(account: &Account) -> Option<MailboxId> {
    let mut records = account.mailboxes().map(mailbox::Mailbox::record);
    records.find(|record| record.special_use.contains(SpecialUse::Junk)).map(|record| record.id)
}

/// What is known of a message, as keywords that clients show and search: whether it has an
/// attachment, and whether it is junk. RFC 5788, RFC 9051 §2.3.2
fn flags(root: &Part, verdict: Verdict) -> Flags {
    let attachment = if has_attachment(root) { "$HasAttachment" } else { "$HasNoAttachment" };
    let junk = (verdict == Verdict::Junk).then_some("$Junk");
    let names = [attachment].into_iter().chain(junk);
    Flags::new(SystemFlags::NONE, names.filter_map(|name| Keyword::new(name).ok()))
}

fn has_attachment(part: &Part) -> bool {
    match &part.content {
        Content::Multipart(parts) => parts.iter().any(has_attachment),
        // A message that was forwarded as an attachment.
        Content::Message(_) => true,
        Content::Leaf => is_attachment(part),
    }
}

/// A part that its sender calls an attachment, or one with a file's name that is not shown inline.
fn is_attachment(part: &Part) -> bool {
    let disposition = part.disposition.as_ref();
    let is = |kind: &[u8]| disposition.is_some_and(|d| d.kind.eq_ignore_ascii_case(kind));
    let is_signature = SIGNATURES.iter().any(|kind| part.subtype.eq_ignore_ascii_case(kind));
    if is_signature {
        return false;
    }
    if is(b"attachment") {
        return true;
    }
    let mut params = part.params.iter().chain(disposition.iter().flat_map(|d| &d.params));
    let has_name = params.any(|param| {
        let name = param.name.strip_suffix(b"*").unwrap_or(&param.name);
        name.eq_ignore_ascii_case(b"name") || name.eq_ignore_ascii_case(b"filename")
    });
    has_name && !is(b"inline") && !part.is_kind("text") && !part.is_kind("multipart")
}

/// Parts that mail programs show as a mark and not as a file.
const SIGNATURES: [&[u8]; 3] = [b"pgp-signature", b"pkcs7-signature", b"x-pkcs7-signature"];

/// Times that the target is looked for again after it was deleted.
const TARGET_ATTEMPTS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(message: &str) -> String {
        let parsed = mime::parse(message.replace('\n', "\r\n").as_bytes());
        flags(&parsed.root, Verdict::Wanted).keywords()[0].as_str().to_owned()
    }

    #[test]
    fn attachments_are_told_from_what_is_shown() {
        assert_eq!(flag("Subject: x\n\ntext\n"), "$HasNoAttachment");
        let head = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n";
        let with = |part: &str| flag(&format!("{head}--b\n{part}\n\nx\n--b--\n"));
        assert_eq!(with("Content-Disposition: attachment"), "$HasAttachment");
        assert_eq!(with("Content-Type: application/pdf; name=a.pdf"), "$HasAttachment");
        assert_eq!(with("Content-Type: text/html"), "$HasNoAttachment");
        let signature = "Content-Type: application/pgp-signature; name=signature.asc";
        assert_eq!(with(signature), "$HasNoAttachment");
        let shown = "Content-Type: image/png; name=a.png\nContent-Disposition: inline";
        assert_eq!(with(shown), "$HasNoAttachment");
    }
}
