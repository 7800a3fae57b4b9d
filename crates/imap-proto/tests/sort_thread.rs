//! SORT, THREAD and COMPARATOR: what is read, what is refused, and threads of any shape.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use imap_proto::parse::{self, Frame};
use imap_proto::serialize::{self, ClientOptions, LiteralSupport};
use imap_proto::types::{
    Command, CommandBody, ComparatorReply, NameEncoding, Numbering, Response, SearchKey,
    SearchReturn, SortCriterion, SortKey, ThreadAlgorithm, ThreadMember,
};
use mail_types::ModSeq;

fn command(text: &str) -> Option<CommandBody> {
    parse::command(Frame::whole(text.as_bytes())).ok().map(|command| command.body)
}

fn rewritten(text: &str) -> String {
    let command: Command = parse::command(Frame::whole(text.as_bytes())).unwrap();
    let options =
        ClientOptions { encoding: NameEncoding::ModifiedUtf7, literals: LiteralSupport::Plus };
    let chunks = serialize::command(&command, options);
    match chunks.as_slice() {
        [serialize::Chunk::Bytes(bytes)] => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn written(response: &Response) -> String {
    let mut out = Vec::new();
    serialize::response(response, NameEncoding::ModifiedUtf7, &mut out);
    String::from_utf8(out).unwrap().trim_end().to_owned()
}

fn read(text: &str) -> Option<Response> {
    parse::response(Frame::whole(text.as_bytes())).ok()
}

fn members(text: &str) -> Vec<(Option<u32>, u32)> {
    match read(text) {
        Some(Response::Thread(members)) => members.iter().map(|m| (m.number, m.depth)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sort_is_read_with_all_its_parts() {
    let text =
        "a UID SORT RETURN (MIN max ALL COUNT SAVE) (reverse DATE DisplayFrom) \"utf-8\" SEEN 1:5";
    let Some(CommandBody::Sort(sort)) = command(text) else { panic!("{text}") };
    assert_eq!(
        sort.criteria,
        [
            SortCriterion { key: SortKey::Date, reverse: true },
            SortCriterion { key: SortKey::DisplayFrom, reverse: false },
        ]
    );
    let search = sort.search;
    assert_eq!(search.numbering, Numbering::Uid);
    assert_eq!(search.charset.as_deref(), Some("utf-8"));
    assert_eq!(search.returns.unwrap().len(), 5);
    assert!(matches!(search.keys.as_slice(), [SearchKey::Flag(_), SearchKey::Sequence(_)]));
    assert_eq!(
        rewritten(text),
        "a UID SORT RETURN (MIN MAX ALL COUNT SAVE) (REVERSE DATE DISPLAYFROM) utf-8 SEEN 1:5\r\n"
    );
}

#[test]
fn an_empty_list_of_return_options_is_not_the_same_as_none() {
    let Some(CommandBody::Sort(sort)) = command("a SORT RETURN () (SIZE) UTF-8 ALL") else {
        panic!("not read")
    };
    assert_eq!(sort.search.returns, Some(Vec::<SearchReturn>::new()));
    let Some(CommandBody::Sort(sort)) = command("a SORT (SIZE) UTF-8 ALL") else {
        panic!("not read")
    };
    assert_eq!(sort.search.returns, None);
}

#[test]
fn a_sort_may_be_kept_up_to_date_and_told_in_parts() {
    let text = "a UID SORT RETURN (CONTEXT UPDATE (UID ENVELOPE) PARTIAL 1:50) (DATE) UTF-8 ALL";
    let Some(CommandBody::Sort(sort)) = command(text) else { panic!("not read") };
    assert_eq!(sort.search.returns.unwrap().len(), 3);
    assert_eq!(rewritten(text), format!("{text}\r\n"));
    assert_eq!(command("a SORT RETURN (RELEVANCY) (DATE) UTF-8 FUZZY TEXT x"), None);
}

#[test]
fn thread_is_read_in_all_its_algorithms() {
    for algorithm in ThreadAlgorithm::ALL {
        let text = format!("a THREAD {} UTF-8 ALL\r\n", algorithm.as_str());
        let Some(CommandBody::Thread(thread)) = command(text.trim_end()) else { panic!("{text}") };
        assert_eq!(thread.algorithm, algorithm);
        assert_eq!(rewritten(text.trim_end()), text);
    }
    assert!(matches!(command("a uid thread refs us-ascii all"), Some(CommandBody::Thread(_))));
}

#[test]
fn what_is_no_sort_or_thread_is_refused() {
    for text in [
        "a SORT",
        "a SORT (DATE)",
        "a SORT (DATE) UTF-8",
        "a SORT () UTF-8 ALL",
        "a SORT DATE UTF-8 ALL",
        "a SORT (REVERSE) UTF-8 ALL",
        "a SORT (REVERSE REVERSE DATE) UTF-8 ALL",
        "a SORT (LENGTH) UTF-8 ALL",
        "a SORT (DATE) \"\" ALL",
        "a SORT RETURN (FIRST) (DATE) UTF-8 ALL",
        "a SORT RETURN (ALL) UTF-8 ALL",
        "a THREAD",
        "a THREAD REFERENCES",
        "a THREAD REFERENCES UTF-8",
        "a THREAD JWZ UTF-8 ALL",
        "a THREAD RETURN (ALL) REFERENCES UTF-8 ALL",
        "a UID COMPARATOR",
        "a COMPARATOR \"\"",
    ] {
        assert_eq!(command(text), None, "{text}");
    }
    let many = format!("a SORT ({}) UTF-8 ALL", ["DATE"; 33].join(" "));
    assert_eq!(command(&many), None);
    let many = format!("a COMPARATOR {}", ["x"; 65].join(" "));
    assert_eq!(command(&many), None);
}

#[test]
fn a_sort_tells_its_modseq_at_the_end() {
    let sort = |numbers: &[u32]| Response::Sort {
        numbers: numbers.to_vec(),
        mod_seq: ModSeq::new(917_162_500),
    };
    assert_eq!(written(&sort(&[5, 2])), "* SORT 5 2 (MODSEQ 917162500)");
    assert_eq!(read("* SORT 5 2 (MODSEQ 917162500)"), Some(sort(&[5, 2])));
    assert_eq!(written(&sort(&[])), "* SORT");
}

#[test]
fn comparators_are_told_with_those_that_match() {
    let reply = ComparatorReply {
        active: "i;octet".to_owned(),
        matching: vec!["i;octet".to_owned(), "i;ascii-casemap".to_owned()],
    };
    let line = "* COMPARATOR i;octet (i;octet i;ascii-casemap)";
    assert_eq!(written(&Response::Comparator(reply.clone())), line);
    assert_eq!(read(line), Some(Response::Comparator(reply)));
    assert_eq!(rewritten("a COMPARATOR \"i;*\" default"), "a COMPARATOR \"i;*\" default\r\n");
    assert_eq!(rewritten("a COMPARATOR"), "a COMPARATOR\r\n");
}

#[test]
fn threads_are_a_list_with_depths() {
    assert_eq!(
        members("* THREAD (2)(3 6 (4 23)(44 7 96))"),
        [
            (Some(2), 0),
            (Some(3), 0),
            (Some(6), 1),
            (Some(4), 2),
            (Some(23), 3),
            (Some(44), 2),
            (Some(7), 3),
            (Some(96), 4)
        ]
    );
    assert_eq!(members("* THREAD ((3)(5))"), [(None, 0), (Some(3), 1), (Some(5), 1)]);
    assert!(members("* THREAD").is_empty());
}

#[test]
fn threads_that_are_not_closed_or_hold_something_else_are_refused() {
    for text in [
        "* THREAD (",
        "* THREAD (1",
        "* THREAD (1))",
        "* THREAD ()",
        "* THREAD 1",
        "* THREAD (0)",
        "* THREAD (1 x)",
        "* THREAD (1)x",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn random_threads_are_read_as_they_were_written() {
    for seed in 0..2000_u64 {
        let mut state = seed;
        let mut random = |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % u64::from(below)) as u32
        };
        let mut members: Vec<ThreadMember> = Vec::new();
        for number in 1..=random(12) {
            // Now and then a dummy with two children.
            let depth = members.last().map_or(0, |last| random(last.depth + 2));
            if random(4) == 0 {
                members.push(ThreadMember { number: None, depth });
                members.push(ThreadMember { number: Some(number * 10), depth: depth + 1 });
                members.push(ThreadMember { number: Some(number * 10 + 1), depth: depth + 1 });
            } else {
                members.push(ThreadMember { number: Some(number * 10), depth });
            }
        }
        let response = Response::Thread(members);
        let line = written(&response);
        assert_eq!(read(&line), Some(response), "seed {seed}: {line}");
    }
}

#[test]
fn a_thread_as_deep_as_a_mailbox_is_long_needs_no_stack() {
    let deep = 200_000;
    let chain: Vec<ThreadMember> =
        (0..deep).map(|depth| ThreadMember { number: Some(depth + 1), depth }).collect();
    let response = Response::Thread(chain);
    assert_eq!(read(&written(&response)), Some(response));
    // Each member has two children, the first of which goes on.
    let mut forks = Vec::new();
    (0..deep).for_each(|depth| forks.push(ThreadMember { number: Some(depth + 1), depth }));
    (1..deep).rev().for_each(|depth| forks.push(ThreadMember { number: Some(1), depth }));
    let response = Response::Thread(forks);
    assert_eq!(read(&written(&response)), Some(response));
}
