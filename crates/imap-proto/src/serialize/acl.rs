//! SETACL, DELETEACL and LISTRIGHTS, and the responses to the commands of ACL. RFC 4314 §7

use super::writer::Writer;
use crate::types::{AclEntry, AclReply, ListRightsReply, MyRightsReply, RightsMode, SetAcl};

/// `setacl = "SETACL" SP mailbox SP identifier SP mod-rights`
pub fn set(out: &mut Writer<'_>, set: &SetAcl) {
    out.text("SETACL ");
    out.mailbox(&set.mailbox);
    out.space();
    out.astring(set.identifier.as_bytes());
    out.space();
    let sign = match set.rights.mode {
        RightsMode::Set => "",
        RightsMode::Add => "+",
        RightsMode::Remove => "-",
    };
    out.astring(format!("{sign}{}", set.rights.rights).as_bytes());
}

/// ```text
/// deleteacl  = "DELETEACL" SP mailbox SP identifier
/// listrights = "LISTRIGHTS" SP mailbox SP identifier
/// ```
pub fn entry(out: &mut Writer<'_>, name: &str, entry: &AclEntry) {
    out.text(name);
    out.mailbox(&entry.mailbox);
    out.space();
    out.astring(entry.identifier.as_bytes());
}

/// `acl-data = "ACL" SP mailbox *(SP identifier SP rights)`
pub fn reply(out: &mut Writer<'_>, reply: &AclReply) {
    out.text("ACL ");
    out.mailbox(&reply.mailbox);
    for (identifier, rights) in &reply.entries {
        out.space();
        out.astring(identifier.as_bytes());
        out.space();
        out.astring(rights.as_bytes());
    }
}

/// `listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)`
pub fn list_reply(out: &mut Writer<'_>, reply: &ListRightsReply) {
    out.text("LISTRIGHTS ");
    out.mailbox(&reply.mailbox);
    out.space();
    out.astring(reply.identifier.as_bytes());
    out.space();
    out.astring(reply.required.as_bytes());
    for tied in &reply.optional {
        out.space();
        out.astring(tied.as_bytes());
    }
}

/// `myrights-data = "MYRIGHTS" SP mailbox SP rights`
pub fn my_reply(out: &mut Writer<'_>, reply: &MyRightsReply) {
    out.text("MYRIGHTS ");
    out.mailbox(&reply.mailbox);
    out.space();
    out.astring(reply.rights.as_bytes());
}
