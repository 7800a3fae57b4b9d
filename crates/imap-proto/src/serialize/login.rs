//! LOGIN. RFC 9051 §6.2.3

use super::writer::Writer;
use crate::types::Login;

/// `login = "LOGIN" SP userid SP password`
pub fn command(out: &mut Writer<'_>, login: &Login) {
    out.text("LOGIN ");
    out.astring(&login.user);
    out.space();
    out.astring(login.password.expose());
}
