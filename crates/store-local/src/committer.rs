//! The one thread that writes: takes what waits, makes it durable together, answers.
//!
//! A group is: sync the packs that were written, then one transaction with the locations of the new
//! blobs and every commit that waits, whose COMMIT syncs the log. So nothing is answered before it
//! is on disk, and no transaction names bytes that are not. A commit whose condition fails leaves
//! the others of its group alone: conditions are checked before its first write.
//!
//! After a failed sync nobody knows what the disk holds, and a second try may claim success
//! without cause; so from then on every write is refused until the store is opened again.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rusqlite::Connection;
use store::{BlobKey, Commit, CommitNo, Deletion, Doom, StoreError, Write};

use crate::checkpoint::Checkpoints;
use crate::engine::Shared;
use crate::error::statement_failed;
use crate::pack::{Fresh, PackId, PackRow};
use crate::queue::{Item, Move, Next, call};
use crate::sqlite::{Changed, PAGE_BYTES, Statements};

/// Works until the queue is closed and empty.
pub(crate) fn run(shared: &Shared, connection: &Connection, at: CommitNo, checks: Checkpoints) {
    let end = catch_unwind(AssertUnwindSafe(|| work(shared, connection, at, checks)));
    let error = match end {
        Ok(Ok(())) => return,
        Ok(Err(error)) => statement_failed(&error),
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
) -> rusqlite::Result<()> {
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
                committer.checkpoints.when_idle(connection, &shared.tally);
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
    fn group(&mut self, items: Vec<Item>) {
        if let Err(error) = self.shared.check_writable() {
            return items.into_iter().for_each(|item| item.fail(&error));
        }
        let packs = self.shared.packs();
        // After the items were taken: whatever was put before one was submitted is included.
        let fresh = packs.collect();
        match packs.sync(&fresh) {
            Ok(count) => self.shared.tally.pack_syncs.add(count),
            Err(error) => return self.fail(items, StoreError::write_refused(&error)),
        }
        let mut group = Group::new(self.at);
        match self.transact(&items, &fresh, &mut group) {
            Ok(()) => self.settle(items, &fresh, group),
            Err(error) => {
                let rolled_back = self.statements.rollback();
                match (statement_failed(&error), rolled_back) {
                    (StoreError::StorageFull, Ok(())) => {
                        packs.give_back(fresh);
                        items.into_iter().for_each(|item| item.fail(&StoreError::StorageFull));
                    }
                    (error, _) => self.fail(items, error),
                }
            }
        }
    }

    /// The outcome is unknown: answers so, and refuses whatever comes later.
    fn fail(&self, items: Vec<Item>, error: StoreError) {
        self.shared.refuse_writes(error);
        let error = self.shared.check_writable().err().unwrap_or(StoreError::Closed);
        items.into_iter().for_each(|item| item.fail(&error));
    }

    fn transact(
        &mut self,
        items: &[Item],
        fresh: &Fresh,
        group: &mut Group,
    ) -> rusqlite::Result<()> {
        self.statements.begin()?;
        // No view lies between the commits of a group, so one number does for all of them.
        let named_at = self.at.next();
        for (key, location) in &fresh.blobs {
            // A blob that was recorded a moment ago keeps its place; the second copy is dead.
            if self.statements.insert_blob(key, *location, named_at)? == Changed::One {
                group.add_live(location.pack, location.length);
            }
            group.wrote(1);
        }
        let recorded: HashSet<&BlobKey> = fresh.blobs.iter().map(|(key, _)| key).collect();
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
        self.set_packs(fresh, group)?;
        if group.wrote == Wrote::Nothing {
            return self.statements.rollback();
        }
        self.statements.set_commit_no(group.at)?;
        self.statements.commit()
    }

    /// One commit inside the group's transaction.
    fn commit(
        &mut self,
        commit: &Commit,
        recorded: &HashSet<&BlobKey>,
        group: &mut Group,
    ) -> rusqlite::Result<Result<CommitNo, StoreError>> {
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
        }
        for write in &commit.writes {
            match write {
                Write::Put { key, value } => self.statements.put(key, value)?,
                Write::Delete { key } => self.statements.delete(key)?,
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
    ) -> rusqlite::Result<Vec<Deletion>> {
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
                    group.remove_live(pack, length);
                    group.wrote(1);
                    group.dooms.push(doom);
                    Deletion::Deleted
                }
            });
        }
        Ok(answers)
    }

    fn record_moves(&mut self, moves: &[Move], group: &mut Group) -> rusqlite::Result<()> {
        for Move { key, from, to } in moves {
            if self.statements.move_blob(key, *from, *to)? == Changed::One {
                group.remove_live(from.pack, from.length);
                group.add_live(to.pack, to.length);
                group.wrote(1);
            }
        }
        Ok(())
    }

    /// Writes the rows of the packs that have changed; a pack without any live record goes.
    fn set_packs(&mut self, fresh: &Fresh, group: &mut Group) -> rusqlite::Result<()> {
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
                group.removed.push(row.id);
            } else {
                self.statements.set_pack(row)?;
            }
        }
        if !group.rows.is_empty() {
            group.wrote(group.rows.len() as u64);
        }
        Ok(())
    }

    /// The transaction is durable: says so to everybody.
    fn settle(&mut self, items: Vec<Item>, fresh: &Fresh, group: Group) {
        let Group { at, answers, rows, removed, dooms, writes, row_bytes, wrote, .. } = group;
        self.at = at;
        let tally = &self.shared.tally;
        if wrote == Wrote::Something {
            tally.groups.add(1);
            tally.log_syncs.add(1);
        }
        tally.row_bytes.add(row_bytes);
        let live = rows.values().map(|row| (row.id, row.live));
        self.shared.packs().recorded(fresh, live, &removed);
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
            && self.checkpoints.after_group(self.connection, pages, tally) == Checkpoints::BEGUN
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

/// How long nothing has to happen before the log is checkpointed to the end and views are looked
/// after.
const IDLE_AFTER: Duration = Duration::from_secs(1);
