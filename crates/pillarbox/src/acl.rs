//! `pillarbox acl`: what others may do with the mailboxes of an account. RFC 4314

use mail_service::{Service, ServiceError};
use mail_types::MailboxName;
use mailbox::{Account, BadRight, Rights, RightsChange};
use serde::{Deserialize, Serialize};

use crate::accounts::{Backend, failed};
use crate::cli::{AclCommand, ListOf};
use crate::control::{Reply, Request};
use crate::engine::Missing;
use crate::failure::Failure;
use crate::say;

/// The entry of a list to change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AclChange {
    /// Whose rights.
    pub identifier: String,
    /// Letters, behind a `+` or `-` or alone, as SETACL takes them; the entry goes without.
    pub rights: Option<String>,
}

/// An entry of a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AclEntry {
    /// Whose rights.
    pub identifier: String,
    /// Their letters.
    pub rights: String,
}

/// Shows the list of a mailbox, after changing one entry if that was asked for.
///
/// # Errors
/// When it was not done.
pub async fn run(command: AclCommand) -> Result<(), Failure> {
    match command {
        AclCommand::List(of) => ask(of, None).await,
        AclCommand::Set { of, identifier, rights } => {
            ask(of, Some(AclChange { identifier, rights: Some(rights) })).await
        }
        AclCommand::Remove { of, identifier } => {
            ask(of, Some(AclChange { identifier, rights: None })).await
        }
    }
}

async fn ask(of: ListOf, change: Option<AclChange>) -> Result<(), Failure> {
    let ListOf { account, mailbox, data } = of;
    let mut backend = Backend::open(data, Missing::Refuse).await?;
    let reply = backend.call(Request::Acl { name: account, mailbox, change }).await?;
    backend.close().await?;
    let Reply::Acl { entries } = reply else { return Err(failed(reply)) };
    for AclEntry { identifier, rights } in entries {
        say::line(format_args!("{identifier} {rights}"));
    }
    Ok(())
}

/// Changes what is to be changed and tells the list.
///
/// # Errors
/// `NoSuchAccount`, `NoSuchMailbox`, `InvalidIdentifier`, `Refused` if the list is full; those of
/// the store.
pub async fn carry_out(
    service: &Service,
    name: &str,
    mailbox: &str,
    change: Option<AclChange>,
) -> Result<Reply, ServiceError> {
    let found = service.find_account(name).await?.ok_or(ServiceError::NoSuchAccount)?;
    let handle = service.account(found.id).await?;
    let account = handle.state().await?;
    let mailbox = MailboxName::new(mailbox).map_err(|_| ServiceError::NoSuchMailbox)?;
    let id = account.by_name(&mailbox).ok_or(ServiceError::NoSuchMailbox)?.record().id;
    let Some(AclChange { identifier, rights }) = change else { return Ok(told(&account, id)) };
    let change = match rights.as_deref().map(parse) {
        None => RightsChange::Delete,
        Some(Ok(change)) => change,
        Some(Err(bad)) => return Ok(Reply::Failed { reason: bad.to_string() }),
    };
    let (account, _) = handle.set_acl(id, &identifier, change).await?;
    Ok(told(&account, id))
}

fn told(account: &Account, mailbox: mail_types::MailboxId) -> Reply {
    let entries = account.acl(mailbox).into_iter().flat_map(|acl| acl.iter());
    let entries = entries.map(|(identifier, rights)| AclEntry {
        identifier: identifier.to_string(),
        rights: rights.letters().collect(),
    });
    Reply::Acl { entries: entries.collect() }
}

/// A change of rights as SETACL takes it. RFC 4314 §3.1
fn parse(text: &str) -> Result<RightsChange, BadRight> {
    if let Some(letters) = text.strip_prefix('+') {
        return Rights::parse(letters).map(RightsChange::Add);
    }
    if let Some(letters) = text.strip_prefix('-') {
        return Rights::parse(letters).map(RightsChange::Remove);
    }
    Rights::parse(text).map(RightsChange::Set)
}

/// Letters of rights, kept as they are written.
///
/// # Errors
/// What is wrong with the text.
pub fn rights(text: &str) -> Result<String, String> {
    parse(text).map(|_| text.to_owned()).map_err(|bad| bad.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_written_as_setacl_takes_them() {
        let lr = Rights::LOOKUP.union(Rights::READ);
        assert_eq!(parse("lr"), Ok(RightsChange::Set(lr)));
        assert_eq!(parse("+lr"), Ok(RightsChange::Add(lr)));
        assert_eq!(parse("-rl"), Ok(RightsChange::Remove(lr)));
        assert_eq!(rights("lrQ"), Err("'Q' is not a right".to_owned()));
        assert!(rights("--l").is_err());
    }
}
