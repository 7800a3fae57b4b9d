//! Commands as clients really send them, what is refused and where, and hostile input.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use std::time::{Duration, Instant};

use imap_proto::parse::{self, ErrorKind, Frame};
use imap_proto::types::{
    AppendForm, AppendMessage, AppendPayload, CatPart, Command, CommandBody, Event, FetchItem,
    ListPattern, Literal, MailboxArg, MetadataDepth, ModRights, NameEncoding, Notify, Numbering,
    PartialRange, Peek, Preview, ResultEnd, RightsMode, SearchKey, SearchReturn, SearchSource,
    SeqBound, SeqRange, SequenceSet, SetAcl, StatusItem, StoreAction, StoreReply,
};
use mail_types::ModSeq;

fn command(text: &str) -> CommandBody {
    let parsed = parse::command(Frame::whole(text.as_bytes()));
    let Command { body, .. } = parsed.unwrap_or_else(|e| panic!("{e}: {text}"));
    body
}

fn error(text: &[u8]) -> parse::ParseError {
    match parse::command(Frame::whole(text)) {
        Err(error) => error,
        Ok(command) => panic!("{} is {command:?}", text.escape_ascii()),
    }
}

fn search(text: &str) -> Vec<SearchKey> {
    match command(&format!("a SEARCH {text}")) {
        CommandBody::Search(search) => search.keys,
        other => panic!("{other:?}"),
    }
}

fn notify(text: &str) -> Notify {
    match command(&format!("a NOTIFY {text}")) {
        CommandBody::Notify(notify) => notify,
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_are_read_with_and_without_the_parentheses_around_them() {
    let with = notify("SET (selected (MessageNew (UID FLAGS) MessageExpunge)) (personal NONE)");
    assert_eq!(
        with,
        notify("set (SELECTED messagenew (uid flags) messageexpunge) (Personal none)")
    );
    let Notify::Set { status: false, groups } = with else { panic!("{with:?}") };
    let new = Event::MessageNew(vec![FetchItem::Uid, FetchItem::Flags]);
    assert_eq!(groups[0].events, [new, Event::MessageExpunge]);
    assert!(groups[1].events.is_empty());
    assert_eq!(notify("NONE"), Notify::None);
}

#[test]
fn mailboxes_of_notify_stand_alone_or_in_a_list() {
    let one = notify("SET STATUS (subtree Lists MailboxName)");
    assert_eq!(one, notify("SET STATUS (subtree (\"Lists\") (MailboxName))"));
    assert_eq!(error(b"a NOTIFY SET (mailboxes () MailboxName)").offset, 25);
    assert_eq!(error(b"a NOTIFY SET (selected-sometimes NONE)").offset, 14);
}

#[test]
fn a_notify_that_never_ends_is_cut_off() {
    let groups = "(personal NONE) ".repeat(Notify::GROUPS_MAX + 1);
    let text = format!("a NOTIFY SET {}", groups.trim_end());
    assert_eq!(error(text.as_bytes()).kind, ErrorKind::TooMany);
    let events = "MailboxName ".repeat(Notify::EVENTS_MAX + 1);
    let text = format!("a NOTIFY SET (personal {})", events.trim_end());
    assert_eq!(error(text.as_bytes()).kind, ErrorKind::TooMany);
    let names = "x ".repeat(Notify::NAMES_MAX + 1);
    let text = format!("a NOTIFY SET (mailboxes ({}) MailboxName)", names.trim_end());
    assert_eq!(error(text.as_bytes()).kind, ErrorKind::TooMany);
}

fn fetch(text: &str) -> Vec<FetchItem> {
    match command(&format!("a FETCH 1 {text}")) {
        CommandBody::Fetch(fetch) => fetch.items,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_of_commands_and_items_are_read_in_any_letter_case() {
    assert_eq!(command("a noop"), CommandBody::Noop);
    assert_eq!(command("a uId ExPuNgE 1:*"), command("a UID EXPUNGE 1:*"));
    assert_eq!(
        fetch("(uid body.peek[header.fields (to)])"),
        fetch("(UID BODY.PEEK[HEADER.FIELDS (to)])")
    );
    assert_eq!(search("or seen not since 1-JAN-2020"), search("OR SEEN NOT SINCE 1-Jan-2020"));
}

#[test]
fn options_of_getmetadata_stand_before_the_mailbox_or_behind_it() {
    let get = |text: &str| match command(text) {
        CommandBody::GetMetadata(get) => get,
        other => panic!("{other:?}"),
    };
    let before = get("a GETMETADATA (MAXSIZE 10 DEPTH infinity) \"\" (/Shared/a /private/b)");
    let behind = get("a GETMETADATA \"\" (depth INFINITY maxsize 10) (/shared/a /private/B)");
    assert_eq!(before, behind);
    assert_eq!((before.max_size, before.depth), (Some(10), MetadataDepth::Infinity));
    // RFC 5464 §4.4.1 prints entries without parentheses.
    let bare = get("a GETMETADATA INBOX /private/comment /shared/comment");
    assert_eq!((bare.entries.len(), bare.depth), (2, MetadataDepth::Zero));
    assert_eq!(get("a GETMETADATA INBOX (\"/shared/a\")").entries.len(), 1);
    let sizes = get("a GETMETADATA (MAXSIZE 0) INBOX /private");
    assert_eq!((sizes.max_size, sizes.entries.len()), (Some(0), 1));
}

#[test]
fn names_and_values_of_annotations_that_the_rules_forbid_are_bad() {
    for text in [
        "a GETMETADATA INBOX",
        "a GETMETADATA INBOX ()",
        "a GETMETADATA INBOX /shared//a",
        "a GETMETADATA INBOX /shared/a/",
        "a GETMETADATA INBOX \"/shared/*\"",
        "a GETMETADATA INBOX \"/shared/%\"",
        "a GETMETADATA INBOX \"/shared/\u{fc}\"",
        "a GETMETADATA INBOX /comment",
        "a GETMETADATA (SIZE 3) INBOX /shared/a",
        "a GETMETADATA (DEPTH 2) INBOX /shared/a",
        "a GETMETADATA (MAXSIZE) INBOX /shared/a",
        "a SETMETADATA INBOX /shared/a \"x\"",
        "a SETMETADATA INBOX ()",
        "a SETMETADATA INBOX (/shared/a)",
        "a SETMETADATA INBOX (/shared/a x)",
        "a SETMETADATA INBOX (/shared NIL)",
        "a SETMETADATA INBOX (/private/vendor/cmu \"x\")",
        "a LIST \"\" * RETURN (METADATA)",
        "a LIST \"\" * RETURN (METADATA ())",
    ] {
        error(text.as_bytes());
    }
}

#[test]
fn values_of_annotations_may_be_any_octets() {
    let set =
        command("a SETMETADATA \"\" (/private/a ~{3}\r\n\0\r\n /private/b NIL /private/c \"\")");
    let CommandBody::SetMetadata(set) = set else { panic!("{set:?}") };
    let values: Vec<_> = set.entries.iter().map(|(_, value)| value.as_deref()).collect();
    assert_eq!(values, [Some(&b"\0\r\n"[..]), None, Some(b"")]);
    assert!(set.mailbox.raw().is_empty());
}

#[test]
fn the_annotations_that_one_command_asks_for_are_limited() {
    let names = |count: usize| (0..count).map(|n| format!(" /private/{n}")).collect::<String>();
    let list = |count| format!("a LIST \"\" * RETURN (METADATA ({}))", names(count));
    command(&list(32));
    command("a LIST \"\" * RETURN (METADATA /private/a SUBSCRIBED)");
    assert_eq!(error(list(33).as_bytes()).kind, ErrorKind::TooMany);
    command(&format!("a GETMETADATA INBOX{}", names(256)));
    let many = format!("a GETMETADATA INBOX{}", names(257));
    assert_eq!(error(many.as_bytes()).kind, ErrorKind::TooMany);
    let many = format!("a GETMETADATA INBOX ({})", names(257));
    assert_eq!(error(many.as_bytes()).kind, ErrorKind::TooMany);
}

fn set_acl(text: &str) -> SetAcl {
    match command(text) {
        CommandBody::SetAcl(set) => set,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rights_are_set_added_and_removed() {
    let rights = |text: &str| {
        let ModRights { mode, rights } = set_acl(&format!("a SETACL INBOX Chris {text}")).rights;
        (mode, rights)
    };
    let cda = || "cda".to_owned();
    assert_eq!(rights("cda"), (RightsMode::Set, cda()));
    assert_eq!(rights("+cda"), (RightsMode::Add, cda()));
    assert_eq!(rights("\"-cda\""), (RightsMode::Remove, cda()));
    assert_eq!(rights("{4+}\r\n+cda"), (RightsMode::Add, cda()));
    assert_eq!(rights("\"\""), (RightsMode::Set, String::new()));
    assert_eq!(rights("+"), (RightsMode::Add, String::new()));
    assert_eq!(rights("-"), (RightsMode::Remove, String::new()));
    assert_eq!(rights("l09"), (RightsMode::Set, "l09".to_owned()));
}

#[test]
fn identifiers_are_utf8_and_keep_their_dash() {
    let set = set_acl("a SETACL {5+}\r\nINBOX \"-J\u{f6}rg\" lr");
    assert_eq!((set.mailbox.raw(), set.identifier.as_str()), (&b"INBOX"[..], "-J\u{f6}rg"));
    let CommandBody::DeleteAcl(entry) = command("a deleteAcl INBOX $team") else { panic!() };
    assert_eq!(entry.identifier, "$team");
    let CommandBody::ListRights(entry) = command("a listrights ~/Mail/saved anyone") else {
        panic!()
    };
    assert_eq!((entry.mailbox.raw(), entry.identifier.as_str()), (&b"~/Mail/saved"[..], "anyone"));
    let latin1 = error(b"a SETACL INBOX \"J\xf6rg\" lr");
    assert_eq!((latin1.offset, latin1.expected), (15, "identifier in UTF-8"));
    for name in ["SETACL", "DELETEACL", "LISTRIGHTS"] {
        let text = format!("a {name} INBOX \"\" lr");
        assert_eq!(error(text.as_bytes()).expected, "identifier of 1 to 1024 octets", "{name}");
    }
}

#[test]
fn uppercase_rights_are_refused_by_name() {
    // RFC 4314 §3.1
    let wrong = error(b"A035 SETACL INBOX/Drafts John lrQswicda");
    assert_eq!(wrong.to_string(), "Uppercase rights are not allowed at offset 30");
    assert!(wrong.tag.is_some());
    assert_eq!(error(b"a SETACL INBOX John +L").kind, ErrorKind::NotAllowed);
    // Which letters are rights is no matter of syntax.
    assert_eq!(set_acl("A036 SETACL INBOX/Drafts John lrqswicda").rights.rights, "lrqswicda");
    for rights in ["l+r", "++l", "\"l r\"", "\"l\u{e4}\"", "l,r"] {
        let text = format!("a SETACL INBOX John {rights}");
        let expected = "rights: lowercase letters and digits";
        assert_eq!(error(text.as_bytes()).expected, expected, "{rights}");
    }
}

#[test]
fn commands_of_acl_take_exactly_their_arguments() {
    for text in [
        "a SETACL",
        "a SETACL INBOX",
        "a SETACL INBOX John",
        "a SETACL INBOX John lr more",
        "a DELETEACL INBOX",
        "a DELETEACL INBOX John lr",
        "a GETACL",
        "a GETACL INBOX John",
        "a LISTRIGHTS INBOX",
        "a LISTRIGHTS INBOX John lr",
        "a MYRIGHTS",
        "a MYRIGHTS INBOX John",
        "a LIST \"\" % RETURN (MYRIGHTS (lr))",
    ] {
        assert_eq!(error(text.as_bytes()).kind, ErrorKind::Syntax, "{text}");
    }
}

#[test]
fn identifiers_and_rights_have_a_greatest_length() {
    let set = |identifier: usize, rights: usize| {
        format!("a SETACL INBOX \"{}\" {}", "x".repeat(identifier), "l".repeat(rights))
    };
    assert_eq!(set_acl(&set(1024, 128)).rights.rights.len(), 128);
    assert_eq!(error(set(1025, 1).as_bytes()).kind, ErrorKind::Value);
    assert_eq!(error(set(1, 129).as_bytes()).kind, ErrorKind::TooMany);
}

#[test]
fn list_returns_the_rights_on_each_mailbox() {
    let CommandBody::List(list) = command("a LIST \"\" % RETURN (children myrights)") else {
        panic!()
    };
    assert!(list.returns.my_rights && list.returns.children && !list.returns.subscribed);
}

#[test]
fn quotas_are_set_by_name_and_number() {
    let CommandBody::SetQuota(set) = command("a SETQUOTA \"#user/a\" (storage 512 MESSAGE 0)")
    else {
        panic!("not SETQUOTA")
    };
    assert_eq!(set.root, b"#user/a");
    assert_eq!(set.limits, [("STORAGE".to_owned(), 512), ("MESSAGE".to_owned(), 0)]);
    assert_eq!(command("a GETQUOTA \"\""), CommandBody::GetQuota(Vec::new()));
    for text in [
        "a GETQUOTA",
        "a GETQUOTAROOT",
        "a SETQUOTA \"\"",
        "a SETQUOTA \"\" (STORAGE)",
        "a SETQUOTA \"\" (STORAGE -1)",
        "a SETQUOTA \"\" (STORAGE 9223372036854775808)",
    ] {
        error(text.as_bytes());
    }
}

#[test]
fn surplus_spaces_are_read_as_one_and_dropped_at_the_end() {
    assert_eq!(command("a NOOP  "), CommandBody::Noop);
    assert_eq!(command("a  SELECT   INBOX "), command("a SELECT INBOX"));
    assert_eq!(command("a FETCH 1 ( UID  FLAGS )"), command("a FETCH 1 (UID FLAGS)"));
    assert_eq!(error(b"a\tNOOP").offset, 1);
}

#[test]
fn wire_11_rfc822_peek_of_outlook_is_read() {
    assert_eq!(fetch("(RFC822.PEEK)"), [FetchItem::Rfc822(Peek::Peek)]);
    assert_eq!(fetch("RFC822.TEXT.PEEK"), [FetchItem::Rfc822Text(Peek::Peek)]);
    assert_eq!(fetch("RFC822"), [FetchItem::Rfc822(Peek::SetSeen)]);
    let written = |text: &str| format!("{:?}", fetch(text));
    assert!(written("BODY[2.MIME]").contains("part: [2], text: Some(Mime)"));
    assert!(written("BODY[2.1.HEADER]").contains("part: [2, 1], text: Some(Header)"));
}

#[test]
fn wire_15_stars_stand_anywhere_in_a_set() {
    let set = |text: &str| match command(&format!("a UID SEARCH {text}")) {
        CommandBody::Search(search) => match search.keys.into_iter().next() {
            Some(SearchKey::Sequence(set)) => set,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let range = |first, last| SequenceSet::new(vec![SeqRange { first, last }]);
    use SeqBound::{Last, Number};
    assert_eq!(set("*"), range(Last, Last));
    assert_eq!(set("*:5"), range(Last, Number(5)));
    assert_eq!(set("*:*"), range(Last, Last));
    assert_eq!(set("4294967295:*"), range(Number(u32::MAX), Last));
    assert_eq!(set("$"), SequenceSet::saved());
}

#[test]
fn wire_25_sets_of_thousands_and_long_quoted_strings_are_read() {
    let set: Vec<String> = (1..=50_000).map(|n| (n * 2).to_string()).collect();
    let CommandBody::Store(store) =
        command(&format!("a UID STORE {} +FLAGS.SILENT (\\Deleted)", set.join(",")))
    else {
        panic!("no STORE")
    };
    assert_eq!(store.set.ranges().len(), 50_000);
    assert_eq!((store.action, store.reply), (StoreAction::Add, StoreReply::Silent));
    let long = "x".repeat(8192);
    assert_eq!(search(&format!("SUBJECT \"{long}\"")), [SearchKey::Subject(long.into_bytes())]);
    let too_many = vec!["1"; SequenceSet::ITEMS_MAX + 1].join(",");
    let error = error(format!("a FETCH {too_many} UID").as_bytes());
    assert_eq!(error.kind, ErrorKind::TooMany);
}

#[test]
fn wire_17_names_are_read_whatever_they_hold_and_decoded_later() {
    let name = |text: &str| match command(&format!("a SELECT {text}")) {
        CommandBody::Select(select) => select.mailbox,
        other => panic!("{other:?}"),
    };
    assert_eq!(name("&U,BTFw-").decode(NameEncoding::ModifiedUtf7).unwrap(), "台北");
    assert_eq!(name("\"台北\"").decode(NameEncoding::Utf8).unwrap(), "台北");
    assert_eq!(name("a]b").raw(), b"a]b");
    assert_eq!(name("#x/&-y").decode(NameEncoding::ModifiedUtf7).unwrap(), "#x/&y");
    assert_eq!(name("inbox").name(NameEncoding::ModifiedUtf7).unwrap().as_str(), "INBOX");
    // A name that cannot be decoded is for the session to refuse, with a NO.
    assert!(name("&U,BTFw").decode(NameEncoding::ModifiedUtf7).is_err());
    assert!(name("\"caf\u{e9}\"").decode(NameEncoding::ModifiedUtf7).is_err());
    let CommandBody::Delete(broken) =
        parse::command(Frame::whole(b"a DELETE {3}\r\na\xff\xfe")).unwrap().body
    else {
        panic!("no DELETE")
    };
    assert!(broken.decode(NameEncoding::Utf8).is_err());
}

#[test]
fn patterns_may_hold_wildcards_and_raw_octets() {
    let CommandBody::List(list) =
        command("a LIST \"\" (% Caf\u{e9}/* \"a b%\") RETURN (STATUS (UNSEEN))")
    else {
        panic!("no LIST")
    };
    let raw: Vec<&[u8]> = list.patterns.iter().map(ListPattern::raw).collect();
    assert_eq!(raw, ["%".as_bytes(), "Caf\u{e9}/*".as_bytes(), b"a b%"]);
    assert_eq!(list.returns.status, [StatusItem::Unseen]);
    assert!(list.extended);
    let CommandBody::List(list) = command("a LIST \"\" \"\"") else { panic!("no LIST") };
    assert!(!list.extended && list.patterns[0].raw().is_empty());
}

#[test]
fn fetch_items_of_every_extension_are_read() {
    assert_eq!(
        fetch("(MODSEQ EMAILID THREADID SAVEDATE PREVIEW (LAZY) BINARY.SIZE[1.2] PREVIEW)"),
        [
            FetchItem::ModSeq,
            FetchItem::EmailId,
            FetchItem::ThreadId,
            FetchItem::SaveDate,
            FetchItem::Preview(Preview::Lazy),
            FetchItem::BinarySize { part: vec![1, 2] },
            FetchItem::Preview(Preview::Full),
        ]
    );
    let CommandBody::Fetch(fetch) = command("a UID FETCH 1:* PREVIEW (CHANGEDSINCE 7 VANISHED)")
    else {
        panic!("no FETCH")
    };
    assert_eq!(fetch.numbering, Numbering::Uid);
    assert_eq!(fetch.changed_since.map(|m| m.get()), Some(7));
    assert!(fetch.vanished);
}

#[test]
fn append_is_read_in_all_its_forms() {
    let CommandBody::Append(append) = command(
        "a APPEND x (\\Seen $k) \" 7-Feb-1994 22:43:04 -0800\" {2}\r\nhi ~{3}\r\na\0b UTF8 (~{1+}\r\nx)",
    ) else {
        panic!("no APPEND")
    };
    let form = |message: &AppendMessage| match &message.data {
        AppendPayload::Literal { form, .. } => *form,
        AppendPayload::Catenate(parts) => panic!("{parts:?}"),
    };
    let forms: Vec<AppendForm> = append.messages.iter().map(form).collect();
    assert_eq!(forms, [AppendForm::Plain, AppendForm::Binary, AppendForm::Utf8]);
    assert_eq!(append.messages[0].date.unwrap().to_string(), " 7-Feb-1994 22:43:04 -0800");
    assert_eq!(error(b"a APPEND x UTF8 ({1}\r\nx)").offset, 17);
    assert_eq!(error(b"a APPEND x").expected, "space");
}

#[test]
fn append_is_put_together_from_texts_and_urls() {
    let line = "a append x (\\Seen) catenate (url /y/;UID=1 TEXT {2}\r\nhi Url \"/z/;UID=2\" \
                UTF8 (~{1}\r\nx))";
    let CommandBody::Append(append) = command(line) else { panic!("no APPEND") };
    let AppendPayload::Catenate(parts) = &append.messages[0].data else { panic!("{append:?}") };
    let text = |form, octets: &[u8]| CatPart::Text { form, data: Literal::Inline(octets.into()) };
    let url = |url: &str| CatPart::Url(url.into());
    assert_eq!(
        parts.as_slice(),
        [
            url("/y/;UID=1"),
            text(AppendForm::Plain, b"hi"),
            url("/z/;UID=2"),
            text(AppendForm::Utf8, b"x")
        ]
    );
    assert_eq!(error(b"a APPEND x CATENATE ()").expected, "TEXT or URL");
    assert_eq!(error(b"a APPEND x CATENATE ({1}\r\nx)").expected, "TEXT or URL");
    assert_eq!(error(b"a APPEND x CATENATE (TEXT abc)").expected, "literal");
    assert_eq!(error(b"a APPEND x CATENATE (URL /y;UID=1").expected, "space");
}

#[test]
fn search_return_options_and_charsets_are_read_in_order() {
    let CommandBody::Search(search) =
        command("a SEARCH RETURN (SAVE COUNT) CHARSET \"UTF-8\" UNSEEN")
    else {
        panic!("no SEARCH")
    };
    assert_eq!(search.returns, Some(vec![SearchReturn::Save, SearchReturn::Count]));
    assert_eq!(search.charset.as_deref(), Some("UTF-8"));
    let CommandBody::Search(search) = command("a SEARCH RETURN () ALL") else {
        panic!("no SEARCH")
    };
    assert_eq!(search.returns, Some(vec![]));
    let CommandBody::Search(search) = command("a SEARCH ALL") else { panic!("no SEARCH") };
    assert_eq!(search.returns, None);
}

#[test]
fn a_part_of_a_result_counts_from_one_of_its_ends() {
    let range = |text: &str| {
        let CommandBody::Search(search) = command(&format!("a SEARCH RETURN ({text}) ALL")) else {
            panic!("no SEARCH")
        };
        search.returns.unwrap()
    };
    let part = |from, first, last| SearchReturn::Partial(PartialRange { from, first, last });
    assert_eq!(range("PARTIAL 500:1"), [part(ResultEnd::Oldest, 500, 1)]);
    assert_eq!(
        range("COUNT partial -1:-100"),
        [SearchReturn::Count, part(ResultEnd::Newest, 1, 100)]
    );
    let CommandBody::Fetch(fetch) =
        command("a UID FETCH 1:9 PREVIEW (PARTIAL -1:-3 CHANGEDSINCE 5)")
    else {
        panic!("no FETCH")
    };
    let last_three = PartialRange { from: ResultEnd::Newest, first: 1, last: 3 };
    assert_eq!(fetch.partial, Some(last_three));
    assert_eq!(fetch.changed_since, ModSeq::new(5));
}

#[test]
fn update_may_name_items_of_new_messages() {
    let returns = |text: &str| {
        let CommandBody::Search(search) = command(&format!("a SEARCH RETURN ({text}) ALL")) else {
            panic!("no SEARCH")
        };
        search.returns.unwrap()
    };
    let items = vec![FetchItem::Uid, FetchItem::Flags];
    assert_eq!(
        returns("COUNT UPDATE (UID FLAGS) MIN"),
        [SearchReturn::Count, SearchReturn::Update(items.clone()), SearchReturn::Min]
    );
    // As the grammar has it, without a space. RFC 5465 §8
    assert_eq!(returns("UPDATE(UID FLAGS)"), [SearchReturn::Update(items)]);
    assert_eq!(returns("UPDATE"), [SearchReturn::Update(vec![])]);
    let many = vec!["UID"; SearchReturn::UPDATE_ITEMS_MAX].join(" ");
    assert!(matches!(returns(&format!("UPDATE ({many})")).as_slice(), [SearchReturn::Update(_)]));
    for wrong in ["UPDATE ()", "UPDATE (FOO)", "MIN (UID)", &format!("UPDATE ({many} UID)")] {
        let text = format!("a SEARCH RETURN ({wrong}) ALL");
        assert!(parse::command(Frame::whole(text.as_bytes())).is_err(), "{text}");
    }
}

#[test]
fn esearch_names_its_sources() {
    let CommandBody::MultiSearch(multi) = command(
        "a ESEARCH IN (selected subtree (\"a b\" c) subtree-one x mailboxes y) RETURN (ALL) 1:5",
    ) else {
        panic!("no ESEARCH")
    };
    let name = |text: &str| MailboxArg::from_wire(text.as_bytes().to_vec());
    assert_eq!(
        multi.sources.unwrap(),
        [
            SearchSource::Selected,
            SearchSource::Subtree(vec![name("a b"), name("c")]),
            SearchSource::SubtreeOne(vec![name("x")]),
            SearchSource::Mailboxes(vec![name("y")]),
        ]
    );
    assert_eq!(multi.search.numbering, Numbering::Uid);
    let CommandBody::MultiSearch(multi) = command("a UID ESEARCH FROM \"frobozz\" 1:100") else {
        panic!("no ESEARCH")
    };
    assert_eq!(multi.sources, None);
    assert_eq!(multi.search.keys.len(), 2);
}

#[test]
fn cancelupdate_takes_tags() {
    let CommandBody::CancelUpdate(tags) = command("a CANCELUPDATE \"B01\" \"B02\"") else {
        panic!("no CANCELUPDATE")
    };
    assert_eq!(tags, ["B01", "B02"]);
}

#[test]
fn errors_tell_the_tag_the_offset_and_what_was_expected() {
    for (text, offset, expected) in [
        ("a SEARCH RETURN (PARTIAL 0:5) ALL", 25, "number above zero"),
        ("a SEARCH RETURN (PARTIAL 1:*) ALL", 27, "number below 2^32"),
        ("a SEARCH RETURN (PARTIAL -1:5) ALL", 28, "position that counts from the same end"),
        ("a SEARCH RETURN (PARTIAL) ALL", 24, "space"),
        ("a ESEARCH IN () ALL", 14, "source of ESEARCH"),
        ("a ESEARCH IN (selected-delayed) ALL", 14, "known source of ESEARCH"),
        ("a ESEARCH IN (personal (depth 1)) ALL", 23, "source of ESEARCH"),
        ("a ESEARCH IN (mailboxes ()) ALL", 25, "mailbox"),
        ("a CANCELUPDATE", 14, "space"),
        ("a CANCELUPDATE \"\"", 15, "tag of a search"),
        ("a SEARCH FUZZY", 14, "space"),
        ("a SELECT", 8, "space"),
        ("a SELECT INBOX (FOO)", 16, "CONDSTORE, ANNOTATE or one QRESYNC"),
        ("a SELECT INBOX ()", 16, "parameter of SELECT"),
        ("a SELECT INBOX x", 15, "("),
        ("a SELECT \"abc", 13, "closing quote"),
        ("a SELECT \"a\\b\"", 11, "\\\" or \\\\"),
        ("a NOOP x", 7, "end of command"),
        ("a FETCH 0 UID", 8, "number above zero"),
        ("a FETCH 4294967296 UID", 8, "number below 2^32"),
        ("a FETCH 1: UID", 10, "sequence set"),
        ("a FETCH 1,,2 UID", 10, "sequence set"),
        ("a FETCH 1 ()", 11, "fetch item"),
        ("a FETCH 1 (UID FOO)", 15, "known fetch item"),
        ("a FETCH 1 BODY[", 15, "section"),
        ("a FETCH 1 BODY[MIME]", 15, "HEADER, HEADER.FIELDS, TEXT or, of a part, MIME"),
        ("a FETCH 1 BODY[0]", 15, "number above zero"),
        ("a FETCH 1 BODY[]<0.0>", 19, "number above zero"),
        ("a FETCH 1 BODY[]<0>", 18, ". in <offset.length>"),
        ("a FETCH 1 BODY[HEADER.FIELDS ()]", 30, "header field"),
        ("a STORE 1 FLAG (\\Seen)", 10, "FLAGS, FLAGS.SILENT or ANNOTATION"),
        ("a STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()", 26, "number below 2^63"),
        ("a UID FETCH 1 FLAGS (CHANGEDSINCE 0)", 34, "number above zero"),
        ("a SEARCH", 8, "space"),
        ("a SEARCH FOO", 9, "known search key"),
        ("a SEARCH SINCE 31-Feb-2020", 15, "date like 1-Feb-1994"),
        ("a SEARCH LARGER -1", 16, "number below 2^63"),
        ("a SEARCH OR SEEN", 16, "space"),
        ("a SEARCH ()", 10, "search key"),
        ("a SEARCH OLDER 0", 15, "number above zero"),
        ("a SEARCH EMAILID \"x\"", 17, "object id"),
        ("a LIST (RECURSIVEMATCH) \"\" %", 7, "SUBSCRIBED with RECURSIVEMATCH"),
        ("a LIST (REMOTE RECURSIVEMATCH) \"\" %", 7, "SUBSCRIBED with RECURSIVEMATCH"),
        ("a LIST (FOO) \"\" %", 8, "known selection option"),
        ("a LIST \"\" % RETURN (FOO)", 20, "known return option"),
        ("a LIST \"\" ()", 11, "pattern"),
        ("a STATUS x ()", 12, "status item"),
        ("a STATUS x (FOO)", 12, "known status item"),
        ("a ENABLE", 8, "capability"),
        ("a AUTHENTICATE PLAIN AAA=BBB", 21, "base64"),
        ("a AUTHENTICATE PLAIN \"AAAA\"", 21, "base64"),
        ("a LOGIN joe", 11, "space"),
        ("a CREATE x (USE (Sent))", 17, "special use"),
        ("a RENAME x", 10, "space"),
        ("a UID NOOP", 6, "command that has a UID form"),
        ("a COPY 1 ", 9, "atom or string"),
        (
            "a APPEND x (\\Seen) \"7-Feb-1994\" {1}\r\nx",
            19,
            "date-time like \" 1-Feb-1994 21:52:25 -0800\"",
        ),
    ] {
        let error = error(text.as_bytes());
        assert_eq!((error.offset, error.expected), (offset, expected), "{text}");
        assert_eq!(error.tag.unwrap().as_str(), "a", "{text}");
    }
}

#[test]
fn an_unknown_command_keeps_its_tag_and_a_missing_tag_is_told() {
    let unknown = error(b"x1 XPIG-LATIN");
    assert_eq!(unknown.kind, ErrorKind::UnknownCommand);
    assert_eq!(unknown.tag.unwrap().as_str(), "x1");
    for text in [&b"+ NOOP"[..], b"", b" NOOP", b"a+b NOOP", b"(a NOOP", b"\xff NOOP", b"{5}"] {
        let error = error(text);
        assert_eq!((error.tag, error.expected), (None, "tag"), "{}", text.escape_ascii());
    }
    assert_eq!(error(b"a").expected, "space");
    assert_eq!(error(&[b'a'; 300]).tag, None);
}

#[test]
fn nul_and_line_breaks_are_refused_in_strings() {
    assert_eq!(error(b"a LOGIN \"j\0e\" pw").expected, "character of a quoted string");
    assert_eq!(error(b"a LOGIN \"j\re\" pw").expected, "character of a quoted string");
    assert_eq!(error(b"a LOGIN {3}\r\nj\0e pw").expected, "literal without NUL");
    assert_eq!(error(b"a LOGIN j\0e pw").expected, "space");
    assert_eq!(error(b"a SELECT {5}\r\nabc").expected, "as many octets as the literal announced");
    // A literal may hold line breaks: where it ends is known beforehand.
    let text = "a LOGIN {6}\r\nj\r\nb L {2}\r\npw";
    assert!(matches!(command(text), CommandBody::Login(login) if login.user == b"j\r\nb L"));
}

#[test]
fn partials_at_the_edge_of_the_number_space_are_exact_or_refused() {
    let items = fetch("BODY[]<4294967295.1>");
    assert!(matches!(&items[0], FetchItem::Section { partial: Some(p), .. }
        if p.offset == 4_294_967_295 && p.length == 1));
    let items = fetch("BODY[]<0.9223372036854775807>");
    assert!(matches!(&items[0], FetchItem::Section { partial: Some(p), .. }
        if p.within(10) == (0..10)));
    assert_eq!(error(b"a FETCH 1 BODY[]<0.18446744073709551615>").kind, ErrorKind::Value);
    assert_eq!(error(b"a FETCH 1 BODY[]<9223372036854775808.1>").kind, ErrorKind::Value);
    assert_eq!(error(b"a SEARCH LARGER 9223372036854775808").kind, ErrorKind::Value);
    assert_eq!(error(b"a UID FETCH 0 UID").kind, ErrorKind::Value);
}

#[test]
fn nesting_is_refused_at_once_however_deep_it_is() {
    let begin = Instant::now();
    for unit in ["(", "NOT ", "OR ", "NOT ("] {
        let text = format!("a SEARCH {}ALL", unit.repeat(1_000_000));
        assert_eq!(error(text.as_bytes()).kind, ErrorKind::TooDeep, "{unit}");
    }
    let text = format!("a LIST {}", "(".repeat(1_000_000));
    assert_eq!(error(text.as_bytes()).kind, ErrorKind::Syntax);
    let text = format!("a FETCH 1 BODY[{}1]", "1.".repeat(1_000_000));
    assert_eq!(error(text.as_bytes()).kind, ErrorKind::TooDeep);
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    let deepest = SearchKey::DEPTH_MAX;
    search(&format!("{}ALL", "NOT ".repeat(deepest)));
    let text = format!("a SEARCH {}ALL", "NOT ".repeat(deepest + 1));
    assert_eq!(error(text.as_bytes()).kind, ErrorKind::TooDeep);
}

#[test]
fn lists_have_an_end() {
    let many = |unit: &str, n: usize| unit.repeat(n);
    for text in [
        format!("a FETCH 1 ({}UID)", many("UID ", 1000)),
        format!("a STATUS x ({}SIZE)", many("SIZE ", 1000)),
        format!("a SEARCH {}ALL", many("ALL ", 5000)),
        format!("a SEARCH ({}ALL)", many("ALL ", 5000)),
        format!("a LIST \"\" ({}%)", many("% ", 1000)),
        format!("a STORE 1 FLAGS ({}x)", many("x ", 5000)),
        format!("a STORE 1 FLAGS {}x", many("x ", 5000)),
        format!("a ID ({}x x)", many("x x ", 100)),
        format!("a ENABLE {}x", many("x ", 1000)),
        format!("a FETCH 1 BODY[HEADER.FIELDS ({}x)]", many("x ", 1000)),
        format!("a APPEND x{}", many(" {1+}\r\nx", 1001)),
    ] {
        let error = error(text.as_bytes());
        assert_eq!(error.kind, ErrorKind::TooMany, "{}", &text[..40]);
    }
}

#[test]
fn a_command_cut_off_anywhere_is_an_error_or_another_command_but_never_a_panic() {
    let texts: [&[u8]; 6] = [
        b"a UID FETCH 1:*,5,$ (UID BODY.PEEK[1.2.HEADER.FIELDS (\"To\" {2}\r\nCc)]<0.5> PREVIEW (LAZY)) (CHANGEDSINCE 5 VANISHED)",
        b"a SEARCH RETURN (ALL) CHARSET UTF-8 OR (NOT HEADER \"X\" {3}\r\nabc) MODSEQ \"/flags/\\\\seen\" all 5",
        b"a SELECT \"x\" (CONDSTORE QRESYNC (1 2 3:4,5 (6 7)))",
        b"a LIST (SUBSCRIBED) \"\" (% \"x\") RETURN (STATUS (UNSEEN SIZE) CHILDREN)",
        b"a APPEND x (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" ~{3}\r\nabc UTF8 (~{1}\r\nx)",
        b"a UID STORE 1 (UNCHANGEDSINCE 5) -FLAGS.SILENT (\\Seen $x \\Foo)",
    ];
    for text in texts {
        parse::command(Frame::whole(text)).unwrap();
        for end in 0..text.len() {
            let _ = parse::command(Frame::whole(&text[..end]));
            let mut changed = text.to_vec();
            changed[end] ^= 0x20;
            let _ = parse::command(Frame::whole(&changed));
        }
    }
}

#[test]
fn flags_are_sorted_into_what_can_be_stored_and_what_cannot() {
    let CommandBody::Store(store) = command("a STORE 1 +FLAGS (\\seen \\Recent \\Foo $Junk $junk)")
    else {
        panic!("no STORE")
    };
    assert_eq!(store.flags.flags.keywords().len(), 1);
    assert!(store.flags.recent);
    assert_eq!(store.flags.other, ["\\Foo"]);
}

#[test]
fn mailbox_arguments_compare_by_their_octets() {
    assert_eq!(command("a DELETE x"), CommandBody::Delete(MailboxArg::from_wire("x")));
    assert_eq!(command("a DELETE \"x\""), command("a DELETE {1}\r\nx"));
}
