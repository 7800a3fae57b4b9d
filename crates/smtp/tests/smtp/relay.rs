//! From submission through the queue to a relay: each accepted recipient is reached, waits, or is
//! told back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_types::Secret;
use smtp::{Relay, RelayLogin, RelayTls, Relays, Routes};

use crate::sink::{Manners, Sink};
use crate::site::Site;

async fn site(relays: Vec<Relay>) -> Site {
    Site::new(Routes::from(Relays::new(relays).unwrap())).await
}

fn relay(sink: &Sink, tls: RelayTls) -> Relay {
    Relay {
        domains: vec!["*".to_owned()],
        host: "localhost".to_owned(),
        port: sink.port,
        tls,
        login: None,
        authorities: None,
    }
}

fn verified(sink: &Sink, tls: RelayTls) -> Relay {
    Relay { authorities: Some(sink.certificate.clone()), ..relay(sink, tls) }
}

const THREE: [&str; 3] = ["<a@far.example>", "<b@far.example>", "<c@far.example>"];

#[tokio::test]
async fn each_recipient_is_reached_or_waits_or_is_told_back_wherever_the_relay_breaks() {
    for offers in [vec![], vec!["PIPELINING"]] {
        for at in ["greeting", "EHLO", "MAIL", "RCPT TO:<b", "DATA", "text", ".", "QUIT"] {
            let sink = Sink::new(Manners {
                offers: offers.clone(),
                breaks_at: Some(at),
                breaks: 1,
                replies: vec![
                    ("RCPT TO:<b@", "550 5.1.1 no such user"),
                    ("RCPT TO:<c@", "452 4.2.2 full"),
                ],
                ..Manners::default()
            })
            .await;
            let site = site(vec![relay(&sink, RelayTls::None)]).await;
            site.hand_in(&THREE, "body\r\n").await;
            site.runner.run_due().await.unwrap();
            let case = format!("{at} with {offers:?}");
            let waiting = site.waiting().await;
            let who: Vec<&str> = waiting.iter().map(|(to, _)| to.as_str()).collect();
            assert!(at == "QUIT" || who.contains(&"a@far.example"), "{case}: {waiting:?}");
            assert!(who.contains(&"c@far.example"), "{case}: {waiting:?}");
            site.retry().await;
            site.retry().await;
            let count = sink.taken().len();
            // Only what was taken and not answered is sent once more. RFC 1047
            assert_eq!(count, if at == "." { 2 } else { 1 }, "{case}");
            for taken in sink.taken() {
                assert_eq!(taken.to, ["RCPT TO:<a@far.example>"], "{case}");
                assert!(taken.text.ends_with("\r\n\r\nbody\r\n"), "{case}: {}", taken.text);
            }
            let left = ("c@far.example".to_owned(), "452 4.2.2 full".to_owned());
            assert_eq!(site.waiting().await, [left], "{case}");
            let notices = site.notices().await;
            assert_eq!(notices.len(), 1, "{case}");
            assert!(notices[0].contains("Final-Recipient: rfc822; b@far.example"), "{case}");
            assert!(notices[0].contains("550 5.1.1 no such user"), "{case}: {}", notices[0]);
        }
    }
}

#[tokio::test]
async fn who_writes_in_the_name_of_an_alias_is_told_too() {
    let replies = vec![("RCPT", "550 5.1.1 no such user")];
    let sink = Sink::new(Manners { replies, ..Manners::default() }).await;
    let site = site(vec![relay(&sink, RelayTls::None)]).await;
    let desk = "desk@pillarbox.example";
    site.harness.service.set_alias(desk, &["home@pillarbox.example".to_owned()]).await.unwrap();
    let mut client = site.client().await;
    for command in [&format!("MAIL FROM:<{desk}>"), "RCPT TO:<a@far.example>", "DATA"] {
        let reply = client.say(command).await;
        assert!(reply.starts_with("250") || reply.starts_with("354"), "{reply}");
    }
    client.send(&format!("From: {desk}\r\n\r\nbody\r\n.\r\n")).await;
    assert_eq!(client.reply().await, "250 2.0.0 Accepted");
    site.runner.run_due().await.unwrap();
    let notices = site.notices().await;
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("Delivered-To: desk@pillarbox.example\r\n"), "{}", notices[0]);
    assert!(site.waiting().await.is_empty());
}

#[tokio::test]
async fn a_refused_text_goes_back_and_a_deferred_one_waits() {
    for (reply, notices, waits) in [("554 5.6.0 spam", 1, 0), ("451 4.3.0 later", 0, 3)] {
        let replies = vec![(".", reply)];
        let sink = Sink::new(Manners { replies, ..Manners::default() }).await;
        let site = site(vec![relay(&sink, RelayTls::None)]).await;
        site.hand_in(&THREE, "body\r\n").await;
        site.runner.run_due().await.unwrap();
        assert_eq!(site.notices().await.len(), notices, "{reply}");
        assert_eq!(site.waiting().await.len(), waits, "{reply}");
        assert!(sink.taken().is_empty());
    }
}

#[tokio::test]
async fn a_relay_that_is_not_there_lets_the_mail_wait() {
    let sink = Sink::new(Manners::default()).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let site = site(vec![Relay { port, ..relay(&sink, RelayTls::None) }]).await;
    site.hand_in(&["<a@far.example>"], "body\r\n").await;
    site.runner.run_due().await.unwrap();
    let waiting = site.waiting().await;
    assert!(waiting[0].1.starts_with("connection to localhost: "), "{waiting:?}");
}

/// RFC 5321 §4.5.3.2
#[tokio::test(start_paused = true)]
async fn a_relay_that_falls_silent_has_its_time_and_then_the_mail_waits() {
    for (at, minutes) in
        [("greeting", 5), ("EHLO", 5), ("MAIL", 5), ("RCPT", 5), ("DATA", 2), (".", 10)]
    {
        let sink = Sink::new(Manners { silent_at: Some(at), ..Manners::default() }).await;
        let site = site(vec![relay(&sink, RelayTls::None)]).await;
        site.hand_in(&["<a@far.example>"], "body\r\n").await;
        let begun = tokio::time::Instant::now();
        site.runner.run_due().await.unwrap();
        assert_eq!(begun.elapsed().as_secs() / 60, minutes, "{at}");
        let waiting = site.waiting().await;
        assert!(waiting[0].1.contains("takes too long"), "{at}: {waiting:?}");
    }
}

#[tokio::test]
async fn tls_that_is_required_is_verified_and_carries_the_password() {
    let offers = vec!["STARTTLS", "AUTH PLAIN LOGIN"];
    for (tls, is_implicit) in [(RelayTls::Required, false), (RelayTls::Implicit, true)] {
        let manners = Manners { offers: offers.clone(), is_implicit, ..Manners::default() };
        let sink = Sink::new(manners.clone()).await;
        // Its certificate is for another name.
        let address = Some("127.0.0.2");
        let misnamed = Sink::new(Manners { address, ..manners }).await;
        let login = RelayLogin { user: "dock".to_owned(), password: Secret::new("tide") };
        let good = Relay { login: Some(login), ..verified(&sink, tls) };
        let authorities = Some(misnamed.certificate.clone());
        let strange = Relay { authorities: authorities.clone(), ..good.clone() };
        let (host, port) = ("127.0.0.2".to_owned(), misnamed.port);
        let renamed = Relay { host, port, authorities, ..good.clone() };
        for wrong in [strange, renamed] {
            let site = site(vec![wrong]).await;
            site.hand_in(&["<a@far.example>"], "body\r\n").await;
            site.runner.run_due().await.unwrap();
            assert!(sink.taken().is_empty() && misnamed.taken().is_empty());
            let waiting = site.waiting().await;
            assert!(waiting[0].1.contains("invalid peer certificate"), "{waiting:?}");
        }
        let site = site(vec![good]).await;
        site.hand_in(&["<a@far.example>"], "body\r\n").await;
        site.runner.run_due().await.unwrap();
        let taken = sink.taken();
        assert_eq!(taken.len(), 1, "{:?}", site.waiting().await);
        assert!(taken[0].is_tls);
        assert_eq!(taken[0].login, format!("AUTH PLAIN {}", STANDARD.encode("\0dock\0tide")));
    }
}

#[tokio::test]
async fn without_starttls_only_opportunistic_mail_leaves() {
    for (tls, offers, expected) in [
        (RelayTls::Required, vec![], None),
        (RelayTls::Opportunistic, vec![], Some(false)),
        (RelayTls::Opportunistic, vec!["STARTTLS"], Some(true)),
    ] {
        let sink = Sink::new(Manners { offers, ..Manners::default() }).await;
        let site = site(vec![relay(&sink, tls)]).await;
        site.hand_in(&["<a@far.example>"], "body\r\n").await;
        site.runner.run_due().await.unwrap();
        assert_eq!(sink.taken().first().map(|taken| taken.is_tls), expected, "{tls:?}");
        assert_eq!(site.waiting().await.len(), usize::from(expected.is_none()));
    }
}

#[tokio::test]
async fn a_long_message_with_dots_arrives_as_it_was() {
    let sink = Sink::new(Manners::default()).await;
    let site = site(vec![relay(&sink, RelayTls::None)]).await;
    // Over several pieces of what is read at a time.
    let body = "..\r\n..dot\r\nplain\r\n".repeat(20_000);
    site.hand_in(&["<a@far.example>"], &body).await;
    site.runner.run_due().await.unwrap();
    let taken = sink.taken();
    let (_, text) = taken[0].text.split_once("\r\n\r\n").unwrap();
    assert!(text == body, "the text has changed");
}

#[tokio::test]
async fn mail_for_the_people_here_goes_to_their_mailboxes_and_the_rest_to_the_relay() {
    let sink = Sink::new(Manners::default()).await;
    let relay = Relay { domains: vec!["far.example".into()], ..relay(&sink, RelayTls::None) };
    let site = site(vec![relay]).await;
    let mut client = site.client().await;
    client.say("MAIL FROM:<home@pillarbox.example>").await;
    let refused = client.say("RCPT TO:<a@other.example>").await;
    assert_eq!(refused, "550 5.7.1 This server has no way to the domain of the recipient");
    let refused = client.say("RCPT TO:<nobody@pillarbox.example>").await;
    assert!(refused.starts_with("550 5.1.1"), "{refused}");
    site.hand_in(&["<work@pillarbox.example>", "<a@far.example>"], "body\r\n").await;
    site.runner.run_due().await.unwrap();
    let kept = site.harness.messages("work", "INBOX").await;
    assert_eq!(kept.len(), 1);
    let first = "Return-Path: <home@pillarbox.example>\r\nDelivered-To: work@pillarbox.example\r\n";
    assert!(kept[0].starts_with(first), "{}", kept[0]);
    assert_eq!(sink.taken()[0].to, ["RCPT TO:<a@far.example>"]);
    assert!(!sink.taken()[0].text.contains("Return-Path"));
    assert!(site.waiting().await.is_empty());
}

#[tokio::test]
async fn notifications_are_the_relays_task_if_it_can_and_ours_if_not() {
    let to = ["<a@far.example> NOTIFY=SUCCESS ORCPT=rfc822;x+2Bz@far.example"];
    for (offers, mail, asked, notices) in [
        (vec!["DSN"], "MAIL FROM:<home@pillarbox.example>", " NOTIFY=SUCCESS", 0),
        (vec![], "MAIL FROM:<home@pillarbox.example>", "", 1),
    ] {
        let sink = Sink::new(Manners { offers, ..Manners::default() }).await;
        let site = site(vec![relay(&sink, RelayTls::None)]).await;
        site.hand_in(&to, "body\r\n").await;
        site.runner.run_due().await.unwrap();
        let taken = &sink.taken()[0];
        assert_eq!(taken.mail, mail);
        let orcpt = if asked.is_empty() { "" } else { " ORCPT=rfc822;x+2Bz@far.example" };
        assert_eq!(taken.to, [format!("RCPT TO:<a@far.example>{asked}{orcpt}")]);
        let told = site.notices().await;
        assert_eq!(told.len(), notices);
        assert!(told.iter().all(|told| told.contains("Action: relayed")), "{told:?}");
    }
}

/// RFC 8689 §4.2.1
#[tokio::test]
async fn a_message_that_requires_tls_goes_through_a_relay_that_promises_it() {
    for (tls, offers, status) in [
        (RelayTls::Required, vec!["STARTTLS", "REQUIRETLS"], None),
        (RelayTls::Required, vec!["STARTTLS"], Some("5.7.30")),
        (RelayTls::Opportunistic, vec!["STARTTLS", "REQUIRETLS"], Some("5.7.10")),
    ] {
        let sink = Sink::new(Manners { offers, ..Manners::default() }).await;
        let relay = match tls {
            RelayTls::Required => verified(&sink, tls),
            _ => relay(&sink, tls),
        };
        let site = site(vec![relay]).await;
        let message = "From: home@pillarbox.example\r\n\r\nbody\r\n";
        site.queue("a@far.example", message, |terms| terms.require_tls = true).await;
        site.runner.run_due().await.unwrap();
        match status {
            None => assert!(sink.taken()[0].mail.ends_with(" REQUIRETLS")),
            Some(status) => {
                assert!(sink.taken().is_empty());
                let notices = site.notices().await;
                assert!(notices[0].contains(&format!("Status: {status}")), "{}", notices[0]);
            }
        }
    }
}

#[tokio::test]
async fn a_relay_takes_several_messages_over_one_connection() {
    let sink = Sink::new(Manners::default()).await;
    let site = site(vec![relay(&sink, RelayTls::None)]).await;
    for to in ["<a@far.example>", "<b@other.example>"] {
        site.hand_in(&[to], "body\r\n").await;
        site.runner.run_due().await.unwrap();
    }
    assert_eq!((sink.taken().len(), sink.connections()), (2, 1));
}
