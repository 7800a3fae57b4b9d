//! GETQUOTA, GETQUOTAROOT and SETQUOTA, and their responses. RFC 9208 §7

use super::writer::Writer;
use crate::types::{QuotaReply, QuotaRootReply, SetQuota};

/// `setquota = "SETQUOTA" SP quota-root-name SP setquota-list`
pub fn set(out: &mut Writer<'_>, set: &SetQuota) {
    out.text("SETQUOTA ");
    out.astring(&set.root);
    out.space();
    out.list(&set.limits, |out, (name, limit)| {
        out.text(name);
        out.space();
        out.number(*limit);
    });
}

/// `quota-response = "QUOTA" SP quota-root-name SP quota-list`
pub fn reply(out: &mut Writer<'_>, reply: &QuotaReply) {
    out.text("QUOTA ");
    out.astring(&reply.root);
    out.space();
    out.list(&reply.resources, |out, resource| {
        out.text(&resource.name);
        out.space();
        out.number(resource.usage);
        out.space();
        out.number(resource.limit);
    });
}

/// `quotaroot-response = "QUOTAROOT" SP mailbox *(SP quota-root-name)`
pub fn root_reply(out: &mut Writer<'_>, reply: &QuotaRootReply) {
    out.text("QUOTAROOT ");
    out.mailbox(&reply.mailbox);
    for root in &reply.roots {
        out.space();
        out.astring(root);
    }
}
