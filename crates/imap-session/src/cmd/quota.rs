//! GETQUOTA, GETQUOTAROOT and SETQUOTA. RFC 9208 §4.1
//!
//! An account has one quota root, whose name is empty: all its mailboxes share its limits.

use imap_proto::types::{
    Code, MailboxArg, QuotaReply, QuotaResource, QuotaRootName, QuotaRootReply, Response, SetQuota,
};
use mailbox::{Account, Operation, Outcome, Quota, Resource, Rights};

use crate::config::UsersSetQuota;
use crate::reply::{Flow, Reply, Run, end, wait, wait_ready};
use crate::{Answer, Need, errors, place};

pub(crate) fn begin_get(root: QuotaRootName) -> Flow {
    check_root(&root)?;
    wait_ready(Need::Refresh, |run| {
        let reply = reply(run.account()?);
        run.write(&Response::Quota(reply));
        end(Reply::ok("GETQUOTA completed"))
    })
}

/// The mailbox need not exist: a new one would get the same quota root. RFC 9208 §4.1.2
pub(crate) fn begin_get_root(mailbox: MailboxArg) -> Flow {
    wait_ready(Need::Refresh, |run| {
        place::new(&mailbox.clone(), errors::no_such_mailbox, run, |name, run| {
            // How much another account holds is its owner's business. RFC 9208 §6
            if run.state.guest().is_some() {
                place::find(&name, Rights::READ, errors::no_such_mailbox, run)?;
                let roots = Vec::new();
                run.write(&Response::QuotaRoot(QuotaRootReply { mailbox, roots }));
                return end(Reply::ok("GETQUOTAROOT completed"));
            }
            let reply = reply(run.account()?);
            run.write(&Response::QuotaRoot(QuotaRootReply { mailbox, roots: vec![ROOT.to_vec()] }));
            run.write(&Response::Quota(reply));
            end(Reply::ok("GETQUOTAROOT completed"))
        })
    })
}

/// The limits that are not named are gone. RFC 9208 §4.1.3
pub(crate) fn begin_set(set: &SetQuota, run: &Run<'_>) -> Flow {
    if run.state.config.users_set_quota == UsersSetQuota::Refused {
        let text = "Only who runs the server can set limits";
        return Err(Reply::no(text).with(Code::NoPerm));
    }
    check_root(&set.root)?;
    let mut quota = Quota::default();
    for (name, limit) in &set.limits {
        let resource = Resource::ALL.into_iter().find(|resource| name_of(*resource) == name);
        let resource = resource
            .ok_or_else(|| Reply::no("This resource cannot be limited here").with(Code::Cannot))?;
        quota = quota.with(resource, Some(*limit));
    }
    wait(Need::Submit(Operation::SetQuota { quota }), |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::Done)) => {
            let reply = reply(run.account()?);
            run.write(&Response::Quota(reply));
            end(Reply::ok("SETQUOTA completed"))
        }
        other => Err(errors::unexpected(&other)),
    })
}

fn check_root(root: &[u8]) -> Result<(), Reply> {
    if root == ROOT {
        return Ok(());
    }
    Err(Reply::no("There is no such quota root").with(Code::NonExistent))
}

/// What has no limit is not named. RFC 9208 §4.2.1
fn reply(account: &Account) -> QuotaReply {
    let (quota, usage) = (account.quota(), account.usage());
    let limited = Resource::ALL.into_iter().filter_map(|resource| {
        let name = name_of(resource).to_owned();
        Some(QuotaResource { name, usage: usage.of(resource), limit: quota.limit(resource)? })
    });
    QuotaReply { root: ROOT.to_vec(), resources: limited.collect() }
}

fn name_of(resource: Resource) -> &'static str {
    match resource {
        Resource::Storage => "STORAGE",
        Resource::Messages => "MESSAGE",
        Resource::Mailboxes => "MAILBOX",
        Resource::AnnotationStorage => "ANNOTATION-STORAGE",
    }
}

const ROOT: &[u8] = b"";
