//! From the queue to the servers of the recipients' domains: which of them are asked, and what
//! becomes of the mail where none of them takes it.

use std::net::TcpListener;

use smtp::{DirectSettings, Relay, RelayTls, Relays, Routes};
use testkit::dns::{Fault, NameServer, Zone};

use crate::sink::{Manners, Sink};
use crate::site::{HOSTNAME, Site, direct};

fn far(records: &str) -> NameServer {
    NameServer::start(&[Zone::parse("far.example", records)])
}

async fn site(names: &NameServer, port: u16) -> Site {
    Site::new(direct(names, port, |_| {}).0).await
}

/// Hands one message in and tries it once.
async fn send(site: &Site, to: &str) {
    site.hand_in(&[to], "body\r\n").await;
    site.runner.run_due().await.unwrap();
}

/// The only notice, in which this is to stand.
async fn told(site: &Site, text: &str) {
    let notices = site.notices().await;
    assert_eq!(notices.len(), 1, "{:?}", site.waiting().await);
    assert!(notices[0].contains(text), "{}", notices[0]);
    assert!(site.waiting().await.is_empty());
}

#[tokio::test]
async fn mail_goes_to_the_best_server_that_answers() {
    let second = Sink::new(Manners { address: Some("127.0.0.2"), ..Manners::default() }).await;
    // Nobody listens at 127.0.0.3, and the one at 127.0.0.1 does not want to speak now.
    let manners = Manners {
        port: second.port,
        replies: vec![("greeting", "421 4.3.2 not now")],
        ..Manners::default()
    };
    let first = Sink::new(manners).await;
    let names = far("@ MX 30 c\n@ MX 10 a\n@ MX 20 b\n\
                     a A 127.0.0.3\nb A 127.0.0.1\nc A 127.0.0.2\n");
    let site = site(&names, second.port).await;
    send(&site, "<x@far.example>").await;
    assert_eq!(first.connections(), 1);
    assert!(first.taken().is_empty());
    assert_eq!(second.taken().len(), 1, "{:?}", site.waiting().await);
    assert!(site.waiting().await.is_empty());
}

#[tokio::test]
async fn another_address_of_a_server_is_dialled_where_one_is_dead() {
    let sink = Sink::new(Manners::default()).await;
    let names = far("@ MX 10 a\na A 127.0.0.9\na A 127.0.0.1\na A 127.0.0.8\n");
    let site = site(&names, sink.port).await;
    send(&site, "<x@far.example>").await;
    assert_eq!(sink.taken().len(), 1, "{:?}", site.waiting().await);
}

#[tokio::test]
async fn servers_that_will_not_be_dialled_are_not_looked_up() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut records = String::new();
    for host in 0..10 {
        records.push_str(&format!("@ MX {host} h{host}\n"));
        (1..5).for_each(|n| records.push_str(&format!("h{host} A 127.0.{host}.{n}\n")));
    }
    let names = far(&records);
    let site = site(&names, port).await;
    send(&site, "<x@far.example>").await;
    assert_eq!(site.waiting().await.len(), 1);
    let asked = |host: &str| names.questions().iter().any(|it| format!("{it:?}").contains(host));
    // Sixteen connections, four to each.
    assert!(asked("h0.far") && asked("h3.far") && !asked("h4.far"), "{:?}", names.questions());
}

#[tokio::test]
async fn a_domain_without_mx_records_is_its_own_server() {
    let sink = Sink::new(Manners::default()).await;
    let names = far("@ A 127.0.0.1\n");
    let site = site(&names, sink.port).await;
    send(&site, "<x@far.example>").await;
    assert_eq!(sink.taken().len(), 1, "{:?}", site.waiting().await);
}

#[tokio::test]
async fn an_address_may_stand_in_place_of_a_domain() {
    let sink = Sink::new(Manners::default()).await;
    let names = far("@ A 127.0.0.1\n");
    let site = site(&names, sink.port).await;
    site.queue("x@[127.0.0.1]", "From: home@pillarbox.example\r\n\r\nbody\r\n", |_| {}).await;
    site.runner.run_due().await.unwrap();
    assert_eq!(sink.taken()[0].to, ["RCPT TO:<x@[127.0.0.1]>"], "{:?}", site.waiting().await);
}

#[tokio::test]
async fn a_domain_that_does_not_exist_or_takes_no_mail_is_told_at_once() {
    let names = far("@ MX 0 .\nown MX 10 mail.pillarbox.example.\ntext TXT hello\n\
                     gone MX 10 nowhere.far.example.\n");
    for (domain, status) in [
        ("nowhere.far.example", "5.1.2"),
        ("far.example", "5.1.10"),
        ("own.far.example", "5.4.6"),
        ("text.far.example", "5.4.4"),
        ("gone.far.example", "5.4.4"),
    ] {
        let site = site(&names, 9).await;
        send(&site, &format!("<x@{domain}>")).await;
        told(&site, &format!("Status: {status}")).await;
    }
    assert_eq!(HOSTNAME, "mail.pillarbox.example");
}

#[tokio::test]
async fn mail_waits_while_the_name_server_is_in_trouble() {
    let sink = Sink::new(Manners::default()).await;
    let signed = Zone::parse("far.example", "@ MX 10 a\na A 127.0.0.1\n").signed();
    for (fault, at) in [
        (Fault::ServFail, "far.example"),
        (Fault::ForgedSignatures, "far.example"),
        (Fault::ServFail, "a.far.example"),
        (Fault::ForgedSignatures, "a.far.example"),
    ] {
        let names = NameServer::start(std::slice::from_ref(&signed));
        names.break_answers(at, fault.clone());
        let site = site(&names, sink.port).await;
        send(&site, "<x@far.example>").await;
        let waiting = site.waiting().await;
        assert_eq!(waiting.len(), 1, "{fault:?} at {at}");
        assert!(site.notices().await.is_empty() && sink.said().is_empty());
    }
}

#[tokio::test]
async fn s096_what_a_stranger_writes_into_his_zone_leads_nowhere_near_here() {
    let sink = Sink::new(Manners::default()).await;
    let names = far("@ MX 10 a\n@ MX 20 b\na A 127.0.0.1\nb AAAA ::1\nb AAAA ::ffff:127.0.0.1\n\
                     alone A 127.0.0.1\n");
    let public = |settings: &mut DirectSettings| settings.allow_private = false;
    for to in ["<x@far.example>", "<x@alone.far.example>"] {
        let site = Site::new(direct(&names, sink.port, public).0).await;
        send(&site, to).await;
        told(&site, "no address that may be dialled").await;
    }
    let site = Site::new(direct(&names, sink.port, public).0).await;
    site.queue("x@[127.0.0.1]", "From: home@pillarbox.example\r\n\r\nbody\r\n", |_| {}).await;
    site.runner.run_due().await.unwrap();
    told(&site, "no address that may be dialled").await;
    assert!(sink.said().is_empty(), "somebody connected");
}

#[tokio::test]
async fn a_connection_carries_several_messages_and_a_dead_one_none() {
    let names = far("@ MX 10 a\na A 127.0.0.1\nother MX 10 a\n");
    for (leaves, offers, connections) in
        [(false, vec![], 1), (false, vec!["STARTTLS", "PIPELINING"], 1), (true, vec![], 4)]
    {
        let sink = Sink::new(Manners { leaves, offers, ..Manners::default() }).await;
        let site = site(&names, sink.port).await;
        for to in ["<x@far.example>", "<y@far.example>", "<z@far.example>", "<x@other.far.example>"]
        {
            send(&site, to).await;
        }
        assert_eq!(sink.taken().len(), 4, "{:?}", site.waiting().await);
        assert_eq!(sink.connections(), connections, "{:?}", sink.said());
        let each: Vec<Vec<String>> = sink.taken().into_iter().map(|taken| taken.to).collect();
        assert!(each.iter().all(|to| to.len() == 1), "{each:?}");
    }
}

#[tokio::test]
async fn a_connection_that_rests_is_closed_in_good_order() {
    let sink = Sink::new(Manners::default()).await;
    let names = far("@ MX 10 a\na A 127.0.0.1\n");
    let site = site(&names, sink.port).await;
    send(&site, "<x@far.example>").await;
    assert!(!sink.said().iter().any(|line| line == "QUIT"));
    sink.until(|line| line == "QUIT").await;
}

#[tokio::test]
async fn a_refusal_after_a_message_was_begun_is_final_for_all_servers() {
    let second = Sink::new(Manners { address: Some("127.0.0.2"), ..Manners::default() }).await;
    let replies = vec![("RCPT", "550 5.1.1 no such user")];
    let first = Sink::new(Manners { port: second.port, replies, ..Manners::default() }).await;
    let names = far("@ MX 10 a\n@ MX 20 b\na A 127.0.0.1\nb A 127.0.0.2\n");
    let site = site(&names, first.port).await;
    send(&site, "<x@far.example>").await;
    told(&site, "550 5.1.1 no such user").await;
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn a_domain_that_cannot_be_reached_is_not_dialled_for_each_entry() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let names = far("@ MX 10 a\na A 127.0.0.1\n");
    let site = site(&names, port).await;
    send(&site, "<x@far.example>").await;
    let before = names.questions().len();
    send(&site, "<y@far.example>").await;
    let waiting = site.waiting().await;
    assert_eq!(waiting.len(), 2);
    assert_eq!(waiting[0].1, waiting[1].1);
    assert_eq!(names.questions().len(), before);
}

#[tokio::test]
async fn the_relay_of_a_domain_goes_before_its_servers() {
    let (relay, server) =
        (Sink::new(Manners::default()).await, Sink::new(Manners::default()).await);
    let names = NameServer::start(&[
        Zone::parse("far.example", "@ MX 10 a\na A 127.0.0.1\n"),
        Zone::parse("near.example", "@ MX 10 a\na A 127.0.0.1\n"),
    ]);
    let far = Relay {
        domains: vec!["far.example".to_owned()],
        host: "localhost".to_owned(),
        port: relay.port,
        tls: RelayTls::None,
        login: None,
        authorities: None,
    };
    let (_, direct) = direct(&names, server.port, |_| {});
    let routes = Routes::new(Relays::new(vec![far]).unwrap(), Some(direct));
    let site = Site::new(routes).await;
    site.hand_in(&["<x@far.example>", "<y@near.example>"], "body\r\n").await;
    site.runner.run_due().await.unwrap();
    assert_eq!(relay.taken()[0].to, ["RCPT TO:<x@far.example>"]);
    assert_eq!(server.taken()[0].to, ["RCPT TO:<y@near.example>"]);
}
