//! Annotations of messages where a script would be too long, or needs other settings. RFC 5257

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::fmt::Write as _;

use imap_session::{CleartextLogin, SessionConfig, UsersSetQuota};
use testkit::pure::PureServer;
use testkit::script::run;

fn session(script: &str) {
    let config = SessionConfig {
        cleartext_login: CleartextLogin::Allowed,
        users_set_quota: UsersSetQuota::Allowed,
        uidonly: true,
        message_limit: Some(100),
        ..SessionConfig::default()
    };
    run("annotate", script, &mut PureServer::new(config)).unwrap();
}

#[test]
fn a_value_that_is_too_long_is_refused_and_one_that_is_as_long_as_told_is_not() {
    let (longest, longer) = ("x".repeat(16 * 1024 - 2), "x".repeat(16 * 1024 - 1));
    session(&format!(
        "@login 1
@mail INBOX 1
C1: s SELECT INBOX
C1: a STORE 1 ANNOTATION (/comment (value.priv {{<len>+}}
L1: {longer}
C1+: ))
S1: a NO [ANNOTATE TOOBIG] <any>
C1: b STORE 1 ANNOTATION (/comment (value.priv {{<len>+}}
L1: {longest}
C1+: ))
S1: b OK <any>
C1: c FETCH 1 (ANNOTATION (/comment size.priv))
S1: * 1 FETCH (ANNOTATION (/comment (size.priv \"16384\")))
S1: c OK <any>
C1: d APPEND INBOX ANNOTATION (/comment (value.priv {{<len>+}}
L1: {longer}
C1+: )) {{<len>+}}
L1: Subject: x
L1:
C1+:
S1: d NO [ANNOTATE TOOBIG] <any>
"
    ));
}

#[test]
fn there_may_be_so_many_annotations_and_no_more_and_all_or_none_is_set() {
    let mut script = "@login 1\n@mail INBOX 2\nC1: s SELECT INBOX\n".to_owned();
    for n in 0..64 {
        let _ =
            writeln!(script, "C1: a{n} STORE 1 ANNOTATION (/vendor/k/{n} (value.shared \"x\"))");
    }
    script.push_str(
        "C1: b STORE 1:2 ANNOTATION (/comment (value.shared \"x\"))
S1: b NO [ANNOTATE TOOMANY] <any>
C1: c FETCH 2 (ANNOTATION (/comment value.shared))
S1: * 2 FETCH (ANNOTATION (/comment (value.shared NIL)))
C1: d STORE 1:2 ANNOTATION (/comment (value.priv \"x\"))
S1: d OK <any>
C1: e STORE 1 ANNOTATION (/vendor/k/0 (value.shared NIL) /comment (value.shared \"x\"))
S1: e OK <any>
",
    );
    session(&script);
}

#[test]
fn a_value_may_hold_any_octet_and_comes_back_as_it_went() {
    session(
        "@login 1
@mail INBOX 1
C1: s SELECT INBOX
C1: a STORE 1 ANNOTATION (/comment (value.priv ~{<len>+}
L1: a\0\u{e9}\"\\
C1+: ))
S1: a OK <any>
C1: b FETCH 1 (ANNOTATION (/comment (value.priv size.priv)))
S1: * 1 FETCH (ANNOTATION (/comment (value.priv ~{8}<crlf>a<x00><any>\"\\<crlf> size.priv \"8\")))
S1: b OK <any>
",
    );
}

#[test]
fn annotations_have_a_quota_of_their_own() {
    session(
        "@login 1
@mail INBOX 2
C1: s SELECT INBOX
C1: a SETQUOTA \"\" (ANNOTATION-STORAGE 1)
S1: * QUOTA \"\" (ANNOTATION-STORAGE 0 1)
C1: b STORE 1 ANNOTATION (/comment (value.priv {<len>+}
L1: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
L1: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
L1: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
L1: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
L1: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
C1+: ))
S1: b OK <any>
C1: c GETQUOTA \"\"
S1: * QUOTA \"\" (ANNOTATION-STORAGE 1 1)
C1: d COPY 1 Archive
S1: d NO [OVERQUOTA] <any>
C1: e COPY 2 Archive
S1: e OK <any>
C1: f MOVE 1 INBOX
S1: f OK <any>
C1: g STORE 2 ANNOTATION (/comment (value.priv NIL))
S1: g OK <any>
C1: h GETQUOTA \"\"
S1: * QUOTA \"\" (ANNOTATION-STORAGE 0 1)
C1: i SETMETADATA INBOX (/private/comment \"does not count\")
C1: j GETQUOTA \"\"
S1: * QUOTA \"\" (ANNOTATION-STORAGE 0 1)
",
    );
}

#[test]
fn with_uidonly_numbers_are_neither_taken_nor_told() {
    session(
        "@login 1 2
@mail INBOX 1
C1: a ENABLE UIDONLY
C1: s SELECT INBOX (ANNOTATE)
C1: b STORE 1 ANNOTATION (/comment (value.priv \"x\"))
S1: b BAD [UIDREQUIRED] <any>
C1: c UID STORE 1 ANNOTATION (/comment (value.priv \"x\"))
S1: c OK <any>
C1: d UID FETCH 1 (ANNOTATION (/comment value.priv))
S1: * 1 UIDFETCH (ANNOTATION (/comment (value.priv \"x\")))
C2: s SELECT INBOX
C2: e STORE 1 ANNOTATION (/comment (value.priv \"y\"))
C1: f NOOP
S1: * 1 UIDFETCH (ANNOTATION (/comment))
X1:
S1: f OK <any>
",
    );
}

#[test]
fn annotations_of_many_messages_are_set_and_told_batch_by_batch() {
    session(
        "@login 1
@mail INBOX 120
C1: s SELECT INBOX
C1: a STORE 1:* ANNOTATION (/1/comment (value.priv \"x\") /comment (value.priv \"x\"))
S1: a OK [MESSAGELIMIT 100 21] <any>
C1: b UID FETCH 21:120 (ANNOTATION (/1/comment value.priv))
S1: * 21 FETCH (UID 21 ANNOTATION (/1/comment (value.priv \"x\")))
S1: * 120 FETCH (UID 120 ANNOTATION (/1/comment (value.priv \"x\")))
S1: b OK <any>
C1: c FETCH 21:120 (ANNOTATION (/% value.priv))
S1: * 21 FETCH (ANNOTATION (/comment (value.priv \"x\")))
S1: * 120 FETCH (ANNOTATION (/comment (value.priv \"x\")))
S1: c OK <any>
C1: d SEARCH RETURN (COUNT) ANNOTATION /1/comment value.priv x
S1: * ESEARCH (TAG \"d\") COUNT 100
",
    );
}
