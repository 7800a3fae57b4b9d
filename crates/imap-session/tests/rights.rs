//! Every command with every set of rights that matters, compared with the table of RFC 4314 §4,
//! which is written down here by hand.
//!
//! The rights are those of a guest to one mailbox of another account: none, all, each alone, each
//! pair, and all but one or two. What is denied changes nothing, and is answered as for a mailbox
//! that does not exist unless the guest may look it up (§6).

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;

use testkit::pure::{PASSWORD, PureServer, USER};
use testkit::script::Peer as _;

/// A command, in which `<box>` is the mailbox in question and `<other>` one to which the guest has
/// all rights.
struct Row {
    command: &'static str,
    /// All of these rights are needed,
    all: &'static str,
    /// and one of these, if there are any.
    any: &'static str,
    denied: Denied,
    /// Whether the other account changes if the command is permitted.
    effect: Effect,
}

/// How a command is refused.
#[derive(Clone, Copy, PartialEq)]
enum Denied {
    /// As if the mailbox did not exist; with `l`, as NOPERM.
    AsMissing,
    /// Always with NOPERM: it is not about a mailbox that exists.
    NoPerm,
    /// With any NO: the mailbox is selected, so that nothing is to be hidden.
    No,
}

#[derive(Clone, Copy, PartialEq)]
enum Effect {
    Changes,
    Reads,
}

use Denied::{AsMissing, No, NoPerm};
use Effect::{Changes, Reads};

const fn row(
    command: &'static str,
    (all, any): (&'static str, &'static str),
    denied: Denied,
    effect: Effect,
) -> Row {
    Row { command, all, any, denied, effect }
}

/// Commands of the authenticated state, and those of the selected state that name a mailbox.
const NAMED: [Row; 23] = [
    row("STATUS <box> (MESSAGES)", ("r", ""), AsMissing, Reads),
    row("SELECT <box>", ("r", ""), AsMissing, Reads),
    row("EXAMINE <box>", ("r", ""), AsMissing, Reads),
    row("DELETE <box>", ("x", ""), AsMissing, Changes),
    row("RENAME <box> <other>/Moved", ("x", ""), AsMissing, Changes),
    row("RENAME <other>/Old <box>/Moved", ("k", ""), NoPerm, Changes),
    row("CREATE <box>/New", ("k", ""), NoPerm, Changes),
    row("CREATE <box>/Far/Away", ("k", ""), NoPerm, Changes),
    row("SETACL <box> dana lr", ("a", ""), AsMissing, Changes),
    row("SETACL <box> dana +i", ("a", ""), AsMissing, Changes),
    row("DELETEACL <box> erik", ("a", ""), AsMissing, Changes),
    row("GETACL <box>", ("a", ""), AsMissing, Reads),
    row("LISTRIGHTS <box> dana", ("a", ""), AsMissing, Reads),
    row("MYRIGHTS <box>", ("", "lrikxa"), AsMissing, Reads),
    row("APPEND <box> {4+}\r\ntext", ("i", ""), AsMissing, Changes),
    row("COPY 1 <box>", ("i", ""), AsMissing, Changes),
    row("UID COPY 1 <box>", ("i", ""), AsMissing, Changes),
    row("MOVE 1 <box>", ("i", ""), AsMissing, Changes),
    row("UID MOVE 1 <box>", ("i", ""), AsMissing, Changes),
    // RFC 5464 §3.3
    row("GETMETADATA <box> /shared/comment", ("l", "rswip"), AsMissing, Reads),
    row("SETMETADATA <box> (/shared/comment \"x\")", ("l", "rswip"), AsMissing, Changes),
    // Neither asks whether the mailbox exists.
    row("SUBSCRIBE <box>", ("", ""), AsMissing, Reads),
    row("UNSUBSCRIBE <box>", ("", ""), AsMissing, Reads),
];

/// Commands about the selected mailbox. To select it, r is granted in any case.
const SELECTED: [Row; 22] = [
    row("EXPUNGE", ("e", ""), No, Changes),
    row("UID EXPUNGE 1:*", ("e", ""), No, Changes),
    row("STORE 1 +FLAGS (\\Seen)", ("s", ""), No, Changes),
    row("UID STORE 1 +FLAGS.SILENT (\\Seen)", ("s", ""), No, Changes),
    row("STORE 2 -FLAGS (\\Deleted)", ("t", ""), No, Changes),
    row("STORE 1 +FLAGS (\\Deleted)", ("t", ""), No, Changes),
    row("STORE 1 +FLAGS (\\Flagged)", ("w", ""), No, Changes),
    row("STORE 1 +FLAGS (\\Answered \\Draft)", ("w", ""), No, Changes),
    row("STORE 1 +FLAGS (label)", ("w", ""), No, Changes),
    row("STORE 1 +FLAGS (\\Seen \\Deleted label)", ("", "swt"), No, Changes),
    row("STORE 1 FLAGS (\\Seen \\Deleted label)", ("", "swt"), No, Changes),
    row("COPY 1 INBOX", ("", ""), No, Reads),
    row("UID COPY 1 INBOX", ("", ""), No, Reads),
    row("COPY 1 <box>", ("i", ""), No, Changes),
    row("COPY 1 <other>", ("", ""), No, Changes),
    row("MOVE 1 INBOX", ("te", ""), No, Changes),
    row("UID MOVE 1 <other>", ("te", ""), No, Changes),
    row("REPLACE 1 <other> {4+}\r\ntext", ("te", ""), No, Changes),
    row("UID REPLACE 1 <box> {4+}\r\ntext", ("tei", ""), No, Changes),
    row("SEARCH ALL", ("", ""), No, Reads),
    row("FETCH 1 BODY.PEEK[]", ("", ""), No, Reads),
    row("UNSELECT", ("", ""), No, Reads),
];

type Rights = BTreeSet<char>;

const ALL: &str = "lrswipkxtea";

/// None, all, each right, each pair, and what is left without them.
fn sets() -> Vec<Rights> {
    let mut sets = BTreeSet::new();
    for a in ALL.chars() {
        for b in ALL.chars() {
            for removed in [vec![], vec![a], vec![a, b]] {
                sets.insert(removed.iter().copied().collect::<Rights>());
                sets.insert(ALL.chars().filter(|right| !removed.contains(right)).collect());
            }
        }
    }
    sets.into_iter().collect()
}

/// Of pairs only those that hold, or lack, a right that the row speaks of.
fn sets_for(row: &Row) -> impl Iterator<Item = Rights> {
    let (all, any) = (row.all, row.any);
    sets().into_iter().filter(move |rights| {
        let is_pair = |chosen: &[char]| chosen.len() == 2;
        let lacking: Vec<char> = ALL.chars().filter(|right| !rights.contains(right)).collect();
        let holding: Vec<char> = rights.iter().copied().collect();
        let speaks = |pair: &[char]| pair.iter().any(|it| all.contains(*it) || any.contains(*it));
        [holding, lacking].iter().all(|chosen| !is_pair(chosen) || speaks(chosen))
    })
}

fn letters(rights: &Rights) -> String {
    rights.iter().collect()
}

fn holds(rights: &Rights, all: &str, any: &str) -> bool {
    let has = |right| rights.contains(&right);
    all.chars().all(has) && (any.is_empty() || any.chars().any(has))
}

fn name(mailbox: &str) -> String {
    format!("\"Other Users/{USER}/{mailbox}\"")
}

/// A server in which a guest on connection 2 has these rights to `Box`: two messages, the second of
/// them `\Deleted`.
fn shared(rights: &str) -> PureServer {
    let mut server = PureServer::default();
    for user in [GUEST, "dana", "erik"] {
        server.make_account(user);
    }
    for (connection, user) in [(OWNER, USER), (VISITOR, GUEST)] {
        server.connect(connection);
        expect(&mut server, connection, &format!("LOGIN {user} {PASSWORD}"));
    }
    for command in [
        "CREATE Box",
        "CREATE Other/Old",
        "APPEND Box {4+}\r\none.",
        "APPEND Box (\\Deleted) {4+}\r\ntwo.",
        "SETACL Other chris lrswipkxtea",
        "SETACL Other/Old chris lrswipkxtea",
        "SETACL Box erik l",
    ] {
        expect(&mut server, OWNER, command);
    }
    if !rights.is_empty() {
        expect(&mut server, OWNER, &format!("SETACL Box {GUEST} {rights}"));
    }
    expect(&mut server, VISITOR, "APPEND INBOX (\\Seen \\Deleted \\Flagged label) {4+}\r\nmine");
    server
}

/// What is said to a command.
fn ask(server: &mut PureServer, connection: usize, command: &str) -> String {
    server.said(connection);
    server.send(connection, format!("a {command}\r\n").as_bytes());
    String::from_utf8(server.said(connection)).unwrap()
}

fn expect(server: &mut PureServer, connection: usize, command: &str) -> String {
    let said = ask(server, connection, command);
    assert!(last(&said).starts_with("a OK "), "{command}: {said}");
    said
}

fn last(said: &str) -> &str {
    said.lines().last().unwrap_or_default()
}

/// The command with names filled in.
fn filled(command: &str, mailbox: &str) -> String {
    let other = name("Other");
    let inner = |text: &str| format!("{}/", text.trim_end_matches('"'));
    let below = |text: String, word: &str, name: &str| {
        // The quote that closes the name stands behind what is below it.
        let Some(at) = text.find(&format!("{word}/")) else { return text.replace(word, name) };
        let rest = &text[at + word.len() + 1..];
        let end = rest.find(' ').unwrap_or(rest.len());
        format!("{}{}{}\"{}", &text[..at], inner(name), &rest[..end], &rest[end..])
    };
    let text = below(command.to_owned(), "<other>", &other);
    below(text, "<box>", &name(mailbox)).replace("<other>", &other)
}

/// Runs a row with these rights and compares with what the table says.
fn check(row: &Row, rights: &Rights, select: Option<&str>) {
    let granted = letters(rights);
    let place = format!("{} with {granted:?}", row.command);
    let mut server = shared(&granted);
    if let Some(mailbox) = select {
        expect(&mut server, VISITOR, &format!("SELECT {mailbox}"));
    }
    let before = server.account().modseq();
    let said = ask(&mut server, VISITOR, &filled(row.command, "Box"));
    let has_changed = server.account().modseq() != before;
    if holds(rights, row.all, row.any) {
        assert!(last(&said).starts_with("a OK "), "{place}: {said}");
        assert_eq!(has_changed, row.effect == Changes, "{place}: {said}");
        return;
    }
    assert!(!has_changed, "{place}: {said}");
    let is_told = rights.contains(&'l') || row.denied == NoPerm;
    match row.denied {
        No => assert!(last(&said).starts_with("a NO "), "{place}: {said}"),
        AsMissing | NoPerm if is_told => {
            assert!(last(&said).starts_with("a NO [NOPERM] "), "{place}: {said}");
        }
        AsMissing | NoPerm => {
            assert!(last(&said).starts_with("a NO ["), "{place}: {said}");
            let missing = ask(&mut server, VISITOR, &filled(row.command, "Missing"));
            assert_eq!(said, missing, "{place}");
        }
    }
}

#[test]
fn commands_that_name_a_mailbox_need_the_rights_of_the_table() {
    for row in &NAMED {
        // One of the guest's own is selected, for the commands that need that.
        let select = row.command.contains("COPY") || row.command.contains("MOVE");
        for rights in sets_for(row) {
            check(row, &rights, select.then_some("INBOX"));
        }
    }
}

#[test]
fn commands_about_the_selected_mailbox_need_the_rights_of_the_table() {
    for row in &SELECTED {
        for mut rights in sets_for(row) {
            rights.insert('r');
            check(row, &rights, Some(&name("Box")));
        }
    }
}

#[test]
fn list_shows_what_may_be_looked_up() {
    for rights in sets() {
        let mut server = shared(&letters(&rights));
        let told = format!("\"/\" {}\r\n", name("Box"));
        for command in ["LIST \"\" *", "LIST \"\" \"Other Users/%/%\""] {
            let said = expect(&mut server, VISITOR, command);
            let is_shown = said.contains(&told);
            assert_eq!(is_shown, rights.contains(&'l'), "{command} with {rights:?}: {said}");
        }
    }
}

#[test]
fn close_expunges_with_the_right_to_it_and_closes_without() {
    for mut rights in sets() {
        rights.insert('r');
        let mut server = shared(&letters(&rights));
        expect(&mut server, VISITOR, &format!("SELECT {}", name("Box")));
        expect(&mut server, VISITOR, "CLOSE");
        let said = expect(&mut server, OWNER, "STATUS Box (MESSAGES)");
        let left = if rights.contains(&'e') { 1 } else { 2 };
        assert!(said.contains(&format!("(MESSAGES {left})")), "{rights:?}: {said}");
    }
}

#[test]
fn fetch_sets_seen_with_the_right_to_it_and_reads_without() {
    for mut rights in sets() {
        rights.insert('r');
        let mut server = shared(&letters(&rights));
        expect(&mut server, VISITOR, &format!("SELECT {}", name("Box")));
        let said = expect(&mut server, VISITOR, "FETCH 1 BODY[]");
        assert!(said.contains("{4}\r\none."), "{said}");
        expect(&mut server, OWNER, "EXAMINE Box");
        let said = expect(&mut server, OWNER, "FETCH 1 FLAGS");
        assert_eq!(said.contains("\\Seen"), rights.contains(&'s'), "{rights:?}: {said}");
    }
}

/// `\Seen` with s, `\Deleted` with t, others with w: what comes in keeps no other flags, and comes
/// in all the same.
#[test]
fn what_is_added_keeps_the_flags_that_there_is_a_right_to() {
    let command = "APPEND <box> (\\Seen \\Deleted \\Flagged label) {4+}\r\ntext";
    for command in [command, "COPY 1 <box>", "MOVE 1 <box>"] {
        for mut rights in sets() {
            rights.insert('i');
            let mut server = shared(&letters(&rights));
            expect(&mut server, VISITOR, "SELECT INBOX");
            expect(&mut server, VISITOR, &filled(command, "Box"));
            expect(&mut server, OWNER, "EXAMINE Box");
            let said = expect(&mut server, OWNER, "FETCH 3 FLAGS");
            for (flag, right) in FLAGS {
                let is_kept = said.contains(flag);
                assert_eq!(is_kept, rights.contains(&right), "{command}, {rights:?}: {said}");
            }
        }
    }
}

#[test]
fn store_changes_the_flags_that_there_is_a_right_to() {
    for (store, is_there) in [
        ("STORE 1 +FLAGS (\\Seen \\Deleted \\Flagged label)", true),
        ("STORE 1 FLAGS (\\Seen \\Deleted \\Flagged label)", true),
        ("STORE 1 -FLAGS (\\Seen \\Deleted \\Flagged label)", false),
        ("STORE 1 FLAGS (\\Answered)", false),
    ] {
        for mut rights in sets() {
            rights.insert('r');
            let mut server = shared(&letters(&rights));
            expect(&mut server, OWNER, "SELECT Box");
            if !is_there {
                let set = "STORE 1 +FLAGS (\\Seen \\Deleted \\Flagged label)";
                expect(&mut server, OWNER, set);
            }
            expect(&mut server, VISITOR, &format!("SELECT {}", name("Box")));
            ask(&mut server, VISITOR, store);
            let said = expect(&mut server, OWNER, "FETCH 1 FLAGS");
            let told = said.lines().find(|line| line.starts_with("* 1 FETCH")).unwrap();
            for (flag, right) in FLAGS {
                let is_changed = told.contains(flag) == is_there;
                assert_eq!(is_changed, rights.contains(&right), "{store}, {rights:?}: {said}");
            }
        }
    }
}

#[test]
fn select_tells_read_write_and_the_permanent_flags_by_the_rights() {
    for mut rights in sets() {
        rights.insert('r');
        let mut server = shared(&letters(&rights));
        let said = expect(&mut server, VISITOR, &format!("SELECT {}", name("Box")));
        // RFC 4314 §5.2: all flags are shared.
        let is_writable = holds(&rights, "", "ieswt");
        let code = if is_writable { "a OK [READ-WRITE]" } else { "a OK [READ-ONLY]" };
        assert!(last(&said).starts_with(code), "{rights:?}: {said}");
        let permanent = said.lines().find(|line| line.contains("PERMANENTFLAGS")).unwrap();
        for (flag, right) in [("\\Seen", 's'), ("\\Deleted", 't'), ("\\Draft", 'w'), ("\\*", 'w')] {
            let is_told = permanent.contains(flag);
            assert_eq!(is_told, rights.contains(&right), "{rights:?}: {permanent}");
        }
    }
}

#[test]
fn rights_are_told_to_their_owner_as_they_were_granted() {
    for rights in sets() {
        let mut server = shared(&letters(&rights));
        let mut told: String = ALL.chars().filter(|right| rights.contains(right)).collect();
        if holds(&rights, "", "kx") {
            told.push('c');
        }
        if holds(&rights, "", "te") {
            told.push('d');
        }
        if holds(&rights, "", "lrikxa") {
            let said = expect(&mut server, VISITOR, &format!("MYRIGHTS {}", name("Box")));
            assert!(said.contains(&format!("MYRIGHTS {} {told}\r\n", name("Box"))), "{said}");
        }
        let said = expect(&mut server, OWNER, "GETACL Box");
        let entry = if told.is_empty() { String::new() } else { format!(" {GUEST} {told}") };
        let all = "lrswipkxteancd";
        assert!(said.contains(&format!("* ACL Box {USER} {all}{entry} erik l\r\n")), "{said}");
    }
}

#[test]
fn an_acl_has_a_greatest_length_and_what_shortens_it_is_never_refused() {
    let mut server = shared("lr");
    // Two entries are there already.
    for n in 2..100 {
        expect(&mut server, OWNER, &format!("SETACL Box user{n} lr"));
    }
    let before = server.account().modseq();
    let said = ask(&mut server, OWNER, "SETACL Box another lr");
    assert!(last(&said).starts_with("a NO [LIMIT] "), "{said}");
    assert_eq!(server.account().modseq(), before);
    expect(&mut server, OWNER, "SETACL Box user7 lrsw");
    expect(&mut server, OWNER, "DELETEACL Box another");
    expect(&mut server, OWNER, "DELETEACL Box user7");
    expect(&mut server, OWNER, "SETACL Box another lr");
    let said = expect(&mut server, OWNER, "GETACL Box");
    assert_eq!(said.lines().next().unwrap().split(' ').count(), 3 + 2 * 101);
}

/// RFC 4314 §2.1: what needs which right.
const FLAGS: [(&str, char); 4] =
    [("\\Seen", 's'), ("\\Deleted", 't'), ("\\Flagged", 'w'), ("label", 'w')];
const GUEST: &str = "chris";
const OWNER: usize = 1;
const VISITOR: usize = 2;
