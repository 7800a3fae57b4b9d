//! NAMESPACE: the personal namespace has an empty prefix, those of others a name of their own.
//! RFC 9051 §6.3.10, RFC 2342 §5

use imap_proto::types::{MailboxArg, NamespaceEntry, NamespaceReply, Response};
use mail_types::MailboxName;

use crate::place::Space;
use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    let account = run.account()?;
    let entry = |prefix| NamespaceEntry { prefix, delimiter: Some(MailboxName::SEPARATOR) };
    let names = run.state.names();
    let of_others = |space: Space| {
        let prefix = format!("{}{}", space.top(), MailboxName::SEPARATOR);
        let is_there = !space.is_hidden_by(account);
        is_there.then(|| entry(MailboxArg::encode(&prefix, names))).into_iter().collect()
    };
    let reply = NamespaceReply {
        personal: vec![entry(MailboxArg::default())],
        other_users: of_others(Space::OtherUsers),
        shared: of_others(Space::Shared),
    };
    run.write(&Response::Namespace(reply));
    end(Reply::ok("NAMESPACE completed"))
}
