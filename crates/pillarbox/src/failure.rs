//! How the program fails: one clear line, and an exit code that a script can tell apart.

use std::fmt;
use std::process::ExitCode;

/// Why the program ends without having done what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    lines: Vec<String>,
    code: u8,
}

impl Failure {
    /// The arguments or the configuration are wrong: exit code 2.
    pub fn usage(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: USAGE }
    }

    /// The configuration is wrong in several places.
    pub fn mistakes(lines: Vec<String>) -> Self {
        Self { lines, code: USAGE }
    }

    /// Something did not work: exit code 1.
    pub fn failed(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: FAILED }
    }

    /// Several things did not work: exit code 1.
    pub fn lines(lines: Vec<String>) -> Self {
        Self { lines, code: FAILED }
    }

    /// What was verified is damaged: exit code 3.
    pub fn damaged(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: DAMAGED }
    }

    /// What was examined cannot do its work: exit code 2.
    pub fn unfit(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: UNFIT }
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const DAMAGED: u8 = 3;
const UNFIT: u8 = 2;
