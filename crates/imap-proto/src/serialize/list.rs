//! LIST and LSUB. RFC 9051 §6.3.9, §7.3.1, RFC 5258

use super::writer::Writer;
use super::{metadata, status};
use crate::types::{List, ListReply, Lsub};

/// `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`
pub fn command(out: &mut Writer<'_>, list: &List) {
    out.text("LIST ");
    let selection = list.selection;
    let mut words = Vec::new();
    push(&mut words, selection.subscribed, "SUBSCRIBED");
    push(&mut words, selection.remote, "REMOTE");
    push(&mut words, selection.special_use, "SPECIAL-USE");
    push(&mut words, selection.recursive_match, "RECURSIVEMATCH");
    let returns = &list.returns;
    let mut return_words = Vec::new();
    push(&mut return_words, returns.subscribed, "SUBSCRIBED");
    push(&mut return_words, returns.children, "CHILDREN");
    push(&mut return_words, returns.special_use, "SPECIAL-USE");
    push(&mut return_words, returns.my_rights, "MYRIGHTS");
    push(&mut return_words, !returns.status.is_empty(), "STATUS");
    push(&mut return_words, !returns.metadata.is_empty(), "METADATA");
    // Parentheses around one pattern are enough to make the command an extended one.
    let in_list =
        list.patterns.len() != 1 || (list.extended && words.is_empty() && return_words.is_empty());
    if !words.is_empty() {
        out.list(&words, |out, word| out.text(word));
        out.space();
    }
    out.mailbox(&list.reference);
    out.space();
    match list.patterns.first() {
        Some(pattern) if !in_list => out.list_mailbox(pattern),
        _ => out.list(&list.patterns, Writer::list_mailbox),
    }
    if !return_words.is_empty() {
        out.text(" RETURN ");
        out.list(&return_words, |out, word| {
            out.text(word);
            if *word == "STATUS" {
                out.space();
                status::items(out, &returns.status);
            }
            if *word == "METADATA" {
                out.space();
                metadata::entries_in_list(out, &returns.metadata);
            }
        });
    }
}

/// `lsub = "LSUB" SP mailbox SP list-mailbox`, and XLIST.
pub fn lsub(out: &mut Writer<'_>, name: &str, lsub: &Lsub) {
    out.text(name);
    out.space();
    out.mailbox(&lsub.reference);
    out.space();
    out.list_mailbox(&lsub.pattern);
}

fn push(words: &mut Vec<&'static str>, wanted: bool, word: &'static str) {
    if wanted {
        words.push(word);
    }
}

/// `mailbox-list`, of LIST and of LSUB.
pub fn reply(out: &mut Writer<'_>, reply: &ListReply) {
    out.list(&reply.attributes, |out, attribute| out.text(attribute.as_str()));
    out.space();
    delimiter(out, reply.delimiter);
    out.space();
    out.mailbox(&reply.mailbox);
    if reply.child_info.is_empty() && reply.old_name.is_none() {
        return;
    }
    out.text(" (");
    if !reply.child_info.is_empty() {
        out.text("\"CHILDINFO\" ");
        out.list(&reply.child_info, |out, option| out.string(option.as_bytes()));
    }
    if let Some(name) = &reply.old_name {
        out.text(if reply.child_info.is_empty() { "" } else { " " });
        out.text("\"OLDNAME\" (");
        out.mailbox(name);
        out.text(")");
    }
    out.text(")");
}

/// `DQUOTE QUOTED-CHAR DQUOTE / nil`
pub fn delimiter(out: &mut Writer<'_>, delimiter: Option<char>) {
    match delimiter {
        None => out.text("NIL"),
        Some(c) => out.quoted(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}
