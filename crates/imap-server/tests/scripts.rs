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

#[test]
fn uidonly_neither_tells_nor_takes_sequence_numbers() {
    let settings = ImapSettings { uidonly: true, ..common::settings() };
    run_folder(&folder("uidonly"), || common::ScriptPeer::with(settings.clone()));
}

#[test]
fn commands_are_refused_in_the_wrong_state_and_change_nothing() {
    scripts("state");
}

#[test]
fn mailboxes_are_created_renamed_listed_and_deleted() {
    scripts("mailbox");
}

#[test]
fn select_and_examine_tell_what_they_must_and_change_what_they_may() {
    scripts("select");
}

#[test]
fn fetch_tells_every_item_and_sets_seen_once() {
    scripts("fetch");
}

#[test]
fn store_changes_exactly_the_flags_named() {
    scripts("store");
}

#[test]
fn expunges_are_withheld_and_told_in_time() {
    scripts("expunge");
}

#[test]
fn search_answers_in_both_forms_and_keeps_its_result() {
    scripts("search");
}

#[test]
fn sort_orders_messages_by_every_key_and_collation() {
    scripts("sort");
}

#[test]
fn threads_are_made_by_references_and_by_subject() {
    scripts("thread");
}

#[test]
fn condstore_tells_modseqs_and_guards_stores() {
    scripts("condstore");
}

#[test]
fn qresync_brings_a_client_up_to_date() {
    scripts("qresync");
}

#[test]
fn append_adds_all_or_nothing() {
    scripts("append");
}

#[test]
fn copy_and_move_are_seen_whole() {
    scripts("copy");
}

#[test]
fn replace_puts_one_message_in_the_place_of_another() {
    scripts("replace");
}

#[test]
fn catenate_puts_messages_together_from_texts_and_urls() {
    scripts("catenate");
}

#[test]
fn urls_give_what_their_owner_authorized_and_nothing_else() {
    scripts("urlauth");
}

#[test]
fn layers_and_logins_come_and_go() {
    scripts("connection");
}

#[test]
fn idle_tells_news_at_once() {
    scripts("idle");
}

#[test]
fn annotations_are_set_read_and_told_to_others() {
    scripts("metadata");
}

#[test]
fn limits_are_told_and_kept() {
    scripts("quota");
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

#[test]
fn notify_tells_what_was_asked_for_and_nothing_else() {
    scripts("notify");
}

#[test]
fn the_sessions_of_the_rfcs_go_as_they_are_printed() {
    scripts("rfc");
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
        run_folder(&topic, || common::ScriptPeer::of_three_nodes(settings.clone()));
    }
}
