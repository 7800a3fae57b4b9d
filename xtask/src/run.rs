//! Running other programs: where the repository is, and commands that fail with a sentence.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;
use crate::faults;

/// The root of the work tree: the parent of this crate's folder.
pub fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// Where cargo puts what it builds; the downloads and tools of this crate lie below it.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command in the repository's root. `line` is split at spaces, so arguments that hold a space
/// are added by the caller. Tests of faults that it runs know where to write their counts.
pub fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("true"));
    command.args(words).current_dir(root()).env(faults::VARIABLE, faults::file());
    command
}

/// Runs a command with its output on our own.
///
/// # Errors
/// When it cannot be started, or ends with a failure.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = describe(command);
    let status = command.status().map_err(|error| format!("cannot start {shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}").into()) }
}

/// Runs a command and returns what it printed; its complaints go to ours.
///
/// # Errors
/// When it cannot be started, ends with a failure, or prints what is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = describe(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown}: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command, passes its standard output on line by line, and shows each line to `watch`.
///
/// # Errors
/// When it cannot be started, or ends with a failure.
pub fn watched(command: &mut Command, watch: &mut dyn FnMut(&str)) -> Result<()> {
    let shown = describe(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {shown}: {error}"))?;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            watch(&line);
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}").into()) }
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
