//! Other users' mailboxes: who finds them, who may change them, and who finds nothing any more.

use std::sync::Arc;

use mail_service::{
    AccountHandle, AccountName, NewMail, Service, ServiceError, Sharing, Staged, World, keys,
    move_to_service, repair_after_loss,
};
use mail_types::{AccountId, Flags, InternalDate, Keyword, MailboxId, SystemFlags, Uid, UidSet};
use mailbox::{
    Account, Actor, Annotations, Operation, Outcome, Quota, Refusal, Resource, Rights, RightsChange,
};
use store::mem::Mem;
use store::spread::Spread;
use store::{Commit, KeyRange, Store, Write};
use store_local::{Local, Options};

use crate::common::{
    Dice, Setup, account_of, append_to, assert_clean, inbox, mail, mailbox_id, name, secret,
};

struct Site {
    store: Mem,
    service: Service,
    dock: AccountHandle,
    lee: AccountHandle,
}

impl Site {
    async fn new() -> Self {
        let store = Mem::new();
        let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
        let (dock, lee) = (account_of(&service, "dock").await, account_of(&service, "lee").await);
        Self { store, service, dock, lee }
    }

    async fn visits(&self) -> Vec<String> {
        let visits = self.service.shared_with(&self.lee).await.unwrap();
        visits.iter().map(|visit| visit.name().to_owned()).collect()
    }
}

fn rights(letters: &str) -> Rights {
    Rights::parse(letters).unwrap()
}

fn grants(store: &dyn Store) -> Vec<(AccountId, AccountId)> {
    let page = store::scan_page(&*store.view().unwrap(), &keys::grants_all(), 100).unwrap();
    page.rows.iter().map(|(key, _)| keys::parse_grant(key).unwrap()).collect()
}

async fn grant(account: &AccountHandle, mailbox: MailboxId, who: &str, letters: &str) -> Account {
    account.set_acl(mailbox, who, RightsChange::Set(rights(letters))).await.unwrap().0
}

fn listed(account: &Account, mailbox: MailboxId) -> String {
    let entries = account.acl(mailbox).into_iter().flat_map(|acl| acl.iter());
    let entries = entries.map(|(identifier, rights)| format!("{identifier} {rights}"));
    entries.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn a_user_visits_who_shares_and_nobody_else() {
    let site = Site::new().await;
    let (service, dock, lee) = (&site.service, &site.dock, &site.lee);
    assert!(service.visit(lee, "dock").await.unwrap().is_none());
    assert!(service.visit(lee, "nobody").await.unwrap().is_none());
    assert!(service.visit(lee, "\0").await.unwrap().is_none());
    grant(dock, mailbox_id(dock, "Archive"), "lee", "lr").await;
    let visit = service.visit(lee, "Dock").await.unwrap().unwrap();
    assert_eq!((visit.name(), visit.id()), ("dock", dock.id()));
    assert_eq!(*visit.actor(), Actor::Guest("lee".into()));
    assert_eq!(site.visits().await, ["dock"]);
    // It works in one direction only, and a visitor does not go on from there.
    assert!(service.visit(dock, "lee").await.unwrap().is_none());
    grant(lee, inbox(lee), "anyone", "lr").await;
    assert!(service.visit(&visit, "lee").await.unwrap().is_none());
    assert_eq!(service.visit(dock, "lee").await.unwrap().unwrap().name(), "lee");
    assert_eq!(*service.visit(dock, "dock").await.unwrap().unwrap().actor(), Actor::Owner);
    assert_eq!(site.visits().await, ["dock"], "nobody visits oneself");
    assert_clean(&site.store);
}

#[tokio::test]
async fn the_last_right_that_goes_takes_the_grant_with_it() {
    let site = Site::new().await;
    let (dock, lee) = (&site.dock, &site.lee);
    let (archive, sent) = (mailbox_id(dock, "Archive"), mailbox_id(dock, "Sent"));
    grant(dock, archive, "lee", "lr").await;
    grant(dock, sent, "lee", "p").await;
    assert_eq!(grants(&site.store), [(lee.id(), dock.id())]);
    dock.set_acl(archive, "lee", RightsChange::Delete).await.unwrap();
    assert_eq!(site.visits().await, ["dock"]);
    dock.set_acl(sent, "lee", RightsChange::Remove(rights("p"))).await.unwrap();
    assert_eq!(grants(&site.store), []);
    assert_eq!(site.visits().await, [""; 0]);
    // What takes away and what is refused needs no grant.
    grant(dock, archive, "-lee", "lr").await;
    let nowhere = dock.set_acl(MailboxId(99), "lee", RightsChange::Set(Rights::ALL)).await;
    assert_eq!(nowhere.unwrap_err(), ServiceError::Refused(Refusal::NonExistent));
    assert_eq!(grants(&site.store), []);
    assert_clean(&site.store);
}

#[tokio::test]
async fn negative_rights_hide_what_anyone_sees() {
    let site = Site::new().await;
    let dock = &site.dock;
    grant(dock, inbox(dock), "anyone", "lr").await;
    assert_eq!(grants(&site.store), [(keys::ANYONE, dock.id())]);
    assert_eq!(site.visits().await, ["dock"]);
    grant(dock, inbox(dock), "-lee", "lr").await;
    assert_eq!(site.visits().await, [""; 0]);
    assert!(site.service.visit(&site.lee, "dock").await.unwrap().is_none());
}

#[tokio::test]
async fn an_identifier_has_one_spelling_and_must_name_somebody() {
    let mut setup = Setup::new(Sharing::Exclusive);
    setup.config.domains = vec!["mail.example".to_owned()];
    let service = setup.open(Arc::new(Mem::new())).await;
    let (dock, _lee) = (account_of(&service, "dock").await, account_of(&service, "lee").await);
    let inbox = inbox(&dock);
    for (text, letters) in
        [("LEE", "l"), ("lee@Mail.Example", "lr"), ("-Lee", "w"), ("Anyone", "l"), ("$team", "r")]
    {
        grant(&dock, inbox, text, letters).await;
    }
    assert_eq!(listed(&dock.current(), inbox), "$team r, -lee w, anyone l, lee lr");
    for text in ["", "-", "a b", "a\u{7}", "\u{ad}", &"x".repeat(300)] {
        let refused = dock.set_acl(inbox, text, RightsChange::Delete).await.unwrap_err();
        assert!(matches!(refused, ServiceError::InvalidIdentifier(_)), "{text:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_guest_changes_what_the_list_grants_and_the_list_only_with_its_right() {
    let site = Site::new().await;
    let (dock, lee) = (&site.dock, &site.lee);
    let archive = mailbox_id(dock, "Archive");
    grant(dock, archive, "lee", "lri").await;
    let visit = site.service.visit(lee, "dock").await.unwrap().unwrap();
    append_to(&visit, archive, mail(1).as_bytes()).await.unwrap();
    let refused = |visible| ServiceError::Refused(Refusal::NoPermission { visible });
    let delete = Operation::DeleteMailbox { name: name("Archive") };
    assert_eq!(visit.submit(delete).await.unwrap_err(), refused(true));
    let other = append_to(&visit, inbox(dock), mail(2).as_bytes()).await;
    assert_eq!(other.unwrap_err(), ServiceError::Refused(Refusal::NoTarget));
    let share = visit.set_acl(archive, "anyone", RightsChange::Set(Rights::ALL)).await;
    assert_eq!(share.unwrap_err(), refused(true));
    assert_eq!(grants(&site.store), [(lee.id(), dock.id())]);
    assert_eq!(visit.reset_access_keys(None).await, Err(refused(true)));
    assert_eq!(visit.authorize_urls(Vec::new()).await, Ok(None));
    grant(dock, archive, "lee", "la").await;
    visit.set_acl(archive, "anyone", RightsChange::Set(rights("l"))).await.unwrap();
    assert_eq!(grants(&site.store), [(keys::ANYONE, dock.id()), (lee.id(), dock.id())]);
    // What was taken away holds for a visit that goes on.
    grant(dock, archive, "lee", "").await;
    let late = append_to(&visit, archive, mail(3).as_bytes()).await;
    assert_eq!(late.unwrap_err(), refused(true));
    assert_clean(&site.store);
}

#[tokio::test]
async fn an_account_made_under_the_name_of_a_removed_one_finds_nothing_shared() {
    let site = Site::new().await;
    let (service, dock) = (&site.service, &site.dock);
    let (archive, sent) = (mailbox_id(dock, "Archive"), mailbox_id(dock, "Sent"));
    grant(dock, archive, "lee", "lr").await;
    grant(&site.lee, inbox(&site.lee), "dock", "lr").await;
    service.remove_account("lee").await.unwrap();
    assert_eq!(grants(&site.store), []);
    assert_eq!(dock.current().acls().count(), 0);
    let id = service.create_account("lee", secret("password")).await.unwrap();
    let lee = service.account(id).await.unwrap();
    assert!(service.visit(&lee, "dock").await.unwrap().is_none());
    // Nor does another grant bring back what the other one had.
    grant(dock, sent, "lee", "l").await;
    let visit = service.visit(&lee, "dock").await.unwrap().unwrap();
    assert_eq!(dock.current().rights(archive, visit.actor()), Rights::NONE);
    assert!(service.visit(dock, "lee").await.unwrap().is_none());
    assert_clean(&site.store);
}

#[tokio::test]
async fn a_sweep_takes_grants_that_no_list_bears_out_and_keeps_the_others() {
    let site = Site::new().await;
    let (dock, lee) = (&site.dock, &site.lee);
    let archive = mailbox_id(dock, "Archive");
    grant(dock, archive, "lee", "l").await;
    grant(lee, inbox(lee), "anyone", "l").await;
    let mut commit = Commit::new();
    for (grantee, owner) in
        [(dock.id(), lee.id()), (keys::ANYONE, dock.id()), (AccountId(99), dock.id())]
    {
        commit = commit.write(Write::put(keys::grant(grantee, owner), [0; 8]));
    }
    site.store.commit_wait(commit).unwrap();
    assert_eq!(grants(&site.store).len(), 5);
    // A stale grant opens nothing.
    let visits = site.service.shared_with(dock).await.unwrap();
    assert_eq!(visits.len(), 1, "anyone may see lee's inbox");
    site.service.sweep().await.unwrap();
    assert_eq!(grants(&site.store), [(keys::ANYONE, lee.id()), (lee.id(), dock.id())]);
    dock.submit(Operation::DeleteMailbox { name: name("Archive") }).await.unwrap();
    site.service.sweep().await.unwrap();
    assert_eq!(grants(&site.store), [(keys::ANYONE, lee.id())]);
    assert_clean(&site.store);
}

#[tokio::test]
async fn lists_are_there_after_a_crash_on_other_nodes_and_in_a_local_store() {
    let setup = Setup::new(Sharing::Shared);
    let store = Mem::new();
    let (one, two) =
        (setup.open(Arc::new(store.clone())).await, setup.open(Arc::new(store.clone())).await);
    let (dock, lee) = (account_of(&one, "dock").await, account_of(&two, "lee").await);
    let sent = mailbox_id(&dock, "Sent");
    grant(&dock, sent, "lee", "lrk").await;
    let visit = two.visit(&lee, "dock").await.unwrap().unwrap();
    // A change of a list is seen by the other node like any other change.
    let mut watch = visit.watch();
    grant(&dock, sent, "lee", "lk").await;
    let seen = visit.state().await.unwrap();
    assert_eq!(seen.rights(sent, visit.actor()), rights("lk"));
    assert!(watch.has_changed().unwrap());
    watch.mark_unchanged();
    let create = Operation::CreateMailbox { name: name("Sent/a/b"), special_use: Vec::new() };
    let made = visit.submit(create).await.unwrap().0;
    let inherited = made.by_name(&name("Sent/a/b")).unwrap().record().id;
    let left = store.crash();
    let again = account_of(&setup.open(Arc::new(left.clone())).await, "dock").await;
    assert_eq!(listed(&again.current(), inherited), "lee lkc");
    assert_clean(&left);

    let setup = Setup::new(Sharing::Exclusive);
    let folder = tempfile::tempdir().unwrap();
    let local =
        || -> Arc<dyn Store> { Arc::new(Local::open(folder.path(), Options::default()).unwrap()) };
    let service = setup.open(local()).await;
    let dock = account_of(&service, "dock").await;
    grant(&dock, sent, "-anyone", "a").await;
    service.close().await.unwrap();
    drop((service, dock));
    let store = local();
    let again = account_of(&setup.open(Arc::clone(&store)).await, "dock").await;
    assert_eq!(listed(&again.current(), sent), "-anyone a");
    assert_clean(&*store);
}

fn mail_with(flags: Flags, staged: Staged) -> NewMail {
    let (date, annotations) = (InternalDate::new(1_234_567_890, 60), Annotations::default());
    NewMail { staged, flags, date, annotations }
}

/// Adds the three messages of the example of RFC 4314 §4, and a long one.
async fn fill(account: &AccountHandle, mailbox: MailboxId) -> UidSet {
    let keyword = |text| Keyword::new(text).unwrap();
    let long = [mail(4).as_bytes(), &[b'x'; 300_000]].concat();
    let mut mails = Vec::new();
    for (text, flags) in [
        (mail(1).into_bytes(), Flags::system(SystemFlags::DRAFT.union(SystemFlags::DELETED))),
        (mail(2).into_bytes(), Flags::system(SystemFlags::ANSWERED)),
        (mail(3).into_bytes(), Flags::new(SystemFlags::SEEN, [keyword("$Forwarded")])),
        (long, Flags::default()),
    ] {
        let mut staging = account.stage();
        staging.push(&text).await.unwrap();
        mails.push(mail_with(flags, staging.finish().await.unwrap()));
    }
    match account.append(mailbox, mails).await.unwrap().1 {
        Outcome::Added { uids, .. } => uids,
        other => panic!("{other:?}"),
    }
}

async fn told(account: &AccountHandle, mailbox: MailboxId) -> Vec<(String, i64)> {
    let (state, _pin) = account.load(mailbox).await.unwrap();
    let contents = state.mailbox(mailbox).unwrap().contents().unwrap();
    let entries = contents.iter().map(|entry| {
        let flags = entry.flags();
        let system = flags.system.names().map(str::to_owned);
        let names: Vec<_> = system.chain(flags.keywords().iter().map(|k| k.to_string())).collect();
        (names.join(" "), entry.internal_date().seconds())
    });
    entries.collect()
}

#[tokio::test]
async fn a_copy_to_another_account_keeps_dates_and_the_flags_that_there_is_a_right_to() {
    let site = Site::new().await;
    let (dock, lee) = (&site.dock, &site.lee);
    let (from, sent, trash) = (inbox(lee), mailbox_id(dock, "Sent"), mailbox_id(dock, "Trash"));
    let uids = fill(lee, from).await;
    // RFC 4314 §4: "rwis" loses \Deleted, "rsti" all but \Deleted and \Seen.
    grant(dock, sent, "lee", "rwis").await;
    grant(dock, trash, "lee", "rsti").await;
    let visit = site.service.visit(lee, "dock").await.unwrap().unwrap();
    let everything: UidSet = uids.union(&UidSet::single(Uid::new(99).unwrap()));
    let (_, outcome) = lee.copy_to(from, &everything, &visit, sent).await.unwrap();
    assert_eq!((&outcome.source, outcome.target.len()), (&uids, 4));
    lee.copy_to(from, &uids, &visit, trash).await.unwrap();
    let expected = |flags: [&str; 4]| flags.map(|flags| (flags.to_owned(), 1_234_567_890));
    let first = ["\\Draft", "\\Answered", "\\Seen $Forwarded", ""];
    assert_eq!(told(dock, sent).await, expected(first));
    let second = ["\\Deleted", "", "\\Seen", ""];
    assert_eq!(told(dock, trash).await, expected(second));
    // The bytes are the target's own.
    let (state, _pin) = dock.load(sent).await.unwrap();
    let contents = state.mailbox(sent).unwrap().contents().unwrap();
    let message = contents.iter().last().unwrap().message();
    let read = dock.read(vec![(message, 0..u64::MAX)]).await.unwrap();
    assert_eq!(read[0].as_ref().unwrap().len(), mail(4).len() + 300_000);
    site.service.remove_account("lee").await.unwrap();
    site.service.sweep().await.unwrap();
    assert_eq!(dock.read(vec![(message, 0..u64::MAX)]).await.unwrap(), read);
    assert_clean(&site.store);
}

#[tokio::test]
async fn a_copy_that_is_refused_copies_nothing() {
    let site = Site::new().await;
    let (dock, lee) = (&site.dock, &site.lee);
    let (from, sent) = (inbox(lee), mailbox_id(dock, "Sent"));
    let uids = fill(lee, from).await;
    grant(dock, sent, "lee", "lr").await;
    let visit = site.service.visit(lee, "dock").await.unwrap().unwrap();
    let refusal = |result: Result<_, ServiceError>| match result {
        Err(ServiceError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let hidden = Refusal::NoPermission { visible: false };
    let visible = Refusal::NoPermission { visible: true };
    assert_eq!(refusal(lee.copy_to(from, &uids, &visit, sent).await), visible);
    assert_eq!(refusal(lee.copy_to(from, &uids, &visit, inbox(dock)).await), Refusal::NoTarget);
    assert_eq!(
        refusal(lee.copy_to(MailboxId(99), &uids, &visit, sent).await),
        Refusal::NonExistent
    );
    assert_eq!(refusal(visit.copy_to(inbox(dock), &uids, lee, from).await), hidden);
    // To take what one may read is no change of the other account.
    let before = dock.current().modseq();
    fill(dock, sent).await;
    visit.copy_to(sent, &uids, lee, from).await.unwrap();
    assert_eq!(told(lee, from).await.len(), 8);
    assert_eq!(dock.current().modseq().get(), before.get() + 1);
    // All or none: the fourth is one too many.
    grant(dock, sent, "lee", "lri").await;
    let quota = Quota { messages: Some(7), ..Quota::default() };
    dock.submit(Operation::SetQuota { quota }).await.unwrap();
    let full = Refusal::OverQuota(Resource::Messages);
    assert_eq!(refusal(lee.copy_to(from, &uids, &visit, sent).await), full);
    assert_eq!(told(dock, sent).await.len(), 4);
    // Nothing to copy is nothing done, and within one account it is COPY.
    let none = lee.copy_to(from, &UidSet::new(), &visit, sent).await.unwrap().1;
    assert_eq!((none.modseq, none.source.is_empty()), (None, true));
    let inside = lee.copy_to(from, &uids, lee, mailbox_id(lee, "Sent")).await.unwrap().1;
    assert_eq!(inside.source, uids);
    assert_clean(&site.store);
}

async fn moved_over(source: &Mem, target: &Mem, user: &str) {
    let (source, target, name) = (source.clone(), target.clone(), AccountName::new(user).unwrap());
    let world = World { random: Arc::new(Dice::new(7)), ..World::system() };
    let moving = move || move_to_service(&source, &target, &name, None, &world).map(drop);
    tokio::task::spawn_blocking(moving).await.unwrap().unwrap();
}

#[tokio::test]
async fn accounts_that_move_to_another_service_find_each_other_there() {
    for order in [["dock", "lee"], ["lee", "dock"]] {
        let setup = Setup::new(Sharing::Shared);
        let (source, target) = (Mem::new(), Mem::new());
        {
            let service = setup.open(Arc::new(source.clone())).await;
            let (dock, lee) =
                (account_of(&service, "dock").await, account_of(&service, "lee").await);
            grant(&dock, mailbox_id(&dock, "Archive"), "lee", "lr").await;
            grant(&lee, inbox(&lee), "anyone", "lr").await;
            grant(&lee, inbox(&lee), "nobody", "lr").await;
        }
        let service = setup.open(Arc::new(target.clone())).await;
        let other = account_of(&service, "other").await;
        for user in order {
            moved_over(&source, &target, user).await;
            assert_clean(&source);
            assert_clean(&target);
        }
        assert_eq!(grants(&source), []);
        service.sweep().await.unwrap();
        let (dock, lee) = (account_of(&service, "dock").await, account_of(&service, "lee").await);
        let mut expected = vec![(keys::ANYONE, lee.id()), (lee.id(), dock.id())];
        expected.sort_unstable();
        assert_eq!(grants(&target), expected, "{order:?}");
        assert!(service.visit(&lee, "dock").await.unwrap().is_some());
        assert!(service.visit(&other, "lee").await.unwrap().is_some());
        assert!(service.visit(&other, "dock").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_repair_after_lost_commits_writes_lost_grants_again() {
    let site = Site::new().await;
    let (dock, lee) = (&site.dock, &site.lee);
    grant(dock, mailbox_id(dock, "Archive"), "lee", "lr").await;
    grant(dock, mailbox_id(dock, "Archive"), "-anyone", "r").await;
    let key = keys::grant(lee.id(), dock.id());
    site.store.commit_wait(Commit::new().write(Write::delete(key))).unwrap();
    let world = World { random: Arc::new(Dice::new(8)), ..World::system() };
    let store = site.store.clone();
    let repair = move || repair_after_loss(&store, &world).map(drop);
    tokio::task::spawn_blocking(repair).await.unwrap().unwrap();
    assert_eq!(grants(&site.store), [(lee.id(), dock.id())]);
    assert_clean(&site.store);
}

#[tokio::test]
async fn an_account_on_another_shard_shares_and_is_removed_like_any_other() {
    let (home, shard) = (Mem::new(), Mem::new());
    let store = || -> Arc<dyn Store> {
        let others = [("one".to_owned(), Arc::new(shard.clone()) as Arc<dyn Store>)];
        Arc::new(Spread::new(Arc::new(home.clone()), others, keys::LAYOUT))
    };
    let mut setup = Setup::new(Sharing::Shared);
    setup.config.shards = Some(vec!["one".to_owned(), String::new()]);
    let service = setup.open(store()).await;
    let (dock, lee) = (account_of(&service, "dock").await, account_of(&service, "lee").await);
    grant(&dock, inbox(&dock), "lee", "lri").await;
    grant(&lee, inbox(&lee), "dock", "lr").await;
    let visit = service.visit(&lee, "dock").await.unwrap().unwrap();
    let uids = fill(&lee, inbox(&lee)).await;
    lee.copy_to(inbox(&lee), &uids, &visit, inbox(&dock)).await.unwrap();
    assert_eq!(told(&dock, inbox(&dock)).await.len(), 4);
    service.remove_account("lee").await.unwrap();
    assert_eq!(grants(&*store()), []);
    assert_eq!(dock.state().await.unwrap().acls().count(), 0);
    assert_clean(&*store());
}

/// Grants are written and deleted beside lists, in commits of their own.
#[tokio::test(flavor = "multi_thread")]
async fn no_list_is_without_its_grant_however_nodes_and_sweeps_meet() {
    let setup = Setup::new(Sharing::Shared);
    for seed in 1..=20 {
        println!("seed {seed}");
        let store = Mem::new();
        let mut tasks = Vec::new();
        for node in 0..3 {
            let service = setup.open(Arc::new(store.clone())).await;
            let (dock, _) = (account_of(&service, "dock").await, account_of(&service, "lee").await);
            let dice = Dice::new((seed << 8) + node);
            tasks.push(tokio::spawn(async move {
                let mailboxes = ["Archive", "Sent"].map(|name| mailbox_id(&dock, name));
                for _ in 0..30 {
                    let mailbox = mailboxes[usize::try_from(dice.below(2)).unwrap()];
                    match dice.below(5) {
                        0 if node == 0 => drop(service.sweep().await.unwrap()),
                        0..3 => drop(grant(&dock, mailbox, "lee", "lr").await),
                        _ => drop(grant(&dock, mailbox, "lee", "").await),
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let service = setup.open(Arc::new(store.clone())).await;
        let (dock, lee) = (account_of(&service, "dock").await, account_of(&service, "lee").await);
        let shares = dock.current().acls().count() > 0;
        let has_grant = grants(&store).contains(&(lee.id(), dock.id()));
        assert!(has_grant || !shares, "seed {seed}: a list without a grant");
        service.sweep().await.unwrap();
        assert_eq!(grants(&store).contains(&(lee.id(), dock.id())), shares, "seed {seed}");
        assert_clean(&store);
    }
}

#[tokio::test]
async fn the_verifier_finds_lists_and_grants_that_cannot_be() {
    let site = Site::new().await;
    let archive = mailbox_id(&site.dock, "Archive");
    grant(&site.dock, archive, "lee", "lr").await;
    let keys = keys::AccountKeys::new(site.dock.id());
    let row = keys.key(&keys::AccountKey::Acl(archive));
    let found = |what: &str| {
        let is_clean = mail_service::check(&site.store).unwrap().is_clean();
        assert!(!is_clean, "{what} was not noticed");
    };
    let put = |key: &[u8], value: &[u8]| {
        site.store.commit_wait(Commit::new().write(Write::put(key, value))).unwrap();
    };
    let delete = |key: &[u8]| {
        site.store.commit_wait(Commit::new().write(Write::delete(key))).unwrap();
    };
    let value = site.store.view().unwrap().get(&row).unwrap().unwrap();
    delete(&row);
    found("a lost list");
    put(&row, &[9]);
    found("a damaged list");
    put(&row, &value);
    assert_clean(&site.store);
    let nowhere = keys.key(&keys::AccountKey::Acl(MailboxId(99)));
    put(&nowhere, &value);
    found("the list of no mailbox");
    delete(&nowhere);
    let short = keys::grant(site.lee.id(), site.dock.id());
    put(&short, &[1]);
    found("a damaged grant");
    delete(&short);
    let range = KeyRange::prefix(b"g");
    assert_eq!(range, keys::grants_all());
    put(b"g1", &[0; 8]);
    found("a grant to nobody");
}
