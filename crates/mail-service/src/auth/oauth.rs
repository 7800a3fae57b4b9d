//! The messages of OAUTHBEARER (RFC 7628 §3.1) and XOAUTH2, its predecessor, which Google describes
//! and most clients still use.
//!
//! ```text
//! kvsep       = %x01
//! key         = 1*(ALPHA)
//! value       = *(VCHAR / SP / HTAB / CR / LF)
//! kvpair      = key "=" value kvsep
//! client-resp = (gs2-header kvsep *kvpair kvsep) / kvsep
//! gs2-header  = ("n" / "y") "," ["a=" saslname] ","       ; RFC 5801 §4, without a binding
//!
//! xoauth2     = "user=" value kvsep "auth=" value kvsep kvsep
//! auth        = "Bearer" SP b64token                      ; RFC 6750 §2.1
//! ```

use mail_types::Secret;

use super::AuthError;
use super::scram::unescape;
use super::token::TokenFault;

/// What a client asks for with a token.
#[derive(Debug)]
pub struct TokenRequest {
    /// As whom it wants to act, if it says so.
    pub user: Option<String>,
    /// The host that it has connected to, if it says so.
    pub host: Option<String>,
    /// The token, or what is wrong with what stands in its place.
    pub token: Result<Secret, TokenFault>,
}

/// Reads the first message of OAUTHBEARER.
///
/// # Errors
/// `Malformed`; `Denied` for the lone separator, which answers an error and asks nothing.
pub fn parse_oauthbearer(message: &[u8]) -> Result<TokenRequest, AuthError> {
    if message == [KVSEP] {
        return Err(AuthError::Denied);
    }
    let (header, pairs) = split_at_separator(message)?;
    let header = std::str::from_utf8(header).map_err(|_| AuthError::Malformed)?;
    let mut parts = header.split(',');
    let (Some("n" | "y"), Some(authzid), Some(""), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(AuthError::Malformed);
    };
    let user = match authzid {
        "" => None,
        text => Some(unescape(text.strip_prefix("a=").ok_or(AuthError::Malformed)?)?),
    };
    let (mut auth, mut host, mut port) = (None, None, None);
    let mut rest = pairs;
    // The list ends with a separator of its own.
    while rest != [KVSEP] {
        let (pair, after) = split_at_separator(rest)?;
        let (key, value) = parse_pair(pair)?;
        let place = match key {
            "auth" => Some(&mut auth),
            "host" => Some(&mut host),
            "port" => Some(&mut port),
            // Unknown pairs are ignored. RFC 7628 §3.1
            _ => None,
        };
        if place.is_some_and(|place| place.replace(value).is_some()) {
            return Err(AuthError::Malformed);
        }
        rest = after;
    }
    if port.is_some_and(|port| !is_port(port)) {
        return Err(AuthError::Malformed);
    }
    Ok(TokenRequest { user, host: host.map(str::to_owned), token: parse_auth(auth) })
}

/// Reads the first message of XOAUTH2.
///
/// # Errors
/// `Malformed`.
pub fn parse_xoauth2(message: &[u8]) -> Result<TokenRequest, AuthError> {
    let (user, rest) = split_at_separator(message)?;
    let user = user.strip_prefix(b"user=").filter(|user| !user.is_empty());
    let user = user.and_then(|user| std::str::from_utf8(user).ok()).ok_or(AuthError::Malformed)?;
    let (pair, end) = split_at_separator(rest)?;
    let (key, auth) = parse_pair(pair)?;
    if key != "auth" || end != [KVSEP] {
        return Err(AuthError::Malformed);
    }
    Ok(TokenRequest { user: Some(user.to_owned()), host: None, token: parse_auth(Some(auth)) })
}

fn split_at_separator(bytes: &[u8]) -> Result<(&[u8], &[u8]), AuthError> {
    let at = bytes.iter().position(|byte| *byte == KVSEP).ok_or(AuthError::Malformed)?;
    let (head, rest) = bytes.split_at(at);
    Ok((head, rest.split_first().map(|(_, rest)| rest).unwrap_or_default()))
}

fn parse_pair(pair: &[u8]) -> Result<(&str, &str), AuthError> {
    let pair = std::str::from_utf8(pair).map_err(|_| AuthError::Malformed)?;
    let (key, value) = pair.split_once('=').ok_or(AuthError::Malformed)?;
    let is_value_char = |b: u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphabetic());
    if is_key && value.bytes().all(is_value_char) {
        Ok((key, value))
    } else {
        Err(AuthError::Malformed)
    }
}

/// The name of the scheme is told in any letter case. RFC 7628 §4
fn parse_auth(auth: Option<&str>) -> Result<Secret, TokenFault> {
    // An empty one is how a client asks for the scope that it needs. RFC 7628 §4.3
    let auth = auth.filter(|auth| !auth.is_empty()).ok_or(TokenFault::Token)?;
    let (scheme, token) = auth.split_once(' ').ok_or(TokenFault::Request)?;
    let body = token.trim_end_matches('=');
    let is_body_char = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    if !scheme.eq_ignore_ascii_case("bearer") || body.is_empty() || !body.bytes().all(is_body_char)
    {
        return Err(TokenFault::Request);
    }
    Ok(Secret::new(token))
}

/// `a decimal positive integer string without leading zeros`. RFC 7628 §3.1
fn is_port(text: &str) -> bool {
    !text.starts_with(['0', '+']) && text.parse::<u16>().is_ok()
}

const KVSEP: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// `^` stands for the separator, as in the examples of RFC 7628.
    fn bearer(message: &str) -> Result<TokenRequest, AuthError> {
        parse_oauthbearer(message.replace('^', "\x01").as_bytes())
    }

    fn xoauth2(message: &str) -> Result<TokenRequest, AuthError> {
        parse_xoauth2(message.replace('^', "\x01").as_bytes())
    }

    fn token(request: &TokenRequest) -> &[u8] {
        request.token.as_ref().unwrap().expose()
    }

    #[test]
    fn the_examples_of_rfc_7628_are_read() {
        let request = bearer(
            "n,a=user@example.com,^host=server.example.com^port=143^\
             auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==^^",
        );
        let request = request.unwrap();
        assert_eq!(request.user.as_deref(), Some("user@example.com"));
        assert_eq!(request.host.as_deref(), Some("server.example.com"));
        assert_eq!(token(&request), b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        // §4.3: a client that asks what it needs.
        let request = bearer("n,a=user@example.com,^host=server.example.com^port=143^auth=^^");
        assert_eq!(request.unwrap().token.unwrap_err(), TokenFault::Token);
        // §3.3: the mechanism of this one is OAUTH10A.
        let request =
            bearer("n,a=u,^host=example.com^port=143^auth=OAuth realm=\"Example\",\r\n x^^");
        assert_eq!(request.unwrap().token.unwrap_err(), TokenFault::Request);
        // §4.4 has a header that the grammar does not have.
        let header = bearer("n,user=someuser@example.com,^auth=Bearer vF9dft4qmT==^^");
        assert_eq!(header.unwrap_err(), AuthError::Malformed);
    }

    #[test]
    fn what_may_be_left_out_may_and_what_is_unknown_is_ignored() {
        let request = bearer("n,,^auth=Bearer x^^").unwrap();
        assert_eq!((request.user, request.host), (None, None));
        for good in [
            "y,,^auth=bEaReR x^^",
            "n,a=a=2Cb=3Dc,^auth=Bearer x^^",
            "n,,^mthd=POST^path=/^qs=^post=a=b c\t\r\n^auth=Bearer x^^",
            "n,,^AUTH=no^auth=Bearer x^port=65535^^",
        ] {
            assert_eq!(token(&bearer(good).unwrap()), b"x", "{good}");
        }
        let request = bearer("n,a=a=2Cb=3Dc,^auth=Bearer x^^").unwrap();
        assert_eq!(request.user.as_deref(), Some("a,b=c"));
        assert_eq!(bearer("n,,^^").unwrap().token.unwrap_err(), TokenFault::Token);
    }

    #[test]
    fn messages_that_break_the_grammar_are_refused() {
        for bad in [
            "",
            "^^",
            "n",
            "n,,",
            "n,,^",
            "n,,^auth=Bearer x^",
            "n,,^auth=Bearer x",
            "n,,^auth=Bearer x^^^",
            "n,,^auth=Bearer x^^x",
            "n,,auth=Bearer x^^",
            "n,^auth=Bearer x^^",
            ",,^auth=Bearer x^^",
            "n,,,^auth=Bearer x^^",
            "N,,^auth=Bearer x^^",
            "F,n,,^auth=Bearer x^^",
            "p=tls-exporter,,^auth=Bearer x^^",
            "n,b=x,^auth=Bearer x^^",
            "n,a=a=2cb,^auth=Bearer x^^",
            "n,a=a=,^auth=Bearer x^^",
            "n,a=,^auth=Bearer x^^",
            "n,,^=x^auth=Bearer x^^",
            "n,,^a1=x^auth=Bearer x^^",
            "n,,^auth^^",
            "n,,^auth=Bearer x^auth=Bearer y^^",
            "n,,^host=a^host=a^auth=Bearer x^^",
            "n,,^port=0^auth=Bearer x^^",
            "n,,^port=0143^auth=Bearer x^^",
            "n,,^port=+143^auth=Bearer x^^",
            "n,,^port=65536^auth=Bearer x^^",
            "n,,^port=^auth=Bearer x^^",
            "n,,^host=\0^auth=Bearer x^^",
            "n,,^host=\u{e4}^auth=Bearer x^^",
        ] {
            assert_eq!(bearer(bad).unwrap_err(), AuthError::Malformed, "{bad:?}");
        }
        assert_eq!(parse_oauthbearer(b"n,a=\xff,\x01\x01").unwrap_err(), AuthError::Malformed);
        assert_eq!(bearer("^").unwrap_err(), AuthError::Denied);
    }

    #[test]
    fn what_is_no_bearer_token_is_told_apart_from_a_broken_message() {
        for bad in [
            "Bearer",
            "Bearer ",
            "Bearer =",
            "Bearer  x",
            "Bearer x y",
            "Bearer x=y",
            "Bearer x,y",
            "Basic eA==",
            "x",
            " x",
            "Bearer\tx",
            "Bearer x ",
        ] {
            let request = bearer(&format!("n,,^auth={bad}^^")).unwrap();
            assert_eq!(request.token.unwrap_err(), TokenFault::Request, "{bad:?}");
        }
    }

    #[test]
    fn xoauth2_names_a_user_and_a_token() {
        // The example in Google's description.
        let request = xoauth2("user=someuser@example.com^auth=Bearer ya29.vF9dft4qmTc2Nvb3^^");
        let request = request.unwrap();
        assert_eq!(request.user.as_deref(), Some("someuser@example.com"));
        assert_eq!(token(&request), b"ya29.vF9dft4qmTc2Nvb3");
        for bad in [
            "",
            "^",
            "user=^auth=Bearer x^^",
            "auth=Bearer x^user=u^^",
            "user=u^auth=Bearer x^",
            "user=u^auth=Bearer x^^^",
            "user=u^^",
            "user=u^host=h^auth=Bearer x^^",
            "n,,^auth=x^^",
        ] {
            assert_eq!(xoauth2(bad).unwrap_err(), AuthError::Malformed, "{bad:?}");
        }
        assert_eq!(xoauth2("user=u^auth=^^").unwrap().token.unwrap_err(), TokenFault::Token);
    }

    #[test]
    fn a_request_prints_no_token() {
        let request = bearer("n,,^auth=Bearer swordfish^^").unwrap();
        assert!(!format!("{request:?}").contains("fish"));
    }
}
