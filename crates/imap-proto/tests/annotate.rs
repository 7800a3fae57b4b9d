//! Annotations of messages: what is read and what is refused. RFC 5257 §5

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use imap_proto::parse::{self, Frame};
use imap_proto::serialize::{self, ClientOptions, LiteralSupport};
use imap_proto::types::{
    AnnotationData, Code, CommandBody, FetchAttribute, NameEncoding, Response, StatusKind,
};

fn command(text: &str) -> Option<CommandBody> {
    parse::command(Frame::whole(text.as_bytes())).ok().map(|command| command.body)
}

fn rewritten(text: &str) -> String {
    let command = parse::command(Frame::whole(text.as_bytes())).unwrap();
    let options =
        ClientOptions { encoding: NameEncoding::ModifiedUtf7, literals: LiteralSupport::Plus };
    match serialize::command(&command, options).as_slice() {
        [serialize::Chunk::Bytes(bytes)] => {
            String::from_utf8(bytes.clone()).unwrap().trim_end().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

fn response(text: &str) -> Response {
    parse::response(Frame::whole(text.as_bytes())).unwrap()
}

#[test]
fn commands_are_read_in_every_form_and_written_in_one() {
    for (text, again) in [
        (
            "a FETCH 1 (ANNOTATION (/comment value))",
            "a FETCH 1 (ANNOTATION ((\"/comment\") (value)))",
        ),
        (
            "a FETCH 1 ANNOTATION ((/% \"/1/*\") (value.priv size size.shared))",
            "a FETCH 1 (ANNOTATION ((\"/%\" \"/1/*\") (value.priv size size.shared)))",
        ),
        (
            "a UID STORE 1:3 (UNCHANGEDSINCE 5) annotation (/comment (value.priv NIL value.shared \"x\"))",
            "a UID STORE 1:3 (UNCHANGEDSINCE 5) ANNOTATION (/comment (value.priv NIL) /comment (value.shared \"x\"))",
        ),
        (
            "a SEARCH ANNOTATION * value.priv IMAP4",
            "a SEARCH ANNOTATION \"*\" value.priv \"IMAP4\"",
        ),
        ("a SEARCH ANNOTATION /comment value NIL", "a SEARCH ANNOTATION \"/comment\" value NIL"),
        (
            "a SORT (REVERSE ANNOTATION /altsubject value.shared SIZE) UTF-8 ALL",
            "a SORT (REVERSE ANNOTATION /altsubject value.shared SIZE) UTF-8 ALL",
        ),
        ("a SELECT INBOX (ANNOTATE CONDSTORE)", "a SELECT INBOX (CONDSTORE ANNOTATE)"),
    ] {
        assert_eq!(rewritten(text), again, "{text}");
    }
}

#[test]
fn an_append_may_have_flags_a_date_and_annotations_with_literals() {
    let text = "a APPEND x (\\Seen) \" 1-Feb-1994 21:52:25 -0800\" \
                ANNOTATION (/comment (value.priv ~{2+}\r\n\0x)) {1+}\r\ny";
    let Some(CommandBody::Append(append)) = command(text) else { panic!() };
    let [message] = append.messages.as_slice() else { panic!() };
    assert_eq!(message.annotations[0].value.as_deref(), Some(&b"\0x"[..]));
    assert!(message.date.is_some() && !message.flags.is_empty());
}

#[test]
fn the_literal_of_an_annotation_is_an_argument_and_that_of_the_message_is_not() {
    let role = |text: &str| parse::literal_role(Frame::whole(text.as_bytes()));
    let argument = role("a APPEND x ANNOTATION (/comment (value.priv {5}\r\n");
    assert_eq!(argument, parse::LiteralRole::Argument);
    let message = role("a APPEND x ANNOTATION (/comment (value.priv {1}\r\ny)) {5}\r\n");
    assert!(matches!(message, parse::LiteralRole::Message(offered) if offered.index == 0));
}

#[test]
fn names_and_attributes_that_do_not_exist_are_refused() {
    for text in [
        "a FETCH 1 (ANNOTATION (comment value))",
        "a FETCH 1 (ANNOTATION (/comment/ value))",
        "a FETCH 1 (ANNOTATION (//comment value))",
        "a FETCH 1 (ANNOTATION (/*/ value))",
        "a FETCH 1 (ANNOTATION (/0/comment value))",
        "a FETCH 1 (ANNOTATION (/1..2/comment value))",
        "a FETCH 1 (ANNOTATION (/comment other))",
        "a FETCH 1 (ANNOTATION (/comment VALUE))",
        "a FETCH 1 (ANNOTATION (/comment value.))",
        "a FETCH 1 (ANNOTATION (/comment))",
        "a FETCH 1 (ANNOTATION (() value))",
        "a FETCH 1 (ANNOTATION)",
        "a STORE 1 ANNOTATION (/comment (value \"x\"))",
        "a STORE 1 ANNOTATION (/comment (size.priv \"1\"))",
        "a STORE 1 ANNOTATION (/% (value.priv \"x\"))",
        "a STORE 1 ANNOTATION (/comment value.priv \"x\")",
        "a STORE 1 ANNOTATION (/comment ())",
        "a STORE 1 ANNOTATION ()",
        "a STORE 1 +ANNOTATION (/comment (value.priv \"x\"))",
        "a SEARCH ANNOTATION /comment size \"1\"",
        "a SEARCH ANNOTATION /comment value",
        "a SORT (ANNOTATION /comment value) UTF-8 ALL",
        "a SORT (ANNOTATION /comment size.priv) UTF-8 ALL",
        "a SORT (ANNOTATION /* value.priv) UTF-8 ALL",
        "a APPEND x ANNOTATION (/comment (value \"x\")) {1+}\r\ny",
    ] {
        assert_eq!(command(text), None, "{text}");
    }
}

#[test]
fn more_entries_than_there_may_be_are_refused() {
    let fetch = |count: usize| {
        let entries = "/comment ".repeat(count);
        command(&format!("a FETCH 1 (ANNOTATION (({}) value))", entries.trim_end()))
    };
    assert!(fetch(64).is_some());
    assert_eq!(fetch(65), None);
}

#[test]
fn answers_are_read_with_values_or_with_names_alone() {
    let Response::Fetch { attributes, .. } =
        response("* 1 FETCH (FLAGS () ANNOTATION (/comment (value.priv NIL other \"x\")))")
    else {
        panic!()
    };
    let Some(FetchAttribute::Annotation(AnnotationData::Values(entries))) = attributes.get(1)
    else {
        panic!("{attributes:?}")
    };
    assert_eq!(entries[0].attributes.len(), 1);
    let Response::Fetch { attributes, .. } = response("* 1 FETCH (ANNOTATION (/comment /a))")
    else {
        panic!()
    };
    let Some(FetchAttribute::Annotation(AnnotationData::Changed(names))) = attributes.first()
    else {
        panic!("{attributes:?}")
    };
    assert_eq!(names.len(), 2);
}

#[test]
fn codes_are_written_as_they_are_read() {
    for code in [
        "ANNOTATE TOOBIG",
        "ANNOTATE TOOMANY",
        "ANNOTATIONS NONE",
        "ANNOTATIONS READ-ONLY",
        "ANNOTATIONS READ-ONLY NOPRIVATE",
        "ANNOTATIONS 20480",
        "ANNOTATIONS 20480 NOPRIVATE",
    ] {
        let text = format!("* NO [{code}] x");
        let Response::Status(status) = response(&text) else { panic!() };
        assert_eq!(status.kind, StatusKind::No);
        assert!(!matches!(status.code, Some(Code::Other { .. })), "{code}");
        let mut out = Vec::new();
        let encoding = NameEncoding::ModifiedUtf7;
        serialize::response(&Response::Status(status), encoding, &mut out);
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), text);
    }
}
