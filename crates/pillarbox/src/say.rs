//! What the program says on standard output.

use std::io::Write;

/// Writes a line. Nobody has to read it: `pillarbox account list | head` ends early, and that is
/// not an error of ours.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
