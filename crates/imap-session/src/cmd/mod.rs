//! One file for each command: what it needs, what it does, what it answers.

mod acl;
mod annotate;
mod append;
mod authenticate;
mod cancel_update;
mod capability;
mod catenate;
mod close;
mod comparator;
mod compress;
mod copy;
mod create;
mod delete;
mod enable;
mod esearch;
mod expunge;
mod fetch;
mod id;
mod idle;
mod language;
mod list;
mod login;
mod logout;
mod lsub;
mod metadata;
mod namespace;
mod noop;
mod notify;
mod quota;
mod rename;
mod replace;
pub(crate) mod search;
mod select;
mod sort;
mod starttls;
mod status;
mod store;
mod subscribe;
mod thread;
mod uidbatches;
pub(crate) mod uidonly;
mod unauthenticate;
mod urlauth;
mod urlfetch;
mod xlist;

use imap_proto::types::{CommandBody, Numbering};

pub(crate) use fetch::tell_new_messages;
pub(crate) use list::attributes_of;
pub(crate) use status::values as status_values;

use crate::capability::Login;
use crate::reply::{Flow, Reply, Run};
use crate::state::{Access, State};
use crate::sync::Told;
use crate::{Place, filter};
pub(crate) use search::context::{self, Context};
pub(crate) use search::settle;

/// Starts a command.
pub(crate) fn begin(body: CommandBody, run: &mut Run<'_>) -> Flow {
    check_state(&body, run.state)?;
    uidonly::check(&body, run.state)?;
    filter::insert(body, run, dispatch)
}

fn dispatch(body: CommandBody, run: &mut Run<'_>) -> Flow {
    match body {
        CommandBody::Capability => capability::begin(run),
        CommandBody::Noop | CommandBody::Check => noop::begin(run),
        CommandBody::Logout => logout::begin(run),
        CommandBody::Id(params) => id::begin(params, run),
        CommandBody::StartTls => starttls::begin(run),
        CommandBody::Compress(algorithm) => compress::begin(&algorithm, run),
        CommandBody::Unauthenticate => unauthenticate::begin(run),
        CommandBody::Authenticate(arguments) => authenticate::begin(arguments, run),
        CommandBody::Login(arguments) => login::begin(arguments, run),
        CommandBody::Enable(names) => enable::begin(&names, run),
        CommandBody::Select(select) => select::begin(select, Access::ReadWrite, run),
        CommandBody::Examine(select) => select::begin(select, Access::ReadOnly, run),
        CommandBody::Create(create) => create::begin(&create, run),
        CommandBody::Delete(mailbox) => delete::begin(&mailbox, run),
        CommandBody::Rename(rename) => rename::begin(&rename, run),
        CommandBody::Subscribe(mailbox) => subscribe::begin_subscribe(&mailbox, run),
        CommandBody::Unsubscribe(mailbox) => subscribe::begin_unsubscribe(&mailbox, run),
        CommandBody::List(list) => list::begin(list),
        CommandBody::Lsub(lsub) => lsub::begin(lsub),
        CommandBody::Xlist(xlist) => xlist::begin(xlist),
        CommandBody::Namespace => namespace::begin(run),
        CommandBody::Notify(notify) => notify::begin(notify, run),
        CommandBody::Status(status) => status::begin(status),
        CommandBody::GetMetadata(get) => metadata::begin_get(get),
        CommandBody::SetMetadata(set) => metadata::begin_set(set),
        CommandBody::SetAcl(set) => acl::begin_set(set),
        CommandBody::DeleteAcl(entry) => acl::begin_delete(entry),
        CommandBody::GetAcl(mailbox) => acl::begin_get(mailbox),
        CommandBody::ListRights(entry) => acl::begin_list(entry),
        CommandBody::MyRights(mailbox) => acl::begin_my(mailbox),
        CommandBody::GetQuota(root) => quota::begin_get(root),
        CommandBody::GetQuotaRoot(mailbox) => quota::begin_get_root(mailbox),
        CommandBody::SetQuota(set) => quota::begin_set(&set, run),
        CommandBody::Append(append) => append::begin(append),
        CommandBody::Comparator(orders) => comparator::begin(&orders, run),
        CommandBody::Language(ranges) => language::begin(&ranges, run),
        CommandBody::UidBatches(wanted) => uidbatches::begin(wanted, run),
        CommandBody::GenUrlAuth(rumps) => urlauth::begin_generate(rumps),
        CommandBody::ResetKey(reset) => urlauth::begin_reset(reset),
        CommandBody::UrlFetch(urls) => urlfetch::begin(urls, run),
        CommandBody::Idle => idle::begin(),
        CommandBody::Close => close::begin_close(run),
        CommandBody::Unselect => close::begin_unselect(run),
        CommandBody::Expunge => expunge::begin(None, run),
        CommandBody::UidExpunge(set) => expunge::begin(Some(set), run),
        CommandBody::Search(search) => search::begin(search, run),
        CommandBody::Sort(sort) => sort::begin(sort, run),
        CommandBody::Thread(thread) => thread::begin(thread, run),
        CommandBody::MultiSearch(multi) => esearch::begin(multi, run),
        CommandBody::CancelUpdate(tags) => cancel_update::begin(&tags, run),
        CommandBody::Fetch(fetch) => fetch::begin(fetch, run),
        CommandBody::Store(store) => store::begin(store, run),
        CommandBody::StoreAnnotation(store) => annotate::begin(store, run),
        CommandBody::Copy(copy) => copy::begin(copy, copy::Kind::Copy, run),
        CommandBody::Move(copy) => copy::begin(copy, copy::Kind::Move, run),
        CommandBody::Replace(replace) => replace::begin(replace, run),
    }
}

/// Which account a command is about before it names a mailbox of another one.
pub(crate) fn place_of(body: &CommandBody) -> Place {
    match (allowed(body), body) {
        (Allowed::Selected, _) | (_, CommandBody::Idle) => Place::Selected,
        _ => Place::Own,
    }
}

/// In which state a command may be given. RFC 9051 §3
enum Allowed {
    Always,
    BeforeLogin,
    AfterLogin,
    Selected,
}

fn allowed(body: &CommandBody) -> Allowed {
    match body {
        CommandBody::Capability
        | CommandBody::Noop
        | CommandBody::Logout
        | CommandBody::Id(_)
        | CommandBody::Language(_) => Allowed::Always,
        CommandBody::StartTls | CommandBody::Authenticate(_) | CommandBody::Login(_) => {
            Allowed::BeforeLogin
        }
        CommandBody::Enable(_)
        | CommandBody::Compress(_)
        | CommandBody::Unauthenticate
        | CommandBody::Select(_)
        | CommandBody::Examine(_)
        | CommandBody::Create(_)
        | CommandBody::Delete(_)
        | CommandBody::Rename(_)
        | CommandBody::Subscribe(_)
        | CommandBody::Unsubscribe(_)
        | CommandBody::List(_)
        | CommandBody::Lsub(_)
        | CommandBody::Xlist(_)
        | CommandBody::Namespace
        | CommandBody::Notify(_)
        | CommandBody::Status(_)
        | CommandBody::GetMetadata(_)
        | CommandBody::SetMetadata(_)
        | CommandBody::SetAcl(_)
        | CommandBody::DeleteAcl(_)
        | CommandBody::GetAcl(_)
        | CommandBody::ListRights(_)
        | CommandBody::MyRights(_)
        | CommandBody::GetQuota(_)
        | CommandBody::GetQuotaRoot(_)
        | CommandBody::SetQuota(_)
        | CommandBody::Append(_)
        | CommandBody::Comparator(_)
        | CommandBody::MultiSearch(_)
        | CommandBody::GenUrlAuth(_)
        | CommandBody::ResetKey(_)
        | CommandBody::UrlFetch(_)
        | CommandBody::Idle => Allowed::AfterLogin,
        CommandBody::Close
        | CommandBody::Unselect
        | CommandBody::Check
        | CommandBody::Expunge
        | CommandBody::UidExpunge(_)
        | CommandBody::Search(_)
        | CommandBody::Sort(_)
        | CommandBody::Thread(_)
        | CommandBody::CancelUpdate(_)
        | CommandBody::UidBatches(_)
        | CommandBody::Fetch(_)
        | CommandBody::Store(_)
        | CommandBody::StoreAnnotation(_)
        | CommandBody::Copy(_)
        | CommandBody::Move(_)
        | CommandBody::Replace(_) => Allowed::Selected,
    }
}

fn check_state(body: &CommandBody, state: &State) -> Result<(), Reply> {
    match (allowed(body), state.login) {
        (Allowed::Always, _) | (Allowed::BeforeLogin, Login::Before) => Ok(()),
        (Allowed::AfterLogin, Login::After) => Ok(()),
        (Allowed::Selected, Login::After) if state.selected.is_some() => Ok(()),
        (Allowed::Selected, Login::After) => Err(Reply::bad("No mailbox is selected")),
        (Allowed::BeforeLogin, Login::After) => Err(Reply::bad("Already logged in")),
        (Allowed::AfterLogin | Allowed::Selected, Login::Before) => Err(Reply::bad("Log in first")),
    }
}

/// What the client is told of the selected mailbox before the tagged response.
pub(crate) fn told_at_end(body: &CommandBody) -> Told {
    match body {
        // No EXPUNGE while these are in progress; with UIDs there is no number that it could shift
        // under the client's feet. RFC 9051 §7.5.1
        CommandBody::Fetch(fetch) if fetch.numbering == Numbering::Sequence => Told::NoExpunge,
        CommandBody::Store(store) if store.numbering == Numbering::Sequence => Told::NoExpunge,
        CommandBody::StoreAnnotation(store) if store.numbering == Numbering::Sequence => {
            Told::NoExpunge
        }
        // UID SEARCH may take sequence numbers too. RFC 7162 §3.2.10.2
        CommandBody::Search(_) | CommandBody::MultiSearch(_) => Told::NoExpunge,
        // RFC 5256 §3 forbids them during SORT and THREAD; with UIDs the same as for UID SEARCH.
        CommandBody::Sort(_) | CommandBody::Thread(_) => Told::NoExpunge,
        CommandBody::Logout
        | CommandBody::StartTls
        | CommandBody::Unauthenticate
        | CommandBody::Select(_)
        | CommandBody::Examine(_)
        | CommandBody::Close
        | CommandBody::Unselect => Told::Nothing,
        _ => Told::Everything,
    }
}
