//! The steps of the streams.

use mail_service::{AccountHandle, DeliverError, NewMail, Route, ServiceError, Staged, Staging};
use mail_types::{
    AnnotationName, Flags, InternalDate, Keyword, MailboxId, MailboxName, SystemFlags, Uid, UidSet,
};
use mailbox::{AnnotationEdit, Annotations, Audience, FlagMode, Operation};

use super::{COMES_AND_GOES, Disk, NAMES, Run, Stream, mail, password};
use crate::Result;
use crate::dice::Dice;
use crate::world::START_SECS;

impl Run {
    /// One step of an account that lives all along.
    pub(super) async fn step(&self, name: &'static str, dice: &Dice) -> Result<()> {
        match dice.below(100) {
            0..12 => self.deliver(dice).await,
            12 => self.change_password(name).await,
            _ => self.change(name, dice).await,
        }
    }

    /// One step of whoever keeps the accounts and the store.
    pub(super) async fn keeper_step(&self, dice: &Dice) -> Result<()> {
        let exists = self.stream(COMES_AND_GOES)?.lock().await.id.is_some();
        match dice.below(12) {
            _ if !exists && dice.one_in(4) => self.create(COMES_AND_GOES).await,
            0 => self.remove(COMES_AND_GOES).await,
            1 => self.change_password(COMES_AND_GOES).await,
            2..6 => self.change(COMES_AND_GOES, dice).await,
            6 => self.reclaim().await,
            7 | 8 => self.sweep(dice).await,
            _ => self.deliver(dice).await,
        }
    }

    pub(super) async fn create(&self, name: &'static str) -> Result<()> {
        let mut stream = self.stream(name)?.lock().await;
        if stream.is_lost {
            return Ok(());
        }
        let next = stream.password + 1;
        let outcome = self.service.create_account(name, password(next)).await;
        let outcome = outcome.map(|id| {
            stream.id = Some(id);
            stream.password = next;
        });
        self.settle(&mut stream, outcome).await
    }

    async fn remove(&self, name: &'static str) -> Result<()> {
        let mut stream = self.stream(name)?.lock().await;
        if stream.is_lost {
            return Ok(());
        }
        // It may be gone though what it left could not be removed; then whatever the error is, it
        // is not known whether the account exists.
        let outcome = self.service.remove_account(name).await;
        let outcome = match outcome {
            Err(ServiceError::StorageFull | ServiceError::Busy) => Err(ServiceError::WriteRefused),
            other => other.map(|()| stream.id = None),
        };
        self.settle(&mut stream, outcome).await
    }

    async fn change_password(&self, name: &'static str) -> Result<()> {
        let mut stream = self.stream(name)?.lock().await;
        if stream.is_lost || stream.id.is_none() {
            return Ok(());
        }
        let next = stream.password + 1;
        let outcome = self.service.set_password(name, password(next)).await;
        if outcome.is_ok() {
            stream.password = next;
        }
        self.settle(&mut stream, outcome).await
    }

    async fn sweep(&self, dice: &Dice) -> Result<()> {
        let seconds = 300 + i64::try_from(dice.below(1200))?;
        self.clock.advance(seconds);
        match self.service.sweep().await {
            Err(error) if self.disk == Disk::Sound => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn reclaim(&self) -> Result<()> {
        let store = std::sync::Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || store.reclaim()).await? {
            Err(error) if self.disk == Disk::Sound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// One message to several recipients, some of them with a detail. Each recipient's own reply
    /// is a step of that recipient.
    async fn deliver(&self, dice: &Dice) -> Result<()> {
        let mut routes = Vec::new();
        for name in NAMES {
            if dice.one_in(2) {
                let detail = if dice.one_in(2) { "+archive" } else { "" };
                match self.service.route(&format!("{name}{detail}@harbour.example")).await {
                    Ok(route) => routes.push((name, route)),
                    Err(DeliverError::NoSuchUser) => {}
                    Err(error) if self.disk == Disk::Sound => return Err(error.into()),
                    Err(_) => return Ok(()),
                }
            }
        }
        let among: Vec<Route> = routes.iter().map(|(_, route)| route.clone()).collect();
        let staging = self.service.stage_delivery(&among);
        let staged = match stage(staging, &mail::message(self.seed, dice)).await {
            Ok(staged) => staged,
            Err(ServiceError::NoSuchAccount) => return Ok(()),
            Err(error) if self.disk == Disk::Sound => return Err(error.into()),
            Err(_) => return Ok(()),
        };
        for (name, route) in routes {
            let mut stream = self.stream(name)?.lock().await;
            if stream.is_lost {
                continue;
            }
            let outcome = match self.service.deliver(&route, &staged).await {
                Ok(_) => Ok(()),
                Err(DeliverError::Temporary(error)) => Err(error),
                Err(_) => Err(ServiceError::NoSuchMailbox),
            };
            self.settle(&mut stream, outcome).await?;
        }
        Ok(())
    }

    async fn change(&self, name: &'static str, dice: &Dice) -> Result<()> {
        let mut stream = self.stream(name)?.lock().await;
        if stream.is_lost || stream.id.is_none() {
            return Ok(());
        }
        let outcome = self.change_of(&stream, dice).await;
        self.settle(&mut stream, outcome).await
    }

    async fn change_of(
        &self,
        stream: &Stream,
        dice: &Dice,
    ) -> std::result::Result<(), ServiceError> {
        let handle = self.handle(stream).await?;
        let (mailbox, next) = pick_mailbox(&handle, dice).ok_or(ServiceError::NoSuchMailbox)?;
        let (other, _) = pick_mailbox(&handle, dice).ok_or(ServiceError::NoSuchMailbox)?;
        let uids = some_uids(next, dice);
        let operation = match dice.below(100) {
            0..28 => return self.append(&handle, mailbox, dice).await,
            28..34 => {
                let uid = uids.first().ok_or(ServiceError::NoSuchMessage)?;
                return self.replace(&handle, (mailbox, uid), other, dice).await;
            }
            34..40 => {
                Operation::Annotate { mailbox, uids, edits: comment(dice), unchanged_since: None }
            }
            40..58 => Operation::SetFlags {
                mailbox,
                uids,
                mode: *dice
                    .pick(&[FlagMode::Add, FlagMode::Remove, FlagMode::Replace])
                    .unwrap_or(&FlagMode::Add),
                flags: flags(dice),
                unchanged_since: None,
            },
            58..67 => Operation::Move { from: mailbox, to: other, uids },
            67..74 => Operation::Copy { from: mailbox, to: other, uids },
            74..82 => Operation::Expunge { mailbox, uids: UidSet::range(Uid::MIN, Uid::MAX) },
            82..87 => Operation::CreateMailbox { name: any_name(dice), special_use: Vec::new() },
            87..91 => Operation::RenameMailbox { from: any_name(dice), to: any_name(dice) },
            91..94 => Operation::DeleteMailbox { name: any_name(dice) },
            94..96 => Operation::Subscribe { name: any_name(dice) },
            96..98 => Operation::Unsubscribe { name: any_name(dice) },
            _ => Operation::ClaimRecent { mailbox },
        };
        handle.submit(operation).await.map(drop)
    }

    async fn append(
        &self,
        handle: &AccountHandle,
        mailbox: MailboxId,
        dice: &Dice,
    ) -> std::result::Result<(), ServiceError> {
        let mut mails = Vec::new();
        for _ in 0..=dice.below(3) {
            mails.push(self.new_mail(handle, dice).await?);
        }
        handle.append(mailbox, mails).await.map(drop)
    }

    async fn replace(
        &self,
        handle: &AccountHandle,
        gone: (MailboxId, Uid),
        to: MailboxId,
        dice: &Dice,
    ) -> std::result::Result<(), ServiceError> {
        let mail = self.new_mail(handle, dice).await?;
        let to = if dice.one_in(2) { gone.0 } else { to };
        handle.replace(gone, to, mail).await.map(drop)
    }

    async fn new_mail(
        &self,
        handle: &AccountHandle,
        dice: &Dice,
    ) -> std::result::Result<NewMail, ServiceError> {
        let staged = match stage(handle.stage(), &mail::message(self.seed, dice)).await {
            // Nothing has been asked yet, so nothing has changed.
            Err(ServiceError::WriteRefused) => return Err(ServiceError::Busy),
            other => other?,
        };
        let seconds = START_SECS - i64::try_from(dice.below(1 << 20)).unwrap_or(0);
        let annotations = match dice.one_in(8) {
            true => Annotations::default().with(&comment(dice)),
            false => Annotations::default(),
        };
        let date = InternalDate::utc(seconds);
        Ok(NewMail { staged, flags: flags(dice), date, annotations })
    }
}

async fn stage(mut staging: Staging, text: &[u8]) -> std::result::Result<Staged, ServiceError> {
    for piece in text.chunks(100_000) {
        staging.push(piece).await?;
    }
    staging.finish().await
}

fn pick_mailbox(handle: &AccountHandle, dice: &Dice) -> Option<(MailboxId, Uid)> {
    let account = handle.current();
    let mailboxes: Vec<_> =
        account.mailboxes().map(|m| (m.record().id, m.record().uid_next)).collect();
    // Mail comes together in the first ones, so that there is something to change.
    let first = mailboxes.get(..mailboxes.len().min(2))?;
    dice.pick(if dice.one_in(2) { first } else { &mailboxes }).copied()
}

/// A comment that is set or removed, for the owner or for all.
fn comment(dice: &Dice) -> Vec<AnnotationEdit> {
    let name = AnnotationName::new("/comment").ok();
    let edit = |name| AnnotationEdit {
        name,
        audience: if dice.one_in(2) { Audience::Owner } else { Audience::Everyone },
        value: (!dice.one_in(4)).then(|| dice.below(1000).to_string().into_bytes().into()),
    };
    name.into_iter().map(edit).collect()
}

fn some_uids(next: Uid, dice: &Dice) -> UidSet {
    let first = 1 + dice.below(u64::from(next.get()));
    let last = first + dice.below(6);
    let uid = |number: u64| u32::try_from(number).ok().and_then(Uid::new).unwrap_or(Uid::MIN);
    UidSet::range(uid(first), uid(last))
}

fn flags(dice: &Dice) -> Flags {
    let bits = u8::try_from(dice.below(32)).unwrap_or(0);
    let keyword = Keyword::new(&format!("k{}", dice.below(6))).ok();
    let system = SystemFlags::from_bits(bits).unwrap_or_default();
    Flags::new(system, keyword.filter(|_| dice.one_in(2)))
}

fn any_name(dice: &Dice) -> MailboxName {
    let text = dice.pick(&MAILBOXES).copied().unwrap_or("INBOX");
    MailboxName::new(text).unwrap_or_else(|_| MailboxName::inbox())
}

const MAILBOXES: [&str; 8] = ["INBOX", "Archive", "a", "a/b", "a/b/c", "z", "Trash", "z/y"];
