//! A seeded run on the real engine that tells what it was told.
//!
//! Each account has a stream of steps, one after the other, each with at most one change; streams
//! run beside each other, so that commits form groups. After a step one line goes to standard
//! output in one write: `ack ACCOUNT STEP MODSEQ`. Then the account is written down in a side
//! folder. So for every moment of the recording it is known which steps were acknowledged, and for
//! every step what the account has to look like.

mod mail;
mod steps;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mail_service::{AccountHandle, Service, ServiceError};
use mail_types::{AccountId, Secret};
use store::Store;
use tokio::sync::Mutex;

use crate::Result;
use crate::dice::Dice;
use crate::dump::{Dump, dump};
use crate::world::{HandClock, open_service, open_store};

/// What to run.
pub struct Plan {
    /// Decides everything but the order of things that happen at one time.
    pub seed: u64,
    /// The store's folder.
    pub folder: PathBuf,
    /// The side folder, which exists.
    pub dumps: PathBuf,
    /// Steps of each account.
    pub steps: u64,
    /// Whether errors of the disk are to be expected.
    pub disk: Disk,
}

/// What the disk is like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Every error is a defect.
    Sound,
    /// Calls fail: a refused step is part of the run.
    Failing,
}

/// Runs to the end.
///
/// # Errors
/// On a sound disk every error; on a failing one those of the side folder only.
pub fn run(plan: Plan) -> Result<()> {
    watch_dog(plan.disk);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_time().build()?;
    let failing = plan.disk == Disk::Failing;
    match runtime.block_on(Run::start(plan)) {
        Err(error) if failing => {
            eprintln!("stopped: {error}");
            Ok(())
        }
        other => other,
    }
}

/// A hang is a defect too.
fn watch_dog(disk: Disk) {
    let limit =
        if disk == Disk::Sound { Duration::from_secs(300) } else { Duration::from_secs(40) };
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("the workload hangs");
        std::process::exit(HANGS);
    });
}

/// The exit code of a run that hung.
pub const HANGS: i32 = 9;

/// The accounts that live all along, and the one that comes and goes.
pub const NAMES: [&str; 4] = ["dock", "pier", "quay", COMES_AND_GOES];

/// The account that is removed and made again.
pub const COMES_AND_GOES: &str = "buoy";

/// The password number `number` of every account.
pub fn password(number: u32) -> Secret {
    Secret::new(format!("harbour {number}"))
}

struct Run {
    service: Service,
    store: Arc<dyn Store>,
    clock: Arc<HandClock>,
    seed: u64,
    disk: Disk,
    streams: BTreeMap<&'static str, Mutex<Stream>>,
    dumps: PathBuf,
    refused: AtomicU64,
}

/// Where an account's stream is.
struct Stream {
    name: &'static str,
    id: Option<AccountId>,
    step: u64,
    password: u32,
    /// Nothing more is asked of it: nobody knows what it holds.
    is_lost: bool,
}

impl Run {
    async fn start(plan: Plan) -> Result<()> {
        let store = open_store(&plan.folder, plan.seed)?;
        let clock = HandClock::new();
        let service = open_service(&store, &clock, plan.seed).await?;
        let stream = |name| Stream { name, id: None, step: 0, password: 0, is_lost: false };
        let run = Arc::new(Self {
            service,
            store,
            clock,
            seed: plan.seed,
            disk: plan.disk,
            streams: NAMES.iter().map(|name| (*name, Mutex::new(stream(*name)))).collect(),
            dumps: plan.dumps,
            refused: AtomicU64::new(0),
        });
        for name in NAMES.iter().take(3) {
            run.create(name).await?;
        }
        for round in 0..2 {
            run.round(round, plan.steps / 2).await?;
            // Long enough for what the engine does when nobody asks for anything.
            if plan.disk == Disk::Sound || plan.seed.is_multiple_of(8) {
                tokio::time::sleep(Duration::from_millis(1200)).await;
            }
        }
        let closed = run.service.close().await;
        tell("end\n")?;
        if plan.disk == Disk::Sound { Ok(closed?) } else { Ok(()) }
    }

    async fn round(self: &Arc<Self>, round: u64, steps: u64) -> Result<()> {
        let mut tasks = Vec::new();
        for (index, name) in (0..).zip(NAMES.iter()) {
            let (run, dice) = (Arc::clone(self), Dice::of(&[self.seed, round, index]));
            tasks.push(tokio::spawn(async move {
                for _ in 0..steps {
                    if run.refused.load(Ordering::Relaxed) >= REFUSED_MAX {
                        break;
                    }
                    run.clock.advance(20);
                    if *name == COMES_AND_GOES {
                        run.keeper_step(&dice).await?;
                    } else {
                        run.step(name, &dice).await?;
                    }
                }
                Result::Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    }

    fn stream(&self, name: &str) -> Result<&Mutex<Stream>> {
        Ok(self.streams.get(name).ok_or("no such stream")?)
    }

    async fn handle(&self, stream: &Stream) -> std::result::Result<AccountHandle, ServiceError> {
        self.service.account(stream.id.ok_or(ServiceError::NoSuchAccount)?).await
    }

    /// Tells that a step was acknowledged, and writes down what the account looks like now.
    async fn acknowledge(&self, stream: &mut Stream) -> Result<()> {
        stream.step += 1;
        let open = match stream.id {
            Some(id) => Some(self.service.account(id).await),
            None => None,
        };
        let modseq = match &open {
            Some(Ok(handle)) => handle.current().modseq().get(),
            _ => 0,
        };
        tell(&format!("ack {} {} {modseq}\n", stream.name, stream.step))?;
        let dumped = match open {
            None => Ok(Dump::absent()),
            Some(Ok(handle)) => dump(&handle, stream.password).await,
            Some(Err(error)) => Err(error.into()),
        };
        // The call that fails may also be one of ours.
        let written = dumped.and_then(|dump| {
            let write = || self.write_down(stream, &dump.text);
            write().or_else(|_| write())
        });
        match written {
            Ok(()) => Ok(()),
            Err(error) if self.disk == Disk::Failing => {
                eprintln!("{} cannot be read: {error}", stream.name);
                self.lose(stream)
            }
            Err(error) => Err(error),
        }
    }

    /// Each step in a file of its own: they stay short, whatever a file may grow to.
    fn write_down(&self, stream: &Stream, text: &str) -> Result<()> {
        let Stream { name, step, password, .. } = stream;
        let record = format!("== {name} {step} {password} {}\n{text}", text.len());
        Ok(std::fs::write(self.dumps.join(format!("{name}.{step}")), record)?)
    }

    /// A step has ended: it was done, refused by the rules of mail, or refused by the disk.
    async fn settle(
        &self,
        stream: &mut Stream,
        outcome: std::result::Result<(), ServiceError>,
    ) -> Result<()> {
        match outcome {
            Ok(()) => self.acknowledge(stream).await,
            Err(
                ServiceError::Refused(_)
                | ServiceError::NoSuchMailbox
                | ServiceError::NoSuchMessage
                | ServiceError::NoSuchAccount
                | ServiceError::AccountExists,
            ) => Ok(()),
            Err(error) => self.trouble(stream, error),
        }
    }

    fn trouble(&self, stream: &mut Stream, error: ServiceError) -> Result<()> {
        if self.disk == Disk::Sound {
            return Err(error.into());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        eprintln!("{} step {}: {error}", stream.name, stream.step + 1);
        match error {
            ServiceError::StorageFull | ServiceError::Busy | ServiceError::ChangeTooLarge => Ok(()),
            _ => self.lose(stream),
        }
    }

    /// Nobody knows any more what the account holds.
    fn lose(&self, stream: &mut Stream) -> Result<()> {
        stream.is_lost = true;
        tell(&format!("unknown {} {}\n", stream.name, stream.step + 1))
    }
}

/// Says a line, in one write.
fn tell(line: &str) -> Result<()> {
    Ok(std::io::stdout().lock().write_all(line.as_bytes())?)
}

/// After so many refusals nothing new is to be learnt.
const REFUSED_MAX: u64 = 40;
