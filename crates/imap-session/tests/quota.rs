//! Sessions of accounts that have limits, where users may set them. RFC 9208

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use imap_session::{CleartextLogin, ServerAnnotations, SessionConfig, UsersSetQuota};
use testkit::pure::PureServer;
use testkit::script::run;

fn session(name: &str, script: &str) {
    let annotations = ServerAnnotations {
        comment: Some("Shared comment".to_owned()),
        admin: Some("mailto:postmaster@example.com".to_owned()),
        filters: Vec::new(),
    };
    let config = SessionConfig {
        cleartext_login: CleartextLogin::Allowed,
        users_set_quota: UsersSetQuota::Allowed,
        server_annotations: annotations.into(),
        ..SessionConfig::default()
    };
    run(name, script, &mut PureServer::new(config)).unwrap();
}

#[test]
fn limits_are_announced_set_and_told() {
    // The examples of 4.1.3 and 4.2.1, with the one quota root that there is.
    session(
        "RFC 9208 4.1.3",
        r#"
@login 1
C1: p CAPABILITY
S1: * CAPABILITY <any> QUOTA QUOTASET QUOTA=RES-STORAGE QUOTA=RES-MESSAGE QUOTA=RES-MAILBOX QUOTA=RES-ANNOTATION-STORAGE <any>
C1: S0 SETQUOTA "" (STORAGE 10 MESSAGE 1000)
S1: * QUOTA "" (STORAGE 0 10 MESSAGE 0 1000)
S1: S0 OK <any>
@mail INBOX 1
C1: G1 GETQUOTAROOT INBOX
S1: * QUOTAROOT INBOX ""
S1>: * QUOTA "" (STORAGE 1 10 MESSAGE 1 1000)
S1: G1 OK <any>
C1: S1 SETQUOTA "" (storage 512)
S1: * QUOTA "" (STORAGE 1 512)
S1: S1 OK <any>
C1: S2 SETQUOTA "!partition/sda4" (STORAGE 99999999)
S1: S2 NO [NONEXISTENT] <any>
C1: S3 SETQUOTA "" (X-UNKNOWN 5)
S1: S3 NO [CANNOT] <any>
C1: G2 GETQUOTA ""
S1: * QUOTA "" (STORAGE 1 512)
S1: G2 OK <any>
C1: S4 SETQUOTA "" ()
S1: * QUOTA "" ()
S1: S4 OK <any>
"#,
    );
}

#[test]
fn what_would_go_above_a_limit_is_refused_and_nothing_of_it_done() {
    session(
        "RFC 9208 4.3.1",
        r#"
@login 1 2
@mail INBOX 2
C2: s SELECT INBOX
C1: a SETQUOTA "" (MESSAGE 3 MAILBOX 7)
C1: b APPEND INBOX (\Seen) {<len>+}
L1: Subject: afternoon meeting
L1:
L1: Hello Joe, do you think we can meet at 3:30 tomorrow?
C1+:  {<len>+}
L1: Subject: another
L1:
C1+:
S1: b NO [OVERQUOTA] <any>
C2: c COPY 1:2 Trash
S2: c NO [OVERQUOTA] <any>
C2: d COPY 1 Trash
S2: d OK [COPYUID <any>
C1: e APPEND INBOX {<len>+}
L1: x
C1+:
S1: e NO [OVERQUOTA] <any>
; MOVE takes nothing more. RFC 6851
C2: f MOVE 2 Trash
S2: f OK <any>
C1: g CREATE one
S1: g OK <any>
C1: h CREATE two
S1: h NO [OVERQUOTA] <any>
C1: i GETQUOTA ""
S1: * QUOTA "" (MESSAGE 3 3 MAILBOX 7 7)
S1: i OK <any>
; What is expunged makes room. RFC 9208 4.1.4
C2: j STORE 1 +FLAGS (\Deleted)
C1: k STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)
S1: * STATUS INBOX (MESSAGES 1 DELETED 1 DELETED-STORAGE <num>)
S1: k OK <any>
C2: l EXPUNGE
C1: m APPEND INBOX {<len>+}
L1: x
C1+:
S1: m OK <any>
"#,
    );
}

#[test]
fn what_comes_into_an_account_counts_there_whoever_it_is_from() {
    session(
        "mail for another account",
        r#"
@login 1
@account chris 2
@mail INBOX 1
C1: s1 SETQUOTA "" (MESSAGE 2)
C1: s2 SETACL INBOX chris lrswite
C2: a APPEND "Other Users/<$user>/INBOX" {<len>+}
L2: Subject: one
L2:
S2: a OK <any>
C2: b APPEND "Other Users/<$user>/INBOX" {<len>+}
L2: Subject: two
L2:
S2: b NO [OVERQUOTA] <any>
C2: c APPEND INBOX {<len>+}
L2: Subject: mine
L2:
S2: c OK <any>
C2: d SELECT INBOX
C2: e COPY 1 "Other Users/<$user>/INBOX"
S2: e NO [OVERQUOTA] <any>
C2: f MOVE 1 "Other Users/<$user>/INBOX"
S2: f NO [OVERQUOTA] <any>
N2: * <num> EXPUNGE
C2: g SELECT "Other Users/<$user>/INBOX"
C2: h COPY 1 "Other Users/<$user>/INBOX"
S2: h NO [OVERQUOTA] <any>
; In the other direction there is room.
C2: i MOVE 1 INBOX
S2: * 1 EXPUNGE
S2: i OK <any>
C2: j STATUS INBOX (MESSAGES)
S2: * STATUS INBOX (MESSAGES 2)
S2: j OK <any>
; The limits of the other account are its owner's.
C2: k GETQUOTAROOT "Other Users/<$user>/INBOX"
N2: * QUOTA <any>
S2: k OK <any>
C2: l GETQUOTA ""
S2: * QUOTA "" ()
S2: l OK <any>
"#,
    );
}

#[test]
fn the_server_tells_what_its_operator_has_set() {
    // The first examples of RFC 5464 4.2 and 4.4.1.
    session(
        "RFC 5464 4.2",
        r#"
@login 1
C1: a GETMETADATA "" /shared/comment
S1: * METADATA "" (/shared/comment "Shared comment")
S1: a OK <any>
C1: b GETMETADATA (DEPTH infinity MAXSIZE 20) "" (/private /shared)
S1: * METADATA "" (/private NIL /shared/comment "Shared comment")
S1: b OK [METADATA LONGENTRIES 29] <any>
C1: c SETMETADATA "" (/shared/comment "mine")
S1: c NO [NOPERM] <any>
C1: d GETMETADATA "" /shared/admin
S1: * METADATA "" (/shared/admin "mailto:postmaster@example.com")
S1: d OK <any>
"#,
    );
}
