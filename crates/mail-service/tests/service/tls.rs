//! What is known of TLS on the way to other domains outlives processes and is shared.

use std::sync::Arc;

use mail_service::limits::SWEEP_STEP_BYTES;
use mail_service::tls::{
    Counted, Counts, DAYS_KEPT, Failure, FailureKind, KeptPolicy, Ruler, Subject,
};
use mail_service::{GreylistTerms, Service, Sharing, Visit, check, keys};
use store::mem::Mem;
use store::{Commit, KeyRange, Store, Write};

use crate::common::Setup;

fn rows(store: &dyn Store, prefix: &[u8]) -> usize {
    let range = KeyRange::prefix(prefix);
    store::scan_page(&*store.view().unwrap(), &range, 10_000).unwrap().rows.len()
}

fn policy(service: &Service, lasts: i64) -> KeptPolicy {
    let now = service.now_secs();
    let text = "version: STSv1\nmode: none\nmax_age: 1\n".to_owned();
    KeptPolicy { id: "1".to_owned(), fetched_at: now, ends_at: now + lasts, text }
}

#[tokio::test]
async fn a_policy_is_known_to_every_process_until_it_ends() {
    let setup = Setup::new(Sharing::Shared);
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let (one, other) = (setup.open(Arc::clone(&store)).await, setup.open(Arc::clone(&store)).await);
    let kept = policy(&one, 100);
    one.keep_tls_policy("far.example", &kept).await.unwrap();
    one.keep_tls_policy("longer.example", &policy(&one, 200)).await.unwrap();
    assert_eq!(other.tls_policy("far.example").await.unwrap(), Some(kept));
    assert_eq!(other.tls_policy("example").await.unwrap(), None);
    setup.clock.advance(100);
    one.sweep().await.unwrap();
    assert_eq!(other.tls_policy("far.example").await.unwrap(), None);
    assert!(other.tls_policy("longer.example").await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_row_is_found_by_the_check_and_stops_no_sweep() {
    let setup = Setup::new(Sharing::Exclusive);
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup.open(Arc::clone(&store)).await;
    service.keep_tls_policy("far.example", &policy(&service, 100)).await.unwrap();
    let day = keys::story_day(service.now_secs());
    let damaged = [
        keys::tls_policy("a.example"),
        keys::tls_count(day, "a.example", [1; 8], 0),
        keys::tls_report(day, "a.example"),
    ];
    let put = |commit: Commit, key: &Vec<u8>| commit.write(Write::put(key.clone(), b"\xff"));
    store.commit_wait(damaged.iter().fold(Commit::new(), put)).unwrap();
    assert!(service.tls_policy("a.example").await.is_err());
    assert!(service.tls_counts(day, "a.example").await.unwrap().is_empty());
    assert_eq!(check(&*store).unwrap().findings.len(), damaged.len());
    setup.clock.advance(100);
    service.sweep().await.unwrap();
    assert_eq!(rows(&*store, b"tp"), 1, "the damaged one");
    assert_eq!(check(&*store).unwrap().findings.len(), damaged.len());
}

fn counted(day: u32, number: u32, domain: &str, successes: u64) -> Counted {
    let subject = Subject::new(domain, Ruler::Sts, vec!["mode: testing".to_owned()]);
    let mut counts = Counts { successes, ..Counts::default() };
    let kind = FailureKind::CertificateExpired;
    counts.fail(Failure::new(kind, Some("mx.far.example"), None, "old"), 1);
    Counted { day, number, subject, counts }
}

#[tokio::test]
async fn what_processes_count_adds_up_and_is_reported_once() {
    let setup = Setup::new(Sharing::Shared);
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let (one, other) = (setup.open(Arc::clone(&store)).await, setup.open(Arc::clone(&store)).await);
    let day = keys::story_day(one.now_secs());
    let far = |successes| counted(day, 0, "far.example", successes);
    one.keep_tls_counts([1; 8], &[far(2)]).await.unwrap();
    // Later it has counted more.
    let beside = counted(day, 1, "sub.far.example", 1);
    one.keep_tls_counts([1; 8], &[far(3), beside]).await.unwrap();
    other.keep_tls_counts([2; 8], &[far(10)]).await.unwrap();
    other.keep_tls_counts([2; 8], &[counted(day - 1, 1, "far.example", 100)]).await.unwrap();
    let counts = one.tls_counts(day, "far.example").await.unwrap();
    let (subject, sum) = counts.first_key_value().unwrap();
    assert_eq!((counts.len(), subject), (1, &far(0).subject));
    assert_eq!((sum.successes, sum.failures.values().copied().collect()), (13, vec![2]));
    let unreported = async |service: &Service| service.unreported_tls_domains(day).await.unwrap();
    assert_eq!(unreported(&one).await, ["far.example", "sub.far.example"]);
    assert!(one.claim_tls_report(day, "far.example").await.unwrap());
    assert!(!other.claim_tls_report(day, "far.example").await.unwrap());
    assert!(other.claim_tls_report(day - 1, "far.example").await.unwrap());
    assert_eq!(unreported(&other).await, ["sub.far.example"]);
    assert!(check(&*store).unwrap().is_clean());
    // Nothing is kept for ever.
    setup.clock.advance(i64::from(DAYS_KEPT) * 86_400);
    one.sweep().await.unwrap();
    assert_eq!((rows(&*store, b"tc"), rows(&*store, b"tr")), (3, 1));
    setup.clock.advance(86_400);
    one.sweep().await.unwrap();
    assert_eq!(rows(&*store, b"t"), 0);
}

#[tokio::test]
async fn more_rows_than_one_commit_may_compare_are_swept() {
    let setup = Setup::new(Sharing::Exclusive);
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup.open(Arc::clone(&store)).await;
    let terms = GreylistTerms { delay_secs: 60, window_secs: 3600, lifetime_secs: 86_400 };
    let count = store::limits::CONDITIONS_PER_COMMIT_MAX * 3 + 1;
    for n in 0..count {
        let sender = format!("{n}@b.example");
        let client = "192.0.2.1".parse().unwrap();
        let visit = Visit { client, sender: &sender, recipient: "c@d.example" };
        service.greylist(terms, visit).await.unwrap();
    }
    assert_eq!(rows(&*store, b"y"), count);
    setup.clock.advance(3600 * i64::from(mail_service::WINDOW_HOURS_MAX) + 1);
    service.sweep().await.unwrap();
    assert_eq!(rows(&*store, b"y"), 0);
}

#[tokio::test]
async fn rows_whose_keys_cannot_be_right_are_found_by_the_check() {
    let setup = Setup::new(Sharing::Exclusive);
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup.open(Arc::clone(&store)).await;
    let day = keys::story_day(service.now_secs());
    assert!(service.claim_tls_report(day, "far.example").await.unwrap());
    service.keep_tls_counts([1; 8], &[counted(day, 0, "far.example", 1)]).await.unwrap();
    assert!(check(&*store).unwrap().is_clean());
    let value = |key: &[u8]| store.view().unwrap().get(key).unwrap().unwrap();
    let report = value(&keys::tls_report(day, "far.example"));
    let count = value(&keys::tls_count(day, "far.example", [1; 8], 0));
    let strange = [
        (b"tr\0\0".to_vec(), &report),
        (keys::tls_report(day, ""), &report),
        (keys::tls_report(day, "a\0b"), &report),
        ([&keys::tls_report(day, "a")[..], b"\xff"].concat(), &report),
        (b"tc\0\0".to_vec(), &count),
        (keys::tls_count(day, "a\0b", [1; 8], 0), &count),
    ];
    for (found, (key, value)) in strange.into_iter().enumerate() {
        let put = Write::put(key.clone(), value.clone());
        store.commit_wait(Commit::new().write(put)).unwrap();
        assert_eq!(check(&*store).unwrap().findings.len(), found + 1, "{key:?}");
    }
}

#[tokio::test]
async fn more_bytes_than_one_step_may_hold_are_swept() {
    let setup = Setup::new(Sharing::Exclusive);
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup.open(Arc::clone(&store)).await;
    let day = keys::story_day(service.now_secs());
    let value = vec![0; store::limits::VALUE_BYTES_MAX];
    let count = u32::try_from(SWEEP_STEP_BYTES / value.len() * 2 + 1).unwrap();
    let put = |n| {
        let key = keys::tls_count(day - DAYS_KEPT - 1, "far.example", [1; 8], n);
        store.commit_wait(Commit::new().write(Write::put(key, value.clone()))).unwrap();
    };
    (0..count).for_each(put);
    service.keep_tls_counts([1; 8], &[counted(day, 0, "far.example", 1)]).await.unwrap();
    assert_eq!(rows(&*store, b"tc"), count as usize + 1);
    service.sweep().await.unwrap();
    assert_eq!(rows(&*store, b"tc"), 1, "the one of today");
    // They are counted anew, and another finds room.
    service.keep_tls_counts([2; 8], &[counted(day, 0, "far.example", 1)]).await.unwrap();
    assert_eq!(rows(&*store, b"tc"), 2);
}
