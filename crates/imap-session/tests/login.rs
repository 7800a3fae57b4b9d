//! Ways to log in, step by step: what the session asks for and what it says.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use imap_proto::parse::{self, Frame};
use imap_session::{
    Answer, AuthenticationRefused, CleartextLogin, ClientResponse, Need, SaslStep, Session,
    SessionConfig, Step, Then, TlsState, World,
};
use mail_types::{InternalDate, Secret};
use mailbox::Account;

struct Client {
    session: Session,
    account: Account,
    said: Vec<u8>,
}

impl Client {
    fn new(config: SessionConfig) -> Self {
        let mut client =
            Self { session: Session::new(config), account: Account::empty(), said: Vec::new() };
        client.session.greeting(&mut client.said);
        client
    }

    fn begin(&mut self, line: &str) -> Step {
        let command = parse::command(Frame::whole(line.as_bytes())).unwrap();
        let world = World::new(Some(&self.account), InternalDate::utc(0));
        self.session.begin(command, world, &mut self.said)
    }

    fn resume(&mut self, answer: Answer) -> Step {
        let world = World::new(Some(&self.account), InternalDate::utc(0));
        self.session.resume(answer, world, &mut self.said)
    }

    fn said(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.said)).unwrap()
    }
}

fn protected() -> SessionConfig {
    let mechanisms = vec!["SCRAM-SHA-256".to_owned(), "PLAIN".to_owned()];
    SessionConfig { tls: TlsState::Active, mechanisms, ..SessionConfig::default() }
}

fn response(text: &str) -> Answer {
    Answer::ClientResponse(ClientResponse::Data(Secret::new(text)))
}

#[test]
fn a_mechanism_of_several_steps_ends_with_its_data_and_an_empty_response() {
    let mut client = Client::new(protected());
    assert!(client.said().contains(" AUTH=SCRAM-SHA-256 AUTH=PLAIN "));
    let step = client.begin("a AUTHENTICATE SCRAM-SHA-256 Y2xpZW50LWZpcnN0");
    let Step::Need(Need::Sasl(SaslStep::Start { mechanism, initial: Some(first) })) = step else {
        panic!("{step:?}")
    };
    assert_eq!((mechanism.as_str(), first.expose()), ("SCRAM-SHA-256", &b"client-first"[..]));
    let step = client.resume(Answer::Challenge(b"server-first".to_vec()));
    assert!(matches!(step, Step::Need(Need::ClientResponse)));
    assert_eq!(client.said(), "+ c2VydmVyLWZpcnN0\r\n");
    let step = client.resume(response("client-final"));
    assert!(matches!(step, Step::Need(Need::Sasl(SaslStep::Response(_)))));
    let data = Some(b"v=signature".to_vec());
    assert!(matches!(
        client.resume(Answer::Authenticated { data }),
        Step::Need(Need::ClientResponse)
    ));
    assert_eq!(client.said(), "+ dj1zaWduYXR1cmU=\r\n");
    assert!(!client.session.is_logged_in());
    assert!(matches!(client.resume(response("")), Step::Done(Then::Continue)));
    assert!(client.said().starts_with("a OK [CAPABILITY IMAP4rev1 IMAP4rev2 "));
    assert!(client.session.is_logged_in());
}

#[test]
fn a_client_that_cancels_after_success_is_not_logged_in() {
    let mut client = Client::new(protected());
    client.begin("a AUTHENTICATE SCRAM-SHA-256 Y2xpZW50LWZpcnN0");
    client.resume(Answer::Authenticated { data: Some(b"v=x".to_vec()) });
    client.said();
    let step = client.resume(Answer::ClientResponse(ClientResponse::Cancelled));
    assert!(matches!(step, Step::Done(Then::Continue)));
    assert!(client.said().starts_with("a BAD "));
    assert!(!client.session.is_logged_in());
}

#[test]
fn no_password_travels_in_the_clear_unless_that_is_allowed() {
    let mut client = Client::new(SessionConfig::default());
    assert!(client.said().contains(" LOGINDISABLED"));
    for line in ["a LOGIN office secret", "a AUTHENTICATE PLAIN"] {
        assert!(matches!(client.begin(line), Step::Done(Then::Continue)));
        let said = client.said();
        assert!(said.starts_with("a NO [PRIVACYREQUIRED] "), "{said}");
    }
    let cleartext_login = CleartextLogin::Allowed;
    let mut client = Client::new(SessionConfig { cleartext_login, ..SessionConfig::default() });
    assert!(matches!(client.begin("a LOGIN office secret"), Step::Need(Need::Login { .. })));
}

#[test]
fn starttls_opens_the_login_and_is_gone_afterwards() {
    let config = SessionConfig { tls: TlsState::Available, ..protected() };
    let mut client = Client::new(config);
    assert!(client.said().contains(" STARTTLS LOGINDISABLED "));
    assert!(matches!(client.begin("a STARTTLS"), Step::Done(Then::StartTls)));
    assert!(client.said().starts_with("a OK "));
    client.session.tls_started();
    client.begin("b CAPABILITY");
    let said = client.said();
    assert!(!said.contains("STARTTLS") && said.contains("AUTH=PLAIN"), "{said}");
    assert!(matches!(client.begin("c STARTTLS"), Step::Done(Then::Continue)));
    assert!(client.said().starts_with("c BAD "));
}

/// Somebody on the way could have chosen it. RFC 5255 §3.1
#[test]
fn the_language_has_to_be_chosen_again_behind_tls() {
    let config = SessionConfig { tls: TlsState::Available, ..protected() };
    let mut client = Client::new(config);
    client.said();
    client.begin("a LANGUAGE de");
    assert_eq!(client.said(), "* LANGUAGE (de)\r\na OK Ab jetzt auf Deutsch\r\n");
    client.begin("b STARTTLS");
    assert_eq!(client.said(), "b OK TLS-Verhandlung jetzt beginnen\r\n");
    client.session.tls_started();
    client.begin("c NOOP");
    assert_eq!(client.said(), "c OK NOOP completed\r\n");
}

#[test]
fn refused_logins_say_no_more_than_they_must() {
    let cases = [
        (AuthenticationRefused::Credentials, "a NO [AUTHENTICATIONFAILED] "),
        (AuthenticationRefused::Authorization, "a NO [AUTHORIZATIONFAILED] "),
        (AuthenticationRefused::Disabled, "a NO [CONTACTADMIN] "),
        (AuthenticationRefused::Malformed, "a BAD "),
        (AuthenticationRefused::TooMany, "a NO [UNAVAILABLE] "),
    ];
    for (refused, expected) in cases {
        let mut client = Client::new(protected());
        client.said();
        client.begin("a LOGIN office secret");
        let step = client.resume(Answer::AuthenticationRefused(refused));
        assert!(matches!(step, Step::Done(Then::Continue)));
        let said = client.said();
        assert!(said.starts_with(expected), "{said}");
        assert!(!client.session.is_logged_in());
    }
}

/// An idle session in a server of thousands: what it costs besides the shared snapshot.
#[test]
fn a_session_is_small() {
    let bytes = size_of::<Session>();
    assert!(bytes <= 512, "{bytes} bytes");
}
