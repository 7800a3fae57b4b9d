//! SCRAM-SHA-256 and SCRAM-SHA-1, with and without channel binding, the server's side. RFC 5802,
//! RFC 7677, RFC 9266
//!
//! ```text
//! client-first-message = gs2-header client-first-message-bare
//! gs2-header           = gs2-cbind-flag "," [ authzid ] ","
//! gs2-cbind-flag       = ("p=" cb-name) / "n" / "y"
//! client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]
//! server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count
//! client-final-message = channel-binding "," nonce ["," extensions] "," proof
//! server-final-message = (server-error / verifier) ["," extensions]
//! ```

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mail_types::Secret;

use super::AuthError;

/// What the server keeps of a password for SCRAM. Whoever steals it can pretend to be the server
/// and can guess passwords, but cannot log in. RFC 5802 §9
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// The hash that they are made with.
    pub hash: Hash,
    /// Salt, different for each account and password.
    pub salt: Vec<u8>,
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// Hash of the client's key: checks a proof.
    pub stored_key: Vec<u8>,
    /// Signs the server's last message.
    pub server_key: Vec<u8>,
}

/// The hash of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// RFC 5802. What SHA-1 is broken for, collisions, HMAC does not depend on.
    Sha1,
    /// RFC 7677
    Sha256,
}

/// What a connection has that an exchange can be bound to. RFC 5802 §6
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    None,
    /// Something, but the client chose a mechanism that binds to nothing.
    Unused,
    /// `tls-exporter`: this keying material of the TLS connection. RFC 9266 §2
    TlsExporter([u8; EXPORTER_BYTES]),
}

/// Length of what is exported from TLS. RFC 9266 §2
pub const EXPORTER_BYTES: usize = 32;

impl Hash {
    /// Length of its output.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn digest(self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }

    fn sign(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }
}

/// What the client said first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst {
    /// Whose password it knows.
    pub authcid: String,
    /// As whom it wants to act.
    pub authzid: Option<String>,
    /// What `c=` of the last message has to be: the header, and what is bound to.
    bound: Vec<u8>,
    bare: String,
    nonce: String,
}

/// A conversation after the server's first message.
pub struct Conversation {
    keys: ScramKeys,
    bound: Vec<u8>,
    nonce: String,
    /// `client-first-message-bare "," server-first-message`
    auth_message: String,
}

/// Length of a nonce's random part, in bytes before base64.
pub const NONCE_BYTES: usize = 18;

impl ScramKeys {
    /// Derives the keys from a prepared password; takes the time of `iterations`. RFC 5802 §3
    #[must_use]
    pub fn derive(hash: Hash, password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let algorithm = match hash {
            Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; hash.bytes()];
        pbkdf2::derive(algorithm, rounds, salt, password.expose(), &mut salted);
        let client_key = hash.sign(&salted, b"Client Key");
        Self {
            hash,
            salt: salt.to_vec(),
            iterations: rounds.get(),
            stored_key: hash.digest(&client_key),
            server_key: hash.sign(&salted, b"Server Key"),
        }
    }

    /// Keys that no password fits, the same at each asking, for a name that does not exist.
    ///
    /// A salt that changed from one try to the next would tell that there is no such account.
    #[must_use]
    pub fn invented(hash: Hash, secret: &[u8], name: &str, iterations: u32) -> Self {
        let salt = hash.sign(secret, format!("salt {name}").as_bytes());
        Self {
            hash,
            salt: salt.iter().copied().take(SALT_BYTES).collect(),
            iterations,
            stored_key: hash.sign(secret, format!("stored key {name}").as_bytes()),
            server_key: hash.sign(secret, format!("server key {name}").as_bytes()),
        }
    }
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramKeys(\u{2026})")
    }
}

/// Length of a salt that is drawn for new keys.
pub const SALT_BYTES: usize = 16;

impl ClientFirst {
    /// Reads `client-first-message`.
    ///
    /// # Errors
    /// `Malformed`, also if the flag does not fit the mechanism's name; `Denied` for a channel
    /// binding that is not there, and where somebody made the client believe that there is none.
    pub fn parse(message: &[u8], binding: Binding) -> Result<Self, AuthError> {
        let text = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::Malformed);
        };
        let data = check_flag(flag, &binding)?;
        let authzid = match authzid {
            "" => None,
            text => Some(unescape(text.strip_prefix("a=").ok_or(AuthError::Malformed)?)?),
        };
        let gs2_len = text.len() - bare.len();
        let mut attributes = bare.split(',');
        // A reserved "m=" stands here when the client demands an extension. RFC 5802 §5.1
        let name = attributes.next().and_then(|a| a.strip_prefix("n="));
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r="));
        let (Some(name), Some(nonce)) = (name, nonce) else { return Err(AuthError::Malformed) };
        if !is_nonce(nonce) {
            return Err(AuthError::Malformed);
        }
        Ok(Self {
            authcid: unescape(name)?,
            authzid,
            bound: [text.get(..gs2_len).unwrap_or_default().as_bytes(), data].concat(),
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        })
    }

    /// Answers with `server-first-message`; `server_nonce` must never be used twice.
    #[must_use]
    pub fn answer(self, keys: ScramKeys, server_nonce: &[u8]) -> (Vec<u8>, Conversation) {
        let nonce = format!("{}{}", self.nonce, BASE64.encode(server_nonce));
        let server_first =
            format!("r={nonce},s={},i={}", BASE64.encode(&keys.salt), keys.iterations);
        let conversation = Conversation {
            keys,
            bound: self.bound,
            nonce,
            auth_message: format!("{},{server_first}", self.bare),
        };
        (server_first.into_bytes(), conversation)
    }
}

impl Conversation {
    /// Reads `client-final-message`, checks the proof and gives `server-final-message`. A
    /// conversation serves one proof only: that is what makes a nonce good for one login.
    ///
    /// # Errors
    /// `Malformed`; `Denied` if the proof is not of this password.
    pub fn finish(self, message: &[u8]) -> Result<Vec<u8>, AuthError> {
        let text = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(AuthError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|a| a.strip_prefix("c="));
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r="));
        let (Some(binding), Some(nonce)) = (binding, nonce) else {
            return Err(AuthError::Malformed);
        };
        // What the client bound to must be what it said first. RFC 5802 §5.1
        if BASE64.decode(binding).ok().as_ref() != Some(&self.bound) || nonce != self.nonce {
            return Err(AuthError::Denied);
        }
        let proof = BASE64.decode(proof).map_err(|_| AuthError::Malformed)?;
        let hash = self.keys.hash;
        if proof.len() != hash.bytes() {
            return Err(AuthError::Malformed);
        }
        let auth_message = format!("{},{without_proof}", self.auth_message);
        let mut client_key = hash.sign(&self.keys.stored_key, auth_message.as_bytes());
        for (byte, mask) in client_key.iter_mut().zip(&proof) {
            *byte ^= mask;
        }
        let proven = hash.digest(&client_key);
        constant_time::verify_slices_are_equal(&proven, &self.keys.stored_key)
            .map_err(|_| AuthError::Denied)?;
        let signature = hash.sign(&self.keys.server_key, auth_message.as_bytes());
        Ok(format!("v={}", BASE64.encode(signature)).into_bytes())
    }
}

/// `saslname`: `=2C` stands for a comma, `=3D` for an equals sign, and no other `=` may. RFC 5802
/// §5.1
pub(super) fn unescape(text: &str) -> Result<String, AuthError> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(AuthError::Malformed),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() { Err(AuthError::Malformed) } else { Ok(name) }
}

/// `c-nonce = printable`: any printable ASCII but a comma. RFC 5802 §7
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// What the client's flag says must fit what there is; returns what is bound to. RFC 5802 §6
fn check_flag<'a>(flag: &str, binding: &'a Binding) -> Result<&'a [u8], AuthError> {
    match (flag, binding) {
        ("n", Binding::None | Binding::Unused) => Ok(&[]),
        // The client could bind and believes that we cannot, which is so.
        ("y", Binding::None) => Ok(&[]),
        // Somebody has taken the mechanisms that bind out of the list on its way.
        ("y", Binding::Unused) => Err(AuthError::Denied),
        ("p=tls-exporter", Binding::TlsExporter(data)) => Ok(data),
        // A kind of binding that is not supported.
        (other, Binding::TlsExporter(_)) if other.starts_with("p=") => Err(AuthError::Denied),
        _ => Err(AuthError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> ScramKeys {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        ScramKeys::derive(Hash::Sha256, &Secret::new("pencil"), &salt, 4096)
    }

    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    /// The nonce of the RFC's example is not base64, so it is put in by hand.
    fn example() -> Conversation {
        let first = ClientFirst::parse(FIRST.as_bytes(), Binding::None).unwrap();
        let (_, mut conversation) = first.answer(keys(), b"");
        conversation.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
        conversation.auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
            .to_owned();
        conversation
    }

    #[test]
    fn the_example_of_rfc_7677_is_accepted_and_signed() {
        let last = example().finish(FINAL.as_bytes()).unwrap();
        assert_eq!(last, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn any_changed_byte_of_the_last_message_is_refused() {
        for at in 0..FINAL.len() {
            let mut message = FINAL.as_bytes().to_vec();
            message[at] ^= 1;
            assert!(example().finish(&message).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_server_first_message_continues_the_clients_nonce() {
        let first = ClientFirst::parse(b"y,,n=user,r=abc", Binding::None).unwrap();
        let (message, _) = first.answer(keys(), b"xyz");
        assert_eq!(message, b"r=abceHl6,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    }

    #[test]
    fn names_are_unescaped_and_identities_told_apart() {
        let first = ClientFirst::parse(b"n,a=bo=2Cb,n=a=3Db=2Cc,r=x", Binding::None).unwrap();
        assert_eq!(first.authcid, "a=b,c");
        assert_eq!(first.authzid.as_deref(), Some("bo,b"));
    }

    #[test]
    fn first_messages_that_break_the_grammar_are_refused() {
        for bad in [
            "",
            "n",
            "n,,",
            "n,,n=user",
            "n,,r=x,n=user",
            "n,,n=,r=x",
            "n,,n=user,r=",
            "p=tls-unique,,n=user,r=x",
            "n,,m=1,n=user,r=x",
            "n,user,n=user,r=x",
            "q,,n=user,r=x",
            "n,,n=a=b,r=x",
            "n,,n=a=2c,r=x",
            "n,,n=user,r=a b",
        ] {
            let parsed = ClientFirst::parse(bad.as_bytes(), Binding::None);
            assert_eq!(parsed, Err(AuthError::Malformed), "{bad}");
        }
        let parsed = ClientFirst::parse(b"n,,n=\xff,r=x", Binding::None);
        assert_eq!(parsed, Err(AuthError::Malformed));
    }

    #[test]
    fn an_invented_salt_is_stable_and_fits_no_other_name() {
        for hash in [Hash::Sha1, Hash::Sha256] {
            let one = ScramKeys::invented(hash, b"secret", "nobody", 4096);
            let again = ScramKeys::invented(hash, b"secret", "nobody", 4096);
            let other = ScramKeys::invented(hash, b"secret", "nobody2", 4096);
            assert_eq!(one.salt, again.salt);
            assert_ne!(one.salt, other.salt);
            assert_eq!(one.salt.len(), keys().salt.len());
        }
    }

    #[test]
    fn the_example_of_rfc_5802_is_accepted_and_signed() {
        let salt = BASE64.decode("QSXCR+Q6sek8bf92").unwrap();
        let keys = ScramKeys::derive(Hash::Sha1, &Secret::new("pencil"), &salt, 4096);
        let first = b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL";
        let (_, mut conversation) =
            ClientFirst::parse(first, Binding::None).unwrap().answer(keys, b"");
        conversation.nonce = "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j".to_owned();
        conversation.auth_message = "n=user,r=fyko+d2lbbFgONRv9qkxdawL,\
            r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
            .to_owned();
        let last = conversation.finish(
            b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        );
        assert_eq!(last.unwrap(), b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }

    #[test]
    fn the_flag_of_channel_binding_fits_the_mechanism_and_tells_of_a_downgrade() {
        let parse = |flag: &str, binding| {
            ClientFirst::parse(format!("{flag},,n=user,r=x").as_bytes(), binding).map(|f| f.bound)
        };
        let exporter = Binding::TlsExporter([7; EXPORTER_BYTES]);
        let bound = [&b"p=tls-exporter,,"[..], &[7; EXPORTER_BYTES]].concat();
        assert_eq!(parse("p=tls-exporter", exporter), Ok(bound));
        assert_eq!(parse("p=tls-unique", exporter), Err(AuthError::Denied));
        for flag in ["n", "y", "p", "P=tls-exporter"] {
            assert_eq!(parse(flag, exporter), Err(AuthError::Malformed), "{flag}");
        }
        // Without PLUS in the name.
        assert_eq!(parse("n", Binding::Unused), Ok(b"n,,".to_vec()));
        assert_eq!(parse("y", Binding::None), Ok(b"y,,".to_vec()));
        assert_eq!(parse("y", Binding::Unused), Err(AuthError::Denied));
        for binding in [Binding::None, Binding::Unused] {
            assert_eq!(parse("p=tls-exporter", binding), Err(AuthError::Malformed));
        }
    }

    #[test]
    fn a_proof_that_is_bound_to_another_connection_is_refused() {
        let finish = |theirs: u8| {
            let first = b"p=tls-exporter,,n=user,r=x";
            let ours = Binding::TlsExporter([7; EXPORTER_BYTES]);
            let parsed = ClientFirst::parse(first, ours).unwrap();
            let (challenge, conversation) = parsed.answer(keys(), b"y");
            let bound = [&b"p=tls-exporter,,"[..], &[theirs; EXPORTER_BYTES]].concat();
            let without_proof = format!("c={},r={}", BASE64.encode(bound), conversation.nonce);
            let challenge = String::from_utf8(challenge).unwrap();
            let message = format!("n=user,r=x,{challenge},{without_proof}");
            let (hash, salt) = (Hash::Sha256, keys().salt);
            let mut salted = [0; 32];
            let rounds = NonZeroU32::new(4096).unwrap();
            let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
            pbkdf2::derive(algorithm, rounds, &salt, b"pencil", &mut salted);
            let key = hash.sign(&salted, b"Client Key");
            let signature = hash.sign(&hash.digest(&key), message.as_bytes());
            let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
            let last = format!("{without_proof},p={}", BASE64.encode(proof));
            conversation.finish(last.as_bytes()).map(|_| ())
        };
        assert_eq!(finish(7), Ok(()));
        assert_eq!(finish(8), Err(AuthError::Denied));
    }
}
