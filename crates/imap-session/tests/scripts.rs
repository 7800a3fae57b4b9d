//! Every script of `testkit/scripts`, against sessions without a server around them.

use std::path::PathBuf;

use testkit::pure::PureServer;
use testkit::script::run_folder;

fn scripts(topic: &str) {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/scripts").join(topic);
    run_folder(&folder, PureServer::default);
}

#[test]
fn commands_are_refused_in_the_wrong_state_and_change_nothing() {
    scripts("state");
}

#[test]
fn mailboxes_are_created_renamed_listed_and_deleted() {
    scripts("mailbox");
}
