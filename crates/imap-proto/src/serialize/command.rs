//! A whole command, as a client sends it.

use super::writer::{LiteralStyle, Mark, Writer};
use super::{
    acl, annotate, append, authenticate, comparator, copy, create, fetch, id, language, list,
    login, metadata, notify, quota, replace, search, select, sort, status, store, thread,
    uidbatches, urlauth,
};
use crate::types::{Command, CommandBody, NameEncoding, Numbering};

/// What the client knows of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Whether UTF-8 was enabled.
    pub encoding: NameEncoding,
    /// Which literals the server takes without asking.
    pub literals: LiteralSupport,
}

/// Which literals a server takes without having been asked. RFC 7888
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralSupport {
    /// None: the client waits for a continuation before each.
    Ask,
    /// LITERAL-, and IMAP4rev2: up to 4096 octets. RFC 7888 §5
    Minus,
    /// LITERAL+: all.
    Plus,
}

/// A piece of a command to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing may be sent before a `+` has arrived; a tagged response instead ends the command.
    Continuation,
    /// The octets of a literal that the command only names.
    Message {
        /// Which literal, as the command said.
        index: u32,
        /// Octets, exactly.
        size: u64,
    },
}

/// The pieces of a command in the order in which they are sent, its line break included.
pub fn command(command: &Command, options: ClientOptions) -> Vec<Chunk> {
    let style = match options.literals {
        LiteralSupport::Ask => LiteralStyle::ClientAsk,
        LiteralSupport::Minus => {
            LiteralStyle::Client { without_asking_max: LITERAL_MINUS_BYTES_MAX }
        }
        LiteralSupport::Plus => LiteralStyle::Client { without_asking_max: u64::MAX },
    };
    let mut bytes: Vec<u8> = Vec::new();
    let mut out = Writer::new(&mut bytes, options.encoding, style);
    out.text(command.tag.as_str());
    out.space();
    body(&mut out, &command.body);
    out.end();
    let marks = std::mem::take(&mut out.marks);
    chunks(&bytes, &marks)
}

/// Cuts the bytes where the marks stand.
fn chunks(bytes: &[u8], marks: &[(usize, Mark)]) -> Vec<Chunk> {
    let mut chunks = Vec::with_capacity(marks.len() * 2 + 1);
    let mut from = 0;
    for (at, mark) in marks {
        let piece = bytes.get(from..*at).unwrap_or_default();
        if !piece.is_empty() {
            chunks.push(Chunk::Bytes(piece.to_vec()));
        }
        from = *at;
        chunks.push(match *mark {
            Mark::Wait => Chunk::Continuation,
            Mark::Message { index, size } => Chunk::Message { index, size },
        });
    }
    chunks.push(Chunk::Bytes(bytes.get(from..).unwrap_or_default().to_vec()));
    chunks
}

fn body(out: &mut Writer<'_>, body: &CommandBody) {
    match body {
        CommandBody::Capability => out.text("CAPABILITY"),
        CommandBody::Noop => out.text("NOOP"),
        CommandBody::Logout => out.text("LOGOUT"),
        CommandBody::StartTls => out.text("STARTTLS"),
        CommandBody::Namespace => out.text("NAMESPACE"),
        CommandBody::Unauthenticate => out.text("UNAUTHENTICATE"),
        CommandBody::Compress(algorithm) => {
            out.text("COMPRESS ");
            out.text(algorithm);
        }
        CommandBody::Idle => out.text("IDLE"),
        CommandBody::Close => out.text("CLOSE"),
        CommandBody::Unselect => out.text("UNSELECT"),
        CommandBody::Check => out.text("CHECK"),
        CommandBody::Expunge => out.text("EXPUNGE"),
        CommandBody::Id(params) => {
            out.text("ID ");
            id::params(out, params.as_ref());
        }
        CommandBody::Authenticate(arguments) => authenticate::command(out, arguments),
        CommandBody::Login(arguments) => login::command(out, arguments),
        CommandBody::Enable(names) => {
            out.text("ENABLE");
            for name in names {
                out.space();
                out.text(name);
            }
        }
        CommandBody::Comparator(orders) => comparator::command(out, orders),
        CommandBody::Language(ranges) => language::command(out, ranges),
        CommandBody::UidBatches(batches) => uidbatches::command(out, batches),
        CommandBody::Delete(mailbox) => one_mailbox(out, "DELETE ", mailbox),
        CommandBody::Subscribe(mailbox) => one_mailbox(out, "SUBSCRIBE ", mailbox),
        CommandBody::Unsubscribe(mailbox) => one_mailbox(out, "UNSUBSCRIBE ", mailbox),
        CommandBody::Rename(rename) => {
            one_mailbox(out, "RENAME ", &rename.from);
            one_mailbox(out, " ", &rename.to);
        }
        CommandBody::Select(arguments) => {
            out.text("SELECT ");
            select::arguments(out, arguments);
        }
        CommandBody::Examine(arguments) => {
            out.text("EXAMINE ");
            select::arguments(out, arguments);
        }
        CommandBody::Create(arguments) => create::command(out, arguments),
        CommandBody::List(arguments) => list::command(out, arguments),
        CommandBody::Lsub(arguments) => list::lsub(out, "LSUB", arguments),
        CommandBody::Xlist(arguments) => list::lsub(out, "XLIST", arguments),
        CommandBody::Notify(arguments) => notify::command(out, arguments),
        CommandBody::Status(arguments) => status::command(out, arguments),
        CommandBody::GenUrlAuth(rumps) => urlauth::generate(out, rumps),
        CommandBody::ResetKey(arguments) => urlauth::reset(out, arguments),
        CommandBody::UrlFetch(urls) => urlauth::fetch(out, urls),
        CommandBody::GetMetadata(arguments) => metadata::get(out, arguments),
        CommandBody::SetMetadata(arguments) => metadata::set(out, arguments),
        CommandBody::GetQuota(root) => {
            out.text("GETQUOTA ");
            out.astring(root);
        }
        CommandBody::GetQuotaRoot(mailbox) => one_mailbox(out, "GETQUOTAROOT ", mailbox),
        CommandBody::SetQuota(arguments) => quota::set(out, arguments),
        CommandBody::Append(arguments) => append::command(out, arguments),
        other => rights_body(out, other),
    }
}

/// The commands about rights; every other goes on to the numbered ones.
fn rights_body(out: &mut Writer<'_>, body: &CommandBody) {
    match body {
        CommandBody::SetAcl(arguments) => acl::set(out, arguments),
        CommandBody::DeleteAcl(arguments) => acl::entry(out, "DELETEACL ", arguments),
        CommandBody::GetAcl(mailbox) => one_mailbox(out, "GETACL ", mailbox),
        CommandBody::ListRights(arguments) => acl::entry(out, "LISTRIGHTS ", arguments),
        CommandBody::MyRights(mailbox) => one_mailbox(out, "MYRIGHTS ", mailbox),
        numbered => numbered_body(out, numbered),
    }
}

/// The commands that have a UID form or go with those.
fn numbered_body(out: &mut Writer<'_>, body: &CommandBody) {
    match body {
        CommandBody::UidExpunge(set) => {
            out.text("UID EXPUNGE ");
            out.set(set);
        }
        CommandBody::Replace(arguments) => {
            uid(out, arguments.numbering);
            replace::command(out, arguments);
        }
        CommandBody::Search(arguments) => {
            uid(out, arguments.numbering);
            search::command(out, arguments);
        }
        CommandBody::Sort(arguments) => {
            uid(out, arguments.search.numbering);
            sort::command(out, arguments);
        }
        CommandBody::Thread(arguments) => {
            uid(out, arguments.search.numbering);
            thread::command(out, arguments);
        }
        CommandBody::MultiSearch(arguments) => search::multi(out, arguments),
        CommandBody::CancelUpdate(tags) => search::cancel_update(out, tags),
        CommandBody::Fetch(arguments) => {
            uid(out, arguments.numbering);
            fetch::command(out, arguments);
        }
        CommandBody::Store(arguments) => {
            uid(out, arguments.numbering);
            store::command(out, arguments);
        }
        CommandBody::StoreAnnotation(arguments) => {
            uid(out, arguments.numbering);
            annotate::store(out, arguments);
        }
        CommandBody::Copy(arguments) => {
            uid(out, arguments.numbering);
            out.text("COPY ");
            copy::arguments(out, arguments);
        }
        CommandBody::Move(arguments) => {
            uid(out, arguments.numbering);
            out.text("MOVE ");
            copy::arguments(out, arguments);
        }
        // Every other command is written by the caller.
        _ => {}
    }
}

fn uid(out: &mut Writer<'_>, numbering: Numbering) {
    if numbering == Numbering::Uid {
        out.text("UID ");
    }
}

fn one_mailbox(out: &mut Writer<'_>, name: &str, mailbox: &crate::types::MailboxArg) {
    out.text(name);
    out.mailbox(mailbox);
}

/// Largest literal that may be sent without asking under LITERAL-. RFC 7888 §5
const LITERAL_MINUS_BYTES_MAX: u64 = 4096;
