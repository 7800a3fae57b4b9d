//! Every script of `testkit/scripts`, against a real server over pipes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use std::path::PathBuf;

use testkit::script::run_folder;

fn scripts(topic: &str) {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/scripts").join(topic);
    run_folder(&folder, common::ScriptPeer::new);
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
        run_folder(&topic, common::ScriptPeer::of_three_nodes);
    }
}
