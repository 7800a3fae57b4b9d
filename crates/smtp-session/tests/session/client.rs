//! The client against readers who see more ends than there are, and servers that say anything.

use smtp_session::{
    Addressee, Client, ClientStep, ClientTls, Content, Errand, Fate, Response, Stuffing,
};

use crate::model::Dice;

fn errand(recipients: usize) -> Errand {
    let addressee =
        |n: usize| Addressee { address: format!("r{n}@example.net"), dsn: String::new() };
    Errand {
        name: "mail.example.org".to_owned(),
        tls: ClientTls::Opportunistic,
        credentials: None,
        sender: "dock@example.org".to_owned(),
        recipients: (0..recipients).map(addressee).collect(),
        size: 100,
        has_8bit: false,
        smtputf8: false,
        require_tls: false,
        dsn: String::new(),
    }
}

/// The text with CRLF at the end of each line, whatever was there.
fn lines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if(|next| **next == b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            byte => out.push(*byte),
        }
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A reader for whom CR, LF and CRLF all end a line: the text, and what is left behind it.
fn lenient(wire: &[u8]) -> (Vec<u8>, &[u8]) {
    let (mut text, mut rest) = (Vec::new(), wire);
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).expect("no end");
        let line = &rest[..end];
        let length = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + length..];
        if line == b"." {
            return (text, rest);
        }
        text.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        text.extend_from_slice(b"\r\n");
    }
}

#[test]
fn s006_any_text_is_one_message_to_a_strict_and_to_a_lenient_reader() {
    const PIECES: [&[u8]; 14] = [
        b"\r",
        b"\n",
        b"\r\n",
        b".",
        b"..",
        b"a",
        b"\0",
        b"\xff",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\r.\r",
        b"\r\n.\n",
        b"\n.\r\n",
        b"MAIL FROM:<evil@example.org>",
    ];
    for seed in 0..20_000 {
        let mut dice = Dice(seed);
        let (mut wire, mut text, mut stuffing) = (Vec::new(), Vec::new(), Stuffing::default());
        for _ in 0..dice.below(6) {
            let mut piece = Vec::new();
            for _ in 0..dice.below(8) {
                piece.extend_from_slice(PIECES[dice.below(14) as usize]);
            }
            text.extend_from_slice(&piece);
            stuffing.push(&piece, &mut wire);
        }
        stuffing.end(&mut wire);
        let expected = lines(&text);
        let (read, rest) = lenient(&wire);
        assert!(read == expected && rest.is_empty(), "seed {seed}: {:?}", text.escape_ascii());
        let (mut content, mut read) = (Content::default(), Vec::new());
        let count = content.push(&wire, &mut read);
        assert!(content.has_ended() && count == wire.len(), "seed {seed}");
        assert!(!content.has_bare(), "seed {seed}");
        assert!(read == expected, "seed {seed}: {:?}", text.escape_ascii());
    }
}

/// What hostile and broken servers say.
fn babble(dice: &mut Dice, out: &mut Vec<u8>) {
    const CODES: [&str; 9] = ["220", "250", "354", "421", "450", "550", "554", "999", "2x0"];
    match dice.below(12) {
        0 => out.extend_from_slice(b"\r\n"),
        1 => out.extend((0..dice.below(40)).map(|_| dice.below(256) as u8)),
        2 => out.extend_from_slice(&vec![b'2'; dice.below(9000) as usize]),
        3 => {
            let code = CODES[dice.below(9) as usize];
            for _ in 0..dice.below(200) {
                out.extend_from_slice(format!("{code}-more\r\n").as_bytes());
            }
            out.extend_from_slice(format!("{code} last\r\n").as_bytes());
        }
        4 => out.extend_from_slice(b"250-a\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 SIZE 1\r\n"),
        5 => out.extend_from_slice(b"250-a\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
        6 => out.extend_from_slice(b"250-a\r\n550 b\r\n"),
        _ => {
            let code = CODES[dice.below(9) as usize];
            out.extend_from_slice(format!("{code} x\r\n").as_bytes());
        }
    }
}

/// How many random servers there are: few each time, a million by hand in a release build.
fn servers() -> u64 {
    std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20_000)
}

#[test]
fn s100_no_server_makes_the_client_say_much_or_believe_what_was_not_done() {
    for seed in 0..servers() {
        let mut dice = Dice(seed);
        let recipients = 1 + dice.below(4) as usize;
        let mut client = Client::new(errand(recipients));
        let (mut said, mut is_sent, mut is_over) = (0, false, false);
        for _ in 0..dice.below(24) {
            let mut bytes = Vec::new();
            babble(&mut dice, &mut bytes);
            let step = client.push(&bytes);
            said += client.take_output().len();
            if is_over {
                assert_ne!(step, ClientStep::Text, "seed {seed}: after its end");
                assert_eq!(client.take_output(), b"", "seed {seed}");
            }
            match step {
                ClientStep::StartTls => client.tls_started(),
                ClientStep::Text => {
                    assert!(!is_sent, "seed {seed}: the text is sent twice");
                    is_sent = true;
                    client.text_sent();
                }
                ClientStep::Close | ClientStep::Rest => is_over = true,
                ClientStep::Read => {}
            }
        }
        assert!(said < 4096, "seed {seed}: {said} octets");
        let lost = Response::local(421, [4, 4, 2], "lost");
        let fates = client.into_fates(&lost);
        assert_eq!(fates.len(), recipients, "seed {seed}");
        let is_believed = fates.iter().any(|fate| matches!(fate, Fate::Taken(_)));
        assert!(is_sent || !is_believed, "seed {seed}: nobody was sent anything");
    }
}
