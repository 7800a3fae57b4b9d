//! Responses as they are written, and as other servers write them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use imap_proto::parse::{self, Frame};
use imap_proto::serialize::{self, FetchWriter, Recent};
use imap_proto::types::{
    AclReply, BodyData, Code, Continuation, Esearch, FetchAttribute, FlagList, HeaderFields,
    ListAttribute, ListReply, MailboxArg, NameEncoding, Numbering, Response, Section, SectionText,
    SequenceSet, Status, StatusKind, StatusValue, Tag,
};
use imap_proto::{BlobSlice, Sink, Transform};
use mail_types::{
    Address, BodyFields, BodyStructure, Disposition, Envelope, ExtensionFields, Flags, Keyword,
    MessageId, ModSeq, Param, SeqNum, SystemFlags, Uid, UidSet, UidValidity,
};

fn written(response: &Response) -> String {
    written_in(response, NameEncoding::ModifiedUtf7)
}

fn written_in(response: &Response, encoding: NameEncoding) -> String {
    let mut out = Vec::new();
    serialize::response(response, encoding, &mut out);
    String::from_utf8(out).unwrap()
}

fn read(text: &str) -> Response {
    parse::response(Frame::whole(text.as_bytes())).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn fetch(attributes: Vec<FetchAttribute>) -> Response {
    Response::Fetch { seq: SeqNum::MIN, attributes }
}

fn uids(numbers: &[u32]) -> UidSet {
    numbers.iter().filter_map(|n| Uid::new(*n)).collect()
}

#[test]
fn wire_04_the_tag_of_esearch_is_quoted() {
    let reply = Esearch {
        tag: Some("a1".to_owned()),
        numbering: Numbering::Uid,
        count: Some(3),
        all: Some(uids(&[1, 2, 7]).into()),
        mod_seq: ModSeq::new(9),
        ..Esearch::default()
    };
    let text = written(&Response::Esearch(reply));
    assert_eq!(text, "* ESEARCH (TAG \"a1\") UID COUNT 3 ALL 1:2,7 MODSEQ 9\r\n");
}

#[test]
fn rights_and_identifiers_are_atoms_where_they_can_be() {
    let mailbox = MailboxArg::from_wire("INBOX");
    let entries = [("Fred", "lr"), ("-John Smith", ""), ("J\u{f6}rg", "nil")];
    let entries = entries.map(|(who, rights)| (who.to_owned(), rights.to_owned())).to_vec();
    let acl = Response::Acl(AclReply { mailbox: mailbox.clone(), entries });
    let text = "* ACL INBOX Fred lr \"-John Smith\" \"\" {5}\r\nJ\u{f6}rg \"nil\"\r\n";
    assert_eq!(written(&acl), text);
    assert_eq!(read(text.trim_end()), acl);
    let none = AclReply { mailbox, entries: vec![] };
    assert_eq!(written(&Response::Acl(none)), "* ACL INBOX\r\n");
}

#[test]
fn responses_about_rights_that_are_cut_short_are_none() {
    for text in [
        "* ACL",
        "* ACL INBOX Fred",
        "* ACL INBOX Fred lr John",
        "* ACL INBOX Fred LR",
        "* LISTRIGHTS INBOX",
        "* LISTRIGHTS INBOX Fred",
        "* MYRIGHTS INBOX",
        "* MYRIGHTS INBOX l r",
    ] {
        assert!(parse::response(Frame::whole(text.as_bytes())).is_err(), "{text}");
    }
}

#[test]
fn wire_03_a_search_without_hits_is_still_a_line() {
    let empty = Response::Search { numbers: vec![], mod_seq: ModSeq::new(5) };
    assert_eq!(written(&empty), "* SEARCH\r\n");
    let hits = Response::Search { numbers: vec![2, 1], mod_seq: ModSeq::new(5) };
    assert_eq!(written(&hits), "* SEARCH 2 1 (MODSEQ 5)\r\n");
}

#[test]
fn wire_05_a_continuation_has_its_space_even_without_a_text() {
    let text = |text: &'static str| Continuation::Text { code: None, text: text.into() };
    assert_eq!(written(&Response::Continuation(text("idling"))), "+ idling\r\n");
    assert_eq!(written(&Response::Continuation(text(""))), "+ \r\n");
    let challenge = |bytes: &[u8]| Response::Continuation(Continuation::Challenge(bytes.to_vec()));
    assert_eq!(written(&challenge(b"")), "+ \r\n");
    assert_eq!(written(&challenge(b"foo")), "+ Zm9v\r\n");
}

#[test]
fn status_texts_cannot_break_their_line_or_look_like_a_code() {
    let tagged = |text: &'static str| {
        let tag = Tag::new("a1").unwrap();
        written(&Response::Status(Status::tagged(tag, StatusKind::No, text)))
    };
    assert_eq!(tagged("no\r\n* BYE x"), "a1 NO no  * BYE x\r\n");
    assert_eq!(tagged("[ALERT] x"), "a1 NO (ALERT] x\r\n");
    assert_eq!(tagged("caf\u{e9}"), "a1 NO caf?\r\n");
    let status = Status::untagged(StatusKind::Ok, "caf\u{e9}").with_code(Code::Alert);
    let text = written_in(&Response::Status(status), NameEncoding::Utf8);
    assert_eq!(text, "* OK [ALERT] caf\u{e9}\r\n");
    let code = Code::Other { name: "X".to_owned(), arguments: Some("a]\r\nb".to_owned()) };
    let status = Status::untagged(StatusKind::Ok, "y").with_code(code);
    assert_eq!(written(&Response::Status(status)), "* OK [X] y\r\n");
}

#[test]
fn codes_about_messages_are_left_out_when_they_name_none() {
    let none = SequenceSet::default();
    let uid_validity = UidValidity::MIN;
    for code in [
        Code::CopyUid { uid_validity, source: none.clone(), target: none.clone() },
        Code::AppendUid { uid_validity, uids: none.clone() },
        Code::Modified(none.clone()),
    ] {
        let status = Status::untagged(StatusKind::Ok, "done").with_code(code);
        assert_eq!(written(&Response::Status(status)), "* OK done\r\n");
    }
    assert_eq!(written(&Response::Vanished { earlier: true, uids: none }), "");
    let gone = Response::Vanished { earlier: true, uids: uids(&[4, 5]).into() };
    assert_eq!(written(&gone), "* VANISHED (EARLIER) 4:5\r\n");
}

#[test]
fn names_are_atoms_quoted_or_literals_by_what_they_hold() {
    let list = |name: &str, encoding| {
        let reply = ListReply {
            attributes: vec![ListAttribute::HasNoChildren],
            delimiter: Some('/'),
            mailbox: MailboxArg::encode(name, encoding),
            child_info: vec![],
            old_name: None,
        };
        let text = written_in(&Response::List(reply), encoding);
        text.strip_prefix("* LIST (\\HasNoChildren) \"/\" ").unwrap().trim_end().to_owned()
    };
    use NameEncoding::{ModifiedUtf7, Utf8};
    assert_eq!(list("INBOX", ModifiedUtf7), "INBOX");
    assert_eq!(list("", ModifiedUtf7), "\"\"");
    assert_eq!(list("nil", ModifiedUtf7), "\"nil\"");
    assert_eq!(list("Sent \"x\\y\"", ModifiedUtf7), "\"Sent \\\"x\\\\y\\\"\"");
    assert_eq!(list("100% *", ModifiedUtf7), "\"100% *\"");
    assert_eq!(list("Entw\u{fc}rfe & mehr", ModifiedUtf7), "\"Entw&APw-rfe &- mehr\"");
    assert_eq!(list("Entw\u{fc}rfe", Utf8), "\"Entw\u{fc}rfe\"");
    assert_eq!(list("a]b", ModifiedUtf7), "a]b");
}

#[test]
fn texts_with_octets_that_no_quotes_can_hold_become_literals() {
    let mut envelope = Envelope { subject: Some(b"a\xe4b".to_vec()), ..Envelope::default() };
    let reply = |envelope: &Envelope, encoding| {
        let mut out = Vec::new();
        let value = fetch(vec![FetchAttribute::Envelope(Box::new(envelope.clone()))]);
        serialize::response(&value, encoding, &mut out);
        assert_eq!(parse::response(Frame::whole(out.trim_ascii_end())).unwrap(), value);
        out
    };
    let out = reply(&envelope, NameEncoding::ModifiedUtf7);
    assert!(out.starts_with(b"* 1 FETCH (ENVELOPE (NIL {3}\r\na\xe4b NIL NIL"));
    // Not UTF-8, so a literal in every mode.
    assert_eq!(reply(&envelope, NameEncoding::Utf8), out);
    envelope.subject = Some("\u{e4}".as_bytes().to_vec());
    let out = reply(&envelope, NameEncoding::Utf8);
    assert!(out.starts_with("* 1 FETCH (ENVELOPE (NIL \"\u{e4}\" NIL".as_bytes()));
    envelope.subject = Some(b"a\r\nb".to_vec());
    assert!(reply(&envelope, NameEncoding::Utf8).starts_with(b"* 1 FETCH (ENVELOPE (NIL {4}\r\n"));
    envelope.subject = Some("x".repeat(5000).into_bytes());
    assert!(reply(&envelope, NameEncoding::Utf8).starts_with(b"* 1 FETCH (ENVELOPE (NIL {5000}"));
}

#[test]
fn wire_22_envelopes_print_groups_empty_lists_and_missing_fields() {
    let name = |text: &str| Some(text.as_bytes().to_vec());
    let person = Address { name: None, adl: None, mailbox: name("joe"), host: name("x.example") };
    let start = Address { mailbox: name("crew"), ..Address::default() };
    let envelope = Envelope {
        from: vec![person.clone()],
        sender: vec![person.clone()],
        reply_to: vec![person.clone()],
        to: vec![start, person, Address::default()],
        ..Envelope::default()
    };
    let joe = "(NIL NIL \"joe\" \"x.example\")";
    assert_eq!(
        written(&fetch(vec![FetchAttribute::Envelope(Box::new(envelope))])),
        format!(
            "* 1 FETCH (ENVELOPE (NIL NIL ({joe}) ({joe}) ({joe}) \
             ((NIL NIL \"crew\" NIL){joe}(NIL NIL NIL NIL)) NIL NIL NIL NIL))\r\n"
        )
    );
}

fn plain_text() -> BodyStructure {
    BodyStructure::Text {
        subtype: b"PLAIN".to_vec(),
        fields: BodyFields {
            params: vec![Param { name: b"CHARSET".to_vec(), value: b"US-ASCII".to_vec() }],
            encoding: b"7BIT".to_vec(),
            octets: 1152,
            ..BodyFields::default()
        },
        lines: 23,
        md5: None,
        extension: ExtensionFields::default(),
    }
}

fn mixed(parts: Vec<BodyStructure>) -> BodyStructure {
    BodyStructure::Multipart {
        parts,
        subtype: b"MIXED".to_vec(),
        params: vec![Param { name: b"BOUNDARY".to_vec(), value: b"x y".to_vec() }],
        extension: ExtensionFields {
            disposition: Some(Disposition { kind: b"inline".to_vec(), params: vec![] }),
            language: vec![b"en".to_vec(), b"de".to_vec()],
            location: Some(b"here".to_vec()),
        },
    }
}

#[test]
fn wire_09_body_structures_are_told_in_full_and_bodies_without_extensions() {
    let body = mixed(vec![plain_text(), plain_text()]);
    let short = "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1152 23";
    assert_eq!(
        written(&fetch(vec![FetchAttribute::Body(Box::new(body.clone()))])),
        format!("* 1 FETCH (BODY ({short}){short}) \"MIXED\"))\r\n")
    );
    assert_eq!(
        written(&fetch(vec![FetchAttribute::BodyStructure(Box::new(body))])),
        format!(
            "* 1 FETCH (BODYSTRUCTURE ({short} NIL NIL NIL NIL){short} NIL NIL NIL NIL) \"MIXED\" \
             (\"BOUNDARY\" \"x y\") (\"inline\" NIL) (\"en\" \"de\") \"here\"))\r\n"
        )
    );
}

#[test]
fn a_multipart_without_parts_is_told_with_an_empty_one() {
    let text = written(&fetch(vec![FetchAttribute::BodyStructure(Box::new(mixed(vec![])))]));
    assert!(text.starts_with(
        "* 1 FETCH (BODYSTRUCTURE ((\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0) \"MIXED\" ("
    ));
    read(text.trim_end());
}

#[test]
fn the_body_structure_of_a_message_in_a_message_reads_back() {
    let inner = BodyStructure::Message {
        subtype: b"RFC822".to_vec(),
        fields: BodyFields { encoding: b"8BIT".to_vec(), octets: 99, ..BodyFields::default() },
        envelope: Box::default(),
        body: Box::new(plain_text()),
        lines: 4,
        md5: Some(b"abc".to_vec()),
        extension: ExtensionFields::default(),
    };
    let basic = BodyStructure::Basic {
        kind: b"IMAGE".to_vec(),
        subtype: b"PNG".to_vec(),
        fields: BodyFields { encoding: b"BASE64".to_vec(), octets: 5, ..BodyFields::default() },
        md5: None,
        extension: ExtensionFields::default(),
    };
    let value = fetch(vec![FetchAttribute::BodyStructure(Box::new(mixed(vec![inner, basic])))]);
    assert_eq!(read(written(&value).trim_end()), value);
}

#[test]
fn the_structures_of_rfc_9051_and_of_other_servers_are_read() {
    for text in [
        // RFC 9051 §7.5.2
        "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 2279 48)",
        "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1152 23)(\"TEXT\" \"PLAIN\" \
         (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" \
         \"Compiler diff\" \"BASE64\" 4554 73) \"MIXED\")",
        "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"UTF-8\") NIL NIL \"7BIT\" 100 3 NIL NIL NIL NIL)\
         (\"TEXT\" \"HTML\" (\"CHARSET\" \"UTF-8\") NIL NIL \"7BIT\" 100 3 NIL NIL NIL NIL) \
         \"ALTERNATIVE\" (\"BOUNDARY\" \"d3438gr7324\") NIL NIL NIL)",
        // Spaces between parts, NIL for an encoding, language as a string, extension data.
        "((\"text\" \"plain\" NIL NIL NIL NIL 1 1) (\"text\" \"html\" NIL NIL NIL \"7bit\" 1 1) \"mixed\")",
        "(\"image\" \"png\" (\"name\" NIL) NIL NIL \"base64\" 9 NIL (\"attachment\" NIL) \"en\" NIL (1 (\"x\") 2))",
        // An inner message that the server could not read.
        "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 9)",
    ] {
        let value = read(&format!("* 1 FETCH (BODYSTRUCTURE {text})"));
        assert_eq!(read(written(&value).trim_end()), value, "{text}");
    }
}

#[test]
fn deep_and_hostile_responses_are_refused_and_never_panic() {
    for (open, rest) in [("(", ""), ("((", "x"), ("(\"a\" ", "")] {
        let text = format!("* 1 FETCH (BODYSTRUCTURE {}{rest}", open.repeat(100_000));
        assert!(parse::response(Frame::whole(text.as_bytes())).is_err());
        let text = format!("* 1 FETCH (X {}{rest}", open.repeat(100_000));
        assert!(parse::response(Frame::whole(text.as_bytes())).is_err());
    }
    for text in [
        "",
        "*",
        "* ",
        "a",
        "a OK",
        "a FOO",
        "* 0 EXPUNGE",
        "* 1 FETCH (UID 0)",
        "* 99999999999 EXISTS",
    ] {
        let _ = parse::response(Frame::whole(text.as_bytes()));
    }
    assert!(parse::response(Frame::whole(b"* 0 EXPUNGE")).is_err());
    assert!(parse::response(Frame::whole(b"a FOO x")).is_err());
}

#[test]
fn what_a_client_does_not_know_is_read_over() {
    assert_eq!(read("* XYLIST (x) y"), Response::Other(b"XYLIST (x) y".to_vec()));
    let Response::Fetch { attributes, .. } =
        read("* 3 FETCH (X-GM-MSGID 123 UID 9 X-GM-LABELS (\\Inbox \"a b\" {1}\r\nx) FLAGS ())")
    else {
        panic!("no FETCH")
    };
    assert_eq!(attributes.len(), 2);
    let Response::StatusData(reply) = read("* STATUS x (X-GUID (ab) MESSAGES 3)") else {
        panic!("no STATUS")
    };
    assert_eq!(reply.values[1], StatusValue::Messages(3));
    let Response::Status(status) = read("* OK [X-NEW a b] done") else { panic!("no status") };
    assert!(matches!(status.code, Some(Code::Other { .. })));
    let Response::Status(status) = read("* OK [UIDNEXT 0] broken") else { panic!("no status") };
    assert!(matches!(status.code, Some(Code::Other { .. })));
    let Response::Status(status) = read("* OK [unclosed text") else { panic!("no status") };
    assert_eq!((status.code, &*status.text), (None, "[unclosed text"));
}

#[derive(Default)]
struct Pieces(Vec<u8>, Vec<BlobSlice>);

impl Sink for Pieces {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn blob(&mut self, slice: BlobSlice) {
        self.0.push(b'@');
        self.1.push(slice);
    }
}

#[test]
fn message_data_are_a_literal_header_and_a_slice() {
    let mut pieces = Pieces::default();
    let slice = BlobSlice::identity(MessageId(4), 100..350);
    let mut writer = FetchWriter::new(&mut pieces, NameEncoding::ModifiedUtf7, SeqNum::MIN);
    assert!(!writer.has_items());
    writer.uid(Uid::MIN);
    let keywords = [Keyword::new("$Junk").unwrap()];
    writer.flags(&Flags::new(SystemFlags::SEEN, keywords), Recent::Yes);
    writer.section(&Section::default(), Some(100), &BodyData::Blob(slice.clone()));
    let fields = HeaderFields(vec![b"To".to_vec(), b"X y".to_vec()]);
    let section = Section { part: vec![1, 2], text: Some(SectionText::HeaderFieldsNot(fields)) };
    writer.section(&section, None, &BodyData::Bytes(b"A: b\r\n\r\n".to_vec()));
    writer.section(&Section { part: vec![9], text: None }, None, &BodyData::Nil);
    let decoded = BlobSlice {
        transform: Transform::Base64 { skip: 3 },
        length: 7,
        ..BlobSlice::identity(MessageId(4), 0..20)
    };
    writer.attribute(&FetchAttribute::Binary {
        part: vec![2],
        origin: Some(3),
        data: BodyData::Blob(decoded.clone()),
    });
    writer.end();
    assert_eq!(
        String::from_utf8(pieces.0).unwrap(),
        "* 1 FETCH (UID 1 FLAGS (\\Seen $Junk \\Recent) BODY[]<100> {250}\r\n@ \
         BODY[1.2.HEADER.FIELDS.NOT (To \"X y\")] {8}\r\nA: b\r\n\r\n BODY[9] NIL \
         BINARY[2]<3> ~{7}\r\n@)\r\n"
    );
    assert_eq!(pieces.1, [slice, decoded]);
}

#[test]
fn a_fetch_without_items_is_no_line() {
    let mut out = Vec::new();
    FetchWriter::new(&mut out, NameEncoding::Utf8, SeqNum::MIN).end();
    assert!(out.is_empty());
}

#[test]
fn flags_keep_what_only_the_wire_knows() {
    let mut list = FlagList::from(Flags::system(SystemFlags::DELETED));
    list.recent = true;
    list.wildcard = true;
    list.add("\\Foo");
    assert_eq!(
        written(&Response::Flags(list.clone())),
        "* FLAGS (\\Deleted \\Recent \\Foo \\*)\r\n"
    );
    assert_eq!(read("* FLAGS (\\Deleted \\Recent \\Foo \\*)"), Response::Flags(list));
}

#[test]
fn what_is_not_known_stays_so_when_it_is_cleaned() {
    // Found by fuzzing: without the NUL the first would be an ESEARCH, the second an EXPUNGE.
    for unknown in [&b"ES\0EARCH (TAG \"a1\")"[..], b"9 EX\0PUNGE"] {
        let mut out = Vec::new();
        let response = Response::Other(unknown.to_vec());
        serialize::response(&response, NameEncoding::Utf8, &mut out);
        let line = out.strip_suffix(b"\r\n").unwrap();
        let again = parse::response(Frame::whole(line)).unwrap();
        assert!(matches!(again, Response::Other(_)), "{again:?}");
    }
    // Found by fuzzing: with the last octet replaced, the list of charsets would be whole.
    let response = parse::response(Frame::whole(b"a NO [BADCHARSET (\"] \" \xb1)] y")).unwrap();
    let mut once = Vec::new();
    serialize::response(&response, NameEncoding::ModifiedUtf7, &mut once);
    let again = parse::response(Frame::whole(once.strip_suffix(b"\r\n").unwrap())).unwrap();
    let mut twice = Vec::new();
    serialize::response(&again, NameEncoding::ModifiedUtf7, &mut twice);
    assert_eq!(once, twice);
    // Found by fuzzing: behind a NUL that becomes a space, the code would go on.
    assert!(parse::response(Frame::whole(b"a NO [BADCHARSET (]x \0)] y")).is_err());
}

#[test]
fn codes_are_read_in_any_letter_case_and_with_a_space_at_their_end() {
    for text in ["a NO [AlreadyExists] x", "a NO [ALREADYEXISTS ] x"] {
        assert_eq!(written(&read(text)), "a NO [ALREADYEXISTS] x\r\n");
    }
    assert_eq!(written(&read("a NO [x-new 1] x")), "a NO [X-NEW 1] x\r\n");
}
