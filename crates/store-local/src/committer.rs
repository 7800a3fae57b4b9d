//! The one thread that writes: takes what waits, makes it durable together, answers.
//!
//! A group is: one transaction of the database with the locations of the new blobs and every
//! commit that waits, which is not committed yet; the record of the group in the log, and one sync
//! of it; then the transaction is committed, without a sync, and everybody is answered. So nothing
//! is answered nor seen by any view before it is on disk, and no row names bytes that are not. A
//! commit whose condition fails leaves the others of its group alone: conditions are checked before
//! its first write.
//!
//! After a failed sync nobody knows what the disk holds, and a second try may claim success
//! without cause; so from then on every write is refused until the store is opened again. The same
//! when a group is in the log and the database does not take it.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rusqlite::Connection;
use store::{BlobKey, Commit, CommitNo, Deletion, Doom, StoreError, Write};

use crate::checkpoint::Checkpoints;
use crate::engine::Shared;
use crate::index::apply_changes;
use crate::log::Applied;
use crate::log::group::{Change, Payload};
use crate::pack::{Fresh, Logged, PackId, PackRow};
use crate::queue::{Item, Move, Next, call};
use crate::sqlite::{Changed, PAGE_BYTES, Statements};

/// Works until the queue is closed and empty.
pub(crate) fn run(shared: &Shared, connection: &Connection, at: Applied, checks: Checkpoints) {
    let at = CommitNo(at.commit);
    let end = catch_unwind(AssertUnwindSafe(|| work(shared, connection, at, checks)));
    let error = match end {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        // An assertion of ours has failed. Whoever waits must still get an answer.
        Err(_) => StoreError::write_refused("the committer failed"),
    };
    shared.refuse_writes(error);
    drain(shared);
}

fn work(
    shared: &Shared,
    connection: &Connection,
    at: CommitNo,
    checkpoints: Checkpoints,
) -> Result<(), StoreError> {
    let statements = Statements::new(connection)?;
    let mut committer = Committer { shared, connection, statements, at, checkpoints };
    let mut expected = 1;
    loop {
        match shared.queue.next(expected, IDLE_AFTER) {
            Next::Group(items) => {
                expected = items.len();
                committer.group(items);
            }
            Next::Idle => {
                expected = 1;
                shared.readers.expire();
                committer.checkpoints.when_idle(connection, shared);
            }
            Next::End => return Ok(()),
        }
    }
}

/// Answers everything with the reason why nothing can be written.
fn drain(shared: &Shared) {
    loop {
        match shared.queue.next(1, IDLE_AFTER) {
            Next::Group(items) => {
                let error = shared.check_writable().err().unwrap_or(StoreError::Closed);
                items.into_iter().for_each(|item| item.fail(&error));
            }
            Next::Idle => {}
            Next::End => return,
        }
    }
}

struct Committer<'c> {
    shared: &'c Shared,
    connection: &'c Connection,
    statements: Statements<'c>,
    at: CommitNo,
    checkpoints: Checkpoints,
}

/// What one transaction has decided so far.
struct Group {
    at: CommitNo,
    answers: Vec<Answer>,
    /// Change of live bytes of each pack.
    live: BTreeMap<PackId, i64>,
    /// Pack rows as they will be.
    rows: BTreeMap<PackId, PackRow>,
    removed: Vec<PackId>,
    /// The same changes for the log.
    payload: Payload,
    /// Held until the transaction has ended: see `Leases::doom`.
    dooms: Vec<Doom>,
    writes: u64,
    row_bytes: u64,
    wrote: Wrote,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Nothing,
    Something,
}

enum Answer {
    Commit(Result<CommitNo, StoreError>),
    Delete(Vec<Deletion>),
    Moved,
}

impl Committer<'_> {
    fn group(&mut self, mut items: Vec<Item>) {
        if items.is_empty() {
            return;
        }
        if let Err(error) = self.shared.check_writable() {
            return items.into_iter().for_each(|item| item.fail(&error));
        }
        if items.iter().any(Item::brings_blobs) && !self.shared.reserve.is_held() {
            let (bodies, rest) = items.into_iter().partition(Item::brings_blobs);
            let refused: Vec<Item> = bodies;
            refused.into_iter().for_each(|item| item.fail(&StoreError::StorageFull));
            return self.group(rest);
        }
        let packs = self.shared.packs();
        // After the items were taken: whatever was put before one was submitted is included.
        let fresh = packs.collect();
        let mut group = Group::new(self.at);
        match self.decide(&items, &fresh, &mut group) {
            Ok(()) if group.wrote == Wrote::Nothing => match self.statements.rollback() {
                Ok(()) => self.settle(items, &fresh, group, 0),
                Err(error) => self.fail(items, error),
            },
            Ok(()) => self.write(items, fresh, group),
            Err(StoreError::Corrupt { .. }) if items.len() > 1 => {
                // One of them met damage: it is told so, and the others go on.
                match self.undo(fresh) {
                    Ok(()) => items.drain(..).for_each(|item| self.group(vec![item])),
                    Err(error) => self.fail(items, error),
                }
            }
            Err(error) => self.give_up(items, fresh, error),
        }
    }

    /// Puts a decided group into the log, then ends its transaction.
    fn write(&mut self, items: Vec<Item>, fresh: Fresh, mut group: Group) {
        let packs = self.shared.packs();
        let payload = std::mem::take(&mut group.payload);
        let commits = (self.at.next().0, group.at.0);
        // A large group, or any when there is no reserve, shows now whether there is room for it.
        let flushed = self.shared.reserve.is_spent() || payload.length() > UNFLUSHED_BYTES_MAX;
        let kept = (!flushed).then(|| payload.clone());
        let flush = if flushed { self.statements.flush() } else { Ok(()) };
        let logged = match flush.and_then(|()| packs.append_group(payload.into_bytes(), commits)) {
            Ok(logged) => logged,
            Err(error) => return self.give_up(items, fresh, error),
        };
        match packs.sync(&logged) {
            Ok(count) => self.shared.tally.synced(count, logged.bytes),
            Err(error) => {
                // If this fails too, the connection holds a transaction that nobody ends.
                let _ = self.statements.rollback();
                return self.fail(items, StoreError::write_refused(&error));
            }
        }
        let Logged { group: number, end, .. } = logged;
        let applied = Applied { group: number, commit: group.at.0, at: end };
        let ended = self.statements.set_applied(&applied).and_then(|()| self.statements.commit());
        match ended.or_else(|error| self.apply_again(error, &applied, kept)) {
            Ok(()) => self.settle(items, &fresh, group, number),
            // It is durable and cannot be seen: whoever opens the store again will see it.
            Err(error) => self.fail(items, error),
        }
    }

    /// There was no room for a group that is in the log: makes room, and applies it as a replay
    /// would do.
    fn apply_again(
        &mut self,
        error: StoreError,
        applied: &Applied,
        payload: Option<Payload>,
    ) -> Result<(), StoreError> {
        let Some(payload) = payload.filter(|_| error == StoreError::StorageFull) else {
            return Err(error);
        };
        self.shared.reserve.spend();
        self.statements.rollback()?;
        self.statements.begin()?;
        apply_changes(&mut self.statements, *applied, payload.changes())?;
        self.statements.commit()
    }

    /// Nothing has been written, and nothing will be: answers why. Unless there is room in reserve:
    /// then what brings no bodies is tried again.
    fn give_up(&mut self, items: Vec<Item>, fresh: Fresh, error: StoreError) {
        match self.undo(fresh) {
            Ok(()) if error == StoreError::StorageFull && self.shared.reserve.spend() => {
                let (bodies, rest) = items.into_iter().partition(Item::brings_blobs);
                let refused: Vec<Item> = bodies;
                refused.into_iter().for_each(|item| item.fail(&error));
                self.group(rest);
            }
            Ok(()) => items.into_iter().for_each(|item| item.fail(&error)),
            Err(error) => self.fail(items, error),
        }
    }

    fn undo(&mut self, fresh: Fresh) -> Result<(), StoreError> {
        self.shared.packs().give_back(fresh);
        self.statements.rollback()
    }

    /// The outcome is unknown: answers so, and refuses whatever comes later.
    fn fail(&self, items: Vec<Item>, error: StoreError) {
        self.shared.refuse_writes(error);
        let error = self.shared.check_writable().err().unwrap_or(StoreError::Closed);
        items.into_iter().for_each(|item| item.fail(&error));
    }

    /// Carries a group out in a transaction that is left open.
    fn decide(
        &mut self,
        items: &[Item],
        fresh: &Fresh,
        group: &mut Group,
    ) -> Result<(), StoreError> {
        self.statements.begin()?;
        // No view lies between the commits of a group, so one number does for all of them.
        let named_at = self.at.next();
        let mut recorded = HashSet::new();
        for (key, location) in &fresh.blobs {
            let location = *location;
            // A blob that was recorded a moment ago keeps its place; the second copy is dead.
            if self.statements.insert_blob(key, location, named_at)? == Changed::One {
                group.add_live(location.pack, location.length);
                group.payload.push(&Change::Record { key: key.clone(), location, named_at });
                recorded.insert(key);
            }
            group.wrote(1);
        }
        for item in items {
            let answer = match item {
                Item::Commit { commit, bytes, .. } => {
                    let answer = self.commit(commit, &recorded, group)?;
                    if answer.is_ok() {
                        group.row_bytes += *bytes as u64;
                    }
                    Answer::Commit(answer)
                }
                Item::Delete { blobs, .. } => Answer::Delete(self.delete(blobs, group)?),
                Item::Move { moves, .. } => {
                    self.record_moves(moves, group)?;
                    Answer::Moved
                }
            };
            group.answers.push(answer);
        }
        if !recorded.is_empty() && group.at == self.at {
            // None of these commits names them. The one that will must get another number: a
            // listing may show this one meanwhile.
            group.at = named_at;
        }
        self.set_packs(fresh, group)
    }

    /// One commit inside the group's transaction.
    fn commit(
        &mut self,
        commit: &Commit,
        recorded: &HashSet<&BlobKey>,
        group: &mut Group,
    ) -> Result<Result<CommitNo, StoreError>, StoreError> {
        for (index, condition) in commit.conditions.iter().enumerate() {
            let expected = &condition.expected;
            if !self.statements.with_value(&condition.key, |found| expected.holds(found))? {
                return Ok(Err(StoreError::Conflict { condition: index }));
            }
        }
        let number = group.at.next();
        for lease in commit.leases.iter().filter(|lease| !recorded.contains(lease.key())) {
            if self.statements.name_blob(lease.key(), number)? == Changed::None {
                // A lease of another store: the commit would name what is not here.
                return Ok(Err(StoreError::BlobMissing { id: lease.id() }));
            }
            group.payload.push(&Change::Name { key: lease.key().clone(), at: number });
        }
        for write in &commit.writes {
            match write {
                Write::Put { key, value } => {
                    self.statements.put(key, value)?;
                    group.payload.push(&Change::Put { key, value });
                }
                Write::Delete { key } => {
                    self.statements.delete(key)?;
                    group.payload.push(&Change::Delete { key });
                }
            }
        }
        group.at = number;
        group.wrote(commit.writes.len() as u64);
        Ok(Ok(number))
    }

    fn delete(
        &mut self,
        blobs: &[(BlobKey, CommitNo)],
        group: &mut Group,
    ) -> Result<Vec<Deletion>, StoreError> {
        let mut answers = Vec::with_capacity(blobs.len());
        for (key, listed_at) in blobs {
            let Some(doom) = self.shared.leases.doom(key) else {
                answers.push(Deletion::InUse);
                continue;
            };
            answers.push(match self.statements.blob_named_at(key)? {
                None if self.shared.packs().unrecorded(key).is_some() => Deletion::InUse,
                None => Deletion::Missing,
                Some((named_at, ..)) if named_at != *listed_at => Deletion::InUse,
                Some((_, pack, length)) => {
                    self.statements.delete_blob(key)?;
                    group.payload.push(&Change::Forget { key: key.clone() });
                    group.remove_live(pack, length);
                    group.wrote(1);
                    group.dooms.push(doom);
                    Deletion::Deleted
                }
            });
        }
        Ok(answers)
    }

    fn record_moves(&mut self, moves: &[Move], group: &mut Group) -> Result<(), StoreError> {
        for Move { key, from, to } in moves {
            let (key, from, to) = (key.clone(), *from, *to);
            if self.statements.move_blob(&key, from, to)? == Changed::One {
                group.remove_live(from.pack, from.length);
                group.add_live(to.pack, to.length);
                group.payload.push(&Change::Move { key, from, to });
                group.wrote(1);
            }
        }
        Ok(())
    }

    /// Writes the rows of the packs that have changed; a pack without any live record goes.
    fn set_packs(&mut self, fresh: &Fresh, group: &mut Group) -> Result<(), StoreError> {
        let packs = self.shared.packs();
        group.rows.clone_from(&fresh.rows);
        for (&id, &change) in &group.live {
            let row = fresh.rows.get(&id).copied().or_else(|| packs.row(id));
            let Some(mut row) = row else { continue };
            row.live = row.live.saturating_add_signed(change);
            group.rows.insert(id, row);
        }
        for row in group.rows.values() {
            if packs.is_empty(row, &fresh.blobs) {
                self.statements.delete_pack(row.id)?;
                group.payload.push(&Change::RemovePack(row.id));
                group.removed.push(row.id);
            } else {
                self.statements.set_pack(row)?;
                group.payload.push(&Change::SetPack(*row));
            }
        }
        if !group.rows.is_empty() {
            group.wrote(group.rows.len() as u64);
        }
        Ok(())
    }

    /// The group is durable and can be seen: says so to everybody.
    fn settle(&mut self, items: Vec<Item>, fresh: &Fresh, group: Group, number: u64) {
        let Group { at, answers, rows, removed, dooms, writes, row_bytes, wrote, .. } = group;
        self.at = at;
        let tally = &self.shared.tally;
        if wrote == Wrote::Something {
            tally.groups.add(1);
        }
        tally.row_bytes.add(row_bytes);
        let live = rows.values().map(|row| (row.id, row.live));
        self.shared.packs().recorded(fresh, live, &removed, number);
        drop(dooms);
        let mut committed = Vec::new();
        for (item, answer) in items.into_iter().zip(answers) {
            match (item, answer) {
                (Item::Commit { commit, done, .. }, Answer::Commit(answer)) => {
                    match answer {
                        Ok(_) => tally.commits.add(1),
                        Err(_) => tally.conflicts.add(1),
                    }
                    if answer.is_ok() {
                        committed.push(commit.writes);
                    }
                    call(done, answer);
                }
                (Item::Delete { done, .. }, Answer::Delete(answer)) => _ = done.send(Ok(answer)),
                (Item::Move { done, .. }, Answer::Moved) => _ = done.send(Ok(())),
                // Answers are made one for each item, by its kind.
                (item, _) => item.fail(&StoreError::write_refused("answer of another kind")),
            }
        }
        // As with callbacks: whoever panics in a wake must not take the committer with it.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.shared.watchers.wake(committed.iter().flatten().map(Write::key));
        }));
        let pages = writes + row_bytes / PAGE_BYTES + 2;
        if wrote == Wrote::Something
            && self.checkpoints.after_group(self.connection, pages, self.shared)
                == Checkpoints::BEGUN
        {
            self.shared.readers.expire();
        }
    }
}

impl Group {
    fn new(at: CommitNo) -> Self {
        Self {
            at,
            answers: Vec::new(),
            live: BTreeMap::new(),
            rows: BTreeMap::new(),
            removed: Vec::new(),
            payload: Payload::default(),
            dooms: Vec::new(),
            writes: 0,
            row_bytes: 0,
            wrote: Wrote::Nothing,
        }
    }

    fn wrote(&mut self, writes: u64) {
        self.wrote = Wrote::Something;
        self.writes += writes;
    }

    fn add_live(&mut self, pack: PackId, bytes: u64) {
        *self.live.entry(pack).or_insert(0) += signed(bytes);
    }

    fn remove_live(&mut self, pack: PackId, bytes: u64) {
        *self.live.entry(pack).or_insert(0) -= signed(bytes);
    }
}

/// A record is at most a little longer than a blob of 1 GiB.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A group with more changes than this is written to the database's log before it goes to ours. The
/// reserve has room for a smaller one, though each change writes a page.
const UNFLUSHED_BYTES_MAX: usize = 64 * 1024;

/// How long nothing has to happen before the log is checkpointed to the end and views are looked
/// after.
const IDLE_AFTER: Duration = Duration::from_secs(1);
