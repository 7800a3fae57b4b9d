//! Address lists of header fields. RFC 5322 §3.4 and §4.4

use mail_types::Address;

/// Reads the value of From, To and the like, folded or not.
pub fn parse_addresses(value: &[u8]) -> Vec<Address> {
    let text = crate::header::unfold(value);
    if text.is_empty() {
        Vec::new()
    } else {
        vec![Address { mailbox: Some(text), ..Address::default() }]
    }
}
