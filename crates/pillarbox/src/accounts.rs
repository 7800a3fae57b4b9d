//! `pillarbox account`: on the data of a running server through its control socket, or directly
//! when no server runs.

use std::io::{BufRead, Read};
use std::path::Path;

use mail_service::{HiddenChange, ImportOutcome, ScrubReport, Service, ServiceError};
use mail_types::Secret;

use crate::aliases;
use crate::cli::{AccountCommand, Data, Named};
use crate::control::{ControlClient, Password, Reply, Request};
use crate::engine::{self, Missing, Place};
use crate::failure::Failure;
use crate::hiding;
use crate::moving;
use crate::queue;
use crate::quota;
use crate::say;
use crate::{acl, app_passwords, why};

/// Carries out an account command.
///
/// # Errors
/// When it was not done.
pub async fn run(command: AccountCommand) -> Result<(), Failure> {
    match command {
        AccountCommand::Add(named) => {
            let request = with_password(named, |name, password| Request::Add { name, password })?;
            once(request, Missing::Make).await
        }
        AccountCommand::Passwd(named) => {
            let request =
                with_password(named, |name, password| Request::Passwd { name, password })?;
            once(request, Missing::Refuse).await
        }
        AccountCommand::Remove { name, data } => {
            once((Request::Remove { name }, data), Missing::Refuse).await
        }
        AccountCommand::Move { name, to, data } => moving::run(&name, &to, data).await,
        AccountCommand::Capability { name, hide, show, list: _, data } => {
            capability(Request::Capability { name, hide, show }, data).await
        }
        AccountCommand::AppPassword(command) => app_passwords::run(command).await,
        AccountCommand::Quota(of) => quota::run(of).await,
        AccountCommand::List(data) => list(data).await,
        AccountCommand::Import { file, data } => import(&file, data).await,
    }
}

/// Does what a request asks. This is what both ends of the control socket agree on.
pub async fn carry_out(service: &Service, request: Request) -> Reply {
    let done = |result: Result<(), ServiceError>| match result {
        Ok(()) => Reply::Done,
        Err(error) => Reply::Failed { reason: error.to_string() },
    };
    match request {
        Request::Add { name, password } => {
            done(service.create_account(&name, secret(password)).await.map(drop))
        }
        Request::Alias { request } => aliases::carry_out(service, request).await,
        Request::Passwd { name, password } => {
            done(service.set_password(&name, secret(password)).await)
        }
        Request::Quota { name, change } => match quota::carry_out(service, &name, change).await {
            Ok(reply) => reply,
            Err(error) => Reply::Failed { reason: error.to_string() },
        },
        Request::AppAdd { name, label, hide } => {
            app_passwords::add(service, &name, &label, &hide).await
        }
        Request::AppList { name } => app_passwords::list(service, &name).await,
        Request::AppRemove { name, label } => {
            done(service.remove_app_password(&name, &label).await)
        }
        Request::Acl { name, mailbox, change } => {
            match acl::carry_out(service, &name, &mailbox, change).await {
                Ok(reply) => reply,
                Err(error) => Reply::Failed { reason: error.to_string() },
            }
        }
        Request::Queue { ask } => queue::carry_out(service, ask).await,
        Request::Remove { name } => done(service.remove_account(&name).await),
        Request::Import { accounts } => {
            let accounts = accounts.into_iter().map(|(name, word)| (name, secret(word))).collect();
            match service.import(accounts).await {
                Ok(outcomes) => {
                    Reply::Imported { refused: outcomes.into_iter().map(refusal).collect() }
                }
                Err(error) => Reply::Failed { reason: error.to_string() },
            }
        }
        Request::Capability { name, hide, show } => {
            if let Some(reason) = hide.iter().find_map(|name| hiding::check(name).err()) {
                return Reply::Failed { reason };
            }
            match service.change_hidden(&name, &HiddenChange { hide, show }).await {
                Ok(names) => Reply::Names { names },
                Err(error) => Reply::Failed { reason: error.to_string() },
            }
        }
        // They are answered where a server runs, before they come here.
        Request::Acme { .. } | Request::Counters | Request::Dkim { .. } | Request::Reload => {
            Reply::Failed { reason: "no server is running".to_owned() }
        }
        Request::Scrubbed => {
            let ScrubReport { passes, bytes, damaged } = service.scrubbed();
            Reply::Scrubbed { passes, bytes, damaged }
        }
        Request::Why { ask } => why::carry_out(service, ask).await,
        Request::List { after } => match service.list_accounts().await {
            Ok(accounts) => {
                let names = accounts.iter().map(|account| account.name.as_str());
                let after = after.as_deref().unwrap_or_default();
                let page = names.filter(|name| *name > after).take(NAMES_PER_REPLY);
                Reply::Names { names: page.map(str::to_owned).collect() }
            }
            Err(error) => Reply::Failed { reason: error.to_string() },
        },
    }
}

fn refusal(outcome: ImportOutcome) -> Option<String> {
    outcome.result.err().map(|error| error.to_string())
}

fn secret(password: Password) -> Secret {
    Secret::new(password.0)
}

/// A server that runs, or the store itself.
pub(crate) enum Backend {
    Server(ControlClient),
    Store(Service),
}

impl Backend {
    pub(crate) async fn open(data: Data, missing: Missing) -> Result<Self, Failure> {
        let place = Place::find(data, missing)?;
        if let Some(client) = ControlClient::connect(&place.data).await? {
            return Ok(Self::Server(client));
        }
        Ok(Self::Store(engine::open(&place).await?.service))
    }

    pub(crate) async fn call(&mut self, request: Request) -> Result<Reply, Failure> {
        match self {
            Self::Server(client) => client.call(&request).await,
            Self::Store(service) => Ok(carry_out(service, request).await),
        }
    }

    pub(crate) async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Store(service) => {
                service.close().await.map_err(|error| Failure::failed(error.to_string()))
            }
        }
    }
}

pub(crate) async fn once(
    (request, data): (Request, Data),
    missing: Missing,
) -> Result<(), Failure> {
    let mut backend = Backend::open(data, missing).await?;
    let reply = backend.call(request).await?;
    backend.close().await?;
    match reply {
        Reply::Done => Ok(()),
        other => Err(failed(other)),
    }
}

async fn capability(request: Request, data: Data) -> Result<(), Failure> {
    let mut backend = Backend::open(data, Missing::Refuse).await?;
    let reply = backend.call(request).await?;
    backend.close().await?;
    match reply {
        Reply::Names { names } => {
            for name in &names {
                say::line(name);
            }
            Ok(())
        }
        other => Err(failed(other)),
    }
}

async fn list(data: Data) -> Result<(), Failure> {
    let mut backend = Backend::open(data, Missing::Refuse).await?;
    let mut after = None;
    loop {
        match backend.call(Request::List { after }).await? {
            Reply::Names { names } => {
                for name in &names {
                    say::line(name);
                }
                let Some(last) = names.into_iter().next_back() else { break };
                after = Some(last);
            }
            other => return Err(failed(other)),
        }
    }
    backend.close().await
}

async fn import(file: &Path, data: Data) -> Result<(), Failure> {
    let lines = read_list(file)?;
    let mut backend = Backend::open(data, Missing::Make).await?;
    let (mut added, mut refused) = (0, Vec::new());
    for batch in lines.chunks(IMPORT_BATCH) {
        let accounts = batch.iter().map(|line| (line.name.clone(), line.password.clone()));
        match backend.call(Request::Import { accounts: accounts.collect() }).await? {
            Reply::Imported { refused: reasons } if reasons.len() == batch.len() => {
                for (line, reason) in batch.iter().zip(reasons) {
                    match reason {
                        None => added += 1,
                        Some(reason) => {
                            refused.push(format!("line {}: {}: {reason}", line.number, line.name));
                        }
                    }
                }
            }
            other => return Err(failed(other)),
        }
    }
    backend.close().await?;
    say::line(format_args!("{added} accounts added, {} not", refused.len()));
    if refused.is_empty() { Ok(()) } else { Err(Failure::lines(refused)) }
}

pub(crate) fn failed(reply: Reply) -> Failure {
    match reply {
        Reply::Failed { reason } => Failure::failed(reason),
        Reply::Done
        | Reply::Aliases { .. }
        | Reply::Imported { .. }
        | Reply::Keys { .. }
        | Reply::Names { .. }
        | Reply::Drawn { .. }
        | Reply::AppPasswords { .. }
        | Reply::Queue { .. }
        | Reply::Quota { .. }
        | Reply::Reloaded { .. }
        | Reply::Acl { .. }
        | Reply::Acme { .. }
        | Reply::Counters { .. }
        | Reply::Scrubbed { .. }
        | Reply::Story { .. } => Failure::failed("the server gave the reply to another question"),
    }
}

fn with_password(
    named: Named,
    request: impl FnOnce(String, Password) -> Request,
) -> Result<(Request, Data), Failure> {
    let mut line = String::new();
    let limited = std::io::stdin().lock().take(LIST_BYTES_MAX).read_line(&mut line);
    limited.map_err(|error| Failure::failed(format!("standard input: {error}")))?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(Failure::usage("no password on standard input"));
    }
    Ok((request(named.name, Password(password.to_owned())), named.data))
}

/// A line of an import.
#[derive(Debug)]
struct Line {
    number: usize,
    name: String,
    password: Password,
}

fn read_list(file: &Path) -> Result<Vec<Line>, Failure> {
    let failed = |error| Failure::failed(format!("{}: {error}", file.display()));
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(LIST_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    } else {
        let file = std::fs::File::open(file).map_err(failed)?;
        file.take(LIST_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    parse_list(&text)
}

/// `name:password`, one a line; the password is all that follows the first colon.
fn parse_list(text: &str) -> Result<Vec<Line>, Failure> {
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() {
            continue;
        }
        match line.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                let password = Password(password.to_owned());
                lines.push(Line { number, name: name.to_owned(), password });
            }
            // The line is not shown: it may be a password.
            _ => wrong.push(format!("line {number}: expected name:password")),
        }
    }
    if wrong.is_empty() { Ok(lines) } else { Err(Failure::mistakes(wrong)) }
}

/// Accounts that are hashed together: enough for all cores, few enough that progress is kept.
const IMPORT_BATCH: usize = 256;

/// Names in one reply to a list.
const NAMES_PER_REPLY: usize = 1000;

/// The longest list of names and passwords: more than a million accounts.
const LIST_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_colons_and_spaces() {
        let lines = parse_list("a@b.example:x:y z\r\n\n c:d\n").unwrap();
        let read: Vec<_> =
            lines.iter().map(|it| (it.number, it.name.as_str(), it.password.0.as_str())).collect();
        assert_eq!(read, [(1, "a@b.example", "x:y z"), (3, " c", "d")]);
    }

    #[test]
    fn lines_that_are_wrong_are_told_by_number_and_not_shown() {
        let failure = parse_list("a:b\nsecret\n:x\nc:\n").unwrap_err().to_string();
        assert_eq!(
            failure,
            "line 2: expected name:password\nline 3: expected name:password\nline 4: expected name:password"
        );
    }
}
