//! Accounts and logins: names, passwords, SASL, import, removal.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mail_service::auth::scram::{Hash, ScramKeys};
use mail_service::{
    AuthError, Channel, Mechanism, NameFault, PasswordFault, SaslProgress, Service, ServiceError,
    Sharing, TokenFault, TokenHolder, TokenVerifier, Verifying,
};
use store::mem::Mem;

use crate::common::{Setup, account_of, append, assert_clean, inbox, secret};

async fn service() -> (Mem, Service) {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    (store, service)
}

#[tokio::test]
async fn a_login_is_for_its_own_account_whatever_was_cached() {
    let (_store, service) = service().await;
    let dock = service.create_account("dock", secret("one")).await.unwrap();
    let office = service.create_account("office", secret("two")).await.unwrap();
    for _ in 0..3 {
        let login = service.authenticate("dock", &secret("one")).await.unwrap();
        assert_eq!(login.id(), dock);
        let login = service.authenticate("OFFICE", &secret("two")).await.unwrap();
        assert_eq!(login.id(), office);
        for (name, password) in [("dock", "two"), ("office", "one"), ("dock", ""), ("", "one")] {
            let denied = service.authenticate(name, &secret(password)).await;
            assert_eq!(denied.err(), Some(AuthError::Denied), "{name} {password}");
        }
    }
}

#[tokio::test]
async fn unknown_name_and_wrong_password_look_the_same() {
    let (_store, service) = service().await;
    service.create_account("dock", secret("one")).await.unwrap();
    let wrong = service.authenticate("dock", &secret("x")).await.err().unwrap();
    for name in ["nobody", "a b", "dock\0", &"n".repeat(10_000)] {
        let unknown = service.authenticate(name, &secret("x")).await.err().unwrap();
        assert_eq!(unknown.to_string(), wrong.to_string());
    }
}

#[tokio::test]
async fn an_address_logs_in_where_its_domain_is_ours() {
    let mut setup = Setup::new(Sharing::Exclusive);
    setup.config.domains = vec!["mail.example".to_owned()];
    let service = setup.open(Arc::new(Mem::new())).await;
    let local = service.create_account("dock", secret("one")).await.unwrap();
    let login = service.authenticate("Dock@Mail.Example", &secret("one")).await.unwrap();
    assert_eq!(login.id(), local);
    let foreign = service.authenticate("dock@other.example", &secret("one")).await;
    assert_eq!(foreign.err(), Some(AuthError::Denied));
    // An account of the whole address comes before the one of its local part.
    let whole = service.create_account("dock@mail.example", secret("two")).await.unwrap();
    let login = service.authenticate("dock@mail.example", &secret("two")).await.unwrap();
    assert_eq!(login.id(), whole);
}

#[tokio::test]
async fn a_changed_password_ends_the_old_one_at_once() {
    let (store, service) = service().await;
    service.create_account("dock", secret("old")).await.unwrap();
    service.authenticate("dock", &secret("old")).await.unwrap();
    service.set_password("dock", secret("new")).await.unwrap();
    let old = service.authenticate("dock", &secret("old")).await;
    assert_eq!(old.err(), Some(AuthError::Denied));
    service.authenticate("dock", &secret("new")).await.unwrap();
    let missing = service.set_password("nobody", secret("x")).await;
    assert_eq!(missing, Err(ServiceError::NoSuchAccount));
    assert_clean(&store);
}

#[tokio::test]
async fn a_password_changed_by_another_process_is_not_found_in_the_cache() {
    let setup = Setup::new(Sharing::Shared);
    let store = Mem::new();
    let one = setup.open(Arc::new(store.clone())).await;
    let two = setup.open(Arc::new(store.clone())).await;
    one.create_account("dock", secret("old")).await.unwrap();
    one.authenticate("dock", &secret("old")).await.unwrap();
    two.set_password("dock", secret("new")).await.unwrap();
    let old = one.authenticate("dock", &secret("old")).await;
    assert_eq!(old.err(), Some(AuthError::Denied));
}

#[tokio::test]
async fn bad_names_and_passwords_make_no_account() {
    let (_store, service) = service().await;
    let empty = service.create_account("", secret("x")).await.unwrap_err();
    assert_eq!(empty, ServiceError::InvalidName(NameFault::Empty));
    let password = service.create_account("dock", secret("")).await.unwrap_err();
    assert_eq!(password, ServiceError::InvalidPassword(PasswordFault::Empty));
    service.create_account("dock", secret("x")).await.unwrap();
    let twice = service.create_account("DOCK", secret("x")).await.unwrap_err();
    assert_eq!(twice, ServiceError::AccountExists);
    assert_eq!(service.list_accounts().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_accounts_are_imported_and_all_can_log_in() {
    let (store, service) = service().await;
    service.create_account("user7", secret("mine")).await.unwrap();
    let lines = (0..1000).map(|n| (format!("user{n}"), secret(&format!("p{n}")))).collect();
    let outcomes = service.import(lines).await.unwrap();
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.name, format!("user{n}"));
        let exists = outcome.result == Err(ServiceError::AccountExists);
        assert_eq!(exists, n == 7, "{n}: {:?}", outcome.result);
    }
    let accounts = service.list_accounts().await.unwrap();
    assert_eq!(accounts.len(), 1000);
    for n in [0, 499, 999] {
        let login = service.authenticate(&format!("user{n}"), &secret(&format!("p{n}"))).await;
        assert_eq!(Ok(login.unwrap().id()), outcomes[n].result);
    }
    assert_clean(&store);
}

#[tokio::test]
async fn a_removed_account_leaves_nothing_and_its_successor_starts_anew() {
    let (store, service) = service().await;
    let account = account_of(&service, "dock").await;
    append(&account, inbox(&account), 1).await;
    let mut watch = account.watch();
    watch.mark_unchanged();
    let id = account.id();
    service.authenticate("dock", &secret("password")).await.unwrap();
    service.remove_account("dock").await.unwrap();
    // Who had it open finds that it is gone.
    watch.changed().await.unwrap();
    assert_eq!(watch.borrow().mailboxes().len(), 0);
    assert_eq!(account.state().await.err(), Some(ServiceError::NoSuchAccount));
    let denied = service.authenticate("dock", &secret("password")).await;
    assert_eq!(denied.err(), Some(AuthError::Denied));
    let report = mail_service::check(&store).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.accounts, report.blobs), (0, 0));
    let next = service.create_account("dock", secret("password")).await.unwrap();
    assert!(next > id);
    assert_eq!(service.remove_account("nobody").await, Err(ServiceError::NoSuchAccount));
}

#[tokio::test]
async fn no_uidvalidity_comes_back_with_the_name_of_a_removed_account() {
    let (_store, service) = service().await;
    let highest = |account: &mail_service::AccountHandle| {
        let validities: Vec<u32> =
            account.current().mailboxes().map(|m| m.record().uid_validity.get()).collect();
        (validities.iter().copied().min().unwrap(), validities.into_iter().max().unwrap())
    };
    let mut last = 0;
    for _ in 0..3 {
        let account = account_of(&service, "dock").await;
        let name = mail_types::MailboxName::new("Made and deleted").unwrap();
        let make = mailbox::Operation::CreateMailbox { name: name.clone(), special_use: vec![] };
        let (state, _) = account.submit(make).await.unwrap();
        let given = state.by_name(&name).unwrap().record().uid_validity.get();
        account.submit(mailbox::Operation::DeleteMailbox { name }).await.unwrap();
        let (low, high) = highest(&account);
        assert!(low > last, "{low} was given before: up to {last}");
        assert!(given > high);
        last = given;
        service.remove_account("dock").await.unwrap();
    }
}

/// A client's side of SCRAM, only as far as a test needs it.
fn client_final(first_bare: &str, server_first: &str, password: &str) -> String {
    use aws_lc_rs::{digest, hmac, pbkdf2};
    let part = |name: &str| {
        let found = server_first.split(',').find_map(|a| a.strip_prefix(name));
        found.unwrap().to_owned()
    };
    let (nonce, iterations) = (part("r="), part("i=").parse::<u32>().unwrap());
    let salt = BASE64.decode(part("s=")).unwrap();
    let mut salted = [0; 32];
    let rounds = std::num::NonZeroU32::new(iterations).unwrap();
    let sha256 = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(sha256, rounds, &salt, password.as_bytes(), &mut salted);
    let sign = |key: &[u8], text: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
    };
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let without_proof = format!("c=biws,r={nonce}");
    let message = format!("{first_bare},{server_first},{without_proof}");
    let signature = sign(stored_key.as_ref(), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    format!("{without_proof},p={}", BASE64.encode(proof))
}

async fn scram(service: &Service, name: &str, password: &str) -> Result<SaslProgress, AuthError> {
    let mut session = service.sasl(Mechanism::ScramSha256, Channel::default())?;
    let bare = format!("n={name},r=clientnonce");
    let first = session.begin(Some(format!("n,,{bare}").as_bytes())).await?;
    let SaslProgress::Challenge(challenge) = first else { panic!("no challenge") };
    let answer = client_final(&bare, std::str::from_utf8(&challenge).unwrap(), password);
    session.respond(answer.as_bytes()).await
}

#[tokio::test]
async fn scram_logs_in_with_the_password_that_was_set_and_no_other() {
    let (_store, service) = service().await;
    let id = service.create_account("dock", secret("pencil")).await.unwrap();
    match scram(&service, "Dock", "pencil").await.unwrap() {
        SaslProgress::Done { account, data } => {
            assert_eq!(account.id(), id);
            assert!(data.unwrap().starts_with(b"v="));
        }
        SaslProgress::Challenge(_) => panic!("not done"),
    }
    for (name, password) in [("dock", "pen"), ("nobody", "pencil")] {
        assert_eq!(scram(&service, name, password).await.err(), Some(AuthError::Denied));
    }
}

async fn salt_of(service: &Service, name: &str) -> String {
    let mut session = service.sasl(Mechanism::ScramSha256, Channel::default()).unwrap();
    let first = session.begin(Some(format!("n,,n={name},r=x").as_bytes())).await.unwrap();
    let SaslProgress::Challenge(challenge) = first else { panic!("no challenge") };
    let text = String::from_utf8(challenge).unwrap();
    text.split_once(",s=").unwrap().1.to_owned()
}

#[tokio::test]
async fn an_unknown_name_gets_one_salt_in_every_spelling_and_after_a_restart() {
    let (store, service) = service().await;
    service.create_account("dock", secret("x")).await.unwrap();
    let salt = salt_of(&service, "nobody").await;
    assert_eq!(salt_of(&service, "NOBODY").await, salt);
    assert_ne!(salt_of(&service, "somebody").await, salt);
    assert_eq!(salt.len(), salt_of(&service, "dock").await.len());
    let again = Setup::new(Sharing::Exclusive).open(Arc::new(store)).await;
    assert_eq!(salt_of(&again, "nobody").await, salt);
}

#[tokio::test]
async fn plain_logs_in_as_oneself_only() {
    let (_store, service) = service().await;
    service.create_account("dock", secret("one")).await.unwrap();
    service.create_account("office", secret("two")).await.unwrap();
    let plain = async |message: &[u8]| {
        service.sasl(Mechanism::Plain, Channel::default()).unwrap().begin(Some(message)).await.err()
    };
    assert_eq!(plain(b"\0dock\0one").await, None);
    assert_eq!(plain(b"dock\0dock\0one").await, None);
    assert_eq!(plain(b"office\0dock\0one").await, Some(AuthError::NotAuthorized));
    assert_eq!(plain(b"\0dock\0two").await, Some(AuthError::Denied));
    assert_eq!(plain(b"dock").await, Some(AuthError::Malformed));
}

#[tokio::test]
async fn a_certificate_logs_in_to_the_account_it_is_made_out_for() {
    let (_store, service) = service().await;
    let dock = service.create_account("dock@mail.example", secret("one")).await.unwrap();
    service.create_account("quay@mail.example", secret("two")).await.unwrap();
    let login = async |names: &[&str], identity: &[u8]| {
        let certified = names.iter().map(|&name| name.to_owned()).collect();
        let channel = Channel { certified, ..Channel::default() };
        let mut session = service.sasl(Mechanism::External, channel).unwrap();
        match session.begin(Some(identity)).await? {
            SaslProgress::Done { account, data: None } => Ok(account.id()),
            _ => panic!("not done"),
        }
    };
    let names = ["nobody@mail.example", "Dock@mail.example"];
    assert_eq!(login(&names, b"").await, Ok(dock));
    assert_eq!(login(&names, b"dock@mail.example").await, Ok(dock));
    for other in [&b"quay@mail.example"[..], b"nobody@mail.example"] {
        assert_eq!(login(&names, other).await, Err(AuthError::NotAuthorized));
    }
    assert_eq!(login(&["nobody@mail.example"], b"").await, Err(AuthError::Denied));
    // Whoever is meant is named as he is: the authority may know another of this local part.
    service.create_account("pier", secret("three")).await.unwrap();
    for other in ["pier@mail.example", "pier@x.example", "p\u{ad}ier"] {
        assert_eq!(login(&[other], b"").await, Err(AuthError::Denied), "{other}");
    }
    login(&["Pier"], b"").await.unwrap();
    assert_eq!(login(&[], b"").await, Err(AuthError::Denied));
    assert_eq!(login(&[], b"dock@mail.example").await, Err(AuthError::NotAuthorized));
}

#[test]
fn keys_of_a_password_do_not_print() {
    let keys = ScramKeys::derive(Hash::Sha256, &secret("pencil"), b"salt", 4096);
    assert!(!format!("{keys:?}").contains(|c: char| c.is_ascii_digit()));
}

/// Application passwords as they are told, without needing to be shown.
fn typed(password: &mail_types::Secret) -> String {
    String::from_utf8(password.expose().to_vec()).unwrap()
}

#[tokio::test]
async fn an_application_password_logs_in_beside_the_password_until_it_is_removed() {
    let (store, service) = service().await;
    let dock = service.create_account("dock", secret("one")).await.unwrap();
    service.create_account("office", secret("two")).await.unwrap();
    let hide = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let phone = service.add_app_password("dock", "phone", &hide(&["move"])).await.unwrap();
    let tv = service.add_app_password("DOCK", "tv", &[]).await.unwrap();
    let change = mail_service::HiddenChange { hide: hide(&["ID"]), show: Vec::new() };
    service.change_hidden("dock", &change).await.unwrap();
    for _ in 0..2 {
        let login = service.authenticate("dock", &phone).await.unwrap();
        assert_eq!((login.id(), login.hidden_capabilities()), (dock, &hide(&["ID", "MOVE"])[..]));
        let login = service.authenticate("Dock", &tv).await.unwrap();
        assert_eq!(login.hidden_capabilities(), ["ID"]);
        let login = service.authenticate("dock", &secret("one")).await.unwrap();
        assert_eq!(login.hidden_capabilities(), ["ID"]);
    }
    let spelt = typed(&phone).replace('-', "").to_uppercase();
    assert_eq!(service.authenticate("dock", &secret(&spelt)).await.unwrap().id(), dock);
    // It is one account's only.
    for name in ["office", "nobody"] {
        let denied = service.authenticate(name, &phone).await;
        assert_eq!(denied.err(), Some(AuthError::Denied), "{name}");
    }
    // SCRAM is for the password.
    assert_eq!(scram(&service, "dock", &typed(&phone)).await.err(), Some(AuthError::Denied));
    let plain = [&b"\0dock\0"[..], phone.expose()].concat();
    let mut session = service.sasl(Mechanism::Plain, Channel::default()).unwrap();
    assert!(matches!(session.begin(Some(&plain)).await, Ok(SaslProgress::Done { .. })));
    // They stay when the password is changed.
    service.set_password("dock", secret("new")).await.unwrap();
    let listed = service.app_passwords("dock").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|it| (it.label.as_str(), it.hidden.len())).collect();
    assert_eq!(listed, [("phone", 1), ("tv", 0)]);
    service.remove_app_password("dock", "phone").await.unwrap();
    assert_eq!(service.authenticate("dock", &phone).await.err(), Some(AuthError::Denied));
    service.authenticate("dock", &tv).await.unwrap();
    service.authenticate("dock", &secret("new")).await.unwrap();
    assert_clean(&store);
}

#[tokio::test]
async fn an_application_password_that_another_process_removed_is_refused_at_once() {
    let setup = Setup::new(Sharing::Shared);
    let store = Mem::new();
    let one = setup.open(Arc::new(store.clone())).await;
    let two = setup.open(Arc::new(store.clone())).await;
    one.create_account("dock", secret("old")).await.unwrap();
    let phone = two.add_app_password("dock", "phone", &[]).await.unwrap();
    one.authenticate("dock", &phone).await.unwrap();
    two.remove_app_password("dock", "phone").await.unwrap();
    assert_eq!(one.authenticate("dock", &phone).await.err(), Some(AuthError::Denied));
}

#[tokio::test]
async fn application_passwords_that_cannot_be_are_not_made() {
    use mail_service::AppPasswordFault::{Exists, Label, TooMany, Unknown};
    let (_store, service) = service().await;
    service.create_account("dock", secret("one")).await.unwrap();
    let add =
        async |name: &str, label: &str| service.add_app_password(name, label, &[]).await.err();
    let remove = async |label: &str| service.remove_app_password("dock", label).await;
    let fault = |fault| Some(ServiceError::AppPassword(fault));
    assert_eq!(add("nobody", "phone").await, Some(ServiceError::NoSuchAccount));
    assert_eq!(service.app_passwords("nobody").await.err(), Some(ServiceError::NoSuchAccount));
    assert_eq!(add("dock", "a\nb").await, fault(Label));
    assert_eq!(add("dock", "phone").await, None);
    assert_eq!(add("dock", "phone").await, fault(Exists));
    assert_eq!(remove("pho").await.err(), fault(Unknown));
    assert_eq!(remove("a\nb").await.err(), fault(Unknown));
    let wrong = service.add_app_password("dock", "tv", &["A B".to_owned()]).await;
    assert_eq!(wrong.err(), Some(ServiceError::InvalidCapability));
    let many: Vec<_> = (0..13).map(|n| format!("X{n}")).collect();
    let wrong = service.add_app_password("dock", "tv", &many).await;
    assert_eq!(wrong.err(), Some(ServiceError::InvalidCapability));
    for n in 1..mail_service::limits::APP_PASSWORDS_MAX {
        assert_eq!(add("dock", &format!("phone {n}")).await, None);
    }
    assert_eq!(add("dock", "one more").await, fault(TooMany));
    remove("phone").await.unwrap();
    assert_eq!(add("dock", "one more").await, None);
}

/// A provider that says of every token that it is held by whoever has one of these names.
#[derive(Debug)]
struct HeldBy(&'static [&'static str]);

impl TokenVerifier for HeldBy {
    fn verify<'a>(&'a self, _: &'a mail_types::Secret) -> Verifying<'a> {
        let names = self.0.iter().map(|&name| name.to_owned()).collect();
        Box::pin(std::future::ready(Ok(TokenHolder { names })))
    }

    fn is_host(&self, _: &str) -> bool {
        true
    }

    fn refusal(&self, _: Mechanism, why: TokenFault) -> Vec<u8> {
        format!("{why:?}").into_bytes()
    }
}

/// Who is logged in with a token of this holder, by this message; `^` is the separator.
async fn token_login(
    store: &Mem,
    names: &'static [&'static str],
    message: &str,
) -> Result<mail_types::AccountId, AuthError> {
    let mut setup = Setup::new(Sharing::Shared);
    setup.config.tokens = Some(Arc::new(HeldBy(names)));
    let service = setup.open(Arc::new(store.clone())).await;
    let mut session = service.sasl(Mechanism::OAuthBearer, Channel::default()).unwrap();
    let message = message.replace('^', "\u{1}");
    match session.begin(Some(message.as_bytes())).await? {
        SaslProgress::Done { account, data: None } => return Ok(account.id()),
        SaslProgress::Done { .. } => panic!("there is nothing to add"),
        SaslProgress::Challenge(why) => assert_eq!(why, b"Token"),
    }
    assert!(session.has_failed());
    Err(session.respond(b"\x01").await.err().unwrap())
}

#[tokio::test]
async fn a_token_opens_the_first_account_that_it_names_exactly() {
    let (store, service) = service().await;
    let dock = service.create_account("dock", secret("one")).await.unwrap();
    let quay = service.create_account("quay@mail.example", secret("two")).await.unwrap();
    let message = "n,,^auth=Bearer x^^";
    assert_eq!(token_login(&store, &["quay@mail.example"], message).await, Ok(quay));
    assert_eq!(token_login(&store, &["Quay@Mail.example"], message).await, Ok(quay));
    assert_eq!(token_login(&store, &["nobody@mail.example", "dock"], message).await, Ok(dock));
    assert_eq!(token_login(&store, &["quay@mail.example", "dock"], message).await, Ok(quay));
    // People may log in as dock@anywhere; a provider's address does not mean that.
    service.authenticate("dock@evil.example", &secret("one")).await.unwrap();
    for names in [
        &["dock@evil.example"][..],
        &["d\u{ad}ock"],
        &["\u{ff44}ock"],
        &["dock "],
        &["quay"],
        &[""],
        &[],
        &["a", "b", "c", "d", "dock"],
    ] {
        assert_eq!(token_login(&store, names, message).await, Err(AuthError::Denied), "{names:?}");
    }
}

#[tokio::test]
async fn a_token_acts_for_its_holder_only() {
    let (store, service) = service().await;
    let dock = service.create_account("dock", secret("one")).await.unwrap();
    service.create_account("quay", secret("two")).await.unwrap();
    for user in ["dock", "DOCK", "dock@mail.example"] {
        let message = format!("n,a={user},^auth=Bearer x^^");
        assert_eq!(token_login(&store, &["dock"], &message).await, Ok(dock), "{user}");
    }
    for user in ["quay", "nobody", "quay@mail.example"] {
        let message = format!("n,a={user},^auth=Bearer x^^");
        let refused = token_login(&store, &["dock"], &message).await;
        assert_eq!(refused, Err(AuthError::NotAuthorized), "{user}");
    }
    // Without a provider there is nobody who could say whose it is.
    let mut session = service.sasl(Mechanism::XOAuth2, Channel::default()).unwrap();
    let refused = session.begin(Some(b"user=dock\x01auth=Bearer x\x01\x01")).await;
    assert_eq!(refused.err(), Some(AuthError::Malformed));
}
