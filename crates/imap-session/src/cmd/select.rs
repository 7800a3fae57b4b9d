//! SELECT and EXAMINE, also with what a returning client knows. RFC 9051 §6.3.2, §6.3.3,
//! RFC 7162 §3.1.8, §3.2.5

use std::sync::Arc;

use imap_proto::types::{
    Code, ListReply, MailboxArg, Qresync, Response, Select, SequenceSet, Status, StatusKind,
};
use mail_types::{MailboxId, MailboxName, SeqNum, SeqSet, UidSet};
use mailbox::qresync::{Known, resync};
use mailbox::{MailboxSnapshot, Operation, Outcome, Rights, View};

use super::{close, list};
use crate::place::{self, Home};
use crate::render::{Fetched, Include, Out};
use crate::reply::{Flow, Reply, Run, end, wait, wait_ready};
use crate::state::{Access, Selected};
use crate::{Answer, Need, Place, Trouble, annotation, errors, render, sync};

pub(crate) fn begin(select: Select, access: Access, run: &mut Run<'_>) -> Flow {
    // RFC 7162 §3.2.5: BAD, and the selected mailbox stays.
    if select.qresync.is_some() && !run.state.enabled.qresync {
        return Err(Reply::bad("ENABLE QRESYNC first"));
    }
    if run.state.selected.is_some() {
        let closed = Status::untagged(StatusKind::Ok, "The previous mailbox is closed");
        run.write(&Response::Status(closed.with_code(Code::Closed)));
    }
    // From here on no mailbox is selected unless this command succeeds. RFC 9051 §6.3.2
    close::leave(run, move |_| wait_ready(Need::Refresh, move |run| find(select, access, run)))
}

fn find(select: Select, access: Access, run: &mut Run<'_>) -> Flow {
    place::existing(&select.mailbox.clone(), errors::no_such_mailbox, run, move |name, run| {
        let mailbox = place::find(&name, Rights::READ, errors::no_such_mailbox, run)?;
        let id = mailbox.record().id;
        let recent = UidSet::range(mailbox.record().recent_mark, mail_types::Uid::MAX);
        let has_recent = mailbox.record().recent > 0;
        match run.state.guest().map(Arc::clone) {
            None => claim(Opening { id, home: Home::Own, recent, select, access }, has_recent, run),
            Some(guest) => {
                let home = Home::Guest(guest);
                wait_ready(Need::Stay, move |run| {
                    load(Opening { id, home, recent, select, access }, run)
                })
            }
        }
    })
}

/// What is recent is recent for one session only. RFC 9051 §2.3.2
fn claim(opening: Opening, has_recent: bool, run: &mut Run<'_>) -> Flow {
    let may_claim = opening.access == Access::ReadWrite && !run.state.enabled.rev2;
    if !may_claim || !has_recent {
        return load(opening, run);
    }
    let operation = Operation::ClaimRecent { mailbox: opening.id };
    wait(Need::Submit(operation), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::RecentClaimed { uids })) => {
            load(Opening { recent: uids, ..opening }, run)
        }
        other => Err(errors::unexpected(&other)),
    })
}

/// A mailbox that is being selected.
struct Opening {
    id: MailboxId,
    home: Home,
    recent: UidSet,
    select: Select,
    access: Access,
}

fn load(opening: Opening, run: &mut Run<'_>) -> Flow {
    if contents(opening.id, run)?.is_some() {
        return open(opening, run);
    }
    wait_ready(Need::Open(opening.id), |run| open(opening, run))
}

fn contents<'a>(id: MailboxId, run: &Run<'a>) -> Result<Option<&'a MailboxSnapshot>, Reply> {
    let mailbox = run.account()?.mailbox(id).ok_or_else(errors::no_such_mailbox)?;
    Ok(mailbox.contents())
}

fn open(opening: Opening, run: &mut Run<'_>) -> Flow {
    let Opening { id, home, recent, select, access } = opening;
    let rights = run.account()?.rights(id, &run.state.actor());
    // RFC 4314 §5.2
    let access = match rights.intersects(Rights::CHANGING) {
        true => access,
        false => Access::ReadOnly,
    };
    let contents = contents(id, run)?.ok_or_else(|| errors::trouble(Trouble::Unavailable))?;
    let mut view = View::open(contents.clone());
    view.add_recent(&recent);
    if select.condstore {
        run.state.enabled.condstore = true;
    }
    let selected = Selected { home, rights, ..Selected::new(id, access, view) };
    write_summary(&selected, run);
    tell_id(id, run);
    if run.state.enabled.rev2 {
        tell_name(id, &select.mailbox, run)?;
    }
    if let Some(watch) = &mut run.state.watch {
        watch.fresh = UidSet::new();
    }
    let key_resets = run.account()?.mailbox(id).map_or(0, |mailbox| mailbox.key_resets());
    run.state.selected = Some(Selected { key_resets, annotate: select.annotate, ..selected });
    run.state.place = Place::Selected;
    let reply = match access {
        Access::ReadWrite => Reply::ok("SELECT completed").with(Code::ReadWrite),
        Access::ReadOnly => Reply::ok("EXAMINE completed").with(Code::ReadOnly),
    };
    match select.qresync {
        Some(qresync) => catch_client_up(&qresync, reply, run),
        None => end(reply),
    }
}

fn write_summary(selected: &Selected, run: &mut Run<'_>) {
    let view = &selected.view;
    let snapshot = view.snapshot();
    let enabled = run.state.enabled;
    let out = &mut run.out();
    render::flags(out, snapshot.keywords());
    render::permanent_flags(out, snapshot.keywords(), selected.flag_rights());
    render::exists(out, view.exists());
    render::recent(out, view.recent_count());
    let mut say = |code: Code, text: &'static str| {
        let status = Status::untagged(StatusKind::Ok, text).with_code(code);
        out.write(&Response::Status(status));
    };
    // IMAP4rev2 does not have UNSEEN, and with UIDONLY there is no number to tell. RFC 9051 §E
    let first_unseen = snapshot.first_unseen().and_then(|index| SeqNum::new(index + 1));
    if let Some(seq) = first_unseen.filter(|_| !enabled.rev2 && !enabled.uidonly) {
        say(Code::Unseen(seq), "First unseen");
    }
    say(Code::UidValidity(view.uid_validity()), "UIDs are valid");
    say(Code::UidNext(view.uid_next()), "Next UID");
    say(Code::HighestModSeq(view.settled()), "Highest");
    // RFC 5257 §4.1
    say(Code::Annotations(annotation::support(selected.access)), "Annotations of messages");
    // RFC 4467 §8
    say(Code::UrlMech(Vec::new()), "Mechanisms of URLs");
}

/// RFC 8474 §4.1
fn tell_id(id: MailboxId, run: &mut Run<'_>) {
    let status = Status::untagged(StatusKind::Ok, "Object id");
    let status = status.with_code(Code::MailboxId(run.state.object_id(id)));
    run.write(&Response::Status(status));
}

/// IMAP4rev2 tells the name as LIST does, with OLDNAME if the client spelt it otherwise.
/// RFC 9051 §6.3.2, §6.3.9.7
fn tell_name(id: MailboxId, asked: &MailboxArg, run: &mut Run<'_>) -> Result<(), Reply> {
    let account = run.account()?;
    let names = run.state.names();
    let Some(mailbox) = account.mailbox(id) else { return Err(errors::no_such_mailbox()) };
    let spelt = render::name(&run.state.told_name(&mailbox.record().name), names);
    let reply = ListReply {
        attributes: list::attributes_at(account, mailbox, run.state),
        delimiter: Some(MailboxName::SEPARATOR),
        old_name: (spelt != *asked).then(|| asked.clone()),
        mailbox: spelt,
        child_info: Vec::new(),
    };
    run.write(&Response::List(reply));
    Ok(())
}

/// Tells what changed since the client was here. RFC 7162 §3.2.5.1
fn catch_client_up(qresync: &Qresync, reply: Reply, run: &mut Run<'_>) -> Flow {
    let Some(selected) = run.state.selected.as_ref() else { return end(reply) };
    // Another UIDVALIDITY: the client has to begin anew, and sees it. RFC 7162 §3.2.5
    if qresync.uid_validity != selected.view.uid_validity() {
        return end(reply);
    }
    let plain_uids = |set: &SequenceSet| set.resolve_uids(None);
    let known = Known {
        modseq: qresync.mod_seq,
        uids: qresync.known_uids.as_ref().map(plain_uids),
        sample: qresync.match_data.as_ref().map(|(seqs, uids)| {
            let seqs: SeqSet = seqs.resolve_seqs(None);
            (seqs, plain_uids(uids))
        }),
    };
    let news = resync(selected.view.snapshot(), &known);
    // VANISHED before any FETCH. RFC 7162 §3.2.6
    render::vanished_earlier(&mut Out::new(run.sink, run.state.enabled), &news.vanished);
    let changed: UidSet = news.changed.into_iter().map(|(_, uid)| uid).collect();
    let uid = if run.state.enabled.uidonly { Include::No } else { Include::Yes };
    let fetched = Fetched { uid, flags: Include::Yes, modseq: Include::Yes };
    sync::tell_messages(changed, fetched, run, |_| end(reply))
}
