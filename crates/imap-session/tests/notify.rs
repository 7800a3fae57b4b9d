//! What becomes of NOTIFY when there is too much to tell. RFC 5465 §5.8

use testkit::pure::PureServer;
use testkit::script::{Peer, Received};

struct Sessions(PureServer);

impl Sessions {
    fn new() -> Self {
        let mut server = PureServer::default();
        let (user, password) = server.credentials();
        for connection in [1, 2] {
            server.connect(connection);
            let line = format!("a LOGIN {user} {password}\r\n");
            server.send(connection, line.as_bytes());
            while let Received::Bytes(_) = server.receive(connection) {}
        }
        Self(server)
    }

    fn say(&mut self, connection: usize, text: &str) -> String {
        self.0.send(connection, text.as_bytes());
        self.hear(connection)
    }

    fn hear(&mut self, connection: usize) -> String {
        let mut bytes = Vec::new();
        while let Received::Bytes(more) = self.0.receive(connection) {
            bytes.extend_from_slice(&more);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn fill(&mut self, mailbox: &str, count: usize) {
        for _ in 0..count {
            self.0.deliver(mailbox, b"Subject: x\r\n\r\n");
        }
    }
}

const OVERFLOW: &str = "* OK [NOTIFICATIONOVERFLOW] ";

#[test]
fn a_flood_of_new_messages_is_not_told_one_by_one() {
    let mut sessions = Sessions::new();
    sessions.fill("Archive", 1001);
    let set = "NOTIFY SET (selected (MessageNew (UID) MessageExpunge))\r\n";
    sessions.say(1, &format!("b SELECT INBOX\r\nc {set}"));
    sessions.say(2, "b SELECT Archive\r\nc COPY 1:1000 INBOX\r\n");
    let told = sessions.hear(1);
    assert_eq!(told.matches("FETCH (UID ").count(), 1000);
    assert!(!told.contains(OVERFLOW), "{told}");
    sessions.say(2, "d COPY 1:1001 INBOX\r\n");
    let told = sessions.hear(1);
    assert!(told.contains("* 2001 EXISTS\r\n") && told.contains(OVERFLOW), "{told}");
    assert!(!told.contains("FETCH"), "{told}");
    // From here on it is as after NOTIFY NONE, until the client asks again.
    sessions.fill("INBOX", 1);
    assert_eq!(sessions.hear(1), "");
    let told = sessions.say(1, &format!("d {set}"));
    assert!(told.contains("* 2002 EXISTS\r\n"), "{told}");
}

#[test]
fn a_flood_of_names_is_not_told_one_by_one() {
    let mut sessions = Sessions::new();
    sessions.say(1, "b NOTIFY SET (personal (MailboxName))\r\n");
    let create = |sessions: &mut Sessions, from: usize, count: usize| {
        // Within a command nothing is told, so the names gather.
        sessions.say(1, "c NO");
        for n in from..from + count {
            sessions.say(2, &format!("b CREATE box{n}\r\n"));
        }
        assert_eq!(sessions.hear(1), "");
        sessions.say(1, "OP\r\n")
    };
    let told = create(&mut sessions, 0, 200);
    assert_eq!(told.matches("* LIST ").count(), 200);
    let told = create(&mut sessions, 200, 201);
    assert!(told.starts_with(OVERFLOW) && told.ends_with("c OK Completed\r\n"), "{told}");
    assert_eq!(told.matches("* LIST ").count(), 0);
    assert_eq!(create(&mut sessions, 500, 1), "c OK Completed\r\n");
}

#[test]
fn what_arrives_within_a_command_is_told_at_its_end() {
    let mut sessions = Sessions::new();
    sessions.say(1, "b SELECT INBOX\r\n");
    sessions.say(1, "c NOTIFY SET (selected (MessageNew (UID RFC822.SIZE) MessageExpunge))\r\n");
    sessions.say(1, "d NO");
    sessions.fill("INBOX", 2);
    assert_eq!(sessions.hear(1), "");
    let told = sessions.say(1, "OP\r\n");
    let expected = "* 2 EXISTS\r\n* 2 RECENT\r\n* 1 FETCH (UID 1 RFC822.SIZE 14)\r\n\
                    * 2 FETCH (UID 2 RFC822.SIZE 14)\r\nd OK Completed\r\n";
    assert_eq!(told, expected);
}

#[test]
fn what_others_do_is_told_after_a_command_that_changes_nothing() {
    let mut sessions = Sessions::new();
    sessions.say(1, "b SUBSCRIBE INBOX\r\n");
    sessions.say(1, "c NOTIFY SET (personal (MailboxName SubscriptionChange))\r\n");
    sessions.say(1, "d SUBSCRIBE IN");
    sessions.say(2, "b CREATE Box\r\n");
    let told = sessions.say(1, "BOX\r\n");
    assert!(told.starts_with("* LIST (") && told.contains("\"/\" Box\r\nd OK "), "{told}");
}
