//! GENURLAUTH and RESETKEY. RFC 4467 §7

use imap_proto::types::{Code, ResetKey, Response, UrlRump};
use imap_proto::url::{BadUrl, ImapUrl, UrlAccess};
use mail_types::{MailboxId, MailboxName};
use mailbox::{Account, Operation, Refusal};

use crate::reply::{Flow, Reply, end, wait, wait_ready};
use crate::{Answer, Need, UrlToSign, errors};

/// GENURLAUTH: every URL is looked at before one is authorized.
pub(crate) fn begin_generate(rumps: Vec<UrlRump>) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        let account = run.account()?;
        let mut urls = Vec::with_capacity(rumps.len());
        for rump in &rumps {
            urls.push(check(rump, account)?);
        }
        let texts: Vec<String> = urls.iter().map(|url| url.text.clone()).collect();
        wait(Need::AuthorizeUrls(urls), move |answer, run| match answer {
            Answer::UrlTokens(Some(tokens)) => {
                let full = |(text, token): (&String, String)| {
                    format!("{text}:internal:{token}").into_bytes()
                };
                let urls = texts.iter().zip(tokens).map(full).collect();
                run.write(&Response::GenUrlAuth(urls));
                end(Reply::ok("GENURLAUTH completed"))
            }
            // Another user's table is not for this session, whether there is one or not.
            Answer::UrlTokens(None) => Err(Reply::bad("The URL has another owner")),
            other => Err(errors::unexpected(&other)),
        })
    })
}

/// What the server "MUST validate", each with BAD. RFC 4467 §7, GENURLAUTH
fn check(rump: &UrlRump, account: &Account) -> Result<UrlToSign, Reply> {
    if rump.mechanism != INTERNAL {
        return Err(Reply::no("The mechanism is not known"));
    }
    let url = ImapUrl::parse(&rump.url).map_err(|why| match why {
        BadUrl::NoMessage => Reply::bad("The URL names no message"),
        BadUrl::Auth => Reply::bad("What follows URLAUTH or EXPIRE is not understood"),
        BadUrl::Text | BadUrl::Form => Reply::bad("The URL is not understood"),
    })?;
    let owner = url.server.and_then(|server| server.user);
    let owner = owner.ok_or_else(|| Reply::bad("The URL has no owner"))?;
    let auth = url.auth.ok_or_else(|| Reply::bad("The URL has no access identifier"))?;
    if auth.verifier.is_some() {
        return Err(Reply::bad("The URL is authorized already"));
    }
    // Whether the user exists is not told. RFC 4467 §7
    if let UrlAccess::Submit(user) | UrlAccess::User(user) = &auth.access
        && user.chars().any(char::is_control)
    {
        return Err(Reply::bad("The access identifier is not understood"));
    }
    let name = MailboxName::new(&url.mailbox).ok();
    let mailbox = name.and_then(|name| account.by_name(&name)).map(|mailbox| mailbox.record());
    let is_same = |validity| mailbox.is_some_and(|record| record.uid_validity == validity);
    match mailbox.filter(|_| url.uid_validity.is_none_or(is_same)) {
        Some(record) => {
            let text = String::from_utf8_lossy(&rump.url).into_owned();
            Ok(UrlToSign { owner, mailbox: record.id, text })
        }
        None => Err(Reply::bad("The URL names no mailbox that exists")),
    }
}

/// RESETKEY: for one mailbox, or for all.
pub(crate) fn begin_reset(reset: ResetKey) -> Flow {
    let is_ours = reset.mechanisms.is_empty() || reset.mechanisms.iter().any(|m| m == INTERNAL);
    if !is_ours {
        return Err(Reply::no("The mechanism is not known"));
    }
    wait_ready(Need::Refresh, move |run| {
        let Some(mailbox) = &reset.mailbox else {
            return wait_ready(Need::ResetAccessKeys(None), |_| {
                end(Reply::ok("All keys are gone"))
            });
        };
        let name = mailbox.name(run.state.names()).map_err(errors::no_such_name)?;
        let mailbox = run.account()?.by_name(&name).ok_or_else(errors::no_such_mailbox)?;
        let mailbox = mailbox.record().id;
        wait_ready(Need::ResetAccessKeys(Some(mailbox)), move |_| note_reset(mailbox))
    })
}

/// Other sessions that have the mailbox selected are told; this one has it in its tagged response.
/// RFC 4467 §7
fn note_reset(mailbox: MailboxId) -> Flow {
    wait(Need::Submit(Operation::NoteKeyReset { mailbox }), move |answer, run| match answer {
        // If it is gone by now, so is its key.
        Answer::Submitted(Ok(_) | Err(Refusal::NonExistent)) => {
            let now = run.account.and_then(|account| account.mailbox(mailbox));
            let selected = run.state.selected.as_mut().filter(|it| it.mailbox == mailbox);
            if let (Some(selected), Some(now)) = (selected, now) {
                selected.key_resets = now.key_resets();
            }
            end(Reply::ok("The mailbox has a new key").with(Code::UrlMech(Vec::new())))
        }
        other => Err(errors::unexpected(&other)),
    })
}

/// The one mechanism that there is. RFC 4467 §2.4.1
pub(crate) const INTERNAL: &str = "INTERNAL";
