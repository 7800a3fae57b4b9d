//! Response codes. RFC 9051 §7.1

use mail_types::Uid;

use super::annotate;
use super::flags::flag_list;
use super::writer::Writer;
use crate::types::{Code, FilterName, Progress};

/// ` [CODE arguments]` with the space before it. A code about messages that names none is left
/// out: an empty set could not be read.
pub fn code(out: &mut Writer<'_>, code: &Code) {
    let names_nothing = match code {
        Code::Modified(set) | Code::AppendUid { uids: set, .. } => set.is_empty(),
        Code::CopyUid { source, target, .. } => source.is_empty() || target.is_empty(),
        _ => false,
    };
    if names_nothing {
        return;
    }
    out.text(" [");
    match code.bare_name() {
        Some(name) => out.text(name),
        None => with_arguments(out, code),
    }
    out.text("]");
}

fn with_arguments(out: &mut Writer<'_>, code: &Code) {
    match code {
        Code::Annotations(support) => annotate::support(out, *support),
        Code::Capability(names) => {
            out.text("CAPABILITY");
            for name in names {
                out.space();
                out.text(name);
            }
        }
        Code::BadCharset(names) => bad_charset(out, names),
        Code::UrlMech(others) => url_mechanisms(out, others),
        Code::BadUrl(url) => bad_url(out, url),
        Code::BadEvent(names) => bad_event(out, names),
        Code::MessageLimit { limit, lowest } => message_limit(out, *limit, *lowest),
        Code::InProgress(progress) => in_progress(out, progress.as_ref()),
        Code::PermanentFlags(flags) => {
            out.text("PERMANENTFLAGS ");
            flag_list(out, flags);
        }
        Code::AppendUid { uid_validity, uids } => {
            out.text("APPENDUID ");
            out.number(uid_validity.get());
            out.space();
            out.set(uids);
        }
        Code::CopyUid { uid_validity, source, target } => {
            out.text("COPYUID ");
            out.number(uid_validity.get());
            out.space();
            out.set(source);
            out.space();
            out.set(target);
        }
        Code::Modified(set) => {
            out.text("MODIFIED ");
            out.set(set);
        }
        Code::MailboxId(id) => {
            out.text("MAILBOXID (");
            out.text(id);
            out.text(")");
        }
        Code::NoUpdate(tag) => {
            out.text("NOUPDATE ");
            out.quoted(tag.as_bytes());
        }
        Code::MetadataLongEntries(size) => named(out, "METADATA LONGENTRIES", (*size).into()),
        Code::MetadataMaxSize(size) => named(out, "METADATA MAXSIZE", (*size).into()),
        Code::MetadataNoPrivate => out.text("METADATA NOPRIVATE"),
        Code::MetadataTooMany => out.text("METADATA TOOMANY"),
        Code::UndefinedFilter(name) => undefined_filter(out, name),
        Code::HighestModSeq(mod_seq) => named(out, "HIGHESTMODSEQ", mod_seq.get()),
        Code::UidNext(uid) => named(out, "UIDNEXT", uid.get().into()),
        Code::UidValidity(value) => named(out, "UIDVALIDITY", value.get().into()),
        Code::Unseen(seq) => named(out, "UNSEEN", seq.get().into()),
        Code::Other { name, arguments } => {
            out.text(name);
            // What would end the code or the line is left out as a whole: with other characters in
            // its place it could become arguments that mean something.
            let ends = |c: char| matches!(c, ']' | '\r' | '\n' | '\0');
            if let Some(arguments) = arguments.as_ref().filter(|a| !a.contains(ends)) {
                out.space();
                out.text(arguments);
            }
        }
        // All others have no arguments and are written by their name.
        bare => out.text(bare.bare_name().unwrap_or_default()),
    }
}

fn bad_charset(out: &mut Writer<'_>, names: &[String]) {
    out.text("BADCHARSET");
    let can_be_told = |name: &&String| !name.contains([']', '\r', '\n', '\0']);
    let names: Vec<&String> = names.iter().filter(can_be_told).collect();
    if !names.is_empty() {
        out.space();
        out.list(&names, |out, name| out.charset(name));
    }
}

fn url_mechanisms(out: &mut Writer<'_>, others: &[String]) {
    out.text("URLMECH INTERNAL");
    for other in others {
        out.space();
        out.text(other);
    }
}

fn bad_url(out: &mut Writer<'_>, url: &str) {
    out.text("BADURL");
    // What would end the code or the line cannot be told.
    if !url.is_empty() && url.bytes().all(|b| b.is_ascii_graphic() && b != b']') {
        out.space();
        out.text(url);
    }
}

fn undefined_filter(out: &mut Writer<'_>, name: &FilterName) {
    out.text("UNDEFINED-FILTER ");
    out.text(name.as_str());
}

fn message_limit(out: &mut Writer<'_>, limit: u32, lowest: Option<Uid>) {
    named(out, "MESSAGELIMIT", limit.into());
    if let Some(lowest) = lowest {
        out.space();
        out.number(lowest.get());
    }
}

fn bad_event(out: &mut Writer<'_>, names: &[String]) {
    out.text("BADEVENT ");
    out.list(names, |out, name| out.text(name));
}

/// A tag with a bracket is not told: it would end the code for who does not know it. RFC 9585 §4
fn in_progress(out: &mut Writer<'_>, progress: Option<&Progress>) {
    out.text("INPROGRESS");
    let Some(progress) = progress else { return };
    out.text(" (");
    match progress.tag.as_deref().filter(|tag| !tag.contains([']', '"', '\\'])) {
        Some(tag) => {
            out.text("\"");
            out.text(tag);
            out.text("\"");
        }
        None => out.text("NIL"),
    }
    for value in [progress.done, progress.goal] {
        out.space();
        match value {
            Some(value) => out.number(value),
            None => out.text("NIL"),
        }
    }
    out.text(")");
}

fn named(out: &mut Writer<'_>, name: &str, number: u64) {
    out.text(name);
    out.space();
    out.number(number);
}
