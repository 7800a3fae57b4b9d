//! Addresses that stand for others: aliases, lists, whole domains, and circles of them.

use std::sync::Arc;

use mail_service::{
    AddressKind, AliasError, DeliverError, Destinations, Kept, Route, Service, Sharing, SrsFault,
    check,
};
use mail_types::AccountId;
use mailbox::{Operation, Quota};
use store::mem::Mem;

use crate::common::{Setup, account_of};

async fn service(domains: &[&str]) -> Service {
    let mut setup = Setup::new(Sharing::Exclusive);
    setup.config.domains = domains.iter().map(|&domain| domain.to_owned()).collect();
    setup.open(Arc::new(Mem::new())).await
}

async fn set(service: &Service, address: &str, targets: &[&str]) {
    let targets: Vec<_> = targets.iter().map(|&target| target.to_owned()).collect();
    service.set_alias(address, &targets).await.unwrap();
}

async fn ids(service: &Service, recipient: &str) -> (Vec<AccountId>, Vec<String>) {
    let Destinations { local, remote, .. } = service.destinations(recipient).await.unwrap();
    let mut ids: Vec<_> = local.into_iter().map(|kept| kept.route.account).collect();
    ids.sort_unstable();
    (ids, remote)
}

#[tokio::test]
async fn an_address_leads_to_accounts_through_aliases_and_elsewhere_as_it_is() {
    let service = service(&["mail.example"]).await;
    let (dock, pier) =
        (account_of(&service, "dock").await.id(), account_of(&service, "pier@mail.example").await);
    let pier = pier.id();
    set(&service, "Sales@mail.example", &["dock"]).await;
    set(&service, "team@mail.example", &["sales@mail.example", "pier@mail.example", "x@y.example"])
        .await;
    set(&service, "@mail.example", &["pier@mail.example"]).await;
    let local = |ids: &[AccountId]| (ids.to_vec(), Vec::<String>::new());
    for (recipient, expected) in [
        ("dock@mail.example", local(&[dock])),
        ("sales@MAIL.example", local(&[dock])),
        ("sales+october@mail.example", local(&[dock])),
        ("team@mail.example", (vec![dock, pier], vec!["x@y.example".to_owned()])),
        ("nobody@mail.example", local(&[pier])),
        ("Nobody@Other.example", (vec![], vec!["Nobody@Other.example".to_owned()])),
        ("\"two words\"@other.example", (vec![], vec!["\"two words\"@other.example".to_owned()])),
    ] {
        assert_eq!(ids(&service, recipient).await, expected, "{recipient}");
    }
    let detail = service.destinations("dock+lists@mail.example").await.unwrap();
    let route = Route { account: dock, detail: Some("lists".to_owned()) };
    assert_eq!(detail.local, [Kept { address: "dock+lists@mail.example".to_owned(), route }]);
    let sales = service.destinations("sales@mail.example").await.unwrap();
    assert_eq!(sales.local[0].address, "dock");
    service.remove_alias("@mail.example").await.unwrap();
    let unknown = service.destinations("nobody@mail.example").await;
    assert_eq!(unknown, Err(DeliverError::NoSuchUser));
    let words = service.destinations("\"two words\"@mail.example").await;
    assert_eq!(words, Err(DeliverError::NoSuchUser));
}

#[tokio::test]
async fn circles_end_and_mail_may_be_kept_and_forwarded() {
    let service = service(&["mail.example"]).await;
    let dock = account_of(&service, "dock@mail.example").await.id();
    set(&service, "a@mail.example", &["b@mail.example"]).await;
    set(&service, "b@mail.example", &["a@mail.example", "dock@mail.example"]).await;
    assert_eq!(ids(&service, "a@mail.example").await, (vec![dock], vec![]));
    set(&service, "c@mail.example", &["d@mail.example"]).await;
    set(&service, "d@mail.example", &["c@mail.example"]).await;
    let circle = service.destinations("c@mail.example").await;
    assert_eq!(circle, Err(DeliverError::NoSuchUser));
    set(&service, "dock@mail.example", &["dock@mail.example", "me@other.example"]).await;
    let both = (vec![dock], vec!["me@other.example".to_owned()]);
    assert_eq!(ids(&service, "dock@mail.example").await, both);
    // A list whose members are lists, too many of them to follow.
    for list in 0..20 {
        let members: Vec<_> = (0..150).map(|it| format!("m{list}-{it}@other.example")).collect();
        let members: Vec<_> = members.iter().map(String::as_str).collect();
        set(&service, &format!("list{list}@mail.example"), &members).await;
    }
    let lists: Vec<_> = (0..20).map(|list| format!("list{list}@mail.example")).collect();
    let lists: Vec<_> = lists.iter().map(String::as_str).collect();
    set(&service, "all@mail.example", &lists).await;
    let all = service.destinations("all@mail.example").await;
    assert!(matches!(all, Err(DeliverError::Temporary(_))), "{all:?}");
}

#[tokio::test]
async fn s072_only_who_alone_stands_behind_an_address_may_send_as_it() {
    let service = service(&["mail.example"]).await;
    let dock = account_of(&service, "dock").await.id();
    let pier = account_of(&service, "pier").await.id();
    set(&service, "sales@mail.example", &["dock"]).await;
    set(&service, "team@mail.example", &["dock", "pier"]).await;
    set(&service, "@mail.example", &["pier"]).await;
    set(&service, "out@mail.example", &["pier", "x@other.example"]).await;
    for (account, address, expected) in [
        (dock, "dock@mail.example", true),
        (dock, "Dock+x@mail.example", true),
        (dock, "sales@mail.example", true),
        (pier, "sales@mail.example", false),
        (pier, "dock@mail.example", false),
        (dock, "team@mail.example", false),
        (pier, "team@mail.example", false),
        (pier, "whoever@mail.example", false),
        (pier, "out@mail.example", false),
        (dock, "dock@other.example", false),
        (dock, "", false),
        (dock, "@mail.example", false),
    ] {
        assert_eq!(service.may_send_as(account, address).await.unwrap(), expected, "{address}");
    }
}

#[tokio::test]
async fn aliases_are_listed_in_order_and_nonsense_is_refused() {
    let service = service(&["mail.example"]).await;
    set(&service, "b@mail.example", &["X@y.example", "x@y.example"]).await;
    set(&service, "a@mail.example", &["dock"]).await;
    let listed = service.list_aliases().await.unwrap();
    let listed: Vec<_> = listed.iter().map(|it| (&*it.address, it.targets.len())).collect();
    assert_eq!(listed, [("a@mail.example", 1), ("b@mail.example", 1)]);
    let many = vec!["x@y.example".to_owned(); 201];
    for (address, targets) in [
        ("", vec!["dock".to_owned()]),
        ("two words", vec!["dock".to_owned()]),
        ("c@mail.example", Vec::new()),
        ("c@mail.example", vec!["two words".to_owned()]),
        ("c@mail.example", vec!["@mail.example".to_owned()]),
        ("c@mail.example", many),
    ] {
        let refused = service.set_alias(address, &targets).await;
        assert_eq!(refused, Err(AliasError::Invalid), "{address} {}", targets.len());
    }
    assert_eq!(service.remove_alias("c@mail.example").await, Err(AliasError::NoSuchAlias));
}

#[tokio::test]
async fn an_alias_that_cannot_be_read_is_damage_and_nobody_is_sent_mail_by_it() {
    use store::{Commit, Store, Write};
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    set(&service, "a@mail.example", &["b@mail.example"]).await;
    assert!(check(&store).unwrap().findings.is_empty());
    for value in [&b""[..], b"\x02\x00", b"\x01\x01\x01 ", b"\x01\x05x"] {
        let write = Write::put(b"fa@mail.example".to_vec(), value.to_vec());
        store.commit_wait(Commit::new().write(write)).unwrap();
        assert_eq!(check(&store).unwrap().findings.len(), 1, "{value:?}");
        let failed = service.destinations("a@mail.example").await;
        assert!(matches!(failed, Err(DeliverError::Temporary(_))), "{value:?} {failed:?}");
    }
}

#[tokio::test]
async fn an_account_has_room_up_to_its_limits() {
    let service = service(&[]).await;
    let account = account_of(&service, "dock").await;
    assert!(service.has_room(account.id(), u64::MAX).await.unwrap());
    let quota = Quota { storage_kib: Some(10), messages: Some(1), ..Quota::default() };
    account.submit(Operation::SetQuota { quota }).await.unwrap();
    assert!(service.has_room(account.id(), 10 * 1024).await.unwrap());
    assert!(!service.has_room(account.id(), 10 * 1024 + 1).await.unwrap());
    let quota = Quota { messages: Some(0), ..Quota::default() };
    account.submit(Operation::SetQuota { quota }).await.unwrap();
    assert!(!service.has_room(account.id(), 1).await.unwrap());
}

#[tokio::test]
async fn what_comes_back_from_forwarded_mail_goes_to_its_sender_while_that_can_be() {
    let mut setup = Setup::new(Sharing::Shared);
    setup.config.domains = ["mail.example", "other.example"].map(str::to_owned).to_vec();
    let store: Arc<dyn store::Store> = Arc::new(Mem::new());
    let service = setup.open(Arc::clone(&store)).await;
    // It has the domain that the mail was for, and nobody gets what only looks so.
    set(&service, "@other.example", &["dock@mail.example"]).await;
    account_of(&service, "dock").await;
    let news = "News@Harbour.example";
    let path = service.forwarding_path(news, "info@Other.example").unwrap().unwrap();
    assert!(path.ends_with("=Harbour.example=News@Other.example"), "{path}");
    let forged = path.replacen("News", "Views", 1);
    assert_eq!(service.destinations(&forged).await, Err(DeliverError::NoSuchUser));
    // Another node, a mail program that knows no capitals, and mail that came by here twice.
    let node = setup.open(store).await;
    let between = path.replace("@Other.example", "@between.example");
    let twice = service.forwarding_path(&between, "info@mail.example").unwrap().unwrap();
    assert!(twice.starts_with("SRS1=") && twice.contains("=between.example="), "{twice}");
    let again = twice.replacen("between", "other", 1);
    assert_eq!(node.destinations(&again).await, Err(DeliverError::NoSuchUser));
    for (path, sender) in
        [(path.clone(), news), (path.to_lowercase(), "news@harbour.example"), (twice, &between)]
    {
        let found = node.destinations(&path).await.unwrap();
        assert_eq!((found.local, found.kind), (vec![], AddressKind::ReturnPath), "{path}");
        assert_eq!(found.remote, [sender]);
    }
    setup.clock.advance(22 * 86_400);
    assert_eq!(node.destinations(&path).await, Err(DeliverError::NoSuchUser));
}

#[tokio::test]
async fn mail_is_forwarded_under_its_own_path_where_that_finds_the_way() {
    let service = service(&["mail.example"]).await;
    let path = |sender: &str| service.forwarding_path(sender, "info@mail.example");
    assert_eq!(path(""), Ok(None));
    assert_eq!(path("dock@Mail.Example"), Ok(None));
    assert_eq!(path("\"a b\"@x.example"), Err(SrsFault::Form));
    assert_eq!(path(&format!("{}@x.example", "a".repeat(220))), Err(SrsFault::TooLong));
    for (domain, is_kin) in [
        ("Mail.example", true),
        ("a.mail.example", true),
        ("example", true),
        ("gmail.example", false),
        ("il.example", false),
        ("mail.example.net", false),
    ] {
        assert_eq!(service.is_kin(domain), is_kin, "{domain}");
    }
    // An alias may have no domain, or one of which nobody knows that it is here.
    for recipient in ["postmaster", "info@strange.example"] {
        let path = service.forwarding_path("a@x.example", recipient).unwrap().unwrap();
        assert!(path.ends_with("@mail.example"), "{path}");
    }
}

#[tokio::test]
async fn an_address_at_the_name_of_the_server_is_here_for_all_who_ask() {
    let mut setup = Setup::new(Sharing::Exclusive);
    setup.config.domains = vec!["mail.example".to_owned(), "other.example".to_owned()];
    setup.config.queue.hostname = "mx.host.example".to_owned();
    let service = setup.open(Arc::new(Mem::new())).await;
    let dock = account_of(&service, "dock").await.id();
    let postmasters = ["postmaster", "postmaster@MX.host.example"];
    for address in [&postmasters[..], &["dock@mx.host.example", "\"a b\"@Mx.host.example"]].concat()
    {
        assert_eq!(service.is_local(address).await, Ok(true), "{address}");
        let found = service.destinations(address).await;
        assert_eq!(found, Err(DeliverError::NoSuchUser), "{address}");
    }
    // RFC 5321 §4.5.1
    set(&service, "postmaster@mail.example", &["dock"]).await;
    for address in postmasters {
        assert_eq!(ids(&service, address).await, (vec![dock], vec![]), "{address}");
        assert_eq!(service.may_send_as(dock, address).await, Ok(false), "{address}");
    }
    for address in ["postmaster@other.example", "abuse@mx.host.example"] {
        let found = service.destinations(address).await;
        assert_eq!(found, Err(DeliverError::NoSuchUser), "{address}");
    }
    let far = service.destinations("postmaster@host.example").await.unwrap();
    assert_eq!((far.local, far.kind), (vec![], AddressKind::Elsewhere));
    // Who is called so comes first.
    let pier = account_of(&service, "pier").await.id();
    for address in postmasters {
        set(&service, address, &["pier"]).await;
        assert_eq!(ids(&service, address).await, (vec![pier], vec![]), "{address}");
    }
}
