//! THREAD, the command and its answer. RFC 5256 §5

use super::cursor::Cursor;
use super::error::Result;
use super::sort::search_criteria;
use crate::types::{Numbering, Response, Thread, ThreadAlgorithm, ThreadMember};

/// ```text
/// thread     = ["UID" SP] "THREAD" SP thread-alg SP search-criteria
/// thread-alg = "ORDEREDSUBJECT" / "REFERENCES" / thread-alg-ext
/// ```
pub fn command(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Thread> {
    cursor.space()?;
    let start = cursor.clone();
    let name = cursor.atom("threading algorithm")?;
    let mut known = ThreadAlgorithm::ALL.into_iter();
    let Some(algorithm) = known.find(|known| known.as_str().eq_ignore_ascii_case(name)) else {
        return start.expected("known threading algorithm");
    };
    cursor.space()?;
    Ok(Thread { algorithm, search: search_criteria(cursor, numbering)? })
}

/// ```text
/// thread-data    = "THREAD" [SP 1*thread-list]
/// thread-list    = "(" (thread-members / thread-nested) ")"
/// thread-members = nz-number *(SP nz-number) [SP thread-nested]
/// thread-nested  = 2*thread-list
/// ```
/// "There is no limit to the nesting of threads": it is read without recursion.
pub fn reply(cursor: &mut Cursor<'_>) -> Result<Response> {
    let mut members: Vec<ThreadMember> = Vec::new();
    // The depth at which each open list began, and that of the next member.
    let mut open: Vec<u32> = Vec::new();
    let mut depth = 0;
    cursor.skip_spaces();
    while !cursor.at_end() {
        if cursor.eat(b'(') {
            open.push(depth);
            if cursor.peek() == Some(b'(') {
                members.push(ThreadMember { number: None, depth });
                depth += 1;
            } else {
                members.push(ThreadMember { number: Some(cursor.nz_number()?), depth });
                depth += 1;
            }
        } else if cursor.eat(b')') {
            match open.pop() {
                Some(began) => depth = began,
                None => return cursor.expected("( of a thread"),
            }
        } else if !open.is_empty() {
            cursor.space()?;
            if cursor.peek() != Some(b'(') {
                members.push(ThreadMember { number: Some(cursor.nz_number()?), depth });
                depth += 1;
            }
        } else {
            cursor.space()?;
        }
    }
    if open.is_empty() { Ok(Response::Thread(members)) } else { cursor.expected(") of a thread") }
}
