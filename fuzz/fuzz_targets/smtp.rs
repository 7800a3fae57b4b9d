//! Anybody says anything at all to a session of SMTP, submission or LMTP, and a relay anything to
//! our client: neither panics, every reply is one, a message of a stranger has no bare line end,
//! and of each recipient something is known.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp_session::{
    Addressee, AuthAnswer, Burl, Client, ClientStep, ClientTls, Dsn, Errand, Event, Fate,
    FutureRelease, LineEnds, Offer, Reply, RequireTls, Response, Role, Session, StartTls,
};

fuzz_target!(|bytes: &[u8]| {
    // The first octet says who speaks, and in pieces of what length.
    let Some((first, said)) = bytes.split_first() else { return };
    let pieces = said.chunks(usize::from(first / 4) + 1);
    match first % 4 {
        0 => serve(Role::Lmtp, pieces),
        1 => serve(Role::Mx, pieces),
        2 => serve(Role::Submission, pieces),
        _ => send(pieces, usize::from(first / 4)),
    }
});

fn serve<'a>(role: Role, pieces: impl Iterator<Item = &'a [u8]>) {
    let offer = Offer {
        role,
        hostname: "mail.harbour.example".to_owned(),
        message_bytes_max: 1000,
        starttls: StartTls::Offered,
        mechanisms: vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
        dsn: Dsn::Offered,
        future_release: Some(FutureRelease { secs_max: 86_400 }),
        burl: if role == Role::Submission { Burl::Offered } else { Burl::Absent },
        require_tls: RequireTls::Offered,
    };
    let mut session = Session::new(offer);
    session.now_secs = 1_795_888_800;
    let (mut input, mut taken) = (Vec::new(), Taken::default());
    for piece in pieces {
        input.extend_from_slice(piece);
        let goes_on = turn(&mut session, role, &mut input, &mut taken);
        check_replies(&std::mem::take(&mut session.replies));
        if !goes_on {
            return;
        }
    }
}

/// What has come of a message.
#[derive(Default)]
struct Taken {
    text: Vec<u8>,
    /// What the URL names that is being fetched.
    named: Vec<u8>,
}

/// Answers until more input is needed; `false` at the end.
fn turn(session: &mut Session, role: Role, input: &mut Vec<u8>, taken: &mut Taken) -> bool {
    let Taken { text, named } = taken;
    loop {
        match session.advance(input) {
            Event::NeedInput => return true,
            Event::Close | Event::StartTls => return false,
            Event::Auth(_) if input.len() % 3 == 0 => {
                session.answer_auth(AuthAnswer::Challenge(b"who?".to_vec()));
            }
            Event::Auth(_) => session.answer_auth(AuthAnswer::Done { data: None }),
            Event::Sender(_) => session.answer_sender(OK),
            Event::Recipient(to) if to.starts_with('n') => session.answer_recipient(NOBODY),
            Event::Recipient(_) => session.answer_recipient(OK),
            Event::Data => session.answer_data(Ok(())),
            Event::Text(piece) => text.extend_from_slice(&piece),
            // A URL names as much as it has octets, itself among them, or nothing at all.
            Event::Url(url) if url.ends_with('n') => session.answer_url(Err(NOBODY)),
            Event::Url(url) => {
                *named = url.into_bytes();
                named.extend_from_slice(if named.len() % 5 == 0 { b"\n" } else { b"\r\n" });
                session.answer_url(Ok(()));
            }
            Event::UrlText => session.answer_url_text(Ok(std::mem::take(named))),
            Event::Abandon => text.clear(),
            Event::End => {
                assert!(text.len() <= 1000, "more was taken than is offered");
                let mut ends = LineEnds::default();
                ends.push(text);
                assert!(role == Role::Lmtp || !ends.has_bare(), "a bare line end was taken");
                text.clear();
                let recipients = session.transaction().map_or(0, |it| it.recipients.len());
                let count = if role == Role::Lmtp { recipients } else { 1 };
                session.answer_message(&vec![OK; count]);
            }
        }
    }
}

fn check_replies(replies: &[u8]) {
    for line in replies.split_inclusive(|byte| *byte == b'\n') {
        let has_code = line.iter().take(3).filter(|byte| byte.is_ascii_digit()).count() == 3;
        assert!(has_code && line.ends_with(b"\r\n"), "{:?}", String::from_utf8_lossy(line));
    }
}

/// Says one message, and over the same connection more if it rests.
fn send<'a>(pieces: impl Iterator<Item = &'a [u8]>, choice: usize) {
    let mut client = Client::new(errand(choice));
    let mut was_sent = false;
    for piece in pieces {
        let mut step = client.push(piece);
        if step == ClientStep::Rest {
            let Some(standing) = client.standing() else { panic!("it rests and does not stand") };
            check_fates(client, was_sent);
            (client, step) = Client::resume(errand(choice), standing);
            was_sent = false;
        }
        match step {
            ClientStep::Read | ClientStep::Rest => {}
            ClientStep::StartTls => client.tls_started(),
            ClientStep::Text => {
                was_sent = true;
                client.text_sent();
            }
            ClientStep::Close => break,
        }
    }
    check_fates(client, was_sent);
}

fn errand(choice: usize) -> Errand {
    let addressee = |address: &str| Addressee { address: address.to_owned(), dsn: String::new() };
    Errand {
        name: "mail.harbour.example".to_owned(),
        tls: ClientTls::Opportunistic,
        credentials: None,
        sender: "office@harbour.example".to_owned(),
        recipients: vec![addressee("pilot@sea.example"), addressee("crew@sea.example")],
        size: 100,
        has_8bit: false,
        smtputf8: false,
        require_tls: choice % 4 == 3,
        dsn: String::new(),
    }
}

fn check_fates(client: Client, was_sent: bool) {
    let fates = client.into_fates(&Response::local(421, [4, 4, 2], "gone"));
    assert_eq!(fates.len(), 2);
    let is_taken = fates.iter().any(|fate| matches!(fate, Fate::Taken(_)));
    assert!(was_sent || !is_taken, "taken before it was sent");
}

const OK: Reply = Reply::new(250, "2.0.0", "OK");
const NOBODY: Reply = Reply::new(550, "5.1.1", "Nobody");
