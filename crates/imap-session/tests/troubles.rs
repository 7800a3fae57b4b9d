//! Storage that fails in the middle of any command: the command is answered with NO, and the
//! session goes on.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use imap_session::Trouble;
use testkit::pure::PureServer;
use testkit::script::{Peer, Received};

const COMMANDS: &[&str] = &[
    "NOOP",
    "SELECT INBOX",
    "EXAMINE Sent",
    "CREATE New",
    "DELETE Junk",
    "RENAME Sent Posted",
    "SUBSCRIBE New",
    "UNSUBSCRIBE Sent",
    "LIST \"\" * RETURN (STATUS (MESSAGES HIGHESTMODSEQ))",
    "LSUB \"\" *",
    "STATUS INBOX (MESSAGES)",
    "APPEND INBOX {4+}\r\nabcd",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "UID EXPUNGE 1:*",
    "SEARCH TEXT text BODY text HEADER X-None y",
    "SEARCH RETURN (SAVE) SUBJECT hello",
    "SEARCH RETURN (UPDATE RELEVANCY PARTIAL -1:-2) FUZZY TEXT hallo",
    "ESEARCH IN (personal) RETURN (COUNT) TEXT text",
    "ESEARCH IN (subtree INBOX mailboxes Sent) UNSEEN SUBJECT hello",
    "UID FETCH 1:* (UID ENVELOPE) (PARTIAL 1:2 CHANGEDSINCE 1)",
    "SORT (SUBJECT REVERSE ARRIVAL) UTF-8 TEXT text",
    "UID SORT RETURN (SAVE ALL) (DISPLAYFROM) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 SUBJECT hello",
    "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
    "COMPARATOR i;octet",
    "FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)] BINARY.SIZE[1])",
    "FETCH 1:* BODY[]",
    "STORE 1:* +FLAGS (\\Flagged)",
    "COPY 1 Sent",
    "MOVE 1 Sent",
    "LOGOUT",
];

#[test]
fn a_failing_store_is_a_no_and_the_session_goes_on() {
    let mut failures = 0;
    for command in COMMANDS {
        for met in 0..20 {
            for trouble in [Trouble::Unavailable, Trouble::Corrupt, Trouble::Limit] {
                match attempt(command, met, trouble) {
                    Attempt::Unharmed => break,
                    Attempt::Failed => failures += 1,
                }
            }
        }
    }
    assert!(failures > 100, "only {failures} failures were met");
}

enum Attempt {
    /// The command ended before the failure came.
    Unharmed,
    Failed,
}

fn attempt(command: &str, met: usize, trouble: Trouble) -> Attempt {
    let mut server = server();
    server.fail_after(met, trouble);
    let answer = say(&mut server, command);
    let ended = answer.lines().last().unwrap_or_default().to_owned();
    if server.forget_failure() {
        assert!(ended.starts_with("x OK"), "{command}: {answer}");
        return Attempt::Unharmed;
    }
    assert!(ended.starts_with("x NO") || ended.starts_with("x OK"), "{command}: {answer}");
    if command != "LOGOUT" {
        assert!(say(&mut server, "NOOP").ends_with("x OK Completed\r\n"), "{command} at {met}");
        let select = say(&mut server, "SELECT INBOX");
        assert!(select.contains("x OK [READ-WRITE]"), "{command} at {met}: {select}");
    }
    Attempt::Failed
}

#[test]
fn an_account_that_is_gone_ends_the_session_with_a_bye() {
    let mut server = server();
    server.fail_after(0, Trouble::AccountGone);
    let answer = say(&mut server, "NOOP");
    assert!(answer.starts_with("* BYE "), "{answer}");
    assert!(answer.contains("\r\nx NO "), "{answer}");
    assert!(matches!(server.receive(1), Received::Closed));
}

/// A failed change has changed nothing, and what was told before it is still true.
#[test]
fn a_failed_store_tells_no_flags() {
    let mut server = server();
    server.fail_after(1, Trouble::Unavailable);
    let answer = say(&mut server, "STORE 1 +FLAGS (\\Flagged)");
    assert_eq!(answer.lines().count(), 1, "{answer}");
    assert!(answer.starts_with("x NO [UNAVAILABLE] "), "{answer}");
    let flags = say(&mut server, "FETCH 1 FLAGS");
    assert!(!flags.contains("\\Flagged"), "{flags}");
}

/// "A SEARCH command with the SAVE result option that caused the server to return the NO tagged
/// response sets the value of the search result variable to the empty sequence." RFC 5182 §2.1
#[test]
fn a_failed_search_with_save_leaves_nothing_saved() {
    for command in ["SEARCH RETURN (SAVE) BODY text", "SORT RETURN (SAVE) (SUBJECT) UTF-8 $"] {
        let mut server = server();
        say(&mut server, "SEARCH RETURN (SAVE) ALL");
        server.fail_after(1, Trouble::Unavailable);
        let answer = say(&mut server, command);
        assert!(answer.starts_with("x NO "), "{command}: {answer}");
        let saved = say(&mut server, "SEARCH RETURN (COUNT) $");
        assert!(saved.contains("COUNT 0"), "{command}: {saved}");
    }
}

fn server() -> PureServer {
    let mut server = PureServer::default();
    for _ in 0..3 {
        server.deliver(
            "INBOX",
            b"Subject: hello\r\nContent-Transfer-Encoding: base64\r\n\r\ndGV4dA==\r\n",
        );
    }
    server.connect(1);
    let (user, password) = server.credentials();
    say(&mut server, &format!("LOGIN {user} {password}"));
    say(&mut server, "SELECT INBOX");
    say(&mut server, "STORE 2 +FLAGS (\\Deleted)");
    server
}

fn say(server: &mut PureServer, command: &str) -> String {
    server.send(1, format!("x {command}\r\n").as_bytes());
    match server.receive(1) {
        Received::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        _ => String::new(),
    }
}
