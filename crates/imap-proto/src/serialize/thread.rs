//! THREAD. RFC 5256 §5

use super::sort::search_criteria;
use super::writer::Writer;
use crate::types::{Thread, ThreadMember};

/// `thread = "THREAD" SP thread-alg SP search-criteria`
pub fn command(out: &mut Writer<'_>, thread: &Thread) {
    out.text("THREAD ");
    out.text(thread.algorithm.as_str());
    search_criteria(out, &thread.search);
}

/// `thread-data`. An only child follows its parent; several are lists of their own.
pub fn reply(out: &mut Writer<'_>, members: &[ThreadMember]) {
    out.text("THREAD");
    let only_children = only_children(members);
    // The depth at which each open list began.
    let mut open: Vec<u32> = Vec::new();
    let mut before: Option<&ThreadMember> = None;
    for (member, is_only_child) in members.iter().zip(only_children) {
        let parent = before.filter(|before| before.depth < member.depth);
        let has_numbered_parent = parent.is_some_and(|parent| parent.number.is_some());
        if is_only_child && has_numbered_parent && member.number.is_some() {
            out.space();
        } else {
            while open.pop_if(|began| *began >= member.depth).is_some() {
                out.text(")");
            }
            if before.is_none() || has_numbered_parent {
                out.space();
            }
            out.text("(");
            open.push(member.depth);
        }
        if let Some(number) = member.number {
            out.number(number);
        }
        before = Some(member);
    }
    open.iter().for_each(|_| out.text(")"));
}

/// For each member whether it is the only child of another.
fn only_children(members: &[ThreadMember]) -> Vec<bool> {
    let mut only = vec![false; members.len()];
    // The last member of each depth on the way to this one.
    let mut path: Vec<usize> = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let is_sibling = path.len() > member.depth as usize;
        let sibling = path.get(member.depth as usize);
        if let Some(only) = sibling.and_then(|sibling| only.get_mut(*sibling)) {
            *only = false;
        }
        path.truncate(member.depth as usize);
        path.push(index);
        if let Some(only) = only.get_mut(index) {
            *only = !is_sibling && member.depth > 0;
        }
    }
    only
}
