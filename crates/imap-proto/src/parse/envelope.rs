//! ENVELOPE. RFC 9051 §7.5.2

use mail_types::{Address, Envelope};

use super::cursor::Cursor;
use super::error::Result;

/// ```text
/// envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP
///            env-cc SP env-bcc SP env-in-reply-to SP env-message-id ")"
/// ```
pub fn envelope(cursor: &mut Cursor<'_>) -> Result<Envelope> {
    cursor.byte(b'(', "( of an envelope")?;
    let date = text(cursor)?;
    cursor.space()?;
    let subject = text(cursor)?;
    let mut lists: [Vec<Address>; 6] = Default::default();
    for list in &mut lists {
        cursor.space()?;
        *list = addresses(cursor)?;
    }
    let [from, sender, reply_to, to, cc, bcc] = lists;
    cursor.space()?;
    let in_reply_to = text(cursor)?;
    cursor.space()?;
    let message_id = text(cursor)?;
    cursor.byte(b')', ") of an envelope")?;
    Ok(Envelope { date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id })
}

/// `"(" 1*address ")" / nil`; some servers put spaces between the addresses.
fn addresses(cursor: &mut Cursor<'_>) -> Result<Vec<Address>> {
    if cursor.eat_word("NIL") {
        return Ok(Vec::new());
    }
    cursor.byte(b'(', "addresses or NIL")?;
    let mut addresses = Vec::new();
    while !cursor.eat(b')') {
        addresses.push(address(cursor)?);
        cursor.skip_spaces();
    }
    Ok(addresses)
}

/// `address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`
fn address(cursor: &mut Cursor<'_>) -> Result<Address> {
    cursor.byte(b'(', "address")?;
    let name = text(cursor)?;
    cursor.space()?;
    let adl = text(cursor)?;
    cursor.space()?;
    let mailbox = text(cursor)?;
    cursor.space()?;
    let host = text(cursor)?;
    cursor.byte(b')', ") of an address")?;
    Ok(Address { name, adl, mailbox, host })
}

fn text(cursor: &mut Cursor<'_>) -> Result<Option<Vec<u8>>> {
    Ok(cursor.nstring()?.map(|text| text.into_owned()))
}
