//! Who may be spoken to, and how: TLS, passwords, settings that are wrong.
#![expect(clippy::unwrap_used, reason = "a test gives up by panicking")]

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{DEADLINE, hasty, patiently};
use store::{Store, StoreError};
use store_postgres::{Password, Postgres, Settings};
use testkit::postgres::{Cluster, Durability};

fn cluster() -> Cluster {
    Cluster::start(Durability::Fast, &[]).unwrap()
}

fn authority(folder: &tempfile::TempDir, name: &str) -> (PathBuf, String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, made.cert.pem()).unwrap();
    (file, made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn server_must_show_a_certificate_that_is_trusted() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let (right, certificate, key) = authority(&folder, "right.pem");
    let (wrong, ..) = authority(&folder, "wrong.pem");
    let with = |ca_file: &PathBuf| {
        Postgres::open(Settings { ca_file: Some(ca_file.clone()), ..hasty(&cluster.url()) })
    };
    let refused = with(&right).err();
    assert!(matches!(refused, Some(StoreError::Unavailable { .. })), "without TLS: {refused:?}");
    cluster.write("server.crt", certificate.as_bytes()).unwrap();
    cluster.write("server.key", key.as_bytes()).unwrap();
    cluster.run_sql("ALTER SYSTEM SET ssl = on").unwrap();
    cluster.run_sql("SELECT pg_reload_conf()").unwrap();
    let deadline = Instant::now() + DEADLINE;
    while cluster.run_sql("SHOW ssl").unwrap() != "on" {
        assert!(Instant::now() < deadline);
    }
    // A machine that is busy may need longer than this patience before the certificate comes.
    loop {
        let refused = with(&wrong).err();
        let is_right = matches!(&refused, Some(StoreError::Unavailable { reason })
            if reason.contains("certificate"));
        if is_right {
            break;
        }
        assert!(Instant::now() < deadline, "another authority: {refused:?}");
    }
    let store = patiently(|| with(&right));
    let view = store.view().unwrap();
    let plain = "SELECT count(*) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
        WHERE a.application_name = 'pillarbox' AND NOT s.ssl";
    assert_eq!(cluster.run_sql(plain).unwrap(), "0", "a session is not encrypted");
    drop(view);
}

#[test]
fn password_is_used_and_never_printed() {
    let cluster = cluster();
    cluster.run_sql("CREATE ROLE keeper LOGIN PASSWORD 'tide and sand'").unwrap();
    cluster.run_sql("CREATE SCHEMA kept AUTHORIZATION keeper").unwrap();
    cluster
        .write(
            "pg_hba.conf",
            b"host all mail all trust\nlocal all all trust\nhost all all all scram-sha-256\n",
        )
        .unwrap();
    cluster.run_sql("SELECT pg_reload_conf()").unwrap();
    let url = cluster.url().replace("mail@", "keeper@") + "?options=-csearch_path%3Dkept";
    let with = |password: Option<&str>| {
        let password = password.map(Password::new);
        let settings = Settings { password, ..hasty(&url) };
        assert!(!format!("{settings:?} {:?}", settings.password).contains("tide"));
        Postgres::open(settings)
    };
    // The server may still be reading its new rules.
    let deadline = Instant::now() + DEADLINE;
    while with(None).is_ok() {
        assert!(Instant::now() < deadline);
    }
    let refused = with(Some("wrong")).err();
    assert!(matches!(refused, Some(StoreError::Unavailable { .. })), "{refused:?}");
    patiently(|| with(Some("tide and sand"))).close().unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused_with_the_reason() {
    let refused = |settings: Settings, reason: &str| {
        let answer = Postgres::open(settings).err();
        let is_right = matches!(&answer, Some(StoreError::Unsupported { found })
            if found.contains(reason));
        assert!(is_right, "{reason}: {answer:?}");
    };
    refused(Settings::new("postgresql://[nonsense"), "URL");
    let url = "postgresql://mail@127.0.0.1:1/postgres";
    refused(Settings { connections_max: 3, ..Settings::new(url) }, "connections");
    refused(Settings { inline_bytes_max: 1 << 30, ..Settings::new(url) }, "bytes");
    let ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
    refused(Settings { ca_file, ..Settings::new(url) }, "ca.pem");
    let patience = Duration::from_millis(200);
    let nobody = Postgres::open(Settings { patience, ..Settings::new(url) }).err();
    assert!(matches!(nobody, Some(StoreError::Unavailable { .. })), "{nobody:?}");
}
