//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS, and their responses. RFC 4314 §3
//!
//! A right is one lowercase letter or digit. Which of them exist is not a matter of syntax.

use super::MailboxArg;

/// Arguments of SETACL. RFC 4314 §3.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAcl {
    /// Of which mailbox.
    pub mailbox: MailboxArg,
    /// Whose rights: as it was sent, not empty.
    pub identifier: String,
    /// How they change.
    pub rights: ModRights,
}

impl SetAcl {
    /// Longest identifier in a command, in octets: room for every name that can log in, before it
    /// is prepared.
    pub const IDENTIFIER_BYTES_MAX: usize = 1024;
    /// Most rights in one argument. There are 36 letters and digits, and one may stand twice.
    pub const RIGHTS_MAX: usize = 128;
}

/// A change of somebody's rights. RFC 4314 §3.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModRights {
    /// What is done with the rights named.
    pub mode: RightsMode,
    /// Lowercase letters and digits, in any order; maybe none.
    pub rights: String,
}

/// What is done with the rights that a SETACL names. RFC 4314 §3.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsMode {
    /// They replace the rights that there are.
    Set,
    /// `+`: they are added.
    Add,
    /// `-`: they are taken away.
    Remove,
}

/// A mailbox and whom it is about: arguments of DELETEACL and LISTRIGHTS. RFC 4314 §3.2, §3.4
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// Of which mailbox.
    pub mailbox: MailboxArg,
    /// Whose entry: as it was sent, not empty.
    pub identifier: String,
}

/// An ACL response. RFC 4314 §3.6
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclReply {
    /// Of which mailbox.
    pub mailbox: MailboxArg,
    /// Identifiers and their rights; maybe none.
    pub entries: Vec<(String, String)>,
}

/// A LISTRIGHTS response. RFC 4314 §3.7
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRightsReply {
    /// Of which mailbox.
    pub mailbox: MailboxArg,
    /// The identifier, as the client spelt it. RFC 4314 §3.4
    pub identifier: String,
    /// What it is always granted; maybe nothing.
    pub required: String,
    /// What it can be granted besides: each string altogether or not at all. No right stands twice.
    pub optional: Vec<String>,
}

/// A MYRIGHTS response. RFC 4314 §3.8
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MyRightsReply {
    /// Of which mailbox.
    pub mailbox: MailboxArg,
    /// What the user may do with it.
    pub rights: String,
}
