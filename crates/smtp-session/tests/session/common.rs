//! A session against people `known@…`, who take every message whole.

use std::collections::VecDeque;

use smtp_session::{
    AuthAnswer, AuthStep, Burl, Dsn, Event, FutureRelease, Offer, Reply, RequireTls, Role, Session,
    StartTls, Transaction,
};

/// What time it is: 2026-11-28T18:00:00Z.
pub const NOW: i64 = 1_795_888_800;

pub struct Harness {
    pub session: Session,
    pub role: Role,
    pub input: Vec<u8>,
    pub out: String,
    pub text: Vec<u8>,
    pub messages: Vec<(Transaction, Vec<u8>)>,
    pub abandoned: usize,
    pub closed: bool,
    pub tls: bool,
    /// What can be had by a URL, by its last segment. `broken` breaks off.
    pub stored: Vec<(&'static str, Vec<u8>)>,
    /// What is left of the URL that is being fetched.
    pieces: VecDeque<Vec<u8>>,
    /// URLs that were asked for.
    pub urls: Vec<String>,
}

pub fn offer(role: Role, message_bytes_max: u64) -> Offer {
    let mechanisms = match role {
        Role::Submission => vec!["PLAIN".to_owned(), "LOGIN".to_owned(), "SCRAM-X".to_owned()],
        Role::Lmtp | Role::Mx => Vec::new(),
    };
    Offer {
        role,
        hostname: "mail.example.org".to_owned(),
        message_bytes_max,
        starttls: StartTls::Offered,
        mechanisms,
        dsn: Dsn::Absent,
        future_release: None,
        burl: Burl::Absent,
        require_tls: RequireTls::Absent,
    }
}

/// What submission offers under TLS when mail can leave.
pub fn full_offer() -> Offer {
    Offer {
        starttls: StartTls::Absent,
        dsn: Dsn::Offered,
        future_release: Some(FutureRelease { secs_max: 86_400 }),
        burl: Burl::Offered,
        require_tls: RequireTls::Offered,
        ..offer(Role::Submission, 1000)
    }
}

/// A client of such a server that has logged in.
pub fn sender() -> Harness {
    let mut harness = Harness::new(full_offer());
    harness.say("EHLO a\nAUTH PLAIN AG1lAHB3");
    harness
}

impl Harness {
    pub fn lmtp(message_bytes_max: u64) -> Self {
        Self::new(offer(Role::Lmtp, message_bytes_max))
    }

    pub fn new(offer: Offer) -> Self {
        let role = offer.role;
        Self::with(role, Session::new(offer))
    }

    pub fn with(role: Role, session: Session) -> Self {
        let mut session = session;
        session.now_secs = NOW;
        let mut harness = Self {
            session,
            role,
            input: Vec::new(),
            out: String::new(),
            text: Vec::new(),
            messages: Vec::new(),
            abandoned: 0,
            closed: false,
            tls: false,
            stored: Vec::new(),
            pieces: VecDeque::new(),
            urls: Vec::new(),
        };
        harness.run();
        harness
    }

    pub fn send(&mut self, bytes: &[u8]) -> String {
        self.input.extend_from_slice(bytes);
        self.run();
        std::mem::take(&mut self.out)
    }

    /// Sends each line when the one before has been answered.
    pub fn say(&mut self, lines: &str) -> String {
        lines.lines().map(|line| self.send(format!("{}\r\n", line.trim()).as_bytes())).collect()
    }

    fn run(&mut self) {
        loop {
            match self.session.advance(&mut self.input) {
                Event::Auth(step) => self.session.answer_auth(authenticate(step)),
                Event::Sender(address) => {
                    self.session.answer_sender(match address.starts_with("me@") {
                        true => Reply::new(250, "2.1.0", "Sender noted"),
                        false => Reply::new(553, "5.7.1", "Not your address"),
                    });
                }
                Event::Recipient(address) => {
                    self.session.answer_recipient(if address.starts_with("known") {
                        Reply::new(250, "2.1.5", "Fine")
                    } else {
                        Reply::new(550, "5.1.1", "Nobody")
                    });
                }
                Event::Data => self.session.answer_data(Ok(())),
                Event::Text(text) => self.text.extend(text),
                Event::Abandon => {
                    self.abandoned += 1;
                    self.text.clear();
                }
                Event::Url(url) => {
                    let answer = self.find(&url);
                    self.session.answer_url(answer);
                    self.urls.push(url);
                }
                Event::UrlText => {
                    let broken = Err(Reply::new(451, "4.3.0", "Not now"));
                    self.session.answer_url_text(match self.pieces.pop_front() {
                        Some(piece) if piece == b"BROKEN" => broken,
                        Some(piece) => Ok(piece),
                        None => Ok(Vec::new()),
                    });
                }
                Event::End => self.deliver(),
                Event::NeedInput => break,
                Event::StartTls => {
                    self.tls = true;
                    break;
                }
                Event::Close => {
                    self.closed = true;
                    break;
                }
            }
        }
        let replies = std::mem::take(&mut self.session.replies);
        self.out.push_str(std::str::from_utf8(&replies).unwrap());
    }

    fn find(&mut self, url: &str) -> Result<(), Reply> {
        let name = url.rsplit('/').next().unwrap_or_default();
        let found = self.stored.iter().find(|(stored, _)| *stored == name);
        let (name, text) = found.ok_or(Reply::new(554, "5.7.0", "Not authorized"))?;
        self.pieces = text.chunks(7).map(<[u8]>::to_vec).collect();
        if *name == "broken" {
            self.pieces.push_back(b"BROKEN".to_vec());
        }
        Ok(())
    }

    fn deliver(&mut self) {
        let transaction = self.session.transaction().unwrap().clone();
        let mut replies: Vec<_> = transaction
            .recipients
            .iter()
            .map(|recipient| match recipient.address.contains("full") {
                true => Reply::new(452, "4.2.2", "Full"),
                false => Reply::new(250, "2.0.0", "Delivered"),
            })
            .collect();
        if self.role != Role::Lmtp {
            replies.truncate(1);
        }
        self.messages.push((transaction, std::mem::take(&mut self.text)));
        self.session.answer_message(&replies);
    }
}

/// The password is `pw`. SCRAM-X asks once, and proves itself with its success.
fn authenticate(step: AuthStep) -> AuthAnswer {
    match step {
        AuthStep::Start { mechanism, initial } => match initial {
            Some(initial) if mechanism.eq_ignore_ascii_case("PLAIN") => {
                match initial.expose() == b"\0me\0pw" {
                    true => AuthAnswer::Done { data: None },
                    false => AuthAnswer::Refused(Reply::new(535, "5.7.8", "Wrong")),
                }
            }
            _ => AuthAnswer::Challenge(Vec::new()),
        },
        AuthStep::Response(response) => match response.expose() {
            b"\0me\0pw" => AuthAnswer::Done { data: None },
            b"proof" => AuthAnswer::Done { data: Some(b"mine".to_vec()) },
            _ => AuthAnswer::Refused(Reply::new(535, "5.7.8", "Wrong")),
        },
    }
}

pub fn ready(role: Role) -> Harness {
    let mut harness = Harness::new(offer(role, 1000));
    let hello = if role == Role::Lmtp { "LHLO mx.example.net" } else { "EHLO mx.example.net" };
    harness.say(hello);
    harness.out.clear();
    harness
}

pub fn codes(replies: &str) -> Vec<&str> {
    replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect()
}
