//! A program of the operator's that makes and removes TXT records, for dns-01.
//!
//! It is called without a shell, as the `exec` provider of lego is, so that scripts for that can be
//! used: `PROGRAM ARGUMENTS… present|cleanup _acme-challenge.NAME. VALUE`. It ends when the record
//! can be seen by everybody, or when the record is gone.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// A program that makes and removes TXT records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its path.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<String>,
}

/// What is to be done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Present,
    Cleanup,
}

/// Why a program did not do it.
#[derive(Debug)]
pub enum HookError {
    /// It cannot be started or watched.
    NotRun(std::io::Error),
    /// It ended otherwise than well.
    Failed(std::process::ExitStatus),
    /// It did not end, and was ended.
    TooSlow,
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun(error) => write!(f, "the program cannot be run: {error}"),
            Self::Failed(status) => write!(f, "the program failed with {status}"),
            Self::TooSlow => {
                write!(f, "the program took more than {} s", HOOK_TIME_MAX.as_secs())
            }
        }
    }
}

impl std::error::Error for HookError {}

impl Hook {
    pub(crate) async fn call(
        &self,
        action: Action,
        name: &str,
        value: &str,
    ) -> Result<(), HookError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(match action {
            Action::Present => "present",
            Action::Cleanup => "cleanup",
        });
        command.arg(format!("_acme-challenge.{name}.")).arg(value);
        // What it says on standard error stands beside the log.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // It ends with whoever waits for it.
        let mut running = command.kill_on_drop(true).spawn().map_err(HookError::NotRun)?;
        match timeout(HOOK_TIME_MAX, running.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(HookError::Failed(status)),
            Ok(Err(error)) => Err(HookError::NotRun(error)),
            Err(_) => Err(HookError::TooSlow),
        }
    }
}

/// A record takes some minutes to reach all name servers.
pub(crate) const HOOK_TIME_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Hook {
        let arguments = ["-c", script, "hook"].map(str::to_owned).to_vec();
        Hook { program: "/bin/sh".into(), arguments }
    }

    #[tokio::test]
    async fn the_program_is_told_what_to_do_without_a_shell_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told");
        let hook = shell(&format!("printf '%s|' \"$@\" >'{}'", file.display()));
        hook.call(Action::Present, "a.example", "-x $(id)").await.unwrap();
        let told = std::fs::read_to_string(&file).unwrap();
        assert_eq!(told, "present|_acme-challenge.a.example.|-x $(id)|");
        hook.call(Action::Cleanup, "a.example", "v").await.unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("cleanup|"));
    }

    #[tokio::test]
    async fn a_program_that_fails_or_is_not_there_is_told() {
        let failed = shell("exit 3").call(Action::Present, "a.example", "v").await;
        assert!(failed.unwrap_err().to_string().contains("exit status: 3"));
        let missing = Hook { program: "/nowhere".into(), arguments: Vec::new() };
        let error = missing.call(Action::Present, "a.example", "v").await.unwrap_err();
        assert!(matches!(error, HookError::NotRun(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_does_not_end_is_ended() {
        let error =
            shell("exec sleep 600").call(Action::Present, "a.example", "v").await.unwrap_err();
        assert!(matches!(error, HookError::TooSlow));
    }
}
