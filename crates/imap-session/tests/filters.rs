//! Filters that the operator gives to everybody. RFC 5466

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use imap_session::{CleartextLogin, ServerAnnotations, SessionConfig, SharedFilter};
use testkit::pure::PureServer;
use testkit::script::run;

fn session(name: &str, script: &str) {
    let shared = [
        SharedFilter::new("Flagged", "FLAGGED", Some("What I have marked".to_owned())).unwrap(),
        SharedFilter::new("new", "UNSEEN FILTER flagged", None).unwrap(),
    ];
    let annotations = ServerAnnotations { filters: shared.into(), ..ServerAnnotations::default() };
    let config = SessionConfig {
        cleartext_login: CleartextLogin::Allowed,
        server_annotations: annotations.into(),
        ..SessionConfig::default()
    };
    run(name, script, &mut PureServer::new(config)).unwrap();
}

#[test]
fn shared_filters_are_read_and_used_but_not_set() {
    session(
        "RFC 5466 3.2",
        r#"
@login 1
@mail INBOX 3
C1: a GETMETADATA (DEPTH infinity) "" /shared/filters
S1: * METADATA "" (/shared/filters/descriptions/flagged "What I have marked" /shared/filters/values/flagged "FLAGGED" /shared/filters/values/new "UNSEEN FILTER flagged")
S1: a OK <any>
C1: b SELECT INBOX
C1: c STORE 2:3 +FLAGS.SILENT (\Flagged)
C1: d STORE 3 +FLAGS.SILENT (\Seen)
C1: e SEARCH FILTER FLAGGED
S1: * SEARCH 2 3
S1: e OK <any>
C1: f SEARCH FILTER new
S1: * SEARCH 2
S1: f OK <any>
C1: g SETMETADATA "" (/shared/filters/values/flagged "SEEN")
S1: g NO [NOPERM] <any>
"#,
    );
}

#[test]
fn a_users_own_filter_comes_before_the_shared_one() {
    session(
        "RFC 5466 1",
        r#"
@login 1
@mail INBOX 3
C1: a SELECT INBOX
C1: b STORE 2:3 +FLAGS.SILENT (\Flagged)
C1: c SETMETADATA "" (/private/filters/values/flagged "1")
C1: d SEARCH FILTER flagged
S1: * SEARCH 1
S1: d OK <any>
C1: e SEARCH FILTER new
S1: * SEARCH 1
S1: e OK <any>
C1: f SETMETADATA "" (/private/filters/values/flagged NIL)
C1: g SEARCH FILTER flagged
S1: * SEARCH 2 3
S1: g OK <any>
"#,
    );
}
