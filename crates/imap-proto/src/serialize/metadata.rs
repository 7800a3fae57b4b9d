//! GETMETADATA and SETMETADATA, and the METADATA response. RFC 5464 §5

use mail_types::EntryName;

use super::writer::Writer;
use crate::types::{
    GetMetadata, MetadataData, MetadataDepth, MetadataEntry, MetadataReply, SetMetadata,
};

/// `getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries`
pub fn get(out: &mut Writer<'_>, get: &GetMetadata) {
    out.text("GETMETADATA ");
    let mut options = Vec::new();
    if let Some(size) = get.max_size {
        options.push(format!("MAXSIZE {size}"));
    }
    let depth = MetadataDepth::ALL.iter().find(|(depth, _)| *depth == get.depth);
    if let Some((_, name)) = depth.filter(|_| get.depth != MetadataDepth::Zero) {
        options.push(format!("DEPTH {name}"));
    }
    if !options.is_empty() {
        out.list(&options, |out, option| out.text(option));
        out.space();
    }
    out.mailbox(&get.mailbox);
    out.space();
    entries_in_list(out, &get.entries);
}

/// `"(" entry *(SP entry) ")"`
pub fn entries_in_list(out: &mut Writer<'_>, entries: &[EntryName]) {
    out.list(entries, |out, name| out.astring(name.as_str().as_bytes()));
}

/// `setmetadata = "SETMETADATA" SP mailbox SP entry-values`
pub fn set(out: &mut Writer<'_>, set: &SetMetadata) {
    out.text("SETMETADATA ");
    out.mailbox(&set.mailbox);
    out.space();
    out.list(&set.entries, entry_value);
}

/// `metadata-resp = "METADATA" SP mailbox SP (entry-values / entry-list)`
pub fn reply(out: &mut Writer<'_>, reply: &MetadataReply) {
    out.text("METADATA ");
    out.mailbox(&reply.mailbox);
    match &reply.data {
        MetadataData::Values(values) => {
            out.space();
            out.list(values, entry_value);
        }
        MetadataData::Changed(names) => {
            for name in names {
                out.space();
                out.astring(name.as_str().as_bytes());
            }
        }
    }
}

/// ```text
/// entry-value = entry SP value
/// value       = nstring / literal8
/// ```
/// Only a literal8 may hold a NUL.
fn entry_value(out: &mut Writer<'_>, (name, value): &MetadataEntry) {
    out.astring(name.as_str().as_bytes());
    out.space();
    match value.as_deref() {
        Some(bytes) if bytes.contains(&0) => {
            out.literal_header("~{", bytes.len() as u64);
            out.bytes(bytes);
        }
        value => out.nstring(value),
    }
}
