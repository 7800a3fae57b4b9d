//! AUTHENTICATE. RFC 9051 §6.2.2, RFC 4959

use super::writer::Writer;
use crate::base64;
use crate::types::Authenticate;

/// `authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]`
pub fn command(out: &mut Writer<'_>, authenticate: &Authenticate) {
    out.text("AUTHENTICATE ");
    out.text(&authenticate.mechanism);
    if let Some(initial) = &authenticate.initial {
        out.space();
        // An empty response is "=": nothing would say that there is none. RFC 4959 §3
        match initial.expose() {
            [] => out.text("="),
            bytes => out.text(&base64::encode(bytes)),
        }
    }
}
