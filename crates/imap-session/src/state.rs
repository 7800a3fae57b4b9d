//! What a session remembers from one command to the next.

use std::sync::Arc;

use mail_types::{AccountId, InternalDate, MailboxId, UidSet};
use mailbox::collate::Collation;
use mailbox::{Account, Rights, View};

use imap_proto::types::NameEncoding;

use crate::capability::Login;
use crate::cmd::Context;
use crate::metadata::Told;
use crate::place::{Guest, Home, Place};
use crate::watch::Watch;
use crate::{Language, SessionConfig};

/// Everything besides the command in progress.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: SessionConfig,
    pub(crate) login: Login,
    pub(crate) enabled: Enabled,
    pub(crate) selected: Option<Selected>,
    pub(crate) failed_logins: u32,
    /// How texts are compared: the active comparator. RFC 5255 §4.2
    pub(crate) collation: Collation,
    /// What NOTIFY asked for; `None` as long as it was not used. RFC 5465
    pub(crate) watch: Option<Box<Watch>>,
    /// When the client was last told that the command goes on, seconds since 1970.
    pub(crate) progress_at: i64,
    /// The annotations whose changes the client has been told of, once it wants to be.
    pub(crate) annotations: Option<Told>,
    /// The name that the client has logged in with, as the account has it.
    pub(crate) user: Arc<str>,
    /// The id of that account.
    pub(crate) user_id: AccountId,
    /// Which account is asked now.
    pub(crate) place: Place,
    /// The account that the command has visited.
    pub(crate) visited: Option<Arc<Guest>>,
}

/// What the client switched on for the rest of the connection. RFC 5161
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Enabled {
    /// By any CONDSTORE-enabling command. RFC 7162 §3.1
    pub(crate) condstore: bool,
    /// By ENABLE QRESYNC. RFC 7162 §3.2.3
    pub(crate) qresync: bool,
    /// By ENABLE IMAP4rev2. RFC 9051 §6.3.1
    pub(crate) rev2: bool,
    /// By ENABLE UTF8=ACCEPT. RFC 6855 §3
    pub(crate) utf8: bool,
    /// By NOTIFY with FlagChange: a changed message is told with its UID. RFC 5465 §5.1
    pub(crate) notify: bool,
    /// By ENABLE UIDONLY: sequence numbers are neither told nor taken. RFC 9586 §3
    pub(crate) uidonly: bool,
    /// By ENABLE METADATA: changes of annotations are told. RFC 5464 §4.1
    pub(crate) metadata: bool,
    /// By LANGUAGE: how people are talked to. RFC 5255 §3.2
    pub(crate) language: Language,
}

/// The selected mailbox.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) mailbox: MailboxId,
    /// Whose it is.
    pub(crate) home: Home,
    /// What the session may do with it.
    pub(crate) rights: Rights,
    pub(crate) access: Access,
    /// [`mailbox::Mailbox::key_resets`] as the client was told.
    pub(crate) key_resets: u32,
    /// What the client was told of it.
    pub(crate) view: View,
    /// `$`: the result of the last SEARCH with SAVE. RFC 5182
    pub(crate) saved: UidSet,
    /// Searches whose changes are told. RFC 5267 §4.3
    pub(crate) contexts: Vec<Context>,
    /// By the parameter ANNOTATE: changes of annotations are told. RFC 5257 §4.2
    pub(crate) annotate: bool,
}

impl Selected {
    pub(crate) fn new(mailbox: MailboxId, access: Access, view: View) -> Self {
        Self {
            mailbox,
            home: Home::Own,
            rights: Rights::ALL,
            access,
            key_resets: 0,
            view,
            saved: UidSet::new(),
            contexts: Vec::new(),
            annotate: false,
        }
    }

    /// Whether these name messages that were expunged elsewhere and that the client still counts.
    /// RFC 2180 §4
    pub(crate) fn names_gone(&self, uids: &UidSet) -> bool {
        let is_gone = |uid| self.view.snapshot().find(uid).is_none();
        self.view.has_withheld() && self.view.entries(uids).any(|(_, entry)| is_gone(entry.uid()))
    }

    /// The rights that say which flags can be changed. RFC 4314 §5.1.1
    pub(crate) fn flag_rights(&self) -> Rights {
        match self.access {
            Access::ReadWrite => self.rights,
            Access::ReadOnly => Rights::NONE,
        }
    }
}

/// Whether commands may change the selected mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// After SELECT.
    ReadWrite,
    /// After EXAMINE: nothing at all changes. RFC 9051 §6.3.3
    ReadOnly,
}

/// What a session sees of the world in one call.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The account, once the client has logged in. It may be newer in every call, never older.
    pub account: Option<&'a Account>,
    /// Accounts of others that the session sees.
    pub others: Others<'a>,
    /// The time of day: INTERNALDATE of messages without one, and OLDER and YOUNGER.
    pub now: InternalDate,
}

/// Accounts of others that a session sees: as [`crate::Need::Visit`] and [`crate::Need::Stay`] have
/// made them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Others<'a> {
    /// That of the selected mailbox, if it is not the session's own.
    pub selected: Option<&'a Account>,
    /// The one that the command has visited last.
    pub visited: Option<&'a Account>,
}

impl<'a> World<'a> {
    /// What a session sees that is visiting nobody.
    pub fn new(account: Option<&'a Account>, now: InternalDate) -> Self {
        Self { account, others: Others::default(), now }
    }
}

impl State {
    pub(crate) fn new(config: SessionConfig) -> Self {
        Self {
            config,
            login: Login::Before,
            enabled: Enabled::default(),
            selected: None,
            failed_logins: 0,
            collation: Collation::default(),
            watch: None,
            progress_at: 0,
            annotations: None,
            user: Arc::from(""),
            user_id: AccountId(0),
            place: Place::Own,
            visited: None,
        }
    }

    /// How mailbox names are written on this connection.
    pub(crate) fn names(&self) -> NameEncoding {
        self.enabled.names()
    }
}

impl Enabled {
    /// How names and texts are written. RFC 9051 §5.1, RFC 6855 §3
    pub(crate) fn names(self) -> NameEncoding {
        if self.rev2 || self.utf8 { NameEncoding::Utf8 } else { NameEncoding::ModifiedUtf7 }
    }
}
