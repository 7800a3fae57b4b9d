//! Puts the sample mail of a trial into its mailboxes.

use mail_service::{AccountHandle, AccountName, NewMail, Service, ServiceError};
use mail_types::{Flags, InternalDate, MailboxId, MailboxName, SystemFlags};
use mailbox::Operation;

use crate::sample::{Addresses, Sample};

/// Adds samples to the account whose address is `addresses.me`, each as old as it says.
///
/// # Errors
/// As the service.
pub async fn load(
    service: &Service,
    samples: &[&Sample],
    addresses: Addresses<'_>,
    now: i64,
) -> Result<(), ServiceError> {
    let name = AccountName::new(addresses.me).map_err(ServiceError::InvalidName)?;
    let found = service.find_account(name.as_str()).await?;
    let id = found.ok_or(ServiceError::NoSuchAccount)?.id;
    let account = service.account(id).await?;
    let mut oldest_first = samples.to_vec();
    oldest_first.sort_by_key(|sample| std::cmp::Reverse(sample.age_minutes));
    // One commit for each mailbox: a trial starts in a moment.
    while let Some(first) = oldest_first.first() {
        let mailbox = first.mailbox;
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            oldest_first.into_iter().partition(|sample| sample.mailbox == mailbox);
        oldest_first = elsewhere;
        let id = open_mailbox(&account, mailbox).await?;
        let mut mails = Vec::with_capacity(here.len());
        for sample in here {
            let mut staging = account.stage();
            staging.push(&sample.render(now, addresses)).await?;
            mails.push(NewMail {
                staged: staging.finish().await?,
                flags: flags(sample.flags),
                date: InternalDate::utc(sample.arrived(now)),
                annotations: mailbox::Annotations::default(),
            });
        }
        account.append(id, mails).await?;
    }
    Ok(())
}

async fn open_mailbox(account: &AccountHandle, name: &str) -> Result<MailboxId, ServiceError> {
    let name = MailboxName::new(name).map_err(|_| ServiceError::NoSuchMailbox)?;
    if let Some(mailbox) = account.current().by_name(&name) {
        return Ok(mailbox.record().id);
    }
    let create = Operation::CreateMailbox { name: name.clone(), special_use: Vec::new() };
    let (state, _) = account.submit(create).await?;
    account.submit(Operation::Subscribe { name: name.clone() }).await?;
    state.by_name(&name).map(|mailbox| mailbox.record().id).ok_or(ServiceError::NoSuchMailbox)
}

fn flags(names: &[&str]) -> Flags {
    let known = names.iter().filter_map(|name| SystemFlags::from_name(name));
    Flags::system(known.fold(SystemFlags::NONE, SystemFlags::union))
}
