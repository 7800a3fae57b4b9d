//! What the compiler does not check: length of functions, a purpose for every file, words that must
//! not be committed, and the table of RFCs. The rules stand in STYLE.md; each says how to satisfy
//! it.

mod functions;
mod mask;
mod rfcs;
mod words;

use std::fs;

use crate::Result;
use crate::run;
use functions::{Allowances, Totals};
use mask::Masked;

/// Checks every file that git knows or would add.
///
/// # Errors
/// Lists every breach with file and line.
pub fn check() -> Result<()> {
    let root = run::root();
    let listed =
        run::output(&mut run::command("git ls-files --cached --others --exclude-standard"))?;
    let mut allowances = Allowances::read(&fs::read_to_string(root.join(ALLOWANCES))?)?;
    let mut faults = Vec::new();
    let mut totals = Totals::default();
    let mut sources = Vec::new();
    for path in listed.lines().filter(|path| !is_data(path)) {
        // A file that was removed and not yet committed is still listed.
        let Ok(bytes) = fs::read(root.join(path)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        faults.extend(words::in_any_file(path, &text));
        if path == rfcs::PATH {
            faults.extend(rfcs::check(&root, &text));
        }
        if path.ends_with(".rs") {
            sources.push((path, Masked::new(&text), text));
        }
    }
    let tests: Vec<String> =
        sources.iter().flat_map(|(path, masked, _)| words::test_modules(path, masked)).collect();
    for (path, masked, text) in &sources {
        faults.extend(words::in_rust(path, text, masked));
        if !tests.iter().any(|module| words::is_in_module(path, module)) {
            faults.extend(words::in_pure_rust(path, masked));
        }
        faults.extend(functions::check(path, masked, &mut allowances, &mut totals));
    }
    faults.extend(allowances.unused());
    faults.extend(totals.faults());
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    println!("tidy: {totals}");
    if faults.is_empty() { Ok(()) } else { Err(format!("{} breaches", faults.len()).into()) }
}

/// Mail as it came over the wire, and what other programs write, follow their own rules.
fn is_data(path: &str) -> bool {
    const ENDINGS: &[&str] = &[".eml", ".lock", ".snap", ".mbox"];
    const FOLDERS: &[&str] =
        &["fuzz/corpus/", "fuzz/seeds/", "/tests/rfc/", "/fixtures/", "/sample/"];
    ENDINGS.iter().any(|ending| path.ends_with(ending))
        || FOLDERS.iter().any(|folder| path.contains(folder))
}

/// Functions that are longer than `functions::LONG` for a reason; the list may only shrink.
const ALLOWANCES: &str = "xtask/tidy-allow.txt";
