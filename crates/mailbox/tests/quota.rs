//! What limits allow and refuse, one sentence a test.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{ask, new_account, submit};
use mail_types::{Flags, InternalDate, MailboxId, MailboxName, SystemFlags, Uid, UidSet};
use mailbox::{
    Account, Decision, FlagMode, NewMessage, Operation, Quota, Refusal, Resource, Usage,
};

const INBOX: MailboxId = MailboxId(1);

fn limit(account: &mut Account, quota: Quota) {
    submit(account, &Operation::SetQuota { quota });
}

fn add(sizes: &[u32]) -> Operation {
    let message = |size: &u32| NewMessage {
        message: None,
        thread: None,
        size: *size,
        internal_date: InternalDate::utc(0),
        flags: Flags::default(),
        annotations: mailbox::Annotations::default(),
    };
    Operation::AddMessages { mailbox: INBOX, messages: sizes.iter().map(message).collect() }
}

fn all() -> UidSet {
    UidSet::range(Uid::MIN, Uid::MAX)
}

fn copy() -> Operation {
    Operation::Copy { from: INBOX, to: MailboxId(2), uids: all() }
}

fn create(text: &str) -> Operation {
    let name = MailboxName::new(text).unwrap();
    Operation::CreateMailbox { name, special_use: Vec::new() }
}

fn storage(kib: u64) -> Quota {
    Quota { storage_kib: Some(kib), ..Quota::default() }
}

fn over(resource: Resource) -> Result<Decision, Refusal> {
    Err(Refusal::OverQuota(resource))
}

#[test]
fn without_limits_nothing_is_refused() {
    let mut account = new_account();
    submit(&mut account, &add(&[u32::MAX, u32::MAX]));
    assert_eq!(
        account.usage(),
        Usage { bytes: 8_589_934_590, messages: 2, mailboxes: 6, annotation_bytes: 0 }
    );
    assert!(ask(&account, &create("a/b/c")).is_ok());
}

#[test]
fn storage_may_be_filled_to_the_last_octet_and_no_further() {
    let mut account = new_account();
    limit(&mut account, storage(2));
    assert_eq!(ask(&account, &add(&[2049])), over(Resource::Storage));
    assert_eq!(ask(&account, &add(&[1024, 1025])), over(Resource::Storage));
    submit(&mut account, &add(&[1024, 1024]));
    assert_eq!(account.usage().of(Resource::Storage), 2);
    assert_eq!(ask(&account, &add(&[1])), over(Resource::Storage));
    assert_eq!(ask(&account, &copy()), over(Resource::Storage));
}

#[test]
fn messages_are_counted_in_all_mailboxes_and_copies_with_them() {
    let mut account = new_account();
    limit(&mut account, Quota { messages: Some(3), ..Quota::default() });
    submit(&mut account, &add(&[1, 1]));
    assert_eq!(ask(&account, &copy()), over(Resource::Messages));
    assert_eq!(ask(&account, &add(&[1, 1])), over(Resource::Messages));
    let one = UidSet::single(Uid::MIN);
    submit(&mut account, &Operation::Copy { from: INBOX, to: MailboxId(2), uids: one });
    assert_eq!(ask(&account, &add(&[1])), over(Resource::Messages));
}

#[test]
fn mailboxes_are_counted_with_the_parents_that_a_name_needs() {
    let mut account = new_account();
    limit(&mut account, Quota { mailboxes: Some(8), ..Quota::default() });
    assert_eq!(ask(&account, &create("a/b/c")), over(Resource::Mailboxes));
    submit(&mut account, &create("a/b"));
    assert_eq!(ask(&account, &create("c")), over(Resource::Mailboxes));
    let (from, to) = (MailboxName::inbox(), MailboxName::new("old").unwrap());
    assert_eq!(ask(&account, &Operation::RenameMailbox { from, to }), over(Resource::Mailboxes));
    let delete = Operation::DeleteMailbox { name: MailboxName::new("a/b").unwrap() };
    submit(&mut account, &delete);
    assert!(ask(&account, &create("c")).is_ok());
}

#[test]
fn what_takes_nothing_more_is_done_above_the_limits_too() {
    let mut account = new_account();
    submit(&mut account, &add(&[4096, 4096]));
    limit(
        &mut account,
        Quota { storage_kib: Some(1), messages: Some(0), mailboxes: Some(0), ..Quota::default() },
    );
    let flags = Flags::system(SystemFlags::DELETED);
    let delete = Operation::SetFlags {
        mailbox: INBOX,
        uids: all(),
        mode: FlagMode::Add,
        flags,
        unchanged_since: None,
    };
    submit(&mut account, &delete);
    submit(&mut account, &Operation::Move { from: INBOX, to: MailboxId(2), uids: all() });
    let (from, to) = (MailboxName::new("Sent").unwrap(), MailboxName::new("Out").unwrap());
    submit(&mut account, &Operation::RenameMailbox { from, to });
    // No message is no more than there is.
    let nothing = Operation::Copy { from: INBOX, to: MailboxId(2), uids: all() };
    assert!(ask(&account, &nothing).is_ok());
    submit(&mut account, &Operation::Expunge { mailbox: MailboxId(2), uids: all() });
    assert_eq!(account.usage().bytes, 0);
    assert_eq!(ask(&account, &add(&[1])), over(Resource::Messages));
}

#[test]
fn setting_the_limits_that_are_set_changes_nothing() {
    let mut account = new_account();
    limit(&mut account, storage(5));
    let again = ask(&account, &Operation::SetQuota { quota: storage(5) }).unwrap();
    assert_eq!((again.entry, account.quota()), (None, storage(5)));
    limit(&mut account, Quota::default());
    assert_eq!(account.quota(), Quota::default());
}
