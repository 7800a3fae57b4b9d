//! Every script of `testkit/scripts`, against a real server over pipes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use std::path::PathBuf;

use imap_server::ImapSettings;
use testkit::script::run_folder;

fn scripts(topic: &str) {
    run_folder(&folder(topic), common::ScriptPeer::new);
}

fn folder(topic: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/scripts").join(topic)
}

testkit::script_tests!(scripts);

#[test]
fn uidonly_neither_tells_nor_takes_sequence_numbers() {
    let settings = ImapSettings { uidonly: true, ..common::settings() };
    run_folder(&folder("uidonly"), || common::ScriptPeer::with(settings.clone()));
}

#[test]
fn tokens_log_in_where_there_is_a_provider() {
    run_folder(&folder("oauth"), || common::ScriptPeer::with_tokens(1, common::settings()));
}

#[test]
fn clients_get_what_they_are_known_to_need() {
    scripts("wire");
}

#[test]
fn a_command_works_on_no_more_messages_than_it_may() {
    let settings = ImapSettings { message_limit: Some(3), ..common::settings() };
    run_folder(&folder("messagelimit"), || common::ScriptPeer::with(settings.clone()));
}

/// What a client writes through one node another client reads through the next, in every script.
#[test]
fn every_script_goes_the_same_with_its_connections_spread_over_three_nodes() {
    let all = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/scripts");
    let mut topics: Vec<_> = all.read_dir().unwrap().map(|topic| topic.unwrap().path()).collect();
    topics.sort();
    for topic in topics {
        let settings = ImapSettings {
            uidonly: topic.ends_with("uidonly"),
            message_limit: topic.ends_with("messagelimit").then_some(3),
            ..common::settings()
        };
        run_folder(&topic, || match topic.ends_with("oauth") {
            true => common::ScriptPeer::with_tokens(3, settings.clone()),
            false => common::ScriptPeer::of_three_nodes(settings.clone()),
        });
    }
}
