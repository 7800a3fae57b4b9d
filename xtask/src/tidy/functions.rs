//! The length of functions, counted from the line of `fn` to the line of the closing brace.

use std::collections::BTreeMap;
use std::fmt;

use super::mask::Masked;
use crate::Result;

/// Finds functions that are too long, and adds up the lines.
pub fn check(
    path: &str,
    masked: &Masked,
    allowances: &mut Allowances,
    totals: &mut Totals,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut covered = 0;
    for function in find(masked) {
        let lines = function.last_line - function.first_line + 1;
        // A function inside a function is checked by itself and counted once.
        if function.first_line > covered {
            covered = function.last_line;
            totals.add(lines);
        }
        let name = format!("{path}::{}", function.name);
        if lines > LONGEST {
            faults.push(format!("{name} has {lines} lines; {LONGEST} is the most there may be"));
        } else if lines > LONG && !allowances.allow(&name, lines) {
            faults.push(format!(
                "{name} has {lines} lines; split it by meaning below {LONG}, or list it in \
                 xtask/tidy-allow.txt"
            ));
        }
    }
    faults
}

/// Lines in functions, and how many of them are in very long ones.
#[derive(Default)]
pub struct Totals {
    functions: usize,
    lines: usize,
    lines_in_very_long: usize,
    longest: usize,
}

impl Totals {
    fn add(&mut self, lines: usize) {
        self.functions += 1;
        self.lines += lines;
        self.longest = self.longest.max(lines);
        if lines > VERY_LONG {
            self.lines_in_very_long += lines;
        }
    }

    pub fn faults(&self) -> Option<String> {
        (self.lines_in_very_long * 100 >= self.lines.max(1) * SHARE_MAX)
            .then(|| format!("{self}; the share must stay under {SHARE_MAX} %"))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_mille = self.lines_in_very_long * 1000 / self.lines.max(1);
        write!(
            out,
            "{} functions, {} lines in them, {}.{} % in functions over {VERY_LONG} lines, \
             longest {}",
            self.functions,
            self.lines,
            per_mille / 10,
            per_mille % 10,
            self.longest
        )
    }
}

/// The functions that may be long, each with the length that it may have.
pub struct Allowances(BTreeMap<String, Allowance>);

struct Allowance {
    lines: usize,
    used: Option<usize>,
}

impl Allowances {
    /// Reads lines of `path::function lines`, comments start with `#`.
    ///
    /// # Errors
    /// Names the line that has another form.
    pub fn read(text: &str) -> Result<Self> {
        let mut allowed = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = line.split_once(' ').and_then(|(name, lines)| {
                let lines = lines.split_whitespace().next()?.parse().ok()?;
                Some((name.to_owned(), Allowance { lines, used: None }))
            });
            let (name, allowance) = entry
                .ok_or_else(|| format!("xtask/tidy-allow.txt: not `function lines`: {line}"))?;
            allowed.insert(name, allowance);
        }
        Ok(Self(allowed))
    }

    fn allow(&mut self, name: &str, lines: usize) -> bool {
        match self.0.get_mut(name) {
            Some(allowance) => {
                // Several functions of a file may share a name: the longest of them counts.
                allowance.used = Some(allowance.used.unwrap_or(0).max(lines));
                lines <= allowance.lines
            }
            None => false,
        }
    }

    /// The list is a ratchet: an entry that is not needed any more, or that allows more than is
    /// needed, must be changed with the function.
    pub fn unused(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(_, allowance)| allowance.used.is_none_or(|used| used < allowance.lines))
            .map(|(name, allowance)| {
                let used = allowance.used.map_or("is short".to_owned(), |n| format!("has {n}"));
                format!(
                    "xtask/tidy-allow.txt allows {} lines to {name}, which {used}: tighten it",
                    allowance.lines
                )
            })
            .collect()
    }
}

struct Function {
    name: String,
    first_line: usize,
    last_line: usize,
}

fn find(masked: &Masked) -> Vec<Function> {
    let code = masked.code.as_str();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '#')
            .collect();
        let Some((open, close)) = body(rest).filter(|_| !name.is_empty()) else { continue };
        debug_assert!(open < close);
        found.push(Function {
            name,
            first_line: masked.line_of(at),
            last_line: masked.line_of(at + 3 + close),
        });
    }
    found
}

/// The offsets of the braces of the body; `None` for a declaration that ends in `;`.
fn body(rest: &str) -> Option<(usize, usize)> {
    let mut nesting = 0_i32;
    let mut open = None;
    for (at, byte) in rest.bytes().enumerate() {
        match (byte, open) {
            (b'(' | b'[', None) => nesting += 1,
            (b')' | b']', None) => nesting -= 1,
            (b';', None) if nesting == 0 => return None,
            (b'{', None) if nesting == 0 => (open, nesting) = (Some(at), 1),
            (b'{', Some(_)) => nesting += 1,
            (b'}', Some(first)) => {
                nesting -= 1;
                if nesting == 0 {
                    return Some((first, at));
                }
            }
            _ => {}
        }
    }
    None
}

/// Past this many lines a function is split by meaning, or listed with its reason.
const LONG: usize = 70;
/// Past this many lines a function counts into the share that `SHARE_MAX` bounds.
const VERY_LONG: usize = 100;
/// No function is longer, for whatever reason.
const LONGEST: usize = 150;
/// Percent of the lines of all functions that may stand in very long ones.
const SHARE_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(source: &str) -> Vec<(String, usize)> {
        find(&Masked::new(source))
            .into_iter()
            .map(|f| (f.name, f.last_line - f.first_line + 1))
            .collect()
    }

    fn long(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "x;\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_ends_at_its_own_brace() {
        let source =
            "fn a() {\n  if x { y(\"}\") } // }\n}\nfn b<'a>(s: &'a [u8; 2]) -> u8 { b'}' }\n";
        assert_eq!(lengths(source), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
    }

    #[test]
    fn a_declaration_and_a_pointer_type_are_no_functions() {
        assert_eq!(lengths("trait T { fn a(&self) -> [u8; 3]; }\ntype F = fn (u8);"), []);
    }

    #[test]
    fn a_long_function_must_be_listed_with_its_length() {
        let masked = Masked::new(&long(80));
        let mut totals = Totals::default();
        let mut none = Allowances::read("").unwrap();
        assert_eq!(check("a.rs", &masked, &mut none, &mut totals).len(), 1);
        let mut enough = Allowances::read("# why\na.rs::f 80\n").unwrap();
        assert!(check("a.rs", &masked, &mut enough, &mut totals).is_empty());
        assert!(enough.unused().is_empty());
        let mut loose = Allowances::read("a.rs::f 90").unwrap();
        assert!(check("a.rs", &masked, &mut loose, &mut totals).is_empty());
        assert_eq!(loose.unused().len(), 1);
    }

    #[test]
    fn no_list_allows_more_than_the_longest() {
        let mut allowances = Allowances::read("a.rs::f 151").unwrap();
        let masked = Masked::new(&long(151));
        assert_eq!(check("a.rs", &masked, &mut allowances, &mut Totals::default()).len(), 1);
    }

    #[test]
    fn the_share_of_very_long_functions_is_bounded() {
        let mut totals = Totals::default();
        totals.add(101);
        assert!(totals.faults().is_some());
        for _ in 0..40 {
            totals.add(60);
        }
        assert!(totals.faults().is_none());
    }

    #[test]
    fn a_list_of_another_form_is_refused() {
        assert!(Allowances::read("a.rs::f many").is_err());
    }
}
