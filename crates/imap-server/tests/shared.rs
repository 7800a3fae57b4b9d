//! Mailboxes of other accounts on a real server: octets that pass from one account to another, and
//! accounts that go while somebody looks at them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use common::{Client, Live, PASSWORD, USER, settings};
use mail_types::Secret;

const GUEST: &str = "quay@pillarbox.example";

/// A server with two accounts, where the guest has these rights to the owner's INBOX.
async fn shared(rights: &str) -> (Live, Client, Client) {
    let live = Live::new(settings()).await;
    live.service.create_account(GUEST, Secret::new(PASSWORD)).await.unwrap();
    let (mut owner, guest) = (live.login().await, login(&live, GUEST).await);
    owner.run(&format!("s SETACL INBOX {GUEST} {rights}")).await;
    (live, owner, guest)
}

async fn login(live: &Live, user: &str) -> Client {
    let mut client = live.connect();
    client.line().await;
    client.run(&format!("l LOGIN {user} {PASSWORD}")).await;
    client
}

fn inbox() -> String {
    format!("\"Other Users/{USER}/INBOX\"")
}

/// A message of some megabytes in which every line is another.
fn large() -> String {
    let lines = (0..60_000).map(|n| format!("Line {n} of a long list of berths and keys.\r\n"));
    format!("Subject: large\r\n\r\n{}", lines.collect::<String>())
}

/// The message as it comes, without the lines around it.
async fn fetched(client: &mut Client, number: u32) -> String {
    let lines = client.run(&format!("f FETCH {number} BODY.PEEK[]")).await;
    let begin = lines.iter().position(|line| line.contains(" FETCH (BODY[] {")).unwrap();
    let end = lines.len() - 2;
    lines[begin + 1..end].iter().map(|line| format!("{line}\r\n")).collect()
}

#[tokio::test]
async fn a_large_message_is_appended_to_another_account_and_copied_back_and_forth() {
    let (_live, mut owner, mut guest) = shared("lrswite").await;
    let text = large();
    guest.run(&format!("a APPEND {} {{{}+}}\r\n{text}", inbox(), text.len())).await;
    owner.run("b SELECT INBOX").await;
    assert_eq!(fetched(&mut owner, 1).await, text);
    // A literal that waits, and two messages at once.
    guest.send(format!("c APPEND {} {{{}}}\r\n", inbox(), text.len())).await;
    assert!(guest.line().await.starts_with('+'));
    guest.send(format!("{text} {{5+}}\r\nshort\r\n")).await;
    let lines = guest.until("c").await;
    assert!(lines.last().unwrap().starts_with("c OK [APPENDUID "), "{lines:?}");
    owner.run("d NOOP").await;
    assert_eq!(fetched(&mut owner, 2).await, text);

    guest.run(&format!("e SELECT {}", inbox())).await;
    assert_eq!(fetched(&mut guest, 1).await, text);
    guest.run("f COPY 1:3 INBOX").await;
    guest.run("g MOVE 1:2 INBOX").await;
    guest.run("h SELECT INBOX").await;
    for number in [1, 2, 4, 5] {
        assert_eq!(fetched(&mut guest, number).await, text, "{number}");
    }
    guest.run(&format!("i COPY 5 {}", inbox())).await;
    owner.run("j NOOP").await;
    assert_eq!(fetched(&mut owner, 2).await, text);
}

#[tokio::test]
async fn a_message_put_together_from_own_parts_goes_to_another_account() {
    let (_live, mut owner, mut guest) = shared("lrswite").await;
    let text = large();
    guest.run(&format!("a APPEND INBOX {{{}+}}\r\n{text}", text.len())).await;
    let url = "URL \"/INBOX/;UID=1\"";
    guest
        .run(&format!("b APPEND {} CATENATE ({url} TEXT {{{}+}}\r\n{text})", inbox(), text.len()))
        .await;
    owner.run("c SELECT INBOX").await;
    assert_eq!(fetched(&mut owner, 1).await, format!("{text}{text}"));
    guest.run(&format!("d SELECT {}", inbox())).await;
    guest.run(&format!("e REPLACE 1 {} {{{}+}}\r\n{text}", inbox(), text.len())).await;
    owner.run("f NOOP").await;
    assert_eq!(fetched(&mut owner, 1).await, text);
}

/// What goes out of both accounts in one answer after the other is never mixed up.
#[tokio::test]
async fn answers_from_two_accounts_keep_their_own_octets() {
    let (_live, mut owner, mut guest) = shared("lr").await;
    let (theirs, mine) = ("Subject: x\r\n\r\ntheirs\r\n", "Subject: x\r\n\r\nmine..\r\n");
    owner.run(&format!("a APPEND INBOX {{{}+}}\r\n{theirs}", theirs.len())).await;
    guest.run(&format!("a APPEND INBOX {{{}+}}\r\n{mine}", mine.len())).await;
    for turn in 0..20 {
        let pipeline = format!(
            "b SELECT {other}\r\nc FETCH 1 BODY.PEEK[TEXT]\r\nd SELECT INBOX\r\n\
             e FETCH 1 BODY.PEEK[TEXT]\r\nf SELECT {other}\r\ng FETCH 1 BODY.PEEK[TEXT]\r\n",
            other = inbox()
        );
        guest.send(pipeline).await;
        for (tag, text) in [("c", "theirs"), ("e", "mine.."), ("g", "theirs")] {
            let lines = guest.until(tag).await;
            assert!(lines.iter().any(|line| line == text), "{turn}: {lines:?}");
        }
    }
}

#[tokio::test]
async fn a_guest_whose_host_is_removed_is_let_go_and_goes_on_at_home() {
    let (live, _owner, mut guest) = shared("lrswite").await;
    guest.run(&format!("a SELECT {}", inbox())).await;
    live.service.remove_account(USER).await.unwrap();
    guest.send("b FETCH 1:* FLAGS\r\n").await;
    let said = guest.rest_or("b").await;
    assert!(!said.iter().any(|line| line.starts_with("b OK")), "{said:?}");
    let mut guest = login(&live, GUEST).await;
    guest.send(format!("c SELECT {}\r\n", inbox())).await;
    let said = guest.until("c").await;
    let expected = "c NO [NONEXISTENT] There is no such mailbox";
    assert_eq!(said.last().unwrap(), expected, "{said:?}");
    guest.run("d SELECT INBOX").await;
    // A new account of the same name shares nothing.
    live.service.create_account(USER, Secret::new(PASSWORD)).await.unwrap();
    guest.send(format!("e SELECT {}\r\n", inbox())).await;
    assert_eq!(guest.until("e").await.last().unwrap().replace("e NO", "c NO"), expected);
    let lines = guest.run("f LIST \"\" *").await;
    assert!(!lines.iter().any(|line| line.contains("Other Users")), "{lines:?}");
}

#[tokio::test]
async fn a_new_account_with_the_name_of_a_removed_guest_gets_nothing() {
    let (live, mut owner, _guest) = shared("lrswite").await;
    live.service.remove_account(GUEST).await.unwrap();
    live.service.create_account(GUEST, Secret::new(PASSWORD)).await.unwrap();
    let mut guest = login(&live, GUEST).await;
    guest.send(format!("a SELECT {}\r\n", inbox())).await;
    let said = guest.until("a").await;
    assert_eq!(said.last().unwrap(), "a NO [NONEXISTENT] There is no such mailbox");
    // The entry stands until the owner takes it away or grants anew.
    owner.run(&format!("b SETACL INBOX {GUEST} lr")).await;
    guest.run(&format!("c SELECT {}", inbox())).await;
}

/// What one node grants or takes away counts on another at once.
#[tokio::test]
async fn rights_count_on_every_node() {
    let nodes = Live::nodes(2, settings()).await;
    nodes[0].service.create_account(GUEST, Secret::new(PASSWORD)).await.unwrap();
    let (mut owner, mut guest) = (login(&nodes[0], USER).await, login(&nodes[1], GUEST).await);
    for turn in 0..5 {
        owner.run(&format!("a SETACL INBOX {GUEST} lr")).await;
        guest.run(&format!("b SELECT {}", inbox())).await;
        guest.run("c UNSELECT").await;
        owner.run(&format!("d DELETEACL INBOX {GUEST}")).await;
        guest.send(format!("e SELECT {}\r\n", inbox())).await;
        let said = guest.until("e").await;
        assert!(said.last().unwrap().starts_with("e NO [NONEXISTENT]"), "{turn}: {said:?}");
    }
}
