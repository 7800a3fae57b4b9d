//! How a long command says that it goes on. RFC 9585

use testkit::pure::PureServer;
use testkit::script::Peer;

const COUNT: usize = 200;

fn server(seconds_per_need: i64) -> PureServer {
    let mut server = PureServer::default();
    for _ in 0..COUNT {
        server.deliver("INBOX", b"Subject: x\r\n\r\nneedle\r\n");
    }
    server.connect(1);
    let (user, password) = server.credentials();
    server.send(1, format!("a LOGIN {user} {password}\r\nb SELECT INBOX\r\n").as_bytes());
    server.receive(1);
    server.set_seconds_per_need(seconds_per_need);
    server
}

/// The two numbers of each INPROGRESS for this tag.
fn told(text: &str, tag: &str) -> Vec<(usize, usize)> {
    let start = format!("* OK [INPROGRESS (\"{tag}\" ");
    let lines = text.lines().filter_map(|line| line.strip_prefix(&start));
    let numbers = lines.filter_map(|rest| rest.split_once(")]").map(|(numbers, _)| numbers));
    let pairs = numbers.filter_map(|numbers| numbers.split_once(' '));
    pairs.filter_map(|(done, goal)| Some((done.parse().ok()?, goal.parse().ok()?))).collect()
}

#[test]
fn a_long_search_tells_how_far_it_has_come() {
    let mut server = server(1);
    let text = server.ask("c SEARCH BODY needle");
    let told = told(&text, "c");
    assert!(told.len() > 3, "{text}");
    assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0), "{told:?}");
    assert!(told.iter().all(|(done, goal)| done < goal && *goal == COUNT), "{told:?}");
    assert!(text.ends_with("c OK SEARCH completed\r\n"), "{text}");
}

#[test]
fn it_is_told_no_oftener_than_every_ten_seconds() {
    let mut server = server(1);
    let text = server.ask("c SEARCH BODY needle");
    // Some 230 needs of one second each: a row for every seven messages and a text for each.
    assert!(told(&text, "c").len() <= 27, "{text}");
    server.set_seconds_per_need(0);
    let text = server.ask("d SEARCH BODY needle");
    assert!(told(&text, "d").is_empty(), "{text}");
}

#[test]
fn a_long_fetch_tells_it_between_messages() {
    let mut server = server(3);
    let text = server.ask("c FETCH 1:* (UID ENVELOPE)");
    let told = told(&text, "c");
    assert!(told.len() > 3, "{text}");
    assert!(told.iter().all(|(done, goal)| done < goal && *goal == COUNT), "{told:?}");
    assert_eq!(text.matches(" FETCH (").count(), COUNT);
}
