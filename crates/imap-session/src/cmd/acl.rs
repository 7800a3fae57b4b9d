//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS. RFC 4314 §3
//!
//! The owner of an account has all rights to its mailboxes, whatever an ACL says; what an ACL
//! grants is for others. RFC 4314 §2

use imap_proto::types::{
    AclEntry, AclReply, ListRightsReply, MailboxArg, MyRightsReply, Response, RightsMode, SetAcl,
};
use mail_types::{MailboxId, MailboxName};
use mailbox::{Actor, BadRight, Identifier, Outcome, Rights, RightsChange};

use crate::language::Text;
use crate::reply::{Flow, Reply, Run, end, wait, wait_ready};
use crate::{Answer, Need, SetAclRequest, errors, place};

pub(crate) fn begin_set(set: SetAcl) -> Flow {
    // An unknown right is no right that could be passed over. RFC 4314 §3.1
    let rights = Rights::parse(&set.rights.rights).map_err(unknown)?;
    let change = match set.rights.mode {
        RightsMode::Set => RightsChange::Set(rights),
        RightsMode::Add => RightsChange::Add(rights),
        RightsMode::Remove => RightsChange::Remove(rights),
    };
    change_entry(set.mailbox, set.identifier, change, "SETACL completed")
}

pub(crate) fn begin_delete(entry: AclEntry) -> Flow {
    change_entry(entry.mailbox, entry.identifier, RightsChange::Delete, "DELETEACL completed")
}

fn unknown(BadRight(right): BadRight) -> Reply {
    Reply::bad(Text::with("The {} right is not supported", right))
}

fn change_entry(
    mailbox: MailboxArg,
    identifier: String,
    change: RightsChange,
    completed: &'static str,
) -> Flow {
    administered(mailbox, move |_, id, _| {
        let request = SetAclRequest { mailbox: id, identifier, change };
        wait(Need::SetAcl(request), move |answer, _| match answer {
            Answer::Submitted(Ok(Outcome::Done)) => end(Reply::ok(completed)),
            Answer::BadIdentifier => Err(bad_identifier()),
            other => Err(errors::unexpected(&other)),
        })
    })
}

/// RFC 4314 §3
fn bad_identifier() -> Reply {
    Reply::bad("Nobody can have this identifier")
}

/// Goes on with a mailbox whose ACL the session may see and change.
fn administered(
    mailbox: MailboxArg,
    then: impl FnOnce(MailboxArg, MailboxId, &mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        place::existing(&mailbox.clone(), errors::no_such_mailbox, run, |name, run| {
            let found = place::find(&name, Rights::ADMINISTER, errors::no_such_mailbox, run)?;
            then(mailbox, found.record().id, run)
        })
    })
}

pub(crate) fn begin_get(mailbox: MailboxArg) -> Flow {
    administered(mailbox, |mailbox, id, run| {
        let account = run.account()?;
        // What the owner has stands in no ACL, and is told first. RFC 4314 §3.3
        let owner = run.state.guest().map_or(&*run.state.user, |guest| guest.owner.as_str());
        let mut entries = vec![(owner.to_owned(), Rights::ALL.to_string())];
        let granted = account.acl(id).into_iter().flat_map(|acl| acl.iter());
        let granted = granted.filter(|(who, _)| who.as_str() != owner);
        entries.extend(granted.map(|(who, rights)| (who.to_string(), rights.to_string())));
        run.write(&Response::Acl(AclReply { mailbox, entries }));
        end(Reply::ok("GETACL completed"))
    })
}

/// Each right can be granted by itself, so none is tied to another. RFC 4314 §3.7
pub(crate) fn begin_list(entry: AclEntry) -> Flow {
    let AclEntry { mailbox, identifier } = entry;
    Identifier::new(&identifier).map_err(|_| bad_identifier())?;
    administered(mailbox, move |mailbox, _, run| {
        let is_owner = match run.state.guest() {
            Some(guest) => guest.owner == identifier,
            None => *run.state.user == *identifier,
        };
        let (required, optional) = match is_owner {
            true => (Rights::ALL.to_string(), Vec::new()),
            false => (String::new(), Rights::ALL.to_string().chars().map(String::from).collect()),
        };
        let reply = ListRightsReply { mailbox, identifier, required, optional };
        run.write(&Response::ListRights(reply));
        end(Reply::ok("LISTRIGHTS completed"))
    })
}

pub(crate) fn begin_my(mailbox: MailboxArg) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        place::existing(&mailbox.clone(), errors::no_such_mailbox, run, |name, run| {
            let rights = known_rights(&name, run)?;
            let rights = rights.to_string();
            run.write(&Response::MyRights(MyRightsReply { mailbox, rights }));
            end(Reply::ok("MYRIGHTS completed"))
        })
    })
}

/// With none of these a mailbox does not exist for the session. RFC 4314 §4
fn known_rights(name: &MailboxName, run: &Run<'_>) -> Result<Rights, Reply> {
    let account = run.account()?;
    let mailbox = account.by_name(name).ok_or_else(errors::no_such_mailbox)?;
    let rights = account.rights(mailbox.record().id, &run.state.actor());
    match run.state.actor() == Actor::Owner || rights.intersects(Rights::KNOWING) {
        true => Ok(rights),
        false => Err(errors::no_such_mailbox()),
    }
}
