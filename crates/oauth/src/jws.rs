//! A signed token: JWS in its compact form. RFC 7515 §3.1, §5.2
//!
//! ```text
//! token = base64url(header) "." base64url(claims) "." base64url(signature)
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value};

use crate::keys::{Algorithm, KeySet, NoSignature, Signed};

/// A token that has been read and not believed.
#[derive(Debug)]
pub struct Jws<'t> {
    algorithm: Algorithm,
    key: Option<String>,
    signed: &'t str,
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

impl<'t> Jws<'t> {
    /// Reads a token; `None` if it is none, or one that may not be taken.
    pub fn parse(token: &'t [u8]) -> Option<Self> {
        let token = std::str::from_utf8(token).ok()?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = object(header)?;
        // An extension that must be understood is one that is not: none is. RFC 7515 §4.1.11
        if header.contains_key("crit") || !header.get("typ").is_none_or(is_token_type) {
            return None;
        }
        let key = match header.get("kid") {
            None => None,
            Some(key) => Some(key.as_str()?.to_owned()),
        };
        Some(Self {
            algorithm: Algorithm::from_name(header.get("alg")?.as_str()?)?,
            key,
            signed,
            signature: BASE64URL.decode(signature).ok()?,
            claims: object(claims)?,
        })
    }

    /// What it claims, if one of these keys has signed it.
    ///
    /// # Errors
    /// As [`KeySet::verify`].
    pub fn verify(&self, keys: &KeySet) -> Result<&Map<String, Value>, NoSignature> {
        let signed = Signed { message: self.signed.as_bytes(), signature: &self.signature };
        keys.verify(self.algorithm, self.key.as_deref(), &signed)?;
        Ok(&self.claims)
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&BASE64URL.decode(part).ok()?).ok()? {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// An access token or a token of no particular kind; not a logout token or a proof of possession,
/// which the same keys sign. RFC 9068 §4, RFC 8725 §3.11
fn is_token_type(typ: &Value) -> bool {
    let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
    // RFC 7515 §4.1.9: the first part of a media type may be left out.
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    matches!(typ, "jwt" | "at+jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515 §A.2: the claims of all examples there.
    const RS256: &str = concat!(
        "eyJhbGciOiJSUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5",
        "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb",
        "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO",
        "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    const RSA_KEY: &str = concat!(
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrc"#,
        "S2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSH",
        "SXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGh",
        r#"yxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
    );

    /// RFC 7515 §A.3
    const ES256: &str = concat!(
        "eyJhbGciOiJFUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    const EC_KEY: &str = concat!(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
        r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    );

    fn set(keys: &[&str]) -> KeySet {
        KeySet::parse(format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes()).unwrap()
    }

    fn verified(token: &str, keys: &KeySet) -> Result<bool, NoSignature> {
        let jws = Jws::parse(token.as_bytes()).unwrap();
        jws.verify(keys).map(|claims| claims["iss"] == "joe")
    }

    #[test]
    fn the_examples_of_rfc_7515_are_verified() {
        let both = set(&[RSA_KEY, EC_KEY]);
        assert_eq!(verified(RS256, &both), Ok(true));
        assert_eq!(verified(ES256, &both), Ok(true));
        assert_eq!(verified(RS256, &set(&[EC_KEY])), Err(NoSignature::Wrong));
        assert_eq!(verified(RS256, &set(&[])), Err(NoSignature::UnknownKey));
        // §A.1 is signed with a shared key, and §A.5 not at all.
        let shared = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.e30.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(Jws::parse(shared.as_bytes()).is_none());
        assert!(Jws::parse(b"eyJhbGciOiJub25lIn0.e30.").is_none());
    }

    #[test]
    fn every_changed_letter_is_noticed() {
        let keys = set(&[RSA_KEY, EC_KEY]);
        for token in [RS256, ES256] {
            for at in 0..token.len() {
                let mut bytes = token.as_bytes().to_vec();
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                let Some(jws) = Jws::parse(&bytes) else { continue };
                assert!(jws.verify(&keys).is_err(), "letter {at}");
            }
        }
    }

    #[test]
    fn types_that_are_no_access_tokens_are_refused() {
        let with = |header: &str| {
            let token = format!("{}.e30.AA", BASE64URL.encode(header));
            Jws::parse(token.as_bytes()).is_some()
        };
        for good in [
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"RS256","typ":"jwt","kid":"a"}"#,
            r#"{"alg":"RS256","typ":"at+JWT"}"#,
            r#"{"alg":"RS256","typ":"Application/at+jwt","x5t":"?"}"#,
        ] {
            assert!(with(good), "{good}");
        }
        for bad in [
            r#"{"alg":"RS256","typ":"logout+jwt"}"#,
            r#"{"alg":"RS256","typ":"dpop+jwt"}"#,
            r#"{"alg":"RS256","typ":"application/"}"#,
            r#"{"alg":"RS256","typ":1}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
            r#"{"alg":"RS256","crit":[]}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"typ":"JWT"}"#,
            r#"["RS256"]"#,
            "",
        ] {
            assert!(!with(bad), "{bad}");
        }
    }
}
