//! A whole response. RFC 9051 §7

use super::writer::Writer;
use super::{
    acl, code, comparator, fetch, flags, id, language, list, metadata, namespace, quota, search,
    sort, status, thread, uidbatches, urlauth,
};
use crate::Sink;
use crate::base64;
use crate::types::{Continuation, NameEncoding, Response, Status, StatusTarget};

/// Writes one response with its line break.
///
/// Texts for people lose their line breaks, and characters outside ASCII unless the connection
/// speaks UTF-8. A VANISHED without UIDs, which could not be read, is not written at all.
pub fn response(response: &Response, encoding: NameEncoding, sink: &mut dyn Sink) {
    write(response, encoding, encoding, sink);
}

/// The same with texts for people in UTF-8, however names are written: what a client gets that has
/// chosen a language. RFC 5255 §3.5
pub fn response_in_utf8(response: &Response, names: NameEncoding, sink: &mut dyn Sink) {
    write(response, names, NameEncoding::Utf8, sink);
}

fn write(response: &Response, names: NameEncoding, texts: NameEncoding, sink: &mut dyn Sink) {
    let mut out = Writer::server(sink, names);
    match response {
        Response::Status(status) => status_line(&mut out, status, texts),
        Response::Continuation(continuation) => continue_line(&mut out, continuation, texts),
        Response::Vanished { uids, .. } if uids.is_empty() => return,
        untagged => {
            out.text("* ");
            data(&mut out, untagged);
        }
    }
    out.end();
}

fn data(out: &mut Writer<'_>, response: &Response) {
    match response {
        Response::Status(_) | Response::Continuation(_) => {}
        Response::Capability(names) => words(out, "CAPABILITY", names),
        Response::Enabled(names) => words(out, "ENABLED", names),
        Response::Flags(list) => {
            out.text("FLAGS ");
            flags::flag_list(out, list);
        }
        Response::List(reply) => {
            out.text("LIST ");
            list::reply(out, reply);
        }
        Response::Lsub(reply) => {
            out.text("LSUB ");
            list::reply(out, reply);
        }
        Response::Xlist(reply) => {
            out.text("XLIST ");
            list::reply(out, reply);
        }
        Response::Namespace(reply) => namespace::reply(out, reply),
        Response::StatusData(reply) => status::reply(out, reply),
        Response::Metadata(reply) => metadata::reply(out, reply),
        Response::Acl(reply) => acl::reply(out, reply),
        Response::ListRights(reply) => acl::list_reply(out, reply),
        Response::MyRights(reply) => acl::my_reply(out, reply),
        Response::Quota(reply) => quota::reply(out, reply),
        Response::QuotaRoot(reply) => quota::root_reply(out, reply),
        Response::Search { numbers, mod_seq } => search::reply(out, numbers, *mod_seq),
        Response::Sort { numbers, mod_seq } => sort::reply(out, numbers, *mod_seq),
        Response::Thread(members) => thread::reply(out, members),
        Response::Comparator(reply) => comparator::reply(out, reply),
        Response::Language(tags) => language::reply(out, tags),
        Response::UidBatches(reply) => uidbatches::reply(out, reply),
        Response::Esearch(reply) => search::esearch(out, reply),
        Response::Exists(number) => numbered(out, *number, "EXISTS"),
        Response::Recent(number) => numbered(out, *number, "RECENT"),
        Response::Expunge(seq) => numbered(out, seq.get(), "EXPUNGE"),
        Response::Vanished { earlier, uids } => {
            out.text(if *earlier { "VANISHED (EARLIER) " } else { "VANISHED " });
            out.set(uids);
        }
        Response::Fetch { seq, attributes } => fetch::reply(out, *seq, attributes),
        Response::UidFetch { uid, attributes } => fetch::uid_reply(out, *uid, attributes),
        Response::GenUrlAuth(urls) => urlauth::generated(out, urls),
        Response::UrlFetch(all) => urlauth::fetched(out, all),
        Response::Id(params) => {
            out.text("ID ");
            id::params(out, params.as_ref());
        }
        Response::Other(text) => {
            // It was one line when it was read, and stays one. Nothing is left out, or what is not
            // known could become something else.
            let clean = |b: &u8| if is_break(*b) { b'?' } else { *b };
            let line: Vec<u8> = text.iter().map(clean).collect();
            out.bytes(&line);
        }
    }
}

fn numbered(out: &mut Writer<'_>, number: u32, word: &str) {
    out.number(number);
    out.space();
    out.text(word);
}

fn words(out: &mut Writer<'_>, name: &str, words: &[crate::types::Capability]) {
    out.text(name);
    for word in words {
        out.space();
        out.text(word);
    }
}

fn status_line(out: &mut Writer<'_>, status: &Status, texts: NameEncoding) {
    match &status.target {
        StatusTarget::Tagged(tag) => out.text(tag.as_str()),
        StatusTarget::Untagged => out.text("*"),
    }
    out.space();
    out.text(status.kind.as_str());
    if let Some(code) = &status.code {
        code::code(out, code);
    }
    if !status.text.is_empty() {
        out.space();
        human(out, &status.text, status.code.is_some(), texts);
    }
}

/// `continue-req = "+" SP (resp-text / base64) CRLF`: the space is never left out, some clients
/// do not know the line without it.
fn continue_line(out: &mut Writer<'_>, continuation: &Continuation, texts: NameEncoding) {
    out.text("+");
    match continuation {
        Continuation::Text { code, text } => {
            if let Some(code) = code {
                code::code(out, code);
            }
            out.space();
            human(out, text, code.is_some(), texts);
        }
        Continuation::Challenge(bytes) => {
            out.space();
            out.text(&base64::encode(bytes));
        }
    }
}

/// Text for a person: one line, and no bracket at its beginning that would read as a code.
fn human(out: &mut Writer<'_>, text: &str, has_code: bool, texts: NameEncoding) {
    let ascii_only = texts == NameEncoding::ModifiedUtf7;
    let mut line = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        line.push(match c {
            '\r' | '\n' | '\0' => ' ',
            '[' if index == 0 && !has_code => '(',
            c if ascii_only && !c.is_ascii() => '?',
            c => c,
        });
    }
    out.text(&line);
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b'\0')
}
