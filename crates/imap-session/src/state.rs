//! What a session remembers from one command to the next.

use mail_types::{InternalDate, MailboxId, UidSet};
use mailbox::collate::Collation;
use mailbox::{Account, View};

use imap_proto::types::NameEncoding;

use crate::SessionConfig;
use crate::capability::Login;
use crate::cmd::Context;
use crate::metadata::Told;
use crate::watch::Watch;

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
}

/// The selected mailbox.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) mailbox: MailboxId,
    pub(crate) access: Access,
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
        Self { mailbox, access, view, saved: UidSet::new(), contexts: Vec::new(), annotate: false }
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
    /// The time of day: INTERNALDATE of messages without one, and OLDER and YOUNGER.
    pub now: InternalDate,
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
