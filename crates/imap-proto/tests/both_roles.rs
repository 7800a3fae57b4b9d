//! A client and a server of this crate talk to each other, literals and all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use imap_proto::flow::{Outgoing, Sending};
use imap_proto::frame::{Decision, Event, Framer, Limits, Reply};
use imap_proto::parse::{self, LiteralRole};
use imap_proto::serialize::{self, ClientOptions, LiteralSupport};
use imap_proto::types::{
    Append, AppendForm, AppendMessage, AppendPayload, CatPart, Command, CommandBody, FlagList,
    Literal, Login, MailboxArg, NameEncoding, Tag,
};
use mail_types::{Flags, Secret, SystemFlags};

const MESSAGES: [&[u8]; 3] = [b"Subject: a\r\n\r\nhi {5}\r\n", b"", &[b'x'; 5000]];

/// What the server understood, how often it said `+`, and the octets that it streamed.
struct Heard {
    command: Command,
    continuations: usize,
    streamed: Vec<Vec<u8>>,
}

/// Runs one command from the client to the server and back.
fn talk(command: &Command, literals: LiteralSupport) -> Heard {
    let options = ClientOptions { encoding: NameEncoding::ModifiedUtf7, literals };
    let mut client = Sending::new(serialize::command(command, options));
    let mut server = Framer::server(Limits::AUTHENTICATED);
    let mut heard = Heard { command: command.clone(), continuations: 0, streamed: Vec::new() };
    let mut waits = false;
    loop {
        let bytes = match client.next() {
            Outgoing::Bytes(bytes) => bytes,
            Outgoing::Message { index, size } => {
                let message = MESSAGES[index as usize].to_vec();
                assert_eq!(message.len() as u64, size);
                message
            }
            Outgoing::Await => {
                assert!(
                    std::mem::take(&mut waits),
                    "the client waits and the server does not know"
                );
                heard.continuations += 1;
                assert!(client.continued());
                continue;
            }
            Outgoing::Sent => panic!("the server did not see the end"),
        };
        if listen(&mut server, &bytes, &mut heard, &mut waits) {
            assert_eq!(client.next(), Outgoing::Sent);
            return heard;
        }
    }
}

/// Gives bytes to the server; `true` once the command is whole.
fn listen(server: &mut Framer, bytes: &[u8], heard: &mut Heard, waits: &mut bool) -> bool {
    let mut rest = bytes;
    loop {
        let step = server.push(rest);
        rest = &rest[step.consumed..];
        match step.event {
            Event::NeedMore => return false,
            Event::Literal(_) => {
                let decision = match parse::literal_role(server.frame()) {
                    LiteralRole::Message(_) => {
                        heard.streamed.push(Vec::new());
                        Decision::Stream
                    }
                    LiteralRole::Argument => Decision::Keep,
                };
                *waits = server.decide(decision) == Reply::Continue;
            }
            Event::Chunk(octets) => heard.streamed.last_mut().unwrap().extend_from_slice(octets),
            Event::LiteralEnd { .. } => {}
            Event::Complete => {
                heard.command = parse::command(server.frame()).unwrap();
                return true;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn append() -> Command {
    let message = |(index, octets): (usize, &&[u8])| AppendMessage {
        flags: FlagList::from(Flags::system(SystemFlags::SEEN)),
        date: None,
        annotations: Vec::new(),
        data: AppendPayload::Literal {
            form: AppendForm::Plain,
            data: Literal::Streamed { index: index as u32, size: octets.len() as u64 },
        },
    };
    let messages = MESSAGES.iter().enumerate().map(message).collect();
    let body = CommandBody::Append(Append { mailbox: MailboxArg::from_wire("Sent"), messages });
    Command { tag: Tag::new("a1").unwrap(), body }
}

#[test]
fn messages_are_streamed_through_and_come_out_as_they_went_in() {
    for (literals, continuations) in
        [(LiteralSupport::Ask, 3), (LiteralSupport::Minus, 1), (LiteralSupport::Plus, 0)]
    {
        let command = append();
        let heard = talk(&command, literals);
        assert_eq!(heard.command, command, "{literals:?}");
        assert_eq!(heard.streamed, MESSAGES, "{literals:?}");
        assert_eq!(heard.continuations, continuations, "{literals:?}");
    }
}

#[test]
fn texts_of_a_catenated_message_are_streamed_and_its_urls_are_kept() {
    let text = |index: u32| CatPart::Text {
        form: AppendForm::Plain,
        data: Literal::Streamed { index, size: MESSAGES[index as usize].len() as u64 },
    };
    let url = || CatPart::Url(b"/Drafts/;UID=20/;SECTION=HEADER.FIELDS%20(TO)".to_vec());
    let message = |parts| AppendMessage {
        flags: FlagList::default(),
        date: None,
        annotations: Vec::new(),
        data: AppendPayload::Catenate(parts),
    };
    let messages = vec![message(vec![text(0)]), message(vec![url(), text(1), url(), text(2)])];
    let body = CommandBody::Append(Append { mailbox: MailboxArg::from_wire("Sent"), messages });
    let command = Command { tag: Tag::new("a1").unwrap(), body };
    for literals in [LiteralSupport::Ask, LiteralSupport::Plus] {
        let heard = talk(&command, literals);
        assert_eq!(heard.command, command, "{literals:?}");
        assert_eq!(heard.streamed, MESSAGES, "{literals:?}");
    }
}

#[test]
fn arguments_that_need_a_literal_arrive_whatever_the_server_supports() {
    let login = Login { user: b"j\r\no\xffe".to_vec(), password: Secret::new("p\"\\w\n") };
    let command = Command { tag: Tag::new("a1").unwrap(), body: CommandBody::Login(login) };
    for (literals, continuations) in
        [(LiteralSupport::Ask, 2), (LiteralSupport::Minus, 0), (LiteralSupport::Plus, 0)]
    {
        let heard = talk(&command, literals);
        assert_eq!(heard.command, command);
        assert_eq!(heard.continuations, continuations);
    }
}
