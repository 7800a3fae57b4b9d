//! Messages that are made of others, and URLs of another account's: octets that pass through the
//! server piece by piece.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use common::{Client, Live, USER, settings};
use mail_types::Secret;

const OTHER: &str = "quay@pillarbox.example";

/// A connection of the other user.
async fn other(live: &Live) -> Client {
    if live.service.find_account(OTHER).await.unwrap().is_none() {
        live.service.create_account(OTHER, Secret::new("high-tide")).await.unwrap();
    }
    let mut client = live.connect();
    client.line().await;
    client.run(&format!("l LOGIN {OTHER} high-tide")).await;
    client
}

/// Appends a message, and says how many octets it has.
async fn append(client: &mut Client, text: &str) {
    client.run(&format!("p APPEND INBOX {{{}+}}\r\n{text}", text.len())).await;
}

/// The authorized URL for what `path` names.
async fn authorize(client: &mut Client, path: &str) -> String {
    let rump = format!("imap://{USER}@mail.example/{path}");
    let lines = client.run(&format!("g GENURLAUTH \"{rump}\" INTERNAL")).await;
    let url = lines[0].strip_prefix("* GENURLAUTH \"").unwrap().strip_suffix('"').unwrap();
    assert!(url.starts_with(&rump), "{url}");
    url.to_owned()
}

/// A message of a megabyte whose second part is base64 of octets with NULs among them.
fn large() -> (String, usize) {
    let line = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v";
    let lines = 16_000;
    let body = format!("{line}\r\n").repeat(lines);
    let text = format!(
        "Subject: large\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nshort\r\n--b\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {body}\r\n--b--\r\n"
    );
    (text, lines * 48)
}

#[tokio::test]
async fn a_large_message_of_another_account_is_fetched_by_its_url() {
    let live = Live::new(settings()).await;
    let (mut owner, mut reader) = (live.login().await, other(&live).await);
    let (text, _) = large();
    append(&mut owner, &text).await;
    append(&mut reader, "Subject: own\r\n\r\nmine\r\n").await;
    let url = authorize(&mut owner, &format!("INBOX/;UID=1;URLAUTH=user+{OTHER}")).await;
    // The reader has a message with the same number, which is not told.
    let lines = reader.run(&format!("a URLFETCH \"{url}\"")).await;
    assert_eq!(lines[0], format!("* URLFETCH \"{url}\" {{{}}}", text.len()));
    let got = lines[1..lines.len() - 1].join("\r\n");
    assert_eq!(got, text.trim_end_matches("\r\n").to_owned() + "\r\n");
    let own = reader.run("b SELECT INBOX").await;
    assert!(own.contains(&"* 1 EXISTS".to_owned()), "{own:?}");
    let own = reader.run("c FETCH 1 BODY.PEEK[TEXT]").await;
    assert!(own.contains(&"mine".to_owned()), "{own:?}");
    // It is for the other user and for nobody else, the owner among them.
    let lines = owner.run(&format!("d URLFETCH \"{url}\"")).await;
    assert_eq!(lines[0], format!("* URLFETCH \"{url}\" NIL"));
}

#[tokio::test]
async fn a_large_part_of_another_account_is_decoded_on_its_way() {
    let live = Live::new(settings()).await;
    let (mut owner, mut reader) = (live.login().await, other(&live).await);
    let (text, decoded) = large();
    append(&mut owner, &text).await;
    let url = authorize(&mut owner, "INBOX/;UID=1/;SECTION=2;URLAUTH=authuser").await;
    let lines = reader.run(&format!("a URLFETCH (\"{url}\" BINARY BODYPARTSTRUCTURE)")).await;
    let head = format!(
        "* URLFETCH \"{url}\" (BODYPARTSTRUCTURE (\"application\" \"octet-stream\" NIL NIL NIL \
         \"BINARY\" {decoded})) (BINARY ~{{{decoded}}}"
    );
    assert_eq!(lines[0], head);
    let part = format!("INBOX/;UID=1/;SECTION=2/;PARTIAL={}.5;URLAUTH=authuser", decoded - 3);
    let url = authorize(&mut owner, &part).await;
    let lines = reader.run(&format!("b URLFETCH (\"{url}\" BINARY)")).await;
    assert_eq!(lines[0], format!("* URLFETCH \"{url}\" (BINARY ~{{3}}"));
    assert_eq!(lines[1], "-./)");
}

#[tokio::test]
async fn a_message_is_put_together_from_large_texts_and_stored_parts() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    let (stored, _) = large();
    append(&mut client, &stored).await;
    let head = format!("X-Long: {}\r\n", "x".repeat(900)).repeat(700);
    let tail = "tail\r\n".repeat(100_000);
    let command = format!(
        "a APPEND INBOX CATENATE (TEXT {{{}+}}\r\n{head} URL /INBOX/;UID=1/;SECTION=TEXT \
         TEXT {{{}+}}\r\n{tail} URL /INBOX/;UID=1)",
        head.len(),
        tail.len()
    );
    client.run(&command).await;
    client.run("b SELECT INBOX").await;
    let body = stored.split_once("\r\n\r\n").unwrap().1;
    let expected = format!("{head}{body}{tail}{stored}");
    let lines = client.run("c FETCH 2 (RFC822.SIZE BODY.PEEK[])").await;
    let size = expected.len();
    assert_eq!(lines[0], format!("* 2 FETCH (RFC822.SIZE {size} BODY[] {{{size}}}"));
    let got = lines[1..lines.len() - 1].join("\r\n");
    assert_eq!(got, expected.trim_end_matches("\r\n").to_owned() + "\r\n)");
}

#[tokio::test]
async fn too_much_is_not_put_together() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    let (stored, _) = large();
    append(&mut client, &stored).await;
    let whole = "URL /INBOX/;UID=1 ".repeat(64);
    client.send(format!("a APPEND INBOX CATENATE ({})\r\n", whole.trim_end())).await;
    assert!(client.line().await.starts_with("a NO [TOOBIG]"));
    let half = whole.trim_end().get(..30 * 18 - 1).unwrap();
    let many = format!(" CATENATE ({half})").repeat(9);
    client.send(format!("b APPEND INBOX{many}\r\n")).await;
    assert!(client.line().await.starts_with("b NO [LIMIT]"));
    let lines = client.run("c STATUS INBOX (MESSAGES)").await;
    assert_eq!(lines[0], "* STATUS INBOX (MESSAGES 1)");
}
