//! A content filter that is a program of the operator's: the message is its standard input, the
//! envelope stands in its environment, and the status it exits with says what shall become of the
//! message. `spamassassin --exit-code` and `clamdscan -` can be used as they are.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::time::timeout;
use tracing::debug;

use super::answer::{Action, Edits, FilterVerdict};
use super::filter::Question;

/// A program that looks at messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterProgram {
    /// Its path. It is run without a shell.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Exit statuses by which a message is junk.
    pub junk: Vec<u8>,
    /// Exit statuses by which a message is refused.
    pub reject: Vec<u8>,
}

impl FilterProgram {
    /// The program ends with the future that waits for it.
    pub(super) async fn ask(
        &self,
        question: Question<'_>,
        message: Bytes,
    ) -> Result<FilterVerdict, String> {
        let mut child = self.start(question).map_err(|error| format!("it cannot run: {error}"))?;
        let (input, complaint) = (child.stdin.take(), child.stderr.take());
        let mut told = Vec::new();
        let status = {
            let streams =
                async { tokio::join!(write(input, &message), read(complaint, &mut told)) };
            let mut streams = std::pin::pin!(streams);
            tokio::select! {
                status = child.wait() => {
                    // What it left running in the background may hold the streams open for ever.
                    let _ = timeout(LAST_WORDS, &mut streams).await;
                    status
                }
                _ = &mut streams => child.wait().await,
            }
        };
        let told = String::from_utf8_lossy(&told);
        let status = status.map_err(|error| format!("it cannot be waited for: {error}"))?;
        let verdict = status.code().and_then(|code| self.verdict(code));
        match verdict {
            Some(action) => {
                debug!(id = question.id, ?action, complaint = ?told, "the filter has ended");
                Ok(FilterVerdict { action, score: None, edits: Edits::default() })
            }
            None => Err(format!("it ended with {status}: {told}")),
        }
    }

    fn start(&self, question: Question<'_>) -> std::io::Result<Child> {
        let Question { client, client_name, sender, recipients, id } = question;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        // Programs find their parts by these; nothing else of this process concerns them.
        for name in ["PATH", "HOME", "LANG"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let mut tell = |name: &str, value: &str| {
            // A value with NUL would keep the program from starting at all.
            if !value.contains('\0') {
                command.env(name, value);
            }
        };
        tell("PILLARBOX_CLIENT", &client.to_string());
        tell("PILLARBOX_HELO", client_name);
        tell("PILLARBOX_SENDER", sender);
        tell("PILLARBOX_RECIPIENTS", &recipients.join("\n"));
        tell("PILLARBOX_ID", &format!("{id:016x}"));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn()
    }

    /// What a status means; `None` if it is no verdict, as when the program failed.
    fn verdict(&self, status: i32) -> Option<Action> {
        let status = u8::try_from(status).ok()?;
        if self.reject.contains(&status) {
            Some(Action::Reject)
        } else if self.junk.contains(&status) {
            Some(Action::Junk)
        } else {
            (status == 0).then_some(Action::Accept)
        }
    }
}

/// One that has seen enough reads no more; what it thinks, its status says.
async fn write(input: Option<ChildStdin>, message: &[u8]) {
    if let Some(mut input) = input {
        let _ = input.write_all(message).await;
    }
}

async fn read(complaint: Option<ChildStderr>, told: &mut Vec<u8>) {
    let Some(mut complaint) = complaint else { return };
    let _ = (&mut complaint).take(COMPLAINT_BYTES_MAX).read_to_end(told).await;
    // It must not wait for somebody to read the rest.
    let _ = tokio::io::copy(&mut complaint, &mut tokio::io::sink()).await;
}

/// What a program that has ended has said arrives at once.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What is kept of what it says on standard error, for the log.
const COMPLAINT_BYTES_MAX: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> FilterProgram {
        FilterProgram {
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            junk: vec![1, 5],
            reject: vec![77],
        }
    }

    async fn asked(script: &str, message: &[u8]) -> Result<Action, String> {
        let recipients = ["a@b.example".to_owned(), "c@b.example".to_owned()];
        let question = Question {
            client: "192.0.2.1".parse().unwrap(),
            client_name: "mx\0.example",
            sender: "$(exit 5)@b.example",
            recipients: &recipients,
            id: 255,
        };
        let found = shell(script).ask(question, Bytes::copy_from_slice(message)).await;
        found.map(|verdict| verdict.action)
    }

    #[tokio::test]
    async fn the_status_is_the_verdict_and_an_unknown_one_is_none() {
        for (script, action) in [
            ("exit 0", Action::Accept),
            ("exit 1", Action::Junk),
            ("exit 5", Action::Junk),
            ("exit 77", Action::Reject),
        ] {
            assert_eq!(asked(script, b"x").await, Ok(action), "{script}");
        }
        for script in ["exit 2", "exit 75", "exit 255", "kill -9 $$", "kill -15 $$"] {
            assert!(asked(script, b"x").await.is_err(), "{script}");
        }
        let told = asked("echo the rules are missing >&2; exit 3", b"x").await.unwrap_err();
        assert!(told.contains("the rules are missing"), "{told}");
    }

    #[tokio::test]
    async fn it_gets_the_message_and_the_envelope_and_nothing_that_a_shell_would_obey() {
        let script = "test \"$(cat)\" = tide || exit 2
            test \"$PILLARBOX_CLIENT\" = 192.0.2.1 || exit 3
            test \"$PILLARBOX_SENDER\" = '$(exit 5)@b.example' || exit 4
            test \"$(printf '%s\\n' \"$PILLARBOX_RECIPIENTS\" | wc -l)\" -eq 2 || exit 6
            test \"$PILLARBOX_ID\" = 00000000000000ff || exit 7
            test -z \"${PILLARBOX_HELO+set}\" || exit 8
            test -z \"${CARGO_MANIFEST_DIR+set}\" || exit 9";
        assert_eq!(asked(script, b"tide").await, Ok(Action::Accept));
    }

    #[tokio::test]
    async fn one_that_does_not_read_or_says_much_is_not_waited_for_in_vain() {
        let large = vec![b'x'; 4 << 20];
        assert_eq!(asked("exit 1", &large).await, Ok(Action::Junk));
        let loud = "cat >/dev/null; head -c 1000000 /dev/zero >&2; exit 77";
        assert_eq!(asked(loud, &large).await, Ok(Action::Reject));
        assert_eq!(asked("exec <&-; exec >&2; exit 5", &large).await, Ok(Action::Junk));
    }

    #[tokio::test]
    async fn what_it_leaves_running_is_not_waited_for() {
        // It ends when the test does: nobody reads its other stream any more.
        let script = "(while sleep 0.1; do echo still here >&2 || exit; done) & exit 5";
        let answer = timeout(Duration::from_secs(60), asked(script, b"x")).await;
        assert_eq!(answer, Ok(Ok(Action::Junk)));
    }
}
