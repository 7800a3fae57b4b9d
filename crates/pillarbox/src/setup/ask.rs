//! Asks the person who sets the server up.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use mail_types::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// Whether somebody is there to be asked.
pub fn is_somebody_there() -> bool {
    io::stdin().is_terminal()
}

/// Asks whether to go on; anything but yes is no.
///
/// # Errors
/// When the answer cannot be read.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    prompt(&format!("{question} [y/N] "));
    let answer = line()?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a new password, twice, without showing it.
///
/// # Errors
/// When it is empty or differs at the second time.
pub fn new_password(account: &str) -> Result<Secret, Failure> {
    prompt(&format!("Password for {account}: "));
    let first = hidden()?;
    prompt("Again: ");
    let second = hidden()?;
    if first.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    if first != second {
        return Err(Failure::usage("the two passwords differ"));
    }
    Ok(Secret::new(first))
}

/// The first line of standard input.
///
/// # Errors
/// When it is empty or cannot be read.
pub fn password_from_stdin() -> Result<Secret, Failure> {
    let password = line()?;
    if password.is_empty() {
        return Err(Failure::usage("no password on standard input"));
    }
    Ok(Secret::new(password))
}

/// Shows nothing of what is typed until it is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes).ok()?;
        Some(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn hidden() -> Result<String, Failure> {
    let hidden = Hidden::new();
    let answer = line();
    drop(hidden);
    // The end of the line was not shown either.
    prompt("\n");
    answer
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line);
    read.map_err(|error| Failure::failed(format!("standard input: {error}")))?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn prompt(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// The longest answer.
const LINE_BYTES_MAX: u64 = 4096;
