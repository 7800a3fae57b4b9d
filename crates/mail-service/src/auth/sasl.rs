//! SASL exchanges without I/O: bytes of the client in, what to do next out. RFC 4422
//!
//! The shell decodes and encodes base64 and knows the framing of its protocol; the service looks up
//! and verifies. PLAIN (RFC 4616), LOGIN (never standardised; Outlook still uses it for SMTP and
//! some scanners for IMAP), SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677), each also bound to
//! its connection (-PLUS).

use mail_types::Secret;

use super::AuthError;
use super::name::AccountName;
use super::oauth::{TokenRequest, parse_oauthbearer, parse_xoauth2};
use super::scram::{
    Binding, ClientFirst, Conversation, EXPORTER_BYTES, Hash, NONCE_BYTES, ScramKeys,
};
use crate::limits::{SASL_RESPONSE_BYTES_MAX, TOKEN_MESSAGE_BYTES_MAX};

/// A mechanism that the server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS: bound to the TLS connection.
    ScramSha256Plus,
    /// SCRAM-SHA-1-PLUS: bound to the TLS connection.
    ScramSha1Plus,
    /// SCRAM-SHA-256
    ScramSha256,
    /// SCRAM-SHA-1
    ScramSha1,
    /// EXTERNAL: the connection's certificate says who it is. RFC 4422 §A
    External,
    /// OAUTHBEARER: a token of a provider. RFC 7628
    OAuthBearer,
    /// XOAUTH2: the same in an older form.
    XOAuth2,
    /// PLAIN
    Plain,
    /// LOGIN
    Login,
}

/// One authentication, from the client's first response to the end.
pub struct Exchange {
    state: State,
    nonce: [u8; NONCE_BYTES],
}

/// What has to happen next.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge (it may be empty) and give the response to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// Find out whether these belong together; that is the end of the exchange.
    Verify {
        /// The name as the client spelt it.
        authcid: String,
        /// The password as the client sent it.
        password: Secret,
    },
    /// Find out whether the connection's certificate is of this account, or of any; that is the end
    /// of the exchange.
    Certified {
        /// As whom the client wants to act, if it says so.
        authzid: Option<String>,
    },
    /// Find out whose token this is: that is the end of the exchange, or [`Exchange::refuse`].
    Token(TokenRequest),
    /// Look up the keys of this name, or invent them, and give them to [`Exchange::keys`].
    LookUp {
        /// The name as the client spelt it.
        authcid: String,
        /// Of which hash.
        hash: Hash,
    },
    /// The client has proved that it is this one; that is the end of the exchange.
    Proven {
        /// The name as the client spelt it.
        authcid: String,
        /// Our own proof: additional data that belong to success. A protocol that cannot send them
        /// with its success sends them as a challenge and takes an empty response. RFC 4422 §3.6
        proof: Vec<u8>,
    },
}

enum State {
    External,
    OAuthBearer,
    XOAuth2,
    /// The client has been told why, and has to say something before the exchange may fail.
    TokenRefused {
        error: AuthError,
    },
    Plain,
    LoginName,
    LoginPassword {
        authcid: String,
    },
    ScramFirst {
        hash: Hash,
        binding: Binding,
    },
    ScramKeys {
        first: ClientFirst,
    },
    ScramFinal {
        authcid: String,
        conversation: Conversation,
    },
    Over,
}

impl Mechanism {
    /// All, the best first.
    pub const ALL: [Self; 9] = [
        Self::External,
        Self::ScramSha256Plus,
        Self::ScramSha1Plus,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::Plain,
        Self::Login,
    ];

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::External => "EXTERNAL",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The mechanism of this name, in any letter case as IMAP and SMTP allow.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// Whether the password or token itself crosses the wire, so that the connection must be
    /// encrypted. RFC 7628 §5
    #[must_use]
    pub const fn sends_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login) || self.takes_token()
    }

    /// Whether it needs somebody who says what a token is worth.
    #[must_use]
    pub const fn takes_token(self) -> bool {
        matches!(self, Self::OAuthBearer | Self::XOAuth2)
    }

    /// Whether it can be used only where there is something to bind to. RFC 5802 §6
    #[must_use]
    pub const fn is_bound(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha1Plus)
    }

    /// The name that a response claims, for the count of failures; before anything of it is
    /// verified. PLAIN: RFC 4616 §2; SCRAM: RFC 5802 §7.
    #[must_use]
    pub fn claimed(self, response: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Plain => response.split(|byte| *byte == 0).nth(1),
            Self::Login | Self::External => Some(response),
            // Tokens cannot be guessed. Those that are refused are old ones, and must not make
            // passwords of the account be refused as well.
            Self::OAuthBearer | Self::XOAuth2 => None,
            Self::ScramSha256 | Self::ScramSha256Plus | Self::ScramSha1 | Self::ScramSha1Plus => {
                response.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(b"n="))
            }
        }
    }
}

impl Exchange {
    /// Begins with an empty state; the nonce must come from [`crate::Random`] and serves once.
    ///
    /// `exporter` is what the connection can be bound to, whatever the mechanism; a mechanism that
    /// binds fails without it.
    #[must_use]
    pub fn new(
        mechanism: Mechanism,
        exporter: Option<[u8; EXPORTER_BYTES]>,
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        let scram = |hash| {
            let binding = match (exporter, mechanism.is_bound()) {
                (Some(data), true) => Binding::TlsExporter(data),
                (Some(_), false) => Binding::Unused,
                (None, false) => Binding::None,
                (None, true) => return State::Over,
            };
            State::ScramFirst { hash, binding }
        };
        let state = match mechanism {
            Mechanism::External => State::External,
            Mechanism::OAuthBearer => State::OAuthBearer,
            Mechanism::XOAuth2 => State::XOAuth2,
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => scram(Hash::Sha256),
            Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => scram(Hash::Sha1),
        };
        Self { state, nonce }
    }

    /// The first step: with the initial response, if the client sent one. RFC 4422 §3.3
    ///
    /// # Errors
    /// As [`Exchange::respond`].
    pub fn begin(&mut self, initial: Option<&[u8]>) -> Result<Step, AuthError> {
        match (initial, &self.state) {
            (Some(response), _) => self.respond(response),
            (None, State::LoginName) => Ok(Step::Challenge(b"Username:".to_vec())),
            (None, _) => Ok(Step::Challenge(Vec::new())),
        }
    }

    /// Takes the client's response to the last challenge.
    ///
    /// # Errors
    /// `Malformed`, `NotAuthorized`, `Denied`; the exchange is over.
    pub fn respond(&mut self, response: &[u8]) -> Result<Step, AuthError> {
        let bytes_max = match self.state {
            State::OAuthBearer | State::XOAuth2 => TOKEN_MESSAGE_BYTES_MAX,
            _ => SASL_RESPONSE_BYTES_MAX,
        };
        if response.len() > bytes_max {
            self.state = State::Over;
            return Err(AuthError::Malformed);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::External => parse_external(response),
            State::OAuthBearer => parse_oauthbearer(response).map(Step::Token),
            State::XOAuth2 => parse_xoauth2(response).map(Step::Token),
            // OAUTHBEARER has a lone %x01 here and XOAUTH2 nothing, but clients mix them up, and
            // whatever it is the exchange has failed. RFC 7628 §3.2.3
            State::TokenRefused { error } => Err(error),
            State::Plain => parse_plain(response),
            State::LoginName => {
                self.state = State::LoginPassword { authcid: utf8(response)? };
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            State::LoginPassword { authcid } => {
                Ok(Step::Verify { authcid, password: Secret::new(response) })
            }
            State::ScramFirst { hash, binding } => {
                let first = ClientFirst::parse(response, binding)?;
                same_identity(first.authzid.as_deref(), &first.authcid)?;
                let authcid = first.authcid.clone();
                self.state = State::ScramKeys { first };
                Ok(Step::LookUp { authcid, hash })
            }
            State::ScramFinal { authcid, conversation } => {
                let proof = conversation.finish(response)?;
                Ok(Step::Proven { authcid, proof })
            }
            State::ScramKeys { .. } | State::Over => Err(AuthError::Malformed),
        }
    }

    /// Goes on after [`Step::Token`] with a token that is refused: tells the client why, and fails
    /// with `error` when it has answered. RFC 7628 §3.2.3
    pub fn refuse(&mut self, why: Vec<u8>, error: AuthError) -> Step {
        self.state = State::TokenRefused { error };
        Step::Challenge(why)
    }

    /// Whether the client has been told that its token is refused.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.state, State::TokenRefused { .. })
    }

    /// Goes on after [`Step::LookUp`].
    ///
    /// # Errors
    /// `Malformed` if nothing was to be looked up.
    pub fn keys(&mut self, keys: ScramKeys) -> Result<Step, AuthError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ScramKeys { first } => {
                let authcid = first.authcid.clone();
                let (challenge, conversation) = first.answer(keys, &self.nonce);
                self.state = State::ScramFinal { authcid, conversation };
                Ok(Step::Challenge(challenge))
            }
            _ => Err(AuthError::Malformed),
        }
    }
}

/// `external = [authz-id-string]`, UTF-8 without NUL. RFC 4422 §A.1
fn parse_external(message: &[u8]) -> Result<Step, AuthError> {
    if message.contains(&0) {
        return Err(AuthError::Malformed);
    }
    let authzid = utf8(message)?;
    Ok(Step::Certified { authzid: Some(authzid).filter(|id| !id.is_empty()) })
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd`. RFC 4616 §2
fn parse_plain(message: &[u8]) -> Result<Step, AuthError> {
    let mut fields = message.split(|&byte| byte == 0);
    let (Some(authzid), Some(authcid), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(AuthError::Malformed);
    };
    let (authzid, authcid) = (utf8(authzid)?, utf8(authcid)?);
    if authcid.is_empty() || password.is_empty() {
        return Err(AuthError::Malformed);
    }
    same_identity(Some(&authzid).filter(|id| !id.is_empty()).map(String::as_str), &authcid)?;
    Ok(Step::Verify { authcid, password: Secret::new(password) })
}

/// Nobody may act as somebody else: there is no delegation. RFC 4616 §2, RFC 4422 §3.4.1
fn same_identity(authzid: Option<&str>, authcid: &str) -> Result<(), AuthError> {
    let Some(authzid) = authzid else { return Ok(()) };
    match (AccountName::new(authzid), AccountName::new(authcid)) {
        (Ok(one), Ok(other)) if one == other => Ok(()),
        _ => Err(AuthError::NotAuthorized),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, AuthError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| AuthError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(mechanism: Mechanism) -> Exchange {
        Exchange::new(mechanism, None, [7; NONCE_BYTES])
    }

    fn plain(message: &[u8]) -> Result<Step, AuthError> {
        exchange(Mechanism::Plain).begin(Some(message))
    }

    fn verified(step: Result<Step, AuthError>) -> (String, Vec<u8>) {
        match step {
            Ok(Step::Verify { authcid, password }) => (authcid, password.expose().to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_examples_of_rfc_4616_are_read() {
        let (name, password) = verified(plain(b"\0tim\0tanstaaftanstaaf"));
        assert_eq!((name.as_str(), password.as_slice()), ("tim", &b"tanstaaftanstaaf"[..]));
        // "Ursel" as Kurt: nobody here may act as somebody else.
        assert_eq!(plain(b"Ursel\0Kurt\0xipj3plmq").unwrap_err(), AuthError::NotAuthorized);
        assert_eq!(verified(plain(b"TIM\0tim\0x")).0, "tim");
    }

    #[test]
    fn plain_messages_that_break_the_grammar_are_refused() {
        for bad in [&b""[..], b"tim", b"\0tim", b"\0\0x", b"\0tim\0", b"\0tim\0x\0", b"\0\xff\0x"] {
            assert_eq!(plain(bad).unwrap_err(), AuthError::Malformed, "{bad:?}");
        }
        let long = [&b"\0tim\0"[..], &[b'x'; SASL_RESPONSE_BYTES_MAX]].concat();
        assert_eq!(plain(&long).unwrap_err(), AuthError::Malformed);
    }

    #[test]
    fn login_asks_for_the_name_and_then_for_the_password() {
        let mut login = exchange(Mechanism::Login);
        assert!(matches!(login.begin(None), Ok(Step::Challenge(c)) if c == b"Username:"));
        assert!(matches!(login.respond(b"dock"), Ok(Step::Challenge(c)) if c == b"Password:"));
        assert_eq!(verified(login.respond(b"p")), ("dock".to_owned(), b"p".to_vec()));
        assert!(login.respond(b"again").is_err());
    }

    #[test]
    fn scram_proves_both_sides_and_serves_one_login() {
        let mut server = exchange(Mechanism::ScramSha256);
        assert!(matches!(server.begin(None), Ok(Step::Challenge(c)) if c.is_empty()));
        let asked = server.respond(b"n,,n=dock,r=abc");
        assert!(
            matches!(asked, Ok(Step::LookUp { authcid, hash: Hash::Sha256 }) if authcid == "dock")
        );
        let keys = ScramKeys::derive(Hash::Sha256, &Secret::new("pencil"), b"saltsalt", 4096);
        let Ok(Step::Challenge(first)) = server.keys(keys.clone()) else { panic!("no challenge") };
        assert!(first.starts_with(b"r=abc"));
        let refused = server.respond(b"c=biws,r=abc,p=AAAA").unwrap_err();
        assert_eq!(refused, AuthError::Denied);
        assert!(server.keys(keys).is_err());
        assert!(server.respond(b"").is_err());
    }

    #[test]
    fn scram_refuses_to_act_as_somebody_else() {
        let mut server = exchange(Mechanism::ScramSha256);
        let step = server.begin(Some(b"n,a=office,n=dock,r=abc"));
        assert_eq!(step.unwrap_err(), AuthError::NotAuthorized);
    }

    #[test]
    fn a_mechanism_that_binds_fails_where_there_is_nothing_to_bind_to() {
        let first = b"p=tls-exporter,,n=dock,r=abc";
        for mechanism in [Mechanism::ScramSha256Plus, Mechanism::ScramSha1Plus] {
            assert_eq!(exchange(mechanism).begin(Some(first)).unwrap_err(), AuthError::Malformed);
            let exporter = Some([1; EXPORTER_BYTES]);
            let mut bound = Exchange::new(mechanism, exporter, [7; NONCE_BYTES]);
            assert!(matches!(bound.begin(Some(first)), Ok(Step::LookUp { .. })));
        }
    }

    #[test]
    fn external_takes_an_identity_or_none() {
        let external = |message: &[u8]| exchange(Mechanism::External).begin(Some(message));
        assert!(matches!(external(b""), Ok(Step::Certified { authzid: None })));
        assert!(
            matches!(external(b"dock"), Ok(Step::Certified { authzid: Some(id) }) if id == "dock")
        );
        for bad in [&b"\0"[..], b"dock\0", b"\xff"] {
            assert_eq!(external(bad).unwrap_err(), AuthError::Malformed);
        }
        let mut asked = exchange(Mechanism::External);
        assert!(matches!(asked.begin(None), Ok(Step::Challenge(c)) if c.is_empty()));
        assert!(matches!(asked.respond(b""), Ok(Step::Certified { authzid: None })));
    }

    #[test]
    fn a_refused_token_is_told_why_before_it_fails_once() {
        for (mechanism, message, end) in [
            (Mechanism::OAuthBearer, &b"n,a=dock,\x01auth=Bearer x\x01\x01"[..], &b"\x01"[..]),
            (Mechanism::XOAuth2, b"user=dock\x01auth=Bearer x\x01\x01", b""),
        ] {
            let mut asked = exchange(mechanism);
            assert!(matches!(asked.begin(None), Ok(Step::Challenge(c)) if c.is_empty()));
            assert!(matches!(asked.respond(message), Ok(Step::Token(_))));
            assert!(!asked.is_refused());
            let told = asked.refuse(b"{}".to_vec(), AuthError::Denied);
            assert!(matches!(told, Step::Challenge(why) if why == b"{}"));
            assert!(asked.is_refused());
            assert_eq!(asked.respond(end).unwrap_err(), AuthError::Denied);
            assert_eq!(asked.respond(message).unwrap_err(), AuthError::Malformed);
        }
        let long = [&b"n,,\x01auth=Bearer "[..], &[b'x'; TOKEN_MESSAGE_BYTES_MAX]].concat();
        let refused = exchange(Mechanism::OAuthBearer).begin(Some(&long));
        assert_eq!(refused.unwrap_err(), AuthError::Malformed);
    }

    #[test]
    fn mechanisms_are_found_in_any_letter_case() {
        assert_eq!(Mechanism::from_name("scram-sha-256"), Some(Mechanism::ScramSha256));
        assert_eq!(Mechanism::from_name("CRAM-MD5"), None);
    }
}
