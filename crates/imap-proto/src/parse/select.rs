//! SELECT and EXAMINE. RFC 9051 §6.3.2, RFC 7162 §3.1.8 and §3.2.5

use mail_types::{ModSeq, UidValidity};

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::{Qresync, Select, SequenceSet};

/// ```text
/// select        = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"]
/// select-param  = "CONDSTORE" / "ANNOTATE" / "QRESYNC" SP "(" uidvalidity SP mod-sequence-value
///                 [SP known-uids] [SP seq-match-data] ")"
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<Select> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    let mut select = Select { mailbox, condstore: false, annotate: false, qresync: None };
    if !cursor.space_before_more() {
        return Ok(select);
    }
    cursor.list1(PARAMS_MAX, "parameter of SELECT", |cursor| {
        let start = cursor.clone();
        match cursor.keyword("parameter of SELECT")?.as_str() {
            "CONDSTORE" => select.condstore = true,
            "ANNOTATE" => select.annotate = true,
            "QRESYNC" if select.qresync.is_none() => {
                cursor.space()?;
                select.qresync = Some(qresync(cursor)?);
            }
            _ => return start.expected("CONDSTORE, ANNOTATE or one QRESYNC"),
        }
        Ok(())
    })?;
    Ok(select)
}

/// ```text
/// known-uids     = sequence-set
/// seq-match-data = "(" known-sequence-set SP known-uid-set ")"
/// ```
fn qresync(cursor: &mut Cursor<'_>) -> Result<Qresync> {
    cursor.byte(b'(', "(")?;
    cursor.skip_spaces();
    let start = cursor.clone();
    let Some(uid_validity) = UidValidity::new(cursor.nz_number()?) else {
        return start.expected("UIDVALIDITY");
    };
    cursor.space()?;
    let mod_seq = nz_mod_seq(cursor)?;
    let mut qresync = Qresync { uid_validity, mod_seq, known_uids: None, match_data: None };
    cursor.skip_spaces();
    if matches!(cursor.peek(), Some(b'0'..=b'9')) {
        qresync.known_uids = Some(cursor.number_set(SequenceSet::ITEMS_MAX)?);
        cursor.skip_spaces();
    }
    if cursor.eat(b'(') {
        cursor.skip_spaces();
        let numbers = cursor.number_set(SequenceSet::ITEMS_MAX)?;
        cursor.space()?;
        let uids = cursor.number_set(SequenceSet::ITEMS_MAX)?;
        cursor.skip_spaces();
        cursor.byte(b')', ")")?;
        cursor.skip_spaces();
        qresync.match_data = Some((numbers, uids));
    }
    cursor.byte(b')', "known UIDs, matched sequences or )")?;
    Ok(qresync)
}

/// `mod-sequence-value = 1*DIGIT`, from 1 to 2^63-1.
pub fn nz_mod_seq(cursor: &mut Cursor<'_>) -> Result<ModSeq> {
    let start = cursor.clone();
    let value = cursor.nz_number64()?;
    ModSeq::new(value).map_or_else(|| start.fail(ErrorKind::Value, "modseq"), Ok)
}

/// `mod-sequence-valzer = "0" / mod-sequence-value`
pub fn mod_seq(cursor: &mut Cursor<'_>) -> Result<ModSeq> {
    let start = cursor.clone();
    let value = cursor.number64()?;
    ModSeq::new(value).map_or_else(|| start.fail(ErrorKind::Value, "modseq"), Ok)
}

/// There are three parameters; a repeated one is let pass.
const PARAMS_MAX: usize = 8;
