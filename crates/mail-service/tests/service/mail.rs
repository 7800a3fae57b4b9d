//! Mail: staged, appended, delivered, read back.

use std::sync::Arc;

use mail_service::keys::AccountKeys;
use mail_service::{DeliverError, NewMail, ServiceError, Sharing};
use mail_types::{Flags, InternalDate, MessageId};
use mailbox::{Operation, Outcome, Refusal};
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;
use store::{BlobKey, Store, StoreError};
use store_local::{Local, Options};

use crate::common::{
    START, Setup, account_of, append_text, assert_clean, inbox, mail, mailbox_id, name, secret,
};

fn reply(number: u64, to: u64) -> String {
    mail(number).replacen(
        "Subject",
        &format!("References: <first@x> <m{to}@harbour.example>\r\nSubject"),
        1,
    )
}

#[tokio::test]
async fn bytes_come_back_as_they_were_whatever_they_are() {
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(Mem::new())).await;
    let account = account_of(&service, "dock").await;
    let texts: [&[u8]; 5] = [b"", b"\n", b"A: b\nbare\nlines", b"\0\xff\r\r\n", b"no header"];
    for (at, text) in (1..).zip(texts) {
        append_text(&account, inbox(&account), text).await;
        let id = MessageId(at);
        let whole = account.read(vec![(id, 0..u64::MAX), (id, 1..3)]).await.unwrap();
        assert_eq!(whole[0].as_deref(), Some(text));
        let part = text.get(1..3.min(text.len())).unwrap_or_default();
        assert_eq!(whole[1].as_deref(), Some(part));
        let row = account.rows(&[id]).await.unwrap().remove(0).unwrap();
        assert_eq!(row.message.size, text.len() as u64);
        assert_eq!(*row.message, mime::parse(text));
    }
    assert_eq!(account.read(vec![(MessageId(99), 0..1)]).await.unwrap(), [None]);
    assert_eq!(account.rows(&[MessageId(99)]).await.unwrap(), [None]);
}

#[tokio::test]
async fn a_large_message_is_taken_in_pieces_and_read_in_pieces() {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let text = format!("Subject: big\r\n\r\n{}", "0123456789abcde\r\n".repeat(60_000));
    let mut staging = account.stage();
    for piece in text.as_bytes().chunks(10_007) {
        staging.push(piece).await.unwrap();
    }
    assert_eq!(staging.size(), text.len() as u64);
    let staged = staging.finish().await.unwrap();
    assert_eq!(*staged.message().as_ref(), mime::parse(text.as_bytes()));
    let date = InternalDate::utc(START);
    let mail = NewMail {
        staged,
        flags: Flags::default(),
        date,
        annotations: mailbox::Annotations::default(),
    };
    account.append(inbox(&account), vec![mail]).await.unwrap();
    let reader = account.open_message(MessageId(1)).await.unwrap().unwrap();
    let (mut at, mut read) = (0, Vec::new());
    while at < reader.size() {
        let piece = reader.read(at..u64::MAX).await.unwrap();
        at += piece.len() as u64;
        read.extend(piece);
    }
    assert_eq!(read, text.as_bytes());
    assert!(account.open_message(MessageId(2)).await.unwrap().is_none());
    assert_clean(&store);
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_while_it_arrives() {
    let mut setup = Setup::new(Sharing::Exclusive);
    setup.config.message_bytes_max = 100;
    let service = setup.open(Arc::new(Mem::new())).await;
    let account = account_of(&service, "dock").await;
    let mut staging = account.stage();
    staging.push(&[b'x'; 100]).await.unwrap();
    let error = staging.push(b"y").await.unwrap_err();
    assert_eq!(error, ServiceError::MessageTooLarge { bytes_max: 100 });
    assert!(staging.push(b"").await.is_err());
    assert!(staging.finish().await.is_err());
}

#[tokio::test]
async fn a_structure_too_long_for_a_row_is_kept_in_a_blob() {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let part = "--b\r\nContent-Type: text/plain; name=a-rather-long-name.txt\r\n\r\nx\r\n";
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let text = format!("{head}{}--b--\r\n", part.repeat(1000));
    append_text(&account, inbox(&account), text.as_bytes()).await;
    let row = account.rows(&[MessageId(1)]).await.unwrap().remove(0).unwrap();
    assert_eq!(row.message.root.children().len(), 1000);
    assert_eq!(*row.message, mime::parse(text.as_bytes()));
    assert_clean(&store);
    // The sweep knows both blobs.
    service.sweep().await.unwrap();
    assert_clean(&store);
}

#[tokio::test]
async fn several_messages_are_appended_all_or_none() {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let mut mails = Vec::new();
    for number in 0..3 {
        let mut staging = account.stage();
        staging.push(reply(number, number.wrapping_sub(1)).as_bytes()).await.unwrap();
        let staged = staging.finish().await.unwrap();
        let date = InternalDate::utc(START);
        mails.push(NewMail {
            staged,
            flags: Flags::default(),
            date,
            annotations: mailbox::Annotations::default(),
        });
    }
    let (state, outcome) = account.append(inbox(&account), mails).await.unwrap();
    let Outcome::Added { uids, messages, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(uids.to_string(), "1:3");
    assert_eq!(state.mailbox(inbox(&account)).unwrap().record().counts.messages, 3);
    // They are one conversation although they came at once.
    let rows = account.rows(&messages).await.unwrap();
    let threads: Vec<_> = rows.into_iter().map(|row| row.unwrap().thread).collect();
    assert_eq!(threads, [threads[0]; 3]);
    let mut staging = account.stage();
    staging.push(b"x").await.unwrap();
    let staged = staging.finish().await.unwrap();
    let mail = NewMail {
        staged,
        flags: Flags::default(),
        date: InternalDate::utc(START),
        annotations: mailbox::Annotations::default(),
    };
    let nowhere = mail_types::MailboxId(999);
    let refused = account.append(nowhere, vec![mail]).await.unwrap_err();
    assert_eq!(refused, ServiceError::Refused(Refusal::NoTarget));
    assert_clean(&store);
}

#[tokio::test]
async fn replies_join_the_conversation_also_after_a_restart() {
    let store = Mem::new();
    let setup = Setup::new(Sharing::Exclusive);
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    append_text(&account, inbox(&account), mail(1).as_bytes()).await;
    append_text(&account, inbox(&account), mail(2).as_bytes()).await;
    let service = setup.open(Arc::new(store.crash())).await;
    let account = account_of(&service, "dock").await;
    append_text(&account, inbox(&account), reply(3, 1).as_bytes()).await;
    append_text(&account, inbox(&account), reply(4, 3).as_bytes()).await;
    let ids: Vec<_> = (1..=4).map(MessageId).collect();
    let rows = account.rows(&ids).await.unwrap();
    let threads: Vec<_> = rows.into_iter().map(|row| row.unwrap().thread.get()).collect();
    assert_eq!(threads, [1, 2, 1, 1]);
}

#[tokio::test]
async fn mail_goes_to_the_inbox_or_where_its_detail_says() {
    let store = Mem::new();
    let mut setup = Setup::new(Sharing::Exclusive);
    setup.config.domains = vec!["mail.example".to_owned()];
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let create = Operation::CreateMailbox { name: name("Lists/Rust"), special_use: Vec::new() };
    account.submit(create).await.unwrap();
    for (recipient, mailbox) in [
        ("dock@mail.example", "INBOX"),
        ("Dock+lists/rust@MAIL.example", "Lists/Rust"),
        ("dock+nowhere@mail.example", "INBOX"),
        ("dock", "INBOX"),
    ] {
        let before = account.current().by_name(&name(mailbox)).unwrap().record().counts.messages;
        let route = service.route(recipient).await.unwrap();
        let mut staging = service.stage_delivery(std::slice::from_ref(&route));
        staging.push(mail(1).as_bytes()).await.unwrap();
        let staged = staging.finish().await.unwrap();
        service.deliver(&route, &staged).await.unwrap();
        let state = account.current();
        let record = state.by_name(&name(mailbox)).unwrap().record();
        assert_eq!(record.counts.messages, before + 1, "{recipient}");
    }
    for unknown in ["nobody@mail.example", "dock@other.example", "", "dock @mail.example"] {
        assert_eq!(service.route(unknown).await, Err(DeliverError::NoSuchUser), "{unknown}");
    }
    assert_clean(&store);
}

#[tokio::test]
async fn one_message_is_delivered_to_many_and_marked() {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let mut routes = Vec::new();
    for user in ["dock", "office", "dock"] {
        account_of(&service, user).await;
        routes.push(service.route(user).await.unwrap());
    }
    let mut staging = service.stage_delivery(&routes);
    staging.push(mail(1).as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    for route in &routes {
        service.deliver(route, &staged).await.unwrap();
    }
    for (user, count) in [("dock", 2), ("office", 1)] {
        let account = account_of(&service, user).await;
        let (state, _pin) = account.load(inbox(&account)).await.unwrap();
        let contents = state.mailbox(inbox(&account)).unwrap().contents().unwrap();
        assert_eq!(contents.len(), count);
        let flags = contents.at(0).unwrap().flags();
        assert_eq!(flags.keywords()[0].as_str(), "$HasNoAttachment");
    }
    // A recipient who is gone in between is told apart from trouble.
    service.remove_account("office").await.unwrap();
    let gone = service.deliver(&routes[1], &staged).await;
    assert_eq!(gone, Err(DeliverError::NoSuchUser));
    let other = service.create_account("other", secret("x")).await.unwrap();
    let other = service.account(other).await.unwrap();
    let mail = NewMail {
        staged,
        flags: Flags::default(),
        date: InternalDate::utc(START),
        annotations: mailbox::Annotations::default(),
    };
    let foreign = other.append(inbox(&other), vec![mail]).await.unwrap_err();
    assert_eq!(foreign, ServiceError::NoSuchMessage);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_on_the_local_engine_is_there_after_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(Sharing::Exclusive);
    let open = || Arc::new(Local::open(folder.path(), Options::default()).unwrap());
    let service = setup.open(open()).await;
    let account = account_of(&service, "dock").await;
    let archive = mailbox_id(&account, "Archive");
    for number in 0..20 {
        append_text(&account, inbox(&account), mail(number).as_bytes()).await;
    }
    let uids = mail_types::UidSet::single(mail_types::Uid::MIN);
    let moved = Operation::Move { from: inbox(&account), to: archive, uids };
    account.submit(moved).await.unwrap();
    drop(account);
    service.close().await.unwrap();
    drop(service);
    let store = open();
    let service = setup.open(store.clone()).await;
    let account = account_of(&service, "dock").await;
    let state = account.load(inbox(&account)).await.unwrap().0;
    assert_eq!(state.mailbox(inbox(&account)).unwrap().contents().unwrap().len(), 19);
    let text = account.read(vec![(MessageId(1), 0..u64::MAX)]).await.unwrap().remove(0);
    assert_eq!(text.as_deref(), Some(mail(0).as_bytes()));
    assert_clean(&*store as &dyn Store);
}

#[tokio::test]
async fn a_replaced_message_stays_replaced_after_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(Sharing::Exclusive);
    let open = || Arc::new(Local::open(folder.path(), Options::default()).unwrap());
    let service = setup.open(open()).await;
    let account = account_of(&service, "dock").await;
    let (drafts, sent) = (mailbox_id(&account, "Drafts"), mailbox_id(&account, "Sent"));
    for number in 0..3 {
        append_text(&account, drafts, mail(number).as_bytes()).await;
    }
    let before = account.current().modseq();
    let staged = |text: String| {
        let mut staging = account.stage();
        async move {
            staging.push(text.as_bytes()).await.unwrap();
            let staged = staging.finish().await.unwrap();
            NewMail {
                staged,
                flags: Flags::default(),
                date: InternalDate::utc(START),
                annotations: mailbox::Annotations::default(),
            }
        }
    };
    let uid = |number| mail_types::Uid::new(number).unwrap();
    let new = staged(reply(4, 1)).await;
    let (_, outcome) = account.replace((drafts, uid(2)), drafts, new).await.unwrap();
    let Outcome::Replaced { modseq, message, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(before.next(), Some(modseq), "one change");
    let new = staged(mail(5)).await;
    account.replace((drafts, uid(1)), sent, new).await.unwrap();
    let late = account.replace((drafts, uid(1)), sent, staged(mail(6)).await).await;
    assert_eq!(late.err(), Some(ServiceError::Refused(Refusal::NoSuchMessage)));
    // The new message found the conversation of the one it answers.
    let state = account.load(drafts).await.unwrap().0;
    let contents = state.mailbox(drafts).unwrap().contents().unwrap();
    let threads: Vec<_> = contents.iter().map(|entry| entry.thread()).collect();
    assert_eq!(threads, [mail_types::ThreadId(3), mail_types::ThreadId(2)]);
    drop(account);
    service.close().await.unwrap();
    drop(service);
    let store = open();
    let service = setup.open(store.clone()).await;
    let account = account_of(&service, "dock").await;
    let state = account.load(drafts).await.unwrap().0;
    let uids = state.mailbox(drafts).unwrap().contents().unwrap().uids();
    assert_eq!(uids.to_string(), "3:4");
    let state = account.load(sent).await.unwrap().0;
    assert_eq!(state.mailbox(sent).unwrap().contents().unwrap().len(), 1);
    let text = account.read(vec![(message, 0..u64::MAX)]).await.unwrap().remove(0);
    assert_eq!(text.as_deref(), Some(reply(4, 1).as_bytes()));
    assert_clean(&*store as &dyn Store);
}

#[tokio::test]
async fn a_staged_message_can_be_read_before_anything_names_it() {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let other = account_of(&service, "quay").await;
    let mut staging = account.stage();
    let text = "0123456789".repeat(20_000);
    staging.push(text.as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    let refused = other.open_staged(staged.clone()).await.err();
    assert_eq!(refused, Some(ServiceError::NoSuchMessage));
    let reader = account.open_staged(staged).await.unwrap();
    assert_eq!(reader.size(), text.len() as u64);
    assert_eq!(reader.read(5..15).await.unwrap(), b"5678901234");
    assert!(reader.read(reader.size()..u64::MAX).await.unwrap().is_empty());
    assert_clean(&store);
}

#[tokio::test]
async fn a_disk_that_fills_up_while_mail_arrives_leaves_nothing_behind() {
    let mem = Mem::new();
    let store = Arc::new(Faulty::new(Arc::new(mem.clone())));
    let service = Setup::new(Sharing::Exclusive).open(store.clone()).await;
    let account = account_of(&service, "dock").await;
    let before = account.current().modseq();
    for call in [Call::StartBlob, Call::WriteBlob, Call::FinishBlob] {
        store.faults().on(call, 1, Fault::Fail(StoreError::StorageFull));
        let mut staging = account.stage();
        staging.push(mail(1).as_bytes()).await.unwrap();
        let error = staging.finish().await.err().unwrap();
        assert_eq!(error, ServiceError::StorageFull, "{call:?}");
    }
    assert_eq!(account.current().modseq(), before);
    append_text(&account, inbox(&account), mail(1).as_bytes()).await;
    assert_clean(&mem);
}

#[tokio::test]
async fn a_damaged_body_is_told_and_never_given_out() {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    append_text(&account, inbox(&account), mail(1).as_bytes()).await;
    append_text(&account, inbox(&account), mail(2).as_bytes()).await;
    let row = account.rows(&[MessageId(1)]).await.unwrap().remove(0).unwrap();
    let scope = AccountKeys::new(account.id());
    store.damage_blob(&BlobKey::new(scope.prefix(), row.blob));
    let error = account.read(vec![(MessageId(1), 0..9)]).await.unwrap_err();
    assert!(matches!(error, ServiceError::Store(StoreError::Corrupt { .. })), "{error}");
    let whole = account.read(vec![(MessageId(2), 0..u64::MAX)]).await.unwrap().remove(0);
    assert_eq!(whole.as_deref(), Some(mail(2).as_bytes()));
}
