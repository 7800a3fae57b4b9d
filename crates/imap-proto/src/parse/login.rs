//! LOGIN. RFC 9051 §6.2.3

use mail_types::Secret;

use super::cursor::Cursor;
use super::error::Result;
use crate::types::Login;

/// `login = "LOGIN" SP userid SP password`, both `astring`.
pub fn command(cursor: &mut Cursor<'_>) -> Result<Login> {
    cursor.space()?;
    let user = cursor.astring()?.into_owned();
    cursor.space()?;
    let password = Secret::new(cursor.astring()?);
    Ok(Login { user, password })
}
