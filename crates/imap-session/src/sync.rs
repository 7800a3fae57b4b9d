//! Brings what the client knows of the selected mailbox up to the account.

use imap_proto::types::{Code, Response, Status, StatusKind};
use mail_types::{AnnotationName, MailboxId, Uid, UidSet};
use mailbox::{AnnotationEdit, Audience, Delta, Expunges, News, OwnStore, Rights, View};

use crate::cmd::context;
use crate::render::{Fetched, Out};
use crate::reply::{Flow, Next, Reply, Run, wait_ready};
use crate::state::Selected;
use crate::{Need, Place, Trouble, annotation, errors, news, render};

/// What may be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All that is new.
    Everything,
    /// All but expunges: sequence numbers stay. RFC 9051 §7.5.1
    NoExpunge,
    /// Nothing: no mailbox is selected any more, or another one.
    Nothing,
}

/// What an attempt to catch up comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaughtUp {
    /// The client has been told.
    Yes,
    /// The contents of the mailbox have to be loaded first.
    NotLoaded(MailboxId),
    /// The mailbox was deleted elsewhere.
    Gone,
}

/// For commands on messages: the newest state, with all told that may be told now.
pub(crate) fn prepare(then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static) -> Flow {
    wait_ready(Need::Refresh, |run| news(Told::NoExpunge, run, then))
}

/// Tells what is new, as far as the client wants to hear of it, and goes on.
pub(crate) fn news(
    told: Told,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    catch_up(news::limit(told, run.state), run, then)
}

/// Tells what is new and goes on.
pub(crate) fn catch_up(
    told: Told,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    move_view(move |run| advance(told, Silence::None, run), run, then)
}

/// Moves the view, once more if its mailbox has to be loaded first, and goes on.
pub(crate) fn move_view(
    advance: impl Fn(&mut Run<'_>) -> CaughtUp + Send + 'static,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    match advance(run) {
        CaughtUp::Yes => then(run),
        CaughtUp::Gone => Err(errors::no_such_mailbox()),
        CaughtUp::NotLoaded(mailbox) => {
            load_selected(mailbox, run, move |run| match advance(run) {
                CaughtUp::Yes => then(run),
                CaughtUp::Gone => Err(errors::no_such_mailbox()),
                CaughtUp::NotLoaded(_) => Err(errors::trouble(Trouble::Unavailable)),
            })
        }
    }
}

/// Loads the selected mailbox, whatever account is asked otherwise.
fn load_selected(
    mailbox: MailboxId,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    let before = std::mem::replace(&mut run.state.place, Place::Selected);
    wait_ready(Need::Open(mailbox), move |run| {
        run.state.place = before;
        then(run)
    })
}

/// What a command tells in its own words, so that it need not be told as news.
pub(crate) enum Silence<'a> {
    /// All is news.
    None,
    /// The effect of the session's own STORE; and nothing of these messages, whatever it is.
    Own(&'a OwnStore, &'a UidSet),
    /// These values on these messages: the effect of the session's own STORE.
    Annotated(&'a UidSet, &'a [AnnotationEdit]),
}

/// Moves the view to the account's state and writes what is new.
pub(crate) fn advance(told: Told, silence: Silence<'_>, run: &mut Run<'_>) -> CaughtUp {
    let account = run.selected_account();
    let actor = run.state.selected_actor();
    let Some(selected) = run.state.selected.as_mut().filter(|_| told != Told::Nothing) else {
        return CaughtUp::Yes;
    };
    let mailbox = account.and_then(|account| account.mailbox(selected.mailbox));
    let Some(mailbox) = mailbox else { return CaughtUp::Gone };
    let rights = account.map(|account| account.rights(selected.mailbox, &actor));
    let before = std::mem::replace(&mut selected.rights, rights.unwrap_or(Rights::NONE));
    // Who may no longer read it sees it go. RFC 4314 §5.1.1
    if !selected.rights.contains(Rights::READ) {
        return CaughtUp::Gone;
    }
    let is_regranted = before != selected.rights;
    let key_resets = std::mem::replace(&mut selected.key_resets, mailbox.key_resets());
    if mailbox.key_resets() > key_resets {
        tell_key_reset(&mut Out::new(run.sink, run.state.enabled));
    }
    let is_new = mailbox.record().highest_modseq > selected.view.snapshot().highest_modseq();
    let contents = match mailbox.contents() {
        Some(contents) => contents.clone(),
        None if is_new => return CaughtUp::NotLoaded(selected.mailbox),
        None => selected.view.snapshot().clone(),
    };
    let expunges = match told {
        Told::Everything => Expunges::Tell,
        Told::NoExpunge | Told::Nothing => Expunges::Withhold,
    };
    let own = match silence {
        Silence::None | Silence::Annotated(..) => None,
        Silence::Own(own, _) => Some(own),
    };
    let uid_next = selected.view.uid_next();
    let before = (!selected.contexts.is_empty()).then(|| selected.view.snapshot().clone());
    let delta = selected.view.advance(&contents, expunges, own);
    if is_regranted {
        tell_flags(selected, &mut Out::new(run.sink, run.state.enabled));
    }
    if delta.is_empty() {
        // Also of expunges that are withheld. RFC 5267 §A.3
        if let Some(before) = before {
            context::tell_changed(&delta, &before, uid_next, run);
        }
        return CaughtUp::Yes;
    }
    // What no other session has claimed yet is recent here. RFC 3501 §2.3.2
    if let Some(last) = selected.view.last_uid() {
        let first = uid_next.max(mailbox.record().recent_mark);
        selected.view.add_recent(&UidSet::range(first, last));
    }
    // An expunged message leaves `$`. RFC 5182 §2.1
    selected.saved = selected.saved.difference(&delta.vanished);
    if let (Some(_), Some(last)) = (delta.exists, selected.view.last_uid()) {
        news::note_arrivals(uid_next, last, run.state);
    }
    context::tell_expunged(&delta, run);
    write_delta(&delta, &silence, run);
    if let Some(before) = before {
        context::tell_changed(&delta, &before, uid_next, run);
    }
    CaughtUp::Yes
}

/// Which flags there are, and which of them this session can change. RFC 4314 §5.1.1
fn tell_flags(selected: &Selected, out: &mut Out<'_>) {
    let keywords = selected.view.snapshot().keywords();
    render::flags(out, keywords);
    render::permanent_flags(out, keywords, selected.flag_rights());
}

/// "Any current IMAP session logged in as the user that has the mailbox selected will receive an
/// untagged OK response with the URLMECH status response code". RFC 4467 §7
fn tell_key_reset(out: &mut Out<'_>) {
    let status = Status::untagged(StatusKind::Ok, "The mailbox has a new key");
    out.write(&Response::Status(status.with_code(Code::UrlMech(Vec::new()))));
}

fn write_delta(delta: &Delta, silence: &Silence<'_>, run: &mut Run<'_>) {
    let enabled = run.state.enabled;
    let wants_flags = news::wants_flags(run.state);
    let wants_annotations = news::wants_annotations(run.state);
    let Some(selected) = run.state.selected.as_ref() else { return };
    let view: &View = &selected.view;
    let out = &mut Out::new(run.sink, enabled);
    render::expunges(out, delta);
    if let Some(exists) = delta.exists {
        render::exists(out, exists);
        render::recent(out, view.recent_count());
    }
    if let Some(keywords) = &delta.keywords {
        render::flags(out, keywords);
        render::permanent_flags(out, keywords, selected.flag_rights());
    }
    for changed in &delta.changed {
        let is_told = match silence {
            Silence::None | Silence::Annotated(..) => false,
            Silence::Own(_, told) => told.contains(changed.uid),
        };
        let names = match wants_annotations {
            true => annotated(delta, changed.uid, silence, selected),
            false => Vec::new(),
        };
        let is_wanted = wants_flags || changed.news == News::Own;
        if is_told || !is_wanted {
            // What the command tells in its own words are flags.
            render::annotated(out, view, changed, names);
        } else {
            render::changed(out, view, changed, names);
        }
    }
}

/// The annotations of a message that somebody else has changed. RFC 5257 §4.4
fn annotated(
    delta: &Delta,
    uid: Uid,
    silence: &Silence<'_>,
    selected: &Selected,
) -> Vec<AnnotationName> {
    let (view, own) = (&selected.view, selected.home.audience());
    let at = delta.annotated.binary_search_by_key(&uid, |(uid, _)| *uid);
    let Some((_, changed)) = at.ok().and_then(|at| delta.annotated.get(at)) else {
        return Vec::new();
    };
    let Silence::Annotated(uids, edits) = silence else { return annotation::visible(changed, own) };
    let now = view.entry(uid).map(|entry| entry.annotations()).unwrap_or_default();
    // A value that is the one which this session has set is no news to it, whoever set it last.
    let is_own = |(name, audience): &(AnnotationName, Audience)| {
        let mut own = edits.iter().filter(|it| (&it.name, it.audience) == (name, *audience));
        own.next_back().is_some_and(|it| it.value.as_ref() == now.get(name, *audience))
    };
    let is_set = uids.contains(uid);
    let others: Vec<_> = changed.iter().filter(|it| !is_set || !is_own(it)).cloned().collect();
    annotation::visible(&others, own)
}

/// Switches MODSEQ on for the rest of the connection. RFC 7162 §3.1
pub(crate) fn enable_condstore(run: &mut Run<'_>) {
    if !std::mem::replace(&mut run.state.enabled.condstore, true) {
        tell_highest_modseq(run);
    }
}

/// The first CONDSTORE-enabling command with a mailbox selected answers with its HIGHESTMODSEQ: the
/// settled one, behind which no expunge is unknown to the client. RFC 7162 §3.1.1, §3.2
pub(crate) fn tell_highest_modseq(run: &mut Run<'_>) {
    if let Some(selected) = &run.state.selected {
        let code = Code::HighestModSeq(selected.view.settled());
        let status = Status::untagged(StatusKind::Ok, "Highest").with_code(code);
        run.write(&Response::Status(status));
    }
}

/// How many messages are told before what was written is sent.
const MESSAGES_PER_FLUSH: usize = 1000;

/// Tells many messages one after the other, with a pause for sending now and then.
pub(crate) fn tell_messages(
    mut uids: UidSet,
    fetched: Fetched,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    let mut told = 0;
    let mut last = None;
    if let Some(selected) = run.state.selected.as_ref() {
        let out = &mut Out::new(run.sink, run.state.enabled);
        for (seq, entry) in selected.view.entries(&uids).take(MESSAGES_PER_FLUSH) {
            render::message(out, &selected.view, (seq, entry), fetched);
            told += 1;
            last = Some(entry.uid());
        }
    }
    let rest = last.and_then(|last| last.next()).filter(|_| told == MESSAGES_PER_FLUSH);
    let Some(next) = rest else { return then(run) };
    uids = uids.intersection(&UidSet::range(next, mail_types::Uid::MAX));
    Ok(Next::Wait(
        Need::Flush,
        Box::new(move |answer, run| match answer {
            crate::Answer::Ready => tell_messages(uids, fetched, run, then),
            other => Err::<Next, Reply>(errors::unexpected(&other)),
        }),
    ))
}
