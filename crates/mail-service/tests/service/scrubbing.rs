//! The scrub reads everything and names what is damaged.

use std::sync::Arc;

use mail_service::keys::AccountKeys;
use mail_service::{Service, Sharing};
use store::mem::Mem;
use store::{BlobId, BlobKey, Store};

use crate::common::{Setup, account_of, append, inbox, mail};

async fn pass(service: &Service) -> u64 {
    let (mut scrub, mut bytes) = (service.scrub(), 0);
    loop {
        let step = scrub.step().await.unwrap();
        bytes += step.bytes;
        if step.is_last {
            return bytes;
        }
    }
}

#[tokio::test]
async fn a_pass_reads_every_body_and_counts_each_damaged_one_once() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let mut sizes = 0;
    let mut prefixes = Vec::new();
    for user in ["dock", "berth"] {
        let account = account_of(&service, user).await;
        prefixes.push(AccountKeys::new(account.id()).prefix().to_vec());
        for number in 1..=100 {
            append(&account, inbox(&account), number).await;
            sizes += mail(number).len() as u64;
        }
    }
    assert!(pass(&service).await > sizes);
    let sound = service.scrubbed();
    assert_eq!((sound.passes, sound.damaged), (1, 0));
    for (scope, number) in [(&prefixes[0], 3), (&prefixes[1], 3), (&prefixes[1], 90)] {
        let id = BlobId::of(mail(number).as_bytes());
        store.damage_blob(&BlobKey::new(scope, id));
        assert!(store.verify_blob(scope, &id).is_err());
    }
    pass(&service).await;
    pass(&service).await;
    let seen = service.scrubbed();
    assert_eq!((seen.passes, seen.damaged), (3, 3));
}
