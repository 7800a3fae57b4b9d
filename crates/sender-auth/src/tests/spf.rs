//! SPF: its limits, and where evaluation could be led astray.

use super::zone::Zone;
use crate::spf::{Identity, check as check_host};

/// The result for a sender at an address, as it is written.
pub(super) async fn check(zone: &Zone, address: &str, sender: &str) -> &'static str {
    let identity = Identity {
        ip: address.parse().unwrap(),
        helo: "client.example",
        sender,
        domain: sender.rsplit_once('@').unwrap().1,
        receiver: "mx.here.example",
    };
    check_host(zone, &identity).await.result.name()
}

async fn at(zone: &Zone) -> &'static str {
    check(zone, "192.0.2.1", "a@a.example").await
}

#[tokio::test]
async fn an_include_passes_on_a_pass_and_its_own_qualifier_counts() {
    for (outer, inner, innermost, result) in [
        ("include:b.example -all", "+all", "", "pass"),
        ("include:b.example -all", "-all", "", "fail"),
        ("include:b.example ?all", "~all", "", "neutral"),
        ("-include:b.example +all", "+all", "", "fail"),
        // A pass at the third level is a match for each level above.
        ("?include:b.example -all", "include:c.example -all", "+all", "neutral"),
        ("-include:b.example +all", "include:c.example -all", "+all", "fail"),
        ("include:b.example +all", "-include:c.example +all", "+all", "pass"),
        ("include:b.example -all", "redirect=c.example", "+all", "pass"),
        ("redirect=b.example", "include:c.example -all", "ip4:192.0.2.1", "pass"),
        ("include:b.example -all", "a:%{d}", "", "fail"),
        ("include:none.example -all", "", "", "permerror"),
        ("redirect=none.example", "", "", "permerror"),
        ("include:b.example -all", "include:none.example -all", "", "permerror"),
    ] {
        let zone = Zone::new(&format!(
            "a.example TXT v=spf1 {outer}\nb.example TXT v=spf1 {inner}\n\
             c.example TXT v=spf1 {innermost}\na.example A 192.0.2.1\nb.example A 192.0.2.9\n"
        ));
        assert_eq!(at(&zone).await, result, "{outer}; {inner}; {innermost}");
    }
}

#[tokio::test]
async fn the_domain_is_that_of_the_record_again_after_an_include() {
    let zone = Zone::new(
        "a.example TXT v=spf1 include:b.example a -all\na.example A 192.0.2.1\n\
         b.example TXT v=spf1 exists:%{d}.x.example -all\nb.example A 192.0.2.9\n",
    );
    assert_eq!(at(&zone).await, "pass");
    assert!(zone.asked().contains(&"A b.example.x.example".to_owned()));
}

#[tokio::test]
async fn what_is_no_record_or_several_is_told_apart() {
    for (texts, result) in [
        (&[][..], "none"),
        (&["v=spf10 +all", "spf2.0/pra +all"], "none"),
        (&["v=spf1 +all", "v=spf1 -all"], "permerror"),
        (&["v=spf1 +all", "google-site-verification=x"], "pass"),
        (&["V=SPF1 +ALL"], "pass"),
        (&["v=spf1"], "neutral"),
        (&["v=spf1 nonsense -all"], "permerror"),
        (&["v=spf1 ip:192.0.2.1 -all"], "permerror"),
        (&["v=spf1 +-all"], "permerror"),
        (&["v=spf1 redirect:b.example"], "permerror"),
        (&["v=spf1 -x=y +all"], "permerror"),
        (&["v=spf1 x=%{d} moo.cow-far_out=man:dog/cat +all"], "pass"),
        (&["v=spf1 ip4:192.0.2.1/33 -all"], "permerror"),
        (&["v=spf1 all:x"], "permerror"),
    ] {
        let lines: String = texts.iter().map(|it| format!("a.example TXT {it}\n")).collect();
        assert_eq!(at(&Zone::new(&lines)).await, result, "{texts:?}");
    }
    assert_eq!(at(&Zone::new("a.example SILENT")).await, "temperror");
    assert_eq!(check(&Zone::new("localhost TXT v=spf1 +all"), "::1", "a@localhost").await, "none");
}

#[tokio::test]
async fn a_name_of_the_client_counts_only_if_it_leads_back() {
    let record = "a.example TXT v=spf1 exists:%{p}.x.example -all\nok.a.example.x.example A 127.0.0.2\n\
                  192.0.2.1 PTR ok.a.example\n";
    assert_eq!(at(&Zone::new(record)).await, "fail");
    let leads_back = format!("{record}ok.a.example A 192.0.2.1\n");
    assert_eq!(at(&Zone::new(&leads_back)).await, "pass");
}

#[tokio::test]
async fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
    let zone = Zone::new("a.example TXT v=spf1 ip4:192.0.2.1 -all");
    assert_eq!(check(&zone, "::ffff:192.0.2.1", "a@a.example").await, "pass");
    let zone = Zone::new("a.example TXT v=spf1 ip6:::ffff:192.0.2.1 -all");
    assert_eq!(check(&zone, "::ffff:192.0.2.1", "a@a.example").await, "fail");
}

/// RFC 7208 §4.6.4
#[tokio::test]
async fn s097_more_than_ten_terms_that_ask_are_an_error() {
    let terms = |count: usize| -> Zone {
        let terms: String = (0..count).map(|it| format!("a:h{it}.example ")).collect();
        let hosts: String = (0..count).map(|it| format!("h{it}.example A 192.0.2.9\n")).collect();
        Zone::new(&format!("a.example TXT v=spf1 {terms}-all\n{hosts}"))
    };
    assert_eq!(at(&terms(10)).await, "fail");
    let zone = terms(1000);
    assert_eq!(at(&zone).await, "permerror");
    assert!(zone.asked().len() <= 12, "{:?}", zone.asked());
}

#[tokio::test]
async fn s097_the_third_answer_without_records_is_an_error() {
    let terms = |count: usize| -> Zone {
        let terms: String = (0..count).map(|it| format!("a:h{it}.example ")).collect();
        Zone::new(&format!("a.example TXT v=spf1 {terms}+all"))
    };
    assert_eq!(at(&terms(2)).await, "pass");
    let zone = terms(9);
    assert_eq!(at(&zone).await, "permerror");
    assert!(zone.asked().len() <= 4, "{:?}", zone.asked());
}

#[tokio::test]
async fn s097_includes_and_redirects_in_a_circle_end() {
    for record in ["include:a.example -all", "redirect=a.example", "include:b.example -all"] {
        let zone = Zone::new(&format!(
            "a.example TXT v=spf1 {record}\nb.example TXT v=spf1 include:a.example include:b.example"
        ));
        assert_eq!(at(&zone).await, "permerror", "{record}");
        assert!(zone.asked().len() <= 12, "{:?}", zone.asked());
    }
}

#[tokio::test]
async fn s097_a_tree_of_includes_has_one_limit() {
    let children = "include:b.example include:c.example include:d.example -all";
    let zone = Zone::new(&format!(
        "a.example TXT v=spf1 {children}\nb.example TXT v=spf1 {children}\n\
         c.example TXT v=spf1 {children}\nd.example TXT v=spf1 {children}\n"
    ));
    assert_eq!(at(&zone).await, "permerror");
    assert!(zone.asked().len() <= 12, "{:?}", zone.asked());
}

#[tokio::test]
async fn s097_more_than_ten_exchanges_are_an_error() {
    let zone = |count: usize| {
        let exchanges: String = (0..count)
            .map(|it| format!("a.example MX m{it}.example\nm{it}.example A 192.0.2.9\n"))
            .collect();
        Zone::new(&format!("a.example TXT v=spf1 mx -all\n{exchanges}"))
    };
    assert_eq!(at(&zone(10)).await, "fail");
    assert_eq!(at(&zone(11)).await, "permerror");
}

#[tokio::test]
async fn s097_long_macros_make_short_names() {
    let long = "%{d}.".repeat(2_500);
    let zone = Zone::new(&format!("a.example TXT v=spf1 exists:{long}end.example -all"));
    assert_eq!(at(&zone).await, "fail");
    let asked = zone.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].len() <= "A ".len() + 253 && asked[1].ends_with(".example.end.example"));
    // A label that no name has is not asked for. RFC 7208 §4.8
    let label = "x".repeat(100);
    let zone = Zone::new(&format!("a.example TXT v=spf1 exists:{label}.example -all"));
    assert_eq!(at(&zone).await, "fail");
    assert_eq!(zone.asked().len(), 1);
}
