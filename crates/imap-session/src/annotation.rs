//! Annotations of messages, between the words of the wire and those of the model. RFC 5257

use imap_proto::types::{
    AnnotationData, AnnotationEntry, AnnotationItem, AnnotationPart, AnnotationSetting,
    AnnotationSupport,
};
use mail_types::{AnnotationName, AnnotationScope};
use mailbox::{
    AnnotationEdit, AnnotationValue, Annotations, Audience, EntryPattern, EntryRef, Refusal,
};
use mime::Message;

use crate::errors;
use crate::reply::Reply;
use crate::state::Access;

/// Whose value is meant by a suffix, if `own` is who the session's user is in the account.
/// RFC 5257 §3.3
pub(crate) fn audience(scope: AnnotationScope, own: Audience) -> Audience {
    match scope {
        AnnotationScope::Private => own,
        AnnotationScope::Shared => Audience::Everyone,
    }
}

/// Whose values are meant; without a suffix both. RFC 5257 §3.2.2
pub(crate) fn audiences(scope: Option<AnnotationScope>, own: Audience) -> Vec<Audience> {
    scopes(scope).iter().map(|scope| audience(*scope, own)).collect()
}

/// What SELECT and EXAMINE tell of a mailbox. RFC 5257 §4.1
pub(crate) fn support(access: Access) -> AnnotationSupport {
    let no_private = false;
    let value_bytes_max = u32::try_from(Annotations::VALUE_BYTES_MAX).unwrap_or(u32::MAX);
    match access {
        Access::ReadWrite => AnnotationSupport::Writable { value_bytes_max, no_private },
        Access::ReadOnly => AnnotationSupport::ReadOnly { no_private },
    }
}

/// The names among these that the session's user may hear of, each once.
pub(crate) fn visible(
    changed: &[(AnnotationName, Audience)],
    own: Audience,
) -> Vec<AnnotationName> {
    let is_visible = |whose: Audience| audiences(None, own).contains(&whose);
    let names = changed.iter().filter(|(_, whose)| is_visible(*whose)).map(|(name, _)| name);
    let mut names: Vec<AnnotationName> = names.cloned().collect();
    names.dedup();
    names
}

/// What STORE and APPEND set, in the words of the model.
pub(crate) fn edits(settings: Vec<AnnotationSetting>, own: Audience) -> Vec<AnnotationEdit> {
    let edit = |setting: AnnotationSetting| AnnotationEdit {
        name: setting.entry,
        audience: audience(setting.scope, own),
        value: setting.value.map(AnnotationValue::from),
    };
    settings.into_iter().map(edit).collect()
}

/// What a new message begins with. NIL names a value that is not there anyway.
///
/// # Errors
/// If a value is longer than one may be, or nothing can be kept under a name: told before the
/// message is stored.
pub(crate) fn initial(
    settings: Vec<AnnotationSetting>,
    own: Audience,
) -> Result<Annotations, Reply> {
    let edits = edits(settings, own);
    // The rules themselves are the model's; a removal would pass it by.
    if edits.iter().any(|edit| !edit.name.can_hold_value()) {
        return Err(errors::refusal(Refusal::Annotation));
    }
    Ok(Annotations::default().with(&edits))
}

/// The body parts that these entries are about.
pub(crate) fn parts<'a>(names: impl Iterator<Item = &'a AnnotationName>) -> Vec<Vec<u32>> {
    let mut parts: Vec<Vec<u32>> = names.filter_map(AnnotationName::part).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// The body parts that an item of FETCH names without a wildcard: they have to exist.
/// RFC 5257 §3.2.1
pub(crate) fn parts_of(item: &AnnotationItem) -> Vec<Vec<u32>> {
    let names: Vec<AnnotationName> = item.entries.iter().filter_map(|it| plain(it)).collect();
    parts(names.iter())
}

fn plain(entry: &str) -> Option<AnnotationName> {
    EntryPattern::new(entry).name()
}

/// Whether the message has all of these parts.
pub(crate) fn has_parts(message: &Message, parts: &[Vec<u32>]) -> bool {
    parts.iter().all(|part| message.part(part).is_some())
}

/// What an item of FETCH tells of a message; `None` if its wildcards find nothing, for which the
/// syntax has no words.
///
/// An entry that was named is told whatever it has, one that a wildcard finds only if it has one of
/// the values that were asked for. RFC 5257 §3.2.2, §4.3
pub(crate) fn data(
    item: &AnnotationItem,
    entry: &EntryRef<'_>,
    own: Audience,
) -> Option<AnnotationData> {
    let annotations = entry.annotations();
    let wanted: Vec<Audience> =
        item.attributes.iter().flat_map(|(_, scope)| audiences(*scope, own)).collect();
    let mut names: Vec<AnnotationName> = Vec::new();
    for text in &item.entries {
        let pattern = EntryPattern::new(text);
        let found = match pattern.name() {
            Some(name) => vec![name],
            None => annotations
                .iter()
                .filter(|(name, audience, _)| wanted.contains(audience) && pattern.matches(name))
                .map(|(name, ..)| name.clone())
                .collect(),
        };
        for name in found {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let entry = |name: AnnotationName| {
        let attributes = attributes(item, &annotations, &name, own);
        AnnotationEntry { name, attributes }
    };
    let entries: Vec<AnnotationEntry> = names.into_iter().map(entry).collect();
    (!entries.is_empty()).then_some(AnnotationData::Values(entries))
}

type Attribute = (AnnotationPart, AnnotationScope, Option<Vec<u8>>);

/// The attributes of one entry, each once: NIL and zero for what is not there. RFC 5257 §3.2.2
fn attributes(
    item: &AnnotationItem,
    annotations: &Annotations,
    name: &AnnotationName,
    own: Audience,
) -> Vec<Attribute> {
    let mut all: Vec<Attribute> = Vec::new();
    for (part, scope) in &item.attributes {
        for scope in scopes(*scope) {
            if all.iter().any(|(known, of, _)| (known, of) == (part, scope)) {
                continue;
            }
            let value = annotations.get(name, audience(*scope, own));
            let told = match part {
                AnnotationPart::Value => value.map(|value| value.to_vec()),
                AnnotationPart::Size => {
                    Some(value.map_or(0, |value| value.len()).to_string().into_bytes())
                }
            };
            all.push((*part, *scope, told));
        }
    }
    all
}

fn scopes(scope: Option<AnnotationScope>) -> &'static [AnnotationScope] {
    match scope {
        None => &AnnotationScope::ALL,
        Some(AnnotationScope::Private) => &[AnnotationScope::Private],
        Some(AnnotationScope::Shared) => &[AnnotationScope::Shared],
    }
}
