//! Accounts of others that a session sees, and what it needs there.

use imap_session::{Answer, CopyRequest, Others, Place, SetAclRequest, Sharer};
use mail_service::{AccountHandle, NewMail, ServiceError};
use mailbox::Outcome;

use crate::connection::{Connection, Ended};
use crate::needs::Open;
use crate::trouble;

/// Accounts that are open besides the session's own. An idle session has at most one.
#[derive(Default)]
pub(crate) struct Visits {
    /// That of the selected mailbox, if it is another's.
    pub(crate) selected: Option<Box<Open>>,
    /// The one that the command is visiting.
    visited: Option<Box<Open>>,
}

impl Visits {
    /// What the session sees of them.
    pub(crate) fn seen(&self) -> Others<'_> {
        Others {
            selected: self.selected.as_ref().map(|open| &open.account),
            visited: self.visited.as_ref().map(|open| &open.account),
        }
    }

    /// The one that is visited: it may be the one of the selected mailbox by now.
    fn visited(&mut self) -> Option<&mut Open> {
        self.visited.as_deref_mut().or(self.selected.as_deref_mut())
    }

    /// The account that is meant by a place, beside the session's own.
    pub(crate) fn account_at<'a>(
        &'a mut self,
        place: Place,
        is_guest: bool,
        own: Option<&'a mut Open>,
    ) -> Option<&'a mut Open> {
        match place {
            Place::Selected if is_guest => self.selected.as_deref_mut(),
            Place::Own | Place::Selected => own,
            Place::Visited => self.visited(),
        }
    }

    /// A command has ended.
    pub(crate) fn end(&mut self, is_guest: bool) {
        self.visited = None;
        if !is_guest {
            self.selected = None;
        }
    }
}

impl Connection {
    /// The account that the session asks something of.
    pub(crate) fn asked(&mut self) -> Option<&mut Open> {
        self.account_at(self.session.place())
    }

    fn account_at(&mut self, place: Place) -> Option<&mut Open> {
        let is_guest = self.session.is_guest();
        self.visits.account_at(place, is_guest, self.open.as_deref_mut())
    }

    /// The account of the selected mailbox.
    fn selected_account(&mut self) -> Option<&mut Open> {
        self.account_at(Place::Selected)
    }

    pub(crate) async fn visit(&mut self, owner: &str) -> Answer {
        let Some(open) = &self.open else {
            return Answer::Failed(imap_session::Trouble::AccountGone);
        };
        match self.shared.service.visit(&open.handle, owner).await {
            Ok(Some(handle)) => {
                let mark = handle.id().to_string();
                self.visits.visited = Some(Box::new(Open::new(handle)));
                Answer::Visited(Some(mark))
            }
            Ok(None) => Answer::Visited(None),
            Err(error) => trouble::answer(error),
        }
    }

    /// The visited account is that of the selected mailbox now. What was written before belongs to
    /// another one, so it is sent first.
    pub(crate) async fn stay(&mut self) -> Result<Answer, Ended> {
        self.send().await?;
        self.visits.selected = self.visits.visited.take();
        Ok(Answer::Ready)
    }

    pub(crate) async fn sharers(&mut self) -> Answer {
        let Some(open) = &self.open else {
            return Answer::Failed(imap_session::Trouble::AccountGone);
        };
        match self.shared.service.shared_with(&open.handle).await {
            Ok(handles) => Answer::Sharers(handles.iter().map(sharer).collect()),
            Err(error) => trouble::answer(error),
        }
    }

    pub(crate) async fn copy_across(&mut self, request: CopyRequest) -> Answer {
        let CopyRequest { from, uids, place, to } = request;
        let source = self.selected_account().map(|open| open.handle.clone());
        let target = self.account_at(place);
        let (Some(source), Some(target)) = (source, target) else {
            return Answer::Failed(imap_session::Trouble::AccountGone);
        };
        let answer = match source.copy_to(from, &uids, &target.handle, to).await {
            Ok((account, outcome)) => {
                target.account = account;
                Answer::Submitted(Ok(Outcome::Copied(outcome)))
            }
            Err(error) => return trouble::answer(error),
        };
        // It may be the same account.
        if let Some(open) = self.selected_account() {
            open.look();
        }
        answer
    }

    pub(crate) async fn set_acl(&mut self, request: SetAclRequest) -> Answer {
        let SetAclRequest { mailbox, identifier, change } = request;
        let Some(open) = self.asked() else {
            return Answer::Failed(imap_session::Trouble::AccountGone);
        };
        match open.handle.set_acl(mailbox, &identifier, change).await {
            Ok((account, outcome)) => {
                open.account = account;
                Answer::Submitted(Ok(outcome))
            }
            Err(ServiceError::InvalidIdentifier(_)) => Answer::BadIdentifier,
            Err(error) => trouble::answer(error),
        }
    }
}

fn sharer(handle: &AccountHandle) -> Sharer {
    Sharer {
        name: handle.name().to_owned(),
        mark: handle.id().to_string(),
        account: handle.current(),
    }
}

/// A message that was staged in one account, for another: what a client sends is taken before it is
/// known where it goes.
pub(crate) async fn moved(
    mail: NewMail,
    from: &AccountHandle,
    to: &AccountHandle,
) -> Result<NewMail, ServiceError> {
    if from.id() == to.id() {
        return Ok(mail);
    }
    let reader = from.open_staged(mail.staged).await?;
    let mut staging = to.stage();
    let mut at = 0;
    while at < reader.size() {
        let piece = reader.read(at..reader.size()).await?;
        if piece.is_empty() {
            return Err(ServiceError::NoSuchMessage);
        }
        at += piece.len() as u64;
        staging.push(&piece).await?;
    }
    Ok(NewMail { staged: staging.finish().await?, ..mail })
}
