//! Text scripts of IMAP sessions: what each client says and what it must, or must not, hear.
//!
//! ```text
//! ; a comment; blank lines are skipped
//! @login 1 2                     connections 1 and 2 open and sign in to the same account
//! @account fred 3 4              connections 3 and 4 sign in to another account, of this name
//! @mail INBOX 3                  three messages appear in INBOX (over a connection of its own)
//! C1: a SELECT INBOX             client 1 sends a line; CRLF is added
//! S1: * 3 EXISTS                 the reply to it has this line, wherever
//! S1>: * OK [UNSEEN 1] <any>     ... and this one after the one above
//! N1: * <any> VANISHED<any>      ... and none like this
//! X1:                            ... and no untagged line that was not named
//! S1: a OK [READ-WRITE] <any>    and ends with this one
//! C2: b APPEND INBOX {<len>}     the length of the L lines below; `{<len>+}` does not wait
//! L2: Subject: hello
//! L2:
//! L2: text
//! C2+:  (\Seen) {<len>+}         the same command goes on after the literal
//! ```
//!
//! A reply that the script does not end itself must end with a tagged OK. Commands run one after
//! the other, whatever their connection, unless several stand in one line with `<crlf>` between.
//! After `IDLE`, and after a line that ends in `{n}`, the reply ends with the continuation.
//!
//! Patterns: `<any>` any bytes, `<num>` digits, `<word>` no space, parenthesis or quote, `<crlf>`,
//! `<xHH>` a byte, `<eof>` (alone) the connection closes. `<$name>` stands for a word: what
//! it matched first it must match again, and in C and L lines it is filled in. `<$user>` and
//! `<$password>` are those of the first account, to which `@login` and `@mail` belong; the password
//! is that of all accounts.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// What a script runs against: a server with one account, to which others can be added.
pub trait Peer {
    /// Opens a connection; it is known by `connection` from now on.
    fn connect(&mut self, connection: usize);
    /// Sends bytes on it.
    fn send(&mut self, connection: usize, bytes: &[u8]);
    /// What has come in since the last call; a live server waits before [`Received::Quiet`].
    fn receive(&mut self, connection: usize) -> Received;
    /// Name and password of the first account, each fit to stand as an atom or a quoted string.
    fn credentials(&self) -> (String, String);
    /// Makes an account of this login name with the password of the first, if there is none yet.
    fn make_account(&mut self, name: &str);
}

/// The answer of [`Peer::receive`].
pub enum Received {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing, and nothing seems to be under way.
    Quiet,
    /// The server has closed the connection.
    Closed,
}

/// Where a script failed and why.
#[derive(Debug)]
pub struct ScriptError {
    /// Name of the script.
    pub script: String,
    /// Line in the script, from 1.
    pub line: usize,
    /// What was expected, and what came.
    pub problem: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.script, self.line, self.problem)
    }
}

/// Runs one script.
///
/// # Errors
/// At the first line that the peer does not live up to.
pub fn run(name: &str, text: &str, peer: &mut dyn Peer) -> Result<(), ScriptError> {
    let (user, password) = peer.credentials();
    let known = [("user".to_owned(), user), ("password".to_owned(), password)];
    let mut runner = Runner {
        peer,
        connections: HashMap::new(),
        names: HashMap::from(known),
        line: 0,
        setup_count: 0,
    };
    let fail = |line, problem| ScriptError { script: name.to_owned(), line, problem };
    let steps = parse(text).map_err(|(line, problem)| fail(line, problem))?;
    for step in &steps {
        runner.step(step).map_err(|problem| fail(runner.line, problem))?;
    }
    runner.finish_all().map_err(|problem| fail(runner.line, problem))
}

/// Runs every `.txt` file of a folder, each against a new peer.
///
/// # Panics
/// If a script fails, with all failures in the message; and if the folder holds no script.
pub fn run_folder<P: Peer>(folder: &Path, mut peer: impl FnMut() -> P) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}: no scripts", folder.display());
    let mut failures = Vec::new();
    for path in &paths {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                failures.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Err(error) = run(&name, &text, &mut peer()) {
            failures.push(error.to_string());
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

/// One thing to do, with the line it begins at.
struct Step {
    line: usize,
    connection: usize,
    action: Action,
}

enum Action {
    Login(Vec<usize>),
    Account {
        name: String,
        connections: Vec<usize>,
    },
    Mail {
        mailbox: String,
        count: usize,
    },
    /// Pieces of one command: text, then the literal that follows it.
    Send(Vec<Piece>),
    Expect(Vec<Expected>),
}

struct Piece {
    text: String,
    /// Lines of the literal; `None` for the last piece.
    literal: Option<Vec<String>>,
}

struct Expected {
    line: usize,
    kind: Kind,
    pattern: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Somewhere in the reply.
    Some,
    /// After the line named before.
    After,
    /// Nowhere in the reply.
    None,
    /// Nothing but what is named.
    Only,
}

type ParseError = (usize, String);

fn parse(text: &str) -> Result<Vec<Step>, ParseError> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        if raw.trim().is_empty() || raw.starts_with(';') {
            continue;
        }
        if let Some(directive) = raw.strip_prefix('@') {
            let action = parse_directive(directive).ok_or((line, format!("directive {raw:?}")))?;
            steps.push(Step { line, connection: 0, action });
            continue;
        }
        let (head, rest) = raw.split_once(':').ok_or((line, format!("no colon in {raw:?}")))?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let digits: String = head.chars().filter(char::is_ascii_digit).collect();
        let connection =
            digits.parse().map_err(|_| (line, format!("no connection in {head:?}")))?;
        let shape: String = head.chars().filter(|c| !c.is_ascii_digit()).collect();
        push_line(
            &mut steps,
            Step { line, connection, action: Action::Send(Vec::new()) },
            &shape,
            rest,
        )
        .map_err(|problem| (line, problem))?;
    }
    Ok(steps)
}

fn parse_directive(text: &str) -> Option<Action> {
    let mut words = text.split_whitespace();
    match words.next()? {
        "login" => Some(Action::Login(words.map(|w| w.parse().ok()).collect::<Option<_>>()?)),
        "account" => Some(Action::Account {
            name: words.next()?.to_owned(),
            connections: words.map(|w| w.parse().ok()).collect::<Option<_>>()?,
        }),
        "mail" => Some(Action::Mail {
            mailbox: words.next()?.to_owned(),
            count: words.next()?.parse().ok()?,
        }),
        _ => None,
    }
}

fn push_line(steps: &mut Vec<Step>, new: Step, shape: &str, rest: &str) -> Result<(), String> {
    let (line, connection) = (new.line, new.connection);
    let last = steps.last_mut().filter(|last| last.connection == connection);
    match shape {
        "C" => {
            let first = Piece { text: rest.to_owned(), literal: None };
            steps.push(Step { line, connection, action: Action::Send(vec![first]) });
        }
        "C+" => match last.map(|last| &mut last.action) {
            Some(Action::Send(pieces)) => {
                pieces.push(Piece { text: rest.to_owned(), literal: None });
            }
            _ => return Err("C+ without a C before it".to_owned()),
        },
        "L" => match last.map(|last| &mut last.action) {
            Some(Action::Send(pieces)) => {
                let piece = pieces.last_mut().ok_or("L without a C before it")?;
                piece.literal.get_or_insert_default().push(rest.to_owned());
            }
            _ => return Err("L without a C before it".to_owned()),
        },
        "S" | "S>" | "N" | "X" => {
            let kind = match shape {
                "S" => Kind::Some,
                "S>" => Kind::After,
                "N" => Kind::None,
                _ => Kind::Only,
            };
            let expected = Expected { line, kind, pattern: rest.to_owned() };
            match last.map(|last| &mut last.action) {
                Some(Action::Expect(all)) => all.push(expected),
                _ => steps.push(Step { line, connection, action: Action::Expect(vec![expected]) }),
            }
        }
        _ => return Err(format!("unknown line {shape:?}")),
    }
    Ok(())
}

#[derive(Default)]
struct Connection {
    /// Bytes not yet a whole line.
    unread: Vec<u8>,
    /// Tags whose replies have not been read, oldest first.
    tags: Vec<String>,
    /// The oldest tag's command waits for the client: IDLE, or a literal.
    continuing: bool,
    /// The oldest tag's reply ends with a continuation for now.
    wants_continuation: bool,
    closed: bool,
}

struct Runner<'a> {
    peer: &'a mut dyn Peer,
    connections: HashMap<usize, Connection>,
    names: HashMap<String, String>,
    line: usize,
    setup_count: usize,
}

impl Runner<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.line = step.line;
        match &step.action {
            Action::Login(connections) => {
                let (user, _) = self.peer.credentials();
                connections.iter().try_for_each(|connection| self.login(*connection, &user))
            }
            Action::Account { name, connections } => {
                self.finish_all()?;
                self.peer.make_account(name);
                connections.iter().try_for_each(|connection| self.login(*connection, name))
            }
            Action::Mail { mailbox, count } => self.mail(mailbox, *count),
            Action::Send(pieces) => {
                self.finish_all()?;
                self.open(step.connection);
                self.send(step.connection, pieces)
            }
            Action::Expect(expected) => {
                self.open(step.connection);
                self.expect(step.connection, expected)
            }
        }
    }

    fn open(&mut self, connection: usize) {
        if !self.connections.contains_key(&connection) {
            self.peer.connect(connection);
            self.connections.insert(connection, Connection::default());
        }
    }

    fn login(&mut self, connection: usize, name: &str) -> Result<(), String> {
        self.open(connection);
        let (_, password) = self.peer.credentials();
        let text = format!("login{connection} LOGIN {name} {password}");
        self.send(connection, &[Piece { text, literal: None }])?;
        self.finish(connection)
    }

    /// Appends messages as any client would, so that it works on every peer.
    fn mail(&mut self, mailbox: &str, count: usize) -> Result<(), String> {
        self.finish_all()?;
        if !self.connections.contains_key(&SETUP) {
            let (user, _) = self.peer.credentials();
            self.login(SETUP, &user)?;
        }
        for _ in 0..count {
            self.setup_count += 1;
            let n = self.setup_count;
            let lines = [
                format!("From: sender{n}@harbour.example"),
                "To: office@harbour.example".to_owned(),
                format!("Subject: message {n}"),
                format!("Message-ID: <{n}@harbour.example>"),
                "Date: Mon, 7 Feb 2022 21:52:25 -0800".to_owned(),
                String::new(),
                format!("This is the text of message {n}."),
            ];
            let text = format!("setup{n} APPEND {mailbox} {{<len>+}}");
            self.send(SETUP, &[Piece { text, literal: Some(lines.to_vec()) }])?;
            self.finish(SETUP)?;
        }
        Ok(())
    }

    fn send(&mut self, connection: usize, pieces: &[Piece]) -> Result<(), String> {
        let state = self.connections.entry(connection).or_default();
        let mut first_text = String::new();
        if let Some(piece) = pieces.first() {
            first_text.clone_from(&piece.text);
        }
        let is_continuation = std::mem::take(&mut state.continuing);
        for line in first_text.split("<crlf>") {
            let mut words = line.split(' ');
            if let (false, Some(tag), Some(_)) = (is_continuation, words.next(), words.next())
                && !tag.is_empty()
            {
                state.tags.push(tag.to_owned());
            }
        }
        let waits = |text: &str| {
            text.trim_end().ends_with('}')
                && !text.trim_end().ends_with("+}")
                && text.rsplit_once('{').is_some_and(|(_, n)| {
                    n.trim_end().trim_end_matches('}').bytes().all(|b| b.is_ascii_digit())
                })
        };
        state.wants_continuation =
            pieces.last().is_some_and(|p| p.literal.is_none() && waits(&p.text))
                || first_text.split(' ').nth(1).is_some_and(|w| w.eq_ignore_ascii_case("IDLE"));
        for (index, piece) in pieces.iter().enumerate() {
            let is_last = index + 1 == pieces.len();
            self.send_piece(connection, piece, is_last)?;
        }
        Ok(())
    }

    fn send_piece(
        &mut self,
        connection: usize,
        piece: &Piece,
        is_last: bool,
    ) -> Result<(), String> {
        let mut bytes = Vec::new();
        let Some(lines) = &piece.literal else {
            self.fill(&piece.text, &mut bytes)?;
            bytes.extend_from_slice(b"\r\n");
            self.peer.send(connection, &bytes);
            return Ok(());
        };
        let mut literal = Vec::new();
        for line in lines {
            self.fill(line, &mut literal)?;
            literal.extend_from_slice(b"\r\n");
        }
        let text = piece.text.replace("<len>", &literal.len().to_string());
        self.fill(&text, &mut bytes)?;
        bytes.extend_from_slice(b"\r\n");
        if text.ends_with("+}") {
            bytes.extend_from_slice(&literal);
        } else {
            self.peer.send(connection, &std::mem::take(&mut bytes));
            let line = self.read_line(connection)?.ok_or("no continuation for a literal")?;
            if !line.starts_with(b"+ ") {
                return Err(format!("expected a continuation, got {}", show(&line)));
            }
            bytes = literal;
        }
        if is_last {
            bytes.extend_from_slice(b"\r\n");
        }
        self.peer.send(connection, &bytes);
        Ok(())
    }

    /// Replaces the names and byte escapes of a text to send.
    fn fill(&self, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
        for token in tokens(text) {
            match token {
                Token::Text(text) => out.extend_from_slice(text.as_bytes()),
                Token::Byte(byte) => out.push(byte),
                Token::Crlf => out.extend_from_slice(b"\r\n"),
                Token::Name(name) => {
                    let value =
                        self.names.get(name).ok_or(format!("<${name}> has no value yet"))?;
                    out.extend_from_slice(value.as_bytes());
                }
                other => return Err(format!("{other:?} in a line to send")),
            }
        }
        Ok(())
    }

    fn finish_all(&mut self) -> Result<(), String> {
        let mut open: Vec<usize> = self.connections.keys().copied().collect();
        open.sort_unstable();
        for connection in open {
            self.finish(connection)?;
        }
        Ok(())
    }

    /// Reads the replies that the script says nothing of: each must be an OK.
    fn finish(&mut self, connection: usize) -> Result<(), String> {
        while self
            .connections
            .get(&connection)
            .is_some_and(|state| !state.tags.is_empty() && !state.continuing)
        {
            self.expect(connection, &[])?;
        }
        Ok(())
    }

    /// Checks replies against consecutive expectations: each tagged line or continuation ends one.
    fn expect(&mut self, connection: usize, expected: &[Expected]) -> Result<(), String> {
        let mut from = 0;
        for (index, one) in expected.iter().enumerate() {
            if one.kind != Kind::None && self.ends_reply(connection, &one.pattern) {
                self.reply(connection, expected.get(from..=index).unwrap_or_default(), true)?;
                from = index + 1;
            }
        }
        let rest = expected.get(from..).unwrap_or_default();
        if from < expected.len() || expected.is_empty() {
            self.reply(connection, rest, false)?;
        }
        Ok(())
    }

    fn ends_reply(&self, connection: usize, pattern: &str) -> bool {
        let tags = self.connections.get(&connection).map(|state| state.tags.as_slice());
        let word = pattern.split(' ').next().unwrap_or_default();
        pattern == "<eof>" || word == "+" || tags.is_some_and(|tags| tags.iter().any(|t| t == word))
    }

    fn reply(
        &mut self,
        connection: usize,
        expected: &[Expected],
        ends_itself: bool,
    ) -> Result<(), String> {
        self.line = expected.last().map_or(self.line, |last| last.line);
        let wants = |pattern: &str| expected.last().is_some_and(|e| e.pattern == pattern);
        if wants("<eof>") {
            return self.expect_end(connection, expected);
        }
        let mut received = Vec::new();
        let waiting =
            self.connections.get(&connection).is_none_or(|s| s.continuing || s.tags.is_empty());
        if waiting && !ends_itself {
            self.read_until_matched(connection, expected, &mut received)?;
        } else {
            self.read_reply(connection, &mut received)?;
        }
        self.check(expected, &received, ends_itself || waiting)
    }

    fn expect_end(&mut self, connection: usize, expected: &[Expected]) -> Result<(), String> {
        let mut received = Vec::new();
        while let Some(line) = self.read_line(connection)? {
            received.push(line);
        }
        let state = self.connections.entry(connection).or_default();
        state.tags.clear();
        if !state.closed {
            return Err(format!("expected the end, got {}", show_all(&received)));
        }
        let before = expected.split_last().map(|(_, before)| before).unwrap_or_default();
        self.check(before, &received, true)
    }

    /// Reads to the tagged line of the oldest command, or its continuation.
    fn read_reply(&mut self, connection: usize, received: &mut Vec<Vec<u8>>) -> Result<(), String> {
        loop {
            let Some(line) = self.read_line(connection)? else {
                return Err(format!("the reply has no end: {}", show_all(received)));
            };
            let state = self.connections.entry(connection).or_default();
            let is_tagged = state.tags.first().is_some_and(|tag| {
                line.strip_prefix(tag.as_bytes()).is_some_and(|rest| rest.starts_with(b" "))
            });
            let is_continuation = line.starts_with(b"+");
            received.push(line);
            if is_tagged {
                state.tags.remove(0);
                state.wants_continuation = false;
                return Ok(());
            }
            if is_continuation {
                state.continuing = true;
                return Ok(());
            }
        }
    }

    /// Outside a command: reads until every expected line has come, or the peer falls silent.
    fn read_until_matched(
        &mut self,
        connection: usize,
        expected: &[Expected],
        received: &mut Vec<Vec<u8>>,
    ) -> Result<(), String> {
        let wanted: Vec<_> =
            expected.iter().filter(|e| matches!(e.kind, Kind::Some | Kind::After)).collect();
        loop {
            let mut names = self.names.clone();
            let all = wanted
                .iter()
                .all(|e| received.iter().any(|line| matches_line(&e.pattern, line, &mut names)));
            if all && !wanted.is_empty() && self.peer_is_drained(connection) {
                return Ok(());
            }
            match self.read_line(connection)? {
                Some(line) => received.push(line),
                None => return Ok(()),
            }
        }
    }

    fn peer_is_drained(&self, connection: usize) -> bool {
        self.connections.get(&connection).is_none_or(|state| state.unread.is_empty())
    }

    fn check(
        &mut self,
        expected: &[Expected],
        received: &[Vec<u8>],
        names_its_end: bool,
    ) -> Result<(), String> {
        let mut used = vec![false; received.len()];
        let mut after = 0;
        let mut only = false;
        for one in expected {
            self.line = one.line;
            match one.kind {
                Kind::Only => only = true,
                Kind::None => {
                    let mut names = self.names.clone();
                    if let Some(line) =
                        received.iter().find(|l| matches_line(&one.pattern, l, &mut names))
                    {
                        return Err(format!("must not come: {}", show(line)));
                    }
                }
                Kind::Some | Kind::After => {
                    let from = if one.kind == Kind::After { after } else { 0 };
                    let at = self.take_match(&one.pattern, received, &mut used, from);
                    after = at.ok_or_else(|| {
                        format!("no line matches {:?} in {}", one.pattern, show_all(received))
                    })? + 1;
                }
            }
        }
        if !names_its_end && let (Some(last), Some(used)) = (received.last(), used.last_mut()) {
            let is_ok = last.split(|&b| b == b' ').nth(1) == Some(b"OK") || last.starts_with(b"+");
            if !is_ok {
                return Err(format!("expected OK, got {}", show_all(received)));
            }
            *used = true;
        }
        if only && let Some(at) = used.iter().position(|used| !used) {
            return Err(format!("not named: {}", show_all(received.get(at..).unwrap_or_default())));
        }
        Ok(())
    }

    fn take_match(
        &mut self,
        pattern: &str,
        received: &[Vec<u8>],
        used: &mut [bool],
        from: usize,
    ) -> Option<usize> {
        for (at, (line, used)) in received.iter().zip(used).enumerate().skip(from) {
            let mut names = self.names.clone();
            if !*used && matches_line(pattern, line, &mut names) {
                self.names = names;
                *used = true;
                return Some(at);
            }
        }
        None
    }

    /// One line with the literals in it, without its CRLF; `None` when nothing more comes.
    fn read_line(&mut self, connection: usize) -> Result<Option<Vec<u8>>, String> {
        loop {
            let state = self.connections.entry(connection).or_default();
            if let Some(end) = line_end(&state.unread) {
                let rest = state.unread.split_off(end);
                let mut line = std::mem::replace(&mut state.unread, rest);
                line.truncate(end.saturating_sub(2));
                return Ok(Some(line));
            }
            match self.peer.receive(connection) {
                Received::Bytes(bytes) => state.unread.extend_from_slice(&bytes),
                Received::Quiet => return Ok(None),
                Received::Closed if state.unread.is_empty() => {
                    state.closed = true;
                    return Ok(None);
                }
                Received::Closed => return Err(format!("cut short: {}", show(&state.unread))),
            }
        }
    }
}

/// Where the first line of `bytes` ends, its CRLF and the literals in it included.
pub fn line_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let end = from + rest.windows(2).position(|pair| pair == b"\r\n")? + 2;
        match literal_length(bytes.get(from..end - 2)?) {
            Some(length) => from = end.checked_add(length)?,
            None => return Some(end),
        }
    }
}

/// The count of a literal that begins at the end of `line`.
fn literal_length(line: &[u8]) -> Option<usize> {
    let digits = line.strip_suffix(b"}")?;
    let open = digits.iter().rposition(|&b| b == b'{')?;
    std::str::from_utf8(digits.get(open + 1..)?).ok()?.parse().ok()
}

#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Text(&'a str),
    Byte(u8),
    Crlf,
    Any,
    Number,
    Word,
    Name(&'a str),
}

/// Cuts a pattern at its `<...>`; what is no placeholder stands for itself.
fn tokens(mut text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut search = 0;
    while let Some(open) = text.get(search..).and_then(|rest| rest.find('<')).map(|at| at + search)
    {
        let Some(close) = text.get(open..).and_then(|r| r.find('>')).map(|at| at + open) else {
            break;
        };
        let inside = text.get(open + 1..close).unwrap_or_default();
        let Some(token) = token(inside) else {
            search = open + 1;
            continue;
        };
        tokens.push(Token::Text(text.get(..open).unwrap_or_default()));
        tokens.push(token);
        text = text.get(close + 1..).unwrap_or_default();
        search = 0;
    }
    tokens.push(Token::Text(text));
    tokens
}

fn token(inside: &str) -> Option<Token<'_>> {
    Some(match inside {
        "any" => Token::Any,
        "num" | "uid" => Token::Number,
        "word" => Token::Word,
        "crlf" => Token::Crlf,
        _ => match inside.as_bytes().first()? {
            b'$' => Token::Name(inside.get(1..)?),
            b'x' if inside.len() == 3 => {
                Token::Byte(u8::from_str_radix(inside.get(1..)?, 16).ok()?)
            }
            _ => return None,
        },
    })
}

fn matches_line(pattern: &str, line: &[u8], names: &mut HashMap<String, String>) -> bool {
    matches_tokens(&tokens(pattern), line, names)
}

fn matches_tokens(tokens: &[Token], line: &[u8], names: &mut HashMap<String, String>) -> bool {
    let Some((token, rest)) = tokens.split_first() else {
        return line.is_empty();
    };
    let literal = |text: &[u8], names: &mut HashMap<String, String>| {
        line.strip_prefix(text).is_some_and(|line| matches_tokens(rest, line, names))
    };
    match *token {
        Token::Text(text) => literal(text.as_bytes(), names),
        Token::Byte(byte) => literal(&[byte], names),
        Token::Crlf => literal(b"\r\n", names),
        Token::Any => {
            (0..=line.len()).any(|n| matches_tokens(rest, line.get(n..).unwrap_or_default(), names))
        }
        Token::Number | Token::Word | Token::Name(_) => {
            if let Token::Name(name) = token
                && let Some(value) = names.get(*name).cloned()
            {
                return literal(value.as_bytes(), names);
            }
            let allowed = |b: &u8| match token {
                Token::Number => b.is_ascii_digit(),
                _ => b.is_ascii_graphic() && !matches!(b, b'(' | b')' | b'"' | b']'),
            };
            let run = line.iter().take_while(|b| allowed(b)).count();
            let (value, after) = line.split_at(run);
            if run == 0 || !matches_tokens(rest, after, names) {
                return false;
            }
            if let Token::Name(name) = token {
                names.insert((*name).to_owned(), String::from_utf8_lossy(value).into_owned());
            }
            true
        }
    }
}

fn show(line: &[u8]) -> String {
    format!("\"{}\"", line.escape_ascii())
}

fn show_all(lines: &[Vec<u8>]) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines.iter().map(|line| format!("\n    {}", show(line))).collect()
}

/// The account whose mailboxes stand below `Shared Folders` in every script, once it is made.
pub const SHARED_ACCOUNT: &str = "support";

/// The connection that makes the mail of `@mail`.
const SETUP: usize = 0;

/// A test for each topic of scripts that every server passes with the settings as they come, by
/// `$run("topic")`: one list, so that no server's tests forget a topic.
#[macro_export]
macro_rules! script_tests {
    ($run:path) => {
        $crate::script_tests! { $run:
            commands_are_refused_in_the_wrong_state_and_change_nothing "state",
            mailboxes_are_created_renamed_listed_and_deleted "mailbox",
            select_and_examine_tell_what_they_must_and_change_what_they_may "select",
            fetch_tells_every_item_and_sets_seen_once "fetch",
            store_changes_exactly_the_flags_named "store",
            expunges_are_withheld_and_told_in_time "expunge",
            search_answers_in_both_forms_and_keeps_its_result "search",
            sort_orders_messages_by_every_key_and_collation "sort",
            threads_are_made_by_references_and_by_subject "thread",
            condstore_tells_modseqs_and_guards_stores "condstore",
            qresync_brings_a_client_up_to_date "qresync",
            append_adds_all_or_nothing "append",
            copy_and_move_are_seen_whole "copy",
            replace_puts_one_message_in_the_place_of_another "replace",
            catenate_puts_messages_together_from_texts_and_urls "catenate",
            urls_give_what_their_owner_authorized_and_nothing_else "urlauth",
            layers_and_logins_come_and_go "connection",
            idle_tells_news_at_once "idle",
            annotations_are_set_read_and_told_to_others "metadata",
            annotations_of_messages_are_kept_found_and_told "annotate",
            limits_are_told_and_kept "quota",
            others_may_do_what_is_granted_and_nothing_more "acl",
            people_are_told_everything_in_their_language "language",
            notify_tells_what_was_asked_for_and_nothing_else "notify",
            the_sessions_of_the_rfcs_go_as_they_are_printed "rfc",
        }
    };
    ($run:path: $($name:ident $topic:literal,)+) => {
        $(#[test]
        fn $name() {
            $run($topic);
        })+
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each line with the replies written for it.
    struct Canned(Vec<(&'static str, &'static str)>, Vec<u8>);

    impl Peer for Canned {
        fn connect(&mut self, _: usize) {
            self.1.extend_from_slice(b"* OK ready\r\n");
        }
        fn send(&mut self, _: usize, bytes: &[u8]) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            for (line, reply) in &self.0 {
                if text.trim_end() == *line {
                    self.1.extend_from_slice(reply.as_bytes());
                }
            }
        }
        fn receive(&mut self, _: usize) -> Received {
            match std::mem::take(&mut self.1) {
                bytes if bytes.is_empty() => Received::Quiet,
                bytes => Received::Bytes(bytes),
            }
        }
        fn credentials(&self) -> (String, String) {
            ("office".to_owned(), "secret".to_owned())
        }
        fn make_account(&mut self, _: &str) {}
    }

    fn verdict(script: &str) -> Result<(), String> {
        let replies = vec![
            ("a NOOP", "* 3 EXISTS\r\n* 1 FETCH (BODY {4}\r\n\r\n\r\n)\r\na OK done\r\n"),
            ("b NOOP", "* 4 EXISTS\r\nb NO sorry\r\n"),
            ("c NOOP", "* 4 EXISTS\r\n* 4 RECENT\r\nc OK [X 17] done\r\n"),
            ("d FETCH 17", "d OK done\r\n"),
        ];
        run("test", script, &mut Canned(replies, Vec::new())).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_found_in_any_order_and_literals_belong_to_their_line() {
        verdict("C1: a NOOP\nS1: * 1 FETCH (BODY {4}<crlf><crlf><crlf>)\nS1: * <num> EXISTS")
            .unwrap();
        verdict("C1: a NOOP\nS1: * 9 EXISTS\nS1: a OK <any>").unwrap_err();
    }

    #[test]
    fn order_absence_and_completeness_can_be_demanded() {
        verdict("C1: c NOOP\nS1: * 4 EXISTS\nS1>: * 4 RECENT\nS1>: c OK <any>").unwrap();
        verdict("C1: c NOOP\nS1: * 4 RECENT\nS1>: * 4 EXISTS\nS1: c OK <any>").unwrap_err();
        verdict("C1: c NOOP\nN1: * <num> RECENT\nS1: c OK <any>").unwrap_err();
        verdict("C1: c NOOP\nN1: * <num> EXPUNGE\nS1: c OK <any>").unwrap();
        verdict("C1: c NOOP\nS1: * 4 EXISTS\nX1:\nS1: c OK <any>").unwrap_err();
    }

    #[test]
    fn a_reply_without_an_expected_end_must_be_ok() {
        let error = verdict("C1: b NOOP\nC1: a NOOP").unwrap_err();
        assert!(error.contains("b NO sorry"), "{error}");
        verdict("C1: b NOOP\nS1: b NO <any>\nC1: a NOOP").unwrap();
    }

    #[test]
    fn connections_sign_in_to_the_account_that_a_directive_names() {
        let replies = vec![
            ("login1 LOGIN office secret", "login1 OK done\r\n"),
            ("login2 LOGIN fred secret", "login2 OK done\r\n"),
        ];
        let mut peer = Canned(replies, Vec::new());
        run("test", "@login 1\n@account fred 2", &mut peer).unwrap();
        run("test", "@account chris 2", &mut peer).unwrap_err();
        run("test", "@account", &mut peer).unwrap_err();
    }

    #[test]
    fn names_keep_what_they_matched() {
        verdict("C1: c NOOP\nS1: c OK [X <$n>] <any>\nC1: d FETCH <$n>").unwrap();
        verdict("C1: d FETCH <$n>").unwrap_err();
        verdict("C1: c NOOP\nS1: * <$n> EXISTS\nS1: c OK [X <$n>] <any>").unwrap_err();
    }
}
