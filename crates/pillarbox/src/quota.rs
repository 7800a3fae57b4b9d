//! `pillarbox account quota`: how much an account may hold. RFC 9208

use mail_service::{Service, ServiceError};
use mailbox::{Account, Operation, Quota, Resource};
use serde::{Deserialize, Serialize};

use crate::accounts::{Backend, failed};
use crate::cli::QuotaOf;
use crate::control::{Reply, Request};
use crate::engine::Missing;
use crate::failure::Failure;
use crate::say;

/// A limit as it is written: a number, or none.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// There is none.
    None,
    /// This many units of the resource.
    Max(u64),
}

/// The limits to change; those that are missing stay.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaChange {
    /// In units of 1,024 octets.
    pub storage: Option<Limit>,
    /// Messages.
    pub messages: Option<Limit>,
    /// Mailboxes.
    pub mailboxes: Option<Limit>,
    /// Annotations of messages, in units of 1,024 octets.
    pub annotations: Option<Limit>,
}

/// How much of a resource is used, and may be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// How much is used.
    pub usage: u64,
    /// How much may be.
    pub limit: Option<u64>,
}

impl QuotaChange {
    fn apply(self, before: Quota) -> Quota {
        let changes = [
            (Resource::Storage, self.storage),
            (Resource::Messages, self.messages),
            (Resource::Mailboxes, self.mailboxes),
            (Resource::AnnotationStorage, self.annotations),
        ];
        changes.into_iter().fold(before, |quota, (resource, change)| match change {
            None => quota,
            Some(Limit::None) => quota.with(resource, None),
            Some(Limit::Max(max)) => quota.with(resource, Some(max.min(Quota::LIMIT_MAX))),
        })
    }
}

/// Shows the limits of an account, or sets them and shows what they are then.
///
/// # Errors
/// When it was not done.
pub async fn run(of: QuotaOf) -> Result<(), Failure> {
    let all = of.none.then_some(Limit::None);
    let change = QuotaChange {
        storage: of.storage.or(all),
        messages: of.messages.or(all),
        mailboxes: of.mailboxes.or(all),
        annotations: of.annotations.or(all),
    };
    let mut backend = Backend::open(of.data, Missing::Refuse).await?;
    let reply = backend.call(Request::Quota { name: of.name, change }).await?;
    backend.close().await?;
    let Reply::Quota { resources } = reply else { return Err(failed(reply)) };
    for ((name, unit), used) in NAMES.into_iter().zip(resources) {
        let limit = used.limit.map_or_else(|| "none".to_owned(), |max| format!("{max}{unit}"));
        say::line(format_args!("{name:<11} used {}{unit}, limit {limit}", used.usage));
    }
    Ok(())
}

/// Changes what is to be changed and tells the limits.
///
/// # Errors
/// `NoSuchAccount`, `InvalidName`, those of the store.
pub async fn carry_out(
    service: &Service,
    name: &str,
    change: QuotaChange,
) -> Result<Reply, ServiceError> {
    let found = service.find_account(name).await?.ok_or(ServiceError::NoSuchAccount)?;
    let handle = service.account(found.id).await?;
    let account = handle.state().await?;
    let quota = change.apply(account.quota());
    if quota == account.quota() {
        return Ok(told(&account));
    }
    let (account, _) = handle.submit(Operation::SetQuota { quota }).await?;
    Ok(told(&account))
}

fn told(account: &Account) -> Reply {
    let (quota, usage) = (account.quota(), account.usage());
    let used = |resource| Used { usage: usage.of(resource), limit: quota.limit(resource) };
    Reply::Quota { resources: Resource::ALL.into_iter().map(used).collect() }
}

/// A number of things, or `none`.
///
/// # Errors
/// What is wrong with the text.
pub fn count(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    let number = text.parse().ok().filter(|number| *number <= Quota::LIMIT_MAX);
    number.map(Limit::Max).ok_or_else(|| "write a number, or none".to_owned())
}

/// A size with its unit in units of 1,024 octets, or `none`.
///
/// # Errors
/// What is wrong with the text.
pub fn size(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    let wrong = || "write a size as 500M or 10G, or none".to_owned();
    let unit = text.chars().next_back().and_then(|c| UNITS.find(c.to_ascii_uppercase()));
    let (digits, unit) = (text.get(..text.len().saturating_sub(1)), unit.ok_or_else(wrong)?);
    let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    // Each unit is 1,024 of the one before it.
    let factor = 1_u64.checked_shl(10 * u32::try_from(unit).unwrap_or(u32::MAX));
    let kib = factor.and_then(|factor| number.checked_mul(factor));
    kib.filter(|kib| *kib <= Quota::LIMIT_MAX).map(Limit::Max).ok_or_else(wrong)
}

/// Kibi, mebi, gibi, tebi.
const UNITS: &str = "KMGT";

/// What the resources are called for a person, and their units, in the order of `Resource::ALL`.
const NAMES: [(&str, &str); 4] =
    [("storage", " KiB"), ("messages", ""), ("mailboxes", ""), ("annotations", " KiB")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_are_kept_in_kib() {
        for (text, kib) in [("1K", 1), ("500M", 512_000), ("10g", 10 << 20), ("0G", 0)] {
            assert_eq!(size(text), Ok(Limit::Max(kib)), "{text}");
        }
        assert_eq!(size("2T"), Ok(Limit::Max(2 << 30)));
        assert_eq!(size("none"), Ok(Limit::None));
        for text in
            ["", "10", "G", "-1G", "1.5G", "10GB", "10 G", "99999999999999999999K", "\u{fc}"]
        {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(size("9999999999999999T").is_err());
    }

    #[test]
    fn counts_are_whole_numbers() {
        assert_eq!(count("0"), Ok(Limit::Max(0)));
        assert_eq!(count("none"), Ok(Limit::None));
        for text in ["", "-1", "1K", "9223372036854775808"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_that_are_not_named_stay() {
        let before = Quota { storage_kib: Some(1), messages: Some(2), ..Quota::default() };
        let change = QuotaChange {
            storage: Some(Limit::None),
            mailboxes: Some(Limit::Max(5)),
            ..QuotaChange::default()
        };
        let after = Quota { messages: Some(2), mailboxes: Some(5), ..Quota::default() };
        assert_eq!(change.apply(before), after);
    }
}
