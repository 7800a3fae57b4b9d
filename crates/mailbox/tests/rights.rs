//! What a guest may do: every operation against every right. RFC 4314 §4

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{ask, new_account, submit};
use mail_types::{
    AccountId, AnnotationName, EntryName, Flags, InternalDate, Keyword, MailboxId, MailboxName,
    ModSeq, SpecialUse, SystemFlags, Uid, UidSet,
};
use mailbox::{
    Account, Acl, Actor, AnnotationEdit, Annotations, Audience, Change, Context, Corruption,
    Decision, FlagMode, FlagsOutcome, Identifier, Limit, LogEntry, MetadataTarget, NewMessage,
    Operation, Outcome, Quota, Refusal, Rights, RightsChange, apply, decide,
};

use Needed::{All, LookupAndOne, Never, One};
use Told::{Always, Source, Target};

/// What must be among the rights to the mailbox that is looked at.
#[derive(Clone, Copy, Debug)]
enum Needed {
    /// All of these.
    All(&'static str),
    /// One of these.
    One(&'static str),
    /// `l`, and one of these.
    LookupAndOne(&'static str),
    /// No right is enough.
    Never,
}

/// How it is refused.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// NOPERM with `l`, else as if it did not exist.
    Source,
    /// NOPERM with `l`, else as a target that does not exist.
    Target,
    /// NOPERM: no mailbox is named that could be hidden.
    Always,
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn id(account: &Account, text: &str) -> MailboxId {
    account.by_name(&name(text)).unwrap().record().id
}

fn rights(letters: &str) -> Rights {
    Rights::parse(letters).unwrap()
}

fn identifier(text: &str) -> Identifier {
    Identifier::new(text).unwrap()
}

fn lee() -> Actor {
    Actor::Guest("lee".into())
}

fn guest(account: &Account, operation: &Operation) -> Result<Decision, Refusal> {
    decide(account, &lee(), operation, &Context { now: 1_700_000_000 })
}

fn submit_as_guest(account: &mut Account, operation: &Operation) -> Outcome {
    let decision = guest(account, operation).unwrap();
    if let Some(entry) = decision.entry {
        *account = apply(account, &entry).unwrap();
    }
    decision.outcome
}

fn grant(account: &mut Account, mailbox: &str, who: &str, letters: Rights) {
    let mailbox = id(account, mailbox);
    let (identifier, change) = (identifier(who), RightsChange::Set(letters));
    submit(account, &Operation::SetAcl { mailbox, identifier, change });
}

fn create(account: &mut Account, text: &str) {
    submit(account, &Operation::CreateMailbox { name: name(text), special_use: Vec::new() });
}

fn flags(names: &str) -> Flags {
    let mut flags = Flags::default();
    for name in names.split_whitespace() {
        match SystemFlags::from_name(name) {
            Some(flag) => flags.system = flags.system.union(flag),
            None => flags.insert(Keyword::new(name).unwrap()),
        }
    }
    flags
}

fn message(names: &str) -> NewMessage {
    let internal_date = InternalDate::utc(1_600_000_000);
    let (flags, annotations) = (flags(names), Annotations::default());
    NewMessage { message: None, thread: None, size: 10, internal_date, flags, annotations }
}

fn add(account: &mut Account, mailbox: &str, messages: &[&str]) {
    let mailbox = id(account, mailbox);
    let messages = messages.iter().map(|names| message(names)).collect();
    submit(account, &Operation::AddMessages { mailbox, messages });
}

fn flags_in(account: &Account, mailbox: &str) -> Vec<Flags> {
    let mailbox = account.by_name(&name(mailbox)).unwrap();
    mailbox.contents().unwrap().iter().map(|entry| entry.flags()).collect()
}

fn uids(first: u32, last: u32) -> UidSet {
    UidSet::range(Uid::new(first).unwrap(), Uid::new(last).unwrap())
}

fn entries(text: &str) -> Vec<(EntryName, Option<Vec<u8>>)> {
    vec![(EntryName::new(text).unwrap(), Some(b"1".to_vec()))]
}

/// Two mailboxes beside each other, one of them with messages and a child.
fn stage() -> Account {
    let mut account = new_account();
    for text in ["from", "from/below", "to"] {
        create(&mut account, text);
    }
    add(&mut account, "from", &["\\Deleted", "\\Seen", "\\Flagged $Forwarded"]);
    account
}

fn store(account: &Account, mode: FlagMode, names: &str) -> Operation {
    let (mailbox, uids, flags) = (id(account, "from"), uids(1, 3), flags(names));
    Operation::SetFlags { mailbox, uids, mode, flags, unchanged_since: None }
}

/// An operation, the mailbox whose list is varied, what it needs there, how it is refused.
type Row = (&'static str, Operation, &'static str, Needed, Told);

/// RFC 4314 §4 by hand; RFC 6851 §4.2, RFC 8508 §4.1 and RFC 5464 §3.3 for what came later.
fn table(account: &Account) -> Vec<Row> {
    [of_names(), of_flags(account), of_messages(account), of_account(account)].concat()
}

fn of_names() -> Vec<Row> {
    let make = |text| Operation::CreateMailbox { name: name(text), special_use: Vec::new() };
    let delete = Operation::DeleteMailbox { name: name("to") };
    let rename = |to: &str| Operation::RenameMailbox { from: name("from"), to: name(to) };
    vec![
        ("CREATE", make("from/x/y"), "from", All("k"), Always),
        ("CREATE at the top", make("x"), "from", Never, Always),
        ("DELETE", delete, "to", All("x"), Source),
        ("RENAME, old", rename("to/x"), "from", All("x"), Source),
        ("RENAME, new", rename("to/x"), "to", All("k"), Always),
        ("RENAME to the top", rename("x"), "to", Never, Always),
        ("SUBSCRIBE", Operation::Subscribe { name: name("from") }, "from", Never, Always),
        ("UNSUBSCRIBE", Operation::Unsubscribe { name: name("from") }, "from", Never, Always),
    ]
}

fn of_flags(account: &Account) -> Vec<Row> {
    let store = |mode, names| store(account, mode, names);
    let annotate = |audience| {
        let name = AnnotationName::new("/comment").unwrap();
        let edits = vec![AnnotationEdit { name, audience, value: Some(b"x"[..].into()) }];
        let mailbox = id(account, "from");
        Operation::Annotate { mailbox, uids: uids(1, 3), edits, unchanged_since: None }
    };
    vec![
        ("STORE +\\Seen", store(FlagMode::Add, "\\Seen"), "from", All("s"), Source),
        ("STORE -\\Deleted", store(FlagMode::Remove, "\\Deleted"), "from", All("t"), Source),
        ("STORE +\\Draft", store(FlagMode::Add, "\\Draft"), "from", All("w"), Source),
        ("STORE -$x", store(FlagMode::Remove, "$x"), "from", All("w"), Source),
        ("STORE two", store(FlagMode::Add, "\\Seen $x"), "from", One("sw"), Source),
        ("STORE none", store(FlagMode::Add, ""), "from", One("swt"), Source),
        ("STORE all", store(FlagMode::Replace, "$x"), "from", One("swt"), Source),
        // RFC 5257 §3.4
        ("STORE .shared", annotate(Audience::Everyone), "from", All("rn"), Source),
        ("STORE .priv", annotate(Audience::Reader(AccountId(7))), "from", All("r"), Source),
        ("STORE .priv of the owner", annotate(Audience::Owner), "from", Never, Source),
    ]
}

fn of_messages(account: &Account) -> Vec<Row> {
    let (from, to) = (id(account, "from"), id(account, "to"));
    let uids = uids(1, 3);
    let append = Operation::AddMessages { mailbox: to, messages: vec![message("\\Seen")] };
    let copy = Operation::Copy { from, to, uids: uids.clone() };
    let moving = Operation::Move { from, to, uids: uids.clone() };
    let replace = Operation::Replace { from, uid: Uid::MIN, to, message: message("") };
    let expunge = Operation::Expunge { mailbox: from, uids };
    vec![
        ("APPEND", append, "to", All("i"), Target),
        ("COPY, from", copy.clone(), "from", All("r"), Source),
        ("COPY, to", copy, "to", All("i"), Target),
        ("MOVE, from", moving.clone(), "from", All("rte"), Source),
        ("MOVE, to", moving, "to", All("i"), Target),
        ("REPLACE, from", replace.clone(), "from", All("te"), Source),
        ("REPLACE, to", replace, "to", All("i"), Target),
        ("EXPUNGE", expunge, "from", All("e"), Source),
        ("\\Recent", Operation::ClaimRecent { mailbox: from }, "from", Never, Source),
    ]
}

fn of_account(account: &Account) -> Vec<Row> {
    let mailbox = id(account, "from");
    let annotate = |target| Operation::SetMetadata { target, entries: entries("/shared/comment") };
    let of_mailbox = annotate(MetadataTarget::Mailbox(mailbox));
    let of_server = annotate(MetadataTarget::Server);
    let (identifier, change) = (identifier("chris"), RightsChange::Set(Rights::ALL));
    let share = Operation::SetAcl { mailbox, identifier, change };
    let limit = Operation::SetQuota { quota: Quota::default() };
    vec![
        ("SETACL", share, "from", All("a"), Source),
        ("SETMETADATA", of_mailbox, "from", LookupAndOne("rswip"), Source),
        ("SETMETADATA of the server", of_server, "from", Never, Always),
        ("SETQUOTA", limit, "from", Never, Always),
        ("pruning", Operation::Prune { floor: ModSeq::ZERO }, "from", Never, Always),
        ("an account", Operation::CreateAccount, "from", Never, Always),
    ]
}

fn is_enough(needed: Needed, held: Rights) -> bool {
    match needed {
        All(letters) => held.contains(rights(letters)),
        One(letters) => held.intersects(rights(letters)),
        LookupAndOne(letters) => held.contains(Rights::LOOKUP) && held.intersects(rights(letters)),
        Never => false,
    }
}

#[test]
fn every_operation_needs_exactly_the_rights_that_the_table_says() {
    let account = stage();
    let mut sets = vec![Rights::NONE, Rights::ALL];
    for right in Rights::ALL.iter() {
        sets.extend([right, Rights::ALL.without(right)]);
        // `l` decides how it is refused, so each right stands beside it, too.
        sets.push(Rights::LOOKUP.union(right));
    }
    for (what, operation, varied, needed, told) in table(&account) {
        for held in &sets {
            let mut account = account.clone();
            for mailbox in ["from", "to"] {
                let given = if mailbox == varied { *held } else { Rights::ALL };
                grant(&mut account, mailbox, "lee", given);
            }
            let decision = guest(&account, &operation);
            let visible = held.contains(Rights::LOOKUP);
            let refusal = match told {
                Always => Refusal::NoPermission { visible: true },
                Target if !visible => Refusal::NoTarget,
                Source | Target => Refusal::NoPermission { visible },
            };
            match decision {
                Ok(_) => assert!(is_enough(needed, *held), "{what} is done with {held:?}"),
                Err(refused) => {
                    assert!(!is_enough(needed, *held), "{what}: {refused:?} with {held:?}");
                    assert_eq!(refused, refusal, "{what} with {held:?}");
                }
            }
        }
    }
}

#[test]
fn an_owner_is_never_refused_for_want_of_a_right_and_all_rights_are_as_good() {
    let mut account = stage();
    let free = account.clone();
    for mailbox in ["from", "to", "INBOX"] {
        grant(&mut account, mailbox, "-anyone", Rights::ALL);
        grant(&mut account, mailbox, "-lee", Rights::ALL);
    }
    for (what, operation, _, needed, _) in table(&account) {
        let owner = ask(&account, &operation);
        let for_want_of_rights = matches!(owner, Err(Refusal::NoPermission { .. }));
        assert!(!for_want_of_rights, "{what}: {owner:?}");
        if matches!(needed, Never) {
            continue;
        }
        let mut open = free.clone();
        for mailbox in ["from", "to"] {
            grant(&mut open, mailbox, "anyone", Rights::ALL);
        }
        assert_eq!(guest(&open, &operation), ask(&open, &operation), "{what}");
    }
    let inbox = id(&account, "INBOX");
    assert_eq!(account.rights(inbox, &Actor::Owner), Rights::ALL);
    assert_eq!(account.rights(inbox, &lee()), Rights::NONE);
    assert_eq!(account.rights(MailboxId(99), &Actor::Owner), Rights::NONE);
}

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn rights(&mut self) -> Rights {
        Rights::from_bits(u16::try_from(self.below(1 << 11)).unwrap()).unwrap()
    }

    fn flags(&mut self) -> Flags {
        let names = ["\\Seen", "\\Deleted", "\\Draft", "\\Flagged", "$x", "$Forwarded"];
        flags(&names.map(|name| if self.below(2) == 0 { name } else { "" }).join(" "))
    }
}

#[test]
fn random_rights_do_what_all_rows_of_the_table_permit_and_nothing_else() {
    let account = stage();
    let rows = table(&account);
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let mut account = account.clone();
        let held = ["from", "to"].map(|mailbox| (mailbox, dice.rights()));
        for (mailbox, rights) in held {
            // Some come from anyone, and some are taken away from more than there are.
            let more = dice.rights().without(rights);
            grant(&mut account, mailbox, "lee", rights.union(more));
            grant(&mut account, mailbox, "-lee", more);
        }
        for (what, operation, ..) in &rows {
            let of_this = rows.iter().filter(|(_, other, ..)| other == operation);
            let is_permitted = of_this.into_iter().all(|(_, _, varied, needed, _)| {
                let (_, rights) = held.iter().find(|(mailbox, _)| mailbox == varied).unwrap();
                is_enough(*needed, *rights)
            });
            let decision = guest(&account, operation);
            assert_eq!(decision.is_ok(), is_permitted, "seed {seed}: {what} with {held:?}");
        }
    }
}

#[test]
fn no_flag_changes_that_there_is_no_right_to() {
    let account = stage();
    let mut changed = 0;
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let mut account = account.clone();
        let held = dice.rights();
        grant(&mut account, "from", "lee", held);
        let modes = [FlagMode::Add, FlagMode::Remove, FlagMode::Replace];
        let mode = modes[usize::try_from(dice.below(3)).unwrap()];
        let (mailbox, uids, named) = (id(&account, "from"), uids(1, 3), dice.flags());
        let flags = named.clone();
        let store = Operation::SetFlags { mailbox, uids, mode, flags, unchanged_since: None };
        let before = flags_in(&account, "from");
        let Ok(Decision { entry: Some(entry), .. }) = guest(&account, &store) else { continue };
        account = apply(&account, &entry).unwrap();
        changed += 1;
        for (before, after) in before.iter().zip(flags_in(&account, "from")) {
            let whole = mode.result(before, &named);
            let is_kept = |flags: &Flags| flags.without(&held.permitted(flags));
            let is_changed = |flags: &Flags| held.permitted(flags);
            assert_eq!(is_kept(&after), is_kept(before), "seed {seed}");
            assert_eq!(is_changed(&after), is_changed(&whole), "seed {seed}");
        }
    }
    assert!(changed > 500, "{changed} changes are no test");
}

#[test]
fn copies_and_additions_lose_the_flags_that_there_is_no_right_to() {
    // RFC 4314 §4, the example: rwis keeps all but \Deleted, rsti only \Deleted and \Seen.
    let all = ["\\Draft \\Deleted", "\\Answered", "$Forwarded \\Seen"];
    for (held, expected) in [
        ("rwis", ["\\Draft", "\\Answered", "$Forwarded \\Seen"]),
        ("rsti", ["\\Deleted", "", "\\Seen"]),
    ] {
        let mut account = new_account();
        for text in ["from", "to", "appended", "moved"] {
            create(&mut account, text);
            grant(&mut account, text, "lee", rights(held));
        }
        grant(&mut account, "from", "lee", rights("rte"));
        add(&mut account, "from", &all);
        let (from, uids) = (id(&account, "from"), uids(1, 3));
        let to = id(&account, "to");
        submit_as_guest(&mut account, &Operation::Copy { from, to, uids: uids.clone() });
        let mailbox = id(&account, "appended");
        let messages = all.iter().map(|names| message(names)).collect();
        submit_as_guest(&mut account, &Operation::AddMessages { mailbox, messages });
        let to = id(&account, "moved");
        submit_as_guest(&mut account, &Operation::Move { from, to, uids });
        for text in ["to", "appended", "moved"] {
            assert_eq!(flags_in(&account, text), expected.map(flags), "{text} with {held}");
        }
        add(&mut account, "from", &[""]);
        let (uid, message) = (Uid::new(4).unwrap(), message("\\Deleted \\Seen $x"));
        submit_as_guest(&mut account, &Operation::Replace { from, uid, to, message });
        let kept = if held == "rwis" { "\\Seen $x" } else { "\\Deleted \\Seen" };
        assert_eq!(flags_in(&account, "moved").last(), Some(&flags(kept)));
    }
}

#[test]
fn store_changes_what_there_is_a_right_to_and_leaves_the_rest() {
    let stored = |held: &str, mode, names: &str| {
        let mut account = stage();
        grant(&mut account, "from", "lee", rights(held));
        let operation = store(&account, mode, names);
        let Outcome::FlagsSet(outcome) = submit_as_guest(&mut account, &operation) else {
            panic!("flags are set");
        };
        (flags_in(&account, "from"), outcome)
    };
    // The mailbox has: \Deleted, then \Seen, then \Flagged $Forwarded.
    let (after, outcome) = stored("s", FlagMode::Replace, "\\Deleted \\Draft $x");
    assert_eq!(after, ["\\Deleted", "", "\\Flagged $Forwarded"].map(flags));
    assert_eq!((outcome.changed, outcome.same), (uids(2, 2), uids(1, 1).union(&uids(3, 3))));
    let (after, _) = stored("w", FlagMode::Replace, "\\Seen $x");
    assert_eq!(after, ["\\Deleted $x", "\\Seen $x", "$x"].map(flags));
    let (after, _) = stored("wt", FlagMode::Replace, "\\Deleted $x");
    assert_eq!(after, ["\\Deleted $x", "\\Seen \\Deleted $x", "\\Deleted $x"].map(flags));
    let (after, _) = stored("t", FlagMode::Remove, "\\Deleted \\Seen \\Flagged $Forwarded");
    assert_eq!(after, ["", "\\Seen", "\\Flagged $Forwarded"].map(flags));
    let (after, outcome) = stored("t", FlagMode::Add, "\\Deleted \\Seen");
    assert_eq!(
        after,
        ["\\Deleted", "\\Seen \\Deleted", "\\Flagged \\Deleted $Forwarded"].map(flags)
    );
    assert_eq!(outcome.changed, uids(2, 3));
    // Nothing is left to be done, and that is no change.
    let (_, outcome) = stored("s", FlagMode::Remove, "\\Seen \\Deleted");
    assert_eq!(outcome.changed, uids(2, 2));
    let (_, outcome) = stored("t", FlagMode::Replace, "\\Seen");
    assert_eq!(outcome.changed, uids(1, 1));
    let (_, outcome) = stored("s", FlagMode::Add, "");
    assert_eq!(outcome, FlagsOutcome { same: uids(1, 3), ..FlagsOutcome::default() });
}

#[test]
fn a_hidden_name_is_told_from_a_missing_one_by_no_refusal() {
    let mut account = stage();
    create(&mut account, "hidden");
    create(&mut account, "hidden/seen");
    create(&mut account, "deep/hidden");
    grant(&mut account, "hidden/seen", "lee", rights("l"));
    let make = |text: &str| Operation::CreateMailbox { name: name(text), special_use: vec![] };
    let refused = Err(Refusal::NoPermission { visible: true });
    assert_eq!(guest(&account, &make("hidden")), refused);
    assert_eq!(guest(&account, &make("missing")), refused);
    assert_eq!(guest(&account, &make("INBOX")), refused);
    assert_eq!(guest(&account, &make("hidden/seen")), Err(Refusal::AlreadyExists));
    let delete = |text: &str| Operation::DeleteMailbox { name: name(text) };
    let missing = guest(&account, &delete("missing"));
    assert_eq!(missing, Err(Refusal::NonExistent));
    let hidden = guest(&account, &delete("deep/hidden"));
    assert_eq!(hidden, Err(Refusal::NoPermission { visible: false }));
    // Above what can be seen there is a name, whether a mailbox has it or not.
    assert_eq!(guest(&account, &delete("hidden")), Err(Refusal::HasChildren));
    submit(&mut account, &delete("hidden"));
    assert_eq!(guest(&account, &delete("hidden")), Err(Refusal::HasChildren));
    grant(&mut account, "hidden/seen", "lee", rights(""));
    assert_eq!(guest(&account, &delete("hidden")), Err(Refusal::NonExistent));
    assert_eq!(guest(&account, &delete("INBOX")), Err(Refusal::InboxImmutable));
    let rename = |from: &str, to: &str| Operation::RenameMailbox { from: name(from), to: name(to) };
    grant(&mut account, "from", "lee", rights("x"));
    grant(&mut account, "to", "lee", rights("k"));
    create(&mut account, "to/hidden");
    grant(&mut account, "to/hidden", "lee", rights(""));
    assert_eq!(guest(&account, &rename("missing", "to/x")), Err(Refusal::NonExistent));
    assert_eq!(guest(&account, &rename("from", "to/hidden")), refused);
    assert_eq!(guest(&account, &rename("from", "missing")), refused);
    grant(&mut account, "to/hidden", "lee", rights("l"));
    assert_eq!(guest(&account, &rename("from", "to/hidden")), Err(Refusal::AlreadyExists));
    // A mailbox that moves along would take a name that is hidden.
    create(&mut account, "to/x/below");
    submit(&mut account, &delete("to/x"));
    grant(&mut account, "to/x/below", "lee", rights(""));
    assert_eq!(guest(&account, &rename("from", "to/x")), refused);
    assert_eq!(ask(&account, &rename("from", "to/x")), Err(Refusal::AlreadyExists));
    grant(&mut account, "INBOX", "lee", Rights::ALL);
    assert_eq!(guest(&account, &rename("INBOX", "to/y")), refused);
}

#[test]
fn a_guest_makes_no_special_uses_and_sets_no_private_annotations() {
    let mut account = stage();
    grant(&mut account, "from", "lee", Rights::ALL);
    let special_use = vec![SpecialUse::Junk];
    let make = Operation::CreateMailbox { name: name("from/x"), special_use };
    assert_eq!(guest(&account, &make), Err(Refusal::SpecialUseUnknown));
    let target = MetadataTarget::Mailbox(id(&account, "from"));
    for text in ["/private/comment", "/private/specialuse"] {
        let set = Operation::SetMetadata { target, entries: entries(text) };
        assert_eq!(guest(&account, &set), Err(Refusal::NoPrivateEntries));
    }
}

#[test]
fn a_list_is_inherited_kept_over_rename_and_gone_with_its_mailbox() {
    let mut account = stage();
    grant(&mut account, "from", "lee", rights("lrk"));
    grant(&mut account, "from", "-chris", rights("r"));
    let list = |account: &Account, text: &str| account.acl(id(account, text)).cloned();
    let of_parent = list(&account, "from");
    assert_eq!(of_parent.as_ref().map(Acl::len), Some(2));
    // RFC 4314 §4: a new mailbox inherits, in the entry that makes it; one that is there does not.
    let before = account.modseq().get();
    create(&mut account, "from/x/y");
    assert_eq!(account.modseq().get(), before + 1);
    assert_eq!(
        [list(&account, "from/x"), list(&account, "from/x/y")],
        [of_parent.clone(), of_parent.clone()]
    );
    assert_eq!(list(&account, "from/below"), None);
    // RFC 4314 §4: RENAME changes no list.
    grant(&mut account, "from/x/y", "lee", rights("lr"));
    let own = list(&account, "from/x/y");
    submit(&mut account, &Operation::RenameMailbox { from: name("from/x/y"), to: name("to/z/y") });
    assert_eq!((list(&account, "to/z/y"), list(&account, "to/z")), (own, None));
    // RFC 4314 §4: DELETE deletes the list.
    submit(&mut account, &Operation::DeleteMailbox { name: name("to/z/y") });
    create(&mut account, "to/z/y");
    assert_eq!(list(&account, "to/z/y"), None);
    // Below a name without a mailbox the nearest one above it counts.
    submit(&mut account, &Operation::DeleteMailbox { name: name("from/x") });
    create(&mut account, "from/x/new");
    assert_eq!(list(&account, "from/x/new"), of_parent);
}

#[test]
fn inbox_keeps_its_list_and_gives_the_same_to_the_mailbox_that_gets_its_messages() {
    let mut account = stage();
    grant(&mut account, "INBOX", "lee", rights("lr"));
    grant(&mut account, "to", "anyone", rights("lr"));
    submit(
        &mut account,
        &Operation::RenameMailbox { from: MailboxName::inbox(), to: name("to/x/old") },
    );
    let list = |text: &str| account.acl(id(&account, text));
    assert_eq!(list("to/x/old"), list("INBOX"));
    // What nobody else could read is not open to all who see the new parent.
    assert_eq!(list("to/x/old").map(|acl| acl.rights_of("chris")), Some(Rights::NONE));
    assert_eq!(list("to/x"), list("to"));
}

#[test]
fn setting_what_is_set_changes_nothing_and_the_last_entry_takes_the_list() {
    let mut account = stage();
    let mailbox = id(&account, "from");
    let set = |change| Operation::SetAcl { mailbox, identifier: identifier("lee"), change };
    submit(&mut account, &set(RightsChange::Set(rights("lr"))));
    for change in [
        RightsChange::Set(rights("lr")),
        RightsChange::Add(rights("l")),
        RightsChange::Remove(rights("w")),
    ] {
        assert_eq!(ask(&account, &set(change)).unwrap().entry, None);
    }
    assert!(account.has_grants_to(&identifier("lee")));
    assert!(!account.has_grants_to(&identifier("-lee")));
    submit(&mut account, &set(RightsChange::Remove(rights("lr"))));
    assert_eq!((account.acl(mailbox), account.acls().count()), (None, 0));
    assert_eq!(ask(&account, &set(RightsChange::Delete)).unwrap().entry, None);
    let nowhere = Operation::SetAcl {
        mailbox: MailboxId(99),
        identifier: identifier("lee"),
        change: RightsChange::Delete,
    };
    assert_eq!(ask(&account, &nowhere), Err(Refusal::NonExistent));
}

#[test]
fn the_entries_of_a_list_are_limited_and_taking_away_is_not() {
    let mut account = stage();
    for n in 0..Acl::ENTRIES_MAX {
        grant(&mut account, "from", &format!("user{n}"), Rights::LOOKUP);
    }
    let mailbox = id(&account, "from");
    let set =
        |who: &str, change| Operation::SetAcl { mailbox, identifier: identifier(who), change };
    let more = ask(&account, &set("more", RightsChange::Set(Rights::ALL)));
    assert_eq!(more, Err(Refusal::Limit(Limit::AclEntries)));
    for (who, change) in [
        ("user7", RightsChange::Set(Rights::ALL)),
        ("user7", RightsChange::Delete),
        ("more", RightsChange::Delete),
        ("more", RightsChange::Set(Rights::NONE)),
    ] {
        assert!(ask(&account, &set(who, change)).is_ok());
    }
}

#[test]
fn the_entries_of_an_account_are_limited() {
    let mut account = stage();
    let entry = |n: usize| (identifier(&format!("user{n}")), Rights::LOOKUP);
    let full = Acl::new((0..Acl::ENTRIES_MAX).map(entry));
    let modseq = account.modseq().next().unwrap();
    let mut changes = Vec::new();
    let (first, mailboxes) = (100, Acl::ACCOUNT_ENTRIES_MAX / Acl::ENTRIES_MAX);
    for n in 0..mailboxes {
        let id = MailboxId(first + n as u64);
        let uid_validity = mail_types::UidValidity::new(1000 + n as u32).unwrap();
        let name = name(&format!("x{n}"));
        let special_use = mailbox::SpecialUses::NONE;
        changes.push(Change::MailboxCreated { id, name, uid_validity, special_use });
        changes.push(Change::AclSet { mailbox: id, acl: full.clone().into() });
    }
    account = apply(&account, &LogEntry { modseq, at: 0, changes }).unwrap();
    let limit = Err(Refusal::Limit(Limit::AclEntries));
    let mailbox = id(&account, "from");
    let set = |change| Operation::SetAcl { mailbox, identifier: identifier("lee"), change };
    assert_eq!(ask(&account, &set(RightsChange::Set(Rights::ALL))), limit);
    let make = |text: &str| Operation::CreateMailbox { name: name(text), special_use: Vec::new() };
    assert_eq!(ask(&account, &make("x0/new")), limit);
    assert!(ask(&account, &make("from/new")).is_ok());
    submit(&mut account, &Operation::DeleteMailbox { name: name("x1") });
    assert!(ask(&account, &set(RightsChange::Set(Rights::ALL))).is_ok());
    assert!(ask(&account, &make("x0/new")).is_ok());
    assert_eq!(ask(&account, &make("x0/new/two")), limit);
}

#[test]
fn the_list_of_no_mailbox_is_corruption() {
    let account = new_account();
    let list = Acl::new([(identifier("lee"), Rights::ALL)]);
    let mailbox = MailboxId(99);
    let changes = vec![Change::AclSet { mailbox, acl: list.clone().into() }];
    let modseq = account.modseq().next().unwrap();
    let result = apply(&account, &LogEntry { modseq, at: 0, changes });
    assert_eq!(result.unwrap_err(), Corruption::NoSuchMailbox(mailbox));
    let restored = account.with_acls(vec![(mailbox, list)]);
    assert_eq!(restored.unwrap_err(), Corruption::NoSuchMailbox(mailbox));
}
