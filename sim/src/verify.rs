//! Opens what a crash left and compares it with what was acknowledged.
//!
//! Every account must be as its last acknowledged step left it, or as the next one did: an
//! operation under way is there as a whole or not at all. The verifier of the service must find
//! nothing. Then the store must go on working, and give out only numbers that nobody was told of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mail_service::{AccountHandle, NewMail, Service, check};
use mail_types::{Flags, InternalDate, MailboxName, SystemFlags, UidSet};
use mailbox::{FlagMode, Operation, Outcome};
use store::{Store, StoreError};

use crate::Result;
use crate::dice::Dice;
use crate::dump::{ABSENT, Dump, difference, dump};
use crate::history::{Acked, History, Moment, Step};
use crate::workload::{COMES_AND_GOES, NAMES, password};
use crate::world::{HandClock, START_SECS, open_service, open_store};

/// What is known of the moment of the crash.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// What every step left behind.
    pub history: &'a History,
    /// What was acknowledged.
    pub moment: &'a Moment,
    /// Decides how the store is used afterwards.
    pub seed: u64,
}

/// Verifies the store in a folder, which is changed by it.
///
/// # Errors
/// Says what does not hold.
pub fn verify(folder: &Path, expected: Expected<'_>) -> Result<()> {
    let dice = Dice::of(&[expected.seed, 77]);
    let after = {
        let store =
            open(folder, expected.seed).map_err(|error| format!("it does not open: {error}"))?;
        let after = in_runtime(check_all(&store, expected, &dice))?;
        store.close().map_err(|error| format!("it does not close: {error}"))?;
        after
    };
    if dice.one_in(AGAIN) {
        let store = open(folder, expected.seed / 2)
            .map_err(|error| format!("not a second time: {error}"))?;
        in_runtime(check_again(&store, after))?;
        store.close()?;
    }
    Ok(())
}

/// Opens the store. A process that another thread is just starting has the lock file open for a
/// moment, as a copy of this one: that goes by.
fn open(folder: &Path, seed: u64) -> std::result::Result<Arc<dyn Store>, StoreError> {
    for _ in 0..LOCKED_MAX {
        match open_store(folder, seed) {
            Err(StoreError::Locked { .. }) => std::thread::sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
    open_store(folder, seed)
}

/// A runtime of its own, so that nothing of one store outlives it.
fn in_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(10));
    result
}

/// An account as it was left for the second opening.
struct Left {
    name: &'static str,
    password: u32,
    text: String,
}

async fn check_all(
    store: &Arc<dyn Store>,
    expected: Expected<'_>,
    dice: &Dice,
) -> Result<Vec<Left>> {
    check_clean(&**store)?;
    let service = open_service(store, &HandClock::new(), dice.next()).await?;
    let mut found = Vec::new();
    for name in NAMES {
        let acked = expected.moment.get(name).copied().unwrap_or_default();
        let account = look(&service, name, expected.history, acked).await?;
        compare(name, expected.history, acked, &account.dump)?;
        found.push(account);
    }
    let listed = service.list_accounts().await?.len();
    let existing = found.iter().filter(|account| account.handle.is_some()).count();
    if listed != existing {
        return Err(format!("{listed} accounts are listed, {existing} were made").into());
    }
    if let Some(account) = dice.pick(&found) {
        probe(account, dice).await?;
    }
    if dice.one_in(NEW_ACCOUNT) {
        let id = service.create_account("probe", password(1)).await?;
        let highest = expected.history.highest_account(expected.moment);
        if id.get() <= highest {
            return Err(format!("account id {id} is given again, {highest} was told").into());
        }
    }
    if dice.one_in(SWEEP) {
        service.sweep().await?;
    }
    let mut left = Vec::new();
    for Found { name, password, handle, .. } in found {
        let Some(handle) = handle else { continue };
        left.push(Left { name, password, text: dump(&handle, password).await?.text });
    }
    service.close().await?;
    Ok(left)
}

async fn check_again(store: &Arc<dyn Store>, left: Vec<Left>) -> Result<()> {
    check_clean(&**store)?;
    let service = open_service(store, &HandClock::new(), 1).await?;
    for Left { name, password, text } in left {
        let found = service.find_account(name).await?;
        let id = found.ok_or("an account is gone after the second opening")?.id;
        let again = dump(&service.account(id).await?, password).await?.text;
        if again != text {
            let difference = difference(&text, &again);
            return Err(
                format!("{name} is different after the second opening\n{difference}").into()
            );
        }
    }
    service.close().await?;
    Ok(())
}

fn check_clean(store: &dyn Store) -> Result<()> {
    let report = check(store)?;
    if report.is_clean() {
        return Ok(());
    }
    let findings: Vec<String> = report.findings.iter().take(10).map(ToString::to_string).collect();
    Err(format!("the verifier says:\n  {}", findings.join("\n  ")).into())
}

/// An account after the crash.
struct Found {
    name: &'static str,
    password: u32,
    dump: Dump,
    handle: Option<AccountHandle>,
}

async fn look(
    service: &Service,
    name: &'static str,
    history: &History,
    acked: Acked,
) -> Result<Found> {
    let Some(found) = service.find_account(name).await? else {
        return Ok(Found { name, password: 0, dump: Dump::absent(), handle: None });
    };
    let steps = [acked.step, acked.step + 1];
    let passwords = steps.iter().filter_map(|step| Some(history.step(name, *step)?.password));
    let mut fitting = 0;
    for number in passwords {
        if service.authenticate(name, &password(number)).await.is_ok() {
            fitting = number;
            break;
        }
    }
    let handle = service.account(found.id).await?;
    let dump = dump(&handle, fitting).await?;
    Ok(Found { name, password: fitting, dump, handle: Some(handle) })
}

fn compare(name: &str, history: &History, acked: Acked, found: &Dump) -> Result<()> {
    let step = |number| history.step(name, number);
    let is_step = |step: &Step| step.text == found.text;
    let (last, next) = (step(acked.step), step(acked.step + 1));
    if found.text != ABSENT && found.modseq < acked.modseq {
        let (found, told) = (found.modseq, acked.modseq);
        return Err(format!("{name}: its modseq is {found}, {told} was told").into());
    }
    if [&last, &next].into_iter().flatten().any(is_step) {
        return Ok(());
    }
    // Then nobody knows what the step has led to, but only that nothing may be missing.
    let is_open = history.is_lost(name) && (last.is_none() || next.is_none());
    if is_open && (found.text != ABSENT || name == COMES_AND_GOES || acked.step == 0) {
        return Ok(());
    }
    let mut text = format!("{name} is neither as step {} left it nor the next", acked.step);
    for (step, number) in [(last, acked.step), (next, acked.step + 1)] {
        let Some(step) = step else { continue };
        text.push_str(&format!(
            "\nagainst step {number}:\n{}",
            difference(&step.text, &found.text)
        ));
    }
    Err(text.into())
}

/// The recovered account takes new mail and new flags, under numbers that nobody has seen.
async fn probe(account: &Found, dice: &Dice) -> Result<()> {
    let Some(handle) = &account.handle else { return Ok(()) };
    let before = handle.state().await?;
    let inbox = before.by_name(&MailboxName::inbox()).ok_or("there is no INBOX")?.record().clone();
    let mut staging = handle.stage();
    let text = format!("Subject: probe {}\r\n\r\nAfter the storm.\r\n", dice.next());
    staging.push(text.as_bytes()).await?;
    let date = InternalDate::utc(START_SECS);
    let mail = NewMail {
        staged: staging.finish().await?,
        flags: Flags::default(),
        date,
        annotations: mailbox::Annotations::default(),
    };
    let (_, outcome) = handle.append(inbox.id, vec![mail]).await?;
    let Outcome::Added { uids, modseq, .. } = outcome else { return Err("not added".into()) };
    if uids.first() != Some(inbox.uid_next) || modseq <= Some(before.modseq()) {
        return Err(format!("the new message is {uids:?} at {modseq:?}, not {inbox:?}").into());
    }
    let Some(uid) = uids.first() else { return Ok(()) };
    let flags = Flags::new(SystemFlags::FLAGGED, None);
    let (mailbox, uids, mode) = (inbox.id, UidSet::single(uid), FlagMode::Add);
    let set = Operation::SetFlags { mailbox, uids, mode, flags, unchanged_since: None };
    let (after, _) = handle.submit(set).await?;
    if Some(after.modseq()) <= modseq {
        return Err("the flag change got no new modseq".into());
    }
    Ok(())
}

/// One in so many is opened a second time.
const AGAIN: u64 = 8;

/// One in so many gets another account.
const NEW_ACCOUNT: u64 = 16;

/// One in so many is swept.
const SWEEP: u64 = 8;

/// Times that a lock is waited for.
const LOCKED_MAX: usize = 400;
