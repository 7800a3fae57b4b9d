//! AUTHENTICATE. RFC 9051 §6.2.2, RFC 4959

use mail_types::Secret;

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::base64;
use crate::types::Authenticate;

/// ```text
/// authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]
/// initial-resp = (base64 / "=")
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<Authenticate> {
    cursor.space()?;
    let mechanism = cursor.atom("mechanism")?.to_ascii_uppercase();
    let mut initial = None;
    if cursor.space_before_more() {
        let start = cursor.clone();
        let text = cursor.take_while(|b| b != b' ');
        // "=" stands for a response that is there and empty. RFC 4959 §3
        let decoded = if text == b"=" { Some(Vec::new()) } else { base64::decode(text) };
        match decoded {
            Some(bytes) => initial = Some(Secret::new(bytes)),
            None => return start.fail(ErrorKind::Value, "base64"),
        }
    }
    Ok(Authenticate { mechanism, initial })
}

/// ```text
/// compress  = "COMPRESS" SP algorithm
/// algorithm = "DEFLATE"
/// ```
/// Which algorithms there are is not the grammar's to say. RFC 4978 §5
pub fn compress(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.space()?;
    Ok(cursor.atom("algorithm")?.to_ascii_uppercase())
}
