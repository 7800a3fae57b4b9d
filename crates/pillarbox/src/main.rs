//! The program: configuration, command line, and where engines meet shells.

mod accounts;
mod acl;
mod acme_command;
mod aliases;
mod app_passwords;
mod check;
mod checks;
mod cli;
mod clock;
mod config;
mod control;
mod dkim_command;
mod doctor;
mod engine;
mod exchange;
mod failure;
mod hiding;
mod inward;
mod keyring;
mod log;
mod moving;
mod names;
mod outward;
mod queue;
mod quota;
mod ready;
mod records;
mod reload;
mod repair;
mod sample;
mod sample_loader;
mod say;
mod scrub;
mod serve;
mod server;
mod settings;
mod setup;
mod signing;
mod trial;
mod web;
mod why;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, DnsCommand};
use crate::failure::Failure;

/// Returns memory of closed sessions to the system sooner than the system's own allocator, and is
/// faster with many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("pillarbox: {failure}");
            failure.code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let default = match cli.command {
        Command::Serve(_) => "info",
        // What a resolver warns of is among the findings.
        Command::Dns { .. } | Command::Doctor(_) | Command::Setup(_) => "error",
        Command::Try(_)
        | Command::Account { .. }
        | Command::Acl { .. }
        | Command::Acme { .. }
        | Command::Queue { .. }
        | Command::Alias { .. }
        | Command::Check(_)
        | Command::Dkim { .. }
        | Command::Reload(_)
        | Command::Repair(_)
        | Command::Why(_) => "warn",
    };
    log::start(cli.log, cli.log_filter.as_deref(), default)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match cli.command {
            Command::Try(arguments) => trial::run(arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Account { command } => accounts::run(command).await,
            Command::Acl { command } => acl::run(command).await,
            Command::Acme { command } => acme_command::run(command).await,
            Command::Queue { command } => queue::run(command).await,
            Command::Alias { command } => aliases::run(command).await,
            Command::Check(data) => check::run(data).await,
            Command::Dkim { command } => dkim_command::run(command).await,
            Command::Dns { command: DnsCommand::Records(of) } => doctor::print_records(of).await,
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Reload(data) => reload::run(data).await,
            Command::Repair(arguments) => repair::run(arguments).await,
            Command::Setup(arguments) => setup::run(arguments).await,
            Command::Why(asked) => why::run(asked).await,
        }
    })
}

/// Threads that may wait for the disk at one time. More would not make a disk faster, and each
/// keeps memory of its own for a while.
const BLOCKING_THREADS_MAX: usize = 64;
