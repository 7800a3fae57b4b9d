//! Decides what changes annotations of messages. RFC 5257 §4.5
//!
//! What takes something away is never refused, however far above a limit the message, the mailbox
//! or the account is.

use mail_types::{MailboxId, ModSeq, UidSet};

use super::{Decision, FlagsOutcome, Limit, Outcome, Planner, Refusal};
use crate::{AnnotationEdit, Annotations, Audience, Change, MailboxSnapshot};

impl Planner<'_> {
    pub(super) fn annotate(
        mut self,
        mailbox: MailboxId,
        uids: &UidSet,
        edits: &[AnnotationEdit],
        unchanged_since: Option<ModSeq>,
    ) -> Result<Decision, Refusal> {
        let contents = self.contents(mailbox)?;
        let edits = last_of_each(edits);
        for edit in &edits {
            check_edit(edit)?;
        }
        let mut outcome = FlagsOutcome::default();
        let (added, lost) = plan(contents, uids, &edits, unchanged_since, &mut outcome)?;
        let mut counts = contents.counts();
        let before = counts.annotation_bytes;
        counts.annotation_bytes = before.saturating_add(added).saturating_sub(lost);
        check_mailbox_bytes(before, counts.annotation_bytes)?;
        self.check_annotation_growth(lost, added)?;
        if !outcome.changed.is_empty() {
            let uids = outcome.changed.clone();
            self.changes.push(Change::Annotated { mailbox, uids, edits, counts });
            outcome.modseq = Some(self.modseq);
        }
        Ok(self.done(Outcome::Annotated(outcome)))
    }
}

/// Sorts the messages into the sets of the outcome. Gives the octets that those which change have
/// afterwards and had before.
fn plan(
    contents: &MailboxSnapshot,
    uids: &UidSet,
    edits: &[AnnotationEdit],
    unchanged_since: Option<ModSeq>,
    outcome: &mut FlagsOutcome,
) -> Result<(u64, u64), Refusal> {
    // Most messages have none, and what becomes of them is worked out once.
    let fresh = Annotations::default().with(edits);
    let (mut added, mut lost) = (0u64, 0u64);
    for (_, entry) in contents.select(uids) {
        // RFC 7162 §3.1.3: a message that changed since is left alone and listed.
        if unchanged_since.is_some_and(|since| entry.modseq() > since) {
            outcome.modified.insert(entry.uid());
            continue;
        }
        let before = entry.annotations();
        let after = if before.is_empty() { fresh.clone() } else { before.with(edits) };
        // A value that is there already does not raise the modseq, as with flags. RFC 7162 §3.1.11
        if after == before {
            outcome.same.insert(entry.uid());
            continue;
        }
        check_growth_of_message(&before, &after)?;
        added = added.saturating_add(after.bytes());
        lost = lost.saturating_add(before.bytes());
        outcome.changed.insert(entry.uid());
    }
    Ok((added, lost))
}

/// One edit for each value: the last one that names it.
fn last_of_each(edits: &[AnnotationEdit]) -> Vec<AnnotationEdit> {
    let mut last = std::collections::BTreeMap::new();
    for edit in edits {
        last.insert((&edit.name, edit.audience), edit);
    }
    last.into_values().cloned().collect()
}

fn check_edit(edit: &AnnotationEdit) -> Result<(), Refusal> {
    let value = edit.value.as_deref();
    if !edit.name.can_hold_value() || value.is_some_and(|value| !edit.name.can_hold(value)) {
        return Err(Refusal::Annotation);
    }
    if value.is_some_and(|value| value.len() > Annotations::VALUE_BYTES_MAX) {
        return Err(Refusal::Limit(Limit::AnnotationValue));
    }
    Ok(())
}

/// Refuses annotations that a new message may not have.
pub(super) fn check_new(annotations: &Annotations) -> Result<(), Refusal> {
    for (name, audience, value) in annotations.iter() {
        let (name, value) = (name.clone(), Some(value.clone()));
        check_edit(&AnnotationEdit { name, audience, value })?;
    }
    check_growth_of_message(&Annotations::default(), annotations)
}

fn check_growth_of_message(before: &Annotations, after: &Annotations) -> Result<(), Refusal> {
    let is_too_large = |audience: Audience| {
        let ((count, bytes), (count_before, bytes_before)) =
            (after.size_of(audience), before.size_of(audience));
        (count > count_before && count > Annotations::ENTRIES_MAX)
            || (bytes > bytes_before && bytes > Annotations::BYTES_MAX)
    };
    if after.audiences().into_iter().any(is_too_large) {
        return Err(Refusal::Limit(Limit::AnnotationsOfMessage));
    }
    Ok(())
}

/// Refuses more octets in a mailbox than it may have.
pub(super) fn check_mailbox_bytes(before: u64, after: u64) -> Result<(), Refusal> {
    if after > before && after > Annotations::MAILBOX_BYTES_MAX {
        return Err(Refusal::Limit(Limit::AnnotationsOfMailbox));
    }
    Ok(())
}
