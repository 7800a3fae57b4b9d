//! Every script of `testkit/scripts`, against sessions without a server around them.

use std::path::PathBuf;

use imap_session::{CleartextLogin, SessionConfig};
use testkit::pure::PureServer;
use testkit::script::run_folder;

fn scripts(topic: &str) {
    run_folder(&folder(topic), PureServer::default);
}

fn folder(topic: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/scripts").join(topic)
}

testkit::script_tests!(scripts);

#[test]
fn uidonly_neither_tells_nor_takes_sequence_numbers() {
    let config = SessionConfig {
        cleartext_login: CleartextLogin::Allowed,
        uidonly: true,
        ..SessionConfig::default()
    };
    run_folder(&folder("uidonly"), || PureServer::new(config.clone()));
}

#[test]
fn tokens_log_in_where_there_is_a_provider() {
    let config = SessionConfig {
        cleartext_login: CleartextLogin::Allowed,
        mechanisms: ["OAUTHBEARER", "XOAUTH2", "PLAIN"].map(str::to_owned).into(),
        ..SessionConfig::default()
    };
    run_folder(&folder("oauth"), || PureServer::new(config.clone()));
}

#[test]
fn a_command_works_on_no_more_messages_than_it_may() {
    let config = SessionConfig {
        cleartext_login: CleartextLogin::Allowed,
        message_limit: Some(3),
        ..SessionConfig::default()
    };
    run_folder(&folder("messagelimit"), || PureServer::new(config.clone()));
}
