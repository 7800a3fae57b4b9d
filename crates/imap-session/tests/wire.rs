//! The rules that real clients depend on, by their numbers. Those that concern only sockets and TLS
//! are tested where sockets are.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::PathBuf;

use testkit::pure::PureServer;
use testkit::script::{Peer, Received, run};

fn wire(script: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/scripts/wire");
    let text = std::fs::read_to_string(folder.join(format!("{script}.txt"))).unwrap();
    if let Err(error) = run(script, &text, &mut PureServer::default()) {
        panic!("{error}");
    }
}

macro_rules! wire {
    ($($name:ident => $script:literal;)*) => {
        $(
            #[test]
            fn $name() {
                wire($script);
            }
        )*
    };
}

wire! {
    wire_01_both_revisions_are_announced => "01_both_revisions_are_announced";
    wire_02_nothing_of_rev2_leaks_before_enable => "02_nothing_of_rev2_leaks_before_enable";
    wire_03_search_without_a_hit_still_answers => "03_search_without_a_hit_still_answers";
    wire_04_the_tag_of_esearch_is_quoted => "04_the_tag_of_esearch_is_quoted";
    wire_05_a_continuation_has_a_space => "05_a_continuation_has_a_space";
    wire_06_special_use_stands_in_every_list => "06_special_use_stands_in_every_list";
    wire_07_subscriptions_work_in_any_letter_case => "07_subscriptions_work_in_any_letter_case";
    wire_08_an_existing_folder_is_never_nonexistent => "08_an_existing_folder_is_never_nonexistent";
    wire_09_bodystructure_is_told_in_full => "09_bodystructure_is_told_in_full";
    wire_10_the_size_is_that_of_the_body => "10_the_size_is_that_of_the_body";
    wire_11_parts_of_messages_inside_and_rfc822_peek => "11_parts_of_messages_inside_and_rfc822_peek";
    wire_12_pipelined_commands_take_effect_in_order => "12_pipelined_commands_take_effect_in_order";
    wire_13_empty_lines_between_commands_are_ignored => "13_empty_lines_between_commands_are_ignored";
    wire_14_uid_commands_on_vanished_uids_are_ok => "14_uid_commands_on_vanished_uids_are_ok";
    wire_15_stars_stand_anywhere_in_a_set => "15_stars_stand_anywhere_in_a_set";
    wire_16_inbox_has_one_spelling => "16_inbox_has_one_spelling";
    wire_17_names_are_modified_utf7_until_utf8_is_enabled => "17_names_are_modified_utf7_until_utf8_is_enabled";
    wire_18_flags_name_the_keywords_that_clients_look_for => "18_flags_name_the_keywords_that_clients_look_for";
    wire_19_copies_keep_keywords_and_the_list_grows => "19_copies_keep_keywords_and_the_list_grows";
    wire_20_uidplus_codes_come_always => "20_uidplus_codes_come_always";
    wire_21_enable_is_answered_and_qresync_implies_condstore => "21_enable_is_answered_and_qresync_implies_condstore";
    wire_22_odd_messages_are_taken_and_their_envelope_is_whole => "22_odd_messages_are_taken_and_their_envelope_is_whole";
    wire_24_refusals_carry_their_codes => "24_refusals_carry_their_codes";
    wire_26_logout_says_bye_and_closes => "26_logout_says_bye_and_closes";
    wire_27_only_mechanisms_that_work_are_announced => "27_only_mechanisms_that_work_are_announced";
}

/// A quoted string of 8 KB, a set of thousands of UIDs one by one; and an end to what is taken.
#[test]
fn wire_25_long_arguments_are_taken_within_bounds() {
    let mut server = PureServer::default();
    let (user, password) = server.credentials();
    let uids: Vec<String> = (1..20_000).map(|uid| (uid * 2).to_string()).collect();
    server.connect(1);
    let commands = [
        format!("a LOGIN {user} {password}\r\n"),
        "b SELECT INBOX\r\n".to_owned(),
        format!("c SEARCH SUBJECT \"{}\"\r\n", "x".repeat(8000)),
        format!("d UID FETCH {} FLAGS\r\n", uids.join(",")),
        format!("e SEARCH SUBJECT \"{}\"\r\n", "x".repeat(3_000_000)),
        "f NOOP\r\n".to_owned(),
    ];
    for command in &commands {
        server.send(1, command.as_bytes());
    }
    let Received::Bytes(bytes) = server.receive(1) else { panic!("no answer") };
    let text = String::from_utf8(bytes).unwrap();
    for answer in ["c OK", "d OK", "e BAD", "f OK"] {
        assert!(text.contains(&format!("\r\n{answer} ")), "{answer} in {text}");
    }
}
